"""Patterns before noise: accuracies, critical samples and scores of examples along training on partly noisy data."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from butterfly.critical import critical_radius, critical_samples
from butterfly.data import Data
from butterfly.evaluate import evaluate, predictions
from butterfly.models import Model
from butterfly.papers.arpit2017.draws import NOISES, REAL, drawn, gathered, lasting, networks
from butterfly.score import LOGGED, ScoreLogger, logged_difficulty
from butterfly.study import Arrays, Bench
from butterfly.train import Observer, Snapshot, train

SHARE = 0.2  # of test inputs that are critical after one epoch on real data: that sets the radius
CURVES = ("train", "real", "noise", "picks", "test")  # accuracies that are followed: see `_accuracies`


def arms(fractions: Sequence[float]) -> list[tuple[str, float]]:
    """What networks are trained on: real data, and some of it noise, kind and fraction."""
    return [(REAL, 0.0), *((kind, fraction) for kind in NOISES for fraction in fractions)]


def measure_curves(bench: Bench) -> Arrays:
    """By draw and arm (`arms`): means over runs along training.

    `curves [S, A, CURVES, epochs]`; `critical [S, A, looks]`, the share of test inputs that are critical samples within
    the `radius [S]`; and for the fraction `noise`, `found [S, kinds of noise, scores, looks]`, the area under the ROC
    curve with which scores find the examples that are noise, and `fitted [S, kinds of noise, looks]`, of which share of
    those the answer is the label.
    """
    return gathered([_of_draw(bench, seed) for seed in bench.seeds])


def _of_draw(bench: Bench, seed: int) -> Arrays:
    radius, rows, scored = 0.0, [], []
    for kind, fraction in arms(bench["fractions"]):
        task, mask = drawn(bench.task, seed, bench["examples"], kind, fraction)
        # Of labels drawn anew, some are what they were: those are no noise.
        noise = mask & (task.y != drawn(bench.task, seed, len(task.y))[0].y) if kind == NOISES[1] else mask
        watch = _Watch(bench, seed, task, noise, scores=kind != REAL and fraction == bench["noise"])
        recipe = lasting(bench.recipe, bench["epochs"], len(task.y))
        model, seeds = bench.model, networks(seed, bench["runs"])
        epoch = len(task.y) // recipe.batch_size
        looks = frozenset(range(0, recipe.steps + 1, epoch))
        path = train(model, task, recipe, seeds, observers=[Observer("look", watch, looks)]).recorded("look")
        at = dict(path)
        if kind == REAL:
            first = at[epoch * bench["critical_epochs"][0]][1]
            radius = critical_radius(model, first, watch.points, SHARE, key=(seed,))
        stacks = [at[epoch * when][1] for when in bench["critical_epochs"]]
        critical = [critical_samples(model, theta, watch.points, radius, key=(seed,)) for theta in stacks]
        rows.append({
            "curves": np.stack([accuracies for _, (accuracies, _) in path], 1),
            "critical": np.array([float(found.double().mean()) for found in critical]),
        })  # fmt: skip
        scored += [watch.found()] if watch.scores else []
    return gathered(rows) | gathered(scored) | {"radius": np.array(radius)}


class _Watch:
    """Looks at one arm after every epoch: accuracies, the networks where they are needed again, and scores."""

    def __init__(self, bench: Bench, seed: int, task: Data, noise: Tensor, scores: bool):
        self.task, self.noise, self.scores, self.model = task, noise, scores, bench.model
        self.epoch = len(task.y) // bench.recipe.batch_size
        self.kept = {self.epoch * when for when in bench["critical_epochs"]}
        self.read = {self.epoch * when for when in bench["score_epochs"]} if scores else set()
        self.points = bench.task.x_test[: bench["points"]]
        self.logger = ScoreLogger(task.ids, task.y.cpu(), bench["runs"]) if scores else None
        self.areas: list[np.ndarray] = []
        self.fitted: list[float] = []

    def __call__(self, now: Snapshot) -> tuple[np.ndarray, Tensor | None]:
        """Accuracies `[CURVES]`, means over runs, and the stack if critical samples are looked for in it."""
        found = _accuracies(self.model, now.theta, self.task, self.noise)
        if self.logger and now.step:
            self.logger.watch(self.model, now.theta, self.task.x)
        if now.step in self.read:
            scores = self.logger.scores()
            self.areas.append(np.array([self._area(name, scores[name]) for name in LOGGED]))
            self.fitted.append(found[CURVES.index("noise")])
        return found, now.theta.clone() if now.step in self.kept else None

    def _area(self, name: str, values: Tensor) -> float:
        return float(found_by(logged_difficulty(name, values).cpu().numpy(), self.noise.cpu().numpy()).mean())

    def found(self) -> Arrays:
        """What the scores came to at each look."""
        return {"found": np.stack(self.areas, 1), "fitted": np.array(self.fitted)}


def _accuracies(model: Model, theta: Tensor, task: Data, noise: Tensor) -> np.ndarray:
    """Mean over networks: training accuracy, that on real examples and on noise; test accuracy on the two halves.

    On one half the best epoch is picked, on the other it is told how good it is.
    """
    right = (predictions(model, theta, task.x) == task.y).double()
    half = len(task.y_test) // 2
    halves = (slice(None, half), slice(half, None))
    tests = [1 - float(evaluate(model, theta, task.x_test[h], task.y_test[h])[1].mean()) for h in halves]
    every = torch.ones_like(noise)
    parts = [float(right[:, some].mean()) if bool(some.any()) else np.nan for some in (every, ~noise, noise)]
    return np.array([*parts, *tests])


def found_by(values: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Area under the ROC curve `[R]` with which values `[R, N]` find those of the mask `hit [N]`; ties count half."""
    ranks, many = stats.rankdata(values, axis=-1, nan_policy="propagate"), int(hit.sum())
    above = ranks[..., hit].sum(-1) - many * (many + 1) / 2
    return above / (many * (len(hit) - many))
