"""Parameters that refuse what they do not understand."""

import difflib
import json
from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class UserError(Exception):
    """Something the user can mend; the message says how. The driver prints it without a traceback."""


class ParameterError(UserError, ValueError):
    """A parameter is misspelt, missing, of the wrong type or out of range; the message says what to type."""


class Strict(BaseModel):
    """A frozen record whose fields are checked: unknown names, wrong types and values out of range are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, values: dict[str, Any], where: str = "parameters") -> Self:
        """Validate plain values (from YAML or a notebook cell); every fault is named in one `ParameterError`."""
        try:
            # JSON mode is as strict, but takes a list where the field is a tuple, as YAML and notebooks write it.
            return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            faults = "\n".join(f"  - {_explain(cls, fault)}" for fault in error.errors())
            raise ParameterError(f"{where}:\n{faults}") from None
        except TypeError as error:
            raise ParameterError(f"{where}: {error}; use numbers, text, lists and true/false only") from None

    def changed(self, **changes: Any) -> Self:
        """The same record with other values, checked like a new one; `ParameterError` where they do not fit."""
        plain = {k: v.model_dump(mode="json") if isinstance(v, BaseModel) else v for k, v in changes.items()}
        return type(self).read(self.model_dump(mode="json") | plain, type(self).__name__.lower())


def close_to(name: str, known: Iterable[str]) -> str:
    """What a misspelt name may have meant, or all that there is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def _explain(cls: type[Strict], fault: dict[str, Any]) -> str:
    """One line that says what is wrong with one field and what to type instead."""
    *above, last = map(str, fault["loc"] or ["parameters"])
    name, value = ".".join([*above, last]), fault.get("input")
    match fault["type"]:
        case "extra_forbidden":
            return f"'{name}' is not a parameter; {close_to(last, _fields(cls, above))}"
        case "missing":
            return f"'{name}' is missing; add it"
        case "float_type" | "int_type" if isinstance(value, str) and _is_number(value):
            return f"'{name}' is the text {value!r}, not a number; write {_number(value)}, without quotes"
        case "value_error":
            return f"'{name}': {fault['ctx']['error']}"
        case _:
            return f"'{name}' = {value!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _fields(cls: type[Strict], above: list[str]) -> list[str]:
    """The fields of a record, or of the record that stands in one of its fields."""
    for name in above:
        inner = cls.model_fields[name].annotation if name in cls.model_fields else None
        if not isinstance(inner, type) or not issubclass(inner, Strict):
            return []
        cls = inner
    return list(cls.model_fields)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> str:
    """The spelling of a number that cannot be misread: `10` for `010`, `0.001` for `1e-3`."""
    value = float(text)
    return str(int(value)) if value.is_integer() and "." not in text else repr(value)
