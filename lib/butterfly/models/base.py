"""What every architecture has; each declares its parameters and says how a stack of it maps inputs to logits."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from butterfly.stack import Layout
from butterfly.streams import generator

Tensors = dict[str, Tensor]
Drop = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor], Tensor]
See = Callable[[str, Tensor], object]


def keep(h: Tensor) -> Tensor:
    """No dropout."""
    return h


def overlook(name: str, h: Tensor) -> None:
    """Nobody looks at the hidden layers."""


@dataclass(frozen=True)
class Model:
    """What every architecture has: the shape of one input, the number of classes, and a layout.

    The layout names the hidden layer that each axis of each tensor runs over. Tensors that name the same layer share a
    permutation of its units (a residual stream is one layer). `forward` shows each hidden layer under its name, as
    `[M, B, units, *space]` after the activation function; a residual stream has the name of its last block.
    """

    input_shape: tuple[int, ...]
    classes: int

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        """Whether this architecture takes inputs `[channels, *space]` of that shape."""
        return True

    @property
    def layout(self) -> Layout:
        raise TypeError("use an architecture of butterfly.models, such as MLP")

    @property
    def activations(self) -> int:
        """Numbers kept for one example on its way through one network: what memory is counted in."""
        raise TypeError("use an architecture of butterfly.models, such as MLP")

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        """Logits `[M, B, C]` of a stack with tensors `p` on `x [M, B, *input_shape]`; `see` gets the hidden layers."""
        raise TypeError("use an architecture of butterfly.models, such as MLP")

    def logits(self, theta: Tensor, x: Tensor) -> Tensor:
        """Logits `[M, B, C]` of the stack `theta [M, P]` on shared inputs `x [B, *input_shape]`."""
        return self.forward(self.layout.tensors(theta), x.expand(len(theta), *x.shape))

    def features(self, theta: Tensor, x: Tensor) -> Tensors:
        """Every hidden layer `[M, B, units, *space]` and the logits, by name and in order of depth; inputs shared.

        What lies inside a residual block, beside its stream, is named `*.inner`.
        """
        found: Tensors = {}
        with torch.no_grad():
            inputs = x.expand(len(theta), *x.shape)
            found["logits"] = self.forward(self.layout.tensors(theta), inputs, see=found.__setitem__)
        return found

    def gradient(self, theta: Tensor, x: Tensor, loss: Loss, drop: Drop = keep) -> Tensor:
        """Gradient `[M, P]` of `loss(logits)`, a sum over members, at the stack `theta` on inputs `x [M, B, ...]`."""
        leaves = {name: view.detach().requires_grad_() for name, view in self.layout.tensors(theta).items()}
        parts = torch.autograd.grad(loss(self.forward(leaves, x, drop)), list(leaves.values()))
        return self.layout.stack(dict(zip(leaves, parts, strict=True)))

    def kept(self, theta: Tensor) -> Tensor | None:
        """A copy of what training must not change in the rows `theta`; None where it may change all."""
        return None

    def keep_back(self, theta: Tensor, kept: Tensor | None) -> None:
        """Put back what `kept` copied."""

    def init(self, seeds: list[int]) -> Tensor:
        """One freshly initialised network a seed: `[M, P]`."""
        return self.layout.init([generator("init", seed) for seed in seeds])
