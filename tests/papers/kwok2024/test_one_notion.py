"""Notebook 11: correlations of simulated scores whose noise is known, components, C-scores, claims either way."""

import json
import warnings
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from butterfly.papers.kwok2024 import noise, one_notion
from butterfly.papers.kwok2024 import one_notion_figures as figures
from butterfly.papers.kwok2024.one_notion import (
    CLAIMS,
    LISTS,
    MOMENTS,
    OF_MANY,
    SINGLE,
    SPREAD,
    TRAINING,
    Params,
    study,
)
from butterfly.papers.kwok2024.score_runs import joined, measure_held_out, measure_scores
from butterfly.score import SCORES, difficulty
from butterfly.strict import ParameterError
from butterfly.study import Tables, profiles, stacked
from tests.conftest import verdicts

MAIN, REAL = "mnist1d-scores/mlp-1x8", "digits-scores/mlp-1x16"
TINY = Params(main=MAIN, real=REAL, steps=40, examples=100, held_out=6)
COUNT = 300
STATISTIC = {id: statistic for id, _, statistic, *_ in CLAIMS}
TWIN = {id: twin for id, twin, *_ in CLAIMS if twin}
IDS = [id for id, *_ in one_notion.ALL]


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- shards ----------------------------------------------------------------------------------------------------------


def planned(compute, **changes):
    """The configurations of one computation, for each network."""
    shards = study.shards(TINY.model_copy(update=changes))
    found = {}
    for shard in shards:
        if shard.compute is compute:
            found.setdefault(shard.of, []).append(shard.config)
    return found


def test_runs_are_those_of_notebook_10():
    """The same function of the same configurations: computed only once between them."""
    asked = []
    for other in (noise.study, study):
        params, _ = profiles.parameters(other.notebook, other.parameters, "laptop")
        asked.append([shard for shard in other.shards(params) if shard.compute is measure_scores])
    tenth, eleventh = asked
    assert len(eleventh) == 8
    assert all(shard in tenth for shard in eleventh)
    assert {shard.key for shard in eleventh} <= {shard.key for shard in tenth}


def test_every_network_has_its_own_held_out_shards():
    changes = {"runs_per_shard": 4, "ratios": (0.2, 0.5)}
    runs, held_out = planned(measure_scores, **changes), planned(measure_held_out, **changes)
    assert list(runs) == list(held_out) == [MAIN, REAL]
    for network, configs in held_out.items():
        assert [(c["ratio"], c["seeds"]) for c in configs] == [
            (ratio, seeds) for ratio in (0.2, 0.5) for seeds in ([50_000, 50_001, 50_002, 50_003], [50_004, 50_005])
        ]
        assert {c["setting"]["data"] for c in configs} == {"mnist1d" if network == MAIN else "digits"}
        assert {c["setting"]["recipe"]["steps"] for c in configs} == {40}
        trained = {seed for config in runs[network] for seed in config["seeds"]}
        assert not trained & {seed for config in configs for seed in config["seeds"]}
        assert all(config["probed"] for config in runs[network])
    assert json.loads(json.dumps(held_out)) == held_out


def test_shards_do_not_depend_on_how_many_runs_there_are():
    more = {"runs_per_shard": 3, "runs": 40, "held_out": 9, "ratios": (0.7, 0.3), "profile": "other"}
    for network in TINY.places.values():
        few, many = (planned(measure_scores, **changes)[network] for changes in ({"runs_per_shard": 3}, more))
        assert few[:6] == many[:6]
        few, many = (planned(measure_held_out, **changes)[network] for changes in ({"runs_per_shard": 3}, more))
        assert all(config in many for config in few)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"runs": 30}, "runs = 30: give a multiple of 20, for pairs of blocks"),
        ({"runs": 10}, "'runs' = 10"),
        ({"ratios": []}, r"ratios = \[\]: give shares of the examples between 0 and 1"),
        ({"ratios": [0.0, 0.5]}, "between 0 and 1"),
        ({"ratios": [0.5, 1.0]}, "between 0 and 1"),
        ({"ratios": [0.5, 1.5]}, "between 0 and 1"),
        ({"held_out": 1}, "'held_out' = 1"),
        ({"main": "mlp-4x64"}, "'mlp-4x64': give a setting and an architecture"),
        ({"real": "digit-scores/mlp-1x8"}, "unknown setting 'digit-scores'"),
        ({"real": "digits-scores/resnet-8"}, "unknown model 'resnet-8'"),
        ({"main": "mnist1d-scores/vgg11-4"}, "does not fit inputs of shape"),
        ({"examples": 10}, "'examples' = 10"),
        ({"ratio": [0.5]}, "did you mean 'ratios'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_looks_must_have_an_eighth():
    with pytest.raises(ParameterError, match="looks = 12: give a multiple of 8"):
        study.shards(TINY.model_copy(update={"looks": 12}))


def test_scores_are_known_and_named_once():
    assert len(set(SINGLE) | set(OF_MANY)) == len(SINGLE) + len(OF_MANY)
    assert set(SINGLE) | set(OF_MANY) <= set(SCORES)
    assert set(SINGLE) == {*TRAINING, *MOMENTS}


# --- correlations of simulated scores --------------------------------------------------------------------------------


def pearson(spearman):
    """Of normal variables."""
    return 2 * np.sin(np.pi / 6 * np.asarray(spearman))


def test_run_noise_that_scores_share_is_told_from_what_they_mean():
    """`a` and `b` know one signal and share a run's noise; `c` knows another signal, correlated by 0.6."""
    random = np.random.default_rng(0)
    runs, examples = 40, 2000
    signal, other = random.normal(size=(2, examples))
    other = 0.6 * signal + 0.8 * other
    shared = 0.7 * random.normal(size=(runs, examples))
    own = random.normal(size=(3, runs, examples)) * np.array([0.5, 1.0, 0.5])[:, None, None]
    values = {"a": signal + shared + own[0], "b": signal + shared + own[1], "c": other + own[2]}
    found = one_notion.correlations(values).set_index(["one", "other"])
    assert set(found.index) == set(permutations("abc", 2))
    variance = {"a": 1 + 0.49 + 0.25, "b": 1 + 0.49 + 1, "c": 1 + 0.25}
    for one, other, signals, both in (("a", "b", 1, 0.49), ("a", "c", 0.6, 0), ("b", "c", 0.6, 0)):
        size = (variance[one] * variance[other]) ** 0.5
        row = found.loc[one, other]
        assert pearson(row.raw) == pytest.approx(signals / size, abs=0.02)
        assert pearson(row.same) == pytest.approx((signals + both) / size, abs=0.02)
        assert row.free == pytest.approx(signals, abs=0.04)
        assert tuple(found.loc[other, one]) == tuple(row)


def test_raw_correlations_leave_the_same_run_out():
    random = np.random.default_rng(0)
    values = {"a": random.normal(size=(3, 50)), "b": random.normal(size=(3, 50))}
    row = one_notion.correlations(values).iloc[0]
    rho = [[stats.spearmanr(x, y).statistic for y in values["b"]] for x in values["a"]]
    assert row.same == pytest.approx(np.trace(rho) / 3)
    assert row.raw == pytest.approx((np.sum(rho) - np.trace(rho)) / 6)


def test_where_a_score_has_no_reliability_nothing_is_freed():
    random = np.random.default_rng(3)
    signal = random.normal(size=50)
    flipped = np.stack([signal, -signal])  # one run says the contrary of the other
    found = one_notion.correlations({"a": flipped, "b": np.stack([signal, signal])})
    assert found.free.isna().all()
    assert np.isfinite(found[["raw", "same"]]).all(axis=None)
    both = one_notion.correlations({"a": flipped, "b": flipped})  # the product of both is positive
    assert both.free.isna().all()


# --- tables of made-up runs ------------------------------------------------------------------------------------------


def made(runs=40, second=0.0, spread=0.3):
    """Runs of every score: a common signal, in every other training score another one, and noise of each run."""
    random = np.random.default_rng(0)
    signal, other = np.linspace(-1.7, 1.7, COUNT), random.normal(size=COUNT)
    found = {}
    for place, name in enumerate(SINGLE):
        values = (1 - second) * signal + second * other if place % 2 and name != "el2n.mean" else signal
        found[name] = difficulty(name, values + spread * random.normal(size=(runs, COUNT)))
    for when in ("last", "mean"):
        found[f"margin.prob.{when}"] = found[f"margin.logit.{when}"].copy()
        found[f"margin.prob.{when}"][:, : COUNT // 2] = random.normal(size=(runs, COUNT // 2))  # noise
    found["agreement"] = difficulty("agreement", signal + 0.1 * random.normal(size=(runs // 10, COUNT)))
    found["input_norm"] = random.permutation(np.linspace(1, 2, COUNT))
    found["label"] = np.arange(COUNT) % 10
    found["forgetting"] = np.maximum(found["forgetting.capped"].round(1), 0)
    return found


def before(found, networks=40):
    """Gradients before training, which know the norm of the input."""
    random = np.random.default_rng(2)
    return {"grand.init": found["input_norm"] * random.uniform(0.99, 1.01, size=(networks, COUNT))}


def tabled(found, held_out=None):
    return one_notion.tables_of(found, held_out or others(), before(found))


def others(networks=120):
    """Networks on half of the examples each: right on what they trained on, and else on the easy ones."""
    random = np.random.default_rng(1)
    trained = random.uniform(size=(networks, COUNT)) < 0.5
    known = random.uniform(size=(networks, COUNT)) > np.linspace(0, 1, COUNT)
    return {"trained": trained, "right": trained | known}


@pytest.fixture(scope="module")
def tables():
    return tabled(made())


def of(tables, statistic):
    return tables["blocks"].query("statistic == @statistic and not in_class").set_index("block").value


def test_one_signal_is_one_component(tables):
    shares = tables["components"]
    assert list(shares.component) == list(range(1, len(TRAINING) + 1))
    assert shares.share.sum() == pytest.approx(1)
    assert shares.share[0] > 0.95
    assert shares.share[1] < 1.05 * shares.chance[1]
    loadings = tables["loadings"]
    assert list(loadings.score) == list(TRAINING)
    np.testing.assert_allclose(loadings["first"], len(TRAINING) ** -0.5, atol=0.01)
    assert list(of(tables, "first").index) == [0, 1, 2, 3]
    assert (of(tables, "first") > 0.95).all()
    assert (of(tables, "second") < 0.02).all()


def test_a_second_signal_is_a_second_component():
    tables = tabled(made(runs=20, second=1.0))
    shares = tables["components"].set_index("component")
    assert shares.share[1] == pytest.approx(0.52, abs=0.08)
    assert shares.share[2] == pytest.approx(0.45, abs=0.08)
    assert of(tables, "second").to_numpy() == pytest.approx(0.45, abs=0.08)
    one = tables["loadings"].set_index("score")
    kinds = [place % 2 == 1 and name != "el2n.mean" for place, name in enumerate(TRAINING)]
    first, second = one["first"].abs(), one["second"].abs()
    assert first[np.array(kinds)].max() < first[~np.array(kinds)].min()
    assert second[np.array(kinds)].min() > second[~np.array(kinds)].max()


def test_components_of_blocks_are_those_of_their_means():
    found = made(runs=20, spread=1.5)
    tables = tabled(found)
    for place in (0, 1):
        means = [difficulty(name, found[name][10 * place : 10 * place + 10]).mean(0) for name in TRAINING]
        matrix = pd.DataFrame(means).T.corr("spearman")
        sizes = np.linalg.eigvalsh(matrix)[::-1] / len(TRAINING)
        assert of(tables, "first")[place] == pytest.approx(sizes[0])
        assert of(tables, "second")[place] == pytest.approx(sizes[1])


def test_what_goes_with_run_noise_is_its_part_of_the_disagreement(tables):
    """All scores know one signal: freed of noise they agree, and nothing of the disagreement is left."""
    assert of(tables, "noise").to_numpy() == pytest.approx(1, abs=0.01)
    assert of(tables, "same run").to_numpy() == pytest.approx(0, abs=0.01)  # noises of scores were drawn apart
    found = made(runs=20, second=1.0)
    apart = tabled(found)
    pairs = one_notion.correlations({name: difficulty(name, found[name][10:20]) for name in TRAINING})
    expected = ((1 - pairs.raw).sum() - (1 - pairs.free).sum()) / (1 - pairs.raw).sum()
    assert of(apart, "noise")[1] == pytest.approx(expected)
    assert 0 < expected < 0.3


def test_noise_of_a_run_that_all_scores_share_is_seen_in_the_same_run():
    found, random = made(runs=20), np.random.default_rng(5)
    noise = random.normal(size=(20, COUNT))
    for name in SINGLE:
        found[name] = found[name] + difficulty(name, noise)
    blocks = tabled(found)
    assert (of(blocks, "same run") > 0.3).all()
    pairs = blocks["pairs"]
    assert (pairs.same - pairs.raw).min() > 0.2
    assert pairs.raw.mean() == pytest.approx(0.47, abs=0.05)


def test_the_axis_holds_every_score_but_the_reference(tables):
    axis = tables["axis"].set_index("score")
    assert list(axis.index) == [name for name in (*SINGLE, *OF_MANY) if name != "el2n.mean"]
    assert axis.loc[list(OF_MANY), ["raw", "free"]].isna().all(axis=None)
    single = axis.drop(index=list(OF_MANY))
    assert (axis.of_means > 0.75).all()  # all point to harder examples
    np.testing.assert_allclose(single.free, 1, atol=0.01)
    assert ((single.raw > 0.85) & (single.raw < 0.95)).all()
    found = made()
    means = found["margin.logit.mean"].mean(0), found["el2n.mean"].mean(0)
    assert axis.of_means["margin.logit.mean"] == pytest.approx(-stats.spearmanr(*means).statistic)
    right, trained = (others()[name] for name in ("right", "trained"))
    unseen = np.array([right[~trained[:, n], n].mean() for n in range(COUNT)])
    seen = np.array([right[trained[:, n], n].mean() for n in range(COUNT)])
    assert axis.of_means["c_score"] == pytest.approx(-stats.spearmanr(unseen, means[1]).statistic)
    assert axis.of_means["memorization"] == pytest.approx(stats.spearmanr(seen - unseen, means[1]).statistic)
    agreement = found["agreement"].mean(0)
    assert axis.of_means["agreement"] == pytest.approx(-stats.spearmanr(agreement, means[1]).statistic)


def test_c_scores_of_every_block_are_those_of_other_networks(tables):
    found = made()
    right, trained = (others()[name] for name in ("right", "trained"))
    assert list(of(tables, "c_score").index) == [0, 1, 2, 3]
    for place in (0, 3):
        some, seen = right[place::4], trained[place::4]
        unseen = np.array([some[~seen[:, n], n].mean() for n in range(COUNT)])
        el2n = found["el2n.mean"][10 * place : 10 * place + 10].mean(0)
        expected = -stats.spearmanr(el2n, unseen, nan_policy="omit").statistic
        assert of(tables, "c_score")[place] == pytest.approx(expected)
        assert expected > 0.8


def blocks_of(found, held_out):
    aligned = {name: difficulty(name, found[name]) for name in SINGLE}
    return {"blocks": one_notion._blocks(found, aligned, held_out, before(found), inside=False)}


def test_examples_that_every_network_trained_on_do_not_count_for_c_scores():
    held_out = others()
    held_out["trained"][:, :5] = True
    blocks = blocks_of(made(runs=20), held_out)
    assert (of(blocks, "c_score") > 0.8).all()


def test_control_is_of_the_norm(tables):
    found = made()
    control, init = tables["control"], before(found)["grand.init"]
    np.testing.assert_allclose(control.grand_init, init.mean(0))
    np.testing.assert_array_equal(control.norm, found["input_norm"])
    np.testing.assert_allclose(control.el2n, found["el2n.mean"].mean(0))
    for place in range(4):
        own = init[10 * place : 10 * place + 10].mean(0)
        expected = stats.spearmanr(own, found["el2n.mean"].mean(0)).statistic
        assert of(tables, "init el2n")[place] == pytest.approx(expected)
        assert of(tables, "init norm")[place] == pytest.approx(stats.spearmanr(own, found["input_norm"]).statistic)
    assert (of(tables, "init norm") > 0.99).all()
    assert (of(tables, "init el2n").abs() < 0.2).all()


def test_margins_are_compared_on_the_easy_half(tables):
    found = made()
    for when in ("mean", "last"):
        margin = of(tables, f"margin {when}")
        assert list(margin.index) == list(range(20))
        easy = np.arange(COUNT) < COUNT // 2
        kept = found["el2n.mean"].mean(0) <= np.median(found["el2n.mean"].mean(0))
        assert (kept == easy).mean() > 0.97
        for place in (0, 19):
            one, other = 2 * place, 2 * place + 1
            rho = [
                stats.spearmanr(found[name][one, kept], found[name][other, kept]).statistic
                for name in (f"margin.logit.{when}", f"margin.prob.{when}")
            ]
            assert margin[place] == pytest.approx(rho[0] - rho[1])
        assert margin.mean() > 0.5


# --- lists of scores, chance, and classes ----------------------------------------------------------------------------


def test_the_list_of_the_claims_follows_its_rule():
    """Every score that all looks make; of variants of one formula, one."""
    variants = {"el2n.squared.mean", "margin.prob.mean", "correctness", "forgetting", "vog.class.variance"}
    variants |= {"vog.loss.variance"}
    every = {name for name, score in SCORES.items() if score.clock == "every look so far"}
    assert set(TRAINING) == every - variants
    assert LISTS[one_notion.OURS] == TRAINING
    assert set(LISTS["without all of spread"]) == set(TRAINING) - set(SPREAD)
    assert set(LISTS["with single moments"]) == set(SINGLE)


def test_lists_are_judged_by_their_own_pairs(tables):
    found, table = made(), tables["lists"]
    assert not table.duplicated(["list", "in_class", "block"]).any()
    names = LISTS["without all of spread"]
    few = {name: difficulty(name, found[name])[10:20] for name in names}
    pairs = one_notion.correlations(few)
    expected = (pairs.free - pairs.raw).sum() / (1 - pairs.raw).sum()
    row = table[(table.list == "without all of spread") & ~table.in_class & (table.block == 1)]
    assert row.noise.item() == pytest.approx(expected)
    own = table[(table.list == one_notion.OURS) & ~table.in_class].set_index("block")
    np.testing.assert_allclose(own.noise, of(tables, "noise"))
    np.testing.assert_allclose(own["first"], of(tables, "first"))


def test_leaving_scores_out_is_held_against_leaving_others_out(tables):
    """By hand, over all choices of three others; and where no score differs from the others, it is the same."""
    random = np.random.default_rng(1)
    names, left = ("a", "b", "c", "d", "e"), ("a", "b")
    rows = [(x, y, *random.uniform(0.1, 0.9, 2)) for x, y in permutations(names, 2)]
    pairs = pd.DataFrame(rows, columns=["one", "other", "raw", "free"])
    pairs.loc[3, "free"] = np.nan
    expected = [one_notion.noise_part(pairs, [n for n in names if n not in out]) for out in ("cd", "ce", "de")]
    assert one_notion.without_others(pairs, names, left) == pytest.approx(np.mean(expected))
    gap = of(tables, "noise of levels") - of(tables, "noise of others")
    assert gap.to_numpy() == pytest.approx(0, abs=0.02)


def test_a_second_axis_is_told_from_chance_however_much_the_first_holds():
    """Scores of one strong signal and own noise; a weak second signal, in half of them, is found all the same."""
    random = np.random.default_rng(0)
    signal, other, noise = random.normal(size=500), random.normal(size=500), random.normal(size=(10, 500))
    for size, found in ((0.0, False), (0.25, True)):
        scores = 5 * signal + noise + size * 5 * np.where(np.arange(10) % 2, 1, -1)[:, None] * other
        share = one_notion.reliability.components(scores)[0]
        assert share[0] > 0.85
        assert share[1] < one_notion.reliability.parallel_analysis(scores)[1]  # Horn's test misses it
        assert (share[1] > 1.1 * one_notion.by_chance(one_notion.standardised(scores), 1)) == found


def test_what_scores_share_about_classes_alone_is_gone_within_them():
    found, random = made(runs=20), np.random.default_rng(4)
    for name in SINGLE:
        found[name] = difficulty(name, found["label"] + 0.5 * random.normal(size=(20, COUNT)))
    blocks = tabled(found)["blocks"].groupby(["statistic", "in_class"]).value.mean()
    assert blocks["first", False] > 0.9
    assert blocks["first", True] < 0.2


def test_never_learned_examples_are_told_from_never_forgotten_ones():
    """In run 0 a tenth is never learned and a fifth never forgotten; in run 1 all are learned."""
    found = made(runs=20)
    events = 1.0 + np.tile(np.arange(COUNT) % 7, (20, 1))
    never, always = np.arange(COUNT) % 10 == 0, np.arange(COUNT) % 5 == 1
    events[:, never | always] = 0
    capped = np.where(never, 16.0, events)
    capped[1] = events[1]
    found |= {"forgetting": events, "forgetting.capped": capped}
    found["el2n.mean"] = found["el2n.mean"] + 2.0 * never - 1.0 * always
    blocks = blocks_of(found, others())
    gap = of(blocks, "never")
    assert list(gap.index) == [0, *range(2, 20)]
    np.testing.assert_allclose(gap, [found["el2n.mean"][k][never].mean() - found["el2n.mean"][k][always].mean()
                                     for k in gap.index])  # fmt: skip
    assert gap.mean() == pytest.approx(3, abs=0.2)
    gain = of(blocks, "cap")
    assert len(gain) == 20
    assert gain[1] == 0
    with_cap, without = (stats.spearmanr(v[4], found["el2n.mean"][4]).statistic for v in (capped, events))
    assert gain[4] == pytest.approx(with_cap - without)
    assert gain[4] > 0.1


def test_blocks_share_no_runs(tables):
    """What happens in the last ten runs changes nothing in the blocks before."""
    first = tables["blocks"]
    found = made()
    for name in (*SINGLE, "margin.prob.last", "margin.prob.mean", "forgetting"):
        found[name][30:] = np.random.default_rng(9).permuted(found[name][30:] ** 2, axis=1)
    after = tabled(found)["blocks"]
    changed = first.merge(after, on=["statistic", "in_class", "block"]).query("value_x != value_y")
    touched = {name: set(some) for name, some in changed.groupby("statistic").block}
    for name in ("first", "second", "noise", "same run", "c_score"):
        assert touched.get(name) == {3}, name
    assert touched["cap"] <= set(range(30, 40))


def test_tables_of_every_network_are_whole(results):
    assert set(results) == {"pairs", "axis", "components", "loadings", "control", "lists", "blocks"}
    for table in results.values():
        assert list(table.network.unique()) == [MAIN, REAL]
    count = len(SINGLE)
    assert (results["pairs"].groupby("network").size() == count * (count - 1)).all()
    assert not results["pairs"].duplicated(["network", "one", "other"]).any()
    assert set(results["blocks"].statistic) == {*STATISTIC.values(), "noise", "noise of others"}
    assert (results["control"].groupby("network").size() == 100).all()


def test_the_arrays_of_a_network_are_not_those_of_another(results):
    shards = study.compute(study.shards(TINY))
    control = results["control"].query("network == @REAL")
    np.testing.assert_array_equal(control.norm, joined(shards)[REAL]["input_norm"])
    assert joined(shards, measure_held_out)[REAL]["right"].shape == (12, 100)


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

PLANTED = {
    "first": 0.7, "second": 0.05, "noise": 0.7, "noise of levels": 0.9, "same run": 0.1, "c_score": 0.85,
    "noise of others": 0.6,
    "init el2n": 0.0, "init norm": 0.9, "never": 0.4, "cap": 0.2, "margin mean": 0.1, "margin last": 0.1,
}  # fmt: skip


def world(networks=(MAIN,), inside=None, **changes):
    """Six blocks of every network; `inside` changes what holds within classes."""
    random, rows = np.random.default_rng(0), []
    for network in networks:
        for in_class, own in ((False, PLANTED | changes), (True, PLANTED | (inside or {}))):
            assert set(own) == set(PLANTED)
            for name, value in own.items():
                noise = random.uniform(-0.01, 0.01, 6)
                rows += [(name, place, value + noise[place], network, in_class) for place in range(6)]
    columns = ["statistic", "block", "value", "network", "in_class"]
    return {"blocks": pd.DataFrame(rows, columns=columns)}


def judge(tables, params=None):
    return verdicts(study.judge(params or Params(main=MAIN), tables))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world()) == dict.fromkeys(IDS, "supported")


CHANGES = [
    ("D06", {"first": 0.4}),
    ("D06b", {"second": 0.12}),
    ("D07", {"noise": 0.3}),
    ("D07c", {"noise of levels": 0.65}),
    ("D08", {"same run": -0.1}),
    ("D09", {"c_score": 0.5}),
    ("D13", {"init el2n": 0.2}),
    ("D13", {"init el2n": -0.2}),
    ("D13b", {"init norm": 0.5}),
    ("D14", {"never": -0.1}),
    ("D14b", {"cap": -0.1}),
    ("D15", {"margin mean": -0.1}),
    ("D15b", {"margin last": -0.1}),
]


@pytest.mark.parametrize(("id", "change"), CHANGES)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(world(**change))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}
    if id in TWIN:
        found = judge(world(inside=change))
        assert {other for other, verdict in found.items() if verdict != "supported"} == {TWIN[id]}


def test_every_claim_has_a_change_and_estimates_are_what_was_planted():
    assert {id for id, _ in CHANGES} == set(STATISTIC)
    claims = {c.id: c for c in study.judge(Params(main=MAIN), world())}
    for id, statistic in STATISTIC.items():
        expected = PLANTED[statistic] - (PLANTED["noise of others"] if statistic == "noise of levels" else 0)
        for one in filter(None, (id, TWIN.get(id))):
            assert claims[one].estimate == pytest.approx(expected, abs=0.02)
            assert (claims[one].n, claims[one].notebook) == (6, "11_one_notion")
    assert all(claims[twin].statement.startswith("Within classes: ") for twin in TWIN.values())
    sources = {id: c.source for id, c in claims.items() if c.origin != "ours"}
    kirsch, kwok = "Kirsch 2023 (arXiv 2303.14753)", "Kwok et al. 2024 (arXiv 2401.01867)"
    about_init = dict.fromkeys(("D13", "D13b"), kirsch)
    assert sources == {"D06": kwok, "D14": kwok} | about_init


def test_few_runs_with_examples_never_learned_void_the_claims_on_them():
    blocks = world()["blocks"]
    for kept, void in ((2, True), (3, False)):
        some = blocks[(blocks.statistic != "never") | (blocks.block < kept)]
        claims = {c.id: c for c in study.judge(Params(main=MAIN), {"blocks": some})}
        assert {id for id, c in claims.items() if c.void} == ({"D14", "D14b", "D14c"} if void else set())


def test_the_claims_of_every_network_rest_on_its_own_numbers():
    params = Params(main=MAIN, real=REAL)
    together = stacked([world([MAIN]), world([REAL], never=-1.0)])
    claims = study.judge(params, together)
    assert [c.id for c in claims] == [f"{id}{place}" for place in ("", "@digits") for id in IDS]
    assert {c.id for c in claims if c.verdict != "supported"} == {"D14@digits"}
    about = {c.id: (c.statement, c.scope) for c in claims}
    assert about["D14"] == (about["D14@digits"][0], "mnist1d, mlp-1x8; this data set, seen in the exploration")
    assert about["D14@digits"][1] == "digits, mlp-1x16; this data set, seen in the exploration"


def test_too_little_and_lost_numbers_leave_claims_open():
    blocks = world()["blocks"]
    assert set(judge({"blocks": blocks[blocks.block == 0]}).values()) == {"inconclusive"}
    assert judge({"blocks": blocks[blocks.statistic != "never"]})["D14"] == "inconclusive"
    blocks.loc[(blocks.statistic == "noise") & (blocks.block == 2) & ~blocks.in_class, "value"] = np.nan
    assert {id for id, verdict in judge({"blocks": blocks}).items() if verdict != "supported"} == {"D07"}


def test_claims_can_be_made_of_what_was_computed(results):
    made = {c.id: c for c in study.judge(TINY, results)}
    assert list(made) == [f"{id}{place}" for place in ("", "@digits") for id in IDS]
    assert {id: made[id].n for id in ("D06", "D09", "D13", "D14b", "D15")} == {
        "D06": 2, "D09": 2, "D13": 2, "D14b": 20, "D15": 10,
    }  # fmt: skip


# --- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("networks", [(MAIN,), (MAIN, REAL)])
@pytest.mark.parametrize(
    "draw", [figures.correlations, figures.components, figures.axis, figures.control, figures.lists]
)
def test_figures_are_drawn_of_one_network_and_of_two(results, draw, networks):
    tables = Tables({name: table[table.network.isin(networks)] for name, table in results.items()}, TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, numbers = draw(tables)
        figure.canvas.draw()
    assert figure.get_suptitle()
    assert len(numbers) > 10
    assert set(numbers.network) == ({MAIN} if draw is figures.correlations else set(networks))
    for axis in figure.axes:
        assert axis.get_xlabel() or axis.get_ylabel() or [t.get_text() for t in axis.get_xticklabels()]
    first = figure.axes[0]
    assert first.get_ylabel() or len(first.get_yticklabels()) >= len(LISTS)
    plt.close(figure)


def test_pictures_show_the_numbers(results):
    figure, numbers = figures.correlations(results)
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert names == figures.clustered(numbers) == [t.get_text() for t in figure.axes[1].get_xticklabels()]
    assert sorted(names) == sorted(SINGLE)
    for axis, column in zip(figure.axes, ("raw", "free"), strict=False):
        drawn = axis.collections[0].get_array().reshape(len(SINGLE), len(SINGLE))
        row = numbers.set_index(["one", "other"])[column].loc[names[1]]
        np.testing.assert_allclose(drawn[1, 2:].filled(np.nan), row.loc[names[2:]])
    plt.close(figure)
    figure, numbers = figures.components(results)
    (share, chance, *_) = figure.axes[0].get_lines()[2:]
    some = numbers[numbers.network == REAL]
    np.testing.assert_allclose(share.get_ydata(), some.share[:6])
    np.testing.assert_allclose(chance.get_ydata(), some.chance[:6])
    loadings = results["loadings"].query("network == @MAIN")
    labels = [t.get_text() for t in figure.axes[1].get_yticklabels()]
    dots = figure.axes[1].get_lines()[1]
    np.testing.assert_allclose(dots.get_xdata(), loadings["first"])
    assert labels == list(loadings.score)
    assert np.argsort(dots.get_ydata())[-1] == 0
    plt.close(figure)
    figure, numbers = figures.axis(results)
    order = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    some = numbers[numbers.network == REAL].set_index("score")
    np.testing.assert_allclose(figure.axes[1].get_lines()[0].get_xdata(), some.raw[order])
    np.testing.assert_allclose(figure.axes[1].get_lines()[2].get_xdata(), some.of_means[order])
    plt.close(figure)
    figure, numbers = figures.control(results)
    some = numbers[numbers.network == REAL]
    rho = stats.spearmanr(some.norm, some.grand_init).statistic
    assert figure.axes[0].get_legend().get_texts()[1].get_text().endswith(f": {rho:.2f}")
    plt.close(figure)
