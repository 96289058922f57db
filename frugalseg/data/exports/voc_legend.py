"""Names and colours of VOC's labels: the 21 of PASCAL, CVAT's ``labelmap.txt``, labelme's ``class_names.txt``."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from frugalseg.data.classes import ClassTable, Color
from frugalseg.data.exports.labels import require_label
from frugalseg.support.files import FileError

VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

FILES = ("labelmap.txt", "class_names.txt")
MOST_BYTES = 2**20


@dataclass(frozen=True)
class VocLegend:
    """The labels of a folder in the order of the file, which gives their ids.

    Attributes:
        path: the file.
        names, colors: one each a label.
    """

    path: Path
    names: tuple[str, ...]
    colors: tuple[Color, ...]

    def table(self) -> ClassTable:
        """The labels as classes; `FileError` where they cannot be."""
        try:
            return ClassTable(tuple(range(len(self.names))), self.names, self.colors)
        except ValueError as error:
            raise FileError(self.path, str(error), "name each label once, with at most 254 in all") from None


@cache
def voc_colors() -> tuple[Color, ...]:
    """VOC's 256 colours: a label's bits, from the lowest, go to red, green and blue in turn, to high bits first."""
    return tuple((_channel(label, 0), _channel(label, 1), _channel(label, 2)) for label in range(256))


def _channel(label: int, channel: int) -> int:
    return sum((label >> (3 * step + channel) & 1) << (7 - step) for step in range(3))


def find_legend(root: Path) -> VocLegend | None:
    """The legend of a folder; None where it has none, `FileError` where it is wrong."""
    path = next((root / name for name in FILES if (root / name).is_file()), None)
    if path is None:
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(path, "larger than 1 MB", "list 1 to 254 labels, one a line: name:red,green,blue::")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise FileError(path, "cannot be read as UTF-8 text", "save it as plain text") from None
    lines = [line.strip() for line in text.splitlines()]
    labels = [_label(path, line, place) for place, line in enumerate(s for s in lines if s and s[0] != "#")]
    if not 0 < len(labels) <= 254:
        raise FileError(path, f"has {len(labels)} labels", "list 1 to 254 labels, one a line: name:red,green,blue::")
    legend = VocLegend(path, tuple(name for name, _ in labels), tuple(color for _, color in labels))
    if len(set(legend.colors)) < len(labels):
        raise FileError(path, "two labels have the same color", "give each label its own")
    legend.table()
    return legend


def _label(path: Path, line: str, place: int) -> tuple[str, Color]:
    """``name:red,green,blue:parts:actions``; without a colour it is VOC's for this place."""
    name, _, rest = line.partition(":")
    name = require_label(path, name)
    numbers = rest.partition(":")[0].strip()
    if not numbers:
        return name, voc_colors()[place % 256]
    # Python refuses to read numbers of thousands of digits.
    parts = [part.strip() for part in numbers.split(",")]
    values = [int(part) if part.isdecimal() and len(part) < 4 else -1 for part in parts]
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise FileError(path, f"the color of {name!r} is {numbers[:40]!r}", "write it as red,green,blue from 0 to 255")
    return name, (values[0], values[1], values[2])
