"""How long, and how large a network, does it take to fit? How sharp is where it ends? What keeps it from fitting?"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from butterfly import models
from butterfly.curvature import extreme_eigenvalues
from butterfly.data import Data
from butterfly.evaluate import evaluate, predictions
from butterfly.models import Model
from butterfly.papers.arpit2017.draws import KINDS, RANDX, RANDY, REAL, drawn, gathered, lasting, networks, together
from butterfly.streams import generator
from butterfly.study import Arrays, Bench
from butterfly.train import Crossing, Observer, Recipe, Snapshot, train

FITS = 0.99  # training accuracy at which a network of some width counts as large enough
CLEAN = (REAL, 0.0)


# --- time ------------------------------------------------------------------------------------------------------------


def measure_fitting(bench: Bench) -> Arrays:
    """Epochs until all training examples are right, by draw, kind and number of examples; infinity if never.

    `epochs [S, kinds, sizes, R]`; of the most examples, `sharpness [S, kinds, 2, R]` where the training loss first
    falls to the level, and where all examples are first right; NaN if that does not come.
    """
    return gathered([gathered([_fitting(bench, seed, *row) for row in enumerate(KINDS)]) for seed in bench.seeds])


def _fitting(bench: Bench, seed: int, place: int, kind: str) -> Arrays:
    model, seeds, sizes = bench.model, networks(seed, bench["runs"]), bench["sizes"]
    epochs, sharpness = [], np.full((2, len(seeds)), np.nan)
    for size in sizes:
        task, _ = drawn(bench.task, seed, size, kind)
        recipe = lasting(bench.recipe, bench["patience"][place], size)

        def measure(place: int, now: Snapshot, rows: Tensor, task: Data = task) -> None:
            found = extreme_eigenvalues(model, now.theta[rows], task.x, task.y, bench["iterations"])[1]
            sharpness[place, rows.numpy()] = found.numpy()

        every = max(1, size // recipe.batch_size // 2)
        levels = ("loss", bench["loss"]), ("accuracy", 1.0)
        looks = [Crossing(of, partial(measure, k), of, level, every) for k, (of, level) in enumerate(levels)]
        epochs.append(epochs_to_fit(model, task, recipe, seeds, looks if size == sizes[-1] else []))
    return {"epochs": np.stack(epochs), "sharpness": sharpness}


def epochs_to_fit(
    model: Model, task: Data, recipe: Recipe, seeds: Sequence[int], others: Sequence[Crossing] = ()
) -> np.ndarray:
    """Epochs `[R]`, to a half, until each network is right on all training examples; infinity if it never is."""
    epoch, when = len(task.y) // recipe.batch_size, np.full(len(seeds), np.inf)

    def fits(now: Snapshot, rows: Tensor) -> None:
        when[rows.numpy()] = now.step / epoch

    train(model, task, recipe, seeds, observers=[Crossing("fits", fits, "accuracy", 1.0, max(1, epoch // 2)), *others])
    return when


def measure_dimension(bench: Bench) -> Arrays:
    """`epochs [S, dimensions, 2, R]` to fit Gaussian inputs with random labels, as they are and of equal length."""
    sizes = bench["dimensions"]
    return gathered([gathered([_dimension(bench, seed, size) for size in sizes]) for seed in bench.seeds])


def _dimension(bench: Bench, seed: int, size: int) -> Arrays:
    return gathered([_of_inputs(bench, seed, size, fixed) for fixed in (False, True)])


def _of_inputs(bench: Bench, seed: int, size: int, fixed: bool) -> Arrays:
    length = bench["dimensions"][0] ** 0.5 if fixed else size**0.5
    task = gaussian(seed, bench["examples"], size, length, bench.task.classes).to(bench["device"])
    model = models.build(bench.setting.model, task.input_shape, task.classes)
    recipe = lasting(bench.recipe, bench["gaussian_patience"], len(task.y))
    return {"epochs": epochs_to_fit(model, task, recipe, networks(seed, bench["runs"]))}


def gaussian(seed: int, examples: int, size: int, length: float, classes: int) -> Data:
    """Independent Gaussian inputs of that root mean square length, with random labels; no test set."""
    random = generator("gaussian", seed, size)
    x = torch.randn(examples, 1, size, generator=random) * (length / size**0.5)
    y = torch.randint(classes, (examples,), generator=random)
    return Data("gaussian", x, y, x[:0], y[:0], classes, torch.arange(examples))


# --- width -----------------------------------------------------------------------------------------------------------


def arms(noise: float) -> list[list[tuple[str, float]]]:
    """What networks of every width train on, kind and fraction of noise: those of a row differ in labels alone."""
    return [[CLEAN, (RANDY, noise), (RANDY, 1.0)], [(RANDX, noise)], [(RANDX, 1.0)]]


def measure_capacity(bench: Bench) -> Arrays:
    """By draw, width and arm (`arms`, one after another): mean over runs of accuracies, and epochs to fit.

    `train [S, W, A]` and `test [S, W, A]` at the end, `best [S, W, A]`, the best test accuracy at any look, and
    `epochs [S, W, A, R]` until a network is right on nearly all, infinity if it never is.
    """
    widths = [bench.build(f"mlp-2x{width}") for width in bench["widths"]]
    return gathered([gathered([_of_width(bench, seed, model) for model in widths]) for seed in bench.seeds])


def _of_width(bench: Bench, seed: int, model: Model) -> Arrays:
    parts = [_of_arms(bench, seed, model, own) for own in arms(bench["noise"])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_arms(bench: Bench, seed: int, model: Model, own: Sequence[tuple[str, float]]) -> Arrays:
    sets = [drawn(bench.task, seed, bench["examples"], kind, fraction)[0] for kind, fraction in own]
    task, labels = together(sets, bench["runs"])
    recipe = lasting(bench.recipe, bench["capacity_epochs"], len(task.y))
    epoch = len(task.y) // recipe.batch_size

    def look(now: Snapshot) -> Tensor:
        test = 1 - evaluate(model, now.theta, task.x_test, task.y_test)[1]
        return torch.stack([right(model, now.theta, task.x, labels), test]).cpu()  # [2, M]

    epochs = bench["capacity_epochs"]
    looks = {k for k in range(1, epochs + 1) if k <= 10 or k % 5 == 0 or k == epochs}  # few late ones, which cost time
    watch = Observer("look", look, frozenset(k * epoch for k in looks))
    found = train(model, task, recipe, networks(seed, len(labels)), observers=[watch]).recorded("look")
    train_accuracy, test = torch.stack([both for _, both in found], 1).unflatten(2, (len(own), -1)).numpy()  # [T, A, R]
    when = np.array([step / epoch for step, _ in found])
    fits = train_accuracy >= FITS
    return {
        "train": train_accuracy[-1].mean(1),
        "test": test[-1].mean(1),
        "best": test.mean(2).max(0),
        "epochs": np.where(fits.any(0), when[fits.argmax(0)], np.inf),
    }


def right(model: Model, theta: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """Accuracy `[M]` of networks that each have labels of their own `[M, N]`."""
    return (predictions(model, theta, x) == labels).double().mean(1)


# --- regularisers ----------------------------------------------------------------------------------------------------


def measure_regularised(bench: Bench) -> Arrays:
    """By draw and arm, a regulariser and its strength: accuracies after training on real data and on random labels.

    `real [S, A]`, on the test set, `real_train [S, A]`, and `noise [S, A]`, on the training set of random labels.
    """
    changes = [{name: strength} for name, strength in bench["regularisers"]]
    return gathered([gathered([_regularised(bench, seed, change) for change in changes]) for seed in bench.seeds])


def _regularised(bench: Bench, seed: int, change: dict[str, float]) -> Arrays:
    model, runs = bench.model, bench["runs"]
    task, labels = together([drawn(bench.task, seed, bench["examples"], kind)[0] for kind in (REAL, RANDY)], runs)
    recipe = lasting(bench.recipe, bench["regularised_epochs"], len(task.y)).changed(**change)
    theta = train(model, task, recipe, networks(seed, len(labels))).theta
    fitted = right(model, theta, task.x, labels)
    test = 1 - evaluate(model, theta[:runs], task.x_test, task.y_test)[1]
    means = {"real": test, "real_train": fitted[:runs], "noise": fitted[runs:]}
    return {name: values.mean().cpu().numpy() for name, values in means.items()}
