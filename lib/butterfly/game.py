"""Games of two players, each of whom descends a loss of its own that depends on both.

A stack of games is played in lockstep. In every update a player moves down the gradient of its loss in its own
parameters, and adds a part of its last move: heavy-ball momentum, which may be negative. Played simultaneously, both
see where the other one stood; played alternately, the second sees where the first one has just moved to.

One update maps a state, the places of both players and their last moves, to the next one. Of a game with linear
gradients this map is a matrix, whose spectral radius is the factor by which distances grow in the long run.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

Gradient = Callable[[Tensor, Tensor], Tensor]  # of a player's loss in its own place, from the places of both
Game = tuple[Gradient, Gradient]


class State(NamedTuple):
    """Where the two players of each game are, `[M, P]` and `[M, Q]`, and their last moves, of the same shapes."""

    first: Tensor
    second: Tensor
    first_move: Tensor
    second_move: Tensor


class Rules(NamedTuple):
    """How each game is played: `lr` and `momentum` `[M, 2]` of the first and the second player, `alternating [M]`."""

    lr: Tensor
    momentum: Tensor
    alternating: Tensor


Stack = TypeVar("Stack", State, Rules)


def rules(lr: Sequence, momentum: Sequence, alternating: Sequence[bool], like: Tensor) -> Rules:
    """The rules of a stack; `lr` and `momentum` hold a number a game, or a pair where the players differ."""

    def pairs(values: Sequence) -> Tensor:
        table = torch.as_tensor(values, dtype=torch.float64)
        return (table[:, None].expand(-1, 2) if table.dim() == 1 else table).to(like)

    return Rules(pairs(lr), pairs(momentum), torch.as_tensor(alternating, dtype=torch.bool, device=like.device))


def begin(first: Tensor, second: Tensor) -> State:
    """Players at these places, at rest."""
    return State(first, second, torch.zeros_like(first), torch.zeros_like(second))


def rows(stack: Stack, index: Tensor) -> Stack:
    """Some games of a stack of states or rules, in the order of `index`."""
    return type(stack)(*(part[index] for part in stack))


def joined(*stacks: Stack) -> Stack:
    """Stacks of states or rules one below the other."""
    return type(stacks[0])(*map(torch.cat, zip(*stacks, strict=True)))


# --- playing ---------------------------------------------------------------------------------------------------------


def update(game: Game, state: State, how: Rules) -> State:
    """The state one update later."""
    first, first_move = _moved(state.first, state.first_move, game[0](state.first, state.second), how, 0)
    seen = torch.where(how.alternating[:, None], first, state.first)
    second, second_move = _moved(state.second, state.second_move, game[1](seen, state.second), how, 1)
    return State(first, second, first_move, second_move)


def _moved(place: Tensor, move: Tensor, gradient: Tensor, how: Rules, player: int) -> tuple[Tensor, Tensor]:
    move = how.momentum[:, player, None] * move - how.lr[:, player, None] * gradient
    return place + move, move


def away(state: State) -> Tensor:
    """How far the players are from the origin `[M]`, both places taken together; moves do not count."""
    return torch.cat([state.first, state.second], 1).norm(dim=1)


def apart(one: State, other: State) -> Tensor:
    """The distance between two states of each game `[M]`, moves left out, as between twins."""
    return away(State(*(a - b for a, b in zip(one, other, strict=True))))


# --- games with linear gradients -------------------------------------------------------------------------------------


def linear(jacobian: Tensor, first: int) -> Game:
    """Games whose gradients are `jacobian [M, P + Q, P + Q]` times both places; the first player has `first` = P."""

    def gradient(own: slice) -> Gradient:
        return lambda x, y: _times(jacobian[:, own], torch.cat([x, y], 1))

    return gradient(slice(first)), gradient(slice(first, None))


def bilinear(a: Tensor) -> Game:
    """Games in which the first player minimises, and the second maximises, `x' A y`, with `a [M, P, Q]`."""
    return (lambda x, y: _times(a, y)), (lambda x, y: -_times(a.mT, x))


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors[:, :, None])[:, :, 0]


def matrices(game: Game, sizes: tuple[int, int], how: Rules) -> Tensor:
    """The matrix of one update of each game with linear gradients `[M, K, K]`, K = 2 (P + Q); `sizes` are P and Q.

    Found by updating every unit vector, so that it is that of the loop that is played.
    """
    columns = []
    for unit in torch.eye(2 * sum(sizes)).to(how.lr):
        state = State(*(part.expand(len(how.lr), -1) for part in unit.split([*sizes, *sizes])))
        columns.append(torch.cat(update(game, state, how), 1))
    return torch.stack(columns, 2)


def spectral_radius(of: Tensor) -> Tensor:
    """The largest modulus of an eigenvalue of each matrix `[...]`, of `[..., K, K]`."""
    return torch.linalg.eigvals(of).abs().amax(-1)
