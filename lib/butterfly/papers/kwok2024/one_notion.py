"""Notebook 11: do all scores measure one difficulty, once run noise is taken out?"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from butterfly import probe, reliability
from butterfly.papers.kwok2024 import PAPER, score_runs
from butterfly.papers.kwok2024.score_runs import OfNetworks, in_blocks
from butterfly.papers.kwok2024.within import disjoint_pairs, standardised, within
from butterfly.score import c_score, difficulty, memorization
from butterfly.study import (
    Arrays, Bench, Interval, Kind, Origin, Shard, Tables, above, below, between, intervals, of_places,
)  # fmt: skip
from butterfly.study.claims import Region

BLOCK = 10  # runs from which one independent value of a claim is taken
# The one list of D06 to D08, by a rule: each score of the registry that all looks of one run make together; of variants
# of one formula, one. Single moments of training are left out: their number could be made as large as one likes.
TRAINING = (
    *("accuracy.mean", "loss.mean", "confidence.mean", "max_confidence.mean", "entropy.mean", "margin.logit.mean"),
    *("el2n.mean", "confidence.sd", "forgetting.capped", "first_learned", "iteration_learned"),
    *("vog.class.sd", "vog.loss.sd"),
)
SPREAD = ("confidence.sd", "vog.class.sd", "vog.loss.sd")  # of these: how much something moves, not how wrong it is
# A moment of training each, or the network at the end.
MOMENTS = (
    *("el2n.early", "grand", "confidence.last", "entropy.last", "margin.logit.last"),
    *("prediction_depth.label", "prediction_depth.answer", "prototype", "prototype.self"),
    *("robustness.input", "robustness.weights"),
)
SINGLE = (*TRAINING, *MOMENTS)  # what one run gives
OF_MANY = ("agreement", "c_score", "memorization")  # what many runs give
OURS = "course of training"
LISTS = {  # of scores, for the sensitivity of D06 and D07 to the list
    OURS: TRAINING,
    **{f"without {name}": tuple(other for other in TRAINING if other != name) for name in TRAINING},
    "without all of spread": tuple(name for name in TRAINING if name not in SPREAD),
    "with single moments": SINGLE,
    "with them, but prototypes": tuple(name for name in SINGLE if not name.startswith("prototype")),
    "with them, but gradients and spread": tuple(name for name in SINGLE if name not in ("grand", "confidence.sd")),
}


class Params(OfNetworks):
    """Parameters of notebook 11."""

    runs: int = Field(20, ge=2 * BLOCK)
    runs_per_shard: int = Field(20, ge=2)  # between two networks and more there is agreement
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all
    initial: int = Field(20, ge=BLOCK)  # networks whose gradients are taken before training
    held_out: int = Field(20, ge=2)  # networks trained on random subsets, for each ratio
    ratios: tuple[float, ...] = (0.3, 0.7)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.runs % (2 * BLOCK):
            raise ValueError(f"runs = {self.runs}: give a multiple of {2 * BLOCK}, for pairs of blocks")
        if not self.ratios or not all(0 < ratio < 1 for ratio in self.ratios):
            raise ValueError(f"ratios = {list(self.ratios)}: give shares of the examples between 0 and 1")
        return self


study = score_runs.OneDataSet("11_one_notion", Params, PAPER, on="network", origin=Origin.OURS)
study.shard(score_runs.measure_scores)
study.shard(score_runs.measure_held_out)


@study.shard
def measure_initial(bench: Bench) -> Arrays:
    """GraNd of some networks before training `[R, N]`."""
    count = bench["examples"] or len(bench.task.y)
    x, y = bench.task.x[:count], bench.task.y[:count]
    theta = bench.model.init(bench.seeds).to(x)
    return {"grand.init": probe.gradient_norms(bench.model, theta, x, y)[0].cpu().numpy().astype(np.float32)}


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every network its scored runs, initial networks, and networks that did not see everything."""
    shards = []
    for network in params.places.values():
        trained = params.trained(network)
        shards += score_runs.plan(study, params, network, trained, params.runs, probed=True)
        common = study.config(trained, params, examples=params.examples)
        few = params.few("runs", params.initial)
        shards += [Shard(measure_initial, common | {"seeds": seeds}, network) for seeds in few]
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
    example. `blocks`: what claims take from blocks of runs. `lists`: the same two numbers for other lists of scores.
    """
    found = [score_runs.joined(shards)]
    found += [score_runs.joined(shards, compute) for compute in (score_runs.measure_held_out, measure_initial)]
    return of_places("network", {name: tables_of(*(part[name] for part in found)) for name in found[0]})


def tables_of(scores: Arrays, held_out: Arrays, initial: Arrays) -> dict[str, pd.DataFrame]:
    """The tables of one network: from its scores, from who `trained` on what and was `right`, and before training."""
    label, aligned = scores["label"], {name: difficulty(name, scores[name]) for name in SINGLE}
    known = {"c_score": c_score(**held_out), "memorization": memorization(**held_out)}
    many = {"agreement": scores["agreement"].mean(0), **known}
    means = {name: values.mean(0) for name, values in aligned.items()}
    means |= {name: difficulty(name, values) for name, values in many.items()}
    pairs = correlations(aligned)
    training = standardised(np.stack([means[name] for name in TRAINING]))
    shares, loadings = principal(training)
    chance = [by_chance(training, kept) for kept in range(len(shares))]
    control = {"grand_init": initial["grand.init"].mean(0), "norm": scores["input_norm"], "label": label}
    per_list = [_of_lists(aligned, label, inside) for inside in (False, True)]
    blocks = [_blocks(scores, aligned, held_out, initial, inside) for inside in (False, True)]
    return {
        "pairs": pairs,
        "axis": _axis(pairs, means, label),
        "components": pd.DataFrame({"component": range(1, len(shares) + 1), "share": shares, "chance": chance}),
        "loadings": pd.DataFrame({"score": TRAINING, "first": loadings[0], "second": loadings[1]}),
        "control": pd.DataFrame({**control, "el2n": means["el2n.mean"]}),
        "lists": pd.concat(per_list, ignore_index=True),
        "blocks": pd.concat(blocks, ignore_index=True),
    }


def correlations(aligned: Arrays, label: np.ndarray | None = None) -> pd.DataFrame:
    """Correlations of every two scores, both ways round: `raw` and `free` from different runs, `same` from the same;
    with labels, within classes."""
    ranks = {name: standardised(values, label) for name, values in aligned.items()}
    count = next(iter(ranks.values())).shape[1]
    single = {name: reliability.between(own @ own.T / count) for name, own in ranks.items()}
    rows = []
    for a, b in combinations(aligned, 2):
        matrix = ranks[a] @ ranks[b].T / count
        raw, product = reliability.between(matrix), single[a] * single[b]
        free = raw / product**0.5 if single[a] > 0 and single[b] > 0 else np.nan
        rows += [(*names, raw, free, np.trace(matrix) / len(matrix)) for names in ((a, b), (b, a))]
    return pd.DataFrame(rows, columns=["one", "other", "raw", "free", "same"])


def principal(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of standardised scores `[K, N]`, as `reliability.components`: shares and loadings."""
    size, axes = np.linalg.eigh(columns @ columns.T / columns.shape[1])
    axes = axes[:, ::-1].T
    return size[::-1] / len(columns), axes * np.where(axes.sum(1) < 0, -1, 1)[:, None]


def by_chance(columns: np.ndarray, kept: int, draws: int = 100, seed: int = 0) -> float:
    """The 95th percentile of the share of the component after `kept`, where standardised scores `[K, N]` have no more.

    Sequential parallel analysis: what the kept components leave of each score is shuffled by itself. With none kept it
    is Horn's; but the more the first component holds, the less is left to the second by chance.
    """
    random, axes = np.random.default_rng(seed), principal(columns)[1][:kept]
    common = axes.T @ axes @ columns
    # What is kept took its share of the noise along: of K directions, `kept` are missing in the rest.
    rest = (columns - common) * (len(columns) / (len(columns) - kept)) ** 0.5
    chance = []
    for _ in range(draws):
        made = common + random.permuted(rest, axis=1)
        chance.append(np.linalg.eigvalsh(np.corrcoef(made))[-1 - kept] / len(made))
    return float(np.percentile(chance, 95))


def _axis(pairs: pd.DataFrame, means: Arrays, label: np.ndarray) -> pd.DataFrame:
    """Correlation of every score with EL2N averaged over training: `raw`, `free` of run noise, `of_means`, `in_class`.

    The last is of means, too, with ranks within classes.
    """
    rows = pd.DataFrame({"score": [name for name in means if name != "el2n.mean"]})
    alone = pairs[pairs.one == "el2n.mean"].set_index("other")[["raw", "free"]]
    of_means = [_rho(means[name], means["el2n.mean"]) for name in rows.score]
    in_classes = [_rho(means[name], means["el2n.mean"], label) for name in rows.score]
    return rows.join(alone, on="score").assign(of_means=of_means, in_class=in_classes)


def _rho(a: np.ndarray, b: np.ndarray, label: np.ndarray | None = None) -> float:
    """Rank correlation over the examples that have both; with labels, within classes."""
    both = np.isfinite(a) & np.isfinite(b)
    one, other = standardised(np.stack([a[both], b[both]]), None if label is None else label[both])
    return float((one * other).mean())


def _of_lists(aligned: Arrays, label: np.ndarray, inside: bool) -> pd.DataFrame:
    """For each list of scores and block of runs: part of the disagreement that is noise, and of the first component."""
    rows = []
    for place, few in enumerate(_in_blocks(aligned)):
        pairs, means = _seen(few, label if inside else None)
        for name, some in LISTS.items():
            first = principal(np.stack([means[score] for score in some]))[0][0]
            rows.append((name, inside, place, noise_part(pairs, some), first))
    return pd.DataFrame(rows, columns=["list", "in_class", "block", "noise", "first"])


def _in_blocks(aligned: Arrays) -> list[Arrays]:
    """Runs by blocks that have none in common."""
    blocks = {name: in_blocks(values, BLOCK) for name, values in aligned.items()}
    return [{name: values[place] for name, values in blocks.items()} for place in range(len(blocks["el2n.mean"]))]


def _seen(few: Arrays, label: np.ndarray | None) -> tuple[pd.DataFrame, Arrays]:
    """Correlations between the scores of a block of runs, and their standardised means over it; with labels, within
    classes."""
    means = standardised(np.stack([values.mean(0) for values in few.values()]), label)
    return correlations(few, label), dict(zip(few, means, strict=True))


def without_others(pairs: pd.DataFrame, names: Sequence[str], left: Sequence[str]) -> float:
    """`noise_part` of some scores without as many others as those `left` out, mean over every choice of others."""
    wide = pairs.pivot(index="one", columns="other").reindex(index=names, columns=names, level=1)
    raw, free = (wide[column].loc[names, list(names)].to_numpy() for column in ("raw", "free"))
    known = np.isfinite(raw) & np.isfinite(free)  # without reliability nothing is freed
    gap, rest = np.where(known, free - raw, 0.0), np.where(known, 1 - raw, 0.0)
    others = [place for place, name in enumerate(names) if name not in left]
    found = []
    for out in combinations(others, len(left)):
        kept = np.ix_(*[np.delete(np.arange(len(names)), out)] * 2)
        found.append(gap[kept].sum() / rest[kept].sum())
    return float(np.mean(found))


def noise_part(pairs: pd.DataFrame, names: Sequence[str]) -> float:
    """Part of the disagreement between some scores in different runs that goes when run noise is taken out."""
    some = pairs[pairs.one.isin(names) & pairs.other.isin(names)].dropna()  # without reliability nothing is freed
    return (some.free - some.raw).sum() / (1 - some.raw).sum()


def _blocks(scores: Arrays, aligned: Arrays, held_out: Arrays, initial: Arrays, inside: bool) -> pd.DataFrame:
    """Statistics from pairs and blocks of runs that have none in common, over all examples or within classes."""
    label = scores["label"] if inside else None
    rows = [(name, place, value) for place, few in enumerate(_in_blocks(aligned))
            for name, value in _agreement(few, label).items()]  # fmt: skip
    el2n = in_blocks(aligned["el2n.mean"], BLOCK).mean(1)
    for place, own in enumerate(el2n):
        known = c_score(**{name: values[place :: len(el2n)] for name, values in held_out.items()})
        rows.append(("c_score", place, _rho(own, difficulty("c_score", known), label)))
    middle = aligned["el2n.mean"].mean(0)
    for place, init in enumerate(in_blocks(initial["grand.init"], BLOCK).mean(1)):
        rows.append(("init el2n", place, _rho(init, middle, label)))
        rows.append(("init norm", place, _rho(init, scores["input_norm"], label)))
    easy = within(middle, scores["label"] if inside else np.zeros(len(middle))) < 0.5
    own = None if label is None else label[easy]
    for when in ("mean", "last"):
        logit, prob = (disjoint_pairs(scores[f"margin.{of}.{when}"][:, easy], label=own) for of in ("logit", "prob"))
        rows += [(f"margin {when}", place, value) for place, value in enumerate(logit - prob)]
    rows += _forgetting(scores, label)
    return pd.DataFrame(rows, columns=["statistic", "block", "value"]).assign(in_class=inside)


def _agreement(few: Arrays, label: np.ndarray | None) -> dict[str, float]:
    """Components of a block's means, and how far its scores agree in the same run and in different ones."""
    pairs, means = _seen({name: few[name] for name in TRAINING}, label)
    training = np.stack([means[name] for name in TRAINING])
    shares = principal(training)[0]
    return {
        "first": shares[0],
        "second": shares[1],
        "noise": noise_part(pairs, TRAINING),
        "noise of levels": noise_part(pairs, LISTS["without all of spread"]),
        "noise of others": without_others(pairs, TRAINING, SPREAD),
        "same run": (pairs.same - pairs.raw).mean(),
    }


def _forgetting(scores: Arrays, label: np.ndarray | None) -> list[tuple[str, int, float]]:
    """Of single runs: EL2N of what is never learned against never forgotten, and what the cap brings forgetting."""
    rows = []
    for run, el2n in enumerate(scores["el2n.mean"]):
        events, capped = scores["forgetting"][run], scores["forgetting.capped"][run]
        never, always = (events == 0) & (capped > 0), (events == 0) & (capped == 0)
        if never.any() and always.any():
            rows.append(("never", run, el2n[never].mean() - el2n[always].mean()))
        with_cap, without = (_rho(counts, el2n, label) for counts in (capped, events))
        rows.append(("cap", run, with_cap - without))
    return rows


# --- claims: a unit is a run, a pair or a block of runs --------------------------------------------------------------


def few_never_learned(t: Tables) -> str:
    """Claims are void where fewer than half of the runs leave examples that they never learn."""
    runs, told = (_values(t, name, False) for name in ("cap", "never"))
    return f"only {len(told)} of {len(runs)} runs leave examples never learned" if len(told) < len(runs) / 2 else ""


def _values(t: Tables, statistic: str, inside: bool) -> pd.Series:
    blocks = t["blocks"]
    return blocks.value[(blocks.statistic == statistic) & (blocks.in_class == inside)]


NEVER = {"kind": Kind.CHECK, "unless": few_never_learned}
CODE = {"origin": Origin.CODE, "place": "countforget"} | NEVER
KIRSCH = {"origin": Origin.OTHER, "source": "Kirsch 2023 (arXiv 2303.14753)", "figure": "d"}
SHARE, CORRELATION, DIFFERENCE = intervals.SHARE, intervals.CORRELATION, (-2.0, 2.0)
INIT = f"rank correlation of GraNd at initialisation, mean over {BLOCK} networks, with "
SMALL = {"margin": 0.02}  # the smallest difference of two correlations that is worth knowing
ONE_SCORE = 1 / len(TRAINING)  # Kaiser's criterion: a component counts if it explains more than one score does
# Other bounds: more than half of the variance is one axis; a correlation of 0.7 is half of the variance in common, of
# 0.1 a hundredth; the list decides D07 if it moves the part of noise by a tenth more than the length of the list does.
CLAIMS = (  # id, that within classes, statistic, its reach, region, what else is told of it, statement, measured by
    ("D06", "D06c", "first", SHARE, above(0.5), {"origin": Origin.ABSTRACT, "figure": "b"},
     "What training says about examples has one dominant axis",
     f"share of variance of the first component of {len(TRAINING)} scores' ranks, means over {BLOCK} runs"),
    ("D06b", "D06d", "second", SHARE, below(ONE_SCORE), {"figure": "b", "margin": 0.03},
     "Beside the dominant axis, what training says about examples has no second one that explains more than one score "
     "alone", f"share of variance of the second component of {len(TRAINING)} scores' ranks, means over {BLOCK} runs "
     f"(1/{len(TRAINING)}: one score)"),
    ("D07", "D07b", "noise", intervals.ANYWHERE, above(0.5), {"figure": "ce", "margin": 0.1},
     "Most of the disagreement between scores of the course of training is run noise",
     f"part of 1 - rank correlation of different runs that goes when run noise is taken out, pairs of {len(TRAINING)} "
     "scores"),
    ("D07c", "D07d", "noise of levels", intervals.ANYWHERE, above(0.1), {"figure": "e", "margin": 0.1},
     "Without the three scores of spread, more of the disagreement is noise than without three others",
     "part of 1 - rank correlation of different runs that goes when run noise is taken out: without the spread of "
     "confidence and the two variances of gradients, minus without three other scores, mean over all choices of those"),
    ("D08", "", "same run", DIFFERENCE, above(0.0), {"kind": Kind.CHECK},
     "Two scores of the same run agree better than of different runs, as they share its noise",
     "rank correlation in the same run minus in different runs, mean over pairs of scores"),
    ("D09", "D09b", "c_score", CORRELATION, above(0.7), {"figure": "c"},
     "EL2N agrees with C-scores, which come from networks that did not train on the example",
     f"rank correlation of means over {BLOCK} runs with C-scores of other networks"),
    ("D13", "D13c", "init el2n", CORRELATION, between(-0.1, 0.1), KIRSCH,
     "GraNd at initialisation goes with EL2N neither way (within 0.1)",
     INIT + "EL2N averaged over training and all runs"),
    ("D13b", "D13d", "init norm", CORRELATION, above(0.7), KIRSCH,
     "GraNd at initialisation stands for the norm of the input", INIT + "the norm of the input"),
    ("D14", "", "never", (-(2**0.5), 2**0.5), above(0.0), CODE,
     "Uncapped, forgetting takes examples that are never learned for the easiest",
     "EL2N of never learned examples minus that of examples learned and never forgotten"),
    ("D14b", "D14c", "cap", DIFFERENCE, above(0.0), NEVER,
     "Counting examples that are never learned as forgotten at every look brings forgetting nearer to EL2N",
     "rank correlation with EL2N in the same run, capped minus uncapped"),
    ("D15", "D15c", "margin mean", DIFFERENCE, above(0.0), SMALL,
     "Averaged over training, runs agree more on the margin of logits than of probabilities among easy examples",
     "rank correlation between two runs in the easiest half, margins averaged over training, logits minus "
     "probabilities"),
    ("D15b", "D15d", "margin last", DIFFERENCE, above(0.0), SMALL,
     "At the end of training, runs agree more on the margin of logits than of probabilities among easy examples",
     "rank correlation between two runs in the easiest half, final margin of logits minus of probabilities"),
)  # fmt: skip


def _twin(id: str, twin: str, statistic: str, reach, region: Region, about: dict, statement: str, by: str) -> tuple:
    """The same claim with ranks within classes, which is ours whoever makes the first."""
    ours = {k: v for k, v in about.items() if k not in ("origin", "source", "place")}
    name = statement.partition(" ")[0][1:]  # EL2N and GraNd keep their capitals
    says = statement if name != name.lower() else statement[0].lower() + statement[1:]
    return twin, statistic, True, reach, region, ours, f"Within classes: {says}", f"{by}; ranks within classes"


def _measured(statistic: str, inside: bool, reach: tuple[float, float]) -> Callable[[Tables], Interval]:
    def measure(t: Tables) -> Interval:
        found = _values(t, statistic, inside)
        if statistic == "noise of levels":  # of each block, beside what other lists of that length give
            found = found.to_numpy() - _values(t, "noise of others", inside).to_numpy()
        return intervals.mean(found, reach)

    return measure


ALL = [claim for row in CLAIMS for claim in ((row[0], row[2], False, *row[3:]), _twin(*row)) if claim[0]]
for id, statistic, inside, reach, region, about, statement, by in ALL:
    study.claim(id, statement, by=by, region=region, **about)(_measured(statistic, inside, reach))
