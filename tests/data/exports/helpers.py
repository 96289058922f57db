"""Data folders as annotation tools export them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.data.helpers import picture, save_image

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())
"""What pycocotools and labelme themselves draw; `make_golden.py` beside it made it."""

SIZE: tuple[int, int] = tuple(GOLDEN["size"])


def drawn(rows: Sequence[str]) -> NDArray[np.bool_]:
    """(H, W) of rows of ``.`` and ``#``."""
    return np.array([[c == "#" for c in row] for row in rows])


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def classes_json(folder: Path, *names: str, first: int = 0) -> None:
    write_json(folder / "classes.json", {"classes": [{"id": i, "name": n} for i, n in enumerate(names, first)]})


def box(label: str, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    """A rectangle of labelme, both corners within."""
    return {"label": label, "points": [[left, top], [right, bottom]], "shape_type": "rectangle"}


def labelme(folder: Path, name: str, shapes: Iterable[dict[str, Any]], seed: int = 0, **more: Any) -> Path:
    """An image of 16 x 12 and its labelme file; `more` replaces what the file says."""
    save_image(folder / f"{name}.png", picture(seed))
    document = {"shapes": list(shapes), "imagePath": f"{name}.png", "imageHeight": 12, "imageWidth": 16}
    return write_json(folder / f"{name}.json", {**document, "imageData": None, **more})


def square(left: float, top: float, side: float) -> list[float]:
    """A polygon of COCO."""
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def coco(
    file: Path,
    images: Sequence[str],
    objects: Sequence[tuple[int, int, Any]],
    categories: dict[int, str],
    size: tuple[int, int] = (12, 16),
) -> Path:
    """A COCO file; `objects` are (image id from 1, category id, segmentation)."""
    return write_json(
        file,
        {
            "images": [
                {"id": i, "file_name": name, "height": size[0], "width": size[1]} for i, name in enumerate(images, 1)
            ],
            "annotations": [
                {"id": n, "image_id": i, "category_id": c, "segmentation": s} for n, (i, c, s) in enumerate(objects)
            ],
            "categories": [{"id": i, "name": name} for i, name in categories.items()],
        },
    )


def voc(
    root: Path, masks: dict[str, NDArray[np.uint8]], palette: Sequence[int] = (), spare: Sequence[str] = ()
) -> Path:
    """JPEGImages and SegmentationClass; indexed masks where `palette` is given; `spare` images have no mask."""
    for seed, name in enumerate([*masks, *spare]):
        save_image(root / "JPEGImages" / f"{name}.png", picture(seed))
    (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        image = Image.fromarray(mask)
        if palette:
            image.putpalette(list(palette))
        image.save(root / "SegmentationClass" / f"{name}.png")
    return root
