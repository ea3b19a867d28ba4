"""Where shards are computed: `EXECUTOR=` names processes here, or workers of Dask on one machine or on many.

    processes          as many as JOBS says (the default)
    local, local:4GB   workers of Dask on this machine, as many as JOBS says, with so much memory each
    dask:ADDRESS       the workers of a scheduler that runs already
    slurm:FILE         jobs that this program hands to Slurm, as a file describes them; pbs:FILE likewise

A worker computes one shard at a time, on one thread. Where a worker dies, its shard is begun again on another.
"""

import importlib
import logging
import os
import re
import shlex
import shutil
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from butterfly import remote, replay
from butterfly.strict import ParameterError, Strict, UserError, close_to
from butterfly.study import folders, identity, runs

VARIABLE = "BUTTERFLY_EXECUTOR"  # notebooks run in kernels, which see the environment of the driver
_QUEUES = {"slurm": ("SLURMCluster", "sbatch"), "pbs": ("PBSCluster", "qsub")}
_KINDS = ("processes", "local", "dask", *_QUEUES)
_ADDRESS = re.compile(r"((tcp|tls|ws|wss|ucx)://)?[^\s/]+:[0-9]+")
_SECONDS = 10  # to wait for the answer of a scheduler
_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application")
_NO_PAGES = {"dashboard_address": "127.0.0.1:0"}  # Dask's pages on its state, for nobody else
_GPU = {"GPU": 1}  # the tag of workers that have one

Report = Callable[[str], None]


def chosen(text: str) -> tuple[str, str]:
    """The kind of an executor and what follows its colon; `ParameterError` where there is no such executor."""
    kind, _, what = (text or "processes").partition(":")
    if kind not in _KINDS:
        forms = "processes, local, local:4GB, dask:ADDRESS, slurm:FILE or pbs:FILE"
        raise ParameterError(f"EXECUTOR = '{text}': give {forms}; {close_to(kind, _KINDS)}")
    if kind == "processes" and what:
        raise ParameterError(f"EXECUTOR = '{text}': give their number as JOBS={what}")
    if kind == "dask" and not _ADDRESS.fullmatch(what):
        raise ParameterError(
            f"EXECUTOR = '{text}': give the address that the scheduler prints, as dask:tcp://host:8786"
        )
    if kind in _QUEUES:
        Jobs.of(what)
    return kind, what


def jobs() -> int:
    """How many shards this machine computes at once: `BUTTERFLY_JOBS`, or one a core."""
    text = os.environ.get("BUTTERFLY_JOBS") or str(os.cpu_count() or 1)
    if not text.isdecimal() or int(text) < 1:
        raise ParameterError(f"JOBS = {text!r}: give the number of processes, 1 or more")
    return int(text)


def width(device: str, count: int) -> int:
    """How many of so many shards this machine computes at once on a device."""
    return max(1, min(count, jobs())) if device == "cpu" else 1


@contextmanager
def opened(device: str, count: int, report: Report) -> Iterator[Executor | None]:
    """What computes so many shards on a device; None: this process does, one after another, as on its own GPU.

    Nobody is asked for workers before a shard is submitted.
    """
    kind, what = chosen(os.environ.get(VARIABLE, ""))
    graphs = replay.asked()
    if kind == "processes" and width(device, count) == 1:
        with graphs:
            yield None
        return
    executor = runs.workers(width(device, count)) if kind == "processes" else Cluster(kind, what, device, report)
    with executor:
        yield executor


# --- a file that describes jobs --------------------------------------------------------------------------------------


class Jobs(Strict):
    """How many jobs to ask a queue for, and what each is: arguments of the clusters of dask-jobqueue."""

    jobs: int = Field(gt=0)
    memory: str = Field(pattern=r"^[0-9.]+ *[kMGT]i?B$")  # of a job: its workers share it
    walltime: str | None = None
    cores: int = Field(1, gt=0)  # of a job: one worker each
    queue: str | None = None
    account: str | None = None
    interface: str | None = None
    python: str | None = None
    local_directory: str | None = None
    log_directory: str | None = None
    job_extra_directives: tuple[str, ...] = ()
    job_script_prologue: tuple[str, ...] = ()
    worker_extra_args: tuple[str, ...] = ()

    @classmethod
    def of(cls, file: str) -> "Jobs":
        """What a file says, its name taken from the project's root; `ParameterError` where it cannot be understood."""
        from butterfly.study import profiles  # its import acts: above, it would be code of every shard

        try:
            text = (folders.ROOT / Path(file).expanduser()).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError(f"EXECUTOR: the file '{file}' cannot be read: {error}") from None
        values = profiles.parse(text, file)
        if not isinstance(values, dict):
            raise ParameterError(f"{file}: expected lines of the form 'name: value'")
        return cls.read(values, file)

    def cluster(self, kind: str) -> Any:
        """A cluster without jobs: its scheduler is part of this program."""
        settings = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        handed_on = (*identity._CHOICES, replay.VARIABLE)
        settings |= {name: os.environ[name] for name in handed_on if name in os.environ}
        if data := os.environ.get("BUTTERFLY_DATA"):
            settings["BUTTERFLY_DATA"] = os.path.abspath(data)
        own = self.model_dump(mode="json", exclude={"jobs", "job_script_prologue"}, exclude_none=True)
        exports = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
        queue = getattr(_imported("dask_jobqueue"), _QUEUES[kind][0])
        prologue = [*exports, *self.job_script_prologue]
        own.setdefault("python", shlex.quote(sys.executable))  # a word of the job's script, which may hold spaces
        return queue(**own, processes=self.cores, job_script_prologue=prologue, scheduler_options=_NO_PAGES)


# --- workers of Dask -------------------------------------------------------------------------------------------------


class Cluster(Executor):
    """Workers of Dask as an executor. `retries` counts the shards that were begun again after a worker died."""

    def __init__(self, kind: str, what: str, device: str, report: Report):
        self.retries = 0
        self._about = kind, what, device
        self._report = report
        self._resources = {} if device == "cpu" else _GPU
        self._topic = f"shards-{uuid.uuid4().hex}"
        self._names: list[str] = []
        self._begun: Counter[int] = Counter()
        self._executor: Executor | None = None
        self._client: Any = None
        self._width = 0

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """As of any executor; `str(function)` is what the lines of progress call it."""
        executor = self._connected()
        self._names.append(str(function))
        packed = _imported("distributed.protocol.pickle").dumps((function, args, kwargs))
        return executor.submit(remote.run, self._topic, len(self._names) - 1, packed)

    def _connected(self) -> Executor:
        if self._executor is None:
            self._client = _client(*self._about)
            self._client.subscribe_topic(self._topic, self._note)
            self._executor = self._client.get_executor(pure=False, resources=self._resources)
            if not self.workers:
                tag = " with --resources GPU=1" if self._resources else ""
                jobs = " (where jobs end without one, their logs say why)" * (self._about[0] in _QUEUES)
                self._report(f"there is no worker{tag} yet; waiting for one{jobs}")
        return self._executor

    def _note(self, event: tuple[float, dict[str, Any]]) -> None:
        """A worker says that it begins."""
        number, worker = event[1]["number"], event[1]["name"]
        self._begun[number] += 1
        again = self._begun[number] > 1
        self.retries += again
        self._report(f"{self._names[number]} begins{' again' if again else ''} on worker {worker}")

    @property
    def workers(self) -> int:
        """How many workers may take these shards."""
        if self._client is not None and self._client.status == "running":
            found = self._client.scheduler_info()["workers"].values()
            self._width = sum(self._resources.items() <= worker["resources"].items() for worker in found)
        return self._width

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nobody listens to the workers any more; they stay, for the next shards."""
        if self._client is not None and self._client.status == "running":
            self._client.unsubscribe_topic(self._topic)


_CLIENTS: dict[tuple[str, str, str], Any] = {}  # jobs wait in queues, and so are kept from one notebook to the next


def _client(kind: str, what: str, device: str) -> Any:
    """A connection to workers; the one that there is, if it still lives."""
    about = (kind, what, device)
    if about not in _CLIENTS or _CLIENTS[about].status != "running":
        _CLIENTS[about] = _connect(*about)
    return _CLIENTS[about]


def _connect(kind: str, what: str, device: str) -> Any:
    distributed = _imported("distributed")
    for name in _LOGGERS:  # what matters reaches the reader as one line of ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    cluster = None
    if kind == "local":
        cluster = _local(what, device)
    elif kind in _QUEUES:
        cluster = _queued(kind, Jobs.of(what))
    try:
        return distributed.Client(cluster or what, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"EXECUTOR = '{kind}:{what}': no scheduler of Dask answers there ({type(error).__name__}). Start one with "
            "'dask scheduler', and give the address that it prints, as dask:tcp://host:8786"
        ) from None


def _local(memory: str, device: str) -> Any:
    """Workers on this machine: as many as `JOBS` says, or one for its GPU."""
    count, resources = (jobs(), {}) if device == "cpu" else (1, _GPU)
    quiet = {**_NO_PAGES, "silence_logs": logging.CRITICAL}
    try:
        return _imported("distributed").LocalCluster(
            n_workers=count, threads_per_worker=1, memory_limit=memory or "auto", resources=resources, **quiet
        )
    except ValueError as error:
        told = f"EXECUTOR = 'local:{memory}': give the memory of a worker, as local:4GB ({error})"
        raise ParameterError(told) from None


def _queued(kind: str, asked: Jobs) -> Any:
    """Jobs of a queue."""
    command = _QUEUES[kind][1]
    if not shutil.which(command):
        raise UserError(f"EXECUTOR = '{kind}:': there is no {command} here; run this where jobs are submitted")
    cluster = asked.cluster(kind)
    cluster.scale(jobs=asked.jobs)
    return cluster


def close() -> None:
    """End the workers that this program started, and the connections to others."""
    for client in _CLIENTS.values():
        cluster = client.cluster
        client.close()
        if cluster is not None:
            cluster.close()
    _CLIENTS.clear()


def _imported(name: str) -> Any:
    """A package that only clusters need."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(
            f"this EXECUTOR needs {name.replace('_', '-')}, which {sys.executable} lacks: pip install '.[cluster]'"
        ) from None
