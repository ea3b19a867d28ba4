"""The version of a computation, taken from its code, so that nobody can change it and forget to say so."""

import ast
import hashlib
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import torch

_PACKAGE = __name__.partition(".")[0]


@cache
def code(function: Callable) -> str:
    """Fingerprint of a function and of everything in this package it can reach.

    Comments, docstrings and the types in signatures do not count. Of the function's own module only the definitions it
    uses count, so that claims and tables can change freely; of the modules it imports from, all of it counts.
    """
    module = sys.modules[function.__module__]
    tree = _parse(module)
    used = _reachable(tree, function.__name__)
    parts = [ast.dump(node) for node in used]
    seen: dict[str, str] = {}
    for node in used:
        for name in _imported(node, module) | _imported_names(tree, node, module):
            _collect(name, seen)
    parts += [f"{name}:{seen[name]}" for name in sorted(seen)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def environment(device: str) -> dict[str, str]:
    """What else decides the bits of a result: library versions, and the kind of processor that computes."""
    processor = torch.backends.cpu.get_cpu_capability() if device == "cpu" else torch.cuda.get_device_name(device)
    versions = {name: version(name) for name in ("numpy", "scipy")}
    return {"torch": torch.__version__.partition("+")[0], **versions, "processor": processor}


def _parse(module: ModuleType) -> ast.Module:
    """The syntax tree of a module without docstrings and signatures' types (comments are not in it anyway)."""
    tree = ast.parse(Path(module.__file__).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return tree


def _reachable(tree: ast.Module, start: str) -> list[ast.stmt]:
    """The top-level definitions of a module that `start` uses, directly or not, in the order of the file."""
    defined = {name: node for node in tree.body for name in _names(node)}
    waiting, found = [start], set()
    while waiting:
        name = waiting.pop()
        if name in found or name not in defined:
            continue
        found.add(name)
        waiting += [n.id for n in ast.walk(defined[name]) if isinstance(n, ast.Name)]
    kept = {id(defined[name]) for name in found}
    return [node for node in tree.body if id(node) in kept]


def _names(node: ast.stmt) -> list[str]:
    """Names a top-level statement defines (imports apart)."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imported_names(tree: ast.Module, node: ast.stmt, module: ModuleType) -> set[str]:
    """Modules of this package whose names, imported at the top of the file, a definition uses."""
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    found = set()
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            aliases = [alias for alias in statement.names if (alias.asname or alias.name.partition(".")[0]) in used]
            if aliases:
                found |= _imported(_only(statement, aliases), module)
    return found


def _only(statement: ast.Import | ast.ImportFrom, aliases: list[ast.alias]) -> ast.stmt:
    """The import of some of the names of a statement."""
    if isinstance(statement, ast.Import):
        return ast.Import(names=aliases)
    return ast.ImportFrom(module=statement.module, names=aliases, level=statement.level)


def _imported(tree: ast.AST, module: ModuleType) -> set[str]:
    """Names of the modules of this package that a piece of code imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == _PACKAGE:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] == _PACKAGE}
    return {name for name in found if name in sys.modules and name != module.__name__}


def _collect(name: str, seen: dict[str, str]) -> None:
    """Add a module, and all it imports from this package, to `seen`."""
    module = sys.modules[name]
    if name in seen or not module.__file__ or module.__file__.endswith("__init__.py"):
        return
    tree = _parse(module)
    seen[name] = ast.dump(tree)
    for other in _imported(tree, module):
        _collect(other, seen)
