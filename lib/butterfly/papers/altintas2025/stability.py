"""Notebook 05: what makes training stable, at equal final loss.

Arms differ from a reference in one thing. Each arm first finds, on pilot seeds, the number of updates after which it
ends at the reference's training loss; then its seeds are trained and kicked like those of the reference.
"""

from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats

from butterfly import align, claims, data, models
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import (
    EPSILON,
    PAPER,
    check_times,
    chosen,
    groups,
    parent_rows,
    rising_times,
    step_at,
    unless_broken,
)
from butterfly.interpolate import barriers
from butterfly.perturb import Kick
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.train import Fork, Observer, learning_rate, train

NOTEBOOK = "05_stability"
OURS = "this companion"
REFERENCE = "reference"
PILOTS = 200_000  # seeds of the pilots start here: no network is judged by the runs that set its budget
NOISE = 0.1  # fraction of the training labels that the arm with label noise moves
# Multiples of the reference's updates that pilots try; those of the other arms are USUAL.
MULTIPLES = {"batch x4": (0.15, 0.22, 0.32, 0.48), "label noise": (1.0, 2.0, 4.0)}
USUAL = (0.2, 0.4, 0.8, 1.6)
MATCHED = 1.5  # final losses within this factor count as equal

# Other architectures by setting; "wide-shallow" has as many parameters as the reference, to half a percent.
SHAPES = {
    "mnist1d": {
        "wider": "mlp-4x128",
        "shallower": "mlp-2x64",
        "wide-shallow": "mlp-2x102",
        "normalised": "mlp-4x64-norm",
    },
    "digits": {
        "wider": "mlp-2x128",
        "shallower": "mlp-1x64",
        "wide-shallow": "mlp-1x119",
        "normalised": "mlp-2x64-norm",
    },
    "cifar10-small": {"wider": "resnet8-32"},
    "cifar10-paper": {"wider": "resnet20-64", "shallower": "resnet8-32", "wide-shallow": "resnet8-60"},
}
ADAMW = {"mnist1d": 0.02, "digits": 0.01, "cifar10-small": 3e-3, "cifar10-paper": 3e-3}  # peak learning rates
RECIPES = ("batch x4", "learning rate / 3", "warm-up x10", "weight decay", "AdamW", "label noise")
ARMS = (REFERENCE, "wider", "shallower", "wide-shallow", "normalised", *RECIPES)
CLOCKS = ("percent", "step", "examples", "cumulative_lr")


class Params(Common):
    """Parameters of notebook 05; times are in percent of the updates of each arm, sizes in its initial scale."""

    settings: tuple[str, ...] = ("mnist1d",)  # the first is generated, a second one real
    steps: int | None = Field(200, gt=0)  # of the reference; None: the setting's own
    arms: tuple[str, ...] = (REFERENCE, "wide-shallow", "warm-up x10")
    pilots: int = Field(2, ge=1)
    seeds: int = Field(3, ge=1)
    seeds_per_shard: int = Field(3, ge=1)
    kick_times: tuple[float, ...] = (0.0, 5.0, 25.0)
    size: float = Field(1e-3, gt=0)
    points: int = Field(5, ge=3)  # networks on each straight line, ends included

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 3:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and two or more later times")
        if not 1 <= len(set(self.settings)) == len(self.settings) <= 2 or not set(self.settings) <= set(SHAPES):
            raise ValueError(f"settings = {list(self.settings)}: give one or two of {', '.join(SHAPES)}")
        if not set(self.arms) <= set(ARMS) or len(set(self.arms)) < len(self.arms) or REFERENCE not in self.arms:
            raise ValueError(f"arms = {list(self.arms)}: give '{REFERENCE}' and others of {', '.join(ARMS)}, each once")
        return self


# --- arms ------------------------------------------------------------------------------------------------------------


def arms(params: Params, name: str) -> dict[str, Setting]:
    """The arms of a setting, all with the steps of the reference; what a setting has no shape for is left out."""
    base = chosen(name, params.steps, warmup=0.02, weight_decay=0.0)
    lr, batch = base.recipe.lr, base.recipe.batch_size
    recipes = {
        "batch x4": {"batch_size": 4 * batch},
        "learning rate / 3": {"lr": lr / 3},
        "warm-up x10": {"warmup": 0.2},
        # The authors' 1e-4 shrinks weights by 10 % over their 20,000 updates; this does over a few hundred or thousand.
        "weight decay": {"weight_decay": 0.2 / (lr * base.recipe.steps)},
        "AdamW": {"optimizer": "adamw", "lr": ADAMW[name]},
        "label noise": {},
    }
    shapes = {REFERENCE: base.model} | SHAPES[name]
    made = {arm: base.model_copy(update={"model": model}) for arm, model in shapes.items()}
    made |= {arm: _with(base, **changes) for arm, changes in recipes.items()}
    return {arm: made[arm] for arm in made if arm in params.arms}  # the reference first


def _with(setting: Setting, **changes: object) -> Setting:
    return setting.model_copy(update={"recipe": setting.recipe.model_copy(update=changes)})


def _config(params: Params, name: str, arm: str, setting: Setting, seeds: list[int]) -> Config:
    return {
        "setting": setting.model_dump(mode="json"),
        "source": data.provenance(setting.data),
        "noise": NOISE if arm == "label noise" else 0.0,
        "seeds": seeds,
        "device": params.device,
    }


def _task(config: Config, setting: Setting) -> Data:
    task = data.load(setting.data)
    if config["noise"]:
        task, _ = data.with_label_noise(task, config["noise"], seed=0)
    return task.to(config["device"])


# --- budgets ---------------------------------------------------------------------------------------------------------


def pilots(params: Params) -> list[tuple[str, str, Config]]:
    """For every setting and arm, the pilots at every multiple of the reference's updates; the reference at 1 only."""
    check_device(params.device)
    seeds = [PILOTS + place for place in range(params.pilots)]
    found = []
    for name in params.settings:
        for arm, setting in arms(params, name).items():
            multiples = (1.0,) if arm == REFERENCE else MULTIPLES.get(arm, USUAL)
            config = _config(params, name, arm, setting, seeds)
            found.append((name, arm, config | {"budgets": [_steps(setting, multiple) for multiple in multiples]}))
    return found


def _steps(setting: Setting, multiple: float) -> int:
    return max(2, round(multiple * setting.recipe.steps))


def pilot_shard(config: Config) -> Arrays:
    """Training loss at the end of runs of each length `[budgets, pilots]`."""
    setting = Setting.read(config["setting"], "setting")
    task = _task(config, setting)
    model = models.build(setting.model, task.input_shape, task.classes)
    losses = []
    for steps in config["budgets"]:
        theta = train(model, task, _with(setting, steps=steps).recipe, config["seeds"]).theta
        losses.append(evaluate(model, theta, task.x, task.y)[0].cpu().numpy())
    return {"budgets": np.array(config["budgets"]), "losses": np.array(losses)}


def budget(steps: np.ndarray, losses: np.ndarray, target: float) -> int:
    """The number of updates that ends at the loss `target`: between the pilots, on logarithmic scales, or the nearest.

    `losses [steps]` are made falling first, so that there is one answer. If the reference is lost, the longest.
    """
    if not np.isfinite(target):
        return int(steps[-1])
    falling = np.minimum.accumulate(np.log(np.nan_to_num(losses, nan=1e3)))
    return round(float(np.exp(np.interp(-np.log(target), -falling, np.log(steps)))))


def _budgets(params: Params) -> pd.DataFrame:
    """Every pilot and what follows: setting, arm, steps tried, geometric mean loss, the budget."""
    plan = pilots(params)
    results = compute(pilot_shard, [config for _, _, config in plan], _pilot_cost)
    rows = []
    for (name, arm, _), found in zip(plan, results, strict=True):
        means = np.exp(np.log(found["losses"]).mean(1))
        if arm == REFERENCE:
            target = means[0]
        chosen_steps = int(found["budgets"][0]) if arm == REFERENCE else budget(found["budgets"], means, target)
        one = pd.DataFrame({"steps": found["budgets"], "loss": means})
        rows.append(one.assign(setting=name, arm=arm, budget=chosen_steps, target=target))
    return pd.concat(rows, ignore_index=True)


def _pilot_cost(config: Config) -> float:
    return float(sum(config["budgets"]) * len(config["seeds"]))


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params, budgets: pd.DataFrame) -> list[tuple[str, str, Config]]:
    """One shard for every few seeds of every arm, trained for its budget."""
    found = []
    for name in params.settings:
        for arm, setting in arms(params, name).items():
            here = budgets[(budgets.setting == name) & (budgets.arm == arm)]
            fitted = _with(setting, steps=int(here.budget.iloc[0]))
            check_times(fitted, params.kick_times)
            grid = params.model_dump(mode="json", include={"kick_times", "size", "points"})
            for some in groups(params.seeds, params.seeds_per_shard):
                found.append((name, arm, _config(params, name, arm, fitted, some) | grid))
    return found


def compute_shard(config: Config) -> Arrays:
    """Train the seeds of an arm with one twin a kick time and a control, and compare; arrays over the twins `[K]`."""
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = _task(config, setting)
    model = models.build(setting.model, task.input_shape, task.classes)
    cells = [(seed, 0.0, 0.0) for seed in seeds]
    cells += [(seed, time, config["size"]) for time in config["kick_times"] for seed in seeds]
    forks = [Fork(seed, step_at(setting, time), Kick(size=size)) for seed, time, size in cells]
    loose = Observer(
        "loose", lambda now: align.looseness(model.layout, now.theta[: len(seeds)]), frozenset(f.step for f in forks)
    )
    run = train(model, task, setting.recipe, seeds, forks, [loose])
    looseness = dict(run.recorded("loose"))
    parents, twins = run.theta[parent_rows(run.members)], run.theta[len(seeds) :]
    found = barriers(model, parents, twins, task.x, task.y, config["points"])
    _, error = evaluate(model, parents, task.x_test, task.y_test)
    steps = np.array([fork.step for fork in forks])
    rates = np.cumsum([0.0, *(learning_rate(setting.recipe, step) for step in range(setting.recipe.steps))])
    return {
        "seed": np.array([seed for seed, _, _ in cells]),
        "time": np.array([time for _, time, _ in cells]),
        "kind": np.array(["twin" if size else "control" for _, _, size in cells]),
        "step": steps,
        "examples": steps * setting.recipe.batch_size,
        "cumulative_lr": rates[steps],
        "largest_difference": (twins - parents).abs().amax(1).cpu().numpy(),
        "distance": (twins - parents).norm(dim=1).cpu().numpy(),
        "barrier": found.of_loss.numpy(),
        "looseness": np.array([float(looseness[fork.step][seeds.index(fork.seed)]) for fork in forks]),
        "loss": found.loss[:, 0].numpy(),
        "accuracy": 1 - error.cpu().numpy(),
    }


def _cost(config: Config) -> float:
    recipe = Setting.read(config["setting"], "setting").recipe
    return float(len(config["seeds"]) * recipe.steps * recipe.batch_size)


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables: `budgets` (setting, arm, steps tried), `twins` (setting, arm, seed, time), `effects`, `losses`."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    budgets = _budgets(params)
    plan = shards(params, budgets)
    results = compute(compute_shard, [config for _, _, config in plan], _cost)
    twins = pd.concat(
        [
            pd.DataFrame(found).assign(setting=name, arm=arm)
            for (name, arm, _), found in zip(plan, results, strict=True)
        ],
        ignore_index=True,
    )
    return Tables(budgets=budgets, twins=twins, effects=effects(twins), losses=losses(twins))


def losses(twins: pd.DataFrame) -> pd.DataFrame:
    """Final training loss and test accuracy of each arm, and the ratio of its loss to the reference's."""
    control = twins[twins.kind == "control"]
    found = control.groupby(["setting", "arm"], sort=False).agg(
        loss=("loss", lambda loss: np.exp(np.log(loss).mean())),
        accuracy=("accuracy", "mean"),
        seeds=("seed", "nunique"),
    )
    reference = found.loss.xs(REFERENCE, level="arm")
    found["ratio"] = found.loss / reference.reindex(found.index.get_level_values("setting")).to_numpy()
    return found.reset_index()


def effects(twins: pd.DataFrame) -> pd.DataFrame:
    """How many times higher the barrier of each arm is than the reference's: setting, arm, clock, seed, log ratio.

    `start`: kicks at 0. Otherwise the mean over later times, each compared at an equal reading of a clock: percent of
    the updates, updates, examples seen, or summed learning rate. Between kick times, log barriers are interpolated on
    the logarithm of the clock; only readings that both arms reach count. NaN where there are none.
    """
    rows = []
    kicked = twins[twins.kind == "twin"].assign(percent=lambda t: t.time, height=lambda t: np.log(t.barrier + EPSILON))
    for (setting, seed), one in kicked.groupby(["setting", "seed"], sort=False):
        reference = one[one.arm == REFERENCE]
        for arm in one.arm.unique():
            own = one[one.arm == arm]
            found = {"start": float(_start(own) - _start(reference))}
            found |= {clock: _later(own, reference, clock) for clock in CLOCKS}
            if arm == "AdamW":
                found["cumulative_lr"] = np.nan  # its learning rates are in other units
            rows += [(setting, arm, clock, seed, value) for clock, value in found.items()]
    return pd.DataFrame(rows, columns=["setting", "arm", "clock", "seed", "log_ratio"])


def _start(one: pd.DataFrame) -> float:
    return one[one.time == 0].height.iloc[0]


def _later(own: pd.DataFrame, reference: pd.DataFrame, clock: str) -> float:
    """Mean difference of log barriers after the start, over ten readings that both reach."""
    own, reference = (one[one.time > 0].sort_values(clock) for one in (own, reference))
    low = max(own[clock].min(), reference[clock].min())
    high = min(own[clock].max(), reference[clock].max())
    if not low < high:
        return np.nan
    at = np.linspace(np.log(low), np.log(high), 10)
    values = [np.interp(at, np.log(one[clock]), one.height) for one in (own, reference)]
    return float((values[0] - values[1]).mean())


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG. (arm, clock, region, statement)
CLAIMS = {
    "B08": (
        "wide-shallow",
        "start",
        Region(high=1.0),
        "At equal parameters, a wide and shallow network is more stable",
    ),
    "B09": ("warm-up x10", "percent", Region(high=1.0), "A ten times longer warm-up makes early training more stable"),
    "B09b": (
        "warm-up x10",
        "start",
        Region(0.8, 1.25),
        "A longer warm-up does not change what a kick at the start does",
    ),
    "B09c": (
        "warm-up x10",
        "cumulative_lr",
        Region(high=1.0),
        "A longer warm-up is more stable also where as much learning rate has been spent",
    ),
    "B10": ("AdamW", "percent", Region(low=1.0), "AdamW is less stable than SGD"),
    "B10b": ("weight decay", "percent", Region(low=1.0), "Weight decay makes training less stable"),
    "B11": ("batch x4", "step", Region(high=1.0), "Batches four times as large are more stable, counted in updates"),
    "B11b": (
        "batch x4",
        "examples",
        Region(high=1.0),
        "Batches four times as large are more stable, counted in examples",
    ),
    "B11c": (
        "batch x4",
        "cumulative_lr",
        Region(high=1.0),
        "Batches four times as large are more stable, counted in summed learning rate",
    ),
    "X18": ("learning rate / 3", "percent", Region(high=1.0), "A smaller learning rate is more stable"),
    "X19": ("label noise", "percent", Region(low=1.0), "Label noise makes training less stable"),
    "X20": ("wider", "percent", Region(high=1.0), "Wider networks are more stable"),
    "X21": ("normalised", "percent", Region(high=1.0), "Normalised networks are more stable"),
}
WHERE = {
    "start": "kicks at the start",
    "percent": "later kicks at equal percent of the updates",
    "step": "later kicks at equal numbers of updates",
    "examples": "later kicks at equal numbers of examples",
    "cumulative_lr": "later kicks at equal summed learning rate",
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook, on the first setting and, with an `r` for real data, on the second."""
    made = []
    for name, suffix in zip(params.settings, ("", "r"), strict=False):
        made += [_judge(id, tables, name, suffix) for id in CLAIMS]
        made += _permutability(tables["twins"], name, suffix)
    return made


def _judge(id: str, tables: Tables, name: str, suffix: str) -> Claim:
    arm, clock, region, statement = CLAIMS[id]
    effects, losses = tables["effects"], tables["losses"]
    logs = effects[(effects.setting == name) & (effects.arm == arm) & (effects.clock == clock)].log_ratio
    made = claims.claim(
        id + suffix,
        NOTEBOOK,
        statement + (f" ({name})" if suffix else ""),
        OURS if id.startswith("X") else PAPER,
        f"ratio of the barrier, arm '{arm}' to the reference, {WHERE[clock]}",
        region,
        claims.geometric_mean(np.exp(logs)),
    )
    twins = tables["twins"]
    own = twins[(twins.setting == name) & twins.arm.isin([arm, REFERENCE])]
    (made,) = unless_broken([made], own, ["barrier", "loss"])
    missed = losses[(losses.setting == name) & (losses.arm == arm) & ~matched(losses)]
    if len(missed):
        (made,) = claims.void([made], f"the arm ends at {missed.ratio.iloc[0]:.2g} times the reference's training loss")
    return made


def _permutability(twins: pd.DataFrame, name: str, suffix: str) -> list[Claim]:
    """B23, a conjecture of the authors' workshop paper, on the reference."""
    own = twins[(twins.setting == name) & (twins.arm == REFERENCE)]
    each = [one for _, one in own[own.kind == "twin"].groupby("seed")]
    told = f" ({name})" if suffix else ""
    made = [
        claims.claim(
            "B23" + suffix,
            NOTEBOOK,
            "The units of a network become harder to exchange as it trains" + told,
            PAPER,
            "rank correlation of kick time and looseness: entropy of the Sinkhorn plan onto itself over the identity's",
            Region(high=-0.8),
            claims.mean([stats.spearmanr(one.time, one.looseness).statistic for one in each]),
        ),
        claims.claim(
            "B23b" + suffix,
            NOTEBOOK,
            "and the harder that is when the kick comes, the lower the barrier at the end" + told,
            PAPER,
            "rank correlation of looseness at the kick and barrier over kick times",
            Region(low=0.8),
            claims.mean([stats.spearmanr(one.looseness, one.barrier).statistic for one in each]),
        ),
    ]
    return unless_broken(made, own, ["barrier", "loss", "looseness"])


def matched(losses: pd.DataFrame) -> pd.Series:
    """Which arms end at the loss of the reference."""
    return losses.ratio.between(1 / MATCHED, MATCHED)
