"""Gated recurrent units: `gru-WIDTH`."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, bias, linear, linear_weight

PATTERN = r"gru-(?P<width>\d+)"


@dataclass(frozen=True)
class GRU(Model):
    """Gated recurrent units (Cho et al. 2014) that read an image row by row, or a signal 4 places at a time.

    The head reads the last state. The gates are those of `torch.nn.GRU`, with one bias each. The states feed
    themselves, which weight matching does not know: the layout declares none of its units exchangeable.
    """

    width: int = 32

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) == 3 or (len(input_shape) == 2 and input_shape[1] % _PLACES_A_STEP == 0)

    @property
    def _inputs(self) -> int:
        """Numbers read in one step."""
        channels, *space = self.input_shape
        return channels * (space[1] if len(space) == 2 else _PLACES_A_STEP)

    @cached_property
    def layout(self) -> Layout:
        gates = 3 * self.width  # reset, update, new
        reads = replace(linear_weight("input.weight", self._inputs, gates), std=self._inputs**-0.5)
        state = replace(linear_weight("state.weight", self.width, gates), std=self.width**-0.5)
        head = linear_weight("head.weight", self.width, self.classes)
        return Layout([reads, bias("input.bias", reads), state, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        return 8 * self.width * (prod(self.input_shape) // self._inputs)

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        if x.dim() == 4:  # a signal [M, B, channels, places]
            x = x.unflatten(3, (-1, _PLACES_A_STEP))
        rows = x.transpose(2, 3).flatten(3)  # [M, B, steps, numbers]
        read = linear(rows.flatten(1, 2), p["input.weight"], p["input.bias"]).unflatten(1, rows.shape[1:3])
        h = torch.zeros_like(read[:, :, 0, : self.width])
        for step in range(rows.shape[2]):
            now, before = read[:, :, step], torch.bmm(h, p["state.weight"])
            reset, update = torch.sigmoid((now + before)[..., : 2 * self.width]).chunk(2, dim=2)
            new = torch.tanh(now[..., 2 * self.width :] + reset * before[..., 2 * self.width :])
            h = new + update * (h - new)
        see("state", h)
        return linear(drop(h), p["head.weight"], p["head.bias"])


_PLACES_A_STEP = 4  # of a signal, that a recurrent network reads at a time
