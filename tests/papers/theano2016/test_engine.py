"""Notebook 80: every way against plain PyTorch, clocks that tick as told, and claims that can come out either way."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from butterfly import models
from butterfly.papers.theano2016 import engine, ways
from butterfly.papers.theano2016.engine import EXAMPLES, FORMATS, MEMBERS, PRODUCTS, UNCOMPILED, WIDTH, Params, study
from butterfly.papers.theano2016.ways import BOTH, COMPILED, LOOP, STACK, VMAP, WAYS, Job
from butterfly.strict import ParameterError
from butterfly.train import Recipe
from tests.conftest import make_task, verdicts

MAIN, OTHER = "mlp-2x8", "cnn-2x4"
SMALL = {"model": MAIN, "others": (OTHER,), "updates": 3, "passes": 2, "members": 3, "looped": 2, "directions": 3}
SIZES = {"counts": (1, 4), "widths": (4, 8), "batches": (8, 16), "course": (1, 4)}
TINY = Params(**SMALL, **SIZES, compiled=(MAIN,), recipe={"batch_size": 16})
EAGER = {"backend": "eager"}  # traced, but not compiled: no C++


@pytest.fixture(scope="module")
def results(own_store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ways, "COMPILER", EAGER)
        yield study.run(TINY)


def job(name="mlp-2x8", members=3, updates=4):
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build(name, task.input_shape, task.classes)
    recipe = Recipe(steps=updates, batch_size=8, lr=0.1, schedule="constant", warmup=0.0)
    seeds = list(range(members))
    return Job(model, task, recipe, seeds, model.init(seeds).double())


# --- ways against plain PyTorch --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp-2x8", "mlp-1x5-gelu", "cnn-2x4"])
def test_the_program_is_the_same_network(name):
    own = job(name)
    net = ways.program(own.model).double()
    weights, expected = ways.tensors(own.model, own.theta), own.model.logits(own.theta, own.task.x)
    for row in range(3):
        net.load_state_dict({part: t[row] for part, t in weights.items()})
        torch.testing.assert_close(net(own.task.x), expected[row])


@pytest.mark.parametrize("name", ["mlp-2x8-norm", "gru-8"])
def test_networks_without_a_program_are_refused(name):
    with pytest.raises(ValueError, match="has no program here"):
        ways.program(models.build(name, (1, 12), 3))


@pytest.mark.parametrize("name", ["mlp-2x8", "mlp-1x5-gelu", "cnn-2x4"])
def test_all_ways_end_where_plain_pytorch_ends(name):
    own = job(name)
    update = ways.update_of(own.model, own.recipe)
    expected = []
    for row, seed in enumerate(own.seeds):
        net, batches = ways.program(own.model).double(), own.batches([seed])
        net.load_state_dict({part: t[row] for part, t in ways.tensors(own.model, own.theta).items()})
        optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        for step in range(4):
            batch = batches.at(step)
            optimizer.zero_grad()
            F.cross_entropy(net(batch.x[0]), batch.target[0]).backward()
            optimizer.step()
        expected.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    ends = [ways.loop(own), ways.one_by_one(own, update), ways.together(own, ways.batched(update)), ways.stack(own)]
    for end in ends:
        torch.testing.assert_close(end.weights, torch.stack(expected))
        assert end.seconds > 0
    assert not torch.equal(ends[0].weights[0], ends[0].weights[1])


@pytest.mark.parametrize("way", [ways.loop, ways.stack])
def test_times_are_of_all_updates_but_the_first(way, monkeypatch):
    """On a clock that ticks once a look: a loop looks twice a network, all others twice."""
    ticks = iter(range(100))
    monkeypatch.setattr(ways, "clock", lambda device: float(next(ticks)))
    spans = 3 if way is ways.loop else 1
    assert way(job(updates=5)).seconds == pytest.approx(spans / (3 * 4))
    assert np.isnan(way(job(updates=1)).seconds)


def test_the_products_are_those_of_an_update(monkeypatch):
    """Three for each layer but the first, which needs no gradient of its inputs; each 2 M B I O operations."""
    model, asked, bmm = models.build("mlp-2x8", (1, 12), 3), [], torch.bmm

    def counted(a, b, out):
        asked.append(2 * a.shape[0] * a.shape[1] * a.shape[2] * b.shape[2])
        return bmm(a, b, out=out)

    monkeypatch.setattr(torch, "bmm", counted)
    assert ways.products(model, 5, 16, 2, torch.device("cpu")) > 0
    forward = [2 * 5 * 16 * i * o for i, o in ((12, 8), (8, 8), (8, 3))]
    assert len(asked) == 3 * 8
    assert sum(asked) == 3 * (3 * sum(forward) - forward[0])


def test_a_wrong_gradient_is_found():
    own = job(members=1, updates=1)
    right = ways.loop(own)
    assert engine._gradient_error(own, 0, right.weights, 3) < 1e-6
    wrong = right.weights + 1e-3 * torch.randn_like(right.weights)
    assert engine._gradient_error(own, 0, wrong, 3) > 1e-3


def test_where_nothing_compiles_the_reason_is_kept(monkeypatch):
    monkeypatch.setattr(ways, "COMPILER", {"backend": "no such compiler"})
    made = ways.compiled(ways._trifle, torch.ones(3))
    assert made.function is None
    assert np.isnan(made.seconds)
    assert "no such compiler" in made.reason


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    keys = {
        "contest": (["network", "way", "seed"], 2 * 5 * 2),
        "compilations": (["network", "way", "shard"], 2 * 2),
        "agreement": (["network", "format", "updates", "seed"], 2 * 2 * (2 + 1)),
        "gradients": (["network", "way", "seed"], 2 * 3 * 2),
        "sizes": (["axis", "value", "way", "seed"], 6 * 3 * 2),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name
    assert np.isfinite(results["sizes"].seconds).all()


def test_what_was_not_compiled_has_no_times(results):
    times = results["contest"].pivot_table("seconds", "network", "way", dropna=False)
    assert np.isfinite(times.loc[MAIN]).all()
    assert set(times.columns[times.loc[OTHER].isna()]) == {COMPILED, BOTH}
    made = results["compilations"].set_index(["network", "way"])
    assert set(made.reason[OTHER]) == {"not asked for"}
    assert (made.seconds[MAIN] > 0).all()
    assert set(made.reason[MAIN]) == {""}
    own = results["contest"].query("network == @MAIN and way == @LOOP").seconds
    assert made.loop[MAIN, COMPILED] == pytest.approx(own.median())


def test_all_ways_compute_the_same(results):
    assert results["contest"].apart.max() < 1e-6
    assert results["gradients"].error.max() < 1e-6
    exact = results["agreement"].query("format == 'float64'").apart
    assert exact.max() < 1e-12


def test_claims_on_compiled_programs_are_void_without_a_compiler(results):
    tables = type(results)(results, TINY)
    tables["compilations"] = results["compilations"].assign(seconds=np.nan, reason="InvalidCxxCompiler: none")
    found = {c.id: c for c in study.judge(TINY, tables)}
    void = {id for id, claim in found.items() if claim.void}
    assert void == {"EN01c", "EN01d", "EN04", "EN04b", "EN04c"}
    assert found["EN01c"].void == "not compiled here: InvalidCxxCompiler: none"
    plain = TINY.model_copy(update={"compiled": ()})
    assert {c.void for c in study.judge(plain, type(results)(results, plain)) if c.id in void} == {
        "nothing is compiled at these parameters"
    }


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"counts": [4, 1]}, "counts = .*two or more rising numbers"),
        ({"widths": [16]}, "widths = .*two or more rising numbers"),
        ({"looped": 9, "members": 8}, "looped = 9 of 8 members"),
        ({"compiled": ["mlp-9x9"]}, "compiled = .*give some of mlp-4x64, cnn-2x16"),
        ({"others": ["gru-16"]}, "has no program here"),
        ({"model": "cnn-2x16"}, "give an MLP"),
        ({"others": ["mlp-4"]}, "unknown model"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_shards_hold_nothing_that_does_not_matter():
    one = TINY.model_copy(update={"seeds": 2, "seeds_per_shard": 2})
    more = TINY.model_copy(update={"seeds": 4, "seeds_per_shard": 2, "figure": 50, "steps": 9})
    keys = [{shard.of + shard.compute.__name__ for shard in study.shards(p)} for p in (one, more)]
    assert keys[0] == keys[1]
    assert len(study.shards(more)) == 2 * len(study.shards(one))


# --- claims on made-up worlds ----------------------------------------------------------------------------------------


def world(
    stack=0.25,  # of the time of the loop
    vmap=0.5,
    compiled=0.4,
    both=0.2,
    other=1.0,  # factor on the times of the other architecture's batched ways
    products=0.15,
    many=1.0,  # the largest stack against one of 64
    thin=1.0,  # power of a size with which the gain falls
    rounding=1e-1,
    apart=1e-8,
    error=1e-8,
    spent=8.0,  # seconds of compiling
):
    """Nine repetitions in three shards, in which the loop takes a millisecond an update."""
    random = np.random.default_rng(0)

    def near(value):
        return 1e-3 * value * np.exp(0.03 * random.normal())

    factors = dict(zip(WAYS, (1.0, compiled, vmap, both, stack), strict=True))
    contest, made, agreement, gradients, sizes = [], [], [], [], []
    for seed in range(9):
        key = {"seed": seed, "shard": seed // 3}
        for network in ("mlp-4x64", "cnn-2x16"):
            for way, factor in factors.items():
                own = factor * (other if network == "cnn-2x16" and way in (VMAP, STACK) else 1.0)
                contest.append(key | {"network": network, "way": way, "seconds": near(own), "apart": apart})
            gradients += [key | {"network": network, "way": way, "error": error} for way in UNCOMPILED]
            for updates in (1, 200) if network == "mlp-4x64" else (1,):
                far = rounding if updates == 200 else 1e-9
                cell = key | {"network": network, "updates": updates, "apart": 1e3 * near(far)}
                agreement += [cell | {"format": kind} for kind in FORMATS]
        cells = [(MEMBERS, m, many if m == 1024 else 1.0) for m in (1, 64, 1024)]
        cells += [(axis, v, v**thin / 16**thin) for axis in (WIDTH, EXAMPLES) for v in (16, 64, 256)]
        for axis, value, grown in cells:
            for way, factor in ((LOOP, 1.0), (STACK, stack * grown), (PRODUCTS, products * grown)):
                sizes.append(key | {"axis": axis, "value": value, "way": way, "seconds": near(factor)})
    for network in ("mlp-4x64", "cnn-2x16"):
        for shard in range(3):
            times = {"loop": near(1.0), "seconds": 1e3 * near(spent), "reason": ""}
            for way in (COMPILED, BOTH):
                made.append({"network": network, "shard": shard, "way": way, "update": near(factors[way])} | times)
    tables = {"contest": contest, "compilations": made, "agreement": agreement, "gradients": gradients, "sizes": sizes}
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


LARGE = Params(
    seeds=9, seeds_per_shard=3, compiled=("mlp-4x64", "cnn-2x16"), counts=(1, 64, 1024), widths=(16, 64, 256),
    batches=(16, 64, 256), course=(1, 200),
)  # fmt: skip
CLAIMS = ["EN01", "EN01b", "EN01c", "EN01d", "EN02", "EN02b", "EN02c", "EN03", "EN03b", "EN03c", "EN03d"]
CLAIMS += ["EN04", "EN04b", "EN04c"]


def judge(**changes):
    return verdicts(study.judge(LARGE, world(**changes)))


def test_every_claim_is_supported_in_a_world_made_for_it():
    assert judge() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize(
    ("id", "change", "related"),
    [
        ("EN01", {"other": 2.4, "vmap": 0.3}, set()),  # slow in one architecture is not averaged away
        ("EN01b", {"vmap": 1.2}, set()),
        ("EN01c", {"compiled": 1.1}, {"EN04c"}),
        ("EN01d", {"both": 0.3}, set()),
        ("EN02", {"apart": 1e-5}, set()),
        ("EN02b", {"error": 1e-3}, set()),
        ("EN02c", {"rounding": 1e-6}, set()),
        ("EN03", {"products": 0.1}, set()),
        ("EN03b", {"many": 1.5, "products": 0.2}, set()),
        ("EN03b", {"many": 0.6}, set()),
        ("EN03c", {"thin": -0.3}, {"EN03d"}),
        ("EN04", {"compiled": 0.2}, set()),
        ("EN04b", {"spent": 0.5}, set()),
        ("EN04c", {"spent": 200.0}, set()),
    ],
)
def test_every_claim_can_be_contradicted_by_its_own_change_only(id, change, related):
    found = judge(**change)
    assert found[id] == "contradicted"
    assert {other for other, verdict in found.items() if verdict != "supported"} <= {id} | related


def test_estimates_are_what_was_planted():
    found = {c.id: c for c in study.judge(LARGE, world())}
    steps = LARGE.main.recipe.steps
    planted = {
        "EN01": 0.25,
        "EN01b": 0.5,
        "EN01c": 0.4,
        "EN01d": 0.8,
        "EN03": 5 / 3,
        "EN03b": 1.0,
        "EN04b": 8e3 / steps,
    }
    planted |= {"EN03c": -1.0, "EN03d": -1.0, "EN04c": 8e3 / steps / 0.6, "EN02c": 1.0}
    planted["EN04"] = 250 * steps / (400 * steps + 8e3)
    for id, value in planted.items():
        assert found[id].estimate == pytest.approx(value, rel=0.05), id
    assert {id for id, claim in found.items() if claim.n != 9} == {"EN04b", "EN04c"}
    assert found["EN04b"].n == 6
    for id, claim in found.items():
        assert claim.kind == "check" or claim.power > 0.8, id


@pytest.mark.parametrize("table", ["contest", "sizes", "agreement"])
def test_claims_are_void_where_something_was_lost(table):
    tables = world()
    tables[table].loc[0, "apart" if table == "agreement" else "seconds"] = np.nan
    assert set(verdicts(study.judge(LARGE, tables)).values()) == {"inconclusive"}


def test_the_main_network_trains_at_a_constant_rate():
    recipe = LARGE.main.recipe
    assert (recipe.schedule, recipe.warmup, recipe.weight_decay, recipe.dropout) == ("constant", 0.0, 0.0, 0.0)
    assert recipe.batch_size == 64
