"""Profiles: `params/<profile>.yaml`, a section a notebook, which says only what differs from its defaults."""

import hashlib
import re
from typing import Any, ClassVar

import yaml

from butterfly.strict import ParameterError, close_to
from butterfly.study import folders
from butterfly.study.parameters import Params, assignments

NAME = re.compile(r"[a-z][a-z0-9-]*")
_LARGEST = 1_000_000  # characters of a parameter file
_LINES = {"base", "executor"}  # of a profile, beside its sections
_MOST = 1_000_000  # of anything that a parameter counts; what counts further would not end


class _Loader(yaml.SafeLoader):
    """YAML in which things mean what they look like: no `010` = 8, no `1:30` = 90, `1e-3` is a number, no key twice."""

    yaml_implicit_resolvers: ClassVar[dict] = {}

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise ParameterError(f"line {self.peek_event().start_mark.line + 1}: aliases (*name) are not used here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                line = node.value[place][0].start_mark.line + 1
                raise ParameterError(f"line {line}: '{key}' is given twice; keep one")
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


def parse(text: str, where: str) -> Any:
    """YAML, read strictly; `ParameterError` says where it is not."""
    if len(text) > _LARGEST:
        raise ParameterError(f"{where} has {len(text)} characters; a parameter file is a few lines")
    try:
        return yaml.load(text, _Loader)
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ParameterError(f"{where} is not YAML: {error}") from None


def known() -> list[str]:
    """The profiles that there are."""
    return sorted(path.stem for path in folders.PARAMS.glob("*.yaml"))


def check(name: str) -> str:
    """The name, if it can name a profile: before anything is read, written or removed."""
    if not NAME.fullmatch(name) or name == "reference":
        raise ParameterError(
            f"'{name}' cannot name a profile: small letters, digits and hyphens; {close_to(name, known())}"
        )
    return name


def _content(name: str) -> dict[str, Any]:
    """The file of a profile: sections, and the lines `base` and `executor`."""
    file = folders.PARAMS / f"{check(name)}.yaml"
    where = f"params/{file.name}"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParameterError(f"there is no {where}; {close_to(name, known())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{where} cannot be read: {error}") from None
    content = parse(text, where) or {}
    if not isinstance(content, dict) or not all(isinstance(content[k], dict | None) for k in content.keys() - _LINES):
        raise ParameterError(f"{where}: expected a section a notebook, each with lines of the form 'name: value'")
    if not isinstance(content.get("executor", ""), str):
        raise ParameterError(
            f"{where}: executor = {content['executor']!r}; give text, as local or dask:tcp://host:8786"
        )
    return content


def executor(name: str) -> str:
    """Where a profile, or else its `base`, says that shards are computed; empty where neither does."""
    sections(name)  # what is misspelt is found here
    content = _content(name)
    return content.get("executor") or (executor(content["base"]) if content.get("base") else "")


def sections(name: str, seen: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """What a profile says of each notebook: what its `base` says, its section `common`, and the notebook's own."""
    where, content = f"params/{name}.yaml", _content(name)
    content.pop("executor", None)
    base = content.pop("base", None)
    common = content.pop("common", None) or {}
    for topic in content:
        if topic not in folders.topics():
            raise ParameterError(f"{where}: there is no notebook '{topic}'; {close_to(str(topic), folders.topics())}")
        if "profile" in (content[topic] or {}):
            raise ParameterError(f"{where}, {topic}: the profile is named by the file; leave 'profile' out")
    if "profile" in common:
        raise ParameterError(f"{where}, common: the profile is named by the file; leave 'profile' out")
    own = {topic: common | (values or {}) for topic, values in content.items()}
    if base is None:  # nothing but `common` is about all notebooks
        return own or {topic: dict(common) for topic in folders.topics() if common}
    if not isinstance(base, str) or base in (*seen, name):
        raise ParameterError(f"{where}: base = {base!r}; name another profile, one of {', '.join(known())}")
    below = sections(base, (*seen, name))
    return {topic: below.get(topic, {}) | own.get(topic, common) for topic in {**below, **own}}


def parameters(
    topic: str, kind: type[Params], name: str, device: str | None = None, changes: str = ""
) -> tuple[Params, dict[str, Any]]:
    """The validated parameters of a notebook in a profile, and those values that differ from its defaults.

    `changes` come from the command line, as in `recipe.lr=0.1 seeds=5`; they get a profile, and so a folder, of their
    own.
    """
    values = sections(name).get(topic, {}) | ({"device": device} if device else {})
    values |= {"profile": folder(name, changes)}
    where = f"params/{name}.yaml, {topic}"
    for path, text in assignments(changes).items():
        where = f"SET, {topic}"
        if path in ("profile", "device"):
            raise ParameterError(f"SET: give {path.upper()}=... to make instead")
        _put(values, path.split("."), parse(text, "SET"))
    _bounded(values, where)
    return kind.read(values, where), values


def _bounded(values: Any, where: str, name: str = "") -> None:
    """`ParameterError` where a whole number is larger than anything that could end; seeds are names, not counts."""
    if isinstance(values, dict):
        for key, value in values.items():
            _bounded(value, where, str(key))
    elif isinstance(values, list):
        for value in values:
            _bounded(value, where, name)
    elif isinstance(values, int) and abs(values) > _MOST and name != "first_seed":
        raise ParameterError(f"{where}: '{name}' = {values} is more than {_MOST:,}; give less")


def folder(name: str, changes: str) -> str:
    """The folder of figures of a profile, or of one with changes from the command line."""
    if not changes.strip():
        return name
    text = " ".join(sorted(changes.split()))
    slug = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return f"{name}-with-{slug}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a value, or one inside a record, leaving its other fields alone."""
    *above, last = path
    for name in above:
        inner = values.get(name)
        values[name] = dict(inner) if isinstance(inner, dict) else {}
        values = values[name]
    values[last] = value
