"""Runs that were killed go on from their last checkpoint, and end with the same bits."""

import math
import os
import warnings

import numpy as np
import pytest
import torch

from butterfly import checkpoint, models
from butterfly.data import Data
from butterfly.perturb import Kick
from butterfly.probe import GradientVariance
from butterfly.score import ScoreLogger
from butterfly.strict import UserError
from butterfly.study.store import Store
from butterfly.train import Augment, Crossing, Fork, Observer, Recipe, train

STEPS = 12


@pytest.fixture(autouse=True)
def _whatever_they_cost(monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", math.inf)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # nobody pulls a plug here


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Cut:
    """A store of checkpoints that is killed after so many were written."""

    def __init__(self, folder, after=10**9):
        self.store, self.left, self.forgotten = Store(folder), after, 0

    def save(self, *what):
        self.store.save(*what)
        self.left -= 1
        if self.left == 0:
            raise Killed

    def load(self, key):
        return self.store.load(key)

    def forget(self, key):
        self.forgotten += 1
        self.store.forget(key)


def images(seed=0):
    random = torch.Generator().manual_seed(seed)
    x, y = torch.randn(60, 1, 6, 6, generator=random), torch.randint(3, (60,), generator=random)
    return Data("images", x[:40], y[:40], x[40:], y[40:], 3, torch.arange(40))


RECIPES = {
    "sgd": Recipe(steps=STEPS, batch_size=8, lr=0.1),
    "adamw, dropout": Recipe(steps=STEPS, batch_size=8, lr=0.01, optimizer="adamw", dropout=0.3),
    "rmsprop, flips": Recipe(steps=STEPS, batch_size=8, lr=0.01, optimizer="rmsprop", augment=Augment(flip=True)),
    "batches that grow": Recipe(steps=STEPS, batch_size=8, lr=0.1, batches=((0.5, 16),)),
}
FORKS = [
    Fork(0, 0, Kick(size=1e-2)),
    Fork(1, 3, Kick(kind="batch", size=1e-2)),
    Fork(0, 5, Kick(), "order"),
    Fork(1, 5, Kick(), "augment"),
    Fork(0, 7, Kick(), "within"),
    Fork(0, 8, Kick(), "dropout"),
    Fork(1, STEPS, Kick(size=1e-3)),
]


def computed(recipe, start=0, watched=True):
    """Two runs one after the other, with everything that can be watched: all their numbers."""
    task = images()
    model = models.build("cnn-1x2" if recipe.augment.active else "mlp-2x6", task.input_shape, task.classes)
    logger, variance = ScoreLogger(task.ids, task.y, 2), GradientVariance("loss")

    def look(now):
        logger.watch(model, now.theta[:2], task.x)
        variance.look(model, now.theta[:2], task.x, task.y)
        return {"norm": now.theta.norm(dim=1), "step": now.step, "seen": [np.float32(now.step), None, "words", (True,)]}

    observers = [
        Observer("look", look, frozenset(range(0, STEPS + 1, 2)), state=[logger, variance]),
        Crossing("falls", lambda now, rows: (rows.numpy(), now.theta[rows].clone()), "loss", 1.05, 3, state=()),
    ]
    forks = [fork for fork in FORKS if fork.step >= start]
    first = train(model, task, recipe, [0, 1], forks, observers if watched else (), start=start)
    second = train(model, task, recipe, [2], init=first.theta[:1])
    scores = {**logger.scores(), **variance.scores()} if watched else {}
    return first.theta, second.theta, first.members, first.records, scores


def same(a, b):
    """Whether two values are equal to the last bit, and of the same types."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("start", [0, 4])
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_was_cut_anywhere_ends_with_the_same_bits(tmp_path, name, start):
    expected = computed(RECIPES[name], start)
    total = 2 * STEPS + 2 - start  # checkpoints of both runs, the ends of both among them
    for after in (1, 6, STEPS - start, STEPS - start + 1, total - 5, total):
        store = Cut(tmp_path / str(after), after)
        with pytest.raises(Killed), checkpoint.keeping(store, "run", every=0):
            computed(RECIPES[name], start)
        store.left = 10**9
        with checkpoint.keeping(store, "run", every=0):
            assert same(computed(RECIPES[name], start), expected)
        assert not list((tmp_path / str(after)).glob("*"))  # what is done is forgotten


def test_a_run_that_is_cut_again_and_again_gets_to_its_end(tmp_path):
    expected = computed(RECIPES["sgd"])
    for cuts in range(100):  # noqa: B007
        try:
            with checkpoint.keeping(Cut(tmp_path, 2), "run", every=0):
                found = computed(RECIPES["sgd"])
        except Killed:
            continue
        break
    assert 5 < cuts < 99
    assert same(found, expected)


def test_checkpoints_are_of_the_computation_that_wrote_them(tmp_path):
    with pytest.raises(Killed), checkpoint.keeping(Cut(tmp_path, 5), "one", every=0):
        computed(RECIPES["sgd"])
    with checkpoint.keeping(Cut(tmp_path), "another", every=0):
        assert same(computed(RECIPES["sgd"]), computed(RECIPES["sgd"]))
    assert len(list(tmp_path.glob("one*"))) == 1


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"nonsense"])
def test_a_damaged_checkpoint_counts_as_none(tmp_path, damage):
    with pytest.raises(Killed), checkpoint.keeping(Cut(tmp_path, 5), "run", every=0):
        computed(RECIPES["sgd"])
    (file,) = tmp_path.glob("*")
    file.write_bytes(damage)
    with checkpoint.keeping(Cut(tmp_path), "run", every=0):
        assert same(computed(RECIPES["sgd"]), computed(RECIPES["sgd"]))


def test_a_run_whose_observers_do_not_say_what_they_change_is_not_kept(tmp_path):
    task = images()
    model = models.build("mlp-1x4", task.input_shape, task.classes)
    seen = []
    silent = Observer("look", lambda now: seen.append(now.step), frozenset({0}))
    with checkpoint.keeping(Cut(tmp_path, 1), "run", every=0):
        train(model, task, RECIPES["sgd"], [0], observers=[silent])  # else it would be killed
    assert seen == [0]


def test_nothing_is_kept_before_it_is_time(tmp_path):
    with checkpoint.keeping(Cut(tmp_path, 1), "run", every=60):
        computed(RECIPES["sgd"])


def test_checkpoints_take_a_small_part_of_the_time(monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", 0.05)
    clock = iter(np.arange(0.0, 1e6, 1.0))
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(clock))

    class Slow:
        def save(self, *what):
            for _ in range(10):
                next(clock)

    run = checkpoint.Run(Slow(), "run", every=5, _when=0.0)
    times = []
    for step in range(2000):
        if run.due():
            run.save(step)
            times.append(step)
    assert np.diff(times).min() > 10 / checkpoint.SHARE * 0.9


def test_what_cannot_be_kept_is_told_once_and_the_run_goes_on(tmp_path):
    task = images()
    model = models.build("mlp-1x4", task.input_shape, task.classes)
    strange = Observer("look", lambda now: object(), frozenset({0}), state=())
    with pytest.warns(UserWarning, match="a object cannot be kept") as told, checkpoint.keeping(
        Cut(tmp_path), "run", every=0
    ):  # fmt: skip
        train(model, task, RECIPES["sgd"], [0], observers=[strange])
    assert len(told) == 1


def test_a_full_disk_costs_the_checkpoint_alone():
    class Full:
        def save(self, *what):
            raise UserError("no space left on device")

    run = checkpoint.Run(Full(), "run", every=0)
    with pytest.warns(UserWarning, match="no space left"):
        run.save(1)
    assert not run.due()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.done(2)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    task = images()
    for name in ("mlp-1x4", "mlp-1x5"):
        model = models.build(name, task.input_shape, task.classes)
        with pytest.raises(Killed if name == "mlp-1x4" else RuntimeError), checkpoint.keeping(
            Cut(tmp_path, 3), "run", every=0
        ):  # fmt: skip
            train(model, task, RECIPES["sgd"], [0])
