"""Makes the README's picture: python docs/make_picture.py. Half a minute on two cores.

Columns: test images. Rows: image, truth, prediction of a model fitted on 20 annotated images, uncertainty.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from frugalseg import Segmenter, load_backbone
from frugalseg.data.toy import TOY_CLASSES, toy_example
from frugalseg.report.pictures import mask_picture, uncertainty_map

COLUMNS, SIDE, GAP = 10, 96, 4

train = [toy_example(1, i) for i in range(20)]
test = [toy_example(2, i) for i in range(COLUMNS)]
model = Segmenter(load_backbone("ddpm", "builtin:toy_ddpm"), mirror=True).fit(train, classes=TOY_CLASSES)
found = list(model.predict(example.image for example in test))
top = max(float(np.quantile(each.uncertainty, 0.995)) for each in found)
rows = [
    [example.image for example in test],
    [mask_picture(example.target, TOY_CLASSES) for example in test],
    [mask_picture(TOY_CLASSES.to_positions(each.mask), TOY_CLASSES) for each in found],
    [uncertainty_map(each.uncertainty, top) for each in found],
]
sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) - GAP, len(rows) * (SIDE + GAP) - GAP), "white")
for y, row in enumerate(rows):
    for x, picture in enumerate(row):
        enlarged = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (x * (SIDE + GAP), y * (SIDE + GAP)))
sheet.save(Path(__file__).parent / "images" / "demo.png")
