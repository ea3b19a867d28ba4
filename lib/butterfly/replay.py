"""Forward and backward pass of a small stack as one CUDA graph: recorded once, replayed at every update.

A small network is many short kernels, each of which the host has to launch; a graph launches all of them at once. The
kernels are the same, so the numbers should be: what is replayed is compared with the pass itself, to the last bit, at
updates 1, 2, 4, 8 and so on after each recording.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from butterfly import train
from butterfly.batches import Batch
from butterfly.strict import ParameterError

VARIABLE = "BUTTERFLY_GRAPHS"  # 1: shards that this process computes on its GPU are replayed
_WARM_UP = 3  # passes before one is recorded, as PyTorch asks: libraries choose kernels and take memory in the first

Pass = Callable[[], Tensor]
Recording = tuple[Tensor, Callable[[], Any]]  # where the result lies, and what computes it anew


@contextmanager
def recorded() -> Iterator[None]:
    """Within this, `train` replays stacks on a GPU that go through the network in one block, without dropout.

    The objective has to be a function of its arguments alone: what it reads elsewhere stays what it was. A pass that
    cannot be recorded, or whose replay differs at once, is computed as ever, with a warning; `RuntimeError` where a
    replay begins to differ later.
    """
    before, train._Run = train._Run, _Run
    try:
        yield
    finally:
        train._Run = before


def asked() -> Any:
    """`recorded()` where `BUTTERFLY_GRAPHS` is 1, and nothing where it is 0 or not set."""
    text = os.environ.get(VARIABLE) or "0"
    if text not in ("0", "1"):
        raise ParameterError(f"GRAPHS = '{text}': give 1, or 0 for none")
    return recorded() if text == "1" else nullcontext()


class _Run(train._Run):
    """A run that replays."""

    def __init__(self, *given: Any):
        super().__init__(*given)
        self._replay: _Replay | None = None
        self._block: train._Block | None = None  # what was recorded: these members,
        self._places: tuple = ()  # where they lie in memory, and the shape of their inputs
        self._given_up = self.recipe.dropout > 0 or self.theta.device.type not in _RECORDERS

    def _gradient(self, own: train._Block, batch: Batch, drop: train._Dropout) -> Tensor:
        """As ever, or replayed."""
        if self._given_up or own.seen.count < len(self.members):
            return super()._gradient(own, batch, drop)
        places = self.theta.data_ptr(), batch.x.shape
        if self._replay is None or self._block is not own or self._places != places:  # a fork, or other minibatches
            self._replay, self._block, self._places = None, own, places
            compute = super()._gradient
            try:
                self._replay = _Replay(lambda seen: compute(own, seen, drop), batch)
            except RuntimeError as error:
                return self._without(f"cannot be recorded ({_first_line(error)})", own, batch, drop)
        gradient, count = self._replay.of(batch), self._replay.count
        if not count & (count - 1):
            truth = super()._gradient(own, batch, drop)
            if not torch.equal(gradient, truth):  # the host waits for the GPU, as often as the logarithm of the updates
                if count > 1:
                    raise RuntimeError(
                        f"a replayed update is not the update itself ({count} after it was recorded): the objective is "
                        "no function of its arguments alone; train without GRAPHS=1 or recorded()"
                    )
                return self._without("differs when it is replayed", own, batch, drop)
        return gradient

    def _without(self, why: str, *given: Any) -> Tensor:
        self._given_up, self._replay = True, None
        warnings.warn(f"the pass of {len(self.members)} networks {why}; it is computed as ever", stacklevel=5)
        return super()._gradient(*given)


class _Replay:
    """One recorded pass and the minibatch that it reads, in memory that stays where it is."""

    def __init__(self, compute: Callable[[Batch], Tensor], batch: Batch):
        weight = None if batch.weight is None else batch.weight.clone()
        self.batch = Batch(batch.x.clone(), batch.target.clone(), weight)
        self.count = 0  # how often it was replayed
        record = _RECORDERS[batch.x.device.type]
        self.gradient, self.again = record(lambda: compute(self.batch))

    def of(self, batch: Batch) -> Tensor:
        """The gradient on a minibatch, in the same memory each time."""
        self.batch.x.copy_(batch.x)
        self.batch.target.copy_(batch.target)
        if self.batch.weight is not None and batch.weight is not None:
            self.batch.weight.copy_(batch.weight)
        self.again()
        self.count += 1
        return self.gradient


def _graph(compute: Pass) -> Recording:
    """Record a pass on the GPU."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            compute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = compute()
    return result, graph.replay


_RECORDERS: dict[str, Callable[[Pass], Recording]] = {"cuda": _graph}  # by kind of device


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
