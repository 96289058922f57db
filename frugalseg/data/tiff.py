"""TIFF pages of any number of channels, of 8 to 64 bits: microscopy and satellite images, of which Pillow takes few.

Only the layout is read here. The compression is undone by libtiff, which Pillow brings along: the strips or tiles of
some rows are handed to it as a grey picture of single bytes, and the bytes become values here. So a page never takes
more memory than its header says, and every compression that Pillow knows is known.
"""

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from frugalseg.data.decoders import quiet_decoders

# Shapes: H x W pixels of S samples, each of some bytes.

KINDS = {1: "u", 2: "i", 3: "f"}
"""NumPy's kinds of numbers by TIFF's sample formats."""
BITS = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000)
"""None, LZW, Deflate, PackBits, Deflate by its old number, LZMA, Zstandard: those that keep bytes as they are."""
PLAIN = (0, 1, 2, 5, 8, 32803)
"""Photometric interpretations whose samples are the channels as they are."""
AT_ONCE = 2**24
"""Bytes of a page that are worked on at a time, if its strips or tiles are not larger themselves."""
MOST_PAGES = 4096
"""Pages whose headers are read."""

OVERHANG = 8
"""How many times as large as a page its strips or tiles may be together, where they take more than `AT_ONCE` bytes."""
TURNED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda v: v[:, ::-1],
    3: lambda v: v[::-1, ::-1],
    4: lambda v: v[::-1],
    5: lambda v: v.swapaxes(0, 1),
    6: lambda v: v.swapaxes(0, 1)[:, ::-1],
    7: lambda v: v[::-1, ::-1].swapaxes(0, 1),
    8: lambda v: v.swapaxes(0, 1)[::-1],
}
"""What makes (H, W, C) of each EXIF orientation upright, as `images.TURNS` does."""

PREDICTED = (5, 8, 32946, 34925, 50000)
"""TIFF's numbers of the compressions with which a predictor counts: LZW, Deflate (two numbers), LZMA, Zstandard."""


@dataclass(frozen=True)
class Page:
    """One page of a file, as its header describes it.

    Attributes:
        size: (H, W) as stored.
        samples: S.
        dtype: of the values, in the file's order of bytes; None where Pillow has to read them.
        separate: whether each sample has segments of its own.
        compression, predictor: TIFF's numbers.
        segment: (rows, columns) of a strip or a tile.
        tiled: whether the segments are tiles.
        offsets, counts: where the segments are in the file, and how many bytes each has.
        orientation: as in EXIF.
        reduced: whether it is a smaller copy of another page.
        description: what the program that wrote it says.
    """

    size: tuple[int, int]
    samples: int
    dtype: np.dtype[Any] | None
    separate: bool
    compression: int
    predictor: int
    segment: tuple[int, int]
    tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    orientation: int
    reduced: bool
    description: str

    @classmethod
    def of(cls, tags: Mapping[int, Any], little: bool) -> Self:
        """The page of a directory of tags."""
        height, width = _number(tags, 257, 0), _number(tags, 256, 0)
        tiled = 322 in tags
        rows = min(_number(tags, 278, height), height)
        return cls(
            size=(height, width),
            samples=_number(tags, 277, 1),
            dtype=_dtype(tags, little),
            separate=_number(tags, 284, 1) == 2,
            compression=_number(tags, 259, 1),
            predictor=_number(tags, 317, 1) if _number(tags, 259, 1) in PREDICTED else 1,
            segment=(_number(tags, 323, 0), _number(tags, 322, 0)) if tiled else (rows, width),
            tiled=tiled,
            offsets=_numbers(tags, 324 if tiled else 273),
            counts=_numbers(tags, 325 if tiled else 279),
            orientation=_number(tags, 274, 1),
            reduced=bool(_number(tags, 254, 0) & 1),
            description=str(tags.get(270, "")),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all values, with what tiles have beyond the border."""
        area = 1
        for side, step in zip(self.size, self.segment, strict=True):
            area *= -(-side // max(1, step)) * step if self.tiled else side
        return area * self.samples * (self.dtype.itemsize if self.dtype else 1)

    def read(self, path: Path) -> NDArray[Any]:
        """(H, W, S) in the machine's order of bytes, as stored.

        Raises:
            ValueError, OSError, struct.error: the file is cut short, or broken in another way.
        """
        assert self.dtype is not None
        found = np.empty((*self.size, self.samples), self.dtype.newbyteorder("="))
        planes = [slice(n, n + 1) for n in range(self.samples)] if self.separate else [slice(None)]
        with quiet_decoders(), path.open("rb") as file:
            for number, plane in enumerate(planes):
                for rows, values in self._bands(file, number):
                    found[rows, :, plane] = values
        return found

    def _bands(self, file: IO[bytes], plane: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Rows of a plane and their values (rows, W, S), where a plane of its own has S = 1."""
        (height, width), (rows, columns) = self.size, self.segment
        if rows < 1 or columns < 1:
            raise ValueError("its strips or tiles are empty")
        across, down = -(-width // columns), -(-height // rows)
        # A line of tiles is a picture of its own; of strips, several are.
        lines = 1 if self.tiled else max(1, AT_ONCE // max(1, rows * self._bytes(width)))
        for first in range(0, down, lines):
            band = slice(first * rows, min((first + lines) * rows, height))
            begin = (plane * down + first) * across
            segments = range(begin, begin + min(lines, down - first) * across)
            yield band, self._values(self._decoded(file, segments, band.stop - band.start))

    def _bytes(self, columns: int) -> int:
        """Bytes of a line of so many pixels in a segment."""
        assert self.dtype is not None
        return columns * self.dtype.itemsize * (1 if self.separate else self.samples)

    def _decoded(self, file: IO[bytes], segments: range, rows: int) -> NDArray[np.uint8]:
        """(rows, bytes) of strips, or of tiles side by side, decompressed; a predictor is not undone."""
        if segments.stop > min(len(self.offsets), len(self.counts)):
            raise ValueError("some of its strips or tiles are missing")
        pieces = [_piece(file, self.offsets[n], self.counts[n]) for n in segments]
        segment = (self.segment[0], self._bytes(self.segment[1]))
        width = segment[1] * (len(pieces) if self.tiled else 1)  # tiles whole, as a predictor may need them
        picture = grey_tiff((rows, width), segment, self.compression, pieces, tiled=self.tiled)
        # Not `Image.open`, whose limit of pixels is one of pictures; here they are bytes, and counted already.
        with TiffImagePlugin.TiffImageFile(io.BytesIO(picture)) as image:
            return np.array(image)

    def _values(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """(rows, W, S) of what `_decoded` gives; S = 1 for a plane of its own."""
        assert self.dtype is not None
        samples = 1 if self.separate else self.samples
        if self.predictor == 1:
            return data.view(self.dtype).reshape(len(data), -1, samples)[:, : self.size[1]]
        parts = []
        step = self._bytes(self.segment[1])  # a predictor begins anew in each tile
        for left in range(0, data.shape[1], step):
            part = np.ascontiguousarray(data[:, left : left + step])
            parts.append(unpredicted(part, self.dtype, samples, self.predictor))
        return np.concatenate(parts, axis=1)[:, : self.size[1]]


def unpredicted(data: NDArray[np.uint8], dtype: np.dtype[Any], samples: int, predictor: int) -> NDArray[Any]:
    """(rows, columns, samples) of a segment's lines of bytes (rows, n), of which differences were stored.

    Args:
        data: contiguous.
        dtype: of the values, in the file's order of bytes.
        samples: of a pixel.
        predictor: 2, differences of values, or 3, of the bytes of floating-point values.
    """
    rows = len(data)
    if predictor == 2:
        unsigned = np.dtype(f"u{dtype.itemsize}")
        stored = data.view(unsigned.newbyteorder(dtype.byteorder)).astype(unsigned).reshape(rows, -1, samples)
        return np.cumsum(stored, axis=1, dtype=unsigned).view(dtype.newbyteorder("="))
    if predictor == 3:
        lines = np.cumsum(data.reshape(rows, -1, samples), axis=1, dtype=np.uint8)
        # The first bytes of all values come first, then the second ones, whatever the file's own order.
        by_value = lines.reshape(rows, dtype.itemsize, -1).swapaxes(1, 2)
        return np.ascontiguousarray(by_value).view(f">f{dtype.itemsize}").reshape(rows, -1, samples)
    raise ValueError(f"its predictor {predictor} is unknown")


def tiff_pages(path: Path) -> list[Page]:
    """The pages of full size; none for a file of another format (BigTIFF in big-endian order counts as such).

    Raises:
        ValueError, OSError, struct.error, ...: as broken a file as it may be.
    """
    with quiet_decoders(), path.open("rb") as file:
        start = file.read(16)
        if start[:4] not in (b"II*\0", b"MM\0*", b"II+\0"):
            return []
        big = start[2] == 43
        tags = TiffImagePlugin.ImageFileDirectory_v2(start if big else start[:8])
        found, seen = list[Page](), set[int]()
        while tags.next and tags.next not in seen and len(seen) < MOST_PAGES:
            seen.add(tags.next)
            file.seek(tags.next)
            tags.load(file)
            found.append(Page.of(tags, start[:2] == b"II"))
    return [page for page in found if not page.reduced] or found[:1]


def mended(image: Image.Image) -> Image.Image | None:
    """The upright picture of an open page that Pillow reads wrong; None of all others.

    Compressed values of signed or of more than 16 bits have their bytes swapped twice in files of big-endian order, and
    planes that are not compressed are taken for planes of bytes. A page of a single channel may say that it is a plane.

    Raises:
        ValueError, OSError, ...: the page is broken, or of a kind that cannot be read here either.
    """
    page: Any = image
    if not getattr(page, "tile", None) or not page.filename:
        return None
    tags, packed = page.tag_v2, page.tile[0][0] == "libtiff"
    planes = _number(tags, 284, 1) == 2 and not packed
    if planes and _number(tags, 277, 1) == 1:
        tags[284] = 1
        page._setup()
        planes = False
    swapped = packed and tags.prefix == b"MM" and page.mode in ("I", "F")
    if swapped or (planes and _number(tags, 258, 1) != 8):
        values = _pixels(Page.of(tags, tags.prefix == b"II"), Path(page.filename))
        if values.ndim == 2:
            return Image.fromarray(values)
        if page.mode != "RGBA":
            return Image.fromarray(np.ascontiguousarray(values[..., :3]))
        return Image.fromarray(values, "RGBa" if _number(tags, 338, 0) == 1 else "RGBA").convert("RGBA")
    return None


def _pixels(page: Page, path: Path) -> NDArray[Any]:
    """(H, W) gray values, or (H, W, S) uint8, the upper bytes of colors, upright, as Pillow has them."""
    if page.dtype is None or page.samples not in (1, 3, 4):
        raise ValueError("channels in planes of such values")
    if page.nbytes > max(AT_ONCE, OVERHANG * page.size[0] * page.size[1] * page.samples * page.dtype.itemsize):
        raise ValueError("its tiles are far larger than itself")
    values = np.ascontiguousarray(TURNED.get(page.orientation, lambda v: v)(page.read(path)))
    if page.samples == 1:
        return values[..., 0].astype(np.float32 if values.dtype.kind == "f" else np.int32)
    if values.dtype != np.uint16:
        raise ValueError(f"colors of {values.dtype}")
    return (values >> 8).astype(np.uint8)


def grey_tiff(
    size: tuple[int, int], segment: tuple[int, int], compression: int, pieces: list[bytes], *, tiled: bool
) -> bytes:
    """A TIFF of one grey page of 8 bits.

    Args:
        size: (rows, columns) of the page.
        segment: (rows, columns) of a strip or tile.
        compression: TIFF's number.
        pieces: the strips or tiles as they are stored.
        tiled: what they are.
    """
    lengths = [len(piece) for piece in pieces]
    places = list(accumulate(lengths[:-1], initial=8))
    plain = {256: size[1], 257: size[0], 258: 8, 259: compression, 262: 1, 277: 1}
    cut = {322: segment[1], 323: segment[0]} if tiled else {278: segment[0]}
    lists = {324: places, 325: lengths} if tiled else {273: places, 279: lengths}
    tags = {tag: [value] for tag, value in {**plain, **cut}.items()} | lists
    body = b"".join(pieces)
    end = 8 + len(body) + len(body) % 2
    directory, more = struct.pack("<H", len(tags)), b""
    after = end + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        where = packed if len(values) == 1 else struct.pack("<I", after + len(more))
        directory += struct.pack("<HHI", tag, 4, len(values)) + where
        more += packed if len(values) > 1 else b""
    header = struct.pack("<2sHI", b"II", 42, end)
    return header + body + b"\0" * (len(body) % 2) + directory + struct.pack("<I", 0) + more


def _piece(file: IO[bytes], offset: int, count: int) -> bytes:
    file.seek(offset)
    piece = file.read(count)
    if len(piece) < count:
        raise ValueError("it is cut short")
    return piece


def _dtype(tags: Mapping[int, Any], little: bool) -> np.dtype[Any] | None:
    """The type of the values, where all are of one, and stored as they are meant."""
    bits, formats = set(_numbers(tags, 258) or (1,)), set(_numbers(tags, 339) or (1,))
    plain = _number(tags, 262, 1) in PLAIN and _number(tags, 259, 1) in COMPRESSIONS and _number(tags, 266, 1) == 1
    if len(bits) > 1 or len(formats) > 1 or not plain:
        return None
    kind, depth = KINDS.get(formats.pop(), ""), bits.pop()
    return np.dtype(f"{'<' if little else '>'}{kind}{depth // 8}") if depth in BITS.get(kind, ()) else None


def _number(tags: Mapping[int, Any], tag: int, default: int) -> int:
    values = _numbers(tags, tag)
    return values[0] if values else default


def _numbers(tags: Mapping[int, Any], tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    return tuple(int(each) for each in (value if isinstance(value, tuple) else (value,)))
