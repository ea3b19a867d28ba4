"""A GAN on a ring of eight Gaussians, as a game: the discriminator moves first, and the generator's loss saturates.

With `D` the probability that the discriminator gives to a point of being real, it descends the cross-entropy
`-log D(real) - log(1 - D(made))`, and the generator `log(1 - D(made))`, whose slope vanishes where the discriminator is
sure that a point is made up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from butterfly import models, streams
from butterfly.evaluate import logits
from butterfly.game import Game, Rules, State, begin, rules
from butterfly.models import Model
from butterfly.perturb import Kick, displacement

MODES = 8
SPREAD = 0.15  # standard deviation of a mode; the ring has radius 1, and its modes are 0.77 apart
INPUTS = 8  # random numbers that a point is made from
NEAR = 2  # standard deviations within which a point belongs to a mode; 86.5 % of a Gaussian in the plane do


class Arm(NamedTuple):
    """How a GAN is played: `momentum` of the discriminator, and its step over that of the generator."""

    momentum: float = 0.0
    step: float = 1.0
    alternating: bool = True


NEGATIVE, ZERO, POSITIVE = "negative momentum", "no momentum", "positive momentum"
AT_ONCE, SHORT, LONG = "simultaneous", "shorter steps", "longer steps"  # no momentum
SWEPT = NEGATIVE, ZERO, POSITIVE, AT_ONCE  # arms that are played with every step, not with one alone


def arms(momentum: float) -> dict[str, Arm]:
    """The arms by name, with momentum of this size for the discriminator.

    Momentum `b` adds up to steps `1 / (1 - b)` times as long while the gradient stays the same, so that there are
    controls without momentum whose discriminator takes steps as short, or as long.
    """
    return {
        NEGATIVE: Arm(-momentum),
        ZERO: Arm(),
        POSITIVE: Arm(momentum),
        AT_ONCE: Arm(alternating=False),
        SHORT: Arm(step=1 / (1 + momentum)),
        LONG: Arm(step=1 / (1 - momentum)),
    }


def cells(lrs: Sequence[float], lr: float) -> list[tuple[str, float]]:
    """Names of arms and the generator's steps with which they are played: the others with one step, `lr`."""
    return [(name, step) for name in SWEPT for step in lrs] + [(SHORT, lr), (LONG, lr)]


def rules_of(played: Sequence[tuple[Arm, float]], like: Tensor) -> Rules:
    """The rules of a stack of GANs, each with an arm and the generator's step."""
    steps = [(lr * arm.step, lr) for arm, lr in played]
    return rules(steps, [(arm.momentum, 0.0) for arm, _ in played], [arm.alternating for arm, _ in played], like)


# --- points ----------------------------------------------------------------------------------------------------------


def centres() -> Tensor:
    """The middles of the modes `[8, 2]`."""
    angles = 2 * math.pi * torch.arange(MODES) / MODES
    return torch.stack([angles.cos(), angles.sin()], 1)


def real(count: int, random: torch.Generator) -> Tensor:
    """Points of the ring `[N, 2]`."""
    modes = torch.randint(MODES, (count,), generator=random)
    return centres()[modes] + SPREAD * torch.randn(count, 2, generator=random)


def shares(points: Tensor) -> Tensor:
    """The share of the points `[M, N, 2]` that belongs to each mode `[M, 8]`; none does that is not finite."""
    distance = (points[:, :, None] - centres().to(points)).norm(dim=3)
    return (distance <= NEAR * SPREAD).double().mean(1)


@dataclass
class Batches:
    """Minibatches of one stream a seed: all GANs of a seed see the same."""

    seeds: list[int]
    size: int

    def __post_init__(self) -> None:
        self.randoms = [streams.generator("ring", seed) for seed in self.seeds]

    def another(self) -> tuple[Tensor, Tensor]:
        """Real points `[S, B, 2]`, and the numbers that the two players' points are made from `[2, S, B, 8]`."""
        points = torch.stack([real(self.size, random) for random in self.randoms])
        numbers = [torch.randn(2, self.size, INPUTS, generator=random) for random in self.randoms]
        return points, torch.stack(numbers, 1)


# --- networks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gan:
    """Two networks of one architecture, the discriminator (the first player) and the generator."""

    network: str

    @cached_property
    def discriminator(self) -> Model:
        return models.build(self.network, (2,), 1)

    @cached_property
    def generator(self) -> Model:
        return models.build(self.network, (INPUTS,), 2)

    def start(self, seeds: Sequence[int]) -> State:
        """One GAN a seed, at initialisation and at rest."""
        made = self.generator.layout.init([streams.generator("init", "generator", seed) for seed in seeds])
        return begin(self.discriminator.init(list(seeds)), made)

    def game(self, points: Tensor, numbers: Tensor) -> Game:
        """The game on a minibatch: real points `[M, B, 2]`, and numbers `[2, M, B, 8]` to make points from."""
        return (
            lambda first, second: self._of_discriminator(first, second, points, numbers[0]),
            lambda first, second: self._of_generator(first, second, numbers[1]),
        )

    def _of_discriminator(self, first: Tensor, second: Tensor, points: Tensor, numbers: Tensor) -> Tensor:
        with torch.no_grad():
            made = self.generator.forward(self.generator.layout.tensors(second), numbers)
        count = points.shape[1]

        def loss(out: Tensor) -> Tensor:
            return (softplus(-out[:, :count]) + softplus(out[:, count:])).mean((1, 2)).sum()

        return self.discriminator.gradient(first, torch.cat([points, made], 1), loss)

    def _of_generator(self, first: Tensor, second: Tensor, numbers: Tensor) -> Tensor:
        judge = self.discriminator.layout.tensors(first)

        def loss(made: Tensor) -> Tensor:
            return -softplus(self.discriminator.forward(judge, made)).mean((1, 2)).sum()

        return self.generator.gradient(second, numbers, loss)

    def points(self, second: Tensor, numbers: Tensor) -> Tensor:
        """What generators make of the same numbers `[N, 8]`: points `[M, N, 2]`."""
        return logits(self.generator, second, numbers)

    def kicked(self, state: State, seeds: Sequence[int], size: float) -> State:
        """Both players of each GAN displaced by this much, in norms of their initial weights; their moves unchanged."""
        players = []
        for draw, (model, stack) in enumerate(zip((self.discriminator, self.generator), state[:2], strict=True)):
            kick = Kick(size=size, draw=draw)
            moved = [row + displacement(model, row, kick, seed, None) for row, seed in zip(stack, seeds, strict=True)]
            players.append(torch.stack(moved))
        return State(*players, *state[2:])
