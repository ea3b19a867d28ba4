"""MNIST: 60,000 + 10,000 handwritten digits of 28 x 28."""

from butterfly.data import hub
from butterfly.data.base import Data
from butterfly.data.hub import Hub

HUB = Hub(
    name="mnist",
    repository="ylecun/mnist",
    revision="77f3279092a1c1579b2250db8eafed0ad422088c",
    folder="mnist",
    column="image",
    shape=(28, 28),
    files={
        "train": ("f2c01285a9f89399335b00ee4e8d499dc4e46db5e39c74903ce5618d895eb3bf", 60_000),
        "test": ("d49fcf556ce25b002b302e318ce4a11098bbfe5d4499c3f35d7c72297c52374b", 10_000),
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
