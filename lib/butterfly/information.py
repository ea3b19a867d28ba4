"""Mutual information in nats: lower bounds that a network learns, nearest neighbours, and cases that are known.

A *statistics network* T gives every pair one number. Shown pairs that belong together and pairs that were shuffled, it
bounds the information from below (Donsker & Varadhan 1983; Nguyen, Wainwright & Jordan 2010):

    dv   mean T(pairs) - log mean exp T(shuffled)
    f    mean T(pairs) - mean exp(T(shuffled) - 1)

and the network that makes a bound largest is the estimator of Belghazi et al. (2018). The gradient of the logarithm,
taken over a minibatch, is biased: `plain` divides by the minibatch's own mean exp T, `dv` by a moving average of it.
A stack of statistics networks learns in lockstep, each from pairs of its own.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from butterfly import optim
from butterfly.models import Model
from butterfly.stack import blocks
from butterfly.train import Recipe, descend

Bound = Literal["dv", "plain", "f"]
Pairs = tuple[Tensor, Tensor]  # x [M, B, p] and y [M, B, q]

# Activations that go through the networks at once: within a CPU's cache, and within a GPU's memory.
_NUMBERS = {"cpu": 1 << 19, "cuda": 1 << 29}
_DISTANCES = 1 << 20  # distances held at once


# --- what a network says ---------------------------------------------------------------------------------------------


def inputs(x: Tensor, y: Tensor) -> Tensor:
    """Pairs, then as many shuffled pairs: `x [M, B, p]`, `y [M, B, q]` -> `[M, 2 B, p + q]`.

    Every `y` goes to the next `x`, so that no shuffled pair is a pair; the order of the pairs must mean nothing.
    """
    return torch.cat([torch.cat([x, y], 2), torch.cat([x, y.roll(1, 1)], 2)], 1)


def value(joint: Tensor, shuffled: Tensor, bound: Bound = "dv") -> Tensor:
    """The bound `[M]` in nats from the network's numbers for pairs `[M, N]` and for shuffled pairs `[M, N]`."""
    if bound == "f":
        return joint.mean(1) - (shuffled - 1).exp().mean(1)
    return joint.mean(1) - log_mean_exp(shuffled)


def log_mean_exp(values: Tensor) -> Tensor:
    """Logarithm of the mean of the exponentials over the last axis."""
    return values.logsumexp(-1) - math.log(values.shape[-1])


def estimate(model: Model, theta: Tensor, x: Tensor, y: Tensor, bound: Bound = "dv") -> Tensor:
    """The bound `[M]` of a stack of statistics networks on pairs `x [M, N, p]`, `y [M, N, q]`, in float64."""
    found = torch.empty(len(theta), dtype=torch.float64, device=theta.device)
    with torch.no_grad():
        for rows in blocks(len(theta), _members(model, x)):
            both = inputs(x[rows], y[rows])
            numbers = model.forward(model.layout.tensors(theta[rows]), both).squeeze(2).double()
            found[rows] = value(*numbers.chunk(2, 1), bound)
    return found


# --- learning --------------------------------------------------------------------------------------------------------


def learn(
    model: Model,
    theta: Tensor,
    recipe: Recipe,
    pairs: Callable[[int], Pairs],
    bound: Bound = "dv",
    looks: Sequence[int] = (),
    held_out: Pairs | None = None,
    rate: float = 0.01,
) -> tuple[Tensor, Tensor]:
    """Raise the bound of a stack of statistics networks: the stack `[M, P]`, and its bounds `[T, M]` on other pairs.

    `pairs(step)` gives the minibatch of update number `step`. After each of `looks` updates the bound is read on the
    pairs `held_out`. `rate` is that of the moving average of `dv`.
    """
    theta, average = theta.clone(), None
    state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
    seen = []
    for step in range(recipe.steps + 1):
        if step in looks:
            seen.append(estimate(model, theta, *held_out, bound))
        if step < recipe.steps:
            gradient, average = _gradient(model, theta, inputs(*pairs(step)), bound, average, rate)
            descend(recipe, step, theta, state, gradient)
    return theta, torch.stack(seen) if seen else theta.new_empty(0, len(theta))


def _gradient(
    model: Model, theta: Tensor, both: Tensor, bound: Bound, average: Tensor | None, rate: float
) -> tuple[Tensor, Tensor]:
    """Gradient `[M, P]` of minus the bound, and the logarithm of the moving average `[M]` of mean exp T."""
    gradient, averages = torch.empty_like(theta), torch.empty_like(theta[:, 0])
    for rows in blocks(len(theta), _members(model, both)):
        before = None if average is None else average[rows]

        def loss(numbers: Tensor, rows: slice = rows, before: Tensor | None = before) -> Tensor:
            joint, shuffled = numbers.squeeze(2).chunk(2, 1)
            averages[rows] = _moved(before, log_mean_exp(shuffled.detach()), rate)
            if bound != "dv":
                return -value(joint, shuffled, bound).sum()
            # Its gradient is that of the bound, with the average in the place of the minibatch's own mean.
            return ((shuffled - averages[rows, None]).exp().mean(1) - joint.mean(1)).sum()

        gradient[rows] = model.gradient(theta[rows], both[rows], loss)
    return gradient, averages


def _moved(before: Tensor | None, now: Tensor, rate: float) -> Tensor:
    """A moving average of exponentials, in logarithms; it begins at the first value."""
    return now if before is None else torch.logaddexp(before + math.log1p(-rate), now + math.log(rate))


def _members(model: Model, x: Tensor) -> int:
    return max(1, _NUMBERS[x.device.type] // (x.shape[1] * model.activations))


# --- nearest neighbours ----------------------------------------------------------------------------------------------


def neighbours(x: Tensor, y: Tensor, k: int = 3) -> float:
    """Information by the k-th nearest neighbour of each pair `x [N, p]`, `y [N, q]` (Kraskov et al. 2004, their first).

    The distance in the plane of both is the larger of the two, each the largest over its coordinates; how many
    neighbours lie within it in `x` alone and in `y` alone tells how dense the pairs are beside the parts.
    """
    count, total = len(x), 0.0
    for rows in blocks(count, max(1, _DISTANCES // count)):
        apart = [torch.cdist(z[rows], z, p=math.inf) for z in (x, y)]
        both = torch.maximum(*apart)
        both[torch.arange(len(both)), torch.arange(rows.start, rows.stop)] = math.inf
        reach = both.kthvalue(k, dim=1, keepdim=True).values
        # A pair counts itself, so that this is one more than its neighbours: digamma(n + 1) as the formula has it.
        total += sum(float((own < reach).sum(1).double().digamma().sum()) for own in apart)
    ends = torch.tensor([k, count], dtype=torch.float64).digamma().sum()
    return float(ends) - total / count


# --- cases that are known --------------------------------------------------------------------------------------------


def of_gaussians(correlation: float, dimensions: int = 1) -> float:
    """Information of two Gaussian vectors whose coordinates are correlated one by one."""
    return -0.5 * dimensions * math.log1p(-(correlation**2))


def of_function(outputs: Tensor, noise: float) -> float:
    """Information of `x` and `f(x) + noise * Gaussian`, by quadrature from `outputs [N]` of `f` on an even grid of `x`.

    For `x` uniform on the grid's range, which needs to be finer than the noise.
    """
    f = outputs.double()
    edge = 8 * noise
    y = torch.linspace(float(f.min()) - edge, float(f.max()) + edge, 2001, dtype=torch.float64)
    density = torch.zeros_like(y)
    for some in blocks(len(f), 256):
        density += torch.exp(-((y[:, None] - f[some]) ** 2) / (2 * noise**2)).sum(1)
    density /= len(f) * noise * math.sqrt(2 * math.pi)
    entropy = -torch.trapezoid(torch.xlogy(density, density), y)
    return float(entropy) - 0.5 * math.log(2 * math.pi * math.e * noise**2)


def of_noisy(points: Tensor, noise: float, random: torch.Generator, draws: int = 2) -> float:
    """Information of which of `N` equally likely `points [N, p]` was sent, and that point with Gaussian noise on it.

    By its definition, averaged over `draws` of the noise for every point; at most the logarithm of `N`.
    """
    h = points.double() / noise
    found = []
    for _ in range(draws):
        drawn = torch.randn(h.shape, generator=random, dtype=torch.float64)
        logs = -torch.cdist(h + drawn.to(h), h).square() / 2
        found.append((logs.diagonal() - log_mean_exp(logs)).mean())
    return float(torch.stack(found).mean())
