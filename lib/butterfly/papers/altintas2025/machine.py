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
from typing import Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import claims, data, models, runs
from butterfly.augment import Augment
from butterfly.claims import Claim, Region
from butterfly.data import Data
from butterfly.evaluate import predictions
from butterfly.experiments.common import Common, check_device, compute
from butterfly.experiments.twins import BARRIER, chosen, groups, parent_rows, rising_sizes, step_at
from butterfly.interpolate import barriers
from butterfly.models import Model
from butterfly.perturb import Kick
from butterfly.runs import Arrays, Config
from butterfly.settings import Setting
from butterfly.strict import ParameterError
from butterfly.train import Fork, Observer, Recipe, Snapshot, train

NOTEBOOK = "08_machine"
OURS = "this companion"
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


class Params(Common):
    """Parameters of notebook 08; times are in percent of the training steps."""

    setting: str = "mnist1d"
    images: str = "digits"  # what augmentation is tried on
    steps: int | None = Field(200, gt=0)  # None: the settings' own
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
        for name in (self.setting, self.images):
            chosen(name, None)
        return self


# --- shards ----------------------------------------------------------------------------------------------------------


def shards(params: Params) -> list[Config]:
    """For every few seeds: the machine, matched and unmatched dropout, the same for augmentation, a first rate of 0."""
    check_device(params.device)
    plain = chosen(params.setting, params.steps)
    if step_at(plain, params.early) < 2:
        raise ParameterError(f"early = {params.early} % of {plain.recipe.steps} updates is too early; give 2 or more")
    worlds = {
        "machine": (plain, [*params.variants, ORDER]),
        "dropout": (chosen(params.setting, params.steps, dropout=params.dropout), [DROPOUT]),
        "augmentation": (chosen(params.images, params.steps, augment=Augment(rotate=params.rotate)), [AUGMENT]),
        "first rate": (chosen(params.setting, params.steps, first_lr_zero=True), []),
    }
    grid = params.model_dump(mode="json", include={"early", "sizes", "size", "points", "device"})
    return [
        {
            "world": world,
            "setting": setting.model_dump(mode="json"),
            "source": data.provenance(setting.data),
            "variants": variants,
            "seeds": some,
            **grid,
        }
        for world, (setting, variants) in worlds.items()
        for some in groups(params.seeds, params.seeds_per_shard)
    ]


def compute_shard(config: Config) -> Arrays:
    """Distances soon after the start and at the end, barriers and disagreement; arrays over pairs `[K]`.

    The pairs of the ruler come first, then those of every variant, then kicks around the first update; `moved [S]` is
    how far the first update moves each network.
    """
    setting, seeds = Setting.read(config["setting"], "setting"), config["seeds"]
    task = data.load(setting.data)
    model = models.build(setting.model, task.input_shape, task.classes)
    bench = _Bench(model, task, config)
    if config["world"] == "first rate":
        forks = [Fork(seed, step, Kick(size=config["size"])) for step in (0, 1) for seed in seeds]
        return bench.table([bench.forked(forks, f"kick before update {step + 1}", step) for step in (0, 1)])
    exact = [Fork(seed, 0, Kick(size=size)) for size in (0.0, *config["sizes"]) for seed in seeds]
    rows = [bench.forked(exact, "ruler", place, torch.float64) for place in range(len(config["sizes"]) + 1)]
    base = bench.plain()
    for variant in config["variants"]:
        if variant in CONFOUNDS:
            forks = [Fork(seed, 0, Kick(), CONFOUNDS[variant]) for seed in seeds]
            rows.append(bench.forked(forks, variant, 0))
        else:
            rows.append(bench.compare(variant, 0.0, base, bench.again(variant)))
    return bench.table(rows)


Run = dict[int, Tensor]  # networks [S, P], float64, by the number of updates after which they were copied


class _Bench:
    """Trains the same networks in many ways, and compares them."""

    def __init__(self, model: Model, task: Data, config: Config):
        self.model, self.task, self.config = model, task.to(config["device"]), config
        self.recipe = Setting.read(config["setting"], "setting").recipe
        self.early = round(config["early"] / 100 * self.recipe.steps)
        self._forked: dict[tuple, tuple[Run, Tensor]] = {}

    def plain(self, **how: object) -> Run:
        """The parents, trained alone."""
        run, _ = trained(self.model, self.task, self.recipe, self.config["seeds"], self.early, **how)
        return run

    def again(self, variant: str) -> Run:
        """The parents, trained again in another way."""
        seeds = self.config["seeds"]
        if variant in PROCESSES:
            return _in_a_process(self.config, PROCESSES[variant], self.model.init(seeds))
        if variant in FORMATS:
            task = self.task.to(self.config["device"], FORMATS[variant])
            return trained(self.model, task, self.recipe, seeds, self.early)[0]
        if variant == "one member at a time":
            return self.plain(block=1)
        if variant == "order of the members":
            turned, _ = trained(self.model, self.task, self.recipe, seeds[::-1], self.early)
            return {step: theta.flip(0) for step, theta in turned.items()}
        crowd = [Fork(seed, 0, Kick(size=0.01, draw=draw)) for seed in seeds for draw in range(3)]
        run, _ = trained(self.model, self.task, self.recipe, seeds, self.early, crowd)
        return {step: theta[: len(seeds)] for step, theta in run.items()}

    def forked(self, forks: Sequence[Fork], name: str, place: int, dtype: torch.dtype = torch.float32) -> dict:
        """Twins of one stack against their parents: the `place`-th run of as many forks as there are seeds."""
        key = (*forks, dtype)
        if key not in self._forked:
            task = self.task.to(self.config["device"], dtype)
            self._forked[key] = trained(self.model, task, self.recipe, self.config["seeds"], self.early, forks)
        run, parents = self._forked[key]
        count = len(self.config["seeds"])
        some = slice(place * count, (place + 1) * count)
        ends = {step: theta for step, theta in run.items() if len(theta) > count}  # before a fork there is no twin
        twins = {step: theta[count:][some] for step, theta in ends.items()}
        found = self.compare(name, forks[place * count].kick.size, {s: t[parents[some]] for s, t in run.items()}, twins)
        return found | {"moved": (run[1][:count] - run[0][:count]).norm(dim=1).numpy()}

    def compare(self, name: str, size: float, one: Run, other: Run) -> dict:
        """What sets two runs of the same seeds apart."""
        last = self.recipe.steps
        a, b = (run[last].to(self.task.x) for run in (one, other))
        found = barriers(self.model, a, b, self.task.x, self.task.y, self.config["points"])
        answers = [predictions(self.model, theta, self.task.x_test) for theta in (a, b)]
        return {
            "variant": name,
            "size": size,
            "early": (other[self.early] - one[self.early]).norm(dim=1).numpy(),
            "late": (other[last] - one[last]).norm(dim=1).numpy(),
            "barrier": found.of_loss.numpy(),
            "disagreement": (answers[0] != answers[1]).double().mean(1).cpu().numpy(),
            "loss": found.loss[:, -1].numpy(),
            "moved": (one[1] - one[0]).norm(dim=1).numpy(),
        }

    def table(self, rows: list[dict]) -> Arrays:
        """Rows that each hold all seeds, as columns."""
        count = len(self.config["seeds"])
        columns = {name: [np.broadcast_to(row[name], count) for row in rows] for name in rows[0]}
        return {"seed": np.tile(self.config["seeds"], len(rows))} | {k: np.concatenate(v) for k, v in columns.items()}


def trained(
    model: Model,
    task: Data,
    recipe: Recipe,
    seeds: Sequence[int],
    early: int,
    forks: Sequence[Fork] = (),
    init: Tensor | None = None,
    block: int | None = None,
) -> tuple[Run, Tensor]:
    """Networks after 0, 1, `early` and all updates, in float64 on the CPU, and the row of the parent of each twin."""

    def kept(now: Snapshot) -> Tensor:
        return now.theta.to("cpu", torch.float64, copy=True)

    copy = Observer("copy", kept, frozenset({0, 1, early, recipe.steps}))
    run = train(model, task, recipe, seeds, forks, [copy], init, block=block)
    return dict(run.recorded("copy")), parent_rows(run.members) if forks else torch.empty(0)


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
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"training in a process with {asked} failed:\n{done.stderr[-2000:]}")
        with np.load(order.with_suffix(".npz")) as found:
            return {int(step): torch.from_numpy(found[step]) for step in found.files}


def child(order: str) -> None:
    """What the fresh process does: train the parents as the order says, and write them beside it."""
    content = json.loads(Path(order).read_text())
    config, asked = content["config"], content["asked"]
    runs.prepare()
    torch.set_num_threads(int(asked.get("threads", 1)))
    if "tf32" in asked:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if "nondeterministic" in asked:
        torch.use_deterministic_algorithms(False)
    setting = Setting.read(config["setting"], "setting")
    task = data.load(setting.data)
    model = models.build(setting.model, task.input_shape, task.classes)
    init = torch.from_numpy(np.load(Path(order).with_suffix(".npy")))
    found = _Bench(model, task, config).plain(init=init)
    np.savez(Path(order).with_suffix(".npz"), **{str(step): theta.numpy() for step, theta in found.items()})


def _cost(config: Config) -> float:
    return float(len(config["seeds"]) * (len(config["sizes"]) * 2 + len(config["variants"])))


# --- tables ----------------------------------------------------------------------------------------------------------


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables: `pairs` (world, variant, seed: what sets them apart, and the size of kick that does the same)."""


def run(params: Params) -> Tables:
    """Compute what is missing, and tabulate."""
    configs = shards(params)
    found = [
        pd.DataFrame(arrays).assign(world=config["world"])
        for config, arrays in zip(configs, compute(compute_shard, configs, _cost), strict=True)
    ]
    pairs = pd.concat(found, ignore_index=True).assign(setting=params.setting)
    pairs.loc[pairs.world == "augmentation", "setting"] = params.images
    return Tables(pairs=worth(pairs))


def worth(pairs: pd.DataFrame) -> pd.DataFrame:
    """Every pair with the size of the Gaussian kick at the start that takes its seed as far: `worth`, and `bits`.

    Read off between the kicks of the ruler on logarithmic scales, and beyond them along its first step: distances of
    very small kicks are in proportion to them. Larger than the largest is given as the largest. No distance: 0.
    """
    found = pairs.assign(worth=np.nan)
    for _, one in pairs.groupby(["world", "seed"]):
        ruler = one[(one.variant == "ruler") & (one["size"] > 0)].sort_values("size")
        if ruler.empty:
            continue
        sizes, distances = np.log(ruler["size"].to_numpy()), np.log(np.maximum.accumulate(ruler.early.to_numpy()))
        at = np.log(one.early.clip(lower=1e-300))
        below = np.exp(at - distances[0] + sizes[0])
        value = np.where(at < distances[0], below, np.exp(np.interp(at, distances, sizes)))
        found.loc[one.index, "worth"] = np.where(one.early == 0, 0.0, value)
    with np.errstate(divide="ignore"):
        return found.assign(bits=-np.log2(found.worth))


# --- claims ----------------------------------------------------------------------------------------------------------

# Regions are fixed before the run that counts; to move one is a line in the CHANGELOG.
MARGINS = {
    "X28": Region(0.0, 0.0),
    "X29": Region(0.0, 0.0),
    "X30": Region(0.0, 0.0),
    "X31": Region(low=0.5),
    "X32": Region(low=0.5),
    "X33": Region(low=0.5),
    "X34": Region(high=1e-6),
    "X35": Region(low=1e-6),
    "X36": Region(low=1e-3),
    "X37": Region(low=1e-3),
    "X38": Region(0.0, 0.0),
    "X39": Region(0.8, 1.25),
}
ROUNDING = ("two threads", "SIMD: AVX2", "SIMD: none", *STACKS, "float64", WITHIN)  # in or against float32


def make_claims(params: Params, tables: Tables) -> list[Claim]:
    """Every claim of this notebook; a unit is a seed. What the variants leave out is inconclusive."""
    pairs = tables["pairs"]

    def of(variant: str) -> pd.DataFrame:
        return pairs[pairs.variant == variant].set_index("seed")

    def apart(*variants: str) -> claims.Interval:
        """The largest distance ever, between any two that should be the same; nothing where one was left out."""
        some = pairs[pairs.variant.isin(variants)]
        if some.variant.nunique() < len(variants):
            return claims.exact(np.nan, 0)
        return claims.exact(float(some[["early", "late"]].to_numpy().max()), some.seed.nunique())

    def elsewhere(variant: str) -> claims.Interval:
        barrier = of(variant).barrier
        if not np.isfinite(barrier).all():
            return claims.exact(np.nan, len(barrier))
        return claims.share(barrier > BARRIER)

    def size(variant: str) -> claims.Interval:
        return claims.geometric_mean(of(variant).worth.to_numpy())

    largest = pairs[pairs.variant.isin(ROUNDING)].groupby("seed").worth.agg(lambda worth: worth.max(skipna=False))
    first = pairs[pairs.world == "first rate"]
    before, after = (of(f"kick before update {update}") for update in (1, 2))
    rest = [
        (
            "X29",
            "A second thread changes nothing",
            "largest distance, early or at the end",
            apart("two threads"),
        ),
        (
            "X30",
            "In which stack a network trains, and where in it, changes nothing",
            "largest distance, early or at the end: order of the members, one at a time, other members",
            apart(*STACKS),
        ),
        (
            "X31",
            "Another instruction set of the same processor ends in another valley",
            f"share of seeds with a barrier above {BARRIER:g}, no vector instructions against all",
            elsewhere("SIMD: none"),
        ),
        (
            "X32",
            "So does another order of the examples within each minibatch",
            f"share of seeds with a barrier above {BARRIER:g}",
            elsewhere(WITHIN),
        ),
        (
            "X33",
            "So does float64 in the place of float32",
            f"share of seeds with a barrier above {BARRIER:g}",
            elsewhere("float64"),
        ),
        (
            "X34",
            "All that is worth less than a kick of a millionth of the weights",
            "size of the Gaussian kick at the start that is worth as much, the largest of these variants",
            claims.geometric_mean(largest[largest != 0].to_numpy()),
        ),
        ("X35", "bfloat16 is a larger kick than that", "size of the Gaussian kick worth as much", size("bfloat16")),
        (
            "X36",
            "Unmatched dropout is worth more than a kick of a thousandth of the weights",
            "size of the Gaussian kick worth as much",
            size(DROPOUT),
        ),
        ("X37", "So is unmatched augmentation", "size of the Gaussian kick worth as much", size(AUGMENT)),
        (
            "X38",
            "With a first learning rate of 0 the first update does nothing",
            "largest distance that it moves a network",
            claims.exact(float(first.moved.max(skipna=False)), first.seed.nunique()),
        ),
        (
            "X39",
            "and a kick after it is a kick at the start: it grows as far",
            f"ratio of the distances at {params.early:g} %, kick after the first update to kick before it",
            claims.geometric_mean((after.early / before.early).to_numpy()),
        ),
    ]
    repeat = (
        "X28",
        "The same program, run again in another process, gives the same bits",
        "largest distance, early or at the end; control twins of all stacks included",
        _repeated(pairs),
    )
    found = [
        claims.claim(id, NOTEBOOK, statement, OURS, statistic, MARGINS[id], interval)
        for id, statement, statistic, interval in [repeat, *rest]
    ]
    ruler = pairs[(pairs.variant == "ruler") & (pairs["size"] > 0)]
    if not np.isfinite(ruler[["early", "late"]]).all(axis=None) or not (ruler.early > 0).all():
        found = claims.void(found, "kicks of the ruler were lost")
    return found


def _repeated(pairs: pd.DataFrame) -> claims.Interval:
    same = pairs[(pairs.variant == REPEAT) | ((pairs.variant == "ruler") & (pairs["size"] == 0))]
    if not (same.variant == REPEAT).any():
        return claims.exact(np.nan, 0)
    return claims.exact(float(same[["early", "late"]].to_numpy().max()), same.seed.nunique())
