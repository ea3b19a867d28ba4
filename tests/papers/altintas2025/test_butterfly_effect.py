"""Notebook 01: its cells, its tables, and claims that can come out either way."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from butterfly import data, models
from butterfly.papers.altintas2025.butterfly_effect import Params, study
from butterfly.perturb import Kick
from butterfly.strict import ParameterError
from butterfly.study import plain
from butterfly.train import Fork, Observer, train
from tests import conftest

TINY = Params(steps=30, seeds=2, seeds_per_shard=1, kick_times=(0.0, 50.0), one_weights=2, points=5, looks=4)
CLAIMS = ["B00", "B01", "B02", "B03", "B04", "B05", "B07", "B16", "B21"]


@pytest.fixture(scope="module")
def results(own_store):
    """A tiny run with its own store."""
    return study.run(TINY)


def test_every_cell_is_there_once(results):
    twins = results["twins"]
    assert not twins.duplicated(["setting", "seed", "time", "kind", "size", "draw"]).any()
    per_seed = twins.groupby(["time", "kind"]).size() / TINY.seeds
    assert per_seed[0.0].to_dict() == {"batch": 1, "control": 1, "gaussian": 2, "one ulp": 1, "one weight": 2}
    assert per_seed[50.0].to_dict() == {"batch": 1, "control": 1, "gaussian": 2, "one ulp": 1, "one weight": 1}


def test_controls_are_identical_and_kicks_have_their_size(results):
    twins = results["twins"]
    assert (twins[twins.kind == "control"].largest_difference == 0).all()
    growth = results["growth"].merge(twins[["seed", "time", "kind", "size", "draw", "step", "unit"]], "left")
    # `step` is the look in one table and the kick in the other, so the merge keeps the look at the kick.
    at_kick = growth[growth.unit.notna() & growth.kind.isin(["gaussian", "batch"])]
    assert len(at_kick) == 12
    np.testing.assert_allclose(at_kick.distance, at_kick["size"] * at_kick.unit, rtol=2e-3)


def test_tables_fit_together(results):
    twins, path = results["twins"], results["paths"]
    ends = path[path.alpha.isin([0.0, 1.0])].pivot_table("loss", ["seed", "time", "kind", "size", "draw"], "alpha")
    merged = ends.reset_index().merge(twins)
    np.testing.assert_allclose(merged[0.0], merged.loss_parent)
    np.testing.assert_allclose(merged[1.0], merged.loss_twin)
    assert np.isfinite(twins.drop(columns=["kind", "setting"]).to_numpy(float)).all()


def test_every_column_is_what_it_says(results):
    """One cell computed again with the primitives, in plain steps."""
    setting, task = plain("mnist1d", 30), data.load("mnist1d")
    model = models.build(setting.model, task.input_shape, task.classes)
    kick = Kick(size=1e-2)
    seen = {}
    look = Observer("look", lambda now: seen.update({now.step: now.theta.clone()}), frozenset({0, 30}))
    train(model, task, setting.recipe, [1], [Fork(1, 15, kick)], [look])
    start, (parent, twin) = model.init([1])[0], seen[30]
    answers = model.logits(seen[30], task.x_test).argmax(2)
    cell = "seed == 1 and time == 50 and kind == 'gaussian' and size == 0.01"
    (row,) = results["twins"].query(cell).to_dict("records")
    (end,) = results["growth"].query(f"{cell} and step == 30").to_dict("records")

    def barrier(x, y):
        losses = []
        for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
            logits = model.logits(((1 - alpha) * parent + alpha * twin)[None], x)[0]
            losses.append(torch.nn.functional.cross_entropy(logits, y).item())
        return max(v - (losses[0] + i / 4 * (losses[-1] - losses[0])) for i, v in enumerate(losses))

    expected = {
        "barrier": barrier(task.x, task.y),
        "barrier_test": barrier(task.x_test, task.y_test),
        "accuracy_parent": (answers[0] == task.y_test).double().mean().item(),
        "accuracy_twin": (answers[1] == task.y_test).double().mean().item(),
        "distance": (twin - parent).norm().item(),
    }
    during = {
        "disagreement": (answers[0] != answers[1]).double().mean().item(),
        "accuracy_during": expected["accuracy_twin"],
        "travelled": (parent - start).norm().item(),
    }
    # Other members of the shard change the blocks and so the last bits, which training amplifies a little.
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=0.02, abs=0.004)
    assert {name: end[name] for name in during} == pytest.approx(during, rel=0.02, abs=0.004)


# --- parameters ------------------------------------------------------------------------------------------------------


def test_shards_do_not_depend_on_unrelated_parameters():
    few, many = study.shards(TINY), study.shards(TINY.model_copy(update={"seeds": 5, "profile": "other"}))
    assert many[:2] == few
    json.dumps([shard.config for shard in few])


def test_real_data_get_the_thinner_grid_and_keep_their_recipe():
    params = TINY.model_copy(update={"real_settings": ("digits",), "real_seeds": 1, "recipe": {"lr": 0.1}})
    *main, real = study.shards(params)
    assert [shard.of for shard in main] == ["mnist1d"] * 2
    assert {shard.config["setting"]["recipe"]["lr"] for shard in main} == {0.1}
    assert (real.of, real.config["setting"]) == ("digits", plain("digits").identity)
    assert real.config["gaussian_sizes"] == list(TINY.real_sizes)
    assert (real.config["seeds"], real.config["batch_sizes"], real.config["one_weights"]) == ([0], [], 1)
    assert not any(name.startswith("real_") for shard in (*main, real) for name in shard.config)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"gaussian_sizes": []}, "gaussian_sizes is empty"),
        ({"real_settings": ["digits", "digits"]}, "name each once"),
        ({"real_settings": ["cifar10-small", "cifar10-paper"]}, "name each once"),
        ({"real_settings": ["digit"]}, "unknown setting 'digit'"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def world(barrier, accuracy=lambda time, seed: 0.6, test=0.9, control=0.0, seeds=10):
    """A table of twins in which the barrier is a given function of time, size and kind, with a little noise."""
    noise = np.random.default_rng(0)
    kinds = [("control", 0.0, 1), ("one weight", 0.01, 4), ("gaussian", None, 1), ("batch", None, 1)]
    rows = []
    for seed in range(seeds):
        for time in (0.0, 10.0, 50.0):
            for kind, fixed, draws in kinds:
                for size in [fixed] if fixed is not None else [1e-6, 1e-4, 1e-3, 1e-2]:
                    for draw in range(draws):
                        b = 0.0 if kind == "control" else barrier(time, size, kind) * noise.lognormal(0, 0.1)
                        rows.append(
                            dict(
                                setting="mnist1d",
                                seed=seed,
                                time=time,
                                kind=kind,
                                size=size,
                                draw=draw,
                                barrier=b,
                                barrier_test=test * b,
                                largest_difference=control if kind == "control" else 1.0,
                                accuracy_twin=accuracy(time, seed) + noise.normal(0, 0.001),
                                accuracy_parent=0.6,
                            )
                        )
    return dict(twins=pd.DataFrame(rows))


def verdicts(tables, params=None):
    return conftest.verdicts(study.judge(params or Params(), tables))


def fading(time, size, kind):
    grows = size**0.3 if kind == "batch" and time > 0 else 1.0
    return 3.0 * math.exp(-time / 1.0) * grows + 1e-6


def test_a_world_as_the_paper_says():
    assert verdicts(world(fading)) == dict.fromkeys(CLAIMS, "supported")


CONTRADICTING = [
    ("B00", world(fading, control=1e-9)),
    ("B01", world(lambda time, size, kind: 1e-3)),
    ("B02", world(lambda time, size, kind: 1e-3 if kind == "one weight" else fading(time, size, kind))),
    ("B03", world(lambda time, size, kind: 0.1 + time / 10)),
    ("B04", world(lambda time, size, kind: 1.0)),
    ("B05", world(lambda time, size, kind: 3.0 * (size or 1) ** 0.3)),
    ("B07", world(lambda time, size, kind: (size or 1) ** -0.2)),
    ("B16", world(fading, accuracy=lambda time, seed: 0.6 - 0.01 * (time > 0))),
    ("B21", world(fading, test=0.4)),
]


@pytest.mark.parametrize(("id", "tables"), CONTRADICTING)
def test_every_claim_can_be_contradicted(id, tables):
    assert verdicts(tables)[id] == "contradicted"


def test_every_place_is_judged_on_its_own_twins():
    params = Params(real_settings=("digits",))
    main, real = world(fading)["twins"], world(lambda time, size, kind: 1.0)["twins"].assign(setting="digits")
    both = verdicts(dict(twins=pd.concat([main, real])), params)
    assert both == verdicts(world(fading)) | {
        f"{id}@digits": verdict for id, verdict in verdicts(world(lambda time, size, kind: 1.0)).items()
    }
    assert both["B04"] == "supported"
    assert both["B04@digits"] == "contradicted"


def test_a_world_with_two_seeds_decides_little():
    decided = verdicts(world(fading, seeds=2))
    assert decided["B01"] == decided["B02"] == "inconclusive"


def test_broken_controls_void_everything_else():
    decided = verdicts(world(fading, control=1e-9))
    assert decided.pop("B00") == "contradicted"
    assert set(decided.values()) == {"inconclusive"}


def test_claims_without_their_cells_are_inconclusive():
    late = verdicts(dict(twins=world(fading)["twins"].query("time == 50")))
    early = verdicts(dict(twins=world(fading)["twins"].query("time == 0")))
    undecided = {id for id, verdict in late.items() if verdict == "inconclusive"}
    assert undecided >= {"B01", "B02", "B03", "B05", "B16", "B21"}
    assert {id for id, verdict in early.items() if verdict == "inconclusive"} >= {"B03", "B04", "B07", "B16"}


@pytest.mark.parametrize("column", ["barrier", "barrier_test", "largest_difference"])
def test_diverged_networks_void_the_claims(column):
    tables = world(fading)
    broken = tables["twins"].kind == ("control" if column == "largest_difference" else "gaussian")
    tables["twins"].loc[broken & (tables["twins"].seed == 3), column] = math.nan
    assert set(list(verdicts(tables).values())[1:]) == {"inconclusive"}
    assert verdicts(tables)["B00"] == ("inconclusive" if column == "largest_difference" else "supported")
