"""Notebook 02: how far apart two networks are, by four measures, and what alignment changes about it.

Twins as in notebook 01, for two optimisers. Every pair is measured by the distance of the weights, the loss barrier,
the angle between representations, and the answers; the first two again after the units of the twin are permuted to
match those of the parent. Independent networks, of another seed, are measured alongside: the scale for "far apart".
Twins trained with weight decay tell what keeps their units in order (`anchors`).
"""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import align, represent
from butterfly.evaluate import evaluate
from butterfly.interpolate import EPSILON, barriers
from butterfly.models import Model
from butterfly.papers.altintas2025 import PAPER, anchors
from butterfly.papers.altintas2025.twins import BARRIER
from butterfly.perturb import Kick
from butterfly.study import Arrays, Bench, Interval, Kind, OneModel, Origin, Setting, Shard, Study, Tables, Times, above
from butterfly.study import below, between, broken, check_times, intervals, long, rising_sizes, rising_times, stacked
from butterfly.study.claims import differing_controls
from butterfly.study.claims import lost as not_finite
from butterfly.study.intervals import CORRELATION, SHARE
from butterfly.train import Fork, parent_rows, train

OTHER = 100_000  # seeds of the independent networks start here
HIGH = 0.1  # a barrier that counts as high in the authors' statement about fixed points
MEASURES = ("distance", "barrier", "angle", "disagreement")
NOTED = {"origin": Origin.NOTEBOOK, "place": "notebooks/butterfly-hparams.ipynb"}  # the authors' numbers


class Params(OneModel):
    """Parameters of notebook 02; times are in percent of the training steps."""

    setting: str = "mnist1d"
    adaptive: str = "mnist1d-adamw"  # the same network trained by AdamW
    steps: int | None = Field(80, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    kick_times: Times = (0.0, 25.0, 50.0)
    sizes: tuple[float, ...] = (1e-4, 1e-2)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    restarts: int = Field(1, ge=1)  # of weight matching
    examples: int = Field(500, ge=10)  # for activation matching, and for representations
    decays: tuple[float, ...] = (
        0.0,
        2.0,
    )  # weight decay summed over training; e^-2 is left of a weight held by nothing
    decay_seeds: int = Field(2, ge=1)
    decay_seeds_per_shard: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        rising_sizes("sizes", self.sizes)
        if not self.sizes:
            raise ValueError("sizes is empty: give at least one size")
        if len(self.decays) < 2 or self.decays[0] != 0 or list(self.decays) != sorted(set(self.decays)):
            raise ValueError(f"decays = {list(self.decays)}: give 0 and one or more rising sums of weight decay")
        optimizers = [arm.recipe.optimizer for arm in self.arms.values()]
        if optimizers != ["sgd", "adamw"]:
            raise ValueError(f"setting and adaptive are trained by {optimizers}: name one for SGD, one for AdamW")
        return self

    @property
    def arms(self) -> dict[str, Setting]:
        """The two settings that are trained, by name."""
        other = self.beside(self.setting, self.adaptive, self.steps)
        return {self.setting: self.chosen(self.setting, self.steps), self.adaptive: other}

    @property
    def when(self) -> list[str]:
        """The kick times in words; claims may ask for more of them than there are."""
        return [f"{time:g} %" for time in self.kick_times] + ["a later time"] * 4


study = Study("02_four_measures", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds of each optimiser, and of each amount of weight decay."""
    shards, leave = [], ["adaptive", *(name for name in Params.model_fields if name.startswith("decay"))]
    grid = {"size": params.sizes[-1], "points": params.points, "restarts": params.restarts}
    for name, arm in params.arms.items():
        check_times(arm, params.kick_times)
        shards += study.every_few(params, arm, leave=leave, of=name)
        for decay in params.decays:
            own = study.config(anchors.decayed(arm, decay), params, **grid)
            shards += [Shard(anchored, own | {"seeds": few}, f"{name} {decay:g}") for few in params.few("decay_seeds")]
    return shards


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train parents, twins and independent networks in one stack, and measure every twin against its parent.

    Arrays over the pairs `[K]`, the twins first, then one independent network a seed; over pairs and layers `[K, L]`.
    """
    seeds, model, task = bench.seeds, bench.model, bench.task
    cells = [(s, time, size) for time in bench["kick_times"] for s in seeds for size in (0.0, *bench["sizes"])]
    forks = [Fork(s, bench.setting.step_at(time), Kick(size=size)) for s, time, size in cells]
    run = train(model, task, bench.recipe, [*seeds, *(s + OTHER for s in seeds)], forks)

    theta, own = run.theta, torch.arange(len(seeds))
    first = torch.cat([parent_rows(run.members), own])  # the parent of each pair
    second = torch.cat([torch.arange(2 * len(seeds), len(theta)), own + len(seeds)])
    a, b = theta[first], theta[second]
    weights = align.weight_matching(model.layout, a, b, bench["restarts"])
    activations = align.activation_matching(model, a, b, task.x[: bench["examples"]])
    by_weights, by_activations = (align.permute(model.layout, b, p) for p in (weights.permutation, activations))
    lines = {"barrier": b, "barrier_weights": by_weights, "barrier_activations": by_activations}
    on_test = barriers(model, a, b, task.sample.x_test, task.sample.y_test, bench["points"])
    return {
        "seed": np.array([seed for seed, _, _ in cells] + seeds),
        "kind": np.array(["control" if size == 0 else "twin" for _, _, size in cells] + ["independent"] * len(seeds)),
        "time": np.array([time for _, time, _ in cells] + [np.nan] * len(seeds)),
        "size": np.array([size for _, _, size in cells] + [np.nan] * len(seeds)),
        "largest_difference": (b - a).abs().amax(1).cpu().numpy(),
        "distance": (b - a).norm(dim=1).cpu().numpy(),
        "distance_weights": (by_weights - a).norm(dim=1).cpu().numpy(),
        **{
            k: barriers(model, a, to, task.sample.x, task.sample.y, bench["points"]).of_loss.numpy()
            for k, to in lines.items()
        },
        "barrier_test": on_test.of_loss.numpy(),
        "accuracy": 1 - on_test.error[:, -1].numpy(),
        "sweeps": weights.sweeps.numpy(),
        "unmoved": _unmoved(model, weights.permutation),
        "unmoved_activations": _unmoved(model, activations),
        **_represented(model, theta, first, second, task.x_test[: bench["examples"]]),
    }


def _unmoved(model: Model, permutation: align.Permutation) -> np.ndarray:
    """Share of all hidden units of each twin `[K]` that alignment leaves in place."""
    units = torch.tensor(list(model.layout.groups.values()), dtype=torch.float64)
    shares = torch.stack(list(align.fixed_points(permutation).values()), 1)  # [K, layers]
    return (shares @ units / units.sum()).numpy()


def _represented(model: Model, theta: Tensor, first: Tensor, second: Tensor, x: Tensor) -> Arrays:
    """What each pair makes of the examples `x`: the angle a layer `[K, L]`, disagreement and KL divergence `[K]`."""
    layers = [name for name in model.features(theta[:1], x[:2]) if not name.endswith(".inner")]  # the stream goes on
    angles = torch.full((len(first), len(layers)), torch.nan, dtype=torch.float64)
    apart, divergence = angles[:, 0].clone(), angles[:, 0].clone()
    for parent in first.unique():
        pairs = (first == parent).nonzero().squeeze(1)
        features = model.features(theta[torch.cat([parent[None], second[pairs]])], x)
        for layer, name in enumerate(layers):
            angles[pairs, layer] = represent.angle(represent.cka(list(features[name])))[0, 1:].cpu()
        logits = features["logits"]
        apart[pairs] = represent.disagreement(logits[:1], logits[1:]).cpu()
        divergence[pairs] = represent.kl_divergence(logits[:1], logits[1:]).cpu()
    found = {"angles": angles, "disagreement": apart, "divergence": divergence}
    return {"layers": np.array(layers), **{name: values.numpy() for name, values in found.items()}}


@study.shard
def anchored(bench: Bench) -> Arrays:
    """Twins kicked at the start, then independent networks, each matched to its parent in three ways: `[2 S]`.

    Besides, of each seed `[S]`, the test accuracy of the parent and how far a control twin left it.
    """
    seeds, model, task = bench.seeds, bench.model, bench.task
    strangers = [seed + OTHER for seed in seeds]
    forks = [Fork(seed, 0, Kick(size=size)) for size in (0.0, bench["size"]) for seed in seeds]
    run = train(model, task, bench.recipe, [*seeds, *strangers], forks)
    parents, strange, controls, twins = run.theta.split(len(seeds))
    a, b = parents.repeat(2, 1), torch.cat([twins, strange])
    fresh, others = model.init(seeds).to(a), model.init(strangers).to(a)
    start_a, start_b = fresh.repeat(2, 1), torch.cat([fresh, others])

    orders = {
        "weights": anchors.matched(bench, a, b),
        "random": anchors.from_random(bench, a, b),
        "learned": anchors.matched(bench, anchors.without(a, start_a), anchors.without(b, start_b)),
    }
    lines = {"barrier": b} | {f"barrier_{k}": align.permute(model.layout, b, p) for k, p in orders.items()}
    return {
        "kind": np.array(["twin"] * len(seeds) + ["independent"] * len(seeds)),
        "distance": (b - a).norm(dim=1).cpu().numpy(),
        **{
            k: barriers(model, a, to, task.sample.x, task.sample.y, bench["points"]).of_loss.numpy()
            for k, to in lines.items()
        },
        **{f"unmoved_{k}": _unmoved(model, p) for k, p in orders.items()},
        "kept": anchors.kept(b, start_b).cpu().numpy(),
        **anchors.on_test(bench, a, b),
        "accuracy": 1 - evaluate(model, parents, task.sample.x_test, task.sample.y_test)[1].numpy(),
        "largest_difference": (controls - parents).abs().amax(1).cpu().numpy(),
    }


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `pairs` (a row a pair of networks), `layers` (pair and layer), and those of `anchors`."""
    main = [shard for shard in shards if shard.compute is measure]
    return stacked(map(_tables, main)) | anchors.tables([shard for shard in shards if shard.compute is anchored])


def _tables(shard: Shard) -> dict[str, pd.DataFrame]:
    along = ("layers", "angles")
    pairs = pd.DataFrame({k: v for k, v in shard.found.items() if k not in along}).assign(setting=shard.of)
    key = pairs[["setting", "seed", "kind", "time", "size"]]
    layers = long(key, shard["layers"], {"angle": shard["angles"]}, "layer")
    depth = np.tile(np.arange(1, len(shard["layers"]) + 1), len(key))
    # The representation before the logits stands for the network where one number is wanted.
    return {"pairs": pairs.assign(angle=shard["angles"][:, -2]), "layers": layers.assign(depth=depth)}


# --- claims ----------------------------------------------------------------------------------------------------------
# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG. A fifth more or less (0.8 to
# 1.25) is the smallest change of a barrier that would matter to anyone who aligns networks or averages them.

NUMBERS = ["barrier", "barrier_weights", "barrier_activations", "barrier_test", "angle"]
RATIO = "ratio of the mean barrier after {} matching to that before, {}"
FIRST = "twins kicked first"
EARLY = 25.0  # percent of training: kicks up to there leave barriers above the floor of measurement
WORSE = 0.05  # of test accuracy: more must not be the price of weight decay


def _pairs(t: Tables, arm: str = "setting", kinds: Sequence[str] = ("twin",)) -> pd.DataFrame:
    """Pairs of one optimiser: `setting` (SGD) or `adaptive` (AdamW)."""
    pairs = t["pairs"]
    return pairs[(pairs.setting == getattr(t.params, arm)) & pairs.kind.isin(kinds)]


def _kicked(t: Tables, place: int = 0, arm: str = "setting") -> pd.DataFrame:
    """Twins kicked at the time of that place in the order of kick times; none where there are fewer times."""
    twins, times = _pairs(t, arm), t.params.kick_times
    return twins[twins.time == times[place]] if place < len(times) else twins[:0]


def _lost(t: Tables, arm: str = "setting", others: Sequence[str] = ()) -> str:
    return broken(_pairs(t, arm, ("twin", "control", *others)), NUMBERS)


@study.unless
def lost(t: Tables) -> str:
    """Claims are void where a control twin differs from its parent, or a twin has a number that is not finite."""
    return _lost(t)


def lost_adaptive(t: Tables) -> str:
    """Claims are void where, with AdamW, a control twin differs from its parent, or a twin lacks a finite number."""
    return _lost(t, "adaptive")


def lost_strangers(t: Tables) -> str:
    """Claims are void where a control twin differs from its parent, or any pair has a number that is not finite."""
    return _lost(t, others=["independent"])


def without_barriers(place: int, arm: str = "setting") -> Callable[[Tables], str]:
    """The reason why a claim on the barriers of twins of one kick time is void."""

    def reason(t: Tables) -> str:
        """Claims are void where a control twin differs from its parent, a number is not finite, or fewer than half of
        the seeds have a mean barrier above 0.05 between the pairs that are aligned."""
        return "; ".join(filter(None, [_lost(t, arm), _low(_kicked(t, place, arm), t.params.seeds)]))

    return reason


def _low(pairs: pd.DataFrame, seeds: int) -> str:
    """Why nothing is said of barriers: most are so low that there is nothing to lower. Empty if they are not."""
    high = int((pairs.groupby("seed").barrier.mean() > BARRIER).sum())
    return f"{high} of {seeds} seeds have a barrier above {BARRIER:g}" if 2 * high < seeds else ""


# --- distance and barrier


def _correlations(t: Tables, of: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """Of each seed, the correlation of the log barrier with a function of the distance, barriers above the floor."""
    seen = _pairs(t)
    seen = seen[seen.barrier > EPSILON].groupby("seed")
    return pd.Series({seed: np.log(own.barrier).corr(of(own.distance)) for seed, own in seen}, dtype=float)


# 0.84 is the root of 0.7: distance explains 70 % of the variance or more, as in the authors' scatter plots.
@study.claim(
    "B12", by=f"correlation of log barrier and distance over a seed's twins with a barrier above {EPSILON:g}",
    region=above(0.84), figure="b", **NOTED,
)  # fmt: skip
def log_linear(t: Tables) -> Interval:
    """Within a seed, the distance of the weights explains 70 % or more of the variance of the log barrier."""
    return intervals.correlation(_correlations(t, lambda distance: distance))


# Over kick times both fall together; pairs of one kick time differ in the size of the kick and in the seed.
@study.claim(
    "B12c",
    by=f"correlation of log barrier and distance over pairs of one kick time with a barrier above {EPSILON:g}, mean of "
    f"the kick times up to {EARLY:g} %",
    region=above(0.84),
    figure="b",
)
def log_linear_at_one_time(t: Tables) -> Interval:
    """Among twins kicked at one time, too, the distance explains 70 % or more of the variance of the log barrier."""
    return at_one_time(_pairs(t).query("time <= @EARLY"))


def at_one_time(pairs: pd.DataFrame) -> Interval:
    """Correlation of log barrier and distance over the pairs of a kick time, mean over times; seeds are resampled."""
    seen = pairs[pairs.barrier > EPSILON]
    if seen.empty:
        return intervals.nothing(CORRELATION)
    own = pd.DataFrame({"x": seen.distance, "y": np.log(seen.barrier)})
    own -= own.groupby(seen.time).transform("mean")  # sums of squares far from 0 would lose digits
    own = own.assign(n=1.0, xx=own.x**2, yy=own.y**2, xy=own.x * own.y).groupby([seen.seed, seen.time]).sum()
    sums = np.stack([own[name].unstack(fill_value=0.0).to_numpy() for name in ("n", "x", "y", "xx", "yy", "xy")])

    def of(seeds: np.ndarray) -> float:
        n, x, y, xx, yy, xy = sums[:, seeds].sum(1)  # of each kick time
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(((n * xy - x * y) / np.sqrt((n * xx - x**2) * (n * yy - y**2))).mean())

    return intervals.resampled(of, sums.shape[1], reach=CORRELATION)


# Correlations this near 1 leave about 0.01 to be gained.
@study.claim(
    "B12b", by="the correlation within a seed minus that of log barrier and log distance", region=above(0.0),
    figure="b", margin=0.01,
)  # fmt: skip
def no_power_law(t: Tables) -> Interval:
    """An exponential of the distance describes the barrier better than a power of the distance."""
    return intervals.mean(_correlations(t, lambda distance: distance) - _correlations(t, np.log), reach=(-2.0, 2.0))


# --- alignment


def _change(pairs: pd.DataFrame, after: str) -> Interval:
    """What alignment makes of the barrier, mean over all pairs of a seed: geometric mean over seeds."""
    means = pairs.groupby("seed")[[after, "barrier"]].mean()
    return intervals.ratio(means[after], means.barrier, EPSILON)


@study.claim(
    "B13a", by=RATIO.format("weight", FIRST), region=between(0.8, 1.25), figure="c", unless=without_barriers(0),
    **NOTED,
)  # fmt: skip
def weight_matching_of_sgd(t: Tables) -> Interval:
    """With SGD, aligning the units by their weights changes the barrier little."""
    return _change(_kicked(t), "barrier_weights")


@study.claim(
    "B13b", by=RATIO.format("weight", FIRST), region=below(0.8), figure="c", unless=without_barriers(0, "adaptive")
)
def weight_matching_of_adaptive(t: Tables) -> Interval:
    """With AdamW, aligning the units by their weights lowers the barrier."""
    return _change(_kicked(t, arm="adaptive"), "barrier_weights")


def _by_activations(place: int) -> Callable[[Tables], Interval]:
    return lambda t: _change(_kicked(t, place), "barrier_activations")


# One claim a kick time: early and late kicks may differ in sign, and their mean would hide it.
for _place, _id in enumerate(("B13c", "B13d", "B13e", "B13f")):
    study.claim(
        _id,
        f"With SGD, aligning the units by their activations lowers the barrier of twins kicked at "
        f"{{params.when[{_place}]}}",
        by=RATIO.format("activation", f"twins kicked at {{params.when[{_place}]}}"),
        region=below(1.0),
        margin=1.25,
        figure="c",
        unless=without_barriers(_place),
    )(_by_activations(_place))


# --- what keeps units in their places


def _anchors(t: Tables, arm: str, last: bool = False, kind: str = "twin") -> pd.DataFrame:
    """Pairs of one optimiser without weight decay, or with the most."""
    pairs, decay = t["anchors"], t.params.decays[-1 if last else 0]
    return pairs[(pairs.setting == getattr(t.params, arm)) & (pairs.decay == decay) & (pairs.kind == kind)]


def _unlike(t: Tables, arm: str) -> str:
    """Why claims on weight decay are void."""
    name, decays = getattr(t.params, arm), [t.params.decays[0], t.params.decays[-1]]
    pairs, parents = (t[table][t[table].setting == name] for table in ("anchors", "anchored"))
    pairs, parents = (own[own.decay.isin(decays)] for own in (pairs, parents))
    accuracy = parents.groupby("decay").accuracy.mean()
    worse = accuracy[decays[0]] - accuracy[decays[1]] > WORSE
    low = [_low(own, own.seed.nunique()) for _, own in pairs.groupby(["decay", "kind"])]
    reasons = [differing_controls(parents), not_finite(pairs[["barrier", "barrier_weights"]], "pairs have no barrier")]
    return "; ".join(filter(None, [*reasons, *low, "weight decay costs test accuracy" if worse else ""]))


def unlike(t: Tables) -> str:
    """Claims are void where a control twin differs from its parent, a barrier is not finite, fewer than half of the
    seeds have a barrier above 0.05, or weight decay costs more than five points of test accuracy."""
    return _unlike(t, "setting")


def unlike_adaptive(t: Tables) -> str:
    """Claims are void where, with AdamW, a control twin differs from its parent, a barrier is not finite, fewer than
    half of the seeds have a barrier above 0.05, or weight decay costs more than five points of test accuracy."""
    return _unlike(t, "adaptive")


@study.claim(
    "B13g", by=RATIO.format("weight", "independent networks"), region=below(1.0), figure="f", margin=1.25,
    unless=unlike_adaptive,
)  # fmt: skip
def strangers_are_aligned(t: Tables) -> Interval:
    """With AdamW, aligning the units by their weights lowers the barrier between independent networks."""
    return _change(_anchors(t, "adaptive", kind="independent"), "barrier_weights")


@study.claim("B13h", by=RATIO.format("weight", f"{FIRST}, most decay,"), region=below(0.8), figure="f", unless=unlike)
def forgetful_sgd(t: Tables) -> Interval:
    """With SGD and weight decay that forgets the initial weights, weight matching lowers the barrier of twins."""
    return _change(_anchors(t, "setting", last=True), "barrier_weights")


@study.claim(
    "B13i", by=RATIO.format("weight", f"{FIRST}, most decay,"), region=below(0.8), figure="f", unless=unlike_adaptive
)
def forgetful_adaptive(t: Tables) -> Interval:
    """With AdamW and weight decay that forgets the initial weights, weight matching lowers the barrier of twins."""
    return _change(_anchors(t, "adaptive", last=True), "barrier_weights")


# The search begins with the units as they are, so that this could hardly fail.
@study.claim(
    "B14", by=f"least share of units left in place, twins with a barrier up to {HIGH:g}", region=above(0.95),
    kind=Kind.CHECK, figure="d", **NOTED,
)  # fmt: skip
def fixed_points(t: Tables) -> Interval:
    """Weight matching leaves 95 % of a twin's units in place and more, unless the barrier is high."""
    low = _pairs(t)
    low = low[low.barrier <= HIGH]
    return intervals.exact(float(low.unmoved.min()), low.seed.nunique()) if len(low) else intervals.nothing()


def _share(pairs: pd.DataFrame, column: str) -> Interval:
    return intervals.mean(pairs[column], SHARE)


BACK = f"share of units that weight matching from a random order puts back, {FIRST}"
# Nine of ten: what is left would make a twin whose barrier alignment cannot lower by much.


@study.claim("B14b", by=BACK, region=above(0.9), figure="f", unless=unlike)
def put_back_of_sgd(t: Tables) -> Interval:
    """With SGD, twins kicked at the start keep the order of their units: weight matching finds it from any other."""
    return _share(_anchors(t, "setting"), "unmoved_random")


@study.claim("B14c", by=BACK, region=above(0.9), figure="f", unless=unlike_adaptive)
def put_back_of_adaptive(t: Tables) -> Interval:
    """With AdamW, twins kicked at the start keep the order of their units: weight matching finds it from any other."""
    return _share(_anchors(t, "adaptive"), "unmoved_random")


LEARNED = f"share of units left in place by what the weights hold beside their initial ones, {FIRST}"
# Below half: most units would find another partner.


@study.claim("B14d", by=LEARNED, region=below(0.5), figure="f", unless=unlike)
def learned_alone_of_sgd(t: Tables) -> Interval:
    """With SGD, the common initial weights keep the order: what was learned matches most units otherwise."""
    return _share(_anchors(t, "setting"), "unmoved_learned")


@study.claim("B14e", by=LEARNED, region=below(0.5), figure="f", unless=unlike_adaptive)
def learned_alone_of_adaptive(t: Tables) -> Interval:
    """With AdamW, the common initial weights keep the order: what was learned matches most units otherwise."""
    return _share(_anchors(t, "adaptive"), "unmoved_learned")


# --- test data


@study.claim(
    "B21b", by=f"ratio of mean test barrier to mean training barrier, {FIRST}", region=between(0.8, 1.25),
    unless=without_barriers(0, "adaptive"),
)  # fmt: skip
def on_test_data(t: Tables) -> Interval:
    """With AdamW too, the barrier on test data agrees with that on training data."""
    means = _kicked(t, arm="adaptive").groupby("seed")[["barrier_test", "barrier"]].mean()
    return intervals.ratio(means.barrier_test, means.barrier, EPSILON)


LEAST_GAP = 0.1  # nats: a share of a smaller gap would be a ratio of noise


def without_gap(t: Tables) -> str:
    """Claims are void where, with AdamW, a control twin differs from its parent, a barrier is not finite, fewer than
    half of the seeds have a barrier above 0.05, weight decay costs more than five points of test accuracy, or the
    test barrier of a seed lies less than a tenth of a nat below its training barrier."""
    twins = _anchors(t, "adaptive")
    small = int((twins.barrier - twins.barrier_test < LEAST_GAP).sum())
    gap = f"{small} of {len(twins)} test barriers lie no lower than training barriers" if small else ""
    return "; ".join(filter(None, [_unlike(t, "adaptive"), gap]))


HIDDEN = f"share of the gap from test to training barrier that one temperature, fitted to the ends, closes, {FIRST}"


def _hidden(t: Tables) -> Interval:
    twins = _anchors(t, "adaptive")
    return intervals.mean((twins.barrier_tempered - twins.barrier_test) / (twins.barrier - twins.barrier_test))


# A tenth of the gap would be worth knowing of.
@study.claim("B21c", by=HIDDEN, region=above(0.0), margin=0.1, unless=without_gap)
def hidden_by_confidence(t: Tables) -> Interval:
    """With AdamW, overconfidence of the trained networks hides part of the barrier on test data."""
    return _hidden(t)


# An explanation should account for half of what it explains.
@study.claim("B21d", by=HIDDEN, region=above(0.5), margin=0.25, unless=without_gap)
def mostly_hidden_by_confidence(t: Tables) -> Interval:
    """With AdamW, overconfidence accounts for half or more of the gap between test and training barrier."""
    return _hidden(t)


# 0.15 nats are less than a fifth of the barrier on test data between SGD twins kicked at the start.
@study.claim(
    "B21e", by=f"test barrier of logits at the temperature that fits the ends, minus that as they are, nats, {FIRST}",
    region=above(0.0), margin=0.15, unless=unlike,
)  # fmt: skip
def hidden_by_confidence_of_sgd(t: Tables) -> Interval:
    """With SGD, too, overconfidence of the trained networks hides part of the barrier on test data."""
    twins = _anchors(t, "setting")
    return intervals.mean(twins.barrier_tempered - twins.barrier_test)


# --- do the measures agree?


@study.claim(
    "X01", by="Kendall's coefficient of concordance of the four measures over kick times (1: the same order)",
    region=above(0.9), figure="a",
)  # fmt: skip
def same_order(t: Tables) -> Interval:
    """Distance, barrier, angle of representations and disagreement rank kick times alike."""
    return intervals.mean([concordance(twins) for _, twins in _pairs(t).groupby("seed")], SHARE)


def concordance(twins: pd.DataFrame) -> float:
    """Kendall's W of the four measures as judges of kick times, each the mean over sizes; 1 is full agreement."""
    means = twins.groupby("time")[list(MEASURES)].mean()
    ranks = stats.rankdata(means.to_numpy(), axis=0)
    times, judges = ranks.shape
    if times < 2:
        return np.nan
    sums = ranks.sum(1)
    return float(12 * ((sums - sums.mean()) ** 2).sum() / (judges**2 * (times**3 - times)))


def _angles(t: Tables) -> np.ndarray:
    """Angle of the representations of twins kicked first, in each hidden layer, mean over sizes `[S, L]`."""
    layers = t["layers"]
    twins = layers[(layers.setting == t.params.setting) & (layers.kind == "twin")]
    start = twins[(twins.time == twins.time.min()) & (twins.layer != "logits")]
    return start.pivot_table("angle", "seed", "depth").to_numpy()


# 0.05 radians, here and below, is a tenth of the angle between independent networks in the first layer.
@study.claim(
    "X02", by=f"largest mean fall of the angle from a hidden layer to the next, radians, {FIRST}", region=below(0.0),
    figure="e", margin=0.05,
)  # fmt: skip
def deeper(t: Tables) -> Interval:
    """From each hidden layer to the next, the representations of early kicked twins are further apart."""
    return intervals.largest_mean(-np.diff(_angles(t), axis=1))


@study.claim(
    "X02b", by=f"angle in the second hidden layer minus that in the first, radians, {FIRST}", region=above(0.0),
    figure="e", margin=0.05,
)  # fmt: skip
def second_beyond_first(t: Tables) -> Interval:
    """In the second hidden layer, the representations of early kicked twins are further apart than in the first."""
    angles = _angles(t)
    return intervals.mean(angles[:, 1] - angles[:, 0])


@study.claim(
    "X02c", by=f"angle in the last hidden layer minus that in the second, radians, {FIRST}",
    region=between(-0.05, 0.05), figure="e",
)  # fmt: skip
def level_from_the_second_on(t: Tables) -> Interval:
    """From the second hidden layer to the last, they come neither nearer nor further apart."""
    angles = _angles(t)
    return intervals.mean(angles[:, -1] - angles[:, 1])


def _beside_strangers(t: Tables, measure: str) -> Interval:
    """Ratio of a measure of twins kicked first to that of networks of different seeds."""
    strangers = _pairs(t, kinds=["independent"]).set_index("seed")[measure]
    return intervals.ratio(_kicked(t).groupby("seed")[measure].mean(), strangers, EPSILON)


BESIDE = "ratio of the {} of twins kicked first to that of networks of different seeds"


@study.claim("X03", by=BESIDE.format("disagreement"), region=between(0.8, 1.25), figure="a", unless=lost_strangers)
def as_far_as_strangers(t: Tables) -> Interval:
    """Twins kicked at the start come to disagree on test examples as often as independent networks."""
    return _beside_strangers(t, "disagreement")


@study.claim("X03b", by=BESIDE.format("barrier"), region=below(0.8), figure="a", unless=lost_strangers)
def barrier_below_strangers(t: Tables) -> Interval:
    """Yet the barrier between twins kicked at the start stays lower than that between independent networks."""
    return _beside_strangers(t, "barrier")


@study.claim(
    "X03c", by=BESIDE.format("angle in the last hidden layer"), region=between(0.8, 1.25), figure="a",
    unless=lost_strangers,
)  # fmt: skip
def represented_like_strangers(t: Tables) -> Interval:
    """The representations of twins kicked at the start come as far apart as those of independent networks."""
    return _beside_strangers(t, "angle")
