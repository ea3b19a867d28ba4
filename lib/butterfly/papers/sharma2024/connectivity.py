"""Notebook 21: weak and strong connectivity, by width.

Two networks are weakly connected when some permutation, chosen for the pair, removes the barrier; a set of networks is
strongly connected when one permutation a network, chosen once, removes the barriers between all of them. Groups of
networks are aligned directly, through a third, by composed permutations, and jointly.
"""

from itertools import combinations, permutations
from math import factorial
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import align, claims, data, models
from butterfly.align import Permutation
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import EPSILON, chosen, groups, unless_lost
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.streams import generator
from butterfly.train import train

NOTEBOOK = "21_connectivity"
PAPER = "Sharma et al. 2024 (arXiv 2404.06498)"
OURS = "this companion"
METRICS = ("error", "loss")
FRAMED = ("none", "random", "through one", "joint")  # ways that give all networks of a group one common frame
MOST_TRIED = 20_000  # permutations of tiny networks
WAYS = ("none", "random", "direct", "through one", "through two", "joint")


class Params(Common):
    """Parameters of notebook 21."""

    setting: str = "digits"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    depth: int = Field(2, ge=1)  # hidden layers
    widths: tuple[int, ...] = (8, 32)
    tiny: int = Field(3, ge=2, le=5)  # the width at which all permutations are tried
    groups: int = Field(3, ge=1)  # of networks; no network is in two groups
    groups_per_shard: int = Field(3, ge=1)
    networks: int = Field(4, ge=4)  # in a group
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    restarts: int = Field(1, ge=1)  # of weight matching

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(self.widths) < 2 or list(self.widths) != sorted(set(self.widths)) or self.widths[0] < 2:
            raise ValueError(f"widths = {list(self.widths)}: give two or more rising widths from 2 on")
        if self.tiny in self.widths:
            raise ValueError(f"tiny = {self.tiny} is one of the widths; leave it out of them, it is trained anyway")
        if (tried := factorial(self.tiny) ** self.depth) > MOST_TRIED:
            raise ValueError(
                f"tiny = {self.tiny} at depth {self.depth} has {tried} permutations; give less of either ({MOST_TRIED})"
            )
        chosen(self.setting, None)
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every width and every few groups; the tiny width comes last."""
    check_device(params.device)
    setting = chosen(params.setting, params.steps)
    grid = params.model_dump(mode="json", include={"networks", "points", "restarts", "device"})
    return [
        {
            "setting": setting.model_copy(update={"model": f"mlp-{params.depth}x{width}"}).model_dump(mode="json"),
            "source": data.provenance(setting.data),
            "width": width,
            "brute_force": width == params.tiny,
            "groups": some,
            **grid,
        }
        for width in [*params.widths, params.tiny]
        for some in groups(params.groups, params.groups_per_shard)
    ]


def compute_shard(config: Config) -> Arrays:
    """Train some groups of networks, align them in every way, and measure.

    Barriers `[ways, error or loss, G]` are means over the pairs of a group; `average [ways, k, G]` is the test error of
    the mean of the first `k` networks, `k` from 1.
    """
    setting = Setting.read(config["setting"], "setting")
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    count = config["networks"]
    seeds = [group * count + place for group in config["groups"] for place in range(count)]
    stack = train(model, task, setting.recipe, seeds).theta
    networks = stack.view(len(config["groups"]), count, -1)  # [G, n, P]
    if config["brute_force"]:
        return _brute_force(model, task, networks, config)
    frames = _frames(model, networks, config)
    joint, _ = align.joint_matching(model.layout, networks, config["restarts"])
    joined = torch.stack([align.permute(model.layout, networks[:, i], p) for i, p in enumerate(joint)], 1)
    placed = {"none": networks, "random": frames["random"], "through one": frames["through one"], "joint": joined}
    lines = {way: _pairwise(model, task, stack, config) for way, stack in placed.items()}
    lines["direct"], lines["through two"], best = _directly(model, task, networks, config)
    _, error = evaluate(model, stack, task.x, task.y)
    return {
        "barriers": np.array([lines[way] for way in WAYS]),
        "simplex": np.array([_simplex(model, task, placed[way]) for way in FRAMED]),
        "average": np.array([_averages(model, task, placed[way]) for way in FRAMED]),
        "objective": np.array(
            [sum((joined[:, i] * joined[:, j]).sum(1).cpu().numpy() for i, j in _pairs(config)), best]
        ),
        "error": error.view(len(networks), count).mean(1).cpu().numpy(),
    }


def _frames(model: Model, networks: Tensor, config: Config) -> dict[str, Tensor]:
    """The networks `[G, n, P]` in random frames, and aligned to the last, which is the third for all pairs before."""
    streams = [[generator("control", group, place) for group in config["groups"]] for place in range(networks.shape[1])]
    shuffled = [
        align.permute(model.layout, networks[:, i], align.shuffled(model.layout, s)) for i, s in enumerate(streams)
    ]
    third = networks[:, -1]
    matched = [_matched(model, third, networks[:, i], config) for i in range(networks.shape[1])]
    return {"random": torch.stack(shuffled, 1), "through one": torch.stack(matched, 1)}


def _matching(model: Model, a: Tensor, b: Tensor, config: Config) -> align.Matching:
    return align.weight_matching(model.layout, a, b, config["restarts"])


def _matched(model: Model, a: Tensor, b: Tensor, config: Config) -> Tensor:
    return align.permute(model.layout, b, _matching(model, a, b, config).permutation)


def _pairs(config: Config) -> list[tuple[int, int]]:
    """The pairs of a group that are compared: all without the last network, which serves as the third."""
    return list(combinations(range(config["networks"] - 1), 2))


def _barrier(model: Model, task: Data, a: Tensor, b: Tensor, config: Config) -> np.ndarray:
    found = barriers(model, a, b, task.x, task.y, config["points"])
    return np.array([found.of_error.numpy(), found.of_loss.numpy()])


def _pairwise(model: Model, task: Data, networks: Tensor, config: Config) -> np.ndarray:
    """Mean barrier over the pairs of a group, as they stand: error and loss `[2, G]`."""
    found = [_barrier(model, task, networks[:, i], networks[:, j], config) for i, j in _pairs(config)]
    return np.mean(found, 0)


def _directly(model: Model, task: Data, networks: Tensor, config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean barriers `[2, G]` of pairs aligned directly, and through two others; the sum of the direct objectives."""
    direct, through_two, objective = [], [], np.zeros(len(networks))
    for i, j in _pairs(config):
        a, b = networks[:, i], networks[:, j]
        found = _matching(model, a, b, config)
        objective += found.objective.numpy()
        direct.append(_barrier(model, task, a, align.permute(model.layout, b, found.permutation), config))
        # b to the last network, that one to another of the group, and that to a.
        k = next(k for k in range(config["networks"] - 1) if k not in (i, j))
        chain = [networks[:, -1], networks[:, k], a]
        permutation: Permutation = align.identity(model.layout, len(b))
        for onto, source in zip(chain, [b, networks[:, -1], networks[:, k]], strict=True):
            permutation = align.compose(permutation, _matching(model, onto, source, config).permutation)
        moved = align.permute(model.layout, b, permutation)
        through_two.append(_barrier(model, task, a, moved, config))
    return np.mean(direct, 0), np.mean(through_two, 0), objective


def _simplex(model: Model, task: Data, networks: Tensor) -> np.ndarray:
    """Largest excess of the error over that of the corners, at 20 points of the simplex of all but the last `[G]`."""
    corners = networks[:, :-1]
    draws = -torch.rand(20, corners.shape[1], generator=generator("simplex"), dtype=torch.float64).log()
    weights = draws / draws.sum(1, keepdim=True)  # uniform on the simplex
    weights[0] = 1 / corners.shape[1]
    inside = torch.einsum("wn,gnp->gwp", weights.to(corners), corners)
    _, error = evaluate(model, inside.flatten(0, 1), task.x, task.y)
    _, at_corners = evaluate(model, corners.flatten(0, 1), task.x, task.y)
    chord = at_corners.view(len(networks), -1).cpu() @ weights.T
    return (error.view(len(networks), -1).cpu() - chord).amax(1).numpy()


def _averages(model: Model, task: Data, networks: Tensor) -> np.ndarray:
    """Test error of the mean of the first k networks `[n, G]`."""
    means = networks.cumsum(1) / torch.arange(1, networks.shape[1] + 1, device=networks.device)[:, None]
    _, error = evaluate(model, means.flatten(0, 1), task.x_test, task.y_test)
    return error.view(len(networks), -1).T.cpu().numpy()


def _brute_force(model: Model, task: Data, networks: Tensor, config: Config) -> Arrays:
    """For the first pair of each group: the barrier after weight matching, and the lowest over all permutations."""
    width, depth = config["width"], model.depth
    orders = torch.tensor(list(permutations(range(width))))
    places = torch.cartesian_prod(*[torch.arange(len(orders))] * depth).view(-1, depth)
    every = {f"hidden{layer}": orders[places[:, layer]] for layer in range(depth)}
    lowest, best = [], []
    for a, b in zip(networks[:, 0], networks[:, 1], strict=True):
        moved = align.permute(model.layout, b.repeat(len(places), 1), every)
        error, _ = _barrier(model, task, a.expand_as(moved), moved, config)
        objective = moved.double() @ a.double()
        lowest.append(error.min())
        best.append(error[int(objective.argmax())])
    a, b = networks[:, 0], networks[:, 1]
    found = _matching(model, a, b, config)
    matched, _ = _barrier(model, task, a, align.permute(model.layout, b, found.permutation), config)
    plain, _ = _barrier(model, task, a, b, config)
    return {"plain": plain, "matched": matched, "best_objective": np.array(best), "lowest": np.array(lowest)}


def _cost(config: Config) -> float:
    return float(config["width"] * len(config["groups"])) * (20 if config["brute_force"] else 1)


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables: `barriers` (group, width, way), `simplex`, `average` (and k), `gaps` (objective), `tiny` (group)."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    parts: dict[str, list[pd.DataFrame]] = {}
    for config, found in zip(configs, compute(compute_shard, configs, _cost), strict=True):
        for name, table in _tabulate(config, found).items():
            parts.setdefault(name, []).append(table.assign(width=config["width"], setting=params.setting))
    return Tables({name: pd.concat(some, ignore_index=True) for name, some in parts.items()})


def _tabulate(config: Config, found: Arrays) -> dict[str, pd.DataFrame]:
    where = config["groups"]
    if config["brute_force"]:
        return {"tiny": pd.DataFrame({"group": where, **found})}
    sizes = range(1, config["networks"] + 1)
    return {
        "barriers": _rows(found["barriers"], way=list(WAYS), metric=list(METRICS), group=where),
        "simplex": _rows(found["simplex"], way=list(FRAMED), group=where),
        "average": _rows(found["average"], way=list(FRAMED), k=list(sizes), group=where),
        "gaps": pd.DataFrame({"group": where, "joint": found["objective"][0], "direct": found["objective"][1]}),
    }


def _rows(values: np.ndarray, **axes: list) -> pd.DataFrame:
    """An array as rows, a column an axis."""
    index = pd.MultiIndex.from_product(axes.values(), names=axes)
    return pd.DataFrame({"value": values.ravel()}, index=index).reset_index()


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "P09": Region(low=1.5),
    "P09b": Region(high=0.0),
    "P10": Region(low=1.0),
    "P11": Region(high=0.0),
    "X12": Region(high=1.25),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook; a unit is a group of networks, trained once at every width."""
    error = tables["barriers"].query("metric == 'error'")
    table = np.log(error.pivot_table("value", ["group", "width"], "way") + EPSILON)
    widest = table.xs(max(params.widths), level="width")
    made = [
        _claim(
            "P09",
            "Networks aligned through a third are much further from connected than those aligned directly",
            "ratio of the error barrier through a third network to the direct one, mean over widths",
            claims.geometric_mean(np.exp((table["through one"] - table.direct).groupby("group").mean())),
        ),
        _claim(
            "P09b",
            "The barrier through a third network falls with width",
            "slope of its logarithm on the logarithm of the width",
            claims.mean(_slopes(table["through one"])),
        ),
        _claim(
            "P10",
            "Composing one more permutation raises the barrier further",
            "ratio of the error barrier through two networks to that through one, mean over widths",
            claims.geometric_mean(np.exp((table["through two"] - table["through one"]).groupby("group").mean())),
        ),
        _claim(
            "P11",
            "Width alone lowers the barrier: without any alignment it falls as well",
            "slope of the log barrier without alignment on the logarithm of the width",
            claims.mean(_slopes(table["none"])),
        ),
        _claim(
            "X12",
            "Aligned jointly, the widest networks are as well connected as pairs aligned each for itself",
            "ratio of the error barrier after joint alignment to the direct one, widest networks",
            claims.geometric_mean(np.exp(widest.joint - widest.direct)),
        ),
    ]
    return unless_lost(made, tables["barriers"].query("metric == 'loss'")[["value"]], "barriers have no finite loss")


def _slopes(column: pd.Series) -> np.ndarray:
    table = column.unstack("width")
    return claims.slopes(np.log(table.columns.to_numpy(dtype=float)), table.to_numpy())


def _claim(id: str, statement: str, statistic: str, interval: claims.Interval) -> Claim:
    source = OURS if id.startswith("X") else PAPER
    return claims.claim(id, NOTEBOOK, statement, source, statistic, MARGINS[id], interval)
