"""Places in a square whose halves are two classes, with a disc of the other class in each: easy places, and hard."""

import math
import re
from functools import lru_cache

import torch
from torch import Tensor

from butterfly.data.base import Data, DataError

PATTERN = r"yinyang-(?P<places>[1-9]\d*)"
CENTRE, RADIUS = 0.5, 0.3  # of one disc, at (0.5, -0.5); the other lies opposite


@lru_cache(maxsize=4)
def load(name: str) -> Data:
    """As many even places in the square from -1 to 1 as the name says, `yinyang-100`, and four times as many to test.

    The upper half is one class and the lower the other, but for a disc in each. Labels for a pattern that is turned, as
    `pattern` gives them, are put in as `targets`. George et al. (TMLR 2022) learn this one, at random places.
    """
    found = re.fullmatch(PATTERN, name)
    if not found:
        raise DataError(f"unknown data set '{name}'; try yinyang-100")
    count = int(found["places"])
    x = places(5 * count).float()
    y, _ = pattern(x, 0.0)
    return Data(name, x[:count], y[:count], x[count:], y[count:], classes=2, ids=torch.arange(count))


def input_shape(name: str) -> tuple[int, ...]:
    """Two coordinates."""
    return (2,)


def provenance(name: str) -> dict[str, str]:
    """Nothing but this file."""
    return {}


def places(count: int) -> Tensor:
    """Places `[N, 2]` that fill the square from -1 to 1 evenly, float64; the first few of many are even as well.

    They are multiples of the two powers of the plastic number that fill a square as the golden ratio fills a line.
    """
    plastic = 1.324717957244746  # its cube is itself and 1
    steps = torch.tensor([1 / plastic, 1 / plastic**2], dtype=torch.float64)
    turns = 0.5 + torch.arange(1, count + 1, dtype=torch.float64)[:, None] * steps
    return 2 * (turns % 1) - 1


def turned(x: Tensor, turn: float) -> Tensor:
    """Coordinates `[N, 2]` of places in a pattern that is turned by a share of a full turn, counter-clockwise."""
    angle = 2 * math.pi * turn
    along = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return x @ along.to(x)


def pattern(x: Tensor, turn: float) -> tuple[Tensor, Tensor]:
    """The class of each place, 0 or 1, and whether it lies in one of the discs, `[N]` each, of a turned pattern."""
    own = turned(x, turn)
    centre = torch.tensor([CENTRE, -CENTRE]).to(x)
    disc = torch.minimum((own - centre).norm(dim=1), (own + centre).norm(dim=1)) < RADIUS
    return ((own[:, 1] > 0) ^ disc).long(), disc
