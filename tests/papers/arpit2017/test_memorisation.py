"""Notebook 31: statistics against closed forms and plain programs, and claims that can come out either way."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from butterfly import data, models
from butterfly.papers.arpit2017 import curves, ease, fitting, influence, kicked, memorisation
from butterfly.papers.arpit2017.draws import KINDS, NOISES, RANDX, RANDY, REAL, drawn, lasting, networks, together
from butterfly.papers.arpit2017.kicked import CONTROL, KICKED, ORDER
from butterfly.papers.arpit2017.memorisation import AS_IT_IS, FIXED, Params, needed, reached, study
from butterfly.score import LOGGED
from butterfly.strict import ParameterError
from butterfly.study import plain
from butterfly.train import Observer, train
from butterfly.unrolled import sensitivity
from tests.conftest import verdicts

TINY = Params(
    seeds=2, runs=2, examples=100, many=6, ease_epochs=4, unrolled_examples=50, unrolled_epochs=4, small="mlp-1x8",
    sizes=(50, 100), patience=(4, 5, 6), loss=1.5, iterations=5, dimensions=(16, 32), widths=(2, 8, 16),
    gaussian_patience=4, capacity_epochs=3, regularised_epochs=3, fractions=(0.4,), epochs=6, critical_epochs=(1, 6),
    points=30, score_epochs=(1, 6), kick_times=(0, 1), kick_sizes=(1e-3, 1e-2), kick_epochs=4, kicked_runs=2,
    recipe={"batch_size": 25},
)  # fmt: skip
SETTING = plain("digits-memory").changed(batch_size=25)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    keys = {
        "ease": (["seed", "kind", "when"], 2 * 3 * 3),
        "shares": (["seed", "kind", "rank"], 2 * 3 * 101),
        "influence": (["seed", "kind", "epoch"], 2 * 3 * 2),
        "classes": (["seed", "kind", "of", "on"], 2 * 3 * 100),
        "times": (["seed", "kind", "examples"], 2 * 3 * 2),
        "sharpness": (["seed", "kind", "when"], 2 * 3 * 2),
        "dimensions": (["seed", "dimension", "inputs"], 2 * 2 * 2),
        "capacity": (["seed", "width", "kind", "fraction"], 2 * 3 * 5),
        "regularised": (["seed", "how", "strength"], 2 * 4),
        "curves": (["seed", "kind", "fraction", "epoch"], 2 * 3 * 7),
        "critical": (["seed", "kind", "fraction", "epoch"], 2 * 3 * 2),
        "radii": (["seed"], 2),
        "scores": (["seed", "kind", "epoch", "score"], 2 * 2 * 2 * len(LOGGED)),
        "kicks": (["seed", "kind", "time", "size"], 2 * 5),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name


def test_shares_and_areas_lie_where_they_can(results):
    columns = {"curves": ["train", "real", "picks", "test"], "critical": ["ratio"], "ease": ["accuracy"],
               "capacity": ["train", "test", "best"], "scores": ["area", "fitted"]}  # fmt: skip
    for table, own in columns.items():
        assert results[table][own].stack().between(0, 1).all(), table
    assert (results["capacity"].best >= results["capacity"].test - 1e-12).all()
    assert (results["times"].lower <= results["times"].upper).all()
    assert results["curves"].noise.isna().sum() == 2 * 7  # of real data there is none


def test_twins_that_nobody_kicked_memorise_the_same(results):
    control = results["kicks"].query("kind == @CONTROL")
    assert (control.largest_difference == 0).all()
    assert np.allclose(control.agreement.dropna(), 1)


def test_shards_hold_nothing_that_does_not_matter():
    few, many = (
        study.shards(TINY),
        study.shards(TINY.model_copy(update={"seeds": 4, "profile": "other", "dropout": 0.4})),
    )
    assert {shard.key for shard in few} <= {shard.key for shard in many}
    other = study.shards(TINY.model_copy(update={"looks": 1}))
    assert sum(a.key != b.key for a, b in zip(few, other, strict=True)) == 1


# --- what networks are trained on ------------------------------------------------------------------------------------


def test_draws_have_examples_of_their_own_and_fewer_are_among_more(digits):
    small, large, other = drawn(digits, 1, 50)[0], drawn(digits, 1, 100)[0], drawn(digits, 2, 100)[0]
    assert torch.equal(large.ids[:50], small.ids)
    assert torch.equal(small.y, digits.y[small.ids])
    assert not torch.equal(large.ids, other.ids)
    for kind in NOISES:
        noisy, mask = drawn(digits, 1, 100, kind, 0.4)
        assert mask.sum() == 40
        assert torch.equal(noisy.ids, large.ids)
        assert torch.equal(noisy.x == large.x, torch.ones_like(noisy.x, dtype=torch.bool)) == (kind == RANDY)
    assert networks(3, 2) == [3000, 3001]


def test_data_that_differ_in_labels_are_trained_on_as_one(digits):
    """A stack on both sets is each network trained on its own set."""
    sets = [drawn(digits, 1, 100)[0], drawn(digits, 1, 100, RANDY)[0]]
    both, labels = together(sets, 1)
    model, recipe = models.build("mlp-1x8", digits.input_shape, 10), lasting(SETTING.recipe, 2, 100)
    theta = train(model, both, recipe, [5, 6]).theta
    for row, (seed, own) in enumerate(zip((5, 6), sets, strict=True)):
        torch.testing.assert_close(theta[row : row + 1], train(model, own, recipe, [seed]).theta, atol=1e-5, rtol=1e-4)
        assert torch.equal(labels[row], own.y)
    accuracy = fitting.right(model, theta, both.x, labels)
    expected = [(model.logits(theta[k : k + 1], d.x)[0].argmax(1) == d.y).double().mean() for k, d in enumerate(sets)]
    assert accuracy.tolist() == pytest.approx([float(v) for v in expected])


# --- statistics ------------------------------------------------------------------------------------------------------


def test_nothing_is_shared_by_chance_and_all_where_all_are_right_on_the_same():
    random = np.random.default_rng(0)
    level = np.array([0.2, 0.5, 0.7, 0.9])[:, None]
    chance = [ease.shared(random.permuted(np.arange(200) < 200 * level, axis=1)) for _ in range(400)]
    assert np.mean(chance) == pytest.approx(0, abs=0.01)
    assert ease.shared(np.tile(np.arange(200) < 60, (4, 1))) == pytest.approx(1)
    assert math.isnan(ease.shared(np.ones((4, 200), dtype=bool)))
    # Half of the examples are easy (0.8), half are hard (0.2): of the variance 0.25, 0.09 is between them.
    easy = np.where(np.arange(4000) < 2000, 0.8, 0.2)
    assert ease.shared(random.random((6, 4000)) < easy) == pytest.approx(0.36, abs=0.03)


def test_gini_of_equal_of_one_and_of_a_line():
    assert influence.gini(np.full(10, 3.0)) == pytest.approx(0)
    assert influence.gini(np.eye(10)[3]) == pytest.approx(0.9)
    assert influence.gini(np.arange(1, 1001.0)) == pytest.approx(1 / 3, abs=1e-3)
    values = np.random.default_rng(0).exponential(size=(2, 50))
    pairs = np.abs(values[:, :, None] - values[:, None]).mean((1, 2)) / 2 / values.mean(1)
    np.testing.assert_allclose(influence.gini(values), pairs)


def test_area_and_agreement_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    values, hit = random.integers(0, 6, (3, 80)).astype(float), random.random(80) < 0.3
    np.testing.assert_allclose(curves.found_by(values, hit), [roc_auc_score(hit, own) for own in values])
    a, b = random.random((2, 80)) < 0.4
    assert kicked.agreement(a, b) == pytest.approx(cohen_kappa_score(a, b))
    assert kicked.agreement(a, a) == 1
    assert math.isnan(kicked.agreement(a | True, a | True))


def test_the_width_needed_is_a_bound_where_all_or_none_suffice():
    rows = [
        [0.1, 0.5, 0.9, 0.9],
        [0.8, 0.9, 0.9, 0.9],
        [0.1, 0.2, 0.3, 0.4],
        [0.0, 0.4, 0.4, 1.0],
        [0.2, 0.8, 0.2, 0.9],
    ]
    table = pd.DataFrame(rows, columns=[4, 8, 16, 32])
    half = 8 * 2**0.5
    expected = [[half, half], [0, 4], [32, math.inf], [2 * half, 2 * half], [2 * half, 2 * half]]
    level = pd.Series([0.7, 0.7, 0.7, 0.7, 0.7])
    expected[4] = [4 * 2 ** (5 / 6)] * 2
    np.testing.assert_allclose(needed(table, level), expected)
    assert needed(table, level, widest=True).to_numpy().tolist()[3] == [pytest.approx(2 * half), math.inf]
    assert needed(table, pd.Series([0.5] * 5)).to_numpy().tolist()[0] == pytest.approx([8, 8])


def test_levels_are_reached_between_looks():
    table = pd.DataFrame([[0.0, 0.4, 0.8], [0.0, 0.1, 0.2], [0.6, 0.7, 0.8]], columns=[0, 1, 3])
    assert reached(table, 0.5).to_numpy().tolist() == [[1.5, 1.5], [3, math.inf], [0, 0]]


# --- computations in plain steps -------------------------------------------------------------------------------------


def test_epochs_to_fit_are_those_after_which_all_are_right(digits):
    task, model = drawn(digits, 0, 50)[0], models.build("mlp-1x32", digits.input_shape, 10)
    recipe = lasting(SETTING.recipe, 12, 50)
    stacks = Observer("copy", lambda now: now.theta.clone(), frozenset(range(1, recipe.steps + 1)))
    seen = train(model, task, recipe, [0, 1], observers=[stacks]).recorded("copy")
    expected = []
    for seed in (0, 1):
        fits = [s for s, theta in seen if (model.logits(theta, task.x)[seed].argmax(1) == task.y).all()]
        expected.append(fits[0] / 2 if fits else math.inf)
    assert min(expected) < math.inf
    assert fitting.epochs_to_fit(model, task, recipe, [0, 1]).tolist() == expected


def test_influence_is_read_off_the_derivatives(results, digits):
    task, _ = drawn(digits, 1, 50, RANDY)
    model, recipe = models.build("mlp-1x8", digits.input_shape, 10), lasting(SETTING.recipe, 4, 50)
    copy = Observer("path", lambda now: now.theta.clone(), frozenset(range(9)))
    seeds = networks(1, 2)
    path = torch.stack([v for _, v in train(model, task, recipe, seeds, observers=[copy]).recorded("path")])
    mean = torch.full((1, 50), 1 / 50)
    of_class = (task.y == 3).float()[None] / (task.y == 3).sum()
    slopes = sensitivity(model, task, recipe, seeds, path, [4, 8], torch.cat([mean, of_class])).flatten(4).abs().sum(4)
    both = slopes[:, 0].cumsum(0).numpy() / np.array([1, 2])[:, None, None]
    found = results["influence"].query("seed == 1 and kind == 'randY'").sort_values("epoch")
    np.testing.assert_allclose(found.gini, influence.gini(both).mean(1), rtol=1e-3)
    on = [slopes[:, 1][..., task.y == c].mean() for c in range(10)]
    table = results["classes"].query("seed == 1 and kind == 'randY' and of == 4").sort_values("on")
    there = [c for c in range(10) if (task.y == c).any()]
    np.testing.assert_allclose(table.sensitivity.to_numpy()[there], np.array(on)[there], rtol=1e-3)


def test_gaussian_inputs_have_the_length_asked_for():
    long, short = (fitting.gaussian(0, 500, 256, length, 10) for length in (16.0, 8.0))
    assert float(long.x.flatten(1).norm(dim=1).mean()) == pytest.approx(16, rel=0.02)
    torch.testing.assert_close(long.x, 2 * short.x)
    assert torch.equal(long.y, short.y)
    assert torch.bincount(long.y).min() > 25


def test_the_radius_follows_the_rule_on_real_data(results):
    critical = results["critical"].query("kind == @REAL and epoch == 1")
    assert critical.ratio.between(0.15, 0.3).all()


def test_accuracies_on_real_examples_and_noise_make_up_the_whole(results):
    table = results["curves"].query("kind == @RANDX")
    np.testing.assert_allclose(table.train, 0.6 * table.real + 0.4 * table.noise)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"levels": [0.5, 1.0]}, "training accuracies below 1"),
        ({"noise": 0.3}, "noise = 0.3 among them"),
        ({"dropout": 0.5}, "give one of dropouts"),
        ({"widths": [4, 8]}, "give 3 or more"),
        ({"sizes": [100, 50]}, "give rising numbers"),
        ({"critical_epochs": [1, 40]}, "go beyond the 30 epochs"),
        ({"kick_times": [1, 5]}, "begin at 0"),
        ({"decays": [0.1]}, "two or more"),
        ({"small": "mlp-2"}, "unknown model"),
        ({"setting": "mnist2d"}, "unknown setting"),
        ({"width": [4, 8, 16]}, "did you mean 'widths'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_what_the_data_cannot_give_is_refused_before_training():
    with pytest.raises(ParameterError, match="digits holds 1297 examples"):
        study.shards(TINY.model_copy(update={"examples": 5000}))
    with pytest.raises(ParameterError, match="at least 25 each"):
        study.shards(TINY.model_copy(update={"sizes": (20, 100)}))


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

WIDTHS = (4, 8, 16, 32, 64, 128, 256)
PARAMS = Params(seeds=8, sizes=(100, 200, 400), examples=400, widths=WIDTHS, kick_sizes=(1e-4, 1e-2))
SEEDS, EPOCHS = range(8), range(31)
WORLD = {
    "shared": {REAL: 0.3, RANDX: 0.0, RANDY: 0.0},
    "level": {REAL: 0.3, RANDX: 0.1, RANDY: 0.1},
    "higher": {REAL: 0.3, RANDX: 0.1, RANDY: 0.1},  # at the second level
    "shuffled": 0.0,
    "gini": {REAL: 0.6, RANDX: 0.4, RANDY: 0.4},
    "gini_end": {REAL: 0.7, RANDX: 0.3, RANDY: 0.3},
    "others": {REAL: 0.6, RANDX: 0.3, RANDY: 0.3},
    "need": {(REAL, 0.0): 12, (RANDY, 0.4): 48, (RANDX, 0.4): 48, (RANDY, 1.0): 48, (RANDX, 1.0): 48},
    "need_best": 48,  # of random labels, where training is stopped
    "speed": {REAL: -0.1, RANDX: -0.5, RANDY: -0.5},  # slope of log time on log width
    "time": {REAL: 8.0, RANDX: 4.0, RANDY: 20.0},
    "growth": {REAL: 0.1, RANDX: 0.3, RANDY: 0.5},
    "dimension": {AS_IT_IS: -0.5, FIXED: -0.3},
    "gaussian": 6.0,
    "sharp": {REAL: 10.0, RANDX: 20.0, RANDY: 20.0},
    "sharp_end": {REAL: 5.0, RANDX: 20.0, RANDY: 20.0},
    "peak": 5,
    "drop": 0.1,
    "drop_real": 0.0,
    "half": (1.0, 15.0),  # epochs at which half of the real and of the wrong labels are fitted
    "busy": {RANDX: 0.5, RANDY: 0.5},  # slope of critical samples at the end on the fraction
    "rise": 0.1,  # of critical samples on real data
    "rises": 0.0,  # what the fraction adds after one epoch
    "dropout": (0.6, 0.968),  # accuracies on random labels, and on test data after real ones
    "decay": 0.92,
    "area": {"el2n.mean": 0.97, "el2n.last": 0.7, "forgetting": 0.6, "iteration_learned": 0.97},
    "early": 0.97,  # of one look at EL2N, in epoch 3
    "area_inputs": 0.97,
    "agree": {(KICKED, 0, 1e-4): 0.5, (KICKED, 0, 1e-2): 0.25, (KICKED, 5, 1e-2): 0.6, (ORDER, 0, 0.0): 0.15},
    "seeds_agree": 0.2,
}


def near(w, by=0.02):
    return 1 + by * w["random"].normal()


def line(half):
    """An accuracy that is 0.5 at some epoch and rises on a straight line to 1."""
    return np.minimum(np.array(EPOCHS) / (2 * half), 1.0)


def course(w, kind, fraction):
    """The curves of one arm: real data rise at once; noise falls from its peak."""
    epochs = np.array(EPOCHS)
    top, drop, peak = (0.95, w["drop_real"], 3) if kind == REAL else (0.9, w["drop"], w["peak"])
    top, drop = top * near(w, 0.002), drop + 0.002 * w["random"].normal()
    test = np.where(epochs <= peak, top * epochs / peak, top - drop * (epochs - peak) / (30 - peak))
    real, noise = (line(half * near(w)) for half in w["half"])
    table = {"epoch": epochs, "picks": test - 1e-4 * (epochs > peak), "test": test, "real": real, "noise": noise}
    return pd.DataFrame(table | {"train": 0.6 * real + 0.4 * noise}).assign(kind=kind, fraction=fraction)


def rising(width, need, by=0.0):
    """An accuracy that rises with the width and levels off where it suffices."""
    return 0.9 + by - 0.1 * max(np.log2(need / width), 0.0)


def bounds(value):
    return {"lower": value, "upper": value}


def of_kinds(w):
    """The rows of tables that have one for each kind of data."""
    rows = {name: [] for name in ("ease", "influence", "classes", "times", "sharpness")}
    for kind in KINDS:
        moments = {"shared": memorisation.EPOCH, "level": "at accuracy 0.5", "higher": "at accuracy 0.8"}
        for by, when in moments.items():
            own, dealt = (value + near(w, 0.003) - 1 for value in (w[by][kind], w["shuffled"]))
            more = {"when": when, "shared": own, "shuffled": dealt}
            rows["ease"].append({"kind": kind, "accuracy": 0.5, "crossed": 1.0} | more)
        for epoch, gini in ((5, w["gini"][kind]), (10, w["gini_end"][kind])):
            rows["influence"].append({"kind": kind, "epoch": epoch, "gini": gini * near(w)})
        for i, j in np.ndindex(3, 3):
            size = (1 if i == j else w["others"][kind]) * near(w)
            rows["classes"].append({"kind": kind, "of": i, "on": j, "sensitivity": size})
        for count in PARAMS.sizes:
            time = w["time"][kind] * (count / 100) ** w["growth"][kind] * near(w)
            rows["times"].append({"kind": kind, "examples": count} | bounds(time))
        for when, by in ((memorisation.AT_LOSS, "sharp"), (memorisation.AT_FIT, "sharp_end")):
            rows["sharpness"].append({"kind": kind, "when": when, "sharpness": w[by][kind] * near(w)})
    return rows


def of_sizes(w):
    """The rows by dimension and by width."""
    rows = {"dimensions": [], "capacity": []}
    for inputs, slope in w["dimension"].items():
        for dimension in PARAMS.dimensions:
            time = w["gaussian"] * (dimension / 64) ** slope * near(w)
            rows["dimensions"].append({"dimension": dimension, "inputs": inputs} | bounds(time))
    for (kind, fraction), need in w["need"].items():
        own = need * near(w, 0.1)
        best = w["need_best"] * near(w, 0.1) if (kind, fraction) == (RANDY, 0.4) else own
        for width in PARAMS.widths:
            values = {"test": rising(width, own), "best": rising(width, best), "train": rising(width, own, 0.1)}
            time = 10 * width ** w["speed"][kind] * near(w)
            rows["capacity"].append({"kind": kind, "fraction": fraction, "width": width} | values | bounds(time))
    return rows


def of_arms(w):
    """Curves and critical samples by kind and fraction of noise."""
    arms = [(REAL, 0.0), *((kind, fraction) for kind in NOISES for fraction in PARAMS.fractions)]
    rows = {"critical": [], "radii": [{"radius": 0.1}]}
    for kind, fraction in arms:
        busy, rises = (w["busy"].get(kind, 0) * fraction, w["rises"] * fraction)
        ratios = {1: (0.2 + rises) * near(w), 30: (0.2 + w["rise"] + busy) * near(w)}
        rows["critical"] += [{"kind": kind, "fraction": fraction, "epoch": e, "ratio": v} for e, v in ratios.items()]
    return rows | {"curves": pd.concat([course(w, *arm) for arm in arms])}


def of_scores(w):
    """How well scores find noise, what regularisers do, and kicks."""
    rows = {"scores": [], "regularised": [], "kicks": []}
    for kind, epoch, (score, area) in product(NOISES, PARAMS.score_epochs, w["area"].items()):
        found = w["area_inputs"] if (kind, score) == (RANDX, "el2n.mean") else area
        found = w["early"] if (score, epoch) == ("el2n.last", 3) else found
        rows["scores"].append({"kind": kind, "epoch": epoch, "score": score, "area": found * near(w, 0.002)})
    at = {("dropout", 0.0): (1.0, 0.97), ("dropout", 0.4): w["dropout"], ("weight_decay", 1e-3): (0.9, 0.965),
          ("weight_decay", 1e-2): (0.4, w["decay"])}  # fmt: skip
    for (how, strength), (noise, real) in at.items():
        more = {"noise": noise * near(w, 0.002), "real": real * near(w, 0.001)}
        rows["regularised"].append({"how": how, "strength": strength} | more)
    for (kind, time, size), agreement in ({(CONTROL, 0, 0.0): 1.0} | w["agree"]).items():
        more = {"agreement": 1 - (1 - agreement) * near(w), "others": 1 - (1 - w["seeds_agree"]) * near(w)}
        more |= {"crossed": 1.0, "parted": True, "largest_difference": 0.0}
        rows["kicks"].append({"kind": kind, "time": time, "size": size} | more)
    return rows


def world(**changes):
    w = {k: v | changes[k] if isinstance(v, dict) and k in changes else changes.get(k, v) for k, v in WORLD.items()}
    w |= {"random": np.random.default_rng(0)}
    parts = []
    for seed in SEEDS:
        rows = of_kinds(w) | of_sizes(w) | of_arms(w) | of_scores(w)
        parts.append({name: pd.DataFrame(own).assign(seed=seed) for name, own in rows.items()})
    return {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}


def judged(tables):
    return study.judge(PARAMS, tables)


CLAIMS = [question.id for question in study.questions]
MEMORY = {id for id in CLAIMS if id.startswith("ME12")}


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert verdicts(judged(world())) == dict.fromkeys(CLAIMS, "supported")


CHANGES = [
    ("ME01", {"shared": {RANDY: 0.4}}, {"ME01d"}),
    ("ME01b", {"shared": {RANDX: 0.4}}, {"ME01c"}),
    ("ME01c", {"shared": {RANDX: 0.03}}, set()),
    ("ME01d", {"shared": {RANDY: 0.03}}, set()),
    ("ME01e", {"level": {RANDY: 0.4}}, set()),
    ("ME01g", {"higher": {RANDX: 0.4}}, set()),
    ("ME01f", {"shuffled": 0.05}, set()),
    ("ME02", {"gini": {RANDX: 0.7}}, set()),
    ("ME02b", {"gini": {RANDY: 0.7}}, set()),
    ("ME02c", {"gini_end": {RANDY: 0.8}}, {"ME02b"}),
    ("ME03", {"others": {RANDX: 0.8}}, {"ME03c"}),
    ("ME03b", {"others": {RANDY: 0.8}}, {"ME03c"}),
    ("ME03c", {"others": {REAL: 0.9, RANDY: 0.7}}, set()),
    ("ME04", {"need": {(RANDY, 0.4): 7}}, set()),
    ("ME04b", {"need": {(RANDX, 0.4): 7}}, set()),
    ("ME04c", {"need_best": 7}, set()),
    ("ME04d", {"need": {(RANDY, 1.0): 7}}, set()),
    ("ME04e", {"need": {(RANDX, 1.0): 7}}, set()),
    ("ME05", {"growth": {RANDY: 0.0}}, set()),
    ("ME05b", {"growth": {RANDX: 0.0}}, set()),
    ("ME05c", {"speed": {RANDY: 0.1}}, set()),
    ("ME05d", {"speed": {RANDX: 0.1}}, set()),
    ("ME06", {"peak": 28}, {"ME06b"}),
    ("ME06b", {"drop": 0.0}, set()),
    ("ME06c", {"drop_real": 0.05}, set()),
    ("ME06d", {"half": (10.0, 12.0)}, set()),
    ("ME07", {"busy": {RANDY: -0.1}}, {"ME07c", "ME07d"}),
    ("ME07b", {"busy": {RANDX: -0.1}}, set()),
    ("ME07c", {"rises": 0.9}, {"ME07d"}),
    ("ME07d", {"rises": 0.6}, {"ME07c"}),
    ("ME08", {"dropout": (0.85, 0.968)}, set()),
    ("ME08b", {"dropout": (0.6, 0.945)}, set()),
    ("ME08c", {"decay": 0.99}, set()),
    ("ME09", {"time": {RANDX: 9.0}}, set()),
    ("ME09b", {"time": {RANDY: 3.0}}, set()),
    ("ME09c", {"dimension": {AS_IT_IS: 0.1}}, set()),
    ("ME09d", {"dimension": {FIXED: 0.1}}, set()),
    ("ME09e", {"gaussian": 30.0}, set()),
    ("ME10", {"sharp": {RANDX: 8.0}}, set()),
    ("ME10b", {"sharp": {RANDY: 8.0}}, set()),
    ("ME10c", {"sharp_end": {RANDX: 4.0}}, set()),
    ("ME10d", {"sharp_end": {RANDY: 4.0}}, set()),
    ("ME11", {"area": {"el2n.mean": 0.8, "iteration_learned": 0.8}}, set()),
    ("ME11b", {"area": {"el2n.last": 0.99}}, {"ME11c"}),
    ("ME11c", {"half": (1.0, 2.5)}, {"ME06", "ME06d"}),
    ("ME11d", {"area_inputs": 0.8}, set()),
    ("ME11e", {"area": {"forgetting": 0.99}}, set()),
    ("ME11f", {"area": {"iteration_learned": 0.9}}, set()),
    ("ME12", {"agree": {(KICKED, 0, 1e-2): 0.5}}, {"ME12g"}),
    ("ME12b", {"agree": {(KICKED, 5, 1e-2): 0.1}}, set()),
    ("ME12c", {"seeds_agree": -0.1}, {"ME12", "ME12d"}),
    ("ME12d", {"agree": {(ORDER, 0, 0.0): 0.7}}, {"ME12f"}),
    ("ME12e", {"agree": {(KICKED, 0, 1e-2): 0.9, (KICKED, 0, 1e-4): 0.95, (KICKED, 5, 1e-2): 0.95}}, {"ME12"}),
    ("ME12f", {"agree": {(ORDER, 0, 0.0): 0.32}}, set()),
    ("ME12g", {"agree": {(KICKED, 0, 1e-4): 0.1}}, set()),
]


@pytest.mark.parametrize("some", [CHANGES[start::8] for start in range(8)])  # few worlds, since each takes its time
def test_every_claim_can_be_contradicted_by_its_own_change_only(some):
    whole, ids, related = {}, {id for id, _, _ in some}, set().union(*(more for _, _, more in some))
    for _, change, _ in some:
        for name, value in change.items():
            whole[name] = whole.get(name, {}) | value if isinstance(value, dict) else value
    found = verdicts(judged(world(**whole)))
    assert {id: found[id] for id in ids} == dict.fromkeys(ids, "contradicted")
    assert {id for id, verdict in found.items() if verdict != "supported"} - ids <= related


def test_the_list_of_changes_has_every_claim():
    assert sorted(id for id, _, _ in CHANGES) == sorted(CLAIMS)


def test_estimates_are_what_was_planted():
    found = {c.id: c.estimate for c in judged(world())}
    planted = {"ME01": 0.3, "ME01e": -0.2, "ME02": -0.2, "ME03": 2, "ME03c": 0.3, "ME04": 4, "ME04d": 4, "ME05": 4**0.4,
               "ME05c": 4**-0.4, "ME06b": 0.1, "ME06d": 1 / 15, "ME07": 0.5, "ME07c": 0.3, "ME08": 0.4,
               "ME09b": 4.35, "ME09c": -0.5, "ME10": 2, "ME11b": -0.27, "ME11c": 0.2, "ME12": 0.94,
               "ME12b": 0.53, "ME12c": 0.2, "ME12g": 0.67}  # fmt: skip
    for id, value in planted.items():
        assert found[id] == pytest.approx(value, rel=0.05, abs=0.02), id
    assert {c.n for c in judged(world())} == {8}


def test_claims_have_power_where_there_is_an_effect():
    assert all(c.power > 0.8 for c in judged(world()) if c.kind != "check")


def void(tables):
    return {c.id for c in judged(tables) if c.void}


def test_what_did_not_learn_voids_everything():
    tables = world()
    tables["curves"].loc[(tables["curves"].kind == REAL) & (tables["curves"].seed == 3), "test"] = 0.3
    assert void(tables) == set(CLAIMS)


@pytest.mark.parametrize(
    ("table", "column", "value", "ids"),
    [
        ("ease", "crossed", 0.9, {"ME01e", "ME01g"}),
        ("dimensions", "upper", math.inf, {"ME09c", "ME09d"}),
        ("critical", "ratio", 0.99, {"ME07", "ME07b", "ME07c", "ME07d"}),
        ("radii", "radius", 10.0, {"ME07", "ME07b", "ME07c", "ME07d"}),
        ("regularised", "noise", 0.5, {"ME08", "ME08b", "ME08c"}),
        ("sharpness", "sharpness", math.nan, {"ME10", "ME10b", "ME10c", "ME10d"}),
        ("kicks", "crossed", 0.9, MEMORY),
        ("kicks", "parted", False, MEMORY),
        ("kicks", "largest_difference", 1e-3, MEMORY),
    ],
)
def test_what_cannot_be_judged_is_void(table, column, value, ids):
    tables = world()
    tables[table][column] = value
    assert void(tables) == ids


def test_a_network_that_never_fits_is_a_bound_and_not_a_number():
    tables = world()
    times = tables["times"]
    times.loc[(times.kind == RANDY) & (times.seed == 3), "upper"] = math.inf
    claim = {c.id: c for c in judged(tables)}["ME09b"]
    assert (claim.bound, claim.high, claim.verdict) == (">", math.inf, "supported")
