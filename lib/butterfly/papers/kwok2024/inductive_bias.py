"""Notebook 12: which examples betray the architecture, and how many."""

import re
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
from butterfly.study.parameters import plain
from butterfly.study.tables import of_places

SCORE = "el2n.mean"
GROUP = 8  # runs of each architecture from which one independent value of a claim is taken
APART = 1000  # seeds of one architecture lie this far from those of the next: no two share their order of data
NULL = 20  # shufflings of the runs, for the null distribution of the share of variance


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
    def architectures(self) -> str:
        """The families, for the scope of claims."""
        return ", ".join(self.largest)


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
        "width": [own[-2:] for own in (params.first, params.second, params.third)],
        "nothing": [(model, model) for model in large],
    }


study = Study("12_inductive_bias", Params, PAPER, on="setting", origin=Origin.OURS)
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


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `setting`.

    `runs`: accuracies. `contrasts`: for every group of runs and pair of architectures, the share of examples that tell
    them apart, and the inflation of the test. `split`: variance of examples, architectures with examples, and runs.
    `factors`: share of variance by family, depth and width. `examples`: the tests of each example, over all runs.
    `sensitivity`: what claims take from each group. `shown`: the most and least sensitive examples, value by value.
    """
    return of_places("setting", {k: tables_of(params, k, runs) for k, runs in scored(params, shards).items()})


def tables_of(params: Params, name: str, runs: dict[str, Arrays]) -> dict[str, pd.DataFrame]:
    """The tables of one setting, from its scored runs by architecture."""
    ranks = {model: reliability.ranks(own[SCORE]) for model, own in runs.items()}
    groups = [{model: r[g : g + GROUP] for model, r in ranks.items()} for g in range(0, params.runs, GROUP)]
    halves = ("train_accuracy", "test_accuracy")
    accuracy = [pd.DataFrame({"model": m, **{h: own[h] for h in halves}}) for m, own in runs.items()]
    examples = _examples(params, ranks, runs[params.first[0]]["label"])
    return {
        "runs": pd.concat(accuracy, ignore_index=True),
        "contrasts": pd.DataFrame([row for g in range(len(groups)) for row in _contrasts(params, groups, g)]),
        "split": pd.DataFrame(_split(params, ranks)),
        "factors": pd.DataFrame([row for g, few in enumerate(groups) for row in _factors(params, few, g)]),
        "sensitivity": pd.DataFrame([_sensitivity(params, few, g) for g, few in enumerate(groups)]),
        "examples": examples,
        "shown": _shown(data.load(params.at(name).data).x, examples),
    }


def _contrasts(params: Params, groups: list[dict[str, np.ndarray]], group: int) -> list[dict]:
    """How many examples tell two architectures apart; two groups of runs of one architecture for `nothing`."""
    rows = []
    for kind, couples in pairs(params).items():
        other = group ^ 1 if kind == "nothing" else group  # the group beside this one
        for one, two in couples:
            values = np.stack([groups[group][one], groups[other][two]])
            p = association.associate(values).p
            # Without the means: strong associations, dealt anew, would all be dealt alike.
            residuals = values - values.mean(1, keepdims=True)
            chance = association.associate(association.shuffled(residuals, 100 * group + len(rows))).p
            about = {"group": group, "kind": kind, "one": one, "two": two, "share": association.discoveries(p).mean()}
            rows.append(about | {"inflation": association.inflation(p), "shuffled": association.inflation(chance)})
    return rows


def _split(params: Params, ranks: dict[str, np.ndarray]) -> list[dict]:
    """The variance of ranks, split for several sets of architectures."""
    sets = {"three families": params.largest.values()}
    for kind in ("depth", "width"):
        sets |= {f"{family(pair[0]).upper()}s of two {kind}s": pair for pair in pairs(params)[kind]}
    values = {name: np.stack([ranks[model] for model in own]) for name, own in sets.items()}
    return [{"contrast": name, **association.variance_split(own)} for name, own in values.items()]


def _factors(params: Params, few: dict[str, np.ndarray], group: int) -> list[dict]:
    """Share of the variance over runs that family, depth and width explain, mean over examples.

    The first two families are two depths times two widths; depth and width are effects within a family.
    """
    values = np.stack([np.stack([few[model] for model in four]) for four in (params.first, params.second)])
    values = values.reshape(2, 2, 2, GROUP, -1)  # family, depth, width, run, example
    total = ((values - values.mean((0, 1, 2, 3))) ** 2).sum((0, 1, 2, 3))
    within = values.mean((1, 2, 3), keepdims=True)
    effects = {
        "family": within - values.mean((0, 1, 2, 3), keepdims=True),
        "depth": values.mean((2, 3), keepdims=True) - within,
        "width": values.mean((1, 3), keepdims=True) - within,
    }
    rows = []
    for factor, effect in effects.items():
        repeats = np.prod(values.shape[:4]) / np.prod(effect.shape[:4])
        share = float(np.mean(repeats * (effect**2).sum((0, 1, 2, 3))[total > 0] / total[total > 0]))
        rows.append({"group": group, "factor": factor, "share": share})
    return rows


def _sensitivity(params: Params, few: dict[str, np.ndarray], group: int) -> dict[str, float]:
    """How many examples are more sensitive to the family than chance explains, and how many are not at all."""
    values = np.stack([few[model] for model in params.largest.values()])
    explained, chance = association.associate(values).eta_squared, _chance(values, group)
    sensitive, insensitive = explained > np.percentile(chance, 99), explained < np.percentile(chance, 50)
    return {"group": group, "sensitive": sensitive.mean(), "insensitive": insensitive.mean()}


def _chance(values: np.ndarray, seed: int) -> np.ndarray:
    """Shares of variance `[NULL * N]` that architectures explain where the runs are dealt to them at random."""
    dealt = (association.shuffled(values, NULL * seed + k) for k in range(NULL))
    return np.concatenate([association.associate(own).eta_squared for own in dealt])


def _examples(params: Params, ranks: dict[str, np.ndarray], label: np.ndarray) -> pd.DataFrame:
    """For each example, over all runs: tests of all families, of the first two, and of two halves of the first."""
    families = np.stack([ranks[model] for model in params.largest.values()])
    tests = {"families": families, "pair": families[:2], "halves": np.stack(np.split(families[0], 2))}
    columns = {"id": np.arange(len(label)), "label": label}
    columns |= {f"rank_{name}": ranks[model].mean(0) for name, model in params.largest.items()}
    for name, values in tests.items():
        test = association.associate(values)
        columns |= {f"p_{name}": test.p, f"eta_{name}": test.eta_squared}
    return pd.DataFrame(columns | {"eta_chance": _chance(families, 0)[: len(label)]})


def _shown(x: Tensor, examples: pd.DataFrame, count: int = 6) -> pd.DataFrame:
    """The values of the examples whose ranks depend most on the family, and of hard ones that depend least."""
    hard = examples[examples.filter(like="rank_").mean(axis=1) > 0.75]
    picked = {"most": examples.nlargest(count, "eta_families"), "least": hard.nsmallest(count, "eta_families")}
    rows = [
        pd.DataFrame({"kind": kind, "place": place, "id": id, "value": x[id].flatten().tolist()})
        for kind, own in picked.items()
        for place, id in enumerate(own.id)
    ]
    return pd.concat(rows, ignore_index=True)


# --- claims ----------------------------------------------------------------------------------------------------------

# A unit is a group of runs; groups share none. Two groups of one architecture make one comparison, which both report.
TOLD = f"share of examples with another rank by {SCORE} at a false discovery rate of 5 %, {GROUP} runs each: "
BEYOND = "share of examples whose variance explained by the family lies, among those of shuffled runs,"
EXPLAINED = "share of variance explained by width minus that by"


def _told(t: Tables) -> pd.DataFrame:
    return t["contrasts"].groupby(["kind", "group"]).share.mean().unstack("kind")


def _width_minus(t: Tables, factor: str) -> Interval:
    explained = t["factors"].pivot(index="group", columns="factor", values="share")
    return intervals.mean(explained.width - explained[factor])


@study.claim(
    "D10", by=TOLD + "another family minus another depth or width", region=above(0.0), figure="b",
    origin=Origin.NOTEBOOK, place="architecture effect (fig_bias)",
)  # fmt: skip
def families_differ_most(t: Tables) -> Interval:
    """Networks of other families rank more examples otherwise than networks of other depth or width."""
    told = _told(t)
    return intervals.mean(told.family - told[["depth", "width"]].mean(axis=1))


@study.claim("D10b", by=TOLD + "another size minus the same one; a unit is two groups", region=above(0.0), figure="b")
def sizes_differ_more_than_runs(t: Tables) -> Interval:
    """and those of other depth or width more than other runs of the same architecture."""
    told = _told(t)
    both = told.groupby(told.index // 2).mean()
    return intervals.mean(both[["depth", "width"]].mean(axis=1) - both.nothing)


@study.claim("D10c", by=TOLD + "same network; a unit is two groups", region=below(0.01), figure="b", kind=Kind.CHECK)
def runs_do_not_differ(t: Tables) -> Interval:
    """Other runs of the same architecture rank no example otherwise."""
    same = t["contrasts"][t["contrasts"].kind == "nothing"]
    return intervals.mean(same[same.group % 2 == 0].share)


@study.claim("D11", by=f"{BEYOND} above the 99th percentile", region=above(0.1), figure="d", origin=Origin.ABSTRACT)
def many_are_sensitive(t: Tables) -> Interval:
    """Many examples are sensitive to the family of the network."""
    return intervals.mean(t["sensitivity"].sensitive)


@study.claim("D11b", by=f"{BEYOND} below the median", region=above(0.05), figure="d", origin=Origin.ABSTRACT)
def some_are_not_sensitive(t: Tables) -> Interval:
    """and some are not sensitive at all."""
    return intervals.mean(t["sensitivity"].insensitive)


@study.claim("D20", by=f"{EXPLAINED} depth, mean over examples", region=below(0.0))
def width_changes_less_than_depth(t: Tables) -> Interval:
    """Width changes the ranks less than depth."""
    return _width_minus(t, "depth")


@study.claim("D20b", by=f"{EXPLAINED} the family, mean over examples", region=below(0.0))
def width_changes_less_than_family(t: Tables) -> Interval:
    """and less than the family."""
    return _width_minus(t, "family")


@study.claim("X40", by="mean genomic-control inflation on shuffled runs", region=between(0.8, 1.25), kind=Kind.CHECK)
def the_test_is_honest(t: Tables) -> Interval:
    """The test is honest: where nothing differs, its p-values are those of chance."""
    shuffled = t["contrasts"].groupby(["kind", "group"]).shuffled.mean()
    return intervals.mean(shuffled.groupby("group").mean())
