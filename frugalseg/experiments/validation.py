"""How recipes are checked: strict models, options that dataclasses hold, and errors of one line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from frugalseg.support.errors import InputError
from frugalseg.support.ranges import COUNT, RUNS, SEED, SIDE, WIDTH
from frugalseg.support.text import quoted, shortened


def _no_truth_value(value: Any) -> Any:
    """Refuse true and false, and so YAML's yes and on, where a number is expected: pydantic takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is not a value for it; give a number")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Number = Annotated[float, BeforeValidator(_no_truth_value)]
Positive = Annotated[Whole, Field(ge=COUNT.least, le=COUNT.most)]
Runs = Annotated[Whole, Field(ge=RUNS.least, le=RUNS.most)]
Seed = Annotated[Whole, Field(ge=SEED.least, le=SEED.most)]
Side = Annotated[Whole, Field(ge=1, le=SIDE.most)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Width = Annotated[Whole, Field(ge=1, le=WIDTH.most)]
Size = tuple[Side, Side]
T = TypeVar("T")


class Strict(BaseModel):
    """Unknown keys, infinity and what is no number are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def checked(cls: type[T], values: Mapping[str, Any], place: str) -> T:
    """A dataclass of options from the plain values of a recipe.

    Args:
        cls: the dataclass. Its annotations are the types, its ``__post_init__`` may refuse values.
        values: by field, as YAML holds them: a list stands for a tuple. Fields that are left out keep their defaults.
        place: of the values in the recipe, for messages, such as ``options``.

    Raises:
        InputError: a key is unknown, a value has the wrong type, or `cls` refuses it. The key is named.
    """
    _refuse_booleans(cls, values, place)
    key: Any = cls  # mypy takes a class for one of its objects, which need not be hashable
    try:
        found: T = _holder(key)(value=dict(values)).value
    except ValidationError as error:
        problem = error.errors()[0]
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        raise InputError(explain(problem, [place, *problem["loc"][1:]], names)) from None
    return found


@cache
def _holder(cls: type) -> Any:
    """A strict model around a dataclass, which takes over the model's strictness; each takes a moment to make."""
    return create_model(f"Checked{cls.__name__}", __base__=Strict, value=(cls, ...))


def _refuse_booleans(cls: type, values: Mapping[str, Any], place: str) -> None:
    """Refuse true and false where a number is expected: Python, and so pydantic, takes them for 1 and 0."""
    types = get_type_hints(cls)
    for key, value in values.items():
        if isinstance(value, bool) and key in types and bool not in (types[key], *get_args(types[key])):
            raise InputError(f"{place}.{key}: {str(value).lower()} is not a value for it; give a number or a name")


def refuse_seed(values: Mapping[str, Any], place: str) -> None:
    """`InputError` for a seed among the settings of a row: all of its runs would have it, and be one and the same."""
    if "seed" in values:
        raise InputError(f"{place}.seed: each run has a seed of its own, 0, 1 and so on; leave the key out")


def explain(problem: Mapping[str, Any], place: Sequence[str | int], known: Iterable[str]) -> str:
    """One line for an error of pydantic.

    Args:
        problem: one of `ValidationError.errors`.
        place: path of the key in the recipe.
        known: the keys that may stand there, for a key that may not.
    """
    key, kind = shortened(".".join(map(str, place)), 120), problem["type"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {key!r}; known there: {', '.join(known)}"
    if kind == "union_tag_invalid":
        return f"{key}: no kind {quoted(problem['ctx']['tag'])}; known: {problem['ctx']['expected_tags']}"
    if kind == "union_tag_not_found":
        return f"the key {key + '.kind'!r} is missing"
    if kind == "missing":
        return f"the {'value' if isinstance(place[-1], int) else 'key'} {key!r} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"] if kind != "value_error" else None
    found = f", not {quoted(given)}" if isinstance(given, str | int | float) else ""
    return f"{key or 'the recipe'}: {message[:1].lower()}{message[1:]}{found}"
