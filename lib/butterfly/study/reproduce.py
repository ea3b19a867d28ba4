"""Reproduction as a whole: which notebooks of a profile are out of date, running them, and keeping the reference."""

import hashlib
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from butterfly import registry
from butterfly.data import DataError
from butterfly.data.human import human_file, vote_counts, wrong_votes
from butterfly.strict import ParameterError, UserError
from butterfly.study import elsewhere, executors, folders, identity, ledger, notebooks, profiles, registration, report
from butterfly.study.alone import alone, swept
from butterfly.study.claims import Claim
from butterfly.study.parameters import Params
from butterfly.study.runs import Shard
from butterfly.study.store import write_whole
from butterfly.study.study import Study

INDEX = "00_index"
_WHAT = ("files", "made_from", "computed_from")  # facts about what was made, not how
_VERSIONS = ("torch", "numpy", "scipy", "pandas", "matplotlib", "seaborn", "mnist1d", "scikit-learn")


@dataclass(frozen=True)
class Job:
    """One notebook of a profile: its study, its parameters, and a hash of all that its figures are made from."""

    topic: str
    study: Study
    params: Params
    values: dict[str, Any]
    made_from: str
    computed_from: str = ""  # a hash of the keys of its shards

    @property
    def folder(self) -> Path:
        return folders.results(self.params.profile)


def job(topic: str, profile: str, device: str | None = None, changes: str = "") -> Job:
    """A notebook with the parameters of a profile, as the files say them now."""
    study = notebooks.study(topic)
    params, values = profiles.parameters(topic, study.parameters, profile, device, changes)
    module, shards, text = type(params).__module__, study.shards(params), notebooks.source(topic)
    files = {module, f"{module}_figures", *identity.named([shard.config for shard in shards])}
    content = {
        "parameters": params.model_dump(mode="json"),
        "notebook": text,
        "calls": identity.called("\n".join(cell.source for cell in notebooks.code_cells(topic))),
        "code": identity.code((type(study),), sorted(file for file in files if identity.is_module(file))),
        "shards": [shard.key for shard in shards],
        "files": [_digest(path) for path in (folders.ROOT / "requirements.lock", *_people())],
    }
    return Job(topic, study, params, values, made_from=_hash(content), computed_from=_hash(content["shards"]))


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def figures(profile: str, device: str | None = None, changes: str = "", only: str = "") -> None:
    """Run the notebooks of a profile that are out of date, one after another, then gather their claims.

    `only` is the number of one notebook; with it, or with `changes`, the index is left as it is.
    """
    _choose_executor(profile)
    chosen = [topic for topic in folders.topics() if topic[:2] == only != INDEX[:2]] if only else _topics(profile)
    if not chosen and only != INDEX[:2]:
        there = " ".join(folders.topics())
        raise ParameterError(f"there is no notebook {only}; use two digits, as in figure-01. There are: {there}")
    jobs = [job(topic, profile, device, changes) for topic in chosen]  # what is misspelt is found here
    _check_people()
    for name in sorted(set().union(*map(_foreign, jobs))):
        print(f"note: {name} in BUTTERFLY_DATA is not the published data set", file=sys.stderr, flush=True)
    results = folders.results(profiles.folder(profile, changes))
    with alone(results), swept(folders.runs()):
        _make([this for this in jobs if not _fresh(this)], profile, device, changes)
        if _parts(results.name):
            ledger.write(results / "claims.json", gathered(results.name))
        if only in ("", INDEX[:2]) and not changes:
            notebooks.execute(INDEX, {"profile": profile}, results / f"{INDEX}.ipynb")


def _choose_executor(profile: str) -> None:
    """Compute where `EXECUTOR` says, or else the profile; what is misspelt is refused here."""
    os.environ[executors.VARIABLE] = os.environ.get(executors.VARIABLE) or profiles.executor(profile)
    executors.chosen(os.environ[executors.VARIABLE])


def _topics(profile: str) -> list[str]:
    """The notebooks of a profile: those that it has a section of."""
    return [topic for topic in folders.topics() if topic != INDEX and topic in profiles.sections(profile)]


def chosen(profile: str, only: str) -> list[str]:
    """The notebooks of a profile, or the one whose number is `only`."""
    there = _topics(profile)
    found = [topic for topic in there if only in ("", topic[:2])]
    if not found:
        raise ParameterError(f"params/{profile}.yaml has no notebook {only}; use two digits. It has: {' '.join(there)}")
    return found


def _make(jobs: list[Job], profile: str, device: str | None, changes: str) -> None:
    """Compute and draw notebooks, one after another."""
    folder, due = profiles.folder(profile, changes), [this.topic for this in jobs]
    with ThreadPoolExecutor(1) as artist:  # draws a notebook while the next one is computed
        drawing: Future | None = None
        for place, topic in enumerate(due, start=1):
            left = _minutes_left(profile, folder, due[place - 1 :])
            print(f"{topic} ({folder}): notebook {place} of {len(due)}{left}", file=sys.stderr, flush=True)
            again = partial(job, topic, profile, device, changes)
            this, began = again(), time.monotonic()
            shards = this.study.computed(this.params)  # the notebook finds this in the store, and makes its tables
            seconds = max(time.monotonic() - began, _shared(shards, this.params.device))
            if drawing:
                drawing.result()
            drawing = artist.submit(_draw, this, seconds, again)
        if drawing:
            drawing.result()


def _shared(shards: Sequence[Shard], device: str) -> float:
    """Seconds that shards took, each counted once, whenever they were computed, by as many workers as there are now."""
    own = {shard.key: shard.seconds for shard in shards}
    return sum(own.values()) / executors.width(device, len(own))


def _draw(this: Job, computed: float, again: Callable[[], Job]) -> None:
    """Run a notebook whose shards were computed in so many seconds, and note what its figures were made from.

    `again` makes the job from the files as they are when it is done.
    """
    topic, folder = this.topic, this.folder
    began = time.monotonic()
    before = {path: _place(path) for path in _outputs(folder, topic)}
    notebooks.execute(topic, this.values, folder / f"{topic}.ipynb")
    claims = folder / f"{topic}.claims.json"
    if not claims.exists() or before.get(claims) == _place(claims):
        raise UserError(
            f"notebooks/{topic}.py ended without its verdicts: its cells should open the study and judge it"
        )
    for path, place in before.items():
        if _place(path) == place:  # a figure that the notebook no longer draws
            path.unlink()
    drawn = time.monotonic() - began
    facts = {
        "compute_seconds": round(computed, 1),
        "draw_seconds": round(drawn, 1),
        "peak_memory_mb": _peak_memory_mb(),
        "device": this.params.device,
        "data": _sources(this),
        # Files that were edited meanwhile: nobody can tell which version was drawn.
        "computed_from": this.computed_from,
        "made_from": this.made_from if again().made_from == this.made_from else "files that changed meanwhile",
        "files": {path.name: _digest(path) for path in _outputs(folder, topic)},
    }
    _write_json(folder / f"{topic}.run.json", facts)
    print(f"  {topic}: computed in {computed:.0f} s, drawn in {drawn:.0f} s", file=sys.stderr, flush=True)


def _place(path: Path) -> tuple[int, int]:
    """What tells a file from one that was written anew, even where the clock stands still."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _sources(this: Job) -> dict[str, dict[str, str]]:
    """What the data of a notebook are made from, by name: checksums, or versions."""
    configs = [shard.config for shard in this.study.shards(this.params)]
    return {config["setting"]["data"]: config["source"] for config in configs if "source" in config}


def _foreign(this: Job) -> set[str]:
    """Data sets that are not the published files."""
    found = set()
    for name, source in _sources(this).items():
        hub = getattr(registry.open_file("data", name), "HUB", None)
        if hub and source != {split: checksum for split, (checksum, _) in hub.files.items()}:
            found.add(name)
    return found


def _check_people() -> None:
    """`UserError` where what people say about images is damaged: it would be drawn as it is."""
    for name, read in (("cifar10n", wrong_votes), ("cifar10h", vote_counts)):
        if (path := human_file(name)) is None:
            continue
        try:
            with np.errstate(invalid="raise"):
                sound = (read() >= 0).all()
        except DataError:
            raise
        except Exception as error:  # whatever numpy meets in such a file
            raise UserError(f"{path} is damaged ({error}); delete it and fetch it again") from None
        if not sound:
            raise UserError(f"{path} holds negative numbers; delete it and fetch it again")


def _people() -> list[Path]:
    """What people say about images, where it is there: tables are made from it, but no shard."""
    return [path for name in ("cifar10n", "cifar10h") if (path := human_file(name))]


def _fresh(this: Job) -> bool:
    """Whether the figures of a notebook are there, whole, and made from what is there now."""
    facts = _read_json(this.folder / f"{this.topic}.run.json")
    try:
        whole = all(Path(n).name == n and _digest(this.folder / n) == digest for n, digest in facts["files"].items())
        return whole and facts["made_from"] == this.made_from
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def _outputs(folder: Path, topic: str) -> list[Path]:
    """The files that a notebook writes."""
    return sorted(path for path in folder.glob(f"{topic[:2]}_*") if not path.name.endswith(".run.json"))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


# --- how long? -------------------------------------------------------------------------------------------------------


def _minutes_left(profile: str, folder: str, due: list[str]) -> str:
    """How long notebooks will take, by the committed times and how this machine compares; nothing if none are there."""
    there, here = (_seconds(where) for where in (_reference_facts(profile), _facts(folder)))
    if not all(topic in there for topic in due):
        return ""
    ratios = [here[topic] / there[topic] for topic in here.keys() & there.keys()]
    seconds = sum(there[topic] for topic in due) * (statistics.median(ratios) if ratios else 1.0)
    return f", about {max(1, round(seconds / 60))} min left"


def _seconds(facts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Seconds of each notebook that computed something."""
    timed = {topic: (own.get("compute_seconds", 0.0), own.get("draw_seconds", 0.0)) for topic, own in facts.items()}
    return {topic: sum(parts) for topic, parts in timed.items() if parts[0] > 5}


def _reference_facts(profile: str) -> dict[str, dict[str, Any]]:
    return _read_json(folders.reference(profile) / "machine.json").get("notebooks", {})


def _facts(folder: str) -> dict[str, dict[str, Any]]:
    files = sorted(folders.results(folder).glob("*.run.json"))
    return {path.name.partition(".")[0]: _read_json(path) for path in files}


# --- the ledger ------------------------------------------------------------------------------------------------------


def gathered(folder: str, only: str = "") -> list[Claim]:
    """What the notebooks of a profile, or its one notebook `only`, claimed so far, by id; of those that still exist."""
    parts = [part for part in _parts(folder) if only in ("", part.name[:2])]
    if not parts:
        raise ParameterError(f"figures/{folder}/ has no claims yet; run 'make figures PROFILE={folder}' first")
    return sorted((claim for part in parts for claim in ledger.read(part)), key=lambda claim: claim.id)


def _parts(folder: str) -> list[Path]:
    files = (folders.results(folder) / f"{topic}.claims.json" for topic in folders.topics())
    return [file for file in files if file.exists()]


def compare(profile: str, only: str = "") -> bool:
    """Say in words whether a fresh ledger agrees with the reference, in the notebooks that ran or in one of them."""
    reference = folders.reference(profile) / "claims.json"
    if not reference.exists():
        print(f"There is no reference run of profile '{profile}' to compare with.")
        return True
    ours, kept = gathered(profile, only), ledger.read(reference)
    if not ours:
        print("Nothing is claimed, so nothing is compared.")
        return True
    ran = {c.notebook for c in ours}
    theirs = [c for c in kept if c.notebook in ran]
    found = elsewhere.of(theirs, elsewhere.read(profile))
    if missing := sorted({c.notebook[:2] for c in kept if c.notebook not in ran and not only}):
        print(f"Not run here, and not compared: {', '.join(missing)}.")
    unlike, departed = ledger.unlike(ours, theirs), ledger.departures(ours, theirs)
    if not unlike and not departed:
        print(f"All {len(theirs)} verdicts equal those of the reference run, and every estimate lies in its interval.")
        return True
    if unlike:
        print("This run and the reference run judge other claims:", *unlike, sep="\n  ")
    print(f"Of {len(theirs)} claims of the reference run, {len(departed)} came out otherwise here.")
    if not any(found.values()):
        print(*(f"  {id}: {told}" for id, told in departed.items()), sep="\n")
        print("Another machine rounds differently, and this subject amplifies rounding; nobody measured yet how much.")
        return False
    mean, most = elsewhere.most(theirs, found)
    known = sorted(elsewhere.shaky(theirs, found) & departed.keys())
    turned = {c.id for c in ours if c.id in departed} & _turned(ours, theirs) - set(known)
    print(f"Under other instruction sets {mean:.1f} did on average; up to {most} are to be expected.")
    if known:
        print(f"Known to hang on rounding: {', '.join(known)}.")
    beyond = len(departed) > most
    for id in sorted(departed.keys() - set(known)) if beyond else sorted(turned):
        print(f"  {id}: {departed[id]}")
    print("That is more than rounding explains." if beyond else "That is no more than rounding explains"
          + (", but for the claims above, whose verdicts are turned round." if turned else "."))  # fmt: skip
    return not (unlike or beyond or turned)


def _turned(ours: list[Claim], theirs: list[Claim]) -> set[str]:
    """The claims supported in one ledger and contradicted in the other."""
    there = {c.id: c.verdict for c in theirs}
    return {c.id for c in ours if {c.verdict, there.get(c.id)} == {"supported", "contradicted"}}


def judged(profile: str, only: str = "") -> list[Claim]:
    """Every claim of a profile, or of its one notebook `only`, computed where that is missing, without figures."""
    found: list[Claim] = []
    topics = chosen(profile, only)
    _choose_executor(profile)
    for place, topic in enumerate(topics, start=1):
        print(f"{topic} ({profile}): notebook {place} of {len(topics)}", file=sys.stderr, flush=True)
        this = job(topic, profile)
        found += this.study.judge(this.params, this.study.run(this.params))
    return sorted(found, key=lambda claim: claim.id)


# --- the reference ---------------------------------------------------------------------------------------------------


def reference(profile: str, only: str = "") -> None:
    """Keep the results of a profile as the reference that ships with the repository; the old one goes last.

    They must be whole and made from what is there now. `only` is the number of one notebook: what the reference has of
    the others stays, and so do verdicts under other instruction sets of claims that did not change. Then LEDGER.md and
    the table of the README are made anew.
    """
    source, kept, facts = folders.results(profile), folders.reference(profile), _facts(profile)
    topics = chosen(profile, only)
    claims = registration.judged(whole(profile, topics), profile)
    made = (name for topic in topics for name in facts[topic]["files"])
    names = [name for name in made if name.endswith((".png", ".csv", ".parquet", ".md"))]
    others = [
        topic for topic in _reference_facts(profile) if only and topic in _topics(profile) and topic not in topics
    ]
    staying = [path for topic in others for path in kept.glob(f"{topic[:2]}_*")]
    before = ledger.read(kept / "claims.json") if (kept / "claims.json").exists() else []
    claims = sorted([*claims, *(c for c in before if c.notebook in others)], key=lambda claim: claim.id)
    found = elsewhere.still(elsewhere.read(profile), before, claims)
    with (
        alone(kept.parent),
        tempfile.TemporaryDirectory(dir=kept.parent, prefix=".reference.", suffix=".part") as aside,
    ):
        new = Path(aside) / "new"
        new.mkdir()
        for path in [*(source / name for name in names), *staying]:
            shutil.copy(path, new / path.name)
        ledger.write(new / "claims.json", claims)
        if any(found.values()):
            elsewhere.write(new, found)
        machine = _machine()
        by = {name: machine[name] for name in ("processor", "commit")}
        own = {t: {k: v for k, v in facts[t].items() if k not in _WHAT} | by for t in topics}
        own |= {topic: _reference_facts(profile)[topic] for topic in others}
        _write_json(new / "machine.json", {**machine, "notebooks": dict(sorted(own.items()))})
        _swap(new, kept, Path(aside) / "old")
    if (folders.reference("laptop") / "claims.json").exists():
        report.write()


def whole(profile: str, topics: Sequence[str]) -> list[Claim]:
    """The claims of notebooks of a profile; `UserError` unless all of them ran on what is there now."""
    claims, facts = [claim for claim in gathered(profile) if claim.notebook in topics], _facts(profile)
    for topic in topics:
        if not _fresh(job(topic, profile, facts.get(topic, {}).get("device"))):
            raise UserError(f"{topic} of figures/{profile}/ is out of date; run 'make figures PROFILE={profile}' first")
    return claims


def _swap(new: Path, kept: Path, aside: Path) -> None:
    """Put one folder in the place of another, which moves aside; if that fails, everything is as it was."""
    if kept.exists():
        os.replace(kept, aside)
    try:
        os.replace(new, kept)
    except BaseException:
        if aside.exists():
            os.replace(aside, kept)
        raise


def _machine() -> dict[str, object]:
    """What the reference was made on."""
    sources = ["lib", "notebooks", "params", "requirements.lock"]
    commit, changed = (
        subprocess.run(["git", *words], cwd=folders.ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", *sources])
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _VERSIONS},
        "commit": f"{commit or 'unknown'}{' with changes' if changed else ''}",
    }


def _processor() -> str:
    try:
        names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def _peak_memory_mb() -> int:
    """This process and the largest of its children, times the children that run at once: an upper bound."""
    jobs = min(int(os.environ.get("BUTTERFLY_JOBS") or os.cpu_count() or 1), os.cpu_count() or 1)
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    return round((own + jobs * child) * unit / 1e6)


def _read_json(path: Path) -> dict[str, Any]:
    """What a file of facts says; nothing where it is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, content: object) -> None:
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
