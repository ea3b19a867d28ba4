"""Notebook 23: chaos seen as paths.

Twins kicked at different times, networks of other seeds and of another architecture, each as a path through the space
of representations: how far apart do the paths run, at which depth do they part, and does the network halfway between
two others represent things halfway?
"""

from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import claims, data, models, represent
from butterfly.claims import Claim, Region
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import (
    check_times,
    chosen,
    every_few,
    long,
    parent_rows,
    rising_times,
    step_at,
    unless_broken,
)
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.perturb import Kick
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.train import Fork, train

NOTEBOOK = "23_chaos_paths"
OURS = "this companion"
OTHER = 100_000  # seeds of the independent networks start here


class Params(Common):
    """Parameters of notebook 23; times are in percent of the training steps."""

    setting: str = "mnist1d"
    architecture: str = "mlp-4x32"  # another one, as deep
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    kick_times: tuple[float, ...] = (0.0, 25.0, 50.0)
    size: float = Field(1e-2, gt=0)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    examples: int = Field(300, ge=20)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.points % 2 == 0:
            raise ValueError(f"points = {self.points}: give an odd number, so that one network lies halfway")
        if self.architecture == chosen(self.setting, None).model:
            raise ValueError(f"architecture = '{self.architecture}' is that of the setting; give another one")
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every few seeds."""
    check_device(params.device)
    setting = chosen(params.setting, params.steps)
    check_times(setting, params.kick_times)
    return every_few(params, setting)


def compute_shard(config: Config) -> Arrays:
    """Train parents, twins, networks of other seeds and of another architecture, and compare their paths.

    Arrays over the pairs `[K]`: the twins, then another seed for each seed, then another architecture; over pairs and
    layers `[K, L]`, the logits last.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    cells = [(s, time, size) for time in config["kick_times"] for s in seeds for size in (0.0, config["size"])]
    forks = [Fork(s, step_at(setting, time), Kick(size=size)) for s, time, size in cells]
    run = train(model, task, setting.recipe, [*seeds, *(s + OTHER for s in seeds)], forks)
    another = models.build(config["architecture"], task.input_shape, task.classes)
    foreign = train(another, task, setting.recipe, seeds).theta

    own = torch.arange(len(seeds))
    first = torch.cat([parent_rows(run.members), own])
    second = torch.cat([torch.arange(2 * len(seeds), len(run.theta)), own + len(seeds)])
    a, b = run.theta[first], run.theta[second]
    found = barriers(model, a, b, task.x, task.y, config["points"])
    x = task.x_test[: config["examples"]]
    layers = [_paths(model, one, other, x) for one, other in zip(a, b, strict=True)]
    strange = [_distances(_path(model, run.theta[k], x), _path(another, foreign[k], x)) for k in own]
    nothing = np.full(len(seeds), np.nan)
    return {
        "seed": np.array([seed for seed, _, _ in cells] + seeds + seeds),
        "kind": np.array(
            ["twin" if size else "control" for _, _, size in cells]
            + ["seed"] * len(seeds)
            + ["architecture"] * len(seeds)
        ),
        "time": np.concatenate([[time for _, time, _ in cells], nothing, nothing]),
        "largest_difference": np.concatenate([(b - a).abs().amax(1).cpu().numpy(), nothing]),
        "barrier": np.concatenate([found.of_loss.numpy(), nothing]),
        "layers": np.array(list(model.features(a[:1], x[:2]))),
        "distances": np.array([apart for apart, _ in layers] + strange),
        "detours": np.concatenate([[detour for _, detour in layers], np.full((len(seeds), len(strange[0])), np.nan)]),
    }


def _path(model: Model, theta: Tensor, x: Tensor) -> list[Tensor]:
    """The layers of one network on the examples `x`, and its logits."""
    return [h[0].flatten(1).cpu() for h in model.features(theta[None], x).values()]


def _distances(one: list[Tensor], other: list[Tensor]) -> np.ndarray:
    """Distance between two paths at equal depth `[L]`."""
    if len(one) != len(other):
        raise ValueError(f"paths of {len(one)} and {len(other)} layers; name an architecture as deep as the setting's")
    cosines = represent.cka(one + other)
    return represent.angle(cosines.diagonal(len(one))[: len(one)]).numpy()


def _paths(model: Model, a: Tensor, b: Tensor, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Distance at equal depth, and the detour over the network halfway between the weights, as a share of it `[L]`."""
    one, middle, other = (_path(model, theta, x) for theta in (a, (a + b) / 2, b))
    apart = _distances(one, other)
    over = _distances(one, middle) + _distances(middle, other)
    return apart, np.where(apart > 1e-3, over / np.maximum(apart, 1e-3) - 1, 0.0)


def _cost(config: Config) -> float:
    return float(len(config["seeds"]))


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """The results as tidy tables: `pairs` (a row a pair of networks) and `layers` (pair and layer)."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    pairs, layers = [], []
    for found in compute(compute_shard, configs, _cost):
        one = pd.DataFrame({n: found[n] for n in ("seed", "kind", "time", "largest_difference", "barrier")})
        one["setting"] = params.setting
        # The mean over depth: paths of equal order, point by point.
        one["distance"], one["detour"] = found["distances"].mean(1), found["detours"].mean(1)
        one["parting"] = _parting(found["distances"])
        pairs.append(one)
        values = {"distance": found["distances"], "detour": found["detours"]}
        each = long(one[["setting", "seed", "kind", "time"]], found["layers"], values, "layer")
        layers.append(each.assign(depth=np.tile(np.arange(1, len(found["layers"]) + 1), len(one))))
    return Tables(pairs=pd.concat(pairs, ignore_index=True), layers=pd.concat(layers, ignore_index=True))


def _parting(distances: np.ndarray) -> np.ndarray:
    """The first layer, counted from 1, at which a pair is at least half as far apart as it ever gets `[K]`."""
    return (distances >= distances.max(1, keepdims=True) / 2).argmax(1) + 1.0


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "X13": Region(high=-0.8),
    "X14": Region(0.8, 1.25),
    "X15": Region(high=1.0),
    "X16": Region(low=1.5),
    "X17": Region(low=0.8),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook."""
    pairs = tables["pairs"]
    twins = pairs[pairs.kind == "twin"]
    early = twins[twins.time == twins.time.min()].set_index("seed")
    other, foreign = (pairs[pairs.kind == kind].set_index("seed") for kind in ("seed", "architecture"))
    made = [
        (
            "X13",
            "The later the kick, the closer the path of a twin to that of its parent",
            "rank correlation of kick time and distance of the paths",
            claims.mean([stats.spearmanr(one.time, one.distance).statistic for _, one in twins.groupby("seed")]),
        ),
        (
            "X14",
            "Twins kicked at the start take paths as far apart as networks of different seeds",
            "ratio of the distance between the paths of early twins to that between seeds",
            claims.geometric_mean(early.distance / other.distance),
        ),
        (
            "X15",
            "Paths of different seeds run closer than those of different architectures",
            "ratio of the distance between the paths of two seeds to that between two architectures",
            claims.geometric_mean(other.distance / foreign.distance),
        ),
        (
            "X16",
            "Early twins do not part in the first layer already",
            "first layer at which twins kicked first are half as far apart as they get, counted from 1",
            claims.mean(early.parting),
        ),
        (
            "X17",
            "The higher the barrier, the further off the direct way are the representations of the network halfway",
            "rank correlation over twins of the barrier and the detour over the network halfway",
            claims.mean([stats.spearmanr(one.barrier, one.detour).statistic for _, one in twins.groupby("seed")]),
        ),
    ]
    found = [
        claims.claim(id, NOTEBOOK, statement, OURS, statistic, MARGINS[id], interval)
        for id, statement, statistic, interval in made
    ]
    return unless_broken(found, pairs[pairs.kind.isin(["twin", "control"])], ["barrier", "distance"])
