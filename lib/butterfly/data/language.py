"""Made-up languages, `language-a`, `language-b`, ...: what follows six letters."""

import torch
from torch import Tensor

from butterfly.data.base import Data
from butterfly.streams import generator

PATTERN = "language-[a-z]"
LETTERS, _TOKENS, _PLACES = 10, 12, 6  # letters (or digits), these and two signs, length of a context


def load(name: str) -> Data:
    """Contexts of 6 letters and the letter that follows, in a made-up language: 4,000 + 1,000, and each text a new one.

    After each pair of letters four letters may follow, with probabilities that are drawn once for the language.
    """
    random = generator("language", name)
    follow = torch.stack([torch.randperm(LETTERS, generator=random)[:4] for _ in range(LETTERS**2)])
    odds = torch.rand(LETTERS**2, 4, generator=random).pow(2)
    text = torch.randint(LETTERS, (5000, 2), generator=random)
    for _ in range(20 + _PLACES):
        pair = text[:, -2] * LETTERS + text[:, -1]
        drawn = torch.multinomial(odds[pair], 1, generator=random)
        text = torch.cat([text, follow[pair].gather(1, drawn)], 1)
    return of_tokens(name, text[:, -_PLACES - 1 : -1], text[:, -1], 4000)


def of_tokens(name: str, tokens: Tensor, y: Tensor, train: int) -> Data:
    """Tokens `[N, places]` as one-hot inputs `[N, tokens, places]`, the first `train` of them to learn from."""
    x = torch.nn.functional.one_hot(tokens, _TOKENS).mT.float().contiguous()
    return Data(name, x[:train], y[:train], x[train:], y[train:], LETTERS, torch.arange(train))


def provenance(name: str) -> dict[str, str]:
    """Nothing but this file: languages are drawn from the project's own streams."""
    return {}
