"""Recurrent cells with noise, against torch.nn and against loops written by hand; and the sequences they read."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from butterfly import data, models
from butterfly.data import letters
from butterfly.models import keep
from butterfly.perturb import Kick
from butterfly.streams import generator
from butterfly.train import Fork, Recipe, train
from tests.conftest import make_task

SHAPES = [(2, 5), (1, 4, 3), (3, 4, 2)]  # numbers and places, and images with channels
RECIPE = Recipe(steps=5, batch_size=32, lr=0.1, schedule="constant", warmup=0.0)


def moved(name, shape, members=3):
    """Networks with every entry moved off its start, and inputs `[M, B, ...]` of their own."""
    model = models.build(name, shape, 4)
    theta = model.init(list(range(members))).double()
    theta[:, : model.layout.count] += 0.3 * torch.randn(members, model.layout.count, generator=generator("t"))
    return model, theta, torch.randn(members, 7, *shape, generator=generator("x"), dtype=torch.float64)


def rows_of(x):
    """Inputs `[B, steps, numbers]`: rows of images with the channels side by side, or places."""
    return x.permute(0, 2, 1, 3).flatten(2) if x.dim() == 4 else x.mT


def torch_cell(kind, p, gates):
    """The cell of torch with these parameters, its gates in torch's order; the second bias is 0."""
    width = len(p["state.weight"])
    cell = kind(p["input.weight"].shape[0], width, batch_first=True, dtype=torch.float64)
    order = torch.cat([torch.arange(g * width, (g + 1) * width) for g in gates])
    given = {"weight_ih": p["input.weight"].T, "weight_hh": p["state.weight"].T, "bias_ih": p["input.bias"]}
    given["bias_hh"] = torch.zeros_like(p["input.bias"])
    return cell, {f"{name}_l0": tensor[order] for name, tensor in given.items()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "kind", "gates"), [("lstm-6", torch.nn.LSTM, (0, 1, 3, 2)),
                                                     ("gated-6", torch.nn.GRU, (0, 1, 2))])  # fmt: skip
def test_cells_are_those_of_torch(shape, name, kind, gates):
    model, theta, x = moved(name, shape)
    every = models.build(f"{name}-every", shape, 4)
    for row, own in zip(theta, x, strict=True):
        p = {key: view[0] for key, view in model.layout.tensors(row[None]).items()}
        cell, given = torch_cell(kind, p, gates)
        states, _ = torch.func.functional_call(cell, given, rows_of(own))
        expected = states @ p["head.weight"] + p["head.bias"]
        torch.testing.assert_close(model.logits(row[None], own)[0], expected[:, -1])
        torch.testing.assert_close(every.logits(row[None], own)[0], expected)


def test_the_gated_cell_is_the_gru_of_the_library():
    ours, theta, x = moved("gated-6", (1, 4, 3))
    theirs = models.build("gru-6", (1, 4, 3), 4)
    torch.testing.assert_close(ours.logits(theta, x[0]), theirs.logits(theta, x[0]))


def by_hand(p, x, norm=False, new_mask=None, held=None, zoneout=0.0):
    """One LSTM, unit for unit, on `x [B, T, I]`: hidden states after every step."""
    width = len(p["state.weight"])
    h = c = torch.zeros(len(x), width, dtype=x.dtype)
    states = []
    for t in range(x.shape[1]):
        gates = x[:, t] @ p["input.weight"] + h @ p["state.weight"] + p["input.bias"]
        if norm:
            gates = F.layer_norm(gates, gates.shape[1:], p["gates.gain"], p["gates.bias"], eps=1e-14)
        i, f, o, g = gates.split(width, 1)
        g = g.tanh() if new_mask is None else g.tanh() * new_mask[:, t]
        c_new = f.sigmoid() * c + i.sigmoid() * g
        shown = F.layer_norm(c_new, c_new.shape[1:], p["cells.gain"], p["cells.bias"], eps=1e-14) if norm else c_new
        h_new = o.sigmoid() * shown.tanh()
        if held is not None:
            h, c = torch.where(held[:, t, :width], h, h_new), torch.where(held[:, t, width:], c, c_new)
        else:
            h, c = zoneout * h + (1 - zoneout) * h_new, zoneout * c + (1 - zoneout) * c_new
        states.append(h)
    return torch.stack(states, 1)


def mask_of(shape, rate):
    return (torch.rand(shape, generator=generator("mask")) >= rate).double() / (1 - rate)


@pytest.mark.parametrize("norm", ["", "-norm"])
@pytest.mark.parametrize("noise", ["", "-recurrent", "-zoneout20"])
@pytest.mark.parametrize("noisy", [False, True])
def test_noise_goes_where_it_is_said_to_go(norm, noise, noisy):
    model, theta, x = moved(f"lstm-6{norm}{noise}-every", (2, 5))
    width = {"": 6, "-recurrent": 6, "-zoneout20": 12}[noise]
    mask = mask_of((7, 5, width), 0.2)
    shapes = []

    def drop(h):
        shapes.append(tuple(h.shape))
        return h * mask

    ours = model.forward(model.layout.tensors(theta), x, drop if noisy else keep)
    assert shapes == ([(3, 7, 5, width)] if noisy else [])
    for row, own, found in zip(theta, x, ours, strict=True):
        p = {key: view[0] for key, view in model.layout.tensors(row[None]).items()}
        how = {"zoneout": 0.2} if noise == "-zoneout20" else {}
        if noisy and noise:
            how = {"new_mask": mask} if noise == "-recurrent" else {"held": mask == 0}
        states = by_hand(p, rows_of(own), bool(norm), **how)
        seen = states * mask if noisy and not noise else states
        torch.testing.assert_close(found, seen @ p["head.weight"] + p["head.bias"], rtol=1e-5, atol=1e-6)


def test_noise_of_another_rate_is_refused():
    model = models.build("lstm-6-zoneout20", (1, 12), 3)
    task = make_task((1, 12))
    with pytest.raises(ValueError, match=r"zoneout of 20 % needs a recipe with dropout = 0\.2, or none"):
        train(model, task, RECIPE.changed(dropout=0.5), [0])
    train(model, task, RECIPE.changed(dropout=0.2), [0])
    train(model, task, RECIPE, [0])


@pytest.mark.parametrize("name", ["lstm-6-zoneout20", "gated-6-zoneout20", "lstm-6-norm-recurrent"])
def test_twins_share_the_noise_of_their_parent_unless_it_is_their_own(name):
    task = make_task((2, 6))
    model = models.build(name, (2, 6), 3)
    forks = [Fork(3, 2, Kick()), Fork(3, 2, Kick(), unmatched="dropout")]
    run = train(model, task, RECIPE.changed(dropout=0.2), [3, 4], forks)
    assert torch.equal(run.theta[2], run.theta[0])
    assert not torch.equal(run.theta[3], run.theta[0])
    alone = train(model, task, RECIPE.changed(dropout=0.2), [4]).theta
    torch.testing.assert_close(alone[0], run.theta[1], rtol=1e-4, atol=1e-6)
    assert not torch.equal(train(model, task, RECIPE, [3, 4]).theta[0], run.theta[0])


@pytest.mark.parametrize("name", ["lstm-5", "lstm-5-norm", "gated-5-zoneout30", "lstm-5-every"])
def test_the_gradient_is_that_of_finite_differences(name):
    model, theta, x = moved(name, (2, 4), members=1)

    def loss(logits):
        return logits.sin().sum()

    gradient = model.gradient(theta, x, loss)[0]
    direction = torch.randn(theta.shape[1], generator=generator("d"), dtype=torch.float64)
    ends = [loss(model.forward(model.layout.tensors(theta + e * direction), x)) for e in (-1e-5, 1e-5)]
    assert float(gradient @ direction) == pytest.approx(float(ends[1] - ends[0]) / 2e-5, rel=1e-6)


def test_states_and_names():
    model, theta, x = moved("lstm-6-norm-zoneout5-every", (2, 5))
    assert (model.width, model.norm, model.zoneout, model.recurrent, model.every) == (6, "norm", 5, "", "every")
    assert model.unroll(model.layout.tensors(theta), x)[4].shape == (3, 7, 12)
    assert model.features(theta, x[0])["state"].shape == (3, 7, 6)
    assert model.layout.groups == {}
    for wrong in ("lstm-6-zoneout0", "lstm-6-zoneout100", "lstm-6-zoneout5-recurrent", "gated-6-norm", "recurrent-6"):
        with pytest.raises(ValueError, match="unknown model"):
            models.build(wrong, (2, 5), 4)
    with pytest.raises(ValueError, match="does not fit"):
        models.build("lstm-6", (12,), 4)


# --- sequences -------------------------------------------------------------------------------------------------------


def test_scrambled_digits_are_the_digits_in_one_order():
    whole, one, four = data.load("digits"), data.load("pixels-1"), data.load("pixels-4")
    assert one.input_shape == (1, 64)
    assert four.input_shape == (4, 16)
    torch.testing.assert_close(four.x.mT.flatten(1), one.x[:, 0])
    torch.testing.assert_close(one.x_test[:, 0].sort(1)[0], whole.x_test.flatten(1).sort(1)[0])
    flat = whole.x.flatten(1)
    places = [int((flat - one.x[:, 0, [k]]).abs().sum(0).argmin()) for k in range(64)]
    torch.testing.assert_close(flat[:, places], one.x[:, 0])
    assert torch.equal(one.y, whole.y)


def test_letters_follow_the_words_of_a_language():
    task = data.load("letters-a")
    assert task.x.shape == (1000, 12, 24)
    assert task.y_test.shape == (400, 24)
    text = task.x.argmax(1)
    assert torch.equal(text[:, 1:], task.y[:, :-1])
    words = {tuple(word) for row in text.tolist() for word in spelt(row)}
    assert 40 < len(words) <= 60
    assert {len(word) for word in words} <= set(range(2, 7))
    other = {tuple(word) for row in letters.written("letters-a", 50, 40, draw=3).tolist() for word in spelt(row)}
    assert other <= words
    assert not torch.equal(letters.written("letters-a", 5, 40, 1), letters.written("letters-a", 5, 40, 2))
    assert not {tuple(w) for row in letters.written("letters-b", 50, 40).tolist() for w in spelt(row)} <= words


def spelt(row):
    """The whole words of a text, between spaces."""
    spaces = [k for k, token in enumerate(row) if token == letters.TOKENS - 1]
    return [row[a + 1 : b] for a, b in pairwise(spaces)]
