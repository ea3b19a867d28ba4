"""A stack: many networks of one architecture as the rows of one matrix.

`theta [M, P]` holds `M` networks ("members"), each a row of `P` numbers. Distances, kicks, optimiser steps and straight
lines between networks are then row arithmetic; only the forward pass needs to know where each tensor lies in the row,
and that is the `Layout`.

The layers below take a stack of inputs `x [M, B, ...]` and a stack of parameters, and leave the order of the members
alone. How a layer runs many members at once is its own choice, by device, and the result does not depend on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows are padded so that every member starts on a vector boundary: vectorised kernels then treat all members alike, to
# the last bit. Padding stays zero.
_PAD = 16


@dataclass(frozen=True)
class Parameter:
    """One tensor of a network: its shape, how it starts, and how large a unit kick of it is."""

    name: str
    shape: tuple[int, ...]
    kind: str  # "weight", "bias", "norm" or "embedding"
    std: float = 0.0  # standard deviation at initialisation (Kaiming normal for weights)
    value: float = 0.0  # constant at initialisation (1 for norm gains)
    scale: float = 0.0  # size of a unit kick per entry: `std` for weights; for biases and norms, that of their layer
    outputs: int = 0  # units or channels it produces
    writes: str = ""  # the hidden layer whose units those are; empty for the logits
    axes: tuple[str, ...] = ()  # the hidden layer whose units each axis runs over; empty where the order is given

    @property
    def numel(self) -> int:
        return prod(self.shape)


class Layout:
    """Where each tensor of an architecture lies in the row of a stack."""

    def __init__(self, parameters: list[Parameter]):
        self.parameters = tuple(parameters)
        self.count = sum(p.numel for p in parameters)
        self.size = -(-self.count // _PAD) * _PAD

    @cached_property
    def _slices(self) -> dict[str, slice]:
        ends = torch.tensor([0] + [p.numel for p in self.parameters]).cumsum(0).tolist()
        return {p.name: slice(a, b) for p, a, b in zip(self.parameters, ends, ends[1:], strict=False)}

    def tensors(self, theta: Tensor) -> dict[str, Tensor]:
        """Views of `theta [M, P]` by name, each `[M, *shape]`; writing to a view writes to the stack."""
        return {p.name: theta[:, self._slices[p.name]].view(-1, *p.shape) for p in self.parameters}

    def stack(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `tensors`: a new stack `[M, P]`."""
        first = next(iter(tensors.values()))
        theta = first.new_zeros(len(first), self.size)
        for name, view in self.tensors(theta).items():
            view.copy_(tensors[name])
        return theta

    def init(self, generators: list[torch.Generator]) -> Tensor:
        """One network a generator, at initialisation `[M, P]`, float32 on the CPU."""
        theta = torch.zeros(len(generators), self.size)
        for row, generator in zip(theta, generators, strict=True):
            for p in self.parameters:
                if p.std:
                    row[self._slices[p.name]] = p.std * torch.randn(p.numel, generator=generator)
                else:
                    row[self._slices[p.name]] = p.value
        return theta

    @cached_property
    def groups(self) -> dict[str, int]:
        """The hidden layers whose units may be permuted without changing the function, and how many units each has."""
        return {p.writes: p.outputs for p in self.parameters if p.writes}

    @cached_property
    def scale(self) -> Tensor:
        """Size of a unit kick of each entry `[P]`, float64; zero on the padding."""
        scale = torch.zeros(self.size, dtype=torch.float64)
        for p in self.parameters:
            scale[self._slices[p.name]] = p.scale
        return scale

    def select(self, layers: tuple[str, ...] = (), norms_and_biases: bool = False) -> Tensor:
        """Mask `[P]` of the entries of the named layers (glob patterns; none means all), weights only unless asked."""
        mask = torch.zeros(self.size, dtype=torch.bool)
        for p in self.parameters:
            named = not layers or any(fnmatchcase(p.name, pattern) for pattern in layers)
            mask[self._slices[p.name]] = named and (norms_and_biases or p.kind == "weight")
        if not mask.any():
            names = ", ".join(p.name for p in self.parameters)
            raise ValueError(f"no parameter matches {list(layers)}; the tensors are: {names}")
        return mask


def blocks(members: int, size: int) -> list[slice]:
    """Cut `members` rows into the fewest runs of at most `size`, as equal as can be."""
    count = -(-members // size)
    ends = [members * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


# --- parameters of a layer -------------------------------------------------------------------------------------------


def linear_weight(name: str, inputs: int, outputs: int, reads: str = "", writes: str = "") -> Parameter:
    """A Kaiming-normal matrix `[in, out]` from the units of layer `reads` to those of layer `writes`: std sqrt(2 / in).

    Where a layer with space is read flattened, `in` is a multiple of its channels, each channel in one run.
    """
    # Not transposed as in `torch.nn.Linear`: the gradient of a batched product comes out in this order, and copying a
    # transposed one costs a tenth of a step.
    std = (2.0 / inputs) ** 0.5
    return Parameter(name, (inputs, outputs), "weight", std, 0.0, std, outputs, writes, (reads, writes))


def conv_weight(name: str, outputs: int, inputs: int, *kernel: int, reads: str = "", writes: str = "") -> Parameter:
    """A Kaiming-normal kernel `[out, in, *kernel]`: standard deviation sqrt(2 / (in * kernel size))."""
    std = (2.0 / (inputs * prod(kernel))) ** 0.5
    axes = (writes, reads, *("" for _ in kernel))
    return Parameter(name, (outputs, inputs, *kernel), "weight", std, 0.0, std, outputs, writes, axes)


def bias(name: str, of: Parameter) -> Parameter:
    """A zero bias; a kick of it, if asked for, has the scale of the weight it belongs to."""
    return Parameter(name, (of.outputs,), "bias", scale=of.scale, axes=(of.writes,))


def norm(name: str, after: Parameter) -> list[Parameter]:
    """Gain and bias of a normalisation layer; kicks, if asked for, have the scale of the weights before it."""
    shape, axes = (after.outputs,), (after.writes,)
    return [
        Parameter(f"{name}.gain", shape, "norm", value=1.0, scale=after.scale, axes=axes),
        Parameter(f"{name}.bias", shape, "norm", scale=after.scale, axes=axes),
    ]


# --- layers on stacks ------------------------------------------------------------------------------------------------


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Affine layer: `x [M, B, I]`, `weight [M, I, O]`, `bias [M, O]` -> `[M, B, O]`."""
    return torch.baddbmm(bias.unsqueeze(1), x, weight)


def conv(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, bias: Tensor | None = None) -> Tensor:
    """Convolution in 1 or 2 dimensions: `x [M, B, I, *space]`, `weight [M, O, I, *kernel]` -> `[M, B, O, *space]`.

    With `bias [M, O]` or without. On a CPU, images are fastest with the channels of a pixel, or of all members' pixels,
    side by side in memory; they come out like that.
    """
    members, batch, channels, *space = x.shape
    cpu, shift = x.device.type == "cpu", None if bias is None else bias.flatten()
    if cpu and len(space) == 1:
        # A batched product of the windows is twice as fast as convolutions, one after another or grouped (measured).
        padded, kernel = F.pad(x, (padding, padding)).transpose(1, 2), weight.shape[-1]  # [M, I, B, length]
        places = (padded.shape[3] - kernel) // stride + 1
        windows = [padded[..., k : k + stride * (places - 1) + 1 : stride] for k in range(kernel)]
        columns = torch.stack(windows, 2).flatten(3).flatten(1, 2)  # [M, I kernel, B places]
        y = torch.bmm(weight.flatten(2), columns)
        y = y if bias is None else y + bias[..., None]
        return y.unflatten(2, (batch, -1)).transpose(1, 2)
    one = F.conv1d if len(space) == 1 else F.conv2d
    if cpu and not x.stride(0):  # members of one seed see the same images: one large convolution for all
        y = one(_side_by_side(x[0]), weight.flatten(0, 1), shift, stride, padding)
    else:
        grouped = x.transpose(0, 1).reshape(batch, members * channels, *space)
        grouped = _side_by_side(grouped) if cpu else grouped
        y = one(grouped, weight.flatten(0, 1), shift, stride, padding, groups=members)
    return y.unflatten(1, (members, -1)).transpose(0, 1)


def _side_by_side(x: Tensor) -> Tensor:
    """The same images `[B, C, H, W]`, with the channels of a pixel side by side in memory."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def last(x: Tensor) -> Tensor:
    """Images with their channels last, side by side in memory: `[M, B, C, *space]` -> `[M, B, *space, C]`."""
    return x.movedim(2, -1).contiguous()


def norm_last(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Normalise over the last axis, the channels of each place: `x [M, B, *space, C]`, `gain, bias [M, C]`.

    No batch statistics. The standard deviation is bounded by 1e-7: where all channels are alike they become 0.
    """
    channels = x.shape[-1:]
    if len(x) == 1:
        return F.layer_norm(x, channels, gain[0], bias[0], _LEAST)
    shape = (len(x), *[1] * (x.dim() - 2), *channels)
    return torch.addcmul(bias.view(shape), F.layer_norm(x, channels, eps=_LEAST), gain.view(shape))


_LEAST = 1e-14  # is added to the variance


def channel_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """The same over axis 2: `x [M, B, C, *space]`."""
    return norm_last(x.movedim(2, -1), gain, bias).movedim(-1, 2)
