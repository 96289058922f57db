"""Images as people have them, read as 8-bit RGB."""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from frugalseg.support.files import FileError
from frugalseg.support.text import listing

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

# Only these decoders may run, whatever a file's name says: Pillow would hand a disguised EPS file to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")

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

MAX_PIXELS = 100_000_000
"""Larger images are refused: decoded, they take gigabytes, and small files can claim any size."""


def list_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, by name; hidden files are left out. A path of one image is a list of one.

    Raises:
        FileError: there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if folder.is_file() and folder.suffix.lower() in IMAGE_SUFFIXES:
        return [folder]
    paths = images_in(folder)
    if not paths:
        suffixes = " ".join(sorted(s[1:] for s in IMAGE_SUFFIXES))
        raise FileError(folder, "no images in this folder", f"put images in it ({suffixes}), or name another folder")
    return paths


def images_in(folder: Path) -> list[Path]:
    """`list_images` of a folder that may be empty; `FileError` where it is missing or unreadable."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        raise FileError(folder, "no such folder", "check the path") from None
    except NotADirectoryError:
        raise FileError(folder, "not a folder of images", "name a folder") from None
    except OSError as error:
        raise FileError(folder, f"cannot be listed ({error.strerror})", "check its permissions") from None
    return [p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()]


def same_stems(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of files that differ only in their suffix, so that a mask or a result could belong to any of them."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[path.stem].append(path)
    return [group for group in groups.values() if len(group) > 1]


def require_distinct_stems(paths: Iterable[Path]) -> None:
    """`FileError` where two files have the same name but for the suffix."""
    groups = same_stems(paths)
    if groups:
        names = listing(["/".join(p.name for p in group) for group in groups])
        raise FileError(groups[0][0].parent, f"files of the same name: {names}", "rename or remove one of each")


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    16-bit values are scaled from 0..65535 to 0..255, floating-point ones from 0..1; transparency is laid over white;
    of an animation or a stack the first picture is read.

    Raises:
        FileError: missing, unreadable, truncated, more than `MAX_PIXELS`, or values outside those ranges.
    """
    with opened(path) as image:
        return _rgb(upright(image), Path(path))


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) that `read_image` would give, from the file's header alone."""
    with opened(path) as image:
        orientation = _orientation(image)
        # Pillow gives TIFF sizes already upright from some version on, so they are taken from the tags.
        tags = getattr(image, "tag_v2", {})
        width, height = int(tags.get(256, image.width)), int(tags.get(257, image.height))
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def upright(image: Image.Image) -> Image.Image:
    """The picture decoded and turned as its EXIF orientation says."""
    # TIFFs are turned by `load` itself, which also drops their orientation.
    image.load()
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    # Broken EXIF in a sound image is common, and comes as any kind of error.
    except Exception:
        return 1


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """An open Pillow image of at most `MAX_PIXELS`; whatever goes wrong in the block is a `FileError`."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large and of slightly broken files; one clear error is enough.
            warnings.filterwarnings("ignore", module="PIL")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                yield image
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(path, "no such file", "check the path") from None
    except Image.DecompressionBombError:
        limit = f"more than {MAX_PIXELS // 1_000_000} megapixels"
        raise FileError(path, f"too large ({limit})", "cut it into smaller images or scale it down") from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise FileError(path, f"not an image of a known format ({known})", "convert or remove it") from None
    # Decoders raise nearly anything on a broken file: OSError, SyntaxError, struct.error, ValueError, KeyError, ...
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise FileError(path, f"cannot be read ({reason})", "export it again or remove it") from None


def _rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """8-bit RGB values of a picture of any mode."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = _eight_bit(np.asarray(image), path)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _eight_bit(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 of grey values that are 16-bit, or floating-point from 0 to 1."""
    top = 1.0 if values.dtype.kind == "f" else 65535.0
    floats = values.astype(np.float64)
    if not (np.isfinite(floats).all() and floats.min() >= 0 and floats.max() <= top):
        raise FileError(path, f"grey values are not from 0 to {top:.0f}", "scale them, or save the image with 8 bits")
    result: NDArray[np.uint8] = np.rint(floats * (255 / top)).astype(np.uint8)
    return result
