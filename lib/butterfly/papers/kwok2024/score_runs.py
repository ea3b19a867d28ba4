"""Runs whose examples are scored: what notebooks 10 to 14 share, and compute only once between them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import data, models, probe
from butterfly.data import Data
from butterfly.evaluate import evaluate, features, logits
from butterfly.models import Model
from butterfly.score import ScoreLogger, agreement, prototype_distance, self_prototype_distance
from butterfly.streams import generator
from butterfly.strict import ParameterError, UserError
from butterfly.study import Arrays, Bench, OneModel, Setting, Shard, Study, Tables, Trained, plain, setting
from butterfly.study.runs import Compute
from butterfly.study.tables import by_place
from butterfly.train import Observer, Recipe, Snapshot, train

EARLY = 8  # EL2N is taken early in training: after an eighth of it (Paul et al. take epochs 10 and 20 of 200)
TOGETHER = 10  # networks between which agreement is measured
STRENGTHS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)  # of noise, in standard deviations of the input; of weights
EXPLORED = ("mnist1d", "digits")  # data on which claims were worked out
HELD_OUT = 50_000  # seeds of networks trained on random subsets start here


class OfNetworks(OneModel):
    """Parameters of studies whose networks are named `setting/architecture`; what changes, changes the main one.

    "" leaves the network on real data out.
    """

    main: str = "mnist1d-scores/mlp-4x64"
    steps: int | None = Field(160, gt=0)  # None: the settings' own
    real: str = ""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for network in self.places.values():
            self.trained(network)
        return self

    @property
    def places(self) -> dict[str, str]:
        """Each network by what its claims' ids end in."""
        return places(self.main, self.real)

    def trained(self, network: str) -> Setting:
        """What a network is, with what the parameters change of the main one; `ValueError` where it does not fit."""
        name, architecture = parse(network)
        if network != self.main:
            return plain(name, self.steps, model=architecture)
        return self.model_copy(update={"model": self.model or architecture}).chosen(name, self.steps)


class OneDataSet(Study):
    """A study whose claims are about its data sets alone: networks are drawn anew to confirm them, examples are not."""

    def scope(self, here: Tables) -> str:
        """Data and model, and whether the claims were worked out on the same data."""
        found = super().scope(here)
        return f"{found}; this data set{', seen in the exploration' * found.startswith(EXPLORED)}"


def parse(network: str) -> tuple[str, str]:
    """Setting and architecture of a network named as in the parameters, `setting/architecture`."""
    name, slash, architecture = network.partition("/")
    if not slash:
        raise ValueError(f"'{network}': give a setting and an architecture, as in mnist1d-scores/mlp-4x64")
    models.build(architecture, data.input_shape(setting(name).data), classes=10)  # refuses what does not fit
    return name, architecture


def places(*names: str) -> dict[str, str]:
    """Networks or settings by what the ids of their claims end in: nothing for the first, else data or architecture.

    Where two would end alike, the second ends in its whole name. An empty name leaves that place out. `ValueError` if
    the first is left out, or one stands twice.
    """
    given = [name for name in names if name]
    if not names[0] or len(set(given)) < len(given):
        raise ValueError(f"{', '.join(map(repr, names))}: give the first, and none twice")
    found = {"": names[0]}
    for name in given[1:]:
        label = _label(name, names[0])
        found[name if label in found else label] = name
    return found


def _label(name: str, main: str) -> str:
    """The data where they differ from those of the main place, else the family of the architecture."""
    (one, architecture), (other, _) = ((n.partition("/")[0], n.partition("/")[2]) for n in (name, main))
    ours, theirs = setting(one).data, setting(other).data
    return ours if ours != theirs else architecture.partition("-")[0] or one


def check_looks(chosen: Setting, looks: int) -> None:
    """Looks must be different updates."""
    if looks > chosen.recipe.steps:
        raise ParameterError(f"looks = {looks} in a run of {chosen.recipe.steps} updates: give at most one an update")


def plan(
    study: Study, params: Trained, network: str, chosen: Setting, runs: int, probed: bool, first: int = 0
) -> list[Shard]:
    """The shards of `runs` scored networks of one kind, seeds from `first`; they belong to `network`."""
    check_looks(chosen, params.looks)
    if params.looks % EARLY:
        raise ParameterError(
            f"looks = {params.looks}: give a multiple of {EARLY}, that one falls on the time of early scores"
        )
    common = study.config(chosen, params, looks=params.looks, examples=params.examples, probed=probed)
    some = params.few("runs", runs)
    return [Shard(measure_scores, common | {"seeds": [first + seed for seed in seeds]}, network) for seeds in some]


def plan_held_out(study: Study, params: Trained, network: str, chosen: Setting, runs: int, ratio: float) -> list[Shard]:
    """The shards of networks that train on a random share `ratio` of the examples; all are scored."""
    common = study.config(chosen, params, looks=params.looks, examples=params.examples, ratio=ratio)
    some = params.few("runs", runs)
    return [Shard(measure_held_out, common | {"seeds": [HELD_OUT + s for s in seeds]}, network) for seeds in some]


def joined(shards: Sequence[Shard], compute: Compute | None = None) -> dict[str, Arrays]:
    """The scored runs of each network (or what else `compute` made of it), its shards as one: runs first `[R, N]`."""
    shared = ("label", "input_norm")
    own = by_place(shard for shard in shards if shard.compute is (compute or measure_scores))
    found = {
        network: {k: some[0][k] if k in shared else np.concatenate([shard[k] for shard in some]) for k in some[0].found}
        for network, some in own.items()
    }
    for network, scores in found.items():
        lost = np.isnan(scores["loss.last"]).any(1).sum() if "loss.last" in scores else 0
        if lost:
            count = len(scores["loss.last"])
            raise UserError(f"{lost} of {count} runs of {network} diverged; give it a lower rate, as in recipe.lr=0.05")
    return found


def in_blocks(values: np.ndarray, size: int) -> np.ndarray:
    """Runs `[R, N]` as blocks that have none in common `[R // size, size, N]`; what is left over is left out."""
    count = len(values) // size
    return values[: count * size].reshape(count, size, *values.shape[1:])


# --- computations ----------------------------------------------------------------------------------------------------


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

    observer = Observer("look", look, frozenset(look_steps(recipe, looks)), state=[logger])
    train(model, task, recipe, seeds, observers=[observer])
    return {name: values.cpu().numpy() for name, values in logger.scores().items()}


def measure_scores(bench: Bench) -> Arrays:
    """Train some networks and score their examples: every score by its name `[R, N]`, float32.

    `label [N]`, `input_norm [N]`, and `train_accuracy` and `test_accuracy` `[R]` stand beside them.
    """
    seeds, task, model, recipe = bench.seeds, bench.task, bench.model, bench.recipe
    count, looks, probed = bench["examples"] or len(task.y), bench["looks"], bench["probed"]
    x, y = task.x[:count], task.y[:count]
    logger = ScoreLogger(task.ids[:count], y, len(seeds))
    vog = [probe.GradientVariance("class"), probe.GradientVariance("loss")] if probed else []
    steps = look_steps(recipe, looks)

    def look(now: Snapshot) -> dict[str, Tensor]:
        logger.watch(model, now.theta, x)
        for variance in vog:
            variance.look(model, now.theta, x, y)
        if now.step != steps[looks // EARLY - 1]:
            return {}
        early = {"el2n.early": logger.scores(["el2n.last"])["el2n.last"]}
        norms = probe.gradient_norms(model, now.theta, x, y) if probed else ()
        return early | dict(zip(("grand", "grand.last_layer"), norms, strict=False))

    observer = Observer("look", look, frozenset(steps), state=[logger, *vog])
    run = train(model, task, recipe, seeds, observers=[observer])
    found = {name: values for _, seen in run.recorded("look") for name, values in seen.items()} | logger.scores()
    if probed:
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
    names = ("prediction_depth.label", "prediction_depth.answer", "prototype", "prototype.self")
    rows = torch.stack([_of_layers(model, row, x, y) for row in theta.split(1)], 1)
    return dict(zip(names, rows, strict=True)) | {
        "robustness.input": probe.input_robustness(model, theta, x, y, STRENGTHS, draws=3),
        "robustness.weights": probe.weight_robustness(model, theta, x, y, STRENGTHS, draws=3, keys=seeds),
    }


def _of_layers(model: Model, row: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Two prediction depths and two prototype distances of one network `row [1, P]`; NaN if it diverged `[4, N]`."""
    names = list(model.features(row, x[:1]))

    def layer(name: str) -> Tensor:
        return features(model, row, x, name)[0].flatten(1)

    # Layers are computed again for each use: on many images, memory does not hold all of them.
    if not all(bool(torch.isfinite(layer(name)).all()) for name in names):
        return torch.full((4, len(x)), torch.nan, device=x.device)
    depths = probe.prediction_depth(chain([x], map(layer, names)), y, layer(names[-1]).argmax(1))
    last = layer(names[-2])
    return torch.stack([*depths, prototype_distance(last, y), self_prototype_distance(last)])


def _accuracies(model: Model, theta: Tensor, task: Data) -> dict[str, Tensor]:
    train_error, test_error = (
        evaluate(model, theta, *half)[1] for half in ((task.x, task.y), (task.x_test, task.y_test))
    )
    return {"train_accuracy": 1 - train_error, "test_accuracy": 1 - test_error}


# --- networks that did not see everything ----------------------------------------------------------------------------


def measure_held_out(bench: Bench) -> Arrays:
    """Train on random subsets: who `trained` on what, and who is `right` at the end; `[R, N]` each."""
    task, count = bench.task, bench["examples"] or len(bench.task.y)
    kept = halves(task, bench.seeds, bench["ratio"])
    seen = replace(task, weights=kept.to(task.x))
    scores = watched(seen, bench.model, bench.recipe, bench.seeds, bench["looks"], count)
    return {"trained": kept[:, :count].cpu().numpy(), "right": scores["accuracy.last"] > 0}


def halves(task: Data, seeds: Sequence[int], ratio: float) -> Tensor:
    """Which examples each seed trains on `[R, N]`: each with probability `ratio`."""
    drawn = [torch.rand(len(task.y), generator=generator("held-out", seed, ratio)) for seed in seeds]
    return (torch.stack(drawn) < ratio).to(task.y.device)
