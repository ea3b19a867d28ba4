"""Twins on random halves that take over each other's confident mistakes, and training for the worst of several groups.

Here every seed has images of its own and labels change after every update: two short loops around the gradient of a
stack, instead of `train`. `S` counts seeds, `R` arms: what is compared on the same images, from the same start, in the
same minibatches.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly import optim
from butterfly.augment import Augment
from butterfly.batches import Minibatches
from butterfly.data import Data
from butterfly.models import Model
from butterfly.objective import cross_entropy
from butterfly.streams import generator
from butterfly.train import Recipe, descend

OTHER = 100_000  # seeds of the second twins start here
Looks = dict[int, tuple[Tensor, Tensor]]  # after so many updates: networks, and what else changes


def halves(seeds: Sequence[int], count: int) -> Tensor:
    """Which examples the first twin of each seed learns `[S, N]`, each by a toss of a coin; the second has the rest."""
    return torch.stack([torch.rand(count, generator=generator("halves", seed)) < 0.5 for seed in seeds])


def minibatches(seeds: Sequence[int], count: int, recipe: Recipe) -> Iterator[Tensor]:
    """The examples of each update `[S, B]`, in an order of its own for each seed, as `train` takes them."""
    places = torch.arange(count)  # a task whose inputs are their own places
    task = Data("places", places, places, places, places, count, places)
    batches = Minibatches(task, recipe.batch_size_at, Augment(), seeds)
    for step in range(recipe.steps):
        yield batches.at(step).x


def flip_chance(confidence: Tensor, classes: int) -> Tensor:
    """How likely a label is replaced by an answer given with that probability: 0 for a guess, 1 for certainty."""
    return (classes * confidence - 1) / (classes - 1)


def without_opinion(model: Model, theta: Tensor) -> Tensor:
    """The networks `[M, P]` with weights of 0 before the logits, which are then all 0 (biases start at 0)."""
    (last,) = [p.name for p in model.layout.parameters if p.kind == "weight" and not p.writes]
    theta = theta.clone()
    model.layout.tensors(theta)[last].zero_()
    return theta


class _OwnHalf:
    """The mean loss of each twin on its own part of a minibatch, summed; it remembers what all of them said."""

    def __init__(self, labels: Tensor, learns: Tensor):
        self.labels, self.learns = labels, learns  # [R, S, B], [2, S, B]
        self.said = torch.empty(0)

    def __call__(self, logits: Tensor) -> Tensor:
        said = logits.unflatten(0, (len(self.labels), *self.learns.shape[:2]))  # [R, 2, S, B, C]
        self.said = said.detach()
        labels = self.labels[:, None].expand(said.shape[:-1])
        each = cross_entropy(said.flatten(0, 2), labels.flatten(0, 2)).view(labels.shape)
        return ((each * self.learns).sum(3) / self.learns.sum(2).clamp_min(1)).sum()


def train_twins(
    model: Model, x: Tensor, y: Tensor, recipe: Recipe, seeds: Sequence[int], adopt: Sequence[bool], looks: set[int],
    undecided: bool = False,
) -> Looks:  # fmt: skip
    """Networks `[R, 2, S, P]` and current labels `[R, S, N]` after each number of updates in `looks`.

    `x [S, N, *space]` and `y [S, N]` are the images and labels of each seed; `adopt` says of each arm whether labels
    change; `undecided` twins start with all answers equally likely. At each update both twins answer for the whole
    minibatch; each learns the examples of its own half, and for those of the other half its answer replaces the label,
    the more likely the surer it is (`flip_chance`).
    """
    arms, count, device = len(adopt), len(seeds), x.device
    learns_first, rows = halves(seeds, x.shape[1]).to(device), torch.arange(count, device=device)[:, None]
    theta = model.init([*seeds, *(seed + OTHER for seed in seeds)])
    theta = (without_opinion(model, theta) if undecided else theta).repeat(arms, 1).to(x)  # by arm, twin and seed
    state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
    labels, adopting = y.repeat(arms, 1, 1), torch.tensor(list(adopt), device=device)[:, None, None]
    coins = [generator("flips", seed) for seed in seeds]
    found: Looks = {}

    def look(step: int) -> None:
        if step in looks:
            found[step] = theta.clone().view(arms, 2, count, -1), labels.clone()

    for step, places in enumerate(minibatches(seeds, x.shape[1], recipe)):
        look(step)
        at = places.to(device)
        first, now = learns_first[rows, at], labels[:, rows, at]
        own = _OwnHalf(now, torch.stack([first, ~first]))
        inputs = x[rows, at].repeat(2 * arms, *[1] * (x.dim() - 1))
        descend(recipe, step, theta, state, model.gradient(theta, inputs, own))
        sure, answer = own.said.softmax(4).max(4)  # [R, 2, S, B]
        sure, answer = (torch.where(first, both[:, 1], both[:, 0]) for both in (sure, answer))  # by the other twin
        coin = torch.stack([torch.rand(at.shape[1], generator=own_coin) for own_coin in coins]).to(device)
        flip = adopting & (coin < flip_chance(sure, model.classes))
        labels[:, rows, at] = torch.where(flip, answer, now)
    look(recipe.steps)
    return found


class _Worst:
    """GroupDRO: the loss of each network is a mean of the losses of its groups, in which the worst gain weight."""

    def __init__(self, y: Tensor, groups: Tensor, rate: float):
        self.y, self.groups, self.rate = y, F.one_hot(groups).float(), rate  # [S, N], [R, S, N, G]
        there = self.groups.amax(2)
        self.weight = there / there.sum(2, keepdim=True)  # [R, S, G]
        self.rows = torch.arange(len(y), device=y.device)[:, None]
        self.at = torch.empty(0)  # the minibatch, [S, B]

    def __call__(self, logits: Tensor) -> Tensor:
        said = logits.unflatten(0, self.weight.shape[:2])  # [R, S, B, C]
        labels = self.y[self.rows, self.at].expand(said.shape[:-1])
        each = cross_entropy(logits, labels.flatten(0, 1)).view(labels.shape)
        member = self.groups[:, self.rows, self.at]  # [R, S, B, G]
        losses = (each[..., None] * member).sum(2) / member.sum(2).clamp_min(1)
        self.weight = (self.weight * (self.rate * losses.detach()).exp()).to(losses)
        self.weight = self.weight / self.weight.sum(2, keepdim=True)
        return (self.weight * losses).sum()


def train_for_worst(
    model: Model, x: Tensor, y: Tensor, groups: Tensor, recipe: Recipe, seeds: Sequence[int], looks: set[int],
    rate: float,
) -> dict[int, Tensor]:  # fmt: skip
    """Networks `[R, S, P]` after each number of updates in `looks`, trained by GroupDRO (Sagawa et al. 2020).

    `groups [R, S, N]` are numbers from 0. At each update the weight of a group is multiplied by the exponential of
    `rate` times its mean loss in the minibatch, and the losses of groups are weighted so. One group: plain training.
    """
    arms, rows = len(groups), torch.arange(len(seeds), device=x.device)[:, None]
    theta = model.init(list(seeds)).repeat(arms, 1).to(x)
    state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
    worst, found = _Worst(y, groups, rate), {}
    for step, places in enumerate(minibatches(seeds, x.shape[1], recipe)):
        if step in looks:
            found[step] = theta.clone().view(arms, len(seeds), -1)
        worst.at = places.to(x.device)
        inputs = x[rows, worst.at].repeat(arms, *[1] * (x.dim() - 1))
        descend(recipe, step, theta, state, model.gradient(theta, inputs, worst))
    if recipe.steps in looks:
        found[recipe.steps] = theta.view(arms, len(seeds), -1)
    return found
