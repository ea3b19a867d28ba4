"""Data sets as tensors: normalised by train statistics, with example ids, weights and targets kept beside them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from butterfly.stack import blocks
from butterfly.streams import generator
from butterfly.strict import UserError


class DataError(UserError):
    """A data set is missing, damaged or not what it claims to be; the message says what to do."""


@dataclass(frozen=True)
class Data:
    """One task, whole, on one device.

    `x [N, channels, *space]` and `y [N]` are the training set, `x_test`, `y_test` the test set; `y` may also hold
    labels along a sequence `[N, T]` or real values `[N, C]`, and `classes` is how many outputs a network has. `ids [N]`
    are positions in the original order and survive subsetting. `weights` and `targets` are optional and per example, or
    per seed and example with a leading axis: `weights [N]` or `[S, N]` (0 masks an example out), `targets [N, C]` or
    `[S, N, C]` (soft labels or real values; without them `y` is learned). `judged` is for large sets: how many examples
    `sample` has.
    """

    name: str
    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    ids: Tensor
    weights: Tensor | None = None
    targets: Tensor | None = None
    source: dict[str, str] = field(default_factory=dict)
    judged: int = 0

    @property
    def sample(self) -> "Data":
        """What networks are judged on, if not on all: the first `judged` training and as many test examples."""
        if not self.judged:
            return self
        some = slice(self.judged)
        return replace(
            self,
            **{name: getattr(self, name)[some] for name in ("x", "y", "x_test", "y_test", "ids")},
            weights=None if self.weights is None else self.weights[..., some],
            targets=None if self.targets is None else self.targets[..., some, :],
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    @property
    def label_hash(self) -> str:
        """A fingerprint of ids and labels, to refuse scores or records made with other labels."""
        parts = [part.contiguous().cpu().numpy().tobytes() for part in (self.ids, self.y)]
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

    def to(self, device: str | torch.device, dtype: torch.dtype = torch.float32) -> "Data":
        """The same data on a device, floating-point tensors in `dtype`."""
        moved = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                moved[name] = value.to(device, dtype if value.is_floating_point() else None)
        return replace(self, **moved)

    def subset(self, rows: Tensor) -> "Data":
        """The training examples at these positions, their ids, weights and targets with them; the test set whole."""
        weights = None if self.weights is None else self.weights[..., rows]
        targets = None if self.targets is None else self.targets[..., rows, :]
        return replace(self, x=self.x[rows], y=self.y[rows], ids=self.ids[rows], weights=weights, targets=targets)


def of_classes(data: Data, classes: Sequence[int]) -> Data:
    """The examples of some classes, training and test, labelled 0, 1, ... in the order given."""
    if not classes or len(set(classes)) != len(classes) or not set(classes) <= set(range(data.classes)):
        raise ValueError(f"classes {list(classes)} of {data.name}, which has 0 to {data.classes - 1}, each once")
    if data.targets is not None:
        raise ValueError(f"{data.name} has targets of its own, which cannot be restricted to some classes")
    place = torch.full((data.classes,), -1, device=data.y.device)
    place[list(classes)] = torch.arange(len(classes), device=data.y.device)
    kept, kept_test = (place[y] >= 0 for y in (data.y, data.y_test))
    some = data.subset(kept.nonzero().squeeze(1))
    x_test, y_test = data.x_test[kept_test], place[data.y_test[kept_test]]
    return replace(some, y=place[some.y], x_test=x_test, y_test=y_test, classes=len(classes))


def with_label_noise(data: Data, fraction: float, seed: int) -> tuple[Data, Tensor]:
    """Move a fraction of the training labels to another class; returns the data and the mask `[N]` of moved labels."""
    random = generator("label-noise", seed)
    count = len(data.y)
    moved = torch.zeros(count, dtype=torch.bool)
    moved[torch.randperm(count, generator=random)[: round(fraction * count)]] = True
    shift = torch.randint(1, data.classes, (count,), generator=random)
    moved, shift = moved.to(data.y.device), shift.to(data.y.device)
    return replace(data, y=torch.where(moved, (data.y + shift) % data.classes, data.y)), moved


def with_random_labels(data: Data, fraction: float, seed: int) -> tuple[Data, Tensor]:
    """Draw the labels of a fraction of the training examples anew, from all classes alike (randY, Arpit et al. 2017).

    Returns the data and the mask `[N]` of those examples. A label may be drawn that it had; the examples of a smaller
    fraction are among those of a larger one.
    """
    if data.y.dim() != 1 or data.y.is_floating_point() or data.targets is not None:
        raise ValueError(f"{data.name} has targets other than one label an example, which cannot be drawn anew")
    random = generator("random-labels", seed)
    chosen = _chosen(data, fraction, random)
    labels = torch.randint(data.classes, (len(data.y),), generator=random).to(data.y.device)
    return replace(data, y=torch.where(chosen, labels, data.y)), chosen


def with_random_inputs(
    data: Data, fraction: float, seed: int, like: Literal["pixel", "channel"] = "pixel"
) -> tuple[Data, Tensor]:
    """Put Gaussian noise in the place of a fraction of the training inputs; labels stay (randX, Arpit et al. 2017).

    The noise has the mean and the standard deviation of each pixel over the training set, or those of each channel.
    Returns the data and the mask `[N]` of those examples; those of a smaller fraction are among those of a larger one.
    """
    random = generator("random-inputs", seed)
    chosen = _chosen(data, fraction, random)
    noise = torch.randn(data.x.shape, generator=random).to(data.x)
    over = (0,) if like == "pixel" else (0, *range(2, data.x.dim()))
    mean, std = data.x.mean(over, keepdim=True), data.x.std(over, correction=0, keepdim=True)
    place = chosen.view(-1, *[1] * (data.x.dim() - 1))
    return replace(data, x=torch.where(place, mean + std * noise, data.x)), chosen


def _chosen(data: Data, fraction: float, random: torch.Generator) -> Tensor:
    """A random fraction of the training examples, as a mask `[N]`."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction = {fraction}: give a share from 0 to 1")
    count = len(data.y)
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.randperm(count, generator=random)[: round(fraction * count)]] = True
    return chosen.to(data.y.device)


def assemble(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    source: dict[str, str] | None = None,
) -> Data:
    """Normalise each channel by its mean and standard deviation over the training set."""
    (x, y), (x_test, y_test) = train, test
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axes, keepdims=True, dtype=np.float64)
    # Channel by channel: of a large set, all deviations at once would not fit into a laptop's memory.
    std = np.stack([c.std(dtype=np.float64) for c in np.moveaxis(x, 1, 0)]).reshape(mean.shape)

    def tensor(a: np.ndarray) -> Tensor:
        found = torch.empty(a.shape)
        for some in blocks(len(a), 4096):
            found[some] = torch.from_numpy(((a[some] - mean) / std).astype(np.float32))
        return found

    return Data(
        name=name,
        x=tensor(x),
        y=torch.from_numpy(y.astype(np.int64)),
        x_test=tensor(x_test),
        y_test=torch.from_numpy(y_test.astype(np.int64)),
        classes=int(y.max()) + 1,
        ids=torch.arange(len(y)),
        source=source or {},
    )


def versions(*packages: str) -> dict[str, str]:
    """The versions of the packages that a data set is made with."""
    return {package: version(package) for package in packages}
