"""Roboflow's semantic segmentation: ``x_mask.png`` beside ``x.jpg``, and ``_classes.csv`` with the class names."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import MAX_ID, NOT_ANNOTATED, ClassTable, distinct_colors
from frugalseg.data.exports.labels import UnknownClassError, Vocabulary, is_background, require_label
from frugalseg.data.image_folder import images_in
from frugalseg.data.layout import Layout, classes_file, plain_files
from frugalseg.data.mask_folder import name_of, pairing_errors
from frugalseg.data.masks import read_mask
from frugalseg.support.files import FileError

LEGEND = "_classes.csv"
ENDING = "_mask"
MOST_BYTES = 2**20
NO_CLASS = frozenset({"ignore", "ignored", "void", "unlabeled", "unlabelled", "not annotated"})
"""What 255 is called where it means that a pixel is not annotated; under any other name it is a class."""


@dataclass(frozen=True)
class RoboflowMask:
    """A mask of the numbers that ``_classes.csv`` explains."""

    path: Path
    labels: Mapping[int, str]

    def ids(self, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64, see `Annotation`; 255 that the legend does not list is not annotated."""
        values, vocabulary = read_mask(self.path), Vocabulary(classes)
        ids = np.full(values.shape, classes.ignore_index, np.int64)
        for value in np.unique(values).tolist():
            if value in self.labels:
                ids[values == value] = self._id(self.labels[value], vocabulary)
            elif value != NOT_ANNOTATED:
                raise FileError(self.path, f"holds {value}, which {LEGEND} does not list", "add a line for it there")
        return ids

    def _id(self, label: str, vocabulary: Vocabulary) -> int:
        if is_background(label):
            return vocabulary.outside
        try:
            return vocabulary.id_of(label)
        except ValueError as error:
            raise UnknownClassError(self.path, error) from None


def roboflow_export(root: Path) -> Layout | None:
    """A folder with ``_classes.csv`` in it; `FileError` where there are no masks."""
    legend = root / LEGEND
    if not legend.is_file():
        return None
    labels = read_legend(legend)
    masks = [p for p in plain_files(root) if p.suffix.lower() == ".png" and p.stem.endswith(ENDING)]
    images = [p for p in images_in(root) if p not in set(masks)]
    if not masks:
        raise FileError(root, f"no *{ENDING}.png beside {LEGEND}", "export as PNG masks again")
    named_masks = [(name_of(path, root).removesuffix(ENDING), path) for path in masks]
    named_images = [(name_of(path, root), path) for path in images]
    return Layout(
        root,
        dict(named_images),
        {name: RoboflowMask(path, labels) for name, path in named_masks},
        classes_file(root),
        lambda _: table_of(legend, labels),
        by_name=True,
        problems=tuple(pairing_errors(root, named_images, named_masks)),
        decisive=(legend,),
    )


def read_legend(path: Path) -> dict[int, str]:
    """The class name of each mask value; `FileError` where the file is not as Roboflow writes it."""
    expected = "expected lines such as: 0, background"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FileError(path, "larger than 1 MB", expected)
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        rows = [next(csv.reader([line], skipinitialspace=True)) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise FileError(path, "cannot be read as a table in UTF-8", expected) from None
    labels, columns = dict[int, str](), 2
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        value = row[0].strip()
        if len(row) < 2 or not (value.isascii() and value.isdecimal() and len(value) < 6 and int(value) <= MAX_ID):
            if number == 1:  # the heading
                columns = max(columns, len(row))
                continue
            raise FileError(path, f"line {number} is not a number and a name", expected)
        if int(value) in labels:
            raise FileError(path, f"explains {value} twice", "keep one line for each value")
        labels[int(value)] = require_label(path, _name(line, row, columns))
    if labels.get(NOT_ANNOTATED, "").strip("_ ").casefold() in NO_CLASS:
        del labels[NOT_ANNOTATED]
    if not labels:
        raise FileError(path, "lists no class", expected)
    return labels


def _name(line: str, row: Sequence[str], columns: int) -> str:
    """The second column of a line; all behind the first comma where a name has commas of its own."""
    return (row[1] if len(row) <= columns else line.partition(",")[2]).strip()


def table_of(path: Path, labels: Mapping[int, str]) -> ClassTable:
    """The classes of a legend, of which 255 gets the least free id; `FileError` where they cannot be classes."""
    free = next(value for value in range(MAX_ID) if value not in labels)
    ids = tuple(free if value == NOT_ANNOTATED else value for value in labels)
    try:
        return ClassTable(ids, tuple(labels.values()), distinct_colors(len(ids)))
    except ValueError as error:
        raise FileError(path, str(error), "name each class once, with at most 254 in all") from None
