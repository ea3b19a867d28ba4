"""Unrolled training: how a loss depends on the inputs of the training examples, through all updates before it.

A network after `t` updates is a function of the examples that it was trained on. The derivative of a loss of that
network by the inputs of one of them says how much the example matters to it (Arpit et al. 2017; Maclaurin et al. 2015).
It is computed backwards through training: an update of SGD with momentum maps parameters and momentum to new ones, and
its transposed derivative needs one product with the second derivatives of the loss of its minibatch.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from butterfly.batches import Minibatches
from butterfly.data import Data
from butterfly.models import Model
from butterfly.train import Recipe, learning_rate


def sensitivity(
    model: Model, data: Data, recipe: Recipe, seeds: Sequence[int], path: Tensor, steps: Sequence[int], goals: Tensor
) -> Tensor:
    """Gradient of weighted training losses by the inputs of the training examples `[T, G, S, N, *input_shape]`.

    `path [updates + 1, S, P]` are the parameters of a run of `train` before every update and after the last. The loss
    of goal g after `steps[t]` updates is the sum over examples of `goals [G, N]` times their cross-entropy. What the
    example does to the network counts, not that its own loss has its input in it.
    """
    if recipe.optimizer != "sgd" or recipe.nesterov or recipe.dropout or recipe.augment.active:
        raise ValueError("training is unrolled for SGD without dropout, augmentation or Nesterov momentum")
    batches = Minibatches(data, recipe.batch_size_at, recipe.augment, seeds)
    # The places of examples in the minibatches: the same order, of a data set whose inputs are their own places.
    places = Minibatches(replace(data, x=torch.arange(len(data.y))), recipe.batch_size_at, recipe.augment, seeds)
    size, rows = (len(steps), len(goals), len(seeds)), torch.arange(len(seeds)).repeat(len(goals))
    onto, momentum = path.new_zeros(*size, path.shape[2]), path.new_zeros(*size, path.shape[2])
    found = path.new_zeros(*size, *data.x.shape)
    for step in reversed(range(max(steps))):
        for look in (k for k, last in enumerate(steps) if last == step + 1):
            onto[look] = _of_goals(model, data, path[step + 1], goals)
        looks = [k for k, last in enumerate(steps) if last > step]
        # The momentum after the update carries what it does to the parameters now and to later momenta.
        pull = momentum[looks] - learning_rate(recipe, step) * onto[looks]
        family = rows.repeat(len(looks))
        back, by_input = _back(model, batches, step, path[step][family], pull.flatten(0, 2), family)
        onto[looks] += back.view_as(pull) + recipe.weight_decay * pull
        momentum[looks] = recipe.momentum * pull
        by_input = by_input.unflatten(0, pull.shape[:3])
        for row, at in enumerate(places.at(step).x):
            for k, look in enumerate(looks):
                own = found[look, :, row]  # a view [G, N, ...]
                own[:, at] += by_input[k, :, row]
    return found


def _of_goals(model: Model, data: Data, theta: Tensor, goals: Tensor) -> Tensor:
    """Gradient `[G, S, P]` of each goal by the parameters `theta [S, P]`."""
    count = len(goals) * len(theta)
    weight = goals.repeat_interleave(len(theta), 0)

    def loss(logits: Tensor) -> Tensor:
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), data.y.repeat(count), reduction="none")
        return (each.view(count, -1) * weight).sum()

    inputs = data.x.expand(count, *data.x.shape)
    return model.gradient(theta.repeat(len(goals), 1), inputs, loss).unflatten(0, (len(goals), -1))


def _back(
    model: Model, batches: Minibatches, step: int, theta: Tensor, pull: Tensor, family: Tensor
) -> tuple[Tensor, Tensor]:
    """How the gradients of each minibatch loss by parameters and by inputs change along `pull [M, P]`.

    The first is the Hessian times `pull`, the second the derivative by the inputs of gradient times `pull`.
    """
    batch = batches.at(step)

    def loss(theta: Tensor, x: Tensor) -> Tensor:
        return batch.losses(model.forward(model.layout.tensors(theta), x), family).sum()

    x = batch.inputs(family)
    slopes = torch.func.grad(loss, argnums=(0, 1))
    return torch.func.jvp(slopes, (theta, x), (pull, torch.zeros_like(x)))[1]
