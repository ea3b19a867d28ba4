"""Tangent kernels: how the outputs of a network move together when its parameters move a little.

The tangent kernel (Jacot et al. 2018) is the Gram matrix of the gradients of all outputs by the parameters. With `N`
examples and `C` outputs it is `[N C, N C]`, the outputs of one example side by side; its *trace over outputs*, the sum
over equal outputs, is `[N, N]`. Parameters add up: the kernel of a network is the sum of the kernels of its layers.

Centred, each output has mean 0 over the examples. The centred alignment of two kernels is the cosine between them
(Cortes et al. 2012), which for kernels traced over outputs is linear CKA of the gradients (`represent.cka`, biased).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from butterfly.models import Model, Tensors
from butterfly.models.centred import Centred
from butterfly.models.mlp import MLP
from butterfly.stack import Layout, blocks, linear

# Numbers of gradients of one network that are held at once, beside the kernels themselves.
_NUMBERS = {"cpu": 1 << 26, "cuda": 1 << 30}


# --- Gram matrices ---------------------------------------------------------------------------------------------------


def gram(model: Model, theta: Tensor, x: Tensor, trace: bool = False) -> Tensor:
    """Tangent kernels `[M, N C, N C]` of the stack `theta [M, P]` on examples `x`, in the precision of `theta`.

    `x` is `[N, ...]`, shared, or `[M, N, ...]`, a row a member. With `trace`, `[M, N, N]`.
    """
    found: Tensor | None = None
    for _, part in _parts(model, theta, x, trace, by_layer=False):
        found = part if found is None else found.add_(part)
    return found


def gram_by_layer(model: Model, theta: Tensor, x: Tensor, trace: bool = False) -> Tensors:
    """The part of every layer in the tangent kernels, by its name and in order of depth; they sum to `gram`."""
    found = dict(_parts(model, theta, x, trace, by_layer=True))
    return {layer: found[layer] for layer in layers(model.inner.layout if isinstance(model, Centred) else model.layout)}


def layers(layout: Layout) -> dict[str, list[str]]:
    """The layers of an architecture, each with the names of its tensors: what stands before the last dot."""
    found: dict[str, list[str]] = {}
    for parameter in layout.parameters:
        found.setdefault(parameter.name.rpartition(".")[0] or parameter.name, []).append(parameter.name)
    return found


def _parts(model: Model, theta: Tensor, x: Tensor, trace: bool, by_layer: bool) -> Iterator[tuple[str, Tensor]]:
    """Kernels that add up to the whole, with their names: layer by layer, or as is quicker."""
    if x.dim() == len(model.input_shape) + 1:
        x = x.expand(len(theta), *x.shape)
    if isinstance(model, Centred):  # its start does not move, and its own parameters stand first in the row
        for name, part in _parts(model.inner, theta, x, trace, by_layer):
            yield name, part.mul_(model.alpha**2)
    elif isinstance(model, MLP) and model.activation == "relu" and not model.norm:
        yield from _of_perceptrons(model, theta, x, trace)
    else:
        yield from _of_jacobians(model, theta, x, trace, by_layer)


def _of_perceptrons(model: MLP, theta: Tensor, x: Tensor, trace: bool) -> Iterator[tuple[str, Tensor]]:
    """In closed form: the gradient by a layer's weights is the product of its inputs and the slopes behind it."""
    p = model.layout.tensors(theta)
    with torch.no_grad():
        inputs = [x.flatten(2)]  # of each layer
        for layer in range(model.depth):
            inputs.append(linear(inputs[-1], p[f"linear{layer}.weight"], p[f"linear{layer}.bias"]).relu_())
        own = torch.eye(model.classes).to(theta)
        slopes = own.expand(*inputs[0].shape[:2], *own.shape)  # of each output by each unit: [M, N, C, units]
        for layer in reversed(range(model.depth + 1)):
            alike = torch.bmm(inputs[layer], inputs[layer].mT) + 1  # 1 for the bias
            if trace:
                flat = slopes.flatten(2)
                yield f"linear{layer}", torch.bmm(flat, flat.mT).mul_(alike)
            else:
                flat = slopes.flatten(1, 2)
                product = torch.bmm(flat, flat.mT)
                _by_example(product, x.shape[1]).mul_(alike[:, :, None, :, None])
                yield f"linear{layer}", product
            if layer:
                slopes = torch.bmm(slopes.flatten(1, 2), p[f"linear{layer}.weight"].mT).view(*slopes.shape[:3], -1)
                slopes.mul_((inputs[layer] > 0)[:, :, None])


def _of_jacobians(model: Model, theta: Tensor, x: Tensor, trace: bool, by_layer: bool) -> Iterator[tuple[str, Tensor]]:
    """For any architecture: products of gradients, one network after another, a block of examples with another."""
    kinds = layers(model.layout) if by_layer else {"": [parameter.name for parameter in model.layout.parameters]}
    wide = 1 if trace else model.classes
    found = {name: theta.new_empty(len(theta), x.shape[1] * wide, x.shape[1] * wide) for name in kinds}
    # Two blocks are held at a time.
    some = blocks(x.shape[1], max(1, _NUMBERS[theta.device.type] // (2 * model.classes * model.layout.count)))
    places = [slice(part.start * wide, part.stop * wide) for part in some]
    for member, row in enumerate(theta.split(1)):
        for i, rows in enumerate(some):
            ahead = _jacobian(model, row, x[member, rows], trace)
            for j, columns in enumerate(some[: i + 1]):
                beside = ahead if i == j else _jacobian(model, row, x[member, columns], trace)
                for name, tensors in kinds.items():
                    product = sum(ahead[tensor] @ beside[tensor].mT for tensor in tensors)
                    found[name][member, places[i], places[j]] = product
                    found[name][member, places[j], places[i]] = product.mT
    yield from found.items()


def _jacobian(model: Model, row: Tensor, x: Tensor, trace: bool) -> Tensors:
    """Gradients of the outputs of one network `[1, P]` on examples `x [b, ...]` by each tensor.

    `[b C, p]`; for the trace `[b, C p]`, so that equal outputs are added up.
    """

    def outputs(p: Tensors, example: Tensor) -> Tensor:
        return model.forward(p, example[None, None])[0, 0]

    parts = vmap(jacrev(outputs), in_dims=(None, 0))(model.layout.tensors(row), x)  # [b, C, 1, *shape]
    return {name: part.flatten(1) if trace else part.flatten(2).flatten(0, 1) for name, part in parts.items()}


# --- measures of kernels ---------------------------------------------------------------------------------------------


def centred(gram: Tensor, examples: int) -> Tensor:
    """The kernel `[..., N C, N C]` of outputs from each of which its mean over the `examples` is taken."""
    parts = _by_example(gram, examples)
    parts = parts - parts.mean(-2, keepdim=True)
    return (parts - parts.mean(-4, keepdim=True)).reshape(gram.shape)


def _by_example(gram: Tensor, examples: int) -> Tensor:
    """A kernel as `[..., N, C, N, C]`."""
    return gram.unflatten(-1, (examples, -1)).unflatten(-3, (examples, -1))


def alignment(gram: Tensor, other: Tensor) -> Tensor:
    """Cosine `[...]` between kernels of equal shape `[..., A, A]`; of centred ones, their centred kernel alignment."""
    return (gram * other).sum((-2, -1)) / (_norm(gram) * _norm(other))


def target_alignment(gram: Tensor, targets: Tensor) -> Tensor:
    """Centred alignment `[...]` of a centred kernel with the kernel of targets `[..., N, C]`, such as one-hot labels.

    Targets of all outputs make one vector `y [N C]` and the kernel `y y'` (Baratin et al. 2021); of a kernel traced
    over outputs they make `Y Y' [N, N]`.
    """
    y = (targets - targets.mean(-2, keepdim=True)).to(gram)
    if gram.shape[-1] != y.shape[-2]:
        y = y.flatten(-2).unsqueeze(-1)
    return (y * (gram @ y)).sum((-2, -1)) / (_norm(gram) * _norm(y.mT @ y))


def distance(gram: Tensor, other: Tensor) -> Tensor:
    """Kernel distance `[...]`: 0 for equal directions, 1 for orthogonal ones (Fort et al. 2020, who do not centre)."""
    return 1 - alignment(gram, other)


def _norm(gram: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(gram)


def spectrum(gram: Tensor) -> Tensor:
    """Eigenvalues `[..., A]` in float64, the largest first; 0 where rounding makes them negative.

    NaN for a kernel that is not finite.
    """
    values = torch.full(gram.shape[:-1], torch.nan, dtype=torch.float64, device=gram.device)
    fine = gram.isfinite().all(-1).all(-1)
    values[fine] = torch.linalg.eigvalsh(gram[fine].double()).flip(-1).clamp_min(0)
    return values


def effective_rank(values: Tensor) -> Tensor:
    """Exponential `[...]` of the entropy of a spectrum `[..., A]` brought to sum 1 (Roy and Vetterli 2007)."""
    shares = values / values.sum(-1, keepdim=True)
    return (-torch.special.xlogy(shares, shares).sum(-1)).exp()


def trace_share(values: Tensor, count: int) -> Tensor:
    """Share `[...]` that the largest `count` eigenvalues of a spectrum `[..., A]` have in its sum, the trace."""
    return values[..., :count].sum(-1) / values.sum(-1)
