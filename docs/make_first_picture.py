"""Makes the picture of the first command: python docs/make_first_picture.py street_fashion_15. A minute on two cores.

Columns: the first photographs of DATA/test. Rows: image, truth, prediction of a model that `frugalseg fit DATA/train`
gives.
"""

import sys
from pathlib import Path

from sheet import sheet

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.report.pictures import mask_picture

COLUMNS, SIZE = 9, (128, 192)

data = Path(sys.argv[1])
train = SegmentationFolder(data / "train")
test = [SegmentationFolder(data / "test", train.classes)[index] for index in range(COLUMNS)]
model = Segmenter(load_backbone()).fit(train)
found = model.predict(example.image for example in test)
rows = [
    [example.image for example in test],
    [mask_picture(example.target, train.classes) for example in test],
    [mask_picture(train.classes.to_positions(each.mask), train.classes) for each in found],
]
sheet(rows, SIZE).save(Path(__file__).parent / "images" / "first.png")
