"""Notebook 07: ensembles and averages of networks that part at a kick, against independently seeded ones.

The members of a group are a parent and its twins, all kicked at one time, each in another direction. Their answers are
averaged, and their weights.
"""

from collections.abc import Callable
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import align, represent
from butterfly.evaluate import calibration_error, evaluate, logits
from butterfly.papers.altintas2025 import PAPER
from butterfly.perturb import Kick
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Shard, Study, Tables, Times, above, below, broken
from butterfly.study import check_times, intervals, lost, rising_times, stacked
from butterfly.study.intervals import CORRELATION, POSITIVE
from butterfly.train import Fork, train

OTHER = 100_000  # seeds of the independent networks start here, as many apart
INDEPENDENT = -1.0  # the "kick time" of networks that never had anything in common


class Params(OneModel):
    """Parameters of notebook 07; times are in percent of the training steps."""

    setting: str = "mnist1d"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    members: int = Field(3, ge=2)  # of a group, the parent counted
    kick_times: Times = (0.0, 10.0, 50.0)
    size: float = Field(1e-2, gt=0)
    examples: int = Field(300, ge=20)  # for Angular CKA
    restarts: int = Field(1, ge=1)  # of weight matching

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 3:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and two or more later times")
        self.chosen(self.setting)
        return self

    @property
    def when(self) -> list[str]:
        """The kick times in words; claims may ask for more of them than there are."""
        return [f"{time:g} %" for time in self.kick_times] + ["a later time"] * 2


study = Study("07_ensembles", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few seeds."""
    setting = params.chosen(params.setting, params.steps)
    check_times(setting, params.kick_times)
    return study.every_few(params, setting)


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train all groups of some seeds `[S]` at every time `[T]`, independent networks last, and average them.

    Every value is `[T, S]`: of single members, of the mean of logits and of probabilities, of the mean of weights plain
    and aligned to the parent; and how far apart the members are.
    """
    seeds, times, others = bench.seeds, bench["kick_times"], range(1, bench["members"])
    strangers = [seed + k * OTHER for k in others for seed in seeds]
    cells = [(bench.setting.step_at(time), draw, seed) for time in times for draw in others for seed in seeds]
    forks = [Fork(seed, step, Kick(size=bench["size"], draw=draw)) for step, draw, seed in cells]
    controls = [Fork(seed, 0, Kick()) for seed in seeds]
    run = train(bench.model, bench.task, bench.recipe, [*seeds, *strangers], [*controls, *forks])
    # Twins stand behind all parents in the order of their steps, the controls first.
    count, last = len(seeds), len(times) + 1
    parents, strange, control, twins = run.theta.split([count, len(strangers), count, len(forks)])
    others_of = torch.cat([twins, strange]).view(last, len(others), count, -1)
    grouped = torch.cat([parents.expand(last, 1, -1, -1), others_of], 1)  # [T, members, S, P]
    measured = [_measure(bench, group) for at in grouped for group in at.unbind(1)]
    found = {name: np.array([group[name] for group in measured]).reshape(last, count) for name in measured[0]}
    return {**found, "largest_difference": (control - parents).abs().amax(1).cpu().numpy()}


def _measure(bench: Bench, members: Tensor) -> dict[str, float]:
    """Everything about one group of networks `[members, P]`."""
    x, y = bench.task.sample.x_test, bench.task.sample.y_test
    each = logits(bench.model, members, x).double()  # [members, N, C]
    hidden = list(bench.model.features(members, x[: bench["examples"]]).values())[-2].flatten(2)
    i, j = torch.triu_indices(len(members), len(members), 1)
    return {
        **_scores("member", each, y),
        **_scores("logits", each.mean(0, keepdim=True), y),
        **_scores("probabilities", each.softmax(2).mean(0, keepdim=True).log(), y),
        **_average("average", bench, members),
        **_average("aligned", bench, _aligned(bench, members)),
        "disagreement": float(represent.disagreement(each[i], each[j]).mean()),
        "angle": float(represent.angle(represent.cka(list(hidden)))[i, j].mean()),
    }


def _scores(name: str, answers: Tensor, y: Tensor) -> dict[str, float]:
    """Loss, accuracy and calibration error of logits `[K, N, C]`, mean over `K`."""
    losses = [float(torch.nn.functional.cross_entropy(one, y)) for one in answers]
    right = [float((one.argmax(1) == y).double().mean()) for one in answers]
    gaps = [float(calibration_error(one, y)) for one in answers]
    values = {"loss": losses, "accuracy": right, "calibration": gaps}
    return {f"{name}_{measure}": np.mean(value) for measure, value in values.items()}


def _average(name: str, bench: Bench, members: Tensor) -> dict[str, float]:
    """Loss and accuracy of the one network whose weights are the mean of the members'."""
    loss, error = evaluate(
        bench.model, members.mean(0, keepdim=True), bench.task.sample.x_test, bench.task.sample.y_test
    )
    return {f"{name}_loss": float(loss), f"{name}_accuracy": 1 - float(error)}


def _aligned(bench: Bench, members: Tensor) -> Tensor:
    """The members, the units of all but the first in the order that matches its own."""
    layout, first, rest = bench.model.layout, members[:1], members[1:]
    matched = align.weight_matching(layout, first.expand(len(rest), -1), rest, bench["restarts"])
    return torch.cat([first, align.permute(layout, rest, matched.permutation)])


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `groups`, a row a seed and kick time (`INDEPENDENT`: of different seeds), and `controls`."""
    tables = stacked(map(_of_shard, shards))
    groups = tables["groups"].assign(setting=params.setting, members=params.members)
    groups["gain"] = groups.probabilities_accuracy - groups.member_accuracy  # of the ensemble over its members
    groups["loss_gain"] = groups.member_loss - groups.probabilities_loss
    # A member that parts at t shares the way to there; the parent is trained anyway.
    groups["cost"] = 1 + (params.members - 1) * (1 - groups.time.clip(lower=0) / 100)
    return {"groups": groups, "controls": tables["controls"]}


def _of_shard(shard: Shard) -> dict[str, pd.DataFrame]:
    seeds, gone = shard.config["seeds"], shard["largest_difference"]
    index = pd.MultiIndex.from_product([[*shard.config["kick_times"], INDEPENDENT], seeds], names=["time", "seed"])
    values = {name: array.ravel() for name, array in shard.found.items() if name != "largest_difference"}
    controls = pd.DataFrame({"seed": seeds, "kind": "control", "largest_difference": gone})
    return {"groups": pd.DataFrame(values, index=index).reset_index(), "controls": controls}


# --- claims ----------------------------------------------------------------------------------------------------------
# A seed is the unit: its parent, all twins of it and the independent networks beside them are drawn for it alone.

GAINS = "ratio of the gain in test loss to that of independent networks"
FLOOR = 1e-3  # nats: gains and calibration errors below are not told from none


@study.unless
def lost_groups(t: Tables) -> str:
    """Claims are void where control twins differ from their parents, or a group has no finite loss or angle."""
    groups = lost(t["groups"][["member_loss", "angle"]], "groups have no finite loss or angle")
    return "; ".join(filter(None, [broken(t["controls"], ["largest_difference"]), groups]))


def no_such_time(place: int) -> Callable[[Tables], str]:
    """The reason why a claim on the kick time of that place is void."""

    def reason(t: Tables) -> str:
        """Claims are void where control twins differ from their parents, a group has no finite loss or angle, or there
        are fewer kick times."""
        return lost_groups(t) or ("" if place < len(t.params.kick_times) else "there are fewer kick times")

    return reason


def _kicked(t: Tables) -> pd.DataFrame:
    return t["groups"][t["groups"].time != INDEPENDENT]


def _parting(t: Tables, place: int) -> pd.DataFrame:
    """The groups whose members part at the kick time of that place in the order of times, by seed."""
    kicked, times = _kicked(t), t.params.kick_times
    return kicked[kicked.time == times[place]].set_index("seed").sort_index()


def _correlation(t: Tables, measure: str) -> Interval:
    """Rank correlation over a seed's kick times with the gain, mean over seeds."""
    seeds = _kicked(t).groupby("seed")
    return intervals.correlation([stats.spearmanr(own[measure], own.loss_gain).statistic for _, own in seeds])


def within_times(groups: pd.DataFrame, measure: str) -> Interval:
    """Rank correlation over the seeds of one kick time with the gain, mean over times; seeds are resampled."""
    table = np.stack([groups.pivot_table(name, "time", "seed").to_numpy() for name in (measure, "loss_gain")])

    def of(seeds: np.ndarray) -> float:
        ranks = stats.rankdata(table[:, :, seeds], axis=2)
        x, y = ranks - ranks.mean(2, keepdims=True)
        spread = np.sqrt((x**2).sum(1) * (y**2).sum(1))
        return float(((x * y).sum(1) / spread).mean()) if (spread > 0).all() else np.nan

    return intervals.resampled(of, table.shape[2], reach=CORRELATION)


def _gain(t: Tables, place: int) -> Interval:
    if place >= len(t.params.kick_times):
        return intervals.nothing(POSITIVE)
    strangers = t["groups"][t["groups"].time == INDEPENDENT].set_index("seed").sort_index()
    return intervals.ratio(_parting(t, place).loss_gain, strangers.loss_gain, FLOOR)


@study.claim(
    "B20",
    by="rank correlation over kick times of the angle (last hidden layer) and the gain in test loss",
    region=above(0.5),
    figure="b",
    origin=Origin.PAPER,
    place="second hand: summaries of the paper",
)
def apart_is_better(t: Tables) -> Interval:
    """The further apart a kick time leaves representations of twins (Angular CKA), the more an ensemble gains."""
    return _correlation(t, "angle")


@study.claim("B20b", by="rank correlation over times of disagreement and gain in loss", region=above(0.5), figure="b")
def unlike_is_better(t: Tables) -> Interval:
    """The more a kick time makes twins disagree, the more an ensemble of them gains."""
    return _correlation(t, "disagreement")


# Over kick times, all that parting early brings rises together; at one time only the measure itself can tell the gain.
@study.claim(
    "B20c", by="rank correlation over seeds, at one kick time, of the angle and the gain in loss; mean over times",
    region=above(0.0), figure="b", margin=0.3,
)  # fmt: skip
def apart_is_better_at_one_time(t: Tables) -> Interval:
    """Of groups that part at the same time, too, those gain more whose representations are further apart."""
    return within_times(_kicked(t), "angle")


@study.claim(
    "B20d", by="rank correlation over seeds, at one kick time, of disagreement and the gain in loss; mean over times",
    region=above(0.0), figure="b", margin=0.3,
)  # fmt: skip
def unlike_is_better_at_one_time(t: Tables) -> Interval:
    """Of groups that part at the same time, too, those gain more whose members disagree more."""
    return within_times(_kicked(t), "disagreement")


# A quarter more than 80 % is all of it.
@study.claim("X22", by=GAINS, region=above(0.8), figure="d", margin=1.25)
def early_twins_gain(t: Tables) -> Interval:
    """An ensemble of twins kicked at the start gains 80 % of what independent networks gain, or more."""
    return _gain(t, 0)


def _at(place: int) -> Callable[[Tables], Interval]:
    return lambda t: _gain(t, place)


for _place, _id in enumerate(("X23", "X23b", "X23c", "X23d"), start=1):
    _when = f"{{params.when[{_place}]}}"
    _says = f"An ensemble of twins that part at {_when} gains 80 % of what independent networks gain, or more"
    _rule = no_such_time(_place)
    study.claim(_id, _says, by=GAINS, region=above(0.8), figure="d", margin=1.25, unless=_rule)(_at(_place))


@study.claim("X24", by="ratio of calibration errors, ensemble to member, at the start", region=below(1.0), figure="a")
def better_calibrated(t: Tables) -> Interval:
    """Ensembles of early twins are better calibrated than their members."""
    start = _parting(t, 0)
    return intervals.ratio(start.probabilities_calibration, start.member_calibration, FLOOR)


# A fiftieth of a nat is less than two seeds differ by.
@study.claim(
    "X25", by="test loss, mean of logits minus of probabilities, at the start", region=above(0.0), figure="a",
    margin=0.02,
)  # fmt: skip
def probabilities_beat_logits(t: Tables) -> Interval:
    """For ensembles of early twins, averaging probabilities gives a lower test loss than averaging logits."""
    start = _parting(t, 0)
    return intervals.mean(start.logits_loss - start.probabilities_loss)


# Ten points: more than an ensemble of four could give back.
@study.claim(
    "X26", by="points of test accuracy, aligned average minus member, at the start", region=below(-10.0), figure="c",
    margin=10.0,
)  # fmt: skip
def early_averages_fail(t: Tables) -> Interval:
    """Averaging the weights of early twins costs more than ten points of accuracy, even after alignment."""
    start = _parting(t, 0)
    return intervals.mean(100 * (start.aligned_accuracy - start.member_accuracy), reach=(-100.0, 100.0))


@study.claim(
    "X27", by="points of test accuracy, average minus member, last time", region=above(-1.0), figure="c", margin=1.0
)
def late_averages_hold(t: Tables) -> Interval:
    """Averaging the weights of late twins costs less than one point of accuracy."""
    late = _parting(t, -1)
    return intervals.mean(100 * (late.average_accuracy - late.member_accuracy), reach=(-100.0, 100.0))
