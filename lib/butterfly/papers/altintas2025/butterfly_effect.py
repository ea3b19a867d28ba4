"""Notebook 01: a kick, a twin, and how far apart they end.

A parent is trained; just before update t it is copied, the copy is kicked, and both train on with the same batches.
At the end the two are compared. The grid is kick time x kick size x kind, the same for every seed.
"""

from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from torch import Tensor

from butterfly.interpolate import EPSILON, barriers
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.twins import BARRIER, history, root_looks, watch
from butterfly.perturb import Kick, expected_norm
from butterfly.study import Arrays, Bench, Interval, Kind, OneModel, Origin, Shard, Study, Tables, Times, above, below
from butterfly.study import between, broken, check_times, exactly, intervals, long, plain, rising_sizes, rising_times
from butterfly.study import setting, sound, stacked
from butterfly.train import Fork, Observer, learning_rate, parent_rows, train

LARGEST = 1e-2  # the paper's largest kick: claims do not reach beyond it, the figures do
NOTED = {"origin": Origin.NOTEBOOK, "place": "notebooks/butterfly-hparams.ipynb"}  # the authors' numbers


class Params(OneModel):
    """Parameters of notebook 01; times are in percent of the training steps, sizes in units of the initial scale."""

    setting: str = "mnist1d"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)  # trained in one stack: 1 on a CPU, many on a GPU
    kick_times: Times = (0.0, 10.0, 50.0)
    gaussian_sizes: tuple[float, ...] = (1e-4, 1e-2)
    batch_sizes: tuple[float, ...] = (1e-2,)
    one_weight_size: float = Field(0.01, gt=0)
    one_weights: int = Field(2, ge=1)  # how many different single weights are kicked at time 0
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    looks: int = Field(10, ge=2)  # how often distance and disagreement are recorded during training
    real_settings: tuple[str, ...] = ()  # the thinner grid on real data
    real_seeds: int = Field(3, ge=1)
    real_kick_times: Times = (0.0, 10.0, 50.0)
    real_sizes: tuple[float, ...] = (1e-4, 1e-2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("kick_times", "real_kick_times"):
            rising_times(name, getattr(self, name))
        for name in ("gaussian_sizes", "batch_sizes", "real_sizes"):
            rising_sizes(name, getattr(self, name))
        if not self.gaussian_sizes:
            raise ValueError("gaussian_sizes is empty: give at least one size")
        self.chosen(self.setting)  # refuses what is unknown, or does not fit
        names = [self.setting, *self.real_settings]
        if len(set(names)) < len(names) or len(self.places) < len(names):
            raise ValueError(f"the settings {names}, or the data of the real ones, repeat; name each once")
        return self

    @property
    def places(self) -> dict[str, str]:
        """Where claims are judged: the main setting, and the others by their data."""
        return {"": self.setting} | {setting(name).data: name for name in self.real_settings}

    def thinner(self) -> Self:
        """The grid on real data: fewer times and sizes, no batch kicks, one weight at each time."""
        grid = {"kick_times": self.real_kick_times, "gaussian_sizes": self.real_sizes, "seeds": self.real_seeds}
        return self.model_copy(update=grid | {"batch_sizes": (), "one_weights": 1})


study = Study("01_butterfly_effect", Params, PAPER, on="setting", origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of every setting."""
    leave = [name for name in Params.model_fields if name.startswith("real_")]  # these shape the thinner grid
    grids = [(params.setting, params.chosen(params.setting, params.steps), params)]
    grids += [(name, plain(name), params.thinner()) for name in params.real_settings]
    for _, chosen, grid in grids:
        check_times(chosen, grid.kick_times)
    return [s for name, chosen, grid in grids for s in study.every_few(grid, chosen, leave=leave, of=name)]


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train some seeds with all their kicks in one stack, and compare every twin with its parent.

    Arrays over the twins `[K]`, and over twins and looks `[K, T]` or path points `[K, A]`.
    """
    seeds, model, task, recipe = bench.seeds, bench.model, bench.task, bench.recipe
    cells = [(seed, time, kick) for time in bench["kick_times"] for seed in seeds for kick in _kicks(bench, time)]
    forks = [Fork(seed, bench.setting.step_at(time), kick) for seed, time, kick in cells]
    looks = root_looks(recipe.steps, bench["looks"], forks)
    start = model.init(seeds).to(task.x)
    observer = Observer("watch", lambda now: watch(now, start), frozenset(looks))
    run = train(model, task, recipe, seeds, forks, [observer])

    rows = parent_rows(run.members)
    seen = history(run.recorded("watch"), len(run.members))
    return {
        "seed": np.array([seed for seed, _, _ in cells]),
        "time": np.array([time for _, time, _ in cells]),
        "step": np.array([fork.step for fork in forks]),
        "cumulative_lr": np.array([sum(learning_rate(recipe, k) for k in range(fork.step)) for fork in forks]),
        "kind": np.array([_label(kick) for _, _, kick in cells]),
        "size": np.array([kick.size for _, _, kick in cells]),
        "draw": np.array([kick.draw for _, _, kick in cells]),
        "unit": np.full(len(cells), expected_norm(model, Kick())),
        **_compared(bench, run.theta[rows], run.theta[len(seeds) :]),
        "looks": np.array(looks),
        "distance": seen["distance"][len(seeds) :],
        "disagreement": seen["disagreement"][len(seeds) :],
        "accuracy_during": seen["accuracy"][len(seeds) :],
        "travelled": seen["travelled"][rows.numpy()],  # by the parent
    }


def _kicks(bench: Bench, time: float) -> list[Kick]:
    """All kicks at one time; the first is the control, of size 0."""
    single = bench["one_weights"] if time == 0 else 1
    return [
        Kick(),
        Kick(kind="ulp"),
        *[Kick(weights=1, size=bench["one_weight_size"], draw=draw) for draw in range(single)],
        *[Kick(size=size) for size in bench["gaussian_sizes"]],
        *[Kick(kind="batch", size=size) for size in bench["batch_sizes"]],
    ]


def _compared(bench: Bench, parents: Tensor, twins: Tensor) -> Arrays:
    """How far apart parents and twins are, what lies between them `[K, A]`, and how good both are."""
    task, points = bench.task, bench["points"]
    on_train = barriers(bench.model, parents, twins, task.x, task.y, points)
    on_test = barriers(bench.model, parents, twins, task.x_test, task.y_test, points)
    return {
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
    }


def _label(kick: Kick) -> str:
    if kick.kind == "gaussian" and kick.size == 0:
        return "control"
    return "one weight" if kick.weights == 1 else {"ulp": "one ulp"}.get(kick.kind, kick.kind)


# --- tables ----------------------------------------------------------------------------------------------------------

DURING = ("distance", "disagreement", "accuracy_during", "travelled")


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `twins` (a row a twin), `paths` (twin and point), `growth` (twin and look)."""
    return stacked(map(_tables, shards))


def _tables(shard: Shard) -> dict[str, pd.DataFrame]:
    along = ("alphas", "path", "looks", *DURING)
    twins = pd.DataFrame({k: v for k, v in shard.found.items() if k not in along}).assign(setting=shard.of)
    # The size of a kick relative to the whole network: its norm is known exactly but for one ulp, where it is seen.
    at_kick = shard["distance"][np.arange(len(twins)), np.searchsorted(shard["looks"], shard["step"])]
    twins["relative_size"] = np.where(twins.kind.isin(["gaussian", "batch"]), twins["size"], at_kick / twins.unit)
    twins["distance"] = shard["distance"][:, -1]
    key = twins[["setting", "seed", "time", "kind", "size", "draw"]]
    paths = long(key, shard["alphas"], {"loss": shard["path"]}, "alpha")
    growth = long(key, shard["looks"], {name: shard[name] for name in DURING}, "step")
    return {"twins": twins, "paths": paths, "growth": growth.dropna(subset="distance")}


# --- claims ----------------------------------------------------------------------------------------------------------
# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.


def _twins(t: Tables) -> pd.DataFrame:
    return t["twins"][t["twins"]["size"] <= LARGEST]


def _kicked(t: Tables, *kinds: str) -> pd.DataFrame:
    return _twins(t)[_twins(t).kind.isin(kinds)]


def _at_start(t: Tables, kind: str) -> pd.DataFrame:
    return _kicked(t, kind).query("time == 0")


@study.unless
def lost_twins(t: Tables) -> str:
    """Claims are void where control twins differ from their parents, or a barrier is not finite."""
    return broken(_twins(t), ["barrier", "barrier_test"])


@study.claim(
    "B00", by="largest difference of any weight over all control twins", region=exactly(0.0),
    kind=Kind.CHECK, unless=sound,
)  # fmt: skip
def control(t: Tables) -> Interval:
    """A twin that is not kicked stays identical to its parent, to the last bit, to the end."""
    twins = _kicked(t, "control")
    return intervals.exact(float(twins.largest_difference.max(skipna=False)), twins.seed.nunique())


@study.claim(
    "B01", by=f"share of seeds with a barrier above {BARRIER:g} after the smallest kick at time 0", region=above(0.5),
    origin=Origin.ABSTRACT, figure="a@f",
)  # fmt: skip
def smallest_kick(t: Tables) -> Interval:
    """At the start of training even the smallest Gaussian kick ends in another valley."""
    start = _at_start(t, "gaussian")
    return intervals.share(start[start["size"] == start["size"].min()].set_index("seed").barrier > BARRIER)


@study.claim(
    "B02", by=f"share of seeds in which most single weights, kicked at time 0, end above {BARRIER:g}",
    region=above(0.5), origin=Origin.PAPER, place="Figure 1", figure="a",
)  # fmt: skip
def one_weight(t: Tables) -> Interval:
    """One weight is enough: moved at the start by a hundredth of its scale, it sends the twin elsewhere."""
    start = _at_start(t, "one weight")
    return intervals.share(start.groupby("seed").barrier.apply(lambda barrier: (barrier > BARRIER).mean()) > 0.5)


@study.claim(
    "B03", by="factor by which the barrier changes from one kick time to the next (log-linear, all Gaussian sizes)",
    region=below(1.0), origin=Origin.ABSTRACT, figure="b@f",
)  # fmt: skip
def fades(t: Tables) -> Interval:
    """On the whole, the later the kick, the smaller the barrier at the end."""
    # Page's idea (barriers ordered by kick time within a seed) with an effect size: a log-linear slope a seed.
    barrier = _kicked(t, "gaussian").pivot_table("barrier", ["seed", "size"], "time")
    table = np.log(barrier + EPSILON).groupby("seed").mean()
    factors = np.exp(intervals.slopes(range(table.shape[1]), table.to_numpy())) if table.shape[1] > 1 else []
    return intervals.geometric_mean(factors)


@study.claim(
    "B04", by="largest barrier of a seed divided by those limits, Gaussian and batch kicks up to 0.01",
    region=below(1.0), figure="ab@f", **NOTED,
)  # fmt: skip
def late_kicks(t: Tables) -> Interval:
    """Late kicks change nothing: barrier below 0.05 from 10 % of training on, below 0.01 from 50 % on."""
    late = _kicked(t, "gaussian", "batch").query("time >= 10")
    limit = np.where(late.time >= 50, 0.01, BARRIER)
    return intervals.geometric_mean((late.barrier / limit).groupby(late.seed).max() + EPSILON)


@study.claim("B05", by="slope of log barrier on log size, time 0", region=between(-0.1, 0.1), figure="a@f", **NOTED)
def size_at_start(t: Tables) -> Interval:
    """At the start the size of a Gaussian kick, from 1e-4 to 1e-2, does not matter."""
    start = _at_start(t, "gaussian")
    return _slope_on_size(start[start["size"] > 0.99e-4])


@study.claim(
    "B07", by="slope of log barrier on log size, batch kicks up to 0.01 after time 0", region=above(0.0),
    figure="a", **NOTED,
)  # fmt: skip
def size_of_batch_kicks(t: Tables) -> Interval:
    """After the start, larger batch kicks end in larger barriers."""
    return _slope_on_size(_kicked(t, "batch").query("time > 0"))


def _slope_on_size(kicked: pd.DataFrame) -> Interval:
    """Slope of log barrier on log size for each seed, averaged over kick times; mean over seeds."""
    if kicked["size"].nunique() < 2:
        return intervals.mean([])
    table = np.log(kicked.pivot_table("barrier", ["seed", "time"], "size") + EPSILON)
    slope = intervals.slopes(np.log(table.columns.to_numpy(dtype=float)), table.to_numpy())
    return intervals.mean(pd.Series(slope, index=table.index).groupby("seed").mean().to_numpy())


@study.claim(
    "B16", by="test accuracy after kicks at time 0 minus that after later kicks (mean over times), in points",
    region=between(-0.5, 0.5), figure="e", **NOTED,
)  # fmt: skip
def same_accuracy(t: Tables) -> Interval:
    """When the kick comes does not change how good the network is at the end."""
    # Not twins against their parent: the parent is a single run, and its luck would be the error of the comparison.
    kicked = _twins(t).query("kind != 'control'")
    points = 100 * kicked.groupby(["seed", "time"]).accuracy_twin.mean().unstack()
    if 0.0 not in points or points.shape[1] < 2:
        return intervals.mean([])
    return intervals.mean((points[0.0] - points.drop(columns=0.0).mean(axis=1)).to_numpy())


@study.claim(
    "B21", by=f"ratio of mean test barrier to mean training barrier, twins with a barrier above {BARRIER:g}",
    region=between(0.8, 1.25), **NOTED,
)  # fmt: skip
def on_test_data(t: Tables) -> Interval:
    """The barrier on test data agrees with that on training data."""
    high = _twins(t)[_twins(t).barrier > BARRIER]
    on_test, on_train = ((high[name] + EPSILON).groupby(high.seed).mean() for name in ("barrier_test", "barrier"))
    return intervals.geometric_mean(on_test / on_train)
