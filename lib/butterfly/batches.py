"""The minibatches of a run: for every seed its own order, augmentation and loss, whoever looks at them and when."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from butterfly.augment import Augment, augment
from butterfly.data import Data
from butterfly.objective import Objective, cross_entropy
from butterfly.streams import generator


@dataclass(frozen=True)
class Places:
    """Which row of a tensor with one row a seed each member has: one row for all, neighbours, or any."""

    index: int | slice | Tensor
    count: int

    @classmethod
    def of(cls, family: Tensor, device: torch.device) -> "Places":
        """From the rows `family [M]`, on the CPU, for tensors on a device."""
        first = int(family[0])
        if bool((family == first).all()):
            return cls(first, len(family))
        neighbours = torch.equal(family, torch.arange(first, first + len(family)))
        return cls(slice(first, first + len(family)) if neighbours else family.to(device), len(family))


@dataclass(frozen=True)
class Batch:
    """One minibatch a seed: inputs `[S, B, ...]`, labels `[S, B]` or targets `[S, B, C]`, weights `[S, B]`."""

    x: Tensor
    target: Tensor
    weight: Tensor | None

    def inputs(self, family: Tensor | Places) -> Tensor:
        """Inputs `[M, B, ...]` for members whose seeds stand at the places `family [M]`."""
        return spread(self.x, family)

    def losses(self, logits: Tensor, family: Tensor | Places, objective: Objective = cross_entropy) -> Tensor:
        """Mean loss `[M]` of each member, weighted where examples have weights."""
        each = objective(logits, spread(self.target, family))
        if self.weight is None:
            return each.mean(1)
        weight = spread(self.weight, family)
        # A minibatch whose weights are all zero moves nothing.
        return (each * weight).sum(1) / weight.sum(1).clamp_min(1e-12)


class Minibatches:
    """The minibatch of every seed at every step; what it holds depends on the seed and the step alone.

    A seed has one row; `branch` adds rows for members whose noise is their own. `batch_size` is a number, or a
    function that says it for each step.
    """

    def __init__(self, data: Data, batch_size: int | Callable[[int], int], augment: Augment, seeds: Sequence[int]):
        self.data, self.augment = data, augment
        self.size_at = batch_size if callable(batch_size) else lambda step: batch_size
        self.orders = [(seed,) for seed in seeds]  # of each row: the key of the stream that orders the examples,
        self.views = [(seed,) for seed in seeds]  # that of the stream that augments them,
        self.origin = list(range(len(seeds)))  # and the place of its seed;
        self.shuffled: dict[int, tuple] = {}  # rows that see each minibatch of their seed in another order, of this key
        self._epoch, self._order = -1, torch.empty(0)
        self._seeds = torch.empty(0)  # `origin` as a column, on the device
        self._places = [(0, 0)]  # of every step so far: its epoch, and where in it its minibatch begins

    def branch(self, row: int, what: str, *key: int) -> int:
        """A new row for the seed at `row` and its number; it differs from that by `what`, drawn from streams of `key`.

        `order`: other minibatches; `within`: the same minibatches, their examples in another order; `augment`: other
        augmentation.
        """
        own = (*self.orders[row], "own", *key)
        self.orders.append(own if what == "order" else self.orders[row])
        self.views.append(own if what == "augment" else self.views[row])
        self.origin.append(self.origin[row])
        new = len(self.origin) - 1
        if what == "within":
            self.shuffled[new] = own
        return new

    def at(self, step: int) -> Batch:
        """The minibatch of update number `step`, one row a seed and branch."""
        count, size = len(self.data.y), self.size_at(step)
        epoch, begin = self._place(step)
        if self._epoch != epoch or len(self._order) != len(self.orders):
            drawn = [torch.randperm(count, generator=generator("order", *key, epoch)) for key in self.orders]
            self._epoch, self._order = epoch, torch.stack(drawn).to(self.data.y.device)
            self._seeds = torch.tensor(self.origin, device=self.data.y.device)[:, None]
        at = self._order[:, begin : begin + size]
        x = self.data.x.index_select(0, at.flatten()).unflatten(0, at.shape)
        if self.augment.active:
            streams = [generator("augment", *key, step) for key in self.views]
            x = augment(x.flatten(0, 1), self.augment, *streams).unflatten(0, at.shape)
        if self.shuffled:
            at = at.clone()
        for row, key in self.shuffled.items():
            places = torch.randperm(size, generator=generator("within", *key, step))
            at[row], x[row] = at[row, places], x[row, places]
        targets = self.data.y if self.data.targets is None else self.data.targets
        weights = self.data.weights
        return Batch(
            x,
            self._pick(targets, at, per_seed=targets.dim() == 3),
            None if weights is None else self._pick(weights, at, per_seed=weights.dim() == 2),
        )

    def _place(self, step: int) -> tuple[int, int]:
        """The epoch of a step, and where in its order the minibatch begins; an incomplete last batch is left out."""
        while len(self._places) <= step:
            epoch, begin = self._places[-1]
            begin += self.size_at(len(self._places) - 1)
            fits = begin + self.size_at(len(self._places)) <= len(self.data.y)
            self._places.append((epoch, begin) if fits else (epoch + 1, 0))
        return self._places[step]

    def _pick(self, values: Tensor, at: Tensor, per_seed: bool) -> Tensor:
        """Entries `at [R, B]` of per-example values `[N, ...]`, or of per-seed values `[S, N, ...]`."""
        return values[self._seeds, at] if per_seed else values[at]

    def another(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """One other minibatch `(x [B, ...], y [B])` from the whole training set, augmented like the rest."""
        at = torch.randperm(len(self.data.y), generator=random)[: self.size_at(0)].to(self.data.y.device)
        x = self.data.x.index_select(0, at.flatten()).unflatten(0, at.shape)
        if self.augment.active:
            x = augment(x, self.augment, random)
        return x, self.data.y[at]


def spread(per_seed: Tensor, family: Tensor | Places) -> Tensor:
    """From one row a seed `[S, ...]` to one row a member `[M, ...]`; neighbours, and one seed, need no copy."""
    places = family if isinstance(family, Places) else Places.of(family, per_seed.device)
    if isinstance(places.index, int):
        return per_seed[places.index].expand(places.count, *per_seed.shape[1:])
    return per_seed[places.index]
