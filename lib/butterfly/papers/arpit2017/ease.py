"""Are the examples that are learned first the same in all runs?"""

import numpy as np
import torch
from torch import Tensor

from butterfly.evaluate import predictions
from butterfly.papers.arpit2017.draws import KINDS, REAL, drawn, gathered, lasting, networks
from butterfly.study import Arrays, Bench
from butterfly.train import Crossing, Observer, Snapshot, train

LOOKS = 10  # an epoch, for runs that reach a level


def measure_ease(bench: Bench) -> Arrays:
    """Which examples runs are right on after one epoch and, second, when they first reach a level: by draw and kind.

    `dispersion [S, kinds, 2]` over examples against chance, `shuffled [S, kinds, 2]` the same with the answers of every
    run dealt anew, `accuracy [S, kinds, 2]`, `crossed [S, kinds]`, the share of runs that reached the level, and
    `share [S, kinds, N]`, of runs that are right after one epoch.
    """
    return gathered([gathered([_of_draw(bench, seed, kind) for kind in KINDS]) for seed in bench.seeds])


def _of_draw(bench: Bench, seed: int, kind: str) -> Arrays:
    task, _ = drawn(bench.task, seed, bench["examples"], kind)
    count, runs, model = len(task.y), bench["many"], bench.model
    # Real data reach the level in the first epochs.
    epochs = max(2, bench["ease_epochs"] // 5) if kind == REAL else bench["ease_epochs"]
    recipe, epoch = lasting(bench.recipe, epochs, count), count // bench.recipe.batch_size
    level, crossed = torch.zeros(runs, count, dtype=torch.bool), torch.zeros(runs, dtype=torch.bool)

    def right(theta: Tensor) -> Tensor:
        return (predictions(model, theta, task.x) == task.y).cpu()

    def reach(now: Snapshot, rows: Tensor) -> None:
        level[rows], crossed[rows] = right(now.theta[rows]), True

    first = Observer("epoch", lambda now: right(now.theta), frozenset({epoch}))
    half = Crossing("level", reach, "accuracy", bench["level"], max(1, epoch // LOOKS))
    run = train(model, task, recipe, networks(seed, runs), observers=[first, half])
    both = [run.recorded("epoch")[0][1].numpy(), level.numpy()]
    dealt = [np.random.default_rng(seed).permuted(right, axis=1) for right in both]
    return {
        "dispersion": np.array([dispersion(right) for right in both]),
        "shuffled": np.array([dispersion(right) for right in dealt]),
        "accuracy": np.array([right.mean() for right in both]),
        "crossed": crossed.double().mean().numpy(),
        "share": both[0].mean(0),
    }


def dispersion(right: np.ndarray) -> float:
    """Variance over examples of the share of runs that are right `[R, N]`, over that of chance.

    By chance each run is right on as many examples as it is, whichever they are: the ratio is then 1 on average, and R
    where all runs are right on the same examples.
    """
    runs, count = right.shape
    own = right.mean(1)
    chance = (own * (1 - own)).sum() / runs**2 * count / (count - 1)
    return float(right.mean(0).var(ddof=1) / chance) if chance > 0 else np.nan
