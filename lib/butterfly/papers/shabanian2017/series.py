"""Series whose future matters, drawn from a law that is known, so that likelihoods can be told exactly.

At every step one of four regimes rules. With probability `stay` it is the regime of `lag` steps before, else any of
the four; the first `lag` regimes are any. So what is seen now is needed only `lag` steps later. A series shows its
regimes as they are, as one of four *symbols*, or as *frames*: four numbers that are the regime's pattern of signs, with
Gaussian noise. The steps t, t + lag, t + 2 lag, ... are a hidden Markov chain of their own, independent of the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from butterfly.streams import generator

REGIMES = 4
PATTERNS = torch.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1], [1, 1, -1, -1], [-1, -1, 1, 1]], dtype=torch.float64)


@dataclass(frozen=True)
class Series:
    """The law of a series; `noise` is the standard deviation of frames, None: symbols."""

    length: int
    lag: int
    stay: float
    noise: float | None = None


def drawn(law: Series, seeds: Sequence[int], count: int, part: str) -> Tensor:
    """Series `[S, N, T, 4]`, of every seed its own; a symbol is one-hot. `part` names an independent draw."""
    return torch.stack([_one_seed(law, count, generator("series", *vars(law).values(), part, seed)) for seed in seeds])


def _one_seed(law: Series, count: int, random: torch.Generator) -> Tensor:
    regimes = torch.randint(REGIMES, (count, law.length), generator=random)
    stays = torch.rand(count, law.length, generator=random) < law.stay
    for step in range(law.lag, law.length):
        regimes[:, step] = torch.where(stays[:, step], regimes[:, step - law.lag], regimes[:, step])
    if law.noise is None:
        return torch.eye(REGIMES)[regimes]
    return (PATTERNS[regimes] + law.noise * torch.randn(count, law.length, 4, generator=random)).float()


# --- what can be known -----------------------------------------------------------------------------------------------


def known(law: Series, x: Tensor) -> dict[str, Tensor]:
    """Log-probabilities of series `x [..., T, 4]`, in nats a step `[...]`, by those who know the law.

    `truth`: of each step given the past. `future`: of each step given past and future. `single`: by the best forward
    model that says one value's distribution after another independently, a Gaussian each (for symbols the truth).
    `blind`: by the same without the past.
    """
    seen = _of_regimes(law, x.double())
    before, later = _messages(law, seen)
    even = torch.full_like(before, 1 / REGIMES)
    both = before * later
    found = {
        "truth": _mixed(before, seen),
        "future": _mixed(both / both.sum(-1, keepdim=True), seen),
        "single": _mixed(before, seen) if law.noise is None else _gaussian(law, before, x.double()),
        "blind": _mixed(even, seen) if law.noise is None else _gaussian(law, even, x.double()),
    }
    return {name: values.mean(-1) for name, values in found.items()}


def beliefs(law: Series, x: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities of the regimes `[..., T, 4]` of series, from the past alone and from the past and the future."""
    before, later = _messages(law, _of_regimes(law, x.double()))
    both = before * later
    return before, both / both.sum(-1, keepdim=True)


def _of_regimes(law: Series, x: Tensor) -> Tensor:
    """Log-density of what is seen at each step under each regime `[..., T, 4]`."""
    if law.noise is None:
        return x.log()
    apart = (x[..., None, :] - PATTERNS).square().sum(-1) / law.noise**2
    return -apart / 2 - 4 * math.log(law.noise * math.sqrt(2 * math.pi))


def _messages(law: Series, seen: Tensor) -> tuple[Tensor, Tensor]:
    """What the past says of each step's regime, and what the future does, each up to a factor `[..., T, 4]`."""
    weight = (seen - seen.amax(-1, keepdim=True)).exp()
    before, later = torch.full_like(seen, 1 / REGIMES), torch.ones_like(seen)

    def moved(belief: Tensor) -> Tensor:
        belief = belief / belief.sum(-1, keepdim=True)
        return law.stay * belief + (1 - law.stay) / REGIMES

    for step in range(law.lag, law.length):
        earlier = step - law.lag
        before[..., step, :] = moved(before[..., earlier, :] * weight[..., earlier, :])
    for step in reversed(range(law.length - law.lag)):
        after = step + law.lag
        later[..., step, :] = moved(later[..., after, :] * weight[..., after, :])  # the chain looks the same backwards
    return before, later


def _mixed(belief: Tensor, seen: Tensor) -> Tensor:
    """Log-probability of each step `[..., T]` under beliefs about its regime."""
    return (belief.log() + seen).logsumexp(-1)


def _gaussian(law: Series, belief: Tensor, x: Tensor) -> Tensor:
    """The same if only mean and variance of each value may be told: those of the mixture do best."""
    mean = belief @ PATTERNS
    variance = law.noise**2 + belief @ PATTERNS.square() - mean.square()
    return (-(x - mean).square() / variance - variance.log() - math.log(2 * math.pi)).sum(-1) / 2
