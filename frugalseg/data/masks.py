"""Masks: the class id of each pixel, read from what people have, written as PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from frugalseg.data.classes import MAX_ID, ClassTable
from frugalseg.data.images import (
    MASK_PIXELS_A_BYTE,
    full_pages,
    has_deep_channels,
    max_pixels,
    opened,
    tiff_kind,
    upright,
    white_is_0,
)
from frugalseg.data.mask_colors import ids_of_colors, ids_of_palette
from frugalseg.data.raw import read_raw
from frugalseg.support.files import FileError, atomic_path
from frugalseg.support.paths import as_path
from frugalseg.support.text import quoted, reason, shortened

MASK_SUFFIXES = frozenset({".png", ".npy", ".tif", ".tiff", ".bmp"})
LOSSY_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})
EXACT = frozenset({"PNG", "TIFF", "BMP", "GIF", "PPM"})
"""Pillow's names of the formats that keep values, whatever a file is called."""
LOSSY = frozenset({"jpeg", "tiff_jpeg", "webp"})
"""Its names of the compressions of TIFF that do not."""


def read_mask(path: str | Path, classes: ClassTable | None = None) -> NDArray[np.int64]:
    """(H, W) int64 class ids, 0 to 65535.

    Grey images, of 1 to 64 bits, give the values that the file stores, whatever they are to look like. Indexed images
    give their indices, unless the colors of their palette say that the classes have another order there. Color images
    give the classes of their colors, or their values where red, green and blue are equal everywhere. ``.npy`` arrays
    are (H, W) of any numeric type with whole values.

    Args:
        path: the file.
        classes: whose colors are looked for; None looks for none.

    Raises:
        FileError: missing, unreadable, truncated, giant, in colors of no class, lossily compressed, of several pages,
            or not whole ids.
    """
    path = as_path(path, "mask")
    suffix = path.suffix.lower()
    if suffix in LOSSY_SUFFIXES:
        raise _lossy(path)
    if suffix not in MASK_SUFFIXES:
        raise FileError(path, "not a mask format", f"use one of {' '.join(sorted(MASK_SUFFIXES))}")
    values = _read_array(path) if suffix == ".npy" else _read_picture(path, classes)
    return _whole_ids(values, path)


def write_mask(path: str | Path, ids: ArrayLike, table: ClassTable) -> None:
    """Write (H, W) ids as a PNG, atomically; see `mask_image`."""
    image = mask_image(ids, table)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def mask_image(ids: ArrayLike, table: ClassTable) -> Image.Image:
    """(H, W) ids as an indexed picture in the colours of `table`; 16-bit grey where ids exceed 255.

    Raises:
        ValueError: `ids` is not (H, W), or some are outside 0..255 (0..65535 where the table's own are).
    """
    values = np.asarray(ids)
    deep = max((*table.ids, table.ignore_index)) > 255
    limit = MAX_ID if deep else 255
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a mask is (H, W), not {values.shape}")
    if values.min() < 0 or values.max() > limit:
        raise ValueError(f"mask values are from {values.min()} to {values.max()}, not from 0 to {limit}")
    if deep:
        return Image.fromarray(values.astype(np.uint16))
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette(table.palette())
    return image


def _read_array(path: Path) -> NDArray[np.generic]:
    """A numeric 2D ``.npy`` array, its header judged before anything is read."""
    remedy = "save the (H, W) class ids with numpy.save"
    try:
        # Maps the file instead of reading it, refuses pickled objects, and compares shape and file size.
        values: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise FileError(path, "no such file", "check the path") from None
    except Exception as error:
        raise FileError(path, f"not a plain .npy array ({reason(error)})", remedy) from None
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or not 0 < values.size <= max_pixels() or values.dtype.kind not in "biuf":
        raise FileError(
            path, f"expected (H, W) numbers, found {shortened(str(values.dtype), 60)} {quoted(values.shape)}", remedy
        )
    return np.asarray(values)


def _read_picture(path: Path, classes: ClassTable | None) -> NDArray[np.generic]:
    """The stored values of an image file, not what they look like."""
    kind = tiff_kind(path) or ""
    if kind.startswith("64-bit ") and kind.endswith(" 1 channel"):  # NumPy's own numbers, which Pillow does not know
        values = read_raw(path)
        require_one(values.shape[2], path)
        return values[..., 0]
    with opened(path, MASK_PIXELS_A_BYTE) as image:
        if image.format not in EXACT or (image.format == "TIFF" and image.info.get("compression") in LOSSY):
            raise _lossy(path, f" ({image.format})")
        require_one_page(image, path)
        inverted, step = _stored_as(image, path)
        deep = has_deep_channels(image)
        picture = upright(image)
        if picture.mode == "P" and classes is not None:
            return ids_of_palette(picture, classes)
        if picture.mode not in ("1", "L", "P", "F") and not picture.mode.startswith("I"):
            return _of_color(picture, path, classes, deep)
        values = np.asarray(picture)
        if inverted and picture.mode in ("1", "L"):
            values = ~values
        return values // np.uint8(step) if step > 1 and picture.mode == "L" else values


def _lossy(path: Path, found: str = "") -> FileError:
    """The error for a mask in a format that does not keep values; `found` says which one hides behind its suffix."""
    remedy = "export the masks as indexed or gray PNG"
    return FileError(path, f"masks in this format{found} lose their exact values", remedy)


def require_one_page(image: Image.Image, path: Path) -> None:
    """`FileError` where an open mask has several pages, of which nobody knows which one is meant."""
    require_one(full_pages(image), path)


def require_one(pages: int, path: Path) -> None:
    """See `require_one_page`."""
    if pages > 1:
        remedy = "save one page with the id of each pixel's class; a page for each class must be numbered first"
        raise FileError(path, f"holds {pages} pages, where a mask is one page of class ids", remedy)


def _of_color(image: Image.Image, path: Path, classes: ClassTable | None, deep: bool) -> NDArray[np.generic]:
    """(H, W) of an image in color: its values where its channels are equal, else the classes of its colors.

    Args:
        image: decoded.
        path: of its file.
        classes: see `read_mask`.
        deep: whether the file has 16 bits for each channel, of which Pillow gives the upper half alone.
    """
    if image.mode in ("LA", "PA"):
        return read_raw(path)[..., 0] if deep else np.asarray(image)[..., 0]
    if image.mode not in ("RGB", "RGBA", "RGBX"):
        raise _in_color(path, f"a picture in {image.mode}")
    channels = read_raw(path)[..., :3] if deep else np.asarray(image)[..., :3]
    if (channels == channels[..., :1]).all():
        return channels[..., 0]
    colors = (channels >> 8).astype(np.uint8) if deep else channels
    ids = None if classes is None else ids_of_colors(colors, classes)
    if ids is None:
        raise _in_color(path, "a picture in color")
    return ids


def _in_color(path: Path, what: str) -> FileError:
    remedy = "export indexed or gray PNG whose pixel values are the class ids, or give the colors in classes.json"
    return FileError(path, f"{what}, not class ids", remedy)


def _stored_as(image: Image.Image, path: Path) -> tuple[bool, int]:
    """Whether Pillow inverts the values of an open image, and what it multiplies them by.

    It stretches grey values of 2 and 4 bits to 0..255, and turns those of TIFFs round in which 0 is white.
    """
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        return white_is_0(image), STRETCHED.get(tags.get(258, (1,))[0], 1)
    if image.format != "PNG":
        return False, 1
    with path.open("rb") as file:
        header = file.read(26)
    grey = len(header) == 26 and header[25] == 0
    return False, STRETCHED.get(header[24], 1) if grey else 1


STRETCHED = {2: 85, 4: 17}
"""What makes 2 and 4 bits fill 0..255."""


def _whole_ids(values: NDArray[np.generic], path: Path) -> NDArray[np.int64]:
    """int64 of whole numbers from 0 to 65535."""
    remedy = f"use whole ids from 0 to {MAX_ID}, and 255 for pixels that are not annotated"
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise FileError(path, "mask values are not whole numbers", remedy)
    least, most = values.min().item(), values.max().item()
    if least < 0 or most > MAX_ID:
        raise FileError(path, f"mask values are from {least:.0f} to {most:.0f}", remedy)
    return values.astype(np.int64)
