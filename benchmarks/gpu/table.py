"""What a GPU session found, as the section of docs/performance.md between two markers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.stages import PRETRAINING, ROOT, record_of
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path, read_json

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures of benchmarks.gpu: begin -->", "<!-- figures of benchmarks.gpu: end -->"
Row = Sequence[Any]


def update_page(folder: Path, page: Path = PAGE) -> Path:
    """Put the figures of a result folder into the page, in place of those that are there.

    Args:
        folder: of the results of ``python -m benchmarks.gpu``; stages that are missing or failed are left out.
        page: a Markdown file that holds the two markers.

    Returns:
        The page.

    Raises:
        InputError: the folder holds no result, or the page lacks a marker.
    """
    found = results(folder)
    if not found:
        raise InputError(f"{folder}: holds no result of a stage; run python -m benchmarks.gpu -o {folder} first")
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{page}: the lines {BEGIN} and {END} are missing; put them where the figures belong")
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n\n{section(found)}\n\n{END}{after}", encoding="utf-8")
    return page


def results(folder: Path) -> dict[str, Any]:
    """What each stage of a folder found, by its name."""
    names = ("tests", "predict", "predict_compiled", "generate", "student", PRETRAINING)
    records = {name: read_json(record_of(name, folder)) for name in names if record_of(name, folder).is_file()}
    return {name: record["result"] for name, record in records.items() if record["result"] is not None}


def section(found: Mapping[str, Any]) -> str:
    """The section in Markdown."""
    return "\n\n".join([machine(found), *parts(found)])


def machine(found: Mapping[str, Any]) -> str:
    """On what everything was measured."""
    about = next((result["machine"] for result in found.values() if "machine" in result), None)
    if about is None:
        return "Machine: not recorded."
    gpu = about.get("gpu", "no GPU")
    return f"Machine: {gpu}, {about['cores']} CPU cores ({about['cpu']}), torch {about['torch'].partition('+')[0]}."


def parts(found: Mapping[str, Any]) -> Iterator[str]:
    """A table for each stage."""
    if "tests" in found:
        tests = found["tests"]
        wrong = tests["failures"] + tests["errors"]
        passed = tests["tests"] - wrong - tests["skipped"]
        yield f"Tests that need a GPU (`make gpu`): {passed} passed, {wrong} failed, {tests['skipped']} skipped."
    if "predict" in found:
        yield table(
            ("prediction, bf16 against float32", "literal s", "ours s", "times faster"), compared(found["predict"])
        )
    rates = [(title, found[name]["throughput"]) for name, title in THROUGHPUT.items() if name in found]
    if rates:
        yield table(RATES, [rate(title, values) for title, values in rates])
    if "generate" in found:
        yield table(
            ("256 x 256", "literal s", "ours s", "times faster", "ours, images an hour"), drawn(found["generate"])
        )
    if "student" in found:
        yield table(("256 x 256, 32 at once", "ms an image", "images/s"), side_by_side(found["student"]))
    if PRETRAINING in found:
        yield from trained(found[PRETRAINING])


THROUGHPUT = {"predict": "as it is", "predict_compiled": "UNet compiled"}
RATES = (
    "LSUN-256 layout, bf16, batches of 16",
    "images/s",
    "images/s, UNet alone",
    "UNet TFLOP/s",
    "share of the card's matrix-product rate",
)


def compared(result: Mapping[str, Any]) -> list[Row]:
    """Rows of prediction against the literal method."""
    return [(row["what"], row["literal s"], row["ours s"], row["times faster"]) for row in result["rows"]]


def drawn(result: Mapping[str, Any]) -> list[Row]:
    """Rows of drawing and labelling images."""
    keys = ("what", "literal s", "ours s", "literal / ours", "ours, images an hour")
    return [tuple(row[key] for key in keys) for row in result["rows"]]


def side_by_side(result: Mapping[str, Any]) -> list[Row]:
    """Rows of a student and of the classifier that taught it."""
    return [(row["model"], row["ms an image"], row["images/s"]) for row in result["rows"]]


def rate(title: str, values: Mapping[str, Any]) -> Row:
    """A row of images a second."""
    numbers = (values[key] for key in ("images/s", "images/s, UNet alone", "UNet TFLOP/s", "share of the peak"))
    return (title, *numbers)


def trained(result: Mapping[str, Any]) -> Iterator[str]:
    """Networks and what follows from them."""
    yield table(
        (f"{result['title']}: network", "million weights", "images seen", "s", "images/s", "PFLOP"),
        [
            (
                f"{each['family']}, {each['size'][0]} x {each['size'][1]}",
                each["weights"] / 1e6,
                str(each["images"]),
                each["seconds"],
                each["images"] / each["seconds"],
                each["flops"] / 1e15 if each["flops"] else None,
            )
            for each in result["networks"]
        ],
    )
    if result["rows"]:
        rows = [(row["name"], 100 * row["miou"]["mean"], row["fit_seconds"]["mean"]) for row in result["rows"]]
        yield table(("features of", "mIoU, test, one run", "fit s"), rows)


def table(columns: Row, rows: Sequence[Row]) -> str:
    """A Markdown table; numbers with three digits that count."""
    lines = [f"| {' | '.join(map(cell, row))} |" for row in (columns, *rows)]
    return "\n".join([lines[0], f"|{' --- |' * len(columns)}", *lines[1:]])


def cell(value: Any) -> str:
    """A value as text."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "" if value is None else str(value)
