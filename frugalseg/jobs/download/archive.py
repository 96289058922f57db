"""Published archives, unpacked as what strangers made: regular files below a new folder, and no more than expected."""

import gzip
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frugalseg.support.files import FileError, disk_error
from frugalseg.support.progress import Progress
from frugalseg.support.text import quoted, reason

MOST_MEMBERS = 100_000
FREELY, EXPANSION = 2**30, 100
"""Bytes that any archive may unpack to, and how many times its own length a larger one: small files can claim much."""
ANOTHER = "download it again, or from elsewhere with --base"
SHOWN = 50
"""Members between two reports."""


@contextmanager
def unpacked(archive: Path, folder: Path, progress: Progress) -> Iterator[Path]:
    """The members of an archive, in a folder that is gone when the block ends; move from it what is wanted.

    Args:
        archive: a ``.tar.gz``.
        folder: a new one; what a killed process has left there is deleted.
        progress: told of the members.

    Raises:
        FileError: damaged, or it holds what a published archive does not: names outside of its folder, links, devices,
            or far too much.
        OSError: the disk takes no more.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with understood(archive), gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for number, member in enumerate(modest(archive, tar)):
                tar.extract(member, folder, filter="data")
                if number % SHOWN == 0:
                    progress(f"unpack {archive.name}", number + 1, number + 1 + SHOWN)
            read_to_the_end(stream)
        progress(f"unpack {archive.name}", 1, 1)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_to_the_end(stream: gzip.GzipFile) -> None:
    """Read what follows the last member: gzip compares its checksum at the end of the file alone."""
    while stream.read(2**20):
        pass


@contextmanager
def understood(archive: Path) -> Iterator[None]:
    """Within the block, in which an archive is read, whatever is wrong with it is a `FileError`; a full disk is not."""
    try:
        yield
    except FileError:
        raise
    except tarfile.FilterError as error:
        raise FileError(archive, f"is not unpacked: {reason(error)}", ANOTHER) from None
    except Exception as error:  # the libraries raise a dozen kinds over damaged ones
        full = disk_error(error)
        if full is not None:
            raise OSError(full.errno, full.strerror, str(archive.parent)) from error
        raise FileError(archive, f"a damaged archive ({reason(error)})", ANOTHER) from None


def modest(archive: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive one by one; `FileError` at the first that is no file or folder, or too much."""
    allowed, total = max(FREELY, EXPANSION * archive.stat().st_size), 0
    for number, member in enumerate(tar):
        total += member.size
        if not (member.isreg() or member.isdir()):
            raise FileError(archive, f"{quoted(member.name)} in it is no file, but a link or a device", ANOTHER)
        if number >= MOST_MEMBERS or total > allowed:
            raise FileError(archive, f"holds more than {MOST_MEMBERS} files or {allowed} bytes", ANOTHER)
        yield member
