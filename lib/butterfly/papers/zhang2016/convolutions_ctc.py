"""Notebook 72: transcripts without recurrence.

Networks learn from utterances and what was said in them, with nobody to say when, by connectionist temporal
classification. Convolutional ones of several depths and kernels against a recurrent one that reads both ways; all have
the same number of parameters, up to one unit, so that what differs is how much of the utterance they see and how.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import optim
from butterfly.models import Model
from butterfly.papers.zhang2016 import PAPER
from butterfly.papers.zhang2016.listeners import Convolutions, Recurrent, learn, logits_of, of_size, update
from butterfly.papers.zhang2016.speech import BANDS, CLASSES, Speech, draw, of_seeds
from butterfly.papers.zhang2016.transcripts import beam_search, best_path, symbol_error
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Config, Interval, Kind, Origin, Shard, Study, Tables
from butterfly.study import Params as Common
from butterfly.study import above, below, between, grid, intervals, sound
from butterfly.train import Recipe

RECURRENT = "recurrent"
HALF = 0.5  # the symbol error from which on a network is said to have learned
EITHER_WAY = (-1.0, 1.0)


class Params(Common):
    """Parameters of notebook 72."""

    seeds: int = Field(2, ge=2)
    seeds_per_shard: int = Field(2, ge=1)
    parameters: int = Field(3000, ge=1000)  # of each network, at most
    steps: int = Field(400, ge=10)
    batch: int = Field(8, ge=1)
    lr: float = Field(0.01, gt=0)  # of Adam; falls linearly to 0
    recurrent_lr: float = Field(0.02, gt=0)  # the best of 0.005, 0.01 and 0.02; fewer were tried for `lr`
    utterances: int = Field(512, ge=1)  # to learn from
    tests: int = Field(40, ge=2)  # other utterances, to count errors in;
    followed: int = Field(20, ge=1)  # these many of them also along learning
    depths: tuple[int, ...] = (1, 2)
    kernels: tuple[int, ...] = (3, 5)  # in frames
    looks: int = Field(6, ge=2)  # along learning
    beam: int = Field(8, ge=1)  # prefixes that the search keeps
    blocks: int = Field(4, ge=2)  # in which time is taken,
    timed: int = Field(3, ge=1)  # of so many updates each
    fewest: int = 2  # symbols in an utterance
    most: int = 3
    shortest: int = 4  # frames of a symbol
    longest: int = 8
    blend: int = 3  # frames over which symbols run into each other
    loud: float = 8.0  # energy of a formant, in standard deviations of the noise

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("depths", "kernels"):
            values = getattr(self, name)
            if len(values) < 2 or list(values) != sorted(set(values)) or values[0] < 1:
                raise ValueError(f"{name} = {list(values)}: give two or more rising numbers")
        if any(kernel % 2 == 0 or kernel < 3 for kernel in self.kernels):
            raise ValueError(f"kernels = {list(self.kernels)}: give odd numbers from 3 on")
        if not self.alike:
            raise ValueError("depths and kernels: give some of which a deep and a shallow network see equally far")
        if self.fewest > self.most or self.shortest > self.longest or self.followed > self.tests:
            raise ValueError("fewest <= most, shortest <= longest, followed <= tests")
        if self.batch > self.utterances or self.looks > self.steps:
            raise ValueError("batch <= utterances, looks <= steps")
        return self

    @property
    def speech(self) -> Speech:
        names = Speech.model_fields
        return Speech(**{name: value for name, value in self.model_dump().items() if name in names})

    @property
    def networks(self) -> dict[str, tuple[int, int]]:
        """Depth and kernel of each convolutional network by name; the last is the one that sees single frames."""
        cells = [(depth, kernel) for depth in self.depths for kernel in self.kernels]
        return {named(*cell): cell for cell in [*cells, (self.depths[-1], 1)]}

    @property
    def main(self) -> str:
        """The network that is held against the recurrent one: the deepest, with the middle kernel."""
        return named(self.depths[-1], self.kernels[(len(self.kernels) - 1) // 2])

    @property
    def widest(self) -> str:
        """The network that sees most."""
        return named(self.depths[-1], self.kernels[-1])

    @property
    def least(self) -> str:
        """The network that sees least, but more than one frame."""
        return named(self.depths[0], self.kernels[0])

    @property
    def single(self) -> str:
        """The network of many layers that sees single frames."""
        return named(self.depths[-1], 1)

    @property
    def alike(self) -> list[tuple[str, str]]:
        """Of each receptive field that several networks have, the deepest and the shallowest of them."""
        cells = [(d, k) for d in self.depths for k in self.kernels]
        found = [[cell for cell in cells if sees(*cell) == field] for field in sorted({sees(*cell) for cell in cells})]
        return [(named(*max(some)), named(*min(some))) for some in found if len(some) > 1]

    @property
    def scope(self) -> str:
        """The data and the networks."""
        return f"made-up utterances, networks of {self.parameters} parameters"


def named(depth: int, kernel: int) -> str:
    """The name of a convolutional network."""
    return f"{depth} x {kernel}"


def sees(depth: int, kernel: int) -> int:
    """Frames of its receptive field."""
    return 1 + depth * (kernel - 1)


study = Study("72_convolutions_ctc", Params, PAPER)


@study.plan
def plan(params: Params) -> list[Shard]:
    """One shard a network and few seeds, and one in which time is taken."""
    names = ("device", "parameters", "batch", "lr", "recurrent_lr")
    common: Config = {name: getattr(params, name) for name in names} | {"speech": params.speech.model_dump()}
    learning = common | {name: getattr(params, name) for name in ("steps", "utterances", "tests", "followed", "beam")}
    looks = sorted({round(params.steps * look / params.looks) for look in range(1, params.looks + 1)})
    found = []
    for name, cell in {**params.networks, RECURRENT: (0, 0)}.items():
        own: Config = {"cell": list(cell), "looks": [], "searched": name in (params.main, RECURRENT)}
        if name in (params.main, params.widest, RECURRENT):
            own["looks"] = looks
        found += [Shard(listen, learning | own | {"seeds": seeds}, name) for seeds in params.few()]
    cells = {"cells": [list(params.networks[params.main]), [0, 0]], "blocks": params.blocks, "timed": params.timed}
    return [*found, Shard(take_time, common | cells | {"seeds": params.few()[0]}, "time")]


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def listen(bench: Bench) -> Arrays:
    """Train one network a seed, and count its errors on utterances that it did not learn from.

    Symbol errors `[S]` in the end, by best path: in test utterances, in those it learned from, and against what was
    said in other test utterances, which is chance; by beam search where asked; and along learning `[T, S]`, in the
    first `followed` test utterances. Of one utterance, what the first seed's network hears: `x [bands, frames]`, the
    symbol `at` each frame, and probabilities.
    """
    speech, seeds, device = Speech.read(bench["speech"]), bench.seeds, bench["device"]
    model = _network(bench, *bench["cell"])
    x, y = (part.to(device) for part in of_seeds(speech, bench["utterances"], "utterances", seeds))
    x_test, y_test = (part.to(device) for part in of_seeds(speech, bench["tests"], "test-utterances", seeds))
    learned = learn(model, x, y, _recipe(bench, bench["cell"][0], bench["steps"]), seeds, bench["looks"])
    theta, some = learned[bench["steps"]], slice(0, bench["followed"])
    logits, part = logits_of(model, theta, x_test), slice(0, bench["tests"])
    heard = [best_path(own) for own in logits]
    found = {
        "error": _errors(heard, y_test),
        "trained": _errors([best_path(own) for own in logits_of(model, theta, x[:, part])], y[:, part]),
        "chance": _errors(heard, y_test.roll(1, 1)),
        "count": np.array(model.layout.count),
    }
    if bench["looks"]:
        along = [logits_of(model, learned[look], x_test[:, some]) for look in bench["looks"]]
        found["along"] = np.array([_errors([best_path(own) for own in each], y_test[:, some]) for each in along])
    if bench["searched"]:
        found["beam"] = _errors([beam_search(own, bench["beam"]) for own in logits], y_test)
        found |= _shown(bench, model, theta)
    return found


def _shown(bench: Bench, model: Model, theta: Tensor) -> Arrays:
    """One utterance, frame by frame, and what the first network says of it."""
    one = draw(Speech.read(bench["speech"]), 1, generator("shown-utterance", bench.seeds[0]))
    logits = logits_of(model, theta[:1], one.x[None].to(theta))[0, 0]
    return {
        "x": one.x[0].numpy(),
        "at": one.at[0].numpy(),
        "said": one.y[0].numpy(),
        "probabilities": logits.softmax(1).cpu().numpy(),
    }


@study.shard
def take_time(bench: Bench) -> Arrays:
    """Processor seconds `[blocks, networks]` of an update of the whole stack, the networks in turn in every block.

    In one process, so that whatever slows the machine down slows both.
    """
    speech, seeds = Speech.read(bench["speech"]), bench.seeds
    x, y = (part.to(bench["device"]) for part in of_seeds(speech, bench["batch"], "utterances", seeds))
    models = [_network(bench, *cell) for cell in bench["cells"]]
    recipe, spent = _recipe(bench, 1, bench["timed"]), np.zeros((bench["blocks"] + 1, len(models)))
    for block, k in np.ndindex(spent.shape):
        theta = models[k].init(seeds).to(x)
        state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
        begin = time.process_time()
        for step in range(recipe.steps):
            update(models[k], recipe, step, theta, state, x, y)
        theta.sum().item()  # waits for a GPU
        spent[block, k] = (time.process_time() - begin) / recipe.steps
    return {"seconds": spent[1:]}  # the first block warms up


def _network(bench: Bench, depth: int, kernel: int) -> Model:
    """The widest network of that kind within the number of parameters; depth 0: recurrent."""
    shape = (BANDS, Speech.read(bench["speech"]).frames)
    if not depth:
        return of_size(lambda width: Recurrent(shape, CLASSES, width), bench["parameters"])
    return of_size(lambda width: Convolutions(shape, CLASSES, depth, kernel, width), bench["parameters"])


def _recipe(bench: Bench, depth: int, steps: int) -> Recipe:
    lr = bench["lr" if depth else "recurrent_lr"]
    return Recipe(steps=steps, batch_size=bench["batch"], lr=lr, optimizer="adam", warmup=0.05)


def _errors(found: Sequence[list], y: Tensor) -> np.ndarray:
    """The symbol error of each seed `[S]`."""
    return np.array([symbol_error(own, truth) for own, truth in zip(found, y, strict=True)])


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> Tables:
    """Tidy tables: `networks` (a row a network and seed), `curves` (of some: a network, update and seed), `cost` (a row
    a block, milliseconds an update)."""
    networks, curves, examples = [], [], {}
    for shard in shards:
        if shard.of == "time":
            convolutional, recurrent = 1000 * shard["seconds"].T
            cost = pd.DataFrame({"convolutional": convolutional, "recurrent": recurrent})
            cost.insert(0, "block", np.arange(1, len(cost) + 1))
            continue
        depth, kernel = shard.config["cell"]
        own = {"network": shard.of, "depth": depth, "kernel": kernel, "sees": sees(depth, kernel) if depth else 0}
        own |= {"seed": shard.config["seeds"], "error": shard["error"], "count": int(shard["count"])}
        own |= {name: shard.found.get(name, np.nan) for name in ("trained", "chance", "beam")}
        networks.append(pd.DataFrame(own))
        if shard.config["looks"]:
            axes = {"updates": shard.config["looks"], "seed": shard.config["seeds"]}
            curves.append(grid(shard["along"], axes, "error").assign(network=shard.of))
        if shard.config["searched"]:
            examples.setdefault(shard.of, {name: shard[name] for name in ("x", "at", "said", "probabilities")})
    tables = {"networks": pd.concat(networks, ignore_index=True), "curves": pd.concat(curves, ignore_index=True)}
    return Tables(tables | {"cost": cost}, params, examples=examples)


# --- claims ----------------------------------------------------------------------------------------------------------

IN: dict[str, Any] = {"scope": "{params.scope}"}
# Two symbols in a hundred: the paper's own and its recurrent baselines lie within half a point of each other.
SAME = 0.02
ALIKE = between(-SAME, SAME)


def _column(t: Tables, network: str, column: str = "error") -> pd.Series:
    """A column of one network, by seed."""
    rows = t["networks"][t["networks"].network == network]
    return rows.set_index("seed")[column].sort_index()


def _difference(t: Tables, one: str, other: str, column: str = "error") -> Interval:
    """Symbol errors of one network minus those of another, over seeds."""
    return intervals.mean(_column(t, one, column) - _column(t, other, column), EITHER_WAY)


@study.unless
def deaf(t: Tables) -> str:
    """Claims are void where the recurrent network, or the convolutional one that is held against it, makes more than
    one error for every two symbols, on average."""
    found = {name: _column(t, name).mean() for name in (t.params.main, RECURRENT)}
    return "; ".join(f"{name} has a symbol error of {error:.2f}" for name, error in found.items() if error > HALF)


@study.claim(
    "CT01", by="symbol error, convolutional minus recurrent, by best path", region=below(SAME), margin=SAME,
    origin=Origin.ABSTRACT, figure="b", **IN,
)  # fmt: skip
def compete(t: Tables) -> Interval:
    """Convolutions without recurrence make hardly more errors than a recurrent network with as many parameters."""
    return _difference(t, t.params.main, RECURRENT)


@study.claim(
    "CT01b", by="symbol error, convolutional minus recurrent, by best path", region=above(-SAME), margin=SAME,
    origin=Origin.OURS, figure="b", **IN,
)  # fmt: skip
def not_better(t: Tables) -> Interval:
    """Convolutions without recurrence make hardly fewer errors than a recurrent network with as many parameters."""
    return _difference(t, t.params.main, RECURRENT)


@study.claim(
    "CT01c", by="symbol error, convolutional minus recurrent, by beam search", region=ALIKE, origin=Origin.OURS,
    figure="b", **IN,
)  # fmt: skip
def match_by_search(t: Tables) -> Interval:
    """Both make equally many errors where the most probable transcript is searched for, not read off the best path."""
    return _difference(t, t.params.main, RECURRENT, "beam")


@study.claim(
    "CT01d", by="symbol error, best path minus beam search, mean over both networks", region=between(-0.01, 0.01),
    origin=Origin.OURS, figure="b", **IN,
)  # fmt: skip
def search_is_not_needed(t: Tables) -> Interval:
    """The search finds hardly better transcripts than the best path."""
    # A hundredth: half of what counts as a difference between networks.
    each = [_column(t, name) - _column(t, name, "beam") for name in (t.params.main, RECURRENT)]
    return intervals.mean(sum(each) / 2, EITHER_WAY)


@study.claim(
    "CT02", by="ratio of the processor times of an update, recurrent over convolutional, over blocks of one run",
    region=above(1.0), origin=Origin.ABSTRACT, kind=Kind.MACHINE, figure="b", unless=sound, **IN,
)  # fmt: skip
def cheaper(t: Tables) -> Interval:
    """An update of the convolutional network costs less time than one of the recurrent network."""
    return intervals.geometric_mean(t["cost"].recurrent / t["cost"].convolutional)


@study.claim(
    "CT02b", by="ratio of the updates until the symbol error is below a half, recurrent over convolutional",
    region=above(1.0), origin=Origin.OURS, figure="b", unless=sound, **IN,
)  # fmt: skip
def sooner(t: Tables) -> Interval:
    """The convolutional network needs fewer updates than the recurrent one until it hears every other symbol."""
    return _later(t, RECURRENT, t.params.main)


def _later(t: Tables, one: str, other: str) -> Interval:
    """How many times as many updates one network needs as another until its symbol error is below a half."""
    low, high = zip(*(_reached(t, name) for name in (one, other)), strict=True)
    return intervals.between_bounds(low[0] / high[1], high[0] / low[1])


def _reached(t: Tables, network: str) -> tuple[pd.Series, pd.Series]:
    """Updates at the first look at which the symbol error is below a half, by seed: at least, at most (infinite where
    it never is)."""
    errors = t["curves"][t["curves"].network == network].pivot_table("error", "seed", "updates")
    first = pd.Series(
        [next((u for u in errors if row[u] < HALF), math.inf) for _, row in errors.iterrows()], errors.index
    )
    return first.clip(upper=errors.columns[-1]), first


@study.claim(
    "CT03", by="rank correlation of receptive field and symbol error over convolutional networks, mean over seeds",
    region=below(-0.7), origin=Origin.ABSTRACT, figure="c", **IN,
)  # fmt: skip
def context_helps(t: Tables) -> Interval:
    """The more of an utterance a convolutional network sees at once, the fewer errors it makes."""
    # Ranks that leave half of the variance to what else differs: depth, width, and chance.
    grids = t["networks"][t["networks"].kernel > 1].groupby("seed")
    return intervals.correlation([rank_correlation(own.sees, own.error) for _, own in grids])


def rank_correlation(x: pd.Series, y: pd.Series) -> float:
    """Spearman's rank correlation; 0 where one of them does not vary, which orders nothing."""
    return float(stats.spearmanr(x, y).statistic) if min(np.ptp(x), np.ptp(y)) > 0 else 0.0


@study.claim(
    "CT03b", by="symbol error, deepest minus shallowest network of the same receptive field, mean over fields",
    region=between(-0.05, 0.05), origin=Origin.OURS, figure="c", **IN,
)  # fmt: skip
def depth_does_not(t: Tables) -> Interval:
    """It is context that helps, not depth: networks that see equally far make equally many errors."""
    each = [_column(t, deep) - _column(t, shallow) for deep, shallow in t.params.alike]
    return intervals.mean(sum(each) / len(each), EITHER_WAY)


@study.claim(
    "CT03c", by="symbol error, {params.single} minus {params.least} (layers x frames of a kernel)",
    region=above(0.0), margin=0.05, origin=Origin.OURS, figure="c", **IN,
)  # fmt: skip
def layers_alone_do_not(t: Tables) -> Interval:
    """Many layers that see a single frame make more errors than one layer that sees its neighbours."""
    return _difference(t, t.params.single, t.params.least)


@study.claim(
    "CT03d", by="ratio of the updates until the symbol error is below a half, {params.widest} over {params.main} "
    "(layers x frames of a kernel)", region=above(1.0), origin=Origin.OURS, figure="b", unless=sound, **IN,
)  # fmt: skip
def context_takes_time(t: Tables) -> Interval:
    """The deep network with the longest kernels, which sees most, is the later one to hear every other symbol."""
    return _later(t, t.params.widest, t.params.main)
