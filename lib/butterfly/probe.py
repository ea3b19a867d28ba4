"""Scores of example difficulty that need the network itself: its gradients, its layers, its reaction to noise.

They are defined in `score.SCORES`. Everything is measured on a whole stack `theta [M, P]`; the labels are those the
networks were trained on. No network is changed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from butterfly.evaluate import predictions
from butterfly.models import Model
from butterfly.stack import blocks
from butterfly.streams import generator

# Numbers held at once: gradients of one network for some examples, distances between examples.
_NUMBERS = {"cpu": 1 << 22, "cuda": 1 << 30}


# --- gradients by the weights ----------------------------------------------------------------------------------------


def gradient_norms(
    model: Model, theta: Tensor, x: Tensor, y: Tensor, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """GraNd: norm of the gradient of each example's loss by all weights, and by the last layer's; `[M, N]` each.

    The gradients of `chunk` examples are held at once, by default as many as suit the device (Paul et al. 2021).
    """

    def loss(p: dict[str, Tensor], example: Tensor, label: Tensor) -> Tensor:
        return _loss(model.forward(p, example[None, None])[0], label[None]).squeeze(0)

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    chunk = chunk or max(1, _NUMBERS[x.device.type] // model.layout.count)
    last = [parameter.name for parameter in model.layout.parameters[-2:]]  # its weight and its bias
    norms = theta.new_empty(2, len(theta), len(x))
    for member, row in enumerate(theta.split(1)):
        p = model.layout.tensors(row)
        for some in blocks(len(x), chunk):
            parts = gradients(p, x[some], y[some])
            squares = {name: part.flatten(1).square().sum(1) for name, part in parts.items()}
            norms[0, member, some] = torch.stack(tuple(squares.values())).sum(0).sqrt()
            norms[1, member, some] = (squares[last[0]] + squares[last[1]]).sqrt()
    return norms[0], norms[1]


def _loss(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy `[...]` of logits `[..., C]`, whose gradient keeps its digits where the label is nearly certain."""
    label = y.unsqueeze(-1)
    others = logits.scatter(-1, label, -torch.inf).logsumexp(-1)
    return F.softplus(others - logits.gather(-1, label).squeeze(-1), threshold=80)


# --- gradients by the inputs -----------------------------------------------------------------------------------------


class GradientVariance:
    """Variance of gradients (VoG): how each example's input gradient varies from snapshot to snapshot of training.

    Per pixel a running mean and sum of squared deviations are kept, so memory does not grow with the snapshots. The
    gradient is that of the probability of the label (`class`) or of the loss (`loss`), its mean over channels.
    """

    def __init__(self, of: Literal["class", "loss"]):
        if of not in ("class", "loss"):
            raise ValueError(f"gradients of '{of}'; give 'class' or 'loss'")
        self.of = of
        self._count = 0
        self._mean = self._spread = torch.empty(0)

    def look(self, model: Model, theta: Tensor, x: Tensor, y: Tensor) -> None:
        """One snapshot of the stack `theta [M, P]` on all examples `x [N, ...]`, the same ones every time."""
        gradient = input_gradient(model, theta, x, y, self.of)
        if not self._count:
            self._mean, self._spread = torch.zeros_like(gradient), torch.zeros_like(gradient)
        if gradient.shape != self._mean.shape:
            raise ValueError(f"input gradients {tuple(gradient.shape)}, so far {tuple(self._mean.shape)}")
        self._count += 1
        change = gradient - self._mean
        self._mean += change / self._count
        self._spread += change * (gradient - self._mean)

    def scores(self) -> dict[str, Tensor]:
        """Both spreads of `[M, N]` by their names: population standard deviation, and unbiased variance."""
        if self._count < 2:
            raise ValueError("a variance needs two or more snapshots")
        spread = self._spread.flatten(2)
        return {
            f"vog.{self.of}.sd": (spread / self._count).sqrt().mean(2),
            f"vog.{self.of}.variance": spread.mean(2) / (self._count - 1),
        }

    def state_dict(self) -> dict[str, Any]:
        """All that was accumulated; it says what the gradients are of."""
        return {"of": self.of, "count": self._count, "mean": self._mean.clone(), "spread": self._spread.clone()}

    def load_state_dict(self, state: Mapping[str, Any], device: str | torch.device | None = None) -> None:
        """Go on from a saved state, perhaps on a device; `ValueError` if its gradients are of something else."""
        if state["of"] != self.of:
            raise ValueError(f"this state holds gradients of the {state['of']}, not of the {self.of}")
        self._count = state["count"]
        self._mean, self._spread = (state[name].to(device, copy=True) for name in ("mean", "spread"))


def input_gradient(model: Model, theta: Tensor, x: Tensor, y: Tensor, of: Literal["class", "loss"]) -> Tensor:
    """Gradient by the inputs, mean over channels `[M, N, *space]`, of the label's probability or of the loss."""
    found = theta.new_empty(len(theta), len(x), *x.shape[2:])
    members = min(len(theta), 16)
    for rows in blocks(len(theta), members):
        p = model.layout.tensors(theta[rows])
        for some in blocks(len(x), max(1, _NUMBERS[x.device.type] // (2 * members * model.activations))):
            inputs = x[some].expand(len(theta[rows]), *x[some].shape).clone().requires_grad_()
            loss = _loss(model.forward(p, inputs), y[some].expand(len(inputs), -1))
            # Each example's value depends on its own input only, so the gradient of the sum holds that of each.
            (gradient,) = torch.autograd.grad(((-loss).exp() if of == "class" else loss).sum(), inputs)
            found[rows, some] = gradient.mean(2)
    return found


# --- layers ----------------------------------------------------------------------------------------------------------


def prediction_depth(
    layers: Iterable[Tensor], y: Tensor, answers: Tensor, neighbours: int = 30
) -> tuple[Tensor, Tensor]:
    """The layer `[N]` from which on the nearest others vote for the label, and for the network's answer (Baldock 2021).

    `layers` are features `[N, ...]` in order of depth, the input first, used one after another; `answers [N]` the
    classes that the network gives. An example is not its own neighbour; ties of the vote go to the lowest class. The
    number of layers where the last does not agree.
    """
    if neighbours >= len(y):
        raise ValueError(f"{neighbours} neighbours among {len(y)} examples")
    votes = torch.stack([_vote(h.flatten(1), y, neighbours) for h in layers])  # [L, N]
    return _agree_from(votes == y), _agree_from(votes == answers)


def _vote(h: Tensor, y: Tensor, neighbours: int) -> Tensor:
    """The class `[N]` most frequent among the nearest other examples by Euclidean distance."""
    h = h - h.mean(0)  # far from 0, distances lose their digits
    labels = F.one_hot(y).to(h.dtype)
    votes = []
    for some in blocks(len(h), max(1, _NUMBERS[h.device.type] // len(h))):
        distance = torch.cdist(h[some], h)
        distance[torch.arange(len(distance)), torch.arange(len(h), device=h.device)[some]] = torch.inf
        nearest = distance.topk(neighbours, largest=False).indices
        votes.append(labels[nearest].sum(1).argmax(1))
    return torch.cat(votes)


def _agree_from(agrees: Tensor) -> Tensor:
    """The first layer `[N]` from which on `agrees [L, N]` holds; L if it does not at the end."""
    layers = torch.arange(1, len(agrees) + 1, device=agrees.device)[:, None]
    return (layers * ~agrees).amax(0)


# --- noise -----------------------------------------------------------------------------------------------------------


def input_robustness(
    model: Model, theta: Tensor, x: Tensor, y: Tensor, strengths: Sequence[float], draws: int
) -> Tensor:
    """Mean over draws of the smallest strength at which noise on the input costs the right answer `[M, N]`.

    Gaussian noise of the same draw grows along the rising `strengths`, the same for all networks; 0 for an example that
    is wrong without noise, and the last strength for one that stands it.
    """

    def answers(draw: int, strength: float) -> Tensor:
        noise = torch.randn(x.shape, generator=generator("input-noise", draw)).to(x)
        return predictions(model, theta, x + strength * noise)

    return _first_loss(answers, y, strengths, draws)


def weight_robustness(
    model: Model,
    theta: Tensor,
    x: Tensor,
    y: Tensor,
    strengths: Sequence[float],
    draws: int,
    keys: Sequence[int] | None = None,
) -> Tensor:
    """The same `[M, N]` where every weight is multiplied by 1 + strength * Gaussian noise.

    The noise of a network is drawn for its entry of `keys` (its seed, say; by default, its row).
    """
    own = range(len(theta)) if keys is None else keys
    if len(own) != len(theta):
        raise ValueError(f"{len(own)} keys for {len(theta)} networks")

    def answers(draw: int, strength: float) -> Tensor:
        noise = [torch.randn(theta.shape[1], generator=generator("weight-noise", draw, key)) for key in own]
        return predictions(model, theta * (1 + strength * torch.stack(noise).to(theta)), x)

    return _first_loss(answers, y, strengths, draws)


def _first_loss(answers: Callable[[int, float], Tensor], y: Tensor, strengths: Sequence[float], draws: int) -> Tensor:
    if not strengths or strengths[0] <= 0 or list(strengths) != sorted(set(strengths)) or draws < 1:
        raise ValueError(f"strengths {list(strengths)} and {draws} draws: give rising strengths above 0, and draws")
    total: Tensor | float = 0.0
    standing = answers(0, 0.0) == y
    for draw in range(draws):
        held, reached = standing, torch.zeros(standing.shape, device=y.device)
        for strength in strengths:
            after = held & (answers(draw, strength) == y)
            reached[held & (~after | (strength == strengths[-1]))] = strength
            held = after
        total = total + reached
    return total / draws
