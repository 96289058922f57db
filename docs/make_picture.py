"""Makes the README's picture: python docs/make_picture.py. Half a minute on two cores.

Columns: test images. Rows: image, truth, prediction of a model fitted on 20 annotated images, uncertainty.
"""

from pathlib import Path

import numpy as np
from sheet import sheet

from frugalseg import Segmenter, load_backbone
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.report.pictures import mask_picture, uncertainty_map

COLUMNS, SIDE = 10, 96

train = [toy_example(1, i) for i in range(20)]
test = [toy_example(2, i) for i in range(COLUMNS)]
model = Segmenter(load_backbone("ddpm", "builtin:toy_ddpm"), mirror=True, smoothing=0).fit(train, classes=TOY_CLASSES)
found = list(model.predict(example.image for example in test))
top = max(float(np.quantile(each.uncertainty, 0.995)) for each in found)
rows = [
    [example.image for example in test],
    [mask_picture(example.target, TOY_CLASSES) for example in test],
    [mask_picture(TOY_CLASSES.to_positions(each.mask), TOY_CLASSES) for each in found],
    [uncertainty_map(each.uncertainty, top) for each in found],
]
sheet(rows, (SIDE, SIDE)).save(Path(__file__).parent / "images" / "demo.png")
