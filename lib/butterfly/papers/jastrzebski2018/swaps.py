"""Swapping batch for step: in schedules, while networks memorise wrong labels, and by ever larger factors."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly.data import Data, with_label_noise
from butterfly.evaluate import evaluate, predictions
from butterfly.papers.jastrzebski2018.landing import OTHER, plain
from butterfly.streams import generator
from butterfly.study import Arrays, Bench
from butterfly.train import Observer, Recipe, Snapshot, train

ARMS = ("cyclic step", "cyclic batch", "small step", "large batch", "mean step")
SHARES = 24  # looks at networks with wrong labels


# --- schedules -------------------------------------------------------------------------------------------------------


def schedules(bench: Bench) -> Arrays:
    """Training loss and test accuracy `[arms, phases + 1, S]` at the ends of phases of equal numbers of epochs.

    Phases alternate between a ratio of step to batch and one `cycle_factor` times lower, and end with the lower one.
    One arm divides the step, one multiplies the batch; two keep the lower ratio, one their mean.
    """
    high, batch, factor = bench["cycle_lr"], bench["cycle_batch"], bench["cycle_factor"]
    noisy = [phase % 2 == 0 for phase in range(2 * bench["cycles"])]
    small, large = high / factor, batch * factor
    arms = {
        "cyclic step": [(high if loud else small, batch) for loud in noisy],
        "cyclic batch": [(high, batch if loud else large) for loud in noisy],
        "small step": [(small, batch) for _ in noisy],
        "large batch": [(high, large) for _ in noisy],
        "mean step": [((high + small) / 2, batch) for _ in noisy],
    }
    found = [_in_phases(bench, arms[arm]) for arm in ARMS]
    return {"loss": np.array([own[0] for own in found]), "accuracy": np.array([own[1] for own in found])}


def _in_phases(bench: Bench, phases: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Training loss and test accuracy `[phases + 1, S]` of networks trained in phases of (step, batch).

    A recipe knows schedules of batches. Steps change by training on from where the last phase ended, with another
    step: without momentum that is the same as a schedule of steps.
    """
    task, model = bench.task, bench.model
    lengths = [bench["phase_epochs"] * (len(task.y) // batch) for _, batch in phases]
    ends = np.cumsum([0, *lengths]).tolist()
    sizes = tuple((end / ends[-1], batch) for end, (_, batch) in zip(ends[1:-1], phases[1:], strict=True))
    recipe = bench.recipe.changed(steps=ends[-1], batch_size=phases[0][1], batches=sizes)
    seen, theta = {}, None
    steps = [lr for lr, _ in phases]
    for lr, start, end in _runs(steps, ends):
        look = Observer("look", _look, frozenset(e for e in ends if start <= e <= end))
        part = _until(recipe.changed(lr=lr), end)
        run = train(model, task, part, bench.seeds, observers=[look], init=theta, start=start)
        seen |= dict(run.recorded("look"))
        theta = run.theta
    return tuple(np.array([seen[end][k] for end in ends]) for k in range(2))


def _runs(steps: list[float], ends: list[int]) -> list[tuple[float, int, int]]:
    """Phases of equal step that follow each other as one: (step, first update, last update)."""
    found: list[tuple[float, int, int]] = []
    for lr, start, end in zip(steps, ends, ends[1:], strict=False):
        if found and found[-1][0] == lr:
            found[-1] = (lr, found[-1][1], end)
        else:
            found.append((lr, start, end))
    return found


def _until(recipe: Recipe, end: int) -> Recipe:
    """The recipe cut off after `end` updates; its batch sizes change at the same updates."""
    kept = tuple((time * recipe.steps / end, size) for time, size in recipe.batches if time * recipe.steps < end)
    return recipe.changed(steps=end, batches=kept)


def _look(now: Snapshot) -> tuple[np.ndarray, np.ndarray]:
    """Training loss and test accuracy `[M]`."""
    loss, _ = evaluate(now.model, now.theta, now.data.x, now.data.y)
    _, error = evaluate(now.model, now.theta, now.data.x_test, now.data.y_test)
    return loss.cpu().numpy(), 1 - error.cpu().numpy()


# --- wrong labels ----------------------------------------------------------------------------------------------------


def memory(bench: Bench) -> Arrays:
    """Share of wrong and of right labels that are fitted, and test accuracy `[cells, T, S]`; sums of steps `[T]`.

    A fraction `noise` of the training labels of each seed is wrong, a draw of its own.
    """
    task, seeds = bench.task, bench.seeds
    given, moved = _noisy(task, bench["noise"], seeds)
    wrong = replace(task, targets=F.one_hot(given, task.classes).to(task.x))

    def look(now: Snapshot) -> np.ndarray:
        fits = predictions(now.model, now.theta, now.data.x) == given
        _, error = evaluate(now.model, now.theta, now.data.x_test, now.data.y_test)
        shares = [(fits & some).sum(1).double() / some.sum(1) for some in (moved, ~moved)]
        return torch.stack([*shares, 1 - error]).cpu().numpy()

    found, times = [], np.linspace(0, 1, SHARES + 1)[1:] * bench["noisy_time"]
    for lr, batch in bench["noisy_cells"]:
        recipe = plain(bench.recipe, lr, batch, bench["noisy_time"])
        at = [round(time / lr) for time in times]
        run = train(bench.model, wrong, recipe, seeds, observers=[Observer("look", look, frozenset(at))])
        seen = dict(run.recorded("look"))
        found.append([seen[step] for step in at])
    names = ("wrong", "right", "accuracy")
    return {"times": times, **dict(zip(names, np.moveaxis(np.array(found), 2, 0), strict=True))}


def _noisy(task: Data, fraction: float, seeds: list[int]) -> tuple[Tensor, Tensor]:
    """The labels that each seed is given, and which of them are wrong `[S, N]`."""
    drawn = [with_label_noise(task, fraction, seed) for seed in seeds]
    return torch.stack([data.y for data, _ in drawn]), torch.stack([moved for _, moved in drawn])


# --- ever larger factors ---------------------------------------------------------------------------------------------


def breaking(bench: Bench) -> Arrays:
    """Test accuracy and training loss `[sizes, factors, S, networks]`: step and batch multiplied by the same factor.

    Each seed draws training sets of its own, the smaller ones part of the larger ones, and trains a few networks on
    each for the same number of epochs. NaN where a batch would be larger than the training set.
    """
    found = [[_factors(bench, seed, size) for size in bench["subsets"]] for seed in bench.seeds]
    accuracy, loss = np.moveaxis(np.array(found), (3, 0), (0, 3))
    return {"accuracy": accuracy, "loss": loss}


def _factors(bench: Bench, seed: int, size: int) -> list[np.ndarray]:
    """Accuracy and loss `[factors, 2, networks]` on the first `size` examples of a seed's own order."""
    order = torch.randperm(len(bench.task.y), generator=generator("subset", seed))[:size]
    task, networks = bench.task.subset(order), [seed + number * OTHER for number in range(bench["networks"])]
    found = []
    for factor in bench["factors"]:
        batch = bench["base_batch"] * factor
        if batch > size:
            found.append(np.full((2, len(networks)), np.nan))
            continue
        steps = bench["base_epochs"] * (size // batch)
        recipe = bench.recipe.changed(lr=bench["base_lr"] * factor, batch_size=batch, steps=steps)
        theta = train(bench.model, task, recipe, networks).theta
        loss, _ = evaluate(bench.model, theta, task.x, task.y)
        _, error = evaluate(bench.model, theta, task.x_test, task.y_test)
        found.append(np.stack([1 - error.cpu().numpy(), loss.cpu().numpy()]))
    return found
