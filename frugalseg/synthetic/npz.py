"""The published files of synthetic images: ``.npz`` with images, labels, for DatasetGAN latents, and uncertainties."""

import errno
import math
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.folder import classes_of_ids
from frugalseg.data.images import max_pixels
from frugalseg.support.files import FileError, atomic_path
from frugalseg.support.text import quoted, reason, shortened

LAYOUT = "uint8 images (N, H, W, 3), uint8 labels (N, H, W), perhaps latents, uncertainties (N,)"
MOST_ARRAYS = 4
MOST_DIMENSIONS = 32
LONGEST_HEADER = 10_000
"""Bytes of the text that gives an array's shape and type; NumPy's own limit."""
KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How NumPy writes archives."""
FREELY, EXPANSION = 2**28, 500
"""Members of more than `FREELY` bytes are not unpacked where they grow more than so many times: a file of a few
kilobytes can claim gigabytes. Even masks of a single shape grow 300 times at most."""
COPY_BYTES = 2**22
LABELS_AT_ONCE = 2**24
"""Pixels."""


@dataclass(frozen=True)
class ArrayFile:
    """An array that lies uncompressed somewhere in a file, mapped anew for each access: it holds no open file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Any

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice) -> NDArray[Any]:
        mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)
        return np.array(mapped[rows])


class PublishedArrays:
    """The samples of a published file, read one at a time.

    An uncompressed member is read in place; a compressed one is first unpacked into ``FILE.npz.unpacked``.

    Attributes:
        classes: see `SyntheticSet`.
        uncertainties: (N,) float32.
        sizes: (N, 2) int64, (H, W) of each.
        seeds: unknown: None of each.
    """

    def __init__(self, path: Path, classes: ClassTable | None = None) -> None:
        arrays = published_arrays(path)
        self.path, self.images, self.labels = path, arrays[0], arrays[1]
        number = len(self.images)
        self.uncertainties = arrays[-1][:].astype(np.float32)
        if not np.isfinite(self.uncertainties).all():
            raise wrong(path, "some uncertainties are not finite numbers")
        self.seeds = [None] * number
        self.sizes = np.broadcast_to(np.array(self.images.shape[1:3]), (number, 2))
        beside = path.with_name("classes.json")
        self.classes = ClassTable.from_json(beside) if beside.is_file() else classes or self._found_classes()

    def __len__(self) -> int:
        return len(self.images)

    def name(self, place: int) -> str:
        """Its number."""
        return f"{place:08d}"

    def image(self, place: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        return self.images[place]

    def target(self, place: int) -> NDArray[np.uint8]:
        """(H, W) uint8 class positions."""
        try:
            return self.classes.to_positions(self.labels[place])
        except ValueError as error:
            remedy = "put the right classes.json beside the file"
            raise FileError(self.path, f"labels of image {place}: {error}", remedy) from None

    def _found_classes(self) -> ClassTable:
        counts = np.zeros(256, np.int64)
        step = max(1, LABELS_AT_ONCE // math.prod(self.labels.shape[1:]))
        for start in range(0, len(self), step):
            counts += np.bincount(self.labels[start : start + step].ravel(), minlength=256)
        return classes_of_ids(self.path, set(np.flatnonzero(counts).tolist()) - {NOT_ANNOTATED})


def published_arrays(path: Path) -> list[ArrayFile]:
    """The arrays of a published file; `FileError` where they are not of its layout."""
    arrays = open_arrays(path)
    if len(arrays) not in (3, MOST_ARRAYS):
        raise wrong(path, f"holds {len(arrays)} arrays, not 3 or 4")
    check_pixels(path, *arrays[:2])
    number = len(arrays[0])
    for name, array in (("latents", arrays[2]), ("uncertainties", arrays[-1]))[4 - len(arrays) :]:
        if not array.shape or len(array) != number:
            raise wrong(path, f"{number} images but {name} of shape {quoted(array.shape)}")
    if arrays[-1].shape != (number,) or arrays[-1].dtype.kind != "f":
        raise wrong(
            path, f"the last array, the uncertainties, is {shortened(str(arrays[-1].dtype), 60)} {arrays[-1].shape}"
        )
    return arrays


def check_pixels(path: Path, images: ArrayFile, labels: ArrayFile) -> None:
    """`FileError` unless images are uint8 (N, H, W, 3) and labels uint8 (N, H, W), at least one of them."""
    for name, array, dimensions in (("images", images, 4), ("labels", labels, 3)):
        if array.dtype != np.uint8 or len(array.shape) != dimensions:
            raise wrong(path, f"the {name} are {shortened(str(array.dtype), 60)} {array.shape}")
    if images.shape[3] != 3 or 0 in images.shape or math.prod(images.shape[1:3]) > max_pixels():
        raise wrong(path, f"the images are uint8 {images.shape}")
    if images.shape[:3] != labels.shape:
        raise wrong(path, f"images of shape {images.shape} and labels of shape {labels.shape} do not belong together")


def wrong(path: Path, what: str) -> FileError:
    """The error for a file of another layout."""
    return FileError(path, what, f"expected in this order: {LAYOUT}")


# Finding the arrays


def open_arrays(path: Path) -> list[ArrayFile]:
    """The arrays of an ``.npz``, in the order in which they were written; no pickled object is ever read.

    Raises:
        FileError: no such file, not a zip archive, or a member that is no plain array.
    """
    with opened(path) as archive:
        members = archive.infolist()
        if len(members) > MOST_ARRAYS:
            raise wrong(path, f"holds {len(members)} arrays, not 3 or 4")
        return [open_member(path, archive, member) for member in members]


def samples_in(path: Path) -> int:
    """How many samples a published file says that it holds; nothing is unpacked. Raises what `open_arrays` does."""
    with opened(path) as archive:
        for member in archive.infolist()[:1]:
            with archive.open(member) as stream:
                return int([*read_header(path, member, stream)[0], 0][0])
        raise wrong(path, "holds 0 arrays, not 3 or 4")


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive to read within the block, whatever is wrong with it is a `FileError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(path, "no such file or folder", "check the path") from None
    # Broken archives end in nearly anything: BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, ...
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        remedy = "download or write it again, whole"
        raise FileError(path, f"not an .npz archive, or a cut one ({reason(error)})", remedy) from None


def open_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> ArrayFile:
    """One array; a compressed one is unpacked first."""
    if member.flag_bits & 1:
        raise wrong(path, f"{quoted(member.filename)} is encrypted")
    if member.compress_type not in KINDS:
        raise wrong(path, f"{quoted(member.filename)} is packed in a way that NumPy does not use")
    with archive.open(member) as stream:
        shape, order, dtype, start = read_header(path, member, stream)
    if member.compress_type == zipfile.ZIP_STORED:
        offset = data_offset(path, member)
        if member.compress_size != member.file_size or offset + member.file_size > path.stat().st_size:
            raise wrong(path, f"{quoted(member.filename)} is said to be longer than the file")
        return ArrayFile(path, offset + start, shape, dtype, order)
    return ArrayFile(unpacked(path, archive, member), start, shape, dtype, order)


def read_header(path: Path, member: zipfile.ZipInfo, stream: IO[bytes]) -> tuple[tuple[int, ...], str, Any, int]:
    """Shape, memory order, dtype and the first byte of the values; they are compared with the member's size."""
    name = quoted(member.filename)
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=LONGEST_HEADER)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise
    # The header is a piece of Python. No literal, or a deep one, ends in ValueError, MemoryError, TypeError, ...
    except Exception as error:
        raise wrong(path, f"{name} is not a plain array ({reason(error)})") from None
    if dtype.hasobject:
        raise wrong(path, f"{name} holds pickled objects, which are never read")
    # true and false are whole numbers for NumPy, too.
    if len(shape) > MOST_DIMENSIONS or any(type(length) is not int or not 0 <= length < 2**48 for length in shape):
        raise wrong(path, f"{name} has the shape {quoted(shape)}")
    start = stream.tell()
    size = math.prod(shape) * dtype.itemsize
    if member.file_size != start + size:
        raise wrong(path, f"{name} has {member.file_size} bytes; its header promises {start + size}")
    return shape, "F" if fortran else "C", dtype, start


def data_offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Where an uncompressed member's content begins: after its own header, which has a name and extras of its own."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return member.header_offset + 30 + name + extra


def unpacked(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Path:
    """A compressed member as a file; its name holds the archive's own checksum, so that it is never a stale one."""
    folder = path.with_name(path.name + ".unpacked")
    target = folder / f"{member.CRC:08x}-{member.file_size}.npy"
    if target.is_file() and target.stat().st_size == member.file_size:
        return target
    check_growth(path, member)
    try:
        with atomic_path(target) as temporary, archive.open(member) as source, temporary.open("wb") as out:
            while part := source.read(COPY_BYTES):
                out.write(part)
            if out.tell() != member.file_size:
                raise EOFError(f"{quoted(member.filename)} ends after {out.tell()} bytes")
    except PermissionError:
        raise FileError(folder, "cannot be written", "copy the .npz to a folder of your own") from None
    return target


def check_growth(path: Path, member: zipfile.ZipInfo) -> None:
    """`FileError` where a compressed member claims more bytes than samples can have, or than the disk has."""
    size, packed = member.file_size, member.compress_size
    if size > FREELY and size > EXPANSION * packed:
        raise wrong(path, f"{quoted(member.filename)} claims {size} bytes, packed into {packed}")
    free = shutil.disk_usage(path.parent).free
    if size > free:
        message = f"unpacked, {quoted(member.filename)} takes {size / 2**30:.1f} GiB, and {free / 2**30:.1f} are free"
        raise FileError(path, message, "make room, or copy it to a larger disk")
