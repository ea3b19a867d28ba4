"""Ways to train the networks of a figure, each with its clock.

One program of `torch.nn` describes a network. It is looped over networks as everywhere, or one update of it is a
function, which is compiled, batched over networks by `vmap`, or both. The last way is the stack of this companion. All
get the same weights and minibatches, and each seed of minibatches is a network's own.
"""

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from butterfly.batches import Minibatches
from butterfly.data import Data
from butterfly.models import Model
from butterfly.models.cnn import CNN
from butterfly.models.mlp import MLP
from butterfly.train import Observer, Recipe, train

Tensors = dict[str, Tensor]
Update = Callable[[Tensors, Tensors, Tensor, Tensor], tuple[Tensors, Tensors]]

LOOP, STACK = "loop", "stack"
COMPILED, VMAP, BOTH = "compiled loop", "vmap", "compiled vmap"
WAYS = (LOOP, COMPILED, VMAP, BOTH, STACK)
BLOCK = 64  # members that training takes through the network at once on a CPU

# Nothing is taken from an earlier run, and the compiler works in this process, whose seconds are counted.
COMPILER = {"backend": "inductor", "options": {"compile_threads": 1}}


@dataclass(frozen=True)
class Job:
    """What every way is given: networks `theta [M, P]`, the seeds of their minibatches, and a recipe.

    The recipe is SGD with momentum at a constant rate, without decay or augmentation; it says how many updates.
    """

    model: Model
    task: Data
    recipe: Recipe
    seeds: list[int]
    theta: Tensor

    def first(self, count: int) -> "Job":
        """The same for the first networks alone."""
        return Job(self.model, self.task, self.recipe, self.seeds[:count], self.theta[:count])

    def lasting(self, updates: int) -> "Job":
        """The same with another number of updates."""
        return Job(self.model, self.task, self.recipe.changed(steps=updates), self.seeds, self.theta)

    def batches(self, seeds: list[int]) -> Minibatches:
        """The minibatches of some networks."""
        return Minibatches(self.task, self.recipe.batch_size, self.recipe.augment, seeds)


@dataclass(frozen=True)
class Run:
    """Weights `[M, W]` after training, in the order of `program`, and seconds a network and update (NaN: one only)."""

    weights: Tensor
    seconds: float


# --- clocks ----------------------------------------------------------------------------------------------------------


def clock(device: torch.device) -> float:
    """Seconds that this process has computed, which others on the machine do not lengthen; on a GPU, of the wall."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def spent() -> float:
    """Seconds that this process has computed, and the programs that it called, such as a C++ compiler."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


class Watch:
    """Seconds from the second update of a run to its last: the first also draws the order of the examples."""

    def __init__(self, device: torch.device):
        self.device, self.seconds, self._began = device, 0.0, 0.0

    def before(self, step: int) -> None:
        if step == 1:
            self._began = clock(self.device)

    def after(self, updates: int) -> None:
        if updates > 1:
            self.seconds += clock(self.device) - self._began

    def each(self, job: Job) -> float:
        """Seconds a network and update."""
        return per_update(self.seconds, job)


def per_update(seconds: float, job: Job) -> float:
    """Seconds a network and update, from those of all networks and of all updates but the first."""
    updates = len(job.seeds) * (job.recipe.steps - 1)
    return seconds / updates if updates else float("nan")


# --- the program -----------------------------------------------------------------------------------------------------


def program(model: Model) -> nn.Module:
    """The same architecture as it is written with `torch.nn`; `ValueError` where it is none of those known here."""
    if isinstance(model, MLP) and not model.norm:
        activation = nn.GELU if model.activation == "gelu" else nn.ReLU
        sizes = [t[0].shape for name, t in _one(model).items() if name.endswith("weight")]
        layers = [layer for rows, columns in sizes for layer in (nn.Linear(rows, columns), activation())]
        return nn.Sequential(nn.Flatten(), *layers[:-1])
    if isinstance(model, CNN) and len(model.input_shape) == 2:
        kernels = [t[0].shape for name, t in _one(model).items() if name.startswith("conv") and t.dim() == 4]
        layers = [part for o, i, k in kernels for part in (nn.Conv1d(i, o, k, stride=2, padding=1), nn.ReLU())]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(*_one(model)["head.weight"][0].shape))
    raise ValueError(f"{model} has no program here; take an MLP without norms, or a CNN for signals")


def _one(model: Model) -> Tensors:
    """The tensors of one network, for their shapes."""
    return model.layout.tensors(torch.empty(1, model.layout.size))


def tensors(model: Model, theta: Tensor) -> Tensors:
    """The weights of a stack by their names in `program`, each `[M, ...]`: copies, the matrices as `nn.Linear` has."""
    names = [name for name, _ in program(model).named_parameters()]
    views = [t.mT if t.dim() == 3 else t for t in model.layout.tensors(theta).values()]
    return {n: t.clone(memory_format=torch.contiguous_format) for n, t in zip(names, views, strict=True)}


def flat(weights: Tensors) -> Tensor:
    """All weights of each network in a row `[M, W]`."""
    return torch.cat([t.flatten(1) for t in weights.values()], dim=1)


def update_of(model: Model, recipe: Recipe) -> Update:
    """One update of one network as a function: weights, velocities, inputs and labels to new weights and velocities."""
    net, lr, momentum = program(model), recipe.lr, recipe.momentum

    def update(weights: Tensors, velocity: Tensors, x: Tensor, y: Tensor) -> tuple[Tensors, Tensors]:
        gradient = grad(lambda w: F.cross_entropy(functional_call(net, w, (x,)), y))(weights)
        velocity = {name: momentum * velocity[name] + gradient[name] for name in weights}
        return {name: weights[name] - lr * velocity[name] for name in weights}, velocity

    return update


# --- ways ------------------------------------------------------------------------------------------------------------


def loop(job: Job) -> Run:
    """One network after another, as `torch.nn` and `torch.optim` are used everywhere."""
    watch, ends = Watch(job.theta.device), []
    net, start = program(job.model).to(job.theta), tensors(job.model, job.theta)
    for row, seed in enumerate(job.seeds):
        net.load_state_dict({name: t[row] for name, t in start.items()})
        optimizer = torch.optim.SGD(net.parameters(), lr=job.recipe.lr, momentum=job.recipe.momentum)
        batches = job.batches([seed])
        for step in range(job.recipe.steps):
            watch.before(step)
            batch = batches.at(step)
            optimizer.zero_grad()
            F.cross_entropy(net(batch.x[0]), batch.target[0]).backward()
            optimizer.step()
        watch.after(job.recipe.steps)
        ends.append({name: t.detach().clone()[None] for name, t in net.named_parameters()})
    return Run(torch.cat([flat(end) for end in ends]), watch.each(job))


def one_by_one(job: Job, update: Update) -> Run:
    """One network after another, by a function that makes one update of one network."""
    watch, start, ends = Watch(job.theta.device), tensors(job.model, job.theta), []
    for row, seed in enumerate(job.seeds):
        weights, batches = {name: t[row].clone() for name, t in start.items()}, job.batches([seed])
        velocity = {name: torch.zeros_like(t) for name, t in weights.items()}
        for step in range(job.recipe.steps):
            watch.before(step)
            batch = batches.at(step)
            weights, velocity = update(weights, velocity, batch.x[0], batch.target[0])
        watch.after(job.recipe.steps)
        ends.append(flat({name: t[None] for name, t in weights.items()}))
    return Run(torch.cat(ends), watch.each(job))


def together(job: Job, update: Update) -> Run:
    """All networks at once, by a function that makes one update of all."""
    watch, weights = Watch(job.theta.device), tensors(job.model, job.theta)
    velocity, batches = {name: torch.zeros_like(t) for name, t in weights.items()}, job.batches(job.seeds)
    for step in range(job.recipe.steps):
        watch.before(step)
        batch = batches.at(step)
        weights, velocity = update(weights, velocity, batch.x, batch.target)
    watch.after(job.recipe.steps)
    return Run(flat(weights), watch.each(job))


def stack(job: Job) -> Run:
    """The stack of this companion, by `train` itself."""
    seen = frozenset({1, job.recipe.steps})
    times = Observer("clock", lambda now: clock(now.theta.device), seen)
    run = train(job.model, job.task, job.recipe, job.seeds, observers=[times], init=job.theta)
    read = [value for _, value in run.recorded("clock")]
    return Run(flat(tensors(job.model, run.theta)), per_update(read[-1] - read[0], job))


def batched(update: Update) -> Update:
    """The same function for all networks at once, by `vmap`."""
    return vmap(update)


# --- the compiler ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compiled:
    """A compiled function and the seconds that this took; or no function, and the reason."""

    function: Callable | None
    seconds: float
    reason: str = ""


def compiled(function: Callable, *example: Tensors | Tensor) -> Compiled:
    """The function compiled for inputs like the `example`, from nothing."""
    from torch.compiler import config  # slow to import

    try:
        with warnings.catch_warnings(), config.patch(force_disable_caches=True):
            warnings.simplefilter("ignore")  # what is said of caches that are switched off, and of the machine
            began = spent()
            fast = torch.compile(function, fullgraph=True, dynamic=False, **COMPILER)
            fast(*example)
            return Compiled(fast, spent() - began)
    # Whatever is missing, a compiler, its headers or a version that fits, each is an error of its own kind.
    except Exception as error:
        return Compiled(None, float("nan"), f"{type(error).__name__}: {(str(error) or 'no reason').splitlines()[0]}")


def start_compiler(device: torch.device) -> None:
    """Forget what was compiled before, and compile a trifle, so that what a process pays only once is paid."""
    torch.compiler.reset()
    compiled(_trifle, torch.ones(64, device=device))


def _trifle(x: Tensor) -> Tensor:
    return 2 * x + 1


# --- what is left if all but matrix products were free ----------------------------------------------------------------


def products(model: MLP, members: int, batch: int, repeats: int, device: torch.device) -> float:
    """Seconds a network and update that the matrix products of an update take alone, batched over `members`.

    For each layer the outputs and the gradient of the weights, and but for the first layer that of the inputs.
    """
    sizes = [t[0].shape for name, t in _one(model).items() if name.endswith("weight")]
    jobs = []
    for layer, (rows, columns) in enumerate(sizes):
        shapes = (batch, rows), (rows, columns), (batch, columns)
        x, w, slope = (torch.randn(members, *shape, device=device) for shape in shapes)
        jobs += [(x, w, torch.empty_like(slope)), (x.mT, slope, torch.empty_like(w))]
        jobs += [(slope, w.mT, torch.empty_like(x))] if layer else []
    began = 0.0
    for repeat in range(repeats + 1):
        if repeat == 1:  # the first is not counted
            began = clock(device)
        for a, b, out in jobs:
            torch.bmm(a, b, out=out)
    return (clock(device) - began) / (repeats * members)
