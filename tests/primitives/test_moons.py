"""Two moons: their margin, their noise, and the share of a function that bends as they do."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from butterfly import data
from butterfly.data import DataError, moons


@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.1, 1.0])
def test_no_point_is_closer_to_the_middle_than_the_margin(margin):
    task = moons.draw(300, margin, seed=4)
    for x, y in ((task.x, task.y), (task.x_test, task.y_test)):
        least = (x[:, 1] * (2 * y - 1)).min().item()
        assert margin <= least + 1e-6 < margin + 0.05  # and some point comes near to that
        assert y.bincount().tolist() == [150, 150]


def test_points_beyond_the_middle_are_reflected():
    """The margin only moves: where moons just touch, every point is as far from the middle as noise alone puts it."""
    near, far = moons.draw(300, 0.0, seed=4), moons.draw(300, 1.0, seed=4)
    torch.testing.assert_close(far.x[:, 1].abs(), near.x[:, 1].abs() + 1)
    noise = (near.x - moons.draw(300, 0.0, seed=4, noise=0.0).x)[:, 1]
    assert noise.std().item() == pytest.approx(moons.NOISE, rel=0.2)


def test_without_noise_they_are_the_moons_of_scikit_learn():
    task = moons.draw(100, -moons.AWAY, seed=0, noise=0.0)  # as they overlap by themselves
    x, y = make_moons(100, shuffle=False)
    theirs = {label: x[y == label] - [0.5, 0.25] for label in (0, 1)}
    np.testing.assert_allclose(task.x[task.y == 1], theirs[0], atol=1e-6)
    np.testing.assert_allclose(task.x[task.y == 0], theirs[1], atol=1e-6)
    assert task.x[:, 0].abs().max().item() == pytest.approx(moons.WIDTH)


def test_noise_follows_the_seed_and_the_margin_only_moves():
    near, far, other = moons.draw(300, -0.1, 1), moons.draw(300, 0.1, 1), moons.draw(300, 0.1, 2)
    moved = far.x - near.x
    torch.testing.assert_close(moved[:, 0], torch.zeros(300))
    torch.testing.assert_close(moved[:, 1], 0.4 * (far.y - 0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(far.x_test - near.x_test, moved, atol=1e-5, rtol=0)
    clean = moons.draw(300, 0.1, 1, noise=0.0).x
    assert (far.x - clean)[:, 0].std().item() == pytest.approx(moons.NOISE, rel=0.15)
    assert not torch.allclose(far.x, other.x)
    assert not torch.allclose(far.x, far.x_test)


def test_the_named_set_just_touches():
    task = data.load("moons-40")
    assert torch.equal(task.x, moons.draw(40, 0.0, 0).x)
    assert task.input_shape == data.input_shape("moons-40") == (2,)
    assert data.provenance("moons-40") == {}
    with pytest.raises(DataError, match="try moons-300"):
        data.load("moons-7")
    with pytest.raises(ValueError, match="even number"):
        moons.draw(7, 0.0, 0)


def test_places_fill_the_square_row_after_row():
    x = moons.places(3)
    assert x[:4].tolist() == [[-1.5, -1.5], [0, -1.5], [1.5, -1.5], [-1.5, 0]]
    assert len(x) == 9


def test_the_curved_share_is_that_of_a_linear_regression():
    """Of functions made from orthogonal parts, and by the usual regression of any function on all features."""
    x = moons.places(41)
    first, second, wave = x[:, 0].double(), x[:, 1].double(), moons.curve(x)
    values = torch.stack(
        [
            second,
            second + 0.7 * first,
            second.exp(),
            wave,
            -wave,
            torch.ones(len(x), dtype=torch.float64),
            3 + 2 * second + 0.5 * wave,
        ]
    )
    parts = 4 * second.var(), 0.25 * wave.var()
    expected = [0, 0, 0, 1, 0, 0, (parts[1] / sum(parts)).item()]
    np.testing.assert_allclose(moons.curved_share(values, x), expected, atol=1e-9)
    odd = torch.tanh(second + 0.5 * (math.pi * first).sin())[None]

    def left(*features):
        design = torch.stack([torch.ones_like(first), *features], 1)
        return (odd[0] - design @ torch.linalg.lstsq(design, odd[0]).solution).square().sum()

    gained = (left(first, second) - left(first, second, (math.pi * first).sin())) / left()
    assert moons.curved_share(odd, x).item() == pytest.approx(gained.item(), rel=1e-6)


def test_outputs_that_are_not_numbers_have_no_share():
    x = moons.places(5)
    assert moons.curved_share(torch.full((1, 25), torch.nan), x).isnan().all()


def test_the_wave_runs_between_the_moons():
    """Of the moons as they come, half the wave lies above the lower one and below the upper one, within its noise."""
    task = moons.draw(300, -moons.AWAY, 0, noise=0.0)
    height = -0.5 * (math.pi * task.x[:, 0]).sin()
    side = (task.x[:, 1] > height).long()
    assert (side == task.y).float().mean() > 0.95
