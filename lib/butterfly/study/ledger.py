"""The ledger: claims as a file, as a table to read, and held against a reference run."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown

from butterfly.strict import UserError
from butterfly.study.claims import VERDICTS, Claim, Kind, Region, chance
from butterfly.study.intervals import ANYWHERE, LEVEL
from butterfly.study.store import write_whole


def write(path: Path, claims: Sequence[Claim]) -> None:
    """Write claims as JSON, sorted by id, whole or not at all; `ValueError` where two have one id."""
    if twice := sorted(id for id, count in Counter(c.id for c in claims).items() if count > 1):
        raise ValueError(f"two claims have the id {', '.join(twice)}; give one of them another")
    rows = [_plain(asdict(c)) for c in sorted(claims, key=lambda c: c.id)]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)  # a line a claim
    write_whole(path, f"[\n{lines}\n]\n".encode())


def _plain(row: dict) -> dict:
    """JSON has no NaN and no infinity: an interval that could not be had is null, and so is a bound that is absent."""
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    ranges = {"region": (row["region"]["low"], row["region"]["high"]), "reach": row["reach"]}
    return plain | {k: [bound if math.isfinite(bound) else None for bound in pair] for k, pair in ranges.items()}


def read(path: Path) -> list[Claim]:
    """The claims of a ledger file; `UserError` where it is damaged."""
    try:
        return [_claim(row) for row in json.loads(path.read_text())]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a ledger ({error}); delete it and make it again") from None


def _claim(row: dict) -> Claim:
    own = {k: math.nan if v is None else v for k, v in row.items()}
    if row["bound"] != "" or row["scale"] == "log":  # of a bound the other end may be anywhere
        own["high"] = math.inf if row["high"] is None and row["low"] is not None else own["high"]
    return Claim(**own | {"region": Region(*_range(row["region"])), "reach": _range(row["reach"])})


def _range(pair: Sequence[float | None]) -> tuple[float, float]:
    low, high = pair
    return -math.inf if low is None else low, math.inf if high is None else high


def table(claims: Iterable[Claim]) -> pd.DataFrame:
    """The ledger as a table for reading."""
    rows = [
        {
            "id": c.id,
            "claim": c.statement,
            "estimate": f"{c.bound}{c.estimate:.3g}",
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
    rows["reach"] = ["" if c.reach == ANYWHERE else f"{c.reach[0]:.3g} to {c.reach[1]:.3g}" for c in found]
    rows["power"] = ["" if math.isnan(c.power) else f"{c.power:.2f} at {c.planted:.3g}" for c in found]
    return rows


def markdown(claims: Iterable[Claim]) -> Markdown:
    """The ledger as a table in a notebook."""
    rows = full_table(claims).drop(columns=["kind", "scope", "reach"])
    return Markdown(as_markdown(rows))


def as_markdown(rows: pd.DataFrame) -> str:
    """A table in markdown."""
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.to_numpy()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def summary(claims: Sequence[Claim]) -> str:
    """How many of each kind and verdict, and how many of the decided findings to expect wrong by chance."""
    told = [f"{len(claims)} claims."]
    for kind in Kind:
        own = [c for c in claims if c.kind == kind]
        counts = ", ".join(f"{sum(c.verdict == verdict for c in own)} {verdict}" for verdict in VERDICTS)
        told += [f"{len(own)} of kind {kind}: {counts}."] if own else []
    decided = [c for c in claims if c.kind != Kind.CHECK and c.verdict != "inconclusive"]
    # A verdict is false where the interval misses on one side: half of what lies outside its level.
    wrong = (1 - LEVEL) / 2 * len(decided)
    fallen = sorted({c.id for c in decided} - standing(claims))
    told.append(f"Of the {len(decided)} decided that are not checks, expect up to {wrong:.1f} to be wrong by chance.")
    told.append(f"At a false discovery rate of 5 % {len(decided) - len(fallen)} of them stand")
    return " ".join(told) + (f"; these do not: {', '.join(fallen)}." if fallen else ".")


def standing(claims: Sequence[Claim], rate: float = 1 - LEVEL) -> set[str]:
    """The claims whose verdict stands when false discoveries are held to a rate (Benjamini and Hochberg 1995).

    Tested are all claims but checks; one that is not decided counts as tested, with a p-value of 1.
    """
    tested = [c for c in claims if c.kind != Kind.CHECK and c.n]
    values = np.array([chance(c) for c in tested])
    order = np.argsort(np.nan_to_num(values, nan=1.0), kind="stable")
    below = np.nonzero(np.nan_to_num(values[order], nan=1.0) <= rate * np.arange(1, len(tested) + 1) / len(tested))[0]
    return {tested[place].id for place in order[: below[-1] + 1]} if len(below) else set()


def unlike(fresh: Sequence[Claim], reference: Sequence[Claim]) -> list[str]:
    """In words, the claims that only one of two ledgers has, or that only the reference judges."""
    ours, theirs = ({c.id: c for c in claims} for claims in (fresh, reference))
    lines = [f"{id}: in the reference, but not in this run" for id in sorted(theirs.keys() - ours.keys())]
    lines += [f"{id}: in this run, but not in the reference" for id in sorted(ours.keys() - theirs.keys())]
    for id in sorted(ours.keys() & theirs.keys()):
        if ours[id].void and not theirs[id].void:
            lines.append(f"{id}: not judged here, {theirs[id].verdict} in the reference: {ours[id].void}")
    return lines


def departures(fresh: Sequence[Claim], reference: Sequence[Claim]) -> dict[str, str]:
    """In words and by id, how claims that both ledgers judge came out otherwise than in the reference."""
    ours, theirs = ({c.id: c for c in claims} for claims in (fresh, reference))
    found = {}
    for id in sorted(ours.keys() & theirs.keys()):
        a, b = ours[id], theirs[id]
        if a.void and not b.void:
            continue
        verdict = f"{a.verdict} here, {b.verdict} in the reference" * (a.verdict != b.verdict)
        outside = f"estimate {a.estimate:.3g} lies outside the reference's {b.low:.3g} to {b.high:.3g}"
        if told := "; ".join(filter(None, [verdict, outside * (not within(a.estimate, b))])):
            found[id] = told
    return found


def within(estimate: float, reference: Claim) -> bool:
    """Whether an estimate lies in the interval of the reference; yes where it has none."""
    if math.isnan(reference.low):
        return True
    return reference.low <= estimate <= reference.high
