"""Notebook 13: can a few examples tell the architecture of a network?

The runs are those of notebook 12. Some choose the examples, a classifier is fitted on others, and tested on
others again.
"""

from itertools import product
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import association, reliability
from butterfly.papers.kwok2024 import PAPER, inductive_bias, score_runs
from butterfly.papers.kwok2024.inductive_bias import SCORE
from butterfly.study import Arrays, Interval, Kind, Origin, Shard, Study, Tables, above, below, between, intervals
from butterfly.study.tables import grid, of_places

FEW = 5  # examples of a fingerprint, in claims
METHODS = {"centroid": "nearest centroid", "logistic": "logistic regression"}


class Params(inductive_bias.Params):
    """Parameters of notebook 13: those of notebook 12, and how its runs are used."""

    discover: int = Field(6, ge=2)  # runs of each architecture that choose the examples
    fit: int = Field(4, ge=2)  # that the classifier is fitted to; the rest tests it
    counts: tuple[int, ...] = (1, 2, 5, 10)  # examples of a fingerprint
    draws: int = Field(3, ge=1)  # of random examples

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.runs - self.discover - self.fit < 2:
            used = f"of {self.runs} runs, {self.discover} discover and {self.fit} fit"
            raise ValueError(f"{used}: leave two or more to test")
        if not self.counts or list(self.counts) != sorted(set(self.counts)) or self.counts[0] < 1:
            raise ValueError(f"counts = {list(self.counts)}: give rising numbers of examples")
        if FEW not in self.counts:
            raise ValueError(f"counts = {list(self.counts)}: claims need {FEW} among them")
        return self

    def roles(self, values: np.ndarray) -> list[np.ndarray]:
        """The runs `[..., R, N]` that choose examples, those that a classifier is fitted to, and those that test it."""
        return np.split(values, [self.discover, self.discover + self.fit], axis=-2)


study = Study("13_fingerprints", Params, PAPER, on="setting", origin=Origin.OURS)
study.shard(score_runs.measure_scores)
study.plan(inductive_bias.plan)


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `setting`.

    `answers`: one row a test run, choice of examples, number of examples and method: was the architecture named?
    `controls`: the same where there is nothing to find. `transfer`: families named in widths and depths not fitted.
    `confusion`: which architecture was named for which.
    """
    scored = inductive_bias.scored(params, shards)
    return of_places("setting", {name: tables_of(params, list(runs.values())) for name, runs in scored.items()})


def tables_of(params: Params, runs: list[Arrays]) -> dict[str, pd.DataFrame]:
    """The tables of one setting, from the scored runs of each architecture."""
    ranks = np.stack([reliability.ranks(own[SCORE]) for own in runs])  # [A, R, N]
    right = np.stack([own["accuracy.last"] for own in runs]).astype(float)
    orders = choices(params, params.roles(ranks)[0])
    rows = []
    for choice, several in orders.items():
        for count in params.counts:
            for draw, order in enumerate(several):
                about = {"choice": choice, "count": count, "draw": draw}
                rows += _named(params, ranks[:, :, order[:count]], about)
                if choice == "chosen":
                    rows += _named(params, right[:, :, order[:count]], about | {"choice": "answers"})
    for choice, score in {"mean score": SCORE, "accuracy": "accuracy.last"}.items():
        level = np.stack([own[score].mean(1, keepdims=True) for own in runs])  # [A, R, 1]
        rows += _named(params, level, {"choice": choice, "count": 1, "draw": 0})
    return {
        "answers": pd.DataFrame(rows),
        "controls": pd.DataFrame(_controls(params, ranks)),
        "transfer": pd.DataFrame(_transfer(params, ranks)),
        "confusion": _confusion(params, ranks[:, :, orders["chosen"][0]]),
    }


def choices(params: Params, discovery: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Orders of examples by each rule, made on discovery runs only; several where chance decides."""
    most, count = max(params.counts), discovery.shape[2]
    p = association.associate(discovery).p
    random = np.random.default_rng(0)
    residual = discovery - discovery.mean(1, keepdims=True)
    return {
        "chosen": [association.clump(discovery, p, most)],
        "unclumped": [np.argsort(p, kind="stable")[:most]],
        "random": [random.permutation(count)[:most] for _ in range(params.draws)],
        "hardest": [np.argsort(-discovery.mean((0, 1)), kind="stable")[:most]],
        "noisiest": [np.argsort(-(residual**2).sum((0, 1)), kind="stable")[:most]],
    }


def _named(params: Params, values: np.ndarray, about: dict, names: list[str] | None = None) -> list[dict]:
    """Fit and test each method on `values [A, R, k]`: one row a test run."""
    _, fit, test = params.roles(values)
    return [
        {**about, "method": method, "model": model, "run": run, "right": bool(hit)}
        for method in METHODS
        for model, hits in zip(names or params.models, association.identify(fit, test, method), strict=True)
        for run, hit in enumerate(hits)
    ]


def _controls(params: Params, ranks: np.ndarray) -> list[dict]:
    """The whole procedure where there is nothing to find: architectures dealt at random, and halves of each one."""
    dealt = association.shuffled(ranks, 1)
    rows = _blind(params, dealt, {"control": "shuffled", "chance": 1 / len(ranks)})
    half = ranks.shape[1] // 2
    third = params.model_copy(update={"discover": half // 2, "fit": half // 4})
    for model, runs in zip(params.models, ranks, strict=True):
        halves = np.stack([runs[:half], runs[half : 2 * half]])
        rows += _blind(third, halves, {"control": "halves", "chance": 0.5, "of": model}, ["first", "second"])
    return rows


def _blind(params: Params, values: np.ndarray, about: dict, names: list[str] | None = None) -> list[dict]:
    discovery = params.roles(values)[0]
    order = association.clump(discovery, association.associate(discovery).p, FEW)
    return _named(params, values[:, :, order], about, names)


def _transfer(params: Params, ranks: np.ndarray) -> list[dict]:
    """Choose and fit on some networks of two families, and name the family of others, of another width or depth."""
    places = np.arange(8).reshape(2, 2, 2)  # of two families two depths times two widths
    families = list(params.largest)[:2]
    rows = []
    for (kind, axis), held in product({"depth": 1, "width": 2}.items(), (0, 1)):
        # The smaller or the larger is not fitted. The other gives discovery and fit runs; all of this one are tests.
        seen, unseen = (ranks[places.take(size, axis)] for size in (1 - held, held))  # [2, 2, R, N]
        discovery, fit, _ = params.roles(seen)
        discovery, fit, test = (runs.reshape(2, -1, ranks.shape[2]) for runs in (discovery, fit, unseen))
        order = association.clump(discovery, association.associate(discovery).p, max(params.counts))
        for count, method in product(params.counts, METHODS):
            about = {"kind": kind, "held": held, "count": count, "method": method}
            right = association.identify(*(runs[:, :, order[:count]] for runs in (fit, test)), method)
            named = zip(families, right, strict=True)
            rows += [about | {"family": family, "right": bool(hit)} for family, hits in named for hit in hits]
    return rows


def _confusion(params: Params, values: np.ndarray) -> pd.DataFrame:
    """Share of test runs of each architecture for which each architecture was named."""
    _, fit, test = params.roles(values)
    answers = association.answers(fit, test, "logistic")
    shares = (answers[:, :, None] == np.arange(len(answers))).mean(1)
    return grid(shares, {"model": params.models, "named": params.models}, "share")


# --- claims ----------------------------------------------------------------------------------------------------------

# A unit is a run whose architecture is to be named.
NAMED = f"share of networks whose architecture (of 10) is named from {FEW} examples"
CARRIED = f"share of networks of the first two families named rightly from {FEW} examples chosen and fitted at another"


def _by_regression(table: pd.DataFrame, **where: object) -> pd.DataFrame:
    rows = table[table.method == "logistic"]
    return rows[(rows[list(where)] == pd.Series(where)).all(axis=1)]


def _hits(t: Tables, choice: str, count: int = FEW) -> pd.Series:
    return _by_regression(t["answers"], choice=choice, count=count).groupby(["model", "run"]).right.mean()


@study.claim("D12", by=f"{NAMED}: chosen minus random ones", region=above(0.0), figure="a", origin=Origin.ABSTRACT)
def few_examples_identify(t: Tables) -> Interval:
    """A few chosen examples identify the architecture better than as many random ones."""
    return intervals.mean(_hits(t, "chosen") - _hits(t, "random"))


@study.claim("D12b", by=f"{NAMED}, minus the share named from its accuracy alone", region=above(0.0), figure="a")
def better_than_accuracy(t: Tables) -> Interval:
    """and better than the accuracy of the network."""
    return intervals.mean(_hits(t, "chosen") - _hits(t, "accuracy", 1))


@study.claim("D12c", by=f"{NAMED}; at most twice chance", region=below(0.2), kind=Kind.CHECK)
def nothing_where_dealt_at_random(t: Tables) -> Interval:
    """Where the runs are dealt to architectures at random, nothing is identified."""
    return intervals.share(_by_regression(t["controls"], control="shuffled").right)


HALF = f"share of networks whose half is named from {FEW} examples; chance is 0.5"


@study.claim("D12d", by=HALF, region=between(0.35, 0.65), kind=Kind.CHECK)
def halves_are_alike(t: Tables) -> Interval:
    """and two halves of the runs of one architecture are not told apart."""
    return intervals.share(_by_regression(t["controls"], control="halves").right)


@study.claim("D12e", by=f"{CARRIED} width", region=above(0.75), figure="b")
def carried_to_widths(t: Tables) -> Interval:
    """Fingerprints carry over to widths that were not fitted."""
    return intervals.share(_by_regression(t["transfer"], kind="width", count=FEW).right)


@study.claim("D12f", by=f"{CARRIED} depth", region=above(0.75), figure="b")
def carried_to_depths(t: Tables) -> Interval:
    """and to depths that were not fitted."""
    return intervals.share(_by_regression(t["transfer"], kind="depth", count=FEW).right)


@study.claim("X41", by=f"{NAMED}: ranks by {SCORE} minus being right or not", region=above(0.0), figure="a")
def scores_tell_more_than_answers(t: Tables) -> Interval:
    """Scores averaged over training tell more about the architecture than final answers."""
    return intervals.mean(_hits(t, "chosen") - _hits(t, "answers"))
