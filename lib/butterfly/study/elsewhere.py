"""The same verdicts elsewhere: the claims of a profile under instruction sets that round differently.

`make elsewhere` computes every claim anew on the same seeds, under each set in processes of their own, and keeps the
verdicts beside the reference; `make elsewhere-01` those of one notebook. A claim whose verdict hangs on rounding says
so; how many depart tells what another machine may find by chance.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from butterfly.strict import UserError
from butterfly.study import folders, ledger
from butterfly.study.claims import Claim
from butterfly.study.intervals import TAIL
from butterfly.study.store import write_whole

# Beside what the machine chooses by itself.
SETS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
Found = Mapping[str, Mapping[str, Mapping[str, Any]]]  # by set and id: verdict and estimate


def compute(profile: str, only: str = "") -> None:
    """Compute and keep what is claimed under each set; what was computed before is found in the store.

    `only` is the number of one notebook: what was kept of the others stays.
    """
    if not (folders.reference(profile) / "claims.json").exists():
        raise UserError(f"there is no reference of profile '{profile}' yet: run 'make reference' first")
    before = read(profile) if only else {}
    ids = {c.id for c in ledger.read(folders.reference(profile) / "claims.json")}
    kept = {}
    for name, choice in SETS.items():
        print(f"under {name}", file=sys.stderr, flush=True)
        file = folders.results(profile) / f"elsewhere-{name}.json"
        command = [sys.executable, "-m", "butterfly", "judge", "--profile", profile, "--keep", str(file)]
        command += ["--only", only] if only else []
        if code := subprocess.run(command, env=os.environ | choice, check=False).returncode:
            raise UserError(f"under {name} it ended with code {code}; finished shards are kept, run the same again")
        found = {c.id: {"verdict": c.verdict, "estimate": c.estimate} for c in ledger.read(file)}
        kept[name] = {id: row for id, row in {**before.get(name, {}), **found}.items() if id in ids}
    write(folders.reference(profile), kept)


def write(folder: Path, found: Found) -> None:
    """Keep what was found in the folder of a reference, whole or not at all."""
    text = json.dumps(found, indent=1, sort_keys=True).replace("NaN", "null")
    write_whole(folder / "elsewhere.json", f"{text}\n".encode())


def read(profile: str) -> Found:
    """What was kept; nothing where nothing was yet."""
    file = folders.reference(profile) / "elsewhere.json"
    if not file.exists():
        return {}
    try:
        return {
            name: {id: dict(row) for id, row in rows.items()} for name, rows in json.loads(file.read_text()).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error}); take it back from git") from None


def of(claims: Iterable[Claim], found: Found) -> Found:
    """What was found of some claims."""
    ids = {c.id for c in claims}
    return {name: {id: row for id, row in rows.items() if id in ids} for name, rows in found.items()}


def still(found: Found, before: Sequence[Claim], now: Sequence[Claim]) -> Found:
    """What was found of the claims that are now, to the last digit, what they were before."""
    numbers = {_numbers(c) for c in before}
    return of((c for c in now if _numbers(c) in numbers), found)


def _numbers(claim: Claim) -> tuple[str, ...]:
    return claim.id, claim.verdict, *map(repr, (claim.estimate, claim.low, claim.high))  # as text NaN is NaN


def held(claim: Claim, found: Found) -> tuple[int, int]:
    """Under how many sets a claim has its verdict, its own run counted, and of how many."""
    others = [rows[claim.id]["verdict"] for rows in found.values() if claim.id in rows]
    return 1 + sum(verdict == claim.verdict for verdict in others), 1 + len(others)


def shaky(claims: Sequence[Claim], found: Found) -> set[str]:
    """The claims whose verdict is not the same under all sets."""
    return {claim.id for claim in claims for same, of in [held(claim, found)] if same < of}


def turned(claims: Sequence[Claim], found: Found) -> list[str]:
    """The claims that are supported under one set and contradicted under another."""
    verdicts = {c.id: {c.verdict, *(rows[c.id]["verdict"] for rows in found.values() if c.id in rows)} for c in claims}
    return [id for id, own in verdicts.items() if own >= {"supported", "contradicted"}]


def most(claims: Sequence[Claim], found: Found) -> tuple[float, int]:
    """How many claims depart from the reference under another set on average, and how many may by chance elsewhere.

    Claims that were not judged under other sets are taken to depart as often as the others. How often that is, is
    known from so many verdicts only: the bound is one of a beta-binomial count, with Jeffreys' prior of the rate.
    """
    judged = [departs(rows[c.id], c) for rows in found.values() for c in claims if c.id in rows]
    if not judged:
        return 0.0, 0
    did = sum(judged)
    chance = stats.betabinom(len(claims), did + 0.5, len(judged) - did + 0.5)
    return did / len(judged) * len(claims), int(chance.ppf(1 - TAIL))


def departs(row: Mapping[str, Any], reference: Claim) -> bool:
    """Whether a verdict is another one, or an estimate lies outside the interval of the reference."""
    estimate = row["estimate"]
    return row["verdict"] != reference.verdict or (estimate is not None and not ledger.within(estimate, reference))
