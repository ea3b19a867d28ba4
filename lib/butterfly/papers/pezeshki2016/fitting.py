"""Ladders trained in lockstep on few labels and many images, and looked at on the way.

All arms of a seed share its images, its minibatches, its noise and the start of the encoder, whatever they are taken
apart into; the labels of fewer are among those of more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly.data import Data
from butterfly.papers.pezeshki2016.network import Arm, Ladder, Parts
from butterfly.streams import generator
from butterfly.train import Recipe, descend


@dataclass(frozen=True)
class Split:
    """What the seeds learn from: `pool`, `validation` [S, N, D] and their classes [S, N], and for each number of labels
    where the labelled images lie in the pool `[S, n]`."""

    pool: Tensor
    pool_y: Tensor
    validation: Tensor
    validation_y: Tensor
    labelled: list[Tensor]


def split(task: Data, seeds: Sequence[int], size: int, labels: Sequence[int]) -> Split:
    """Training images of each seed, cut at random into a pool of `size` and the rest, which only says when to stop."""
    order = torch.stack([torch.randperm(len(task.y), generator=generator("ladder-pool", seed)) for seed in seeds])
    x, order = task.x.flatten(1), order.to(task.y.device)
    pool, rest = order[:, :size], order[:, size:]
    each = [[even(task.y[own], n, seed) for own, seed in zip(pool, seeds, strict=True)] for n in labels]
    return Split(x[pool], task.y[pool], x[rest], task.y[rest], [torch.stack(rows) for rows in each])


def even(y: Tensor, count: int, seed: int) -> Tensor:
    """Positions `[count]` of random images, as many of every class as can be; more hold fewer."""
    order = torch.randperm(len(y), generator=generator("ladder-labels", seed)).to(y.device)
    own = F.one_hot(y[order])
    place = (own.cumsum(0) * own).sum(1)  # the first of its class, the second, ...
    return order[place.argsort(stable=True)[:count]]


class Draws:
    """The minibatches and the noise of every seed, one after another: the same for all arms."""

    def __init__(self, data: Split, seeds: Sequence[int], batch: int, labelled: int):
        self.data, self.batch, self.labelled = data, batch, labelled
        self.orders = [generator("ladder-batches", seed) for seed in seeds]
        self.noises = [generator("ladder-noise", seed) for seed in seeds]

    def images(self) -> tuple[Tensor, Tensor]:
        """Images `[K, S, B, D]` for each of K numbers of labels, and the classes of the labelled ones `[K, S, V]`.

        The first are drawn from all of the pool, the rest from its labelled images, each without repetition.
        """
        free = torch.stack([torch.randperm(self.data.pool.shape[1], generator=g)[: self.batch] for g in self.orders])
        free = free.to(self.data.pool.device)
        seeds = torch.arange(len(free), device=free.device)[:, None]
        x, y = [], []
        for rows in self.data.labelled:
            some = [torch.randperm(rows.shape[1], generator=g)[: self.labelled] for g in self.orders]
            taken = rows[seeds, torch.stack(some).to(free.device)]
            x.append(self.data.pool[seeds, torch.cat([free, taken], 1)])
            y.append(self.data.pool_y[seeds, taken])
        return torch.stack(x), torch.stack(y)

    def noise(self, sizes: Sequence[int]) -> list[Tensor]:
        """Standard normal numbers `[S, B, D]` for every layer."""
        rows = self.batch + self.labelled
        drawn = torch.stack([torch.randn(rows, sum(sizes), generator=g) for g in self.noises])
        return list(drawn.to(self.data.pool).split(list(sizes), 2))


@dataclass(frozen=True)
class Stack:
    """Ladders of one form, in the order arms, numbers of labels, seeds; `arms` has one entry a member."""

    ladder: Ladder
    arms: list[Arm]
    parts: Parts
    theta: Tensor
    state: list[Tensor]

    def step(
        self, x: Tensor, y: Tensor, noise: list[Tensor], weights: Sequence[float], recipe: Recipe, step: int
    ) -> Tensor:
        """One update, in place; what every layer's guess cost `[M, L + 1]`."""
        leaves = {name: v.detach().requires_grad_() for name, v in self.ladder.layout.tensors(self.theta).items()}
        times = len(self.theta) // (x.shape[0] * x.shape[1])
        x, y = (v.flatten(0, 1).repeat(times, *[1] * (v.dim() - 2)) for v in (x, y))
        noise = [v.repeat(len(self.theta) // len(v), 1, 1) for v in noise]
        entropy, costs = self.ladder.losses(leaves, x, y, noise, self.parts, weights)
        found = torch.autograd.grad(entropy.sum() + costs.sum(), list(leaves.values()))
        gradient = self.ladder.layout.stack(dict(zip(leaves, found, strict=True)))
        descend(recipe, step, self.theta, self.state, gradient)
        return costs.detach()


def stacks(
    arms: Sequence[Arm], sizes: tuple[int, ...], counts: int, seeds: Sequence[int], std: float, like: Tensor
) -> list[Stack]:
    """One stack a form, with every arm, number of labels and seed."""
    found = []
    for form in dict.fromkeys(arm.form for arm in arms):
        ladder = Ladder(sizes, form)
        members = [(arm, seed) for arm in arms if arm.form == form for _ in range(counts) for seed in seeds]
        own = [arm for arm, _ in members]
        theta = ladder.start([generator("ladder-init", seed) for _, seed in members], own).to(like)
        state = [torch.zeros_like(theta), torch.zeros_like(theta)]
        found.append(Stack(ladder, own, Parts.of(own, len(sizes), std, like), theta, state))
    return found


def tested(stack: Stack, data: Split, x_test: Tensor, y_test: Tensor) -> np.ndarray:
    """Validation error and cross-entropy, and test error `[3, M]`, of clean runs normalised over the whole pool.

    A member that says anything but finite numbers is lost, and has no errors.
    """
    pool, held, x_test = data.pool.shape[1], data.validation.shape[1], x_test.flatten(1)
    found = torch.full((3, len(stack.theta)), torch.nan, dtype=torch.float64)
    for member in range(len(stack.theta)):  # one at a time: of a large data set, not all would fit into memory
        seed = member % len(data.pool)
        x = torch.cat([data.pool[seed], data.validation[seed], x_test])[None]
        with torch.no_grad():
            p = stack.ladder.layout.tensors(stack.theta[member : member + 1])
            logits = stack.ladder.encode(p, x, pool)[1][0, pool:]
        if logits.isfinite().all():
            wrong = logits.argmax(1) != torch.cat([data.validation_y[seed], y_test])
            entropy = F.cross_entropy(logits[:held], data.validation_y[seed])
            numbers = wrong[:held].double().mean(), entropy.double(), wrong[held:].double().mean()
            found[:, member] = torch.stack(numbers).cpu()
    return found.numpy()
