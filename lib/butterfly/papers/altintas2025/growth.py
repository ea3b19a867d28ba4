"""Notebook 03: how a small difference grows, and why it stops growing.

Twins kicked at the start and later are watched while they train. Beside them run tangents: the same kicks, infinitely
small, carried along by the derivative of the training map. Where twins follow their tangent, growth is that of a linear
instability; where they leave it, something else made them part. A ReLU network and a smooth one are compared; a network
with normalisation and a longer run are watched for the shape of growth alone. In float64, every update at which a unit
is on in one twin and off in the other is known, and so is the update at which the twin leaves its tangent.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats

from butterfly.batches import Minibatches
from butterfly.curvature import batch_sharpness, extreme_eigenvalues, growth_rate
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.shapes import FEWEST, MISFIT, excess, fits
from butterfly.papers.altintas2025.twins import history, root_looks, watch
from butterfly.perturb import Kick, displacement
from butterfly.study import Arrays, Bench, Config, Interval, OneModel, Origin, Setting, Shard, Study, Tables, Times
from butterfly.study import intervals
from butterfly.study.claims import above, below, between, broken
from butterfly.study.parameters import check_times, rising_sizes, rising_times
from butterfly.study.tables import long, stacked
from butterfly.tangent import Tangent
from butterfly.train import Fork, Observer, Recipe, Snapshot, learning_rate, parent_rows, train

EARLY = 10.0  # percent of training at which twins are held against their tangents
CHAOTIC = 5.0, 25.0  # percent of training between which curvature is held against its limits: after the warm-up
FALLING = 80.0  # percent: after it the learning rate falls by more than a quarter while growth is measured at a look
WINDOW = 5.0  # percent of training after a kick in which its first growth is measured
TAKEOFF = 2.0  # the factor by which a twin has to leave its tangent
AFTER = 10  # updates after the first flip at which twins are held against their tangents
NORMALISED, LONGER = "normalised", "longer"  # names of the variants in the column `setting`


class Params(OneModel):
    """Parameters of notebook 03; times are in percent of the training steps."""

    setting: str = "mnist1d"
    smooth: str = "mnist1d-gelu"  # the same network with a smooth activation function
    steps: int | None = Field(80, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    sizes: tuple[float, ...] = (1e-6, 1e-2)  # of kicks at the start, beside one ulp
    kick_times: Times = (0.0, 10.0, 80.0)
    size: float = Field(1e-4, gt=0)  # of kicks at all of these times
    looks: int = Field(8, ge=5)  # how often disagreement is recorded
    distance_looks: int = Field(60, ge=5)  # and distance and tangents
    barrier_looks: int = Field(4, ge=2)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    sharpness_looks: int = Field(5, ge=5)
    sharpness_examples: int = Field(100, ge=10)
    sharpness_batches: int = Field(8, ge=1)  # minibatches for the batch sharpness
    longer: float = Field(1.5, gt=1)  # a variant trains so many times as long
    kink_seeds: int = Field(2, ge=1)
    kink_sizes: tuple[float, ...] = (1e-5, 3e-5)  # of kicks whose flips of units are counted, in float64
    kink_part: float = Field(25.0, gt=0, le=100)  # percent of training for which they are

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        rising_sizes("sizes", self.sizes)
        rising_sizes("kink_sizes", self.kink_sizes)
        if not self.sizes or not self.kink_sizes or self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError("give at least one of sizes and kink_sizes, and kick_times that begin at 0 and go on")
        kinked = self.chosen(self.setting, self.steps)
        if kinked.identity == self.smoothed.identity:
            raise ValueError("setting and smooth are the same; name two settings")
        for name, recipe in ((self.setting, kinked.recipe), (self.smooth, self.smoothed.recipe)):
            if recipe.optimizer != "sgd" or recipe.dropout:
                raise ValueError(f"'{name}': tangents are defined for SGD only, and without dropout")
            if recipe.warmup * 100 >= self.kink_part:
                raise ValueError(f"kink_part = {self.kink_part:g}: give more than the warm-up of '{name}'")
        return self

    @property
    def smoothed(self) -> Setting:
        """The setting of the smooth network."""
        return self.beside(self.setting, self.smooth, self.steps)

    @property
    def networks(self) -> dict[str, Setting]:
        """The network with kinks and the smooth one, by the names of their settings."""
        return {self.setting: self.chosen(self.setting, self.steps), self.smooth: self.smoothed}

    @property
    def variants(self) -> dict[str, Setting]:
        """The network with kinks, trained for longer, and with normalisation (perceptrons can be given it by name)."""
        own = self.chosen(self.setting, self.steps)
        found = {LONGER: own.changed(steps=round(own.recipe.steps * self.longer))}
        if re.fullmatch(r"mlp-\d+x\d+", own.model):
            found[NORMALISED] = own.changed(model=f"{own.model}-norm")
        return found

    @property
    def smallest(self) -> float:
        """The smallest size of Gaussian kicks at the start."""
        return min(*self.sizes, self.size)

    @property
    def largest(self) -> float:
        """And the largest."""
        return max(*self.sizes, self.size)


study = Study("03_growth", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of the two networks, of their first flips, and of the variants."""
    shards = []
    for name, setting in params.networks.items():
        check_times(setting, params.kick_times)
        leave = ["smooth", "longer", *(own for own in Params.model_fields if own.startswith("kink"))]
        shards += study.every_few(params, setting, leave=leave, of=name)
    sizes = {"sizes": sorted({*params.sizes, params.size}), "distance_looks": params.distance_looks}
    for name, setting in params.variants.items():
        shards += [Shard(grow, config, name) for config in _configs(params, setting, params.seeds, sizes)]
    flipped = {"kink_sizes": list(params.kink_sizes)}
    for name, setting in params.networks.items():
        begun = beginning(setting, params.kink_part)
        shards += [Shard(kinks, config, name) for config in _configs(params, begun, params.kink_seeds, flipped)]
    return shards


def _configs(params: Params, setting: Setting, seeds: int, grid: Mapping) -> list[Config]:
    return [study.config(setting, params, seeds=few, **grid) for few in params.few("seeds", seeds)]


def beginning(setting: Setting, part: float) -> Setting:
    """The first `part` percent of a training, its warm-up as it is; then the learning rate is held."""
    steps, warmup = setting.step_at(part), round(setting.recipe.warmup * setting.recipe.steps)
    return setting.changed(steps=steps, warmup=warmup / steps, schedule="constant")


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train parents, twins and tangents in lockstep, and watch them.

    Arrays over twins and looks `[K, T]`, over tangents and looks `[D, T]`, over seeds and looks `[S, T]`.
    """
    seeds, times = bench.seeds, bench["kick_times"]
    cells = [(seed, time, kick) for time in times for seed in seeds for kick in _kicks(bench, time)]
    starts = [(seed, time) for time in times for seed in seeds]
    forks = [Fork(seed, bench.setting.step_at(time), kick) for seed, time, kick in cells]
    run = train(bench.model, bench.task, bench.recipe, seeds, forks, _observers(bench, starts, forks))

    parents = parent_rows(run.members)
    seen, followed = history(run.recorded("watch"), len(run.members)), dict(run.recorded("tangent"))
    far = history(run.recorded("distance"), len(cells))["distance"]
    at = {name: np.array([step for step, _ in run.recorded(name)]) for name in RARE}
    return {
        **_who(cells),
        "largest_difference": (run.theta[len(seeds) :] - run.theta[parents]).abs().amax(1).cpu().numpy(),
        "distance": far,
        "disagreement": seen["disagreement"][len(seeds) :],
        "barriers": history(run.recorded("barrier"), len(cells))["barrier"],
        "tangent_seed": np.array([seed for seed, _ in starts]),
        "tangent_time": np.array([time for _, time in starts]),
        "tangents": np.stack([followed[look] for look in at["distance"]], 1),
        **history(run.recorded("curvature"), len(seeds)),
        **{f"{name}_looks": looks for name, looks in at.items()},
    }


RARE = ("watch", "distance", "barrier", "curvature")  # what looks at the population now and then


def _observers(bench: Bench, starts: list[tuple[int, float]], forks: list[Fork]) -> list[Observer]:
    """Tangents, which take every update, and what looks at the population now and then."""
    task, recipe, seeds, steps = bench.task, bench.recipe, bench.seeds, bench.recipe.steps
    begun = [(seed, bench.setting.step_at(time)) for seed, time in starts]
    tangent = Tangent(task, recipe, seeds, begun, _directions(bench.model, starts).to(task.x))
    start, batches = bench.model.init(seeds).to(task.x), Minibatches(task, recipe.batch_size_at, recipe.augment, seeds)
    marks = {_mark(bench.setting, step) for _, step in begun}
    often = marks.union(root_looks(steps, bench["distance_looks"], forks))
    rare = [frozenset(root_looks(steps, bench[f"{name}_looks"])) for name in ("barrier", "sharpness")]
    return [
        Observer("tangent", tangent, frozenset(range(steps + 1))),
        Observer("distance", _distances, frozenset(often)),
        Observer("watch", lambda now: watch(now, start), frozenset(root_looks(steps, bench["looks"], forks))),
        Observer("barrier", lambda now: _barriers(now, bench["points"]), rare[0]),
        Observer("curvature", lambda now: _curvature(now, batches, bench), rare[1]),
    ]


def _mark(setting: Setting, kicked: int) -> int:
    """The update at which the first growth after a kick is measured."""
    return min(kicked + setting.step_at(WINDOW), setting.recipe.steps)


def _who(cells: list[tuple[int, float, Kick]]) -> Arrays:
    """Seed, time, kind and size of every twin."""
    return {
        "seed": np.array([seed for seed, _, _ in cells]),
        "time": np.array([time for _, time, _ in cells]),
        "kind": np.array([_label(kick) for _, _, kick in cells]),
        "size": np.array([kick.size for _, _, kick in cells]),
    }


def _kicks(bench: Bench, time: float) -> list[Kick]:
    """All kicks at one time; the first is the control, of size 0."""
    if time > 0:
        return [Kick(), Kick(size=bench["size"])]
    return [Kick(), Kick(kind="ulp"), *(Kick(size=size) for size in sorted({*bench["sizes"], bench["size"]}))]


def _label(kick: Kick) -> str:
    if kick.kind == "ulp":
        return "one ulp"
    return "gaussian" if kick.size else "control"


def _directions(model: Model, starts: list[tuple[int, float]]) -> torch.Tensor:
    """The direction of each seed's Gaussian kicks `[D, P]`, which is the same at all times and sizes."""
    origin = torch.zeros(model.layout.size)
    return torch.stack([displacement(model, origin, Kick(size=1.0), seed, None) for seed, _ in starts])


def _distances(now: Snapshot) -> dict[str, np.ndarray]:
    """L2 distance between each twin and its parent `[K]`."""
    parents = parent_rows(now.members)
    twins = now.theta[len(now.members) - len(parents) :]
    return {"distance": (twins - now.theta[parents]).norm(dim=1).cpu().numpy()}


def _barriers(now: Snapshot, points: int) -> dict[str, np.ndarray]:
    """Training barrier between each twin and its parent `[K]`, as the population is now."""
    parents = parent_rows(now.members)
    twins = now.theta[len(now.members) - len(parents) :]
    return {
        "barrier": barriers(
            now.model, now.theta[parents], twins, now.data.sample.x, now.data.sample.y, points
        ).of_loss.numpy()
    }


def _curvature(now: Snapshot, batches: Minibatches, bench: Bench) -> dict[str, np.ndarray]:
    """Both ends of the spectrum of the training loss, and batch sharpness of what comes, for each parent `[S]`."""
    theta, some = now.theta[: len(bench.seeds)], bench["sharpness_examples"]
    lowest, highest = extreme_eigenvalues(now.model, theta, now.data.sample.x[:some], now.data.sample.y[:some])
    coming = batch_sharpness(now.model, theta, batches, range(now.step, now.step + bench["sharpness_batches"]))
    return {"lowest": lowest.numpy(), "highest": highest.numpy(), "batch": coming.numpy()}


@study.shard
def grow(bench: Bench) -> Arrays:
    """Distance `[K, T]` of twins kicked at the start, and nothing else."""
    kicks = [Kick(), *(Kick(size=size) for size in bench["sizes"])]
    cells = [(seed, 0.0, kick) for seed in bench.seeds for kick in kicks]
    forks = [Fork(seed, 0, kick) for seed, _, kick in cells]
    often = frozenset(root_looks(bench.recipe.steps, bench["distance_looks"]))
    watching = [Observer("distance", _distances, often)]
    run = train(bench.model, bench.task, bench.recipe, bench.seeds, forks, watching)
    differs = (run.theta[len(bench.seeds) :] - run.theta[parent_rows(run.members)]).abs().amax(1).cpu().numpy()
    seen = history(run.recorded("distance"), len(cells))["distance"]
    return {**_who(cells), "largest_difference": differs, "distance": seen, "distance_looks": np.array(sorted(often))}


@study.shard
def kinks(bench: Bench) -> Arrays:
    """In float64, at every update: distance and flipped units of each twin `[K, T]`, growth of each tangent `[S, T]`.

    A flip is a unit that is on for an example of the coming minibatch in one of twin and parent, and off in the other.
    """
    task, recipe, seeds = bench.task.to(bench.task.x.device, torch.float64), bench.recipe, bench.seeds
    kicks = [Kick(), *(Kick(size=size) for size in bench["kink_sizes"])]
    cells = [(seed, 0.0, kick) for seed in seeds for kick in kicks]
    starts, every = [(seed, 0) for seed in seeds], frozenset(range(recipe.steps + 1))
    tangent = Tangent(task, recipe, seeds, starts, _directions(bench.model, starts).to(task.x))
    batches = Minibatches(task, recipe.batch_size_at, recipe.augment, seeds)
    watching = [
        Observer("tangent", tangent, every),
        Observer("distance", _distances, every),
        Observer("flips", lambda now: _flips(now, batches), every),
    ]
    run = train(bench.model, task, recipe, seeds, [Fork(seed, 0, kick) for seed, _, kick in cells], watching)
    found = {name: history(run.recorded(name), len(cells))[name] for name in ("distance", "flips")}
    return {**_who(cells), **found, "tangents": np.stack([growth for _, growth in run.recorded("tangent")], 1)}


def _flips(now: Snapshot, batches: Minibatches) -> dict[str, np.ndarray]:
    """Units times examples of the coming minibatch at which twin and parent are not both on or both off `[K]`."""
    parents = parent_rows(now.members)
    first, count = len(now.members) - len(parents), torch.zeros(len(parents), dtype=torch.long)
    family = torch.cat([torch.arange(first), parents])

    def see(name: str, h: torch.Tensor) -> None:
        on = h > 0
        count.add_((on[first:] != on[parents]).flatten(1).sum(1).cpu())

    with torch.no_grad():
        now.model.forward(now.model.layout.tensors(now.theta), batches.at(now.step).inputs(family), see=see)
    return {"flips": count.double().numpy()}


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `growth`, `answers` and `barriers` (twin and look), `tangents`, `curvature` (seed and look),
    `fits` and `shapes` (twin and clock), `late` (twin), `kinks` (twin) and `aligned` (seed and update)."""
    settings = params.networks | params.variants
    parts = {kind: [s for s in shards if s.compute is kind] for kind in (measure, grow, kinks)}
    whole = stacked(_of_shard(shard, settings[shard.of]) for shard in parts[measure])
    # Before its kick a twin does not exist; what is not finite later is kept, and voids the claims.
    tables = {name: table.query("step >= kicked") for name, table in whole.items()}
    more = [_distance(shard, settings[shard.of]) for shard in parts[grow]]
    tables["growth"] = pd.concat([tables["growth"], *more], ignore_index=True)
    tables["fits"] = fits(tables["growth"])
    flipped = pd.concat([_of_kinks(shard) for shard in parts[kinks]], ignore_index=True)
    tables["curvature"] = with_exponent(tables["curvature"], tables["tangents"])
    derived = {"shapes": excess(tables["fits"]), "late": late(tables["growth"], settings)}
    return tables | derived | {"kinks": first_flips(flipped), "aligned": aligned(flipped)}


def _distance(shard: Shard, setting: Setting) -> pd.DataFrame:
    """A row a twin and look: distance, and the learning rate summed so far."""
    twins = pd.DataFrame({name: shard[name] for name in ("seed", "time", "kind", "size", "largest_difference")})
    twins["setting"], twins["kicked"] = shard.of, [setting.step_at(time) for time in twins.time]
    table = long(twins, shard["distance_looks"], {"distance": shard["distance"]}, "step")
    return table.assign(summed_lr=summed(setting.recipe)[table.step])


def summed(recipe: Recipe) -> np.ndarray:
    """The learning rate summed over all updates before each `[steps + 1]`."""
    return np.cumsum([0.0, *(learning_rate(recipe, step) for step in range(recipe.steps))])


def _of_shard(shard: Shard, setting: Setting) -> dict[str, pd.DataFrame]:
    growth = _distance(shard, setting)
    twins = growth.drop_duplicates(["seed", "time", "kind", "size"]).drop(columns=["step", "distance", "summed_lr"])
    twins = twins.reset_index(drop=True)
    begun = pd.DataFrame({"setting": shard.of, "seed": shard["tangent_seed"], "time": shard["tangent_time"]})
    begun["kicked"] = [setting.step_at(time) for time in begun.time]
    seeds = pd.DataFrame({"setting": shard.of, "seed": shard.config["seeds"], "kicked": 0})
    curved = {name: shard[name] for name in ("lowest", "highest", "batch")}
    curvature = long(seeds, shard["curvature_looks"], curved, "step")
    # The last look is after the last update: it has the learning rate of that one.
    last = setting.recipe.steps - 1
    rates = [learning_rate(setting.recipe, min(step, last)) for step in curvature.step]
    return {
        "growth": growth,
        "answers": long(twins, shard["watch_looks"], {"disagreement": shard["disagreement"]}, "step"),
        "barriers": long(twins, shard["barrier_looks"], {"barrier": shard["barriers"]}, "step"),
        "tangents": long(begun, shard["distance_looks"], {"growth": shard["tangents"]}, "step"),
        "curvature": curvature.assign(lr=rates, momentum=setting.recipe.momentum, steps=setting.recipe.steps),
    }


def with_exponent(curvature: pd.DataFrame, tangents: pd.DataFrame) -> pd.DataFrame:
    """Curvature with what it predicts and what is found: by update, the growth along the most negative curvature, and
    that of the tangent from the start, over a twentieth of training about the look."""
    table = curvature.assign(
        predicted=growth_rate(curvature.lowest.to_numpy(), curvature.lr.to_numpy(), curvature.momentum.iloc[0])
    )
    lines = dict(list(tangents[tangents.time == 0].groupby(["setting", "seed"])))
    parts = []
    for key, looks in table.groupby(["setting", "seed"], sort=False):
        line, half = lines[key], looks.steps.iloc[0] / 40
        ends = [np.clip(looks.step + side * half, 0, looks.steps.iloc[0]) for side in (-1, 1)]
        low, high = (np.interp(end, line.step, line.growth) for end in ends)
        parts.append(looks.assign(exponent=(high - low) / (ends[1] - ends[0])))
    return pd.concat(parts, ignore_index=True)


def late(growth: pd.DataFrame, settings: Mapping[str, Setting]) -> pd.DataFrame:
    """Growth of the distance after kicks of the common size, at each kick time: to the end of training as a factor, and
    within a twentieth of training after the kick (natural logarithm), whole and by unit of summed learning rate."""
    common = growth[(growth.kind == "gaussian") & growth["size"].isin(growth[growth.time > 0]["size"].unique())]
    rows = []
    for key, twin in common.groupby(["setting", "seed", "time", "size"], sort=False):
        if (twin.time == 0).all() and key[0] in (NORMALISED, LONGER):
            continue
        first, last = twin.iloc[0], twin.iloc[-1]
        soon = twin[twin.step == _mark(settings[key[0]], int(first.kicked))].iloc[0]
        grown = np.log(soon.distance / first.distance)
        rate = grown / (soon.summed_lr - first.summed_lr)
        rows.append((*key, last.distance / first.distance, last.summed_lr - first.summed_lr, grown, rate))
    return pd.DataFrame(rows, columns=["setting", "seed", "time", "size", "factor", "summed_lr", "grown", "rate"])


# --- twins and their tangents ----------------------------------------------------------------------------------------


def departure(arm: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How much more each twin kicked at the start has grown than its tangent, as a power of ten, at every look."""
    twins = arm["growth"][(arm["growth"].time == 0) & (arm["growth"].kind == "gaussian")]
    first = twins.groupby(["seed", "size"]).distance.transform("first")
    twins = twins.assign(grown=np.log(twins.distance / first))
    merged = twins.merge(arm["tangents"][["seed", "time", "step", "growth"]], on=["seed", "time", "step"])
    return merged.assign(excess=(merged.grown - merged.growth) / np.log(10))


def growth_left(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """For each seed and kick time: the tangent's growth to the end, and the barrier at the end of the twin."""
    twins, tangents = (_at_end(tables[name]) for name in ("barriers", "tangents"))
    twins = twins[twins.kind == "gaussian"]
    common = twins[twins["size"].isin(twins[twins.time > 0]["size"].unique())]
    columns = ["setting", "seed", "time", "size", "barrier", "growth"]
    return common.merge(tangents, on=["setting", "seed", "time"])[columns]


def _at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The last look of each setting."""
    return table[table.step == table.groupby("setting").step.transform("max")]


def _of_kinks(shard: Shard) -> pd.DataFrame:
    """A row a twin and update: flips, and how much more it has grown than its tangent, as a power of ten."""
    twins = pd.DataFrame({name: shard[name] for name in ("seed", "kind", "size")}).assign(setting=shard.of)
    updates = np.arange(shard["distance"].shape[1])
    table = long(twins, updates, {name: shard[name] for name in ("distance", "flips")}, "step")
    place = {seed: row for row, seed in enumerate(shard.config["seeds"])}
    tangent = shard["tangents"][table.seed.map(place), table.step]
    first = np.repeat(shard["distance"][:, 0], len(updates))
    with np.errstate(divide="ignore", invalid="ignore"):  # controls have no distance
        grown = np.log(table.distance / first)
    return table.assign(excess=(grown - tangent) / np.log(10))


def first_flips(flipped: pd.DataFrame) -> pd.DataFrame:
    """For each twin: the update whose minibatch first has a flip, and that after which the twin has left its tangent.

    Updates are counted from 1, `watched` of them, and NaN where there was none. `after` is the departure from the
    tangent some updates after that with the flip, a power of ten; `moved` is the distance that a control ends at.
    """
    rows = []
    for key, twin in flipped.groupby(["setting", "seed", "kind", "size"], sort=False):
        flips, excess = twin.flips.to_numpy()[:-1] > 0, np.abs(twin.excess.to_numpy())
        left, last = excess > np.log10(TAKEOFF), len(flips)
        flip = int(flips.argmax()) + 1 if flips.any() else np.nan
        takeoff = int(left.argmax()) if left.any() else np.nan
        after = twin.excess.iloc[flip + AFTER] if flips.any() and flip + AFTER <= last else np.nan
        rows.append((*key, last, flip, takeoff, after, twin.distance.max()))
    columns = ["setting", "seed", "kind", "size", "watched", "flip", "takeoff", "after", "moved"]
    return pd.DataFrame(rows, columns=columns)


def aligned(flipped: pd.DataFrame) -> pd.DataFrame:
    """Departure from the tangent, a power of ten, against updates since the first flip: mean over the twins of a seed
    and setting, where the flip is neither in the first update nor too late."""
    kicked = flipped[flipped.kind != "control"]
    twins = first_flips(kicked)[["setting", "seed", "size", "flip", "watched"]]
    twins = twins[(twins.flip > 1) & (twins.flip + 2 * AFTER <= twins.watched)]
    table = kicked.merge(twins, on=["setting", "seed", "size"])
    table["since"] = table.step - table.flip
    table = table[table.since.between(-AFTER, 2 * AFTER)]
    return table.groupby(["setting", "seed", "since"], sort=False).excess.mean().reset_index()


# --- claims: the shape of growth -------------------------------------------------------------------------------------


def _arm(t: Tables, network: str = "setting") -> Tables:
    """The tables of one network: of that with kinks, or of the `smooth` one."""
    return t.at("setting", getattr(t.params, network))


def _lost(t: Tables, place: str) -> str:
    return broken(_at_end(t["growth"][t["growth"].setting == place]), ["distance"])


@study.unless
def lost_twins(t: Tables) -> str:
    """Claims are void where control twins of their network differ from their parents, or a twin is lost."""
    return _lost(t, t.params.setting)


def lost_smooth(t: Tables) -> str:
    """Claims are void where control twins of the smooth network differ from their parents, or a twin is lost."""
    return _lost(t, t.params.smooth)


KICKS = {  # of the start: the words for their sizes, and how to tell them in a table
    "one ulp of one weight": "kind == 'one ulp'",
    "{params.smallest:g}": "kind == 'gaussian' and size == @params.smallest",
    "{size:g}": "kind == 'gaussian' and size == @params.size",
    (LARGEST := "{params.largest:g}"): "kind == 'gaussian' and size == @params.largest",
}
NETWORKS = {"ReLU units": "setting", "smooth units": "smooth"}
SHAPE = "Akaike's criterion a look, exponential minus the better of power law and logistic, before saturation"
# The authors kicked by 1e-8 to 1e-6 at the start: of ours only the smallest Gaussian kick is one of theirs.
SECOND_HAND = "second hand: notes on its growth curves after kicks of 1e-8 to 1e-6; before saturation is ours"
SMOOTH = "{params.smoothed.data}, {params.smoothed.model}"
NORMED = "{params.smoothed.data}, the same with normalisation"


def shapes_reach(t: Tables) -> tuple[float, float]:
    """An exponential is at best cheaper by the one parameter that a logistic curve has more."""
    return -2 / min(t["shapes"].looks, default=FEWEST), np.inf


# By 40 looks, about as many as the larger kicks have here, 0.1 a look is 4 in Akaike's criterion: what leaves the worse
# model considerably less support. Planted: 0.5 a look more, which leaves it essentially none.
BETTER, WORTH = 0.1, 0.5


def _not_exponential(id: str, units: str, clock: str, kick: str, variant: str = "", **options: Any) -> str:
    """Declare that another shape than an exponential describes the growth after one kick at the start of one network,
    on one clock."""

    def twins(t: Tables, table: str) -> pd.DataFrame:
        params = t.params  # the query of the kick names it
        place = variant or getattr(params, NETWORKS[units])
        return t[table][t[table].setting == place].query(KICKS[kick], local_dict={"params": params})

    def early(t: Tables) -> pd.DataFrame:
        return twins(t, "shapes").query("clock == @clock", local_dict={"clock": clock})

    def why(t: Tables) -> str:
        place = variant or getattr(t.params, NETWORKS[units])
        all, fitted = twins(t, "growth").query("time == 0").seed.nunique(), early(t)
        short = f"{len(fitted)} of {all} twins have {FEWEST} looks before they saturate"
        few = short if len(fitted) < 0.8 * all else ""
        unfit = f"no shape fits: the best leaves {MISFIT:g} or more" if fitted.misfit.median() >= MISFIT else ""
        return "; ".join(filter(None, (_lost(t, place), few, unfit)))

    why.__doc__ = (
        "Claims are void where control twins of their network differ from their parents, a twin is lost, fewer than "
        f"four in five twins have {FEWEST} looks before they saturate, or no shape fits: the best leaves {MISFIT:g} of "
        "the natural logarithm (root mean square) or more, in the median of the twins."
    )
    text = (
        f"With {units}{variant and f' ({variant})'}, a power law or a logistic curve in {clock} describes the distance "
        f"between twins after a kick of {kick}, before it saturates, better than an exponential"
    )
    options |= {"by": f"{SHAPE}, on {clock}", "region": above(BETTER), "margin": WORTH, "reach": shapes_reach}
    study.claim(id, text, figure="b", unless=why, **options)(
        lambda t: intervals.mean(early(t).set_index("seed").excess, shapes_reach(t))
    )
    return id


TOLD = {"origin": Origin.PAPER, "place": SECOND_HAND}
# All kicks, on both clocks, for both networks; then what else may decide, for the largest kick. They are bound to
# names, since a bare call in a module would count as code that every computation of it reaches.
OF_KICKS = [
    _not_exponential(id, units, clock, kick, **options, **(TOLD if id == "B15b" else {}))
    for letters, (units, clock, options) in zip(
        (["", "b", "c", "d"], "efgh", "ijkl", "mnop"),
        (
            ("ReLU units", "updates", {}),
            ("ReLU units", "summed learning rate", {}),
            ("smooth units", "updates", {"scope": SMOOTH}),
            ("smooth units", "summed learning rate", {"scope": SMOOTH}),
        ),
        strict=True,
    )
    for id, kick in zip((f"B15{letter}" for letter in letters), KICKS, strict=True)
]
OF_NORMALISED = _not_exponential("B15q", "ReLU units", "updates", LARGEST, NORMALISED, scope=NORMED)
OF_LONGER = _not_exponential("B15r", "ReLU units", "updates", LARGEST, LONGER)


# --- claims: twins and tangents --------------------------------------------------------------------------------------


def _departure(arm: Tables) -> Interval:
    """How far kicks of the common size have left their tangents, at the look that is nearest to the early time."""
    twins = departure(arm)
    steps = twins.step.unique()
    look = steps[np.abs(steps - EARLY / 100 * twins.step.max()).argmin()]
    return intervals.mean(twins[(twins["size"] == arm.params.size) & (twins.step == look)].set_index("seed").excess)


DEPARTURE = f"growth of a kick of {{size:g}} over that of its tangent, power of ten, after {EARLY:g} % of training"


# Planted: a factor of ten over the whole of training, the least that one would call chaos.
@study.claim(
    "X04", by="growth of a tangent from start to end, in factors of e", region=above(0.0), figure="ad", margin=2.3
)
def unstable(t: Tables) -> Interval:
    """Infinitely small differences grow too: the Lyapunov exponent of the whole training is positive."""
    return intervals.mean(_at_end(_arm(t)["tangents"]).query("time == 0").growth)


@study.claim("X05", by=DEPARTURE, region=above(1.0), figure="a")
def off_the_tangent(t: Tables) -> Interval:
    """With ReLU a small kick outgrows the linearised training more than tenfold."""
    return _departure(_arm(t))


@study.claim("X06", by=DEPARTURE, region=between(-0.1, 0.1), figure="a", scope=SMOOTH, unless=lost_smooth)
def on_the_tangent(t: Tables) -> Interval:
    """With a smooth activation function it grows as the linearised training says."""
    return _departure(_arm(t, "smooth"))


# --- claims: first flips ---------------------------------------------------------------------------------------------


FINEST = 2  # sizes of kicks, the smallest: larger ones flip at once, while the learning rate is next to nothing


def _flipped(t: Tables, network: str) -> pd.DataFrame:
    table = t["kinks"][t["kinks"].setting == getattr(t.params, network)]
    return table[table.kind != "control"]


def _finest(t: Tables) -> pd.DataFrame:
    table = _flipped(t, "setting")
    return table[table["size"].isin(t.params.kink_sizes[:FINEST])]


def _unflipped(t: Tables, network: str, twins: pd.DataFrame) -> str:
    table = t["kinks"][t["kinks"].setting == getattr(t.params, network)]
    if (table[table.kind == "control"].moved != 0).any():
        return "control twins differ from their parents"
    share = twins.flip.notna().mean()
    return "" if share >= 0.5 else f"only {share:.0%} of twins had a flip while they were watched"


def unflipped(t: Tables) -> str:
    """Claims are void where control twins differ from their parents, or fewer than half of all twins had a flip."""
    return _unflipped(t, "setting", _flipped(t, "setting"))


def unflipped_finest(t: Tables) -> str:
    """Claims are void where control twins differ from their parents, or fewer than half of the twins of the two
    smallest sizes had a flip."""
    return _unflipped(t, "setting", _finest(t))


def unflipped_smooth(t: Tables) -> str:
    """Claims are void where smooth control twins differ from their parents, or fewer than half had a flip."""
    return _unflipped(t, "smooth", _flipped(t, "smooth"))


def _after(t: Tables, network: str) -> Interval:
    return intervals.mean(_flipped(t, network).dropna(subset="after").groupby("seed").after.mean())


LEAVES = (
    f"updates of leaving the tangent {TAKEOFF:g}-fold and of the first flip, later over earlier, two smallest kicks"
)


# Were a twin to leave before its first flip, which none can, that would tell against the claim too: so the later of the
# two is over the earlier. Planted halfway to the bound.
@study.claim(
    "X62", by=LEAVES, region=below(1.25), figure="f", unless=unflipped_finest, reach=(1.0, np.inf), margin=1.25**0.5
)
def leaves_at_the_first_flip(t: Tables) -> Interval:
    """A ReLU twin kicked by very little leaves its tangent when the first unit switches for an example of a minibatch
    in one of the two."""
    twins = _finest(t).dropna(subset=["flip", "takeoff"], how="all")
    # What had not happened when watching ended happens later, if at all.
    apart = np.log(twins.takeoff.fillna(twins.watched) / twins.flip.fillna(twins.watched)).abs()
    later = apart.where(twins[["flip", "takeoff"]].notna().all(axis=1), np.inf)
    sides = [np.exp(side.groupby(twins.seed).mean()) for side in (apart, later)]
    found = intervals.between_bounds(*sides)
    return replace(found, low=max(found.low, 1.0))


@study.claim(
    "X62c",
    by="rank correlation over seeds of the updates of first flip and of leaving, mean over sizes of kicks (partly "
    "built in: no twin leaves before its flip)",
    region=above(0.5), figure="f", unless=unflipped,
)  # fmt: skip
def later_flips_later_leaves(t: Tables) -> Interval:
    """Among ReLU twins kicked alike, those whose first flip comes later by chance leave their tangents later."""
    tables = [_flipped(t, "setting").pivot_table(name, "seed", "size") for name in ("flip", "takeoff")]
    flip, takeoff = (table.dropna().to_numpy() for table in pd.DataFrame.align(*tables, join="inner"))
    if len(flip) != len(takeoff) or len(flip) < 8:
        return intervals.nothing(intervals.CORRELATION)

    def measure(rows: np.ndarray) -> float:
        ranks = [stats.rankdata(table[rows], axis=0) for table in (flip, takeoff)]
        centred = [(own - own.mean(0)) / own.std(0) for own in ranks]
        return float((centred[0] * centred[1]).mean())

    with np.errstate(invalid="ignore"):
        return intervals.resampled(measure, len(flip), reach=intervals.CORRELATION)


JUMP = f"growth over that of the tangent, power of ten, {AFTER} updates after the first flip"


# A factor of 3: more than the twofold departure by which leaving is told.
@study.claim("X62b", by=JUMP, region=above(0.5), figure="f", unless=unflipped)
def jumps_after_the_first_flip(t: Tables) -> Interval:
    """With ReLU, the first flip is followed by a jump: soon the twin has outgrown its tangent threefold."""
    return _after(t, "setting")


@study.claim("X63", by=JUMP, region=between(-0.1, 0.1), figure="f", scope=SMOOTH, unless=unflipped_smooth)
def smooth_twins_pass_flips(t: Tables) -> Interval:
    """With smooth units, twins stay on their tangents when a unit changes sign for an example."""
    return _after(t, "smooth")


# --- claims: curvature -----------------------------------------------------------------------------------------------


def _chaotic(t: Tables, network: str) -> pd.DataFrame:
    table = _arm(t, network)["curvature"]
    low, high = (part / 100 * table.steps for part in CHAOTIC)
    return table[table.step.between(low, high)]


def _relative(t: Tables, network: str, column: str, sign: int) -> Interval:
    """A sharpness over its limit, 2 (1 + sign momentum) / lr; geometric mean over looks, then over seeds."""
    table = _chaotic(t, network)
    over = table[column] * table.lr / (2 * (1 + sign * table.momentum))
    # Batch sharpness that is not positive is below any limit, but has no logarithm.
    return intervals.geometric_mean(np.exp(np.log(over.clip(lower=1e-6)).groupby(table.seed).mean()), floor=1e-5)


PHASE = f"from {CHAOTIC[0]:g} to {CHAOTIC[1]:g} % of training"
FULL = f"sharpness of the training loss over 2 (1 + momentum) / learning rate, {PHASE}"
SMALL = f"batch sharpness over 2 (1 - momentum) / learning rate, {PHASE}"
ANDREYEV = "Andreyev and Beneventano 2024 (arXiv 2412.20553)"


@study.claim("X07", by=FULL, region=below(1.0), figure="d")
def below_the_edge(t: Tables) -> Interval:
    """While training is chaotic, the sharpness stays below the limit of full-batch gradient descent with momentum."""
    return _relative(t, "setting", "highest", +1)


# The rate falls all the while, so "at the limit" is taken within a factor of 1.5.
EDGE = between(1 / 1.5, 1.5)


@study.claim("X60", by=SMALL, region=EDGE, figure="d", origin=Origin.OTHER, source=ANDREYEV)
def batches_at_their_edge(t: Tables) -> Interval:
    """While training is chaotic, the sharpness of minibatches along their gradients is at the limit for momentum."""
    return _relative(t, "setting", "batch", -1)


@study.claim("X60b", by=SMALL, region=EDGE, figure="d", origin=Origin.OTHER, source=ANDREYEV, scope=SMOOTH,
             unless=lost_smooth)  # fmt: skip
def smooth_batches_at_their_edge(t: Tables) -> Interval:
    """With smooth units, while training is chaotic, the sharpness of minibatches along their gradients is at the limit
    for momentum."""
    return _relative(t, "smooth", "batch", -1)


RATE = f"growth of the tangent by update over that along the most negative curvature, {PHASE}"


def _over_predicted(t: Tables, network: str) -> Interval:
    table = _chaotic(t, network).groupby("seed")[["exponent", "predicted"]].mean()
    return intervals.ratio(table.exponent.clip(lower=0.0), table.predicted, floor=1e-5)


@study.claim("X61", by=RATE, region=between(0.5, 2.0), figure="d")
def as_fast_as_the_lowest_curvature(t: Tables) -> Interval:
    """Infinitely small kicks grow about as fast as the most negative curvature of the training loss would make them."""
    return _over_predicted(t, "setting")


@study.claim("X61b", by=RATE, region=between(0.5, 2.0), figure="d", scope=SMOOTH, unless=lost_smooth)
def smooth_as_fast_as_the_lowest_curvature(t: Tables) -> Interval:
    """With smooth units, infinitely small kicks grow about as fast as the most negative curvature of the training loss
    would make them."""
    return _over_predicted(t, "smooth")


TRACKS = (
    f"correlation of the two rates, each over the learning rate, over looks from {CHAOTIC[0]:g} to {FALLING:g} % of "
    "training, mean over seeds"
)


def _tracks(t: Tables, network: str) -> Interval:
    """How the growth of the tangent follows the rate along the most negative curvature, in the course of each run.

    Both are proportional to the learning rate, which falls all the while: what they share beyond it is asked.
    """
    table = _arm(t, network)["curvature"]
    looks = table[table.step.between(*(part / 100 * table.steps for part in (CHAOTIC[0], FALLING)))]
    rates = looks.assign(found=looks.exponent / looks.lr, expected=looks.predicted / looks.lr)
    return intervals.correlation([run.found.corr(run.expected) for _, run in rates.groupby("seed")])


@study.claim("X61c", by=TRACKS, region=above(0.5), figure="d")
def follows_the_lowest_curvature(t: Tables) -> Interval:
    """In the course of training, infinitely small kicks grow faster by unit of learning rate when the most negative
    curvature would make them grow faster."""
    return _tracks(t, "setting")


@study.claim("X61d", by=TRACKS, region=above(0.5), figure="d", scope=SMOOTH, unless=lost_smooth)
def smooth_follows_the_lowest_curvature(t: Tables) -> Interval:
    """With smooth units, in the course of training, infinitely small kicks grow faster by unit of learning rate when
    the most negative curvature would make them grow faster."""
    return _tracks(t, "smooth")


# --- claims: late kicks ----------------------------------------------------------------------------------------------


def _after_kick(t: Tables, network: str, time: float) -> pd.DataFrame:
    table = _arm(t, network)["late"]
    return table[table.time == time].set_index("seed")


def _still_grows(id: str, units: str, network: str, time: float) -> str:
    """Declare that the distance still grows after a kick at that time."""

    def why(t: Tables) -> str:
        there = "" if time in t.params.kick_times else f"nothing was kicked at {time:g} %"
        return there or _lost(t, getattr(t.params, network))

    why.__doc__ = (
        f"Claims are void where nothing was kicked at {time:g} %, control twins of their network differ from their "
        "parents, or a twin is lost."
    )
    text = f"With {units}, a kick of {{size:g}} at {time:g} % of training still grows more than twofold"
    options = {"scope": SMOOTH} if network == "smooth" else {}
    # Twofold: less would hardly be told from a kick that just stays.
    options |= {"by": "distance at the end over that after the kick", "region": above(2.0), "figure": "g"}
    study.claim(id, text, unless=why, **options)(
        lambda t: intervals.geometric_mean(_after_kick(t, network, time).factor)
    )
    return id


OF_LATE_KICKS = [
    _still_grows(family + letter, units, network, time)
    for family, (units, network) in zip(("X64", "X65"), NETWORKS.items(), strict=True)
    for letter, time in zip(("", "b", "c", "d"), (10.0, 25.0, 50.0, 80.0), strict=True)
]
FIRST = f"in the first {WINDOW:g} % of training after a kick, last kick time minus first late one"
SLOWER = f"growth rate by unit of summed learning rate {FIRST}"
LESS = f"growth {FIRST}, in factors of e"


def _slower(t: Tables, network: str, column: str = "rate") -> Interval:
    last, first = (_after_kick(t, network, time)[column] for time in (t.params.kick_times[-1], t.params.kick_times[1]))
    return intervals.mean(last - first)


# Planted: 0.5 a unit of learning rate, a factor of e in about 14 updates at the highest rate of these settings.
@study.claim("X66", by=SLOWER, region=below(0.0), figure="g", margin=0.5)
def late_kicks_grow_slower(t: Tables) -> Interval:
    """By unit of learning rate, ReLU twins kicked late part more slowly than those kicked early."""
    return _slower(t, "setting")


@study.claim("X66b", by=SLOWER, region=below(0.0), figure="g", margin=0.5, scope=SMOOTH, unless=lost_smooth)
def smooth_late_kicks_grow_slower(t: Tables) -> Interval:
    """By unit of learning rate, smooth twins kicked late part more slowly than those kicked early."""
    return _slower(t, "smooth")


# A ReLU twin jumps at its first flip, once: over a learning rate that has shrunk by then, even a smaller jump is a
# higher rate. In equally many updates there is nothing to divide by. Planted: a factor of e.
@study.claim("X66c", by=LESS, region=below(0.0), figure="g", margin=1.0)
def late_kicks_grow_less(t: Tables) -> Interval:
    """In equally many updates, ReLU twins kicked late part less than those kicked early."""
    return _slower(t, "setting", "grown")
