"""Batched augmentation on the device: random flip, shift and rotation of images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly.strict import Strict


class Augment(Strict):
    """What is drawn for each image: a horizontal flip, a shift of whole pixels, a rotation in degrees."""

    flip: bool = False
    shift: int = 0
    rotate: float = 0.0

    @property
    def active(self) -> bool:
        return self.flip or self.shift > 0 or self.rotate > 0


def augment(x: Tensor, config: Augment, *generators: torch.Generator) -> Tensor:
    """Transform a batch `x [B, C, H, W]`; pixels from outside the image are 0, the mean of normalised data.

    With several generators, each draws for its share of the batch, in equal runs.
    """
    if x.dim() != 4:
        raise ValueError(f"augmentation is for images [B, C, H, W], not for inputs of shape {tuple(x.shape)}")
    batch, _, height, width = x.shape
    # The same number of draws whatever is switched on, and on the CPU: the stream does not depend on device or options.
    draws = [torch.rand(4, batch // len(generators), generator=generator) for generator in generators]
    flip, down, right, turn = torch.cat(draws, 1)
    sign = torch.where((flip < 0.5) & config.flip, -1.0, 1.0)
    angle = (2 * turn - 1) * math.radians(config.rotate)
    steps = 2 * config.shift + 1
    dy, dx = (((u * steps).floor() - config.shift) for u in (down, right))
    # Rows of the inverse map, in the unit coordinates of `affine_grid`.
    aspect = height / width
    row_x = torch.stack([sign * angle.cos(), -angle.sin() * aspect, 2 * dx / width], 1)
    row_y = torch.stack([sign * angle.sin() / aspect, angle.cos(), 2 * dy / height], 1)
    maps = torch.stack([row_x, row_y], 1).to(x.device, x.dtype)
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)
