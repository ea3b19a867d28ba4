"""Notebook 60: games and a GAN in plain PyTorch, and claims that can come out either way."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from butterfly import game
from butterfly.papers.gidel2019 import games, plays, ring
from butterfly.papers.gidel2019.games import BILINEAR, MOMENTA, SATURATING, STEPS, TWINNED, Params, study
from butterfly.papers.gidel2019.plays import AROUND, AT_ONCE, BY_TURNS, EITHER, ORDERS
from butterfly.papers.gidel2019.ring import LONG, NEGATIVE, POSITIVE, SHORT, ZERO
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import intervals
from tests.conftest import verdicts

TINY = Params(
    games=3,
    games_per_shard=2,
    dimension=2,
    lrs=(0.1, 0.5),
    momenta=(-0.5, 0.0, 0.5),
    play_updates=40,
    play_looks=20,
    single_updates=10,
    network="mlp-1x8",
    seeds=2,
    seeds_per_shard=1,
    gan_updates=8,
    gan_batch=32,
    gan_lrs=(0.05, 0.1),
    gan_first=2,
)
ARMS = list(ring.arms(0.5))


@pytest.fixture(scope="module")
def results(own_store):
    return study.run(TINY)


# --- every cell ------------------------------------------------------------------------------------------------------


def test_every_cell_is_there_once(results):
    looks, gan_looks = len(plays.even_looks(40, 20)), len(plays.even_looks(8, 8))
    keys = {
        "map": (["order", "step", "momentum"], 2 * 40 * 37),
        "portraits": (["play", "step"], 3 * 61),
        "once": (["kind", "seed"], 2 * 3),
        "tuned": (["rotation", "order", "seed"], 5 * 2 * 3),
        "plays": (["game", "order", "momentum", "seed"], 2 * 2 * 3 * 3),
        "course": (["game", "order", "momentum", "seed", "step"], 2 * 2 * 3 * 3 * looks),
        "twins": (["game", "order", "momentum", "seed", "step"], 2 * 2 * 3 * 3 * looks),
        "single": (["order", "momentum", "seed", "size"], 2 * 3 * 3 * 2),
        "noisy": (["momentum", "noise", "seed"], 2 * 2 * 3),
        "gans": (["arm", "lr", "seed", "step"], 10 * 2 * gan_looks),
        "ends": (["arm", "lr", "seed"], 10 * 2),
        "points": (["arm", "lr", "seed", "point"], 10 * games.SHOWN),
        "distance": (["kind", "arm", "seed", "step"], 2 * 3 * 2 * 5),
        "gan_twins": (["kind", "arm", "seed"], 2 * 3 * 2),
    }
    assert set(results) == set(keys)
    for name, (key, count) in keys.items():
        assert len(results[name]) == count, name
        assert not results[name].duplicated(key).any(), name
    for name in ("plays", "single", "noisy", "gans", "ends", "distance", "map", "once"):
        assert not results[name].isna().any(axis=None), name
    assert set(results["points"].seed) == {0}


def test_controls_are_their_parents_and_twins_are_not(results):
    assert (results["plays"].moved == 0).all()
    twins = results["gan_twins"]
    assert (twins[twins.kind == "control"].largest_difference == 0).all()
    assert (twins[twins.kind == "twin"].largest_difference > 0).all()
    assert (results["twins"].query("step == 0").distance > 0).all()


def test_games_do_not_depend_on_how_they_are_grouped(results):
    again = study.run(TINY.model_copy(update={"games_per_shard": 3, "seeds_per_shard": 2}))
    for name, key in (
        ("plays", ["game", "order", "momentum", "seed"]),
        ("noisy", ["momentum", "noise", "seed"]),
        ("once", ["kind", "seed"]),
        ("gan_twins", ["kind", "arm", "seed"]),
    ):
        one, other = (found[name].sort_values(key, ignore_index=True) for found in (results, again))
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-3, atol=1e-6)


# --- games drawn at random -------------------------------------------------------------------------------------------


def test_games_have_the_singular_values_and_curvatures_that_are_asked_for():
    found = plays.drawn([0, 1, 2], 4, 0.5, 0.1)
    for name, low in (("a", 0.5), ("b", 0.5), ("first", 0.1), ("second", 0.1)):
        values = torch.linalg.svdvals(found[name])
        torch.testing.assert_close(values.amax(1), torch.ones(3).double())
        assert (values >= low).all()
    for name in ("first", "second"):
        torch.testing.assert_close(found[name], found[name].mT)
        assert (torch.linalg.eigvalsh(found[name]) > 0).all()
    alone = plays.drawn([2], 4, 0.5)
    assert torch.equal(alone["a"][0], found["a"][2])


def test_turnings_are_orthogonal_and_go_either_way():
    random = torch.Generator().manual_seed(0)
    some = torch.stack([plays.turning(3, random) for _ in range(200)])
    torch.testing.assert_close(some @ some.mT, torch.eye(3).double().expand(200, 3, 3))
    assert some.mean(0).abs().max() < 0.2
    assert 0.3 < (torch.linalg.det(some) > 0).double().mean() < 0.7


def test_a_game_turns_and_descends_by_its_shares():
    found = plays.drawn([0], 3, 0.5, 0.1)
    half = torch.full((1,), 0.5, dtype=torch.float64)
    whole = plays.jacobian(found, half)[0]
    torch.testing.assert_close(whole[:3, 3:], -whole[3:, :3].T)
    torch.testing.assert_close(whole[:3, :3], found["first"][0] / 2)
    assert (plays.jacobian(found, 2 * half)[0][:3, :3] == 0).all()
    other = plays.jacobian(found, half, EITHER)[0]
    torch.testing.assert_close(other[3:, :3], found["b"][0] / 2)
    torch.testing.assert_close(other[:3], whole[:3])


def test_radii_of_simultaneous_updates_are_roots_of_the_eigenvalues():
    """Each eigenvalue e of the gradients gives two of z^2 - (1 + m - lr e) z + m."""
    of = plays.jacobian(plays.drawn([0, 1], 3, 0.5, 0.1), torch.full((2,), 0.6, dtype=torch.float64))
    found = plays.radii(of, plays.ordered(AT_ONCE, [0.3, 0.7], [0.4, -0.3], of))
    for row, (lr, momentum) in enumerate([(0.3, 0.4), (0.7, -0.3)]):
        values = np.linalg.eigvals(of[row].numpy())
        all_roots = [np.roots([1, -(1 + momentum - lr * e), momentum]) for e in values]
        assert found[row].item() == pytest.approx(np.abs(all_roots).max(), rel=1e-9)


def test_radii_of_alternating_updates_of_bilinear_games_are_those_of_their_singular_values():
    a = plays.drawn([0], 3, 0.5)["a"]
    size = torch.linalg.svdvals(a)[0].numpy()
    of = plays.jacobian({"a": a, "first": 0 * a, "second": 0 * a}, torch.ones(1).double())
    found = plays.radii(of, plays.ordered(BY_TURNS, [0.8], [-0.4], of)).item()
    square = np.polymul([1, -0.6, -0.4], [1, -0.6, -0.4])
    roots = [np.abs(np.roots(square + np.array([0, (0.8 * s) ** 2, 0, 0, 0]))).max() for s in size]
    assert found == pytest.approx(max(roots), abs=1e-7)


def test_the_map_is_that_of_the_roots(results):
    table = results["map"].set_index(["order", "step", "momentum"]).radius
    for order, power in ((AT_ONCE, 2), (BY_TURNS, 1)):
        for step, momentum in ((STEPS[9], MOMENTA[8]), (STEPS[30], MOMENTA[25])):
            square = np.polymul(*[[1, -(1 + momentum), momentum]] * 2)
            square[power] += step**2
            assert table[order, step, momentum] == pytest.approx(np.abs(np.roots(square)).max(), abs=1e-6)


def test_the_best_rules_are_the_best_of_the_grid(results):
    tuned = results["tuned"].set_index(["rotation", "order", "seed"])
    of = plays.jacobian(plays.drawn([2], 2, 0.5, 0.1), torch.full((1,), 0.5, dtype=torch.float64))
    found = {
        (lr, momentum): plays.radii(of, plays.ordered(BY_TURNS, [lr], [momentum], of)).item()
        for lr in TINY.lrs
        for momentum in TINY.momenta
    }
    best = min(found, key=found.get)
    row = tuned.loc[(0.5, BY_TURNS, 2)]
    assert row.radius == pytest.approx(found[best], rel=1e-9)
    assert (row.lr, row.momentum) == best
    assert results["tuned"].query("rotation == 1 and order == @AT_ONCE").momentum.isna().all()


# --- plays -----------------------------------------------------------------------------------------------------------


def test_a_play_is_that_of_plain_numpy(results):
    a = plays.drawn([1], 2, 0.5)["a"][0].numpy()
    draw = torch.randn(2, 2, generator=generator("start", 1)).double().numpy()
    x, y = 2.0 * draw / np.linalg.norm(draw)
    u, w, found = np.zeros(2), np.zeros(2), [math.hypot(*x, *y)]
    for _ in range(40):
        u = -0.5 * u - 0.5 * a @ y
        x = x + u
        w = -0.5 * w + 0.5 * a.T @ x
        y = y + w
        found.append(math.hypot(*x, *y))
    own = results["course"].query("game == @BILINEAR and order == @BY_TURNS and momentum == -0.5 and seed == 1")
    own = own.sort_values("step")
    np.testing.assert_allclose(own.distance, np.array(found)[own.step] / 2, rtol=1e-9)
    late = own[own.step >= 20]
    row = results["plays"].query("game == @BILINEAR and order == @BY_TURNS and momentum == -0.5 and seed == 1").iloc[0]
    assert row.slope == pytest.approx(np.polyfit(late.step, np.log(late.distance), 1)[0], rel=1e-9)
    assert row.largest == pytest.approx(max(found) / 2)


def test_a_game_that_saturates_is_what_its_loss_says():
    a = plays.drawn([0], 3, 0.5)["a"]
    x, y = torch.randn(2, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = torch.log(torch.sigmoid(x[0] @ a[0] @ y[0]))
    slopes = torch.autograd.grad(loss, (x, y))
    first, second = plays.saturating(a)
    torch.testing.assert_close(first(x, y), slopes[0])
    torch.testing.assert_close(second(x, y), -slopes[1])
    near = 1e-5 * x.detach(), 1e-5 * y.detach()
    torch.testing.assert_close(2 * first(*near), game.bilinear(a)[0](*near), rtol=1e-4, atol=0)


def test_a_kick_to_a_bilinear_game_grows_by_powers_of_the_matrix(results):
    """By the matrix of one update, written out: alternating, step 0.5, no momentum, in either precision."""
    a, one = plays.drawn([1], 2, 0.5)["a"][0].numpy(), np.eye(2)
    kick = torch.randn(2, 2, generator=generator("kick", 1)).double().numpy().ravel()
    matrix = np.block([[one, -0.5 * a], [0.5 * a.T, one - 0.25 * a.T @ a]])
    own = results["plays"].query("game == @BILINEAR and order == @BY_TURNS and momentum == 0 and seed == 1").iloc[0]
    for column, updates in (("rate", 40), ("early", 2)):
        grown = np.linalg.norm(np.linalg.matrix_power(matrix, updates) @ kick) / np.linalg.norm(kick)
        assert own[column] == pytest.approx(math.log(grown) / updates, rel=1e-5)
    off = results["single"].groupby("size").off.apply(lambda values: values.abs().mean())
    assert off[1e-6] > 10 * off[1e-4] > 0


def test_a_loss_that_saturates_changes_how_kicks_grow(results):
    linear, curved = (results["plays"][results["plays"].game == game].rate for game in (BILINEAR, SATURATING))
    assert not np.allclose(linear, curved, rtol=1e-3)


def test_without_momentum_turns_keep_what_they_conserve(results):
    own = results["plays"].query("game == @BILINEAR and order == @BY_TURNS and momentum == 0")
    assert own.largest.between(1, TINY.bounded).all()
    assert TINY.bounded == pytest.approx(math.sqrt(2.5 / 1.5))


def test_rates_are_read_off_a_planted_play():
    steps = np.arange(0, 101, 5)
    key = {"game": BILINEAR, "order": BY_TURNS, "momentum": 0.5, "seed": 0}
    course = pd.DataFrame(key | {"step": steps, "distance": np.exp(0.02 * steps)})
    twins = course.assign(distance=1e-6 * np.exp(np.where(steps <= 5, 0.3, 0.1) * steps))
    (row,) = games.with_rates(pd.DataFrame([key]), course, twins).to_dict("records")
    found = {name: row[name] for name in ("slope", "rate", "early")}
    assert found == pytest.approx({"slope": 0.02, "rate": 0.1, "early": 0.3})


def test_noise_disturbs_and_its_absence_does_not(results):
    quiet = study.run(TINY.model_copy(update={"noises": (1e-9, 0.2)}))
    rates = quiet["noisy"].query("noise == 1e-9 and momentum == -0.5").set_index("seed").rate
    own = quiet["plays"].query("game == @BILINEAR and order == @BY_TURNS and momentum == -0.5").set_index("seed").slope
    np.testing.assert_allclose(rates, own, rtol=0.05, atol=1e-4)
    noisy = results["noisy"].query("noise == 0.8 and momentum == -0.5").set_index("seed").rate
    assert (noisy - own).abs().max() > 1e-3


# --- the GAN ---------------------------------------------------------------------------------------------------------


def plain_network(model, row):
    """The network of a row as `torch.nn`, one hidden layer."""
    tensors = {name: view[0] for name, view in model.layout.tensors(row[None]).items()}
    layers = []
    for k in range(2):
        weight = tensors[f"linear{k}.weight"]
        layers.append(torch.nn.Linear(*weight.shape))
        layers[-1].weight.data, layers[-1].bias.data = weight.T.clone(), tensors[f"linear{k}.bias"].clone()
    return torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])


def moved(network, moves):
    """Heavy-ball momentum is added up by hand: an optimiser takes seconds to import."""
    with torch.no_grad():
        for parameter, move in zip(network.parameters(), moves, strict=True):
            parameter.add_(move)


@pytest.mark.parametrize("alternating", [False, True])
def test_a_gan_is_trained_as_in_plain_pytorch(alternating):
    gan, batches = ring.Gan("mlp-1x8"), ring.Batches([5], 16)
    state = gan.start([5])
    judge, maker = (plain_network(model, row[0]) for model, row in zip((gan.discriminator, gan.generator), state[:2],
                                                                       strict=True))  # fmt: skip
    moves = [torch.zeros_like(parameter) for parameter in judge.parameters()]
    how = ring.rules_of([(ring.Arm(0.5, 2.0, alternating), 0.1)], state.first)
    same = ring.Batches([5], 16)
    for _ in range(4):
        points, numbers = batches.another()
        state = game.update(gan.game(points, numbers), state, how)
        points, numbers = same.another()
        out = judge(torch.cat([points[0], maker(numbers[0, 0]).detach()]))[:, 0]
        truth = torch.cat([torch.ones(16), torch.zeros(16)])
        slopes = torch.autograd.grad(2 * cross_entropy(out, truth), list(judge.parameters()))
        moves = [0.5 * move - 0.2 * slope for move, slope in zip(moves, slopes, strict=True)]
        if alternating:
            moved(judge, moves)
        made = maker(numbers[1, 0])
        loss = torch.log(1 - torch.sigmoid(judge(made)[:, 0])).mean()
        moved(maker, [-0.1 * slope for slope in torch.autograd.grad(loss, list(maker.parameters()))])
        if not alternating:
            moved(judge, moves)
    for net, model, row in zip((judge, maker), (gan.discriminator, gan.generator), state[:2], strict=True):
        tensors = model.layout.tensors(row)
        for k, layer in ((0, net[0]), (1, net[2])):
            torch.testing.assert_close(tensors[f"linear{k}.weight"][0], layer.weight.T, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(tensors[f"linear{k}.bias"][0], layer.bias, rtol=1e-4, atol=1e-6)


def test_arms_differ_in_what_they_are_called():
    found = ring.arms(0.5)
    assert (found[NEGATIVE].momentum, found[POSITIVE].momentum) == (-0.5, 0.5)
    # What momentum adds up to in the long run.
    assert found[SHORT].step == pytest.approx(1 / (1 - found[NEGATIVE].momentum))
    assert found[LONG].step == pytest.approx(1 / (1 - found[POSITIVE].momentum))
    assert [name for name, arm in found.items() if not arm.alternating] == [ring.AT_ONCE]
    assert tuple(name for name in found if name in TWINNED) == TWINNED
    cells = ring.cells([0.1, 0.2], 0.2)
    assert len(cells) == len(set(cells)) == 10
    assert {name for name, lr in cells if lr == 0.2} == set(found)
    assert {name for name, lr in cells if lr == 0.1} == set(ring.SWEPT)


def test_the_real_points_cover_the_ring_and_a_mode_is_an_eighth():
    points = ring.real(20_000, torch.Generator().manual_seed(0))
    shares = ring.shares(points[None])[0]
    assert shares.sum() == pytest.approx(1 - math.exp(-2), abs=0.01)
    np.testing.assert_allclose(shares, (1 - math.exp(-2)) / 8, atol=0.01)
    one = ring.centres()[3] + torch.zeros(1, 100, 2)
    assert ring.shares(one)[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert (ring.shares(torch.full((1, 10, 2), torch.nan)) == 0).all()
    assert ring.centres().norm(dim=1).numpy() == pytest.approx(np.ones(8))
    assert (ring.centres()[1] - ring.centres()[0]).norm().item() == pytest.approx(2 * math.sin(math.pi / 8))


def test_what_is_covered_is_read_off_planted_shares():
    shares = np.zeros((2, 6, 8))
    shares[0, :, 0] = 1.0
    shares[1] = 0.125
    shares[1, 0] = [0.125, 0.03, 0.04, 0, 0, 0, 0, 0.5]
    config = {"momentum": 0.5, "seeds": [0], "kick": 0, "lrs": [0.1], "lr": 0.1}
    found = {"looks": np.array([0, 8]), "shares": shares, "distance": np.ones((2, 6)), "points": np.zeros((6, 3, 2))}
    gans = games._of_gans(games.Shard(games.ring, config, found=found))["gans"]
    start, first, second = gans[gans.step == 0], *(gans[(gans.step == 8) & (gans.arm == arm)] for arm in ARMS[:2])
    assert (start.covered == 0.125).all()
    assert (start.modes == 1).all()
    assert first.covered.item() == pytest.approx(0.125 + 0.03 + 0.04 + 0.125)
    assert (first.modes.item(), second.modes.item()) == (3, 8)
    assert second.covered.item() == pytest.approx(1)
    last = games.ends(gans).set_index("arm")
    assert last.covered[ARMS[0]] == pytest.approx(0.32)
    assert (last.begun == 0.125).all()


def test_the_best_step_of_a_seed_is_that_of_the_others():
    """Of three seeds, each is best with a step of its own; the last one outweighs the others."""
    covers = pd.DataFrame([[0.5, 0.0, 0.1], [0.0, 0.4, 0.1], [0.0, 0.0, 0.9]], columns=[0.1, 0.2, 0.3])
    ends = covers.rename_axis("seed").melt(var_name="lr", value_name="covered", ignore_index=False).reset_index()
    found = games.at_best(ends.assign(arm=ZERO), ZERO)
    assert found.to_dict() == {0: 0.1, 1: 0.1, 2: 0.0}


def test_growth_of_kicks_is_read_off_planted_distances():
    table = pd.DataFrame(
        {"kind": ["twin"] * 3 + ["control"] * 3, "arm": ZERO, "seed": 0, "step": [4, 6, 8] * 2}
    ).assign(distance=[0.1, 5.0, 10.0, 0.0, 0.0, 0.0])
    found = games.gan_twins(table, 2).set_index("kind")
    assert found.grown["twin"] == pytest.approx(2)
    assert found.started["twin"] == pytest.approx(math.log10(50))
    assert (found.largest_difference["control"], found.largest_difference["twin"]) == (0, 10)


def test_twins_are_kicked_by_what_is_asked():
    gan = ring.Gan("mlp-2x64")
    state = gan.start([0, 1])
    away = game.apart(state, gan.kicked(state, [0, 1], 0.01))
    units = [model.layout.scale[model.layout.select()].norm().item() for model in (gan.discriminator, gan.generator)]
    np.testing.assert_allclose(away, 0.01 * math.hypot(*units), rtol=1e-4)


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"momenta": [-0.5, 0.5]}, "below, at and above 0"),
        ({"play_momenta": [0.0, 0.5]}, "below, at and above 0"),
        ({"play_momenta": [-1.0, 0.0, 0.5]}, "between -1 and 1"),
        ({"rotations": [0.25, 0.5, 0.75]}, "give rising shares"),
        ({"lrs": [0.5, 0.1]}, "give rising sizes"),
        ({"noise": 0.3}, "noises that hold the noise"),
        ({"play_lr": 1.0}, "unstable from 1 on"),
        ({"single_updates": 1000}, "at most play_updates"),
        ({"gan_batch": 40}, "multiple of 32"),
        ({"moments": [0.0]}, "did you mean 'momenta'"),
    ],
)
def test_nonsense_is_refused_with_a_reason(values, reason):
    with pytest.raises(ParameterError, match=reason):
        Params.read(values, "here")


def test_shards_hold_nothing_that_does_not_matter():
    more = study.shards(TINY.model_copy(update={"profile": "other", "games": 6, "seeds": 4}))
    changed = [s.key for s in study.shards(TINY) if s.key not in {shard.key for shard in more}]
    assert len(changed) == 3  # the last shard of games was not full
    kicked = study.shards(TINY.model_copy(update={"gan_size": 0.1, "noises": (0.2, 0.9), "noise": 0.9}))
    differ = {a.compute.__name__ for a, b in zip(study.shards(TINY), kicked, strict=True) if a.key != b.key}
    assert differ == {"ring", "disturb"}


# --- claims on made-up worlds ----------------------------------------------------------------------------------------

PARAMS = Params(play_momenta=(-0.5, 0.0, 0.5))


def world(
    turns=0.9,  # radius of alternating over simultaneous updates, below the limit
    limit=1.2,  # radius of alternating updates beyond it
    rises=0.1,  # change of the radius with positive momentum
    most=0.95,  # share of zero-sum games on which turns are more stable
    general=0.95,  # and of others
    faster=2.0,  # rate of alternating over simultaneous updates
    rotated=-0.3,  # best momentum of games that mostly turn
    curved=0.3,  # and of those that are mostly curvature
    slopes=(0.1, 0.0, -0.05),  # of plays: at once, by turns without momentum, and with negative momentum
    largest=1.0,
    noisy=(-0.01, 0.01),  # rates under noise: with negative momentum, without
    whole=(1.0, 1.0),  # growth of kicks over the log radius: where it diverges, and where it converges
    early=(1.0, 1.0),
    beyond=(1.0, 1.0),  # the same where the loss saturates
    off=(0.05, 0.01),  # kicks in single precision, by size
    covers=None,
    easy=0.3,  # what GANs without momentum cover with short steps
    hard=0.6,  # and those with negative momentum with long ones
    ends=2.5,  # growth of kicks to GANs to the end, without momentum
    grown=(0.3, 0.8, 1.3),  # and at first: negative momentum, none, positive
    control=0.0,
    moved=0.0,
):
    """Twenty games and ten GANs in which every effect has its size."""
    random = np.random.default_rng(0)

    def about(value, by=0.03):
        return value + by * random.normal()

    found = {"map": _map(turns, limit, rises)}
    seeds = range(20)
    found["once"] = pd.DataFrame(
        [{"kind": kind, "seed": seed, AT_ONCE: 1.0, BY_TURNS: 0.9 if seed < share * 20 else 1.1}
         for kind, share in ((AROUND, most), (EITHER, general)) for seed in seeds]
    )  # fmt: skip
    best = {0.0: curved, 0.25: curved, 0.5: (rotated + curved) / 2, 0.75: rotated, 1.0: 1.5 * rotated}
    found["tuned"] = pd.DataFrame(
        [{"rotation": r, "order": order, "seed": seed, "momentum": about(best[r]),
          "radius": np.exp(-about(0.1 * (faster if order == BY_TURNS else 1.0), 0.002))}
         for r in best for order in ORDERS for seed in seeds]
    )  # fmt: skip
    rows = []
    for seed in seeds:
        for order, momentum, slope in ((AT_ONCE, 0.0, slopes[0]), (AT_ONCE, -0.5, slopes[0]), (AT_ONCE, 0.5, slopes[0]),
                                       (BY_TURNS, 0.0, slopes[1]), (BY_TURNS, -0.5, slopes[2]),
                                       (BY_TURNS, 0.5, 0.1)):  # fmt: skip
            log = {0.0: 0.1, -0.5: -0.05, 0.5: 0.2}[momentum]
            place = int(momentum < 0)
            key = {"seed": seed, "order": order, "momentum": momentum, "radius": np.exp(log), "moved": moved}
            key |= {"slope": slope, "largest": largest, "early": log * about(early[place])}
            rows.append(key | {"game": BILINEAR, "rate": log * about(whole[place])})
            rows.append(key | {"game": SATURATING, "rate": log * about(beyond[place])})
    found["plays"] = pd.DataFrame(rows)
    found["noisy"] = pd.DataFrame(
        [{"momentum": momentum, "noise": noise, "seed": seed, "rate": about(rate, 0.001)}
         for momentum, rate in zip((-0.5, 0.0), noisy, strict=True) for noise in PARAMS.noises for seed in seeds]
    )  # fmt: skip
    found["single"] = pd.DataFrame(
        [{"order": BY_TURNS, "momentum": 0.0, "size": size, "seed": seed, "off": about(one, 0.003) * (-1) ** seed}
         for size, one in zip(PARAMS.single_sizes, off, strict=True) for seed in seeds]
    )  # fmt: skip
    part = {NEGATIVE: 0.8, ZERO: 0.5, POSITIVE: 0.1, SHORT: 0.5, LONG: 0.4, ring.AT_ONCE: 0.3} | (covers or {})
    cells = [(arm, PARAMS.gan_lr, value) for arm, value in part.items()]
    cells += [(ZERO, 0.05, easy), (NEGATIVE, 0.05, 0.1), (ZERO, 0.15, min(0.3, hard)), (NEGATIVE, 0.15, hard)]
    found["ends"] = pd.DataFrame(
        [{"arm": arm, "lr": lr, "seed": seed, "covered": about(value)}
         for arm, lr, value in cells for seed in range(10)]
    )  # fmt: skip
    cells = [(arm, seed, value) for arm, value in zip(TWINNED, grown, strict=True) for seed in range(10)]
    twins = pd.DataFrame(
        [{"arm": arm, "seed": seed, "grown": about(ends), "started": about(value)} for arm, seed, value in cells]
    ).assign(kind="twin", largest_difference=1.0)
    controls = twins.assign(kind="control", grown=np.nan, started=np.nan, largest_difference=control)
    found["gan_twins"] = pd.concat([twins, controls], ignore_index=True)
    return found


def _map(turns, limit, rises):
    table = pd.DataFrame(
        [(o, s, m) for o in ORDERS for s in STEPS for m in MOMENTA], columns=["order", "step", "momentum"]
    )
    beyond = (table.order == BY_TURNS) & (table.step > 2 * (1 + table.momentum))
    radius = np.where(table.order == BY_TURNS, turns, 1.0) * np.exp(rises * table.momentum)
    return table.assign(radius=np.where(beyond, limit, radius))


CLAIMS = [q.id for q in study.questions]


@pytest.fixture(scope="module")
def claims():
    return study.judge(PARAMS, world())


def test_every_claim_is_supported_in_a_world_made_for_it(claims):
    assert verdicts(claims) == dict.fromkeys(CLAIMS, "supported")
    assert set.union(*(ids for ids, _ in CHANGES)) == set(CLAIMS)


CHANGES = [  # of parts of the world that have nothing to do with each other
    ({"NM01", "NM02", "NM05", "NM08"}, {"turns": 1.01, "slopes": (-0.1, 0.0, -0.05), "whole": (0.5, 1.0),
                                        "ends": 0.5}),
    ({"NM01b", "NM02b", "NM05b", "NM08b"}, {"limit": 0.99, "largest": 1.5, "whole": (1.0, 1.3),
                                            "grown": (1.8, 0.8, 1.3)}),
    ({"NM01c", "NM02c", "NM05c", "NM08c"}, {"most": 0.2, "slopes": (0.1, 0.0, 0.05), "early": (1.3, 1.0),
                                            "grown": (0.3, 0.8, 0.3)}),
    ({"NM01d", "NM02d", "NM05d", "NM04", "NM04e"}, {"general": 0.2, "noisy": (0.01, 0.01), "early": (1.0, 0.5),
                                                    "covers": {ZERO: 0.9}}),
    ({"NM01e", "NM02e", "NM06", "NM04b", "NM04d"}, {"faster": 0.8, "noisy": (-0.01, -0.01), "off": (0.2, 0.01),
                                                    "covers": {POSITIVE: 0.7}}),
    ({"NM03", "NM06b", "NM04c"}, {"rises": -0.1, "off": (0.05, 0.2), "covers": {SHORT: 0.9}}),
    ({"NM03b", "NM03d", "NM07", "NM04d"}, {"rotated": 0.4, "beyond": (0.2, 1.0), "covers": {LONG: 0.0}}),
    ({"NM03c", "NM03d", "NM07b", "NM04e"}, {"curved": -0.35, "beyond": (1.0, 0.2), "easy": 0.95}),
    ({"NM04f"}, {"covers": {ring.AT_ONCE: 0.7}}),
    ({"NM04g"}, {"hard": 0.0, "easy": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("ids", "change"), CHANGES)
def test_every_claim_can_be_contradicted_by_its_own_change_only(ids, change):
    found = verdicts(study.judge(PARAMS, world(**change)))
    assert {id for id, verdict in found.items() if verdict != "supported"} == ids
    assert {found[id] for id in ids} == {"contradicted"}


def test_estimates_are_what_was_planted(claims):
    found = {c.id: c.estimate for c in claims}
    planted = {"NM01": 0.9, "NM01b": 1.2, "NM01c": 0.95, "NM01e": 2.0, "NM03b": -0.3, "NM03c": 0.3, "NM02": 0.1}
    planted |= {"NM02d": -0.01, "NM05": 1.0, "NM05b": 1.0, "NM06": 0.05, "NM04": 0.3, "NM04b": -0.4, "NM08": 2.5}
    planted |= {"NM08b": -0.5, "NM02b": 1 / PARAMS.bounded}
    assert {id: found[id] for id in planted} == pytest.approx(planted, rel=0.1)


def test_units_are_games_and_seeds(claims):
    found = {c.id: c.n for c in claims if c.kind == "finding"}
    of_gans = {id: n for id, n in found.items() if id[:4] in ("NM04", "NM08")}
    assert set(of_gans.values()) == {10}
    assert {n for id, n in found.items() if id not in of_gans} == {20}


def test_findings_could_come_out_otherwise_and_their_power_is_known(claims):
    for claim in claims:
        if claim.kind == "finding":
            assert claim.power > 0.5, claim.id


@pytest.mark.parametrize(
    ("change", "void"),
    [
        ({"moved": 1e-9}, {id for id in CLAIMS if id[:4] in ("NM05", "NM06", "NM07")}),
        ({"control": 1e-9}, {id for id in CLAIMS if id.startswith("NM08")}),
        (
            {"covers": dict.fromkeys(ARMS, 0.1), "easy": 0.1, "hard": 0.1},
            {id for id in CLAIMS if id[:4] in ("NM04", "NM08")},
        ),
        ({"ends": math.inf}, {id for id in CLAIMS if id.startswith("NM08")}),
    ],
)
def test_claims_are_void_where_what_they_rest_on_is_broken(change, void):
    made = study.judge(PARAMS, world(**change))
    assert {c.id for c in made if c.void} == void
    assert {c.verdict for c in made if c.void} == {"inconclusive"}


def test_games_that_converge_with_nothing_void_what_is_tuned():
    tables = world()
    tables["tuned"].loc[(tables["tuned"].seed == 3) & (tables["tuned"].rotation == 0.5), "radius"] = 1.0
    made = study.judge(PARAMS, tables)
    assert [c.id for c in made if c.void] == ["NM01e"]


def test_a_gan_that_is_lost_covers_nothing_and_counts():
    tables = world()
    ends = tables["ends"]
    ends.loc[(ends.arm == POSITIVE), "covered"] = 0.0
    (claim,) = (c for c in study.judge(PARAMS, tables) if c.id == "NM04b")
    assert (claim.verdict, claim.void) == ("supported", "")
    assert claim.reach == intervals.CORRELATION
