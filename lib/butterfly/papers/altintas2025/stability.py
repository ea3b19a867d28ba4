"""Notebook 05: what makes training stable, at equal final loss.

Arms differ from a reference in one thing. Each arm first finds, on pilot seeds, the number of updates after which it
ends at the reference's training loss; then its seeds are trained and kicked like those of the reference.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from butterfly import data
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.twins import BARRIER, root_looks
from butterfly.papers.altintas2025.two_settings import TwoSettings
from butterfly.perturb import Kick
from butterfly.stack import Layout
from butterfly.study import Arrays, Bench, Config, Interval, Setting, Shard, Study, Tables, intervals
from butterfly.study.claims import Kind, Origin, Region, above, below, between, broken
from butterfly.study.parameters import Times, check_times, rising_times
from butterfly.train import Fork, Observer, Snapshot, learning_rate, parent_rows, train

REFERENCE, WIDE, LONG = "reference", "wide-shallow", "warm-up x10"
BOTH = f"{WIDE}, {LONG}"
PILOTS = 200_000  # seeds of the pilots start here: no network is judged by the runs that set its budget
NOISE = 0.1  # fraction of the training labels that the arm with label noise moves
MATCHED = 1.5  # final losses within this factor count as equal
# Multiples of the reference's updates that pilots try; those of the other arms are USUAL.
SLOW = dict.fromkeys(("AdamW 0.0015", "weight decay x3"), (0.65, 1.0, 1.6, 2.5)) | {"AdamW 0.03": (1.0, 1.6, 2.5, 4.0)}
MULTIPLES = {"batch x4": (0.1, 0.15, 0.22, 0.32, 0.48), "label noise": (1.0, 1.6, 2.5), **SLOW}
USUAL = (0.25, 0.4, 0.65, 1.0, 1.5)

# On handwritten digits the common recipe leaves nearly all barriers of the other arms under the floor of measurement; a
# deeper network, smaller batches and so more updates an epoch are about as chaotic as MNIST-1D.
# On small CIFAR-10, a residual network that can be made shallower.
HARDER = {"digits": {"model": "mlp-4x64", "batch_size": 8, "lr": 0.035}, "cifar10half-few": {"model": "resnet14-8"}}
# Other architectures, as far as a setting has them; "wide-shallow" has as many parameters as its own, to half a percent
OTHERS = ("wider", "shallower", WIDE, "normalised")
SHAPES = {
    "mnist1d": dict(zip(OTHERS, ("mlp-4x128", "mlp-2x64", "mlp-2x102", "mlp-4x64-norm"), strict=False)),
    "digits": dict(zip(OTHERS, ("mlp-4x128", "mlp-2x64", "mlp-2x99", "mlp-4x64-norm"), strict=False)),
    "cifar10half-few": dict(zip(OTHERS, ("resnet14-16", "resnet8-8", "resnet8-12"), strict=False)),
    "cifar10-small": dict(zip(OTHERS, ("resnet8-32",), strict=False)),
    "cifar10-paper": dict(zip(OTHERS, ("resnet20-64", "resnet8-32", "resnet8-60"), strict=False)),
}
# All learning rates at which AdamW trains in up to about 2.5 times the updates of SGD; the authors' 3e-3 is among them.
ADAMW = {f"AdamW {rate:g}": rate for rate in (0.0015, 0.003, 0.006, 0.012, 0.03)}
# Times the authors' strength, which shrinks weights by a tenth over training.
DECAY = {f"weight decay x{strength:g}": strength for strength in (0.3, 1, 3)}
RECIPES = ("batch x4", "learning rate / 3", LONG, *DECAY, *ADAMW, "label noise")
ARMS = (REFERENCE, *OTHERS, BOTH, *RECIPES)
KICKED = (REFERENCE, WIDE, "batch x4", LONG)  # arms that get the other kicks as well
CLOCKS = ("percent", "step", "examples", "cumulative_lr", "after_warmup")
# What some clocks do not tell: learning rates in other units; the end of a warm-up that is that of the reference.
UNLIKE = {("cumulative_lr", arm) for arm in ADAMW} | {("after_warmup", arm) for arm in set(ARMS) - {LONG, BOTH}}
FLOORS = (0.1, 1.0, 10.0)  # times EPSILON: what a verdict makes of other floors of measurement
MEASURES = ("raw", "cosine", "scaled")  # of how loosely units are told apart
TEMPERATURES = (0.03, 0.1, 0.3)  # of the soft matching, in the units that each measure has: nearly hard to nearly even
WAYS = [(measure, temperature) for measure in MEASURES for temperature in TEMPERATURES]
SWEEPS = 100  # of Sinkhorn's normalisation
ROUNDING = 1e-12  # entropies below it are rounding errors
READINGS = 11  # of a clock at which arms are compared; odd, so that the median is one of them
MAJORITY = 0.5  # the least share of an arm's seeds above the floor with which others are compared with it at a time
HIDDEN = -1e6  # log of a barrier under the floor, of which the exponential is 0 whatever its weight in a mean


class Params(TwoSettings):
    """Parameters of notebook 05; times are in percent of the updates of each arm, sizes in its initial scale."""

    steps: int | None = Field(200, gt=0)  # of the reference; None: the setting's own
    arms: tuple[str, ...] = (REFERENCE, WIDE, LONG)
    pilots: int = Field(2, ge=1)
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    kick_times: Times = (0.0, 5.0, 25.0)
    size: float = Field(1e-3, gt=0)
    other_kicks: tuple[tuple[Literal["gaussian", "batch"], float], ...] = ()  # kinds and sizes, for a few arms
    other_times: Times = (0.0,)
    looks: int = Field(6, ge=3)  # at the units of the reference
    points: int = Field(5, ge=3)  # networks on each straight line, ends included

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        rising_times("other_times", self.other_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 3:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and two or more later times")
        if not set(self.other_times) <= set(self.kick_times):
            raise ValueError(f"other_times = {list(self.other_times)}: give some of {list(self.kick_times)}")
        if not all(size > 0 for _, size in self.other_kicks) or ("gaussian", self.size) in self.other_kicks:
            raise ValueError(f"other_kicks = {self.other_kicks}: give sizes above 0, and others than {self.size:g}")
        if not 1 <= len(set(self.settings)) == len(self.settings) <= 2 or not set(self.settings) <= set(SHAPES):
            raise ValueError(f"settings = {list(self.settings)}: give one or two of {', '.join(SHAPES)}")
        if not set(self.arms) <= set(ARMS) or len(set(self.arms)) < len(self.arms) or REFERENCE not in self.arms:
            raise ValueError(f"arms = {list(self.arms)}: give '{REFERENCE}' and others of {', '.join(ARMS)}, each once")
        arms(self, self.settings[0])  # refuses what does not fit together
        return self

    def trained(self, name: str) -> Setting:
        """What is trained as the reference of a setting."""
        own = dict(HARDER.get(name, {}))
        model = own.pop("model", None)
        found = self.setting_of(name, self.steps, **({"warmup": 0.02, "weight_decay": 0.0} | own))
        named = self.model if name == self.settings[0] else None
        return found if model is None or named else found.changed(model=model)


# --- arms ------------------------------------------------------------------------------------------------------------


def arms(params: Params, name: str) -> dict[str, Setting]:
    """The arms of a setting, all with the steps of the reference, which comes first; an arm's own change wins."""
    base = params.trained(name)
    lr, batch, warmup = base.recipe.lr, base.recipe.batch_size, base.recipe.warmup
    shapes = {arm: {"model": model} for arm, model in _shapes(params, name).items()}
    long = {"warmup": 10 * warmup}
    # The authors' 1e-4 shrinks weights by 10 % over their 20,000 updates; this does over a few hundred or thousand.
    decay = 0.2 / (lr * base.recipe.steps)
    changes = {
        REFERENCE: {},
        **shapes,
        **({BOTH: shapes[WIDE] | long} if WIDE in shapes else {}),
        "batch x4": {"batch_size": 4 * batch},
        "learning rate / 3": {"lr": lr / 3},
        LONG: long,
        **{arm: {"weight_decay": strength * decay} for arm, strength in DECAY.items()},
        **{arm: {"optimizer": "adamw", "lr": rate} for arm, rate in ADAMW.items()},
        "label noise": {},
    }
    return {arm: base.changed(**own) for arm, own in changes.items() if arm in params.arms}


def _shapes(params: Params, name: str) -> dict[str, str]:
    """Other architectures of a setting; none beside one that parameters name, and on other data none of equal size."""
    replaced = name == params.settings[0]
    if replaced and params.model:
        return {}
    unequal = WIDE if replaced and params.data_set else ""
    return {arm: model for arm, model in SHAPES[name].items() if arm != unequal}


study = Study("05_stability", Params, PAPER, on="setting", origin=Origin.NOTEBOOK)


# --- budgets ---------------------------------------------------------------------------------------------------------


def _config(params: Params, arm: str, chosen: Setting, seeds: Sequence[int], **grid: Any) -> Config:
    noise = [NOISE, seeds[0]] if arm == "label noise" else []
    return study.config(chosen, params, noise=noise, seeds=list(seeds), **grid)


def _shared(arm: str, seeds: Sequence[int]) -> list[Sequence[int]]:
    """The seeds that train on the same labels: all, but with label noise each has a draw of its own."""
    return [[seed] for seed in seeds] if arm == "label noise" else [seeds]


def _task(bench: Bench) -> Data:
    if not bench["noise"]:
        return bench.task
    fraction, draw = bench["noise"]
    return data.with_label_noise(bench.task, fraction, seed=draw)[0]


@study.plan
def pilots(params: Params) -> list[Shard]:
    """For every setting and arm, the pilots at every multiple of the reference's updates; the reference at 1 only."""
    first = PILOTS + params.first_seed
    seeds = range(first, first + params.pilots)
    shards = []
    for name in params.settings:
        for arm, chosen in arms(params, name).items():
            multiples = (1.0,) if arm == REFERENCE else MULTIPLES.get(arm, USUAL)
            budgets = [max(2, round(multiple * chosen.recipe.steps)) for multiple in multiples]
            for some in _shared(arm, seeds):
                shards.append(Shard(pilot, _config(params, arm, chosen, some, budgets=budgets), f"{name}: {arm}"))
    return shards


@study.shard
def pilot(bench: Bench) -> Arrays:
    """Training loss at the end of runs of each length `[budgets, pilots]`."""
    task, losses = _task(bench), []
    for steps in bench["budgets"]:
        theta = train(bench.model, task, bench.recipe.changed(steps=steps), bench.seeds).theta
        losses.append(evaluate(bench.model, theta, task.sample.x, task.sample.y)[0].cpu().numpy())
    return {"budgets": np.array(bench["budgets"]), "losses": np.array(losses)}


def budget(steps: np.ndarray, losses: np.ndarray, target: float) -> int:
    """The number of updates that ends at the loss `target`: between the pilots, on logarithmic scales.

    `losses [steps]` are made falling first, so that there is one answer. Where none is as high, the fewest; where none
    is as low, those of the lowest. If the reference is lost, the most.
    """
    if not np.isfinite(target):
        return int(steps[-1])
    logs = _logs(losses)
    if logs.min() > np.log(target):
        return int(steps[logs.argmin()]) if np.isfinite(losses).any() else int(steps[-1])
    return round(float(np.exp(np.interp(-np.log(target), -np.minimum.accumulate(logs), np.log(steps)))))


def enclosed(losses: np.ndarray, target: float) -> bool:
    """Whether the loss `target` lies between those of the shortest and of the best pilots `losses [steps]`."""
    logs = _logs(losses)
    return bool(np.isfinite(target) and logs[0] >= np.log(target) >= logs.min())


def _logs(losses: np.ndarray) -> np.ndarray:
    """Logs of the losses of pilots; those that diverged count as very high."""
    return np.log(np.nan_to_num(losses, nan=1e3))


def budgets_of(pilots: Sequence[Shard]) -> pd.DataFrame:
    """Every pilot and what follows: setting, arm, steps tried, geometric mean loss, the budget, and whether the pilots
    enclose the reference's loss.
    """
    rows = []
    for of, some in groupby(pilots, key=lambda shard: shard.of):
        found = list(some)  # several where each pilot has labels of its own
        name, arm = of.split(": ")
        steps, means = found[0]["budgets"], np.exp(np.log(np.hstack([shard["losses"] for shard in found])).mean(1))
        if arm == REFERENCE:  # the first of each setting
            target, own, between = means[0], int(steps[0]), True
        else:
            own, between = budget(steps, means, target), enclosed(means, target)
        table = pd.DataFrame({"steps": steps, "loss": means})
        rows.append(table.assign(setting=name, arm=arm, budget=own, target=target, enclosed=between))
    return pd.concat(rows, ignore_index=True)


# --- twins -----------------------------------------------------------------------------------------------------------


@study.follow
def kicks(params: Params, pilots: Sequence[Shard]) -> list[Shard]:
    """One shard for every few seeds of every arm, trained for the budget that its pilots gave."""
    return kicks_of(params, budgets_of(pilots))


def kicks_of(params: Params, budgets: pd.DataFrame) -> list[Shard]:
    """One shard for every few seeds of every arm, trained for its budget."""
    steps = budgets.groupby(["setting", "arm"]).budget.first()
    grid = params.model_dump(mode="json", include={"kick_times", "size", "points"})
    shards = []
    for name in params.settings:
        for arm, chosen in arms(params, name).items():
            fitted = chosen.changed(steps=int(steps[name, arm]))
            check_times(fitted, params.kick_times)
            kicked = params.other_kicks if arm in KICKED else ()
            others = [[time, kind, size] for time in params.other_times for kind, size in kicked]
            grid |= {"others": others, "looks": params.looks if arm == REFERENCE else 0}
            for seeds in [some for few in params.few() for some in _shared(arm, few)]:
                shards.append(Shard(measure, _config(params, arm, fitted, seeds, **grid), f"{name}: {arm}"))
    return shards


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train the seeds of an arm with a control and one twin a kick; arrays over the twins `[K]` and the looks `[T]`."""
    task, model, recipe, seeds = _task(bench), bench.model, bench.recipe, bench.seeds
    cells = [(seed, 0.0, "control", 0.0) for seed in seeds]
    cells += [(seed, time, "gaussian", bench["size"]) for time in bench["kick_times"] for seed in seeds]
    cells += [(seed, *other) for other in bench["others"] for seed in seeds]
    cells.sort(key=lambda cell: cell[1])  # as `train` orders them
    forks = [
        Fork(seed, bench.setting.step_at(time), Kick(size=size, kind="gaussian" if kind == "control" else kind))
        for seed, time, kind, size in cells
    ]
    steps = np.array([fork.step for fork in forks])
    looks = root_looks(recipe.steps, bench["looks"]) if bench["looks"] else []
    norm = Observer("norm", lambda now: _norms(now, len(seeds)), frozenset([*steps.tolist(), *looks]), state=())
    loose = Observer("loose", lambda now: looseness(model.layout, now.theta[: len(seeds)]), frozenset(looks), state=())
    run = train(model, task, recipe, seeds, forks, [norm, loose])
    norms, found = dict(run.recorded("norm")), dict(run.recorded("loose"))
    parents, twins = run.theta[parent_rows(run.members)], run.theta[len(seeds) :]
    line = barriers(model, parents, twins, task.sample.x, task.sample.y, bench["points"])
    _, error = evaluate(model, parents, task.sample.x_test, task.sample.y_test)
    rates = np.cumsum([0.0, *(learning_rate(recipe, step) for step in range(recipe.steps))])
    return {
        "seed": np.array([seed for seed, *_ in cells]),
        "time": np.array([time for _, time, *_ in cells]),
        "kick": np.array([kind for *_, kind, _ in cells]),
        "size": np.array([size for *_, size in cells]),
        "step": steps,
        "examples": steps * recipe.batch_size,
        "cumulative_lr": rates[steps],
        "after_warmup": steps - round(recipe.warmup * recipe.steps),
        "norm": np.array([norms[fork.step][seeds.index(fork.seed)] for fork in forks]),
        "largest_difference": (twins - parents).abs().amax(1).cpu().numpy(),
        "distance": (twins - parents).norm(dim=1).cpu().numpy(),
        "barrier": line.of_loss.numpy(),
        "loss": line.loss[:, 0].numpy(),
        "accuracy": 1 - error.cpu().numpy(),
        "look_step": np.array(looks, dtype=int),
        "look_norm": np.array([norms[look] for look in looks]).reshape(len(looks), len(seeds)),
        "looseness": np.array([found[look] for look in looks]).reshape(len(looks), len(WAYS), len(seeds)),
    }


def _norms(now: Snapshot, seeds: int) -> np.ndarray:
    """Norm of the weights of each parent."""
    return now.theta[:seeds].double().norm(dim=1).cpu().numpy()


# --- how loosely units are told apart --------------------------------------------------------------------------------


def looseness(layout: Layout, theta: torch.Tensor) -> np.ndarray:
    """How loosely units of each network `theta [M, P]` are told apart: from 0 to 1, mean over layers, `[ways, M]`.

    The ways are the measures, each at every temperature.

    The Sinkhorn plan of `exp(C / temperature)` is the soft permutation of a network onto itself; the best permutation
    is the identity. Their entropies a unit differ by 0 where every unit is matched to itself alone, and by log n, here
    1, where n units could be exchanged at will. `C` are inner products between the weights of the units, in and out.
    Raw, they count in the squared norm that units have on average at initialisation; `scaled`, in that which they have
    now; as cosines, in the norms of the two. (Squared distances in the place of raw inner products give the same plan
    at twice the temperature: what depends on one unit alone, Sinkhorn's normalisation takes out.)
    """
    start = layout.tensors(layout.scale[None].double())
    tensors = layout.tensors(theta.to("cpu", torch.float64))
    found = []
    for layer, units in layout.groups.items():
        own, expected = _units(layout, tensors, layer, units), _units(layout, start, layer, units)
        products = own @ own.mT
        squares = products.diagonal(dim1=1, dim2=2)
        norms = squares.sqrt()
        gains = {
            "raw": products / expected.square().sum(2).mean(),
            "cosine": products / (norms[:, :, None] * norms[:, None, :]),
            "scaled": products / squares.mean(1)[:, None, None],
        }
        plans = [gains[measure] / temperature for measure, temperature in WAYS]
        found.append(torch.stack([entropy(plan) / math.log(units) for plan in plans]))
    return torch.stack(found).mean(0).numpy()


def _units(layout: Layout, tensors: dict[str, torch.Tensor], layer: str, units: int) -> torch.Tensor:
    """All weights in and out of each unit of a layer `[M, units, weights]`."""
    axes = [(p.name, axis) for p in layout.parameters for axis, name in enumerate(p.axes, start=1) if name == layer]
    return torch.cat([tensors[name].movedim(axis, 1).unflatten(1, (units, -1)).flatten(2) for name, axis in axes], 2)


def entropy(gains: torch.Tensor) -> torch.Tensor:
    """Entropy a unit of the Sinkhorn plan of `exp(gains) [M, n, n]`."""
    plan = gains
    for _ in range(SWEEPS):
        plan = plan - plan.logsumexp(1, keepdim=True)
        plan = plan - plan.logsumexp(2, keepdim=True)
    return (-plan.exp() * plan).sum(2).mean(1).clamp(min=ROUNDING)


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: Sequence[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `budgets` (setting, arm, steps tried), `twins` (setting, arm, seed, time) with the usual kick and
    `others` with other kicks, `effects` and `other_effects`, `losses`, `looks` (seed, time, measure, temperature), and
    `floors`.
    """
    budgets, parts, looks = budgets_of([shard for shard in shards if shard.compute is pilot]), [], []
    for shard in (shard for shard in shards if shard.compute is measure):
        name, arm = shard.of.split(": ")
        flat = {key: column for key, column in shard.found.items() if not key.startswith("loo")}
        parts.append(pd.DataFrame(flat).assign(setting=name, arm=arm))
        if arm == REFERENCE:
            looks.append(looks_of(shard).assign(setting=name))
    every = pd.concat(parts, ignore_index=True)
    every["kind"] = np.where(every.kick == "control", "control", "twin")
    usual = (every.kick == "control") | ((every.kick == "gaussian") & (every["size"] == params.size))
    twins = every[usual].drop(columns=["kick", "size"]).reset_index(drop=True)
    others = every[every.arm.isin(KICKED) & (every.kind == "twin") & every.time.isin(params.other_times)]
    tables = {
        "budgets": budgets,
        "twins": twins,
        "others": others.reset_index(drop=True),
        "losses": losses(twins, budgets),
    }
    tables |= {"effects": effects(twins), "other_effects": other_effects(others)}
    return tables | {"looks": pd.concat(looks, ignore_index=True), "floors": floors(params, tables)}


def looks_of(shard: Shard) -> pd.DataFrame:
    """Rows of the looks at the reference: seed, time, norm of the weights, measure, temperature, looseness."""
    steps, seeds = shard["look_step"], shard.config["seeds"]
    total = shard.config["setting"]["recipe"]["steps"]
    key = pd.MultiIndex.from_product([steps / total * 100, seeds], names=["time", "seed"])
    ways = pd.DataFrame(WAYS, columns=["measure", "temperature"])
    rows = pd.DataFrame({"norm": shard["look_norm"].ravel()}, index=key).reset_index().merge(ways, how="cross")
    return rows.assign(looseness=shard["looseness"].swapaxes(1, 2).ravel())


def losses(twins: pd.DataFrame, budgets: pd.DataFrame) -> pd.DataFrame:
    """Final training loss and test accuracy of each arm, the ratio of its loss to the reference's, and whether its
    pilots enclose that.
    """
    control = twins[twins.kind == "control"]
    means = control.groupby(["setting", "arm"], sort=False).agg(
        loss=("loss", lambda loss: np.exp(np.log(loss).mean())),
        accuracy=("accuracy", "mean"),
        seeds=("seed", "nunique"),
    )
    reference = means.loss.xs(REFERENCE, level="arm")
    means["ratio"] = means.loss / reference.reindex(means.index.get_level_values("setting")).to_numpy()
    means["enclosed"] = budgets.groupby(["setting", "arm"]).enclosed.first().reindex(means.index)
    return means.reset_index()


def matched(losses: pd.DataFrame) -> pd.Series:
    """Which arms end at the loss of the reference, after a number of updates within the range that pilots tried."""
    return losses.ratio.between(1 / MATCHED, MATCHED) & losses.enclosed


def effects(twins: pd.DataFrame, floor: float = EPSILON) -> pd.DataFrame:
    """How many times higher the barrier of each arm is than another's: setting, arm, against, clock, seed, two bounds.

    `start`: kicks at 0. Otherwise the median over later times, each compared at an equal reading of a clock: percent of
    the updates, updates, examples seen, summed learning rate, or updates since the end of a long warm-up. A barrier
    under the floor is censored: it may be anything from 0 to the floor, so the ratio lies between `lower` and `upper`.
    NaN where the two arms share no reading. All arms are compared with the reference, the combined one with its parts.
    The median, since a few censored times leave it known.
    """
    rows = []
    kicked = bounded(twins[twins.kind == "twin"].assign(percent=lambda t: t.time), floor)
    for (setting, seed), alike in kicked.groupby(["setting", "seed"], sort=False):
        by_arm = dict(iter(alike.groupby("arm", sort=False)))
        pairs = [(arm, REFERENCE) for arm in by_arm] + [(BOTH, part) for part in (WIDE, LONG)]
        for arm, against in (pair for pair in pairs if set(pair) <= set(by_arm)):
            for clock in ("start", *CLOCKS):
                rows.append((setting, arm, against, clock, seed, *_compared(by_arm[arm], by_arm[against], clock)))
    return pd.DataFrame(rows, columns=["setting", "arm", "against", "clock", "seed", "lower", "upper"])


def bounded(twins: pd.DataFrame, floor: float) -> pd.DataFrame:
    """Bounds on the log barrier of each twin, and whether half or more of its arm and time stand above the floor."""
    height, shown = twins.barrier.clip(lower=floor), twins.barrier.isna() | (twins.barrier >= floor)
    measured = shown.groupby([twins.setting, twins.arm, twins.time]).transform("mean") >= MAJORITY
    return twins.assign(low=np.log(height).where(shown, HIDDEN), high=np.log(height), measured=measured)


def _compared(own: pd.DataFrame, other: pd.DataFrame, clock: str) -> tuple[float, float]:
    """Bounds on the ratio of the barriers of a seed in two arms; NaN where the other arm shows nothing."""
    if clock == "start":
        own, other = (twins[twins.time == 0].iloc[0] for twins in (own, other))
        logs = (own.low - other.high, own.high - other.low) if other.measured else (np.nan, np.nan)
    elif (clock, own.arm.iloc[0]) in UNLIKE:
        logs = np.nan, np.nan
    else:
        logs = _later(own, other, clock)
    with np.errstate(over="ignore"):  # no upper bound where the other arm is hidden
        return tuple(np.exp(logs).tolist())


def _later(own: pd.DataFrame, other: pd.DataFrame, clock: str) -> tuple[float, float]:
    """Bounds on the median difference of log barriers after the start, over readings that both arms reach.

    Log barriers are interpolated on the logarithm of the clock; on that from the end of the warm-up, which begins
    before 0, on the clock itself. Times at which most barriers of the other arm are under the floor show nothing.
    """
    own, other = own[own.time > 0].sort_values(clock), other[(other.time > 0) & other.measured].sort_values(clock)
    low, high = max(own[clock].min(), other[clock].min()), min(own[clock].max(), other[clock].max())
    if clock == "after_warmup":
        low, scale = max(low, 0), np.asarray
    else:
        scale = np.log
    if len(other) < 2 or not low < high:
        return np.nan, np.nan
    at = np.linspace(scale(low), scale(high), READINGS)

    def read(twins: pd.DataFrame, side: str) -> np.ndarray:
        return np.interp(at, scale(twins[clock]), twins[side])

    bounds = read(own, "low") - read(other, "high"), read(own, "high") - read(other, "low")
    return tuple(float(np.median(side)) for side in bounds)


def other_effects(others: pd.DataFrame) -> pd.DataFrame:
    """How many times higher the barrier of an arm is than the reference's, for every kick: setting, arm, kick, size,
    time, seed, and two bounds; none where most barriers of the reference are under the floor.
    """
    key = ["setting", "kick", "size", "time", "seed"]
    above = ~(others.barrier < EPSILON)
    whole = others.assign(low=others.barrier.where(above, 0.0), high=others.barrier.clip(lower=EPSILON), shown=above)
    whole["shown"] = whole.groupby([*key[:-1], "arm"]).shown.transform("mean")
    reference = whole[(whole.arm == REFERENCE) & (whole.shown >= MAJORITY)].set_index(key)[["low", "high"]]
    table = whole[whole.arm != REFERENCE].join(reference.add_prefix("base_"), on=key, how="inner")
    with np.errstate(divide="ignore"):
        table = table.assign(lower=table.low / table.base_high, upper=table.high / table.base_low)
    return table[["setting", "arm", *key[1:], "lower", "upper"]].reset_index(drop=True)


def floors(params: Params, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What the claims on single arms come to with other floors of measurement: setting, claim, floor, and interval."""
    rows = []
    for share in FLOORS:
        whole = Tables(tables | {"effects": effects(tables["twins"], share * EPSILON)}, params)
        for name in params.settings:
            here = whole.at(study.on, name)
            for id, effect in CLAIMS.items():
                found, void = effect.ratio(here), effect.unless(here)
                verdict = "inconclusive" if void else effect.region.judge(found)
                values = (found.estimate, found.low, found.high, found.bound)
                rows.append((name, id, share * EPSILON, *values, verdict))
    return pd.DataFrame(rows, columns=["setting", "claim", "floor", "estimate", "low", "high", "bound", "verdict"])


# --- claims on single arms -------------------------------------------------------------------------------------------


class Effect(NamedTuple):
    """A claim that the barrier of an arm over the reference's, compared on a clock, lies in a region."""

    arm: str
    clock: str
    region: Region
    statement: str
    origin: Origin = Origin.NOTEBOOK

    def ratio(self, t: Tables) -> Interval:
        """How many times higher the barrier of the arm is, over seeds."""
        return known(intervals.between_bounds(*_bounds(t, self.arm, REFERENCE, self.clock).to_numpy().T))

    def unless(self, t: Tables) -> str:
        """Claims are void where twins of the arm or of the reference are lost, where the arm ends at a training loss
        more than a factor of 1.5 from the reference's or its pilots do not enclose that loss, and where the floor or
        the clock leaves nothing to compare. Times at which more than half of the reference's seeds lie under the floor
        are left out.
        """
        return void(t, self.arm) or unseen(t, self.ratio(t), self.arm)


def _bounds(t: Tables, arm: str, against: str, clock: str) -> pd.DataFrame:
    """Bounds on the ratio of each seed."""
    effects = t["effects"].query("arm == @arm and against == @against and clock == @clock")
    found = effects.set_index("seed")[["lower", "upper"]]
    return found if found.notna().any(axis=None) else found.iloc[:0]  # nothing is shared: no seed says anything


def known(found: Interval) -> Interval:
    """The interval, or none of any seed where the bounds of all leave everything open."""
    return intervals.nothing(intervals.POSITIVE) if math.isnan(found.estimate) else found


def unseen(t: Tables, found: Interval, *arms: str) -> str:
    """Why nothing is said of arms that were trained: too many barriers under the floor, or no reading in common."""
    if found.n or not {*arms} <= set(t["losses"].arm):
        return ""
    return "too many barriers lie under the floor, or no reading of the clock is shared"


def void(t: Tables, *arms: str) -> str:
    """Why nothing is said of some arms: twins of theirs are lost, or they end at another loss than the reference, or
    at the end of the range of updates that was tried.
    """
    twins, losses = t["twins"], t["losses"]
    lost = broken(twins[twins.arm.isin([*arms, REFERENCE])], ["barrier", "loss"])
    missed = losses[losses.arm.isin(arms) & ~matched(losses)]
    apart = [
        f"the arm ends at {row.ratio:.2g} times the reference's training loss"
        + ("" if row.enclosed else ", which its pilots do not enclose")
        for row in missed.itertuples()
    ]
    return "; ".join(filter(None, [lost, *apart]))


OURS = Origin.OURS
# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
CLAIMS = {
    "B08": Effect(WIDE, "start", below(1.0), "At equal parameters, a wide and shallow network is more stable"),
    "B09": Effect(LONG, "percent", below(1.0), "A ten times longer warm-up makes early training more stable"),
    # Within a quarter: what a seed adds to the barrier at the start is larger.
    "B09b": Effect(LONG, "start", between(0.8, 1.25), "A longer warm-up does not change what a kick at the start does"),
    "B09c": Effect(
        LONG,
        "cumulative_lr",
        below(1.0),
        "A longer warm-up is more stable where as much learning rate has been spent",
        OURS,
    ),
    "B09d": Effect(
        LONG,
        "after_warmup",
        below(1.0),
        "A longer warm-up is more stable where as many updates have passed since its end",
        OURS,
    ),
    "B11": Effect("batch x4", "step", below(1.0), "Batches four times as large are more stable, counted in updates"),
    "B11b": Effect(
        "batch x4", "examples", below(1.0), "Batches four times as large are more stable, counted in examples"
    ),
    "B11c": Effect(
        "batch x4",
        "cumulative_lr",
        below(1.0),
        "Batches four times as large are more stable, counted in summed learning rate",
        OURS,
    ),
    # The authors compare one learning rate of AdamW and one strength of weight decay; B10 and B10b ask about all.
    "B10e": Effect(
        "AdamW 0.003",
        "percent",
        above(1.0),
        "AdamW is less stable than SGD, at the authors' one learning rate of 0.003",
    ),
    "B10f": Effect(
        "weight decay x1",
        "percent",
        above(1.0),
        "Weight decay makes training less stable, at the authors' one strength, which shrinks weights by a tenth",
    ),
    "X18": Effect("learning rate / 3", "percent", below(1.0), "A smaller learning rate is more stable", OURS),
    "X19": Effect("label noise", "percent", above(1.0), "Label noise makes training less stable", OURS),
    "X20": Effect("wider", "percent", below(1.0), "Wider networks are more stable", OURS),
    "X21": Effect("normalised", "percent", below(1.0), "Normalised networks are more stable", OURS),
}
WHERE = {  # when the kicks came, and the figures that show it
    "start": ("kicks at the start", "a"),
    "percent": ("later kicks at equal percent of the updates", "a"),
    "step": ("later kicks at equal numbers of updates", "ab"),
    "examples": ("later kicks at equal numbers of examples", "ab"),
    "cumulative_lr": ("later kicks at equal summed learning rate", "ab"),
    "after_warmup": ("later kicks at equal numbers of updates after the warm-up", "a"),
}
HPARAMS = "butterfly-hparams.ipynb"


for id, effect in CLAIMS.items():
    study.claim(
        id,
        effect.statement,
        by=f"ratio of the barrier, arm '{effect.arm}' to the reference, {WHERE[effect.clock][0]}",
        region=effect.region,
        origin=effect.origin,
        place="" if effect.origin is OURS else HPARAMS,
        figure=WHERE[effect.clock][1] + ("e" if effect.arm in ADAMW | DECAY else ""),
        unless=effect.unless,
    )(effect.ratio)


@study.claim(
    "X69",
    by="verdicts on single arms that change with a floor ten times lower or higher",
    region=below(1),
    origin=OURS,
    kind=Kind.CHECK,
)
def floor_decides_nothing(t: Tables) -> Interval:
    """No verdict on an arm hangs on the floor below which barriers are not told apart."""
    verdicts = t["floors"].groupby("claim").verdict.nunique()
    return intervals.exact(int((verdicts > 1).sum()), len(verdicts))


# --- claims on several ratios at once --------------------------------------------------------------------------------


def largest_ratio(lower: np.ndarray, upper: np.ndarray) -> Interval:
    """The largest of k geometric means of ratios that are known between bounds `[n, k]`: that all lie below a value.

    An intersection-union test, as `intervals.largest_mean` of the logarithms; 0 and infinity are bounds that say
    nothing.
    """
    with np.errstate(divide="ignore"):
        low, high = np.log(np.asarray(lower, dtype=float)), np.log(np.asarray(upper, dtype=float))
    if low.size == 0:
        return intervals.nothing(intervals.POSITIVE)
    if np.isnan([low, high]).any():
        return Interval(math.nan, math.nan, math.nan, len(low), "log", intervals.POSITIVE)
    known = low[:, np.isfinite(low).all(0)]
    least = intervals.largest_mean(known) if known.size else None
    most = intervals.largest_mean(high) if np.isfinite(high).all() else None
    ends = (least.low if least else -math.inf, most.high if most else math.inf)
    estimate = (most or least).estimate if most or least else math.nan
    same = least and most and math.isclose(least.estimate, most.estimate, abs_tol=1e-12)
    bound = "" if same or math.isnan(estimate) else "<" if most else ">"
    return Interval(*np.exp([estimate, *ends]).tolist(), len(low), "log", intervals.POSITIVE, bound)


def smallest_ratio(lower: np.ndarray, upper: np.ndarray) -> Interval:
    """The smallest of k geometric means of ratios: that all lie above a value."""
    with np.errstate(divide="ignore"):
        found = largest_ratio(1 / np.asarray(upper, dtype=float), 1 / np.asarray(lower, dtype=float))
        values = (1 / np.array([found.estimate, found.high, found.low])).tolist()
    bound = {"<": ">", ">": "<"}.get(found.bound, "")
    return replace(found, estimate=values[0], low=values[1], high=values[2], bound=bound)


def _together(tables: Sequence[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of several ratios `[seeds, ratios]`; no seeds where one of the ratios is not known."""
    if not tables or any(own.empty for own in tables):
        return np.empty((0, 0)), np.empty((0, 0))
    return tuple(pd.concat([own[side] for own in tables], axis=1).to_numpy() for side in ("lower", "upper"))


class Sweep(NamedTuple):
    """A recipe at several strengths, each with a budget of its own; those that miss the loss drop out."""

    arms: dict[str, float]
    least: int = 3  # strengths that have to be left

    def ending(self, t: Tables) -> list[str]:
        """The arms that end at the reference's loss."""
        losses = t["losses"]
        return [arm for arm in self.arms if arm in set(losses.arm[matched(losses)])]

    def bounds(self, t: Tables) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on the ratio to the reference at equal percent `[seeds, arms]`."""
        return _together([_bounds(t, arm, REFERENCE, "percent") for arm in self.ending(t)])

    def smallest(self, t: Tables) -> Interval:
        """The smallest ratio over the strengths that reach the loss."""
        return known(smallest_ratio(*self.bounds(t)))

    def rise(self, t: Tables) -> Interval:
        """By what factor the ratio grows with a tenfold strength: the slope of each seed, on logarithms.

        Bounds on the slope take the bounds of each ratio that make it the flattest or the steepest.
        """
        lower, upper = self.bounds(t)
        if lower.shape[1] < 2:
            return intervals.nothing(intervals.POSITIVE)
        strengths = np.log10([self.arms[arm] for arm in self.ending(t)])
        weights = (strengths - strengths.mean()) / np.square(strengths - strengths.mean()).sum()
        with np.errstate(divide="ignore"):
            lower, upper = np.log(lower), np.log(upper)
        flat, steep = ((np.where(weights > 0, a, b) * weights).sum(1) for a, b in ((lower, upper), (upper, lower)))
        return known(intervals.between_bounds(np.exp(flat), np.exp(steep)))

    def unless(self, t: Tables) -> str:
        """Claims are void where twins are lost, or fewer than three strengths end within a factor of 1.5 of the
        reference's training loss with pilots that enclose it.
        """
        left = self.ending(t)
        few = f"{len(left)} of {len(self.arms)} strengths end at the reference's training loss"
        return "; ".join(filter(None, [void(t, *left), few if len(left) < self.least else ""]))

    def unless_open(self, t: Tables) -> str:
        """Claims are void where twins are lost, where fewer than three strengths end within a factor of 1.5 of the
        reference's training loss with pilots that enclose it, or where so many barriers lie under the floor that the
        slope may be anything.
        """
        return self.unless(t) or unseen(t, self.rise(t), *self.ending(t))


RATES, STRENGTHS = Sweep(ADAMW), Sweep(DECAY)
# "Every strength" and not the mean of all, since strengths may differ in sign: one that is more stable refutes it.
for id, sweep, says in (
    ("B10", RATES, "AdamW is less stable than SGD, at every learning rate that ends at its loss"),
    ("B10b", STRENGTHS, "Weight decay makes training less stable, at every strength that ends at the same loss"),
):
    by = "smallest ratio of the barrier to the reference's over the strengths, later kicks at equal percent"
    study.claim(id, says, by=by, region=above(1.0), origin=OURS, figure="e", unless=sweep.unless)(sweep.smallest)
for id, sweep, says, what in (
    ("B10c", RATES, "The larger the learning rate of AdamW, the less stable it is", "learning rate"),
    ("B10d", STRENGTHS, "The stronger the weight decay, the less stable training is", "weight decay"),
):
    by = f"factor by which the ratio of the barrier to the reference's grows with ten times the {what}"
    study.claim(id, says, by=by, region=above(1.0), origin=OURS, figure="e", unless=sweep.unless_open)(sweep.rise)


class Combined(NamedTuple):
    """A claim that the combined arm is as stable as the better of its two parts, on a clock."""

    clock: str

    def larger(self, t: Tables) -> Interval:
        """The larger of the ratios of the combined arm to its two parts."""
        return known(largest_ratio(*_together([_bounds(t, BOTH, part, self.clock) for part in (WIDE, LONG)])))

    def unless(self, t: Tables) -> str:
        """Claims are void where twins of the combined arm or its parts are lost, where one of these arms ends at a
        training loss more than a factor of 1.5 from the reference's or its pilots do not enclose that loss, and where
        the floor leaves nothing to compare: times at which more than half of the seeds of a part lie under it are left
        out.
        """
        return _apart(t) or unseen(t, self.larger(t), BOTH, WIDE, LONG)


def _apart(t: Tables) -> str:
    """Claims are void where twins of the combined arm or its parts are lost, or one of these arms ends at a training
    loss more than a factor of 1.5 from the reference's or its pilots do not enclose that loss.
    """
    return void(t, BOTH, WIDE, LONG)


SUMMARY = {"origin": Origin.PAPER, "place": "summary of recipes (known from notes)"}
BETTER = "A wide and shallow network with a long warm-up is as stable as the better of the two alone, or more"
for id, clock, says, when, whose in (
    ("X67", "percent", BETTER, "percent", SUMMARY),
    ("X67b", "cumulative_lr", f"{BETTER}, where as much learning rate has been spent", "summed learning rate", {}),
):
    combined = Combined(clock)
    study.claim(
        id,
        says,
        by=f"larger of the ratios of its barrier to its two parts', later kicks at equal {when}",
        region=below(1.25),  # "as stable": the margin of B09b
        figure="ab",
        unless=combined.unless,
        **({"origin": OURS} | whose),
    )(combined.larger)


@study.claim(
    "X68",
    by="barrier of the combined arm, kicks at the start (nats)",
    region=above(BARRIER),
    figure="b",
    unless=_apart,
    **SUMMARY,
)
def still_a_barrier(t: Tables) -> Interval:
    """Even both together do not remove the barrier that a kick at the start leaves."""
    kicked = t["twins"].query("arm == @BOTH and kind == 'twin' and time == 0")
    return intervals.geometric_mean(kicked.barrier, EPSILON)


class Whatever(NamedTuple):
    """A claim that an arm is more stable than the reference for every kick that was tried."""

    arm: str

    def largest(self, t: Tables) -> Interval:
        """The largest ratio over kinds, sizes and times.

        Where all barriers of an arm lie under the floor in the deciding cell, the bound is the floor over the
        reference's barrier there: one number for every such arm.
        """
        own = t["other_effects"].query("arm == @self.arm")
        cells = [
            own.pivot(index="seed", columns=["kick", "size", "time"], values=side).to_numpy()
            for side in ("lower", "upper")
        ]
        return known(largest_ratio(*cells))

    def unless(self, t: Tables) -> str:
        """Claims are void where twins are lost, where the arm ends at a training loss more than a factor of 1.5 from
        the reference's or its pilots do not enclose that loss, and where no kicks of other kinds were made. Kicks after
        which more than half of the reference's seeds lie under the floor are left out.
        """
        few = "" if t["others"].groupby(["kick", "size"]).ngroups > 1 else "one kick only was tried"
        return "; ".join(filter(None, [void(t, self.arm), few]))


for id, arm, says in (
    ("B08b", WIDE, "A wide and shallow network is more stable whatever the kick"),
    ("B11d", "batch x4", "Batches four times as large are more stable whatever the kick"),
):
    by = "largest ratio of the barrier to the reference's over kinds, sizes and times of the kick"
    every = Whatever(arm)
    study.claim(id, says, by=by, region=below(1.0), origin=OURS, figure="f", unless=every.unless)(every.largest)


# --- claims on the units ---------------------------------------------------------------------------------------------


def change(t: Tables, measure: str) -> Interval:
    """By what factor looseness changes over training, at the temperature at which that is largest.

    The slope of each seed's logarithm on the share of the updates. A single temperature could decide the verdict.
    """
    looks = t["looks"].query("measure == @measure")
    if looks.empty:
        return intervals.nothing(intervals.POSITIVE)
    factors = []
    for _, own in looks.groupby("temperature"):
        table = own.pivot(index="seed", columns="time", values="looseness")
        factors.append(np.exp(intervals.slopes(table.columns / 100, np.log(table.to_numpy()))))
    return intervals.largest_ratio(np.stack(factors, axis=1))


def _unseen(t: Tables) -> str:
    """Claims are void where a look at the units of the reference is not finite, or controls differ."""
    lost = "" if np.isfinite(t["looks"].looseness).all() else "looks at the units are not finite"
    return "; ".join(filter(None, [broken(t["twins"][t["twins"].arm == REFERENCE], ["loss"]), lost]))


WORKSHOP = {"origin": Origin.OTHER, "source": "Altıntaş et al. 2024 (HiLD workshop at ICML)"}
# The workshop speaks of the entropy of matching plans; weight matching weighs raw inner products.
for id, weighed, how, whose in (
    ("B23", "raw", "raw inner products", WORKSHOP),
    ("B23c", "cosine", "cosines", {"origin": OURS}),
    ("B23d", "scaled", "inner products in units of the network's own weights", {"origin": OURS}),
):
    study.claim(
        id,
        f"The units of a network become harder to exchange as it trains, on {how}, at each of three temperatures",
        by="largest factor, over temperatures of 0.03, 0.1 and 0.3, by which the looseness of the reference's units "
        "changes over training, by the slope of its log",
        region=below(1.0),
        figure="d",
        unless=_unseen,
        **whose,
    )(lambda t, weighed=weighed: change(t, weighed))
