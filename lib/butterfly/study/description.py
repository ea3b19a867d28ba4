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
    parts |= _data(config)
    return parts | {f"{_CODE}{place.replace(':', '.')}": _digest(text) for place, text in found.statements.items()}


def same_data(config: Config) -> bool:
    """Whether the data set of a configuration is here what it was where the shard was planned."""
    return planned(config).items() <= _data(config).items()


def planned(config: Config) -> dict[str, str]:
    """The data set that a configuration was planned with, as descriptions have it."""
    return {name: _digest(json.dumps(config["source"])) for name in _data(config)}


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


def _data(config: Config) -> dict[str, str]:
    """A digest of what the data set of a configuration is made from here, or why it cannot be told."""
    if "source" not in config:
        return {}
    name = config["setting"]["data"]
    try:
        return {f"data set {name}": _digest(json.dumps(data.provenance(name)))}
    except DataError as error:
        return {f"data set {name}": f"none ({error})"}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
