"""What every experiment shares: strict parameters read from a notebook or a profile, and running its shards."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Self

import torch
from pydantic import Field

from butterfly import paths, runs
from butterfly.strict import ParameterError, Strict

# What IPython keeps in a notebook's namespace.
_SHELL = {"In", "Out"}


class Common(Strict):
    """Parameters that every notebook has."""

    profile: str = Field("smoke", pattern=r"^[a-z][a-z0-9/-]*$")  # names the folder of figures
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
        raise ParameterError(
            f"device = '{device}', but torch sees no GPU here; use DEVICE=cpu, or a CUDA build of torch"
        )


def compute(function: runs.Compute, configs: Sequence[runs.Config], jobs: int | None = None) -> list[runs.Arrays]:
    """All shards, from the store or computed in `jobs` processes (as many as `BUTTERFLY_JOBS` or the cores).

    On a GPU they are computed one after another in this process.
    """
    store = runs.Store(paths.runs())
    on_gpu = any(config.get("device", "cpu") != "cpu" for config in configs)
    jobs = min(len(configs), jobs or int(os.environ.get("BUTTERFLY_JOBS", "0")) or os.cpu_count() or 1)
    runs.single_thread()
    if jobs <= 1 or on_gpu:
        return runs.collect(function, configs, store, report=_report)
    with runs.workers(jobs) as pool:
        return runs.collect(function, configs, store, executor=pool, report=_report)


def _report(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)
