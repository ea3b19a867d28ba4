"""Notebook 01: a kick, a twin, and how far apart they end.

A parent is trained; just before update t it is copied, the copy is kicked, and both train on with the same batches.
At the end the two are compared. The grid is kick time x kick size x kind, the same for every seed.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import claims, data, models
from butterfly.claims import Claim, Region
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import (
    BARRIER,
    EPSILON,
    PAPER,
    check_times,
    chosen,
    groups,
    history,
    long,
    parent_rows,
    rising_sizes,
    rising_times,
    root_looks,
    step_at,
    unless_broken,
    watch,
)
from butterfly.interpolate import barriers
from butterfly.perturb import Kick, expected_norm
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting, setting
from butterfly.strict import Strict
from butterfly.train import Fork, Observer, learning_rate, train

NOTEBOOK = "01_butterfly_effect"


class Params(Common):
    """Parameters of notebook 01; times are in percent of the training steps, sizes in units of the initial scale."""

    setting: str = "mnist1d"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)  # trained in one stack: 1 on a CPU, many on a GPU
    kick_times: tuple[float, ...] = (0.0, 10.0, 50.0)
    gaussian_sizes: tuple[float, ...] = (1e-4, 1e-2)
    batch_sizes: tuple[float, ...] = (1e-2,)
    one_weight_size: float = Field(0.01, gt=0)
    one_weights: int = Field(2, ge=1)  # how many different single weights are kicked at time 0
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    looks: int = Field(10, ge=2)  # how often distance and disagreement are recorded during training
    real_settings: tuple[str, ...] = ()  # the thinner grid on real data
    real_seeds: int = Field(3, ge=1)
    real_kick_times: tuple[float, ...] = (0.0, 10.0, 50.0)
    real_sizes: tuple[float, ...] = (1e-4, 1e-2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("kick_times", "real_kick_times"):
            rising_times(name, getattr(self, name))
        for name in ("gaussian_sizes", "batch_sizes", "real_sizes"):
            rising_sizes(name, getattr(self, name))
        if not self.gaussian_sizes:
            raise ValueError("gaussian_sizes is empty: give at least one size")
        names = [self.setting, *self.real_settings]
        for name in names:
            setting(name)
        if len(set(names)) < len(names):
            raise ValueError(f"the settings {names} repeat; name each once")
        return self


class Grid(Strict):
    """The kicks that every seed receives."""

    setting: Setting
    kick_times: tuple[float, ...]
    gaussian_sizes: tuple[float, ...]
    batch_sizes: tuple[float, ...]
    one_weight_size: float
    one_weights: int
    points: int
    looks: int

    def step(self, time: float) -> int:
        """The update just before which a kick at `time` percent happens."""
        return step_at(self.setting, time)

    def kicks(self, time: float) -> list[Kick]:
        """All kicks at one time; the first is the control, of size 0."""
        single = self.one_weights if time == 0 else 1
        return [
            Kick(),
            Kick(kind="ulp"),
            *[Kick(weights=1, size=self.one_weight_size, draw=draw) for draw in range(single)],
            *[Kick(size=size) for size in self.gaussian_sizes],
            *[Kick(kind="batch", size=size) for size in self.batch_sizes],
        ]


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """What is to be computed: one shard for every few seeds of every setting. Seeds do not depend on the machine."""
    check_device(params.device)
    main = _grid(params, params.setting, params.steps, params.kick_times, params.gaussian_sizes)
    grids = [(params.setting, main, params.seeds)]
    for name in params.real_settings:
        grid = _grid(params, name, None, params.real_kick_times, params.real_sizes)
        grids.append((name, grid, params.real_seeds))
    for _, grid, _ in grids:
        check_times(grid.setting, grid.kick_times)
    return [
        {
            "setting": name,
            "grid": grid.model_dump(mode="json"),
            "source": data.provenance(grid.setting.data),
            "seeds": some,
            "device": params.device,
        }
        for name, grid, seeds in grids
        for some in groups(seeds, params.seeds_per_shard)
    ]


def _grid(params: Params, name: str, steps: int | None, times: Sequence[float], sizes: Sequence[float]) -> Grid:
    is_main = name == params.setting
    return Grid(
        setting=chosen(name, steps),
        kick_times=tuple(times),
        gaussian_sizes=tuple(sizes),
        batch_sizes=params.batch_sizes if is_main else (),
        one_weight_size=params.one_weight_size,
        one_weights=params.one_weights if is_main else 1,
        points=params.points,
        looks=params.looks,
    )


def compute_shard(config: Config) -> Arrays:
    """Train the seeds of one shard with all their kicks in one stack, and compare every twin with its parent.

    Arrays over the twins `[K]`, and over twins and looks `[K, T]` or path points `[K, A]`.
    """
    grid = Grid.read(config["grid"], "grid")
    setting, seeds = grid.setting, config["seeds"]
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    cells = [(seed, time, kick) for time in grid.kick_times for seed in seeds for kick in grid.kicks(time)]
    forks = [Fork(seed, grid.step(time), kick) for seed, time, kick in cells]
    looks = root_looks(setting.recipe.steps, grid.looks, forks)
    start = model.init(seeds).to(task.x)
    observer = Observer("watch", lambda now: watch(now, start), frozenset(looks))
    population = train(model, task, setting.recipe, seeds, forks, [observer])

    theta, members = population.theta, population.members
    parents, twins = theta[parent_rows(members)], theta[len(seeds) :]
    on_train = barriers(model, parents, twins, task.x, task.y, grid.points)
    on_test = barriers(model, parents, twins, task.x_test, task.y_test, grid.points)
    seen = history(population.recorded("watch"), len(members))
    return {
        "seed": np.array([seed for seed, _, _ in cells]),
        "time": np.array([time for _, time, _ in cells]),
        "step": np.array([fork.step for fork in forks]),
        "cumulative_lr": np.array([_cumulative_lr(setting, fork.step) for fork in forks]),
        "kind": np.array([_label(kick) for _, _, kick in cells]),
        "size": np.array([kick.size for _, _, kick in cells]),
        "draw": np.array([kick.draw for _, _, kick in cells]),
        "unit": np.full(len(cells), expected_norm(model, Kick())),
        "largest_difference": (twins - parents).abs().amax(1).cpu().numpy(),
        "barrier": on_train.of_loss.numpy(),
        "barrier_test": on_test.of_loss.numpy(),
        "error_barrier": on_train.of_error.numpy(),
        "loss_parent": on_train.loss[:, 0].numpy(),
        "loss_twin": on_train.loss[:, -1].numpy(),
        "accuracy_parent": 1 - on_test.error[:, 0].numpy(),
        "accuracy_twin": 1 - on_test.error[:, -1].numpy(),
        "alphas": on_train.alphas.numpy(),
        "path": on_train.loss.numpy(),
        "looks": np.array(looks),
        "distance": seen["distance"][len(seeds) :],
        "disagreement": seen["disagreement"][len(seeds) :],
        "accuracy_during": seen["accuracy"][len(seeds) :],
        "travelled": seen["travelled"][parent_rows(members).numpy()],
    }


def _cost(config: Config) -> float:
    """How long a shard takes, relative to the others: member steps times batch size."""
    grid = Grid.read(config["grid"], "grid")
    recipe = grid.setting.recipe
    steps = sum(len(grid.kicks(time)) * (recipe.steps - grid.step(time)) for time in grid.kick_times)
    return float(len(config["seeds"]) * steps * recipe.batch_size)


def _label(kick: Kick) -> str:
    if kick.kind == "gaussian" and kick.size == 0:
        return "control"
    return "one weight" if kick.weights == 1 else {"ulp": "one ulp"}.get(kick.kind, kick.kind)


def _cumulative_lr(setting: Setting, step: int) -> float:
    return sum(learning_rate(setting.recipe, k) for k in range(step))


# --- tables ----------------------------------------------------------------------------------------------------------

TWIN_COLUMNS = (
    *("seed", "time", "step", "cumulative_lr", "kind", "size", "draw", "unit", "largest_difference"),
    *("barrier", "barrier_test", "error_barrier", "loss_parent", "loss_twin", "accuracy_parent", "accuracy_twin"),
)


class Tables(dict[str, pd.DataFrame]):
    """The results as tidy tables: `twins` (a row a twin), `paths` (twin and point), `growth` (twin and look)."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    results = compute(compute_shard, configs, _cost)
    twins, paths, growth = [], [], []
    for config, arrays in zip(configs, results, strict=True):
        one = pd.DataFrame({column: arrays[column] for column in TWIN_COLUMNS}).assign(setting=config["setting"])
        # The size of a kick relative to the whole network: its norm is known exactly but for one ulp, where it is seen.
        at_kick = arrays["distance"][np.arange(len(one)), np.searchsorted(arrays["looks"], arrays["step"])]
        one["relative_size"] = np.where(one.kind.isin(["gaussian", "batch"]), one["size"], at_kick / one.unit)
        one["distance"] = arrays["distance"][:, -1]
        twins.append(one)
        key = one[["setting", "seed", "time", "kind", "size", "draw"]]
        paths.append(long(key, arrays["alphas"], {"loss": arrays["path"]}, "alpha"))
        during = {n: arrays[n] for n in ("distance", "disagreement", "accuracy_during", "travelled")}
        growth.append(long(key, arrays["looks"], during, "step"))
    return Tables(twins=pd.concat(twins), paths=pd.concat(paths), growth=pd.concat(growth).dropna(subset="distance"))


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
LARGEST = 1e-2  # the paper's largest kick: claims do not reach beyond it, the figures do
MARGINS = {
    "B01": Region(low=0.5),
    "B02": Region(low=0.5),
    "B03": Region(high=1.0),
    "B04": Region(high=1.0),
    "B05": Region(-0.1, 0.1),
    "B07": Region(low=0.0),
    "B16": Region(-0.5, 0.5),
    "B21": Region(0.8, 1.25),
}


def make_claims(params: Params, tables: Tables, name: str | None = None) -> list[Claim]:
    """Every claim of this notebook, judged on one setting (the main one, unless named)."""
    name = name or params.setting
    twins = tables["twins"].query("setting == @name and size <= @LARGEST")
    rest = [
        _smallest_kick(twins),
        _one_weight(twins),
        _fades(twins),
        _late_kicks(twins),
        _size_at_start(twins),
        _size_of_batch_kicks(twins),
        _accuracy(twins),
        _test_barrier(twins),
    ]
    return [_control(twins), *unless_broken(rest, twins, ["barrier", "barrier_test"])]


def _claim(id: str, statement: str, statistic: str, interval: claims.Interval, region: Region | None = None) -> Claim:
    return claims.claim(id, NOTEBOOK, statement, PAPER, statistic, region or MARGINS[id], interval)


def _control(twins: pd.DataFrame) -> Claim:
    control = twins[twins.kind == "control"]
    return _claim(
        "B00",
        "A twin that is not kicked stays identical to its parent, to the last bit, to the end",
        "largest difference of any weight over all control twins",
        claims.exact(float(control.largest_difference.max(skipna=False)), control.seed.nunique()),
        Region(0.0, 0.0),
    )


def _smallest_kick(twins: pd.DataFrame) -> Claim:
    start = twins[(twins.time == 0) & (twins.kind == "gaussian")]
    smallest = start["size"].min()
    hits = start[start["size"] == smallest].set_index("seed").barrier > BARRIER
    return _claim(
        "B01",
        "At the start of training even the smallest Gaussian kick ends in another valley",
        f"share of seeds with a barrier above {BARRIER:g} after a kick of size {smallest:g} at time 0",
        claims.share(hits),
    )


def _one_weight(twins: pd.DataFrame) -> Claim:
    start = twins[(twins.time == 0) & (twins.kind == "one weight")]
    most = start.groupby("seed").barrier.apply(lambda barrier: (barrier > BARRIER).mean()) > 0.5
    weights = int(start.groupby("seed").size().max()) if len(start) else 0
    return _claim(
        "B02",
        "One weight is enough: moved at the start by a hundredth of its scale, it sends the twin elsewhere",
        f"share of seeds in which most of {weights} single weights, kicked at time 0, end above {BARRIER:g}",
        claims.share(most),
    )


def _fades(twins: pd.DataFrame) -> Claim:
    """Page's idea (barriers ordered by kick time within a seed) with an effect size: a log-linear slope a seed."""
    kicked = twins[twins.kind == "gaussian"]
    table = np.log(kicked.pivot_table("barrier", ["seed", "size"], "time") + EPSILON).groupby("seed").mean()
    factors = np.exp(claims.slopes(range(table.shape[1]), table.to_numpy())) if table.shape[1] > 1 else []
    return _claim(
        "B03",
        "On the whole, the later the kick, the smaller the barrier at the end",
        "factor by which the barrier changes from one kick time to the next (log-linear, all Gaussian sizes)",
        claims.geometric_mean(factors),
    )


def _late_kicks(twins: pd.DataFrame) -> Claim:
    late = twins[(twins.time >= 10) & twins.kind.isin(["gaussian", "batch"])]
    limit = np.where(late.time >= 50, 0.01, BARRIER)
    worst = (late.barrier / limit).groupby(late.seed).max()
    return _claim(
        "B04",
        "Late kicks change nothing: barrier below 0.05 from 10 % of training on, below 0.01 from 50 % on",
        "largest barrier of a seed divided by those limits, Gaussian and batch kicks up to 0.01",
        claims.geometric_mean(worst + EPSILON),
    )


def _size_at_start(twins: pd.DataFrame) -> Claim:
    kicked = twins[(twins.time == 0) & (twins.kind == "gaussian") & (twins["size"] > 0.99e-4)]
    return _claim(
        "B05",
        "At the start the size of a Gaussian kick, from 1e-4 to 1e-2, does not matter",
        "slope of log barrier on log size, time 0",
        claims.mean(_size_slopes(kicked)),
    )


def _size_of_batch_kicks(twins: pd.DataFrame) -> Claim:
    kicked = twins[(twins.time > 0) & (twins.kind == "batch")]
    return _claim(
        "B07",
        "After the start, larger batch kicks end in larger barriers",
        "slope of log barrier on log size, batch kicks up to 0.01 after time 0",
        claims.mean(_size_slopes(kicked)),
    )


def _size_slopes(kicked: pd.DataFrame) -> np.ndarray:
    """Slope of log barrier on log size for each seed, averaged over kick times."""
    if kicked["size"].nunique() < 2:
        return np.array([])
    table = np.log(kicked.pivot_table("barrier", ["seed", "time"], "size") + EPSILON)
    slope = pd.Series(claims.slopes(np.log(table.columns.to_numpy(dtype=float)), table.to_numpy()), index=table.index)
    return slope.groupby("seed").mean().to_numpy()


def _accuracy(twins: pd.DataFrame) -> Claim:
    # Not twins against their parent: the parent is a single run, and its luck would be the error of the comparison.
    kicked = twins[twins.kind != "control"]
    points = 100 * kicked.groupby(["seed", "time"]).accuracy_twin.mean().unstack()
    compared = 0.0 in points and points.shape[1] > 1
    return _claim(
        "B16",
        "When the kick comes does not change how good the network is at the end",
        "test accuracy after kicks at time 0 minus that after later kicks (mean over times), in points",
        claims.mean((points[0.0] - points.drop(columns=0.0).mean(axis=1)).to_numpy() if compared else []),
    )


def _test_barrier(twins: pd.DataFrame) -> Claim:
    high = twins[twins.barrier > BARRIER]
    ratio = (high.barrier_test + EPSILON).groupby(high.seed).mean() / (high.barrier + EPSILON).groupby(high.seed).mean()
    return _claim(
        "B21",
        "The barrier on test data agrees with that on training data",
        f"ratio of mean test barrier to mean training barrier, twins with a barrier above {BARRIER:g}",
        claims.geometric_mean(ratio),
    )
