"""Kicks: the butterfly's wing.

A kick of size sigma moves a network by exactly sigma times the expected norm, at initialisation, of the entries it may
touch (Altıntaş et al. 2025, Eq. 6): with `M` a 0/1 mask, `s` the initial standard deviation of each entry and `e` a
random direction, the displacement is `sigma * |M s| * (M e) / |M e|`. The mask stands inside the normalisation. With
`unit="network"` the size counts in `|s|` over all weights instead, and kicks of different entries are equal in L2.
"""

from collections.abc import Callable
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly.models import Model
from butterfly.streams import generator
from butterfly.strict import Strict


class Kick(Strict):
    """One perturbation.

    `gaussian`: every entry is drawn with its own initial standard deviation. `batch`: along the gradient of one other
    minibatch. `ulp`: one weight moved to the next floating-point number, away from zero; `size` has no meaning then.
    """

    kind: Literal["gaussian", "batch", "ulp"] = "gaussian"
    size: float = Field(0.0, ge=0.0)  # sigma; 0 is the control: nothing moves
    weights: int | None = Field(None, ge=1)  # how many entries move; all of them by default
    fraction: float | None = Field(None, gt=0.0, le=1.0)  # or which fraction
    layers: tuple[str, ...] = ()  # glob patterns of tensor names; all by default
    norms_and_biases: bool = False
    unit: Literal["moved", "network"] = "moved"  # what size 1 is: the norm of the entries that move, or of all weights
    draw: int = Field(0, ge=0)  # which of several independent draws for one seed

    @model_validator(mode="after")
    def _one_extent(self) -> Self:
        if self.weights is not None and self.fraction is not None:
            raise ValueError("give 'weights' or 'fraction', not both")
        if self.kind == "ulp" and (self.fraction is not None or self.weights not in (None, 1) or self.size):
            raise ValueError("an ulp kick moves one weight by one ulp: leave out 'size', 'weights' and 'fraction'")
        return self


def displacement(
    model: Model, theta: Tensor, kick: Kick, seed: int, batch: Callable[[torch.Generator], tuple[Tensor, Tensor]]
) -> Tensor:
    """The kick of one network `theta [P]`, as a vector `[P]` to be added.

    Direction, mask and noise batch come from the stream ("kick", seed, draw), which does not contain the size: kicks
    that differ in size alone point the same way. `batch` draws a minibatch `(x, y)` from a generator.
    """
    random = generator("kick", seed, kick.draw)
    mask = _mask(model, kick, random)
    if kick.kind == "ulp":
        return torch.where(mask.to(theta.device), _ulp(theta), 0.0)
    if kick.size == 0.0:
        return torch.zeros_like(theta)
    scale = model.layout.scale * mask
    if kick.kind == "gaussian":
        direction = scale * torch.randn(len(scale), generator=random, dtype=torch.float64)
    else:
        direction = _gradient(model, theta, *batch(random)).to("cpu", torch.float64) * mask
    length = direction.norm()
    if length == 0:
        raise ValueError(
            f"the {kick.kind} kick of seed {seed} has no direction: its {int(mask.sum())} entries are all 0"
        )
    if not torch.isfinite(length):
        return torch.full_like(theta, torch.nan)  # a network that diverged has twins without a finite loss
    unit = scale.norm() if kick.unit == "moved" else expected_norm(model, Kick())
    return (kick.size * unit / length * direction).to(theta)


def expected_norm(model: Model, kick: Kick) -> float:
    """Expected norm at initialisation of all tensors a kick may touch: the unit of sigma for a kick of every entry."""
    return float((model.layout.scale * model.layout.select(kick.layers, kick.norms_and_biases)).norm())


def _mask(model: Model, kick: Kick, random: torch.Generator) -> Tensor:
    """Which entries `[P]` move: a uniform choice among those of the chosen layers."""
    allowed = model.layout.select(kick.layers, kick.norms_and_biases)
    places = allowed.nonzero().squeeze(1)
    if kick.kind == "ulp":
        count = 1
    elif kick.fraction is not None:
        count = max(1, round(kick.fraction * len(places)))
    elif kick.weights is not None:
        count = kick.weights
    else:
        return allowed
    if count > len(places):
        raise ValueError(f"a kick of {count} weights is asked for, but only {len(places)} may move")
    mask = torch.zeros_like(allowed)
    mask[places[torch.randperm(len(places), generator=random)[:count]]] = True
    return mask


def _ulp(theta: Tensor) -> Tensor:
    """The step from each entry to the next number away from zero."""
    away = torch.full_like(theta, torch.inf).copysign(theta)
    return torch.nextafter(theta, away) - theta


def _gradient(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Gradient `[P]` of the mean cross-entropy on a minibatch."""
    theta = theta.detach().unsqueeze(0).requires_grad_()
    loss = torch.nn.functional.cross_entropy(model.logits(theta, x)[0], y)
    return torch.autograd.grad(loss, theta)[0][0]
