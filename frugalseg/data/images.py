"""Images as people have them, read as 8-bit RGB."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImagePalette, TiffImagePlugin, UnidentifiedImageError

from frugalseg.data.decoders import decoders, quiet_decoders
from frugalseg.data.tiff import mended
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.support.text import quoted

MAX_CHANNEL_PAGES = 3
CHOOSE = "save it in RGB with 8 bits, or choose channels of it, such as --channels 1,2,3"
"""What to do about images that are more than RGB, where nobody has said which channels are meant."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of each EXIF orientation upright."""

EXIF_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")
"""How texts in a PNG begin that hold EXIF, as ImageMagick writes it, or XMP, in which an orientation may stand, too."""

MAX_PIXELS = 100_000_000
"""Larger images are refused, unless `MEGAPIXELS` says otherwise: decoded, they take gigabytes."""
MEGAPIXELS = "FRUGALSEG_MAX_MEGAPIXELS"
"""The variable of the environment that gives another limit, in millions of pixels."""
FREE_PIXELS, PIXELS_A_BYTE = 2**24, 2000
"""Larger images have at least a byte for so many pixels: a file of some kilobytes can claim any size. In a format of 8
bits, a single color all over takes a byte for 1000 pixels."""
MASK_PIXELS_A_BYTE = 10_000
"""The same for masks, of which large parts may be one class in one bit."""
BAND = 2**22
"""Pixels that are converted at a time."""
DAMAGED = "damaged"
"""The kind of a TIFF that is broken."""


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    16-bit values are scaled from 0..65535 to 0..255, floating-point ones from 0..1; transparency is laid over white.
    TIFF pages that are the channels of one picture, as ImageJ writes them, become red, green and blue; of any other
    stack and of an animation the first picture is read (see `page_count`).

    Raises:
        FileError: missing, unreadable, truncated, more than `max_pixels`, values outside those ranges, or more than
            three channels. `frugalseg.data.raw.read_raw` reads any number of channels, of any values.
    """
    with opened(path, remedy=CHOOSE) as image:
        channels = channel_pages(image)
        if channels > 1:
            return _rgb_of_pages(image, channels, Path(path))
        return rgb_upright(image, Path(path))


def rgb_upright(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of an open picture that is not decoded yet, turned upright."""
    # Where 0 is white, Pillow turns the values round only if they have 8 bits or fewer.
    negative = white_is_0(image) and image.mode not in ("1", "L")
    pixels = rgb_of(upright(image), path)
    return ~pixels if negative else pixels


def claimed_pixels(path: Path) -> int:
    """How many pixels an image says that it has; of what cannot be opened, the bytes of the file."""
    try:
        with opened(path) as image:
            return image.width * image.height
    except FileError:
        return path.stat().st_size if path.is_file() else 0


def page_count(path: str | Path) -> int:
    """How many pictures of full size a TIFF file holds, where they are not channels of one; 1 for other formats."""
    with opened(path) as image:
        return 1 if channel_pages(image) > 1 else full_pages(image)


def is_deep(path: str | Path) -> bool:
    """Whether the values of a file have 16 bits, from its header alone."""
    with opened(path) as image:
        return has_deep_channels(image) or image.mode.startswith("I")


def has_deep_channels(image: Image.Image) -> bool:
    """Whether an open picture that is not decoded yet has whole numbers of more than 8 bits in its file."""
    bits = () if image.mode == "F" else _tags(image).get(258, ())
    return max(bits, default=8) > 8 or any(";16" in str(tile[3]) for tile in getattr(image, "tile", []))


def white_is_0(image: Image.Image) -> bool:
    """Whether an open picture is a TIFF of gray values in which 0 is white."""
    return image.format == "TIFF" and _tags(image).get(262, 0) == 0


def full_pages(image: Image.Image) -> int:
    """The pages of an open TIFF, without the smaller copies that some programs add; 1 for other formats."""
    count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if count == 1:
        return 1
    full = 0
    for number in range(count):
        image.seek(number)
        # Tag 254 marks reduced copies of another page.
        full += not int(_tags(image).get(254, 0)) & 1
    image.seek(0)
    return max(1, full)


def channel_pages(image: Image.Image) -> int:
    """How many pages of an open TIFF are the channels of one picture, by ImageJ's own description; 0 where none are."""
    description = str(_tags(image).get(270, ""))
    if image.format != "TIFF" or not description.startswith("ImageJ="):
        return 0
    values = dict(line.partition("=")[::2] for line in description.splitlines())
    channels = int(values["channels"]) if values.get("channels", "").isdecimal() else 0
    return channels if channels > 1 and channels == getattr(image, "n_frames", 1) else 0


def _rgb_of_pages(image: Image.Image, channels: int, path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of two or three grey pages; a missing blue channel is 0."""
    if channels > MAX_CHANNEL_PAGES:
        raise FileError(path, f"has {channels} channels, of which only 3 can be read", CHOOSE)
    pages = []
    for number in range(channels):
        image.seek(number)
        if image.mode != "L" and not image.mode.startswith("I") and image.mode != "F":
            raise FileError(path, "its channels are not gray pages", "save it as one page in RGB")
        pages.append(rgb_upright(image, path)[..., 0])
    if len({page.shape for page in pages}) > 1:
        raise FileError(path, "its channels differ in size", "save it as one page in RGB")
    pages += [np.zeros_like(pages[0])] * (MAX_CHANNEL_PAGES - channels)
    return np.stack(pages, axis=-1)


def _tags(image: Image.Image) -> Any:
    """The tags of an open TIFF page; nothing for other formats."""
    return getattr(image, "tag_v2", {})


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) that `read_image` would give, from the file's header alone."""
    with opened(path, remedy=CHOOSE) as image:
        orientation = _orientation(image, decode=image.format != "PNG" or exif_is_late(Path(path)))
        # Pillow gives TIFF sizes already upright from some version on, so they are taken from the tags.
        tags = _tags(image)
        width, height = int(tags.get(256, image.width)), int(tags.get(257, image.height))
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def upright(image: Image.Image) -> Image.Image:
    """The picture decoded and turned as its EXIF orientation says."""
    if image.format == "TIFF" and (picture := mended(image)) is not None:
        return picture
    # TIFFs are turned by `load` itself, which also drops their orientation.
    with unmapped(image):
        image.load()
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


@contextmanager
def unmapped(image: Image.Image) -> Iterator[None]:
    """Within the block, Pillow reads the file of an open TIFF rather than map it into memory.

    It takes the height of a mapped page for its width where the page lies on its side.
    """
    if image.format != "TIFF":
        yield
        return
    page: Any = image
    name, page.filename = page.filename, ""
    try:
        yield
    finally:
        page.filename = name


def _orientation(image: Image.Image, *, decode: bool = True) -> int:
    """The EXIF orientation, 1 (upright) where there is none.

    Args:
        image: an open picture.
        decode: a PNG without EXIF in its header, for some may lie behind its pixels.
    """
    try:
        exif = image.getexif() if decode else Image.Image.getexif(image)
        return int(exif.get(ExifTags.Base.Orientation, 1))
    # Broken EXIF in a sound image is common, and comes as any kind of error.
    except Exception:
        return 1


def exif_is_late(path: Path) -> bool:
    """Whether a PNG has EXIF, or a text that holds it, behind its pixels; these are passed over."""
    behind, longest = False, max(map(len, EXIF_TEXTS))
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            behind |= kind == b"IDAT"
            word = file.read(min(length, longest)) if behind and kind in (b"tEXt", b"zTXt", b"iTXt") else b""
            if behind and (kind == b"eXIf" or word.startswith(EXIF_TEXTS)):
                return True
            file.seek(length - len(word) + 4, os.SEEK_CUR)
    return False


@contextmanager
def opened(
    path: str | Path, pixels_a_byte: int = PIXELS_A_BYTE, remedy: str = "save it with 8 or 16 bits"
) -> Iterator[Image.Image]:
    """An open Pillow image of at most `max_pixels`; whatever goes wrong in the block is a `FileError`.

    Args:
        path: the file.
        pixels_a_byte: how many pixels a byte of the file may stand for.
        remedy: what to do about a TIFF of a kind that Pillow does not know.
    """
    path, limit = as_path(path, "image"), max_pixels()
    with (
        refused_where_unreadable(path, limit, remedy),
        quiet_decoders(),
        Image.open(path, formats=decoders()) as image,
    ):
        check_claim(image, path, limit, pixels_a_byte)
        mend_bmp(image, path)
        yield image


@contextmanager
def refused_where_unreadable(path: Path, limit: int, remedy: str) -> Iterator[None]:
    """Whatever a decoder raises in the block is a `FileError` for `path`; see `opened`."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise FileError(path, "no such file", "check the path") from None
    except Image.DecompressionBombError:
        raise too_large(path, limit) from None
    except UnidentifiedImageError:
        kind = tiff_kind(path)
        if kind == DAMAGED:
            raise FileError(path, "a damaged TIFF", "export it again or remove it") from None
        if kind is not None:
            raise FileError(path, f"a TIFF of a kind that cannot be read ({kind})", remedy) from None
        known = ", ".join(decoders())
        raise FileError(path, f"not an image of a known format ({known})", "convert or remove it") from None
    # Decoders raise nearly anything on a broken file: OSError, SyntaxError, struct.error, ValueError, KeyError, ...
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise FileError(path, f"cannot be read ({reason})", "export it again or remove it") from None


def max_pixels() -> int:
    """The most pixels that an image may have: `MAX_PIXELS`, or what the user's `MEGAPIXELS` says.

    Raises:
        InputError: that is no whole number of megapixels.
    """
    given = os.environ.get(MEGAPIXELS, "").strip()
    if not given:
        return MAX_PIXELS
    if not (given.isdecimal() and len(given) < 7 and int(given)):
        raise InputError(f"{MEGAPIXELS} is {quoted(given)}; give a whole number from 1 to 999999")
    limit = int(given) * 1_000_000
    if Image.MAX_IMAGE_PIXELS is not None and limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limit  # Pillow has a limit of its own, which cannot be given for a single image
    return limit


def check_claim(image: Image.Image, path: Path, limit: int, pixels_a_byte: int) -> None:
    """`FileError` where the size that an open image claims is too large for us, or for its file."""
    pixels, size = image.width * image.height, path.stat().st_size
    if pixels > limit:
        raise too_large(path, limit)
    if pixels > max(FREE_PIXELS, pixels_a_byte * size):
        raise false_claim(path, (image.height, image.width), size)


def mend_bmp(image: Image.Image, path: Path) -> None:
    """Let an open BMP be read as indexed whose palette is gray and whose bits Pillow takes for others then."""
    if image.format != "BMP" or image.mode not in ("1", "L"):
        return
    with path.open("rb") as file:
        header = file.read(30)
    bits = int.from_bytes(header[24:26] if header[14] == 12 else header[28:30], "little")
    if bits == (1 if image.mode == "1" else 8):
        return
    bmp: Any = image
    grays = (0, 255) if image.mode == "1" else range(16)
    bmp._mode, bmp.palette = "P", ImagePalette.raw("RGB", bytes(gray for gray in grays for _ in range(3)))
    kind = "P" if bits == 8 else "P;4"
    bmp.tile = [tile._replace(args=(kind, *tile.args[1:])) for tile in bmp.tile]


def false_claim(path: Path, claimed: tuple[int, int], size: int) -> FileError:
    """The error for a file of `size` bytes that says it holds a picture of (H, W)."""
    message = f"claims {claimed[0]}x{claimed[1]} pixels (height x width) in {size} bytes: "
    remedy = "export it again, with 8 bits if it has fewer, or remove it"
    return FileError(path, message + "cut short, empty, or made to do harm", remedy)


def too_large(path: Path, limit: int) -> FileError:
    """The error for an image of more pixels than `limit`."""
    remedy = f"cut it into smaller images, scale it down, or set {MEGAPIXELS} if the memory suffices"
    return FileError(path, f"too large (more than {limit // 1_000_000} megapixels)", remedy)


def tiff_kind(path: Path) -> str | None:
    """What a TIFF that Pillow does not know holds, such as ``32-bit float values in 3 channels``; None for others."""
    try:
        with quiet_decoders(), path.open("rb") as file:
            header = file.read(8)
            if header[:4] not in (b"II*\0", b"MM\0*"):
                return "BigTIFF" if header[:4] in (b"II+\0", b"MM\0+") else None
            tags = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(tags.next)
            tags.load(file)
            bits, kind, channels = tags.get(258, (1,))[0], tags.get(339, (1,))[0], tags.get(277, 1)
    except Exception:  # as broken as it likes: the kind only makes a message clearer
        return DAMAGED
    names = {1: "", 2: "signed ", 3: "float ", 5: "complex ", 6: "complex "}
    return f"{bits}-bit {names.get(kind, '')}values in {channels} channel{'s' if channels != 1 else ''}"


def rgb_of(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of a picture of any mode; converted in bands of rows, so that copies of it take no memory."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = _eight_bit(np.asarray(image), path)
        return np.repeat(grey[:, :, None], 3, axis=2)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows in bands(image.height, image.width):
        whole = rows.stop - rows.start == image.height
        part = image if whole else image.crop((0, rows.start, image.width, rows.stop))
        pixels[rows] = np.asarray(_without_transparency(part))
    return pixels


def _without_transparency(image: Image.Image) -> Image.Image:
    """The picture in RGB, laid over white."""
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def bands(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture in parts of about `BAND` pixels."""
    step = max(1, BAND // max(1, width))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def _eight_bit(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 of grey values that are 16-bit, or floating-point from 0 to 1."""
    top = 1.0 if values.dtype.kind == "f" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):  # neither holds if one value is no number
        raise FileError(path, f"gray values are not from 0 to {top:.0f}", "scale them, or save the image with 8 bits")
    result = np.empty(values.shape, np.uint8)
    for rows in bands(*values.shape):
        result[rows] = np.rint(values[rows].astype(np.float64) * (255 / top))
    return result
