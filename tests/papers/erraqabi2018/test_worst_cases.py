"""Notebook 62: defences trained again in plain PyTorch, judges of known clouds, and claims that can fail."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from butterfly import models
from butterfly.attack import ends
from butterfly.interpolate import barriers
from butterfly.papers.erraqabi2018 import defences, worst_cases
from butterfly.papers.erraqabi2018.defences import ADVERSARIAL, NOISE, OTHER, STANDARD, Arm, a3t
from butterfly.papers.erraqabi2018.worst_cases import (
    ATTACKS,
    CONTROL,
    DOWN,
    FOREIGN,
    GAUSSIAN,
    KINDS,
    ONE_STEP,
    RANDOM,
    STEPS,
    UP,
    Params,
    study,
)  # fmt: skip
from butterfly.perturb import Kick
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import Bench
from butterfly.train import Fork, Recipe, train
from tests.conftest import make_task, verdicts

TINY = Params(model="mlp-1x8", steps=20, seeds=2, examples=60, kick_steps=40, kick_seeds=2)
RECIPE = Recipe(steps=4, batch_size=16, lr=0.2, momentum=0.8, warmup=0.25)
SEEDS = [3, 5]
WAYS = [Arm(STANDARD, changed=0.0), Arm(NOISE, random=True), Arm(ADVERSARIAL), Arm("fools", strength=2.0)]


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


@pytest.fixture(scope="module")
def trained():
    """A small task, its network, and four ways to train it."""
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    low, high = ends(task.x)
    size = 0.1 * (high - low)
    return task, model, size, defences.defend(model, task, RECIPE, SEEDS, WAYS, size)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    accuracy, features, kicks = (results[name] for name in ("accuracy", "features", "kicks"))
    arms = {STANDARD, NOISE, ADVERSARIAL, *map(a3t, TINY.strengths)}
    key = ["arm", "seed", "attack", "size"]
    assert not accuracy.duplicated(key).any()
    assert len(accuracy) == len(arms) * 2 * (len(ATTACKS) * (1 + len(TINY.sizes)) + 1)
    assert set(accuracy.arm) == set(features.arm) == arms
    assert accuracy.accuracy.between(0, 1).all()
    assert len(features) == len(arms) * 2
    assert features[["fresh", "own"]].map(lambda share: 0 <= share <= 1).all(axis=None)
    assert len(kicks) == 2 * 2 * (1 + len(KINDS) * len(TINY.kick_sizes))
    assert not kicks.duplicated(["seed", "time", "kind", "size"]).any()


def test_without_a_change_all_attacks_find_the_same_accuracy(results):
    clean = results["accuracy"].query("size == 0").groupby(["arm", "seed"]).accuracy
    assert (clean.nunique() == 1).all()


def test_control_twins_are_their_parents_and_others_are_not(results):
    kicks = results["kicks"]
    control = kicks.kind == CONTROL
    assert (kicks[control].largest_difference == 0).all()
    assert (kicks[control].barrier == 0).all()
    assert (kicks[~control].largest_difference > 0).all()
    rises = kicks.groupby("kind").rise.min(), kicks.groupby("kind").rise.max()
    assert rises[0][UP] > 0 > rises[1][DOWN]


# --- training --------------------------------------------------------------------------------------------------------


def leaves(model, theta):
    return [view[0].clone().requires_grad_() for view in model.layout.tensors(theta[None]).values()]


def layers(values, x):
    """Last hidden layer and logits by hand."""
    h = x.flatten(1)
    for place in range(0, len(values) - 2, 2):
        h = (h @ values[place] + values[place + 1]).relu()
    return h, h @ values[-2] + values[-1]


def test_standard_training_is_that_of_the_trainer(trained):
    task, model, _, found = trained
    torch.testing.assert_close(found.theta[:2], train(model, task, RECIPE, SEEDS).theta)


@pytest.mark.parametrize("place", [1, 2, 3])
def test_each_defence_is_what_plain_pytorch_trains(trained, place):
    task, model, size, found = trained
    seed, arm, (low, high) = SEEDS[1], WAYS[place], ends(task.x)
    net, judge = leaves(model, model.init([seed])[0].double()), leaves(
        found.judge, found.judge.init([seed + OTHER])[0].double())  # fmt: skip
    optimizer = torch.optim.SGD(net, lr=0.2, momentum=0.8)
    sceptic = torch.optim.Adam(judge, lr=1e-3)
    order = torch.randperm(96, generator=generator("order", seed, 0))
    for step in range(4):
        x, y = (values[order[16 * step : 16 * step + 16]] for values in (task.x, task.y))
        if arm.random:
            signs = torch.randint(0, 2, x.shape, generator=generator("signs", seed, step)) * 2 - 1
        else:
            inputs = x.clone().requires_grad_()
            signs = torch.autograd.grad(F.cross_entropy(layers(net, inputs)[1], y), inputs)[0].sign()
        changed = torch.minimum(torch.maximum(x + size * signs, low), high)
        (h, z), (moved, other) = layers(net, x), layers(net, changed)
        calls = layers(judge, h)[1], layers(judge, moved)[1]
        zero, one = torch.zeros(16, dtype=torch.long), torch.ones(16, dtype=torch.long)
        told = (F.cross_entropy(calls[0], zero) + F.cross_entropy(calls[1], one)) / 2
        sceptic_gradient = torch.autograd.grad(told, judge, retain_graph=True)
        loss = (F.cross_entropy(z, y) + F.cross_entropy(other, y)) / 2
        loss = loss + arm.strength * F.cross_entropy(calls[1], zero)
        for values, gradient in ((net, torch.autograd.grad(loss, net)), (judge, sceptic_gradient)):
            for value, part in zip(values, gradient, strict=True):
                value.grad = part
        for group in optimizer.param_groups:
            group["lr"] = 0.2 * (1 - max(step - 1, 0) / 3)  # one step of warm-up, then a triangle
        optimizer.step()
        sceptic.step()
    row = 2 * place + 1
    for stack, net_of, expected in ((found.theta, model, net), (found.opinions, found.judge, judge)):
        mine = [view[row] for view in net_of.layout.tensors(stack).values()]
        for a, b in zip(mine, expected, strict=True):
            torch.testing.assert_close(a, b.detach(), rtol=1e-6, atol=1e-9)


def test_arms_of_a_seed_do_not_disturb_one_another(trained):
    task, model, size, found = trained
    alone = defences.defend(model, task, RECIPE, SEEDS[1:], WAYS[3:], size)
    torch.testing.assert_close(alone.theta[0], found.theta[7])
    assert not torch.allclose(found.theta[7], found.theta[5])


# --- the hidden layer ------------------------------------------------------------------------------------------------


def cloud(*key, count=200):
    return torch.randn(count, 6, generator=generator("cloud", *key), dtype=torch.float64)


def judged(clean, changed):
    return float(defences.fresh_judge(clean[None], changed[None], torch.randperm(len(clean))[None])[0])


def test_a_fresh_judge_guesses_where_there_is_nothing_to_see():
    found = [judged(cloud(draw, 0), cloud(draw, 1)) for draw in range(8)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)  # 200 calls each


def test_a_fresh_judge_sees_a_shift_and_what_no_line_tells_apart():
    assert judged(cloud(0), cloud(1) + 3) > 0.98
    assert judged(cloud(2), 5 * cloud(3)) > 0.95  # around the same centre
    dead = torch.zeros(200, 2, dtype=torch.float64)
    assert judged(torch.cat([cloud(0), dead], 1), torch.cat([cloud(1) + 3, dead], 1)) > 0.98


def test_the_shift_is_counted_in_the_spread():
    h = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]]])  # each sqrt 2 from the centre
    torch.testing.assert_close(defences.shift(h, h + torch.tensor([0.0, 1.0])), torch.tensor([0.5**0.5]))
    torch.testing.assert_close(defences.shift(10 * h, 10 * h + torch.tensor([0.0, 10.0])), torch.tensor([0.5**0.5]))


# --- kicks -----------------------------------------------------------------------------------------------------------


def test_random_twins_are_those_of_the_trainer_and_uphill_ones_rise_by_the_slope(own_store):
    config = study.shards(TINY)[-1].config | {"kick_sizes": [1e-4], "kick_times": [25.0]}
    bench = Bench(config)
    found = worst_cases.kicked(bench)
    forks = [Fork(seed, 10, Kick(size=1e-4)) for seed in bench.seeds]
    stack = train(bench.model, bench.task, bench.recipe, bench.seeds, forks).theta
    line = barriers(bench.model, stack[:2], stack[2:], bench.task.x, bench.task.y, TINY.points)
    some = found["kind"] == GAUSSIAN
    np.testing.assert_allclose(found["barrier"][some], line.of_loss, atol=1e-4)
    expected = (stack[2:] - stack[:2]).abs().amax(1)
    np.testing.assert_allclose(found["largest_difference"][some], expected, rtol=0.05)
    mirrored = -found["rise"][found["kind"] == DOWN]
    np.testing.assert_allclose(found["rise"][found["kind"] == UP], mirrored, rtol=0.05)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sizes": [0.05, 0.2]}, "sizes = .* lack 0.15"),
        ({"sizes": [0.15, 0.05, 0.2]}, "rising sizes"),
        ({"beyond": 0.3}, "beyond = 0.3: give one of the sizes"),
        ({"beyond": 0.15}, "beyond = 0.15: give one of the sizes that is larger"),
        ({"strength": 3.0}, "strengths = .* lack 3"),
        ({"kick_size": 0.1}, "kick_sizes = .* lack 0.1"),
        ({"late": 10.0}, "give 0 and late = 10"),
        ({"kick_times": [25.0]}, "give 0 and late"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'"),
        ({"strenght": 1.0}, "did you mean 'strength"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_what_the_loops_do_not_know_is_refused_before_training():
    with pytest.raises(ParameterError, match="know no dropout"):
        study.shards(TINY.model_copy(update={"recipe": {"dropout": 0.1}}))


def test_shards_hold_nothing_that_does_not_matter():
    few = study.shards(TINY)
    many = study.shards(TINY.model_copy(update={"profile": "other", "late": 0.0, "beyond": 0.2}))
    assert few == many
    assert [(shard.of, shard.config["seeds"]) for shard in few] == [("arms", [0, 1]), ("kicks", [0, 1])]


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

MAIN, WEAK = a3t(1.0), a3t(0.1)


def world(
    clean=(0.98, 0.98, 0.98, 0.98, 0.98),  # by arm: standard, random signs, adversarial, A3T at 0.1 and at 1
    blind=0.97,  # standard, under random signs
    one=(0.3, 0.4, 0.7, 0.72, 0.72),  # FGSM
    several=(0.1, 0.2, 0.6, 0.62, 0.62),  # PGD
    beyond=(0.0, 0.0, 0.3, 0.35, 0.3),  # PGD at the larger size
    foreign=(0.8, 0.8),  # PGD on the other network: adversarial, A3T
    fresh=(0.6, 0.52),  # a fresh judge: adversarial, A3T
    own=0.45,  # A3T's own discriminator
    moved=0.8,  # shift of A3T's features over that of adversarial training
    start=1.0,  # barriers of uphill over random kicks at the start
    late=3.0,  # and later
    down=1.0,  # of downhill over uphill
):
    """Twelve seeds."""
    random = np.random.default_rng(0)
    rows, features, kicks = [], [], []
    near = lambda value: value + 0.004 * random.normal()  # noqa: E731
    arms = [STANDARD, NOISE, ADVERSARIAL, WEAK, MAIN]
    for seed in range(12):
        for place, arm in enumerate(arms):
            cells = [(attack, 0.0, clean[place]) for attack in ATTACKS]
            cells += [(ONE_STEP, 0.15, one[place]), (STEPS, 0.15, several[place]), (STEPS, 0.2, beyond[place])]
            cells += [(RANDOM, 0.15, blind), (FOREIGN, 0.15, foreign[place == 4])]
            rows += [(arm, seed, attack, size, near(value)) for attack, size, value in cells]
            judged = fresh[place == 4]
            features.append((arm, seed, near(judged), near(own), (moved if place == 4 else 1.0) * np.exp(near(0))))
        for time, ratio in ((0.0, start), (25.0, late)):
            usual = 0.1 * np.exp(0.1 * random.normal())
            heights = {CONTROL: 0.0, GAUSSIAN: usual, UP: ratio * usual, DOWN: ratio * usual * (down if time else 1)}
            for kind, height in heights.items():
                size = 0.0 if kind == CONTROL else 0.01
                kicks.append((seed, time, kind, size, 0.1, height * np.exp(near(0)), 0.99, float(size > 0)))
    columns = ["seed", "time", "kind", "size", "rise", "barrier", "accuracy", "largest_difference"]
    return {
        "accuracy": pd.DataFrame(rows, columns=["arm", "seed", "attack", "size", "accuracy"]),
        "features": pd.DataFrame(features, columns=["arm", "seed", "fresh", "own", "shift"]),
        "kicks": pd.DataFrame(kicks, columns=columns),
    }


CLAIMS = ["AT01", "AT01b", "AT02", "AT02b", "AT02c", "AT02d"]
CLAIMS += ["AT03", "AT03b", "AT03c", "AT03d", "AT03e", "AT03f", "AT03g", "AT04", "AT04b", "AT04c"]


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("id", "change", "related"),
    [
        ("AT01", {"one": (0.6, 0.4, 0.7, 0.72, 0.72)}, ()),
        ("AT01b", {"blind": 0.8}, ()),
        ("AT02", {"fresh": (0.5, 0.53)}, ()),
        ("AT02b", {"moved": 1.2}, ()),
        ("AT02c", {"fresh": (0.9, 0.8)}, ()),
        ("AT02d", {"own": 0.56}, ()),
        ("AT03", {"one": (0.3, 0.4, 0.7, 0.72, 0.6)}, ()),
        ("AT03", {"several": (0.1, 0.2, 0.6, 0.62, 0.5)}, ()),
        ("AT03b", {"several": (0.1, 0.2, 0.6, 0.58, 0.58)}, ("AT03",)),
        ("AT03c", {"several": (0.5, 0.2, 0.6, 0.62, 0.62)}, ()),
        ("AT03d", {"several": (0.1, 0.55, 0.6, 0.62, 0.62)}, ()),
        ("AT03e", {"clean": (0.98, 0.98, 0.95, 0.98, 0.98)}, ()),
        ("AT03e", {"clean": (0.98, 0.98, 0.98, 0.98, 0.95)}, ()),
        ("AT03f", {"foreign": (0.5, 0.8)}, ()),
        ("AT03f", {"foreign": (0.8, 0.5)}, ()),
        ("AT03g", {"beyond": (0.0, 0.0, 0.3, 0.25, 0.25)}, ()),
        ("AT04", {"start": 3.0}, ()),
        ("AT04", {"start": 0.3}, ()),
        ("AT04b", {"late": 0.5}, ()),
        ("AT04c", {"down": 0.3}, ()),
        ("AT04c", {"down": 3.0}, ()),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change, related):
    found = judge(**change)
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} <= {id, *related}


def test_estimates_are_what_was_planted():
    claims = study.judge(Params(), world())
    found = {c.id: c.estimate for c in claims}
    planted = {"AT01": 0.68, "AT01b": 0.01, "AT02": 0.08, "AT02b": 0.8, "AT02c": 0.52, "AT02d": 0.07, "AT03": 0.02}
    planted |= {"AT03b": 0.02, "AT03c": 0.5, "AT03d": 0.4, "AT03e": 0.0, "AT03f": 0.18, "AT03g": 0.05}
    assert {id: found[id] for id in planted} == pytest.approx(planted, abs=0.01)
    kicks = {"AT04": 1.0, "AT04b": 3.0, "AT04c": 1.0}
    assert {id: found[id] for id in kicks} == pytest.approx(kicks, rel=0.02)
    assert {c.n for c in claims} == {12}


def test_claims_are_void_where_nothing_was_learned_but_a_broken_extreme_does_no_harm():
    of_images = {id for id in CLAIMS if not id.startswith("AT04")}
    for spoiled in (0, 2, 4):
        clean = [0.98] * 5
        clean[spoiled] = 0.5
        found = judge(clean=clean)
        assert {id for id, verdict in found.items() if verdict == "inconclusive"} >= of_images
        assert {found[id] for id in ("AT04", "AT04b", "AT04c")} == {"supported"}
    assert judge(clean=(0.98, 0.98, 0.98, 0.3, 0.98)) == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(("column", "value"), [("largest_difference", 1e-9), ("accuracy", 0.5), ("barrier", np.nan)])
def test_claims_on_kicks_are_void_where_twins_are_unfit(column, value):
    tables = world()
    tables["kicks"].loc[0, column] = value  # of a control twin
    found = verdicts(study.judge(Params(), tables))
    assert {found[id] for id in ("AT04", "AT04b", "AT04c")} == {"inconclusive"}
    assert found["AT01"] == "supported"


def test_barriers_under_the_floor_decide_nothing():
    tables = world()
    tables["kicks"]["barrier"] *= 1e-5
    found = verdicts(study.judge(Params(), tables))
    assert {found[id] for id in ("AT04", "AT04b", "AT04c")} == {"inconclusive"}
