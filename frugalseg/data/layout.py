"""The files of a data folder, whatever its format."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from frugalseg.data.annotation import Annotation
from frugalseg.data.classes import ClassTable
from frugalseg.support.files import FileError
from frugalseg.support.text import listing

Legend = Callable[[bool], ClassTable]
"""Gives the classes that a format names itself. True leaves out files that cannot be read, instead of a `FileError`."""


@dataclass(frozen=True)
class Layout:
    """What a format has found in a folder.

    Attributes:
        path: the folder.
        images, masks: an image and its annotation by name, sorted; one may lack the other.
        classes: ``classes.json`` of the folder or else of its parent.
        legend: the format's own classes; None where the ids found in the masks are the classes.
        by_name: whether annotations find their classes in a table by name; otherwise they hold its ids.
        problems: what keeps the files from being pairs.
        unused: images that nobody annotated, in a format where that is usual.
        decisive: more files that decide what the annotations mean.
        origins: the record of the drawn images of the folder or else of its parent, see `frugalseg.data.origins`.
    """

    path: Path
    images: Mapping[str, Path]
    masks: Mapping[str, Annotation]
    classes: Path | None
    legend: Legend | None = None
    by_name: bool = False
    problems: tuple[FileError, ...] = ()
    unused: tuple[Path, ...] = ()
    decisive: tuple[Path, ...] = ()
    origins: Path | None = None

    @property
    def pairs(self) -> list[tuple[str, Path, Annotation]]:
        """Name, image and annotation of everything that is complete."""
        return [(name, path, self.masks[name]) for name, path in self.images.items() if name in self.masks]


def classes_file(root: Path) -> Path | None:
    """``classes.json`` of a folder or else of its parent."""
    return in_or_beside(root, "classes.json")


def in_or_beside(root: Path, name: str) -> Path | None:
    """The file of a name in a folder, or else in its parent."""
    # `Path(".").parent` is itself, hence absolute.
    candidates = (root / name, root.absolute().parent / name)
    return next((p for p in candidates if p.is_file()), None)


def plain_files(folder: Path) -> list[Path]:
    """The files of a folder but for hidden ones, by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())


def image_names(root: Path, paths: Iterable[Path]) -> dict[Path, str]:
    """A name for each image: its stem, or its path within `root` without suffix where several have that stem."""
    paths = list(paths)
    stems = Counter(path.stem for path in paths)
    return {
        path: path.stem if stems[path.stem] == 1 else path.relative_to(root).with_suffix("").as_posix()
        for path in paths
    }


def name_clashes(root: Path, names: Mapping[Path, str]) -> list[FileError]:
    """The error for images of equal names, as a list of none or one."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path, name in names.items():
        groups[name].append(path.name)
    clashes = [" and ".join(group) for group in groups.values() if len(group) > 1]
    return [clash_error(root, clashes)] if clashes else []


def clash_error(root: Path, clashes: list[str]) -> FileError:
    """The error for groups of files that differ only in their suffix."""
    return FileError(root, f"files whose names clash: {listing(clashes)}", "keep one of each")
