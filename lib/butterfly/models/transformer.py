"""Small causal transformers on one-hot tokens: `transformer-DEPTHxWIDTH`."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, bias, channel_norm, linear, linear_weight, norm

PATTERN = r"transformer-(?P<depth>\d+)x(?P<width>\d+)"


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
