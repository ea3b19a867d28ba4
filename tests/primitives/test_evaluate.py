"""Logits in blocks, and the calibration error: by hand, at its two ends, and against a plain loop."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from butterfly import evaluate as module
from butterfly.evaluate import calibration_error, evaluate, features, logits, outputs, predictions
from tests.conftest import Largest, make_task


def of_confidence(*confidences):
    """Logits of two classes that give class 0 these probabilities."""
    p = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([p, 1 - p], 1).log()


# --- logits ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def in_small_blocks(monkeypatch, model):
    """At most two members and 32 examples at once."""
    monkeypatch.setitem(module._MEMBERS, "cpu", 2)
    monkeypatch.setitem(module._NUMBERS, "cpu", 64 * model.activations)


def test_logits_in_blocks_are_those_of_the_model(model, task, in_small_blocks):
    theta = model.init([1, 2, 3, 4, 5])
    assert len(list(outputs(model, theta, task.x))) == 9
    found = logits(model, theta, task.x)
    assert found.shape == (5, 96, 3)
    assert not found.requires_grad
    torch.testing.assert_close(found, model.logits(theta, task.x))
    for row, member in enumerate(theta):
        torch.testing.assert_close(found[row], model.logits(member[None], task.x)[0])


def test_a_layer_in_blocks_is_that_of_the_model_and_no_other_is_kept(model, task, monkeypatch):
    theta = model.init([1, 2, 3, 4, 5])
    whole = model.features(theta, task.x)
    monkeypatch.setitem(module._MEMBERS, "cpu", 2)
    monkeypatch.setitem(module._NUMBERS, "cpu", 64 * model.activations)
    for layer, expected in whole.items():
        with Largest() as largest:
            found = features(model, theta, task.x, layer)
        torch.testing.assert_close(found, expected)
        assert largest.bytes == found.nbytes


def test_logits_agree_with_predictions_and_with_the_loss(model, task, in_small_blocks):
    theta = model.init([1, 2, 3])
    found = logits(model, theta, task.x_test)
    assert torch.equal(found.argmax(2), predictions(model, theta, task.x_test))
    loss, error = evaluate(model, theta, task.x_test, task.y_test)
    for row in range(3):
        assert F.cross_entropy(found[row], task.y_test).item() == pytest.approx(loss[row].item(), rel=1e-5)
        wrong = found[row].argmax(1) != task.y_test
        assert wrong.double().mean().item() == pytest.approx(error[row].item())


def test_logits_keep_the_precision_of_the_data(model):
    task = make_task((1, 12), dtype=torch.float64)
    theta = model.init([1]).double()
    found = logits(model, theta, task.x_test)
    assert found.dtype == torch.float64
    assert torch.equal(found, model.logits(theta, task.x_test))


# --- calibration -----------------------------------------------------------------------------------------------------


def test_calibration_error_by_hand():
    """In (0.5, 0.75] two answers, 1.3 sure in sum and one right; in (0.75, 1] two, 1.7 sure in sum and both right."""
    answers, y = of_confidence(0.6, 0.7, 0.9, 0.8), torch.tensor([0, 1, 0, 0])
    assert calibration_error(answers, y, bins=4).item() == pytest.approx((0.3 + 0.3) / 4)
    # In one bin the two gaps cancel.
    assert calibration_error(answers, y, bins=1).item() == pytest.approx(0.0, abs=1e-12)


def test_a_probability_on_the_border_is_in_the_bin_below():
    answers, y = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 1])
    sure = torch.tensor(3.0).double().sigmoid().item()
    assert calibration_error(answers, y, bins=2).item() == pytest.approx((0.5 + sure) / 2)


def test_bins_are_fifteen_by_default():
    """0.930 and 0.936 lie on both sides of 14 / 15 = 0.933, but in one of fourteen bins, and in one of sixteen."""
    answers, y = of_confidence(0.930, 0.936), torch.tensor([0, 1])
    assert calibration_error(answers, y).item() == pytest.approx((0.070 + 0.936) / 2)
    for bins in (14, 16):
        assert calibration_error(answers, y, bins).item() == pytest.approx((0.936 - 0.070) / 2)


def test_the_class_chosen_counts_not_the_right_one():
    """Sure of class 1 by 0.8, and it is right four times of five: calibrated, though class 0 has 0.2 each time."""
    answers, y = of_confidence(*[0.2] * 5), torch.tensor([1, 1, 1, 1, 0])
    assert calibration_error(answers, y).item() == pytest.approx(0.0, abs=1e-12)
    assert calibration_error(answers, 1 - y).item() == pytest.approx(0.6)


def test_calibration_error_of_the_calibrated_is_0():
    answers = of_confidence(*[0.75] * 4, *[0.6] * 5, *[0.9] * 10)
    y = torch.tensor([0, 0, 0, 1] + [0, 0, 0, 1, 1] + [0] * 9 + [1])
    assert calibration_error(answers, y).item() == pytest.approx(0.0, abs=1e-12)


def test_calibration_error_of_the_always_wrong_with_certainty_is_1():
    answers = 1000 * F.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
    assert calibration_error(answers, torch.tensor([1, 2, 0, 2])).item() == 1
    assert calibration_error(answers, torch.tensor([0, 1, 2, 0])).item() == 0


def test_calibration_error_does_not_depend_on_the_order_of_examples():
    random = torch.Generator().manual_seed(0)
    answers = 2 * torch.randn(200, 4, generator=random)
    y = torch.randint(4, (200,), generator=random)
    order = torch.randperm(200, generator=random)
    found = calibration_error(answers, y).item()
    assert calibration_error(answers[order], y[order]).item() == pytest.approx(found, rel=1e-12)
    assert calibration_error(answers + 7, y).item() == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("bins", [1, 7, 15, 40])
def test_calibration_error_is_that_of_a_plain_loop(bins):
    random = np.random.default_rng(bins)
    answers, y = random.normal(0, 3, (500, 5)).astype(np.float32), random.integers(0, 5, 500)
    wide = np.exp(answers.astype(float))
    p = wide / wide.sum(1, keepdims=True)
    confidence, right = p.max(1), p.argmax(1) == y
    expected = 0.0
    for k in range(bins):
        here = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if here.any():
            expected += here.mean() * abs(confidence[here].mean() - right[here].mean())
    found = calibration_error(torch.from_numpy(answers), torch.from_numpy(y), bins)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_answers_that_are_not_numbers_have_no_calibration():
    assert calibration_error(torch.tensor([[torch.nan, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])).isnan()
