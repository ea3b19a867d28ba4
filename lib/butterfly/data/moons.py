"""Two moons, and a margin between them: apart, a straight line tells them; overlapping, only a curve does.

The margin is that of Pezeshki et al. (2021, arXiv 2011.09468), as their code has it.
"""

import math
import re
from functools import lru_cache

import torch
from torch import Tensor

from butterfly.data.base import Data, DataError
from butterfly.streams import generator

PATTERN = r"moons-(?P<count>[1-9]\d*)"
NOISE = 0.1  # standard deviation of each coordinate
AWAY = 0.3  # how far each moon is moved from the middle: without noise they then lie 0.1 apart
WIDTH = 1.5  # without noise, the moons lie between -WIDTH and WIDTH in the first coordinate


@lru_cache(maxsize=4)
def load(name: str) -> Data:
    """Two moons of that many points in all, as of `moons-300`, that just touch: `draw` with margin 0, seed 0."""
    count = int(re.fullmatch(PATTERN, name)["count"])
    if count % 2:
        raise DataError(f"unknown data set '{name}'; try moons-300, an even number of points")
    return draw(count, 0.0, 0)


def input_shape(name: str) -> tuple[int, ...]:
    """Two coordinates."""
    return (2,)


def provenance(name: str) -> dict[str, str]:
    """Nothing but this file."""
    return {}


def draw(count: int, margin: float, seed: int, noise: float = NOISE) -> Data:
    """Two moons of `count` points in all `[N, 2]`, the lower (0) and the upper (1), half and half, and as many to test.

    Places along the moons are even, noise is Gaussian and follows the seed. The moons are moved up and down, away from
    each other, and points that noise took across the middle are reflected at it. Then each moon is moved `margin`
    further: no point lies closer to the middle. Below 0, moons are moved back across it by that much and overlap.
    Seeds keep their noise whatever the margin.
    """
    if count < 4 or count % 2:
        raise ValueError(f"{count} points; give an even number, 4 or more")
    y = torch.arange(2).repeat_interleave(count // 2)
    x, x_test = (_moons(count, noise, generator("moons", part, seed)) for part in ("train", "test"))
    side = 2.0 * y - 1
    for points in (x, x_test):
        points[:, 1] = side * ((side * points[:, 1] + AWAY).abs() + margin)
    return Data(f"moons-{count}", x, y, x_test, y, classes=2, ids=torch.arange(count))


def _moons(count: int, noise: float, random: torch.Generator) -> Tensor:
    """The lower and then the upper moon `[N, 2]`, around the origin."""
    angle = torch.linspace(0, math.pi, count // 2)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    points = torch.cat([lower, upper]) - torch.tensor([0.5, 0.25])
    return points + noise * torch.randn(count, 2, generator=random)


# --- what a network made of them -------------------------------------------------------------------------------------


def places(side: int) -> Tensor:
    """Even places `[side^2, 2]` of the square that the moons lie in, row after row from below."""
    along = torch.linspace(-WIDTH, WIDTH, side)
    second, first = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([first.flatten(), second.flatten()], 1)


def curve(x: Tensor) -> Tensor:
    """The curved feature `[N]` of even places `x [N, 2]`: the wave in the first coordinate that the moons bend around,
    without the straight line that fits it best."""
    first = x[:, 0].double()
    wave = (math.pi * first).sin()
    return wave - first * (wave @ first) / (first @ first)


def curved_share(values: Tensor, x: Tensor) -> Tensor:
    """The share of the variance of outputs `values [M, N]` at even places `x [N, 2]` that the curved feature explains.

    A squared correlation `[M]`, from 0 to 1: 0 for any function of the second coordinate plus a straight line, and
    where outputs bend the wrong way. Outputs that are constant have none.
    """
    centred = values.double() - values.double().mean(1, keepdim=True)
    feature = curve(x).to(centred)
    length = centred.norm(dim=1)
    correlation = torch.where(length == 0, 0.0, (centred @ feature) / (length * feature.norm()))
    return correlation.clamp_min(0).square()
