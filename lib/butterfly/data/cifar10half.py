"""CIFAR-10 at half its resolution, 16 x 16: what residual networks learn in a quarter of the time.

`cifar10half-2000` has the first 2,000 training images only, which small networks can fit.
"""

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from butterfly.data import hub
from butterfly.data.base import Data
from butterfly.data.cifar10 import HUB

PATTERN = r"cifar10half(-[1-9]\d*)?"


def load(name: str) -> Data:
    """CIFAR-10, each pixel the mean of four, standardised anew by the training set."""
    whole = hub.load(HUB)
    train, test = _halved(whole.x), _halved(whole.x_test)
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True)
    few = slice(int(name.partition("-")[2] or len(train)))
    x, x_test = (train[few] - mean) / std, (test - mean) / std
    return replace(whole, name=name, x=x, y=whole.y[few], ids=whole.ids[few], x_test=x_test)


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def input_shape(name: str) -> tuple[int, ...]:
    """Shape of one image `[channels, height, width]`; no file is read for it."""
    channels, height, width = HUB.input_shape
    return channels, height // 2, width // 2


def provenance(name: str) -> dict[str, str]:
    """Checksums of the files."""
    return hub.provenance(HUB)
