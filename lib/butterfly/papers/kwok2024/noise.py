"""Notebook 10: how noisy scores of example difficulty are from run to run, and how many runs to average."""

from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats

from butterfly import reliability
from butterfly.papers.kwok2024 import PAPER, score_runs
from butterfly.papers.kwok2024.score_runs import OfNetworks, in_blocks, mean_of
from butterfly.score import SCORES, difficulty
from butterfly.study import Arrays, Interval, Origin, Shard, Study, Tables, above, below, between, intervals, of_places

AVERAGES = (1, 2, 5, 10)  # runs averaged
BLOCK = 2 * max(AVERAGES)  # runs from which one independent value of a claim is taken, where it needs many
FEW = 8  # the same, where it needs a few
BINS = 40
SHOWN = ("accuracy.last", "el2n.early", "confidence.last", "el2n.mean", "confidence.mean")


class Params(OfNetworks):
    """Parameters of notebook 10; "" leaves a network out."""

    conv: str = ""
    runs: int = Field(20, ge=4)
    runs_per_shard: int = Field(20, ge=2)
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all

    @model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        if self.runs % BLOCK:
            raise ValueError(
                f"runs = {self.runs}: give a multiple of {BLOCK}, that means over {BLOCK // 2} can be paired"
            )
        return self

    @property
    def places(self) -> dict[str, str]:
        """Each network by what its claims' ids end in."""
        return score_runs.places(self.main, self.conv, self.real)


study = Study("10_noise", Params, PAPER, on="network", origin=Origin.OURS)
study.shard(score_runs.measure_scores)


@study.plan
def plan(params: Params) -> list[Shard]:
    """The scored runs of every network; of the CNN only the scores that logits suffice for."""
    shards = []
    for network in params.places.values():
        probed = network != params.conv
        shards += score_runs.plan(study, params, network, params.trained(network), params.runs, probed)
    return shards


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `network`.

    `runs`: accuracies. `reliability`: each score's correlation between single runs with its interval, and the runs that
    an average needs. `pairs`: that correlation for disjoint pairs of means over k runs. `blocks`: what claims take from
    blocks of runs. `spread`: the values of single runs against the rank of the example. `noise`: standard deviation
    over runs against the mean, by bins of examples.
    """
    scores = score_runs.joined(shards)
    return of_places("network", {network: tables_of(own) for network, own in scores.items()})


def tables_of(scores: Arrays) -> dict[str, pd.DataFrame]:
    """The tables of one network, from its scores `[R, N]`."""
    runs = {name: scores[name] for name in ("train_accuracy", "test_accuracy")}
    every_run = {name: scores[name] for name in SCORES if len(scores.get(name, ())) == len(runs["train_accuracy"])}
    single = [(name, *_single(values)) for name, values in every_run.items()]
    pairs = [(name, *pair) for name, values in every_run.items() for pair in _pairs(values)]
    return {
        "runs": pd.DataFrame(runs),
        "reliability": pd.DataFrame(single, columns=["score", "single", "low", "high", "runs_90", "runs_95"]),
        "pairs": pd.DataFrame(pairs, columns=["score", "averaged", "pair", "correlation"]),
        "blocks": pd.DataFrame(_blocks(scores), columns=["statistic", "block", "value"]),
        "spread": pd.concat([_spread(name, scores[name]) for name in SHOWN], ignore_index=True),
        "noise": _noise(scores["el2n.early"]),
    }


def _single(values: np.ndarray) -> tuple[float, ...]:
    """Correlation between single runs, its interval, and the runs that reliabilities of 0.9 and 0.95 need."""
    matrix = reliability.correlations(values)
    middle = reliability.between(matrix)
    needed = [reliability.runs_needed(middle, wanted) for wanted in (0.9, 0.95)]
    return middle, *reliability.bootstrap(matrix), *needed


def _pairs(values: np.ndarray) -> list[tuple[int, int, float]]:
    """(runs averaged, pair, correlation) for disjoint pairs of averages."""
    return [(k, pair, rho) for k in AVERAGES for pair, rho in enumerate(reliability.disjoint_pairs(values, k))]


def _blocks(scores: Arrays) -> list[tuple[str, int, float]]:
    """Statistics from blocks of runs that have none in common: (statistic, block, value)."""
    early, mean = scores["el2n.early"], scores["el2n.mean"]
    rows = []
    for place, (few_early, few_mean) in enumerate(zip(in_blocks(early, FEW), in_blocks(mean, FEW), strict=True)):
        rows.append(("icc", place, reliability.icc(reliability.ranks(few_early))))
        rows.append(("noise el2n.early", place, _noise_follows_mean(few_early)))
        rows.append(("noise el2n.mean", place, _noise_follows_mean(few_mean)))
    for place, block in enumerate(in_blocks(mean, BLOCK)):
        single = reliability.between(reliability.correlations(block))
        for k in AVERAGES[1:]:
            observed = reliability.disjoint_pairs(block, k).mean()
            rows.append((f"excess {k}", place, observed - reliability.spearman_brown(single, k)))
    means, medians = (reliability.disjoint_pairs(mean, 5, how) for how in (np.mean, np.median))
    return rows + [("median", place, value) for place, value in enumerate(medians - means)]


def _noise_follows_mean(values: np.ndarray) -> float:
    """Rank correlation over examples of mean and variance over runs."""
    return stats.spearmanr(values.mean(0), values.var(0, ddof=1)).statistic


def _spread(name: str, values: np.ndarray) -> pd.DataFrame:
    """Mean and 5 to 95 % band of the values of single runs, by bins of examples of rising difficulty."""
    order = np.argsort(difficulty(name, values.mean(0)), kind="stable")
    bins = np.array_split(values[:, order], BINS, axis=1)
    rows = [(name, (k + 0.5) / BINS, own.mean(), *np.percentile(own, [5, 95])) for k, own in enumerate(bins)]
    return pd.DataFrame(rows, columns=["score", "rank", "mean", "low", "high"])


def _noise(values: np.ndarray) -> pd.DataFrame:
    """Standard deviation over runs of early EL2N against its mean: median and quartiles in bins of examples."""
    mean, spread = values.mean(0), values.std(0, ddof=1)
    bins = np.array_split(np.argsort(mean, kind="stable"), BINS)
    rows = [(mean[own].mean(), *np.percentile(spread[own], [25, 50, 75])) for own in bins]
    return pd.DataFrame(rows, columns=["mean", "low", "middle", "high"])


# --- claims: a unit is a pair or a block of runs that no other contains ----------------------------------------------


def _singles(t: Tables) -> pd.DataFrame:
    """Correlation between two single runs: a row a pair, a column a score."""
    pairs = t["pairs"]
    return pairs[pairs.averaged == 1].pivot(index="pair", columns="score", values="correlation")


COVARIANCE = {"origin": Origin.NOTEBOOK, "place": "fig_cov", "figure": "b"}
TWO = "rank correlation between two runs, "
GAIN = TWO + "probability of the label averaged over training minus final"


@study.claim("D01", by=TWO + "final probability of the label", region=below(0.8), origin=Origin.ABSTRACT, figure="b")
def noisy_at_the_end(t: Tables) -> Interval:
    """One run ranks the examples unreliably at the end of training."""
    return intervals.mean(_singles(t)["confidence.last"])


@study.claim("D01b", by=TWO + "final accuracy minus final probability of the label", region=below(0.0), **COVARIANCE)
def answers_are_worst(t: Tables) -> Interval:
    """Of the final scores, being right or wrong is the least reliable."""
    return intervals.mean(_singles(t)["accuracy.last"] - _singles(t)["confidence.last"])


@study.claim("D02", by=GAIN, region=above(0.1), **COVARIANCE)
def averages_are_far_better(t: Tables) -> Interval:
    """Averages over training are far more reliable than the end."""
    return intervals.mean(_singles(t)["confidence.mean"] - _singles(t)["confidence.last"])


@study.claim("D02b", by=GAIN, region=above(0.0), **COVARIANCE)
def averages_are_better(t: Tables) -> Interval:
    """They are more reliable than the end at all."""
    return averages_are_far_better(t)


EXCESS = "rank correlation between means over {} runs minus its prediction (EL2N averaged over training)"
NOISE = f"rank correlation over examples of mean and variance over {FEW} runs, EL2N "
EVEN = between(-0.02, 0.02)
PCA = {"origin": Origin.NOTEBOOK, "place": "fig_pca"}
CLAIMS = (  # id, statistic, region, what else is told of it, statement, measured by
    ("D03", "excess 10", EVEN, {"figure": "c"}, "Averaging 10 runs does what the Spearman-Brown formula says",
     EXCESS.format(10)),
    ("D03b", "excess 2", EVEN, {"figure": "c"}, "and so does averaging two", EXCESS.format(2)),
    ("D04", "icc", below(0.75), {"figure": "b"},
     "EL2N early in training needs more than three runs for a reliability of 0.9",
     f"ICC(1) of its ranks in one run, over {FEW} runs (0.75: three runs)"),
    ("D05", "noise el2n.early", above(0.5), {"figure": "d"}, "The noise is on the hard examples",
     NOISE + "early in training"),
    ("D05b", "noise el2n.mean", above(0.5), {}, "and remains there when EL2N is averaged over training",
     NOISE + "averaged over training"),
    ("D18", "median", below(0.005), PCA, "Taking the median over runs instead of the mean does not help",
     "rank correlation between medians over 5 runs minus that between means (EL2N averaged over training)"),
)  # fmt: skip
for id, statistic, region, about, statement, by in CLAIMS:
    study.claim(id, statement, by=by, region=region, **about)(mean_of(statistic))
