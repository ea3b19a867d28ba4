"""Notebook 09: cells seen at one loss against plain training, durations and scores by hand, and claims either way."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from butterfly import data, models
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.papers.altintas2025 import map_of_chaos, map_of_chaos_figures
from butterfly.papers.altintas2025.map_of_chaos import AXES, LENGTH, PLANES, Cell, Params, auc, cells, duration, study
from butterfly.papers.altintas2025.twins import BARRIER
from butterfly.perturb import Kick, expected_norm
from butterfly.strict import ParameterError
from butterfly.study import Tables, runs
from butterfly.study.claims import possible
from butterfly.train import Fork, Observer, learning_rate, train
from tests.conftest import verdicts

TINY = Params(
    steps=12,
    rates=(1.0,),
    batch_sizes=(64,),
    widths=(32,),
    warmups=(0.05,),
    kick_times=(0.0, 50.0),
    tangent_times=(0.0, 50.0),
    level=2.4,
    every=3,
    examples=100,
    points=3,
)
MIDDLE = Cell(TINY.middle).name


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


def test_the_middle_is_in_every_plane_and_computed_once():
    planes = map_of_chaos.planes(TINY)
    assert all(MIDDLE in {cell.name for cell in plane.values()} for plane in planes.values())
    assert sum(map(len, planes.values())) == 11
    assert len(cells(TINY)) == 7
    shards = study.shards(TINY)
    assert len([s for s in shards if s.compute is map_of_chaos.twins]) == 7
    assert [s.config["tangent_times"] for s in shards if ", 6 updates" in s.of] == [[]]


def test_every_twin_is_there_once_and_controls_are_the_same(results):
    twins = results["twins"]
    assert not twins.duplicated(["cell", "seed", "time", "size"]).any()
    assert (twins[twins.kind == "control"].largest_difference == 0).all()
    # A control, and two sizes at two times; without tangents the smaller size alone.
    assert twins.groupby("cell").size().value_counts().to_dict() == {10: 6, 6: 1}
    assert twins.end_predicted[twins.kind == "gaussian"].notna().mean() > 0.9
    assert set(results["kinks"].kind) == {"control", "gaussian"}


def test_what_diverged_alike_does_not_differ():
    lost, far = float("nan"), float("inf")
    parents = torch.tensor([[1.0, 2.0], [lost, far], [lost, 2.0], [1.0, 2.0]])
    twins = torch.tensor([[1.0, 2.5], [lost, far], [1.0, 2.0], [lost, 2.0]])
    found = map_of_chaos.largest_differences(twins, parents)
    assert found[:2].tolist() == [0.5, 0.0]
    assert found[2:].isnan().all()


def test_controls_of_networks_that_diverge_are_the_same():
    shard = study.shards(TINY)[0]
    config = copy.deepcopy(shard.config)
    config["setting"]["recipe"]["lr"] = 1e12
    found = map_of_chaos.twins(runs.Bench(config))
    assert np.isnan(found["end_distance"]).all()
    assert (found["largest_difference"][found["size"] == 0] == 0).all()


@pytest.mark.parametrize(("axes", "changes", "scale"), [(("scale and units", 0.5, "GELU"), {}, 0.5),
                                                        (("warm-up and norm", 0.05, "layers"), {}, 1.0)])  # fmt: skip
def test_a_cell_is_what_plain_training_gives(results, axes, changes, scale):
    """The first look at the common loss, the barrier there and the distance at the end, without the study's eye."""
    plane, x, y = axes
    cell = map_of_chaos.planes(TINY)[plane][x, y]
    task = data.load("mnist1d")
    model = models.build(cell.setting.model, task.input_shape, task.classes)
    some, init = slice(0, 100), model.init([0, 1])
    for name, view in model.layout.tensors(init).items():
        view.mul_(scale if name.startswith("linear") else 1.0)
    forks = [Fork(seed, 0, Kick(size=1e-3)) for seed in (0, 1)]
    every = frozenset(range(0, 13, 3))
    run = train(model, task, cell.setting.recipe, [0, 1], forks, [Observer("all", lambda n: n.theta.clone(), every)],
                init=init)  # fmt: skip
    crossing = {}
    for step, theta in run.recorded("all"):
        losses = evaluate(model, theta[:2], task.x[some], task.y[some])[0]
        for seed in (0, 1):
            if losses[seed] <= TINY.level and seed not in crossing:
                crossing[seed] = step
                met = barriers(model, theta[[seed]], theta[[seed + 2]], task.x[some], task.y[some], 3).of_loss
                twin = _twin(results, cell.name, seed, 0.0, 1e-3)
                if step:
                    assert twin.level_barrier == pytest.approx(float(met), abs=1e-5)
    found = results["cells"][results["cells"].cell == cell.name].set_index("seed").crossing.dropna().to_dict()
    assert found == crossing
    assert crossing
    for seed in (0, 1):
        apart = float((run.theta[seed] - run.theta[seed + 2]).norm())
        assert _twin(results, cell.name, seed, 0.0, 1e-3).end_distance == pytest.approx(apart, rel=1e-3)


def _twin(results, cell, seed, time, size):
    table = results["twins"]
    return table[(table.cell == cell) & (table.seed == seed) & (table.time == time) & (table["size"] == size)].iloc[0]


def test_a_smooth_twin_is_where_its_tangent_predicts(results):
    name = map_of_chaos.planes(TINY)["scale and units"][1.0, "GELU"].name
    for time in (0.0, 50.0):
        twin = _twin(results, name, 0, time, 1e-3)
        assert twin.end_predicted == pytest.approx(np.log10(twin.end_distance / twin.end_way), abs=0.01)
    model = models.build("mlp-4x32-gelu", (1, 40), 10)
    assert _twin(results, name, 0, 0.0, 1e-3).length == pytest.approx(1e-3 * expected_norm(model, Kick()))


def test_the_way_is_counted_from_the_kick(results):
    early, late = (_twin(results, MIDDLE, 0, time, 1e-5).end_way for time in (0.0, 50.0))
    assert 0 < late < early


# --- small functions -------------------------------------------------------------------------------------------------


def test_durations_lie_between_kicks_by_the_logarithm_of_the_barrier():
    times = np.array([0.0, 10.0, 20.0])
    assert duration(times, BARRIER * np.array([100.0, 10.0, 0.1])) == pytest.approx(15.0)
    assert duration(times, BARRIER * np.array([0.9, 0.5, 0.1])) == 0
    assert duration(times, BARRIER * np.array([0.9, 0.5, 1.1])) == np.inf
    # What lies under the floor of measurement counts as the floor.
    assert duration(times, np.array([1.0, BARRIER**2 / EPSILON, 0.0])) == pytest.approx(15.0)


def test_clocks_run_with_training():
    cell = Cell(TINY.middle)
    assert map_of_chaos.clock_of(cell, "updates")(50.0) == 6
    assert map_of_chaos.clock_of(cell, "percent of training")(50.0) == 50
    half = sum(learning_rate(cell.setting.recipe, step) for step in range(6))
    assert map_of_chaos.clock_of(cell, "summed learning rate")(50.0) == pytest.approx(half)


def test_auc_is_that_of_scikit_learn_and_counts_pairs_within_strata():
    random = np.random.default_rng(0)
    score, hit = random.integers(0, 9, 60).astype(float), random.random(60) < 0.4
    assert auc(score, hit) == pytest.approx(roc_auc_score(hit, score))
    # Whole strata that differ by a constant tell nothing of what is within them.
    stratum = np.arange(60) % 2
    assert auc(score + 100 * stratum, hit, stratum) == pytest.approx(auc(score, hit, stratum))
    assert np.isnan(auc(score, np.zeros(60, bool)))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"rates": [0.5, 2.0]}, "rates.*the middle of the map, 1, is missing"),
        ({"depths": [2, 3]}, "the middle of the map, 4, is missing"),
        ({"model": "mlp-4x32-gelu"}, "plain perceptron"),
        ({"kick_times": [5.0, 10.0]}, "begin at 0"),
        ({"tangent_times": [1.0]}, "tangent_times"),
        ({"sizes": [1e-3, 1e-5]}, "rising sizes"),
        ({"recipe": {"optimizer": "adam"}}, "SGD only"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

LARGE = Params(
    seeds=8,
    steps=1000,
    rates=(0.25, 0.5, 1.0, 2.0),
    depths=(2, 4, 6),
    batch_sizes=(32, 64, 128),
    lengths=(0.5, 1.0, 2.0),
    kick_times=(0.0, 10.0, 20.0, 40.0),
    tangent_times=(0.0, 20.0),
    kink_sizes=(1e-12, 1e-6),
)
# Decades of the barrier by unit of each axis.
EFFECTS = {"learning rate": 0.3, "depth": 0.3, "batch size": -0.3, "width": -0.3, "warm-up": -1.0,
           "normalisation": -0.4, "initial scale": 0.3, "units": -0.4}  # fmt: skip


def _effects(params, turned):
    """Of every cell: how many decades its barrier differs from that of the middle."""
    where, found = map_of_chaos.places(params), {}
    middle = where[where.cell == Cell(params.middle).name].set_index("plane")
    for row in where[where.plane != LENGTH].itertuples():
        total = 0.0
        for axis, side in zip(PLANES[row.plane], "xy", strict=True):
            here, there = (AXES[axis](np.array([v]))[0]
                           for v in (getattr(row, side), middle.loc[row.plane, side]))  # fmt: skip
            total += EFFECTS[axis] * (here - there) * (-1 if axis in turned else 1)
        found[row.cell] = total
    return found


def world(turned=(), base=-1.0, late=-2.0, tells=True, smooth=0.0, kinked=1.5, slow=-1.5, clock="rate", leaves=1.05,
          tiny=np.nan, flipped=True, control=0.0, off=1e-4):  # fmt: skip
    """Tables in which barriers follow from the axes, predictions from barriers, durations from one clock."""
    random, rows, effects, known = np.random.default_rng(0), [], _effects(LARGE, turned), cells(LARGE)
    middle = known[Cell(LARGE.middle).name]
    rate, steps = (getattr(middle.setting.recipe, name) for name in ("lr", "steps"))
    for name, cell in known.items():
        recipe, kinks = cell.setting.recipe, 0.0 if "gelu" in name else kinked
        lasts = 14 * (rate / recipe.lr if clock == "rate" else 1) * (steps / recipe.steps if clock == "rate" else 1)
        for seed in range(8):
            about = {"cell": name, "seed": seed, "learned": True, "level_way": 1.0, "end_way": 1.0}
            rows.append(about | {"time": 0.0, "size": 0.0, "kind": "control", "largest_difference": control,
                                 "end_barrier": 0.0, "end_distance": 0.0, "level_barrier": 0.0})  # fmt: skip
            for time in LARGE.kick_times:
                for size in LARGE.sizes_at(time, LARGE.tangent_times):
                    height = base + effects.get(name, 0.0) - 0.03 * time + 0.1 * np.log10(size / 1e-5)
                    height += random.normal(0, 0.03)
                    predicted = (slow + height + 1 if tells else slow) + random.normal(0, 0.1 if tells else 0.2)
                    end = np.log10(BARRIER) + (lasts - time) / 10 if time < 40 else late
                    apart = 10.0 ** (predicted + (kinks or smooth) + random.normal(0, 0.05))
                    rows.append(about | {"time": time, "size": size, "kind": "gaussian", "largest_difference": 1.0,
                                         "level_barrier": 10**height,
                                         "end_barrier": 10 ** (end + random.normal(0, 0.02)),
                                         "level_predicted": predicted, "end_predicted": predicted,
                                         "level_distance": apart, "end_distance": apart})  # fmt: skip
    twins = pd.DataFrame(rows)
    twins.loc[~twins.time.isin(LARGE.tangent_times), ["level_predicted", "end_predicted"]] = np.nan
    places = map_of_chaos.places(LARGE).assign(learned=True)
    return {"twins": twins, "places": places, "kinks": _flips(leaves, tiny, flipped, off)}


def _flips(leaves, tiny, flipped, off):
    rows = []
    for seed in range(8):
        about = {"rate": 1.0, "seed": seed, "kind": "gaussian", "watched": 1000, "before": off}
        later = leaves * (1 + 0.01 * seed)
        rows.append(about | {"size": 1e-12, "flip": tiny, "takeoff": tiny})
        flip = 300.0 if flipped else np.nan
        rows.append(about | {"size": 1e-6, "flip": flip, "takeoff": flip * later})
        rows.append(about | {"size": 1e-7, "flip": 200.0, "takeoff": 200 * later})
    return pd.DataFrame(rows)


def judge(ids=None, **changes):
    """The verdicts on a made-up world, of some claims or of all."""
    tables = Tables(world(**changes), LARGE)
    return verdicts(study._judged(q, tables) for q in study.questions if ids is None or q.id in ids)


CLAIMS = [q.id for q in study.questions]


def test_every_claim_is_supported_in_a_world_made_for_it():
    found = study.judge(LARGE, world())
    assert verdicts(found) == dict.fromkeys(CLAIMS, "supported")
    assert all(possible(claim) for claim in found if claim.kind != "check")


@pytest.mark.parametrize(
    ("change", "ids"),
    [
        ({"turned": tuple(AXES)}, ["MC02", "MC03", "MC04", "MC05", "MC06", "MC07", "MC08", "MC09"]),
        ({"base": -1.6}, ["MC01"]),
        ({"late": -1.0}, ["MC01b"]),
        ({"clock": "percent"}, ["MC10", "MC10b"]),
        ({"tells": False}, ["MC11", "MC11b", "MC11c", "MC12", "MC12b", "MC12c", "MC12d"]),
        ({"smooth": 1.0}, ["MC13"]),
        ({"kinked": 0.1}, ["MC13b"]),
        ({"slow": -0.5}, ["MC13c"]),
        ({"leaves": 1.5}, ["MC14"]),
        ({"tiny": 100.0}, ["MC14b"]),
        ({"flipped": False}, ["MC14c"]),
        ({"off": 0.1}, ["MC14d"]),
    ],
)
def test_every_claim_can_be_contradicted(change, ids):
    assert judge(ids, **change) == dict.fromkeys(ids, "contradicted")


def test_claims_are_void_where_a_control_moved_and_none_was_foregone():
    found = judge(("MC01", "MC13", "MC14", "MC15"), control=1e-9)
    assert found == dict.fromkeys(("MC01", "MC13", "MC14"), "inconclusive") | {"MC15": "contradicted"}


def test_what_did_not_learn_is_not_counted():
    tables = world()
    bad = tables["twins"].cell.str.contains("mlp-6")
    tables["twins"].loc[bad, ["learned"]] = False
    tables["twins"].loc[bad, ["level_barrier", "end_barrier"]] = np.nan
    tables["places"].loc[tables["places"].cell.str.contains("mlp-6"), "learned"] = False
    found = [study._judged(q, Tables(tables, LARGE)) for q in study.questions if q.id in ("MC02", "MC03", "MC13")]
    assert verdicts(found) == dict.fromkeys(("MC02", "MC03", "MC13"), "supported")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_figures_show_what_the_tables_hold(results):
    figure, numbers = map_of_chaos_figures.atlas(results)
    assert len(numbers) == 9
    assert numbers.middle.sum() == 4
    assert len(figure.axes) == 5
    for draw in (map_of_chaos_figures.durations, map_of_chaos_figures.one_curve, map_of_chaos_figures.take_off):
        figure, numbers = draw(results)
        assert len(numbers)
        assert figure.get_suptitle()


def test_tangents_leave_training_as_it_is(results):
    """A cell with an eye and tangents ends where plain training ends."""
    task = data.load("mnist1d")
    model = models.build("mlp-4x32", task.input_shape, task.classes)
    theta = train(model, task, TINY.middle.recipe, [0, 1]).theta
    loss = evaluate(model, theta, task.x[:100], task.y[:100])[0]
    kept = results["cells"][results["cells"].cell == MIDDLE].loss.to_numpy()
    assert torch.allclose(loss, torch.tensor(kept), atol=1e-4)
