"""Whether this is the same work as before: a record of what it was begun with, and in what it differs, in words."""

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.files import FileError, read_json, write_json

T = TypeVar("T")
AGAIN = "delete it, and run the same command again"
LONGEST = 40
"""Characters up to which a list is shown in a difference; longer ones are only named."""

READ = frozenset({".safetensors", ".json", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npz", ".npy"})
"""Suffixes of the weights and settings that are read from the folder of a model or a checkpoint."""


@dataclass(frozen=True)
class Record:
    """A JSON file beside some work that says what the work depends on.

    Attributes:
        path: of the file.
    """

    path: Path

    def read(self) -> dict[str, Any] | None:
        """What it says; None where there is no such file, or no JSON object in it.

        Raises:
            FileError: the file cannot be read, or is not JSON.
        """
        values = read_json(self.path) if self.path.is_file() else None
        return values if isinstance(values, dict) else None

    def write(self, values: Mapping[str, Any]) -> None:
        """Say so; the file appears whole or not at all."""
        write_json(self.path, plain(values))

    def says(self, values: Mapping[str, Any]) -> bool:
        """Whether it says just this."""
        return self.read() == plain(values)

    def knows(self, name: str) -> bool:
        """Whether it says something of `name`; also where there is no record, or one that cannot be read."""
        with suppress(FileError):
            values = self.read()
            return values is None or name in values
        return True


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON gives them back: tuples are lists, dataclasses are objects."""
    result: dict[str, Any] = json.loads(json.dumps(dict(values), default=asdict))
    return result


def kept(path: Path, make: Callable[[], Any], read: Callable[[Any], T]) -> T:
    """What `read` makes of the JSON value in a file; where there is none, what `make` gives is written there.

    A kill costs one value. Errors are those of `understood`.
    """
    if not path.is_file():
        write_json(path, make())
    return understood(path, read)


def understood(path: Path, read: Callable[[Any], T]) -> T:
    """What `read` makes of the JSON value in a file that a part of the work was kept in.

    Args:
        path: of the file.
        read: raises whatever it likes for a value that is none of ours.

    Raises:
        DamagedError: the file was damaged or changed.
    """
    with refused_where_damaged(path, "part of a result", AGAIN):
        return read(read_json(path))


def share(value: Any) -> float:
    """A JSON number from 0 to 1; raises `ValueError` for anything else."""
    if not_negative(value) > 1:
        raise ValueError("more than 1")
    return float(value)


def not_negative(value: Any) -> float:
    """A JSON number from 0; raises `ValueError` for anything else, also for infinity and what is no number."""
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError("no number from 0")
    return float(value)


def differences(before: Mapping[str, Any], now: Mapping[str, Any], words: Mapping[str, str] | None = None) -> list[str]:
    """In words, each value that differs, such as ``seed: 0 before, 1 now``; of long lists the name alone.

    Args:
        before: JSON values that the work was begun with. Values within values are named by their innermost name.
        now: those that are asked for; compare what `plain` makes of them.
        words: what to say instead where the value of a name differs.
    """
    return list(_differing(before, now, words or {}))


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], words: Mapping[str, str]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(old, new, words)
        elif old != new:
            yield words.get(key) or f"{key.replace('_', ' ')}{_change(old, new)}"


def _change(old: Any, new: Any) -> str:
    shown = [_shown(value) for value in (old, new)]
    return "" if None in shown else f": {shown[0]} before, {shown[1]} now"


def _shown(value: Any) -> str | None:
    """A value as text; None for lists and objects that are too long to read."""
    if value is None:
        return "none"
    if isinstance(value, list | tuple | Mapping):
        written = json.dumps(value)
        return written if len(written) <= LONGEST else None
    return str(value)


def stamps(files: Iterable[Path]) -> list[list[Any]]:
    """Path, length in bytes and time of change (ns) of each file: whether a rerun sees the same input."""
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def files_read(place: Path) -> list[Path]:
    """The files that a model or a checkpoint, a folder or a single file, is read from; no logs and no pictures."""
    if place.is_file():
        return [place]
    return [path for path in sorted(place.rglob("*")) if path.suffix.lower() in READ and path.is_file()]


def as_recorded(command: Mapping[str, Any], record: Record, later: Collection[str]) -> dict[str, Any]:
    """A command without those values that the version which wrote its record did not write yet.

    Args:
        command: JSON values.
        record: that of an earlier run, if there is one.
        later: names of the values that earlier versions lack.
    """
    return {name: value for name, value in command.items() if name not in later or record.knows(name)}
