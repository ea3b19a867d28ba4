"""Tangent kernels against explicit Jacobians, a linear model, CKA of gradients, and closed forms of spectra."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from butterfly import kernel, models, represent
from butterfly.models.centred import Centred
from butterfly.models.mlp import MLP
from butterfly.streams import generator

SHAPES = {
    "mlp-2x8": (1, 6),
    "mlp-2x8-gelu": (1, 6),
    "mlp-2x8-norm": (1, 6),
    "cnn-2x3": (1, 12),
    "cnn-1x3": (2, 6, 6),
    "gru-4": (1, 12),
    "resnet8-2": (2, 8, 8),
    "transformer-1x8": (12, 6),
}


def random(*shape, name="kernel"):
    return torch.randn(*shape, generator=generator(name, *shape), dtype=torch.float64)


def jacobian(model, row, x):
    """Gradients `[N, C, P]` of all outputs by all parameters, one output after another."""
    row = row.clone().requires_grad_()
    outputs = model.logits(row[None], x)[0]
    parts = [torch.autograd.grad(value, row, retain_graph=True)[0] for value in outputs.flatten()]
    return torch.stack(parts).unflatten(0, outputs.shape)


@pytest.fixture(params=SHAPES)
def stack(request):
    """Two networks, five examples, and their Jacobians `[M, N, C, P]`."""
    model = models.build(request.param, SHAPES[request.param], 3)
    theta = model.init([0, 1]).double()
    theta[:, : model.layout.count] += 0.1 * random(2, model.layout.count)  # biases that are not 0
    x = random(5, *model.input_shape)
    return model, theta, x, torch.stack([jacobian(model, row, x) for row in theta])


def test_kernels_are_products_of_explicit_jacobians(stack):
    model, theta, x, gradients = stack
    flat, side = gradients.flatten(1, 2), gradients.flatten(2)
    torch.testing.assert_close(kernel.gram(model, theta, x), flat @ flat.mT)
    torch.testing.assert_close(kernel.gram(model, theta, x, trace=True), side @ side.mT)


def test_layers_have_the_gradients_of_their_own_parameters(stack):
    model, theta, x, gradients = stack
    for trace in (False, True):
        found = kernel.gram_by_layer(model, theta, x, trace)
        named = kernel.layers(model.layout)
        assert list(found) == list(named)
        assert [name for names in named.values() for name in names] == [p.name for p in model.layout.parameters]
        tensors = model.layout.tensors(gradients.flatten(0, 2))
        for layer, names in named.items():
            own = torch.cat([tensors[name].flatten(1) for name in names], 1).unflatten(0, gradients.shape[:3])
            own = own.flatten(2) if trace else own.flatten(1, 2)
            torch.testing.assert_close(found[layer], own @ own.mT)
        torch.testing.assert_close(sum(found.values()), kernel.gram(model, theta, x, trace))


@pytest.mark.parametrize("name", ["mlp-2x8-gelu", "cnn-2x3"])
def test_blocks_do_not_change_the_result(name, monkeypatch):
    model = models.build(name, SHAPES[name], 3)
    theta, x = model.init([0, 1]).double(), random(7, *SHAPES[name])
    for trace in (False, True):
        whole = kernel.gram(model, theta, x, trace)
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "_NUMBERS", {"cpu": 2 * 3 * 2 * model.layout.count})  # two examples a block
            torch.testing.assert_close(kernel.gram(model, theta, x, trace), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp-2x8", "mlp-2x8-gelu"])
def test_members_may_have_examples_of_their_own(name):
    model = models.build(name, SHAPES[name], 3)
    theta, x = model.init([0, 1]), random(2, 5, *SHAPES[name]).float()
    found = kernel.gram(model, theta, x)
    for member in range(2):
        alone = kernel.gram(model, theta[member : member + 1], x[member])[0]
        torch.testing.assert_close(found[member], alone)


def test_a_centred_and_scaled_network_has_the_kernel_of_its_inner_one_times_the_square():
    for name in ("mlp-2x8", "mlp-2x8-gelu"):
        inner = models.build(name, (1, 6), 3)
        model = Centred.of(inner, alpha=3.0)
        theta, x = model.init([0, 1]).double(), random(5, 1, 6)
        theta[:, : inner.layout.count] += 0.1 * random(2, inner.layout.count)
        flat = torch.stack([jacobian(model, row, x) for row in theta]).flatten(1, 2)
        torch.testing.assert_close(kernel.gram(model, theta, x), flat @ flat.mT)
        assert list(kernel.gram_by_layer(model, theta, x)) == ["linear0", "linear1", "linear2"]


# --- a linear model --------------------------------------------------------------------------------------------------


@pytest.fixture
def linear():
    model = MLP((1, 4), 3, depth=0)
    return model, model.init([0]).double(), random(6, 1, 4)


def test_a_linear_model_has_the_kernel_of_its_inputs(linear):
    model, theta, x = linear
    alike = x.flatten(1) @ x.flatten(1).T + 1
    torch.testing.assert_close(kernel.gram(model, theta, x)[0], torch.kron(alike, torch.eye(3).double()))
    torch.testing.assert_close(kernel.gram(model, theta, x, trace=True)[0], 3 * alike)
    inputs = torch.linalg.eigvalsh(alike).flip(0)
    found = kernel.spectrum(kernel.gram(model, theta, x))[0]
    torch.testing.assert_close(found, inputs.repeat_interleave(3).clamp_min(0))
    assert (found[15:] < 1e-9).all()  # 4 inputs and a bias: rank 5 for each output


def test_one_step_of_gradient_descent_moves_outputs_by_the_kernel_times_the_error(linear):
    model, theta, x = linear
    targets, before = random(6, 3), model.logits(theta, x)[0]
    gradient = torch.func.grad(lambda t: (model.logits(t, x)[0] - targets).square().sum() / 2)(theta)
    after = model.logits(theta - 0.01 * gradient, x)[0]
    moved = -0.01 * kernel.gram(model, theta, x)[0] @ (before - targets).flatten()
    torch.testing.assert_close((after - before).flatten(), moved)


def test_a_small_step_of_a_deep_network_does_so_nearly():
    model = models.build("mlp-2x8-gelu", (1, 6), 3)
    theta, x = model.init([0]).double(), random(5, 1, 6)
    error = random(5, 3)
    gradient = torch.func.grad(lambda t: (model.logits(t, x)[0] * error).sum())(theta)
    after = model.logits(theta - 1e-6 * gradient, x)[0]
    moved = -1e-6 * kernel.gram(model, theta, x)[0] @ error.flatten()
    torch.testing.assert_close((after - model.logits(theta, x)[0]).flatten(), moved, rtol=1e-3, atol=1e-12)


# --- centring and alignment ------------------------------------------------------------------------------------------


def test_centring_takes_from_every_gradient_its_mean_over_the_examples():
    gradients = random(2, 5, 3, 40)
    flat, less = gradients.flatten(1, 2), (gradients - gradients.mean(1, keepdim=True)).flatten(1, 2)
    torch.testing.assert_close(kernel.centred(flat @ flat.mT, 5), less @ less.mT)
    side = gradients.flatten(2)
    h = torch.eye(5).double() - 1 / 5
    torch.testing.assert_close(kernel.centred(side @ side.mT, 5), h @ side @ side.mT @ h)


def test_alignment_of_kernels_traced_over_outputs_is_cka_of_gradients():
    gradients, targets = random(8, 3, 40), random(8, 3)
    side = gradients.flatten(1)
    traced = kernel.centred(side @ side.T, 8)
    expected = represent.cka([side, targets], debiased=False)[0, 1]
    torch.testing.assert_close(kernel.target_alignment(traced, targets), expected)
    other = kernel.centred(targets @ targets.T, 8)
    torch.testing.assert_close(kernel.alignment(traced, other), expected)
    torch.testing.assert_close(kernel.distance(traced, other), 1 - expected)


def test_alignment_with_targets_is_the_cosine_with_their_kernel():
    gradients, targets = random(2, 5, 3, 40), random(5, 3)
    flat = gradients.flatten(1, 2)
    found = kernel.target_alignment(kernel.centred(flat @ flat.mT, 5), targets)
    y = (targets - targets.mean(0)).flatten()
    less = (gradients - gradients.mean(1, keepdim=True)).flatten(1, 2)
    for member in range(2):
        k = (less[member] @ less[member].T).numpy()
        expected = y.numpy() @ k @ y.numpy() / (np.linalg.norm(k) * (y @ y).item())
        assert found[member].item() == pytest.approx(expected)
    own = kernel.target_alignment(kernel.centred(flat @ flat.mT, 5), torch.stack([targets, targets.flip(0)]))
    assert own[0] == pytest.approx(found[0])
    assert own[1] != pytest.approx(found[1])


def test_alignment_has_closed_forms():
    targets = torch.eye(3).double().repeat(4, 1)  # four examples of each of three classes
    y = (targets - targets.mean(0)).flatten()
    assert kernel.target_alignment(torch.outer(y, y), targets).item() == pytest.approx(1)
    # A kernel that knows no direction: y'y / (sqrt(N C) y'y), less what centring takes away.
    blind = kernel.centred(torch.eye(36).double(), 12)
    assert kernel.target_alignment(blind, targets).item() == pytest.approx(1 / math.sqrt(3 * 11))
    away = random(36)
    away = away - away @ y / (y @ y) * y
    assert abs(kernel.target_alignment(torch.outer(away, away), targets).item()) < 1e-12


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3))
def test_alignment_is_blind_to_scale_and_bounded(seed, scale):
    points = [random(6, 9, name=f"{seed}/{k}") for k in range(2)]
    one, other = (kernel.centred(p @ p.T, 6) for p in points)
    found = kernel.alignment(one, other)
    assert 0 <= found <= 1
    torch.testing.assert_close(kernel.alignment(other, scale * one), found)
    assert kernel.distance(one, scale * one).abs() < 1e-12


# --- spectra ---------------------------------------------------------------------------------------------------------


def test_effective_rank_and_trace_share_have_closed_forms():
    even = torch.tensor([1.0] * 5 + [0.0] * 7, dtype=torch.float64)
    assert kernel.effective_rank(even).item() == pytest.approx(5)
    assert kernel.trace_share(even, 2).item() == pytest.approx(0.4)
    two = torch.tensor([3.0, 1.0], dtype=torch.float64)
    assert kernel.effective_rank(two).item() == pytest.approx(math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)))
    assert kernel.effective_rank(10 * two) == kernel.effective_rank(two)
    geometric = 0.5 ** torch.arange(60, dtype=torch.float64)
    assert kernel.effective_rank(geometric).item() == pytest.approx(4, rel=1e-6)  # entropy 2 log 2
    assert kernel.trace_share(geometric, 3).item() == pytest.approx(7 / 8)


def test_the_spectrum_is_ordered_and_keeps_what_is_lost_apart():
    own = random(4, 6)
    grams = torch.stack([own.T @ own, torch.full((6, 6), torch.nan).double()])
    found = kernel.spectrum(grams)
    torch.testing.assert_close(found[0, :4], torch.linalg.svdvals(own).square())
    assert (found[0, 4:].abs() < 1e-9).all()
    assert (found[0] >= 0).all()
    assert found[1].isnan().all()
    assert kernel.effective_rank(found)[1].isnan()
    torch.testing.assert_close(kernel.spectrum(grams[0]), found[0])
