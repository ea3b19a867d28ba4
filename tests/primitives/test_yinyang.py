"""Two halves with two discs: areas, symmetry, and even places."""

import math

import pytest
import torch

from butterfly import data
from butterfly.data import yinyang


def test_the_square_is_filled_evenly():
    x = yinyang.places(400)
    assert x.min() > -1
    assert x.max() < 1
    cells = ((x + 1) * 2).long()  # 4 x 4
    counts = torch.bincount(cells[:, 0] * 4 + cells[:, 1], minlength=16)
    assert (counts - 25).abs().max() <= 4  # at random it would be about 9
    assert torch.cdist(x, x).fill_diagonal_(9).min() > 0.05  # a square grid has 0.1


def test_places_to_learn_and_to_test_are_different_and_both_even():
    task = data.load("yinyang-100")
    assert (task.x.shape, task.x_test.shape) == ((100, 2), (400, 2))
    assert torch.cdist(task.x, task.x_test).min() > 0.03
    for x in (task.x, task.x_test):
        assert x.mean(0).abs().max() < 0.05
        assert x.var(0).tolist() == pytest.approx([1 / 3, 1 / 3], rel=0.1)


def test_labels_are_those_of_the_halves_but_for_the_discs():
    x = torch.tensor([[0.0, 0.9], [0.0, -0.9], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5], [0.5, -0.19], [0.5, -0.21]])
    y, disc = yinyang.pattern(x, 0.0)
    assert y.tolist() == [1, 0, 0, 1, 1, 0, 1]
    assert disc.tolist() == [False, False, True, True, False, False, True]


@pytest.mark.parametrize("turn", [0.0, 0.1, 0.6])
def test_discs_have_their_area_wherever_the_pattern_lies(turn):
    x = yinyang.places(20_000)
    y, disc = yinyang.pattern(x, turn)
    # Turned, the discs stay within a circle of radius 1.01, of which a sliver may lie outside of the square.
    assert disc.double().mean().item() == pytest.approx(2 * math.pi * yinyang.RADIUS**2 / 4, rel=0.03)
    assert y.double().mean().item() == pytest.approx(0.5, abs=0.01)


def test_half_a_turn_exchanges_the_classes_and_a_whole_turn_nothing():
    x = yinyang.places(500)
    y, disc = yinyang.pattern(x, 0.13)
    for turn, same in ((0.63, False), (1.13, True)):
        again, discs = yinyang.pattern(x, turn)
        assert torch.equal(discs, disc)
        assert torch.equal(again, y if same else 1 - y)


def test_a_turn_is_a_rotation_of_the_plane():
    x = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(yinyang.turned(x, 0.25), torch.tensor([[0.0, -1.0]]), atol=1e-6, rtol=0)
    y, _ = yinyang.pattern(torch.tensor([[-0.9, 0.0], [0.9, 0.0]]), 0.25)  # what was up lies to the left
    assert y.tolist() == [1, 0]


def test_strange_names_are_refused():
    with pytest.raises(data.DataError, match="try yinyang-100"):
        yinyang.load("yinyang-none")
