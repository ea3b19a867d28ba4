"""Notebook 12: which examples betray the architecture, and how many."""

import re
from itertools import combinations
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import association, claims, data, reliability
from butterfly.claims import Claim, Region
from butterfly.experiments import scored
from butterfly.experiments.common import Common
from butterfly.experiments.scored import PAPER
from butterfly.experiments.twins import chosen
from butterfly.runs import Arrays, Config

NOTEBOOK = "12_inductive_bias"
OURS = "this companion"
SCORE = "el2n.mean"
GROUP = 8  # runs of each architecture from which one independent value of a claim is taken
APART = 1000  # seeds of one architecture lie this far from those of the next: no two share their order of data
NULL = 20  # shufflings of the runs, for the null distribution of the share of variance


class Params(Common):
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
        for name in self.settings:
            for model in self.models:
                scored.parse(f"{name}/{model}")
        for models in (self.first, self.second):
            layout(models)
        sizes = [tuple(map(int, re.findall(r"\d+", model))) for model in self.third]
        if len(sizes) != 2 or sizes[0][:-1] != sizes[1][:-1] or sizes[0] >= sizes[1]:
            raise ValueError(f"third = {list(self.third)}: give two rising widths, as in gru-4, gru-8")
        families = [{family(model) for model in models} for models in (self.first, self.second, self.third)]
        if sum(map(len, families)) != 3 or len(set.union(*families)) != 3:
            raise ValueError(f"{', '.join(self.models)}: give three families, each in its own list")
        return self

    @property
    def settings(self) -> dict[str, str]:
        """Each setting, and what its claims' names end in."""
        return scored.named(main=self.setting, r=self.real)

    @property
    def models(self) -> tuple[str, ...]:
        """All architectures, family by family."""
        return (*self.first, *self.second, *self.third)

    @property
    def largest(self) -> dict[str, str]:
        """The last architecture of each family, by the family's name."""
        return {family(models[-1]): models[-1] for models in (self.first, self.second, self.third)}


def family(model: str) -> str:
    """The family of an architecture: `mlp` of `mlp-2x16`, `resnet` of `resnet20-16`."""
    return re.match("[a-z]+", model)[0]


def layout(models: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Depth and width of four architectures of a family; `ValueError` unless they are two depths times two widths."""
    found = {model: re.fullmatch(r"[a-z]+-?(\d+)[x-](\d+)", model) for model in models}
    sizes = {model: (int(match[1]), int(match[2])) for model, match in found.items() if match}
    depths, widths = sorted({d for d, _ in sizes.values()}), sorted({w for _, w in sizes.values()})
    if list(sizes.values()) != [(d, w) for d in depths for w in widths] or (len(depths), len(widths)) != (2, 2):
        raise ValueError(
            f"{list(models)}: give two depths times two widths, as in mlp-1x8, mlp-1x16, mlp-2x8, mlp-2x16"
        )
    return sizes


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> dict[str, list[Config]]:
    """The shards of every architecture in every setting, named `setting/architecture`."""
    return {
        f"{name}/{model}": scored.plan(
            name,
            model,
            params.runs,
            params.runs_per_shard,
            params.looks,
            params.examples,
            probed=False,
            device=params.device,
            steps=params.steps,
            first=APART * place,
        )
        for name in params.settings
        for place, model in enumerate(params.models)
    }


def scores_of(params: Params) -> dict[str, Arrays]:
    """Every score of every architecture in every setting."""
    return scored.score(shards(params))


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables, each with a column `setting`.

    `runs`: accuracies. `contrasts`: for every group of runs and pair of architectures, the share of examples that tell
    them apart, and the inflation of the test. `split`: variance of examples, architectures with examples, and runs.
    `factors`: share of variance by family, depth and width. `examples`: the tests of each example, over all runs.
    `sensitivity`: what claims take from each group. `shown`: the most and least sensitive examples, value by value.
    """


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    found = scores_of(params)
    tables = {
        name: _tabulate(params, name, {model: found[f"{name}/{model}"] for model in params.models})
        for name in params.settings
    }
    return Tables(scored.stacked("setting", tables))


def _tabulate(params: Params, name: str, found: dict[str, Arrays]) -> dict[str, pd.DataFrame]:
    ranks = {model: reliability.ranks(one[SCORE]) for model, one in found.items()}
    groups = range(params.runs // GROUP)
    few = [{model: r[GROUP * g : GROUP * (g + 1)] for model, r in ranks.items()} for g in groups]
    accuracy = [
        {"model": model, "train_accuracy": train, "test_accuracy": test}
        for model, one in found.items()
        for train, test in zip(one["train_accuracy"], one["test_accuracy"], strict=True)
    ]
    families = np.stack([ranks[model] for model in params.largest.values()])
    examples = _examples(params, ranks, families, found)
    return {
        "runs": pd.DataFrame(accuracy),
        "contrasts": pd.DataFrame([row for g in groups for row in _contrasts(params, few, g)]),
        "split": pd.DataFrame(
            [{"contrast": label, **association.variance_split(v)} for label, v in _families(params, ranks).items()]
        ),
        "factors": pd.DataFrame([row for g in groups for row in _factors(params, few[g], g)]),
        "sensitivity": pd.DataFrame([_sensitivity(params, few[g], g) for g in groups]),
        "examples": examples,
        "shown": _shown(name, examples),
    }


def pairs(params: Params) -> dict[str, list[tuple[str, str]]]:
    """Pairs of architectures by what distinguishes them."""
    large = list(params.largest.values())
    return {
        "family": list(combinations(large, 2)),
        "depth": [(models[1], models[3]) for models in (params.first, params.second)],
        "width": [(models[-2], models[-1]) for models in (params.first, params.second, params.third)],
        "nothing": [(model, model) for model in large],
    }


def _contrasts(params: Params, few: list[dict[str, np.ndarray]], group: int) -> list[dict]:
    """How many examples tell two architectures apart; two groups of runs of one architecture for `nothing`."""
    rows = []
    other = group + 1 if group % 2 == 0 else group - 1
    for kind, several in pairs(params).items():
        for one, two in several:
            values = np.stack([few[group][one], few[other if kind == "nothing" else group][two]])
            found = association.associate(values)
            # Without the means: strong associations, dealt anew, would all be dealt alike.
            residuals = values - values.mean(1, keepdims=True)
            chance = association.associate(association.shuffled(residuals, 100 * group + len(rows)))
            rows.append(
                {
                    "group": group,
                    "kind": kind,
                    "one": one,
                    "two": two,
                    "share": association.discoveries(found.p).mean(),
                    "inflation": association.inflation(found.p),
                    "shuffled": association.inflation(chance.p),
                }
            )
    return rows


def _families(params: Params, ranks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sets of architectures `[A, R, N]` whose variance is split."""
    found = {"three families": np.stack([ranks[model] for model in params.largest.values()])}
    for kind in ("depth", "width"):
        for one, two in pairs(params)[kind]:
            found[f"{family(one).upper()}s of two {kind}s"] = np.stack([ranks[one], ranks[two]])
    return found


def _factors(params: Params, few: dict[str, np.ndarray], group: int) -> list[dict]:
    """Share of the variance over runs that family, depth and width explain, mean over examples.

    The first two families are two depths times two widths; depth and width are effects within a family.
    """
    values = np.stack([np.stack([few[model] for model in models]) for models in (params.first, params.second)])
    values = values.reshape(2, 2, 2, GROUP, -1)  # family, depth, width, run, example
    total = ((values - values.mean((0, 1, 2, 3))) ** 2).sum((0, 1, 2, 3))
    within = values.mean((1, 2, 3), keepdims=True)
    effects = {
        "family": within - values.mean((0, 1, 2, 3), keepdims=True),
        "depth": values.mean((2, 3), keepdims=True) - within,
        "width": values.mean((1, 3), keepdims=True) - within,
    }
    found = {}
    for factor, effect in effects.items():
        repeats = np.prod(values.shape[:4]) / np.prod(effect.shape[:4])
        found[factor] = float(np.mean(repeats * (effect**2).sum((0, 1, 2, 3))[total > 0] / total[total > 0]))
    return [{"group": group, "factor": factor, "share": share} for factor, share in found.items()]


def _sensitivity(params: Params, few: dict[str, np.ndarray], group: int) -> dict[str, float]:
    """How many examples are more sensitive to the family than chance explains, and how many are not at all."""
    values = np.stack([few[model] for model in params.largest.values()])
    found = association.associate(values).eta_squared
    chance = _chance(values, group)
    return {
        "group": group,
        "sensitive": (found > np.percentile(chance, 99)).mean(),
        "insensitive": (found < np.percentile(chance, 50)).mean(),
    }


def _chance(values: np.ndarray, seed: int) -> np.ndarray:
    """Shares of variance `[NULL * N]` that architectures explain where the runs are dealt to them at random."""
    every = [association.associate(association.shuffled(values, NULL * seed + k)) for k in range(NULL)]
    return np.concatenate([one.eta_squared for one in every])


def _examples(
    params: Params, ranks: dict[str, np.ndarray], families: np.ndarray, found: dict[str, Arrays]
) -> pd.DataFrame:
    """For each example, over all runs: tests of all families, of the first two, and of two halves of the first."""
    one, two = (ranks[models[-1]] for models in (params.first, params.second))
    half = params.runs // 2
    tests = {
        "families": association.associate(families),
        "pair": association.associate(np.stack([one, two])),
        "halves": association.associate(np.stack([one[:half], one[half:]])),
    }
    count = families.shape[2]
    columns = {"id": np.arange(count), "label": found[params.first[0]]["label"]}
    columns |= {f"rank_{name}": ranks[model].mean(0) for name, model in params.largest.items()}
    for name, test in tests.items():
        columns |= {f"p_{name}": test.p, f"eta_{name}": test.eta_squared}
    return pd.DataFrame(columns | {"eta_chance": _chance(families, 0)[:count]})


def _shown(name: str, examples: pd.DataFrame, count: int = 6) -> pd.DataFrame:
    """The values of the examples whose ranks depend most on the family, and of hard ones that depend least."""
    task = data.load(chosen(name, None).data)
    hard = examples[examples.filter(like="rank_").mean(axis=1) > 0.75]
    picked = {"most": examples.nlargest(count, "eta_families"), "least": hard.nsmallest(count, "eta_families")}
    rows = []
    for kind, some in picked.items():
        for place, example in enumerate(some.itertuples()):
            values = task.x[example.id].flatten().tolist()
            rows.append(pd.DataFrame({"kind": kind, "place": place, "id": example.id, "value": values}))
    return pd.concat(rows, ignore_index=True)


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "D10": Region(low=0.0),
    "D10b": Region(low=0.0),
    "D10c": Region(high=0.01),
    "D11": Region(low=0.1),
    "D11b": Region(low=0.05),
    "D20": Region(high=0.0),
    "D20b": Region(high=0.0),
    "X40": Region(0.8, 1.25),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook, for each setting; a unit is a group of runs; groups share none."""
    found = []
    for name, suffix in params.settings.items():
        some = {table: values[values.setting == name] for table, values in tables.items()}
        where = f" ({chosen(name, None).data})" if suffix else ""
        for id, statement, source, statistic, values in _claims(params, some):
            about = (f"{id}{suffix}", NOTEBOOK, f"{statement}{where}", source, statistic, MARGINS[id])
            found.append(claims.claim(*about, claims.mean(values)))
    return found


def _claims(params: Params, tables: dict[str, pd.DataFrame]) -> list[tuple]:
    contrasts = tables["contrasts"].groupby(["kind", "group"])[["share", "inflation", "shuffled"]].mean()
    share = contrasts.share.unstack("kind")
    pairs = share.groupby(share.index // 2).mean()  # two groups of one architecture make one comparison
    same = tables["contrasts"][tables["contrasts"].kind == "nothing"]
    factor = tables["factors"].pivot(index="group", columns="factor", values="share")
    inside = share[["depth", "width"]].mean(axis=1)
    told = f"share of examples with another rank by {SCORE} at a false discovery rate of 5 %, {GROUP} runs each"
    return [
        (
            "D10",
            "Networks of other families rank more examples otherwise than networks of other depth or width",
            PAPER,
            f"{told}: other family minus other depth or width",
            share.family - inside,
        ),
        (
            "D10b",
            "and those of other depth or width more than other runs of the same architecture",
            PAPER,
            f"{told}: other depth or width minus same architecture; a unit is two groups",
            pairs[["depth", "width"]].mean(axis=1) - pairs.nothing,
        ),
        (
            "D10c",
            "Other runs of the same architecture rank no example otherwise",
            PAPER,
            f"{told}; a unit is two groups of runs of one architecture",
            # Two groups of one architecture make one comparison, which both would report.
            same[same.group % 2 == 0].share,
        ),
        (
            "D11",
            "Many examples are sensitive to the family of the network",
            PAPER,
            "share of examples above the 99th percentile of shuffled runs in variance explained by the family",
            tables["sensitivity"].sensitive,
        ),
        (
            "D11b",
            "and some are not sensitive at all",
            PAPER,
            "share of examples below the median of shuffled runs",
            tables["sensitivity"].insensitive,
        ),
        (
            "D20",
            "Width changes the ranks less than depth",
            PAPER,
            "share of variance explained by width minus that by depth, mean over examples",
            factor.width - factor.depth,
        ),
        (
            "D20b",
            "and less than the family",
            PAPER,
            "share of variance explained by width minus that by the family, mean over examples",
            factor.width - factor.family,
        ),
        (
            "X40",
            "The test is honest: where nothing differs, its p-values are those of chance",
            OURS,
            "genomic-control inflation on shuffled runs, mean over all comparisons",
            contrasts.shuffled.groupby("group").mean(),
        ),
    ]
