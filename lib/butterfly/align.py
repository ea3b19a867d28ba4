"""Permutation alignment: hidden units have no order of their own, so two networks may be one in disguise.

A permutation is a dict from hidden layers to index vectors `[K, n]`, one row a pair of networks: unit `i` of the
permuted network is unit `p[i]` of the old one. Which axes of which tensors a layer's permutation moves is declared
once, in the model's layout; everything here follows from that declaration.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from butterfly.models import Model
from butterfly.stack import Layout, Parameter, blocks
from butterfly.streams import generator

Permutation = Mapping[str, Tensor]

_SWEEPS = 100  # a cap that is not reached in practice
# Numbers of hidden layers held at once, for all pairs.
_NUMBERS = {"cpu": 1 << 24, "cuda": 1 << 30}


def identity(layout: Layout, pairs: int) -> dict[str, Tensor]:
    """The permutation that moves nothing, for `pairs` networks."""
    return {layer: torch.arange(units).repeat(pairs, 1) for layer, units in layout.groups.items()}


def shuffled(layout: Layout, generators: list[torch.Generator]) -> dict[str, Tensor]:
    """A uniformly random permutation a generator."""
    groups = layout.groups.items()
    return {layer: torch.stack([torch.randperm(n, generator=g) for g in generators]) for layer, n in groups}


def inverse(permutation: Permutation) -> dict[str, Tensor]:
    """The permutation that undoes this one."""
    return {layer: index.argsort(1) for layer, index in permutation.items()}


def compose(first: Permutation, then: Permutation) -> dict[str, Tensor]:
    """The one permutation that does what `first` and `then` do in turn."""
    return {layer: index.gather(1, then[layer]) for layer, index in first.items()}


def fixed_points(permutation: Permutation, other: Permutation | None = None) -> dict[str, Tensor]:
    """Share of the units of each layer `[K]` that stay where they are, or that `other` puts in the same place."""
    return {
        layer: (index == (torch.arange(index.shape[1]) if other is None else other[layer])).double().mean(1)
        for layer, index in permutation.items()
    }


def permute(layout: Layout, theta: Tensor, permutation: Permutation) -> Tensor:
    """The networks `theta [K, P]` with their hidden units in another order; the functions are the same."""
    moved = theta.clone(memory_format=torch.contiguous_format)
    for p, view in zip(layout.parameters, layout.tensors(moved).values(), strict=True):
        view.copy_(_permuted(view, p, permutation))
    return moved


def _permuted(tensor: Tensor, p: Parameter, permutation: Permutation) -> Tensor:
    """One tensor of each network `[K, *shape]`, every axis whose layer the permutation names in its new order."""
    for axis, layer in enumerate(p.axes, start=1):
        if layer in permutation:
            tensor = _along(tensor, axis, permutation[layer])
    return tensor


def _along(tensor: Tensor, axis: int, index: Tensor) -> Tensor:
    """Reorder one axis of each network's tensor; an axis longer than the layer holds each unit in one run."""
    pairs, units = index.shape
    runs = tensor.unflatten(axis, (units, -1))
    shape = [1] * runs.dim()
    shape[0], shape[axis] = pairs, units
    return torch.take_along_dim(runs, index.view(shape).to(tensor.device), axis).flatten(axis, axis + 1)


def looseness(layout: Layout, theta: Tensor, temperature: float = 0.1, rounds: int = 100) -> Tensor:
    """How loosely the units of each network `theta [M, P]` are told apart: `[M]`, from 0 to 1, the mean over layers.

    `C` holds the cosines between the weights of the units of one layer, in and out. The Sinkhorn plan of
    `exp(C / temperature)` is the soft permutation of the network onto itself; the best permutation is the identity, of
    entropy log n for n units. The difference of the two entropies, over log n, is 0 where every unit is matched to
    itself alone, and 1 where units could be exchanged at will.
    """
    tensors = layout.tensors(theta.to("cpu", torch.float64))
    every = torch.arange(len(theta))
    found = []
    for layer, units in layout.groups.items():
        products = _products(layout, tensors, tensors, layer, every)
        norms = products.diagonal(dim1=1, dim2=2).sqrt()
        plan = products / (norms[:, :, None] * norms[:, None, :]) / temperature
        for _ in range(rounds):
            plan = plan - plan.logsumexp(1, keepdim=True)
            plan = plan - plan.logsumexp(2, keepdim=True)
        found.append(-(plan.exp() * plan).sum(2).mean(1) / math.log(units))
    return torch.stack(found).mean(0)


# --- weight matching -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Matching:
    """What weight matching found for each pair: a permutation of `b`, and what it cost to find.

    `objective [K]` is the inner product of `a` with the permuted `b`; `sweeps [K]` is how often the layers were gone
    through in the restart that was kept.
    """

    permutation: dict[str, Tensor]
    objective: Tensor
    sweeps: Tensor


def weight_matching(layout: Layout, a: Tensor, b: Tensor, restarts: int = 1) -> Matching:
    """The permutation that brings each `b [K, P]` close to its `a [K, P]`, as in Ainsworth et al. (2023).

    Coordinate ascent: one hidden layer at a time, all others held, the best order of its units is a linear assignment
    problem; sweeps over the layers, in an order drawn from a named stream, go on until no layer improves. The result is
    a local optimum of `<a, permuted b>` over all tensors, biases and norms included, and so of the distance. The first
    of the `restarts` begins at the identity, every other at a random permutation, the same for all pairs; for each pair
    the best is kept. A network that is not finite is left as it is.
    """
    if restarts < 1:
        raise ValueError(f"weight matching needs at least one start, not {restarts}")
    best: Matching | None = None
    for restart in range(restarts):
        found = _ascent(layout, a, b, restart, _start(layout, len(a), restart))
        best = found if best is None else _better(best, found)
    return best


def joint_matching(layout: Layout, networks: Tensor, restarts: int = 1) -> tuple[list[dict[str, Tensor]], Tensor]:
    """One permutation a network that brings all networks `[K, n, P]` of each set together; and the objective `[K]`.

    Again and again, each network is matched to the mean of the others, in an order drawn from a named stream, until
    nothing moves. The objective, the sum of inner products over all pairs, never falls. Restarts differ in the order;
    for each set the best is kept. A set with a network that is not finite is left as it is.
    """
    if restarts < 1:
        raise ValueError(f"joint matching needs at least one start, not {restarts}")
    best: tuple[list[dict[str, Tensor]], Tensor] | None = None
    for restart in range(restarts):
        found, objective = _joint_ascent(layout, networks, restart)
        if best is None:
            best = found, objective
            continue
        wins = objective > best[1]
        pairs = zip(found, best[0], strict=True)
        kept = [{k: torch.where(wins[:, None], p[k], q[k]) for k in p} for p, q in pairs]
        best = kept, torch.where(wins, objective, best[1])
    return best


def _joint_ascent(layout: Layout, networks: Tensor, restart: int) -> tuple[list[dict[str, Tensor]], Tensor]:
    moved = networks.to("cpu", torch.float64, copy=True)
    sets, count = moved.shape[:2]
    permutations = [identity(layout, sets) for _ in range(count)]
    for sweep in range(_SWEEPS):
        still = True
        order = torch.randperm(count, generator=generator("joint", restart, sweep))
        for place in order.tolist():
            others = (moved.sum(1) - moved[:, place]) / (count - 1)
            found = _ascent(layout, others, moved[:, place], restart, identity(layout, sets))
            if all((share == 1).all() for share in fixed_points(found.permutation).values()):
                continue
            moved[:, place] = permute(layout, moved[:, place], found.permutation)
            permutations[place] = compose(permutations[place], found.permutation)
            still = False
        if still:
            break
    objective = (moved.sum(1).square().sum(1) - moved.square().sum((1, 2))) / 2
    return permutations, objective


def _better(one: Matching, other: Matching) -> Matching:
    """For each pair, the matching with the larger objective."""
    wins = other.objective > one.objective
    return Matching(
        {layer: torch.where(wins[:, None], other.permutation[layer], p) for layer, p in one.permutation.items()},
        torch.where(wins, other.objective, one.objective),
        torch.where(wins, other.sweeps, one.sweeps),
    )


def _start(layout: Layout, pairs: int, restart: int) -> dict[str, Tensor]:
    """Where a restart begins: the first at the identity, every other at a random permutation, the same for all."""
    if restart == 0:
        return identity(layout, pairs)
    drawn = shuffled(layout, [generator("align start", restart)])
    return {layer: index.repeat(pairs, 1) for layer, index in drawn.items()}


def _ascent(layout: Layout, a: Tensor, b: Tensor, restart: int, start: Permutation) -> Matching:
    """Coordinate ascent from a permutation, all pairs at once."""
    a, b = a.to("cpu", torch.float64), permute(layout, b.to("cpu", torch.float64), start)
    of_a, of_b = layout.tensors(a), layout.tensors(b)  # views: `b` is permuted in place as the ascent goes on
    permutation = {layer: index.clone() for layer, index in start.items()}
    layers = list(layout.groups)
    tolerance = 1e-12 * a.norm(dim=1) * b.norm(dim=1)
    # A layer needs another look only after a neighbour has moved; what is not finite needs none.
    finite = a.isfinite().all(1) & b.isfinite().all(1)
    stale = {layer: finite.clone() for layer in layers}
    sweeps = torch.zeros(len(a), dtype=torch.long)
    for sweep in range(_SWEEPS):
        sweeps += torch.stack(list(stale.values())).any(0)
        for place in torch.randperm(len(layers), generator=generator("align", restart, sweep)).tolist():
            layer = layers[place]
            rows = stale[layer].nonzero().squeeze(1)
            if len(rows) == 0:
                continue
            step, gained = _assign(_products(layout, of_a, of_b, layer, rows), tolerance[rows])
            moved, step = rows[gained], step[gained]
            permutation[layer][moved] = permutation[layer][moved].gather(1, step)
            for p in layout.parameters:
                if layer in p.axes:
                    of_b[p.name][moved] = _permuted(of_b[p.name][moved], p, {layer: step})
            stale[layer][rows] = False
            for neighbour in _neighbours(layout, layer):
                stale[neighbour][moved] = True
        if not any(flags.any() for flags in stale.values()):
            break
    return Matching(permutation, (a * b).sum(1), sweeps)


def _products(layout: Layout, of_a: dict[str, Tensor], of_b: dict[str, Tensor], layer: str, rows: Tensor) -> Tensor:
    """Inner products `[K, n, n]` of every unit of `a` with every unit of `b` in one layer, for some of the pairs."""
    units = layout.groups[layer]
    total = torch.zeros(len(rows), units, units, dtype=torch.float64)
    for p in layout.parameters:
        for axis, name in enumerate(p.axes, start=1):
            if name == layer:
                one, other = (_by_unit(tensors[p.name][rows], axis, units) for tensors in (of_a, of_b))
                total.baddbmm_(one, other.mT)
    return total


def _by_unit(tensor: Tensor, axis: int, units: int) -> Tensor:
    """`[K, ..., units (* run), ...]` -> `[K, units, everything else]`."""
    return tensor.movedim(axis, 1).unflatten(1, (units, -1)).flatten(2)


def _assign(products: Tensor, tolerance: Tensor) -> tuple[Tensor, Tensor]:
    """The best assignment `[K, n]` of each matrix, and whether it beats the identity by more than `tolerance [K]`."""
    best = [linear_sum_assignment(product, maximize=True)[1] for product in products.numpy()]
    index = torch.from_numpy(np.stack(best))
    gain = products.gather(2, index[:, :, None]).sum((1, 2)) - products.diagonal(dim1=1, dim2=2).sum(1)
    return index, gain > tolerance


def _neighbours(layout: Layout, layer: str) -> set[str]:
    """The hidden layers that share a tensor with this one."""
    return {name for p in layout.parameters if layer in p.axes for name in p.axes} - {"", layer}


# --- activation matching ---------------------------------------------------------------------------------------------


def activation_matching(model: Model, a: Tensor, b: Tensor, x: Tensor) -> dict[str, Tensor]:
    """The permutation that pairs units by the correlation of their activations on the examples `x [N, ...]`.

    Each layer is one linear assignment problem, with Pearson correlations over examples and places as the gain. A unit
    that never varies correlates with nothing and stays where it is if it can. Give it enough examples: with a few,
    chance correlations decide.
    """
    moments: dict[str, _Moments] = {}
    examples = max(16, _NUMBERS[x.device.type] // (2 * len(a) * model.activations))
    for some in blocks(len(x), examples):
        of_a, of_b = model.features(a, x[some]), model.features(b, x[some])
        for layer, units in model.layout.groups.items():
            moments.setdefault(layer, _Moments.zeros(len(a), units)).add(of_a[layer], of_b[layer])
    found = {}
    for layer, units in model.layout.groups.items():
        stay = 1e-9 * torch.eye(units, dtype=torch.float64)
        found[layer], _ = _assign(moments[layer].correlation().nan_to_num() + stay, torch.zeros(len(a)))
    return found


@dataclass
class _Moments:
    """Running sums of products of activations, in float64: all that a correlation needs."""

    count: int
    sums: Tensor  # [2, K, n]: of a and of b
    squares: Tensor  # [2, K, n]
    products: Tensor  # [K, n, n]
    origin: Tensor | None = None  # [2, K, n, 1]: the first activations, from which all are measured

    @classmethod
    def zeros(cls, pairs: int, units: int) -> "_Moments":
        shape = (2, pairs, units)
        sums, squares = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        return cls(0, sums, squares, torch.zeros(pairs, units, units, dtype=torch.float64))

    def add(self, a: Tensor, b: Tensor) -> None:
        """Count the activations `[K, b, n, *space]` of both networks."""
        a, b = (h.reshape(*h.shape[:3], -1).movedim(2, 1).flatten(2).to("cpu", torch.float64) for h in (a, b))
        if self.origin is None:
            self.origin = torch.stack([a[..., :1], b[..., :1]])
        # So a unit that never varies has sums of exactly 0, and small variations about a large mean keep their digits.
        a, b = a - self.origin[0], b - self.origin[1]
        self.count += a.shape[2]
        self.sums += torch.stack([a.sum(2), b.sum(2)])
        self.squares += torch.stack([a.square().sum(2), b.square().sum(2)])
        self.products.baddbmm_(a, b.mT)

    def correlation(self) -> Tensor:
        """Pearson correlations `[K, n, n]`; 0 where a unit never varies."""
        means = self.sums / self.count
        deviations = (self.squares / self.count - means.square()).clamp_min(0).sqrt()
        covariance = self.products / self.count - means[0][:, :, None] * means[1][:, None, :]
        scale = deviations[0][:, :, None] * deviations[1][:, None, :]
        return torch.where(scale > 0, covariance / scale.clamp_min(1e-300), 0.0)
