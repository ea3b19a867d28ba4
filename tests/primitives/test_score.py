"""Scores of example difficulty: by hand, against plain loops, and in whatever order the examples come."""

import math
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from butterfly import evaluate, models, score
from butterfly.score import LOGGED, MEASURES, SCORES, ScoreLogger, agreement, c_score, difficulty, memorization
from butterfly.streams import generator
from tests.conftest import Largest

README = Path(__file__).parents[2] / "README.md"
RIGHT, WRONG = [1.0, 0.0], [0.0, 1.0]  # logits of an example of class 0


def random(*shape, name="score"):
    return torch.randn(*shape, generator=generator(name, *shape), dtype=torch.float64)


def one_look(logits, labels):
    """The table after one look, without ids."""
    logger = ScoreLogger(range(len(labels)), labels)
    logger.log(range(len(labels)), torch.as_tensor(logits), labels)
    return logger.table()


def naive_measures(z, y):
    """Every measure of one look at one example, by its textbook formula with a plain softmax."""
    z = np.asarray(z, dtype=float)
    p = np.exp(z) / np.exp(z).sum()
    others = [c for c in range(len(z)) if c != y]
    el2n = np.sqrt(sum((p[c] - (c == y)) ** 2 for c in range(len(z))))
    return {
        "accuracy": float(np.argmax(z) == y),
        "loss": -np.log(p[y]),
        "confidence": p[y],
        "max_confidence": max(p),
        "entropy": -sum(q * np.log(q) for q in p),
        "margin.logit": z[y] - max(z[others]),
        "margin.prob": p[y] - max(p[others]),
        "el2n": el2n,
        "el2n.squared": el2n**2,
    }


def naive_scores(history, y):
    """Every score of one example from all logits that were seen of it."""
    looks = [naive_measures(z, y) for z in history]
    right = [look["accuracy"] == 1 for look in looks]
    found = {f"{name}.mean": np.mean([look[name] for look in looks]) for name in MEASURES}
    found |= {f"{name}.last": looks[-1][name] for name in MEASURES}
    falls = sum(a and not b for a, b in pairwise(right))
    total = len(right)
    return found | {
        "confidence.sd": np.std([look["confidence"] for look in looks]),
        "correctness": sum(right),
        "forgetting": falls,
        "forgetting.capped": falls if any(right) else total,
        "first_learned": right.index(True) if any(right) else total,
        "iteration_learned": next(k for k in range(total + 1) if all(right[k:])),
    }


def same_state(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if torch.is_tensor(value):
            torch.testing.assert_close(value, other[name], rtol=0, atol=0, equal_nan=True)
        else:
            assert value == other[name]


# --- one look --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_measures_are_the_textbook_formulas(classes):
    z = 3 * random(4, 50, classes)
    y = torch.arange(50) % classes
    found = score.pointwise(z, y)
    assert tuple(found) == MEASURES
    for network in range(4):
        for place in range(50):
            for name, value in naive_measures(z[network, place], int(y[place])).items():
                assert found[name][network, place].item() == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_measures_keep_shape_and_precision_and_leave_the_logits_alone():
    for dtype in (torch.float32, torch.float64):
        z = random(3, 7, 4).to(dtype)
        before = z.clone()
        for values in score.pointwise(z, torch.arange(7) % 4).values():
            assert values.shape == (3, 7)
            assert values.dtype == dtype
        assert torch.equal(z, before)
    alone = score.pointwise(random(7, 4), torch.arange(7) % 4)
    assert alone["loss"].shape == (7,)


@pytest.mark.parametrize("gap", [1.0, 10.0, 17.0, 25.0, 40.0])
@pytest.mark.parametrize("classes", [2, 4])
def test_loss_and_el2n_keep_their_digits_where_the_label_is_nearly_certain(gap, classes):
    """Logits (gap, 0, 0, ...): the others have n exp(-gap) in all, which 1 - p rounds to 0 in float32 from 17 on."""
    z = torch.zeros(1, classes)
    z[0, 0] = gap
    found = {name: value.item() for name, value in score.pointwise(z, torch.tensor([0])).items()}
    n, other = classes - 1, math.exp(-gap)
    rest = n * other / (1 + n * other)
    assert found["loss"] == pytest.approx(math.log1p(n * other), rel=1e-5)
    assert found["el2n.squared"] == pytest.approx(rest**2 * (1 + 1 / n), rel=1e-5)
    assert found["el2n"] == pytest.approx(rest * math.sqrt(1 + 1 / n), rel=1e-5)
    # The same where the label is nearly ruled out.
    found = {name: value.item() for name, value in score.pointwise(-z, torch.tensor([0])).items()}
    assert found["loss"] == pytest.approx(gap + math.log(n + other), rel=1e-6)
    assert found["confidence"] == pytest.approx(other / (n + other), rel=1e-5)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_logits_do_not_overflow(size):
    z = torch.tensor([[size, 0.0, -size], [size, 0.0, -size], [-size, size, size]])
    found = score.pointwise(z, torch.tensor([0, 2, 1]))
    assert all(value.isfinite().all() for value in found.values())
    assert found["loss"].tolist() == pytest.approx([0, 2 * size, math.log(2)])
    assert found["confidence"].tolist() == [1, 0, 0.5]
    assert found["margin.logit"].tolist() == pytest.approx([size, -2 * size, 0])
    assert found["el2n"].tolist() == pytest.approx([0, math.sqrt(2), math.sqrt(0.5)])
    assert found["entropy"].tolist() == pytest.approx([0, 0, math.log(2)])


def test_a_shift_of_all_logits_changes_nothing():
    z, y = random(40, 5), torch.arange(40) % 5
    for name, values in score.pointwise(z + 1000, y).items():
        torch.testing.assert_close(values, score.pointwise(z, y)[name], rtol=1e-9, atol=1e-12)


def test_certainty_has_el2n_0_or_the_root_of_two_and_no_entropy():
    table = one_look(torch.tensor([[500.0, 0, 0], [0, 500.0, 0]]), [0, 0])
    assert table["el2n.last"].tolist() == pytest.approx([0, math.sqrt(2)])
    assert table["el2n.squared.last"].tolist() == pytest.approx([0, 2])
    assert table["entropy.last"].tolist() == [0, 0]
    assert table["confidence.last"].tolist() == [1, 0]
    assert table["max_confidence.last"].tolist() == [1, 1]
    assert table["margin.prob.last"].tolist() == [1, -1]


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_ignorance_has_the_largest_entropy(classes):
    table = one_look(torch.full((1, classes), 7.0), [0])
    assert table["entropy.last"].item() == pytest.approx(math.log(classes))
    assert table["loss.last"].item() == pytest.approx(math.log(classes))
    assert table["el2n.squared.last"].item() == pytest.approx(1 - 1 / classes)
    assert table["margin.logit.last"].item() == table["margin.prob.last"].item() == 0


def test_margins_of_negative_logits():
    """(-1, -2, -3) with label 0 leads by 1; masking the label's logit with a 0 would give -1."""
    table = one_look(torch.tensor([[-1.0, -2, -3], [-1.0, -2, -3], [-1.0, -2, -3]]), [0, 1, 2])
    assert table["margin.logit.last"].tolist() == [1, -1, -2]
    p = np.exp([-1, -2, -3]) / np.exp([-1, -2, -3]).sum()
    assert table["margin.prob.last"].tolist() == pytest.approx([p[0] - p[1], p[1] - p[0], p[2] - p[0]])
    assert table["accuracy.last"].tolist() == [1, 0, 0]


def test_of_equal_logits_the_lowest_class_is_the_answer():
    z = torch.tensor([[1.0, 1, 0], [1.0, 1, 0], [0.0, 1, 1], [0.0, 1, 1], [2.0, 2, 2], [2.0, 2, 2]])
    assert one_look(z, [0, 1, 1, 2, 0, 2])["accuracy.last"].tolist() == [1, 0, 1, 0, 1, 0]


def test_logits_that_differ_in_their_last_digit_are_not_equal():
    z = torch.tensor([[0.0, 1e4, np.nextafter(np.float32(1e4), np.float32(2e4))]])
    assert one_look(z, [2])["accuracy.last"].item() == 1
    assert one_look(z, [1])["accuracy.last"].item() == 0


# --- many looks ------------------------------------------------------------------------------------------------------

SEQUENCES = {  # first learned, iteration learned, forgetting, capped, correctness
    "1111111": (0, 0, 0, 0, 7),
    "0000000": (7, 7, 0, 7, 0),
    "0111111": (1, 1, 0, 0, 6),
    "1000000": (0, 7, 1, 1, 1),
    "1010101": (0, 6, 3, 3, 4),
    "0101010": (1, 7, 3, 3, 3),
    "1": (0, 0, 0, 0, 1),
    "0": (1, 1, 0, 1, 0),
    "0011": (2, 2, 0, 0, 2),
    "1100": (0, 4, 1, 1, 2),
    "0110": (1, 4, 1, 1, 2),
}


@pytest.mark.parametrize(("sequence", "expected"), SEQUENCES.items())
def test_learning_and_forgetting_of_fixed_sequences(sequence, expected):
    logger = ScoreLogger([5], [0])
    for right in sequence:
        logger.log([5], torch.tensor([RIGHT if right == "1" else WRONG]), [0])
    row = logger.table().loc[5]
    names = ["first_learned", "iteration_learned", "forgetting", "forgetting.capped", "correctness"]
    assert tuple(row[names]) == expected
    assert row["looks"] == len(sequence)
    assert row["accuracy.mean"] == pytest.approx(sequence.count("1") / len(sequence))
    assert row["accuracy.last"] == float(sequence[-1])


def test_area_under_the_margin_of_the_reference_program():
    logger = ScoreLogger([10, 11, 12], [1, 0, 1])
    logger.log([10, 11], torch.tensor([[1.0, 2, 3], [6, 5, 4]]), [1, 0])
    assert logger.table()["margin.logit.mean"].tolist()[:2] == [-1, 1]
    logger = ScoreLogger([10, 11, 12], [1, 2, 1])
    logger.log([10, 11], torch.tensor([[1.0, 2, 3], [4, 5, 6]]), [1, 2])
    logger.log([11, 12], torch.tensor([[7.0, 8, 9], [12, 11, 10]]), [2, 1])
    assert logger.table()["margin.logit.mean"].tolist() == [-1, 1, -1]
    assert logger.table()["looks"].tolist() == [1, 2, 1]


def test_mean_and_last_of_two_looks():
    logger = ScoreLogger([3], [0])
    for gap in (0.0, math.log(3)):  # p_y of 1/2 and 3/4
        logger.log([3], torch.tensor([[gap, 0.0]]).double(), [0])
    row = logger.table().loc[3]
    assert row["confidence.mean"] == pytest.approx(5 / 8)
    assert row["confidence.last"] == pytest.approx(3 / 4)
    assert row["confidence.sd"] == pytest.approx(1 / 8)  # of the population
    assert row["loss.mean"] == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert row["margin.logit.mean"] == pytest.approx(math.log(3) / 2)
    assert row["el2n.mean"] == pytest.approx(math.sqrt(2) * (1 / 2 + 1 / 4) / 2)
    assert row["el2n.squared.mean"] == pytest.approx(2 * (1 / 4 + 1 / 16) / 2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), networks=st.integers(1, 3))
def test_scores_are_those_of_the_whole_history_in_any_order_of_examples(seed, networks):
    """Minibatches of random examples in random order, so that examples have different numbers of looks."""
    draw = np.random.default_rng(seed)
    ids, y = draw.permutation(100)[:8] - 50, draw.integers(0, 4, 8)
    logger, history = ScoreLogger(ids, y, networks), defaultdict(list)
    for _ in range(draw.integers(1, 12)):
        some = draw.permutation(8)[: draw.integers(1, 9)]
        logits = draw.normal(0, 2, (networks, len(some), 4))
        logger.log(ids[some], torch.from_numpy(logits), y[some])
        for column, place in enumerate(some):
            for network in range(networks):
                history[network, place].append(logits[network, column])
    found = logger.scores()
    assert tuple(found) == LOGGED
    for network in range(networks):
        for place in range(8):
            seen = history[network, place]
            expected = naive_scores(seen, y[place]) if seen else dict.fromkeys(LOGGED, np.nan)
            for name, value in expected.items():
                assert found[name][network, place].item() == pytest.approx(value, rel=1e-8, abs=1e-9, nan_ok=True), name


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 9))
def test_epochs_in_minibatches_are_epochs_at_once(seed, batch):
    draw = np.random.default_rng(seed)
    y = torch.from_numpy(draw.integers(0, 3, 9))
    whole, parts = ScoreLogger(range(9), y), ScoreLogger(range(9), y)
    for _ in range(4):
        logits = torch.from_numpy(draw.normal(size=(9, 3)))
        whole.log(range(9), logits, y)
        for some in torch.from_numpy(draw.permutation(9)).split(batch):
            parts.log(some, logits[some], y[some])
    pd.testing.assert_frame_equal(parts.table(), whole.table(), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), looks=st.integers(1, 30), size=st.floats(0.1, 50))
def test_variability_is_bounded_by_confidence(seed, looks, size):
    """A probability between 0 and 1 of mean c has a variance of c (1 - c) at most."""
    logger = ScoreLogger(range(20), [0] * 20)
    for z in torch.from_numpy(np.random.default_rng(seed).normal(0, size, (looks, 20, 2))):
        logger.log(range(20), z, [0] * 20)
    table = logger.table()
    c, sd = table["confidence.mean"], table["confidence.sd"]
    assert (sd**2 <= c * (1 - c) + 1e-12).all()
    assert sd.any() == (looks > 1)


def test_a_single_precision_mean_keeps_its_digits_over_many_looks():
    logger = ScoreLogger([0], [0])
    z = 3 * random(600, 1, 3)
    for look in z:
        logger.log([0], look.float(), [0])
    found = {name: values.item() for name, values in logger.scores().items()}
    expected = naive_scores(z[:, 0].float(), 0)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=2e-5), name


def test_a_stack_is_logged_like_its_networks_one_by_one():
    y = [0, 1, 2, 1]
    together, alone = ScoreLogger(range(4), y, 3), [ScoreLogger(range(4), y) for _ in range(3)]
    for look in range(5):
        logits, features = random(3, 4, 3, name=f"l{look}"), random(3, 4, 6, name=f"f{look}")
        together.log(range(4), logits, y, features)
        for row, logger in enumerate(alone):
            logger.log(range(4), logits[row], y, features[row])
    for row, logger in enumerate(alone):
        pd.testing.assert_frame_equal(together.table().loc[row], logger.table(), rtol=1e-12)


@pytest.fixture
def watched(monkeypatch):
    """Five networks that are looked at in blocks of two and 32 examples, and 70 examples."""
    model = models.build("mlp-1x8", (1, 6), 3)
    monkeypatch.setitem(evaluate._MEMBERS, "cpu", 2)
    monkeypatch.setitem(evaluate._NUMBERS, "cpu", 64 * model.activations)
    y = torch.arange(70) % 3
    return model, model.init(list(range(5))), random(70, 1, 6).float(), ScoreLogger(100 - torch.arange(70), y, 5)


def test_watching_is_logging_all_logits(watched):
    model, theta, x, logger = watched
    logged = ScoreLogger(logger.ids, logger.labels, 5)
    for look in range(3):
        nudged = theta + 0.1 * look
        logger.watch(model, nudged, x)
        logged.log(logger.ids, evaluate.logits(model, nudged, x), logger.labels)
    assert (logger.table()["looks"] == 3).all()
    pd.testing.assert_frame_equal(logger.table(), logged.table(), rtol=1e-5, atol=1e-6)


def test_a_network_that_diverged_is_lost_and_the_others_go_on(watched):
    model, theta, x, logger = watched
    diverged = theta.clone()
    diverged[3, 0] = torch.inf
    others = [0, 1, 2, 4]
    alone = ScoreLogger(logger.ids, logger.labels, 4)
    for stack in (theta, diverged, theta):  # lost for good, even if it were to come back
        logger.watch(model, stack, x)
        alone.watch(model, stack[others], x)
    found, expected = logger.scores(), alone.scores()
    for name, values in found.items():
        assert values[3].isnan().all(), name
        assert torch.equal(values[others], expected[name]), name


def test_networks_that_cannot_be_watched_leave_nothing_behind(watched):
    model, theta, x, logger = watched
    logger.watch(model, theta, x)
    before = logger.state_dict()
    with pytest.raises(ValueError, match="5 networks on 69 inputs, expected 5 and 70"):
        logger.watch(model, theta, x[1:])
    with pytest.raises(ValueError, match="4 networks on 70 inputs, expected 5 and 70"):
        logger.watch(model, theta[1:], x)
    with pytest.raises(ValueError, match="logits of 2 classes for labels up to 2"):
        logger.watch(models.build("mlp-1x8", (1, 6), 2), theta, x)
    same_state(logger.state_dict(), before)


# --- saved and loaded ------------------------------------------------------------------------------------------------


def minibatches(epochs=3):
    """Looks of 12 examples, four in a minibatch: ids, logits and features of two networks, labels."""
    for epoch in range(epochs):
        order = torch.randperm(12, generator=generator("order", epoch))
        for batch, some in enumerate(order.split(4)):
            z, h = (random(2, 4, n, name=f"{epoch}/{batch}").float() for n in (3, 5))
            yield some + 7, z, some % 3, h


@pytest.mark.parametrize("with_features", [False, True])
@pytest.mark.parametrize("killed", [0, 1, 4, 8])
def test_killed_and_resumed_is_never_killed_to_the_last_bit(tmp_path, killed, with_features):
    def fresh():
        return ScoreLogger(torch.arange(12) + 7, torch.arange(12) % 3, 2)

    through, first, second = fresh(), fresh(), fresh()
    for k, (ids, z, y, h) in enumerate(minibatches()):
        if k == killed:
            torch.save(first.state_dict(), tmp_path / "state.pt")
            second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        through.log(ids, z, y, h if with_features else None)
        (first if k < killed else second).log(ids, z, y, h if with_features else None)
    same_state(second.state_dict(), through.state_dict())
    pd.testing.assert_frame_equal(second.table(), through.table(), check_exact=True)
    assert ("prototype" in through.table()) == with_features


def test_a_saved_state_is_a_copy_on_both_ways():
    logger, other = ScoreLogger([1, 2], [0, 1]), ScoreLogger([1, 2], [0, 1])
    logger.log([1, 2], random(2, 2), [0, 1])
    saved = logger.state_dict()
    other.load_state_dict(saved)
    logger.log([1, 2], random(2, 2, name="more"), [0, 1])
    assert other.table()["looks"].tolist() == [1, 1]
    other.log([1, 2], random(2, 2, name="more"), [0, 1])
    assert saved["looks"].tolist() == [[1, 1]]
    same_state(other.state_dict(), logger.state_dict())


@pytest.mark.parametrize(
    ("ids", "labels", "networks", "changed", "message"),
    [
        ([1, 2, 3], [0, 1, 1], 1, {}, "this state has key"),
        ([1, 2, 4], [0, 1, 0], 1, {}, "this state has key"),
        ([2, 1, 3], [1, 0, 0], 1, {}, "this state has key"),
        ([1, 2, 3], [0, 1, 0], 2, {}, "this state has networks 1, the logger 2"),
        ([1, 2, 3], [0, 1, 0], 1, {"version": 0}, "this state has version 0, the logger 3"),
        ([1, 2, 3], [0, 1, 0], 1, {"version": None}, "this state has version None"),
    ],
)
def test_the_state_of_other_examples_is_refused(ids, labels, networks, changed, message):
    logger = ScoreLogger([1, 2, 3], [0, 1, 0])
    logger.log([1, 2, 3], random(3, 2), [0, 1, 0])
    other = ScoreLogger(ids, labels, networks)
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(logger.state_dict() | changed)
    with pytest.raises(ValueError, match="nothing was logged yet"):
        other.table()


def test_the_state_does_not_grow_with_looks():
    logger, sizes = ScoreLogger(range(6), [0, 1] * 3, 2), {}
    for look in range(1, 21):
        logger.log(range(6), random(2, 6, 2, name=f"{look}"), [0, 1] * 3, random(2, 6, 4))
        sizes[look] = sum(value.numel() for value in logger.state_dict().values() if torch.is_tensor(value))
    assert sizes[2] == sizes[20]


# --- what is refused -------------------------------------------------------------------------------------------------

GOOD = {"ids": [10, 20], "logits": torch.tensor([[1.0, 0, 0], [0, 1, 0]]), "labels": [0, 1], "features": None}
FAULTS = [
    ({"logits": torch.tensor([[1.0, 0, math.nan], [0, 1, 0]])}, "logits are not finite: a network diverged"),
    ({"logits": torch.tensor([[1.0, 0, 0], [0, math.inf, 0]])}, "logits are not finite"),
    ({"logits": torch.tensor([[-math.inf, 0, 0], [0, math.inf, 0]])}, "logits are not finite"),
    ({"logits": torch.zeros(3, 3)}, r"logits have shape \(3, 3\), expected \(2, \.\.\.\) of floats"),
    ({"logits": torch.zeros(3)}, r"logits have shape \(3,\)"),
    ({"logits": torch.zeros(2, 2, 3)}, r"logits have shape \(2, 2, 3\)"),
    ({"logits": torch.zeros(1, 1, 2, 3)}, r"logits have shape \(1, 1, 2, 3\)"),
    ({"logits": torch.zeros(2, 3).long()}, "of floats"),
    ({"logits": torch.zeros(2, 2)}, "logits of 2 classes for labels up to 2"),
    ({"logits": torch.tensor([[-math.inf, 0, 0], [0, 1, 0]])}, "none may be the label's"),
    ({"logits": torch.tensor([[0, -math.inf, -math.inf], [0, 1, 0]])}, "two must be left"),
    ({"ids": [10, 21]}, r"unknown ids \[21\]: the logger was made without them"),
    ({"ids": [-5, 99]}, r"unknown ids \[-5, 99\]"),
    ({"ids": [[10], [20]]}, r"ids must be one row of whole numbers or strings, not \(2, 1\)"),
    ({"ids": [10.0, 20.0]}, "ids must be one row of whole numbers"),
    ({"ids": ["10", "20"]}, r"unknown ids \['10', '20'\]"),
    ({"ids": [10]}, "these labels are not those that the logger was made with"),
    ({"labels": [0, 2]}, "were examples relabelled"),
    ({"labels": [1, 0]}, "were examples relabelled"),
    ({"labels": [0.0, 1.0]}, "labels must be one row of whole numbers, not .* of float64"),
    ({"features": torch.full((2, 4), math.nan)}, "features are not finite"),
    ({"features": torch.zeros(3, 4)}, r"features have shape \(3, 4\)"),
    ({"features": torch.zeros(2)}, r"features have shape \(2,\)"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS)
@pytest.mark.parametrize("looks", [0, 1])
def test_faulty_looks_are_named_and_not_logged(fault, message, looks):
    logger = ScoreLogger([10, 20, 30], [0, 1, 2])
    for _ in range(looks):
        logger.log(**GOOD)
    before = logger.state_dict()
    with pytest.raises(ValueError, match=message):
        logger.log(**GOOD | fault)
    same_state(logger.state_dict(), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_probabilities_are_refused_and_their_logarithms_are_not(dtype):
    z, y = random(50, 10), torch.arange(50) % 10
    logger, expected = ScoreLogger(range(50), y), ScoreLogger(range(50), y)
    with pytest.raises(ValueError, match="these logits are probabilities"):
        logger.log(range(50), z.to(dtype).softmax(1), y)
    assert logger.state_dict().keys() == ScoreLogger(range(50), y).state_dict().keys()
    logger.log(range(50), z.softmax(1).log(), y)
    expected.log(range(50), z, y)
    for name, values in expected.scores(["loss.mean", "el2n.last", "entropy.mean"]).items():
        torch.testing.assert_close(logger.scores()[name], values)


def test_a_number_of_classes_that_changes_is_refused_and_not_logged():
    logger, other = ScoreLogger([10, 20, 30], [0, 1, 2]), ScoreLogger([10, 20, 30], [0, 1, 2])
    logger.log(**GOOD)
    other.log([30], torch.zeros(1, 5), [2])
    before = logger.state_dict()
    with pytest.raises(ValueError, match="logits of 4 classes, so far 3"):
        logger.log(**GOOD | {"logits": torch.zeros(2, 4)})
    with pytest.raises(ValueError, match="logits of 5 classes, so far 3"):
        logger.merge(other.state_dict())
    with pytest.raises(ValueError, match="logits of 4 classes, so far 3"):
        logger.watch(models.build("mlp-1x8", (1, 6), 4), torch.zeros(1, 112), torch.zeros(3, 1, 6))
    same_state(logger.state_dict(), before)
    again = ScoreLogger([10, 20, 30], [0, 1, 2])
    again.load_state_dict(before)
    with pytest.raises(ValueError, match="so far 3"):
        again.log(**GOOD | {"logits": torch.zeros(2, 4)})


def test_features_of_another_width_are_refused_and_not_logged():
    logger = ScoreLogger([10, 20, 30], [0, 1, 2])
    logger.log(**GOOD | {"features": torch.zeros(2, 4)})
    before = logger.state_dict()
    with pytest.raises(ValueError, match="features"):
        logger.log(**GOOD | {"features": torch.zeros(2, 5)})
    same_state(logger.state_dict(), before)


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (3, 2, 3), (2, 4, 3), (2, 2)])
def test_the_logits_of_a_stack_must_name_its_networks(shape):
    logger = ScoreLogger([10, 20, 30], [0, 1, 2], networks=2)
    with pytest.raises(ValueError, match=r"expected \(2, 2, \.\.\.\) of floats"):
        logger.log([10, 20], torch.zeros(shape), [0, 1])


@pytest.mark.parametrize(
    ("ids", "labels", "networks", "message"),
    [
        ([1, 2, 1], [0, 1, 0], 1, "the ids are not different"),
        ([1, 2, 3], [0, 1], 1, "3 ids and 2 labels"),
        ([1, 2], [0, -1], 1, "labels must be 0, 1, ..."),
        ([1, 2], [0.5, 1.0], 1, "labels must be one row of whole numbers"),
        ([[1, 2]], [0, 1], 1, "ids must be one row of whole numbers"),
        (torch.arange(0), torch.arange(0), 1, "one or more examples and networks"),
        ([1, 2], [0, 1], 0, "one or more examples and networks"),
    ],
)
def test_faulty_examples_are_refused_at_once(ids, labels, networks, message):
    with pytest.raises(ValueError, match=message):
        ScoreLogger(ids, labels, networks)


def test_before_the_first_look_there_are_no_scores():
    for found in (ScoreLogger([1], [0]).scores, ScoreLogger([1], [0]).table):
        with pytest.raises(ValueError, match="nothing was logged yet"):
            found()


def test_examples_never_looked_at_have_no_scores():
    logger = ScoreLogger([10, 20, 30], [0, 1, 2], networks=2)
    logger.log([30, 10], random(2, 2, 3), [2, 0])
    table = logger.table()
    assert table["looks"].tolist() == [1, 0, 1] * 2
    assert table[list(LOGGED)].isna().all(axis=1).tolist() == [False, True, False] * 2
    assert table.loc[:, list(LOGGED)].drop(index=20, level="id").notna().all(axis=None)


def test_examples_without_features_do_not_spoil_the_prototypes_of_others():
    logger, whole = ScoreLogger([1, 2, 3, 4], [0, 0, 1, 1]), ScoreLogger([1, 2, 3], [0, 0, 1])
    h = torch.tensor([[0.0, 1], [0, 3], [5, 5]])
    for one in (logger, whole):
        one.log([1, 2, 3], random(3, 2).float(), [0, 0, 1], h)
    table = logger.table()
    assert table.loc[4, ["prototype", "prototype.self"]].isna().all()
    assert table["prototype"].tolist()[:3] == [1, 1, 0]
    pd.testing.assert_frame_equal(table.loc[[1, 2, 3]], whole.table())
    logger.log([4], random(1, 2).float(), [1])  # looked at, but not its features
    assert logger.table()["prototype"].tolist()[:3] == [1, 1, 0]
    assert logger.table().loc[4, ["prototype", "prototype.self"]].isna().all()


# --- what is accepted ------------------------------------------------------------------------------------------------


def test_precisions_may_mix():
    """What is logged first says in which precision means are kept."""
    y, orders = torch.arange(40) % 3, [(torch.float32, torch.float64), (torch.float64, torch.bfloat16, torch.float32)]
    for kinds in orders:
        mixed, exact = ScoreLogger(range(40), y), ScoreLogger(range(40), y)
        for look, kind in enumerate(kinds):
            z, h = (random(40, n, name=f"{look}").to(kind) for n in (3, 6))
            mixed.log(range(40), z, y, h)
            exact.log(range(40), z.double(), y, h.double())
        assert mixed.state_dict()["mean"].dtype == mixed.state_dict()["features"].dtype == kinds[0]
        pd.testing.assert_frame_equal(mixed.table(), exact.table(), rtol=1e-5, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("first", [True, False])
def test_looks_inside_and_outside_of_inference_mode_may_mix(first, watched):
    model, theta, x, watching = watched
    logger, plain = ScoreLogger(range(4), [0, 1, 0, 1]), ScoreLogger(range(4), [0, 1, 0, 1])
    for look in range(3):
        z, h = random(4, 2, name=f"{look}"), random(4, 3, name=f"{look}")
        plain.log(range(4), z, [0, 1, 0, 1], h)
        with torch.inference_mode((look % 2 == 0) == first):
            logger.log(range(4), z + 0, [0, 1, 0, 1], h + 0)
            watching.watch(model, theta + 0, x + 0)
    same_state(logger.state_dict(), plain.state_dict())
    assert (watching.table()["looks"] == 3).all()
    loaded, merged = ScoreLogger(range(4), [0, 1, 0, 1]), ScoreLogger(range(4), [0, 1, 0, 1])
    with torch.inference_mode():
        loaded.load_state_dict(logger.state_dict())
        merged.merge(logger.state_dict())
    for again in (loaded, merged, plain):
        again.log(range(4), z, [0, 1, 0, 1], h)
    for again in (loaded, merged):
        same_state(again.state_dict(), plain.state_dict())


def test_an_example_that_stands_twice_in_a_batch_is_looked_at_twice():
    """As a sampler with replacement gives them: as if each had come in a batch of its own."""
    draw, y = np.random.default_rng(0), torch.arange(35) % 3
    together, alone = ScoreLogger(range(35), y, 2), ScoreLogger(range(35), y, 2)
    for look in range(6):
        some = torch.from_numpy(draw.choice(35, 90, p=np.arange(35) / 595))
        z, h = random(2, 90, 3, name=f"{look}"), random(2, 90, 4, name=f"{look}")
        together.log(some, z, y[some], h)
        for place, example in enumerate(some):
            alone.log(example[None], z[:, [place]], y[example, None], h[:, [place]])
    assert together.table()["looks"].max() > 12
    assert together.table()["looks"].sum() == 2 * 6 * 90
    same_state(together.state_dict(), alone.state_dict())


def test_ids_may_be_strings_and_columns_of_a_table():
    names = ["cat/7.png", "dog/1.png", "cat/2.png", "7"]
    frame = pd.DataFrame({"id": names, "label": [0, 1, 0, 1]}, index=[9, 8, 7, 6])
    frame = frame.assign(number=[7, 1, 2, 70])
    z = random(4, 2)
    strings = ScoreLogger(frame["id"], frame["label"])
    numbers = ScoreLogger(frame["number"], frame["label"])
    for some in ([2, 0], [1, 3]):
        part = frame.iloc[some]
        strings.log(part["id"], z[some], part["label"])
        strings.log(tuple(part["id"]), pd.DataFrame(z[some].numpy()), part["label"].tolist())
        for _ in range(2):
            numbers.log(part["number"], z[some], part["label"])
    table = strings.table()
    assert table.index.tolist() == names
    assert table.index.name == "id"
    pd.testing.assert_frame_equal(table.reset_index(drop=True), numbers.table().reset_index(drop=True))
    with pytest.raises(ValueError, match=r"unknown ids \['cow'\]"):
        strings.log(["7", "cow"], z[:2], [1, 1])
    with pytest.raises(ValueError, match=r"unknown ids \[7\]"):
        strings.log([7], z[:1], [1])
    with pytest.raises(ValueError, match="ids must be one row of whole numbers or strings"):
        ScoreLogger(["a", None], [0, 1])
    other = ScoreLogger([7, 1], [0, 1])
    with pytest.raises(ValueError, match="this state has key"):
        other.load_state_dict(ScoreLogger(["7", "1"], [0, 1]).state_dict())


def test_masked_classes_count_for_nothing():
    """As if the network had no such classes: with the others in a logger that does not know of them."""
    y, left = torch.arange(30) % 3, [0, 2, 5]
    z = random(30, 3)
    masked = torch.full((30, 6), -math.inf, dtype=torch.float64)
    masked[:, left] = z
    some, every = ScoreLogger(range(30), torch.tensor(left)[y]), ScoreLogger(range(30), y)
    for _ in range(2):
        some.log(range(30), masked, torch.tensor(left)[y])
        every.log(range(30), z, y)
    expected = every.table().drop(columns="label")
    assert expected.notna().all(axis=None)
    pd.testing.assert_frame_equal(some.table().drop(columns="label"), expected, rtol=1e-12)


def test_mean_accuracies_are_shares_of_looks_to_the_last_bit():
    """As running means, equal shares of right answers would differ by the order of the answers."""
    draw, logger = np.random.default_rng(0), ScoreLogger(range(400), [0] * 400)
    right = torch.from_numpy(draw.integers(0, 2, (10, 400)))
    for look in right:
        logger.log(range(400), torch.tensor([WRONG, RIGHT])[look], [0] * 400)
    found = logger.scores()["accuracy.mean"][0]
    assert torch.equal(found, right.sum(0) / 10)
    assert found.unique().numel() <= 11


def split_looks(draw, batches):
    """A logger that saw all batches, and one that a later one was merged into; ids, labels and two networks."""
    y = np.arange(40) % 3
    whole, first, second = (ScoreLogger(range(40), y, 2) for _ in range(3))
    cut = draw.integers(0, batches + 1)
    for k in range(batches):
        some = draw.permutation(40)[: draw.integers(1, 41)]
        z, h = (torch.from_numpy(draw.normal(0, 2, (2, len(some), n))) for n in (3, 5))
        for logger in (whole, first if k < cut else second):
            logger.log(some, z, y[some], h if k % 2 else None)
    return whole, first, second


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), batches=st.integers(1, 9))
def test_merged_is_logged_one_after_the_other(seed, batches):
    """Wherever the looks are cut in two; examples have different numbers of looks on either side, or none."""
    whole, first, second = split_looks(np.random.default_rng(seed), batches)
    before = second.state_dict()
    first.merge(before)
    same_state(second.state_dict(), before)
    counts = ("looks", "correct", "forgotten", "first", "since", "last")
    merged, expected = first.state_dict(), whole.state_dict()
    same_state({name: merged[name] for name in counts}, {name: expected[name] for name in counts})
    pd.testing.assert_frame_equal(first.table(), whole.table(), rtol=1e-9, atol=1e-9)


def test_processes_that_share_out_every_epoch_are_merged_epoch_by_epoch():
    y, whole, merged = torch.arange(12) % 2, ScoreLogger(range(12), torch.arange(12) % 2), None
    merged = ScoreLogger(range(12), y)
    for epoch in range(5):
        z = random(12, 2, name=f"{epoch}").float()
        whole.log(range(12), z, y)
        for part in torch.randperm(12, generator=generator("part", epoch)).split(5):
            process = ScoreLogger(range(12), y)
            process.log(part, z[part], y[part])
            merged.merge(process.state_dict())
    same_state(merged.state_dict(), whole.state_dict())


def test_a_state_that_does_not_fit_is_not_merged(watched):
    model, theta, x, logger = watched
    logger.watch(model, theta, x)
    before = logger.state_dict()
    for state in (ScoreLogger([1], [0]).state_dict(), before | {"version": 2}, before | {"networks": 4}):
        with pytest.raises(ValueError, match="they do not match"):
            logger.merge(state)
    one, other = (ScoreLogger([1, 2], [0, 1]) for _ in range(2))
    for some, width in ((one, 3), (other, 4)):
        some.log([1, 2], random(2, 2), [0, 1], random(2, width))
    held = one.state_dict()
    with pytest.raises(ValueError, match="4 features an example, so far 3"):
        one.merge(other.state_dict())
    same_state(one.state_dict(), held)
    nothing = ScoreLogger(logger.ids, logger.labels, 5)
    logger.merge(nothing.state_dict())
    same_state(logger.state_dict(), before)
    nothing.merge(before)
    same_state(nothing.state_dict(), before)


def test_a_network_that_was_lost_in_one_logger_is_lost_when_they_are_merged(watched):
    model, theta, x, logger = watched
    other = ScoreLogger(logger.ids, logger.labels, 5)
    logger.watch(model, theta, x)
    theta[2, 0] = torch.nan
    other.watch(model, theta, x)
    logger.merge(other.state_dict())
    assert logger.scores(["loss.mean"])["loss.mean"].isnan().all(1).tolist() == [False, False, True, False, False]


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_memory_is_88_bytes_an_example_and_network_whatever_is_logged_or_read(monkeypatch):
    monkeypatch.setattr(score, "_NUMBERS", 1000)
    y = torch.arange(5000) % 3
    logger, z = ScoreLogger(range(5000), y, 4), random(4, 5000, 3).float()
    logger.log(range(5000), z, y)
    state = [value for value in logger.state_dict().values() if torch.is_tensor(value)]
    assert sum(value.nbytes for value in state) == 88 * 4 * 5000 + 4
    with Largest() as largest:
        logger.log(range(5000), z, y)
    assert largest.bytes <= 5000 * 8  # an index of the examples, not a copy of what is kept
    found = logger.scores(["loss.mean", "el2n.last"])
    assert list(found) == ["loss.mean", "el2n.last"]
    for name, values in logger.scores().items():
        assert name not in found or torch.equal(values, found[name])
    with pytest.raises(ValueError, match=r"no such scores here: el2n\.early, prototype; there are accuracy\.mean, "):
        logger.scores(["prototype", "el2n.early", "loss.mean"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_are_scored_in_single_precision(dtype):
    z, y = (3 * random(6, 4)).to(dtype), torch.arange(6) % 4
    short, single = ScoreLogger(range(6), y), ScoreLogger(range(6), y)
    for _ in range(3):
        short.log(range(6), z, y, z)
        single.log(range(6), z.float(), y, z.float())
    assert short.state_dict()["mean"].dtype == torch.float32
    same_state(short.state_dict(), single.state_dict())


def test_arrays_lists_and_tensors_are_the_same():
    z, y = random(4, 3).numpy(), np.array([0, 1, 2, 0])
    loggers = [ScoreLogger(np.arange(4), y), ScoreLogger(list(range(4)), y.tolist()), ScoreLogger(range(4), y)]
    loggers[0].log(np.arange(4, dtype=np.int32), z, y.astype(np.uint8))
    loggers[1].log([0, 1, 2, 3], z, y.tolist())
    loggers[2].log(torch.arange(4), torch.from_numpy(z).requires_grad_(), torch.from_numpy(y))
    for logger in loggers[1:]:
        same_state(logger.state_dict(), loggers[0].state_dict())


def test_a_look_leaves_what_it_is_given_alone():
    z, y, h = random(4, 3), torch.tensor([0, 1, 2, 0]), random(4, 5)
    copies = [given.clone() for given in (z, y, h)]
    logger = ScoreLogger(range(4), y)
    for _ in range(2):
        logger.log(range(4), z, y, h)
    assert all(torch.equal(*pair) for pair in zip((z, y, h), copies, strict=True))
    h.zero_()
    torch.testing.assert_close(logger.scores()["prototype"][0], score.prototype_distance(copies[2], y))


def test_the_table_has_the_ids_in_the_order_given():
    ids, y = [42, -7, 10**12, 0], [1, 0, 1, 1]
    logger = ScoreLogger(ids, y)
    gaps = torch.tensor([0.0, 1, 2, 3])
    z = torch.stack([torch.zeros(4), gaps], 1)
    logger.log([0, 42, 10**12, -7], z[[3, 0, 2, 1]], [1, 1, 1, 0])
    table = logger.table()
    assert table.index.tolist() == ids
    assert table.index.name == "id"
    assert table["label"].tolist() == y
    assert table["margin.logit.last"].tolist() == [0, -1, 2, 3]
    assert table.columns.tolist() == ["label", "looks", *LOGGED]


def test_the_table_of_a_stack_has_a_row_for_every_network_and_example():
    logger = ScoreLogger([5, 3], [1, 0], networks=3)
    logger.log([3, 5], torch.arange(12.0).view(3, 2, 2).square(), [0, 1])
    table = logger.table()
    assert table.index.names == ["network", "id"]
    assert table.index.tolist() == [(0, 5), (0, 3), (1, 5), (1, 3), (2, 5), (2, 3)]
    assert table["label"].tolist() == [1, 0] * 3
    # 3^2 - 2^2 and 0^2 - 1^2, 7^2 - 6^2 and 4^2 - 5^2, 11^2 - 10^2 and 8^2 - 9^2.
    assert table["margin.logit.last"].tolist() == [5, -1, 13, -9, 21, -17]


# --- registry --------------------------------------------------------------------------------------------------------


def test_every_score_is_defined_once():
    assert all(name == found.name for name, found in SCORES.items())
    assert set(LOGGED) < set(SCORES)
    assert len(set(LOGGED)) == len(LOGGED)
    assert len({(found.formula, found.clock) for found in SCORES.values()}) == len(SCORES)
    assert {found.harder for found in SCORES.values()} == {"high", "low"}
    assert all(all(vars(found).values()) for found in SCORES.values())
    table = score.catalogue()
    assert table["name"].tolist() == list(SCORES)
    assert table.columns.tolist() == ["name", "formula", "harder", "clock", "ties", "paper"]


@pytest.mark.parametrize("name", [name for name in LOGGED if name != "confidence.sd"])
def test_the_always_wrong_is_never_easier_than_the_always_right(name):
    logger = ScoreLogger([0, 1, 2], [0, 0, 0])
    for _ in range(4):
        logger.log([0, 1, 2], torch.tensor([[9.0, 0, 0], [1.1, 1.0, 0], [0, 1.1, 1.0]]), [0, 0, 0])
    right, _, wrong = difficulty(name, logger.table()[name])
    tied = name == "forgetting"  # the never learned tie with the easiest: its known flaw
    assert wrong == right if tied else wrong > right


def test_whoever_is_sometimes_forgotten_is_harder_than_the_always_right():
    logger = ScoreLogger([0, 1], [0, 0])
    for turn in (RIGHT, WRONG, RIGHT, WRONG):
        logger.log([0, 1], torch.tensor([RIGHT, turn]), [0, 0])
    table = logger.table()
    names = {"forgetting", "forgetting.capped", "iteration_learned", "correctness", "confidence.sd", "accuracy.mean"}
    assert {n for n in names if np.diff(difficulty(n, table[n]))[0] > 0} == names


def test_difficulty_has_one_sign_for_all_kinds_of_values():
    for values in (np.array([1.0, 2]), torch.tensor([1.0, 2]), pd.Series([1.0, 2])):
        assert list(difficulty("loss.mean", values)) == [1, 2]
        assert list(difficulty("c_score", values)) == [-1, -2]
    harder = {name: SCORES[name].harder for name in ("grand", "vog.loss.sd", "prediction_depth.label", "prototype")}
    assert set(harder.values()) == {"high"}
    low = ("agreement", "robustness.input", "robustness.weights", "margin.logit.mean", "correctness")
    assert all(SCORES[name].harder == "low" for name in low)
    assert SCORES["memorization"].harder == "high"
    with pytest.raises(ValueError, match=r"unknown score 'el2n'; known: accuracy\.mean, "):
        difficulty("el2n", np.zeros(3))


# --- from features ---------------------------------------------------------------------------------------------------


def test_distances_from_class_means_by_hand():
    h = torch.tensor([[0.0, 0], [0, 2], [10, 0], [14, 0], [-3, 1]])
    assert score.prototype_distance(h, torch.tensor([0, 0, 1, 1, 3])).tolist() == [1, 1, 2, 2, 0]  # nobody in class 2
    h = torch.tensor([[3.0, 0], [0, 4], [0, 0]])
    found = score.prototype_distance(h, torch.zeros(3, dtype=torch.long))
    assert found.tolist() == pytest.approx([math.hypot(2, 4 / 3), math.hypot(1, 8 / 3), math.hypot(1, 4 / 3)])


def test_prototypes_of_normal_numbers_are_as_far_as_their_dimension_says():
    h = random(4000, 50)
    assert math.sqrt(50) - 0.1 < score.prototype_distance(h, torch.arange(4000) % 2).mean() < math.sqrt(50)


def test_where_classes_are_clusters_labels_make_no_difference():
    y = torch.arange(60) % 3
    h = 100 * torch.eye(3, 5, dtype=torch.float64)[y] + random(60, 5)
    own, alone = score.prototype_distance(h, y), score.self_prototype_distance(h, clusters=3)
    assert alone.dtype == h.dtype
    torch.testing.assert_close(alone, own, rtol=1e-6, atol=1e-9)
    assert (score.self_prototype_distance(h, clusters=1) > 10).all()


def test_no_more_examples_than_centroids_have_no_distance_from_them():
    """Each would be its own centroid, and rounding alone would rank them."""
    h = random(31, 5)
    for count, cluster in ((12, 30), (30, 30), (3, 3)):
        assert score.self_prototype_distance(h[:count], cluster).isnan().all()
    assert score.self_prototype_distance(h, clusters=30).isfinite().all()
    logger = ScoreLogger(range(31), [0] * 31)
    for some in (range(20), range(20, 31)):
        logger.log(some, random(len(some), 2), [0] * len(some), h[some])
        assert logger.scores()["prototype"][0, some].isfinite().all()
        assert logger.table()["prototype.self"].notna().all() == (some[-1] == 30)


def test_clusters_are_thirty_by_default_and_the_same_every_time():
    h = random(90, 4)
    before = np.random.get_state()[1].copy()
    found = score.self_prototype_distance(h)
    assert (np.random.get_state()[1] == before).all()
    assert torch.equal(found, score.self_prototype_distance(h))
    torch.testing.assert_close(found, score.self_prototype_distance(h, clusters=30))
    assert (found > 1e-6).sum() >= 90 - 30


def test_prototypes_belong_to_the_last_features_of_each_network():
    y = torch.arange(40) % 2
    logger = ScoreLogger(range(40), y, networks=2)
    last = random(2, 40, 5, name="last")
    for h in (random(2, 40, 5), last):
        logger.log(range(40), random(2, 40, 2), y, h)
    logger.log([1, 4], random(2, 2, 2), [1, 0])  # without features: those stay
    found = logger.scores()
    for row in range(2):
        torch.testing.assert_close(found["prototype"][row], score.prototype_distance(last[row], y))
        torch.testing.assert_close(found["prototype.self"][row], score.self_prototype_distance(last[row]))


# --- from many networks ----------------------------------------------------------------------------------------------

RIGHTS = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1]], dtype=bool)
TRAINED = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=bool)


def test_the_held_out_networks_decide_the_c_score():
    np.testing.assert_array_equal(c_score(RIGHTS, TRAINED), [1 / 2, 1 / 2, 0, np.nan])
    np.testing.assert_array_equal(c_score(RIGHTS.astype(float), TRAINED), [1 / 2, 1 / 2, 0, np.nan])


def test_memorization_is_what_training_on_an_example_gains():
    np.testing.assert_array_equal(memorization(RIGHTS, TRAINED), [1 - 1 / 2, 1 / 2 - 1 / 2, 1 - 0, np.nan])
    assert np.isnan(memorization(RIGHTS, ~TRAINED)[3])


def test_networks_agree_wholly_or_not_at_all():
    sure = 500 * torch.eye(2)
    assert agreement(torch.stack([sure, sure, sure])).tolist() == [1, 1]
    assert agreement(torch.stack([sure, sure.flip(0)])).tolist() == [0, 0]
    # Of three pairs two disagree.
    assert agreement(torch.stack([sure, sure, sure.flip(0)])).tolist() == pytest.approx([1 / 3, 1 / 3])
    with pytest.raises(ValueError, match="two or more networks"):
        agreement(sure[None])


def test_agreement_is_one_minus_the_divergence_of_pairs():
    z = random(4, 6, 3)
    p = z.softmax(-1).numpy()
    pairs = [(a, b) for a in range(4) for b in range(a)]
    for place, found in enumerate(agreement(z.float())):
        each = [jensenshannon(p[a, place], p[b, place], base=2) ** 2 for a, b in pairs]
        assert found.item() == pytest.approx(1 - np.mean(each), rel=1e-5)


# --- the example of the README ---------------------------------------------------------------------------------------


def test_the_example_of_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)
    (block,) = (text for text in blocks if "ScoreLogger" in text)
    names = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(block, str(README), "exec"), names)
    table = names["logger"].table()
    assert isinstance(names["net"], torch.nn.Module)
    assert table["looks"].nunique() == 1
    assert table["looks"].iloc[0] > 1
    assert table.notna().all(axis=None)
    printed = capsys.readouterr().out
    assert str(difficulty("el2n.mean", table["el2n.mean"]).idxmax()) in printed
