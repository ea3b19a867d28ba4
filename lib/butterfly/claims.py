"""Claims: a statement, a statistic with its interval, and the verdict that follows from them.

A claim names the region in which its statistic must lie. It is `supported` when the whole 95 % interval lies inside,
`contradicted` when it lies wholly outside, and `inconclusive` otherwise. "No effect" is an equivalence claim with a
margin named beforehand, never a missing significance. The unit of replication is a seed.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy import stats

LEVEL = 0.95
_VOID = "; void: "
VERDICTS = ("supported", "contradicted", "inconclusive")


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

    def judge(self, interval: "Interval") -> str:
        """The verdict on an interval."""
        low, high = interval.low, interval.high
        if math.isnan(low) or math.isnan(high) or interval.n == 0:
            return "inconclusive"
        if self.low == self.high:
            return "supported" if low == high == self.low else "contradicted"
        if self.low < low and high < self.high:
            return "supported"
        return "contradicted" if high <= self.low or low >= self.high else "inconclusive"


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval from `n` independent units."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Claim:
    """One line of the ledger."""

    id: str
    notebook: str
    statement: str
    source: str
    statistic: str
    estimate: float
    low: float
    high: float
    n: int
    verdict: str


def claim(
    id: str, notebook: str, statement: str, source: str, statistic: str, region: Region, interval: Interval
) -> Claim:
    """Judge an interval against the region of a claim."""
    measured = f"{statistic}; region: {region}"
    return Claim(id, notebook, statement, source, measured, **asdict(interval), verdict=region.judge(interval))


def void(claims: Sequence[Claim], why: str) -> list[Claim]:
    """The same claims without a verdict, because what they rest on failed."""
    return [replace(c, verdict="inconclusive", statistic=f"{c.statistic}{_VOID}{why}") for c in claims]


# --- intervals -------------------------------------------------------------------------------------------------------


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


# --- the ledger ------------------------------------------------------------------------------------------------------


def write(path: Path, claims: Sequence[Claim]) -> None:
    """Write claims as JSON, sorted by id, whole or not at all."""
    rows = [_plain(asdict(c)) for c in sorted(claims, key=lambda c: c.id)]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    draft.replace(path)


def _plain(row: dict) -> dict:
    """JSON has no NaN: an interval that could not be had is null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def read(path: Path) -> list[Claim]:
    """The claims of a ledger file."""
    rows = json.loads(path.read_text())
    return [Claim(**{k: math.nan if v is None else v for k, v in row.items()}) for row in rows]


def table(claims: Iterable[Claim]) -> pd.DataFrame:
    """The ledger as a table for reading."""
    rows = [
        {
            "id": c.id,
            "claim": c.statement,
            "estimate": f"{c.estimate:.3g}",
            "95 % interval": f"{c.low:.3g} to {c.high:.3g}",
            "n": c.n,
            "verdict": c.verdict,
        }
        for c in claims
    ]
    return pd.DataFrame(rows, columns=["id", "claim", "estimate", "95 % interval", "n", "verdict"])


def markdown(claims: Iterable[Claim]) -> Markdown:
    """The ledger as a table in a notebook, with what was measured and the region claimed."""
    found = list(claims)
    rows = table(found)
    rows.insert(2, "measured by", [c.statistic for c in found])
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.to_numpy()]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def summary(claims: Sequence[Claim]) -> str:
    """One sentence: how many of each verdict, and how many to expect wrong by chance."""
    counts = ", ".join(f"{sum(c.verdict == v for c in claims)} {v}" for v in VERDICTS)
    chance = (1 - LEVEL) * len(claims)
    return f"{len(claims)} claims: {counts}. At {LEVEL:.0%} intervals, expect up to {chance:.1f} misled by chance."


def compare(fresh: Sequence[Claim], reference: Sequence[Claim]) -> list[str]:
    """In words, every way in which a fresh ledger departs from the reference; empty if they agree."""
    ours, theirs = ({c.id: c for c in claims} for claims in (fresh, reference))
    lines = [f"{id}: in the reference, but not in this run" for id in sorted(theirs.keys() - ours.keys())]
    lines += [f"{id}: in this run, but not in the reference" for id in sorted(ours.keys() - theirs.keys())]
    for id in sorted(ours.keys() & theirs.keys()):
        a, b = ours[id], theirs[id]
        if _VOID in a.statistic and _VOID not in b.statistic:
            lines.append(f"{id}: not judged here, {b.verdict} in the reference: {a.statistic.partition(_VOID)[2]}")
            continue
        if a.verdict != b.verdict:
            lines.append(f"{id}: {a.verdict} here, {b.verdict} in the reference")
        if not _within(a.estimate, b):
            lines.append(f"{id}: estimate {a.estimate:.3g} lies outside the reference's {b.low:.3g} to {b.high:.3g}")
    return lines


def _within(estimate: float, reference: Claim) -> bool:
    if math.isnan(reference.low):
        return True
    return reference.low <= estimate <= reference.high
