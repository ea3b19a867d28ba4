"""Notebook 13: can a few examples tell the architecture of a network?

The runs are those of notebook 12. Some choose the examples, a classifier is fitted on others, and tested on
others again.
"""

from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import association, claims, reliability
from butterfly.claims import Claim, Interval, Region
from butterfly.experiments import inductive_bias, scored
from butterfly.experiments.inductive_bias import SCORE, layout
from butterfly.experiments.scored import PAPER
from butterfly.experiments.twins import chosen
from butterfly.runs import Arrays

NOTEBOOK = "13_fingerprints"
OURS = "this companion"
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
            raise ValueError(
                f"of {self.runs} runs, {self.discover} discover and {self.fit} fit: leave two or more to test"
            )
        if not self.counts or list(self.counts) != sorted(set(self.counts)) or self.counts[0] < 1:
            raise ValueError(f"counts = {list(self.counts)}: give rising numbers of examples")
        if FEW not in self.counts:
            raise ValueError(f"counts = {list(self.counts)}: claims need {FEW} among them")
        return self


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables, each with a column `setting`.

    `answers`: one row a test run, choice of examples, number of examples and method: was the architecture named?
    `controls`: the same where there is nothing to find. `transfer`: families named in widths and depths not fitted.
    `confusion`: which architecture was named for which.
    """


def run(params: Params) -> Tables:
    """Take the runs of notebook 12, computing what is missing, and tabulate."""
    found = inductive_bias.scores_of(params)
    tables = {
        name: _tabulate(params, [found[f"{name}/{model}"] for model in params.models]) for name in params.settings
    }
    return Tables(scored.stacked("setting", tables))


def _tabulate(params: Params, found: list[Arrays]) -> dict[str, pd.DataFrame]:
    ranks = np.stack([reliability.ranks(one[SCORE]) for one in found])  # [A, R, N]
    right = np.stack([one["accuracy.last"] for one in found]).astype(float)
    level = np.stack([np.stack([one[SCORE].mean(1), one["accuracy.last"].mean(1)], 1) for one in found])  # [A, R, 2]
    discovery = ranks[:, : params.discover]
    chosen = _choices(params, discovery)
    rows = []
    for choice, examples in chosen.items():
        for count in params.counts:
            for draw, order in enumerate(examples):
                for values, what in ((ranks, choice), (right, "answers")):
                    if what == "answers" and choice != "chosen":
                        continue
                    rows += _name(params, values[:, :, order[:count]], {"choice": what, "count": count, "draw": draw})
    for place, what in enumerate(("mean score", "accuracy")):
        rows += _name(params, level[:, :, place : place + 1], {"choice": what, "count": 1, "draw": 0})
    best = ranks[:, :, chosen["chosen"][0][: max(params.counts)]]
    return {
        "answers": pd.DataFrame(rows),
        "controls": pd.DataFrame(_controls(params, ranks)),
        "transfer": pd.DataFrame(_transfer(params, ranks)),
        "confusion": _confusion(params, best),
    }


def _choices(params: Params, discovery: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Orders of examples by each rule, made on discovery runs only; several where chance decides."""
    most, count = max(params.counts), discovery.shape[2]
    found = association.associate(discovery)
    random = np.random.default_rng(0)
    residual = discovery - discovery.mean(1, keepdims=True)
    return {
        "chosen": [association.clump(discovery, found.p, most)],
        "unclumped": [np.argsort(found.p, kind="stable")[:most]],
        "random": [random.permutation(count)[:most] for _ in range(params.draws)],
        "hardest": [np.argsort(-discovery.mean((0, 1)), kind="stable")[:most]],
        "noisiest": [np.argsort(-(residual**2).sum((0, 1)), kind="stable")[:most]],
    }


def _name(params: Params, values: np.ndarray, about: dict, names: list[str] | None = None) -> list[dict]:
    """Fit and test each method on `values [A, R, k]`: one row a test run."""
    fit = values[:, params.discover : params.discover + params.fit]
    test = values[:, params.discover + params.fit :]
    labels = names or list(params.models)
    rows = []
    for method in METHODS:
        right = association.identify(fit, test, method)
        rows += [
            {**about, "method": method, "model": model, "run": run, "right": bool(hit)}
            for model, hits in zip(labels, right, strict=True)
            for run, hit in enumerate(hits)
        ]
    return rows


def _controls(params: Params, ranks: np.ndarray) -> list[dict]:
    """The whole procedure where there is nothing to find: architectures dealt at random, and halves of each one."""
    rows = []
    dealt = association.shuffled(ranks, 1)
    rows += _blind(params, dealt, {"control": "shuffled", "chance": 1 / len(ranks)})
    half = ranks.shape[1] // 2
    third = params.model_copy(update={"discover": half // 2, "fit": half // 4})
    for model, runs in zip(params.models, ranks, strict=True):
        halves = np.stack([runs[:half], runs[half : 2 * half]])
        rows += _blind(third, halves, {"control": "halves", "chance": 0.5, "of": model}, ["first", "second"])
    return rows


def _blind(params: Params, values: np.ndarray, about: dict, names: list[str] | None = None) -> list[dict]:
    found = association.associate(values[:, : params.discover])
    order = association.clump(values[:, : params.discover], found.p, FEW)
    return _name(params, values[:, :, order], about, names)


def _transfer(params: Params, ranks: np.ndarray) -> list[dict]:
    """Choose and fit on some networks of two families, and name the family of others, of another width or depth."""
    place = {model: k for k, model in enumerate(params.models)}
    sizes = [layout(models) for models in (params.first, params.second)]
    rows = []
    for kind, axis in (("depth", 0), ("width", 1)):
        for held in (0, 1):  # the smaller or the larger is not fitted
            seen, unseen = [], []
            for family in sizes:
                middle = sorted({size[axis] for size in family.values()})[held]
                unseen.append(np.concatenate([ranks[place[m]] for m, size in family.items() if size[axis] == middle]))
                seen.append(np.concatenate([ranks[place[m]] for m, size in family.items() if size[axis] != middle]))
            known, strange = np.stack(seen), np.stack(unseen)
            # Fitted architectures give discovery and fit runs, each architecture as many; strange ones are all tests.
            mixed = known.reshape(2, -1, params.runs, known.shape[2])
            first = mixed[:, :, : params.discover].reshape(2, -1, known.shape[2])
            fit = mixed[:, :, params.discover : params.discover + params.fit].reshape(2, -1, known.shape[2])
            for count in params.counts:
                order = association.clump(first, association.associate(first).p, count)
                for method in METHODS:
                    right = association.identify(fit[:, :, order], strange[:, :, order], method)
                    rows += [
                        {"kind": kind, "held": held, "count": count, "method": method, "family": f, "right": bool(hit)}
                        for f, hits in zip(list(params.largest)[:2], right, strict=True)
                        for hit in hits
                    ]
    return rows


def _confusion(params: Params, values: np.ndarray) -> pd.DataFrame:
    """Share of test runs of each architecture for which each architecture was named."""
    fit, test = values[:, params.discover : params.discover + params.fit], values[:, params.discover + params.fit :]
    answers = association.answers(fit, test, "logistic")
    rows = [
        {"model": model, "named": named, "share": float((answers[a] == b).mean())}
        for a, model in enumerate(params.models)
        for b, named in enumerate(params.models)
    ]
    return pd.DataFrame(rows)


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "D12": Region(low=0.0),
    "D12b": Region(low=0.0),
    "D12e": Region(low=0.75),
    "D12f": Region(low=0.75),
    "X41": Region(low=0.0),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook, for each setting; a unit is a run whose architecture is to be named."""
    found = []
    for name, suffix in params.settings.items():
        some = {table: values[values.setting == name] for table, values in tables.items()}
        where = f" ({chosen(name, None).data})" if suffix else ""
        for id, statement, source, statistic, region, interval in _claims(params, some):
            about = (f"{id}{suffix}", NOTEBOOK, f"{statement}{where}", source, statistic, region, interval)
            found.append(claims.claim(*about))
    return found


def _claims(params: Params, tables: dict[str, pd.DataFrame]) -> list[tuple]:
    answers = tables["answers"][tables["answers"].method == "logistic"]
    keys = ["model", "run"]

    def hits(choice: str, count: int) -> pd.Series:
        some = answers[(answers.choice == choice) & (answers["count"] == count)]
        return some.groupby(keys).right.mean()

    def control(name: str) -> tuple[Interval, float]:
        some = tables["controls"][(tables["controls"].control == name) & (tables["controls"].method == "logistic")]
        return claims.share(some.right), some.chance.iloc[0]

    def transfer(kind: str) -> Interval:
        some = tables["transfer"]
        return claims.share(some[(some.kind == kind) & (some["count"] == FEW) & (some.method == "logistic")].right)

    one, two = list(params.largest)[:2]
    chosen = hits("chosen", FEW)
    shuffled, chance = control("shuffled")
    halves, _ = control("halves")
    named = f"share of networks whose architecture (of {len(params.models)}) is named from {FEW} examples"
    return [
        (
            "D12",
            "A few chosen examples identify the architecture better than as many random ones",
            PAPER,
            f"{named}: chosen minus random ones",
            MARGINS["D12"],
            claims.mean(chosen - hits("random", FEW)),
        ),
        (
            "D12b",
            "and better than the accuracy of the network",
            PAPER,
            f"{named}, minus the share named from its accuracy alone",
            MARGINS["D12b"],
            claims.mean(chosen - hits("accuracy", 1)),
        ),
        (
            "D12c",
            "Where the runs are dealt to architectures at random, nothing is identified",
            PAPER,
            f"{named}; at most twice chance",
            Region(high=2 * chance),
            shuffled,
        ),
        (
            "D12d",
            "and two halves of the runs of one architecture are not told apart",
            PAPER,
            f"share of networks whose half is named from {FEW} examples; chance is 0.5",
            Region(0.35, 0.65),
            halves,
        ),
        (
            "D12e",
            "Fingerprints carry over to widths that were not fitted",
            PAPER,
            f"share of networks named {one} or {two} rightly from {FEW} examples chosen and fitted at another width",
            MARGINS["D12e"],
            transfer("width"),
        ),
        (
            "D12f",
            "and to depths that were not fitted",
            PAPER,
            "the same at another depth",
            MARGINS["D12f"],
            transfer("depth"),
        ),
        (
            "X41",
            "Scores averaged over training tell more about the architecture than final answers",
            OURS,
            f"{named}: ranks by {SCORE} minus being right or wrong at the end, same examples",
            MARGINS["X41"],
            claims.mean(chosen - hits("answers", FEW)),
        ),
    ]
