"""Dataclasses from JSON values, each value checked by the annotation of its field."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from frugalseg.support.errors import InputError
from frugalseg.support.text import brief

T = TypeVar("T")
MOST = 10**6
"""No whole number in the description of a network is larger: sides, channels, blocks, classes, timesteps."""


def from_json(cls: type[T], values: Any) -> T:
    """The dataclass that `dataclasses.asdict` and JSON have made `values` of.

    Fields that are missing have their defaults, lists stand for tuples, and nothing else is converted: no text to
    numbers, no true to 1. What ``__post_init__`` refuses is refused.

    Raises:
        InputError: not an object, or a field is unknown, missing, of another type or out of range; it is named.
    """
    # Here, for pydantic takes a tenth of a second to import, and not every command reads a saved dataclass.
    from pydantic import ValidationError

    if not isinstance(values, Mapping):
        raise InputError(f"{brief(repr(values), 40)} stands where an object in braces is expected")
    try:
        text = json.dumps({"value": dict(values)}, default=repr)
    except (TypeError, ValueError, RecursionError) as error:  # keys that are no texts, a list within itself
        raise InputError(f"{brief(repr(values), 40)}: no values as JSON has them ({brief(error, 60)})") from None
    try:
        found: T = _holder(cast(Any, cls)).model_validate_json(text).value
    except ValidationError as error:
        raise InputError(_explained(error.errors(include_url=False)[0])) from None
    return found


def from_arguments(cls: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass of options that were given in Python, checked as `from_json` does.

    For a tuple any sequence may be given, or one value for a tuple of one; for a number also one of NumPy.

    Raises:
        InputError: see `from_json`.
    """
    types = get_type_hints(cls)
    return from_json(cls, {name: _plain(value, types.get(name)) for name, value in values.items()})


def _plain(value: Any, wanted: Any) -> Any:
    """A value as JSON has it."""
    parts = (wanted, *get_args(wanted))
    several = any(get_origin(part) is tuple for part in parts)
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy
        value = value.tolist()
    if several and isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each, None) for each in value]
    if several and value is not None and not isinstance(value, str):
        return [_plain(value, None)]
    return value if isinstance(value, str | int | float | list | tuple | dict | None) else repr(value)


@cache
def _holder(cls: Any) -> Any:
    """A strict model around a dataclass, which takes over the model's strictness."""
    from pydantic import ConfigDict, create_model

    return create_model("Saved", __config__=ConfigDict(extra="forbid", strict=True), value=(cls, ...))


def _explained(problem: Any) -> str:
    """One line for an error of pydantic: the field and what is wrong with it."""
    field = brief(".".join(map(str, problem["loc"][1:])), 60)
    if problem["type"] == "missing":
        return f"{field} is missing"
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{field} is no field of it"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    shown = "" if problem["type"] == "value_error" else f", not {brief(repr(problem['input']), 40)}"
    return f"{field + ': ' if field else ''}{brief(message, 90)}{shown}"


def require_modest(value: Any, name: str = "") -> None:
    """Raise `InputError` where a JSON value holds a number that no network has, however deeply, beyond `MOST`.

    Args:
        value: what describes a network.
        name: of the value, for the error.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            require_modest(inner, brief(key, 40))
    elif isinstance(value, list | tuple):
        for inner in value:
            require_modest(inner, name)
    elif isinstance(value, int) and abs(value) > MOST:
        raise InputError(f"{name} is {brief(_digits(value), 40)}; no network has more than {MOST}")


def _digits(value: int) -> str:
    """A whole number as text; Python refuses to write out those of thousands of digits."""
    return str(value) if value.bit_length() < 256 else f"a number of {value.bit_length()} bits"
