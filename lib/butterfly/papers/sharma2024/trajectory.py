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

from butterfly import align, claims, data, models, prune
from butterfly.align import Permutation
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import EPSILON, check_looks, chosen, every_few, unless_lost
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.streams import generator
from butterfly.train import Observer, train

NOTEBOOK = "20_trajectory"
PAPER = "Sharma et al. 2024 (arXiv 2404.06498)"
METHODS = ("weights", "activations")
METRICS = ("error", "loss")
DENSE = 0  # the level of networks that are not pruned


class Params(Common):
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
        chosen(self.setting, None)
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every few pairs."""
    check_device(params.device)
    setting = chosen(params.setting, params.steps)
    check_looks(setting, params.checkpoints)
    return every_few(params, setting, "pairs")


def compute_shard(config: Config) -> Arrays:
    """Train, align, prune, transport, for some pairs `[K]` at once: checkpoints `[T]`, layers `[L]`, levels `[V]`."""
    setting = Setting.read(config["setting"], "setting")
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    seeds = [seed for pair in config["pairs"] for seed in (2 * pair, 2 * pair + 1)]
    last = setting.recipe.steps
    looks = [round(time / 100 * last) for time in config["checkpoints"]]
    rewind = round(config["rewind"] / 100 * last)
    copy = Observer("copy", lambda now: now.theta.clone(), frozenset({*looks, rewind}))
    seen = dict(train(model, task, setting.recipe, seeds, observers=[copy]).recorded("copy"))
    bench = _Bench(model, task, config)
    along = _along(bench, torch.stack([seen[look] for look in looks]))
    sparse = _prune(bench, setting, seeds, seen[rewind], seen[last], rewind)
    return {**along, **_levels(bench, sparse), **_transport(bench, setting, seeds, seen[rewind], sparse, rewind)}


class _Bench:
    """Aligning and measuring pairs of networks: evens `a` against odds `b` of a stack `[2 K, P]`."""

    def __init__(self, model: Model, task: Data, config: Config):
        self.model, self.task, self.config = model, task, config

    def fit(self, stack: Tensor) -> dict[str, Permutation]:
        """The permutations of `b` by each method."""
        a, b, config = stack[0::2], stack[1::2], self.config
        return {
            "weights": align.weight_matching(self.model.layout, a, b, config["restarts"]).permutation,
            "activations": align.activation_matching(self.model, a, b, self.task.x[: config["examples"]]),
        }

    def barrier(self, stack: Tensor, permutation: Permutation | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Barrier of the error, and of the loss `[K]`, on the training set, after `b` is permuted."""
        a, b = stack[0::2], stack[1::2]
        if permutation is not None:
            b = align.permute(self.model.layout, b, permutation)
        found = barriers(self.model, a, b, self.task.x, self.task.y, self.config["points"])
        return found.of_error.numpy(), found.of_loss.numpy()

    def random(self) -> Permutation:
        """A random permutation a pair: the control that says what permuting as such does."""
        streams = [generator("control", pair) for pair in self.config["pairs"]]
        return align.shuffled(self.model.layout, streams)

    def same(self, one: Permutation, other: Permutation) -> np.ndarray:
        """Share of the units of each layer that both put in the same place `[K, L]`."""
        return torch.stack(list(align.fixed_points(one, other).values()), 1).numpy()


def _along(bench: _Bench, stacks: Tensor) -> Arrays:
    """Barriers under every permutation at every checkpoint of `stacks [T, 2 K, P]`; what the permutations share."""
    fitted = [bench.fit(stack) for stack in stacks]
    plain, shuffled = ([bench.barrier(stack, p) for stack in stacks] for p in (None, bench.random()))
    found = {}
    for method in METHODS:
        # [T fitted, T tried, error or loss, K]
        table = [[bench.barrier(stack, fit[method]) for stack in stacks] for fit in fitted]
        found[f"along_{method}"] = np.array(table)
        found[f"same_{method}"] = np.stack([bench.same(fit[method], fitted[-1][method]) for fit in fitted])
    return {**found, "along_none": np.array(plain), "along_random": np.array(shuffled)}


def _prune(
    bench: _Bench, setting: Setting, seeds: list[int], start: Tensor, end: Tensor, rewind: int
) -> list[tuple[Tensor, Tensor]]:
    """Iterative magnitude pruning with rewinding: the masks and the trained networks `[2 K, P]` of every level."""
    layout = bench.model.layout
    found = [(prune.dense(layout, len(seeds)), end)]
    for _ in range(bench.config["levels"]):
        mask, trained = found[-1]
        mask = prune.by_magnitude(layout, trained, mask, bench.config["fraction"])
        run = train(bench.model, bench.task, setting.recipe, seeds, init=start, start=rewind, mask=mask)
        found.append((mask, run.theta))
    return found


def _levels(bench: _Bench, sparse: list[tuple[Tensor, Tensor]]) -> Arrays:
    """Barriers at every level under no, the dense, and the level's own permutation; what the last two share."""
    dense = bench.fit(sparse[DENSE][1])
    own = [bench.fit(theta) for _, theta in sparse]
    found = {
        "density": np.stack([prune.density(bench.model.layout, mask).numpy()[0::2] for mask, _ in sparse]),
        "level_none": np.array([bench.barrier(theta) for _, theta in sparse]),
    }
    for method in METHODS:
        found[f"level_dense_{method}"] = np.array([bench.barrier(theta, dense[method]) for _, theta in sparse])
        pairs = zip(sparse, own, strict=True)
        found[f"level_own_{method}"] = np.array([bench.barrier(theta, fit[method]) for (_, theta), fit in pairs])
        found[f"level_same_{method}"] = np.stack([bench.same(fit[method], dense[method]) for fit in own])
    return found


def _transport(
    bench: _Bench, setting: Setting, seeds: list[int], start: Tensor, sparse: list[tuple[Tensor, Tensor]], rewind: int
) -> Arrays:
    """Test error `[V, K]` of `b` trained with the mask of `a`, carried over in several ways, or with its own."""
    layout, task = bench.model.layout, bench.task
    dense = bench.fit(sparse[DENSE][1])
    carriers = {"permuted": dense["weights"], "permuted by activations": dense["activations"], "random": bench.random()}
    errors: dict[str, list[np.ndarray]] = {}
    for mask, theta in sparse[1:]:
        masks = {name: align.permute(layout, mask[0::2], align.inverse(p)) for name, p in carriers.items()}
        masks["unpermuted"] = mask[0::2]
        # One shot: the network at the rewind point, pruned at once to the same number of weights.
        share = 1 - float(prune.density(layout, mask)[0]) + 1e-9  # against rounding down
        masks["one shot"] = prune.by_magnitude(layout, start[1::2], prune.dense(layout, len(theta) // 2), share)
        trained = {
            name: train(bench.model, task, setting.recipe, seeds[1::2], init=start[1::2], start=rewind, mask=m).theta
            for name, m in masks.items()
        }
        trained["own"] = theta[1::2]
        for name, stack in trained.items():
            errors.setdefault(name, []).append(evaluate(bench.model, stack, task.x_test, task.y_test)[1].cpu().numpy())
    return {f"transport_{name}": np.stack(values) for name, values in errors.items()}


def _cost(config: Config) -> float:
    return float(len(config["pairs"]))


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """The results as tidy tables.

    `along` (pair, method, checkpoint fitted, checkpoint tried), `same` (pair, method, checkpoint, layer: share of units
    placed as by the last permutation), `levels` (pair, method, level), `level_same`, `transport` (pair, level, mask).
    """


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    parts: dict[str, list[pd.DataFrame]] = {}
    for config, found in zip(configs, compute(compute_shard, configs, _cost), strict=True):
        for name, table in _tabulate(config, found).items():
            parts.setdefault(name, []).append(table.assign(setting=params.setting))
    return Tables({name: pd.concat(some, ignore_index=True) for name, some in parts.items()})


def _tabulate(config: Config, found: Arrays) -> dict[str, pd.DataFrame]:
    pairs, times = config["pairs"], config["checkpoints"]
    levels = range(len(found["density"]))
    along = [
        _frame(found[f"along_{m}"], ["fitted", "at", "metric", "pair"], [times, times, METRICS, pairs], m)
        for m in METHODS
    ]
    along += [
        _frame(found[f"along_{c}"], ["at", "metric", "pair"], [times, METRICS, pairs], c) for c in ("none", "random")
    ]
    same = [_frame(found[f"same_{m}"], ["fitted", "pair", "layer"], [times, pairs, None], m) for m in METHODS]
    names = [name.removeprefix("level_") for name in found if name.startswith("level_") and "same" not in name]
    by_level = [_frame(found[f"level_{n}"], ["level", "metric", "pair"], [levels, METRICS, pairs], n) for n in names]
    level_same = [
        _frame(found[f"level_same_{m}"], ["level", "pair", "layer"], [levels, pairs, None], m) for m in METHODS
    ]
    masks = [name.removeprefix("transport_") for name in found if name.startswith("transport_")]
    carried = [_frame(found[f"transport_{n}"], ["level", "pair"], [levels[1:], pairs], n) for n in masks]
    share = _frame(found["density"], ["level", "pair"], [levels, pairs], "").rename(columns={"value": "density"})
    share = share.drop(columns="method")
    tables = {"along": along, "same": same, "levels": by_level, "level_same": level_same, "transport": carried}
    whole = {name: pd.concat(some, ignore_index=True) for name, some in tables.items()}
    return {name: t.merge(share) if "level" in t else t for name, t in whole.items()}


def _frame(values: np.ndarray, names: list[str], axes: list, method: str) -> pd.DataFrame:
    """An array as rows, a column an axis; an axis without names is numbered from 1."""
    labels = [range(1, size + 1) if axis is None else axis for axis, size in zip(axes, values.shape, strict=True)]
    index = pd.MultiIndex.from_product(labels, names=names)
    return pd.DataFrame({"value": values.ravel()}, index=index).reset_index().assign(method=method)


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
FLOOR = 0.01  # an error barrier that counts as none
MARGINS = {
    "P01": Region(high=0.3),
    "P02": Region(high=0.3),
    "P03": Region(high=-0.8),
    "P04": Region(high=0.7),
    "P05": Region(low=0.0),
    "P06": Region(high=0.5),
    "P07": Region(high=0.5),
    "P08": Region(high=0.0),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook; a unit is a pair of networks, and no network is in two pairs."""
    along = tables["along"].query("metric == 'error'")
    end = along[(along["at"] == 100) & (along.method == "weights")]
    plain = along[along.method == "none"].pivot_table("value", "pair", "at")
    by_last = along[(along.method == "weights") & (along.fitted == 100)].pivot_table("value", "pair", "at")
    at_end = end.pivot_table("value", "pair", "fitted")
    same = tables["same"].query("method == 'weights' and fitted < 100")
    levels = (
        tables["levels"].query("metric == 'error' and density >= 0.1").pivot_table("value", ["pair", "level"], "method")
    )
    level_same = tables["level_same"].query("method == 'weights' and level > 0").groupby("pair").value.mean()
    last = tables["transport"].query("level == level.max()").pivot_table("value", "pair", "method")
    dense = (levels.dense_weights + EPSILON) / (levels.none + EPSILON)
    made = [
        _claim(
            "P01",
            "Aligning the units removes most of the barrier between independent networks",
            "ratio of the error barrier after weight matching to that before, end of training",
            claims.geometric_mean((by_last[100] + EPSILON) / (plain[100] + EPSILON)),
        ),
        _claim(
            "P02",
            "The permutation fitted at the end aligns the networks all along their training",
            "highest error barrier over checkpoints under the last permutation, over the highest without one",
            claims.geometric_mean((by_last.max(axis=1) + EPSILON) / (plain.max(axis=1) + EPSILON)),
        ),
        _claim(
            "P03",
            "The later a permutation is fitted, the better it aligns the end",
            "rank correlation of the checkpoint fitted at with the error barrier at the end",
            claims.mean([stats.spearmanr(at_end.columns, row).statistic for row in at_end.to_numpy()]),
        ),
        _claim(
            "P04",
            "Permutations keep changing after they align the end as well as the last",
            "share of units placed as by the last permutation, at the first checkpoint within 0.01 of its barrier",
            claims.mean(_settled(at_end, same)),
        ),
        _claim(
            "P05",
            "The first layer's permutation settles before the last hidden layer's",
            "share of units placed as by the last permutation, first layer minus last, mean over earlier checkpoints",
            claims.mean(_first_minus_last(same)),
        ),
        _claim(
            "P06",
            "The permutation of the dense networks aligns pruned ones, down to a tenth of the weights",
            "worst ratio over levels of the error barrier under the dense permutation to that without one",
            claims.geometric_mean(dense.groupby("pair").max()),
        ),
        _claim(
            "P07",
            "A permutation fitted to pruned networks is another one",
            "share of units that it places as the dense one does, mean over levels and layers",
            claims.mean(level_same),
        ),
        _claim(
            "P08",
            "With few weights left, a mask carried over by the permutation trains better than the same mask as it is",
            "test error with the permuted mask minus that with the unpermuted, sparsest level",
            claims.mean(last.permuted - last.unpermuted),
        ),
    ]
    losses = pd.concat([tables[name].query("metric == 'loss'") for name in ("along", "levels")])
    return unless_lost(made, losses[["value"]], "barriers have no finite loss")


def _claim(id: str, statement: str, statistic: str, interval: claims.Interval) -> Claim:
    return claims.claim(id, NOTEBOOK, statement, PAPER, statistic, MARGINS[id], interval)


def _settled(at_end: pd.DataFrame, same: pd.DataFrame) -> list[float]:
    """For each pair: what the first permutation that aligns the end as well as the last shares with it."""
    shares = same.groupby(["pair", "fitted"]).value.mean().unstack()
    found = []
    for pair, row in at_end.iterrows():
        good = row.index[row <= row[100] + FLOOR]
        found.append(1.0 if good[0] == 100 else shares.loc[pair, good[0]])
    return found


def _first_minus_last(same: pd.DataFrame) -> pd.Series:
    layers = same.pivot_table("value", ["pair", "fitted"], "layer")
    return (layers.iloc[:, 0] - layers.iloc[:, -1]).groupby("pair").mean()
