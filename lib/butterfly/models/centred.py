"""A network whose outputs are centred at its start and scaled: `alpha * (f(w) - f(w0))`.

At large `alpha` it learns while it hardly moves (the lazy regime: Chizat, Oyallon and Bach 2019).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout

PATTERN = r"(?!)"  # no name: it wraps another architecture, as in Centred.of(model, alpha=100)
_START = "start."


@dataclass(frozen=True)
class Centred(Model):
    """Each row holds a network and, behind it, its start, which training, kicks and alignment leave alone."""

    inner: Model | None = None
    alpha: float = 1.0

    @classmethod
    def of(cls, inner: Model, alpha: float) -> "Centred":
        """The architecture `inner` with outputs `alpha * (f(w) - f(w0))`."""
        if alpha <= 0:
            raise ValueError(f"alpha = {alpha}: give a scale above 0")
        return cls(inner.input_shape, inner.classes, inner, alpha)

    @cached_property
    def layout(self) -> Layout:
        own = self.inner.layout.parameters
        # No scale, no layers: a kick does not touch the start, and a permutation of units does not concern it.
        start = [
            replace(p, name=_START + p.name, kind="start", scale=0.0, writes="", axes=("",) * len(p.shape)) for p in own
        ]
        return Layout([*own, *start])

    @property
    def activations(self) -> int:
        return 2 * self.inner.activations

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        own = {name: tensor for name, tensor in p.items() if not name.startswith(_START)}
        start = {name.removeprefix(_START): tensor.detach() for name, tensor in p.items() if name.startswith(_START)}
        with torch.no_grad():
            before = self.inner.forward(start, x)
        return self.alpha * (self.inner.forward(own, x, drop, see) - before)

    def gradient(self, theta, x, loss, drop=keep):
        """As in `Model`; that of the start is 0."""
        tensors = self.layout.tensors(theta)
        leaves = {n: v.detach().requires_grad_(not n.startswith(_START)) for n, v in tensors.items()}
        moving = [leaf for leaf in leaves.values() if leaf.requires_grad]
        parts = iter(torch.autograd.grad(loss(self.forward(leaves, x, drop)), moving))
        return self.layout.stack(
            {n: next(parts) if v.requires_grad else torch.zeros_like(v) for n, v in leaves.items()}
        )

    @property
    def _behind(self) -> slice:
        """Where the start lies in a row."""
        return slice(self.inner.layout.count, self.layout.count)

    def kept(self, theta: Tensor) -> Tensor:
        return theta[:, self._behind].clone()

    def keep_back(self, theta: Tensor, kept: Tensor | None) -> None:
        theta[:, self._behind] = kept

    def init(self, seeds: list[int]) -> Tensor:
        """Freshly initialised networks that stand at their start: their outputs are 0."""
        tensors = self.inner.layout.tensors(self.inner.init(seeds))
        return self.layout.stack(tensors | {_START + name: tensor for name, tensor in tensors.items()})
