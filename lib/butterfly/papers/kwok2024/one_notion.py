"""Notebook 11: do all scores measure one difficulty, once run noise is taken out?"""

from itertools import combinations
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
from butterfly.score import c_score, difficulty, memorization

NOTEBOOK = "11_one_notion"
BLOCK = 10  # runs from which one independent value of a claim is taken
# What a network's course of training says about an example; of variants of one formula, one.
TRAINING = (
    "accuracy.mean",
    "loss.mean",
    "confidence.mean",
    "max_confidence.mean",
    "entropy.mean",
    "margin.logit.mean",
    "el2n.mean",
    "confidence.sd",
    "forgetting.capped",
    "first_learned",
    "iteration_learned",
    "vog.class.sd",
    "vog.loss.sd",
)
# A moment of training each, or the network at the end.
MOMENTS = (
    "el2n.early",
    "grand",
    "confidence.last",
    "entropy.last",
    "margin.logit.last",
    "prediction_depth.label",
    "prediction_depth.answer",
    "prototype",
    "prototype.self",
    "robustness.input",
    "robustness.weights",
)
SINGLE = (*TRAINING, *MOMENTS)  # what one run gives
OF_MANY = ("agreement", "c_score", "memorization")  # what many runs give


class Params(Common):
    """Parameters of notebook 11; networks are named `setting/architecture`, and "" leaves one out."""

    main: str = "mnist1d-scores/mlp-4x64"
    real: str = ""
    steps: int | None = Field(160, gt=0)  # None: the settings' own
    runs: int = Field(20, ge=2 * BLOCK)
    runs_per_shard: int = Field(20, ge=2)  # between two networks and more there is agreement
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all
    held_out: int = Field(20, ge=2)  # networks trained on random subsets, for each ratio
    ratios: tuple[float, ...] = (0.3, 0.7)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for network in self.networks:
            scored.parse(network)
        if self.runs % (2 * BLOCK):
            raise ValueError(f"runs = {self.runs}: give a multiple of {2 * BLOCK}, for pairs of blocks")
        if not self.ratios or not all(0 < ratio < 1 for ratio in self.ratios):
            raise ValueError(f"ratios = {list(self.ratios)}: give shares of the examples between 0 and 1")
        return self

    @property
    def networks(self) -> dict[str, str]:
        """Each network, and what its claims' names end in."""
        return scored.named(main=self.main, r=self.real)


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> tuple[dict[str, list[Config]], dict[str, list[Config]]]:
    """For every network the shards of scored runs, and those of networks that did not see everything."""
    plans, held_out = {}, {}
    for network in params.networks:
        plans[network] = scored.plan(
            *scored.parse(network),
            params.runs,
            params.runs_per_shard,
            params.looks,
            params.examples,
            probed=True,
            device=params.device,
            steps=params.steps,
        )
        held_out[network] = [
            config
            for ratio in params.ratios
            for config in scored.plan_held_out(plans[network][0], params.held_out, params.runs_per_shard, ratio)
        ]
    return plans, held_out


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables, each with a column `network`.

    `pairs`: correlations of two scores (sign: both point to harder examples) from different runs, raw and freed of run
    noise, and from the same runs. `axis`: with EL2N averaged over training, for every score. `components`: shares of
    variance and what chance gives. `loadings`: of the first two components. `control`: GraNd at initialisation by
    example. `blocks`: what claims take from blocks of runs.
    """


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    plans, held_out = shards(params)
    found, others = scored.score(plans), scored.hold_out(held_out)
    tables = {network: _tabulate(found[network], others[network]) for network in params.networks}
    return Tables(scored.stacked("network", tables))


def _tabulate(found: Arrays, held_out: list[Arrays]) -> dict[str, pd.DataFrame]:
    aligned = {name: difficulty(name, found[name]) for name in SINGLE}
    means = {name: values.mean(0) for name, values in aligned.items()}
    right, trained = (np.concatenate([one[k] for one in held_out]) for k in ("right", "trained"))
    for name, values in (
        ("agreement", found["agreement"].mean(0)),
        ("c_score", c_score(right, trained)),
        ("memorization", memorization(right, trained)),
    ):
        means[name] = difficulty(name, values)
    pairs = _pairs(aligned)
    reference = means["el2n.mean"]
    alone = pairs[pairs.one == "el2n.mean"].set_index("other")
    rows = [
        (
            name,
            alone.raw.get(name, np.nan),
            alone.free.get(name, np.nan),
            stats.spearmanr(values, reference, nan_policy="omit").statistic,
        )
        for name, values in means.items()
        if name != "el2n.mean"
    ]
    shares, loadings = reliability.components(np.stack([means[name] for name in TRAINING]))
    chance = reliability.parallel_analysis(np.stack([means[name] for name in TRAINING]))
    init = found["grand.init"].mean(0)
    return {
        "pairs": pairs,
        "axis": pd.DataFrame(rows, columns=["score", "raw", "free", "of_means"]),
        "components": pd.DataFrame({"component": range(1, len(shares) + 1), "share": shares, "chance": chance}),
        "loadings": pd.DataFrame({"score": TRAINING, "first": loadings[0], "second": loadings[1]}),
        "control": pd.DataFrame({"grand_init": init, "norm": found["input_norm"], "el2n": found["el2n.mean"].mean(0)}),
        "blocks": pd.DataFrame(_blocks(found, aligned, held_out), columns=["statistic", "block", "value"]),
    }


def _pairs(aligned: Arrays) -> pd.DataFrame:
    """Correlations of every two scores, both ways round: `raw` and `free` from different runs, `same` from the same."""
    ranks = {name: reliability.standardised(values) for name, values in aligned.items()}
    count = next(iter(ranks.values())).shape[1]
    matrices = {(a, b): ranks[a] @ ranks[b].T / count for a, b in combinations(aligned, 2)}
    single = {name: reliability.between(one @ one.T / count) for name, one in ranks.items()}
    rows = []
    for (a, b), matrix in matrices.items():
        raw, product = reliability.between(matrix), single[a] * single[b]
        free = raw / product**0.5 if single[a] > 0 and single[b] > 0 else np.nan
        rows += [(one, other, raw, free, np.trace(matrix) / len(matrix)) for one, other in ((a, b), (b, a))]
    return pd.DataFrame(rows, columns=["one", "other", "raw", "free", "same"])


def _blocks(found: Arrays, aligned: Arrays, held_out: list[Arrays]) -> list[tuple[str, int, float]]:
    """Statistics from blocks of runs that have none in common: (statistic, block, value)."""
    rows: list[tuple[str, int, float]] = []
    runs = len(found["el2n.mean"])
    for place in range(runs // BLOCK):
        few = {name: values[place * BLOCK : (place + 1) * BLOCK] for name, values in aligned.items()}
        means = {name: values.mean(0) for name, values in few.items()}
        training = np.stack([means[name] for name in TRAINING])
        shares, chance = reliability.components(training)[0], reliability.parallel_analysis(training)
        pairs = _pairs(few).dropna()  # a pair without reliability cannot be freed of noise
        init = found["grand.init"][place * BLOCK : (place + 1) * BLOCK].mean(0)
        rows += [
            ("first", place, shares[0]),
            ("second", place, shares[1] / chance[1]),
            ("noise", place, (pairs.free - pairs.raw).sum() / (1 - pairs.raw).sum()),
            ("same run", place, (pairs.same - pairs.raw).mean()),
            ("init el2n", place, stats.spearmanr(init, means["el2n.mean"]).statistic),
            ("init norm", place, stats.spearmanr(init, found["input_norm"]).statistic),
        ]
    count = runs // (2 * BLOCK)
    for place in range(count):
        right, trained = (np.concatenate([one[k] for one in held_out]) for k in ("right", "trained"))
        known = difficulty("c_score", c_score(right[place::count], trained[place::count]))
        score = aligned["el2n.mean"][place * 2 * BLOCK : (place + 1) * 2 * BLOCK].mean(0)
        rows.append(("c_score", place, stats.spearmanr(score, known, nan_policy="omit").statistic))
    easy = np.argsort(aligned["el2n.mean"].mean(0))[: len(found["label"]) // 2]
    margins = [reliability.disjoint_pairs(found[f"margin.{kind}.last"][:, easy]) for kind in ("logit", "prob")]
    rows += [("margin", place, value) for place, value in enumerate(margins[0] - margins[1])]
    for place in range(runs):
        events, capped, el2n = (found[k][place] for k in ("forgetting", "forgetting.capped", "el2n.mean"))
        never, always = (events == 0) & (capped > 0), (events == 0) & (capped == 0)
        if never.any() and always.any():
            rows.append(("never", place, el2n[never].mean() - el2n[always].mean()))
        gain = stats.spearmanr(capped, el2n).statistic - stats.spearmanr(events, el2n).statistic
        rows.append(("cap", place, gain))
    return rows


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "D06": Region(low=0.5),
    "D06b": Region(high=1.0),
    "D07": Region(low=0.5),
    "D08": Region(low=0.0),
    "D09": Region(low=0.7),
    "D13": Region(-0.1, 0.1),
    "D13b": Region(low=0.7),
    "D14": Region(low=0.0),
    "D14b": Region(low=0.0),
    "D15": Region(low=0.0),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook, for each network; a unit is a run, a pair or a block of runs."""
    found = []
    for network, suffix in params.networks.items():
        blocks = tables["blocks"][tables["blocks"].network == network]
        where = f" ({scored.on(network)})" if suffix else ""
        for id, statement, statistic, kind in _CLAIMS:
            interval = claims.mean(blocks[blocks.statistic == kind].value)
            about = (f"{id}{suffix}", NOTEBOOK, f"{statement}{where}", PAPER, statistic, MARGINS[id], interval)
            found.append(claims.claim(*about))
    return found


_CLAIMS = [
    (
        "D06",
        "What training says about examples has one dominant axis",
        f"share of variance of the first component of {len(TRAINING)} scores' ranks, means over {BLOCK} runs",
        "first",
    ),
    (
        "D06b",
        "and no second one beyond chance",
        "share of the second component over the 95th percentile of shuffled scores (parallel analysis)",
        "second",
    ),
    (
        "D07",
        "Most of the disagreement between scores is run noise",
        "part of 1 - rank correlation of different runs that goes when run noise is taken out, all pairs of scores",
        "noise",
    ),
    (
        "D08",
        "Two scores of the same run agree better than of different runs, as they share its noise",
        "rank correlation in the same run minus in different runs, mean over pairs of scores",
        "same run",
    ),
    (
        "D09",
        "EL2N agrees with C-scores, which come from networks that did not train on the example",
        f"rank correlation of means over {2 * BLOCK} runs with C-scores of other networks",
        "c_score",
    ),
    (
        "D13",
        "GraNd at initialisation is no score of difficulty",
        f"rank correlation with EL2N averaged over training, means over {BLOCK} runs",
        "init el2n",
    ),
    (
        "D13b",
        "but stands for the norm of the input",
        f"rank correlation of GraNd at initialisation with the norm of the input, mean over {BLOCK} runs",
        "init norm",
    ),
    (
        "D14",
        "Uncapped, forgetting takes examples that are never learned for the easiest",
        "EL2N of never learned examples minus that of examples learned and never forgotten",
        "never",
    ),
    (
        "D14b",
        "and counting them as forgotten at every look brings forgetting nearer to EL2N",
        "rank correlation with EL2N in the same run, capped minus uncapped",
        "cap",
    ),
    (
        "D15",
        "The margin of probabilities loses the order of easy examples, the margin of logits keeps it",
        "rank correlation between two runs in the easiest half, final margin of logits minus of probabilities",
        "margin",
    ),
]
