"""Waves: values and coefficients from their definitions, flowers of known length, and the data sets made of them."""

import math

import numpy as np
import pytest
import torch

from butterfly import data
from butterfly.data import DataError, waves


def test_values_are_the_sums_that_they_are_called():
    along = waves.places(8)
    assert along.tolist() == [k / 8 for k in range(8)]
    phases = torch.tensor([[0.0, 0.25], [0.5, 0.1]], dtype=torch.float64)
    found = waves.sines(along, torch.tensor([1, 3]), torch.tensor([2.0, 0.5]), phases)
    for row, (one, other) in zip(found, phases.tolist(), strict=True):
        for t, value in zip(along.tolist(), row.tolist(), strict=True):
            expected = 2 * math.sin(2 * math.pi * (t + one)) + 0.5 * math.sin(2 * math.pi * (3 * t + other))
            assert value == pytest.approx(expected, abs=1e-12)


def test_coefficients_give_back_amplitudes_and_phases():
    """Of waves of whole frequencies below half the number of places, and nothing of any other."""
    amplitudes = torch.tensor([[1.0, 0.3, 2.0], [0.1, 0.2, 0.3]], dtype=torch.float64)
    phases = torch.tensor([[0.1, 0.6, 0.9], [0.0, 0.5, 0.25]], dtype=torch.float64)
    values = waves.sines(waves.places(32), torch.tensor([1, 5, 15]), amplitudes, phases) + 7  # a constant is no wave
    found = waves.coefficients(values, torch.arange(1, 16))
    torch.testing.assert_close(found[:, [0, 4, 14]], torch.polar(amplitudes, 2 * math.pi * phases))
    others = [k for k in range(15) if k not in (0, 4, 14)]
    assert found[:, others].abs().max() < 1e-12


def test_coefficients_are_those_of_numpy():
    values = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = waves.coefficients(values, torch.arange(1, 25)).numpy()
    np.testing.assert_allclose(found, 2j / 50 * np.fft.fft(values.numpy())[1:25], atol=1e-12)


def test_a_flower_without_petals_is_the_circle_and_petals_make_it_longer():
    along = waves.places(4000)
    circle = waves.flower(along, 0)
    torch.testing.assert_close(circle.norm(dim=1), torch.ones_like(along))
    assert waves.length(circle) == pytest.approx(2 * math.pi, rel=1e-5)
    assert circle[1000].tolist() == pytest.approx([0, 1], abs=1e-12)  # a quarter of the way, against the clock
    flower = waves.flower(along, 8)
    radius = flower.norm(dim=1)
    peaks = (radius > radius.roll(1)) & (radius > radius.roll(-1))
    assert int(peaks.sum()) == 8
    assert (radius.min().item(), radius.max().item()) == pytest.approx((0.5, 1.5), abs=1e-4)
    # The length by its integral: radius squared and its derivative squared, under the root.
    angle = 2 * math.pi * along
    speed = ((1 + (8 * angle).sin() / 2).square() + (4 * (8 * angle).cos()).square()).sqrt()
    assert waves.length(flower) == pytest.approx(2 * math.pi * speed.mean().item(), rel=1e-4)


def test_radial_waves_depend_on_the_distance_alone():
    x = torch.tensor([[[3.0, 4.0]], [[-5.0, 0.0]], [[0.0, 0.0]]])
    found = waves.radial(x, 0.3, 0.1)
    expected = [math.sin(2 * math.pi * (0.3 * r + 0.1)) for r in (5, 5, 0)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_data_sets_of_waves():
    interval, flower = data.load("waves-20"), data.load("waves-20-3petals")
    assert interval.x[:, 0].tolist() == pytest.approx([k / 10 - 1 for k in range(20)])
    assert interval.x_test[:, 0].tolist() == pytest.approx([(k + 0.5) / 10 - 1 for k in range(20)])
    torch.testing.assert_close(flower.x, waves.flower(waves.places(20), 3).float())
    torch.testing.assert_close(interval.y, -(math.pi * interval.x).sin(), atol=1e-6, rtol=0)
    torch.testing.assert_close(interval.y_test, -(math.pi * interval.x_test).sin(), atol=1e-6, rtol=0)
    for found in (interval, flower):
        assert data.input_shape(found.name) == found.input_shape
        assert (found.classes, found.y.shape, found.y_test.shape) == (1, (20, 1), (20, 1))
        assert data.provenance(found.name) == {} == found.source


@pytest.mark.parametrize("name", ["waves", "waves-0", "waves-20-petals", "waves-20-3petal"])
def test_other_names_are_refused(name):
    with pytest.raises(DataError, match=r"unknown data set"):
        data.load(name)
