"""Claims: a statement, a statistic with its interval, and the verdict that follows from them.

A claim names the region in which its statistic must lie. It is `supported` when the whole 95 % interval lies inside,
`contradicted` when it lies wholly outside, and `inconclusive` otherwise. "No effect" is an equivalence claim with a
margin named beforehand, never a missing significance.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from butterfly.study.intervals import Interval

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
        if self.low < low and high < self.high:
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


@dataclass(frozen=True)
class Claim:
    """One line of the ledger; `void` is the reason why it was not judged, or empty."""

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


# --- why a claim may not be judged -----------------------------------------------------------------------------------


def differing_controls(twins: pd.DataFrame) -> str:
    """Why claims on twins are void: a twin that was not kicked left its parent. Empty if none did."""
    if twins[twins.kind == "control"].largest_difference.max(skipna=False) != 0:
        return "control twins differ from their parents"
    return ""


def lost(needed: pd.DataFrame, what: str) -> str:
    """Why claims on numbers are void: some are not finite. Empty if all are."""
    count = int((~np.isfinite(needed).all(axis=1)).sum())
    return f"{count} of {len(needed)} {what}" if count else ""


def broken(twins: pd.DataFrame, needed: list[str]) -> str:
    """Why claims on twins are void: controls differ, or a number that they rest on is not finite."""
    reasons = differing_controls(twins), lost(twins[needed], "twins or their paths have no finite loss")
    return "; ".join(filter(None, reasons))
