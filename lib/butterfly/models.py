"""The architectures: each declares its parameters and says how a stack of it maps inputs to logits."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from butterfly.stack import Layout, bias, channel_norm, conv, conv_weight, linear, linear_weight, norm
from butterfly.streams import generator

Tensors = dict[str, Tensor]
Drop = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor], Tensor]
See = Callable[[str, Tensor], object]


def keep(h: Tensor) -> Tensor:
    """No dropout."""
    return h


def overlook(name: str, h: Tensor) -> None:
    """Nobody looks at the hidden layers."""


@dataclass(frozen=True)
class Model:
    """What every architecture has: the shape of one input, the number of classes, and a layout.

    The layout names the hidden layer that each axis of each tensor runs over. Tensors that name the same layer share a
    permutation of its units (a residual stream is one layer). `forward` shows each hidden layer under its name, as
    `[M, B, units, *space]` after the activation function; a residual stream has the name of its last block.
    """

    input_shape: tuple[int, ...]
    classes: int

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        """Whether this architecture takes inputs `[channels, *space]` of that shape."""
        return True

    @property
    def layout(self) -> Layout:
        raise TypeError("use one of the architectures: MLP, CNN, GRU, ResNet, VGG, Transformer")

    @property
    def activations(self) -> int:
        """Numbers kept for one example on its way through one network: what memory is counted in."""
        raise TypeError("use one of the architectures: MLP, CNN, GRU, ResNet, VGG, Transformer")

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        """Logits `[M, B, C]` of a stack with tensors `p` on `x [M, B, *input_shape]`; `see` gets the hidden layers."""
        raise TypeError("use one of the architectures: MLP, CNN, GRU, ResNet, VGG, Transformer")

    def logits(self, theta: Tensor, x: Tensor) -> Tensor:
        """Logits `[M, B, C]` of the stack `theta [M, P]` on shared inputs `x [B, *input_shape]`."""
        return self.forward(self.layout.tensors(theta), x.expand(len(theta), *x.shape))

    def features(self, theta: Tensor, x: Tensor) -> Tensors:
        """Every hidden layer `[M, B, units, *space]` and the logits, by name and in order of depth; inputs shared.

        What lies inside a residual block, beside its stream, is named `*.inner`.
        """
        found: Tensors = {}
        with torch.no_grad():
            inputs = x.expand(len(theta), *x.shape)
            found["logits"] = self.forward(self.layout.tensors(theta), inputs, see=found.__setitem__)
        return found

    def gradient(self, theta: Tensor, x: Tensor, loss: Loss, drop: Drop = keep) -> Tensor:
        """Gradient `[M, P]` of `loss(logits)`, a sum over members, at the stack `theta` on inputs `x [M, B, ...]`."""
        leaves = {name: view.detach().requires_grad_() for name, view in self.layout.tensors(theta).items()}
        parts = torch.autograd.grad(loss(self.forward(leaves, x, drop)), list(leaves.values()))
        return self.layout.stack(dict(zip(leaves, parts, strict=True)))

    def init(self, seeds: list[int]) -> Tensor:
        """One freshly initialised network a seed: `[M, P]`."""
        return self.layout.init([generator("init", seed) for seed in seeds])


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
            torch.bmm(inputs[layer].mT, slope, out=g[f"linear{layer}.weight"])
            torch.sum(slope, 1, out=g[f"linear{layer}.bias"])
            if layer:
                slope = torch.bmm(slope, p[f"linear{layer}.weight"].mT)
                slope.mul_(inputs[layer].sign())  # a ReLU output is positive where the slope passes
        return gradient


@dataclass(frozen=True)
class CNN(Model):
    """`depth` convolutions of stride 2 and a linear head, for signals and images.

    With 3 layers of 25 channels, the CNN of the MNIST-1D paper; the first kernel has 5 places along each axis, the
    others 3.
    """

    depth: int = 3
    width: int = 25

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) in (2, 3) and min(input_shape[1:]) >= 3

    @cached_property
    def layout(self) -> Layout:
        channels, axes = self.input_shape[0], len(self.input_shape) - 1
        parameters, before = [], ""
        for layer in range(self.depth):
            name, here = f"conv{layer}.weight", f"hidden{layer}"
            w = conv_weight(name, self.width, channels, *[self._kernel(layer)] * axes, reads=before, writes=here)
            parameters += [w, bias(f"conv{layer}.bias", w)]
            channels, before = self.width, here
        head = linear_weight("head.weight", channels * prod(self._spaces[-1]), self.classes, reads=before)
        return Layout([*parameters, head, bias("head.bias", head)])

    @cached_property
    def _spaces(self) -> list[list[int]]:
        """Places along each axis behind each layer."""
        found = [list(self.input_shape[1:])]
        for layer in range(self.depth):
            found.append([(size + 2 - self._kernel(layer)) // 2 + 1 for size in found[-1]])
        return found[1:]

    @staticmethod
    def _kernel(layer: int) -> int:
        return 3 if layer else 5

    @property
    def activations(self) -> int:
        return prod(self.input_shape) + 3 * self.width * sum(map(prod, self._spaces))

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        h = x
        for layer in range(self.depth):
            h = conv(h, p[f"conv{layer}.weight"], stride=2, padding=1)
            shift = p[f"conv{layer}.bias"]
            h = torch.relu(h + shift.view(len(shift), 1, -1, *[1] * (x.dim() - 3)))
            see(f"hidden{layer}", h)
            h = drop(h)
        return linear(h.flatten(2), p["head.weight"], p["head.bias"])


@dataclass(frozen=True)
class GRU(Model):
    """Gated recurrent units (Cho et al. 2014) that read an image row by row, or a signal 4 places at a time.

    The head reads the last state. The gates are those of `torch.nn.GRU`, with one bias each. The states feed
    themselves, which weight matching does not know: the layout declares none of its units exchangeable.
    """

    width: int = 32

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) == 3 or (len(input_shape) == 2 and input_shape[1] % _PLACES_A_STEP == 0)

    @property
    def _inputs(self) -> int:
        """Numbers read in one step."""
        channels, *space = self.input_shape
        return channels * (space[1] if len(space) == 2 else _PLACES_A_STEP)

    @cached_property
    def layout(self) -> Layout:
        gates = 3 * self.width  # reset, update, new
        reads = replace(linear_weight("input.weight", self._inputs, gates), std=self._inputs**-0.5)
        state = replace(linear_weight("state.weight", self.width, gates), std=self.width**-0.5)
        head = linear_weight("head.weight", self.width, self.classes)
        return Layout([reads, bias("input.bias", reads), state, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        return 8 * self.width * (prod(self.input_shape) // self._inputs)

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        if x.dim() == 4:  # a signal [M, B, channels, places]
            x = x.unflatten(3, (-1, _PLACES_A_STEP))
        rows = x.transpose(2, 3).flatten(3)  # [M, B, steps, numbers]
        read = linear(rows.flatten(1, 2), p["input.weight"], p["input.bias"]).unflatten(1, rows.shape[1:3])
        h = torch.zeros_like(read[:, :, 0, : self.width])
        for step in range(rows.shape[2]):
            now, before = read[:, :, step], torch.bmm(h, p["state.weight"])
            reset, update = torch.sigmoid((now + before)[..., : 2 * self.width]).chunk(2, dim=2)
            new = torch.tanh(now[..., 2 * self.width :] + reset * before[..., 2 * self.width :])
            h = new + update * (h - new)
        see("state", h)
        return linear(drop(h), p["head.weight"], p["head.bias"])


_PLACES_A_STEP = 4  # of a signal, that a recurrent network reads at a time


@dataclass(frozen=True)
class ResNet(Model):
    """CIFAR ResNet of the Butterfly paper: 3x3 stem, stages of widths w, 2w, 4w, projection shortcuts, channel norm."""

    depth: int = 20
    width: int = 32

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) == 3

    def __post_init__(self) -> None:
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(f"a CIFAR ResNet has depth 6n + 2 (8, 14, 20, 26, ...), not {self.depth}")

    @property
    def _blocks_a_stage(self) -> int:
        return (self.depth - 2) // 6

    @property
    def _blocks(self) -> list[tuple[str, int, int, int]]:
        """Name, input channels, output channels and stride of each basic block."""
        found, channels = [], self.width
        for stage in range(3):
            for block in range(self._blocks_a_stage):
                outputs, stride = self.width << stage, 2 if stage and not block else 1
                found.append((f"stage{stage}.block{block}", channels, outputs, stride))
                channels = outputs
        return found

    @cached_property
    def layout(self) -> Layout:
        # The skip connections make all blocks of a stage write to one stream, named after the last of them.
        last = f"block{self._blocks_a_stage - 1}"
        stem = conv_weight("stem.weight", self.width, self.input_shape[0], 3, 3, writes=f"stage0.{last}")
        parameters, before = [stem, *norm("stem.norm", stem)], stem.writes
        for name, inputs, outputs, _ in self._blocks:
            inner, stream = f"{name}.inner", f"{name.partition('.')[0]}.{last}"
            first = conv_weight(f"{name}.conv0.weight", outputs, inputs, 3, 3, reads=before, writes=inner)
            second = conv_weight(f"{name}.conv1.weight", outputs, outputs, 3, 3, reads=inner, writes=stream)
            parameters += [first, *norm(f"{name}.norm0", first), second, *norm(f"{name}.norm1", second)]
            if inputs != outputs:
                shortcut = conv_weight(f"{name}.shortcut.weight", outputs, inputs, 1, 1, reads=before, writes=stream)
                parameters += [shortcut, *norm(f"{name}.shortcut.norm", shortcut)]
            before = stream
        head = linear_weight("head.weight", 4 * self.width, self.classes, reads=before)
        return Layout([*parameters, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        # About six tensors a convolution; a stage has half the numbers a tensor of the one before.
        first_stage = self.width * prod(self.input_shape[1:])
        return round(6 * (1 + (self.depth - 2) / 3 * (1 + 1 / 2 + 1 / 4)) * first_stage)

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        def normed(h: Tensor, name: str) -> Tensor:
            return channel_norm(h, p[f"{name}.gain"], p[f"{name}.bias"])

        h = torch.relu(normed(conv(x, p["stem.weight"], padding=1), "stem.norm"))
        see("stem", h)
        for name, inputs, outputs, stride in self._blocks:
            skip = h
            if inputs != outputs:
                skip = normed(conv(h, p[f"{name}.shortcut.weight"], stride=stride), f"{name}.shortcut.norm")
            h = normed(conv(h, p[f"{name}.conv0.weight"], stride=stride, padding=1), f"{name}.norm0")
            h = torch.relu(h)
            see(f"{name}.inner", h)
            h = torch.relu(normed(conv(drop(h), p[f"{name}.conv1.weight"], padding=1), f"{name}.norm1") + skip)
            see(name, h)
        return linear(h.mean((3, 4)), p["head.weight"], p["head.bias"])


_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


@dataclass(frozen=True)
class VGG(Model):
    """CIFAR VGG of the difficulty paper: 3x3 convolutions in stages of widths w, 2w, 4w, 8w, 8w, with channel norm.

    Each stage ends by halving the image; the linear head reads the mean over what is left of it.
    """

    depth: int = 11
    width: int = 64

    def __post_init__(self) -> None:
        if self.depth not in _VGG:
            raise ValueError(f"a VGG has depth {', '.join(map(str, _VGG))}, not {self.depth}")

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) == 3 and min(input_shape[1:]) >= 32

    @property
    def _channels(self) -> list[int]:
        """Channels of each stage."""
        return [self.width * factor for factor in (1, 2, 4, 8, 8)]

    @cached_property
    def layout(self) -> Layout:
        parameters, channels, before = [], self.input_shape[0], ""
        for stage, (count, width) in enumerate(zip(_VGG[self.depth], self._channels, strict=True)):
            for layer in range(count):
                name = f"stage{stage}.conv{layer}"
                w = conv_weight(f"{name}.weight", width, channels, 3, 3, reads=before, writes=name)
                parameters += [w, *norm(f"{name}.norm", w)]
                channels, before = width, name
        head = linear_weight("head.weight", channels, self.classes, reads=before)
        return Layout([*parameters, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        # About three tensors a convolution; each stage has a quarter of the places.
        places = prod(self.input_shape[1:])
        stages = enumerate(zip(_VGG[self.depth], self._channels, strict=True))
        return sum(3 * count * width * places // 4**stage for stage, (count, width) in stages)

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        h = x
        for stage, count in enumerate(_VGG[self.depth]):
            for layer in range(count):
                name = f"stage{stage}.conv{layer}"
                h = conv(drop(h) if layer else h, p[f"{name}.weight"], padding=1)
                h = torch.relu(channel_norm(h, p[f"{name}.norm.gain"], p[f"{name}.norm.bias"]))
                see(name, h)
            h = torch.nn.functional.avg_pool2d(h.flatten(0, 1), 2).unflatten(0, h.shape[:2])
        return linear(h.mean((3, 4)), p["head.weight"], p["head.bias"])


@dataclass(frozen=True)
class Transformer(Model):
    """A causal transformer on one-hot tokens `[tokens, places]`: it says what follows the last place.

    `depth` blocks on a stream of `width` channels, 4 heads, norms before each half of a block, a hidden layer of
    4 x `width` units with GELU, learned places; dropout on what each half adds to the stream.
    """

    depth: int = 2
    width: int = 32

    @staticmethod
    def accepts(input_shape: tuple[int, ...]) -> bool:
        return len(input_shape) == 2

    def __post_init__(self) -> None:
        if self.width % _HEADS:
            raise ValueError(f"a transformer with {_HEADS} heads needs a width that they divide, not {self.width}")

    @cached_property
    def layout(self) -> Layout:
        (tokens, places), width = self.input_shape, self.width
        # The skip connections make all blocks write to one stream, named after the last of them.
        stream = f"block{self.depth - 1}"
        embedding = replace(
            linear_weight("embedding", 2, width, writes=stream), shape=(tokens, width), kind="embedding"
        )
        parameters = [embedding, replace(embedding, name="place", shape=(places, width))]
        for block in range(self.depth):
            hidden = f"block{block}.inner"
            both = [
                linear_weight(f"block{block}.attend.weight", width, 3 * width, reads=stream),
                linear_weight(f"block{block}.mix.weight", width, width, writes=stream),
                linear_weight(f"block{block}.widen.weight", width, 4 * width, reads=stream, writes=hidden),
                linear_weight(f"block{block}.narrow.weight", 4 * width, width, reads=hidden, writes=stream),
            ]
            for w in both:
                parameters += [w, bias(w.name.replace("weight", "bias"), w)]
            parameters += [*norm(f"block{block}.norm0", both[1]), *norm(f"block{block}.norm1", both[3])]
        head = linear_weight("head.weight", width, self.classes, reads=stream)
        return Layout([*parameters, *norm("norm", both[3]), head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        return self.input_shape[1] * self.width * 20 * self.depth

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        def affine(h: Tensor, name: str) -> Tensor:
            """`h [M, B, T, I]` to `[M, B, T, O]`."""
            y = linear(h.flatten(1, 2), p[f"{name}.weight"], p[f"{name}.bias"])
            return y.unflatten(1, h.shape[1:3])

        def normed(h: Tensor, name: str) -> Tensor:
            return channel_norm(h.mT, p[f"{name}.gain"], p[f"{name}.bias"]).mT

        embedded = torch.bmm(x.mT.flatten(1, 2), p["embedding"]).unflatten(1, (x.shape[1], x.shape[3]))
        h = embedded + p["place"][:, None]
        for block in range(self.depth):
            name = f"block{block}"
            h = h + drop(affine(_attend(affine(normed(h, f"{name}.norm0"), f"{name}.attend")), f"{name}.mix"))
            inner = torch.nn.functional.gelu(affine(normed(h, f"{name}.norm1"), f"{name}.widen"))
            see(f"{name}.inner", inner.mT)
            h = h + drop(affine(inner, f"{name}.narrow"))
            see(name, h.mT)
        return linear(normed(h, "norm")[:, :, -1], p["head.weight"], p["head.bias"])


_HEADS = 4


def _attend(h: Tensor) -> Tensor:
    """Causal attention of `_HEADS` heads; queries, keys and values side by side: `[M, B, T, 3 D]` -> `[M, B, T, D]`."""
    places = h.shape[2]
    query, key, value = (part.unflatten(3, (_HEADS, -1)).transpose(2, 3) for part in h.chunk(3, dim=3))
    scores = query @ key.mT / key.shape[-1] ** 0.5
    later = torch.ones(places, places, dtype=torch.bool, device=h.device).triu(1)
    attention = scores.masked_fill(later, -torch.inf).softmax(-1)
    return (attention @ value).transpose(2, 3).flatten(3)


_NAMES = {
    r"mlp-(?P<depth>\d+)x(?P<width>\d+)(-(?P<activation>gelu))?(-(?P<norm>norm))?": MLP,
    r"transformer-(?P<depth>\d+)x(?P<width>\d+)": Transformer,
    r"cnn-(?P<depth>\d+)x(?P<width>\d+)": CNN,
    r"gru-(?P<width>\d+)": GRU,
    r"vgg(?P<depth>\d+)-(?P<width>\d+)": VGG,
    r"resnet(?P<depth>\d+)-(?P<width>\d+)": ResNet,
}


def build(name: str, input_shape: tuple[int, ...], classes: int) -> Model:
    """The architecture of that name.

    `mlp-DEPTHxWIDTH[-gelu][-norm]` (hidden layers), `cnn-DEPTHxWIDTH`, `gru-WIDTH`, `resnetDEPTH-WIDTH`,
    `vggDEPTH-WIDTH`, `transformer-DEPTHxWIDTH`.
    """
    for pattern, kind in _NAMES.items():
        if match := re.fullmatch(pattern, name):
            parts = {key: value for key, value in match.groupdict().items() if value}
            sizes = {key: int(value) if value.isdigit() else value for key, value in parts.items()}
            if 0 in sizes.values():
                raise ValueError(f"model '{name}' has a size of 0")
            if not kind.accepts(tuple(input_shape)):
                raise ValueError(f"model '{name}' does not fit inputs of shape {input_shape}")
            return kind(tuple(input_shape), classes, **sizes)
    raise ValueError(f"unknown model '{name}'; try mlp-4x64, cnn-3x25, gru-32, resnet20-32 or transformer-2x32")
