"""Shards on workers of Dask, which are started for real: the same bytes, whatever ends meanwhile."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import Field

from butterfly import registry, remote, replay
from butterfly.evaluate import evaluate
from butterfly.streams import generator
from butterfly.strict import ParameterError, UserError
from butterfly.study import OneModel, Study, description, executors, folders, profiles, runs
from butterfly.study.papers import Paper
from butterfly.study.runs import Request, Shard
from butterfly.study.store import Store
from butterfly.train import train
from tests import toy

LIBRARY = Path(registry.__file__).parents[1]
DASK = [sys.executable, "-m", "dask"]
BARE = {"protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
PAPER = Paper("doe2030", "Jane Doe", "Small Steps", "arXiv 2030", 2030, "3001.00001", "Does it end lower?", "all")


class Params(OneModel):
    setting: str = "digits"
    steps: int | None = Field(20, gt=0)
    seeds: int = 4
    seeds_per_shard: int = 1


study = Study("99_small_steps", Params, PAPER)


@study.plan
def plan(params):
    return study.every_few(params, params.chosen(params.setting, params.steps))


@study.shard
def losses(bench):
    theta = train(bench.model, bench.task, bench.recipe, bench.seeds).theta
    return {"theta": theta.numpy(), "loss": evaluate(bench.model, theta, bench.task.x, bench.task.y)[0].numpy()}


def draws(bench):
    """Random numbers, by a worker that says when and with how many threads it drew them."""
    began = time.time()
    while bench["wait"] and not Path(bench["wait"]).exists():  # the first to come stays until it is killed
        Path(f"{bench['wait']}.pid").write_text(str(os.getpid()))
        time.sleep(0.05)
    time.sleep(0.1)
    drawn = torch.randn(100, generator=generator("draws", bench["x"])).numpy()
    return {"drawn": drawn, "when": np.array([os.getpid(), torch.get_num_threads(), began, time.time()])}


def shards(count: int, wait: str = "", device: str = "cpu") -> list[Shard]:
    return [Shard(draws, {"x": x, "wait": wait if x == 1 else "", "device": device}) for x in range(count)]


# --- Dask, as its users start it -------------------------------------------------------------------------------------


class Engine:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path, library: Path = LIBRARY):
        self.folder, self.file = folder, folder / "scheduler.json"
        paths = os.pathsep.join([str(library), str(toy.CHECKOUT)])
        self.environment = os.environ | {"PYTHONPATH": paths, "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "critical"}
        self.processes: list[subprocess.Popen] = []
        self.port = 0

    def run(self, *words: str) -> subprocess.Popen:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(subprocess.Popen([*DASK, *words], env=self.environment, cwd=self.folder, **quiet))
        return self.processes[-1]

    def scheduler(self) -> subprocess.Popen:
        self.file.unlink(missing_ok=True)
        where = ("--host", "127.0.0.1", "--port", str(self.port), "--scheduler-file", str(self.file))
        started = self.run("scheduler", *where, "--no-dashboard")
        wait_for(self.file.exists)
        self.port = int(self.address.rpartition(":")[2])
        return started

    def worker(self, name: str, *more: str, address: str = "") -> subprocess.Popen:
        own = ("--name", name, "--nthreads", "1", "--no-dashboard", "--memory-limit", "4GB")
        return self.run("worker", address or self.address, *own, *more)

    @property
    def address(self) -> str:
        return json.loads(self.file.read_text())["address"]

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(30)


def wait_for(condition, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """A scheduler with two workers, `a` and `b`; `b` has the tag of a GPU."""
    engine = Engine(tmp_path_factory.mktemp("dask"))
    engine.scheduler()
    engine.worker("a")
    engine.worker("b", "--resources", "GPU=1")
    yield engine
    executors.close()
    engine.stop()


@contextmanager
def on(text: str, device: str = "cpu", report=lambda line: None, count: int = 2) -> Executor | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUTTERFLY_EXECUTOR", text)
        patch.setenv("BUTTERFLY_JOBS", str(count))
        with executors.opened(device, count, report) as executor:
            yield executor


def collected(folder: Path, asked: list[Shard], text: str, said: list[str] | None = None) -> dict[str, bytes]:
    """What an executor makes of shards, as the store has it; times and processes, which differ, are left out."""
    store, said = Store(folder), [] if said is None else said
    with on(text, report=said.append, count=2 if text else 1) as executor:
        assert (executor is None) == (not text)  # without one, this process computes
        runs.collect(asked, store, executor, said.append)
    found = {shard.key: store.load(shard.key)[0] for shard in asked}
    return {
        f"{key} {name} {values.dtype} {values.shape}": values.tobytes()
        for key, arrays in found.items()
        for name, values in arrays.items()
        if name != "when"
    }


def test_one_process_processes_and_dask_give_the_same_bytes(tmp_path, engine):
    asked, said = plan(Params()), []
    alone = collected(tmp_path / "1", asked, "")
    assert len(alone) == 8
    assert collected(tmp_path / "2", asked, "processes") == alone
    assert collected(tmp_path / "3", asked, f"dask:{engine.address}", said) == alone
    assert {"losses seeds [0] begins on worker a", "losses seeds [0] begins on worker b"} & set(said)
    assert sum("done in" in line and "by worker" in line and "left" in line for line in said) == 4


def test_a_worker_computes_one_shard_at_a_time_on_one_thread(tmp_path, engine):
    with on(f"dask:{engine.address}") as executor:
        found = runs.collect(shards(8), Store(tmp_path), executor)
    spans = sorted(tuple(shard["when"]) for shard in found)
    assert len({worker for worker, *_ in spans}) == 2
    assert {threads for _, threads, *_ in spans} == {1}
    for (one, _, _, ended), (other, _, began, _) in pairwise(spans):
        assert one != other or began >= ended


def test_a_worker_killed_while_it_computes_is_replaced_and_counted(tmp_path, engine):
    wait, said = str(tmp_path / "go on"), []
    asked = shards(4, wait)

    def kill() -> None:
        wait_for(Path(f"{wait}.pid").exists)
        time.sleep(0.2)
        Path(wait).touch()  # whoever begins it again does not wait
        os.kill(int(Path(f"{wait}.pid").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = collected(tmp_path / "1", asked, f"dask:{engine.address}", said)
    killer.join()
    assert sum("draws begins again on worker" in line for line in said) == 1
    assert said[-1] == "shards that were begun again because their worker died: 1"
    assert found == collected(tmp_path / "2", asked, "")


def test_shards_of_a_gpu_go_to_workers_with_its_tag(engine):
    with on(f"dask:{engine.address}", device="cuda") as executor:
        futures = [executor.submit(runs._where) for _ in range(6)]
        assert {future.result(300) for future in futures} == {"worker b"}
        assert executor.workers == 1


def test_a_scheduler_that_is_killed_is_told_and_the_same_command_goes_on(tmp_path, engine):
    wait, address, store = str(tmp_path / "go on"), f"dask:{engine.address}", tmp_path / "1"
    asked = shards(4, wait)

    def kill() -> None:
        wait_for(lambda: len(list(store.glob("*.shard"))) == 3)
        engine.processes[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(UserError, match=r"the scheduler of the workers does not answer any more\. Finished shards"):
        collected(store, asked, address)
    killer.join()
    kept = {path.name: path.read_bytes() for path in store.glob("*.shard")}
    assert len(kept) == 3
    engine.stop()
    Path(wait).touch()
    engine.processes.clear()
    engine.scheduler()
    engine.worker("a", "--resources", "GPU=1")
    said: list[str] = []
    assert collected(store, asked, address, said) == collected(tmp_path / "2", asked, "")
    assert said[0] == "4 shards: 3 stored, 1 to compute"
    assert all((store / name).read_bytes() == body for name, body in kept.items())


# --- who must not compute --------------------------------------------------------------------------------------------


@pytest.fixture
def bare():
    """A scheduler in this process, without workers."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, **BARE) as cluster:
        yield cluster
        executors.close()


def test_a_worker_with_other_code_is_refused_by_name(tmp_path, bare):
    library = tmp_path / "lib"
    shutil.copytree(toy.CHECKOUT / "lib", library, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    file = library / "butterfly" / "streams.py"
    text = file.read_text()
    assert "\n    return " in text
    file.write_text(text.replace("\n    return ", "\n    0 + 0\n    return "))
    engine = Engine(tmp_path, library)
    engine.worker("old", "--no-nanny", address=bare.scheduler_address)
    try:
        with pytest.raises(UserError, match=r"old has other .*other code of butterfly\.streams\.generator") as told:
            collected(tmp_path / "1", shards(2), f"dask:{bare.scheduler_address}")
    finally:
        engine.stop()
    assert "same checkout" in str(told.value)
    assert not list((tmp_path / "1").glob("*.shard"))


def test_a_worker_with_several_threads_is_refused(tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, **BARE) as own:
        with pytest.raises(UserError, match=r"has 2 threads, .*start workers with --nthreads 1"):
            collected(tmp_path, shards(2), f"dask:{own.scheduler_address}")
        executors.close()


@pytest.mark.parametrize("asked", ["1", ""])
def test_graphs_are_replayed_where_they_are_asked_for(asked, monkeypatch):
    monkeypatch.setenv(replay.VARIABLE, asked)
    monkeypatch.setenv("BUTTERFLY_JOBS", "1")
    runs_of = sys.modules["butterfly.train"]
    with executors.opened("cpu", 1, print):
        assert (runs_of._Run is replay._Run) == bool(asked)
    assert runs_of._Run is not replay._Run


def test_other_data_are_refused_by_name(monkeypatch):
    shard = plan(Params())[0]
    request = Request(shard, shard.key)
    monkeypatch.setattr(description.data, "provenance", lambda name: {"scikit-learn": "another"})
    with pytest.raises(runs.UnlikeError) as refused:
        request()
    told = runs._unlike(shard, refused.value)
    assert "has other code, data or libraries (data set digits: " in told
    assert "code of" not in told


def test_what_differs_is_named():
    here = {"Python": "3.11", "numpy": "2.4.6", "code of butterfly.train.train": "a", "code of x.": "b"}
    assert description.differences(here, here) == ""
    assert description.differences(here, here | {"numpy": "2.4.5"}) == "numpy: 2.4.6 here, 2.4.5 there"
    other = here | {"code of butterfly.train.train": "c", "code of x.": "d"}
    assert description.differences(here, other) == "other code of butterfly.train.train, x"
    # Another Python reads every definition in another way.
    assert description.differences(here, other | {"Python": "3.12"}) == "Python: 3.11 here, 3.12 there"


def test_a_worker_that_lacks_what_is_asked_says_so(tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **BARE) as own:
        with on(f"dask:{own.scheduler_address}") as executor:
            future = executor.submit(os.getpid)
            assert future.result(300) == os.getpid()
            strange = b"\x80\x04cnowhere\nmissing\n."
            with pytest.raises(UserError, match="has another checkout or environment: No module named 'nowhere'"):
                executor._executor.submit(remote.run, executor._topic, 0, strange).result(300)
        executors.close()


# --- what users write ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("locl", "did you mean 'local'"),
        ("dask", "give the address that the scheduler prints"),
        ("dask:$(touch x)", "give the address that the scheduler prints"),
        ("processes:4", "give their number as JOBS=4"),
        ("slurm:nowhere.yaml", "the file 'nowhere.yaml' cannot be read"),
    ],
)
def test_what_is_no_executor_is_refused(text, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        executors.chosen(text)


def test_an_address_where_nobody_answers_is_one_line(monkeypatch):
    monkeypatch.setattr(executors, "_SECONDS", 1)
    with on("dask:127.0.0.1:1") as executor, pytest.raises(UserError, match="no scheduler of Dask answers") as told:
        executor.submit(os.getpid)
    assert "\n" not in str(told.value)


def test_where_dask_is_missing_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with on("local") as executor, pytest.raises(UserError, match=r"needs distributed, .*pip install '\.\[cluster\]'"):
        executor.submit(os.getpid)


@pytest.mark.parametrize("memory", ["much", "4 apples"])
def test_a_memory_that_is_none_is_refused(memory):
    with on(f"local:{memory}") as executor, pytest.raises(ParameterError, match="give the memory of a worker"):
        executor.submit(os.getpid)


def test_a_profile_names_its_executor_and_may_take_that_of_its_base(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "PARAMS", tmp_path)
    (tmp_path / "large.yaml").write_text("executor: dask:tcp://head:8786\n")
    (tmp_path / "mine.yaml").write_text("base: large\n23_chaos_paths:\n  seeds: 9\n")
    (tmp_path / "own.yaml").write_text("base: large\nexecutor: local\n")
    (tmp_path / "wrong.yaml").write_text("executor: 3\n")
    assert [profiles.executor(name) for name in ("large", "mine", "own")] == [*2 * ["dask:tcp://head:8786"], "local"]
    assert profiles.sections("mine") == {"23_chaos_paths": {"seeds": 9}}
    with pytest.raises(ParameterError, match="executor = 3; give text"):
        profiles.executor("wrong")


# --- jobs of a queue -------------------------------------------------------------------------------------------------

EXAMPLE = toy.CHECKOUT / "docs" / "slurm.yaml"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("memroy: 4GB", "'memroy' is not a parameter; did you mean 'memory'?"),
        ("jobs: 0", "'jobs' = 0: input should be greater than 0"),
        ("memory: 4", "'memory' = 4: input should be a valid string"),
        ("memory: much", "'memory' = 'much': string should match"),
        ("cores: [1]", "'cores' = [1]"),
        ("- jobs", "is not YAML"),
    ],
)
def test_a_file_of_jobs_is_read_strictly(tmp_path, line, message):
    file = tmp_path / "mine.yaml"
    name = line.partition(":")[0]
    kept = [own for own in ("jobs: 2", "memory: 4GB") if not own.startswith(name)]
    file.write_text("\n".join([*kept, line]))
    with pytest.raises(ParameterError, match=re.escape(message)):
        executors.chosen(f"slurm:{file}")


@pytest.mark.parametrize(("kind", "word"), [("slurm", "#SBATCH"), ("pbs", "#PBS")])
def test_jobs_ask_for_what_the_file_says(kind, word, monkeypatch):
    monkeypatch.setenv("BUTTERFLY_DATA", "/a folder/data")
    monkeypatch.setattr(sys, "executable", "/a folder/bin/python")
    monkeypatch.setenv(replay.VARIABLE, "1")
    asked = executors.Jobs.of(str(EXAMPLE))
    with asked.cluster(kind) as cluster:
        script = cluster.job_script()
    lines = script.splitlines()
    for setting in ("PYTHONHASHSEED=0", "OMP_NUM_THREADS=1", "BUTTERFLY_GRAPHS=1", "BUTTERFLY_DATA='/a folder/data'"):
        assert f"export {setting}" in lines
    (command,) = (line for line in lines if "dask_worker" in line)
    assert command.startswith("'/a folder/bin/python' -m ")
    for words in ("--nthreads 1 ", "--memory-limit 3.73GiB ", "--nworkers 4 ", "--nanny "):
        assert words in command
    assert sum(line.startswith(word) for line in lines) >= 4
    if kind == "slurm":
        ask = {"-p main", "-A physics", f"--cpus-per-task={asked.cores}", "--mem=15G", "-t 04:00:00", "--requeue"}
        assert {f"#SBATCH {own}" for own in ask} <= set(lines)


SBATCH = """#!/bin/sh
cp "$1" "$0.job"  # the file is removed once it is submitted
setsid sh "$0.job" > "$0.log" 2>&1 &
echo "Submitted batch job $!"
"""


def test_jobs_that_a_queue_starts_compute(tmp_path, monkeypatch):
    """A stand-in for Slurm begins every job at once."""
    for name, text in (("sbatch", SBATCH), ("scancel", "#!/bin/sh\nkill -- -$1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(LIBRARY), str(toy.CHECKOUT)]))
    (tmp_path / "jobs.yaml").write_text("jobs: 1\nmemory: 4GB\ninterface: lo\n")
    said: list[str] = []
    asked = shards(2)
    found = collected(tmp_path / "1", asked, f"slurm:{tmp_path / 'jobs.yaml'}", said)
    executors.close()
    assert "by worker SLURMCluster-0" in said[-1]
    assert "no worker yet; waiting for one (where jobs end without one, their logs say why)" in said[1]
    assert found == collected(tmp_path / "2", asked, "")


def test_a_machine_without_the_queue_says_so():
    with on(f"slurm:{EXAMPLE}") as executor, pytest.raises(UserError, match="there is no sbatch here"):
        executor.submit(os.getpid)
