"""Estimates with their 95 % confidence intervals; the unit of replication is whatever was drawn independently."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval from `n` independent units."""

    estimate: float
    low: float
    high: float
    n: int


def mean(values: Sequence[float]) -> Interval:
    """Mean over seeds, with Student's t interval."""
    x = np.asarray(values, dtype=float)
    if len(x) < 2 or not np.isfinite(x).all():
        return Interval(float(x.mean()) if len(x) else math.nan, math.nan, math.nan, len(x))
    if np.ptp(x) == 0:
        return Interval(float(x[0]), float(x[0]), float(x[0]), len(x))
    low, high = stats.ttest_1samp(x, 0.0).confidence_interval(LEVEL)
    return Interval(float(x.mean()), float(low), float(high), len(x))


def geometric_mean(values: Sequence[float]) -> Interval:
    """Geometric mean over seeds of positive values: the t interval of the logarithms, taken back."""
    logs = mean(np.log(np.asarray(values, dtype=float)))
    return Interval(*(math.exp(v) for v in (logs.estimate, logs.low, logs.high)), logs.n)


def share(hits: Sequence[bool]) -> Interval:
    """Share of seeds for which something holds, with the exact (Clopper-Pearson) interval."""
    count, total = int(np.sum(hits)), len(hits)
    if total == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    low, high = stats.binomtest(count, total).proportion_ci(LEVEL, method="exact")
    return Interval(count / total, float(low), float(high), total)


def exact(value: float, n: int) -> Interval:
    """A value that is observed, not estimated: the largest difference between `n` pairs, say."""
    return Interval(value, value, value, n)


def slopes(x: Sequence[float], y: np.ndarray) -> np.ndarray:
    """Least-squares slope `[S]` of each seed's row of `y [S, X]` on `x [X]`."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    return (y - y.mean(1, keepdims=True)) @ centred / (centred @ centred)
