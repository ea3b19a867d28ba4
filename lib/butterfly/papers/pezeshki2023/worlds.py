"""Images in two colours, of which one of two cues is asked and the other mostly agrees: drawn for each seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from butterfly.data import Data
from butterfly.data.coloured import coloured
from butterfly.streams import generator

SHAPE, COLOUR = "shape", "colour"


@dataclass(frozen=True)
class Part:
    """Images `[S, N, 2, *space]`, labels `[S, N]`, and where shape and colour part `[S, N]`, of every seed."""

    x: Tensor
    y: Tensor
    breaks: Tensor

    @property
    def groups(self) -> Tensor:
        """Which of the four pairs of label and agreement, `2 * label + breaks` `[S, N]`."""
        return 2 * self.y + self.breaks.long()


def draw(task: Data, world: Mapping[str, Any], seeds: Sequence[int], validation: int) -> dict[str, Part]:
    """The parts `train`, `validation` (so many of the training images) and `test` of a world, drawn for each seed.

    In the `world`, shape and colour part for a share `breaking` of the training images and for half of the test
    images; a share `moved` of the labels is flipped, whatever the shape; colours are as strong as `tint` says; and the
    cue that is `asked` gives the label.
    """
    drawn = [_one(task, world, seed, validation) for seed in seeds]
    return {name: Part(*map(torch.stack, zip(*(one[name] for one in drawn), strict=True))) for name in drawn[0]}


def _one(task: Data, world: Mapping[str, Any], seed: int, validation: int) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """The parts of one seed: images, labels, and where the cues part."""
    painted, who = coloured(task, 1 - world["breaking"], seed, world["moved"], test_agreement=0.5)
    train, test = (
        (tinted(x, world["tint"]), own.label if world["asked"] == SHAPE else own.colour, ~own.agrees)
        for x, own in ((painted.x, who.train), (painted.x_test, who.test))
    )
    order = torch.randperm(len(painted.y), generator=generator("validation", seed)).to(painted.y.device)
    kept, held = order[validation:], order[:validation]
    return {
        "train": tuple(values[kept] for values in train),
        "validation": tuple(values[held] for values in train),
        "test": test,
    }


def tinted(x: Tensor, tint: float) -> Tensor:
    """Images `[N, 2, *space]` in paler colours: 1 leaves them as they are, at 0 both channels are alike."""
    grey = x.mean(1, keepdim=True)
    return grey + tint * (x - grey)
