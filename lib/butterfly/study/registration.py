"""Registration: what is claimed, written down before the run that counts.

`make register` keeps, in `figures/reference/`, two files that are committed before any network of the confirming run is
trained: `exploration.json`, the ledger of the run on which claims were worked out (profile `exploration`), and
`registered.json`, every claim as it will be judged: statement, statistic, region, kind, what makes it void, the
parameters that set its n, and a hash of all code from the plan of its study to the verdict. The confirming run (profile
`laptop`) has seeds from 1,000,000, which no earlier run has used; its ledger says of each claim whether it is judged as
registered, and whether the two runs agree. `make register PROFILE=cifar` writes the same claims down for other data and
networks, on which nothing was explored, in `registered-cifar.json`.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from butterfly.interpolate import EPSILON
from butterfly.strict import UserError
from butterfly.study import folders, identity, ledger, notebooks, profiles
from butterfly.study.claims import Claim
from butterfly.study.store import write_whole

EXPLORATION, CONFIRMATION = "exploration", "laptop"
FIRST = 1_000_000  # seeds from here on are kept for confirmation


def write(explored: Sequence[Claim], only: str = "") -> None:
    """Keep the ledger of the exploration, and register every claim of every study; `UserError` where one is missing.

    `only` is the number of the one notebook that was explored: what was written of the others stays.
    """
    if only:
        others = [claim for claim in exploration().values() if claim.notebook[:2] != only]
        explored = sorted([*others, *explored], key=lambda claim: claim.id)
    before = {claim.id: claim for claim in explored}
    text = _registered(CONFIRMATION, only)
    for row in text["claims"]:
        claim = before.get(row["id"])
        if claim is None:
            raise UserError(f"{row['id']} was not explored: params/{EXPLORATION}.yaml asks for other claims")
        row["planted"] = None if math.isnan(claim.planted) else claim.planted
        row["n explored"] = claim.n
    ledger.write(folders.FIGURES / "reference" / "exploration.json", [replace(c, figure="") for c in explored])
    _write(CONFIRMATION, text)


def also(profile: str, only: str = "") -> None:
    """Register the claims of another profile: the same, on data and networks of which nothing was explored."""
    _write(profile, _registered(profile, only))


def _registered(profile: str, only: str = "") -> dict[str, Any]:
    """What is to be written down of every study of a profile, or of one, beside what was of the others."""
    rows, studies = [], {}
    kept = registered(profile) if only else {}
    written = {row["id"]: row for row in kept.get("claims", [])}
    for topic in (topic for topic in _studied() if topic in profiles.sections(profile)):
        study, (params, _) = notebooks.study(topic), _parameters(topic, profile)
        if topic[:2] != only and topic in kept.get("studies", {}):
            studies[topic] = kept["studies"][topic]
            rows += [written[row["id"]] for row in study.asked(params) if row["id"] in written]
            continue
        if params.first_seed < FIRST:
            raise UserError(f"params/{profile}.yaml, {topic}: first_seed is below {FIRST}; seeds were looked at")
        studies[topic] = {"code": digest(topic), "parameters": params.model_dump(mode="json")}
        rows += study.asked(params)
    return {"floor of barriers": EPSILON, "studies": studies, "claims": rows}


def _write(profile: str, text: Mapping[str, Any]) -> None:
    write_whole(file(profile), (json.dumps(text, indent=1, ensure_ascii=False) + "\n").encode())


def file(profile: str) -> Path:
    """Where what was registered of a profile is written."""
    return folders.FIGURES / "reference" / f"registered{'' if profile == CONFIRMATION else f'-{profile}'}.json"


# What decides no number: how results are drawn, and on which machine shards are computed.
_APART = ("butterfly.study.figures", "butterfly.study.executors")


def digest(topic: str) -> str:
    """A hash of a study's module and of all code that it reaches: plan, computation, tables, claims; not of figures."""
    module = notebooks.study(topic).parameters.__module__
    code = json.dumps(identity.code([], [module], _APART), sort_keys=True)
    return hashlib.sha256(code.encode()).hexdigest()[:32]


def judged(claims: Sequence[Claim], profile: str = CONFIRMATION) -> list[Claim]:
    """Claims with whether they were judged as registered: statement, region, parameters and code are the same."""
    found = registered(profile)
    rows = {row["id"]: row for row in found.get("claims", [])}
    studies = found.get("studies", {})
    same = {topic: _same(topic, profile, studies) for topic in {claim.notebook for claim in claims}}
    return [replace(c, registered=same[c.notebook] and _as_written(c, rows.get(c.id, {}))) for c in claims]


def _same(topic: str, profile: str, studies: Mapping[str, Any]) -> bool:
    now = {"code": digest(topic), "parameters": _parameters(topic, profile)[0].model_dump(mode="json")}
    return json.loads(json.dumps(now)) == studies.get(topic)


def _as_written(claim: Claim, row: Mapping[str, Any]) -> bool:
    return (claim.statement, claim.statistic, str(claim.region), claim.kind) == tuple(
        row.get(name) for name in ("statement", "statistic", "region", "kind")
    )


def registered(profile: str = CONFIRMATION) -> dict[str, Any]:
    """What was registered of a profile; nothing where nothing was yet."""
    path = file(profile)
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError("not a registration")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); take it back from git") from None
    return found


def exploration() -> dict[str, Claim]:
    """The claims of the exploration, by id; nothing where it was not kept yet."""
    kept = folders.FIGURES / "reference" / "exploration.json"
    return {claim.id: claim for claim in ledger.read(kept)} if kept.exists() else {}


def agreement(claim: Claim, explored: Mapping[str, Claim]) -> str:
    """What exploration said of a claim, in a few words."""
    if claim.id not in explored:
        return "not explored"
    before = explored[claim.id]
    if before.verdict != claim.verdict:
        return f"{before.verdict} before ({before.bound}{before.estimate:.3g})"
    return f"the same ({before.bound}{before.estimate:.3g})"


def _studied() -> list[str]:
    return [topic for topic in folders.topics() if notebooks.study(topic).paper is not None]


def _parameters(topic: str, profile: str = CONFIRMATION) -> tuple:
    return profiles.parameters(topic, notebooks.study(topic).parameters, profile)
