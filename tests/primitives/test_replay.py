"""Replayed passes, without a GPU: a tape of operations that keeps memory and host numbers as a CUDA graph does."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from butterfly import models, replay
from butterfly.objective import cross_entropy
from butterfly.perturb import Kick
from butterfly.strict import ParameterError
from butterfly.train import Fork, Recipe, train
from tests.conftest import make_task

RECIPE = Recipe(steps=24, batch_size=16, lr=0.05, warmup=0.1)
FORKS = [Fork(3, 0, Kick(size=1e-3)), Fork(5, 7, Kick(size=1e-3)), Fork(3, 7, Kick(size=1e-2))]


class Tape(TorchDispatchMode):
    """Notes every operation with the memory that it read and wrote; nothing of the Python around it."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing\nmore lines")
        found = function(*args, **(kwargs or {}))
        self.steps.append((function, args, kwargs or {}, found))
        return found

    def again(self):
        """Do it all again, into the same memory."""
        for function, args, kwargs, before in self.steps:
            found = function(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(found), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _held(values):
    """The same tensors without their history, which would forbid to write to them."""
    leaves, form = tree_flatten(values)
    return tree_unflatten([v.detach() if isinstance(v, torch.Tensor) else v for v in leaves], form)


@pytest.fixture
def tapes(monkeypatch):
    """Every tape that was recorded, and how often each was replayed."""
    made = []

    def record(compute):
        compute()
        with Tape() as tape:
            result = compute()
        tape.steps = [(f, *(_held(part) for part in rest)) for f, *rest in tape.steps]
        counts = {"operations": len(tape.steps), "replays": 0}
        made.append(counts)

        def again():
            counts["replays"] += 1
            with torch.no_grad():
                tape.again()

        return result.detach(), again

    monkeypatch.setitem(replay._RECORDERS, "cpu", record)
    return made


def both(name, shape, recipe=RECIPE, forks=FORKS, **given):
    """The networks that a recipe ends with: without and with replays."""
    task = make_task(shape)
    model = models.build(name, task.input_shape, task.classes)
    plain = train(model, task, recipe, [3, 5], forks, **given)
    with replay.recorded():
        replayed = train(model, task, recipe, [3, 5], forks, **given)
    return plain, replayed


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("mlp-2x16", (1, 12)), ("mlp-2x16-norm", (1, 12)), ("cnn-2x4", (3, 8, 8)), ("transformer-1x8", (12, 6))],
)
def test_replayed_updates_are_the_updates(tapes, name, shape, optimizer):
    plain, replayed = both(name, shape, RECIPE.changed(optimizer=optimizer))
    assert torch.equal(plain.theta, replayed.theta)
    assert plain.members == replayed.members
    # Recorded anew where members were added, replayed at every update.
    assert [tape["replays"] for tape in tapes] == [7, 17]
    assert all(tape["operations"] > 10 for tape in tapes)


def test_other_minibatches_are_recorded_anew(tapes):
    plain, replayed = both("mlp-2x16", (1, 12), RECIPE.changed(batches=((0.5, 8),)), forks=[])
    assert torch.equal(plain.theta, replayed.theta)
    assert [tape["replays"] for tape in tapes] == [12, 12]


def test_masks_and_weights_go_along(tapes):
    task = make_task((1, 12))
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    mask = torch.rand(2, model.layout.size, generator=torch.Generator().manual_seed(1)) < 0.7
    weights = torch.rand(2, len(task.y), generator=torch.Generator().manual_seed(2))
    task = replace(task, weights=weights)
    plain = train(model, task, RECIPE, [3, 5], FORKS, mask=mask)
    with replay.recorded():
        replayed = train(model, task, RECIPE, [3, 5], FORKS, mask=mask)
    assert torch.equal(plain.theta, replayed.theta)
    assert tapes


@pytest.mark.parametrize("change", [{"recipe": RECIPE.changed(dropout=0.2)}, {"block": 1}])
def test_dropout_and_large_stacks_are_computed_as_ever(tapes, change):
    plain, replayed = both("mlp-2x16", (1, 12), **change)
    assert torch.equal(plain.theta, replayed.theta)
    assert not tapes


def test_nothing_is_replayed_outside_or_on_a_cpu(tapes, monkeypatch):
    plain, _ = both("mlp-2x16", (1, 12))
    tapes.clear()
    task = make_task((1, 12))
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    assert torch.equal(train(model, task, RECIPE, [3, 5], FORKS).theta, plain.theta)
    assert not tapes
    monkeypatch.delitem(replay._RECORDERS, "cpu")
    assert torch.equal(both("mlp-2x16", (1, 12))[1].theta, plain.theta)


def test_what_waits_for_the_device_is_computed_as_ever(tapes):
    def waits(logits, truth):
        return cross_entropy(logits, truth) * (1 + float(logits.detach().sum()) * 0)

    with pytest.warns(UserWarning, match=r"2 networks cannot be recorded \(operation not permitted .* capturing\)"):
        plain, replayed = both("mlp-2x16", (1, 12), forks=[], objective=waits)
    assert torch.equal(plain.theta, replayed.theta)


def test_a_pass_that_differs_at_once_is_computed_as_ever(tapes):
    calls = []

    def grows(logits, truth):
        calls.append(1)
        return cross_entropy(logits, truth) * len(calls)

    with pytest.warns(UserWarning, match="differs when it is replayed"):
        both("mlp-2x16", (1, 12), forks=[], objective=grows)


def test_a_pass_that_differs_later_is_an_error(tapes):
    calls = []

    def turns(logits, truth):
        calls.append(1)
        return cross_entropy(logits, truth) * (1 if len(calls) < 28 else 2)

    with pytest.raises(RuntimeError, match=r"is not the update itself \(2 after it was recorded\)"):
        both("mlp-2x16", (1, 12), forks=[], objective=turns)


@pytest.mark.parametrize(("value", "on"), [("1", True), ("0", False), ("", False)])
def test_the_setting_switches_it(monkeypatch, tapes, value, on):
    monkeypatch.setenv(replay.VARIABLE, value)
    task = make_task((1, 12))
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    with replay.asked():
        train(model, task, RECIPE, [3])
    assert bool(tapes) == on


def test_another_setting_is_refused(monkeypatch):
    monkeypatch.setenv(replay.VARIABLE, "yes")
    with pytest.raises(ParameterError, match="GRAPHS = 'yes': give 1, or 0"):
        replay.asked()
