"""Made-up utterances: symbols that differ in how a formant moves, run into each other, and are buried in noise.

A formant is a band of frequencies in which a voice has energy. There are two. The high one stays where it is, and tells
two families of symbols apart. The low one rises, falls, or stays in the middle, always in the same range, and tells
which member of the family it is: no single frame does. How long a symbol lasts, and what comes before and after it,
varies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from butterfly.streams import generator
from butterfly.strict import Strict

# Where each formant begins and ends, as shares of its range.
LOW = ((0.0, 1.0), (1.0, 0.0), (0.5, 0.5))
HIGH = ((0.0, 0.0), (1.0, 1.0))
SYMBOLS = len(LOW) * len(HIGH)
CLASSES = SYMBOLS + 1  # 0 is the blank
BANDS = 12
RANGES = ((1.0, 5.0), (8.0, 10.0))  # of the two formants, in bands
BREADTH = 1.0  # of a formant, in bands


class Speech(Strict):
    """How people speak: how many symbols, how many frames each, how far they run into each other, how loud they are.

    Formants are averaged over `blend` frames and have the energy `loud` at their height, noise has deviation 1.
    """

    fewest: int = Field(2, ge=1)
    most: int = Field(5, ge=1)
    shortest: int = Field(4, ge=1)
    longest: int = Field(8, ge=1)
    blend: int = Field(3, ge=1)
    loud: float = Field(2.0, ge=0)

    @property
    def frames(self) -> int:
        """Frames of an utterance, silence before and after included."""
        return self.most * self.longest + 2


@dataclass(frozen=True)
class Utterances:
    """What is heard, `x [N, bands, T]`, and what was said, `y [N, L]`: symbols from 1 on, then 0."""

    x: Tensor
    y: Tensor
    at: Tensor  # the symbol of each frame [N, T]; 0 is silence


def draw(speech: Speech, count: int, random: torch.Generator) -> Utterances:
    """Utterances of symbols drawn with replacement, in noise, somewhere between silence and silence."""
    length = torch.randint(speech.fewest, speech.most + 1, (count, 1), generator=random)
    said = torch.randint(1, CLASSES, (count, speech.most), generator=random)
    lasts = torch.randint(speech.shortest, speech.longest + 1, (count, speech.most), generator=random)
    there = torch.arange(speech.most) < length
    said, lasts = said * there, lasts * there
    spare = speech.frames - lasts.sum(1, keepdim=True)
    begin = (torch.rand(count, 1, generator=random) * (spare + 1)).long()
    ends = begin + lasts.cumsum(1)  # [N, L]; of what is not there, that of the last symbol

    frame = torch.arange(speech.frames).expand(count, -1)
    place = (frame.unsqueeze(2) >= ends.unsqueeze(1)).sum(2)  # how many symbols are over
    voiced = (frame >= begin) & (place < length)
    place = place.clamp_max(speech.most - 1)
    start, own = (ends - lasts).gather(1, place), lasts.gather(1, place)
    symbol = said.gather(1, place) * voiced
    clean = spectrum(symbol, (frame - start + 0.5) / own.clamp_min(1), speech.blend)
    return Utterances(speech.loud * clean + torch.randn(clean.shape, generator=random), said, symbol)


def spectrum(symbol: Tensor, progress: Tensor, blend: int) -> Tensor:
    """Energy `[N, bands, T]` without noise; each frame has its symbol (0: silence) and how far on that is `[N, T]`."""
    voiced, kind = symbol > 0, (symbol - 1).clamp_min(0)
    bands = torch.arange(BANDS, dtype=torch.float).view(1, -1, 1)
    sound = torch.zeros(len(symbol), BANDS, symbol.shape[1])
    for ends, part, (bottom, top) in zip((LOW, HIGH), (kind % len(LOW), kind // len(LOW)), RANGES, strict=True):
        first, last = torch.tensor(ends)[part].unbind(2)
        height = bottom + (top - bottom) * (first + (last - first) * progress)
        height = _blended(height, voiced, blend).unsqueeze(1)
        sound += torch.exp(-((bands - height) ** 2) / (2 * BREADTH**2))
    return sound * voiced.unsqueeze(1)


def _blended(height: Tensor, voiced: Tensor, blend: int) -> Tensor:
    """Each frame's mean `[N, T]` over the voiced ones of the `blend` frames around it: a mouth takes time to move."""

    def around(values: Tensor) -> Tensor:
        return F.avg_pool1d(F.pad(values, ((blend - 1) // 2, blend // 2)), blend, 1)

    return around(height * voiced) / around(voiced.float()).clamp_min(1 / (2 * blend))


def of_seeds(speech: Speech, count: int, name: str, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Utterances of each seed `[S, N, bands, T]` and what was said `[S, N, L]`; `name` is that of their stream."""
    each = [draw(speech, count, generator(name, seed)) for seed in seeds]
    return torch.stack([own.x for own in each]), torch.stack([own.y for own in each])
