"""One update of a stack, as `torch.optim` makes it for a single network, in place."""

from collections.abc import Sequence

import torch
from torch import Tensor

# How many tensors of the shape of the stack each optimiser keeps.
SLOTS = {"sgd": 1, "adam": 2, "adamw": 2, "rmsprop": 2}


def sgd(
    theta: Tensor, state: Sequence[Tensor], gradient: Tensor, lr: float, momentum: float, decay: float, nesterov: bool
) -> None:
    """SGD with heavy-ball or Nesterov momentum; `gradient` is overwritten."""
    (velocity,) = state
    if decay:
        gradient.add_(theta, alpha=decay)
    torch.add(gradient, velocity, alpha=momentum, out=velocity)
    theta.add_(gradient.add_(velocity, alpha=momentum) if nesterov else velocity, alpha=-lr)


def adam(
    theta: Tensor,
    state: Sequence[Tensor],
    gradient: Tensor,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    decoupled: bool,
    updates: int,
) -> None:
    """Adam, or AdamW where decay is `decoupled`; `updates` were made before this one since the moments were 0."""
    first, second = state
    if decoupled:
        theta.mul_(1 - lr * decay)
    elif decay:
        gradient.add_(theta, alpha=decay)
    first.lerp_(gradient, 1 - betas[0])
    second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    corrections = [1 - beta ** (updates + 1) for beta in betas]
    scale = (second / corrections[1]).sqrt_().add_(eps)
    theta.addcdiv_(first, scale, value=-lr / corrections[0])


def rmsprop(
    theta: Tensor,
    state: Sequence[Tensor],
    gradient: Tensor,
    lr: float,
    momentum: float,
    smoothing: float,
    eps: float,
    decay: float,
) -> None:
    """RMSprop with momentum, as `torch.optim.RMSprop(alpha=smoothing)`."""
    velocity, square = state
    if decay:
        gradient.add_(theta, alpha=decay)
    square.mul_(smoothing).addcmul_(gradient, gradient, value=1 - smoothing)
    velocity.mul_(momentum).addcdiv_(gradient, square.sqrt().add_(eps))
    theta.add_(velocity, alpha=-lr)
