"""Plain convolutional networks for signals and images: `cnn-DEPTHxWIDTH`."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, bias, conv, conv_weight, linear, linear_weight

PATTERN = r"cnn-(?P<depth>\d+)x(?P<width>\d+)"


@dataclass(frozen=True)
class CNN(Model):
    """`depth` convolutions of stride 2 and a linear head, for signals and images.

    With 3 layers of 25 channels, the CNN of the MNIST-1D paper; the first kernel has 5 places along each axis, the
    others 3.
    """

    depth: int = 3
    width: int = 25

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) in (2, 3) and min(input_shape[1:]) >= 3

    @cached_property
    def layout(self) -> Layout:
        channels, axes = self.input_shape[0], len(self.input_shape) - 1
        parameters, before = [], ""
        for layer in range(self.depth):
            name, here = f"conv{layer}.weight", f"hidden{layer}"
            w = conv_weight(name, self.width, channels, *[self._kernel(layer)] * axes, reads=before, writes=here)
            parameters += [w, bias(f"conv{layer}.bias", w)]
            channels, before = self.width, here
        head = linear_weight("head.weight", channels * prod(self._spaces[-1]), self.classes, reads=before)
        return Layout([*parameters, head, bias("head.bias", head)])

    @cached_property
    def _spaces(self) -> list[list[int]]:
        """Places along each axis behind each layer."""
        found = [list(self.input_shape[1:])]
        for layer in range(self.depth):
            found.append([(size + 2 - self._kernel(layer)) // 2 + 1 for size in found[-1]])
        return found[1:]

    @staticmethod
    def _kernel(layer: int) -> int:
        return 3 if layer else 5

    @property
    def activations(self) -> int:
        return prod(self.input_shape) + 3 * self.width * sum(map(prod, self._spaces))

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        h = x
        for layer in range(self.depth):
            weight, shift = p[f"conv{layer}.weight"], p[f"conv{layer}.bias"]
            h = torch.relu(conv(h, weight, stride=2, padding=1, bias=shift))
            see(f"hidden{layer}", h)
            h = drop(h)
        return linear(h.flatten(2), p["head.weight"], p["head.bias"])
