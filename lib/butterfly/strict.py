"""Parameters that refuse what they do not understand."""

import difflib
import json
from typing import Any, Self

import yaml
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


def _explain(cls: type[Strict], fault: dict[str, Any]) -> str:
    """One line that says what is wrong with one field and what to type instead."""
    name = ".".join(map(str, fault["loc"])) or "parameters"
    value = fault.get("input")
    match fault["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(name.split(".")[-1], cls.model_fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(cls.model_fields)}"
            return f"'{name}' is not a parameter; {hint}"
        case "missing":
            return f"'{name}' is missing; add it"
        case "float_type" | "int_type" if isinstance(value, str) and _is_number(value):
            return f"'{name}' is the text {value!r}, not a number; YAML wants {_yaml_number(value)} (a dot, no quotes)"
        case "value_error":
            return f"'{name}': {fault['ctx']['error']}"
        case _:
            return f"'{name}' = {value!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _yaml_number(text: str) -> str:
    """The spelling that YAML reads as a number: `1e-3` is text to it, `0.001` and `1.0e-03` are not."""
    return yaml.safe_dump(float(text)).split()[0]
