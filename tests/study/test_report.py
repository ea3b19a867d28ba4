"""What the ledger tells of seeds and data, on claims with planted spreads."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from butterfly.study import folders, intervals, ledger, report
from butterfly.study.claims import Claim, Region

LINE = Claim(
    "B03", "nb", "key", "It fades", "ours", "", "finding", "x", "src", "stat", Region(high=1.0), 1, 1, 1, 1, "supported"
)


def claim(id: str, interval, **about) -> Claim:
    return dataclasses.replace(LINE, id=id, **vars(interval), **about)


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_the_spread_is_the_standard_deviation_over_units():
    x = np.random.default_rng(0).normal(size=12)
    assert report.spread(claim("B03", intervals.mean(x))) == pytest.approx(x.std(ddof=1), rel=0.1)
    assert report.spread(claim("B03", intervals.geometric_mean(np.exp(x)))) == pytest.approx(x.std(ddof=1), rel=0.1)


def test_seeds_and_data_are_told_apart():
    random = np.random.default_rng(1)
    seeds, both = random.normal(size=10), 5 * random.normal(size=10)
    pair = [claim("B03", intervals.mean(seeds)), claim("B03@redrawn", intervals.mean(both), verdict="inconclusive")]
    ((id, _, one, other, *_, told),) = cells(report.seeds_and_data(pair))
    assert (id, one, other) == ("B03", "supported", "inconclusive")
    ratio = (both.std(ddof=1) / seeds.std(ddof=1)) ** 2
    low, high = (float(end) for end in told.partition("(")[2].strip(")").split(" to "))
    assert float(told.split()[0]) == pytest.approx(ratio, rel=0.4)
    assert low == pytest.approx(ratio / stats.f.ppf(0.975, 9, 9), rel=0.4)
    assert 1 < low < high


def test_what_has_no_spread_is_left_out():
    share = intervals.share([True] * 10)
    check = intervals.mean([1.0, 2.0, 3.0])
    left = [claim("B01", share), claim("B01@redrawn", share)]
    left += [claim(id, check, kind="check") for id in ("B00", "B00@redrawn")]
    left += [claim("B05@redrawn", check), claim("B07@digits", check)]
    assert cells(report.seeds_and_data(left)) == []


def test_claims_of_another_profile_stand_beside_those_of_the_laptop(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    sure = intervals.mean([1.0, 1.1, 0.9])
    laptop = [claim("B01", sure), claim("B02", sure, verdict="contradicted"), claim("B03", sure)]
    scope = {"scope": "cifar10, resnet8-8"}
    there = [claim("B01", sure, **scope), claim("B02", sure, registered=True, **scope), claim("B09", sure, **scope)]
    kept = folders.reference("mine")
    ledger.write(kept / "claims.json", there)
    facts = {"processor": "Abacus", "cores": 2, "notebooks": {"01_a": {"compute_seconds": 100.0, "draw_seconds": 20.0}}}
    (kept / "machine.json").write_text(json.dumps(facts))
    assert report.others() == ["mine"]
    text = report.elsewhere_text("mine", laptop)
    assert "Made on Abacus, 2 cores, in 2 minutes." in text
    assert "Of 2 claims judged in both, 1 have the same verdict." in text
    assert "are 1; these stand first." in text
    rows = cells(text[text.index("| id") :])
    assert [row[0] for row in rows] == ["B02@mine", "B01@mine", "B09@mine"]
    assert [row[-3] for row in rows] == ["contradicted", "supported", "not judged"]
    assert [row[-1] for row in rows] == ["yes", "no", "no"]
