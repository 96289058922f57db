"""What commands print: findings of the data doctor, figures of an evaluation."""

from typing import Any


def print_findings(findings: list[Any]) -> None:
    """A line for each finding of the data doctor."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    colors = {"error": "red", "warning": "yellow", "info": "dim"}
    for finding in findings:
        remedy = f" [dim]{escape(finding.remedy)}[/dim]" if finding.remedy else ""
        where = f"{escape(str(finding.where))}: " if finding.where else ""
        level = f"[{colors[finding.level]}]{finding.level:7}[/]"
        console.print(f"{level} {where}{escape(finding.message)}{remedy}")


def print_metrics(metrics: dict[str, Any]) -> None:
    """The table of an evaluation."""
    from rich.console import Console
    from rich.table import Table

    table = Table("class", "IoU %")
    for name, share in metrics["class_iou"].items():
        table.add_row(name, "-" if share is None else f"{100 * share:.1f}")
    table.add_section()
    table.add_row("mIoU", f"{100 * metrics['miou']:.1f}", style="bold")
    table.add_row("mIoU as the paper counts", f"{100 * metrics['miou_paper']:.1f}")
    table.add_row("pixel accuracy", f"{100 * metrics['pixel_accuracy']:.1f}")
    Console().print(table)
