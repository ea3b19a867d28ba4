"""Modes: opposite examples, and how often each comes."""

import pytest
import torch

from butterfly import data
from butterfly.data import DataError, modes


def test_named_modes_are_unit_vectors_and_their_opposites():
    task = data.load("modes-3")
    assert task.x.tolist() == [*torch.eye(3).tolist(), *(-torch.eye(3)).tolist()]
    assert task.y.tolist() == [1, 1, 1, 0, 0, 0]
    assert task.input_shape == data.input_shape("modes-3") == (3,)
    assert (task.weights, task.classes, data.provenance("modes-3")) == (None, 2, {})
    with pytest.raises(DataError, match="unknown data set 'modes'"):
        data.load("modes")


def test_shares_are_those_of_each_point_and_its_opposite():
    task = modes.of(torch.tensor([[1.0, 1.0], [1.0, 0.0]]), [0.2, 0.8])
    assert task.x.tolist() == [[1, 1], [1, 0], [-1, -1], [-1, 0]]
    assert task.weights.tolist() == pytest.approx([0.2, 0.8, 0.2, 0.8])
