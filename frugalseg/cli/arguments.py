"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from frugalseg.cli.options import within
from frugalseg.support.ranges import AMOUNT, BATCH, SEED

Data = Annotated[
    Path, typer.Argument(help="The data folder: images/ with masks/, or an export of labelme, COCO, VOC or Roboflow.")
]
Model = Annotated[str, typer.Argument(help="The folder of a model that fit or distill wrote, or its Hub id.")]
Device = Annotated[
    str,
    typer.Option(help="The device to run on: cpu, cuda, cuda:1, mps and so on. auto takes the GPU if there is one."),
]
Seed = Annotated[
    int,
    typer.Option(help="The seed of everything random. The same seed gives the same result.", callback=within(SEED)),
]
BatchSize = Annotated[
    int,
    typer.Option(
        help="How many images to process at once. More than 1 is faster only on a GPU.", callback=within(BATCH)
    ),
]
SMALL_REGION = 20
"""The default of a model's setting, as published."""
SmallRegions = Annotated[
    int,
    typer.Option(
        help="A class with fewer pixels than this in an image is ignored in that image.", callback=within(AMOUNT)
    ),
]
Channels = Annotated[
    str | None,
    typer.Option(
        help="Which channels of the images to use, counted from 1: for images of 16 bits, and of other channels than "
        "red, green and blue. The values of each are scaled to 8 bits, and the model remembers how.",
        metavar="N,N,...",
    ),
]
Percentiles = Annotated[
    str | None,
    typer.Option(
        help="With --channels: the percentiles of all annotated images' values that become 0 and 255. "
        r"\[default: 0.5,99.5]",
        metavar="LOW,HIGH",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what frugalseg has written to the output folder.")
]
