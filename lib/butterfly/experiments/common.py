"""What every experiment shares: strict parameters read from a notebook or a profile, and running its shards."""

import ast
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
_READ = "_butterfly_parameters_read"


class Common(Strict):
    """Parameters that every notebook has."""

    profile: str = Field("smoke", pattern=r"^[a-z][a-z0-9-]*$")  # names the folder of figures
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")

    @classmethod
    def of(cls, namespace: dict[str, Any]) -> Self:
        """Read the parameters from a notebook's globals: every plain value defined there must be one.

        When a reader changes a value and runs the cell again, the results of later cells are there too; then only what
        cells assign together with a parameter counts.
        """
        plain = bool, int, float, str, list, tuple, dict, type(None)
        names = {name for name, value in namespace.items() if isinstance(value, plain) and not name.startswith("_")}
        if _READ in namespace:
            names &= _assigned_beside(set(cls.model_fields), namespace.get("In", []))
        params = cls.read({name: namespace[name] for name in names - _SHELL}, "parameters of the notebook")
        namespace[_READ] = True
        return params


def _assigned_beside(fields: set[str], cells: Sequence[str]) -> set[str]:
    """Names that cells assign which assign one of the fields."""
    found = set()
    for cell in cells:
        try:
            statements = ast.parse(cell).body
        except SyntaxError:  # a cell of shell commands, or one that failed
            continue
        targets = [t for s in statements if isinstance(s, ast.Assign) for t in s.targets]
        names = {t.id for t in targets if isinstance(t, ast.Name)}
        found |= names if names & fields else set()
    return found


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
