"""What pycocotools and labelme draw themselves, for golden.json; and how far our rule for polygons is from COCO's.

pip install pycocotools==2.0.11 labelme==6.3.1
python -m tests.data.exports.make_golden
"""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from labelme.utils.shape import shape_to_mask, shapes_to_label
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from frugalseg.data.exports.shapes import polygon_patch

SIZE = HEIGHT, WIDTH = 24, 32
KITE = [[2.5, 1.25], [28.4, 6.1], [17.7, 21.9], [5.2, 14.6]]
ACROSS = [[-6, 5], [12, -4], [40, 12], [15, 30]]
STAR = [[10.5, 3.5], [14.2, 10.1], [24.9, 10.4], [16.3, 14.2], [19.8, 22.3], [10.6, 16.9], [2.1, 22.4], [5.4, 14.1]]
POLYGONS = [
    [[3, 2], [20, 2], [20, 15], [3, 15]],
    KITE,
    ACROSS,
    [[4, 4], [26, 18], [26, 4], [4, 18]],
    [*STAR, [-1.5, 9.7], [7.2, 10.2]],
]
SHAPES = [
    ("polygon", KITE),
    ("rectangle", [[20.4, 15.6], [3.2, 2.7]]),
    ("oriented_rectangle", [[10, 2], [25, 8], [22, 17], [7, 11]]),
    ("circle", [[15.3, 11.2], [20.1, 13.4]]),
    ("line", [[4.2, 5.1], [26.7, 16.3]]),
    ("linestrip", [[3, 3], [20, 6], [8, 20]]),
    ("point", [[12.4, 9.6]]),
    ("polygon", ACROSS),
]
LABELLED = [
    ("b", "rectangle", [[2, 2], [20, 20]]),
    ("a", "polygon", [[15, 5], [30, 5], [20, 22]]),
    ("b", "circle", [[22, 12], [24, 14]]),
    ("_background_", "rectangle", [[5, 5], [8, 8]]),
    ("__ignore__", "line", [[0, 10], [31, 12]]),
    ("c", "mask", [[25, 1], [30, 5]]),
]
VALUES = {"_background_": 0, "a": 1, "b": 2, "c": 3, "__ignore__": 9}


def rows(mask: NDArray[Any]) -> list[str]:
    return ["".join(".#"[int(v)] for v in row) for row in mask]


def packed(mask: NDArray[Any]) -> str:
    return str(coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode())


def coco_polygon(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    return coco.decode(coco.merge(coco.frPyObjects([points.ravel().tolist()], *size))).astype(bool)


def polygons() -> list[dict[str, Any]]:
    arrays = [np.array(points, float) for points in POLYGONS]
    return [{"points": a.ravel().tolist(), "rows": rows(coco_polygon(a, SIZE))} for a in arrays]


def runs() -> list[dict[str, Any]]:
    masks = [np.random.default_rng(seed).random((9, 11)) < share for seed, share in ((1, 0.1), (2, 0.5), (3, 0.9))]
    return [{"size": [9, 11], "counts": packed(mask), "rows": rows(mask)} for mask in masks]


def big() -> dict[str, Any]:
    mask = np.zeros((300, 400), np.uint8)
    mask[40:290, 37:333], mask[100:130, 200:210] = 1, 0
    box, hole = [40, 290, 37, 333], [100, 130, 200, 210]
    return {"size": [300, 400], "counts": packed(mask), "area": int(mask.sum()), "box": box, "hole": hole}


def labels() -> dict[str, Any]:
    patch, buffer = np.random.default_rng(5).random((5, 6)) < 0.5, io.BytesIO()
    Image.fromarray((patch * 255).astype(np.uint8)).save(buffer, "PNG")
    shapes = [{"label": label, "points": points, "shape_type": kind} for label, kind, points in LABELLED]
    found, _ = shapes_to_label(SIZE, [*shapes[:-1], {**shapes[-1], "mask": patch}], VALUES)
    shapes[-1]["mask"] = base64.b64encode(buffer.getvalue()).decode()
    return {"shapes": shapes, "rows": ["".join(str(v) for v in row) for row in found]}


def difference(number: int = 400) -> float:
    """Pixels in which random polygons differ, as a share of their area."""
    rng, differ, area = np.random.default_rng(0), 0, 0
    for _ in range(number):
        size, corners = tuple(int(v) for v in rng.integers(40, 200, 2)), int(rng.integers(5, 40))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = rng.uniform(0.2, 0.5, corners) * min(size) * rng.uniform(0.3, 1)
        points = np.stack([size[1] / 2 + radii * np.cos(angles), size[0] / 2 + radii * np.sin(angles)], 1)
        theirs, ours = coco_polygon(points, (size[0], size[1])), np.zeros(size, np.int64)
        polygon_patch(points, (size[0], size[1])).paint(ours, 1)
        differ, area = differ + int((theirs != ours.astype(bool)).sum()), area + int(theirs.sum())
    return differ / area


def main() -> None:
    golden = {
        "made_with": "pycocotools 2.0.11, labelme 6.3.1 (Pillow 13.0.0)",
        "polygons": polygons(),
        "runs": runs(),
        "labelme": [
            {"shape_type": kind, "points": points, "rows": rows(shape_to_mask(SIZE, points, kind))}
            for kind, points in SHAPES
        ],
        "big": big(),
        "labels": labels(),
        "size": list(SIZE),
    }
    Path(__file__).with_name("golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    print(f"polygons differ from pycocotools' in {difference():.2%} of their area")


if __name__ == "__main__":
    main()
