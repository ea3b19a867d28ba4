"""What a profile will cost, before anything is trained.

One shard of every kind is gone through with networks that do nothing: they are made and forked, asked and compared, but
no update and no pass is computed; each is counted instead. The first of each kind is computed once, with a clock beside
it. What is left of the time of going through is what else the shard does: matching, statistics, files.
"""

import copy
import importlib
import itertools
import pkgutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, wraps
from types import FrameType
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from butterfly import curvature, evaluate, kernel, models, tangent, train
from butterfly.data import DataError
from butterfly.models import Drop, Model, Tensors, keep, overlook
from butterfly.stack import blocks
from butterfly.study import folders, notebooks, profiles, reproduce, runs
from butterfly.study.runs import Compute, Shard
from butterfly.study.store import Config, Store

LIMIT = 20.0  # seconds for going through one shard
MOST = 32  # kinds of shards of one function that are gone through; others are taken to cost what the nearest does
BACKWARD = 2  # passes that a gradient costs beside the one through the network
PRODUCT = 6  # passes that a product with the Hessian costs: those of a gradient, each with its derivative


@dataclass
class Cost:
    """What one shard costs. `lacking` says why there may be more; `seconds` are of one process on this machine."""

    networks: int = 0
    updates: int = 0  # of single networks
    flop: float = 0.0
    bytes: int = 0  # that its process holds
    seconds: float = 0.0
    lacking: str = ""


# --- one shard -------------------------------------------------------------------------------------------------------


class _LateError(BaseException):
    """Going through a shard took too long."""


def trial(compute: Compute, config: Config, limit: float = LIMIT) -> Cost:
    """Go through one shard with networks that do nothing, for `limit` seconds at most."""
    runs.prepare()
    meter, began, graphs = _Meter(), time.process_time(), torch.is_grad_enabled()
    try:
        with _installed(meter), _limited(limit, meter), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # statistics of networks that are all alike
            compute(runs.Bench(config))
    except _LateError:
        meter.cost.lacking = f"more than {limit:g} s to go through"
        meter.finish()
    except Exception as error:  # what nothing was learned by may be refused further on
        told = " ".join(str(error).split())
        meter.cost.lacking = f"ended early: {type(error).__name__}{': ' * bool(told)}{told}"
    finally:
        meter.watched()
        torch.set_grad_enabled(graphs)  # whatever was stopped on its way in or out of `no_grad`
    rest = time.process_time() - began - meter.probed
    return replace(meter.cost, seconds=meter.cost.seconds + rest)


@contextmanager
def _limited(seconds: float, meter: "_Meter") -> Iterator[None]:
    """Stop after so many seconds of work, or five times as long where most of it is waiting.

    That is, at the next thing to count: stopped anywhere else, a library may be left half changed for the trials that
    follow. Only what waits, or counts nothing for twice as long again, is stopped where it is, unless it imports.
    """

    def late(number: int, frame: FrameType | None) -> None:
        if meter.over:
            return
        if _imports(frame):  # next time
            return
        if meter.late or number == signal.SIGALRM:
            raise _LateError
        meter.late = True

    timers = (signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, 5 * seconds)
    before = [(signal.signal(number, late), number) for _, number, _ in timers]
    for timer, _, limit in timers:
        signal.setitimer(timer, limit, 2 * limit)
    try:
        yield
    finally:
        meter.over = True
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)
        for handler, number in before:
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


@cache
def _base() -> int:
    """Bytes that this process held when it was first asked."""
    return psutil.Process().memory_info().rss


@dataclass
class _Meter:
    """Counts passes and updates in the place of computing them."""

    cost: Cost = field(default_factory=Cost)
    base: int = field(default_factory=_base)  # bytes of a process that has done nothing yet
    probed: float = 0.0  # seconds that went into timing
    idle: bool = False  # while something is computed for its time
    late: bool = False  # once this has taken too long
    over: bool = False  # once it need not be stopped any more
    ahead: tuple[int, float, float] = (0, 0.0, 0.0)  # updates that the last run is to make yet, and what one costs
    so_far: tuple[float, float] = (
        0.0,
        0.0,
    )  # FLOP and seconds at the last update of a loop that is not that of `train`
    watch: FlopCounterMode | None = None  # counts what such a loop computes between its first two updates
    gradients: dict = field(default_factory=dict)  # by shape: FLOP of a gradient that such a loop computes by itself
    forwards: dict = field(default_factory=dict)  # by model: FLOP and seconds an example, answers of one
    steps: dict = field(
        default_factory=dict
    )  # by model, batch size and company, or by shape: seconds an update of one network

    def go_on(self) -> None:
        """Stop here if this has taken too long."""
        if self.late:
            raise _LateError

    def timed(self, work: Callable[[], Any], least: float = 0.02) -> tuple[Any, float]:
        """What `work` returns, and its seconds: after a first time, if that was short, the shortest of three."""
        began, self.idle = time.process_time(), True
        try:
            found, seconds = _clock(work)
            if seconds < least:
                seconds = min(_clock(work)[1] for _ in range(3))
        finally:
            self.idle = False
            self.probed += time.process_time() - began
        return found, seconds

    def passes(self, model: Model, original: Callable, p: Tensors, x: Tensor, count: int) -> Tensor:
        """Count `count` passes of all networks on all examples; answers `[1, 1, ...]` of one on one."""
        self.go_on()
        if model not in self.forwards:
            rows, some = next(_original(evaluate._parts)(model, x, x[0]))  # as many as go through at once
            all_of = {name: value.detach()[rows] for name, value in p.items()}, x.detach()[rows, some]
            one = {name: value[:1] for name, value in all_of[0].items()}, x.detach()[:1, :1]
            with torch.no_grad():
                (answers, flop), _ = self.timed(lambda: _flop(lambda: original(model, *one)), 0.0)
                _, seconds = self.timed(lambda: original(model, *all_of))
            self.forwards[model] = answers, flop, seconds / all_of[1].shape[:2].numel()
        answers, flop, seconds = self.forwards[model]
        times = len(x) * x.shape[1] * count
        self.cost.flop += flop * times
        self.cost.seconds += seconds * times
        return answers

    def update(self, run: "train._Run", original: Callable, step: int) -> None:
        """Count an update of every network of a run."""
        self.go_on()
        batch, count = run.recipe.batch_size_at(step), len(run.members)
        key = run.model, batch, run.recipe.optimizer, min(count, run.block)
        if key not in self.steps:
            few = _few(run)
            _, seconds = self.timed(lambda: original(few, step))
            self.steps[key] = seconds / len(few.members)
            x = run.data.x[None, :batch]
            self.passes(run.model, _original(type(run.model).forward), run.model.layout.tensors(run.theta[:1]), x, 0)
        flop = self.forwards[run.model][1] * (1 + BACKWARD) * batch
        self.count(count, flop, self.steps[key])
        self.ahead = count * (run.recipe.steps - step - 1), flop, self.steps[key]
        if not run._ready or run._ready[-1].rows.stop != count:  # the first, or the first after a fork
            block = max(own.seen.count for own in run._blocks())
            working = 4 * block * (batch * run.model.activations + run.theta.shape[1])
            kept = sum(map(_bytes, (run.theta, *run.state, *vars(run.data).values())))
            self.cost.bytes = max(self.cost.bytes, self.base + kept + working)

    def count(self, updates: int, flop: float, seconds: float) -> None:
        """Count updates of single networks, each of so many operations and seconds."""
        self.cost.updates += updates
        self.cost.flop += updates * flop
        self.cost.seconds += updates * seconds

    def look_ahead(self, networks: int, updates: int) -> None:
        """Expect as many more updates, each of which costs what was spent since the one before."""
        before = self.so_far
        self.so_far = self.cost.flop, self.cost.seconds + time.process_time() - self.probed
        flop, seconds = ((now - then) / networks for now, then in zip(self.so_far, before, strict=True))
        self.ahead = networks * updates, flop, seconds

    def watched(self) -> float:
        """Stop watching what is computed; how many operations it was."""
        watch, self.watch = self.watch, None
        if watch is None:
            return 0.0
        watch.__exit__(None, None, None)
        return watch.get_total_flops()

    def finish(self) -> None:
        """Count what is left of the run under way, as if no twin were made any more and nobody looked."""
        self.count(*self.ahead)


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0


def _clock(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def _flop(work: Callable[[], Any]) -> tuple[Any, int]:
    with FlopCounterMode(display=False) as counter:
        found = work()
    return found, counter.get_total_flops()


def _few(run: "train._Run") -> "train._Run":
    """A copy of a run with no more of its networks than go through at once."""
    few, count = copy.copy(run), min(run.block, len(run.members))
    few.theta, few.state = run.theta[:count].clone(), [slot[:count].clone() for slot in run.state]
    few.members, few.family, few.rows, few.drops = (of[:count] for of in (run.members, run.family, run.rows, run.drops))
    few._ready = []
    return few


# --- networks that do nothing ----------------------------------------------------------------------------------------


@contextmanager
def _installed(meter: _Meter) -> Iterator[None]:
    """Networks count instead of computing, in this process."""
    before = [(owner, name, getattr(owner, name)) for owner, name in _places()]
    try:
        for owner, name, original in before:
            setattr(owner, name, wraps(original)(_STAND_INS[name](meter, original)))
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


def _places() -> list[tuple[Any, str]]:
    """Where the functions are that compute passes and updates."""
    for module in pkgutil.iter_modules(models.__path__):
        importlib.import_module(f"{models.__name__}.{module.name}")
    kinds, found = [Model], []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found += [(kind, name) for name in ("forward", "gradient") if name in vars(kind)]
    found += [(models.module, "stack_of"), (evaluate, "_parts")]
    found += [(train._Run, name) for name in ("update", "fork", "__init__")]
    found += [(kernel, "_of_jacobians")]
    for name, home in (("hessian_product", curvature), ("descend", train)):
        users = [m for own, m in sorted(sys.modules.items()) if own.startswith("butterfly.") and m is not tangent]
        found += [(m, name) for m in users if vars(m).get(name) is getattr(home, name)]
    return found


def _original(function: Callable) -> Callable:
    return getattr(function, "__wrapped__", function)


def _forward(meter: _Meter, original: Callable) -> Callable:
    def forward(model: Model, p: Tensors, x: Tensor, drop: Drop = keep, see: Callable = overlook) -> Tensor:
        first = next(iter(p.values()))
        # Inside a derivative of `torch.func` nothing can be left out: it would not know what depends on what.
        if meter.idle or torch._C._functorch.is_functorch_wrapped_tensor(first):
            return original(model, p, x, drop, see)
        graph = torch.is_grad_enabled() and any(value.requires_grad for value in (x, *p.values()))
        answers = meter.passes(model, original, p, x, 1 + BACKWARD * graph)
        if see is not overlook:
            meter.idle = True
            one = {name: value.detach()[:1] for name, value in p.items()}

            # Activations of all networks on all examples could fill the memory: one zero stands for all.
            def show(name: str, h: Tensor) -> None:
                see(name, h.new_zeros(()).expand(*x.shape[:2], *h.shape[2:]))

            original(model, one, x.detach()[:1, :1], keep, show)
            meter.idle = False
        blank = _blank(answers, x)
        if graph:  # so that there is a gradient
            on_all = sum(value.flatten(1).sum(1) for value in p.values())[:, None]
            on_all = on_all + (x.flatten(2).sum(2) if x.is_floating_point() else 0)
            blank[..., 0] += on_all.view(*on_all.shape, *[1] * (blank.dim() - 3))
        return blank

    return forward


def _blank(one: Tensor, x: Tensor) -> Tensor:
    """Zeros in the shape of what all networks answer to all of `x [M, B, ...]`, from what one answers to one."""
    return one.new_zeros(*x.shape[:2], *one.shape[2:])


def _gradient(meter: _Meter, original: Callable) -> Callable:
    def gradient(model: Model, theta: Tensor, x: Tensor, loss: Callable, drop: Drop = keep) -> Tensor:
        if meter.idle:
            return original(model, theta, x, loss, drop)
        forward = _original(type(model).forward)
        answers = meter.passes(model, forward, model.layout.tensors(theta), x, 1 + BACKWARD)
        loss(_blank(answers, x).requires_grad_())  # which may note what it was given
        return theta.clone()  # a direction, where one is asked for

    return gradient


def _product(meter: _Meter, original: Callable) -> Callable:
    def hessian_product(model: Model, theta: Tensor, vector: Tensor, x: Tensor, loss: Callable) -> Tensor:
        meter.passes(model, _original(type(model).forward), model.layout.tensors(theta), x, PRODUCT)
        return vector.clone()

    return hessian_product


def _kernels(meter: _Meter, original: Callable) -> Callable:
    def of_jacobians(
        model: Model, theta: Tensor, x: Tensor, trace: bool, by_layer: bool
    ) -> Iterator[tuple[str, Tensor]]:
        """Gradients of every output, once for each example: a device short of memory computes some again."""
        if meter.idle:
            yield from original(model, theta, x, trace, by_layer)
            return
        size = x.shape[1] * (1 if trace else model.classes)
        alike = torch.eye(size).to(theta).expand(len(theta), size, size)
        names = kernel.layers(model.layout) if by_layer else {"": []}
        p, forward = model.layout.tensors(theta), _original(type(model).forward)
        meter.passes(model, forward, p, x, 1 + BACKWARD * model.classes)
        meter.cost.flop += 2 * len(theta) * size**2 * model.layout.count * (model.classes if trace else 1)
        yield from ((name, alike.clone()) for name in names)

    return of_jacobians


def _made(meter: _Meter, original: Callable) -> Callable:
    """A module of one's own is tried out before it becomes an architecture."""

    def stack_of(*given: Any) -> Model:
        meter.idle = True
        try:
            return original(*given)
        finally:
            meter.idle = False

    return stack_of


def _update(meter: _Meter, original: Callable) -> Callable:
    return lambda run, step: original(run, step) if meter.idle else meter.update(run, original, step)


def _descend(meter: _Meter, original: Callable) -> Callable:
    """An update in a loop that is not that of `train`."""

    def descend(
        recipe: train.Recipe, step: int, theta: Tensor, state: Sequence[Tensor], gradient: Tensor, start: int = 0
    ) -> None:
        if meter.idle:
            original(recipe, step, theta, state, gradient, start)
            return
        meter.go_on()
        count, key, watched = len(theta), (theta.shape, recipe.optimizer), meter.watched()
        if key not in meter.steps:
            own = theta.clone(), [slot.clone() for slot in state], gradient.clone()
            _, seconds = meter.timed(lambda: original(recipe, step, *own, start))
            meter.steps[key] = seconds / count
        if watched and meter.cost.flop == meter.so_far[0]:  # what `Model.gradient` computes is counted there
            meter.gradients[key] = watched / count
        meter.cost.networks += count * (step == start)
        meter.cost.bytes = max(meter.cost.bytes, meter.base + sum(map(_bytes, (theta, *state, gradient))))
        meter.count(count, meter.gradients.get(key, 0.0), meter.steps[key])
        meter.look_ahead(count, recipe.steps - step - 1)
        if step - start < 2:  # loops may take turns, so that the next gradient is another's
            meter.watch = FlopCounterMode(display=False)
            meter.watch.__enter__()

    return descend


def _begin(meter: _Meter, original: Callable) -> Callable:
    def begin(run: "train._Run", *arguments: Any) -> None:
        original(run, *arguments)
        if not meter.idle:
            meter.cost.networks += len(run.seeds)

    return begin


def _fork(meter: _Meter, original: Callable) -> Callable:
    def fork(run: "train._Run", forks: list) -> None:
        original(run, forks)
        meter.cost.networks += len(forks)

    return fork


def _in_parts(meter: _Meter, original: Callable) -> Callable:
    """What costs nothing need not go through the network in many small parts."""

    def parts(model: Model, theta: Tensor, x: Tensor) -> Iterator[tuple[slice, slice]]:
        if meter.idle:
            yield from original(model, theta, x)
        else:
            yield from itertools.product(blocks(len(theta), 64), blocks(len(x), 8192))

    return parts


_STAND_INS = {
    "_parts": _in_parts,
    "forward": _forward,
    "gradient": _gradient,
    "hessian_product": _product,
    "_of_jacobians": _kernels,
    "stack_of": _made,
    "update": _update,
    "descend": _descend,
    "fork": _fork,
    "__init__": _begin,
}


# --- a profile -------------------------------------------------------------------------------------------------------


@dataclass
class Plan:
    """What one notebook costs: sums over its shards, of which `stored` are there; `note` says what is unsure."""

    notebook: str
    shards: int = 0
    stored: int = 0
    networks: int = 0
    updates: float = 0.0
    tflop: float = 0.0
    gigabytes: float = 0.0  # that a process holds with the largest shard
    seconds: float = 0.0  # of single processes on this machine
    note: str = ""
    least: bool = False  # it may cost more


def plans(
    profile: str, changes: str = "", only: str = "", jobs: int = 1, report: Callable[[str], None] = lambda line: None
) -> Iterator[Plan]:
    """What every notebook of a profile costs, gone through in `jobs` processes."""
    chosen = reproduce.chosen(profile, only)
    asked = {topic: _shards(topic, profile, changes) for topic in chosen}  # what is misspelt is found here
    with runs.workers(jobs) as pool:
        for place, (topic, shards) in enumerate(asked.items(), start=1):
            if isinstance(shards, DataError):
                yield Plan(topic, note=str(shards), least=True)
                continue
            kinds = _kinds(shards)
            near = _nearest([some[0].compute for some in kinds])
            tried = sorted(set(near))
            part = f"{len(tried)} of {len(kinds)}" if len(tried) < len(kinds) else ""
            report(f"{topic}: notebook {place} of {len(chosen)}, kinds of shards: {part or len(kinds)}")
            costs = pool.map(trial, *zip(*((kinds[k][0].compute, kinds[k][0].config) for k in tried), strict=True))
            found = dict(zip(tried, costs, strict=True))
            plan = _sum(topic, shards, kinds, [found[k] for k in near], bool(notebooks.study(topic)._follow))
            gone = f"kinds of shards gone through: {part}" * bool(part)
            yield replace(plan, note="; ".join(filter(None, [plan.note, gone])))


def _shards(topic: str, profile: str, changes: str) -> Sequence[Shard] | DataError:
    """The shards of a notebook, to be gone through on this machine: the profile of a GPU can be planned without one."""
    study = notebooks.study(topic)
    params, _ = profiles.parameters(topic, study.parameters, profile, changes=changes)
    try:
        return study.shards(params.model_copy(update={"device": "cpu"}))
    except DataError as error:
        return error


def _kinds(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Shards that differ in their seeds only, together."""
    found: dict[str, list[Shard]] = {}
    for shard in shards:
        found.setdefault(runs.kind(shard), []).append(shard)
    return list(found.values())


def _nearest(functions: Sequence[Compute]) -> list[int]:
    """For each kind of shard the one whose cost it takes.

    That is itself, or, where a function has more than `MOST`, the nearest of so many at equal distances.
    """
    near = list(range(len(functions)))
    for function in set(functions):
        own = [place for place in near if functions[place] is function]
        if len(own) > MOST:
            tried = [round(number * (len(own) - 1) / (MOST - 1)) for number in range(MOST)]
            for rank, place in enumerate(own):
                near[place] = own[min(tried, key=lambda other: abs(other - rank))]
    return near


def _sum(topic: str, shards: list[Shard], kinds: list[list[Shard]], costs: list[Cost], more: bool) -> Plan:
    store, each = Store(folders.runs()), [(len(some), cost) for some, cost in zip(kinds, costs, strict=True)]
    unsure = {f"{some[0].compute.__name__}: {cost.lacking}" for some, cost in zip(kinds, costs, strict=True)}
    notes = sorted(text for text in unsure if not text.endswith(": "))
    return Plan(
        topic,
        len(shards),
        sum(store.file(shard.key).exists() for shard in shards),
        sum(count * cost.networks for count, cost in each),
        sum(count * cost.updates for count, cost in each),
        sum(count * cost.flop for count, cost in each) / 1e12,
        max((cost.bytes for cost in costs), default=0) / 2**30,
        sum(count * cost.seconds for count, cost in each),
        "; ".join(notes + ["more shards follow from what these find"] * more),
        bool(notes),
    )


# --- as text ---------------------------------------------------------------------------------------------------------

_HEAD = ("notebook", "shards", "stored", "networks", "updates", "TFLOP", "GB", "here", "GPU", "")


def table(found: Sequence[Plan], jobs: int, rate: float) -> str:
    """Plans as lines of text, with their sum: time here in `jobs` processes, and on a GPU of `rate` TFLOP/s."""
    total = Plan("all", *(sum(getattr(p, f) for p in found) for f in ("shards", "stored", "networks")))
    total.least = any(p.least for p in found)
    total = replace(total, **{f: sum(getattr(p, f) for p in found) for f in ("updates", "tflop", "seconds")})
    total.gigabytes = max((p.gigabytes for p in found), default=0.0)
    memory = psutil.virtual_memory().total / 2**30
    rows = [_HEAD]
    for plan in [*found, total]:
        least = "> " if plan.least else ""
        room = f"{jobs} processes need {jobs * plan.gigabytes:.1f} GB, there are {memory:.1f}"
        note = "; ".join(filter(None, [plan.note, room * (jobs * plan.gigabytes > memory) * (plan is not total)]))
        counts = f"{plan.shards:,}", f"{plan.stored:,}", f"{plan.networks:,}", f"{plan.updates:,.0f}"
        times = f"{least}{_time(plan.seconds / jobs)}", f"{least}{_time(plan.tflop / rate)}"
        rows.append((plan.notebook, *counts, f"{plan.tflop:,.1f}", f"{plan.gigabytes:.1f}", *times, note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:]), row[-1]] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def line(plan: Plan, jobs: int, rate: float) -> str:
    """A plan in one line, for who waits for the table."""
    counted = f"{plan.networks:,} networks, {plan.updates:,.0f} updates, {plan.tflop:,.1f} TFLOP"
    return f"  {counted}: {_time(plan.seconds / jobs)} here, {_time(plan.tflop / rate)} on the GPU"


def _time(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
