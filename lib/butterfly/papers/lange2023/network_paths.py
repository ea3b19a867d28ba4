"""Notebook 22: networks as paths through the space of representations.

The input, every layer and the logits of a network are points on a sphere, Angular CKA is the distance between them, and
the one-hot targets are the place to reach. Networks of several widths and depths are followed over training.
"""

from itertools import combinations
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import claims, data, geometry, models, represent
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import check_looks, chosen, every_few, unless_lost
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Observer, train

NOTEBOOK = "22_network_paths"
PAPER = "Lange et al. 2022 (arXiv 2206.10999)"
OTHER = 100_000  # seeds of the second network of every architecture start here
MEASURES = ("angular CKA", "Gaussian kernel", "angular shape", "Euclidean shape")


class Params(Common):
    """Parameters of notebook 22; checkpoints are in percent of the training steps."""

    setting: str = "mnist1d-paths"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    widths: tuple[int, ...] = (16, 32)
    depths: tuple[int, ...] = (2, 4)
    checkpoints: tuple[float, ...] = (0.0, 20.0, 100.0)
    examples: int = Field(300, ge=20)
    subsets: tuple[int, ...] = (50, 100, 200)  # numbers of examples, to see what depends on it

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("widths", "depths", "subsets"):
            sizes = getattr(self, name)
            if len(sizes) < 2 or list(sizes) != sorted(set(sizes)) or sizes[0] < 2:
                raise ValueError(f"{name} = {list(sizes)}: give two or more rising numbers from 2 on")
        times = list(self.checkpoints)
        if len(times) < 3 or times != sorted(set(times)) or times[0] != 0 or times[-1] != 100:
            raise ValueError(f"checkpoints = {times}: give three or more rising percentages from 0 to 100")
        if self.subsets[0] < 4:
            raise ValueError(f"subsets = {list(self.subsets)}: debiased CKA needs 4 examples or more")
        if self.subsets[-1] > self.examples:
            raise ValueError(f"subsets = {list(self.subsets)} hold more than the {self.examples} examples")
        chosen(self.setting, None)
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every few seeds, with all architectures."""
    check_device(params.device)
    setting = chosen(params.setting, params.steps)
    check_looks(setting, params.checkpoints)
    held = len(data.load(setting.data).y_test)
    if params.examples > held:
        raise ParameterError(f"examples = {params.examples}: the test set of {setting.data} holds {held}; give fewer")
    return every_few(params, setting)


def compute_shard(config: Config) -> Arrays:
    """Cosines between all points of every path, over training and at the end.

    `cosines_<architecture> [S, T, L, L]`: points are the input, the layers, the logits, the targets.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"])
    found, ends = {}, {}
    for name in _architectures(config):
        model = models.build(name, task.input_shape, task.classes)
        looks = [round(time / 100 * setting.recipe.steps) for time in config["checkpoints"]]
        copy = Observer("copy", lambda now: now.theta.clone(), frozenset(looks))
        both = [*seeds, *(seed + OTHER for seed in seeds)]
        run = train(model, task, setting.recipe, both, observers=[copy])
        stacks = torch.stack([theta[: len(seeds)] for _, theta in run.recorded("copy")], 1)  # [S, T, P]
        paths = [[_points(model, theta, task, config["examples"]) for theta in seed] for seed in stacks]
        ends[name] = [_points(model, theta, task, config["examples"]) for theta in run.theta]
        found[f"cosines_{name}"] = np.array([[represent.cka(points).numpy() for points in path] for path in paths])
        found[f"measures_{name}"] = np.array([_measures(path[k]) for path in paths for k in (0, -1)]).reshape(
            len(seeds), 2, len(MEASURES), *found[f"cosines_{name}"].shape[2:]
        )
        found[f"subsets_{name}"] = np.array([_subsets(ends[name][k], config["subsets"]) for k in range(len(seeds))])
        _, error = evaluate(model, run.theta[: len(seeds)], task.x_test, task.y_test)
        found[f"accuracy_{name}"] = 1 - error.cpu().numpy()
    return {**found, **_between(ends, len(seeds))}


def _architectures(config: Config) -> list[str]:
    return [f"mlp-{depth}x{width}" for depth in config["depths"] for width in config["widths"]]


def _points(model: models.Model, theta: Tensor, task: Data, examples: int) -> list[Tensor]:
    """The path of one network on test examples: input, layers, logits; and the targets."""
    x = task.x_test[:examples]
    layers = [h[0].flatten(1).cpu() for h in model.features(theta[None], x).values()]
    targets = torch.nn.functional.one_hot(task.y_test[:examples], task.classes)
    return [x.flatten(1).cpu(), *layers, targets.cpu()]


def _measures(points: list[Tensor]) -> np.ndarray:
    """Distances between the points of one path by every measure `[measures, L, L]`."""
    angular = represent.angle(represent.cka(points))
    kernel = represent.angle(represent.cka(points, kernel="gaussian"))
    shapes = [represent.shape_distances(points, angular=True), represent.shape_distances(points, angular=False)]
    return torch.stack([angular, kernel, *shapes]).numpy()


def _subsets(points: list[Tensor], sizes: list[int]) -> np.ndarray:
    """Length of the path without targets on fewer examples, biased and debiased `[2, sizes]`; mean of five draws."""
    lengths = np.zeros((2, len(sizes)))
    for at, size in enumerate(sizes):
        for draw in range(5):
            some = torch.randperm(len(points[0]), generator=generator("subset", size, draw))[:size]
            for row, debiased in enumerate((False, True)):
                cosines = represent.cka([x[some] for x in points[:-1]], debiased)
                lengths[row, at] += float(geometry.length(cosines)) / 5
    return lengths


def _between(ends: dict[str, list[Tensor]], seeds: int) -> Arrays:
    """Warped distances `[S, architectures, architectures]` from networks of one seed to those of another at the end."""
    names = list(ends)
    found = np.zeros((seeds, len(names), len(names)))
    for seed in range(seeds):
        own, others = ([ends[name][k][:-1] for name in names] for k in (seed, seed + seeds))
        every = [point for path in own + others for point in path]
        distances = represent.angle(represent.cka(every))
        starts = np.cumsum([0, *(len(path) for path in own + others)])
        for i in range(len(names)):
            for j in range(len(names)):
                k = len(names) + j
                block = distances[starts[i] : starts[i + 1], starts[k] : starts[k + 1]]
                found[seed, i, j] = geometry.warped_distance(block)
    return {"between": found}


def _cost(config: Config) -> float:
    return float(len(config["seeds"]))


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables.

    `paths` (network and checkpoint: length, chord, ...), `points` (network, checkpoint and point: distance to the
    targets, projection), `measures` (tortuosity by measure), `subsets`, `between` (pairs of architectures).
    """

    cosines: dict[tuple[str, int, float], np.ndarray]


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    parts: dict[str, list[pd.DataFrame]] = {}
    cosines: dict[tuple[str, int, float], np.ndarray] = {}
    for config, found in zip(configs, compute(compute_shard, configs, _cost), strict=True):
        names = _architectures(config)
        for name in names:
            depth, width = (int(number) for number in name.removeprefix("mlp-").split("x"))
            for row, seed in enumerate(config["seeds"]):
                key = {"model": name, "depth": depth, "width": width, "seed": seed}
                for at, time in enumerate(config["checkpoints"]):
                    matrix = found[f"cosines_{name}"][row, at]
                    cosines[name, seed, time] = matrix
                    parts.setdefault("paths", []).append(pd.DataFrame([{**key, "time": time, **_properties(matrix)}]))
                    parts.setdefault("points", []).append(_positions(matrix).assign(**key, time=time))
                for at, time in enumerate((0.0, 100.0)):
                    for measure, distances in zip(MEASURES, found[f"measures_{name}"][row, at], strict=True):
                        value = _winding(distances)
                        one = {
                            **key,
                            "time": time,
                            "measure": measure,
                            "tortuosity": value,
                            "excess": _axioms(distances),
                        }
                        parts.setdefault("measures", []).append(pd.DataFrame([one]))
                lengths = found[f"subsets_{name}"][row]
                for kind, values in zip(("biased", "debiased"), lengths, strict=True):
                    one = pd.DataFrame({"examples": config["subsets"], "length": values})
                    parts.setdefault("subsets", []).append(one.assign(kind=kind, **key))
        for row, seed in enumerate(config["seeds"]):
            table = pd.DataFrame(found["between"][row], index=names, columns=names).rename_axis("one")
            long = table.reset_index().melt("one", var_name="other", value_name="distance")
            parts.setdefault("between", []).append(long.assign(seed=seed))
    tables = Tables(
        {name: pd.concat(some, ignore_index=True).assign(setting=params.setting) for name, some in parts.items()}
    )
    tables.cosines = cosines
    return tables


def _properties(matrix: np.ndarray) -> dict[str, float]:
    """Length, chord, tortuosity, mean angles in degrees, and where the path ends, of one path with its targets."""
    cosines = torch.from_numpy(matrix)
    path, target = cosines[:-1, :-1], cosines[:-1, -1]
    end, _ = geometry.projection(path[0, -1], target[-1], target[0])
    return {
        "length": float(geometry.length(path)),
        "step": float(geometry.steps(path).mean()),
        "chord": float(geometry.chord(path)),
        "tortuosity": float(geometry.tortuosity(path)),
        "inner_angle": float(geometry.inner_angles(path).mean().rad2deg()),
        "target_angle": float(geometry.angles_to(path, target).mean().rad2deg()),
        "approach": float(geometry.arc(target[0]) - geometry.arc(target[-1])),
        "end": float(end),
    }


def _positions(matrix: np.ndarray) -> pd.DataFrame:
    """For every point of a path: its distance from the targets, and where it falls on the way to them."""
    cosines = torch.from_numpy(matrix)
    target = cosines[:-1, -1]
    fraction, off = geometry.projection(cosines[0, :-1], target, target[0].expand_as(target))
    place = np.linspace(0, 1, len(target))
    columns = {"to_target": geometry.arc(target), "fraction": fraction, "off": off}
    return pd.DataFrame({"point": range(len(target)), "place": place, **{k: v.numpy() for k, v in columns.items()}})


def _winding(distances: np.ndarray) -> float:
    """Tortuosity of a path from the distances between its points and, last, the targets."""
    path = distances[:-1, :-1]
    return float(path.diagonal(1).sum() / path[0, -1])


def _axioms(distances: np.ndarray) -> float:
    """How far the triangle inequality is violated at most; below 0 if it holds everywhere."""
    triples = combinations(range(len(distances)), 3)
    return max(
        2 * max(sides) - sum(sides)
        for i, j, k in triples
        for sides in [(distances[i, j], distances[j, k], distances[i, k])]
    )


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "R01": Region(high=1e-6),
    "R02": Region(low=0.1),
    "R02b": Region(high=0.1),
    "R03": Region(high=1.0),
    "R04": Region(high=-1.5),
    "R04b": Region(88.5, 91.5),
    "R05": Region(low=0.0),
    "R05b": Region(high=0.0),
    "R06": Region(low=0.0),
    "R07": Region(high=1.0),
    "R08": Region(low=0.8),
    "R09": Region(-0.02, 0.02),
    "R09b": Region(low=0.02),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook; a unit is a seed, over all architectures."""
    paths = tables["paths"]
    start, end = (paths[paths.time == time].set_index(["seed", "model"]) for time in (0.0, 100.0))
    by_depth = end.reset_index().pivot_table(["length", "step", "tortuosity"], ["seed", "width"], "depth")
    excess = tables["measures"].excess.max()

    def per_seed(values: pd.Series) -> claims.Interval:
        return claims.mean(values.groupby("seed").mean())

    def slope(name: str) -> claims.Interval:
        table = by_depth[name]
        found = pd.Series(claims.slopes(np.log2(table.columns.to_numpy(float)), table.to_numpy()), index=table.index)
        return per_seed(found)

    made = [
        (
            "R01",
            "All distances between layers obey the triangle inequality",
            "largest violation, all triples and measures",
            claims.exact(
                float(max(excess, 0.0)) if excess <= MARGINS["R01"].high else float(excess), paths.seed.nunique()
            ),
        ),
        (
            "R02",
            "A trained network leads towards the targets",
            "distance to the targets: input minus logits, radians",
            per_seed(end.approach),
        ),
        (
            "R02b",
            "An untrained network does not lead towards the targets",
            "distance to the targets: input minus logits, radians, before training",
            per_seed(start.approach),
        ),
        (
            "R03",
            "Training straightens paths",
            "ratio of length over chord after training to that before",
            claims.geometric_mean(np.exp(np.log(end.tortuosity / start.tortuosity).groupby("seed").mean())),
        ),
        (
            "R04",
            "Training turns steps a little towards the targets",
            "mean angle of steps to the targets, after minus before, degrees",
            per_seed(end.target_angle - start.target_angle),
        ),
        (
            "R04b",
            "The steps of untrained networks are orthogonal to the way to the targets",
            "mean angle before training, degrees",
            per_seed(start.target_angle),
        ),
        ("R05", "Deeper networks take longer paths", "slope of length on log2 depth, radians", slope("length")),
        ("R05b", "Deeper networks take smaller steps", "slope of the mean step on log2 depth, radians", slope("step")),
        (
            "R06",
            "Deeper networks take more winding paths",
            "slope of length over chord on log2 depth",
            slope("tortuosity"),
        ),
        (
            "R07",
            "Paths of one architecture are closer to each other than to those of other architectures",
            "ratio of warped distances between networks of two seeds, same over different architecture",
            claims.geometric_mean(_same_over_different(tables["between"])),
        ),
        (
            "R08",
            "Networks get there gradually",
            "rank correlation of checkpoint and projection of the logits on the way to the targets",
            claims.mean(_gradually(paths)),
        ),
        (
            "R09",
            "Debiased, the length of a path does not depend on the number of examples",
            "slope of the log length on log2 of the number of examples",
            _bias(tables["subsets"], "debiased"),
        ),
        (
            "R09b",
            "With the usual, biased estimate it does: paths come out too short with few examples",
            "slope of the log length on log2 of the number of examples, biased CKA",
            _bias(tables["subsets"], "biased"),
        ),
    ]
    found = [
        claims.claim(id, NOTEBOOK, statement, PAPER, statistic, MARGINS[id], interval)
        for id, statement, statistic, interval in made
    ]
    return unless_lost(found, paths[["length", "tortuosity", "target_angle", "end"]], "paths have lost layers")


def _same_over_different(between: pd.DataFrame) -> pd.Series:
    same = between.one == between.other
    logs = np.log(between.distance)
    return np.exp(logs[same].groupby(between.seed).mean() - logs[~same].groupby(between.seed).mean())


def _gradually(paths: pd.DataFrame) -> list[float]:
    table = paths.pivot_table("end", ["seed", "model"], "time")
    found = pd.Series([stats.spearmanr(table.columns, row).statistic for row in table.to_numpy()], index=table.index)
    return found.groupby("seed").mean().to_list()


def _bias(subsets: pd.DataFrame, kind: str) -> claims.Interval:
    table = np.log(subsets[subsets.kind == kind].pivot_table("length", ["seed", "model"], "examples"))
    slopes = pd.Series(claims.slopes(np.log2(table.columns.to_numpy(float)), table.to_numpy()), index=table.index)
    return claims.mean(slopes.groupby("seed").mean())
