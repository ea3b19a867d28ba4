"""Notebook 73: which part of a ladder network does the work?

Ladders are trained with parts removed or replaced, on few labels and on more, all arms of a seed with the same images,
minibatches and noise. Each is judged at the look with the lowest validation error, so that arms that learn the labelled
images by heart are not held to how long they were trained.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import data
from butterfly.data import Data
from butterfly.papers.pezeshki2016 import PAPER
from butterfly.papers.pezeshki2016.fitting import Draws, Stack, split, stacks, tested
from butterfly.papers.pezeshki2016.network import AMLP, FIRST, LINEAR, MLP, NONE, Arm
from butterfly.strict import ParameterError
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Shard, Study, Tables, grid, intervals
from butterfly.study.claims import above, below, between, lost

FULL, LATERAL, NOISE, RECONSTRUCTION = "full ladder", "no lateral", "no noise", "no reconstruction"
PLAIN, INPUT, PLANE = "plain network", "noise at the input only", "linear combinator"
SMALL, AUGMENTED = "MLP combinator", "augmented MLP combinator"
ARMS = {
    FULL: Arm(),
    LATERAL: Arm(lateral=False),
    NOISE: Arm(noise=NONE),
    RECONSTRUCTION: Arm(reconstruction=False),
    PLAIN: Arm(noise=NONE, reconstruction=False),
    INPUT: Arm(noise=FIRST),
    PLANE: Arm(combinator=LINEAR),
    SMALL: Arm(combinator=MLP),
    AUGMENTED: Arm(combinator=AMLP),
}
REMOVALS = (LATERAL, NOISE, RECONSTRUCTION, PLANE)
FORMS = (PLANE, FULL, SMALL, AUGMENTED)  # combinators, of otherwise whole ladders
LEARNED = 0.1  # error of a ladder with the most labels, at most; a line through the pixels makes about 0.05


class Params(OneModel):
    """Parameters of notebook 73."""

    setting: str = "digits-ladder"
    steps: int | None = Field(120, gt=0)  # None: the setting's own
    seeds: int = Field(2, ge=2)
    seeds_per_shard: int = Field(2, ge=1)
    labels: tuple[int, ...] = (50, 200)
    more: int = Field(200, gt=0)  # what counts as more labels, in the claims; the fewest are few
    pool: int = Field(1000, gt=1)  # images to learn from; the other training images say when to stop
    labelled_batch: int = Field(50, gt=0)
    noise: float = Field(0.3, gt=0)  # standard deviation; that of the authors' code
    weight: float = Field(1.0, gt=0)  # of the squared error of every layer, against the cross-entropy
    looks: int = Field(12, ge=3)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(self.labels) < 2 or list(self.labels) != sorted(set(self.labels)):
            raise ValueError(f"labels = {list(self.labels)}: give two or more rising numbers")
        if self.more not in self.labels[1:]:
            raise ValueError(f"more = {self.more} is not one of labels = {list(self.labels)} after the first")
        if not self.labelled_batch <= self.labels[0] or self.labels[-1] > self.pool:
            raise ValueError(
                f"labels = {list(self.labels)}: give no fewer than labelled_batch = {self.labelled_batch}, "
                f"and no more than pool = {self.pool}"
            )
        self.chosen(self.setting)
        return self

    @property
    def fewest(self) -> int:
        """How many labels are few."""
        return self.labels[0]

    @property
    def most(self) -> int:
        """The largest number of labels."""
        return self.labels[-1]


study = Study("73_ladder", Params, PAPER)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds, with all arms and numbers of labels."""
    setting = params.chosen(params.setting, params.steps)
    images, recipe = len(data.load(setting.data).y), setting.recipe
    if recipe.optimizer not in ("adam", "adamw") or recipe.batches or recipe.dropout or recipe.augment.active:
        raise ParameterError(f"{params.setting}: ladders learn by Adam from minibatches of one size, as they are")
    if not setting.model.startswith("mlp-") or setting.model.count("-") > 1:
        raise ParameterError(f"model = {setting.model}: the encoder of a ladder is a plain mlp-DEPTHxWIDTH")
    if recipe.batch_size > params.pool or params.pool >= images:
        raise ParameterError(
            f"pool = {params.pool}: give at least a minibatch of {recipe.batch_size}, and fewer than the "
            f"{images} training images of {setting.data}"
        )
    return study.every_few(params, setting, leave=("more",))


# --- shards ----------------------------------------------------------------------------------------------------------

LAST = 0.1  # share of the updates over which the cost of each layer is averaged


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train all arms; what is seen of them on the way.

    `validation`, `entropy` (validation cross-entropy) and `test` are `[T, arms, labels, S]`, at `update [T]`; `cost
    [arms, labels, S, layers]` is the squared error of each layer's guess late in training, NaN without a decoder.
    """
    task, seeds, labels, recipe = bench.task, bench.seeds, bench["labels"], bench.recipe
    pieces = split(task, seeds, bench["pool"], labels)
    sizes = sizes_of(bench, task)
    draws = Draws(pieces, seeds, recipe.batch_size, bench["labelled_batch"])
    groups = stacks(list(ARMS.values()), sizes, len(labels), seeds, bench["noise"], pieces.pool)
    weights, late = [bench["weight"]] * len(sizes), recipe.steps - max(1, round(LAST * recipe.steps))
    updates, seen = looks(recipe.steps, bench["looks"]), []
    costs = []
    for step in range(recipe.steps + 1):
        if step in updates:
            found = [tested(stack, pieces, task.x_test, task.y_test) for stack in groups]
            seen.append(by_arm(groups, found, 1, len(labels), len(seeds)))
        if step == recipe.steps:
            break
        (x, y), noise = draws.images(), draws.noise(sizes)
        now = [stack.step(x, y, noise, weights, recipe, step) for stack in groups]
        if step >= late:
            costs.append([each.cpu().numpy() / bench["weight"] for each in now])
    mean = [np.mean(each, 0) for each in zip(*costs, strict=True)]
    cost = by_arm(groups, mean, 0, len(labels), len(seeds))
    cost[[not arm.reconstruction for arm in ARMS.values()]] = np.nan
    measured = dict(zip(("validation", "entropy", "test"), np.stack(seen, 1), strict=True))
    return measured | {"update": np.array(updates), "cost": cost}


def sizes_of(bench: Bench, task: Data) -> tuple[int, ...]:
    """Units of every layer: those of the setting's perceptron, between the pixels and the classes."""
    return task.x[0].numel(), *[bench.model.width] * bench.model.depth, task.classes


def looks(steps: int, count: int) -> list[int]:
    """Updates at which networks are looked at: closer at first, when the arms without a decoder are at their best."""
    return sorted({round(step) for step in np.geomspace(min(3, steps), steps, count)})


def by_arm(groups: Sequence[Stack], found: Sequence[np.ndarray], axis: int, labels: int, seeds: int) -> np.ndarray:
    """What each stack's members have along an axis, cut into `[arms, labels, S]` with arms in the order of `ARMS`."""
    own = {}
    for stack, values in zip(groups, found, strict=True):
        arms = list(dict.fromkeys(stack.arms))
        shape = (*values.shape[:axis], len(arms), labels, seeds, *values.shape[axis + 1 :])
        own |= dict(zip(arms, np.moveaxis(values.reshape(shape), axis, 0), strict=True))
    return np.moveaxis(np.stack([own[arm] for arm in ARMS.values()]), 0, axis)


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> Tables:
    """`course`: a row an arm, number of labels, seed and look; `stopped`: the look that validation chooses; `costs`: a
    row a layer."""
    courses, costs = [], []
    for shard in shards:
        where = {"arm": ARMS, "labels": params.labels, "seed": shard.config["seeds"]}
        parts = [grid(shard[name], {"update": shard["update"], **where}, name)
                 for name in ("validation", "entropy", "test")]  # fmt: skip
        courses.append(pd.concat([parts[0], parts[1][["entropy"]], parts[2][["test"]]], axis=1))
        costs.append(grid(shard["cost"], {**where, "layer": range(shard["cost"].shape[-1])}, "cost").dropna())
    course = pd.concat(courses, ignore_index=True)
    tables = {"course": course, "stopped": stopped(course), "costs": pd.concat(costs, ignore_index=True)}
    return Tables({name: t.assign(setting=params.setting) for name, t in tables.items()}, params)


def stopped(course: pd.DataFrame) -> pd.DataFrame:
    """A row an arm, number of labels and seed: the look with the lowest validation error, of several that with the
    lowest validation cross-entropy. `last` is the test error of the last look; lost networks have no error."""
    key = ["arm", "labels", "seed"]
    ordered = course.sort_values(["validation", "entropy", "update"], kind="stable", na_position="first")
    best = ordered.drop_duplicates(key)
    last = course.sort_values("update").drop_duplicates(key, keep="last")[[*key, "test"]]
    found = best.merge(last.rename(columns={"test": "last"}), on=key).sort_values(["labels", "seed"], kind="stable")
    place = found.arm.map({arm: number for number, arm in enumerate(ARMS)})
    return found.iloc[place.argsort(kind="stable")].reset_index(drop=True)


# --- claims ----------------------------------------------------------------------------------------------------------


@study.unless
def not_learned(t: Tables) -> str:
    """Claims are void where a network was lost, or whole ladders with the most labels err on more than a tenth."""
    rows = t["stopped"]
    whole = rows[(rows.arm == FULL) & (rows.labels == t.params.most)]
    reasons = [lost(rows[["test"]], "networks were lost")]
    if not whole.test.mean() <= LEARNED:
        reasons.append(f"whole ladders with {t.params.most} labels did not learn")
    return "; ".join(filter(None, reasons))


ERRORS = (-1.0, 1.0)  # a difference of errors
# Of what a whole ladder gains over a plain network with few labels, 0.14 in pilots, a part that matters is a third.
RANKED = {"figure": "b", "margin": 0.05}
ALONE = {"figure": "c", "margin": 0.01}
FEW, MORE, MOST = "{params.fewest} labels", "{more} labels", "{params.most} labels"


def _errors(t: Tables, labels: int) -> pd.DataFrame:
    """Test error at the chosen look `[seeds, arms]`."""
    rows = t["stopped"][t["stopped"].labels == labels]
    return rows.pivot(index="seed", columns="arm", values="test")


@study.claim("LA01", by=f"test error without lateral connections minus without noise, {FEW}",
             region=above(0.0), origin=Origin.ABSTRACT, **RANKED)  # fmt: skip
def lateral_before_noise(t: Tables) -> Interval:
    """With few labels, taking the lateral connections out of a ladder costs more than taking out the noise."""
    e = _errors(t, t.params.fewest)
    return intervals.mean(e[LATERAL] - e[NOISE], ERRORS)


@study.claim("LA01b", by=f"test error without noise minus with the linear combinator, {FEW}",
             region=above(0.0), origin=Origin.ABSTRACT, **RANKED)  # fmt: skip
def noise_before_combinator(t: Tables) -> Interval:
    """With few labels, taking the noise out of a ladder costs more than making its combinator linear."""
    e = _errors(t, t.params.fewest)
    return intervals.mean(e[NOISE] - e[PLANE], ERRORS)


@study.claim("LA01c", by=f"test error without a part minus with all, {FEW}; smallest over four parts",
             region=above(0.0), origin=Origin.OURS, figure="b", margin=0.02)  # fmt: skip
def every_part_matters(t: Tables) -> Interval:
    """With few labels, a ladder errs more without its lateral connections, without noise, without reconstruction, and
    with a linear combinator."""
    e = _errors(t, t.params.fewest)
    damage = np.stack([e[arm] - e[FULL] for arm in REMOVALS], 1)
    found = intervals.largest_mean(-damage, ERRORS)
    return replace(found, estimate=-found.estimate, low=-found.high, high=-found.low)


# A tenth of what plain networks with few labels make of errors, which is about a quarter.
@study.claim("LA01d", by=f"test error without noise minus that of the plain network, {FEW}",
             region=between(-0.025, 0.025), origin=Origin.OURS, figure="b")  # fmt: skip
def reconstruction_needs_noise(t: Tables) -> Interval:
    """With few labels, a ladder without noise is no better than a plain network: its reconstruction does nothing."""
    e = _errors(t, t.params.fewest)
    return intervals.mean(e[NOISE] - e[PLAIN], ERRORS)


@study.claim("LA01e", by=f"ratio of test errors, full ladder over plain network, {FEW}", region=below(0.5),
             figure="c", origin=Origin.OURS)  # fmt: skip
def ladders_halve_the_error(t: Tables) -> Interval:
    """With few labels, a ladder makes fewer than half of the errors of a plain network trained on the labels alone."""
    e = _errors(t, t.params.fewest)
    return intervals.ratio(e[FULL], e[PLAIN])


@study.claim("LA01f", by=f"test error without lateral connections minus with noise at the input only, {FEW}",
             region=above(0.0), origin=Origin.OURS, **RANKED)  # fmt: skip
def lateral_before_hidden_noise(t: Tables) -> Interval:
    """With few labels, taking the lateral connections out of a ladder costs more even than taking the noise out of all
    layers but the image."""
    e = _errors(t, t.params.fewest)
    return intervals.mean(e[LATERAL] - e[INPUT], ERRORS)


def _less_important(t: Tables, arm: str) -> Interval:
    """By what factor errors grow without a part, at the fewest labels over that at more."""
    few, more = (_errors(t, labels) for labels in (t.params.fewest, t.params.more))
    return intervals.ratio(few[arm] * more[FULL], few[FULL] * more[arm])


FACTOR = f"factor by which errors grow, {FEW} over {MORE}, without "


@study.claim(
    "LA02", by=FACTOR + "lateral connections", region=above(1.0), origin=Origin.ABSTRACT, figure="c", margin=2.0
)
def lateral_matters_less(t: Tables) -> Interval:
    """Lateral connections matter less with more labels."""
    return _less_important(t, LATERAL)


@study.claim("LA02b", by=FACTOR + "reconstruction", region=above(1.0), origin=Origin.ABSTRACT, figure="c", margin=2.0)
def reconstruction_matters_less(t: Tables) -> Interval:
    """Reconstruction matters less with more labels."""
    return _less_important(t, RECONSTRUCTION)


def _beyond_half(t: Tables, labels: int) -> Interval:
    """What noise alone takes from the error of a plain network, minus half of what the whole ladder takes."""
    e = _errors(t, labels)
    return intervals.mean((e[PLAIN] - e[RECONSTRUCTION]) - (e[PLAIN] - e[FULL]) / 2, ERRORS)


HALF = "what noise alone takes from the test error of a plain network, minus half of what the ladder takes"


@study.claim("LA02c", by=f"{HALF}, {MORE}", region=above(0.0), origin=Origin.ABSTRACT, **ALONE)
def noise_does_most_with_more(t: Tables) -> Interval:
    """With more labels, noise alone brings more than half of what the whole ladder gains over a plain network."""
    return _beyond_half(t, t.params.more)


@study.claim("LA02d", by=f"{HALF}, {FEW}", region=below(0.0), origin=Origin.OURS, figure="c", margin=0.03)
def noise_does_less_with_few(t: Tables) -> Interval:
    """With few labels, noise alone brings less than half of what the whole ladder gains over a plain network."""
    return _beyond_half(t, t.params.fewest)


@study.claim("LA02e", by=f"test error, full ladder minus plain network, {MOST}", region=below(0.0),
             origin=Origin.ABSTRACT, **ALONE)  # fmt: skip
def ladders_help_with_all(t: Tables) -> Interval:
    """With all labels, a ladder still errs less than a plain network."""
    e = _errors(t, t.params.most)
    return intervals.mean(e[FULL] - e[PLAIN], ERRORS)


@study.claim("LA02f", by=f"test error, noise at the input only minus full ladder, {MORE}", region=above(0.0),
             origin=Origin.ABSTRACT, figure="b", margin=0.01)  # fmt: skip
def noise_in_every_layer(t: Tables) -> Interval:
    """With more labels, a ladder with noise in every layer errs less than one with noise at the input only."""
    e = _errors(t, t.params.more)
    return intervals.mean(e[INPUT] - e[FULL], ERRORS)


COMBINED = {"region": below(0.0), "figure": "d", "margin": 0.02}  # a quarter of the errors of the original


@study.claim("LA03", by=f"test error, augmented MLP minus original combinator; largest of {FEW} and {MORE}",
             origin=Origin.ABSTRACT, **COMBINED)  # fmt: skip
def augmented_beats_original(t: Tables) -> Interval:
    """A small network that also sees the product of its inputs is a better combinator than the original, with few
    labels and with more."""
    each = [_errors(t, labels) for labels in (t.params.fewest, t.params.more)]
    return intervals.largest_mean(np.stack([e[AUGMENTED] - e[FULL] for e in each], 1), ERRORS)


@study.claim("LA03b", by=f"test error, augmented MLP minus MLP combinator, {FEW}", origin=Origin.OURS, **COMBINED)
def the_product_helps(t: Tables) -> Interval:
    """With few labels, a small network that also sees the product of its inputs is a better combinator than one that
    does not."""
    e = _errors(t, t.params.fewest)
    return intervals.mean(e[AUGMENTED] - e[SMALL], ERRORS)
