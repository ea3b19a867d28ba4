"""Curvature against whole Hessians, and growth along negative curvature against plain steps of heavy ball."""

import numpy as np
import pytest
import torch

from butterfly import curvature, models
from butterfly.augment import Augment
from butterfly.batches import Minibatches
from butterfly.streams import generator
from tests.conftest import make_task


@pytest.fixture(scope="module")
def curved():
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-1x4", task.input_shape, task.classes)
    return model, model.init([0, 1]).double(), task


def hessian(model, row, x, y):
    def loss(theta):
        return torch.nn.functional.cross_entropy(model.logits(theta[None], x)[0], y)

    return torch.autograd.functional.hessian(loss, row)


def test_both_ends_of_the_spectrum_are_those_of_the_hessian(curved):
    model, theta, task = curved
    lowest, highest = curvature.extreme_eigenvalues(model, theta, task.x, task.y, iterations=60)
    for row, low, high in zip(theta, lowest, highest, strict=True):
        values = torch.linalg.eigvalsh(hessian(model, row, task.x, task.y))
        assert (low.item(), high.item()) == pytest.approx((values[0].item(), values[-1].item()), rel=1e-6)
    lost = theta.clone()
    lost[1] = torch.nan
    assert curvature.extreme_eigenvalues(model, lost, task.x, task.y)[0].isnan().tolist() == [False, True]


def test_batch_sharpness_is_curvature_along_gradients(curved):
    model, theta, task = curved
    batches = Minibatches(task, 16, Augment(), [0, 1])
    found = curvature.batch_sharpness(model, theta, batches, range(3))
    curves, squares = np.zeros(2), np.zeros(2)
    for step in range(3):
        batch = batches.at(step)
        for s, row in enumerate(theta):
            own = row.clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(model.logits(own[None], batch.x[s])[0], batch.target[s])
            (g,) = torch.autograd.grad(loss, own)
            curves[s] += (g @ hessian(model, row, batch.x[s], batch.target[s]) @ g).item()
            squares[s] += (g @ g).item()
    assert found.tolist() == pytest.approx((curves / squares).tolist())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_growth_along_negative_curvature_is_that_of_heavy_ball(momentum):
    difference, velocity, lengths = 1.0, 0.0, []
    for _ in range(300):
        velocity = momentum * velocity - 0.5 * difference
        difference -= 0.1 * velocity
        lengths.append(difference)
    rate = curvature.growth_rate(np.array([-0.5, 0.3]), np.array([0.1, 0.1]), momentum)
    assert rate == pytest.approx([np.log(lengths[-1] / lengths[-2]), 0.0])


def test_products_are_those_of_the_whole_hessian(curved):
    model, theta, task = curved
    vectors = torch.randn(theta.shape, generator=generator("d"), dtype=torch.float64)
    vectors[:, model.layout.count :] = 0

    def loss(logits):
        return sum(torch.nn.functional.cross_entropy(row, task.y) for row in logits)

    found = curvature.hessian_product(model, theta, vectors, task.x.expand(2, *task.x.shape), loss)
    for product, row, vector in zip(found, theta, vectors, strict=True):
        torch.testing.assert_close(product, hessian(model, row, task.x, task.y) @ vector)


# --- with what is known of their errors ------------------------------------------------------------------------------


@pytest.mark.parametrize("iterations", [3, 8, 60])
def test_an_eigenvalue_lies_within_the_bound_of_lanczos(curved, iterations):
    model, theta, task = curved
    value, error = curvature.largest_eigenvalue(model, theta, task.x, task.y, iterations)
    for row, found, bound in zip(theta, value, error, strict=True):
        values = torch.linalg.eigvalsh(hessian(model, row, task.x, task.y))
        assert found <= values[-1] + 1e-9
        assert (values - found).abs().min() <= bound + 1e-9
    if iterations == 60:
        assert error.max() < 1e-6
        torch.testing.assert_close(value, curvature.extreme_eigenvalues(model, theta, task.x, task.y, 60)[1])


def test_relative_sharpness_is_that_of_the_scaled_hessian_and_does_not_see_layers_share_their_scale(curved):
    model, theta, task = curved
    value, _ = curvature.largest_eigenvalue(model, theta, task.x, task.y, 60, scale=theta.abs())
    for row, found in zip(theta, value, strict=True):
        scaled = row.abs()[:, None] * hessian(model, row, task.x, task.y) * row.abs()
        assert found.item() == pytest.approx(torch.linalg.eigvalsh(scaled)[-1].item(), rel=1e-6)
    other = theta.clone()
    tensors = model.layout.tensors(other)
    tensors["linear0.weight"].mul_(3)
    tensors["linear0.bias"].mul_(3)
    tensors["linear1.weight"].div_(3)
    again, _ = curvature.largest_eigenvalue(model, other, task.x, task.y, 60, scale=other.abs())
    torch.testing.assert_close(again, value, rtol=1e-6, atol=0)
    plain = [curvature.largest_eigenvalue(model, t, task.x, task.y, 60)[0] for t in (theta, other)]
    assert ((plain[1] / plain[0] - 1).abs() > 0.1).all()


def test_the_trace_of_random_signs_covers_the_trace(curved):
    model, theta, task = curved
    truths = [hessian(model, row, task.x, task.y).trace().item() for row in theta]
    covered = 0
    for seed in range(40):
        trace, half = curvature.hessian_trace(model, theta, task.x, task.y, probes=8, seed=seed)
        covered += ((trace - torch.tensor(truths, dtype=trace.dtype)).abs() <= half).sum().item()
    assert covered >= 70  # of 80; 95 % would be 76
    trace, half = curvature.hessian_trace(model, theta, task.x, task.y, probes=400)
    assert trace.tolist() == pytest.approx(truths, abs=2 * half.max().item())
    with pytest.raises(ValueError, match="probes = 1"):
        curvature.hessian_trace(model, theta, task.x, task.y, probes=1)


def test_a_lost_network_has_no_curvature_and_leaves_the_others_alone(curved):
    model, theta, task = curved
    lost = theta.clone()
    lost[1] = torch.nan
    for found in (
        *curvature.largest_eigenvalue(model, lost, task.x, task.y, 5),
        *curvature.hessian_trace(model, lost, task.x, task.y, 4),
    ):
        assert found.isnan().tolist() == [False, True]
