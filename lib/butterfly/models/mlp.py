"""Multilayer perceptrons: `mlp-DEPTHxWIDTH[-gelu][-norm]`, hidden layers of equal width."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from butterfly.models.base import Drop, Loss, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, bias, channel_norm, linear, linear_weight, norm

PATTERN = r"mlp-(?P<depth>\d+)x(?P<width>\d+)(-(?P<activation>gelu))?(-(?P<norm>norm))?"


_ACTIVATIONS = {"relu": torch.relu, "gelu": torch.nn.functional.gelu}


@dataclass(frozen=True)
class MLP(Model):
    """`depth` hidden layers of `width` units, with biases; dropout after each hidden layer where it is on.

    `relu` has a kink at 0, where the gradient jumps; `gelu` is its smooth relative. `norm` normalises each layer over
    its units before the activation function.
    """

    depth: int = 4
    width: int = 64
    activation: str = "relu"
    norm: str = ""

    @cached_property
    def layout(self) -> Layout:
        sizes = [prod(self.input_shape), *[self.width] * self.depth, self.classes]
        names = ["", *(f"hidden{layer}" for layer in range(self.depth)), ""]
        parameters = []
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            w = linear_weight(f"linear{layer}.weight", inputs, outputs, names[layer], names[layer + 1])
            parameters += [w, bias(f"linear{layer}.bias", w)]
            if self.norm and layer < self.depth:
                parameters += norm(f"norm{layer}", w)
        return Layout(parameters)

    @property
    def activations(self) -> int:
        return prod(self.input_shape) + 2 * self.depth * self.width

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        h = x.flatten(2)
        for layer in range(self.depth):
            h = linear(h, p[f"linear{layer}.weight"], p[f"linear{layer}.bias"])
            if self.norm:
                h = channel_norm(h, p[f"norm{layer}.gain"], p[f"norm{layer}.bias"])
            h = _ACTIVATIONS[self.activation](h)
            see(f"hidden{layer}", h)
            h = drop(h)
        return linear(h, p[f"linear{self.depth}.weight"], p[f"linear{self.depth}.bias"])

    def gradient(self, theta: Tensor, x: Tensor, loss: Loss, drop: Drop = keep) -> Tensor:
        """As in `Model`, but written out: without a graph, activations are overwritten and less memory is touched."""
        if drop is not keep or self.activation != "relu" or self.norm:
            return super().gradient(theta, x, loss, drop)
        gradient = torch.empty_like(theta)
        gradient[:, self.layout.count :] = 0  # the padding; the rest is written below
        p, g = self.layout.tensors(theta), self.layout.tensors(gradient)
        with torch.no_grad():
            inputs = [x.flatten(2)]  # of each layer
            for layer in range(self.depth):
                inputs.append(linear(inputs[-1], p[f"linear{layer}.weight"], p[f"linear{layer}.bias"]).relu_())
            logits = linear(inputs[-1], p[f"linear{self.depth}.weight"], p[f"linear{self.depth}.bias"])
        (slope,) = torch.autograd.grad(loss(logits.requires_grad_()), logits)
        for layer in reversed(range(self.depth + 1)):
            # Copied, not written into the rows: a batched product with gaps between its results is done one by one.
            g[f"linear{layer}.weight"].copy_(torch.bmm(inputs[layer].mT, slope))
            torch.sum(slope, 1, out=g[f"linear{layer}.bias"])
            if layer:
                slope = torch.bmm(slope, p[f"linear{layer}.weight"].mT)
                slope.mul_(inputs[layer].sign_())  # a ReLU output is positive where the slope passes
        return gradient
