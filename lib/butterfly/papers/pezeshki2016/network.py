"""Ladder networks as stacks: an encoder that is run clean and noisy, and a decoder that reconstructs every layer.

The encoder has layers 0 (the image) to L (the classes). Layer l is `z = normalised(h W)`, where `h` is what the layer
below says; in the noisy run Gaussian noise is added to every `z`. The decoder comes down from the noisy classes: at
each layer a *combinator* makes of the noisy `z` (the lateral connection) and of what comes from above (`u`, the
vertical one) a guess of the clean `z`, each unit for itself. The loss is the cross-entropy of the noisy run on images
with labels, plus the weighted squared error of the guess of every layer on images drawn without regard to labels.

Normalisation is by mean and deviation over the latter: images with labels may be few, and then they are the same in
every minibatch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly.stack import Layout, Parameter

Tensors = dict[str, Tensor]
EVERY, FIRST, NONE = "every layer", "input", "none"  # where noise is added
GATED, LINEAR, MLP, AMLP = "gated", "linear", "MLP", "augmented MLP"  # combinators; the first is the original one
HIDDEN = 4  # units of the combinators that are small networks, as in the paper's best


@dataclass(frozen=True)
class Arm:
    """What a ladder has of its parts."""

    lateral: bool = True
    noise: str = EVERY
    reconstruction: bool = True
    combinator: str = GATED

    @property
    def form(self) -> str:
        """Arms of one form have the same parameters, and so are one stack: empty without a decoder."""
        if not self.reconstruction:
            return ""
        return MLP if self.combinator in (MLP, AMLP) else GATED


@dataclass(frozen=True)
class Parts:
    """What each member of a stack has, as factors: `noise [L + 1, M, 1, 1]`, the others `[M, 1, 1]`."""

    noise: Tensor
    lateral: Tensor
    product: Tensor  # of lateral and vertical signal, in the combinator
    curve: Tensor  # the sigmoid of the gated combinator

    @classmethod
    def of(cls, arms: Sequence[Arm], layers: int, std: float, like: Tensor) -> "Parts":
        """Those of one arm a member, with noise of that standard deviation."""
        noise = [
            [std * (a.noise == EVERY or (a.noise == FIRST and layer == 0)) for a in arms] for layer in range(layers)
        ]
        rows = (
            [a.lateral for a in arms],
            [a.combinator in (GATED, AMLP) for a in arms],
            [a.combinator == GATED for a in arms],
        )
        factors = [torch.tensor(row, dtype=like.dtype, device=like.device)[..., None, None] for row in (noise, *rows)]
        return cls(*factors)


def normalised(z: Tensor, first: int) -> Tensor:
    """`z [M, B, D]` with mean 0 and variance 1 of every unit over the `first` rows."""
    variance, mean = torch.var_mean(z[:, :first], 1, correction=0, keepdim=True)
    return (z - mean) * (variance + 1e-10).rsqrt()


@dataclass(frozen=True)
class Ladder:
    """A ladder whose layers have these `sizes` (inputs, hidden ones, classes), of a `form` (see `Arm.form`)."""

    sizes: tuple[int, ...]
    form: str

    @cached_property
    def layout(self) -> Layout:
        """Where parameters lie in a row; `up`: encoder, `down`: decoder, the rest: combinators."""
        found = []
        for layer, (below, above) in enumerate(pairwise(self.sizes), 1):
            std = below**-0.5
            found.append(Parameter(f"up{layer}", (below, above), "weight", std=std, scale=std))
            found.append(Parameter(f"bias{layer}", (above,), "bias", scale=std))
        found.append(Parameter("gain", (self.sizes[-1],), "norm", value=1.0, scale=1.0))
        if not self.form:
            return Layout(found)
        for layer, (below, above) in enumerate(pairwise(self.sizes), 1):
            std = above**-0.5
            found.append(Parameter(f"down{layer}", (above, below), "weight", std=std, scale=std))
        for layer, size in enumerate(self.sizes):
            found += self._combinator(layer, size)
        return Layout(found)

    def _combinator(self, layer: int, size: int) -> list[Parameter]:
        """Parameters of one layer's combinators, each unit's its own."""
        if self.form == GATED:
            shapes = {"direct": (4, size), "inside": (4, size), "outside": (size,)}
            return [Parameter(f"{name}{layer}", shape, "norm", scale=1.0) for name, shape in shapes.items()]
        first, second = 3**-0.5, HIDDEN**-0.5
        return [
            Parameter(f"first{layer}", (3, HIDDEN, size), "weight", std=first, scale=first),
            Parameter(f"within{layer}", (HIDDEN, size), "bias", scale=first),
            Parameter(f"second{layer}", (HIDDEN, size), "weight", std=second, scale=second),
            Parameter(f"after{layer}", (size,), "bias", scale=second),
        ]

    def start(self, generators: list[torch.Generator], arms: Sequence[Arm]) -> Tensor:
        """One ladder a member at initialisation `[M, P]`.

        Weights are Gaussian, and the gated combinator passes on the lateral signal and its sigmoid, as in the authors'
        code; without lateral connections it passes on the vertical one.
        """
        theta = self.layout.init(generators)
        if self.form == GATED:
            p = self.layout.tensors(theta)
            for row, arm in enumerate(arms):
                for layer in range(len(self.sizes)):
                    passed = 1 if arm.lateral else 2
                    p[f"direct{layer}"][row, passed] = p[f"inside{layer}"][row, passed] = 1
                    p[f"outside{layer}"][row] = 1
        return theta

    def encode(
        self, p: Tensors, x: Tensor, first: int, noise: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Every layer's `z [M, B, D]`, and logits `[M, B, C]`, of images `x [M, B, D]`; `noise` is what is added.

        The statistics of normalisation are those of the `first` images.
        """
        h = x if noise is None else x + noise[0]
        seen, last = [h], len(self.sizes) - 1
        for layer in range(1, last + 1):
            z = normalised(torch.bmm(h, p[f"up{layer}"]), first)
            seen.append(z if noise is None else z + noise[layer])
            h = seen[-1] + p[f"bias{layer}"].unsqueeze(1)
            h = h.relu() if layer < last else h * p["gain"].unsqueeze(1)
        return seen, h

    def decode(self, p: Tensors, noisy: list[Tensor], logits: Tensor, parts: Parts) -> list[Tensor]:
        """The guess `[M, B, D]` of every layer's clean `z`, from the noisy ones and their logits."""
        guesses: list[Tensor] = []
        u = logits.softmax(-1)
        for layer in reversed(range(len(self.sizes))):
            if guesses:
                u = torch.bmm(guesses[-1], p[f"down{layer + 1}"])
            combine = gated if self.form == GATED else small_network
            guesses.append(combine(p, layer, noisy[layer], normalised(u, u.shape[1]), parts))
        return guesses[::-1]

    def losses(
        self, p: Tensors, x: Tensor, y: Tensor, noise: Sequence[Tensor], parts: Parts, weights: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy `[M]` on the last V images, labelled `y [M, V]`, and on those before each layer's squared error
        `[M, L + 1]`, weighted. `noise`, standard normal `[M, B, D]` a layer, is added as far as each member has it."""
        first = x.shape[1] - y.shape[1]
        added = [scale * drawn for scale, drawn in zip(parts.noise, noise, strict=True)]
        noisy, logits = self.encode(p, x, first, added)
        entropy = F.cross_entropy(logits[:, first:].mT, y, reduction="none").mean(1)
        if not self.form:
            return entropy, entropy.new_zeros(len(entropy), len(self.sizes))
        clean, _ = self.encode(p, x[:, :first], first)
        guesses = self.decode(p, [z[:, :first] for z in noisy], logits[:, :first], parts)
        each = zip(weights, guesses, clean, strict=True)
        return entropy, torch.stack([w * (guess - z).square().mean((1, 2)) for w, guess, z in each], 1)


def gated(p: Tensors, layer: int, z: Tensor, u: Tensor, parts: Parts) -> Tensor:
    """The original combinator: a plane over `z`, `u` and their product, plus the sigmoid of another such plane."""
    product, planes = z * u, []
    for name in ("direct", "inside"):
        constant, of_z, of_u, of_product = p[f"{name}{layer}"].unsqueeze(2).unbind(1)
        plane = torch.addcmul(torch.addcmul(constant, parts.lateral * of_z, z), of_u, u)
        planes.append(torch.addcmul(plane, parts.lateral * parts.product * of_product, product))
    return torch.addcmul(planes[0], parts.curve * p[f"outside{layer}"].unsqueeze(1), planes[1].sigmoid())


def small_network(p: Tensors, layer: int, z: Tensor, u: Tensor, parts: Parts) -> Tensor:
    """A network of a few leaky units for every unit, of `z` and `u`; the augmented one sees their product too."""
    of_z, of_u, of_product = p[f"first{layer}"].unsqueeze(3).unbind(1)  # each [M, hidden, 1, D]
    bias, outside = p[f"within{layer}"].unsqueeze(2), p[f"second{layer}"].unsqueeze(2)
    product, found = z * u, p[f"after{layer}"].unsqueeze(1)
    for unit in range(HIDDEN):
        inside = torch.addcmul(torch.addcmul(bias[:, unit], of_u[:, unit], u), parts.lateral * of_z[:, unit], z)
        inside = torch.addcmul(inside, parts.lateral * parts.product * of_product[:, unit], product)
        found = torch.addcmul(found, outside[:, unit], F.leaky_relu(inside, 0.1))
    return found
