"""Checkpoints inside a training run: what it needs to go on where it was killed, to the last bit.

    with keeping(store, "a name of the computation", every=60):
        theta = train(...).theta  # killed, and begun again under the same name: goes on from the last checkpoint

Every random number of a run has a name (see `streams`), so there is little to keep: weights, the optimiser's state, and
what observers have seen. What is kept is plain: numbers, texts, and arrays, never code. A run is kept only where all of
its observers say what they change beside what they return (`Observer.state`). What is done is forgotten.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from butterfly.strict import UserError

EVERY = 60.0  # seconds between two checkpoints
SHARE = 0.05  # of the time that writing them may take
Arrays = dict[str, np.ndarray]


class Store(Protocol):
    """Where checkpoints lie: files by name, each whole or not at all."""

    def save(self, key: str, arrays: Arrays, about: dict[str, Any]) -> None:
        """Keep arrays and what JSON can hold about them; `UserError` where that fails."""

    def load(self, key: str) -> tuple[Arrays, dict[str, Any]]:
        """What was kept; `LookupError` if it is not there, or not sound."""

    def forget(self, key: str) -> None:
        """Remove it, if it is there."""


class Evolving(Protocol):
    """What changes while a run is watched."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> object: ...


@dataclass
class Run:
    """One training run of a computation: its place among them, and where it is kept."""

    store: Store
    name: str
    every: float
    _when: float = field(default_factory=time.monotonic)  # of the last checkpoint, or of the beginning
    _cost: float = 0.0  # seconds that it took
    _kept: bool = False

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._when >= max(self.every, self._cost / SHARE)

    def save(self, state: Any) -> None:
        """Keep a state in the place of the one before; what cannot be kept is told once, and the run goes on."""
        began, arrays = time.monotonic(), {}
        try:
            about = {"state": packed(state, arrays)}
            self.store.save(self.name, arrays, about)
            self._kept = True
        except (UserError, TypeError) as error:
            warnings.warn(f"no checkpoint: {error}", stacklevel=2)
            self.every = float("inf")
        self._when = time.monotonic()
        self._cost = self._when - began

    def done(self, state: Any) -> None:
        """Keep the end of a run that was long enough for a checkpoint: others of the computation may follow it."""
        if self._kept:
            self.save(state)

    def load(self, device: torch.device) -> Any:
        """The state that was kept; None where there is none that is sound."""
        try:
            arrays, about = self.store.load(self.name)
            state = unpacked(about["state"], arrays, device)
        except (LookupError, TypeError, ValueError):
            return None
        self._kept = True
        return state


@dataclass
class _Keeper:
    """The computation under way: where its runs are kept, and how many there were."""

    store: Store
    name: str
    every: float
    runs: int = 0


_now: list[_Keeper] = []


@contextlib.contextmanager
def keeping(store: Store, name: str, every: float = EVERY) -> Iterator[None]:
    """Keep the training runs inside, in the order in which they come, every so many seconds.

    Begun again under the same name, they go on; whatever decides their numbers belongs into the name. Once the
    computation is done its checkpoints are removed; after an error they stay.
    """
    keeper = _Keeper(store, name, every)
    _now.append(keeper)
    try:
        yield
    finally:
        _now.remove(keeper)
    for place in range(keeper.runs):
        store.forget(_name(keeper, place))


def next_run() -> Run | None:
    """The next training run of the computation under way; None where none is kept."""
    if not _now:
        return None
    keeper = _now[-1]
    keeper.runs += 1
    return Run(keeper.store, _name(keeper, keeper.runs - 1), keeper.every)


def _name(keeper: _Keeper, place: int) -> str:
    return f"{keeper.name}-{place}"


# --- plain values ----------------------------------------------------------------------------------------------------


def packed(value: Any, arrays: Arrays) -> Any:
    """A value as JSON can hold it, its arrays aside; `TypeError` for what is not plain."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        return {"tensor": _aside(value.detach().cpu().numpy(), arrays)}
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise TypeError("an array of objects cannot be kept")
        return {"scalar" if isinstance(value, np.generic) else "array": _aside(np.asarray(value), arrays)}
    if type(value) in (list, tuple, set):
        return {type(value).__name__: [packed(part, arrays) for part in value]}
    if isinstance(value, Mapping):
        return {"dict": [[packed(k, arrays), packed(v, arrays)] for k, v in value.items()]}
    raise TypeError(f"a {type(value).__name__} cannot be kept; observers may return numbers, texts, arrays, and dicts")


def _aside(array: np.ndarray, arrays: Arrays) -> str:
    name = str(len(arrays))
    arrays[name] = array
    return name


def unpacked(kept: Any, arrays: Arrays, device: torch.device) -> Any:
    """The value that was packed, its tensors on a device."""
    if not isinstance(kept, dict):
        return kept
    ((kind, value),) = kept.items()
    match kind:
        case "tensor":
            return torch.from_numpy(arrays[value]).to(device, copy=True)  # aligned as torch does it
        case "array":
            return arrays[value]
        case "scalar":
            return arrays[value][()]
        case "dict":
            return {unpacked(k, arrays, device): unpacked(v, arrays, device) for k, v in value}
        case _:
            return {"list": list, "tuple": tuple, "set": set}[kind](unpacked(part, arrays, device) for part in value)
