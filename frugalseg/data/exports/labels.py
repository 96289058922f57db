"""Labels by name: what an export's words are in a class table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalseg.data.classes import ClassTable, composed, distinct_colors
from frugalseg.support.files import FileError
from frugalseg.support.text import is_name, listing, printable, quoted

BACKGROUND = "background"
IGNORED = "__ignore__"
"""labelme's label for what is not annotated."""

BLACK = (0, 0, 0)


def is_background(label: str) -> bool:
    """``background``, ``_background_``, ``Background``."""
    return label.strip("_ ").casefold() == BACKGROUND


class Vocabulary:
    """What labels are in a class table.

    Attributes:
        outside: the id of pixels outside of all objects: that of the class "background", else `ignore_index`.
    """

    def __init__(self, classes: ClassTable) -> None:
        self._ids = dict(zip(classes.names, classes.ids, strict=True))
        self._composed = {composed(name): i for name, i in self._ids.items()}
        self._ignored = classes.ignore_index
        self._background = next((i for name, i in self._ids.items() if is_background(name)), None)
        self.outside = classes.ignore_index if self._background is None else self._background

    def id_of(self, label: str) -> int:
        """The id of a label; ValueError where the table lacks it."""
        found = self._ids.get(label, self._composed.get(composed(label)))
        if found is None and label == IGNORED:
            found = self._ignored
        if found is None and is_background(label):
            found = self._background
        if found is None:
            known = listing([repr(name) for name in self._ids], 20)
            raise ValueError(f"label {printable(label)!r} is none of the classes ({known})")
        return found


TAKE_ANOTHER = "use a model, or training images, that have this class"


class UnknownClassError(FileError):
    """An annotation names a class that is not in the table.

    Args:
        path: of the annotation.
        error: what `Vocabulary.id_of` has raised.
    """

    def __init__(self, path: Path, error: ValueError, remedy: str = "add it to classes.json") -> None:
        super().__init__(path, str(error), f"correct the label, or {remedy}")
        self._path, self._error = path, error

    def of_model(self) -> "UnknownClassError":
        """The same error where the table is not that of the folder, but of a model or of other images."""
        return UnknownClassError(self._path, self._error, TAKE_ANOTHER)

    def __reduce__(self) -> tuple[Any, ...]:
        """See `FileError`."""
        return FileError, (self.where, self.message, self.remedy)


def named_table(path: Path, names: Mapping[int, str]) -> ClassTable:
    """Background, id 0, black, and the classes of `names`; `FileError` naming `path` where they cannot be classes."""
    ids = (0, *names)
    colors = (BLACK, *distinct_colors(len(names)))
    try:
        return ClassTable(ids, (BACKGROUND, *names.values()), colors)
    except ValueError as error:
        raise FileError(path, str(error), "name each class once, with at most 254 in all") from None


def require_label(path: Path, label: object) -> str:
    """A label that can be the name of a class; `FileError` for any other."""
    if not isinstance(label, str) or not is_name(label):
        raise FileError(path, f"the label {quoted(label, 40)} is not a line of text", "rename the label")
    return composed(label)
