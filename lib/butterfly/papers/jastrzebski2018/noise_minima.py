"""Notebook 30: noise sets where you land.

The noise of SGD grows with its step and falls with its batch. Networks are trained with different noise and read at one
training loss: how flat is the place, does only the ratio of step to batch count, at the end and along the way, can a
schedule of batches stand in for one of steps, and where does it all stop? Linear regression has the law behind it.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats

from butterfly import data
from butterfly.papers.jastrzebski2018 import PAPER, landing, regression, swaps
from butterfly.reliability import standardised
from butterfly.strict import ParameterError
from butterfly.study import Interval, OneModel, Origin, Setting, Shard, Study, Tables, groups, intervals
from butterfly.study.claims import Kind, above, below, between, differing_controls, lost
from butterfly.study.intervals import CORRELATION
from butterfly.study.tables import grid, stacked

Cell = tuple[float, int]  # a step and a batch
WORKSHOP = "Jastrzębski et al. 2018 (ICLR workshop, OpenReview r1VF9dCUG)"
SAME, SQUARE = "same ratio", "square root"
BASE = "as it is"
NEAR = 0.01  # accuracies within one percentage point count as equal
HALF = 0.5  # of the wrong labels: when networks that memorise are compared


class Params(OneModel):
    """Parameters of notebook 30; times are sums of steps (learning rates)."""

    setting: str = "digits-plain"
    seeds: int = Field(3, ge=2)
    seeds_per_shard: int = Field(3, ge=1)
    # The grid, read at one training loss.
    lrs: tuple[float, ...] = (0.05, 0.1, 0.2)
    batches: tuple[int, ...] = (16, 64)
    level: float = Field(0.3, gt=0)
    limit: float = Field(60.0, gt=0)  # a network that has not reached the level by then is lost
    epochs: int = Field(3, ge=1)  # for which accuracy is followed
    examples: int | None = Field(200, ge=10)  # for curvature; None: the training set
    iterations: int = Field(6, ge=2)  # of Lanczos
    probes: int = Field(4, ge=2)  # of Hutchinson
    points: int = Field(13, ge=7)  # networks on a line from -1 to 2
    kick_sizes: tuple[float, ...] = (0.01, 0.3)
    kick_time: float = Field(4.0, gt=0)  # after which twins are compared
    # Schedules.
    cycled: str = "mnist1d-plain"
    cycle_lr: float = Field(0.2, gt=0)
    cycle_batch: int = Field(100, ge=1)
    cycle_factor: int = Field(5, ge=2)
    cycles: int = Field(1, ge=1)
    phase_epochs: int = Field(1, ge=1)
    cycle_seeds: int = Field(2, ge=2)
    cycle_seeds_per_shard: int = Field(2, ge=1)
    # Wrong labels.
    noise: float = Field(0.4, gt=0, lt=1)
    noisy_lrs: tuple[float, ...] = (0.1, 0.2)
    noisy_batches: tuple[int, ...] = (16, 128)
    noisy_time: float = Field(20.0, gt=0)
    noisy_seeds: int = Field(2, ge=2)
    # Ever larger factors.
    subsets: tuple[int, ...] = (150, 300)
    base_lr: float = Field(0.025, gt=0)
    base_batch: int = Field(8, ge=1)
    base_epochs: int = Field(5, ge=1)
    factors: tuple[int, ...] = (1, 4, 16)
    drop: float = Field(0.02, gt=0, lt=1)  # of accuracy, at which the equivalence counts as broken
    networks: int = Field(2, ge=1)  # on each training set
    draws: int = Field(2, ge=2)  # of training sets
    # Linear regression.
    dimension: int = Field(10, ge=2)
    regression_examples: int = Field(500, ge=20)
    regression_lrs: tuple[float, ...] = (0.02, 0.04, 0.32)  # the last one is large
    regression_batches: tuple[int, ...] = (4, 16)
    regression_steps: int = Field(600, ge=10)
    regression_seeds: int = Field(3, ge=2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("lrs", "batches", "kick_sizes", "noisy_lrs", "noisy_batches", "subsets", "factors",
                     "regression_lrs", "regression_batches"):  # fmt: skip
            values = getattr(self, name)
            least = 1 if name == "kick_sizes" else 2
            if len(values) < least or list(values) != sorted(set(values)) or values[0] <= 0:
                raise ValueError(f"{name} = {list(values)}: give rising numbers above 0, {least} or more")
        missing = [role for role, cell in self.roles.items() if cell not in self.cells]
        if missing:
            raise ValueError(
                f"lrs = {list(self.lrs)}, batches = {list(self.batches)}: with the first step there must be its double "
                "and its fourfold, with the last batch a quarter of it"
            )
        if self.factors[0] != 1 or self.base_batch > self.subsets[0]:
            raise ValueError(f"factors = {list(self.factors)}: begin with 1, and with a batch smaller than all subsets")
        if self.base_batch * self.factors[-1] > self.subsets[-1]:
            raise ValueError(
                f"factors = {list(self.factors)}: end where the batch is no larger than the largest of the subsets"
            )
        for name in (self.setting, self.cycled):
            self._plain(name)
        return self

    def _plain(self, name: str) -> None:
        recipe = self.trained(name).recipe
        if (recipe.optimizer, recipe.momentum, recipe.schedule, recipe.warmup) != ("sgd", 0.0, "constant", 0.0):
            raise ValueError(f"'{name}': give plain SGD, with a constant step, no momentum and no warm-up")

    def trained(self, name: str) -> Setting:
        """What is trained: the main setting with the changes of the parameters, the others with what they share."""
        return self.chosen(name) if name == self.setting else self.beside(self.setting, name)

    @property
    def cells(self) -> list[Cell]:
        """The grid of steps and batches."""
        return [(lr, batch) for lr in self.lrs for batch in self.batches]

    @property
    def roles(self) -> dict[str, Cell]:
        """A cell, four times its step and batch, and four times its batch with twice its step."""
        lr, batch = self.lrs[0], self.batches[-1]
        return {BASE: (lr, batch // 4), SAME: (4 * lr, batch), SQUARE: (2 * lr, batch)}

    @property
    def pairs(self) -> dict[str, tuple[Cell, Cell]]:
        """Pairs of cells for the lines between networks, the one with the higher ratio first."""
        noisy = (self.lrs[-1], self.batches[0])
        return {
            "batch": (noisy, (self.lrs[-1], self.batches[-1])),
            "step": (noisy, (self.lrs[0], self.batches[0])),
            SAME: (self.roles[SAME], self.roles[BASE]),
        }

    @property
    def largest_factor(self) -> int:
        """The largest factor on step and batch."""
        return self.factors[-1]

    @property
    def noisy_half(self) -> float:
        """The sum of steps at which networks with wrong labels are compared."""
        return self.noisy_time / 2

    @property
    def large_step(self) -> float:
        """The large step of linear regression."""
        return self.regression_lrs[-1]

    @property
    def cycled_scope(self) -> str:
        """What the claims on schedules are about."""
        cycled = self.trained(self.cycled)
        return f"{cycled.data}, {cycled.model}"

    @property
    def noisy_cells(self) -> list[Cell]:
        """Steps and batches of the networks with wrong labels."""
        return [(lr, batch) for lr in self.noisy_lrs for batch in self.noisy_batches]


study = Study("30_noise_minima", Params, PAPER)
for _compute in (landing.measure, swaps.schedules, swaps.memory, swaps.breaking, regression.stationary):
    study.shard(_compute)

GRID = ("level", "limit", "epochs", "examples", "iterations", "probes", "points", "kick_sizes", "kick_time")
CYCLE = ("cycle_lr", "cycle_batch", "cycle_factor", "cycles", "phase_epochs")
BREAK = ("subsets", "base_lr", "base_batch", "base_epochs", "factors", "networks")
LINEAR = ("dimension", "regression_examples", "regression_lrs", "regression_batches", "regression_steps")


@study.plan
def plan(params: Params) -> list[Shard]:
    """Shards of each experiment, for every few seeds."""
    main, cycled = params.trained(params.setting), params.trained(params.cycled)
    count = len(data.load(main.data).y)
    if max(params.batches[-1], params.noisy_batches[-1], params.subsets[-1]) > count:
        raise ParameterError(f"{main.data} has {count} training examples; give smaller batches and subsets")
    if any(params.epochs * (count // batch) * lr > params.limit for lr, batch in params.roles.values()):
        raise ParameterError(f"limit = {params.limit:g} ends before the {params.epochs} epochs of the curves")

    def few(
        of: str, compute, setting: Setting, names: Sequence[str], units: int, at_once: int = 0, **more
    ) -> list[Shard]:
        own = params.model_dump(mode="json", include=set(names)) | more
        seeds = groups(units, at_once or params.seeds_per_shard, params.first_seed)
        return [Shard(compute, study.config(setting, params, seeds=some, **own), of) for some in seeds]

    cells = {"cells": params.cells, "roles": params.roles, "pairs": params.pairs}
    noisy = {"noisy_cells": params.noisy_cells}
    return [
        *few("grid", landing.measure, main, GRID, params.seeds, **cells),
        *few("schedules", swaps.schedules, cycled, CYCLE, params.cycle_seeds, params.cycle_seeds_per_shard),
        *few("memory", swaps.memory, main, ("noise", "noisy_time"), params.noisy_seeds, **noisy),
        *few("breaking", swaps.breaking, main, BREAK, params.draws),
        *few("regression", regression.stationary, main, LINEAR, params.regression_seeds),
    ]


# --- tables ----------------------------------------------------------------------------------------------------------

ABOUT = ("step", "loss", "test_loss", "accuracy", "sharpness", "sharpness_error", "relative", "trace", "trace_half")


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables.

    `networks` (seed and cell), `rescaled` (seed), `curves` (seed, role, epoch), `lines` (seed, pair, alpha), `kicks`
    (seed, cell, size), `left` (seed, cell, size, time), `schedules` (seed, arm, phase), `memory` (seed, cell, time),
    `breaking` (seed, size, factor), `regression` (seed, world, batch, way, step).
    """
    made = {"grid": _grid, "schedules": _schedules, "memory": _memory, "breaking": _breaking, "regression": _linear}
    found = stacked(part for shard in shards for part in made[shard.of](params, shard))
    return {name: table.assign(setting=_setting(params, name)) for name, table in found.items()}


def _setting(params: Params, table: str) -> str:
    return params.cycled if table == "schedules" else params.setting


def _cells(table: pd.DataFrame, cells: Sequence[Cell]) -> pd.DataFrame:
    """The table with step, batch and their ratio in the place of the number of the cell."""
    lr, batch = (np.array(values)[table.cell - 1] for values in zip(*cells, strict=True))
    return table.drop(columns="cell").assign(lr=lr, batch=batch, ratio=lr / batch)


def _grid(params: Params, shard: Shard) -> Iterator[dict[str, pd.DataFrame]]:
    seeds, cells = shard.config["seeds"], {"cell": None, "seed": shard.config["seeds"]}
    columns = [grid(shard[name], cells, name) for name in ABOUT]
    networks = _cells(pd.concat([columns[0], *(own[[own.columns[-1]]] for own in columns[1:])], axis=1), params.cells)
    yield {"networks": networks}
    names = ("rescaled", "rescaled_relative", "rescaled_loss")
    yield {"rescaled": pd.DataFrame({"seed": seeds, **{name: shard[name] for name in names}})}
    epochs = range(params.epochs + 1)
    yield {"curves": grid(shard["curves"], {"role": list(params.roles), "epoch": epochs, "seed": seeds}, "accuracy")}
    alphas = np.linspace(-1, 2, params.points)
    yield {"lines": grid(shard["lines"], {"pair": list(params.pairs), "seed": seeds, "alpha": alphas}, "loss")}
    sizes = (0.0, *params.kick_sizes)
    of_kicks = {"cell": None, "size": sizes, "seed": seeds}
    kicks = grid(shard["twin_barrier"], of_kicks, "twin_barrier")
    ends = {name: grid(shard[name][:, :, -1], of_kicks, name)[name] for name in ("left", "gap")}
    largest = grid(shard["largest_difference"], of_kicks, "largest").largest
    kind = np.where(kicks["size"] == 0, "control", "gaussian")
    yield {"kicks": _cells(kicks.assign(**ends, largest_difference=largest, kind=kind), params.cells)}
    axes = {"cell": None, "size": sizes, "time": np.linspace(0, params.kick_time, landing.WATCHED), "seed": seeds}
    over = grid(shard["left"], axes, "left").assign(gap=grid(shard["gap"], axes, "gap").gap)
    yield {"left": _cells(over[over["size"] > 0], params.cells)}


def _schedules(params: Params, shard: Shard) -> Iterator[dict[str, pd.DataFrame]]:
    phases = range(2 * params.cycles + 1)
    axes = {"arm": swaps.ARMS, "phase": phases, "seed": shard.config["seeds"]}
    table = grid(shard["accuracy"], axes, "accuracy").assign(loss=grid(shard["loss"], axes, "loss").loss)
    yield {"schedules": table.assign(epoch=table.phase * params.phase_epochs)}


def _memory(params: Params, shard: Shard) -> Iterator[dict[str, pd.DataFrame]]:
    axes = {"cell": None, "time": shard["times"], "seed": shard.config["seeds"]}
    parts = {name: grid(shard[name], axes, name)[name] for name in ("wrong", "right")}
    yield {"memory": _cells(grid(shard["accuracy"], axes, "accuracy").assign(**parts), params.noisy_cells)}


def _breaking(params: Params, shard: Shard) -> Iterator[dict[str, pd.DataFrame]]:
    axes = {"examples": params.subsets, "factor": params.factors, "seed": shard.config["seeds"]}
    table = grid(shard["accuracy"].mean(-1), axes, "accuracy")
    yield {"breaking": table.assign(loss=grid(shard["loss"].mean(-1), axes, "loss").loss)}


def _linear(params: Params, shard: Shard) -> Iterator[dict[str, pd.DataFrame]]:
    seeds, lrs = shard.config["seeds"], params.regression_lrs
    axes = {"world": regression.WORLDS, "batch": params.regression_batches, "way": regression.WAYS}
    table = grid(shard["measured"], axes | {"seed": seeds, "lr": lrs}, "measured")
    key = ["world", "batch", "seed", "lr"]
    for law in regression.LAWS:
        own = grid(shard[law], {"world": axes["world"], "batch": axes["batch"], "seed": seeds, "lr": lrs}, law)
        table = table.merge(own, on=key)
    yield {"regression": table}


# --- why claims may be void ------------------------------------------------------------------------------------------


def arrived(t: Tables, name: str) -> pd.DataFrame:
    """The rows of a table of those seeds of which every network reached the training loss."""
    networks = t["networks"]
    there = np.isfinite(networks[["loss", "sharpness", "relative", "trace"]]).all(axis=1).groupby(networks.seed).all()
    return t[name][t[name].seed.isin(there[there].index)]


@study.unless
def never_there(t: Tables) -> str:
    """Claims are void where more than a tenth of the seeds have a network that never reached the training loss at which
    all are read. Up to a tenth are left out, with all their networks.
    """
    count = t["networks"].seed.nunique()
    missing = count - arrived(t, "networks").seed.nunique()
    return f"{missing} of {count} seeds have networks that never reached the loss" if missing > count / 10 else ""


def kicks_lost(t: Tables) -> str:
    """Claims are void where more than a tenth of the seeds have a network that never reached the training loss, a
    control twin differs from its parent, or a distance is not finite.
    """
    kicks = arrived(t, "kicks")
    kicked = kicks[kicks.kind != "control"][["left", "gap", "twin_barrier"]]
    gone = lost(kicked, "kicked networks have no finite distance or loss")
    return never_there(t) or differing_controls(kicks) or gone


def curves_lost(t: Tables) -> str:
    """Claims are void where an accuracy curve is not finite or ends below one half: that network did not learn."""
    ends = t["curves"][t["curves"].epoch == t["curves"].epoch.max()].accuracy
    return lost(t["curves"][["accuracy"]], "looks at accuracy are not finite") or _unlearned(ends)


def schedules_lost(t: Tables) -> str:
    """Claims are void where a network of a schedule has no finite loss, or the mean accuracy of an arm ends below 0.4:
    it did not learn.
    """
    ends = _ends(t)
    poor = int((ends.mean() < 0.4).sum())
    lost_ones = lost(t["schedules"][["loss"]], "looks at losses are not finite")
    return lost_ones or (f"{poor} arms learned little" if poor else "")


def _unlearned(ends: pd.Series) -> str:
    count = int((ends < 0.5).sum())
    return f"{count} of {len(ends)} networks did not learn" if count else ""


def unfitted(t: Tables) -> str:
    """Claims are void where fewer than three ratios of step to batch are left, once those are left out at which not
    every network fits half of its wrong labels.
    """
    left = at_crossing(t, "wrong", HALF, "accuracy").columns.nunique()
    return f"only {left} ratios of step to batch at which all fit half of their wrong labels" if left < 3 else ""


def labels_lost(t: Tables) -> str:
    """Claims are void where no network has learned: none ever fits half of its right labels."""
    return "" if (t["memory"].right >= HALF).any() else "no network fits half of its right labels"


def unbroken_base(t: Tables) -> str:
    """Claims are void where networks do not learn even as they are: a mean accuracy below one half without a factor."""
    return _unlearned(t["breaking"][t["breaking"].factor == 1].groupby("examples").accuracy.mean())


def diverged(t: Tables) -> str:
    """Claims are void where linear regression has no finite excess loss."""
    return lost(t["regression"][["measured", *regression.LAWS]], "regressions have no finite excess loss")


# --- the grid --------------------------------------------------------------------------------------------------------


def _ranks(t: Tables, one: str, other: str) -> Interval:
    """Rank correlation over the cells of each seed, mean over seeds."""
    seeds = arrived(t, "networks").groupby("seed")
    return intervals.correlation([stats.spearmanr(own[one], own[other]).statistic for _, own in seeds])


def _with_noise(t: Tables, column: str) -> Interval:
    """Correlation of the logs of step / batch and of a column over the cells of each seed, mean over seeds.

    Not of ranks: where no two ratios swap places, ties give all seeds the very same number, which has no interval.
    """
    seeds = arrived(t, "networks").groupby("seed")
    return intervals.correlation([np.corrcoef(np.log(own.ratio), np.log(own[column]))[0, 1] for _, own in seeds])


def _wide(t: Tables, column: str) -> pd.DataFrame:
    """Values `[S, cells]`, the cells by step and batch."""
    return arrived(t, "networks").pivot_table(column, "seed", ["lr", "batch"])


FLAT = {"origin": Origin.ABSTRACT, "source": WORKSHOP, "figure": "a"}


# -0.6: more than a third of the variance; without an effect the mean over seeds is 0.
@study.claim("FM01", by="correlation of log(step / batch) and the log of the largest eigenvalue, over settings",
             region=below(-0.6), **FLAT)  # fmt: skip
def noise_is_flat(t: Tables) -> Interval:
    """At one training loss, the larger the ratio of step to batch, the smaller is the largest eigenvalue of the
    Hessian.
    """
    return _with_noise(t, "sharpness")


@study.claim("FM01b", by="correlation of log(step / batch) and the log of the trace, over settings", region=below(-0.6),
             origin=Origin.OURS, figure="a")  # fmt: skip
def noise_is_flat_on_average(t: Tables) -> Interval:
    """At one training loss, the larger the ratio of step to batch, the smaller the trace of the Hessian."""
    return _with_noise(t, "trace")


def _beyond(t: Tables, pair: str) -> Interval:
    """Mean loss beyond the second network of a pair over that beyond the first, on the line through both."""
    lines = arrived(t, "lines").query("pair == @pair").assign(log=lambda table: np.log(table.loss))
    second, first = lines[lines.alpha > 1 + 1e-9], lines[lines.alpha < -1e-9]
    return intervals.geometric_mean(np.exp(second.groupby("seed").log.mean() - first.groupby("seed").log.mean()))


# Planted: twice as high. In the paper's figures the narrow end is so by much more.
LINES = {"place": "second hand: figures of lines between networks", "figure": "c"}


@study.claim("FM01c", by="geometric mean loss beyond the network with the large batch over that beyond the other",
             region=above(1.0), margin=2.0, **LINES)  # fmt: skip
def large_batches_are_narrow(t: Tables) -> Interval:
    """On the line through two networks of one step, loss is higher beyond the one with the larger batch."""
    return _beyond(t, "batch")


@study.claim("FM01d", by="geometric mean loss beyond the network with the small step over that beyond the other",
             region=above(1.0), margin=2.0, **LINES)  # fmt: skip
def small_steps_are_narrow(t: Tables) -> Interval:
    """On the line through two networks of one batch, loss is higher beyond the one with the smaller step."""
    return _beyond(t, "step")


def _slices(t: Tables, along: str) -> Interval:
    """The largest over slices of the factor by which the eigenvalue changes with every doubling of the noise."""
    logs = np.log(_wide(t, "sharpness"))
    other = "batch" if along == "lr" else "lr"
    factors = []
    for value in logs.columns.unique(other):
        part = logs.xs(value, axis=1, level=other)
        factors.append(np.exp(intervals.slopes(np.log2(part.columns.to_numpy(float)), part.to_numpy())))
    table = np.stack(factors, 1)
    return intervals.largest_ratio(table if along == "lr" else 1 / table)


# Planted: 13 % for every doubling is 1.5 over the laptop's three doublings of the batch.
@study.claim("FM02", by="largest over steps of the factor in the eigenvalue for every halving of the batch",
             region=below(1.0), margin=1.15, **FLAT)  # fmt: skip
def smaller_batches(t: Tables) -> Interval:
    """At every step size, smaller batches end in flatter places, and larger ones in sharper places."""
    return _slices(t, "batch")


@study.claim("FM02b", by="largest over batches of the factor in the eigenvalue for every doubling of the step",
             region=below(1.0), margin=1.15, **FLAT)  # fmt: skip
def larger_steps(t: Tables) -> Interval:
    """At every batch size, larger steps end in flatter places, and smaller ones in sharper places."""
    return _slices(t, "lr")


@study.claim("FM03", by="rank correlation of the largest eigenvalue and test accuracy, over settings",
             region=below(0.0), margin=0.3, origin=Origin.ABSTRACT, source=WORKSHOP, figure="b")  # fmt: skip
def flat_is_accurate(t: Tables) -> Interval:
    """Settings that end in flatter places classify more test examples rightly."""
    return _ranks(t, "sharpness", "accuracy")


@study.claim("FM03b", by="rank correlation of the largest eigenvalue and test loss, over settings", region=above(0.0),
             margin=0.3, origin=Origin.OURS, figure="b")  # fmt: skip
def flat_has_less_loss(t: Tables) -> Interval:
    """Settings that end in flatter places have a lower test loss."""
    return _ranks(t, "sharpness", "test_loss")


@study.claim("FM03c", by="rank correlation of the largest eigenvalue and test accuracy over seeds, mean over settings",
             region=below(0.0), margin=0.3, origin=Origin.OURS, figure="b")  # fmt: skip
def flat_is_accurate_within(t: Tables) -> Interval:
    """Among networks of one step and one batch, too, those in flatter places classify more test examples rightly."""
    sharpness, accuracy = _wide(t, "sharpness").to_numpy(), _wide(t, "accuracy").to_numpy()

    def mean(rows: np.ndarray) -> float:
        ranked = (standardised(sharpness[rows].T) * standardised(accuracy[rows].T)).mean(1)  # of each setting
        return float(np.nanmean(ranked)) if np.isfinite(ranked).any() else np.nan

    return intervals.resampled(mean, len(sharpness), reach=CORRELATION)


def icc(values: np.ndarray, groups_of: np.ndarray) -> float:
    """Intraclass correlation of values in groups of unequal size: the share of variance between groups.

    One-way analysis of variance; without an effect of the group it is 0 on average, whatever the number of groups.
    """
    groups_of, values = np.asarray(groups_of), np.asarray(values, dtype=float)
    own = [values[groups_of == group] for group in np.unique(groups_of)]
    sizes, count, k = np.array([len(part) for part in own]), len(values), len(own)
    between_groups = sum(len(part) * (part.mean() - values.mean()) ** 2 for part in own) / (k - 1)
    within = sum(((part - part.mean()) ** 2).sum() for part in own) / (count - k)
    size = (count - (sizes**2).sum() / count) / (k - 1)
    return float((between_groups - within) / (between_groups + (size - 1) * within))


RATIO = {"origin": Origin.ABSTRACT, "place": "version 1, invariance under a common factor"}


@study.claim("FM04", by="intraclass correlation of the log eigenvalue, grouped by step / batch", region=above(0.8),
             reach=CORRELATION, figure="a", **RATIO)  # fmt: skip
def only_the_ratio(t: Tables) -> Interval:
    """How flat the place is depends on the ratio of step to batch, and hardly on the two apart."""
    logs = np.log(_wide(t, "sharpness"))
    ratios = np.round([np.log2(lr / batch) for lr, batch in logs.columns], 6)
    return intervals.mean([icc(row, ratios) for row in logs.to_numpy()], CORRELATION)


def _powers(t: Tables) -> Interval:
    """The power of the batch in the largest eigenvalue over that of the step, with the sign changed.

    1 is the law of the ratio, 0.5 that of a step divided by the root of the batch, 0 a law of the step alone.
    """
    logs = np.log(_wide(t, "sharpness"))
    lr, batch = np.log(np.array(logs.columns.to_list(), dtype=float)).T
    design = np.stack([np.ones(len(lr)), lr, batch], 1)
    powers = np.linalg.lstsq(design, logs.to_numpy().T, rcond=None)[0]  # [3, S]
    return intervals.resampled(lambda rows: float(-powers[2, rows].mean() / powers[1, rows].mean()), len(logs))


POWERS = {"by": "power of the batch in the eigenvalue over that of the step, with the sign changed", "figure": "a"}


# A fifth less, or the inverse.
@study.claim("FM04b", region=between(0.8, 1.25), origin=Origin.OURS, **POWERS)
def powers_agree(t: Tables) -> Interval:
    """A larger batch sharpens by the same power by which a larger step flattens."""
    return _powers(t)


@study.claim("FM04d", region=above(0.5), margin=0.25, origin=Origin.OURS, **POWERS)
def more_than_a_root(t: Tables) -> Interval:
    """The batch counts for more than its square root would, beside the step."""
    return _powers(t)


@study.claim("FM04c", by="geometric mean loss beyond the one network over that beyond the other, equal ratio",
             region=between(2 / 3, 1.5), **LINES)  # fmt: skip
def equal_ratios_are_as_wide(t: Tables) -> Interval:
    """On the line through two networks of one ratio of step to batch, both ends are about equally wide."""
    return _beyond(t, SAME)


# --- along the way ---------------------------------------------------------------------------------------------------

ALONG = {"place": "second hand: curves of accuracy, square-root scaling in version 3", "figure": "d",
         "unless": curves_lost}  # fmt: skip


def _curves(t: Tables, role: str) -> np.ndarray:
    """Training accuracy `[S, T]` over epochs."""
    return t["curves"][t["curves"].role == role].pivot_table("accuracy", "seed", "epoch").to_numpy()


def _gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The mean gap between two curves of each seed. (The largest one is that of a single look, early and steep.)"""
    return np.abs(one - other).mean(1)


def between_seeds(curves: np.ndarray) -> np.ndarray:
    """The mean gaps `[S // 2]` between the curves of the first and second seed, of the third and fourth, and so on: no
    seed is in two pairs."""
    pairs = len(curves) // 2
    return _gap(curves[: 2 * pairs : 2], curves[1 : 2 * pairs : 2])


def _over_seeds(t: Tables, role: str) -> Interval:
    """The gap that a change of step and batch makes, geometric mean of the two seeds of a pair, over that of the
    pair."""
    base = _curves(t, BASE)
    gaps, other = _gap(_curves(t, role), base), between_seeds(base)
    count = 2 * len(other)
    return intervals.ratio(np.sqrt(gaps[:count:2] * gaps[1:count:2]), other)


@study.claim("FM05", by="ratio of the mean gaps to the curve of the smaller batch: square root over linear",
             region=above(1.0), **ALONG)  # fmt: skip
def linear_is_closer(t: Tables) -> Interval:
    """With step and batch four times as large, accuracy over epochs stays closer to the curve as it was than with four
    times the batch and twice the step.
    """
    base = _curves(t, BASE)
    return intervals.ratio(_gap(_curves(t, SQUARE), base), _gap(_curves(t, SAME), base))


@study.claim("FM05b", by="ratio of the mean gaps: linear scaling over a pair of seeds", region=below(1.0), **ALONG)
def linear_is_as_close_as_seeds(t: Tables) -> Interval:
    """With step and batch four times as large, accuracy over epochs departs less than between two seeds."""
    return _over_seeds(t, SAME)


@study.claim("FM05c", by="ratio of the mean gaps: square-root scaling over a pair of seeds", region=above(1.0), **ALONG)
def square_root_is_further_than_seeds(t: Tables) -> Interval:
    """With four times the batch and twice the step, accuracy over epochs departs more than between two seeds."""
    return _over_seeds(t, SQUARE)


# --- schedules -------------------------------------------------------------------------------------------------------

GAP = -1.0, 1.0  # what a difference of accuracies can be
CYCLIC = {"figure": "e", "scope": "{params.cycled_scope}", "unless": schedules_lost}
REPLACED = {"origin": Origin.ABSTRACT, "place": "version 3, on schedules", **CYCLIC}
TABLED = {"place": "second hand: table of schedules", **CYCLIC}


def _ends(t: Tables) -> pd.DataFrame:
    """Test accuracy at the end `[S, arms]`."""
    table = t["schedules"]
    return table[table.phase == table.phase.max()].pivot_table("accuracy", "seed", "arm")


# One percentage point: half of what cycles gain over constants in the paper; its two cycles differ by 0.15 points.
@study.claim("FM06", by="test accuracy, cyclic batch minus cyclic step", region=between(-NEAR, NEAR), **REPLACED)
def batches_for_steps(t: Tables) -> Interval:
    """A cyclic schedule of batches ends as accurate as the cyclic schedule of steps with the same ratios."""
    ends = _ends(t)
    return intervals.mean(ends["cyclic batch"] - ends["cyclic step"], GAP)


@study.claim("FM06b", by="test accuracy, mean of the cyclic schedules minus mean of the constant lower ratios",
             region=above(0.0), margin=NEAR, **TABLED)  # fmt: skip
def cycles_help(t: Tables) -> Interval:
    """Both together, cyclic schedules end more accurate than the lower of their ratios held throughout."""
    ends = _ends(t)
    return intervals.mean(_cyclic(ends) - ends[["small step", "large batch"]].mean(axis=1), GAP)


@study.claim("FM06c", by="test accuracy, large batch minus small step, the lower ratio throughout",
             region=between(-NEAR, NEAR), **TABLED)  # fmt: skip
def constants_agree(t: Tables) -> Interval:
    """Held throughout, the lower ratio ends as accurate with a large batch as with a small step."""
    ends = _ends(t)
    return intervals.mean(ends["large batch"] - ends["small step"], GAP)


@study.claim("FM06d", by="test accuracy, mean of the cyclic schedules minus the constant mean step", region=above(0.0),
             margin=NEAR, origin=Origin.OURS, **CYCLIC)  # fmt: skip
def cycles_beat_their_mean(t: Tables) -> Interval:
    """Cyclic schedules end more accurate than a constant step with the same mean ratio over epochs."""
    ends = _ends(t)
    return intervals.mean(_cyclic(ends) - ends["mean step"], GAP)


def _cyclic(ends: pd.DataFrame) -> pd.Series:
    return ends[["cyclic batch", "cyclic step"]].mean(axis=1)


# --- wrong labels ----------------------------------------------------------------------------------------------------


def at_crossing(t: Tables, watched: str, level: float, read: str) -> pd.DataFrame:
    """Values `[S, cells]` of one column when another first reaches a level, the columns of the table being ratios.

    Between two looks both are taken as straight lines. Settings in which a seed never reaches the level are left out.
    """
    found = {}
    for (lr, batch), cell in t["memory"].sort_values("time").groupby(["lr", "batch"]):
        rows = cell.groupby("seed")[[watched, read]].apply(lambda own: _crossing(*own.to_numpy().T, level))
        if rows.notna().all():
            found[lr, batch] = rows
    table = pd.DataFrame(found)
    table.columns = [round(np.log2(lr / batch), 6) for lr, batch in found]
    return table


def _crossing(watched: np.ndarray, read: np.ndarray, level: float) -> float:
    """The value of `read` where `watched` first reaches the level; NaN if it never does."""
    if not (watched >= level).any():
        return np.nan
    at = int((watched >= level).argmax())
    if at == 0:
        return float(read[0])
    part = (level - watched[at - 1]) / (watched[at] - watched[at - 1])
    return float(read[at - 1] + part * (read[at] - read[at - 1]))


def _slope(table: pd.DataFrame) -> Interval:
    """Slope on the log2 of the ratio, mean over seeds."""
    if table.columns.nunique() < 2:
        return intervals.nothing()
    return intervals.mean(intervals.slopes(table.columns.to_numpy(float), table.to_numpy()))


# Planted: a point of accuracy for every doubling of the ratio.
@study.claim("FM07", by="slope of test accuracy on log2(step / batch), when half of the wrong labels are fitted",
             region=above(0.0), margin=NEAR, place="second hand: figure of random labels", figure="f",
             unless=unfitted)  # fmt: skip
def noise_generalises(t: Tables) -> Interval:
    """Of networks that fit half of their wrong labels, those trained with more noise classify more test examples
    rightly.
    """
    return _slope(at_crossing(t, "wrong", HALF, "accuracy"))


# By epochs it is the other way round: at a larger ratio of step to batch, more happens in each.
@study.claim("FM07b", by="slope of the share of wrong labels fitted on log2(step / batch), after a sum of steps of "
             "{params.noisy_half:g}", region=below(0.0), margin=NEAR, origin=Origin.ABSTRACT,
             place="version 3, on memorization", figure="f", unless=labels_lost)  # fmt: skip
def noise_memorises_less(t: Tables) -> Interval:
    """After the same sum of steps, networks trained with more noise have memorised fewer wrong labels."""
    looks = t["memory"].time.unique()
    at = looks[np.abs(looks - t.params.noisy_half).argmin()]
    table = t["memory"][t["memory"].time == at].pivot_table("wrong", "seed", ["lr", "batch"])
    return _slope(table.set_axis([np.log2(lr / batch) for lr, batch in table.columns], axis=1))


# --- ever larger factors ---------------------------------------------------------------------------------------------

BROKEN = {"place": "second hand: figure of breaking points", "figure": "g", "unless": unbroken_base}


def breaks(t: Tables) -> pd.DataFrame:
    """The factor on step and batch at which mean accuracy has dropped by `drop`, a row a seed and size, as bounds.

    Between two factors that were tried accuracy is taken as a line on their logarithm. Where it never drops as far,
    the factor lies above the largest one.
    """
    rows = []
    table = t["breaking"].dropna(subset="accuracy")  # larger batches would not fit into the training set
    for (examples, seed), own in table.sort_values("factor").groupby(["examples", "seed"]):
        logs, fallen = np.log2(own.factor.to_numpy()), own.accuracy.to_numpy()[0] - own.accuracy.to_numpy()
        at = _crossing(fallen, logs, t.params.drop)
        bounds = (2.0 ** logs[-1], np.inf) if np.isnan(at) else (2.0**at, 2.0**at)
        rows.append((seed, examples, *bounds))
    return pd.DataFrame(rows, columns=["seed", "examples", "lower", "upper"])


@study.claim("FM08", by="share of draws of the largest training set in which accuracy drops by {drop:g}, up to a "
             "factor of {params.largest_factor:g}", region=above(0.5), margin=0.45, **BROKEN)  # fmt: skip
def equivalence_breaks(t: Tables) -> Interval:
    """Multiplied by a large enough factor, step and batch of an unchanged ratio no longer train to the same test
    accuracy.
    """
    found = breaks(t)
    return intervals.share(np.isfinite(found[found.examples == found.examples.max()].upper))


@study.claim("FM08b", by="share of draws in which accuracy drops by {drop:g} at a larger factor with the largest "
             "training set than with the smallest", region=above(0.5), margin=0.45, **BROKEN)  # fmt: skip
def more_data_break_later(t: Tables) -> Interval:
    """The more training examples, the larger the factor at which the equivalence breaks."""
    found = breaks(t).set_index("seed")
    large, small = (found[found.examples == size] for size in (t.params.subsets[-1], t.params.subsets[0]))
    return intervals.share(large.lower > small.upper)


# 1 is growth in proportion to the training set, 0 none. A step that is too large for the curvature does not move.
@study.claim("FM08c", by="growth of the factor as a power of the number of examples, from the second largest to the "
             "largest training set", region=below(0.5), margin=0.25, origin=Origin.OURS, figure="g",
             unless=unbroken_base)  # fmt: skip
def growth_comes_to_an_end(t: Tables) -> Interval:
    """For large training sets the factor at which the equivalence breaks no longer grows in proportion to them."""
    found = breaks(t).set_index("seed")
    small, large = (found[found.examples == size] for size in t.params.subsets[-2:])
    known = np.isfinite(small.upper) & np.isfinite(large.upper)
    powers = np.log(large.lower / small.upper) / np.log(t.params.subsets[-1] / t.params.subsets[-2])
    return intervals.mean(powers.where(known))  # a draw that is only a bound leaves no interval


# --- linear regression -----------------------------------------------------------------------------------------------

LAW = {"figure": "h", "scope": "linear regression, {dimension} features", "unless": diverged}
FACTORS = {"origin": Origin.OTHER, "source": "Luo and Wang 2020 (arXiv 2009.11858)", **LAW}
THEORY = {"place": "second hand: theory of version 3", **LAW}


def _small(t: Tables, world: str, way: str = "independent") -> pd.DataFrame:
    """The regressions at small steps."""
    found = t["regression"]
    return found[(found.world == world) & (found.way == way) & (found.lr < t.params.large_step)]


def _per_seed(values: pd.Series, seeds: pd.Series) -> Interval:
    """Geometric mean of ratios, first over the settings of each seed."""
    return intervals.geometric_mean(np.exp(np.log(values).groupby(seeds).mean()))


@study.claim("FM09", by="excess loss over step / (4 batch) times the trace, in units of the noise, small steps",
             region=between(0.9, 1.1), **THEORY)  # fmt: skip
def law_of_three(t: Tables) -> Interval:
    """Where gradients scatter as the Hessian says and steps are small, SGD settles above the minimum by
    step / (4 batch) times the trace of the Hessian.
    """
    found = _small(t, "right")
    return _per_seed(found.measured / found.three, found.seed)


@study.claim("FM09b", by="the same ratio at a step of {params.large_step:g}, smallest batch", region=above(1.1),
             margin=1.1, origin=Origin.OTHER, source="Liu et al. 2021 (arXiv 2012.03636)", **LAW)  # fmt: skip
def large_steps_settle_higher(t: Tables) -> Interval:
    """Where steps are large, SGD settles higher above the minimum than the law for small steps says."""
    found = t["regression"].query("world == 'right' and way == 'independent'")
    found = found[(found.lr == t.params.large_step) & (found.batch == found.batch.min())]
    return _per_seed(found.measured / found.three, found.seed)


# Foregone: the noise is made so that the covariance has half as much trace again as the law of three assumes.
@study.claim("FM09c", by="the ratio of FM09 where noise grows with the first feature", region=above(1.1), margin=1.1,
             kind=Kind.CHECK, **FACTORS)  # fmt: skip
def three_are_too_few(t: Tables) -> Interval:
    """Where gradients do not scatter as the Hessian says, the trace of the Hessian does not tell where SGD settles."""
    found = _small(t, "wrong")
    return _per_seed(found.measured / found.three, found.seed)


@study.claim("FM09d", by="excess loss over step / (4 batch) times the trace of the covariance of gradients, where "
             "noise grows with the first feature, small steps", region=between(0.9, 1.1), **FACTORS)  # fmt: skip
def law_of_four(t: Tables) -> Interval:
    """With the covariance of gradients as a factor of its own, the law holds there as well."""
    found = _small(t, "wrong")
    return _per_seed(found.measured / found.four, found.seed)


@study.claim("FM09e", by="excess loss with batches from shuffled epochs over that with independent batches, "
             "small steps", region=below(1.0), margin=1.15, origin=Origin.OURS, **LAW)  # fmt: skip
def epochs_settle_lower(t: Tables) -> Interval:
    """Where every epoch passes once over the examples, SGD settles lower than with independent batches."""
    key = ["seed", "lr", "batch"]
    one, other = (_small(t, "right", way).set_index(key).measured for way in ("epochs", "independent"))
    ratio = (one / other).reset_index()
    return _per_seed(ratio.measured, ratio.seed)


@study.claim("FM09f", by="largest departure from 1 of the excess loss over its closed form for any step, over settings",
             region=below(0.1), kind=Kind.CHECK, origin=Origin.OURS, **LAW)  # fmt: skip
def closed_form(t: Tables) -> Interval:
    """For steps of any size, the closed form says where SGD on linear regression settles."""
    found = t["regression"].query("way == 'independent'")
    logs = np.log(found.measured / found.exact).groupby([found.world, found.batch, found.lr]).mean()
    return intervals.exact(float(np.abs(np.exp(logs) - 1).max()), found.seed.nunique())


# --- what is disputed ------------------------------------------------------------------------------------------------

DINH = {"origin": Origin.OTHER, "source": "Dinh et al. 2017 (arXiv 1703.04933)", "kind": Kind.CHECK, "figure": "b"}


@study.claim("FM10", by="largest eigenvalue of the noisiest networks, first layer made larger and second "
             "smaller, over the largest in the grid", region=above(1.0), **DINH)  # fmt: skip
def sharp_and_the_same(t: Tables) -> Interval:
    """The flattest networks can be rewritten, without a change of what they compute, to be sharper than all others."""
    highest = _wide(t, "sharpness").max(axis=1)
    return intervals.geometric_mean(arrived(t, "rescaled").set_index("seed").rescaled / highest)


@study.claim("FM10b", by="relative sharpness of the same networks over that before they were rewritten",
             region=between(0.99, 1.01), **DINH)  # fmt: skip
def relative_sharpness_stays(t: Tables) -> Interval:
    """Rewriting does not change the sharpness that counts changes of a weight in its own size."""
    relative = _wide(t, "relative")[max(t.params.cells, key=lambda cell: cell[0] / cell[1])]
    ratio = arrived(t, "rescaled").set_index("seed").rescaled_relative / relative
    return intervals.exact(float(ratio.iloc[int((ratio - 1).abs().to_numpy().argmax())]), len(ratio))


@study.claim("FM10c", by="correlation of log(step / batch) and the log of the relative sharpness, over settings",
             region=below(-0.6), origin=Origin.OURS, figure="b")  # fmt: skip
def noise_is_flat_relative_to_weights(t: Tables) -> Interval:
    """With changes of each weight counted in its own size, so that no rewriting matters, more noise still ends in
    flatter places.
    """
    return _with_noise(t, "relative")


# --- kicks -----------------------------------------------------------------------------------------------------------

KICKS = {"origin": Origin.OURS, "figure": "i", "unless": kicks_lost}
LINKED = 0.05  # below it a barrier counts as none


def kicked_by(t: Tables, size: float) -> pd.DataFrame:
    """Twins kicked by one size, with the sharpness of where they were kicked."""
    key = ["seed", "lr", "batch"]
    return arrived(t, "kicks").query("size == @size").merge(t["networks"][[*key, "sharpness"]], on=key)


def _with_sharpness(t: Tables, column: str) -> Interval:
    """Rank correlation of what is left of a small kick with sharpness, over the cells of each seed, mean over seeds."""
    seeds = kicked_by(t, min(t.params.kick_sizes)).groupby("seed")
    return intervals.correlation([stats.spearmanr(own.sharpness, own[column]).statistic for _, own in seeds])


@study.claim("FM11", by="rank correlation over settings of the largest eigenvalue and the share of a small kick that "
             "is left in the weights", region=above(0.0), margin=0.3, **KICKS)  # fmt: skip
def flat_forgets(t: Tables) -> Interval:
    """Kicked at one training loss and trained on for one sum of steps, weights in flatter places keep less of a small
    kick.
    """
    return _with_sharpness(t, "left")


@study.claim("FM11b", by="rank correlation over settings of the largest eigenvalue and the share of a small kick that "
             "is left in the outputs", region=above(0.0), margin=0.3, **KICKS)  # fmt: skip
def flat_forgets_in_outputs(t: Tables) -> Interval:
    """Kicked at one training loss and trained on for one sum of steps, outputs in flatter places keep less of a small
    kick.
    """
    return _with_sharpness(t, "gap")


@study.claim("FM11c", by="share of seeds in which no large kick leaves a barrier of 0.05 in any setting",
             region=above(0.5), margin=0.45, **KICKS)  # fmt: skip
def kicks_are_forgotten_everywhere(t: Tables) -> Interval:
    """Kicked as late as this, twins end in the valley of their parent, however much noise led there."""
    return intervals.share(kicked_by(t, max(t.params.kick_sizes)).groupby("seed").twin_barrier.max() < LINKED)


@study.claim("FM11d", by="share of seeds in which a small kick grows in the weights, at the largest ratio of step to "
             "batch", region=above(0.5), margin=0.45, **KICKS)  # fmt: skip
def noise_makes_kicks_grow(t: Tables) -> Interval:
    """At the largest ratio of step to batch, where places are flattest, a small kick does not fade but grows."""
    kicked = kicked_by(t, min(t.params.kick_sizes))
    return intervals.share(kicked[kicked.ratio == kicked.ratio.max()].left > 1)
