"""From an archive to the places of what it holds; files that are there already stay as they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from frugalseg.data.catalogue.items import ITEMS, Item
from frugalseg.data.catalogue.store import FileMark, Store, too_few
from frugalseg.jobs.download.archive import ANOTHER, unpacked
from frugalseg.support.files import FileError, usual_permissions
from frugalseg.support.progress import Progress


def put_in_places(wanted: Item, archive: Path, origin: Mapping[str, Any], store: Store, progress: Progress) -> None:
    """Unpack an archive and put what it holds in its places, each folder at once; the record names the files.

    The wanted item gets the files that it lacks. Others that are there, or whose images are not all in the archive,
    are left alone.

    Args:
        wanted: item of the archive.
        archive: its file.
        origin: what its record says of the archive itself.
        store: that has its record.
        progress: told of the members that are unpacked.

    Raises:
        FileError: see `unpacked`; or the archive lacks the wanted item.
        OSError: the disk takes no more.
    """
    beside = [item for item in ITEMS.values() if item.remote == wanted.remote and item != wanted]
    with unpacked(archive, store.unpacking(wanted), progress) as folder:
        usual_permissions(folder)
        found = found_in(folder, wanted)
        if found is None or too_few(wanted, found) is not None:
            raise FileError(archive, f"does not hold all of {wanted.name}", ANOTHER)
        put(found, wanted, origin, store)
        for item in beside:
            other = None if store.has(item) else found_in(folder, item)
            if other is not None and too_few(item, other) is None:
                put(other, item, origin, store)


def found_in(folder: Path, item: Item) -> Path | None:
    """The folder of an item in an unpacked archive, at the top or one level below; None where there is none."""
    name = Path(item.place).name
    places = [folder / name, *(path / name for path in sorted(folder.iterdir()))]
    return next((path for path in places if path.is_dir()), None)


def put(found: Path, item: Item, origin: Mapping[str, Any], store: Store) -> None:
    """Put an unpacked folder in the place of an item, or its files into the folder that is there, and note them."""
    if item.kind == "set":
        # A published file knows only numbers.
        (found / "classes.json").write_bytes(BENCHMARKS[item.benchmark].classes_file.read_bytes())
    place = store.place(item)
    files = [path for path in sorted(found.rglob("*")) if path.is_file()]
    marks = {f"{item.place}/{path.relative_to(found).as_posix()}": FileMark.of(path).to_json() for path in files}
    # Recorded first: what has its place is never taken for files that the user has put there.
    record = store.record(item.remote)
    noted = (record.read() or {}).get("files")
    record.write({**origin, "files": {**(noted if isinstance(noted, dict) else {}), **marks}})
    if not place.exists():
        found.rename(place)
    else:
        for path in files:
            target = place / path.relative_to(found)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
