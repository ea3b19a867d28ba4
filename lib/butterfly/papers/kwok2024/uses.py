"""Notebook 14: what scores of difficulty are good for: choosing examples, and finding wrong labels."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import data, models, prune, reliability
from butterfly.data import Data
from butterfly.data.human import human_file, vote_counts, wrong_votes
from butterfly.evaluate import evaluate, features, logits
from butterfly.models import Model
from butterfly.papers.kwok2024 import PAPER, people, score_runs
from butterfly.papers.kwok2024.people import BATCH, found_by
from butterfly.papers.kwok2024.score_runs import check_looks, halves, look_steps
from butterfly.score import LOGGED, ScoreLogger, c_score, logged_difficulty, prototype_distance
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, Origin, Setting, Shard, Study, Tables, Trained, intervals
from butterfly.study.claims import above, below, between
from butterfly.study.intervals import CORRELATION, SHARE
from butterfly.study.parameters import groups, plain
from butterfly.study.study import REDRAWN
from butterfly.study.tables import grid, stacked
from butterfly.train import Observer, Snapshot, train

SCORE = "el2n.mean"
LAYERS = ("prototype", "pruning_decay")  # scores of a trained network, beside those of its training
SCORES = (*LOGGED, *LAYERS)
# By EL2N regardless of class; the same share of every class; and random ones, as many of each class as are hard.
RULES = ("easy", "hard", "random", "easy in class", "hard in class", "random in class", "unequal")
WHEN = ("early", "whole", "late")  # the first quarter of training, all of it, and the last quarter
SPAN, CHOSEN, NOISY, HELD_OUT = 10_000, 1_000, 2_000, 3_000  # seeds of a block, and where those of its parts start
LEVELS, PRUNED = 20, 0.2  # of pruning: a fifth of the weights that are left at each, as in the authors' notebooks
LEAST = 0.3  # accuracy on ten classes: three times chance


class Params(Trained):
    """Parameters of notebook 14; `real` and `other`, a second network trained on what the first chose, may be empty."""

    setting: str = "mnist1d-scores"
    real: str = ""
    scorer: str = "mlp-1x16"  # whose scores choose examples, and find wrong labels
    other: str = ""
    steps: int | None = Field(80, gt=0)  # None: the settings' own
    looks: int = Field(8, ge=2)
    blocks: int = Field(3, ge=2, le=1000)  # independent choices of examples, each from runs of its own
    redrawn_blocks: int = Field(0, ge=0, le=1000)  # the same with data of its own for every block; 0: none
    runs: int = Field(4, ge=2, le=1000)  # that score, in a block
    seeds: int = Field(2, ge=1, le=1000)  # networks trained on each choice
    fractions: tuple[float, ...] = (0.25, 0.75)
    noise: float = Field(0.1, gt=0, lt=0.5)  # share of labels moved
    noisy_runs: int = Field(2, ge=1, le=1000)
    held_out: int = Field(8, ge=4, le=1000)  # networks of a block that train on a random half of the examples
    human_images: int = Field(0, ge=0, le=50_000, multiple_of=BATCH)  # of CIFAR-10; 0: leave people out
    human_setting: str = "cifar10-scores"
    human_model: str = "cnn-3x16"
    human_steps: int | None = Field(None, gt=0)
    human_looks: int = Field(8, ge=1)
    human_runs: int = Field(8, ge=2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for setting in self.settings.values():
            for name in self.learners:
                models.build(name, data.input_shape(setting.data), classes=10)  # refuses what does not fit
        if self.judged.data != "cifar10":
            raise ValueError(f"human_setting = '{self.human_setting}': people judged CIFAR-10; give a setting of it")
        models.build(self.human_model, data.input_shape("cifar10"), classes=10)
        if not all(0 < f < 1 for f in self.fractions) or list(self.fractions) != sorted(set(self.fractions)):
            raise ValueError(f"fractions = {list(self.fractions)}: give rising shares between 0 and 1")
        return self

    @property
    def places(self) -> dict[str, str]:
        """Each setting by what its claims' ids end in."""
        return score_runs.places(self.setting, self.real) | ({REDRAWN: REDRAWN} if self.redrawn_blocks else {})

    @property
    def settings(self) -> dict[str, Setting]:
        """Each setting by name, as it is trained."""
        main = {self.setting: self.chosen(self.setting, self.steps)}
        others = (name for label, name in self.places.items() if label not in ("", REDRAWN))
        return main | {name: plain(name, self.steps) for name in others}

    @property
    def few(self) -> float:
        """The smallest share of examples that is kept."""
        return min(self.fractions)

    @property
    def many(self) -> float:
        """The largest."""
        return max(self.fractions)

    @property
    def learners(self) -> list[str]:
        """The architectures that are trained on chosen examples."""
        return list(dict.fromkeys(filter(None, (self.scorer, self.other))))

    @property
    def architectures(self) -> str:
        """What is trained, for the scope of claims."""
        return ", ".join(self.learners)

    @property
    def judged(self) -> Setting:
        """How the networks are trained that are held against people."""
        return plain(self.human_setting, self.human_steps, model=self.human_model)

    @property
    def people(self) -> str:
        """What is held against people, for the scope of claims."""
        return f"{self.judged.data}, {self.human_model}"


study = Study("14_uses", Params, PAPER, on="setting", origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard a block in every setting, and those of CIFAR-10."""
    fields = {"looks", "runs", "fractions", "noise", "noisy_runs", "held_out"}
    shared = params.model_dump(mode="json", include=fields)
    shared |= {"repeats": params.seeds, "learners": params.learners}
    shards = []
    for label, name in params.places.items():
        setting = params.settings[params.setting if label == REDRAWN else name]
        check_looks(setting, params.looks)
        for unit in range(params.redrawn_blocks if label == REDRAWN else params.blocks):
            block = params.first_seed + unit
            own = params.redrawn(setting, block) if label == REDRAWN else setting
            shards.append(Shard(measure_block, study.config(own, params, **shared, block=block), name))
    return shards + _plan_people(params)


def _plan_people(params: Params) -> list[Shard]:
    """A shard for every four runs on CIFAR-10; none where nobody asked for them or the human labels are not there."""
    if not params.human_images or not all(human_file(name) for name in ("cifar10n", "cifar10h")):
        return []
    check_looks(params.judged, params.human_looks)
    asked = {"images": params.human_images, "draw": params.first_seed, "looks": params.human_looks}
    common = study.config(params.judged, params, **asked)
    # Reading CIFAR-10 takes a process longer, and more memory, than training on a part of it.
    return [
        Shard(measure_images, common | {"seeds": seeds}, "people")
        for seeds in groups(params.human_runs, 4, params.first_seed)
    ]


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def measure_block(bench: Bench) -> Arrays:
    """Everything about one block of a setting, from networks, choices and moved labels that no other block uses.

    `accuracy [rules, fractions, networks, S]` on the test set after training on chosen examples, `whole [networks, S]`
    on all, `classes [fractions, C]`, how many of each class are hard; `single [scores]`, the correlation between runs;
    `found [scores]` and `found_one`, the area under the ROC curve for moved labels, of means and of single runs, and
    `found_in_class`, `found_one_in_class`; `agreement [2, when, 2]`, how EL2N of networks that trained on an example,
    and that did not, correlates with C-scores, over all and in class.
    """
    single, hardness = _scores(bench)
    return {"single": single, **_pruned(bench, hardness), **_noisy(bench), "agreement": _agreement(bench)}


def _seeds(bench: Bench, start: int, count: int) -> list[int]:
    """Seeds of one part of a block. A block has `SPAN` of its own, so blocks share none, whatever the first seed."""
    first = SPAN * bench["block"] + start
    return list(range(first, first + count))


def _watched(bench: Bench, task: Data, seeds: list[int], parts: Sequence[str]) -> tuple[Tensor, list[ScoreLogger]]:
    """Train the network that scores: the stack, and a logger for each part of training (`WHEN`)."""
    steps, model = look_steps(bench.recipe, bench["looks"]), bench.build(bench["learners"][0])
    quarter = max(1, len(steps) // 4)
    looks = {"early": steps[:quarter], "whole": steps, "late": steps[-quarter:]}
    loggers = [ScoreLogger(task.ids, task.y, len(seeds)) for _ in parts]

    def look(logger: ScoreLogger, now: Snapshot) -> None:
        logger.watch(model, now.theta, task.x)

    observers = [
        Observer(part, partial(look, logger), frozenset(looks[part]), state=[logger])
        for part, logger in zip(parts, loggers, strict=True)
    ]
    return train(model, task, bench.recipe, seeds, observers=observers).theta, loggers


def _every_score(bench: Bench, task: Data, seeds: list[int]) -> Arrays:
    """Every score by name `[R, N]`, each pointing towards harder."""
    theta, (logger,) = _watched(bench, task, seeds, ["whole"])
    model = bench.build(bench["learners"][0])
    scores = {name: logged_difficulty(name, values) for name, values in logger.scores().items()}
    scores["prototype"] = _prototypes(model, theta, task.x, task.y)
    scores["pruning_decay"] = _decay(model, theta, task.x, task.y)
    return {name: scores[name].cpu().numpy() for name in SCORES}


def _prototypes(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Distance `[R, N]` of the last hidden layer from the mean of its class, one network after another."""
    last = list(model.features(theta[:1], x[:1]))[-2]
    hidden = (features(model, row, x, last)[0].flatten(1) for row in theta.split(1))
    return torch.stack([prototype_distance(h, y) for h in hidden])


def _decay(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Share `[R, N]` of the levels of magnitude pruning, without retraining, at which the answer is wrong."""
    mask, wrong = prune.dense(model.layout, len(theta)).to(theta.device), 0.0
    for _ in range(LEVELS):
        mask = prune.by_magnitude(model.layout, theta, mask, PRUNED)
        wrong = wrong + (logits(model, theta * mask, x).argmax(-1) != y).to(theta)
    return wrong / LEVELS


def _scores(bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    """Correlation between two runs of every score, and the mean rank `[N]` by the score that chooses."""
    scores = _every_score(bench, bench.task, _seeds(bench, 0, bench["runs"]))
    single = [reliability.between(reliability.correlations(scores[name])) for name in SCORES]
    return np.array(single), reliability.ranks(scores[SCORE]).mean(0)


def _pruned(bench: Bench, hardness: np.ndarray) -> Arrays:
    """Test accuracy after training on the examples that each rule keeps, and on all."""
    label = bench.task.y.cpu().numpy()
    random = np.random.default_rng(_seeds(bench, CHOSEN, 1)).permutation(len(label))
    kept = [_choices(hardness, label, fraction, random) for fraction in bench["fractions"]]
    return {
        "accuracy": np.stack([[_accuracy(bench, choice[rule]) for choice in kept] for rule in RULES]),
        "whole": _accuracy(bench, np.arange(len(label))),
        "classes": np.stack([np.bincount(label[choice["hard"]], minlength=bench.task.classes) for choice in kept]),
    }


def _choices(hardness: np.ndarray, label: np.ndarray, fraction: float, random: np.ndarray) -> dict[str, np.ndarray]:
    """The examples that each rule keeps, from how hard they are `[N]` and a random order of them."""
    orders = {"easy": np.argsort(hardness, kind="stable"), "hard": np.argsort(-hardness, kind="stable")}
    orders |= {"random": random}
    found = {rule: order[: round(fraction * len(label))] for rule, order in orders.items()}
    alike, unequal = (np.bincount(some, minlength=label.max() + 1) for some in (label, label[found["hard"]]))
    counts = [round(fraction * count) for count in alike]
    found |= {f"{rule} in class": _first_of_each(order, label, counts) for rule, order in orders.items()}
    return found | {"unequal": _first_of_each(random, label, unequal)}


def _first_of_each(order: np.ndarray, label: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """The first so many examples of each class, in some order."""
    return np.concatenate([order[label[order] == k][:count] for k, count in enumerate(counts)])


def _accuracy(bench: Bench, rows: np.ndarray) -> np.ndarray:
    """Test accuracy `[networks, S]` after training on some examples, which keep their order."""
    task, seeds = bench.task, _seeds(bench, CHOSEN, bench["repeats"])
    some = task.subset(torch.from_numpy(np.sort(rows)).to(task.y.device))
    accuracies = []
    for name in bench["learners"]:
        model = bench.build(name)
        theta = train(model, some, bench.recipe, seeds).theta
        accuracies.append(1 - evaluate(model, theta, task.x_test, task.y_test)[1].cpu().numpy())
    return np.stack(accuracies)


def _noisy(bench: Bench) -> Arrays:
    """How well each score finds labels that were moved before training: area under the ROC curve.

    In class: among examples with the same label, moved or not.
    """
    seeds = _seeds(bench, NOISY, bench["noisy_runs"])
    noisy, moved = data.with_label_noise(bench.task, bench["noise"], seeds[0])
    scores, hit, label = _every_score(bench, noisy, seeds), moved.cpu().numpy(), noisy.y.cpu().numpy()
    found = {}
    for kind, classes in (("", np.zeros_like(label)), ("_in_class", label)):
        found |= {
            f"found{kind}": np.array([found_by(scores[name].mean(0), hit, classes) for name in SCORES]),
            f"found_one{kind}": np.array([np.mean([found_by(one, hit, classes) for one in scores[n]]) for n in SCORES]),
        }
    return found


def _agreement(bench: Bench) -> np.ndarray:
    """Rank correlation with C-scores of EL2N over networks that trained on an example, and over those that did not.

    Half of the networks give the C-scores, the other half EL2N; each trains on a random half of the examples. From the
    first quarter of training, all of it, and the last quarter; `[2, when, 2]`, over all examples and in class.
    """
    seeds, middle = _seeds(bench, HELD_OUT, bench["held_out"]), bench["held_out"] // 2
    trained = halves(bench.task, seeds, 0.5)
    _, loggers = _watched(bench, replace(bench.task, weights=trained.to(bench.task.x)), seeds, WHEN)
    scores = [{name: values.cpu().numpy() for name, values in logger.scores().items()} for logger in loggers]
    inside, label = trained.cpu().numpy(), bench.task.y.cpu().numpy()
    known = -c_score(scores[WHEN.index("whole")]["accuracy.last"][:middle] > 0, inside[:middle])  # a low one is hard
    found = np.empty((2, len(WHEN), 2))
    for row, whom in enumerate((inside[middle:], ~inside[middle:])):
        for column, of_part in enumerate(scores):
            with np.errstate(invalid="ignore"):
                score = np.where(whom, of_part[SCORE][middle:], 0).sum(0) / whom.sum(0)
            found[row, column] = _correlation(score, known), _in_class(score, known, label)
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of the examples that have both."""
    return float(stats.spearmanr(a, b, nan_policy="omit").statistic)


def _in_class(a: np.ndarray, b: np.ndarray, label: np.ndarray) -> float:
    """The same within classes, mean over those in which both differ at all."""
    return float(np.nanmean([_correlation(a[label == k], b[label == k]) for k in np.unique(label)]))


@study.shard
def measure_images(bench: Bench) -> Arrays:
    """EL2N of CIFAR-10 training images `[R, images]`, and of test images, which nobody trained on `[R, 10000]`.

    `rows [images]` are the training images: whole batches of ten, as annotators saw them, drawn at random.
    """
    model, seeds = bench.model, bench.seeds
    batches = torch.randperm(len(bench.task.y) // BATCH, generator=generator("human-images", bench["draw"]))
    chosen = batches[: bench["images"] // BATCH].sort().values
    rows = (BATCH * chosen[:, None] + torch.arange(BATCH)).flatten()
    task = bench.task.subset(rows.to(bench.task.y.device))
    loggers = [ScoreLogger(torch.arange(len(y)), y, len(seeds)) for y in (task.y.cpu(), task.y_test.cpu())]

    def look(now: Snapshot) -> None:
        for logger, x in zip(loggers, (task.x, task.x_test), strict=True):
            logger.watch(model, now.theta, x)

    observer = Observer("look", look, frozenset(look_steps(bench.recipe, bench["looks"])), state=loggers)
    run = train(model, task, bench.recipe, seeds, observers=[observer])
    of_train, of_test = (logger.scores([SCORE])[SCORE].cpu().numpy() for logger in loggers)
    accuracy = 1 - evaluate(model, run.theta, task.x_test, task.y_test)[1].cpu().numpy()
    labels = {"label": task.y.cpu().numpy(), "label_test": task.y_test.cpu().numpy()}
    return {"train": of_train, "test": of_test, "accuracy": accuracy, "rows": rows.numpy(), **labels}


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables.

    `pruned`: test accuracy by setting, network, block, seed, rule and fraction (rule `all`: everything kept).
    `classes`: how many of each class are among the hard ones. `scores`: by setting, block and score, its correlation
    between runs and how well it finds moved labels. `agreement`: with C-scores, by block and part of training. `asked`:
    what people say against networks, with intervals over runs and images; `judges`: test accuracy of each of those
    runs; `deciles`: how often people err, by difficulty (all three empty without human labels). `advice`: a line a
    score.
    """
    tables = stacked(_of_block(shard) for shard in shards if shard.compute is measure_block)
    asked = _people([shard for shard in shards if shard.compute is measure_images])
    return {**tables, **asked, "advice": _advice(params, tables["scores"])}


def _of_block(shard: Shard) -> dict[str, pd.DataFrame]:
    config = shard.config
    axes = {"model": config["learners"], "seed": range(config["repeats"])}
    pruned = grid(shard["accuracy"], {"rule": RULES, "fraction": config["fractions"], **axes}, "accuracy")
    whole = grid(shard["whole"][None, None], {"rule": ["all"], "fraction": [1.0], **axes}, "accuracy")
    classes = {"fraction": config["fractions"], "class": range(shard["classes"].shape[1])}
    columns = ("single", "found", "found_one", "found_in_class", "found_one_in_class")
    inside, outside = shard["agreement"]
    agreement = {"trained": inside[:, 0], "held_out": outside[:, 0]}
    agreement |= {"trained_in_class": inside[:, 1], "held_out_in_class": outside[:, 1]}
    tables = {
        "pruned": pd.concat([pruned, whole], ignore_index=True),
        "classes": grid(shard["classes"], classes, "hard"),
        "scores": pd.DataFrame({"score": SCORES, **{column: shard[column] for column in columns}}),
        "agreement": pd.DataFrame({"when": WHEN, **agreement}),
    }
    return {name: table.assign(setting=shard.of, block=config["block"]) for name, table in tables.items()}


def _people(shards: Sequence[Shard]) -> dict[str, pd.DataFrame]:
    """Runs on CIFAR-10 against the votes of people, over runs and images, and errors of people by decile."""
    found, deciles, accuracy, seeds = {}, [], [], []
    if shards:
        train_scores, test_scores, accuracy = (
            np.concatenate([shard[name] for shard in shards]) for name in ("train", "test", "accuracy")
        )
        wrong, seeds = wrong_votes()[shards[0]["rows"]], [s for shard in shards for s in shard.config["seeds"]]
        labels = shards[0]["label"], shards[0]["label_test"]
        found = people.statistics(train_scores, test_scores, *labels, wrong, vote_counts())
        for run, score in zip(seeds, train_scores, strict=True):
            tenths = np.array_split(np.argsort(score, kind="stable"), 10)
            deciles += [(run, decile, wrong[rows].mean() / 3) for decile, rows in enumerate(tenths, start=1)]
    rows = [(name, i.estimate, i.low, i.high, i.n, ceiling) for name, (i, ceiling) in found.items()]
    return {
        "asked": pd.DataFrame(rows, columns=["statistic", "estimate", "low", "high", "n", "ceiling"]),
        "judges": pd.DataFrame({"run": list(seeds), "accuracy": accuracy}),
        "deciles": pd.DataFrame(deciles, columns=["run", "decile", "wrong"]),
    }


def _advice(params: Params, scores: pd.DataFrame) -> pd.DataFrame:
    """For each score: runs for a reliability of 0.9, and how well one run finds wrong labels; means over blocks."""
    columns = {}
    for name, setting in params.settings.items():
        means = scores[scores.setting == name].groupby("score")[["single", "found_one"]].mean().loc[list(SCORES)]
        columns[f"runs for 0.9, {setting.data}"] = [reliability.runs_needed(single, 0.9) for single in means.single]
        columns[f"finds wrong labels, {setting.data}"] = means.found_one.to_numpy()
    return pd.DataFrame(columns, index=pd.Index(SCORES, name="score")).sort_values(list(columns)[1], ascending=False)


# --- claims: a unit is a block of runs; @redrawn, with data of its own -----------------------------------------------

IN_CLASS = "the same share of every class"
POINTS_WORTH = 2.0  # of test accuracy: what about a tenth more random examples bring on MNIST-1D
SLIGHT = 0.02  # of a rank correlation: less makes no difference to which examples are taken for hard


@study.unless
def _did_not_learn(t: Tables) -> str:
    """Claims are void where, in any block, networks that train on everything are not right three times as often as by
    chance."""
    pruned = t["pruned"]
    accuracy = pruned[pruned.rule == "all"].groupby(["model", "block"]).accuracy.mean()
    return "" if accuracy.min() >= LEAST else f"test accuracy of {accuracy.min():.0%} in a block: it did not learn"


def _difference(t: Tables, one: str, other: str, when: str = "whole") -> np.ndarray:
    """One agreement with C-scores minus another, by block."""
    agreement = t["agreement"]
    some = agreement[agreement.when == when].sort_values("block")
    return (some[one] - some[other]).to_numpy()


AGREE = "rank correlation of EL2N with others' C-scores, trained on minus held out"


@study.claim("D19", by=AGREE, region=above(-SLIGHT), figure="d", margin=SLIGHT, reach=(-2, 2))
def agree_on_what_they_saw(t: Tables) -> Interval:
    """Scored on what they trained on, networks agree with C-scores at least as well as on what they did not."""
    return intervals.mean(_difference(t, "trained", "held_out"))


@study.claim("D19b", by=f"{AGREE}, within a class", region=above(-SLIGHT), figure="d", margin=SLIGHT, reach=(-2, 2))
def agree_in_class(t: Tables) -> Interval:
    """Within classes, networks scored on what they trained on agree with C-scores at least as well as on what they did
    not."""
    return intervals.mean(_difference(t, "trained_in_class", "held_out_in_class"))


@study.claim(
    "D19c", by=f"{AGREE}: last quarter of training minus the first", region=below(0.0), figure="d", margin=SLIGHT,
    reach=(-4, 4),
)  # fmt: skip
def gap_grows_with_time(t: Tables) -> Interval:
    """In agreement with C-scores, the gap between examples that were trained on and held-out ones grows while networks
    fit theirs."""
    return intervals.mean(
        _difference(t, "trained", "held_out", "late") - _difference(t, "trained", "held_out", "early")
    )


def _gain(t: Tables, rule: str, than: str, fraction: float) -> np.ndarray:
    """What one rule gains over another in test accuracy, in points, by block."""
    pruned = t["pruned"]
    some = pruned[(pruned.model == t.params.scorer) & (pruned.fraction == fraction)]
    accuracy = some.groupby(["rule", "block"]).accuracy.mean()
    return (100 * (accuracy[rule] - accuracy[than])).to_numpy()


POINTS = {"margin": POINTS_WORTH, "reach": (-100, 100), "figure": "a"}
# Theirs are other scores, data and shares; that every class keeps the same share is asked by us.
SORSCHER = {"source": "this companion, after Sorscher et al. 2022 (arXiv 2206.14486)", **POINTS}
ACCURACY = "test accuracy of {scorer}, points"


@study.claim("X42", by=f"{ACCURACY}, hard minus random ones, {IN_CLASS}", region=above(0.0), **SORSCHER)
def hard_ones_of_many(t: Tables) -> Interval:
    """Of {params.many:.0%} of every class, the hard ones make better training sets than random ones."""
    return intervals.mean(_gain(t, "hard in class", "random in class", t.params.many))


@study.claim(
    "X42d", by=f"{ACCURACY}, hard minus random ones, {IN_CLASS}", region=between(-POINTS_WORTH, POINTS_WORTH),
    figure="a", reach=(-100, 100),
)  # fmt: skip
def hard_ones_of_many_are_alike(t: Tables) -> Interval:
    """Of {params.many:.0%} of every class, hard ones make training sets as good as random ones, within two points."""
    return intervals.mean(_gain(t, "hard in class", "random in class", t.params.many))


@study.claim("X43", by=f"{ACCURACY}, hard minus random ones, {IN_CLASS}", region=below(0.0), **SORSCHER)
def hard_ones_of_few(t: Tables) -> Interval:
    """Of {params.few:.0%} of every class, the hard ones make worse training sets than random ones."""
    return intervals.mean(_gain(t, "hard in class", "random in class", t.params.few))


def _balance(t: Tables, fraction: float) -> Interval:
    """What the hard ones gain over random ones in class, minus what they gain regardless of class."""
    apart = _gain(t, "hard in class", "random in class", fraction), _gain(t, "hard", "random", fraction)
    return intervals.mean(apart[0] - apart[1])


@study.claim("X42b", by=f"{ACCURACY}, hard minus random ones, {IN_CLASS} minus regardless of class", region=above(0.0),
             margin=POINTS_WORTH, reach=(-200, 200), figure="a")  # fmt: skip
def balance_helps_many(t: Tables) -> Interval:
    """Of {params.many:.0%}, hard examples serve better if every class keeps the same share."""
    return _balance(t, t.params.many)


@study.claim("X43b", by=f"{ACCURACY}, hard minus random ones, {IN_CLASS} minus regardless of class", region=above(0.0),
             margin=POINTS_WORTH, reach=(-200, 200), figure="a")  # fmt: skip
def balance_helps_few(t: Tables) -> Interval:
    """Of {params.few:.0%}, hard examples serve better if every class keeps the same share."""
    return _balance(t, t.params.few)


UNEQUAL = f"{ACCURACY}, random ones, as many of each class as are hard, minus random ones"


@study.claim("X42c", by=UNEQUAL, region=below(0.0), **POINTS)
def unequal_classes_of_many(t: Tables) -> Interval:
    """Of {params.many:.0%}, random examples in classes as unequal as among the hard make worse training sets."""
    return intervals.mean(_gain(t, "unequal", "random", t.params.many))


@study.claim("X43c", by=UNEQUAL, region=below(0.0), **POINTS)
def unequal_classes_of_few(t: Tables) -> Interval:
    """Of {params.few:.0%}, random examples in classes as unequal as among the hard make worse training sets."""
    return intervals.mean(_gain(t, "unequal", "random", t.params.few))


def _areas(t: Tables, score: str, column: str) -> np.ndarray:
    """The area under the ROC curve for moved labels of one score, by block."""
    scores = t["scores"]
    return scores[scores.score == score].sort_values("block")[column].to_numpy()


AREA = "area under the ROC curve for moved labels"
OF_CLASS = "among examples of the same label"
FOUND = {"figure": "b", "margin": 0.01}  # of an area, between two averages of one score: a hundredth of the pairs
OTHERS = {"figure": "b", "margin": 0.05}  # between different scores


# Were scores normal, with equal spread, whoever rereads the tenth of the examples with the largest ones would find 56 %
# of the moved labels, a tenth of all, at an area of 0.9.
HALF_FOUND = 0.9


@study.claim("X45", by=f"{AREA}, EL2N averaged over training and {{noisy_runs}} runs",
             region=above(HALF_FOUND), figure="b", margin=0.02)  # fmt: skip
def find_moved_labels(t: Tables) -> Interval:
    """EL2N averaged over training finds moved labels."""
    return intervals.mean(_areas(t, SCORE, "found"), intervals.SHARE)


@study.claim("X45b", by=f"{AREA}, {OF_CLASS}, EL2N averaged over training and {{noisy_runs}} runs",
             region=above(HALF_FOUND), figure="b", margin=0.02)  # fmt: skip
def find_moved_labels_in_class(t: Tables) -> Interval:
    """Among examples of the same label, EL2N averaged over training finds moved labels."""
    return intervals.mean(_areas(t, SCORE, "found_in_class"), intervals.SHARE)


def _more(t: Tables, score: str, other: str, column: str = "found_one") -> Interval:
    """How much larger the area of one score is than that of another."""
    return intervals.mean(_areas(t, score, column) - _areas(t, other, column), (-1, 1))


@study.claim("X46", by=f"{AREA}, one run, loss averaged over training minus final", region=above(0.0), **FOUND)
def averages_find_them_better(t: Tables) -> Interval:
    """The loss averaged over training finds moved labels better than the loss at the end."""
    return _more(t, "loss.mean", "loss.last")


@study.claim("X46b", by=f"{AREA}, {OF_CLASS}, one run, loss averaged over training minus final", region=above(0.0),
             **FOUND)  # fmt: skip
def averages_find_them_better_in_class(t: Tables) -> Interval:
    """Among examples of the same label, the loss averaged over training finds moved ones better than the loss at the
    end."""
    return _more(t, "loss.mean", "loss.last", "found_one_in_class")


@study.claim("X45c", by=f"{AREA}, one run, EL2N averaged over training minus distance from the prototype",
             region=above(0.0), **OTHERS)  # fmt: skip
def better_than_prototypes(t: Tables) -> Interval:
    """EL2N averaged over training finds moved labels better than the distance from the mean of the class in the last
    hidden layer."""
    return _more(t, SCORE, "prototype")


@study.claim(
    "X45d", by=f"{AREA}, one run, EL2N averaged over training minus pruning decay", region=above(0.0), **OTHERS
)
def better_than_decay(t: Tables) -> Interval:
    """EL2N averaged over training finds moved labels better than pruning the trained network until the label is
    lost."""
    return _more(t, SCORE, "pruning_decay")


# --- claims about people: units are runs on CIFAR-10, and images -----------------------------------------------------


def _no_people(t: Tables) -> str:
    """Claims are void where nobody was asked, or a network held against people is not right three times as often as by
    chance."""
    if not t.params.human_images:
        return "human_images is 0"
    if t["judges"].empty:
        return "the human labels are not in BUTTERFLY_DATA"
    least = t["judges"].accuracy.min()
    return "" if least >= LEAST else f"test accuracy of {least:.0%}: a network did not learn"


def _asked(t: Tables, statistic: str, reach: tuple[float, float]) -> Interval:
    """The interval of a statistic of runs and images."""
    asked = t["asked"]
    row = asked[asked.statistic == statistic]
    if row.empty:
        return intervals.nothing(reach)
    return Interval(
        *(float(row[name].iloc[0]) for name in ("estimate", "low", "high")), int(row.n.iloc[0]), reach=reach
    )


ASKED = {"figure": "c", "scope": "{params.people}", "everywhere": False, "unless": _no_people}
WRONG = "rank correlation of one run's EL2N with the number of wrong labels (of 3, CIFAR-10N), training images"
ALL_WRONG = "area under the ROC curve of one run's EL2N for images with three wrong labels"
UNSURE = "rank correlation of EL2N on test images with the entropy of 50 votes (CIFAR-10H), freed of noise"
WITHIN = "within a class, mean over the 10"
# A correlation of 0.05 and an area of 0.05 above the bound: about the least that a figure would show.
TENTH_BETTER = 0.6  # of pairs in the right order: a tenth more than by chance
SMALL = 0.1  # correlation, freed of noise: what is called small (Cohen 1988), a hundredth of the variance in common
for id, statement, by, statistic, region, reach in (
    ("D16", "What is hard for networks is mislabelled by people more often", WRONG, "wrong", above(0.0), CORRELATION),
    ("D17", "Within a class, what is hard for networks is mislabelled by people more often", f"{WRONG}, {WITHIN}",
     "wrong in class", above(0.0), CORRELATION),
    ("D16b", "EL2N finds images that all three annotators mislabelled", ALL_WRONG, "all wrong",
     above(TENTH_BETTER), SHARE),
    ("D16c", "Among the images of a class, EL2N finds those that all three annotators mislabelled",
     f"{ALL_WRONG}, of a class", "all wrong in class", above(TENTH_BETTER), SHARE),
    ("X47", "People are unsure of what networks find hard", UNSURE, "unsure, corrected", above(SMALL), CORRELATION),
    ("X47b", "Within a class, people are unsure of what networks find hard", f"{UNSURE}, {WITHIN}",
     "unsure in class, corrected", above(SMALL), CORRELATION),
):  # fmt: skip
    study.claim(id, statement, by=by, region=region, margin=0.05, **ASKED)(
        partial(_asked, statistic=statistic, reach=reach)
    )
