"""Notebook 09: a map of chaos, and how well the growth of a tangent predicts it.

One network is the middle of four planes: learning rate by depth, batch size by width, warm-up by normalisation, initial
scale by activation function. In every cell of every plane twins are kicked at several times and with two sizes, and
tangents run beside them. Barriers are read when the parent first falls to one common training loss, and at the end.
In float64, twins kicked by almost nothing are held against their tangents update by update.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.growth import _directions as directions
from butterfly.papers.altintas2025.growth import _of_kinks as by_update
from butterfly.papers.altintas2025.growth import first_flips, kinks, summed
from butterfly.papers.altintas2025.twins import BARRIER
from butterfly.perturb import Kick, expected_norm
from butterfly.study import Arrays, Bench, Interval, Kind, OneModel, Origin, Setting, Shard, Study, Tables, Times
from butterfly.study import intervals, sound
from butterfly.study.claims import above, below, between, broken, exactly
from butterfly.study.parameters import check_times, rising_sizes, rising_times
from butterfly.tangent import Tangent
from butterfly.train import Fork, Observer, Snapshot, parent_rows, train

ENOUGH = 0.75  # the least share of seeds that reach the common loss in a cell that counts as learning
FAR = -1.0  # log10 of the predicted distance over the parent's way: below it twins are far from saturation
SAME = 3.0  # the factor within which a twin's distance counts as the predicted one
SLOPE = 0.3  # decades of the barrier by doubling, that of a barrier in proportion: the slope planted for power


class Params(OneModel):
    """Parameters of notebook 09; times are in percent of the training steps, sizes in units of the initialisation."""

    setting: str = "mnist1d"
    model: str | None = "mlp-4x32"  # the middle of all planes: a perceptron
    steps: int | None = Field(30, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=2)
    seeds_per_shard: int = Field(2, ge=2)
    rates: tuple[float, ...] = (0.5, 1.0)  # learning rates, in units of the setting's
    depths: tuple[int, ...] = (2, 4)
    batch_sizes: tuple[int, ...] = (32, 64)
    widths: tuple[int, ...] = (16, 32)
    warmups: tuple[float, ...] = (0.05, 0.5)  # fractions of training
    scales: tuple[float, ...] = (0.5, 1.0)  # of the initial weights
    lengths: tuple[float, ...] = (0.5, 1.0)  # of training, in units of `steps`
    sizes: tuple[float, ...] = (1e-5, 1e-3)
    kick_times: Times = (0.0, 40.0)
    tangent_times: Times = (0.0,)  # kick times from which tangents run as well
    level: float = Field(2.2, gt=0)  # the training loss at which twins are compared, nats
    every: int = Field(5, ge=1)  # updates between two looks at the parents' loss
    examples: int = Field(300, ge=10)  # training examples on which losses and barriers are read
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    kink_seeds: int = Field(1, ge=1)
    kink_rates: tuple[float, ...] = (1.0,)  # learning rates at which flips of units are counted, in float64
    kink_sizes: tuple[float, ...] = (1e-12, 1e-6)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        for name in ("sizes", "kink_sizes", "rates", "widths", "depths", "batch_sizes", "scales", "lengths"):
            rising_sizes(name, getattr(self, name))
        if self.kick_times[0] != 0 or len(self.kick_times) < 2 or len(self.sizes) < 2:
            raise ValueError("give kick_times that begin at 0 and go on, and two or more sizes")
        if not self.tangent_times or not set(self.tangent_times) <= set(self.kick_times):
            raise ValueError(f"tangent_times = {list(self.tangent_times)}: give some of {list(self.kick_times)}")
        middle = self.chosen(self.setting, self.steps)
        if not (shape := re.fullmatch(r"mlp-(\d+)x(\d+)", middle.model)):
            raise ValueError(f"model = '{middle.model}': give a plain perceptron, as in mlp-4x32")
        if middle.recipe.optimizer != "sgd" or middle.recipe.dropout:
            raise ValueError(f"'{self.setting}': tangents are defined for SGD only, and without dropout")
        own = {
            "rates": 1.0,
            "depths": int(shape[1]),
            "widths": int(shape[2]),
            "batch_sizes": middle.recipe.batch_size,
            "warmups": middle.recipe.warmup,
            "scales": 1.0,
            "lengths": 1.0,
        }
        for name, value in own.items():
            if value not in getattr(self, name):
                raise ValueError(f"{name} = {list(getattr(self, name))}: the middle of the map, {value:g}, is missing")
        return self

    @property
    def middle(self) -> Setting:
        """The setting in the middle of all planes; losses are read on some of the training examples."""
        return self.chosen(self.setting, self.steps).changed(judged=self.examples)

    @property
    def shape(self) -> tuple[int, int]:
        """Depth and width of the network in the middle."""
        depth, width = re.fullmatch(r"mlp-(\d+)x(\d+)", self.middle.model).groups()
        return int(depth), int(width)

    @property
    def smallest(self) -> float:
        """The smallest size of kicks."""
        return self.sizes[0]

    def sizes_at(self, time: float, carried: Sequence[float]) -> tuple[float, ...]:
        """The sizes of kicks at one time: all where tangents run as well, elsewhere the smallest."""
        return self.sizes if time in carried else self.sizes[:1]

    @property
    def faintest(self) -> float:
        """The smallest size of kicks in float64."""
        return self.kink_sizes[0]

    @property
    def strongest(self) -> float:
        """And the largest."""
        return self.kink_sizes[-1]

    @property
    def last(self) -> float:
        """The last time of a kick, in percent."""
        return self.kick_times[-1]


study = Study("09_map_of_chaos", Params, PAPER, origin=Origin.OURS)


# --- the planes ------------------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """One place of the map: a setting, and what its initial weights are multiplied by."""

    setting: Setting
    scale: float = 1.0

    @property
    def name(self) -> str:
        """What tells it from all others."""
        r = self.setting.recipe
        return (
            f"{self.setting.model}, rate {r.lr:g}, batch {r.batch_size}, warm-up {r.warmup:g}, {r.steps} updates, "
            f"scale {self.scale:g}"
        )


# Of each plane: its two axes.
PLANES = {
    "rate and depth": ("learning rate", "depth"),
    "batch and width": ("batch size", "width"),
    "warm-up and norm": ("warm-up", "normalisation"),
    "scale and units": ("initial scale", "units"),
}
LENGTH = "length"  # a row beside the planes: the middle, trained for fewer and for more updates


def planes(params: Params) -> dict[str, dict[tuple[Any, Any], Cell]]:
    """The cells of every plane by their places on its two axes; the middle is in all of them."""
    own, (depth, width) = params.middle, params.shape
    plain, lr, steps = own.model, own.recipe.lr, own.recipe.steps

    def cell(scale: float = 1.0, **changes: Any) -> Cell:
        return Cell(own.changed(**changes), scale)

    return {
        "rate and depth": {
            (rate * lr, deep): cell(lr=rate * lr, model=f"mlp-{deep}x{width}")
            for rate in params.rates
            for deep in params.depths
        },
        "batch and width": {
            (batch, wide): cell(batch_size=batch, model=f"mlp-{depth}x{wide}")
            for batch in params.batch_sizes
            for wide in params.widths
        },
        "warm-up and norm": {
            (warm, norm): cell(warmup=warm, model=plain + suffix)
            for warm in params.warmups
            for norm, suffix in (("none", ""), ("layers", "-norm"))
        },
        "scale and units": {
            (scale, units): cell(scale, model=plain + suffix)
            for scale in params.scales
            for units, suffix in (("ReLU", ""), ("GELU", "-gelu"))
        },
        LENGTH: {(times, steps): cell(steps=round(times * steps)) for times in params.lengths},
    }


def cells(params: Params) -> dict[str, Cell]:
    """Every cell once, by name."""
    return {cell.name: cell for plane in planes(params).values() for cell in plane.values()}


def places(params: Params) -> pd.DataFrame:
    """A row a plane and place: the values `x` and `y` on its axes, and the name of the cell there."""
    return pd.DataFrame(
        [(plane, x, y, cell.name) for plane, some in planes(params).items() for (x, y), cell in some.items()],
        columns=["plane", "x", "y", "cell"],
    )


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every cell and every few seeds; then those of the first flips, in float64."""
    shards = []
    drawn = {cell.name for plane, some in planes(params).items() if plane != LENGTH for cell in some.values()}
    grid = params.model_dump(mode="json", include={"level", "every", "points"})
    for name, cell in cells(params).items():
        check_times(cell.setting, params.kick_times)
        carried = list(params.tangent_times) if name in drawn else []
        kicks = [[time, size] for time in params.kick_times for size in params.sizes_at(time, carried)]
        own = {"scale": cell.scale, "kicks": kicks, "tangent_times": carried}
        for few in params.few():
            shards.append(Shard(twins, study.config(cell.setting, params, seeds=few, **own, **grid), name))
    for rate in params.kink_rates:
        own = params.middle
        begun = own.changed(lr=rate * own.recipe.lr)
        for few in params.few(count=params.kink_seeds):
            config = study.config(begun, params, seeds=few, kink_sizes=list(params.kink_sizes))
            shards.append(Shard(flips, config, f"{rate:g}"))
    return shards


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def twins(bench: Bench) -> Arrays:
    """Train the seeds of a cell with twins `[K]` and tangents `[D]`; see both at the common loss, and at the end.

    `crossing [S]` is the update after which the parent was first seen at the common loss (NaN: never), `level_*` what
    was seen of twins and tangents then, `end_*` at the end.
    """
    seeds, steps = bench.seeds, bench.recipe.steps
    kicked = [(seed, 0.0, 0.0) for seed in seeds]  # the controls
    kicked += [(seed, time, size) for time, size in bench["kicks"] for seed in seeds]
    starts = [(seed, time) for time in bench["tangent_times"] for seed in seeds]
    forks = [Fork(seed, bench.setting.step_at(time), Kick(size=size)) for seed, time, size in kicked]
    eye = _Eye(bench, forks, _tangent(bench, starts))
    init = bench["scale"] * bench.model.init(seeds)
    # Weights are scaled; biases start at 0, and gains of a normalisation stay as they are.
    init = torch.where(bench.model.layout.select(), init, bench.model.init(seeds))
    watching = [Observer("eye", eye, frozenset(range(steps + 1)))]
    run = train(bench.model, bench.task, bench.recipe, seeds, forks, watching, init=init)

    loss = evaluate(bench.model, run.theta[: len(seeds)], bench.task.sample.x, bench.task.sample.y)[0]
    differs = largest_differences(run.theta[len(seeds) :], run.theta[parent_rows(run.members)])
    return {
        "seed": np.array([seed for seed, _, _ in kicked]),
        "time": np.array([time for _, time, _ in kicked]),
        "size": np.array([size for _, _, size in kicked]),
        "largest_difference": differs.cpu().numpy(),
        "tangent_seed": np.array([seed for seed, _ in starts]),
        "tangent_time": np.array([time for _, time in starts]),
        "unit": np.array(expected_norm(bench.model, Kick())),  # the length of a kick of size 1
        "crossing": eye.crossing,
        "loss": loss.cpu().numpy(),
        **{f"level_{name}": values for name, values in eye.at_level.items()},
        **{f"end_{name}": values for name, values in eye.at_end.items()},
    }


def largest_differences(twins: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
    """Between the weights `[K, P]` of twins and parents, `[K]`; weights that are lost in both are no difference."""
    alike = (twins == parents) | (twins.isnan() & parents.isnan())
    return (twins - parents).abs().masked_fill(alike, 0.0).amax(1)


def _tangent(bench: Bench, starts: list[tuple[int, float]]) -> Tangent | None:
    """One tangent a start, in the direction of the Gaussian kicks of its seed."""
    if not starts:
        return None
    begun = [(seed, bench.setting.step_at(time)) for seed, time in starts]
    ways = directions(bench.model, starts).to(bench.task.x)
    return Tangent(bench.task, bench.recipe, bench.seeds, begun, ways)


class _Eye:
    """Carries the tangents, and looks at the twins of each parent when it first falls to the common loss.

    A crossing of `train` would have the loss of all members at every look; only that of the parents is needed.
    """

    def __init__(self, bench: Bench, forks: Sequence[Fork], tangent: Tangent | None):
        self.bench, self.tangent = bench, tangent
        self.parent = np.array([bench.seeds.index(fork.seed) for fork in forks])
        self.kicked = np.array([fork.step for fork in forks])
        self.crossing = np.full(len(bench.seeds), np.nan)
        self.before: dict[int, torch.Tensor] = {}  # the parents [S, P] when kicks came
        family = [] if tangent is None else tangent.family.numpy()
        self.family = np.array(family, dtype=int)  # of each tangent
        self.at_level = {name: np.full(len(forks), np.nan) for name in ("barrier", "distance", "way")}
        self.at_level["growth"] = np.full(len(self.family), np.nan)
        self.at_end: dict[str, np.ndarray] = {}

    def __call__(self, now: Snapshot) -> None:
        """Take one update's snapshot."""
        growth = np.zeros(0) if self.tangent is None else self.tangent(now)
        seeds = len(self.crossing)
        if now.step in self.kicked:
            self.before[now.step] = now.theta[:seeds].clone()
        if now.step % self.bench["every"] == 0 or now.step == self.bench.recipe.steps:
            waiting = np.flatnonzero(np.isnan(self.crossing))
            x, y = now.data.sample.x, now.data.sample.y
            loss = evaluate(now.model, now.theta[waiting], x, y)[0] if len(waiting) else torch.ones(0)
            crossed = waiting[(loss <= self.bench["level"]).cpu().numpy()]
            self.crossing[crossed] = now.step
            rows = np.flatnonzero(np.isin(self.parent, crossed) & (self.kicked < now.step))
            if len(rows):
                for name, values in self._seen(now, rows).items():
                    self.at_level[name][rows] = values
            own = np.isin(self.family, crossed)
            self.at_level["growth"][own] = growth[own]
        if now.step == self.bench.recipe.steps:
            self.at_end = self._seen(now, np.arange(len(self.parent))) | {"growth": growth}

    def _seen(self, now: Snapshot, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Of some twins: barrier to the parent, distance from it, and the parent's way since the kick."""
        parents, twins = now.theta[self.parent[rows]], now.theta[len(self.crossing) + rows]
        x, y = now.data.sample.x, now.data.sample.y
        start = torch.stack([self.before[self.kicked[row]][self.parent[row]] for row in rows])
        return {
            "barrier": barriers(now.model, parents, twins, x, y, self.bench["points"]).of_loss.numpy(),
            "distance": (twins - parents).norm(dim=1).cpu().numpy(),
            "way": (parents - start).norm(dim=1).cpu().numpy(),
        }


@study.shard
def flips(bench: Bench) -> Arrays:
    """In float64, at every update: distance and flipped units of each twin, growth of tangents; as in notebook 03."""
    return kinks(bench)


# --- tables ----------------------------------------------------------------------------------------------------------

LOOKS = ("level", "end")  # when twins are seen: at the common loss of their parents, and at the end


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `places` (plane and place), `cells` (cell and seed), `twins` (twin), `kinks` and `courses` (twin in
    float64, and its updates)."""
    parts = [shard for shard in shards if shard.compute is twins]
    flipped = [by_update(shard) for shard in shards if shard.compute is flips]
    learning = pd.concat([_of_cell(shard) for shard in parts], ignore_index=True)
    ok = learning.groupby("cell").crossing.agg(lambda looks: looks.notna().mean() >= ENOUGH)
    where = places(params)
    return {
        "places": where.assign(learned=where.cell.map(ok)),
        "cells": learning.assign(learned=learning.cell.map(ok)),
        "twins": pd.concat([_of_twins(shard) for shard in parts], ignore_index=True).assign(
            learned=lambda table: table.cell.map(ok)
        ),
        "kinks": pd.concat([_of_flips(table) for table in flipped], ignore_index=True),
        "courses": pd.concat([_courses(table) for table in flipped], ignore_index=True),
    }


def _of_cell(shard: Shard) -> pd.DataFrame:
    own = {"seed": shard.config["seeds"], "crossing": shard["crossing"], "loss": shard["loss"]}
    return pd.DataFrame({"cell": shard.of, **own})


def _of_twins(shard: Shard) -> pd.DataFrame:
    """A row a twin. `*_predicted` is the distance that the tangent would have it at, over its parent's way since the
    kick, a power of ten: at 0 twins that part as they like can hardly be further apart."""
    names = ["seed", "time", "size", "largest_difference"]
    names += [f"{look}_{what}" for look in LOOKS for what in ("barrier", "distance", "way")]
    table = pd.DataFrame({"cell": shard.of, **{name: shard[name] for name in names}})
    table["kind"] = np.where(table["size"] > 0, "gaussian", "control")
    table["length"] = table["size"] * float(shard["unit"])
    carried = {f"{look}_growth": shard[f"{look}_growth"] for look in LOOKS}
    tangents = pd.DataFrame({"seed": shard["tangent_seed"], "time": shard["tangent_time"], **carried})
    table = table.merge(tangents.astype({"seed": int, "time": float}), on=["seed", "time"], how="left")
    with np.errstate(divide="ignore"):
        for look in LOOKS:
            start = np.log10(table.length / table[f"{look}_way"])
            table[f"{look}_predicted"] = start + table[f"{look}_growth"] / np.log(10)
    return table


def _of_flips(flipped: pd.DataFrame) -> pd.DataFrame:
    """The first flip of every twin and when it leaves its tangent; how far from it the twin is `before`, at most, and
    at the `end`, as a share of the distance; and the tangent's `growth`, a power of ten."""
    table = first_flips(flipped).set_index(["setting", "seed", "size"])
    rows = []
    for key, twin in flipped.groupby(["setting", "seed", "size"], sort=False):
        off = np.abs(10 ** twin.excess.to_numpy() - 1)
        flip = table.loc[key, "flip"]
        grown = np.log10(twin.distance.iloc[-1] / twin.distance.iloc[0]) if twin.distance.iloc[0] > 0 else np.nan
        before = off[: len(off) if np.isnan(flip) else int(flip)].max()
        rows.append((*key, before, off[-1], grown - twin.excess.iloc[-1]))
    more = pd.DataFrame(rows, columns=["setting", "seed", "size", "before", "end", "growth"])
    found = table.reset_index().merge(more, on=["setting", "seed", "size"])
    return found.rename(columns={"setting": "rate"}).astype({"rate": float})


def _courses(flipped: pd.DataFrame) -> pd.DataFrame:
    """About a hundred and fifty updates of each kicked twin: enough to draw."""
    every = max(1, flipped.step.max() // 150)
    some = flipped[(flipped.kind != "control") & (flipped.step % every == 0)]
    found = some[["setting", "seed", "size", "step", "excess", "distance"]]
    return found.rename(columns={"setting": "rate"}).astype({"rate": float})


# --- the map ---------------------------------------------------------------------------------------------------------


def early(t: Tables) -> pd.DataFrame:
    """The barrier at the common loss after the smaller kick at the start: a row a cell that learned, and seed."""
    table = t["twins"]
    some = table[(table.time == 0) & (table["size"] == t.params.smallest) & table.learned]
    return some.dropna(subset=["level_barrier"])


def on_planes(t: Tables, twins: pd.DataFrame) -> pd.DataFrame:
    """Twins with the planes and places that their cells have; those of the middle once a plane."""
    there = t["places"][t["places"].plane != LENGTH].drop(columns="learned")
    return there.merge(twins, on="cell")


def decades(barrier: pd.Series) -> pd.Series:
    """Logarithm to base ten; what is not told from 0 counts as the floor of measurement."""
    return np.log10(barrier.clip(lower=EPSILON))


def _doublings(values: np.ndarray) -> np.ndarray:
    return np.log2(values.astype(float))


AXES = {  # how places on the axes count: a factor of two, the whole of training, one thing instead of the other
    **dict.fromkeys(("learning rate", "depth", "batch size", "width", "initial scale"), _doublings),
    "warm-up": lambda fractions: fractions.astype(float),
    "normalisation": lambda names: (names == "layers").astype(float),
    "units": lambda names: (names == "GELU").astype(float),
}


def slopes(t: Tables, axis: str) -> np.ndarray:
    """Of each seed: how much the decades of the early barrier change along an axis of its plane, with the other axis
    held (least squares over the cells that learned)."""
    plane = next(name for name, axes in PLANES.items() if axis in axes)
    table = on_planes(t, early(t)).query("plane == @plane", local_dict={"plane": plane})
    found = []
    for _, own in table.groupby("seed"):
        both = [AXES[name](own[side].to_numpy()) for name, side in zip(PLANES[plane], "xy", strict=True)]
        design = np.column_stack([*both, np.ones(len(own))])
        if np.linalg.matrix_rank(design) == design.shape[1]:
            fit = np.linalg.lstsq(design, decades(own.level_barrier).to_numpy(), rcond=None)[0]
            found.append(fit[PLANES[plane].index(axis)])
    return np.array(found)


# --- durations -------------------------------------------------------------------------------------------------------


def duration(times: np.ndarray, barrier: np.ndarray) -> float:
    """The latest time of a kick whose `barrier [T]` is at least the level, between kicks by its logarithm.

    0: not even the first kick's is; infinity: the last one's still is.
    """
    high = np.flatnonzero(barrier >= BARRIER)
    if not len(high):
        return 0.0
    last = high[-1]
    if last == len(times) - 1:
        return np.inf
    logs = np.log(np.maximum(barrier[last : last + 2], EPSILON))
    return float(times[last] + (times[last + 1] - times[last]) * (logs[0] - np.log(BARRIER)) / (logs[0] - logs[1]))


def faded(t: Tables, cell: str) -> pd.DataFrame:
    """Decades of the barrier at the end after the smaller kicks in one cell: a row a seed, a column a kick time."""
    table = t["twins"]
    some = table[(table.cell == cell) & (table["size"] == t.params.smallest)]
    return decades(some.set_index(["seed", "time"]).end_barrier.unstack())


CLOCKS = ("percent of training", "updates", "summed learning rate")


def clock_of(cell: Cell, clock: str) -> Callable[[float], float]:
    """What turns a time in percent of a cell's training into one on a clock."""
    recipe = cell.setting.recipe
    if clock == "summed learning rate":
        rates, percent = summed(recipe), np.linspace(0, 100, recipe.steps + 1)
        return lambda time: float(np.interp(time, percent, rates))
    unit = 1.0 if clock == "percent of training" else recipe.steps / 100
    return lambda time: time * unit


def lasting(logs: pd.DataFrame, seeds: np.ndarray | None = None) -> float:
    """How long a cell with those decades of the barrier (`faded`) is chaotic, in percent: from the geometric mean over
    some seeds, by default all."""
    rows = logs.to_numpy() if seeds is None else logs.to_numpy()[seeds]
    return duration(logs.columns.to_numpy(dtype=float), 10 ** rows.mean(0))


def lines(t: Tables) -> dict[str, dict[Any, str]]:
    """The cells along each axis through the middle, and the row of lengths: names by their place on the axis."""
    where, middle = t["places"], Cell(t.params.middle).name
    found = {}
    for plane, axes in PLANES.items():
        own = where[where.plane == plane]
        here = own[own.cell == middle].iloc[0]
        for axis, side, other in zip(axes, "xy", "yx", strict=True):
            line = own[own[other] == here[other]]
            found[axis] = dict(zip(line[side], line.cell, strict=True))
    row = where[where.plane == LENGTH]
    return found | {LENGTH: dict(zip(row.x, row.cell, strict=True))}


def _spread(t: Tables, axis: str, one: str, other: str) -> Interval:
    """Spread of the log durations along an axis on one clock over that on another; cells that were not chaotic at all,
    or still are at the last kick, are left out."""
    known, params = cells(t.params), t.params
    learned = set(t["places"].cell[t["places"].learned])
    row = [name for name in lines(t)[axis].values() if name in learned]
    logs = {name: faded(t, name) for name in row}
    clocks = {name: [clock_of(known[name], clock) for clock in (one, other)] for name in row}

    def measure(seeds: np.ndarray) -> float:
        lasts = {name: lasting(own, seeds) for name, own in logs.items()}
        some = {name: last for name, last in lasts.items() if 0 < last < np.inf}
        if len(some) < 2:
            return np.nan
        sides = [np.std([np.log(clocks[name][side](last)) for name, last in some.items()]) for side in (0, 1)]
        return sides[0] / sides[1] if sides[1] > 0 else np.nan

    return intervals.resampled(measure, params.seeds, reach=intervals.POSITIVE)


# --- what the tangent tells ------------------------------------------------------------------------------------------


def predicted(t: Tables, look: str = "level") -> pd.DataFrame:
    """Twins of cells that learned, beside which tangents ran, on their planes: `x`, the predicted distance over the
    parent's way, and `barrier`, both at one look."""
    table = t["twins"]
    some = table[(table.kind == "gaussian") & table.learned]
    some = some.assign(predicted=some[f"{look}_predicted"], barrier=some[f"{look}_barrier"])
    some = some[some[f"{look}_distance"] > 0]
    some = some.assign(measured=np.log10(some[f"{look}_distance"] / some[f"{look}_way"]))
    return some.dropna(subset=["predicted", "barrier"])


def auc(score: np.ndarray, hit: np.ndarray, stratum: np.ndarray | None = None) -> float:
    """How often a twin with a high barrier has a higher score than one without, of all pairs (in the same stratum)."""
    stratum = np.zeros(len(score)) if stratum is None else stratum
    won = pairs = 0.0
    for own in np.unique(stratum):
        here = stratum == own
        high, low = score[here & hit], score[here & ~hit]
        won += (stats.rankdata(np.concatenate([high, low]))[: len(high)]).sum() - len(high) * (len(high) + 1) / 2
        pairs += len(high) * len(low)
    return won / pairs if pairs else np.nan


def known_kick(twins: pd.DataFrame) -> pd.Series:
    """What time and size of the kick alone tell: the share of high barriers among the other seeds' twins kicked so."""
    hit = (twins.barrier >= BARRIER).astype(float)
    alike = hit.groupby([twins.time, twins["size"]])
    own = hit.groupby([twins.time, twins["size"], twins.seed])
    others = alike.transform("size") - own.transform("size")
    return (alike.transform("sum") - own.transform("sum")) / others.where(others > 0)


def _aucs(t: Tables, score: str, within: str = "") -> np.ndarray:
    """Of each seed: how well a score tells twins with a high barrier."""
    table = predicted(t)
    table = table.assign(kick=table.groupby(["time", "size"]).ngroup(), known=known_kick(table))
    found = [
        auc(own[score].to_numpy(), (own.barrier >= BARRIER).to_numpy(), own[within].to_numpy() if within else None)
        for _, own in table.groupby("seed")
    ]
    return np.array(found)


def curve(twins: pd.DataFrame) -> IsotonicRegression:
    """The rising curve that fits the decades of the barrier best."""
    return IsotonicRegression(out_of_bounds="clip").fit(twins.predicted, decades(twins.barrier))


def explained(t: Tables, plane: str) -> np.ndarray:
    """Of each seed: the share of the variance of barriers on one plane that the curve of its other planes explains."""
    table, middle = on_planes(t, predicted(t)), Cell(t.params.middle).name
    found = []
    for _, own in table.groupby("seed"):
        left = own[(own.plane == plane) & (own.cell != middle)]
        fit = curve(own[own.plane != plane].drop_duplicates(["cell", "time", "size"]))
        truth = decades(left.barrier)
        # Where all barriers lie under the floor there is nothing to explain.
        spread = truth.var(ddof=0) or np.nan
        found.append(1 - ((truth - fit.predict(left.predicted)) ** 2).mean() / spread)
    return np.array(found)


# --- claims ----------------------------------------------------------------------------------------------------------


@study.unless
def lost_twins(t: Tables) -> str:
    """Claims are void where control twins differ from their parents, the middle of the map did not learn, or a twin of
    a cell that learned is lost."""
    table, middle = t["twins"], Cell(t.params.middle).name
    if not table[table.cell == middle].learned.all():
        return "the middle of the map did not learn"
    fine = table[table.learned]
    return broken(pd.concat([fine, table[(table.kind == "control") & ~table.learned]]), []) or broken(
        fine, ["end_barrier", "end_distance"]
    )


def _middle(t: Tables, time: float, size: float) -> pd.DataFrame:
    table = t["twins"]
    here = (table.cell == Cell(t.params.middle).name) & (table.time == time) & (table["size"] == size)
    return table[here].dropna(subset=["level_barrier"] if time == 0 else ["end_barrier"])


# The level is that of all notebooks about kicked twins.
@study.claim("MC01", by="barrier at the common loss, kick of {params.smallest:g} at the start, middle of the map",
             region=above(BARRIER), figure="a")  # fmt: skip
def the_middle_is_chaotic(t: Tables) -> Interval:
    """In the middle of the map, a tiny kick at the start ends across a barrier."""
    return intervals.geometric_mean(_middle(t, 0.0, t.params.smallest).level_barrier, floor=EPSILON)


@study.claim("MC01b", by="barrier at the end, kick of {params.smallest:g} at {params.last:g} %, middle of the map",
             region=below(BARRIER), figure="b", margin=3.0)  # fmt: skip
def and_becomes_calm(t: Tables) -> Interval:
    """In the middle of the map, a tiny kick that comes late ends in the same valley."""
    return intervals.geometric_mean(_middle(t, t.params.last, t.params.smallest).end_barrier, floor=EPSILON)


TOLD = {"origin": Origin.PAPER, "place": "summary of recipes (known from notes)"}


def _slope(id: str, axis: str, statement: str, up: bool, step: str, **options: Any) -> str:
    """Declare that the early barrier rises, or falls, along an axis."""
    options |= {
        "by": f"slope of the decades of the early barrier at the common loss, {step}, other axis of the plane held",
        "region": above(0.0) if up else below(0.0),
        "margin": SLOPE,
        "figure": "a",
    }
    study.claim(id, statement, **options)(lambda t: intervals.mean(slopes(t, axis)))
    return id


DOUBLING, WHOLE, INSTEAD = "by doubling", "by the whole of training", "one thing instead of the other"
ALONG_AXES = [
    _slope("MC02", "learning rate", "A larger learning rate makes early training more chaotic", True, DOUBLING),
    _slope("MC03", "depth", "Deeper networks are more chaotic early in training", True, DOUBLING, **TOLD),
    _slope("MC04", "batch size", "Larger batches make early training less chaotic", False, DOUBLING, **TOLD),
    _slope("MC05", "width", "Wider networks are less chaotic early in training", False, DOUBLING, **TOLD),
    _slope("MC06", "warm-up", "A longer warm-up makes early training less chaotic", False, WHOLE, **TOLD),
    _slope(
        "MC07", "normalisation", "Networks with normalised layers are less chaotic early in training", False, INSTEAD
    ),
    _slope("MC08", "initial scale", "Larger initial weights make early training more chaotic", True, DOUBLING),
    _slope("MC09", "units", "Networks with smooth units are less chaotic early in training", False, INSTEAD),
]


# --- claims: clocks --------------------------------------------------------------------------------------------------


@study.claim("MC10", by="spread of the log durations by updates over that by percent of training, along the lengths",
             region=below(1.0), figure="b")  # fmt: skip
def longer_runs_are_chaotic_for_as_many_updates(t: Tables) -> Interval:
    """Shorter and longer trainings are chaotic for more nearly equal numbers of updates than shares of training."""
    return _spread(t, LENGTH, "updates", "percent of training")


@study.claim("MC10b", by="spread of the log durations by summed learning rate over that by updates, along the rates",
             region=below(1.0), figure="b")  # fmt: skip
def rates_agree_on_summed_rate(t: Tables) -> Interval:
    """Trainings at other learning rates are chaotic for more nearly equal sums of learning rate than numbers of
    updates."""
    return _spread(t, "learning rate", "summed learning rate", "updates")


# --- claims: the tangent ---------------------------------------------------------------------------------------------

TELLS = "AUC of the predicted distance for barriers above the level at the common loss"


# 0.9: of ten pairs, one chaotic and one not, nine are put in order.
@study.claim("MC11", by=f"{TELLS}, over all twins of a seed", region=above(0.9), figure="c")
def tangents_tell_chaos(t: Tables) -> Interval:
    """The distance that its tangent predicts tells which twins end across a barrier."""
    return intervals.mean(_aucs(t, "predicted"), intervals.SHARE)


# Halfway from chance to certainty.
@study.claim("MC11b", by=f"{TELLS}, in pairs kicked at the same time by the same size", region=above(0.75), figure="c")
def tangents_tell_cells(t: Tables) -> Interval:
    """Of twins kicked alike in different trainings, the tangent tells which end across a barrier."""
    return intervals.mean(_aucs(t, "predicted", within="kick"), intervals.SHARE)


@study.claim("MC11c", by=f"{TELLS}, minus that of time and size of the kick alone", region=above(0.0), figure="c",
             margin=0.1)  # fmt: skip
def tangents_tell_more_than_the_kick(t: Tables) -> Interval:
    """The tangent tells chaotic twins better than time and size of the kick do alone."""
    return intervals.mean(_aucs(t, "predicted") - _aucs(t, "known"), (-1.0, 1.0))


ONE = "share of the variance of the barrier's decades on one plane that a rising curve fitted to the others explains"


def _one_curve(id: str, plane: str) -> str:
    """Declare that a plane falls on the curve of the others."""
    statement = f"On the plane of {plane}, barriers fall on the curve against predicted growth that other planes have"
    options = {"by": ONE, "region": above(0.5), "figure": "c", "reach": (-np.inf, 1.0)}
    study.claim(id, statement, **options)(lambda t: intervals.mean(explained(t, plane), (-np.inf, 1.0)))
    return id


NAMES = ("learning rate and depth", "batch size and width", "warm-up and normalisation", "initial scale and units")
ON_ONE_CURVE = [_one_curve(f"MC12{letter}", plane) for letter, plane in zip(("", "b", "c", "d"), PLANES, strict=True)]


def _over_predicted(t: Tables, smooth: bool) -> Interval:
    """Measured over predicted distance at the end, of twins that should stay far from saturation: mean over seeds of
    the geometric mean over twins."""
    table = predicted(t, "end")
    gelu = table.cell.str.contains("gelu")
    some = table[(gelu if smooth else ~gelu) & (table.predicted < FAR)]
    return intervals.geometric_mean(10 ** (some.measured - some.predicted).groupby(some.seed).mean())


FACTOR = (
    "distance at the end over that predicted by the tangent, where it predicts less than a tenth of the parent's way"
)


@study.claim("MC13", by=FACTOR, region=between(1 / SAME, SAME), figure="c", scope="{params.middle.data}, smooth units")
def smooth_twins_are_where_tangents_say(t: Tables) -> Interval:
    """Smooth twins that are predicted to stay far from saturation end as far apart as their tangents say."""
    return _over_predicted(t, smooth=True)


@study.claim("MC13b", by=FACTOR, region=above(SAME), figure="c", scope="{params.middle.data}, ReLU units")
def kinked_twins_outgrow_tangents(t: Tables) -> Interval:
    """ReLU twins that are predicted to stay far from saturation end further apart than their tangents say."""
    return _over_predicted(t, smooth=False)


# A tenth of the way: as much as twins need at least for the loss between them to be another than at the ends.
@study.claim("MC13c", by="predicted distance at the common loss over the parent's way, kick of {params.smallest:g} at "
             "the start, middle of the map", region=below(0.1), figure="c", margin=10.0)  # fmt: skip
def linear_chaos_is_too_slow(t: Tables) -> Interval:
    """In the middle of the map, linear instability alone would leave twins kicked a little at the start close by."""
    found = _middle(t, 0.0, t.params.smallest).level_predicted.dropna()
    return intervals.geometric_mean(10**found)


# --- claims: flips ---------------------------------------------------------------------------------------------------


def departed(t: Tables) -> pd.DataFrame:
    """Kicked twins in float64 whose first flip comes after the warm-up and before the last tenth of training, and the
    update at which they leave their tangent; the last, if they do not."""
    table, recipe = t["kinks"], t.params.middle.recipe
    some = table[(table.kind != "control") & (table.flip > recipe.warmup * recipe.steps)]
    some = some[some.flip <= 0.9 * some.watched]
    return some.assign(left=some.takeoff.fillna(some.watched))


FLOAT64 = "{params.middle.data}, {params.middle.model}, float64"


@study.claim("MC14", by="update of leaving the tangent by a factor of two over that of the first flip, flips between "
             "the warm-up and the last tenth of training", region=below(1.25), figure="d", scope=FLOAT64)  # fmt: skip
def twins_leave_at_the_first_flip(t: Tables) -> Interval:
    """ReLU twins follow their tangents until their first flip, and leave them there."""
    table = departed(t)
    return intervals.geometric_mean(np.exp(np.log(table.left / table.flip).groupby(table.seed).mean()))


@study.claim("MC14b", by="share of seeds of which no twin kicked by {params.faintest:g} meets a flip",
             region=above(0.5), figure="d", scope=FLOAT64)  # fmt: skip
def too_small_to_flip(t: Tables) -> Interval:
    """In float64, twins kicked by {params.faintest:g} meet no flip in all of training."""
    table = t["kinks"]
    some = table[(table["size"] == t.params.faintest) & (table.kind != "control")]
    return intervals.share(some.flip.isna().groupby(some.seed).all())


@study.claim("MC14c", by="share of seeds of which every twin kicked by {params.strongest:g} meets a flip",
             region=above(0.5), figure="d", scope=FLOAT64)  # fmt: skip
def large_enough_to_flip(t: Tables) -> Interval:
    """In float64, twins kicked by {params.strongest:g} meet a flip."""
    table = t["kinks"]
    some = table[(table["size"] == t.params.strongest) & (table.kind != "control")]
    return intervals.share(some.flip.notna().groupby(some.seed).all())


# It follows from the definition of a flip, but for rounding and for what is not linear in so small a kick.
@study.claim("MC14d", by="largest departure from the tangent before the first flip, as a share of the distance",
             region=below(0.01), figure="d", kind=Kind.CHECK, scope=FLOAT64)  # fmt: skip
def on_the_tangent_before(t: Tables) -> Interval:
    """Before their first flip, twins in float64 are on their tangents to one percent."""
    table = t["kinks"]
    return intervals.exact(float(table[table.kind != "control"].before.max()), table.seed.nunique())


@study.claim("MC15", by="largest difference between a control twin and its parent", region=exactly(0.0),
             kind=Kind.CHECK, unless=sound)  # fmt: skip
def controls_are_the_same(t: Tables) -> Interval:
    """Twins kicked by nothing equal their parents to the last bit, in every cell of the map."""
    table = t["twins"]
    return intervals.exact(float(table[table.kind == "control"].largest_difference.max()), table.seed.nunique())
