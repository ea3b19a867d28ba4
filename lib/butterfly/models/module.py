"""Any stateless `torch.nn.Module` as an architecture: `models.of(module, example)`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from butterfly import align, foreign
from butterfly.foreign import Axes, Maker
from butterfly.models.base import Drop, Model, See, Tensors, keep, overlook
from butterfly.stack import Layout, Parameter
from butterfly.streams import generator

PATTERN = r"(?!)"  # no name: it is made from a module, as in models.of(module, example)


@dataclass(frozen=True)
class Module(Model):
    """A stack of one `torch.nn.Module`, run by `torch.func.functional_call` under `torch.vmap`.

    Tensors have the names and shapes that they have in the module. Hidden layers are what its children return (those of
    containers one by one); the trainer's dropout falls where `torch.nn.Dropout(0)` stands.
    """

    make: Maker
    module: nn.Module  # its form: the weights in it are never used
    parameters: tuple[Parameter, ...]
    activations: int = 0  # numbers kept for one example
    places: tuple[tuple[int, ...], ...] = ()  # shapes of what the Dropout layers return for one example, in order

    @cached_property
    def layout(self) -> Layout:
        known = any(p.writes for p in self.parameters)
        return (Layout if known else _Unordered)(list(self.parameters))

    def init(self, seeds: list[int]) -> Tensor:
        """One network a seed `[M, P]`, as the module's own initialisation makes it, from the stream of that seed."""
        networks = [dict(foreign.fresh(self.make, "init", seed).named_parameters()) for seed in seeds]
        return self.layout.stack({p.name: torch.stack([n[p.name].detach() for n in networks]) for p in self.parameters})

    def forward(self, p: Tensors, x: Tensor, drop: Drop = keep, see: See = overlook) -> Tensor:
        masks = self._masks(x, drop)
        fixed = {n: b.to(x) if b.is_floating_point() else b.to(x.device) for n, b in self.module.named_buffers()}

        def one(p: Tensors, x: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensors]:
            with self._hooked(masks, see is not overlook) as seen:
                return functional_call(self.module, p | fixed, (x,)), seen

        with sdpa_kernel(SDPBackend.MATH):  # the only kernel of attention that knows vmap, and second derivatives
            logits, seen = vmap(one)(p, x, masks)
        for name, h in seen.items():
            see(name, h)
        return logits

    def _masks(self, x: Tensor, drop: Drop) -> list[Tensor]:
        """What each Dropout layer multiplies its input with `[M, B, ...]`; none without dropout."""
        if drop is keep:
            return []
        if not self.places:
            raise ValueError("dropout needs a place in the module: put torch.nn.Dropout(0) where its masks should fall")
        return [drop(x.new_ones(*x.shape[:2], *shape)) for shape in self.places]

    @contextmanager
    def _hooked(self, masks: list[Tensor], looking: bool) -> Iterator[Tensors]:
        """The hidden layers by name, seen while the module runs; dropout layers apply their masks."""
        seen: Tensors = {}
        waiting, handles = iter(masks), []

        def watch(name: str) -> Callable:
            return lambda layer, given, h: seen.__setitem__(name, h) if isinstance(h, Tensor) and h.dim() > 1 else None

        if masks:
            for layer in _dropouts(self.module):
                handles.append(layer.register_forward_hook(lambda layer, given, h: h * next(waiting)))
        if looking:
            groups = any(p.writes for p in self.parameters)
            for name, layer in foreign.watched(self.module):
                if not groups or name in self.layout.groups:
                    handles.append(layer.register_forward_hook(watch(name)))
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()


class _Unordered(Layout):
    """The layout of a module of which nobody knows which units may be permuted."""

    @property
    def groups(self) -> dict[str, int]:
        raise ValueError(
            "which hidden units of this module may be permuted is known only for torch.nn.Sequential of linear and "
            "convolutional layers, activation functions, pools, Flatten and LayerNorm; else give axes, as in "
            'models.of(module, example, axes={"first.weight": ("hidden", ""), "second.weight": ("", "hidden")})'
        )


def stack_of(make: Maker, example: Tensor, axes: Axes | None = None) -> Module:
    """See `butterfly.models.of`."""
    form, x = foreign.fresh(make, "form").cpu(), example.detach().cpu()
    x = x.float() if x.is_floating_point() else x
    foreign.check_parameters(form)
    answer = foreign.check_answers(form, x)
    kinds = foreign.kinds(form, deviation := foreign.deviations(make))
    derived = axes is None
    if derived:
        axes = foreign.axes_of(form, x) or {}
    shapes = {name: tuple(value.shape) for name, value in form.named_parameters()}
    writers = _writers(shapes, axes, foreign.sizes_of(form, axes))
    parameters = tuple(
        Parameter(n, s, *_start(n, kinds, deviation), *writers.get(n, (0, "")), axes.get(n, ("",) * len(s)))
        for n, s in shapes.items()
    )
    numbers, places = foreign.numbers(form, x), _places(form, x)
    found = Module(tuple(x.shape[1:]), answer.shape[1], make, form, parameters, numbers, places)
    _check_stack(found, x)
    if not _symmetric(found, x):
        if not derived:
            raise ValueError("with its units permuted along these axes the module is another function")
        return stack_of(make, example, {})
    return found


def _start(name: str, kinds: dict[str, tuple[str, float]], deviation: dict[str, float]) -> tuple:
    """Kind, standard deviation, constant (not used: `Module.init`) and unit of a kick."""
    kind, unit = kinds[name]
    return kind, deviation[name], 0.0, unit


def _writers(shapes: dict[str, tuple[int, ...]], axes: Axes, sizes: dict[str, int]) -> dict[str, tuple[int, str]]:
    """For each hidden layer, a tensor that stands for it: its number of units and its name, by the tensor's name."""
    found: dict[str, tuple[int, str]] = {}
    for layer, size in sizes.items():
        own = (name for name, layers in axes.items() if (layer, size) in zip(layers, shapes[name], strict=True))
        free = next((name for name in own if name not in found), None)
        if free is None:
            raise ValueError(f"the hidden layer '{layer}' needs a tensor in which no other hidden layer begins")
        found[free] = size, layer
    return found


def _dropouts(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if type(layer) is nn.Dropout]


def _places(module: nn.Module, x: Tensor) -> tuple[tuple[int, ...], ...]:
    """The shapes of what Dropout layers return for one example, in the order of their calls; they are switched off."""
    shapes: list[tuple[int, ...]] = []
    handles = [
        d.register_forward_hook(lambda d, given, h: shapes.append(tuple(h.shape[1:]))) for d in _dropouts(module)
    ]
    module(x.clone())
    for layer, handle in zip(_dropouts(module), handles, strict=True):
        handle.remove()
        layer.eval()
    return tuple(shapes)


def _check_stack(model: Module, x: Tensor) -> None:
    """Refuse what does not run for many members at once, or has weights that do nothing."""
    theta = model.init([0, 1])
    leaves = {name: view.clone().requires_grad_() for name, view in model.layout.tensors(theta).items()}
    try:
        logits = model.forward(leaves, x.expand(2, *x.shape))
        slopes = torch.autograd.grad(logits.square().sum(), list(leaves.values()), allow_unused=True)
    except (RuntimeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{type(model.module).__name__} does not run under torch.vmap, where the stack runs all members at once "
            f"({said}): use layers without a state or a control flow that depends on values"
        ) from error
    idle = [name for name, slope in zip(leaves, slopes, strict=True) if slope is None]
    if idle:
        raise ValueError(f"{', '.join(idle)} have no part in the answer: leave them out of the module")
    for row, whole in enumerate(logits.detach()):
        alone = functional_call(model.module, {n: v[row].detach() for n, v in leaves.items()}, (x.clone(),))
        if not foreign.near(whole, alone.detach()):
            raise ValueError(f"{type(model.module).__name__} gives other answers under torch.vmap than alone")


def _symmetric(model: Module, x: Tensor) -> bool:
    """Whether the units of its hidden layers can be permuted without changing the function."""
    if not any(p.writes for p in model.parameters):
        return True
    theta = model.init([0])
    order = align.shuffled(model.layout, [generator("symmetry")])
    with torch.no_grad():
        answers = [model.logits(row, x) for row in (theta, align.permute(model.layout, theta, order))]
    return foreign.near(*answers)
