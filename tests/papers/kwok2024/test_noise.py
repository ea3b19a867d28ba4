"""Notebook 10: scored runs measured again in plain steps, reliability of noise that is known, claims either way."""

import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from butterfly import data, models, notebooks
from butterfly.experiments import noise as experiment
from butterfly.experiments import scored
from butterfly.experiments.noise import AVERAGES, SHOWN, Params, Tables
from butterfly.experiments.twins import chosen
from butterfly.figures import noise as figures
from butterfly.score import LOGGED, SCORES, difficulty
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Observer, train
from tests.conftest import verdicts

MAIN, CONV, REAL = "mnist1d-scores/mlp-1x8", "mnist1d-scores/cnn-1x4", "digits-scores/mlp-1x16"
TINY = Params(main=MAIN, conv=CONV, real=REAL, steps=40, looks=16, examples=100)
LOOKS = [2, 5, 8, 10, 12, 15, 18, 20, 22, 25, 28, 30, 32, 35, 38, 40]  # sixteenths of 40 updates
SEED = 3


@pytest.fixture(scope="module")
def results(own_store):
    return experiment.run(TINY)


@pytest.fixture(scope="module")
def shard(results):
    """The only shard of the first network, from the store."""
    return scored.score({MAIN: experiment.shards(TINY)[MAIN]})[MAIN]


@pytest.fixture(scope="module")
def plain():
    """Task, model, and the twenty networks at the start and after every look `[1 + T, 20, P]`."""
    setting, task = chosen("mnist1d-scores", 40), data.load("mnist1d")
    model = models.build("mlp-1x8", task.input_shape, task.classes)
    keep = Observer("theta", lambda now: now.theta.clone(), frozenset([0, *LOOKS]))
    run = train(model, task, setting.recipe, range(20), observers=[keep])
    assert [step for step, _ in run.recorded("theta")] == [0, *LOOKS]
    return task, model, torch.stack([theta for _, theta in run.recorded("theta")])


# --- scored runs in plain steps --------------------------------------------------------------------------------------


def test_the_stack_holds_the_networks_that_train_alone(plain):
    task, model, theta = plain
    alone = train(model, task, chosen("mnist1d-scores", 40).recipe, [SEED]).theta[0]
    torch.testing.assert_close(theta[-1, SEED], alone, rtol=0, atol=1e-4)
    assert (theta[-1, SEED] - theta[-1, SEED + 1]).norm() > 1


def test_every_score_from_logits_is_that_of_its_looks(shard, plain):
    task, model, theta = plain
    x, y = task.x[:100], task.y[:100]
    logits = torch.stack([model.logits(row[None], x)[0] for row in theta[1:, SEED]])  # [T, N, C]
    p, hot = logits.softmax(2), F.one_hot(y, 10)
    own = p[:, torch.arange(100), y]
    rival = (p - 9 * hot).amax(2)
    right = logits.argmax(2) == y
    el2n = (p - hot).norm(dim=2)
    margin = logits[:, torch.arange(100), y] - (logits - 1e9 * hot).amax(2)
    events = (right[:-1] & ~right[1:]).sum(0)
    never = ~right.any(0)
    expected = {
        "accuracy": right.float(),
        "loss": -own.log(),
        "confidence": own,
        "max_confidence": p.amax(2),
        "entropy": -(p * p.log()).sum(2),
        "margin.logit": margin,
        "margin.prob": own - rival,
        "el2n": el2n,
        "el2n.squared": el2n**2,
    }
    expected = {f"{name}.mean": v.mean(0) for name, v in expected.items()} | {
        f"{name}.last": v[-1] for name, v in expected.items()
    }
    expected |= {
        "el2n.early": el2n[1],
        "confidence.sd": own.std(0, correction=0),
        "correctness": right.sum(0),
        "forgetting": events,
        "forgetting.capped": torch.where(never, 16, events),
        "first_learned": torch.where(never, 16, right.int().argmax(0)),
        "iteration_learned": torch.tensor([max([0, *(k + 1 for k in range(16) if not r[k])]) for r in right.T]),
    }
    assert never.any()
    assert events.max() > 1
    for name, values in expected.items():
        np.testing.assert_allclose(shard[name][SEED], values, rtol=1e-3, atol=1e-4, err_msg=name)
    assert set(LOGGED) <= set(expected)


def test_every_score_from_gradients_is_taken_at_its_time(shard, plain):
    task, model, theta = plain
    start, early = theta[0, SEED], theta[2, SEED]  # an eighth of 16 looks is the second
    for k in (0, 17, 99):
        x, y = task.x[k : k + 1], task.y[k : k + 1]
        for name, place in (("grand", early), ("grand.init", start)):
            row = place[None].clone().requires_grad_()
            F.cross_entropy(model.logits(row, x)[0], y).backward()
            assert shard[name][SEED, k] == pytest.approx(row.grad.norm().item(), rel=1e-3), name
        hidden = model.features(early[None], x)["hidden0"].norm()
        by_layer = shard["el2n.early"][SEED, k] * (1 + hidden**2).sqrt().item()
        assert shard["grand.last_layer"][SEED, k] == pytest.approx(by_layer, rel=1e-3)
        maps = {"class": [], "loss": []}
        for row in theta[1:, SEED]:
            pixels = x.clone().requires_grad_()
            loss = F.cross_entropy(model.logits(row[None], pixels)[0], y)
            for of, value in (("class", (-loss).exp()), ("loss", loss)):
                maps[of].append(torch.autograd.grad(value, pixels, retain_graph=True)[0].flatten())
        for of, several in maps.items():
            found = torch.stack(several)
            assert shard[f"vog.{of}.sd"][SEED, k] == pytest.approx(found.std(0, correction=0).mean().item(), rel=1e-3)
            assert shard[f"vog.{of}.variance"][SEED, k] == pytest.approx(found.var(0).mean().item(), rel=1e-3)


def test_scores_of_trained_networks_are_those_of_their_layers(shard, plain):
    task, model, theta = plain
    x, y, final = task.x[:100].flatten(1), task.y[:100], theta[-1, SEED]
    layers = model.features(final[None], task.x[:100])
    hidden, answers = layers["hidden0"][0], model.logits(final[None], task.x[:100])[0]
    depth = {"label": np.zeros(100), "answer": np.zeros(100)}
    for k in range(100):
        votes = []
        for h in (x, hidden, answers):
            distance = (h - h[k]).norm(dim=1)
            distance[k] = torch.inf
            votes.append(int(y[distance.argsort()[:30]].bincount(minlength=10).argmax()))
        for name, goal in (("label", int(y[k])), ("answer", int(answers[k].argmax()))):
            depth[name][k] = max([0, *(layer + 1 for layer in range(3) if votes[layer] != goal)])
        centre = hidden[y == y[k]].mean(0)
        assert shard["prototype"][SEED, k] == pytest.approx((hidden[k] - centre).norm().item(), rel=1e-3)
    for name, values in depth.items():
        assert (shard[f"prediction_depth.{name}"][SEED] == values).mean() >= 0.98  # the last bits may tip a vote
    # Of 30 centroids among 100 points most stand in the middle of a few points near them.
    assert (shard["prototype.self"][SEED] < shard["prototype"][SEED]).mean() > 0.9
    nearest = torch.cdist(hidden, hidden).numpy()
    np.fill_diagonal(nearest, np.inf)
    assert (shard["prototype.self"][SEED] <= nearest.min(1) * 3 + 1).all()


def test_robustness_is_the_mean_over_three_draws_of_noise(shard, plain):
    task, model, theta = plain
    x, y, final = task.x[:100], task.y[:100], theta[-1]
    on_input, on_weights = np.zeros((3, 100)), np.zeros((3, 100))
    for draw in range(3):
        noise = torch.randn(x.shape, generator=generator("input-noise", draw))
        shake = torch.randn(final.shape[1], generator=generator("weight-noise", draw, SEED))
        for found, answers in (
            (on_input, lambda s, noise=noise: model.logits(final[SEED, None], x + s * noise)[0].argmax(1)),
            (on_weights, lambda s, shake=shake: model.logits((final * (1 + s * shake))[SEED, None], x)[0].argmax(1)),
        ):
            holds = np.stack([(answers(s) == y).numpy() for s in (0, *scored.STRENGTHS)])
            for k in range(100):
                lost = np.flatnonzero(~holds[:, k])
                found[draw, k] = (0, *scored.STRENGTHS)[lost[0]] if len(lost) else scored.STRENGTHS[-1]
    # The last bits of a network among twenty may tip an answer.
    for name, found in (("input", on_input), ("weights", on_weights)):
        same = np.isclose(shard[f"robustness.{name}"][SEED], found.mean(0), atol=1e-5)
        assert same.mean() >= 0.98
        assert len(np.unique(found.mean(0))) > 4


def test_agreement_is_that_of_groups_of_ten(shard, plain):
    task, model, theta = plain
    p = model.logits(theta[-1], task.x[:100]).softmax(2).double()
    assert shard["agreement"].shape == (2, 100)

    def entropy(q):
        return -(q * q.log2()).sum(1)

    for row, some in enumerate((p[:10], p[10:])):
        pairs = [(i, j) for i in range(10) for j in range(i)]
        parts = [entropy((some[i] + some[j]) / 2) - (entropy(some[i]) + entropy(some[j])) / 2 for i, j in pairs]
        np.testing.assert_allclose(shard["agreement"][row], 1 - sum(parts) / 45, atol=1e-4)


def test_labels_norms_and_accuracies_stand_beside_the_scores(shard, results, plain):
    task, model, theta = plain
    np.testing.assert_array_equal(shard["label"], task.y[:100])
    np.testing.assert_allclose(shard["input_norm"], task.x[:100].flatten(1).norm(dim=1), rtol=1e-5)
    for name, x, y in (("train", task.x, task.y), ("test", task.x_test, task.y_test)):
        right = (model.logits(theta[-1], x).argmax(2) == y).float().mean(1)
        np.testing.assert_allclose(shard[f"{name}_accuracy"], right, atol=1e-3)
        table = results["runs"][results["runs"].network == MAIN]
        np.testing.assert_array_equal(table[f"{name}_accuracy"], shard[f"{name}_accuracy"])


def test_without_probes_there_are_the_scores_of_logits_only(results):
    found = scored.score({CONV: experiment.shards(TINY)[CONV]})[CONV]
    extra = {"el2n.early", "label", "input_norm", "train_accuracy", "test_accuracy"}
    assert set(found) == {*LOGGED, *extra}
    assert {v.dtype for k, v in found.items() if k != "label"} == {np.dtype(np.float32)}


def test_shards_are_joined_in_the_order_of_seeds(own_store, shard):
    halves = experiment.shards(TINY.model_copy(update={"runs_per_shard": 10}))[MAIN]
    assert [config["seeds"] for config in halves] == [list(range(10)), list(range(10, 20))]
    found = scored.score({"a": halves, "b": halves[1:]})
    assert set(found) == {"a", "b"}
    assert set(found["a"]) == set(shard)
    for name in ("el2n.mean", "confidence.last", "train_accuracy", "agreement", "label"):
        np.testing.assert_allclose(found["a"][name], shard[name], atol=2e-3, err_msg=name)
    np.testing.assert_array_equal(found["b"]["el2n.mean"], found["a"]["el2n.mean"][10:])


def test_all_examples_are_scored_where_no_number_is_given():
    (config,) = scored.plan("mnist1d-scores", "mlp-1x8", 2, 2, 8, None, False, "cpu", steps=8)
    found = scored.compute_shard(config)
    assert found["el2n.mean"].shape == (2, 4000)
    assert found["label"].shape == found["input_norm"].shape == (4000,)


# --- networks that did not see everything ----------------------------------------------------------------------------


def held_out(runs=4, ratio=0.3, per_shard=4):
    (base,) = scored.plan("mnist1d-scores", "mlp-1x8", 20, 20, 8, 100, True, "cpu", steps=40)
    return scored.plan_held_out(base, runs, per_shard, ratio)


def test_held_out_shards_are_those_of_their_network_with_other_seeds():
    plans = held_out(runs=5, per_shard=2)
    assert [config["seeds"] for config in plans] == [[50_000, 50_001], [50_002, 50_003], [50_004]]
    assert {key for config in plans for key in config} == {
        "device",
        "setting",
        "source",
        "looks",
        "examples",
        "ratio",
        "seeds",
    }
    assert plans[0]["setting"]["recipe"]["steps"] == 40
    assert (plans[0]["ratio"], plans[0]["examples"], plans[0]["looks"]) == (0.3, 100, 8)


def test_every_network_trains_on_its_own_share_of_all_examples():
    task = data.load("mnist1d")
    for ratio in (0.1, 0.7):
        kept = scored.halves(task, [50_000, 50_001, 50_002], ratio)
        assert kept.shape == (3, 4000)
        np.testing.assert_allclose(kept.double().mean(1), ratio, atol=0.03)
        both = (kept[0] & kept[1]).double().mean()
        assert both == pytest.approx(ratio**2, abs=0.03)
        assert torch.equal(scored.halves(task, [50_002], ratio)[0], kept[2])  # whoever else is there


def test_networks_know_nothing_of_the_examples_they_do_not_train_on(monkeypatch):
    """With other labels and inputs of those examples the same network comes out, to the last bit."""
    task, config, seen_by = data.load("mnist1d"), held_out()[0] | {"seeds": [50_001]}, []
    (kept,) = scored.halves(task, [50_001], 0.3)
    watched = scored.watched

    def look(*given):
        seen_by.append(watched(*given))
        return seen_by[-1]

    def other(name):
        y = torch.where(kept, task.y, (task.y + 1) % 10)
        x = torch.where(kept[:, None, None], task.x, task.x.flip(2))
        return data.replace(task, x=x, y=y)

    monkeypatch.setattr(scored, "watched", look)
    np.testing.assert_array_equal(scored.compute_held_out(config)["trained"][0], kept[:100])
    monkeypatch.setattr(scored.data, "load", other)
    scored.compute_held_out(config)
    before, after = (one["el2n.mean"][0] for one in seen_by)
    seen = kept[:100].numpy()
    np.testing.assert_array_equal(after[seen], before[seen])
    assert (after[~seen] != before[~seen]).all()


def test_held_out_networks_are_those_of_masked_training_alone():
    config = held_out()[0]
    found = scored.compute_held_out(config)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(("trained", "right"), (4, 100))
    setting, task = chosen("mnist1d-scores", 40), data.load("mnist1d")
    model = models.build("mlp-1x8", task.input_shape, task.classes)
    (kept,) = scored.halves(task, [50_002], 0.3)
    run = train(model, data.replace(task, weights=kept.float()), setting.recipe, [50_002])
    answers = model.logits(run.theta, task.x[:100])[0].argmax(1)
    assert (found["right"][2] == (answers == task.y[:100]).numpy()).mean() >= 0.98


def test_held_out_shards_of_every_network_come_back_apart(own_store):
    found = scored.hold_out({"a": held_out(4, 0.3, 2), "b": held_out(2, 0.7)})
    assert {name: [len(one["right"]) for one in shards] for name, shards in found.items()} == {"a": [2, 2], "b": [2]}
    assert np.concatenate([one["trained"] for one in found["a"]]).mean() == pytest.approx(0.3, abs=0.1)
    assert found["b"][0]["trained"].mean() == pytest.approx(0.7, abs=0.1)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"runs": 30}, "runs = 30: give a multiple of 20"),
        ({"runs": 10}, "runs = 10: give a multiple of 20"),
        ({"runs": 0}, "'runs' = 0"),
        ({"runs_per_shard": 0}, "'runs_per_shard' = 0"),
        ({"main": "mnist1d-scores"}, "'mnist1d-scores': give a setting and an architecture, as in mnist1d-scores/mlp"),
        ({"conv": "mnist1d-score/cnn-1x4"}, "unknown setting 'mnist1d-score'; known:"),
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
        experiment.shards(TINY.model_copy(update={"looks": looks}))


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        experiment.shards(TINY.model_copy(update={"device": "cuda"}))


def test_networks_left_out_have_no_claims_and_no_shards():
    params = Params(main=MAIN, conv="", real=REAL)
    assert params.networks == {MAIN: "", REAL: "r"}
    assert set(experiment.shards(params)) == {MAIN, REAL}
    assert TINY.networks == {MAIN: "", CONV: "c", REAL: "r"}


def test_shards_do_not_depend_on_how_many_runs_there_are():
    few = experiment.shards(TINY.model_copy(update={"runs_per_shard": 8}))
    many = experiment.shards(TINY.model_copy(update={"runs_per_shard": 8, "runs": 40, "profile": "other"}))
    for network in TINY.networks:
        assert few[network][:2] == many[network][:2]
        assert [seed for config in many[network] for seed in config["seeds"]] == list(range(40))
    assert json.loads(json.dumps(few)) == few
    assert [few[network][0]["probed"] for network in (MAIN, CONV, REAL)] == [True, False, True]
    assert [few[network][0]["setting"]["model"] for network in (MAIN, CONV, REAL)] == ["mlp-1x8", "cnn-1x4", "mlp-1x16"]
    assert {few[network][0]["setting"]["recipe"]["steps"] for network in few} == {40}


@pytest.mark.parametrize("change", [{"looks": 8}, {"examples": 50}, {"steps": 48}, {"main": "mnist1d-scores/mlp-1x9"}])
def test_shards_hold_all_that_matters(change):
    fresh = [config for configs in experiment.shards(TINY.model_copy(update=change)).values() for config in configs]
    assert fresh[0] != experiment.shards(TINY)[MAIN][0]


def test_larger_shards_are_costlier():
    def cost(setting, model, runs, probed, steps=1000):
        (config,) = scored.plan(setting, model, runs, runs, 8, 100, probed, "cpu", steps)
        return scored.cost(config)

    assert cost("mnist1d-scores", "mlp-1x8", 10, False) == 10
    assert cost("mnist1d-scores", "mlp-1x8", 10, False, 500) == 5
    assert cost("mnist1d-scores", "mlp-1x8", 10, True) == 40
    assert cost("mnist1d-scores", "cnn-1x8", 10, False) == 40
    assert cost("mnist1d-scores", "gru-8", 10, False) == 60
    assert cost("digits-scores", "resnet8-4", 10, False) == 200


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
    tables = experiment._tabulate(arrays())
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
    pairs = experiment._tabulate(found)["pairs"]
    assert pairs.groupby(["score", "averaged"]).size().unstack().to_dict("records") == [{1: 20, 2: 10, 5: 4, 10: 2}] * 5
    for k in AVERAGES:
        some = pairs[(pairs.score == "el2n.mean") & (pairs.averaged == k)]
        assert some.correlation.mean() == pytest.approx(spearman(k / (k + 1)), abs=0.04)
        last = len(some) - 1
        one, other = (found["el2n.mean"][2 * k * last :][part].mean(0) for part in (slice(k), slice(k, 2 * k)))
        assert some.set_index("pair").correlation[last] == pytest.approx(stats.spearmanr(one, other).statistic)


def test_blocks_are_what_they_say():
    found = arrays(noise=0.7, growing=0.3)
    blocks = experiment._tabulate(found)["blocks"]
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
    blocks = experiment._tabulate(arrays(runs=60, examples=1500))["blocks"].groupby("statistic").value.mean()
    assert abs(blocks[["excess 2", "excess 5", "excess 10"]]).max() < 0.02
    assert blocks["median"] < -0.01  # of normal noise the mean is the better average
    assert abs(blocks["noise el2n.early"]) < 0.15


def test_noise_that_grows_with_difficulty_is_seen():
    blocks = experiment._tabulate(arrays(noise=0.3, growing=1.0))["blocks"].groupby("statistic").value.mean()
    assert blocks["noise el2n.early"] > 0.6
    assert blocks["noise el2n.mean"] > 0.6


def test_spread_goes_from_easy_to_hard():
    random = np.random.default_rng(0)
    values = np.arange(80.0) + np.array([[-3.0], [0.0], [3.0]])
    order = random.permutation(80)
    found = experiment._spread("el2n.early", values[:, order])
    assert len(found) == 40
    np.testing.assert_allclose(found["rank"], np.arange(0.0125, 1, 0.025))
    np.testing.assert_allclose(found["mean"], np.arange(0.5, 80, 2))
    edges = np.percentile([-3, -2, 0, 1, 3, 4], [5, 95])
    np.testing.assert_allclose(found.low, np.arange(0, 80, 2) + edges[0])
    np.testing.assert_allclose(found.high, np.arange(0, 80, 2) + edges[1])
    # High accuracies are easy.
    np.testing.assert_allclose(experiment._spread("accuracy.last", values)["mean"], np.arange(0.5, 80, 2)[::-1])


def test_noise_is_binned_by_the_mean():
    mean, spread = np.arange(160.0), np.tile([1.0, 2.0, 3.0, 10.0], 40)
    values = mean + spread * np.array([[-1.0], [0.0], [1.0]])
    order = np.random.default_rng(0).permutation(160)
    found = experiment._noise(values[:, order])
    np.testing.assert_allclose(found["mean"], np.arange(1.5, 160, 4))
    for column, share in (("low", 25), ("middle", 50), ("high", 75)):
        np.testing.assert_allclose(found[column], np.percentile([1, 2, 3, 10], share))


def test_tables_of_every_network_are_whole(results):
    assert set(results) == {"runs", "reliability", "pairs", "blocks", "spread", "noise"}
    for table in results.values():
        assert list(table.network.unique()) == [MAIN, CONV, REAL]
    for name in ("runs", "spread", "noise"):
        assert np.isfinite(results[name].select_dtypes("number")).all(axis=None)
    # A score is undefined only where a run gives all examples the same value.
    lost = results["reliability"][results["reliability"].single.isna()]
    for network, scores in lost.groupby("network").score:
        found = scored.score({network: experiment.shards(TINY)[network]})[network]
        assert all((np.ptp(found[score], axis=1) == 0).any() for score in scores)
    assert len(lost) < 10
    count = results["reliability"].groupby("network").size()
    assert count[CONV] == len(LOGGED) + 1
    assert count[MAIN] == count[REAL] == len(SCORES) - len({"agreement", "c_score", "memorization"})
    assert not results["pairs"].duplicated(["network", "score", "averaged", "pair"]).any()
    assert (results["runs"].groupby("network").size() == 20).all()


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
    return Tables(
        pairs=pd.DataFrame(pairs, columns=["score", "averaged", "pair", "correlation", "network"]).sample(frac=1),
        blocks=pd.DataFrame(blocks, columns=["statistic", "block", "value", "network"]).sample(frac=1),
    )


def judge(tables, params=None):
    return verdicts(experiment.make_claims(params or Params(main=MAIN), tables))


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
    assert judge(world()) == dict.fromkeys(experiment.MARGINS, "supported")


@pytest.mark.parametrize(("id", "change"), CHANGES)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(world(**change))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_averages_that_are_worse_contradict_both_claims_on_them():
    found = judge(world(gain=-0.05))
    assert {id for id, verdict in found.items() if verdict == "contradicted"} == {"D02", "D02b"}


def test_estimates_are_what_was_planted():
    made = {c.id: c for c in experiment.make_claims(Params(main=MAIN), world())}
    planted = {"D01": 0.6, "D01b": -0.2, "D02": 0.25, "D02b": 0.25, "D03": 0, "D03b": 0, "D04": 0.5, "D05": 0.8}
    planted |= {"D05b": 0.7, "D18": -0.01}
    assert {id: c.estimate for id, c in made.items()} == pytest.approx(planted, abs=0.005)
    assert {c.n for c in made.values()} == {8}
    assert {c.notebook for c in made.values()} == {"10_noise"}
    assert {c.source for c in made.values()} == {scored.PAPER}


def test_the_claims_of_every_network_rest_on_its_own_numbers():
    params = Params(main=MAIN, conv=CONV, real=REAL)
    tables = [world([MAIN]), world([CONV], icc=0.9), world([REAL], early=0.1)]
    together = Tables({name: pd.concat([one[name] for one in tables]) for name in tables[0]})
    found = judge(together, params)
    assert list(found) == [f"{id}{suffix}" for suffix in ("", "c", "r") for id in experiment.MARGINS]
    assert {id for id, verdict in found.items() if verdict != "supported"} == {"D04c", "D05r"}
    statements = {c.id: c.statement for c in experiment.make_claims(params, together)}
    assert statements["D04c"] == f"{statements['D04']} (cnn-1x4 on mnist1d)"
    assert statements["D04r"] == f"{statements['D04']} (mlp-1x16 on digits)"


def test_too_little_and_lost_numbers_leave_claims_open():
    tables = world()
    one = Tables(pairs=tables["pairs"].query("pair == 0"), blocks=tables["blocks"].query("block == 0"))
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
    made = experiment.make_claims(TINY, results)
    assert [c.id for c in made] == [f"{id}{suffix}" for suffix in ("", "c", "r") for id in experiment.MARGINS]
    assert {c.id: c.n for c in made[:10]} == {"D03": 1, "D03b": 1, "D04": 2, "D05": 2, "D05b": 2, "D18": 2} | (
        dict.fromkeys(("D01", "D01b", "D02", "D02b"), 10)
    )


def test_the_laptop_can_pair_what_its_claims_need():
    params, _ = notebooks.profile("10_noise", "laptop")
    assert params.runs // experiment.BLOCK >= 3
    assert set(params.networks.values()) == {"", "c", "r"}


# --- figures ---------------------------------------------------------------------------------------------------------

DRAWN = ((figures.spread, len(SHOWN)), (figures.single, 2), (figures.averages, 0), (figures.noise, 1))


@pytest.mark.parametrize("networks", [(MAIN,), (MAIN, CONV, REAL)])
@pytest.mark.parametrize(("draw", "panels"), DRAWN)
def test_figures_are_drawn_of_one_network_and_of_several(results, draw, panels, networks):
    tables = Tables({name: table[table.network.isin(networks)] for name, table in results.items()})
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
    assert {figures.network(name) for name in networks} <= set(texts)
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
