"""Notebook 16: the difficulty of every training example, to take away.

An ensemble is trained on a whole data set, and every score that logits suffice for is released for every example: mean
and standard deviation over runs, in the original order, as a parquet file with a card that says what it is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from butterfly import reliability
from butterfly.data.human import human_file, vote_counts, wrong_votes
from butterfly.evaluate import evaluate
from butterfly.papers.kwok2024 import PAPER, people
from butterfly.papers.kwok2024.score_runs import OfNetworks, check_looks, look_steps
from butterfly.papers.kwok2024.within import disjoint_pairs
from butterfly.score import LOGGED, SCORES, ScoreLogger
from butterfly.study import Arrays, Bench, Interval, Origin, Shard, Study, Tables, above, intervals
from butterfly.study.tables import of_places
from butterfly.train import Observer, Snapshot, train

SCORE = "el2n.mean"
TRUSTED = 0.9  # of a ranking: as much as is asked of a test on which something hangs
TRAIN, TEST = "train ", "test "


class Params(OfNetworks):
    """Parameters of notebook 16; "" leaves a network out."""

    main: str = "digits-scores/mlp-2x64"
    steps: int | None = Field(60, gt=0)
    runs: int = Field(8, ge=4)
    runs_per_shard: int = Field(8, ge=2)
    looks: int = Field(8, ge=2)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.runs % 2:
            raise ValueError(f"runs = {self.runs}: give an even number, for pairs")
        return self

    @property
    def trusted(self) -> str:
        """The reliability that claims ask for, in words."""
        return f"{TRUSTED:g}"


study = Study("16_every_image", Params, PAPER, on="network", origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard for every few runs of each network."""
    shards = []
    for network in params.places.values():
        trained = params.trained(network)
        check_looks(trained, params.looks)
        common = study.config(trained, params, looks=params.looks)
        shards += [Shard(measure, common | {"seeds": seeds}, network) for seeds in params.few("runs")]
    return shards


@study.shard
def measure(bench: Bench) -> Arrays:
    """Train some networks on all examples: `train <score> [R, N]`, EL2N of test examples `test el2n.mean [R, M]`.

    `label`, `id` `[N]` and `label_test [M]` stand beside them, and `train_accuracy`, `test_accuracy` `[R]`.
    """
    task, model, seeds = bench.task, bench.model, bench.seeds
    loggers = [
        ScoreLogger(task.ids.cpu(), task.y.cpu(), len(seeds)),
        ScoreLogger(torch.arange(len(task.y_test)), task.y_test.cpu(), len(seeds)),
    ]

    def look(now: Snapshot) -> None:
        for logger, x in zip(loggers, (task.x, task.x_test), strict=True):
            logger.watch(model, now.theta, x)

    steps = frozenset(look_steps(bench.recipe, bench["looks"]))
    theta = train(model, task, bench.recipe, seeds, observers=[Observer("look", look, steps, state=loggers)]).theta
    scores = {TRAIN + name: values for name, values in loggers[0].scores().items()}
    scores[TEST + SCORE] = loggers[1].scores([SCORE])[SCORE]
    errors = [evaluate(model, theta, *half)[1] for half in ((task.x, task.y), (task.x_test, task.y_test))]
    return {name: values.cpu().numpy().astype(np.float32) for name, values in scores.items()} | {
        "label": task.y.cpu().numpy(),
        "label_test": task.y_test.cpu().numpy(),
        "id": task.ids.cpu().numpy(),
        "train_accuracy": 1 - errors[0].cpu().numpy(),
        "test_accuracy": 1 - errors[1].cpu().numpy(),
    }


# --- tables ----------------------------------------------------------------------------------------------------------

ALIKE = ("label", "label_test", "id")  # in all shards of a network


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> Tables:
    """`reliability`: a row a score, of one run and of the mean over all; `pairs`: the correlations of disjoint pairs of
    runs behind it, over all examples and in class; `runs`: accuracies; `people`: what people say against networks,
    where it is at hand. Kept are the tables to release, by network.
    """
    found, released = {}, {}
    for network in params.places.values():
        own = [shard for shard in shards if shard.of == network]
        arrays = {k: v if k in ALIKE else np.concatenate([s[k] for s in own]) for k, v in own[0].found.items()}
        found[network] = _tables(arrays, params.trained(network).data)
        released[network] = release(arrays)
    return Tables(of_places("network", found), params, released=released)


def _tables(arrays: Arrays, name: str) -> dict[str, pd.DataFrame]:
    pairs, rows = [], []
    for score in LOGGED:
        values = arrays[TRAIN + score]
        kinds = {"all": disjoint_pairs(values), "class": disjoint_pairs(values, label=arrays["label"])}
        pairs += [(score, kind, k, r) for kind, found in kinds.items() for k, r in enumerate(found)]
        single = float(np.mean(kinds["all"]))
        rows.append((score, single, reliability.spearman_brown(single, len(values))))
    return {
        "reliability": pd.DataFrame(rows, columns=["score", "single", "mean"]),
        "pairs": pd.DataFrame(pairs, columns=["score", "among", "pair", "correlation"]),
        "runs": pd.DataFrame({half: arrays[half] for half in ("train_accuracy", "test_accuracy")}),
        "people": _people(arrays, name),
    }


def release(arrays: Arrays) -> pd.DataFrame:
    """What is released: a row an example, in the original order: id, label, and of each score mean and sd over runs."""
    columns: dict[str, Any] = {"id": arrays["id"], "label": arrays["label"]}
    for score in LOGGED:
        values = arrays[TRAIN + score].astype(np.float64)
        columns[score] = values.mean(0).astype(np.float32)
        columns[f"{score} (sd)"] = values.std(0, ddof=1).astype(np.float32)
    return pd.DataFrame(columns).sort_values("id", ignore_index=True)


def _people(arrays: Arrays, name: str) -> pd.DataFrame:
    """EL2N of single runs against the votes of people; no rows where they judged other images, or are not at hand."""
    columns = ["statistic", "estimate", "low", "high", "n", "ceiling"]
    judged = name.startswith("cifar10") and len(arrays["id"]) == 50_000
    if not judged or not all(human_file(votes) for votes in ("cifar10n", "cifar10h")):
        return pd.DataFrame(columns=columns)
    scores, labels = (arrays[TRAIN + SCORE], arrays[TEST + SCORE]), (arrays["label"], arrays["label_test"])
    found = people.statistics(*scores, *labels, wrong_votes()[arrays["id"]], vote_counts())
    rows = [(name, i.estimate, i.low, i.high, i.n, ceiling) for name, (i, ceiling) in found.items()]
    return pd.DataFrame(rows, columns=columns)


# --- the card --------------------------------------------------------------------------------------------------------


def card(t: Tables) -> str:
    """What the released file of one network is, in markdown, with the front matter that data hubs read."""
    network, trained = t.place, t.params.trained(t.place)
    table, runs, recipe = t.kept["released"][network], t["runs"], trained.recipe
    sure = t["reliability"].set_index("score")
    rows = []
    for name in LOGGED:
        score, reliable = SCORES[name], f"{sure.single[name]:.2f} | {sure['mean'][name]:.2f}"
        formula = score.formula.replace("|", "\\|")  # else it would end a cell
        rows.append(f"| `{name}` | {formula} | {score.harder} | {reliable} |")
    asked = [f"| {r.statistic} | {r.estimate:.3f} | {r.low:.3f} to {r.high:.3f} |" for r in t["people"].itertuples()]
    people_say = _PEOPLE.format(rows="\n".join(asked)) if asked else ""
    return _CARD.format(
        data=trained.data,
        title=trained.title,
        setting=network.partition("/")[0],
        profile=t.params.profile,
        model=trained.model,
        count=len(table),
        runs=len(runs),
        first=t.params.first_seed,
        last=t.params.first_seed + t.params.runs - 1,
        looks=t.params.looks,
        steps=recipe.steps,
        batch=recipe.batch_size,
        passes=recipe.steps * recipe.batch_size / len(table),
        train=runs.train_accuracy.mean(),
        test=runs.test_accuracy.mean(),
        scores="\n".join(rows),
        people=people_say,
    )


_CARD = """---
pretty_name: Example difficulty of {data}
tags: [example-difficulty, training-dynamics]
---

# How hard is each training example of {title}?

{count} rows, one a training example, in the original order: `id` is its position in the training set, `label` its class
there. Every other column is a score of difficulty, its mean over {runs} networks; `<score> (sd)` is the standard
deviation over them. No image is in this file.

The networks: `{model}`, seeds {first} to {last}, trained on all examples by SGD with momentum for {steps} updates of
{batch} examples ({passes:.1f} passes), looked at {looks} times. Mean accuracy {train:.3f} on the training set,
{test:.3f} on the test set.
The setting is `{setting}`; `make figure-16 PROFILE={profile}` makes the file anew.

*Reliable* is the rank correlation between two networks, and that of the mean over all with another such mean (by
Spearman and Brown). Read a score as difficult in the direction given.

| score | what it is (p_y: probability of the label) | difficult where it is | reliable, one network | mean |
|---|---|---|---|---|
{scores}
{people}
Not for judging people's work, nor for removing examples unseen: networks of another kind find other examples hard.
"""
_PEOPLE = """
## Against people

EL2N of one network against CIFAR-10N (how many of three annotators were wrong, training images; Wei et al. 2022) and
CIFAR-10H (entropy of about 50 votes, test images; Peterson et al. 2019), with 95 % intervals over networks and images.
`all wrong` is an area under the ROC curve, the others are rank correlations; `corrected` frees them of noise.

| statistic | estimate | interval |
|---|---|---|
{rows}
"""


# --- claims ----------------------------------------------------------------------------------------------------------


@study.unless
def unlearned(t: Tables) -> str:
    """Claims are void where a network is not right about half of its training examples."""
    return "a network did not learn" if (t["runs"].train_accuracy < 0.5).any() else ""


def of_mean(singles: Sequence[float], runs: int) -> Interval:
    """Reliability of a mean over runs, from the correlations of disjoint pairs of single ones."""
    found = intervals.correlation(singles)
    ends = {
        name: float(reliability.spearman_brown(max(getattr(found, name), 0.0), runs))
        for name in ("estimate", "low", "high")
    }
    return replace(found, **ends)


def _trusted(t: Tables, among: str) -> Interval:
    pairs = t["pairs"]
    chosen = pairs[(pairs.score == SCORE) & (pairs.among == among)]
    return of_mean(chosen.correlation.to_numpy(), t.params.runs)


RELEASED = "reliability of the mean over {params.runs} runs (Spearman-Brown), EL2N averaged over training"


@study.claim("EI01", by=RELEASED, region=above(TRUSTED), margin=0.03, figure="a")
def the_release_is_reliable(t: Tables) -> Interval:
    """The released difficulty of examples, a mean over {params.runs} runs, is reliable to {params.trusted}."""
    return _trusted(t, "all")


@study.claim("EI01b", by=f"{RELEASED}, in class", region=above(TRUSTED), margin=0.03, figure="a")
def the_release_is_reliable_in_class(t: Tables) -> Interval:
    """Within classes, too, the released difficulty of examples is reliable to {params.trusted}."""
    return _trusted(t, "class")
