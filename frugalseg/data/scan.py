"""What a folder holds, in numbers: read one image at a time."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.annotation import Annotation
from frugalseg.data.channels import ChannelSpec, read_pixels
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable, Color
from frugalseg.data.folder import SegmentationFolder, require_same_size
from frugalseg.data.images import is_deep, page_count
from frugalseg.data.mask_colors import palette_of
from frugalseg.data.mask_folder import MaskFile
from frugalseg.data.opened import Decoder
from frugalseg.support import digests
from frugalseg.support.files import FileError

PAGED = frozenset({".tif", ".tiff"})
"""Files that may hold several pictures."""

FEW_LEVELS = 64
"""Of 256: 14 of 16 bits, or fewer, are in use."""


@dataclass
class Scan:
    """What is kept of an image and its annotation.

    Attributes:
        name: of the image.
        size: (H, W) of the image; None where it cannot be read, like `digest` and `brightest`.
        digest: of the decoded image.
        brightest: its largest value, 0 to 255.
        levels: how many of the 256 levels lie between its least and its largest value.
        deep: whether the file has more than 8 bits, where few levels are left of them; False where nobody looked.
        pages: pictures of full size in the image's file, of which the first is read.
        pixels: how many pixels have each id; empty where the annotation cannot be read.
        palette: the colors of these ids in an indexed mask; empty for any other annotation.
        errors: what went wrong.
    """

    name: str
    image_path: Path
    mask_path: Path
    size: tuple[int, int] | None = None
    digest: bytes | None = None
    brightest: int | None = None
    levels: int = 256
    deep: bool = False
    pages: int = 1
    pixels: dict[int, int] = field(default_factory=dict)
    palette: dict[int, Color] = field(default_factory=dict)
    errors: list[FileError] = field(default_factory=list)


def scan_pair(name: str, image_path: Path, annotation: Annotation, classes: ClassTable, decoder: Decoder) -> Scan:
    """Read an image and its annotation; what fails is noted, not raised."""
    scan = Scan(name, image_path, annotation.path)
    try:
        image = decoder.image(image_path)
        scan.size = (image.shape[0], image.shape[1])
        scan.digest, scan.brightest = digests.pixels(image), int(image.max())
        scan.levels = scan.brightest - int(image.min()) + 1
        if decoder.channels is None:
            scan.deep = scan.levels <= FEW_LEVELS and is_deep(image_path)
            scan.pages = page_count(image_path) if image_path.suffix.lower() in PAGED else 1
    except FileError as error:
        scan.errors.append(error)
    try:
        mask = decoder.ids(image_path, annotation, scan.size or decoder.size(image_path), classes)
        counts = np.bincount(mask.ravel())  # sorting, as np.unique does, would copy the mask
        ids = np.flatnonzero(counts)
        scan.pixels = dict(zip(ids.tolist(), counts[ids].tolist(), strict=True))
        if isinstance(annotation, MaskFile):
            colors = palette_of(annotation.path)
            scan.palette = {index: colors[index] for index in scan.pixels if index in colors}
        if scan.size is not None:
            require_same_size(image_path, scan.size, annotation.path, mask.shape)
    except FileError as error:
        if str(error) not in map(str, scan.errors):
            scan.errors.append(error)
    return scan


def image_digest(path: Path, channels: ChannelSpec | None = None) -> bytes:
    """The digest of an image file's pixels; `FileError` where it cannot be read."""
    return digests.pixels(read_pixels(path, channels))


@dataclass(frozen=True, eq=False)
class FolderSummary:
    """How much there is to train on.

    Attributes:
        sizes: how many images have each (H, W).
        pixels: (images, K) int64, pixels of each class in each image, in the order of the folder.
    """

    sizes: dict[tuple[int, int], int]
    pixels: NDArray[np.int64]

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.pixels)

    @property
    def pixels_per_class(self) -> NDArray[np.int64]:
        """(K,) int64 over all images."""
        total: NDArray[np.int64] = self.pixels.sum(axis=0)
        return total

    def labelled(self, small_regions: int = 20) -> int:
        """Pixels that training uses: those of classes with at least `small_regions` pixels in their image."""
        return int(self.pixels[self.pixels >= small_regions].sum())


def summary(folder: SegmentationFolder) -> FolderSummary:
    """Count a folder's images and annotated pixels; annotations are read, of images only the headers.

    Raises:
        FileError: an image or an annotation is unreadable, or holds ids outside the classes.
    """
    sizes = Counter(folder.size(i) for i in range(len(folder)))
    pixels = np.zeros((len(folder), len(folder.classes)), np.int64)
    for i in range(len(folder)):
        positions = folder.target(i)
        pixels[i] = np.bincount(positions.ravel(), minlength=NOT_ANNOTATED + 1)[: len(folder.classes)]
    return FolderSummary(dict(sizes), pixels)
