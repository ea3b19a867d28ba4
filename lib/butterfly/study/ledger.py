"""The ledger: claims as a file, as a table to read, and held against a reference run."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

from butterfly.strict import UserError
from butterfly.study.claims import VERDICTS, Claim, Region
from butterfly.study.intervals import LEVEL
from butterfly.study.store import write_whole


def write(path: Path, claims: Sequence[Claim]) -> None:
    """Write claims as JSON, sorted by id, whole or not at all."""
    rows = [_plain(asdict(c)) for c in sorted(claims, key=lambda c: c.id)]
    write_whole(path, (json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _plain(row: dict) -> dict:
    """JSON has no NaN and no infinity: an interval that could not be had is null, and so is a bound that is absent."""
    region = [bound if math.isfinite(bound) else None for bound in (row["region"]["low"], row["region"]["high"])]
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return plain | {"region": region}


def read(path: Path) -> list[Claim]:
    """The claims of a ledger file; `UserError` where it is damaged."""
    try:
        return [_claim(row) for row in json.loads(path.read_text())]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a ledger ({error}); delete it and make it again") from None


def _claim(row: dict) -> Claim:
    low, high = row["region"]
    region = Region(-math.inf if low is None else low, math.inf if high is None else high)
    return Claim(**{k: math.nan if v is None else v for k, v in row.items()} | {"region": region})


def table(claims: Iterable[Claim]) -> pd.DataFrame:
    """The ledger as a table for reading."""
    rows = [
        {
            "id": c.id,
            "claim": c.statement,
            "estimate": f"{c.estimate:.3g}",
            "95 % interval": f"{c.low:.3g} to {c.high:.3g}",
            "n": c.n,
            "verdict": c.verdict + (f" (void: {c.void})" if c.void else ""),
        }
        for c in claims
    ]
    return pd.DataFrame(rows, columns=["id", "claim", "estimate", "95 % interval", "n", "verdict"])


def full_table(claims: Iterable[Claim]) -> pd.DataFrame:
    """The same with who says it, what kind it is and about what, what was measured, and the region claimed."""
    found = list(claims)
    rows = table(found)
    rows.insert(2, "says", [c.origin + (f", {c.place}" if c.place else "") for c in found])
    rows.insert(3, "kind", [c.kind for c in found])
    rows.insert(4, "scope", [c.scope for c in found])
    rows.insert(5, "measured by", [c.statistic for c in found])
    rows.insert(6, "region", [str(c.region) for c in found])
    return rows


def markdown(claims: Iterable[Claim]) -> Markdown:
    """The ledger as a table in a notebook."""
    rows = full_table(claims).drop(columns=["kind", "scope"])
    return Markdown(as_markdown(rows))


def as_markdown(rows: pd.DataFrame) -> str:
    """A table in markdown."""
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.to_numpy()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def summary(claims: Sequence[Claim]) -> str:
    """One sentence: how many of each verdict, and how many of the decided ones to expect wrong by chance."""
    counts = {verdict: sum(c.verdict == verdict for c in claims) for verdict in VERDICTS}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    decided = len(claims) - counts["inconclusive"]
    # A verdict is false where the interval misses on one side: half of what lies outside its level.
    chance = (1 - LEVEL) / 2 * decided
    return f"{len(claims)} claims: {told}. Of the {decided} decided, expect up to {chance:.1f} to be wrong by chance."


def compare(fresh: Sequence[Claim], reference: Sequence[Claim]) -> list[str]:
    """In words, every way in which a fresh ledger departs from the reference; empty if they agree."""
    ours, theirs = ({c.id: c for c in claims} for claims in (fresh, reference))
    lines = [f"{id}: in the reference, but not in this run" for id in sorted(theirs.keys() - ours.keys())]
    lines += [f"{id}: in this run, but not in the reference" for id in sorted(ours.keys() - theirs.keys())]
    for id in sorted(ours.keys() & theirs.keys()):
        a, b = ours[id], theirs[id]
        if a.void and not b.void:
            lines.append(f"{id}: not judged here, {b.verdict} in the reference: {a.void}")
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
