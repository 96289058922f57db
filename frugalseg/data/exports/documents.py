"""The JSON files of annotation tools."""

from pathlib import Path
from typing import Any

from frugalseg.data.layout import plain_files
from frugalseg.support.files import FileError, read_json

MAX_MEGABYTES = 512
"""Larger JSON files are refused: parsed, they take several times their size in memory. COCO's own largest, the training
instances of 2017, has 448."""


def json_files(folder: Path) -> list[Path]:
    """The JSON files directly in a folder, by name, but for ``classes.json``; none where there is no such folder."""
    return [p for p in plain_files(folder) if p.suffix.lower() == ".json" and p.name != "classes.json"]


def read_document(path: Path) -> Any:
    """The value in a JSON file; `FileError` where it is missing, unreadable, not JSON, or giant."""
    if path.is_file() and path.stat().st_size > MAX_MEGABYTES * 2**20:
        raise FileError(path, f"larger than {MAX_MEGABYTES} MB", "export it in parts, a folder for each")
    return read_json(path)


def whole_size(height: Any, width: Any) -> tuple[int, int] | None:
    """(H, W) as a file claims it; None where it does not."""
    return (height, width) if type(height) is int and type(width) is int else None


def require_size(path: Path, image: str, claimed: tuple[int, int] | None, size: tuple[int, int]) -> None:
    """`FileError` where an image, of (H, W) `size`, is not as large as the annotation file `path` claims."""
    if claimed is None or claimed == size:
        return
    turned = ", as if it lay on its side (EXIF)" if claimed == size[::-1] else ""
    message = f"{image} is {claimed[1]}x{claimed[0]} (width x height) in it, the image itself {size[1]}x{size[0]}"
    raise FileError(path, f"{message}{turned}", "annotate the image as it is now, or put the annotated one back")
