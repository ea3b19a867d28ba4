"""On how many examples, and on which, does the loss depend through training?"""

import numpy as np
import torch

from butterfly.evaluate import evaluate
from butterfly.papers.arpit2017.draws import KINDS, drawn, gathered, lasting, networks
from butterfly.study import Arrays, Bench
from butterfly.train import Observer, train
from butterfly.unrolled import sensitivity


def look_steps(epochs: int, per_epoch: int, looks: int) -> list[int]:
    """The updates after which the loss is differentiated: evenly spread, the last at the end."""
    return [round(epochs * per_epoch * look / looks) for look in range(1, looks + 1)]


def measure_influence(bench: Bench) -> Arrays:
    """Sensitivity of the training loss to each training example, through all updates: by draw and kind.

    `gini [S, kinds, T]` of the mean over looks so far, `accuracy [S, kinds, T]`, and `classes [S, kinds, C, C]`, how
    much the loss of the examples of one class (row) depends on an example of another (column), mean over looks.
    """
    return gathered([gathered([_of_draw(bench, seed, kind) for kind in KINDS]) for seed in bench.seeds])


def _of_draw(bench: Bench, seed: int, kind: str) -> Arrays:
    task, _ = drawn(bench.task, seed, bench["unrolled_examples"], kind)
    model, seeds = bench.build(bench["small"]), networks(seed, bench["runs"])
    recipe = lasting(bench.recipe, bench["unrolled_epochs"], len(task.y))
    steps = look_steps(bench["unrolled_epochs"], len(task.y) // recipe.batch_size, bench["looks"])
    copy = Observer("path", lambda now: now.theta.clone(), frozenset(range(recipe.steps + 1)))
    path = torch.stack([theta for _, theta in train(model, task, recipe, seeds, observers=[copy]).recorded("path")])
    belongs = torch.nn.functional.one_hot(task.y, task.classes).T.to(task.x)  # [C, N]
    counts = belongs.sum(1).clamp_min(1)
    of_class = sensitivity(model, task, recipe, seeds, path, steps, belongs / counts[:, None])  # [T, C, R, N, ...]
    of_all = torch.einsum("tcr...,c->tr...", of_class, counts / len(task.y))
    size = of_all.flatten(3).abs().sum(3).cumsum(0).cpu().numpy()  # [T, R, N]: what is divided by does not matter
    between = of_class.flatten(4).abs().sum(4).mean((0, 2)) @ belongs.T / counts  # [C, C]
    return {
        "gini": gini(size).mean(1),
        "accuracy": np.array([1 - float(evaluate(model, path[k], task.x, task.y)[1].mean()) for k in steps]),
        "classes": between.cpu().numpy(),
    }


def gini(values: np.ndarray) -> np.ndarray:
    """Gini coefficient over the last axis of values of 0 or more: 0 if all are equal, nearly 1 if one has all."""
    ordered, count = np.sort(values, axis=-1), values.shape[-1]
    rank = np.arange(1, count + 1)
    return ((2 * rank - count - 1) * ordered).sum(-1) / (count * ordered.sum(-1))
