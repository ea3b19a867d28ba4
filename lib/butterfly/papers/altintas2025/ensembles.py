"""Notebook 07: ensembles and averages of networks that part at a kick, against independently seeded ones.

The members of a group are a parent and its twins, all kicked at one time, each in another direction. Their answers are
averaged, and their weights.
"""

from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import align, claims, data, models, represent
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import calibration_error, evaluate, logits
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import (
    PAPER,
    check_times,
    chosen,
    every_few,
    rising_times,
    step_at,
    unless_broken,
    unless_lost,
)
from butterfly.models import Model
from butterfly.perturb import Kick
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.train import Fork, train

NOTEBOOK = "07_ensembles"
OURS = "this companion"
OTHER = 100_000  # seeds of the independent networks start here, as many apart
INDEPENDENT = -1.0  # the "kick time" of networks that never had anything in common


class Params(Common):
    """Parameters of notebook 07; times are in percent of the training steps."""

    setting: str = "mnist1d"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    members: int = Field(3, ge=2)  # of a group, the parent counted
    kick_times: tuple[float, ...] = (0.0, 10.0, 50.0)
    size: float = Field(1e-2, gt=0)
    examples: int = Field(300, ge=20)  # for Angular CKA
    restarts: int = Field(1, ge=1)  # of weight matching

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 3:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and two or more later times")
        chosen(self.setting, None)
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every few seeds."""
    check_device(params.device)
    setting = chosen(params.setting, params.steps)
    check_times(setting, params.kick_times)
    return every_few(params, setting)


def compute_shard(config: Config) -> Arrays:
    """Train all groups of some seeds `[S]` at every time `[T]`, independent networks last, and average them.

    Every value is `[T, S]`: of single members, of the mean of logits and of probabilities, of the mean of weights plain
    and aligned to the parent; and how far apart the members are.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    times, others = config["kick_times"], range(1, config["members"])
    strangers = [seed + k * OTHER for k in others for seed in seeds]
    forks = [
        Fork(seed, step_at(setting, time), Kick(size=config["size"], draw=draw))
        for time in times
        for draw in others
        for seed in seeds
    ]
    controls = [Fork(seed, 0, Kick()) for seed in seeds]
    run = train(model, task, setting.recipe, [*seeds, *strangers], [*controls, *forks])
    # Twins stand behind all parents in the order of their steps, the controls first.
    count, parents = len(seeds), len(seeds) * config["members"]
    strange, twins = run.theta[count:parents], run.theta[parents + count :]
    every = torch.cat([twins, strange]).view(len(times) + 1, len(others), count, -1)
    first = run.theta[:count].expand(len(times) + 1, 1, -1, -1)
    grouped = torch.cat([first, every], 1)  # [T + 1, members, S, P]
    measured = [_measure(model, task, group.transpose(0, 1), config) for at in grouped for group in at.split(1, dim=1)]
    found = {name: np.array([one[name] for one in measured]).reshape(len(times) + 1, count) for name in measured[0]}
    gone = (run.theta[parents : parents + count] - run.theta[:count]).abs().amax(1).cpu().numpy()
    return {**found, "largest_difference": gone}


def _measure(model: Model, task: Data, group: Tensor, config: Config) -> dict[str, float]:
    """Everything about one group of networks `[1, members, P]`."""
    members = group[0]
    each = logits(model, members, task.x_test)  # [members, N, C]
    means = {"logits": each.double().mean(0), "probabilities": each.double().softmax(2).mean(0).log()}
    found = {
        **_scores("member", [_score(one.double(), task.y_test) for one in each]),
        **{k: v for name, mean in means.items() for k, v in _scores(name, [_score(mean, task.y_test)]).items()},
    }
    apart = [represent.disagreement(each[i], each[j]) for i, j in _pairs(len(members))]
    hidden = list(model.features(members, task.x_test[: config["examples"]]).values())[-2].flatten(2)
    angles = represent.angle(represent.cka(list(hidden)))
    others = len(members) - 1
    matched = align.weight_matching(model.layout, members[:1].expand(others, -1), members[1:], config["restarts"])
    aligned = torch.cat([members[:1], align.permute(model.layout, members[1:], matched.permutation)])
    for name, stack in (("average", members), ("aligned", aligned)):
        loss, error = evaluate(model, stack.mean(0, keepdim=True), task.x_test, task.y_test)
        found |= {f"{name}_loss": float(loss), f"{name}_accuracy": 1 - float(error)}
    return {
        **found,
        "disagreement": float(torch.stack(apart).mean()),
        "angle": float(torch.stack([angles[i, j] for i, j in _pairs(len(members))]).mean()),
    }


def _pairs(members: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(members) for j in range(i + 1, members)]


def _score(answers: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Loss, accuracy and calibration error of logits `[N, C]`."""
    loss = torch.nn.functional.cross_entropy(answers, y)
    return float(loss), float((answers.argmax(1) == y).double().mean()), float(calibration_error(answers, y))


def _scores(name: str, scores: list[tuple[float, float, float]]) -> dict[str, float]:
    loss, accuracy, calibration = np.mean(scores, axis=0)
    return {f"{name}_loss": loss, f"{name}_accuracy": accuracy, f"{name}_calibration": calibration}


def _cost(config: Config) -> float:
    return float(len(config["seeds"]))


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables: `groups`, a row a seed and kick time (`INDEPENDENT`: of different seeds), and `controls`."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    found, controls = [], []
    for config, arrays in zip(configs, compute(compute_shard, configs, _cost), strict=True):
        gone = arrays.pop("largest_difference")
        times = [*config["kick_times"], INDEPENDENT]
        index = pd.MultiIndex.from_product([times, config["seeds"]], names=["time", "seed"])
        found.append(pd.DataFrame({name: a.ravel() for name, a in arrays.items()}, index=index).reset_index())
        controls.append(pd.DataFrame({"seed": config["seeds"], "kind": "control", "largest_difference": gone}))
    tables = Tables(groups=pd.concat(found, ignore_index=True), controls=pd.concat(controls, ignore_index=True))
    one = tables["groups"].assign(setting=params.setting, members=params.members)
    one["gain"] = one.probabilities_accuracy - one.member_accuracy  # of the ensemble over its members
    one["loss_gain"] = one.member_loss - one.probabilities_loss
    # A member that parts at t shares the way to there; the parent is trained anyway.
    one["cost"] = 1 + (params.members - 1) * (1 - one.time.clip(lower=0) / 100)
    return Tables(groups=one, controls=tables["controls"])


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "B20": Region(low=0.5),
    "B20b": Region(low=0.5),
    "X22": Region(low=0.8),
    "X23": Region(low=0.8),
    "X24": Region(high=1.0),
    "X25": Region(low=0.0),
    "X26": Region(high=-2.0),
    "X27": Region(low=-1.0),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook; a unit is a seed."""
    every = tables["groups"]
    kicked, strangers = every[every.time != INDEPENDENT], every[every.time == INDEPENDENT].set_index("seed")
    by_time = {time: one.set_index("seed") for time, one in kicked.groupby("time")}
    start, late = by_time[0.0], by_time[kicked.time.max()]
    early = by_time[sorted(by_time)[1]]
    made = [
        (
            "B20",
            "The further apart the representations of twins (Angular CKA), the more an ensemble of them gains",
            "rank correlation over kick times of the angle (last hidden layer) and the gain in test loss",
            claims.mean(_correlations(kicked, "angle")),
        ),
        (
            "B20b",
            "The more twins disagree, the more an ensemble of them gains",
            "rank correlation over kick times of disagreement and the gain in test loss",
            claims.mean(_correlations(kicked, "disagreement")),
        ),
        (
            "X22",
            "An ensemble of twins kicked at the start gains as much as one of independent networks",
            "ratio of the gains in test loss",
            claims.geometric_mean(start.loss_gain / strangers.loss_gain),
        ),
        (
            "X23",
            f"So do members that part at {early.time.iloc[0]:g} % of training",
            "ratio of the gain in test loss to that of independent networks",
            claims.geometric_mean(early.loss_gain / strangers.loss_gain),
        ),
        (
            "X24",
            "Ensembles of early twins are better calibrated than their members",
            "ratio of the calibration errors, mean of probabilities over single member, kicks at the start",
            claims.geometric_mean(start.probabilities_calibration / start.member_calibration),
        ),
        (
            "X25",
            "Averaging probabilities gives a lower test loss than averaging logits",
            "test loss of the mean of logits minus that of probabilities, kicks at the start",
            claims.mean(start.logits_loss - start.probabilities_loss),
        ),
        (
            "X26",
            "Averaging the weights of early twins destroys them, even after alignment",
            "test accuracy of the aligned average minus that of single members, kicks at the start, points",
            claims.mean(100 * (start.aligned_accuracy - start.member_accuracy)),
        ),
        (
            "X27",
            "Averaging the weights of late twins costs nothing",
            f"test accuracy of the plain average minus that of members, kicks at {late.time.iloc[0]:g} %, points",
            claims.mean(100 * (late.average_accuracy - late.member_accuracy)),
        ),
    ]
    found = [
        claims.claim(id, NOTEBOOK, statement, PAPER if id.startswith("B") else OURS, statistic, MARGINS[id], interval)
        for id, statement, statistic, interval in made
    ]
    found = unless_broken(found, tables["controls"], ["largest_difference"])
    return unless_lost(found, every[["member_loss", "angle"]], "groups have no finite loss or angle")


def _correlations(kicked: pd.DataFrame, measure: str) -> list[float]:
    return [stats.spearmanr(one[measure], one.loss_gain).statistic for _, one in kicked.groupby("seed")]
