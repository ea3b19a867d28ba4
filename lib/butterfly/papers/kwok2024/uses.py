"""Notebook 14: what scores of difficulty are good for: choosing examples, and finding wrong labels."""

from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from sklearn.metrics import roc_auc_score

from butterfly import association, claims, data, models, reliability
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.experiments import scored
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.scored import PAPER
from butterfly.experiments.twins import chosen, groups
from butterfly.runs import Arrays, Config
from butterfly.score import LOGGED, ScoreLogger, c_score, difficulty
from butterfly.settings import Setting
from butterfly.train import Observer, Recipe, Snapshot, train

NOTEBOOK = "14_uses"
OURS = "this companion"
SCORE = "el2n.mean"
RULES = ("easy", "hard", "insensitive", "random")
AFRESH = 70_000  # seeds of networks trained on chosen examples, and of noisy labels, start here
SPLITS = 10  # random halves of the votes, for the reliability of what people say


class Params(Common):
    """Parameters of notebook 14; `real` and `other`, the second network trained on chosen examples, may be empty."""

    setting: str = "mnist1d-scores"
    real: str = ""
    families: tuple[str, ...] = ("mlp-1x16", "cnn-1x4")  # the first scores; the families together tell who is sensitive
    other: str = ""
    steps: int | None = Field(80, gt=0)  # None: the settings' own
    looks: int = Field(8, ge=1)
    blocks: int = Field(3, ge=2, le=10)  # independent choices of examples, each from runs of its own
    runs: int = Field(4, ge=2, le=100)  # of each family that score, in a block
    seeds: int = Field(2, ge=1, le=100)  # networks trained on each choice
    fractions: tuple[float, ...] = (0.25, 0.75)
    noise: float = Field(0.1, gt=0, lt=0.5)  # share of labels moved
    noisy_runs: int = Field(2, ge=1, le=100)
    held_out: int = Field(8, ge=4, le=1000)  # networks of a block that train on a random half of the examples
    human_images: int = Field(0, ge=0, le=50_000)  # of CIFAR-10; 0: leave people out
    human_setting: str = "cifar10-scores"
    human_steps: int | None = Field(None, gt=0)
    human_runs: int = Field(4, ge=2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in self.settings:
            for model in (*self.families, *([self.other] if self.other else [])):
                scored.parse(f"{name}/{model}")
        if chosen(self.human_setting, None).data != "cifar10":
            raise ValueError(f"human_setting = '{self.human_setting}': people judged CIFAR-10; give a setting of it")
        if len(self.families) < 2:
            raise ValueError(f"families = {list(self.families)}: give two or more architectures")
        if not all(0 < f < 1 for f in self.fractions) or list(self.fractions) != sorted(set(self.fractions)):
            raise ValueError(f"fractions = {list(self.fractions)}: give rising shares between 0 and 1")
        return self

    @property
    def settings(self) -> dict[str, str]:
        """Each setting, and what its claims' names end in."""
        return scored.named(main=self.setting, r=self.real)


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> dict[str, list[Config]]:
    """One shard a block in every setting; and one for every two runs on CIFAR-10, where human labels are there."""
    check_device(params.device)
    fields = ("device", "families", "other", "looks", "runs", "seeds", "fractions", "noise", "noisy_runs", "held_out")
    grid = {key: value for key, value in params.model_dump(mode="json").items() if key in fields}
    found = {}
    for name in params.settings:
        setting = chosen(name, params.steps)
        scored.check_looks(setting, params.looks)
        common = {**grid, "setting": setting.model_dump(mode="json"), "source": data.provenance(setting.data)}
        found[name] = [{**common, "block": block} for block in range(params.blocks)]
    return found


def human_shards(params: Params) -> list[Config]:
    """A shard for every four runs on CIFAR-10; none where nobody asked for them or the human labels are not there."""
    if not params.human_images or not all(data.human_file(name) for name in ("cifar10n", "cifar10h")):
        return []
    setting = chosen(params.human_setting, params.human_steps)
    scored.check_looks(setting, params.looks)
    common = {
        "device": params.device,
        "setting": setting.model_dump(mode="json"),
        "source": data.provenance(setting.data),
        "images": params.human_images,
        "looks": params.looks,
    }
    # Reading CIFAR-10 takes a process longer, and more memory, than training on a part of it.
    return [{**common, "seeds": seeds} for seeds in groups(params.human_runs, 4)]


def compute_block(config: Config) -> Arrays:
    """Everything about one block of a setting, from networks that no other block uses.

    `accuracy [rules, fractions, networks, S]` on the test set after training on chosen examples, `whole [networks, S]`
    on all; `single [scores]`, the correlation between runs; `found [scores]` and `found_one`, the area under the ROC
    curve for moved labels, of means and of single runs; `agreement [2]`, how EL2N of networks that trained on an
    example, and that did not, correlates with C-scores.
    """
    setting = Setting.read(config["setting"], "setting")
    task = data.load(setting.data).to(config["device"])
    single, ranks = _scores(task, setting.recipe, config)
    return {
        "single": single,
        **_pruned(task, setting.recipe, config, ranks),
        **_noisy(task, setting.recipe, config),
        "agreement": _agreement(task, setting.recipe, config),
    }


def _scores(task: Data, recipe: Recipe, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Correlation between two runs of every logged score, and ranks `[families, R, N]` by the score that chooses."""
    ranks, single = [], np.empty(0)
    for place, name in enumerate(config["families"]):
        model = models.build(name, task.input_shape, task.classes)
        first = 1000 * place + 100 * config["block"]
        found = scored.watched(task, model, recipe, list(range(first, first + config["runs"])), config["looks"])
        ranks.append(reliability.ranks(found[SCORE]))
        if place == 0:
            single = np.array([reliability.between(reliability.correlations(found[name])) for name in LOGGED])
    return single, np.stack(ranks)


def _pruned(task: Data, recipe: Recipe, config: Config, ranks: np.ndarray) -> Arrays:
    """Test accuracy after training on the examples that each rule keeps, and on all."""
    hardness = ranks[0].mean(0)
    random = np.random.default_rng([AFRESH, config["block"]])
    orders = {
        "easy": np.argsort(hardness, kind="stable"),
        "hard": np.argsort(-hardness, kind="stable"),
        "insensitive": np.argsort(association.associate(ranks).eta_squared, kind="stable"),
        "random": random.permutation(len(hardness)),
    }
    names = [config["families"][0], *([config["other"]] if config["other"] else [])]
    seeds = [AFRESH + 100 * config["block"] + seed for seed in range(config["seeds"])]

    def accuracy(rows: np.ndarray) -> np.ndarray:
        some = task.subset(torch.from_numpy(np.sort(rows)).to(task.y.device))
        found = []
        for name in names:
            model = models.build(name, task.input_shape, task.classes)
            theta = train(model, some, recipe, seeds).theta
            found.append(1 - evaluate(model, theta, task.x_test, task.y_test)[1].cpu().numpy())
        return np.stack(found)

    kept = [[orders[rule][: round(f * len(hardness))] for f in config["fractions"]] for rule in RULES]
    return {
        "accuracy": np.stack([[accuracy(rows) for rows in by_fraction] for by_fraction in kept]),
        "whole": accuracy(np.arange(len(hardness))),
    }


def _noisy(task: Data, recipe: Recipe, config: Config) -> Arrays:
    """How well each score finds labels that were moved before training: area under the ROC curve."""
    noisy, moved = data.with_label_noise(task, config["noise"], AFRESH + config["block"])
    model = models.build(config["families"][0], task.input_shape, task.classes)
    first = AFRESH + 100 * config["block"]
    found = scored.watched(noisy, model, recipe, list(range(first, first + config["noisy_runs"])), config["looks"])
    truth = moved.cpu().numpy()
    aligned = [difficulty(name, found[name]) for name in LOGGED]
    return {
        "found": np.array([roc_auc_score(truth, values.mean(0)) for values in aligned]),
        "found_one": np.array([np.mean([roc_auc_score(truth, one) for one in values]) for values in aligned]),
    }


def _agreement(task: Data, recipe: Recipe, config: Config) -> np.ndarray:
    """Rank correlation with C-scores of EL2N over networks that trained on an example, and over those that did not.

    Half of the networks give the C-scores, the other half EL2N; each trains on a random half of the examples.
    """
    model = models.build(config["families"][0], task.input_shape, task.classes)
    first = scored.HELD_OUT + 1000 * config["block"]
    seeds = list(range(first, first + config["held_out"]))
    trained = scored.halves(task, seeds, 0.5)
    found = scored.watched(replace(task, weights=trained.to(task.x)), model, recipe, seeds, config["looks"])
    inside, middle = trained.cpu().numpy(), len(seeds) // 2
    known = difficulty("c_score", c_score(found["accuracy.last"][:middle] > 0, inside[:middle]))
    correlations = []
    for whom in (inside[middle:], ~inside[middle:]):
        with np.errstate(invalid="ignore"):
            score = np.where(whom, found[SCORE][middle:], 0).sum(0) / whom.sum(0)
        correlations.append(stats.spearmanr(score, known, nan_policy="omit").statistic)
    return np.array(correlations)


def compute_human(config: Config) -> Arrays:
    """EL2N of CIFAR-10 training images `[R, images]`, and of test images, which nobody trained on `[R, 10000]`."""
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    whole = data.load(setting.data)
    task = whole.subset(torch.arange(config["images"])).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    loggers = [ScoreLogger(torch.arange(len(y)), y, len(seeds)) for y in (task.y.cpu(), task.y_test.cpu())]
    steps = frozenset(scored.look_steps(setting.recipe, config["looks"]))

    def look(now: Snapshot) -> None:
        for logger, x in zip(loggers, (task.x, task.x_test), strict=True):
            logger.watch(model, now.theta, x)

    run = train(model, task, setting.recipe, seeds, observers=[Observer("look", look, steps)])
    of_train, of_test = (logger.scores()[SCORE].cpu().numpy() for logger in loggers)
    accuracy = 1 - evaluate(model, run.theta, task.x_test, task.y_test)[1].cpu().numpy()
    return {"train": of_train, "test": of_test, "accuracy": accuracy, "label": task.y.cpu().numpy()}


def _cost(config: Config) -> float:
    if "images" in config:
        return 40.0 * len(config["seeds"])
    family = {"mlp": 1.0, "cnn": 3.0, "gru": 5.0}
    costs = [family.get(name.partition("-")[0], 20.0) for name in (*config["families"], config["other"] or "mlp-")]
    choices = config["seeds"] * (1 + len(RULES) * len(config["fractions"]))
    scoring = config["runs"] * sum(costs[:-1]) + (config["noisy_runs"] + config["held_out"]) * costs[0]
    total = scoring + choices * (costs[0] + (costs[-1] if config["other"] else 0))
    return total * config["setting"]["recipe"]["steps"] / 4000


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables.

    `pruned`: test accuracy by setting, network, block, seed, rule and fraction (rule `all`: everything kept). `scores`:
    by setting, block and score, its correlation between runs and how well it finds moved labels. `agreement`: with
    C-scores, by block. `human`: statistics of single runs against what people say (empty without human labels);
    `deciles`: how often people err, by difficulty. `advice`: a line a score.
    """


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    plans = shards(params)
    found = scored.collect(compute_block, plans, _cost)
    rows: dict[str, list[pd.DataFrame]] = {}
    for name, configs in plans.items():
        for config, arrays in zip(configs, found[name], strict=True):
            for table, values in _tabulate(config, arrays).items():
                rows.setdefault(table, []).append(values.assign(setting=name, block=config["block"]))
    tables = Tables({name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()})
    human = human_shards(params)
    tables |= _human(params, compute(compute_human, human, _cost) if human else [])
    tables["advice"] = _advice(params, tables)
    return tables


def _tabulate(config: Config, arrays: Arrays) -> dict[str, pd.DataFrame]:
    names = [config["families"][0], *([config["other"]] if config["other"] else [])]
    axes = [RULES, config["fractions"], names, range(config["seeds"])]
    index = pd.MultiIndex.from_product(axes, names=["rule", "fraction", "model", "seed"])
    pruned = pd.DataFrame({"accuracy": arrays["accuracy"].ravel()}, index=index).reset_index()
    index = pd.MultiIndex.from_product([["all"], [1.0], names, range(config["seeds"])], names=index.names)
    whole = pd.DataFrame({"accuracy": arrays["whole"].ravel()}, index=index).reset_index()
    scores = {"score": LOGGED, **{key: arrays[key] for key in ("single", "found", "found_one")}}
    inside, outside = arrays["agreement"]
    return {
        "pruned": pd.concat([pruned, whole], ignore_index=True),
        "scores": pd.DataFrame(scores),
        "agreement": pd.DataFrame({"trained": [inside], "held_out": [outside]}),
    }


def _human(params: Params, found: list[Arrays]) -> dict[str, pd.DataFrame]:
    """Each run's EL2N against the votes of people, the ceiling that their disagreement sets, and errors by decile."""
    if not found:
        columns = ["run", "votes", "auroc", "within", "positive", "entropy", "ceiling", "accuracy"]
        return {"human": pd.DataFrame(columns=columns), "deciles": pd.DataFrame(columns=["run", "decile", "wrong"])}
    wrong, counts = data.wrong_votes()[: params.human_images], data.vote_counts()
    entropy, ceiling = _entropy(counts), _reliability(counts) ** 0.5
    rows, deciles = [], []
    runs = [(one, row) for one in found for row in range(len(one["accuracy"]))]
    for place, (one, row) in enumerate(runs):
        score, label = one["train"][row], one["label"]
        within = [stats.spearmanr(score[label == c], wrong[label == c]).statistic for c in range(10)]
        about = {
            "run": place,
            "votes": stats.spearmanr(score, wrong).statistic,
            "auroc": roc_auc_score(wrong == 3, score),
            "within": np.mean(within),
            "positive": np.mean(np.array(within) > 0),
            "entropy": stats.spearmanr(one["test"][row], entropy).statistic,
            "ceiling": ceiling,
            "accuracy": one["accuracy"][row],
        }
        rows.append(about)
        for decile, some in enumerate(np.array_split(np.argsort(score, kind="stable"), 10)):
            deciles.append({"run": place, "decile": decile + 1, "wrong": wrong[some].mean() / 3})
    return {"human": pd.DataFrame(rows), "deciles": pd.DataFrame(deciles)}


def _entropy(counts: np.ndarray) -> np.ndarray:
    """Entropy in nats `[N]` of votes `[N, C]`."""
    return stats.entropy(counts, axis=1)


def _reliability(counts: np.ndarray) -> float:
    """Reliability of the entropy of all votes: rank correlation of random halves, taken to full length."""
    random, found = np.random.default_rng(0), []
    for _ in range(SPLITS):
        first = np.stack([random.multivariate_hypergeometric(row, row.sum() // 2) for row in counts])
        found.append(stats.spearmanr(_entropy(first), _entropy(counts - first)).statistic)
    return float(reliability.spearman_brown(np.mean(found), 2))


def _advice(params: Params, tables: Tables) -> pd.DataFrame:
    """For each score: runs for a reliability of 0.9, and how well one run finds wrong labels; means over blocks."""
    columns = {}
    for name in params.settings:
        means = tables["scores"][tables["scores"].setting == name].groupby("score")[["single", "found_one"]].mean()
        where = chosen(name, None).data
        columns[f"runs for 0.9, {where}"] = [reliability.runs_needed(means.single[score], 0.9) for score in LOGGED]
        columns[f"finds wrong labels, {where}"] = means.found_one.loc[list(LOGGED)].to_numpy()
    return pd.DataFrame(columns, index=pd.Index(LOGGED, name="score")).sort_values(list(columns)[1], ascending=False)


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "D16": Region(low=0.0),
    "D16b": Region(low=0.6),
    "D17": Region(low=0.0),
    "D19": Region(low=-0.02),
    "X42": Region(low=0.0),
    "X43": Region(high=0.0),
    "X44": Region(low=0.0),
    "X45": Region(low=0.9),
    "X46": Region(low=0.0),
    "X47": Region(low=0.2),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook; a unit is a block of runs, or a run on CIFAR-10."""
    found = []
    for name, suffix in params.settings.items():
        some = {table: tables[table][tables[table].setting == name] for table in ("pruned", "scores", "agreement")}
        where = f" ({chosen(name, None).data})" if suffix else ""
        for id, statement, source, statistic, values in _claims(params, some):
            about = (f"{id}{suffix}", NOTEBOOK, f"{statement}{where}", source, statistic, MARGINS[id])
            found.append(claims.claim(*about, claims.mean(values)))
    if not params.human_images:
        return found
    people = [
        claims.claim(id, NOTEBOOK, statement, source, statistic, MARGINS[id], claims.mean(values))
        for id, statement, source, statistic, values in _human_claims(tables["human"])
    ]
    missing = tables["human"].empty
    return found + (claims.void(people, "the human labels are not in BUTTERFLY_DATA") if missing else people)


def _claims(params: Params, tables: dict[str, pd.DataFrame]) -> list[tuple]:
    pruned = tables["pruned"].groupby(["model", "rule", "fraction", "block"]).accuracy.mean()
    first, last = params.families[0], params.other or params.families[0]
    few, many = min(params.fractions), max(params.fractions)
    found = tables["scores"].pivot(index="block", columns="score", values="found")
    one = tables["scores"].pivot(index="block", columns="score", values="found_one")
    agreement = tables["agreement"]
    return [
        (
            "D19",
            "Scored on what they trained on, networks agree with C-scores at least as well as on what they did not",
            PAPER,
            "rank correlation of EL2N with C-scores of other networks, trained on minus held out",
            agreement.trained - agreement.held_out,
        ),
        (
            "X42",
            f"Of {many:.0%} of the examples, the hard ones make better training sets than random ones",
            OURS,
            f"test accuracy of {first}, points",
            100 * (pruned[first, "hard", many] - pruned[first, "random", many]),
        ),
        (
            "X43",
            f"Of {few:.0%}, the hard ones make worse ones",
            OURS,
            f"test accuracy of {first}, points",
            100 * (pruned[first, "hard", few] - pruned[first, "random", few]),
        ),
        (
            "X44",
            f"Of {few:.0%}, examples insensitive to the architecture make better ones than random, for a network "
            "that did not choose them"
            if params.other
            else f"Of {few:.0%}, insensitive examples beat random ones",
            OURS,
            f"test accuracy of {last}, points",
            100 * (pruned[last, "insensitive", few] - pruned[last, "random", few]),
        ),
        (
            "X45",
            "Scores find moved labels",
            OURS,
            f"area under the ROC curve of EL2N averaged over training and {params.noisy_runs} runs",
            found[SCORE],
        ),
        (
            "X46",
            "Averages over training find them better than the end",
            OURS,
            "area under the ROC curve in single runs, loss averaged over training minus final loss",
            one["loss.mean"] - one["loss.last"],
        ),
    ]


def _human_claims(human: pd.DataFrame) -> list[tuple]:
    return [
        (
            "D16",
            "What is hard for networks is mislabelled by people more often",
            PAPER,
            "rank correlation of EL2N with the number of wrong labels (of 3, CIFAR-10N), training images",
            human.votes.astype(float),
        ),
        (
            "D16b",
            "and EL2N finds images that all three annotators mislabelled",
            PAPER,
            "area under the ROC curve",
            human.auroc.astype(float),
        ),
        (
            "D17",
            "It does so within classes too",
            PAPER,
            "rank correlation with the number of wrong labels within a class, mean over the 10 classes",
            human.within.astype(float),
        ),
        (
            "X47",
            "People are unsure of what networks find hard",
            OURS,
            "rank correlation of EL2N on test images with the entropy of 50 votes (CIFAR-10H), over its noise ceiling",
            (human.entropy / human.ceiling).astype(float),
        ),
    ]
