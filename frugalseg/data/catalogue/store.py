"""Where downloaded things lie, and whether they are whole: the cache, or another folder of the same layout."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from frugalseg.data.catalogue.items import Item, Remote
from frugalseg.support import digests
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.support.records import Record
from frugalseg.support.text import count, listing

CACHE = "FRUGALSEG_CACHE"
"""The variable of the environment that names another folder for the cache."""


def cache_folder() -> Path:
    """The folder of the cache, which need not exist: `CACHE`, or where the platform keeps caches.

    Raises:
        InputError: `CACHE` is no path.
    """
    given = os.environ.get(CACHE)
    if given:
        return as_path(Path(given).expanduser(), "cache folder").absolute()
    # Here, for it takes a moment to import, and most commands name nothing of the catalogue.
    import pooch

    return Path(pooch.os_cache("frugalseg"))


class IncompleteError(FileError):
    """Something of a benchmark or a set is here, but not all of it."""


@dataclass(frozen=True)
class FileMark:
    """What is known of a file.

    Attributes:
        bytes: its length.
        sha256: 64 hexadecimal digits.
    """

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileMark":
        """That of a file."""
        return cls(path.stat().st_size, digests.file(path))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"bytes": self.bytes, "sha256": self.sha256}

    @classmethod
    def from_json(cls, values: Any) -> "FileMark | None":
        """The inverse of `to_json`; None where the values are something else."""
        known = isinstance(values, dict) and type(values.get("bytes")) is int and isinstance(values.get("sha256"), str)
        return cls(values["bytes"], values["sha256"]) if known else None


@dataclass(frozen=True)
class Store:
    """A folder of downloaded things.

    Attributes:
        root: of the folder, which need not exist.
    """

    root: Path

    def place(self, item: Item) -> Path:
        """The file of a checkpoint; the folder of a benchmark or a set."""
        return self.root / item.place

    def archive(self, remote: Remote) -> Path:
        """Where a user may put an archive, which then need not be fetched."""
        return self.root / "archives" / remote.path

    def fetched(self, item: Item) -> Path:
        """Where a file that was fetched lies until it is recorded and has its place, or is unpacked."""
        place = self.place(item)
        archive, file = self.root / ".fetched" / item.remote.path, place.with_name(f".{place.name}.fetched")
        return archive if item.remote.is_archive else file

    def unpacking(self, item: Item) -> Path:
        """Where the archive of an item is unpacked, on the disk of its place."""
        return self.place(item).with_name(f".{Path(item.remote.path).name}.unpacking")

    def record(self, remote: Remote) -> Record:
        """What was noted of a published file when it was downloaded first.

        ``url``, or null where the user has put the file there; ``bytes`` and ``sha256`` of the file; and of an archive
        ``files``, the same of every file that came out of it, by the path below `root`.
        """
        return Record(self.root / "records" / f"{remote.path}.json")

    def noted(self, remote: Remote) -> FileMark | None:
        """The length and checksum of a published file at its first download; None before that."""
        return FileMark.from_json(self.record(remote).read())

    def noted_files(self, item: Item) -> dict[str, FileMark]:
        """What is known of each file of an item, by the path below `root`; nothing where the user has put it there."""
        record = self.record(item.remote).read() or {}
        if not item.remote.is_archive:
            mark = FileMark.from_json(record)
            return {item.place: mark} if mark else {}
        files = record.get("files")
        marks = {path: FileMark.from_json(values) for path, values in _items(files) if inside(path, item.place)}
        return {path: mark for path, mark in marks.items() if mark is not None}

    def fault(self, item: Item, *, thorough: bool = False) -> FileError | None:
        """What is wrong with an item that is here; None where it is whole.

        Args:
            item: of which something is here.
            thorough: compare the checksums of all files. Otherwise only those that have changed since they were noted.
        """
        noted = self.noted_files(item)
        missing = [path for path in noted if not is_file(self.root / path)]
        if missing:
            what = f"incomplete ({count(len(missing), 'file')} missing: {listing(missing, 3)})"
            return IncompleteError(self.place(item), what, again(item))
        written = self.record(item.remote).path.stat().st_mtime_ns if noted else 0
        for path, before in noted.items():
            file = self.root / path
            if thorough or file.stat().st_size != before.bytes or file.stat().st_mtime_ns > written:
                now = FileMark.of(file)
                if now != before:
                    return changed(file, before, now)
        return too_few(item, self.place(item))

    def has(self, item: Item) -> bool:
        """Whether an item, or some of it, is here."""
        place = self.place(item)
        return place.is_file() if item.kind == "checkpoint" else place.is_dir()


def _items(files: Any) -> list[tuple[str, Any]]:
    """The entries of a JSON object; none of anything else."""
    return list(files.items()) if isinstance(files, Mapping) else []


def inside(path: str, place: str) -> bool:
    """Whether a path below a store is that of a thing at `place`, or lies below it."""
    return path == place or path.startswith(f"{place}/")


def is_file(path: Path) -> bool:
    """Whether a file is there; no file has a name that is too long."""
    with suppress(OSError):
        return path.is_file()
    return False


def again(item: Item) -> str:
    """How to get a whole item."""
    return f"run frugalseg download {item.name}"


def too_few(item: Item, folder: Path) -> FileError | None:
    """The error where the folder of a benchmark lacks images or labels, or that of a set has none; else None."""
    if item.kind == "set" and not any(folder.rglob("*.npz")):
        return IncompleteError(folder, "incomplete (no .npz file in it)", again(item))
    parts = BENCHMARKS[item.benchmark].parts.values() if item.kind == "benchmark" else ()
    for part in parts:
        place = folder / part.folder
        files = [path for path in place.iterdir() if not path.name.startswith(".")] if place.is_dir() else []
        stems = Counter(path.stem for path in files)
        found = sum(path.suffix == ".npy" and stems[path.stem] > 1 for path in files)
        if found < part.images:
            what = f"incomplete ({found} of {part.images} images with their labels)"
            return IncompleteError(place, what, again(item))
    return None


def changed(file: Path, before: FileMark, now: FileMark) -> FileError:
    """The error for a file that is another one than before."""
    message = (
        f"not the file that was downloaded first: its SHA-256 was {before.sha256} ({before.bytes} bytes), "
        f"and is now {now.sha256} ({now.bytes} bytes)"
    )
    return FileError(file, message, "move it away and download it again")
