"""Other ways to start a network than Kaiming normal weights and biases of zero."""

from collections.abc import Sequence

import torch
from torch import Tensor

from butterfly.models import Model
from butterfly.streams import generator


def uniform(model: Model, seeds: Sequence[int]) -> Tensor:
    """Networks as `torch.nn` starts linear and convolutional layers, one a seed `[M, P]`.

    Weights and biases are uniform within 1 / sqrt(inputs of a unit); whatever else there is starts as in `Model.init`.
    """
    theta = model.init(list(seeds))
    tensors = model.layout.tensors(theta)
    for row, seed in enumerate(seeds):
        random = generator("uniform-init", seed)
        for p in model.layout.parameters:
            if p.kind in ("weight", "bias"):
                bound = p.scale / 2**0.5  # the scale of a layer is sqrt(2 / inputs), for its bias as well
                tensors[p.name][row] = bound * (2 * torch.rand(p.shape, generator=random) - 1)
    return theta
