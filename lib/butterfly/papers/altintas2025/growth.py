"""Notebook 03: how a small difference grows, and why it stops growing.

Twins kicked at the start and later are watched while they train. Beside them run tangents: the same kicks, infinitely
small, carried along by the derivative of the training map. Where twins follow their tangent, growth is that of a linear
instability; where they leave it, something else made them part. A ReLU network and a smooth one are compared.
"""

from collections.abc import Mapping
from functools import partial
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from butterfly.batches import Minibatches
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.twins import history, root_looks, watch
from butterfly.perturb import Kick, displacement
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Setting, Shard, Study, Tables, Times, intervals
from butterfly.study.claims import above, between, broken
from butterfly.study.parameters import check_times, rising_sizes, rising_times
from butterfly.study.tables import long, stacked
from butterfly.tangent import Tangent, sharpness
from butterfly.train import Fork, Observer, Snapshot, learning_rate, parent_rows, train

SHAPES = ("exponential", "power law", "saturating")
SATURATED = 0.1  # of the distance at the end: below it a twin has not saturated
EARLY = 10.0  # percent of training at which twins are held against their tangents


class Params(OneModel):
    """Parameters of notebook 03; times are in percent of the training steps."""

    setting: str = "mnist1d"
    smooth: str = "mnist1d-gelu"  # the same network with a smooth activation function
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    sizes: tuple[float, ...] = (1e-6, 1e-2)  # of kicks at the start, beside one ulp
    kick_times: Times = (0.0, 25.0, 50.0)
    size: float = Field(1e-4, gt=0)  # of kicks at all of these times
    looks: int = Field(16, ge=5)  # how often distance, disagreement and tangents are recorded
    barrier_looks: int = Field(4, ge=2)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    sharpness_looks: int = Field(4, ge=2)
    sharpness_examples: int = Field(200, ge=10)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        rising_sizes("sizes", self.sizes)
        if not self.sizes or self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError("give at least one of sizes, and kick_times that begin at 0 and go on")
        kinked = self.chosen(self.setting, self.steps)
        if kinked.identity == self.smoothed.identity:
            raise ValueError("setting and smooth are the same; name two settings")
        for name, recipe in ((self.setting, kinked.recipe), (self.smooth, self.smoothed.recipe)):
            if recipe.optimizer != "sgd" or recipe.dropout:
                raise ValueError(f"'{name}': tangents are defined for SGD only, and without dropout")
        return self

    @property
    def smoothed(self) -> Setting:
        """The setting of the smooth network."""
        return self.beside(self.setting, self.smooth, self.steps)

    @property
    def networks(self) -> dict[str, Setting]:
        """The network with kinks and the smooth one, by the names of their settings."""
        return {self.setting: self.chosen(self.setting, self.steps), self.smooth: self.smoothed}


study = Study("03_growth", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of the network with kinks, and of the smooth one."""
    shards = []
    for name, setting in params.networks.items():
        check_times(setting, params.kick_times)
        shards += study.every_few(params, setting, leave=["smooth"], of=name)
    return shards


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
    watched, followed = run.recorded("watch"), dict(run.recorded("tangent"))
    seen, looks = history(watched, len(run.members)), [step for step, _ in watched]
    return {
        "seed": np.array([seed for seed, _, _ in cells]),
        "time": np.array([time for _, time, _ in cells]),
        "kind": np.array([_label(kick) for _, _, kick in cells]),
        "size": np.array([kick.size for _, _, kick in cells]),
        "largest_difference": (run.theta[len(seeds) :] - run.theta[parents]).abs().amax(1).cpu().numpy(),
        "looks": np.array(looks),
        **{name: seen[name][len(seeds) :] for name in ("distance", "disagreement")},
        "travelled": seen["travelled"][parents.numpy()],
        "barriers": history(run.recorded("barrier"), len(cells))["barrier"],
        "tangent_seed": np.array([seed for seed, _ in starts]),
        "tangent_time": np.array([time for _, time in starts]),
        "tangents": np.stack([followed[look] for look in looks], 1),
        **history(run.recorded("sharpness"), len(seeds)),
        **{f"{name}_looks": np.array([step for step, _ in run.recorded(name)]) for name in ("barrier", "sharpness")},
    }


def _observers(bench: Bench, starts: list[tuple[int, float]], forks: list[Fork]) -> list[Observer]:
    """Tangents, which take every update, and what looks at the population now and then."""
    task, recipe, seeds = bench.task, bench.recipe, bench.seeds
    begun = [(seed, bench.setting.step_at(time)) for seed, time in starts]
    tangent = Tangent(task, recipe, seeds, begun, _directions(bench.model, starts).to(task.x))
    start, batches = bench.model.init(seeds).to(task.x), Minibatches(task, recipe.batch_size_at, recipe.augment, seeds)
    rare = {name: frozenset(root_looks(recipe.steps, bench[f"{name}_looks"])) for name in ("barrier", "sharpness")}
    return [
        Observer("tangent", tangent, frozenset(range(recipe.steps + 1))),
        Observer("watch", lambda now: watch(now, start), frozenset(root_looks(recipe.steps, bench["looks"], forks))),
        Observer("barrier", lambda now: _barriers(now, bench["points"]), rare["barrier"]),
        Observer("sharpness", lambda now: _sharpness(now, batches, bench["sharpness_examples"]), rare["sharpness"]),
    ]


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


def _barriers(now: Snapshot, points: int) -> dict[str, np.ndarray]:
    """Training barrier between each twin and its parent `[K]`, as the population is now."""
    parents = parent_rows(now.members)
    twins = now.theta[len(now.members) - len(parents) :]
    return {"barrier": barriers(now.model, now.theta[parents], twins, now.data.x, now.data.y, points).of_loss.numpy()}


def _sharpness(now: Snapshot, batches: Minibatches, examples: int) -> dict[str, np.ndarray]:
    """Sharpness of the training loss and of the loss of the minibatch that comes, for each parent `[S]`."""
    batch = batches.at(now.step)
    theta = now.theta[: len(batch.x)]
    own = [sharpness(now.model, theta[[s]], batch.x[s], batch.target[s]) for s in range(len(theta))]
    whole = sharpness(now.model, theta, now.data.x[:examples], now.data.y[:examples])
    return {"sharpness": whole.numpy(), "batch_sharpness": torch.cat(own).numpy()}


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `growth` and `barriers` (twin and look), `tangents`, `sharpness` (seed and look), and `fits`."""
    whole = stacked(_of_shard(shard, params.networks[shard.of]) for shard in shards)
    # Before its kick a twin does not exist; what is not finite later is kept, and voids the claims.
    tables = {name: table.query("step >= kicked") for name, table in whole.items()}
    return tables | {"fits": fits(tables["growth"])}


def _of_shard(shard: Shard, setting: Setting) -> dict[str, pd.DataFrame]:
    twins = pd.DataFrame({name: shard[name] for name in ("seed", "time", "kind", "size", "largest_difference")})
    twins["setting"], twins["kicked"] = shard.of, [setting.step_at(time) for time in twins.time]
    begun = pd.DataFrame({"setting": shard.of, "seed": shard["tangent_seed"], "time": shard["tangent_time"]})
    begun["kicked"] = [setting.step_at(time) for time in begun.time]
    seeds = pd.DataFrame({"setting": shard.of, "seed": shard.config["seeds"], "kicked": 0})
    seen = {name: shard[name] for name in ("distance", "disagreement", "travelled")}
    curved = {name: shard[name] for name in ("sharpness", "batch_sharpness")}
    curvature = long(seeds, shard["sharpness_looks"], curved, "step")
    # The last look is after the last update: it has the learning rate of that one.
    last = setting.recipe.steps - 1
    rates = [learning_rate(setting.recipe, min(step, last)) for step in curvature.step]
    return {
        "growth": long(twins, shard["looks"], seen, "step"),
        "barriers": long(twins, shard["barrier_looks"], {"barrier": shard["barriers"]}, "step"),
        "tangents": long(begun, shard["looks"], {"growth": shard["tangents"]}, "step"),
        "sharpness": curvature.assign(lr=rates, steps=setting.recipe.steps),
    }


# --- shapes of growth ------------------------------------------------------------------------------------------------


def fits(growth: pd.DataFrame) -> pd.DataFrame:
    """Akaike's criterion a look of each shape of growth, for each twin kicked at the start (lower is better).

    Fitted to the whole run, and to the part before saturation: while the distance is below a tenth of that at the end.
    A twin that saturates within five looks has no such part.
    """
    kicked = growth[(growth.time == 0) & (growth.kind != "control") & (growth.step > 0) & (growth.distance > 0)]
    rows = []
    for key, twin in kicked.groupby(["setting", "seed", "kind", "size"], sort=False):
        small = (twin.distance < SATURATED * twin.distance.iloc[-1]).cummin()
        for part, looks in (("whole run", twin), ("before saturation", twin[small])):
            if len(looks) >= 5:
                criteria = shapes(looks.step.to_numpy(float), np.log(looks.distance.to_numpy()))
                rows += [(*key, part, shape, value) for shape, value in criteria.items()]
    return pd.DataFrame(rows, columns=["setting", "seed", "kind", "size", "part", "shape", "criterion"])


def shapes(step: np.ndarray, log_distance: np.ndarray) -> dict[str, float]:
    """Akaike's criterion, divided by the number of looks, of three shapes of growth, errors alike on the log scale.

    Exponential d = a exp(b step); power law d = a step^b; saturating (logistic) d = a / (1 + exp(-(step - b) / c)).
    """
    lines = [_residuals_of_line(axis, log_distance) for axis in (step, np.log(step))]
    residuals = [*lines, _residuals_of_logistic(step, log_distance)]
    return {shape: _criterion(rest, p) for shape, rest, p in zip(SHAPES, residuals, (2, 2, 3), strict=True)}


def _criterion(residuals: np.ndarray, parameters: int) -> float:
    # The variance of the errors is one more parameter.
    return float(np.log((residuals**2).mean() + 1e-12) + 2 * (parameters + 1) / len(residuals))


def _residuals_of_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    slope, intercept = np.polyfit(x, y, 1)
    return y - intercept - slope * x


def _residuals_of_logistic(step: np.ndarray, log_distance: np.ndarray) -> np.ndarray:
    """Best of a grid of midpoints and widths; the height that goes with each is a mean."""
    middle = np.linspace(-0.5, 1.0, 76)[:, None, None] * step.max()
    width = np.geomspace(1e-3, 1.0, 61)[:, None] * step.max()
    rest = log_distance + np.logaddexp(0.0, -(step - middle) / width)  # [middles, widths, looks]
    rest -= rest.mean(-1, keepdims=True)
    best = (rest**2).mean(-1).argmin()
    return rest.reshape(-1, len(step))[best]


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
    return table[table.step == table.step.max()]


# --- claims ----------------------------------------------------------------------------------------------------------


def _arm(t: Tables, network: str = "setting") -> Tables:
    """The tables of one network: of that with kinks, or of the `smooth` one."""
    return t.at("setting", getattr(t.params, network))


@study.unless
def lost_twins(t: Tables, network: str = "setting") -> str:
    """Claims are void where control twins of their network differ from their parents, or a twin is lost."""
    return broken(_at_end(_arm(t, network)["growth"]), ["distance"])


lost_smooth = partial(lost_twins, network="smooth")


def _departure(arm: Tables) -> Interval:
    """How far kicks of the common size have left their tangents, at the look that is nearest to the early time."""
    twins = departure(arm)
    steps = twins.step.unique()
    look = steps[np.abs(steps - EARLY / 100 * twins.step.max()).argmin()]
    return intervals.mean(twins[(twins["size"] == arm.params.size) & (twins.step == look)].set_index("seed").excess)


SHAPE = "Akaike's criterion a look, exponential minus the better of power law and logistic, before saturation"
DEPARTURE = f"growth of a kick of {{size:g}} over that of its tangent, power of ten, after {EARLY:g} % of training"
SMOOTH = "{params.smoothed.data}, {params.smoothed.model}"
SECOND_HAND = "second hand: summaries of the paper"


@study.claim("B15", by=SHAPE, region=above(0.0), origin=Origin.PAPER, place=SECOND_HAND, figure="b")
def not_exponential(t: Tables) -> Interval:
    """Even before it saturates, the distance between twins does not grow exponentially."""
    # Any bounded curve departs from an exponential in the end; the claim is about the growth before.
    early = _arm(t)["fits"].query("part == 'before saturation'")
    table = early.pivot_table("criterion", ["seed", "kind", "size"], "shape").reindex(columns=SHAPES)
    excess = table.exponential - table.drop(columns="exponential").min(axis=1)
    return intervals.mean(excess.groupby("seed").mean())


@study.claim("X04", by="growth of a tangent from start to end, in factors of e", region=above(0.0), figure="ad")
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


@study.claim(
    "X07", by="sharpness times learning rate over 2, mean from 5 to 25 % of training", region=above(1.0), figure="d"
)
def edge_of_stability(t: Tables) -> Interval:
    """While training is chaotic, the sharpness stands above 2 / learning rate, where gradient descent is unstable."""
    table = _arm(t)["sharpness"]
    early = table[table.step.between(table.step.max() * 0.05, table.step.max() * 0.25)]
    return intervals.mean((early.sharpness * early.lr / 2).groupby(early.seed).mean())
