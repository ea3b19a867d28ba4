"""Notebook 10: reliability of noise that is known, claims that come out either way, figures that show the numbers."""

import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from butterfly import reliability
from butterfly.papers.kwok2024 import noise, score_runs
from butterfly.papers.kwok2024 import noise_figures as figures
from butterfly.papers.kwok2024.naming import network as named
from butterfly.papers.kwok2024.noise import AVERAGES, BLOCK, SHOWN, Params, study
from butterfly.score import LOGGED, SCORES, difficulty
from butterfly.strict import ParameterError
from butterfly.study import Bench, Tables, profiles, stacked
from tests.conftest import verdicts

MAIN, CONV, REAL = "mnist1d-scores/mlp-1x8", "mnist1d-scores/cnn-1x4", "digits-scores/mlp-1x16"
TINY = Params(main=MAIN, conv=CONV, real=REAL, steps=40, examples=100)
PAIRS = {"D01": "D01c", "D01b": "D01d", "D02": "D02c", "D02b": "D02d", "D02e": "D02f", "D03": "D03c", "D03b": "D03d"}
PAIRS |= {"D04": "D04b", "D05": "D05c", "D05b": "D05d", "D18": "D18b"}  # each claim and that within classes
IDS = [*(id for both in PAIRS.items() for id in both), "D02g", "D02h"]


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


@pytest.fixture(scope="module")
def scores(results):
    """The scores of every network, from the store."""
    return score_runs.joined(study.compute(study.shards(TINY)))


def configs(**changes):
    """What is to be computed for each network."""
    found = {}
    for shard in study.shards(TINY.model_copy(update={"course_runs": 0} | changes)):
        found.setdefault(shard.of, []).append(shard.config)
    return found


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"runs": 30}, "runs = 30: give a multiple of 20"),
        ({"runs": 10}, "runs = 10: give a multiple of 20"),
        ({"runs": 0}, "'runs' = 0"),
        ({"runs_per_shard": 0}, "'runs_per_shard' = 0"),
        ({"main": "mnist1d-scores"}, "'mnist1d-scores': give a setting and an architecture, as in mnist1d-scores/mlp"),
        ({"conv": "mnist1d-score/cnn-1x4"}, "unknown setting 'mnist1d-score'; did you mean 'mnist1d-scores'"),
        ({"real": "digits-scores/mpl-1x8"}, "unknown model 'mpl-1x8'; try"),
        ({"conv": "mnist1d-scores/resnet8-4"}, r"'resnet8-4' does not fit inputs of shape \(1, 40\)"),
        ({"looks": 0}, "'looks' = 0"),
        ({"examples": 10}, "'examples' = 10"),
        ({"steps": 0}, "'steps' = 0"),
        ({"run": 20}, "did you mean 'runs'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


@pytest.mark.parametrize(
    ("looks", "reason"),
    [
        (4, "looks = 4: give a multiple of 8"),
        (12, "give a multiple of 8"),
        (48, "in a run of 40 updates: give at most one"),
    ],
)
def test_looks_must_have_an_eighth_and_fit_into_training(looks, reason):
    with pytest.raises(ParameterError, match=reason):
        configs(looks=looks)


def test_longer_runs_must_be_longer():
    with pytest.raises(ParameterError, match=r"passes = 1: the runs of mnist1d-scores/mlp-1x8 make .* already"):
        configs(passes=1, steps=200, course_runs=4)
    assert configs(passes=1, steps=200)  # none are followed


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        configs(device="cuda")


def test_networks_left_out_have_no_claims_and_no_shards():
    params = Params(main=MAIN, conv="", real=REAL)
    assert params.places == {"": MAIN, "digits": REAL}
    assert {shard.of.split()[0] for shard in study.shards(params)} == {MAIN, REAL}
    assert TINY.places == {"": MAIN, "cnn": CONV, "digits": REAL}


def test_shards_do_not_depend_on_how_many_runs_there_are():
    few, many = configs(runs_per_shard=8), configs(runs_per_shard=8, runs=40, profile="other")
    assert list(few) == list(many) == [MAIN, CONV, REAL]
    for network in few:
        assert few[network][:2] == many[network][:2]
        assert [seed for config in many[network] for seed in config["seeds"]] == list(range(40))
    assert json.loads(json.dumps(few)) == few
    assert [few[network][0]["probed"] for network in few] == [True, False, True]
    assert [few[network][0]["setting"]["model"] for network in few] == ["mlp-1x8", "cnn-1x4", "mlp-1x16"]
    assert {few[network][0]["setting"]["recipe"]["steps"] for network in few} == {40}


@pytest.mark.parametrize(
    "change",
    [{"looks": 16}, {"examples": 50}, {"steps": 48}, {"main": "mnist1d-scores/mlp-1x9"}, {"recipe": {"lr": 0.05}}],
)
def test_shards_hold_all_that_matters(change):
    fresh = next(iter(configs(**change).values()))
    assert fresh[0] != configs()[MAIN][0]


# --- tables of noise that is known -----------------------------------------------------------------------------------


def arrays(runs=40, examples=600, noise=1.0, growing=0.0):
    """Scores of unit signal and noise of that standard deviation, which may grow with the signal; signed by rule."""
    random = np.random.default_rng(0)
    signal = np.sort(random.normal(size=examples))
    size = noise * np.exp(growing * signal)
    found = {name: difficulty(name, signal + size * random.normal(size=(runs, examples))) for name in SHOWN}
    half = {"accuracy": random.uniform(size=runs)}
    for name in ("margin.logit.last", "margin.logit.mean"):
        found[name] = difficulty(name, signal + size * random.normal(size=(runs, examples)))
    found |= {"train_accuracy": half["accuracy"], "test_accuracy": half["accuracy"] / 2}
    return found | {"label": random.permutation(np.arange(examples) % 10)}


def spearman(pearson):
    """Of normal variables."""
    return 6 / np.pi * np.arcsin(pearson / 2)


def test_reliability_of_known_noise_is_found():
    tables = noise.tables_of(arrays())
    table = tables["reliability"].set_index("score")
    margins = ("margin.logit.last", "margin.logit.mean")
    assert list(table.index) == [name for name in SCORES if name in (*SHOWN, *margins)]  # in the order of the registry
    known = spearman(0.5)
    assert table.single.to_numpy() == pytest.approx(known, abs=0.04)
    assert (table.low < table.single).all()
    assert (table.single < table.high).all()
    assert (table.high - table.low < 0.1).all()
    for row in table.itertuples():
        for wanted, needed in ((0.9, row.runs_90), (0.95, row.runs_95)):
            assert needed * row.single / (1 + (needed - 1) * row.single) == pytest.approx(wanted)


def test_pairs_are_of_disjoint_averages():
    found = arrays()
    pairs = noise.tables_of(found)["pairs"]
    assert pairs.groupby(["score", "averaged"]).size().unstack().to_dict("records") == [{1: 20, 2: 10, 5: 4, 10: 2}] * 5
    for k in AVERAGES:
        some = pairs[(pairs.score == "el2n.mean") & (pairs.averaged == k)]
        assert some.correlation.mean() == pytest.approx(spearman(k / (k + 1)), abs=0.04)
        last = len(some) - 1
        one, other = (found["el2n.mean"][2 * k * last :][part].mean(0) for part in (slice(k), slice(k, 2 * k)))
        assert some.set_index("pair").correlation[last] == pytest.approx(stats.spearmanr(one, other).statistic)


def test_blocks_are_what_they_say():
    found = arrays(noise=0.7, growing=0.3)
    blocks = noise.blocks_of(found).query("not in_class")
    table = {name: some.set_index("block").value for name, some in blocks.groupby("statistic")}
    few = {"icc": 5, "noise early": 2, "noise mean": 2, "end": 20, "answers": 20, "gain": 20, "logit gain": 20}
    assert {name: len(v) for name, v in table.items()} == few | {"excess 2": 2, "excess 5": 2, "excess 10": 2} | {
        "median": 4
    }
    ends = [stats.spearmanr(*found[f"confidence.{when}"][6:8]).statistic for when in ("last", "mean")]
    assert (table["end"][3], table["gain"][3]) == pytest.approx((ends[0], ends[1] - ends[0]))
    # ICC(1) from an analysis of variance of the third block, by hand.
    ranks = stats.rankdata(found["el2n.early"][16:24], axis=1) / 599
    f = stats.f_oneway(*ranks.T).statistic
    assert table["icc"][2] == pytest.approx((f - 1) / (f + 7))
    for name in ("early", "mean"):
        one, other = found[f"el2n.{name}"][16:24], found[f"el2n.{name}"][24:32]
        assert table[f"noise {name}"][1] == pytest.approx(stats.spearmanr(one.mean(0), other.var(0)).statistic)
    block = pd.DataFrame(found["el2n.mean"][20:].T)
    single = block.corr("spearman").to_numpy()[~np.eye(20, dtype=bool)].mean()
    for k in (2, 5, 10):
        groups = [block.iloc[:, place : place + k].mean(axis=1) for place in range(0, 20, k)]
        seen = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(groups[::2], groups[1::2], strict=True)])
        assert table[f"excess {k}"][1] == pytest.approx(seen - k * single / (1 + (k - 1) * single))
    for place in range(4):
        one, other = (found["el2n.mean"][10 * place :][part] for part in (slice(5), slice(5, 10)))
        difference = (
            stats.spearmanr(np.median(one, 0), np.median(other, 0)).statistic
            - stats.spearmanr(one.mean(0), other.mean(0)).statistic
        )
        assert table["median"][place] == pytest.approx(difference)


def test_a_unit_is_the_mean_over_a_block_of_runs_whatever_the_data():
    """As many runs a unit as a draw of the data has, so that the spreads over seeds and data can be compared."""
    found = arrays(noise=0.7, growing=0.3)
    table = noise.tables_of(found)["blocks"].query("statistic == 'end' and not in_class").set_index("block").value
    pairs = reliability.disjoint_pairs(found["confidence.last"])
    assert table.to_list() == pytest.approx([pairs[:10].mean(), pairs[10:].mean()])


def test_what_agrees_about_classes_alone_is_nothing_within_them():
    """A signal of the class and noise of the run: runs agree, but not within classes; a signal within them stays."""
    random = np.random.default_rng(0)
    found, label = arrays(runs=20), np.arange(600) % 10
    for name in found:
        if name not in ("train_accuracy", "test_accuracy", "label"):
            found[name] = difficulty(name, label + 0.5 * random.normal(size=(20, 600)))
    found["label"] = label
    blocks = noise.blocks_of(found).groupby(["statistic", "in_class"]).value.mean()
    assert blocks["end", False] > 0.9
    assert abs(blocks["end", True]) < 0.05
    assert blocks["icc", False] > 0.9
    assert abs(blocks["icc", True]) < 0.05
    inside = random.permuted(np.tile(np.linspace(-1, 1, 60), (10, 1)), axis=1)[label, np.arange(600) // 10]
    found["confidence.last"] = difficulty(
        "confidence.last", 10.0 * label + inside + 0.1 * random.normal(size=(20, 600))
    )
    assert noise.blocks_of(found).query("statistic == 'end' and in_class").value.mean() > 0.9


def test_ties_do_not_bring_classes_back():
    """Right or wrong by the class's own rate and the run's chance: within classes runs agree on nothing."""
    random, found = np.random.default_rng(0), arrays(runs=40)
    label = np.arange(600) % 10
    found["accuracy.last"] = (random.random((40, 600)) < label / 9).astype(float)
    found["label"] = label
    blocks = noise.blocks_of(found)
    own = blocks[blocks.statistic.isin(["answers", "end"])].groupby(["in_class", "statistic"]).value.mean().unstack()
    reliable = own.answers + own.end
    assert reliable[False] > 0.3
    assert abs(reliable[True]) < 0.05
    table = noise.tables_of(found)["reliability"].set_index("score")
    assert abs(table.in_class["accuracy.last"]) < 0.05


def test_blocks_within_classes_hold_for_averages_too():
    found = arrays(runs=20)
    label = found["label"]
    excess = noise.blocks_of(found).query("statistic == 'excess 5' and in_class").value.item()
    of = lambda values: pd.Series(values).groupby(label).rank()  # noqa: E731
    means = [found["el2n.mean"][place : place + 5].mean(0) for place in (0, 5, 10, 15)]
    seen = np.mean([stats.spearmanr(of(a), of(b)).statistic for a, b in (means[:2], means[2:])])
    ranks = pd.DataFrame({run: of(values) for run, values in enumerate(found["el2n.mean"])})
    single = ranks.corr("spearman").to_numpy()[~np.eye(20, dtype=bool)].mean()
    assert excess == pytest.approx(seen - 5 * single / (1 + 4 * single), abs=2e-3)


def test_averages_of_even_noise_follow_the_formula_and_medians_lose():
    blocks = noise.tables_of(arrays(runs=60, examples=1500))["blocks"].query("not in_class")
    blocks = blocks.groupby("statistic").value.mean()
    assert abs(blocks[["excess 2", "excess 5", "excess 10"]]).max() < 0.02
    assert blocks["median"] < -0.01  # of normal noise the mean is the better average
    assert abs(blocks["noise early"]) < 0.15


def test_noise_that_grows_with_difficulty_is_seen():
    blocks = noise.tables_of(arrays(noise=0.3, growing=1.0))["blocks"].groupby("statistic").value.mean()
    assert blocks["noise early"] > 0.6
    assert blocks["noise mean"] > 0.6


def test_examples_that_are_all_alike_have_no_noise_on_hard_ones():
    """Of a score with an end, mean and variance over the same runs go together even so; over different runs they do
    not."""
    random, found = np.random.default_rng(0), arrays(runs=160, examples=500)
    found["el2n.early"] = random.exponential(size=(160, 500))
    blocks = noise.blocks_of(found).query("statistic == 'noise early'")
    assert blocks.groupby("in_class").size().to_dict() == {False: 10, True: 10}
    assert abs(blocks.groupby("in_class").value.mean()).max() < 0.05
    same = [stats.spearmanr(few.mean(0), few.var(0)).statistic for few in score_runs.in_blocks(found["el2n.early"], 8)]
    assert np.mean(same) > 0.5


def test_spread_goes_from_easy_to_hard():
    random = np.random.default_rng(0)
    values = np.arange(80.0) + np.array([[-3.0], [0.0], [3.0]])
    order = random.permutation(80)
    found = noise._spread("el2n.early", values[:, order])
    assert len(found) == 40
    np.testing.assert_allclose(found["rank"], np.arange(0.0125, 1, 0.025))
    np.testing.assert_allclose(found["mean"], np.arange(0.5, 80, 2))
    edges = np.percentile([-3, -2, 0, 1, 3, 4], [5, 95])
    np.testing.assert_allclose(found.low, np.arange(0, 80, 2) + edges[0])
    np.testing.assert_allclose(found.high, np.arange(0, 80, 2) + edges[1])
    # High accuracies are easy.
    np.testing.assert_allclose(noise._spread("accuracy.last", values)["mean"], np.arange(0.5, 80, 2)[::-1])


def test_noise_is_binned_by_the_mean():
    mean, spread = np.arange(160.0), np.tile([1.0, 2.0, 3.0, 10.0], 40)
    values = mean + spread * np.array([[-1.0], [0.0], [1.0]])
    order = np.random.default_rng(0).permutation(160)
    found = noise._noise(values[:, order])
    np.testing.assert_allclose(found["mean"], np.arange(1.5, 160, 4))
    for column, share in (("low", 25), ("middle", 50), ("high", 75)):
        np.testing.assert_allclose(found[column], np.percentile([1, 2, 3, 10], share))


def test_tables_of_every_network_are_whole(results, scores):
    assert set(results) == {"runs", "reliability", "pairs", "blocks", "spread", "noise", "course"}
    for name, table in results.items():
        assert list(table.network.unique()) == ([MAIN, REAL] if name == "course" else [MAIN, CONV, REAL])
    for name in ("runs", "spread", "noise"):
        assert np.isfinite(results[name].select_dtypes("number")).all(axis=None)
    # A score is undefined only where a run gives all examples the same value.
    lost = results["reliability"][results["reliability"].single.isna()]
    for network, undefined in lost.groupby("network").score:
        assert all((np.ptp(scores[network][score], axis=1) == 0).any() for score in undefined)
    assert len(lost) < 10
    count = results["reliability"].groupby("network").size()
    assert count[CONV] == len(LOGGED) + 1
    assert count[MAIN] == count[REAL] == len(SCORES) - len({"agreement", "c_score", "memorization"})
    assert not results["pairs"].duplicated(["network", "score", "averaged", "pair"]).any()
    assert (results["runs"].groupby("network").size() == 20).all()
    for network, own in results["runs"].groupby("network"):
        for name in ("train_accuracy", "test_accuracy"):
            np.testing.assert_array_equal(own[name], scores[network][name])


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


STATISTIC = {"D01": "end", "D01b": "answers", "D02": "gain", "D02b": "gain", "D02e": "logit gain", "D03": "excess 10"}
STATISTIC |= {"D03b": "excess 2", "D04": "icc", "D05": "noise early", "D05b": "noise mean", "D18": "median"}
PLANTED = {"end": 0.6, "answers": -0.2, "gain": 0.25, "logit gain": 0.1, "excess 10": 0.0, "excess 2": 0.0, "icc": 0.5}
PLANTED |= {"noise early": 0.8, "noise mean": 0.7, "median": -0.01}


def world(networks=(MAIN,), inside=None, **changes):
    """Eight pairs and blocks of every network; `inside` changes what holds within classes."""
    random, rows = np.random.default_rng(0), []
    planted = PLANTED | {"excess 5": 9.0, "longer": 0.2, "unseen": 0.05}
    for network in networks:
        for in_class, own in ((False, planted | changes), (True, planted | (inside or {}))):
            for name, value in own.items():
                rows += [(name, in_class, place, value + random.uniform(-0.003, 0.003), network) for place in range(8)]
    columns = ["statistic", "in_class", "block", "value", "network"]
    return {"blocks": pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)}


def judge(tables, params=None):
    return verdicts(study.judge(params or Params(main=MAIN), tables))


CHANGES = [("D01", 0.9), ("D01b", 0.1), ("D02e", -0.1), ("D03", 0.05), ("D03", -0.05), ("D03b", 0.05), ("D03b", -0.05)]
CHANGES += [("D04", 0.8), ("D05", 0.3), ("D05b", 0.3), ("D18", 0.02)]


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world()) == dict.fromkeys(IDS, "supported")


@pytest.mark.parametrize(("id", "value"), CHANGES)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, value):
    found = judge(world(**{STATISTIC[id]: value}))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}
    found = judge(world(inside={STATISTIC[id]: value}))
    assert found[PAIRS[id]] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {PAIRS[id]}


@pytest.mark.parametrize(("id", "statistic"), [("D02g", "longer"), ("D02h", "unseen")])
def test_explanations_can_fail(id, statistic):
    found = judge(world(**{statistic: -0.05}))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_averages_that_gain_little_contradict_one_claim_and_that_lose_both():
    for gain, lost in ((0.05, {"D02"}), (-0.05, {"D02", "D02b"})):
        found = judge(world(gain=gain))
        assert {id for id, verdict in found.items() if verdict == "contradicted"} == lost


def test_estimates_are_what_was_planted():
    made = {c.id: c for c in study.judge(Params(main=MAIN), world())}
    for id, twin in PAIRS.items():
        for one in (id, twin):
            assert made[one].estimate == pytest.approx(PLANTED[STATISTIC[id]], abs=0.005)
            assert made[one].n == 8
        assert made[twin].statement.startswith("Within classes: ")
        assert made[twin].origin == "ours"
        assert made[twin].region == made[id].region
    assert {c.notebook for c in made.values()} == {"10_noise"}
    assert {c.source for c in made.values() if c.origin != "ours"} == {"Kwok et al. 2024 (arXiv 2401.01867)"}
    assert {id for id, c in made.items() if c.origin != "ours"} == {"D01", "D01b", "D02", "D02b"}


def test_the_claims_of_every_network_rest_on_its_own_numbers():
    together = stacked([world([MAIN]), world([CONV], icc=0.9), world([REAL], **{"noise early": 0.1})])
    claims = study.judge(TINY, together)
    others = [f"{id}{place}" for place in ("@cnn", "@digits") for id in IDS]
    assert [c.id for c in claims] == [*IDS, *others]
    assert {c.id for c in claims if c.verdict != "supported"} == {"D04@cnn", "D05@digits"}
    about = {c.id: (c.statement, c.scope) for c in claims}
    assert len({about[f"D04{place}"][0] for place in ("", "@cnn", "@digits")}) == 1
    assert about["D04"][1] == "mnist1d, mlp-1x8"
    assert about["D04@cnn"][1] == "mnist1d, cnn-1x4"
    assert about["D04@digits"][1] == "digits, mlp-1x16"


def test_too_little_leaves_claims_open():
    tables = world()
    assert set(judge({"blocks": tables["blocks"].query("block == 0")}).values()) == {"inconclusive"}


def test_answers_without_ranks_void_the_claim_on_them():
    """All pairs without ranks, or any."""
    for lost, void in ((8, True), (1, True), (0, False)):
        tables = world()
        blocks = tables["blocks"]
        blocks.loc[(blocks.statistic == "answers") & (blocks.block < lost), "value"] = np.nan
        claims = {c.id: c for c in study.judge(Params(main=MAIN), tables)}
        for id in ("D01b", "D01d"):
            assert (f"in {lost} of 8 pairs" in claims[id].void) == void
            assert (claims[id].verdict == "inconclusive") == void
        assert claims["D01"].verdict == "supported"


def test_claims_can_be_made_of_what_was_computed(results):
    made = study.judge(TINY, results)
    assert [c.id for c in made] == [f"{id}{place}" for place in ("", "@cnn", "@digits") for id in IDS]
    counts = {"D03": 1, "D03c": 1, "D04": 1, "D05": 1, "D05d": 1, "D18": 1, "D01": 1, "D02f": 1, "D02g": 2, "D02h": 2}
    counts |= {"D02g@digits": 2, "D02h@digits": 2, "D02g@cnn": 0, "D02h@cnn": 0}
    claims = {c.id: c for c in made}
    assert {id: claims[id].n for id in counts} == counts
    assert {id for id, c in claims.items() if "no runs of this network" in c.void} == {"D02g@cnn", "D02h@cnn"}


# --- data drawn anew, and the course of training ---------------------------------------------------------------------


def test_redrawn_blocks_have_data_and_networks_of_their_own():
    params = TINY.model_copy(update={"redrawn_sets": 3, "first_seed": 7})
    shards = [shard for shard in study.shards(params) if shard.of.startswith("redrawn")]
    assert [shard.of for shard in shards] == ["redrawn 0", "redrawn 1", "redrawn 2"]
    drawn = [shard.config["setting"]["data"] for shard in shards]
    assert drawn == ["mnist1d-draw-1", "mnist1d-draw-2", "mnist1d-draw-3"]
    seeds = [seed for shard in shards for seed in shard.config["seeds"]]
    assert seeds == list(range(7, 7 + 3 * BLOCK))
    later = [s.config for s in study.shards(params.model_copy(update={"first_seed": 1_000_000})) if "redrawn" in s.of]
    assert not {c["setting"]["data"] for c in later} & set(drawn)


def test_a_unit_of_redrawn_data_is_the_mean_of_its_pairs_and_blocks():
    units = [arrays(runs=20, noise=size) for size in (0.5, 2.0)]
    found = noise._of_units(units).set_index(["statistic", "in_class", "block"]).value
    for place, own in enumerate(units):
        alone = noise.blocks_of(own).groupby(["statistic", "in_class"]).value.mean()
        for name, inside in alone.index:
            assert found[name, inside, place] == pytest.approx(alone[name, inside])
    assert found["end", False, 0] > found["end", False, 1]


def test_a_pair_of_followed_runs_without_ranks_voids_the_explanations(results):
    course = results["course"].copy()
    end = (course.network == MAIN) & (course.length == noise.LENGTHS[1]) & (course.pair == 1)
    course.loc[end, "correlation"] = np.nan
    gains = noise._gains(course)
    assert gains.value.isna().sum() == 3  # the longer ones on both sets, and what is more than the others
    kept = results["blocks"][~results["blocks"].statistic.isin(gains.statistic.unique())]
    made = {c.id: c for c in study.judge(TINY, {"blocks": pd.concat([kept, gains])})}
    assert [made[f"D02g{place}"].void for place in ("", "@digits")] == ["1 of 4 differences have no ranks", ""]


def test_redrawn_claims_are_the_main_ones(results):
    params = TINY.model_copy(update={"redrawn_sets": 8})
    tables = stacked([world([MAIN]), world(["redrawn"], icc=0.9)])
    made = {c.id: c for c in study.judge(params, tables)}
    assert made["D04@redrawn"].verdict == "contradicted"
    assert made["D01@redrawn"].verdict == "supported"
    assert made["D01@redrawn"].scope == "mnist1d, mlp-1x8; data drawn anew for every unit"
    assert made["D02g@redrawn"].scope == made["D01@redrawn"].scope


def test_the_course_ends_where_scores_are_taken(results):
    """Two runs, pair by pair, against a logger fed with the same looks; the longer runs end later."""
    course = results["course"]
    assert course.groupby(["network", "length"]).passes.max().groupby("network").nunique().eq(2).all()
    (shard,) = [s for s in study.shards(TINY) if s.of == f"{MAIN} {noise.LENGTHS[0]}"]
    bench = Bench(shard.config)
    scores = score_runs.watched(bench.task, bench.model, bench.recipe, bench.seeds, TINY.looks, TINY.examples)
    last = course[(course.network == MAIN) & (course.length == noise.LENGTHS[0]) & (course.examples == "training")]
    last = last[last.passes == last.passes.max()].set_index(["kind", "pair"]).correlation
    for kind, name in zip(noise.KINDS, ("confidence.last", "confidence.mean"), strict=True):
        for pair in (0, 1):
            expected = stats.spearmanr(*scores[name][2 * pair : 2 * pair + 2]).statistic
            assert last[kind, pair] == pytest.approx(expected, abs=0.01)
    gain = results["blocks"].query("network == @MAIN and statistic == 'gain as long as elsewhere, training'")
    seen = gain.set_index("block").value
    assert seen[1] == pytest.approx(last[noise.KINDS[1], 1] - last[noise.KINDS[0], 1])
    blocks = results["blocks"].query("network == @MAIN and not in_class")
    of = {name: own.set_index("block").value for name, own in blocks.groupby("statistic")}
    for name, other in (("longer", "gain longer, training"), ("unseen", "gain as long as elsewhere, test")):
        np.testing.assert_allclose(of[name], of[other] - seen)


def test_the_laptop_can_pair_what_its_claims_need():
    params, _ = profiles.parameters("10_noise", Params, "laptop")
    assert (params.runs + params.more) // BLOCK >= 8
    assert params.redrawn_sets >= 8
    assert params.course_runs // 2 >= 8
    assert set(params.places) == {"", "cnn", "digits", "redrawn"}


# --- figures ---------------------------------------------------------------------------------------------------------

DRAWN = ((figures.spread, len(SHOWN)), (figures.single, 3), (figures.averages, 0), (figures.noise, 1))


@pytest.mark.parametrize("networks", [(MAIN,), (MAIN, CONV, REAL)])
@pytest.mark.parametrize(("draw", "panels"), DRAWN)
def test_figures_are_drawn_of_one_network_and_of_several(results, draw, panels, networks):
    tables = Tables({name: table[table.network.isin(networks)] for name, table in results.items()}, TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, numbers = draw(tables)
        figure.canvas.draw()
    assert len(figure.axes) == (panels or 2 * len(networks))
    assert all(axis.get_xlabel() for axis in figure.axes[-len(networks) if not panels else 0 :])
    assert figure.axes[0].get_ylabel() or [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert figure.get_suptitle()
    assert set(numbers.network) == set(networks)
    texts = [axis.get_title("left") for axis in figure.axes]
    texts += [t.get_text() for axis in figure.axes if axis.get_legend() for t in axis.get_legend().get_texts()]
    assert {named(name) for name in networks} <= set(texts)
    plt.close(figure)


def test_pictures_show_the_numbers(results):
    figure, numbers = figures.single(results)
    dots = figure.axes[2].get_lines()[:3]
    assert [len(line.get_xdata()) for line in dots] == list(numbers.groupby("network", sort=False).size())
    assert not set(figures.TWICE) & set(numbers.score)
    crosses = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    lost = numbers.single.isna().groupby(numbers.network, sort=False).sum()
    assert [len(line.get_xdata()) for line in crosses] == list(lost)
    first = numbers[numbers.network == MAIN]
    np.testing.assert_allclose(dots[0].get_xdata(), first.runs_90)
    order = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert order == list(first.sort_values("single").score)
    assert [order[round(y)] for y in dots[0].get_ydata()] == list(first.score)
    plt.close(figure)
    figure, numbers = figures.noise(results)
    np.testing.assert_allclose(figure.axes[0].get_lines()[1].get_ydata(), numbers[numbers.network == CONV].middle)
    plt.close(figure)
    figure, numbers = figures.spread(results)
    for axis, score in zip(figure.axes, SHOWN, strict=True):
        some = numbers[(numbers.score == score) & (numbers.network == REAL)]
        np.testing.assert_allclose(axis.get_lines()[2].get_ydata(), some["mean"])
        assert axis.get_title("left").replace("\n", ", ") == figures.NAMES[score]
    plt.close(figure)


def test_the_course_is_drawn_for_every_length(results):
    figure, numbers = figures.course(results)
    assert len(figure.axes) == 4
    axis = figure.axes[0]
    some = numbers[(numbers.network == MAIN) & (numbers.length == noise.LENGTHS[0])]
    ends = some.groupby(["examples", "kind"], sort=False).apply(
        lambda t: t[t.passes == t.passes.max()].correlation.mean()
    )
    assert [line.get_ydata()[-1] for line in axis.get_lines()[:4]] == pytest.approx(list(ends))
    plt.close(figure)


def test_lines_of_the_formula_start_at_single_runs(results):
    figure, numbers = figures.averages(results)
    assert set(numbers.score) == set(SHOWN)
    single = results["reliability"].query("network == @REAL").set_index("score").single
    starts = [line.get_ydata()[0] for line in figure.axes[2].get_lines() if len(line.get_xdata()) == 50]
    np.testing.assert_allclose(starts, [single[score] for score in SHOWN])
    plt.close(figure)
