"""Notebook 10: reliability of noise that is known, claims that come out either way, figures that show the numbers."""

import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from butterfly.papers.kwok2024 import noise, score_runs
from butterfly.papers.kwok2024 import noise_figures as figures
from butterfly.papers.kwok2024.naming import network as named
from butterfly.papers.kwok2024.noise import AVERAGES, BLOCK, SHOWN, Params, study
from butterfly.score import LOGGED, SCORES, difficulty
from butterfly.strict import ParameterError
from butterfly.study import Tables, profiles, stacked
from tests.conftest import verdicts

MAIN, CONV, REAL = "mnist1d-scores/mlp-1x8", "mnist1d-scores/cnn-1x4", "digits-scores/mlp-1x16"
TINY = Params(main=MAIN, conv=CONV, real=REAL, steps=40, examples=100)
IDS = ["D01", "D01b", "D02", "D02b", "D03", "D03b", "D04", "D05", "D05b", "D18"]


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
    for shard in study.shards(TINY.model_copy(update=changes)):
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


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        configs(device="cuda")


def test_networks_left_out_have_no_claims_and_no_shards():
    params = Params(main=MAIN, conv="", real=REAL)
    assert params.places == {"": MAIN, "digits": REAL}
    assert {shard.of for shard in study.shards(params)} == {MAIN, REAL}
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
    return found | {"train_accuracy": half["accuracy"], "test_accuracy": half["accuracy"] / 2}


def spearman(pearson):
    """Of normal variables."""
    return 6 / np.pi * np.arcsin(pearson / 2)


def test_reliability_of_known_noise_is_found():
    tables = noise.tables_of(arrays())
    table = tables["reliability"].set_index("score")
    assert list(table.index) == [name for name in SCORES if name in SHOWN]  # in the order of the registry
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
    blocks = noise.tables_of(found)["blocks"]
    table = {name: some.set_index("block").value for name, some in blocks.groupby("statistic")}
    few = {"icc": 5, "noise el2n.early": 5, "noise el2n.mean": 5}
    assert {name: len(v) for name, v in table.items()} == few | {"excess 2": 2, "excess 5": 2, "excess 10": 2} | {
        "median": 4
    }
    # ICC(1) from an analysis of variance of the third block, by hand.
    ranks = stats.rankdata(found["el2n.early"][16:24], axis=1) / 599
    f = stats.f_oneway(*ranks.T).statistic
    assert table["icc"][2] == pytest.approx((f - 1) / (f + 7))
    for name in ("el2n.early", "el2n.mean"):
        some = found[name][16:24]
        assert table[f"noise {name}"][2] == stats.spearmanr(some.mean(0), some.var(0)).statistic
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


def test_averages_of_even_noise_follow_the_formula_and_medians_lose():
    blocks = noise.tables_of(arrays(runs=60, examples=1500))["blocks"].groupby("statistic").value.mean()
    assert abs(blocks[["excess 2", "excess 5", "excess 10"]]).max() < 0.02
    assert blocks["median"] < -0.01  # of normal noise the mean is the better average
    assert abs(blocks["noise el2n.early"]) < 0.15


def test_noise_that_grows_with_difficulty_is_seen():
    blocks = noise.tables_of(arrays(noise=0.3, growing=1.0))["blocks"].groupby("statistic").value.mean()
    assert blocks["noise el2n.early"] > 0.6
    assert blocks["noise el2n.mean"] > 0.6


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
    assert set(results) == {"runs", "reliability", "pairs", "blocks", "spread", "noise"}
    for table in results.values():
        assert list(table.network.unique()) == [MAIN, CONV, REAL]
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


def world(
    networks=(MAIN,), last=0.6, right=-0.2, gain=0.25, ten=0.0, two=0.0, icc=0.5, early=0.8, mean=0.7, median=-0.01
):
    """Eight pairs and blocks of every network; scores and averages that claims do not use say something else."""
    random = np.random.default_rng(0)
    pairs, blocks = [], []
    for network in networks:
        for place in range(8):
            noise = random.uniform(-0.003, 0.003, 10)
            scores = {"accuracy.last": last + right, "confidence.last": last, "confidence.mean": last + gain}
            for k, (name, value) in enumerate(scores.items()):
                pairs.append((name, 1, place, value + noise[k], network))
                pairs.append((name, 2, place, 0.99 - value, network))
            pairs.append(("el2n.mean", 1, place, 0.1, network))
            values = {"excess 10": ten, "excess 2": two, "icc": icc, "noise el2n.early": early} | {
                "noise el2n.mean": mean,
                "median": median,
            }
            blocks += [(name, place, v + noise[k], network) for k, (name, v) in enumerate(values.items(), start=3)]
            blocks.append(("excess 5", place, 9.0, network))
    return {
        "pairs": pd.DataFrame(pairs, columns=["score", "averaged", "pair", "correlation", "network"]).sample(frac=1),
        "blocks": pd.DataFrame(blocks, columns=["statistic", "block", "value", "network"]).sample(frac=1),
    }


def judge(tables, params=None):
    return verdicts(study.judge(params or Params(main=MAIN), tables))


CHANGES = [
    ("D01", {"last": 0.9, "gain": 0.2}),
    ("D01b", {"right": 0.1}),
    ("D02", {"gain": 0.05}),
    ("D03", {"ten": 0.05}),
    ("D03", {"ten": -0.05}),
    ("D03b", {"two": 0.05}),
    ("D03b", {"two": -0.05}),
    ("D04", {"icc": 0.8}),
    ("D05", {"early": 0.3}),
    ("D05b", {"mean": 0.3}),
    ("D18", {"median": 0.02}),
]


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world()) == dict.fromkeys(IDS, "supported")


@pytest.mark.parametrize(("id", "change"), CHANGES)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(world(**change))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_averages_that_are_worse_contradict_both_claims_on_them():
    found = judge(world(gain=-0.05))
    assert {id for id, verdict in found.items() if verdict == "contradicted"} == {"D02", "D02b"}


def test_estimates_are_what_was_planted():
    made = {c.id: c for c in study.judge(Params(main=MAIN), world())}
    planted = {"D01": 0.6, "D01b": -0.2, "D02": 0.25, "D02b": 0.25, "D03": 0, "D03b": 0, "D04": 0.5, "D05": 0.8}
    planted |= {"D05b": 0.7, "D18": -0.01}
    assert {id: c.estimate for id, c in made.items()} == pytest.approx(planted, abs=0.005)
    assert {c.n for c in made.values()} == {8}
    assert {c.notebook for c in made.values()} == {"10_noise"}
    assert {c.source for c in made.values() if c.origin != "ours"} == {"Kwok et al. 2024 (arXiv 2401.01867)"}
    assert {id for id, c in made.items() if c.origin == "ours"} == {"D03", "D03b", "D04", "D05", "D05b"}


def test_the_claims_of_every_network_rest_on_its_own_numbers():
    together = stacked([world([MAIN]), world([CONV], icc=0.9), world([REAL], early=0.1)])
    claims = study.judge(TINY, together)
    assert [c.id for c in claims] == [f"{id}{place}" for place in ("", "@cnn", "@digits") for id in IDS]
    assert {c.id for c in claims if c.verdict != "supported"} == {"D04@cnn", "D05@digits"}
    about = {c.id: (c.statement, c.scope) for c in claims}
    assert len({about[f"D04{place}"][0] for place in ("", "@cnn", "@digits")}) == 1
    assert about["D04"][1] == "mnist1d, mlp-1x8"
    assert about["D04@cnn"][1] == "mnist1d, cnn-1x4"
    assert about["D04@digits"][1] == "digits, mlp-1x16"


def test_too_little_and_lost_numbers_leave_claims_open():
    tables = world()
    one = {"pairs": tables["pairs"].query("pair == 0"), "blocks": tables["blocks"].query("block == 0")}
    assert set(judge(one).values()) == {"inconclusive"}
    for name, where, touched in (
        ("pairs", {"score": "confidence.mean", "averaged": 1, "pair": 3}, {"D02", "D02b"}),
        ("pairs", {"score": "accuracy.last", "averaged": 1, "pair": 3}, {"D01b"}),
        ("blocks", {"statistic": "icc", "block": 3}, {"D04"}),
        ("blocks", {"statistic": "excess 10", "block": 3}, {"D03"}),
    ):
        tables = world()
        rows = np.logical_and.reduce([tables[name][column] == value for column, value in where.items()])
        assert rows.sum() == 1
        tables[name].loc[rows, "correlation" if name == "pairs" else "value"] = np.nan
        assert {id for id, verdict in judge(tables).items() if verdict == "inconclusive"} == touched


def test_claims_can_be_made_of_what_was_computed(results):
    made = study.judge(TINY, results)
    assert [c.id for c in made] == [f"{id}{place}" for place in ("", "@cnn", "@digits") for id in IDS]
    assert {c.id: c.n for c in made[:10]} == {"D03": 1, "D03b": 1, "D04": 2, "D05": 2, "D05b": 2, "D18": 2} | (
        dict.fromkeys(("D01", "D01b", "D02", "D02b"), 10)
    )


def test_the_laptop_can_pair_what_its_claims_need():
    params, _ = profiles.parameters("10_noise", Params, "laptop")
    assert params.runs // BLOCK >= 3
    assert set(params.places) == {"", "cnn", "digits"}


# --- figures ---------------------------------------------------------------------------------------------------------

DRAWN = ((figures.spread, len(SHOWN)), (figures.single, 2), (figures.averages, 0), (figures.noise, 1))


@pytest.mark.parametrize("networks", [(MAIN,), (MAIN, CONV, REAL)])
@pytest.mark.parametrize(("draw", "panels"), DRAWN)
def test_figures_are_drawn_of_one_network_and_of_several(results, draw, panels, networks):
    tables = Tables({name: table[table.network.isin(networks)] for name, table in results.items()}, TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, numbers = draw(tables)
        figure.canvas.draw()
    assert len(figure.axes) == (panels or len(networks))
    assert all(axis.get_xlabel() for axis in figure.axes)
    assert figure.axes[0].get_ylabel() or [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert figure.get_suptitle()
    assert set(numbers.network) == set(networks)
    texts = [axis.get_title("left") for axis in figure.axes]
    texts += [t.get_text() for axis in figure.axes if axis.get_legend() for t in axis.get_legend().get_texts()]
    assert {named(name) for name in networks} <= set(texts)
    plt.close(figure)


def test_pictures_show_the_numbers(results):
    figure, numbers = figures.single(results)
    dots = figure.axes[1].get_lines()
    assert [len(line.get_xdata()) for line in dots] == list(numbers.groupby("network", sort=False).size())
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
        assert axis.get_title("left") == score
    plt.close(figure)


def test_lines_of_the_formula_start_at_single_runs(results):
    figure, numbers = figures.averages(results)
    assert set(numbers.score) == set(SHOWN)
    single = results["reliability"].query("network == @REAL").set_index("score").single
    starts = [line.get_ydata()[0] for line in figure.axes[2].get_lines() if len(line.get_xdata()) == 50]
    np.testing.assert_allclose(starts, [single[score] for score in SHOWN])
    plt.close(figure)
