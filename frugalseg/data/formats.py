"""Which format a data folder has. A new format is one file and one line here."""

from collections.abc import Callable
from pathlib import Path

from frugalseg.data.catalogue.names import data_place
from frugalseg.data.exports.coco import coco_export
from frugalseg.data.exports.documents import json_files
from frugalseg.data.exports.labelme import labelme_export
from frugalseg.data.exports.roboflow import roboflow_export
from frugalseg.data.exports.voc import voc_export
from frugalseg.data.image_folder import images_in
from frugalseg.data.layout import Layout
from frugalseg.data.mask_folder import mask_folder, published_folder
from frugalseg.support.files import FileError, read_json
from frugalseg.support.paths import as_path

FORMATS: tuple[Callable[[Path], Layout | None], ...] = (
    mask_folder,
    coco_export,
    voc_export,
    roboflow_export,
    published_folder,
    labelme_export,
)
"""In this order each is asked whether a folder is its own; the first one gives the layout."""

SPLITS = ("train", "real/train")
"""What a folder stands for that has it: ours, and that of a published benchmark."""

EXPECTED = (
    "expected images/ and masks/ with files of equal names, a .npy mask beside each image, "
    "or an export of labelme, COCO, VOC or Roboflow (PNG masks)"
)


def find_layout(path: str | Path) -> Layout:
    """The files of a data folder in any of `FORMATS`; a folder that has ``train/`` and is none itself stands for that.

    Args:
        path: of the folder, or the name of a published benchmark or of a part of one: see `data_place`.

    Raises:
        FileError: the folder is missing, or is none of these; or what should index it cannot be read.
        InputError: a benchmark that is not downloaded yet.
    """
    root = data_place(as_path(path, "data folder"))
    beside = images_in(root)
    for recognise in FORMATS:
        if (layout := recognise(root)) is not None:
            return layout
    for split in SPLITS:
        if not beside and not (root / "images").is_dir() and (root / split).is_dir():
            return find_layout(root / split)
    require_sound_json(root)
    if (root / "images").is_dir():
        raise FileError(root / "masks", "no such folder", EXPECTED)
    if (root / "config.json").is_file() and any(root.glob("*.safetensors")):
        raise FileError(root, "a model or a network, and no data folder", EXPECTED)
    raise FileError(root, "images but no masks" if beside else "no images here", EXPECTED)


def require_sound_json(root: Path) -> None:
    """`FileError` for a broken JSON file that may be why no format knows the folder."""
    for file in (*json_files(root), *json_files(root / "annotations")):
        read_json(file)


def image_folder(path: str | Path) -> Path:
    """Where the images of a data folder with or without masks are, if they lie as in ``images/`` + ``masks/``."""
    root = Path(path)
    return root / "images" if (root / "images").is_dir() else root
