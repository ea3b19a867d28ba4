"""What a stack of networks does on data: loss, error, predictions. Nothing here trains."""

from collections.abc import Iterator

import torch
from torch import Tensor

from butterfly.models import Model
from butterfly.objective import Objective, cross_entropy
from butterfly.stack import blocks

# Members and numbers that go through the network at once: within a CPU's cache, and within a GPU's memory.
_MEMBERS = {"cpu": 16, "cuda": 256}
_NUMBERS = {"cpu": 1 << 21, "cuda": 1 << 31}


def outputs(model: Model, theta: Tensor, x: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Logits of every member on every example, in blocks: (members, examples, logits `[m, b, C]`)."""
    for rows, some in _parts(model, theta, x):
        with torch.no_grad():
            found = model.logits(theta[rows], x[some])
        yield rows, some, found


def _parts(model: Model, theta: Tensor, x: Tensor) -> Iterator[tuple[slice, slice]]:
    """The members and examples that go through the network at once."""
    budget = _NUMBERS[x.device.type] // model.activations  # members times examples
    members = max(1, min(len(theta), _MEMBERS[x.device.type], budget // 32))
    for rows in blocks(len(theta), members):
        for some in blocks(len(x), max(32, budget // members)):
            yield rows, some


def evaluate(
    model: Model, theta: Tensor, x: Tensor, y: Tensor, objective: Objective = cross_entropy
) -> tuple[Tensor, Tensor]:
    """Mean loss `[M]` and error rate `[M]` of a stack `theta [M, P]` on all examples, summed in float64.

    `y` holds labels `[N]`, labels along a sequence `[N, T]`, or real values `[N, C]`, which have no error rate: NaN.
    """
    loss = torch.zeros(len(theta), dtype=torch.float64, device=x.device)
    wrong = torch.full_like(loss, torch.nan if y.is_floating_point() else 0.0)
    for rows, some, logits in outputs(model, theta, x):
        truth = y[some].expand(len(logits), *y[some].shape)
        loss[rows] += objective(logits, truth).sum(1, dtype=torch.float64)
        if not y.is_floating_point():
            missed = logits.argmax(-1) != truth
            wrong[rows] += missed.sum(1) if y.dim() == 1 else missed.double().mean(2).sum(1)
    return loss / len(y), wrong / len(y)


def predictions(model: Model, theta: Tensor, x: Tensor) -> Tensor:
    """The class each member gives each example `[M, N]`."""
    found = torch.empty(len(theta), len(x), dtype=torch.long, device=x.device)
    for rows, some, logits in outputs(model, theta, x):
        found[rows, some] = logits.argmax(2)
    return found


def logits(model: Model, theta: Tensor, x: Tensor) -> Tensor:
    """The logits of every member on every example `[M, N, C]`."""
    found = torch.empty(len(theta), len(x), model.classes, dtype=x.dtype, device=x.device)
    for rows, some, values in outputs(model, theta, x):
        found[rows, some] = values
    return found


def features(model: Model, theta: Tensor, x: Tensor, layer: str) -> Tensor:
    """One layer, by its name in `Model.features`, of every member on every example `[M, N, units, *space]`.

    The others are held for a block of examples only.
    """
    found: Tensor | None = None
    for rows, some in _parts(model, theta, x):
        h = model.features(theta[rows], x[some])[layer]
        if found is None:
            found = h.new_empty(len(theta), len(x), *h.shape[2:])
        found[rows, some] = h
    return found


def calibration_error(logits: Tensor, y: Tensor, bins: int = 15) -> Tensor:
    """Expected calibration error (Naeini et al. 2015; Guo et al. 2017) of logits `[N, C]`.

    Examples are binned by the probability of the class chosen, in `bins` of equal width; the error is the mean over
    examples of the gap, in each bin, between mean probability and share of right answers.
    """
    confidence, answer = logits.double().softmax(1).max(1)
    right = (answer == y).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64, device=y.device).index_add_(0, place, confidence - right)
    return gaps.abs().sum() / len(y)
