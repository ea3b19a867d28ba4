"""Is my training chaotic? Kicked twins for a training loop of your own.

    found = trial(loop, net, optimizer, scheduler, x=x, y=y, loss=torch.nn.functional.cross_entropy)
    print(found)  # chaotic: a kick of 0.001 ends behind a barrier of 0.34, ...

`loop(net, optimizer, scheduler)` trains them from where they stand to the end. It runs three times, with the same
random numbers: with your own objects, with an exact copy (the control), and with a copy whose weights were kicked (the
twin). Where one call does not fit, there are three: `fork`, `kick` and `compare`.
"""

import copy
import math
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from butterfly.interpolate import barrier
from butterfly.streams import generator

Loss = Callable[[Any, Any], Tensor]  # of the outputs on all examples and the targets: their mean
# From this share of what was learned on, a barrier is called one: far above what rounding makes, and an order below
# that between networks of different starts.
LEVEL = 0.05
_AT_ONCE = 1024  # examples


def fork(*objects: Any, shared: Iterable[Any] = ()) -> tuple:
    """Exact copies of a network, its optimiser, scheduler and what else training changes, tied as the originals are.

    Moments, counters and gradients are copied. `shared` are objects inside them that training leaves alone, such as a
    data set: they are not copied.
    """
    kept = {id(same): same for same in shared}
    copies = copy.deepcopy(objects, kept)
    for value in _parameters(objects):
        if value.grad is not None:
            kept[id(value)].grad = value.grad.clone()  # which deepcopy leaves out
    return copies


def _parameters(objects: Iterable[Any]) -> list[nn.Parameter]:
    """The parameters of the networks among objects, and of those that objects hold as their `model`."""
    return [p for net in map(_network_in, objects) if net is not None for p in net.parameters()]


def _network_in(thing: Any) -> nn.Module | None:
    found = thing if isinstance(thing, nn.Module) else getattr(thing, "model", None)
    return found if isinstance(found, nn.Module) else None


def kick(net: nn.Module, size: float, seed: int = 0) -> float:
    """Move the weights of a network, in place; returns how far, in L2.

    Every entry of each trained tensor of two or more axes is drawn with the standard deviation `s` that the tensor has
    now; the displacement is `size * |s|` long, in a direction that depends on the seed alone.
    """
    weights = [p for p in net.parameters() if p.requires_grad and p.dim() > 1]
    draws, stream = [], generator("twin kick", seed)
    for p in weights:
        noise = torch.randn(p.shape, generator=stream, dtype=torch.float64)
        draws.append(noise.to(p.device) * p.detach().double().std())
    unit = math.sqrt(sum(p.numel() * p.detach().double().var().item() for p in weights))
    length = math.sqrt(sum(d.square().sum().item() for d in draws))
    if not 0 < length < math.inf:
        raise ValueError(
            "the network has no weights to kick: all tensors of two or more axes are frozen, 0 or not finite"
        )
    moved = 0.0
    with torch.no_grad():
        for p, d in zip(weights, draws, strict=True):
            before = p.detach().clone()
            p.add_((size * unit / length * d).to(p.dtype))
            moved += (p.double() - before.double()).square().sum().item()
    if size and not moved:
        raise ValueError(f"a kick of {size:g} is lost in the rounding of {weights[0].dtype}: give a larger size")
    return math.sqrt(moved)


@dataclass(frozen=True)
class Comparison:
    """Two networks: how far apart, how high the barrier between them, how often they answer differently."""

    distance: float  # in L2, over all parameters
    barrier: float  # largest excess of the loss on the straight line over the chord between its ends
    disagreement: float  # share of examples with another largest output; NaN where there are no classes
    learned: float  # mean loss of the two when answers do not look at the inputs, minus their loss

    @property
    def share(self) -> float:
        """The barrier as a share of what was learned; NaN where nothing was."""
        return self.barrier / self.learned if self.learned > 0 else math.nan


def compare(one: nn.Module, other: nn.Module, x: Any, y: Any, loss: Loss, points: int = 11) -> Comparison:
    """Compare two networks on examples `x`, `y`, in eval mode, at `points` networks on the straight line between them.

    `loss(outputs, y)` is the mean over the examples; outputs are what the network returns, or the `logits` of that.
    Floating-point buffers (such as running means) are interpolated as weights are. No network is changed.
    """
    middle = copy.deepcopy(one).eval()
    ends = [{name: value.detach().clone() for name, value in net.state_dict().items()} for net in (one, other)]
    alphas = torch.linspace(0, 1, points, dtype=torch.float64)
    losses, answers = [], []
    for alpha in alphas.tolist():
        middle.load_state_dict({name: _between(value, ends[1][name], alpha) for name, value in ends[0].items()})
        answers = [*answers[:1], _outputs(middle, x)]  # the first and the last
        losses.append(float(loss(answers[-1], y)))
    blind = [float(loss(found.mean(0, keepdim=True).expand_as(found), y)) for found in answers]
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    distance = math.sqrt(sum((a.detach().double() - b.detach().double()).square().sum().item() for a, b in pairs))
    height = barrier(torch.tensor([losses], dtype=torch.float64), alphas).item()
    learned = (sum(blind) - losses[0] - losses[-1]) / 2
    return Comparison(distance, height, _disagreement(*answers), learned)


def _between(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    return torch.lerp(a, b, alpha) if a.is_floating_point() else a


def _outputs(net: nn.Module, x: Any) -> Tensor:
    parts = x.split(_AT_ONCE) if isinstance(x, Tensor) else [x]
    with torch.no_grad():
        found = [net(**part) if isinstance(part, dict) else net(part) for part in parts]
    return torch.cat([getattr(part, "logits", part) for part in found])


def _disagreement(a: Tensor, b: Tensor) -> float:
    if a.dim() < 2 or a.shape[-1] < 2:
        return math.nan
    return (a.argmax(-1) != b.argmax(-1)).double().mean().item()


@dataclass(frozen=True)
class Trial:
    """What became of a kick. Printed, it is one line.

    The rule, in this order. `not deterministic`: the control, kicked by nothing, does not equal its parent to the last
    bit, so what parts the twins is not the kick alone. `nothing learned`: the loss at the end is not below that of
    answers that do not look at the inputs, or not finite. `chaotic`: the barrier is above `level` times what was
    learned. `stable`: it is not.
    """

    size: float
    kicked: float  # how far the kick moved the network, in L2
    control: float  # largest difference between the parent and its unkicked copy, at the end
    twin: Comparison
    level: float = LEVEL

    @property
    def word(self) -> str:
        """`chaotic`, `stable`, `not deterministic` or `nothing learned`."""
        if self.control:
            return "not deterministic"
        if not self.twin.share < math.inf:
            return "nothing learned"
        return "chaotic" if self.twin.share > self.level else "stable"

    def __str__(self) -> str:
        twin = self.twin
        if self.control:
            return (
                f"{self.word}: a copy that nobody kicked ends {self.control:.2g} away; seed what the loop draws, hand "
                "it all that it changes, and try torch.use_deterministic_algorithms(True)"
            )
        if self.word == "nothing learned":
            return f"{self.word}: the loss ends no lower than that of answers that do not look at the inputs"
        disagree = "" if math.isnan(twin.disagreement) else f", and {twin.disagreement:.1%} of the answers differ"
        return (
            f"{self.word}: a kick of {self.size:g} grew {twin.distance / self.kicked:.3g}-fold; the barrier is "
            f"{twin.barrier:.3g}, {twin.share:.1%} of what was learned (chaotic above {self.level:.0%}){disagree}"
        )


def trial(
    loop: Callable[..., object],
    *state: Any,
    x: Any,
    y: Any,
    loss: Loss,
    size: float = 1e-3,
    seed: int = 0,
    level: float = LEVEL,
    points: int = 11,
    shared: Iterable[Any] = (),
) -> Trial:
    """Train a network, a control and a kicked twin by `loop(*state)`, and compare them on `x`, `y` at the end.

    `state` is all that the loop changes: the network first (or an object that holds it as `model`, such as a trainer),
    then the optimiser, a scheduler, a generator. The random numbers of torch, numpy and Python are those of the first
    run in all three. Afterwards your own objects are trained as if the loop had run once. For `loss` and `points` see
    `compare`, for `size` and `seed` `kick`, for `shared` `fork`, for `level` `Trial`.
    """
    if not state or _network_in(state[0]) is None:
        raise ValueError("the first object after the loop must be a torch.nn.Module, or hold one as its 'model'")
    control, twin = fork(*state, shared=shared), fork(*state, shared=shared)
    nets = [_network_in(objects[0]) for objects in (state, control, twin)]
    kicked = kick(nets[2], size, seed)
    noise = _noise()
    loop(*state)
    with _kept_noise(), warnings.catch_warnings():
        # A copied optimiser has lost a mark by which a scheduler tells that it was stepped; the step is the same.
        warnings.filterwarnings("ignore", r"Seems like .optimizer\.step\(\). has been overridden")
        for objects in (control, twin):
            _set_noise(noise)
            loop(*objects)
    return Trial(size, kicked, _apart(*nets[:2]), compare(nets[0], nets[2], x, y, loss, points), level)


def _apart(one: nn.Module, other: nn.Module) -> float:
    """The largest difference between two networks, buffers included; infinity where one is not a number."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    unlike = [(a, b) for a, b in pairs if not torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)]
    apart = [(a.double() - b.double()).abs().max().item() for a, b in unlike]
    return max([math.inf if math.isnan(value) else value for value in apart], default=0.0)


def _noise() -> tuple:
    """The states of all generators that programs draw from without naming one."""
    gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return torch.get_rng_state(), gpu, np.random.get_state(), random.getstate()


def _set_noise(states: tuple) -> None:
    torch.set_rng_state(states[0])
    for device, state in enumerate(states[1]):
        torch.cuda.set_rng_state(state, device)
    np.random.set_state(states[2])
    random.setstate(states[3])


@contextmanager
def _kept_noise() -> Iterator[None]:
    states = _noise()
    try:
        yield
    finally:
        _set_noise(states)
