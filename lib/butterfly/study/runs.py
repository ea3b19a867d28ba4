"""Shards: the unit of work, of caching, of failure and of distribution.

A shard is a pure function of its configuration: one process, its own seeds. Its key is a hash of the configuration, of
the code that it reaches and of library versions, so a changed parameter or program finds no old result. Who computes a
shard says by which key; what does not match is refused. Killing the program loses no more than the last minute of the
shards in flight: their training goes on from checkpoints, where all that watches it says what it changes (see
`checkpoint`), and begins anew where not.
"""

import contextlib
import ctypes
import hashlib
import json
import math
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from butterfly import checkpoint, registry
from butterfly.strict import UserError
from butterfly.study import description, folders, identity
from butterfly.study.bench import Bench
from butterfly.study.store import Arrays, Config, DamagedError, Store, write_whole

Compute = Callable[[Bench], Arrays]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Shard:
    """One piece of work: what is computed, on which configuration, and, once computed, what came out.

    `of` says for tables to which arm, network or setting it belongs; it decides no number and is not in the key.
    """

    compute: Compute
    config: Config
    of: str = ""
    found: Arrays = field(default_factory=dict, compare=False)
    seconds: float = field(default=0.0, compare=False)  # that computing it took, now or earlier

    def __getitem__(self, name: str) -> Any:
        return self.found[name]

    @property
    def key(self) -> str:
        return key_of(self.compute, self.config)


def key_of(compute: Compute, config: Config) -> str:
    """The name of a shard: what is computed, by which code, on what.

    `cuda`, `cuda:0` and `cuda:1` are one device if they are of one kind.
    """
    described = {
        "function": f"{compute.__module__}.{compute.__name__}",
        "config": {name: value for name, value in config.items() if name != "device"},
        "code": identity.code(_roots(compute), sorted(identity.named(config))),
        "environment": identity.environment(config.get("device", "cpu")),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def _roots(compute: Compute) -> tuple[Callable | type, ...]:
    """What a shard begins with; what these reach is its code."""
    return compute, Bench, prepare


def collect(
    shards: Sequence[Shard],
    store: Store,
    executor: Executor | None = None,
    report: Report = lambda line: None,
) -> list[Shard]:
    """All shards with what they found, in order: from the store where they are there and sound, else computed and kept.

    `executor` is any `concurrent.futures.Executor`; without one, shards are computed here, one after another. It may
    say more: how many `workers` it has, and how many `retries` there were. `report` is told in words how far things
    are. A shard that fails does not stop the others; it is named at the end.
    """
    store.sweep()
    keys = [shard.key for shard in shards]
    found = {key: result for key in dict.fromkeys(keys) if (result := _try(store, key, report)) is not None}
    waiting = {key: shard for key, shard in zip(keys, shards, strict=True) if key not in found}
    if waiting:
        report(f"{len(shards)} shards: {len(found)} stored, {len(waiting)} to compute")
        clock = _Clock(store, list(waiting.values()), executor)
        for done, (key, (own, arrays, seconds), where) in enumerate(_compute(waiting, executor), start=1):
            if own != key:
                raise identity.StaleError(f"{where or 'a worker'} runs other code, data or libraries; {_AGAIN}")
            store.save(key, arrays, {"seconds": seconds, "config": waiting[key].config})
            found[key] = arrays, seconds
            left = clock.after(waiting[key], seconds)
            by = f" by {where}" if where else ""
            report(f"shard {done}/{len(waiting)} done in {seconds:.0f} s{by}, about {_minutes(left)} left")
        if retries := getattr(executor, "retries", 0):
            report(f"shards that were begun again because their worker died: {retries}")
    return [Shard(s.compute, s.config, s.of, *found[key]) for key, s in zip(keys, shards, strict=True)]


def _try(store: Store, key: str, report: Report) -> tuple[Arrays, float] | None:
    """The arrays of a shard that is kept, and the seconds that it took; None if there is none that is sound."""
    try:
        arrays, about = store.load(key)
        seconds = about.get("seconds")
        return arrays, seconds if isinstance(seconds, float) else 0.0
    except KeyError:
        return None
    except DamagedError as error:
        report(f"{error}; it is computed again")
        return None


Result = tuple[str, Arrays, float]  # the key that the worker finds, what it computed, and in how many seconds
Found = tuple[str, Result, str]  # a key, its result, and which worker it is from, if that is not this process
_AGAIN = (
    "start the program again (in a notebook: restart the kernel), and workers elsewhere "
    "with the same checkout, environment and data; finished shards are kept"
)


def _compute(waiting: dict[str, Shard], executor: Executor | None) -> Iterator[Found]:
    """Results as they come; at the end, one error that names every shard that failed."""
    failures: list[tuple[Shard, Exception]] = []
    if executor is None:
        for key, shard in waiting.items():
            try:
                yield key, work(shard.compute, shard.config), ""
            except Exception as error:
                failures.append((shard, error))
    else:
        yield from _compute_elsewhere(waiting, executor, failures)
    if failures:
        raise _told(failures, waiting)


def _told(failures: list[tuple[Shard, Exception]], waiting: dict[str, Shard]) -> Exception:
    """One error for all shards that failed; one that the user can mend says how."""
    for _, error in failures:
        if end := _ENDS.get(type(error).__name__):
            return UserError(f"{end}. Finished shards are kept: run the same command again.")
    first = failures[0][1]
    names = "\n".join(f"  {_name(shard)}: {type(error).__name__}: {error}" for shard, error in failures)
    told = f"{len(failures)} of {len(waiting)} shards failed; the others are kept:\n{names}"
    if isinstance(first, UserError):
        return UserError(told)
    first.add_note(told)
    return first


# By the name of the error: Dask, which has some of them, need not be there.
_ENDS = {
    "BrokenProcessPool": "a worker process was killed (out of memory? then give fewer JOBS)",
    "KilledWorker": "a shard ended every worker that tried it (out of memory? then give workers more of it)",
    "CancelledError": "the scheduler of the workers does not answer any more",
}


def _compute_elsewhere(
    waiting: dict[str, Shard], executor: Executor, failures: list[tuple[Shard, Exception]]
) -> Iterator[Found]:
    futures: dict[Future, str] = {executor.submit(Request(shard, key)): key for key, shard in waiting.items()}
    try:
        for future in as_completed(futures):
            key = futures[future]
            try:
                result, where = future.result()
            except UnlikeError as error:
                raise identity.StaleError(_unlike(waiting[key], error)) from None
            except identity.StaleError as error:  # the files of the worker changed since it began
                raise identity.StaleError(f"a worker has seen its files change: {error}") from None
            except Exception as error:
                failures.append((waiting[key], error))
            else:
                yield key, result, where
    finally:
        for future in futures:
            future.cancel()


class UnlikeError(Exception):
    """A worker would compute something else than it is asked for: which worker, and a description of what it has."""


def _unlike(shard: Shard, error: UnlikeError) -> str:
    where, there = error.args
    here = description.described(_roots(shard.compute), shard.config) | description.planned(shard.config)
    return f"{where} has other code, data or libraries ({description.differences(here, there)}): {_AGAIN}"


@dataclass(frozen=True)
class Request:
    """What is asked of a worker elsewhere: one shard, under the key that it has where it was planned."""

    shard: Shard
    key: str

    def __str__(self) -> str:
        return _name(self.shard)

    def __call__(self) -> tuple[Result, str]:
        """The result, and which worker this is; `UnlikeError` at once where the result would be another."""
        prepare()
        compute, config = self.shard.compute, self.shard.config
        if key_of(compute, config) != self.key or not description.same_data(config):
            raise UnlikeError(_where(), description.described(_roots(compute), config))
        return work(compute, config), _where()


def _where() -> str:
    """Which worker this is, in words."""
    if "distributed" in sys.modules:  # else nobody can have made this process a worker of Dask
        from distributed import get_worker

        with contextlib.suppress(ValueError):
            return f"worker {get_worker().name}"
    return f"process {os.getpid()}"


def _name(shard: Shard) -> str:
    """A shard for people: what it computes, and for whom."""
    whom = next(
        (f"{unit} {shard.config[unit]}" for unit in ("seeds", "pairs", "groups", "block") if unit in shard.config), ""
    )
    return " ".join(filter(None, [shard.compute.__name__, shard.of, whom]))


def work(compute: Compute, config: Config) -> Result:
    """What a worker does, wherever it is: compute one shard, and say by which key."""
    prepare()
    began = time.monotonic()
    registry.OPENED.clear()
    with checkpoint.keeping(partway(), own := key_of(compute, config)):
        arrays = compute(Bench(config))
    if strange := registry.OPENED - identity.named(config):
        raise RuntimeError(
            f"{compute.__name__} opened {', '.join(sorted(strange))}, which its configuration does not name: "
            "a change there would go unnoticed; put the names into the configuration"
        )
    return own, arrays, time.monotonic() - began


def partway() -> Store:
    """Where this machine keeps how far its unfinished shards are."""
    return Store(folders.runs() / "partway")


# --- time ------------------------------------------------------------------------------------------------------------


_OFTEN = 1.0  # seconds between two reckonings of the time left


class _Clock:
    """How long the rest will take, from the seconds of earlier shards of the same kind.

    Shards are of one kind when they differ in their seeds only. Times are kept beside the store; a kind that was never
    timed counts like the mean of the others of its function. Once a second is often enough to reckon and to keep them.
    """

    def __init__(self, store: Store, waiting: list[Shard], executor: Executor | None):
        self._file = store.folder / "seconds.json"
        self._seconds: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):  # missing or damaged
            self._seconds = {str(k): float(v) for k, v in json.loads(self._file.read_text()).items()}
        self._left = Counter(map(kind, waiting))
        self._executor = executor
        self._said, self._when = 0.0, -math.inf

    def after(self, shard: Shard, seconds: float) -> float:
        """Note that a shard is done; the seconds that are left."""
        own = kind(shard)
        self._left[own] -= 1
        self._seconds[own] = round(seconds, 3)
        if time.monotonic() - self._when >= _OFTEN or not self._left.total():
            write_whole(self._file, json.dumps(self._seconds, sort_keys=True).encode())
            self._said, self._when = self._expected() / self._workers(), time.monotonic()
        return self._said

    def _workers(self) -> int:
        """How many shards are computed at once, as far as the executor says; workers may come and go."""
        names = ("workers", "_max_workers")
        count = next((found for name in names if (found := getattr(self._executor, name, None))), 1)
        return max(1, min(count, self._left.total()))

    def _expected(self) -> float:
        """Seconds of all shards that are left, one after another."""
        of_function: dict[str, list[float]] = {}
        for name, seconds in self._seconds.items():
            of_function.setdefault(name.partition(" ")[0], []).append(seconds)
        means = {function: statistics.fmean(alike) for function, alike in of_function.items()}
        return sum(
            count * (self._seconds.get(name) or means.get(name.partition(" ")[0], 0.0))
            for name, count in self._left.items()
        )


def kind(shard: Shard) -> str:
    """A name that shards share which differ in their seeds only."""
    config = {
        k: len(v) if k in ("seeds", "pairs", "groups") and isinstance(v, list) else v
        for k, v in shard.config.items()
        if k != "block"
    }
    return f"{_function(shard)} {hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]}"


def _function(shard: Shard) -> str:
    return f"{shard.compute.__module__.rpartition('.')[2]}.{shard.compute.__name__}"


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


# --- processes -------------------------------------------------------------------------------------------------------


def workers(jobs: int) -> Executor:
    """A pool of `jobs` single-threaded processes."""
    # Not forked: a fork of a process that has used torch can hang.
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_prepare_worker)


def _prepare_worker() -> None:
    prepare()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once, without a traceback


def prepare() -> None:
    """Make this process compute the same bits every time, on one thread.

    Two threads on a busy machine can be many times slower than one. On a GPU, kernels that add in a random order and
    the short TF32 format are switched off: control twins would differ.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)
    # Numbers below 1e-38, which the momentum of units that died comes to, make products hundreds of times as slow.
    torch.set_flush_denormal(True)
    _keep_memory()
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, and nothing here reads such memory
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def _keep_memory() -> None:
    """Let the C library keep what is freed: giving back and taking anew the tensors of every step costs much of it."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than that of GNU
        return
    mallopt(_MMAP_THRESHOLD, 1 << 25)  # the most it takes: larger tensors still come from the system
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
