"""Options of the command line that come from dataclasses: their types, their help, what families may share."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from frugalseg.backbones.registry import FAMILIES, pretrainable
from frugalseg.cli.options import accepting, flags_of, merged_flags, values
from frugalseg.support.errors import InputError
from frugalseg.support.options import option, options_of


@dataclass(frozen=True)
class Settings:
    steps: int = option(20, "optimisation steps")
    rate: float | None = option(None, "learning rate")
    size: tuple[int, int] | None = option(None, "height x width", flag="--image-size")
    levels: tuple[int, ...] = option((1, 2), "which ones")
    kind: Literal["linear", "cosine"] = option("cosine", "of the schedule")
    flip: bool = option(True, "mirror", flag="--flip/--keep")
    derived: int = 3


@dataclass(frozen=True)
class Others:
    steps: int | None = option(None, "optimisation steps")
    levels: tuple[int, ...] | None = option(None, "none of them")


def called(*arguments: str) -> tuple[int, Any, str]:
    flags, seen = flags_of(options_of(Settings), "Training"), []
    app = typer.Typer()

    @app.command()
    @accepting(flags)
    def command(
        place: Annotated[str, typer.Argument()], out: Annotated[str, typer.Option()] = "x", **given: Any
    ) -> None:
        seen.append((place, out, values(flags, given)))

    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, (seen or [result.exception])[0], result.output


def test_values_come_in_the_types_of_the_fields() -> None:
    code, seen, _ = called(
        "here", "--steps", "7", "--image-size", "96x64", "--levels", "3,4", "--kind", "linear", "--keep"
    )
    assert code == 0
    assert seen == ("here", "x", {"steps": 7, "size": (96, 64), "levels": (3, 4), "kind": "linear", "flip": False})
    assert Settings(**seen[2]).size == (96, 64)


def test_what_is_not_given_is_left_out() -> None:
    assert called("here", "--rate", "0.5") == (0, ("here", "x", {"rate": 0.5}), "")


def test_help_says_what_holds_without_an_option() -> None:
    _, _, text = called("--help")
    words = " ".join(text.replace("│", " ").split())
    assert "Optimisation steps. Default: 20." in words
    assert "Default: true." in words and "HxW" in words and "N,N,..." in words and "linear|cosine" in words
    assert "derived" not in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--image-size", "96"], "height x width"), (["--levels", "1;2"], "--levels 1;2: whole numbers")],
)
def test_wrong_values_are_named(arguments: list[str], message: str) -> None:
    _, error, _ = called("here", *arguments)
    assert isinstance(error, InputError) and message in str(error)


def test_families_share_an_option_of_one_name() -> None:
    flags = merged_flags({"a": options_of(Settings), "b": options_of(Others)}, "Backbone")
    helps = {flag.option.name: flag.help for flag in flags}
    assert [*helps] == ["steps", "rate", "size", "levels", "kind", "flip"]
    assert helps["steps"] == "a, b: optimisation steps."
    assert helps["levels"] == "a: which ones; b: none of them."


def test_families_that_disagree_on_a_type_are_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        steps: float = option(1.0, "optimisation steps")

    with pytest.raises(TypeError, match="steps of b"):
        merged_flags({"a": options_of(Settings), "b": options_of(Odd)}, "Backbone")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_says_what_each_of_its_options_is(name: str) -> None:
    options = options_of(FAMILIES[name].options_class())
    assert len(options) == len(FAMILIES[name].options_class().__dataclass_fields__)
    assert all(option.help for option in options)


def test_every_training_setting_is_an_option() -> None:
    for family in pretrainable():
        cls = family.settings_class()
        assert [option.name for option in options_of(cls)] == list(cls.__dataclass_fields__), family.name
