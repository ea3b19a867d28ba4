"""The driver behind `make`: run a profile of a notebook, build the notebooks, print and compare the ledger."""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from importlib.metadata import version

from butterfly import claims, paths
from butterfly.strict import ParameterError, UserError

_VERSIONS = ("torch", "numpy", "scipy", "pandas", "matplotlib", "seaborn", "mnist1d", "scikit-learn")


def run(topic: str, profile: str, device: str | None) -> None:
    """Compute the shards of a notebook with progress on the terminal, then draw it."""
    from butterfly import notebooks  # slow to import, and the ledger does without

    params, values = notebooks.profile(topic, profile, device)
    print(f"{topic} ({profile})", file=sys.stderr, flush=True)
    folder = paths.FIGURES / profile
    began = time.monotonic()
    notebooks.experiment(topic).run(params)
    computed = time.monotonic()
    notebooks.execute(topic, values, folder / f"{topic}.ipynb")
    drawn = time.monotonic()
    facts = {
        "compute_seconds": round(computed - began, 1),
        "draw_seconds": round(drawn - computed, 1),
        "peak_memory_mb": _peak_memory_mb(),
        "device": params.device,
    }
    _write_json(folder / f"{topic}.run.json", facts)
    print(f"  drawn in {drawn - computed:.0f} s; {topic}: {drawn - began:.0f} s in all", file=sys.stderr, flush=True)


def ledger(profile: str) -> None:
    """Gather what the notebooks claimed into `figures/<profile>/claims.json`."""
    claims.write(paths.FIGURES / profile / "claims.json", _ledger(profile))


def show(profile: str) -> None:
    """Print the ledger as a table."""
    found = _ledger(profile)
    rows = claims.table(found)
    rows["claim"] = [textwrap.shorten(text, 84, placeholder=" ...") for text in rows["claim"]]
    print(rows.to_string(index=False))
    print(claims.summary(found))


def compare(profile: str) -> bool:
    """Say in words whether a fresh ledger agrees with the reference."""
    reference = paths.reference(profile) / "claims.json"
    if not reference.exists():
        print(f"There is no reference run of profile '{profile}' to compare with.")
        return True
    lines = claims.compare(_ledger(profile), claims.read(reference))
    if not lines:
        print("All verdicts equal those of the reference run, and every estimate lies in its interval.")
        return True
    print("This run departs from the reference run:")
    print("\n".join(f"  {line}" for line in lines))
    print("Another machine rounds differently, and this subject amplifies rounding: one or two may be chance.")
    return False


def reference(profile: str) -> None:
    """Keep the results of a profile as the reference that ships with the repository."""
    folder, kept = paths.FIGURES / profile, paths.reference(profile)
    kinds = ("[0-9][0-9]_*.png", "[0-9][0-9]_*.csv", "[0-9][0-9]_?_*.json")
    found = [path for kind in kinds for path in sorted(folder.glob(kind))]
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for path in [*found, folder / "claims.json"]:
        shutil.copy(path, kept / path.name)
    facts = {p.name.partition(".")[0]: json.loads(p.read_text()) for p in sorted(folder.glob("*.run.json"))}
    _write_json(kept / "machine.json", {**_machine(), "notebooks": facts})


def _ledger(profile: str) -> list[claims.Claim]:
    """What the notebooks of a profile claimed so far, by id."""
    parts = sorted((paths.FIGURES / profile).glob("[0-9][0-9]_*.claims.json"))
    if not parts:
        raise ParameterError(f"figures/{profile}/ has no claims yet; run 'make figures PROFILE={profile}' first")
    return sorted((c for path in parts for c in claims.read(path)), key=lambda c: c.id)


def _machine() -> dict[str, object]:
    """What the reference was made on."""
    sources = ["lib", "notebooks", "params", "requirements.lock"]
    commit, changed = (
        subprocess.run(["git", *words], cwd=paths.ROOT, capture_output=True, text=True, check=False).stdout.strip()
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
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def _peak_memory_mb() -> int:
    """This process and the largest of its children, times the children that run at once: an upper bound."""
    jobs = int(os.environ.get("BUTTERFLY_JOBS") or os.cpu_count() or 1)
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    return round((own + jobs * child) * unit / 1e6)


def _write_json(path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do one thing; faults of the user end in one clear message."""
    parser = argparse.ArgumentParser(prog="python -m butterfly", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "ledger", "claims", "compare", "report", "reference"):
        command = commands.add_parser(name)
        if name == "run":
            command.add_argument("topic", help="a notebook, such as 01_butterfly_effect")
            command.add_argument("--device", default=None, help="cpu, cuda, cuda:1, ...; overrides the profile")
        command.add_argument("--profile", default="laptop", help="a folder of params/ (default: laptop)")
    commands.add_parser("build").add_argument("topics", nargs="*", help="notebooks to build (default: all)")
    given = parser.parse_args(arguments)
    try:
        match given.command:
            case "run":
                run(given.topic, given.profile, given.device)
            case "ledger":
                ledger(given.profile)
            case "claims":
                show(given.profile)
            case "compare":
                return 0 if compare(given.profile) else 1
            case "report":
                show(given.profile)
                compare(given.profile)
                print(f"Figures, their data and claims.json are in figures/{given.profile}/")
            case "reference":
                reference(given.profile)
            case "build":
                from butterfly import notebooks

                for topic in given.topics or paths.topics():
                    print(notebooks.build(topic).relative_to(paths.ROOT))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; finished shards are kept, and the same command goes on from there", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
