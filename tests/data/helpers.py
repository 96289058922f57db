"""Small data folders for the tests."""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(seed: int, height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def save_image(path: Path, values: NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def data_folder(root: Path, masks: Iterable[NDArray[np.uint8]], start: int = 0) -> Path:
    """images/ and masks/ with one pair for each mask; pictures differ from each other."""
    for i, mask in enumerate(masks, start):
        save_image(root / "images" / f"{i:03d}.png", picture(i, *mask.shape))
        save_image(root / "masks" / f"{i:03d}.png", mask)
    return root


def halves(left: int, right: int, height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    """A mask of two values."""
    mask = np.full((height, width), left, np.uint8)
    mask[:, width // 2 :] = right
    return mask


def grey_png(values: NDArray[np.uint8], bits: int) -> bytes:
    """A grey PNG of 1, 2, 4 or 8 bits, which Pillow cannot write."""
    height, width = values.shape
    spread = ((values[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
    lines = b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in spread)
    return _png(width, height, bits, 0, lines)


def tiff(
    path: Path,
    *pages: NDArray[np.uint8],
    bits: int = 8,
    white_is_0: bool = False,
    description: str = "",
    separate: bool = False,
) -> Path:
    """A TIFF of grey pages (H, W) that stores these very values in so many bits, whatever they are to look like.

    With `separate`, the only channel of a page is said to be a plane of its own, as GDAL writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    link = 4
    for page in pages:
        height, width = page.shape
        spread = ((page[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).reshape(height, -1)
        data, told = np.packbits(spread, axis=1).tobytes(), description.encode() + b"\0"
        places = {273: len(content), 270: len(content) + len(data)}
        content += data + told + b"\0" * ((len(data) + len(told)) % 2)
        tags = [(254, 4, 1, 0), (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, 1)]
        tags += [(262, 3, 1, 0 if white_is_0 else 1), (270, 2, len(told), places[270]), (273, 4, 1, places[273])]
        tags += [(277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, len(data))]
        tags += [(284, 3, 1, 2)] if separate else []
        tags = [tag for tag in tags if tag[0] != 270 or description]
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        link = len(content)
        content += struct.pack("<I", 0)
    path.write_bytes(content)
    return path


def indexed_tiff(path: Path, values: NDArray[np.uint8], bits: int) -> Path:
    """A TIFF of indices (H, W) in so many bits, and a palette of grays."""
    grays = struct.pack(f"<{3 * 2**bits}H", *[256 * gray for gray in range(2**bits)] * 3)
    tiff(path, values, bits=bits)
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (number,) = struct.unpack_from("<H", content, start)
    entries = [struct.unpack_from("<HHII", content, start + 2 + 12 * place) for place in range(number)]
    tags = [(262, 3, 1, 3) if tag[0] == 262 else tag for tag in entries] + [(320, 3, 3 * 2**bits, len(content))]
    struct.pack_into("<I", content, 4, len(content) + len(grays))
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path.write_bytes(content + grays + struct.pack("<H", len(tags)) + directory + bytes(4))
    return path


def deep_tiff(
    path: Path,
    values: NDArray[np.generic],
    *,
    separate: bool = False,
    compress: bool = False,
    tags: Mapping[int, int] | None = None,
    order: str = "<",
) -> Path:
    """A TIFF of one page (H, W, C) with any number of channels and any type of numbers, in two strips a plane.

    Args:
        path: of the file.
        values: what it holds.
        separate: whether each channel has strips of its own.
        compress: by Deflate.
        tags: that replace or follow those of a sound file.
        order: of the bytes, "<" or ">".
    """
    height, width, channels = values.shape
    values = values.astype(values.dtype.newbyteorder(order))  # type: ignore[arg-type]
    planes = np.moveaxis(values, 2, 0)[..., None] if separate else values[None]
    rows = -(-height // 2)
    strips = [np.ascontiguousarray(part).tobytes() for plane in planes for part in (plane[:rows], plane[rows:])]
    strips = [zlib.compress(strip) for strip in strips] if compress else strips
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    entries = {254: 0, 256: width, 257: height, 259: 8 if compress else 1, 262: 1, 277: channels, 278: rows}
    entries |= {284: 2 if separate else 1, **(tags or {})}
    lengths = [len(strip) for strip in strips]
    places = [8 + sum(lengths[:n]) for n in range(len(lengths))]
    lists = {258: [8 * values.itemsize] * channels, 273: places, 279: lengths, 339: [kind] * channels}
    body = b"".join(strips)
    start, more, directory = 8 + len(body), b"", b""
    every = {**{tag: [value] for tag, value in entries.items()}, **lists}
    for tag, numbers in sorted(every.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        place = start + 6 + 12 * len(every) + len(more)
        directory += struct.pack(f"{order}HHI", tag, 4, len(numbers))
        directory += packed if len(numbers) == 1 else struct.pack(f"{order}I", place)
        more += packed if len(numbers) > 1 else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    path.write_bytes(head + body + struct.pack(f"{order}H", len(every)) + directory + bytes(4) + more)
    return path


def deep_png(path: Path, values: NDArray[np.uint16]) -> Path:
    """A PNG of 16 bits in three or four channels, which Pillow cannot write."""
    height, width, channels = values.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path.write_bytes(_png(width, height, 16, {2: 4, 3: 2, 4: 6}[channels], lines))
    return path


def deep_grey_png_with_alpha(values: NDArray[np.uint16]) -> bytes:
    """An opaque gray PNG of 16 bits (H, W) with transparency, which Pillow cannot write."""
    height, width = values.shape
    pairs = np.stack([values, np.full_like(values, 65535)], 2).astype(">u2")
    return _png(width, height, 16, 4, b"".join(b"\0" + row.tobytes() for row in pairs))


def gray_bmp(values: NDArray[np.uint8], bits: int, grays: Sequence[int]) -> bytes:
    """A BMP of indices (H, W) in 4 or 8 bits whose palette has no more than these grays."""
    rows = values[::-1] if bits == 8 else values[::-1, ::2] << 4 | values[::-1, 1::2]
    lines = b"".join(row.tobytes() + bytes(-len(row) % 4) for row in rows)
    palette = bytes(channel for gray in grays for channel in (gray, gray, gray, 0))
    size, start = values.shape[::-1], 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, 0, len(lines), 0, 0, len(grays), 0)
    return struct.pack("<2sIHHI", b"BM", start + len(lines), 0, 0, start) + header + palette + lines


def giant_png(side: int) -> bytes:
    """A file of a few bytes that claims to be an RGB image of side x side."""
    return _png(side, side, 8, 2, b"\0" * 100)


def _png(width: int, height: int, bits: int, kind: int, lines: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    )
