"""Named random streams: every random choice has a name and a key, and nothing else can disturb it."""

import hashlib

import numpy as np
import torch

_WORDS = 624  # of 32 bits, that the state of the generator (MT19937) holds; torch keeps each in 64, behind 24 bytes
_FRESH = torch.Generator().manual_seed(0).get_state().numpy().tobytes()


def generator(name: str, *key: object) -> torch.Generator:
    """A fresh CPU generator for one named choice, e.g. `generator("order", seed, epoch)`.

    The state depends only on the name and the key, so there is nothing to save when a run stops, parent and twin
    share every stream they should share, and a GPU run draws the same numbers as a CPU run.
    """
    text = "/".join([name, *map(str, key)])
    # The whole state, not a seed: torch uses 32 bits of a seed, and of 100,000 streams one pair would be the same.
    words = np.frombuffer(hashlib.shake_256(text.encode()).digest(4 * _WORDS), dtype="<u4").astype("<u8")
    state = bytearray(_FRESH)
    state[24 : 24 + 8 * _WORDS] = words.tobytes()
    random = torch.Generator()
    random.set_state(torch.frombuffer(state, dtype=torch.uint8))
    return random
