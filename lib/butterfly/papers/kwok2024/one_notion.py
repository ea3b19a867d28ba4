"""Notebook 11: do all scores measure one difficulty, once run noise is taken out?"""

from itertools import combinations
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy import stats

from butterfly import reliability
from butterfly.papers.kwok2024 import PAPER, score_runs
from butterfly.papers.kwok2024.score_runs import OfNetworks, in_blocks, mean_of
from butterfly.score import c_score, difficulty, memorization
from butterfly.study import Arrays, Kind, Origin, Shard, Study, above, below, between, of_places

BLOCK = 10  # runs from which one independent value of a claim is taken
# What a network's course of training says about an example; of variants of one formula, one.
TRAINING = (
    *("accuracy.mean", "loss.mean", "confidence.mean", "max_confidence.mean", "entropy.mean", "margin.logit.mean"),
    *("el2n.mean", "confidence.sd", "forgetting.capped", "first_learned", "iteration_learned"),
    *("vog.class.sd", "vog.loss.sd"),
)
# A moment of training each, or the network at the end.
MOMENTS = (
    *("el2n.early", "grand", "confidence.last", "entropy.last", "margin.logit.last"),
    *("prediction_depth.label", "prediction_depth.answer", "prototype", "prototype.self"),
    *("robustness.input", "robustness.weights"),
)
SINGLE = (*TRAINING, *MOMENTS)  # what one run gives
OF_MANY = ("agreement", "c_score", "memorization")  # what many runs give


class Params(OfNetworks):
    """Parameters of notebook 11."""

    runs: int = Field(20, ge=2 * BLOCK)
    runs_per_shard: int = Field(20, ge=2)  # between two networks and more there is agreement
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all
    held_out: int = Field(20, ge=2)  # networks trained on random subsets, for each ratio
    ratios: tuple[float, ...] = (0.3, 0.7)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.runs % (2 * BLOCK):
            raise ValueError(f"runs = {self.runs}: give a multiple of {2 * BLOCK}, for pairs of blocks")
        if not self.ratios or not all(0 < ratio < 1 for ratio in self.ratios):
            raise ValueError(f"ratios = {list(self.ratios)}: give shares of the examples between 0 and 1")
        return self


study = Study("11_one_notion", Params, PAPER, on="network", origin=Origin.OURS)
study.shard(score_runs.measure_scores)
study.shard(score_runs.measure_held_out)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every network its scored runs, and networks that did not see everything."""
    shards = []
    for network in params.places.values():
        trained = params.trained(network)
        shards += score_runs.plan(study, params, network, trained, params.runs, probed=True)
        for ratio in params.ratios:
            shards += score_runs.plan_held_out(study, params, network, trained, params.held_out, ratio)
    return shards


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `network`.

    `pairs`: correlations of two scores (sign: both point to harder examples) from different runs, raw and freed of run
    noise, and from the same runs. `axis`: with EL2N averaged over training, for every score. `components`: shares of
    variance and what chance gives. `loadings`: of the first two components. `control`: GraNd at initialisation by
    example. `blocks`: what claims take from blocks of runs.
    """
    scores, held_out = score_runs.joined(shards), score_runs.joined(shards, score_runs.measure_held_out)
    return of_places("network", {network: tables_of(own, held_out[network]) for network, own in scores.items()})


def tables_of(scores: Arrays, held_out: Arrays) -> dict[str, pd.DataFrame]:
    """The tables of one network, from its scores and from who `trained` on what and was `right` `[R, N]`."""
    aligned = {name: difficulty(name, scores[name]) for name in SINGLE}
    known = {"c_score": c_score(**held_out), "memorization": memorization(**held_out)}
    many = {"agreement": scores["agreement"].mean(0), **known}
    means = {name: values.mean(0) for name, values in aligned.items()}
    means |= {name: difficulty(name, values) for name, values in many.items()}
    pairs = _pairs(aligned)
    training = np.stack([means[name] for name in TRAINING])
    shares, loadings = reliability.components(training)
    chance = reliability.parallel_analysis(training)
    control = {"grand_init": scores["grand.init"].mean(0), "norm": scores["input_norm"]}
    return {
        "pairs": pairs,
        "axis": _axis(pairs, means),
        "components": pd.DataFrame({"component": range(1, len(shares) + 1), "share": shares, "chance": chance}),
        "loadings": pd.DataFrame({"score": TRAINING, "first": loadings[0], "second": loadings[1]}),
        "control": pd.DataFrame({**control, "el2n": scores["el2n.mean"].mean(0)}),
        "blocks": pd.DataFrame(_blocks(scores, aligned, held_out), columns=["statistic", "block", "value"]),
    }


def _pairs(aligned: Arrays) -> pd.DataFrame:
    """Correlations of every two scores, both ways round: `raw` and `free` from different runs, `same` from the same."""
    ranks = {name: reliability.standardised(values) for name, values in aligned.items()}
    count = next(iter(ranks.values())).shape[1]
    single = {name: reliability.between(own @ own.T / count) for name, own in ranks.items()}
    rows = []
    for a, b in combinations(aligned, 2):
        matrix = ranks[a] @ ranks[b].T / count
        raw, product = reliability.between(matrix), single[a] * single[b]
        free = raw / product**0.5 if single[a] > 0 and single[b] > 0 else np.nan
        rows += [(*names, raw, free, np.trace(matrix) / len(matrix)) for names in ((a, b), (b, a))]
    return pd.DataFrame(rows, columns=["one", "other", "raw", "free", "same"])


def _axis(pairs: pd.DataFrame, means: Arrays) -> pd.DataFrame:
    """Correlation of every score with EL2N averaged over training: `raw`, `free` of run noise, and `of_means`."""
    rows = pd.DataFrame({"score": [name for name in means if name != "el2n.mean"]})
    alone = pairs[pairs.one == "el2n.mean"].set_index("other")[["raw", "free"]]
    return rows.join(alone, on="score").assign(of_means=[_rho(means[name], means["el2n.mean"]) for name in rows.score])


def _rho(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation over the examples that have both."""
    return stats.spearmanr(a, b, nan_policy="omit").statistic


def _blocks(scores: Arrays, aligned: Arrays, held_out: Arrays) -> list[tuple[str, int, float]]:
    """Statistics from blocks of runs that have none in common: (statistic, block, value)."""
    rows = []
    for place, init in enumerate(in_blocks(scores["grand.init"], BLOCK)):
        few = {name: in_blocks(values, BLOCK)[place] for name, values in aligned.items()}
        means = {name: values.mean(0) for name, values in few.items()}
        rows += [(name, place, value) for name, value in _agreement(few, means).items()]
        rows.append(("init el2n", place, stats.spearmanr(init.mean(0), means["el2n.mean"]).statistic))
        rows.append(("init norm", place, stats.spearmanr(init.mean(0), scores["input_norm"]).statistic))
    pairs_of_blocks = in_blocks(aligned["el2n.mean"], 2 * BLOCK)
    for place, el2n in enumerate(pairs_of_blocks):
        known = c_score(**{name: values[place :: len(pairs_of_blocks)] for name, values in held_out.items()})
        rows.append(("c_score", place, _rho(el2n.mean(0), difficulty("c_score", known))))
    easy = np.argsort(aligned["el2n.mean"].mean(0))[: len(scores["label"]) // 2]
    logit, prob = (reliability.disjoint_pairs(scores[f"margin.{kind}.last"][:, easy]) for kind in ("logit", "prob"))
    rows += [("margin", place, value) for place, value in enumerate(logit - prob)]
    return rows + _forgetting(scores)


def _agreement(few: Arrays, means: Arrays) -> dict[str, float]:
    """Components of a block's means, and how far its scores agree in the same run and in different ones."""
    training = np.stack([means[name] for name in TRAINING])
    shares, chance = reliability.components(training)[0], reliability.parallel_analysis(training)
    pairs = _pairs(few).dropna()  # a pair without reliability cannot be freed of noise
    return {
        "first": shares[0],
        "second": shares[1] / chance[1],
        "noise": (pairs.free - pairs.raw).sum() / (1 - pairs.raw).sum(),
        "same run": (pairs.same - pairs.raw).mean(),
    }


def _forgetting(scores: Arrays) -> list[tuple[str, int, float]]:
    """Of single runs: EL2N of what is never learned against never forgotten, and what the cap brings forgetting."""
    rows = []
    for run, el2n in enumerate(scores["el2n.mean"]):
        events, capped = scores["forgetting"][run], scores["forgetting.capped"][run]
        never, always = (events == 0) & (capped > 0), (events == 0) & (capped == 0)
        if never.any() and always.any():
            rows.append(("never", run, el2n[never].mean() - el2n[always].mean()))
        with_cap, without = (stats.spearmanr(counts, el2n).statistic for counts in (capped, events))
        rows.append(("cap", run, with_cap - without))
    return rows


# --- claims: a unit is a run, a pair or a block of runs --------------------------------------------------------------

CODE = {"origin": Origin.CODE, "place": "countforget", "kind": Kind.CHECK}
KIRSCH = {"origin": Origin.OTHER, "source": "Kirsch 2023 (arXiv 2303.14753)", "figure": "d"}
CLAIMS = (  # id, statistic, region, what else is told of it, statement, measured by
    ("D06", "first", above(0.5), {"origin": Origin.ABSTRACT, "figure": "b"},
     "What training says about examples has one dominant axis",
     f"share of variance of the first component of {len(TRAINING)} scores' ranks, means over {BLOCK} runs"),
    ("D06b", "second", below(1.0), {"figure": "b"}, "and no second one beyond chance",
     "share of the second component over the 95th percentile of shuffled scores (parallel analysis)"),
    ("D07", "noise", above(0.5), {"figure": "ac"}, "Most of the disagreement between scores is run noise",
     "part of 1 - rank correlation of different runs that goes when run noise is taken out, all pairs of scores"),
    ("D08", "same run", above(0.0), {"kind": Kind.CHECK},
     "Two scores of the same run agree better than of different runs, as they share its noise",
     "rank correlation in the same run minus in different runs, mean over pairs of scores"),
    ("D09", "c_score", above(0.7), {"figure": "c"},
     "EL2N agrees with C-scores, which come from networks that did not train on the example",
     f"rank correlation of means over {2 * BLOCK} runs with C-scores of other networks"),
    ("D13", "init el2n", between(-0.1, 0.1), KIRSCH, "GraNd at initialisation is no score of difficulty",
     f"rank correlation with EL2N averaged over training, means over {BLOCK} runs"),
    ("D13b", "init norm", above(0.7), KIRSCH, "but stands for the norm of the input",
     f"rank correlation of GraNd at initialisation with the norm of the input, mean over {BLOCK} runs"),
    ("D14", "never", above(0.0), CODE, "Uncapped, forgetting takes examples that are never learned for the easiest",
     "EL2N of never learned examples minus that of examples learned and never forgotten"),
    ("D14b", "cap", above(0.0), {}, "and counting them as forgotten at every look brings forgetting nearer to EL2N",
     "rank correlation with EL2N in the same run, capped minus uncapped"),
    ("D15", "margin", above(0.0), {},
     "The margin of probabilities loses the order of easy examples, the margin of logits keeps it",
     "rank correlation between two runs in the easiest half, final margin of logits minus of probabilities"),
)  # fmt: skip
for id, statistic, region, about, statement, by in CLAIMS:
    study.claim(id, statement, by=by, region=region, **about)(mean_of(statistic))
