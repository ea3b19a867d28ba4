"""Notebook 06: kicks at the start of fine-tuning, after more or less pretraining; and a language with dropout.

Networks learn some of the classes, and from several checkpoints on the others, with a new head. A small causal
transformer learns one made-up language, and from there another one or sums, with dropout that twins share or do not.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import claims, data, models
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import (
    EPSILON,
    PAPER,
    check_looks,
    check_times,
    chosen,
    groups,
    parent_rows,
    rising_sizes,
    rising_times,
    step_at,
    unless_broken,
)
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.perturb import Kick
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.strict import ParameterError
from butterfly.train import Fork, Observer, train

NOTEBOOK = "06_transfer"
TEXT = "text"  # the setting of the language
HALVES, UNEQUAL = ("first half to second", "second half to first"), ("many to few", "few to many")


class Params(Common):
    """Parameters of notebook 06; checkpoints and times are in percent of the steps, sizes in the initial scale."""

    settings: tuple[str, ...] = ("mnist1d",)  # the first is generated, a second one real
    steps: int | None = Field(200, gt=0)  # of pretraining; None: the setting's own
    tuning: float = Field(0.5, gt=0)  # steps of fine-tuning, as a fraction of those
    checkpoints: tuple[float, ...] = (0.0, 20.0, 100.0)
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    size: float = Field(1e-3, gt=0)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included
    texts: tuple[str, ...] = ("sums",)  # what the language model is fine-tuned on
    text_steps: int | None = Field(60, gt=0)
    text_seeds: int = Field(2, ge=1)
    text_times: tuple[float, ...] = (0.0, 50.0)
    text_sizes: tuple[float, ...] = (1e-4, 1e-2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        times = list(self.checkpoints)
        if len(times) < 3 or times != sorted(set(times)) or times[0] != 0 or times[-1] != 100:
            raise ValueError(f"checkpoints = {times}: give three or more rising percentages from 0 to 100")
        if not 1 <= len(set(self.settings)) == len(self.settings) <= 2 or TEXT in self.settings:
            raise ValueError(f"settings = {list(self.settings)}: give one or two different ones, of images or signals")
        for name in self.settings:
            chosen(name, None)
        rising_times("text_times", self.text_times)
        rising_sizes("text_sizes", self.text_sizes)
        if len(self.text_sizes) < 2 or len(self.text_times) < 2 or self.text_times[0] != 0:
            raise ValueError("give two or more text_sizes and two or more text_times from 0 on")
        known = ("language-b", "sums")
        if not self.texts or not set(self.texts) <= set(known) or len(set(self.texts)) < len(self.texts):
            raise ValueError(f"texts = {list(self.texts)}: give some of {', '.join(known)}, each once")
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """One shard for every setting, direction and few seeds; then one for every text and few seeds."""
    check_device(params.device)
    found = []
    for name in params.settings:
        setting = chosen(name, params.steps)
        check_looks(setting, params.checkpoints)
        _tuned(setting, params.tuning)
        for direction in (*HALVES, *UNEQUAL):
            for some in groups(params.seeds, params.seeds_per_shard):
                grid = {"name": name, "direction": direction, "checkpoints": list(params.checkpoints)}
                found.append(_config(params, setting, some) | grid)
    setting = chosen(TEXT, params.text_steps)
    check_times(_tuned(setting, params.tuning), params.text_times)
    for text in params.texts:
        for some in groups(params.text_seeds, params.seeds_per_shard):
            grid = {"text": text, "times": list(params.text_times), "sizes": list(params.text_sizes)}
            found.append(_config(params, setting, some) | grid)
    return found


def _config(params: Params, setting: Setting, seeds: list[int]) -> Config:
    grid = params.model_dump(mode="json", include={"tuning", "size", "points", "device"})
    common = {"setting": setting.model_dump(mode="json"), "source": data.provenance(setting.data)}
    return {**common, **grid, "seeds": seeds}


def _tuned(setting: Setting, tuning: float) -> Setting:
    steps = round(tuning * setting.recipe.steps)
    if steps < 2:
        raise ParameterError(f"tuning = {tuning} of {setting.recipe.steps} steps leaves none; give more of either")
    return setting.model_copy(update={"recipe": setting.recipe.model_copy(update={"steps": steps})})


def compute_shard(config: Config) -> Arrays:
    """Pretrain, fine-tune, kick and compare; arrays over the twins `[K]`."""
    return _texts(config) if "text" in config else _classes(config)


def classes_of(direction: str, count: int) -> tuple[list[int], list[int]]:
    """The classes of the first and of the second task, of `count` in all."""
    cut = count // 2 if direction in HALVES else round(0.7 * count)
    low, high = list(range(cut)), list(range(cut, count))
    return (low, high) if direction in (HALVES[0], UNEQUAL[0]) else (high, low)


def _classes(config: Config) -> Arrays:
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"])
    first, second = (data.of_classes(task, some) for some in classes_of(config["direction"], task.classes))
    tuned = _tuned(setting, config["tuning"])
    seen = _pretrain(setting, first, seeds, config["checkpoints"])
    forks = [Fork(seed, 0, Kick(size=size)) for size in (0.0, config["size"]) for seed in seeds]
    rows = []
    for time, theta in zip(config["checkpoints"], seen, strict=True):
        rows.append({"checkpoint": np.full(len(forks), time)} | _tune(tuned, second, theta, first, forks, config))
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _texts(config: Config) -> Arrays:
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    first, second = (data.load(name).to(config["device"]) for name in (setting.data, config["text"]))
    tuned = _tuned(setting, config["tuning"])
    (theta,) = _pretrain(setting, first, seeds, [100.0])
    cells = [(0.0, 0.0, ""), *((time, size, "") for time in config["times"] for size in config["sizes"])]
    cells += [(0.0, size, "dropout") for size in (0.0, config["sizes"][-1])]
    forks = [Fork(seed, step_at(tuned, t), Kick(size=size), noise) for t, size, noise in cells for seed in seeds]
    return _tune(tuned, second, theta, first, forks, config)


def _pretrain(setting: Setting, task: Data, seeds: Sequence[int], checkpoints: Sequence[float]) -> list[Tensor]:
    """Networks `[S, P]` at every checkpoint."""
    model = models.build(setting.model, task.input_shape, task.classes)
    looks = [step_at(setting, time) for time in checkpoints]
    copy = Observer("copy", lambda now: now.theta.clone(), frozenset(looks))
    return [theta for _, theta in train(model, task, setting.recipe, seeds, observers=[copy]).recorded("copy")]


def with_new_head(source: Model, theta: Tensor, target: Model, seeds: Sequence[int]) -> Tensor:
    """The networks `theta [S, P]` with a freshly initialised last layer for the classes of `target` `[S, Q]`."""
    fresh = target.init([*seeds]).to(theta)
    kept, tensors = source.layout.tensors(theta), target.layout.tensors(fresh)
    for p in target.layout.parameters[:-2]:  # the last two are the weights and biases of the head
        tensors[p.name].copy_(kept[p.name])
    return fresh


def _tune(tuned: Setting, task: Data, theta: Tensor, before: Data, forks: list[Fork], config: Config) -> Arrays:
    """Fine-tune from `theta`, fork, and compare every twin with its parent."""
    seeds = config["seeds"]
    source = models.build(tuned.model, before.input_shape, before.classes)
    model = models.build(tuned.model, task.input_shape, task.classes)
    run = train(model, task, tuned.recipe, seeds, forks, init=with_new_head(source, theta, model, seeds))
    a, b = run.theta[parent_rows(run.members)], run.theta[len(seeds) :]
    found = barriers(model, a, b, task.x, task.y, config["points"])
    _, error = evaluate(model, a, task.x_test, task.y_test)
    made = [member.fork for member in run.members if member.fork is not None]
    return {
        "seed": np.array([fork.seed for fork in made]),
        "time": np.array([100 * fork.step / tuned.recipe.steps for fork in made]),
        "size": np.array([fork.kick.size for fork in made]),
        "matched": np.array([not fork.unmatched for fork in made]),
        "largest_difference": (b - a).abs().amax(1).cpu().numpy(),
        "distance": (b - a).norm(dim=1).cpu().numpy(),
        "barrier": found.of_loss.numpy(),
        "loss": found.loss[:, 0].numpy(),
        "accuracy": 1 - error.cpu().numpy(),
    }


def _cost(config: Config) -> float:
    recipe = Setting.read(config["setting"], "setting").recipe
    return float(len(config["seeds"]) * recipe.steps * recipe.batch_size * (10 if "text" in config else 1))


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables: `classes` (setting, direction, checkpoint, seed), `texts` (text, seed, time, size, matched)."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    classes, texts = [], []
    for config, arrays in zip(configs, compute(compute_shard, configs, _cost), strict=True):
        one = pd.DataFrame(arrays)
        one["kind"] = np.where(one.matched & (one["size"] == 0), "control", "twin")
        if "text" in config:
            texts.append(one.assign(text=config["text"]))
        else:
            classes.append(one.assign(setting=config["name"], direction=config["direction"]))
    return Tables(classes=pd.concat(classes, ignore_index=True), texts=pd.concat(texts, ignore_index=True))


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "B17": Region(high=1.0),
    "B17b": Region(high=1.0),
    "B18": Region(high=1.0),
    "B18b": Region(high=1.0),
    "B19": Region(0.0, 0.0),
    "B19b": Region(low=0.5),
    "B19c": Region(low=0.8),
    "B19d": Region(0.8, 1.25),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook; classes on the first setting and, with an `r` for real data, on the second."""
    made = []
    for name, suffix in zip(params.settings, ("", "r"), strict=False):
        made += _of_classes(tables["classes"].query("setting == @name"), name, suffix)
    return made + _of_texts(tables["texts"])


def _of_classes(one: pd.DataFrame, name: str, suffix: str) -> list[Claim]:
    kicked = one[one.kind == "twin"].assign(height=lambda t: np.log(t.barrier + EPSILON))
    table = kicked.pivot(index=["seed", "direction"], columns="checkpoint", values="height")
    halves = table[table.index.get_level_values("direction").isin(HALVES)].groupby("seed").mean()
    gained = table[100.0] - table[0.0]
    directions, relative = (values.unstack("direction") for values in (table[100.0], gained))
    made = [
        (
            "B17",
            "Pretraining makes fine-tuning more stable",
            "ratio of barriers, full pretraining to none, kicks at the start of fine-tuning, both halves",
            halves[100.0] - halves[0.0],
        ),
        (
            "B17b",
            "and more pretraining makes it more so",
            "factor from one checkpoint of pretraining to the next, without the start",
            _trend(halves.drop(columns=0.0)),
        ),
        (
            "B18",
            "From many classes to few, fine-tuning is more stable than from few to many",
            "ratio of the barriers after full pretraining",
            directions[UNEQUAL[0]] - directions[UNEQUAL[1]],
        ),
        (
            "B18b",
            "and pretraining on many classes gains more than on few",
            "ratio of those barriers, each over that without pretraining",
            relative[UNEQUAL[0]] - relative[UNEQUAL[1]],
        ),
    ]
    found = [
        _claim(
            id + suffix, statement + (f" ({name})" if suffix else ""), statistic, claims.geometric_mean(np.exp(logs))
        )
        for id, statement, statistic, logs in made
    ]
    return unless_broken(found, one, ["barrier", "loss"])


def _trend(table: pd.DataFrame) -> pd.Series:
    """Slope of log barriers on the number of the checkpoint, for each seed."""
    return pd.Series(claims.slopes(range(table.shape[1]), table.to_numpy()), index=table.index)


def _of_texts(texts: pd.DataFrame) -> list[Claim]:
    control, kicked = (texts[texts.matched & (texts.kind == kind)] for kind in ("control", "twin"))
    unmatched = texts[~texts.matched]
    heights = np.log(texts.barrier + EPSILON)
    largest = kicked[(kicked.time == 0) & (kicked["size"] == kicked["size"].max())]
    none, most = (unmatched[unmatched["size"] == size] for size in (0.0, kicked["size"].max()))
    floor, parted, both = (heights[one.index].groupby(one.seed).mean() for one in (none, largest, most))
    made = [
        (
            "B19",
            "Language with dropout: twins that share their dropout masks stay identical without a kick",
            "largest difference of any weight over all control twins",
            claims.exact(float(control.largest_difference.max(skipna=False)), control.seed.nunique()),
        ),
        (
            "B19b",
            "with shared masks, twins further apart have higher barriers",
            "rank correlation of L2 distance and barrier over sizes and times, mean over texts",
            claims.mean(_relation(kicked)),
        ),
        (
            "B19c",
            "With unmatched masks twins part without a kick, as far as shared ones after the largest kick or further",
            "ratio of the barriers, unmatched and no kick to shared and the largest at the start, both texts",
            claims.geometric_mean(np.exp(floor - parted)),
        ),
        (
            "B19d",
            "and the size of a kick no longer matters",
            "ratio of the barriers with unmatched masks, largest kick to none, both texts",
            claims.geometric_mean(np.exp(both - floor)),
        ),
    ]
    found = [_claim(*one) for one in made]
    return [found[0], *unless_broken(found[1:], texts, ["barrier", "loss"])]


def _relation(kicked: pd.DataFrame) -> list[float]:
    each = {key: stats.spearmanr(one.distance, one.barrier).statistic for key, one in kicked.groupby(["seed", "text"])}
    return pd.Series(each).groupby(level=0).agg(lambda texts: texts.mean(skipna=False)).to_list()


def _claim(id: str, statement: str, statistic: str, interval: claims.Interval) -> Claim:
    return claims.claim(id, NOTEBOOK, statement, PAPER, statistic, MARGINS[id.removesuffix("r")], interval)
