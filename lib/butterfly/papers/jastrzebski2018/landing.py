"""Where networks land that are trained with different noise, all read at one training loss.

Curvature is compared at equal training loss only: the Hessian of the cross-entropy shrinks as networks grow confident,
however they were trained.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from butterfly.curvature import hessian_trace, largest_eigenvalue
from butterfly.data import Data
from butterfly.evaluate import evaluate, logits
from butterfly.interpolate import barriers, path
from butterfly.models import Model
from butterfly.perturb import Kick
from butterfly.study import Arrays, Bench
from butterfly.train import Crossing, Fork, Observer, Recipe, Snapshot, parent_rows, train

OTHER = 100_000  # seeds of the batches that kicked networks train on start here: others than those that led there
PIECES = 8  # a training is cut into so many, and ends with the one in which the last network arrives
LOOK = 2.0  # sum of steps between two looks at the training loss
FACTOR = 20.0  # by which a layer is made larger, and the next one smaller, without a change of the function
WATCHED = 5  # looks at kicked networks


def measure(bench: Bench) -> Arrays:
    """Train every cell of the grid (step, batch) to one loss; curvature there, lines between cells, and kicks.

    Over cells and seeds `[cells, S]`, over pairs of cells `[pairs, S, points]`, over roles and epochs `[roles, T, S]`,
    over cells, kicks and looks `[cells, kicks, T, S]`; the noisiest cell is rescaled as well.
    """
    model, task, seeds, cells = bench.model, bench.task, bench.seeds, [tuple(cell) for cell in bench["cells"]]
    roles = {tuple(cell): role for role, cell in bench["roles"].items()}
    landed, networks, curves, kicked = {}, [], {}, []
    for cell in cells:
        recipe = plain(bench.recipe, *cell, bench["limit"])
        epoch = len(task.y) // recipe.batch_size
        looks = [number * epoch for number in range(bench["epochs"] + 1)] if cell in roles else []
        theta, steps, seen = land(model, task, recipe, seeds, bench["level"], looks)
        landed[cell] = theta
        networks.append({"step": steps, **_about(model, task, theta, bench)})
        if cell in roles:
            curves[roles[cell]] = np.array([seen[look] for look in looks])
        kicked.append(_forget(model, task, recipe, seeds, theta, bench))
    pairs = [(landed[tuple(a)], landed[tuple(b)]) for a, b in bench["pairs"].values()]
    return {
        **{name: np.array([own[name] for own in networks]) for name in networks[0]},
        **{name: np.array([own[name] for own in kicked]) for name in kicked[0]},
        **_reshaped(model, task, landed[max(cells, key=lambda cell: cell[0] / cell[1])], bench),
        "curves": np.array([curves[role] for role in bench["roles"]]),
        "lines": np.array([_line(model, task, *pair, bench["points"]) for pair in pairs]),
    }


def plain(recipe: Recipe, lr: float, batch: int, time: float) -> Recipe:
    """The recipe with another constant step and batch, for updates whose steps sum up to `time`."""
    return recipe.changed(lr=lr, batch_size=batch, steps=max(1, round(time / lr)))


def land(
    model: Model, task: Data, recipe: Recipe, seeds: Sequence[int], level: float, looks: Sequence[int] = ()
) -> tuple[Tensor, np.ndarray, dict[int, Any]]:
    """Networks `[S, P]` as they first reach a training loss, after how many updates `[S]`, and training accuracy `[S]`
    after each number of updates in `looks`; NaN and -1 where a network never gets there.

    Without momentum and at a constant step, training goes on from the end of a piece as if it had not stopped.
    """
    found = torch.full((len(seeds), model.layout.size), torch.nan, device=task.x.device)
    steps, seen, theta, start = np.full(len(seeds), -1), {}, None, 0
    every = max(1, round(LOOK / recipe.lr))
    piece = every * max(1, -(-recipe.steps // (PIECES * every)))
    while start < recipe.steps and (steps.min() < 0 or start < max(looks, default=0)):
        end = min(start + piece, recipe.steps)
        arrive = Crossing("arrive", lambda now, rows: (rows.numpy(), now.theta[rows].clone()), "loss", level, every)
        watch = Observer("watch", accuracy, frozenset(looks))
        run = train(model, task, recipe.changed(steps=end), seeds, observers=[arrive, watch], init=theta, start=start)
        for step, (rows, networks) in run.recorded("arrive"):
            new = steps[rows] < 0
            found[rows[new]], steps[rows[new]] = networks[torch.from_numpy(new)], step
        seen |= dict(run.recorded("watch"))
        theta, start = run.theta, end
    return found, steps, seen


def accuracy(now: Snapshot) -> np.ndarray:
    """Training accuracy `[M]`."""
    return 1 - evaluate(now.model, now.theta, now.data.x, now.data.y)[1].cpu().numpy()


def _about(model: Model, task: Data, theta: Tensor, bench: Bench) -> Arrays:
    """Loss, accuracy and curvature of networks `[S]`; curvature on the first examples of the training set."""
    some = slice(bench["examples"])
    x, y = task.x[some], task.y[some]
    loss, _ = evaluate(model, theta, task.x, task.y)
    test_loss, test_error = evaluate(model, theta, task.x_test, task.y_test)
    sharpness, error = largest_eigenvalue(model, theta, x, y, bench["iterations"])
    relative, _ = largest_eigenvalue(model, theta, x, y, bench["iterations"], scale=theta.abs())
    trace, half = hessian_trace(model, theta, x, y, bench["probes"])
    found = {
        "loss": loss, "test_loss": test_loss, "accuracy": 1 - test_error,
        "sharpness": sharpness, "sharpness_error": error, "relative": relative, "trace": trace, "trace_half": half,
    }  # fmt: skip
    return {name: values.cpu().numpy() for name, values in found.items()}


def _reshaped(model: Model, task: Data, theta: Tensor, bench: Bench) -> Arrays:
    """Sharpness and relative sharpness `[S]` of the networks, rescaled, and their loss; NaN where none can be."""
    other, some = rescaled(model, theta), slice(bench["examples"])
    if other is None:
        return dict.fromkeys(("rescaled", "rescaled_relative", "rescaled_loss"), np.full(len(theta), np.nan))
    about = (model, other, task.x[some], task.y[some], bench["iterations"])
    return {
        "rescaled": largest_eigenvalue(*about)[0].numpy(),
        "rescaled_relative": largest_eigenvalue(*about, scale=other.abs())[0].numpy(),
        "rescaled_loss": evaluate(model, other, task.x, task.y)[0].cpu().numpy(),
    }


def rescaled(model: Model, theta: Tensor) -> Tensor | None:
    """Networks `[M, P]` that compute the same, their first hidden layer larger and what reads it smaller by `FACTOR`.

    None where the architecture is not a plain perceptron with ReLU.
    """
    found = theta.clone()
    tensors = model.layout.tensors(found)
    plain_relu = getattr(model, "activation", "") == "relu" and not getattr(model, "norm", "")
    if not plain_relu or not all(re.fullmatch(r"linear\d+\.(weight|bias)", name) for name in tensors):
        return None
    tensors["linear0.weight"].mul_(FACTOR)
    tensors["linear0.bias"].mul_(FACTOR)
    tensors["linear1.weight"].div_(FACTOR)
    return found


def _line(model: Model, task: Data, a: Tensor, b: Tensor, points: int) -> np.ndarray:
    """Training loss `[S, points]` on the straight line from -1 to 2 through the networks `a` (at 0) and `b` (at 1)."""
    alphas = torch.linspace(-1, 2, points, dtype=torch.float64)
    loss, _ = evaluate(model, path(a, b, alphas).flatten(0, 1), task.x, task.y)
    return loss.view(len(a), points).cpu().numpy()


def _forget(model: Model, task: Data, recipe: Recipe, seeds: Sequence[int], theta: Tensor, bench: Bench) -> Arrays:
    """Kick the networks `theta [S, P]`, train on with other batches, and see what is left of the kick.

    `left [kicks, T, S]` is the distance from the parent over that at the kick, at even sums of steps, and `gap` the
    same for the outputs on test examples; `twin_barrier` and `largest_difference` `[kicks, S]` at the end. The first is
    no kick.
    """
    own, sizes = [seed + OTHER for seed in seeds], (0.0, *bench["kick_sizes"])
    looks = [round(share * bench["kick_time"] / recipe.lr) for share in np.linspace(0, 1, WATCHED)]
    forks = [Fork(seed, 0, Kick(size=size)) for size in sizes for seed in own]
    apart = Observer("apart", _apart, frozenset(looks))
    run = train(model, task, recipe.changed(steps=looks[-1]), own, forks, [apart], init=theta)
    far = np.stack([value for _, value in run.recorded("apart")], 1)  # [2, T, K]
    with np.errstate(invalid="ignore"):  # what was not kicked is 0 / 0
        left, gap = np.moveaxis((far / far[:, :1]).reshape(2, len(looks), len(sizes), len(own)), 2, 1)
    parents, twins = run.theta[parent_rows(run.members)], run.theta[len(own) :]
    line = barriers(model, parents, twins, task.x, task.y, points=9).of_loss.numpy()
    largest = (twins - parents).abs().amax(1).cpu().numpy()
    shape = (len(sizes), len(own))
    return {"left": left, "gap": gap, "twin_barrier": line.reshape(shape), "largest_difference": largest.reshape(shape)}


def _apart(now: Snapshot) -> np.ndarray:
    """Distance of each twin from its parent, and of their outputs on the test examples, root mean square `[2, K]`.

    Outputs are centred over the classes, since what all share changes no answer.
    """
    parents = parent_rows(now.members)
    first = len(now.members) - len(parents)
    outputs = logits(now.model, now.theta, now.data.x_test).double()
    outputs = (outputs - outputs.mean(2, keepdim=True)).flatten(1)
    weights = now.theta.double()
    gaps = [(values[first:] - values[parents]).norm(dim=1).cpu().numpy() for values in (weights, outputs)]
    return np.stack([gaps[0], gaps[1] / len(now.data.x_test) ** 0.5])
