"""Notebook 10: how noisy scores of example difficulty are from run to run, and how many runs to average."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator

from butterfly import data, reliability
from butterfly.papers.kwok2024 import PAPER, score_runs
from butterfly.papers.kwok2024.score_runs import OfNetworks, in_blocks, look_steps
from butterfly.papers.kwok2024.within import correlations, disjoint_pairs, within
from butterfly.score import SCORES, ScoreLogger, difficulty
from butterfly.strict import ParameterError
from butterfly.study import (
    Arrays, Bench, Interval, Origin, Setting, Shard, Study, Tables, above, below, between, by_place, intervals,
    grid, of_places,
)  # fmt: skip
from butterfly.study.claims import Region
from butterfly.study.study import REDRAWN
from butterfly.train import Observer, Snapshot, train

AVERAGES = (1, 2, 5, 10)  # runs averaged
BLOCK = 2 * max(AVERAGES)  # runs from which one independent value of a claim is taken, where it needs many
FEW = 8  # the same, where it needs a few
HALVES = 2 * FEW  # the same, where the mean comes from a half and the variance from the other
BINS = 40
SHOWN = ("accuracy.last", "el2n.early", "confidence.last", "el2n.mean", "confidence.mean")
MORE = " more"  # runs of a network of which only the scores of logits are taken
LENGTHS = ("as long as elsewhere", "longer")
SETS = ("training", "test")
KINDS = ("at the time", "mean so far")


class Params(OfNetworks):
    """Parameters of notebook 10; "" leaves a network out."""

    conv: str = ""
    runs: int = Field(20, ge=4)
    more: int = Field(0, ge=0)  # runs besides, for the scores that logits suffice for
    runs_per_shard: int = Field(20, ge=2)
    redrawn_sets: int = Field(0, ge=0)  # sets of data drawn anew, with a block of runs each; 0: none
    course_runs: int = Field(4, ge=0)  # runs watched on training and test examples; 0: none
    passes: int = Field(8, gt=0)  # through the data, of the longer ones of those
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all

    @model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        for name in ("runs", "more"):
            if (count := getattr(self, name)) % BLOCK:
                raise ValueError(
                    f"{name} = {count}: give a multiple of {BLOCK}, that means over {BLOCK // 2} can be paired"
                )
        if self.course_runs % 2 or self.runs_per_shard % 2:
            given = f"course_runs = {self.course_runs}, runs_per_shard = {self.runs_per_shard}"
            raise ValueError(f"{given}: give even numbers, for pairs")
        return self

    @property
    def places(self) -> dict[str, str]:
        """Each network by what its claims' ids end in, and the main one on data of its own for every unit."""
        return score_runs.places(self.main, self.conv, self.real) | ({REDRAWN: REDRAWN} if self.redrawn_sets else {})

    def trained(self, network: str) -> Setting:
        """What a network is; the main one, too, where its data are drawn anew."""
        return super().trained(self.main if network == REDRAWN else network)

    @property
    def courses(self) -> list[str]:
        """The networks that are watched along training."""
        return [network for network in (self.main, self.real) if network] if self.course_runs else []


study = Study("10_noise", Params, PAPER, on="network", origin=Origin.OURS)
study.shard(score_runs.measure_scores)


@study.plan
def plan(params: Params) -> list[Shard]:
    """The scored runs of every network; of the CNN only the scores that logits suffice for."""
    shards = []
    for label, network in params.places.items():
        trained, probed = params.trained(network), network != params.conv
        if label == REDRAWN:
            shards += _redrawn(params, trained)
            continue
        shards += score_runs.plan(study, params, network, trained, params.runs, probed)
        if params.more:
            shards += score_runs.plan(study, params, network + MORE, trained, params.more, False, first=params.runs)
    for network in params.courses:
        trained = params.trained(network)
        longer = trained.changed(steps=round(params.passes / passes(trained, 1)))
        if longer.recipe.steps <= trained.recipe.steps:
            own = passes(trained, trained.recipe.steps)
            raise ParameterError(
                f"passes = {params.passes}: the runs of {network} make {own:.3g} already; give more, or course_runs = 0"
            )
        for name, own in zip(LENGTHS, (trained, longer), strict=True):
            score_runs.check_looks(own, params.looks)
            common = study.config(own, params, looks=params.looks, examples=params.examples)
            few = params.few("runs", params.course_runs)
            shards += [Shard(measure_course, common | {"seeds": seeds}, f"{network} {name}") for seeds in few]
    return shards


def _redrawn(params: Params, trained: Setting) -> list[Shard]:
    """A block of runs for each draw of the data."""
    shards = []
    for place in range(params.redrawn_sets):
        own = params.redrawn(trained, params.first_seed + place)
        shards += score_runs.plan(study, params, f"{REDRAWN} {place}", own, BLOCK, False, first=BLOCK * place)
    return shards


def passes(trained: Setting, step: float) -> float:
    """Passes through the training data after some updates."""
    return step * trained.recipe.batch_size / len(data.load(trained.data).y)


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure_course(bench: Bench) -> Arrays:
    """Train some networks and follow how alike pairs of them rank training and test examples.

    Of the probability of the label, at each look `[T]` and for disjoint pairs `[P]`: `correlation [sets, kinds, T, P]`,
    of one look and of the mean of all so far; `train_accuracy [T, R]` of the scored examples.
    """
    task, seeds = bench.task, bench.seeds
    count = len(task.y[: bench["examples"]])
    x, y = torch.cat([task.x[:count], task.x_test]), torch.cat([task.y[:count], task.y_test])
    logger = ScoreLogger(torch.arange(len(y)), y.cpu(), len(seeds))

    def look(now: Snapshot) -> tuple[list, np.ndarray]:
        logger.watch(bench.model, now.theta, x)
        names = ("confidence.last", "confidence.mean", "accuracy.last")
        *values, answers = (scores.cpu().numpy() for scores in logger.scores(names).values())
        halves = (slice(None, count), slice(count, None))
        return [[_agreement(v[:, half]) for v in values] for half in halves], answers[:, :count].mean(1)

    steps = frozenset(look_steps(bench.recipe, bench["looks"]))
    run = train(bench.model, task, bench.recipe, seeds, observers=[Observer("look", look, steps, state=[logger])])
    found, right = zip(*(seen for _, seen in run.recorded("look")), strict=True)
    return {"correlation": np.stack(found, 2), "train_accuracy": np.stack(right)}


def _agreement(values: np.ndarray) -> np.ndarray:
    """Rank correlation of disjoint pairs of runs `[P]`; NaN where a network diverged, which is told of later."""
    return reliability.disjoint_pairs(values) if np.isfinite(values).all() else np.full(len(values) // 2, np.nan)


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, each with a column `network`.

    `runs`: accuracies. `reliability`: each score's correlation between single runs with its interval, the same within
    classes, and the runs that an average needs. `pairs`: that correlation for disjoint pairs of means over k runs.
    `blocks`: what claims take from blocks of runs. `spread`: the values of single runs against the rank of the example.
    `noise`: standard deviation over runs against the mean, by bins of examples. `course`: correlation between two runs
    along training.
    """
    scores = score_runs.joined(shards)
    networks = [network for label, network in params.places.items() if label != REDRAWN]
    found = of_places("network", {network: _of_network(scores, network) for network in networks})
    if params.redrawn_sets:
        units = [scores[f"{REDRAWN} {place}"] for place in range(params.redrawn_sets)]
        found["blocks"] = pd.concat([found["blocks"], _of_units(units).assign(network=REDRAWN)], ignore_index=True)
    course = _course(params, by_place(shard for shard in shards if shard.compute is measure_course))
    found["blocks"] = pd.concat([found["blocks"], _gains(course)], ignore_index=True)
    return found | {"course": course}


def _of_network(scores: dict[str, Arrays], network: str) -> dict[str, pd.DataFrame]:
    own, more = scores[network], scores.get(network + MORE, {})
    shared = ("label", "input_norm")
    every = {k: v if k in shared or k not in more else np.concatenate([v, more[k]]) for k, v in own.items()}
    return tables_of(own, every)


def tables_of(scores: Arrays, every: Arrays | None = None) -> dict[str, pd.DataFrame]:
    """The tables of one network, from its scores `[R, N]`; of `every` run there may be fewer scores."""
    every, runs = every or scores, {name: scores[name] for name in ("train_accuracy", "test_accuracy")}
    single = {name: scores[name] for name in SCORES if len(scores.get(name, ())) == len(runs["train_accuracy"])}
    rows = [(name, *_single(values, scores["label"])) for name, values in single.items()]
    pairs = [(name, *pair) for name in SHOWN for pair in _pairs(every[name])]
    columns = ["score", "single", "low", "high", "in_class", "runs_90", "runs_95"]
    return {
        "runs": pd.DataFrame(runs),
        "reliability": pd.DataFrame(rows, columns=columns),
        "pairs": pd.DataFrame(pairs, columns=["score", "averaged", "pair", "correlation"]),
        "blocks": _of_units(_in_units(every)),
        "spread": pd.concat([_spread(name, scores[name]) for name in SHOWN], ignore_index=True),
        "noise": _noise(scores["el2n.early"]),
    }


def _single(values: np.ndarray, label: np.ndarray) -> tuple[float, ...]:
    """Correlation between single runs, its interval, the same within classes, and the runs for 0.9 and 0.95."""
    matrix = reliability.correlations(values)
    middle = reliability.between(matrix)
    needed = [reliability.runs_needed(middle, wanted) for wanted in (0.9, 0.95)]
    in_classes = reliability.between(correlations(values, label=label))
    return middle, *reliability.bootstrap(matrix), in_classes, *needed


def _pairs(values: np.ndarray) -> list[tuple[int, int, float]]:
    """(runs averaged, pair, correlation) for disjoint pairs of averages."""
    return [(k, pair, rho) for k in AVERAGES for pair, rho in enumerate(reliability.disjoint_pairs(values, k))]


def blocks_of(scores: Arrays) -> pd.DataFrame:
    """Statistics from pairs and blocks of runs that have none in common, over all examples and `in_class`."""
    rows = []
    for inside in (False, True):
        label = scores["label"] if inside else None
        found = _of_pairs(scores, label) | _of_blocks(scores, label)
        rows += [(name, inside, place, value) for name, own in found.items() for place, value in enumerate(own)]
    return pd.DataFrame(rows, columns=["statistic", "in_class", "block", "value"])


def _of_pairs(scores: Arrays, label: np.ndarray | None) -> dict[str, Sequence[float]]:
    """Statistics of pairs of runs, or of means over 5."""
    named = ("accuracy.last", "confidence.last", "confidence.mean", "margin.logit.last", "margin.logit.mean")
    right, end, mean, logit_end, logit_mean = (disjoint_pairs(scores[name], label=label) for name in named)
    means, medians = (disjoint_pairs(scores["el2n.mean"], 5, how, label) for how in (np.mean, np.median))
    gains = {"gain": mean - end, "logit gain": logit_mean - logit_end}
    return {"end": end, "answers": right - end, **gains, "median": medians - means}


def _of_blocks(scores: Arrays, label: np.ndarray | None) -> dict[str, Sequence[float]]:
    """Statistics of blocks of runs."""
    early, mean = scores["el2n.early"], scores["el2n.mean"]
    ranked = [reliability.ranks(few) if label is None else within(few, label) for few in in_blocks(early, FEW)]
    found = {"icc": [reliability.icc(ranks) for ranks in ranked]}
    for name, values in (("early", early), ("mean", mean)):
        found[f"noise {name}"] = [_noise_follows_mean(block, label) for block in in_blocks(values, HALVES)]
    for k in AVERAGES[1:]:
        found[f"excess {k}"] = [_excess(block, k, label) for block in in_blocks(mean, BLOCK)]
    return found


def _noise_follows_mean(values: np.ndarray, label: np.ndarray | None) -> float:
    """Rank correlation over examples of the mean over a half of the runs and the variance over the other half.

    In the same runs the two are tied: of a bounded score with a long tail, even examples that are all alike would have
    a larger variance where the mean happens to be larger.
    """
    half = len(values) // 2
    return float(correlations(values[:half].mean(0)[None], values[half:].var(0, ddof=1)[None], label)[0, 0])


def _excess(block: np.ndarray, k: int, label: np.ndarray | None) -> float:
    """Correlation between means over k runs of a block, minus what follows from single runs."""
    single = reliability.between(correlations(block, label=label))
    return disjoint_pairs(block, k, label=label).mean() - reliability.spearman_brown(single, k)


def _in_units(scores: Arrays) -> list[Arrays]:
    """The scores of `BLOCK` runs at a time, as many as a draw of the data has, so that spreads can be compared."""
    count = len(scores["el2n.mean"])
    whole = ("label", "input_norm")
    return [
        {name: values if name in whole else values[first : first + BLOCK] for name, values in scores.items()}
        for first in range(0, count, BLOCK)
    ]


def _of_units(units: list[Arrays]) -> pd.DataFrame:
    """The same for units of `BLOCK` runs (of one draw of the data, or each of its own): means over pairs and blocks."""
    found = pd.concat([blocks_of(own).assign(block=place) for place, own in enumerate(units)])
    return found.groupby(["statistic", "in_class", "block"], sort=False).value.mean().reset_index()


def _course(params: Params, shards: dict[str, list[Shard]]) -> pd.DataFrame:
    """Correlation between two runs by length of training, look, kind of score and pair; with training accuracy."""
    rows = []
    for network in params.courses:
        for name in LENGTHS:
            own = shards[f"{network} {name}"]
            trained = Setting.read(own[0].config["setting"], "setting")
            found = np.concatenate([shard["correlation"] for shard in own], 3)  # [sets, kinds, T, P]
            right = np.concatenate([shard["train_accuracy"] for shard in own], 1).mean(1)
            times = [passes(trained, step) for step in look_steps(trained.recipe, params.looks)]
            pairs = range(found.shape[3])
            axes = {"examples": SETS, "kind": KINDS, "passes": times, "pair": pairs}
            table = grid(found, axes, "correlation").assign(network=network, length=name)
            rows.append(table.assign(train_accuracy=table.passes.map(dict(zip(times, right, strict=True)))))
    columns = [*axes, "correlation", "network", "length", "train_accuracy"] if rows else ["network"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def _gains(course: pd.DataFrame) -> pd.DataFrame:
    """What averaging over training gains over its end, for each length and set of examples: `gain longer, test`; and,
    pair by pair, how much more it gains if runs are `longer`, and on examples that are not trained on, `unseen`."""
    if course.empty:
        return pd.DataFrame(columns=["statistic", "in_class", "block", "value", "network"])
    end = course[course.passes == course.groupby(["network", "length"]).passes.transform("max")]
    wide = end.pivot(index=["network", "length", "examples", "pair"], columns="kind", values="correlation")
    gain = (wide[KINDS[1]] - wide[KINDS[0]]).unstack(["length", "examples"])
    found = {f"gain {length}, {examples}": gain[length, examples] for length in LENGTHS for examples in SETS}
    first = gain[LENGTHS[0], SETS[0]]
    found |= {"longer": gain[LENGTHS[1], SETS[0]] - first, "unseen": gain[LENGTHS[0], SETS[1]] - first}
    table = pd.DataFrame(found).reset_index().melt(["network", "pair"], var_name="statistic")
    table = table.rename(columns={"pair": "block"}).assign(in_class=False)
    return table[["statistic", "in_class", "block", "value", "network"]]


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


# --- claims: a unit is a block of runs that no other contains; @redrawn, with data of its own ------------------------

DIFFERENCE = (-2.0, 2.0)  # of two correlations


def values(t: Tables, statistic: str, inside: bool = False) -> pd.Series:
    """What pairs or blocks give."""
    blocks = t["blocks"]
    return blocks.value[(blocks.statistic == statistic) & (blocks.in_class == inside)]


def without_ranks(t: Tables) -> str:
    """Claims are void where in any pair a run is right on all training examples, or on none: answers have no ranks."""
    pairs = values(t, "answers")
    lost = int(pairs.isna().sum())
    return f"in {lost} of {len(pairs)} pairs a run's answers have no ranks: all right, or all wrong" if lost else ""


def not_followed(t: Tables) -> str:
    """Claims are void where no runs were followed along training, or a pair of them has no ranks at its end."""
    found = pd.concat([values(t, "longer"), values(t, "unseen")])
    lost = f"{int(found.isna().sum())} of {len(found)} differences have no ranks" if found.isna().any() else ""
    return lost if len(found) else "no runs of this network were followed along training"


COVARIANCE = {"origin": Origin.NOTEBOOK, "place": "fig_cov", "figure": "b"}
TWO = "rank correlation between two runs, "
GAIN = TWO + "probability of the label averaged over training minus final"
EXCESS = "rank correlation between means over {} runs minus its prediction (EL2N averaged over training)"
NOISE = f"rank correlation over examples of the mean over {FEW} runs and the variance over {FEW} others, EL2N "
EVEN = between(-0.02, 0.02)  # 0.02 of reliability: about one run in ten
SMALL = {"margin": 0.02}  # the same, as the smallest effect worth knowing
# Bounds: 0.8 is the least that is asked of a test in basic research (Nunnally 1978); below, a reliability of 0.9 needs
# more than two runs. 0.1 of reliability is the least gain that we call far more. A correlation of 0.5 between mean and
# variance says that a quarter of one goes with the other. 0.005 is a quarter of what is worth knowing.
CLAIMS = (  # id, that within classes, statistic, region, what else is told of it, statement, measured by
    ("D01", "D01c", "end", below(0.8), {"origin": Origin.ABSTRACT, "figure": "b"},
     "One run ranks the examples unreliably at the end of training", TWO + "final probability of the label"),
    ("D01b", "D01d", "answers", below(0.0), COVARIANCE | {"unless": without_ranks},
     "The final answer, right or wrong, is less reliable than the final probability of the label",
     TWO + "final accuracy minus final probability of the label"),
    ("D02", "D02c", "gain", above(0.1), COVARIANCE,
     "Averages over training are far more reliable than the end", GAIN),
    ("D02b", "D02d", "gain", above(0.0), COVARIANCE | SMALL,
     "Averages over training are more reliable than the end", GAIN),
    ("D02e", "D02f", "logit gain", above(0.0), SMALL | {"figure": "b"},
     "Taken of margins of logits, which do not saturate, averages over training are more reliable than the end",
     TWO + "margin of logits averaged over training minus final"),
    ("D03", "D03c", "excess 10", EVEN, {"figure": "c"}, "Averaging 10 runs does what the Spearman-Brown formula says",
     EXCESS.format(10)),
    ("D03b", "D03d", "excess 2", EVEN, {"figure": "c"}, "Averaging two runs does what the Spearman-Brown formula says",
     EXCESS.format(2)),
    ("D04", "D04b", "icc", below(0.75), {"figure": "b"},
     "EL2N early in training needs more than three runs for a reliability of 0.9",
     f"ICC(1) of its ranks in one run, over {FEW} runs (0.75: three runs)"),
    ("D05", "D05c", "noise early", above(0.5), {"figure": "d"},
     "The noise of EL2N early in training is on the hard examples", NOISE + "early in training"),
    ("D05b", "D05d", "noise mean", above(0.5), {},
     "The noise of EL2N averaged over training is on the hard examples",
     NOISE + "averaged over training"),
    ("D18", "D18b", "median", below(0.005), {"margin": 0.01},
     "Taking the median over runs instead of the mean does not help",
     "rank correlation between medians over 5 runs minus that between means (EL2N averaged over training)"),
)  # fmt: skip
SINGLE_VALUED = ("end", "icc", "noise early", "noise mean")  # correlations; all others are differences of two
FOLLOWED = {"unless": not_followed, "figure": "e"}  # why D02 is not found: two explanations
ALONE = (  # id, statistic, region, what else is told of it, statement, measured by
    ("D02g", "longer", above(0.0), FOLLOWED | {"margin": 0.1},  # as much as D02 asks for
     "The more passes through the data, the more averages over training gain over the end",
     GAIN + "; with {params.passes} passes through the data, minus with as many as elsewhere, same seeds"),
    ("D02h", "unseen", above(0.0), FOLLOWED | SMALL,
     "On examples that are not trained on, averages over training gain more over the end than on those that are",
     GAIN + "; on test examples minus on training examples, same runs"),
)  # fmt: skip


def _twin(id: str, twin: str, statistic: str, region: Region, about: dict, statement: str, by: str) -> tuple:
    """The same claim with ranks within classes, which is ours whoever makes the first."""
    ours = {name: value for name, value in about.items() if name not in ("origin", "place")}
    name = statement.partition(" ")[0][1:]  # EL2N and GraNd keep their capitals
    says = statement if name != name.lower() else statement[0].lower() + statement[1:]
    return twin, statistic, True, region, ours, f"Within classes: {says}", f"{by}; ranks within classes"


def _measured(statistic: str, inside: bool) -> Callable[[Tables], Interval]:
    reach = intervals.CORRELATION if statistic in SINGLE_VALUED else DIFFERENCE
    return lambda t: intervals.mean(values(t, statistic, inside), reach)


ALL = [claim for row in CLAIMS for claim in ((row[0], row[2], False, *row[3:]), _twin(*row))]
ALL += [(id, statistic, False, *rest) for id, statistic, *rest in ALONE]
for id, statistic, inside, region, about, statement, by in ALL:
    study.claim(id, statement, by=by, region=region, **about)(_measured(statistic, inside))
