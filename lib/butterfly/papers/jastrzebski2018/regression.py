"""SGD with a constant step on linear regression, where the law of its noise is known in closed form.

Near a minimum with Hessian `H`, gradients of single examples scatter with covariance `C`. For small steps `lr` and
batches of `S` independent draws, the loss settles at `lr / (4 S) * trace(C)` above its minimum. Where the model is the
right one, `C = variance * H`: three factors are left, step, batch size and the trace of the Hessian in units of the
noise. For any step the second moment of the place solves a linear equation, which is `exact` below.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from butterfly.streams import generator
from butterfly.study import Arrays, Bench

WORLDS = ("right", "wrong")  # the noise of the labels is the same everywhere, or grows with the first feature
WAYS = ("independent", "epochs")  # minibatches are drawn with replacement, or are pieces of a shuffled training set
LAWS = ("three", "four", "exact")  # by the trace of the Hessian, by that of the covariance of gradients, for any step
BURN = 0.1  # of the updates that nothing is measured in


def problem(seed: int, world: str, examples: int, dimension: int) -> tuple[Tensor, Tensor]:
    """Inputs `[N, d]` and what the best linear map leaves of the labels `[N]`, float64.

    Features are Gaussian with variances from 1 to 0.1. Labels have noise of variance 1; in the wrong world its standard
    deviation is the size of the first feature, so that gradients scatter more along it than the Hessian says.
    """
    random = generator("regression", seed)
    variances = torch.from_numpy(np.geomspace(1, 0.1, dimension))
    x = torch.randn(examples, dimension, generator=random, dtype=torch.float64) * variances.sqrt()
    noise = torch.randn(examples, generator=random, dtype=torch.float64)
    noise = noise if world == "right" else noise * x[:, 0].abs()
    return x, noise - x @ torch.linalg.lstsq(x, noise[:, None]).solution[:, 0]


def predictions(x: Tensor, rest: Tensor, lr: float, batch: int) -> dict[str, float]:
    """Excess loss by the law with three factors, by that with the covariance of gradients, and exactly.

    `x [N, d]`, `rest [N]` as from `problem`. With `A` the Hessian of a minibatch, the second moment `M` of the distance
    from the minimum solves `lr (H M + M H) - lr^2 E[A M A] = lr^2 C / S`; small steps leave the second term out.
    """
    count, size = x.shape
    hessian, covariance = x.T @ x / count, (x * rest.square()[:, None]).T @ x / count
    pairs = (x[:, :, None] * x[:, None, :]).flatten(1)  # [N, d d]
    whole, each = torch.kron(hessian, hessian), pairs.T @ pairs / count
    eye = torch.eye(size, dtype=x.dtype)
    linear = torch.kron(hessian, eye) + torch.kron(eye, hessian)
    quadratic = (1 - 1 / batch) * whole + each / batch
    moment = torch.linalg.solve(linear - lr * quadratic, lr / batch * covariance.flatten())
    return {
        "three": float(lr / (4 * batch) * hessian.trace() * rest.square().mean()),
        "four": float(lr / (4 * batch) * covariance.trace()),
        "exact": float((hessian.flatten() @ moment) / 2),
    }


def settle(x: Tensor, rest: Tensor, seeds: Sequence[int], lrs: Sequence[float], batch: int, steps: int, way: str
           ) -> np.ndarray:  # fmt: skip
    """Mean excess loss `[S, lrs]` of SGD that starts at the minimum of each seed's problem `x [S, N, d], rest [S, N]`.

    All step sizes of a problem see the same minibatches.
    """
    count = x.shape[1]
    hessian, rates = x.mT @ x / count, torch.tensor(lrs, dtype=x.dtype)
    away = torch.zeros(len(x), x.shape[2], len(lrs), dtype=x.dtype)  # from the minimum
    total, seen, step = torch.zeros(len(x), len(lrs), dtype=x.dtype), 0, 0
    streams = [generator(f"regression-{way}", seed, batch) for seed in seeds]
    for _ in range(-(-steps // (count // batch))):
        order = torch.stack([_order(stream, count, way) for stream in streams])
        inputs = x.gather(1, order[:, :, None].expand_as(x))
        targets = rest.gather(1, order)[:, :, None]
        for begin in range(0, count - batch + 1, batch):
            some, wanted = inputs[:, begin : begin + batch], targets[:, begin : begin + batch]
            away -= rates * (some.mT @ (some @ away - wanted)) / batch
            step += 1
            if step > BURN * steps:
                total += (away * (hessian @ away)).sum(1) / 2
                seen += 1
    return (total / seen).numpy()


def _order(random: torch.Generator, count: int, way: str) -> Tensor:
    """Which examples an epoch's minibatches hold, in order `[N]`."""
    if way == "independent":
        return torch.randint(count, (count,), generator=random)
    return torch.randperm(count, generator=random)


def stationary(bench: Bench) -> Arrays:
    """Measured excess loss `[worlds, batches, ways, S, lrs]`, and that of each law `[worlds, batches, S, lrs]`."""
    seeds, lrs, batches = bench.seeds, bench["regression_lrs"], bench["regression_batches"]
    measured, predicted = [], []
    for world in WORLDS:
        problems = [problem(s, world, bench["regression_examples"], bench["dimension"]) for s in seeds]
        x, rest = (torch.stack(parts) for parts in zip(*problems, strict=True))
        for batch in batches:
            measured.append([settle(x, rest, seeds, lrs, batch, bench["regression_steps"], way) for way in WAYS])
            predicted.append([[predictions(*own, lr, batch) for lr in lrs] for own in problems])
    shape = (len(WORLDS), len(batches))
    laws = {law: np.array([[[cell[law] for cell in own] for own in part] for part in predicted]) for law in LAWS}
    arrays = {"measured": np.array(measured), **laws}
    return {name: values.reshape(*shape, *values.shape[1:]) for name, values in arrays.items()}
