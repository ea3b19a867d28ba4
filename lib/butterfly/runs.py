"""Finished shards: computed once, kept by content, verified when read.

A shard is a pure function of its configuration: one process, its own seeds. It is the unit of work, of caching, of
failure and of distribution. Its key is a hash of the configuration, of the code that computes it and of the library
versions, so a changed parameter or program finds no old result. Killing the program loses the shards in flight only.
"""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from butterfly import fingerprint
from butterfly.strict import UserError

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]
Compute = Callable[[Config], Arrays]
Report = Callable[[str], None]


class DamagedError(Exception):
    """A file of the store is truncated, corrupted or foreign."""


@dataclass(frozen=True)
class Store:
    """A folder of finished shards, one file each: a line of JSON that describes and checks the rest, then an npz."""

    folder: Path

    def file(self, key: str) -> Path:
        return self.folder / f"{key}.shard"

    def save(self, key: str, arrays: Arrays, about: Config) -> None:
        """Write a shard whole or not at all."""
        body = io.BytesIO()
        np.savez(body, allow_pickle=False, **arrays)
        payload = body.getvalue()
        head = {"key": key, "sha256": hashlib.sha256(payload).hexdigest(), **about}
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=f".{key}.", suffix=".part", delete=False) as file:
            try:
                file.write(json.dumps(head, sort_keys=True).encode() + b"\n" + payload)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, self.file(key))
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def load(self, key: str) -> tuple[Arrays, Config]:
        """The arrays of a shard and what is written about it; `KeyError` if absent, `DamagedError` if not sound."""
        try:
            head, _, payload = self.file(key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            raise KeyError(key) from None
        try:
            about = json.loads(head)
            sound = about["key"] == key and about["sha256"] == hashlib.sha256(payload).hexdigest()
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise DamagedError(f"{self.file(key)} is truncated, corrupted or not a shard")
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return dict(arrays), about

    def sweep(self, older_than: float = 3600.0) -> None:
        """Remove what writers that were killed left behind."""
        for path in self.folder.glob(".*.part") if self.folder.exists() else ():
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink(missing_ok=True)


def key_of(compute: Compute, config: Config) -> str:
    """The name of a shard: what is computed, by which code, on what."""
    identity = {
        "function": f"{compute.__module__}.{compute.__name__}",
        "config": config,
        "code": fingerprint.code(compute),
        "environment": fingerprint.environment(config.get("device", "cpu")),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def collect(
    compute: Compute,
    configs: Sequence[Config],
    store: Store,
    executor: Executor | None = None,
    report: Report = lambda line: None,
    cost: Callable[[Config], float] = lambda config: 1.0,
) -> list[Arrays]:
    """The results of all shards, in order: from the store where they are there and sound, else computed and kept.

    `executor` is any `concurrent.futures.Executor`; without one, shards are computed here, one after another. `report`
    is told in words how far things are; `cost` says how long a shard takes relative to the others.
    """
    store.sweep()
    keys = [key_of(compute, config) for config in configs]
    found = {key: result for key in keys if (result := _try(store, key, report)) is not None}
    waiting = {key: config for key, config in zip(keys, configs, strict=True) if key not in found}
    if not waiting:
        return [found[key] for key in keys]
    report(f"{len(configs)} shards: {len(found)} stored, {len(waiting)} to compute")
    began, spent, total = time.monotonic(), 0.0, sum(map(cost, waiting.values()))
    for done, (key, result) in enumerate(_compute(compute, waiting, executor), start=1):
        arrays, about = result
        store.save(key, arrays, about | {"config": waiting[key]})
        found[key] = arrays
        spent += cost(waiting[key])
        left = (time.monotonic() - began) * (total - spent) / spent
        report(f"shard {done}/{len(waiting)} done in {about['seconds']:.0f} s, about {_clock(left)} left")
    return [found[key] for key in keys]


def _try(store: Store, key: str, report: Report) -> Arrays | None:
    try:
        return store.load(key)[0]
    except KeyError:
        return None
    except DamagedError as error:
        report(f"{error}; it is computed again")
        return None


def _compute(compute: Compute, waiting: dict[str, Config], executor: Executor | None):
    """Results as they come: (key, (arrays, about))."""
    if executor is None:
        for key, config in waiting.items():
            yield key, _timed(compute, config)
        return
    futures: dict[Future, str] = {executor.submit(_timed, compute, config): key for key, config in waiting.items()}
    failure: Exception | None = None
    try:
        for future in as_completed(futures):
            if future.cancelled():
                continue
            if error := future.exception():
                failure = failure or error
                _cancel(futures)  # what runs already is waited for and kept
                continue
            yield futures[future], future.result()
    finally:
        _cancel(futures)
    if isinstance(failure, BrokenProcessPool):
        raise UserError(
            "a worker process was killed (out of memory?). Finished shards are kept: run the same command again, "
            "with fewer JOBS if memory was short."
        )
    if failure:
        raise failure


def _cancel(futures: Iterable[Future]) -> None:
    for future in futures:
        future.cancel()


def _timed(compute: Compute, config: Config) -> tuple[Arrays, Config]:
    began = time.monotonic()
    arrays = compute(config)
    about = {"seconds": time.monotonic() - began}
    return arrays, about


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
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, and nothing here reads such memory
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
