"""Linear students: what gradient descent on squares, and ridge regression, make of data, at all times at once.

Inputs fall apart into modes, their singular vectors. Along each of them both methods go their way alone, so that
nothing has to be stepped through. Several draws of data stand along the first axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Modes:
    """The modes of inputs `x [S, N, D]`: their directions `[S, D, K]`, and the eigenvalues `[S, K]` of `x^T x` there.

    `ends [S, K]` are the coefficients, along the directions, of the least-squares solution that is shortest: 0 where
    inputs do not vary.
    """

    directions: Tensor
    values: Tensor
    ends: Tensor

    def weights(self, coefficients: Tensor) -> Tensor:
        """Weights `[S, ..., D]` with these coefficients `[S, ..., K]` along the directions."""
        return torch.einsum("sdk,s...k->s...d", self.directions, coefficients)


def modes(x: Tensor, y: Tensor) -> Modes:
    """The modes of inputs `x [S, N, D]`, and where values `y [S, N]` take each of them."""
    # The singular values of x, not the eigenvalues of x^T x: of these, small ones would be lost in rounding.
    left, spread, right = torch.linalg.svd(x, full_matrices=False)
    varied = spread > torch.finfo(x.dtype).eps * max(x.shape[1:]) * spread[:, :1]
    along = torch.einsum("snk,sn->sk", left, y)
    ends = torch.where(varied, along / torch.where(varied, spread, 1.0), 0.0)
    return Modes(right.mT, spread.square(), ends)


def descended(found: Modes, lr: float, steps: Sequence[int]) -> Tensor:
    """Weights `[S, T, D]` after so many steps of gradient descent from 0 on half the sum of squared errors."""
    if lr * float(found.values.max()) >= 2:
        raise ValueError(
            f"gradient descent with lr = {lr:g} diverges: the largest eigenvalue is {found.values.max():g}"
        )
    times = torch.as_tensor(steps, dtype=found.values.dtype)[:, None]
    missing = (1 - lr * found.values[:, None]) ** times
    return found.weights((1 - missing) * found.ends[:, None])


def ridge(found: Modes, strengths: Sequence[float]) -> Tensor:
    """Weights `[S, T, D]` with the least sum of squared errors plus `strength` times their squared norm, each above 0.

    An infinite strength keeps them at 0.
    """
    strengths = torch.as_tensor(strengths, dtype=found.values.dtype)[:, None]
    there = 1 / (1 + strengths / found.values[:, None])
    return found.weights(there * found.ends[:, None])
