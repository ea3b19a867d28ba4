"""Notebook 02: how far apart two networks are, by four measures, and what alignment changes about it.

Twins as in notebook 01, for two optimisers. Every pair is measured by the distance of the weights, the loss barrier,
the angle between representations, and the answers; the first two again after the units of the twin are permuted to
match those of the parent. Independent networks, of another seed, are measured alongside: the scale for "far apart".
"""

from collections.abc import Sequence
from functools import partial
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import align, represent
from butterfly.interpolate import EPSILON, barriers
from butterfly.models import Model
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.twins import BARRIER
from butterfly.perturb import Kick
from butterfly.study import Arrays, Bench, Interval, Kind, OneModel, Origin, Setting, Shard, Study, Tables, Times, above
from butterfly.study import below, between, broken, check_times, intervals, long, rising_sizes, rising_times, stacked
from butterfly.train import Fork, parent_rows, train

OTHER = 100_000  # seeds of the independent networks start here
HIGH = 0.1  # a barrier that counts as high in the authors' statement about fixed points
MEASURES = ("distance", "barrier", "angle", "disagreement")
NOTED = {"origin": Origin.NOTEBOOK, "place": "notebooks/butterfly-hparams.ipynb"}  # the authors' numbers


class Params(OneModel):
    """Parameters of notebook 02; times are in percent of the training steps."""

    setting: str = "mnist1d"
    adaptive: str = "mnist1d-adamw"  # the same network trained by AdamW
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    kick_times: Times = (0.0, 25.0, 50.0)
    sizes: tuple[float, ...] = (1e-4, 1e-2)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    restarts: int = Field(1, ge=1)  # of weight matching
    examples: int = Field(500, ge=10)  # for activation matching, and for representations

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        rising_sizes("sizes", self.sizes)
        if not self.sizes:
            raise ValueError("sizes is empty: give at least one size")
        optimizers = [arm.recipe.optimizer for arm in self.arms.values()]
        if optimizers != ["sgd", "adamw"]:
            raise ValueError(f"setting and adaptive are trained by {optimizers}: name one for SGD, one for AdamW")
        return self

    @property
    def arms(self) -> dict[str, Setting]:
        """The two settings that are trained, by name."""
        other = self.beside(self.setting, self.adaptive, self.steps)
        return {self.setting: self.chosen(self.setting, self.steps), self.adaptive: other}


study = Study("02_four_measures", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of each optimiser."""
    for arm in params.arms.values():
        check_times(arm, params.kick_times)
    return [s for name, arm in params.arms.items() for s in study.every_few(params, arm, leave=["adaptive"], of=name)]


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train parents, twins and independent networks in one stack, and measure every twin against its parent.

    Arrays over the pairs `[K]`, the twins first, then one independent network a seed; over pairs and layers `[K, L]`.
    """
    seeds, model, task = bench.seeds, bench.model, bench.task
    cells = [(s, time, size) for time in bench["kick_times"] for s in seeds for size in (0.0, *bench["sizes"])]
    forks = [Fork(s, bench.setting.step_at(time), Kick(size=size)) for s, time, size in cells]
    run = train(model, task, bench.recipe, [*seeds, *(s + OTHER for s in seeds)], forks)

    theta, own = run.theta, torch.arange(len(seeds))
    first = torch.cat([parent_rows(run.members), own])  # the parent of each pair
    second = torch.cat([torch.arange(2 * len(seeds), len(theta)), own + len(seeds)])
    a, b = theta[first], theta[second]
    weights = align.weight_matching(model.layout, a, b, bench["restarts"])
    activations = align.activation_matching(model, a, b, task.x[: bench["examples"]])
    by_weights, by_activations = (align.permute(model.layout, b, p) for p in (weights.permutation, activations))
    lines = {"barrier": b, "barrier_weights": by_weights, "barrier_activations": by_activations}
    on_test = barriers(model, a, b, task.x_test, task.y_test, bench["points"])
    return {
        "seed": np.array([seed for seed, _, _ in cells] + seeds),
        "kind": np.array(["control" if size == 0 else "twin" for _, _, size in cells] + ["independent"] * len(seeds)),
        "time": np.array([time for _, time, _ in cells] + [np.nan] * len(seeds)),
        "size": np.array([size for _, _, size in cells] + [np.nan] * len(seeds)),
        "largest_difference": (b - a).abs().amax(1).cpu().numpy(),
        "distance": (b - a).norm(dim=1).cpu().numpy(),
        "distance_weights": (by_weights - a).norm(dim=1).cpu().numpy(),
        **{k: barriers(model, a, to, task.x, task.y, bench["points"]).of_loss.numpy() for k, to in lines.items()},
        "barrier_test": on_test.of_loss.numpy(),
        "accuracy": 1 - on_test.error[:, -1].numpy(),
        "sweeps": weights.sweeps.numpy(),
        "unmoved": _unmoved(model, weights.permutation),
        "unmoved_activations": _unmoved(model, activations),
        **_represented(model, theta, first, second, task.x_test[: bench["examples"]]),
    }


def _unmoved(model: Model, permutation: align.Permutation) -> np.ndarray:
    """Share of all hidden units of each twin `[K]` that alignment leaves in place."""
    units = torch.tensor(list(model.layout.groups.values()), dtype=torch.float64)
    shares = torch.stack(list(align.fixed_points(permutation).values()), 1)  # [K, layers]
    return (shares @ units / units.sum()).numpy()


def _represented(model: Model, theta: Tensor, first: Tensor, second: Tensor, x: Tensor) -> Arrays:
    """What each pair makes of the examples `x`: the angle a layer `[K, L]`, disagreement and KL divergence `[K]`."""
    layers = [name for name in model.features(theta[:1], x[:2]) if not name.endswith(".inner")]  # the stream goes on
    angles = torch.full((len(first), len(layers)), torch.nan, dtype=torch.float64)
    apart, divergence = angles[:, 0].clone(), angles[:, 0].clone()
    for parent in first.unique():
        pairs = (first == parent).nonzero().squeeze(1)
        features = model.features(theta[torch.cat([parent[None], second[pairs]])], x)
        for layer, name in enumerate(layers):
            angles[pairs, layer] = represent.angle(represent.cka(list(features[name])))[0, 1:].cpu()
        logits = features["logits"]
        apart[pairs] = represent.disagreement(logits[:1], logits[1:]).cpu()
        divergence[pairs] = represent.kl_divergence(logits[:1], logits[1:]).cpu()
    found = {"angles": angles, "disagreement": apart, "divergence": divergence}
    return {"layers": np.array(layers), **{name: values.numpy() for name, values in found.items()}}


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `pairs` (a row a pair of networks) and `layers` (pair and layer)."""
    return stacked(map(_tables, shards))


def _tables(shard: Shard) -> dict[str, pd.DataFrame]:
    along = ("layers", "angles")
    pairs = pd.DataFrame({k: v for k, v in shard.found.items() if k not in along}).assign(setting=shard.of)
    key = pairs[["setting", "seed", "kind", "time", "size"]]
    layers = long(key, shard["layers"], {"angle": shard["angles"]}, "layer")
    depth = np.tile(np.arange(1, len(shard["layers"]) + 1), len(key))
    # The representation before the logits stands for the network where one number is wanted.
    return {"pairs": pairs.assign(angle=shard["angles"][:, -2]), "layers": layers.assign(depth=depth)}


# --- claims ----------------------------------------------------------------------------------------------------------
# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.

NUMBERS = ["barrier", "barrier_weights", "barrier_activations", "barrier_test", "angle"]
AFTER = f"ratio of the barrier after {{}} matching to that before, twins with a barrier above {BARRIER:g}"


def _pairs(t: Tables, arm: str = "setting", kinds: Sequence[str] = ("twin",)) -> pd.DataFrame:
    """Pairs of one optimiser: `setting` (SGD) or `adaptive` (AdamW)."""
    pairs = t["pairs"]
    return pairs[(pairs.setting == getattr(t.params, arm)) & pairs.kind.isin(kinds)]


@study.unless
def lost(t: Tables, arm: str = "setting", others: Sequence[str] = ()) -> str:
    """Claims are void where control twins differ from their parents, or a pair that they rest on lacks a number."""
    return broken(_pairs(t, arm, ("twin", "control", *others)), NUMBERS)


lost_adaptive = partial(lost, arm="adaptive")


@study.claim(
    "B12", by="correlation of log barrier and distance over a seed's twins", region=above(0.84), figure="b", **NOTED
)
def log_linear(t: Tables) -> Interval:
    """The logarithm of the barrier grows linearly with the distance of the weights."""
    twins = _pairs(t).assign(log=lambda own: np.log(own.barrier + EPSILON)).groupby("seed")
    return intervals.mean(twins[["distance", "log"]].apply(lambda own: own.distance.corr(own.log)))


@study.claim("B13a", by=AFTER.format("weight"), region=between(0.8, 1.25), figure="c", **NOTED)
def weight_matching_of_sgd(t: Tables) -> Interval:
    """With SGD, aligning the units by their weights changes the barrier little."""
    return _change(_pairs(t), "barrier_weights")


@study.claim("B13b", by=AFTER.format("weight"), region=below(0.8), figure="c", unless=lost_adaptive)
def weight_matching_of_adaptive(t: Tables) -> Interval:
    """With AdamW, aligning the units by their weights lowers the barrier."""
    return _change(_pairs(t, "adaptive"), "barrier_weights")


@study.claim("B13c", by=AFTER.format("activation"), region=between(0.8, 1.25), figure="c")
def activation_matching_of_sgd(t: Tables) -> Interval:
    """With SGD, aligning the units by their activations changes the barrier little."""
    return _change(_pairs(t), "barrier_activations")


def _change(twins: pd.DataFrame, after: str) -> Interval:
    """What alignment makes of high barriers: geometric mean over a seed's twins, then over seeds."""
    high = twins[twins.barrier > BARRIER]
    ratio = np.log((high[after] + EPSILON) / (high.barrier + EPSILON)).groupby(high.seed).mean()
    return intervals.geometric_mean(np.exp(ratio))


@study.claim(
    "B14", by=f"share of units left in place, twins with a barrier up to {HIGH:g}", region=above(0.95),
    kind=Kind.CHECK, figure="d", **NOTED,
)  # fmt: skip
def fixed_points(t: Tables) -> Interval:
    """Weight matching leaves 95 % of a twin's units in place and more, unless the barrier is high."""
    twins = _pairs(t)
    return intervals.mean(twins[twins.barrier <= HIGH].groupby("seed").unmoved.mean())


@study.claim(
    "B21b", by=f"ratio of mean test barrier to mean training barrier, twins with a barrier above {BARRIER:g}",
    region=between(0.8, 1.25), unless=lost_adaptive,
)  # fmt: skip
def on_test_data(t: Tables) -> Interval:
    """With AdamW too, the barrier on test data agrees with that on training data."""
    twins = _pairs(t, "adaptive")
    high = twins[twins.barrier > BARRIER].groupby("seed")
    return intervals.geometric_mean((high.barrier_test.mean() + EPSILON) / (high.barrier.mean() + EPSILON))


@study.claim(
    "X01", by="Kendall's coefficient of concordance of the four measures over kick times (1: the same order)",
    region=above(0.9), figure="a",
)  # fmt: skip
def same_order(t: Tables) -> Interval:
    """Distance, barrier, angle of representations and disagreement rank kick times alike."""
    return intervals.mean([concordance(twins) for _, twins in _pairs(t).groupby("seed")])


def concordance(twins: pd.DataFrame) -> float:
    """Kendall's W of the four measures as judges of kick times, each the mean over sizes; 1 is full agreement."""
    means = twins.groupby("time")[list(MEASURES)].mean()
    ranks = stats.rankdata(means.to_numpy(), axis=0)
    times, judges = ranks.shape
    if times < 2:
        return np.nan
    sums = ranks.sum(1)
    return float(12 * ((sums - sums.mean()) ** 2).sum() / (judges**2 * (times**3 - times)))


@study.claim(
    "X02", by="smallest step of the angle from a layer to the next, radians, twins kicked first", region=above(0.0),
    figure="e",
)  # fmt: skip
def deeper(t: Tables) -> Interval:
    """From each hidden layer to the next, the representations of early kicked twins are further apart."""
    layers = t["layers"]
    twins = layers[(layers.setting == t.params.setting) & (layers.kind == "twin")]
    start = twins[(twins.time == twins.time.min()) & (twins.layer != "logits")]
    return intervals.mean(np.diff(start.pivot_table("angle", "seed", "depth").to_numpy(), axis=1).min(1))


@study.claim(
    "X03", by="ratio of the disagreement of twins kicked first to that of networks of different seeds",
    region=between(0.8, 1.25), figure="a", unless=partial(lost, others=["independent"]),
)  # fmt: skip
def as_far_as_strangers(t: Tables) -> Interval:
    """Twins kicked at the start come to disagree on test examples as often as independent networks."""
    twins, strangers = _pairs(t), _pairs(t, kinds=["independent"])
    early = twins[twins.time == twins.time.min()].groupby("seed").disagreement.mean()
    return intervals.geometric_mean(early / strangers.set_index("seed").disagreement)
