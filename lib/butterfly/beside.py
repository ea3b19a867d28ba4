"""Networks with inputs of their own in one stack.

All members of a stack see the same inputs. Where every seed has drawn its own, the inputs of all are put side by side,
and each network keeps its weights on all but its own at zero: a mask that `train` takes.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from butterfly.data import Data
from butterfly.models import Model
from butterfly.train import Member

_FIRST = "linear0.weight"


class Beside:
    """The task of every seed, side by side, with what `train` needs for them: `model`, `data` and `mask`.

    `one` is the architecture of a network with its own inputs alone, a multilayer perceptron; `tasks` are those of the
    seeds, in order, all with the same labels (and weights, if any) in the same places.
    """

    def __init__(self, one: Model, tasks: Sequence[Data]):
        first = tasks[0]
        if _FIRST not in {p.name for p in one.layout.parameters}:
            raise ValueError("networks with inputs of their own are multilayer perceptrons")
        if any(not torch.equal(a, b) for t in tasks for a, b in ((t.y, first.y), (t.y_test, first.y_test))):
            raise ValueError("tasks side by side have the same labels in the same places")
        self.one, self.count = one, len(tasks)
        x, x_test = (torch.cat([getattr(t, part).flatten(1) for t in tasks], 1) for part in ("x", "x_test"))
        self.data = replace(first, x=x, x_test=x_test)

    @cached_property
    def model(self) -> Model:
        """The architecture that takes all inputs."""
        return replace(self.one, input_shape=self.data.input_shape)

    def together(self, theta: Tensor) -> Tensor:
        """Networks `[S, P]` with their own inputs, one a seed, as networks `[S, P']` that take all."""
        tensors = self.one.layout.tensors(theta)
        own = tensors[_FIRST]  # [S, inputs, units]
        wide = own.new_zeros(self.count, self.count, *own.shape[1:])
        rows = torch.arange(self.count)
        wide[rows, rows] = own
        return self.model.layout.stack(tensors | {_FIRST: wide.flatten(1, 2)})

    @property
    def mask(self) -> Tensor:
        """Which entries each seed's network has `[S, P']`."""
        theta = torch.zeros(self.count, self.one.layout.size, device=self.data.x.device)
        theta[:, : self.one.layout.count] = 1
        return self.together(theta) > 0

    def apart(self, theta: Tensor, members: Sequence[Member]) -> Tensor:
        """The reverse of `together`, for the members `[M, P']` of a population: `[M, P]`."""
        seeds = [member.seed for member in members if member.fork is None]
        family = torch.tensor([seeds.index(member.seed) for member in members], device=theta.device)
        tensors = self.model.layout.tensors(theta)
        wide = tensors[_FIRST].unflatten(1, (self.count, -1))
        return self.one.layout.stack(tensors | {_FIRST: wide[torch.arange(len(theta), device=theta.device), family]})
