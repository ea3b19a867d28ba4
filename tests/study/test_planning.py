"""What a plan says, against what training then does."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from butterfly import curvature, kernel, models, train
from butterfly.papers.altintas2025 import butterfly_effect, ensembles
from butterfly.papers.pezeshki2023 import environments, twins
from butterfly.strict import ParameterError
from butterfly.study import notebooks, planning, profiles, runs
from butterfly.study.planning import Cost, Plan

PATIENT = 600.0  # seconds: the machine may be busy


@pytest.fixture
def shard():
    params = ensembles.Params(steps=60, seeds=2, seeds_per_shard=2)
    return ensembles.study.shards(params)[0]


def test_updates_and_networks_are_those_that_training_makes(shard, monkeypatch):
    found = planning.trial(shard.compute, shard.config, PATIENT)
    updates, members, original = [], [], train._Run.update

    def counted(run, step):
        updates.append(len(run.members))
        members.append(len(run.members))
        original(run, step)

    monkeypatch.setattr(train._Run, "update", counted)
    runs.work(shard.compute, shard.config)
    assert (found.updates, found.networks, found.lacking) == (sum(updates), members[-1], "")
    assert found.seconds > 0
    assert found.bytes > 1e7


def test_operations_of_an_update_are_three_products_with_each_weight():
    params = butterfly_effect.Params(steps=12, seeds=1, seeds_per_shard=1)
    shard = butterfly_effect.study.shards(params)[0]
    found = planning.trial(shard.compute, shard.config, PATIENT)
    bench = runs.Bench(shard.config)
    weights = sum(p.numel for p in bench.model.layout.parameters if p.kind == "weight")
    training = found.updates * 3 * 2 * weights * bench.recipe.batch_size
    assert training < found.flop < 20 * training  # twelve updates, and barriers on all examples


def test_nothing_is_trained_and_all_is_as_it_was(shard, monkeypatch):
    moved = []
    original = train.descend
    monkeypatch.setattr(train, "descend", lambda *given: (moved.append(1), original(*given)))
    before = train._Run.update, train._Run.fork, curvature.hessian_product, models.Model.gradient
    planning.trial(shard.compute, shard.config, PATIENT)
    assert before == (train._Run.update, train._Run.fork, curvature.hessian_product, models.Model.gradient)
    # A few updates of copies, for their time: no more than four for each number of networks that go together.
    assert 0 < len(moved) <= 4 * 5
    bench = runs.Bench(shard.config)
    theta = bench.model.init([0])
    assert np.isfinite(bench.model.logits(theta, bench.task.x[:4]).numpy()).all()


def test_what_takes_too_long_is_said_to_be_unknown(shard):
    found = planning.trial(shard.compute, shard.config, limit=0.01)
    assert found.lacking == "more than 0.01 s to go through"


def test_of_a_run_that_takes_too_long_all_updates_are_counted(shard):
    seen = []

    def late(bench):
        def stop(now):
            seen.append(now.step)
            raise planning._LateError

        look = train.Observer("stop", stop, frozenset([10]))
        train.train(bench.model, bench.task, bench.recipe, [0, 1], observers=[look])

    found = planning.trial(late, shard.config, PATIENT)
    assert seen == [10]
    assert (found.updates, found.networks) == (2 * 60, 2)
    assert found.lacking


def test_of_a_loop_of_ones_own_that_takes_too_long_all_updates_are_counted(shard):
    def loop(until):
        def compute(bench):
            theta = bench.model.init([0, 1])
            x, state = bench.task.x[:8].expand(2, 8, *bench.task.input_shape), [torch.zeros_like(theta)]
            for step in range(bench.recipe.steps):
                if step == until:
                    raise planning._LateError
                slope = bench.model.gradient(theta, x, lambda logits: logits.square().sum())
                twins.descend(bench.recipe, step, theta, state, slope)

        return compute

    whole = planning.trial(loop(None), shard.config, PATIENT)
    part = planning.trial(loop(10), shard.config, PATIENT)
    assert (whole.updates, whole.networks, whole.lacking) == (2 * 60, 2, "")
    assert (part.updates, part.networks, part.flop) == (whole.updates, 2, pytest.approx(whole.flop))
    assert part.lacking


def test_gradients_of_ones_own_are_counted(shard):
    def loop(*widths):
        def compute(bench):
            thetas = [torch.zeros(3, width) for width in widths]
            states = [[torch.zeros_like(theta)] for theta in thetas]
            for step in range(bench.recipe.steps):
                for theta, state in zip(thetas, states, strict=True):
                    leaf, x = theta.detach().requires_grad_(), torch.ones(3, 5, theta.shape[1])
                    (slope,) = torch.autograd.grad(torch.bmm(x, leaf[..., None]).square().sum(), leaf)
                    twins.descend(bench.recipe, step, theta, state, slope)

        return compute

    each = 3 * 2 * (2 * 5)  # three networks; forward and backward; products and sums of five examples, by width
    found = planning.trial(loop(64), shard.config, PATIENT)
    assert (found.updates, found.networks, found.lacking) == (3 * 60, 3, "")
    assert found.flop == (60 - 1) * each * 64  # the first is not watched
    found = planning.trial(loop(64, 32), shard.config, PATIENT)
    assert (found.updates, found.networks, found.lacking) == (2 * 3 * 60, 6, "")
    assert found.flop == (60 - 1) * each * 64 + 60 * each * 32


def test_loops_of_ones_own_are_counted(monkeypatch):
    params = environments.Params(**{**environments.Params().model_dump(), "steps": 20})
    shard = next(s for s in environments.study.shards(params) if s.compute is environments.measure)
    found = planning.trial(shard.compute, shard.config, PATIENT)
    rows, original = [], train.descend
    monkeypatch.setattr(twins, "descend", lambda *given: (rows.append((given[1], len(given[2]))), original(*given)))
    runs.work(shard.compute, shard.config)
    assert found.lacking == ""
    assert found.updates == sum(count for _, count in rows) > 0
    assert found.networks == sum(count for step, count in rows if not step)


def test_kernels_are_counted_and_not_computed(monkeypatch):
    """Of ten networks on twenty examples: every output's gradient, and its product with every other."""

    def looks(bench):
        model = models.build("cnn-2x4", bench.task.input_shape, bench.task.classes)
        grams.update(kernel.gram_by_layer(model, model.init(range(10)), bench.task.x[:20]))
        grams["trace"] = kernel.gram(model, model.init(range(10)), bench.task.x[:20], trace=True)
        sizes["P"], sizes["C"] = model.layout.count, model.classes

    monkeypatch.setattr(kernel, "_jacobian", None)
    config, grams, sizes = (
        ensembles.study.shards(ensembles.Params(steps=60, seeds=2, seeds_per_shard=2))[0].config,
        {},
        {},
    )
    found = planning.trial(looks, config, PATIENT)
    assert found.lacking == ""
    trace = grams.pop("trace")
    assert (trace.shape, set(map(np.shape, grams.values()))) == ((10, 20, 20), {(10, 20 * sizes["C"], 20 * sizes["C"])})
    products = 2 * 10 * 20**2 * sizes["P"] * (sizes["C"] ** 2 + sizes["C"])
    assert products < found.flop < 2 * products


def test_what_takes_too_long_leaves_all_as_it_was():
    """Stopped at the next thing to count, or, where nothing is counted, wherever it is."""

    def counts(bench):
        with torch.no_grad():
            while True:
                reached.append(bench.model.logits(bench.model.init([0]), bench.task.x[:4]))

    def spins(bench):
        torch.set_grad_enabled(False)  # as if it was stopped on its way out of `no_grad`
        while True:
            pass

    config, reached = ensembles.study.shards(ensembles.Params(steps=60, seeds=2, seeds_per_shard=2))[0].config, []
    for compute in (counts, spins):
        assert planning.trial(compute, config, limit=0.2).lacking == "more than 0.2 s to go through"
        assert torch.is_grad_enabled()
    assert reached


def test_an_import_is_not_stopped(tmp_path, monkeypatch):
    """Half a module would be found by whatever imports it next."""
    (tmp_path / "slow_module.py").write_text(
        "import time\nbegan = time.process_time()\nwhile time.process_time() < began + 0.5:\n    pass\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = []

    def imports(bench):
        import slow_module

        found.append(slow_module.whole)
        while True:
            pass

    config = ensembles.study.shards(ensembles.Params(steps=60, seeds=2, seeds_per_shard=2))[0].config
    assert planning.trial(imports, config, limit=0.05).lacking == "more than 0.05 s to go through"
    assert found == [True]


def test_activations_of_many_networks_take_no_memory():
    def looks(bench):
        theta = bench.model.init(range(100)) * 1.0
        seen = bench.model.features(theta, bench.task.x[:1000])
        found.update(
            {name: (h.shape[:2], h.untyped_storage().nbytes()) for name, h in seen.items() if name != "logits"}
        )

    config, found = ensembles.study.shards(ensembles.Params(steps=60, seeds=2, seeds_per_shard=2))[0].config, {}
    planning.trial(looks, config, PATIENT)
    assert found
    assert set(found.values()) == {((100, 1000), 4)}


def test_what_ends_early_is_said_to():
    def fails(bench):
        raise bench["error"]

    assert planning.trial(fails, {"error": ZeroDivisionError()}).lacking == "ended early: ZeroDivisionError"
    fault = ValueError("model 'a' does\nnot fit")
    assert planning.trial(fails, {"error": fault}).lacking == "ended early: ValueError: model 'a' does not fit"


def test_plans_of_a_profile_add_up_over_shards():
    changes = "seeds=4 seeds_per_shard=2 steps=60"
    (found,) = planning.plans("laptop", changes, "07")
    study = notebooks.study("07_ensembles")
    params, _ = profiles.parameters("07_ensembles", study.parameters, "laptop", "cpu", changes)
    assert (found.notebook, found.shards, found.stored) == ("07_ensembles", len(study.shards(params)), 0)
    assert found.networks > 4
    assert found.seconds > 0


def test_what_only_a_gpu_can_do_is_planned_without_one(monkeypatch):
    """As long as nothing is gone through: the variants of notebook 08 that ask for a GPU are shards as all others."""
    monkeypatch.setattr(planning.runs, "workers", ThreadPoolExecutor)
    devices = set()
    monkeypatch.setattr(planning, "trial", lambda compute, config: devices.add(config["device"]) or Cost(networks=1))
    (found,) = planning.plans("gpu", only="08")
    assert found.networks == found.shards > 1
    assert devices == {"cpu"}


def test_of_many_kinds_of_shards_some_are_gone_through_and_the_others_cost_what_the_nearest_does(monkeypatch):
    monkeypatch.setattr(planning.runs, "workers", ThreadPoolExecutor)
    monkeypatch.setattr(planning, "MOST", 5)
    told, asked = [], []

    def trial(compute, config):
        asked.append(config["setting"]["recipe"]["lr"])
        return Cost(networks=1, flop=1e12)

    monkeypatch.setattr(planning, "trial", trial)
    rates = ",".join(str(round(0.1 * number, 1)) for number in range(2, 11))
    changes = f"rates=[{rates}] depths=[4] batch_sizes=[64] widths=[32] warmups=[0.05] scales=[1.0] lengths=[1.0]"
    (found,) = planning.plans("laptop", changes, "09", report=told.append)
    assert len(asked) < found.shards == found.networks == found.tflop
    assert found.note.startswith(f"kinds of shards gone through: {len(asked)} of ")
    assert told[0].endswith(found.note.removeprefix("kinds of shards gone through"))
    assert not found.least


def test_the_nearest_of_each_function_is_taken(monkeypatch):
    monkeypatch.setattr(planning, "MOST", 3)
    a, b = (lambda bench: {}), (lambda bench: {})
    assert planning._nearest([a, a, a]) == [0, 1, 2]
    assert planning._nearest([a, b, a, a, a, a, b]) == [0, 1, 0, 3, 3, 5, 6]


def test_what_is_misspelt_is_told_before_anything_is_gone_through():
    told = []
    with pytest.raises(ParameterError, match="'seedz' is not a parameter"):
        list(planning.plans("laptop", "seedz=3", report=told.append))
    assert not told


@pytest.mark.parametrize("only", ["99", "x"])
def test_a_notebook_that_a_profile_lacks_is_named(only):
    with pytest.raises(ParameterError, match=f"has no notebook {only}; use two digits. It has: 01_butterfly"):
        list(planning.plans("laptop", only=only))


def test_the_table_adds_up_and_says_what_does_not_fit():
    small = Plan("01_a", 2, 1, 10, 100, 5.0, 0.5, 120.0)
    large = Plan("02_b", 1, 0, 5, 50, 20.0, 1e6, 7200.0, "measure: more than 20 s to go through", True)
    lines = planning.table([small, large], jobs=2, rate=10.0).splitlines()
    assert planning.line(small, 2, 10.0) == "  10 networks, 100 updates, 5.0 TFLOP: 1.0 min here, 0 s on the GPU"
    assert lines[1].split() == ["01_a", "2", "1", "10", "100", "5.0", "0.5", "1.0", "min", "0", "s"]
    assert "2 processes need 2000000.0 GB, there are" in lines[2]
    assert "> 1.0 h" in lines[2]
    assert lines[3].split()[:6] == ["all", "3", "1", "15", "150", "25.0"]
    assert lines[3].count("> ") == 2
    assert "process" not in lines[1] + lines[3]
