"""The rule of verdicts, the intervals, and the ledger."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats

from butterfly.strict import UserError
from butterfly.study import folders, intervals, ledger
from butterfly.study.claims import (
    VERDICTS,
    Claim,
    Region,
    above,
    below,
    between,
    chance,
    exactly,
    planted,
    possible,
    power,
)
from butterfly.study.intervals import Interval


def interval(low, high, n=10):
    return Interval((low + high) / 2, low, high, n)


@pytest.mark.parametrize(
    ("region", "supported", "contradicted", "inconclusive"),
    [
        (Region(high=0.0), (-2, -1), (1, 2), (-1, 1)),
        (Region(low=0.5), (0.6, 1.0), (0.1, 0.4), (0.4, 0.6)),
        (Region(-0.1, 0.1), (-0.05, 0.09), (0.2, 0.3), (0.05, 0.2)),
        (Region(-0.1, 0.1), (-0.05, 0.09), (-0.5, -0.1), (-1.0, 1.0)),
        (Region(0.0, 0.0), (0.0, 0.0), (1e-9, 1e-9), (math.nan, math.nan)),
    ],
)
def test_each_verdict_can_be_said(region, supported, contradicted, inconclusive):
    assert region.judge(interval(*supported)) == "supported"
    assert region.judge(interval(*contradicted)) == "contradicted"
    assert region.judge(interval(*inconclusive)) == "inconclusive"


def test_an_open_interval_is_inside_where_the_region_has_no_bound():
    assert above(1.0).judge(Interval(2.0, 1.5, math.inf, 8)) == "supported"
    assert below(1.0).judge(Interval(0.5, -math.inf, 0.9, 8)) == "supported"
    assert above(1.0).judge(Interval(2.0, 0.5, math.inf, 8)) == "inconclusive"


def test_touching_a_bound_is_not_inside():
    assert Region(high=0.0).judge(interval(-1.0, 0.0)) == "inconclusive"
    assert Region(high=0.0).judge(interval(0.0, 0.0)) == "contradicted"


def test_no_data_is_inconclusive():
    for missing in (intervals.mean([]), intervals.mean([1.0]), intervals.mean([1.0, math.nan]), intervals.share([])):
        assert Region(low=0.0).judge(missing) == "inconclusive"


def test_mean_interval_is_students_where_nothing_is_skewed():
    x = np.array([1.0, 2.0, 4.0, 3.0])
    found = intervals.mean(x)
    half = stats.t.ppf(0.975, 3) * x.std(ddof=1) / 2
    assert (found.estimate, found.low, found.high, found.n) == pytest.approx((2.5, 2.5 - half, 2.5 + half, 4))


def test_exact_share():
    found = intervals.share([True] * 10)
    assert found.estimate == 1.0
    assert found.low == pytest.approx(0.025**0.1)


def test_slopes_are_least_squares():
    x, y = np.array([0.0, 1.0, 3.0]), np.array([[1.0, 2.0, 9.0], [0.0, 0.0, 0.0]])
    expected = [stats.linregress(x, row).slope for row in y]
    assert intervals.slopes(x, y) == pytest.approx(expected)


def line(id="B01", verdict="supported", estimate=1.0, low=0.5, high=1.5, void=""):
    about = ("nb", "key", "s", "paper", "Figure 1", "finding", "digits, mlp-2x64", "src", "stat", Region(low=0.0))
    return Claim(id, *about, estimate, low, high, 10, verdict, void, planted=2.0, power=0.8)


def test_regions_have_names():
    assert (above(1.0), below(2.0), between(1.0, 2.0), exactly(0.0)) == (
        Region(low=1.0),
        Region(high=2.0),
        Region(1.0, 2.0),
        Region(0.0, 0.0),
    )
    assert [str(region) for region in (above(1.0), below(2.0), between(1.0, 2.0), exactly(0.0))] == [
        "above 1",
        "below 2",
        "between 1 and 2",
        "exactly 0",
    ]


def test_ledger_round_trip_and_null_for_what_could_not_be_had(tmp_path):
    file = tmp_path / "deep" / "claims.json"
    ledger.write(file, [line("B02"), line("B01", "inconclusive", math.nan, math.nan, math.nan)])
    rows = json.loads(file.read_text())
    assert [row["id"] for row in rows] == ["B01", "B02"]
    assert rows[0]["low"] is None
    assert list(rows[0]) == [field.name for field in dataclasses.fields(Claim)]
    back = ledger.read(file)
    assert math.isnan(back[0].low)
    assert back[1] == line("B02")
    assert rows[1]["region"] == [0.0, None]


def test_two_claims_of_one_id_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two claims have the id B01"):
        ledger.write(tmp_path / "claims.json", [line("B01"), line("B02"), line("B01")])


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[{"id": "B01"}]', '[{"region": [0, 1], "x": 2}]'])
def test_a_damaged_ledger_is_explained(tmp_path, text):
    (tmp_path / "claims.json").write_text(text)
    if text == "{}":
        assert ledger.read(tmp_path / "claims.json") == []
        return
    with pytest.raises(UserError, match="is not a ledger"):
        ledger.read(tmp_path / "claims.json")


def test_compare_says_what_departs():
    assert ledger.departures([line()], [line()]) == {}
    assert ledger.departures([line(estimate=1.4)], [line()]) == {}
    moved = ledger.departures([line(estimate=1.6)], [line()])
    assert "outside the reference's 0.5 to 1.5" in moved["B01"]
    turned = ledger.departures([line(verdict="contradicted")], [line()])
    assert turned["B01"] == "contradicted here, supported in the reference"
    assert len(ledger.unlike([line("B02")], [line("B01")])) == 2
    assert ledger.unlike([line(verdict="contradicted")], [line()]) == []


def test_compare_gives_the_reason_of_a_claim_that_is_void_here_only():
    void = line(verdict="inconclusive", estimate=float("nan"), void="the labels are not there")
    (reason,) = ledger.unlike([void], [line()])
    assert ledger.departures([void], [line()]) == {}
    assert reason == "B01: not judged here, supported in the reference: the labels are not there"
    both = line(verdict="inconclusive", void="the labels are not there")
    assert ledger.unlike([both], [both]) == []


def test_summary_counts_by_kind_and_warns_of_chance():
    check = dataclasses.replace(line(), kind="check")
    text = ledger.summary([line()] * 39 + [line(verdict="contradicted"), line(verdict="inconclusive"), check])
    assert "42 claims. 41 of kind finding: 39 supported, 1 contradicted, 1 inconclusive. 1 of kind check: 1 su" in text
    assert "Of the 40 decided that are not checks, expect up to 1.0 to be wrong by chance" in text


def of(interval, region, **about):
    """A claim from an interval, judged."""
    return dataclasses.replace(line(), region=region, verdict=region.judge(interval), **vars(interval), **about)


def test_power_is_how_often_simulated_claims_are_supported():
    """Units around the planted value, judged again and again: the power read off one interval is about that share."""
    random = np.random.default_rng(3)
    for region, measure, draw in (
        (above(0.0), intervals.mean, lambda truth: random.normal(truth, 1.0, 10)),
        (between(-1.0, 1.0), intervals.mean, lambda truth: random.normal(truth, 1.0, 10)),
        (below(1.0), intervals.geometric_mean, lambda truth: truth * random.lognormal(0, 0.5, 10)),
        (above(0.5), intervals.share, lambda truth: random.random(10) < truth),
    ):
        truth = planted(region, measure(draw(0.7)), 1.5 if measure is intervals.geometric_mean else 0.4)
        told = np.median([power(region, measure(draw(truth)), truth) for _ in range(300)])
        seen = np.mean([region.judge(measure(draw(truth))) == "supported" for _ in range(600)])
        assert told == pytest.approx(seen, abs=0.12), str(region)


def test_effects_are_planted_within_reach():
    assert planted(below(0.8), intervals.correlation([0.7, 0.6, 0.65])) == pytest.approx(0.7)
    assert planted(above(0.95), intervals.correlation([0.7, 0.6, 0.65])) == pytest.approx(0.975)
    assert planted(above(0.5), intervals.share([True] * 8)) == 0.75
    assert planted(below(1.0), intervals.geometric_mean([0.5, 0.6])) == pytest.approx(2 / 3)
    assert planted(between(0.8, 1.25), intervals.geometric_mean([0.5, 0.6])) == pytest.approx(1.0)
    assert planted(above(2.0), intervals.mean([1.0, 3.0]), 0.5) == 2.5
    assert math.isnan(planted(above(0.0), intervals.mean([1.0, 3.0]))), "no margin can be guessed at a bound of 0"


def test_chance_is_the_p_value_of_the_verdict():
    x = np.array([1.0, 2.0, 4.0, 3.0, 2.0, 3.0])
    assert chance(of(intervals.mean(x), above(0.0))) == pytest.approx(stats.ttest_1samp(x, 0.0).pvalue, rel=0.05)
    assert chance(of(intervals.share([True] * 10), above(0.5))) == pytest.approx(2 * 0.5**10)
    within = of(intervals.mean(x), between(1.0, 9.0))
    assert chance(within) == pytest.approx(stats.ttest_1samp(x, 1.0).pvalue, rel=0.05), "the nearer bound decides"
    assert math.isnan(chance(of(intervals.mean(x), above(2.0))))


def test_false_discoveries_are_controlled():
    """Of 100 claims, 75 of them about nothing, one in twenty that stand is about nothing; of the decided, more."""
    random = np.random.default_rng(0)
    truths = np.repeat([0.0, 2.0], [75, 25])
    among = {"stand": [], "decided": []}
    for _ in range(15):
        found = [
            of(intervals.mean(random.normal(truth, 1.0, 8)), above(0.0), id=f"{'null' if truth == 0 else 'real'}{k}")
            for k, truth in enumerate(truths)
        ]
        decided = {c.id for c in found if c.verdict == "supported"}
        stand = ledger.standing(found)
        assert stand <= {c.id for c in found if c.verdict != "inconclusive"}
        assert len(stand) >= 20
        among["stand"].append(np.mean([id.startswith("null") for id in stand]))
        among["decided"].append(np.mean([id.startswith("null") for id in decided]))
    assert np.mean(among["stand"]) <= 0.05 < np.mean(among["decided"])


def test_what_cannot_fail_or_cannot_pass_is_told():
    shares = intervals.share([True] * 10)
    assert possible(of(shares, above(0.5)))
    assert not possible(of(shares, below(2.0)))
    assert not possible(of(shares, above(1.0)))
    assert possible(of(intervals.mean([1.0, 2.0]), between(0, 1)))


def test_bounds_survive_the_file(tmp_path):
    censored = of(intervals.ratio([2.0, 3.0], [0.5, 1.0], floor=0.9), above(1.0))
    assert (censored.bound, censored.high) == (">", math.inf)
    ledger.write(tmp_path / "claims.json", [censored])
    assert ledger.read(tmp_path / "claims.json") == [censored]
    assert ledger.table([censored]).estimate[0].startswith(">")


def test_markdown_has_a_row_a_claim():
    assert ledger.markdown([line(), line("B02")]).data.count("\n") == 3


def test_tables_escape_what_would_break_them():
    one = dataclasses.replace(line(), statement="a | b")
    assert "a \\| b" in ledger.markdown([one]).data


def test_the_reference_ledger_is_complete():
    kept = ledger.read(folders.reference("laptop") / "claims.json")
    assert {"B00", "B01", "B02", "B03", "B04", "B05", "B07", "B16", "B21"} <= {c.id for c in kept}
    assert all(c.verdict in VERDICTS for c in kept)
    assert next(c for c in kept if c.id == "B00").verdict == "supported"
