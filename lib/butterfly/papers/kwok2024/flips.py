"""Notebook 15: difficulty meets the butterfly. How much of a score's noise does one kicked weight explain?

Every seed has a parent network, and relatives that differ from it in one thing: one weight moved by a kick, the order
of the data, the initial weights, or both. Beside the scored training examples stand the test examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import claims, data, models, reliability
from butterfly.claims import Claim, Region
from butterfly.evaluate import predictions
from butterfly.experiments import scored
from butterfly.experiments.common import Common, check_device
from butterfly.experiments.twins import check_times, chosen, groups, rising_times, step_at, unless_broken
from butterfly.models import Model
from butterfly.perturb import Kick
from butterfly.runs import Arrays, Config
from butterfly.score import ScoreLogger
from butterfly.settings import Setting
from butterfly.train import Fork, Observer, Snapshot, train

NOTEBOOK = "15_flips"
OURS = "this companion"
SCORES = ("el2n.mean", "el2n.last")
OTHER = 100_000  # seeds of unrelated networks start here, as many apart
UNRELATED = ("order", "init", "seed")  # what else relatives may have of their own, from the start


class Params(Common):
    """Parameters of notebook 15; times are in percent of the training steps, and "" leaves the real data out."""

    main: str = "mnist1d-scores/mlp-4x64"
    real: str = ""
    steps: int | None = Field(160, gt=0)  # None: the settings' own
    seeds: int = Field(4, ge=4)
    seeds_per_shard: int = Field(4, ge=1)
    draws: int = Field(2, ge=1)  # relatives of a kind, for each seed
    kick_times: tuple[float, ...] = (0.0, 50.0)
    size: float = Field(1e-2, gt=0)
    looks: int = Field(8, ge=1)
    examples: int | None = Field(300, ge=50)  # None: all

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and one or more later times")
        for network in self.networks:
            scored.parse(network)
        return self

    @property
    def networks(self) -> dict[str, str]:
        """Each network, and what its claims' names end in."""
        return scored.named(main=self.main, r=self.real)


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> dict[str, list[Config]]:
    """One shard for every few seeds of each network."""
    check_device(params.device)
    grid = params.model_dump(mode="json", include={"device", "draws", "kick_times", "size", "looks", "examples"})
    found = {}
    for network in params.networks:
        name, model = scored.parse(network)
        setting = chosen(name, params.steps).model_copy(update={"model": model})
        check_times(setting, params.kick_times)
        scored.check_looks(setting, params.looks)
        common = {**grid, "setting": setting.model_dump(mode="json"), "source": data.provenance(setting.data)}
        found[network] = [{**common, "seeds": few} for few in groups(params.seeds, params.seeds_per_shard)]
    return found


@dataclass(frozen=True)
class _Watch:
    """Scores the relatives while they train; before its fork, a twin is its parent."""

    logger: ScoreLogger
    x: Tensor
    parents: Tensor  # [M]: the row of each member's parent, for parents their own

    def __call__(self, now: Snapshot) -> None:
        there = torch.arange(len(now.theta))
        rows = torch.cat([there, self.parents[len(now.theta) :]])
        self.logger.watch(now.model, now.theta[rows], self.x)


def compute_shard(config: Config) -> Arrays:
    """Train the relatives of some seeds `[S]` and compare each kind with the parents.

    For each kind of relative `[K]`, the kick times first: `flips [K, S, N]`, the share of relatives that answer an
    example otherwise at the end; `noise [K, scores, S]`, the variance over a parent and its relatives of an example's
    rank, mean over training examples. `difficulty [S, N]`: EL2N averaged over training and unrelated networks.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data).to(config["device"])
    model = models.build(setting.model, task.input_shape, task.classes)
    count, draws = min(config["examples"] or len(task.y), len(task.y)), range(config["draws"])
    kicks = [
        Fork(seed, step_at(setting, time), Kick(weights=1, size=config["size"], draw=draw))
        for time in config["kick_times"]
        for draw in draws
        for seed in seeds
    ]
    orders = [Fork(seed, 0, Kick(draw=draw), unmatched="order") for draw in draws for seed in seeds]
    forks = [*(Fork(seed, 0, Kick()) for seed in seeds), *orders, *kicks]
    x, y = torch.cat([task.x[:count], task.x_test]), torch.cat([task.y[:count], task.y_test])

    def scores(some: Sequence[int], twins: Sequence[Fork] = (), init: Tensor | None = None) -> tuple[Tensor, Arrays]:
        """Train, and score `[M, N]` of every member: parents, then twins in the order of their steps."""
        own = [list(some).index(fork.seed) for fork in sorted(twins, key=lambda fork: fork.step)]
        logger = ScoreLogger(torch.arange(len(y)), y.cpu(), len(some) + len(twins))
        watch = _Watch(logger, x, torch.tensor([*range(len(some)), *own]))
        observers = [Observer("look", watch, frozenset(scored.look_steps(setting.recipe, config["looks"])))]
        theta = train(model, task, setting.recipe, some, twins, observers, init).theta
        found = {name: values.cpu().numpy() for name, values in logger.scores().items() if name in SCORES}
        return theta, found | {"answer": _answers(model, theta, x)}

    theta, family = scores(seeds, forks)
    # Twins stand in the order of their steps: the controls and those of step 0 first.
    family = {name: values.reshape(-1, len(seeds), len(y)) for name, values in family.items()}  # [members, S, N]
    others = [
        scores(seeds, init=model.init([seed + (draw + 1) * OTHER for seed in seeds]).to(task.x))[1] for draw in draws
    ]
    strangers = [scores([seed + (draw + 1) * OTHER for seed in seeds])[1] for draw in draws]
    apart = {kind: {k: np.stack([one[k] for one in some]) for k in family} for kind, some in
             (("init", others), ("seed", strangers))}  # fmt: skip
    relatives = [{k: v[start : start + len(draws)] for k, v in family.items()} for start in _starts(config)]
    relatives = [*relatives[1:], relatives[0], apart["init"], apart["seed"]]  # kicks, order, init, seed
    parent = {name: values[0] for name, values in family.items()}
    return {
        "flips": np.stack([(some["answer"] != parent["answer"]).mean(0) for some in relatives]).astype(np.float32),
        "noise": np.array([[_noise(parent[k], some[k], count) for k in SCORES] for some in relatives]),
        "test": np.arange(len(y)) >= count,
        "difficulty": apart["seed"]["el2n.mean"].mean(0),
        "largest_difference": (theta[len(seeds) : 2 * len(seeds)] - theta[: len(seeds)]).abs().amax(1).cpu().numpy(),
    }


def _starts(config: Config) -> list[int]:
    """Where the relatives of each kind begin among the members of a seed: order first, then the kick times."""
    return [2 + config["draws"] * place for place in range(1 + len(config["kick_times"]))]


def _answers(model: Model, theta: Tensor, x: Tensor) -> np.ndarray:
    return predictions(model, theta, x).cpu().numpy()


def _noise(parent: np.ndarray, relatives: np.ndarray, count: int) -> np.ndarray:
    """Variance over a parent `[S, N]` and its relatives `[K, S, N]` of ranks of training examples, mean `[S]`."""
    every = np.concatenate([parent[None], relatives])[:, :, :count]
    ranks = reliability.ranks(every.reshape(-1, count)).reshape(every.shape)
    return ranks.var(axis=0, ddof=1).mean(1)


def _cost(config: Config) -> float:
    return len(config["seeds"]) * config["setting"]["recipe"]["steps"]


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables, each with a column `network`.

    `noise`: run-to-run variance of ranks by seed, kind of relative and score, and its ratio to that of another seed.
    `flips`: by example, how often each kind of relative answers otherwise, and difficulty. `agreement`: by seed, rank
    correlations over test examples. `controls`.
    """


def kinds(params: Params) -> list[str]:
    """The kinds of relatives, in the order of the shards."""
    return [*(f"weight {time:g}" for time in params.kick_times), *UNRELATED]


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    found = scored.collect(compute_shard, shards(params), _cost)
    return Tables(scored.stacked("network", {network: _tabulate(params, some) for network, some in found.items()}))


def _tabulate(params: Params, found: list[Arrays]) -> dict[str, pd.DataFrame]:
    flips = np.concatenate([one["flips"] for one in found], axis=1)  # [K, S, N]
    noise = np.concatenate([one["noise"] for one in found], axis=2)  # [K, scores, S]
    difficulty = np.concatenate([one["difficulty"] for one in found])  # [S, N]
    index = pd.MultiIndex.from_product([kinds(params), SCORES, range(params.seeds)], names=["kind", "score", "seed"])
    variance = pd.DataFrame({"noise": noise.ravel(), "ratio": (noise / noise[-1]).ravel()}, index=index).reset_index()
    test = found[0]["test"]
    examples = pd.DataFrame({"difficulty": difficulty.mean(0), "test": test})
    for kind, values in zip(kinds(params), flips, strict=True):
        examples[kind] = values.mean(0)
    gone = np.concatenate([one["largest_difference"] for one in found])
    return {
        "noise": variance,
        "flips": examples,
        "agreement": pd.DataFrame(_agreement(flips[0][:, test], flips[-1][:, test], difficulty[:, test])),
        "controls": pd.DataFrame({"seed": range(params.seeds), "kind": "control", "largest_difference": gone}),
    }


def _agreement(kicked: np.ndarray, unrelated: np.ndarray, difficulty: np.ndarray) -> list[dict]:
    """For each seed, flips of its twins `[S, N]` against what the networks of the other seeds say about an example."""
    rows = []
    for seed in range(len(kicked)):
        rest = np.arange(len(kicked)) != seed
        rows.append(
            {
                "seed": seed,
                "difficulty": stats.spearmanr(kicked[seed], difficulty[rest].mean(0)).statistic,
                "twins": stats.spearmanr(kicked[seed], kicked[rest].mean(0)).statistic,
                "unrelated": stats.spearmanr(kicked[seed], unrelated[rest].mean(0)).statistic,
            }
        )
    return rows


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "X48": Region(low=0.8),
    "X49": Region(high=0.5),
    "X50": Region(low=0.8),
    "X51": Region(low=0.8),
    "X52": Region(low=0.3),
    "X53": Region(-0.05, 0.05),
}


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook, for each network; a unit is a seed with all its relatives."""
    found = []
    for network, suffix in params.networks.items():
        some = {name: table[table.network == network] for name, table in tables.items()}
        where = f" ({scored.on(network)})" if suffix else ""
        judged = [
            claims.claim(f"{id}{suffix}", NOTEBOOK, f"{statement}{where}", OURS, statistic, MARGINS[id], interval)
            for id, statement, statistic, interval in _claims(params, some)
        ]
        found += unless_broken(judged, some["controls"], ["largest_difference"])
    return found


def _claims(params: Params, tables: dict[str, pd.DataFrame]) -> list[tuple]:
    ratio = tables["noise"].pivot(index="seed", columns=["score", "kind"], values="ratio")["el2n.mean"]
    agreement, last = tables["agreement"], kinds(params)[len(params.kick_times) - 1]
    measured = "variance over relatives of an example's rank by EL2N averaged over training, over that of other seeds"
    return [
        (
            "X48",
            "One weight moved at the start makes a score as noisy as another seed does",
            f"{measured}: one weight moved by {params.size:g}",
            claims.geometric_mean(ratio["weight 0"]),
        ),
        (
            "X49",
            "Moved late, it does not",
            f"{measured}: one weight moved at {params.kick_times[-1]:g} % of training",
            claims.geometric_mean(ratio[last]),
        ),
        (
            "X50",
            "The order of the data alone makes it as noisy as another seed",
            f"{measured}: same initial weights, other order",
            claims.geometric_mean(ratio["order"]),
        ),
        (
            "X51",
            "and so do the initial weights alone",
            f"{measured}: other initial weights, same order",
            claims.geometric_mean(ratio["init"]),
        ),
        (
            "X52",
            "Difficulty predicts which test examples a kicked weight turns over",
            "rank correlation of a seed's flips with EL2N over unrelated networks",
            claims.mean(agreement.difficulty),
        ),
        (
            "X53",
            "The examples that flip between twins are those that flip between unrelated networks",
            "rank correlation of a seed's flips with flips of other seeds, unrelated networks minus twins",
            claims.mean(agreement.unrelated - agreement.twins),
        ),
    ]
