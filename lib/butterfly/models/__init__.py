"""Architectures, one file each; `build` finds them by name."""

import re

from butterfly import registry
from butterfly.models.base import Drop, Model, Tensors, keep, overlook

__all__ = ["Drop", "Model", "Tensors", "build", "keep", "overlook"]


def build(name: str, input_shape: tuple[int, ...], classes: int) -> Model:
    """The architecture of that name.

    `mlp-DEPTHxWIDTH[-gelu][-norm]` (hidden layers), `cnn-DEPTHxWIDTH`, `gru-WIDTH`, `resnetDEPTH-WIDTH`,
    `vggDEPTH-WIDTH`, `transformer-DEPTHxWIDTH`. Each file of `models` has the `PATTERN` of its names; the named
    groups are fields of its one subclass of `Model`.
    """
    module = registry.open_file("models", name)
    match = re.fullmatch(module.PATTERN, name) if module else None
    if match is None:
        raise ValueError(f"unknown model '{name}'; try mlp-4x64, cnn-3x25, gru-32, resnet20-32 or transformer-2x32")
    (kind,) = (k for k in vars(module).values() if isinstance(k, type) and k.__module__ == module.__name__)
    parts = {key: value for key, value in match.groupdict().items() if value}
    sizes = {key: int(value) if value.isdigit() else value for key, value in parts.items()}
    if 0 in sizes.values():
        raise ValueError(f"model '{name}' has a size of 0")
    if not kind.accepts(tuple(input_shape)):
        raise ValueError(f"model '{name}' does not fit inputs of shape {input_shape}")
    return kind(tuple(input_shape), classes, **sizes)
