"""A linear student whose features vary on two scales, and what theory says of its error.

A teacher makes values `y = z . w` from Gaussian features `z`, each of variance 1/D, with weights `w` of variance 1. The
student sees `fast` features as they are and divides the others, the slow ones, by the condition number. It learns by
gradient descent on half the sum of squares from 0 with learning rate 1/4, about the inverse of the largest eigenvalue.
With `u` its weights in units of the teacher's, half its mean squared error on new inputs is `|u - w|^2 / 2D`, exactly.
The authors also turn `z` and the student's weights by random rotations, which change no error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly.least_squares import Modes, descended, modes, ridge
from butterfly.streams import generator

RATE = 0.25


@dataclass(frozen=True)
class Draws:
    """Features `z [S, N, D]` and teachers `w [S, D]`, drawn anew for every seed."""

    z: Tensor
    w: Tensor

    def values(self) -> Tensor:
        """What the student is to learn `[S, N]`."""
        return torch.einsum("snd,sd->sn", self.z, self.w)


def drawn(seeds: Sequence[int], examples: int, features: int) -> Draws:
    """Data and teacher of each seed, in double precision."""
    kept = []
    for seed in seeds:
        random = generator("teacher", examples, features, seed)
        shapes = (examples, features), (features,)
        kept.append([torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes])
    z, w = (torch.stack(parts) for parts in zip(*kept, strict=True))
    return Draws(z / math.sqrt(features), w)


def scales(features: int, fast: int, condition: float) -> Tensor:
    """What the student multiplies each feature by `[D]`; an infinite condition number hides the slow ones."""
    found = torch.ones(features, dtype=torch.float64)
    found[fast:] = 1 / condition
    return found


def strengths(steps: Sequence[int]) -> np.ndarray:
    """The strength of ridge regression that stands for so many steps; infinite for none."""
    with np.errstate(divide="ignore"):
        return 1 / (RATE * np.asarray(steps, dtype=float))


def students(draws: Draws, scale: Tensor, steps: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Weights in units of the teacher's `[S, T, D]`, by gradient descent and by the ridge regression that stands for
    it."""
    found = modes(draws.z * scale, draws.values())
    return scale * descended(found, RATE, steps), scale * ridge(found, strengths(steps))


def slow_alone(draws: Draws, fast: int, condition: float, steps: Sequence[int]) -> Tensor:
    """Weights `[S, T, D]` of a student whose fast features are at every moment at their best on the training examples,
    given the slow ones."""
    first, second, values = draws.z[..., :fast], draws.z[..., fast:], draws.values()
    q, r = torch.linalg.qr(first)
    left = second - q @ (q.mT @ second), values - torch.einsum("snk,sk->sn", q, torch.einsum("snk,sn->sk", q, values))
    slow = descended(modes(left[0] / condition, left[1]), RATE, steps) / condition
    rest = values[..., None] - second @ slow.mT
    return torch.cat([torch.linalg.solve_triangular(r, q.mT @ rest, upper=True).mT, slow], 2)


def parts(weights: Tensor, truth: Tensor, fast: int) -> tuple[Tensor, Tensor]:
    """What the fast and what the slow features add to the error `[S, T]`, of weights `[S, T, D]` and truth `[S, D]`."""
    each = (weights - truth[:, None]).square() / (2 * truth.shape[1])
    return each[..., :fast].sum(2), each[..., fast:].sum(2)


def order(weights: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The paper's R, the overlap with the teacher, and Q, the size of the student, `[S, T]`: the error is about
    (1 - 2R + Q) / 2."""
    features = truth.shape[1]
    return torch.einsum("std,sd->st", weights, truth) / features, weights.square().sum(2) / features


def restrained(found: Modes, steps: Sequence[int], strength: float, time: float, of_weights: bool = False) -> Tensor:
    """Weights `[S, T, D]` after so many steps on squares with a penalty that fades.

    At step i there are added `strength * log(1 + exp(-i / time)) / log 2` halves of the squared outputs on the training
    examples; or, `of_weights`, of the squared weights times the mean eigenvalue, which is as much in the mean.
    """
    held = found.values.mean(1, keepdim=True).expand_as(found.values) if of_weights else found.values
    fading = strength / math.log(2) * F.softplus(-torch.arange(max(steps) + 1, dtype=held.dtype) / time)
    coefficients, kept, looks = torch.zeros_like(held), {}, set(steps)
    pull = RATE * found.values * found.ends
    for step, now in enumerate(fading.tolist()):
        if step in looks:
            kept[step] = coefficients
        coefficients = torch.addcmul(coefficients + pull, found.values + now * held, coefficients, value=-RATE)
    return found.weights(torch.stack([kept[step] for step in steps], 1))


# --- theory ----------------------------------------------------------------------------------------------------------


def closed(
    steps: Sequence[int], examples: int, features: int, fast: int, condition: float, slower: float = 1.0
) -> np.ndarray:
    """The error at each step by the authors' scalar formulas for ridge regression without noise; 1/2 at step 0.

    Each kind of features is solved as if it were alone, and the noise that each is for the other is added afterwards.
    `slower` multiplies the penalty of the slow ones. Needs more examples than features.
    """
    steps = np.asarray(steps)
    later, ratio = steps > 0, examples / features
    overlaps, roots, gains = [], [], []
    for share, scale, more in ((fast / features, 1.0, 1.0), (1 - fast / features, 1 / condition, slower)):
        alpha, penalty = ratio / share, more * strengths(steps[later]) / (share * scale**2)
        total = 1 + alpha + penalty
        root = (total + np.sqrt(total**2 - 4 * alpha)) / 2
        overlaps.append(ratio / root)
        roots.append(root)
        gains.append(alpha / (root**2 - alpha))
    noise = [1 - 2 * overlaps[1 - k] - (2 - roots[k]) / roots[k] * ratio for k in (0, 1)]
    (b1, b2), (c1, c2) = gains, noise
    size = (b1 * b2 * (c1 + c2) + b1 * c1 + b2 * c2) / (1 - b1 * b2)
    error = np.full(len(steps), 0.5)
    error[later] = (1 - 2 * sum(overlaps) + size) / 2
    return error


def limit(steps: Sequence[int], examples: int, features: int, fast: int, condition: float) -> np.ndarray:
    """The error of ridge regression at each step for ever more examples and features in these proportions.

    As for any Gaussian features, a penalty acts as one on infinitely many examples would, weakened by a number `tau`
    that solves one equation: `tau (1 + mean of 1 / (tau + penalty)) = examples / features`.
    """
    shares = np.array([fast / features, 1 - fast / features])[:, None]
    with np.errstate(divide="ignore"):
        penalty = strengths(steps) / np.array([1.0, 1 / condition])[:, None] ** 2
    ratio = examples / features
    low, high = np.zeros(len(steps)), np.full(len(steps), ratio)
    for _ in range(200):
        tau = (low + high) / 2
        above = tau * (1 + (shares / (tau + penalty)).sum(0)) > ratio
        low, high = np.where(above, low, tau), np.where(above, tau, high)
    there = tau / (tau + penalty)
    missing, overfit = (shares * (1 - there) ** 2).sum(0), (shares * there**2).sum(0) / ratio
    return missing / (1 - overfit) / 2
