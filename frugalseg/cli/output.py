"""What commands print: findings of the data doctor, figures of an evaluation.

All text from users is printed as `Text`: in a plain string rich would take square brackets for its own markup.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugalseg.data.check import Finding

COLORS = {"error": "red", "warning": "yellow", "info": "dim"}


def shell_line(*words: str | int | Path) -> str:
    """A command of this program as it can be pasted into a shell, whatever characters its paths have."""
    return shlex.join(["frugalseg", *map(str, words)])


def print_findings(findings: Iterable["Finding"], *, result: bool = False) -> None:
    """A line for each finding of the data doctor: on standard output where they are the result, else on standard error.

    Args:
        findings: in their order.
        result: whether they are what the command was asked for.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=not result, highlight=False, soft_wrap=True)
    for finding in findings:
        where = f"{finding.where}: " if finding.where else ""
        remedy = f"; {finding.remedy}" if finding.remedy else ""
        level = (f"{finding.level:7} ", COLORS[finding.level])
        console.print(Text.assemble(level, where, finding.message, (remedy, "dim")))


def print_metrics(metrics: dict[str, Any]) -> None:
    """The table of an evaluation."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("class", "IoU %")
    for name, share in metrics["class_iou"].items():
        table.add_row(Text(name), "-" if share is None else f"{100 * share:.1f}")
    table.add_section()
    table.add_row("mIoU", f"{100 * metrics['miou']:.1f}", style="bold")
    if metrics["miou_interval"] is not None:
        low, high = metrics["miou_interval"]
        table.add_row("mIoU, 95 % interval", f"{100 * low:.1f} to {100 * high:.1f}")
    table.add_row("mIoU as the paper counts", f"{100 * metrics['miou_paper']:.1f}")
    table.add_row("pixel accuracy", f"{100 * metrics['pixel_accuracy']:.1f}")
    Console().print(table)
