"""Modules of one's own as citizens of the stack: against the built-in architectures, plain PyTorch, and by refusal."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from butterfly import align, models, probe
from butterfly.batches import Minibatches
from butterfly.evaluate import features
from butterfly.interpolate import barriers
from butterfly.perturb import Kick, displacement, expected_norm
from butterfly.tangent import Tangent
from butterfly.train import Fork, Observer, Recipe, learning_rate, train
from tests.conftest import make_task

RECIPE = Recipe(steps=12, batch_size=16, lr=0.1)


def plain(shape=(1, 12), classes=3, inner=nn.Identity):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[-1], 16), nn.ReLU(), inner(), nn.Linear(16, classes))


def convolutional():
    return nn.Sequential(
        *(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 6, 3), nn.Tanh()),
        *(nn.Flatten(), nn.Linear(24, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)),
    )


class Attention(nn.Module):
    """A tiny transformer on 3 tokens of 4 numbers."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.embed, self.place = nn.Linear(4, 8), nn.Parameter(0.02 * torch.randn(3, 8))
        self.norm, self.mix, self.drop = nn.LayerNorm(8), nn.Linear(8, 24), nn.Dropout(dropout)
        self.blocks = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        h = self.embed(x.reshape(len(x), 3, 4)) + self.place
        query, key, value = self.mix(self.norm(h)).chunk(3, -1)
        h = h + self.drop(F.scaled_dot_product_attention(query, key, value))
        for block in self.blocks:
            h = h + F.gelu(block(h))
        return self.head(h.mean(1))


def the_same(model, row):
    """A module with the weights of one member."""
    net = copy.deepcopy(model.module).to(row.dtype)
    tensors = {name: view[0] for name, view in model.layout.tensors(row[None]).items()}
    net.load_state_dict(tensors | dict(net.named_buffers()))
    return net


# --- equal to what there is ------------------------------------------------------------------------------------------


def test_a_module_trains_like_the_built_in_architecture():
    task = make_task((1, 12), dtype=torch.float64)
    own = models.of(nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3)), task.x)
    known = models.build("mlp-1x16", task.input_shape, task.classes)
    start = own.layout.tensors(own.init([0, 1]))
    pairs = {"1": "linear0", "3": "linear1"}
    given = {f"{b}.weight": start[f"{a}.weight"].mT for a, b in pairs.items()}
    given |= {f"{b}.bias": start[f"{a}.bias"] for a, b in pairs.items()}
    ends = [train(own, task, RECIPE, [0, 1]).theta]
    ends.append(train(known, task, RECIPE, [0, 1], init=known.layout.stack(given)).theta)
    found, expected = own.layout.tensors(ends[0]), known.layout.tensors(ends[1])
    for a, b in pairs.items():
        torch.testing.assert_close(found[f"{a}.weight"].mT, expected[f"{b}.weight"], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found[f"{a}.bias"], expected[f"{b}.bias"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", [plain, convolutional, Attention])
def test_a_module_trains_like_a_plain_loop(make):
    task = make_task((1, 12), dtype=torch.float64)
    model = models.of(make, task.x)
    batches = Minibatches(task, RECIPE.batch_size_at, RECIPE.augment, [3])
    net = the_same(model, model.init([3])[0].double())
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0, momentum=RECIPE.momentum)
    for step in range(RECIPE.steps):
        batch = batches.at(step)
        optimizer.param_groups[0]["lr"] = learning_rate(RECIPE, step)
        optimizer.zero_grad()
        F.cross_entropy(net(batch.x[0]), batch.target[0]).backward()
        optimizer.step()
    end = model.layout.tensors(train(model, task, RECIPE, [3]).theta)
    for name, value in net.named_parameters():
        torch.testing.assert_close(end[name][0], value.detach(), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("make", [convolutional, Attention])
@pytest.mark.parametrize("block", [None, 3])
def test_controls_equal_their_parents_to_the_last_bit_and_kicked_twins_do_not(make, block):
    task = make_task((1, 12))
    forks = [Fork(seed, 4, Kick(size=size)) for seed in (0, 1) for size in (0.0, 1e-3)]
    end = train(models.of(make, task.x), task, RECIPE, [0, 1], forks, block=block).theta
    assert torch.equal(end[[2, 4]], end[:2])
    assert (end[[3, 5]] != end[:2]).any(1).all()


# --- how it starts ---------------------------------------------------------------------------------------------------


def test_each_seed_starts_as_the_module_starts_itself_and_leaves_torchs_generator_alone():
    model = models.of(plain, torch.randn(4, 1, 12))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other = model.init([5]), model.init([4, 5])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one[0], other[1])
    assert not torch.equal(other[0], other[1])
    weight = model.layout.tensors(model.init(list(range(50))))["1.weight"]
    assert weight.abs().max() <= 1 / math.sqrt(12)
    assert weight.std().item() == pytest.approx(1 / math.sqrt(36), rel=0.02)


def test_a_unit_kick_has_the_size_of_the_modules_own_start():
    model = models.of(Attention, torch.randn(4, 1, 12))
    own = {p.name: (p.kind, p.scale) for p in model.layout.parameters}
    assert own["mix.weight"] == ("weight", pytest.approx(1 / math.sqrt(24), rel=0.05))
    assert own["place"] == ("weight", pytest.approx(0.02, rel=0.1))
    assert own["norm.weight"][0] == "norm"
    assert own["head.bias"] == ("bias", own["head.weight"][1])
    kick = displacement(model, model.init([0])[0], Kick(size=0.1), 0, None)
    assert kick.norm().item() == pytest.approx(0.1 * expected_norm(model, Kick()), rel=1e-5)


def test_a_module_and_the_function_that_makes_it_are_the_same():
    x = torch.randn(4, 1, 12)
    assert torch.equal(models.of(plain, x).init([2]), models.of(plain(), x).init([2]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Attention, "'place' is a parameter of Attention, which has no reset_parameters"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).requires_grad_(False), "is frozen"),
    ],
)
def test_a_module_that_cannot_start_anew_is_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        models.of(make(), torch.randn(4, 1, 12))


def test_a_trained_module_is_refused():
    net = plain()
    with torch.no_grad():
        net[1].weight *= 3
    with pytest.raises(ValueError, match=r"'1.weight' have size .* models.of\(lambda: Net\(\), example\)"):
        models.of(net, torch.randn(4, 1, 12))
    with pytest.raises(ValueError, match="starts with the same weights each time"):
        models.of(lambda: net, torch.randn(4, 1, 12))


# --- what no stack can hold ------------------------------------------------------------------------------------------


class Odd(nn.Module):
    """A linear network with one flaw."""

    def __init__(self, flaw):
        super().__init__()
        self.flaw, self.calls = flaw, 0
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 3)
        if flaw == "shared":
            self.other = nn.Linear(12, 12)
            self.other.weight = self.first.weight
        if flaw == "idle":
            self.idle = nn.Linear(2, 2)
        if flaw == "double":
            self.double()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if self.flaw == "counts":
            self.seen += 1
        if self.flaw == "state":
            self.calls += 1
        if self.flaw == "in place":
            x.mul_(2)
        if self.flaw == "noise":
            x = x + torch.randn_like(x)
        if self.flaw == "mixes":
            x = x - x.mean(0)
        h = self.first(x.squeeze() if self.flaw == "squeeze" else x.flatten(1))
        if self.flaw == "value" and h.max().item() > 100:
            h = -h
        y = self.second(h) + self.calls
        return {"tuple": (y, h), "sequence": y[:, None], "nan": y / 0}.get(self.flaw, y)


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ("shared", "first.weight and other.weight are one shared parameter"),
        ("idle", "idle.weight, idle.bias have no part in the answer"),
        ("double", "is torch.float64: make the module float32"),
        ("counts", "Odd changes its buffer 'seen'"),
        ("state", "keeps a state"),
        ("in place", "changes its input in place"),
        ("noise", "draws random numbers"),
        ("mixes", "Odd mixes the examples of a batch"),
        ("squeeze", "squeeze"),
        ("value", r"does not run under torch.vmap"),
        ("tuple", "returns a tuple: wrap it"),
        ("sequence", r"of shape \(4, 1, 3\) for 4 examples"),
        ("nan", "not finite"),
    ],
)
def test_flaws_are_refused_with_what_to_use_instead(flaw, reason):
    with pytest.raises(ValueError, match=reason):
        models.of(lambda: Odd(flaw), torch.randn(4, 1, 12))


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (lambda: nn.BatchNorm1d(16), r"BatchNorm1d '3' changes its buffer .* torch.nn.LayerNorm .* \.eval\(\)"),
        (lambda: nn.BatchNorm1d(16, track_running_stats=False), "mixes the examples of a batch"),
        (lambda: nn.Dropout(0.1), r"Dropout '3' would draw masks .* Recipe\(dropout=...\)"),
    ],
)
def test_layers_that_change_are_refused_by_name(inner, reason):
    with pytest.raises(ValueError, match=reason):
        models.of(lambda: plain(inner=inner), torch.randn(4, 1, 12))


def test_a_frozen_batch_norm_is_a_function_like_any_other():
    task = make_task((1, 12))
    model = models.of(lambda: plain(inner=lambda: nn.BatchNorm1d(16).eval()), task.x)
    theta = train(model, task, RECIPE, [0]).theta
    with torch.no_grad():
        torch.testing.assert_close(model.logits(theta, task.x)[0], the_same(model, theta[0])(task.x))


@pytest.mark.parametrize(
    ("x", "reason"),
    [(torch.zeros(4, 1, 12), "different inputs"), (torch.randn(1, 1, 12), "two or more"),
     (torch.ones(4, 1, 12).long(), r"x = x.long\(\)")],
)  # fmt: skip
def test_an_example_that_shows_nothing_is_refused(x, reason):
    with pytest.raises(ValueError, match=reason):
        models.of(plain, x)


def test_an_example_that_the_module_does_not_take_is_refused_with_its_own_words():
    with pytest.raises(ValueError, match=r"Sequential does not take floats of shape \(4, 6\) .*x = x.long\(\)"):
        models.of(lambda: nn.Sequential(nn.Embedding(5, 8), nn.Flatten(), nn.Linear(48, 3)), torch.randn(4, 6))


# --- the rest of the stack -------------------------------------------------------------------------------------------


def test_dropout_falls_where_the_modules_layers_stand():
    task, recipe = make_task((1, 12), dtype=torch.float64), RECIPE.changed(dropout=0.5)
    own = models.of(lambda: plain(inner=lambda: nn.Dropout(0.0)), task.x)
    known = models.build("mlp-1x16", task.input_shape, task.classes)
    start = own.layout.tensors(own.init([0]))
    given = {"linear0.weight": start["1.weight"].mT, "linear0.bias": start["1.bias"]}
    given |= {"linear1.weight": start["4.weight"].mT, "linear1.bias": start["4.bias"]}
    expected = known.layout.tensors(train(known, task, recipe, [0], init=known.layout.stack(given)).theta)
    found = own.layout.tensors(train(own, task, recipe, [0]).theta)
    torch.testing.assert_close(found["1.weight"].mT, expected["linear0.weight"], rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match=r"torch.nn.Dropout\(0\) where"):
        train(models.of(plain, task.x), task, recipe, [0])


@pytest.mark.parametrize("make", [convolutional, Attention])
def test_tangents_follow_small_kicks(make):
    task, recipe = make_task((1, 12), dtype=torch.float64), RECIPE.changed(lr=0.02)
    model = models.of(make, task.x)
    kick = Kick(size=1e-8)
    start = model.init([0])[0].double()
    direction = displacement(model, start, kick, 0, None)
    tangent = Tangent(task, recipe, [0], [(0, 0)], direction[None].clone())
    watch = Observer("growth", tangent, frozenset(range(recipe.steps + 1)))
    end = train(model, task, recipe, [0], [Fork(0, 0, kick)], [watch])
    grown = ((end.theta[1] - end.theta[0]).norm() / direction.norm()).log().item()
    assert grown == pytest.approx(end.recorded("growth")[-1][1][0], abs=1e-3)


def test_scores_are_those_of_plain_gradients():
    task = make_task((1, 12))
    model = models.of(convolutional, task.x)
    theta = model.init([0])
    found = probe.gradient_norms(model, theta, task.x[:5], task.y[:5])[0][0]
    net = the_same(model, theta[0])
    for i in range(5):
        net.zero_grad()
        F.cross_entropy(net(task.x[i : i + 1]), task.y[i : i + 1]).backward()
        norm = torch.stack([p.grad.square().sum() for p in net.parameters()]).sum().sqrt()
        assert found[i].item() == pytest.approx(norm.item(), rel=1e-4)


def test_hidden_layers_are_those_of_the_modules_children():
    x = torch.randn(6, 1, 12)
    model = models.of(Attention, x)
    theta = model.init([0, 1])
    seen = model.features(theta, x)
    assert list(seen)[:-1] == ["embed", "norm", "mix", "drop", "blocks.0", "blocks.1", "head"][: len(seen) - 1]
    net = the_same(model, theta[1])
    torch.testing.assert_close(seen["embed"][1], net.embed(x.reshape(6, 3, 4)))
    torch.testing.assert_close(features(model, theta, x, "embed"), seen["embed"])
    assert not net.embed._forward_hooks


def test_units_of_sequential_networks_are_aligned():
    task = make_task((1, 12))
    model = models.of(convolutional, task.x)
    assert model.layout.groups == {"1": 4, "4": 6, "8": 8}
    theta = train(model, task, RECIPE, [0]).theta
    order = align.shuffled(model.layout, [torch.Generator().manual_seed(1)])
    other = align.permute(model.layout, theta, order)
    torch.testing.assert_close(model.logits(theta, task.x), model.logits(other, task.x), rtol=1e-4, atol=1e-5)
    for found in (
        align.weight_matching(model.layout, theta, other, restarts=3).permutation,
        align.activation_matching(model, theta, other, task.x),
    ):
        assert torch.equal(align.permute(model.layout, other, found), theta)
    assert barriers(model, theta, other, task.x, task.y).of_loss.item() > 1e-3


def test_units_of_other_modules_are_aligned_along_given_axes_or_not_at_all():
    x, names = torch.randn(6, 1, 12), ("first.weight", "first.bias", "second.weight")
    model = models.of(lambda: Odd(""), x)
    with pytest.raises(ValueError, match="give axes, as in"):
        align.weight_matching(model.layout, model.init([0]), model.init([1]))
    axes = dict(zip(names, [("hidden", ""), ("hidden",), ("", "hidden")], strict=True))
    assert models.of(lambda: Odd(""), x, axes).layout.groups == {"hidden": 12}
    with pytest.raises(ValueError, match="another function"):
        models.of(lambda: Odd(""), x, axes | {"first.weight": ("", "hidden")})
    with pytest.raises(ValueError, match="one name an axis"):
        models.of(lambda: Odd(""), x, axes | {"first.bias": ("hidden", "")})
    with pytest.raises(ValueError, match="no such tensor"):
        models.of(lambda: Odd(""), x, {"third.weight": ("hidden", "")})


def test_convolutions_in_groups_and_norms_of_groups_are_not_permuted():
    def grouped():
        return nn.Sequential(nn.Conv1d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(40, 3))

    model = models.of(grouped, torch.randn(4, 1, 12))
    with pytest.raises(ValueError, match="known only for"):
        _ = model.layout.groups
