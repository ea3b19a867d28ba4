"""Notebook 04: the smallest kick that matters.

For every seed, kick time and kind of kick, the size at which the barrier at the end crosses a level is searched for by
bisection on a logarithmic scale. All searches of a seed go on at once: a round is one training run with one twin for
each search. Networks train in float64, so that the threshold is that of the training and not of the number format.
"""

from collections.abc import Callable
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.papers.altintas2025 import PAPER
from butterfly.perturb import Kick, expected_norm
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Shard, Study, Tables, Times, intervals
from butterfly.study.claims import above, below, between, broken
from butterfly.study.parameters import check_times, rising_times
from butterfly.study.tables import long, stacked
from butterfly.train import Fork, parent_rows, train

ALL, BATCH, ONE = "all weights", "another batch's gradient", "one weight"
PARTS = ("first layer", "last layer", "biases and norms")


class Params(OneModel):
    """Parameters of notebook 04; times are in percent of the training steps, sizes in norms of the initial weights."""

    setting: str = "mnist1d"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    level: float = Field(0.02, gt=0)  # the barrier at which a kick counts as large enough
    smallest: float = Field(1e-9, gt=0)  # where the search begins
    largest: float = Field(10.0, gt=0)
    rounds: int = Field(3, ge=1)  # each halves the interval, on the logarithmic scale
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    kick_times: Times = (0.0, 50.0)
    batch_times: Times = (50.0,)  # at which kicks along another batch's gradient are searched for as well
    parts: bool = True  # kicks of some of the weights, at time 0
    variants: tuple[tuple[str, float], ...] = ()  # other architectures, and factors on their initial weights

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError(f"kick_times = {list(self.kick_times)}: begin at 0 and go on")
        if not set(self.batch_times) <= set(self.kick_times):
            raise ValueError(f"batch_times = {list(self.batch_times)}: give some of kick_times")
        if self.largest <= self.smallest:
            raise ValueError(f"largest = {self.largest:g} is not above smallest = {self.smallest:g}")
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


study = Study("04_threshold", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of the setting, and of each variant of it."""
    base = params.chosen(params.setting, params.steps)
    check_times(base, params.kick_times)
    searches = [[time, ALL] for time in params.kick_times] + [[time, BATCH] for time in params.batch_times]
    searches += [[0.0, part] for part in (ONE, *PARTS) if params.parts]
    arms = [(base, 1.0, sorted(searches, key=lambda search: search[0]))]
    arms += [(base.changed(model=name), scale, [[0.0, ALL]]) for name, scale in params.variants]
    leave, shards = ["kick_times", "batch_times", "parts", "variants"], []
    for setting, scale, wanted in arms:
        grid = {"init_scale": scale, "searches": wanted}
        shards += study.every_few(params, setting, leave=leave, of=setting.model, **grid)
    return shards


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def search(bench: Bench) -> Arrays:
    """Search for all thresholds of some seeds at once.

    Arrays over the searches `[K]`, and over searches and rounds `[K, R]`.
    """
    searches = [(seed, time, kind) for time, kind in bench["searches"] for seed in bench.seeds]
    low, high = (np.full(len(searches), np.log10(bench[end])) for end in ("smallest", "largest"))
    tried, seen, differences = [], [], []
    for _ in range(bench["rounds"]):
        middle = (low + high) / 2
        barrier, difference = _round(bench, searches, 10**middle, controls=not tried)
        above = ~(barrier <= bench["level"])  # a network without a finite loss is far away too
        low, high = np.where(above, low, middle), np.where(above, middle, high)
        tried.append(middle)
        seen.append(barrier)
        differences.append(difference)
    return {
        "seed": np.array([seed for seed, _, _ in searches]),
        "time": np.array([time for _, time, _ in searches]),
        "kind": np.array([kind for _, _, kind in searches]),
        "low": low,
        "high": high,
        "tried": np.stack(tried, 1),
        "barriers": np.stack(seen, 1),
        "largest_difference": np.full(len(searches), differences[0]),
        "count": np.full(len(searches), bench.model.layout.count),
        "unit": np.full(len(searches), expected_norm(bench.model, Kick())),
    }


def _round(
    bench: Bench, searches: list[tuple[int, float, str]], sizes: np.ndarray, controls: bool
) -> tuple[np.ndarray, float]:
    """Train a twin for each search, and perhaps control twins: barriers `[K]`, and how far a control went."""
    seeds, model, task = bench.seeds, bench.model, bench.task.to(bench["device"], torch.float64)
    still = [Fork(seed, 0, Kick()) for seed in seeds if controls]  # they come first, at time 0
    kicked = [
        Fork(seed, bench.setting.step_at(time), _kick(model, kind, size))
        for (seed, time, kind), size in zip(searches, sizes, strict=True)
    ]
    init = bench["init_scale"] * model.init(seeds)
    run = train(model, task, bench.recipe, seeds, still + kicked, init=init)
    parents, twins = run.theta[parent_rows(run.members)], run.theta[len(seeds) :]
    ends = [stack[len(still) :] for stack in (parents, twins)]
    difference = float((twins - parents)[: len(still)].abs().max()) if controls else 0.0
    return barriers(model, *ends, task.x, task.y, bench["points"]).of_loss.numpy(), difference


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


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `thresholds` (a row a search) and `probes` (search and round)."""
    return stacked(_of_shard(shard, params.setting) for shard in shards)


def _of_shard(shard: Shard, setting: str) -> dict[str, pd.DataFrame]:
    columns = ("seed", "time", "kind", "low", "high", "largest_difference", "count", "unit")
    table = pd.DataFrame({column: shard[column] for column in columns})
    table["setting"], table["model"], table["init_scale"] = setting, shard.of, shard.config["init_scale"]
    table["threshold"] = (table.low + table.high) / 2  # log10
    table["bits"] = -table.threshold / np.log10(2)
    ends = [table[side] == np.log10(shard.config[end]) for side, end in (("low", "smallest"), ("high", "largest"))]
    table["beyond"] = np.select(ends, ["below", "above"], "")
    key, rounds = table[["model", "init_scale", "seed", "time", "kind"]], np.arange(1, shard.config["rounds"] + 1)
    values = {"size": 10 ** shard["tried"], "barrier": shard["barriers"]}
    return {"thresholds": table, "probes": long(key, rounds, values, "round")}


def as_it_is(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the setting's own network, which come first."""
    return table[(table.model == table.model.iloc[0]) & (table.init_scale == 1)]


def rescaled(thresholds: pd.DataFrame) -> pd.DataFrame:
    """The rows of the network that was tried at the most scales of its initial weights."""
    return thresholds[thresholds.model == thresholds.groupby("model", sort=False).init_scale.nunique().idxmax()]


# --- claims ----------------------------------------------------------------------------------------------------------


def rounding_digits(dtype: torch.dtype) -> float:
    """How small a kick rounding Gaussian weights to a number format is, in binary digits: 12.2 for float16."""
    weights = torch.randn(100_000, generator=generator("rounding"), dtype=torch.float64)
    return float(-torch.log2((weights.to(dtype) - weights).norm() / weights.norm()))


def within(uses: str) -> Callable[[Tables], str]:
    """Why a claim is void: twins are broken, or thresholds that it uses lie outside the range searched."""

    def why(t: Tables) -> str:
        found = t["thresholds"]
        beyond = int((found.query(uses).beyond != "").sum())
        outside = f"{beyond} thresholds lie outside the range searched" if beyond else ""
        return "; ".join(filter(None, [broken(found.assign(kind="control"), ["threshold"]), outside]))

    return why


study.unless(within("time == 0 and kind == @ALL"))
FLOAT16 = above(rounding_digits(torch.float16))
GAUSSIAN, GAUSSIAN_OR_BATCH = within("kind == @ALL"), within("kind in [@ALL, @BATCH]")
ONE_OR_ALL, PARTS_OR_ALL = within("time == 0 and kind in [@ALL, @ONE]"), within("time == 0 and kind != @ONE")
TOO_LARGE = within("time == 0 and kind == @ALL and beyond == 'above'")  # below the range is as small as claimed


def _own(t: Tables) -> pd.DataFrame:
    return as_it_is(t["thresholds"])


def _at_start(t: Tables) -> pd.DataFrame:
    """Thresholds at time 0, as powers of ten above that of all weights: seeds x kinds."""
    table = _own(t).query("time == 0").pivot_table("threshold", "seed", "kind")
    return table.sub(table[ALL], axis=0)


def _slope(thresholds: pd.DataFrame, column: str, axis: Callable[[np.ndarray], np.ndarray] = np.log10) -> Interval:
    """Slope of the log threshold of kicks of all weights on a column, mean over seeds; none where it has one value."""
    table = thresholds[thresholds.kind == ALL].pivot_table("threshold", "seed", column)
    at = axis(table.columns.to_numpy(dtype=float))
    return intervals.mean(intervals.slopes(at, table.to_numpy()) if len(at) > 1 else [])


@study.claim(
    "B02b", by="threshold of one weight over that of all, log10", region=between(-1, 1), figure="c", unless=ONE_OR_ALL
)
def one_weight(t: Tables) -> Interval:
    """At the start and at equal L2, a kick of one weight matters at about the size that a kick of all weights does."""
    return intervals.mean(_at_start(t).get(ONE, []))


@study.claim(
    "B06",
    by="threshold of Gaussian kicks over that of batch kicks, log10, mean over times",
    region=above(0),
    origin=Origin.NOTEBOOK,
    place="notebooks/butterfly-hparams.ipynb",
    figure="a",
    unless=GAUSSIAN_OR_BATCH,
)
def along_a_batch(t: Tables) -> Interval:
    """Kicks along another batch's gradient matter at smaller size than Gaussian kicks of equal L2."""
    table = _own(t).query("kind in [@ALL, @BATCH]").pivot_table("threshold", ["seed", "time"], "kind").dropna()
    return intervals.mean((table[ALL] - table[BATCH]).groupby("seed").mean() if BATCH in table else [])


@study.claim(
    "B22",
    by="largest threshold of the three over that of all weights, log10",
    region=below(1),
    origin=Origin.NOTEBOOK,
    figure="c",
    unless=PARTS_OR_ALL,
)
def parts_suffice(t: Tables) -> Interval:
    """Kicks of the first layer, of the last or of the biases alone suffice."""
    table = _at_start(t).reindex(columns=PARTS)
    return intervals.mean(table.max(axis=1) if table.notna().all(axis=None) else [])


@study.claim(
    "X08", by="slope of the log threshold on time, per 10 % of training", region=above(0), figure="a", unless=GAUSSIAN
)
def later_is_larger(t: Tables) -> Interval:
    """The later the kick, the larger it must be to matter."""
    return _slope(_own(t), "time", lambda time: time / 10)


@study.claim("X09", by="binary digits down to the threshold at time 0", region=FLOAT16, figure="a", unless=TOO_LARGE)
def rounding_suffices(t: Tables) -> Interval:
    """At the start, rounding all weights to float16 is a kick large enough."""
    return intervals.mean(_own(t).query("time == 0 and kind == @ALL").bits)


@study.claim(
    "X10",
    by="slope of the log threshold on the log of the initial scale",
    region=below(0),
    figure="d",
    scope="{params.rescaled}",
)
def larger_weights(t: Tables) -> Interval:
    """The larger the initial weights, the smaller the kick that matters."""
    return _slope(rescaled(t["thresholds"]).query("time == 0"), "init_scale")


@study.claim(
    "X11",
    by="slope of the log threshold on the log of the number of parameters",
    region=below(0),
    figure="d",
    scope="{params.as_they_are}",
)
def more_parameters(t: Tables) -> Interval:
    """The more parameters a network of this depth has, the smaller the kick that matters."""
    return _slope(t["thresholds"].query("init_scale == 1 and time == 0"), "count")
