"""Does a kick change what is memorised?"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from butterfly.evaluate import predictions
from butterfly.papers.arpit2017.draws import RANDY, drawn, gathered, lasting, networks
from butterfly.perturb import Kick
from butterfly.study import Arrays, Bench
from butterfly.train import Crossing, Fork, Member, Snapshot, parent_rows, train

CONTROL, KICKED, ORDER = "control", "kicked", "other minibatches"


Arm = tuple[str, int, float]  # a kind of twin, the epoch in which it parts, and the size of the kick


def arms(times: Sequence[int], sizes: Sequence[float]) -> list[Arm]:
    """Twins of every network: kicked at the start at each size, and later at the largest; and without a kick, one that
    sees other minibatches from the start.
    """
    early = [(KICKED, times[0], size) for size in sizes]
    return [(CONTROL, 0, 0.0), *early, *((KICKED, time, sizes[-1]) for time in times[1:]), (ORDER, 0, 0.0)]


def measure_kicked(bench: Bench) -> Arrays:
    """Which wrong labels networks have fitted when they have fitted half of them: of twins, and of different seeds.

    `agreement [S, arms]` between twin and parent beyond chance, mean over runs; `others [S]`, the same between networks
    of different seeds, mean over pairs; `epochs [S, 1 + arms]`, when parents and twins are that far; `parted [S, arms,
    R]`, whether a twin parted before its parent was; `crossed [S]`, the share of all that came so far;
    `largest_difference [S]` of a control twin from its parent.
    """
    return gathered([_of_draw(bench, seed) for seed in bench.seeds])


def _of_draw(bench: Bench, seed: int) -> Arrays:
    task, _ = drawn(bench.task, seed, bench["examples"], RANDY, bench["noise"])
    wrong = task.y != drawn(bench.task, seed, len(task.y))[0].y
    seeds, model = networks(seed, bench["kicked_runs"]), bench.model
    recipe = lasting(bench.recipe, bench["kick_epochs"], len(task.y))
    epoch, own = len(task.y) // recipe.batch_size, arms(bench["kick_times"], bench["kick_sizes"])
    forks = [_fork(network, arm, epoch) for arm in own for network in seeds]
    members = len(seeds) + len(forks)
    fitted = torch.zeros(members, int(wrong.sum()), dtype=torch.bool)
    when = np.full(members, np.inf)

    def half(now: Snapshot, rows: Tensor) -> None:
        fitted[rows] = (predictions(model, now.theta[rows], task.x[wrong]) == task.y[wrong]).cpu()
        when[rows.numpy()] = now.step / epoch

    # Half of the wrong labels, where all others are fitted.
    look = Crossing("half", half, "accuracy", 1 - float(wrong.double().mean()) / 2, max(1, epoch // 2))
    run = train(model, task, recipe, seeds, forks, [look])
    parents = parent_rows(run.members).numpy()
    rows = {arm: _rows(run.members, forks, own.index(arm), len(seeds)) for arm in own}
    answers = fitted.numpy()
    twins = {arm: [agreement(answers[parents[r - len(seeds)]], answers[r]) for r in at] for arm, at in rows.items()}
    control = rows[own[0]]
    difference = run.theta[control] - run.theta[parents[np.array(control) - len(seeds)]]
    return {
        "agreement": np.array([np.mean(twins[arm]) for arm in own]),
        "others": np.array(np.mean([agreement(*pair) for pair in combinations(answers[: len(seeds)], 2)])),
        "epochs": np.array([when[: len(seeds)].mean(), *(when[rows[arm]].mean() for arm in own)]),
        "parted": np.array([[arm[1] < when[parents[r - len(seeds)]] for r in rows[arm]] for arm in own]),
        "crossed": np.array(np.isfinite(when).mean()),
        "largest_difference": np.array(float(difference.abs().max())),
    }


def _fork(seed: int, arm: Arm, epoch: int) -> Fork:
    kind, time, size = arm
    return Fork(seed, time * epoch, Kick(size=size), unmatched="order" if kind == ORDER else "")


def _rows(members: Sequence[Member], forks: Sequence[Fork], place: int, count: int) -> list[int]:
    """The rows of the twins of one arm, from the place of the arm and how many twins each has."""
    own = forks[place * count : (place + 1) * count]
    return [row for row, member in enumerate(members) if any(member.fork is fork for fork in own)]


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa of two masks `[N]`: 1 if they are the same, 0 if they agree as often as by chance."""
    same, chance = (a == b).mean(), a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return float((same - chance) / (1 - chance)) if chance < 1 else np.nan
