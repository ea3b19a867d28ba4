"""Notebook 09: a map of chaos, and how well the growth of a tangent predicts it.

One network is the middle of four planes: learning rate by depth, batch size by width, warm-up by normalisation, initial
scale by activation function. In every cell of every plane twins are kicked at several times and with two sizes, and
tangents run beside them. Barriers are read when the parent first falls to one common training loss, and at the end.
In float64, twins kicked by almost nothing are held against their tangents update by update.
"""

import re
from collections.abc import Mapping, Sequence
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
from butterfly.study import intervals
from butterfly.study.claims import above, below, between, broken, exactly
from butterfly.study.parameters import check_times, rising_sizes, rising_times
from butterfly.tangent import Tangent
from butterfly.train import Fork, Observer, Snapshot, parent_rows, train

ENOUGH = 0.75  # the least share of seeds that reach the common loss in a cell that counts as learning
FAR = -1.0  # log10 of the predicted distance over the parent's way: below it twins are far from saturation
SAME = 3.0  # the factor within which a twin's distance counts as the predicted one
SLOPE = 0.15  # decades of the barrier a step on an axis (a factor of 1.4): the slope planted for power


class Params(OneModel):
    """Parameters of notebook 09; times are in percent of the training steps, sizes in units of the initialisation."""

    setting: str = "mnist1d"
    model: str | None = "mlp-4x32"  # the middle of all planes: a perceptron
    steps: int | None = Field(60, gt=0)  # None: the setting's own
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
    every: int = Field(10, ge=1)  # updates between two looks at the parents' loss
    examples: int = Field(300, ge=10)  # training examples on which losses and barriers are read
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    kink_seeds: int = Field(2, ge=1)
    kink_rates: tuple[float, ...] = (1.0,)  # learning rates at which flips of units are counted, in float64
    kink_sizes: tuple[float, ...] = (1e-12,)

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
        """The smaller size of kicks."""
        return self.sizes[0]

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
    grid = params.model_dump(mode="json", include={"sizes", "kick_times", "level", "every", "points"})
    for name, cell in cells(params).items():
        check_times(cell.setting, params.kick_times)
        carried = list(params.tangent_times) if name in drawn else []
        for few in params.few():
            config = study.config(cell.setting, params, scale=cell.scale, seeds=few, tangent_times=carried, **grid)
            shards.append(Shard(twins, config, name))
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
    kicked += [(seed, time, size) for time in bench["kick_times"] for seed in seeds for size in bench["sizes"]]
    starts = [(seed, time) for time in bench["tangent_times"] for seed in seeds]
    forks = [Fork(seed, bench.setting.step_at(time), Kick(size=size)) for seed, time, size in kicked]
    eye = _Eye(bench, forks, _tangent(bench, starts))
    init = bench["scale"] * bench.model.init(seeds)
    # Weights are scaled; biases start at 0, and gains of a normalisation stay as they are.
    init = torch.where(bench.model.layout.select(), init, bench.model.init(seeds))
    watching = [Observer("eye", eye, frozenset(range(steps + 1)))]
    run = train(bench.model, bench.task, bench.recipe, seeds, forks, watching, init=init)

    loss = evaluate(bench.model, run.theta[: len(seeds)], bench.task.sample.x, bench.task.sample.y)[0]
    differs = (run.theta[len(seeds) :] - run.theta[parent_rows(run.members)]).abs().amax(1)
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
    """In float64, at every update: distance and flipped units of each twin, growth of each tangent; as in notebook 03."""
    return kinks(bench)
