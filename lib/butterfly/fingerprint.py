"""The version of a computation, taken from its code, so that nobody can change it and forget to say so."""

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import torch

_PACKAGE = __name__.partition(".")[0]


@cache
def code(function: Callable) -> str:
    """Fingerprint of a function and of everything in this package it can reach.

    Comments, docstrings and the types in signatures do not count. Where a name is imported from a module
    (`from package.module import name`), the definitions that it uses there count, so that claims and tables, which are
    made after the shards, can change freely; of a module that is imported whole, all of it counts.
    """
    seen: dict[str, str] = {}
    _collect(sys.modules[function.__module__], function.__name__, seen)
    return hashlib.sha256("\n".join(f"{place}:{seen[place]}" for place in sorted(seen)).encode()).hexdigest()[:16]


def environment(device: str) -> dict[str, str]:
    """What else decides the bits of a result: library versions, and the kind of processor that computes."""
    processor = torch.backends.cpu.get_cpu_capability() if device == "cpu" else torch.cuda.get_device_name(device)
    versions = {name: version(name) for name in ("numpy", "scipy")}
    return {"torch": torch.__version__.partition("+")[0], **versions, "processor": processor}


def _source(module: ModuleType) -> str:
    return Path(module.__file__).read_text()


@cache
def _parse(module: ModuleType) -> ast.Module:
    """The syntax tree of a module without docstrings and signatures' types (comments are not in it anyway)."""
    tree = ast.parse(_source(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return tree


def _collect(module: ModuleType, name: str | None, seen: dict[str, str]) -> None:
    """Add to `seen` what a name of a module uses, there and in the rest of the package; without a name, everything."""
    if not module.__file__ or module.__file__.endswith("__init__.py"):
        return
    body = _parse(module).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    for place, node in enumerate(body):
        key = f"{module.__name__}:{place:04}"
        if key in seen or not (name is None or name in _names(node) or _always_counts(node)):
            continue
        seen[key] = ast.dump(node)
        inside = list(ast.walk(node))
        used = {n.id for n in inside if isinstance(n, ast.Name)}
        brought = [found for statement in imports for found in _imported(statement, used)]
        for statement in (n for n in inside if isinstance(n, ast.Import | ast.ImportFrom)):
            brought += _imported(statement, None)
        defined = {other for statement in body for other in _names(statement)}
        for other, what in [(module, n) for n in sorted(used & defined)] + brought:
            _collect(other, what, seen)


def _always_counts(node: ast.stmt) -> bool:
    """Statements that act without being named: all but imports, plain definitions and assignments to a name."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return False
    return not _names(node) or bool(getattr(node, "decorator_list", []))


def _names(node: ast.stmt) -> list[str]:
    """Names a top-level statement defines (imports apart)."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imported(statement: ast.Import | ast.ImportFrom, used: set[str] | None) -> Iterator[tuple[ModuleType, str | None]]:
    """Modules of this package that an import brings, each with the name taken from it, or None for the whole module.

    `used` are the names that count; None: all of them.
    """
    for alias in statement.names:
        if used is not None and (alias.asname or alias.name.partition(".")[0]) not in used:
            continue
        if isinstance(statement, ast.Import):
            found, name = alias.name, None
        elif f"{statement.module}.{alias.name}" in sys.modules:
            found, name = f"{statement.module}.{alias.name}", None
        else:
            found, name = statement.module, alias.name
        if found and found.partition(".")[0] == _PACKAGE and found in sys.modules:
            yield sys.modules[found], name
