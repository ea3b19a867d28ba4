"""Notebook 06: kicks at the start of fine-tuning, after more or less pretraining; and a language with dropout.

Networks learn most of a data set, and from several checkpoints on, with a new head, a few examples that were set aside:
of all classes or of half of them. A small causal transformer learns one made-up language, and from there another one,
with dropout masks that twins share or do not.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import data, models
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.models import Model
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.two_settings import TwoSettings
from butterfly.perturb import Kick
from butterfly.strict import ParameterError
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, Setting, Shard, Study, Tables, groups, intervals, plain, sound
from butterfly.study.claims import Kind, Origin, above, below, between, broken, exactly
from butterfly.study.parameters import Times, check_looks, check_times, rising_sizes, rising_times
from butterfly.study.study import REDRAWN
from butterfly.train import Fork, Observer, parent_rows, train

TEXT = "text"  # the setting of the language
ALL, NARROWER, WIDER = "all classes to all", "all classes to half", "half of the classes to all"
DIRECTIONS = (ALL, NARROWER, WIDER)
# What pretraining ends with, and what that may be replaced by.
PLAIN, SHRUNK, CONSTANT, EVEN = "as it is", "shrunk", "constant rate", "constant rate, same norms"


class Params(TwoSettings):
    """Parameters of notebook 06; checkpoints and times are in percent of the updates, sizes in the initial scale."""

    steps: int | None = Field(200, gt=0)  # of pretraining; None: the setting's own
    tunings: tuple[float, ...] = (0.25, 0.5)  # lengths of fine-tuning, as fractions of those
    shots: int = Field(50, ge=1)  # examples of each class to fine-tune on, of half of the classes twice as many
    checkpoints: Times = (0.0, 20.0, 100.0)
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    redrawn_seeds: int = Field(0, ge=0)  # from all classes to all once more, with data of its own for every seed
    size: float = Field(1e-3, gt=0)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    text: str = "language-b"  # what the language model is fine-tuned on
    text_steps: int | None = Field(40, gt=0)
    text_examples: int = Field(500, ge=1)  # of them
    text_tuning: float = Field(0.5, gt=0)
    text_checkpoints: Times = (0.0, 20.0, 100.0)
    text_seeds: int = Field(2, ge=1)
    text_seeds_per_shard: int = Field(2, ge=1)
    text_times: Times = (0.0, 50.0)
    text_sizes: tuple[float, ...] = (1e-4, 1e-2)
    text_draws: int = Field(1, ge=1)  # of kicks and of dropout masks, at the start; later there is one

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("checkpoints", "text_checkpoints"):
            times = list(getattr(self, name))
            if len(times) < 3 or times != sorted(set(times)) or times[0] != 0 or times[-1] != 100:
                raise ValueError(f"{name} = {times}: give three or more rising percentages from 0 to 100")
        if not 1 <= len(set(self.settings)) == len(self.settings) <= 2 or TEXT in self.settings:
            raise ValueError(f"settings = {list(self.settings)}: give one or two different ones, of images or signals")
        for name in self.settings:
            self.setting_of(name)
        rising_sizes("tunings", self.tunings)
        rising_times("text_times", self.text_times)
        rising_sizes("text_sizes", self.text_sizes)
        if min(map(len, (self.tunings, self.text_sizes, self.text_times))) < 2 or self.text_times[0] != 0:
            raise ValueError("give two or more tunings, two or more text_sizes and two or more text_times from 0 on")
        if self.text not in ("language-b", "sums"):
            raise ValueError(f"text = '{self.text}': give language-b or sums")
        return self

    @property
    def places(self) -> dict[str, str]:
        """Where claims are judged: the settings, and the main one with data drawn anew."""
        return super().places | ({REDRAWN: REDRAWN} if self.redrawn_seeds else {})


study = Study("06_transfer", Params, PAPER, on="setting")


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every setting, direction and few seeds, and every seed with its own data; then for the language."""
    grid = params.model_dump(mode="json", include={"tunings", "shots", "checkpoints", "size", "points"})
    shards = []
    for name in params.settings:
        chosen = params.setting_of(name, params.steps)
        _check(chosen, params)
        common = study.config(chosen, params, **grid)
        for direction in DIRECTIONS:
            for seeds in params.few():
                shards.append(Shard(of_images, common | {"direction": direction, "seeds": seeds}, name))
    main = params.setting_of(params.settings[0], params.steps)
    for seeds in groups(params.redrawn_seeds, 1, params.first_seed):
        own = study.config(params.redrawn(main, *seeds), params, **grid)
        shards.append(Shard(of_images, own | {"direction": ALL, "seeds": seeds}, REDRAWN))
    chosen = plain(TEXT, params.text_steps)
    check_looks(chosen, params.text_checkpoints)
    check_times(_tuned(chosen, params.text_tuning), params.text_times)
    own = {f"text_{name}" for name in ("examples", "tuning", "checkpoints", "times", "sizes", "draws")}
    grid = {k.removeprefix("text_"): v for k, v in params.model_dump(mode="json", include=own).items()}
    common = study.config(chosen, params, text=params.text, points=params.points, **grid)
    return shards + [Shard(of_texts, common | {"seeds": seeds}, params.text) for seeds in params.few("text_seeds")]


def _check(chosen: Setting, params: Params) -> None:
    check_looks(chosen, params.checkpoints)
    for tuning in params.tunings:
        _tuned(chosen, tuning)
    if 10 * params.shots < chosen.recipe.batch_size:
        raise ParameterError(
            f"shots = {params.shots} of ten classes are less than a batch of {chosen.recipe.batch_size}"
        )


def _tuned(chosen: Setting, tuning: float) -> Setting:
    steps = round(tuning * chosen.recipe.steps)
    if steps < 2:
        raise ParameterError(f"tuning = {tuning} of {chosen.recipe.steps} steps leaves none; give more of either")
    return chosen.changed(steps=steps)


# --- shards ----------------------------------------------------------------------------------------------------------


def lessons(task: Data, direction: str, shots: int) -> tuple[Data, Data]:
    """What is learned first, and the few examples after it: of all classes `shots` each, of half of them twice that.

    The first `2 * shots` examples of every class are set aside for the second lesson, whatever the direction.
    """
    place = torch.zeros_like(task.y)  # of each example among those of its class
    for label in range(task.classes):
        place[task.y == label] = torch.arange(int((task.y == label).sum()), device=place.device)
    half = list(range(task.classes // 2))
    first = task.subset((place >= 2 * shots).nonzero().squeeze(1))
    count = 2 * shots if direction == NARROWER else shots
    second = task.subset((place < count).nonzero().squeeze(1))
    if direction == WIDER:
        first = data.of_classes(first, half)
    return first, data.of_classes(second, half) if direction == NARROWER else second


@study.shard
def of_images(bench: Bench) -> Arrays:
    """Pretrain, fine-tune on a few examples from every checkpoint for every length, kick and compare `[K]`."""
    first, second = lessons(bench.task, bench["direction"], bench["shots"])
    source = _model(bench, first)
    starts = _starts(bench, source, first)
    kicks = [Kick(), Kick(size=bench["size"])]
    if bench["direction"] == ALL:
        kicks.append(Kick(kind="batch", size=bench["size"]))
    forks = [Fork(seed, 0, kick) for kick in kicks for seed in bench.seeds]
    parts = []
    for (start, checkpoint), theta in starts.items():
        for tuning in bench["tunings"]:
            found = _tune(bench, second, tuning, source, theta, forks)
            count = len(found["seed"])
            own = {"start": start, "checkpoint": checkpoint, "updates": _tuned(bench.setting, tuning).recipe.steps}
            parts.append({name: np.full(count, value) for name, value in own.items()} | found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _starts(bench: Bench, source: Model, first: Data) -> dict[tuple[str, float], Tensor]:
    """Networks `[S, P]` to fine-tune from: every checkpoint; from all classes to all, three more.

    `shrunk`: each weight matrix of the last checkpoint has the norm that it had at the one before. `constant rate`:
    pretraining as long, without the fall of the learning rate; weights grow further then, so that it is there once
    more with the norms of the last checkpoint. The other directions have the first and the last.
    """
    times = bench["checkpoints"]
    found = _pretrain(bench, source, first, times)
    if bench["direction"] != ALL:
        return {(PLAIN, time): found[time] for time in (times[0], times[-1])}
    even = train(source, first, bench.recipe.changed(schedule="constant"), bench.seeds).theta
    extra = {SHRUNK: shrunk(source, found[times[-1]], found[times[-2]]), CONSTANT: even}
    extra[EVEN] = shrunk(source, even, found[times[-1]])
    return {(PLAIN, time): found[time] for time in times} | {(name, times[-1]): own for name, own in extra.items()}


def shrunk(model: Model, theta: Tensor, like: Tensor) -> Tensor:
    """The networks `theta [S, P]`, each weight matrix or kernel scaled to the norm that it has in `like [S, P]`."""
    found = theta.clone()
    own, other = model.layout.tensors(found), model.layout.tensors(like)
    for name, weights in own.items():
        if weights.dim() > 2:  # with the axis of the networks: no vectors
            ratio = other[name].flatten(1).norm(dim=1) / weights.flatten(1).norm(dim=1)
            weights.mul_(ratio.view(-1, *[1] * (weights.dim() - 1)))
    return found


@study.shard
def of_texts(bench: Bench) -> Arrays:
    """Learn a language, then fine-tune on another text, with twins that share their dropout masks or not `[K]`.

    From the last checkpoint twins part at the start in several draws, with shared and with own masks by the same sizes
    of kicks, and later in one. From those before there is one twin: shared masks, the largest kick at the start.
    """
    tuned, largest, parts = _tuned(bench.setting, bench["tuning"]), bench["sizes"][-1], []
    source, whole = _model(bench, bench.task), bench.load(bench["text"]).to(bench["device"])
    task = whole.subset(torch.arange(bench["examples"], device=whole.y.device))
    kinds = [("", size) for size in bench["sizes"]] + [("dropout", size) for size in (0.0, *bench["sizes"])]
    draws = {time: range(1 if time else bench["draws"]) for time in bench["times"]}
    full = [(time, size, noise, draw) for time, own in draws.items() for noise, size in kinds for draw in own]
    for checkpoint, theta in _pretrain(bench, source, bench.task, bench["checkpoints"]).items():
        cells = [(0.0, 0.0, "", 0), *(full if checkpoint == 100 else [(0.0, largest, "", 0)])]
        forks = [
            Fork(seed, tuned.step_at(time), Kick(size=size, draw=draw), noise)
            for time, size, noise, draw in cells
            for seed in bench.seeds
        ]
        found = _tune(bench, task, bench["tuning"], source, theta, forks)
        parts.append({"checkpoint": np.full(len(found["seed"]), checkpoint)} | found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _model(bench: Bench, task: Data) -> Model:
    return models.build(bench.setting.model, task.input_shape, task.classes)


def _pretrain(bench: Bench, model: Model, task: Data, checkpoints: Sequence[float]) -> dict[float, Tensor]:
    """Networks `[S, P]` at every checkpoint."""
    looks = frozenset(bench.setting.step_at(time) for time in checkpoints)
    copy = Observer("copy", lambda now: now.theta.clone(), looks, state=())
    run = train(model, task, bench.recipe, bench.seeds, observers=[copy])
    return {time: theta for time, (_, theta) in zip(checkpoints, run.recorded("copy"), strict=True)}


def with_new_head(source: Model, theta: Tensor, target: Model, seeds: Sequence[int]) -> Tensor:
    """The networks `theta [S, P]` with a freshly initialised last layer for the classes of `target` `[S, Q]`.

    It is drawn from a stream of its own: the initial last layer of the same seed would be the one that the rest of the
    network was trained with.
    """
    fresh = target.layout.init([generator("head", seed) for seed in seeds]).to(theta)
    kept, tensors = source.layout.tensors(theta), target.layout.tensors(fresh)
    for p in target.layout.parameters[:-2]:  # the last two are the weights and biases of the head
        tensors[p.name].copy_(kept[p.name])
    return fresh


def _tune(bench: Bench, task: Data, tuning: float, source: Model, theta: Tensor, forks: list[Fork]) -> Arrays:
    """Fine-tune from `theta`, fork, and compare every twin with its parent."""
    seeds, recipe, model = bench.seeds, _tuned(bench.setting, tuning).recipe, _model(bench, task)
    start = with_new_head(source, theta, model, seeds)
    run = train(model, task, recipe, seeds, forks, init=start)
    rows = parent_rows(run.members)
    a, b = run.theta[rows], run.theta[len(seeds) :]
    line = barriers(model, a, b, task.sample.x, task.sample.y, bench["points"])
    _, error = evaluate(model, run.theta[: len(seeds)], task.sample.x_test, task.sample.y_test)
    made = [member.fork for member in run.members if member.fork is not None]
    return {
        "seed": np.array([fork.seed for fork in made]),
        "time": np.array([100 * fork.step / recipe.steps for fork in made]),
        "by": np.array([fork.kick.kind for fork in made]),
        "size": np.array([fork.kick.size for fork in made]),
        "draw": np.array([fork.kick.draw for fork in made]),
        "matched": np.array([not fork.unmatched for fork in made]),
        "classes": np.full(len(made), task.classes),
        "norm": start.norm(dim=1)[rows].cpu().numpy(),
        "largest_difference": (b - a).abs().amax(1).cpu().numpy(),
        "distance": (b - a).norm(dim=1).cpu().numpy(),
        "barrier": line.of_loss.numpy(),
        "loss": line.loss[:, 0].numpy(),
        "accuracy": 1 - error[rows].cpu().numpy(),
    }


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: Sequence[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, a row a twin: `images` (setting, direction, start, checkpoint, updates, by), `texts`."""
    parts: dict[str, list[pd.DataFrame]] = {"images": [], "texts": []}
    for shard in shards:
        twins = pd.DataFrame(shard.found)
        twins["kind"] = np.where(twins.matched & (twins["size"] == 0), "control", "twin")
        if shard.compute is of_texts:
            parts["texts"].append(twins.assign(text=shard.of))
        else:
            parts["images"].append(twins.assign(setting=shard.of, direction=shard.config["direction"]))
    found = {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}
    return {name: table.assign(learned=learned(table)) for name, table in found.items()}


def learned(twins: pd.DataFrame) -> pd.Series:
    """Which twins have a parent that learned: at least halfway, in test accuracy, from chance to the best kind of run.

    Kinds of runs are told apart by direction, start, checkpoint and length; each has its mean over seeds.
    """
    place = [name for name in ("setting", "direction", "text") if name in twins]
    kinds = [*place, *(name for name in ("start", "checkpoint", "updates") if name in twins)]
    means = twins.groupby(kinds).accuracy.transform("mean")
    best = means.groupby([twins[name] for name in place]).transform("max")
    return twins.accuracy >= (1 / twins.classes + best) / 2


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
OURS = {"origin": Origin.OURS, "figure": "a"}
TOLD = {"place": "second hand: summaries of the paper", "figure": "a"}
# A kick is said to matter less only if all of the interval lies below 1; a halved barrier is the effect to be seen.
LOWER = {"region": below(1.0), "margin": 2.0}
# Three points of accuracy are twice the standard error that 1,000 test answers have.
HELPS = {"region": above(0.03), "margin": 0.03, "reach": (-1, 1)}
Bounds = pd.DataFrame  # `lower` and `upper` bound of a barrier, by seed
Point = tuple[str, float]  # start and checkpoint


def _broken(twins: pd.DataFrame) -> str:
    return broken(twins, ["barrier", "loss"])


def _untaught(twins: pd.DataFrame) -> str:
    """Why a comparison is void: most runs of a kind did not learn, or pretraining does not raise the accuracy."""
    parents = twins[twins.kind == "control"]
    names = [name for name in ("direction", "start", "checkpoint", "updates") if name in parents]
    for kind, own in parents.groupby(names):
        if own.learned.mean() < 0.5:
            text = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in kind)
            return f"{int((~own.learned).sum())} of {len(own)} runs did not learn ({text})"
    for _, own in parents.groupby("direction") if "direction" in parents else [("", parents)]:
        plain_runs = own[own.start == PLAIN] if "start" in own else own
        means = plain_runs.groupby("checkpoint").accuracy.mean()
        if means.iloc[-1] <= means.iloc[0]:
            return "pretraining does not raise the accuracy"
    return ""


def _void(twins: pd.DataFrame) -> str:
    return _broken(twins) or _untaught(twins)


@study.unless
def untaught(t: Tables) -> str:
    """Claims are void where a control twin differs from its parent, where a twin has no finite loss, where more than
    half of the runs of a kind did not learn (a test accuracy below the middle between chance and the best kind of run
    of that direction), or where full pretraining does not raise the mean accuracy; of the other kinds, single runs
    that did not learn are left out."""
    return _void(t["images"].query("direction == @ALL"))


def untaught_halves(t: Tables) -> str:
    """The same rule, on the two directions between all classes and half of them: Claims are void where a control twin
    differs from its parent, a twin has no finite loss, more than half of the runs of a kind did not learn, or full
    pretraining does not raise the mean accuracy in one of the directions."""
    return _void(t["images"].query("direction != @ALL"))


def lost_twins(t: Tables) -> str:
    """Claims are void where a control twin differs from its parent, or a twin has no finite loss."""
    return _broken(t["images"])


def _ends(t: Tables) -> tuple[Point, Point, Point]:
    """No pretraining, the last checkpoint but one, and all of it."""
    times = t.params.checkpoints
    return (PLAIN, times[0]), (PLAIN, times[-2]), (PLAIN, times[-1])


def _kicked(t: Tables, direction: str, point: Point, by: str = "gaussian") -> pd.DataFrame:
    """Twins that were kicked whose parents learned, of one direction and start, for every length of fine-tuning."""
    twins = t["images"]
    asked = (twins.kind == "twin") & twins.learned & (twins.direction == direction) & (twins.by == by)
    return twins[asked & (twins.start == point[0]) & (twins.checkpoint == point[1])]


def _longest(twins: pd.DataFrame) -> pd.DataFrame:
    return twins[twins.updates == twins.updates.max()]


def _bounds(twins: pd.DataFrame, floor: float) -> Bounds:
    """Geometric mean over the twins of each seed; the lower bound is 0 where one of them lies below the floor."""
    upper = np.exp(np.log(twins.barrier.clip(lower=floor)).groupby(twins.seed).mean())
    censored = (twins.barrier < floor).groupby(twins.seed).any()
    return pd.DataFrame({"lower": upper.where(~censored, 0.0), "upper": upper})


def _over(one: Bounds, other: Bounds) -> Bounds:
    """Bounds of the ratio, for the seeds that both have."""
    both = one.index.intersection(other.index)
    one, other = one.loc[both], other.loc[both]
    with np.errstate(divide="ignore"):
        return pd.DataFrame({"lower": one.lower / other.upper, "upper": one.upper / other.lower})


def _mean(ratio: Bounds) -> Interval:
    return intervals.between_bounds(ratio.lower.to_numpy(), ratio.upper.to_numpy())


def _ratio(t: Tables, direction: str, one: Point, other: Point, floor: float) -> Interval:
    """How many times as high the barrier is, after equally many updates, the most there are."""
    bounds = (_bounds(_longest(_kicked(t, direction, point)), floor) for point in (one, other))
    return _mean(_over(*bounds))


def at_equal_loss(one: pd.DataFrame, other: pd.DataFrame, floor: float) -> Bounds:
    """Ratio of barriers of two kinds of run, by seed, where both end at the same training loss.

    Between the lengths of fine-tuning log barriers are interpolated on log losses, and read in the middle of the losses
    that both kinds reach; seeds in which they reach none together are left out.
    """
    found = {}
    for seed in sorted(set(one.seed) & set(other.seed)):
        pair = [twins[twins.seed == seed].sort_values("loss") for twins in (one, other)]
        low, high = max(own.loss.min() for own in pair), min(own.loss.max() for own in pair)
        if not low <= high:
            continue
        at = (np.log(low) + np.log(high)) / 2
        heights = [np.exp(np.interp(at, np.log(own.loss), np.log(own.barrier.clip(lower=floor)))) for own in pair]
        below_floor = [(own.barrier < floor).any() for own in pair]
        lower = 0.0 if below_floor[0] else heights[0] / heights[1]
        found[seed] = (lower, np.inf if below_floor[1] else heights[0] / heights[1])
    return pd.DataFrame.from_dict(found, orient="index", columns=["lower", "upper"])


def _equal(t: Tables, one: Point, other: Point, floor: float) -> Interval:
    ratios = at_equal_loss(_kicked(t, ALL, one), _kicked(t, ALL, other), floor)
    seeds = t["images"].seed.nunique()
    # Fewer than half of the seeds would say which runs are alike, not what pretraining does.
    return _mean(ratios) if 2 * len(ratios) >= seeds else intervals.nothing(intervals.POSITIVE)


def _gain(t: Tables, direction: str) -> pd.Series:
    """Test accuracy after the longest fine-tuning, full pretraining minus none, by seed."""
    parents = t["images"].query("kind == 'control' and direction == @direction and start == @PLAIN")
    by_seed = _longest(parents).pivot(index="seed", columns="checkpoint", values="accuracy")
    return by_seed.iloc[:, -1] - by_seed.iloc[:, 0]


@study.claim("X76", by="test accuracy, full pretraining minus none", unless=lost_twins, **HELPS, **OURS)
def pretraining_helps(t: Tables) -> Interval:
    """Pretraining raises the accuracy after fine-tuning on a few examples by more than three points."""
    return intervals.mean(_gain(t, ALL), (-1, 1))


@study.claim(
    "X77",
    by="test accuracy, none minus full pretraining, the larger of both directions",
    region=below(-0.03),
    margin=0.03,
    unless=lost_twins,
    everywhere=False,
    **OURS | {"figure": "c"},
)
def it_helps_both_ways(t: Tables) -> Interval:
    """From all classes to half and from half to all, pretraining raises the accuracy by more than three points."""
    losses = [-_gain(t, direction) for direction in (NARROWER, WIDER)]
    return intervals.largest_mean(pd.concat(losses, axis=1).to_numpy(), (-1, 1))


@study.claim("B17", by="ratio of barriers after equally many updates, full pretraining to none", **LOWER, **TOLD)
def pretraining_calms(t: Tables, floor: float = EPSILON) -> Interval:
    """Pretraining makes fine-tuning more stable."""
    none, _, full = _ends(t)
    return _ratio(t, ALL, full, none, floor)


@study.claim("B17c", by="ratio of barriers at equal final training loss, full pretraining to none", **LOWER, **OURS)
def it_calms_at_equal_loss(t: Tables, floor: float = EPSILON) -> Interval:
    """Pretraining makes fine-tuning more stable also where it ends at the same training loss."""
    none, _, full = _ends(t)
    return _equal(t, full, none, floor)


@study.claim("B17b", by="ratio of barriers, full pretraining to the checkpoint before", **LOWER, **TOLD)
def more_calms_more(t: Tables, floor: float = EPSILON) -> Interval:
    """Longer pretraining makes fine-tuning more stable than shorter pretraining."""
    _, short, full = _ends(t)
    return _ratio(t, ALL, full, short, floor)


@study.claim("B17d", by="ratio of barriers, the last checkpoint but one to no pretraining", **LOWER, **OURS)
def some_calms(t: Tables, floor: float = EPSILON) -> Interval:
    """A short pretraining makes fine-tuning more stable than none."""
    none, short, _ = _ends(t)
    return _ratio(t, ALL, short, none, floor)


@study.claim(
    "X70", by="ratio of barriers, full pretraining with shrunk weights to as it is", **LOWER, **OURS | {"figure": "e"}
)
def growth_unsettles(t: Tables, floor: float = EPSILON) -> Interval:
    """With weight matrices as small as at the checkpoint before, fully pretrained networks are more stable."""
    _, _, full = _ends(t)
    return _ratio(t, ALL, (SHRUNK, full[1]), full, floor)


# At a constant rate weights grow further, which alone could unsettle them: norms are made equal. At equal updates:
# constant rates end at a higher loss, where barriers are lower, which favours the claim.
@study.claim(
    "X71", by="ratio of barriers, pretraining at a constant rate, scaled to the norms of a falling one, to that one",
    **LOWER, **OURS | {"figure": "e"},
)  # fmt: skip
def annealing_unsettles(t: Tables, floor: float = EPSILON) -> Interval:
    """With weight matrices of the same norms, networks pretrained at a constant learning rate are more stable than at a
    falling one."""
    _, _, full = _ends(t)
    return _ratio(t, ALL, (EVEN, full[1]), full, floor)


@study.claim("X72", by="ratio of barriers, batch kick to Gaussian kick", region=between(1 / 1.5, 1.5), **OURS)
def kinds_are_alike(t: Tables, floor: float = EPSILON) -> Interval:
    """After full pretraining, a kick along the gradient of a batch does as much as a Gaussian one of its size."""
    _, _, full = _ends(t)
    bounds = (_bounds(_longest(_kicked(t, ALL, full, by)), floor) for by in ("batch", "gaussian"))
    return _mean(_over(*bounds))


HALVES = OURS | LOWER | {"figure": "c", "everywhere": False, "unless": untaught_halves}


def _directions(t: Tables, point: Point, floor: float) -> Bounds:
    """Ratio of barriers, from all classes to half over from half to all, by seed."""
    return _over(*(_bounds(_longest(_kicked(t, way, point)), floor) for way in (NARROWER, WIDER)))


@study.claim("B18b", by="ratio of the directions, each barrier over that without pretraining", **HALVES)
def many_gain_more(t: Tables, floor: float = EPSILON) -> Interval:
    """Pretraining multiplies the barrier by less from all classes to half of them than from half of them to all."""
    none, _, full = _ends(t)
    return _mean(_over(_directions(t, full, floor), _directions(t, none, floor)))


@study.claim("B18c", by="ratio of barriers without pretraining, half of the classes to all", **HALVES)
def fewer_classes_are_calmer(t: Tables, floor: float = EPSILON) -> Interval:
    """Half of the classes are the more stable task without any pretraining."""
    none, _, _ = _ends(t)
    return _mean(_directions(t, none, floor))


# --- claims on a language with dropout -------------------------------------------------------------------------------


def untaught_texts(t: Tables) -> str:
    """Claims are void where a control twin differs from its parent, a twin has no finite loss, more than half of the
    runs from a checkpoint did not learn (a test accuracy below the middle between chance and the best checkpoint), or
    full pretraining does not raise the mean accuracy."""
    return _void(t["texts"])


def lost_texts(t: Tables) -> str:
    """Claims are void where twins with shared masks differ without a kick, or a twin has no finite loss."""
    return _broken(t["texts"])


def untaught_full(t: Tables) -> str:
    """Claims are void where twins with shared masks differ without a kick, a twin has no finite loss, or more than half
    of the fully pretrained runs did not learn; other runs that did not learn are left out."""
    full = t["texts"].query("checkpoint == 100")
    return _broken(full) or ("" if full[full.kind == "control"].learned.mean() >= 0.5 else "most did not learn")


SPOKEN = {"scope": "language-a to {text}, transformer-2x32", "everywhere": False, "origin": Origin.OURS}
DROPOUT = SPOKEN | {"figure": "b", "unless": untaught_full}
LENGTH = SPOKEN | {"figure": "d"}


TOO_FEW = 8  # twins of a seed and kind of masks: ranks of fewer are nearly all alike or nearly all apart


def too_few(t: Tables) -> str:
    """Claims are void where twins with shared masks differ without a kick, a twin has no finite loss, more than half of
    the fully pretrained runs did not learn, or a seed has fewer than eight twins of a kind that part at the start."""
    count = _at_the_start(t).groupby(["matched", "seed"]).size().min()
    return untaught_full(t) or (f"{count} twins of a kind and seed" if count < TOO_FEW else "")


def _speech(t: Tables, where: str) -> pd.DataFrame:
    """Kicked twins whose parents learned, of a language model fine-tuned from some checkpoint."""
    return t["texts"].query("kind == 'twin' and learned").query(where)


@study.claim(
    "B19",
    by="largest difference of any weight over all control twins",
    region=exactly(0.0),
    **DROPOUT | {"unless": sound, "kind": Kind.CHECK},
)
def shared_masks_stay(t: Tables) -> Interval:
    """Language with dropout: twins that share their dropout masks stay identical without a kick."""
    control = t["texts"].query("kind == 'control'")
    return intervals.exact(float(control.largest_difference.max(skipna=False)), control.seed.nunique())


def _at_the_start(t: Tables) -> pd.DataFrame:
    """Fully pretrained twins kicked at the first update, with shared and with own masks, by the same sizes."""
    return _speech(t, "checkpoint == 100 and time == 0 and size > 0")


def _ranks(t: Tables, matched: bool) -> pd.Series:
    """Spearman's correlation of distance and barrier over the twins of each seed that part at the first update."""
    twins = _at_the_start(t)
    seeds = twins[twins.matched == matched].groupby("seed")
    return pd.Series({seed: _rank(own) for seed, own in seeds}, dtype=float)


def _rank(twins: pd.DataFrame) -> float:
    """Spearman's correlation of distance and barrier, 0 where all are alike (as below the floor) and tell nothing."""
    heights = twins.barrier.clip(lower=EPSILON)
    told = min(heights.nunique(), twins.distance.nunique()) > 1
    return float(stats.spearmanr(twins.distance, heights).statistic) if told else 0.0


RANKS = DROPOUT | {"unless": too_few}
OVER = "rank correlation of L2 distance and barrier over a seed's twins that part at the start"


@study.claim("B19b", by=f"{OVER}, mean of seeds", region=above(0.5), **RANKS)
def further_is_higher(t: Tables) -> Interval:
    """With shared masks, of twins that part at the start those further apart have higher barriers."""
    return intervals.correlation(_ranks(t, True))


@study.claim(
    "B19e", by=f"{OVER}: with shared masks minus with own", region=above(0.0), margin=0.25, reach=(-2, 2), **RANKS
)
def own_masks_hide_it(t: Tables) -> Interval:
    """Of twins that part at the start, distance and barrier go together less with own masks than with shared ones."""
    return intervals.mean((_ranks(t, True) - _ranks(t, False)).dropna(), (-2, 2))


def _masks(t: Tables, matched: bool, size: float, floor: float) -> Bounds:
    """Barriers of twins that part at the first update."""
    twins = _speech(t, "checkpoint == 100 and time == 0")
    return _bounds(twins[(twins.matched == matched) & (twins["size"] == size)], floor)


@study.claim("B19c", by="ratio of barriers, own masks and no kick to shared and largest", region=above(0.8), **DROPOUT)
def own_masks_part(t: Tables, floor: float = EPSILON) -> Interval:
    """With unmatched masks twins part without a kick, as far as shared ones after the largest kick or further."""
    return _mean(_over(_masks(t, False, 0.0, floor), _masks(t, True, t.params.text_sizes[-1], floor)))


@study.claim(
    "B19d", by="ratio of barriers with own masks, largest kick to none", region=between(1 / 1.5, 1.5), **DROPOUT
)
def size_is_nothing(t: Tables, floor: float = EPSILON) -> Interval:
    """With unmatched masks a kick of the largest size changes the barrier by less than a factor of 1.5."""
    return _mean(_over(_masks(t, False, t.params.text_sizes[-1], floor), _masks(t, False, 0.0, floor)))


@study.claim("X73", by="test accuracy, full pretraining minus none", unless=lost_texts, **HELPS, **LENGTH)
def language_helps(t: Tables) -> Interval:
    """With a language, pretraining raises the accuracy after fine-tuning by more than three points."""
    by_seed = t["texts"].query("kind == 'control'").pivot(index="seed", columns="checkpoint", values="accuracy")
    return intervals.mean(by_seed[100.0] - by_seed[0.0], (-1, 1))


def _lengths(t: Tables, one: float, other: float, floor: float) -> Interval:
    """Ratio of barriers with shared masks and the largest kick at the start, between two checkpoints."""
    kicked = _speech(t, "time == 0 and matched")
    kicked = kicked[kicked["size"] == t.params.text_sizes[-1]]
    both = [kicked[kicked.checkpoint == checkpoint] for checkpoint in (one, other)]
    return _mean(_over(*(_bounds(own, floor) for own in both)))


@study.claim("X74", by="ratio of barriers, full pretraining to none", unless=untaught_texts, **LOWER, **LENGTH)
def language_calms(t: Tables, floor: float = EPSILON) -> Interval:
    """With a language, too, pretraining makes fine-tuning more stable."""
    return _lengths(t, 100.0, 0.0, floor)


@study.claim(
    "X75",
    by="ratio of barriers, full pretraining to the checkpoint before",
    region=above(1.0),
    margin=2.0,
    unless=untaught_texts,
    **LENGTH | {"origin": Origin.PAPER, "place": "second hand: summaries of the paper, of some language models"},
)
def language_unsettles(t: Tables, floor: float = EPSILON) -> Interval:
    """With a language, longer pretraining makes fine-tuning less stable."""
    return _lengths(t, 100.0, t.params.text_checkpoints[-2], floor)


RATIOS = {
    "B17": pretraining_calms, "B17c": it_calms_at_equal_loss, "B17b": more_calms_more, "B17d": some_calms,
    "X70": growth_unsettles, "B18b": many_gain_more, "B19c": own_masks_part, "B19d": size_is_nothing,
    "X74": language_calms, "X75": language_unsettles,
}  # fmt: skip


def floors(t: Tables, factors: Sequence[float] = (0.1, 1.0, 10.0)) -> pd.DataFrame:
    """Ratios of barriers of the claims with other floors of measurement, in multiples of the usual one."""
    rows = []
    for id, ratio in RATIOS.items():
        for factor in factors:
            found = ratio(t, factor * EPSILON)
            rows.append((id, factor * EPSILON, found.bound, found.estimate, found.low, found.high, found.n))
    return pd.DataFrame(rows, columns=["claim", "floor", "bound", "estimate", "low", "high", "n"])
