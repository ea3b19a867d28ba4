"""Networks that say of every frame which symbol it is or that it is none.

By convolutions, or by recurrence.

Both take `x [M, B, bands, T]` to logits `[M, B, T, C]`, for any number of frames T.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from butterfly import optim
from butterfly.augment import Augment
from butterfly.batches import Minibatches
from butterfly.data import Data
from butterfly.models import Drop, Model, Tensors, keep, overlook
from butterfly.models.base import See
from butterfly.papers.zhang2016.transcripts import ctc
from butterfly.stack import Layout, bias, blocks, conv, conv_weight, linear, linear_weight
from butterfly.train import Recipe, descend


def _each_frame(h: Tensor, p: Tensors) -> Tensor:
    """Logits `[M, B, T, C]` of the head, for hidden units `h [M, B, T, units]`."""
    return linear(h.flatten(1, 2), p["head.weight"], p["head.bias"]).unflatten(1, h.shape[1:3])


@dataclass(frozen=True)
class Convolutions(Model):
    """`depth` convolutions over time with kernels of `kernel` frames, an odd number, and a head that is the same for
    every frame. All bands are channels of the first one."""

    depth: int = 4
    kernel: int = 5
    width: int = 32

    @property
    def sees(self) -> int:
        """Frames that decide what is said of one: the receptive field."""
        return 1 + self.depth * (self.kernel - 1)

    @cached_property
    def layout(self) -> Layout:
        parameters, channels = [], self.input_shape[0]
        for layer in range(self.depth):
            w = conv_weight(f"conv{layer}.weight", self.width, channels, self.kernel)
            parameters += [w, bias(f"conv{layer}.bias", w)]
            channels = self.width
        head = linear_weight("head.weight", channels, self.classes)
        return Layout([*parameters, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        return (self.kernel + 2) * self.depth * self.width * self.input_shape[1]

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        h = x
        for layer in range(self.depth):
            h = conv(h, p[f"conv{layer}.weight"], padding=self.kernel // 2)
            h = torch.relu(h + p[f"conv{layer}.bias"][:, None, :, None])
            see(f"hidden{layer}", h)
            h = drop(h)
        return _each_frame(h.transpose(2, 3), p)


@dataclass(frozen=True)
class Recurrent(Model):
    """Long short-term memory that reads the frames forwards, and another that reads them backwards (Graves and
    Schmidhuber 2005), of `width` cells each; the head sees both. Gates are those of `torch.nn.LSTM`, in the order
    input, forget, new, output, with one bias each; forget gates start open (a 1 is added)."""

    width: int = 32

    @cached_property
    def layout(self) -> Layout:
        parameters, gates = [], 4 * self.width
        for way in _WAYS:
            reads = linear_weight(f"{way}.input.weight", self.input_shape[0], gates)
            state = linear_weight(f"{way}.state.weight", self.width, gates)
            reads, state = (replace(w, std=w.shape[0] ** -0.5) for w in (reads, state))
            parameters += [reads, bias(f"{way}.bias", reads), state]
        head = linear_weight("head.weight", 2 * self.width, self.classes)
        return Layout([*parameters, head, bias("head.bias", head)])

    @property
    def activations(self) -> int:
        return 2 * 12 * self.width * self.input_shape[1]

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        both = {
            name: torch.cat([p[f"{way}.{name}"] for way in _WAYS]) for name in ("input.weight", "bias", "state.weight")
        }
        frames = x.transpose(2, 3)
        frames = torch.cat([frames, frames.flip(2)])  # [2M, B, T, bands]: both ways are one stack
        read = linear(frames.flatten(1, 2), both["input.weight"], both["bias"]).unflatten(1, frames.shape[1:3])
        h = cell = read.new_zeros(*read.shape[:2], self.width)
        states = []
        for now in read.unbind(2):
            enter, forget, new, out = torch.baddbmm(now, h, both["state.weight"]).chunk(4, 2)
            cell = torch.sigmoid(forget + 1) * cell + torch.sigmoid(enter) * torch.tanh(new)
            h = torch.sigmoid(out) * torch.tanh(cell)
            states.append(h)
        forth, back = torch.stack(states, 2).chunk(2)
        h = torch.cat([forth, back.flip(2)], 3)
        see("state", h.transpose(2, 3))
        return _each_frame(drop(h), p)


_WAYS = ("forth", "back")
Listener = TypeVar("Listener", Convolutions, Recurrent)


def of_size(make: Callable[[int], Listener], parameters: int) -> Listener:
    """The widest network that `make(width)` gives with at most so many parameters."""
    width = 1
    if make(width).layout.count > parameters:
        raise ValueError(f"{parameters} parameters are too few for a network of one unit a layer")
    while make(width + 1).layout.count <= parameters:
        width += 1
    return make(width)


def logits_of(model: Model, theta: Tensor, x: Tensor, at_once: int = 64) -> Tensor:
    """Logits `[S, N, T, C]` of networks `[S, P]`, each on utterances of its own `[S, N, bands, T]`."""
    tensors = model.layout.tensors(theta)
    with torch.no_grad():
        return torch.cat([model.forward(tensors, x[:, some]) for some in blocks(x.shape[1], at_once)], 1)


# --- learning --------------------------------------------------------------------------------------------------------


def minibatches(seeds: Sequence[int], count: int, recipe: Recipe) -> Iterator[Tensor]:
    """The utterances of each update `[S, B]`, in an order of its own for each seed, as `train` takes them."""
    places = torch.arange(count)  # a task whose inputs are their own places
    batches = Minibatches(
        Data("places", places, places, places, places, count, places), recipe.batch_size_at, Augment(), seeds
    )
    for step in range(recipe.steps):
        yield batches.at(step).x


def update(model: Model, recipe: Recipe, step: int, theta: Tensor, state: list[Tensor], x: Tensor, y: Tensor) -> None:
    """One update in place of networks `[S, P]`, each on its own utterances `[S, B, bands, T]` of `y [S, B, L]`."""

    def loss(logits: Tensor) -> Tensor:
        return ctc(logits, y).mean(1).sum()

    descend(recipe, step, theta, state, model.gradient(theta, x, loss))


def learn(
    model: Model, x: Tensor, y: Tensor, recipe: Recipe, seeds: Sequence[int], looks: Sequence[int]
) -> dict[int, Tensor]:
    """Networks `[S, P]` after each number of updates in `looks`, each seed's trained on its own utterances."""
    theta, rows = model.init(list(seeds)).to(x), torch.arange(len(seeds))[:, None]
    state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
    found = {}
    for step, at in enumerate(minibatches(seeds, x.shape[1], recipe)):
        if step in looks:
            found[step] = theta.clone()
        update(model, recipe, step, theta, state, x[rows, at], y[rows, at])
    return found | {recipe.steps: theta}
