"""`make soak`: accidents, many. After each the same command must end with the same bytes and leave nothing over.

A copy of the project holds one tiny study (that of CONTRIBUTING). Drivers are forked from this process, which has
imported everything, so that a trial takes seconds; those with workers are started like any user's.
"""

import argparse
import contextlib
import ctypes
import hashlib
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import toy

COMMAND = ("figures", "--profile", "mine", "--only", "99")
FORGED = ("truncated", "flipped", "swapped", "foreign", "empty")
MIN_KILL, PAUSE = 0.05, 0.05


class Soak:
    """A project in a folder, what its results should be, and what was seen so far."""

    def __init__(self, root: Path, seed: int):
        self.root, self.dice = root, random.Random(seed)
        self.figures, self.store = root / "figures" / "mine", root / "runs"
        self.seen: dict[str, Counter] = {}
        code, took, told = self.drive()
        assert code == 0, told
        self.good, self.sums, self.seconds = self.results(), self.shards(), took
        assert len(self.good) == 5, self.good

    # --- one command ---

    def start(self, before: Callable[[], object] = lambda: None, command=COMMAND) -> tuple[int, int]:
        """Fork a driver; its process, and the end of a pipe with what it says."""
        said, told = os.pipe()
        if pid := os.fork():
            os.close(told)
            return pid, said
        code = 70
        try:
            os.dup2(told, 1)
            os.dup2(told, 2)
            from butterfly import __main__ as driver

            for number in driver._STOPS:
                signal.signal(number, driver._stop)
            before()
            code = driver.main(command)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def drive(self, before: Callable[[], object] = lambda: None, command=COMMAND) -> tuple[int, float, str]:
        """Run a command to its end: exit code, seconds, what it said."""
        began = time.monotonic()
        return self.end(*self.start(before, command), began)

    def end(self, pid: int, said: int, began: float) -> tuple[int, float, str]:
        _, status = os.waitpid(pid, 0)
        took = time.monotonic() - began
        os.set_blocking(said, False)  # a kernel that is about to end may hold the other end
        try:
            text = os.read(said, 1 << 20).decode(errors="replace")
        except BlockingIOError:
            text = ""
        os.close(said)
        return os.waitstatus_to_exitcode(status), took, text

    # --- what must hold ---

    def results(self) -> dict[str, str]:
        """Checksums of all that must be the same; an executed notebook holds times."""
        files = (p for p in self.figures.glob("*") if p.name.endswith((".png", ".pdf", ".csv", "claims.json")))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def shards(self) -> dict[str, str]:
        """What the store gives for each shard that it takes for sound."""
        from butterfly.study.store import DamagedError, Store

        found = {}
        for path in self.store.glob("*.shard"):
            with contextlib.suppress(DamagedError, KeyError):
                arrays = Store(self.store).load(path.stem)[0]
                found[path.stem] = hashlib.sha256(
                    b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))
                ).hexdigest()
        return found

    def left_over(self) -> list[str]:
        """Drafts, and processes that work in this project though nobody waits for them."""
        drafts = [str(p) for folder in (self.figures, self.store) for p in folder.glob(".*")]
        drafts += [str(p) for p in Path(tempfile.gettempdir()).iterdir()]
        own = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                mine = process.pid not in own and process.environ().get("SOAK") == str(self.root)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    drafts.append(" ".join(process.cmdline()))
        return drafts

    def unsound(self) -> bool:
        """Whether anything that is there is not what it should be."""
        found = self.shards()
        return any(self.good.get(name) != value for name, value in self.results().items()) or any(
            self.sums.get(key) != value for key, value in found.items()
        )

    def note(self, accident: str, **what: bool) -> None:
        self.seen.setdefault(accident, Counter()).update(
            {"trials": 1} | {name: int(value) for name, value in what.items()}
        )
        counts = self.seen[accident]
        if bad := {k: v for k, v in what.items() if v and k not in ("ended", "let_end")}:
            print(f"{accident}: {bad}", file=sys.stderr, flush=True)
        if counts["trials"] % 20 == 0:
            print(f"  {accident}: {counts['trials']}", file=sys.stderr, flush=True)

    def recovers(self, accident: str, told: str = "", refused: bool = False, code: int = 0) -> None:
        """Run the same command; note whether it ended as it should. `told` is what the accident made a driver say."""
        wrong = self.unsound()
        again, _, text = self.drive()
        deadline = time.monotonic() + 10
        while (left := self.left_over()) and time.monotonic() < deadline:
            time.sleep(PAUSE)
        same = again == 0 and self.results() == self.good and self.shards() == self.sums
        unclear = "Traceback" in told + text or (refused and (code != 2 or "error: " not in told))
        self.note(accident, let_end=True, ended=same, wrong=wrong, left_over=bool(left), unclear=unclear)
        if unclear or left or not same:
            print(told[-1500:], text[-1500:], left, code, again, file=sys.stderr, flush=True)

    def forget(self, share: float = 1.0) -> None:
        """Remove figures, and that share of the shards."""
        shutil.rmtree(self.figures, ignore_errors=True)
        for path in sorted(self.store.glob("*.shard")):
            if self.dice.random() < share:
                path.unlink()

    # --- accidents ---

    def kill(self, every: int) -> None:
        """Kill a driver, or the kernel that draws for it, at a random moment; each `every`-th time, let one finish."""
        victim = self.dice.choice(("driver", "driver", "driver", "kernel"))
        name = f"kill -9 of the {victim}"
        self.forget(self.dice.random())
        pid, said = self.start()
        time.sleep(MIN_KILL + self.dice.uniform(0, 0.8 * self.seconds))
        killed = pid
        if victim == "kernel":
            with contextlib.suppress(psutil.Error, IndexError):
                killed = self.dice.choice(psutil.Process(pid).children()).pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(killed, signal.SIGKILL)
        _, _, text = self.end(pid, said, 0.0)
        if self.seen.get(name, Counter())["trials"] % every == every - 1:
            self.recovers(name, text)
        else:
            unclear = "Traceback" in text
            self.note(name, wrong=self.unsound(), unclear=unclear)
            if unclear:
                print(text[-2000:], file=sys.stderr)

    def kill_with_workers(self) -> None:
        """Kill a driver that has two workers, or one of them: started as users do."""
        self.forget()
        victim = self.dice.choice(("driver of workers", "worker"))
        command = [sys.executable, "-m", "butterfly", *COMMAND]
        with tempfile.TemporaryFile(dir=self.root.parent) as said:
            streams = {"stdout": said, "stderr": said}
            process = subprocess.Popen(command, env=os.environ | {"BUTTERFLY_JOBS": "2"}, cwd=self.root, **streams)
            workers: list[psutil.Process] = []
            while process.poll() is None and not workers:
                time.sleep(PAUSE)
                with contextlib.suppress(psutil.Error):
                    children = psutil.Process(process.pid).children()
                    workers = [c for c in children if any("spawn_main" in word for word in c.cmdline())]
            time.sleep(self.dice.uniform(0, 6))
            with contextlib.suppress(psutil.Error):
                (process if victim != "worker" or not workers else workers[0]).send_signal(signal.SIGKILL)
            process.wait()
            said.seek(0)
            self.recovers(f"kill -9 of a {victim}", said.read().decode())

    def damage(self, kind: str) -> None:
        """Damage a shard; the store must not give it, and the command must compute it again."""
        shutil.rmtree(self.figures)
        self.spoil(kind)
        self.recovers(f"store: {kind}")

    def spoil(self, kind: str) -> None:
        files = sorted(self.store.glob("*.shard"))
        victim, other = self.dice.sample(files, 2)
        body = victim.read_bytes()
        place = self.dice.randrange(len(body))
        victim.write_bytes(
            {
                "truncated": body[:place],
                "flipped": body[:place] + bytes([body[place] ^ 1 << self.dice.randrange(8)]) + body[place + 1 :],
                "swapped": other.read_bytes(),
                "foreign": self.dice.randbytes(len(body)),
                "empty": b"",
            }[kind]
        )

    def reads(self, count: int) -> None:
        """Damage a shard at random places, and read it: the right arrays or none."""
        kept = {path: path.read_bytes() for path in self.store.glob("*.shard")}
        for _ in range(count):
            self.spoil(self.dice.choice(FORGED))
            self.note("store: damaged, read alone", wrong=self.unsound())
            for path, body in kept.items():
                path.write_bytes(body)

    def full_disk(self, most: int) -> None:
        """No file may grow beyond so many bytes: what a full disk does, at a chosen place."""
        self.forget()
        code, _, told = self.drive(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
        self.recovers("full disk (limit on files)", told, refused=True, code=code)

    def full_tmpfs(self, folder: Path, pages: int) -> None:
        """A file system in memory, too small."""
        self.forget()
        folder.mkdir(parents=True, exist_ok=True)
        with mounted(folder, pages) as there:
            if there:
                code, _, told = self.drive()
        if there:
            self.recovers(f"full disk (tmpfs on {folder.name})", told, refused=True, code=code)

    def together(self) -> None:
        """Two drivers at once, on one store and one folder of figures."""
        self.forget()
        two = [self.start() for _ in range(2)]
        ends = [self.end(*one, 0.0) for one in two]
        told = "".join(text for _, _, text in ends)
        ended = all(code == 0 for code, _, _ in ends) and self.results() == self.good
        left, unclear = bool(self.left_over()), "Traceback" in told
        self.note(
            "two drivers at once", let_end=True, ended=ended, wrong=self.unsound(), left_over=left, unclear=unclear
        )

    def clock(self, year: int) -> None:
        """Time stamps of another year on everything, and one figure gone."""
        then = datetime(year, 1, 1, tzinfo=UTC).timestamp()
        for path in self.root.rglob("*"):
            os.utime(path, (then, then))
        self.dice.choice(sorted(self.figures.glob("99_*.*"))).unlink()
        self.recovers(f"clock in {year}")

    def read_only(self, folder: Path) -> None:
        """A folder that may not be written, as somebody without the rights of root."""
        self.forget()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o555)

        code, _, told = self.drive(without_override)
        folder.chmod(0o755)
        self.recovers(f"read-only {folder.name}", told, refused=True, code=code)

    def data(self, kind: str) -> None:
        """A data file that is truncated, foreign or missing."""
        place = self.root / "data" / "mnist"
        place.mkdir(parents=True, exist_ok=True)
        body = {"truncated": b"PAR1" + bytes(1000), "foreign": b"hello", "missing": None}[kind]
        for split in ("train", "test"):
            file = place / f"{split}-00000-of-00001.parquet"
            file.unlink(missing_ok=True)
            if body is not None:
                file.write_bytes(body)
        local = {"BUTTERFLY_DATA": str(place.parent)}
        code, _, told = self.drive(lambda: os.environ.update(local), (*COMMAND, "--set", "data_set=mnist"))
        for folder in self.root.glob("figures/mine-with-*"):
            shutil.rmtree(folder)
        shutil.rmtree(place.parent)
        self.recovers(f"data file {kind}", told, refused=True, code=code)

    # --- what was seen ---

    def table(self) -> str:
        """Markdown, a row an accident."""
        rows = ["| accident | trials | let end | same bytes | left over | wrong result read | unclear message |"]
        rows.append("|---|---|---|---|---|---|---|")
        for name, c in self.seen.items():
            told = (c["trials"], c["let_end"], c["ended"], c["left_over"], c["wrong"], c["unclear"])
            rows.append(f"| {name} | {' | '.join(map(str, told))} |")
        return "\n".join(rows)


def without_override() -> None:
    """Take from root, in this process and what it starts, the right to write where permissions say no (Linux)."""
    if os.geteuid():
        return
    system, override = ctypes.CDLL(None, use_errno=True), 1 << 1  # CAP_DAC_OVERRIDE
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    rights = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    system.prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP: no program that is started gets it back
    system.capget(head, rights)
    rights[0] &= ~override
    rights[1] &= ~override
    system.capset(head, rights)


@contextlib.contextmanager
def mounted(folder: Path, pages: int) -> Iterator[bool]:
    """A small file system in memory on a folder; False where this user may not mount one."""
    size = pages * resource.getpagesize()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def begin(folder: Path, seed: int) -> Soak:
    """The project, in a folder with spaces and letters beyond ASCII; the library is imported from there."""
    root, temporary = folder / "soak é ü 名 'x'", folder / "tmp"
    temporary.mkdir()
    toy.project(root, [], {"params/mine.yaml": "99_small_steps:\n  seeds: 8\n"})
    folder.chmod(0o755)
    sys.path.insert(0, str(root / "lib"))
    os.environ |= {"PYTHONPATH": str(root / "lib"), "TMPDIR": str(temporary), "SOAK": str(root)}
    os.environ |= {"BUTTERFLY_RUNS": str(root / "runs"), "BUTTERFLY_JOBS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    os.environ.pop("BUTTERFLY_DATA", None)
    tempfile.tempdir = None
    from butterfly import __main__ as driver

    assert Path(driver.__file__).is_relative_to(root), driver.__file__
    return Soak(root, seed)


def campaign(soak: Soak, kills: int, every: int, deadline: float) -> None:
    """All accidents; the kills come last."""
    soak.reads(1000)
    for kind in FORGED:
        soak.damage(kind)
    for most in (0, 200, 3000, 11_000):
        soak.full_disk(most)
    for folder in (soak.store, soak.figures):
        soak.full_tmpfs(folder, 1)
    for _ in range(3):
        soak.together()
    for year in (1990, 2100):
        soak.clock(year)
    for folder in (soak.store, soak.figures):
        soak.read_only(folder)
    for kind in ("truncated", "foreign", "missing"):
        soak.data(kind)
    for number in range(kills):
        if time.monotonic() > deadline:
            return
        if number % 20 == 19:
            soak.kill_with_workers()
        else:
            soak.kill(every)


_HEAD = """# A campaign of accidents

Made by `make soak`; {date}, {processor}, {cores} cores, {system}, as {who}.
{kills} kills in all, {minutes:.0f} minutes.

The project lies in a folder with spaces and non-ASCII letters and has one tiny study. After every accident all files
that are there are compared with those of an undisturbed run (*wrong result read*: one differs, or the store gives other
arrays). *Let end* counts how often the same command was then run to its end; kills come in rows, and every {every}th
of a kind is followed by such a run. *Same bytes*: it succeeded, with the same PNG, PDF, CSV, claims and arrays. *Left
over*: a draft, a file in the temporary folder or a process was there 10 seconds later. *Unclear message*: a traceback,
or no line that says what is wrong.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=int, default=5, help="how many kills in a row before a command may end")
    parser.add_argument("--minutes", type=float, default=60.0, help="no kill begins later than this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="reads of damaged files and one kill alone")
    parser.add_argument("--write", type=Path, help="where to keep the table")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak.", ignore_cleanup_errors=True) as folder:
        soak = begin(Path(folder), given.seed)
        if given.short:
            soak.reads(200)
            soak.kill(every=1)
        else:
            campaign(soak, given.kills, given.every, began + 60 * given.minutes)
    kills = sum(counts["trials"] for name, counts in soak.seen.items() if name.startswith("kill"))
    head = _HEAD.format(
        date=datetime.now(UTC).date(), processor=platform.processor() or platform.machine(), cores=os.cpu_count(),
        system=platform.system(), who="root" if os.geteuid() == 0 else "a user without its rights", kills=kills,
        minutes=(time.monotonic() - began) / 60, every=given.every,
    )  # fmt: skip
    print(soak.table())
    if given.write:
        given.write.parent.mkdir(exist_ok=True)
        given.write.write_text(head + soak.table() + "\n")
    failed = any(c["wrong"] or c["left_over"] or c["unclear"] or c["ended"] < c["let_end"] for c in soak.seen.values())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
