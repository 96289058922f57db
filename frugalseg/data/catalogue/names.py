"""Names of the catalogue where paths are expected. A path that exists wins over a name."""

from pathlib import Path

from frugalseg.data.catalogue.benchmarks import BENCHMARKS, TEST, TRAIN
from frugalseg.data.catalogue.items import ITEMS, NETWORKS, Item, benchmark_of, checkpoint_item, nearest
from frugalseg.data.catalogue.store import Store, again, cache_folder
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.hub import is_hub_id


def data_place(path: Path) -> Path:
    """The folder that a path, or the name of a benchmark or of one of its parts, stands for.

    Args:
        path: that exists; or ``cat_15/test``, for example. A benchmark stands for its training images.

    Returns:
        The folder in the cache for such a name; any other path as it is.

    Raises:
        InputError: the benchmark is not in the cache, or not whole there; or nothing has this name, but the catalogue
            has one that is much like it.
    """
    if path.exists():
        return path
    name = path.as_posix()
    benchmark = benchmark_of(name)
    if not benchmark:
        refuse_misspelled(name, {each: each for each in BENCHMARKS})
        return path
    part = name.partition("/")[2] or TRAIN
    return downloaded(ITEMS[benchmark]) / BENCHMARKS[benchmark].parts[part].folder


def benchmark_place(path: Path) -> Path:
    """The folder of a whole benchmark for its name; any other path as `data_place` has it."""
    named = benchmark_of(path.as_posix()) == path.as_posix() and not path.exists()
    return downloaded(ITEMS[path.as_posix()]) if named else data_place(path)


def test_images(path: Path) -> Path:
    """The test images of a benchmark for its name or for its folder; any other path as it is."""
    if not path.exists() and benchmark_of(path.as_posix()) == path.as_posix():
        return path / TEST
    test = path / BENCHMARKS[path.name].parts[TEST].folder if path.name in BENCHMARKS else path
    return test if test.is_dir() else path


def set_place(path: Path) -> Path:
    """The ``.npz`` file of a published synthetic set for its name; any other path as it is.

    Raises:
        InputError: the set is not in the cache, or holds several such files, of which one must be named.
    """
    item = ITEMS.get(path.as_posix())
    if path.exists() or item is None or item.kind != "set":
        return path
    files = sorted(downloaded(item).rglob("*.npz"))
    if len(files) > 1:
        raise FileError(files[0].parent, f"holds {len(files)} .npz files", "name one of them")
    return files[0]


def local_checkpoint(name: str | Path) -> str | Path:
    """The file in the cache for the name of a published checkpoint; anything else as it is.

    Raises:
        InputError: the checkpoint is not in the cache, or not whole there; or nothing has this name, but the catalogue
            has one that is much like it.
    """
    item = checkpoint_item(name)
    if item is not None:
        return downloaded(item)
    text = str(name)
    if is_hub_id(text) and text.partition("/")[0] in NETWORKS and not Path(text).exists():
        refuse_misspelled(text, ITEMS)
    return name


def downloaded(item: Item) -> Path:
    """The place of an item in the cache.

    Raises:
        InputError: it is not there, or not whole.
    """
    store = Store(cache_folder())
    if not store.has(item):
        raise InputError(f"{item.name}: not downloaded yet (looked in {store.place(item)}); {again(item)}")
    fault = store.fault(item)
    if fault is not None:
        raise fault
    return store.place(item)


def refuse_misspelled(name: str, known: dict[str, Item] | dict[str, str]) -> None:
    """Raise `FileError` for a name that nothing has, but that is much like one of `known`."""
    near = nearest(name)
    if near is not None and (near in known or near.partition("/")[0] in known):
        raise FileError(name, "no such file or folder", f"did you mean {near}? frugalseg download lists all names")
