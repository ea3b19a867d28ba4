"""Gated recurrent units with noise in the recurrence: `gated-WIDTH[-recurrent|-zoneoutPERCENT][-every]`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from butterfly.models.base import Tensors
from butterfly.models.recurrent import OPTIONS, Recurrent

PATTERN = r"gated-(?P<width>\d+)" + OPTIONS


@dataclass(frozen=True)
class Gated(Recurrent):
    """Gated recurrent units (Cho et al. 2014) with the gates of `gru-WIDTH`; the state is all that is handed on."""

    gates = 3

    def step(self, p: Tensors, read: Tensor, state: Tensor, kept: Tensor | None) -> Tensor:
        before = torch.bmm(state, p["state.weight"])
        both = 2 * self.width
        reset, update = torch.sigmoid((read + before)[..., :both]).chunk(2, dim=2)
        new = torch.tanh(read[..., both:] + reset * before[..., both:])
        new = new if kept is None else new * kept
        return new + update * (state - new)
