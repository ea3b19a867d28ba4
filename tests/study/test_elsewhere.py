"""Verdicts under other instruction sets: what is kept, and what a comparison makes of it."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from butterfly.strict import UserError
from butterfly.study import elsewhere, folders, ledger, report, reproduce
from tests import toy
from tests.study.test_claims import line


def claims(count, **about):
    return [dataclasses.replace(line(f"B{number:02}"), **about) for number in range(count)]


def other(found, **changed):
    """One set that found the same, but for some verdicts."""
    return {c.id: {"verdict": changed.get(c.id, c.verdict), "estimate": c.estimate} for c in found}


def test_a_claim_holds_under_as_many_sets_as_agree():
    found = claims(3)
    kept = {"AVX2": other(found, B01="inconclusive"), "SSE": other(found, B01="contradicted", B02="inconclusive")}
    assert [elsewhere.held(c, kept) for c in found] == [(3, 3), (1, 3), (2, 3)]
    assert elsewhere.shaky(found, kept) == {"B01", "B02"}
    assert elsewhere.turned(found, kept) == ["B01"]
    assert elsewhere.held(line("B99"), kept) == (1, 1)
    assert elsewhere.shaky(found, {}) == set()


def test_how_many_departures_to_expect_is_counted_over_sets_with_room_for_chance():
    found = claims(100)
    kept = {"AVX2": other(found, B01="inconclusive", B02="inconclusive"), "SSE": other(found)}
    kept["SSE"]["B05"]["estimate"] = 9.0  # beyond 0.5 to 1.5
    kept["SSE"]["B06"]["estimate"] = None
    mean, most = elsewhere.most(found, kept)
    assert mean == 1.5
    assert 4 <= most <= 6  # the 97.5 % quantile of a Poisson count of 1.5 is 4, and the rate is known from 200 verdicts
    assert elsewhere.most(found, {"SSE": other(found)}) == (0.0, 3)  # none in 100 does not mean never
    half = {name: {id: row for id, row in rows.items() if id < "B50"} for name, rows in kept.items()}
    assert elsewhere.most(found, half)[0] == pytest.approx(3)  # 3 of 100 judged: as often among those that were not
    assert elsewhere.most(found, {"SSE": {}}) == (0.0, 0)


def test_more_departures_than_expected_are_seen_in_one_run_in_forty_at_most():
    found, random = claims(30), np.random.default_rng(0)
    bounds = np.array([elsewhere.most(found, {"SSE": other(found, **departed(found, k))})[1] for k in range(31)])
    rate = random.beta(0.5, 0.5, 20_000)  # seen once in 30 claims, then once elsewhere
    beyond = random.binomial(30, rate) > bounds[random.binomial(30, rate)]
    assert 0.005 < beyond.mean() < 0.028


def departed(found, count):
    return {c.id: "inconclusive" for c in found[:count]}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A reference of 100 claims, which another set finds but for two, and a function that compares with it."""
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    found = claims(100)
    ledger.write(folders.reference("mine") / "claims.json", found)
    text = json.dumps({"AVX2": other(found, B01="inconclusive", B02="contradicted")})
    (folders.reference("mine") / "elsewhere.json").write_text(text)

    def compare(**changed):
        ours = [dataclasses.replace(c, verdict=changed.get(c.id, c.verdict)) for c in found]
        monkeypatch.setattr(reproduce, "gathered", lambda profile, only: ours)
        return reproduce.compare("mine")

    return compare


def test_as_many_departures_as_rounding_makes_are_not_flagged(kept, capsys):
    assert kept(B01="inconclusive", B07="inconclusive")
    said = capsys.readouterr().out
    assert "2 came out otherwise here" in said
    assert "2.0 did on average; up to 8 are to be expected" in said
    assert "Known to hang on rounding: B01" in said
    assert "no more than rounding explains" in said
    assert "B07: " not in said


def test_more_departures_than_that_are_flagged_one_by_one(kept, capsys):
    assert not kept(**{f"B{number}": "inconclusive" for number in range(10, 20)})
    said = capsys.readouterr().out
    assert "more than rounding explains" in said
    assert "B16: inconclusive here, supported in the reference" in said


def test_a_verdict_that_turns_round_is_flagged_unless_it_is_known_to(kept, capsys):
    assert not kept(B07="contradicted")
    assert "B07: contradicted here" in capsys.readouterr().out
    assert kept(B02="contradicted")


def test_equal_ledgers_are_equal(kept, capsys):
    assert kept()
    assert "All 100 verdicts equal" in capsys.readouterr().out


def test_only_notebooks_that_ran_are_compared_and_expected_to_depart(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    own = claims(20, notebook="01_one")
    rest = [dataclasses.replace(c, id=f"X{c.id}", notebook="02_two") for c in claims(80)]
    ledger.write(folders.reference("mine") / "claims.json", own + rest)
    elsewhere.write(
        folders.reference("mine"), {"SSE": other(own) | other(rest, **{c.id: "contradicted" for c in rest})}
    )
    ours = [dataclasses.replace(c, verdict="inconclusive") for c in own[:4]] + own[4:]
    monkeypatch.setattr(folders, "topics", lambda: ["01_one", "02_two"])
    ledger.write(folders.results("mine") / "01_one.claims.json", ours)
    assert not reproduce.compare("mine")
    said = capsys.readouterr().out
    assert "Not run here, and not compared: 02." in said
    assert "Of 20 claims of the reference run, 4 came out otherwise here" in said
    assert "0.0 did on average; up to 3 are to be expected" in said
    ledger.write(folders.results("mine") / "02_two.claims.json", rest)
    assert not reproduce.compare("mine", "01")
    assert "Not run" not in capsys.readouterr().out
    assert reproduce.compare("mine", "02")
    assert "All 80 verdicts equal" in capsys.readouterr().out
    assert reproduce.compare("mine")  # of all 100 so many are no surprise
    ledger.write(folders.results("mine") / "01_one.claims.json", [])
    assert reproduce.compare("mine", "01")
    assert "Nothing is claimed" in capsys.readouterr().out
    with pytest.raises(UserError, match="no claims yet"):
        reproduce.compare("mine", "03")


def test_what_was_found_of_a_claim_goes_with_its_numbers():
    before = claims(4, low=float("nan"))
    changes = [{}, {"verdict": "inconclusive"}, {"estimate": 1.0000000001}, {"statement": "in other words"}]
    now = [dataclasses.replace(c, **change) for c, change in zip(before, changes, strict=True)]
    found = {"AVX2": other(before), "SSE": other(before[:2])}
    assert {name: list(rows) for name, rows in elsewhere.still(found, before, now).items()} == {
        "AVX2": ["B00", "B03"], "SSE": ["B00"]
    }  # fmt: skip
    assert elsewhere.still(found, [], now) == {"AVX2": {}, "SSE": {}}


def test_a_damaged_file_is_explained(kept):
    (folders.reference("mine") / "elsewhere.json").write_text("[1]")
    with pytest.raises(UserError, match="damaged"):
        elsewhere.read("mine")


def test_shaky_verdicts_decide_nothing_in_the_readme_and_are_marked_in_the_ledger(monkeypatch):
    found = ledger.read(folders.reference("laptop") / "claims.json")
    first = next(c for c in found if c.verdict == "supported" and c.notebook == "22_network_paths")
    kept = {"AVX2": other(found, **{first.id: "inconclusive"})}

    def counted():
        row = next(row for row in report.papers_table(found).splitlines() if "22_network_paths" in row)
        return [int(count) for count in row.split("|")[4].split(",")]

    monkeypatch.setattr(elsewhere, "read", lambda profile: {})
    before = counted()
    assert "instruction sets" not in report.ledger_text(found)
    monkeypatch.setattr(elsewhere, "read", lambda profile: kept)
    supported, contradicted, inconclusive = counted()
    assert (supported + 1, contradicted, inconclusive - 1) == tuple(before)
    text = report.ledger_text(found)
    assert next(row for row in text.splitlines() if row.startswith(f"| {first.id} |")).endswith("| 1 of 2 |")
    assert f"{len(found) - 1} of {len(found)} verdicts are the same" in text
    assert "contradicted under another: none." in text
    kept["AVX2"][first.id]["verdict"] = "contradicted"
    assert f"contradicted under another: {first.id}." in report.ledger_text(found)


def test_one_notebook_is_judged_beside_what_is_kept_of_the_others(kept, monkeypatch):
    """Its rows are new, those of others stay, those of claims that are gone do not."""
    file = folders.reference("mine") / "elsewhere.json"
    rows = json.loads(file.read_text())["AVX2"] | {"B00x": {"verdict": "supported", "estimate": 1.0}}
    file.write_text(json.dumps({"AVX2": rows}))
    asked = []

    def run(command, **_):
        asked.append(command)
        ledger.write(Path(command[command.index("--keep") + 1]), [line("B07", verdict="contradicted")])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(elsewhere.subprocess, "run", run)
    elsewhere.compute("mine", "01")
    found = elsewhere.read("mine")
    assert all(command[-2:] == ["--only", "01"] for command in asked)
    assert list(found) == list(elsewhere.SETS)
    assert len(found["AVX2"]) == 100
    assert found["AVX2"]["B07"]["verdict"] == "contradicted"
    assert found["AVX2"]["B01"]["verdict"] == "inconclusive"
    assert list(found["SSE"]) == ["B07"]


def test_every_claim_is_computed_anew_under_each_set(tmp_path):
    toy.project(tmp_path, [], {"params/mine.yaml": "99_small_steps:\n  seeds: 3\n"})
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "lib"), "BUTTERFLY_JOBS": "1"}
    environment |= {"BUTTERFLY_RUNS": str(tmp_path / "runs")}

    def drive(*arguments):
        command = [sys.executable, "-m", "butterfly", *arguments, "--profile", "mine"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    refused = drive("elsewhere")
    assert refused.returncode == 2
    assert "run 'make reference' first" in refused.stderr
    assert drive("judge", "--keep", str(tmp_path / "own.json")).returncode == 0
    (tmp_path / "figures" / "reference" / "mine").mkdir(parents=True)
    shutil.copy(tmp_path / "own.json", tmp_path / "figures" / "reference" / "mine" / "claims.json")
    shards = len(list((tmp_path / "runs").glob("*.shard")))
    done = drive("elsewhere")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "figures" / "reference" / "mine" / "elsewhere.json").read_text())
    (own,) = ledger.read(tmp_path / "own.json")
    wrong = drive("elsewhere", "--only", "98")
    assert wrong.returncode == 2
    assert "no notebook 98" in wrong.stderr
    assert list(found) == list(elsewhere.SETS)
    # On this processor, what it chooses by itself may be one of the two.
    assert len(list((tmp_path / "runs").glob("*.shard"))) in (2 * shards, 3 * shards)
    assert all(rows["T01"]["estimate"] == pytest.approx(own.estimate, rel=0.2) for rows in found.values())
