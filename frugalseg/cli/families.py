"""Commands whose options depend on the family of the backbone.

Such a command is built anew for each call, with the options of the family that the call names and no others. Families
may therefore join the registry at any time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand

from frugalseg.backbones.registry import JOIN, Combination, Family, family_named
from frugalseg.cli.options import Flag, accepting, escaped
from frugalseg.support.errors import InputError
from frugalseg.support.options import options_of
from frugalseg.support.text import listed

BACKBONE = "--backbone"


@dataclass(frozen=True)
class FamilyOptions:
    """What the options of a command depend on.

    Attributes:
        families: gives the families that the command works with.
        settings: gives the dataclass of a family's options for this command.
        default: gives the name of the family for a call that does not name one, from the call's arguments.
        kind: what each of the families is, for messages: "backbone family that can draw images".
        joins: whether the command also works with several families that ``+`` joins.
    """

    families: Callable[[], Iterable[Family]]
    settings: Callable[[Family], type]
    default: Callable[[Sequence[str]], str]
    kind: str
    joins: bool = False

    def chosen(self, arguments: Sequence[str]) -> Family:
        """The family of a call; raises `InputError` for an unknown one."""
        name = value_of(BACKBONE, arguments)
        if name is not None and JOIN in name and self.joins:
            return family_named(name)
        known = {family.name: family for family in self.families()}
        return named(self.default(arguments) if name is None else name, known, self.kind)

    def flags(self, family: Family) -> list[Flag]:
        """The options of a family."""
        return [
            Flag(option, f"Options of the {option.of or family.name} backbone")
            for option in options_of(self.settings(family))
        ]

    def refuse_others(self, command: str, chosen: Family, options: Iterable[str]) -> None:
        """Raise `InputError` where one of a call's options, which its own family lacks, is of another family."""
        for option in options:
            full = [name for name in spellings(self.flags(chosen)) if name.endswith(option.replace("--", "-", 1))]
            if isinstance(chosen, Combination) and len(full) > 1:
                raise InputError(f"{option}: several parts of {chosen.name} have it; write {' or '.join(full)}")
            if chosen.generation is not None and option in spellings(drawing_flags(chosen)):
                raise InputError(
                    f"{option}: says how {chosen.name} draws images, which is an option of frugalseg generate; "
                    "leave it out here"
                )
            owners = [family.name for family in self.families() if option in spellings(self.flags(family))]
            if owners:
                known = ", ".join("/".join(flag.spellings) for flag in self.flags(chosen)) or "none"
                raise InputError(
                    f"{option}: an option of {listed(owners)}, not of {chosen.name}, whose options are: {known}; "
                    f"leave it out, or choose another family, see {command} {BACKBONE} {owners[0]} --help"
                )

    def epilog(self, command: str, family: Family) -> str:
        """The words below a command's help: how to see the options of another family."""
        every = [each.name for each in self.families()]
        others = [name for name in every if name != family.name]
        if not others:
            return ""
        words = (
            f"The options above are those of the {family.name} backbone. To see those of another family, run for "
            f"example: {command} {BACKBONE} {others[0]} --help. The families are: {', '.join(every)}."
        )
        if isinstance(family, Combination):
            words += (
                " An option that two parts have is written with the part's name in front, such as --timm-precision."
            )
        elif self.joins:
            words += f" Two or three that {JOIN} joins are used together: {BACKBONE} timm+filters."
        return words


def drawing_flags(family: Family) -> list[Flag]:
    """The options that say how a family draws images."""
    return [Flag(option, "") for option in options_of(family.generation_class())]


def family_command(function: Callable[..., None], choice: FamilyOptions) -> type[TyperCommand]:
    """The class of a command whose options depend on the family, for ``app.command(cls=...)``.

    Args:
        function: the command; its ``**given`` receives the family's options.
        choice: which families and which options.
    """

    class FamilyCommand(TyperCommand):
        """A command that becomes the chosen family's as it is called."""

        def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
            path = f"{parent.command_path if parent else ''} {info_name}".strip()
            family = choice.chosen(args)
            epilog = escaped(choice.epilog(path, family))
            command = built(accepting(choice.flags(family), function), self.name, help=self.help or "", epilog=epilog)
            known = {"--help"}.union(*({*each.opts, *each.secondary_opts} for each in command.params))
            choice.refuse_others(path, family, [option for option in given_options(args) if option not in known])
            return command.make_context(info_name, args, parent, **extra)

    return FamilyCommand


def built(function: Callable[..., None], name: str | None, **texts: str) -> Any:
    """The command that typer makes of a function, with ``help`` and ``epilog`` as in ``app.command``."""
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    single.command(name, **texts)(function)  # type: ignore[arg-type]
    return typer.main.get_command(single)


def named(name: str, known: Mapping[str, Family], kind: str) -> Family:
    """The family of a name; raises `InputError` with the nearest name and all names for an unknown one."""
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"{name}: not a {kind}; {meant}known: {', '.join(known)}")


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value of an option in the arguments of a call; the last one counts."""
    found = None
    for place, argument in enumerate(before_separator(arguments)):
        if argument == option and place + 1 < len(arguments):
            found = arguments[place + 1]
        elif argument.startswith(option + "="):
            found = argument.partition("=")[2]
    return found


def given_options(arguments: Sequence[str]) -> list[str]:
    """The long options in the arguments of a call, without their values."""
    return [argument.partition("=")[0] for argument in before_separator(arguments) if argument.startswith("--")]


def before_separator(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments before ``--``, behind which nothing is an option."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def spellings(flags: Iterable[Flag]) -> list[str]:
    """All ways to write some options."""
    return [spelling for flag in flags for spelling in flag.spellings]
