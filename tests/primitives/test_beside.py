"""Networks with inputs of their own: each learns as it would alone."""

from dataclasses import replace

import pytest
import torch

from butterfly import evaluate, models
from butterfly.beside import Beside
from butterfly.data import moons
from butterfly.perturb import Kick
from butterfly.train import Fork, Recipe, train

SEEDS = [3, 5, 8]


@pytest.fixture
def tasks():
    return [moons.draw(20, 0.1, seed) for seed in SEEDS]


@pytest.mark.parametrize("name", ["mlp-1x16", "mlp-2x8-gelu-norm"])
@pytest.mark.parametrize(
    "how", [{}, {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1}, {"dropout": 0.5}, {"batch_size": 6}]
)
def test_each_learns_as_it_would_alone(tasks, name, how):
    recipe = Recipe(**{"steps": 30, "batch_size": 20, "lr": 0.05, "schedule": "constant", "warmup": 0.0} | how)
    model = models.build(name, (2,), 2)
    every = Beside(model, tasks)
    assert every.data.x.shape == (20, 6)
    start = model.init(SEEDS)
    run = train(every.model, every.data, recipe, SEEDS, init=every.together(start), mask=every.mask)
    found = every.apart(run.theta, run.members)
    for row, (seed, task) in enumerate(zip(SEEDS, tasks, strict=True)):
        alone = train(model, task, recipe, [seed], init=start[row : row + 1]).theta
        torch.testing.assert_close(found[row : row + 1], alone, rtol=1e-4, atol=1e-5)
        for x, whole in ((task.x, every.data.x), (task.x_test, every.data.x_test)):
            torch.testing.assert_close(
                evaluate.logits(every.model, run.theta, whole)[row], evaluate.logits(model, alone, x)[0], rtol=1e-3,
                atol=1e-4,
            )  # fmt: skip


def test_apart_is_the_reverse_of_together(tasks):
    model = models.build("mlp-1x16", (2,), 2)
    every = Beside(model, tasks)
    theta = model.init(SEEDS)
    run = train(every.model, every.data, Recipe(steps=1, batch_size=20, lr=1e-30), SEEDS, init=every.together(theta))
    torch.testing.assert_close(every.apart(run.theta, run.members), theta)
    assert int(every.mask.sum()) == 3 * model.layout.count


def test_twins_belong_to_the_inputs_of_their_seeds(tasks):
    model, recipe = models.build("mlp-1x16", (2,), 2), Recipe(steps=10, batch_size=20, lr=0.1)
    every = Beside(model, tasks)
    forks = [Fork(seed, 0, Kick()) for seed in (8, 3)]
    run = train(every.model, every.data, recipe, SEEDS, forks, init=every.together(model.init(SEEDS)), mask=every.mask)
    found = every.apart(run.theta, run.members)
    assert torch.equal(found[[3, 4]], found[[2, 0]])


def test_what_does_not_fit_is_refused(tasks):
    with pytest.raises(ValueError, match="multilayer perceptrons"):
        Beside(models.build("cnn-2x8", (1, 12), 3), tasks)
    with pytest.raises(ValueError, match="same labels"):
        Beside(models.build("mlp-1x8", (2,), 2), [tasks[0], replace(tasks[1], y=tasks[1].y.flip(0))])
