"""Streams of letters in made-up languages, `letters-a`, `letters-b`, ...: at every place, what follows?"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from butterfly.data.base import Data
from butterfly.streams import generator

PATTERN = "letters-[a-z]"
TOKENS, _WORDS, _PLACES = 12, 60, 24  # eleven letters and a space; words of the language; length of an example
_SPACE = TOKENS - 1


@lru_cache(maxsize=4)
def load(name: str) -> Data:
    """Stretches of 24 letters and, at every place, the letter that follows: 1,000 to learn from and 400 others.

    A language has 60 words of 2 to 6 letters. After each of them 6 words may follow, with probabilities of their own.
    """
    text = written(name, 1400, _PLACES + 1)
    x, y = one_hot(text[:, :-1]), text[:, 1:].contiguous()
    return Data(name, x[:1000], y[:1000], x[1000:], y[1000:], TOKENS, torch.arange(1000))


def written(name: str, count: int, places: int, draw: int = 0) -> Tensor:
    """Texts `[count, places]` in that language, each beginning somewhere in a word; every `draw` has other ones."""
    random = generator("letters", name)
    lengths = torch.randint(2, 7, (_WORDS,), generator=random).tolist()
    words = [[*torch.randint(_SPACE, (length,), generator=random).tolist(), _SPACE] for length in lengths]
    follow = torch.stack([torch.randperm(_WORDS, generator=random)[:6] for _ in range(_WORDS)])
    odds = torch.rand(_WORDS, 6, generator=random).pow(2)
    random = generator("letters-text", name, draw)
    word = torch.randint(_WORDS, (count,), generator=random)
    texts = [list(words[w]) for w in word.tolist()]
    start = torch.randint(4, (count,), generator=random).tolist()
    while min(map(len, texts)) < places + 4:
        word = follow[word].gather(1, torch.multinomial(odds[word], 1, generator=random))[:, 0]
        texts = [own + words[w] for own, w in zip(texts, word.tolist(), strict=True)]
    return torch.tensor([own[s : s + places] for own, s in zip(texts, start, strict=True)])


def one_hot(text: Tensor) -> Tensor:
    """Texts `[N, places]` as inputs `[N, tokens, places]`."""
    return F.one_hot(text, TOKENS).mT.float().contiguous()


def provenance(name: str) -> dict[str, str]:
    """Nothing but this file: languages are drawn from the project's own streams."""
    return {}
