"""Training a population in lockstep, with forks inside the run.

All members take step number k together. Members of one seed see the same minibatches, augmentation and dropout masks;
each seed has its own. A fork copies a member and its optimiser state just before step number t, kicks the copy, and
both train on: no prefix is trained twice, and parent and twin share everything but the kick.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from butterfly import checkpoint, optim
from butterfly.augment import Augment
from butterfly.batches import Batch, Minibatches, Places, spread
from butterfly.data import Data
from butterfly.evaluate import evaluate
from butterfly.models import Drop, Model, keep
from butterfly.objective import Objective, cross_entropy
from butterfly.perturb import Kick, displacement
from butterfly.streams import generator
from butterfly.strict import Strict


class Recipe(Strict):
    """How a network is trained: optimiser, schedule, batches, augmentation, dropout."""

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    lr: float = Field(gt=0)  # the peak
    schedule: Literal["triangle", "cosine", "step", "constant"] = "triangle"
    warmup: float = Field(0.02, ge=0, lt=1)  # fraction of the steps
    first_lr_zero: bool = False  # the authors' schedule: the first update has learning rate 0
    batches: tuple[tuple[float, int], ...] = ()  # other batch sizes, each from a fraction of the steps on
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop"] = "sgd"
    momentum: float = Field(0.9, ge=0, lt=1)  # of SGD and RMSprop
    nesterov: bool = False
    smoothing: float = Field(0.99, ge=0, lt=1)  # of RMSprop
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    augment: Augment = Augment()

    @model_validator(mode="after")
    def _warmup_for_zero(self) -> Self:
        if self.first_lr_zero and round(self.warmup * self.steps) < 1:
            raise ValueError("first_lr_zero needs a warm-up of at least one step")
        return self

    @model_validator(mode="after")
    def _batches_in_order(self) -> Self:
        times = [time for time, _ in self.batches]
        if (
            times != sorted(set(times))
            or not all(0 < t < 1 for t in times)
            or any(size < 1 for _, size in self.batches)
        ):
            raise ValueError(f"batches = {self.batches}: give rising fractions between 0 and 1, each with a batch size")
        return self

    def batch_size_at(self, step: int) -> int:
        """The batch size of update number `step`."""
        sizes = [size for time, size in self.batches if step >= round(time * self.steps)]
        return sizes[-1] if sizes else self.batch_size


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of update number `step`, the first being 0.

    Warm-up over W updates rises linearly, `lr * (step + 1) / W`, so that the first update already moves the network;
    with `first_lr_zero` it is `lr * step / W`, and the first update does nothing. Then, at fraction u of the remaining
    updates: triangle `lr * (1 - u)`, cosine `lr * (1 + cos(pi u)) / 2`, step `lr / 10` from a half and `lr / 100` from
    three quarters on, or constant `lr`.
    """
    warmup = round(recipe.warmup * recipe.steps)
    if step < warmup:
        return recipe.lr * (step if recipe.first_lr_zero else step + 1) / warmup
    rest = (step - warmup) / (recipe.steps - warmup)
    match recipe.schedule:
        case "triangle":
            return recipe.lr * (1 - rest)
        case "cosine":
            return recipe.lr * (1 + math.cos(math.pi * rest)) / 2
        case "step":
            return recipe.lr * 0.1 ** ((rest >= 0.5) + (rest >= 0.75))
        case _:
            return recipe.lr


def descend(
    recipe: Recipe, step: int, theta: Tensor, state: Sequence[Tensor], gradient: Tensor, start: int = 0
) -> None:
    """Update number `step` of `theta [M, P]` and the optimiser's `state`, in place, as `torch.optim` makes it.

    `start` is the update at which the state was 0. `gradient` is overwritten.
    """
    lr, decay = learning_rate(recipe, step), recipe.weight_decay
    match recipe.optimizer:
        case "sgd":
            optim.sgd(theta, state, gradient, lr, recipe.momentum, decay, recipe.nesterov)
        case "rmsprop":
            optim.rmsprop(theta, state, gradient, lr, recipe.momentum, recipe.smoothing, recipe.eps, decay)
        case _:
            decoupled = recipe.optimizer == "adamw"
            optim.adam(theta, state, gradient, lr, recipe.betas, recipe.eps, decay, decoupled, step - start)


_NOISES = ("", "order", "within", "augment", "dropout")


@dataclass(frozen=True)
class Fork:
    """Copy the parent of `seed` just before update number `step`, and kick the copy.

    The twin shares all noise of its parent, unless `unmatched` names one that it draws anew from there on, for its
    seed, step and draw: this is how a careless experiment goes wrong. `within` is the order of the examples in each
    minibatch; dropout masks keep their places then.
    """

    seed: int
    step: int
    kick: Kick
    unmatched: str = ""


@dataclass(frozen=True)
class Member:
    """One row of the stack: a parent (no fork) or a twin."""

    seed: int
    fork: Fork | None = None


@dataclass(frozen=True)
class Snapshot:
    """The population as an observer sees it, after `step` updates. `theta` is the live stack: copy what you keep."""

    step: int
    theta: Tensor  # [M, P]
    members: tuple[Member, ...]
    model: Model
    data: Data


@dataclass(frozen=True)
class Observer:
    """Records `measure(snapshot)` after each of the given numbers of updates (0 is the start, after kicks at 0).

    `state` is what measuring changes beside what it returns: nothing, `()`, or objects such as a `ScoreLogger`. A run
    goes on from a checkpoint (see `checkpoint`) only where all its observers say so; None says nothing.
    """

    name: str
    measure: Callable[[Snapshot], Any]
    steps: frozenset[int]
    state: Sequence[checkpoint.Evolving] | None = None


@dataclass(frozen=True)
class Crossing:
    """Records `measure(snapshot, rows)` when members first cross a level, looking every `every` updates.

    The mean training loss has to fall to `level`, or the training accuracy to rise to it; `rows [K]` are the members
    that crossed since the last look. Twins start unseen: one made after its parent crossed crosses at the next look.
    `state` is as of an `Observer`.
    """

    name: str
    measure: Callable[[Snapshot, Tensor], Any]
    metric: Literal["loss", "accuracy"]
    level: float
    every: int
    state: Sequence[checkpoint.Evolving] | None = None


def parent_rows(members: Sequence[Member]) -> Tensor:
    """Row of the parent of each twin `[K]`."""
    seeds = [member.seed for member in members if member.fork is None]
    return torch.tensor([seeds.index(member.seed) for member in members if member.fork is not None])


@dataclass
class Population:
    """A trained stack: `theta [M, P]`, who its members are, and what the observers saw, as (name, step, value)."""

    theta: Tensor
    members: tuple[Member, ...]
    records: list[tuple[str, int, Any]] = field(default_factory=list)

    def recorded(self, name: str) -> list[tuple[int, Any]]:
        """The (step, value) pairs of one observer, in order."""
        return [(step, value) for label, step, value in self.records if label == name]


def train(
    model: Model,
    data: Data,
    recipe: Recipe,
    seeds: Sequence[int],
    forks: Sequence[Fork] = (),
    observers: Sequence[Observer | Crossing] = (),
    init: Tensor | None = None,
    start: int = 0,
    mask: Tensor | None = None,
    block: int | None = None,
    objective: Objective = cross_entropy,
) -> Population:
    """Train one parent a seed and all its forks, in lockstep, on the device and in the precision of `data`.

    `objective` gives each example its loss (see `objective`); a minibatch has the mean, weighted where examples have
    weights. Members stand in the order of `seeds`, then of the steps of the forks, then of `forks`. `init [S, P]`
    starts from given networks (fine-tuning) instead of fresh ones, and `start` begins with that update of the schedule,
    the momentum at zero. `mask [S, P]` keeps the entries where it is False at zero. `block` is how many members go
    through the network at once, by default as many as suit the device; it changes speed, and results in the last bits.
    Where memory is too short for so many, there are fewer, and a warning says how many.
    """
    _check(model, data, recipe, seeds)
    _check_forks(forks, seeds, recipe, start)
    for name, stack in (("init", init), ("mask", mask)):
        if stack is not None and stack.shape != (len(seeds), model.layout.size):
            raise ValueError(f"{name} has shape {tuple(stack.shape)}, expected {(len(seeds), model.layout.size)}")
    theta = (model.init(list(seeds)) if init is None else init.clone()).to(data.x)
    block = block or _block(model, recipe, data.x.device.type)
    run = _Run(model, data, recipe, list(seeds), theta, mask, objective, start, block)
    course = _Course(run, forks, observers)
    kept = checkpoint.next_run() if all(observer.state is not None for observer in observers) else None
    for step in range(begin := course.resume(kept, start), recipe.steps + 1):
        course.at(step)
        if step < recipe.steps:
            run.update(step)
            if kept and kept.due():
                kept.save(course.state(step + 1))
    if kept and begin <= recipe.steps:
        kept.done(course.state(recipe.steps + 1))
    return Population(run.theta, tuple(run.members), course.records)


class _Course:
    """What happens to a run between its updates: forks and observers."""

    def __init__(self, run: "_Run", forks: Sequence[Fork], observers: Sequence[Observer | Crossing]):
        self.run, self.observers = run, observers
        self.waiting = sorted(forks, key=lambda fork: fork.step)
        self.records: list[tuple[str, int, Any]] = []
        self.crossed: dict[str, set[int]] = {observer.name: set() for observer in observers}

    def at(self, step: int) -> None:
        """Fork, then look, after `step` updates."""
        self._fork(step)
        last, objective = self.run.recipe.steps, self.run.objective
        for observer in self.observers:
            seen = self.crossed[observer.name]
            self.records += _observe(observer, self.run.snapshot(step), last, seen, objective)

    def _fork(self, step: int) -> None:
        due = [fork for fork in self.waiting if fork.step == step]
        if due:
            self.run.fork(due)

    def state(self, step: int) -> dict[str, Any]:
        """All that is not there at the start, before what happens after `step` updates."""
        return {
            "step": step,
            "theta": self.run.theta,
            "optimizer": self.run.state,
            "block": self.run.block,
            "records": self.records,
            "crossed": self.crossed,
            "observers": [[part.state_dict() for part in observer.state or ()] for observer in self.observers],
        }

    def resume(self, kept: checkpoint.Run | None, start: int) -> int:
        """Go back to where the run was kept; the number of updates behind it, `start` where nothing was kept."""
        state = kept.load(self.run.theta.device) if kept else None
        if state is None:
            return start
        for step in range(start, state["step"]):
            self._fork(step)  # who the members are; what they are follows
        if state["theta"].shape != self.run.theta.shape:
            raise RuntimeError("a checkpoint of another run: whatever decides its numbers belongs into its name")
        self.run.theta, self.run.state, self.run.block = state["theta"], state["optimizer"], state["block"]
        self.records, self.crossed = state["records"], state["crossed"]
        for observer, parts in zip(self.observers, state["observers"], strict=True):
            for part, own in zip(observer.state or (), parts, strict=True):
                part.load_state_dict(own, self.run.theta.device)
        return state["step"]


def _check(model: Model, data: Data, recipe: Recipe, seeds: Sequence[int]) -> None:
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"seeds must be one or more different numbers, not {list(seeds)}")
    if model.input_shape != data.input_shape or model.classes != data.classes:
        raise ValueError(f"the model expects inputs {model.input_shape}, {data.name} has {data.input_shape}")
    largest = max([recipe.batch_size, *(size for _, size in recipe.batches)])
    if largest > len(data.y):
        raise ValueError(f"batch size {largest} is larger than the {len(data.y)} examples of {data.name}")
    for name, values, dims in (("weights", data.weights, 1), ("targets", data.targets, 2)):
        if values is not None and values.dim() > dims and len(values) != len(seeds):
            raise ValueError(f"{name} have {len(values)} rows for {len(seeds)} seeds; give one row a seed, or none")


def _check_forks(forks: Sequence[Fork], seeds: Sequence[int], recipe: Recipe, start: int) -> None:
    if not 0 <= start <= recipe.steps:
        raise ValueError(f"a start at step {start} of a run of {recipe.steps} steps")
    for fork in forks:
        if fork.seed not in seeds:
            raise ValueError(f"a fork of seed {fork.seed}, which is not trained here: {list(seeds)}")
        if fork.unmatched not in _NOISES:
            raise ValueError(f"a fork with unmatched '{fork.unmatched}'; give one of {', '.join(_NOISES[1:])}, or none")
        if not start <= fork.step <= recipe.steps:
            begins = f" that begins at {start}" if start else ""
            raise ValueError(f"a fork at step {fork.step} of a run of {recipe.steps} steps{begins}")


def _block(model: Model, recipe: Recipe, device: str) -> int:
    """Members that go through the network at once: on a CPU up to 64, by what fits its caches; on a GPU, 8 GiB."""
    numbers = recipe.batch_size * model.activations
    return max(1, min(64, (1 << 24) // numbers)) if device == "cpu" else max(1, (1 << 31) // numbers)


def _observe(
    observer: Observer | Crossing, now: Snapshot, last: int, crossed: set[int], objective: Objective
) -> list[tuple]:
    """What one observer records at this step: nothing, or one (name, step, value)."""
    if isinstance(observer, Observer):
        return [(observer.name, now.step, observer.measure(now))] if now.step in observer.steps else []
    if now.step % observer.every and now.step != last:
        return []
    loss, error = evaluate(now.model, now.theta, now.data.x, now.data.y, objective)
    beyond = loss <= observer.level if observer.metric == "loss" else 1 - error >= observer.level
    rows = [row for row, crosses in enumerate(beyond.tolist()) if crosses and row not in crossed]
    crossed.update(rows)
    return [(observer.name, now.step, observer.measure(now, torch.tensor(rows)))] if rows else []


@dataclass(frozen=True)
class _Block:
    """Members that go through the network at once, those of them that are not done yet, and what they share."""

    rows: slice
    fresh: slice
    seen: Places  # rows of the minibatch
    dropped: Places  # rows of dropout masks
    family: Places  # seeds


class _Run:
    """The moving parts of one training run: parameters, optimiser state, and who is who."""

    def __init__(
        self,
        model: Model,
        data: Data,
        recipe: Recipe,
        seeds: list[int],
        theta: Tensor,
        mask: Tensor | None,
        objective: Objective,
        start: int,
        block: int,
    ):
        self.model, self.data, self.recipe, self.seeds = model, data, recipe, seeds
        self.objective, self.start, self.block = objective, start, block
        self.mask = None if mask is None else mask.to(theta)  # [S, P]
        self.theta = theta if self.mask is None else theta * self.mask  # [M, P]
        self.state = [torch.zeros_like(theta) for _ in range(optim.SLOTS[recipe.optimizer])]
        self.members = [Member(seed) for seed in seeds]
        self.family = torch.arange(len(seeds))  # [M]: position in `seeds` of each member's seed
        self.rows = self.family  # [M]: row of the minibatch that it sees; its own where the noise is unmatched
        self.drops = self.family  # [M]: row of its dropout masks
        self.masked = [(seed,) for seed in seeds]  # of each row of dropout masks: the key of its stream
        self.batches = Minibatches(data, recipe.batch_size_at, recipe.augment, seeds)
        self._ready: list[_Block] = []

    def snapshot(self, step: int) -> Snapshot:
        return Snapshot(step, self.theta, tuple(self.members), self.model, self.data)

    def fork(self, forks: list[Fork]) -> None:
        """Append kicked copies of their parents, optimiser state copied."""
        parents = torch.tensor([self.seeds.index(fork.seed) for fork in forks])
        twins = self.theta[parents]
        for row, fork in enumerate(forks):
            twins[row] += displacement(self.model, twins[row], fork.kick, fork.seed, self.batches.another)
        if self.mask is not None:
            twins *= self.mask[parents]
        self.theta = torch.cat([self.theta, twins])
        self.state = [torch.cat([slot, slot[parents]]) for slot in self.state]
        self.members += [Member(fork.seed, fork) for fork in forks]
        self.family = torch.cat([self.family, parents])
        self.rows = torch.cat([self.rows, parents])
        self.drops = torch.cat([self.drops, parents])
        for row, fork in enumerate(forks, len(self.members) - len(forks)):
            if fork.unmatched == "dropout":
                self.drops[row] = len(self.masked)
                self.masked.append((fork.seed, "own", fork.step, fork.kick.draw))
            elif fork.unmatched:
                self.rows[row] = self.batches.branch(int(self.family[row]), fork.unmatched, fork.step, fork.kick.draw)

    def update(self, step: int) -> None:
        """One optimiser step of every member, in smaller blocks from there on where memory is short."""
        batch = self.batches.at(step)
        drop = _Dropout(self.recipe.dropout, self.masked, step)
        while (size := self._update(step, batch, drop)) > 1:
            self.block, self._ready = size // 2, []
            warnings.warn(
                f"memory is too short for {size} networks at once; {self.block} go on at once, more slowly",
                stacklevel=3,
            )

    def _update(self, step: int, batch: Batch, drop: "_Dropout") -> int:
        """One step block by block: 0, or the size of the blocks that memory is too short for, and nothing moved."""
        for own in self._blocks():
            try:
                gradient = self._gradient(own, batch, drop)
            except torch.OutOfMemoryError:
                # Blocks are of one size: what has no room in the first has it nowhere, and all others follow it.
                if own.fresh.start or own.seen.count == 1:
                    raise
                return own.seen.count
            if self.mask is not None:
                gradient *= spread(self.mask, own.family)  # entries at zero then have nothing that moves them
            rows = own.fresh
            gradient = gradient[len(gradient) - (rows.stop - rows.start) :]
            kept = self.model.kept(self.theta[rows])
            descend(self.recipe, step, self.theta[rows], [slot[rows] for slot in self.state], gradient, self.start)
            self.model.keep_back(self.theta[rows], kept)
        return 0

    def _blocks(self) -> list["_Block"]:
        """The members in blocks of equal size, worked out anew only after a fork.

        Where members do not divide evenly, the last block begins among those of the one before, which it leaves alone:
        blocks of another size could meet another kernel, whose rounding would tell twins from their parents.
        """
        count = len(self.members)
        if not self._ready or self._ready[-1].rows.stop != count:
            size = -(-count // -(-count // self.block))
            places = partial(Places.of, device=self.theta.device)
            self._ready = []
            for begin in range(0, count, size):
                end = min(begin + size, count)
                rows = slice(end - size, end)
                sight = (places(of[rows]) for of in (self.rows, self.drops, self.family))
                self._ready.append(_Block(rows, slice(begin, end), *sight))
        return self._ready

    def _gradient(self, own: "_Block", batch: Batch, drop: "_Dropout") -> Tensor:
        """Gradient `[m, P]` of each member's mean loss on its seed's minibatch, for a block of members."""

        # The members' losses are summed: each depends on its own parameters only, so their gradients stay apart.
        def loss(logits: Tensor) -> Tensor:
            return batch.losses(logits, own.seen, self.objective).sum()

        return self.model.gradient(self.theta[own.rows], batch.inputs(own.seen), loss, drop.of(own.dropped))


class _Dropout:
    """The masks of one step: one a stream and layer, shared by all members of a seed but those with their own."""

    def __init__(self, rate: float, keys: list[tuple], step: int):
        self.rate = rate
        self.streams = [generator("dropout", *key, step) for key in keys] if rate else []
        self.masks: list[Tensor] = []  # one a layer, [R, B, ...]

    def of(self, rows: Places) -> Drop:
        """The dropout function for a block of members; its calls are the layers, in order."""
        if not self.rate:
            return keep
        layers = itertools.count()

        def drop(h: Tensor) -> Tensor:
            layer = next(layers)
            if layer == len(self.masks):
                kept = [torch.rand(h.shape[1:], generator=stream) >= self.rate for stream in self.streams]
                self.masks.append(torch.stack(kept).to(h) / (1 - self.rate))
            return h * spread(self.masks[layer], rows)

        return drop
