"""Notebook 15: difficulty meets the butterfly. How much of a score's noise does one kicked weight explain?

Every seed has a parent network, and relatives that differ from it in one thing: one weight moved by a kick, the order
of the data, the initial weights, or both; and networks of other sizes and families. Beside the scored training examples
stand the test examples.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import reliability
from butterfly.evaluate import predictions
from butterfly.papers.kwok2024 import PAPER, score_runs
from butterfly.papers.kwok2024.score_runs import OneDataSet
from butterfly.papers.kwok2024.score_runs import OfNetworks, check_looks, look_steps, measure_scores
from butterfly.papers.kwok2024.within import in_class, parts
from butterfly.perturb import Kick
from butterfly.score import ScoreLogger
from butterfly.study import (
    Arrays, Bench, Interval, Origin, Shard, Tables, Times, above, below, between, broken, by_place,
    intervals, of_places,
)  # fmt: skip
from butterfly.study.claims import Region
from butterfly.study.parameters import check_times, rising_times
from butterfly.study.tables import grid
from butterfly.train import Fork, Observer, Snapshot, train

SCORES = ("el2n.mean", "el2n.last")
OTHER = 100_000  # seeds of unrelated networks start here, as many apart
UNRELATED = ("order", "init", "seed")  # what else relatives may have of their own, from the start
SELF, SIZE, FAMILY = "itself", "size", "family"  # what a parent is compared with besides
PARTS = ("class", "within")
APART = 1000  # seeds of one architecture lie this far from those of the next, as in notebook 12
FLIPPED = 8  # seeds that need to have flips, for claims on them


class Params(OfNetworks):
    """Parameters of notebook 15; times are in percent of the training steps, and "" leaves the real data out."""

    seeds: int = Field(4, ge=4)
    seeds_per_shard: int = Field(4, ge=1)
    draws: int = Field(2, ge=1)  # relatives of a kind, for each seed
    kick_times: Times = (0.0, 50.0)
    size: float = Field(1e-2, gt=0)
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all
    # Compared with the network: of its family they are other sizes, else other families. In the order of notebook 12.
    compared: tuple[str, ...] = ("mlp-2x32", "cnn-2x8")
    runs_per_shard: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and one or more later times")
        return self

    @property
    def late(self) -> float:
        """The last time of a kick."""
        return self.kick_times[-1]

    @property
    def families(self) -> str:
        """The families that are compared with that of the main network, for people."""
        own = _family(self.trained(self.main).model)
        return ", ".join(dict.fromkeys(_family(m).upper() for m in self.compared if _family(m) != own)) or "none"


study = OneDataSet("15_flips", Params, PAPER, on="network", origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of each network."""
    shards = []
    for network in params.places.values():
        setting = params.trained(network)
        check_times(setting, params.kick_times)
        check_looks(setting, params.looks)
        leave = ("main", "real", "compared", "runs_per_shard")
        shards += study.every_few(params, setting, leave=leave, of=network)
        for place, model in enumerate(params.compared):
            if model != setting.model:  # with the seeds of notebook 12, so that its runs are found again
                own = setting.changed(model=model)
                name = f"{network} {model}"
                shards += score_runs.plan(study, params, name, own, params.seeds, probed=False, first=APART * place)
    return shards


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train the relatives of some seeds `[S]` and compare each kind with the parents.

    For each kind of relative `[K]`, the kick times first: `flips [K, S, N]`, the share of relatives that answer an
    example otherwise at the end; `noise [2, K, scores, S]`, the variance over a parent and its relatives of an
    example's rank among all and within its class, mean over training examples; `parts [2, K + 1, S]`, the rank
    correlation with the parent by classes and within them, the parent itself at last. `difficulty [S, N]`: EL2N
    averaged over training and unrelated networks. `parent [S, n]`: that of parents, on training examples.
    """
    seeds, draws, model = bench.seeds, bench["draws"], bench.model
    others = [[seed + (draw + 1) * OTHER for seed in seeds] for draw in range(draws)]
    theta, family = _scored(bench, seeds, _forks(bench))
    of_init = [_scored(bench, seeds, init=model.init(some).to(bench.task.x))[1] for some in others]
    of_seed = [_scored(bench, some)[1] for some in others]
    parent, relatives = {}, {}
    for name, values in family.items():
        members = values.reshape(-1, len(seeds), values.shape[1])
        parent[name], order, *kicks = members[0], *np.split(members[2:], range(draws, len(members) - 2, draws))
        apart = (np.stack([drawn[name] for drawn in some]) for some in (of_init, of_seed))
        relatives[name] = [*kicks, order, *apart]
    test = np.arange(parent["answer"].shape[1]) >= parent["answer"].shape[1] - len(bench.task.y_test)
    label = torch.cat([bench.task.y[: bench["examples"]], bench.task.y_test]).cpu().numpy()
    noise = [
        [[_noise(parent[name][:, ~test], some[:, :, ~test], own) for name in SCORES for some in relatives[name]]]
        for own in (None, label[~test])
    ]
    first = parent["el2n.mean"][:, ~test]
    compared = [*(some[:, :, ~test] for some in relatives["el2n.mean"]), first[None]]
    return {
        "flips": np.stack([(some != parent["answer"]).mean(0) for some in relatives["answer"]]).astype(np.float32),
        "noise": np.reshape(noise, (2, len(SCORES), -1, len(seeds))).swapaxes(1, 2),
        "parts": np.stack([_parts(first, some, label[~test]) for some in compared], 1),
        "test": test,
        "label": label,
        "difficulty": relatives["el2n.mean"][-1].mean(0),
        "parent": first.astype(np.float32),
        "largest_difference": (theta[len(seeds) : 2 * len(seeds)] - theta[: len(seeds)]).abs().amax(1).cpu().numpy(),
    }


def _forks(bench: Bench) -> list[Fork]:
    """The twins of each seed: a control, relatives with another order of the data, and kicks by time."""
    seeds, draws, step_at = bench.seeds, range(bench["draws"]), bench.setting.step_at
    orders = [Fork(seed, 0, Kick(draw=draw), unmatched="order") for draw in draws for seed in seeds]
    times = [(step_at(time), draw) for time in bench["kick_times"] for draw in draws]
    kicks = [Fork(s, step, Kick(weights=1, size=bench["size"], draw=draw)) for step, draw in times for s in seeds]
    return [*(Fork(seed, 0, Kick()) for seed in seeds), *orders, *kicks]


@dataclass(frozen=True)
class _Watch:
    """Scores the relatives while they train; before its fork, a twin is its parent."""

    logger: ScoreLogger
    x: Tensor
    parents: Tensor  # [M]: the row of each member's parent, for parents their own

    def __call__(self, now: Snapshot) -> None:
        there = torch.arange(len(now.theta))
        rows = torch.cat([there, self.parents[len(now.theta) :]])
        self.logger.watch(now.model, now.theta[rows], self.x)


def _scored(
    bench: Bench, seeds: list[int], forks: Sequence[Fork] = (), init: Tensor | None = None
) -> tuple[Tensor, Arrays]:
    """Train parents and their twins, which stand in the order of their steps: weights `[M, P]`, and scores and answers
    on training and test examples `[M, N]`."""
    task, count = bench.task, bench["examples"]
    x, y = torch.cat([task.x[:count], task.x_test]), torch.cat([task.y[:count], task.y_test])
    parents = [seeds.index(fork.seed) for fork in sorted(forks, key=lambda fork: fork.step)]
    logger = ScoreLogger(torch.arange(len(y)), y.cpu(), len(seeds) + len(forks))
    watch = _Watch(logger, x, torch.tensor([*range(len(seeds)), *parents]))
    observers = [Observer("look", watch, frozenset(look_steps(bench.recipe, bench["looks"])), state=[logger])]
    theta = train(bench.model, task, bench.recipe, seeds, forks, observers, init).theta
    scores = {name: values.cpu().numpy() for name, values in logger.scores().items() if name in SCORES}
    return theta, scores | {"answer": predictions(bench.model, theta, x).cpu().numpy()}


def _noise(parent: np.ndarray, relatives: np.ndarray, label: np.ndarray | None) -> np.ndarray:
    """Variance over a parent `[S, N]` and its relatives `[D, S, N]` of ranks, mean over examples `[S]`."""
    every = np.concatenate([parent[None], relatives])
    flat = every.reshape(-1, every.shape[2])
    ranks = reliability.ranks(flat) if label is None else in_class(flat, label)
    return ranks.reshape(every.shape).var(axis=0, ddof=1).mean(1)


def _parts(parent: np.ndarray, relatives: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Rank correlations of parents `[S, N]` with relatives `[D, S, N]`, by classes and within; their means `[2, S]`."""
    every = [[parts(own, other, label) for own, other in zip(parent, some, strict=True)] for some in relatives]
    return np.mean(every, axis=0).T


# --- tables ----------------------------------------------------------------------------------------------------------


def kinds(params: Params) -> list[str]:
    """The kinds of relatives, in the order of the shards."""
    return [*(f"weight {time:g}" for time in params.kick_times), *UNRELATED]


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `network`.

    `noise`: run-to-run variance of ranks by seed, kind of relative and score, and its ratio to that of another seed,
    over all examples and within classes. `flips`: by example, how often each kind of relative answers otherwise, and
    difficulty. `agreement`: by seed, how often a test example that flips stands above one that does not. `alike`: rank
    correlation with the parent by what differs, by classes and within. `ladder`: the shares of variance that follow.
    `controls`.
    """
    own = by_place(shard for shard in shards if shard.compute is measure)
    others = score_runs.joined(shards, measure_scores)
    found = {}
    for network, some in own.items():
        apart = {SIZE: [], FAMILY: []}
        for model in params.compared:
            if f"{network} {model}" in others:
                kind = SIZE if _family(model) == _family(params.trained(network).model) else FAMILY
                apart[kind].append(others[f"{network} {model}"]["el2n.mean"])
        found[network] = _of_network(params, some, apart)
    return of_places("network", found)


def _family(model: str) -> str:
    return re.match("[a-z]+", model)[0]


def _of_network(params: Params, shards: list[Shard], apart: dict[str, list[np.ndarray]]) -> dict[str, pd.DataFrame]:
    seeds, test = [seed for shard in shards for seed in shard.config["seeds"]], shards[0]["test"]
    label = shards[0]["label"]
    flips, noise = (
        np.concatenate([shard[name] for shard in shards], axis) for name, axis in (("flips", 1), ("noise", 3))
    )
    difficulty, moved = (
        np.concatenate([shard[name] for shard in shards]) for name in ("difficulty", "largest_difference")
    )
    axes = {"in_class": (False, True), "kind": kinds(params), "score": SCORES, "seed": seeds}
    alike = _alike(params, shards, apart, label[~test], seeds)
    of_kinds = dict(zip(kinds(params), flips.mean(1), strict=True))
    agreement = [_agreement(flips[0][:, test], flips[-1][:, test], difficulty[:, test], own, seeds)
                 for own in (None, label[test])]  # fmt: skip
    return {
        "noise": grid(noise, axes, "noise").assign(ratio=(noise / noise[:, -1:]).ravel()),
        "flips": pd.DataFrame({"difficulty": difficulty.mean(0), "test": test, "label": label, **of_kinds}),
        "agreement": pd.concat(agreement, ignore_index=True),
        "alike": alike,
        "ladder": ladder(alike),
        "controls": pd.DataFrame({"seed": seeds, "kind": "control", "largest_difference": moved}),
    }


def _agreement(
    kicked: np.ndarray, unrelated: np.ndarray, difficulty: np.ndarray, label: np.ndarray | None, seeds: list[int]
) -> pd.DataFrame:
    """For each seed: how many test examples its twins `[S, N]` flip and not, in pairs, and how many pairs are in the
    order of what the networks of the other seeds say; with labels, pairs of one class."""
    said, rows = {"difficulty": difficulty, "twins": kicked, "unrelated": unrelated}, []
    for place, own in enumerate(kicked):
        rest = np.arange(len(kicked)) != place
        found = {name: in_order(values[rest].mean(0), own > 0, label) for name, values in said.items()}
        rows.append({"flipped": int((own > 0).sum()), "pairs": found["twins"][1]} | {k: v[0] for k, v in found.items()})
    return pd.DataFrame(rows).assign(seed=seeds, in_class=label is not None)


def in_order(values: np.ndarray, hit: np.ndarray, label: np.ndarray | None = None) -> tuple[float, int]:
    """Pairs of an example that is hit and one that is not in which its value is the larger one (ties: half), and all.

    Their ratio is the area under the ROC curve; with labels, both are of one class.
    """
    won, pairs = 0.0, 0
    for own in [np.ones(len(hit), bool)] if label is None else [label == k for k in np.unique(label)]:
        ranks, some = stats.rankdata(values[own]), hit[own]
        count = int(some.sum())
        won += ranks[some].sum() - count * (count + 1) / 2
        pairs += count * (len(some) - count)
    return float(won), pairs


def _alike(
    params: Params, shards: list[Shard], apart: dict[str, list[np.ndarray]], label: np.ndarray, seeds: list[int]
) -> pd.DataFrame:
    """Rank correlation of each parent's EL2N with another network's, as its parts by classes and within, `alike`."""
    found = np.concatenate([shard["parts"] for shard in shards], axis=2)  # [2, K + 1, S]
    parents = np.concatenate([shard["parent"] for shard in shards])
    table = grid(found, {"part": PARTS, "differs": [*kinds(params), SELF], "seed": seeds}, "alike")
    rows = [table]
    for kind, every in apart.items():
        if every:  # seed by seed, but the next one's: the same number would be the same order of the data
            moved = np.stack([np.roll(runs[: len(parents)], 1, axis=0) for runs in every])
            rows.append(
                grid(_parts(parents, moved, label), {"part": PARTS, "seed": seeds}, "alike").assign(differs=kind)
            )
    return pd.concat(rows, ignore_index=True)


STEPS = {  # share of the rank variance: what networks that differ in the first have in common, beyond the second
    "what families share": (FAMILY, None),
    "family": (SIZE, FAMILY),
    "size": ("seed", SIZE),
    "another seed": (SELF, "seed"),
    "initial weights alone": (SELF, "init"),
    "order alone": (SELF, "order"),
    "one weight moved alone": (SELF, "weight 0"),
}


def ladder(alike: pd.DataFrame) -> pd.DataFrame:
    """Share of the variance of ranks that each step explains, by classes and within, for each seed.

    The first four add up to 1. The last three are parts of what another seed makes, each by itself: they need not add
    up, as noise of one origin hides that of another.
    """
    wide = alike.pivot(index=["part", "seed"], columns="differs", values="alike")
    rows = []
    for step, (common, less) in STEPS.items():
        if {common, less or common} <= set(wide.columns):
            share = wide[common] - (wide[less] if less else 0.0)
            rows.append(share.rename("share").reset_index().assign(step=step))
    return pd.concat(rows, ignore_index=True)


# --- claims: a unit is a seed with all its relatives -----------------------------------------------------------------


@study.unless
def differing_controls(t: Tables) -> str:
    """Claims about a network are void where its control twins differ from their parents."""
    return broken(t["controls"], ["largest_difference"])


def few_flips(t: Tables) -> str:
    """Claims on flips are void where fewer than 8 seeds have test examples that flip, or control twins differ."""
    table = t["agreement"]
    seeds = int((table.flipped[~table.in_class.astype(bool)] > 0).sum())
    few = f"the twins of only {seeds} seeds flip any test example" if seeds < FLIPPED else ""
    return "; ".join(filter(None, [differing_controls(t), few]))


def without_steps(t: Tables) -> str:
    """Claims on the ladder are void where no other size or family was trained, or control twins differ."""
    absent = {SIZE, FAMILY} - set(t["alike"].differs)
    return "; ".join(filter(None, [differing_controls(t), f"no other {' or '.join(sorted(absent))}" if absent else ""]))


def _ratio(t: Tables, kind: str, inside: bool, score: str = "el2n.mean") -> pd.Series:
    """Noise that a kind of relative makes, in parts of that of another seed; by seed."""
    noise = t["noise"]
    some = noise[(noise.score == score) & (noise.kind == kind) & (noise.in_class == inside)]
    return some.set_index("seed").ratio


def _ordered(t: Tables, inside: bool, *columns: str) -> Interval:
    """Area under the curve of what is said about flips, or of the first minus the second; seeds are resampled."""
    table = t["agreement"]
    table = table[(table.in_class == inside) & (table.pairs > 0)]
    won, pairs = table[list(columns)].to_numpy(), table.pairs.to_numpy()
    signs = np.array([1.0, -1.0])[: len(columns)]

    def area(rows: np.ndarray) -> float:
        return float((won[rows].sum(0) / pairs[rows].sum()) @ signs)

    return intervals.resampled(area, len(table), reach=intervals.SHARE if len(columns) == 1 else (-1.0, 1.0))


def _step(t: Tables, inside: bool, step: str) -> pd.Series:
    """Share of a step of the ladder by seed: all of it, or what lies within classes."""
    table = t["ladder"][t["ladder"].step == step]
    return (table[table.part == "within"] if inside else table).groupby("seed").share.sum()


def _class(t: Tables, inside: bool) -> pd.Series:
    """Share of the classes in what two networks of one architecture agree on; by seed."""
    table = t["alike"]
    parts = table[table.differs == "seed"].pivot(index="seed", columns="part", values="alike")
    return parts["class"] / parts.sum(axis=1)


def _of_kind(kind: str, score: str = "el2n.mean"):
    def measure(t: Tables, inside: bool) -> Interval:
        return intervals.mean(_ratio(t, kind.format(late=f"{t.params.late:g}"), inside, score), intervals.POSITIVE)

    return measure


def _mean(value, reach: tuple[float, float] = (-2.0, 2.0)):
    return lambda t, inside: intervals.mean(value(t, inside), reach)


def _less_than_seed(step: str):
    return _mean(lambda t, inside: _step(t, inside, step) - _step(t, inside, "another seed"))


def _init_by_order(t: Tables, inside: bool) -> Interval:
    return intervals.ratio(_ratio(t, "init", inside), _ratio(t, "order", inside))


NOISE = "variance over relatives of an example's rank by EL2N {}, over that of other seeds: "
MEAN, LAST = NOISE.format("averaged over training"), NOISE.format("at the end of training")
AREA = "area under the ROC curve: flips of a seed's twins, told by "
SHARE = "share of the variance of ranks by EL2N averaged over training that "
FLIPS, LADDER = {"unless": few_flips}, {"unless": without_steps, "figure": "d"}
PART = {"figure": "a", "margin": 0.1}
# Bounds: as noisy as another seed is what makes four fifths of its noise, late kicks are mild if they make less than
# half. An area of 0.5 is chance and 0.7 the least that is called an acceptable prediction (Hosmer and Lemeshow 2000);
# two of them are alike within 0.05. Kicks at half of training are judged at the end of it: averaged over training, a
# twin that was its parent until then cannot differ much.
CLAIMS = (  # id, that within classes, region, what else is told of it, statement, measured by, how
    ("X48", "X48b", above(0.8), PART,
     "One weight moved at the start makes EL2N averaged over training as noisy as another seed does",
     f"{MEAN}one weight moved by {{size:g}}", _of_kind("weight 0")),
    ("X48h", "X48i", above(0.8), PART,
     "One weight moved at the start makes EL2N at the end of training as noisy as another seed does",
     f"{LAST}one weight moved by {{size:g}}", _of_kind("weight 0", "el2n.last")),
    ("X49", "X49b", below(0.5), PART,
     "One weight moved late makes EL2N at the end of training less than half as noisy as another seed does",
     f"{LAST}one weight moved at {{params.late:g}} %", _of_kind("weight {late}", "el2n.last")),
    ("X50", "X50b", above(0.8), PART,
     "Another order of the data alone makes EL2N averaged over training as noisy as another seed does",
     f"{MEAN}same initial weights, other order", _of_kind("order")),
    ("X51", "X51c", above(0.8), PART,
     "Other initial weights alone make EL2N averaged over training as noisy as another seed does",
     f"{MEAN}other initial weights, same order", _of_kind("init")),
    ("X51b", "X51d", above(1.0), {"figure": "a", "margin": 1.1},
     "Other initial weights make more noise than another order of the data",
     "noise of other initial weights over that of another order", _init_by_order),
    ("X52", "X52b", above(0.7), FLIPS | {"figure": "b"},
     "Difficulty predicts which test examples a kicked weight turns over",
     AREA + "EL2N over unrelated networks of other seeds", lambda t, inside: _ordered(t, inside, "difficulty")),
    ("X53", "X53b", between(-0.05, 0.05), FLIPS | {"figure": "c"},
     "The examples that flip between twins are those that flip between unrelated networks",
     AREA + "flips between unrelated networks of other seeds, minus told by flips of their twins",
     lambda t, inside: _ordered(t, inside, "unrelated", "twins")),
    ("X48c", "", above(0.5), {"figure": "d", "margin": 0.1},
     "Most of what networks of one architecture agree on is the class",
     "share of the rank correlation by EL2N averaged over training, between networks of different seeds, that comes "
     "from the means of classes", _mean(_class, intervals.SHARE)),
    ("X48d", "X48e", above(0.0), LADDER | {"margin": 0.05},
     "Another family of networks ({params.families}) moves ranks more than another seed does",
     SHARE + "the family explains, minus what another seed does", _less_than_seed("family")),
    ("X48f", "X48g", below(0.0), LADDER | {"margin": 0.05}, "Another size moves ranks less than another seed does",
     SHARE + "the size explains, minus what another seed does", _less_than_seed("size")),
)  # fmt: skip


def _twin(id: str, twin: str, region: Region, about: dict, statement: str, by: str, how) -> tuple:
    """The same claim with ranks within classes."""
    says = statement[0].lower() + statement[1:]
    return twin, True, region, about, f"Within classes: {says}", f"{by}; ranks within classes", how


ALL = [claim for row in CLAIMS for claim in ((row[0], False, *row[2:]), _twin(*row)) if claim[0]]
for id, inside, region, about, statement, by, how in ALL:
    study.claim(id, statement, by=by, region=region, **about)(partial(how, inside=inside))
