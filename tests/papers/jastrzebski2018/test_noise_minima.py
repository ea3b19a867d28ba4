"""Notebook 30: training in pieces against training in one, laws against each other, and claims both ways."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from butterfly import data, models, reliability
from butterfly.batches import Minibatches
from butterfly.evaluate import evaluate, predictions
from butterfly.papers.jastrzebski2018 import landing, noise_minima, regression, swaps
from butterfly.papers.jastrzebski2018.noise_minima import BASE, SAME, SQUARE, Params, icc, study
from butterfly.strict import ParameterError
from butterfly.study import Bench, Tables, intervals, setting
from butterfly.train import Crossing, Recipe, train
from tests.conftest import verdicts

TINY = Params(
    seeds=2, level=1.0, limit=20.0, epochs=1, examples=60, iterations=4, probes=2, points=7, kick_time=2.0,
    noisy_time=2.0, subsets=(64, 128), base_epochs=1, factors=(1, 8), networks=1, cycle_lr=0.1, cycle_batch=100,
    cycle_factor=4, regression_examples=40, regression_steps=60, regression_seeds=2,
)  # fmt: skip
PLAIN = Recipe(steps=40, batch_size=16, lr=0.1, schedule="constant", momentum=0.0, warmup=0.0)


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    cell = ["seed", "lr", "batch"]
    keys = {
        "networks": (cell, 2 * 6),
        "rescaled": (["seed"], 2),
        "curves": (["seed", "role", "epoch"], 2 * 3 * 2),
        "lines": (["seed", "pair", "alpha"], 2 * 3 * 7),
        "kicks": ([*cell, "size"], 2 * 6 * 3),
        "left": ([*cell, "size", "time"], 2 * 6 * 2 * landing.WATCHED),
        "schedules": (["seed", "arm", "phase"], 2 * 5 * 3),
        "memory": ([*cell, "time"], 2 * 4 * swaps.SHARES),
        "breaking": (["seed", "examples", "factor"], 2 * 2 * 2),
        "regression": (["seed", "world", "batch", "way", "lr"], 2 * 2 * 2 * 2 * 3),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name
        numbers = results[name].select_dtypes("number")
        assert np.isfinite(numbers.drop(columns=["left", "gap"], errors="ignore")).all(axis=None), name
    assert (results["kicks"].query("kind == 'control'").largest_difference == 0).all()
    assert (results["kicks"].query("kind != 'control'").largest_difference > 0).all()
    assert (results["left"].query("time == 0").left == 1).all()


def test_networks_are_read_when_they_first_reach_the_loss(results):
    networks = results["networks"]
    assert (networks.loss <= 1.0).all()
    task, model = data.load("digits"), models.build("mlp-2x64", (1, 8, 8), 10)
    recipe = landing.plain(setting("digits-plain").recipe, 0.1, 64, 20.0)
    every = round(landing.LOOK / 0.1)
    keep = Crossing("here", lambda now, rows: (rows, now.theta[rows].clone()), "loss", 1.0, every)
    whole = train(model, task, recipe, [0, 1], observers=[keep]).recorded("here")
    own = networks.query("lr == 0.1 and batch == 64").set_index("seed")
    for step, (rows, theta) in whole:
        loss, _ = evaluate(model, theta, task.x, task.y)
        for row, value in zip(rows.tolist(), loss.tolist(), strict=True):
            assert own.step[row] == step
            assert own.loss[row] == pytest.approx(value, rel=1e-5)


def test_rewriting_changes_sharpness_and_nothing_else(results):
    flattest = results["networks"].query("lr == 0.2 and batch == 16").set_index("seed")
    other = results["rescaled"].set_index("seed")
    np.testing.assert_allclose(other.rescaled_loss, flattest.loss, rtol=1e-4)
    np.testing.assert_allclose(other.rescaled_relative, flattest.relative, rtol=1e-2)
    assert (other.rescaled > 1.5 * flattest.sharpness).all()
    assert landing.rescaled(models.build("mlp-2x8-norm", (1, 8, 8), 10), torch.zeros(1, 800)) is None


def test_lines_pass_through_the_networks(results):
    lines, networks = results["lines"], results["networks"].set_index(["seed", "lr", "batch"])
    for pair, cells in TINY.pairs.items():
        for place, cell in enumerate(cells):
            at = lines[(lines.pair == pair) & np.isclose(lines.alpha, place)].set_index("seed").loss
            for seed in (0, 1):
                assert at[seed] == pytest.approx(networks.loss[(seed, *cell)], rel=1e-4)


# --- training in pieces ----------------------------------------------------------------------------------------------


def test_a_cyclic_step_is_plain_sgd_with_another_step_in_every_phase(task, model):
    """Against a loop over updates, with the minibatches of the seed."""
    phases = [(0.2, 16), (0.04, 16), (0.2, 16)]
    bench = _bench(task, model, phase_epochs=2)
    loss, accuracy = swaps._in_phases(bench, phases)
    batches, theta = Minibatches(task, 16, PLAIN.augment, [3, 4]), model.init([3, 4])
    for step in range(36):
        batch = batches.at(step)
        gradient = model.gradient(theta, batch.x, lambda z, batch=batch: batch.losses(z, torch.arange(2)).sum())
        theta = theta - phases[step // 12][0] * gradient
    expected, _ = evaluate(model, theta, task.x, task.y)
    assert loss.shape == accuracy.shape == (4, 2)
    np.testing.assert_allclose(loss[-1], expected, rtol=1e-4)
    np.testing.assert_allclose(accuracy[-1], 1 - evaluate(model, theta, task.x_test, task.y_test)[1])


def test_a_cyclic_batch_takes_whole_epochs_in_every_phase(task, model):
    phases = [(0.2, 16), (0.2, 48), (0.2, 16)]
    loss, _ = swaps._in_phases(_bench(task, model, phase_epochs=1), phases)
    recipe = PLAIN.changed(steps=14, lr=0.2, batches=((6 / 14, 48), (8 / 14, 16)))
    assert [recipe.batch_size_at(step) for step in range(14)] == [16] * 6 + [48] * 2 + [16] * 6
    theta = train(model, task, recipe, [3, 4]).theta
    np.testing.assert_array_equal(loss[-1], evaluate(model, theta, task.x, task.y)[0])


class _bench:  # noqa: N801 - stands for a Bench
    def __init__(self, task, model, **values):
        self.task, self.model, self.seeds, self.recipe, self.values = task, model, [3, 4], PLAIN, values

    def __getitem__(self, name):
        return self.values[name]


def test_landing_goes_on_where_a_piece_ended(task, model):
    recipe = PLAIN.changed(steps=200)
    theta, steps, seen = landing.land(model, task, recipe, [3, 4], 0.5, looks=(0, 6, 12))
    whole = train(model, task, recipe, [3, 4], observers=[
        Crossing("here", lambda now, rows: (rows, now.theta[rows].clone()), "loss", 0.5, 20)
    ]).recorded("here")  # fmt: skip
    assert whole
    for step, (rows, networks) in whole:
        assert (steps[rows.numpy()] == step).all()
        torch.testing.assert_close(theta[rows], networks, rtol=0, atol=0)
    assert sorted(seen) == [0, 6, 12]
    never, steps, _ = landing.land(model, task, recipe.changed(steps=20), [3, 4], 1e-9)
    assert never.isnan().all()
    assert (steps == -1).all()


# --- wrong labels, draws ---------------------------------------------------------------------------------------------


def test_wrong_labels_are_a_draw_of_each_seed():
    task = data.load("digits")
    given, moved = swaps._noisy(task, 0.4, [0, 1])
    assert moved.sum(1).tolist() == [round(0.4 * 1297)] * 2
    assert ((given != task.y) == moved).all()
    assert (given[0] != given[1]).any()


def test_shares_of_labels_fitted_are_those_of_the_networks(results):
    """The last look of one setting again, from networks trained with the labels themselves."""
    task, model = data.load("digits"), models.build("mlp-2x64", (1, 8, 8), 10)
    noisy, moved = data.with_label_noise(task, 0.4, 0)
    theta = train(model, noisy, landing.plain(setting("digits-plain").recipe, 0.2, 128, 2.0), [0]).theta
    fits = predictions(model, theta, task.x)[0] == noisy.y
    rows = results["memory"].query("seed == 0 and lr == 0.2 and batch == 128").sort_values("time")
    assert rows.wrong.iloc[-1] == pytest.approx(fits[moved].double().mean().item(), abs=0.01)
    assert rows.right.iloc[-1] == pytest.approx(fits[~moved].double().mean().item(), abs=0.01)


def test_a_crossing_lies_between_two_looks():
    watched, read = np.array([0.0, 0.4, 0.8]), np.array([1.0, 2.0, 4.0])
    assert noise_minima._crossing(watched, read, 0.5) == pytest.approx(2.5)
    assert noise_minima._crossing(watched, read, 0.0) == 1.0
    assert np.isnan(noise_minima._crossing(watched, read, 0.9))


def test_intraclass_correlation_is_that_of_equal_groups_and_0_without_an_effect():
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 40)) + random.normal(size=40)
    groups = np.tile(np.arange(40), 3)
    assert icc(values.ravel(), groups) == pytest.approx(reliability.icc(values))
    sizes = np.repeat(np.arange(6), [1, 2, 3, 3, 2, 1])
    nothing = [icc(random.normal(size=12), sizes) for _ in range(4000)]
    assert np.mean(nothing) == pytest.approx(0.0, abs=0.1)


# --- linear regression -----------------------------------------------------------------------------------------------


def test_laws_agree_with_each_other_and_with_one_dimension_by_hand():
    x, rest = regression.problem(0, "right", 50, 1)
    h, c = float((x**2).mean()), float((x[:, 0] ** 2 * rest**2).mean())
    squares = torch.stack([(x[i, 0] ** 2 + x[j, 0] ** 2) / 2 for i in range(50) for j in range(50)])
    contraction = float(((1 - 0.3 * squares) ** 2).mean())  # of the second moment, batches of two
    found = regression.predictions(x, rest, 0.3, 2)
    assert found["exact"] == pytest.approx(h / 2 * 0.09 * c / 2 / (1 - contraction))
    assert found["four"] == pytest.approx(0.3 / 8 * c)
    assert found["three"] == pytest.approx(0.3 / 8 * h * float((rest**2).mean()))
    x, rest = regression.problem(1, "wrong", 4000, 4)
    small = regression.predictions(x, rest, 1e-5, 2)
    assert small["exact"] == pytest.approx(small["four"], rel=1e-3)
    # Trace 1 + 0.46 + 0.22 + 0.1 of the Hessian, and twice the first variance more of the covariance.
    assert small["four"] / small["three"] == pytest.approx((1.78 + 2) / 1.78, rel=0.15)


def test_sgd_settles_where_the_closed_form_says_and_lower_with_shuffled_epochs():
    problems = [regression.problem(seed, "right", 40, 3) for seed in range(8)]
    x, rest = (torch.stack(parts) for parts in zip(*problems, strict=True))
    free, epochs = (
        regression.settle(x, rest, range(8), [0.05, 0.3], 4, 6000, way) for way in ("independent", "epochs")
    )
    exact = np.array([[regression.predictions(*own, lr, 4)["exact"] for lr in (0.05, 0.3)] for own in problems])
    np.testing.assert_allclose(np.exp(np.log(free / exact).mean(0)), 1, atol=0.1)
    assert (epochs < 0.8 * free).all()


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"lrs": [0.05, 0.1]}, "its double and its fourfold"),
        ({"batches": [16, 32]}, "with the last batch a quarter"),
        ({"lrs": [0.2, 0.1, 0.05]}, "lrs = .*rising numbers"),
        ({"factors": [2, 4]}, "factors = .*begin with 1"),
        ({"factors": [1, 64]}, "no larger than the largest of the subsets"),
        ({"base_batch": 200, "factors": [1]}, "rising numbers"),
        ({"setting": "digits"}, "'digits': give plain SGD"),
        ({"cycled": "mnist1d"}, "'mnist1d': give plain SGD"),
        ({"recipe": {"momentum": 0.9}}, "give plain SGD"),
        ({"setting": "digits-flat"}, "unknown setting 'digits-flat'"),
        ({"subset": [10, 20]}, "did you mean 'subsets'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_what_the_data_cannot_give_is_refused_before_training():
    with pytest.raises(ParameterError, match="1297 training examples"):
        study.shards(TINY.model_copy(update={"subsets": (300, 2000)}))
    with pytest.raises(ParameterError, match="ends before the 100 epochs"):
        study.shards(TINY.model_copy(update={"epochs": 100}))


def test_shards_hold_nothing_that_does_not_matter():
    few = study.shards(TINY)
    more = study.shards(TINY.model_copy(update={"profile": "other", "drop": 0.1, "draws": 5}))
    assert [shard for shard in few if shard.of != "breaking"] == [shard for shard in more if shard.of != "breaking"]
    assert all(isinstance(Bench(shard.config).seeds, list) for shard in few)


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

N = 10
PARAMS = Params(seeds=N, batches=(8, 16, 32, 64))
ENDS = {"cyclic batch": 0.85, "cyclic step": 0.85, "small step": 0.80, "large batch": 0.80, "mean step": 0.82}


def world(
    powers=(-0.5, 0.5),  # of step and batch in the largest eigenvalue
    trace=1.0,  # power of the eigenvalue in the trace
    relative=1.0,  # and in the relative sharpness
    accuracy=-0.02,  # slopes on the log of the eigenvalue, between settings
    test_loss=0.1,
    within=-0.02,  # slope of accuracy within a setting
    kicks=(0.5, 0.5),  # slopes on the log eigenvalue of what is left: in the weights, in the outputs
    grows=4.0,  # what is left in the weights where the eigenvalue is 1
    barrier=0.001,
    rescaled=8.0,
    scaled=1.0,
    steep=(2.0, 2.0, 1.0),  # loss beyond the second network over that beyond the first, by pair
    gaps=(0.01, 0.1),  # between curves: linear, square root; between two seeds they are 0.03
    ends=None,
    memory=(0.02, -0.03),  # slopes on log2 of the ratio: accuracy at half, wrong labels at one time
    breaks=(8.0, 10.0),  # factors at the smallest and the largest training set
    law=(1.03, 1.3),  # measured over the law of three, at small steps and at the large one
    wrong=(1.6, 1.02),  # over the laws of three and of four where noise grows with a feature
    epochs=0.6,
    exact=1.0,
):
    """Ten seeds of every experiment."""
    random = np.random.default_rng(0)

    def noise(size=0.02):
        return size * random.normal(size=np.shape(size))

    networks, twins = _landed(noise, powers, (trace, relative), (accuracy, test_loss, within), (*kicks, grows, barrier))
    flattest = networks.query("lr == 0.2 and batch == 8").set_index("seed")
    other = {
        "rescaled": rescaled * (1 + noise(np.full(N, 0.02))) * networks.groupby("seed").sharpness.max(),
        "rescaled_relative": scaled * flattest.relative,
    }
    tables = {
        "networks": networks,
        "kicks": twins,
        "rescaled": pd.DataFrame(other).reset_index(),
        "lines": pd.DataFrame(_lines(noise, steep)),
        "curves": pd.DataFrame(_curves(noise, gaps)),
        "schedules": pd.DataFrame(_schedules(noise, ENDS | (ends or {}))),
        "memory": pd.DataFrame(_memory(noise, memory)),
        "breaking": pd.DataFrame(_breaking(noise, breaks)),
        "regression": pd.DataFrame(_regression(noise, law, wrong, epochs, exact)),
    }
    return Tables(tables, PARAMS)


def _landed(noise, powers, curved, hits, kicks):
    """The tables of networks and of kicks."""
    networks, twins = [], []
    for seed, (lr, batch) in product(range(N), PARAMS.cells):
        mean, own = powers[0] * np.log(lr) + powers[1] * np.log(batch), noise(0.03)
        key = {"seed": seed, "lr": lr, "batch": batch, "ratio": lr / batch}
        networks.append(key | {
            "loss": 0.005, "step": 10, "sharpness": np.exp(mean + own),
            "trace": np.exp(curved[0] * mean + noise()), "relative": np.exp(curved[1] * mean + noise()),
            "accuracy": 0.9 + hits[0] * mean + hits[2] * own + noise(1e-5), "test_loss": hits[1] * mean + noise(1e-3),
        })  # fmt: skip
        for size in (0.0, *PARAMS.kick_sizes):
            left, gap = (np.exp(slope * mean + noise(0.05)) for slope in kicks[:2])
            twin = {"size": size, "kind": "gaussian" if size else "control", "largest_difference": float(size > 0)}
            twins.append(key | twin | {"left": kicks[2] * left, "gap": gap, "twin_barrier": kicks[3]})
    return pd.DataFrame(networks), pd.DataFrame(twins)


def _lines(noise, steep):
    for seed, (pair, ratio), alpha in product(range(N), zip(PARAMS.pairs, steep, strict=True), np.linspace(-1, 2, 13)):
        yield {"seed": seed, "pair": pair, "alpha": alpha, "loss": (ratio if alpha > 1 else 1) * np.exp(noise(0.1))}


def _curves(noise, gaps):
    for seed, (role, gap), epoch in product(range(N), ((BASE, 0), (SAME, gaps[0]), (SQUARE, gaps[1])), range(4)):
        shift = gap * np.exp(noise(0.1)) * (epoch == 1) + 0.03 * (seed % 2) * (epoch == 2)
        yield {"seed": seed, "role": role, "epoch": epoch, "accuracy": 0.8 - shift}


def _schedules(noise, ends):
    for seed, (arm, value), phase in product(range(N), ends.items(), (0, 1)):
        yield {"seed": seed, "arm": arm, "phase": phase, "loss": 0.1, "accuracy": value + noise(0.003)}


def _memory(noise, slopes):
    """Wrong labels are counted at time 10, half of them are fitted at time 15."""
    for seed, (lr, batch), time in product(range(N), ((0.1, 8), (0.1, 32), (0.2, 128)), range(5)):
        doublings = np.log2(lr / batch) + 8
        wrong = (0.0, 0.1, 0.3 + slopes[1] * doublings + noise(0.005), 0.5, 0.9)[time]
        right, hit = (0.2, 0.5, 0.95, 0.99, 1.0)[time], 0.7 + slopes[0] * doublings + noise(0.005)
        key = {"seed": seed, "lr": lr, "batch": batch, "ratio": lr / batch, "time": 5 * time}
        yield key | {"wrong": wrong, "right": right, "accuracy": hit}


def _breaking(noise, breaks):
    for seed, (examples, at) in product(range(N), zip((150, 300), breaks, strict=True)):
        own = np.log2(at * np.exp(noise(0.02)))
        for factor in PARAMS.factors:
            drop = 0.02 * (np.log2(factor) / own) ** 3
            yield {"seed": seed, "examples": examples, "factor": factor, "accuracy": 0.9 - drop}


def _regression(noise, law, wrong, epochs, exact):
    kinds = product(regression.WORLDS, regression.WAYS, PARAMS.regression_lrs, PARAMS.regression_batches, range(N))
    for place, way, lr, batch, seed in kinds:
        over = (law[lr == PARAMS.large_step] if place == "right" else wrong[0]) * np.exp(noise(0.05))
        measured, four = over * (epochs if way == "epochs" else 1), wrong[0] / wrong[1] if place == "wrong" else 1
        key = {"seed": seed, "lr": lr, "batch": batch, "world": place, "way": way}
        yield key | {"three": 1.0, "four": four, "measured": measured, "exact": measured / exact}


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch):
    """Of a bootstrap; claims are judged many times here."""
    monkeypatch.setattr(intervals, "DRAWS", 200)


CLAIMS = [q.id for q in study.questions]


def judge(**changes):
    tables = world(**changes)
    return verdicts(study.judge(tables.params, tables))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


# Worlds in which several claims fail at once, so that few have to be judged; none of the others is void.
FAILING = {
    "noise is sharp": ({"powers": (0.5, -0.5), "steep": (0.5, 0.5, 2.0)},
                       {"FM01", "FM01b", "FM01c", "FM01d", "FM02", "FM02b", "FM04c", "FM10c"}),
    "the step alone": ({"powers": (-0.5, -0.02), "steep": (2.0, 2.0, 0.5)}, {"FM02", "FM04", "FM04b", "FM04c"}),
    "flat is bad": ({"trace": -1.0, "relative": -1.0, "accuracy": 0.02, "test_loss": -0.1, "within": 0.02},
                    {"FM01b", "FM10c", "FM03", "FM03b", "FM03c"}),
    "square root": ({"powers": (-0.5, 0.2), "gaps": (0.06, 0.01)}, {"FM04b", "FM04d", "FM05", "FM05b", "FM05c"}),
    "schedules": ({"ends": {"cyclic batch": 0.83, "large batch": 0.88, "small step": 0.86, "mean step": 0.88}},
                  {"FM06", "FM06b", "FM06c", "FM06d"}),
    "other schedules": ({"ends": {"cyclic batch": 0.87}, "powers": (0.2, 0.5)}, {"FM06", "FM02b"}),
    "noise memorises": ({"memory": (-0.02, 0.03), "breaks": (12.0, 4.0)}, {"FM07", "FM07b", "FM08b"}),
    "growth": ({"breaks": (4.0, 14.0)}, {"FM08c"}),
    "other laws": ({"law": (1.3, 1.03), "wrong": (1.0, 1.4), "epochs": 1.3, "exact": 1.3, "breaks": (4.0, 40.0)},
                   {"FM09", "FM09b", "FM09c", "FM09d", "FM09e", "FM09f", "FM08"}),
    "lower laws": ({"law": (0.7, 1.3), "rescaled": 0.7, "scaled": 1.2}, {"FM09", "FM10", "FM10b"}),
    "kicks": ({"kicks": (-0.5, -0.5), "grows": 0.05, "barrier": 0.5}, {"FM11", "FM11b", "FM11c", "FM11d"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILING)
def test_every_claim_can_be_contradicted(name):
    change, failing = FAILING[name]
    found = judge(**change)
    assert {id: found[id] for id in failing} == dict.fromkeys(failing, "contradicted")
    assert set.union(*(ids for _, ids in FAILING.values())) == set(CLAIMS)


def test_estimates_are_what_was_planted():
    tables = world()
    found = {c.id: c.estimate for c in study.judge(tables.params, tables)}
    planted = {"FM01c": 2.0, "FM02": 2**-0.5, "FM02b": 2**-0.5, "FM04b": 1.0, "FM05": 10.0, "FM05b": 1 / 3, "FM06": 0.0}
    planted |= {
        "FM06b": 0.05,
        "FM06d": 0.03,
        "FM07": 0.02,
        "FM07b": -0.03,
        "FM08": 1.0,
        "FM08b": 1.0,
        "FM09": 1.03,
        "FM09b": 1.3,
    }
    planted |= {"FM09c": 1.6, "FM09d": 1.02, "FM09e": 0.6, "FM10": 8.0}
    assert {id: found[id] for id in planted} == pytest.approx(planted, rel=0.1, abs=0.005)
    pairs = {"FM05b", "FM05c"}
    assert all(c.n == (N // 2 if c.id in pairs else N) for c in study.judge(tables.params, tables))


def test_a_factor_that_is_never_reached_is_a_bound():
    found = noise_minima.breaks(world(breaks=(4.0, 40.0)))
    small, large = (found[found.examples == size] for size in (150, 300))
    np.testing.assert_allclose(small.lower, small.upper)
    assert (large.lower == 16).all()
    assert np.isinf(large.upper).all()


def test_claims_are_void_where_something_was_lost():
    tables, columns = world(), {"kicks": "left", "schedules": "loss", "regression": "measured", "curves": "accuracy"}
    for table, column in columns.items():
        tables[table].loc[tables[table].index[-1], column] = np.nan
    tables["networks"].loc[tables["networks"].seed < 2, "trace"] = np.nan  # more than a tenth of the seeds
    found = study.judge(tables.params, tables)
    assert {c.id for c in found if not c.void} == {"FM07", "FM07b", "FM08", "FM08b", "FM08c"}
    assert all(c.verdict == "inconclusive" for c in found if c.void)


def test_a_seed_of_which_a_network_never_arrived_is_left_out_with_all_its_networks():
    tables = world()
    first = tables["networks"].index[0]
    tables["networks"].loc[first, ["loss", "sharpness", "relative", "trace"]] = np.nan
    tables["kicks"].loc[tables["kicks"].seed == 0, "left"] = np.nan
    found = {c.id: c for c in study.judge(tables.params, tables)}
    rest = {"FM01", "FM01b", "FM01c", "FM02", "FM03", "FM03c", "FM04", "FM10", "FM11", "FM11c"}
    assert {id: found[id].n for id in rest} == dict.fromkeys(rest, N - 1)
    assert not any(found[id].void for id in rest)
    for name in ("networks", "lines", "kicks"):
        assert 0 not in set(noise_minima.arrived(tables, name).seed)


def test_what_did_not_learn_or_was_not_fitted_is_void():
    tables = world()
    tables["breaking"]["accuracy"] -= 0.5
    tables["memory"]["wrong"] = tables["memory"].wrong.where(tables["memory"].batch != 8, 0.1)
    tables["memory"]["right"] = 0.4
    tables["schedules"]["accuracy"] -= 0.5
    tables["kicks"].loc[tables["kicks"].kind == "control", "largest_difference"] = 1e-9
    found = {c.id: c.void for c in study.judge(tables.params, tables)}
    assert {id for id, reason in found.items() if reason} == {
        "FM08", "FM08b", "FM08c", "FM07", "FM07b", "FM06", "FM06b", "FM06c", "FM06d", "FM11", "FM11b", "FM11c", "FM11d",
    }  # fmt: skip
    assert "control twins differ" in found["FM11"]
