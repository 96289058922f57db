"""Command-line options made from dataclasses, so that a new family of backbones needs no line in the command line."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union, get_args, get_origin

import typer

from frugalseg.support.errors import InputError
from frugalseg.support.options import Option, options_of
from frugalseg.support.ranges import SIZE as IMAGE_SIZE
from frugalseg.support.ranges import Range, check_range
from frugalseg.support.text import quoted, shortened

if TYPE_CHECKING:
    from frugalseg.data.channels import ChannelChoice

SIZE, NUMBERS, DECIMALS, NAMES = tuple[int, int], tuple[int, ...], tuple[float, ...], tuple[str, ...]
METAVARS = {SIZE: "HxW", NUMBERS: "N,N,...", DECIMALS: "X,X,...", NAMES: "NAME,NAME,..."}


@dataclass(frozen=True)
class Flag:
    """An option of the command line.

    Attributes:
        option: the dataclass field whose value it sets.
        panel: the heading of its part of ``--help``.
    """

    option: Option
    panel: str

    @property
    def spellings(self) -> list[str]:
        """How the option is written: ``--size``, or ``--flip`` and ``--no-flip``."""
        if self.option.flag:
            return self.option.flag.split("/")
        name = self.option.name.replace("_", "-")
        return [f"--{name}", f"--no-{name}"] if bare(self.option.type) is bool else [f"--{name}"]

    def parameter(self) -> inspect.Parameter:
        """The option in typer's form; its value is None where it is not given."""
        info = typer.Option(
            "/".join(self.spellings),
            help=escaped(self.option.help + self.default_note()),
            rich_help_panel=self.panel,
            metavar=metavar(self.option.type),
            show_default=False,
        )
        return inspect.Parameter(
            self.option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[parsed_by_typer(self.option), info],
        )

    def default_note(self) -> str:
        """The default as typer shows it; nothing for None, whose meaning the help describes."""
        value = self.option.default
        if value is None:
            return ""
        if isinstance(value, bool):
            value = self.spellings[0 if value else -1]
        if isinstance(value, tuple):
            value = ("x" if bare(self.option.type) == SIZE else ",").join(map(str, value))
        return f" [default: {value}]"


def flags_of(settings: type, panel: str) -> list[Flag]:
    """A flag for each field of a dataclass that was made by `option`."""
    return [Flag(option, panel) for option in options_of(settings)]


def accepting(flags: Iterable[Flag], command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes ``**given``, as one that takes these flags by name; for typer, which reads signatures."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    # Keyword-only parameters may follow one another with and without defaults.
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]

    @functools.wraps(command)
    def accepted(**given: Any) -> None:
        command(**given)

    parameters = [*own, *(flag.parameter() for flag in flags)]
    accepted.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return accepted


def values(flags: Iterable[Flag], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, in the types of their fields.

    Raises:
        InputError: a text is not a size or a list of numbers, or a number is out of range; the message names the
            option.
    """
    found = {flag.option.name: (flag, given[flag.option.name]) for flag in flags}
    return {name: converted(flag, value) for name, (flag, value) in found.items() if value is not None}


def converted(flag: Flag, value: Any) -> Any:
    """A value that typer has read, in the type of the option's field; `InputError` where it is out of range."""
    kind, spelling = bare(flag.option.type), flag.spellings[0]
    if kind == SIZE:
        value = parse_size(value)
    elif kind == NUMBERS:
        value = numbers(spelling, value)
    elif kind == DECIMALS:
        value = decimals(spelling, value)
    elif kind == NAMES:
        value = tuple(part.strip() for part in value.split(","))
    check_range(spelling, value, flag.option.within)
    return value.value if isinstance(value, StrEnum) else value


def parsed_by_typer(option: Option) -> Any:
    """The type, or None, that typer turns an argument into."""
    kind = bare(option.type)
    if get_origin(kind) is tuple:
        return str | None
    if get_origin(kind) is Literal:
        members = {value: value for value in get_args(kind)}
        return Optional[StrEnum(option.name, members)]  # noqa: UP045  # mypy takes the new class for a member
    return kind | None


def metavar(kind: Any) -> str | None:
    """How ``--help`` shows the values of an option; None leaves it to typer."""
    return METAVARS.get(bare(kind)) if get_origin(bare(kind)) is tuple else None


def bare(kind: Any) -> Any:
    """``T`` for ``T | None``; any other type as it is."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    (single,) = [part for part in get_args(kind) if part is not NoneType]
    return single


def escaped(text: str) -> str:
    """`text` as typer's help shows it unchanged: square brackets would be read as markup."""
    return text.replace("[", r"\[")


def within(wanted: Range) -> Callable[[Any], Any]:
    """A callback for typer that refuses values out of range; typer's own bounds let pass what is no number."""

    def checked(value: Any) -> Any:
        if value is not None and not wanted.holds(value):
            raise typer.BadParameter(f"{quoted(value)}; give {wanted}")
        return value

    return checked


def numbers(option: str, text: str) -> tuple[int, ...]:
    """``50,150,250`` as numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option} {shortened(text, 40)}: give whole numbers separated by commas, such as 8,16"
        ) from None


def decimals(option: str, text: str) -> tuple[float, ...]:
    """``0.7,1,1.6`` as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: give numbers separated by commas, such as 0.7,1.6,3.5") from None


def channel_choice(channels: str | None, percentiles: str | None) -> "ChannelChoice | None":
    """``1,2,5`` and ``0.5,99.5`` as a choice of channels; None where none are given.

    Raises:
        InputError: no numbers, numbers out of range, or percentiles without channels.
    """
    from frugalseg.data.channels import PERCENTILES, ChannelChoice

    if channels is None and percentiles is not None:
        raise InputError("--percentiles: only with --channels, whose values they scale")
    if channels is None:
        return None
    ends = PERCENTILES if percentiles is None else decimals("--percentiles", percentiles)
    return ChannelChoice(numbers("--channels", channels), (*ends[:1], *ends[1:]))  # type: ignore[arg-type]


def named_folders(option: str, given: Iterable[str]) -> dict[str, Path]:
    """``ddpm=FOLDER`` and the like as folders by their names.

    Raises:
        InputError: no name or no folder, or a name that is given twice.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise InputError(f"{option} {shortened(text, 80)}: give NAME=FOLDER, such as ddpm=generated")
        if name in found:
            raise InputError(f"{option} {shortened(name, 80)}: is given twice; give each folder a name of its own")
        found[name] = Path(folder)
    return found


def parse_size(text: str) -> tuple[int, int]:
    """``192x128`` as (height, width)."""
    found = re.fullmatch(r"(\d{1,18})x(\d{1,18})", text.lower())
    size = (0, 0) if found is None else (int(found[1]), int(found[2]))
    if not IMAGE_SIZE.holds(size):
        raise InputError(
            f"size {shortened(text, 40)}: give height x width in pixels, such as 192x128, {IMAGE_SIZE.limits}"
        )
    return size
