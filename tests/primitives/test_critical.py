"""Critical samples of linear networks, where the distance to another answer is known."""

import pytest
import torch

from butterfly import models
from butterfly.critical import critical_radius, critical_samples
from butterfly.streams import generator

SHAPE = (1, 6)


@pytest.fixture(scope="module")
def linear():
    """Two networks whose hidden units are always on: the answer is that of a linear map of 2 classes; and inputs."""
    model = models.build("mlp-1x8", SHAPE, 2)
    tensors = {name: view.clone() for name, view in model.layout.tensors(model.init([0, 1])).items()}
    tensors["linear0.bias"] += 100
    slope = tensors["linear0.weight"] @ tensors["linear1.weight"]  # [M, 6, 2]
    tensors["linear1.bias"] = -(tensors["linear0.bias"][:, None] @ tensors["linear1.weight"])[:, 0]
    x = torch.randn(300, *SHAPE, generator=generator("points"))
    return model, model.layout.stack(tensors), x, slope


def distances(x, slope):
    """How far each input is from the other answer `[M, N]`, in the largest pixel."""
    across = slope[..., 0] - slope[..., 1]  # [M, 6]
    return (x[:, 0] @ across.T).abs().T / across.abs().sum(1, keepdim=True)


def test_critical_are_inputs_with_the_border_in_their_box(linear):
    model, theta, x, slope = linear
    away = distances(x, slope)
    for radius in (0.1, 0.4):
        found = critical_samples(model, theta, x, radius)
        assert found.shape == (2, 300)
        assert not found[away > radius * 1.001].any()
        assert found[away < 0.7 * radius].all()
    assert not torch.equal(found[0], found[1])


def test_the_search_follows_its_key_and_needs_no_label(linear):
    model, theta, x, _ = linear
    one, again, other = (critical_samples(model, theta, x, 0.2, steps=1, key=key) for key in ((1,), (1,), (2,)))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(critical_samples(model, theta[1:], x, 0.2, steps=1, key=(1,)), one[1:])


def test_more_steps_find_more(linear):
    model, theta, x, _ = linear
    few, many = (critical_samples(model, theta, x, 0.3, steps=steps) for steps in (1, 10))
    assert (many | ~few).all()
    assert many.sum() > few.sum()


def test_the_radius_is_that_at_which_a_share_is_critical(linear):
    model, theta, x, slope = linear
    radius = critical_radius(model, theta, x, 0.3)
    assert float(critical_samples(model, theta, x, radius).double().mean()) == pytest.approx(0.3, abs=0.02)
    assert radius == pytest.approx(float(distances(x, slope).quantile(0.3)), rel=0.2)


def test_a_share_out_of_reach_gives_an_end(linear):
    model, theta, x, _ = linear
    assert critical_radius(model, 0 * theta, x, 0.3, greatest=2.0) == 2.0  # one answer everywhere
    assert critical_radius(model, theta, x, 0.0, least=0.01) == 0.01
