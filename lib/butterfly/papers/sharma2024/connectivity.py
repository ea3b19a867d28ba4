"""Notebook 21: weak and strong connectivity, by width.

Two networks are weakly connected when some permutation, chosen for the pair, removes the barrier; a set of networks is
strongly connected when one permutation a network, chosen once, removes the barriers between all of them. Groups of
networks are aligned directly, through a third, by composed permutations, and jointly.
"""

from itertools import combinations, permutations
from math import factorial, prod
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import align, data, models
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.papers.sharma2024 import PAPER
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, Origin, Shard, Study, Tables, Trained, above, below
from butterfly.study import intervals
from butterfly.study.claims import lost
from butterfly.study.tables import grid, stacked
from butterfly.train import train

METRICS = ("error", "loss")
FRAMED = ("none", "random", "through one", "joint")  # ways that give all networks of a group one common frame
WAYS = ("none", "random", "direct", "through one", "through two", "joint")
LEARNED = 0.05  # mean training error up to which the networks of a group count as fitted
FLOOR = 0.01  # an error barrier that counts as none
MOST_TRIED = 20_000  # permutations of tiny networks


class Params(Trained):
    """Parameters of notebook 21."""

    setting: str = "digits"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    network: str = "mlp-2x"  # the architecture but for its width, which the name ends in: mlp-2x, cnn-3x, resnet8-
    widths: tuple[int, ...] = (8, 32, 64)
    least: int = Field(32, ge=2)  # claims are about widths from here on: narrower networks do not fit the data
    tiny: int | None = Field(3, ge=2, le=5)  # the width at which all permutations of a perceptron are tried
    groups: int = Field(3, ge=1)  # of networks; no network is in two groups
    groups_per_shard: int = Field(3, ge=1)
    networks: int = Field(4, ge=4)  # in a group
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    restarts: int = Field(1, ge=1)  # of weight matching

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(self.widths) < 2 or list(self.widths) != sorted(set(self.widths)) or self.widths[0] < 2:
            raise ValueError(f"widths = {list(self.widths)}: give two or more rising widths from 2 on")
        if sum(width >= self.least for width in self.widths) < 2:
            raise ValueError(f"widths = {list(self.widths)}: give two or more from least = {self.least} on")
        if self.tiny in self.widths:
            raise ValueError(f"tiny = {self.tiny} is one of the widths; leave it out of them, it is trained anyway")
        shape = data.input_shape(self.chosen(self.setting).data)
        for width in (*self.widths, *self.tinies):
            model = models.build(f"{self.network}{width}", shape, classes=10)  # refuses what does not fit
            if width == self.tiny:
                self._can_be_tried(model.layout.groups)
        return self

    def _can_be_tried(self, units: dict[str, int]) -> None:
        """`ValueError` where not all permutations of the tiny network can be tried."""
        if not all(layer.startswith("hidden") for layer in units):
            raise ValueError(f"network = '{self.network}': all permutations are tried of plain networks; tiny = null")
        tried = prod(map(factorial, units.values()))
        if tried > MOST_TRIED:
            raise ValueError(f"{self.network}{self.tiny} has {tried} permutations; give less ({MOST_TRIED})")

    @property
    def tinies(self) -> tuple[int, ...]:
        """The tiny width, if there is one."""
        return () if self.tiny is None else (self.tiny,)

    @property
    def architectures(self) -> str:
        """The networks that claims are about."""
        fit = [width for width in self.widths if width >= self.least]
        return f"{self.network}{fit[0]} to {self.network}{fit[-1]}"


study = Study("21_connectivity", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every width and every few groups; the tiny width comes last."""
    setting = params.chosen(params.setting, params.steps)
    others = params.model_dump(mode="json", include={"networks", "points", "restarts"})
    shards = []
    for width in [*params.widths, *params.tinies]:
        own = setting.changed(model=f"{params.network}{width}")
        compute = try_all if width == params.tiny else align_all
        for few in params.few("groups"):
            config = study.config(own, params, width=width, groups=few, **others)
            shards.append(Shard(compute, config, of=own.model))
    return shards


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def align_all(bench: Bench) -> Arrays:
    """Train some groups of networks, align them in every way, and measure.

    Barriers `[ways, error or loss, G]` are means over the pairs of a group; `average [ways, k, G]` is the test error of
    the mean of the first `k` networks, `k` from 1.
    """
    networks, task = _networks(bench), bench.task
    placed = _placed(bench, networks)
    between = {way: _pairwise(bench, stack) for way, stack in placed.items()}
    between["direct"], between["through two"], best = _directly(bench, networks)
    joint = placed["joint"]
    reached = sum((joint[:, i] * joint[:, j]).sum(1).cpu().numpy() for i, j in _pairs(bench))
    return {
        "barriers": np.array([between[way] for way in WAYS]),
        "simplex": np.array([_simplex(bench, placed[way]) for way in FRAMED]),
        "average": np.array([_averages(bench, placed[way]) for way in FRAMED]),
        "objective": np.array([reached, best]),
        "error": _errors(bench, networks, task.sample.x, task.sample.y).mean(1).numpy(),
    }


@study.shard
def try_all(bench: Bench) -> Arrays:
    """For the first pair of each group: the barrier after weight matching, and the lowest over all permutations."""
    networks, layout = _networks(bench), bench.model.layout
    orders = torch.tensor(list(permutations(range(bench["width"]))))
    depth = bench.model.depth
    places = torch.cartesian_prod(*[torch.arange(len(orders))] * depth).view(-1, depth)
    every = {f"hidden{layer}": orders[places[:, layer]] for layer in range(depth)}
    lowest, best = [], []
    for a, b in zip(networks[:, 0], networks[:, 1], strict=True):
        moved = align.permute(layout, b.repeat(len(places), 1), every)
        error, _ = _barrier(bench, a.expand_as(moved), moved)
        lowest.append(error.min())
        best.append(error[int((moved.double() @ a.double()).argmax())])
    a, b = networks[:, 0], networks[:, 1]
    plain, matched = (_barrier(bench, a, other)[0] for other in (b, _matched(bench, a, b)))
    return {"plain": plain, "matched": matched, "best_objective": np.array(best), "lowest": np.array(lowest)}


def _networks(bench: Bench) -> Tensor:
    """The trained networks of each group `[G, n, P]`."""
    count = bench["networks"]
    seeds = [group * count + place for group in bench["groups"] for place in range(count)]
    return train(bench.model, bench.task, bench.recipe, seeds).theta.view(len(bench["groups"]), count, -1)


def _placed(bench: Bench, networks: Tensor) -> dict[str, Tensor]:
    """The networks in every common frame; the last is the third network, for all pairs before."""
    layout, each = bench.model.layout, range(networks.shape[1])
    streams = [[generator("control", group, place) for group in bench["groups"]] for place in each]
    joint, _ = align.joint_matching(layout, networks, bench["restarts"])
    frames = {
        "random": [align.permute(layout, networks[:, i], align.shuffled(layout, streams[i])) for i in each],
        "through one": [_matched(bench, networks[:, -1], networks[:, i]) for i in each],
        "joint": [align.permute(layout, networks[:, i], joint[i]) for i in each],
    }
    return {"none": networks} | {way: torch.stack(stacks, 1) for way, stacks in frames.items()}


def _matching(bench: Bench, a: Tensor, b: Tensor) -> align.Matching:
    return align.weight_matching(bench.model.layout, a, b, bench["restarts"])


def _matched(bench: Bench, a: Tensor, b: Tensor) -> Tensor:
    return align.permute(bench.model.layout, b, _matching(bench, a, b).permutation)


def _pairs(bench: Bench) -> list[tuple[int, int]]:
    """The pairs of a group that are compared: all without the last network, which serves as the third."""
    return list(combinations(range(bench["networks"] - 1), 2))


def _barrier(bench: Bench, a: Tensor, b: Tensor) -> np.ndarray:
    """Barriers of the error and of the loss `[2, G]`, on the training set."""
    both = barriers(bench.model, a, b, bench.task.sample.x, bench.task.sample.y, bench["points"])
    return np.array([both.of_error.numpy(), both.of_loss.numpy()])


def _pairwise(bench: Bench, networks: Tensor) -> np.ndarray:
    """Mean barriers over the pairs of a group `[2, G]`, as they stand."""
    return np.mean([_barrier(bench, networks[:, i], networks[:, j]) for i, j in _pairs(bench)], 0)


def _directly(bench: Bench, networks: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean barriers `[2, G]` of pairs aligned directly, and through two others; the sum of the direct objectives."""
    layout, third = bench.model.layout, networks[:, -1]
    direct, through_two, objective = [], [], np.zeros(len(networks))
    for i, j in _pairs(bench):
        a, b = networks[:, i], networks[:, j]
        matching = _matching(bench, a, b)
        objective += matching.objective.numpy()
        direct.append(_barrier(bench, a, align.permute(layout, b, matching.permutation)))
        # b to the last network, that one to another of the group, and that to a.
        other = networks[:, next(k for k in range(bench["networks"] - 1) if k not in (i, j))]
        permutation = align.identity(layout, len(b))
        for onto, source in ((third, b), (other, third), (a, other)):
            permutation = align.compose(permutation, _matching(bench, onto, source).permutation)
        through_two.append(_barrier(bench, a, align.permute(layout, b, permutation)))
    return np.mean(direct, 0), np.mean(through_two, 0), objective


def _simplex(bench: Bench, networks: Tensor) -> np.ndarray:
    """Largest excess of the error over that of the corners, at 20 points of the simplex of all but the last `[G]`."""
    corners = networks[:, :-1]
    draws = -torch.rand(20, corners.shape[1], generator=generator("simplex"), dtype=torch.float64).log()
    weights = draws / draws.sum(1, keepdim=True)  # uniform on the simplex
    weights[0] = 1 / corners.shape[1]
    inside = torch.einsum("wn,gnp->gwp", weights.to(corners), corners)
    error, at_corners = (_errors(bench, stack, bench.task.sample.x, bench.task.sample.y) for stack in (inside, corners))
    return (error - at_corners @ weights.T).amax(1).numpy()


def _averages(bench: Bench, networks: Tensor) -> np.ndarray:
    """Test error of the mean of the first k networks `[n, G]`."""
    means = networks.cumsum(1) / torch.arange(1, networks.shape[1] + 1, device=networks.device)[:, None]
    return _errors(bench, means, bench.task.sample.x_test, bench.task.sample.y_test).T.numpy()


def _errors(bench: Bench, networks: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Error of each network of `[G, k, P]` on some examples: `[G, k]`."""
    _, error = evaluate(bench.model, networks.flatten(0, 1), x, y)
    return error.view(networks.shape[:2]).cpu()


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `barriers` (group, width, way), `simplex`, `average` (and k), `gaps` (objective), `fits`, `tiny`."""
    parts = ((shard.config["width"], _tables(shard)) for shard in shards)
    tables = stacked({name: t.assign(width=width) for name, t in part.items()} for width, part in parts)
    return {name: table.assign(setting=params.setting) for name, table in tables.items()}


def _tables(shard: Shard) -> dict[str, pd.DataFrame]:
    where = shard.config["groups"]
    if shard.compute is try_all:
        return {"tiny": pd.DataFrame({"group": where, **shard.found})}
    joint, direct = shard["objective"]
    return {
        "barriers": grid(shard["barriers"], {"way": WAYS, "metric": METRICS, "group": where}),
        "simplex": grid(shard["simplex"], {"way": FRAMED, "group": where}),
        "average": grid(shard["average"], {"way": FRAMED, "k": None, "group": where}),
        "gaps": pd.DataFrame({"group": where, "joint": joint, "direct": direct}),
        "fits": pd.DataFrame({"group": where, "error": shard["error"]}),
    }


# --- claims ----------------------------------------------------------------------------------------------------------

COMPOSED = {"origin": Origin.NOTEBOOK, "place": "nnperm, plots/transitivity.ipynb", "figure": "a"}


@study.unless
def lost_barriers(t: Tables) -> str:
    """Void where a barrier has no finite loss, or networks of the widths claimed about do not fit (error above 5 %)."""
    errors = t["fits"][t["fits"].width >= t.params.least].groupby("width").error.mean()
    unfit = [str(width) for width in errors.index[errors > LEARNED]]
    reason = f"networks of width {', '.join(unfit)} do not fit the training set" if unfit else ""
    return lost(t["barriers"].query("metric == 'loss'")[["value"]], "barriers have no finite loss") or reason


def fitted(t: Tables) -> pd.DataFrame:
    """The barriers of the widths that claims are about."""
    return t["barriers"][t["barriers"].width >= t.params.least]


def _by_way(barriers: pd.DataFrame, metric: str = "error") -> pd.DataFrame:
    """Barriers `[group and width, way]`."""
    return barriers[barriers.metric == metric].pivot_table("value", ["group", "width"], "way")


def _ratio(barriers: pd.DataFrame, way: str, other: str) -> Interval:
    """Ratio of error barriers, geometric mean over widths for each group; those under the floor are bounded."""
    table, groups = _by_way(barriers), barriers.group.drop_duplicates()
    above, below_ = (np.maximum(table[name], EPSILON) for name in (way, other))
    lower = np.where(table[way] < EPSILON, 0.0, table[way]) / below_
    upper = above / np.where(table[other] < EPSILON, 0.0, table[other])
    with np.errstate(divide="ignore"):
        bounds = [np.exp(np.log(side).groupby("group").mean()).loc[groups] for side in (lower, upper)]
    return intervals.between_bounds(*bounds)


def _slopes(barriers: pd.DataFrame, way: str, metric: str) -> np.ndarray:
    """Slope, for each group, of the logarithm of the barrier on that of the width."""
    table = np.log(np.maximum(_by_way(barriers, metric)[way].unstack("width"), EPSILON))
    return intervals.slopes(np.log(table.columns.to_numpy(dtype=float)), table.to_numpy())


# "Much further": half as far again, which a figure on a logarithmic axis shows.
@study.claim("P09", by="ratio of barriers, through a third to direct, mean over widths", region=above(1.5), **COMPOSED)
def further_through_a_third(t: Tables) -> Interval:
    """Networks aligned through a third are much further from connected than those aligned directly."""
    return _ratio(fitted(t), "through one", "direct")


# A slope of -0.3: the barrier falls by a third from width 64 to 256.
@study.claim(
    "P09b", by="slope of its logarithm on that of the width", region=below(0.0), origin=Origin.ABSTRACT, margin=0.3,
    figure="a",
)  # fmt: skip
def falls_with_width(t: Tables) -> Interval:
    """The wider the networks, the lower is the barrier through a third."""
    return intervals.mean(_slopes(fitted(t), "through one", "error"))


@study.claim("P10", by="ratio of barriers, through two to through one, mean over widths", region=above(1.0), **COMPOSED)
def further_through_two(t: Tables) -> Interval:
    """Composing one more permutation raises the barrier further."""
    return _ratio(fitted(t), "through two", "through one")


ALONE = "slope of the log loss barrier without alignment on that of the width"


@study.claim("P11", by=ALONE, region=below(0.0), margin=0.1, figure="a")
def width_alone(t: Tables) -> Interval:
    """Width alone lowers the barrier: without any alignment it falls with width as well."""
    return intervals.mean(_slopes(fitted(t), "none", "loss"))


@study.claim("P11b", by=f"{ALONE}, with the narrower ones minus without", region=above(0.0), margin=0.1, figure="a")
def narrow_networks_hide_it(t: Tables) -> Interval:
    """With networks too narrow to fit the data, the barrier without alignment falls less with width, or rises."""
    some = fitted(t)
    if some.width.nunique() == t["barriers"].width.nunique():
        return intervals.nothing()
    return intervals.mean(_slopes(t["barriers"], "none", "loss") - _slopes(some, "none", "loss"))


@study.claim(
    "X12",
    by="error barrier of the widest networks, joint minus direct",
    region=below(FLOOR),
    margin=FLOOR / 2,
    figure="a",
)
def as_well_jointly(t: Tables) -> Interval:
    """Aligned jointly, the widest networks are within a point of error as well connected as pairs aligned directly."""
    widest = _by_way(t["barriers"].query("width == width.max()"))
    return intervals.mean(widest.joint - widest.direct, (-1, 1))


@study.claim(
    "X12b", by="(barrier through a third - joint) / (through a third - direct), widest networks, ratio of means",
    region=above(0.5), margin=0.25, figure="a",
)  # fmt: skip
def recovers_most(t: Tables) -> Interval:
    """Joint alignment makes up for most of what alignment through a third loses against direct alignment."""
    widest = _by_way(t["barriers"].query("width == width.max()"))
    third, joint, direct = (widest[way].to_numpy() for way in ("through one", "joint", "direct"))
    if len(widest) < 2:
        return intervals.nothing()
    return intervals.resampled(
        lambda rows: (third[rows] - joint[rows]).mean() / (third[rows] - direct[rows]).mean(), len(widest)
    )
