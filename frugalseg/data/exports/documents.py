"""The JSON files of annotation tools."""

from pathlib import Path
from typing import Any

from frugalseg.data.layout import plain_files
from frugalseg.support.files import FileError

MOST_DIGITS = 30
"""Of a text that is read as a number; longer ones, which Python may refuse, stay texts."""


def json_files(folder: Path) -> list[Path]:
    """The JSON files directly in a folder, by name, but for ``classes.json``; none where there is no such folder."""
    return [p for p in plain_files(folder) if p.suffix.lower() == ".json" and p.name != "classes.json"]


def whole_size(height: Any, width: Any) -> tuple[int, int] | None:
    """(H, W) as a file claims it, in numbers of any kind or in digits; None where it does not."""
    sides = [whole(value) for value in (height, width)]
    return None if sides[0] is None or sides[1] is None else (sides[0], sides[1])


def whole(value: Any) -> int | None:
    """A whole number that is written as 7, 7.0 or "7"; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < MOST_DIGITS:
        return int(value)
    return value if type(value) is int else None


def require_size(path: Path, image: str, claimed: tuple[int, int] | None, size: tuple[int, int]) -> None:
    """`FileError` where an image, of (H, W) `size`, is not as large as the annotation file `path` claims."""
    if claimed is None or claimed == size:
        return
    turned = ", as if it lay on its side (EXIF)" if claimed == size[::-1] else ""
    message = f"{image} is {claimed[0]}x{claimed[1]} (height x width) in it, the image itself {size[0]}x{size[1]}"
    raise FileError(path, f"{message}{turned}", "annotate the image as it is now, or put the annotated one back")
