"""Are the examples that are learned first the same in all runs?"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from butterfly.evaluate import predictions
from butterfly.papers.arpit2017.draws import KINDS, REAL, drawn, gathered, lasting, networks
from butterfly.study import Arrays, Bench
from butterfly.train import Crossing, Observer, Snapshot, train


def measure_ease(bench: Bench) -> Arrays:
    """Which examples runs are right on after one epoch and when they first reach each level, by draw and kind.

    `shared [S, kinds, 1 + levels]`, the share of variance that runs have in common, `shuffled`, the same with the
    answers of every run dealt anew, `accuracy`, `crossed`, the share of runs that came so far, all of that shape; and
    `share [S, kinds, N]`, of runs that are right after one epoch.
    """
    return gathered([gathered([_of_draw(bench, seed, kind) for kind in KINDS]) for seed in bench.seeds])


def _of_draw(bench: Bench, seed: int, kind: str) -> Arrays:
    task, _ = drawn(bench.task, seed, bench["examples"], kind)
    count, runs, model = len(task.y), bench["many"], bench.model
    # Real data reach the level in the first epochs.
    epochs = max(2, bench["ease_epochs"] // 5) if kind == REAL else bench["ease_epochs"]
    recipe, epoch = lasting(bench.recipe, epochs, count), count // bench.recipe.batch_size
    # Noise is learned slowly: an epoch makes little difference.
    every, levels = 1 if kind == REAL else epoch, bench["levels"]
    answers = torch.zeros(1 + len(levels), runs, count, dtype=torch.bool)
    crossed = torch.zeros(1 + len(levels), runs, dtype=torch.bool)

    def keep(place: int, now: Snapshot, rows: Tensor) -> None:
        answers[place, rows] = (predictions(model, now.theta[rows], task.x) == task.y).cpu()
        crossed[place, rows] = True

    observers = [Observer("epoch", lambda now: keep(0, now, torch.arange(runs)), frozenset({epoch}))]
    observers += [
        Crossing(f"level {place}", partial(keep, place), "accuracy", level, every)
        for place, level in enumerate(levels, start=1)
    ]
    train(model, task, recipe, networks(seed, runs), observers=observers)
    right = answers.numpy()
    dealt = [np.random.default_rng(seed).permuted(own, axis=1) for own in right]
    return {
        "shared": np.array([shared(own) for own in right]),
        "shuffled": np.array([shared(own) for own in dealt]),
        "accuracy": right.mean((1, 2)),
        "crossed": crossed.double().mean(1).numpy(),
        "share": right[0].mean(0),
    }


def shared(right: np.ndarray) -> float:
    """Share of the variance of answers `[R, N]`, right or not, that the examples explain.

    1 where all runs are right on the same examples; 0 on average where each run is right on as many as it is, whichever
    they are. The variance over examples of how many runs are right is then that of coin flips; otherwise it is
    `1 + (R - 1) * shared` times as large.
    """
    runs, count = right.shape
    own = right.mean(1)
    chance = (own * (1 - own)).sum() / runs**2 * count / (count - 1)
    return float((right.mean(0).var(ddof=1) / chance - 1) / (runs - 1)) if chance > 0 else np.nan
