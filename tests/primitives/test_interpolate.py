"""Paths and barriers against closed forms."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from butterfly import models
from butterfly.evaluate import evaluate, predictions
from butterfly.interpolate import barrier, barriers, path
from butterfly.train import Recipe, train
from tests.conftest import make_task

ALPHAS = torch.linspace(0, 1, 101, dtype=torch.float64)


@given(
    curvature=st.floats(-50, 50, allow_subnormal=False),
    slope=st.floats(-10, 10, allow_subnormal=False),
    offset=st.floats(-10, 10, allow_subnormal=False),
)
def test_barrier_of_a_quadratic(curvature, slope, offset):
    """c a^2 + s a + o exceeds its chord by c (a^2 - a): a barrier of -c/4 where c < 0, and none where it is convex."""
    values = (curvature * ALPHAS**2 + slope * ALPHAS + offset)[None]
    assert barrier(values, ALPHAS).item() == pytest.approx(max(0.0, -curvature / 4), abs=1e-9)


def test_the_barrier_is_the_largest_excess_not_the_excess_at_the_largest_value():
    """The end may be the largest value, and a hump below it still be a barrier."""
    alphas = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    values = torch.tensor([[0.0, 1.0, 0.6, 2.0]], dtype=torch.float64)
    assert barrier(values, alphas).item() == pytest.approx(0.5)


@given(shift=st.floats(-5, 5, allow_subnormal=False), scale=st.floats(0.1, 5))
def test_barrier_laws(shift, scale):
    """Adding a line changes nothing; scaling scales; walking backwards is the same walk."""
    values = torch.sin(7 * ALPHAS)[None] ** 2
    reference = barrier(values, ALPHAS).item()
    assert barrier(values + shift * ALPHAS + shift, ALPHAS).item() == pytest.approx(reference, abs=1e-9)
    assert barrier(scale * values, ALPHAS).item() == pytest.approx(scale * reference)
    assert barrier(values.flip(1), ALPHAS).item() == pytest.approx(reference)


def test_ends_of_a_path_are_exact_and_the_middle_is_the_mean():
    a, b = torch.randn(4, 33), torch.randn(4, 33)
    points = path(a, b, torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(points[:, 0], a)
    assert torch.equal(points[:, 2], b)
    torch.testing.assert_close(points[:, 1], (a + b) / 2)


def test_a_network_has_no_barrier_to_itself():
    task = make_task((1, 12))
    model = models.build("mlp-2x16", task.input_shape, 3)
    theta = model.init([1, 2])
    found = barriers(model, theta, theta.clone(), task.x, task.y)
    assert found.of_loss.tolist() == [0.0, 0.0]
    assert found.of_error.tolist() == [0.0, 0.0]


def test_a_linear_model_has_no_barrier():
    """Cross-entropy is convex in the parameters of a linear model."""
    task = make_task((1, 12), dtype=torch.float64)
    model = models.build("mlp-1x16", task.input_shape, 3)
    theta = model.init([1, 2]).double()
    theta[1] = theta[0]
    model.layout.tensors(theta)["linear1.weight"][1] += 2.0 * torch.randn(16, 3, dtype=torch.float64)
    assert barriers(model, theta[:1], theta[1:], task.x, task.y, 21).of_loss.item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_on_a_path_agree_with_a_plain_evaluation(dtype):
    task = make_task((1, 12), dtype=dtype)
    model = models.build("mlp-2x16", task.input_shape, 3)
    recipe = Recipe(steps=60, batch_size=16, lr=0.1)
    theta = train(model, task, recipe, list(range(40))).theta  # more pairs than one block holds
    found = barriers(model, theta[:20], theta[20:], task.x, task.y, points=5)
    for pair in (0, 7, 19):
        for at, alpha in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
            mixed = ((1 - alpha) * theta[pair] + alpha * theta[20 + pair])[None]
            logits = model.logits(mixed, task.x)[0]
            expected = F.cross_entropy(logits.double(), task.y).item()
            assert found.loss[pair, at].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
            wrong = (logits.argmax(1) != task.y).double().mean().item()
            assert found.error[pair, at].item() == pytest.approx(wrong, abs=1e-9)
    assert found.of_loss.max() > 0.01


def test_evaluation_in_blocks_equals_evaluation_at_once():
    task = make_task((1, 12))
    model = models.build("mlp-2x16", task.input_shape, 3)
    theta = model.init(list(range(37)))
    x, y = task.x.repeat(6, 1, 1), task.y.repeat(6)
    loss, error = evaluate(model, theta, x, y)
    logits = model.logits(theta, x)
    torch.testing.assert_close(
        loss, torch.stack([F.cross_entropy(z, y) for z in logits]).double(), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(error, (logits.argmax(2) != y).double().mean(1))
    assert torch.equal(predictions(model, theta, x), logits.argmax(2))


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="at least 3 points"):
        barriers(None, torch.zeros(1, 1), torch.zeros(1, 1), None, None, points=2)
