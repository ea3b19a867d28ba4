"""Modes: the problem of two coupled modes that can be solved, starts of small networks, and when a mode is learned."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit
from torch import Tensor

from butterfly.data import Data
from butterfly.evaluate import logits
from butterfly.models import Model
from butterfly.objective import cross_entropy
from butterfly.streams import generator

WEIGHTS, OUTPUTS = "weight decay", "decoupling"  # what a penalty is on
COUPLING = 0.1, 0.5  # between which the sine of the angle of two coupled modes is drawn
SMALL = 0.1  # standard deviation of all weights of a small start


# --- two coupled modes, linearised -----------------------------------------------------------------------------------


def coupled(seed: int) -> Tensor:
    """How two modes (columns) make up two examples (rows), `[2, 2]`, float64: a turn by a random angle.

    The first mode is in both examples with the sign of their class, so that each can be told by it.
    """
    low, high = COUPLING
    sine = low + (high - low) * float(torch.rand(1, generator=generator("coupling", seed)))
    cosine = math.sqrt(1 - sine**2)
    return torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)


def _pull(strengths: Tensor, penalty: float, on: str) -> Tensor:
    """What pulls the two responses back to 0, as factors `[2]`: the penalty's gradient, in responses."""
    return penalty / strengths**2 if on == WEIGHTS else torch.full_like(strengths, penalty / 2)


def solved(turn: Tensor, strengths: Tensor, penalty: float, on: str) -> Tensor:
    """The responses to two modes `[2]` at which the linearised problem comes to rest.

    A linear model with outputs `turn @ responses`, classes brought to 1, minimises the mean cross-entropy plus
    `penalty / 2` times the squared norm of its weights, or the mean squared output; a response is a mode's strength
    times a weight. Newton's method, from 0.
    """
    pull, z = _pull(strengths, penalty, on), torch.zeros(2, dtype=torch.float64)
    for _ in range(100):
        wrong = (-turn @ z).sigmoid()
        gradient = pull * z - turn.T @ wrong / 2
        hessian = pull.diag() + turn.T @ (wrong * (1 - wrong)).diag() @ turn / 2
        z = z - torch.linalg.solve(hessian, gradient)
    return z


def flowing(turn: Tensor, strengths: Tensor, penalty: float, on: str, times: Sequence[float]) -> Tensor:
    """The responses `[T, 2]` at rising times from 0 on, under gradient flow from weights of 0."""
    mix, pull, square = turn.numpy(), _pull(strengths, penalty, on).numpy(), (strengths**2).numpy()

    def speed(_: float, z: np.ndarray) -> np.ndarray:
        return square * (mix.T @ expit(-mix @ z) / 2 - pull * z)

    found = solve_ivp(speed, (0.0, times[-1]), np.zeros(2), "LSODA", t_eval=list(times), rtol=1e-8, atol=1e-10)
    return torch.from_numpy(found.y.T)


# --- small networks without biases -----------------------------------------------------------------------------------


def small(model: Model, seeds: Sequence[int]) -> Tensor:
    """Networks with small weights, normal and all alike, and no biases, one a seed `[S, P]`."""
    theta = model.init(list(seeds))
    tensors = model.layout.tensors(theta)
    for p in model.layout.parameters:
        if p.kind == "weight":
            tensors[p.name] *= SMALL / p.std
    return theta


def proper(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The same networks of one hidden layer, each unit turned to one of the examples `x [N, D]`, `y [N]` alone.

    The unit points along its example and speaks for that one's class. Where no two examples have a positive product,
    it then sees no other.
    """
    theta = theta.clone()
    tensors = model.layout.tensors(theta)
    first, last = tensors["linear0.weight"], tensors["linear1.weight"]  # [S, D, W], [S, W, C]
    own = torch.arange(first.shape[2], device=x.device) % len(x)
    first.copy_(first.norm(dim=1, keepdim=True) * (x / x.norm(dim=1, keepdim=True))[own].T)
    sign = 2.0 * torch.nn.functional.one_hot(y[own], last.shape[2]) - 1
    last.copy_(last.abs() * sign)
    return theta


def margins(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """By how much each network prefers the right one of two classes, on each example `[M, N]`."""
    values = logits(model, theta, x)
    return (values[..., 1] - values[..., 0]) * (2 * y - 1)


def by_mode(each: Tensor) -> Tensor:
    """From examples and, behind them, their opposites `[M, 2K]` to the mean of the two `[M, K]`."""
    return each.unflatten(1, (2, -1)).mean(1)


# --- starts that never learn -----------------------------------------------------------------------------------------


def serves(first: Tensor, last: Tensor) -> Tensor:
    """Which of two classes each hidden unit will come to speak for, by its start: `[..., 2]`.

    One example of each class, at right angles, no biases; a unit has the weights `first [..., 2]` towards them and the
    weights `last [..., 2]` to the classes. It sees those examples towards which its weight is positive. If it sees one,
    descent keeps the difference of the squares of its weight and of what it says for the class: if it speaks against
    the class by more than its weight, the weight reaches 0 first and the unit is dead, else it turns round. If
    it sees both, as long as both are equally wrong, the sign of a sum decides, of what it says and of the difference of
    its weights.
    """
    one, other = first.unbind(-1)
    says = (last[..., 0] - last[..., 1]) / math.sqrt(2)
    both = (one - other) / math.sqrt(2)
    return torch.stack(
        [
            (one > 0) & (says > torch.where(other > 0, -both, -one)),
            (other > 0) & (-says > torch.where(one > 0, both, -other)),
        ],
        -1,
    )


def opposed() -> Data:
    """Two examples at right angles, one of each of two classes, in the order of the classes."""
    x, y = torch.eye(2), torch.arange(2)
    return Data("opposed", x, y, x, y, classes=2, ids=y)


def unit_networks(model: Model, first: Tensor, last: Tensor) -> Tensor:
    """Networks `[M, P]` of one hidden layer without biases, of weights `first [M, W, 2]` and `last [M, W, 2]`."""
    theta = torch.zeros(len(first), model.layout.size)
    tensors = model.layout.tensors(theta)
    tensors["linear0.weight"].copy_(first.mT)
    tensors["linear1.weight"].copy_(last)
    return theta


def descended(model: Model, theta: Tensor, task: Data, lr: float, steps: int) -> Tensor:
    """The networks `[M, P]` after plain gradient descent on all examples; biases stay at 0."""
    weights = model.layout.select().to(theta)
    x, y = (part.expand(len(theta), *part.shape) for part in (task.x, task.y))
    for _ in range(steps):
        gradient = model.gradient(theta, x, lambda values: cross_entropy(values, y).mean(1).sum())
        theta = theta - lr * weights * gradient
    return theta


# --- reading curves --------------------------------------------------------------------------------------------------


def reached(steps: np.ndarray, p: np.ndarray, level: float) -> np.ndarray:
    """When curves `p [T, ...]` first reach a level, on straight lines between the steps `[T]`; infinite: never."""
    above = p >= level
    at = above.argmax(0)
    before = np.maximum(at - 1, 0)
    low, high = (np.take_along_axis(p, place[None], 0)[0] for place in (before, at))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(at > 0, (level - low) / (high - low), 0.0)
    return np.where(above.any(0), steps[before] + part * (steps[at] - steps[before]), np.inf)


def unexplained(steps: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """The share of the variance of one curve `p [T]` that two curves of three numbers leave: rising from a free floor
    to 1, one as a sigmoid, the other at a rate that only falls (an exponential), from a free start. NaN: no fit."""
    t = steps / steps[-1]
    half = t[min(int((p >= (1 + p[0]) / 2).argmax()), len(t) - 1)] if p[-1] > (1 + p[0]) / 2 else 0.5

    def sigmoid(t: np.ndarray, floor: float, middle: float, width: float) -> np.ndarray:
        return floor + (1 - floor) / (1 + np.exp(-np.clip((t - middle) / width, -500, 500)))

    def slowing(t: np.ndarray, floor: float, start: float, width: float) -> np.ndarray:
        return floor + (1 - floor) * (1 - np.exp(-np.maximum(t - start, 0) / width))

    guesses = {"sigmoid": (sigmoid, half), "exponential": (slowing, half / 2)}
    found = {}
    for name, (shape, place) in guesses.items():
        bounds = ([0.0, -2.0, 1e-4], [1.0, 2.0, 10.0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            try:
                best, _ = curve_fit(shape, t, p, (p[0], place, max(half / 4, 1e-3)), bounds=bounds, max_nfev=2000)
                found[name] = float(((p - shape(t, *best)) ** 2).sum() / ((p - p.mean()) ** 2).sum())
            except RuntimeError:  # no fit
                found[name] = math.nan
    return found
