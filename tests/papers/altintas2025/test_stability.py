"""Notebook 05: one twin of every kind of arm measured again in plain steps, effects of hand-made twins, claims."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from butterfly import align, data, models
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON
from butterfly.papers.altintas2025 import stability
from butterfly.papers.altintas2025.stability import ARMS, CLAIMS, CLOCKS, PILOTS, REFERENCE, SHAPES, Params, study
from butterfly.perturb import Kick
from butterfly.strict import ParameterError
from butterfly.study import Bench, Origin, Shard, setting
from butterfly.train import Fork, Observer, Recipe, learning_rate, train
from tests.conftest import verdicts

MADE = ("wide-shallow", REFERENCE, "batch x4", "AdamW", "label noise")  # the reference need not be first
TINY = Params(settings=("digits",), steps=60, arms=MADE, seeds=2, seeds_per_shard=2, size=0.3, points=4)
SEED = 1
# Other networks of the shard change the blocks and so the last bits, which training amplifies a little.
NEAR = {"rel": 0.02, "abs": 1e-3}


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    keys = {
        "budgets": (["setting", "arm", "steps"], 1 + 4 + 4 + 4 + 3),
        "twins": (["setting", "arm", "seed", "kind", "time"], 5 * 2 * 4),
        "effects": (["setting", "arm", "clock", "seed"], 5 * 2 * 5),
        "losses": (["setting", "arm"], 5),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        table = results[name]
        assert len(table) == count, name
        assert not table.duplicated(key).any(), name
        assert set(table.arm) == set(MADE), name
        assert np.isfinite(table.drop(columns=[*key, "log_ratio"], errors="ignore")).all(axis=None), name
    unknown = results["effects"][results["effects"].log_ratio.isna()]
    assert not set(unknown.arm) & {REFERENCE, "wide-shallow"}
    assert unknown[unknown.arm == "AdamW"].clock.unique().tolist() == ["cumulative_lr"]
    twins = results["twins"].query("kind == 'twin'")
    assert set(twins.time) == {0, 5, 25}
    assert (results["losses"].seeds == 2).all()


def test_controls_are_identical_to_their_parents(results):
    control, twin = (results["twins"][results["twins"].kind == kind] for kind in ("control", "twin"))
    assert (control[["largest_difference", "distance", "time"]] == 0).all(axis=None)
    assert control.barrier.max() < 1e-8
    assert (twin[["largest_difference", "distance"]] > 0).all(axis=None)


def test_tables_follow_from_the_twins(results):
    pd.testing.assert_frame_equal(results["effects"], stability.effects(results["twins"]))
    pd.testing.assert_frame_equal(results["losses"], stability.losses(results["twins"]))


# --- one twin in plain steps -----------------------------------------------------------------------------------------


def task_of(arm):
    task = data.load("digits")
    return data.with_label_noise(task, 0.1, seed=0)[0] if arm == "label noise" else task


def recipe_of(arm, steps):
    base = {"steps": steps, "batch_size": 16, "lr": 0.1, "momentum": 0.9, "warmup": 0.02, "weight_decay": 0.0}
    changes = {"batch x4": {"batch_size": 64}, "AdamW": {"optimizer": "adamw", "lr": 0.01}}
    return Recipe(**(base | changes.get(arm, {})))


def model_of(arm):
    return models.build("mlp-1x119" if arm == "wide-shallow" else "mlp-2x64", (1, 8, 8), 10)


@pytest.mark.parametrize("arm", MADE)
def test_every_column_is_what_it_says(results, arm):
    """One twin trained alone, for the budget of its arm, and the line to it walked by hand."""
    steps = int(results["budgets"].query("arm == @arm").budget.iloc[0])
    task, model, recipe = task_of(arm), model_of(arm), recipe_of(arm, steps)
    for time in (0, 25):
        at = round(time * steps / 100)
        copy = Observer("copy", lambda now: now.theta[:1].clone(), frozenset({at}))
        run = train(model, task, recipe, [SEED], [Fork(SEED, at, Kick(size=0.3))], [copy])
        (a, b), ((_, then),) = run.theta, run.recorded("copy")
        line = torch.stack([a, (2 * a + b) / 3, (a + 2 * b) / 3, b])
        loss = evaluate(model, line, task.x, task.y)[0]
        excess = [loss[1] - (2 * loss[0] + loss[3]) / 3, loss[2] - (loss[0] + 2 * loss[3]) / 3]
        expected = {
            "step": at,
            "examples": at * recipe.batch_size,
            "cumulative_lr": sum(learning_rate(recipe, step) for step in range(at)),
            "largest_difference": (b - a).abs().max().item(),
            "distance": (b - a).norm().item(),
            "barrier": max(0, *(one.item() for one in excess)),
            "looseness": align.looseness(model.layout, then).item(),
            "loss": loss[0].item(),
            "accuracy": 1 - evaluate(model, a[None], task.x_test, task.y_test)[1].item(),
        }
        (row,) = (
            results["twins"]
            .query("arm == @arm and seed == @SEED and time == @time and kind == 'twin'")
            .to_dict("records")
        )
        assert {name: row[name] for name in expected} == pytest.approx(expected, **NEAR), time


def test_pilots_are_other_seeds_trained_for_every_multiple(results):
    found = results["budgets"].set_index(["arm", "steps"])
    for arm, steps in ((REFERENCE, 60), ("batch x4", 13), ("label noise", 120)):
        task, model = task_of(arm), model_of(arm)
        theta = train(model, task, recipe_of(arm, steps), [PILOTS, PILOTS + 1]).theta
        loss = evaluate(model, theta, task.x, task.y)[0]
        assert found.loss[arm, steps] == pytest.approx(loss.log().mean().exp().item(), **NEAR), arm
    assert (found.target == found.loss[REFERENCE, 60]).all()
    for arm, own in results["budgets"].groupby("arm"):
        expected = (
            60 if arm == REFERENCE else stability.budget(own.steps.to_numpy(), own.loss.to_numpy(), own.target.iloc[0])
        )
        assert (own.budget == expected).all(), arm


# --- budgets ---------------------------------------------------------------------------------------------------------

TRIED = np.array([20, 40, 80, 160])


def test_a_budget_is_exact_where_the_loss_is_a_power_of_the_steps():
    for steps in (20, 33, 57, 80, 121, 160):
        assert stability.budget(TRIED, 7.0 * TRIED**-0.8, 7.0 * steps**-0.8) == steps


@pytest.mark.parametrize(
    ("losses", "target", "steps"),
    [
        ([8.0, 4.0, 2.0, 1.0], 100.0, 20),  # never as high
        ([8.0, 4.0, 2.0, 1.0], 0.01, 160),  # never as low
        ([8.0, 2.0, 4.0, 1.0], 2**0.5, 113),  # not falling: halfway between 80 and 160
        ([8.0, 2.0, 4.0, 1.0], 4.0, 28),  # where it is first reached
        ([8.0, 9.0, 9.0, 2.0], 4.0, 113),
        ([np.nan, 8.0, 4.0, 2.0], 8.0, 40),
        ([8.0, 4.0, np.nan, 1.0], 2.0, 113),  # diverged runs reach nothing
        ([8.0, 4.0, np.nan, np.nan], 1.0, 160),
        ([np.nan] * 4, 1.0, 160),
        ([np.inf, 8.0, 4.0, 2.0], 8.0, 40),
        ([8.0, 4.0, 2.0, 1.0], np.nan, 160),  # the reference diverged: whatever the arm does is void
    ],
)
def test_budgets_where_losses_do_not_fall_or_do_not_reach(losses, target, steps):
    found = stability.budget(TRIED, np.array(losses), target)
    assert isinstance(found, int)
    assert found == steps


def made_up(shard):
    """A pilot whose loss is a power of the steps, three times as high on the second setting, two pilots around it."""
    assert shard.compute is stability.pilot
    steps, own = np.array(shard.config["budgets"]), shard.config["setting"]
    usual = {"digits": 16, "mnist1d": 64}[own["data"]]
    faster = 4.0 if own["recipe"]["batch_size"] > usual else 1.0
    level = (3 if own["data"] == "mnist1d" else 1) * (2.0 if own["recipe"]["weight_decay"] else 1.0)
    loss = level / (faster * steps)
    return Shard(shard.compute, shard.config, shard.of, {"budgets": steps, "losses": np.stack([loss / 2, loss * 2], 1)})


def test_each_setting_has_a_target_of_its_own():
    params = Params(settings=("digits", "mnist1d"), steps=100, arms=("weight decay", REFERENCE, "batch x4"))
    table = stability.budgets_of([made_up(shard) for shard in study.shards(params)])
    one = table.drop_duplicates(["setting", "arm"]).set_index(["setting", "arm"])
    targets = {name: set(own.target) for name, own in table.groupby("setting")}
    assert {name: list(found) for name, found in targets.items()} == {
        "digits": [pytest.approx(0.01)],
        "mnist1d": [pytest.approx(0.03)],
    }
    for name in params.settings:
        assert one.budget[name].to_dict() == {REFERENCE: 100, "weight decay": 160, "batch x4": 25}
    # The first row of each arm is its first pilot: the mean of the pilots is geometric.
    assert one.loss["digits", "weight decay"] == pytest.approx(2 / 20)


def by_arm(shards):
    """Configurations by arm."""
    return {shard.of.split(": ")[1]: shard.config for shard in shards}


def test_pilots_try_multiples_of_the_updates_of_the_reference():
    found = by_arm(study.shards(Params(steps=1000, arms=ARMS, pilots=3)))
    assert found[REFERENCE]["budgets"] == [1000]
    assert found["batch x4"]["budgets"] == [150, 220, 320, 480]
    assert found["label noise"]["budgets"] == [1000, 2000, 4000]
    rest = [config["budgets"] for arm, config in found.items() if arm not in (REFERENCE, "batch x4", "label noise")]
    assert rest == [[200, 400, 800, 1600]] * (len(ARMS) - 3)
    for config in found.values():
        assert config["seeds"] == [200_000, 200_001, 200_002]
    short = by_arm(study.shards(Params(steps=5)))["warm-up x10"]
    assert short["budgets"] == [2, 2, 4, 8]  # never fewer than two updates


# --- arms ------------------------------------------------------------------------------------------------------------

SHAPE = {"mnist1d": (1, 40), "digits": (1, 8, 8), "cifar10-small": (3, 32, 32), "cifar10-paper": (3, 32, 32)}


@pytest.mark.parametrize("name", SHAPES)
def test_arms_differ_from_the_reference_in_what_they_are_named_after(name):
    found = stability.arms(Params(steps=500, arms=tuple(reversed(ARMS))), name)
    base, own = found[REFERENCE], setting(name)
    assert next(iter(found)) == REFERENCE
    assert set(found) == {REFERENCE, *SHAPES[name], *stability.RECIPES}
    assert base.model == own.model
    plain = {"steps": 500, "warmup": 0.02, "weight_decay": 0.0}
    assert base.recipe == own.recipe.model_copy(update=plain)
    recipe = base.recipe
    changes = {
        "batch x4": {"batch_size": 4 * recipe.batch_size},
        "learning rate / 3": {"lr": recipe.lr / 3},
        "warm-up x10": {"warmup": 10 * recipe.warmup},
        "weight decay": {"weight_decay": pytest.approx(0.2 / (recipe.lr * 500))},
        "AdamW": {"optimizer": "adamw", "lr": stability.ADAMW[name]},
        "label noise": {},
    }
    for arm, one in found.items():
        model = SHAPES[name].get(arm, base.model)
        assert one.model_dump() == base.model_dump() | {
            "model": model,
            "recipe": recipe.model_dump() | changes.get(arm, {}),
        }, arm
    some = stability.arms(Params(steps=500, arms=("AdamW", REFERENCE)), name)
    assert some == {REFERENCE: found[REFERENCE], "AdamW": found["AdamW"]}


def test_weight_decay_shrinks_weights_by_a_tenth():
    """As the authors' 1e-4 does in their 20,000 updates."""
    for name, steps in (("mnist1d", 1550), ("cifar10-paper", 20_000)):
        recipe = stability.arms(Params(steps=steps, arms=(REFERENCE, "weight decay")), name)["weight decay"].recipe
        shrunk = np.prod([1 - learning_rate(recipe, step) * recipe.weight_decay for step in range(steps)])
        assert shrunk == pytest.approx(0.9, abs=0.006)
        assert name != "cifar10-paper" or recipe.weight_decay == pytest.approx(1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_what_they_are_called(name):
    found = {REFERENCE: setting(name).model} | SHAPES[name]
    built = {arm: models.build(model, SHAPE[name], 10) for arm, model in found.items()}
    base = built[REFERENCE]
    for arm, model in built.items():
        assert (model.width > base.width) == (arm in ("wider", "wide-shallow")), arm
        assert (model.depth < base.depth) == (arm in ("shallower", "wide-shallow")), arm
        assert type(model) is type(base), arm
        assert model.depth <= base.depth, arm
        assert bool(getattr(model, "norm", "")) == (arm == "normalised"), arm
    if "wide-shallow" in built:
        assert built["wide-shallow"].layout.count == pytest.approx(base.layout.count, rel=0.005)


def test_label_noise_moves_a_tenth_of_the_training_labels():
    plain = data.load("digits")
    for arm, config in by_arm(study.shards(TINY)).items():
        task = stability._task(Bench(config))
        assert torch.equal(task.x, plain.x)
        assert torch.equal(task.x_test, plain.x_test)
        assert torch.equal(task.y_test, plain.y_test)
        moved = int((task.y != plain.y).sum())
        assert moved == (round(0.1 * len(plain.y)) if arm == "label noise" else 0), arm
        assert config["noise"] == (0.1 if arm == "label noise" else 0.0)


# --- parameters and shards -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kick_times": [0.0, 5.0]}, "give 0 and two or more later times"),
        ({"kick_times": [1.0, 5.0, 25.0]}, "give 0 and two or more later times"),
        ({"kick_times": [0.0, 25.0, 5.0]}, "rising percentages from 0 to below 100"),
        ({"kick_times": [0.0, 25.0, 100.0]}, "from 0 to below 100"),
        ({"settings": []}, "give one or two of mnist1d, digits"),
        ({"settings": ["digits", "digits"]}, "give one or two of"),
        ({"settings": ["digits", "mnist1d", "cifar10-small"]}, "give one or two of"),
        ({"settings": ["mnist2d"]}, r"settings = \['mnist2d'\]"),
        ({"arms": ["wider"]}, "give 'reference' and others"),
        ({"arms": ["reference", "deeper"]}, "and others of reference, wider"),
        ({"arms": ["reference", "wider", "wider"]}, "each once"),
        ({"pilots": 0}, "'pilots' = 0"),
        ({"seeds": 0}, "'seeds' = 0"),
        ({"seeds_per_shard": 0}, "'seeds_per_shard' = 0"),
        ({"size": 0.0}, "'size' = 0.0"),
        ({"steps": 0}, "'steps' = 0"),
        ({"points": 2}, "'points' = 2"),
        ({"arm": ["reference"]}, "did you mean 'arms'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def fitted(**steps):
    """Budgets by arm of digits."""
    rows = [("digits", arm.replace("_", " "), tried, budget) for arm, budget in steps.items() for tried in (10, 20)]
    return pd.DataFrame(rows, columns=["setting", "arm", "steps", "budget"])


def test_shards_hold_nothing_that_does_not_matter():
    params = Params(settings=("digits",), arms=(REFERENCE, "label noise"), seeds=4, seeds_per_shard=2)
    budgets = fitted(reference=200, label_noise=333)
    few = stability.kicks(params, budgets)
    changes = {"profile": "other", "pilots": 5, "seeds": 5, "steps": 200, "arms": ("AdamW", "label noise", REFERENCE)}
    many = stability.kicks(params.model_copy(update=changes), pd.concat([budgets, fitted(AdamW=99)]))
    # Steps of the reference enter by the budgets only, and the other arms do not.
    both = {(shard.of, *shard.config["seeds"]): shard for shard in many}
    assert [(shard.of, shard.config["seeds"]) for shard in few] == [
        (f"digits: {arm}", some) for arm in (REFERENCE, "label noise") for some in ([0, 1], [2, 3])
    ]
    for shard in few:
        assert both[shard.of, *shard.config["seeds"]] == shard
    assert (f"digits: {REFERENCE}", 4) in both
    arms = by_arm(many)
    steps = {arm: config["setting"]["recipe"]["steps"] for arm, config in arms.items()}
    assert steps == {REFERENCE: 200, "label noise": 333, "AdamW": 99}
    assert {arm: config["noise"] for arm, config in arms.items()} == {REFERENCE: 0, "label noise": 0.1, "AdamW": 0}
    assert set(few[0].config) == {"setting", "source", "noise", "seeds", "device", "kick_times", "size", "points"}


def test_pilots_hold_nothing_that_does_not_matter():
    few = study.shards(TINY)
    changes = {"profile": "other", "seeds": 5, "size": 1.0, "points": 9, "kick_times": (0.0, 1.0, 2.0)}
    assert study.shards(TINY.model_copy(update=changes)) == few


def test_kicks_must_fall_on_different_updates_of_every_arm():
    params = Params(settings=("digits",), arms=(REFERENCE, "AdamW"))
    with pytest.raises(ParameterError, match="different updates before the last"):
        stability.kicks(params, fitted(reference=200, AdamW=9))


# --- a recipe of one's own --------------------------------------------------------------------------------------------


def changed(**values):
    return Params.read({"settings": ["digits", "mnist1d"], "steps": 500, "arms": [*ARMS], **values}, "here")


def test_a_recipe_changes_every_arm_of_the_main_setting_but_for_what_it_is_named_after():
    own = {"lr": 0.3, "warmup": 0.05, "momentum": 0.5, "batch_size": 8}
    params = changed(recipe=own)
    assert stability.arms(params, "mnist1d") == stability.arms(changed(), "mnist1d")
    found, was = (stability.arms(p, "digits") for p in (params, changed()))
    named = {
        "batch x4": {"batch_size": 32},
        "learning rate / 3": {"lr": 0.3 / 3},
        "warm-up x10": {"warmup": 0.5},
        "weight decay": {"weight_decay": pytest.approx(0.2 / (0.3 * 500))},
        "AdamW": {"lr": 0.01},
    }
    for arm, one in found.items():
        recipe = was[arm].recipe.model_dump() | own | named.get(arm, {})
        assert one.model_dump() == was[arm].model_dump() | {"recipe": recipe}, arm


def test_other_shapes_are_those_of_the_settings_own_architecture_and_data():
    for values, left in (({"model": "mlp-3x16"}, []), ({"data_set": "mnist"}, ["wider", "shallower", "normalised"])):
        found = stability.arms(changed(**values), "digits")
        assert list(found) == [REFERENCE, *left, *stability.RECIPES]
        assert found[REFERENCE].model == values.get("model", "mlp-2x64")
        assert {one.data for one in found.values()} == {values.get("data_set", "digits")}
        assert set(stability.arms(changed(**values), "mnist1d")) == set(ARMS)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"recipe": {"warmup": 0.1}}, "'warmup' = 1.0: input should be less than 1"),
        ({"recipe": {"steps": 100}}, "give the number of updates as 'steps'"),
        ({"model": "mlp-4by64"}, "mlp-4by64"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(values, reason):
    with pytest.raises(ParameterError, match=reason):
        changed(**values)


# --- effects of hand-made twins --------------------------------------------------------------------------------------

TIMES = np.array([0.0, 5.0, 10.0, 30.0])


def arm_of(name, steps, height, batch=16, lr=0.1, seeds=2, setting="digits"):
    """Twins of one arm, a control with each: `height` gives the log barrier of a row, once it has its clocks."""
    one = pd.DataFrame({"time": TIMES, "step": TIMES / 100 * steps})
    one = one.assign(examples=one.step * batch, cumulative_lr=one.step * lr, setting=setting, arm=name, kind="twin")
    one = pd.concat([one.assign(seed=seed) for seed in range(seeds)], ignore_index=True)
    one["barrier"] = np.exp(height(one)) - EPSILON
    control = one[one.time == 0].assign(kind="control", barrier=0.0)
    return pd.concat([control, one])


def ratios(*some):
    found = stability.effects(pd.concat(some, ignore_index=True))
    return found.set_index(["arm", "clock", "seed"]).log_ratio


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_constant_factor_on_one_clock_is_found_on_it(clock):
    """Barriers fall as a power of one clock; on the others, arms that run at another rate differ by that rate too."""
    rates = {"percent": 1.0, "step": 0.8, "examples": 0.8 * 2, "cumulative_lr": 0.8 * 3}  # of the arm to the reference

    def height(t):
        reading = t.time if clock == "percent" else t[clock]
        return -2 * np.log(reading.where(t.time > 0, 1.0)) + 0.1 * t.seed

    def arm(t):
        return height(t) + np.where(t.time > 0, np.log(1.7) + 0.2 * t.seed, np.log(0.4))

    found = ratios(arm_of(REFERENCE, 1000, height), arm_of("batch x4", 800, arm, batch=32, lr=0.3))
    for seed in (0, 1):
        assert found["batch x4", clock, seed] == pytest.approx(np.log(1.7) + 0.2 * seed)
        assert found["batch x4", "start", seed] == pytest.approx(np.log(0.4))
        for other in CLOCKS:
            # The same reading of the other clock is that of this one times the ratio of their rates.
            expected = np.log(1.7) + 0.2 * seed - 2 * np.log(rates[clock] / rates[other])
            assert found["batch x4", other, seed] == pytest.approx(expected), other
            assert found[REFERENCE, other, seed] == 0
        assert found[REFERENCE, "start", seed] == 0


def test_only_readings_that_both_arms_reach_count():
    """The reference is wild where the arm does not come, and the arm where the reference does not."""

    def reference(t):
        return np.where(t.step == 300, 50.0, 1.0)

    def arm(t):
        return np.where(t.step == 8, -5.0, 2.0)

    # Updates 50, 100 and 300 of the reference, 8, 16 and 48 of the arm: nothing in common.
    found = ratios(arm_of(REFERENCE, 1000, reference), arm_of("wider", 160, arm))
    assert np.isnan(found["wider", "step", 0])
    assert np.isnan(found["wider", "cumulative_lr", 1])
    assert found["wider", "start", 0] == pytest.approx(1.0)
    # Updates 25, 50 and 150: from 50 to 100 both are flat, from 100 to 150 the reference climbs.
    found = ratios(arm_of(REFERENCE, 1000, reference), arm_of("wider", 500, lambda t: np.full(len(t), 2.0)))
    at = np.linspace(np.log(50), np.log(150), 10)
    climb = 49 * np.clip(at - np.log(100), 0, None) / np.log(3)
    assert found["wider", "step", 0] == pytest.approx((1 - climb).mean())
    # Percentages are the same for all: 50 at the last of them, where the arm is at 2.
    assert found["wider", "percent", 0] < -1


def test_adamw_has_no_summed_learning_rate_to_compare():
    found = ratios(arm_of(REFERENCE, 1000, lambda t: 0 * t.time), arm_of("AdamW", 1000, lambda t: 1 + 0 * t.time))
    assert found["AdamW"].isna().groupby("clock").all().to_dict() == {
        "cumulative_lr": True,
        **dict.fromkeys(["start", "percent", "step", "examples"], False),
    }
    assert found["AdamW", "examples", 1] == pytest.approx(1)


def test_settings_and_seeds_are_compared_with_their_own_reference():
    some = [
        arm_of(arm, 1000, lambda t, f=f, g=g: f + g * t.seed + 0 * t.time, setting=name)
        for name, f, arm, g in (
            ("digits", 0.0, REFERENCE, 1.0),
            ("digits", 0.5, "wider", 1.5),
            ("mnist1d", 3.0, REFERENCE, 1.0),
            ("mnist1d", 2.0, "wider", 1.0),
        )
    ]
    found = stability.effects(pd.concat(some, ignore_index=True).sample(frac=1, random_state=0))
    wide = found[found.arm == "wider"].groupby(["setting", "seed"]).log_ratio
    assert wide.min().to_dict() == pytest.approx(wide.max().to_dict())
    assert wide.mean().to_dict() == pytest.approx(
        {("digits", 0): 0.5, ("digits", 1): 1.0, ("mnist1d", 0): -1.0, ("mnist1d", 1): -1.0}
    )


def test_losses_are_those_of_the_parents_of_controls():
    rows = [
        ("digits", REFERENCE, 0, "control", 0.1, 0.9),
        ("digits", REFERENCE, 1, "control", 0.4, 0.7),
        ("digits", REFERENCE, 1, "twin", 9.0, 0.1),
        ("digits", "wider", 0, "control", 0.3, 0.6),
        ("mnist1d", "wider", 0, "control", 0.3, 0.6),
        ("mnist1d", REFERENCE, 0, "control", 0.1, 0.5),
    ]
    twins = pd.DataFrame(rows, columns=["setting", "arm", "seed", "kind", "loss", "accuracy"])
    found = stability.losses(twins).set_index(["setting", "arm"])
    assert found.loss.to_dict() == pytest.approx(
        {("digits", REFERENCE): 0.2, ("digits", "wider"): 0.3, ("mnist1d", "wider"): 0.3, ("mnist1d", REFERENCE): 0.1}
    )
    assert found.loc["digits"].ratio.to_dict() == pytest.approx({REFERENCE: 1, "wider": 1.5})
    assert found.loc["mnist1d"].ratio.to_dict() == pytest.approx({REFERENCE: 1, "wider": 3})
    assert found.accuracy["digits", REFERENCE] == pytest.approx(0.8)
    assert found.seeds.to_list() == [2, 1, 1, 1]


def test_equal_losses_are_within_a_factor_of_one_and_a_half():
    losses = pd.DataFrame({"ratio": [0.66, 0.67, 1.0, 1.49, 1.51, np.nan]})
    assert stability.matched(losses).to_list() == [False, True, True, True, False, False]


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

EVERY = Params(arms=ARMS)
SUPPORTING = {id: 1.0 if id == "B09b" else 0.6 if c.region.high == 1 else 1.6 for id, c in CLAIMS.items()}
ADDED = ("B23", "B23b")


def world(settings=("mnist1d",), arms=ARMS, harder=-1.0, lower=1.0, ratio=None, **factors):
    """Six seeds; the barrier of the arm of each claim is its factor times the reference's, on its clock.

    On other clocks and in arms without a claim, the factor is 1. Units become harder to exchange, the barrier falls.
    """
    random = np.random.default_rng(0)
    planted = {CLAIMS[id][:2]: factor for id, factor in (SUPPORTING | factors).items()}
    effects, twins = [], []
    for name in settings:
        for seed in range(6):
            for arm in arms:
                for clock in ("start", *CLOCKS):
                    factor = planted.get((arm, clock), 1.0) * random.uniform(0.97, 1.03)
                    effects.append((name, arm, clock, seed, np.log(factor)))
                for place, time in enumerate((0.0, 5.0, 10.0, 50.0)):
                    kind, loose = "twin", 0.5 + 0.1 * harder * place
                    other = 1 if arm == REFERENCE else -1  # other arms do not count
                    moved = 0.2 + other * lower * (loose - 0.5) + random.uniform(0, 0.01)
                    twins.append((name, arm, seed, kind, time, 1.0, moved, 0.5 + other * (loose - 0.5), 0.1, 0.9))
                loss = 0.1 * (ratio or {}).get(arm, 1.0)
                twins.append((name, arm, seed, "control", 0.0, 0.0, 0.0, 0.1 * seed, loss, 0.9))
    columns = [
        "setting",
        "arm",
        "seed",
        "kind",
        "time",
        "largest_difference",
        "barrier",
        "looseness",
        "loss",
        "accuracy",
    ]
    twins = pd.DataFrame(twins, columns=columns)
    effects = pd.DataFrame(effects, columns=["setting", "arm", "clock", "seed", "log_ratio"])
    return dict(effects=effects, twins=twins, losses=stability.losses(twins))


def judge(params=EVERY, **changes):
    return verdicts(study.judge(params, world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys([*CLAIMS, *ADDED], "supported")


def opposite(id):
    return 0.6 if CLAIMS[id].region.low == 1 else 1.6


@pytest.mark.parametrize(
    ("id", "change"),
    [
        *((id, {id: opposite(id)}) for id in CLAIMS),
        ("B09b", {"B09b": 0.5}),
        ("B23", {"harder": 1.0}),
        ("B23b", {"lower": -1.0}),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change):
    found = judge(**change)
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} == {id}


def test_estimates_are_what_was_planted():
    made = study.judge(EVERY, world())
    found = {c.id: c for c in made}
    for id, factor in SUPPORTING.items():
        assert found[id].estimate == pytest.approx(factor, rel=0.03), id
        assert found[id].n == 6
        assert f"'{CLAIMS[id].arm}'" in found[id].statistic
        assert stability.WHERE[CLAIMS[id].clock][0] in found[id].statistic
        assert (found[id].source == "this companion") == (id.startswith("X") or id in ("B09c", "B11c"))
        assert (found[id].origin == Origin.OURS) == (found[id].source == "this companion")
    assert (found["B23"].estimate, found["B23b"].estimate) == pytest.approx((-1, 1))
    assert found["B23"].source == found["B23b"].source != found["B08"].source
    assert len(found) == len(made)


def of_arm(*arms):
    return {id for id, claim in CLAIMS.items() if claim.arm in arms}


def lost(kind, arm, column, value):
    """The claims where one number of one arm is another."""
    tables = world()
    twins = tables["twins"]
    here = (twins.arm == arm) & (twins.kind == kind) & (twins.seed == 3) & (twins.time == 0)
    assert here.sum() == 1
    twins.loc[here, column] = value
    return study.judge(EVERY, tables)


@pytest.mark.parametrize(
    ("kind", "column", "value", "why"),
    [
        ("control", "largest_difference", 1e-9, "control twins differ"),
        ("control", "largest_difference", np.nan, "control twins differ"),
        ("twin", "barrier", np.nan, "1 of .* no finite loss"),
        ("twin", "barrier", np.inf, "no finite loss"),
        ("twin", "loss", np.nan, "no finite loss"),
    ],
)
def test_claims_are_void_where_controls_differ_or_numbers_are_lost(kind, column, value, why):
    made = lost(kind, "AdamW", column, value)
    assert {c.id for c in made if c.verdict == "inconclusive"} == of_arm("AdamW")
    for c in made:
        assert bool(re.search(why, c.void)) == (c.id in of_arm("AdamW"))


@pytest.mark.parametrize(("kind", "column"), [("control", "largest_difference"), ("twin", "loss")])
def test_all_claims_rest_on_the_reference(kind, column):
    assert {c.verdict for c in lost(kind, REFERENCE, column, np.nan)} == {"inconclusive"}


def test_lost_looseness_voids_what_rests_on_it():
    found = verdicts(lost("twin", REFERENCE, "looseness", np.inf))
    assert {id for id, verdict in found.items() if verdict == "inconclusive"} == set(ADDED)


@pytest.mark.parametrize("ratio", [0.6, 1.6])
def test_claims_are_void_where_the_final_loss_is_not_that_of_the_reference(ratio):
    made = study.judge(EVERY, world(ratio={"batch x4": ratio, "wider": 1.4, "normalised": 0.7}))
    assert {c.id for c in made if c.verdict == "inconclusive"} == {"B11", "B11b", "B11c"}
    for c in made:
        assert (c.void == f"the arm ends at {ratio} times the reference's training loss") == c.id.startswith("B11")


def test_arms_that_were_left_out_are_inconclusive():
    """As in the smoke profile."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = study.judge(Params(), world(arms=Params().arms))
    left = set(CLAIMS) - of_arm(*Params().arms)
    assert {c.id for c in made if c.verdict == "inconclusive"} == left
    assert {c.id for c in made if c.n == 0} == left
    assert all(np.isnan(c.estimate) for c in made if c.id in left)
    assert left


def test_one_seed_gives_no_interval_and_no_warning():
    tables = world()
    tables = {name: t[t.seed == 0] for name, t in tables.items() if name != "losses"} | {"losses": tables["losses"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = study.judge(EVERY, tables)
    assert {(c.verdict, c.n) for c in made} == {("inconclusive", 1)}


def test_readings_that_do_not_overlap_leave_a_claim_open():
    tables = world()
    effects = tables["effects"]
    effects.loc[(effects.clock == "step") & (effects.seed == 2), "log_ratio"] = np.nan
    found = verdicts(study.judge(EVERY, tables))
    assert {id for id, verdict in found.items() if verdict != "supported"} == {"B11"}


def test_a_second_setting_is_judged_on_its_own():
    params = Params(settings=("mnist1d", "digits"), arms=ARMS)
    first, second = world(), world(settings=("digits",), **{id: opposite(id) for id in CLAIMS}, harder=1.0, lower=-1.0)
    tables = {name: pd.concat([first[name], second[name]], ignore_index=True) for name in first}
    made = study.judge(params, tables)
    expected = dict.fromkeys([*CLAIMS, *ADDED], "supported")
    expected |= {f"{id}@digits": "contradicted" for id in expected}
    assert verdicts(made) == expected
    assert all(c.scope == ("digits, mlp-2x64" if c.id.endswith("@digits") else "mnist1d, mlp-4x64") for c in made)
    # What is void on one is not so on the other.
    losses, twins = tables["losses"], tables["twins"]
    for name, arm, id in (("mnist1d", "wider", "X20"), ("digits", "AdamW", "B10@digits")):
        losses.loc[(losses.setting == name) & (losses.arm == arm), "ratio"] = 2.0
        expected = expected | {id: "inconclusive"}
    assert verdicts(study.judge(params, tables)) == expected
    twins.loc[(twins.setting == "digits") & (twins.kind == "control"), "largest_difference"] = 1.0
    found = verdicts(study.judge(params, tables))
    assert found == expected | {id: "inconclusive" for id in expected if id.endswith("@digits")}
