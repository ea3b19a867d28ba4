"""Attacks against closed forms for a linear model, and against plain PyTorch."""

import pytest
import torch
import torch.nn.functional as F

from butterfly import models
from butterfly.attack import ends, fgsm, pgd, slope, uphill
from butterfly.models.mlp import MLP
from tests.conftest import make_task

SIZE = 0.3


@pytest.fixture(scope="module")
def deep():
    task = make_task((2, 6), dtype=torch.float64)
    model = models.build("mlp-2x16", task.input_shape, task.classes)
    return task, model, model.init([1, 2]).double()


@pytest.fixture(scope="module")
def linear():
    """Two classes, no hidden layer: the loss of an example grows with (w_other - w_label) x."""
    task = make_task((1, 12), classes=2, dtype=torch.float64)
    model = MLP(task.input_shape, 2, depth=0, width=1)
    return task, model, model.init([1, 2]).double()


def plain(model, theta, x):
    """Logits of one network by hand."""
    h, values = x.flatten(1), [view[0] for view in model.layout.tensors(theta[None]).values()]
    for place in range(0, len(values), 2):
        h = h @ values[place] + values[place + 1]
        h = h.relu() if place + 2 < len(values) else h
    return h


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_on_a_linear_model_both_attacks_find_the_worst_corner(linear):
    task, model, theta = linear
    for member, w in enumerate(model.layout.tensors(theta)["linear0.weight"]):
        away = (w[:, 1] - w[:, 0])[None] * torch.where(task.y == 0, 1.0, -1.0)[:, None].double()
        corner = task.x + SIZE * away.sign()[:, None]
        torch.testing.assert_close(fgsm(model, theta, task.x, task.y, SIZE)[member], corner)
        torch.testing.assert_close(pgd(model, theta, task.x, task.y, SIZE, 4)[member], corner)
        # From any corner the steps, 2.5 sizes in all, lead to the opposite one.
        start = (2 * task.x - corner).expand(2, *task.x.shape)
        torch.testing.assert_close(pgd(model, theta, task.x, task.y, SIZE, 5, start=start)[member], corner)
        before, after = (plain(model, theta[member], x) for x in (task.x, corner))
        lost = [(z.gather(1, task.y[:, None]) - z.gather(1, 1 - task.y[:, None])).squeeze(1) for z in (before, after)]
        torch.testing.assert_close(lost[0] - lost[1], torch.full_like(lost[0], SIZE * (w[:, 1] - w[:, 0]).abs().sum()))


def test_one_step_is_that_of_plain_pytorch(deep):
    task, model, theta = deep
    for member in (0, 1):
        x = task.x.clone().requires_grad_()
        loss = F.cross_entropy(plain(model, theta[member], x), task.y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
        found = fgsm(model, theta, task.x, task.y, SIZE)[member]
        torch.testing.assert_close(found, task.x + SIZE * gradient.sign())
        # The slope of each example is that of its cross-entropy but for a positive factor.
        mine = slope(model, theta, task.x, task.y)[member].flatten(1)
        torch.testing.assert_close(F.normalize(mine), F.normalize(gradient.flatten(1)))


def test_several_steps_are_those_of_plain_pytorch(deep):
    task, model, theta = deep
    low, high = ends(task.x)
    start = task.x + 0.1
    x = torch.minimum(torch.maximum(start, low), high)
    for _ in range(3):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(plain(model, theta[1], x), task.y, reduction="sum"), x)
        x = x + 2.5 * SIZE / 3 * gradient.sign()
        x = torch.minimum(torch.maximum(x.clamp(task.x - SIZE, task.x + SIZE), low), high)
    found = pgd(model, theta, task.x, task.y, SIZE, 3, (low, high), start[None])
    torch.testing.assert_close(found[1], x.detach())


def test_what_is_shared_and_one_row_a_member_are_attacked_alike(deep):
    task, model, theta = deep
    x, y = task.x.expand(2, *task.x.shape), task.y.expand(2, -1)
    for attack, more in ((fgsm, ()), (pgd, (3,))):
        torch.testing.assert_close(attack(model, theta, x, y, SIZE, *more),
                                   attack(model, theta, task.x, task.y, SIZE, *more))  # fmt: skip


def test_a_sure_network_is_attacked_as_well(linear):
    """Where the cross-entropy has no slope left in float32, the way to its rise is still known."""
    task, model, theta = linear
    sure, x = (1e4 * theta).float(), task.x.float()
    right = model.logits(sure, x).argmax(2) == task.y
    inputs = x.clone().requires_grad_()
    (vanished,) = torch.autograd.grad(F.cross_entropy(model.logits(sure, inputs)[0], task.y), inputs)
    assert (vanished[right[0]] == 0).flatten(1).all(1).any()
    torch.testing.assert_close(fgsm(model, sure, x, task.y, SIZE), fgsm(model, theta.float(), x, task.y, SIZE))


def test_no_number_leaves_its_box_or_its_range(deep):
    task, model, theta = deep
    low, high = ends(task.x)
    assert low.shape == (2, 1)
    torch.testing.assert_close(low.flatten(), torch.stack([task.x[:, channel].min() for channel in (0, 1)]))
    size = SIZE * (high - low)  # one a channel
    for moved in (fgsm(model, theta, task.x, task.y, size, (low, high)),
                  pgd(model, theta, task.x, task.y, size, 4, (low, high))):  # fmt: skip
        assert ((moved - task.x).abs() <= size + 1e-12).all()
        assert ((moved >= low) & (moved <= high)).all()
    assert (fgsm(model, theta, task.x, task.y, 0.0) == task.x).all()


def test_several_steps_raise_the_loss_of_a_deep_network_more_than_one(deep):
    task, model, theta = deep
    for member in (0, 1):
        one, several = (
            F.cross_entropy(plain(model, theta[member], moved[member]), task.y)
            for moved in (fgsm(model, theta, task.x, task.y, 1.0), pgd(model, theta, task.x, task.y, 1.0, 10))
        )
        assert several > one


# --- weights ---------------------------------------------------------------------------------------------------------


def test_uphill_is_the_gradient_of_a_linear_model(linear):
    task, model, theta = linear
    found = model.layout.tensors(uphill(model, theta, task.x, task.y))
    for member in (0, 1):
        off = plain(model, theta[member], task.x).softmax(1) - F.one_hot(task.y, 2)
        weight, bias = task.x.flatten(1).T @ off / len(off), off.mean(0)
        length = torch.cat([weight.flatten(), bias]).norm()
        torch.testing.assert_close(found["linear0.weight"][member], weight / length)
        torch.testing.assert_close(found["linear0.bias"][member], bias / length)


def test_uphill_moves_what_it_may_and_raises_the_loss_by_the_slope(deep):
    task, model, theta = deep
    mask = model.layout.select()
    way = uphill(model, theta, task.x, task.y, mask)
    torch.testing.assert_close(way.norm(dim=1), torch.ones(2, dtype=torch.float64))
    assert (way[:, ~mask] == 0).all()
    step = 1e-6
    for member in (0, 1):
        own = theta[member].clone().requires_grad_()
        loss = F.cross_entropy(plain(model, own, task.x), task.y)
        gradient = torch.autograd.grad(loss, own)[0] * mask
        moved = F.cross_entropy(plain(model, theta[member] + step * way[member], task.x), task.y)
        assert float((moved - loss.detach()) / step) == pytest.approx(float(gradient.norm()), rel=1e-4)


def test_there_is_no_way_up_where_nothing_is_finite(deep):
    task, model, theta = deep
    broken = theta.clone()
    broken[0] = torch.nan
    way = uphill(model, broken, task.x, task.y)
    assert way[0].isnan().all()
    assert way[1].isfinite().all()
