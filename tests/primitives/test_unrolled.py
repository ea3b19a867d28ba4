"""Sensitivity through training against training again with other inputs."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from butterfly import models
from butterfly.train import Observer, Recipe, train
from butterfly.unrolled import sensitivity
from tests.conftest import make_task

RECIPE = Recipe(steps=8, batch_size=16, lr=0.2, warmup=0.25, momentum=0.8, weight_decay=0.01)
SEEDS, STEPS = [3, 5], [3, 8]


@pytest.fixture(scope="module")
def smooth():
    task = make_task((1, 12), dtype=torch.float64)
    return task, models.build("mlp-1x8-gelu", task.input_shape, task.classes)


def path_of(model, task, recipe=RECIPE):
    copy = Observer("path", lambda now: now.theta.clone(), frozenset(range(recipe.steps + 1)))
    run = train(model, task, recipe, SEEDS, observers=[copy])
    return torch.stack([theta for _, theta in run.recorded("path")])


def goals_of(task):
    """The mean loss, and that of the examples of class 1."""
    own = (task.y == 1).double()
    return torch.stack([torch.full_like(own, 1 / len(own)), own / own.sum()])


def values(model, task, path):
    """Both goals `[T, G, S]` on the inputs of `task`, of networks that may have been trained on others."""
    found = torch.empty(len(STEPS), 2, len(SEEDS), dtype=torch.float64)
    for row, step in enumerate(STEPS):
        for seed, theta in enumerate(path[step]):
            each = F.cross_entropy(model.logits(theta[None], task.x)[0], task.y, reduction="none")
            found[row, :, seed] = goals_of(task) @ each
    return found


def test_sensitivity_is_what_training_again_with_another_input_shows(smooth):
    task, model = smooth
    found = sensitivity(model, task, RECIPE, SEEDS, path_of(model, task), STEPS, goals_of(task))
    assert found.shape == (2, 2, 2, 96, 1, 12)
    for example, pixel in ((0, 3), (50, 7), (95, 11)):
        ends = []
        for sign in (1, -1):
            x = task.x.clone()
            x[example, 0, pixel] += sign * 1e-5
            ends.append(values(model, task, path_of(model, replace(task, x=x))))
        torch.testing.assert_close(found[..., example, 0, pixel], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-10)


def test_what_was_not_seen_yet_does_not_matter(smooth):
    task, model = smooth
    found = sensitivity(model, task, RECIPE, SEEDS, path_of(model, task), STEPS, goals_of(task))
    matters = found.abs().sum((1, 4, 5)) > 0  # [T, S, N]
    assert matters.sum(2).tolist() == [[48, 48], [96, 96]]  # three minibatches of 16, then more than an epoch
    assert not torch.equal(matters[0, 0], matters[0, 1])


def test_a_goal_without_weight_has_no_sensitivity_and_goals_add_up(smooth):
    task, model = smooth
    goals = goals_of(task)
    three = torch.cat([goals, goals.sum(0, keepdim=True), 0 * goals[:1]])
    found = sensitivity(model, task, RECIPE, SEEDS, path_of(model, task), [8], three)[0]
    torch.testing.assert_close(found[2], found[0] + found[1])
    assert not found[3].any()


def test_what_cannot_be_unrolled_is_refused(smooth):
    task, model = smooth
    for change in ({"optimizer": "adam"}, {"dropout": 0.2}, {"nesterov": True}):
        with pytest.raises(ValueError, match="unrolled for SGD without"):
            sensitivity(model, task, RECIPE.changed(**change), SEEDS, path_of(model, task), STEPS, goals_of(task))
