"""Milestones: what a statistic is when a curve first reaches a level, so that runs are compared at equal progress.

Curves and statistics are seen at the same looks and have them first, `[T, ...]`. A run is read twice: `crossings` finds
where its curve, such as its mean loss, reaches a level, and `read` what anything else was there.
"""

from collections.abc import Sequence

import numpy as np


def root_looks(steps: int, count: int) -> list[int]:
    """The updates after which to look: about `count`, from 0 to `steps`, evenly in the square root of time."""
    return np.unique((np.linspace(0, 1, count) ** 2 * steps).round().astype(int)).tolist()


def crossings(curves: np.ndarray, levels: Sequence[float], rising: bool = False) -> np.ndarray:
    """Where each of the curves `[T, *S]` first falls (or rises) to each level: `[K, *S]`, counted in looks.

    Between looks a curve is a straight line. 0 where it begins beyond the level, NaN where it never gets there; what is
    not finite is short of the level.
    """
    seen = np.asarray(curves, dtype=float)
    found = [_crossing(-seen, -level) if rising else _crossing(seen, level) for level in levels]
    return np.stack(found) if found else np.empty((0, *seen.shape[1:]))


def _crossing(curves: np.ndarray, level: float) -> np.ndarray:
    """Where curves `[T, *S]` first fall to a level."""
    beyond = np.isfinite(curves) & (curves <= level)
    first = beyond.argmax(0)
    before = np.maximum(first - 1, 0)
    high, low = (np.take_along_axis(curves, at[None], 0)[0] for at in (before, first))
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (high - level) / (high - low)
    # From a look that was not finite there is no line: the curve is taken to arrive with the look.
    part = np.where(first == 0, 0.0, np.where(np.isfinite(high), part, 1.0))
    return np.where(beyond.any(0), before + part, np.nan)


def read(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Statistics `values [T, *S, ...]` at places `[K, *S]` counted in looks: `[K, *S, ...]`, on straight lines between.

    NaN where the place is.
    """
    seen, at = np.asarray(values, dtype=float), np.asarray(places, dtype=float)
    if seen.shape[1 : at.ndim] != at.shape[1:]:
        raise ValueError(f"values of shape {seen.shape} cannot be read at places of shape {at.shape}")
    at = at.reshape(at.shape + (1,) * (seen.ndim - at.ndim))
    known = np.nan_to_num(at)
    low = np.clip(np.floor(known).astype(int), 0, len(seen) - 1)
    high = np.minimum(low + 1, len(seen) - 1)
    part = known - low
    ahead, behind = (np.take_along_axis(seen, index, 0) for index in (low, high))
    between = np.where(part == 0, ahead, (1 - part) * ahead + part * behind)
    return np.where(np.isnan(at), np.nan, between)


def at_levels(values: np.ndarray, curves: np.ndarray, levels: Sequence[float], rising: bool = False) -> np.ndarray:
    """Statistics `values [T, *S, ...]` when the curves `[T, *S]` first reach each level: `[K, *S, ...]`."""
    return read(values, crossings(curves, levels, rising))
