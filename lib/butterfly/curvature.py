"""Curvature of the loss: products with the Hessian, both ends of its spectrum, and batch sharpness.

Heavy-ball momentum `beta` is stable along a direction of curvature `h` while `h < 2 (1 + beta) / lr`. Small minibatches
are said to settle elsewhere, where the curvature of each minibatch loss along its own gradient is `2 (1 - beta) / lr`
(Andreyev and Beneventano 2024). Along a direction of negative curvature differences grow at any learning rate.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from butterfly.batches import Minibatches
from butterfly.models import Model
from butterfly.streams import generator

Loss = Callable[[Tensor], Tensor]
Product = Callable[[Tensor], Tensor]


def hessian_product(model: Model, theta: Tensor, vector: Tensor, x: Tensor, loss: Loss) -> Tensor:
    """Hessian of `loss(logits)`, a sum over members, at `theta [M, P]` on `x [M, B, ...]`, times `vector [M, P]`."""

    def total(theta: Tensor) -> Tensor:
        return loss(model.forward(model.layout.tensors(theta), x))

    return torch.func.jvp(torch.func.grad(total), (theta,), (vector,))[1]


def extreme_eigenvalues(
    model: Model, theta: Tensor, x: Tensor, y: Tensor, iterations: int = 30
) -> tuple[Tensor, Tensor]:
    """Least and largest eigenvalue `[M]` of each network's Hessian of the mean cross-entropy on `x [N, ...]`, float64.

    The largest is the *sharpness*. Lanczos iteration on the whole stack at once, with full reorthogonalisation; both
    ends are approached from inside. NaN where network or Hessian are not finite.
    """
    inputs, loss = x.expand(len(theta), *x.shape), _mean_loss(y, len(theta))
    small, _ = _lanczos(lambda v: hessian_product(model, theta, v, inputs, loss), theta, model.layout.count, iterations)
    fine = small.isfinite().all(-1).all(-1)
    values = torch.full(small.shape[:2], torch.nan, dtype=torch.float64, device=small.device)
    values[fine] = torch.linalg.eigvalsh(small[fine])
    return values[:, 0].cpu(), values[:, -1].cpu()


def _lanczos(times: Product, theta: Tensor, count: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Lanczos iteration with a symmetric matrix a member, of size `count`, on the whole stack at once.

    `times` multiplies it with `[M, P]`. Returns the tridiagonal matrices `[M, k, k]`, and the length `[M]` of what the
    last product leaves over; float64, with full reorthogonalisation.
    """
    start = torch.from_numpy(np.random.default_rng(0).standard_normal(theta.shape[1])).to(theta.device)
    basis = [(start / start.norm()).expand(theta.shape)]
    diagonal, beside = [], []
    for _ in range(min(iterations, count)):
        product = times(basis[-1].to(theta)).double()
        diagonal.append((product * basis[-1]).sum(1))
        before = torch.stack(basis, 1)  # [M, iterations so far, P]
        for _ in range(2):  # once leaves what rounding left
            product = product - ((before @ product[:, :, None]).mT @ before)[:, 0]
        beside.append(product.norm(dim=1))
        basis.append(product / beside[-1].clamp_min(1e-300)[:, None])
    small = torch.diag_embed(torch.stack(diagonal, 1))
    rest = torch.diag_embed(torch.stack(beside[:-1], 1), 1) if len(beside) > 1 else torch.zeros_like(small)
    return small + rest + rest.mT, beside[-1]


def batch_sharpness(model: Model, theta: Tensor, batches: Minibatches, steps: range) -> Tensor:
    """Batch sharpness `[S]` (Andreyev and Beneventano 2024): curvature of minibatch losses along their own gradients.

    `E[g'Hg] / E[g'g]` over the minibatches of `steps`, one network a seed.
    """
    family, curved, squared = torch.arange(len(theta)), 0.0, 0.0
    for step in steps:
        batch = batches.at(step)

        def loss(logits: Tensor, batch=batch) -> Tensor:
            return batch.losses(logits, family).sum()

        inputs = batch.inputs(family)
        gradient = model.gradient(theta, inputs, loss)
        product = hessian_product(model, theta, gradient, inputs, loss)
        curved, squared = curved + (gradient * product).double().sum(1), squared + gradient.double().square().sum(1)
    return (curved / squared).cpu()


def growth_rate(curvature: np.ndarray, lr: np.ndarray, momentum: float) -> np.ndarray:
    """Growth by update, as a natural logarithm, of a difference along a direction of constant negative `curvature`.

    Heavy ball makes it the larger root of `z^2 - (1 + momentum - lr curvature) z + momentum = 0`; 0 where the curvature
    is not negative.
    """
    total = 1 + momentum + np.asarray(lr) * np.maximum(-np.asarray(curvature), 0.0)
    return np.log((total + np.sqrt(total**2 - 4 * momentum)) / 2)


# --- with what is known of their errors ------------------------------------------------------------------------------


def largest_eigenvalue(
    model: Model, theta: Tensor, x: Tensor, y: Tensor, iterations: int = 30, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Largest eigenvalue `[M]` of each network's Hessian of the mean cross-entropy on `x [N, ...]`, and a bound on its
    error `[M]`; float64.

    Lanczos iteration, as in `extreme_eigenvalues`. The value never lies above the largest eigenvalue, and some
    eigenvalue lies within the bound of it: the length of what the product of the Hessian with the Ritz vector leaves
    over. `scale [M, P]` asks for `diag(scale) H diag(scale)` instead; with `abs(theta)`, changes of a weight count in
    its own size, and the value does not depend on how layers share their scale. NaN where something is not finite.
    """
    inputs, loss = x.expand(len(theta), *x.shape), _mean_loss(y, len(theta))
    weight = torch.ones_like(theta) if scale is None else scale.to(theta)

    def times(v: Tensor) -> Tensor:
        return weight * hessian_product(model, theta, weight * v, inputs, loss)

    small, left = _lanczos(times, theta, model.layout.count, iterations)
    fine = small.isfinite().all(-1).all(-1) & left.isfinite()
    value, error = (torch.full((len(theta),), torch.nan, dtype=torch.float64, device=small.device) for _ in range(2))
    values, vectors = torch.linalg.eigh(small[fine])
    value[fine], error[fine] = values[:, -1], left[fine] * vectors[:, -1, -1].abs()
    return value.cpu(), error.cpu()


def hessian_trace(
    model: Model, theta: Tensor, x: Tensor, y: Tensor, probes: int = 16, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Trace `[M]` of each network's Hessian of the mean cross-entropy on `x [N, ...]`, and half the width of its 95 %
    interval `[M]`; float64.

    Hutchinson's estimate: the mean of `v'Hv` over `probes` vectors `v` of random signs, the same for all networks, with
    Student's t interval over the probes. Comparisons of networks are sharper than the interval of each.
    """
    if probes < 2:
        raise ValueError(f"probes = {probes}: an interval needs two or more")
    inputs, loss, random = x.expand(len(theta), *x.shape), _mean_loss(y, len(theta)), generator("probes", seed)
    found = []
    for _ in range(probes):
        signs = 2.0 * torch.randint(0, 2, (theta.shape[1],), generator=random) - 1
        vectors = signs.to(theta).expand(theta.shape).contiguous()
        found.append((vectors * hessian_product(model, theta, vectors, inputs, loss)).sum(1, dtype=torch.float64))
    values = torch.stack(found, 1).cpu()
    half = float(stats.t.ppf(0.975, probes - 1)) * values.std(1) / probes**0.5
    return values.mean(1), half


def _mean_loss(y: Tensor, members: int) -> Loss:
    """Mean cross-entropy of each member against the labels `y [N]`, summed over members."""
    labels = y.repeat(members)
    return lambda logits: torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels) * members
