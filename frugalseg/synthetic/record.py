"""``synthetic.json``: what a folder of shards was made with, and how many samples it is to hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.records import Record, differences, plain

RECORD = "synthetic.json"
FORMAT = 1  # of a set; a reader refuses what is newer
SHARD_SIZE = 64
MOST = 2**32
"""Images of a set: with more of them, seeds would repeat."""
WORDS = {"images": "list of photographs: files were added, removed or resized"}
"""What to say of a digest that differs."""


@dataclass(frozen=True)
class SetRecord:
    """What the bytes of a set depend on.

    Attributes:
        count: numbers that the set is to hold; some are left out where photographs cannot be read.
        shard_size: numbers a shard.
        settings: everything else, as JSON values: model, batch size, and what the source says of itself.
    """

    count: int
    shard_size: int
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.count < 1 or self.shard_size < 1:
            raise InputError(f"{self.count} images in shards of {self.shard_size}: at least one of each is needed")
        if self.count > MOST:
            raise InputError(f"{self.count} images: a set holds at most {MOST}")

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.count // self.shard_size)

    def numbers(self, shard: int) -> range:
        """The numbers that go into a shard; none where there is no such shard."""
        start = shard * self.shard_size
        return range(start, max(start, min(start + self.shard_size, self.count)))

    @classmethod
    def read(cls, folder: Path) -> "SetRecord":
        """The record in `folder`; `FileError` where there is none, or one that this version cannot read."""
        path = folder / RECORD
        values: Any = Record(path).read()
        try:
            version, count, shard_size = int(values["format"]), int(values["count"]), int(values["shard_size"])
            record = cls(count, shard_size, dict(values["settings"]))
        except (KeyError, TypeError, ValueError, OverflowError, InputError):
            raise FileError(path, "not the record of a synthetic set", "generate the set again") from None
        if version > FORMAT:
            raise FileError(path, f"of format {version}, this version reads {FORMAT}", "upgrade frugalseg")
        return record

    def write(self, folder: Path) -> None:
        """Write the record to `folder`, atomically."""
        values = {"format": FORMAT, "count": self.count, "shard_size": self.shard_size, "settings": self.settings}
        Record(folder / RECORD).write(values)

    def difference(self, other: "SetRecord") -> str | None:
        """The first setting that differs, in words, such as ``seed: 0 before, 1 now``; the count may differ."""
        before, now = (plain({"shard_size": each.shard_size, **each.settings}) for each in (self, other))
        return next(iter(differences(before, now, WORDS)), None)


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The values of nested settings by their innermost name."""
    values: dict[str, Any] = {}
    for key, value in settings.items():
        values |= flat(value) if isinstance(value, Mapping) else {key: value}
    return values
