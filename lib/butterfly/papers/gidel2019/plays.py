"""Games drawn at random, the spectral radius of one update of them, and plays that are watched with twins."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from butterfly import game
from butterfly.game import Game, Rules, State
from butterfly.streams import generator
from butterfly.study import Arrays

ORDERS = AT_ONCE, BY_TURNS = "simultaneous", "alternating"
AROUND, EITHER = "zero-sum", "general-sum"  # kinds of games
EARLY = 0.05  # part of a play in which notebook 03 measures the first growth of a kick
Build = Callable[[Tensor], Game]  # games from their matrices [M, P, P]


# --- games drawn at random -------------------------------------------------------------------------------------------


def turning(size: int, random: torch.Generator) -> Tensor:
    """A random orthogonal matrix `[P, P]`, all equally likely."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=random, dtype=torch.float64))
    return q * r.diagonal().sign()


def sizes(count: int, least: float, random: torch.Generator) -> Tensor:
    """Random numbers evenly spread from `least` to 1, over the largest of them."""
    values = least + (1 - least) * torch.rand(count, generator=random, dtype=torch.float64)
    return values / values.max()


def drawn(seeds: Sequence[int], size: int, least: float, flattest: float = 1.0) -> dict[str, Tensor]:
    """For each seed a game, as matrices `[G, P, P]`.

    How the players turn each other, `a` and for games that are not zero-sum `b` (singular values from about `least`
    to 1), and the curvature that each has for itself, `first` and `second` (from about `flattest` to 1).
    """
    found: dict[str, list[Tensor]] = {"a": [], "b": [], "first": [], "second": []}
    for seed in seeds:
        random = generator("game", seed)
        for name in ("a", "b"):
            values = sizes(size, least, random)
            found[name].append(turning(size, random) * values @ turning(size, random))
        for name in ("first", "second"):
            values, turn = sizes(size, flattest, random), turning(size, random)
            found[name].append(turn * values @ turn.T)
    return {name: torch.stack(parts) for name, parts in found.items()}


def jacobian(games: dict[str, Tensor], rotation: Tensor, kind: str = AROUND) -> Tensor:
    """The matrix of the gradients `[G, 2P, 2P]`: a share of `rotation [G]` between the players, the rest curvature."""
    share = rotation[:, None, None]
    back = -games["a"].mT if kind == AROUND else games["b"]
    top = torch.cat([(1 - share) * games["first"], share * games["a"]], 2)
    return torch.cat([top, torch.cat([share * back, (1 - share) * games["second"]], 2)], 1)


def saturating(a: Tensor) -> Game:
    """Games in which the first player minimises `log s(x' A y)` and the second maximises it, `s` the logistic curve.

    At the equilibrium, 0, they are bilinear games of half the size.
    """
    turn = game.bilinear(a)

    def slope(x: Tensor, y: Tensor) -> Tensor:
        value = (x * turn[0](x, y)).sum(1, keepdim=True)
        # Sixteen times over: vectorised kernels then treat all games alike, to the last bit.
        return torch.sigmoid(-value.repeat(1, 16))[:, :1]

    return (lambda x, y: slope(x, y) * turn[0](x, y)), (lambda x, y: slope(x, y) * turn[1](x, y))


# --- rules and radii -------------------------------------------------------------------------------------------------


def ordered(order: str, lr: Sequence, momentum: Sequence, like: Tensor) -> Rules:
    """Rules of games that are all played in one order."""
    return game.rules(lr, momentum, [order == BY_TURNS] * len(lr), like)


def radii(of: Tensor, how: Rules) -> Tensor:
    """Spectral radius of one update of each game `[M]`, with gradients `of [M, 2P, 2P]`."""
    size = of.shape[1] // 2
    return game.spectral_radius(game.matrices(game.linear(of, size), (size, size), how))


# --- plays -----------------------------------------------------------------------------------------------------------


def even_looks(updates: int, count: int) -> list[int]:
    """The updates after which plays are looked at: `count` + 1 evenly spread, and the end of the early part."""
    return np.unique([*np.linspace(0, updates, count + 1).round().astype(int), round(EARLY * updates)]).tolist()


def places(name: str, seeds: Sequence[int], size: int, cells: int) -> State:
    """Random states of length 1 at rest; cells have the seeds in turn, and those of one seed are alike."""
    found = [torch.randn(2, size, generator=generator(name, seed)).double() for seed in seeds]
    both = torch.stack([one / one.norm() for one in found], 1).repeat(1, cells // len(seeds), 1)
    return game.begin(*both)


def scaled(state: State, factor: float) -> State:
    """All of a state times a number."""
    return State(*(factor * part for part in state))


def added(state: State, other: State) -> State:
    """The sum of two states."""
    return State(*map(torch.add, state, other))


def cut(state: State, rows: slice) -> State:
    """Some games of a state, without a copy."""
    return State(*(part[rows] for part in state))


def follow(
    build: Build, a: Tensor, start: State, kick: State, how: Rules, updates: int, looks: Sequence[int]
) -> Arrays:
    """Games `a [C, P, P]`, their kicked twins and control twins, played in lockstep.

    Over looks and games `[T, C]`: `distance` from the origin, and that of the `twins`; over games `[C]`: the `largest`
    distance from the origin in any update, and how far controls `moved` from their parents.
    """
    count, marks = len(a), frozenset(looks)
    own, twins, controls = (slice(count * k, count * (k + 1)) for k in range(3))
    games = build(a.repeat(3, 1, 1))
    state, three = game.joined(start, added(start, kick), start), game.joined(how, how, how)
    largest, moved = game.away(start), torch.zeros_like(game.away(start))
    seen: dict[str, list[np.ndarray]] = {"distance": [], "twins": []}
    for step in range(updates + 1):
        now = cut(state, own)
        distance = game.away(now)
        largest = torch.maximum(largest, distance)
        moved = torch.maximum(moved, game.apart(now, cut(state, controls)))
        if step in marks:
            seen["distance"].append(distance.numpy().copy())
            seen["twins"].append(game.apart(now, cut(state, twins)).numpy().copy())
        if step < updates:
            state = game.update(games, state, three)
    ends = {"largest": largest.numpy(), "moved": moved.numpy()}
    return {name: np.array(values) for name, values in seen.items()} | ends


def single(build: Build, a: Tensor, start: State, kick: State, how: Rules, updates: int) -> np.ndarray:
    """Growth of a kick in single precision `[C]`, a natural logarithm."""
    games, two = build(a.float().repeat(2, 1, 1)), game.joined(how, how)
    two = two._replace(lr=two.lr.float(), momentum=two.momentum.float())
    state = State(*(part.float() for part in game.joined(start, added(start, kick))))
    before = _between(state, len(a))
    for _ in range(updates):
        state = game.update(games, state, two)
    with np.errstate(divide="ignore", invalid="ignore"):  # what left the range of single precision
        return np.log(_between(state, len(a)) / before)


def _between(state: State, count: int) -> np.ndarray:
    """The distance between the first half of a stack and the second, in double precision."""
    halves = [State(*(part[rows].double() for part in state)) for rows in (slice(count), slice(count, None))]
    return game.apart(*halves).numpy()
