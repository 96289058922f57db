"""Damaged input on the command line: code 0, 1 or 2, one line for what is wrong, no traceback, nothing half-written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalseg.support.files import is_leftover
from tests.cli.helpers import run
from tests.fuzz.damage import damaged
from tests.fuzz.subjects import LONGEST_FINDING, MAKERS, RECIPE, Files, Sample, Subject, coco_export, files_of, masks
from tests.fuzz.test_readers import LONGEST_LINE, LONGEST_TIME, tried

QUICK, THOROUGH = 8, 150
Arguments = Callable[[Path, Path], list[object]]


def within(folder: str, files: Files) -> dict[str, bytes]:
    """A sample as a part of a larger one."""
    return {f"{folder}/{name}": content for name, content in files.items()}


def with_model(folder: str, files: Files) -> Subject:
    """A model, and data for it."""
    return Subject({**MAKERS["model colour"]().files, **within(folder, files)}, lambda _: None)


COMMANDS: dict[str, tuple[Callable[[], Subject], Arguments]] = {
    "check": (lambda: Subject(within("data", files_of(masks)), lambda _: None), lambda at, out: ["check", at / "data"]),
    "check coco": (
        lambda: Subject(within("data", files_of(coco_export)), lambda _: None),
        lambda at, out: ["check", at / "data"],
    ),
    "predict": (
        lambda: with_model("images", MAKERS["image rgb.png"]().files),
        lambda at, out: ["predict", at / "model", at / "images", "-o", out, "--overlays"],
    ),
    "evaluate": (
        lambda: with_model("data", files_of(masks)),
        lambda at, out: ["evaluate", at / "model", at / "data"],
    ),
    "fit": (
        lambda: Subject(
            {**within("data", files_of(masks)), **MAKERS["weights zip.pt"]().files}, lambda _: None, ("zip.pt",)
        ),
        lambda at, out: ["fit", at / "data", "--backbone", "swav", "--checkpoint", at / "zip.pt", "-o", out],
    ),
    "benchmark": (  # its data folder is missing: the recipe is read, and nothing is trained
        lambda: Subject({"recipe.yaml": RECIPE}, lambda _: None),
        lambda at, out: ["benchmark", at / "recipe.yaml", "-o", out],
    ),
}


@pytest.mark.parametrize("examples", [QUICK, pytest.param(THOROUGH, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", COMMANDS)
def test_damage_ends_in_one_line(name: str, examples: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, arguments = COMMANDS[name]
    subject, trap, number = make(), tmp_path / "trap", 0
    sample = Sample(subject, tmp_path / "sample")

    @tried(examples, LONGEST_TIME if examples == THOROUGH else None)
    @given(data=st.data())
    def damaged_once(data: st.DataObject) -> None:
        nonlocal number
        number += 1
        target, out = data.draw(st.sampled_from(subject.targets)), tmp_path / f"out{number}"
        sample.write(target, data.draw(damaged(target, subject.files[target], b"", trap)))
        try:
            code, _, err = run(*arguments(sample.folder, out), capsys=capsys)
        finally:
            sample.mend(target)
        assert code in (0, 1, 2) and "Traceback" not in err
        longest = LONGEST_FINDING if "check" in name else LONGEST_LINE
        assert all(line.isprintable() and len(line) <= longest for line in err.splitlines()), err
        assert not code or "check" in name or len(errors(err)) == 1, err
        assert not trap.exists() and not sample.strays()
        assert not [path for path in out.rglob("*") if is_leftover(path.name)]

    damaged_once()


def errors(err: str) -> list[str]:
    """The lines that say why a command has failed."""
    return [line for line in err.splitlines() if line.startswith("error: ")]
