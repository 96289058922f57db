"""Options as data: dataclass fields that carry their own help, from which Python and the command line both read."""

from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Option:
    """One field of a dataclass of options.

    Attributes:
        name: of the field.
        type: of the field, for example ``int | None`` or ``tuple[int, ...]``.
        default: of the field.
        help: one sentence.
        flag: how the command line spells it, where that is not its name: ``--size``, ``--inputs/--outputs``.
    """

    name: str
    type: Any
    default: Any
    help: str
    flag: str | None


def option(default: Any, help: str, flag: str | None = None) -> Any:
    """A dataclass field with a default, and what `Option` says of it."""
    return field(default=default, metadata={"help": help, "flag": flag})


def options_of(cls: type) -> list[Option]:
    """The fields of a dataclass that were made by `option`, in their order."""
    types = get_type_hints(cls)
    own = [f for f in fields(cls) if "help" in f.metadata]
    return [Option(f.name, types[f.name], f.default, f.metadata["help"], f.metadata["flag"]) for f in own]
