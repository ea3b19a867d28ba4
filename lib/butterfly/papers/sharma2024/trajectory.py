"""Notebook 20: one permutation for a whole trajectory, and for networks pruned from it.

Pairs of independent networks are aligned at every checkpoint of training, and each permutation is tried at every other
checkpoint. Then both networks are pruned, level after level, and the permutation of the dense networks is tried on the
sparse ones; at last it carries the mask of one network over to the other.
"""

from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import align, prune
from butterfly.align import Permutation
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.papers.sharma2024 import PAPER
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Shard, Study, Tables, above, below, intervals
from butterfly.study.claims import Kind, lost
from butterfly.study.parameters import check_looks
from butterfly.study.tables import grid, stacked
from butterfly.train import Observer, train

METHODS = ("weights", "activations")
METRICS = ("error", "loss")
DENSE = 0  # the level of networks that are not pruned
FLOOR = 0.01  # an error barrier that counts as none
BEGUN = 2.0  # percent of training from which on there is a barrier to remove
LEVEL_WAYS = ("none", "dense_weights")


class Params(OneModel):
    """Parameters of notebook 20; checkpoints and the rewind point are in percent of the training steps."""

    setting: str = "digits"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    pairs: int = Field(3, ge=1)
    pairs_per_shard: int = Field(3, ge=1)
    checkpoints: tuple[float, ...] = (0.0, 10.0, 50.0, 100.0)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    restarts: int = Field(1, ge=1)  # of weight matching
    examples: int = Field(500, ge=10)  # for activation matching
    levels: int = Field(2, ge=1)  # of pruning
    fraction: float = Field(0.5, gt=0, lt=1)  # of the weights that are left, pruned at every level
    rewind: float = Field(10.0, ge=0, lt=100)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        times = list(self.checkpoints)
        if len(times) < 3 or times != sorted(set(times)) or not 0 <= times[0] <= times[-1] == 100:
            raise ValueError(f"checkpoints = {times}: give three or more rising percentages that end at 100")
        self.chosen(self.setting)
        return self


study = Study("20_trajectory", Params, PAPER, origin=Origin.ABSTRACT)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few pairs."""
    setting = params.chosen(params.setting, params.steps)
    check_looks(setting, params.checkpoints)
    return study.every_few(params, setting, units="pairs")


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train, align, prune, transport, for some pairs `[K]` at once: checkpoints `[T]`, layers `[L]`, levels `[V]`.

    Arrays are called by the table that they belong to, and the method.
    """
    pairs = _Pairs(bench)
    looks = [bench.setting.step_at(time) for time in bench["checkpoints"]]
    copy = Observer("copy", lambda now: now.theta.clone(), frozenset({*looks, pairs.rewind}), state=())
    seen = dict(train(bench.model, bench.task, bench.recipe, pairs.seeds, observers=[copy]).recorded("copy"))
    along = _along(pairs, torch.stack([seen[look] for look in looks]))
    start = seen[pairs.rewind]
    sparse = _prune(pairs, start, seen[bench.recipe.steps])
    fits = [pairs.fit(theta) for _, theta in sparse]
    return {**along, **_levels(pairs, sparse, fits), **_transport(pairs, start, sparse, fits[DENSE])}


class _Pairs:
    """Pairs of networks, aligned and measured: the evens `a` of a stack `[2 K, P]` against the odds `b`."""

    def __init__(self, bench: Bench):
        self.bench, self.layout = bench, bench.model.layout
        self.seeds = [seed for pair in bench["pairs"] for seed in (2 * pair, 2 * pair + 1)]
        self.rewind = bench.setting.step_at(bench["rewind"])

    def fit(self, stack: Tensor) -> dict[str, Permutation]:
        """The permutations of `b` by each method."""
        a, b, bench = stack[0::2], stack[1::2], self.bench
        return {
            "weights": align.weight_matching(self.layout, a, b, bench["restarts"]).permutation,
            "activations": align.activation_matching(bench.model, a, b, bench.task.x[: bench["examples"]]),
        }

    def barrier(self, stack: Tensor, permutation: Permutation | None = None) -> np.ndarray:
        """Barriers of the error and of the loss `[2, K]`, on the training set, after `b` is permuted."""
        a, b, bench = stack[0::2], stack[1::2], self.bench
        if permutation is not None:
            b = align.permute(self.layout, b, permutation)
        both = barriers(bench.model, a, b, bench.task.sample.x, bench.task.sample.y, bench["points"])
        return np.array([both.of_error.numpy(), both.of_loss.numpy()])

    def random(self) -> Permutation:
        """A random permutation a pair: the control that says what permuting as such does."""
        return align.shuffled(self.layout, [generator("control", pair) for pair in self.bench["pairs"]])

    def again(self, seeds: list[int], start: Tensor, mask: Tensor) -> Tensor:
        """Networks trained from the rewind point to the end with masks."""
        bench = self.bench
        return train(bench.model, bench.task, bench.recipe, seeds, init=start, start=self.rewind, mask=mask).theta


def _same(one: Permutation, other: Permutation) -> np.ndarray:
    """Share of the units of each layer that both put in the same place `[K, L]`."""
    return torch.stack(list(align.fixed_points(one, other).values()), 1).numpy()


def _along(pairs: _Pairs, stacks: Tensor) -> Arrays:
    """Barriers under every permutation at every checkpoint of `stacks [T, 2 K, P]`; what the permutations share."""
    fits = [pairs.fit(stack) for stack in stacks]
    arrays = {}
    for method in METHODS:
        # [T fitted, T tried, error or loss, K]
        arrays[f"along {method}"] = np.array([[pairs.barrier(stack, fit[method]) for stack in stacks] for fit in fits])
        arrays[f"same {method}"] = np.stack([_same(fit[method], fits[-1][method]) for fit in fits])
    for control, permutation in (("none", None), ("random", pairs.random())):
        arrays[f"along {control}"] = np.array([pairs.barrier(stack, permutation) for stack in stacks])
    return arrays


def _prune(pairs: _Pairs, start: Tensor, end: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Iterative magnitude pruning with rewinding: the masks and the trained networks `[2 K, P]` of every level."""
    levels = [(prune.dense(pairs.layout, len(end)), end)]
    for _ in range(pairs.bench["levels"]):
        mask, trained = levels[-1]
        mask = prune.by_magnitude(pairs.layout, trained, mask, pairs.bench["fraction"])
        levels.append((mask, pairs.again(pairs.seeds, start, mask)))
    return levels


def _levels(pairs: _Pairs, sparse: list[tuple[Tensor, Tensor]], fits: list[dict[str, Permutation]]) -> Arrays:
    """Barriers at every level under no, the dense, and the level's own permutation; what the last two share."""
    masks, stacks = zip(*sparse, strict=True)
    arrays = {
        "density": np.stack([prune.density(pairs.layout, mask).numpy()[0::2] for mask in masks]),
        "levels none": np.array([pairs.barrier(stack) for stack in stacks]),
    }
    for method in METHODS:
        own, dense = [fit[method] for fit in fits], fits[DENSE][method]
        arrays[f"levels dense_{method}"] = np.array([pairs.barrier(stack, dense) for stack in stacks])
        arrays[f"levels own_{method}"] = np.array(list(map(pairs.barrier, stacks, own)))
        arrays[f"level_same {method}"] = np.stack([_same(one, dense) for one in own])
    return arrays


def _transport(
    pairs: _Pairs, start: Tensor, sparse: list[tuple[Tensor, Tensor]], dense: dict[str, Permutation]
) -> Arrays:
    """Test error `[V, K]` of `b` trained with the mask of `a`, carried over in several ways, or with its own."""
    layout, bench = pairs.layout, pairs.bench
    carriers = {"permuted": dense["weights"], "permuted by activations": dense["activations"], "random": pairs.random()}
    errors: dict[str, list[np.ndarray]] = {}
    for mask, theta in sparse[1:]:
        masks = {name: align.permute(layout, mask[0::2], align.inverse(p)) for name, p in carriers.items()}
        masks["unpermuted"] = mask[0::2]
        # One shot: the network at the rewind point, pruned at once to the same number of weights.
        share = 1 - float(prune.density(layout, mask)[0]) + 1e-9  # against rounding down
        masks["one shot"] = prune.by_magnitude(layout, start[1::2], prune.dense(layout, len(theta) // 2), share)
        trained = {name: pairs.again(pairs.seeds[1::2], start[1::2], m) for name, m in masks.items()}
        for name, stack in {**trained, "own": theta[1::2]}.items():
            _, error = evaluate(bench.model, stack, bench.task.sample.x_test, bench.task.sample.y_test)
            errors.setdefault(f"transport {name}", []).append(error.cpu().numpy())
    return {name: np.stack(values) for name, values in errors.items()}


# --- tables ----------------------------------------------------------------------------------------------------------

# The axes of the arrays behind each table; an array that has no first one lacks it (no permutation, fitted nowhere).
AXES = {
    "along": ["fitted", "at", "metric", "pair"],
    "same": ["fitted", "pair", "layer"],
    "levels": ["level", "metric", "pair"],
    "level_same": ["level", "pair", "layer"],
    "transport": ["level", "pair"],
}


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, one for each of `AXES`.

    `same` and `level_same` are the share of units placed as by the last, and by the dense permutation.
    """
    tables = stacked(part for shard in shards for part in _parts(shard))
    density = tables.pop("density")
    tables = {name: table.merge(density) if "level" in table else table for name, table in tables.items()}
    return {name: table.assign(setting=params.setting) for name, table in tables.items()}


def _parts(shard: Shard) -> list[dict[str, pd.DataFrame]]:
    """The arrays of one shard as rows, by table."""
    pairs, times, levels = shard.config["pairs"], shard.config["checkpoints"], range(len(shard["density"]))
    parts = [{"density": grid(shard["density"], {"level": levels, "pair": pairs}, "density")}]
    labels = {"fitted": times, "at": times, "metric": METRICS, "pair": pairs, "layer": None}
    for name, values in shard.found.items():
        if name != "density":
            table, method = name.split(" ", 1)
            labels["level"] = levels[-len(values) :]  # nothing is carried over at level 0
            axes = {axis: labels[axis] for axis in AXES[table][-values.ndim :]}
            parts.append({table: grid(values, axes).assign(method=method)})
    return parts


# --- claims ----------------------------------------------------------------------------------------------------------

# Who says what the abstract does not, and the figures that show it.
ALONG = {"origin": Origin.NOTEBOOK, "place": "nnperm, plots/barrier-stability.ipynb", "figure": "b"}
SHARED = {"origin": Origin.NOTEBOOK, "place": "nnperm, plots/fixed-points.ipynb", "figure": "b"}
PRUNED = {"origin": Origin.NOTEBOOK, "place": "nnperm, plots/fixed-points-sparse.ipynb", "figure": "c"}
MASKS = {"origin": Origin.OTHER, "place": "abstract", "source": "Adnan et al. 2025 (arXiv 2505.05143)", "figure": "d"}


@study.unless
def lost_barriers(t: Tables) -> str:
    """Claims are void where a barrier has no finite loss."""
    losses = pd.concat([t[name].query("metric == 'loss'") for name in ("along", "levels")])
    return lost(losses[["value"]], "barriers have no finite loss")


def _along_training(t: Tables, method: str) -> pd.DataFrame:
    """Error barriers `[pair, method and checkpoint]` without a permutation, and under the last of a method."""
    along = t["along"].query("metric == 'error' and (method == 'none' or method == @method and fitted == 100)")
    return along.pivot_table("value", "pair", ["method", "at"])


def _at_end(t: Tables) -> pd.DataFrame:
    """Error barriers at the end under the permutations of weight matching `[pair, checkpoint fitted at]`."""
    end = t["along"].query("metric == 'error' and method == 'weights' and at == 100")
    return end.pivot_table("value", "pair", "fitted")


def _same_before_end(t: Tables) -> pd.DataFrame:
    """Shares of the units that permutations of weight matching, fitted before the end, place as the last one."""
    return t["same"].query("method == 'weights' and fitted < 100")


def _worst(aligned: pd.DataFrame, none: pd.DataFrame) -> Interval:
    """The largest, over columns, of the ratio of mean barriers: aligned to not aligned; pairs are resampled."""
    above, below_ = aligned.to_numpy(), none.to_numpy()
    if len(above) < 2:
        return intervals.nothing(intervals.POSITIVE)

    def largest(rows: np.ndarray) -> float:
        # Of means, not the mean of ratios, in which a pair that happens to have no barrier would decide.
        return float((above[rows].mean(0) / np.maximum(below_[rows].mean(0), EPSILON)).max())

    return intervals.resampled(largest, len(above), reach=intervals.POSITIVE)


def _all_along(t: Tables, method: str) -> Interval:
    """The same over checkpoints, under the last permutation of a method."""
    barrier = _along_training(t, method)
    counted = [time for time in barrier["none"] if time >= BEGUN]
    return _worst(barrier[method][counted], barrier["none"][counted])


@study.claim("P01", by="ratio of error barriers at the end, weight matching to none", region=below(0.3), figure="ab")
def aligned(t: Tables) -> Interval:
    """Aligning the units removes most of the barrier between independent networks."""
    barrier = _along_training(t, "weights")
    return intervals.ratio(barrier.weights[100], barrier.none[100], EPSILON)


WORST = "largest ratio of mean error barriers, over {}, {} to no permutation"
ALL_ALONG = WORST.format(f"checkpoints from {BEGUN:g} % on", "last")


@study.claim("P02", by=ALL_ALONG, region=below(0.3), margin=0.1, figure="a")
def aligned_along_training(t: Tables) -> Interval:
    """The permutation that weight matching finds at the end aligns the networks all along their training."""
    return _all_along(t, "weights")


@study.claim("P02b", by=ALL_ALONG, region=below(0.3), margin=0.1, origin=Origin.OURS, figure="a")
def aligned_along_training_by_activations(t: Tables) -> Interval:
    """The permutation that activation matching finds at the end aligns the networks all along their training."""
    return _all_along(t, "activations")


@study.claim(
    "P03", by="rank correlation of checkpoint fitted at and barrier at the end", region=below(-0.8), margin=0.1, **ALONG
)
def later_aligns_better(t: Tables) -> Interval:
    """The later a permutation is fitted, the better it aligns the end."""
    end = _at_end(t)
    return intervals.correlation([stats.spearmanr(end.columns, row).statistic for row in end.to_numpy()])


def few_settle_early(t: Tables) -> str:
    """Void with fewer than six pairs in which a permutation fitted before the end aligns it as well as the last."""
    count = len(_settled(t))
    return lost_barriers(t) or (f"in {count} pairs only does an earlier permutation align the end" if count < 6 else "")


def _settled(t: Tables) -> list[float]:
    """In pairs where a permutation fitted before the end aligns it as well as the last: the units it shares with it."""
    shares = _same_before_end(t).groupby(["pair", "fitted"]).value.mean().unstack()
    found = []
    for pair, row in _at_end(t).iterrows():
        first = row.index[row <= row[100] + FLOOR][0]
        found += [] if first == 100 else [shares.loc[pair, first]]
    return found


@study.claim(
    "P04", by=f"units placed as by the last permutation, by the first within {FLOOR:g} of its barrier at the end",
    region=below(0.9), reach=intervals.SHARE, unless=few_settle_early, **SHARED,
)  # fmt: skip
def keep_changing(t: Tables) -> Interval:
    """Permutations keep changing after they align the end as well as the last: a tenth of the units still move."""
    return intervals.mean(_settled(t), intervals.SHARE)


@study.claim(
    "P05",
    by="units placed as by the last permutation, first layer minus last",
    region=above(0.0),
    margin=0.05,
    **SHARED,
)
def first_layer_settles_first(t: Tables) -> Interval:
    """The first layer's permutation settles before the last hidden layer's."""
    layers = _same_before_end(t).pivot_table("value", ["pair", "fitted"], "layer")
    return intervals.mean((layers.iloc[:, 0] - layers.iloc[:, -1]).groupby("pair").mean(), (-1, 1))


@study.claim("P06", by=WORST.format("levels", "dense"), region=below(0.5), margin=0.2, figure="c")
def dense_aligns_pruned(t: Tables) -> Interval:
    """The permutation of the dense networks aligns pruned ones, down to a tenth of the weights."""
    levels = t["levels"].query("metric == 'error' and density >= 0.1")
    none, dense = (levels[levels.method == name].pivot_table("value", "pair", "level") for name in LEVEL_WAYS)
    return _worst(dense, none)


# Units that pruning empties can stand anywhere, so that few shared places are to be expected.
@study.claim(
    "P07",
    by="share of units placed as by the dense one, mean over levels",
    region=below(0.5),
    kind=Kind.CHECK,
    **PRUNED,
)
def another_when_pruned(t: Tables) -> Interval:
    """A permutation fitted to pruned networks is another one."""
    shares = t["level_same"].query("method == 'weights' and level > 0")
    return intervals.mean(shares.groupby("pair").value.mean(), intervals.SHARE)


@study.claim(
    "P08", by="test error at the sparsest level, permuted minus unpermuted", region=below(0.0), margin=0.01, **MASKS
)
def carried_masks_train_better(t: Tables) -> Interval:
    """With few weights left, a mask carried over by the permutation trains better than the same mask as it is."""
    last = t["transport"].query("level == level.max()").pivot_table("value", "pair", "method")
    return intervals.mean(last.permuted - last.unpermuted, (-1, 1))
