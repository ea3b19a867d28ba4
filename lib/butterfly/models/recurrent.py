"""What recurrent networks with noise share: how they read a sequence, and where the noise goes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod

import torch
from torch import Tensor

from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, Parameter, bias, linear, linear_weight

PATTERN = r"(?!)"  # no name: the cells have files of their own
Move = Callable[[Tensor], Tensor]
OPTIONS = r"(-(?P<recurrent>recurrent)|-zoneout(?P<zoneout>[1-9]\d?))?(-(?P<every>every))?"  # of a cell's name


@dataclass(frozen=True)
class Recurrent(Model):
    """A cell that reads `[numbers, places]` place by place or an image row by row; subclasses say what it does.

    The head reads the last state or, with `every`, each one, and then there are logits `[M, B, T, C]`. What is handed
    on from step to step is one tensor, the state `[M, B, Z]`, and the head reads its first `width` units.

    The noise of training is that of the trainer, so twins share it. Without an option it is dropout of what the head
    reads. `recurrent`: dropout of what is new in the state (Semeniuta et al. 2016). `zoneout`: that percentage of the
    units keep the value that they had one step before (Krueger et al. 2017); the recipe's dropout must be the same
    rate. Without noise, as in every evaluation, each unit goes that share of the way back instead, its mean.
    """

    width: int = 32
    recurrent: str = ""
    zoneout: int = 0  # percent
    every: str = ""

    gates = 1  # times the width: what is computed from input and state in every step
    parts = 1  # times the width: the size of the state

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) in (2, 3)

    @property
    def steps(self) -> int:
        """Places or rows that are read one after another."""
        return self.input_shape[1]

    @property
    def _inputs(self) -> int:
        """Numbers read in one step."""
        return prod(self.input_shape) // self.steps

    @cached_property
    def layout(self) -> Layout:
        gates = self.gates * self.width
        reads = replace(linear_weight("input.weight", self._inputs, gates), std=self._inputs**-0.5)
        state = replace(linear_weight("state.weight", self.width, gates), std=self.width**-0.5)
        head = linear_weight("head.weight", self.width, self.classes)
        own = [reads, bias("input.bias", reads), state, *self.others(state)]
        return Layout([*own, head, bias("head.bias", head)])

    def others(self, state: Parameter) -> list[Parameter]:
        """Parameters that a cell has beside its matrices."""
        return []

    @property
    def activations(self) -> int:
        return (2 * self.gates + 4 * self.parts) * self.width * self.steps

    def step(self, p: Tensors, read: Tensor, state: Tensor, kept: Tensor | None) -> Tensor:
        """The state `[M, B, Z]` after one step, from what was read `[M, B, G]`; `kept` multiplies what is new in it."""
        raise TypeError("use a cell, such as LSTM")

    def reads(self, p: Tensors, x: Tensor) -> Tensor:
        """What each step has to read of `x [M, B, ...]`, already multiplied by the input's matrix: `[M, B, T, G]`."""
        rows = x.transpose(2, 3).flatten(3)
        return linear(rows.flatten(1, 2), p["input.weight"], p["input.bias"]).unflatten(1, rows.shape[1:3])

    def noise(self, shape: tuple[int, ...], like: Tensor, drop: Drop) -> tuple[Tensor | None, Tensor | float]:
        """For all steps at once: what multiplies what is new `[M, B, T, W]`, and how far units stay `[M, B, T, Z]`."""
        kept, stay = None, self.zoneout / 100
        if drop is keep or not (self.recurrent or self.zoneout):
            return kept, stay
        units = self.width * (1 if self.recurrent else self.parts)
        mask = drop(torch.ones(*shape, units, dtype=like.dtype, device=like.device))
        if self.recurrent:
            return mask, stay
        # The trainer's masks are scaled by 1 / (1 - rate): so its rate can be told.
        if abs(float(mask.max()) * (1 - stay) - 1) > 1e-3:
            raise ValueError(f"zoneout of {self.zoneout} % needs a recipe with dropout = {stay:g}, or none at all")
        return kept, (mask == 0).to(like)

    def moves(self, p: Tensors, x: Tensor, drop: Drop = keep) -> list[Move]:
        """One map a step, from the state `[M, B, Z]` before it to that after it; they hold the inputs and the noise."""
        read = self.reads(p, x)
        kept, stay = self.noise(read.shape[:3], read, drop)
        steps = range(read.shape[2])
        # Taken apart at once: the gradient of one place at a time would be as large as the whole each time.
        reads = read.unbind(2)
        each = [None for _ in steps] if kept is None else kept.unbind(2)
        held = [stay for _ in steps] if isinstance(stay, float) else stay.unbind(2)

        def move(t: int, state: Tensor) -> Tensor:
            new = self.step(p, reads[t], state, each[t])
            return new + held[t] * (state - new) if self.zoneout else new

        return [partial(move, t) for t in steps]

    def rest(self, x: Tensor) -> Tensor:
        """The state `[M, B, Z]` before the first step: zero."""
        return x.new_zeros(*x.shape[:2], self.parts * self.width)

    def unroll(self, p: Tensors, x: Tensor, drop: Drop = keep) -> list[Tensor]:
        """The state `[M, B, Z]` after every step."""
        states = [self.rest(x)]
        for move in self.moves(p, x, drop):
            states.append(move(states[-1]))
        return states[1:]

    def answer(self, p: Tensors, states: list[Tensor], drop: Drop = keep) -> Tensor:
        """Logits `[M, B, C]`, or `[M, B, T, C]` of every step."""
        drop = keep if self.recurrent or self.zoneout else drop
        if not self.every:
            return linear(drop(states[-1][..., : self.width]), p["head.weight"], p["head.bias"])
        seen = torch.stack([state[..., : self.width] for state in states], 2)
        return linear(drop(seen).flatten(1, 2), p["head.weight"], p["head.bias"]).unflatten(1, seen.shape[1:3])

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        states = self.unroll(p, x, drop)
        see("state", states[-1][..., : self.width])
        return self.answer(p, states, drop)
