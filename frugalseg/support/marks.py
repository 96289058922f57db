"""By what frugalseg knows the folders that it has written, the only ones that it ever replaces."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from frugalseg.support.files import FileError
from frugalseg.support.records import Record

RECORD = "run.json"
"""In an output folder, what the command was asked for."""


@dataclass(frozen=True)
class Mark:
    """A JSON file that lies in every output of one kind.

    Attributes:
        file: its place in the folder.
        key: that the object in it has.
        values: of that key, one of which it has; none stand for any value.
    """

    file: str
    key: str
    values: tuple[str, ...] = ()

    def on(self, folder: Path) -> bool:
        """Whether a folder carries this mark; a damaged file is none."""
        try:
            found = Record(folder / self.file).read()
        except FileError:
            return False
        return found is not None and self.key in found and (not self.values or found[self.key] in self.values)


MODEL = Mark("config.json", "frugalseg")
"""What fit and distill write, and the `save_pretrained` of a model."""

BACKBONE = Mark("backbone.json", "family")
"""What `Backbone.save_pretrained` writes."""

# A set for annotators has a record, too, but is not among these: somebody may have painted its masks.
MARKS = (
    MODEL,
    BACKBONE,
    Mark(RECORD, "command", ("predict", "evaluate", "convert", "explore")),
    Mark("synthetic.json", "shard_size"),
    Mark("training/settings.json", "family"),
)
"""Every kind of output that may be replaced: models, backbones, results of a command, sets, pretrained networks."""

LAST = (*(Path(mark.file).parts[0] for mark in MARKS if mark.file != RECORD), RECORD)
"""What is deleted last of a folder, in this order: without its mark, the rest would look like the user's own."""


def is_ours(folder: Path, marks: Collection[Mark] = MARKS) -> bool:
    """Whether a folder carries one of the marks."""
    return any(mark.on(folder) for mark in marks)
