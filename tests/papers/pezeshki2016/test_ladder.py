"""Notebook 73: single ladders in plain PyTorch, and claims that can come out either way."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from butterfly import data
from butterfly.papers.pezeshki2016 import fitting, ladder
from butterfly.papers.pezeshki2016.ladder import (
    ARMS,
    AUGMENTED,
    FORMS,
    FULL,
    INPUT,
    LATERAL,
    NOISE,
    PLAIN,
    PLANE,
    RECONSTRUCTION,
    REMOVALS,
    SMALL,
    Params,
    study,
)
from butterfly.papers.pezeshki2016.network import AMLP, FIRST, GATED, LINEAR, MLP, NONE, Arm, Ladder, Parts, normalised
from butterfly.strict import ParameterError
from butterfly.train import Recipe
from tests.conftest import make_task, verdicts

TINY = Params(model="mlp-1x8", steps=4, seeds=2, looks=3, labels=(20, 60), more=60, labelled_batch=10, pool=1200)
SEEDS, LABELS, SIZES = [3, 5], [12, 60], (12, 7, 6, 3)
RECIPE = Recipe(steps=8, batch_size=16, lr=0.02, schedule="triangle", warmup=0.0, optimizer="adam")
WEIGHTS = (2.0, 1.0, 0.5, 0.1)


# --- every cell ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def test_every_cell_is_there_once(results):
    course, ends, costs = results["course"], results["stopped"], results["costs"]
    assert len(course) == 9 * 2 * 2 * course["update"].nunique()
    assert not course.duplicated(["arm", "labels", "seed", "update"]).any()
    assert len(ends) == 9 * 2 * 2
    assert list(dict.fromkeys(ends.arm)) == list(ARMS)
    assert not ends.duplicated(["arm", "labels", "seed"]).any()
    assert np.isfinite(course[["validation", "entropy", "test"]]).all(axis=None)
    assert set(costs.arm) == set(ARMS) - {PLAIN, RECONSTRUCTION}
    assert set(costs.layer) == {0, 1, 2}
    assert (costs.cost > 0).all()


def test_an_arm_is_found_under_its_own_name(results):
    """Without noise nothing is left to guess once the lateral signal passes; noise in one layer is less than in all."""
    cost = results["costs"].groupby(["arm", "layer"]).cost.mean()
    assert cost[INPUT, 1] < cost[FULL, 1]
    assert cost[NOISE, 0] < cost[FULL, 0] < cost[LATERAL, 0]


# --- what seeds learn from -------------------------------------------------------------------------------------------


def test_pools_and_validation_share_no_image_and_few_labels_are_among_more():
    task = data.load("digits")
    found = fitting.split(task, SEEDS, 1000, [50, 200, 1000])
    few, more, every = (set(rows[1].tolist()) for rows in found.labelled)
    assert few < more < every == set(range(1000))
    counts = np.bincount(found.pool_y[1, found.labelled[0][1]], minlength=10)
    assert counts.tolist() == [5] * 10
    both = torch.cat([found.pool, found.validation], 1)
    for own in both:
        assert torch.equal(own.sum(1).sort().values, task.x.flatten(1).sum(1).sort().values)  # each image once
    assert not torch.equal(found.pool[0], found.pool[1])


def test_draws_of_a_seed_do_not_depend_on_the_others():
    task = make_task((12,))
    alone, beside = (fitting.Draws(fitting.split(task, seeds, 80, LABELS), seeds, 16, 12) for seeds in ([5], SEEDS))
    for _ in range(2):
        (x, y), (both_x, both_y) = alone.images(), beside.images()
        assert torch.equal(x[:, 0], both_x[:, 1])
        assert torch.equal(y[:, 0], both_y[:, 1])
        assert torch.equal(x[0, 0, :16], x[1, 0, :16])  # images without labels are the same for any number of labels
        for one, two in zip(alone.noise(SIZES), beside.noise(SIZES), strict=True):
            assert torch.equal(one[0], two[1])


# --- a ladder in plain PyTorch ---------------------------------------------------------------------------------------


def test_normalisation_is_that_of_pytorch_and_rests_on_the_first_rows_alone():
    z = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))
    expected = F.batch_norm(z[1, :6], None, None, training=True, eps=1e-10)
    torch.testing.assert_close(normalised(z, 6)[1, :6], expected)
    moved = z.clone()
    moved[:, 6:] += 5
    assert torch.equal(normalised(moved, 6)[:, :6], normalised(z, 6)[:, :6])


def combined(arm, p, layer, z, u):
    """One unit's guess after the other."""
    if not arm.lateral:
        z = torch.zeros_like(z)
    columns = []
    for d in range(z.shape[1]):
        a, b = z[:, d], u[:, d]
        if arm.combinator in (GATED, LINEAR):
            w, v = p[f"direct{layer}"][:, d], p[f"inside{layer}"][:, d]
            guess = w[0] + w[1] * a + w[2] * b
            if arm.combinator == GATED:
                inside = v[0] + v[1] * a + v[2] * b + v[3] * a * b
                guess = guess + w[3] * a * b + p[f"outside{layer}"][d] * torch.sigmoid(inside)
        else:
            given = [a, b, a * b][: 3 if arm.combinator == AMLP else 2]
            first = p[f"first{layer}"][: len(given), :, d]
            hidden = F.leaky_relu(torch.stack(given, 1) @ first + p[f"within{layer}"][:, d], 0.1)
            guess = hidden @ p[f"second{layer}"][:, d] + p[f"after{layer}"][d]
        columns.append(guess)
    return torch.stack(columns, 1)


def encoded(p, x, noise, first, std):
    """Every layer's `z`, and logits, of one network; `noise` None: clean."""
    h, seen = x if noise is None else x + std[0] * noise[0], []
    seen.append(h)
    for layer in (1, 2, 3):
        z = h @ p[f"up{layer}"]
        z = (z - z[:first].mean(0)) / z[:first].std(0, correction=0)
        if noise is not None:
            z = z + std[layer] * noise[layer]
        seen.append(z)
        h = z + p[f"bias{layer}"]
        h = h.relu() if layer < 3 else h * p["gain"]
    return seen, h


def single_loss(arm, p, x, y, noise):
    """What one ladder minimises."""
    first, std = len(x) - len(y), {"every layer": [0.4] * 4, "input": [0.4, 0, 0, 0], "none": [0] * 4}[arm.noise]
    noisy, logits = encoded(p, x, noise, first, std)
    loss = F.cross_entropy(logits[first:], y)
    if not arm.reconstruction:
        return loss
    clean, _ = encoded(p, x[:first], None, first, std)
    u = logits[:first].softmax(1)
    for layer in (3, 2, 1, 0):
        u = F.batch_norm(u, None, None, training=True, eps=1e-10)
        guess = combined(arm, p, layer, noisy[layer][:first], u)
        loss = loss + WEIGHTS[layer] * F.mse_loss(guess, clean[layer])
        u = guess @ p[f"down{layer}"] if layer else None
    return loss


@pytest.fixture(scope="module")
def trained():
    """All arms after four updates, with what they were at the start."""
    task = make_task((12,))
    pieces = fitting.split(task, SEEDS, 80, LABELS)
    groups = fitting.stacks(list(ARMS.values()), SIZES, 2, SEEDS, 0.4, pieces.pool)
    starts = [stack.theta.clone() for stack in groups]
    draws, given = fitting.Draws(pieces, SEEDS, 16, 12), []
    for step in range(4):
        given.append((*draws.images(), draws.noise(SIZES)))
        for stack in groups:
            stack.step(*given[-1], WEIGHTS, RECIPE, step)
    found = [fitting.tested(stack, pieces, task.x_test, task.y_test) for stack in groups]
    return task, pieces, groups, starts, given, found


@pytest.mark.parametrize("name", ARMS)
def test_a_ladder_is_what_plain_pytorch_trains(trained, name):
    task, pieces, groups, starts, given, found = trained
    arm = ARMS[name]
    number = next(k for k, stack in enumerate(groups) if arm in stack.arms)
    stack, count, seed = groups[number], 1, 1
    row = stack.arms.index(arm) + count * len(SEEDS) + seed
    p = {name: v[row].clone().requires_grad_() for name, v in stack.ladder.layout.tensors(starts[number]).items()}
    adam = torch.optim.Adam(p.values(), lr=0.02)
    for step, (x, y, noise) in enumerate(given):
        adam.param_groups[0]["lr"] = 0.02 * (1 - step / 8)
        adam.zero_grad()
        single_loss(arm, p, x[count, seed], y[count, seed], [v[seed] for v in noise]).backward()
        adam.step()
    for part, value in stack.ladder.layout.tensors(stack.theta).items():
        torch.testing.assert_close(value[row], p[part].detach(), rtol=1e-3, atol=2e-4)
    x = torch.cat([pieces.pool[seed], pieces.validation[seed], task.x_test.flatten(1)])
    logits = encoded(p, x, None, 80, None)[1].detach()[80:]
    held = len(pieces.validation_y[seed])
    truth = torch.cat([pieces.validation_y[seed], task.y_test])
    wrong = (logits.argmax(1) != truth).double()
    expected = [wrong[:held].mean(), F.cross_entropy(logits[:held], truth[:held]), wrong[held:].mean()]
    np.testing.assert_allclose(found[number][:, row], expected, rtol=1e-3)


def test_arms_of_a_seed_start_alike_and_the_original_combinator_passes_on_what_it_is_given(trained):
    _, _, groups, starts, _, _ = trained
    encoders = [stack.ladder.layout.tensors(start)["up2"] for stack, start in zip(groups, starts, strict=True)]
    assert all(torch.equal(own[0], encoders[0][0]) for own in encoders)
    assert not torch.equal(encoders[0][0], encoders[0][1])
    arms = [Arm(), Arm(lateral=False)]
    made = Ladder(SIZES, GATED)
    p = made.layout.tensors(made.start([torch.Generator().manual_seed(k) for k in (0, 1)], arms))
    parts = Parts.of(arms, len(SIZES), 0.3, p["up1"])
    noisy = [torch.randn(2, 5, size, generator=torch.Generator().manual_seed(size)) for size in SIZES]
    guesses = made.decode(p, noisy, noisy[-1], parts)
    for z, guess in zip(noisy, guesses, strict=True):
        torch.testing.assert_close(guess[0], z[0] + z[0].sigmoid())
    u = normalised(noisy[-1].softmax(-1), 5)[1]
    torch.testing.assert_close(guesses[-1][1], u + u.sigmoid())


def test_arms_are_what_their_names_say():
    assert {arm.form for arm in ARMS.values()} == {GATED, "", MLP}
    assert len(set(ARMS.values())) == len(ARMS)
    without = {LATERAL: Arm(lateral=False), NOISE: Arm(noise=NONE), RECONSTRUCTION: Arm(reconstruction=False)}
    without |= {PLANE: Arm(combinator=LINEAR), INPUT: Arm(noise=FIRST)}
    assert {name: ARMS[name] for name in without} == without
    assert set(REMOVALS) <= set(without)
    assert [ARMS[name].combinator for name in FORMS] == [LINEAR, GATED, MLP, AMLP]


def test_a_lost_member_has_no_errors(trained):
    task, pieces, groups, *_ = trained
    stack = groups[0]
    kept = stack.theta[1].clone()
    stack.theta[1] = math.nan
    found = fitting.tested(stack, pieces, task.x_test, task.y_test)
    stack.theta[1] = kept
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, [0, 2]]).all()


# --- stopping --------------------------------------------------------------------------------------------------------


def test_validation_chooses_the_look_and_cross_entropy_between_equals():
    rows = [("a", 1, 0.5, 1.0, 0.6), ("a", 2, 0.2, 0.9, 0.3), ("a", 3, 0.2, 0.7, 0.4), ("a", 4, 0.3, 0.1, 0.1)]
    rows += [("b", 1, 0.1, 2.0, 0.2), ("b", 4, math.nan, math.nan, math.nan)]
    course = pd.DataFrame(rows, columns=["arm", "update", "validation", "entropy", "test"]).assign(labels=9, seed=0)
    course["arm"] = course.arm.map({"a": FULL, "b": PLAIN})
    found = ladder.stopped(course).set_index("arm")
    assert tuple(found.loc[FULL, ["update", "test", "last"]]) == (3, 0.4, 0.1)
    assert np.isnan(found.loc[PLAIN, "test"])  # a network that was lost is not rescued by an early look


def test_looks_are_close_at_first_and_reach_the_end():
    found = ladder.looks(600, 28)
    assert (found[0], found[-1]) == (3, 600)
    assert sorted(set(found)) == found
    assert found[1] - found[0] <= 2 < found[-1] - found[-2]


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"labels": [50]}, "give two or more rising numbers"),
        ({"labels": [200, 50]}, "give two or more rising numbers"),
        ({"more": 50}, "more = 50 is not one of labels"),
        ({"labels": [20, 200]}, "no fewer than labelled_batch = 50"),
        ({"labels": [50, 200, 1001]}, "no more than pool = 1000"),
        ({"setting": "digits-ladders"}, "unknown setting"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "cnn-2x8"}, "a plain mlp"),
        ({"model": "mlp-2x8-norm"}, "a plain mlp"),
        ({"pool": 1297}, "pool = 1297"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(changes, reason):
    with pytest.raises(ParameterError, match=reason):
        study.shards(TINY.model_copy(update=changes))


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

FEW, MORE, MOST = 50, 200, 1000
# A world as the paper's: test errors at few, more, all labels.
WORLD = {
    FULL: (0.08, 0.04, 0.01),
    LATERAL: (0.25, 0.06, 0.03),
    NOISE: (0.2, 0.09, 0.03),
    RECONSTRUCTION: (0.18, 0.05, 0.03),
    PLAIN: (0.2, 0.09, 0.03),
    INPUT: (0.1, 0.06, 0.03),
    PLANE: (0.12, 0.06, 0.03),
    SMALL: (0.085, 0.04, 0.02),
    AUGMENTED: (0.06, 0.025, 0.01),
}
CHOSEN = Params(labels=(FEW, MORE, MOST), seeds=10)


def world(**changes):
    """Ten seeds; `changes` are errors by arm."""
    random = np.random.default_rng(0)
    rows = []
    for arm, errors in (WORLD | changes).items():
        for labels, error in zip((FEW, MORE, MOST), errors, strict=True):
            tests = error * np.exp(0.03 * random.normal(size=10))
            rows += [{"arm": arm, "labels": labels, "seed": seed, "test": test} for seed, test in enumerate(tests)]
    return {"stopped": pd.DataFrame(rows)}


def judge(changes=None):
    return verdicts(study.judge(CHOSEN, world(**(changes or {}))))


CLAIMS = ["LA01", "LA01b", "LA01c", "LA01d", "LA01e", "LA01f", "LA02", "LA02b", "LA02c", "LA02d", "LA02e", "LA02f"]
CLAIMS += ["LA03", "LA03b"]


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("id", "changes", "related"),
    [
        ("LA01", {LATERAL: (0.15, 0.035, 0.03)}, ()),
        ("LA01f", {INPUT: (0.3, 0.06, 0.03)}, ()),
        ("LA01b", {PLANE: (0.3, 0.06, 0.03)}, ()),
        ("LA01c", {PLANE: (0.07, 0.06, 0.03)}, ()),
        ("LA01d", {NOISE: (0.15, 0.09, 0.03)}, ()),
        ("LA01e", {PLAIN: (0.15, 0.09, 0.03), NOISE: (0.15, 0.09, 0.03)}, ("LA02d",)),
        ("LA02", {LATERAL: (0.25, 0.16, 0.03)}, ()),
        ("LA02b", {RECONSTRUCTION: (0.18, 0.12, 0.03)}, ("LA02c",)),
        ("LA02c", {RECONSTRUCTION: (0.18, 0.08, 0.03)}, ("LA02b",)),
        ("LA02d", {RECONSTRUCTION: (0.1, 0.045, 0.03)}, ()),
        ("LA02e", {PLAIN: (0.2, 0.09, 0.005)}, ()),
        ("LA02f", {INPUT: (0.1, 0.03, 0.03)}, ()),
        ("LA03", {AUGMENTED: (0.06, 0.05, 0.01)}, ()),
        ("LA03b", {SMALL: (0.04, 0.04, 0.02)}, ()),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, changes, related):
    found = judge(changes)
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} <= {id, *related}


def test_estimates_are_what_was_planted():
    claims = study.judge(CHOSEN, world())
    planted = {
        "LA01": 0.05,
        "LA01f": 0.15,
        "LA01b": 0.08,
        "LA01c": 0.04,
        "LA01d": 0.0,
        "LA01e": 0.4,
        "LA02f": 0.02,
        "LA03b": -0.025,
    }
    planted |= {
        "LA02": 25 / 8 / 1.5,
        "LA02b": 18 / 8 / 1.25,
        "LA02c": 0.015,
        "LA02d": -0.04,
        "LA02e": -0.02,
        "LA03": -0.015,
    }
    assert {c.id: c.estimate for c in claims} == pytest.approx(planted, abs=0.005, rel=0.05)
    assert {c.n for c in claims} == {10}


def test_claims_are_void_where_ladders_do_not_learn_or_networks_are_lost():
    unlearned = study.judge(CHOSEN, world(**{FULL: (0.08, 0.04, 0.2)}))
    assert {c.void for c in unlearned} == {"whole ladders with 1000 labels did not learn"}
    tables = world()
    tables["stopped"].loc[4, "test"] = np.nan
    assert {c.verdict for c in study.judge(CHOSEN, tables)} == {"inconclusive"}
