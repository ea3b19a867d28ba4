"""What happens along one sequence: how far the gradient reaches back, and how fast two states come together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from butterfly.models import Drop, keep
from butterfly.models.recurrent import Move, Recurrent
from butterfly.objective import cross_entropy
from butterfly.streams import generator


def masks(rate: float, seeds: Sequence[int], *key: object) -> Drop:
    """Noise as the trainer makes it, one mask a seed, for a look at networks outside of training."""
    if not rate:
        return keep

    def drop(h: Tensor) -> Tensor:
        kept = [torch.rand(h.shape[1:], generator=generator("look", *key, seed)) >= rate for seed in seeds]
        return h * torch.stack(kept).to(h) / (1 - rate)

    return drop


def slopes(model: Recurrent, theta: Tensor, x: Tensor, y: Tensor, drop: Drop = keep) -> Tensor:
    """Mean over examples of the length of the gradient of their loss by the state after each step: `[2, M, T]`.

    First by the cells alone (the last `width` units of the state), then by the whole state.
    """
    leaves = {name: view.detach().requires_grad_() for name, view in model.layout.tensors(theta).items()}
    states = model.unroll(leaves, x.expand(len(theta), *x.shape), drop)
    loss = cross_entropy(model.answer(leaves, states, drop), y.expand(len(theta), *y.shape)).sum()
    found = torch.stack(torch.autograd.grad(loss, states), 2)  # [M, B, T, Z]
    return torch.stack([part.norm(dim=3).mean(1) for part in (found[..., -model.width :], found)])


def exponents(model: Recurrent, theta: Tensor, x: Tensor, burn_in: int, drop: Drop = keep) -> Tensor:
    """Largest Lyapunov exponent of each network along the sequences `x [B, ...]`, per step: `[M]`, float64.

    An infinitely small difference between two states that read the same (and share the noise) is followed through the
    derivatives of the state maps; the mean logarithm of its growth, after some steps in which it finds its direction.
    """
    p = {name: view.double() for name, view in model.layout.tensors(theta).items()}
    inputs = x.double().expand(len(theta), *x.shape)
    state = model.rest(inputs)
    tangent = torch.randn(state.shape[1:], generator=generator("tangent"), dtype=torch.float64).expand_as(state)
    growth = []
    for move in model.moves(p, inputs, drop):
        state, tangent = _pushed(move, state, tangent / tangent.norm(dim=2, keepdim=True))
        growth.append(tangent.norm(dim=2).log().mean(1))
    return torch.stack(growth[burn_in:]).mean(0)


def _pushed(move: Move, state: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    """The next state, and the map's derivative times the tangent, from two passes backward."""
    state = state.detach().requires_grad_()
    weight = torch.zeros_like(state, requires_grad=True)
    after = move(state)
    (pulled,) = torch.autograd.grad(after, state, weight, create_graph=True)  # linear in the weight
    return after.detach(), torch.autograd.grad(pulled, weight, tangent)[0]
