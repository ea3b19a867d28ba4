"""Notebook 22: networks as paths through the space of representations.

The input, every layer and the logits of a network are points on a sphere, Angular CKA is the distance between them, and
the one-hot targets are the place to reach. Networks of several widths and depths are followed over training.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import data, geometry, represent
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.models import Model
from butterfly.papers.lange2023 import PAPER
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import Arrays, Bench, Config, Interval, Shard, Study, Tables, Trained, intervals
from butterfly.study.claims import Kind, Origin, above, below, between, lost
from butterfly.study.parameters import check_looks
from butterfly.study.tables import grid, stacked
from butterfly.train import Observer, train

OTHER = 100_000  # seeds of the second network of every architecture start here
MEASURES = ("angular CKA", "Gaussian kernel", "angular shape", "Euclidean shape")
ENDS = (0.0, 100.0)  # when all measures are taken


class Params(Trained):
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
        self.chosen(self.setting)
        return self

    @property
    def names(self) -> list[str]:
        """The architectures, by name."""
        return [f"mlp-{depth}x{width}" for depth in self.depths for width in self.widths]

    @property
    def architectures(self) -> str:
        """The networks that claims are about."""
        return f"{self.names[0]} to {self.names[-1]}"


study = Study("22_network_paths", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds, with all architectures."""
    setting = params.chosen(params.setting, params.steps)
    check_looks(setting, params.checkpoints)
    held = len(data.load(setting.data).y_test)
    if params.examples > held:
        raise ParameterError(f"examples = {params.examples}: the test set of {setting.data} holds {held}; give fewer")
    return study.every_few(params, setting, leave=("widths", "depths"), architectures=params.names)


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Cosines between all points of every path, over training and at the end.

    `cosines_<architecture> [S, T, L, L]`: points are the input, the layers, the logits, the targets.
    """
    arrays, ends = {}, {}
    for name in bench["architectures"]:
        own, ends[name] = _follow(bench, bench.build(name))
        arrays |= {f"{what}_{name}": values for what, values in own.items()}
    return {**arrays, "between": _between(ends, len(bench.seeds))}


def _follow(bench: Bench, model: Model) -> tuple[Arrays, list[list[Tensor]]]:
    """What is measured on one architecture; and the paths at the end, those of the second networks last."""
    seeds, task, examples = bench.seeds, bench.task, bench["examples"]
    copy = Observer("copy", lambda now: now.theta.clone(), frozenset(map(bench.setting.step_at, bench["checkpoints"])),
                    state=())  # fmt: skip
    run = train(model, task, bench.recipe, [*seeds, *(seed + OTHER for seed in seeds)], observers=[copy])
    stacks = torch.stack([theta[: len(seeds)] for _, theta in run.recorded("copy")], 1)  # [S, T, P]
    paths = [[_points(model, theta, task, examples) for theta in seed] for seed in stacks]
    ends = [_points(model, theta, task, examples) for theta in run.theta]
    _, error = evaluate(model, run.theta[: len(seeds)], task.x_test, task.y_test)
    arrays = {
        "cosines": np.array([[represent.cka(points).numpy() for points in path] for path in paths]),
        "measures": np.array([[_measures(path[k]) for k in (0, -1)] for path in paths]),
        "subsets": np.array([_subsets(end, bench["subsets"], s) for end, s in zip(ends, seeds, strict=False)]),
        "accuracy": 1 - error.cpu().numpy(),
    }
    return arrays, ends


def _points(model: Model, theta: Tensor, task: Data, examples: int) -> list[Tensor]:
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


def _subsets(points: list[Tensor], sizes: list[int], seed: int) -> np.ndarray:
    """Length of the path without targets on fewer examples, biased and debiased `[2, sizes]`; mean of five draws.

    Each seed draws its own examples, so that an interval over seeds is one over examples as well.
    """
    lengths = np.zeros((2, len(sizes)))
    for at, size in enumerate(sizes):
        for draw in range(5):
            some = torch.randperm(len(points[0]), generator=generator("subset", seed, size, draw))[:size]
            for row, debiased in enumerate((False, True)):
                cosines = represent.cka([x[some] for x in points[:-1]], debiased)
                lengths[row, at] += float(geometry.length(cosines)) / 5
    return lengths


def _between(ends: dict[str, list[list[Tensor]]], seeds: int) -> np.ndarray:
    """Warped distances `[S, architectures, architectures]` from networks of one seed to those of another at the end."""
    distances = np.zeros((seeds, len(ends), len(ends)))
    for seed in range(seeds):
        paths = [end[k][:-1] for k in (seed, seed + seeds) for end in ends.values()]
        angles = represent.angle(represent.cka([point for path in paths for point in path]))
        starts = np.cumsum([0, *map(len, paths)])
        place = [slice(*bounds) for bounds in pairwise(starts)]
        for i, j in np.ndindex(distances.shape[1:]):
            distances[seed, i, j] = geometry.warped_distance(angles[place[i], place[len(ends) + j]])
    return distances


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> Tables:
    """Tidy tables, and the `cosines` of each network and time.

    `paths` (network and checkpoint: length, chord, ...), `points` (network, checkpoint and point: distance to the
    targets, projection), `measures` (tortuosity by measure), `subsets`, `between` (pairs of architectures).
    """
    tables = stacked(part for shard in shards for part in _parts(shard))
    cosines = {
        (name, seed, time): matrix
        for shard in shards
        for name in params.names
        for seed, path in zip(shard.config["seeds"], shard[f"cosines_{name}"], strict=True)
        for time, matrix in zip(params.checkpoints, path, strict=True)
    }
    return Tables({name: t.assign(setting=params.setting) for name, t in tables.items()}, params, cosines=cosines)


def _parts(shard: Shard) -> Iterator[dict[str, pd.DataFrame]]:
    """The tables of each network of one shard, and those of pairs."""
    seeds, names = shard.config["seeds"], shard.config["architectures"]
    for name in names:
        depth, width = map(int, name.removeprefix("mlp-").split("x"))
        for row, seed in enumerate(seeds):
            arrays = [shard[f"{what}_{name}"][row] for what in ("cosines", "measures", "subsets")]
            network = {"model": name, "depth": depth, "width": width, "seed": seed}
            yield {what: t.assign(**network) for what, t in _of_network(shard.config, *arrays).items()}
    # A column of the matrix after the other.
    yield {"between": grid(shard["between"].swapaxes(1, 2), {"seed": seeds, "other": names, "one": names}, "distance")}


def _of_network(
    config: Config, cosines: np.ndarray, measures: np.ndarray, subsets: np.ndarray
) -> dict[str, pd.DataFrame]:
    """The tables of one network, from its arrays."""
    over_training = list(zip(config["checkpoints"], cosines, strict=True))
    shapes = [
        (time, measure, _winding(distances), _axioms(distances))
        for time, by_measure in zip(ENDS, measures, strict=True)
        for measure, distances in zip(MEASURES, by_measure, strict=True)
    ]
    return {
        "paths": pd.DataFrame([{"time": time, **_properties(matrix)} for time, matrix in over_training]),
        "points": pd.concat([_positions(matrix).assign(time=time) for time, matrix in over_training]),
        "measures": pd.DataFrame(shapes, columns=["time", "measure", "tortuosity", "excess"]),
        "subsets": grid(subsets, {"kind": ("biased", "debiased"), "examples": config["subsets"]}, "length"),
    }


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
    triangles = [(distances[i, j], distances[j, k], distances[i, k]) for i, j, k in triples]
    return max(2 * max(sides) - sum(sides) for sides in triangles)


# --- claims ----------------------------------------------------------------------------------------------------------

AXIOMS = {"origin": Origin.OTHER, "source": "Williams et al. 2021 (arXiv 2110.14739)", "kind": Kind.CHECK}
BIAS = {"origin": Origin.CODE, "place": "repsim, diagnostics/bias_variance.py", "figure": "e"}
ROLE = {"origin": Origin.ABSTRACT, "figure": "b"}


@study.unless
def lost_paths(t: Tables) -> str:
    """Claims are void where a path cannot be measured."""
    return lost(t["paths"][["length", "tortuosity", "target_angle", "end"]], "paths have lost layers")


def _at(t: Tables, time: float) -> pd.DataFrame:
    """The properties of the paths at one time `[seed and model]`."""
    return t["paths"][t["paths"].time == time].set_index(["seed", "model"])


def _per_seed(values: pd.Series) -> Interval:
    return intervals.mean(values.groupby("seed").mean())


def _slope(table: pd.DataFrame, value: str, network: str, over: str) -> Interval:
    """Slope of a value on log2 of `over` in each network (those of one seed differ in the column `network`)."""
    wide = table.pivot_table(value, ["seed", network], over)
    slopes = intervals.slopes(np.log2(wide.columns.to_numpy(float)), wide.to_numpy())
    return _per_seed(pd.Series(slopes, index=wide.index))


def _by_depth(t: Tables, name: str) -> Interval:
    return _slope(t["paths"].query("time == 100"), name, "width", "depth")


def _by_examples(t: Tables, kind: str) -> Interval:
    lengths = t["subsets"].query("kind == @kind").assign(log=lambda table: np.log(table.length))
    return _slope(lengths, "log", "model", "examples")


@study.claim("R01", by="largest violation, all triples and measures", region=below(1e-6), **AXIOMS)
def obey_the_triangle_inequality(t: Tables) -> Interval:
    """All distances between layers obey the triangle inequality."""
    return intervals.exact(float(max(t["measures"].excess.max(), 0.0)), t["paths"].seed.nunique())


@study.claim("R02", by="distance to the targets: input minus logits, radians", region=above(0.1), **ROLE)
def leads_to_the_targets(t: Tables) -> Interval:
    """A trained network leads towards the targets."""
    return _per_seed(_at(t, 100.0).approach)


@study.claim(
    "R02b", by="distance to the targets before training: input minus logits", region=between(-0.1, 0.1), figure="b"
)
def leads_nowhere_untrained(t: Tables) -> Interval:
    """An untrained network leads neither towards the targets nor away from them."""
    return _per_seed(_at(t, 0.0).approach)


@study.claim("R03", by="ratio of length over chord after training to that before", region=below(1.0), figure="ac")
def training_straightens(t: Tables) -> Interval:
    """On average over architectures, training straightens paths."""
    start, end = (_at(t, time).tortuosity for time in ENDS)
    return intervals.geometric_mean(np.exp(np.log(end / start).groupby("seed").mean()))


@study.claim("R03b", by="largest over architectures of the same ratio", region=below(1.0), figure="ac")
def training_straightens_all(t: Tables) -> Interval:
    """Training straightens the paths of networks of every width and depth."""
    start, end = (_at(t, time).tortuosity for time in ENDS)
    return intervals.largest_ratio((end / start).unstack("model"))


@study.claim("R04", by="angle of steps to the targets, after minus before, degrees", region=below(-1.5), figure="a")
def training_turns_steps(t: Tables) -> Interval:
    """Training turns steps a little towards the targets."""
    start, end = (_at(t, time).target_angle for time in ENDS)
    return _per_seed(end - start)


@study.claim("R04b", by="mean angle before training, degrees", region=between(88.5, 91.5), figure="a")
def untrained_steps_are_orthogonal(t: Tables) -> Interval:
    """The steps of untrained networks are orthogonal to the way to the targets."""
    return _per_seed(_at(t, 0.0).target_angle)


@study.claim("R05", by="slope of length on log2 depth, radians", region=above(0.0), kind=Kind.CHECK, figure="a")
def deeper_is_longer(t: Tables) -> Interval:
    """Deeper networks take longer paths."""
    return _by_depth(t, "length")


@study.claim("R05b", by="slope of the mean step on log2 depth, radians", region=below(0.0), margin=0.05)
def deeper_takes_smaller_steps(t: Tables) -> Interval:
    """Deeper networks take smaller steps."""
    return _by_depth(t, "step")


@study.claim("R06", by="slope of length over chord on log2 depth", region=above(0.0), kind=Kind.CHECK, figure="ac")
def deeper_winds_more(t: Tables) -> Interval:
    """Deeper networks take more winding paths."""
    return _by_depth(t, "tortuosity")


@study.claim(
    "R07", by="distance between two architectures over the geometric mean of those within each, mean over pairs",
    region=above(1.0), figure="f", margin=1.1,
)  # fmt: skip
def architectures_have_their_paths(t: Tables) -> Interval:
    """On average, paths of two architectures are further apart than those of two seeds of each."""
    # Not distances as they are: the deeper two networks, the further apart are their paths, of one architecture or two.
    logs = t["between"].assign(log=lambda pairs: np.log(pairs.distance)).pivot_table("log", ["seed", "one"], "other")
    excess = []
    for _, table in logs.groupby("seed"):
        matrix = table.to_numpy()
        own = matrix.diagonal()
        between_two = ~np.eye(len(matrix), dtype=bool)
        excess.append((matrix - (own[:, None] + own) / 2)[between_two].mean())
    return intervals.geometric_mean(np.exp(excess))


@study.claim("R08", by="rank correlation of checkpoint and progress of the logits", region=above(0.8), figure="a")
def keeps_rising(t: Tables) -> Interval:
    """The progress of the logits towards the targets keeps rising over training."""
    table = t["paths"].pivot_table("end", ["seed", "model"], "time")
    ranks = table.apply(lambda row: stats.spearmanr(table.columns, row).statistic, axis=1)
    return intervals.correlation(ranks.groupby("seed").mean())


@study.claim(
    "R08b", by="share of that progress that is made in the first tenth of training", region=below(0.5), margin=0.25,
    figure="a",
)  # fmt: skip
def gradually(t: Tables) -> Interval:
    """Networks get there gradually: less than half of the way in the first tenth of training."""
    table = t["paths"].pivot_table("end", ["seed", "model"], "time")
    if 10.0 not in table:
        return intervals.nothing()
    gained = table.sub(table[0.0], axis=0)
    return _per_seed(gained[10.0] / gained[100.0])


# 0.005 for every doubling: 2 % from 50 examples to 1,000, which is a tenth of what one more layer adds.
@study.claim("R09", by="slope of the log length on log2 of the examples", region=between(-0.005, 0.005), **BIAS)
def debiased_does_not_depend_on_examples(t: Tables) -> Interval:
    """Debiased, the length of a path does not depend on the number of examples."""
    return _by_examples(t, "debiased")


@study.claim(
    "R09b", by="slope of the log length on log2 of the examples, biased CKA", region=above(0.005), margin=0.005, **BIAS
)
def biased_does(t: Tables) -> Interval:
    """With the usual, biased estimate the length of a path depends on the number of examples: few make it too short."""
    return _by_examples(t, "biased")
