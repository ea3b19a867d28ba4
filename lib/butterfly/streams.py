"""Named random streams: every random choice has a name and a key, and nothing else can disturb it."""

import hashlib

import torch


def generator(name: str, *key: object) -> torch.Generator:
    """A fresh CPU generator for one named choice, e.g. `generator("order", seed, epoch)`.

    The state depends only on the name and the key, so there is nothing to save when a run stops, parent and twin
    share every stream they should share, and a GPU run draws the same numbers as a CPU run.
    """
    text = "/".join([name, *map(str, key)])
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
