"""Notebook 61: how well does a network measure mutual information?

Statistics networks learn a lower bound on the information between Gaussian vectors, where it is known in closed form,
between a number and a noisy function of it, and between the inputs of a classifier and its last hidden layer under
noise. Read always on pairs that they did not learn from, but where the question is what happens otherwise.
"""

import math
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from scipy import stats
from torch import Tensor

from butterfly import information, models, represent
from butterfly.evaluate import evaluate
from butterfly.information import Pairs
from butterfly.models import Model
from butterfly.papers.belghazi2018 import PAPER
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Config, Interval, OneModel, Origin, Shard, Study, Tables, Times, above, below
from butterfly.study import check_looks, intervals, lost, sound
from butterfly.train import Observer, Recipe, train

SAMPLE_LOOKS = 20  # a network that learns from few pairs is stopped at the best of them
LIMITS = "McAllester & Stratos 2018, arXiv 1811.04251"
TISHBY = "Shwartz-Ziv & Tishby 2017, arXiv 1703.00810"
GAUSSIANS, SAMPLES = "Gaussian pairs without end, {statistics}", "{compared} Gaussian pairs, {statistics}"

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "x": lambda x: x,
    "x cubed": lambda x: x**3,
    "sine": lambda x: torch.sin(math.pi * x),  # a whole period: not invertible
}
RELABELLED = "x, both cubed"  # the pairs of `x`, each number cubed afterwards


class Params(OneModel):
    """Parameters of notebook 61. Setting, model, recipe and steps are those of the classifier; times in percent."""

    setting: str = "mnist1d"
    steps: int | None = Field(200, gt=0)  # None: the setting's own
    seeds: int = Field(3, ge=2)
    seeds_per_shard: int = Field(3, ge=1)
    statistics: str = "mlp-2x32"  # the statistics networks
    updates: int = Field(200, ge=50)  # of a statistics network
    batch: int = Field(128, ge=2)  # pairs in a minibatch
    lr: float = Field(2e-3, gt=0)  # of Adam; falls linearly to 0
    examples: int = Field(1000, ge=100)  # pairs on which a bound is read
    dimensions: tuple[int, int] = (2, 20)
    correlations: tuple[float, ...] = (0.0, 0.5, 0.9)
    between: tuple[int, ...] = ()  # other dimensions in which the cost is measured
    larger: int = Field(4, ge=2)  # factor on the minibatch, at the two highest correlations
    small_batches: tuple[int, ...] = (16,)
    sizes: tuple[int, ...] = (200, 400)  # pairs in all, half to learn from and half to read
    compared: int = 400  # the size at which nearest neighbours are compared at every correlation
    sample_updates: int = Field(100, ge=SAMPLE_LOOKS)
    noises: tuple[float, ...] = (0.5,)  # on functions of a number
    checkpoints: Times = (0.0, 10.0, 100.0)
    layer_noise: float = Field(2.0, gt=0)  # on a hidden layer, in standard deviations of its units
    inputs: int = Field(300, ge=50)  # test examples whose hidden layers are measured

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("dimensions", "correlations", "small_batches", "sizes", "noises", "checkpoints"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or not values or values[0] < 0:
                raise ValueError(f"{name} = {list(values)}: give rising numbers")
        if self.correlations[-1] >= 1 or len(self.correlations) < 3 or self.correlations[1] == 0:
            raise ValueError(f"correlations = {list(self.correlations)}: give three or more, below 1")
        if self.compared not in self.sizes or len(self.sizes) < 2 or self.sizes[0] < 20:
            raise ValueError(f"sizes = {list(self.sizes)}: give two or more from 20 on, with compared = {self.compared}")
        if self.checkpoints[-1] != 100 or self.after not in self.checkpoints[:-1] or len(self.checkpoints) < 3:
            raise ValueError(f"checkpoints = {list(self.checkpoints)}: give three or more, up to 100")
        if self.small_batches[0] < 2 or self.noises[0] == 0:
            raise ValueError("small_batches from 2 on, noises above 0")
        return self

    @property
    def low(self) -> int:
        return self.dimensions[0]

    @property
    def high(self) -> int:
        return self.dimensions[1]

    @property
    def top(self) -> float:
        """The highest correlation."""
        return self.correlations[-1]

    @property
    def middle(self) -> float:
        """The correlation at which the number of pairs is varied: the one nearest to a half."""
        return min(self.correlations[1:], key=lambda r: abs(r - 0.5))

    @property
    def after(self) -> float:
        """The checkpoint nearest to a tenth of training."""
        return min(self.checkpoints[:-1], key=lambda time: abs(time - 10))

    @property
    def tiny(self) -> int:
        return self.small_batches[0]

    @property
    def limit(self) -> float:
        """Logarithm of the number of pairs on which a bound is read."""
        return math.log(self.examples)

    def equal(self, dimensions: int) -> float:
        """The correlation at which that many dimensions hold what the fewest hold at the highest correlation."""
        return math.sqrt(-math.expm1(-2 * information.of_gaussians(self.top, self.low) / dimensions))


study = Study("61_information", Params, PAPER)


@study.plan
def plan(params: Params) -> list[Shard]:
    """Shards of Gaussian pairs without end, of few pairs, of functions, and of hidden layers."""
    setting = params.chosen(params.setting, params.steps)
    check_looks(setting, params.checkpoints)
    names = ("device", "statistics", "updates", "lr", "examples")
    common = {name: getattr(params, name) for name in names}
    some = {**common, "updates": params.sample_updates}
    few, found = params.few(), []
    for seeds in few:
        found += [Shard(gaussians, common | arm | {"seeds": seeds}, "gaussians") for arm in _arms(params)]
        found += [Shard(samples, some | arm | {"seeds": seeds}, "samples") for arm in _samples(params)]
        own = {"batch": params.batch, "noises": list(params.noises), "seeds": seeds}
        found.append(Shard(functions, common | own, "functions"))
        own = {"batch": params.batch, "checkpoints": list(params.checkpoints), "inputs": params.inputs, "seeds": seeds}
        # Its own name, since that of the recipe is taken.
        own |= {"noise": params.layer_noise, **common}
        found.append(Shard(layers, study.config(setting, params, **{k: v for k, v in own.items() if k != "device"}),
                           "layers"))  # fmt: skip
    return found


def _arms(params: Params) -> list[Config]:
    """What is learned from Gaussian pairs without end."""

    def arm(dimensions: int, correlations: Sequence[float], bound: str = "dv", batch: int = params.batch) -> Config:
        own = {"dimensions": dimensions, "correlations": list(correlations), "bound": bound, "batch": batch}
        return own | {"looks": _looks(params.updates)}

    found = [arm(k, params.correlations) for k in params.dimensions]
    found.append(arm(params.high, params.correlations[1:], "f"))
    found.append(arm(params.high, params.correlations[-2:], batch=params.larger * params.batch))
    found += [arm(k, [params.equal(k)]) for k in (*params.between, params.high)]
    return found + [arm(params.low, [params.top], b, size) for size in params.small_batches for b in ("dv", "plain")]


def _samples(params: Params) -> list[Config]:
    """What is learned from few pairs."""
    cells = [(k, params.compared, params.correlations[1:]) for k in params.dimensions]
    cells += [(params.high, size, (params.middle,)) for size in params.sizes if size != params.compared]
    return [{"dimensions": k, "size": n, "correlations": list(r), "batch": params.batch} for k, n, r in cells]


def _looks(updates: int) -> list[int]:
    """Numbers of updates at which bounds are read, each about a quarter more than the one before."""
    return sorted({round(step) for step in np.geomspace(10, updates, 1 + round(math.log(updates / 10, 1.25)))})


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def gaussians(bench: Bench) -> Arrays:
    """Bounds `[T, R, S]` along learning from ever new pairs of Gaussian vectors, by correlation and seed."""
    dimensions, correlations = bench["dimensions"], bench["correlations"]
    model, theta, recipe = _networks(bench, 2 * dimensions, len(correlations))
    streams = [generator("gaussian-pairs", seed) for seed in bench.seeds]
    held_out = _gaussian([generator("held-out", seed) for seed in bench.seeds], bench, bench["examples"])
    _, seen = information.learn(
        model, theta, recipe, lambda step: _gaussian(streams, bench, bench["batch"]), bench["bound"], bench["looks"],
        held_out,
    )  # fmt: skip
    return {"value": seen.unflatten(1, (len(correlations), -1)).cpu().numpy()}


@study.shard
def samples(bench: Bench) -> Arrays:
    """Estimates `[R, S]` from a fixed number of pairs: learned from one half and read on the other where that is best;
    learned from one half to the end and read on that half; and by nearest neighbours from all."""
    correlations, half, dimensions = bench["correlations"], bench["size"] // 2, bench["dimensions"]
    model, theta, recipe = _networks(bench, 2 * dimensions, len(correlations))
    x, y = _gaussian([generator("sample", seed) for seed in bench.seeds], bench, 2 * half)
    choices, copies = [generator("choice", seed) for seed in bench.seeds], len(correlations)

    def pairs(step: int) -> Pairs:
        chosen = torch.stack([torch.randint(half, (bench["batch"],), generator=own) for own in choices])
        places = chosen.repeat(copies, 1).unsqueeze(2).expand(-1, -1, dimensions).to(x.device)
        return x.gather(1, places), y.gather(1, places)

    looks = [round(bench["updates"] * (look + 1) / SAMPLE_LOOKS) for look in range(SAMPLE_LOOKS)]
    own, other = (x[:, :half], y[:, :half]), (x[:, half:], y[:, half:])
    theta, seen = information.learn(model, theta, recipe, pairs, "dv", looks, other)
    found = {
        "best": seen.amax(0).cpu(),
        "last": seen[-1].cpu(),
        "own": information.estimate(model, theta, *own).cpu(),
        "neighbours": torch.tensor([information.neighbours(a, b) for a, b in zip(x, y, strict=True)]),
    }
    return {name: values.view(copies, -1).numpy() for name, values in found.items()}


@study.shard
def functions(bench: Bench) -> Arrays:
    """Estimates `[F, A, S]` between a uniform number and a noisy function of it, by function, noise and seed."""
    cells = [(name, noise) for name in (*FUNCTIONS, RELABELLED) for noise in bench["noises"]]
    model, theta, recipe = _networks(bench, 2, len(cells))
    streams = [generator("number-pairs", seed) for seed in bench.seeds]
    held_out = _noisy_functions([generator("held-out", seed) for seed in bench.seeds], cells, bench, bench["examples"])
    theta, seen = information.learn(
        model, theta, recipe, lambda step: _noisy_functions(streams, cells, bench, bench["batch"]), "dv",
        [bench["updates"]], held_out,
    )  # fmt: skip
    return {"value": seen.view(len(FUNCTIONS) + 1, len(bench["noises"]), -1).cpu().numpy()}


@study.shard
def layers(bench: Bench) -> Arrays:
    """The last hidden layer of classifiers along training, by checkpoint and seed `[T, S]`.

    Its information on the input under noise, as a network measures it and as it is; its CKA with the input; and the
    accuracy `[S]` on the training set at the end.
    """
    task, times, noise = bench.task, bench["checkpoints"], bench["noise"]
    x = task.x_test[: bench["inputs"]]
    watch = Observer("layer", lambda now: _last_hidden(bench.model, now.theta, x),
                     frozenset(map(bench.setting.step_at, times)))  # fmt: skip
    run = train(bench.model, task, bench.recipe, bench.seeds, observers=[watch])
    hidden = torch.cat([h for _, h in run.recorded("layer")])  # [T S, N, units], in standard deviations

    model, theta, recipe = _networks(bench, x[0].numel() + hidden.shape[2], len(times))
    streams = [generator("layer-pairs", seed) for seed in bench.seeds]
    held_out = _noisy_layers([generator("held-out", seed) for seed in bench.seeds], x, hidden, noise, bench["examples"])
    _, seen = information.learn(
        model, theta, recipe, lambda step: _noisy_layers(streams, x, hidden, noise, bench["batch"]), "dv",
        [bench["updates"]], held_out,
    )  # fmt: skip
    exact = [information.of_noisy(h, noise, generator("exact", row)) for row, h in enumerate(hidden)]
    alike = [float(represent.cka([x.flatten(1), h])[0, 1]) for h in hidden]
    shape = len(times), len(bench.seeds)
    return {
        "value": seen.view(shape).cpu().numpy(),
        "exact": np.reshape(exact, shape),
        "cka": np.reshape(alike, shape),
        "accuracy": 1 - evaluate(bench.model, run.theta, task.x, task.y)[1].cpu().numpy(),
    }


def _networks(bench: Bench, width: int, copies: int) -> tuple[Model, Tensor, Recipe]:
    """Statistics networks of that many inputs, one a seed and copy, seeds innermost; and how they learn."""
    model = models.build(bench["statistics"], (1, width), 1)
    theta = model.init(bench.seeds).repeat(copies, 1).to(bench["device"])
    recipe = Recipe(steps=bench["updates"], batch_size=bench["batch"], lr=bench["lr"], optimizer="adam")
    return model, theta, recipe


def _gaussian(streams: list[torch.Generator], bench: Bench, count: int) -> Pairs:
    """Pairs of Gaussian vectors `[R S, count, k]`; all correlations of a seed are made from the same draws."""
    drawn = torch.stack([torch.randn(count, 2 * bench["dimensions"], generator=own) for own in streams])
    r = torch.tensor(bench["correlations"]).repeat_interleave(len(streams))[:, None, None].to(bench["device"])
    x, other = drawn.to(bench["device"]).repeat(len(bench["correlations"]), 1, 1).chunk(2, 2)
    return x, r * x + (1 - r**2).sqrt() * other


def _noisy_functions(
    streams: list[torch.Generator], cells: Sequence[tuple[str, float]], bench: Bench, count: int
) -> Pairs:
    """Numbers and noisy functions of them `[C S, count, 1]`, C cells of function and noise."""
    x = torch.stack([2 * torch.rand(count, 1, generator=own) - 1 for own in streams])
    drawn = torch.stack([torch.randn(count, 1, generator=own) for own in streams])
    pairs = []
    for name, noise in cells:
        if name == RELABELLED:
            pairs.append((x**3, (x + noise * drawn) ** 3))
        else:
            pairs.append((x, FUNCTIONS[name](x) + noise * drawn))
    return tuple(torch.cat(parts).to(bench["device"]) for parts in zip(*pairs, strict=True))


def _last_hidden(model: Model, theta: Tensor, x: Tensor) -> Tensor:
    """The last hidden layer `[S, N, units]`, centred, in root mean squares of its units' standard deviations."""
    h = list(model.features(theta, x).values())[-2].flatten(2)
    h = h - h.mean(1, keepdim=True)
    return h / h.square().mean((1, 2), keepdim=True).sqrt()


def _noisy_layers(streams: list[torch.Generator], x: Tensor, hidden: Tensor, noise: float, count: int) -> Pairs:
    """Inputs drawn with replacement `[T S, count, p]` and their hidden layers under noise, scaled to unit variance."""
    places = torch.stack([torch.randint(len(x), (count,), generator=own) for own in streams])
    drawn = torch.stack([torch.randn(count, hidden.shape[2], generator=own) for own in streams]).to(hidden)
    copies = len(hidden) // len(streams)
    places = places.repeat(copies, 1).to(x.device)
    sent = hidden.gather(1, places.unsqueeze(2).expand(-1, -1, hidden.shape[2]))
    return x.flatten(1)[places], (sent + noise * drawn.repeat(copies, 1, 1)) / math.sqrt(1 + noise**2)
