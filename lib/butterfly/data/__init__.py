"""Data sets, one file each; `load` finds them by name."""

import re
from types import ModuleType

from butterfly import registry
from butterfly.data.base import Data, DataError, of_classes, with_label_noise, with_random_inputs, with_random_labels

__all__ = [
    "Data",
    "DataError",
    "input_shape",
    "load",
    "of_classes",
    "provenance",
    "with_label_noise",
    "with_random_inputs",
    "with_random_labels",
]


def load(name: str) -> Data:
    """The data set of that name, on the CPU: `mnist1d`, `digits`, `mnist`, `cifar10`, or a made-up text."""
    return _file(name).load(name)


def input_shape(name: str) -> tuple[int, ...]:
    """Shape of one input of that data set; files are not read for it."""
    module = _file(name)
    return module.input_shape(name) if hasattr(module, "input_shape") else module.load(name).input_shape


def provenance(name: str) -> dict[str, str]:
    """What a data set is made from, part of the identity of every result: file checksums, or versions of packages."""
    return _file(name).provenance(name)


def checked(name: str) -> str:
    """The name, if it is that of a data set."""
    return name if _file(name) else ""


def _file(name: str) -> ModuleType:
    """The file that serves a name: the one called so, or with the `PATTERN` of its names."""
    module = registry.open_file("data", name)
    if module is None or not re.fullmatch(getattr(module, "PATTERN", module.__name__.rpartition(".")[2]), name):
        raise DataError(f"unknown data set '{name}'; known: {', '.join(registry.files('data'))}")
    return module
