"""The identity of a computation: all code of this package that it can reach, so that nobody can change it unnoticed.

Reached are the definitions that a function names, those that they name, and so on: a class with all its methods and
bases, a decorator with what it wraps, a constant with every statement that changes it. Of a module that is handed on as
a whole, and of the files that a configuration names (architectures, data sets), all counts. Comments, docstrings,
types in signatures, texts of errors and the order of definitions do not. The sources are those that were imported.
"""

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import torch

from butterfly import SOURCES, registry
from butterfly.strict import UserError

_PACKAGE = "butterfly"
_ROOT = Path(registry.__file__).parent
# Settings of mathematics libraries that choose their instructions.
_CHOICES = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE")

Name = tuple[str, str | None]  # a module, and a name in it; None: all of the module; "": what acts as it is imported


class StaleError(UserError):
    """The code on disk is no longer the code that this process runs."""


def code(roots: Sequence[Callable | type], files: Iterable[str] = (), without: Iterable[str] = ()) -> dict[str, str]:
    """What functions and classes can reach, and all of the modules `files`: a hash, and the packages used, by version.

    What lies in the modules `without`, or is reached through them alone, does not count. `StaleError` where a module
    that counts was edited since this process began.
    """
    names = [(root.__module__, root.__qualname__) for root in roots]
    for (module, name), root in zip(names, roots, strict=True):
        if module not in _running() or getattr(sys.modules[module], name, None) is not root:
            raise UserError(
                f"{name} is no definition of its own in a file ({module}): its code cannot be told; make it one"
            )
    return dict(_code((*names, *((file, None) for file in files)), frozenset(without)))


@cache
def _code(roots: tuple[Name, ...], without: frozenset[str]) -> tuple[tuple[str, str], ...]:
    program = _running()
    found = reach(roots, program, without)
    for module in sorted(found.modules):
        importlib.import_module(module)  # what is not imported yet must not be edited between here and there
    stale = sorted(p.name for p in {program[m].path for m in found.modules} if p.read_text() != program.text(p))
    if stale:
        raise StaleError(
            f"{', '.join(stale)} changed since this program started, and results would be kept under the wrong name: "
            "start it again (in a notebook: restart the kernel)"
        )
    return (("code", found.hash), *((package, version(package)) for package in sorted(found.packages)))


def called(text: str, program: "Program | None" = None) -> str:
    """A hash of all that a script, such as a notebook, calls in this package; what it only imports does not count."""
    program = program or _running()
    script = Module("script", Path("script.py"), text)
    acts = [node for node in ast.parse(text).body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return reach([name for node in acts for name in script.used(node, program)], program).hash


def is_module(name: str) -> bool:
    """Whether this package has a module of that name."""
    return name in _running()


def named(config: object) -> set[str]:
    """The modules of architectures and data sets whose names stand anywhere in a configuration."""
    if isinstance(config, str):
        files = {room: registry.file_of(room, config) for room in ("models", "data")}
        return {f"{_PACKAGE}.{room}.{stem}" for room, stem in files.items() if stem}
    if isinstance(config, Mapping):
        return set().union(*map(named, config.values()))
    return set().union(*map(named, config)) if isinstance(config, list | tuple) else set()


def environment(device: str) -> dict[str, str]:
    """What else decides the bits of a result: the build of torch, the processor, and instructions that were chosen."""
    if device == "cpu":
        chosen = {name: os.environ[name] for name in _CHOICES if name in os.environ}
        return {
            "torch": torch.__version__.partition("+")[0],
            "processor": torch.backends.cpu.get_cpu_capability(),
        } | chosen
    return {
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "processor": torch.cuda.get_device_name(device),
    }


# --- what can be reached ---------------------------------------------------------------------------------------------


class Reached:
    """What a walk found: statements by module and name, and packages from elsewhere."""

    def __init__(self) -> None:
        self.statements: dict[str, str] = {}
        self.modules: set[str] = set()
        self.packages: set[str] = set()

    @property
    def hash(self) -> str:
        text = "\n".join(f"{place} {self.statements[place]}" for place in sorted(self.statements))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Program:
    """Modules by name, from texts by path: those that run, or changed copies of them."""

    def __init__(self, sources: Mapping[Path, str]):
        self._sources = dict(sources)
        self._path = cache(self._find)

    def text(self, path: Path) -> str:
        return self._sources[path]

    def __contains__(self, name: str) -> bool:
        return self._path(name) is not None

    def __getitem__(self, name: str) -> "Module":
        path = self._path(name)
        return parsed(name, path, self._sources[path])

    def _find(self, name: str) -> Path | None:
        head, _, rest = name.partition(".")
        if head == _PACKAGE:
            base = _ROOT.joinpath(*rest.split(".")) if rest else _ROOT
            return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p in self._sources), None)
        # A module from elsewhere that has a computation of its own, such as a test or somebody's study.
        file = getattr(sys.modules[name], "__file__", None) if name in sys.modules else _file_of(name)
        if not file or not _beside(file):
            return None
        path = Path(file)
        self._sources.setdefault(path, path.read_text())
        return path


def _file_of(name: str) -> str | None:
    """The file of a module that is not imported yet."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec else None


def _beside(file: str) -> bool:
    """Whether a file belongs to somebody's study, not to an installed package or to Python."""
    return file.endswith(".py") and "site-packages" not in file and not file.startswith(sys.base_prefix)


@cache
def _running() -> Program:
    return Program(SOURCES)


def reach(roots: Iterable[Name], program: Program, without: Container[str] = ()) -> Reached:
    """Walk from names to all that they use, but for what lies in the modules `without`."""
    found, waiting, seen = Reached(), list(roots), set()
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        module_name, name = here
        if module_name in without:
            continue
        if module_name not in program:
            found.packages |= set(_distributions().get(module_name.partition(".")[0], ()))
            continue
        module = program[module_name]
        if name == "":
            waiting += _take(found, module, module.acting, f"{module_name}:", program)
            waiting += [(other, "") for other in module.entered(program)]
            continue
        found.modules.add(module_name)
        waiting.append((module_name, ""))
        if name is None:
            waiting += [(module_name, own) for own in module.bindings]
        elif name in module.bindings:
            waiting += _take(found, module, module.bindings[name], f"{module_name}:{name}", program)
        else:
            waiting += module.imported(name, (), program)
    return found


def _take(found: Reached, module: "Module", statements: list[ast.stmt], place: str, program: Program) -> list[Name]:
    """Add statements under one name; the names that they use."""
    if statements:
        found.statements[place] = "\n".join(map(module.dumped, statements))
    return [name for node in statements for name in module.used(node, program)]


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


class Module:
    """One module as syntax: what each name is bound to, what is imported, and what acts without being named."""

    def __init__(self, name: str, path: Path, text: str):
        self.name, self.path = name, path
        self.is_package = path.name == "__init__.py"
        self.bindings: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, Name] = {}
        self.runs: set[str] = set()  # modules imported under their full names
        self.stars: list[str] = []
        self.acting: list[ast.stmt] = []
        self.dumped = cache(ast.dump)
        self._uses = cache(self._look)
        for node in _plain(ast.parse(text), "__doc__" in text or "__annotations__" in text).body:
            self._sort(node)

    def _sort(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports |= self._brought(node)
            self.runs |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            return
        names = [name for name in _bound(node) if name not in self.imports]  # a part of what is imported is not its own
        for name in names:
            self.bindings.setdefault(name, []).append(node)
        if (not names and not _declares(node)) or not all(map(self.harmless, getattr(node, "decorator_list", []))):
            self.acting.append(node)

    def harmless(self, decorator: ast.expr) -> bool:
        """Whether a decorator is known to enter what it wraps nowhere: those of a study, and of other packages."""
        root = _root(decorator)
        own = root in self.bindings or self.imports.get(root, ("", None))[0].startswith(_PACKAGE)
        return root == "study" or (root in _HARMLESS and not own)

    def _brought(self, node: ast.Import | ast.ImportFrom) -> dict[str, Name]:
        """The names that an import binds, and what each stands for."""
        if isinstance(node, ast.Import):
            return {a.asname or a.name.partition(".")[0]: (a.name if a.asname else a.name.partition(".")[0], None)
                    for a in node.names}  # fmt: skip
        parts = self.name.split(".")
        base = parts[: len(parts) - node.level + self.is_package] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        self.stars += [source for a in node.names if a.name == "*"]
        return {a.asname or a.name: (source, a.name) for a in node.names if a.name != "*"}

    def used(self, node: ast.stmt, program: Program) -> Iterator[Name]:
        """What a statement names outside itself: names of this module, and what others are asked for."""
        uses = self._uses(node)
        for root, attributes in uses.found:
            for target in uses.imports.get(root, ()):
                yield from self._follow(target, attributes, program)
            if root in _SECRET:
                yield self.name, None
            elif root in self.bindings:
                yield self.name, root
            else:
                yield from self.imported(root, attributes, program)

    def _look(self, node: ast.stmt) -> "_Uses":
        uses = _Uses(self)
        uses.visit(node)
        return uses

    def entered(self, program: Program) -> Iterator[str]:
        """The modules of this package that importing this one runs, those that hold it included."""
        parts = self.name.split(".")
        yield from (name for end in range(1, len(parts)) if (name := ".".join(parts[:end])) in program)
        named = {m for source, name in self.imports.values() for m in (source, f"{source}.{name}")}
        yield from (m for m in sorted(named | self.runs) if m.startswith(_PACKAGE) and m in program)

    def imported(self, root: str, attributes: tuple[str, ...], program: Program) -> Iterator[Name]:
        """What a name that is imported here stands for, with the attributes that are asked of it."""
        if root in self.imports:
            yield from self._follow(self.imports[root], attributes, program)
        elif f"{self.name}.{root}" in program and self.is_package:
            yield from self._follow((f"{self.name}.{root}", None), attributes, program)
        else:
            yield from ((source, None) for source in self.stars)

    def _follow(self, target: Name, attributes: tuple[str, ...], program: Program) -> Iterator[Name]:
        module, name = target
        if name is not None:
            if f"{module}.{name}" not in program:
                yield module, name
                return
            module = f"{module}.{name}"
        for attribute in attributes:
            if f"{module}.{attribute}" in program:
                module = f"{module}.{attribute}"
                continue
            yield module, attribute
            return
        yield module, None


@lru_cache(maxsize=1024)
def parsed(name: str, path: Path, text: str) -> Module:
    """A module, parsed once for each text."""
    return Module(name, path, text)


class _Uses(ast.NodeVisitor):
    """The names that a statement takes from outside, each with the attributes asked of it; local names are its own."""

    def __init__(self, module: Module):
        self.module = module
        self.local: list[tuple[str, set[str]]] = []  # scopes around this place: of functions, and of classes
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.imports: dict[str, list[Name]] = {}

    def visit_Import(self, node: ast.Import) -> None:
        for name, target in self.module._brought(node).items():
            self.imports.setdefault(name, []).append(target)
            self.found.append((name, ()))

    visit_ImportFrom = visit_Import

    def visit_Name(self, node: ast.Name) -> None:
        self._use(node.id, ())

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self._use(inner.id, tuple(chain))
        else:
            self.visit(inner)

    def _use(self, name: str, attributes: tuple[str, ...]) -> None:
        if not any(name in names for _, names in self.local):
            self.found.append((name, attributes))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.Lambda) -> None:
        arguments = node.args
        outside = [*self._wrappers(node), *arguments.defaults, *filter(None, arguments.kw_defaults)]
        for value in outside:
            self.visit(value)
        outer, self.local = self.local, [scope for scope in self.local if scope[0] == "function"]
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        body = node.body if isinstance(node.body, list) else [node.body]
        self._inside("function", {a.arg for a in every if a} | _assigned(body), body)
        self.local = outer

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)  # evaluated outside
        names = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        rest = [g.iter for g in node.generators[1:]] + [test for g in node.generators for test in g.ifs]
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._inside("function", names, [*rest, *values])

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def _wrappers(self, node: ast.stmt) -> Iterator[ast.expr]:
        """What the decorators of a definition use; those of a study are read by notebooks alone."""
        for decorator in getattr(node, "decorator_list", []):
            if _root(decorator) == "study":
                continue
            if isinstance(decorator, ast.Call) and self.module.harmless(decorator):
                yield from (*decorator.args, *(keyword.value for keyword in decorator.keywords))
            elif not self.module.harmless(decorator):
                yield decorator

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for value in [*self._wrappers(node), *node.bases, *(keyword.value for keyword in node.keywords)]:
            self.visit(value)
        self._inside("class", set(), node.body)  # a name of its body may still be read from outside, as in `K = K`

    def _inside(self, kind: str, names: set[str], nodes: list[ast.AST]) -> None:
        self.local.append((kind, names))
        for node in nodes:
            self.visit(node)
        self.local.pop()


def _assigned(body: list[ast.AST]) -> set[str]:
    """The names that the body of a function makes its own; what it imports, and what it declares global, is not."""
    names, foreign = set(), set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            names |= {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)}
            continue
        if isinstance(node, ast.Global | ast.Nonlocal):
            foreign |= set(node.names)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        waiting += ast.iter_child_nodes(node)
    return names - foreign


def _bound(node: ast.stmt) -> list[str]:
    """The names that a top-level statement binds or changes; none for one that merely acts."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    if isinstance(node, ast.For) and all(_declares(inner) or isinstance(inner, ast.Assign) for inner in node.body):
        # A loop that words claims one after the other: it counts for those who use a name that it sets, and no others.
        inside = [name for inner in node.body for name in _bound(inner)]
        return inside and [*inside, *(n.id for n in ast.walk(node.target) if isinstance(n, ast.Name))]
    return []


def _declares(node: ast.stmt) -> bool:
    """Whether a statement only tells a study of claims and the like, which no computation reads, or never runs."""
    if isinstance(node, ast.For):
        return all(map(_declares, node.body))
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _root(node.value) == "study"


def _root(node: ast.expr) -> str:
    """The name that an expression begins with: `study` in `study.claim("X14")(measure)`."""
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


_SECRET = {"globals", "eval", "exec", "__import__"}  # what they reach cannot be told: all of the module counts
_HARMLESS = {
    *("dataclass", "cache", "lru_cache", "cached_property", "property", "staticmethod", "classmethod"),
    *("contextmanager", "model_validator", "field_validator", "functools", "dataclasses", "torch", "np"),
}


class _Plain(ast.NodeTransformer):
    """Takes away what decides no number: types in signatures, texts of errors, and docstrings."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        return self._undocumented(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        return self._undocumented(node)

    def visit_Module(self, node: ast.Module) -> ast.Module:
        self.generic_visit(node)
        return self._undocumented(node)

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            kept = [value for value in node.exc.args if not isinstance(value, ast.JoinedStr | ast.Constant | ast.BinOp)]
            node.exc = ast.Call(node.exc.func, kept, node.exc.keywords)
        return node

    def _undocumented(self, node):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node


def _plain(tree: ast.Module, whole: bool) -> ast.Module:
    """The tree without what decides nothing; whole where the module reads docstrings or types while it runs."""
    return tree if whole else _Plain().visit(tree)
