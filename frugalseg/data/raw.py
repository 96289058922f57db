"""Images with all their channels, in the values that the file holds: grey of 16 bits, microscopy stacks, satellites."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from frugalseg.data.images import (
    CHOOSE,
    FREE_PIXELS,
    PIXELS_A_BYTE,
    false_claim,
    image_size,
    max_pixels,
    opened,
    refused_where_unreadable,
    too_large,
    upright,
)
from frugalseg.data.tiff import TURNED, Page, tiff_pages
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path

MOST_CHANNELS = 16
"""Channels that a model may use, and pages that are taken for the channels of one picture."""
BYTES_A_PIXEL = 12
"""Of `max_pixels`: three channels of floating-point numbers, or six of 16 bits."""
AS_STORED = ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "I", "F", "I;16", "I;16B", "I;16L", "LAB", "HSV")
"""Pillow's modes whose bands are the channels."""
UNCOMPRESSED = "save it as TIFF without JPEG compression, a page of all channels or a page for each"


def read_raw(path: str | Path) -> NDArray[Any]:
    """(H, W, C) in the type of the file, turned upright: nothing is scaled, laid over white or left out.

    Transparency is a channel like any other. The pages of a TIFF are channels if they are grey, of one size, and no
    more than 16; of pages of several channels and of an animation, the first one is read. Colors of a palette become
    red, green and blue.

    Raises:
        FileError: see `frugalseg.data.images.read_image`; or pages that cannot be the channels of one picture.
    """
    path = as_path(path, "image")
    pages = channel_pages(path)
    if pages:
        with refused_where_unreadable(path, max_pixels(), CHOOSE):
            values = [page.read(path) for page in pages]
            whole = values[0] if len(values) == 1 else np.concatenate(values, axis=2)
            return np.ascontiguousarray(TURNED.get(pages[0].orientation, lambda v: v)(whole))
    with opened(path, remedy=CHOOSE) as image:
        return raw_of(image, path)


def raw_size(path: str | Path) -> tuple[int, int, int]:
    """(H, W, C) that `read_raw` would give, from the file's header alone."""
    path = as_path(path, "image")
    if pages := channel_pages(path):
        height, width = pages[0].size[::-1] if pages[0].orientation in (5, 6, 7, 8) else pages[0].size
        return height, width, sum(page.samples for page in pages)
    with opened(path, remedy=CHOOSE) as image:
        channels = len(image.getbands()) if image.mode in (*AS_STORED, "1") else 3
    return *image_size(path), channels


def raw_of(image: Image.Image, path: Path) -> NDArray[Any]:
    """(H, W, C) of an open picture, as `read_raw`.

    Raises:
        FileError: it has several channels of more than 8 bits, in a format of which they cannot be read.
    """
    low = low_bytes(image, path)
    picture = upright(image)
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode not in AS_STORED:
        picture = picture.convert("RGB")
    values = np.asarray(picture)
    values = values.astype(values.dtype.newbyteorder("=")).reshape(*values.shape[:2], -1)
    return values if low is None else values.astype(np.uint16) * 256 + low


def low_bytes(image: Image.Image, path: Path) -> NDArray[np.uint8] | None:
    """(H, W, C): the lower bytes of 16-bit values in several channels; None for other pictures.

    Pillow gives the upper bytes alone. Told that a PNG's values begin with their lower byte, it gives the other ones.
    """
    tiles = getattr(image, "tile", [])
    deep = any(";16" in str(tile[3]) for tile in tiles) and not image.mode.startswith("I")
    if not deep or not path.is_file():  # a picture without a file has its upper bytes alone
        return None
    if image.format != "PNG" or any(str(tile[3]) not in ("RGB;16B", "RGBA;16B") for tile in tiles):
        raise FileError(path, "its channels of more than 8 bits cannot be read", "save it as TIFF")
    with opened(path) as again:
        assert isinstance(again, ImageFile.ImageFile)
        again.tile = [tile._replace(args=str(tile[3]).replace("16B", "16L")) for tile in again.tile]
        return np.asarray(upright(again))


def channel_pages(path: Path) -> list[Page]:
    """The TIFF pages that are the channels of one picture, or its only page; none where Pillow has to read the file.

    Raises:
        FileError: the pages cannot be channels, or claim more than their file can hold.
    """
    with refused_where_unreadable(path, max_pixels(), CHOOSE):
        pages = tiff_pages(path)
    if pages and pages[0].samples > 1:
        pages = pages[:1]
    if len(pages) > MOST_CHANNELS:
        message = f"holds {len(pages)} pages, of which no more than {MOST_CHANNELS} can be the channels of one picture"
        raise FileError(path, message, "save the channels of a picture as a file of their own")
    if len({(page.size, page.samples, page.orientation) for page in pages}) > 1:
        message = "its pages differ in size, channels or orientation, so they are no channels of one picture"
        raise FileError(path, message, UNCOMPRESSED)
    if any(page.dtype is None for page in pages):
        if len(pages) > 1:
            raise FileError(path, "its pages cannot be read as channels", UNCOMPRESSED)
        return []
    check_pages(pages, path)
    return pages


def check_pages(pages: list[Page], path: Path) -> None:
    """`FileError` where pages hold nothing, claim more than their file can hold, or more than the memory should."""
    limit, size = max_pixels(), path.stat().st_size
    for page in pages:
        if min(*page.size, page.samples, *page.segment) < 1:
            raise FileError(path, "cannot be read (a page without pixels)", "export it again or remove it")
        if page.size[0] * page.size[1] > limit:
            raise too_large(path, limit)
    total = sum(page.nbytes for page in pages)
    if total > max(FREE_PIXELS, PIXELS_A_BYTE * size):
        raise false_claim(path, pages[0].size, size)
    if total > BYTES_A_PIXEL * limit:
        raise too_large(path, limit)
