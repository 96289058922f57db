"""The files that `predict` writes for an image, from rows of its prediction: whether they are there, and whole."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.classifier.prediction import PixelRows, Wanted, known
from frugalseg.data.masks import mask_image
from frugalseg.model import Model
from frugalseg.support.files import atomic_path
from frugalseg.support.npy_rows import NpyRows

PNG_BEGINS = b"\x89PNG\r\n\x1a\n"
PNG_ENDS = b"\0\0\0\0IEND\xaeB`\x82"


@dataclass(frozen=True)
class Extras:
    """What to write beside the masks.

    Attributes:
        overlays: ``overlays/STEM.png``, the image with the mask over it.
        uncertainty: ``uncertainty/STEM.png``, 8-bit grey; 255 = the greatest possible, log M or a student's log K.
        probabilities: ``probabilities/STEM.npy``, (K, H, W) float16.
    """

    overlays: bool = False
    uncertainty: bool = False
    probabilities: bool = False

    @property
    def wanted(self) -> Wanted:
        """What has to be computed beside the labels."""
        return Wanted(self.probabilities, self.uncertainty)


@dataclass(frozen=True)
class ImageFiles:
    """The files of one image.

    Attributes:
        out: folder of the masks.
        stem: name of the image without its suffix.
    """

    out: Path
    stem: str

    @property
    def mask(self) -> Path:
        """Written last: its presence and time mark an image as done."""
        return self.out / f"{self.stem}.png"

    @property
    def overlay(self) -> Path:
        """See `Extras`."""
        return self.out / "overlays" / f"{self.stem}.png"

    @property
    def uncertainty(self) -> Path:
        """See `Extras`."""
        return self.out / "uncertainty" / f"{self.stem}.png"

    @property
    def probabilities(self) -> Path:
        """See `Extras`."""
        return self.out / "probabilities" / f"{self.stem}.npy"

    def done(self, image: Path, extras: Extras) -> bool:
        """Whether all files are there, and whole, and the mask was written after the image, or it came to its place.

        See `frugalseg.jobs.predict.noted_states` for images that are others, but not newer.
        """
        try:
            mask, sources = self.mask.stat(), (image.stat(), image.lstat())
        except OSError:
            return False
        # A copy may keep the time at which its original was written, and a link may lead to another image by now.
        newer = mask.st_mtime_ns >= max(max(each.st_mtime_ns, each.st_ctime_ns) for each in sources)
        wanted = {self.mask: True, self.overlay: extras.overlays, self.uncertainty: extras.uncertainty}
        whole = all(is_whole_png(path) for path, asked in wanted.items() if asked)
        return newer and whole and (not extras.probabilities or is_whole_npy(self.probabilities))

    def collect(self, rows: Iterable[PixelRows], image: NDArray[np.uint8], model: Model, extras: Extras) -> "Found":
        """What has to be kept of an image's rows; probabilities are not, they are in their file when this returns.

        Args:
            rows: all of the image, from the top.
            image: (H, W, C) uint8, as the model sees it.
            model: that says so.
            extras: what is wanted beside the mask.
        """
        shape = image.shape[:2]
        positions = np.empty(shape, np.uint8)
        grey = np.empty(shape, np.uint8) if extras.uncertainty else None
        for place, piece in placed(self._stored(rows, shape, len(model.classes)) if extras.probabilities else rows):
            positions[place] = piece.mask.cpu().numpy()
            if grey is not None:
                grey[place] = eight_bits(known(piece.uncertainty).float().cpu().numpy(), model.greatest_uncertainty)
        return Found(positions, grey)

    def encoded(
        self, found: "Found", image: NDArray[np.uint8], model: Model, extras: Extras
    ) -> list[tuple[Path, bytes]]:
        """The files but for the probabilities, ready to be written in this order; the arguments are `collect`'s."""
        files = []
        if extras.overlays:
            from frugalseg.report.pictures import overlay

            files.append((self.overlay, png(Image.fromarray(overlay(image, found.positions, model.classes)))))
        if found.grey is not None:
            files.append((self.uncertainty, png(Image.fromarray(found.grey))))
        files.append((self.mask, png(mask_image(ids_of(found.positions, model), model.classes))))
        return files

    def _stored(self, rows: Iterable[PixelRows], shape: tuple[int, ...], classes: int) -> Iterator[PixelRows]:
        """The rows as they are, once their probabilities are in the file, which is there after the last of them."""
        size = (classes, shape[0], shape[1])
        with atomic_path(self.probabilities) as path, NpyRows(path, size, np.float16) as file:
            for place, piece in placed(rows):
                file.put(place.start, known(piece.probabilities).float().cpu().numpy())
                yield piece


@dataclass(frozen=True, eq=False)
class Found:
    """What a model says of an image, as far as its pictures need it.

    Attributes:
        positions: (H, W) uint8 class positions.
        grey: (H, W) uint8 uncertainty, see `Extras`; None where it is not wanted.
    """

    positions: NDArray[np.uint8]
    grey: NDArray[np.uint8] | None


def placed(rows: Iterable[PixelRows]) -> Iterator[tuple[slice, PixelRows]]:
    """Each piece with its rows of the image."""
    top = 0
    for piece in rows:
        yield slice(top, top + len(piece.mask)), piece
        top += len(piece.mask)


def eight_bits(uncertainty: NDArray[np.float32], greatest: float) -> NDArray[np.uint8]:
    """Values from 0 to `greatest` as 0 to 255."""
    return (uncertainty / greatest * 255).round().clip(0, 255).astype(np.uint8)


def ids_of(positions: NDArray[np.uint8], model: Model) -> NDArray[np.generic]:
    """The class ids of (H, W) positions, in the smallest type that holds them."""
    kind = np.min_scalar_type(max((*model.classes.ids, model.classes.ignore_index)))
    return model.classes.to_ids(np.arange(len(model.classes))).astype(kind)[positions]


def png(picture: Image.Image) -> bytes:
    """A picture as a file."""
    file = BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def is_whole_png(path: Path) -> bool:
    """Whether a file begins and ends as a PNG does: one that was cut off, or is of zeros, does not."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(PNG_BEGINS))
            file.seek(max(0, path.stat().st_size - len(PNG_ENDS)))
            return begins == PNG_BEGINS and file.read() == PNG_ENDS
    except OSError:
        return False


def is_whole_npy(path: Path) -> bool:
    """Whether an array file is as long as its beginning says."""
    try:
        np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return False
    return True
