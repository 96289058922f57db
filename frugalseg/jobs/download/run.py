"""The run of `download`: what is missing is fetched, compared, unpacked, and put in its place; two runs take turns."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from frugalseg.data.catalogue.items import Item, Remote, item_named
from frugalseg.data.catalogue.store import FileMark, IncompleteError, Store, cache_folder, changed
from frugalseg.jobs.download.answers import Refused
from frugalseg.jobs.download.placing import put_in_places
from frugalseg.jobs.download.transfer import WAITS, Part, fetch
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError, remove_leftovers
from frugalseg.support.folders import require_writable
from frugalseg.support.locks import holding
from frugalseg.support.paths import as_path
from frugalseg.support.progress import Progress, line, silent
from frugalseg.support.text import quoted


@dataclass(frozen=True)
class Request:
    """A call of `download`.

    Attributes:
        names: in the catalogue.
        to: folder for everything, in the layout of the cache; None for the cache.
        base: address of a mirror, below which the files lie as `Remote.path` says; None for the published addresses.
        waits: see `frugalseg.jobs.download.transfer.WAITS`.
    """

    names: Sequence[str]
    to: Path | None = None
    base: str | None = None
    waits: Sequence[float] = WAITS

    def __post_init__(self) -> None:
        if self.base is not None and not is_address(self.base):
            raise InputError(f"--base {quoted(self.base)}: give an address that begins with https://")

    @property
    def store(self) -> Store:
        """Where the files go."""
        return Store(cache_folder() if self.to is None else as_path(self.to, "folder").absolute())


def is_address(text: str) -> bool:
    """Whether a text is an address on the web, with the name of a server."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # a bracket too few or too many, and characters that pass for a slash
        return False


def download(
    request: Request, told: Callable[[Item, Path], None] = lambda *_: None, progress: Progress = silent
) -> None:
    """Fetch what is not here yet, and compare what is with its checksums.

    An interrupted download goes on where it stopped. The length and the SHA-256 of a published file are recorded when
    it is downloaded first, and compared whenever it is met again.

    Args:
        request: what, and where to.
        told: each item that is here and whole, and its place.
        progress: told of each megabyte, and of each file that is unpacked.

    Raises:
        InputError: an unknown name; the file cannot be had; it, or what came out of it, is another one than before; or
            the folder cannot be written.
        OSError: the disk takes no more.
    """
    store = request.store
    for item in {item.name: item for item in map(item_named, request.names)}.values():
        if not is_whole(item, store, progress):
            require_writable(store.root)
            with taking_turns(store, item.remote, progress):
                if not is_whole(item, store, progress):  # another process may have fetched it meanwhile
                    obtain(item, store, request, progress)
        with suppress(OSError):  # others may share a cache that they cannot write
            note_first(item, store)
            tidy(item, store, progress)
        told(item, store.place(item))


def note_first(item: Item, store: Store) -> None:
    """Record the checksum of a checkpoint that the user has put in its place."""
    if not item.remote.is_archive and store.noted(item.remote) is None:
        store.record(item.remote).write({"url": None, **FileMark.of(store.place(item)).to_json()})


def is_whole(item: Item, store: Store, progress: Progress) -> bool:
    """Whether an item is here, and nothing of it is missing.

    Raises:
        FileError: a file of it is another one than at its first download.
    """
    if not store.has(item):
        return False
    progress(f"compare {item.name}", 0, 1)
    fault = store.fault(item, thorough=True)
    progress(f"compare {item.name}", 1, 1)
    if fault is not None and not isinstance(fault, IncompleteError):
        raise fault
    return fault is None


def lock_of(store: Store, remote: Remote) -> Path:
    """The lock file of a published file."""
    path = store.record(remote).path
    return path.with_name(f".{path.name}.lock")


@contextmanager
def taking_turns(store: Store, remote: Remote, progress: Progress) -> Iterator[None]:
    """Keep a published file to this process while the block runs; another one that is at it is waited for."""
    lock = lock_of(store, remote)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with holding(lock) as ours:
        if ours:
            yield
            return
    line(progress, f"another process is downloading {remote.path}; waiting for it")
    with holding(lock, wait=True):
        yield


def obtain(item: Item, store: Store, request: Request, progress: Progress) -> None:
    """Fetch and place an item that is not here, or not whole; see `download`."""
    remote, url, file = item.remote, item.remote.at(request.base), store.fetched(item)
    remove_leftovers(store.record(remote).path.parent, below=False)
    own = store.archive(remote) if remote.is_archive else store.place(item)
    if remote.is_archive and own.is_file():
        put_in_places(item, own, {"url": None, **compared(remote, own, store, None).to_json()}, store, progress)
        return
    if not file.is_file():
        with explained(item, own, url):
            fetch(url, file, progress, request.waits, Path(remote.path).name)
    origin = {"url": url, **compared(remote, file, store, url).to_json()}
    if remote.is_archive:
        with spent(file):
            put_in_places(item, file, origin, store, progress)
        return
    # Recorded first: what has its place is never taken for a file that the user has put there.
    store.record(remote).write(origin)
    file.replace(own)


def tidy(item: Item, store: Store, progress: Progress) -> None:
    """Delete what a killed process has left of an item that is whole."""
    lock, file = lock_of(store, item.remote), store.fetched(item)
    part, folder = Part.of(file), store.unpacking(item)
    if any(path.exists() for path in (lock, file, part.path, part.record.path, folder)):
        with taking_turns(store, item.remote, progress):
            file.unlink(missing_ok=True)
            part.remove()
            shutil.rmtree(folder, ignore_errors=True)
            remove_leftovers(lock.parent, below=False)


@contextmanager
def spent(file: Path) -> Iterator[None]:
    """Delete a fetched archive once it is unpacked, or found to be damaged; after anything else it is still needed."""
    try:
        yield
    except FileError:
        file.unlink()
        raise
    file.unlink()


def compared(remote: Remote, file: Path, store: Store, url: str | None) -> FileMark:
    """The length and checksum of a published file, which are those of its first download.

    Args:
        remote: what it is.
        file: the file here.
        store: that has its record.
        url: where it was fetched from; None where the user has put it here.

    Raises:
        FileError: it is another file; one that was fetched now is deleted.
    """
    now, before = FileMark.of(file), store.noted(remote)
    if before is not None and now != before:
        raise replaced(remote, file, store, before, now, url)
    return now


def replaced(remote: Remote, file: Path, store: Store, before: FileMark, now: FileMark, url: str | None) -> FileError:
    """The error for a published file that is another one than at its first download."""
    if url is None:
        return changed(file, before, now)
    file.unlink()
    message = changed(file, before, now).message
    return FileError(url, message, f"to take the new file, delete {store.record(remote).path} and run this again")


@contextmanager
def explained(item: Item, place: Path, url: str) -> Iterator[None]:
    """Within the block, where a file is fetched, the error for one that cannot be had says what else can be done.

    Args:
        item: that is fetched.
        place: where its file may be put by hand.
        url: that it is fetched from.
    """
    try:
        yield
    except Refused as error:
        asked = "" if url in str(error) else f"{url}: "
        raise InputError(
            f"{asked}{error}; {item.name} was not downloaded: run this again later, give a mirror with --base, or "
            f"fetch that file elsewhere, put it at {place} and run this again"
        ) from None
