"""Notebook 62: worst cases of inputs and of weights, and what a discriminator of features does against the former.

Networks are trained as usual, on images with random signs added, on images changed for the worst, and with a
discriminator that looks for the change in a hidden layer; all are then attacked. Beside it twins are kicked in training,
uphill, downhill and at random, to see whether worst cases of the weights end behind higher barriers.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import optim
from butterfly.attack import ends, fgsm, pgd, uphill
from butterfly.batches import Minibatches, spread
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
    Arrays, Bench, Interval, Kind, OneModel, Origin, Shard, Study, Tables, Times, check_times, intervals, plain,
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
    sizes: tuple[float, ...] = (0.05, 0.15, 0.3)
    strengths: tuple[float, ...] = (1.0, 10.0)  # of the discriminator
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
    accuracy = torch.stack([
        torch.stack([_accuracy(model, found.theta, _changed(bench, found.theta, attack, own, x, y), y) for own in scale])
        for attack in ATTACKS
    ])  # fmt: skip
    names = [arm.name for arm in ways]
    donors = torch.full(shape[:1], names.index(ADVERSARIAL))
    donors[names.index(ADVERSARIAL)] = names.index(a3t(bench["strength"]))
    theirs = found.theta.view(*shape, -1)[donors].flatten(0, 1)
    foreign = _accuracy(model, found.theta, _changed(bench, theirs, STEPS, size, x, y), y)
    features = {name: value.view(shape).cpu().numpy() for name, value in _features(bench, found, size, x, y).items()}
    return {
        "accuracy": accuracy.view(*accuracy.shape[:2], *shape).cpu().numpy(),
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


def _loss_of(batch, family: Tensor):
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
