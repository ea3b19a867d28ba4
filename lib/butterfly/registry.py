"""Finding architectures and data sets by name: one file each, and nothing else to edit.

`models/mlp.py` serves the names that begin with `mlp`, `data/digits.py` the name `digits`. Only the file that a name
asks for is imported, and what was asked for is remembered: the identity of a result counts the files that its
configuration names, and what a computation opens beyond them is refused.
"""

import importlib
import re
from pathlib import Path
from types import ModuleType

OPENED: set[str] = set()  # the modules that were asked for by name since the set was last cleared
_PACKAGE = Path(__file__).parent


def file_of(room: str, name: str) -> str | None:
    """The file of `models` or `data` that a name belongs to, as `mlp` for `mlp-4x64`; None if there is none."""
    stem = re.match(r"[a-z0-9]*", name)[0]
    for candidate in (stem, stem.rstrip("0123456789")):
        if candidate != "base" and candidate and (_PACKAGE / room / f"{candidate}.py").exists():
            return candidate
    return None


def files(room: str) -> list[str]:
    """All files of `models` or `data` that serve names."""
    return sorted(p.stem for p in (_PACKAGE / room).glob("[a-z]*.py") if p.stem not in ("base", "hub", "human"))


def open_file(room: str, name: str) -> ModuleType | None:
    """The module of `models` or `data` that serves a name; None if there is none."""
    stem = file_of(room, name)
    if stem is None:
        return None
    OPENED.add(f"butterfly.{room}.{stem}")
    return importlib.import_module(f"butterfly.{room}.{stem}")
