"""Notebook 43: students and networks trained step by step, theory in cases that are known, claims that can fail."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from butterfly import data, least_squares, models
from butterfly.papers.pezeshki2022 import two_speeds
from butterfly.papers.pezeshki2022.student import (
    RATE,
    closed,
    drawn,
    limit,
    order,
    parts,
    restrained,
    scales,
    slow_alone,
    strengths,
    students,
)
from butterfly.papers.pezeshki2022.two_speeds import (
    COMPARED,
    FAST,
    MAIN,
    OUTPUTS,
    PLAIN,
    SCARCE,
    SLOW,
    SPREAD,
    TWO,
    WEIGHTS,
    Params,
    halved,
    log_steps,
    reached,
    spoiled,
    study,
    swings,
    turns_of,
)
from butterfly.strict import ParameterError
from butterfly.study import setting
from butterfly.study.bench import Bench
from tests.conftest import verdicts

TINY = Params(
    model="mlp-1x16",
    steps=20,
    seeds=2,
    seeds_per_shard=2,
    draws=2,
    draws_per_shard=2,
    features=20,
    fast=12,
    examples=24,
    scarce=8,
    conditions=(1.0, 3.0, 10.0, 30.0),
    slowest=30.0,
    mild=3.0,
    decades=4,
    looks_per_decade=4,
    compared_examples=30,
    compared_fast=10,
    compared_condition=10.0,
    penalty_examples=26,
    penalty_condition=5.0,
    penalty_decades=2,
    looks=6,
)


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    steps, short = len(log_steps(4, 4)), len(log_steps(2, 8))
    keys = {
        "curves": (["place", "condition", "step", "seed"], (4 + 1) * steps * 2),
        "formulas": (["place", "condition", "step"], (4 + 1) * steps),
        "turns": (["place", "condition", "solver", "seed"], (4 + 1) * 2 * 2),
        "apart": (["arm", "step", "seed"], 3 * steps * 2),
        "apart_turns": (["arm", "seed"], 3 * 2),
        "penalty": (["arm", "step", "seed"], 3 * short * 2),
        "penalty_turns": (["arm", "seed"], 3 * 2),
        "networks": (["arm", "step", "seed"], 4 * results["networks"].step.nunique() * 2),
        "network_turns": (["arm", "seed"], 4 * 2),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name
    assert np.isfinite(results["curves"].drop(columns="place")).all(axis=None)
    assert np.isfinite(results["formulas"].drop(columns="place")).all(axis=None)


def test_steps_are_whole_and_end_at_a_power_of_ten():
    found = log_steps(3, 4)
    assert found[:4] == [0, 1, 2, 3]
    assert found[-1] == 1000
    assert found == sorted(set(found))


# --- the linear student, step by step --------------------------------------------------------------------------------


def orthogonal(size, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def plain_student(x, y, steps):
    """Weights of one draw after each of the steps, by plain gradient descent on half the sum of squares."""
    weights, kept = np.zeros(x.shape[1]), {}
    for step in range(max(steps) + 1):
        kept[step] = weights.copy()
        weights = weights - RATE * x.T @ (x @ weights - y)
    return np.array([kept[step] for step in steps])


def test_the_error_is_that_of_gradient_descent_with_random_rotations():
    """Features and weights turned at random, as the authors have it: the same errors, overlaps and sizes."""
    steps, draws = [0, 1, 5, 60], drawn([7], 24, 20)
    z, w = draws.z[0].numpy(), draws.w[0].numpy()
    left, right = orthogonal(20, 1), orthogonal(20, 2)
    modulation = left @ np.diag(scales(20, 12, 4.0).numpy()) @ right
    turned = left @ w
    student = plain_student((z @ left.T) @ modulation, z @ w, steps) @ modulation.T
    descent, _ = students(draws, scales(20, 12, 4.0), steps)
    expected = ((student - turned) ** 2).sum(1) / 40
    np.testing.assert_allclose(sum(parts(descent, draws.w, 12))[0].numpy(), expected, rtol=1e-9)
    overlap, size = order(descent, draws.w)
    np.testing.assert_allclose(overlap[0].numpy(), student @ turned / 20, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(size[0].numpy(), (student**2).sum(1) / 20, rtol=1e-9, atol=1e-12)


def test_the_error_is_that_on_new_inputs():
    draws = drawn([0], 24, 20)
    descent, _ = students(draws, scales(20, 12, 4.0), [10])
    new = np.random.default_rng(0).normal(size=(200_000, 20)) / math.sqrt(20)
    measured = ((new @ (descent[0, 0] - draws.w[0]).numpy()) ** 2).mean() / 2
    assert float(sum(parts(descent, draws.w, 12))) == pytest.approx(measured, rel=0.02)


def test_ridge_regression_stands_for_time():
    draws, scale = drawn([0, 1], 24, 20), scales(20, 12, 4.0)
    _, ridge = students(draws, scale, [0, 8])
    assert strengths([0, 8]).tolist() == [math.inf, 0.5]
    assert (ridge[:, 0] == 0).all()
    x, y = draws.z * scale, draws.values()
    direct = torch.linalg.solve(x.mT @ x + 0.5 * torch.eye(20, dtype=x.dtype), (x.mT @ y[..., None])[..., 0])
    torch.testing.assert_close(ridge[:, 1], scale * direct)


def test_slow_features_alone_follow_fast_ones_that_are_always_at_their_best():
    draws, steps, condition = drawn([3], 24, 20), [0, 1, 4, 40], 3.0
    z, y, w = draws.z[0].numpy(), draws.values()[0].numpy(), np.zeros(8)
    kept = {}
    for step in range(41):
        best = np.linalg.lstsq(z[:, :12], y - z[:, 12:] @ w, rcond=None)[0]
        kept[step] = np.concatenate([best, w])
        w = w - RATE / condition**2 * z[:, 12:].T @ (z[:, :12] @ best + z[:, 12:] @ w - y)
    found = slow_alone(draws, 12, condition, steps)[0].numpy()
    np.testing.assert_allclose(found, [kept[step] for step in steps], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("of_weights", [False, True])
def test_a_penalty_that_fades_is_that_of_a_loop(of_weights):
    draws, steps = drawn([3], 24, 20), [0, 1, 5, 30]
    x, y = draws.z[0] * scales(20, 12, 3.0), draws.values()[0]
    weights, kept = torch.zeros(20, dtype=x.dtype), {}
    mean = float(torch.linalg.eigvalsh(x.mT @ x).mean())
    for step in range(31):
        kept[step] = weights
        now = 0.6 * math.log(1 + math.exp(-step / 10)) / math.log(2)
        leaf = weights.clone().requires_grad_()
        held = mean * (leaf**2).sum() if of_weights else ((x @ leaf) ** 2).sum()
        (gradient,) = torch.autograd.grad(((x @ leaf - y) ** 2).sum() / 2 + now * held / 2, leaf)
        weights = weights - RATE * gradient
    found = restrained(least_squares.modes(x[None], y[None]), steps, 0.6, 10.0, of_weights)[0]
    torch.testing.assert_close(found, torch.stack([kept[step] for step in steps]))


def test_arms_are_what_they_are_called(results):
    ends = results["apart"][results["apart"].step == 10_000].set_index(["arm", "seed"])
    starts = results["apart"][results["apart"].step == 0].set_index(["arm", "seed"])
    draws = drawn([0, 1], 24, 20)
    for seed in (0, 1):
        hidden = float((draws.w[seed, 12:] ** 2).sum() / 40)
        assert ends.slow[FAST, seed] == pytest.approx(hidden)  # never learned
        best = np.linalg.lstsq(draws.z[seed, :, :12].numpy(), draws.values()[seed].numpy(), rcond=None)[0]
        expected = hidden + ((best - draws.w[seed, :12].numpy()) ** 2).sum() / 40
        assert starts.error[SLOW, seed] == pytest.approx(expected)
        few = drawn([seed], 8, 20)
        best = np.linalg.lstsq(few.z[0, :, :12].numpy(), few.values()[0].numpy(), rcond=None)[0]
        assert ends.fast[SCARCE, seed] == pytest.approx(((best - few.w[0, :12].numpy()) ** 2).sum() / 40, rel=0.1)
    assert set(results["apart"].arm) == {FAST, SLOW, SCARCE}


# --- theory ----------------------------------------------------------------------------------------------------------


def test_theories_know_both_ends():
    steps = [0, 10**13]
    for theory in (closed, limit):
        np.testing.assert_allclose(theory(steps, 110, 100, 70, 100.0), [0.5, 0.0], atol=1e-3)


@pytest.mark.parametrize("theory", [closed, limit])
def test_theories_know_least_squares_on_fast_features(theory):
    """With p of n examples' freedom used up, what is left out acts as noise: 0.3 (1 + p / (n - p)) / 2."""
    assert theory([10**5], 110, 100, 70, 1e7)[0] == pytest.approx(0.15 * (1 + 70 / 40), rel=1e-3)


def test_theories_agree_until_slow_features_are_learned_and_not_after():
    early, late = [1, 5, 20, 100], [10**5]
    np.testing.assert_allclose(closed(early, 110, 100, 70, 1e5), limit(early, 110, 100, 70, 1e5), atol=1e-4)
    assert closed(late, 110, 100, 70, 100.0)[0] < limit(late, 110, 100, 70, 100.0)[0] - 0.02


def test_the_limit_is_that_of_a_large_student():
    steps = [3, 30, 300, 3000, 30_000]
    draws = drawn([0, 1], 660, 600)
    _, ridge = students(draws, scales(600, 420, 12.0), steps)
    measured = sum(parts(ridge, draws.w, 420)).mean(0).numpy()
    np.testing.assert_allclose(measured, limit(steps, 660, 600, 420, 12.0), rtol=0.1, atol=0.005)


def test_with_few_examples_the_limit_is_known_too():
    """Fast features that fit all: the shortest of p weights from n examples keeps a share n / p of each of them."""
    kept = 50 / 70
    expected = (0.7 * (1 - kept) ** 2 + 0.3) / (1 - kept) / 2
    assert limit([10**6], 50, 100, 70, 1e9)[0] == pytest.approx(expected, rel=1e-2)


# --- turns -----------------------------------------------------------------------------------------------------------


def test_swings_leave_out_what_is_small():
    assert swings(np.array([1.0, 0.5, 0.52, 0.3, 0.6, 0.58, 0.7, 0.1]), 0.05) == pytest.approx([-0.7, 0.4, -0.6])
    assert swings(np.array([1.0, 0.99, 0.98]), 0.05) == []
    assert swings(np.array([1.0, 1.04, 0.2]), 0.05) == pytest.approx([-0.8])


def test_turns_of_a_curve_with_a_bump():
    steps, curve = np.array([0, 1, 3, 7, 15, 31]), np.array([1.0, 0.4, 0.2, 0.6, 0.3, 0.0])
    found = turns_of(steps, curve, fast=np.array([0.6, 0.2, 0.1, 0.5, 0.2, 0.0]))
    expected = {"start": 1.0, "trough": 0.2, "trough_at": 3, "peak": 0.6, "peak_at": 7, "end": 0.0}
    expected |= {"rise": pytest.approx(0.4), "fall": pytest.approx(0.6), "moves": "DUD", "half_at": pytest.approx(15)}
    expected["fast_share"] = pytest.approx(0.5 / 0.6)
    expected["tenth_at"] = pytest.approx(np.expm1(math.log(16) + 2 / 3 * math.log(2)))
    assert found == expected


def test_turns_of_a_curve_that_only_falls():
    found = turns_of(np.array([0, 1, 2]), np.array([1.0, 0.5, 0.2]))
    assert (found["rise"], found["moves"], found["tenth_at"]) == (0, "D", math.inf)
    assert "fast_share" not in found


def test_a_level_is_read_between_looks():
    steps, curve = np.array([0, 9, 99]), np.array([1.0, 0.6, 0.2])
    assert reached(steps, curve, 0.4) == pytest.approx(10**1.5 - 1)
    assert reached(steps, curve, 1.0) == 0
    assert reached(steps, curve, 0.1) == math.inf


def test_what_networks_do_before_they_have_learned_does_not_count():
    errors = [0.5, 0.4, 0.55, 0.2, 0.3, 0.1]
    table = pd.DataFrame({"arm": "a", "seed": 0, "step": [0, 1, 2, 4, 8, 16], "test": errors})
    never = table.assign(seed=1, test=0.4)
    found = two_speeds.once_learned(pd.concat([table, never]))
    assert found[found.seed == 0].test.tolist() == [0.5, 0.2, 0.3, 0.1]
    assert found[found.seed == 1].step.tolist() == [0]


# --- networks --------------------------------------------------------------------------------------------------------


def test_wrong_labels_are_those_of_the_seed_and_as_many_as_asked():
    task = data.load("digits")
    noisy, labels = spoiled(task, 0.2, [3, 4])
    assert ((labels != task.y).float().mean(1) - 0.2).abs().max() < 1e-3
    assert not torch.equal(labels[0], labels[1])
    assert torch.equal(noisy.targets.argmax(2), labels)
    assert (noisy.targets.sum(2) == 1).all()
    assert torch.equal(noisy.y, task.y)


def test_the_classes_are_split_in_halves():
    task = data.load("digits")
    two = halved(task)
    assert two.classes == 2
    assert torch.equal(two.y, (task.y > 4).long())
    assert torch.equal(two.y_test, (task.y_test > 4).long())


def test_a_network_is_trained_as_in_plain_pytorch(own_store):
    """All examples in every batch: Adam, decay in its gradient; for two classes the variance of margins."""
    task, count = data.load("digits"), len(data.load("digits").y)
    shard = study.shards(TINY.model_copy(update={"recipe": {"batch_size": count}}))[-1]
    found = two_speeds.overfit(Bench(shard.config))
    for arm, decay, penalty in ((0, 0.0, 0.0), (1, 1e-2, 0.0), (2, 0.0, 0.0), (3, 0.0, 0.1)):
        own_task = halved(task) if arm > 1 else task
        _, labels = spoiled(own_task, 0.2, [1])
        model = models.build("mlp-1x16", task.input_shape, own_task.classes)
        start = {name: view[0] for name, view in model.layout.tensors(model.init([1])).items()}
        first, second = torch.nn.Linear(64, 16), torch.nn.Linear(16, own_task.classes)
        for layer, name in ((first, "linear0"), (second, "linear1")):
            layer.weight.data, layer.bias.data = start[f"{name}.weight"].T.clone(), start[f"{name}.bias"].clone()
        network = torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.ReLU(), second)
        optimizer = torch.optim.Adam(network.parameters(), setting("digits-long").recipe.lr, weight_decay=decay)
        for _ in range(20):
            optimizer.zero_grad()
            logits = network(task.x)
            loss = torch.nn.functional.cross_entropy(logits, labels[0])
            if penalty:
                margins = (logits[:, 1] - logits[:, 0]) * (2 * labels[0] - 1)
                loss = loss + penalty * margins.var(correction=0)
            loss.backward()
            optimizer.step()
        test = (network(task.x_test).argmax(1) != own_task.y_test).double().mean()
        own = (network(task.x).argmax(1) != labels[0]).double().mean()
        assert found["test"][arm, -1, 1] == pytest.approx(float(test), abs=0.005)
        assert found["train"][arm, -1, 1] == pytest.approx(float(own), abs=0.005)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"fast": 100}, "fewer must be fast"),
        ({"examples": 100}, "more examples than the 100 features"),
        ({"scarce": 70}, "fewer scarce ones than the 70 fast"),
        ({"conditions": [2.0, 7.0, 12.0, 100.0]}, "the first of them 1"),
        ({"conditions": [1.0, 7.0, 100.0]}, "four or more"),
        ({"slowest": 50.0}, "slowest = 50 is not one of"),
        ({"decays": [0.1, 0.2]}, "the first of them 0"),
        ({"draw": 3}, "did you mean 'draws'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_shards_hold_nothing_that_does_not_matter():
    more = study.shards(TINY.model_copy(update={"profile": "other", "draws": 4, "seeds": 4}))
    assert {shard.key for shard in study.shards(TINY)} < {shard.key for shard in more}
    other = study.shards(TINY.model_copy(update={"output_penalty": 0.2}))
    differ = [a.compute.__name__ for a, b in zip(study.shards(TINY), other, strict=True) if a.key != b.key]
    assert differ == ["overfit"]


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

STEPS = np.array([0, *10 ** np.arange(8)])
FALLING = np.array([0.5, 0.45, 0.3, 0.28, 0.26, 0.2, 0.1, 0.02, 0.01])
DRAWS = 40


def world(
    moves="DUD",  # of the student with two speeds
    growth=1.0,  # exponent of the rise, as a power of the condition number
    fast="DU",
    slow="D",
    scarce="DU",
    recovered=0.7,  # share of the second descent in fast features
    closed=0.0,  # errors of the formulas, as shares of the start
    drawn=0.0,
    limit=0.0,
    descent=0.0,
    mild=0.05,  # rise that the closed form does not have
    ridge=0.0,  # and that of ridge regression
    late=4.0,  # second descent against the closed form
    left=0.2,  # share of the rise that the penalty leaves
    weights=0.05,  # the rise with a penalty on weights
    time=1.0,  # ratio of the times to a tenth
    networks="DU",
    rise=0.1,  # of networks
    decayed=0.03,
    penalised=0.04,
    single=0.0,  # the rise with one speed
):
    """Draws and seeds in which every effect has its size."""
    random, rows = np.random.default_rng(0), {name: [] for name in ("turns", "apart", "penalty", "nets", "curves")}

    def about(value, by=0.02):
        return value * np.exp(by * random.normal())

    params = Params()
    known = turns_of(STEPS, with_bump(0.3))["half_at"]
    for seed in range(DRAWS):
        for k in params.conditions:
            own = {"place": MAIN, "condition": k, "seed": seed, "moves": moves if k > 1 else "D"}
            rises = about(0.02 * k**growth) if k > 1 else (single if growth > 0 else 1.0)
            own |= {"rise": rises, "fast_share": about(recovered), "half_at": about(late * known)}
            rows["turns"] += [own | {"solver": solver} for solver in ("descent", "ridge")]
        for arm, course in ((FAST, fast), (SLOW, slow), (SCARCE, scarce)):
            rows["apart"].append({"arm": arm, "seed": seed, "moves": course})
        for arm, height, at in (
            (PLAIN, 0.2, 100.0),
            (OUTPUTS, 0.2 * left, 100.0 * time),
            (WEIGHTS, weights * 0.5, 100),
        ):
            rows["penalty"].append({"arm": arm, "seed": seed, "rise": about(height), "tenth_at": about(at)})
        size = about(1.0)
        rows["curves"] += [
            {
                "place": COMPARED,
                "condition": 50.0,
                "step": s,
                "seed": seed,
                "ridge": e * size,
                "error": about(e) * size + more,
            }
            for s, e, more in zip(STEPS, FALLING, shifted(descent), strict=True)
        ]
        bumps = [with_bump(height + 0.01 * random.normal()) for height in (mild, ridge)]
        rows["curves"] += [
            {"place": MAIN, "condition": 7.0, "step": s, "seed": seed, "ridge": r, "error": e}
            for s, e, r in zip(STEPS, *bumps, strict=True)
        ]
    for seed in range(12):
        arms = {"weight decay 0": rise, "weight decay 0.01": decayed, TWO: 0.1, SPREAD: penalised}
        for arm, height in arms.items():
            rows["nets"].append({"arm": arm, "seed": seed, "rise": about(height), "moves": networks, "train": 0.0})
    shapes = {name: FALLING + shifted(off) for name, off in (("closed", closed), ("drawn", drawn), ("limit", limit))}
    of_main = [("closed", with_bump(0.0), 7.0), ("closed", with_bump(0.3), 100.0)]
    formulas = [pd.DataFrame({"place": COMPARED, "condition": 50.0, "step": STEPS} | shapes)]
    formulas += [pd.DataFrame({"place": MAIN, "condition": k, "step": STEPS, name: e}) for name, e, k in of_main]
    nets = pd.DataFrame(rows["nets"])
    return {
        "turns": pd.DataFrame(rows["turns"]),
        "apart_turns": pd.DataFrame(rows["apart"]),
        "penalty_turns": pd.DataFrame(rows["penalty"]),
        "network_turns": nets,
        "networks": nets[["arm", "seed"]].assign(test=0.04, step=100),
        "curves": pd.DataFrame(rows["curves"]),
        "formulas": pd.concat(formulas, ignore_index=True),
    }


def with_bump(height):
    """An error that falls from 1/2, rises by a share of that, and falls to 0."""
    return np.array([0.5, 0.4, 0.3, 0.25, 0.25 + height / 2, 0.2, 0.1, 0.02, 0.0])


def shifted(share):
    """What is amiss with a curve in the middle, as a share of 1/2."""
    return np.where(STEPS == 1000, share / 2, 0.0)


CLAIMS = [q.id for q in study.questions]


@pytest.fixture(autouse=True)
def _in_short(monkeypatch):
    """The power of a share takes long, and nothing is asked of it here; effects are clear to a small bootstrap."""
    monkeypatch.setattr("butterfly.study.study.power", lambda *_: math.nan)
    monkeypatch.setattr("butterfly.study.intervals.DRAWS", 100)


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


# In a world that is as the paper says of networks; the made-up ones fall once, as digits do.
USUAL = dict.fromkeys(CLAIMS, "supported") | {"DD05": "contradicted"}


def test_every_claim_is_as_planted():
    assert judge() == USUAL
    assert judge(networks="DUD")["DD05"] == "supported"


# What is to be contradicted by which changes: one a table in every round, so that none hides behind another.
ROUNDS = [
    {
        "DD01": {"moves": "DU"},
        "DD02": {"fast": "DUD"},
        "DD03": {"closed": 0.1},
        "DD03e DD03g": {"mild": 0.0},
        "DD04b": {"left": 0.4},
        "DD05b DD05c": {"rise": 0.02},
    },
    {
        "DD01": {"moves": "D"},
        "DD02": {"fast": "D"},
        "DD03": {"closed": -0.1},
        "DD03g": {"ridge": 0.05},
        "DD04 DD04b": {"left": 0.8},
        "DD05c": {"decayed": 0.2},
    },
    {
        "DD01c": {"single": 1e-3},
        "DD02b": {"slow": "DUD"},
        "DD03b": {"drawn": -0.1},
        "DD04c": {"weights": 0.3},
        "DD05d": {"penalised": 0.2},
    },
    {"DD02c": {"recovered": 0.3}, "DD02d": {"scarce": "DUD"}, "DD03c": {"limit": 0.1}, "DD04d": {"time": 1.5}},
    {"DD03f": {"late": 1.0}, "DD03d": {"descent": 0.1}, "DD04d": {"time": 0.6}},
]


@pytest.mark.parametrize("changes", ROUNDS)
def test_every_claim_can_be_contradicted_by_its_own_change_only(changes):
    found = judge(**{name: value for change in changes.values() for name, value in change.items()})
    ids = {id for together in changes for id in together.split()}
    assert {id for id, verdict in found.items() if verdict != USUAL[id]} == ids
    assert {found[id] for id in ids} == {"contradicted"}


def test_every_claim_is_contradicted_somewhere():
    told = {id for changes in ROUNDS for together in changes for id in together.split()}
    assert told | {"DD01b", "DD05"} == set(CLAIMS)  # these two below and above


def test_rises_that_fall_with_the_condition_number_contradict():
    assert judge(growth=-1.0)["DD01b"] == "contradicted"


def test_estimates_are_what_was_planted():
    found = {c.id: c for c in study.judge(Params(), world(closed=0.1, descent=-0.1))}
    planted = {"DD01": 1.0, "DD01b": 1.0, "DD02c": 0.7, "DD03": 0.1, "DD03d": 0.1, "DD03e": 0.05, "DD03f": 4.0}
    planted |= {"DD04": 0.8, "DD04d": 1.0, "DD05": 0.0, "DD05b": 0.1, "DD05c": -0.07, "DD05d": -0.06}
    assert {id: found[id].estimate for id in planted} == pytest.approx(planted, rel=0.1)
    assert {found[id].n for id in planted} == {DRAWS, 12}


def test_a_descent_that_does_not_come_enters_as_a_bound():
    tables = world()
    tables["turns"].loc[tables["turns"].seed == 3, "half_at"] = math.inf
    (claim,) = (c for c in study.judge(Params(), tables) if c.id == "DD03f")
    assert (claim.verdict, claim.bound) == ("supported", ">")


VOID = {
    "flat": {"DD04", "DD04b", "DD04c", "DD04d"},
    "labels": {"DD05", "DD05b", "DD05c", "DD05d"},
    "decayed": {"DD05c"},
    "penalised": {"DD05d"},
}


@pytest.mark.parametrize("what", VOID)
def test_claims_are_void_where_there_is_nothing_to_judge(what):
    tables = world()
    if what == "flat":
        turns = tables["penalty_turns"]
        turns.loc[(turns.arm == PLAIN) & (turns.seed < 21), "rise"] = 0.01
    if what == "labels":
        tables["network_turns"].loc[tables["network_turns"].seed == 3, "train"] = 0.2
    if what in ("decayed", "penalised"):
        arm = "weight decay 0.01" if what == "decayed" else SPREAD
        tables["networks"].loc[tables["networks"].arm == arm, "test"] = 0.3
    made = study.judge(Params(), tables)
    assert {c.id for c in made if c.void} == VOID[what]
    assert {c.verdict for c in made if c.void} == {"inconclusive"}
