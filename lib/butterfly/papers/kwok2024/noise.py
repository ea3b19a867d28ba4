"""Notebook 10: how noisy scores of example difficulty are from run to run, and how many runs to average."""

from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats

from butterfly import claims, reliability
from butterfly.claims import Claim, Region
from butterfly.experiments import scored
from butterfly.experiments.common import Common
from butterfly.experiments.scored import PAPER
from butterfly.runs import Arrays, Config
from butterfly.score import SCORES, difficulty

NOTEBOOK = "10_noise"
AVERAGES = (1, 2, 5, 10)  # runs averaged
BLOCK = 2 * max(AVERAGES)  # runs from which one independent value of a claim is taken, where it needs many
FEW = 8  # the same, where it needs a few
BINS = 40
SHOWN = ("accuracy.last", "el2n.early", "confidence.last", "el2n.mean", "confidence.mean")


class Params(Common):
    """Parameters of notebook 10; networks are named `setting/architecture`, and "" leaves one out."""

    main: str = "mnist1d-scores/mlp-4x64"
    conv: str = ""
    real: str = ""
    steps: int | None = Field(160, gt=0)  # None: the settings' own
    runs: int = Field(20, ge=4)
    runs_per_shard: int = Field(20, ge=2)
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for network in self.networks:
            scored.parse(network)
        if self.runs % BLOCK:
            raise ValueError(
                f"runs = {self.runs}: give a multiple of {BLOCK}, that means over {BLOCK // 2} can be paired"
            )
        return self

    @property
    def networks(self) -> dict[str, str]:
        """Each network, and what its claims' names end in."""
        return scored.named(main=self.main, c=self.conv, r=self.real)


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> dict[str, list[Config]]:
    """The shards of every network; of the CNN only the scores that logits suffice for."""
    found = {}
    for network, suffix in params.networks.items():
        setting, model = scored.parse(network)
        found[network] = scored.plan(
            setting,
            model,
            params.runs,
            params.runs_per_shard,
            params.looks,
            params.examples,
            probed=suffix != "c",
            device=params.device,
            steps=params.steps,
        )
    return found


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables, each with a column `network`.

    `runs`: accuracies. `reliability`: each score's correlation between single runs with its interval, and the runs that
    an average needs. `pairs`: that correlation for disjoint pairs of means over k runs. `blocks`: what claims take from
    blocks of runs. `spread`: the values of single runs against the rank of the example. `noise`: standard deviation
    over runs against the mean, by bins of examples.
    """


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    found = scored.score(shards(params))
    return Tables(scored.stacked("network", {network: _tabulate(some) for network, some in found.items()}))


def _tabulate(found: Arrays) -> dict[str, pd.DataFrame]:
    runs = len(found["train_accuracy"])
    names = [name for name in SCORES if name in found and len(found[name]) == runs]
    single, pairs = [], []
    for name in names:
        matrix = reliability.correlations(found[name])
        low, high = reliability.bootstrap(matrix)
        middle = reliability.between(matrix)
        single.append((name, middle, low, high, *(reliability.runs_needed(middle, wanted) for wanted in (0.9, 0.95))))
        for k in AVERAGES:
            correlations = reliability.disjoint_pairs(found[name], k)
            pairs += [(name, k, place, value) for place, value in enumerate(correlations)]
    return {
        "runs": pd.DataFrame({"train_accuracy": found["train_accuracy"], "test_accuracy": found["test_accuracy"]}),
        "reliability": pd.DataFrame(single, columns=["score", "single", "low", "high", "runs_90", "runs_95"]),
        "pairs": pd.DataFrame(pairs, columns=["score", "averaged", "pair", "correlation"]),
        "blocks": pd.DataFrame(_blocks(found, runs), columns=["statistic", "block", "value"]),
        "spread": pd.concat([_spread(name, found[name]) for name in SHOWN], ignore_index=True),
        "noise": _noise(found["el2n.early"]),
    }


def _blocks(found: Arrays, runs: int) -> list[tuple[str, int, float]]:
    """Statistics from blocks of runs that have none in common: (statistic, block, value)."""
    rows = []
    for place in range(runs // FEW):
        early = found["el2n.early"][place * FEW : (place + 1) * FEW]
        rows.append(("icc", place, reliability.icc(reliability.ranks(early))))
        for name in ("el2n.early", "el2n.mean"):
            few = found[name][place * FEW : (place + 1) * FEW]
            rows.append((f"noise {name}", place, stats.spearmanr(few.mean(0), few.var(0, ddof=1)).statistic))
    for place in range(runs // BLOCK):
        block = found["el2n.mean"][place * BLOCK : (place + 1) * BLOCK]
        single = reliability.between(reliability.correlations(block))
        for k in AVERAGES[1:]:
            observed = reliability.disjoint_pairs(block, k).mean()
            rows.append((f"excess {k}", place, observed - reliability.spearman_brown(single, k)))
    means, medians = (reliability.disjoint_pairs(found["el2n.mean"], 5, how) for how in (np.mean, np.median))
    rows += [("median", place, value) for place, value in enumerate(medians - means)]
    return rows


def _spread(name: str, values: np.ndarray) -> pd.DataFrame:
    """Mean and 5 to 95 % band of the values of single runs, by bins of examples of rising difficulty."""
    order = np.argsort(difficulty(name, values.mean(0)), kind="stable")
    rows = [
        (name, (place + 0.5) / BINS, some.mean(), *np.percentile(some, [5, 95]))
        for place, some in enumerate(np.array_split(values[:, order], BINS, axis=1))
    ]
    return pd.DataFrame(rows, columns=["score", "rank", "mean", "low", "high"])


def _noise(values: np.ndarray) -> pd.DataFrame:
    """Standard deviation over runs of early EL2N against its mean: median and quartiles in bins of examples."""
    mean, spread = values.mean(0), values.std(0, ddof=1)
    rows = [
        (mean[some].mean(), *np.percentile(spread[some], [25, 50, 75]))
        for some in np.array_split(np.argsort(mean, kind="stable"), BINS)
    ]
    return pd.DataFrame(rows, columns=["mean", "low", "middle", "high"])


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "D01": Region(high=0.8),
    "D01b": Region(high=0.0),
    "D02": Region(low=0.1),
    "D02b": Region(low=0.0),
    "D03": Region(-0.02, 0.02),
    "D03b": Region(-0.02, 0.02),
    "D04": Region(high=0.75),
    "D05": Region(low=0.5),
    "D05b": Region(low=0.5),
    "D18": Region(high=0.005),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook, for each network; a unit is a pair or a block of runs that no other contains."""
    found = []
    for network, suffix in params.networks.items():
        some = {name: table[table.network == network] for name, table in tables.items()}
        where = f" ({scored.on(network)})" if suffix else ""
        for id, statement, statistic, interval in _claims(some["pairs"], some["blocks"]):
            about = (f"{id}{suffix}", NOTEBOOK, f"{statement}{where}", PAPER, statistic, MARGINS[id], interval)
            found.append(claims.claim(*about))
    return found


def _claims(pairs: pd.DataFrame, blocks: pd.DataFrame) -> list[tuple]:
    single = pairs[pairs.averaged == 1].pivot(index="pair", columns="score", values="correlation")
    by = {name: table.value.to_numpy() for name, table in blocks.groupby("statistic")}
    most = max(AVERAGES)
    return [
        (
            "D01",
            "One run ranks the examples unreliably at the end of training",
            "rank correlation between two runs of the final probability of the label",
            claims.mean(single["confidence.last"]),
        ),
        (
            "D01b",
            "Of the final scores, being right or wrong is the least reliable",
            "rank correlation between two runs, final accuracy minus final probability of the label",
            claims.mean(single["accuracy.last"] - single["confidence.last"]),
        ),
        (
            "D02",
            "Averages over training are far more reliable than the end",
            "rank correlation between two runs, probability of the label averaged over training minus final",
            claims.mean(single["confidence.mean"] - single["confidence.last"]),
        ),
        (
            "D02b",
            "They are more reliable than the end at all",
            "the same",
            claims.mean(single["confidence.mean"] - single["confidence.last"]),
        ),
        (
            "D03",
            f"Averaging {most} runs does what the Spearman-Brown formula says",
            f"rank correlation between means over {most} runs minus its prediction (EL2N averaged over training)",
            claims.mean(by[f"excess {most}"]),
        ),
        (
            "D03b",
            "and so does averaging two",
            "the same for means over 2 runs",
            claims.mean(by["excess 2"]),
        ),
        (
            "D04",
            "EL2N early in training needs more than three runs for a reliability of 0.9",
            f"ICC(1) of its ranks in one run, over {FEW} runs (0.75: three runs)",
            claims.mean(by["icc"]),
        ),
        (
            "D05",
            "The noise is on the hard examples",
            f"rank correlation over examples of mean and variance over {FEW} runs, EL2N early in training",
            claims.mean(by["noise el2n.early"]),
        ),
        (
            "D05b",
            "and remains there when EL2N is averaged over training",
            "the same of EL2N averaged over training",
            claims.mean(by["noise el2n.mean"]),
        ),
        (
            "D18",
            "Taking the median over runs instead of the mean does not help",
            "rank correlation between medians over 5 runs minus that between means (EL2N averaged over training)",
            claims.mean(by["median"]),
        ),
    ]
