"""Worst cases: the change of the inputs, or of the weights, within a given size that raises the loss most.

Of an input every number may move by at most `size`. One step in the signs of the gradient is FGSM (Goodfellow et al.
2015), several small ones, each put back into the box, are PGD (Madry et al. 2018). Of the weights the length of the
change is given; the loss then rises fastest along its gradient (Foret et al. 2021).

Inputs have one row a member, `x [M, B, ...]` with labels `y [M, B]`, or are shared, `x [B, ...]` with `y [B]`.
"""

import torch
from torch import Tensor

from butterfly.models import Model
from butterfly.objective import cross_entropy

Ends = tuple[Tensor, Tensor]
ANYWHERE = (torch.tensor(-torch.inf), torch.tensor(torch.inf))


def ends(x: Tensor) -> Ends:
    """The least and the greatest value of each channel of `x [N, channels, *space]`, `[channels, 1, ...]` each."""
    own = x.transpose(0, 1).flatten(1)
    shape = (-1, *[1] * (x.dim() - 2))
    return own.amin(1).view(shape), own.amax(1).view(shape)


def fgsm(model: Model, theta: Tensor, x: Tensor, y: Tensor, size: Tensor | float, within: Ends = ANYWHERE) -> Tensor:
    """Inputs `[M, B, ...]` with every number moved by `size`, each to the side on which its loss rises.

    `size` is one number, or one a channel `[channels, 1, ...]`; what leaves the range `within` is put to its end.
    """
    return _between(x + size * slope(model, theta, x, y).sign(), within)


def pgd(
    model: Model,
    theta: Tensor,
    x: Tensor,
    y: Tensor,
    size: Tensor | float,
    steps: int,
    within: Ends = ANYWHERE,
    start: Tensor | None = None,
) -> Tensor:
    """Inputs `[M, B, ...]` after `steps` steps of `2.5 size / steps` along the signs of the gradient.

    After each, every number is put back to at most `size` from where it was, and into the range `within`. `start`
    `[..., B, ...]` says where in that box to begin, by default in the middle.
    """
    x = x.expand(len(theta), *x.shape[x.dim() - len(model.input_shape) - 1 :])
    moved = x if start is None else _between(start, within)
    for _ in range(steps):
        moved = moved + 2.5 / steps * size * slope(model, theta, moved, y).sign()
        moved = _between(torch.minimum(torch.maximum(moved, x - size), x + size), within)
    return moved


def slope(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Gradient by the inputs `[M, B, ...]` of how far the other classes together are ahead of the label.

    That is `log sum exp` of the other logits less the label's. The cross-entropy grows with it, so both gradients of
    one example point the same way; but that of the cross-entropy vanishes in rounding where a network is sure.
    """
    shape = x.shape[x.dim() - len(model.input_shape) - 1 :]
    inputs = x.detach().expand(len(theta), *shape).clone().requires_grad_()
    logits = model.forward(model.layout.tensors(theta.detach()), inputs)
    label = y.expand(logits.shape[:-1]).unsqueeze(-1)
    ahead = logits.scatter(-1, label, -torch.inf).logsumexp(-1) - logits.gather(-1, label).squeeze(-1)
    return torch.autograd.grad(ahead.sum(), inputs)[0]


def uphill(model: Model, theta: Tensor, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """The direction `[M, P]`, of length 1, in which the mean cross-entropy on the shared `x, y` rises fastest.

    Only the entries of `mask [P]` move, by default all. NaN where the loss has no slope, or is not finite.
    """
    inputs, target = x.expand(len(theta), *x.shape), y.expand(len(theta), *y.shape)
    gradient = model.gradient(theta, inputs, lambda logits: cross_entropy(logits, target).mean(1).sum()).double()
    if mask is not None:
        gradient = gradient * mask.to(gradient.device)
    return (gradient / gradient.norm(dim=1, keepdim=True)).to(theta)


def _between(x: Tensor, within: Ends) -> Tensor:
    low, high = (end.to(x) for end in within)
    return torch.minimum(torch.maximum(x, low), high)
