"""Published archives, unpacked as what strangers made: regular files below a new folder, and no more than expected."""

import gzip
import os
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
BESIDE, EACH = 2**24, 2**12
"""Bytes that any archive may hold beside its files, and how many more for each of them: names, times and padding."""
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
        with understood(archive), Unpacking(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for number, member in enumerate(modest(archive, tar, stream)):
                tar.extract(member, folder, filter="data")
                if number % SHOWN == 0:
                    progress(f"unpack {archive.name}", number + 1, number + 1 + SHOWN)
            read_to_the_end(stream)
        progress(f"unpack {archive.name}", 1, 1)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Unpacking(gzip.GzipFile):
    """The bytes of an archive, unpacked as they are read: forwards, and no more of them than are allowed.

    What tarfile reads before it tells of a member, such as a long name, it holds in memory, whatever its length.

    Attributes:
        archive: the file.
        left: how many bytes may still be asked for.
    """

    def __init__(self, archive: Path) -> None:
        super().__init__(archive, "rb")
        self.archive, self.left = archive, BESIDE

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; `FileError` before any is unpacked that is not allowed."""
        self.spend(-1 if size is None else size)
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a later byte; raises as `read` does."""
        if whence == os.SEEK_SET:  # else it is `tell` that asks
            self.spend(offset - self.tell())
        return super().seek(offset, whence)

    def spend(self, size: int) -> None:
        """Take so many bytes off what is left."""
        if not 0 <= size <= self.left:
            raise FileError(self.archive, "holds far more beside its files than their names take", ANOTHER)
        self.left -= size


def read_to_the_end(stream: Unpacking) -> None:
    """Read what follows the last member: gzip compares its checksum at the end of the file alone."""
    while stream.read(2**16):
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


def modest(archive: Path, tar: tarfile.TarFile, stream: Unpacking) -> Iterator[tarfile.TarInfo]:
    """The members of an archive one by one, each to be extracted before the next one.

    Args:
        archive: the file.
        tar: that reads it.
        stream: that `tar` reads from; the content of each member is allowed to it, and little beside.

    Raises:
        FileError: at the first member that is no file or folder, or too much.
    """
    allowed = left = max(FREELY, EXPANSION * archive.stat().st_size)
    for number, member in enumerate(tar):
        if not (member.isreg() or member.isdir()):
            raise FileError(archive, f"{quoted(member.name)} in it is no file, but a link or a device", ANOTHER)
        if number >= MOST_MEMBERS or not 0 <= member.size <= left:
            raise FileError(archive, f"holds more than {MOST_MEMBERS} files or {allowed} bytes", ANOTHER)
        left -= member.size
        beside = stream.left + EACH
        stream.left = beside + member.size
        yield member
        stream.left = min(stream.left, beside)
