"""Notebook 12: which examples betray the architecture, and how many."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import association, data, models, reliability
from butterfly.papers.kwok2024 import PAPER, score_runs
from butterfly.study import Arrays, Interval, Kind, Origin, Setting, Shard, Study, Tables, Trained, intervals
from butterfly.study.claims import above, below, between
from butterfly.study.intervals import CORRELATION, SHARE
from butterfly.study.parameters import plain
from butterfly.study.tables import of_places

SCORE = "el2n.mean"
OTHERS = ("confidence.mean", "margin.logit.mean", "correctness")  # beside it: of probabilities, of logits, of answers
ALL, CLASS = "all", "class"  # an example's rank is among all examples, or among those of its class
AMONG = {ALL: "ranks among all examples", CLASS: "ranks among examples of the same class"}
GROUP = 8  # runs of each architecture from which one independent value of a claim is taken
APART = 1000  # seeds of one architecture lie this far from those of the next: no two share their order of data
# Of the variance of an example's rank over runs and families: a sensitive example owes a quarter or more to the family
# (a correlation ratio of a half), an insensitive one less than a twentieth.
SENSITIVE, INSENSITIVE = 0.25, 0.05
LEARNED = 0.5  # mean training accuracy below which an architecture did not learn; chance is 0.1


class Params(Trained):
    """Parameters of notebooks 12 and 13: the same architectures for each setting; an empty `real` leaves that out."""

    setting: str = "mnist1d-scores"
    real: str = ""
    # Of two families of networks a smaller and a larger depth and width, all four combinations; of a third two widths.
    first: tuple[str, ...] = ("mlp-1x8", "mlp-1x16", "mlp-2x8", "mlp-2x16")
    second: tuple[str, ...] = ("cnn-1x4", "cnn-1x8", "cnn-2x4", "cnn-2x8")
    third: tuple[str, ...] = ("gru-4", "gru-8")
    steps: int | None = Field(80, gt=0)  # None: the settings' own
    runs: int = Field(16, ge=2 * GROUP, le=APART)
    runs_per_shard: int = Field(16, ge=1)
    looks: int = Field(8, ge=1)
    examples: int | None = Field(200, ge=50)  # None: all

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.runs % (2 * GROUP):
            raise ValueError(f"runs = {self.runs}: give a multiple of {2 * GROUP}, for two halves of whole groups")
        for name, model in product(self.places.values(), self.models):
            models.build(model, data.input_shape(self.at(name).data), classes=10)  # refuses what does not fit
        for four in (self.first, self.second):
            layout(four)
        sizes = [tuple(map(int, re.findall(r"\d+", model))) for model in self.third]
        if len(sizes) != 2 or sizes[0][:-1] != sizes[1][:-1] or sizes[0] >= sizes[1]:
            raise ValueError(f"third = {list(self.third)}: give two rising widths, as in gru-4, gru-8")
        families = [{family(model) for model in own} for own in (self.first, self.second, self.third)]
        if sum(map(len, families)) != 3 or len(set.union(*families)) != 3:
            raise ValueError(f"{', '.join(self.models)}: give three families, each in its own list")
        return self

    @property
    def places(self) -> dict[str, str]:
        """The settings, by what the ids of their claims end in."""
        return score_runs.places(self.setting, self.real)

    def at(self, name: str) -> Setting:
        """A setting as it is trained: the main one with what the parameters change of it."""
        return self.chosen(name, self.steps) if name == self.setting else plain(name, self.steps)

    @property
    def models(self) -> tuple[str, ...]:
        """All architectures, family by family."""
        return (*self.first, *self.second, *self.third)

    @property
    def largest(self) -> dict[str, str]:
        """The last architecture of each family, by the family's name."""
        return {family(own[-1]): own[-1] for own in (self.first, self.second, self.third)}

    @property
    def names(self) -> tuple[str, ...]:
        """The families, for statements of claims."""
        return tuple(name.upper() for name in self.largest)

    @property
    def architectures(self) -> str:
        """The families, for the scope of claims."""
        return ", ".join(self.largest)

    @property
    def depths(self) -> str:
        """The two depths of each of the first two families, for statements of claims."""
        return self._sizes(0)

    @property
    def widths(self) -> str:
        """Their two widths."""
        return self._sizes(1)

    def _sizes(self, axis: int) -> str:
        own = {family(four[0]): sorted({size[axis] for size in layout(four).values()})
               for four in (self.first, self.second)}  # fmt: skip
        return ", ".join(f"{name.upper()} {low} to {high}" for name, (low, high) in own.items())


def family(model: str) -> str:
    """The family of an architecture: `mlp` of `mlp-2x16`, `resnet` of `resnet20-16`."""
    return re.match("[a-z]+", model)[0]


def layout(four: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Depth and width of four architectures of a family; `ValueError` unless they are two depths times two widths."""
    matches = {model: re.fullmatch(r"[a-z]+-?(\d+)[x-](\d+)", model) for model in four}
    sizes = {model: (int(match[1]), int(match[2])) for model, match in matches.items() if match}
    depths, widths = sorted({d for d, _ in sizes.values()}), sorted({w for _, w in sizes.values()})
    if list(sizes.values()) != [(d, w) for d in depths for w in widths] or (len(depths), len(widths)) != (2, 2):
        raise ValueError(f"{list(four)}: give two depths times two widths, as in mlp-1x8, mlp-1x16, mlp-2x8, mlp-2x16")
    return sizes


def pairs(params: Params) -> dict[str, list[tuple[str, str]]]:
    """Pairs of architectures by what distinguishes them."""
    large = list(params.largest.values())
    return {
        "family": list(combinations(large, 2)),
        "depth": [(four[1], four[3]) for four in (params.first, params.second)],
        "width": [tuple(own[-2:]) for own in (params.first, params.second, params.third)],
        "nothing": [(model, model) for model in large],
    }


study = score_runs.OneDataSet("12_inductive_bias", Params, PAPER, on="setting", origin=Origin.OURS)
study.shard(score_runs.measure_scores)


@study.plan
def plan(params: Params) -> list[Shard]:
    """The shards of every architecture in every setting, which belong to `setting/architecture`."""
    shards = []
    for name, (place, model) in product(params.places.values(), enumerate(params.models)):
        network, trained = f"{name}/{model}", params.at(name).changed(model=model)
        shards += score_runs.plan(study, params, network, trained, params.runs, probed=False, first=APART * place)
    return shards


def scored(params: Params, shards: list[Shard]) -> dict[str, dict[str, Arrays]]:
    """The scored runs of each setting, by architecture."""
    runs = score_runs.joined(shards)
    return {name: {m: runs[f"{name}/{m}"] for m in params.models} for name in params.places.values()}


# --- ranks and effects ------------------------------------------------------------------------------------------------


def ranked(values: np.ndarray, label: np.ndarray, among: str) -> np.ndarray:
    """Rank of each example within its run `[R, N]`, 0 to 1: among all, or among its class (0.5 if it is alone there).

    Ranks within classes owe nothing to which classes an architecture finds hard.
    """
    if among == ALL:
        return reliability.ranks(values)
    found = np.full(np.shape(values), 0.5)
    for own in (np.flatnonzero(label == each) for each in np.unique(label)):
        if len(own) > 1:
            found[:, own] = reliability.ranks(values[:, own])
    return found


@dataclass(frozen=True)
class Effect:
    """Sums of squares over runs, of each example `[N]`: what a factor explains, what chance alone would, and all."""

    between: np.ndarray
    chance: np.ndarray
    total: np.ndarray

    @property
    def eta(self) -> np.ndarray:
        """Share of the variance that is explained `[N]`; above 0 also where nothing differs. 0 where nothing varies."""
        return self._share(self.between)

    @property
    def epsilon(self) -> np.ndarray:
        """The same without what chance explains (Kelley's epsilon squared): 0 on average where nothing differs."""
        return self._share(self.between - self.chance)

    @property
    def pooled(self) -> float:
        """Epsilon squared of all examples together: those whose ranks vary more count more."""
        return float((self.between - self.chance).sum() / self.total.sum())

    def row(self) -> dict[str, float]:
        """The three as means over the examples that vary at all."""
        varies = self.total > 0
        return {"eta": self.eta[varies].mean(), "epsilon": self.epsilon[varies].mean(), "pooled": self.pooled}

    def _share(self, part: np.ndarray) -> np.ndarray:
        return np.where(self.total > 0, part / np.where(self.total > 0, self.total, 1), 0.0)


def effect(values: np.ndarray) -> Effect:
    """What the architecture explains of `[A, R, N]`."""
    groups, runs, _ = values.shape
    means = values.mean(1)
    between = runs * ((means - means.mean(0)) ** 2).sum(0)
    within = ((values - means[:, None]) ** 2).sum((0, 1))
    return Effect(between, within / (groups * (runs - 1)) * (groups - 1), between + within)


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `setting`; `among` says whether ranks are among all examples or within classes.

    `runs`: accuracies. `contrasts`: for every group of runs, pair of architectures and score, the share of examples
    that tell the two apart, the share of variance they explain, and the inflation of the test. `split`: variance of
    examples, architectures with examples, and runs, and the part of classes. `factors`: share of variance by family,
    depth and width, and by each of these two at both ends of the other. `sensitivity`: what claims take from each
    group. `examples`: the tests of each example, over all runs. `shown`: the most and least sensitive, value by value.
    """
    return of_places("setting", {k: tables_of(params, k, runs) for k, runs in scored(params, shards).items()})


def tables_of(params: Params, name: str, runs: dict[str, Arrays]) -> dict[str, pd.DataFrame]:
    """The tables of one setting, from its scored runs by architecture."""
    label, halves = runs[params.first[0]]["label"], ("train_accuracy", "test_accuracy")
    accuracy = [pd.DataFrame({"model": m, **{h: own[h] for h in halves}}) for m, own in runs.items()]
    rows: dict[str, list[dict]] = {"contrasts": [], "split": [], "factors": [], "sensitivity": []}
    by_class: dict[str, dict[str, np.ndarray]] = {}
    for score, among in product((SCORE, *OTHERS), AMONG):
        ranks = {model: ranked(own[score], label, among) for model, own in runs.items()}
        found = {"contrasts": _contrasts(params, ranks)}
        if score == SCORE:
            by_class[among] = ranks
            found |= {"factors": _factors(params, ranks), "sensitivity": _sensitivity(params, ranks)}
            found["split"] = _split(params, ranks, label)
        for table, some in found.items():
            rows[table] += [{"score": score, "among": among} | row for row in some]
    examples = _examples(params, *by_class.values(), label)
    tables = {table: pd.DataFrame(some) for table, some in rows.items()}
    shown = _shown(data.load(params.at(name).data).x, examples)
    return {"runs": pd.concat(accuracy, ignore_index=True), **tables, "examples": examples, "shown": shown}


def _groups(params: Params, ranks: dict[str, np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
    """Groups of runs that share none, numbered from the first seed."""
    runs = len(ranks[params.first[0]])
    return {
        params.first_seed + start // GROUP: {model: own[start : start + GROUP] for model, own in ranks.items()}
        for start in range(0, runs, GROUP)
    }


def _contrasts(params: Params, ranks: dict[str, np.ndarray]) -> list[dict]:
    """How far the ranks of two architectures differ; for `nothing`, those of two groups of runs of one architecture."""
    groups, rows = _groups(params, ranks), []
    for (group, few), (kind, couples) in product(groups.items(), pairs(params).items()):
        # Groups side by side make one comparison of an architecture with itself: it stands with the first of them.
        first = (group - params.first_seed) % 2 == 0
        if kind == "nothing" and not first:
            continue
        other = groups[group + 1] if kind == "nothing" else few
        for one, two in couples:
            about = {"group": group, "kind": kind, "one": one, "two": two}
            rows.append(about | _contrast(np.stack([few[one], other[two]]), 100 * group + len(rows) % 100))
    return rows


def _contrast(values: np.ndarray, seed: int) -> dict[str, float]:
    """One comparison: share of examples told apart, share of variance explained, inflation as is and shuffled."""
    p = association.associate(values).p
    # Without the means: strong associations, dealt anew, would all be dealt alike.
    residuals = values - values.mean(1, keepdims=True)
    chance = association.associate(association.shuffled(residuals, seed)).p
    told = {"share": association.discoveries(p).mean(), "inflation": association.inflation(p)}
    return told | {"shuffled": association.inflation(chance)} | effect(values).row()


def _split(params: Params, ranks: dict[str, np.ndarray], label: np.ndarray) -> list[dict]:
    """The variance of ranks, split for several sets of architectures; `class ...`: the parts that are of classes."""
    sets = {"three families": tuple(params.largest.values())}
    for kind in ("depth", "width"):
        sets |= {f"{family(pair[0]).upper()}s of two {kind}s": pair for pair in pairs(params)[kind]}
    rows = []
    for name, own in sets.items():
        values = np.stack([ranks[model] for model in own])
        rows.append({"contrast": name, **association.variance_split(values), **_of_classes(values, label)})
    return rows


def _of_classes(values: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """How much of the variance of examples, and of architectures with examples, lies between classes `[A, R, N]`."""
    groups, runs, count = values.shape
    cells = values.mean(1) - values.mean((1, 2))[:, None]
    run = ((values - values.mean(1, keepdims=True)) ** 2).sum() / (groups * (runs - 1) * (count - 1))
    deviations = cells - cells.mean(0)
    interaction = (deviations**2).sum() / ((groups - 1) * (count - 1)) - run / runs
    example = cells.mean(0).var(ddof=1) - interaction / groups - run / (groups * runs)
    parts = {"class": (_between(cells.mean(0), label), example)}
    parts["architecture x class"] = (sum(_between(d, label) for d in deviations) / (groups - 1), interaction)
    return {f"part of {name}": float(np.clip(part / whole, 0, 1)) if whole > 0 else 0.0
            for name, (part, whole) in parts.items()}  # fmt: skip


def _between(values: np.ndarray, label: np.ndarray) -> float:
    """Variance of values `[N]` that lies between classes, without what chance puts there."""
    sizes, places = np.unique(label, return_counts=True)[1], np.unique(label, return_inverse=True)[1]
    means = np.bincount(places, values) / sizes
    within = ((values - means[places]) ** 2).sum() / (len(values) - len(sizes))
    between = (sizes * (means - values.mean()) ** 2).sum()
    return float(between - (len(sizes) - 1) * within) / (len(values) - 1)


def _factors(params: Params, ranks: dict[str, np.ndarray]) -> list[dict]:
    """What family, depth and width explain in each group of runs, as means over examples.

    The first two families are two depths times two widths. Depth and width are main effects within a family; "depth of
    narrow" and the like compare two networks of each family, at one end of the other factor, and are means over the two
    families.
    """
    rows = []
    for group, few in _groups(params, ranks).items():
        values = np.stack([np.stack([few[model] for model in four]) for four in (params.first, params.second)])
        values = values.reshape(2, 2, 2, *values.shape[2:])  # family, depth, width, run, example
        found = {name: own.row() for name, own in _main_effects(values).items()}
        ends = {"depth of narrow": values[:, :, 0], "depth of wide": values[:, :, 1],
                "width of shallow": values[:, 0], "width of deep": values[:, 1]}  # fmt: skip
        for name, own in ends.items():
            found[name] = pd.DataFrame([effect(two).row() for two in own]).mean().to_dict()
        rows += [{"group": group, "factor": name, **row} for name, row in found.items()]
    return rows


def _main_effects(values: np.ndarray) -> dict[str, Effect]:
    """Family, and depth and width within a family, of `[2, 2, 2, R, N]`."""
    total = ((values - values.mean((0, 1, 2, 3))) ** 2).sum((0, 1, 2, 3))
    within = ((values - values.mean(3, keepdims=True)) ** 2).sum((0, 1, 2, 3)) / (8 * (values.shape[3] - 1))
    of_family = values.mean((1, 2, 3), keepdims=True)
    effects = {
        "family": (of_family - values.mean((0, 1, 2, 3), keepdims=True), 1),
        "depth": (values.mean((2, 3), keepdims=True) - of_family, 2),
        "width": (values.mean((1, 3), keepdims=True) - of_family, 2),
    }
    repeats = {name: np.prod(values.shape[:4]) / np.prod(own.shape[:4]) for name, (own, _) in effects.items()}
    return {name: Effect(repeats[name] * (own**2).sum((0, 1, 2, 3)), freedom * within, total)
            for name, (own, freedom) in effects.items()}  # fmt: skip


def _sensitivity(params: Params, ranks: dict[str, np.ndarray]) -> list[dict]:
    """Share of examples that owe much, and little, to the family: a pseudo-value of each group of runs.

    The jackknife leaves out a group of runs and, with it, a part of the examples drawn by lot, so that the spread of
    its pseudo-values is that of runs and examples; their mean is freed of what the number of runs does to such shares.
    """
    values = np.stack([ranks[model] for model in params.largest.values()])
    count = values.shape[1] // GROUP
    lot = np.random.default_rng(params.first_seed).permutation(values.shape[2]) % count
    whole, rows = _beyond_bounds(values), []
    for group in range(count):
        rest = np.delete(values, np.s_[group * GROUP : (group + 1) * GROUP], axis=1)[:, :, lot != group]
        without = _beyond_bounds(rest)
        pseudo = {name: count * whole[name] - (count - 1) * without[name] for name in whole}
        rows.append({"group": params.first_seed + group, **pseudo})
    return rows


def _beyond_bounds(values: np.ndarray) -> dict[str, float]:
    explained = effect(values).epsilon
    return {"sensitive": (explained > SENSITIVE).mean(), "insensitive": (explained < INSENSITIVE).mean()}


def _examples(
    params: Params, ranks: dict[str, np.ndarray], in_class: dict[str, np.ndarray], label: np.ndarray
) -> pd.DataFrame:
    """For each example, over all runs: mean ranks, p-values for two families and two halves of one, and effects."""
    large = list(params.largest.items())
    families, within = (np.stack([own[model] for _, model in large]) for own in (ranks, in_class))
    tests = {"pair": families[:2], "pair_in_class": within[:2], "halves": np.stack(np.split(families[0], 2))}
    columns = {"id": np.arange(len(label)), "label": label}
    columns |= {f"rank_{name}": ranks[model].mean(0) for name, model in large}
    columns |= {f"p_{name}": association.associate(values).p for name, values in tests.items()}
    shuffled = association.shuffled(families, params.first_seed)
    explained = {"families": families, "families_in_class": within, "chance": shuffled}
    return pd.DataFrame(columns | {f"epsilon_{name}": effect(values).epsilon for name, values in explained.items()})


def _shown(x: Tensor, examples: pd.DataFrame, count: int = 6) -> pd.DataFrame:
    """The values of the examples whose ranks depend most on the family, and of hard ones that depend least."""
    hard = examples[examples.filter(like="rank_").mean(axis=1) > 0.75]
    picked = {"most": examples.nlargest(count, "epsilon_families"), "least": hard.nsmallest(count, "epsilon_families")}
    rows = [
        pd.DataFrame({"kind": kind, "place": place, "id": id, "value": x[id].flatten().tolist()})
        for kind, own in picked.items()
        for place, id in enumerate(own.id)
    ]
    return pd.concat(rows, ignore_index=True)


# --- claims ----------------------------------------------------------------------------------------------------------

# A unit is a group of runs; groups share none. Two groups of one architecture make one comparison of it with itself.
TOLD = f"share of examples with another mean rank at a false discovery rate of 5 %, {GROUP} runs each: "
EXPLAINED = "share of the variance of a rank over runs that it explains (epsilon squared, mean over examples): "
OWES = "share of examples of whose variance over runs the family explains (epsilon squared)"
PAIRS = ((0, 1), (0, 2), (1, 2))  # of families
WORTH = 0.05  # fewer examples than one in twenty would not matter to who chooses data: too few for "some"
LITTLE = 0.01  # of the variance over runs: a difference as small as that decides nothing


@study.unless
def did_not_learn(t: Tables) -> str:
    """Claims are void where the runs of an architecture reach a mean training accuracy below 0.5."""
    accuracy = t["runs"].groupby("model").train_accuracy.mean()
    poor = accuracy[~(accuracy >= LEARNED)]
    return f"{', '.join(poor.index)} did not learn" if len(poor) else ""


def twins(study: Study, id: str, within: str, statement: str, *, by: str, **about) -> Callable:
    """Declare a claim on ranks among all examples as `id`, and its twin on ranks within classes, ours, as `within`.

    The function measures it from tables and `among`.
    """

    def declare(measure: Callable[[Tables, str], Interval]) -> Callable:
        study.claim(id, statement, by=f"{by}; {AMONG[ALL]}", **about)(partial(measure, among=ALL))
        ours = about | {"origin": Origin.OURS, "place": ""}
        also = f"{statement}, also when ranked among examples of the same class only"
        study.claim(within, also, by=f"{by}; {AMONG[CLASS]}", **ours)(partial(measure, among=CLASS))
        return measure

    return declare


def _where(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    return table[(table[list(values)] == pd.Series(values)).all(axis=1)]


def beyond_sizes(t: Tables, pair: tuple[int, int], score: str, among: str) -> pd.Series:
    """How many more examples two families tell apart than two sizes of either do, by group of runs."""
    rows = _where(t["contrasts"], score=score, among=among)
    models = tuple(t.params.largest.values())
    one, two = (models[place] for place in pair)
    family_rows = rows[(rows.kind == "family") & (rows.one == one) & (rows.two == two)]
    own = rows.one.map(family).isin([family(one), family(two)])
    sizes = rows[rows.kind.isin(["depth", "width"]) & own]
    return family_rows.groupby("group").share.mean() - sizes.groupby("group").share.mean()


def families_differ(place: int, id: str, within: str, others: str) -> None:
    """Declare the claims on two of the three families: by the main score, and by all others."""
    pair = PAIRS[place]
    who = " and ".join(f"{{params.names[{one}]}}" for one in pair)
    says = f"{who} rank more examples otherwise than networks of one of them that differ in depth or width"
    apart = f"{TOLD}two families minus another depth or width of either"
    about = {"region": above(WORTH), "margin": WORTH, "figure": "b"}
    if place == 0:
        about |= {"origin": Origin.NOTEBOOK, "place": "architecture effect (fig_bias)"}

    @twins(study, id, within, says, by=f"{apart}; {SCORE}", **about)
    def by_main_score(t: Tables, among: str) -> Interval:
        return intervals.mean(beyond_sizes(t, pair, SCORE, among), CORRELATION)

    by = f"the least over {', '.join(OTHERS)}, with its sign turned; {apart}; {AMONG[CLASS]}"

    each_of = f"{says}, by each of {', '.join(OTHERS)}"

    @study.claim(others, each_of, by=by, region=below(-WORTH), margin=WORTH, figure="g")
    def by_other_scores(t: Tables) -> Interval:
        each = [-beyond_sizes(t, pair, score, CLASS) for score in OTHERS]
        return intervals.largest_mean(np.stack(each, axis=1), CORRELATION)


families_differ(0, "D10", "D10f", "D10j")
families_differ(1, "D10d", "D10g", "D10k")
families_differ(2, "D10e", "D10h", "D10l")


@twins(
    study, "D10b", "D10i", "Networks of one family that differ in depth or width rank examples otherwise",
    by=f"{EXPLAINED}depth or width, mean over families", region=above(LITTLE), margin=LITTLE, figure="b",
)  # fmt: skip
def sizes_differ(t: Tables, among: str) -> Interval:
    rows = _where(t["contrasts"], score=SCORE, among=among)
    sizes = rows[rows.kind.isin(["depth", "width"])]
    return intervals.mean(sizes.groupby("group").epsilon.mean())


@study.claim(
    "D10c", by=f"{EXPLAINED}which runs they are; {AMONG[ALL]}", region=between(-0.02, 0.02), figure="b", kind=Kind.CHECK
)
def runs_do_not_differ(t: Tables) -> Interval:
    """Two sets of runs of the same architecture rank no example otherwise."""
    return intervals.mean(_where(t["contrasts"], kind="nothing", score=SCORE, among=ALL).epsilon)


@twins(
    study, "D11", "D11c", "Some examples are highly sensitive to the family of the network", origin=Origin.ABSTRACT,
    by=f"{OWES} more than {SENSITIVE:g}; jackknife over groups of runs, with parts of the examples",
    region=above(WORTH), margin=WORTH, figure="d",
)  # fmt: skip
def some_are_sensitive(t: Tables, among: str) -> Interval:
    return intervals.mean(_where(t["sensitivity"], among=among).sensitive, SHARE)


@twins(
    study, "D11b", "D11d", "Some examples are not sensitive to the family of the network", origin=Origin.ABSTRACT,
    by=f"{OWES} less than {INSENSITIVE:g}; jackknife over groups of runs, with parts of the examples",
    region=above(WORTH), margin=WORTH, figure="d",
)  # fmt: skip
def some_are_not_sensitive(t: Tables, among: str) -> Interval:
    return intervals.mean(_where(t["sensitivity"], among=among).insensitive, SHARE)


def _minus(t: Tables, one: str, other: str, among: str) -> Interval:
    """What one factor explains minus what another does, over groups of runs."""
    rows = _where(t["factors"], among=among)
    explained = rows.pivot(index="group", columns="factor", values="epsilon")
    return intervals.mean(explained[one] - explained[other])


def explains_less(id: str, within: str, statement: str, one: str, other: str, margin: float = LITTLE) -> None:
    """Declare that one factor explains less than another."""
    about = {"by": f"{EXPLAINED}{one} minus {other}", "region": below(0.0), "margin": margin, "figure": "f"}
    twins(study, id, within, statement, **about)(lambda t, among: _minus(t, one, other, among))


WIDTH, DEPTH = "width ({params.widths})", "depth ({params.depths})"
explains_less("D20", "D20e", f"{WIDTH.capitalize()} changes the ranks less than {DEPTH}", "width", "depth")
explains_less(
    "D20b", "D20f",
    f"{WIDTH.capitalize()} changes the ranks less than the family ({{params.names[0]}} or {{params.names[1]}})",
    "width", "family", WORTH,
)  # fmt: skip
explains_less(
    "D20d", "D20h", f"{DEPTH.capitalize()} changes the ranks of wide networks less than those of narrow ones",
    "depth of wide", "depth of narrow",
)  # fmt: skip


# Within classes alone: among all examples a difference of LITTLE would need 24 groups of runs, three times as many.
@study.claim(
    "D20g", f"Within classes, {WIDTH} changes the ranks of deep networks less than {DEPTH} those of wide ones",
    by=f"{EXPLAINED}width of deep minus depth of wide; {AMONG[CLASS]}", region=below(0.0), margin=LITTLE, figure="f",
)  # fmt: skip
def width_of_deep_and_depth_of_wide(t: Tables) -> Interval:
    return _minus(t, "width of deep", "depth of wide", CLASS)


@study.claim(
    "X40", by=f"mean genomic-control inflation on shuffled runs; {AMONG[ALL]}", region=between(0.8, 1.25),
    kind=Kind.CHECK,
)  # fmt: skip
def the_test_is_honest(t: Tables) -> Interval:
    """The test is honest: where nothing differs, its p-values are those of chance."""
    rows = _where(t["contrasts"], score=SCORE, among=ALL)
    shuffled = rows[rows.kind != "nothing"].groupby(["kind", "group"]).shuffled.mean()
    return intervals.mean(shuffled.groupby("group").mean())
