"""Notebook 80: what batching and compiling are worth for the many small networks of this companion.

Every repetition has networks and minibatches of its own; the contestants take turns in it, in one process. Times are
seconds that the process computes, so that what else runs on the machine counts little; claims are about ratios of them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.func import functional_call

from butterfly import data, models
from butterfly.models import Model
from butterfly.models.mlp import MLP
from butterfly.papers.theano2016 import PAPER, ways
from butterfly.papers.theano2016.ways import BLOCK, BOTH, COMPILED, LOOP, STACK, VMAP, WAYS, Job, Run
from butterfly.streams import generator
from butterfly.study import Arrays, Bench, Interval, OneModel, Origin, Setting, Shard, Study, Tables, grid, intervals
from butterfly.study.claims import Kind, above, below, between
from butterfly.train import Recipe

PRODUCTS = "products alone"
SWEPT = (LOOP, STACK, PRODUCTS)
UNCOMPILED = (LOOP, VMAP, STACK)
MADE = (COMPILED, BOTH)
FORMATS = {"float32": torch.float32, "float64": torch.float64}
MEMBERS, WIDTH, EXAMPLES = "networks in the stack", "width", "examples in a minibatch"
APART = 100_000  # between the seeds of the networks of two repetitions
STEP = 1e-6  # of central differences, in float64
FAR = 1e-3  # of its weights: what rounding errors that only add up do not reach


class Params(OneModel):
    """Parameters of notebook 80; the main network, whose sizes are varied, is that of the setting."""

    setting: str = "mnist1d"
    steps: int | None = Field(None, gt=0)  # updates that a network of a figure takes; None: the setting's own
    others: tuple[str, ...] = ("cnn-2x16",)  # architectures beside the main one
    compiled: tuple[str, ...] = ()  # architectures that are compiled, which takes long
    seeds: int = Field(2, ge=1)  # repetitions
    seeds_per_shard: int = Field(2, ge=1)
    updates: int = Field(6, ge=3)  # that are timed at a time
    passes: int = Field(2, ge=1)  # turns of every contestant in a repetition, of which the median counts
    members: int = Field(8, ge=2)  # networks that are trained at once
    looped: int = Field(2, ge=1)  # networks that are trained one by one
    counts: tuple[int, ...] = (1, 8, 64, 128)  # of networks in the stack
    widths: tuple[int, ...] = (16, 64)
    batches: tuple[int, ...] = (16, 64)
    course: tuple[int, ...] = (1, 10, 50)  # updates after which the ways are compared
    directions: int = Field(3, ge=1)  # in which gradients are checked
    figure: int = Field(1000, ge=2)  # networks of a figure

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in ("counts", "widths", "batches", "course"):
            values = getattr(self, name)
            if len(values) < 2 or list(values) != sorted(set(values)) or values[0] < 1:
                raise ValueError(f"{name} = {list(values)}: give two or more rising numbers from 1 on")
        if self.looped > self.members:
            raise ValueError(f"looped = {self.looped} of {self.members} members: give no more than those")
        if strange := set(self.compiled) - set(self.networks):
            raise ValueError(f"compiled = {sorted(strange)}: give some of {', '.join(self.networks)}")
        for name in self.networks:
            ways.program(models.build(name, data.input_shape(self.main.data), classes=10))
        if not self.main.model.startswith("mlp-"):
            raise ValueError(f"model = '{self.main.model}': give an MLP, whose width can be varied")
        return self

    @property
    def main(self) -> Setting:
        """The setting of the main network, trained at a constant rate without decay or augmentation."""
        plain = Recipe(steps=2, batch_size=1, lr=0.05, schedule="constant", warmup=0.0).model_dump()
        own = self.chosen(self.setting, self.steps)
        kept = {name: getattr(own.recipe, name) for name in ("steps", "batch_size", "momentum")}
        return own.changed(**plain | kept)

    @property
    def networks(self) -> tuple[str, ...]:
        """All architectures, the main one first."""
        return (self.main.model, *self.others)

    @property
    def architectures(self) -> str:
        """The same in words."""
        return ", ".join(self.networks)

    @property
    def last(self) -> int:
        """The end of the course on which the ways are compared."""
        return self.course[-1]

    @property
    def made(self) -> str:
        """What is compiled, in words."""
        return ", ".join(self.compiled) or "nothing"


study = Study("80_engine", Params, PAPER, origin=Origin.OURS, kind=Kind.MACHINE)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every few repetitions: the contest and the comparison of each architecture, and the sizes of the main one."""
    main, few = params.main, params.few()
    turns = {"updates": params.updates, "passes": params.passes, "looped": params.looped, "members": params.members}
    sizes = {name: list(getattr(params, name)) for name in ("counts", "widths", "batches")}
    shards = []
    for name in params.networks:
        own = main.changed(model=name)
        looks = list(params.course) if name == main.model else [1]
        compare = {"course": looks, "directions": params.directions}
        timed = turns | {"compiled": name in params.compiled}
        for seeds in few:
            shards.append(Shard(contest, study.config(own, params, seeds=seeds, **timed), of=name))
            shards.append(Shard(agreement, study.config(own, params, seeds=seeds, **compare), of=name))
    return shards + [Shard(sizing, study.config(main, params, seeds=s, **turns, **sizes)) for s in few]


def _job(bench: Bench, seed: int, members: int, updates: int, model: Model | None = None, batch: int = 0) -> Job:
    """Networks of one repetition, fresh, each with minibatches of its own."""
    model, seeds = model or bench.model, [seed * APART + k for k in range(members)]
    recipe = bench.recipe.changed(steps=updates, batch_size=batch or bench.recipe.batch_size)
    return Job(model, bench.task, recipe, seeds, model.init(seeds).to(bench.task.x))


# --- shards ----------------------------------------------------------------------------------------------------------


@study.shard
def contest(bench: Bench) -> Arrays:
    """Seconds a network and update of every way and pass `[W, S, passes]`, NaN where a way is not there.

    `apart [W, S]`: how far one update ends from that of the loop; of compiling `spent [2]` and `reason [2]`.
    """
    jobs = [_job(bench, seed, bench["members"], bench["updates"]) for seed in bench.seeds]
    contestants, made = _contestants(bench, jobs[0])
    seconds = np.full((len(WAYS), len(jobs), bench["passes"]), np.nan)
    apart = np.full((len(WAYS), len(jobs)), np.nan)
    for s, job in enumerate(jobs):
        start = ways.loop(job.first(bench["looped"]).lasting(1)).weights
        for name, run in contestants.items():
            once = run(job.lasting(1)).weights[: bench["looped"]]
            apart[WAYS.index(name), s] = _apart(once, start).max()
        for turn in range(bench["passes"]):
            for name, run in contestants.items():
                seconds[WAYS.index(name), s, turn] = run(job).seconds
    return {
        "seconds": seconds,
        "apart": apart,
        "spent": np.array([one.seconds for one in made]),
        "reason": np.array([one.reason for one in made]),
    }


def _contestants(bench: Bench, job: Job) -> tuple[dict[str, Callable[[Job], Run]], list[ways.Compiled]]:
    """The ways that are there, by name, and what came of compiling one network and many."""
    update, count = ways.update_of(job.model, job.recipe), bench["looped"]
    many = ways.batched(update)
    found = {
        LOOP: lambda own: ways.loop(own.first(count)),
        VMAP: lambda own: ways.together(own, many),
        STACK: ways.stack,
    }
    if not bench["compiled"]:
        return found, [ways.Compiled(None, np.nan, "not asked for")] * 2
    ways.start_compiler(job.theta.device)
    weights = ways.tensors(job.model, job.theta)
    zeros = {name: torch.zeros_like(t) for name, t in weights.items()}
    x, y = job.task.x[: job.recipe.batch_size], job.task.y[: job.recipe.batch_size]
    one = ways.compiled(update, *({n: t[0].clone() for n, t in own.items()} for own in (weights, zeros)), x, y)
    size = len(job.seeds)
    both = ways.compiled(many, weights, zeros, *(t.expand(size, *t.shape).contiguous() for t in (x, y)))
    if one.function:
        found[COMPILED] = lambda own: ways.one_by_one(own.first(count), one.function)
    if both.function:
        found[BOTH] = lambda own: ways.together(own, both.function)
    return found, [one, both]


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Distance between networks of the same seeds, as a share of the norm of the weights `[M]`."""
    return (a - b).norm(dim=1) / b.norm(dim=1)


@study.shard
def agreement(bench: Bench) -> Arrays:
    """How far the stack ends from the loop after some updates `[F, looks, S]`, and errors of gradients `[3, S]`."""
    looks, seeds = bench["course"], [seed * APART for seed in bench.seeds]
    job = Job(bench.model, bench.task, bench.recipe, seeds, bench.model.init(seeds))
    jobs = [_in(job, bench["device"], dtype) for dtype in FORMATS.values()]
    ends = [[(ways.stack(own.lasting(k)), ways.loop(own.lasting(k))) for k in looks] for own in jobs]
    apart = [[_apart(one.weights, other.weights).tolist() for one, other in row] for row in ends]
    many = ways.batched(ways.update_of(bench.model, bench.recipe))
    runs = (ways.loop, lambda own: ways.together(own, many), ways.stack)
    smooth = _off_the_kinks(jobs[-1])
    firsts = [run(smooth.lasting(1)).weights for run in runs]
    errors = [[_gradient_error(smooth, row, w, bench["directions"]) for row in range(len(seeds))] for w in firsts]
    return {"apart": np.array(apart), "errors": np.array(errors)}


def _in(job: Job, device: str, dtype: torch.dtype) -> Job:
    """The same in another precision."""
    task = job.task.to(device, dtype)
    return replace(job, task=task, theta=job.theta.to(task.x))


def _off_the_kinks(job: Job) -> Job:
    """The same with every weight and bias moved a little.

    Where all that a unit reads is 0, it stands at the kink of the ReLU as long as its bias is 0, and has no gradient.
    """
    noise = torch.zeros_like(job.theta)
    for row, seed in zip(noise, job.seeds, strict=True):
        own = torch.randn(job.model.layout.count, generator=generator("off the kinks", seed), dtype=torch.float64)
        row[: job.model.layout.count] = 0.01 * own.to(row)
    return replace(job, theta=job.theta + noise)


def _gradient_error(job: Job, row: int, ends: Tensor, directions: int) -> float:
    """The median error of one network's gradient along random directions, as a share of its typical size along one.

    The gradient is read off where the first update `ends [M, W]`; against it stand central differences of the loss. The
    median, since between the two points of a difference a unit may be switched on or off.
    """
    net, weights, seed = ways.program(job.model).to(job.theta), ways.tensors(job.model, job.theta), job.seeds[row]
    own, batch = {name: t[row] for name, t in weights.items()}, job.batches([seed]).at(0)
    start = ways.flat(weights)[row]
    gradient = (start - ends[row]) / job.recipe.lr
    typical, errors = gradient.norm() / len(gradient) ** 0.5, []

    def loss(along: Tensor) -> Tensor:
        parts = along.split([t.numel() for t in own.values()])
        moved = {name: part.view_as(t) for (name, t), part in zip(own.items(), parts, strict=True)}
        return cross_entropy(functional_call(net, moved, (batch.x[0],)), batch.target[0])

    for draw in range(directions):
        way = torch.randn(len(start), generator=generator("direction", seed, draw), dtype=torch.float64).to(start)
        way /= way.norm()
        slope = (loss(start + STEP * way) - loss(start - STEP * way)) / (2 * STEP)
        errors.append(((slope - gradient @ way).abs() / typical).item())
    return float(np.median(errors))


@study.shard
def sizing(bench: Bench) -> Arrays:
    """Seconds a network and update of loop, stack and products `[cells, 3, S, passes]`; `axis`, `value [cells]`."""
    cells = _cells(bench)
    seconds = np.zeros((len(cells), len(SWEPT), len(bench.seeds), bench["passes"]))
    for s, seed in enumerate(bench.seeds):
        jobs = []
        for _, _, members, width, batch in cells:
            # Few updates of large stacks last as long as many of small ones.
            updates = max(3, min(bench["updates"], bench["updates"] * BLOCK // members))
            jobs.append(_job(bench, seed, members, updates, replace(bench.model, width=width), batch))
        for turn in range(bench["passes"]):
            for c, job in enumerate(jobs):
                seconds[c, :, s, turn] = [
                    ways.loop(job.first(bench["looped"]).lasting(bench["updates"])).seconds,
                    ways.stack(job).seconds,
                    _limit(job),
                ]
    return {"axis": np.array([c[0] for c in cells]), "value": np.array([c[1] for c in cells]), "seconds": seconds}


def _limit(job: Job) -> float:
    """Seconds of the products alone, batched as in the stack."""
    at_once = min(len(job.seeds), BLOCK)
    repeats = max(1, (job.recipe.steps - 1) * len(job.seeds) // at_once)
    return ways.products(job.model, at_once, job.recipe.batch_size, repeats, job.theta.device)


def _cells(bench: Bench) -> list[tuple[str, int, int, int, int]]:
    """What is varied, its value, and the members, the width and the examples of a minibatch that go with it."""
    if not isinstance(bench.model, MLP):
        raise ValueError(f"the widths of {bench.model} cannot be varied")
    members, width, batch = bench["members"], bench.model.width, bench.recipe.batch_size
    return [
        *((MEMBERS, own, own, width, batch) for own in bench["counts"]),
        *((WIDTH, own, members, own, batch) for own in bench["widths"]),
        *((EXAMPLES, own, members, width, own) for own in bench["batches"]),
    ]


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `contest` (network, way, seed), `compilations`, `agreement`, `gradients`, `sizes`; median seconds.

    `shard` counts the processes' pieces of work: those of one piece share what was compiled.
    """
    found: dict[str, list[pd.DataFrame]] = {}
    for number, shard in enumerate(shards):
        seeds = shard.config["seeds"]
        for name, table in _READ[shard.compute.__name__](shard, seeds).items():
            found.setdefault(name, []).append(table.assign(network=shard.of or params.main.model, shard=number))
    tables = {name: pd.concat(some, ignore_index=True) for name, some in found.items()}
    plain = tables["contest"].pivot_table("seconds", ["network", "shard"], "way", aggfunc="median")
    made = tables["compilations"].set_index(["network", "shard"])
    made = made.assign(loop=plain[LOOP]).reset_index()
    made["update"] = [plain.get(w, {}).get((n, s), np.nan) for n, s, w in made[["network", "shard", "way"]].to_numpy()]
    return tables | {"compilations": made}


def _contest(shard: Shard, seeds: list[int]) -> dict[str, pd.DataFrame]:
    own = grid(np.median(shard["seconds"], axis=2), {"way": WAYS, "seed": seeds}, "seconds")
    made = pd.DataFrame({"way": MADE, "seconds": shard["spent"], "reason": shard["reason"]})
    return {"contest": own.assign(apart=shard["apart"].ravel()), "compilations": made}


def _agreement(shard: Shard, seeds: list[int]) -> dict[str, pd.DataFrame]:
    looks = shard.config["course"]
    apart = grid(shard["apart"], {"format": list(FORMATS), "updates": looks, "seed": seeds}, "apart")
    return {"agreement": apart, "gradients": grid(shard["errors"], {"way": UNCOMPILED, "seed": seeds}, "error")}


def _sizes(shard: Shard, seeds: list[int]) -> dict[str, pd.DataFrame]:
    cells = list(zip(shard["axis"].tolist(), shard["value"].tolist(), strict=True))
    own = grid(np.median(shard["seconds"], axis=3), {"cell": cells, "way": SWEPT, "seed": seeds}, "seconds")
    return {"sizes": own.assign(axis=[a for a, _ in own.cell], value=[v for _, v in own.cell]).drop(columns="cell")}


_READ = {"contest": _contest, "agreement": _agreement, "sizing": _sizes}


# --- claims ----------------------------------------------------------------------------------------------------------


@study.unless
def lost_times(t: Tables) -> str:
    """Claims are void where an uncompiled way has no time, or has lost its weights."""
    some = t["contest"][t["contest"].way.isin(UNCOMPILED)]
    if not (np.isfinite(some[["seconds", "apart"]]).all(axis=None) and (some.seconds > 0).all()):
        return "a way has no time, or lost its weights"
    if not (np.isfinite(t["sizes"].seconds).all() and (t["sizes"].seconds > 0).all()):
        return "a size has no time"
    return "" if np.isfinite(t["agreement"].apart).all() else "weights were lost on the way"


def no_compiler(t: Tables) -> str:
    """Claims on compiled programs are void where the parameters ask for none, where the compiler of this machine fails
    on one, with the reason that it gives, or where the other ways have no times."""
    asked = _asked(t)
    if asked.empty:
        return "nothing is compiled at these parameters"
    failed = asked[asked.seconds.isna()]
    if len(failed):
        return f"not compiled here: {failed.reason.iloc[0]}"
    return lost_times(t)


def _asked(t: Tables) -> pd.DataFrame:
    made = t["compilations"]
    return made[made.network.isin(t.params.compiled)]


def _times(t: Tables, network: str) -> pd.DataFrame:
    """Seconds a network and update, a row a repetition, a column a way."""
    return t["contest"][t["contest"].network == network].pivot_table("seconds", "seed", "way", dropna=False)


def _slowest(t: Tables, way: str, other: str, networks: tuple[str, ...]) -> Interval:
    """The largest ratio of the seconds of two ways, over architectures."""
    if not networks:
        return intervals.nothing(intervals.POSITIVE)
    each = (_times(t, network) for network in networks)
    return intervals.largest_ratio(np.stack([(own[way] / own[other]).to_numpy() for own in each], axis=1))


MAIN = "{params.main.data}, {params.main.model}"
PER = "ratio of the seconds a network and update"


# A factor of two is what makes another way to write programs worth its while.
@study.claim("EN01", by=f"{PER}, stack to plain loop, largest over architectures", region=below(0.5), figure="a")
def stacks_are_faster(t: Tables) -> Interval:
    """In a stack an update of a network takes less than half as long as in a plain loop, in all architectures tried."""
    return _slowest(t, STACK, LOOP, t.params.networks)


@study.claim("EN01b", by=f"{PER}, vmap to plain loop, largest over architectures", region=below(1.0), figure="a")
def vmap_is_faster(t: Tables) -> Interval:
    """Batched by vmap alone, the plain program takes less time a network than in a loop, in all architectures tried."""
    return _slowest(t, VMAP, LOOP, t.params.networks)


@study.claim(
    "EN01c", by=f"{PER}, compiled to plain loop, largest over what was compiled", region=below(1.0), figure="a",
    unless=no_compiler, scope="{params.main.data}, {params.made}",
)  # fmt: skip
def compiled_is_faster(t: Tables) -> Interval:
    """A compiled update of one network takes less time than one of the plain loop, in all architectures tried."""
    return _slowest(t, COMPILED, LOOP, t.params.compiled)


# Theano's question: does what a compiler makes of a plain program hold its own against what was written for speed?
@study.claim(
    "EN01d", by=f"{PER}, compiled vmap to stack, largest over what was compiled", region=below(1.0), figure="a",
    unless=no_compiler, scope="{params.main.data}, {params.made}",
)  # fmt: skip
def compiled_beats_the_stack(t: Tables) -> Interval:
    """Batched and compiled, the plain program takes less time a network than our stack, in all architectures tried."""
    return _slowest(t, BOTH, STACK, t.params.compiled)


@study.claim(
    "EN02", by="largest distance from the loop's weights after one update in float32, over their norm",
    region=below(1e-6), kind=Kind.CHECK, figure="b",
)  # fmt: skip
def ways_agree(t: Tables) -> Interval:
    """After one update all ways, compiled ones included, give the same weights to a millionth."""
    return intervals.exact(float(t["contest"].apart.max()), t["contest"].seed.nunique())


# Of the networks the median too: one whose unit stands closer to its kink than a difference reaches has no gradient to
# check, along any direction; of eighteen there was one.
@study.claim(
    "EN02b", by="error along random directions, over the gradient's typical size along one: median over directions and "
    "networks, worst of ways and architectures", region=below(1e-6), kind=Kind.CHECK,
)  # fmt: skip
def gradients_are_right(t: Tables) -> Interval:
    """Gradients of loop, vmap and stack are those of central differences of the loss, to a millionth."""
    worst = t["gradients"].groupby(["network", "way"]).error.median().max()
    return intervals.exact(float(worst), t["gradients"].seed.nunique())


# Most is more than half; nearly all, nineteen of twenty, are to be noticed.
@study.claim(
    "EN02c", by="share of networks whose stack and loop are over a thousandth of the weights apart after {params.last} "
    "updates in float32", region=above(0.5), margin=0.45, figure="b", scope=MAIN,
)  # fmt: skip
def ways_part(t: Tables) -> Interval:
    """Rounding alone takes most networks of a stack far from the same networks of a loop by the end of a training."""
    apart = t["agreement"].query("format == 'float32'")
    last = apart[(apart.updates == t.params.last) & (apart.network == t.params.main.model)]
    return intervals.share(last.apart > FAR)


def _swept(t: Tables, axis: str) -> dict[str, pd.DataFrame]:
    """Seconds a network and update by contestant: a row a repetition, a column a value."""
    own = t["sizes"][t["sizes"].axis == axis]
    return {way: some.pivot_table("seconds", "seed", "value") for way, some in own.groupby("way")}


# Below two, more than half of the time goes into products that no way can do without.
@study.claim("EN03", by=f"{PER}, stack to products alone, largest stack", region=below(2.0), figure="c", scope=MAIN)
def near_the_products(t: Tables) -> Interval:
    """A large stack takes less than twice as long as its batched matrix products alone."""
    swept, largest = _swept(t, MEMBERS), t.params.counts[-1]
    return intervals.ratio(swept[STACK][largest], swept[PRODUCTS][largest])


@study.claim("EN03b", by=f"{PER}, largest stack to stack of {BLOCK}", region=between(0.8, 1.25), figure="c", scope=MAIN)
def many_cost_alike(t: Tables) -> Interval:
    """Beyond a stack of 64, which goes through at once, a network costs the same however many there are."""
    cost = _swept(t, MEMBERS)[STACK]
    if BLOCK not in cost or t.params.counts[-1] <= BLOCK:
        return intervals.nothing(intervals.POSITIVE)
    return intervals.ratio(cost[t.params.counts[-1]], cost[BLOCK])


def _gain_slope(t: Tables, axis: str) -> Interval:
    """Doublings of the gain, loop over stack, for every doubling of a size."""
    swept = _swept(t, axis)
    gain = np.log2(swept[LOOP] / swept[STACK])
    return intervals.mean(intervals.slopes(np.log2(gain.columns.to_numpy(dtype=float)), gain.to_numpy()))


SLOPE = {"region": below(0.0), "margin": 0.1, "figure": "c", "scope": MAIN}


@study.claim("EN03c", by="slope of log2 of the gain, loop over stack, on log2 of the width", **SLOPE)
def width_costs_the_gain(t: Tables) -> Interval:
    """The wider the networks, the less a stack gains over a loop."""
    return _gain_slope(t, WIDTH)


@study.claim("EN03d", by="slope of log2 of the gain, loop over stack, on log2 of the examples", **SLOPE)
def examples_cost_the_gain(t: Tables) -> Interval:
    """The more examples a minibatch has, the less a stack gains over a loop."""
    return _gain_slope(t, EXAMPLES)


def totals(t: Tables, network: str, count: int) -> pd.DataFrame:
    """Seconds that `count` networks take with all their updates, compiling included: a row a repetition and way."""
    own = t["contest"][t["contest"].network == network].copy()
    made = t["compilations"].set_index(["network", "shard", "way"]).seconds
    spent = [made.get((network, shard, way), 0.0) for shard, way in own[["shard", "way"]].to_numpy()]
    own["total"] = count * t.params.main.recipe.steps * own.seconds + spent
    return own


@study.claim(
    "EN04", by="ratio of the seconds of {figure} networks, stack to compiled loop with compiling", region=below(1.0),
    figure="d", unless=no_compiler, scope=MAIN,
)  # fmt: skip
def batching_beats_compiling(t: Tables) -> Interval:
    """A figure of {figure} networks takes less time in a stack than in a compiled loop."""
    total = totals(t, t.params.main.model, t.params.figure).pivot_table("total", "seed", "way", dropna=False)
    return intervals.ratio(total[STACK], total[COMPILED])


def _of_loops(t: Tables) -> pd.DataFrame:
    """Every compilation of one update of one network, with what its shard's loops took."""
    return _asked(t)[_asked(t).way == COMPILED]


# A compiler is asked for seconds, a training of small networks for one or two: a factor of three is to be noticed.
@study.claim(
    "EN04b", by="ratio of the seconds, compiling to training one network in a plain loop", region=above(1.0),
    margin=3.0, figure="d", unless=no_compiler, scope="{params.main.data}, {params.made}",
)  # fmt: skip
def one_is_not_worth_it(t: Tables) -> Interval:
    """Compiling an update takes longer than training one network to its end without."""
    made = _of_loops(t)
    return intervals.ratio(made.seconds, t.params.main.recipe.steps * made.loop)


# A hundred networks are few for a figure of this companion: seeds by sizes by times of a kick.
@study.claim(
    "EN04c", by="networks from which compiling pays in a loop", region=below(100.0), figure="d",
    unless=no_compiler, scope="{params.main.data}, {params.made}",
)  # fmt: skip
def hundred_are_worth_it(t: Tables) -> Interval:
    """In a loop over a hundred networks, compiling has paid."""
    made = _of_loops(t)
    saved = (made.loop - made["update"]).clip(lower=0)
    with np.errstate(divide="ignore"):
        return intervals.geometric_mean(made.seconds / (t.params.main.recipe.steps * saved))
