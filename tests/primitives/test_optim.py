"""Optimisers, objectives, growing batches and centred outputs, against `torch.optim`, `torch.nn` and closed forms."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from butterfly import models
from butterfly.augment import Augment
from butterfly.batches import Minibatches
from butterfly.evaluate import evaluate
from butterfly.interpolate import barriers
from butterfly.models.centred import Centred
from butterfly.objective import cross_entropy, hinge, penalised, squared_error
from butterfly.optim import SLOTS
from butterfly.perturb import Kick
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Fork, Recipe, descend, learning_rate, train
from tests.conftest import make_task

DOUBLE = torch.float64

TORCH = {
    "sgd": lambda p, r: torch.optim.SGD(p, r.lr, r.momentum, weight_decay=r.weight_decay),
    "nesterov": lambda p, r: torch.optim.SGD(p, r.lr, r.momentum, weight_decay=r.weight_decay, nesterov=True),
    "adam": lambda p, r: torch.optim.Adam(p, r.lr, r.betas, r.eps, r.weight_decay),
    "adamw": lambda p, r: torch.optim.AdamW(p, r.lr, r.betas, r.eps, r.weight_decay),
    "rmsprop": lambda p, r: torch.optim.RMSprop(p, r.lr, r.smoothing, r.eps, r.weight_decay, r.momentum),
}


def recipe_of(name: str, decay: float, steps: int = 12) -> Recipe:
    own = {"optimizer": "sgd", "nesterov": True} if name == "nesterov" else {"optimizer": name}
    return Recipe(steps=steps, batch_size=8, lr=0.03, weight_decay=decay, schedule="cosine", warmup=0.25, **own)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", TORCH)
def test_every_optimiser_is_that_of_torch(name, decay):
    """Two rows of a stack against two parameters, under a schedule, with gradients that do not depend on anything."""
    recipe = recipe_of(name, decay)
    random = torch.Generator().manual_seed(0)
    theta = torch.randn(2, 16, generator=random, dtype=DOUBLE)
    rows = [nn.Parameter(row.clone()) for row in theta]
    optimizers = [TORCH[name]([row], recipe) for row in rows]
    state = [torch.zeros_like(theta) for _ in range(SLOTS[recipe.optimizer])]
    for step in range(recipe.steps):
        gradient = torch.randn(2, 16, generator=random, dtype=DOUBLE)
        for row, optimizer, own in zip(rows, optimizers, gradient, strict=True):
            optimizer.param_groups[0]["lr"] = learning_rate(recipe, step)
            row.grad = own.clone()
            optimizer.step()
        descend(recipe, step, theta, state, gradient)
        torch.testing.assert_close(theta, torch.stack([row.detach() for row in rows]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_fresh_moments_are_corrected_from_where_they_began(name):
    """Begun in the middle of a schedule, the first update of Adam has the length of the learning rate."""
    recipe = recipe_of(name, 0.0, steps=100).changed(schedule="constant", warmup=0.0)
    theta, state = torch.zeros(1, 4, dtype=DOUBLE), [torch.zeros(1, 4, dtype=DOUBLE) for _ in range(2)]
    descend(recipe, 50, theta, state, torch.tensor([[1.0, -2.0, 0.5, 3.0]], dtype=DOUBLE), start=50)
    torch.testing.assert_close(theta.abs(), torch.full_like(theta, recipe.lr), rtol=1e-6, atol=0)


def test_a_run_begun_late_forgets_nothing_of_its_optimiser(task, model):
    recipe = Recipe(steps=20, batch_size=16, lr=0.01, optimizer="adamw", schedule="constant", warmup=0.0)
    init = model.init([3])
    moved = train(model, task, recipe.changed(steps=11), [3], init=init, start=10).theta - init
    assert float(moved.abs().max()) == pytest.approx(recipe.lr, rel=1e-3)


def test_forks_before_the_start_are_refused(task, model):
    recipe = Recipe(steps=20, batch_size=16, lr=0.01)
    with pytest.raises(ValueError, match="fork at step 3 of a run of 20 steps that begins at 10"):
        train(model, task, recipe, [0], [Fork(0, 3, Kick(size=0.1))], init=model.init([0]), start=10)


@pytest.mark.parametrize("change", [{"warmpu": 0.1}, {"lr": "0.1"}, {"lr": -1.0}, {"optimizer": "sdg"}])
def test_a_changed_recipe_is_checked_like_a_new_one(change):
    with pytest.raises(ParameterError):
        Recipe(steps=10, batch_size=4, lr=0.1).changed(**change)


# --- objectives ------------------------------------------------------------------------------------------------------


@pytest.fixture
def answers():
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 5, 4, generator=random, dtype=DOUBLE)
    labels = torch.randint(4, (3, 5), generator=random)
    soft = torch.rand(3, 5, 4, generator=random, dtype=DOUBLE)
    return logits, labels, soft / soft.sum(-1, keepdim=True)


def test_objectives_are_those_of_torch(answers):
    logits, labels, soft = answers
    for row in range(3):
        close = torch.testing.assert_close
        close(cross_entropy(logits, labels)[row], nn.CrossEntropyLoss(reduction="none")(logits[row], labels[row]))
        close(cross_entropy(logits, soft)[row], nn.CrossEntropyLoss(reduction="none")(logits[row], soft[row]))
        close(squared_error(logits, soft)[row], nn.MSELoss(reduction="none")(logits[row], soft[row]).sum(1) / 2)
        onehot = torch.eye(4, dtype=DOUBLE)[labels[row]]
        close(squared_error(logits, labels)[row], ((logits[row] - onehot) ** 2).sum(1) / 2)


def test_the_hinge_is_zero_beyond_a_margin_of_one_and_linear_before(answers):
    logits, labels, _ = answers
    for row in range(3):
        for k in range(5):
            others = [logits[row, k, c] for c in range(4) if c != labels[row, k]]
            expected = max(0.0, 1 - float(logits[row, k, labels[row, k]] - max(others)))
            assert float(hinge(logits, labels)[row, k]) == pytest.approx(expected)


def test_a_penalty_adds_half_the_squared_outputs(answers):
    logits, labels, _ = answers
    added = penalised(cross_entropy, 0.3)(logits, labels) - cross_entropy(logits, labels)
    torch.testing.assert_close(added, 0.15 * logits.square().sum(-1))


def test_losses_along_a_sequence_are_averaged(answers):
    logits, labels, _ = answers
    whole = cross_entropy(logits[None], labels[None])  # one member, three examples of five places
    torch.testing.assert_close(whole[0], cross_entropy(logits, labels).mean(1))


def test_squared_error_learns_a_linear_map():
    """Real-valued targets: the loss falls to a twentieth, there is no error rate, and paths know the objective."""
    task = make_task((1, 6), dtype=DOUBLE)
    random = torch.Generator().manual_seed(2)
    targets = task.x.flatten(1) @ torch.randn(6, 3, generator=random, dtype=DOUBLE)
    task = replace(task, targets=targets)
    model = models.build("mlp-1x8", (1, 6), 3)
    recipe = Recipe(steps=400, batch_size=96, lr=0.05, momentum=0.9, schedule="constant", warmup=0.0)
    start = train(model, task, recipe.changed(steps=1), [0], objective=squared_error).theta
    end = train(model, task, recipe, [0], objective=squared_error).theta
    losses = [float(evaluate(model, theta, task.x, targets, squared_error)[0]) for theta in (start, end)]
    assert losses[1] < 0.05 * losses[0]
    assert evaluate(model, end, task.x, targets, squared_error)[1].isnan().all()
    line = barriers(model, start, end, task.x, targets, 5, squared_error)
    assert line.loss[0, -1] == pytest.approx(losses[1])


def test_the_first_update_follows_the_objective(task, model):
    recipe = Recipe(steps=1, batch_size=96, lr=0.1, momentum=0.0, schedule="constant", warmup=0.0)
    init = model.init([0]).requires_grad_()
    for objective in (squared_error, hinge, penalised(cross_entropy, 0.5)):
        losses = objective(model.logits(init, task.x), task.y[None])
        (slope,) = torch.autograd.grad(losses.mean(), init)
        moved = train(model, task, recipe, [0], objective=objective).theta
        torch.testing.assert_close(moved, init.detach() - 0.1 * slope, rtol=1e-4, atol=1e-6)


# --- batches that grow -----------------------------------------------------------------------------------------------


def test_every_example_is_seen_once_an_epoch_while_batches_grow():
    task = make_task((1, 4))
    sizes = [8, 8, 24, 24, 24, 24, 48, 48]
    batches = Minibatches(task, lambda step: sizes[min(step, 7)], Augment(), [0, 5])
    drawn = [[row.flatten(1) for row in batches.at(step).x] for step in range(8)]
    assert [len(row[0]) for row in drawn] == sizes
    whole = task.x.flatten(1)
    for family, seed in enumerate((0, 5)):
        order = [torch.randperm(96, generator=generator("order", seed, epoch)) for epoch in range(3)]
        # 8 + 8 + 24 + 24 + 24 = 88 of the first epoch; the next 24 do not fit: a new one, then 48; then another.
        expected = [order[0][0:8], order[0][8:16], order[0][16:40], order[0][40:64], order[0][64:88],
                    order[1][0:24], order[1][24:72], order[2][0:48]]  # fmt: skip
        for step, places in enumerate(expected):
            torch.testing.assert_close(drawn[step][family], whole[places])


def test_batch_sizes_change_where_the_recipe_says():
    recipe = Recipe(steps=100, batch_size=8, lr=0.1, batches=((0.5, 16), (0.75, 32)))
    assert [recipe.batch_size_at(step) for step in (0, 49, 50, 74, 75, 99)] == [8, 8, 16, 16, 32, 32]
    for batches in (((0.5, 16), (0.5, 32)), ((1.0, 16),), ((0.5, 0),)):
        with pytest.raises(ParameterError, match="rising fractions between 0 and 1"):
            recipe.changed(batches=batches)


def test_a_growing_batch_that_does_not_fit_is_refused(task, model):
    with pytest.raises(ValueError, match="batch size 97 is larger than the 96 examples"):
        train(model, task, Recipe(steps=4, batch_size=8, lr=0.1, batches=((0.5, 97),)), [0])


# --- centred outputs -------------------------------------------------------------------------------------------------


def test_centred_outputs_are_scaled_differences(task, model):
    centred = Centred.of(model, alpha=10.0)
    theta = centred.init([0, 1])
    assert float(centred.logits(theta, task.x).abs().max()) == 0
    count = model.layout.count
    moved = theta.clone()
    moved[:, :count] += 0.1
    inner = model.init([0, 1])
    other = inner.clone()
    other[:, :count] += 0.1
    expected = 10 * (model.logits(other, task.x) - model.logits(inner, task.x))
    torch.testing.assert_close(centred.logits(moved, task.x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_start_of_a_centred_network_stays_where_it_is(task, model, optimizer):
    centred = Centred.of(model, alpha=5.0)
    recipe = Recipe(steps=10, batch_size=16, lr=0.01, optimizer=optimizer, weight_decay=0.1)
    run = train(centred, task, recipe, [0], [Fork(0, 0, Kick(size=0.1)), Fork(0, 0, Kick())])
    begin, end = model.layout.count, centred.layout.count
    assert torch.equal(run.theta[:, begin:end], centred.init([0])[:, begin:end].expand(3, -1))
    assert torch.equal(run.theta[0], run.theta[2])
    assert not torch.equal(run.theta[0, :begin], run.theta[1, :begin])


def test_at_large_scale_a_centred_network_is_lazy(task, model):
    """The same function is learned with smaller and smaller moves: distance times alpha tends to a constant."""
    moves = []
    for alpha in (30.0, 300.0):
        centred = Centred.of(model, alpha)
        recipe = Recipe(steps=60, batch_size=96, lr=0.2 / alpha**2, momentum=0.0, schedule="constant", warmup=0.0)
        run = train(centred, task, recipe, [0])
        moves.append(alpha * float((run.theta - centred.init([0])).norm()))
        assert float(evaluate(centred, run.theta, task.x, task.y)[0]) < 0.9
    assert moves[1] == pytest.approx(moves[0], rel=0.1)
