"""Handwritten digits that come with scikit-learn."""

from functools import lru_cache

import torch

from butterfly.data.base import Data, assemble, versions
from butterfly.streams import generator


@lru_cache(maxsize=1)
def load(name: str) -> Data:
    """Handwritten digits bundled with scikit-learn (Alpaydin and Kaynak 1998): 1,297 + 500 images of 8 x 8."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    x, y = raw.images[:, None], raw.target
    order = torch.randperm(len(y), generator=generator("digits-split")).numpy()
    train, test = order[500:], order[:500]
    return assemble(name, (x[train], y[train]), (x[test], y[test]), provenance(name))


def provenance(name: str) -> dict[str, str]:
    """Version of the package that holds the images."""
    return versions("scikit-learn")
