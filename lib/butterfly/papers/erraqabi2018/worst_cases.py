"""Notebook 62: worst cases of inputs and of weights, and what a discriminator of features does against the former.

Networks are trained as usual, on images with random signs added, on images changed for the worst, and with a
discriminator that looks for the change in a hidden layer; all are then attacked. Beside them twins are kicked during
training, uphill, downhill and at random, to see whether worst cases of the weights end behind higher barriers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import optim
from butterfly.attack import ends, fgsm, pgd, uphill
from butterfly.batches import Batch, Minibatches, spread
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.models import Model
from butterfly.papers.erraqabi2018 import PAPER
from butterfly.papers.erraqabi2018.defences import (
    ADVERSARIAL, NOISE, STANDARD, Defended, a3t, arms, defend, fresh_judge, hidden, scatter, shift,
)  # fmt: skip
from butterfly.perturb import Kick, displacement, expected_norm
from butterfly.stack import blocks
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import (
    Arrays, Bench, Interval, OneModel, Origin, Shard, Study, Tables, Times, check_times, intervals, plain,
    rising_sizes, rising_times,
)  # fmt: skip
from butterfly.study.claims import above, below, between, differing_controls, lost
from butterfly.study.tables import grid
from butterfly.train import descend

RANDOM, ONE_STEP, STEPS, FOREIGN = "random signs", "FGSM", "PGD", "PGD on another network"
ATTACKS = (RANDOM, ONE_STEP, STEPS)
UP, DOWN, GAUSSIAN, CONTROL = "uphill", "downhill", "Gaussian", "control"
KINDS = (UP, DOWN, GAUSSIAN)
MEMBERS = 16  # attacked, or trained on, at once: what fits into a cache


class Params(OneModel):
    """Parameters of notebook 62; sizes of changed images are shares of the range of a pixel."""

    setting: str = "digits-attacked"
    steps: int | None = Field(300, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=2)
    seeds_per_shard: int = Field(8, ge=1)
    size: float = Field(0.15, gt=0, lt=1)  # of the changes in training, and of the claims
    beyond: float = Field(0.2, gt=0, lt=1)  # a larger one, of one claim
    sizes: tuple[float, ...] = (0.05, 0.15, 0.2)
    strengths: tuple[float, ...] = (0.1, 1.0)  # of the discriminator
    strength: float = Field(1.0, gt=0)  # of the claims
    pgd_steps: int = Field(5, ge=2)
    examples: int = Field(200, ge=40)  # test images that are attacked
    kick_setting: str = "digits"
    kick_steps: int | None = Field(160, gt=0)
    kick_seeds: int = Field(3, ge=2)
    kick_seeds_per_shard: int = Field(8, ge=1)
    kick_times: Times = (0.0, 25.0)
    kick_sizes: tuple[float, ...] = (1e-2,)
    kick_size: float = Field(1e-2, gt=0)  # of the claims
    late: float = Field(25.0, gt=0, lt=100)  # percent of training
    points: int = Field(5, ge=3)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name, one in (("sizes", self.size), ("strengths", self.strength), ("kick_sizes", self.kick_size)):
            rising_sizes(name, getattr(self, name))
            if one not in getattr(self, name):
                raise ValueError(f"{name} = {list(getattr(self, name))} lack {one:g}, which claims are about")
        if not self.size < self.beyond or self.beyond not in self.sizes:
            raise ValueError(
                f"beyond = {self.beyond:g}: give one of the sizes that is larger than size = {self.size:g}"
            )
        rising_times("kick_times", self.kick_times)
        if self.late not in self.kick_times or 0.0 not in self.kick_times:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and late = {self.late:g} among them")
        self.chosen(self.setting)
        return self

    @property
    def main(self) -> str:
        """The arm with the discriminator that claims are about."""
        return a3t(self.strength)

    @property
    def percent(self) -> str:
        """The size of the changes, in words."""
        return f"{100 * self.size:g} %"

    @property
    def percent_beyond(self) -> str:
        """The larger size, in words."""
        return f"{100 * self.beyond:g} %"

    @property
    def in_kicks(self) -> str:
        """The data and the architecture of claims on kicks."""
        found = plain(self.kick_setting)
        return f"{found.data}, {found.model}"


study = Study("62_worst_cases", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds with all arms, and one for every few seeds with all kicks."""
    chosen, kicks = params.chosen(params.setting, params.steps), plain(params.kick_setting, params.kick_steps)
    check_times(kicks, params.kick_times)
    if chosen.recipe.dropout or kicks.recipe.dropout:
        raise ParameterError("the loops of this notebook know no dropout; give a recipe without")
    names = ("size", "sizes", "strengths", "strength", "pgd_steps", "examples")
    given = params.model_dump(mode="json")
    common = study.config(chosen, params, **{name: given[name] for name in names})
    shards = [Shard(attacked, common | {"seeds": few}, "arms") for few in params.few()]
    names = ("kick_times", "kick_sizes", "points")
    common = study.config(kicks, params, **{name: given[name] for name in names})
    return shards + [Shard(kicked, common | {"seeds": few}, "kicks") for few in params.few("kick_seeds")]


# --- shards: inputs --------------------------------------------------------------------------------------------------


@study.shard
def attacked(bench: Bench) -> Arrays:
    """Train all arms of all seeds and attack them.

    Accuracy on the test images `accuracy [attacks, sizes + 1, A, S]`, first at size 0; under PGD on another arm's
    network of the seed `foreign [A, S]` (that of adversarial training, and for this the main A3T); and of the hidden
    layer at the size of training, all `[A, S]`: `shift`, `fresh` and `own`, how often a fresh judge and the network's
    own discriminator tell changed from clean.
    """
    model, task, seeds, ways = bench.model, bench.task, bench.seeds, arms(bench["strengths"])
    low, high = ends(task.x)
    size, shape = bench["size"] * (high - low), (len(ways), len(seeds))
    found = defend(model, task, bench.recipe, seeds, ways, size)
    x, y = task.x_test[: bench["examples"]], task.y_test[: bench["examples"]]
    scale = [share * (high - low) for share in (0.0, *bench["sizes"])]
    cells = [_accuracy(model, found.theta, _changed(bench, found.theta, attack, own, x, y), y)
             for attack in ATTACKS for own in scale]  # fmt: skip
    names = [arm.name for arm in ways]
    donors = torch.full(shape[:1], names.index(ADVERSARIAL))
    donors[names.index(ADVERSARIAL)] = names.index(a3t(bench["strength"]))
    theirs = found.theta.view(*shape, -1)[donors].flatten(0, 1)
    foreign = _accuracy(model, found.theta, _changed(bench, theirs, STEPS, size, x, y), y)
    features = {name: value.view(shape).cpu().numpy() for name, value in _features(bench, found, size, x, y).items()}
    return {
        "accuracy": torch.stack(cells).view(len(ATTACKS), len(scale), *shape).cpu().numpy(),
        "foreign": foreign.view(shape).cpu().numpy(),
        **features,
    }


def _changed(bench: Bench, theta: Tensor, attack: str, size: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The images as an attack changes them for each network `[A * S, N, ...]`; arms of a seed share what is random."""
    model, seeds, within = bench.model, bench.seeds, ends(bench.task.x)
    family = torch.arange(len(seeds)).repeat(len(theta) // len(seeds))
    if attack == RANDOM:
        return spread(scatter(x.expand(len(seeds), *x.shape), size, within, seeds, "test"), family)
    start = torch.stack(
        [x + size * (2 * torch.rand(x.shape, generator=generator("begin", s)).to(x) - 1) for s in seeds]
    )
    found = []
    for rows in blocks(len(theta), MEMBERS):
        if attack == ONE_STEP:
            found.append(fgsm(model, theta[rows], x, y, size, within))
        else:
            found.append(pgd(model, theta[rows], x, y, size, bench["pgd_steps"], within, spread(start, family[rows])))
    return torch.cat(found)


def _accuracy(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Share of images `[M, N, ...]` that each network gets right `[M]`; NaN where it has no finite answer."""
    found = []
    with torch.no_grad():
        for rows in blocks(len(theta), MEMBERS):
            logits = model.forward(model.layout.tensors(theta[rows]), x[rows])
            right = (logits.argmax(2) == y).double().mean(1)
            found.append(right.masked_fill(~logits.isfinite().flatten(1).all(1), torch.nan))
    return torch.cat(found)


def _features(bench: Bench, found: Defended, size: Tensor, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """What FGSM does to the last hidden layer, and who sees it."""
    model, theta, seeds = bench.model, found.theta, bench.seeds
    clean = hidden(model, theta, x.expand(len(theta), *x.shape))
    moved = hidden(model, theta, _changed(bench, theta, ONE_STEP, size, x, y))
    orders = torch.stack([torch.randperm(len(x), generator=generator("judged", seed)) for seed in seeds])
    taken = found.judge.layout.tensors(found.opinions)
    with torch.no_grad():
        calls = [found.judge.forward(taken, h).argmax(2).double().mean(1) for h in (clean, moved)]
    return {
        "shift": shift(clean, moved),
        "fresh": fresh_judge(clean, moved, orders.repeat(len(theta) // len(seeds), 1)),
        "own": (1 - calls[0] + calls[1]) / 2,
    }


# --- shards: weights -------------------------------------------------------------------------------------------------


@study.shard
def kicked(bench: Bench) -> Arrays:
    """Train parents, and twins that were kicked by the same length uphill, downhill and at random; controls first.

    Over the twins `[K]`: by how much the training loss rose at the kick, and the barrier to the parent at the end.
    """
    model, task, recipe, seeds = bench.model, bench.task, bench.recipe, bench.seeds
    theta = model.init(seeds).to(task.x)
    state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
    batches, family = Minibatches(task, recipe.batch_size_at, recipe.augment, seeds), torch.arange(len(seeds))
    rows: list[tuple[int, float, str, float]] = []
    rises = []
    due = {bench.setting.step_at(time): time for time in bench["kick_times"]}
    for step in range(recipe.steps):
        if step in due:
            cells = [(CONTROL, 0.0), *((kind, size) for kind in KINDS for size in bench["kick_sizes"])]
            parents = theta[: len(seeds)]
            twins = torch.cat([parents + _kick(bench, parents, kind, size, batches) for kind, size in cells])
            before, after = (evaluate(model, some, task.x, task.y)[0] for some in (parents, twins))
            rises.append((after - before.repeat(len(cells))).cpu())
            rows += [(seed, due[step], kind, size) for kind, size in cells for seed in seeds]
            theta = torch.cat([theta, twins])
            state = [torch.cat([slot, slot[: len(seeds)].repeat(len(cells), 1)]) for slot in state]
            family = torch.cat([family, torch.arange(len(seeds)).repeat(len(cells))])
        batch = batches.at(step)
        for some in blocks(len(theta), 4 * MEMBERS):
            down = model.gradient(theta[some], batch.inputs(family[some]), _loss_of(batch, family[some]))
            descend(recipe, step, theta[some], [slot[some] for slot in state], down)
    parents, twins = theta[family[len(seeds) :]], theta[len(seeds) :]
    line = barriers(model, parents, twins, task.x, task.y, bench["points"])
    names = ("seed", "time", "kind", "size")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)} | {
        "rise": torch.cat(rises).numpy(),
        "barrier": line.of_loss.numpy(),
        "accuracy": 1 - line.error[:, 0].numpy(),  # of the parent, on the training set
        "largest_difference": (twins - parents).abs().amax(1).cpu().numpy(),
    }


def _loss_of(batch: Batch, family: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda logits: batch.losses(logits, family).sum()


def _kick(bench: Bench, parents: Tensor, kind: str, size: float, batches: Minibatches) -> Tensor:
    """The kick of every parent `[S, P]`: weights alone move, by `size` times the norm that they had at the start."""
    model = bench.model
    if kind in (CONTROL, GAUSSIAN):
        kick = Kick(size=size)
        each = zip(parents, bench.seeds, strict=True)
        return torch.stack([displacement(model, own, kick, seed, batches.another) for own, seed in each])
    way = uphill(model, parents, bench.task.x, bench.task.y, model.layout.select())
    return (size if kind == UP else -size) * expected_norm(model, Kick()) * way


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: Sequence[Shard]) -> Tables:
    """`accuracy`: a row an arm, seed, attack and size; `features`: an arm and seed; `kicks`: a twin."""
    names = [arm.name for arm in arms(params.strengths)]
    accuracy, features, kicks = [], [], []
    for shard in shards:
        if shard.of == "kicks":
            kicks.append(pd.DataFrame(shard.found).assign(setting=params.kick_setting))
            continue
        where = {"arm": names, "seed": shard.config["seeds"]}
        own = {"attack": ATTACKS, "size": [0.0, *params.sizes], **where}
        accuracy.append(grid(shard["accuracy"], own, "accuracy"))
        accuracy.append(
            grid(shard["foreign"][None, None], own | {"attack": [FOREIGN], "size": [params.size]}, "accuracy")
        )
        parts = [grid(shard[name], where, name) for name in ("shift", "fresh", "own")]
        features.append(pd.concat([parts[0], parts[1][["fresh"]], parts[2][["own"]]], axis=1))
    tables = {"accuracy": accuracy, "features": features, "kicks": kicks}
    found = {name: pd.concat(some, ignore_index=True) for name, some in tables.items()}
    marked = {name: found[name].assign(setting=params.setting) for name in ("accuracy", "features")}
    return Tables(found | marked, params)


# --- claims ----------------------------------------------------------------------------------------------------------

SHARES = (-1.0, 1.0)  # the reach of a difference of two shares


@study.unless
def nothing_learned(t: Tables) -> str:
    """Claims are void where a network that they are about, with the discriminator at its main strength if it has one,
    gets less than 80 % of the unchanged test images right: it has little to lose then."""
    table = t["accuracy"]
    own = table[(table["size"] == 0) & table.arm.isin((STANDARD, NOISE, ADVERSARIAL, t.params.main))]
    count = int((~(own[own.attack == ONE_STEP].accuracy >= 0.8)).sum())
    return f"{count} networks learned too little" if count else ""


def unfit_twins(t: Tables) -> str:
    """Claims are void where control twins differ from their parents, a barrier is not finite, or a parent learned less
    than 90 % of its training set."""
    kicks = t["kicks"]
    controls = differing_controls(kicks)
    weak = int((~(kicks.groupby("seed").accuracy.min() >= 0.9)).sum())
    gone = lost(kicks[["barrier"]], "twins or their paths have no finite loss")
    return "; ".join(filter(None, (controls, gone, f"{weak} parents learned too little" if weak else "")))


def _right(t: Tables, arm: str, attack: str, size: float | None = None) -> pd.Series:
    """Accuracy of one arm under an attack by seed, at the size of training if no other is given."""
    table, size = t["accuracy"], t.params.size if size is None else size
    return table[(table.arm == arm) & (table.attack == attack) & (table["size"] == size)].set_index("seed").accuracy


def _clean(t: Tables, arm: str) -> pd.Series:
    return _right(t, arm, ONE_STEP, 0.0)


def _smallest(columns: Sequence[pd.Series]) -> Interval:
    """The smallest of several means over seeds of a difference of shares."""
    found = intervals.largest_mean(-np.stack(columns, 1), SHARES)
    return replace(found, estimate=-found.estimate, low=-found.high, high=-found.low)


LOST = "accuracy on clean test images minus that under {} of {{params.percent}}, standard training"


@study.claim("AT01", by=LOST.format(ONE_STEP), region=above(0.5), margin=0.1, origin=Origin.ABSTRACT, figure="a")
def fgsm_costs_most(t: Tables) -> Interval:
    """Pixels that move by at most {params.percent} of their range, each to its worse side (FGSM), cost an ordinary
    network more than half of the images."""
    return intervals.mean(_clean(t, STANDARD) - _right(t, STANDARD, ONE_STEP), SHARES)


# One image in twenty: a tenth of what the worst case has to cost above.
@study.claim("AT01b", by=LOST.format(RANDOM), region=below(0.05), margin=0.02, figure="a")
def random_signs_cost_little(t: Tables) -> Interval:
    """Random changes of the same size cost an ordinary network less than one image in twenty."""
    return intervals.mean(_clean(t, STANDARD) - _right(t, STANDARD, RANDOM), SHARES)


JUDGED = "share of held-out features that a fresh judge calls rightly clean or changed"


@study.claim("AT02", by=f"{JUDGED}, adversarial training minus A3T at strength {{strength:g}}", region=above(0.0),
             margin=0.02, origin=Origin.ABSTRACT, figure="b")  # fmt: skip
def harder_to_tell(t: Tables) -> Interval:
    """Trained to fool a discriminator, the last hidden layer hides changes of the image better than adversarial
    training alone makes it."""
    return intervals.mean(_feature(t, "fresh", ADVERSARIAL) - _feature(t, "fresh", t.params.main), SHARES)


@study.claim("AT02b", by="relative shift of the features, A3T at strength {strength:g} over adversarial training",
             region=below(1.0), margin=1.1, origin=Origin.ABSTRACT, figure="b")  # fmt: skip
def moves_less(t: Tables) -> Interval:
    """With the discriminator, the worst change of an image moves its features less than with adversarial training
    alone."""
    return intervals.ratio(_feature(t, "shift", t.params.main), _feature(t, "shift", ADVERSARIAL))


# 0.5 is guessing; one call in twenty beyond it is little beside the three in ten of other networks.
@study.claim("AT02c", by=f"{JUDGED}, A3T at strength {{strength:g}}", region=below(0.55), reach=(0.0, 1.0), margin=0.03,
             figure="b")  # fmt: skip
def invariant(t: Tables) -> Interval:
    """With the discriminator, a fresh judge can hardly do better than guess whether an image was changed."""
    return intervals.mean(_feature(t, "fresh", t.params.main), (0.0, 1.0))


@study.claim("AT02d", by=f"{JUDGED}, fresh judge minus the network's own discriminator, A3T at strength {{strength:g}}",
             region=above(0.0), margin=0.05, origin=Origin.OTHER, source="Elazar and Goldberg 2018 (arXiv 1808.06640)",
             figure="b")  # fmt: skip
def hidden_from_one_only(t: Tables) -> Interval:
    """A fresh judge finds more of the change in the features than the discriminator that they were trained to fool."""
    return intervals.mean(_feature(t, "fresh", t.params.main) - _feature(t, "own", t.params.main), SHARES)


def _feature(t: Tables, name: str, arm: str) -> pd.Series:
    table = t["features"]
    return table[table.arm == arm].set_index("seed")[name]


def _gain(t: Tables, arm: str, over: str, attack: str) -> pd.Series:
    return _right(t, arm, attack) - _right(t, over, attack)


ROBUST = "accuracy under {} of {{params.percent}}, {} minus {}"
MADRY = {"origin": Origin.OTHER, "source": "Madry et al. 2018 (arXiv 1706.06083)"}


# One image in a hundred is called as good.
@study.claim("AT03", by=ROBUST.format("FGSM and PGD", "A3T at strength {strength:g}", "adversarial; the smaller"),
             region=above(-0.01), margin=0.02, origin=Origin.PAPER, place="second hand: notes on the comparisons",
             figure="c")  # fmt: skip
def as_robust(t: Tables) -> Interval:
    """With the discriminator networks are at least as robust as with adversarial training alone, under FGSM and PGD."""
    return _smallest([_gain(t, t.params.main, ADVERSARIAL, attack) for attack in (ONE_STEP, STEPS)])


@study.claim("AT03b", by=ROBUST.format(STEPS, "A3T", "adversarial; largest mean over strengths"), region=above(0.0),
             margin=0.02, figure="c")  # fmt: skip
def some_strength_gains(t: Tables) -> Interval:
    """At one of the strengths tried at least, the discriminator makes networks more robust than adversarial training
    alone against changes as large as those in training."""
    return _best_gain(t, t.params.size)


@study.claim("AT03g", by="accuracy under PGD of {params.percent_beyond}, A3T minus adversarial; largest mean over "
             "strengths", region=above(0.0), margin=0.02, figure="c")  # fmt: skip
def some_strength_gains_beyond(t: Tables) -> Interval:
    """At one of the strengths tried at least, the discriminator makes networks more robust than adversarial training
    alone against changes larger than those in training."""
    return _best_gain(t, t.params.beyond)


def _best_gain(t: Tables, size: float) -> Interval:
    """The largest over strengths of the mean gain over adversarial training, under PGD."""
    gains = [_right(t, a3t(s), STEPS, size) - _right(t, ADVERSARIAL, STEPS, size) for s in t.params.strengths]
    return intervals.largest_mean(np.stack(gains, 1), SHARES)


# A fifth of the images: an effect that nobody would miss.
@study.claim("AT03c", by=ROBUST.format(STEPS, "adversarial", "standard"), region=above(0.2), margin=0.05, figure="a",
             **MADRY)  # fmt: skip
def adversarial_training_helps(t: Tables) -> Interval:
    """Adversarial training saves more than a fifth of the images from an attack in several steps (PGD)."""
    return intervals.mean(_gain(t, ADVERSARIAL, STANDARD, STEPS), SHARES)


@study.claim("AT03d", by=ROBUST.format(STEPS, "adversarial", "random signs"), region=above(0.1), margin=0.05,
             figure="a")  # fmt: skip
def random_signs_do_not_help_as_much(t: Tables) -> Interval:
    """It is the worst case that helps: training on random changes of the same size leaves at least a tenth of the
    images less."""
    return intervals.mean(_gain(t, ADVERSARIAL, NOISE, STEPS), SHARES)


@study.claim("AT03e", by="accuracy on clean test images, adversarial and A3T, each minus standard; the smaller",
             region=above(-0.01), margin=0.005, figure="c")  # fmt: skip
def free_of_charge(t: Tables) -> Interval:
    """Neither defence costs one clean image in a hundred."""
    return _smallest([_clean(t, arm) - _clean(t, STANDARD) for arm in (ADVERSARIAL, t.params.main)])


@study.claim("AT03f", by="accuracy under PGD of {params.percent} on the other network minus on the own one; the "
             "smaller of adversarial training and A3T", region=above(0.0), margin=0.02, origin=Origin.OTHER,
             source="Athalye et al. 2018 (arXiv 1802.00420)", figure="c")  # fmt: skip
def gradients_are_not_masked(t: Tables) -> Interval:
    """Attacks on the network itself do more than attacks on another robust network, so its slopes are not hidden."""
    return _smallest([_right(t, arm, FOREIGN) - _right(t, arm, STEPS) for arm in (ADVERSARIAL, t.params.main)])


KICKED = {"scope": "{params.in_kicks}", "unless": unfit_twins, "figure": "d"}
BARRIERS = "barrier after a kick of {{kick_size:g}} {}, over that {}"


def _twins(t: Tables, name: str, kind: str, time: float) -> pd.Series:
    """A number of the twins of one kind and time, by seed."""
    table = t["kicks"]
    some = (table.kind == kind) & (table.time == time) & (table["size"] == t.params.kick_size)
    return table[some].set_index("seed")[name]


# A factor of two: barriers of two seeds differ by more.
@study.claim("AT04", by=BARRIERS.format("uphill at the start", "after one at random"), region=between(0.5, 2.0),
             **KICKED)  # fmt: skip
def no_matter_at_the_start(t: Tables) -> Interval:
    """At the start of training it does not matter for the barrier at the end whether a kick goes uphill or anywhere."""
    return intervals.ratio(_twins(t, "barrier", UP, 0.0), _twins(t, "barrier", GAUSSIAN, 0.0), EPSILON)


@study.claim("AT04b", by=BARRIERS.format("uphill at {late:g} % of training", "after one at random"), region=above(1.0),
             margin=2.0, **KICKED)  # fmt: skip
def higher_barriers_later(t: Tables) -> Interval:
    """Later in training, at {params.late:g} %, a kick uphill leaves a higher barrier at the end than a random kick of
    the same length."""
    return intervals.ratio(*(_twins(t, "barrier", kind, t.params.late) for kind in (UP, GAUSSIAN)), EPSILON)


@study.claim("AT04c", by=BARRIERS.format("downhill at {late:g} % of training", "after one uphill"),
             region=between(0.5, 2.0), **KICKED)  # fmt: skip
def the_line_counts_not_the_side(t: Tables) -> Interval:
    """At {params.late:g} % of training, a kick downhill leaves about as high a barrier as one uphill: what counts is
    not how much worse the network got at once."""
    return intervals.ratio(*(_twins(t, "barrier", kind, t.params.late) for kind in (DOWN, UP)), EPSILON)
