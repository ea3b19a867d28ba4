"""The driver, in a copy of the project with one more paper: that of CONTRIBUTING."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from butterfly import SOURCES, registry
from butterfly.__main__ import main
from butterfly.strict import UserError
from butterfly.study import Params, elsewhere, folders, intervals, ledger, profiles, reproduce
from butterfly.study.identity import Program, reach
from tests import toy
from tests.study.test_identity import BEFORE, ROOTS
from tests.study.test_report import claim

LIB = Path(registry.__file__).parent


def test_one_more_paper_makes_nothing_stale():
    sources = dict(SOURCES) | {LIB / "papers/doe2030/__init__.py": toy.BLOCKS[0]}
    sources[LIB / "papers/doe2030/small_steps.py"] = toy.BLOCKS[1]
    program = Program(sources)
    assert {name: reach(own, program).hash for name, own in ROOTS.items()} == BEFORE


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the toy paper, and nothing but additions."""
    root = tmp_path_factory.mktemp("project")
    more = {
        "params/mine.yaml": "99_small_steps:\n  seeds: 3\n",
        "params/more.yaml": "base: mine\n99_small_steps:\n  steps: 40\n",
    }
    toy.project(root, folders.topics(), more)
    shutil.copytree(folders.reference("laptop"), root / "figures" / "reference" / "laptop")
    return root


def drive(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "PYTHONPATH": str(root / "lib"),
        "BUTTERFLY_JOBS": "1",
        "BUTTERFLY_RUNS": str(root / "runs"),
    }
    command = [sys.executable, "-m", "butterfly", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_a_paper_runs_end_to_end_and_only_what_is_out_of_date(project):
    run = ("figures", "--profile", "mine", "--only", "99")
    done = drive(project, *run)
    assert done.returncode == 0, done.stderr
    assert "99_small_steps (mine): notebook 1 of 1" in done.stderr
    assert "shard 2/2 done" in done.stderr
    assert "T01 A smaller step ends lower" in done.stdout
    assert "no reference run of profile 'mine' to compare with" in done.stdout
    folder = project / "figures" / "mine"
    made = {path.name for path in folder.iterdir()}
    assert {"99_a_losses.png", "99_a_losses.pdf", "99_a_losses.csv", "99_small_steps.ipynb", "claims.json"} <= made
    assert not [name for name in made if name.startswith(".")]
    (claim,) = json.loads((folder / "claims.json").read_text())
    expected = {
        "id": "T01",
        "paper": "doe2030",
        "origin": "abstract",
        "scope": "digits, mlp-2x64",
        "n": 3,
        "kind": "finding",
    }
    assert {name: claim[name] for name in expected} == expected
    assert claim["statement"] == "A smaller step ends lower"
    before = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    for shard in (project / "runs").glob("*.shard"):  # as if each had taken long
        head, _, body = shard.read_bytes().partition(b"\n")
        shard.write_bytes(json.dumps(json.loads(head) | {"seconds": 1000.0}).encode() + b"\n" + body)

    again = drive(project, *run)
    assert "notebook" not in again.stderr  # nothing is out of date
    (folder / "99_a_losses.png").write_bytes(b"damaged")
    (folder / "99_b_of_old.csv").write_text("a figure that the notebook no longer draws")
    redone = drive(project, *run)
    assert "notebook 1 of 1" in redone.stderr
    assert "to compute" not in redone.stderr  # everything comes from the store
    assert json.loads((folder / "99_small_steps.run.json").read_text())["compute_seconds"] == 2000.0
    assert before == {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    assert {path.name for path in folder.iterdir()} == made
    assert "T01" in drive(project, "claims", "--profile", "mine").stdout
    assert "no reference run" in drive(project, "compare", "--profile", "mine").stdout


def test_a_profile_stands_on_another_and_the_command_line_on_both(project):
    changes = "recipe.lr=0.05 seeds=2"
    done = drive(project, "figures", "--profile", "more", "--only", "99", "--set", changes)
    assert done.returncode == 0, done.stderr
    folder = project / "figures" / profiles.folder("more", changes)
    assert folder.name.startswith("more-with-recipe-lr-0-05-seeds-2-")
    notebook = (folder / "99_small_steps.ipynb").read_text()
    for line in ("steps = 40", "seeds = 2", 'recipe = {\\"lr\\": 0.05}'):
        assert line in notebook
    assert not (project / "figures" / "more").exists()
    assert "T01 A smaller step ends lower" in done.stdout
    assert "reference" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("figures", "--profile", "laptpo"), "there is no params/laptpo.yaml; did you mean 'laptop'?"),
        (("figures", "--profile", "../../elsewhere"), "cannot name a profile"),
        (("figures", "--only", "98"), "there is no notebook 98"),
        (("figures", "--only", "23", "--set", "seedz=3"), "'seedz' is not a parameter; did you mean 'seeds'?"),
        (("figures", "--only", "23", "--set", "recipe.warmpu=3"), "did you mean 'warmup'?"),
        (("figures", "--only", "23", "--set", "seeds"), "not of the form name=value"),
        (("figures", "--only", "23", "--set", "profile=mine"), "SET: give PROFILE=... to make instead"),
        (("figures", "--only", "9"), "there is no notebook 9; use two digits"),
        (("clean-runs", "--days", "-1"), "give 0 or more"),
        (("figures", "--only", "23", "--set", "seeds=3 seeds=4"), "'seeds' is given twice"),
        (("figures", "--only", "23", "--set", "model=mlp-2x"), "unknown model 'mlp-2x'"),
        (("claims", "--profile", "paper"), "has no claims yet"),
    ],
)
def test_what_is_misspelt_is_refused_with_a_reason(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("change", ["seeds=1000000000", "steps=1000000000000", "recipe.batch_size=100000000000"])
def test_what_would_never_end_is_refused(change, capsys):
    assert main(("figures", "--only", "23", "--set", change)) == 2
    assert "is more than 1,000,000; give less" in capsys.readouterr().err


def test_nobody_works_for_a_driver_that_was_killed(project):
    """Workers see their driver end, and end."""
    environment = os.environ | {"PYTHONPATH": str(project / "lib"), "BUTTERFLY_JOBS": "2"}
    environment |= {"BUTTERFLY_RUNS": str(project / "other")}
    command = [sys.executable, "-m", "butterfly", "figures", "--profile", "mine", "--only", "99", "--set", "seeds=8"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    driver = subprocess.Popen(command, cwd=project, env=environment, **quiet)
    workers = []
    while driver.poll() is None and len(workers) < 3:  # two, and the tracker of their resources
        workers = psutil.Process(driver.pid).children()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert workers
    assert not alive


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.full((10_000, 10), -1.0), "holds negative numbers"),
        (np.full((10_000, 10), np.nan), "is damaged"),
        (None, "is damaged"),
    ],
)
def test_damaged_answers_of_people_are_refused(tmp_path, monkeypatch, counts, message):
    file = tmp_path / "human" / "cifar10h_test_counts.npy"
    file.parent.mkdir()
    file.write_bytes(b"none") if counts is None else np.save(file, counts)
    monkeypatch.setenv("BUTTERFLY_DATA", str(tmp_path))
    with pytest.raises(UserError, match=message):
        reproduce._check_people()


# --- the reference ---------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A project of one notebook whose figures are made."""
    monkeypatch.setattr(folders, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(folders, "topics", lambda: ["00_index", "23_chaos_paths"])
    monkeypatch.setattr(reproduce.profiles, "sections", lambda profile: {"23_chaos_paths": {}})
    results = tmp_path / "figures" / "mine"
    results.mkdir(parents=True)
    for name in ("23_a_by_time.png", "23_a_by_time.csv", "23_a_by_time.pdf"):
        (results / name).write_text(name)
    (results / "23_chaos_paths.claims.json").write_text("[]")
    (results / "23_b_of_old.png").write_text("a figure that the notebook no longer draws")
    files = {name: reproduce._digest(results / name) for name in ("23_a_by_time.png", "23_a_by_time.csv")}
    facts = {"compute_seconds": 1.0, "draw_seconds": 1.0, "device": "cpu", "made_from": "these", "files": files}
    (results / "23_chaos_paths.run.json").write_text(json.dumps(facts))
    this = reproduce.Job("23_chaos_paths", None, Params(profile="mine"), {}, "these")
    monkeypatch.setattr(reproduce, "job", lambda *about: this)
    old = tmp_path / "figures" / "reference" / "mine"
    old.mkdir(parents=True)
    (old / "23_old.png").write_text("old")
    return tmp_path


def test_the_reference_is_replaced_as_a_whole(made):
    reproduce.reference("mine")
    kept = {path.name for path in (made / "figures" / "reference" / "mine").iterdir()}
    assert kept == {"23_a_by_time.png", "23_a_by_time.csv", "claims.json", "machine.json"}
    assert [path.name for path in (made / "figures" / "reference").iterdir()] == ["mine"]


def test_one_notebook_of_the_reference_is_replaced_beside_the_others(made, monkeypatch):
    monkeypatch.setattr(reproduce, "_topics", lambda profile: ["23_chaos_paths", "30_noise_minima"])
    old = made / "figures" / "reference" / "mine"
    (old / "30_a_flatness.png").write_text("kept")
    (old / "31_a_ease.png").write_text("of no notebook of the profile")
    sure = intervals.mean([1.0, 1.1, 0.9])
    own, other, gone = (claim(id, sure) for id in ("CP01", "FM01", "CP02"))
    ledger.write(made / "figures" / "mine" / "23_chaos_paths.claims.json", [replace(own, notebook="23_chaos_paths")])
    there = [replace(other, notebook="30_noise_minima"), replace(gone, notebook="23_chaos_paths")]
    ledger.write(old / "claims.json", there)
    (old / "machine.json").write_text(json.dumps({"notebooks": {"30_noise_minima": {"commit": "earlier"}}}))
    elsewhere.write(old, {"SSE": {id: {"verdict": "inconclusive", "estimate": 1.0} for id in ("CP02", "FM01")}})
    with pytest.raises(UserError, match="no notebook 99; use two digits"):
        reproduce.reference("mine", "99")
    reproduce.reference("mine", "23")
    assert {path.name for path in old.iterdir()} == {
        "23_a_by_time.png", "23_a_by_time.csv", "30_a_flatness.png", "claims.json", "elsewhere.json", "machine.json"
    }  # fmt: skip
    assert [(c.id, c.notebook) for c in ledger.read(old / "claims.json")] == [
        ("CP01", "23_chaos_paths"), ("FM01", "30_noise_minima")
    ]  # fmt: skip
    commits = {t: f["commit"] for t, f in json.loads((old / "machine.json").read_text())["notebooks"].items()}
    assert commits["30_noise_minima"] == "earlier" != commits["23_chaos_paths"]
    assert {name: list(rows) for name, rows in elsewhere.read("mine").items()} == {"SSE": ["FM01"]}


def test_nothing_is_removed_before_its_successor_is_there(made, monkeypatch):
    old = made / "figures" / "reference" / "mine" / "23_old.png"

    def fail(*about):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(reproduce, "_machine", fail)
        with pytest.raises(OSError, match="disk full"):
            reproduce.reference("mine")
    replace = os.replace
    with monkeypatch.context() as patch:  # the old one has moved aside, the new one cannot take its place
        patch.setattr(os, "replace", lambda a, b: fail() if Path(a).name == "new" else replace(a, b))
        with pytest.raises(OSError, match="disk full"):
            reproduce.reference("mine")
    assert old.read_text() == "old"
    assert [path.name for path in (made / "figures" / "reference").iterdir()] == ["mine"]


@pytest.mark.parametrize("change", ["damaged", "missing", "older"])
def test_only_what_is_up_to_date_becomes_the_reference(made, change):
    results = made / "figures" / "mine"
    if change == "damaged":
        (results / "23_a_by_time.png").write_text("other bytes")
    elif change == "missing":
        (results / "23_chaos_paths.run.json").unlink()
    else:
        facts = json.loads((results / "23_chaos_paths.run.json").read_text())
        (results / "23_chaos_paths.run.json").write_text(json.dumps(facts | {"made_from": "other parameters"}))
    with pytest.raises(UserError, match="23_chaos_paths of figures/mine/ is out of date; run 'make figures"):
        reproduce.reference("mine")
    assert (made / "figures" / "reference" / "mine" / "23_old.png").read_text() == "old"


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", "[" * 100_000, '{"files": 3}', '{"files": {"x": 1}, "made_from": "these"}']
)
def test_damaged_notes_of_a_run_mean_out_of_date(made, text):
    (made / "figures" / "mine" / "23_chaos_paths.run.json").write_text(text)
    assert not reproduce._fresh(reproduce.job())
    assert reproduce._minutes_left("mine", "mine", ["23_chaos_paths"]) == ""


@pytest.mark.parametrize("name", ["..", "../..", ".", "", "/tmp", "Laptop", "a/b", "$(x)", "a b", "reference"])
def test_a_profile_cannot_leave_its_folder(name):
    for command in ("reference", "claims", "compare", "figures"):
        assert main([command, "--profile", name]) == 2


# --- progress --------------------------------------------------------------------------------------------------------


def test_time_left_is_that_of_the_reference_at_the_speed_of_this_machine(made):
    kept = made / "figures" / "reference" / "mine" / "machine.json"
    facts = {t: {"compute_seconds": 100.0, "draw_seconds": 20.0} for t in ("01_a", "02_b", "03_c")}
    kept.write_text(json.dumps({"notebooks": facts}))
    assert reproduce._minutes_left("mine", "mine", ["02_b", "03_c"]) == ", about 4 min left"
    own = made / "figures" / "mine" / "01_a.run.json"
    own.write_text(json.dumps({"compute_seconds": 200.0, "draw_seconds": 40.0}))
    assert reproduce._minutes_left("mine", "mine", ["02_b", "03_c"]) == ", about 8 min left"
    assert reproduce._minutes_left("mine", "mine", ["09_new"]) == ""
