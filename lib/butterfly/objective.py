"""What training minimises: from logits and targets of a minibatch to one loss an example.

An objective is any function `(logits [m, B, ..., C], target) -> losses [m, B]`; `target` is what the data hold: labels
`[m, B, ...]`, soft labels `[m, B, ..., C]`, or real values `[m, B, C]`. Losses of a place in a sequence are averaged.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Objective = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy against labels or against soft labels."""
    # Classes before examples: along the last axis, a processor takes many examples at once, not a few classes.
    whole = target.movedim(-1, 1) if target.is_floating_point() else target
    each = F.cross_entropy(logits.movedim(-1, 1), whole, reduction="none")
    return each.flatten(2).mean(2) if each.dim() > 2 else each


def squared_error(outputs: Tensor, target: Tensor) -> Tensor:
    """Half the squared distance from the target; labels stand for one-hot vectors."""
    if not target.is_floating_point():
        target = F.one_hot(target, outputs.shape[-1]).to(outputs)
    return (outputs - target).square().flatten(2).sum(2) / 2


def hinge(logits: Tensor, target: Tensor) -> Tensor:
    """The multi-class hinge of Crammer and Singer: how far the margin over the best other class stays below 1."""
    own = logits.gather(-1, target.unsqueeze(-1))
    others = logits.scatter(-1, target.unsqueeze(-1), -torch.inf).amax(-1, keepdim=True)
    return (1 - own + others).clamp_min(0).flatten(2).mean(2)


def penalised(objective: Objective, strength: float) -> Objective:
    """An objective with `strength / 2` times the squared norm of the outputs added (spectral decoupling)."""

    def losses(logits: Tensor, target: Tensor) -> Tensor:
        return objective(logits, target) + strength / 2 * logits.square().flatten(2).sum(2)

    return losses
