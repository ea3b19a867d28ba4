"""The model of the paper that can be solved: regression whose parameters are half the squares of weights.

Along each singular vector of the inputs the parameter is theta = w^2 / 2, and by gradient descent in small steps each
such mode learns by itself. With s^2 the square of the singular value, e where theta ends and z where it starts, d
theta/dt = 2 theta s^2 (e - theta): slow at first, then fast, the strongest first of all. Linearised at the start, d
theta/dt = 2 z s^2 (e - theta): all modes relax side by side, each at its own rate.
"""

from dataclasses import dataclass

import numpy as np
import torch

from butterfly.streams import generator

DYNAMICS = "nonlinear", "linearised"


def learned(dynamics: str, times: np.ndarray, strength: np.ndarray, end: np.ndarray, start: float) -> np.ndarray:
    """Parameters `[T, K]` at `times [T]` of modes with squared singular values `strength [K]` that go from start to
    `end [K]`, all above 0."""
    t = times[:, None]
    if dynamics == "linearised":
        return end + (start - end) * np.exp(-2 * strength * start * t)
    return end / (1 + (end / start - 1) * np.exp(-2 * strength * end * t))


def times_of(dynamics: str, strength: np.ndarray, end: np.ndarray, start: float, count: int = 4000) -> np.ndarray:
    """Times `[T]` from 0 on, even in their logarithm, at the last of which each mode has a thousandth to go."""
    rates = 2 * strength * (end if dynamics == "nonlinear" else start)
    # A logistic curve climbs from start to a half before it levels off.
    ahead = np.log(np.maximum(end / start, 2)) if dynamics == "nonlinear" else 0.0
    return np.append(0.0, np.geomspace(0.01 / rates.max(), ((ahead + 7) / rates).max(), count - 1))


@dataclass(frozen=True)
class Examples:
    """Inputs `[N, D]`, what is to be learned of each `[N]`, and which labels are flipped `[N]`."""

    x: np.ndarray
    y: np.ndarray
    flipped: np.ndarray


def examples(seed: int, count: int, flipped: int, dimension: int, noise: float) -> Examples:
    """Examples with labels -1 and 1, some of them flipped: one input is the label before, the others are noise.

    The noise of an example has about the norm `noise`. In the authors' example each has a direction of its own; here
    directions are drawn, and in a space of many dimensions nearly orthogonal.
    """
    random = generator("flipped", seed)
    label = 2.0 * torch.randint(2, (count,), generator=random) - 1
    moved = torch.zeros(count, dtype=torch.bool)
    moved[torch.randperm(count, generator=random)[:flipped]] = True
    beside = torch.randn(count, dimension, generator=random) * noise / dimension**0.5
    x = torch.cat([label[:, None], beside], 1).double()
    return Examples(x.numpy(), torch.where(moved, -label, label).double().numpy(), moved.numpy())


def errors(dynamics: str, task: Examples, start: float) -> np.ndarray:
    """Squared error `[T, N]` of each example while the model learns them, at the times of `times_of`."""
    left, singular, _ = np.linalg.svd(task.x, full_matrices=False)
    end = left.T @ task.y / singular  # along the right singular vectors
    sign, size = np.where(end < 0, -1.0, 1.0), np.abs(end)  # the vectors turned such that all ends are positive
    times = times_of(dynamics, singular**2, size, start)
    theta = learned(dynamics, times, singular**2, size, start)
    return (theta @ (left * singular * sign).T - task.y) ** 2
