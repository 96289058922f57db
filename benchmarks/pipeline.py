"""The command predict on a folder of photographs: one step after another, and reading, computing, writing at once.

The model is an untrained student, whose speed is that of a trained one. The photographs are JPEG files of smooth random
colors. One after another means: decode an image, segment it, encode and write its mask, then begin with the next one.
Both ways write the same files. "cores busy" is CPU seconds over wall-clock seconds; on a machine that others use, it
says less than the last column, the CPU milliseconds that an image takes.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import Clock, begin, parser, report
from benchmarks.student import student
from frugalseg.cli.options import parse_size
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import read_image
from frugalseg.jobs.predict import predict_folder
from frugalseg.jobs.prediction_files import Extras, ImageFiles
from frugalseg.models import load_model
from frugalseg.support.files import atomic_path

DETAIL = 8
"""Pixels of a photograph to one random color."""


def photographs(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write so many JPEG files of (H, W)."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        colors = generator.integers(0, 256, (size[0] // DETAIL + 1, size[1] // DETAIL + 1, 3), np.uint8)
        picture = Image.fromarray(colors).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05d}.jpg", quality=90)


def one_after_another(model: Path, images: Path, out: Path, extras: Extras, device: str) -> None:
    """The files of `predict_folder`, with nothing done at the same time."""
    predictor = load_model(model, device=device)
    for path in list_images(images):
        image, files = read_image(path), ImageFiles(out, path.stem)
        (rows,) = predictor.predict_rows([image], wanted=extras.wanted)
        found = files.collect(rows, image, predictor, extras)
        for place, content in files.encoded(found, image, predictor, extras):
            with atomic_path(place) as temporary:
                temporary.write_bytes(content)


def at_once(model: Path, images: Path, out: Path, extras: Extras, device: str) -> None:
    """The command."""
    predict_folder(model, images, out, extras=extras, device=device)


def rows(options: argparse.Namespace, size: tuple[int, int]) -> list[dict[str, Any]]:
    """A line for each way, with the least of several times; the ways take turns."""
    extras = Extras(overlays=options.overlays)
    found: dict[str, tuple[float, float]] = {}
    ways: dict[str, Callable[..., None]] = {"one after another": one_after_another, "at once": at_once}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        student(options, size, begin(options)).save_pretrained(place / "model")
        photographs(place / "images", options.images, size)
        for turn in range(options.repeats):
            for way, run in ways.items():
                clock = Clock()
                run(place / "model", place / "images", place / f"{way} {turn}", extras, options.device)
                found[way] = min(found.get(way, (np.inf, np.inf)), clock.read())
        require_same(*(place / f"{way} 0" for way in ways))
    return [line(size, way, *seconds, options.images) for way, seconds in found.items()]


def require_same(first: Path, second: Path) -> None:
    """The ways differ in their speed alone."""
    for path in first.rglob("*.png"):
        if path.read_bytes() != (second / path.relative_to(first)).read_bytes():
            raise SystemExit(f"{path.name} differs")


def line(size: tuple[int, int], way: str, wall: float, cpu: float, images: int) -> dict[str, Any]:
    """A line of the table."""
    rates = {"images/s": images / wall, "cores busy": cpu / wall, "CPU ms an image": 1000 * cpu / images}
    return {"size": "{}x{}".format(*size), "way": way, **rates}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--architecture", default="unet", help="of the student")
    options.add_argument("--encoder", default="resnet18", help="of the student")
    options.add_argument("--images", type=int, default=1000, help="photographs")
    options.add_argument("--size", type=parse_size, nargs="+", default=[(128, 192)], metavar="HxW", help="of them")
    options.add_argument("--overlays", action="store_true", help="overlays beside the masks")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.images, chosen.size = 6, [(32, 48)]
    title = f"The command predict, {chosen.images} photographs, student {chosen.architecture} {chosen.encoder}"
    report(title, [row for size in chosen.size for row in rows(chosen, size)], chosen)


if __name__ == "__main__":
    main()
