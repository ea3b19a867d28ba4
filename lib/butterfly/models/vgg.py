"""CIFAR VGGs with channel norm: `vggDEPTH-WIDTH`."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, bias, conv, conv_weight, last, linear, linear_weight, norm, norm_last

PATTERN = r"vgg(?P<depth>\d+)-(?P<width>\d+)"


_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@dataclass(frozen=True)
class VGG(Model):
    """CIFAR VGG of the difficulty paper: 3x3 convolutions in stages of widths w, 2w, 4w, 8w, 8w, with channel norm.

    Each stage ends by halving the image; the linear head reads the mean over what is left of it.
    """

    depth: int = 11
    width: int = 64

    def __post_init__(self) -> None:
        if self.depth not in _VGG:
            raise ValueError(f"a VGG has depth {', '.join(map(str, _VGG))}, not {self.depth}")

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) == 3 and min(input_shape[1:]) >= 32

    @property
    def _channels(self) -> list[int]:
        """Channels of each stage."""
        return [self.width * factor for factor in (1, 2, 4, 8, 8)]

    @cached_property
    def layout(self) -> Layout:
        parameters, channels, before = [], self.input_shape[0], ""
        for stage, (count, width) in enumerate(zip(_VGG[self.depth], self._channels, strict=True)):
            for layer in range(count):
                name = f"stage{stage}.conv{layer}"
                w = conv_weight(f"{name}.weight", width, channels, 3, 3, reads=before, writes=name)
                parameters += [w, *norm(f"{name}.norm", w)]
                channels, before = width, name
        head = linear_weight("head.weight", channels, self.classes, reads=before)
        return Layout([*parameters, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        # About three tensors a convolution; each stage has a quarter of the places.
        places = prod(self.input_shape[1:])
        stages = enumerate(zip(_VGG[self.depth], self._channels, strict=True))
        return sum(3 * count * width * places // 4**stage for stage, (count, width) in stages)

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        h = last(x)  # channels come last inside: [M, B, H, W, C]
        for stage, count in enumerate(_VGG[self.depth]):
            for layer in range(count):
                name, images = f"stage{stage}.conv{layer}", h.movedim(-1, 2)
                h = conv(drop(images) if layer else images, p[f"{name}.weight"], padding=1).movedim(2, -1)
                h = norm_last(h, p[f"{name}.norm.gain"], p[f"{name}.norm.bias"]).relu_()
                see(name, h.movedim(-1, 2))
            halved = torch.nn.functional.avg_pool2d(h.movedim(-1, 2).flatten(0, 1), 2)
            h = halved.unflatten(0, x.shape[:2]).movedim(2, -1)
        return linear(h.mean((2, 3)), p["head.weight"], p["head.bias"])
