"""Notebook 60: two players who descend against each other, at once or by turns, with momentum of either sign.

Of games with linear gradients one update is a matrix, whose spectral radius tells what becomes of any distance. So it
is told how stable each order and momentum is, games that are drawn at random are played, with noise and without, and a
kick to a player is watched as notebook 03 watches kicks in training: here its growth is known. Then a GAN on a ring of
Gaussians, and twins of it.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import game
from butterfly.game import State
from butterfly.papers.gidel2019 import PAPER
from butterfly.papers.gidel2019 import ring as rings
from butterfly.papers.gidel2019.plays import AROUND, AT_ONCE, BY_TURNS, EARLY, EITHER, ORDERS, cut, drawn, even_looks
from butterfly.papers.gidel2019.plays import follow, jacobian, ordered, places, radii, saturating, scaled, single
from butterfly.papers.gidel2019.ring import LONG, NEGATIVE, POSITIVE, SHORT, ZERO
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, Kind, Origin, Shard, Study, Tables, above, below, between
from butterfly.study import grid, intervals, lost, parameters, stacked
from butterfly.study.claims import differing_controls

BILINEAR, SATURATING = "bilinear", "saturating"  # games that are played
TWINNED = NEGATIVE, ZERO, POSITIVE  # the arms of the GAN that have twins
LAST = 0.75  # part of training from which on a GAN is judged, as it goes round and round
FAIR = 1 / rings.MODES
THERE = 0.25  # of its fair share: a mode with less is missing
SHOWN = 500  # points of each GAN that are kept for a picture


class Params(parameters.Params):
    """Parameters of notebook 60; a game's largest singular value and curvature are 1."""

    games: int = Field(8, ge=2)  # drawn at random
    games_per_shard: int = Field(8, ge=1)
    dimension: int = Field(3, ge=1)  # of each player
    least: float = Field(0.5, gt=0, le=1)  # singular value
    flattest: float = Field(0.1, gt=0, le=1)  # curvature
    rotations: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)  # share of what turns, the rest being curvature
    lrs: tuple[float, ...] = (0.1, 0.4, 0.8, 1.6, 3.2)  # tried for each game
    momenta: tuple[float, ...] = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)
    drawn_lrs: tuple[float, float] = (0.02, 1.6)  # between which a step is drawn for each game
    play_lr: float = Field(0.5, gt=0)
    play_momenta: tuple[float, ...] = (-0.5, 0.0, 0.5)
    play_updates: int = Field(200, ge=40)
    play_looks: int = Field(60, ge=20)
    play_start: float = Field(2.0, gt=0)  # distance from the equilibrium
    size: float = Field(1e-6, gt=0)  # of kicks in double precision, over the distance of the start
    single_sizes: tuple[float, ...] = (1e-6, 1e-4)  # and in single precision
    single_updates: int = Field(100, ge=1)
    noises: tuple[float, ...] = (0.2, 0.8)
    noise: float = 0.2  # the one that claims are about
    network: str = "mlp-2x64"  # of both players of the GAN
    seeds: int = Field(2, ge=1)  # of GANs
    seeds_per_shard: int = Field(2, ge=1)
    gan_updates: int = Field(60, ge=8)
    gan_batch: int = Field(64, ge=32, multiple_of=32)  # so that kernels treat all members alike
    gan_lrs: tuple[float, ...] = (0.05, 0.1, 0.15)
    gan_lr: float = 0.1  # the one at which arms are compared, and twins kicked
    gan_momentum: float = Field(0.5, gt=0, lt=1)
    gan_looks: int = Field(8, ge=8)
    gan_kick: float = Field(50.0, ge=0, lt=100)  # when twins are kicked, in percent of the updates
    gan_size: float = Field(1e-6, gt=0)  # in norms of the initial weights
    gan_first: int = Field(8, ge=1)  # updates after the kick in which its first growth is measured

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("lrs", "drawn_lrs", "single_sizes", "noises", "gan_lrs"):
            parameters.rising_sizes(name, getattr(self, name))
        for name in ("momenta", "play_momenta"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or 0 not in values or not -1 < values[0] < 0 < values[-1] < 1:
                raise ValueError(
                    f"{name} = {list(values)}: give rising numbers between -1 and 1, below, at and above 0"
                )
        needed = {0.25, 0.5, 0.75, 1.0}
        if not needed <= set(self.rotations) or list(self.rotations) != sorted(set(self.rotations)):
            raise ValueError(f"rotations = {list(self.rotations)}: give rising shares, {sorted(needed)} among them")
        if len(self.lrs) < 2 or len(self.single_sizes) < 2 or len(self.gan_lrs) < 2:
            raise ValueError("give two or more lrs, single_sizes and gan_lrs")
        if self.noise not in self.noises or self.gan_lr not in self.gan_lrs:
            raise ValueError("give noises that hold the noise, and gan_lrs that hold the gan_lr")
        if self.play_lr >= self.limit:
            raise ValueError(f"play_lr = {self.play_lr:g}: alternating play is unstable from {self.limit:g} on")
        if self.single_updates > self.play_updates:
            raise ValueError(f"single_updates = {self.single_updates}: give at most play_updates = {self.play_updates}")
        if self.kicked + self.gan_first > self.gan_updates:
            raise ValueError(f"gan_first = {self.gan_first}: give at most {self.gan_updates - self.kicked}")
        return self

    @property
    def kicked(self) -> int:
        """The update before which twins of GANs are kicked."""
        return round(self.gan_kick / 100 * self.gan_updates)

    @property
    def limit(self) -> float:
        """The step from which on alternating play of bilinear games is unstable at the most negative momentum."""
        return 2 * (1 + self.play_momenta[0])

    @property
    def negative(self) -> float:
        """The most negative momentum of plays."""
        return self.play_momenta[0]

    @property
    def bounded(self) -> float:
        """How much further from the equilibrium an alternating play without momentum can get than it was."""
        return math.sqrt((2 + self.play_lr) / (2 - self.play_lr))

    @property
    def square(self) -> str:
        """The games that are drawn, in words."""
        return f"{self.dimension} parameters a player"


study = Study("60_games", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """The map of radii; for every few games their radii, plays and noisy plays; for every few seeds GANs."""
    common = {"device": params.device}
    shape = {"dimension": params.dimension, "least": params.least}
    own = common | shape | {"flattest": params.flattest, "rotations": list(params.rotations)}
    spectrum = own | {"lrs": list(params.lrs), "momenta": list(params.momenta), "drawn": list(params.drawn_lrs)}
    plays = common | shape | {"lr": params.play_lr, "updates": params.play_updates, "looks": params.play_looks}
    single = {"single_sizes": list(params.single_sizes), "single_updates": params.single_updates}
    watched = plays | single | {"momenta": list(params.play_momenta), "start": params.play_start, "size": params.size}
    noisy = plays | {"momenta": [params.negative, 0.0], "noises": list(params.noises)}
    gan = common | {"network": params.network, "updates": params.gan_updates, "batch": params.gan_batch}
    gan |= {"lrs": list(params.gan_lrs), "lr": params.gan_lr, "momentum": params.gan_momentum}
    gan |= {"looks": params.gan_looks, "kick": params.kicked, "size": params.gan_size, "first": params.gan_first}
    shards = [Shard(scan, common)]
    for few in params.few("games"):
        shards += [Shard(compute, config | {"seeds": few}) for compute, config in
                   ((spectra, spectrum), (play, watched), (disturb, noisy))]  # fmt: skip
    return shards + [Shard(ring, gan | {"seeds": few}) for few in params.few()]


# --- shards ----------------------------------------------------------------------------------------------------------

STEPS = np.arange(1, 41) / 20  # of the map: step times singular value
MOMENTA = np.arange(-18, 19) / 20
PORTRAITS = (AT_ONCE, 0.0), (BY_TURNS, 0.0), (BY_TURNS, -0.5)


@study.shard
def scan(bench: Bench) -> Arrays:
    """The bilinear game of one parameter a player: spectral radius over orders, steps and momenta `[2, L, B]`, and for
    some of the rules a play from the same start `[T, C, 2]`."""
    lr, momentum = torch.tensor(list(product(STEPS, MOMENTA)), dtype=torch.float64).T
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64).expand(len(lr), 2, 2)
    found = [radii(turn, ordered(order, lr, momentum, turn)).numpy() for order in ORDERS]
    one = torch.ones(len(PORTRAITS), 1, dtype=torch.float64)
    orders, momenta = zip(*PORTRAITS, strict=True)
    how = game.rules([0.3] * len(one), momenta, [order == BY_TURNS for order in orders], one)
    states = [game.begin(one, one)]
    for _ in range(60):
        states.append(game.update(game.bilinear(one[:, :, None]), states[-1], how))
    places = np.array([torch.cat([state.first, state.second], 1).numpy() for state in states])
    return {"radius": np.reshape(found, (len(ORDERS), len(STEPS), len(MOMENTA))), "portraits": places}


@study.shard
def spectra(bench: Bench) -> Arrays:
    """Spectral radii of games drawn at random.

    Of zero-sum games over rotations, orders, games, steps and momenta `[R, 2, G, L, B]`; and with a rotation, step and
    momentum `chosen` for each game at random `[G, 3]`, `once`, over kinds, orders and games `[2, 2, G]`.
    """
    count, axes = len(bench.seeds), (bench["lrs"], bench["momenta"])
    games = drawn(bench.seeds, bench["dimension"], bench["least"], bench["flattest"])
    cells = torch.tensor(list(product(*axes)), dtype=torch.float64)
    lr, momentum = cells.repeat(count, 1).T
    radius = []
    for rotation in bench["rotations"]:
        of = jacobian(games, torch.full((count,), rotation, dtype=torch.float64)).repeat_interleave(len(cells), 0)
        radius.append([radii(of, ordered(order, lr, momentum, of)).numpy() for order in ORDERS])
    chosen = torch.stack([_chosen(seed, bench["drawn"], bench["momenta"]) for seed in bench.seeds])
    rotation, lr, momentum = chosen.T
    kinds = [jacobian(games, rotation, kind) for kind in (AROUND, EITHER)]
    once = [[radii(of, ordered(order, lr, momentum, of)).numpy() for order in ORDERS] for of in kinds]
    shape = len(bench["rotations"]), len(ORDERS), count, *map(len, axes)
    return {"radius": np.reshape(radius, shape), "chosen": chosen.numpy(), "once": np.array(once)}


def _chosen(seed: int, lrs: Sequence[float], momenta: Sequence[float]) -> Tensor:
    """A rotation, a step and a momentum for one game `[3]`, evenly over their ranges, the step on a log scale."""
    rotation, lr, momentum = torch.rand(3, generator=generator("rules", seed), dtype=torch.float64)
    step = lrs[0] * (lrs[-1] / lrs[0]) ** lr
    return torch.stack([rotation, step, momenta[0] + (momenta[-1] - momenta[0]) * momentum])


@study.shard
def play(bench: Bench) -> Arrays:
    """Play bilinear games, and the same with a loss that saturates, from a random start, and watch kicks to them.

    Cells are orders, momenta and games. For either kind of game what `follow` sees; of the bilinear games the spectral
    radius `[C]`, and the growth of kicks in `single` precision over sizes and cells `[K, C]`.
    """
    size, axes = bench["dimension"], (ORDERS, bench["momenta"], range(len(bench.seeds)))
    order, momentum, place = zip(*product(*axes), strict=True)
    a = drawn(bench.seeds, size, bench["least"])["a"][list(place)]
    start, kick = (scaled(places(name, bench.seeds, size, len(a)), bench["start"]) for name in ("start", "kick"))
    looks = sorted({*even_looks(bench["updates"], bench["looks"]), bench["single_updates"]})
    turns, found = [one == BY_TURNS for one in order], {"looks": np.array(looks)}
    # At the equilibrium the slope of the saturating loss is a half: with twice the step, both games have one matrix.
    for name, build, factor in ((BILINEAR, game.bilinear, 1.0), (SATURATING, saturating, 2.0)):
        how = game.rules([factor * bench["lr"]] * len(a), momentum, turns, a)
        seen = follow(build, a, start, scaled(kick, bench["size"]), how, bench["updates"], looks)
        found |= {f"{name}_{what}": values for what, values in seen.items()}
    how = game.rules([bench["lr"]] * len(a), momentum, turns, a)
    found["radius"] = game.spectral_radius(game.matrices(game.bilinear(a), (size, size), how)).numpy()
    sized = [scaled(kick, own) for own in bench["single_sizes"]]
    grown = [single(game.bilinear, a, start, own, how, bench["single_updates"]) for own in sized]
    return found | {"single": np.array(grown)}


@study.shard
def disturb(bench: Bench) -> Arrays:
    """Alternating plays of bilinear games whose matrix is disturbed in every update: distance `[T, C]`.

    Cells are momenta, noises and games. A disturbance has independent Gaussian entries, of variance the square of the
    noise over the dimension; it is the same for both players, and but for its size for all cells of a game.
    """
    size, axes = bench["dimension"], (bench["momenta"], bench["noises"], range(len(bench.seeds)))
    momentum, noise, place = zip(*product(*axes), strict=True)
    a = drawn(bench.seeds, size, bench["least"])["a"][list(place)]
    spread = torch.tensor(noise, dtype=torch.float64)[:, None, None] / math.sqrt(size)
    how = ordered(BY_TURNS, [bench["lr"]] * len(a), momentum, a)
    state, randoms = places("start", bench.seeds, size, len(a)), [generator("noise", seed) for seed in bench.seeds]
    looks, seen = even_looks(bench["updates"], bench["looks"]), []
    for step in range(bench["updates"] + 1):
        if step in looks:
            seen.append(game.away(state).numpy().copy())
        errors = torch.stack([torch.randn(size, size, generator=random) for random in randoms]).to(a)
        state = game.update(game.bilinear(a + spread * errors[list(place)]), state, how)
    return {"looks": np.array(looks), "distance": np.array(seen)}


@study.shard
def ring(bench: Bench) -> Arrays:
    """Train GANs of every arm on the ring, from the same start and on the same minibatches for each seed, and twins.

    Over looks and GANs (cells, then seeds): the share of points near each mode `[T, C, 8]`; of each GAN, points at the
    end `[C, N, 2]`. Of twins (arms, then seeds; kicked ones, then controls): the distance from their parents `[T, K]`,
    NaN before the kick.
    """
    arms, steps, device = rings.arms(bench["momentum"]), bench["updates"], bench["device"]
    gan, batches = rings.Gan(bench["network"]), rings.Batches(bench.seeds, bench["batch"])
    names, place = zip(*product(rings.cells(bench["lrs"], bench["lr"]), range(len(bench.seeds))), strict=True)
    family = torch.tensor(place)  # of every GAN, the position of its seed
    state = State(*(part.to(device) for part in game.rows(gan.start(bench.seeds), family)))
    how = rings.rules_of([(arms[name], lr) for name, lr in names], state.first)
    with_twins = [row for row, (name, lr) in enumerate(names) if name in TWINNED and lr == bench["lr"]]
    parents = torch.tensor(with_twins * 2)
    looks = _looks(steps, bench)
    numbers = torch.randn(1000, rings.INPUTS, generator=generator("ring-looks")).to(device)
    shares, distance = [], np.full((len(looks), len(parents)), np.nan)
    for step in range(steps + 1):
        if step == bench["kick"]:
            copies = game.rows(state, parents)
            kicked = gan.kicked(cut(copies, slice(len(parents) // 2)), _seeds(bench, family, parents), bench["size"])
            state = game.joined(state, kicked, cut(copies, slice(len(parents) // 2, None)))
            how, family = game.joined(how, game.rows(how, parents)), torch.cat([family, family[parents]])
        if step in looks:
            shares.append(rings.shares(gan.points(state.second[: len(names)], numbers)).cpu().numpy())
            if step >= bench["kick"]:
                twins = cut(state, slice(len(names), None))
                distance[looks.index(step)] = game.apart(game.rows(state, parents), twins).cpu().numpy()
        if step < steps:
            points, made_from = batches.another()
            played = gan.game(points[family].to(device), made_from[:, family].to(device))
            state = game.update(played, state, how)
    points = gan.points(state.second[: len(names)], numbers[:SHOWN]).cpu().numpy()
    return {"looks": np.array(looks), "shares": np.array(shares), "distance": distance, "points": points}


def _looks(steps: int, bench: Bench) -> list[int]:
    """Updates after which GANs are looked at: evenly spread ones, and more of them after the kick."""
    first, kick = bench["first"], bench["kick"]
    soon = range(kick, min(kick + 2 * first, steps) + 1)
    return sorted({*even_looks(steps, bench["looks"]), *soon[:: max(first // 4, 1)], kick + first})


def _seeds(bench: Bench, family: Tensor, parents: Tensor) -> list[int]:
    """The seeds of the twins that are kicked."""
    return [bench.seeds[place] for place in family[parents[: len(parents) // 2]].tolist()]


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables; a game that was drawn is a `seed`. `map` (order, step and momentum), `portraits` (play and update),
    `once` (kind and seed), `tuned` (rotation, order and seed), `plays` (game, order, momentum and seed), `course` and
    `twins` (and look), `single` (order, momentum, seed and size of kick), `noisy` (momentum, noise and seed). Of GANs:
    `gans` (arm, step length, seed and look), `ends` (arm, step length and seed), `points` (of the first seed),
    `distance` (twin and look) and `gan_twins` (twin)."""
    parts = {kind: [s for s in shards if s.compute is kind] for kind in (scan, spectra, play, disturb, ring)}
    found = {"map": grid(parts[scan][0]["radius"], {"order": ORDERS, "step": STEPS, "momentum": MOMENTA}, "radius")}
    found["portraits"] = _portraits(parts[scan][0]["portraits"])
    found |= stacked(_of_spectra(shard) for shard in parts[spectra])
    found |= stacked(_of_plays(shard, kind) for shard in parts[play] for kind in (BILINEAR, SATURATING))
    found["single"] = pd.concat(map(_of_single, parts[play]), ignore_index=True)
    found["noisy"] = pd.concat(map(_of_noise, parts[disturb]), ignore_index=True)
    found |= stacked(map(_of_gans, parts[ring]))
    found["points"] = found["points"][found["points"].seed == found["points"].seed.min()]
    found["plays"] = with_rates(found["plays"], found["course"], found["twins"])
    twins = gan_twins(found["distance"], params.gan_first)
    return found | {"ends": ends(found["gans"]), "gan_twins": twins}


def _portraits(places: np.ndarray) -> pd.DataFrame:
    """Plays of the game of one parameter a player, a row an update."""
    found = grid(places[..., 0], {"step": range(len(places)), "play": range(len(PORTRAITS))}, "x")
    found["y"] = places[..., 1].ravel()
    for place, name in enumerate(("order", "momentum")):
        found[name] = [PORTRAITS[play][place] for play in found.play]
    return found


def _of_spectra(shard: Shard) -> dict[str, pd.DataFrame]:
    """For each game its radii with rules drawn at random, and the step and momentum of the smallest one."""
    seeds, config, radius = shard.config["seeds"], shard.config, shard["radius"]
    once = grid(shard["once"], {"kind": (AROUND, EITHER), "order": ORDERS, "seed": seeds}, "radius")
    once = once.pivot(index=["kind", "seed"], columns="order", values="radius").reset_index().rename_axis(columns=None)
    chosen = pd.DataFrame(shard["chosen"], columns=["rotation", "lr", "momentum"]).assign(seed=seeds)
    flat = radius.reshape(*radius.shape[:3], -1)
    best = grid(flat.min(-1), {"rotation": config["rotations"], "order": ORDERS, "seed": seeds}, "radius")
    cells = np.unravel_index(flat.argmin(-1), radius.shape[3:])
    for name, values, cell in zip(("lr", "momentum"), (config["lrs"], config["momenta"]), cells, strict=True):
        # Where nothing converges the smallest step is the best, and the momentum says nothing.
        best[name] = np.where(best.radius < 1 - 1e-9, np.take(values, cell).ravel(), np.nan)
    return {"once": once.merge(chosen, on="seed"), "tuned": best}


def _of_plays(shard: Shard, kind: str) -> dict[str, pd.DataFrame]:
    """What was seen of plays of one kind of game; distances from the equilibrium are over that of the start."""
    config = shard.config
    axes = {"order": ORDERS, "momentum": config["momenta"], "seed": config["seeds"]}
    shape, looks = [len(axis) for axis in axes.values()], {"step": shard["looks"]} | axes
    cells = grid(shard["radius"].reshape(shape), axes, "radius").assign(moved=shard[f"{kind}_moved"])
    cells["largest"] = shard[f"{kind}_largest"] / config["start"]
    course = grid(shard[f"{kind}_distance"].reshape(-1, *shape) / config["start"], looks, "distance")
    twins = grid(shard[f"{kind}_twins"].reshape(-1, *shape), looks, "distance")
    found = {"plays": cells, "course": course, "twins": twins}
    return {name: table.assign(game=kind) for name, table in found.items()}


def _of_single(shard: Shard) -> pd.DataFrame:
    """How far the growth of each kick in single precision is `off` that in double precision, a power of ten."""
    config, looks, twins = shard.config, shard["looks"].tolist(), shard[f"{BILINEAR}_twins"]
    axes = {"size": config["single_sizes"], "order": ORDERS, "momentum": config["momenta"], "seed": config["seeds"]}
    off = (shard["single"] - np.log(twins[looks.index(config["single_updates"])] / twins[0])) / math.log(10)
    return grid(off.reshape([len(axis) for axis in axes.values()]), axes, "off")


def with_rates(cells: pd.DataFrame, course: pd.DataFrame, twins: pd.DataFrame) -> pd.DataFrame:
    """Every play with its rates by update: `slope` of the log distance from the equilibrium over the second half;
    `rate` and `early`, growth of its kicked twin all along and in the early part."""
    cell = ["game", "order", "momentum", "seed"]
    distance, apart = (table.pivot(index=cell, columns="step", values="distance") for table in (course, twins))
    steps = distance.columns.to_numpy()
    last, early, late = steps[-1], round(EARLY * steps[-1]), steps >= steps[-1] / 2
    with np.errstate(divide="ignore", invalid="ignore"):  # what grew beyond all numbers, or shrank to nothing
        found = pd.DataFrame({"slope": intervals.slopes(steps[late], np.log(distance.loc[:, late].to_numpy()))})
        found.index = distance.index
        found["rate"] = np.log(apart[last] / apart[0]) / last
        found["early"] = np.log(apart[early] / apart[0]) / early
    return cells.merge(found.reset_index(), on=cell)


def _of_noise(shard: Shard) -> pd.DataFrame:
    """The growth rate of the distance over the second half of each noisy play, by update."""
    config, steps = shard.config, shard["looks"]
    late = steps >= steps[-1] / 2
    axes = {"momentum": config["momenta"], "noise": config["noises"], "seed": config["seeds"]}
    rates = intervals.slopes(steps[late], np.log(shard["distance"][late].T))
    return grid(rates.reshape([len(axis) for axis in axes.values()]), axes, "rate")


def _of_gans(shard: Shard) -> dict[str, pd.DataFrame]:
    """What GANs made at every look: the part of the ring that is covered, modes that are there, points near a mode."""
    config, looks, found = shard.config, shard["looks"], shard["shares"]
    cells, seeds = rings.cells(config["lrs"], config["lr"]), config["seeds"]
    shape, axes = (len(cells), len(seeds)), {"cell": range(len(cells)), "seed": seeds}
    gans = grid(np.minimum(found, FAIR).sum(-1).reshape(-1, *shape), {"step": looks} | axes, "covered")
    gans["modes"] = (found >= THERE * FAIR).sum(-1).ravel()
    points = shard["points"].reshape(*shape, -1, 2)
    pictured = grid(points[..., 0], axes | {"point": None}, "x").assign(y=points[..., 1].ravel())
    for table in (gans, pictured):
        table["arm"], table["lr"] = zip(*(cells[cell] for cell in table.pop("cell")), strict=True)
    kinds = {"step": looks, "kind": ("twin", "control"), "arm": TWINNED, "seed": seeds}
    distance = grid(shard["distance"].reshape(len(looks), 2, len(TWINNED), len(seeds)), kinds, "distance")
    return {"gans": gans, "points": pictured, "distance": distance[distance.step >= config["kick"]]}


def ends(gans: pd.DataFrame) -> pd.DataFrame:
    """What each GAN covers towards the end, mean over looks from three quarters of training on; and at the start."""
    values, cell = ["covered", "modes"], ["arm", "lr", "seed"]
    late = gans[gans.step >= LAST * gans.step.max()].groupby(cell, sort=False)[values].mean().reset_index()
    first = gans[gans.step == 0].rename(columns={"covered": "begun"})
    return late.merge(first[[*cell, "begun"]], on=cell)


def gan_twins(distance: pd.DataFrame, first: int) -> pd.DataFrame:
    """How much farther each twin of a GAN is from its parent than after the kick, as a power of ten: at the end
    (`grown`), and so many updates after the kick (`started`)."""
    table = distance.pivot(index=["kind", "arm", "seed"], columns="step", values="distance")
    with np.errstate(divide="ignore", invalid="ignore"):  # controls have no distance
        grown = np.log10(table.iloc[:, -1] / table.iloc[:, 0])
        started = np.log10(table[table.columns[0] + first] / table.iloc[:, 0])
    differs = table.max(axis=1, skipna=False)
    return pd.DataFrame({"grown": grown, "started": started, "largest_difference": differs}).reset_index()


# --- claims: which order, which momentum -----------------------------------------------------------------------------

ONE = "bilinear games of one parameter a player"
DRAWN = "random games with linear gradients, {params.square}"
TOLD = {"origin": Origin.PAPER, "place": "second hand: notes of the text"}


def _stable(t: Tables) -> pd.DataFrame:
    """The map below the step from which on alternating updates are unstable at negative momentum."""
    return t["map"][t["map"].step < 0.999 * 2 * (1 + t["map"].momentum)]


@study.claim(
    "NM01", by="largest ratio of the spectral radii of one update, alternating over simultaneous, over steps up to 2 "
    "and below 2 (1 + momentum), in units of 1 / singular value", region=below(1.0), kind=Kind.CHECK,
    origin=Origin.ABSTRACT, figure="a", scope=ONE,
)  # fmt: skip
def turns_are_more_stable(t: Tables) -> Interval:
    """On bilinear games alternating updates are more stable than simultaneous ones, at every momentum, up to a step
    that shrinks as momentum becomes more negative."""
    both = _stable(t).pivot(index=["step", "momentum"], columns="order", values="radius")
    return intervals.exact(float((both[BY_TURNS] / both[AT_ONCE]).max()), len(both))


@study.claim(
    "NM01b", by="smallest spectral radius of an alternating update over steps above 2 (1 + momentum) / singular value",
    region=above(1.0), kind=Kind.CHECK, figure="a", scope=ONE,
)  # fmt: skip
def turns_have_a_limit(t: Tables) -> Interval:
    """On bilinear games alternating updates diverge as well where the step exceeds 2 (1 + momentum) over the singular
    value."""
    own = t["map"][(t["map"].order == BY_TURNS) & (t["map"].step > 1.001 * 2 * (1 + t["map"].momentum))]
    return intervals.exact(float(own.radius.min()), len(own))


OFTEN = "share of games whose spectral radius is smaller with alternating than with simultaneous updates"


def _more_stable(t: Tables, kind: str) -> Interval:
    own = t["once"][t["once"].kind == kind]
    return intervals.share(own[BY_TURNS] < own[AT_ONCE])


@study.claim(
    "NM01c", by=f"{OFTEN}, rotation, step and momentum drawn for each", region=above(0.5), origin=Origin.ABSTRACT,
    place="said of simple games; games with curvature are ours", figure="c", scope=DRAWN,
)  # fmt: skip
def turns_are_more_stable_on_most(t: Tables) -> Interval:
    """On most zero-sum games with curvature, drawn at random with a step and a momentum, alternating updates are more
    stable than simultaneous ones."""
    return _more_stable(t, AROUND)


@study.claim(
    "NM01d", by=f"{OFTEN}, rotation, step and momentum drawn for each", region=above(0.5), figure="c",
    scope=f"{DRAWN}, not zero-sum",
)  # fmt: skip
def turns_are_more_stable_in_general(t: Tables) -> Interval:
    """On most games that are not zero-sum, drawn at random with a step and a momentum, alternating updates are more
    stable than simultaneous ones."""
    return _more_stable(t, EITHER)


def _tuned(t: Tables, rotation: float, order: str = BY_TURNS) -> pd.DataFrame:
    own = t["tuned"][(t["tuned"].rotation == rotation) & (t["tuned"].order == order)]
    return own.set_index("seed").sort_index()


def untuned(t: Tables) -> str:
    """Claims are void where a game converges with no step and momentum of the grid."""
    weak = sum(int((_tuned(t, 0.5, order).radius >= 1).sum()) for order in ORDERS)
    return f"{weak} games converge with no step and momentum tried" if weak else ""


# Planted: a fifth faster, which is a fifth of the updates saved.
@study.claim(
    "NM01e", by="ratio of the rates -log(spectral radius), alternating over simultaneous, each with the best step and "
    "momentum of a grid, rotation 0.5", region=above(1.0), margin=1.2, figure="c", unless=untuned, scope=DRAWN,
)  # fmt: skip
def turns_are_faster(t: Tables) -> Interval:
    """With step and momentum tuned for each, alternating updates converge faster than simultaneous ones on zero-sum
    games with as much rotation as curvature."""
    rates = [-np.log(_tuned(t, 0.5, order).radius.clip(upper=1 - 1e-12)) for order in ORDERS]
    return intervals.geometric_mean(rates[1] / rates[0])


@study.claim(
    "NM03", by="smallest change of the spectral radius from one momentum of the grid to the next one from 0 up, over "
    "steps and both orders", region=above(0.0), kind=Kind.CHECK, figure="a", scope=ONE, **TOLD,
)  # fmt: skip
def positive_momentum_hurts(t: Tables) -> Interval:
    """On bilinear games positive momentum hurts: the larger it is, the larger the spectral radius, in either order."""
    table = t["map"][t["map"].momentum >= 0].pivot(index=["order", "step"], columns="momentum", values="radius")
    changes = np.diff(table.to_numpy(), axis=1)
    return intervals.exact(float(changes.min()), changes.size)


BEST = "momentum that, with the best step, has the smallest spectral radius of alternating updates"


def _reach(t: Tables) -> tuple[float, float]:
    return t.params.momenta[0], t.params.momenta[-1]


# Planted: 0.1, the distance between two momenta of the grid at laptop scale.
@study.claim(
    "NM03b", by=f"{BEST}, rotation 0.75", region=below(0.0), margin=0.1, reach=_reach, figure="c", scope=DRAWN,
    origin=Origin.PAPER, place="second hand: notes of the text, for eigenvalues of large imaginary part",
)  # fmt: skip
def rotation_wants_negative_momentum(t: Tables) -> Interval:
    """On zero-sum games that mostly turn, the best momentum is negative."""
    return intervals.mean(_tuned(t, 0.75).momentum, _reach(t))


@study.claim("NM03c", by=f"{BEST}, rotation 0.25", region=above(0.0), margin=0.1, reach=_reach, figure="c", scope=DRAWN)
def curvature_wants_positive_momentum(t: Tables) -> Interval:
    """On zero-sum games that are mostly curvature, the best momentum is positive."""
    return intervals.mean(_tuned(t, 0.25).momentum, _reach(t))


@study.claim(
    "NM03d", by=f"rank correlation over rotations, within each game, of the rotation and the {BEST}",
    region=below(-0.5), figure="c", scope=DRAWN,
)  # fmt: skip
def more_rotation_wants_less_momentum(t: Tables) -> Interval:
    """The more a zero-sum game turns, the lower is its best momentum."""
    own = t["tuned"][t["tuned"].order == BY_TURNS]
    table = own.pivot(index="seed", columns="rotation", values="momentum")
    return intervals.correlation([_ranked(table.columns, row) for row in table.to_numpy()])


def _ranked(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; not a number where all are alike."""
    return float(stats.spearmanr(x, y).statistic) if np.ptp(y) > 0 else math.nan


# --- claims: plays ---------------------------------------------------------------------------------------------------

PLAYED = "random bilinear games, {params.square}, step {play_lr:g}"


def _plays(t: Tables, order: str, kind: str = BILINEAR) -> pd.DataFrame:
    return t["plays"][(t["plays"].game == kind) & (t["plays"].order == order)]


def _arm(t: Tables, order: str, momentum: float, kind: str = BILINEAR) -> pd.DataFrame:
    own = _plays(t, order, kind)
    return own[own.momentum == momentum].set_index("seed").sort_index()


SLOPE = "slope of the log distance from the equilibrium by update, over the second half of the play"


@study.claim(
    "NM02", by=f"smallest {SLOPE}, over games and momenta", region=above(0.0), kind=Kind.CHECK, figure="b",
    scope=PLAYED, **TOLD,
)  # fmt: skip
def at_once_diverges(t: Tables) -> Interval:
    """On bilinear games simultaneous updates diverge, whatever the momentum."""
    own = _plays(t, AT_ONCE)
    return intervals.exact(float(own.slope.min()), len(own))


@study.claim(
    "NM02b", by="largest distance from the equilibrium in any update, over that at the start and over what the "
    "conserved quantity allows, {params.bounded:.3f}; maximum over games", region=below(1.0), kind=Kind.CHECK,
    figure="b", scope=PLAYED, **TOLD,
)  # fmt: skip
def by_turns_stays_bounded(t: Tables) -> Interval:
    """On bilinear games alternating updates without momentum stay bounded."""
    own = _arm(t, BY_TURNS, 0.0)
    return intervals.exact(float(own.largest.max() / t.params.bounded), len(own))


@study.claim(
    "NM02c", by=f"largest {SLOPE}, over games and negative momenta", region=below(0.0), kind=Kind.CHECK, figure="b",
    scope=PLAYED, **TOLD,
)  # fmt: skip
def negative_momentum_converges(t: Tables) -> Interval:
    """On bilinear games alternating updates with negative momentum converge linearly."""
    own = _plays(t, BY_TURNS)
    own = own[own.momentum < 0]
    return intervals.exact(float(own.slope.max()), len(own))


NOISY = "random bilinear games, {params.square}, step {play_lr:g}, with noise {noise:g} in every update"


def _noisy(t: Tables, momentum: float) -> Interval:
    own = t["noisy"][(t["noisy"].momentum == momentum) & (t["noisy"].noise == t.params.noise)]
    return intervals.mean(own.set_index("seed").rate)


# Planted: a factor of e in 500 updates.
@study.claim(
    "NM02d", by=f"{SLOPE}, momentum {{params.negative:g}}", region=below(0.0), margin=0.002, figure="d", scope=NOISY
)
def converges_under_noise(t: Tables) -> Interval:
    """Alternating updates with negative momentum converge also where the game's matrix is disturbed in every update."""
    return _noisy(t, t.params.negative)


@study.claim("NM02e", by=f"{SLOPE}, no momentum", region=above(0.0), kind=Kind.CHECK, figure="d", scope=NOISY)
def drifts_away_under_noise(t: Tables) -> Interval:
    """Alternating updates without momentum drift away from the equilibrium where the game's matrix is disturbed in
    every update."""
    # Each update has determinant 1, and products of random matrices of determinant 1 grow (Furstenberg 1963).
    return _noisy(t, 0.0)


# --- claims: the growth of a kick ------------------------------------------------------------------------------------


def differing(t: Tables) -> str:
    """Claims are void where a twin that was not kicked left its play."""
    return "control twins differ from their plays" if (t["plays"].moved != 0).any() else ""


# A tenth: notebook 03 tells rates that are farther apart.
TENTH = between(0.9, 1.1)
WHOLE = "growth rate of a kick of {size:g}, from start to end of the play, over the log of the spectral radius"
FIRST = (
    f"growth rate of a kick of {{size:g}}, in the first {EARLY:.0%} of the play, over the log of the spectral radius"
)


def _over_radius(t: Tables, order: str, momentum: float, kind: str = BILINEAR, column: str = "rate") -> Interval:
    own = _arm(t, order, momentum, kind)
    return intervals.mean(own[column] / np.log(own.radius))


KICKED = {"figure": "e", "unless": differing, "scope": PLAYED}


# A check: in a play as long as this the transient is a hundredth of the growth.
@study.claim("NM05", by=f"{WHOLE}; simultaneous, no momentum", region=TENTH, kind=Kind.CHECK, **KICKED)
def grows_by_the_radius(t: Tables) -> Interval:
    """Where a game diverges, the growth of a kick over a whole play gives the spectral radius."""
    return _over_radius(t, AT_ONCE, 0.0)


@study.claim("NM05b", by=f"{WHOLE}; alternating, momentum {{params.negative:g}}", region=TENTH, **KICKED)
def shrinks_by_the_radius(t: Tables) -> Interval:
    """Where a game converges, the decay of a kick over a whole play gives the spectral radius."""
    return _over_radius(t, BY_TURNS, t.params.negative)


@study.claim("NM05c", by=f"{FIRST}; simultaneous, no momentum", region=TENTH, **KICKED)
def grows_by_the_radius_at_once(t: Tables) -> Interval:
    """Where a game diverges, the growth of a kick in the first twentieth of a play gives the spectral radius."""
    return _over_radius(t, AT_ONCE, 0.0, column="early")


@study.claim("NM05d", by=f"{FIRST}; alternating, momentum {{params.negative:g}}", region=TENTH, **KICKED)
def shrinks_by_the_radius_at_once(t: Tables) -> Interval:
    """Where a game converges, the decay of a kick in the first twentieth of a play gives the spectral radius."""
    return _over_radius(t, BY_TURNS, t.params.negative, column="early")


SINGLE = "growth of a kick in single precision over that in double, a power of ten without sign, after "
SINGLE += "{single_updates} alternating updates without momentum; kicks of "


def _departed(t: Tables, place: int) -> Interval:
    table = t["single"][(t["single"].order == BY_TURNS) & (t["single"].momentum == 0)]
    return intervals.mean(table[table["size"] == t.params.single_sizes[place]].off.abs(), intervals.POSITIVE)


# A tenth of a power of ten is a factor of 1.26.
@study.claim("NM06", by=f"{SINGLE}{{single_sizes[0]:g}}", region=below(0.1), **KICKED)
def small_kicks_are_seen_in_single_precision(t: Tables) -> Interval:
    """In single precision a kick of {single_sizes[0]:g}, the smallest of notebook 03 that has a size, grows as it does
    in double precision."""
    return _departed(t, 0)


@study.claim("NM06b", by=f"{SINGLE}{{single_sizes[1]:g}}", region=below(0.1), **KICKED)
def kicks_are_seen_in_single_precision(t: Tables) -> Interval:
    """In single precision a kick of {single_sizes[1]:g} grows as it does in double precision."""
    return _departed(t, 1)


CURVED = KICKED | {"scope": "the same games with a loss that saturates, started {play_start:g} from the equilibrium"}


@study.claim("NM07", by=f"{WHOLE} at the equilibrium; simultaneous, no momentum", region=TENTH, **CURVED)
def radius_holds_where_it_diverges(t: Tables) -> Interval:
    """Where the loss saturates and the game diverges, the spectral radius at the equilibrium still gives the growth of
    a kick over a whole play."""
    return _over_radius(t, AT_ONCE, 0.0, SATURATING)


@study.claim("NM07b", by=f"{WHOLE} at the equilibrium; alternating, momentum {{params.negative:g}}", region=TENTH,
             **CURVED)  # fmt: skip
def radius_holds_where_it_converges(t: Tables) -> Interval:
    """Where the loss saturates and the game converges, the spectral radius at the equilibrium still gives the decay of
    a kick over a whole play."""
    return _over_radius(t, BY_TURNS, t.params.negative, SATURATING)


# --- claims: a GAN ---------------------------------------------------------------------------------------------------

GANS = "ring of 8 Gaussians, {network} for both players, saturating loss"
AT_STEP = f"{GANS}, step {{gan_lr:g}}"
COVERED = "part of the ring that is covered, mean over the last quarter of training"


def uncovered(t: Tables) -> str:
    """Claims are void where GANs of no arm, with no step, cover a quarter of the ring on average."""
    best = t["ends"].groupby(["arm", "lr"]).covered.mean().max()
    return f"the best GANs cover {best:.0%} of the ring" if not best >= 0.25 else ""


def _covered(t: Tables, arm: str, over: str) -> Interval:
    """How much more of the ring one arm covers than another, on the same minibatches and from the same start."""
    own = t["ends"][t["ends"].lr == t.params.gan_lr]
    table = own.pivot(index="seed", columns="arm", values="covered")
    return intervals.mean(table[arm] - table[over], (-1.0, 1.0))


def at_best(ends: pd.DataFrame, arm: str) -> pd.Series:
    """What each seed covers with the step at which the other seeds cover most on average."""
    table = ends[ends.arm == arm].pivot(index="seed", columns="lr", values="covered")
    best = [table.drop(index=seed).mean().idxmax() for seed in table.index]
    return pd.Series([table.loc[seed, lr] for seed, lr in zip(table.index, best, strict=True)], table.index)


# Planted: one mode of the eight.
OF_RING = {"margin": 0.125, "figure": "fg", "scope": AT_STEP, "unless": uncovered}


@study.claim(
    "NM04", by=f"{COVERED}, momentum -{{gan_momentum:g}} of the discriminator minus none", region=above(0.0),
    origin=Origin.ABSTRACT, place="direction: abstract; the ring: second hand", **OF_RING,
)  # fmt: skip
def negative_momentum_helps(t: Tables) -> Interval:
    """Negative momentum of the discriminator helps a GAN with the saturating loss to cover the ring."""
    return _covered(t, NEGATIVE, ZERO)


@study.claim(
    "NM04b", by=f"{COVERED}, momentum {{gan_momentum:g}} of the discriminator minus none", region=below(0.0),
    **TOLD, **OF_RING,
)  # fmt: skip
def positive_momentum_harms(t: Tables) -> Interval:
    """Positive momentum of the discriminator keeps a GAN with the saturating loss from covering the ring."""
    return _covered(t, POSITIVE, ZERO)


@study.claim(
    "NM04c", by=f"{COVERED}, momentum -{{gan_momentum:g}} of the discriminator minus none and steps "
    "1 / (1 + {gan_momentum:g}) times as long", region=above(0.0), **OF_RING,
)  # fmt: skip
def more_than_short_steps(t: Tables) -> Interval:
    """Negative momentum of the discriminator does more for a GAN than steps that are shorter by as much."""
    return _covered(t, NEGATIVE, SHORT)


@study.claim(
    "NM04d", by=f"{COVERED}, momentum {{gan_momentum:g}} of the discriminator minus none and steps "
    "1 / (1 - {gan_momentum:g}) times as long", region=below(0.0), **OF_RING,
)  # fmt: skip
def more_than_long_steps(t: Tables) -> Interval:
    """Positive momentum of the discriminator does more harm to a GAN than steps that are longer by as much."""
    return _covered(t, POSITIVE, LONG)


@study.claim(
    "NM04e", by=f"{COVERED}, momentum -{{gan_momentum:g}} of the discriminator minus none, each with the step at which "
    "the other seeds cover most", region=above(0.0), **(OF_RING | {"scope": GANS}),
)  # fmt: skip
def helps_at_best(t: Tables) -> Interval:
    """Negative momentum of the discriminator helps a GAN with the saturating loss to cover the ring also where the step
    is tuned for each momentum."""
    return intervals.mean(at_best(t["ends"], NEGATIVE) - at_best(t["ends"], ZERO), (-1.0, 1.0))


@study.claim(
    "NM04g", by=f"{COVERED}, momentum -{{gan_momentum:g}} of the discriminator minus none; at the longest step "
    "minus at the shortest one", region=above(0.0), **(OF_RING | {"scope": GANS}),
)  # fmt: skip
def helps_with_long_steps(t: Tables) -> Interval:
    """Negative momentum of the discriminator does more for a GAN with long steps than with short ones."""
    table = t["ends"].pivot(index="seed", columns=["arm", "lr"], values="covered")
    gain, lrs = table[NEGATIVE] - table[ZERO], t.params.gan_lrs
    return intervals.mean(gain[lrs[-1]] - gain[lrs[0]], (-2.0, 2.0))


@study.claim(
    "NM04f", by=f"{COVERED}, alternating minus simultaneous, no momentum", region=above(0.0), origin=Origin.ABSTRACT,
    place="said of simple games", **OF_RING,
)  # fmt: skip
def turns_help(t: Tables) -> Interval:
    """Without momentum, GANs with the saturating loss cover more of the ring when the players move by turns."""
    return _covered(t, ZERO, rings.AT_ONCE)


def parted(t: Tables) -> str:
    """Claims are void where a control twin of a GAN left its parent, a twin is lost, or no arm covers a quarter of the
    ring."""
    twins = t["gan_twins"]
    kicked = twins[twins.kind == "twin"]
    reasons = uncovered(t), differing_controls(twins), lost(kicked[["grown"]], "twins have no finite distance")
    return "; ".join(filter(None, reasons))


def _grown(t: Tables, column: str) -> pd.DataFrame:
    twins = t["gan_twins"][t["gan_twins"].kind == "twin"]
    return twins.pivot(index="seed", columns="arm", values=column)


GROWN = "growth of the distance between a GAN and its twin, kicked by {gan_size:g} at {gan_kick:g} % of training, a "
GROWN += "power of ten"
STARTED = f"{GROWN}, in {{gan_first}} updates"
OF_TWINS = {"figure": "h", "scope": AT_STEP, "unless": parted}


@study.claim("NM08", by=f"{GROWN}, to the end; no momentum", region=above(1.0), **OF_TWINS)
def gans_are_chaotic(t: Tables) -> Interval:
    """A kick to a GAN in training grows more than tenfold."""
    return intervals.mean(_grown(t, "grown")[ZERO])


# Planted: a factor of 3, of the hundreds by which kicks grow before they level off.
@study.claim(
    "NM08b", by=f"{STARTED}; momentum -{{gan_momentum:g}} of the discriminator minus none", region=below(0.0),
    margin=0.5, **OF_TWINS,
)  # fmt: skip
def negative_momentum_calms(t: Tables) -> Interval:
    """With negative momentum of the discriminator a kick to a GAN grows more slowly at first than without."""
    table = _grown(t, "started")
    return intervals.mean(table[NEGATIVE] - table[ZERO])


@study.claim(
    "NM08c", by=f"{STARTED}; momentum {{gan_momentum:g}} of the discriminator minus none", region=above(0.0),
    margin=0.5, **OF_TWINS,
)  # fmt: skip
def positive_momentum_stirs(t: Tables) -> Interval:
    """With positive momentum of the discriminator a kick to a GAN grows faster at first than without."""
    table = _grown(t, "started")
    return intervals.mean(table[POSITIVE] - table[ZERO])
