"""Where the images, masks and classes of a data folder are."""

from dataclasses import dataclass
from pathlib import Path

from frugalseg.data.files import FileError
from frugalseg.data.images import images_in, same_stems
from frugalseg.data.masks import LOSSY_SUFFIXES, MASK_SUFFIXES

EXPECTED = "expected images/ and masks/ with files of equal names, or a .npy mask beside each image"


@dataclass(frozen=True)
class Layout:
    """The files of a data folder, paired or not; nothing of them has been read.

    Attributes:
        path: the folder that holds ``images/``, or the images themselves.
        images, masks: files by stem, sorted.
        clashes: groups of files that differ only in their suffix.
        classes: ``classes.json`` of the folder or else of its parent.
    """

    path: Path
    images: dict[str, Path]
    masks: dict[str, Path]
    clashes: list[list[Path]]
    classes: Path | None

    @property
    def pairs(self) -> list[tuple[str, Path, Path]]:
        """Name, image and mask of everything that is complete."""
        return [(stem, path, self.masks[stem]) for stem, path in self.images.items() if stem in self.masks]

    @property
    def images_without_mask(self) -> list[str]:
        """File names."""
        return [path.name for stem, path in self.images.items() if stem not in self.masks]

    @property
    def masks_without_image(self) -> list[str]:
        """File names."""
        return [path.name for stem, path in self.masks.items() if stem not in self.images]


def find_layout(path: str | Path) -> Layout:
    """Recognise ``images/`` + ``masks/``, the published layout (``.npy`` beside each image), or a parent of ``train/``.

    Raises:
        FileError: the folder is missing, or is none of these.
    """
    root = Path(path)
    beside = images_in(root)
    if (root / "images").is_dir():
        images, masks = images_in(root / "images"), _masks_in(root / "masks")
    elif beside:
        masks = [p for p in _files(root) if p.suffix.lower() == ".npy"]
        images = beside
        if not masks:
            raise FileError(root, "images but no masks", EXPECTED)
    elif (root / "train").is_dir():
        return find_layout(root / "train")
    else:
        raise FileError(root, "no images here", EXPECTED)
    if not images:
        raise FileError(root / "images", "no images in this folder", EXPECTED)
    return Layout(
        root,
        {p.stem: p for p in images},
        {p.stem: p for p in masks},
        same_stems(images) + same_stems(masks),
        _classes_file(root),
    )


def image_folder(path: str | Path) -> Path:
    """Where the images of a data folder are, whether it has masks or not."""
    root = Path(path)
    return root / "images" if (root / "images").is_dir() else root


def _masks_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileError(folder, "no such folder", EXPECTED)
    # Lossy files are kept, so that reading them says what is wrong with them.
    masks = [p for p in _files(folder) if p.suffix.lower() in MASK_SUFFIXES | LOSSY_SUFFIXES]
    if not masks:
        raise FileError(folder, "no masks in this folder", EXPECTED)
    return masks


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())


def _classes_file(root: Path) -> Path | None:
    # `Path(".").parent` is itself, hence absolute.
    candidates = (root / "classes.json", root.absolute().parent / "classes.json")
    return next((p for p in candidates if p.is_file()), None)
