"""Notebook 40: networks trained again in plain PyTorch, and claims that can come out either way."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from torch.nn import functional

from butterfly import data, initial, models
from butterfly.data import modes as modes_at
from butterfly.data import moons
from butterfly.data.coloured import coloured
from butterfly.objective import cross_entropy, penalised
from butterfly.papers.pezeshki2021 import modes, starvation
from butterfly.papers.pezeshki2021.modes import OUTPUTS, WEIGHTS, reached, unexplained
from butterfly.papers.pezeshki2021.starvation import (
    ADAM,
    ALONE,
    APART,
    CLEAN,
    DECAY,
    DECOUPLED,
    DOUBLE,
    EQUAL,
    FREQUENCY,
    FREQUENT,
    GREY,
    HINGE,
    NOISY,
    NORM,
    OTHERS,
    OVERLAPPING,
    PLAIN,
    PROPER,
    PROPER_NORM,
    SOLVED,
    SQUARED,
    TRAINED,
    Params,
    graded,
    root_looks,
    study,
)
from butterfly.strict import ParameterError
from butterfly.study import Tables, setting
from butterfly.train import Recipe, train
from tests.conftest import verdicts

TINY = Params(
    steps=20,
    recipe={"lr": 0.1},
    seeds=2,
    seeds_per_shard=2,
    others=OTHERS,
    side=11,
    mode_steps=40,
    mode_seeds=2,
    mode_seeds_per_shard=2,
    rarities=(0.2, 1.0),
    units=(1, 2),
    starts=10,
    raster=5,
    digit_steps=10,
)


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    ways, looks = 6 + len(OTHERS), len(root_looks(20))
    keys = {
        "shares": (["moons", "arm", "seed"], 2 * ways),
        "course": (["moons", "arm", "seed", "step"], 2 * ((ways - 1) * looks + len(root_looks(40)))),
        "maps": (["moons", "arm", "first", "second"], ways * 121),
        "points": (["moons", "seed", "first", "second"], 2 * 300),
        "responses": (["who", "on", "seed", "strength"], 2 * 2 * 2 * 2),
        "way": (["on", "strength", "time"], 2 * 2 * len(starvation.TIMES)),
        "curves": (["world", "seed", "mode", "step"], 7 * 2 * 2 * 41),
        "times": (["world", "seed", "mode"], 7 * 2 * 2),
        "rare": (["world", "rarity", "seed"], 2 * 2 * 2),
        "even": (["says", "weight"], 25),
        "starts": (["units", "seed"], 2 * 10),
        "digits": (["kind", "arm", "seed"], 2 * 4 * 2),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name
        table = results[name].loc[:, lambda own: ~own.columns.str.contains("sigmoid|exponential")]
        assert not table.isna().any(axis=None), name
    assert set(results["shares"].arm) == {PLAIN, DECOUPLED, SQUARED, *OTHERS}
    assert results["maps"].p.between(0, 1).all()


def test_looks_are_even_in_the_root_of_time():
    assert root_looks(576)[:4] == [0, 1, 4, 9]
    assert root_looks(576)[-1] == 576


# --- moons in plain PyTorch ------------------------------------------------------------------------------------------


def plain_moons(seed, margin, penalty=0.0, longer=1):
    """A network of `torch.nn` trained on the moons of a seed: what it says at the places, and its share right."""
    task, model = moons.draw(300, margin, seed), models.build("mlp-1x100", (2,), 2)
    start = {name: view[0] for name, view in model.layout.tensors(initial.uniform(model, [seed])).items()}
    network = torch.nn.Sequential(torch.nn.Linear(2, 100), torch.nn.ReLU(), torch.nn.Linear(100, 2))
    for layer, k in ((network[0], 0), (network[2], 1)):
        layer.weight.data, layer.bias.data = start[f"linear{k}.weight"].T.clone(), start[f"linear{k}.bias"].clone()
    weights = list(network.parameters())
    speeds = [torch.zeros_like(w) for w in weights]
    for _ in range(20 * longer):
        values = network(task.x)
        loss = functional.cross_entropy(values, task.y) + penalty / 2 * values.square().sum(1).mean()
        for w, speed, slope in zip(weights, speeds, torch.autograd.grad(loss, weights), strict=True):
            w.data -= 0.1 * speed.mul_(0.9).add_(slope)
    with torch.no_grad():
        said = network(moons.places(11))
        right = (network(task.x).argmax(1) == task.y).float().mean().item()
    return (said[:, 1] - said[:, 0])[None], right


@pytest.mark.parametrize(
    ("arm", "where", "how"),
    [
        (PLAIN, OVERLAPPING, {"margin": -0.1}),
        (PLAIN, APART, {"margin": 0.1}),
        (DECOUPLED, APART, {"margin": 0.1, "penalty": 0.012}),
        ("longer", APART, {"margin": 0.1, "longer": 2}),
    ],
)
def test_moons_are_learned_as_in_plain_pytorch(results, arm, where, how):
    said, right = plain_moons(1, **how)
    (row,) = results["shares"].query("arm == @arm and moons == @where and seed == 1").to_dict("records")
    assert row["train"] == pytest.approx(right, abs=0.01)
    assert row["share"] == pytest.approx(moons.curved_share(said, moons.places(11)).item(), rel=0.02, abs=1e-5)


def test_maps_are_means_over_seeds_of_probabilities(results):
    both = torch.cat([plain_moons(seed, 0.1)[0] for seed in (0, 1)]).sigmoid().mean(0)
    own = results["maps"].query("arm == @PLAIN and moons == @APART").sort_values(["second", "first"])
    np.testing.assert_allclose(own.p, both, atol=1e-3)


def test_arms_of_a_seed_start_alike_and_their_penalties_part_them(results):
    course = results["course"].query("moons == @APART and seed == 0")
    first = course[course.step == 0].set_index("arm").share
    for arm in (DECOUPLED, DECAY, ADAM):
        assert first[arm] == pytest.approx(first[PLAIN], rel=1e-4)
    assert len(set(results["shares"].query("moons == @APART and seed == 0").share.round(9))) == 3 + len(OTHERS)


def test_each_member_has_the_penalty_of_its_own():
    values, target = torch.randn(3, 5, 2), torch.randint(0, 2, (3, 5))
    found = graded(cross_entropy, torch.tensor([0.0, 0.1, 2.0]))(values, target)
    for row, penalty in enumerate((0.0, 0.1, 2.0)):
        expected = penalised(cross_entropy, penalty)(values[row : row + 1], target[row : row + 1])
        torch.testing.assert_close(found[row : row + 1], expected)
    with pytest.raises(ValueError, match="3 penalties for 2 members"):
        graded(cross_entropy, torch.ones(3))(values[:2], target[:2])


# --- coupled modes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", [WEIGHTS, OUTPUTS])
def test_the_solved_problem_is_that_of_a_general_solver(on):
    turn, strengths, penalty = modes.coupled(5), torch.tensor([2.5, 1.0], dtype=torch.float64), 0.02

    def cost(weights):
        out = turn.numpy() @ (strengths.numpy() * weights)
        pulled = (weights**2).sum() if on == WEIGHTS else (out**2).mean()
        return np.log1p(np.exp(-out)).mean() + penalty / 2 * pulled

    best = minimize(cost, np.zeros(2), tol=1e-12).x * strengths.numpy()
    found = modes.solved(turn, strengths, penalty, on)
    np.testing.assert_allclose(found, best, rtol=1e-4)
    flown = modes.flowing(turn, strengths, penalty, on, [0.0, 1.0, 3000.0])
    np.testing.assert_allclose(flown[0], 0)
    np.testing.assert_allclose(flown[2], found, rtol=1e-3)


def test_flow_begins_along_the_gradient():
    turn, strengths = modes.coupled(5), torch.tensor([2.0, 1.0], dtype=torch.float64)
    flown = modes.flowing(turn, strengths, 0.1, WEIGHTS, [0.0, 1e-4])
    np.testing.assert_allclose(flown[1], 1e-4 * strengths**2 * turn.T.sum(1) / 4, rtol=1e-3)


def test_uncoupled_modes_do_not_starve():
    still = torch.eye(2, dtype=torch.float64)
    found = [modes.solved(still, torch.tensor([s, 1.0], dtype=torch.float64), 0.01, WEIGHTS)[1] for s in (1, 5)]
    assert found[0] == pytest.approx(found[1])


def test_couplings_are_turns_within_their_bounds():
    for seed in range(20):
        turn = modes.coupled(seed)
        torch.testing.assert_close(turn @ turn.T, torch.eye(2, dtype=torch.float64))
        assert modes.COUPLING[0] <= turn[1, 0] <= modes.COUPLING[1]
        assert turn.det() == pytest.approx(1)


def test_responses_of_networks_are_read_along_the_modes(results):
    """Trained alone, on its own examples only, a network responds as beside all others; margins become modes."""
    own = results["responses"].query("who == @TRAINED and `on` == @OUTPUTS and seed == 1 and strength == 3")
    turn, small = modes.coupled(1), models.build("mlp-1x64", (2,), 2)
    task = modes_at.of((turn * torch.tensor([3.0, 1.0], dtype=torch.float64)).float())
    recipe = setting("modes").recipe.changed(steps=40, momentum=0.9)
    start, mask = modes.small(small, [1]), small.layout.select()[None]
    theta = train(small, task, recipe, [1], init=start, mask=mask, objective=penalised(cross_entropy, 0.1)).theta
    each = modes.by_mode(modes.margins(small, theta, task.x, task.y))[0].double()
    assert own[["first", "second"]].to_numpy()[0] == pytest.approx((turn.T @ each).numpy(), rel=1e-3)
    assert own.least.item() == pytest.approx(each.min().item(), rel=1e-3)


# --- modes at right angles -------------------------------------------------------------------------------------------


def test_a_mode_rises_as_in_plain_pytorch(results):
    model = models.build("mlp-1x64", (2,), 2)
    tensors = model.layout.tensors(modes.small(model, [1]))
    first, last = (tensors[f"linear{k}.weight"][0].clone().requires_grad_() for k in (0, 1))
    assert first.std().item() == pytest.approx(modes.SMALL, rel=0.2)
    x, y = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]]), torch.tensor([1, 1, 0, 0])
    weights = torch.tensor([0.4, 0.1, 0.4, 0.1])
    for _ in range(40):
        loss = (weights * functional.cross_entropy((x @ first).relu() @ last, y, reduction="none")).sum()
        for w, slope in zip((first, last), torch.autograd.grad(loss, (first, last)), strict=True):
            w.data -= 0.05 * slope
    p = ((x @ first).relu() @ last).softmax(1)[range(4), y]
    found = results["curves"].query("world == @FREQUENCY and seed == 1 and step == 40").sort_values("mode").p
    np.testing.assert_allclose(found, [(p[0] + p[2]).item() / 2, (p[1] + p[3]).item() / 2], atol=1e-4)


def test_worlds_start_alike_and_proper_starts_see_one_example_each():
    model, task = models.build("mlp-1x8", (2,), 2), data.load("modes-2")
    theta = modes.small(model, [0, 1])
    turned = model.layout.tensors(modes.proper(model, theta, task.x, task.y))
    seen = torch.einsum("nd,sdw->snw", task.x, turned["linear0.weight"]) > 0
    assert (seen.sum(1) == 1).all()
    own = seen.long().argmax(1)
    says = turned["linear1.weight"]
    right = says.gather(2, task.y[own][..., None])[..., 0]
    assert (right > 0).all()
    assert (says.sum(2) < right).all()  # against the other class
    torch.testing.assert_close(
        turned["linear0.weight"].norm(dim=1), model.layout.tensors(theta)["linear0.weight"].norm(dim=1)
    )


def test_a_mode_is_reached_on_straight_lines_between_looks():
    p = np.array([[0.5, 0.8, 0.5], [0.6, 0.9, 0.5], [0.8, 0.9, 0.6]])
    assert reached(np.array([0, 10, 30]), p, 0.7).tolist() == pytest.approx([20, 0, np.inf])


def test_sigmoids_and_exponentials_are_told_apart():
    t = np.arange(0, 301.0)
    rise = 0.5 + 0.5 / (1 + np.exp(-(t - 100) / 15))
    slowing = 1 - 0.5 * np.exp(-np.maximum(t - 20, 0) / 60)
    for p, good, bad in ((rise, "sigmoid", "exponential"), (slowing, "exponential", "sigmoid")):
        left = unexplained(t, p)
        assert left[good] < 1e-6
        assert left[bad] > 5e-3


def test_a_frequent_feature_alone_is_what_both_worlds_share(results):
    """Where the rarer feature comes always, what the others are makes no difference."""
    table = results["rare"].query("rarity == 1").set_index(["world", "seed"])
    assert (table.rare[FREQUENT] > 0).all()
    assert (table.frequent[ALONE].abs() < 0.1).all()


# --- starts ----------------------------------------------------------------------------------------------------------


def test_the_rule_foretells_what_single_units_come_to_see():
    """Away from the borders of the rule, descent does what it says."""
    cases = [
        ((0.8, -0.5), 0.3, (True, False)),
        ((0.8, -0.5), -0.5, (True, False)),  # it turns round
        ((0.8, -0.5), -1.2, (False, False)),  # it is turned off
        ((-0.5, 0.8), -0.3, (False, True)),
        ((-0.5, 0.8), 0.5, (False, True)),
        ((-0.5, 0.8), 1.2, (False, False)),
        ((-0.5, -0.5), 0.3, (False, False)),
        ((0.8, 0.4), 0.0, (True, False)),
        ((0.8, 0.4), -0.6, (False, True)),
    ]
    first, says = torch.tensor([case[0] for case in cases])[:, None], torch.tensor([case[1] for case in cases])
    last = torch.stack([says, -says], 1)[:, None] / math.sqrt(2)
    served = modes.serves(first, last)[:, 0]
    assert served.tolist() == [list(case[2]) for case in cases]
    model, task = models.build("mlp-1x1", (2,), 2), modes.opposed()
    theta = modes.descended(model, modes.unit_networks(model, first, last), task, 0.05, 1500)
    assert torch.equal(modes.margins(model, theta, task.x, task.y).sigmoid() >= 0.7, served)


def test_descent_is_that_of_the_trainer():
    model, task = models.build("mlp-1x3", (2,), 2), modes.opposed()
    theta = modes.small(model, [0, 1])
    recipe = Recipe(steps=20, batch_size=2, lr=0.05, momentum=0.0, schedule="constant", warmup=0.0)
    mask = model.layout.select().expand(2, -1)
    trained = train(model, task, recipe, [0, 1], init=theta, mask=mask).theta
    torch.testing.assert_close(modes.descended(model, theta, task, 0.05, 20), trained)


def test_units_speak_for_a_class_as_often_as_they_must():
    """Of normal weights: one quadrant with three chances in four, one with one in two, of four."""
    random = torch.Generator().manual_seed(0)
    first, last = torch.randn(2, 4000, 2, generator=random)
    shares = modes.serves(first, last).double()
    np.testing.assert_allclose(shares.mean(0), 5 / 16, atol=0.03)
    assert shares.sum(1).max() == 1


# --- digits ----------------------------------------------------------------------------------------------------------


def test_digits_are_learned_and_tested_as_they_are_coloured(results):
    task, who = coloured(data.load("digits"), 0.85, 1, 0.25)
    model, recipe = models.build("mlp-2x64", (2, 8, 8), 2), setting("coloured-digits").recipe.changed(steps=10)
    theta = train(model, task, recipe, [1]).theta

    def right(x, y):
        return (model.logits(theta, x).argmax(2)[0] == y).float().mean().item()

    (row,) = results["digits"].query("arm == @PLAIN and kind == @NOISY and seed == 1").to_dict("records")
    assert row["train"] == pytest.approx(right(task.x, task.y), abs=0.01)
    assert row["reversed"] == pytest.approx(right(task.x_test, task.y_test), abs=0.01)
    assert who.test.agrees.float().mean().item() == pytest.approx(0.15)
    assert row["alike"] > row["reversed"]


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"overlap": 0.1}, "'overlap' = 0.1"),
        ({"others": ["dropout", "prayer"]}, "give some of weight decay"),
        ({"others": ["dropout", "dropout"]}, "give some of"),
        ({"rarities": [0.1, 0.5]}, "of which the last is 1"),
        ({"strengths": [3.0, 1.0]}, "give rising sizes"),
        ({"digit_penalties": []}, "one or more units and digit_penalties"),
        ({"penalties": 0.1}, "did you mean"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_moons_need_a_multilayer_perceptron():
    with pytest.raises(ParameterError):
        study.shards(TINY.model_copy(update={"model": "cnn-2x8"}))


def test_shards_hold_nothing_that_does_not_matter():
    few, many = study.shards(TINY), study.shards(TINY.model_copy(update={"profile": "other", "seeds": 4}))
    assert {shard.key for shard in few} < {shard.key for shard in many}
    other = study.shards(TINY.model_copy(update={"penalty": 0.1}))
    assert [a.of for a, b in zip(few, other, strict=True) if a.key != b.key] == [PLAIN, PLAIN]


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def world(
    starved=0.2,  # share on moons apart over share on moons that overlap
    squared=0.8,  # the same with the squared error
    undone=1.5,  # decoupled over plain on moons that overlap
    others=0.3,  # of those
    decays=-0.2,  # relative change of the second response, trained networks
    decouples=0.0,
    solved_decays=-0.1,
    solved_decouples=0.0,
    own=0.6,  # share of reversed images right
    blind=0.7,
    clean=0.6,
    sigmoid=0.005,  # share left unexplained
    exponential=0.02,
    rise=0.002,
    proper=1.0,  # ratios of times
    beside=1.0,
    norm=0.5,
    frequency=0.5,
    hinged=0.5,
    double=0.65,
    exponent=1.0,  # of the rarer feature's margin
    beneath=0.2,  # that margin over the one of a world with no other
    lost=1.0,  # shares of starts for which the rule holds
    found=1.0,
):
    """Twelve seeds in which every effect has its size."""
    random = np.random.default_rng(0)
    rows = {name: [] for name in ("shares", "responses", "digits", "times", "rare", "starts")}

    def about(value, by=0.04):
        return value * math.exp(by * random.normal())

    for seed in range(12):
        shares = {(OVERLAPPING, PLAIN): 1, (OVERLAPPING, DECOUPLED): 2, (OVERLAPPING, SQUARED): 1}
        shares |= {(APART, PLAIN): starved, (APART, DECOUPLED): undone, (APART, SQUARED): squared}
        shares |= {(APART, arm): others for arm in Params().others}
        rows["shares"] += [(*way, seed, about(0.04 * share), 1.0) for way, share in shares.items()]
        for who, on, change in (
            (TRAINED, WEIGHTS, decays),
            (TRAINED, OUTPUTS, decouples),
            (SOLVED, WEIGHTS, solved_decays),
            (SOLVED, OUTPUTS, solved_decouples),
        ):
            end = 2 * (1 + change + (0.01 * random.normal() if who == TRAINED else 0.0))
            rows["responses"] += [(who, on, seed, 1.0, 2.0, 0.5), (who, on, seed, 3.0, end, 0.5)]
        right = {PLAIN: 0.25, "penalty 0.01": 0.3, "penalty 0.1": own, GREY: blind}
        for kind in (NOISY, CLEAN):
            values = right if kind == NOISY else right | {"penalty 0.1": clean, PLAIN: 0.4}
            rows["digits"] += [(kind, arm, seed, 0.95, about(value)) for arm, value in values.items()]
        base = {EQUAL: (1, 1), NORM: (norm * beside, beside), FREQUENCY: (frequency, 1), HINGE: (hinged, hinged)}
        base |= {DOUBLE: (double, double), PROPER: (1, 1), PROPER_NORM: (0.5, proper)}
        for name, both in base.items():
            exact = name in (PROPER, PROPER_NORM)
            for mode, value in enumerate(both, 1):
                time = 100 * value if exact else about(100 * value, 0.02)
                row = {"world": name, "seed": seed, "mode": mode, "learned": time, "last": 1000}
                fits = {
                    "sigmoid": sigmoid,
                    "exponential": exponential,
                    "sigmoid, rise": rise,
                    "exponential, rise": 0.02,
                }
                rows["times"].append(row | {name: about(left) for name, left in fits.items()})
        for rarity in (0.05, 0.2, 1.0):
            rare = about(5 * rarity**exponent)
            rows["rare"] += [(FREQUENT, rarity, seed, 5.0, rare), (ALONE, rarity, seed, 0.0, about(rare / beneath))]
    for k in range(80):
        holds = k / 80 < (lost if k % 2 else found)
        rows["starts"].append((2, k, holds if k % 2 == 0 else not holds, k % 2 == 0))
    return {
        "shares": pd.DataFrame(rows["shares"], columns=["moons", "arm", "seed", "share", "train"]),
        "responses": pd.DataFrame(rows["responses"], columns=["who", "on", "seed", "strength", "second", "least"]),
        "digits": pd.DataFrame(rows["digits"], columns=["kind", "arm", "seed", "train", "reversed"]),
        "times": pd.DataFrame(rows["times"]),
        "rare": pd.DataFrame(rows["rare"], columns=["world", "rarity", "seed", "frequent", "rare"]),
        "starts": pd.DataFrame(rows["starts"], columns=["units", "seed", "learned", "foretold"]),
    }


CLAIMS = [q.id for q in study.questions]


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


@pytest.fixture(scope="module")
def made():
    """The claims on the world in which all are true."""
    return study.judge(Params(), world())


def test_every_claim_is_supported_in_a_world_made_for_it(made):
    assert verdicts(made) == dict.fromkeys(CLAIMS, "supported")


# Changes that touch different claims are made together; each claim is contradicted by its own.
@pytest.mark.parametrize(
    "changes",
    [
        [
            ({"GS01b"}, {"squared": 0.2}),
            ({"GS02"}, {"undone": 0.6}),
            ({"GS04"}, {"solved_decays": 0.1}),
            ({"GS04d"}, {"decouples": 0.2}),
            ({"GS05b"}, {"clean": 0.2}),
            ({"GS05c"}, {"own": 0.4}),
            ({"GS06b"}, {"exponential": 0.004}),
            ({"GS06d"}, {"beside": 0.8}),
            ({"GS08b"}, {"double": 0.4}),
            ({"GS09b"}, {"beneath": 0.9}),
            ({"GS10b"}, {"found": 0.5}),
        ],
        [
            ({"GS01", "GS02b"}, {"starved": 0.9}),
            ({"GS03"}, {"others": 1.2}),
            ({"GS04b"}, {"solved_decouples": 1e-3}),
            ({"GS04c"}, {"decays": 0.1}),
            ({"GS05", "GS05c"}, {"own": 0.1}),
            ({"GS06", "GS06b"}, {"sigmoid": 0.05}),
            ({"GS06c"}, {"proper": 1.1}),
            ({"GS06d"}, {"beside": 1.2}),
            ({"GS07b"}, {"frequency": 2.0}),
            ({"GS08"}, {"hinged": 1.5, "double": 2.0}),
            ({"GS09"}, {"exponent": -1.0}),
            ({"GS10"}, {"lost": 0.5}),
        ],
        [({"GS03", "GS03b"}, {"others": 2.0}), ({"GS06e"}, {"rise": 0.05}), ({"GS07"}, {"norm": 2.0})],
        [({"GS02", "GS02b"}, {"undone": 0.6, "starved": 0.4}), ({"GS04d"}, {"decouples": -0.2})],
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(changes):
    found = judge(**{name: value for _, change in changes for name, value in change.items()})
    ids = set().union(*(own for own, _ in changes))
    assert {id for id, verdict in found.items() if verdict != "supported"} == ids
    assert {found[id] for id in ids} == {"contradicted"}


def test_estimates_are_what_was_planted(made):
    claims = {c.id: c for c in made}
    planted = {"GS01": 0.2, "GS01b": 0.8, "GS02": 1.5, "GS02b": 7.5, "GS03": 0.3, "GS03b": 0.2, "GS04": -0.1}
    planted |= {"GS04c": -0.2, "GS05": 0.35, "GS05b": 0.2, "GS05c": 0.35 / 0.45, "GS06": 0.995}
    planted |= {"GS06b": 0.25, "GS06e": 0.1, "GS06d": 1.0, "GS07": 0.5, "GS07b": 0.5, "GS08": 0.5, "GS08b": 0.5 / 0.65}
    planted |= {"GS09": 1.0, "GS09b": 0.2, "GS10": 1.0, "GS10b": 1.0}
    assert {id: claims[id].estimate for id in planted} == pytest.approx(planted, rel=0.06)
    assert {c.n for c in claims.values()} == {12, 40}


def measured(id, tables):
    """The verdict on one claim, and whether its estimate is a bound."""
    (question,) = (q for q in study.questions if q.id == id)
    interval = question.measure(Tables(tables, Params()))
    return question.region.judge(interval), interval.bound


def test_shares_under_the_floor_are_bounds():
    tables = world()
    apart = (tables["shares"].moons == APART) & (tables["shares"].arm == PLAIN)
    tables["shares"].loc[apart, "share"] = 1e-6
    assert measured("GS01", tables) == ("supported", "<")


def test_modes_that_are_never_learned_enter_as_bounds():
    tables = world()
    rare = (tables["times"].world == FREQUENCY) & (tables["times"]["mode"] == 2)
    tables["times"].loc[rare, "learned"] = np.inf
    assert measured("GS07b", tables) == ("supported", "<")


VOID = {
    "moons": {"GS01", "GS01b", "GS02", "GS02b", "GS03", "GS03b"},
    "others": {"GS03", "GS03b"},
    "pairs": {"GS04c", "GS04d"},
    "digits": {"GS05", "GS05b", "GS05c"},
    "modes": {id for id in CLAIMS if id[:4] in ("GS06", "GS07", "GS08")},
    "rare": {"GS09", "GS09b"},
}


@pytest.mark.parametrize("what", VOID)
def test_claims_are_void_where_their_networks_did_not_learn(what):
    tables = world()
    change = {
        "moons": ("shares", (tables["shares"].arm == PLAIN), "train", 0.8),
        "others": ("shares", (tables["shares"].arm == ADAM), "train", 0.98),
        "pairs": ("responses", tables["responses"].who == TRAINED, "least", -0.1),
        "digits": ("digits", tables["digits"].arm == PLAIN, "train", 0.7),
        "modes": ("times", tables["times"].world == EQUAL, "learned", np.inf),
        "rare": ("rare", tables["rare"].world == FREQUENT, "frequent", 0.5),
    }
    name, rows, column, value = change[what]
    tables[name].loc[rows & (tables[name].seed == 3), column] = value
    here = Tables(tables, Params())
    assert {q.id for q in study.questions if q.unless(here)} == VOID[what]
