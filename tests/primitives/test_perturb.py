"""Kicks: their size, their place, their direction."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from butterfly import models
from butterfly.perturb import Kick, displacement, expected_norm
from butterfly.strict import ParameterError
from tests.conftest import make_task

TASK = make_task((1, 12), dtype=torch.float64)
MODEL = models.build("mlp-2x16", TASK.input_shape, TASK.classes)
THETA = MODEL.init([4])[0].double()


def batch(random):
    at = torch.randperm(96, generator=random)[:16]
    return TASK.x[at], TASK.y[at]


def kicked(kick, seed=4, theta=THETA):
    return displacement(MODEL, theta, kick, seed, batch)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["gaussian", "batch"]),
    size=st.floats(1e-6, 10.0),
    extent=st.one_of(st.none(), st.floats(0.05, 1.0), st.integers(200, 480)),
    norms_and_biases=st.booleans(),
    seed=st.integers(0, 9),
)
def test_the_norm_is_sigma_times_the_expected_norm_of_what_moves(kind, size, extent, norms_and_biases, seed):
    how_many = {"fraction": extent} if isinstance(extent, float) else {"weights": extent}
    move = kicked(Kick(kind=kind, size=size, norms_and_biases=norms_and_biases, **how_many), seed)
    allowed = MODEL.layout.select(norms_and_biases=norms_and_biases)
    assert not move[~allowed].any()
    # The mask cannot be seen where a gradient is 0, so it is only checked for Gaussian kicks.
    if kind == "gaussian":
        unit = MODEL.layout.scale[move != 0].norm().item()
        assert move.norm().item() == pytest.approx(size * unit, rel=1e-12)
        count = {"fraction": lambda: max(1, round(extent * int(allowed.sum()))), "weights": lambda: extent}
        expected = int(allowed.sum()) if extent is None else count[next(iter(how_many))]()
        assert (move != 0).sum() == expected
    elif extent is None:
        assert move.norm().item() == pytest.approx(size * MODEL.layout.scale[allowed].norm().item(), rel=1e-12)


def test_the_expected_norm_in_closed_form():
    # Kaiming: n * 2 / fan_in summed over layers = 2 * outputs.
    assert expected_norm(MODEL, Kick()) == pytest.approx(math.sqrt(2 * (16 + 16 + 3)))


def test_one_weight_moves_by_sigma_times_its_own_scale():
    for draw in range(20):
        move = kicked(Kick(weights=1, size=0.25, draw=draw))
        (place,) = move.nonzero().squeeze(1).tolist()
        assert abs(move[place].item()) == pytest.approx(0.25 * MODEL.layout.scale[place].item())
        assert MODEL.layout.select()[place]


def test_one_ulp_is_the_next_number_away_from_zero():
    for dtype in (torch.float32, torch.float64):
        theta = THETA.to(dtype)
        for draw in range(10):
            move = displacement(MODEL, theta, Kick(kind="ulp", draw=draw), 4, batch)
            (place,) = move.nonzero().squeeze(1).tolist()
            old, new = theta[place], (theta + move)[place]
            assert new == torch.nextafter(old, torch.full_like(old, torch.inf).copysign(old))
            assert new.abs() > old.abs()


def test_size_zero_moves_nothing_and_sizes_share_a_direction():
    assert not kicked(Kick()).any()
    for kind in ("gaussian", "batch"):
        small, large = kicked(Kick(kind=kind, size=1e-3)), kicked(Kick(kind=kind, size=1.0))
        torch.testing.assert_close(1000 * small, large, rtol=1e-9, atol=1e-12)


def test_draws_and_seeds_differ():
    moves = [
        kicked(Kick(kind=kind, size=1.0, draw=d), s) for kind in ("gaussian", "batch") for d in (0, 1) for s in (4, 5)
    ]
    for i, a in enumerate(moves):
        for b in moves[:i]:
            assert torch.cosine_similarity(a, b, dim=0).abs() < 0.99


def test_a_batch_kick_is_the_gradient_of_its_minibatch():
    seen = []

    def spy(random):
        seen.append(batch(random))
        return seen[-1]

    move = displacement(MODEL, THETA, Kick(kind="batch", size=1.0), 4, spy)
    theta = THETA.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(MODEL.logits(theta[None], seen[0][0])[0], seen[0][1])
    gradient = torch.autograd.grad(loss, theta)[0] * MODEL.layout.select()
    assert torch.cosine_similarity(move, gradient, dim=0).item() == pytest.approx(1.0)


def test_a_gaussian_kick_has_each_layers_own_scale():
    model = models.build("mlp-2x128", (1, 64), 10)
    move = displacement(model, model.init([1])[0], Kick(size=1.0), 1, batch)
    parts = model.layout.tensors(move[None])
    for parameter in model.layout.parameters:
        if parameter.kind == "weight":
            assert parts[parameter.name].std().item() == pytest.approx(parameter.std, rel=0.06)


def test_chosen_layers_only():
    move = kicked(Kick(size=1.0, layers=("linear1.*",), norms_and_biases=True))
    parts = MODEL.layout.tensors(move[None])
    assert [name for name, part in parts.items() if part.any()] == ["linear1.weight", "linear1.bias"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": -1.0}, "greater than or equal to 0"),
        ({"kind": "gausian"}, "'kind' = 'gausian'"),
        ({"sigma": 1.0}, "'sigma' is not a parameter"),
        ({"weights": 1, "fraction": 0.5}, "not both"),
        ({"kind": "ulp", "size": 0.1}, "one weight by one ulp"),
        ({"fraction": 0.0}, "greater than 0"),
        ({"size": "1e-3"}, "is the text '1e-3', not a number; write 0.001, without quotes"),
    ],
)
def test_impossible_kicks_are_refused(values, message):
    with pytest.raises(ParameterError, match=message):
        Kick.read(values)


def test_more_weights_than_there_are():
    with pytest.raises(ValueError, match="only 496 may move"):
        kicked(Kick(weights=497, size=1.0))


def test_a_kick_without_direction_is_refused():
    flat = lambda random: (torch.zeros(4, 1, 12, dtype=torch.float64), torch.tensor([0, 1, 2, 0]))  # noqa: E731
    with pytest.raises(ValueError, match="has no direction"):
        displacement(MODEL, THETA, Kick(kind="batch", size=1.0, layers=("linear0.weight",)), 4, flat)


def test_kicks_of_different_entries_are_equal_in_the_unit_of_the_network():
    whole = expected_norm(MODEL, Kick())
    for extent in ({"weights": 1}, {"fraction": 0.1}, {"layers": ("linear0.*",)}, {}):
        kick = Kick(size=0.3, unit="network", **extent)
        assert kicked(kick).norm().item() == pytest.approx(0.3 * whole, rel=1e-12)
