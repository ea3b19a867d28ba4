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
from butterfly.study import check_looks, grid, intervals, lost
from butterfly.study.intervals import POSITIVE
from butterfly.train import Observer, Recipe, train

REACHED = 0.8  # the share of the information up to which the work is counted
FLOOR = 0.01  # nats, or shares, below which bounds on some thousand pairs are noise
SAMPLE_LOOKS = 20  # a network that learns from few pairs is stopped at the best of them
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
    larger: int = Field(4, ge=2)  # factor on the minibatch, at the highest correlation
    small_batches: tuple[int, ...] = (16,)
    sizes: tuple[int, ...] = (200, 400)  # pairs in all, half to learn from and half to read
    compared: int = 400  # the size at which nearest neighbours are compared at every correlation
    sample_updates: int = Field(100, ge=SAMPLE_LOOKS)
    noises: tuple[float, ...] = (0.5,)  # on functions of a number
    checkpoints: Times = (0.0, 10.0, 100.0)
    layer_noise: float = Field(3.0, gt=0)  # on a hidden layer, in standard deviations of its units
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
            raise ValueError(
                f"sizes = {list(self.sizes)}: give two or more from 20 on, with compared = {self.compared}"
            )
        if self.checkpoints[-1] != 100 or self.after not in self.checkpoints[:-1] or len(self.checkpoints) < 3:
            raise ValueError(f"checkpoints = {list(self.checkpoints)}: give three or more, up to 100")
        if self.small_batches[0] < 2 or self.noises[0] == 0:
            raise ValueError("small_batches from 2 on, noises above 0")
        if self.batch in self.small_batches:
            raise ValueError(f"small_batches = {list(self.small_batches)}: leave out batch = {self.batch}")
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

    def arm(dimensions: int, correlations: Sequence[float], looks: Sequence[int], **other: object) -> Config:
        own = {"dimensions": dimensions, "correlations": list(correlations), "bound": "dv", "batch": params.batch}
        return own | {"looks": list(looks)} | other

    curve, end, top = _looks(params.updates), [params.updates], [params.top]
    found = [arm(k, params.correlations, curve) for k in params.dimensions]
    found += [arm(k, [params.equal(k)], curve) for k in (*params.between, params.high)]
    found.append(arm(params.high, params.correlations[1:], end, bound="f"))
    found.append(arm(params.high, top, end, batch=params.larger * params.batch))
    small = [(size, bound) for size in params.small_batches for bound in ("dv", "plain")]
    return found + [arm(params.low, top, end, bound=bound, batch=size) for size, bound in small]


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


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables, information in nats: `gaussians` (a row an arm, correlation, seed and update), `cost` (dimensions,
    seed), `samples` (size, dimensions, correlation, seed), `functions` (function, noise, seed), `layers` (time, seed).
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for shard in shards:
        found.setdefault(shard.of, []).append(_READ[shard.of](shard))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}
    return tables | {"cost": costs(tables["gaussians"], params)}


def _read_gaussians(shard: Shard) -> pd.DataFrame:
    own = shard.config
    axes = {"update": own["looks"], "correlation": own["correlations"], "seed": own["seeds"]}
    table = grid(shard["value"], axes).assign(**{k: own[k] for k in ("dimensions", "bound", "batch")})
    return table.assign(truth=[information.of_gaussians(r, own["dimensions"]) for r in table.correlation])


def _read_samples(shard: Shard) -> pd.DataFrame:
    own = shard.config
    axes = {"correlation": own["correlations"], "seed": own["seeds"]}
    table = grid(shard["best"], axes, "best").assign(dimensions=own["dimensions"], size=own["size"])
    table = table.assign(**{name: shard[name].ravel() for name in ("last", "own", "neighbours")})
    return table.assign(truth=[information.of_gaussians(r, own["dimensions"]) for r in table.correlation])


def _read_functions(shard: Shard) -> pd.DataFrame:
    own = shard.config
    axes = {"function": [*FUNCTIONS, RELABELLED], "noise": own["noises"], "seed": own["seeds"]}
    table = grid(shard["value"], axes)
    known = {cell: _known(*cell) for cell in set(zip(table.function, table.noise, strict=True))}
    return table.assign(truth=[known[cell] for cell in zip(table.function, table.noise, strict=True)])


def _known(function: str, noise: float) -> float:
    """Information of a uniform number and a noisy function of it; that of `x` where both are relabelled."""
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    return information.of_function(FUNCTIONS.get(function, FUNCTIONS["x"])(x), noise)


def _read_layers(shard: Shard) -> pd.DataFrame:
    own = shard.config
    table = grid(shard["value"], {"time": own["checkpoints"], "seed": own["seeds"]})
    table = table.assign(exact=shard["exact"].ravel(), cka=shard["cka"].ravel())
    return table.assign(accuracy=np.tile(shard["accuracy"], len(own["checkpoints"])))


_READ = {
    "gaussians": _read_gaussians,
    "samples": _read_samples,
    "functions": _read_functions,
    "layers": _read_layers,
}


def costs(table: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Updates until the bound first reaches `REACHED` of the information, where all dimensions hold the same of it.

    Known up to the distance of two looks: between `lower` and `upper`, 0 and infinity where no look bounds them.
    """
    equal = np.isclose(table.truth, information.of_gaussians(params.top, params.low))
    some = table[equal & (table.bound == "dv") & (table.batch == params.batch)]
    rows = []
    for (dimensions, seed), curve in some.groupby(["dimensions", "seed"]):
        looks, reached = curve.sort_values("update")[["update", "value"]].to_numpy().T
        beyond = reached >= REACHED * curve.truth.mean()
        first = int(beyond.argmax()) if beyond.any() else len(looks)
        layout = models.build(params.statistics, (1, 2 * dimensions), 1).layout
        weights = sum(p.numel for p in layout.parameters if p.kind == "weight")
        lower, upper = (looks[first - 1] if first else 0), (looks[first] if beyond.any() else math.inf)
        rows.append((dimensions, seed, weights, float(lower), float(upper)))
    return pd.DataFrame(rows, columns=["dimensions", "seed", "weights", "lower", "upper"])


# --- claims ----------------------------------------------------------------------------------------------------------


@study.unless
def broken_bounds(t: Tables) -> str:
    """Claims are void where an estimate is not finite."""
    needed = {
        "gaussians": ["value"],
        "samples": ["best", "own", "neighbours"],
        "functions": ["value"],
        "layers": ["value", "exact", "cka"],
    }
    reasons = [lost(t[name][columns], f"estimates of {name} are not finite") for name, columns in needed.items()]
    return "; ".join(filter(None, reasons))


def untrained(t: Tables) -> str:
    """Claims are void by the rule for all, or where a classifier has learned less than half of its training set."""
    weak = int((t["layers"].groupby("seed").accuracy.min() < 0.5).sum())
    return "; ".join(filter(None, [broken_bounds(t), f"{weak} classifiers did not learn" if weak else ""]))


def learned(t: Tables, dimensions: int, bound: str = "dv", batch: int | None = None) -> pd.DataFrame:
    """The last look of one arm, at the correlations of the grid."""
    table = t["gaussians"]
    arm = (table.dimensions == dimensions) & (table.bound == bound) & (table.batch == (batch or t.params.batch))
    return table[arm & (table["update"] == table["update"].max()) & table.correlation.isin(t.params.correlations)]


def _wide(table: pd.DataFrame, values: pd.Series, *columns: str) -> np.ndarray:
    """Values as `[S, k]`: a row a seed, a column each cell."""
    ordered = table.assign(found=values).sort_values(["seed", *columns])
    return ordered.found.to_numpy().reshape(table.seed.nunique(), -1)


# A tenth of a nat: the ratio of densities is off by a tenth, on average over pairs.
@study.claim(
    "MI01", by="absolute error in nats, largest mean over correlations", region=below(0.1), figure="a",
    origin=Origin.PAPER, place="second hand: section on multivariate Gaussians and its figure", scope=GAUSSIANS,
)  # fmt: skip
def tight(t: Tables) -> Interval:
    """Between Gaussian vectors of {params.low} dimensions, the estimate lies within 0.1 nats of the closed form."""
    table = learned(t, t.params.low)
    return intervals.largest_mean(_wide(table, (table.value - table.truth).abs(), "correlation"), POSITIVE)


@study.claim(
    "MI01b", by="relative error, largest mean over correlations above 0", region=below(0.1), figure="a",
    origin=Origin.PAPER, place="second hand: section on multivariate Gaussians and its figure", scope=GAUSSIANS,
)  # fmt: skip
def tight_in_many(t: Tables) -> Interval:
    """Between Gaussian vectors of {params.high} dimensions, the estimate lies within a tenth of the closed form."""
    table = learned(t, t.params.high).query("correlation > 0")
    return intervals.largest_mean(_wide(table, (table.value / table.truth - 1).abs(), "correlation"), POSITIVE)


@study.claim(
    "MI01c", by="share of the information that is found, highest correlation over the lowest above 0",
    region=below(1.0), figure="a", origin=Origin.OURS, scope=GAUSSIANS,
)  # fmt: skip
def limited(t: Tables) -> Interval:
    """In {params.high} dimensions, the more information there is, the smaller the share of it that is found."""
    table = learned(t, t.params.high).query("correlation > 0")
    shares = _wide(table, table.value / table.truth, "correlation")
    return intervals.ratio(shares[:, -1].clip(0), shares[:, 0].clip(0), FLOOR)


@study.claim(
    "MI01d", by="f-divergence less Donsker-Varadhan, as a share of the closed form, mean over correlations above 0",
    region=below(0.0), margin=0.05, figure="a", origin=Origin.PAPER,
    place="second hand: the two bounds compared, theory and figure", scope=GAUSSIANS,
)  # fmt: skip
def looser(t: Tables) -> Interval:
    """In {params.high} dimensions the bound by f-divergence ends lower than that of Donsker and Varadhan."""
    f, dv = (learned(t, t.params.high, bound).query("correlation > 0") for bound in ("f", "dv"))
    apart = _wide(f, f.value / f.truth, "correlation") - _wide(dv, dv.value / dv.truth, "correlation")
    return intervals.mean(apart.mean(1))


@study.claim(
    "MI01e", by="ratio of the absolute errors with minibatches of {params.tiny}, moving average over none",
    region=below(1.0), figure="d", origin=Origin.PAPER, place="second hand: section on the bias of the gradient",
    scope=GAUSSIANS,
)  # fmt: skip
def corrected(t: Tables) -> Interval:
    """With small minibatches, the moving average in the gradient makes the estimate more accurate."""
    arms = [learned(t, t.params.low, bound, t.params.tiny).set_index("seed") for bound in ("dv", "plain")]
    errors = [(arm.value - arm.truth).abs() for arm in arms]
    return intervals.geometric_mean(errors[0] / errors[1])


def _against_neighbours(t: Tables, dimensions: int) -> Interval:
    """Ratio of the errors on the same pairs, network over neighbours."""
    table = t["samples"].query("dimensions == @dimensions and size == @t.params.compared")
    # Relative errors, averaged over correlations before they are divided: single errors can be 0 by luck.
    network, near = (_wide(table, (table[by] / table.truth - 1).abs(), "correlation") for by in ("best", "neighbours"))
    return intervals.geometric_mean(network.mean(1) / near.mean(1))


@study.claim(
    "MI02", by="ratio of the relative errors, mean over correlations above 0, network over neighbours",
    region=below(1.0), figure="b", origin=Origin.PAPER, place="second hand: figure on multivariate Gaussians",
    scope=SAMPLES,
)  # fmt: skip
def better_in_many(t: Tables) -> Interval:
    """From the same pairs in {params.high} dimensions, the network comes closer to the truth than neighbours do."""
    return _against_neighbours(t, t.params.high)


@study.claim(
    "MI02b", by="ratio of the relative errors, mean over correlations above 0, network over neighbours",
    region=above(1.0), margin=3.0, figure="b", origin=Origin.OURS, scope=SAMPLES,
)  # fmt: skip
def worse_in_few(t: Tables) -> Interval:
    """From the same pairs in {params.low} dimensions, neighbours come closer to the truth than the network does."""
    return _against_neighbours(t, t.params.low)


@study.claim(
    "MI03", by="absolute error in nats, largest mean over functions and noises", region=below(0.1), figure="c",
    origin=Origin.PAPER, place="second hand: section on non-linear dependence and its figure",
    scope="functions of a uniform number under noise, {statistics}",
)  # fmt: skip
def any_function(t: Tables) -> Interval:
    """For identity, cube and sine under noise alike, the estimate lies within 0.1 nats of the true value."""
    table = t["functions"].query("function != @RELABELLED")
    return intervals.largest_mean(_wide(table, (table.value - table.truth).abs(), "function", "noise"), POSITIVE)


@study.claim(
    "MI03b", by="absolute difference in nats, largest mean over noises", region=below(0.1), figure="c",
    origin=Origin.PAPER, place="second hand: section on non-linear dependence",
    scope="functions of a uniform number under noise, {statistics}",
)  # fmt: skip
def invariant(t: Tables) -> Interval:
    """Cubing both variables, which loses nothing, leaves the estimate where it is."""
    cells = t["functions"].pivot_table("value", ["seed", "noise"], "function")
    apart = (cells[RELABELLED] - cells["x"]).abs().unstack()
    return intervals.largest_mean(apart.to_numpy(), POSITIVE)


# Linear cost: ten times the dimensions, ten times the multiply-adds. A pass costs less than that by construction (only
# the first layer grows); whether more passes are needed is the question.
@study.claim(
    "MI04", by="multiply-adds until four fifths of the information, {params.high} over {params.low} dimensions, over "
    "the ratio of the dimensions", region=below(1.0), figure="d", origin=Origin.ABSTRACT, scope=GAUSSIANS,
)  # fmt: skip
def linear(t: Tables) -> Interval:
    """At equal information, the work of finding most of it grows at most linearly with the dimension."""
    cost = t["cost"].set_index("seed")
    few, many = cost[cost.dimensions == t.params.low], cost[cost.dimensions == t.params.high]
    each = many.weights / few.weights * t.params.low / t.params.high
    with np.errstate(divide="ignore"):
        return intervals.between_bounds(each * many.lower / few.upper, each * many.upper / few.lower)


@study.claim(
    "MI05", by="slope of the log absolute error on the log number of pairs, mean over seeds", region=below(0.0),
    margin=0.25, figure="b", origin=Origin.ABSTRACT, scope="Gaussian pairs, {statistics}",
)  # fmt: skip
def consistent(t: Tables) -> Interval:
    """In {params.high} dimensions, the error falls as the number of pairs grows."""
    table = _by_size(t)
    errors = _wide(table, np.log((table.best - table.truth).abs()), "size")
    return intervals.mean(intervals.slopes(np.log(sorted(table["size"].unique())), errors))


@study.claim(
    "MI05b", by="ratio of estimate and closed form", region=above(1.0), figure="b", origin=Origin.OURS,
    scope="Gaussian pairs, {statistics}",
)  # fmt: skip
def overfitted(t: Tables) -> Interval:
    """Read on the few pairs that the network learned from to the end, the lower bound exceeds the information."""
    table = _by_size(t)
    table = table[table["size"] == table["size"].min()]
    return intervals.geometric_mean(table.own.clip(lower=0) / table.truth, FLOOR)


def _by_size(t: Tables) -> pd.DataFrame:
    """The samples of all sizes, at the correlation and dimension that they share."""
    return t["samples"].query("dimensions == @t.params.high and correlation == @t.params.middle")


@study.claim(
    "MI06", by="relative error, largest mean over checkpoints", region=below(0.1), figure="e", origin=Origin.OURS,
    unless=untrained,
)  # fmt: skip
def measures_layers(t: Tables) -> Interval:
    """Between inputs and a noisy hidden layer, the estimate stays within a tenth of the exact value."""
    table = t["layers"]
    return intervals.largest_mean(_wide(table, (table.value / table.exact - 1).abs(), "time"), POSITIVE)


def _late(t: Tables, column: str) -> Interval:
    value = t["layers"].pivot_table(column, "seed", "time")
    return intervals.ratio(value[100.0].clip(lower=0), value[t.params.after].clip(lower=0), FLOOR)


@study.claim(
    "MI06b", by="ratio of the exact values, end of training over checkpoint {params.after:g} %", region=below(1.0),
    margin=1.2, figure="e", origin=Origin.OTHER, source=TISHBY, place="abstract", unless=untrained,
)  # fmt: skip
def compresses(t: Tables) -> Interval:
    """After the first tenth of training, the noisy hidden layer loses information on the input."""
    return _late(t, "exact")


@study.claim(
    "MI06d", by="ratio of the estimates, end of training over checkpoint {params.after:g} %", region=below(1.0),
    margin=1.2, figure="e", origin=Origin.OURS, unless=untrained,
)  # fmt: skip
def seems_to_compress(t: Tables) -> Interval:
    """By the estimate of a network, the noisy hidden layer loses information after the first tenth of training."""
    return _late(t, "value")


@study.claim(
    "MI06c", by="rank correlation over checkpoints of estimate and CKA with the input, mean over seeds",
    region=above(0.0), margin=0.5, figure="e", origin=Origin.OURS, unless=untrained,
)  # fmt: skip
def goes_with_cka(t: Tables) -> Interval:
    """Along training, the estimate for a hidden layer and its input rises and falls with their CKA."""
    each = t["layers"].groupby("seed")
    return intervals.correlation([stats.spearmanr(own.value, own.cka).statistic for _, own in each])
