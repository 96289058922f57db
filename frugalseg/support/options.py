"""Options as data: dataclass fields that carry their own help, from which Python and the command line both read."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from frugalseg.support.errors import InputError
from frugalseg.support.ranges import Range, check_range, require_number
from frugalseg.support.text import quoted


@dataclass(frozen=True)
class Option:
    """One field of a dataclass of options.

    Attributes:
        name: of the field.
        type: of the field, for example ``int | None`` or ``tuple[int, ...]``.
        default: of the field.
        help: one sentence.
        flag: how the command line spells it, where that is not its name: ``--size``, ``--inputs/--outputs``.
        within: the range of its value.
        of: the family that it belongs to, among the options of several.
    """

    name: str
    type: Any
    default: Any
    help: str
    flag: str | None
    within: Range | None = None
    of: str | None = None


def option(default: Any, help: str, flag: str | None = None, within: Range | None = None) -> Any:
    """A dataclass field with a default, and what `Option` says of it."""
    return field(default=default, metadata={"help": help, "flag": flag, "within": within})


def ranged(default: Any, within: Range, *, in_repr: bool = True) -> Any:
    """A dataclass field with a default and a range that `check_ranges` knows; with `in_repr` it is shown."""
    return field(default=default, metadata={"within": within}, repr=in_repr)


def options_of(cls: type) -> list[Option]:
    """The fields of a dataclass that were made by `option`, in their order."""
    types = get_type_hints(cls)
    own = [f for f in fields(cls) if "help" in f.metadata]
    return [Option(f.name, types[f.name], f.default, **f.metadata) for f in own]


PLAIN: dict[Any, Callable[[Any], Any]] = {
    **dict.fromkeys((int, int | None), int),
    **dict.fromkeys((float, float | None), float),
    tuple[int, int] | None: lambda pair: tuple(map(int, pair)),
}


def make_plain(options: Any) -> None:
    """Make the numbers of a frozen dataclass, which are in their ranges, those that a file would give back.

    Python programs have numbers of NumPy, lists, and 0 for 0.0. JSON does not know all of them, and their texts differ.
    """
    for name, kind in get_type_hints(type(options)).items():
        value = getattr(options, name)
        if kind in PLAIN and value is not None:
            object.__setattr__(options, name, PLAIN[kind](value))


def check_ranges(options: Any) -> None:
    """`InputError` for the first field of a dataclass of options that lies outside of its range.

    Of a field that is one number a list is, and of one that is true or false anything else.
    """
    types = get_type_hints(type(options))
    for each in fields(options):
        value, within, kind = getattr(options, each.name), each.metadata.get("within"), types[each.name]
        if kind is bool and not isinstance(value, bool):
            raise InputError(f"{each.name} is {quoted(value)}; give True or False")
        if kind in (int | None, float | None) and value is None:
            continue
        if kind in (int, float, int | None, float | None) and within is not None:
            require_number(f"{each.name} is", value, within)
        else:
            check_range(f"{each.name} is", value, within)
