"""The driver behind `make`: run a profile, build the notebooks, print and compare the ledger, keep the reference."""

import argparse
import multiprocessing
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from types import FrameType

from butterfly.strict import UserError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m butterfly", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("figures", "claims", "compare", "reference", "elsewhere", "judge"):
        command = commands.add_parser(name)
        command.add_argument("--profile", default="laptop", help="a file of params/, without .yaml (default: laptop)")
        if name == "figures":
            command.add_argument("--device", default="", help="cpu, cuda, cuda:1, ...; overrides the profile")
            command.add_argument("--set", default="", dest="changes", help='as in "recipe.lr=0.1 seeds=5"')
            command.add_argument("--only", default="", help="the two digits of one notebook")
        if name in ("reference", "elsewhere", "judge"):
            command.add_argument("--only", default="", help="the two digits of one notebook")
        if name == "judge":
            command.add_argument("--keep", required=True, help="the file of the ledger")
    command = commands.add_parser("plan")
    command.add_argument("--profile", default="laptop")
    command.add_argument("--set", default="", dest="changes")
    command.add_argument("--only", default="", help="the two digits of one notebook")
    command.add_argument("--rate", default="10", help="TFLOP/s that a GPU sustains on stacks of networks")
    commands.add_parser("build").add_argument("topics", nargs="*", help="notebooks to build (default: all)")
    command = commands.add_parser("register")
    command.add_argument("--profile", default="laptop")
    command.add_argument("--only", default="", help="the two digits of one notebook")
    commands.add_parser("report")
    commands.add_parser("clean-runs").add_argument("--days", type=float, default=30.0)
    return parser


def _figures(given: argparse.Namespace) -> int:
    from butterfly.study import profiles, reproduce

    reproduce.figures(given.profile, given.device or None, given.changes, given.only)
    folder = profiles.folder(given.profile, given.changes)
    _tell(folder, given.only)
    if not given.changes:
        reproduce.compare(given.profile, given.only)
    print(f"Figures, their data and claims.json are in figures/{folder}/")
    return 0


def _claims(given: argparse.Namespace) -> int:
    _tell(given.profile)
    return 0


def _tell(folder: str, only: str = "") -> None:
    """Print the ledger of a folder of figures, or of its one notebook `only`, as a table."""
    from butterfly.study import ledger, reproduce

    if not (found := reproduce.gathered(folder, only)):
        return
    rows = ledger.table(found)
    rows["claim"] = [textwrap.shorten(text, 84, placeholder=" ...") for text in rows["claim"]]
    print(rows.to_string(index=False))
    print(ledger.summary(found))


def _compare(given: argparse.Namespace) -> int:
    from butterfly.study import reproduce

    return 0 if reproduce.compare(given.profile) else 1


def _reference(given: argparse.Namespace) -> int:
    from butterfly.study import reproduce

    reproduce.reference(given.profile, given.only)
    return 0


def _elsewhere(given: argparse.Namespace) -> int:
    from butterfly.study import elsewhere, report

    elsewhere.compute(given.profile, given.only)
    if given.profile == "laptop":
        report.write()
    return 0


def _judge(given: argparse.Namespace) -> int:
    from pathlib import Path

    from butterfly.study import ledger, reproduce

    ledger.write(Path(given.keep), reproduce.judged(given.profile, given.only))
    return 0


def _plan(given: argparse.Namespace) -> int:
    from butterfly.study import planning
    from butterfly.study.executors import jobs

    try:
        rate = float(given.rate)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e9:
        raise UserError(f"RATE={given.rate}: give the TFLOP/s that a GPU sustains, such as 10")

    def tell(line: str) -> None:
        print(f"  {line}", file=sys.stderr, flush=True)

    found = []
    for plan in planning.plans(given.profile, given.changes, given.only, jobs(), tell):
        found.append(plan)
        tell(planning.line(plan, jobs(), rate))
    print(planning.table(found, jobs(), rate))
    print(
        f"Nothing was trained. here: in {jobs()} processes of this machine, from updates and passes that were timed; "
        f"GPU: one that sustains {rate:g} TFLOP/s (RATE=...); GB: what a process holds; >: at least."
    )
    return 0


def _register(given: argparse.Namespace) -> int:
    from butterfly.study import registration, reproduce

    if given.profile == registration.CONFIRMATION:
        registration.write(reproduce.judged(registration.EXPLORATION, given.only), given.only)
    else:
        reproduce.chosen(given.profile, given.only)  # refuses a notebook that the profile does not have
        registration.also(given.profile, given.only)
    print(f"{registration.file(given.profile).name} is in figures/reference; commit it before 'make figures'")
    return 0


def _report(given: argparse.Namespace) -> int:
    from butterfly.study import report

    report.write()
    return 0


def _build(given: argparse.Namespace) -> int:
    from butterfly.study import folders, notebooks

    for topic in given.topics or folders.topics():
        print(notebooks.build(topic).relative_to(folders.ROOT))
    return 0


def _clean_runs(given: argparse.Namespace) -> int:
    from butterfly.study import folders
    from butterfly.study.store import Store

    if not given.days >= 0:
        raise UserError(f"DAYS={given.days:g}: give 0 or more")
    store = Store(folders.runs())
    store.sweep()
    print(f"removed {store.clean(given.days)} finished runs that nobody asked for in the last {given.days:g} days")
    return 0


_COMMANDS = {
    **{"figures": _figures, "claims": _claims, "compare": _compare, "reference": _reference, "build": _build},
    **{
        "plan": _plan,
        "elsewhere": _elsewhere,
        "judge": _judge,
        "register": _register,
        "report": _report,
        "clean-runs": _clean_runs,
    },
}


# --- however it ends -------------------------------------------------------------------------------------------------

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _stop(number: int, frame: FrameType | None) -> None:
    """End workers and kernels now: what they have not finished would be thrown away after waiting for it."""
    import psutil

    for other in _STOPS:
        signal.signal(other, signal.SIG_IGN)
    threading.excepthook = lambda about: None  # what other threads meet from here on is this end
    kernels = [c for c in psutil.Process().children() if any("ipykernel" in word for word in c.cmdline())]
    for process in (*multiprocessing.active_children(), *kernels):
        process.kill()
    raise KeyboardInterrupt(number)


def _end_with_driver() -> None:
    """In a worker: end when the driver ends, even if that is killed and can tell nobody."""
    while (driver := multiprocessing.parent_process()) is None:  # not known yet while this module is imported
        time.sleep(0.1)
    driver.join()
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do one thing; faults of the user end in one clear message."""
    given = _parser().parse_args(arguments)
    if local := os.environ.get("BUTTERFLY_DATA"):
        os.environ["BUTTERFLY_DATA"] = os.path.abspath(local)  # notebooks run in another folder
    try:
        if "profile" in given:  # before anything is read, written or removed
            from butterfly.study import profiles

            profiles.check(given.profile)
        return _COMMANDS[given.command](given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if os.environ.get("BUTTERFLY_TRACEBACK"):
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{where}; finished shards are kept. "
              "BUTTERFLY_TRACEBACK=1 shows where.", file=sys.stderr)  # fmt: skip
        return 2
    except KeyboardInterrupt as stopped:
        print("stopped; finished shards are kept, and the same command goes on from there", file=sys.stderr)
        return 128 + (stopped.args[0] if stopped.args else signal.SIGINT)


if __name__ == "__mp_main__":  # a worker of the driver
    threading.Thread(target=_end_with_driver, daemon=True).start()
elif __name__ == "__main__":
    __spec__ = None  # else workers would not import this module, and not know when to end
    for _number in _STOPS:
        signal.signal(_number, _stop)
    sys.exit(main())
