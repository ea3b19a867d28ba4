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

TINY = Params(
    steps=30, seeds=2, seeds_per_shard=1, kick_times=(0.0, 50.0), one_weights=2, points=5, looks=4,
    redrawn_seeds=1, long_times=(0.0, 12.5, 50.0), long_seeds=1, long_sizes=(1e-2,),
)  # fmt: skip
EVERYWHERE = ["B00", "B01", "B02", "B03", "B04", "B04b", "B05", "B07", "B16", "B21", "B28", "B25", "B25b"]
MAIN = ["B24", "B24b", "B24c", "B26e", "B26c", "B26d", "B27"]
CLAIMS = EVERYWHERE + MAIN


@pytest.fixture(scope="module")
def results(own_store):
    """A tiny run with its own store."""
    return study.run(TINY)


def test_every_cell_is_there_once(results):
    twins = results["twins"]
    assert not twins.duplicated(["setting", "seed", "time", "kind", "size", "weights", "draw"]).any()
    per_seed = twins[twins.setting == "mnist1d"].groupby(["time", "kind"]).size() / TINY.seeds
    late = {"batch": 1, "control": 1, "equal L2": 2, "gaussian": 2, "one ulp": 1, "one weight": 1, "some weights": 1}
    assert per_seed[0.0].to_dict() == late | {"one weight": 2}
    assert per_seed[50.0].to_dict() == late
    counts = twins.groupby("kind").weights.agg(set).to_dict()
    every = 40 * 64 + 3 * 64 * 64 + 64 * 10
    assert counts == {
        "batch": {every}, "gaussian": {every}, "control": {0}, "one ulp": {1}, "one weight": {1},
        "some weights": {100}, "equal L2": {1, 100},
    }  # fmt: skip


def test_data_drawn_anew_have_the_same_grid_and_other_numbers(results):
    twins = results["twins"]
    cell = ["time", "kind", "size", "draw"]
    main, anew = (twins[twins.setting == name].query("seed == 0").set_index(cell) for name in ("mnist1d", "redrawn"))
    main = main.drop(["some weights", "equal L2"], level="kind")
    assert list(main.index) == list(anew.index)
    kicked = anew.index.get_level_values("kind") != "control"
    assert (main.loss_parent.to_numpy() != anew.loss_parent.to_numpy())[kicked].all()
    assert [s.config["setting"]["data"] for s in study.shards(TINY) if s.of == "redrawn"] == ["mnist1d-draw-1"]


def test_long_runs_are_longer_and_kicked_when_they_should_be(results):
    longer = results["longer"]
    assert set(longer.kind) == {"control", "gaussian"}
    assert longer.groupby("time").step.first().to_dict() == {0.0: 0, 12.5: 15, 50.0: 60}
    assert not set(longer.setting) - {"mnist1d"}


def test_controls_are_identical_and_kicks_have_their_size(results):
    twins = results["twins"].query("setting == 'mnist1d'")
    assert (twins[twins.kind == "control"].largest_difference == 0).all()
    growth = results["growth"].merge(twins[["setting", "seed", "time", "kind", "size", "draw", "step", "unit"]], "left")
    # `step` is the look in one table and the kick in the other, so the merge keeps the look at the kick.
    at_kick = growth[growth.unit.notna() & growth.kind.isin(["gaussian", "batch"])]
    assert len(at_kick) == 12
    np.testing.assert_allclose(at_kick.distance, at_kick["size"] * at_kick.unit, rtol=2e-3)
    equal = twins[twins.kind == "equal L2"]
    np.testing.assert_allclose(equal.relative_size, TINY.count_size, rtol=2e-3)


KEY = ["seed", "time", "kind", "size", "weights", "draw"]


def test_tables_fit_together(results):
    twins, path = results["twins"], results["paths"]
    ends = path[path.alpha.isin([0.0, 1.0])].pivot_table("loss", [*KEY, "setting"], "alpha")
    merged = ends.reset_index().merge(twins)
    np.testing.assert_allclose(merged[0.0], merged.loss_parent)
    assert (merged.top >= merged[[0.0, 1.0]].max(axis=1)).all()
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
    cell = "setting == 'mnist1d' and seed == 1 and time == 50 and kind == 'gaussian' and size == 0.01"
    (row,) = results["twins"].query(cell).to_dict("records")
    (end,) = results["growth"].query(f"{cell} and step == 30").to_dict("records")

    def losses(x, y):
        line = torch.stack([(1 - alpha) * parent + alpha * twin for alpha in (0.0, 0.25, 0.5, 0.75, 1.0)])
        return torch.stack([torch.nn.functional.cross_entropy(model.logits(one[None], x)[0], y) for one in line])

    def barrier(x, y):
        on = losses(x, y).tolist()
        return max(v - (on[0] + i / 4 * (on[-1] - on[0])) for i, v in enumerate(on))

    expected = {
        "barrier": barrier(task.x, task.y),
        "barrier_test": barrier(task.x_test, task.y_test),
        "accuracy_parent": (answers[0] == task.y_test).double().mean().item(),
        "accuracy_twin": (answers[1] == task.y_test).double().mean().item(),
        "distance": (twin - parent).norm().item(),
        "top": losses(task.x, task.y).max().item(),
        "top_test": losses(task.x_test, task.y_test)[losses(task.x, task.y).argmax()].item(),
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
    more = {"seeds": 5, "profile": "other", "redrawn_seeds": 2, "long_seeds": 3}
    few, many = study.shards(TINY), study.shards(TINY.model_copy(update=more))
    assert {shard.key for shard in few} <= {shard.key for shard in many}
    json.dumps([shard.config for shard in few])


def test_real_data_get_the_thinner_grid_and_keep_their_recipe():
    real_only = {"redrawn_seeds": 0, "long_times": ()}
    changes = {"real_settings": ("digits",), "real_seeds": 1, "recipe": {"lr": 0.1}}
    *main, real = study.shards(TINY.model_copy(update=real_only | changes))
    assert [shard.of for shard in main] == ["mnist1d"] * 2
    assert {shard.config["setting"]["recipe"]["lr"] for shard in main} == {0.1}
    assert (real.of, real.config["setting"]) == ("digits", plain("digits").identity)
    assert real.config["gaussian_sizes"] == list(TINY.real_sizes)
    assert real.config["batch_sizes"] == list(TINY.real_batch_sizes)
    assert (real.config["seeds"], real.config["weight_counts"], real.config["one_weights"]) == ([0], [], 1)
    assert not any(name.startswith("real_") for shard in (*main, real) for name in shard.config)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"gaussian_sizes": []}, "gaussian_sizes is empty"),
        ({"count_times": [7.0]}, "give some of kick_times"),
        ({"long_sizes": [1e-3]}, "give some of gaussian_sizes"),
        ({"real_settings": ["digits", "digits"]}, "name each once"),
        ({"real_settings": ["cifar10-small", "cifar10-paper"]}, "name each once"),
        ({"real_settings": ["digit"]}, "unknown setting 'digit'"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_real_data_cannot_be_drawn_anew():
    with pytest.raises(ParameterError, match="cannot be drawn anew"):
        study.shards(Params(setting="digits", redrawn_seeds=1))


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


TIMES = (0.0, 0.5, 6.45, 10.0, 25.0, 50.0)
LONG_TIMES = (*(time / 4 for time in TIMES), 32.26)  # the same updates, and update 2000
SIZES = (1e-6, 1e-4, 1e-3, 1e-2)
ROWS = [
    *[("one weight", 0.01, 1, draw) for draw in range(4)],
    *[(kind, size, 15_000, 0) for kind in ("gaussian", "batch") for size in SIZES],
    *[("equal L2", 1e-4, count, 0) for count in (1, 100)],
    ("some weights", 0.01, 100, 0),
]


def world(
    barrier, accuracy=lambda time, seed: 0.6, test=0.9, control=0.0, seeds=10, ridge=1.0, clock=1.0, apart=1.0
):  # fmt: skip
    """A table of twins in which the barrier is a given function of time, size, kind and weights, with a little noise.

    In long runs it is that of `clock` times the share of training by then.
    """
    noise = np.random.default_rng(0)

    def tables(of, rows, steps, times):
        cells = [("control", 0.0, 0, 0), *rows]
        found = pd.DataFrame(
            [(seed, time, *cell) for seed in range(seeds) for time in times for cell in cells],
            columns=["seed", "time", "kind", "size", "weights", "draw"],
        )
        kicked = found.kind != "control"
        found["barrier"] = [
            0.0 if row.kind == "control" else of(row.time, row.size_, row.kind, row.weights) * noise.lognormal(0, 0.1)
            for row in found.rename(columns={"size": "size_"}).itertuples()
        ]
        return found.assign(
            setting="mnist1d", step=found.time / 100 * steps, cumulative_lr=found.time / 100 * steps / 20,
            barrier_test=test * found.barrier, largest_difference=np.where(kicked, 1.0, control),
            accuracy_twin=[accuracy(t, s) + noise.normal(0, 1e-3) for t, s in zip(found.time, found.seed, strict=True)],
            loss_parent=0.1, top=2.0 * noise.lognormal(0, 0.02, len(found)), top_test=2.0 * ridge,
            distance=apart * noise.lognormal(0, 0.02, len(found)), unit=1.0,
        )  # fmt: skip

    alone = [row for row in ROWS if row[0] == "gaussian"]
    long = tables(lambda time, *rest: barrier(clock * time, *rest), alone, 6200, LONG_TIMES)
    return dict(twins=tables(barrier, ROWS, 1550, TIMES), longer=long)


PARAMS = Params(gaussian_sizes=SIZES, long_sizes=(1e-4, 1e-2), kick_times=TIMES, count_times=(0.0, 50.0))


def verdicts(tables, params=PARAMS):
    return conftest.verdicts(study.judge(params, tables))


def fading(time, size, kind, weights):
    """As the paper says, on a clock of updates; at 25 % as the authors at 400 updates."""
    grows = size**0.3 if kind == "batch" and time > 0 else 1.0
    grows *= 0.5 + 0.5 * min(weights, 15_000) ** 0.1 / 15_000**0.1 if kind == "some weights" or size == 0.01 else 1.0
    curve = {0.0: 3.0, 0.5: 2.4, 6.45: 0.3, 10.0: 0.02, 25.0: 0.01, 50.0: 0.002}
    return float(np.interp(time, list(curve), list(curve.values()))) * grows + 1e-6


def test_a_world_as_the_paper_says():
    found = verdicts(world(fading, clock=4.0))
    # On the clock of updates no percentage is kept; and the authors' barriers are those of 13 times the updates.
    assert {id for id in CLAIMS if found[id] != "supported"} == {"B26c", "B26e"}


CONTRADICTING = [
    ("B00", world(fading, control=1e-9)),
    ("B01", world(lambda *cell: 1e-3)),
    ("B02", world(lambda time, size, kind, n: 1e-3 if kind == "one weight" else fading(time, size, kind, n))),
    ("B03", world(lambda time, *rest: 0.1 + time / 10)),
    ("B04", world(lambda *cell: 1.0)),
    ("B04b", world(lambda time, *rest: 0.03)),
    ("B05", world(lambda time, size, *rest: 3.0 * size**0.3)),
    ("B07", world(lambda time, size, *rest: size**-0.2)),
    ("B16", world(fading, accuracy=lambda time, seed: 0.6 - 0.02 * (time > 0))),
    ("B21", world(fading, test=0.4)),
    ("B24", world(lambda time, size, kind, n: n**0.1)),
    ("B24b", world(lambda time, size, kind, n: n**-0.1)),
    ("B24c", world(lambda time, size, kind, n: n**0.1)),
    ("B25", world(lambda *cell: 1.0)),
    ("B25b", world(lambda *cell: 1.0)),
    ("B26e", world(lambda time, *rest: 3 * math.exp(-time / 5), clock=4.0)),
    ("B26c", world(lambda *cell: 1.0)),
    ("B26d", world(lambda *cell: 1.0)),
    ("B27", world(fading, apart=0.1)),
    ("B28", world(fading, ridge=2.0)),
]


@pytest.mark.parametrize(("id", "tables"), CONTRADICTING)
def test_every_claim_can_be_contradicted(id, tables):
    assert verdicts(tables)[id] == "contradicted"


def test_the_clock_that_decides_is_found_and_an_unfinished_fall_is_a_bound():
    claims = [
        {c.id: c for c in study.judge(PARAMS, world(lambda time, *rest: 3 * math.exp(-time / 5), clock=clock))}["B26e"]
        for clock in (1.0, 4.0, 0.01)
    ]
    percentage, updates, never = claims
    assert (percentage.verdict, updates.verdict, never.verdict) == ("supported", "contradicted", "contradicted")
    assert percentage.estimate == pytest.approx(1, rel=0.3)
    assert updates.estimate == pytest.approx(1 / 4, rel=0.3)
    assert (never.bound, never.high) == (">", math.inf)


def test_seeds_are_counted_where_few_lie_far_above_the_rest():
    """Two seeds in ten with a high barrier after late kicks are a minority, however high; nine are not."""
    for far, verdict in ((0, "supported"), (2, "inconclusive"), (9, "contradicted")):
        tables = world(fading)
        rare = (tables["twins"].time >= 10) & (tables["twins"].seed < far)
        tables["twins"].loc[rare & (tables["twins"].kind != "control"), "barrier"] = 5.0
        claims = {c.id: c for c in study.judge(PARAMS, tables)}
        assert {claims[id].verdict for id in ("B04", "B04b", "B25")} == {verdict}
        assert claims["B25"].estimate == pytest.approx(1 - far / 10)


def test_no_pair_is_left_out_for_its_low_barrier():
    """A seed whose twins end without a barrier has a ratio of two values under the floor: a bound, never dropped."""
    tables = world(fading)
    tables["twins"].loc[tables["twins"].seed == 0, ["barrier", "barrier_test"]] = 0.0
    claim = {c.id: c for c in study.judge(PARAMS, tables)}["B21"]
    assert (claim.n, claim.low, claim.high, claim.verdict) == (10, 0.0, math.inf, "inconclusive")


def test_one_weight_soon_is_a_hundred_updates_later():
    slow = world(lambda time, *rest: 3.0 if time < 5 else fading(time, *rest))
    assert verdicts(slow)["B25b"] == "supported"
    late = world(lambda time, *rest: 3.0 if time < 8 else fading(time, *rest))
    assert verdicts(late)["B25b"] == "contradicted"


def test_every_place_is_judged_on_its_own_twins():
    params = PARAMS.model_copy(update={"real_settings": ("digits",), "redrawn_seeds": 1})
    main, other = world(fading), world(lambda *cell: 1.0)["twins"]
    twins = [main["twins"], other.assign(setting="digits"), other.assign(setting="redrawn")]
    both = verdicts(main | {"twins": pd.concat(twins)}, params)
    alone, else_where = verdicts(main), verdicts(dict(twins=other, longer=main["longer"]))
    ends = ("@redrawn", "@digits")
    assert both == alone | {f"{id}{end}": else_where[id] for id in EVERYWHERE for end in ends}
    assert (both["B04"], both["B04@digits"]) == ("supported", "contradicted")


def test_a_world_with_two_seeds_decides_little():
    decided = verdicts(world(fading, seeds=2))
    assert decided["B01"] == decided["B02"] == "inconclusive"


def test_broken_controls_and_untrained_networks_void_everything_else():
    broken = verdicts(world(fading, control=1e-9))
    assert broken.pop("B00") == "contradicted"
    assert set(broken.values()) == {"inconclusive"}
    tables = world(fading)
    tables["twins"].loc[tables["twins"].seed == 3, "loss_parent"] = math.log(10)
    found = {c.id: c for c in study.judge(PARAMS, tables)}
    assert found.pop("B00").verdict == "supported"
    assert {c.verdict for c in found.values()} == {"inconclusive"}
    assert found["B01"].void == "1 network did not learn"


def test_claims_without_their_cells_are_inconclusive():
    whole = world(fading)
    some = {time: whole | {"twins": whole["twins"].query("time == @time")} for time in (0, 50)}
    late, early = (
        {
            id
            for id, verdict in verdicts(tables | {"longer": whole["longer"].iloc[:0]}).items()
            if verdict == "inconclusive"
        }
        for tables in (some[50], some[0])
    )
    assert late >= {"B01", "B02", "B03", "B05", "B16", "B21", "B24", "B24b", "B25b", "B26e", "B27", "B28"}
    assert early >= {"B03", "B04", "B04b", "B07", "B16", "B24c", "B25", "B25b", "B26e", "B26c", "B26d"}


@pytest.mark.parametrize("column", ["barrier", "barrier_test", "largest_difference"])
def test_diverged_networks_void_the_claims(column):
    tables = world(fading)
    broken = tables["twins"].kind == ("control" if column == "largest_difference" else "gaussian")
    tables["twins"].loc[broken & (tables["twins"].seed == 3), column] = math.nan
    assert set(list(verdicts(tables).values())[1:]) == {"inconclusive"}
    assert verdicts(tables)["B00"] == ("inconclusive" if column == "largest_difference" else "supported")
