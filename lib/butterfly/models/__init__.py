"""Architectures, one file each; `build` finds them by name, `of` makes one of any stateless `torch.nn.Module`."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from butterfly import registry
from butterfly.models.base import Drop, Model, Tensors, keep, overlook

__all__ = ["Drop", "Model", "Tensors", "build", "keep", "of", "overlook"]

if TYPE_CHECKING:
    from torch import Tensor, nn


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


def of(
    module: "nn.Module | Callable[[], nn.Module]",
    example: "Tensor",
    axes: Mapping[str, tuple[str, ...]] | None = None,
) -> Model:
    """The architecture of a module of your own, to train, kick, align and score like any other.

    `module` is a function that makes it (its class, say), or one whose layers all have `reset_parameters`; each seed
    draws its start from a stream of its own. `example [B, ...]` are two or more inputs; it must return logits `[B, C]`.
    What no stack can hold is refused with a `ValueError` that says what to use instead: buffers that change, dropout of
    its own, shared weights, examples that are mixed. `axes` names, for each tensor, the hidden layer that each of its
    axes runs over ("" where the order is given); for a plain `torch.nn.Sequential` it is found.
    """
    from butterfly.models.module import stack_of

    return stack_of(module, example, axes)
