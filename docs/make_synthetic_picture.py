"""Makes a picture of synthetic sets: python docs/make_synthetic_picture.py SET... -o PICTURE.png

For each set that `frugalseg generate` wrote: its first images, and the same with their labels over them. Not chosen by
anybody.
"""

import argparse
from pathlib import Path

from sheet import sheet

from frugalseg.report.pictures import overlay
from frugalseg.synthetic import SyntheticSet

COLUMNS, HEIGHT = 12, 96

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("sets", nargs="+", type=Path, metavar="SET")
options.add_argument("-o", "--out", required=True, type=Path)
chosen = options.parse_args()
rows = []
for place in chosen.sets:
    samples = SyntheticSet(place)
    first = [samples[number] for number in range(min(COLUMNS, len(samples)))]
    rows += [[each.image for each in first], [overlay(each.image, each.target, samples.classes) for each in first]]
height, width = rows[0][0].shape[:2]
sheet(rows, (HEIGHT * width // height, HEIGHT)).save(chosen.out)
