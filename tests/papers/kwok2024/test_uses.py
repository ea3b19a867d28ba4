"""Notebook 14: a block measured again, rules that keep what they name, people made up, claims that go either way."""

import json
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from butterfly import data, models
from butterfly.data import Data, human
from butterfly.data import cifar10 as cifar10_file
from butterfly.evaluate import evaluate
from butterfly.papers.kwok2024 import score_runs, uses
from butterfly.papers.kwok2024 import uses_figures as figures
from butterfly.papers.kwok2024.uses import AFRESH, RULES, SCORE, Params, measure_block, measure_images, study
from butterfly.score import LOGGED, ScoreLogger, difficulty
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import Bench, plain
from butterfly.train import Observer, train
from tests.conftest import verdicts

MAIN, REAL = "digits-scores", "mnist1d-scores"
TINY = Params(
    setting=MAIN, real=REAL, families=("mlp-1x8", "cnn-1x4"), other="mlp-1x4", steps=20, looks=2, blocks=2, runs=3,
    seeds=2, fractions=(0.1, 0.5), noisy_runs=2, held_out=4,
)  # fmt: skip
BLOCKS, ASKED = ["D19", "X42", "X43", "X44", "X45", "X46"], ["D16", "D16b", "D17", "X47"]
NEAR = 0.004  # a test example or two of 500 may lie on a border


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def configs(params, setting=MAIN):
    """The configurations of the blocks of a setting."""
    return [shard.config for shard in study.shards(params) if shard.of == setting]


@pytest.fixture(scope="module")
def block():
    """The second block of the first setting, its configuration, and every training of it: (model, data, seeds)."""
    config = configs(TINY)[1]
    seen = []

    def keep(model, task, recipe, seeds, **others):
        seen.append((model, task, list(seeds)))
        return train(model, task, recipe, seeds, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uses, "train", keep)
        patch.setattr(score_runs, "train", keep)
        found = measure_block(Bench(config))
    return config, found, seen


def path(task, name, seed):
    """What a network trained alone answers to its training examples after updates 10 and 20: scores of a look each."""
    recipe = plain(MAIN, 20).recipe
    model = models.build(name, task.input_shape, task.classes)
    looks = [Observer("look", lambda now: now.theta[0].clone(), frozenset({10, 20}))]
    if task.weights is not None:
        task = replace(task, weights=task.weights[None])
    run = train(model, task, recipe, [seed], observers=looks)
    answers = [model.logits(theta[None], task.x)[0] for _, theta in run.recorded("look")]
    truth = torch.eye(task.classes)[task.y]
    loss = torch.stack([torch.nn.functional.cross_entropy(a, task.y, reduction="none") for a in answers])
    return {
        "el2n.mean": sum((a.softmax(1) - truth).norm(dim=1) for a in answers).numpy() / 2,
        "loss.mean": loss.mean(0).numpy(),
        "loss.last": loss[-1].numpy(),
        "right": (answers[-1].argmax(1) == task.y).numpy(),
    }


@pytest.fixture(scope="module")
def ranks():
    """Ranks by EL2N `[families, runs, N]` of the second block, each network trained alone."""
    task = data.load("digits")
    seeds = {"mlp-1x8": (100, 101, 102), "cnn-1x4": (1100, 1101, 1102)}
    every = [[path(task, name, seed)["el2n.mean"] for seed in some] for name, some in seeds.items()]
    return np.array([[(stats.rankdata(one) - 1) / (len(one) - 1) for one in some] for some in every])


# --- who is trained --------------------------------------------------------------------------------------------------


def test_blocks_share_no_seeds(monkeypatch):
    """Nor do the parts of a block that must not know one another: those that score, and those that are held out."""
    seen = {}

    def stop(task, model, recipe, seeds, looks):
        seen.setdefault(here, []).append(set(seeds))
        values = np.random.default_rng(seeds).random((len(seeds), len(task.y)))
        return dict.fromkeys(LOGGED, values)

    def stop_training(model, task, recipe, seeds):
        seen[here].append(set(seeds))
        raise StopIteration

    monkeypatch.setattr(uses, "watched", stop)
    monkeypatch.setattr(uses, "train", stop_training)
    monkeypatch.setattr(uses, "roc_auc_score", lambda truth, values: 0.5)
    for here in range(3):
        bench = Bench(configs(TINY)[0] | {"block": here})
        _, ranks = uses._scores(bench)
        with pytest.raises(StopIteration):
            uses._pruned(bench, ranks)
        uses._agreement(bench)
        uses._noisy(bench)
    for here, sets in seen.items():
        assert [len(some) for some in sets] == [3, 3, 2, 4, 2]
        fresh, used = sets[2] | sets[4], sets[0] | sets[1] | sets[3]
        assert len(used) == 10
        assert not fresh & used
        assert min(fresh) == AFRESH + 100 * here
    first, second, third = (set().union(*sets) for sets in seen.values())
    assert not first & second
    assert not first & third
    assert not second & third


def test_a_block_trains_the_networks_that_it_should(block):
    _, _, seen = block
    whole = data.load("digits").y
    scoring, choosing, (noisy, held) = seen[:2], seen[2:-2], seen[-2:]
    assert [seeds for _, _, seeds in scoring] == [[100, 101, 102], [1100, 1101, 1102]]
    assert all(torch.equal(task.y, whole) for _, task, _ in (*scoring, held))
    assert len(choosing) == 2 * (len(RULES) * 2 + 1)
    assert {tuple(seeds) for _, _, seeds in choosing} == {(AFRESH + 100, AFRESH + 101)}
    assert [model.layout.size for model, _, _ in choosing[:2]] == [
        models.build(name, (1, 8, 8), 10).layout.size for name in ("mlp-1x8", "mlp-1x4")
    ]
    assert noisy[2] == [AFRESH + 100, AFRESH + 101]
    assert (noisy[1].y != whole).sum() == 130
    assert held[2] == [51_000, 51_001, 51_002, 51_003]
    assert torch.equal(held[1].weights, score_runs.halves(data.load("digits"), held[2], 0.5).float())
    assert ((held[1].weights.mean(1) - 0.5).abs() < 0.06).all()


# --- a block measured again ------------------------------------------------------------------------------------------


def test_single_is_the_correlation_between_runs_of_the_first_network(block):
    _, found, _ = block
    every = [path(data.load("digits"), "mlp-1x8", seed) for seed in (100, 101, 102)]
    for name in ("el2n.mean", "loss.mean", "loss.last"):
        pairs = [stats.spearmanr(every[i][name], every[j][name]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
        assert found["single"][LOGGED.index(name)] == pytest.approx(np.mean(pairs), abs=1e-3)
    assert found["single"].shape == (len(LOGGED),)


def test_each_rule_keeps_the_examples_that_it_names(block, ranks):
    _, _, seen = block
    hardness = ranks[0].mean(0)
    means = ranks.mean(1)
    between = 3 * ((means - means.mean(0)) ** 2).sum(0)
    eta = between / ((ranks - ranks.mean((0, 1))) ** 2).sum((0, 1))
    kept = [[set(seen[2 + 2 * (2 * r + f)][1].ids.tolist()) for f in range(2)] for r in range(len(RULES))]
    for by_fraction, values in zip(kept, (hardness, -hardness, eta, None), strict=False):
        assert [len(some) for some in by_fraction] == [130, 648]  # a tenth and a half of 1,297
        assert by_fraction[0] < by_fraction[1]
        if values is not None:
            for some in by_fraction:
                least = set(np.argsort(values, kind="stable")[: len(some)].tolist())
                assert len(some & least) >= 0.99 * len(some)  # ranks of networks trained alone differ by rounding
    assert RULES == ("easy", "hard", "insensitive", "random")
    assert not kept[0][0] & kept[1][0]
    for place in range(2, 2 + 2 * 8):  # examples keep their order and their labels
        task = seen[place][1]
        assert (task.ids.diff() > 0).all()
        assert torch.equal(task.y, data.load("digits").y[task.ids])
        assert torch.equal(task.x_test, data.load("digits").x_test)


def test_rules_keep_what_is_planted(monkeypatch):
    """Ranks made up: by the first family alone who is hard, by all who is sensitive; chance differs between blocks."""
    kept = {}

    def count(model, task, recipe, seeds):
        kept[here].append(task.ids.tolist())
        return train(model, task, recipe.model_copy(update={"steps": 1}), seeds)

    monkeypatch.setattr(uses, "train", count)
    random = np.random.default_rng(0)
    signal = np.linspace(0, 1, 1297)[np.random.default_rng(1).permutation(1297)]
    sensitive = np.arange(1297) % 2 == 0
    first = signal + 1e-3 * random.normal(size=(3, 1297))
    second = first[::-1] + np.where(sensitive, 0.3, 0.0)
    config = configs(TINY)[0] | {"other": "", "repeats": 1}
    for here in (0, 1):
        kept[here] = []
        uses._pruned(Bench(config | {"block": here}), np.stack([first, second]))
    order = np.argsort(first.mean(0))
    assert kept[0][0] == sorted(order[:130].tolist())
    assert kept[0][1] == sorted(order[:648].tolist())
    assert kept[0][2] == sorted(order[::-1][:130].tolist())
    assert not sensitive[kept[0][4]].any()
    assert not sensitive[kept[0][5]].any()  # half of the examples, and 648 of 1,297 are not
    assert kept[0][:6] == kept[1][:6]
    assert abs(len(set(kept[0][7]) & set(kept[1][7])) - 324) < 60
    assert abs(np.mean(kept[0][7]) - 648) < 50
    assert kept[0][8] == kept[1][8] == list(range(1297))


def test_accuracy_is_that_of_plain_training_on_the_subset(block):
    config, found, seen = block
    task, recipe = data.load("digits"), plain(MAIN, 20).recipe
    assert found["accuracy"].shape == (4, 2, 2, 2)
    assert found["whole"].shape == (2, 2)
    cells = [found["accuracy"][r, f] for r in range(4) for f in range(2)] + [found["whole"]]
    for cell, accuracies in enumerate(cells):
        rows = seen[2 + 2 * cell][1].ids
        some = replace(task, x=task.x[rows], y=task.y[rows], ids=rows)
        for place, name in enumerate(("mlp-1x8", "mlp-1x4")):
            assert torch.equal(seen[2 + 2 * cell + place][1].ids, rows)
            model = models.build(name, task.input_shape, 10)
            for s in (0, 1):
                theta = train(model, some, recipe, [AFRESH + 100 + s]).theta
                right = (model.logits(theta, task.x_test)[0].argmax(1) == task.y_test).double().mean().item()
                assert accuracies[place, s] == pytest.approx(right, abs=NEAR)
                assert 1 - evaluate(model, theta, task.x_test, task.y_test)[1].item() == pytest.approx(right)
    assert len(rows) == 1297
    assert np.ptp(found["accuracy"]) > 0.1
    assert config["block"] == 1


def test_moved_labels_are_found_as_well_as_ranks_say(block):
    """The area is the share of pairs of a moved and another label in which the moved one scores higher; ties half."""
    _, found, seen = block
    noisy = seen[-2][1]
    moved = (noisy.y != data.load("digits").y).numpy()
    every = [path(noisy, "mlp-1x8", seed) for seed in (AFRESH + 100, AFRESH + 101)]

    def area(values):
        return stats.mannwhitneyu(values[moved], values[~moved]).statistic / (moved.sum() * (~moved).sum())

    for name in ("el2n.mean", "loss.mean", "loss.last"):
        place = LOGGED.index(name)
        assert found["found"][place] == pytest.approx(area((every[0][name] + every[1][name]) / 2), abs=2e-3)
        assert found["found_one"][place] == pytest.approx(np.mean([area(one[name]) for one in every]), abs=2e-3)


def test_moved_labels_are_found_by_a_score_that_knows_them_and_not_by_chance(monkeypatch):
    """Each score in the direction that it calls harder."""
    task, config = data.load("digits"), configs(TINY)[1]

    def made(noisy, model, recipe, seeds, looks):
        moved = (noisy.y != task.y).float().numpy()
        random = np.random.default_rng(0)
        found = {name: random.random((2, len(moved))) for name in LOGGED}
        sure = np.stack([moved + 0.1 * random.random(len(moved)), random.random(len(moved))])  # one run knows, one not
        return found | {"el2n.mean": difficulty("el2n.mean", sure), "confidence.mean": -sure, "loss.last": -sure[:1]}

    monkeypatch.setattr(uses, "watched", made)
    found = uses._noisy(Bench(config))
    place = {name: k for k, name in enumerate(LOGGED)}
    one = (found["found_one"][place["el2n.mean"]], found["found_one"][place["confidence.mean"]])
    assert one == pytest.approx((0.75, 0.75), abs=0.02)
    assert found["found"][place["el2n.mean"]] == found["found"][place["confidence.mean"]] > 0.95
    assert found["found"][place["loss.last"]] == found["found_one"][place["loss.last"]] == 0.0
    others = [values for name, values in zip(LOGGED, found["found"], strict=True) if name.startswith("margin")]
    assert np.mean(others) == pytest.approx(0.5, abs=0.03)
    assert max(others) < 0.6


def test_other_blocks_move_other_labels():
    task = data.load("digits")
    seen = []

    def look(noisy, model, recipe, seeds, looks):
        seen.append(noisy.y != task.y)
        raise StopIteration

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uses, "watched", look)
        for noise in (0.1, 0.3):
            for number in (0, 1):
                with pytest.raises(StopIteration):
                    uses._noisy(Bench(configs(TINY)[number] | {"noise": noise}))
    assert [int(moved.sum()) for moved in seen] == [130, 130, 389, 389]
    assert (seen[0] & seen[1]).sum() < 40


def test_agreement_is_with_networks_that_were_not_scored(block):
    """C-scores of two networks against EL2N of the two others, over those that trained on an example, and did not."""
    _, found, _ = block
    task = data.load("digits")
    seeds = (51_000, 51_001, 51_002, 51_003)
    trained = [(torch.rand(1297, generator=generator("held-out", seed, 0.5)) < 0.5) for seed in seeds]
    every = [path(replace(task, weights=w.float()), "mlp-1x8", s) for w, s in zip(trained, seeds, strict=True)]
    trained = [w.numpy() for w in trained]
    expected = []
    for whom in (True, False):
        pairs = []
        for i in range(1297):
            wrong = [1.0 - every[k]["right"][i] for k in (0, 1) if not trained[k][i]]
            score = [every[k]["el2n.mean"][i] for k in (2, 3) if trained[k][i] == whom]
            if wrong and score:
                pairs.append((np.mean(score), np.mean(wrong)))
        expected.append(stats.spearmanr(np.array(pairs)).statistic)
    assert found["agreement"] == pytest.approx(expected, abs=5e-3)
    assert min(found["agreement"]) > 0.1


def test_scores_are_watched_at_looks_spread_evenly(task, model):
    seen = []

    class Spy(ScoreLogger):
        def watch(self, model, theta, x):
            seen.append(theta.clone())
            super().watch(model, theta, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_runs, "ScoreLogger", Spy)
        recipe = plain(MAIN, 20).recipe
        found = score_runs.watched(task, model, recipe, [3, 5], 4)
    assert len(seen) == 4
    assert torch.equal(seen[-1], train(model, task, recipe, [3, 5]).theta)
    assert set(found) == set(LOGGED)
    assert {values.shape for values in found.values()} == {(2, 96)}


# --- tables ----------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    pruned, scores = results["pruned"], results["scores"]
    keys = ["setting", "model", "block", "seed", "rule", "fraction"]
    assert not pruned.duplicated(keys).any()
    assert len(pruned) == 2 * 2 * 2 * 2 * (4 * 2 + 1)
    assert set(pruned[pruned.rule == "all"].fraction) == {1.0}
    assert pruned.accuracy.between(0, 1).all()
    assert len(scores) == 2 * 2 * len(LOGGED)
    assert len(results["agreement"]) == 4
    assert results["human"].empty
    assert results["deciles"].empty
    assert np.isfinite(scores[["single", "found", "found_one"]]).all(axis=None)


def test_tables_hold_what_the_blocks_hold(results, block):
    _, found, _ = block
    pruned = results["pruned"].query("setting == @MAIN and block == 1").set_index(["rule", "fraction", "model", "seed"])
    for r, rule in enumerate(RULES):
        for f, fraction in enumerate((0.1, 0.5)):
            for m, name in enumerate(("mlp-1x8", "mlp-1x4")):
                for s in (0, 1):
                    assert pruned.accuracy[rule, fraction, name, s] == found["accuracy"][r, f, m, s]
                    assert pruned.accuracy["all", 1.0, name, s] == found["whole"][m, s]
    scores = results["scores"].query("setting == @MAIN and block == 1").set_index("score")
    for column in ("single", "found", "found_one"):
        assert scores[column].tolist() == found[column].tolist()
    assert scores.index.tolist() == list(LOGGED)
    (row,) = results["agreement"].query("setting == @MAIN and block == 1").to_dict("records")
    assert (row["trained"], row["held_out"]) == tuple(found["agreement"])


def test_advice_has_a_line_a_score(results):
    advice = results["advice"]
    assert set(advice.index) == set(LOGGED)
    assert list(advice) == [
        f"{what}, {where}" for where in ("digits", "mnist1d") for what in ("runs for 0.9", "finds wrong labels")
    ]
    means = results["scores"].groupby(["setting", "score"])[["single", "found_one"]].mean()
    for setting, where in ((MAIN, "digits"), (REAL, "mnist1d")):
        single, area = means.loc[(setting, SCORE)]
        assert advice.loc[SCORE, f"finds wrong labels, {where}"] == pytest.approx(area)
        runs = advice.loc[SCORE, f"runs for 0.9, {where}"]
        assert runs * single / (1 + (runs - 1) * single) == pytest.approx(0.9)
    assert advice["finds wrong labels, digits"].is_monotonic_decreasing


# --- people ----------------------------------------------------------------------------------------------------------

IMAGES = 160
PEOPLE = TINY.model_copy(update={"human_images": IMAGES, "human_steps": 8, "human_runs": 2, "real": ""})


def pictures(name):
    """A made-up CIFAR-10 of small pictures: 200 to train on, and as many to test as people voted on."""
    random = generator("test-pictures")
    centres = torch.randn(10, 3, 2, 2, generator=random)
    y = torch.arange(10_200) % 10
    x = centres[y] + 0.7 * torch.randn(10_200, 3, 2, 2, generator=random)
    return Data("cifar10", x[:200], y[:200], x[200:], y[200:], 10, torch.arange(200), source={"made": "up"})


@pytest.fixture
def cifar10(monkeypatch):
    monkeypatch.setattr(cifar10_file, "load", pictures)
    monkeypatch.setattr(cifar10_file, "provenance", lambda name: {"made": "up"})


@pytest.fixture
def votes(tmp_path, monkeypatch):
    """Made-up labels of people in BUTTERFLY_DATA: how many of three were wrong, and counts of about 50 votes."""
    random = np.random.default_rng(0)
    clean = np.arange(50_000) % 10
    wrong = random.integers(0, 4, 50_000)
    noisy = {f"random_label{k + 1}": np.where(wrong > k, (clean + 1) % 10, clean) for k in range(3)}
    sure = random.random(10_000)
    odds = np.full((10_000, 10), 0.1) * (1 - sure[:, None])
    odds[:, 0] += sure
    (tmp_path / "human").mkdir()
    np.savez(tmp_path / "human" / "cifar10n_train_labels.npz", clean_label=clean, **noisy)
    np.save(tmp_path / "human" / "cifar10h_test_counts.npy", random.multinomial(50, odds))
    monkeypatch.setenv("BUTTERFLY_DATA", str(tmp_path))
    monkeypatch.setattr(uses, "SPLITS", 2)
    return wrong, random.multinomial(50, odds)


def asked(params):
    """The configurations of the runs on CIFAR-10."""
    return [shard.config for shard in study.shards(params) if shard.compute is measure_images]


def test_people_are_asked_where_their_labels_are(cifar10, votes, tmp_path):
    plans = asked(PEOPLE)
    assert [config["seeds"] for config in plans] == [[0, 1]]
    six = asked(PEOPLE.model_copy(update={"human_runs": 6}))
    assert [config["seeds"] for config in six] == [[0, 1, 2, 3], [4, 5]]
    assert {config["images"] for config in plans} == {IMAGES}
    assert json.loads(json.dumps(plans)) == plans
    assert asked(PEOPLE.model_copy(update={"human_images": 0})) == []
    file = tmp_path / "human" / "cifar10h_test_counts.npy"
    file.unlink()
    assert asked(PEOPLE) == []


def test_networks_are_scored_on_images_that_they_trained_on_and_on_test_images(cifar10):
    """One run measured again."""
    setting = plain("cifar10-scores", 8)
    config = {"device": "cpu", "images": IMAGES, "looks": 2, "seeds": [1], "source": {"made": "up"}}
    found = measure_images(Bench(config | {"setting": setting.identity}))
    whole = pictures("cifar10")
    some = replace(whole, x=whole.x[:IMAGES], y=whole.y[:IMAGES], ids=whole.ids[:IMAGES])
    model = models.build("mlp-2x128", (3, 2, 2), 10)
    look = Observer("look", lambda now: now.theta.clone(), frozenset({4, 8}))
    thetas = [theta for _, theta in train(model, some, setting.recipe, [1], observers=[look]).recorded("look")]
    for name, x, y in (("train", some.x, some.y), ("test", whole.x_test, whole.y_test)):
        distance = [(model.logits(theta, x)[0].softmax(1) - torch.eye(10)[y]).norm(dim=1) for theta in thetas]
        np.testing.assert_allclose(found[name][0], sum(distance) / 2, atol=1e-5)
    assert found["label"].tolist() == some.y.tolist()
    right = (model.logits(thetas[-1], whole.x_test)[0].argmax(1) == whole.y_test).double().mean().item()
    assert found["accuracy"] == pytest.approx([right])


def made_up(wrong, entropy, seed=0):
    """A run whose scores are exactly what people say, with little noise."""
    random = np.random.default_rng(seed)
    return {
        "train": wrong[None, :IMAGES] + 0.01 * random.random((1, IMAGES)),
        "test": entropy[None] + 0.0 * random.random((1, 10_000)),
        "accuracy": np.array([0.5]),
        "label": np.arange(IMAGES) % 10,
    }


def test_what_people_say_is_compared_run_by_run(votes):
    wrong, _ = votes
    counts = human.vote_counts()
    share = counts / counts.sum(1, keepdims=True)
    entropy = -np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0).sum(1)
    np.testing.assert_allclose(uses._entropy(counts), entropy, atol=1e-12)
    known, contrary = made_up(wrong, entropy), made_up(-wrong, -entropy, 1)
    tables = uses._people(PEOPLE, [known, contrary])
    first, second = tables["human"].to_dict("records")
    assert first["votes"] == pytest.approx(stats.spearmanr(known["train"][0], wrong[:IMAGES]).statistic)
    within = [stats.spearmanr(known["train"][0, k::10], wrong[:IMAGES][k::10]).statistic for k in range(10)]
    assert first["within"] == pytest.approx(np.mean(within))
    assert (first["auroc"], first["positive"], first["entropy"]) == pytest.approx((1, 1, 1))
    assert (second["auroc"], second["positive"], second["entropy"]) == pytest.approx((0, 0, -1))
    assert second["votes"] < -0.9
    mixed = made_up(wrong, entropy) | {"train": np.array([0, 1, 3, 2])[wrong[None, :IMAGES]]}  # two wrong: hardest
    counted = np.bincount(wrong[:IMAGES], minlength=4)
    area = uses._people(PEOPLE, [mixed])["human"].auroc[0]
    assert area == pytest.approx(counted[:2].sum() / counted[:3].sum())
    assert (first["run"], second["run"], first["accuracy"]) == (0, 1, 0.5)
    deciles = tables["deciles"]
    assert deciles.groupby("run").decile.agg(list).to_dict() == {run: list(range(1, 11)) for run in (0, 1)}
    rising = deciles[deciles.run == 0].wrong.to_numpy()
    assert (rising[0], rising[-1]) == (0.0, 1.0)
    assert (np.diff(rising) >= 0).all()
    assert rising.mean() == pytest.approx(wrong[:IMAGES].mean() / 3)
    assert (np.diff(deciles[deciles.run == 1].wrong) <= 0).all()


def test_the_ceiling_is_that_of_a_score_that_knows_how_unsure_people_are(votes):
    """Two crowds of as many people agree as well as the reliability says."""
    _, another = votes
    counts = human.vote_counts()
    reliability = uses._reliability(counts)
    agree = stats.spearmanr(uses._entropy(counts), uses._entropy(another)).statistic
    assert reliability == pytest.approx(agree, abs=0.02)
    assert uses._reliability(counts[:500]) == uses._reliability(counts[:500])
    ceiling = uses._people(PEOPLE, [made_up(votes[0], uses._entropy(counts))])["human"].ceiling
    assert ceiling.tolist() == pytest.approx([reliability**0.5])


def test_a_run_with_people_has_their_tables_and_claims(cifar10, votes, results):
    """Blocks are those of the other tests; images are scored afresh."""
    tables = study.run(PEOPLE)
    for name in ("pruned", "scores", "agreement"):
        pd.testing.assert_frame_equal(tables[name], results.at("setting", MAIN)[name])
    assert len(tables["human"]) == 2
    assert np.isfinite(tables["human"]).all(axis=None)
    made = {c.id: c for c in study.judge(PEOPLE, tables)}
    assert list(made) == [*BLOCKS, *ASKED]
    assert {made[id].n for id in ASKED} == {2}


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'"),
        ({"real": "digit"}, "unknown setting 'digit'"),
        ({"families": ["mlp-1x8"]}, "give two or more architectures"),
        ({"families": ["mlp-1x8", "cmm-1x4"]}, "cmm-1x4"),
        ({"families": ["mlp-1x8", "resnet8-16"]}, "resnet8-16"),
        ({"other": "resnet8-16"}, "resnet8-16"),
        ({"fractions": [0.5, 0.25]}, "give rising shares between 0 and 1"),
        ({"fractions": [0.5, 1.0]}, "give rising shares between 0 and 1"),
        ({"fractions": [0.0, 0.5]}, "give rising shares between 0 and 1"),
        ({"fractions": [0.5, 0.5]}, "give rising shares between 0 and 1"),
        ({"noise": 0.0}, "'noise' = 0.0"),
        ({"noise": 0.5}, "'noise' = 0.5"),
        ({"blocks": 1}, "'blocks' = 1"),
        ({"runs": 1}, "'runs' = 1"),
        ({"seeds": 0}, "'seeds' = 0"),
        ({"steps": 0}, "'steps' = 0"),
        ({"looks": 0}, "'looks' = 0"),
        ({"noisy_runs": 0}, "'noisy_runs' = 0"),
        ({"held_out": 3}, "'held_out' = 3"),
        ({"human_images": -1}, "'human_images' = -1"),
        ({"human_runs": 1}, "'human_runs' = 1"),
        ({"human_images": 50_001}, "'human_images' = 50001"),
        ({"human_steps": 0}, "'human_steps' = 0"),
        ({"human_setting": "mnist1d"}, "people judged CIFAR-10"),
        ({"blocks": 11}, "'blocks' = 11"),
        ({"held_out": 1001}, "'held_out' = 1001"),
        ({"real": "mnist1d-scores"}, "give the first, and none twice"),
        ({"fraction": [0.5]}, "did you mean 'fractions'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        study.shards(TINY.model_copy(update={"device": "cuda"}))


def test_shards_hold_nothing_that_does_not_matter(monkeypatch):
    monkeypatch.delenv("BUTTERFLY_DATA", raising=False)
    few = study.shards(TINY.model_copy(update={"real": ""}))
    many = study.shards(TINY.model_copy(update={"profile": "other", "blocks": 3, "human_images": 10}))
    assert [shard.of for shard in few] == [MAIN] * 2
    assert [shard.of for shard in many] == [MAIN] * 3 + [REAL] * 3
    assert few == many[:2]
    assert [shard.config["block"] for shard in many[3:]] == [0, 1, 2]
    assert json.loads(json.dumps([shard.config for shard in few])) == [shard.config for shard in few]


def test_the_main_setting_alone_follows_another_recipe_and_other_data():
    own = TINY.changed(recipe={"lr": 0.2}, data_set="mnist1d")
    assert {(c["setting"]["data"], c["setting"]["recipe"]["lr"]) for c in configs(own)} == {("mnist1d", 0.2)}
    assert configs(own, REAL) == configs(TINY, REAL)
    with pytest.raises(ParameterError, match="resnet8-16"):
        TINY.changed(other="resnet8-16", data_set="mnist1d", real="")


@pytest.mark.parametrize(
    "change",
    [
        {"families": ("mlp-1x4", "cnn-1x4")},
        {"other": ""},
        {"looks": 4},
        {"runs": 4},
        {"seeds": 3},
        {"fractions": (0.5,)},
        {"noise": 0.2},
        {"noisy_runs": 3},
        {"held_out": 6},
        {"steps": 30},
    ],
)
def test_shards_hold_all_that_matters(change):
    changed = TINY.model_copy(update=change)
    for name in (MAIN, REAL):
        assert all(a != b for a, b in zip(configs(TINY, name), configs(changed, name), strict=True))


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

NAMES = ("first-net", "second-net")
HERE = Params.model_construct(
    setting=MAIN, real="", families=NAMES, other="other-net", fractions=(0.2, 0.5, 0.8), noisy_runs=2, human_images=100
)
BOTH = HERE.model_copy(update={"real": REAL})


def world(
    agreement=0.0, hard_many=0.02, hard_few=-0.05, insensitive=0.01, found=0.95, mean=0.03, votes=0.3, auroc=0.8,
    within=0.2, entropy=0.4, settings=(MAIN,), people=True,
):  # fmt: skip
    """Six blocks in each setting, and six runs against what people say."""
    random = np.random.default_rng(0)
    near = lambda value: value + 1e-3 * random.uniform(-1, 1)  # noqa: E731
    pruned, scores, together = [], [], []
    for setting in settings:
        for block in range(6):
            about = {"setting": setting, "block": block}
            for model in ("first-net", "other-net"):
                for fraction in (0.2, 0.5, 0.8):
                    base = 0.5 + fraction / 4 + block / 50
                    gains = {
                        "random": 0.0,
                        "easy": -0.3,
                        "hard": {0.2: hard_few, 0.5: -0.2, 0.8: hard_many}[fraction] if model == "first-net" else -0.1,
                        "insensitive": insensitive if (model, fraction) == ("other-net", 0.2) else -0.1,
                    }
                    pruned += [
                        {**about, "model": model, "fraction": fraction, "rule": rule, "seed": seed,
                         "accuracy": near(base + gain + (0.1 if seed else -0.1))}
                        for rule, gain in gains.items() for seed in (0, 1)
                    ]  # fmt: skip
                pruned.append({**about, "model": model, "fraction": 1.0, "rule": "all", "seed": 0, "accuracy": 0.9})
            areas = {name: (0.5, 0.5) for name in LOGGED}
            areas |= {SCORE: (found, 0.4), "loss.mean": (0.3, 0.8 + mean), "loss.last": (0.6, 0.8)}
            scores += [
                {**about, "score": name, "single": 0.5, "found": near(area), "found_one": near(one)}
                for name, (area, one) in areas.items()
            ]
            together.append({**about, "trained": near(0.6 + agreement), "held_out": near(0.6)})
    human = [
        {"run": run, "votes": near(votes), "auroc": near(auroc), "within": near(within), "entropy": near(entropy),
         "positive": 1.0, "ceiling": 0.8, "accuracy": 0.5}
        for run in range(6)
    ]  # fmt: skip
    columns = ["run", "votes", "auroc", "within", "positive", "entropy", "ceiling", "accuracy"]
    made = {"pruned": pruned, "scores": scores, "agreement": together}
    tables = {name: pd.DataFrame(rows).sample(frac=1, random_state=0) for name, rows in made.items()}
    return tables | {"human": pd.DataFrame(human if people else [], columns=columns), "deciles": pd.DataFrame()}


def judge(tables):
    return verdicts(study.judge(HERE, tables))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world()) == dict.fromkeys([*BLOCKS, *ASKED], "supported")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("D16", {"votes": -0.1}),
        ("D16b", {"auroc": 0.55}),
        ("D17", {"within": -0.1}),
        ("X47", {"entropy": 0.1}),
        ("D19", {"agreement": -0.1}),
        ("X42", {"hard_many": -0.02}),
        ("X43", {"hard_few": 0.02}),
        ("X44", {"insensitive": -0.02}),
        ("X45", {"found": 0.8}),
        ("X46", {"mean": -0.03}),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(world(**change))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_estimates_are_what_was_planted():
    made = {c.id: c for c in study.judge(HERE, world())}
    planted = {"D16": 0.3, "D16b": 0.8, "D17": 0.2, "X47": 0.5, "D19": 0, "X42": 2, "X43": -5, "X44": 1, "X45": 0.95}
    assert {id: c.estimate for id, c in made.items()} == pytest.approx(planted | {"X46": 0.03}, rel=0.01, abs=0.1)
    assert made["X46"].estimate == pytest.approx(0.03, abs=2e-3)
    assert {c.n for c in made.values()} == {6}
    assert {c.notebook for c in made.values()} == {"14_uses"}
    assert {id: c.source for id, c in made.items() if c.origin != "ours"} == dict.fromkeys(
        ["X42", "X43"], "Sorscher et al. 2022 (arXiv 2206.14486)"
    )
    assert "Of 80%" in made["X42"].statement
    assert "Of 20%" in made["X43"].statement
    assert "other-net" in made["X44"].statistic
    assert "first-net" in made["X42"].statistic


def test_without_another_network_the_first_is_trained_on_insensitive_examples():
    tables = world()
    pruned = tables["pruned"]
    some = pruned.model == "other-net"
    tables["pruned"] = pd.concat([pruned[some].assign(model="first-net"), pruned[~some].assign(model="unused")])
    made = {c.id: c for c in study.judge(HERE.model_copy(update={"other": ""}), tables)}
    assert made["X44"].verdict == "supported"
    assert "first-net" in made["X44"].statistic
    assert made["X44"].statement.startswith("Of 20%, examples that are insensitive")


def test_each_setting_has_claims_of_its_own():
    tables = world(settings=(MAIN, REAL))
    scores = tables["scores"]
    scores.loc[(scores.setting == REAL) & (scores.score == SCORE), "found"] = 0.6
    made = {c.id: c for c in study.judge(BOTH, tables)}
    assert list(made) == [*BLOCKS, *ASKED, *(f"{id}@mnist1d" for id in BLOCKS)]
    assert {id for id, c in made.items() if c.verdict != "supported"} == {"X45@mnist1d"}
    assert {id for id, c in made.items() if c.scope.startswith("mnist1d, ")} == {f"{id}@mnist1d" for id in BLOCKS}
    assert made["X45"].scope == "digits, first-net, second-net, other-net"


def test_without_human_labels_their_claims_are_void():
    made = {c.id: c for c in study.judge(HERE, world(people=False))}
    assert list(made) == [*BLOCKS, *ASKED]
    assert {id for id, c in made.items() if c.verdict != "supported"} == set(ASKED)
    for id in ASKED:
        assert made[id].verdict == "inconclusive"
        assert made[id].void == "the human labels are not in BUTTERFLY_DATA"


def test_without_images_there_are_no_verdicts_about_people():
    params = HERE.model_copy(update={"human_images": 0})
    for people in (True, False):
        made = {c.id: c for c in study.judge(params, world(people=people))}
        assert [id for id, c in made.items() if c.verdict == "supported"] == BLOCKS
        assert {c.id: c.void for c in made.values() if c.void} == dict.fromkeys(ASKED, "human_images is 0")
        assert {made[id].verdict for id in ASKED} == {"inconclusive"}


def test_a_lost_number_leaves_what_rests_on_it_open():
    for table, column, value, touched in (
        ("human", "within", np.nan, {"D17"}),
        ("human", "ceiling", np.nan, {"X47"}),
        ("agreement", "held_out", np.nan, {"D19"}),
        ("scores", "found", np.nan, {"X45"}),
        ("scores", "found_one", np.nan, {"X46"}),
        ("pruned", "accuracy", np.nan, {"X42", "X43", "X44"}),
    ):
        tables = world()
        some = tables[table]
        some.loc[some["run" if table == "human" else "block"] == 3, column] = value
        assert {id for id, verdict in judge(tables).items() if verdict == "inconclusive"} == touched


def test_claims_can_be_made_of_what_was_computed(results):
    made = [c for c in study.judge(TINY, results) if not c.void]
    assert [c.id for c in made] == [*BLOCKS, *(f"{id}@mnist1d" for id in BLOCKS)]
    assert {c.n for c in made} == {2}
    assert np.isfinite([c.estimate for c in made]).all()


# --- figures ---------------------------------------------------------------------------------------------------------


def drawn(draw, tables):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, numbers = draw(tables)
        figure.canvas.draw()
    plt.close(figure)
    return figure, numbers


@pytest.mark.parametrize("settings", [1, 2])
def test_figures_of_choices_and_labels_draw_without_warnings(results, settings):
    tables = results if settings == 2 else results.at("setting", MAIN)
    figure, numbers = drawn(figures.pruning, tables)
    titles = [f"MLP {size}, {where}" for where in ("handwritten digits", "MNIST-1D") for size in ("1x4", "1x8")]
    assert sorted(axis.get_title(loc="left") for axis in figure.axes) == sorted(titles[: 2 * settings])
    assert all(axis.get_xlabel() == "examples kept" for axis in figure.axes)
    assert figure.axes[0].get_ylabel() == "test accuracy"
    assert len(numbers) == settings * 2 * 2 * 9
    named = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert named == ["all examples", "the easiest", "the hardest", "least sensitive to family", "random"]
    figure, numbers = drawn(figures.labels, tables)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["handwritten digits", "MNIST-1D"][:settings]
    assert all(axis.get_xlabel() for axis in figure.axes)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert sorted(names) == sorted(LOGGED)
    area = numbers[numbers.setting == MAIN].groupby("score").found_one.mean()
    assert (area[names].diff().dropna() <= 0).all()
    assert "n = 2" in figure.get_suptitle()


def test_a_figure_of_choices_shows_means_over_seeds(results):
    figure, numbers = drawn(figures.pruning, results.at("setting", MAIN))
    for axis in figure.axes:
        size = axis.get_title(loc="left")[4:7]
        some = results["pruned"].query(
            "setting == @MAIN and model == @name", local_dict={"MAIN": MAIN, "name": f"mlp-{size}"}
        )
        assert axis.lines[0].get_ydata()[0] == pytest.approx(some[some.rule == "all"].accuracy.mean())
        hard = some[some.rule == "hard"].groupby("fraction").accuracy.mean()
        assert any(np.allclose(line.get_ydata(), hard) for line in axis.lines[1:])
    assert set(numbers.block) == {0, 1}


def test_a_figure_of_people_with_and_without_them(votes):
    figure, numbers = drawn(figures.people, world(people=False))
    assert numbers.empty
    assert "not in BUTTERFLY_DATA" in figure.axes[0].texts[0].get_text()
    entropy = uses._entropy(human.vote_counts())
    runs = [made_up(votes[0] + 2 * np.random.default_rng(k).random(50_000), entropy, k) for k in range(3)]
    tables = uses._people(PEOPLE, runs)
    figure, numbers = drawn(figures.people, tables)
    assert len(numbers) == 3
    assert all(axis.get_ylabel() for axis in figure.axes)
    assert "n = 3 runs, test accuracy 50%" in figure.get_suptitle()
    means = tables["deciles"].groupby("decile").wrong.mean()
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), means)
