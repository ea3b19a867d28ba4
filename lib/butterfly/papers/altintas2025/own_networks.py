"""Notebook 81: is my training chaotic? Asked of two networks that are plain modules, in the stack and in a plain loop.

Both train on the same minibatches by the same recipe. In the stack, twins are kicked at several times; in a plain loop,
`butterfly.twin` kicks one of the convolutional network at the start.
"""

from collections.abc import Callable
from typing import Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from butterfly import align, data, models, twin
from butterfly.batches import Minibatches
from butterfly.evaluate import evaluate, logits, predictions
from butterfly.interpolate import EPSILON, barriers
from butterfly.models import Model
from butterfly.objective import cross_entropy
from butterfly.papers.altintas2025 import PAPER
from butterfly.perturb import Kick
from butterfly.study import (
    Arrays,
    Bench,
    Interval,
    Kind,
    Origin,
    Setting,
    Shard,
    Study,
    Tables,
    Times,
    Trained,
    above,
    below,
    between,
    check_times,
    exactly,
    grid,
    intervals,
    rising_times,
)
from butterfly.train import Fork, learning_rate, parent_rows, train
from butterfly.twin import LEVEL

CONVOLUTION, TRANSFORMER = "convolutional network", "transformer"
SHAPE = (1, 40)  # of an input: a signal of 40 places
LEARNED = 0.5  # nats below answers that do not look at the inputs: a network that gained less did not learn
# Beside the setting's own data and schedule. At this rate both networks learn, and one of them is chaotic.
RECIPE = {"optimizer": "adamw", "lr": 0.02, "batch_size": 32, "warmup": 0.1}


# --- two networks, as anybody would write them -----------------------------------------------------------------------


def convolutional(channels: int = 16) -> nn.Module:
    """Three convolutions of stride 2 and a linear layer."""
    layers: list[nn.Module] = []
    for inputs, kernel in ((1, 5), (channels, 3), (channels, 3)):
        layers += [nn.Conv1d(inputs, channels, kernel, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(5 * channels, 10))


class Transformer(nn.Module):
    """One block of attention and of a hidden layer, on 10 tokens of 4 places each."""

    def __init__(self, width: int = 16, heads: int = 2):
        super().__init__()
        self.heads = heads
        self.embed, self.place = nn.Linear(4, width), nn.Parameter(0.1 * torch.randn(10, width))
        self.norm0, self.attend, self.mix = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.widen, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 10]` of signals `x [B, 1, 40]`."""
        h = self.embed(x.reshape(len(x), 10, 4)) + self.place
        parts = self.attend(self.norm0(h)).chunk(3, -1)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        h = h + self.mix(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        h = h + self.narrow(F.gelu(self.widen(self.norm1(h))))
        return self.head(self.norm(h).mean(1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {CONVOLUTION: convolutional, TRANSFORMER: Transformer}


# --- parameters ------------------------------------------------------------------------------------------------------


class Params(Trained):
    """Parameters of notebook 81."""

    setting: str = "mnist1d"
    steps: int | None = Field(60, gt=0)
    seeds: int = Field(2, ge=2)
    seeds_per_shard: int = Field(2, ge=1)
    size: float = Field(0.1, gt=0)
    kick_times: Times = (0.0, 60.0)
    points: int = Field(7, ge=3)
    examples: int = Field(300, ge=10)  # of the training set, on which twins are compared

    @model_validator(mode="after")
    def _fits(self) -> Self:
        rising_times("kick_times", self.kick_times)
        if self.kick_times[0] != 0 or len(self.kick_times) < 2:
            raise ValueError(f"kick_times = {list(self.kick_times)}: give 0 and later ones, which are held against it")
        check_times(self.main, self.kick_times)
        if data.input_shape(self.main.data) != SHAPE:
            raise ValueError(f"data_set = '{self.data_set}': the two networks take signals of shape {SHAPE}")
        return self

    @property
    def main(self) -> Setting:
        """The setting, with a recipe for both networks."""
        return self.chosen(self.setting, self.steps, **RECIPE | self.recipe)

    @property
    def architectures(self) -> str:
        """In words, for the scope of claims."""
        return f"{CONVOLUTION} and {TRANSFORMER} as plain modules"

    @property
    def last(self) -> float:
        """The last time of a kick, in percent."""
        return self.kick_times[-1]


study = Study("81_own_networks", Params, PAPER, origin=Origin.OURS)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every few seeds: twins of each network in the stack, and of the convolutional one in a plain loop."""
    common = {"size": params.size, "points": params.points, "examples": params.examples}
    times = list(params.kick_times)
    shards = []
    for seeds in params.few():
        for name in NETWORKS:
            config = study.config(params.main, params, network=name, seeds=seeds, times=times, **common)
            shards.append(Shard(in_the_stack, config, of=name))
        # A loop of one network after another is slow: one of the two is enough to compare.
        config = study.config(params.main, params, network=CONVOLUTION, seeds=seeds, **common)
        shards.append(Shard(in_a_loop, config, of=CONVOLUTION))
    return shards


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def in_the_stack(bench: Bench) -> Arrays:
    """Of each twin `[T, S]`: barrier, what was learned, disagreement, distance; `control`, `error`, `matched` `[S]`.

    `control` is the largest difference between an unkicked twin and its parent, `error` the parent's on test examples,
    `matched` the barrier to the earliest twin with its units in the order of the parent's.
    """
    task, seeds, size = bench.task, bench.seeds, bench["size"]
    model = models.of(NETWORKS[bench["network"]], task.x[:8])
    x, y = task.x[: bench["examples"]], task.y[: bench["examples"]]
    steps = [bench.setting.step_at(time) for time in bench["times"]]
    forks = [Fork(seed, 0, Kick()) for seed in seeds]
    forks += [Fork(seed, step, Kick(size=size)) for step in steps for seed in seeds]
    found = train(model, task, bench.recipe, seeds, forks)
    count, parents = len(seeds), parent_rows(found.members)
    # In the order of the steps: the controls and the earliest kicks are forked at once, controls first.
    own, twins = found.theta[parents], found.theta[count:]
    between_twins = barriers(model, own[count:], twins[count:], x, y, bench["points"])
    answers = predictions(model, found.theta, x)
    here = {
        "barrier": between_twins.of_loss,
        "learned": _learned(model, found.theta, x, y)[parents[count:]],
        "disagreement": (answers[parents] != answers[count:]).double().mean(1)[count:],
        "distance": (own - twins).double().norm(dim=1)[count:],
    }
    first = slice(count, 2 * count)
    return {name: value.view(len(steps), count).numpy() for name, value in here.items()} | {
        "control": (own - twins)[:count].abs().amax(1).numpy(),
        "error": evaluate(model, found.theta[:count], task.x_test, task.y_test)[1].numpy(),
        "matched": _matched(model, own[first], twins[first], x, y, bench["points"]).numpy(),
    }


def _learned(model: Model, theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """How far each network's loss `[M]` lies below that of its mean answer, given to every input."""
    answers = logits(model, theta, x)
    blind = answers.mean(1, keepdim=True).expand_as(answers)
    truth = y.expand(len(theta), -1)
    return (cross_entropy(blind, truth) - cross_entropy(answers, truth)).double().mean(1)


def _matched(model: Model, a: Tensor, b: Tensor, x: Tensor, y: Tensor, points: int) -> Tensor:
    """Barriers `[K]` after weight matching; NaN for a network of which nobody knows what may be permuted."""
    try:
        order = align.weight_matching(model.layout, a, b, restarts=2).permutation
    except ValueError:
        return torch.full((len(a),), torch.nan, dtype=torch.float64)
    return barriers(model, a, align.permute(model.layout, b, order), x, y, points).of_loss


@study.shard
def in_a_loop(bench: Bench) -> Arrays:
    """The same of twins of a plain loop, kicked at the start: `barrier`, `learned`, `disagreement`, `control` `[S]`."""
    task, recipe = bench.task, bench.recipe
    model = models.of(NETWORKS[bench["network"]], task.x[:8])
    where = {"x": task.x[: bench["examples"]], "y": task.y[: bench["examples"]], "points": bench["points"]}
    trials = []
    for seed in bench.seeds:
        batches = Minibatches(task, recipe.batch_size_at, recipe.augment, [seed])

        def loop(net: nn.Module, optimizer: torch.optim.Optimizer, batches: Minibatches = batches) -> None:
            for step in range(recipe.steps):
                batch = batches.at(step)
                optimizer.param_groups[0]["lr"] = learning_rate(recipe, step)
                optimizer.zero_grad()
                F.cross_entropy(net(batch.x[0]), batch.target[0]).backward()
                optimizer.step()

        net = NETWORKS[bench["network"]]()
        start = model.layout.tensors(model.init([seed]))
        net.load_state_dict({name: view[0] for name, view in start.items()})
        optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        how = {"loss": F.cross_entropy, "size": bench["size"], "seed": seed}
        trials.append(twin.trial(loop, net, optimizer, **how, **where))
    return {
        "barrier": np.array([t.twin.barrier for t in trials]),
        "learned": np.array([t.twin.learned for t in trials]),
        "disagreement": np.array([t.twin.disagreement for t in trials]),
        "control": np.array([t.control for t in trials]),
    }


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """`twins`: a row a network, seed and time; `loops`: a row a network and seed."""
    twins, loops = [], []
    for shard in shards:
        seeds, about = shard.config["seeds"], {"network": shard.of}
        if shard.compute.__name__ == in_a_loop.__name__:
            loops.append(pd.DataFrame({"seed": seeds, **about} | {name: shard[name] for name in LOOPED}))
            continue
        rows = grid(shard["barrier"], {"time": params.kick_times, "seed": seeds}, "barrier").assign(**about)
        rows = rows.assign(**{name: shard[name].ravel() for name in TWINS})
        once = pd.DataFrame({"seed": seeds} | {name: shard[name] for name in ("control", "error", "matched")})
        twins.append(rows.merge(once, on="seed"))
    found = {"twins": pd.concat(twins, ignore_index=True), "loops": pd.concat(loops, ignore_index=True)}
    return {name: table.assign(share=table.barrier / table.learned) for name, table in found.items()}


TWINS = ("learned", "disagreement", "distance")
LOOPED = ("barrier", "learned", "disagreement", "control")


# --- claims ----------------------------------------------------------------------------------------------------------


def _at(t: Tables, network: str, time: float = 0.0) -> pd.DataFrame:
    """The twins of one network kicked at one time, by seed."""
    table = t["twins"]
    return table[(table.network == network) & (table.time == time)].set_index("seed").sort_index()


@study.unless
def unsound(t: Tables) -> str:
    """Claims are void where an unkicked twin differs from its parent, or a network gained less than 0.5 nats."""
    for name in ("twins", "loops"):
        if (t[name].control != 0).any():
            return "an unkicked twin differs from its parent"
        if not (t[name].learned > LEARNED).all():
            return "a network did not learn"
    return ""


SHARE = {"by": "barrier after a kick at the start, as a share of the loss gained", "figure": "ab", "reach": (0, np.inf)}


@study.claim("OW01", region=above(LEVEL), scope=f"mnist1d, {CONVOLUTION}", **SHARE)
def convolutions_are_chaotic(t: Tables) -> Interval:
    """A kick at the start leaves a convolutional network behind a barrier of a twentieth of what it learns."""
    return intervals.mean(_at(t, CONVOLUTION).share)


@study.claim("OW01b", region=above(LEVEL), scope=f"mnist1d, {TRANSFORMER}", **SHARE)
def transformers_are_chaotic(t: Tables) -> Interval:
    """The same kick leaves a transformer, trained by the same recipe, behind a barrier of that size too."""
    return intervals.mean(_at(t, TRANSFORMER).share)


def _early_and_late(t: Tables, network: str, column: str) -> tuple[pd.Series, pd.Series]:
    return _at(t, network, 0.0)[column], _at(t, network, t.params.last)[column]


# Planted for the power is half a barrier of the convolutional network.
HIGHER = {"by": "barrier after a kick at the start minus that at {params.last:g} %, nats", "region": above(0.0),
          "margin": 0.1, "figure": "a"}  # fmt: skip
MORE = {"by": "ratio of the disagreements after kicks at the start and at {params.last:g} %", "region": above(2.0),
        "figure": "a"}  # fmt: skip


@study.claim("OW02", scope=f"mnist1d, {CONVOLUTION}", **HIGHER)
def early_barriers_are_higher_in_convolutions(t: Tables) -> Interval:
    """Kicks at the start leave a convolutional network behind higher barriers than late kicks."""
    early, late = _early_and_late(t, CONVOLUTION, "barrier")
    return intervals.mean(early - late)


@study.claim("OW02b", scope=f"mnist1d, {TRANSFORMER}", **HIGHER)
def early_barriers_are_higher_in_transformers(t: Tables) -> Interval:
    """Kicks at the start leave a transformer behind higher barriers than late kicks."""
    early, late = _early_and_late(t, TRANSFORMER, "barrier")
    return intervals.mean(early - late)


@study.claim("OW07", scope=f"mnist1d, {CONVOLUTION}", **MORE)
def early_kicks_change_more_answers_of_convolutions(t: Tables) -> Interval:
    """Kicks at the start change at least twice as many answers of a convolutional network as late kicks."""
    return intervals.ratio(*_early_and_late(t, CONVOLUTION, "disagreement"), floor=1 / t.params.examples)


@study.claim("OW07b", scope=f"mnist1d, {TRANSFORMER}", **MORE)
def early_kicks_change_more_answers_of_transformers(t: Tables) -> Interval:
    """Kicks at the start change at least twice as many answers of a transformer as late kicks."""
    return intervals.ratio(*_early_and_late(t, TRANSFORMER, "disagreement"), floor=1 / t.params.examples)


@study.claim("OW03", by="ratio of the barriers after kicks at the start, one network over the other", region=above(1.0),
             figure="a", margin=3.0)  # fmt: skip
def convolutions_are_more_chaotic(t: Tables) -> Interval:
    """By one recipe, a kick at the start ends behind a higher barrier in the convolutional network."""
    return intervals.ratio(_at(t, CONVOLUTION).barrier, _at(t, TRANSFORMER).barrier, floor=EPSILON)


# A factor of three either way: less than barriers of one network differ by between kick times, or the two networks.
@study.claim("OW04", by="ratio of the barriers, plain loop over stack", region=between(1 / 3, 3.0), figure="b",
             scope=f"mnist1d, {CONVOLUTION}")  # fmt: skip
def loop_and_stack_agree(t: Tables) -> Interval:
    """A twin in a plain loop ends behind a barrier like that of a twin in the stack."""
    looped = t["loops"].set_index("seed").barrier
    return intervals.ratio(looped, _at(t, CONVOLUTION).barrier.reindex(looped.index), floor=EPSILON)


@study.claim("OW05", by="ratio of the barriers after a kick at the start, units matched over as they are",
             region=below(0.9), figure="a", scope=f"mnist1d, {CONVOLUTION}")  # fmt: skip
def matching_lowers_barriers(t: Tables) -> Interval:
    """Putting the units of an early twin into its parent's order takes a tenth or more off the barrier between them."""
    early = _at(t, CONVOLUTION)
    return intervals.ratio(early.matched, early.barrier, floor=EPSILON)


@study.claim("OW06", by="largest difference between an unkicked twin and its parent", region=exactly(0.0),
             kind=Kind.CHECK)  # fmt: skip
def controls_are_the_same(t: Tables) -> Interval:
    """Twins kicked by nothing equal their parents to the last bit, in the stack and in the plain loop."""
    differences = np.concatenate([t[name].control for name in ("twins", "loops")])
    return intervals.exact(float(differences.max()), t["twins"].seed.nunique())
