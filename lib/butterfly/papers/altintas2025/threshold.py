"""Notebook 04: the smallest kick that matters.

For every seed, kick time and kind of kick, twins are kicked at sizes that stand powers of ten apart. The barrier at the
end rises with the size and then levels off; where it crosses a level is the threshold. Networks train in float64, so
that the threshold is that of the training and not of the number format.
"""

import math
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy.optimize import isotonic_regression

from butterfly.interpolate import EPSILON, barriers
from butterfly.models import Model
from butterfly.papers.altintas2025 import PAPER
from butterfly.perturb import Kick, expected_norm
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Shard, Study, Tables, Times, above, below
from butterfly.study import between, broken, check_times, intervals, rising_sizes, rising_times
from butterfly.study.intervals import POSITIVE
from butterfly.train import Fork, parent_rows, train

ALL, BATCH, ONE = "all weights", "another batch's gradient", "one weight"
PARTS = ("first layer", "last layer", "biases and norms")
LAYERS = (ALL, *PARTS)
FIXED, HALF = "fixed", "half of saturation"  # the two levels at which thresholds are read off
LOST = 100.0  # the barrier that stands for that of a network without a finite loss


class Params(OneModel):
    """Parameters of notebook 04; times are in percent of the training steps, sizes in norms of the initial weights."""

    setting: str = "mnist1d"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    level: float = Field(0.02, gt=0)  # the fixed barrier at which a kick counts as large enough
    sizes: tuple[float, ...] = (1e-8, 1e-6, 1e-4, 1e-2)  # of kicks of all weights
    saturated: tuple[float, ...] = (1e-2,)  # sizes over which the barrier at saturation is averaged
    small_sizes: tuple[float, ...] = (1e-8, 1e-6, 1e-4)  # of all other kicks
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    kick_times: Times = (0.0, 50.0)
    batch_times: Times = (50.0,)  # at which kicks along another batch's gradient are tried as well
    parts: bool = True  # kicks of some of the weights, at time 0
    variants: tuple[tuple[str, float], ...] = ()  # other architectures, and factors on their initial weights

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError(f"kick_times = {list(self.kick_times)}: begin at 0 and go on")
        if not set(self.batch_times) <= set(self.kick_times):
            raise ValueError(f"batch_times = {list(self.batch_times)}: give some of kick_times")
        for name in ("sizes", "small_sizes", "saturated"):
            rising_sizes(name, getattr(self, name))
        if min(len(self.sizes), len(self.small_sizes)) < 2:
            raise ValueError("sizes and small_sizes: give at least two each")
        if not self.saturated or not set(self.saturated) <= set(self.sizes):
            raise ValueError(f"saturated = {list(self.saturated)}: give some of sizes")
        base = self.chosen(self.setting)
        if not all(scale > 0 for _, scale in self.variants) or (base.model, 1.0) in self.variants:
            raise ValueError("variants: give models with factors above 0, and not the setting's own model as it is")
        return self

    @property
    def rescaled(self) -> str:
        """The data, and the architecture that is tried at the most scales of its initial weights."""
        base = self.chosen(self.setting)
        names = [base.model, *(name for name, _ in self.variants)]
        return f"{base.data}, {max(names, key=names.count)}"

    @property
    def as_they_are(self) -> str:
        """The data, and the architectures that are tried with their own initial weights."""
        base = self.chosen(self.setting)
        return ", ".join([base.data, base.model, *(name for name, scale in self.variants if scale == 1)])

    @property
    def quarter(self) -> float:
        """The kick time after the start that is nearest to a quarter of training."""
        return min(self.kick_times[1:], key=lambda time: abs(time - 25))

    @property
    def batches(self) -> str:
        """The times at which kicks along another batch's gradient are tried, in words."""
        *first, last = [f"{time:g}" for time in self.batch_times] or [""]
        return " and ".join(filter(None, [", ".join(first), last]))

    @property
    def largest(self) -> float:
        """The largest kick that is tried."""
        return max(self.sizes)

    @property
    def half(self) -> float:
        """The kick time after the start that is nearest to half of training."""
        return min(self.kick_times[1:], key=lambda time: abs(time - 50))


study = Study("04_threshold", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of the setting, and of each variant of it."""
    base = params.chosen(params.setting, params.steps)
    check_times(base, params.kick_times)
    curves = [[time, ALL, params.sizes] for time in params.kick_times]
    curves += [[time, BATCH, params.small_sizes] for time in params.batch_times]
    curves += [[0.0, part, params.small_sizes] for part in (ONE, *PARTS) if params.parts]
    arms = [(base, 1.0, sorted(curves, key=lambda curve: curve[0]))]
    arms += [(base.changed(model=name), scale, [[0.0, ALL, params.small_sizes]]) for name, scale in params.variants]
    # The levels are read off afterwards; the others are in the curves.
    leave = ["level", "saturated", "sizes", "small_sizes", "kick_times", "batch_times", "parts", "variants"]
    grids = [(setting, {"init_scale": scale, "curves": wanted}) for setting, scale, wanted in arms]
    return [s for setting, own in grids for s in study.every_few(params, setting, leave=leave, of=setting.model, **own)]


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train twins with kicks of every time, kind and size in one stack: arrays over the twins `[K]`, controls first."""
    seeds, model, task = bench.seeds, bench.model, bench.task.to(bench["device"], torch.float64)
    cells = [(seed, 0.0, ALL, 0.0) for seed in seeds]
    cells += [(seed, time, kind, size) for time, kind, sizes in bench["curves"] for seed in seeds for size in sizes]
    forks = [Fork(seed, bench.setting.step_at(time), _kick(model, kind, size)) for seed, time, kind, size in cells]
    run = train(model, task, bench.recipe, seeds, forks, init=bench["init_scale"] * model.init(seeds))
    parents, twins = run.theta[parent_rows(run.members)], run.theta[len(seeds) :]
    line = barriers(model, parents, twins, task.sample.x, task.sample.y, bench["points"])
    return {
        "seed": np.array([seed for seed, _, _, _ in cells]),
        "time": np.array([time for _, time, _, _ in cells]),
        "kind": np.array([kind for _, _, kind, _ in cells]),
        "size": np.array([size for _, _, _, size in cells]),
        "barrier": line.of_loss.numpy(),
        "accuracy": 1 - line.error[:, 0].numpy(),  # of the parent, on the training set
        "largest_difference": (twins - parents).abs().amax(1).cpu().numpy(),
        "count": np.full(len(cells), model.layout.count),
        "unit": np.full(len(cells), expected_norm(model, Kick())),
    }


def _kick(model: Model, kind: str, size: float) -> Kick:
    """A kick of that kind; all are equal in L2 at equal size."""
    weights = [p.name for p in model.layout.parameters if p.kind == "weight"]
    others = tuple(p.name for p in model.layout.parameters if p.kind != "weight")
    kinds = {
        ALL: {},
        BATCH: {"kind": "batch"},
        ONE: {"weights": 1, "unit": "network"},
        "first layer": {"layers": (weights[0],), "unit": "network"},
        "last layer": {"layers": (weights[-1],), "unit": "network"},
        "biases and norms": {"layers": others, "norms_and_biases": True, "unit": "network"},
    }
    return Kick(size=size, **kinds[kind])


# --- tables ----------------------------------------------------------------------------------------------------------

CURVE = ["model", "init_scale", "seed", "time", "kind"]


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `curves` (a row a twin), `thresholds` (a row a curve and level), `saturation` (a seed and time)."""
    curves = pd.concat([_of_shard(shard, params.setting) for shard in shards], ignore_index=True)
    saturation = saturated(curves, params.saturated)
    return {"curves": curves, "saturation": saturation, "thresholds": thresholds(curves, saturation, params.level)}


def _of_shard(shard: Shard, setting: str) -> pd.DataFrame:
    return pd.DataFrame(shard.found).assign(setting=setting, model=shard.of, init_scale=shard.config["init_scale"])


def saturated(curves: pd.DataFrame, sizes: Sequence[float]) -> pd.DataFrame:
    """Mean barrier of each network and time over sizes of kicks of all weights at which it no longer rises.

    Only where all these sizes were tried.
    """
    chosen = curves[(curves.kind == ALL) & curves["size"].isin(sizes)].groupby(CURVE[:-1], sort=False).barrier
    return chosen.mean()[chosen.count() == len(sizes)].rename("saturation").reset_index()


def thresholds(curves: pd.DataFrame, saturation: pd.DataFrame, level: float) -> pd.DataFrame:
    """Where each curve crosses a fixed level, and where half of the barrier at saturation at that time.

    `lower` and `upper` are equal, but where the curve does not cross within the sizes tried, `beyond` says `above` or
    `below` and one of them is unknown: 0 or infinity. Where the barrier at saturation lies under the floor of
    measurement, both are.
    """
    whole, rows = saturation.set_index(CURVE[:-1]).saturation, []
    for key, curve in curves[curves["size"] > 0].groupby(CURVE, sort=False):
        half = whole.get(key[:-1], math.nan) / 2
        about = dict(zip(CURVE, key, strict=True)) | curve.iloc[0][["setting", "count", "unit"]].to_dict()
        for name, value in ((FIXED, level), (HALF, half)):
            if not math.isnan(value):
                lower, upper = crossing(curve["size"], curve.barrier, value)
                rows.append({**about, "level": name, "value": value, "lower": lower, "upper": upper})
    found = pd.DataFrame(rows)
    void = 2 * found.value < EPSILON
    found.loc[void, ["lower", "upper"]] = 0.0, math.inf
    found["beyond"] = np.select([void, found.lower == 0, found.upper == math.inf], ["void", "below", "above"], "")
    return found


def crossing(sizes: Sequence[float], barrier: Sequence[float], level: float) -> tuple[float, float]:
    """The size at which a barrier that rises with the size (isotonic in its logarithm) reaches a level, as bounds.

    Between two sizes it is read off a straight line, both axes logarithmic.
    """
    order = np.argsort(np.asarray(sizes))
    size, height = np.asarray(sizes, dtype=float)[order], np.asarray(barrier, dtype=float)[order]
    rising = isotonic_regression(np.log(np.nan_to_num(height, nan=LOST, posinf=LOST) + EPSILON)).x
    above = np.flatnonzero(rising >= math.log(level + EPSILON))
    if not len(above):
        return float(size[-1]), math.inf
    after = above[0]
    if after == 0:
        return 0.0, float(size[0])
    ends = slice(after - 1, after + 1)
    at = float(np.exp(np.interp(math.log(level + EPSILON), rising[ends], np.log(size[ends]))))
    return at, at


def as_it_is(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the setting's own network, which come first."""
    return table[(table.model == table.model.iloc[0]) & (table.init_scale == 1)]


def rescaled(thresholds: pd.DataFrame) -> pd.DataFrame:
    """The rows of the network that was tried at the most scales of its initial weights."""
    return thresholds[thresholds.model == thresholds.groupby("model", sort=False).init_scale.nunique().idxmax()]


# --- claims ----------------------------------------------------------------------------------------------------------


def rounding_size(dtype: torch.dtype) -> float:
    """The size of the kick that rounding Gaussian weights to a number format is: 2^-12.2 for float16."""
    weights = torch.randn(100_000, generator=generator("rounding"), dtype=torch.float64)
    return float((weights.to(dtype) - weights).norm() / weights.norm())


@study.unless
def lost_twins(t: Tables) -> str:
    """Claims are void where control twins differ from their parents, or a network has learned less than half of its
    training set.
    """
    curves = t["curves"]
    weak = int((curves.groupby(["model", "init_scale", "seed"]).accuracy.min() < 0.5).sum())
    controls = curves[curves["size"] == 0].assign(kind="control")
    return "; ".join(filter(None, [broken(controls, ["barrier"]), f"{weak} networks did not learn" if weak else ""]))


def measured(uses: str) -> Callable[[Tables], str]:
    """Why claims on means of logarithms are void: thresholds lie outside the sizes tried, and are known as bounds."""

    def why(t: Tables) -> str:
        beyond = int((t["thresholds"].query(uses).beyond != "").sum())
        outside = f"{beyond} thresholds lie outside the sizes tried" if beyond else ""
        return "; ".join(filter(None, [lost_twins(t), outside]))

    why.__doc__ = f"Claims are void by the rule for all, or where a threshold lies outside the sizes tried ({uses})."
    return why


Bounds = pd.DataFrame  # by seed: `lower` and `upper` of a threshold


def _at(t: Tables, time: float, kind: str = ALL, level: str = FIXED) -> Bounds:
    """The thresholds of the setting's own network."""
    own = as_it_is(t["thresholds"]).query("time == @time and kind == @kind and level == @level")
    return own.set_index("seed")[["lower", "upper"]]


def _ratio(above: Bounds, below: Bounds) -> Interval:
    """Geometric mean over seeds of a ratio of thresholds."""
    above, below = above.align(below, join="inner", axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper = above.lower / below.upper, above.upper / below.lower
    # Unknown over unknown may be anything.
    return intervals.between_bounds(lower.fillna(0.0), upper.fillna(math.inf))


@study.claim(
    "B02b", by="threshold of one weight over that of all, time 0", region=between(0.1, 10), figure="c",
)  # fmt: skip
def one_weight(t: Tables) -> Interval:
    """At the start and at equal L2, a kick of one weight matters at about the size that a kick of all weights does."""
    return _ratio(_at(t, 0, ONE), _at(t, 0))


@study.claim(
    "B06", by="threshold of Gaussian kicks over that of batch kicks, geometric mean over times", region=above(1),
    margin=2, origin=Origin.NOTEBOOK, place="notebooks/butterfly-hparams.ipynb", figure="a",
)  # fmt: skip
def along_a_batch(t: Tables) -> Interval:
    """At {params.batches} % of training, kicks along another batch's gradient matter at smaller size than Gaussian
    kicks of equal L2.
    """
    times = [time for time in t.params.batch_times if len(_at(t, time, BATCH))]
    if not times:
        return intervals.nothing()
    mean = {
        kind: np.exp(sum(np.log(_at(t, time, kind)) for time in times) / len(times)) for kind in (ALL, BATCH)
    }  # fmt: skip
    return _ratio(mean[ALL], mean[BATCH])


@study.claim(
    "B22", by="largest of three mean ratios of thresholds to that of all weights, powers of ten", region=below(1),
    margin=0.5, origin=Origin.NOTEBOOK, figure="c",
    unless=measured("level == @FIXED and time == 0 and init_scale == 1 and kind in @LAYERS"),
)  # fmt: skip
def parts_suffice(t: Tables) -> Interval:
    """Kicks of the first layer, of the last or of the biases alone suffice: ten times the size of others at most."""
    tables = [_at(t, 0, part) for part in PARTS]
    if not all(map(len, tables)):
        return intervals.nothing()
    return intervals.largest_mean(np.log10([(own / _at(t, 0)).upper for own in tables]).T)


# A power of ten: half of what lies between the thresholds of two seeds at one time.
LATER = {"region": above(1), "margin": 10, "figure": "a"}


@study.claim(
    "X08", by="threshold at {params.quarter:g} % of training over that at the start, level {params.level:g}", **LATER
)
def later_is_larger(t: Tables) -> Interval:
    """At a quarter of training a kick must be larger than at the start to leave a barrier of {level:g}."""
    return _ratio(_at(t, t.params.quarter), _at(t, 0))


@study.claim(
    "X08b", by="threshold at {params.quarter:g} % of training over that at the start, half of saturation",
    **LATER,
)  # fmt: skip
def later_is_larger_in_part(t: Tables) -> Interval:
    """At a quarter of training a kick must be larger than at the start to leave half of the possible barrier."""
    return _ratio(_at(t, t.params.quarter, level=HALF), _at(t, 0, level=HALF))


@study.claim(
    "X08c", by="share of seeds in which no kick up to {params.largest:g} at {params.half:g} % reaches level {level:g}",
    region=above(0.5), margin=0.45, figure="ab",
)  # fmt: skip
def out_of_reach(t: Tables) -> Interval:
    """By half of training the fixed level is out of reach: kicks of any size leave a smaller barrier."""
    return intervals.share(_at(t, t.params.half).upper == math.inf)


def _reach_of_half(t: Tables) -> tuple[float, float]:
    """Half of the barrier at saturation is reached by the largest size over which saturation is averaged."""
    quarter = _at(t, t.params.quarter, level=HALF)
    if quarter.empty or not (quarter.lower > 0).all():
        return POSITIVE
    return 0.0, max(t.params.saturated) / float(np.exp(np.log(quarter.lower).mean()))


# A power of ten, as in B22; the threshold of the fixed level leaps by five, to a tenth of the weights or more.
@study.claim(
    "X08d", by="threshold at {params.half:g} % of training over that at {params.quarter:g} %, half of saturation",
    region=below(10), margin=10, reach=_reach_of_half, figure="ab",
)  # fmt: skip
def no_leap(t: Tables) -> Interval:
    """From a quarter to half of training, the kick that leaves half of the possible barrier grows by less than ten
    times.
    """
    return _ratio(_at(t, t.params.half, level=HALF), _at(t, t.params.quarter, level=HALF))


@study.claim(
    "X09", by="threshold at time 0 over the kick that rounding to float16 is", region=below(1), margin=10, figure="a"
)
def rounding_suffices(t: Tables) -> Interval:
    """At the start, a Gaussian kick as large as rounding to float16 is enough to leave a barrier of {level:g}."""
    return _ratio(_at(t, 0), _at(t, 0) * 0 + rounding_size(torch.float16))


# A slope of 1 (-1): the kick that matters shrinks as fast as what it is held against grows.
@study.claim(
    "X10", by="slope of the log threshold on the log of the initial scale", region=below(0), margin=1, figure="d",
    scope="{params.rescaled}", unless=measured("level == @FIXED and time == 0 and kind == @ALL"),
)  # fmt: skip
def larger_weights(t: Tables) -> Interval:
    """The larger the initial weights, the smaller the kick that matters."""
    return _slope(rescaled(t["thresholds"]), "init_scale")


@study.claim(
    "X11", by="slope of the log threshold on the log of the number of parameters", region=below(0), margin=1,
    figure="d", scope="{params.as_they_are}", unless=measured("level == @FIXED and time == 0 and kind == @ALL"),
)  # fmt: skip
def more_parameters(t: Tables) -> Interval:
    """The more parameters a network of this depth has, the smaller the kick that matters."""
    return _slope(t["thresholds"].query("init_scale == 1"), "count")


def _slope(thresholds: pd.DataFrame, column: str) -> Interval:
    """Slope of the log threshold of kicks of all weights at time 0 on the log of a column, mean over seeds."""
    chosen = thresholds.query("kind == @ALL and time == 0 and level == @FIXED")
    table = np.log(chosen.pivot_table("upper", "seed", column))
    at = np.log(table.columns.to_numpy(dtype=float))
    return intervals.mean(intervals.slopes(at, table.to_numpy())) if len(at) > 1 else intervals.nothing()
