"""Notebook 31: what networks memorise, and how that differs from what they learn.

Networks are trained on real data and on noise: inputs replaced by Gaussian noise (randX), or labels drawn at random
(randY), of all examples or of some. A unit is a draw of the examples and of the noise, with a few networks on each.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import data, models
from butterfly.papers.arpit2017 import PAPER, curves, fitting, kicked
from butterfly.papers.arpit2017.curves import CURVES, measure_curves
from butterfly.papers.arpit2017.draws import KINDS, NOISES, RANDX, RANDY, REAL
from butterfly.papers.arpit2017.ease import measure_ease
from butterfly.papers.arpit2017.fitting import (
    CLEAN, FITS, measure_capacity, measure_dimension, measure_fitting, measure_regularised,
)  # fmt: skip
from butterfly.papers.arpit2017.influence import measure_influence
from butterfly.papers.arpit2017.kicked import CONTROL, KICKED, ORDER, measure_kicked
from butterfly.score import LOGGED
from butterfly.strict import ParameterError
from butterfly.study import Arrays, Interval, OneModel, Origin, Shard, Study, Tables, above, below, between, by_place
from butterfly.study import grid, intervals, lost
from butterfly.study.claims import Kind, differing_controls
from butterfly.study.intervals import CORRELATION, SHARE
from butterfly.study.runs import Compute

EPOCH = "after one epoch"
AS_IT_IS, FIXED = "as they are", "of equal length"
AT_LOSS, AT_FIT = "at equal loss", "when all are right"
RANKS = 101  # examples that the figure shows, from the hardest to the easiest
SNAPSHOT, AVERAGE = "el2n.last", "el2n.mean"
NEAR_BEST = 0.01  # of accuracy: a width this near the best is large enough
# Parameters that are lists of rising numbers above 0, and how many some of them need.
RISING = ("levels", "sizes", "dimensions", "widths", "fractions", "critical_epochs", "score_epochs", "kick_sizes")
LEAST = {"levels": 2, "sizes": 2, "dimensions": 2, "widths": 3, "critical_epochs": 2, "kick_times": 2}


class Params(OneModel):
    """Parameters of notebook 31; times are in epochs. `seeds` are draws of the examples and of the noise."""

    setting: str = "digits-memory"
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    runs: int = Field(2, ge=2, le=100)  # networks trained on each draw
    examples: int = Field(200, ge=50)
    noise: float = Field(0.4, gt=0, lt=1)  # fraction of noise, where there is one
    many: int = Field(10, ge=2, le=500)  # networks of which it is asked whether the same examples are easy
    ease_epochs: int = Field(10, ge=2)
    levels: tuple[float, ...] = (0.5, 0.8)  # training accuracies at which they are compared
    small: str = "mlp-2x16"  # the network that is unrolled
    unrolled_examples: int = Field(100, ge=50)
    unrolled_epochs: int = Field(10, ge=2)
    looks: int = Field(2, ge=1)
    sizes: tuple[int, ...] = (50, 100, 200)  # numbers of examples
    patience: tuple[int, int, int] = (20, 30, 60)  # epochs for real data, randX, randY
    loss: float = Field(0.1, gt=0)  # training loss at which sharpness is compared
    iterations: int = Field(10, ge=5)  # of Lanczos
    dimensions: tuple[int, ...] = (64, 256)  # of Gaussian inputs
    gaussian_patience: int = Field(30, ge=1)  # epochs for them
    widths: tuple[int, ...] = (4, 16, 64)
    capacity_epochs: int = Field(20, ge=1)
    dropouts: tuple[float, ...] = (0.4,)
    dropout: float = Field(0.4, gt=0, lt=1)  # the one that claims are about
    decays: tuple[float, ...] = (1e-3, 1e-2)  # of the weights
    regularised_epochs: int = Field(30, ge=1)
    fractions: tuple[float, ...] = (0.4, 0.8)  # of noise
    epochs: int = Field(30, ge=5)
    critical_epochs: tuple[int, ...] = (1, 30)
    points: int = Field(100, ge=20)  # test inputs near which critical samples are looked for
    score_epochs: tuple[int, ...] = (1, 3, 10, 30)
    kick_sizes: tuple[float, ...] = (1e-2,)  # in norms of the initial weights; all at the start, the largest also later
    kick_times: tuple[int, ...] = (0, 5)
    kick_epochs: int = Field(30, ge=2)
    kicked_runs: int = Field(3, ge=2, le=100)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in (*RISING, "kick_times"):
            values = list(getattr(self, name))
            if not values or values != sorted(set(values)) or (name in RISING and values[0] <= 0):
                raise ValueError(f"{name} = {values}: give rising numbers above 0")
        for name, least in LEAST.items():
            if len(getattr(self, name)) < least:
                raise ValueError(f"{name} = {list(getattr(self, name))}: give {least} or more")
        if self.levels[-1] >= 1:
            raise ValueError(f"levels = {list(self.levels)}: give training accuracies below 1")
        if self.noise not in self.fractions or self.fractions[-1] > 1:
            given = list(self.fractions)
            raise ValueError(f"fractions = {given}: give shares up to 1, noise = {self.noise:g} among them")
        if self.dropout not in self.dropouts:
            raise ValueError(f"dropout = {self.dropout:g}: give one of dropouts = {list(self.dropouts)}")
        if len(self.decays) < 2 or not all(d > 0 for d in self.decays):
            raise ValueError(f"decays = {list(self.decays)}: give two or more, above 0")
        if self.kick_times[0] != 0:
            raise ValueError(f"kick_times = {list(self.kick_times)}: begin at 0")
        if max(self.critical_epochs[-1], self.score_epochs[-1]) > self.epochs:
            raise ValueError(f"critical_epochs and score_epochs go beyond the {self.epochs} epochs of training")
        chosen = self.chosen(self.setting)
        models.build(self.small, data.input_shape(chosen.data), classes=10)  # refuses what does not fit
        return self

    @property
    def regularisers(self) -> list[tuple[str, float]]:
        """Names of fields of the recipe and strengths; the first is none."""
        weaker = [("dropout", rate) for rate in self.dropouts], [("weight_decay", decay) for decay in self.decays]
        return [("dropout", 0.0), *weaker[0], *weaker[1]]

    @property
    def early(self) -> int:
        """The look of scores that is nearest to a tenth of training."""
        return min(self.score_epochs, key=lambda epoch: abs(epoch - self.epochs / 10))

    @property
    def percent(self) -> float:
        """The fraction of noise, in percent."""
        return 100 * self.noise

    @property
    def latest(self) -> int:
        """The last time of a kick."""
        return self.kick_times[-1]

    @property
    def smallest(self) -> float:
        """The smallest kick."""
        return self.kick_sizes[0]

    @property
    def largest(self) -> float:
        """The largest kick."""
        return self.kick_sizes[-1]

    @property
    def most(self) -> int:
        """The largest number of examples."""
        return self.sizes[-1]

    @property
    def fewest(self) -> int:
        """The smallest number of examples."""
        return self.sizes[0]

    @property
    def farthest(self) -> int:
        """The largest dimension of Gaussian inputs."""
        return self.dimensions[-1]

    @property
    def unrolled(self) -> str:
        """The data and the network that is unrolled."""
        return f"{self.chosen(self.setting).data}, {self.small}"

    @property
    def wide(self) -> str:
        """The data and the networks of all widths."""
        return f"{self.chosen(self.setting).data}, mlp-2x{self.widths[0]} to mlp-2x{self.widths[-1]}"

    @property
    def gaussian(self) -> str:
        """What networks train on whose inputs are of several dimensions."""
        return f"Gaussian inputs with random labels, {self.chosen(self.setting).model}"


study = Study("31_memorisation", Params, PAPER, origin=Origin.OURS)

# Each computation, and the parameters that decide it.
PARTS: dict[Compute, set[str]] = {
    measure_ease: {"examples", "many", "ease_epochs", "levels"},
    measure_influence: {"unrolled_examples", "small", "unrolled_epochs", "looks", "runs"},
    measure_fitting: {"sizes", "patience", "loss", "iterations", "runs"},
    measure_dimension: {"dimensions", "gaussian_patience", "examples", "runs"},
    measure_capacity: {"widths", "noise", "capacity_epochs", "examples", "runs"},
    measure_regularised: {"regularised_epochs", "examples", "runs"},
    measure_curves: {"fractions", "noise", "epochs", "critical_epochs", "points", "score_epochs", "examples", "runs"},
    measure_kicked: {"kick_sizes", "kick_times", "kick_epochs", "noise", "examples", "kicked_runs"},
}
for part in PARTS:
    study.shard(part)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For each computation, one shard for every few draws."""
    chosen = params.chosen(params.setting)
    held, batch = len(data.load(chosen.data).y), chosen.recipe.batch_size
    if max(params.examples, params.unrolled_examples, params.most) > held:
        raise ParameterError(f"examples, unrolled_examples and sizes: {chosen.data} holds {held} examples; give fewer")
    if min(params.examples, params.unrolled_examples, params.sizes[0]) < batch:
        raise ParameterError(f"examples, unrolled_examples and sizes: give at least {batch} each, the batch size")
    shards = []
    for compute, fields in PARTS.items():
        grids = params.model_dump(mode="json", include=fields)
        if compute is measure_regularised:
            grids |= {"regularisers": [list(pair) for pair in params.regularisers]}
        common = study.config(chosen, params, **grids)
        shards += [Shard(compute, common | {"seeds": seeds}, compute.__name__) for seeds in params.few("seeds")]
    return shards


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> Tables:
    """Tidy tables, a row a draw (`seed`) and cell.

    `ease` (how far runs are right on the same examples), `shares` (of runs that are right, from the hardest example to
    the easiest), `influence` (Gini coefficients), `classes` (who depends on whom), `times` (to fit), `sharpness`,
    `dimensions` (times for Gaussian inputs), `capacity` (accuracies and times by width), `regularised`, `curves` (along
    training), `critical`, `radii`, `scores` (how well they find noise), `kicks`.
    """
    found = {}
    for name, own in by_place(shards).items():
        arrays = {what: np.concatenate([shard[what] for shard in own]) for what in own[0].found}
        seeds = [seed for shard in own for seed in shard.config["seeds"]]
        found |= _TABLES[name](params, seeds, arrays)
    return Tables({name: table.assign(setting=params.setting) for name, table in found.items()}, params)


Found = dict[str, pd.DataFrame]


def _columns(arrays: Arrays, names: Sequence[str], axes: dict[str, Sequence]) -> pd.DataFrame:
    """Arrays of one shape as one table, a column each."""
    first = grid(arrays[names[0]], axes, names[0])
    return first.assign(**{name: arrays[name].ravel() for name in names[1:]})


def at_level(level: float) -> str:
    """When runs first reach a training accuracy, in words."""
    return f"at accuracy {level:g}"


def _ease(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    by, when = {"seed": seeds, "kind": KINDS}, (EPOCH, *map(at_level, params.levels))
    ordered, ranks = np.sort(arrays["share"], axis=2), np.linspace(0, 1, RANKS)
    places = np.round(ranks * (ordered.shape[2] - 1)).astype(int)
    return {
        "ease": _columns(arrays, ("shared", "shuffled", "accuracy", "crossed"), by | {"when": when}),
        "shares": grid(ordered[:, :, places], by | {"rank": ranks}, "right"),
    }


def _influence(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    by = {"seed": seeds, "kind": KINDS}
    looks = [params.unrolled_epochs * look / params.looks for look in range(1, params.looks + 1)]
    return {
        "influence": _columns(arrays, ("gini", "accuracy"), by | {"epoch": looks}),
        "classes": grid(arrays["classes"], by | {"of": None, "on": None}, "sensitivity"),
    }


def _bounds(epochs: np.ndarray, most: np.ndarray | float, axes: dict[str, Sequence]) -> pd.DataFrame:
    """Geometric mean over runs of epochs `[..., R]`; `upper` is infinite, `lower` is not, where a run took too long."""
    with np.errstate(divide="ignore"):
        means = [np.exp(np.log(values).mean(-1)) for values in (np.minimum(epochs, most), epochs)]
    return _columns({"lower": means[0], "upper": means[1]}, ("lower", "upper"), axes)


def _fitting(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    by, most = {"seed": seeds, "kind": KINDS}, np.array(params.patience)[:, None, None]
    return {
        "times": _bounds(arrays["epochs"], most, by | {"examples": params.sizes}),
        "sharpness": grid(np.exp(np.log(arrays["sharpness"]).mean(3)), by | {"when": (AT_LOSS, AT_FIT)}, "sharpness"),
    }


def _dimensions(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    axes = {"seed": seeds, "dimension": params.dimensions, "inputs": (AS_IT_IS, FIXED)}
    return {"dimensions": _bounds(arrays["epochs"], params.gaussian_patience, axes)}


def _arms(table: pd.DataFrame, arms: Sequence[tuple[str, float]]) -> pd.DataFrame:
    """Columns `kind` and `fraction` in the place of the number of an arm, from 1."""
    kinds, fractions = ([arm[k] for arm in arms] for k in (0, 1))
    named = {"kind": np.array(kinds)[table.arm - 1], "fraction": np.array(fractions)[table.arm - 1]}
    return table.assign(**named).drop(columns="arm")


def _capacity(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    axes = {"seed": seeds, "width": params.widths, "arm": None}
    table = _columns(arrays, ("train", "test", "best"), axes)
    times = _bounds(arrays["epochs"], params.capacity_epochs, axes)
    own = [arm for row in fitting.arms(params.noise) for arm in row]
    return {"capacity": _arms(table.merge(times), own)}


def _regularised(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    table = _columns(arrays, ("real", "real_train", "noise"), {"seed": seeds, "arm": None})
    return {"regularised": _arms(table, params.regularisers).rename(columns={"kind": "how", "fraction": "strength"})}


def _curves(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    own, epochs = curves.arms(params.fractions), range(params.epochs + 1)
    by = {"seed": seeds, "arm": None}
    followed = {name: arrays["curves"][:, :, k] for k, name in enumerate(CURVES)}
    looks = {"seed": seeds, "kind": NOISES, "epoch": params.score_epochs}
    scores = grid(arrays["found"].swapaxes(2, 3), looks | {"score": LOGGED}, "area")
    return {
        "curves": _arms(_columns(followed, CURVES, by | {"epoch": epochs}), own),
        "critical": _arms(grid(arrays["critical"], by | {"epoch": params.critical_epochs}, "ratio"), own),
        "radii": pd.DataFrame({"seed": seeds, "radius": arrays["radius"]}),
        "scores": scores.merge(grid(arrays["fitted"], looks, "fitted")),
    }


def _kicked(params: Params, seeds: list[int], arrays: Arrays) -> Found:
    kinds, times, sizes = map(list, zip(*kicked.arms(params.kick_times, params.kick_sizes), strict=True))
    table = grid(arrays["agreement"], {"seed": seeds, "kind": kinds}, "agreement")
    table = table.assign(time=times * len(seeds), size=sizes * len(seeds))
    table = table.assign(epoch=arrays["epochs"][:, 1:].ravel(), parted=arrays["parted"].all(2).ravel())
    whole = {name: arrays[name] for name in ("others", "crossed", "largest_difference")}
    return {"kicks": table.merge(pd.DataFrame({"seed": seeds, **whole}))}


_TABLES: dict[str, Callable[[Any, list[int], Arrays], Found]] = {
    "measure_ease": _ease,
    "measure_influence": _influence,
    "measure_fitting": _fitting,
    "measure_dimension": _dimensions,
    "measure_capacity": _capacity,
    "measure_regularised": _regularised,
    "measure_curves": _curves,
    "measure_kicked": _kicked,
}


# --- claims: what voids them -----------------------------------------------------------------------------------------


@study.unless
def did_not_learn(t: Tables) -> str:
    """Claims are void where, in any draw, networks trained on real data are right on less than half of the test
    examples at the end.
    """
    table = t["curves"]
    end = table[(table.kind == REAL) & (table.epoch == table.epoch.max())]
    weak = int((end.test < 0.5).sum())
    return f"in {weak} of {len(end)} draws networks did not learn real data" if weak else ""


def unless(reason: Callable[[Tables], str], when: str) -> Callable[[Tables], str]:
    """The rule for all, and one more."""

    def why(t: Tables) -> str:
        return "; ".join(filter(None, [did_not_learn(t), reason(t)]))

    why.__doc__ = f"Claims are void by the rule for all, or where {when}."
    return why


def _below_level(t: Tables) -> str:
    missing = int((t["ease"].crossed < 1).sum())
    return f"in {missing} cases some runs did not reach a level" if missing else ""


def _censored(table: str, of: str) -> Callable[[Tables], str]:
    def why(t: Tables) -> str:
        missing = int(np.isinf(t[table].upper).sum())
        return f"{missing} {of} are known as bounds only" if missing else ""

    return why


def _saturated(t: Tables) -> str:
    means = t["critical"].groupby(["kind", "fraction", "epoch"]).ratio.mean()
    odd = int((~t["radii"].radius.between(2e-3, 5.0)).sum())  # an end of the range in which it is looked for
    reasons = ["nearly all test inputs are critical" if means.max() > 0.95 else "", f"{odd} radii" if odd else ""]
    return "; ".join(filter(None, reasons))


def _not_memorised(t: Tables) -> str:
    weak = int((_regularised_at(t, 0.0).noise < 0.9).sum())
    return f"in {weak} draws networks do not fit random labels without a regulariser" if weak else ""


def _other_twins(t: Tables) -> str:
    kicks = t["kicks"]
    control = differing_controls(kicks[kicks.kind == CONTROL].assign(kind="control"))
    late = "" if kicks.parted.all() else "twins parted from parents that were half-way already"
    short = "" if (kicks.crossed == 1).all() else "networks did not fit half of the wrong labels"
    return "; ".join(filter(None, [control, late, short]))


def _lost_sharpness(when: str) -> Callable[[Tables], str]:
    def why(t: Tables) -> str:
        own = t["sharpness"][t["sharpness"].when == when]
        return lost(own[["sharpness"]], "means of networks did not come so far")

    return why


REACHED = unless(_below_level, "a run does not reach a level")
FITTED = unless(_censored("dimensions", "times"), "a network takes longer than the epochs it is given")
SPREAD = unless(_saturated, "on average over draws more than 95 % of test inputs are critical, or no radius was found")
MEMORISED = unless(_not_memorised, "in any draw less than 90 % of random labels are fitted without a regulariser")
TWINS = unless(
    _other_twins, "a control twin differs, a twin parts too late, or a network never fits half of the wrong labels"
)
SHARP = {
    when: unless(_lost_sharpness(when), "a network does not come so far that its sharpness is measured")
    for when in (AT_LOSS, AT_FIT)
}


# --- claims: numbers of a draw ---------------------------------------------------------------------------------------


def _shared(t: Tables, kind: str, when: str = EPOCH) -> pd.Series:
    """Share of the variance of answers that the examples explain, by draw."""
    table = t["ease"]
    return table[(table.kind == kind) & (table.when == when)].set_index("seed").shared


def _noise_over_real(t: Tables, level: int) -> Interval:
    """The same when runs first reach a level: the larger of both noises minus real data."""
    when = at_level(t.params.levels[level])
    real = _shared(t, REAL, when)
    return intervals.largest_mean(np.stack([_shared(t, kind, when) - real for kind in NOISES], 1), DIFFERENCE)


def _gini(t: Tables, kind: str) -> pd.DataFrame:
    """Gini coefficients `[draws, looks]`."""
    table = t["influence"]
    return table[table.kind == kind].pivot(index="seed", columns="epoch", values="gini")


def others(t: Tables, kind: str) -> pd.Series:
    """How much the loss of a class depends on an example of another class, over one of its own, by draw."""
    table = t["classes"][t["classes"].kind == kind]
    own = table[table.of == table.on].groupby("seed").sensitivity.mean()
    return table[table.of != table.on].groupby("seed").sensitivity.mean() / own


def _arm(table: pd.DataFrame, kind: str, fraction: float) -> pd.DataFrame:
    return table[(table.kind == kind) & (table.fraction == fraction)]


def _widths(t: Tables, kind: str, fraction: float, value: str) -> pd.DataFrame:
    """An accuracy of one arm `[draws, widths]`."""
    return _arm(t["capacity"], kind, fraction).pivot(index="seed", columns="width", values=value)


def needed(table: pd.DataFrame, level: pd.Series, widest: bool = False) -> pd.DataFrame:
    """The width at which accuracies `[draws, widths]` reach the level of their draw, as bounds.

    Between two widths it is read off a straight line on the log width. Where no width suffices, or with `widest` only
    the last, it may be any from there on; where the first does, any up to it.
    """
    widths, rows = table.columns.to_numpy(dtype=float), []
    for curve, least in zip(table.to_numpy(), level, strict=True):
        enough = np.flatnonzero(curve >= least)
        if not len(enough) or enough[0] == 0:
            rows.append((widths[-1], math.inf) if not len(enough) else (0.0, widths[0]))
            continue
        ends = slice(enough[0] - 1, enough[0] + 1)
        at = float(np.exp(np.interp(least, curve[ends], np.log(widths[ends]))))
        rows.append((at, math.inf if widest and enough[0] == len(widths) - 1 else at))
    return pd.DataFrame(rows, columns=["lower", "upper"], index=table.index)


def best_width(t: Tables, kind: str, fraction: float, value: str) -> pd.DataFrame:
    """The smallest width whose accuracy comes near the best of all, as bounds by draw."""
    table = _widths(t, kind, fraction, value)
    return needed(table, table.max(axis=1) - NEAR_BEST, widest=True)


def fitting_width(t: Tables, kind: str) -> pd.DataFrame:
    """The smallest width at which nearly all training examples are right, as bounds by draw."""
    table = _widths(t, kind, 0.0 if kind == REAL else 1.0, "train")
    return needed(table, pd.Series(FITS, table.index))


def _ratio(above: pd.DataFrame, below: pd.DataFrame) -> Interval:
    """Geometric mean over draws of a ratio of two numbers that are known as bounds, `lower` and `upper`."""
    above, below = above.align(below, join="inner", axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper = above.lower / below.upper, above.upper / below.lower
    return intervals.between_bounds(lower.fillna(0.0), upper.fillna(math.inf))  # unknown over unknown: anything


def _times(t: Tables, kind: str, examples: int | None = None) -> pd.DataFrame:
    """Epochs to fit so many examples, by default the most, as bounds by draw."""
    table = t["times"]
    count = table.examples.max() if examples is None else examples
    return table[(table.kind == kind) & (table.examples == count)].set_index("seed")[["lower", "upper"]]


def _growth(t: Tables, kind: str) -> pd.DataFrame:
    """Time to fit the most examples over that for the fewest, as bounds by draw."""
    few, many = _times(t, kind, t.params.fewest), _times(t, kind)
    return pd.DataFrame({"lower": many.lower / few.upper, "upper": many.upper / few.lower})


def _speed_up(t: Tables, kind: str) -> pd.DataFrame:
    """Time to fit of the widest networks over that of those two steps narrower, as bounds by draw."""
    table = _arm(t["capacity"], kind, 0.0 if kind == REAL else 1.0)
    narrow, wide = (table[table.width == t.params.widths[k]].set_index("seed") for k in (-3, -1))
    return pd.DataFrame({"lower": wide.lower / narrow.upper, "upper": wide.upper / narrow.lower})


def _by_dimension(t: Tables, inputs: str) -> pd.Series:
    """Slope of the log time to fit Gaussian inputs on the log of their dimension, by draw."""
    table = t["dimensions"][t["dimensions"].inputs == inputs]
    wide = table.pivot(index="seed", columns="dimension", values="lower")
    return pd.Series(intervals.slopes(np.log(wide.columns.to_numpy(float)), np.log(wide.to_numpy())), wide.index)


def reached(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """When curves `[draws, epochs]` first reach a level, between looks on a straight line: bounds by draw."""
    rows, epochs = [], table.columns.to_numpy(dtype=float)
    for curve in table.to_numpy():
        hit = np.flatnonzero(curve >= level)
        if not len(hit):
            rows.append((epochs[-1], math.inf))
            continue
        ends = slice(max(hit[0] - 1, 0), hit[0] + 1)
        rows.append((float(np.interp(level, curve[ends], epochs[ends])),) * 2)
    return pd.DataFrame(rows, columns=["lower", "upper"], index=table.index)


def course(t: Tables, kind: str, fraction: float, what: str) -> pd.DataFrame:
    """An accuracy of one arm along training `[draws, epochs]`."""
    return _arm(t["curves"], kind, fraction).pivot(index="seed", columns="epoch", values=what)


def peak(t: Tables, kind: str, fraction: float) -> pd.Series:
    """The epoch, from 1, of the best accuracy on the half of the test set that picks it, by draw."""
    return course(t, kind, fraction, "picks").drop(columns=0).idxmax(axis=1).astype(float)


def _drop(t: Tables, kind: str, fraction: float) -> pd.Series:
    """How much of the accuracy at that epoch is lost at the end, on the half of the test set that did not pick it."""
    table, best = course(t, kind, fraction, "test"), peak(t, kind, fraction)
    at_best = [table.loc[seed, epoch] for seed, epoch in best.items()]
    return at_best - table[table.columns.max()]


def _known(values: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"lower": values, "upper": values})


def critical(t: Tables, kind: str, fraction: float) -> pd.DataFrame:
    """Share of critical samples `[draws, looks]`."""
    return _arm(t["critical"], kind, fraction).pivot(index="seed", columns="epoch", values="ratio")


def _by_fraction(t: Tables, kind: str) -> np.ndarray:
    """Slope of the share of critical samples at the end on the fraction of noise, by draw."""
    last = t.params.critical_epochs[-1]
    steps = [(REAL, 0.0), *((kind, fraction) for fraction in t.params.fractions)]
    values = np.stack([critical(t, *arm)[last].to_numpy() for arm in steps], 1)
    return intervals.slopes([fraction for _, fraction in steps], values)


def _regularised_at(t: Tables, strength: float, how: str = "dropout") -> pd.DataFrame:
    table = t["regularised"]
    return table[(table.how == how) & (table.strength == strength)].set_index("seed")


def _beside_decay(t: Tables) -> list[float]:
    """Test accuracy with dropout minus that with the weight decay that leaves as much memorised, by draw."""
    table, found = t["regularised"], []
    for seed, dropped in _regularised_at(t, t.params.dropout).iterrows():
        own = table[(table.seed == seed) & ((table.how == "weight_decay") | (table.strength == 0))].sort_values("noise")
        outside = math.nan
        matched = np.interp(dropped.noise, own.noise, own.real, left=outside, right=outside)
        found.append(float(dropped.real - matched))
    return found


def _unmatched(t: Tables) -> str:
    missing = int(np.isnan(_beside_decay(t)).sum())
    return f"in {missing} draws no weight decay leaves as much memorised" if missing else ""


MATCHED = unless(
    lambda t: "; ".join(filter(None, [_not_memorised(t), _unmatched(t)])),
    "in any draw less than 90 % of random labels are fitted without a regulariser, or no decay leaves as many fitted",
)


def area(t: Tables, score: str, epoch: int | None = None, kind: str = RANDY) -> pd.Series:
    """How well a score finds noise at a look, by default the last, by draw."""
    table = t["scores"]
    when = table.epoch.max() if epoch is None else epoch
    return table[(table.kind == kind) & (table.score == score) & (table.epoch == when)].set_index("seed").area


def apart(t: Tables, kind: str, time: int = 0, size: float | None = None) -> pd.Series:
    """How far what is memorised falls short of being the same for twin and parent, by draw; by default, the largest
    kick.
    """
    table = t["kicks"][(t["kicks"].kind == kind) & (t["kicks"].time == time)]
    return 1 - table[table["size"] == (table["size"].max() if size is None else size)].set_index("seed").agreement


def _seeds_apart(t: Tables) -> pd.Series:
    return 1 - t["kicks"].drop_duplicates("seed").set_index("seed").others


# --- claims ----------------------------------------------------------------------------------------------------------

DIFFERENCE = (-1.0, 1.0)
KRUEGER = "Krueger et al. 2017 (OpenReview rJv6ZgHYg)"


def said(where: str, **about: Any) -> dict[str, Any]:
    """What is told of claims of the paper whose text is known at second hand."""
    return {"origin": Origin.PAPER, "place": f"second hand: {where}", **about}


FORERUNNER = {"origin": Origin.ABSTRACT, "source": KRUEGER}
SHARED = "share of the variance of answers, right or not, that the examples explain"
# A hundredth: of a hundred runs, as in the paper, counts then spread twice as much as coin flips do.
CHANCE = between(-0.01, 0.01)
MORE = {"region": above(0.0), "margin": 0.05, "reach": (-1.0, 1.0)}
LESS = MORE | {"region": below(0.0)}
SAME = between(0.8, 1.25)  # a quarter more or less: what a figure hardly shows
POINT = 0.01  # a point of accuracy: less makes no difference to a user


@study.claim("ME01", by=f"{SHARED}: real minus randY, after one epoch", **MORE, **said("Figure 1", figure="a"))
def shared_ease(t: Tables) -> Interval:
    """After one epoch, runs agree more on which examples they are right on where labels are real than where they are
    random."""
    return intervals.mean(_shared(t, REAL) - _shared(t, RANDY), DIFFERENCE)


@study.claim("ME01b", by=f"{SHARED}: real minus randX, after one epoch", **MORE, **said("Figure 1", figure="a"))
def shared_ease_of_inputs(t: Tables) -> Interval:
    """After one epoch, runs agree more on which examples they are right on where inputs are real than where they are
    noise."""
    return intervals.mean(_shared(t, REAL) - _shared(t, RANDX), DIFFERENCE)


@study.claim(
    "ME01c", by=f"{SHARED}: randX, after one epoch", region=CHANCE, reach=DIFFERENCE, **said("Figure 1", figure="a")
)
def chance_for_noise(t: Tables) -> Interval:
    """Where inputs are noise, it is left to chance which examples a run is right on after one epoch."""
    return intervals.mean(_shared(t, RANDX), DIFFERENCE)


@study.claim("ME01d", by=f"{SHARED}: randY, after one epoch", region=CHANCE, reach=DIFFERENCE, figure="a")
def chance_for_labels(t: Tables) -> Interval:
    """Where labels are random, it is left to chance which examples a run is right on after one epoch."""
    return intervals.mean(_shared(t, RANDY), DIFFERENCE)


@study.claim(
    "ME01e", by=f"{SHARED}, when runs first reach accuracy {{levels[0]:g}}: larger of randX and randY minus real",
    unless=REACHED, figure="a", **LESS,
)  # fmt: skip
def shared_ease_at_equal_accuracy(t: Tables) -> Interval:
    """Runs that have just become right on a share of {levels[0]:g} agree more on which examples those are for real data
    than for either noise."""
    return _noise_over_real(t, 0)


@study.claim(
    "ME01g", by=f"{SHARED}, when runs first reach accuracy {{levels[1]:g}}: larger of randX and randY minus real",
    unless=REACHED, figure="a", **LESS,
)  # fmt: skip
def shared_ease_at_higher_accuracy(t: Tables) -> Interval:
    """Runs that have just become right on a share of {levels[1]:g} agree more on which examples those are for real data
    than for either noise."""
    return _noise_over_real(t, 1)


@study.claim(
    "ME01f", by=f"{SHARED}, the answers of each run dealt anew to the examples: real", region=CHANCE,
    kind=Kind.CHECK, figure="a",
)  # fmt: skip
def dealt_anew(t: Tables) -> Interval:
    """Where the answers of every run are dealt anew to the examples, runs agree as often as by chance."""
    table = t["ease"]
    own = table[(table.kind == REAL) & (table.when == EPOCH)].set_index("seed").shuffled
    return intervals.mean(own, DIFFERENCE)


GINI = "Gini coefficient of the sensitivity of the loss to examples, largest over looks of {} minus real"
# 0.05: what one example in twenty has to give up to the others.
UNROLLED = {"region": below(0.0), "margin": 0.05, "scope": "{params.unrolled}", **said("Figure 3", figure="b")}


@study.claim("ME02", by=GINI.format(RANDX), reach=DIFFERENCE, **UNROLLED)
def few_matter(t: Tables) -> Interval:
    """At every look the loss depends more on a few examples where inputs are real than where they are noise."""
    return intervals.largest_mean((_gini(t, RANDX) - _gini(t, REAL)).to_numpy(), DIFFERENCE)


@study.claim("ME02b", by=GINI.format(RANDY), reach=DIFFERENCE, **UNROLLED)
def few_matter_for_labels(t: Tables) -> Interval:
    """At every look the loss depends more on a few examples where labels are real than where they are random."""
    return intervals.largest_mean((_gini(t, RANDY) - _gini(t, REAL)).to_numpy(), DIFFERENCE)


@study.claim(
    "ME02c", by="Gini coefficient of the sensitivity of the loss to examples at the last look, larger of randX and "
    "randY minus real", reach=DIFFERENCE, **UNROLLED,
)  # fmt: skip
def few_matter_at_the_end(t: Tables) -> Interval:
    """Over all of training the loss depends more on a few examples where data are real than where they are noise."""
    last = [_gini(t, kind).iloc[:, -1].to_numpy() for kind in (REAL, *NOISES)]
    return intervals.largest_mean(np.stack([noise - last[0] for noise in last[1:]], 1), DIFFERENCE)


ACROSS = "sensitivity of the loss of a class to examples of another over that to its own: "
CLASSES = {"scope": "{params.unrolled}", **said("Figure 4", figure="c")}


@study.claim("ME03", by=ACROSS + "real over randX", region=above(1.0), **CLASSES)
def across_classes(t: Tables) -> Interval:
    """Examples matter more to the loss of other classes, beside their own, where inputs are real than where they are
    noise."""
    return intervals.geometric_mean(others(t, REAL) / others(t, RANDX))


@study.claim("ME03b", by=ACROSS + "real over randY", region=above(1.0), **CLASSES)
def across_classes_of_labels(t: Tables) -> Interval:
    """Examples matter more to the loss of other classes, beside their own, where labels are real than where they are
    random."""
    return intervals.geometric_mean(others(t, REAL) / others(t, RANDY))


# Half: an example matters to its own class twice as much as to another.
@study.claim("ME03c", by=ACROSS + "larger of randX and randY", region=below(0.5), **CLASSES)
def own_class_only(t: Tables) -> Interval:
    """Where data are noise, examples matter less than half as much to the loss of other classes as to that of their
    own."""
    return intervals.largest_ratio(np.stack([others(t, kind) for kind in NOISES], 1))


WIDTH = "smallest width within a point of the best test accuracy {}: {} over real data"
WIDER = {
    "region": above(1.0),
    "margin": 2.0,
    "scope": "{params.wide}",
    "figure": "d",
}  # twice as wide, as the widths are


@study.claim("ME04", by=WIDTH.format("at the end", "{params.percent:g} % randY"), **WIDER | said("Figure 5"))
def wider_for_wrong_labels(t: Tables) -> Interval:
    """With {params.percent:g} % random labels it takes a wider network to come near the best test accuracy than
    without."""
    return _ratio(best_width(t, RANDY, t.params.noise, "test"), best_width(t, *CLEAN, "test"))


@study.claim("ME04b", by=WIDTH.format("at the end", "{params.percent:g} % randX"), **WIDER | said("Figure 5"))
def wider_for_noise_inputs(t: Tables) -> Interval:
    """With noise in the place of {params.percent:g} % of the inputs it takes a wider network to come near the best test
    accuracy than without."""
    return _ratio(best_width(t, RANDX, t.params.noise, "test"), best_width(t, *CLEAN, "test"))


@study.claim("ME04c", by=WIDTH.format("at its best epoch", "{params.percent:g} % randY"), **WIDER)
def wider_when_stopped(t: Tables) -> Interval:
    """Where training is stopped at its best, it takes a wider network with {params.percent:g} % random labels to come
    near the best test accuracy than without."""
    return _ratio(best_width(t, RANDY, t.params.noise, "best"), best_width(t, *CLEAN, "best"))


FIT_WIDTH = "smallest width that is right on 99 % of the training examples: {} over real data"


@study.claim("ME04d", by=FIT_WIDTH.format(RANDY), **WIDER | FORERUNNER)
def wider_to_fit_labels(t: Tables) -> Interval:
    """It takes a wider network to fit random labels than to fit real ones."""
    return _ratio(fitting_width(t, RANDY), fitting_width(t, REAL))


@study.claim("ME04e", by=FIT_WIDTH.format(RANDX), **WIDER | FORERUNNER)
def wider_to_fit_inputs(t: Tables) -> Interval:
    """It takes a wider network to fit noise in the place of inputs than to fit real ones."""
    return _ratio(fitting_width(t, RANDX), fitting_width(t, REAL))


LONGER = {"region": above(1.0), "figure": "e"}
GROWTH = "epochs until all of {{params.most}} examples are right over those for {{params.fewest}}: {} over real"


@study.claim("ME05", by=GROWTH.format(RANDY), **LONGER | said("Figure 6"))
def longer_for_labels(t: Tables) -> Interval:
    """From {params.fewest} to {params.most} examples, the time to fit grows by a larger factor for random labels than
    for real data."""
    return _ratio(_growth(t, RANDY), _growth(t, REAL))


@study.claim("ME05b", by=GROWTH.format(RANDX), **LONGER | said("Figure 6"))
def longer_for_inputs(t: Tables) -> Interval:
    """From {params.fewest} to {params.most} examples, the time to fit grows by a larger factor for noise in the place
    of inputs than for real data."""
    return _ratio(_growth(t, RANDX), _growth(t, REAL))


FASTER = "epochs to fit of the widest networks over those of networks two steps narrower: {} over real"
SPEED = {"region": below(1.0), "scope": "{params.wide}", **said("Figure 6", figure="d")}


@study.claim("ME05c", by=FASTER.format(RANDY), **SPEED)
def faster_for_labels(t: Tables) -> Interval:
    """More units shorten the time to fit random labels by a larger factor than the time to fit real data."""
    return _ratio(_speed_up(t, RANDY), _speed_up(t, REAL))


@study.claim("ME05d", by=FASTER.format(RANDX), **SPEED)
def faster_for_inputs(t: Tables) -> Interval:
    """More units shorten the time to fit noise in the place of inputs by a larger factor than the time to fit real
    data."""
    return _ratio(_speed_up(t, RANDX), _speed_up(t, REAL))


WHERE = "{params.percent:g} % randY"
PATTERNS = {"figure": "f"}


@study.claim(
    "ME06", by="epoch of the best test accuracy over epoch of 90 % training accuracy, " + WHERE, region=below(1.0),
    **PATTERNS | {"origin": Origin.ABSTRACT},
)  # fmt: skip
def patterns_first(t: Tables) -> Interval:
    """With {params.percent:g} % random labels, test accuracy is at its best before the training set is fitted."""
    arm = (RANDY, t.params.noise)
    return _ratio(_known(peak(t, *arm)), reached(course(t, *arm, "train"), 0.9))


LOSES = "test accuracy at the best epoch, picked on the other half of the test set, minus at the end: "


@study.claim(
    "ME06b", by=LOSES + WHERE, region=above(POINT), margin=0.05, reach=DIFFERENCE, **PATTERNS | said("Figure 7")
)
def then_forgotten(t: Tables) -> Interval:
    """With {params.percent:g} % random labels, test accuracy falls by more than a point from its best to the end of
    training."""
    return intervals.mean(_drop(t, RANDY, t.params.noise), DIFFERENCE)


@study.claim("ME06c", by=LOSES + "real data", region=below(POINT), margin=POINT, reach=DIFFERENCE, **PATTERNS)
def not_without_noise(t: Tables) -> Interval:
    """Without noise, test accuracy falls by less than a point from its best to the end of training."""
    return intervals.mean(_drop(t, *CLEAN), DIFFERENCE)


@study.claim(
    "ME06d", by="epoch at which half of the real labels are fitted over that for half of the wrong ones, " + WHERE,
    region=below(0.5), **PATTERNS,
)  # fmt: skip
def real_labels_first(t: Tables) -> Interval:
    """With {params.percent:g} % random labels, half of the real labels are fitted in less than half of the time that
    half of the wrong ones take."""
    arm = (RANDY, t.params.noise)
    return _ratio(*(reached(course(t, *arm, what), 0.5) for what in ("real", "noise")))


# A slope of 0.2: a fifth more critical samples with noise alone than with none.
BUSY = {"region": above(0.0), "unless": SPREAD, "reach": DIFFERENCE, "figure": "g"}
SLOPE = "slope of the share of critical samples at the end on the fraction of {}"


@study.claim("ME07", by=SLOPE.format(RANDY), margin=0.2, **BUSY | said("Figure 8"))
def busier_with_labels(t: Tables) -> Interval:
    """The more labels are random, the more test inputs have another answer close by at the end of training."""
    return intervals.mean(_by_fraction(t, RANDY), DIFFERENCE)


@study.claim("ME07b", by=SLOPE.format(RANDX), margin=0.2, **BUSY | said("Figure 7"))
def busier_with_inputs(t: Tables) -> Interval:
    """The more inputs are noise, the more test inputs have another answer close by at the end of training."""
    return intervals.mean(_by_fraction(t, RANDX), DIFFERENCE)


RISE = "share of critical samples at the end minus after the first epoch, "


def _rise(t: Tables, kind: str, fraction: float) -> pd.Series:
    table = critical(t, kind, fraction)
    return table[table.columns[-1]] - table[table.columns[0]]


@study.claim("ME07c", by=RISE + WHERE, margin=0.1, **BUSY | said("Figure 8"))
def busier_with_time(t: Tables) -> Interval:
    """With {params.percent:g} % random labels, more test inputs have another answer close by at the end of training
    than after the first epoch."""
    return intervals.mean(_rise(t, RANDY, t.params.noise), DIFFERENCE)


@study.claim("ME07d", by=RISE + WHERE + " minus real data", margin=0.1, **BUSY | {"reach": (-2.0, 2.0)})
def busier_because_of_noise(t: Tables) -> Interval:
    """With {params.percent:g} % random labels, the share of test inputs that have another answer close by rises more in
    training than with real data."""
    return intervals.mean(_rise(t, RANDY, t.params.noise) - _rise(t, *CLEAN), (-2.0, 2.0))


FLAT = {"origin": Origin.ABSTRACT, "unless": MEMORISED, "reach": DIFFERENCE, "figure": "h"}


# 30 points: what the claim of a degraded fit is taken to mean; a point: what a user of real data would not miss.
@study.claim(
    "ME08", by="training accuracy on random labels without dropout minus with {dropout:g}", region=above(0.3),
    margin=0.1, **FLAT,
)  # fmt: skip
def dropout_keeps_from_memorising(t: Tables) -> Interval:
    """Dropout of {dropout:g} takes more than 30 points off the training accuracy on random labels."""
    return intervals.mean(_regularised_at(t, 0.0).noise - _regularised_at(t, t.params.dropout).noise, DIFFERENCE)


@study.claim(
    "ME08b", by="test accuracy on real data without dropout minus with {dropout:g}", region=below(POINT), margin=POINT,
    **FLAT,
)  # fmt: skip
def dropout_costs_nothing(t: Tables) -> Interval:
    """Dropout of {dropout:g} takes less than a point off the test accuracy on real data."""
    return intervals.mean(_regularised_at(t, 0.0).real - _regularised_at(t, t.params.dropout).real, DIFFERENCE)


@study.claim(
    "ME08c", by="test accuracy on real data with dropout of {dropout:g} minus with the weight decay that leaves as "
    "many random labels fitted", region=above(0.0), margin=POINT, **FLAT | {"unless": MATCHED} | said("Figure 10"),
)  # fmt: skip
def dropout_beats_decay(t: Tables) -> Interval:
    """At equal training accuracy on random labels, dropout leaves a better test accuracy on real data than weight
    decay."""
    return intervals.mean(_beside_decay(t), DIFFERENCE)


TIME = "epochs until all of {params.most} examples are right: {} over real data"


@study.claim("ME09", by=TIME.replace("{}", RANDX), region=below(1.0), **FORERUNNER, figure="e")
def sooner_for_inputs(t: Tables) -> Interval:
    """Noise in the place of inputs is fitted sooner than real data."""
    return _ratio(_times(t, RANDX), _times(t, REAL))


@study.claim("ME09b", by=TIME.replace("{}", RANDY), region=above(1.0), **FORERUNNER, figure="e")
def later_for_labels(t: Tables) -> Interval:
    """Random labels are fitted later than real ones."""
    return _ratio(_times(t, RANDY), _times(t, REAL))


# A slope of -0.25: sixteen times the dimension halve the time.
SOONER = {"region": below(0.0), "margin": 0.25, "unless": FITTED, "scope": "{params.gaussian}", "figure": "e"}


@study.claim("ME09c", by="slope of log epochs to fit on log dimension, Gaussian inputs", **SOONER)
def sooner_in_more_dimensions(t: Tables) -> Interval:
    """The more dimensions Gaussian inputs have, the sooner random labels of them are fitted."""
    return intervals.mean(_by_dimension(t, AS_IT_IS))


@study.claim("ME09d", by="slope of log epochs to fit on log dimension, Gaussian inputs of equal length", **SOONER)
def sooner_at_equal_length(t: Tables) -> Interval:
    """The more dimensions Gaussian inputs of equal length have, the sooner random labels of them are fitted."""
    return intervals.mean(_by_dimension(t, FIXED))


@study.claim(
    "ME09e", by="epochs until all of {examples} examples are right: Gaussian inputs of {params.farthest} dimensions "
    "over real data", region=below(1.0), figure="e",
)  # fmt: skip
def sooner_than_real(t: Tables) -> Interval:
    """Random labels of Gaussian inputs in {params.farthest} dimensions are fitted sooner than as many real examples."""
    table = t["dimensions"].query("inputs == @AS_IT_IS and dimension == dimension.max()").set_index("seed")
    real = _times(t, REAL, t.params.examples)
    return _ratio(table, real) if len(real) else intervals.nothing()


SHARPER = {"region": above(1.0), "unless": SHARP[AT_LOSS], "figure": "e"}
AT_THE_END = SHARPER | FORERUNNER | {"unless": SHARP[AT_FIT]}
CURVATURE = "largest eigenvalue of the Hessian where the training loss first falls to {loss:g}: "
CONVERGED = "largest eigenvalue of the Hessian where all training examples are first right: "


def _sharper(t: Tables, kind: str, when: str = AT_LOSS) -> Interval:
    table = t["sharpness"][t["sharpness"].when == when].pivot(index="seed", columns="kind", values="sharpness")
    return intervals.geometric_mean(table[kind] / table[REAL])


# Of the networks at the end the abstract speaks; equal loss is ours, since the Hessian shrinks with the loss.
@study.claim("ME10", by=CURVATURE + "randX over real", **SHARPER)
def sharper_for_inputs(t: Tables) -> Interval:
    """At equal training loss, networks that fit noise in the place of inputs lie in sharper places than networks that
    fit real data."""
    return _sharper(t, RANDX)


@study.claim("ME10b", by=CURVATURE + "randY over real", **SHARPER)
def sharper_for_labels(t: Tables) -> Interval:
    """At equal training loss, networks that fit random labels lie in sharper places than networks that fit real
    ones."""
    return _sharper(t, RANDY)


@study.claim("ME10c", by=CONVERGED + "randX over real", **AT_THE_END)
def sharper_inputs_at_the_end(t: Tables) -> Interval:
    """When they are first right on all training examples, networks that fit noise in the place of inputs lie in sharper
    places than networks that fit real data."""
    return _sharper(t, RANDX, AT_FIT)


@study.claim("ME10d", by=CONVERGED + "randY over real", **AT_THE_END)
def sharper_labels_at_the_end(t: Tables) -> Interval:
    """When they are first right on all training examples, networks that fit random labels lie in sharper places than
    networks that fit real ones."""
    return _sharper(t, RANDY, AT_FIT)


# --- claims: which scores find what is memorised ---------------------------------------------------------------------

AREA = "area under the ROC curve with which {} finds {}"
WRONG = "wrong labels, {params.percent:g} % randY"
FINDS = {"figure": "i"}


@study.claim("ME11", by=AREA.format(f"EL2N averaged over training ({AVERAGE})", WRONG), region=above(0.9), **FINDS)
def averages_find_it(t: Tables) -> Interval:
    """EL2N averaged over training finds the wrong labels that a network has memorised: it ranks one above a real label
    nine times of ten."""
    return intervals.mean(area(t, AVERAGE), SHARE)


@study.claim(
    "ME11b", by=AREA.format("one look at EL2N", WRONG) + ": at the end minus at epoch {params.early}",
    region=below(0.0), margin=0.1, reach=DIFFERENCE, **FINDS,
)  # fmt: skip
def the_end_hides_it(t: Tables) -> Interval:
    """One look at EL2N finds wrong labels less well at the end of training, when they are memorised, than in epoch
    {params.early}."""
    return intervals.mean(area(t, SNAPSHOT) - area(t, SNAPSHOT, t.params.early), DIFFERENCE)


@study.claim(
    "ME11c", by="epoch at which one look at EL2N finds wrong labels best over that at which half of them are fitted",
    region=below(1.0), **FINDS,
)  # fmt: skip
def best_before_half(t: Tables) -> Interval:
    """One look at EL2N finds wrong labels best before half of them are fitted."""
    some = t["scores"].query("kind == @RANDY and score == @SNAPSHOT")
    table = some.pivot(index="seed", columns="epoch", values="area")
    half = reached(course(t, RANDY, t.params.noise, "noise"), 0.5)
    return _ratio(_known(table.idxmax(axis=1).astype(float)), half)


@study.claim(
    "ME11d", by=AREA.format(AVERAGE, "noise in the place of {params.percent:g} % of inputs"), region=above(0.9), **FINDS
)
def noise_inputs_are_found(t: Tables) -> Interval:
    """EL2N averaged over training finds the inputs that are noise: it ranks one above a real one nine times of ten."""
    return intervals.mean(area(t, AVERAGE, kind=RANDX), SHARE)


@study.claim(
    "ME11e", by=AREA.format("the number of forgotten right answers", WRONG) + f", minus that of {AVERAGE}",
    region=below(0.0), margin=0.05, reach=DIFFERENCE, **FINDS,
)  # fmt: skip
def forgetting_finds_less(t: Tables) -> Interval:
    """Counts of forgetting, which call what was never learned easy, find wrong labels less well than averages of
    EL2N."""
    return intervals.mean(area(t, "forgetting") - area(t, AVERAGE), DIFFERENCE)


@study.claim(
    "ME11f", by=AREA.format("the epoch from which on an example is right", WRONG) + f", minus that of {AVERAGE}",
    region=between(-0.02, 0.02), reach=DIFFERENCE, **FINDS,
)  # fmt: skip
def learning_time_finds_as_much(t: Tables) -> Interval:
    """The epoch from which on an example is right finds wrong labels as well as averages of EL2N."""
    return intervals.mean(area(t, "iteration_learned") - area(t, AVERAGE), DIFFERENCE)


# --- claims: does a kick change what is memorised? -------------------------------------------------------------------

SHORT = "1 - Cohen's kappa of which wrong labels are fitted when half are: "
MEMORY = {"unless": TWINS, "figure": "j"}


@study.claim("ME12", by=SHORT + "kicked at the start over other seeds", region=SAME, **MEMORY)
def as_far_as_seeds(t: Tables) -> Interval:
    """A network kicked at the start memorises wrong labels that differ from those of its twin as much as those of
    another seed do."""
    return intervals.ratio(apart(t, KICKED), _seeds_apart(t))


@study.claim(
    "ME12b", by=SHORT + "kicked in epoch {params.latest} over kicked at the start", region=below(1.0), **MEMORY
)
def later_changes_less(t: Tables) -> Interval:
    """A kick in epoch {params.latest} changes less which wrong labels are memorised than one at the start."""
    return intervals.ratio(apart(t, KICKED, t.params.latest), apart(t, KICKED))


@study.claim(
    "ME12c", by="Cohen's kappa of which wrong labels are fitted when half are: other seeds", region=above(0.0),
    margin=0.1, **MEMORY,
)  # fmt: skip
def seeds_share_it(t: Tables) -> Interval:
    """Networks of different seeds memorise the same wrong labels first more often than by chance."""
    return intervals.mean(1 - _seeds_apart(t), CORRELATION)


@study.claim("ME12d", by=SHORT + "other minibatches, same start, over other seeds", region=SAME, **MEMORY)
def the_order_suffices(t: Tables) -> Interval:
    """Networks from one start that see other minibatches memorise wrong labels that differ as much as those of another
    seed do."""
    return intervals.ratio(apart(t, ORDER), _seeds_apart(t))


# A quarter: as in `SAME`, more than a figure hardly shows.
@study.claim("ME12e", by=SHORT + "kicked at the start over other seeds", region=above(0.25), **MEMORY)
def a_kick_changes_it(t: Tables) -> Interval:
    """A kick at the start changes which wrong labels are memorised, by more than a quarter of what another seed
    changes."""
    return intervals.ratio(apart(t, KICKED), _seeds_apart(t))


@study.claim("ME12f", by=SHORT + "kicked at the start over other minibatches, same start", region=below(1.0), **MEMORY)
def less_than_the_order(t: Tables) -> Interval:
    """A kick at the start changes less which wrong labels are memorised than other minibatches do."""
    return intervals.ratio(apart(t, KICKED), apart(t, ORDER))


@study.claim(
    "ME12g", by=SHORT + "kicked at the start by {params.smallest:g} over kicked by {params.largest:g}",
    region=below(1.0), **MEMORY,
)  # fmt: skip
def smaller_changes_less(t: Tables) -> Interval:
    """A kick of {params.smallest:g} at the start changes less which wrong labels are memorised than one of
    {params.largest:g}."""
    if len(t.params.kick_sizes) < 2:
        return intervals.nothing()
    return intervals.ratio(apart(t, KICKED, size=t.params.smallest), apart(t, KICKED))
