"""Does a kick change what is memorised?"""

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from butterfly.evaluate import predictions
from butterfly.papers.arpit2017.draws import RANDY, drawn, gathered, lasting, networks
from butterfly.perturb import Kick
from butterfly.study import Arrays, Bench
from butterfly.train import Crossing, Fork, Snapshot, parent_rows, train

CONTROL, ORDER = "control", "other minibatches"


def arms(times: list[int]) -> list[tuple[str, int]]:
    """Twins of every network, by name and the epoch in which they part: kicked at each time; and with other minibatches
    from the start, without a kick.
    """
    return [(CONTROL, 0), *(("kicked", time) for time in times), (ORDER, 0)]


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
    seeds, model = networks(seed, bench["runs"]), bench.model
    recipe = lasting(bench.recipe, bench["kick_epochs"], len(task.y))
    epoch, own = len(task.y) // recipe.batch_size, arms(bench["kick_times"])
    forks = [_fork(network, name, time * epoch, bench["kick"]) for name, time in own for network in seeds]
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
    rows = {name_time: _rows(run.members, name_time, epoch) for name_time in own}
    answers = fitted.numpy()
    twins = {arm: [agreement(answers[parents[r - len(seeds)]], answers[r]) for r in at] for arm, at in rows.items()}
    control = rows[CONTROL, 0]
    difference = run.theta[control] - run.theta[parents[np.array(control) - len(seeds)]]
    return {
        "agreement": np.array([np.mean(twins[arm]) for arm in own]),
        "others": np.array(np.mean([agreement(*pair) for pair in combinations(answers[: len(seeds)], 2)])),
        "epochs": np.array([when[: len(seeds)].mean(), *(when[rows[arm]].mean() for arm in own)]),
        "parted": np.array([[time < when[parents[r - len(seeds)]] for r in rows[name, time]] for name, time in own]),
        "crossed": np.array(np.isfinite(when).mean()),
        "largest_difference": np.array(float(difference.abs().max())),
    }


def _fork(seed: int, name: str, step: int, size: float) -> Fork:
    if name == ORDER:
        return Fork(seed, step, Kick(), unmatched="order")
    return Fork(seed, step, Kick(size=0.0 if name == CONTROL else size))


def _rows(members: tuple, arm: tuple[str, int], epoch: int) -> list[int]:
    """The rows of the twins of one arm."""
    return [row for row, member in enumerate(members) if member.fork and _arm(member.fork, epoch) == arm]


def _arm(fork: Fork, epoch: int) -> tuple[str, int]:
    kind = ORDER if fork.unmatched else "kicked" if fork.kick.size else CONTROL
    return kind, fork.step // epoch


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa of two masks `[N]`: 1 if they are the same, 0 if they agree as often as by chance."""
    same, chance = (a == b).mean(), a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return float((same - chance) / (1 - chance)) if chance < 1 else np.nan
