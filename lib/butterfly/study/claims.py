"""Claims: a statement, a statistic with its interval, and the verdict that follows from them.

A claim names the region in which its statistic must lie. It is `supported` when the whole 95 % interval lies inside,
`contradicted` when it lies wholly outside, and `inconclusive` otherwise. "No effect" is an equivalence claim with a
margin named beforehand, never a missing significance.

A verdict is worth having only if it could have come out otherwise. Beside it stand the range that the statistic can
reach, and the power: how often an effect planted at a stated distance from the bound would be decided with this n and
this spread.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from scipy import stats

from butterfly.study.intervals import ANYWHERE, POSITIVE, Interval, share, student

VERDICTS = ("supported", "contradicted", "inconclusive")


class Origin(StrEnum):
    """Who says it."""

    PAPER = "paper"
    ABSTRACT = "abstract"
    CODE = "authors' code"
    NOTEBOOK = "authors' notebook"
    OTHER = "other paper"
    OURS = "ours"


class Kind(StrEnum):
    """What sort of claim it is: about networks, about the machine that trains them, or about our own instruments."""

    FINDING = "finding"
    MACHINE = "machine"
    CHECK = "check"


@dataclass(frozen=True)
class Region:
    """Where a statistic must lie: between two bounds, or exactly at one value."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if self.low == self.high:
            return f"exactly {self.low:g}"
        if math.isinf(self.low):
            return f"below {self.high:g}"
        if math.isinf(self.high):
            return f"above {self.low:g}"
        return f"between {self.low:g} and {self.high:g}"

    def judge(self, interval: Interval) -> str:
        """The verdict on an interval."""
        low, high = interval.low, interval.high
        if math.isnan(low) or math.isnan(high) or interval.n == 0:
            return "inconclusive"
        if self.low == self.high:
            return "supported" if low == high == self.low else "contradicted"
        # Where there is no bound, there is nothing to stay clear of: an interval may be open there as well.
        if (self.low < low or self.low == -math.inf) and (high < self.high or self.high == math.inf):
            return "supported"
        return "contradicted" if high <= self.low or low >= self.high else "inconclusive"


def above(low: float) -> Region:
    """Everything above a bound."""
    return Region(low=low)


def below(high: float) -> Region:
    """Everything below a bound."""
    return Region(high=high)


def between(low: float, high: float) -> Region:
    """Everything between two bounds."""
    return Region(low, high)


def exactly(value: float) -> Region:
    """One value alone."""
    return Region(value, value)


# --- what a verdict is worth -----------------------------------------------------------------------------------------

FACTOR, PART, BESIDE = 1.5, 0.25, 0.1  # how far beyond a bound effects are planted: a ratio, a share, a correlation


def planted(region: Region, interval: Interval, margin: float | None = None) -> float:
    """The true value for which power is asked: in the middle of a region with two bounds, else beyond its one bound.

    How far beyond is the `margin`, on a log scale a factor. Without one it is `FACTOR`, `PART` of a count, `BESIDE` of
    a bounded statistic, else as much as the bound itself; NaN if that is 0. What would lie out of reach is planted
    halfway to its end.
    """
    low, high = max(region.low, interval.reach[0]), min(region.high, interval.reach[1])
    if math.isfinite(region.low) and math.isfinite(region.high):
        return math.sqrt(low * high) if interval.scale == "log" and low > 0 else (low + high) / 2
    bound, sign = (region.low, 1) if math.isfinite(region.low) else (region.high, -1)
    end = interval.reach[1] if sign > 0 else interval.reach[0]
    if interval.scale == "log":
        return bound * (margin or FACTOR) ** sign
    bounded = BESIDE if math.isfinite(end) else abs(bound)
    value = bound + sign * (margin or (PART if interval.scale == "share" else bounded))
    beyond = (value - end) * sign >= 0
    return math.nan if value == bound else (bound + end) / 2 if beyond else value


def power(region: Region, interval: Interval, truth: float) -> float:
    """How often a claim would be supported if the `truth` lay in its region, with the n and spread of the interval."""
    if interval.scale == "share" and interval.n:
        counts = np.arange(interval.n + 1)
        decided = [region.judge(share(np.arange(interval.n) < count)) == "supported" for count in counts]
        return float(stats.binom.pmf(counts, interval.n, truth)[decided].sum())
    taken = np.log if interval.scale == "log" else np.asarray
    with np.errstate(divide="ignore", invalid="ignore"):
        low, middle, high, at = (float(taken(v)) for v in (interval.low, interval.estimate, interval.high, truth))
        first, last = (float(taken(v)) for v in (region.low, region.high))
    halves = [half for half in (middle - low, high - middle) if math.isfinite(half) and half > 0]
    if not halves or math.isnan(at) or interval.n < 2:
        return math.nan
    half = sum(halves) / len(halves)
    if interval.scale == "linear" and interval.reach == POSITIVE and middle > 0:
        half *= min(at / middle, 1.0)  # the spread of what cannot be negative shrinks with its size
    error = half / student(interval.n - 1)
    above = stats.norm.cdf((last - half - at) / error) if math.isfinite(last) else 1.0
    return float(max(above - (stats.norm.cdf((first + half - at) / error) if math.isfinite(first) else 0.0), 0.0))


def chance(claim: "Claim") -> float:
    """The p-value of a verdict, two-sided: how often so clear an estimate would come from a truth at the bound."""
    region, taken = claim.region, (np.log if claim.scale == "log" else np.asarray)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, middle, high = (float(taken(v)) for v in (claim.low, claim.estimate, claim.high))
        bounds = [float(taken(v)) for v in (region.low, region.high)]
    if claim.verdict == "inconclusive" or claim.scale == "exact":
        return math.nan
    if claim.scale == "share":
        hits = round(claim.estimate * claim.n)
        return max(float(stats.binomtest(hits, claim.n, b).pvalue) for b in bounds if 0 < b < 1)
    found = []
    for bound in filter(math.isfinite, bounds):
        half = middle - low if bound < middle else high - middle
        if claim.n > 1 and math.isfinite(half) and half > 0:
            found.append(2 * float(stats.t.sf(abs(middle - bound) / half * student(claim.n - 1), claim.n - 1)))
    # Inside two bounds both must be excluded, outside of them one.
    return math.nan if not found else max(found) if claim.verdict == "supported" else min(found)


def possible(claim: "Claim") -> bool:
    """Whether the claim could have failed and could have passed, as far as the reach of its statistic goes."""
    low, high = claim.reach
    fails = claim.region.low > low or claim.region.high < high
    return fails and claim.region.low < high and claim.region.high > low


@dataclass(frozen=True)
class Claim:
    """One line of the ledger; `void` is the reason why it was not judged, or empty.

    `reach` is the range that the statistic can reach, `power` how often the claim would be supported if the truth were
    `planted`. `scale` and `bound` are those of the interval.
    """

    id: str
    notebook: str
    paper: str
    statement: str
    origin: str
    place: str
    kind: str
    scope: str
    source: str
    statistic: str
    region: Region
    estimate: float
    low: float
    high: float
    n: int
    verdict: str
    void: str = ""
    figure: str = ""
    scale: str = "linear"
    bound: str = ""
    reach: tuple[float, float] = ANYWHERE
    planted: float = math.nan
    power: float = math.nan
    registered: bool = False  # judged as written down before the run


# --- why a claim may not be judged -----------------------------------------------------------------------------------


def differing_controls(twins: pd.DataFrame) -> str:
    """Why claims on twins are void: a twin that was not kicked left its parent. Empty if none did."""
    apart = twins[twins.kind == "control"].largest_difference
    if (apart > 0).any():
        return "control twins differ from their parents"
    return (
        lost(apart.to_frame(), "control twins have no finite weights") if len(apart) else "there are no control twins"
    )


def lost(needed: pd.DataFrame, what: str) -> str:
    """Why claims on numbers are void: some are not finite. Empty if all are."""
    count = int((~np.isfinite(needed).all(axis=1)).sum())
    return f"{count} of {len(needed)} {what}" if count else ""


def broken(twins: pd.DataFrame, needed: list[str]) -> str:
    """Why claims on twins are void: controls differ, or a number that they rest on is not finite."""
    reasons = differing_controls(twins), lost(twins[needed], "twins or their paths have no finite loss")
    return "; ".join(filter(None, reasons))
