"""Linearised training against whole Hessians, against jvp through a plain program, and against real twins."""

import math

import pytest
import torch
import torch.nn.functional as F

from butterfly import models
from butterfly.perturb import Kick, displacement
from butterfly.streams import generator
from butterfly.tangent import Tangent
from butterfly.train import Fork, Observer, Recipe, learning_rate, train
from tests.conftest import make_task

RECIPE = Recipe(steps=60, batch_size=16, lr=0.2, warmup=0.1, weight_decay=0.01)


@pytest.fixture
def smooth():
    task = make_task((1, 12), dtype=torch.float64)
    return task, models.build("mlp-2x8-gelu", task.input_shape, task.classes)


def directions(model, count):
    d = torch.randn(count, model.layout.size, generator=generator("d"), dtype=torch.float64)
    d[:, model.layout.count :] = 0
    return d


def follow(task, model, recipe, starts, d, **more):
    seeds = sorted({seed for seed, _ in starts})
    watch = Tangent(task, recipe, seeds, starts, d)
    run = train(
        model, task, recipe, seeds, observers=[Observer("t", watch, frozenset(range(recipe.steps + 1)))], **more
    )
    return torch.stack([torch.from_numpy(growth) for _, growth in run.recorded("t")])  # [T, D]


def test_growth_is_the_derivative_of_the_whole_training_map(smooth):
    """Forward-mode differentiation of a training loop written from scratch."""
    task, model = smooth
    recipe = RECIPE.model_copy(update={"steps": 12})

    def training(theta):
        momentum = torch.zeros_like(theta)
        for step in range(recipe.steps):
            order = torch.randperm(len(task.y), generator=generator("order", 3, step // 6))
            at = order[step % 6 * 16 :][:16]
            gradient = torch.func.grad(
                lambda t, at=at: F.cross_entropy(model.logits(t[None], task.x[at])[0], task.y[at])
            )
            momentum = recipe.momentum * momentum + gradient(theta) + recipe.weight_decay * theta
            theta = theta - learning_rate(recipe, step) * momentum
        return theta

    d = directions(model, 1)
    _, derivative = torch.func.jvp(training, (model.init([3])[0].double(),), (d[0],))
    found = follow(task, model, recipe, [(3, 0)], d)
    assert float(found[-1, 0]) == pytest.approx(math.log(derivative.norm() / d.norm()), rel=1e-9)


def test_growth_is_that_of_real_twins_with_tiny_kicks(smooth):
    task, model = smooth
    starts, kick = [(3, 0), (5, 0), (3, 20), (5, 33)], Kick(size=1e-10)
    d = torch.stack([displacement(model, torch.zeros(model.layout.size).double(), kick, s, None) for s, _ in starts])
    found = follow(task, model, RECIPE, starts, d)
    forks = [Fork(seed, step, kick) for seed, step in starts]
    theta = train(model, task, RECIPE, [3, 5], forks).theta
    grown = (theta[2:] - theta[[0, 1, 0, 1]]).norm(dim=1) / d.norm(dim=1)
    torch.testing.assert_close(found[-1], grown.log(), rtol=0, atol=1e-3)
    assert found[:, 2].isnan().sum() == 20
    assert found[20, 2].item() == pytest.approx(0, abs=1e-12)
    assert grown.max() > 1.5


def test_a_tangent_of_a_long_run_does_not_overflow(smooth):
    task, model = smooth
    wild = Recipe(steps=400, batch_size=16, lr=1.2, momentum=0.95, schedule="constant")
    assert follow(task, model, wild, [(3, 0)], 1e-30 * directions(model, 1)).isfinite().all()


def test_faults_are_named(smooth):
    task, model = smooth
    with pytest.raises(ValueError, match="SGD without dropout"):
        Tangent(task, Recipe(steps=5, batch_size=4, lr=0.1, optimizer="adamw"), [3], [(3, 0)], directions(model, 1))
    with pytest.raises(ValueError, match="in order of time"):
        Tangent(task, RECIPE, [3], [(3, 5), (3, 0)], directions(model, 2))
