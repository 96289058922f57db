"""One picture of the clusters, or components, of what `frugalseg explore` has found.

python docs/make_explore.py DATA EXPLORED docs/images/explore_toy.png --kind k5 --taps t50.block2,t50.block4 --images 4
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from sheet import sheet

from frugalseg import SegmentationFolder
from frugalseg.report.pictures import mask_picture


def main() -> None:
    """Images, their masks, and a column for each tap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("explored", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kind", default="k5", help="A folder of EXPLORED/pictures, or several with commas.")
    parser.add_argument("--taps", required=True, help="The columns, separated by commas.")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--width", type=int, default=110)
    given = parser.parse_args()
    data = SegmentationFolder(given.data)

    def picture(kind: str, tap: str, number: int) -> NDArray[np.uint8]:
        path = given.explored / "pictures" / kind / f"{tap}.{number}.png"
        return np.asarray(Image.open(path).convert("RGB"))

    rows = []
    for number in range(given.images):
        example = data[number]
        shown = [example.image, mask_picture(example.target, data.classes)]
        shown += [picture(kind, tap, number) for kind in given.kind.split(",") for tap in given.taps.split(",")]
        rows.append(shown)
    height, width = rows[0][0].shape[:2]
    sheet(rows, (given.width, round(given.width * height / width))).quantize(255).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
