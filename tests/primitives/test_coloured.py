"""Coloured images: what is seen, what is recorded, and how often the two agree."""

from dataclasses import replace

import pytest
import torch

from butterfly import data
from butterfly.data import Data, DataError
from butterfly.data.coloured import coloured
from butterfly.streams import generator


@pytest.fixture
def task() -> Data:
    """400 + 200 images of 4 x 4 in ten classes, with a black frame and some ink in each."""
    random = generator("test-coloured")
    x = torch.rand(600, 1, 4, 4, generator=random) + 0.1
    x[:, :, 0] = 0
    x, y = (x - 0.3) / 0.2, torch.arange(600) % 10
    return Data("ink", x[:400], y[:400], x[400:], y[400:], 10, torch.arange(400))


def test_an_image_fills_the_channel_of_its_colour_and_the_other_is_black(task):
    painted, who = coloured(task, 0.8, seed=3)
    for x, raw, groups in ((painted.x, task.x, who.train), (painted.x_test, task.x_test, who.test)):
        assert x.shape == (len(raw), 2, 4, 4)
        rows = torch.arange(len(raw))
        own, other = x[rows, groups.colour], x[rows, 1 - groups.colour]
        # Up to shift and scale, which are those of all, the image is as it was.
        scale = (own[0, 1, 1] - own[0, 2, 2]) / (raw[0, 0, 1, 1] - raw[0, 0, 2, 2])
        torch.testing.assert_close(own - own.min(), scale * (raw[:, 0] - raw.min()), rtol=1e-4, atol=1e-4)
        assert other.unique().numel() == 1
        assert other[0, 0, 0] == own[0, 0, 0]
    assert painted.input_shape == (2, 4, 4)
    assert painted.classes == 2


@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.9])
def test_channels_together_are_normalised_whatever_the_colours(task, agreement):
    x = coloured(task, agreement, seed=0)[0].x.double()
    assert x.mean().item() == pytest.approx(0, abs=1e-6)
    assert x.std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_shares_are_exact_and_reversed_in_the_test_set(task):
    painted, who = coloured(task, 0.9, seed=1, moved=0.25)
    assert who.train.agrees.sum() == 360
    assert who.test.agrees.sum() == 20
    assert (who.train.moved.sum(), who.test.moved.sum()) == (100, 50)
    for y, raw, groups in ((painted.y, task.y, who.train), (painted.y_test, task.y_test, who.test)):
        assert torch.equal(y, groups.label)
        assert torch.equal(groups.label, (raw >= 5).long() ^ groups.moved.long())
        assert torch.equal(groups.group // 2, groups.label)
        assert torch.equal(groups.group % 2, groups.colour)
    # Labels are flipped whatever the colour: a quarter of those that agree, as of all.
    assert 0.15 < who.train.moved[who.train.agrees].float().mean() < 0.35


def test_the_test_set_can_have_an_agreement_of_its_own(task):
    _, who = coloured(task, 0.9, seed=1, test_agreement=0.6)
    assert who.test.agrees.sum() == 120


def test_two_classes_stay_as_they_are(task):
    two = data.of_classes(task, [7, 2])
    painted, who = coloured(two, 1.0, seed=0)
    assert torch.equal(painted.y, two.y)
    assert torch.equal(who.train.colour, two.y)
    assert torch.equal(who.test.colour, 1 - two.y_test)
    assert torch.equal(painted.ids, two.ids)


def test_draws_follow_the_seed_and_training_and_test_are_drawn_apart(task):
    one, again, other = (coloured(task, 0.7, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(one.train.colour, again.train.colour)
    assert not torch.equal(one.train.colour, other.train.colour)
    assert not torch.equal(one.train.agrees[:200], one.test.agrees)
    # A higher agreement turns some colours to that of the label, and none away.
    assert (coloured(task, 0.9, 0)[1].train.agrees >= one.train.agrees).all()


def test_what_cannot_be_coloured_is_refused(task):
    with pytest.raises(ValueError, match="3 channels"):
        coloured(replace(task, x=task.x.repeat(1, 3, 1, 1)), 0.9, 0)
    with pytest.raises(ValueError, match="targets of its own"):
        coloured(replace(task, targets=torch.zeros(400, 10)), 0.9, 0)
    with pytest.raises(ValueError, match=r"a share of 1\.5"):
        coloured(task, 0.5, 0, moved=1.5)
    with pytest.raises(DataError, match="unknown data set 'coloured'"):
        data.load("coloured")
