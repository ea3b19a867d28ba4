"""Notebook 41: which examples are learned first, by learning features and lazily.

Networks with outputs `scale * (f(w) - f(w0))` learn features at scale 1 and are nearly linear in their weights at scale
100. Both are read at the same mean training loss, or at the same accuracy: how far are they with easy and with hard
examples, where difficulty is a place in the plane, a consistency score, a wrong label, or a colour that misleads?
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import data, initial, kernel, models
from butterfly.data import Data, yinyang
from butterfly.data.coloured import coloured
from butterfly.evaluate import logits
from butterfly.milestones import crossings, read, root_looks
from butterfly.models.centred import Centred
from butterfly.objective import cross_entropy
from butterfly.papers.george2022 import PAPER, modes
from butterfly.score import c_score
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.study import Arrays, Bench, Interval, OneModel, Setting, Shard, Study, Tables, grid, intervals, plain
from butterfly.study import rising_sizes, sound, stacked
from butterfly.study.claims import Kind, Origin, above, below, between, lost
from butterfly.train import Observer, Snapshot, train

SCORERS = 200_000  # seeds of the networks that score examples begin here
HALF = 0.5  # the pace of a control: half the step, twice as many updates
Measure = Callable[[Snapshot], dict[str, Tensor]]


class Params(OneModel):
    """Parameters of notebook 41. Levels are mean training losses, or accuracies, at which networks are read."""

    setting: str = "yinyang"
    steps: int | None = Field(100, gt=0)  # at the first output scale; None: the setting's own
    seeds: int = Field(4, ge=1)
    seeds_per_shard: int = Field(4, ge=1)
    scales: tuple[float, ...] = (1.0, 100.0)  # networks learn features at the first, and are lazy at the last
    longer: float = Field(5.0, ge=1)  # how many times as many updates there are at scales above the first
    # Where weights start larger, the same step changes outputs by much more: it is made smaller, at every scale.
    restarted_step: float = Field(0.03, gt=0, le=1)  # as a share of the usual one
    restarted_steps: int = Field(300, gt=0)
    lazier: float = Field(10.0, gt=1)  # times the last scale, to see whether that is lazy enough
    levels: tuple[float, ...] = (0.5, 0.45)  # the authors go on to 0.3
    looks: int = Field(20, ge=10)
    examples: int = Field(50, ge=2)  # at which kernels are taken
    strengths: tuple[float, ...] = (5.0, 6.0, 7.0, 8.0, 9.0)  # of the modes of the model that can be solved
    start: float = Field(1e-3, gt=0, lt=0.1)  # of their parameters
    draws: int = Field(8, ge=1)  # of data for it
    points: int = Field(20, ge=4)
    flipped: int = Field(5, ge=1)
    dimension: int = Field(200, ge=10)
    noise: float = Field(5.0, gt=0)
    draw_levels: tuple[float, ...] = (0.5, 0.25, 0.1)  # of the mean squared error
    real: str = "digits-scaled"
    real_steps: int | None = Field(80, gt=0)
    real_seeds: int = Field(2, ge=1)
    score_runs: int = Field(8, ge=2)
    score_steps: int = Field(60, gt=0)
    shares: tuple[float, ...] = (0.1, 0.3, 0.5)  # of the examples, that networks which score the others are trained on
    bins: int = Field(10, ge=3)  # from the least consistent examples to the most consistent
    accuracies: tuple[float, ...] = (0.4, 0.6, 0.8)
    real_levels: tuple[float, ...] = (1.5, 1.2)
    wrong_steps: int | None = Field(100, gt=0)
    wrong: float = Field(0.15, gt=0, lt=0.5)  # share of the labels that are wrong
    # Below the share of right labels, 0.85. Ten times as many updates are too few for lazy networks to go beyond.
    wrong_accuracies: tuple[float, ...] = (0.6, 0.7)
    wrong_levels: tuple[float, ...] = (1.5, 1.4)
    tinted: str = "digits-scaled"  # what is learned in two colours
    tinted_steps: int | None = Field(150, gt=0)
    agreement: float = Field(0.9, gt=0.5, lt=1)  # share of the training images whose colour is that of their class
    # Colour alone comes to the entropy of its agreement, 0.33: not far below hardly any network is right where the
    # colour misleads.
    colour_levels: tuple[float, ...] = (0.3, 0.25)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("scales", "strengths", "shares", "accuracies", "wrong_accuracies"):
            rising_sizes(name, getattr(self, name))
        for name in ("levels", "draw_levels", "real_levels", "wrong_levels", "colour_levels"):
            levels = getattr(self, name)
            if not levels or list(levels) != sorted(set(levels), reverse=True) or levels[-1] <= 0:
                raise ValueError(f"{name} = {list(levels)}: give one or more falling losses above 0")
        if len(self.scales) < 2 or len(self.strengths) < 2:
            raise ValueError("give two or more scales and strengths")
        for name in ("shares", "accuracies", "wrong_accuracies"):
            shares = getattr(self, name)
            if not shares or shares[-1] >= 1:
                raise ValueError(f"{name} = {list(shares)}: give one or more shares below 1")
        if self.flipped >= self.points:
            raise ValueError(f"flipped = {self.flipped} of {self.points} points: leave some as they are")
        return self

    @property
    def hasty(self) -> float:
        """The output scale at which networks learn features."""
        return self.scales[0]

    @property
    def lazy(self) -> float:
        """The output scale at which they are taken for linear."""
        return self.scales[-1]

    @property
    def on_real(self) -> str:
        """The data and the architecture of claims on scores and labels."""
        found = plain(self.real)
        return f"{found.data}, {found.model}"

    @property
    def on_colours(self) -> str:
        """The data and the architecture of claims on colours."""
        found = plain(self.tinted)
        return f"{found.data} in two classes and two colours, {found.model}"

    @property
    def solved(self) -> str:
        """What claims on the model that can be solved are about."""
        return f"{self.points} points in {self.dimension + 1} dimensions, drawn; no network"


study = Study("41_lazy_or_hasty", Params, PAPER)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every few seeds one shard an output scale and task; and shards that score examples, or draw points."""
    chosen, real = params.chosen(params.setting, params.steps), plain(params.real, params.real_steps)
    noisy, tinted = plain(params.real, params.wrong_steps), plain(params.tinted, params.tinted_steps)
    tinted = tinted.changed(batch_size=2 * tinted.recipe.batch_size)  # half of what is in a batch does not count
    _check(params, chosen)
    tasks = (
        (mislabel, noisy, params.real_seeds, {"wrong": params.wrong}),
        (tint, tinted, params.real_seeds, {"agreement": params.agreement}),
        (race, chosen, params.seeds, {"levels": list(params.levels), "examples": params.examples}),
        (learn, real, params.real_seeds, {}),
    )
    shards = []
    for compute, base, count, own in tasks:
        for scale, pace in arms(params, controls=compute is race):
            arm = {"scale": scale, "pace": pace, "looks": params.looks}
            common = study.config(scaled(base, params, scale, pace), params, **arm, **own)
            shards += [Shard(compute, common | {"seeds": seeds}) for seeds in params.few("seeds", count)]
    scored = study.config(real.changed(steps=params.score_steps), params, shares=list(params.shares))
    for scale in (params.lazy, params.hasty):
        base = chosen.changed(steps=params.restarted_steps, lr=chosen.recipe.lr * params.restarted_step / scale**2)
        common = study.config(base, params, scale=scale, pace=1.0, looks=params.looks, levels=list(params.levels))
        shards += [Shard(restart, common | {"seeds": seeds}) for seeds in params.few("seeds")]
    few = params.few("seeds", params.score_runs)
    shards += [Shard(score, scored | {"seeds": [SCORERS + seed for seed in seeds]}) for seeds in few]
    names = ("points", "flipped", "dimension", "noise", "start", "draw_levels")
    drawn = study.config(chosen, params) | {name: params.model_dump(mode="json")[name] for name in names}
    return shards + [Shard(draw, drawn | {"seeds": seeds}) for seeds in params.few("seeds", params.draws)]


def _check(params: Params, chosen: Setting) -> None:
    """The plane and its pattern are part of the question."""
    if not chosen.data.startswith("yinyang"):
        raise ParameterError(f"{chosen.data} has no halves and discs; give a setting on yinyang-100 or the like")
    held = len(data.load(chosen.data).y_test)
    if params.examples > held:
        raise ParameterError(f"examples = {params.examples}: {chosen.data} has {held} places to test; give fewer")


def arms(params: Params, controls: bool) -> list[tuple[float, float]]:
    """Output scales and paces: the last and the first, or all and a lazier one; and the first at half the pace."""
    scales = [params.lazier * params.lazy, *reversed(params.scales)] if controls else [params.lazy, params.hasty]
    return [*((scale, 1.0) for scale in scales), (params.hasty, HALF)]


def scaled(chosen: Setting, params: Params, scale: float, pace: float = 1.0) -> Setting:
    """The setting at an output scale: the step is divided by its square, and above the first there are more updates.

    At a pace below 1 steps are that much smaller, and there are that many more.
    """
    longer = 1.0 if scale == params.hasty else params.longer
    recipe = chosen.recipe
    return chosen.changed(steps=round(recipe.steps * longer / pace), lr=recipe.lr * pace / scale**2)


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def race(bench: Bench) -> Arrays:
    """Train networks on two halves with two discs, a pattern that is turned for each seed.

    Over looks and seeds `[T, S]`: the mean training loss, that of places outside the discs (`easy`) and in them
    (`hard`), the same on places not trained on, the share of rectified units that are on or off as at the start, and
    the alignment of the tangent kernel with that at the start. The loss at each place not trained on when the mean
    training loss is at each level `[K, S, N]`.
    """
    task, turns = bench.task, [turn_of(seed) for seed in bench.seeds]
    labels, discs = _patterns(task.x, turns)
    unseen, unseen_discs = _patterns(task.x_test, turns)
    some = task.x_test[: bench["examples"]]

    def measure(now: Snapshot) -> dict[str, Tensor]:
        each, beyond = answers(now, task.x, labels)[0], answers(now, task.x_test, unseen)[0]
        found = {"mean": each.mean(1), "easy": within(each, ~discs), "hard": within(each, discs), "beyond": beyond}
        found |= {"unseen_easy": within(beyond, ~unseen_discs), "unseen_hard": within(beyond, unseen_discs)}
        return found | {"gram": kernel.gram(now.model, now.theta, some), "on": switched_on(now, some)}

    looks, found = follow(bench, task, labels, measure)
    gram, on, beyond = (found.pop(name) for name in ("gram", "on", "beyond"))
    found["kernel"] = kernel.alignment(gram, gram[0])
    found["signs"] = (on == on[0]).float().mean((2, 3))
    arrays = {name: values.numpy() for name, values in found.items()}
    places = read(beyond.numpy(), crossings(arrays["mean"], bench["levels"]))
    return arrays | {"looks": looks, "map": places.astype(np.float32)}


@study.shard
def restart(bench: Bench) -> Arrays:
    """As `race`, from larger weights: the mean training loss, and that of easy and of hard places, `[T, S]` each."""
    task = bench.task
    labels, discs = _patterns(task.x, [turn_of(seed) for seed in bench.seeds])

    def measure(now: Snapshot) -> dict[str, Tensor]:
        each = answers(now, task.x, labels)[0]
        return {"mean": each.mean(1), "easy": within(each, ~discs), "hard": within(each, discs)}

    looks, found = follow(bench, task, labels, measure, start=larger)
    return {"looks": looks} | {name: values.numpy() for name, values in found.items()}


@study.shard
def learn(bench: Bench) -> Arrays:
    """Train networks on all examples: the loss of each and whether it is right `[T, S, N]`."""
    task = bench.task
    labels = task.y.expand(len(bench.seeds), -1)

    def measure(now: Snapshot) -> dict[str, Tensor]:
        loss, right = answers(now, task.x, labels)
        return {"loss": loss, "right": right}

    looks, found = follow(bench, task, labels, measure)
    # Half precision keeps three digits, and takes half the room.
    return {"looks": looks, "loss": found["loss"].half().numpy(), "right": found["right"].numpy()}


@study.shard
def mislabel(bench: Bench) -> Arrays:
    """Train networks on labels of which some are wrong, others for each seed.

    Over looks and seeds `[T, S]`: mean loss and accuracy on all training labels, on those that are right, and on those
    that are wrong.
    """
    task = bench.task
    drawn = [data.with_label_noise(task, bench["wrong"], seed) for seed in bench.seeds]
    labels, moved = torch.stack([noisy.y for noisy, _ in drawn]), torch.stack([moved for _, moved in drawn])
    groups = {"": torch.ones_like(moved), "clean_": ~moved, "wrong_": moved}
    looks, found = follow(bench, task, labels, lambda now: in_groups(now, task.x, labels, groups))
    return {"looks": looks} | {name: values.numpy() for name, values in found.items()}


@study.shard
def tint(bench: Bench) -> Arrays:
    """Train networks on images in two colours, which agree with the class for most of them, others for each seed.

    Over looks and seeds `[T, S]`: mean loss and accuracy on all training images, on those whose colour agrees and on
    those whose colour breaks with the class, and on all test images, in the one colour and in the other; and how widely
    the log odds of the right class are spread over training images whose colour breaks with it.
    """
    # Each image in the colour of its class, and in the other; of each the seed trains on one.
    agreeing, breaking = (coloured(bench.task, share, 0, test_agreement=share)[0] for share in (1.0, 0.0))
    groups = [coloured(bench.task, bench["agreement"], seed)[1].train for seed in bench.seeds]
    agrees = torch.stack([group.agrees for group in groups])
    none = torch.zeros_like(agrees)
    kept = torch.cat([agrees, ~agrees], 1)
    both, y = torch.cat([agreeing.x, breaking.x]), torch.cat([agreeing.y, breaking.y])
    task = replace(agreeing, x=both, y=y, ids=torch.arange(len(y), device=y.device))
    labels, tests = y.expand(len(kept), -1), agreeing.y_test.expand(len(kept), -1)
    parts = {"": kept, "agreeing_": torch.cat([agrees, none], 1), "breaking_": torch.cat([none, ~agrees], 1)}
    whole = torch.ones_like(tests, dtype=torch.bool)

    def measure(now: Snapshot) -> dict[str, Tensor]:
        found = in_groups(now, both, labels, parts)
        found["breaking_spread"] = spread(logits(now.model, now.theta, both), labels, parts["breaking_"])
        found |= in_groups(now, agreeing.x_test, tests, {"unseen_agreeing_": whole})
        return found | in_groups(now, breaking.x_test, tests, {"unseen_breaking_": whole})

    looks, found = follow(bench, task, labels, measure, weights=kept.to(both))
    return {"looks": looks} | {name: values.numpy() for name, values in found.items()}


@study.shard
def score(bench: Bench) -> Arrays:
    """Train networks on random shares of the examples: which they trained on, which answers are right, and how sure.

    `[H, R, N]` each: shares, runs, examples. Their outputs are neither centred nor scaled.
    """
    task, found = bench.task, {"trained": [], "right": [], "confidence": []}
    for share in bench["shares"]:
        drawn = [torch.rand(len(task.y), generator=generator("scored", seed, share)) for seed in bench.seeds]
        trained = (torch.stack(drawn) < share).to(task.y.device)
        run = train(bench.model, replace(task, weights=trained.to(task.x)), bench.recipe, bench.seeds)
        answer = logits(bench.model, run.theta, task.x).softmax(-1)
        found["trained"].append(trained)
        found["right"].append(answer.argmax(-1) == task.y)
        label = task.y.expand(answer.shape[:2])
        found["confidence"].append(answer.gather(2, label[..., None])[..., 0])
    return {name: torch.stack(values).cpu().numpy() for name, values in found.items()}


@study.shard
def draw(bench: Bench) -> Arrays:
    """Solve the model on drawn points: mean squared error of points with flipped labels and of the others.

    `[D, K, S]` each: nonlinear and linearised dynamics, levels of the mean over all points, seeds.
    """
    found = np.empty((2, len(modes.DYNAMICS), len(bench["draw_levels"]), len(bench.seeds)))
    for place, seed in enumerate(bench.seeds):
        task = modes.examples(seed, bench["points"], bench["flipped"], bench["dimension"], bench["noise"])
        for row, dynamics in enumerate(modes.DYNAMICS):
            errors = modes.errors(dynamics, task, bench["start"])
            at = crossings(errors.mean(1), bench["draw_levels"])
            for part, some in enumerate((task.flipped, ~task.flipped)):
                found[part, row, :, place] = read(errors[:, some].mean(1), at)
    return {"flipped": found[0], "others": found[1]}


# --- training and reading --------------------------------------------------------------------------------------------


def standing(model: Centred, seeds: Sequence[int]) -> Tensor:
    """Networks at their start `[S, P]`, which is that of layers of `torch.nn`, as the authors' were."""
    own = initial.uniform(model.inner, seeds)[:, : model.inner.layout.count]
    theta = own.new_zeros(len(own), model.layout.size)
    theta[:, : model.layout.count] = torch.cat([own, own], 1)
    return theta


def larger(model: Centred, seeds: Sequence[int]) -> Tensor:
    """Networks at the start that they have elsewhere in this companion `[S, P]`: Kaiming normal, sqrt(6) as wide."""
    return model.init(list(seeds))


def follow(
    bench: Bench,
    task: Data,
    labels: Tensor,
    measure: Measure,
    weights: Tensor | None = None,
    start: Callable[[Centred, Sequence[int]], Tensor] = standing,
) -> tuple[np.ndarray, dict[str, Tensor]]:
    """Train networks of the shard's output scale on `labels [S, N]`: the looks `[T]`, what was measured `[T, ...]`."""
    inner = models.build(bench.setting.model, task.input_shape, task.classes)
    model = Centred.of(inner, bench["scale"])
    targets = torch.nn.functional.one_hot(labels, task.classes).to(task.x)
    looks, whole = root_looks(bench.recipe.steps, bench["looks"]), replace(task, targets=targets, weights=weights)
    watch = Observer("watch", measure, frozenset(looks))
    run = train(model, whole, bench.recipe, bench.seeds, observers=[watch], init=start(model, bench.seeds))
    seen = [found for _, found in run.recorded("watch")]
    return np.array(looks), {name: torch.stack([found[name].cpu() for found in seen]) for name in seen[0]}


def answers(now: Snapshot, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of every network on every example, by labels `[S, N]` of its own, and whether it is right: `[S, N]` each."""
    found = logits(now.model, now.theta, x)
    return cross_entropy(found, labels), found.argmax(-1) == labels


def within(values: Tensor, group: Tensor) -> Tensor:
    """Mean `[S]` of values `[S, N]` over the examples of a group `[S, N]`."""
    return (values * group).sum(1) / group.sum(1)


def in_groups(now: Snapshot, x: Tensor, labels: Tensor, groups: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean loss and accuracy `[S]` within each group `[S, N]`, by its name."""
    loss, right = answers(now, x, labels)
    found = {f"{name}loss": within(loss, group) for name, group in groups.items()}
    return found | {f"{name}accuracy": within(right, group) for name, group in groups.items()}


def spread(outputs: Tensor, labels: Tensor, group: Tensor) -> Tensor:
    """Standard deviation `[S]`, over a group `[S, N]`, of the log odds of the right one of two classes."""
    odds = (outputs[..., 1] - outputs[..., 0]) * (2 * labels - 1)
    return within((odds - within(odds, group)[:, None]).square(), group).sqrt()


def switched_on(now: Snapshot, x: Tensor) -> Tensor:
    """Which rectified units of every network are on, for each example `[S, N, units]`."""
    hidden = now.model.features(now.theta, x)
    return torch.cat([h.flatten(2) > 0 for name, h in hidden.items() if name != "logits"], 2)


def turn_of(seed: int) -> float:
    """How the pattern lies for a seed, as a share of a full turn."""
    return float(torch.rand(1, generator=generator("turn", seed)))


def _patterns(x: Tensor, turns: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Classes of places and whether they lie in a disc `[S, N]`, of patterns turned for each seed."""
    y, disc = zip(*(yinyang.pattern(x, turn) for turn in turns), strict=True)
    return torch.stack(y), torch.stack(disc)


def consistency(right: np.ndarray, confidence: np.ndarray, trained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Consistency `[N]` of examples and their order, the least consistent first, from networks `[H, R, N]`.

    It is the share of right answers of networks that did not train on an example, averaged over shares of the data
    trained on, as Jiang et al. (2021) define it. Examples that tie are put in order by the mean probability of their
    class.
    """
    found = [np.nanmean([c_score(*pair) for pair in zip(values, trained, strict=True)], 0)
             for values in (right, confidence)]  # fmt: skip
    return found[0], np.lexsort((found[1], found[0]))


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables; `level` is where a network is read, and what it never reached is NaN.

    In the plane: `toy` (a row an output scale, pace, seed and level), `course` (and look), `restarted` (as `toy`),
    `map` (place). The model that can be solved: `modes` (dynamics, mode and time), `drawn` (dynamics, seed and level).
    Scored examples: `consistency` (example), `bins` (scale, seed, accuracy and bin), `bin_losses` (loss level: the
    first bin and the last), `bin_course` (look and bin). Wrong labels: `wrong` (accuracy), `wrong_losses` (loss level),
    `wrong_course` (look). Colours: `colours` (loss level), `colour_course` (look).
    """
    of = {
        kind: [s for s in shards if s.compute is kind] for kind in (race, restart, learn, mislabel, tint, score, draw)
    }
    tables = stacked(map(_of_race, of[race]))
    tables |= stacked(_of_restart(shard) for shard in of[restart])
    tables["map"] = pd.concat([_of_map(params, shard) for shard in of[race]], ignore_index=True)
    scores = {k: np.concatenate([s[k] for s in of[score]], 1) for k in ("right", "confidence", "trained")}
    known, order = consistency(**scores)
    groups = np.array_split(order, params.bins)
    places = np.repeat(np.arange(1, params.bins + 1), [len(group) for group in groups])
    tables["consistency"] = pd.DataFrame({"example": order, "consistency": known[order], "bin": places})
    tables |= stacked(_of_bins(params, shard, groups) for shard in of[learn])
    tables |= stacked(_of_labels(params, shard) for shard in of[mislabel])
    tables |= stacked(_of_colours(params, shard) for shard in of[tint])
    settings = dict.fromkeys(("toy", "course", "restarted", "map"), params.setting)
    settings |= dict.fromkeys(("colours", "colour_course"), params.tinted)
    found = {name: table.assign(setting=settings.get(name, params.real)) for name, table in tables.items()}
    return found | {"modes": exact_modes(params), "drawn": pd.concat(map(_of_draws, of[draw]), ignore_index=True)}


def _arm(shard: Shard) -> dict[str, float]:
    """The output scale and the pace of a shard's networks."""
    return {name: shard.config[name] for name in ("scale", "pace")}


def _course(shard: Shard, names: Sequence[str]) -> pd.DataFrame:
    """Statistics `[T, S]` of a shard by look and seed."""
    table = grid(shard[names[0]], {"step": shard["looks"], "seed": shard.config["seeds"]}, names[0])
    return table.assign(**{name: shard[name].ravel() for name in names}, **_arm(shard))


def _readings(
    shard: Shard, names: Sequence[str], by: str, levels: Sequence[float], rising: bool = False
) -> pd.DataFrame:
    """Statistics `[T, S]` of a shard when the one called `by` first reaches each level, by level and seed."""
    at = crossings(shard[by], levels, rising)
    looks = np.broadcast_to(shard["looks"][:, None], shard[by].shape)
    table = grid(read(looks, at), {"level": levels, "seed": shard.config["seeds"]}, "step")
    return table.assign(**{name: read(shard[name], at).ravel() for name in names}, **_arm(shard))


def _of_race(shard: Shard) -> dict[str, pd.DataFrame]:
    names = ["easy", "hard", "unseen_easy", "unseen_hard", "signs", "kernel"]
    return {
        "toy": _readings(shard, names, "mean", shard.config["levels"]),
        "course": _course(shard, ["mean", "easy", "hard", "signs", "kernel"]),
    }


def _of_restart(shard: Shard) -> dict[str, pd.DataFrame]:
    return {"restarted": _readings(shard, ["easy", "hard"], "mean", shard.config["levels"])}


def _of_map(params: Params, shard: Shard) -> pd.DataFrame:
    """The loss at each place not trained on at the middle level, with its coordinates in the pattern."""
    x, middle = data.load(shard.config["setting"]["data"]).x_test.double(), len(params.levels) // 2
    rows = []
    for seed, loss in zip(shard.config["seeds"], shard["map"][middle], strict=True):
        across, up = yinyang.turned(x, turn_of(seed)).T.numpy()
        rows.append(pd.DataFrame({"seed": seed, "across": across, "up": up, "loss": loss}))
    return pd.concat(rows).assign(**_arm(shard))


def exact_modes(params: Params) -> pd.DataFrame:
    """How much of each mode the two dynamics have learned, over times in units of that at which the strongest has 90 %.

    All end at 1, as in the authors' example.
    """
    strength, rows = np.array(params.strengths), []
    for dynamics in modes.DYNAMICS:
        end = np.ones_like(strength)
        times = modes.times_of(dynamics, strength, end, params.start)
        found = modes.learned(dynamics, times, strength, end, params.start)
        at = crossings(found, [0.9], rising=True)
        unit = float(read(times, at[:, -1]).item())
        some = slice(None, None, 10)
        table = grid(found[some], {"time": times[some] / unit, "strength": params.strengths}, "learned")
        now = dict(zip(params.strengths, read(found, np.repeat(at[:, -1:], len(strength), 1))[0], strict=True))
        arrives = dict(zip(params.strengths, read(np.repeat(times[:, None], len(strength), 1), at)[0], strict=True))
        rows.append(table.assign(dynamics=dynamics, then=table.strength.map(now), arrives=table.strength.map(arrives)))
    return pd.concat(rows, ignore_index=True)


def _of_draws(shard: Shard) -> pd.DataFrame:
    axes = {"dynamics": modes.DYNAMICS, "level": shard.config["draw_levels"], "seed": shard.config["seeds"]}
    return grid(shard["flipped"], axes, "flipped").assign(others=shard["others"].ravel())


def _of_bins(params: Params, shard: Shard, groups: list[np.ndarray]) -> dict[str, pd.DataFrame]:
    """Accuracy on each bin at each accuracy on all, and the losses of the first and the last bin at each mean loss."""
    right, loss = (shard[name].astype(np.float32) for name in ("right", "loss"))  # [T, S, N]
    seeds, places = shard.config["seeds"], range(1, params.bins + 1)
    by_right, by_loss = (np.stack([v[..., g].mean(2) for g in groups], 2) for v in (right, loss))  # [T, S, bins]
    at = crossings(right.mean(2), params.accuracies, rising=True), crossings(loss.mean(2), params.real_levels)
    ends = read(by_loss, at[1])
    losses = grid(ends[..., 0], {"level": params.real_levels, "seed": seeds}, "hard").assign(easy=ends[..., -1].ravel())
    course = grid(by_right, {"step": shard["looks"], "seed": seeds, "bin": places}, "right")
    found = {
        "bins": grid(read(by_right, at[0]), {"level": params.accuracies, "seed": seeds, "bin": places}, "right"),
        "bin_losses": losses,
        "bin_course": course.assign(accuracy=right.mean(2).repeat(params.bins)),
    }
    return {name: table.assign(**_arm(shard)) for name, table in found.items()}


def _of_labels(params: Params, shard: Shard) -> dict[str, pd.DataFrame]:
    shares = ["wrong_accuracy", "clean_accuracy"]
    return {
        "wrong": _readings(shard, shares, "accuracy", params.wrong_accuracies, rising=True),
        "wrong_losses": _readings(shard, ["wrong_loss", "clean_loss"], "loss", params.wrong_levels),
        "wrong_course": _course(shard, ["accuracy", "loss", "wrong_accuracy", "clean_accuracy"]),
    }


def _of_colours(params: Params, shard: Shard) -> dict[str, pd.DataFrame]:
    parts = ("agreeing", "breaking", "unseen_agreeing", "unseen_breaking")
    names = [*(f"{part}_{what}" for part in parts for what in ("accuracy", "loss")), "breaking_spread"]
    return {
        "colours": _readings(shard, names, "loss", params.colour_levels),
        "colour_course": _course(shard, ["loss", "accuracy", *names]),
    }


# --- claims ----------------------------------------------------------------------------------------------------------


# What is read at the same mean training loss: the table, and the losses of its hard and of its easy examples.
READINGS = {
    "places": ("toy", "hard", "easy"),
    "scores": ("bin_losses", "hard", "easy"),
    "labels": ("wrong_losses", "wrong_loss", "clean_loss"),
    "colours": ("colours", "breaking_loss", "agreeing_loss"),
}


def arrived(t: Tables, name: str, *columns: str) -> pd.DataFrame:
    """The rows of a table of those seeds of which no reading is missing, since every network came so far.

    All rows if there is no such seed: then nothing made of them is a number, and claims on them are void.
    """
    there = np.isfinite(t[name][list(columns)]).all(axis=1).groupby(t[name].seed).all()
    return t[name][t[name].seed.isin(there[there].index)] if there.any() else t[name]


def missing(t: Tables, name: str, *columns: str) -> str:
    """Why claims are void: more than a tenth of the seeds have a network that never came so far. Empty if not."""
    count = t[name].seed.nunique()
    gone = count - int(np.isfinite(t[name][list(columns)]).all(axis=1).groupby(t[name].seed).all().sum())
    return f"{gone} of {count} seeds have a network that never came so far ({name})" if gone > count / 10 else ""


def apart(t: Tables, reading: str) -> pd.Series:
    """Logarithm of the loss of hard over that of easy examples, mean over levels, by scale, pace and seed."""
    name, hard, easy = READINGS[reading]
    table = arrived(t, name, hard, easy)
    return _means(np.log(table[hard] / table[easy]), table)


def by_features(t: Tables, means: pd.Series) -> pd.Series:
    """What is read at the first output scale minus what is at the last, by seed."""
    return means[t.params.hasty, 1.0] - means[t.params.lazy, 1.0]


def by_steps(t: Tables, means: pd.Series) -> pd.Series:
    """What is read at the first output scale after steps half as large minus what is after whole ones, by seed."""
    return means[t.params.hasty, HALF] - means[t.params.hasty, 1.0]


def _means(values: pd.Series, table: pd.DataFrame) -> pd.Series:
    """Values of a table's rows, mean over levels, by scale, pace and seed."""
    return values.groupby([table.scale, table.pace, table.seed]).mean()


def _difference(t: Tables, values: pd.Series, table: pd.DataFrame) -> pd.Series:
    """Mean over levels at the first output scale minus that at the last, by seed."""
    return by_features(t, _means(values, table))


def _factor(logarithms: pd.Series) -> Interval:
    """Geometric mean over seeds."""
    return intervals.geometric_mean(np.exp(logarithms))


# --- claims: places in the plane -------------------------------------------------------------------------------------

PILOT = 1.1  # in a pilot hard and easy places were 7 to 14 % further apart
RATIO = "ratio, output scale {params.hasty:g} over {params.lazy:g}, of the loss of hard over that of easy"
AT = "at the same mean training losses (geometric mean over {params.levels})"


@study.unless
def unreached(t: Tables) -> str:
    """Claims are void where in more than a tenth of the seeds a network never reaches one of the mean training losses
    at which it is read. Up to a tenth are left out, with all their networks.
    """
    return missing(t, "toy", "easy", "hard")


@study.claim("LH01", by=f"{RATIO} places {AT}", region=above(1.0), margin=PILOT, origin=Origin.ABSTRACT,
             place="direction: abstract; places and losses: authors' code, exp_toy", figure="a")  # fmt: skip
def easy_first(t: Tables) -> Interval:
    """At the same mean training loss, networks that learn features have gone further on easy examples and less far on
    hard ones than lazy networks have."""
    return _factor(by_features(t, apart(t, "places")))


@study.claim("LH01b", by=f"{RATIO} places that were not trained on, {AT}", region=above(1.0), margin=PILOT,
             origin=Origin.CODE, place="exp_toy: maps of the difference in test loss", figure="a")  # fmt: skip
def easy_first_unseen(t: Tables) -> Interval:
    """At the same mean training loss, networks that learn features have gone further on easy places and less far on
    hard ones that they have not seen than lazy networks have."""
    table = arrived(t, "toy", "easy", "hard")
    return _factor(_difference(t, np.log(table.unseen_hard / table.unseen_easy), table))


# What should make no difference has to make less than the effect of the pilot: at most 5 %.
SMALL = {"region": between(0.95, 1.05), "origin": Origin.OURS, "kind": Kind.CHECK, "figure": "f"}
HALVED = "ratio, steps half as large over whole ones, of the loss of"


@study.claim("LH01c", by=f"{HALVED} hard over that of easy places {AT}, output scale {{params.hasty:g}}", **SMALL)
def no_matter_of_steps(t: Tables) -> Interval:
    """Steps half as large, and twice as many, change nothing of how far easy places are ahead of hard ones."""
    return _factor(by_steps(t, apart(t, "places")))


def unreached_again(t: Tables) -> str:
    """Claims are void where in more than a tenth of the seeds a network that started larger never reaches one of the
    mean training losses. Up to a tenth are left out, with all their networks.
    """
    return missing(t, "restarted", "easy", "hard")


@study.claim("LH01d", by=f"{RATIO} places {AT}, from weights that start larger", region=above(1.0), margin=PILOT,
             origin=Origin.OURS, unless=unreached_again, figure="a")  # fmt: skip
def easy_first_from_larger_weights(t: Tables) -> Interval:
    """At the same mean training loss, networks that learn features have gone further on easy examples and less far on
    hard ones than lazy networks also where all start from larger weights (Kaiming normal)."""
    table = arrived(t, "restarted", "easy", "hard")
    return _factor(_difference(t, np.log(table.hard / table.easy), table))


# --- claims: the model that can be solved ----------------------------------------------------------------------------


@study.claim("LH02", by="how much of the weakest mode is there when the strongest has 90 %, nonlinear minus linearised",
             region=below(0.0), origin=Origin.CODE, place="analytical_model, first example", kind=Kind.CHECK,
             unless=sound, scope="modes of strengths {strengths}; no network", figure="b")  # fmt: skip
def modes_one_after_another(t: Tables) -> Interval:
    """In the model that can be solved nonlinear dynamics learns modes one after another, while the linearised one
    learns them side by side."""
    weakest = t["modes"][t["modes"].strength == t["modes"].strength.min()].groupby("dynamics").then.first()
    return intervals.exact(weakest["nonlinear"] - weakest["linearised"], 1)


def unsolved(t: Tables) -> str:
    """Claims are void where the solved model never reaches one of the errors at which it is read."""
    return lost(t["drawn"][["flipped", "others"]], "readings of the solved model are missing")


@study.claim("LH02b", by="ratio, nonlinear over linearised, of the squared error of points with flipped labels over "
             "that of the others at the same mean error (geometric mean over {params.draw_levels})", region=above(1.0),
             origin=Origin.CODE, place="analytical_model, second example; there each point has noise of its own",
             unless=unsolved, scope="{params.solved}", figure="b")  # fmt: skip
def flipped_labels_wait(t: Tables) -> Interval:
    """In the model that can be solved, drawn at random, points with flipped labels lag further behind the others, at
    the same mean error, where the dynamics is nonlinear."""
    table = t["drawn"]
    means = np.log(table.flipped / table.others).groupby([table.dynamics, table.seed]).mean()
    return intervals.geometric_mean(np.exp(means["nonlinear"] - means["linearised"]))


# --- claims: consistency scores --------------------------------------------------------------------------------------

REAL = {"scope": "{params.on_real}"}
SCORED = {"figure": "c", "place": "direction: abstract; bins: authors' code, exp_classif", "origin": Origin.ABSTRACT}


def unreached_bins(t: Tables) -> str:
    """Claims are void where a network never reaches one of the accuracies or losses at which bins are read."""
    what = "readings of bins are missing, since a network never came so far"
    return "; ".join(filter(None, [lost(t["bins"][["right"]], what), lost(t["bin_losses"][["hard", "easy"]], what)]))


def _ends(table: pd.DataFrame) -> tuple[int, int]:
    """The bins of the least and of the most consistent examples."""
    return table.bin.min(), table.bin.max()


@study.claim("LH03", by="lead in accuracy of the most consistent of {params.bins} bins of examples over the least "
             "consistent one at the same accuracy on all (mean over {params.accuracies}), output scale "
             "{params.hasty:g} minus {params.lazy:g}", region=above(0.0), reach=(-2, 2), margin=0.02,
             unless=unreached_bins, **SCORED, **REAL)  # fmt: skip
def consistent_first(t: Tables) -> Interval:
    """At the same accuracy on all examples, consistent examples lead inconsistent ones by more where networks learn
    features than where they are lazy."""
    table = t["bins"]
    hardest, easiest = (_difference(t, own.right, own) for own in (table[table.bin == bin] for bin in _ends(table)))
    return intervals.mean(easiest - hardest)


@study.claim("LH03b", by="ratio, output scale {params.hasty:g} over {params.lazy:g}, of the loss of the least "
             "consistent of {params.bins} bins of examples over that of the most consistent one at the same mean "
             "training losses (geometric mean over {params.real_levels})", region=above(1.0), unless=unreached_bins,
             **SCORED, **REAL)  # fmt: skip
def consistent_first_by_loss(t: Tables) -> Interval:
    """At the same mean training loss, the losses of inconsistent and of consistent examples are further apart where
    networks learn features than where they are lazy."""
    return _factor(by_features(t, apart(t, "scores")))


@study.claim("LH03c", by="rank correlation over bins of consistency and the difference in accuracy, output scale "
             "{params.hasty:g} minus {params.lazy:g}, at the same accuracy on all", region=above(0.5),
             unless=unreached_bins, **SCORED | {"origin": Origin.OURS, "place": ""}, **REAL)  # fmt: skip
def the_more_consistent_the_sooner(t: Tables) -> Interval:
    """The more consistent examples are, the more are networks that learn features ahead with them of lazy ones at the
    same accuracy on all."""
    table = t["bins"]
    ahead = pd.DataFrame({place: _difference(t, own.right, own) for place, own in table.groupby("bin")})
    return intervals.correlation([_ranked(ahead.columns, row) for row in ahead.to_numpy()])


@study.claim("LH03d", by=f"{HALVED} the least consistent bin over that of the most consistent one at the same mean "
             "training losses, output scale {params.hasty:g}", unless=unreached_bins, **SMALL, **REAL)  # fmt: skip
def no_matter_of_steps_for_scores(t: Tables) -> Interval:
    """Steps half as large, and twice as many, change nothing of how far consistent examples are ahead in loss."""
    return _factor(by_steps(t, apart(t, "scores")))


def _ranked(x: Sequence[float], y: Sequence[float]) -> float:
    """Rank correlation; not a number where there is nothing to rank."""
    return float(stats.spearmanr(x, y).statistic) if np.ptp(y) else math.nan


# --- claims: wrong labels --------------------------------------------------------------------------------------------

NOISY = {"figure": "d", "place": "direction: abstract; share and groups: authors' code, exp_classif",
         "origin": Origin.ABSTRACT}  # fmt: skip


def unreached_labels(t: Tables) -> str:
    """Claims are void where a network never reaches one of the accuracies or losses at which wrong labels are read."""
    what = "readings under wrong labels are missing, since a network never came so far"
    return "; ".join(filter(None, [lost(t["wrong"][["wrong_accuracy"]], what),
                                   lost(t["wrong_losses"][["wrong_loss"]], what)]))  # fmt: skip


@study.claim("LH04", by="share of the wrong labels that are fitted, output scale {params.hasty:g} minus "
             "{params.lazy:g}, at the same accuracy on all training labels (mean over {params.wrong_accuracies})",
             region=below(0.0), reach=(-1, 1), margin=0.02, unless=unreached_labels, **NOISY, **REAL)  # fmt: skip
def wrong_labels_wait(t: Tables) -> Interval:
    """While most labels are being fitted, networks that learn features have fitted fewer of the wrong ones than lazy
    networks at the same training accuracy."""
    return intervals.mean(_difference(t, t["wrong"].wrong_accuracy, t["wrong"]))


@study.claim("LH04b", by="ratio, output scale {params.hasty:g} over {params.lazy:g}, of the loss on wrong labels over "
             "that on right ones at the same mean training losses (geometric mean over {params.wrong_levels})",
             region=above(1.0), unless=unreached_labels, **NOISY, **REAL)  # fmt: skip
def wrong_labels_wait_by_loss(t: Tables) -> Interval:
    """At the same mean training loss, the losses on wrong and on right labels are further apart where networks learn
    features than where they are lazy."""
    return _factor(by_features(t, apart(t, "labels")))


@study.claim("LH04c", by=f"{HALVED} wrong labels over that of right ones at the same mean training losses, output "
             "scale {params.hasty:g}", unless=unreached_labels, **SMALL, **REAL)  # fmt: skip
def no_matter_of_steps_for_labels(t: Tables) -> Interval:
    """Steps half as large, and twice as many, change nothing of how far right labels are ahead of wrong ones in
    loss."""
    return _factor(by_steps(t, apart(t, "labels")))


# --- claims: colours that mislead ------------------------------------------------------------------------------------

COLOUR = {"figure": "e", "place": "direction: abstract; groups: authors' code, exp_spurious, on photographs",
          "origin": Origin.ABSTRACT, "scope": "{params.on_colours}"}  # fmt: skip
BROKEN = "output scale {params.hasty:g} minus {params.lazy:g}, at the same mean training losses (mean over " \
         "{params.colour_levels})"  # fmt: skip


def unreached_colours(t: Tables) -> str:
    """Claims are void where a network never reaches one of the mean training losses at which colours are read."""
    return lost(t["colours"][["breaking_accuracy"]], "readings of colours are missing, since a network came not so far")


@study.claim("LH05", by=f"accuracy on training images whose colour is that of the other class, {BROKEN}",
             region=below(0.0), reach=(-1, 1), margin=0.05, unless=unreached_colours, **COLOUR)  # fmt: skip
def broken_colours_wait(t: Tables) -> Interval:
    """At the same mean training loss, networks that learn features are right on fewer of the training images whose
    colour misleads than lazy networks are."""
    return intervals.mean(_difference(t, t["colours"].breaking_accuracy, t["colours"]))


@study.claim("LH05b", by=f"accuracy on test images in the colour of the other class, {BROKEN}", region=below(0.0),
             reach=(-1, 1), margin=0.05, unless=unreached_colours, **COLOUR)  # fmt: skip
def broken_colours_mislead(t: Tables) -> Interval:
    """At the same mean training loss, networks that learn features are right on fewer test images whose colour misleads
    than lazy networks are."""
    return intervals.mean(_difference(t, t["colours"].unseen_breaking_accuracy, t["colours"]))


@study.claim("LH05c", by="ratio, output scale {params.hasty:g} over {params.lazy:g}, of the loss on training images "
             "whose colour misleads over that on the others at the same mean training losses (geometric mean over "
             "{params.colour_levels})", region=above(1.0), unless=unreached_colours, **COLOUR)  # fmt: skip
def broken_colours_wait_by_loss(t: Tables) -> Interval:
    """At the same mean training loss, the losses on images whose colour misleads and on the others are further apart
    where networks learn features than where they are lazy."""
    return _factor(by_features(t, apart(t, "colours")))


# A loss counts how wrong answers are: by a wide spread it rises without one more wrong answer.
@study.claim("LH05d", by="ratio, output scale {params.hasty:g} over {params.lazy:g}, of the standard deviation, over "
             "training images whose colour misleads, of the log odds of the right class at the same mean training "
             "losses (geometric mean over {params.colour_levels})", region=above(1.0), unless=unreached_colours,
             **COLOUR | {"origin": Origin.OURS, "place": ""})  # fmt: skip
def answers_are_spread(t: Tables) -> Interval:
    """At the same mean training loss, answers to images whose colour misleads are spread more widely between right and
    wrong where networks learn features than where they are lazy."""
    table = t["colours"]
    return _factor(_difference(t, np.log(table.breaking_spread), table))


@study.claim("LH05e", by=f"{HALVED} training images whose colour misleads over that of the others at the same mean "
             "training losses, output scale {params.hasty:g}", unless=unreached_colours, **SMALL,
             scope="{params.on_colours}")  # fmt: skip
def no_matter_of_steps_for_colours(t: Tables) -> Interval:
    """Steps half as large, and twice as many, change nothing of how far images whose colour agrees are ahead in
    loss."""
    return _factor(by_steps(t, apart(t, "colours")))


# --- claims: how lazy is lazy? ---------------------------------------------------------------------------------------

LINEAR = {"figure": "f", "origin": Origin.CODE, "place": "linearization_utils; the bounds are ours"}


def _last(t: Tables, scale: float, value: str) -> Interval:
    """Mean over seeds at an output scale when the mean training loss is at the last level."""
    table = arrived(t, "toy", "easy", "hard")
    last = table[(table.scale == scale) & (table.pace == 1) & (table.level == min(t.params.levels))]
    return intervals.mean(last[value], (-1.0, 1.0) if value == "kernel" else (0.0, 1.0))


# Of a linear model both are 1. One unit in fifty, and two hundredths of the cosine, are little beside what moves below.
@study.claim("LH06", by="share of rectified units that are on or off as at the start, output scale {params.lazy:g}, at "
             "the last mean training loss", region=above(0.98), kind=Kind.CHECK, **LINEAR)  # fmt: skip
def lazy_units_stay(t: Tables) -> Interval:
    """In lazy networks the rectified units stay on or off as they were."""
    return _last(t, t.params.lazy, "signs")


@study.claim("LH06b", by="alignment of the tangent kernel with that at the start, output scale {params.lazy:g}, at the "
             "last mean training loss", region=above(0.98), kind=Kind.CHECK, **LINEAR)  # fmt: skip
def lazy_kernels_stay(t: Tables) -> Interval:
    """In lazy networks the tangent kernel stays what it was."""
    return _last(t, t.params.lazy, "kernel")


@study.claim("LH06c", by="alignment of the tangent kernel with that at the start, output scale {params.hasty:g}, at "
             "the last mean training loss", region=below(0.9), **LINEAR)  # fmt: skip
def hasty_kernels_turn(t: Tables) -> Interval:
    """In networks that learn features the tangent kernel turns away from what it was."""
    return _last(t, t.params.hasty, "kernel")


@study.claim("LH06d", by="ratio, an output scale {params.lazier:g} times {params.lazy:g} over {params.lazy:g}, of the "
             f"loss of hard over that of easy places {AT}", **SMALL)  # fmt: skip
def lazy_is_lazy_enough(t: Tables) -> Interval:
    """Networks that are lazier still learn easy and hard examples in the same order."""
    logs = apart(t, "places")
    return _factor(logs[t.params.lazier * t.params.lazy, 1.0] - logs[t.params.lazy, 1.0])
