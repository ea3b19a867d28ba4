"""Notebook 08: the machine as a kick, and noise that was meant to be matched.

The same networks are trained again on what should be the same computation: another process, thread count, instruction
set, order of members or examples, number format. How far they have moved apart soon after the start is read off a ruler
of Gaussian kicks at the start, and so every difference gets a size. All networks of the ruler train in float64.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly.augment import Augment
from butterfly.evaluate import predictions
from butterfly.interpolate import barriers
from butterfly.papers.altintas2025 import PAPER
from butterfly.papers.altintas2025.twins import BARRIER
from butterfly.perturb import Kick
from butterfly.strict import ParameterError
from butterfly.study import Arrays, Bench, Config, Interval, OneModel, Origin, Setting, Shard, Study, Tables
from butterfly.study import intervals, runs
from butterfly.study.claims import Kind, above, below, between, exactly
from butterfly.study.parameters import plain, rising_sizes
from butterfly.train import Fork, Observer, Snapshot, train

REPEAT = "another process"

# What is asked of the machine in a process of its own: environment variables, and `threads` or switches of torch.
PROCESSES: dict[str, dict[str, str]] = {
    REPEAT: {},
    "two threads": {"threads": "2", "OMP_WAIT_POLICY": "PASSIVE"},  # threads that wait must not keep a core busy
    "SIMD: AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SIMD: none": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
    "TF32": {"tf32": "1"},
    "nondeterministic kernels": {"nondeterministic": "1"},
}
GPU = ("TF32", "nondeterministic kernels")
STACKS = ("order of the members", "one member at a time", "other members in the stack")
FORMATS = {"float64": torch.float64, "bfloat16": torch.bfloat16}
WITHIN = "order within minibatches"
VARIANTS = (*PROCESSES, *STACKS, *FORMATS, WITHIN)
ORDER, DROPOUT, AUGMENT = "another order", "unmatched dropout", "unmatched augmentation"
CONFOUNDS = {WITHIN: "within", ORDER: "order", DROPOUT: "dropout", AUGMENT: "augment"}


class Params(OneModel):
    """Parameters of notebook 08; times are in percent of the training steps."""

    setting: str = "mnist1d"
    images: str = "digits"  # what augmentation is tried on
    steps: int | None = Field(100, gt=0)  # None: the settings' own
    seeds: int = Field(2, ge=1)
    seeds_per_shard: int = Field(2, ge=1)
    variants: tuple[str, ...] = (REPEAT, "order of the members", "float64", WITHIN)
    early: float = Field(2.0, gt=0, lt=100)  # when the distance is read
    sizes: tuple[float, ...] = (1e-8, 1e-5, 1e-2)  # of the ruler
    dropout: float = Field(0.1, gt=0, lt=1)
    rotate: float = Field(10.0, gt=0)  # degrees
    size: float = Field(1e-3, gt=0)  # of the kicks around an update that does nothing
    points: int = Field(5, ge=3)  # networks on each straight line, ends included

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        rising_sizes("sizes", self.sizes)
        if len(self.sizes) < 2:
            raise ValueError(f"sizes = {list(self.sizes)}: give two or more, to read distances between them")
        if not set(self.variants) <= set(VARIANTS) or len(set(self.variants)) < len(self.variants):
            raise ValueError(f"variants = {list(self.variants)}: give some of {', '.join(VARIANTS)}, each once")
        if self.device == "cpu" and set(self.variants) & set(GPU):
            raise ValueError(f"the variants {', '.join(GPU)} need device = 'cuda'")
        self.chosen(self.setting)
        plain(self.images)
        return self

    @property
    def masked(self) -> Setting:
        """The setting with dropout."""
        return self.chosen(self.setting, self.steps, dropout=self.dropout)

    @property
    def turned(self) -> Setting:
        """The setting with augmentation: images, each rotated a little whenever it is seen."""
        return plain(self.images, self.steps, augment=Augment(rotate=self.rotate))


study = Study("08_machine", Params, PAPER, origin=Origin.OURS, kind=Kind.MACHINE)


@study.plan
def plan(params: Params) -> list[Shard]:
    """For every few seeds: the machine, matched and unmatched dropout, the same for augmentation, a first rate of 0."""
    main, few = params.chosen(params.setting, params.steps), params.few()
    if main.step_at(params.early) < 2:
        raise ParameterError(f"early = {params.early} % of {main.recipe.steps} updates is too early; give 2 or more")
    still = params.chosen(params.setting, params.steps, first_lr_zero=True)
    worlds = [
        ("machine", against_ruler, main, {"sizes": list(params.sizes), "variants": [*params.variants, ORDER]}),
        ("dropout", against_ruler, params.masked, {"sizes": list(params.sizes), "variants": [DROPOUT]}),
        ("augmentation", against_ruler, params.turned, {"sizes": list(params.sizes), "variants": [AUGMENT]}),
        ("first rate", around_the_first_update, still, {"size": params.size}),
    ]
    common = {"early": params.early, "points": params.points}
    return [
        Shard(compute, study.config(setting, params, seeds=seeds, **common, **own), of=world)
        for world, compute, setting, own in worlds
        for seeds in few
    ]


# --- shards ----------------------------------------------------------------------------------------------------------

Run = dict[int, Tensor]  # networks [S, P], float64, by the number of updates after which they were copied


@study.shard
def against_ruler(bench: Bench) -> Arrays:
    """Distances soon after the start and at the end, barriers and disagreement; arrays over pairs `[K]`.

    The pairs of the ruler come first, then those of every variant.
    """
    sizes = (0.0, *bench["sizes"])
    ruler = [Fork(seed, 0, Kick(size=size)) for size in sizes for seed in bench.seeds]
    rows = _against_parents(bench, ruler, ["ruler"] * len(sizes), torch.float64)
    base = _trained(bench)
    for variant in bench["variants"]:
        if variant in CONFOUNDS:
            rows += _against_parents(bench, [Fork(s, 0, Kick(), CONFOUNDS[variant]) for s in bench.seeds], [variant])
        else:
            rows.append(_compare(bench, variant, 0.0, base, _again(bench, variant)))
    return _columns(bench, rows)


@study.shard
def around_the_first_update(bench: Bench) -> Arrays:
    """The same columns for kicks before and after the first update; `moved` is how far it moves each network."""
    forks = [Fork(seed, step, Kick(size=bench["size"])) for step in (0, 1) for seed in bench.seeds]
    return _columns(bench, _against_parents(bench, forks, ["kick before update 1", "kick before update 2"]))


def _columns(bench: Bench, rows: list[dict[str, Any]]) -> Arrays:
    """Rows that each hold all seeds, as columns."""
    seeds = bench.seeds
    columns = {name: np.concatenate([np.broadcast_to(row[name], len(seeds)) for row in rows]) for name in rows[0]}
    return {"seed": np.tile(seeds, len(rows)), **columns}


def _against_parents(
    bench: Bench, forks: Sequence[Fork], names: Sequence[str], dtype: torch.dtype = torch.float32
) -> list[dict[str, Any]]:
    """Twins of one stack against their parents; each name stands for one fork of every seed, in the order of seeds."""
    run, count, rows = _trained(bench, forks, dtype), len(bench.seeds), []
    parents = {step: theta[:count] for step, theta in run.items()}
    for place, name in enumerate(names, start=1):
        twins = {step: theta[place * count : (place + 1) * count] for step, theta in run.items()}
        rows.append(_compare(bench, name, forks[(place - 1) * count].kick.size, parents, twins))
    return rows


def _compare(bench: Bench, name: str, size: float, one: Run, other: Run) -> dict[str, Any]:
    """What sets two runs of the same seeds apart."""
    model, task, early, last = bench.model, bench.task, bench.setting.step_at(bench["early"]), bench.recipe.steps
    a, b = (run[last].to(task.x) for run in (one, other))
    line = barriers(model, a, b, task.sample.x, task.sample.y, bench["points"])
    answers = [predictions(model, theta, task.x_test) for theta in (a, b)]
    return {
        "variant": name,
        "size": size,
        "early": (other[early] - one[early]).norm(dim=1).numpy(),
        "late": (other[last] - one[last]).norm(dim=1).numpy(),
        "barrier": line.of_loss.numpy(),
        "disagreement": (answers[0] != answers[1]).double().mean(1).cpu().numpy(),
        "loss": line.loss[:, -1].numpy(),
        "moved": (one[1] - one[0]).norm(dim=1).numpy(),
    }


def _trained(
    bench: Bench, forks: Sequence[Fork] = (), dtype: torch.dtype = torch.float32, seeds: Sequence[int] = (), **how: Any
) -> Run:
    """The parents, then their twins, after 0, 1, `early` and all updates, in float64 on the CPU."""

    def kept(now: Snapshot) -> Tensor:
        return now.theta.to("cpu", torch.float64, copy=True)

    looks = frozenset({0, 1, bench.setting.step_at(bench["early"]), bench.recipe.steps})
    task = bench.task.to(bench["device"], dtype)
    copy = Observer("copy", kept, looks)
    return dict(train(bench.model, task, bench.recipe, seeds or bench.seeds, forks, [copy], **how).recorded("copy"))


def _again(bench: Bench, variant: str) -> Run:
    """The parents, trained again in another way."""
    seeds = bench.seeds
    if variant in PROCESSES:
        return _in_a_process(bench.config, PROCESSES[variant], bench.model.init(seeds))
    if variant in FORMATS:
        return _trained(bench, dtype=FORMATS[variant])
    if variant == "one member at a time":
        return _trained(bench, block=1)
    if variant == "order of the members":
        return {step: theta.flip(0) for step, theta in _trained(bench, seeds=seeds[::-1]).items()}
    crowd = [Fork(seed, 0, Kick(size=0.01, draw=draw)) for seed in seeds for draw in range(3)]
    return {step: theta[: len(seeds)] for step, theta in _trained(bench, crowd).items()}


def _in_a_process(config: Config, asked: dict[str, str], init: Tensor) -> Run:
    """The parents, trained by a fresh process with these environment variables and switches.

    They start from the weights `init [S, P]` drawn here: another instruction set would draw others, in their last bits.
    """
    variables = {name: value for name, value in asked.items() if name.isupper()}
    with tempfile.TemporaryDirectory() as folder:
        order = Path(folder) / "order.json"
        order.write_text(json.dumps({"config": config, "asked": asked}))
        np.save(order.with_suffix(".npy"), init.numpy())
        code = f"from {child.__module__} import {child.__name__} as child; child({str(order)!r})"
        command, variables = [sys.executable, "-c", code], os.environ | variables
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"training in a process with {asked} failed:\n{done.stderr[-2000:]}")
        with np.load(order.with_suffix(".npz")) as found:
            return {int(step): torch.from_numpy(found[step]) for step in found.files}


def child(order: str) -> None:
    """What the fresh process does: train the parents as the order says, and write them beside it."""
    content = json.loads(Path(order).read_text())
    asked = content["asked"]
    runs.prepare()
    torch.set_num_threads(int(asked.get("threads", 1)))
    if "tf32" in asked:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if "nondeterministic" in asked:
        torch.use_deterministic_algorithms(False)
    init = torch.from_numpy(np.load(Path(order).with_suffix(".npy")))
    found = _trained(Bench(content["config"]), init=init)
    np.savez(Path(order).with_suffix(".npz"), **{str(step): theta.numpy() for step, theta in found.items()})


# --- tables ----------------------------------------------------------------------------------------------------------


@study.tables
def tabulate(params: Params, shards: list[Shard]) -> dict[str, pd.DataFrame]:
    """Tidy tables: `pairs` (world, variant, seed: what sets them apart, and the size of kick that does the same)."""
    elsewhere = {"augmentation": params.images}
    tables = [
        pd.DataFrame(shard.found).assign(world=shard.of, setting=elsewhere.get(shard.of, params.setting))
        for shard in shards
    ]
    return {"pairs": worth(pd.concat(tables, ignore_index=True))}


def worth(pairs: pd.DataFrame) -> pd.DataFrame:
    """Every pair with the size of the Gaussian kick at the start that takes its seed as far: `worth`, and `bits`.

    Read off between the kicks of the ruler on logarithmic scales, and beyond them along its first step: distances of
    very small kicks are in proportion to them. Larger than the largest is given as the largest. No distance: 0.
    """
    found = pairs.assign(worth=np.nan)
    for _, own in pairs.groupby(["world", "seed"]):
        ruler = own[(own.variant == "ruler") & (own["size"] > 0)].sort_values("size")
        if ruler.empty:
            continue
        sizes, distances = np.log(ruler["size"].to_numpy()), np.log(np.maximum.accumulate(ruler.early.to_numpy()))
        at = np.log(own.early.clip(lower=1e-300))
        smaller = np.exp(at - distances[0] + sizes[0])
        value = np.where(at < distances[0], smaller, np.exp(np.interp(at, distances, sizes)))
        found.loc[own.index, "worth"] = np.where(own.early == 0, 0.0, value)
    with np.errstate(divide="ignore"):
        return found.assign(bits=-np.log2(found.worth))


# --- claims ----------------------------------------------------------------------------------------------------------

ROUNDING = ("two threads", "SIMD: AVX2", "SIMD: none", *STACKS, "float64", WITHIN)  # in or against float32
APART = "largest distance, early or at the end"
SAME = "share of seeds with the same bits early and at the end"
ELSEWHERE = f"share of seeds with a barrier above {BARRIER:g}"
SIZE = "size of the Gaussian kick worth as much"


@study.unless
def lost_ruler(t: Tables) -> str:
    """Claims are void where a kick of a ruler has no finite distance, or none at all."""
    ruler = t["pairs"][(t["pairs"].variant == "ruler") & (t["pairs"]["size"] > 0)]
    sound = np.isfinite(ruler[["early", "late"]]).all(axis=None) and (ruler.early > 0).all()
    return "" if sound else "kicks of the ruler were lost"


def _of(t: Tables, variant: str) -> pd.DataFrame:
    return t["pairs"][t["pairs"].variant == variant].set_index("seed")


def _largest(pairs: pd.DataFrame) -> Interval:
    """The largest distance ever between any two that should be the same."""
    return intervals.exact(float(pairs[["early", "late"]].to_numpy().max()), pairs.seed.nunique())


def _identical(t: Tables, *variants: str) -> Interval:
    """The share of seeds that end with the same bits in all these variants; nothing where one was left out or lost."""
    same = t["pairs"][t["pairs"].variant.isin(variants)]
    if same.variant.nunique() < len(variants):
        return intervals.nothing(intervals.SHARE)
    farthest = same[["early", "late"]].max(axis=1, skipna=False).groupby(same.seed).agg(lambda d: d.max(skipna=False))
    return intervals.share(farthest == 0) if np.isfinite(farthest).all() else _lost(len(farthest))


def _elsewhere(t: Tables, variant: str) -> Interval:
    """The share of seeds that end in another valley; nothing where a barrier was lost."""
    barrier = _of(t, variant).barrier
    return intervals.share(barrier > BARRIER) if np.isfinite(barrier).all() else _lost(len(barrier))


def _lost(seeds: int) -> Interval:
    return Interval(np.nan, np.nan, np.nan, seeds, "share", intervals.SHARE)


def _worth(t: Tables, variant: str) -> Interval:
    """Mean size of kick; what is worth the largest of the ruler or more has no upper bound."""
    found = _of(t, variant).worth
    return intervals.between_bounds(found, found.where(~(found >= t.params.sizes[-1]), np.inf))


@study.claim(
    "X28",
    by=f"{APART}; control twins of all stacks included",
    region=exactly(0.0),
    kind=Kind.CHECK,
    figure="a",
)
def same_bits(t: Tables) -> Interval:
    """The same program, run again in another process, gives the same bits."""
    pairs, again = t["pairs"], t["pairs"].variant == REPEAT
    controls = (pairs.variant == "ruler") & (pairs["size"] == 0)
    return _largest(pairs[again | controls]) if again.any() else intervals.nothing()


# A machine is said to do something if it does so for more than half of the seeds; nine of ten are to be noticed.
MOST = {"region": above(0.5), "margin": 0.4}


@study.claim("X29", by=SAME, figure="a", **MOST)
def threads_do_not_matter(t: Tables) -> Interval:
    """On this processor, a second thread changes nothing."""
    return _identical(t, "two threads")


@study.claim("X30", by=f"{SAME}: order, one at a time, other members", figure="a", **MOST)
def stacks_do_not_matter(t: Tables) -> Interval:
    """On this processor, in which stack a network trains, and where in it, changes nothing."""
    return _identical(t, *STACKS)


@study.claim("X31", by=f"{ELSEWHERE}, no vector instructions against all", figure="b", **MOST)
def instructions_matter(t: Tables) -> Interval:
    """On this processor, another instruction set ends in another valley."""
    return _elsewhere(t, "SIMD: none")


@study.claim("X32", by=ELSEWHERE, figure="b", **MOST)
def order_within_matters(t: Tables) -> Interval:
    """On this processor, another order of the examples within each minibatch ends in another valley."""
    return _elsewhere(t, WITHIN)


@study.claim("X33", by=ELSEWHERE, figure="b", **MOST)
def precision_matters(t: Tables) -> Interval:
    """On this processor, float64 in the place of float32 ends in another valley."""
    return _elsewhere(t, "float64")


@study.claim("X34", by=f"{SIZE}, the largest of these variants", region=below(1e-6), figure="a")
def rounding_is_small(t: Tables) -> Interval:
    """On this processor, threads, instructions, order and float64 are worth less than a kick of a millionth of the
    weights."""
    rounding = t["pairs"][t["pairs"].variant.isin(ROUNDING)]
    largest = rounding.groupby("seed").worth.agg(lambda sizes: sizes.max(skipna=False))
    return intervals.geometric_mean(largest[largest != 0])


@study.claim("X35", by=SIZE, region=above(1e-6), figure="a")
def short_numbers_are_larger(t: Tables) -> Interval:
    """On this processor, bfloat16 is worth more than a kick of a millionth of the weights."""
    return _worth(t, "bfloat16")


UNMATCHED = {"by": SIZE, "region": above(1e-3), "kind": Kind.FINDING, "figure": "a"}


@study.claim("X36", scope="{params.masked.data}, {params.masked.model}, dropout of {dropout:g}", **UNMATCHED)
def dropout_is_large(t: Tables) -> Interval:
    """With dropout, unmatched masks are worth more than a kick of a thousandth of the weights."""
    return _worth(t, DROPOUT)


@study.claim(
    "X37", scope="{params.turned.data}, {params.turned.model}, turned by up to {rotate:g} degrees", **UNMATCHED
)
def augmentation_is_large(t: Tables) -> Interval:
    """On augmented images, unmatched augmentation is worth more than a kick of a thousandth of the weights."""
    return _worth(t, AUGMENT)


@study.claim("X38", by="largest distance that it moves a network", region=exactly(0.0), kind=Kind.CHECK)
def first_update_is_idle(t: Tables) -> Interval:
    """With a first learning rate of 0 the first update does nothing."""
    first = t["pairs"][t["pairs"].world == "first rate"]
    return intervals.exact(float(first.moved.max(skipna=False)), first.seed.nunique())


@study.claim(
    "X39",
    by="ratio of the distances at {early:g} %, kick after the first update to kick before it",
    region=between(0.8, 1.25),
    kind=Kind.CHECK,  # it follows from X38, but for what momentum keeps
)
def after_is_before(t: Tables) -> Interval:
    """With a first learning rate of 0, a kick after the first update is a kick at the start: it grows as far."""
    before, after = (_of(t, f"kick before update {update}").early for update in (1, 2))
    return intervals.geometric_mean(after / before)
