"""Notebook 13: runs that choose, fit and test are apart, planted architectures are found and absent ones are not."""

import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestCentroid

from butterfly import association, reliability
from butterfly.papers.kwok2024 import PAPER, fingerprints, inductive_bias, score_runs
from butterfly.papers.kwok2024 import fingerprints_figures as figures
from butterfly.papers.kwok2024.fingerprints import FEW, METHODS, SCORE, Params, study
from butterfly.papers.kwok2024.naming import FAMILIES, architecture
from butterfly.strict import ParameterError
from butterfly.study import Tables, of_places
from tests.conftest import verdicts

MAIN, REAL = "digits-scores", "mnist1d-scores"
TINY = Params(setting=MAIN, real="", steps=8, runs=16, looks=8, examples=50, discover=6, fit=4, counts=(1, 5), draws=2)
MODELS = TINY.models
RUNS, N = 16, 60
TESTS = 6  # runs of each architecture
CHOICES = ["chosen", "answers", "unclumped", "random", "hardest", "noisiest"]


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def noise(seed=0, size=0.2):
    """Scores of runs that know nothing of their architecture; what is hard is hard for all."""
    random = np.random.default_rng(seed)
    return np.linspace(0, 1, N) + size * random.normal(size=(len(MODELS), RUNS, N))


def planted(seed=0, size=1.0):
    """The same, but each architecture has a difficulty of its own for every fifth example."""
    values = noise(seed, 0.02)
    values[:, :, ::5] += size * np.random.default_rng([seed, 1]).normal(size=(len(MODELS), 1, N // 5))
    return values


def runs_of(values, right=None, params=TINY):
    """Scored runs as notebook 12 has them."""
    answers = values < 0.5 if right is None else right
    return [{SCORE: a, "accuracy.last": b.astype(float)} for a, b in zip(values, answers, strict=True)]


def tables_of(*worlds):
    """Tables of made-up settings."""
    names = (MAIN, REAL)[: len(worlds)]
    every = {name: fingerprints.tables_of(TINY, runs_of(values)) for name, values in zip(names, worlds, strict=True)}
    return Tables(of_places("setting", every), TINY)


def nearest(fit, test, method):
    """A classifier that costs nothing: the nearest mean."""
    scale = fit.std((0, 1)) + 1e-9
    return (((test[:, :, None] - fit.mean(1)) / scale) ** 2).sum(3).argmin(2)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(association, "answers", nearest)


@pytest.fixture(scope="module")
def found():
    """Tables of a world with planted differences."""
    return tables_of(planted())


@pytest.fixture(scope="module")
def empty():
    """Tables of two worlds in which architectures do not differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(association, "answers", nearest)
        return tables_of(noise(1), noise(2))


def share(table, **where):
    return table[(table[list(where)] == pd.Series(where)).all(axis=1)].right.mean()


# --- which runs do what ----------------------------------------------------------------------------------------------


@pytest.fixture
def asked(quick, monkeypatch):
    """What each classifier is fitted to and tested on, each test of association, and each clumping, in order."""
    seen = {"identify": [], "associate": [], "clump": []}
    identify, associate, clump = association.identify, association.associate, association.clump

    def name(fit, test, method):
        seen["identify"].append((fit, test, method))
        return identify(fit, test, method)

    def test(values):
        seen["associate"].append(values)
        return associate(values)

    def choose(values, p, count):
        seen["clump"].append((values, count))
        return clump(values, p, count)

    monkeypatch.setattr(association, "identify", name)
    monkeypatch.setattr(association, "associate", test)
    monkeypatch.setattr(association, "clump", choose)
    return seen


def numbered(architectures, runs):
    """Ranks that say which run they are of, in the first example; runs do not matter else."""
    values = reliability.ranks(noise(5).reshape(-1, N)).reshape(len(MODELS), RUNS, N)[:architectures, :runs].copy()
    values[:, :, 0] = np.arange(architectures)[:, None] * 100 + np.arange(runs)
    return values


def test_runs_that_choose_fit_and_test_are_disjoint(asked):
    values = numbered(3, 10)
    params = TINY.model_copy(update={"discover": 5, "fit": 2})
    rows = fingerprints._named(params, values[:, :, [0, 3]], {"choice": "x"}, ["a", "b", "c"])
    for fit, test, _ in asked["identify"]:
        assert fit[:, :, 0].tolist() == [[100.0 * a + r for r in (5, 6)] for a in range(3)]
        assert test[:, :, 0].tolist() == [[100.0 * a + r for r in (7, 8, 9)] for a in range(3)]
    assert [method for _, _, method in asked["identify"]] == list(METHODS) == ["centroid", "logistic"]
    assert [(row["model"], row["run"]) for row in rows[:9]] == [(a, r) for a in "abc" for r in range(3)]
    assert len(rows) == 18


def test_examples_are_chosen_from_runs_that_are_not_used_again(quick):
    """Test and fitted runs with another signal, or another world altogether: choices are the same."""
    values = planted()
    other = planted(7, size=5.0)[::-1].copy()
    other[:, :6] = values[:, :6]
    ranks, poisoned = (reliability.ranks(v.reshape(-1, N)).reshape(v.shape) for v in (values, other))
    seen = []

    def keep(params, discovery):
        seen.append((discovery, choices(params, discovery)))
        return seen[-1][1]

    choices = fingerprints.choices
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "choices", keep)
        fingerprints.tables_of(TINY, runs_of(values))
        fingerprints.tables_of(TINY, runs_of(other))
    np.testing.assert_array_equal(seen[0][0], ranks[:, :6])
    np.testing.assert_array_equal(seen[1][0], poisoned[:, :6])
    for name, orders in seen[0][1].items():
        for one, two in zip(orders, seen[1][1][name], strict=True):
            assert one.tolist() == two.tolist()


def test_a_classifier_does_not_see_the_runs_that_chose(asked):
    """The runs of discovery taken from another world, examples kept: what is named does not change."""
    values = planted(size=0.4)
    fixed = {"chosen": [np.arange(0, 50, 5)], "random": [np.arange(1, 11)]}
    other = values.copy()
    other[:, :6] = planted(8, size=5.0)[::-1, :6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "choices", lambda params, discovery: fixed)
        first, second = (fingerprints.tables_of(TINY, runs_of(v)) for v in (values, other))
    pd.testing.assert_frame_equal(first["answers"], second["answers"])
    pd.testing.assert_frame_equal(first["confusion"], second["confusion"])
    assert 0.15 < first["answers"].right.mean() < 0.9


def test_the_classifier_is_fitted_to_its_runs_and_tested_on_the_rest(quick):
    """A signal in the fitted and tested runs that discovery lacks is found on examples chosen otherwise."""
    values = noise()
    values[:, 6:, 20] += 10 * np.arange(len(MODELS))[:, None] % 7 + np.arange(len(MODELS))[:, None]
    level = fingerprints._named(TINY, values[:, :, [20]], {"choice": "x"})
    assert np.mean([row["right"] for row in level]) > 0.6
    values[:, 10:, 20] = values[::-1, 10:, 20]  # the tests are those of other architectures
    level = fingerprints._named(TINY, values[:, :, [20]], {"choice": "x"})
    assert np.mean([row["right"] for row in level]) < 0.2


# --- choices ---------------------------------------------------------------------------------------------------------


def test_choices_follow_their_rules():
    """Made up: example 3 tells architectures, 7 is a copy of its noise, 11 is hardest, 13 the noisiest."""
    random = np.random.default_rng(0)
    values = 0.5 + 0.02 * random.normal(size=(10, 6, N))
    values[:, :, 3] += np.arange(10)[:, None]
    values[:, :, 7] = values[:, :, 3] - 0.5 + 0.001 * random.normal(size=(10, 6))
    values[:, :, 5] += np.arange(10)[::-1, None] / 2
    values[:, :, 11] += 40
    values[:, :, 13] += random.normal(size=(10, 6))
    found = fingerprints.choices(TINY.model_copy(update={"counts": (5, 10), "draws": 3}), values)
    assert list(found) == ["chosen", "unclumped", "random", "hardest", "noisiest"]
    assert found["chosen"][0][0] == found["unclumped"][0][0]
    assert {3, 7, 5} == set(found["unclumped"][0][:3].tolist())
    assert len({3, 7} & set(found["chosen"][0].tolist())) == 1
    assert found["hardest"][0][0] == 11
    assert found["noisiest"][0][0] == 13
    mean = values.mean((0, 1))
    assert found["hardest"][0].tolist() == np.argsort(-mean)[:10].tolist()
    spread = values.var(1).sum(0)
    assert found["noisiest"][0].tolist() == np.argsort(-spread)[:10].tolist()
    assert found["unclumped"][0].tolist() == np.argsort(association.associate(values).p)[:10].tolist()
    assert [len(orders) for orders in found.values()] == [1, 1, 3, 1, 1]
    assert {len(set(order.tolist())) for orders in found.values() for order in orders} == {10}
    assert len({tuple(order) for order in found["random"]}) == 3
    assert len(set(np.concatenate(found["random"]).tolist())) > 15


def test_levels_and_answers_are_what_they_say(asked):
    values = planted()
    right = np.random.default_rng(3).random(values.shape) < 0.5
    fingerprints.tables_of(TINY, runs_of(values, right))
    calls = asked["identify"]
    both = lambda fit, test: np.concatenate([fit, test], 1)  # noqa: E731
    # One call a count, method and draw: chosen and answers in turn, then the other rules, then the levels.
    chosen, answers = both(*calls[4][:2]), both(*calls[6][:2])
    assert chosen.shape == answers.shape == (10, 10, 5)
    assert set(np.unique(answers)) == {0.0, 1.0}
    ranks = (stats.rankdata(values, axis=2) - 1) / (N - 1)
    order = [int(np.argmin(np.abs(ranks[:, 6:] - chosen[:, :, [k]]).sum((0, 1)))) for k in range(5)]
    np.testing.assert_allclose(chosen, ranks[:, 6:][:, :, order])
    np.testing.assert_array_equal(answers, right[:, 6:][:, :, order])
    first = 2 * 2 * (1 + 1 + 1 + 2 + 1 + 1)
    level, accuracy = both(*calls[first][:2]), both(*calls[first + 2][:2])
    np.testing.assert_allclose(level[:, :, 0], values[:, 6:].mean(2))
    np.testing.assert_allclose(accuracy[:, :, 0], right[:, 6:].mean(2))
    assert level.shape == accuracy.shape == (10, 10, 1)


def test_nearest_centroids_by_hand(found):
    """The row of every test run, for one choice."""
    values = planted()
    ranks = (stats.rankdata(values, axis=2) - 1) / (N - 1)
    order = fingerprints.choices(TINY, ranks[:, :6])["hardest"][0]
    fit, test = ranks[:, 6:10][:, :, order], ranks[:, 10:][:, :, order]
    mean, sd = fit.mean((0, 1)), fit.std((0, 1))
    names = np.repeat(np.arange(10), 4)
    guess = NearestCentroid().fit(((fit - mean) / sd).reshape(-1, 5), names)
    answers = guess.predict(((test - mean) / sd).reshape(-1, 5)).reshape(10, 6)
    rows = found["answers"].query("choice == 'hardest' and count == 5 and method == 'centroid'")
    assert rows.right.to_numpy().reshape(10, 6).tolist() == (answers == np.arange(10)[:, None]).tolist()


# --- what is found ---------------------------------------------------------------------------------------------------


def test_planted_differences_are_named_from_few_examples(found):
    answers = found["answers"]
    for method in METHODS:
        few = share(answers, choice="chosen", count=5, method=method)
        assert few == 1.0
        assert few > share(answers, choice="random", count=5, method=method) + 0.2
        assert few > share(answers, choice="hardest", count=5, method=method) + 0.2
        assert few > share(answers, choice="chosen", count=1, method=method)
        assert few > share(answers, choice="mean score", count=1, method=method)
    confusion = found["confusion"].pivot(index="model", columns="named", values="share")
    assert (confusion.loc[list(MODELS), list(MODELS)].to_numpy() == np.eye(10)).all()


def test_on_noise_nothing_is_named(empty):
    for setting in (MAIN, REAL):
        for choice in CHOICES:
            for method in METHODS:
                few = share(empty["answers"], setting=setting, choice=choice, count=5, method=method)
                assert few < 0.3  # of 60 tests or more, 6 by chance
    assert empty["answers"].right.mean() == pytest.approx(0.1, abs=0.03)
    transfer = empty["transfer"]
    assert transfer.right.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("world", ["found", "empty"])
def test_controls_are_at_chance(world, request):
    controls = request.getfixturevalue(world)["controls"]
    for method in METHODS:
        assert share(controls, control="shuffled", method=method) < 0.25
        assert share(controls, control="halves", method=method) == pytest.approx(0.5, abs=0.25)
    settings = controls.setting.nunique()
    halves = controls[controls.control == "halves"]
    assert set(controls[controls.control == "shuffled"].chance) == {0.1}
    assert set(halves.chance) == {0.5}
    assert list(dict.fromkeys(halves.of)) == list(MODELS)
    assert list(dict.fromkeys(halves.model)) == ["first", "second"]
    assert len(halves) == settings * 10 * 2 * 2 * 2  # architectures, methods, halves, tests
    assert len(controls) - len(halves) == settings * 2 * 10 * TESTS


def test_controls_do_all_that_the_real_thing_does(asked):
    """The runs dealt anew, and the halves of each architecture: chosen on some runs, fitted and tested on others."""
    values = numbered(10, RUNS)
    fingerprints._controls(TINY, values)
    assert len(asked["identify"]) == 2 * 11
    (fit, test, _), chosen = asked["identify"][0], asked["associate"][0]
    assert (chosen.shape, fit.shape, test.shape) == ((10, 6, N), (10, 4, FEW), (10, TESTS, FEW))
    numbers = chosen[:, :, 0].ravel().tolist()
    assert len(set(numbers)) == 60
    assert numbers != sorted(numbers)
    assert [(v.shape[1], count) for v, count in asked["clump"]] == [(6, FEW)] + [(4, FEW)] * 10
    for a in range(10):
        np.testing.assert_array_equal(asked["associate"][1 + a], np.stack([values[a, :4], values[a, 8:12]]))
        fit, test, _ = asked["identify"][2 + 2 * a]
        assert (fit.shape, test.shape) == ((2, 2, FEW), (2, 2, FEW))


def test_halves_that_differ_are_seen(quick):
    values = noise()
    values[:, 8:, ::3] -= 2.0
    controls = fingerprints.tables_of(TINY, runs_of(values))["controls"]
    assert share(controls, control="halves", method="logistic") > 0.9


# --- transfer --------------------------------------------------------------------------------------------------------

SIZES = [(1, 8), (1, 16), (2, 8), (2, 16)]  # depth and width of the four architectures of a family


def test_transfer_holds_out_the_depth_or_width_that_it_names(asked):
    values = numbered(10, RUNS)
    rows = fingerprints._transfer(TINY, values)
    held = [("depth", 0, (0, 1)), ("depth", 1, (2, 3)), ("width", 0, (0, 2)), ("width", 1, (1, 3))]
    assert len(asked["identify"]) == 4 * 2 * 2
    calls = iter(asked["associate"])
    for _, _, out in held:
        kept = [k for k in range(4) if k not in out]
        expected = [[100.0 * (k + 4 * family) + r for k in kept for r in range(6)] for family in (0, 1)]
        assert next(calls)[:, :, 0].tolist() == expected
    assert next(calls, None) is None
    assert [(values.shape[1], count) for values, count in asked["clump"]] == [(12, max(TINY.counts))] * 4
    # The first example says which run it is: it must be among those chosen.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(association, "clump", lambda values, p, count: np.array([0, 4, 9, 13, 17][:count]))
        asked["identify"].clear()
        fingerprints._transfer(TINY, values)
    for (kind, number, out), (fit, test, _) in zip(held, asked["identify"][::4], strict=True):
        kept = [k for k in range(4) if k not in out]
        assert {SIZES[k][kind == "width"] for k in out} == {[(1, 2), (8, 16)][kind == "width"][number]}
        fitted = [[100.0 * (k + 4 * family) + r for k in kept for r in range(6, 10)] for family in (0, 1)]
        tested = [[100.0 * (k + 4 * family) + r for k in out for r in range(16)] for family in (0, 1)]
        assert fit[:, :, 0].tolist() == fitted
        assert test[:, :, 0].tolist() == tested
    table = pd.DataFrame(rows)
    assert table.groupby(["kind", "held", "count", "method", "family"]).size().unique().tolist() == [32]
    assert len(table) == 2 * 2 * 2 * 2 * 2 * 32
    assert list(dict.fromkeys(table.family)) == ["mlp", "cnn"]
    assert list(dict.fromkeys(zip(table.kind, table.held, strict=True))) == [held[k][:2] for k in range(4)]


@pytest.mark.parametrize("kind", ["width", "depth"])
def test_families_that_change_places_with_a_size_are_not_named_at_another(kind, quick):
    """What tells the families apart turns over with the width (or the depth)."""
    values = noise()
    axis = 0 if kind == "depth" else 1
    for family in (0, 1):
        for k, size in enumerate(SIZES):
            large = size[axis] == max(one[axis] for one in SIZES)
            harder = range(5) if large == bool(family) else range(50, 55)
            values[4 * family + k][:, list(harder)] += 2.0
    transfer = fingerprints.tables_of(TINY, runs_of(values))["transfer"]
    assert share(transfer, kind=kind, count=5, method="logistic") < 0.05


def test_families_that_differ_at_every_size_are_named_at_another(quick):
    values = noise()
    values[4:8, :, :5] += 2.0
    transfer = fingerprints.tables_of(TINY, runs_of(values))["transfer"]
    for kind in ("width", "depth"):
        assert share(transfer, kind=kind, count=5, method="logistic") > 0.98


# --- tables ----------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    answers = results["answers"]
    keys = ["setting", "choice", "count", "draw", "method", "model", "run"]
    assert not answers.duplicated(keys).any()
    rules = len(CHOICES) - 1 + TINY.draws
    assert len(answers) == 10 * TESTS * 2 * (2 * rules + 2)
    assert list(dict.fromkeys(answers.choice)) == [*CHOICES, "mean score", "accuracy"]
    assert answers.groupby("choice")["count"].agg(lambda c: sorted(set(c))).to_dict() == {
        **{choice: [1, 5] for choice in CHOICES},
        "mean score": [1],
        "accuracy": [1],
    }
    assert answers.groupby("choice").draw.nunique()["random"] == 2
    assert set(answers.model) == set(MODELS)
    assert {str(table.setting.iloc[0]) for table in results.values()} == {MAIN}


def test_rows_of_the_confusion_sum_to_one(results, found, empty):
    for tables in (results, found, empty):
        confusion = tables["confusion"]
        assert np.allclose(confusion.groupby(["setting", "model"]).share.sum(), 1)
        assert confusion.groupby("setting").size().tolist() == [100] * confusion.setting.nunique()
        answers = tables["answers"].query("choice == 'chosen' and count == 5 and method == 'logistic'")
        right = answers.groupby(["setting", "model"]).right.mean()
        same = confusion[confusion.model == confusion.named].set_index(["setting", "model"]).share
        pd.testing.assert_series_equal(right.sort_index(), same.sort_index(), check_names=False)


def test_the_confusion_says_what_is_taken_for_what(monkeypatch):
    taken = (np.arange(10)[:, None] + np.array([0, 0, 0, 1, 1, 2])) % 10
    monkeypatch.setattr(association, "answers", lambda fit, test, method: taken)
    table = fingerprints._confusion(TINY, noise()).set_index(["model", "named"]).share
    assert table[MODELS[3], MODELS[4]] == pytest.approx(1 / 3)
    assert table[MODELS[9], MODELS[1]] == pytest.approx(1 / 6)
    assert table[MODELS[4], MODELS[3]] == 0


def test_runs_are_those_of_notebook_12_in_the_order_of_architectures(quick, monkeypatch):
    worlds = {MAIN: planted(3), REAL: noise(4)}
    both = TINY.model_copy(update={"real": REAL})
    names = [f"{name}/{model}" for name in worlds for model in MODELS]
    every = [one for values in worlds.values() for one in runs_of(values)]
    made = dict(reversed(list(zip(names, every, strict=True))))
    monkeypatch.setattr(score_runs, "joined", lambda shards: made)
    tables = fingerprints.tabulate(both, [])
    for name, values in worlds.items():
        for table, expected in fingerprints.tables_of(both, runs_of(values)).items():
            some = tables[table][tables[table].setting == name].drop(columns="setting").reset_index(drop=True)
            pd.testing.assert_frame_equal(some, expected, check_dtype=False)
    assert {shard.of for shard in study.shards(both)} == set(names)


def test_how_runs_are_used_does_not_decide_them():
    other = TINY.model_copy(update={"discover": 8, "fit": 2, "counts": (1, 5, 10), "draws": 7})
    assert study.shards(other) == study.shards(TINY)
    own = inductive_bias.Params(**{name: getattr(TINY, name) for name in inductive_bias.Params.model_fields})
    assert study.shards(TINY) == inductive_bias.study.shards(own)
    configs = [shard.config for shard in study.shards(TINY)]
    assert json.loads(json.dumps(configs)) == configs


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"discover": 11, "fit": 4}, "of 16 runs, 11 discover and 4 fit: leave two or more to test"),
        ({"discover": 10, "fit": 5}, "leave two or more to test"),
        ({"discover": 1}, "'discover' = 1"),
        ({"fit": 1}, "'fit' = 1"),
        ({"draws": 0}, "'draws' = 0"),
        ({"counts": []}, "give rising numbers of examples"),
        ({"counts": [5, 2]}, "give rising numbers of examples"),
        ({"counts": [5, 5]}, "give rising numbers of examples"),
        ({"counts": [0, 5]}, "give rising numbers of examples"),
        ({"counts": [1, 2, 10]}, "claims need 5 among them"),
        ({"runs": 24}, "give a multiple of 16"),
        ({"runs": 8}, "'runs' = 8"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'"),
        ({"third": ["gru-4"]}, "give two rising widths"),
        ({"first": ["mlp-1x8", "mlp-1x16", "mlp-2x8"]}, "give two depths times two widths"),
        ({"third": ["mlp-1x4", "mlp-1x8"]}, "give three families"),
        ({"count": [5]}, "did you mean 'counts'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_two_runs_suffice_to_test():
    assert Params.read({"discover": 10, "fit": 4}, "here").discover == 10


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        study.run(TINY.model_copy(update={"device": "cuda"}))


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def world(
    chosen=0.9, random=0.4, accuracy=0.3, answers=0.5, shuffled=0.08, halves=0.5, width=0.95, depth=0.9,
    settings=(MAIN,),
):  # fmt: skip
    """Ten architectures with 20 test runs each in every setting; the shares of right answers are what is given."""
    rows, controls, transfer = [], [], []
    for setting in settings:
        for method in METHODS:
            off = 0.0 if method == "logistic" else 0.5  # nearest centroids have no say in claims

            def hits(share, count, number, off=off):
                """Spread evenly; each choice begins elsewhere."""
                return ((np.arange(count) * 7 + number * 3) % count) < round(abs(share - off) * count)

            for number, (choice, count, draws, part) in enumerate(
                [
                    ("chosen", 5, 1, chosen),
                    ("chosen", 10, 1, 0.0),
                    ("random", 5, 3, random),
                    ("random", 10, 3, 1.0),
                    ("answers", 5, 1, answers),
                    ("answers", 10, 1, 1.0),
                    ("hardest", 5, 1, 1.0),
                    ("mean score", 1, 1, 1.0),
                    ("accuracy", 1, 1, accuracy),
                ]
            ):
                for draw in range(draws):
                    right = hits(part, 200, number + draw)
                    rows += [
                        {"setting": setting, "choice": choice, "count": count, "draw": draw, "method": method,
                         "model": MODELS[k // 20], "run": k % 20, "right": bool(hit)}
                        for k, hit in enumerate(right)
                    ]  # fmt: skip
            about = {"setting": setting, "method": method}
            controls += [
                {**about, "control": "shuffled", "chance": 0.1, "right": bool(r)} for r in hits(shuffled, 200, 0)
            ]
            controls += [{**about, "control": "halves", "chance": 0.5, "right": bool(r)} for r in hits(halves, 200, 0)]
            for kind, part in (("width", width), ("depth", depth)):
                for count, value in ((5, part), (10, 0.5)):
                    transfer += [
                        {**about, "kind": kind, "held": 0, "family": "mlp", "count": count, "right": bool(r)}
                        for r in hits(value, 200, 0)
                    ]
    made = {"answers": rows, "controls": controls, "transfer": transfer}
    tables = {name: pd.DataFrame(some).sample(frac=1, random_state=0) for name, some in made.items()}
    return tables | {"confusion": pd.DataFrame({"setting": list(settings)})}


IDS = ["D12", "D12b", "D12c", "D12d", "D12e", "D12f", "X41"]


def judge(tables):
    return verdicts(study.judge(TINY, tables))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge(world()) == dict.fromkeys(IDS, "supported")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("D12", {"random": 0.98}),
        ("D12b", {"accuracy": 1.0}),
        ("D12c", {"shuffled": 0.35}),
        ("D12d", {"halves": 0.8}),
        ("D12d", {"halves": 0.2}),
        ("D12e", {"width": 0.6}),
        ("D12f", {"depth": 0.6}),
        ("X41", {"answers": 1.0}),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(world(**change))
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_estimates_are_what_was_planted():
    made = {c.id: c for c in study.judge(TINY, world())}
    planted = {"D12": 0.5, "D12b": 0.6, "D12c": 0.08, "D12d": 0.5, "D12e": 0.95, "D12f": 0.9, "X41": 0.4}
    assert {id: c.estimate for id, c in made.items()} == pytest.approx(planted)
    assert {c.n for c in made.values()} == {200}
    assert {c.notebook for c in made.values()} == {"13_fingerprints"}
    assert [id for id, c in made.items() if c.origin == "abstract"] == ["D12"]
    assert made["D12"].source == PAPER.cite
    assert {c.origin for id, c in made.items() if id != "D12"} == {"ours"}
    assert [id for id, c in made.items() if c.kind == "check"] == ["D12c", "D12d"]
    assert str(made["D12e"].region) == "above 0.75"
    assert str(made["D12c"].region) == "below 0.2"  # twice chance: one in ten
    assert str(made["D12d"].region) == "between 0.35 and 0.65"
    assert "the first two families" in made["D12e"].statistic
    assert made["D12e"].scope == "digits, mlp, cnn, gru"
    assert "of 10" in made["D12"].statistic


def test_random_examples_count_as_the_mean_of_their_draws():
    tables = world()
    answers = tables["answers"]
    some = (answers.choice == "random") & (answers["count"] == 5)
    answers.loc[some, "right"] = answers.draw[some] == 0
    (made,) = (c for c in study.judge(TINY, tables) if c.id == "D12")
    assert (made.estimate, made.n) == (pytest.approx(0.9 - 1 / 3), 200)


def test_each_setting_has_claims_of_its_own():
    tables = world(settings=(MAIN, REAL))
    transfer = tables["transfer"]
    transfer.loc[(transfer.setting == REAL) & (transfer.kind == "depth"), "right"] = False
    made = {c.id: c for c in study.judge(TINY.model_copy(update={"real": REAL}), tables)}
    assert list(made) == [*IDS, *(f"{id}@mnist1d" for id in IDS)]
    assert {id for id, c in made.items() if c.verdict != "supported"} == {"D12f@mnist1d"}
    assert {id for id, c in made.items() if c.scope.startswith("mnist1d")} == {f"{id}@mnist1d" for id in IDS}


def test_claims_can_be_made_of_what_was_computed(results):
    made = study.judge(TINY, results)
    assert [c.id for c in made] == IDS
    assert [c.n for c in made] == [60, 60, 60, 40, 128, 128, 60]
    assert np.isfinite([c.estimate for c in made]).all()


def test_claims_of_planted_and_empty_worlds(found, empty):
    assert {judge(found)[id] for id in ("D12", "D12b")} == {"supported"}
    nothing = verdicts(study.judge(TINY.model_copy(update={"real": REAL}), dict(empty)))
    assert "supported" not in {nothing[f"{id}{end}"] for id in ("D12", "D12e", "D12f") for end in ("", "@mnist1d")}
    assert nothing["D12e"] == nothing["D12f@mnist1d"] == "contradicted"


# --- figures ---------------------------------------------------------------------------------------------------------


def drawn(draw, tables):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, numbers = draw(tables)
        figure.canvas.draw()
    plt.close(figure)
    return figure, numbers


@pytest.mark.parametrize("draw", [figures.identification, figures.transfer, figures.confusion])
@pytest.mark.parametrize("world", ["results", "empty"])
def test_figures_draw_without_warnings(draw, world, request):
    tables = request.getfixturevalue(world)
    figure, numbers = drawn(draw, tables)
    titles = ["handwritten digits", "MNIST-1D"][: tables["answers"].setting.nunique()]
    assert [axis.get_title(loc="left") for axis in figure.axes] == titles
    assert all(axis.get_xlabel() for axis in figure.axes)
    assert figure.axes[0].get_ylabel()
    assert len(numbers)


def test_a_figure_of_identification_shows_shares_and_levels(found):
    figure, numbers = drawn(figures.identification, found)
    (axis,) = figure.axes
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines) == [*figures.CHOICES.values(), *figures.LEVELS.values(), "chance"]
    every = found["answers"].query("method == 'logistic'")
    for choice, label in figures.CHOICES.items():
        some = every[every.choice == choice]
        np.testing.assert_allclose(lines[label].get_ydata(), some.groupby("count").right.mean())
    for choice, label in figures.LEVELS.items():
        some = every[every.choice == choice]
        assert lines[label].get_ydata()[0] == pytest.approx(some.right.mean())
    assert lines["chance"].get_ydata()[0] == pytest.approx(0.1)
    assert "60 test networks" in figure.get_suptitle()
    random = numbers.query("choice == 'random' and count == 5 and method == 'logistic'")
    assert random.n.tolist() == [60]  # test networks, not draws
    assert ((numbers.low <= numbers.share) & (numbers.share <= numbers.high)).all()


def test_a_figure_of_transfer_shows_each_kind_and_method(found):
    figure, numbers = drawn(figures.transfer, found)
    assert numbers.n.unique().tolist() == [128]
    assert "MLP or CNN" in figure.axes[0].get_ylabel()
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    some = found["transfer"].query("kind == 'width' and method == 'centroid'").groupby("count").right.mean()
    np.testing.assert_allclose(lines["another width, nearest centroid"], some)
    assert len(lines) == 5


def test_a_figure_of_confusion_has_architectures_in_their_order(found):
    figure, numbers = drawn(figures.confusion, found)
    (axis,) = figure.axes
    names = [architecture(model) for model in MODELS]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == names
    assert [tick.get_text() for tick in axis.get_yticklabels()] == names
    shown = [text.get_text() for text in axis.texts]
    table = numbers.set_index(["model", "named"]).share
    assert shown == [f"{100 * table[a, b]:.0f}" for a in MODELS for b in MODELS]
    assert "from 5 chosen examples" in figure.get_suptitle()
    assert set(FAMILIES) >= {inductive_bias.family(model) for model in MODELS}


def test_a_table_of_controls(empty):
    table = figures.controls(empty)
    assert table.index.names == ["setting", "control", "method"]
    assert len(table) == 2 * 2 * 2
    assert table.loc[(MAIN, "halves", "logistic"), "n"] == 40
    assert table.loc[(REAL, "shuffled", "centroid"), "chance"] == 0.1
