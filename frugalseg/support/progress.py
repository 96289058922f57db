"""How long work tells of its progress: a function of (stage, done, total). What shows it is the caller's choice."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

Progress = Callable[[str, int, int], None]


@runtime_checkable
class TakesNotes(Protocol):
    """A progress that also shows a few words beside each stage."""

    def note(self, stage: str, words: str) -> None:
        """Show `words` beside `stage` from its next report on."""


@runtime_checkable
class TakesLines(Protocol):
    """A progress that also shows whole lines."""

    def line(self, words: str) -> None:
        """Show `words` on a line of their own."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def note(progress: Progress | TakesNotes, stage: str, words: str) -> None:
    """Show `words`, such as the current loss, beside a stage, if `progress` takes notes."""
    taker: Any = progress
    if isinstance(taker, TakesNotes):
        taker.note(stage, words)


def line(progress: Progress | TakesLines, words: str) -> None:
    """Show a line, such as how long the work will take, if `progress` takes lines."""
    taker: Any = progress
    if isinstance(taker, TakesLines):
        taker.line(words)


class Bars:
    """A progress bar for each stage, with its rate, the time left and the last note."""

    def __init__(self, shown: "RichProgress") -> None:
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}
        self._notes: dict[str, str] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar of `stage`, which is drawn at its first report."""
        self._shown.start()  # with the first stage: until then other bars may be drawn
        if stage not in self._tasks:
            self._tasks[stage] = self._shown.add_task(stage, total=total, rate="", note="")
        speed = self._shown.tasks[self._tasks[stage]].speed
        rate = "" if not speed else f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"
        words = self._notes.get(stage, "")
        self._shown.update(self._tasks[stage], completed=done, total=total, rate=rate, note=words)

    def note(self, stage: str, words: str) -> None:
        """Show `words` beside the bar of `stage` from its next report on."""
        self._notes[stage] = words

    def line(self, words: str) -> None:
        """Show `words` above the bars."""
        self._shown.console.print(words, markup=False, highlight=False, soft_wrap=True)


SECONDS = 30.0
"""Between two lines about one stage."""


class Lines:
    """A line for the beginning and the end of each stage, and one now and then between them, for logs.

    Args:
        file: that they are written to, each at once.
        clock: gives the time in seconds.
    """

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._last: dict[str, float] = {}
        self._ended: set[str] = set()
        self._notes: dict[str, str] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Write a line, unless one about `stage` was written a moment ago. Of stages that recur, one end is told."""
        ends, now = done >= total and stage not in self._ended, self._clock()
        if not ends and now - self._last.get(stage, -math.inf) < SECONDS:
            return
        self._last[stage] = now
        self._ended |= {stage} if ends else set()
        words = self._notes.get(stage)
        self.line(f"{stage} {done}/{total}" + (f"  {words}" if words else ""))

    def note(self, stage: str, words: str) -> None:
        """Write `words` beside `stage` from its next line on."""
        self._notes[stage] = words

    def line(self, words: str) -> None:
        """Write a line."""
        print(words, file=self._file, flush=True)


@contextmanager
def bars() -> Iterator[Bars | Lines]:
    """Progress bars on standard error; plain lines where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:12}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(sys.stderr)
        return
    shown = RichProgress(*columns, console=console)
    try:
        yield Bars(shown)
    finally:
        shown.stop()
