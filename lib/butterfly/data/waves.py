"""Waves to regress, at even places along an interval or around a flower, and the Fourier coefficients of values."""

import math
import re
from functools import lru_cache

import torch
from torch import Tensor

from butterfly.data.base import Data, DataError

PATTERN = r"waves-(?P<places>[1-9]\d*)(-(?P<petals>\d+)petals)?"


@lru_cache(maxsize=4)
def load(name: str) -> Data:
    """One wave, sin(2 pi t), at even t from 0 to 1: `waves-200` on an interval, `waves-200-8petals` around a flower.

    Inputs are 2 t - 1, from -1 to 1 `[N, 1]`, or the points of the flower `[N, 2]`; the test set lies halfway between.
    Other values, such as those of `sines`, are put in as `targets`: Rahaman et al. (ICML 2019) learn these.
    """
    count, petals = _parts(name)
    along = places(count)

    def examples(t: Tensor) -> tuple[Tensor, Tensor]:
        x = 2 * t[:, None] - 1 if petals is None else flower(t, petals)
        return x.float(), (2 * math.pi * t).sin().float()[:, None]

    (x, y), (x_test, y_test) = examples(along), examples(along + 0.5 / count)
    return Data(name, x, y, x_test, y_test, classes=1, ids=torch.arange(count))


def input_shape(name: str) -> tuple[int, ...]:
    """One number along the interval, two around the flower."""
    return (1,) if _parts(name)[1] is None else (2,)


def provenance(name: str) -> dict[str, str]:
    """Nothing but this file."""
    return {}


def _parts(name: str) -> tuple[int, int | None]:
    """How many places, and how many petals, if it is a flower."""
    found = re.fullmatch(PATTERN, name)
    if not found:
        raise DataError(f"unknown data set '{name}'; try waves-200, or waves-200-8petals")
    return int(found["places"]), None if found["petals"] is None else int(found["petals"])


# --- places and values -----------------------------------------------------------------------------------------------


def places(count: int) -> Tensor:
    """Even places `[N]` from 0 on, below 1, float64."""
    return torch.arange(count, dtype=torch.float64) / count


def flower(along: Tensor, petals: int) -> Tensor:
    """Points `[N, 2]` of a curve with that many petals, once around for `along [N]` from 0 to 1; none: the circle.

    The distance from the middle is 1 + sin(2 pi petals t) / 2.
    """
    angle = 2 * math.pi * along
    radius = 1 + (petals * angle).sin() / 2
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def length(points: Tensor) -> float:
    """Length of the closed line through points `[N, D]`."""
    return float((points.roll(-1, 0) - points).norm(dim=1).sum())


def sines(along: Tensor, frequencies: Tensor, amplitudes: Tensor, phases: Tensor) -> Tensor:
    """The sums of amplitude * sin(2 pi (frequency t + phase)) at the places t `[N]`: `[..., N]`.

    One row for each row of `phases [..., K]`, which counts in turns; `amplitudes` may have rows as well.
    """
    turns = frequencies[:, None] * along + phases[..., None]  # [..., K, N]
    return ((2 * math.pi * turns).sin() * amplitudes[..., None]).sum(-2)


def coefficients(values: Tensor, frequencies: Tensor) -> Tensor:
    """What there is of each whole frequency `[K]` in values `[..., N]` at even places: complex numbers `[..., K]`.

    A wave amplitude * sin(2 pi (frequency t + phase)), frequency from 1 to below N / 2, gives the number of that
    modulus and, in turns, that angle.
    """
    count = values.shape[-1]
    turns = places(count)[:, None] * frequencies
    waves = torch.polar(torch.ones_like(turns), -2 * math.pi * turns)  # [N, K]
    return 2j / count * (values.to(waves) @ waves)


def radial(x: Tensor, frequency: float, phase: float) -> Tensor:
    """sin(2 pi (frequency |x| + phase)) of inputs `[N, ...]`: a wave `[N]` outward from the origin, phase in turns."""
    return (2 * math.pi * (frequency * x.flatten(1).norm(dim=1) + phase)).sin()
