"""Draws the loss of pretraining runs: python docs/make_curve.py OUT.png NAME=RUN/training/log.txt ..."""

import re
import sys
from pathlib import Path

from PIL import Image

from frugalseg.report.plots import LIGHT, curves

LINE = re.compile(r"step (\d+)/\d+ +loss ([0-9.]+)")

out, *logs = sys.argv[1:]
series = {}
for log in logs:
    name, _, path = log.partition("=")
    found = [(int(m[1]), float(m[2])) for m in LINE.finditer(Path(path).read_text())]
    series[name] = found[3:]  # the first few are off the scale
plot = curves(series, "step", "loss", "loss of diffusion pretraining by step")
picture = Path(out)
picture.write_bytes(plot.png(LIGHT))
opaque = Image.open(picture).convert("RGBA")
Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB").save(picture)
