"""Modes: features at right angles, each with two opposite examples; what to learn of one says nothing of the others."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from butterfly.data.base import Data

PATTERN = r"modes-(?P<count>[1-9]\d*)"


@lru_cache(maxsize=4)
def load(name: str) -> Data:
    """As many modes as the name says, as in `modes-2`: examples `+e_k` of class 1 and `-e_k` of class 0."""
    return of(torch.eye(int(re.fullmatch(PATTERN, name)["count"])), name=name)


def input_shape(name: str) -> tuple[int, ...]:
    """One number a mode."""
    return load(name).input_shape


def provenance(name: str) -> dict[str, str]:
    """Nothing but this file."""
    return {}


def of(points: Tensor, shares: Sequence[float] | None = None, name: str = "modes") -> Data:
    """The points `[N, D]` as examples of class 1, and behind them their opposites as examples of class 0.

    `shares [N]` says how often each point comes, its opposite as often; by default all alike.
    """
    count = len(points)
    x, y = torch.cat([points, -points]), torch.arange(2).flip(0).repeat_interleave(count)
    found = Data(name, x, y, x, y, classes=2, ids=torch.arange(2 * count))
    return found if shares is None else replace(found, weights=torch.tensor(shares).repeat(2))
