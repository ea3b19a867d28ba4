"""Handwritten digits as sequences of scrambled pixels: `pixels-1`, `pixels-2`, `pixels-4`, `pixels-8`."""

import re
from dataclasses import replace
from functools import lru_cache

import torch

from butterfly.data import digits
from butterfly.data.base import Data
from butterfly.streams import generator

PATTERN = r"pixels-(?P<at_once>[1248])"


@lru_cache(maxsize=4)
def load(name: str) -> Data:
    """The digits with their 64 pixels in one random order, as many at a step as the name says: `[at_once, steps]`."""
    at_once, whole = int(re.fullmatch(PATTERN, name)["at_once"]), digits.load("digits")
    order = torch.randperm(64, generator=generator("pixel-order"))
    x, x_test = (images.flatten(1)[:, order].unflatten(1, (-1, at_once)).mT.contiguous()
                 for images in (whole.x, whole.x_test))  # fmt: skip
    return replace(whole, name=name, x=x, x_test=x_test)


def provenance(name: str) -> dict[str, str]:
    """That of the digits."""
    return digits.provenance("digits")
