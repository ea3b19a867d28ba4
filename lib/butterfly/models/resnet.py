"""CIFAR ResNets with channel norm: `resnetDEPTH-WIDTH[-gelu]`."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, bias, conv, conv_weight, last, linear, linear_weight, norm, norm_last

PATTERN = r"resnet(?P<depth>\d+)-(?P<width>\d+)(-(?P<activation>gelu))?"

_ACTIVATIONS = {"relu": torch.relu_, "gelu": torch.nn.functional.gelu}


@dataclass(frozen=True)
class ResNet(Model):
    """CIFAR ResNet of the Butterfly paper: 3x3 stem, stages of widths w, 2w, 4w, projection shortcuts, channel norm.

    `relu` has a kink at 0, where the gradient jumps; `gelu` is its smooth relative.
    """

    depth: int = 20
    width: int = 32
    activation: str = "relu"

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) == 3

    def __post_init__(self) -> None:
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(f"a CIFAR ResNet has depth 6n + 2 (8, 14, 20, 26, ...), not {self.depth}")

    @property
    def _blocks_a_stage(self) -> int:
        return (self.depth - 2) // 6

    @property
    def _blocks(self) -> list[tuple[str, int, int, int]]:
        """Name, input channels, output channels and stride of each basic block."""
        found, channels = [], self.width
        for stage in range(3):
            for block in range(self._blocks_a_stage):
                outputs, stride = self.width << stage, 2 if stage and not block else 1
                found.append((f"stage{stage}.block{block}", channels, outputs, stride))
                channels = outputs
        return found

    @cached_property
    def layout(self) -> Layout:
        # The skip connections make all blocks of a stage write to one stream, named after the last of them.
        last = f"block{self._blocks_a_stage - 1}"
        stem = conv_weight("stem.weight", self.width, self.input_shape[0], 3, 3, writes=f"stage0.{last}")
        parameters, before = [stem, *norm("stem.norm", stem)], stem.writes
        for name, inputs, outputs, _ in self._blocks:
            inner, stream = f"{name}.inner", f"{name.partition('.')[0]}.{last}"
            first = conv_weight(f"{name}.conv0.weight", outputs, inputs, 3, 3, reads=before, writes=inner)
            second = conv_weight(f"{name}.conv1.weight", outputs, outputs, 3, 3, reads=inner, writes=stream)
            parameters += [first, *norm(f"{name}.norm0", first), second, *norm(f"{name}.norm1", second)]
            if inputs != outputs:
                shortcut = conv_weight(f"{name}.shortcut.weight", outputs, inputs, 1, 1, reads=before, writes=stream)
                parameters += [shortcut, *norm(f"{name}.shortcut.norm", shortcut)]
            before = stream
        head = linear_weight("head.weight", 4 * self.width, self.classes, reads=before)
        return Layout([*parameters, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        # About three tensors a convolution; a stage has half the numbers a tensor of the one before.
        first_stage = self.width * prod(self.input_shape[1:])
        return round(3 * (1 + (self.depth - 2) / 3 * (1 + 1 / 2 + 1 / 4)) * first_stage)

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        if len(x) > 1 and x.device.type == "cpu" and drop is keep and see is overlook:
            # One after another is faster on a CPU: what one keeps for its gradient fills the caches.
            members = zip(*(value.split(1) for value in p.values()), x.split(1), strict=True)
            return torch.cat([self.forward(dict(zip(p, own, strict=True)), inputs) for *own, inputs in members])

        # Inside, channels come last: [M, B, H, W, C], which convolutions and norms like best.
        def layer(h: Tensor, name: str, norm: str, stride: int = 1, padding: int = 1) -> Tensor:
            y = conv(h.movedim(-1, 2), p[f"{name}.weight"], stride=stride, padding=padding)
            return norm_last(y.movedim(2, -1), p[f"{norm}.gain"], p[f"{norm}.bias"])

        active = _ACTIVATIONS[self.activation]
        h = active(layer(last(x), "stem", "stem.norm"))
        see("stem", h.movedim(-1, 2))
        for name, inputs, outputs, stride in self._blocks:
            skip = h
            if inputs != outputs:
                skip = layer(h, f"{name}.shortcut", f"{name}.shortcut.norm", stride, 0)
            h = active(layer(h, f"{name}.conv0", f"{name}.norm0", stride))
            see(f"{name}.inner", h.movedim(-1, 2))
            h = drop(h.movedim(-1, 2)).movedim(2, -1)
            h = active(layer(h, f"{name}.conv1", f"{name}.norm1").add_(skip))
            see(name, h.movedim(-1, 2))
        return linear(h.mean((2, 3)), p["head.weight"], p["head.bias"])
