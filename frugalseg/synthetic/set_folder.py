"""The folder of a set: made ready for any number of processes, and finished by the last of them.

What is not a shard is written by one process at a time.
"""

from contextlib import suppress
from pathlib import Path

from frugalseg.model import Model
from frugalseg.support.errors import InputError
from frugalseg.support.files import remove_leftovers
from frugalseg.support.folders import require_new, require_writable
from frugalseg.support.runs import alone, empty
from frugalseg.synthetic.record import RECORD, SetRecord
from frugalseg.synthetic.set_gallery import gallery_page
from frugalseg.synthetic.shard_reader import ShardFolder
from frugalseg.synthetic.shards import find_index, shard_path

CLASSES = "classes.json"
LOG = "generate.log"
PAGE = "index.html"


def open_set(out: Path, record: SetRecord, model: Model, *, overwrite: bool = False) -> None:
    """Make a folder ready for a set: an empty one gets its record, one of the same settings is taken up.

    Raises:
        InputError: it cannot be written, or holds something else, a set of other settings, or samples beyond the count
            that is asked for.
    """
    require_writable(out)
    if overwrite or not (out / RECORD).is_file():
        try:
            require_new(out, overwrite)
        except InputError:
            if overwrite or not (out / RECORD).is_file():  # else another process has just begun the set
                raise
    with alone(out, wait=True):
        if overwrite:
            empty(out)
        remove_leftovers(out, RECORD, CLASSES, PAGE)
        if (out / RECORD).is_file():
            there = SetRecord.read(out)
            check_same(out, there, record)
            if there.count != record.count:
                (out / PAGE).unlink(missing_ok=True)  # it would show the smaller set
        record.write(out)  # first: it says whose the folder is
        model.classes.to_json(out / CLASSES)


def check_same(out: Path, there: SetRecord, here: SetRecord) -> None:
    """`InputError` unless a set can be continued as asked; it may grow."""
    different = there.difference(here)
    if different is not None:
        raise InputError(
            f"{out}: holds a set made otherwise ({different}); choose another folder, the same settings or --overwrite"
        )
    if here.count >= there.count:
        return
    for number in range(here.count // here.shard_size, there.shards):
        if here.numbers(number) != there.numbers(number) and shard_path(out, number).exists():
            raise InputError(
                f"{out}: holds more than {here.count} images already, of {there.count}; ask for more of them"
            )


def finish(out: Path, record: SetRecord) -> bool:
    """Write the page of a set that is complete; False where other processes are still at work on it, or make it grow.

    Raises:
        InputError: there are no samples at all: not one photograph could be read.
    """
    with alone(out, wait=True):
        remove_leftovers(out, RECORD, CLASSES, PAGE)
        if SetRecord.read(out).count != record.count:
            return False
        if any(find_index(out, n, record.numbers(n), thorough=False) is None for n in range(record.shards)):
            return False
        for left in out.glob(".shard-*"):
            with suppress(OSError):  # the process that wrote the last shard may just be giving up its lock
                left.unlink()
        if (out / PAGE).is_file():
            return True
        found = ShardFolder(out)
        if not len(found):
            raise InputError(f"not one of the {record.count} images could be read; {out / LOG} names the reasons")
        gallery_page(found, record).save(out / PAGE)
    return True
