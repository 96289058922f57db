"""How long work tells of its progress: a function of (stage, done, total). What shows it is the caller's choice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


@contextmanager
def bars() -> Iterator[Progress]:
    """Progress bars on standard error, one a stage, with rate and time left.

    They appear with the first stage: until then other bars may be drawn.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    tasks: dict[str, TaskID] = {}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    shown = Bars(*columns, console=Console(stderr=True))

    def show(stage: str, done: int, total: int) -> None:
        shown.start()
        if stage not in tasks:
            tasks[stage] = shown.add_task(stage, total=total, rate="")
        speed = shown.tasks[tasks[stage]].speed
        rate = f"{speed:.1f}/s" if speed else ""
        shown.update(tasks[stage], completed=done, total=total, rate=rate)

    try:
        yield show
    finally:
        shown.stop()
