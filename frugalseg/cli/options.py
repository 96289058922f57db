"""Command-line options made from dataclasses, so that a new family of backbones needs no line in the command line."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import typer

from frugalseg.support.errors import InputError
from frugalseg.support.options import Option

SIZE, NUMBERS = tuple[int, int], tuple[int, ...]


@dataclass(frozen=True)
class Flag:
    """An option of the command line.

    Attributes:
        option: whose value it sets.
        help: what ``--help`` says.
        panel: heading under which it stands.
    """

    option: Option
    help: str
    panel: str

    def parameter(self) -> inspect.Parameter:
        """As typer reads it: optional, None where it is not given."""
        kind = self.option.type
        spelling = [self.option.flag] if self.option.flag else []
        info = typer.Option(*spelling, help=self.help, rich_help_panel=self.panel, metavar=metavar(kind))
        return inspect.Parameter(
            self.option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[parsed_by_typer(self.option), info],
        )


def flags_of(options: Iterable[Option], panel: str) -> list[Flag]:
    """A flag for each option; its help says what holds without it."""
    return [Flag(option, sentence(option.help) + default_note(option.default), panel) for option in options]


def default_note(value: Any) -> str:
    """What ``--help`` adds on a default; nothing for None, which means that something is chosen."""
    return "" if value is None else f" Default: {str(value).lower() if isinstance(value, bool) else value}."


def merged_flags(options: Mapping[str, Iterable[Option]], panel: str) -> list[Flag]:
    """A flag for each name among the options of several families; its help says whose it is.

    Args:
        options: by family. Families that share a name must agree on its type and flag.
        panel: heading under which all stand.
    """
    owners: dict[str, list[tuple[str, Option]]] = {}
    for family, own in options.items():
        for option in own:
            owners.setdefault(option.name, []).append((family, option))
    return [Flag(_agreed(shared), _help(shared), panel) for shared in owners.values()]


def _agreed(shared: list[tuple[str, Option]]) -> Option:
    first = shared[0][1]
    for family, option in shared:
        if (bare(option.type), option.flag) != (bare(first.type), first.flag):
            raise TypeError(f"the option {first.name} of {family} has another type or flag than that of {shared[0][0]}")
    return first


def _help(shared: list[tuple[str, Option]]) -> str:
    by_text: dict[str, list[str]] = {}
    for family, option in shared:
        by_text.setdefault(option.help, []).append(family)
    return sentence("; ".join(f"{', '.join(families)}: {text}" for text, families in by_text.items()))


def sentence(text: str) -> str:
    """`text` with a capital and a full stop, unless it begins with a word that is small by nature (``ddpm: ...``)."""
    first = text.split()[0]
    begun = text if first.endswith((":", ",")) or not first.isalpha() else text[0].upper() + text[1:]
    return begun if begun.endswith(".") else begun + "."


def accepting(flags: Iterable[Flag]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Lets a command that takes ``**options`` take these flags by name."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        extra = [flag.parameter() for flag in flags]
        # Keyword-only parameters may follow one another with and without defaults.
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        command.__signature__ = signature.replace(parameters=[*own, *extra])  # type: ignore[attr-defined]
        return command

    return decorate


def values(flags: Iterable[Flag], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, in the types that the options want; what was not given is left out.

    Raises:
        InputError: a text is not a size or a list of numbers; the flag is named.
    """
    result = {}
    for flag in flags:
        value = given[flag.option.name]
        if value is not None:
            result[flag.option.name] = converted(flag.option, value)
    return result


def converted(option: Option, value: Any) -> Any:
    """A value as typer gave it in the type that the option wants."""
    kind = bare(option.type)
    if kind == SIZE:
        return parse_size(value)
    if kind == NUMBERS:
        return numbers("--" + option.name.replace("_", "-"), value)
    return value.value if isinstance(value, StrEnum) else value


def parsed_by_typer(option: Option) -> Any:
    """The type, or None, that typer is to turn an argument into."""
    kind = bare(option.type)
    if kind in (SIZE, NUMBERS):
        return str | None
    if get_origin(kind) is Literal:
        members = {value: value for value in get_args(kind)}
        return Optional[StrEnum(option.name, members)]  # noqa: UP045  # mypy takes the new class for a member
    return kind | None


def metavar(kind: Any) -> str | None:
    """How ``--help`` shows the values of an option; None: as typer does."""
    return {SIZE: "HxW", NUMBERS: "N,N,..."}.get(bare(kind)) if get_origin(bare(kind)) is tuple else None


def bare(kind: Any) -> Any:
    """``T`` of ``T | None``."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    (single,) = [part for part in get_args(kind) if part is not NoneType]
    return single


def numbers(option: str, text: str) -> tuple[int, ...]:
    """``50,150,250`` as numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: whole numbers separated by commas, such as 50,150,250") from None


def parse_size(text: str) -> tuple[int, int]:
    """``192x128`` as (height, width)."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise InputError(f"size {text}: height x width in pixels, such as 192x128")
    return int(height), int(width)
