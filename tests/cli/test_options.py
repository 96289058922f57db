"""Options of the command line that come from dataclasses: their types, their help, what families may share."""

import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from frugalseg.backbones.registry import FAMILIES, generating, pretrainable
from frugalseg.cli.options import accepting, flags_of, values
from frugalseg.students.settings import StudentSettings
from frugalseg.support.errors import InputError
from frugalseg.support.options import option, options_of


@dataclass(frozen=True)
class Settings:
    steps: int = option(20, "The number of steps.")
    rate: float | None = option(None, "The learning rate, in [0, 1].")
    size: tuple[int, int] = option((96, 64), "The size of the images.", flag="--image-size")
    levels: tuple[int, ...] = option((1, 2), "The levels.")
    scales: tuple[float, ...] = option((0.7, 1.0), "The scales.")
    parts: tuple[str, ...] = option(("head", "tail"), "The parts.")
    kind: Literal["linear", "cosine"] = option("cosine", "The kind of schedule.")
    flip: bool = option(True, "Mirror the images.", flag="--flip/--keep")
    fast: bool = option(False, "Hurry.")
    derived: int = 3


def called(*arguments: str) -> tuple[int, Any, str]:
    flags, seen = flags_of(Settings, "Training"), []
    app = typer.Typer(rich_markup_mode="rich")

    def command(
        place: Annotated[str, typer.Argument()], out: Annotated[str, typer.Option()] = "x", **given: Any
    ) -> None:
        seen.append((place, out, values(flags, given)))

    app.command()(accepting(flags, command))
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, (seen or [result.exception])[0], result.output


def test_values_come_in_the_types_of_the_fields() -> None:
    code, seen, _ = called(
        "here", "--steps", "7", "--image-size", "96x64", "--levels", "3,4", "--kind", "linear", "--keep"
    )
    assert code == 0
    assert seen == ("here", "x", {"steps": 7, "size": (96, 64), "levels": (3, 4), "kind": "linear", "flip": False})
    assert Settings(**seen[2]).size == (96, 64)
    _, (_, _, lists), _ = called("here", "--scales", "0.7,1", "--parts", "head, leg")
    assert lists == {"scales": (0.7, 1.0), "parts": ("head", "leg")}


def test_what_is_not_given_is_left_out() -> None:
    assert called("here", "--rate", "0.5") == (0, ("here", "x", {"rate": 0.5}), "")


def test_help_shows_each_option_with_its_default() -> None:
    _, _, text = called("--help")
    words = " ".join(text.replace("│", " ").split())
    assert "The number of steps. [default: 20]" in words
    assert "[default: --flip]" in words and "[default: --no-fast]" in words
    assert "HxW" in words and "[default: 96x64]" in words
    assert "N,N,..." in words and "[default: 1,2]" in words
    assert "X,X,..." in words and "[default: 0.7,1.0]" in words
    assert "NAME,NAME,..." in words and "[default: head,tail]" in words
    assert "linear|cosine" in words
    assert "derived" not in words


def test_square_brackets_in_help_are_shown() -> None:
    assert "in [0, 1]." in called("--help")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-size", "96"], "height x width"),
        (["--levels", "1;2"], "--levels 1;2: give whole numbers"),
        (["--scales", "1;2"], "--scales 1;2: give numbers"),
    ],
)
def test_wrong_values_are_named(arguments: list[str], message: str) -> None:
    _, error, _ = called("here", *arguments)
    assert isinstance(error, InputError) and message in str(error)


SETTINGS = (
    [family.options_class() for family in FAMILIES.values()]
    + [family.settings_class() for family in pretrainable()]
    + [family.generation_class() for family in generating()]
    + [StudentSettings]
)


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_is_an_option(settings: Any) -> None:
    assert [option.name for option in options_of(settings)] == [field.name for field in fields(settings)]


@pytest.mark.parametrize("settings", SETTINGS)
def test_help_is_whole_sentences(settings: Any) -> None:
    for each in options_of(settings):
        assert re.match(r"[A-Z].* .*\.$", each.help), f"{each.name}: {each.help!r}"
