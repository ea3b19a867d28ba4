"""Images in one of two colours, which agree with the label more or less often; in the test set, as a rule, reversed.

Arjovsky et al. (2019, arXiv 1907.02893) colour MNIST so: the colour is easy to learn, the digit is what is asked, and a
network that goes by the colour is wrong where the two part.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from butterfly.data.base import Data
from butterfly.streams import generator

PATTERN = r"(?!)"  # no name: it colours the images of another set, as in coloured(data.load("digits"), 0.9, seed=0)


@dataclass(frozen=True)
class Groups:
    """What was drawn of each example: the label it has, 0 or 1, its colour, and whether the label was flipped `[N]`."""

    label: Tensor
    colour: Tensor
    moved: Tensor

    @property
    def agrees(self) -> Tensor:
        """Where the colour is that of the label `[N]`."""
        return self.label == self.colour

    @property
    def group(self) -> Tensor:
        """Which of the four pairs of label and colour, `2 * label + colour` `[N]`."""
        return 2 * self.label + self.colour


@dataclass(frozen=True)
class Coloured:
    """The groups of the training examples and of the test examples."""

    train: Groups
    test: Groups


def coloured(
    task: Data, agreement: float, seed: int, moved: float = 0.0, test_agreement: float | None = None
) -> tuple[Data, Coloured]:
    """The images in two classes and two colours `[N, 2, *space]`, and which is which.

    Of more than two classes, the lower half becomes 0 and the upper half 1. A share `moved` of these labels is flipped,
    in training and test alike, whatever the image. Then the colour is that of the label for a share `agreement` of the
    training examples and `test_agreement` of the test examples, `1 - agreement` if it is not given. Both shares are
    exact up to one example, and which examples they are follows from the seed. An image fills the channel of its
    colour; the other is as empty as its background, the darkest pixel. Both channels are normalised alike.
    """
    if task.x.shape[1] != 1:
        raise ValueError(f"{task.name} has {task.x.shape[1]} channels; images to be coloured have one")
    if task.targets is not None:
        raise ValueError(f"{task.name} has targets of its own; images are coloured by their labels")
    reverse = 1 - agreement if test_agreement is None else test_agreement
    groups = [
        _groups(y, task.classes, share, moved, part, seed)
        for y, share, part in ((task.y, agreement, "train"), (task.y_test, reverse, "test"))
    ]
    black = task.x.min()
    ink = task.x - black
    # Half of all channels are empty, whatever the colours: mean and spread over both.
    mean = ink.mean(dtype=torch.float64) / 2
    spread = (ink.square().mean(dtype=torch.float64) / 2 - mean**2).sqrt()

    def paint(x: Tensor, colour: Tensor) -> Tensor:
        channels = torch.zeros_like(x).repeat(1, 2, *[1] * (x.dim() - 2))
        channels[torch.arange(len(x), device=x.device), colour] = x[:, 0] - black
        return ((channels - mean) / spread).to(x)

    train, test = groups
    x, x_test = paint(task.x, train.colour), paint(task.x_test, test.colour)
    name = f"coloured {task.name}"
    painted = replace(task, name=name, x=x, y=train.label, x_test=x_test, y_test=test.label, classes=2)
    return painted, Coloured(train, test)


def _groups(y: Tensor, classes: int, agreement: float, moved: float, part: str, seed: int) -> Groups:
    """Labels and colours of the training or the test examples."""
    for share in (agreement, moved):
        if not 0 <= share <= 1:
            raise ValueError(f"a share of {share:g} of the examples; give one from 0 to 1")
    flipped = _some(len(y), moved, "moved", part, seed).to(y.device)
    other = _some(len(y), 1 - agreement, "colour", part, seed).to(y.device)
    label = (2 * y >= classes).long() ^ flipped.long()
    return Groups(label, label ^ other.long(), flipped)


def _some(count: int, share: float, *key: object) -> Tensor:
    """A share of all examples, drawn at random: a mask `[N]`."""
    mask = torch.zeros(count, dtype=torch.bool)
    mask[torch.randperm(count, generator=generator("coloured", *key))[: round(share * count)]] = True
    return mask
