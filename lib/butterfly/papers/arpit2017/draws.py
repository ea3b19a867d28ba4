"""What networks are trained on: every draw has its own examples, and noise in the place of their inputs or labels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from butterfly.data import Data, with_random_inputs, with_random_labels
from butterfly.streams import generator
from butterfly.study import Arrays
from butterfly.train import Recipe

REAL, RANDX, RANDY = "real", "randX", "randY"
KINDS = (REAL, RANDX, RANDY)
NOISES = (RANDX, RANDY)
SPAN = 1000  # seeds of networks that one draw has for itself


def drawn(task: Data, seed: int, examples: int, kind: str = REAL, fraction: float = 1.0) -> tuple[Data, Tensor]:
    """The examples of one draw, some of them noise, and the mask `[N]` of those.

    Fewer examples are among more of them; test examples are those of the task.
    """
    rows = torch.randperm(len(task.y), generator=generator("examples", seed))[:examples]
    some = task.subset(rows.to(task.y.device))
    if kind == REAL:
        return some, torch.zeros_like(some.y, dtype=torch.bool)
    return (with_random_inputs if kind == RANDX else with_random_labels)(some, fraction, seed)


def together(sets: Sequence[Data], runs: int) -> tuple[Data, Tensor]:
    """Data sets that differ in labels alone as one, for a stack of `runs` networks each; and their labels `[M, N]`."""
    labels = torch.stack([own.y for own in sets]).repeat_interleave(runs, 0)
    targets = torch.nn.functional.one_hot(labels, sets[0].classes)
    return replace(sets[0], targets=targets.to(sets[0].x)), labels


def networks(seed: int, count: int) -> list[int]:
    """Seeds of the networks of one draw."""
    return [SPAN * seed + k for k in range(count)]


def lasting(recipe: Recipe, epochs: int, examples: int) -> Recipe:
    """The same recipe for a number of passes through so many examples."""
    return recipe.changed(steps=epochs * (examples // recipe.batch_size))


def gathered(rows: Sequence[Arrays]) -> Arrays:
    """Arrays of the same names from several units as one each, with a new first axis."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
