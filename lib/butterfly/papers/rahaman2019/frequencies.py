"""Notebook 32: which frequencies a network learns first.

Networks learn sums of waves on an interval and are read in Fourier space: when each frequency is there, what a random
displacement of all weights leaves of it, and at which frequencies kicked twins part. Then the same waves around a
flower, and two digits to be told apart under noise of low and of high frequency.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import data, initial, models
from butterfly.data import Data, waves
from butterfly.evaluate import logits
from butterfly.models import Model
from butterfly.objective import squared_error
from butterfly.papers.rahaman2019 import PAPER
from butterfly.perturb import Kick
from butterfly.stack import Layout
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, OneModel, Setting, Shard, Study, Tables, grid, intervals, plain
from butterfly.study import rising_sizes, rising_times, stacked
from butterfly.study.claims import Origin, above, below, between, differing_controls
from butterfly.study.parameters import Times, check_times
from butterfly.train import Fork, Observer, Population, Snapshot, train

OTHER = 100_000  # seeds of the strangers, which start elsewhere and learn the same sum, begin here
EQUAL, RISING, LOW = "equal amplitudes", "rising amplitudes", "one low frequency"
FAINTEST = 0.1  # amplitude of the lowest frequency where amplitudes rise to 1
THERE = 0.2  # a frequency has been learned where no more than this share of it is missing, its phase included
FEWEST = 4  # frequencies that a network must have learned for claims on what it has learned
WEAK = 1 / 8  # share of networks that may have learned fewer
CLEAN, WHITE, WAVE = "no noise", "white noise", "wave"
CIRCLE = "circle as long as "  # and a number of petals
DIGITS = 3, 8
Measure = Callable[[Snapshot], np.ndarray]


class Params(OneModel):
    """Parameters of notebook 32; times are in percent of the training steps."""

    setting: str = "waves"
    steps: int | None = Field(400, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    frequencies: tuple[int, ...] = (1, 2, 3, 4)
    highest: int = Field(8, ge=1)  # frequency that networks are read at
    looks: int = Field(25, ge=10)
    displacements: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)  # L2 norms
    directions: int = Field(10, ge=1)
    kick_times: Times = (0.0, 20.0)
    size: float = Field(1e-6, gt=0)
    petal_setting: str = "petals"
    petal_steps: int | None = Field(100, gt=0)
    petals: tuple[int, ...] = (0, 4, 8)
    petal_frequencies: tuple[int, ...] = (4, 12, 20, 28)
    noise_setting: str = "two-digits"
    noise_steps: int | None = Field(200, gt=0)
    noise_frequencies: tuple[float, ...] = (0.15, 0.6, 3.0)  # turns by unit of distance, in normalised pixels
    noise_size: float = Field(0.7, gt=0)  # standard deviation; labels are -1 and 1

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("frequencies", "petal_frequencies", "displacements", "noise_frequencies"):
            rising_sizes(name, getattr(self, name))
        if len(self.frequencies) < FEWEST or len(self.noise_frequencies) < 2 or not self.displacements:
            raise ValueError(f"give {FEWEST} or more frequencies, two or more noise_frequencies, and displacements")
        if self.highest < self.frequencies[-1]:
            raise ValueError(f"highest = {self.highest} lies below the frequencies that are learned")
        if len(self.petals) < 3 or self.petals[0] != 0 or list(self.petals) != sorted(set(self.petals)):
            raise ValueError(f"petals = {list(self.petals)}: give three or more rising numbers from 0 on")
        rising_times("kick_times", self.kick_times)
        if len(self.kick_times) != 2 or self.kick_times[0] != 0:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0, and one time amid training")
        return self

    @property
    def around(self) -> str:
        """The data and the architecture of claims on flowers."""
        found = plain(self.petal_setting)
        return f"{found.data.rpartition('-')[0]} and petals, {found.model}"

    @property
    def disturbed(self) -> str:
        """The data and the architecture of claims on noise."""
        found = plain(self.noise_setting)
        return f"{found.data} {DIGITS[0]} and {DIGITS[1]}, {found.model}"


study = Study("32_frequencies", Params, PAPER)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every few seeds one shard a sum of waves, one for flowers and one for noise."""
    chosen = params.chosen(params.setting, params.steps)
    check_times(chosen, params.kick_times)
    _check(chosen, params.highest)
    grid = {"highest": params.highest, "looks": params.looks}
    displaced = {"displacements": list(params.displacements), "directions": params.directions}
    kicked = displaced | {"kick_times": list(params.kick_times), "size": params.size}
    still = {"displacements": [], "directions": 0, "kick_times": [], "size": 0.0}
    shards = []
    for arm, components in sums(params.frequencies).items():
        common = study.config(chosen, params, components=components, **grid, **(kicked if arm == EQUAL else still))
        shards += [Shard(learn, common | {"seeds": few}, arm) for few in params.few()]
    around, noisy = plain(params.petal_setting, params.petal_steps), plain(params.noise_setting, params.noise_steps)
    _check(around, params.petal_frequencies[-1])
    own = {"petals": list(params.petals), "frequencies": list(params.petal_frequencies), "looks": params.looks}
    shards += [Shard(wind, study.config(around, params, seeds=few, **own)) for few in params.few()]
    own = {"frequencies": list(params.noise_frequencies), "size": params.noise_size, "looks": params.looks}
    return shards + [Shard(disturb, study.config(noisy, params, seeds=few, **own)) for few in params.few()]


def _check(chosen: Setting, highest: float) -> None:
    """Of a frequency too high for the places nothing could be read."""
    count = len(data.load(chosen.data).y)
    if 2 * highest >= count:
        raise ValueError(f"frequency {highest:g} is too high for the {count} places of {chosen.data}")


def sums(frequencies: Sequence[int]) -> dict[str, list[list[float]]]:
    """The sums of waves by name, as pairs of frequency and amplitude; the first and the last have equal power."""
    count = len(frequencies)
    return {
        EQUAL: [[k, 1.0] for k in frequencies],
        RISING: [[k, float(a)] for k, a in zip(frequencies, np.linspace(FAINTEST, 1, count), strict=True)],
        LOW: [[frequencies[0], math.sqrt(count)]],
    }


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def learn(bench: Bench) -> Arrays:
    """Train networks, strangers and twins on sums of waves, and read them in Fourier space.

    Complex coefficients: of the sums `[S, K]`, and of every member at all looks and all frequencies `[T, M, F]`, NaN
    before it exists; spectral norms of the weights of each network `[T, S, L]`; with displacements `[R, S, F]`, the
    modulus of each frequency and its part along what was there, over what was there, means over directions.
    """
    seeds, steps, kicked = bench.seeds, bench.recipe.steps, bool(bench["kick_times"])
    values, truth = _values(bench.task, bench["components"], seeds)
    starts = seeds + [seed + OTHER for seed in seeds] * kicked
    forks = [_fork(bench, seed, time, bench["size"]) for time in bench["kick_times"] for seed in seeds]
    forks += [_fork(bench, seed, time, 0.0) for time in bench["kick_times"][-1:] for seed in seeds]
    looks, some, count = root_looks(steps, bench["looks"]), torch.arange(1, bench["highest"] + 1), len(seeds)
    measures = {
        "spectrum": lambda now: spectrum(now.model, now.theta, now.data.x, some).numpy(),
        "norms": lambda now: spectral_norms(now.model.layout, now.theta[:count]),
    }
    run = _fit(bench, bench.task, values.repeat(1 + kicked, 1), starts, looks, measures, forks)
    twins = [member.fork for member in run.members[len(starts) :]]
    parents = torch.tensor([seeds.index(twin.seed) for twin in twins], dtype=torch.long)
    moved = displaced(bench.model, run.theta[:count], seeds, bench["displacements"], bench["directions"])
    before = spectrum(bench.model, run.theta[:count], bench.task.x, some)
    after = [spectrum(bench.model, theta, bench.task.x, some).unflatten(0, (count, -1)) for theta in moved]
    return {
        "looks": np.array(looks),
        "truth": truth.numpy(),
        "spectrum": _padded([found for _, found in run.recorded("spectrum")]),
        "norms": np.stack([found for _, found in run.recorded("norms")]),
        "modulus": np.array([(found.abs().mean(1) / before.abs()).numpy() for found in after]),
        "along": np.array([(found / before[:, None]).real.mean(1).numpy() for found in after]),
        "twin_seed": np.array([twin.seed for twin in twins]),
        "twin_step": np.array([twin.step for twin in twins]),
        "twin_size": np.array([twin.kick.size for twin in twins]),
        "largest_difference": (run.theta[len(starts) :] - run.theta[parents]).abs().amax(1).cpu().numpy(),
    }


@study.shard
def wind(bench: Bench) -> Arrays:
    """Train networks on the same waves along curves: flowers, and circles that are as long.

    Over curves, looks and seeds, the share of the values' power that is missing `[C, T, S]`; over curves, seeds and
    frequencies, the share of each that is missing at the end `[C, S, K]`; the length of each curve `[C]`.
    """
    curves, looks = _curves(bench), root_looks(bench.recipe.steps, bench["looks"])
    some, missing, left = torch.tensor(bench["frequencies"]), [], []
    for task in curves.values():
        values, truth = _values(task, [[k, 1.0] for k in bench["frequencies"]], bench.seeds)
        aim = values.to(task.x)
        measure = _error(task.x, aim, aim.var(1, correction=0))
        run = _fit(bench, task, values, bench.seeds, looks, {"missing": measure})
        missing.append([share for _, share in run.recorded("missing")])
        left.append(((spectrum(bench.model, run.theta, task.x, some) - truth) / truth).abs().numpy())
    return {
        "curves": np.array(list(curves)),
        "lengths": np.array([waves.length(task.x.double()) for task in curves.values()]),
        "looks": np.array(looks),
        "missing": np.array(missing),
        "left": np.array(left),
    }


@study.shard
def disturb(bench: Bench) -> Arrays:
    """Train networks to tell two digits apart, labelled -1 and 1, under noise that depends on the image in waves.

    Over kinds of noise, looks and seeds `[C, T, S]`: the mean squared error on test images without noise, and the share
    of the noise that has been learned.
    """
    task, looks = pair(bench.task), root_looks(bench.recipe.steps, bench["looks"])
    kinds = [(CLEAN, 0.0), *((WAVE, k) for k in bench["frequencies"]), (WHITE, math.inf)]
    validation, learned = [], []
    for kind, frequency in kinds:
        noise = torch.stack([noise_of(task.x, kind, frequency, seed) for seed in bench.seeds])
        measures = {"validation": _error(task.x_test, task.y_test[:, 0], 1.0), "learned": along(task, noise)}
        values = task.y[:, 0] + bench["size"] * noise
        run = _fit(bench, task, values, bench.seeds, looks, measures)
        validation.append([error for _, error in run.recorded("validation")])
        learned.append([share / bench["size"] for _, share in run.recorded("learned")])
    return {
        "kind": np.array([kind for kind, _ in kinds]),
        "frequency": np.array([frequency for _, frequency in kinds]),
        "looks": np.array(looks),
        "validation": np.array(validation),
        "learned": np.array(learned),
    }


# --- training and reading --------------------------------------------------------------------------------------------


def root_looks(steps: int, count: int) -> list[int]:
    """The updates after which networks are read: about `count`, evenly in the square root of time."""
    return np.unique((np.linspace(0, 1, count) ** 2 * steps).round().astype(int)).tolist()


def _fit(
    bench: Bench,
    task: Data,
    values: Tensor,
    seeds: list[int],
    looks: Sequence[int],
    measures: Mapping[str, Measure],
    forks: Sequence[Fork] = (),
) -> Population:
    """Networks that learn `values [S, N]`, all examples in every batch, by their squared error."""
    model = models.build(bench.setting.model, task.input_shape, 1)
    whole = replace(task, targets=values[..., None].to(task.x))
    recipe = bench.recipe.changed(batch_size=len(task.y))
    watching = [Observer(name, measure, frozenset(looks)) for name, measure in measures.items()]
    start = initial.uniform(model, seeds)
    return train(model, whole, recipe, seeds, forks, watching, init=start, objective=squared_error)


def _fork(bench: Bench, seed: int, time: float, size: float) -> Fork:
    return Fork(seed, bench.setting.step_at(time), Kick(size=size))


def _values(task: Data, components: Sequence[Sequence[float]], seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """For each seed a sum of waves with phases of its own: its values `[S, N]`, and its coefficients `[S, K]`."""
    frequencies, amplitudes = torch.tensor(components, dtype=torch.float64).T
    phases = torch.stack([torch.rand(len(components), generator=generator("phases", seed)) for seed in seeds]).double()
    values = waves.sines(waves.places(len(task.y)), frequencies, amplitudes, phases)
    return values, torch.polar(amplitudes.expand_as(phases), 2 * math.pi * phases)


def outputs(model: Model, theta: Tensor, x: Tensor) -> Tensor:
    """The one output of every network on all examples `[M, N]`."""
    return logits(model, theta, x)[..., 0]


def spectrum(model: Model, theta: Tensor, x: Tensor, frequencies: Tensor) -> Tensor:
    """Fourier coefficients `[M, K]` of what each network makes of even places `x [N, ...]`."""
    return waves.coefficients(outputs(model, theta, x).cpu().double(), frequencies)


def _error(x: Tensor, aim: Tensor, unit: Tensor | float) -> Measure:
    """What measures the mean squared distance of outputs on `x` from the aim `[N]` or `[M, N]`, over a unit."""
    return lambda now: ((outputs(now.model, now.theta, x) - aim).square().mean(1) / unit).cpu().numpy()


def along(task: Data, noise: Tensor) -> Measure:
    """What measures how much of the noise `[M, N]` there is in the outputs: 0 in those that depend on the label alone,
    1 in label and noise."""
    own = noise.clone()
    for label in task.y.unique():
        some = task.y[:, 0] == label
        own[:, some] -= own[:, some].mean(1, keepdim=True)
    power = own.square().mean(1).clamp_min(1e-12)
    return lambda now: ((outputs(now.model, now.theta, task.x) * own).mean(1) / power).cpu().numpy()


def spectral_norms(layout: Layout, theta: Tensor) -> np.ndarray:
    """The largest singular value of each layer's weights `[M, L]`."""
    tensors = layout.tensors(theta)
    weights = [tensors[p.name] for p in layout.parameters if p.kind == "weight"]
    return torch.stack([torch.linalg.matrix_norm(w.flatten(2), 2) for w in weights], 1).cpu().numpy()


def displaced(
    model: Model, theta: Tensor, seeds: Sequence[int], radii: Sequence[float], directions: int
) -> Iterator[Tensor]:
    """For each radius, networks `[S x D, P]` moved by that much in random directions, all weights and biases alike.

    The directions are the same for all radii, and each seed has its own.
    """
    away = torch.zeros(len(seeds), directions, model.layout.size)
    for row, seed in zip(away, seeds, strict=True):
        random = generator("displacement", seed)
        row[:, : model.layout.count] = torch.randn(directions, model.layout.count, generator=random)
    if directions:
        away /= away.norm(dim=2, keepdim=True)
    for radius in radii:
        yield (theta[:, None] + radius * away.to(theta)).flatten(0, 1)


def _curves(bench: Bench) -> dict[str, Data]:
    """Flowers by their number of petals, of which 0 is the circle; and circles as long as each of the others."""
    name = bench.setting.data.rpartition("-")[0]
    found = {str(count): bench.load(f"{name}-{count}petals").to(bench["device"]) for count in bench["petals"]}
    circle = found["0"]
    for count in bench["petals"][1:]:
        wider = waves.length(found[str(count)].x) / waves.length(circle.x)
        found[CIRCLE + str(count)] = replace(circle, x=circle.x * wider, x_test=circle.x_test * wider)
    return found


def pair(task: Data) -> Data:
    """The images of two digits, labelled -1 and 1."""
    two = data.of_classes(task, DIGITS)
    labels = [(2.0 * y - 1)[:, None].to(task.x) for y in (two.y, two.y_test)]
    return replace(two, y=labels[0], y_test=labels[1], classes=1)


def noise_of(x: Tensor, kind: str, frequency: float, seed: int) -> Tensor:
    """Noise of a seed for each training image `[N]`, mean 0 and standard deviation 1: a wave outward, or white."""
    random = generator("label-wave", seed)
    if kind == CLEAN:
        return torch.zeros(len(x)).to(x)
    if kind == WHITE:
        drawn = torch.randn(len(x), generator=random).to(x)
    else:
        drawn = waves.radial(x, frequency, float(torch.rand(1, generator=random)))
    return (drawn - drawn.mean()) / drawn.std(correction=0)


def _padded(parts: Sequence[np.ndarray]) -> np.ndarray:
    """What was seen of a growing population as `[T, M, F]`, NaN before a member existed."""
    found = np.full((len(parts), len(parts[-1]), parts[-1].shape[1]), np.nan, dtype=complex)
    for look, seen in zip(found, parts, strict=True):
        look[: len(seen)] = seen
    return found


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables. Of sums: `components` (a row a sum, seed and frequency), `course` (and look), `norms` (sum, seed,
    look and layer). Of the sum of equal amplitudes: `kept` (seed, displacement and frequency), `twins` (twin),
    `parting` (twin, look and frequency), `peaks` (twin and frequency of the sum). Of curves: `curves` (curve, seed and
    look), `left` (curve, seed and frequency), `lengths` (curve). Of noise: `noise` (kind, seed and look), `dips` (kind
    and seed)."""
    parts = {kind: [s for s in shards if s.compute is kind] for kind in (learn, wind, disturb)}
    tables = stacked(_of_sum(shard) for shard in parts[learn])
    tables |= stacked(_of_kicks(shard) for shard in parts[learn] if shard.of == EQUAL)
    tables |= stacked(map(_of_curves, parts[wind]))
    tables["noise"] = pd.concat(map(_of_noise, parts[disturb]), ignore_index=True)
    tables["lengths"] = tables["lengths"].drop_duplicates("curve", ignore_index=True)
    settings = dict.fromkeys(("noise", "dips"), params.noise_setting)
    settings |= dict.fromkeys(("curves", "left", "lengths"), params.petal_setting)
    tables["components"] = with_halves(tables["components"], tables["kept"])
    tables["dips"] = dips(tables["noise"])
    return {name: table.assign(setting=settings.get(name, params.setting)) for name, table in tables.items()}


def _of_sum(shard: Shard) -> dict[str, pd.DataFrame]:
    """When the networks of a shard learned each frequency, how they did, and the norms of their weights."""
    seeds, looks, truth = shard.config["seeds"], shard["looks"], shard["truth"]
    axes = {"seed": seeds, "frequency": [int(k) for k, _ in shard.config["components"]]}
    own = shard["spectrum"][:, : len(seeds), [k - 1 for k in axes["frequency"]]]
    missing = np.abs(own - truth) / np.abs(truth)
    course = grid(np.abs(own) / np.abs(truth), {"step": looks} | axes, "amplitude").assign(missing=missing.ravel())
    components = grid(first(missing <= THERE, looks), axes, "learned").assign(missing=missing[-1].ravel())
    norms = grid(shard["norms"], {"step": looks, "seed": seeds, "layer": None}, "norm")
    found = {"components": components, "course": course, "norms": norms}
    return {name: table.assign(sum=shard.of) for name, table in found.items()}


def first(reached: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """The look at which something was first so, `reached [T, ...]`; infinite where it never was."""
    return np.where(reached.any(0), looks[reached.argmax(0)], np.inf)


def _of_kicks(shard: Shard) -> dict[str, pd.DataFrame]:
    """What displacements left of each frequency, and how far twins and strangers were apart."""
    seeds, looks, found = shard.config["seeds"], shard["looks"], shard["spectrum"]
    frequencies = [int(k) for k, _ in shard.config["components"]]
    some, radii = [k - 1 for k in frequencies], shard.config["displacements"]
    axes = {"displacement": radii, "seed": seeds, "frequency": frequencies}
    kept = grid(shard["modulus"][..., some], axes, "modulus")
    kept["along"] = shard["along"][..., some].ravel()
    twins = pd.DataFrame({name.removeprefix("twin_"): shard[name] for name in ("twin_seed", "twin_step", "twin_size")})
    twins["largest_difference"] = shard["largest_difference"]
    twins["kind"] = np.where(twins["size"] > 0, "twin", "control")
    twins = twins.rename(columns={"step": "kicked"})
    parting, all_of_them = [], np.arange(1, found.shape[2] + 1)
    for row, twin in twins[twins.kind == "twin"].iterrows():
        own, after = seeds.index(twin.seed), looks >= twin.kicked
        key = {"step": looks[after], "frequency": all_of_them}
        apart = np.abs(found[after, 2 * len(seeds) + row] - found[after, own])
        strange = np.abs(found[after, len(seeds) + own] - found[after, own])
        parting.append(grid(apart, key, "twins").assign(strangers=strange.ravel(), seed=twin.seed, kicked=twin.kicked))
    whole = pd.concat(parting, ignore_index=True)
    of_sum = whole[whole.frequency.isin(frequencies)]
    peaks = of_sum.groupby(["seed", "kicked", "frequency"])[["twins", "strangers"]].max().reset_index()
    return {"kept": kept, "twins": twins, "parting": whole, "peaks": peaks}


def with_halves(components: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """Beside each frequency of the sum of equal amplitudes the displacement after which half of it is in its place;
    infinite where none that was tried leaves so little."""
    cells = kept.sort_values("displacement").groupby(["seed", "frequency"])
    rows = [(EQUAL, *key, half(own.displacement, own.along)) for key, own in cells]
    return components.merge(pd.DataFrame(rows, columns=["sum", "seed", "frequency", "half"]), "left")


def half(displacements: Sequence[float], kept: Sequence[float]) -> float:
    """Where what is kept, 1 without displacement, first falls to a half; on straight lines between displacements."""
    at, left = np.array([0.0, *displacements]), np.array([1.0, *kept])
    low = np.flatnonzero(left <= 0.5)
    if not len(low):
        return math.inf
    ends = slice(low[0] - 1, low[0] + 1)
    return float(np.interp(0.5, left[ends][::-1], at[ends][::-1]))


def _of_curves(shard: Shard) -> dict[str, pd.DataFrame]:
    curves = {"curve": shard["curves"]}
    seeds = {"seed": shard.config["seeds"]}
    missing = np.moveaxis(shard["missing"], 1, 2)
    return {
        "curves": grid(missing, curves | seeds | {"step": shard["looks"]}, "missing"),
        "left": grid(shard["left"], curves | seeds | {"frequency": shard.config["frequencies"]}, "missing"),
        "lengths": grid(shard["lengths"], curves, "length"),
    }


def _of_noise(shard: Shard) -> pd.DataFrame:
    kinds = pd.DataFrame({"kind": shard["kind"], "frequency": shard["frequency"], "place": range(len(shard["kind"]))})
    axes = {"place": range(len(kinds)), "step": shard["looks"], "seed": shard.config["seeds"]}
    found = grid(shard["validation"], axes, "validation").assign(learned=shard["learned"].ravel())
    return found.merge(kinds, on="place").drop(columns="place")


def dips(noise: pd.DataFrame) -> pd.DataFrame:
    """Of every run: the lowest error on test images and its update, the last error over the lowest, and the update at
    which half of the noise had been learned."""
    rows = []
    for (kind, frequency, seed), run in noise.groupby(["kind", "frequency", "seed"]):
        own = run.sort_values("step")
        lowest = own.validation.min()
        row = {"kind": kind, "frequency": frequency, "seed": seed, "lowest": lowest}
        row |= {"at": own.step[own.validation.idxmin()], "depth": own.validation.iloc[-1] / lowest}
        reached = (own.learned >= 0.5).to_numpy() & (own.step > 0).to_numpy()
        rows.append(row | {"half": float(first(reached, own.step.to_numpy())), "last": own.step.max()})
    return pd.DataFrame(rows)


# --- claims: low frequencies first -----------------------------------------------------------------------------------

TOLD = {"origin": Origin.PAPER, "place": "second hand: notes of the full text"}


def _learned(t: Tables, name: str) -> pd.DataFrame:
    """The frequencies of a sum that networks have learned, of the networks that learned four or more."""
    some = t["components"][(t["components"]["sum"] == name) & (t["components"].learned < math.inf)]
    return some[some.groupby("seed").learned.transform("size") >= FEWEST]


@study.unless
def unlearned(t: Tables) -> str:
    """Claims are void where more than one in eight networks have learned fewer than four frequencies of a sum of many.
    (Those that have are left out of claims on what was learned.)
    """
    some = t["components"][t["components"]["sum"].isin([EQUAL, RISING])]
    weak = (some.learned < math.inf).groupby([some["sum"], some.seed]).sum() < FEWEST
    return f"{weak.sum()} of {len(weak)} networks learned fewer than {FEWEST} frequencies" if weak.mean() > WEAK else ""


def _order(t: Tables, name: str) -> Interval:
    """Rank correlation of frequency and time; what was not learned comes last, all alike."""
    table = t["components"][t["components"]["sum"] == name].pivot_table("learned", "seed", "frequency")
    return intervals.correlation([_ranked(table.columns, row) for row in table.to_numpy()])


def _ranked(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; infinite values are the last, all alike. Not a number where all are alike."""
    ranks = stats.rankdata(y)
    return float(np.corrcoef(stats.rankdata(x), ranks)[0, 1]) if np.ptp(ranks) else math.nan


def _power(table: pd.DataFrame, column: str) -> Interval:
    """The exponent of a power of the frequency laid through each seed's finite values, mean over seeds."""
    finite = table[np.isfinite(table[column])]
    lines = [np.polyfit(np.log(own.frequency), np.log(own[column]), 1)[0] for _, own in finite.groupby("seed")]
    return intervals.mean(lines)


# Chance is 0, perfect order 1; the bound is halfway. (16 seeds that agree in perfect order exclude less than 0.58.)
BOUND, HALFWAY = 0.5, 0.25  # and effects are planted halfway from there to perfect order
ORDER = "rank correlation over frequencies of the frequency and the update at which 80 % of it are there"


@study.claim("SB01", by=ORDER, region=above(BOUND), margin=HALFWAY, figure="a", **TOLD)
def low_first(t: Tables) -> Interval:
    """Of a sum of waves of equal amplitude, networks learn the lower frequencies first."""
    return _order(t, EQUAL)


@study.claim(
    "SB01b", by="exponent of the update at which a frequency has been learned, as a power of the frequency",
    region=above(1.0), origin=Origin.OURS, margin=0.5, figure="a",
)  # fmt: skip
def more_than_in_proportion(t: Tables) -> Interval:
    """To learn a frequency twice as high takes more than twice as long."""
    return _power(_learned(t, EQUAL).query("learned > 0"), "learned")


@study.claim("SB02", by=ORDER, region=above(BOUND), margin=HALFWAY, figure="a", **TOLD)
def low_first_though_faint(t: Tables) -> Interval:
    """Networks learn the lower frequencies first even where the higher ones have larger amplitudes."""
    return _order(t, RISING)


# --- claims: displacements -------------------------------------------------------------------------------------------


def _fragile(t: Tables, column: str) -> Interval:
    """Rank correlation, over the frequencies that a network learned, of frequency and what a displacement leaves of it,
    mean over displacements."""
    kept = t["kept"].merge(_learned(t, EQUAL)[["seed", "frequency"]])
    each = [(seed, _ranked(own.frequency, own[column])) for (seed, _), own in kept.groupby(["seed", "displacement"])]
    return intervals.correlation(pd.DataFrame(each).groupby(0)[1].mean())


FRAGILE = "rank correlation, over frequencies learned, of the frequency and the share of"


@study.claim(
    "SB03", by=f"{FRAGILE} its amplitude that a displacement leaves, mean over displacements", region=below(-BOUND),
    margin=HALFWAY, origin=Origin.ABSTRACT, figure="b",
    place="direction: abstract; statistic: authors' notebook ICML_Robustness",
)  # fmt: skip
def high_is_fragile(t: Tables) -> Interval:
    """Of the frequencies learned, a random displacement of the weights leaves less of the amplitude of higher ones."""
    return _fragile(t, "modulus")


@study.claim(
    "SB03b", by=f"{FRAGILE} it that a displacement leaves in its place, mean over displacements", region=below(-BOUND),
    margin=HALFWAY, origin=Origin.OURS, figure="b",
)  # fmt: skip
def high_is_fragile_in_place(t: Tables) -> Interval:
    """Of the frequencies learned, a random displacement of the weights leaves less in its place of higher ones."""
    return _fragile(t, "along")


def _halved(t: Tables) -> pd.DataFrame:
    """The frequencies learned above the highest that no displacement halved, of each network: taking all that were
    halved would prefer, of the low ones, those that happen to be fragile."""
    own = _learned(t, EQUAL)
    beyond = own.frequency.where(np.isinf(own.half), 0).groupby(own.seed).transform("max")
    return own[own.frequency > beyond]


def few_halves(t: Tables) -> str:
    """Claims are void by the rule for all, or where in more than one in eight networks fewer than three frequencies lie
    above the highest that was not halved. (Those networks are left out.)
    """
    seeds = _learned(t, EQUAL).seed.unique()
    weak = _halved(t).groupby("seed").size().reindex(seeds, fill_value=0) < 3
    few = f"{weak.sum()} networks have fewer than 3 frequencies that were halved" if weak.mean() > WEAK else ""
    return "; ".join(filter(None, [unlearned(t), few]))


# As read off the authors' figure, of amplitudes: 20 Hz are half lost at 3 to 4, 50 Hz at 1.3, an exponent of about -1.
# Amplitudes of low frequencies are not halved here, since a displacement adds some; what is in its place is.
@study.claim(
    "SB03c", by="exponent of the displacement that leaves half of a frequency in its place, as a power of the "
    "frequency",
    region=between(-1.5, -0.67), unless=few_halves, origin=Origin.OURS, figure="b",
)  # fmt: skip
def in_inverse_proportion(t: Tables) -> Interval:
    """The displacement that leaves half of a frequency in its place is about inversely proportional to the
    frequency."""
    found = _halved(t)
    return _power(found[found.groupby("seed").half.transform("size") >= 3], "half")


# --- claims: noise ---------------------------------------------------------------------------------------------------

DISTURBED = {"figure": "c", "scope": "{params.disturbed}"}


def confused(t: Tables) -> str:
    """Claims are void where without noise a network does not bring the squared error on test images below a half."""
    weak = int((t["dips"].query("kind == @CLEAN").lowest > 0.5).sum())
    return f"{weak} networks did not learn to tell the digits apart" if weak else ""


def _of_kind(t: Tables, kind: str, which: int = 0) -> pd.DataFrame:
    """The runs of one kind of noise by seed; of waves the lowest frequency (0), or the highest (-1)."""
    runs = t["dips"][t["dips"].kind == kind]
    return runs[runs.frequency == sorted(runs.frequency.unique())[which]].set_index("seed").sort_index()


def _low(t: Tables) -> pd.DataFrame:
    return _of_kind(t, WAVE, 0)


def _high(t: Tables) -> pd.DataFrame:
    return _of_kind(t, WAVE, -1)


@study.claim(
    "SB04", by="ratio of the lowest squared errors along training on test images without noise, noise of the lowest "
    "frequency over noise of the highest", region=above(1.0), unless=confused, **TOLD, **DISTURBED,
)  # fmt: skip
def low_noise_hurts_more(t: Tables) -> Interval:
    """Equally strong noise in the labels hurts more where it is of low frequency."""
    return intervals.geometric_mean(_low(t).lowest / _high(t).lowest)


@study.claim(
    "SB04b", by="ratio of the depths of the dip (last over lowest squared error on test images without noise), noise "
    "of the highest frequency over noise of the lowest", region=above(1.0), unless=confused, **TOLD, **DISTURBED,
)  # fmt: skip
def high_noise_makes_a_dip(t: Tables) -> Interval:
    """Under noise of high frequency the error on clean test images falls early and rises again, more than under noise
    of low frequency."""
    return intervals.geometric_mean(_high(t).depth / _low(t).depth)


@study.claim(
    "SB04c", by="rank correlation over frequencies of the noise's frequency and the depth of the dip",
    region=above(BOUND), margin=HALFWAY, unless=confused, **TOLD, **DISTURBED,
)  # fmt: skip
def the_higher_the_deeper(t: Tables) -> Interval:
    """The higher the frequency of the noise, the deeper the dip of the error on clean test images."""
    depths = t["dips"].query("kind == @WAVE").pivot_table("depth", "seed", "frequency")
    return intervals.correlation([_ranked(depths.columns, row) for row in depths.to_numpy()])


@study.claim(
    "SB04d", by="ratio of the updates at which half of the noise has been learned, lowest frequency over highest",
    region=below(1.0), unless=confused, origin=Origin.OURS, **DISTURBED,
)  # fmt: skip
def low_noise_is_learned_first(t: Tables) -> Interval:
    """Noise of low frequency in the labels is learned sooner than noise of high frequency."""
    return _ratio_of_times(_low(t), _high(t))


@study.claim(
    "SB04e", by="ratio of the lowest squared errors along training on test images without noise, noise of the highest "
    "frequency over white noise", region=between(0.8, 1.25), unless=confused, origin=Origin.OURS, **DISTURBED,
)  # fmt: skip
def high_noise_is_as_white(t: Tables) -> Interval:
    """Noise of the highest frequency tried hurts no more and no less than white noise."""
    return intervals.geometric_mean(_high(t).lowest / _of_kind(t, WHITE).lowest)


def _ratio_of_times(above: pd.DataFrame, below: pd.DataFrame) -> Interval:
    """Geometric mean of a ratio of times, of which those after the end of training are known as bounds."""
    ends = [(own.half.clip(upper=own["last"]), own.half) for own in (above, below)]
    (low, high), (low_below, high_below) = ends
    return intervals.between_bounds(low / high_below, high / low_below)


# --- claims: petals --------------------------------------------------------------------------------------------------

AROUND = {"figure": "d", "scope": "{params.around}"}


def unwound(t: Tables) -> str:
    """Claims are void where on no curve a network learned half of the power of its values."""
    best = _ends(t).min(axis=1)
    return f"{int((best > 0.5).sum())} seeds learned nothing on any curve" if (best > 0.5).any() else ""


def _ends(t: Tables) -> pd.DataFrame:
    """The share of the power missing at the end, a row a seed and a column a curve."""
    last = t["curves"][t["curves"].step == t["curves"].step.max()]
    return last.pivot_table("missing", "seed", "curve")


def _flowers(ends: pd.DataFrame) -> list[str]:
    return sorted((name for name in ends if not name.startswith(CIRCLE)), key=int)


@study.claim(
    "SB05", by="rank correlation over curves of the number of petals and the share of the power missing at the end",
    region=below(-BOUND), margin=HALFWAY, unless=unwound, origin=Origin.ABSTRACT, **AROUND,
)  # fmt: skip
def petals_help(t: Tables) -> Interval:
    """The more petals a curve has, the better a network learns the same high frequencies along it."""
    ends = _ends(t)
    names = _flowers(ends)
    return intervals.correlation([_ranked([int(name) for name in names], row) for row in ends[names].to_numpy()])


@study.claim(
    "SB05b", by="ratio of the shares of the power missing at the end, most petals over the circle", region=below(0.5),
    margin=2.0, unless=unwound, **TOLD, **AROUND,
)  # fmt: skip
def petals_halve_what_is_missing(t: Tables) -> Interval:
    """Around the flower with the most petals less than half as much is missing at the end as around the circle."""
    ends = _ends(t)
    names = _flowers(ends)
    return intervals.geometric_mean(ends[names[-1]] / ends[names[0]])


@study.claim(
    "SB05d", by="largest of the ratios of the shares of the power missing at the end, from each number of petals to "
    "the next", region=below(1.0), margin=2.0, unless=unwound, **TOLD, **AROUND,
)  # fmt: skip
def every_step_helps(t: Tables) -> Interval:
    """Each step to a flower with more petals leaves less missing at the end."""
    ends = _ends(t)
    shares = ends[_flowers(ends)].to_numpy()
    return intervals.largest_ratio(shares[:, 1:] / shares[:, :-1])


# A flower is longer than the circle, so that a wave along it is longer in the plane: is that all?
@study.claim(
    "SB05c", by="ratio of the shares of the power missing at the end, flower over a circle as long, geometric mean "
    "over flowers", region=below(1.0), margin=2.0, unless=unwound, origin=Origin.OURS, **AROUND,
)  # fmt: skip
def petals_do_more_than_length(t: Tables) -> Interval:
    """Around flowers less is missing at the end than around circles of the same length."""
    ends = np.log(_ends(t))
    ratios = [ends[name] - ends[CIRCLE + name] for name in _flowers(ends)[1:]]
    return intervals.geometric_mean(np.exp(sum(ratios) / len(ratios)))


# --- claims: norms ---------------------------------------------------------------------------------------------------


def _size(t: Tables, name: str) -> pd.DataFrame:
    """The geometric mean over layers of the spectral norms, a row a seed and a column a look."""
    some = t["norms"][t["norms"]["sum"] == name]
    return np.exp(np.log(some.norm).groupby([some.seed, some.step]).mean()).unstack()


@study.claim(
    "SB06", by="rank correlation over looks of the spectral norm of the weights, geometric mean over layers, and the "
    "number of frequencies learned so far", region=above(BOUND), margin=HALFWAY, figure="e", **TOLD,
)  # fmt: skip
def norms_grow_with_frequencies(t: Tables) -> Interval:
    """The spectral norms of the weights grow as one frequency after another is learned."""
    sizes, rows = _size(t, EQUAL), t["components"][t["components"]["sum"] == EQUAL]
    found = []
    for seed, own in rows.groupby("seed"):
        learned = (own.learned.to_numpy()[:, None] <= sizes.columns.to_numpy()).sum(0)
        found.append(_ranked(sizes.loc[seed], learned))
    return intervals.correlation(found)


# Norms may grow whatever is learned: hold them against those of networks that learn one frequency of equal power.
@study.claim(
    "SB06b", by="ratio of the growth of the spectral norms over training, sum of many frequencies over the lowest "
    "alone with as much power", region=above(1.0), origin=Origin.OURS, figure="e",
)  # fmt: skip
def norms_grow_more_for_high_frequencies(t: Tables) -> Interval:
    """The spectral norms of the weights grow more where high frequencies are to be learned than where there is one low
    frequency of equal power."""
    growth = [sizes[sizes.columns.max()] / sizes[sizes.columns.min()] for sizes in (_size(t, EQUAL), _size(t, LOW))]
    return intervals.geometric_mean(growth[0] / growth[1])


# --- claims: kicked twins --------------------------------------------------------------------------------------------


def lost_twins(t: Tables) -> str:
    """Claims are void by the rule for all, or where a control twin differs from its parent."""
    return "; ".join(filter(None, [unlearned(t), differing_controls(t["twins"])]))


def _relative(t: Tables, look: pd.DataFrame) -> Interval:
    """The exponent of the distance between twins over that of strangers, as a power of the frequency, over those of the
    sum; at a look for every seed."""
    some = t["parting"].merge(look)
    some = some[some.frequency.isin(t["components"].frequency.unique())]
    return _power(some.assign(ratio=some.twins / some.strangers), "ratio")


SMALL = 0.01  # of the distance between strangers: until then a difference is small


def _still_small(t: Tables) -> pd.DataFrame:
    """For every seed the last look after a kick at the start at which the twins' distance has never been more than
    small, over all frequencies."""
    parting = t["parting"][t["parting"].kicked == 0]
    squares = parting.assign(twins=parting.twins**2, strangers=parting.strangers**2)
    sums_of = squares.groupby(["seed", "step"])[["twins", "strangers"]].sum()
    small = (sums_of.twins <= SMALL**2 * sums_of.strangers).unstack().cummin(axis=1)
    found = [(seed, 0, int(row.index[row][-1])) for seed, row in small.iterrows() if row.iloc[0]]
    return pd.DataFrame(found, columns=["seed", "kicked", "step"])


def never_small(t: Tables) -> str:
    """Claims are void by the rule for twins, or where a kick at the start is not small at once."""
    few = len(_still_small(t)) < t["parting"].seed.nunique()
    return "; ".join(filter(None, [lost_twins(t), "kicks that are not small at the start" if few else ""]))


EXPONENT = "exponent of the distance between twins over that of strangers, as a power of the frequency"


@study.claim(
    "SB07", by=f"{EXPONENT}, at the last look before a hundredth is reached", region=between(-0.5, 0.5),
    origin=Origin.OURS, unless=never_small, figure="f",
)  # fmt: skip
def small_differences_grow_alike(t: Tables) -> Interval:
    """While they are small, differences between twins kicked at the start grow alike at all frequencies, as compared
    with those between networks that started elsewhere."""
    return _relative(t, _still_small(t))


@study.claim(
    "SB07b", by=f"{EXPONENT}, at the end, kicked amid training", region=below(0.0), margin=1.0, origin=Origin.OURS,
    unless=lost_twins, figure="f",
)  # fmt: skip
def late_twins_part_at_low_frequencies(t: Tables) -> Interval:
    """Twins kicked amid training end further apart, as compared with networks that started elsewhere, the lower the
    frequency."""
    late = t["parting"][t["parting"].kicked > 0]
    return _relative(t, late.groupby(["seed", "kicked"]).step.max().reset_index())


def _ahead(t: Tables) -> pd.Series:
    """The largest distances of late twins from their parents, geometric means over the frequencies learned after the
    kick, over that of those learned before, by seed; NaN where there are none."""
    late = t["peaks"][t["peaks"].kicked > 0].merge(_learned(t, EQUAL)[["seed", "frequency", "learned"]])
    logs = np.log(late.twins).groupby([late.seed, late.learned <= late.kicked]).mean().unstack()
    return np.exp(logs.reindex(columns=[False, True])[False] - logs.reindex(columns=[False, True])[True])


def one_sided(t: Tables) -> str:
    """Claims are void by the rule for twins, or where more than one in eight networks had learned all or none of their
    frequencies when their twins were kicked. (Those are left out.)
    """
    bad = _ahead(t).isna()
    sided = f"{bad.sum()} kicks came before or after all frequencies" if bad.mean() > WEAK else ""
    return "; ".join(filter(None, [lost_twins(t), sided]))


@study.claim(
    "SB08", by="ratio of the largest distances between twins, geometric mean over frequencies learned after the kick "
    "over that of frequencies learned before", region=above(1.0), margin=2.0, origin=Origin.OURS, unless=one_sided,
    figure="f",
)  # fmt: skip
def twins_part_at_what_is_to_come(t: Tables) -> Interval:
    """Twins kicked amid training part more at the frequencies that are still to be learned than at those that have been
    learned."""
    return intervals.geometric_mean(_ahead(t).dropna())
