"""What the studies of kicked twins share: what is watched while they train, and the level of a barrier."""

from collections.abc import Sequence

import numpy as np
import torch

from butterfly.evaluate import predictions
from butterfly.train import Fork, Snapshot, parent_rows

BARRIER = 0.05  # below it two networks count as linearly connected


def root_looks(steps: int, count: int, forks: Sequence[Fork] = ()) -> list[int]:
    """The updates after which a population is watched: the kicks, and `count` evenly in the square root of time."""
    even = np.linspace(0, 1, count) ** 2 * steps
    return sorted({*even.round().astype(int).tolist(), *(fork.step for fork in forks)})


def watch(now: Snapshot, start: torch.Tensor) -> dict[str, np.ndarray]:
    """Distance to the parent, test disagreement with it, test accuracy, distance from the start; `[M]` each."""
    seeds = len(start)
    origin = torch.cat([torch.arange(seeds), parent_rows(now.members)])
    answers = predictions(now.model, now.theta, now.data.sample.x_test)
    return {
        "distance": (now.theta - now.theta[origin]).norm(dim=1).cpu().numpy(),
        "disagreement": (answers != answers[origin]).double().mean(1).cpu().numpy(),
        "accuracy": (answers == now.data.sample.y_test).double().mean(1).cpu().numpy(),
        "travelled": (now.theta - start[origin]).norm(dim=1).cpu().numpy(),
    }


def history(records: list[tuple[int, dict[str, np.ndarray]]], members: int) -> dict[str, np.ndarray]:
    """What was watched as `[M, T]`, NaN before a member existed."""
    found = {name: np.full((members, len(records)), np.nan) for name in records[0][1]}
    for at, (_, values) in enumerate(records):
        for name, column in values.items():
            found[name][: len(column), at] = column
    return found
