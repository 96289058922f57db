"""Progress bars: a line for each stage, with the last note beside it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import TextColumn

from frugalseg.support.progress import Bars, Lines, bars, line, note, silent


def test_bars_show_each_stage_with_its_rate_and_note() -> None:
    time = iter(range(100))
    columns = (TextColumn("{task.description} {task.completed}/{task.total} {task.fields[rate]} {task.fields[note]}"),)
    console = Console(file=io.StringIO(), width=80)
    shown = RichProgress(*columns, console=console, auto_refresh=False, get_time=lambda: float(next(time)) / 2)
    progress = Bars(shown)
    for step in (1, 2, 3):
        progress("train", step, 3)
        note(progress, "train", f"loss {step}")
    progress("save", 1, 1)
    line(progress, "takes [1] hour")
    assert console.file.getvalue() == "takes [1] hour\n"  # type: ignore[attr-defined]
    console.print(shown.get_renderable())
    lines = [shown_line.rstrip() for shown_line in console.file.getvalue().splitlines()[1:]]  # type: ignore[attr-defined]
    assert lines[0].startswith("train 3/3") and lines[0].endswith("loss 2") and "/s" in lines[0]
    assert lines[1].startswith("save 1/1") and "loss" not in lines[1]


def test_slow_steps_are_timed_each() -> None:
    time = iter(range(100))
    columns = (TextColumn("{task.fields[rate]}"),)
    console = Console(file=io.StringIO(), width=80)
    shown = RichProgress(*columns, console=console, auto_refresh=False, get_time=lambda: float(next(time)) * 10)
    progress = Bars(shown)
    for step in range(5):
        progress("train", step, 9)
    console.print(shown.get_renderable())
    assert " s each" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_plain_function_needs_no_notes_or_lines() -> None:
    note(silent, "train", "loss 1")
    line(silent, "takes an hour")
    note(lambda *report: None, "train", "loss 1")


def test_bars_are_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with bars() as progress:
        progress("train", 2, 5)
    out, err = capsys.readouterr()
    assert not out and "train" in err and "2/5" in err


def test_lines_tell_beginnings_and_ends_and_now_and_then() -> None:
    times = iter([0.0, 1, 2, 3, 29, 31, 40, 41, 42])
    written = io.StringIO()
    progress = Lines(written, clock=lambda: next(times))
    for done in range(4):
        progress("train", done, 9)
    note(progress, "train", "loss [1]")
    for done in (7, 8, 9):
        progress("train", done, 9)
    line(progress, "takes an hour")
    for _ in range(2):  # recurs
        progress("train", 9, 9)
    assert written.getvalue().splitlines() == [
        "train 0/9",
        "train 8/9  loss [1]",
        "train 9/9  loss [1]",
        "takes an hour",
    ]


def test_a_line_reaches_a_log_at_once(tmp_path: Path) -> None:
    code = (
        "import os\nfrom frugalseg.support.progress import bars\n"
        "with bars() as progress:\n    progress('train', 1, 2)\n    os._exit(9)\n"
    )
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", code], stderr=log, check=False)
    assert (tmp_path / "log").read_text() == "train 1/2\n"
