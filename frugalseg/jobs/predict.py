"""Masks for a folder of images: each written whole, in order, skipping those that an earlier run has written."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.images import list_images, read_image, report_other_files, require_distinct_stems
from frugalseg.data.masks import write_mask
from frugalseg.model import Model, Prediction, model_folder
from frugalseg.models import load_model
from frugalseg.support.files import atomic_path
from frugalseg.support.folders import spare_inputs
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import stamps
from frugalseg.support.runs import own_folder


@dataclass(frozen=True)
class Extras:
    """What to write beside the masks.

    Attributes:
        overlays: ``overlays/STEM.png``, the image with the mask over it.
        uncertainty: ``uncertainty/STEM.png``, 8-bit grey; 255 = the greatest possible, log M or a student's log K.
        probabilities: ``probabilities/STEM.npy``, (K, H, W) float16.
    """

    overlays: bool = False
    uncertainty: bool = False
    probabilities: bool = False


def predict_folder(
    model: Path,
    images: Path,
    out: Path,
    *,
    extras: Extras | None = None,
    device: str = "cpu",
    batch_size: int = 1,
    overwrite: bool = False,
    progress: Progress = silent,
) -> int:
    """Segment every image of a folder (or one image) into indexed PNG masks of the images' own sizes.

    A rerun leaves out images whose mask is there, unless the image has changed since.

    Args:
        model: folder of a saved model, or a Hub id.
        images: a folder, or one image.
        out: gets ``STEM.png`` for each image, ``classes.json``, and what `extras` asks for in folders of their own.
        extras: more outputs.
        device: where to run.
        batch_size: see `Model.predict`.
        overwrite: replace a folder that is not empty.
        progress: told of each image.

    Returns:
        How many images were segmented by this run.

    Raises:
        InputError: no images, images that share a stem, an unreadable image, an output folder of something else, or
            one in which another run is at work.
    """
    extras = extras or Extras()
    spare_inputs(out, model, images)
    paths = list_images(images)
    report_other_files(images)
    require_distinct_stems(paths)
    folder = model_folder(model)
    predictor = load_model(folder, device=device)
    weights = folder / predictor.weights_file
    command = {"command": "predict", "model": stamps([weights]), "images": str(images), "extras": vars(extras)}
    with own_folder(out, command, overwrite):
        predictor.classes.to_json(out / "classes.json")
        return write_missing(predictor, paths, out, extras, batch_size, progress)


def write_missing(
    predictor: Model, paths: list[Path], out: Path, extras: Extras, batch_size: int, progress: Progress
) -> int:
    """Segment those of `paths` whose masks are not in `out` yet, each image decoded once; how many these were."""
    missing = [path for path in paths if not is_done(path, out / f"{path.stem}.png")]
    opened: list[tuple[Path, NDArray[np.uint8]]] = []
    found = predictor.predict(_remember(missing, opened), batch_size=batch_size)
    for number, prediction in enumerate(found, 1):
        path, image = opened.pop(0)
        write_extras(out, path.stem, image, prediction, predictor, extras)
        write_mask(out / f"{path.stem}.png", prediction.mask, predictor.classes)
        progress("predict", len(paths) - len(missing) + number, len(paths))
    return len(missing)


def is_done(image: Path, mask: Path) -> bool:
    """Whether an image's mask is there and was written after the image, or the image came to its place."""
    if not mask.is_file():
        return False
    image_status = image.stat()
    # A copy may keep the time at which its original was written.
    return mask.stat().st_mtime_ns >= max(image_status.st_mtime_ns, image_status.st_ctime_ns)


def _remember(paths: list[Path], opened: list[tuple[Path, NDArray[np.uint8]]]) -> Iterator[NDArray[np.uint8]]:
    """The images in order; each goes to `opened` too, until its prediction comes."""
    for path in paths:
        image = read_image(path)
        opened.append((path, image))
        yield image


def write_extras(
    out: Path, stem: str, image: NDArray[np.uint8], found: Prediction, predictor: Model, extras: Extras
) -> None:
    """The files that `extras` asks for; before the mask, whose presence and time mark an image as done."""
    from PIL import Image

    pictures: dict[str, NDArray[np.uint8]] = {}
    if extras.overlays:
        from frugalseg.report.pictures import overlay

        pictures["overlays"] = overlay(image, predictor.classes.to_positions(found.mask), predictor.classes)
    if extras.uncertainty:
        top = predictor.greatest_uncertainty
        pictures["uncertainty"] = (found.uncertainty / top * 255).round().clip(0, 255).astype(np.uint8)
    for folder, picture in pictures.items():
        with atomic_path(out / folder / f"{stem}.png") as path:
            Image.fromarray(picture).save(path)
    if extras.probabilities:
        with atomic_path(out / "probabilities" / f"{stem}.npy") as path:
            np.save(path, found.probabilities.astype(np.float16))
