"""Notebook 03: shapes of growth on planted curves, tangents beside twins, and claims that can come out either way."""

import numpy as np
import pandas as pd
import pytest

from butterfly.papers.altintas2025 import growth
from butterfly.papers.altintas2025.growth import Params, study
from butterfly.strict import ParameterError
from tests.conftest import verdicts

TINY = Params(steps=40, seeds=2, kick_times=(0.0, 50.0), looks=6, barrier_looks=2, points=3, sharpness_looks=2)
LOOKS = np.linspace(1, 30, 25) ** 2


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def test_every_twin_tangent_and_look_is_there_once(results):
    twins, tangents, barriers = results["growth"], results["tangents"], results["barriers"]
    for table in (twins, barriers):
        assert not table.duplicated(["setting", "seed", "time", "kind", "size", "step"]).any()
    kicks = twins[twins.step == 0].groupby(["setting", "kind"]).size()
    assert kicks["mnist1d"].to_dict() == {"control": 2, "gaussian": 6, "one ulp": 2}
    # Kicks at half-time are watched from then on.
    assert twins[twins.time == 50].step.min() == tangents[tangents.time == 50].step.min() == 20
    assert (twins[twins.kind == "control"].distance == 0).all()
    assert (tangents.groupby(["setting", "seed", "time"]).growth.first().abs() < 1e-6).all()
    assert set(barriers.step) == {0, 40}
    assert (results["sharpness"][["sharpness", "batch_sharpness"]] > 0).all(axis=None)


def test_twins_of_the_smooth_network_follow_their_tangents(results):
    excess = growth.departure(results.at("setting", "mnist1d-gelu"))
    assert len(excess) == 2 * 3 * 7
    assert excess[excess["size"] == 1e-4].excess.abs().max() < 0.01


@pytest.mark.parametrize(
    ("shape", "curve"),
    [
        ("exponential", lambda s: 1e-6 * np.exp(s / 90)),
        ("power law", lambda s: 1e-6 * s**2.5),
        ("saturating", lambda s: 20 / (1 + np.exp(-(s - 200) / 25))),
    ],
)
def test_planted_shapes_of_growth_are_found(shape, curve):
    noise = np.random.default_rng(0).normal(0, 0.1, len(LOOKS))
    found = growth.shapes(LOOKS, np.log(curve(LOOKS)) + noise)
    assert min(found, key=found.get) == shape
    # Criteria of nested shapes differ by no more than the price of a parameter where the simpler one is true.
    assert found[shape] == pytest.approx(np.log(0.01) + 2 * (4 if shape == "saturating" else 3) / 25, abs=0.8)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"smooth": "mnist1d-adamw"}, "defined for SGD only"),
        ({"recipe": {"optimizer": "adamw"}}, "defined for SGD only"),
        ({"recipe": {"dropout": 0.1}}, "without dropout"),
        ({"smooth": "mnist1d"}, "the same"),
        ({"model": "mlp-4x64-gelu"}, "the same"),
    ],
)
def test_settings_must_be_sgd_and_different(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_the_smooth_network_follows_the_changes_of_the_other():
    kinked, smooth = Params(recipe={"lr": 0.1}, model="mlp-4x32").networks.values()
    assert kinked.recipe == smooth.recipe
    assert (kinked.recipe.lr, kinked.recipe.steps) == (0.1, 200)
    assert (kinked.model, smooth.model) == ("mlp-4x32", "mlp-4x64-gelu")


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def world(jump=2.0, drift=0.0, exponent=0.01, sharp=40.0, straight=False):
    """Six seeds of two networks: one leaves its tangent by `jump` powers of ten, the smooth one by `drift`."""
    random = np.random.default_rng(0)
    twins, tangents, barriers, sharpness = [], [], [], []
    looks = np.unique(np.r_[0, LOOKS.round(), 90, 900])
    for setting, extra in (("mnist1d", jump), ("mnist1d-gelu", drift)):
        for seed in range(6):
            steep = exponent * random.uniform(0.9, 1.1)
            line = pd.DataFrame({"setting": setting, "seed": seed, "time": 0.0, "step": looks})
            tangents.append(line.assign(growth=steep * looks))
            for time in (45.0, 90.0):
                late = line[line.step >= time * 9].assign(time=time)
                tangents.append(late.assign(growth=steep * (late.step - time * 9)))
            twin = line.assign(kind="gaussian", size=1e-4, largest_difference=1.0)
            path = steep * looks + extra * np.log(10) * np.minimum(looks / 50, 1)
            twin["distance"] = 1e-5 * np.exp(path if straight else path - np.logaddexp(0, path - 8))
            twins += [twin, line.assign(kind="control", size=0.0, largest_difference=0.0, distance=0.0)]
            for time in (0.0, 45.0, 90.0):
                end = {"time": time, "step": 900.0, "kind": "gaussian", "size": 1e-6}
                barriers.append(line[:1].assign(**end, barrier=1.0))
            sharpness.append(line.assign(sharpness=sharp, lr=0.1, steps=900))
    tables = {"growth": twins, "tangents": tangents, "barriers": barriers, "sharpness": sharpness}
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    return tables | {"fits": growth.fits(tables["growth"])}


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(["B15", "X04", "X05", "X06", "X07"], "supported")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("B15", {"straight": True, "jump": 0.0}),
        ("X04", {"exponent": -0.01}),
        ("X05", {"jump": 0.3}),
        ("X06", {"drift": 1.0}),
        ("X07", {"sharp": 5.0}),
    ],
)
def test_every_claim_can_be_contradicted(id, change):
    assert judge(**change)[id] == "contradicted"


def test_claims_are_void_where_controls_differ():
    tables = world()
    tables["growth"].loc[lambda t: (t.kind == "control") & (t.setting == "mnist1d"), "largest_difference"] = 1e-9
    found = verdicts(study.judge(Params(), tables))
    assert found == {id: "supported" if id == "X06" else "inconclusive" for id in found}
