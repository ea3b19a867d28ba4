"""Notebook 42: which way the tangent kernel turns.

Networks learn digits with true labels and with many wrong ones, and their tangent kernels are watched: how they are
aligned with the labels, how many directions they have, layer by layer, for easy and for difficult images. Networks of
several widths give a complexity along the way they took. And twins are kicked while the kernel is watched: does it stop
turning when chaos ends?
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import data, kernel
from butterfly.data import Data
from butterfly.evaluate import logits, predictions
from butterfly.interpolate import EPSILON, barriers
from butterfly.models import Model
from butterfly.objective import cross_entropy
from butterfly.papers.baratin2021 import PAPER
from butterfly.perturb import Kick
from butterfly.represent import angle
from butterfly.score import pointwise
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Setting, Shard, Study, Tables, Times
from butterfly.study import grid, intervals, plain, rising_sizes, rising_times, stacked
from butterfly.study.claims import above, below, between, differing_controls
from butterfly.study.parameters import check_times
from butterfly.train import Fork, Observer, Population, Recipe, Snapshot, learning_rate, parent_rows, train

# Whose kernel it is, and which labels it is held against.
TRAIN, TEST, RIGHT, WRONG, EASY, HARD = "training", "test", "right labels", "wrong labels", "easy", "hard"
GIVEN, TRUE, SHUFFLED = "given", "true", "shuffled"
OTHER = 100_000  # seeds of strangers, who say which images are easy, are this much and its multiples higher
REFERENCE, SLOWER = "reference", "smaller steps"  # arms of the part on chaos
# Percent of training: while kicks matter and when they no longer do (notebook 01), and two parts of what comes after.
CHAOTIC, CALM, EARLIER, LATER = (0.0, 10.0), (50.0, 80.0), (30.0, 50.0), (60.0, 80.0)
HALF, ENDED = 0.5, 0.1  # chaos is half over, and has ended, when a kick leaves this share of the first kick's barrier
LEARNED, MEMORISED, REACHED = 0.9, 0.9, 0.9  # shares: of test images, of wrong labels, of networks


class Params(OneModel):
    """Parameters of notebook 42."""

    setting: str = "digits-kernel"
    steps: int | None = Field(300, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    noises: tuple[float, ...] = (0.0, 0.5)  # shares of wrong labels
    examples: int = Field(40, ge=20)  # whose kernel is taken
    looks: int = Field(10, ge=5)
    tops: tuple[int, ...] = (16, 32, 64)  # numbers of eigenvalues whose share of the trace is taken
    strangers: int = Field(2, ge=1)  # networks a seed that say which images are easy
    path_models: tuple[str, ...] = ("mlp-2x16", "mlp-2x64")
    path_noises: tuple[float, ...] = (0.0, 0.5)
    path_steps: int | None = Field(200, gt=0)
    path_looks: int = Field(20, ge=5)
    level: float = Field(1.0, gt=0)  # of the training loss, at which networks are compared
    chaos_setting: str = "mnist1d"
    chaos_steps: int | None = Field(100, gt=0)
    chaos_examples: int = Field(50, ge=20)
    chaos_looks: int = Field(11, ge=5)
    kick_times: Times = (0.0, 10.0, 50.0)  # percent of training
    size: float = Field(1e-4, gt=0)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    slower: float = Field(3.0, gt=1)  # what the learning rate is divided by in a second arm

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        rising_sizes("tops", self.tops)
        for name in ("noises", "path_noises"):
            values = getattr(self, name)
            if len(values) < 2 or values[0] != 0 or list(values) != sorted(set(values)) or values[-1] >= 1:
                raise ValueError(f"{name} = {list(values)}: give two or more rising shares from 0 to below 1")
        if not self.tops or self.kick_times[0] != 0 or len(self.kick_times) < 3:
            raise ValueError("give one or more tops, and three or more kick_times that begin at 0")
        if len(self.path_models) < 2 or len(set(self.path_models)) < len(self.path_models):
            raise ValueError(f"path_models = {list(self.path_models)}: give two or more different ones")
        return self

    @property
    def most(self) -> float:
        """The largest share of wrong labels, in percent."""
        return 100 * self.noises[-1]

    @property
    def travelled(self) -> str:
        """The data and the architectures of claims on the complexity."""
        return f"{self.chosen(self.setting).data}, {' and '.join(self.path_models)}"

    @property
    def arms(self) -> dict[str, Setting]:
        """The training that twins are kicked in, and the same with a smaller learning rate."""
        own = plain(self.chaos_setting, self.chaos_steps)
        return {REFERENCE: own, SLOWER: own.changed(lr=own.recipe.lr / self.slower)}

    @property
    def kicked(self) -> str:
        """The data and the architecture of claims on twins."""
        found = plain(self.chaos_setting)
        return f"{found.data}, {found.model}"


study = Study("42_alignment", Params, PAPER)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every few seeds one shard a share of wrong labels, one a network on its path, and one an arm with twins."""
    chosen, several = params.chosen(params.setting, params.steps), params.few()
    _check(params, chosen)
    watched = {"examples": params.examples, "looks": params.looks, "tops": list(params.tops)}
    shards = []
    for noise in params.noises:
        own = {"noise": noise, "strangers": 0 if noise else params.strangers}
        shards += [Shard(turn, study.config(chosen, params, seeds=few, **watched, **own)) for few in several]
    for name in params.path_models:
        network = params.chosen(params.setting, params.path_steps).changed(model=name)
        for noise in params.path_noises:
            own = {"noise": noise, "examples": params.examples, "looks": params.path_looks}
            shards += [Shard(travel, study.config(network, params, seeds=few, **own), name) for few in several]
    own = {"kick_times": list(params.kick_times), "size": params.size, "points": params.points}
    own |= {"examples": params.chaos_examples, "looks": params.chaos_looks}
    for arm, setting in params.arms.items():
        check_times(setting, params.kick_times)
        shards += [Shard(kick, study.config(setting, params, seeds=few, **own), arm) for few in several]
    return shards


def _check(params: Params, chosen: Setting) -> None:
    """No more eigenvalues can be taken than a kernel has, and no more images with wrong labels than there are."""
    task = data.load(chosen.data)
    if params.tops[-1] >= params.examples * task.classes:
        raise ValueError(f"tops = {list(params.tops)}: a kernel of {params.examples} examples has fewer eigenvalues")
    fewest = min([len(task.y_test), *(share * len(task.y) for share in params.noises if share)])
    if params.examples > fewest:
        raise ValueError(f"examples = {params.examples}: only {fewest:g} are there to choose from")


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def turn(bench: Bench) -> Arrays:
    """Train networks with a share of wrong labels, and look at the kernels of several sets of images.

    Over looks and seeds `[T, S]`: shares of right answers, `set/labels` alignments, effective rank; with a last axis
    the alignments of layers, shares of the trace, and the largest, mean and median eigenvalue of the training kernel.
    """
    given, looks = given_labels(bench.task, bench["noise"], bench.seeds), log_looks(bench.recipe.steps, bench["looks"])
    sets, tops = probes(bench, given), bench["tops"]
    watching = {"answers": lambda now: answers(now, given), "kernels": lambda now: look(now, sets, tops)}
    run = _fit(bench, given, watching, looks)
    names = np.array(list(kernel.layers(bench.model.layout)))
    found = _history(run.recorded("answers")) | _history(run.recorded("kernels"))
    return {"looks": np.array(looks), "names": names, **found}


@study.shard
def travel(bench: Bench) -> Arrays:
    """Train networks with a share of wrong labels, and measure the way they take.

    Over looks and seeds `[T, S]`: trace of the kernel by example, displacement since the look before and since the
    start, training loss, test error.
    """
    given, looks = given_labels(bench.task, bench["noise"], bench.seeds), log_looks(bench.recipe.steps, bench["looks"])
    rows = drawn(TRAIN, bench.seeds, torch.ones_like(given, dtype=torch.bool), bench["examples"])
    watching = {"journey": journey(bench.model.init(bench.seeds).to(bench.task.x), given, _pick(bench.task.x, rows))}
    run = _fit(bench, given, watching, looks)
    return {"looks": np.array(looks), **_history(run.recorded("journey"))}


@study.shard
def kick(bench: Bench) -> Arrays:
    """Train parents and kicked twins; how far the parents' kernels turn, and how far the twins part.

    Angles `[S, T, T]` between centred kernels, traced over outputs, of each parent at all pairs of looks; of every twin
    `[K]` that between its kernel and its parent's at the end, and the barrier.
    """
    seeds, times, steps = bench.seeds, bench["kick_times"], bench.recipe.steps
    cells = [(time, Kick(size=bench["size"]), seed) for time in times for seed in seeds]
    cells += [(times[-1], Kick(), seed) for seed in seeds]
    forks = [Fork(seed, bench.setting.step_at(time), own) for time, own, seed in cells]
    every = torch.ones(len(seeds), len(bench.task.y), dtype=torch.bool)
    x = _pick(bench.task.x, drawn(TRAIN, seeds, every, bench["examples"]))
    looks = np.linspace(0, steps, bench["looks"]).round().astype(int).tolist()
    watch = Observer("kernel", lambda now: _traced(now.model, now.theta[: len(seeds)], x), frozenset(looks))
    run = train(bench.model, bench.task, bench.recipe, seeds, forks, [watch])
    parents, twins = parent_rows(run.members), run.theta[len(seeds) :]
    ends = [_traced(bench.model, theta, x[parents]) for theta in (twins, run.theta[parents])]
    line = barriers(bench.model, run.theta[parents], twins, bench.task.x, bench.task.y, bench["points"])
    grams = torch.stack([found for _, found in run.recorded("kernel")], 1)  # [S, T, N, N]
    directions = F.normalize(grams.flatten(2), dim=2)
    return {
        "looks": np.array(looks),
        "turned": angle(directions @ directions.mT).cpu().numpy(),
        "seed": np.array([seed for *_, seed in cells]),
        "time": np.array([time for time, *_ in cells]),
        "kind": np.array(["twin" if own.size else "control" for _, own, _ in cells]),
        "kernel": angle(kernel.alignment(*ends)).cpu().numpy(),
        "barrier": line.of_loss.numpy(),
        "largest_difference": (twins - run.theta[parents]).abs().amax(1).cpu().numpy(),
    }


# --- training and looking --------------------------------------------------------------------------------------------


def log_looks(steps: int, count: int) -> list[int]:
    """The updates after which networks are looked at: the start, and about `count` evenly in the logarithm of time."""
    return sorted({0, *np.geomspace(1, steps, count).round().astype(int).tolist()})


def given_labels(task: Data, noise: float, seeds: Sequence[int]) -> Tensor:
    """The labels that the networks of each seed learn `[S, N]`: a share of them moved to another class, by the seed."""
    return torch.stack([data.with_label_noise(task, noise, seed)[0].y for seed in seeds])


def _fit(
    bench: Bench, given: Tensor, measures: Mapping[str, Callable[[Snapshot], Any]], looks: Sequence[int]
) -> Population:
    """Networks that learn the labels `given [S, N]`."""
    task = replace(bench.task, targets=F.one_hot(given, bench.task.classes).to(bench.task.x))
    watching = [Observer(name, measure, frozenset(looks)) for name, measure in measures.items()]
    return train(bench.model, task, bench.recipe, bench.seeds, observers=watching)


def answers(now: Snapshot, given: Tensor) -> dict[str, Tensor]:
    """Shares `[S]` of training images whose given label is answered, of those given a wrong one, and of test images
    answered rightly; NaN where no label is wrong."""
    fitted, wrong = predictions(now.model, now.theta, now.data.x) == given, given != now.data.y
    right = predictions(now.model, now.theta, now.data.x_test) == now.data.y_test
    return {
        "fitted": fitted.double().mean(1),
        "fitted_wrong": (fitted & wrong).sum(1) / wrong.sum(1).double(),
        "right": right.double().mean(1),
    }


@dataclass(frozen=True)
class Probe:
    """Examples `x [S, n, ...]`, other ones for each seed, and one-hot labels `[S, n, C]` by their kind."""

    x: Tensor
    labels: dict[str, Tensor]


def look(now: Snapshot, sets: Mapping[str, Probe], tops: Sequence[int]) -> dict[str, Tensor]:
    """Alignments of the centred kernels of all sets, and layers and spectrum of the first, as `turn` returns them."""
    first, *others = sets
    n = sets[first].x.shape[1]
    by_layer = kernel.gram_by_layer(now.model, now.theta, sets[first].x)
    layers = [kernel.centred(own, n) for own in by_layer.values()]
    grams = {first: sum(layers)}
    values = kernel.spectrum(grams[first])
    found = {
        "layers": torch.stack([kernel.target_alignment(own, sets[first].labels[GIVEN]) for own in layers], 1),
        "rank": kernel.effective_rank(values),
        "shares": torch.stack([kernel.trace_share(values, top) for top in tops], 1),
        "eigenvalues": torch.stack([values[:, 0], values.mean(1), values.median(1).values], 1),
    }
    for name in others:
        grams[name] = kernel.centred(kernel.gram(now.model, now.theta, sets[name].x), sets[name].x.shape[1])
    return found | {
        f"{name}/{kind}": kernel.target_alignment(gram, labels)
        for name, gram in grams.items()
        for kind, labels in sets[name].labels.items()
    }


def probes(bench: Bench, given: Tensor) -> dict[str, Probe]:
    """The sets of images by name: of training and of test; where labels are wrong those with right and with wrong
    labels, where none is the easy and the hard."""
    task, seeds, count = bench.task, bench.seeds, bench["examples"]
    true, true_test = (y.expand(len(seeds), -1) for y in (task.y, task.y_test))
    wrong = given != true
    every, every_test = (torch.ones_like(y, dtype=torch.bool) for y in (true, true_test))
    train_rows, test_rows = drawn(TRAIN, seeds, every, count), drawn(TEST, seeds, every_test, count)
    found = {
        TRAIN: _probe(task, task.x, train_rows, {GIVEN: given, TRUE: true}, seeds),
        TEST: _probe(task, task.x_test, test_rows, {TRUE: true_test}, seeds),
    }
    if wrong.any():
        rows = {RIGHT: drawn(RIGHT, seeds, ~wrong, count), WRONG: drawn(WRONG, seeds, wrong, count)}
    else:
        own = ease(bench)
        rows = {name: balanced(name, seeds, third(own, task.y, name), task.y, count) for name in (EASY, HARD)}
    return found | {name: _probe(task, task.x, some, {GIVEN: given, TRUE: true}) for name, some in rows.items()}


def _probe(task: Data, x: Tensor, rows: Tensor, labels: Mapping[str, Tensor], shuffled: Sequence[int] = ()) -> Probe:
    """The images in some rows `[S, n]` with their labels `[S, N]`; for the seeds `shuffled` also with those of the
    last kind in another order."""
    at = rows.to(x.device)
    own = {kind: values.gather(1, at) for kind, values in labels.items()}
    if len(shuffled):
        orders = [torch.randperm(rows.shape[1], generator=generator("kernel-shuffled", seed)) for seed in shuffled]
        own[SHUFFLED] = own[list(own)[-1]].gather(1, torch.stack(orders).to(x.device))
    return Probe(x[at], {kind: F.one_hot(values, task.classes).to(x) for kind, values in own.items()})


def drawn(name: str, seeds: Sequence[int], allowed: Tensor, count: int) -> Tensor:
    """For each seed the places `[S, count]` of examples, drawn from those `allowed [S, N]`."""
    found = []
    for seed, own in zip(seeds, allowed.cpu(), strict=True):
        places = own.nonzero()[:, 0]
        order = torch.randperm(len(places), generator=generator("kernel-examples", name, seed))
        found.append(places[order[:count]])
    return torch.stack(found)


def _pick(x: Tensor, rows: Tensor) -> Tensor:
    return x[rows.to(x.device)]


def balanced(name: str, seeds: Sequence[int], allowed: Tensor, y: Tensor, count: int) -> Tensor:
    """The same, about `count` in all, equally many of every class."""
    classes = y.unique().tolist()
    parts = [drawn(f"{name}/{label}", seeds, allowed & (y == label), count // len(classes)) for label in classes]
    return torch.cat(parts, 1)


def ease(bench: Bench) -> Tensor:
    """Mean margin `[S, N]` of every training image over looks at strangers, each seed's own, in the first third of a
    training with true labels."""
    task, count = bench.task, bench["strangers"]
    strangers = [seed + OTHER * (1 + k) for k in range(count) for seed in bench.seeds]
    recipe = bench.recipe.changed(steps=max(bench.recipe.steps // 3, 1))
    looks = frozenset(log_looks(recipe.steps, bench["looks"]))

    def margins(now: Snapshot) -> Tensor:
        return pointwise(logits(now.model, now.theta, task.x), task.y)["margin.logit"]

    run = train(bench.model, task, recipe, strangers, observers=[Observer("margins", margins, looks)])
    mean = torch.stack([found for _, found in run.recorded("margins")]).mean(0)
    return mean.unflatten(0, (count, -1)).mean(0)


def third(ease: Tensor, y: Tensor, which: str) -> Tensor:
    """Whether an example is in the easier or the harder third of its class, by `ease [S, N]`."""
    found = torch.zeros_like(ease, dtype=torch.bool)
    for label in y.unique():
        own = (y == label).nonzero()[:, 0]
        ranks = ease[:, own].argsort(1, descending=which == EASY).argsort(1)
        found[:, own] = ranks < len(own) // 3
    return found


def journey(start: Tensor, given: Tensor, x: Tensor) -> Callable[[Snapshot], dict[str, Tensor]]:
    """What measures the way of networks from their `start [S, P]`, kernels taken on `x [S, n, ...]`."""
    before = start

    def measure(now: Snapshot) -> dict[str, Tensor]:
        nonlocal before
        moved, before = (now.theta - before).norm(dim=1), now.theta.clone()
        traced = kernel.gram(now.model, now.theta, x, trace=True).diagonal(0, -2, -1)
        right = predictions(now.model, now.theta, now.data.x_test) == now.data.y_test
        return {
            "trace": traced.mean(1),
            "moved": moved,
            "distance": (now.theta - start).norm(dim=1),
            "loss": cross_entropy(logits(now.model, now.theta, now.data.x), given).double().mean(1),
            "error": 1 - right.double().mean(1),
        }

    return measure


def _traced(model: Model, theta: Tensor, x: Tensor) -> Tensor:
    """Centred kernels, traced over outputs, `[M, n, n]` in float64."""
    return kernel.centred(kernel.gram(model, theta, x, trace=True).double(), x.shape[1])


def _history(records: Sequence[tuple[int, Mapping[str, Tensor]]]) -> Arrays:
    """What was seen, by name, `[T, ...]`."""
    return {name: np.stack([found[name].cpu().numpy() for _, found in records]) for name in records[0][1]}


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables. Of networks and looks, by share of wrong labels: `answers`, `alignments` (and set and labels),
    `spectra`, `layers` (and layer). Of paths: `journeys` (a row a network and share, seed and look), `paths` (network,
    share and seed). Of twins, by arm: `twins` (twin), `turning` (seed and look), `ends` (seed)."""
    parts = {kind: [s for s in shards if s.compute is kind] for kind in (turn, travel, kick)}
    tables = stacked(map(_of_turn, parts[turn]))
    tables["journeys"] = pd.concat(map(_of_travel, parts[travel]), ignore_index=True)
    tables["paths"] = paths(tables["journeys"], params.level)
    tables |= stacked(_of_kick(shard, params.arms[shard.of].recipe) for shard in parts[kick])
    tables["ends"] = ends(tables["twins"], tables["turning"])
    of_twins = ("twins", "turning", "ends")
    return {k: t.assign(setting=params.chaos_setting if k in of_twins else params.setting) for k, t in tables.items()}


def _of_turn(shard: Shard) -> dict[str, pd.DataFrame]:
    axes = {"step": shard["looks"], "seed": shard.config["seeds"]}
    seen = grid(shard["fitted"], axes, "fitted")
    seen = seen.assign(fitted_wrong=shard["fitted_wrong"].ravel(), right=shard["right"].ravel())
    spectra = grid(shard["rank"], axes, "rank")
    for column, values in zip(("largest", "mean", "median"), np.moveaxis(shard["eigenvalues"], 2, 0), strict=True):
        spectra[column] = values.ravel()
    for top, values in zip(shard.config["tops"], np.moveaxis(shard["shares"], 2, 0), strict=True):
        spectra[f"top{top}"] = values.ravel()
    aligned = []
    for name in shard.found:
        if "/" in name:
            examples, labels = name.split("/")
            aligned.append(grid(shard[name], axes, "alignment").assign(examples=examples, labels=labels))
    found = {"answers": seen, "spectra": spectra, "alignments": pd.concat(aligned, ignore_index=True)}
    found["layers"] = grid(shard["layers"], axes | {"layer": [str(name) for name in shard["names"]]}, "alignment")
    return {name: table.assign(noise=shard.config["noise"]) for name, table in found.items()}


def _of_travel(shard: Shard) -> pd.DataFrame:
    axes = {"step": shard["looks"], "seed": shard.config["seeds"]}
    found = grid(shard["loss"], axes, "loss").assign(model=shard.of, noise=shard.config["noise"])
    return found.assign(**{name: shard[name].ravel() for name in ("trace", "moved", "distance", "error")})


def paths(journeys: pd.DataFrame, level: float) -> pd.DataFrame:
    """Of every network, where its training loss first reaches the level, or at the end: the complexity of its path,
    its distance from the start, and its test error.

    The complexity adds up, over looks, the root of the trace of the kernel times the displacement since the look
    before.
    """
    rows = []
    for key, run in journeys.groupby(["model", "noise", "seed"], sort=False):
        own = run.sort_values("step")
        below_it = (own.loss <= level).to_numpy()
        stop = below_it.argmax() if below_it.any() else len(own) - 1
        gone = (np.sqrt(own.trace) * own.moved).to_numpy()[: stop + 1].sum()
        last = own.iloc[stop]
        rows.append((*key, gone, last.distance, last.error, last.step, last.loss, bool(below_it.any())))
    columns = ["model", "noise", "seed", "complexity", "distance", "error", "step", "loss", "reached"]
    return pd.DataFrame(rows, columns=columns)


def _of_kick(shard: Shard, recipe: Recipe) -> dict[str, pd.DataFrame]:
    seeds, looks, turned = shard.config["seeds"], shard["looks"], shard["turned"]
    ahead = np.full(turned.shape[:2], np.nan)  # to the next look
    ahead[:, :-1] = turned[:, np.arange(len(looks) - 1), np.arange(1, len(looks))]
    table = grid(turned[:, :, -1], {"seed": seeds, "step": looks}, "to_end")
    table = table.assign(to_start=turned[:, :, 0].ravel(), to_next=ahead.ravel(), percent=100 * table.step / looks[-1])
    rates = np.cumsum([0.0, *(learning_rate(recipe, step) for step in range(recipe.steps))])
    twins = pd.DataFrame(
        {name: shard[name] for name in ("seed", "time", "kind", "barrier", "kernel", "largest_difference")}
    )
    return {"turning": table.assign(summed_lr=rates[table.step], arm=shard.of), "twins": twins.assign(arm=shard.of)}


def ends(twins: pd.DataFrame, turning: pd.DataFrame) -> pd.DataFrame:
    """Of every arm and seed, in percent of training: when kicks leave half of the barrier of the first, and next to
    nothing; when the kernel has turned half of its way; and the share of its way that is left when chaos has ended."""
    rows = []
    for key, some in twins[twins.kind == "twin"].groupby(["arm", "seed"], sort=False):
        own = some.sort_values("time")
        barrier = own.barrier.to_numpy() + EPSILON
        way = turning[(turning.arm == key[0]) & (turning.seed == key[1])].sort_values("step")
        ended = falls(own.time, barrier, ENDED)
        left = np.interp(ended, way.percent, way.to_end) / way.to_end.iloc[0] if math.isfinite(ended) else np.nan
        rows.append(
            (*key, barrier[0], falls(own.time, barrier, HALF), ended, falls(way.percent, way.to_end, HALF), left)
        )
    return pd.DataFrame(rows, columns=["arm", "seed", "barrier", "half_barrier", "ended", "half_kernel", "left"])


def falls(times: Sequence[float], values: Sequence[float], share: float) -> float:
    """Where a positive curve first falls to a share of its first value, on straight lines of its logarithm; infinite
    if it never does."""
    at, logs = np.asarray(times, dtype=float), np.log(np.maximum(np.asarray(values, dtype=float), 1e-12))
    level = logs[0] + math.log(share)
    low = np.flatnonzero(logs <= level)
    if not len(low):
        return math.inf
    some = slice(low[0] - 1, low[0] + 1)
    return float(np.interp(level, logs[some][::-1], at[some][::-1]))


def half_way(steps: Sequence[int], values: Sequence[float]) -> float:
    """The update at which a curve has first made half of its way from the start to its highest value, on straight lines
    against the logarithm of time, the start being at half an update; NaN if it never rises."""
    at, curve = np.log(np.maximum(np.asarray(steps, dtype=float), 0.5)), np.asarray(values, dtype=float)
    middle = (curve[0] + curve.max()) / 2
    if not curve.max() > curve[0]:
        return math.nan
    some = slice(int((curve >= middle).argmax()) - 1, int((curve >= middle).argmax()) + 1)
    return float(np.exp(np.interp(middle, curve[some], at[some])))


# --- claims: the kernel turns to the labels --------------------------------------------------------------------------

CODE = "statistic: authors' code, alignment.py"
TURNS = {"origin": Origin.ABSTRACT, "place": f"direction: abstract; {CODE}"}
TOLD = {"origin": Origin.PAPER, "place": f"second hand: notes of the figures; {CODE}"}
OURS = {"origin": Origin.OURS}


@study.unless
def unlearned(t: Tables) -> str:
    """Claims are void where a network trained on true labels never answers nine in ten test images rightly."""
    best = t["answers"][t["answers"].noise == 0].groupby("seed").right.max()
    weak = int((best < LEARNED).sum())
    return f"{weak} of {len(best)} networks did not learn the digits" if weak else ""


def _noise(t: Tables, noisy: bool) -> float:
    return t.params.noises[-1] if noisy else 0.0


def _curves(t: Tables, table: str, column: str, noisy: bool = False, **where: Any) -> pd.DataFrame:
    """A column of a table, a row a seed and a column a look."""
    some = t[table][t[table].noise == _noise(t, noisy)]
    for name, value in where.items():
        some = some[some[name] == value]
    return some.pivot(index="seed", columns="step", values=column)


def _aligned(t: Tables, examples: str, labels: str, noisy: bool = False) -> pd.DataFrame:
    return _curves(t, "alignments", "alignment", noisy, examples=examples, labels=labels)


def _peak(t: Tables) -> pd.Series:
    """The look at which most test images are answered rightly, of each seed that learns many wrong labels."""
    return _curves(t, "answers", "right", noisy=True).idxmax(axis=1)


def _at(curves: pd.DataFrame, steps: pd.Series) -> pd.Series:
    """Each seed's value at a look of its own."""
    places = curves.columns.get_indexer(steps.loc[curves.index])
    return pd.Series(curves.to_numpy()[np.arange(len(curves)), places], curves.index)


def _end_over_start(curves: pd.DataFrame) -> Interval:
    return intervals.geometric_mean(curves.iloc[:, -1] / curves.iloc[:, 0])


RISE = "alignment of the centred tangent kernel of"


@study.claim("FA01", by=f"{RISE} training images with their labels, end over start", region=above(1.0), figure="a",
             **TURNS)  # fmt: skip
def turns_to_the_labels(t: Tables) -> Interval:
    """Over training, the tangent kernel of training images turns towards their labels."""
    return _end_over_start(_aligned(t, TRAIN, GIVEN))


@study.claim("FA01b", by=f"{RISE} test images with their labels, end over start", region=above(1.0), figure="a",
             **TOLD)  # fmt: skip
def turns_to_test_labels(t: Tables) -> Interval:
    """Over training, the tangent kernel of test images turns towards their labels, which no network has seen."""
    return _end_over_start(_aligned(t, TEST, TRUE))


# A control: a kernel that merely gets simpler would not know these labels from the others.
@study.claim("FA01c", by=f"{RISE} training images with their labels in random order, end over start",
             region=below(1.1), figure="a", **OURS)  # fmt: skip
def turns_to_no_other_labels(t: Tables) -> Interval:
    """Towards labels in random order the kernel does not turn."""
    return _end_over_start(_aligned(t, TRAIN, SHUFFLED))


@study.claim("FA01d", by=f"{RISE} training images with their labels, end over a quarter of training",
             region=between(0.8, 1.25), figure="a", **TOLD)  # fmt: skip
def stays_aligned(t: Tables) -> Interval:
    """Once the kernel has turned towards the labels, its alignment stays where it is."""
    curves = _aligned(t, TRAIN, GIVEN)
    steps = curves.columns.to_numpy()
    return intervals.geometric_mean(curves.iloc[:, -1] / curves.iloc[:, np.abs(steps - steps[-1] / 4).argmin()])


# --- claims: fewer directions ----------------------------------------------------------------------------------------


def unmemorised(t: Tables) -> str:
    """Claims are void where a network trained on true labels never answers nine in ten test images rightly, or one
    trained on many wrong ones does not answer nine in ten of them at the end."""
    fitted = _curves(t, "answers", "fitted_wrong", noisy=True).iloc[:, -1]
    weak = int((fitted < MEMORISED).sum())
    return "; ".join(filter(None, [unlearned(t), f"{weak} networks did not learn the wrong labels" if weak else ""]))


RANK = "effective rank (exponential of the entropy of the spectrum) of the centred tangent kernel of training images"
NOISY = "with {params.most:g} % wrong labels"
PEAK = "the look at which test accuracy is highest"


@study.claim("FA02", by=f"{RANK}, end over start", region=below(1.0), figure="b", **TURNS)
def loses_directions(t: Tables) -> Interval:
    """Over training, the tangent kernel loses directions: its effective rank falls."""
    return _end_over_start(_curves(t, "spectra", "rank"))


@study.claim("FA02b", by="share of the {tops[0]} largest eigenvalues in the trace, end over start", region=above(1.0),
             figure="b", **TURNS)  # fmt: skip
def gathers_in_few_directions(t: Tables) -> Interval:
    """Over training, a larger share of the tangent kernel comes to lie in its {tops[0]} largest directions."""
    return _end_over_start(_curves(t, "spectra", f"top{t.params.tops[0]}"))


@study.claim("FA02c", by=f"{RANK}, {PEAK} over start, {NOISY}", region=below(1.0), figure="b", unless=unmemorised,
             **TOLD)  # fmt: skip
def loses_directions_at_first(t: Tables) -> Interval:
    """With {params.most:g} % wrong labels, the effective rank of the kernel falls at first, while test accuracy
    rises."""
    ranks = _curves(t, "spectra", "rank", noisy=True)
    return intervals.geometric_mean(_at(ranks, _peak(t)) / ranks.iloc[:, 0])


@study.claim("FA02d", by=f"{RANK}, end over {PEAK}, {NOISY}", region=above(1.0), figure="b", unless=unmemorised,
             **TOLD)  # fmt: skip
def gains_directions_to_memorise(t: Tables) -> Interval:
    """While {params.most:g} % wrong labels are memorised, the effective rank of the kernel rises again."""
    ranks = _curves(t, "spectra", "rank", noisy=True)
    return intervals.geometric_mean(ranks.iloc[:, -1] / _at(ranks, _peak(t)))


# --- claims: wrong labels --------------------------------------------------------------------------------------------


@study.claim("FA03", by=f"{RISE} test images with their true labels, {PEAK} over start, {NOISY}", region=above(1.0),
             figure="c", unless=unmemorised, **TOLD)  # fmt: skip
def rises_with_noise(t: Tables) -> Interval:
    """With {params.most:g} % wrong labels, the alignment of the kernel with true labels rises at first."""
    curves = _aligned(t, TEST, TRUE, noisy=True)
    return intervals.geometric_mean(_at(curves, _peak(t)) / curves.iloc[:, 0])


@study.claim("FA03b", by=f"{RISE} test images with their true labels, end over {PEAK}, {NOISY}", region=below(1.0),
             figure="c", unless=unmemorised, **TOLD)  # fmt: skip
def falls_with_noise(t: Tables) -> Interval:
    """While {params.most:g} % wrong labels are memorised, the alignment of the kernel with true labels falls again."""
    curves = _aligned(t, TEST, TRUE, noisy=True)
    return intervals.geometric_mean(curves.iloc[:, -1] / _at(curves, _peak(t)))


def _lag(t: Tables) -> pd.Series:
    """The update at which the alignment with true labels is highest, over that at which test accuracy is."""
    highest = _aligned(t, TEST, TRUE, noisy=True).idxmax(axis=1)
    return highest.clip(lower=0.5) / _peak(t).clip(lower=0.5)


LAG = f"update at which the {RISE} test images with their true labels is highest, over that at which test accuracy is"


# A factor of 2: looks are about a factor of 1.5 apart (laptop), and both curves are flat at their tops.
@study.claim("FA03c", by=f"{LAG}, {NOISY}", region=between(0.5, 2.0), figure="c", unless=unmemorised,
             **TOLD)  # fmt: skip
def turns_at_the_test_peak(t: Tables) -> Interval:
    """With {params.most:g} % wrong labels, the alignment of the kernel with true labels is highest about when test
    accuracy is."""
    return intervals.geometric_mean(_lag(t))


@study.claim("FA03d", by=f"fall of that alignment from {PEAK} to the end (end over peak), {NOISY} over none, same "
             "updates", region=below(1.0), figure="c", unless=unmemorised, **OURS)  # fmt: skip
def falls_because_of_noise(t: Tables) -> Interval:
    """It is the wrong labels that make the alignment fall: with true labels it falls less, if at all."""
    noisy, clean = (_aligned(t, TEST, TRUE, noisy) for noisy in (True, False))
    falls_by = [curves.iloc[:, -1] / _at(curves, _peak(t)) for curves in (noisy, clean)]
    return intervals.geometric_mean(falls_by[0] / falls_by[1])


def _true_over_given(t: Tables) -> pd.DataFrame:
    return _aligned(t, WRONG, TRUE, noisy=True) / _aligned(t, WRONG, GIVEN, noisy=True)


OF_WRONG = "alignment of the centred tangent kernel of images with wrong labels, with true over given labels"


# Over the start: an untrained kernel already groups images by what they are.
@study.claim("FA03e", by=f"{OF_WRONG}, {PEAK} over start", region=above(1.0), figure="c", unless=unmemorised, **OURS)
def knows_better_at_first(t: Tables) -> Interval:
    """While test accuracy rises, the kernel of mislabelled images turns towards what they are more than towards what
    they are called."""
    ratios = _true_over_given(t)
    return intervals.geometric_mean(_at(ratios, _peak(t)) / ratios.iloc[:, 0])


@study.claim("FA03f", by=f"{OF_WRONG}, end", region=below(1.0), figure="c", unless=unmemorised, **OURS)
def believes_in_the_end(t: Tables) -> Interval:
    """Once wrong labels have been memorised, the kernel of mislabelled images is aligned with what they are called more
    than with what they are."""
    return intervals.geometric_mean(_true_over_given(t).iloc[:, -1])


@study.claim("FA03g", by=f"{LAG}, {NOISY}", region=below(1.0), figure="c", unless=unmemorised, **OURS)
def turns_before_the_test_peak(t: Tables) -> Interval:
    """With {params.most:g} % wrong labels, the alignment of the kernel with true labels is highest before test accuracy
    is."""
    return intervals.geometric_mean(_lag(t))


# --- claims: easy and difficult --------------------------------------------------------------------------------------

DIFFICULT = {"origin": Origin.CODE, "place": "train.py --align-easy-diff, random labels; direction second hand"}


@study.claim("FA04", by="alignment of the centred tangent kernel with the given labels, images with right labels "
             f"over images with wrong ones, {PEAK}", region=above(1.0), figure="d", unless=unmemorised,
             **DIFFICULT)  # fmt: skip
def easy_is_aligned_more(t: Tables) -> Interval:
    """The kernel is aligned more with the labels of easy examples (right labels) than of difficult ones (wrong
    labels)."""
    right, wrong = (_at(_aligned(t, name, GIVEN, noisy=True), _peak(t)) for name in (RIGHT, WRONG))
    return intervals.geometric_mean(right / wrong)


def _half_ways(curves: pd.DataFrame) -> pd.Series:
    return curves.apply(lambda row: half_way(curves.columns, row), axis=1)


def flat(t: Tables) -> str:
    """Claims are void by the rule for wrong labels, or where the alignment with right or with wrong labels never rises
    above its start."""
    curves = [_aligned(t, name, GIVEN, noisy=True) for name in (RIGHT, WRONG)]
    count = int(sum(_half_ways(own).isna().sum() for own in curves))
    return "; ".join(filter(None, [unmemorised(t), f"{count} alignments never rise" if count else ""]))


@study.claim("FA04b", by="update at which the alignment with the given labels has made half of its way from the start "
             "to its highest value, images with right labels over images with wrong ones", region=below(1.0),
             figure="d", unless=flat, **DIFFICULT)  # fmt: skip
def easy_is_aligned_earlier(t: Tables) -> Interval:
    """The kernel turns to the labels of easy examples (right labels) earlier than to those of difficult ones (wrong
    labels)."""
    right, wrong = (_half_ways(_aligned(t, name, GIVEN, noisy=True)) for name in (RIGHT, WRONG))
    return intervals.geometric_mean(right / wrong)


# The control of FA04: labels that say what an image is are closer to any kernel, trained or not.
@study.claim("FA04f", by="alignment of the centred tangent kernel with the given labels, images with right labels over "
             f"images with wrong ones, {PEAK} over start", region=above(1.0), figure="d", unless=unmemorised,
             **OURS)  # fmt: skip
def easy_gains_a_lead(t: Tables) -> Interval:
    """While test accuracy rises, the kernel's alignment grows by a larger factor for easy examples (right labels) than
    for difficult ones (wrong labels)."""
    leads = _aligned(t, RIGHT, GIVEN, noisy=True) / _aligned(t, WRONG, GIVEN, noisy=True)
    return intervals.geometric_mean(_at(leads, _peak(t)) / leads.iloc[:, 0])


THIRDS = "the third of each class that other networks find easiest over the hardest third"


@study.claim("FA04c", by=f"alignment of the centred tangent kernel with the labels at the end, {THIRDS}",
             region=above(1.0), figure="d", **OURS)  # fmt: skip
def easy_images_are_aligned_more(t: Tables) -> Interval:
    """Without any wrong label, the trained kernel is aligned more with the labels of easy images than of hard ones."""
    easy, hard = (_aligned(t, name, GIVEN) for name in (EASY, HARD))
    return intervals.geometric_mean(easy.iloc[:, -1] / hard.iloc[:, -1])


@study.claim("FA04d", by=f"growth of that alignment over training (end over start), {THIRDS}", region=above(1.0),
             figure="d", **OURS)  # fmt: skip
def easy_images_gain_more(t: Tables) -> Interval:
    """Without any wrong label, alignment grows by a larger factor for easy images than for hard ones."""
    easy, hard = (_aligned(t, name, GIVEN) for name in (EASY, HARD))
    return intervals.geometric_mean((easy.iloc[:, -1] / easy.iloc[:, 0]) / (hard.iloc[:, -1] / hard.iloc[:, 0]))


def flat_images(t: Tables) -> str:
    """Claims are void by the rule for all, or where the alignment of easy or of hard images never rises above its
    start."""
    count = int(sum(_half_ways(_aligned(t, name, GIVEN)).isna().sum() for name in (EASY, HARD)))
    return "; ".join(filter(None, [unlearned(t), f"{count} alignments never rise" if count else ""]))


@study.claim("FA04e", by="update at which that alignment has made half of its way from the start to its highest value, "
             f"{THIRDS}", region=below(1.0), figure="d", unless=flat_images, **OURS)  # fmt: skip
def easy_images_are_aligned_earlier(t: Tables) -> Interval:
    """Without any wrong label, the kernel turns to the labels of easy images earlier than to those of hard ones."""
    easy, hard = (_half_ways(_aligned(t, name, GIVEN)) for name in (EASY, HARD))
    return intervals.geometric_mean(easy / hard)


# --- claims: layers --------------------------------------------------------------------------------------------------


def _layers(t: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Alignments of the layers' kernels with the labels at start and end `[S, L]`."""
    some = t["layers"][t["layers"].noise == 0]
    names = list(dict.fromkeys(some.layer))
    ends = (some[some.step == step] for step in (some.step.min(), some.step.max()))
    start, end = (own.pivot(index="seed", columns="layer", values="alignment")[names].to_numpy() for own in ends)
    return start, end


def contrast(table: np.ndarray) -> np.ndarray:
    """For each row of `table [S, L]` its value in the column that is highest in the mean of the other rows, over that
    in the lowest: 1 on average where columns differ by chance alone."""
    if len(table) < 2:
        return np.full(len(table), np.nan)
    others, rows = table.sum(0) - table, np.arange(len(table))
    return table[rows, others.argmax(1)] / table[rows, others.argmin(1)]


OF_OTHERS = "in the layer where other networks have most over that where they have least"


# A quarter more: less could hardly be seen in the figure.
@study.claim("FA05", by=f"alignment of the layer's centred kernel with the labels at the end, {OF_OTHERS}",
             region=above(1.25), figure="e", **TOLD)  # fmt: skip
def layers_differ(t: Tables) -> Interval:
    """How far a trained network's kernel is aligned with the labels depends on the layer."""
    return intervals.geometric_mean(contrast(_layers(t)[1]))


@study.claim("FA05b", by=f"growth of that alignment over training (end over start), {OF_OTHERS}", region=above(1.25),
             figure="e", **OURS)  # fmt: skip
def layers_gain_differently(t: Tables) -> Interval:
    """How much alignment grows over training depends on the layer."""
    start, end = _layers(t)
    return intervals.geometric_mean(contrast(end / start))


@study.claim("FA05c", by="largest over layers of the same alignment, start over end", region=below(1.0), figure="e",
             **OURS)  # fmt: skip
def every_layer_turns(t: Tables) -> Interval:
    """The kernel of every layer turns towards the labels."""
    start, end = _layers(t)
    return intervals.largest_ratio(start / end)


# --- claims: the way taken -------------------------------------------------------------------------------------------

WAY = {"scope": "{params.travelled}", "figure": "f"}


def unreached(t: Tables) -> str:
    """Claims are void where fewer than nine in ten networks reach the training loss at which they are compared."""
    reached = t["paths"].reached.mean()
    return "" if reached >= REACHED else f"only {reached:.0%} of networks reached the training loss"


def _ranked(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; NaN where all are alike."""
    return float(stats.spearmanr(x, y).statistic) if np.ptp(x) and np.ptp(y) else math.nan


def _follows(t: Tables, measure: str, within: Sequence[str] = ()) -> pd.Series:
    """Rank correlation of a measure and the test error, of each seed: over all its networks, or within each value of
    what is held fixed (mean of those)."""
    groups = t["paths"].groupby(["seed", *within])
    found = pd.Series({key: _ranked(own[measure], own.error) for key, own in groups})
    return found.groupby(level=0).mean() if within else found


OVER = "rank correlation of the complexity of the path and the test error where the training loss reaches {level:g}"


@study.claim("FA06", by=f"{OVER}, over widths and shares of wrong labels", region=above(0.6), unless=unreached,
             origin=Origin.ABSTRACT, place="direction: abstract; statistic: authors' code, train.py --complexity; "
             "bound ours", **WAY)  # fmt: skip
def the_way_tells_the_error(t: Tables) -> Interval:
    """Networks whose path is more complex, by the norm of the tangent kernel times the displacement, err more on test
    images."""
    return intervals.correlation(_follows(t, "complexity"))


# Planted at 0.9: over three shares, a rise without exception is 1.
@study.claim("FA06b", by=f"{OVER}, over shares of wrong labels, mean over widths", region=above(0.0), unless=unreached,
             margin=0.9, **(TOLD | {"place": "second hand: notes of the text; bound ours"}), **WAY)  # fmt: skip
def more_noise_is_a_longer_way(t: Tables) -> Interval:
    """At one width, the complexity of the path rises with the test error as more labels are wrong."""
    return intervals.correlation(_follows(t, "complexity", ["model"]))


@study.claim("FA06c", by=f"{OVER}, over widths, mean over shares of wrong labels", region=above(0.0), unless=unreached,
             margin=0.5, **(TOLD | {"place": "second hand: notes of the text; bound ours"}), **WAY)  # fmt: skip
def wider_is_a_shorter_way(t: Tables) -> Interval:
    """At one share of wrong labels, the widths whose paths are more complex err more on test images."""
    return intervals.correlation(_follows(t, "complexity", ["noise"]))


# Wrong labels make everything longer: does the kernel add anything to the mere distance?
@study.claim("FA06d", by=f"{OVER}, over widths and shares of wrong labels, less that of the distance from the start",
             region=above(0.0), unless=unreached, margin=0.1, reach=(-2.0, 2.0), **OURS, **WAY)  # fmt: skip
def the_kernel_adds_to_the_distance(t: Tables) -> Interval:
    """The complexity of the path tells the test error better than the distance from the start does."""
    return intervals.mean(_follows(t, "complexity") - _follows(t, "distance"), (-2.0, 2.0))


# --- claims: when chaos ends -----------------------------------------------------------------------------------------

FORT = {"origin": Origin.OTHER, "source": "Fort et al. 2020 (arXiv 2010.15110)", "place": "abstract; bound ours"}
TWINS = {"scope": "{params.kicked}", "figure": "g"}
CHAOS = 0.05  # a barrier above it at the start, or there is no chaos that could end (notebook 01)


def never_chaotic(t: Tables) -> str:
    """Claims are void where a control twin differs from its parent, kicks at the start leave a barrier below 0.05, or
    chaos has not ended by the last kick."""
    own, found = t["ends"], [differing_controls(t["twins"])]
    calm, lasting = int((own.barrier < CHAOS).sum()), int(np.isinf(own.ended).sum())
    found += [f"{calm} seeds were never chaotic" if calm else "", f"{lasting} never calm" if lasting else ""]
    return "; ".join(filter(None, found))


def _rates(t: Tables, window: tuple[float, float], arm: str = REFERENCE) -> pd.Series:
    """How far each seed's kernel turns from look to look, by unit of summed learning rate, in a part of training."""
    some, found = t["turning"][t["turning"].arm == arm], {}
    for seed, way in some.groupby("seed"):
        own = way.sort_values("step")
        inside = (own.percent >= window[0]).to_numpy() & (own.percent < window[1]).to_numpy() & own.to_next.notna()
        found[seed] = own.to_next[inside].sum() / -own.summed_lr.diff(-1)[inside].sum()
    return pd.Series(found)


RATE = "angle that the centred kernel turns from look to look, by unit of summed learning rate"


def _percent(window: tuple[float, float]) -> str:
    return f"from {window[0]:g} to {window[1]:g} % of training"


# Half: any decay of the step alone is taken out by the unit.
@study.claim("FA07", by=f"{RATE}, {_percent(CALM)} over {_percent(CHAOTIC)}", region=below(0.5), unless=never_chaotic,
             **FORT, **TWINS)  # fmt: skip
def turns_fast_while_chaotic(t: Tables) -> Interval:
    """The kernel turns fast while training is chaotic and less than half as fast once kicks no longer matter."""
    return intervals.geometric_mean(_rates(t, CALM) / _rates(t, CHAOTIC))


@study.claim("FA07b", by=f"{RATE}, {_percent(LATER)} over {_percent(EARLIER)}", region=between(1 / 1.5, 1.5),
             unless=never_chaotic, **FORT, **TWINS)  # fmt: skip
def then_turns_steadily(t: Tables) -> Interval:
    """After chaos has ended, the kernel turns on at a constant speed, by unit of learning rate."""
    return intervals.geometric_mean(_rates(t, LATER) / _rates(t, EARLIER))


def _arm(t: Tables, arm: str) -> pd.DataFrame:
    return t["ends"][t["ends"].arm == arm].set_index("seed").sort_index()


@study.claim("FA07c", by="angle from the kernel to that at the end of training, when a kick leaves a tenth of the "
             "barrier of the first kick, over the same at the start", region=below(0.25), unless=never_chaotic, **OURS,
             **TWINS)  # fmt: skip
def stops_when_chaos_ends(t: Tables) -> Interval:
    """When chaos has ended, the kernel has all but stopped: less than a quarter of its way is left."""
    return intervals.geometric_mean(_arm(t, REFERENCE).left)


def _half_times(t: Tables, arm: str) -> pd.Series:
    own = _arm(t, arm)
    return own.half_kernel / own.half_barrier


@study.claim("FA07d", by="time at which the kernel has turned half of its way over that at which kicks leave half of "
             "the barrier of the first kick", region=between(0.5, 2.0), unless=never_chaotic, **OURS,
             **TWINS)  # fmt: skip
def half_turned_when_half_calm(t: Tables) -> Interval:
    """The kernel has turned half of its way about when kicks leave half of what they leave at the start."""
    return intervals.geometric_mean(_half_times(t, REFERENCE))


@study.claim("FA07e", by="correlation over twins kicked at the same time of the logarithms of barrier and of the angle "
             "between the kernels of twin and parent at the end", region=above(0.0), margin=0.3, unless=never_chaotic,
             **OURS, **TWINS)  # fmt: skip
def apart_in_kernels_too(t: Tables) -> Interval:
    """Of twins kicked at the same time, those with a higher barrier to their parents have kernels further apart."""
    some = t["twins"][(t["twins"].arm == REFERENCE) & (t["twins"].kind == "twin")]
    tables = [some.pivot(index="seed", columns="time", values=name).to_numpy() for name in ("barrier", "kernel")]
    logs = [np.log(tables[0] + EPSILON), np.log(tables[1])]

    def measure(rows: np.ndarray) -> float:
        barrier, angles = (own[rows] - own[rows].mean(0) for own in logs)
        spread = np.sqrt((barrier**2).sum() * (angles**2).sum())
        return float((barrier * angles).sum() / spread) if spread > 0 else math.nan

    return intervals.resampled(measure, len(some.seed.unique()), reach=intervals.CORRELATION)


SMALL = "learning rate divided by {slower:g} over the reference"


@study.claim("FA07f", by=f"angle between the kernels at start and end, {SMALL}", region=below(0.8),
             unless=never_chaotic, **OURS, **TWINS)  # fmt: skip
def less_chaos_less_turning(t: Tables) -> Interval:
    """With smaller steps, which leave less chaos, the kernel turns less far."""
    first = t["turning"][t["turning"].step == 0].pivot(index="seed", columns="arm", values="to_end")
    return intervals.geometric_mean(first[SLOWER] / first[REFERENCE])


@study.claim("FA07g", by=f"time at which the kernel has turned half of its way over that at which kicks leave half of "
             f"the barrier of the first kick, {SMALL}", region=between(0.5, 2.0), unless=never_chaotic, **OURS,
             **TWINS)  # fmt: skip
def they_move_together(t: Tables) -> Interval:
    """With smaller steps, the time at which the kernel has turned and the time at which kicks no longer matter move
    together."""
    return intervals.geometric_mean(_half_times(t, SLOWER) / _half_times(t, REFERENCE))
