"""Runs whose examples are scored: what notebooks 10 to 14 share, and compute only once between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from butterfly import data, models, probe
from butterfly.data import Data
from butterfly.evaluate import evaluate, logits
from butterfly.experiments.common import check_device, compute
from butterfly.experiments.twins import chosen, groups
from butterfly.models import Model
from butterfly.runs import Arrays, Compute, Config
from butterfly.score import ScoreLogger, agreement, prototype_distance, self_prototype_distance
from butterfly.settings import Setting
from butterfly.streams import generator
from butterfly.strict import ParameterError
from butterfly.train import Observer, Recipe, Snapshot, train

PAPER = "Kwok et al. 2024 (arXiv 2401.01867)"
EARLY = 8  # EL2N is taken early in training: after an eighth of it (Paul et al. take epochs 10 and 20 of 200)
TOGETHER = 10  # networks between which agreement is measured
STRENGTHS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)  # of noise, in standard deviations of the input; of weights
HELD_OUT = 50_000  # seeds of networks trained on random subsets start here


def plan(
    setting: str,
    model: str,
    runs: int,
    per_shard: int,
    looks: int,
    examples: int | None,
    probed: bool,
    device: str,
    steps: int | None = None,
    first: int = 0,
) -> list[Config]:
    """The shards of `runs` networks of one architecture, seeds from `first`; scored are the first `examples`."""
    check_device(device)
    picked = chosen(setting, steps).model_copy(update={"model": model})
    check_looks(picked, looks)
    if looks % EARLY:
        raise ParameterError(f"looks = {looks}: give a multiple of {EARLY}, that one falls on the time of early scores")
    common = {
        "device": device,
        "setting": picked.model_dump(mode="json"),
        "source": data.provenance(picked.data),
        "looks": looks,
        "examples": examples,
        "probed": probed,
    }
    return [{**common, "seeds": [first + seed for seed in seeds]} for seeds in groups(runs, per_shard)]


def parse(network: str) -> tuple[str, str]:
    """Setting and architecture of a network named as in the parameters, `setting/architecture`."""
    name, slash, model = network.partition("/")
    if not slash:
        raise ValueError(f"'{network}': give a setting and an architecture, as in mnist1d-scores/mlp-4x64")
    models.build(model, data.input_shape(chosen(name, None).data), classes=10)  # refuses what does not fit
    return name, model


def named(**networks: str) -> dict[str, str]:
    """The networks or settings that are given, and what the names of their claims end in: `main=""`, `r="digits"`.

    `ValueError` if the first is left out, or one stands twice.
    """
    found = {name: suffix.removeprefix("main") for suffix, name in networks.items() if name}
    if not next(iter(networks.values())) or len(found) < sum(map(bool, networks.values())):
        raise ValueError(f"{', '.join(map(repr, networks.values()))}: give the first, and none twice")
    return found


def on(network: str) -> str:
    """An architecture and its data for the text of a claim: `mlp-2x64 on digits`."""
    name, model = network.split("/")
    return f"{model} on {chosen(name, None).data}"


def check_looks(setting: Setting, looks: int) -> None:
    """Looks must be different updates."""
    if looks > setting.recipe.steps:
        raise ParameterError(f"looks = {looks} in a run of {setting.recipe.steps} updates: give at most one an update")


def score(plans: dict[str, list[Config]]) -> dict[str, Arrays]:
    """The scored runs of each network, from the store or computed."""
    return {network: joined(some) for network, some in collect(compute_shard, plans, cost).items()}


def collect(function: Compute, plans: dict[str, list[Config]], cost: Callable) -> dict[str, list[Arrays]]:
    """All shards of all networks at once, then each network's again."""
    found = iter(compute(function, [config for configs in plans.values() for config in configs], cost))
    return {network: list(islice(found, len(configs))) for network, configs in plans.items()}


def joined(found: Sequence[Arrays]) -> Arrays:
    """The shards of one architecture as one: runs first `[R, N]`."""
    shared = ("label", "input_norm")
    return {k: found[0][k] if k in shared else np.concatenate([one[k] for one in found]) for k in found[0]}


def stacked(by: str, parts: Mapping[str, dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The tables of several networks or settings as one each; column `by` says whose a row is."""
    names = next(iter(parts.values()))
    return {
        name: pd.concat([tables[name].assign(**{by: whose}) for whose, tables in parts.items()], ignore_index=True)
        for name in names
    }


def look_steps(recipe: Recipe, looks: int) -> list[int]:
    """The updates after which examples are looked at: evenly spread, the last look at the end."""
    return [round(recipe.steps * look / looks) for look in range(1, looks + 1)]


def watched(
    task: Data, model: Model, recipe: Recipe, seeds: Sequence[int], looks: int, examples: int | None = None
) -> Arrays:
    """Train some networks: every logged score of the first examples (by default, all) `[R, N]`."""
    logger = ScoreLogger(task.ids[:examples], task.y[:examples], len(seeds))

    def look(now: Snapshot) -> None:
        logger.watch(model, now.theta, task.x[:examples])

    train(model, task, recipe, seeds, observers=[Observer("look", look, frozenset(look_steps(recipe, looks)))])
    return {name: values.cpu().numpy() for name, values in logger.scores().items()}


def compute_shard(config: Config) -> Arrays:
    """Train some networks and score their examples: every score by its name `[R, N]`, float32.

    `label [N]`, `input_norm [N]`, and `train_accuracy` and `test_accuracy` `[R]` stand beside them.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    count, looks = config["examples"] or len(task.y), config["looks"]
    x, y = task.x[:count], task.y[:count]
    logger = ScoreLogger(task.ids[:count], y, len(seeds))
    vog = [probe.GradientVariance("class"), probe.GradientVariance("loss")] if config["probed"] else []
    found: dict[str, Tensor] = {}
    steps = look_steps(setting.recipe, looks)

    def look(now: Snapshot) -> None:
        logger.watch(model, now.theta, x)
        for variance in vog:
            variance.look(model, now.theta, x, y)
        if now.step == steps[looks // EARLY - 1]:
            found["el2n.early"] = logger.scores()["el2n.last"]
            if config["probed"]:
                found["grand"], found["grand.last_layer"] = probe.gradient_norms(model, now.theta, x, y)

    run = train(model, task, setting.recipe, seeds, observers=[Observer("look", look, frozenset(steps))])
    found |= logger.scores()
    if config["probed"]:
        found["grand.init"] = probe.gradient_norms(model, model.init(list(seeds)).to(run.theta), x, y)[0]
        found |= {k: v for variance in vog for k, v in variance.scores().items()}
        found |= _probed(model, run.theta, x, y, seeds)
        answers = logits(model, run.theta, x)
        together = [agreement(few) for few in answers.split(TOGETHER) if len(few) > 1]
        found["agreement"] = torch.stack(together) if together else torch.empty(0, len(x))
    found |= {"label": y, "input_norm": x.flatten(1).norm(dim=1), **_accuracies(model, run.theta, task)}
    return {k: v.cpu().numpy().astype(np.float32 if v.is_floating_point() else np.int64) for k, v in found.items()}


def _probed(model: Model, theta: Tensor, x: Tensor, y: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Scores of trained networks from their layers and from noise, `[R, N]` each."""
    found: dict[str, list[Tensor]] = {}
    for row in theta.split(1):
        hidden = [h[0].flatten(1) for h in model.features(row, x).values()]
        by_label, by_answer = probe.prediction_depth([x, *hidden], y, hidden[-1].argmax(1))
        one = {
            "prediction_depth.label": by_label,
            "prediction_depth.answer": by_answer,
            "prototype": prototype_distance(hidden[-2], y),
            "prototype.self": self_prototype_distance(hidden[-2]),
        }
        for name, values in one.items():
            found.setdefault(name, []).append(values)
    return {name: torch.stack(rows) for name, rows in found.items()} | {
        "robustness.input": probe.input_robustness(model, theta, x, y, STRENGTHS, draws=3),
        "robustness.weights": probe.weight_robustness(model, theta, x, y, STRENGTHS, draws=3, keys=seeds),
    }


def _accuracies(model: Model, theta: Tensor, task: Data) -> dict[str, Tensor]:
    train_error, test_error = (
        evaluate(model, theta, *half)[1] for half in ((task.x, task.y), (task.x_test, task.y_test))
    )
    return {"train_accuracy": 1 - train_error, "test_accuracy": 1 - test_error}


def cost(config: Config) -> float:
    """Relative time of a shard."""
    setting = Setting.read(config["setting"], "setting")
    family = {"mlp": 1.0, "cnn": 4.0, "gru": 6.0}.get(setting.model.partition("-")[0], 20.0)
    return len(config["seeds"]) * (family * setting.recipe.steps / 1000 + (3.0 if config["probed"] else 0.0))


# --- networks that did not see everything ----------------------------------------------------------------------------


def plan_held_out(base: Config, runs: int, per_shard: int, ratio: float) -> list[Config]:
    """The shards of networks that train on a random share `ratio` of the examples; all are scored."""
    shared = {key: base[key] for key in ("device", "setting", "source", "looks", "examples")}
    return [{**shared, "ratio": ratio, "seeds": [HELD_OUT + s for s in seeds]} for seeds in groups(runs, per_shard)]


def hold_out(plans: dict[str, list[Config]]) -> dict[str, list[Arrays]]:
    """The shards of such networks, from the store or computed."""
    return collect(compute_held_out, plans, lambda config: float(len(config["seeds"])))


def compute_held_out(config: Config) -> Arrays:
    """Train on random subsets: who `trained` on what, and who is `right` at the end; `[R, N]` each."""
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    count = config["examples"] or len(task.y)
    kept = halves(task, seeds, config["ratio"])
    scores = watched(replace(task, weights=kept.to(task.x)), model, setting.recipe, seeds, config["looks"], count)
    return {"trained": kept[:, :count].cpu().numpy(), "right": scores["accuracy.last"] > 0}


def halves(task: Data, seeds: Sequence[int], ratio: float) -> Tensor:
    """Which examples each seed trains on `[R, N]`: each with probability `ratio`."""
    drawn = [torch.rand(len(task.y), generator=generator("held-out", seed, ratio)) for seed in seeds]
    return (torch.stack(drawn) < ratio).to(task.y.device)
