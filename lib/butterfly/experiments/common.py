"""What every experiment shares: strict parameters read from a notebook or a profile, and running its shards."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from IPython import get_ipython
from IPython.display import clear_output
from pydantic import Field

from butterfly import paths, runs
from butterfly.strict import ParameterError, Strict

# What IPython keeps in a notebook's namespace.
_SHELL = {"In", "Out"}


class Common(Strict):
    """Parameters that every notebook has."""

    profile: str = Field("smoke", pattern=r"^[a-z][a-z0-9-]*$")  # names the folder of figures
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")

    @classmethod
    def of(cls, namespace: dict[str, Any]) -> Self:
        """Read the parameters from a notebook's globals: every plain value defined there must be one."""
        plain = bool, int, float, str, list, tuple, dict, type(None)
        values = {
            name: value
            for name, value in namespace.items()
            if not name.startswith("_") and name not in _SHELL and isinstance(value, plain)
        }
        return cls.read(values, "parameters of the notebook")


def check_device(device: str) -> None:
    """A clear error where the machine lacks the device asked for."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ParameterError(f"device = '{device}', but torch sees no GPU; use DEVICE=cpu, or a CUDA build of torch")


def compute(
    function: runs.Compute, configs: Sequence[runs.Config], cost: Callable[[runs.Config], float]
) -> list[runs.Arrays]:
    """All shards, from the store or computed in `BUTTERFLY_JOBS` processes (by default, one a core).

    On a GPU they are computed one after another in this process.
    """
    store = runs.Store(paths.runs())
    runs.prepare()
    jobs = min(len(configs), _jobs())
    with _progress() as report:
        if jobs == 1 or any(config["device"] != "cpu" for config in configs):
            return runs.collect(function, configs, store, report=report, cost=cost)
        with runs.workers(jobs) as pool:
            return runs.collect(function, configs, store, executor=pool, report=report, cost=cost)


def _jobs() -> int:
    text = os.environ.get("BUTTERFLY_JOBS") or str(os.cpu_count() or 1)
    if not text.isdigit() or int(text) < 1:
        raise ParameterError(f"JOBS = {text!r}: give the number of processes, 1 or more")
    return int(text)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Lines on the terminal; in a notebook, one line that is replaced and is gone at the end."""
    if get_ipython() is None:
        yield lambda line: print(f"  {line}", file=sys.stderr, flush=True)
        return

    def replace(line: str) -> None:
        clear_output(wait=True)
        print(line)

    yield replace
    clear_output()
