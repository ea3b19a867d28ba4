"""Linear students against gradient descent step by step, and against normal equations."""

import math

import pytest
import torch

from butterfly import least_squares
from butterfly.streams import generator

STEPS = [0, 1, 2, 7, 50]


def problem(examples, features, draws=3):
    random = generator("test-least-squares", examples, features)
    x = torch.randn(draws, examples, features, generator=random, dtype=torch.float64) / math.sqrt(features)
    return x, torch.randn(draws, examples, generator=random, dtype=torch.float64)


def step_by_step(x, y, lr, steps):
    """One draw: weights after each of the steps."""
    weights, kept = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True), {}
    for step in range(max(steps) + 1):
        kept[step] = weights.detach().clone()
        (gradient,) = torch.autograd.grad(((x @ weights - y) ** 2).sum() / 2, weights)
        weights = (weights - lr * gradient).detach().requires_grad_()
    return torch.stack([kept[step] for step in steps])


@pytest.mark.parametrize("shape", [(20, 8), (8, 20), (8, 8)])
def test_gradient_descent_is_that_of_a_loop(shape):
    x, y = problem(*shape)
    found = least_squares.descended(least_squares.modes(x, y), 0.2, STEPS)
    assert found.shape == (3, len(STEPS), shape[1])
    for draw in range(3):
        torch.testing.assert_close(found[draw], step_by_step(x[draw], y[draw], 0.2, STEPS), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(20, 8), (8, 20)])
def test_ridge_solves_the_normal_equations(shape):
    x, y = problem(*shape)
    strengths = [1e-2, 1.0, 30.0]
    found = least_squares.ridge(least_squares.modes(x, y), strengths)
    for place, strength in enumerate(strengths):
        left = x.mT @ x + strength * torch.eye(shape[1], dtype=x.dtype)
        torch.testing.assert_close(found[:, place], torch.linalg.solve(left, (x.mT @ y[..., None])[..., 0]))
    assert (least_squares.ridge(least_squares.modes(x, y), [math.inf]) == 0).all()


def test_features_that_do_not_vary_are_not_learned():
    x, y = problem(20, 8)
    x[..., 5:] = 0
    found = least_squares.modes(x, y)
    both = least_squares.descended(found, 0.2, [10**6]), least_squares.ridge(found, [1e-9])
    for weights in both:
        assert torch.isfinite(weights).all()
        assert weights[..., 5:].abs().max() < 1e-12
        torch.testing.assert_close(
            weights[:, 0, :5], torch.linalg.lstsq(x[..., :5], y[..., None]).solution[..., 0], rtol=1e-6, atol=1e-6
        )


def test_a_feature_a_million_times_smaller_is_learned_in_the_end():
    """Eigenvalues of `x^T x` would be lost in rounding here."""
    x, _ = problem(20, 8)
    truth = torch.ones(3, 8, dtype=x.dtype)
    y = (x @ truth[..., None])[..., 0]
    scale = torch.tensor([1.0] * 5 + [1e-6] * 3, dtype=x.dtype)
    found = scale * least_squares.descended(least_squares.modes(x * scale, y), 0.2, [10**15])[:, 0]
    torch.testing.assert_close(found, truth, rtol=1e-6, atol=1e-6)


def test_a_learning_rate_that_diverges_is_refused():
    x, y = problem(20, 8)
    with pytest.raises(ValueError, match="diverges"):
        least_squares.descended(least_squares.modes(x, y), 5.0, [1])
