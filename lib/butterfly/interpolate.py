"""The straight line between two networks, and the barrier on it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from butterfly.evaluate import evaluate
from butterfly.models import Model
from butterfly.objective import Objective, cross_entropy
from butterfly.stack import blocks

EPSILON = 1e-3  # added to barriers before a logarithm: differences below it are not told apart
# Pairs whose points are held at once; all their points are evaluated as one stack.
_PAIRS = 16


def path(a: Tensor, b: Tensor, alphas: Tensor) -> Tensor:
    """The networks `(1 - alpha) a + alpha b` `[K, A, P]` between the stacks `a, b [K, P]`; the ends are exact."""
    return torch.lerp(a[:, None], b[:, None], alphas.to(a)[None, :, None])


def barrier(values: Tensor, alphas: Tensor) -> Tensor:
    """Largest excess `[K]` over the chord of `values [K, A]` at `alphas [A]`, whose ends are 0 and 1.

    `sup over alpha of values(alpha) - [(1 - alpha) values(0) + alpha values(1)]` (Altıntaş et al. 2025, Eq. 1).
    The ends have no excess, so a barrier is never negative.
    """
    chord = values[:, :1] + alphas * (values[:, -1:] - values[:, :1])
    return (values - chord)[:, 1:-1].amax(1).clamp_min(0.0)


@dataclass(frozen=True)
class Barriers:
    """Loss and error along the path of each pair, `[K, A]`, at `alphas [A]`."""

    alphas: Tensor
    loss: Tensor
    error: Tensor

    @property
    def of_loss(self) -> Tensor:
        return barrier(self.loss, self.alphas)

    @property
    def of_error(self) -> Tensor:
        return barrier(self.error, self.alphas)


def barriers(
    model: Model, a: Tensor, b: Tensor, x: Tensor, y: Tensor, points: int = 11, objective: Objective = cross_entropy
) -> Barriers:
    """Evaluate `points` networks, ends included, between the stacks `a, b [K, P]`, on all of `x, y`.

    The precision is that of the arguments: pass float64 stacks and data for float64 barriers.
    """
    if points < 3:
        raise ValueError(f"a path needs at least 3 points to show a barrier, not {points}")
    alphas = torch.linspace(0, 1, points, dtype=torch.float64)
    loss, error = [], []
    for pairs in blocks(len(a), _PAIRS):
        here = evaluate(model, path(a[pairs], b[pairs], alphas).flatten(0, 1), x, y, objective)
        for kept, values in zip((loss, error), here, strict=True):
            kept.append(values.view(-1, points).cpu())
    return Barriers(alphas, torch.cat(loss), torch.cat(error))
