"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def checked_seed(seed: int) -> int:
    """A seed that both NumPy and torch take, which have 32 bits for it."""
    if not 0 <= seed < 2**32:
        raise typer.BadParameter(f"{seed}; give a whole number from 0 to {2**32 - 1}")
    return seed


Data = Annotated[
    Path, typer.Argument(help="The data folder: images/ with masks/, or an export of labelme, COCO or VOC.")
]
Model = Annotated[str, typer.Argument(help="The folder of a model that fit or distill wrote, or its Hub id.")]
Device = Annotated[
    str,
    typer.Option(help="The device to run on: cpu, cuda, cuda:1, mps and so on. auto takes the GPU if there is one."),
]
Seed = Annotated[
    int,
    typer.Option(help="The seed of everything random. The same seed gives the same result.", callback=checked_seed),
]
BatchSize = Annotated[
    int, typer.Option(help="How many images to process at once. More than 1 is faster only on a GPU.", min=1)
]
SmallRegions = Annotated[
    int, typer.Option(help="A class with fewer pixels than this in an image is ignored in that image.", min=0)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output folder if it is not empty.")]
