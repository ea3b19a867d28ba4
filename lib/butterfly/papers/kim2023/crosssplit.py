"""Notebook 50: two networks, each on its half of the examples, repair each other's labels.

Plain training, the split alone, the mixing of labels with the peer's prediction alone, and both are trained side by
side, for several kinds and rates of label noise. Every arm trains two networks and is tested by their mean, so that no
arm wins by averaging alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import one_hot

from butterfly import data
from butterfly.data import Data, with_label_noise
from butterfly.evaluate import logits
from butterfly.models import Model
from butterfly.papers.kim2023 import PAPER
from butterfly.score import pointwise
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import Arrays, Bench, Interval, Kind, OneModel, Origin, Shard, Study, Tables, intervals
from butterfly.study.claims import above, below, lost
from butterfly.study.tables import grid
from butterfly.train import Recipe, train

ARMS = ("plain", "split only", "mixed only", "both")
SPLIT = (False, True, False, True)  # each of two networks learns from its own half of the examples
MIXED = (False, False, True, True)  # labels are mixed with the prediction of the other network
OTHER = 100_000  # the second network of every seed is that of the seed so much later
CELL = 10_000_000  # and the minibatches of every arm and noise are drawn so much later again

DIGITS = {2: 7, 3: 8, 5: 6, 6: 5, 7: 1}
CONFUSED = {  # classes taken for another (Patrini et al. 2017): bird and airplane, cat and dog, ...
    "digits": DIGITS,
    "mnist": DIGITS,
    "mnist1d": DIGITS,
    "cifar10": {2: 0, 3: 5, 4: 7, 5: 3, 9: 1},
}

Noise = tuple[str, float]


class Params(OneModel):
    """Parameters of notebook 50."""

    setting: str = "digits-twins"
    steps: int | None = Field(800, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=2)
    seeds_per_shard: int = Field(4, ge=1)
    noises: tuple[Noise, ...] = (("symmetric", 0.5), ("asymmetric", 0.4))
    warm_up: float = Field(6.0, ge=0, lt=100)  # percent of training before labels are mixed
    looks: int = Field(10, ge=2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(set(self.noises)) < len(self.noises) or not self.noises:
            raise ValueError(f"noises = {list(self.noises)}: give one or more, each once")
        for kind, rate in self.noises:
            if kind not in ("symmetric", "asymmetric") or not 0 < rate < 1:
                raise ValueError(f"noise {kind} {rate}: give 'symmetric' or 'asymmetric', and a share of the labels")
        self.chosen(self.setting)
        return self

    @property
    def names(self) -> list[str]:
        """The noises, as a reader would say them."""
        return [noise_name(kind, rate) for kind, rate in self.noises]


def noise_name(kind: str, rate: float) -> str:
    """`symmetric 20 %`."""
    return f"{kind} {100 * rate:g} %"


study = Study("50_crosssplit", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds, with all arms and noises."""
    setting = params.chosen(params.setting, params.steps)
    recipe, kinds = setting.recipe, {kind for kind, _ in params.noises}
    plain = setting.changed(optimizer="sgd", momentum=0.0, schedule="constant", warmup=0.0, batches=())
    if plain != setting:
        raise ParameterError(f"{params.setting}: targets change and training begins anew every epoch, which only plain "
                             "SGD at a constant step does not notice: no momentum, no warm-up")  # fmt: skip
    if "asymmetric" in kinds and setting.data not in CONFUSED:
        raise ParameterError(f"no list of classes of {setting.data} that are taken for another; known: {[*CONFUSED]}")
    if epochs_of(recipe, data.load(setting.data)) < 2:
        raise ParameterError(f"steps = {recipe.steps}: give two epochs or more")
    return study.every_few(params, setting)


# --- shards ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Twins:
    """Who learns from what: axes are arms, noises, 2 twins, S seeds and N examples, or 1 where nothing differs."""

    label: Tensor  # the label that is given
    wrong: Tensor  # whether it is wrong
    decoy: Tensor  # another wrong class, which nobody was told
    own: Tensor  # whether the network learns from the example itself
    mixed: Tensor  # whether labels are mixed with the peer's prediction


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train all pairs of networks; what is seen of them over training `[T, arms, noises, S]`.

    `areas [2, 2, arms, noises, S]` is the area under the ROC curve with which EL2N finds wrong labels: of networks on
    their own examples and on those of their peers, over training and at the end.
    """
    model, task, seeds = bench.model, bench.task, bench.seeds
    twins = pairs(task, bench["noises"], seeds)
    epochs = epochs_of(bench.recipe, task)
    looks = sorted({round(share * epochs) for share in np.linspace(0, 1, bench["looks"] + 1)})
    seen, scores = [], []
    for epoch, theta, targets, z in course(model, task, bench.recipe, seeds, twins, bench["warm_up"] / 100 * epochs):
        if epoch in looks:
            seen.append(look(twins, task, targets, z) | _tested(model, theta, task, z.shape[:4]))
            scores.append(pointwise(z, twins.label.expand(z.shape[:-1]))["el2n"])
    measured = {name: np.array([now[name] for now in seen]) for name in seen[0]}
    areas = [[_areas(twins, found, mask) for found in (torch.stack(scores[1:]).mean(0), scores[-1])]
             for mask in (twins.own, ~twins.own)]  # fmt: skip
    return {**measured, "epoch": np.array(looks), "areas": np.array(areas)}


def epochs_of(recipe: Recipe, task: Data) -> int:
    """How often a recipe goes through the data, incomplete minibatches left out."""
    return recipe.steps // (len(task.y) // recipe.batch_size)


def pairs(task: Data, noises: Sequence[Noise], seeds: Sequence[int]) -> Twins:
    """Labels and halves for all arms, noises and seeds; arms share the noise, and all share the halves, of a seed."""
    drawn = [[mislabelled(task, kind, rate, seed) for seed in seeds] for kind, rate in noises]
    label, decoy = (torch.stack([torch.stack([own[k] for own in row]) for row in drawn])[None, :, None] for k in (0, 1))
    first = torch.stack([half(len(task.y), seed) for seed in seeds]).to(task.y.device)  # [S, N]
    split, mixed = (torch.tensor(arm, device=task.y.device).view(-1, 1, 1, 1, 1) for arm in (SPLIT, MIXED))
    own = torch.stack([first, ~first])[None, None] | ~split
    return Twins(label, label != task.y, decoy, own, mixed)


def mislabelled(task: Data, kind: str, rate: float, seed: int) -> tuple[Tensor, Tensor]:
    """Labels `[N]`, a share of them wrong, and for every example a class that is neither the true one nor the label.

    Symmetric: the share of all labels moves to any other class. Asymmetric: the share of the labels of some classes
    moves to the class that each is easily taken for.
    """
    if kind == "symmetric":
        label = with_label_noise(task, rate, seed)[0].y
    else:
        random, label = generator("asymmetric-noise", seed), task.y.clone()
        for true, taken_for in CONFUSED[task.name].items():
            of_class = (task.y == true).nonzero().squeeze(1)
            some = torch.randperm(len(of_class), generator=random)[: round(rate * len(of_class))]
            label[of_class[some.to(label.device)]] = taken_for
    chance = torch.rand(len(label), task.classes, generator=generator("decoy", seed)).to(task.x)
    taken = one_hot(task.y, task.classes) + one_hot(label, task.classes)
    return label, (chance - taken).argmax(1)


def half(count: int, seed: int) -> Tensor:
    """A random half of the examples, as a mask `[N]`."""
    order = torch.randperm(count, generator=generator("halves", seed))
    return order < count // 2


def course(
    model: Model, task: Data, recipe: Recipe, seeds: Sequence[int], twins: Twins, warm_up: float
) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """After every epoch from 0 on: networks `[R, P]`, targets for the next and logits `[arms, noises, 2, S, N, C]`.

    Before an epoch that begins at `warm_up` or later, both twins predict all examples, and in the arms that mix each
    label is mixed with what the peer predicts.
    """
    shape = (*torch.broadcast_shapes(twins.label.shape, twins.own.shape),)
    rows = [seed + CELL * cell + OTHER * twin
            for cell, twin, seed in product(range(shape[0] * shape[1]), (0, 1), seeds)]  # fmt: skip
    theta = model.init([*seeds, *(seed + OTHER for seed in seeds)]).to(task.x).repeat(shape[0] * shape[1], 1)
    given = one_hot(twins.label.expand(shape), task.classes).to(task.x)
    task = replace(task, weights=twins.own.expand(shape).flatten(0, 3).to(task.x))
    epochs, updates = epochs_of(recipe, task), len(task.y) // recipe.batch_size
    for epoch in range(epochs + 1):
        z = logits(model, theta, task.x).view(*shape, task.classes)
        targets = given
        if epoch >= warm_up:
            peer = z.softmax(-1).flip(2)  # the prediction of the other twin
            targets = torch.where(twins.mixed[..., None], mix(given, peer), given)
        yield epoch, theta, targets, z
        if epoch < epochs:
            now = replace(task, targets=targets.flatten(0, 3))
            until = recipe.changed(steps=(epoch + 1) * updates)
            theta = train(model, now, until, rows, init=theta, start=epoch * updates).theta


def mix(given: Tensor, peer: Tensor) -> Tensor:
    """Targets `[..., C]`: the peer's probabilities take the larger a share, the further they are from the label."""
    share = divergence((given * peer).sum(-1, keepdim=True))
    return (1 - share) * given + share * peer


def divergence(confidence: Tensor) -> Tensor:
    """Jensen-Shannon divergence in bits, from 0 to 1, of a label and a prediction that gives it this probability.

    How a prediction spreads over the other classes does not matter for it.
    """
    both = (1 + confidence) / 2
    found = (1 - confidence) / 2 + torch.special.xlogy(confidence, confidence) / (2 * np.log(2))
    return (found - torch.special.xlogy(both, both) / np.log(2)).clamp(0, 1)


# --- what is seen ----------------------------------------------------------------------------------------------------


def look(twins: Twins, task: Data, targets: Tensor, z: Tensor) -> Arrays:
    """Shares over the examples of both twins `[arms, noises, S]`, NaN where there are none.

    Wrong labels that are predicted (`memorised`: own ones; `unseen`: those of the peer's half; `decoy`: there, another
    wrong class) and, of the targets to come, wrong labels that point to the true class (`repaired`) and right ones that
    point elsewhere (`spoiled`).
    """
    answer, aim = z.argmax(-1), targets.argmax(-1)
    seen = {
        "memorised": (answer == twins.label, twins.wrong & twins.own),
        "unseen": (answer == twins.label, twins.wrong & ~twins.own),
        "decoy": (answer == twins.decoy, twins.wrong & ~twins.own),
        "repaired": (aim == task.y, twins.wrong & twins.own),
        "spoiled": (aim != task.y, ~twins.wrong & twins.own),
        "right": (aim == task.y, twins.own),
    }
    return {name: _share(hit, among).cpu().numpy() for name, (hit, among) in seen.items()}


def _share(hit: Tensor, among: Tensor) -> Tensor:
    """Share of hits among the chosen examples of both twins."""
    among = among.expand(hit.shape)
    return (hit & among).sum((2, 4)) / among.sum((2, 4))


def _tested(model: Model, theta: Tensor, task: Data, shape: Sequence[int]) -> Arrays:
    """Test accuracy `[arms, noises, S]` of the mean of both twins' probabilities, and of one of them on average."""
    p = logits(model, theta, task.x_test).view(*shape, len(task.y_test), -1).softmax(-1)
    pair = (p.mean(2).argmax(-1) == task.y_test).double().mean(-1)
    single = (p.argmax(-1) == task.y_test).double().mean((2, 4))
    lost = ~p.isfinite().all(-1).all(-1).all(2)
    return {
        name: found.masked_fill(lost, torch.nan).cpu().numpy() for name, found in (("pair", pair), ("single", single))
    }


def _areas(twins: Twins, scores: Tensor, mask: Tensor) -> np.ndarray:
    """Area under the ROC curve for wrong labels `[arms, noises, S]` of one network's scores, mean of both twins."""
    wrong, chosen = (values.expand(scores.shape).cpu().numpy() for values in (twins.wrong, mask))
    values, areas = scores.cpu().numpy(), np.full(scores.shape[:4], np.nan)
    for cell in np.ndindex(areas.shape):
        some = chosen[cell]
        if some.any() and np.isfinite(values[cell]).all():
            areas[cell] = roc_auc_score(wrong[cell][some], values[cell][some])
    return areas.mean(2)


# --- tables ----------------------------------------------------------------------------------------------------------

SEEN = ("pair", "single", "memorised", "unseen", "decoy", "repaired", "spoiled", "right")
WHO = ("own", "of the peer")  # whose examples a network scores
WHEN = ("mean over training", "at the end")


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> Tables:
    """`course`: a row an arm, noise, seed and look; `areas`: an arm, noise, seed, whose examples, and when scored."""
    courses, areas = [], []
    for shard in shards:
        where = {"arm": ARMS, "noise": params.names, "seed": shard.config["seeds"]}
        axes = {"epoch": shard["epoch"], **where}
        parts = [grid(shard[name], axes, name) for name in SEEN]
        courses.append(
            pd.concat([parts[0], *(part[[name]] for part, name in zip(parts[1:], SEEN[1:], strict=True))], axis=1)
        )
        areas.append(grid(shard["areas"], {"who": WHO, "when": WHEN, **where}, "area"))
    tables = {"course": pd.concat(courses, ignore_index=True), "areas": pd.concat(areas, ignore_index=True).dropna()}
    return Tables({name: t.assign(setting=params.setting) for name, t in tables.items()}, params)


# --- claims ----------------------------------------------------------------------------------------------------------

SPLITTING = {"origin": Origin.ABSTRACT, "figure": "a"}
MIXING = {"origin": Origin.PAPER, "place": "second hand: notes on the share of repaired labels", "figure": "b"}
GAIN = {"origin": Origin.PAPER, "place": "second hand: notes on what each part adds", "figure": "c", "margin": 0.03}
LOOKING = {"figure": "d", "margin": 0.02}
NO_MORE = 0.02  # of the wrong labels: less is called the same as chance
SHARES = (-1.0, 1.0)  # the reach of a difference of two shares


@study.unless
def nothing_memorised(t: Tables) -> str:
    """Claims are void where a network diverged, or where plain training did not learn half of the wrong labels of each
    noise by heart: there is nothing to prevent then."""
    end = t["course"][t["course"].epoch == t["course"].epoch.max()]
    learned = end[end.arm == "plain"].groupby("noise").memorised.mean().min()
    few = "" if learned >= 0.5 else f"plain training memorised only {learned:.0%} of the wrong labels of one noise"
    return "; ".join(filter(None, (lost(end[["pair"]], "pairs of networks diverged"), few)))


def _end(t: Tables, name: str, arm: str, kinds: str = "symmetric") -> pd.DataFrame:
    """A number of one arm at the end of training `[seeds, noises]`, of one kind of noise or of `all`."""
    table = t["course"]
    return _wide(table[(table.epoch == table.epoch.max()) & (table.arm == arm)], name, kinds)


def _wide(table: pd.DataFrame, name: str, kinds: str) -> pd.DataFrame:
    return _of(kinds, table.pivot(index="seed", columns="noise", values=name))


def _of(kinds: str, wide: pd.DataFrame) -> pd.DataFrame:
    """The noises of one kind, or `all`."""
    return wide if kinds == "all" else wide[[noise for noise in wide if noise.startswith(kinds)]]


def _upto(table: pd.DataFrame, half: bool) -> pd.DataFrame:
    """The noises that leave half of the labels or more as they were, or the others."""
    rates = np.array([float(noise.split()[1]) for noise in table])
    return table.loc[:, (rates <= 50) == half]


def _largest(table: pd.DataFrame) -> Interval:
    """The largest over noises of means over seeds."""
    return intervals.largest_mean(table.to_numpy(), SHARES)


def _smallest(table: pd.DataFrame) -> Interval:
    """The smallest over noises of means over seeds."""
    found = intervals.largest_mean(-table.to_numpy(), SHARES)
    return replace(found, estimate=-found.estimate, low=-found.high, high=-found.low)


@study.claim("CS01", by="wrong labels predicted, own half minus the peer's, split only; smallest over rates",
             region=above(0.5), **SPLITTING)  # fmt: skip
def memorises_its_own(t: Tables) -> Interval:
    """A network memorises the wrong labels of its own half of the data and not those of the other half, at every rate
    of symmetric noise."""
    return _smallest(_end(t, "memorised", "split only") - _end(t, "unseen", "split only"))


LEAK = "wrong labels predicted in the peer's half, minus another wrong class there"


@study.claim("CS01b", by=f"{LEAK}, split only; largest over rates", region=below(NO_MORE), kind=Kind.CHECK,
             figure="a")  # fmt: skip
def no_leak(t: Tables) -> Interval:
    """Networks that share nothing predict a symmetric wrong label they never saw as rarely as any other wrong class."""
    return _largest(_end(t, "unseen", "split only") - _end(t, "decoy", "split only"))


@study.claim("CS01c", by=f"{LEAK}, both; largest over rates", region=below(NO_MORE), figure="a", margin=0.02)
def no_leak_through_the_peer(t: Tables) -> Interval:
    """Symmetric wrong labels do not reach a network through the peer's predictions that labels are mixed with."""
    return _largest(_end(t, "unseen", "both") - _end(t, "decoy", "both"))


# One wrong label in twenty: more than twice what counts as chance above.
@study.claim("CS01d", by=f"{LEAK}, split only, asymmetric noise", region=above(0.05), figure="a", margin=0.05)
def systematic_noise_is_learned(t: Tables) -> Interval:
    """Under asymmetric noise, wrong labels are predicted even by networks that never saw them."""
    return _smallest(_end(t, "unseen", "split only", "asymmetric") - _end(t, "decoy", "split only", "asymmetric"))


REPAIRED = "share of wrong labels whose target points to the true class at the end"


@study.claim("CS02", by=f"{REPAIRED}; smallest over rates up to 50 %", region=above(0.5), **MIXING)
def repairs(t: Tables) -> Interval:
    """Where at most half of the labels are wrong, mixing with a peer that never saw them repairs most wrong labels."""
    return _smallest(_upto(_end(t, "repaired", "both"), half=True))


@study.claim("CS02b", by=f"{REPAIRED}; smallest over rates above 50 %", region=above(0.5), **MIXING)
def repairs_most_of_many(t: Tables) -> Interval:
    """Where more than half of the labels are wrong, mixing with a peer that never saw them repairs most of them."""
    return _smallest(_upto(_end(t, "repaired", "both"), half=False))


@study.claim("CS02c", by="share of right targets minus share of right labels; smallest over all noises",
             region=above(0.0), figure="b", margin=0.05)  # fmt: skip
def repairs_more_than_it_spoils(t: Tables) -> Interval:
    """Under every noise, mixing repairs more labels than it spoils."""
    return _smallest(_end(t, "right", "both", "all") - _end(t, "right", "plain", "all"))


@study.claim("CS02d", by=f"{REPAIRED}, both minus mixed only; smallest over rates", region=above(0.0), figure="b",
             margin=0.05)  # fmt: skip
def repair_needs_the_split(t: Tables) -> Interval:
    """A peer that saw the labels itself repairs fewer of them, at every rate of symmetric noise."""
    return _smallest(_end(t, "repaired", "both") - _end(t, "repaired", "mixed only"))


TESTED = "test accuracy of the pair, {} minus {}; smallest over all noises"


@study.claim("CS03", by=TESTED.format("both", "plain"), region=above(0.0), **GAIN)
def beats_plain(t: Tables) -> Interval:
    """Under every noise, the split and the mixing together beat plain training."""
    return _smallest(_end(t, "pair", "both", "all") - _end(t, "pair", "plain", "all"))


@study.claim("CS03b", by=TESTED.format("both", "split only"), region=above(0.0), **GAIN)
def beats_split(t: Tables) -> Interval:
    """Under every noise, the split and the mixing together beat the split alone."""
    return _smallest(_end(t, "pair", "both", "all") - _end(t, "pair", "split only", "all"))


@study.claim("CS03c", by=TESTED.format("both", "mixed only"), region=above(0.0), **GAIN)
def beats_mixed(t: Tables) -> Interval:
    """Under every noise, the split and the mixing together beat the mixing alone."""
    return _smallest(_end(t, "pair", "both", "all") - _end(t, "pair", "mixed only", "all"))


@study.claim("CS03d", by=TESTED.format("split only", "plain"), region=above(0.0), figure="c", margin=0.02)
def split_alone_helps(t: Tables) -> Interval:
    """Under every noise, the split alone helps where both arms are tested by the mean of two networks."""
    return _smallest(_end(t, "pair", "split only", "all") - _end(t, "pair", "plain", "all"))


@study.claim("CS03e", by="test accuracy, both at the end minus plain at its best look; smallest over all noises",
             region=above(0.0), figure="c", margin=0.02)  # fmt: skip
def beats_the_best_stop(t: Tables) -> Interval:
    """Under every noise, both together beat even plain training stopped when its test accuracy is best."""
    plain = t["course"][t["course"].arm == "plain"].groupby(["seed", "noise"], sort=False).pair.max().reset_index()
    return _smallest(_end(t, "pair", "both", "all") - _wide(plain, "pair", "all"))


def _area(t: Tables, arm: str, who: str, when: str) -> pd.DataFrame:
    """How well one network's EL2N finds wrong labels `[seeds, noises]`, all noises."""
    table = t["areas"]
    return _wide(table[(table.arm == arm) & (table.who == who) & (table.when == when)], "area", "all")


FOUND = "area under the ROC curve of EL2N for wrong labels"


@study.claim("CS04", by=f"{FOUND}, peer's examples minus own, split only, at the end; smallest over all noises",
             region=above(0.0), **LOOKING)  # fmt: skip
def held_out_at_the_end(t: Tables) -> Interval:
    """At the end of training, a network finds wrong labels better among examples that it never saw than among its own,
    under every noise."""
    return _smallest(_area(t, "split only", WHO[1], WHEN[1]) - _area(t, "split only", WHO[0], WHEN[1]))


HELD = f"{FOUND} over training, {{}} on peer's minus plain"


@study.claim("CS04b", by=f"{HELD.format('split only')}; smallest over rates", region=above(0.0), **LOOKING)
def held_out_beats_watching(t: Tables) -> Interval:
    """Over training, the held-out score of a network on half of the data finds wrong labels better than the score of a
    plain network that trains on all of them, at every rate of symmetric noise."""
    return _smallest(_of("symmetric", _area(t, "split only", WHO[1], WHEN[0]) - _area(t, "plain", WHO[0], WHEN[0])))


@study.claim("CS04c", by=f"{HELD.format('split only')}, asymmetric noise", region=below(0.0), **LOOKING)
def held_out_is_deceived(t: Tables) -> Interval:
    """Over training, under asymmetric noise, the held-out score of a network on half of the data finds wrong labels
    worse than the score of a plain network that trains on all of them."""
    return _largest(_of("asymmetric", _area(t, "split only", WHO[1], WHEN[0]) - _area(t, "plain", WHO[0], WHEN[0])))


@study.claim("CS04d", by=f"{HELD.format('both')}; smallest over all noises", region=above(0.0), **LOOKING)
def repaired_peers_find_more(t: Tables) -> Interval:
    """Over training, the held-out score of networks trained with repaired labels finds wrong labels better than the
    score of a plain network, under every noise."""
    return _smallest(_area(t, "both", WHO[1], WHEN[0]) - _area(t, "plain", WHO[0], WHEN[0]))
