"""Games, against a loop over single games in plain Python, and against the roots of characteristic polynomials."""

import numpy as np
import pytest
import torch

from butterfly import game
from butterfly.game import State

CASES = [(order, momentum) for order in (False, True) for momentum in (-0.5, 0.0, 0.5)]


def plain(a, x, y, lr, momentum, alternating, updates):
    """A bilinear game by numpy, one pair of steps and momenta for both players; the places after every update."""
    u, w, found = np.zeros_like(x), np.zeros_like(y), []
    for _ in range(updates):
        u = momentum[0] * u - lr[0] * (a @ y)
        seen = x + u if alternating else x
        w = momentum[1] * w + lr[1] * (a.T @ seen)
        x, y = x + u, y + w
        found.append(np.concatenate([x, y]))
    return np.array(found)


def roots(step, momentum, alternating):
    """The eigenvalues of one update of the bilinear game with step times singular value `step`: (z-1)^2 (z-m)^2 is
    -step^2 z^2, or with turns -step^2 z^3."""
    square = np.polymul([1, -(1 + momentum), momentum], [1, -(1 + momentum), momentum])
    square[1 if alternating else 2] += step**2
    return np.abs(np.roots(square)).max()


@pytest.mark.parametrize(("alternating", "momentum"), CASES)
def test_a_stack_is_played_as_single_games_are(alternating, momentum):
    random = np.random.default_rng(0)
    a, x, y = random.normal(size=(3, 2, 4)), random.normal(size=(3, 2)), random.normal(size=(3, 4))
    lr, momenta = [(0.1, 0.2)] * 3, [(momentum, momentum / 2)] * 3
    how = game.rules(lr, momenta, [alternating] * 3, torch.zeros(1, dtype=torch.float64))
    state = game.begin(torch.from_numpy(x), torch.from_numpy(y))
    for step in range(5):
        state = game.update(game.bilinear(torch.from_numpy(a)), state, how)
        for row in range(3):
            expected = plain(a[row], x[row], y[row], lr[row], momenta[row], alternating, step + 1)[-1]
            np.testing.assert_allclose(torch.cat(state[:2], 1)[row], expected, rtol=1e-12)


def test_orders_and_momenta_mix_in_one_stack_and_do_not_touch_each_other():
    one = torch.ones(len(CASES), 1, dtype=torch.float64)
    how = game.rules([0.3] * len(CASES), [m for _, m in CASES], [order for order, _ in CASES], one)
    whole = game.begin(one, 2 * one)
    single = [game.begin(one[:1], 2 * one[:1]) for _ in CASES]
    for _ in range(4):
        whole = game.update(game.bilinear(one[:, :, None]), whole, how)
        single = [
            game.update(game.bilinear(one[:1, :, None]), own, game.rows(how, torch.tensor([row])))
            for row, own in enumerate(single)
        ]
    for part, parts in zip(whole, zip(*single, strict=True), strict=True):
        assert torch.equal(part, torch.cat(parts))


@pytest.mark.parametrize("step", [0.05, 0.5, 0.9, 1.7])
@pytest.mark.parametrize(("alternating", "momentum"), CASES)
def test_the_radius_is_that_of_the_characteristic_polynomial(step, alternating, momentum):
    how = game.rules([step / 3], [momentum], [alternating], torch.zeros(1, dtype=torch.float64))
    matrix = game.matrices(game.bilinear(torch.full((1, 1, 1), 3.0, dtype=torch.float64)), (1, 1), how)
    assert matrix.shape == (1, 4, 4)
    assert game.spectral_radius(matrix).item() == pytest.approx(roots(step, momentum, alternating), abs=1e-6)


def test_the_matrix_of_an_update_updates():
    random = torch.Generator().manual_seed(0)
    jacobian = torch.randn(2, 5, 5, generator=random, dtype=torch.float64)
    state = State(*(torch.randn(2, size, generator=random, dtype=torch.float64) for size in (2, 3, 2, 3)))
    how = game.rules([0.1, 0.2], [0.5, -0.5], [True, False], jacobian)
    played = game.linear(jacobian, 2)
    found = (game.matrices(played, (2, 3), how) @ torch.cat(state, 1)[:, :, None])[:, :, 0]
    torch.testing.assert_close(found, torch.cat(game.update(played, state, how), 1))


def test_a_bilinear_game_is_linear():
    random = torch.Generator().manual_seed(0)
    a = torch.randn(2, 3, 3, generator=random, dtype=torch.float64)
    x, y = torch.randn(2, 2, 3, generator=random, dtype=torch.float64)
    nothing = torch.zeros_like(a)
    jacobian = torch.cat([torch.cat([nothing, a], 2), torch.cat([-a.mT, nothing], 2)], 1)
    for one, other in zip(game.bilinear(a), game.linear(jacobian, 3), strict=True):
        torch.testing.assert_close(one(x, y), other(x, y))


def test_distances_count_places_and_not_moves():
    place, move = torch.tensor([[3.0]]), torch.tensor([[100.0]])
    assert game.away(State(place, torch.tensor([[4.0]]), move, move)).item() == 5
    here, there = State(place, place, move, move), State(place + 6, place - 8, -move, move)
    assert game.apart(here, there).item() == 10


def test_rows_and_joined_are_inverse():
    how = game.rules([0.1, 0.2], [(0.5, 0.0), (0.0, 0.5)], [True, False], torch.zeros(1))
    assert how.lr.tolist() == [[pytest.approx(0.1)] * 2, [pytest.approx(0.2)] * 2]
    parts = [game.rows(how, torch.tensor([row])) for row in (0, 1)]
    assert all(torch.equal(a, b) for a, b in zip(game.joined(*parts), how, strict=True))
