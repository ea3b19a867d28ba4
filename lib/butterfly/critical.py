"""Critical samples: inputs that have another answer close by, and the distance at which to look for one.

How many there are tells how busy the decision surface is around the data (Arpit et al. 2017). Their search goes by the
sign of a gradient and adds noise, within a box around the input. At a fixed size of the box nearly all inputs of a busy
surface are critical; so the size can be set by a rule: that at which a given share of inputs is critical for some
networks of reference. No label is used anywhere.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from butterfly.models import Model
from butterfly.stack import blocks
from butterfly.streams import generator

# Of a step of the search, in radii of the box: along the sign of the gradient, and standard deviation of the noise.
_SLOPE, _NOISE = 0.25 / 0.3, 0.2 / 0.3
_MEMBERS = {"cpu": 16, "cuda": 256}


def critical_samples(
    model: Model, theta: Tensor, x: Tensor, radius: float, steps: int = 10, key: Sequence[int] = ()
) -> Tensor:
    """Which inputs `x [N, ...]` have another answer within `radius` in every pixel, as far as a search finds, `[M, N]`.

    The search takes `steps` steps that lower the logit of the answer against all others. Its noise comes from the
    stream of `key`, and is the same for all networks of the stack `theta [M, P]`.
    """
    found = torch.zeros(len(theta), len(x), dtype=torch.bool, device=x.device)
    for rows in blocks(len(theta), _MEMBERS[x.device.type]):
        p, random = model.layout.tensors(theta[rows]), generator("critical", *key)
        centre = x.expand(len(theta[rows]), *x.shape)
        with torch.no_grad():
            answer = model.forward(p, centre).argmax(-1)
        place = centre
        for _ in range(steps):
            noise = torch.randn(x.shape, generator=random).to(x)
            step = _SLOPE * _slope(model, p, place, answer).sign() + _NOISE * noise
            place = centre + (place - centre + radius * step).clamp(-radius, radius)
            with torch.no_grad():
                found[rows] |= model.forward(p, place).argmax(-1) != answer
    return found


def _slope(model: Model, p: dict[str, Tensor], place: Tensor, answer: Tensor) -> Tensor:
    """Gradient by the inputs of how far the logit of the answer lies below the others."""
    inputs = place.detach().requires_grad_()
    logits = model.forward(p, inputs)
    others = logits.scatter(-1, answer.unsqueeze(-1), -torch.inf).logsumexp(-1)
    behind = others - logits.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
    (slope,) = torch.autograd.grad(behind.sum(), inputs)
    return slope


def critical_radius(
    model: Model,
    theta: Tensor,
    x: Tensor,
    share: float,
    steps: int = 10,
    key: Sequence[int] = (),
    least: float = 1e-3,
    greatest: float = 10.0,
    halvings: int = 12,
) -> float:
    """The radius at which a `share` of the inputs is critical, on average over the networks, by bisection.

    `least` or `greatest` where the share is not reached between them.
    """

    def reached(radius: float) -> bool:
        return float(critical_samples(model, theta, x, radius, steps, key).double().mean()) >= share

    if reached(least) or not reached(greatest):
        return least if reached(least) else greatest
    for _ in range(halvings):
        middle = (least * greatest) ** 0.5
        least, greatest = (least, middle) if reached(middle) else (middle, greatest)
    return (least * greatest) ** 0.5
