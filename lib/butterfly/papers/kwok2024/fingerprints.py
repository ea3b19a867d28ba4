"""Notebook 13: can a few examples tell the architecture of a network?

The runs are those of notebook 12. Some choose the examples, a classifier is fitted on others, and tested on
others again. There are several such fits; no run tests a fit that it chose or fitted.
"""

from itertools import product
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import association
from butterfly.papers.kwok2024 import PAPER, inductive_bias, score_runs
from butterfly.papers.kwok2024.inductive_bias import ALL, AMONG, OTHERS, SCORE, family, ranked, twins
from butterfly.study import Arrays, Interval, Kind, Origin, Shard, Tables, above, below, between, intervals
from butterfly.study.intervals import CORRELATION, SHARE
from butterfly.study.tables import grid, of_places

FEW = 5  # examples of a fingerprint, in claims
CONSTANT = 0.99  # mean training accuracy above which final answers hardly vary
LEVELS = {"mean score": SCORE, "accuracy": "accuracy.last"}  # what one number of a run tells: its mean over examples
METHODS = {"centroid": "nearest centroid", "logistic": "logistic regression"}


class Params(inductive_bias.Params):
    """Parameters of notebook 13: those of notebook 12, and how its runs are used."""

    discover: int = Field(4, ge=2)  # runs of each architecture that choose the examples of a fit
    fit: int = Field(4, ge=2)  # that its classifier is fitted to; the runs of the next fit test it
    counts: tuple[int, ...] = (1, 5)  # examples of a fingerprint
    draws: int = Field(1, ge=1)  # of random examples, for each fit

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.fits < 2:
            used = f"of {self.runs} runs, {self.discover} discover and {self.fit} fit"
            raise ValueError(f"{used}: leave as many to test, or more")
        if not self.counts or list(self.counts) != sorted(set(self.counts)) or self.counts[0] < 1:
            raise ValueError(f"counts = {list(self.counts)}: give rising numbers of examples")
        if FEW not in self.counts:
            raise ValueError(f"counts = {list(self.counts)}: claims need {FEW} among them")
        return self

    @property
    def fits(self) -> int:
        """How many fits there are; no two choose or are fitted by the same run."""
        return self.runs // (self.discover + self.fit)

    @property
    def architectures(self) -> str:
        """The architectures, for the scope of claims: they are given, and not a sample of others."""
        return f"{len(self.models)} given architectures, {super().architectures}"

    def roles(self, values: np.ndarray, number: int) -> list[np.ndarray]:
        """Of runs `[A, R, N]`, those of one fit that choose examples, those it is fitted to, and those that test it.

        The runs that test a fit are all runs of the next one, so that every run tests once.
        """
        size = self.discover + self.fit
        own, tests = (number % self.fits * size, (number + 1) % self.fits * size)
        return [values[:, own : own + self.discover], values[:, own + self.discover : own + size],
                values[:, tests : tests + size]]  # fmt: skip


study = score_runs.OneDataSet("13_fingerprints", Params, PAPER, on="setting", origin=Origin.OURS)
study.shard(score_runs.measure_scores)
study.plan(inductive_bias.plan)


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `setting`; every share is over the test runs of one fit and one architecture.

    `answers`: share of test runs whose architecture (`right`) and whose family (`family_right`) is named, by choice,
    number of examples and method. `few`: of these, what claims rest on. `controls`: the same where there is nothing to
    find. `transfer`: families named in widths and depths not fitted. `confusion`: which architecture was named for
    which. `runs`: accuracies.
    """
    scored = inductive_bias.scored(params, shards)
    return of_places("setting", {name: tables_of(params, runs) for name, runs in scored.items()})


def tables_of(params: Params, runs: dict[str, Arrays]) -> dict[str, pd.DataFrame]:
    """The tables of one setting, from the scored runs of each architecture."""
    own, label = list(runs.values()), runs[params.models[0]]["label"]
    kinds = [(SCORE, among) for among in AMONG] + [(score, ALL) for score in OTHERS]
    ranks = {kind: np.stack([ranked(one[kind[0]], label, kind[1]) for one in own]) for kind in kinds}
    answers = pd.DataFrame([row for number in range(params.fits) for row in _of_fit(params, own, ranks, number)])
    few = (answers.method == "logistic") & ((answers["count"] == FEW) | answers.choice.isin(LEVELS))
    accuracy = [pd.DataFrame({"model": model, "train_accuracy": one["train_accuracy"]}) for model, one in runs.items()]
    main = (answers.score == SCORE) & (answers.among == ALL)
    return {
        "answers": answers[main],
        "few": answers[few].drop(columns=["count", "method"]),
        "controls": pd.DataFrame(_controls(params, ranks[SCORE, ALL])),
        "transfer": pd.DataFrame([row for among in AMONG for row in _transfer(params, ranks[SCORE, among], among)]),
        "confusion": _confusion(params, ranks[SCORE, ALL]),
        "runs": pd.concat(accuracy, ignore_index=True),
    }


def told_by_answers(right: np.ndarray, most: int) -> np.ndarray:
    """The examples whose answers tell architectures best, from final answers `[A, R, N]` of the runs that choose.

    Where fewer than three examples vary at all, no test can be made and any serve as well.
    """
    if ((right.var(1) > 0).any(0)).sum() < 3:
        return np.arange(most)
    return association.clump(right, association.associate(right).p, most)


def choices(params: Params, discovery: np.ndarray, number: int) -> dict[str, list[np.ndarray]]:
    """Orders of examples by each rule, made on the discovery runs of a fit only; several where chance decides."""
    most, count = max(params.counts), discovery.shape[2]
    random = np.random.default_rng([params.first_seed, number])
    residual = discovery - discovery.mean(1, keepdims=True)
    return {
        "chosen": [association.clump(discovery, association.associate(discovery).p, most)],
        "random": [random.permutation(count)[:most] for _ in range(params.draws)],
        "hardest": [np.argsort(-discovery.mean((0, 1)), kind="stable")[:most]],
        "noisiest": [np.argsort(-(residual**2).sum((0, 1)), kind="stable")[:most]],
    }


def _of_fit(
    params: Params, runs: list[Arrays], ranks: dict[tuple[str, str], np.ndarray], number: int
) -> list[dict[str, object]]:
    """Everything that one fit names: from few examples chosen by each rule, from one number, and from both.

    By the main score among all examples with every number of examples; by others, and within classes, with `FEW`.
    Final answers are read at examples that are chosen by final answers, so that both sides choose alike.
    """
    level = {name: np.stack([own[score].mean(1, keepdims=True) for own in runs]) for name, score in LEVELS.items()}
    right = np.stack([own["accuracy.last"] for own in runs]).astype(float)
    told = told_by_answers(params.roles(right, number)[0], max(params.counts))
    rows = []
    for (score, among), values in ranks.items():
        main = (score, among) == (SCORE, ALL)
        orders = choices(params, params.roles(values, number)[0], number)
        chosen, counts = orders["chosen"][0], params.counts if main else (FEW,)
        asked = product(orders if main else ("chosen", "random"), counts)
        features = {(rule, k): [values[:, :, order[:k]] for order in orders[rule]] for rule, k in asked}
        if score == SCORE:
            features["both", FEW] = [np.concatenate([values[:, :, chosen[:FEW]], level["accuracy"]], axis=2)]
        if main:
            features |= {("answers", k): [right[:, :, told[:k]]] for k in counts}
            features |= {(name, 1): [own] for name, own in level.items()}
        for (choice, count), several in features.items():
            about = {"choice": choice, "count": count, "score": score, "among": among}
            rows += _named(params, several, number, about)
    return rows


def _named(params: Params, several: list[np.ndarray], number: int, about: dict) -> list[dict[str, object]]:
    """Fit and test each method on values `[A, R, k]`, as a mean over `several` of them: one row an architecture."""
    families = np.array([family(model) for model in params.models])
    rows = []
    for method in METHODS:
        named = [association.answers(*params.roles(values, number)[1:], method) for values in several]
        right = np.mean([own == np.arange(len(own))[:, None] for own in named], axis=0).mean(1)
        of_family = np.mean([families[own] == families[:, None] for own in named], axis=0).mean(1)
        for model, *shares in zip(params.models, right, of_family, strict=True):
            found = dict(zip(("right", "family_right"), shares, strict=True))
            rows.append({**about, "method": method, "fit": params.first_seed + number, "model": model, **found})
    return rows


def _controls(params: Params, ranks: np.ndarray) -> list[dict[str, object]]:
    """The whole procedure where there is nothing to find: architectures dealt at random, and halves of each one."""
    dealt = association.shuffled(ranks, params.first_seed + 1)
    rows = []
    for number in range(params.fits):
        about = {"control": "shuffled", "chance": 1 / len(ranks), "fit": params.first_seed + number}
        rows += [about | row for row in _blind(params.roles(dealt, number), params.models)]
    half = ranks.shape[1] // 2
    for model, runs in zip(params.models, ranks, strict=True):
        halves = np.stack([runs[:half], runs[half : 2 * half]])
        parts = np.split(halves, [half // 2, half // 2 + half // 4], axis=1)
        about = {"control": "halves", "chance": 0.5, "fit": params.first_seed}
        named = pd.DataFrame(_blind(parts, ("first", "second"))).groupby("method", sort=False).right.mean()
        rows += [about | {"method": method, "model": model, "right": share} for method, share in named.items()]
    return rows


def _blind(parts: list[np.ndarray], names: tuple[str, ...]) -> list[dict[str, object]]:
    """Choose, fit and test: the share of test runs that are named right, by method and name."""
    discovery, fit, test = parts
    order = association.clump(discovery, association.associate(discovery).p, FEW)
    return [
        {"method": method, "model": name, "right": share}
        for method in METHODS
        for name, share in zip(
            names, association.identify(fit[:, :, order], test[:, :, order], method).mean(1), strict=True
        )
    ]


def _transfer(params: Params, ranks: np.ndarray, among: str) -> list[dict[str, object]]:
    """Choose and fit on some networks of two families, and name the family of others, of another width or depth."""
    places = np.arange(8).reshape(2, 2, 2)  # of two families two depths times two widths
    counts, rows = params.counts if among == ALL else (FEW,), []
    for (kind, axis), held, number in product({"depth": 1, "width": 2}.items(), (0, 1), range(params.fits)):
        # The smaller or the larger is not fitted: it is tested, by other runs than those that choose and fit.
        seen, unseen = (places.take(size, axis).ravel() for size in (1 - held, held))
        discovery, fit, _ = (own.reshape(2, -1, ranks.shape[2]) for own in params.roles(ranks[seen], number))
        test = params.roles(ranks[unseen], number)[2].reshape(2, -1, ranks.shape[2])
        order = association.clump(discovery, association.associate(discovery).p, max(counts))
        about = {"among": among, "kind": kind, "held": held, "fit": params.first_seed + number}
        for count, method in product(counts, METHODS):
            right = association.identify(*(runs[:, :, order[:count]] for runs in (fit, test)), method)
            shares = right.reshape(len(unseen), -1).mean(1)
            rows += [about | {"count": count, "method": method, "model": params.models[place], "right": share}
                     for place, share in zip(unseen, shares, strict=True)]  # fmt: skip
    return rows


def _confusion(params: Params, ranks: np.ndarray) -> pd.DataFrame:
    """Share of test runs of each architecture for which each architecture was named, over all fits."""
    shares = []
    for number in range(params.fits):
        discovery, fit, test = params.roles(ranks, number)
        order = choices(params, discovery, number)["chosen"][0]
        answers = association.answers(fit[:, :, order], test[:, :, order], "logistic")
        shares.append((answers[:, :, None] == np.arange(len(answers))).mean(1))
    return grid(np.mean(shares, axis=0), {"model": params.models, "named": params.models}, "share")


# --- claims ----------------------------------------------------------------------------------------------------------

# A value is the share of right answers about the test runs of a fit, mean over the architectures, which are given. Fits
# are the units. No run tests a fit that it chose or fitted; the runs that test a fit choose and fit in the next one.
study.unless(inductive_bias.did_not_learn)


def answers_are_constant(t: Tables) -> str:
    """Claims are void where the runs of an architecture reach a mean training accuracy below 0.5, or all architectures
    together one above 0.99: final answers then hardly vary."""
    accuracy = t["runs"].groupby("model").train_accuracy.mean().mean()
    constant = f"mean training accuracy is {accuracy:.1%}: final answers hardly vary" if accuracy > CONSTANT else ""
    return inductive_bias.did_not_learn(t) or constant


WORTH = 0.1  # one network in ten: a smaller gain would not be worth the choice of examples
THRICE = 0.3  # of networks: three times what a guess among ten architectures names
NAMED = f"share of networks whose architecture (of 10) is named from {FEW} examples"
KIN = f"share of networks whose family (of 3) is named from {FEW} examples"
CARRIED = f"share of networks of the first two families named rightly from {FEW} examples chosen and fitted at another"
UNITS = "mean over fits"


def _share(t: Tables, choice: str, what: str, score: str = SCORE, among: str = ALL) -> pd.Series:
    """What each fit names, mean over the architectures."""
    few = t["few"]
    rows = few[(few.choice == choice) & (few.score == score) & (few.among == among)]
    return rows.groupby("fit")[what].agg(lambda shares: shares.mean(skipna=False))


def _minus(t: Tables, choice: str, other: str, among: str, what: str = "right") -> Interval:
    """How much more one choice names than another; accuracies and final answers of a run know no ranks."""
    beside = _share(t, other, what, among=ALL if other in (*LEVELS, "answers") else among)
    return intervals.mean(_share(t, choice, what, among=among) - beside, CORRELATION)


def names_more(id: str, within: str, statement: str, by: str, choice: str, other: str, what="right", **about) -> None:
    """Declare that one choice names more networks than another."""
    about = {"by": f"{by}, {UNITS}", "region": above(0.0), "margin": WORTH, "figure": "a"} | about
    twins(study, id, within, statement, **about)(lambda t, among: _minus(t, choice, other, among, what))


@twins(
    study, "D12r", "D12s", "A few sensitive examples identify the architecture of a network", by=f"{NAMED}, {UNITS}",
    origin=Origin.ABSTRACT, region=above(THRICE), margin=WORTH, figure="a",
)  # fmt: skip
def named_from_few(t: Tables, among: str) -> Interval:
    return intervals.mean(_share(t, "chosen", "right", among=among), SHARE)


names_more(
    "D12", "D12g", "A few chosen examples identify the architecture better than as many random ones",
    f"{NAMED}: chosen minus random ones", "chosen", "random",
)  # fmt: skip
names_more(
    "D12b", "D12h", "A few chosen examples identify the architecture better than the accuracy of the network",
    f"{NAMED}, minus the share named from its accuracy alone", "chosen", "accuracy",
)  # fmt: skip
names_more(
    "D12t", "D12u", "A few chosen examples identify the architecture better than the mean score of the network",
    f"{NAMED}, minus the share named from its mean score alone", "chosen", "mean score",
)  # fmt: skip
names_more(
    "D12k", "D12l", "A few chosen examples identify the family better than the accuracy of the network",
    f"{KIN}, minus the share named from its accuracy alone", "chosen", "accuracy", "family_right", figure="d",
)  # fmt: skip
names_more(
    "D12m", "D12n", "A few chosen examples and the accuracy identify the architecture better than the accuracy alone",
    f"{NAMED} and the accuracy, minus the share named from the accuracy alone", "both", "accuracy", figure="d",
)  # fmt: skip
names_more(
    "X41", "X41b",
    "Scores averaged over training, at a few examples chosen by them, tell more about the architecture than final"
    " answers at as many chosen by those",
    f"{NAMED}: ranks by {SCORE} minus being right or not, each at examples chosen by itself", "chosen", "answers",
    unless=answers_are_constant,
)  # fmt: skip


def by_another_score(id: str, score: str) -> None:
    """Declare that chosen examples tell more than random ones by another score, too."""
    about = {"by": f"{NAMED}, ranks by {score}: chosen minus random ones, {UNITS}", "margin": WORTH}
    says = f"Ranked by {score}, a few chosen examples identify the architecture better than as many random ones"

    @study.claim(id, says, region=above(0.0), figure="d", **about)
    def chosen_minus_random(t: Tables) -> Interval:
        chosen, random = (_share(t, choice, "right", score) for choice in ("chosen", "random"))
        return intervals.mean(chosen - random, CORRELATION)


for _id, _score in zip(("D12o", "D12p", "D12q"), OTHERS, strict=True):
    by_another_score(_id, _score)


def _by_regression(table: pd.DataFrame, **where: str | int) -> pd.DataFrame:
    rows = table[table.method == "logistic"]
    return rows[(rows[list(where)] == pd.Series(where)).all(axis=1)]


@study.claim("D12c", by=f"{NAMED}, {UNITS}; at most twice chance", region=below(0.2), kind=Kind.CHECK)
def nothing_where_dealt_at_random(t: Tables) -> Interval:
    """Where the runs are dealt to architectures at random, nothing is identified."""
    rows = _by_regression(t["controls"], control="shuffled")
    return intervals.mean(rows.groupby("fit").right.mean(), SHARE)


HALF = f"share of networks whose half is named from {FEW} examples, mean over architectures; chance is 0.5"


@study.claim("D12d", by=HALF, region=between(0.35, 0.65), kind=Kind.CHECK)
def halves_are_alike(t: Tables) -> Interval:
    """Two halves of the runs of one architecture are not told apart."""
    return intervals.mean(_by_regression(t["controls"], control="halves").right, SHARE)


def carried_over(id: str, within: str, kind: str) -> None:
    """Declare that fingerprints name the family of networks of a width or depth that was not fitted."""
    # Chance is 0.5. A fit at either size names those of the other, by runs of its own: their mean is a unit.
    about = {"by": f"{CARRIED} {kind}, {UNITS}", "region": above(0.5), "margin": 0.25, "figure": "b"}

    @twins(study, id, within, f"Fingerprints of families carry over to {kind}s that were not fitted", **about)
    def named_at_another_size(t: Tables, among: str) -> Interval:
        rows = _by_regression(t["transfer"], kind=kind, count=FEW, among=among)
        return intervals.mean(rows.groupby("fit").right.mean(), SHARE)


carried_over("D12e", "D12i", "width")
carried_over("D12f", "D12j", "depth")
