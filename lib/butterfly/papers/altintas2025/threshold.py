"""Notebook 04: the smallest kick that matters.

For every seed, kick time and kind of kick, the size at which the barrier at the end crosses a level is searched for by
bisection on a logarithmic scale. All searches of a seed go on at once: a round is one training run with one twin for
each search. Networks train in float64, so that the threshold is that of the training and not of the number format.
"""

import re
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from butterfly import claims, data, models
from butterfly.claims import Claim, Region
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import (
    PAPER,
    check_times,
    chosen,
    groups,
    long,
    parent_rows,
    rising_times,
    step_at,
    unless_broken,
)
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.perturb import Kick, expected_norm
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.streams import generator
from butterfly.train import Fork, train

NOTEBOOK = "04_threshold"
OURS = "this companion"
ALL, BATCH, ONE = "all weights", "another batch's gradient", "one weight"
PARTS = ("first layer", "last layer", "biases and norms")


class Params(Common):
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
    kick_times: tuple[float, ...] = (0.0, 50.0)
    batch_times: tuple[float, ...] = (50.0,)  # at which kicks along another batch's gradient are searched for as well
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
        base = chosen(self.setting, None)
        if not all(scale > 0 for _, scale in self.variants) or (base.model, 1.0) in self.variants:
            raise ValueError("variants: give models with factors above 0, and not the setting's own model as it is")
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every few seeds of the setting, and of each variant of it."""
    check_device(params.device)
    base = chosen(params.setting, params.steps)
    check_times(base, params.kick_times)
    searches = [(time, ALL) for time in params.kick_times] + [(time, BATCH) for time in params.batch_times]
    if params.parts:
        searches += [(0.0, part) for part in (ONE, *PARTS)]
    arms = [(base, 1.0, sorted(searches, key=lambda search: search[0]))]
    arms += [(base.model_copy(update={"model": name}), scale, [(0.0, ALL)]) for name, scale in params.variants]
    grid = params.model_dump(mode="json", include={"level", "smallest", "largest", "rounds", "points", "device"})
    return [
        {
            "setting": setting.model_dump(mode="json"),
            "init_scale": scale,
            "searches": [list(search) for search in wanted],
            "source": data.provenance(base.data),
            "seeds": some,
            **grid,
        }
        for setting, scale, wanted in arms
        for some in groups(params.seeds, params.seeds_per_shard)
    ]


def compute_shard(config: Config) -> Arrays:
    """Search for all thresholds of some seeds at once.

    Arrays over the searches `[K]`, and over searches and rounds `[K, R]`.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"], torch.float64)
    model = models.build(setting.model, task.input_shape, task.classes)
    searches = [(seed, time, kind) for time, kind in config["searches"] for seed in seeds]
    low = np.full(len(searches), np.log10(config["smallest"]))
    high = np.full(len(searches), np.log10(config["largest"]))
    tried, seen, control = [], [], 0.0
    for round_ in range(config["rounds"]):
        middle = (low + high) / 2
        kicks = [_kick(model, kind, size) for (_, _, kind), size in zip(searches, 10**middle, strict=True)]
        forks = [
            Fork(seed, step_at(setting, time), kick) for (seed, time, _), kick in zip(searches, kicks, strict=True)
        ]
        # Control twins once: they come first, at time 0.
        controls = [Fork(seed, 0, Kick()) for seed in seeds] if round_ == 0 else []
        init = config["init_scale"] * model.init(seeds)
        population = train(model, task, setting.recipe, seeds, controls + forks, init=init)
        parents, twins = population.theta[parent_rows(population.members)], population.theta[len(seeds) :]
        if controls:
            control = float((twins - parents)[: len(controls)].abs().max())
        barrier = barriers(
            model, parents[len(controls) :], twins[len(controls) :], task.x, task.y, config["points"]
        ).of_loss.numpy()
        above = ~(barrier <= config["level"])  # a network without a finite loss is far away too
        low, high = np.where(above, low, middle), np.where(above, middle, high)
        tried.append(middle)
        seen.append(barrier)
    return {
        "seed": np.array([seed for seed, _, _ in searches]),
        "time": np.array([time for _, time, _ in searches]),
        "kind": np.array([kind for _, _, kind in searches]),
        "low": low,
        "high": high,
        "tried": np.stack(tried, 1),
        "barriers": np.stack(seen, 1),
        "largest_difference": np.full(len(searches), control),
        "count": np.full(len(searches), model.layout.count),
        "unit": np.full(len(searches), expected_norm(model, Kick())),
    }


def _kick(model: Model, kind: str, size: float) -> Kick:
    """A kick of that kind; all are equal in L2 at equal size."""
    names = {p.name: p.kind for p in model.layout.parameters}
    weights = [name for name, of in names.items() if of == "weight"]
    match kind:
        case "all weights":
            return Kick(size=size)
        case "another batch's gradient":
            return Kick(kind="batch", size=size)
        case "one weight":
            return Kick(weights=1, size=size, unit="network")
        case "first layer":
            return Kick(layers=(weights[0],), size=size, unit="network")
        case "last layer":
            return Kick(layers=(weights[-1],), size=size, unit="network")
        case _:
            others = tuple(name for name, of in names.items() if of != "weight")
            return Kick(layers=others, norms_and_biases=True, size=size, unit="network")


def _cost(config: Config) -> float:
    setting = Setting.read(config["setting"], "setting")
    width = int(re.findall(r"\d+", setting.model)[-1])
    members = len(config["seeds"]) * (1 + len(config["searches"]))
    return float(members * setting.recipe.steps * setting.recipe.batch_size * width)


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """The results as tidy tables: `thresholds` (a row a search) and `probes` (search and round)."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    thresholds, probes = [], []
    for config, found in zip(configs, compute(compute_shard, configs, _cost), strict=True):
        columns = ("seed", "time", "kind", "low", "high", "largest_difference", "count", "unit")
        one = pd.DataFrame({column: found[column] for column in columns}).assign(setting=params.setting)
        one["model"], one["init_scale"] = config["setting"]["model"], config["init_scale"]
        one["threshold"] = (one.low + one.high) / 2  # log10
        one["bits"] = -one.threshold / np.log10(2)
        low, high = (np.log10(config[end]) for end in ("smallest", "largest"))
        one["beyond"] = np.select([one.low == low, one.high == high], ["below", "above"], "")
        thresholds.append(one)
        rounds = np.arange(1, config["rounds"] + 1)
        key = one[["model", "init_scale", "seed", "time", "kind"]]
        probes.append(long(key, rounds, {"size": 10 ** found["tried"], "barrier": found["barriers"]}, "round"))
    return Tables(thresholds=pd.concat(thresholds, ignore_index=True), probes=pd.concat(probes, ignore_index=True))


# --- claims ----------------------------------------------------------------------------------------------------------


def rounding_digits(dtype: torch.dtype) -> float:
    """How small a kick rounding Gaussian weights to a number format is, in binary digits: 12.2 for float16."""
    weights = torch.randn(100_000, generator=generator("rounding"), dtype=torch.float64)
    return float(-torch.log2((weights.to(dtype) - weights).norm() / weights.norm()))


# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "B02b": Region(-1.0, 1.0),
    "B06": Region(low=0.0),
    "B22": Region(high=1.0),
    "X08": Region(low=0.0),
    "X09": Region(low=rounding_digits(torch.float16)),
    "X10": Region(high=0.0),
    "X11": Region(high=0.0),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook."""
    found = tables["thresholds"]
    base = as_it_is(found)
    every = base[base.kind == ALL].pivot_table("threshold", "seed", "time")
    made = [
        _one_weight(base),
        _batch(base),
        _parts(base),
        _later(every),
        _bits(base),
        _slope(
            "X10",
            "The larger the initial weights, the smaller the kick that matters",
            "slope of the log threshold on the log of the initial scale, time 0",
            rescaled(found),
            "init_scale",
        ),
        _slope(
            "X11",
            "The more parameters a network of this depth has, the smaller the kick that matters",
            "slope of the log threshold on the log of the number of parameters, time 0",
            found[found.init_scale == 1],
            "count",
        ),
    ]
    return [_unless_beyond(claim, found) for claim in unless_broken(made, found.assign(kind="control"), ["threshold"])]


# What a claim is about: thresholds of these rows must lie inside the range that was searched.
_USES = {
    "B02b": "time == 0 and kind in [@ALL, @ONE]",
    "B22": "time == 0 and kind != @ONE",
    "B06": "kind in [@ALL, @BATCH]",
    "X08": "kind == @ALL",
    "X09": "time == 0 and kind == @ALL and beyond == 'above'",  # below the range is as small as claimed
    "X10": "time == 0 and kind == @ALL",
    "X11": "time == 0 and kind == @ALL",
}


def _unless_beyond(claim: Claim, found: pd.DataFrame) -> Claim:
    """The claim, void where thresholds that it uses were not found in the range searched."""
    lost = int((found.query(_USES[claim.id]).beyond != "").sum())
    return claims.void([claim], f"{lost} thresholds lie outside the range searched")[0] if lost else claim


def as_it_is(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the setting's own network, which come first."""
    return table[(table.model == table.model.iloc[0]) & (table.init_scale == 1)]


def rescaled(thresholds: pd.DataFrame) -> pd.DataFrame:
    """The rows of the network that was tried at the most scales of its initial weights."""
    return thresholds[thresholds.model == thresholds.groupby("model", sort=False).init_scale.nunique().idxmax()]


def _claim(id: str, statement: str, statistic: str, interval: claims.Interval) -> Claim:
    source = OURS if id.startswith("X") else PAPER
    return claims.claim(id, NOTEBOOK, statement, source, statistic, MARGINS[id], interval)


def _at_start(base: pd.DataFrame) -> pd.DataFrame:
    """Thresholds at time 0, as powers of ten above that of all weights: seeds x kinds."""
    table = base[base.time == 0].pivot_table("threshold", "seed", "kind")
    return table.sub(table[ALL], axis=0)


def _one_weight(base: pd.DataFrame) -> Claim:
    table = _at_start(base)
    return _claim(
        "B02b",
        "At the start and at equal L2, a kick of one weight matters at about the size that a kick of all weights does",
        "threshold of one weight over that of all weights at time 0, power of ten",
        claims.mean(table.get(ONE, [])),
    )


def _parts(base: pd.DataFrame) -> Claim:
    table = _at_start(base).reindex(columns=PARTS)
    return _claim(
        "B22",
        "Kicks of the first layer, of the last or of the biases alone suffice",
        "largest threshold of the three over that of all weights at time 0, equal L2, power of ten",
        claims.mean(table.max(axis=1) if table.notna().all(axis=None) else []),
    )


def _batch(base: pd.DataFrame) -> Claim:
    table = base[base.kind.isin([ALL, BATCH])].pivot_table("threshold", ["seed", "time"], "kind").dropna()
    gain = (table[ALL] - table[BATCH]).groupby("seed").mean() if BATCH in table else []
    return _claim(
        "B06",
        "Kicks along another batch's gradient matter at smaller size than Gaussian kicks of equal L2",
        "threshold of Gaussian kicks over that of batch kicks, power of ten, mean over times",
        claims.mean(gain),
    )


def _later(every: pd.DataFrame) -> Claim:
    slopes = claims.slopes(every.columns.to_numpy(dtype=float) / 10, every.to_numpy())
    return _claim(
        "X08",
        "The later the kick, the larger it must be to matter",
        "slope of the log threshold on time, powers of ten per 10 % of training",
        claims.mean(slopes),
    )


def _bits(base: pd.DataFrame) -> Claim:
    start = base[(base.time == 0) & (base.kind == ALL)]
    return _claim(
        "X09",
        "At the start, rounding all weights to float16 is a kick large enough",
        "binary digits of the initial scale down to the threshold at time 0",
        claims.mean(start.bits),
    )


def _slope(id: str, statement: str, statistic: str, found: pd.DataFrame, axis: str) -> Claim:
    table = found[(found.time == 0) & (found.kind == ALL)].pivot_table("threshold", "seed", axis)
    several = table.shape[1] > 1
    slopes = claims.slopes(np.log10(table.columns.to_numpy(dtype=float)), table.to_numpy()) if several else []
    return _claim(id, statement, statistic, claims.mean(slopes))
