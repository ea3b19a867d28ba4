"""What a computation rests on, part by part: what to name where two machines find different keys for one shard."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from butterfly import SOURCES, data
from butterfly.data import DataError
from butterfly.study import identity
from butterfly.study.store import Config

_PYTHON, _CODE = "Python", "code of "
_MOST = 3  # definitions that a message names


def described(roots: Sequence[Callable | type], config: Config) -> dict[str, str]:
    """Versions, data sets and a digest of every definition that `roots` and a configuration reach, by name."""
    names = [*((root.__module__, root.__qualname__) for root in roots), *((f, None) for f in identity.named(config))]
    found = identity.reach(names, identity.Program(SOURCES))
    parts = {_PYTHON: f"{sys.version_info.major}.{sys.version_info.minor}"}
    parts |= identity.environment(config.get("device", "cpu"))
    parts |= {package: version(package) for package in found.packages}
    parts |= {f"data set {name}": source(name) for name in _data_sets(config)}
    return parts | {f"{_CODE}{place.replace(':', '.')}": _digest(text) for place, text in found.statements.items()}


def same_data(config: Config) -> bool:
    """Whether the data set of a configuration is here what it was where the shard was planned."""
    return all(source(name) == _digest(json.dumps(config["source"])) for name in _data_sets(config))


def source(name: str) -> str:
    """A digest of what a data set is made from here, or why it cannot be told."""
    try:
        return _digest(json.dumps(data.provenance(name)))
    except DataError as error:
        return f"unknown ({error})"


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What differs between two descriptions, in words; empty where nothing does."""
    names = [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
    code = [name.removeprefix(_CODE).rstrip(".") for name in names if name.startswith(_CODE)]
    told = [
        f"{name}: {here.get(name, 'none')} here, {there.get(name, 'none')} there"
        for name in names
        if not name.startswith(_CODE)
    ]
    if code and _PYTHON not in names:  # another Python reads every definition in another way
        more = f" and {len(code) - _MOST} more" if len(code) > _MOST else ""
        told.append(f"other code of {', '.join(code[:_MOST])}{more}")
    return "; ".join(told)


def _data_sets(config: Config) -> list[str]:
    return [config["setting"]["data"]] if "source" in config else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
