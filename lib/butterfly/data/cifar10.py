"""CIFAR-10: 50,000 + 10,000 colour images of 32 x 32."""

from butterfly.data import hub
from butterfly.data.base import Data
from butterfly.data.hub import Hub

HUB = Hub(
    name="cifar10",
    repository="uoft-cs/cifar10",
    revision="0b2714987fa478483af9968de7c934580d0bb9a2",
    folder="plain_text",
    column="img",
    shape=(32, 32, 3),
    files={
        "train": ("8428b53a88a11ac374111006708df51469e315a22ac6d66470afd9c78d2ae883", 50_000),
        "test": ("841389e6f2d64f28bf17310e430aebac20ec3ba611a3c5e231dc93c645ce84de", 10_000),
    },
)


def load(name: str) -> Data:
    """The data set, from `BUTTERFLY_DATA` or the user's cache."""
    return hub.load(HUB)


def input_shape(name: str) -> tuple[int, ...]:
    """Shape of one image `[channels, height, width]`; no file is read for it."""
    return HUB.input_shape


def provenance(name: str) -> dict[str, str]:
    """Checksums of the files."""
    return hub.provenance(HUB)
