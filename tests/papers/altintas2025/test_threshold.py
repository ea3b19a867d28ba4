"""Notebook 04: the search on planted thresholds, kicks of equal length, and claims that can come out either way."""

import numpy as np
import pandas as pd
import pytest
import torch

from butterfly import models
from butterfly.interpolate import Barriers
from butterfly.papers.altintas2025 import threshold
from butterfly.papers.altintas2025.threshold import ALL, BATCH, ONE, PARTS, Params, study
from butterfly.perturb import Kick, displacement, expected_norm
from butterfly.strict import ParameterError
from butterfly.study import Bench, Shard
from butterfly.train import train
from tests.conftest import make_task, verdicts

TINY = Params(steps=20, seeds=2, rounds=3, points=3, variants=(("mlp-4x16", 1.0), ("mlp-4x16", 0.5)))


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def test_every_search_is_there_once_and_ends_in_its_bracket(results):
    found, probes = results["thresholds"], results["probes"]
    assert not found.duplicated(["model", "init_scale", "seed", "time", "kind"]).any()
    assert len(found) == 2 * (2 + 1 + 4 + 1 + 1)
    assert (found.largest_difference == 0).all()
    np.testing.assert_allclose(found.high - found.low, 10 / 2**3)
    assert len(probes) == 3 * len(found)
    merged = probes.merge(found, on=["model", "init_scale", "seed", "time", "kind"])
    above, size = merged.barrier > TINY.level, np.log10(merged["size"])
    assert (size[above] >= merged.high[above] - 1e-9).all()
    assert (size[~above] <= merged.low[~above] + 1e-9).all()


@pytest.mark.parametrize("planted", [1e-7, 3e-3, 0.5])
def test_a_planted_threshold_is_found(planted, monkeypatch):
    """With a barrier that is the distance at the start of training, the threshold in norms is the level itself."""

    def still(model, task, recipe, seeds, forks, init):
        return train(model, task, recipe.changed(lr=1e-30), seeds, forks, init=init)

    def distance(model, a, b, x, y, points):
        loss = torch.zeros(len(a), points, dtype=torch.float64)
        loss[:, 1] = (a - b).norm(dim=1) / expected_norm(model, Kick())
        return Barriers(torch.linspace(0, 1, points, dtype=torch.float64), loss, loss)

    monkeypatch.setattr(threshold, "train", still)
    monkeypatch.setattr(threshold, "barriers", distance)
    params = TINY.model_copy(update={"level": planted, "rounds": 7, "seeds": 1, "variants": ()})
    (shard,) = study.shards(params)
    found = shard.compute(Bench(shard.config))
    assert (found["low"] <= np.log10(planted) + 1e-6).all()
    assert (np.log10(planted) - 1e-6 <= found["high"]).all()
    np.testing.assert_allclose(found["high"] - found["low"], 10 / 2**7)


def test_searches_that_never_cross_are_marked(monkeypatch):
    def computed(shard):
        return Shard(shard.compute, shard.config, shard.of, shard.compute(Bench(shard.config)))

    def flat(model, a, b, x, y, points):
        loss = torch.zeros(len(a), points, dtype=torch.float64)
        loss[::2, 1] = torch.nan  # destroyed networks are far away
        return Barriers(torch.linspace(0, 1, points, dtype=torch.float64), loss, loss)

    monkeypatch.setattr(threshold, "barriers", flat)
    monkeypatch.setattr(study, "compute", lambda shards: [computed(shard) for shard in shards])
    found = study.run(TINY.model_copy(update={"variants": ()}))["thresholds"]
    assert found.beyond.tolist() == ["below", "above"] * (len(found) // 2)


def test_all_kinds_of_kick_are_equal_in_length_and_move_what_they_say():
    task = make_task((3, 8, 8))
    model = models.build("resnet8-4", task.input_shape, task.classes)
    theta = model.init([1])[0]
    unit = expected_norm(model, Kick())
    tensors = {}
    for kind in (ALL, BATCH, ONE, *PARTS):
        kick = threshold._kick(model, kind, 0.25)
        move = displacement(model, theta, kick, 1, lambda random: (task.x[:16], task.y[:16]))
        assert move.norm().item() == pytest.approx(0.25 * unit, rel=1e-5)
        moved = model.layout.tensors(move[None])
        tensors[kind] = {name for name, view in moved.items() if view.any()}
        assert kind != ONE or (move != 0).sum() == 1
    names = {p.name for p in model.layout.parameters if p.kind == "weight"}
    assert tensors[ALL] == tensors[BATCH] == names
    assert tensors["first layer"] == {"stem.weight"}
    assert tensors["last layer"] == {"head.weight"}
    assert tensors["biases and norms"] == {p.name for p in model.layout.parameters} - names


def test_nonsense_is_refused_with_a_reason():
    for values, reason in (
        ({"batch_times": [7.0]}, "give some of kick_times"),
        ({"largest": 1e-12}, "not above smallest"),
        ({"variants": [["mlp-4x64", 1.0]]}, "not the setting's own model"),
        ({"kick_times": [10.0, 50.0]}, "begin at 0"),
    ):
        with pytest.raises(ParameterError, match=reason):
            Params.read(values, "here")


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def world(start=-7.0, slope=0.1, batch=-0.5, one=0.1, part=0.2, scale=-3.0, count=-1.5):
    """Thresholds of six seeds, as powers of ten."""
    random = np.random.default_rng(0)
    rows = []
    for seed in range(6):
        base = start + random.normal(0, 0.1)
        rows += [(seed, "mlp-4x64", 1.0, 15_000, time, ALL, base + slope * time) for time in (0.0, 10.0, 25.0)]
        rows += [(seed, "mlp-4x64", 1.0, 15_000, time, BATCH, base + slope * time + batch) for time in (10.0, 25.0)]
        rows += [(seed, "mlp-4x64", 1.0, 15_000, 0.0, kind, base + part) for kind in PARTS]
        rows += [(seed, "mlp-4x64", 1.0, 15_000, 0.0, ONE, base + one)]
        rows += [(seed, "mlp-4x32", 1.0, 5_000, 0.0, ALL, base + count * np.log10(5 / 15))]
        rows += [(seed, "mlp-4x32", f, 5_000, 0.0, ALL, base + scale * np.log10(f)) for f in (0.5, 1.4)]
    table = pd.DataFrame(rows, columns=["seed", "model", "init_scale", "count", "time", "kind", "threshold"])
    table["threshold"] += random.normal(0, 0.02, len(table))
    table["bits"], table["largest_difference"] = -table.threshold / np.log10(2), 0.0
    table["beyond"] = ""
    return dict(thresholds=table)


def judge(**changes):
    return verdicts(study.judge(Params(), world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert set(judge().values()) == {"supported"}


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("B02b", {"one": 2.0}),
        ("B06", {"batch": 0.5}),
        ("B22", {"part": 2.0}),
        ("X08", {"slope": -0.1}),
        ("X09", {"start": -2.0}),
        ("X10", {"scale": 3.0}),
        ("X11", {"count": 1.5}),
    ],
)
def test_every_claim_can_be_contradicted(id, change):
    assert judge(**change)[id] == "contradicted"


def test_claims_without_their_cells_are_inconclusive_and_broken_controls_void_all():
    plain = world()["thresholds"].query("kind == @ALL and model == 'mlp-4x64'")
    found = verdicts(study.judge(Params(), dict(thresholds=plain)))
    assert [id for id, verdict in found.items() if verdict == "inconclusive"] == ["B02b", "B06", "B22", "X10", "X11"]
    broken = world()["thresholds"].assign(largest_difference=1e-12)
    found = verdicts(study.judge(Params(), dict(thresholds=broken)))
    assert set(found.values()) == {"inconclusive"}


def test_thresholds_outside_the_range_void_the_claims_that_use_them():
    table = world()["thresholds"]
    table.loc[(table.kind == ONE) & (table.seed == 2), "beyond"] = "below"
    found = verdicts(study.judge(Params(), dict(thresholds=table)))
    assert [id for id, verdict in found.items() if verdict != "supported"] == ["B02b"]
    table.loc[(table.kind == ALL) & (table.time == 0), "beyond"] = "below"
    found = verdicts(study.judge(Params(), dict(thresholds=table)))
    assert [id for id, verdict in found.items() if verdict == "supported"] == ["X09"]


def test_what_rounding_does_lies_below_the_last_digit():
    """A number of p digits is off by at most 2^-p of itself, by about 0.42 of that in norm."""
    for dtype, digits in ((torch.float32, 24), (torch.float16, 11), (torch.bfloat16, 8)):
        assert digits + 1.1 < threshold.rounding_digits(dtype) < digits + 1.4
