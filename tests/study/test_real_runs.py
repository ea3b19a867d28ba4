"""A real study in several processes, and killed: the results are the same."""

import os
import signal
import subprocess
import sys
from time import sleep

import pandas as pd
import pytest

from butterfly.papers.altintas2025.butterfly_effect import Params, study

TINY = Params(steps=30, seeds=2, seeds_per_shard=1, kick_times=(0.0, 50.0), one_weights=2, points=5, looks=4)


@pytest.fixture(scope="module")
def results(own_store):
    """A tiny run with its own store."""
    return study.run(TINY)


def test_results_do_not_depend_on_the_number_of_processes(results, monkeypatch, tmp_path):
    monkeypatch.setenv("BUTTERFLY_RUNS", str(tmp_path))
    monkeypatch.setenv("BUTTERFLY_JOBS", "2")
    again = study.run(TINY)
    for name, table in results.items():
        pd.testing.assert_frame_equal(table, again[name], check_exact=True)


def test_a_run_killed_with_all_its_workers_goes_on(results, tmp_path, monkeypatch):
    """Killed while it computes; what was finished is not computed again, and the results are the same."""
    monkeypatch.setenv("BUTTERFLY_RUNS", str(tmp_path))
    values = TINY.model_copy(update={"seeds": 3}).model_dump_json()
    code = "import json, sys; from butterfly.papers.altintas2025 import butterfly_effect as e; " + (
        "e.study.run(e.Params.read(json.loads(sys.argv[1])))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, values], start_new_session=True, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if process.poll() is not None or any(tmp_path.glob("*.shard")):
            break
        sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_ino for path in tmp_path.glob("*.shard")}
    assert kept
    finished = study.run(TINY)
    for name, table in results.items():
        pd.testing.assert_frame_equal(table, finished[name], check_exact=True)
    for name, file in kept.items():
        assert (tmp_path / name).stat().st_ino == file
