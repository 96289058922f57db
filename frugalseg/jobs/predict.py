"""Masks for a folder of images: each written whole, in order, skipping those that an earlier run has written."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from frugalseg.data.channels import require_stored
from frugalseg.data.images import list_images, report_other_files, require_distinct_stems
from frugalseg.jobs.prediction_files import Extras, ImageFiles
from frugalseg.jobs.read_ahead import ReadAhead
from frugalseg.jobs.write_behind import WriteBehind
from frugalseg.model import Model, model_folder
from frugalseg.models import load_model
from frugalseg.support.errors import WorkError
from frugalseg.support.files import FileError, atomic_path
from frugalseg.support.folders import spare_inputs
from frugalseg.support.marks import RECORD
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import Record
from frugalseg.support.runs import own_folder
from frugalseg.support.text import count, listing
from frugalseg.support.threads import side_threads

__all__ = ["Extras", "predict_folder"]

log = logging.getLogger(__name__)

FAILURES = "failures.txt"
"""In the folder of the masks: a line for each image that the last run could not read."""

SHOWN = 10
"""Of these, how many are shown on the screen."""


def predict_folder(
    model: Path,
    images: Path,
    out: Path,
    *,
    extras: Extras | None = None,
    device: str = "cpu",
    batch_size: int = 1,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> int:
    """Segment every image of a folder (or one image) into indexed PNG masks of the images' own sizes.

    A rerun leaves out images whose mask is there and whole, unless the image has changed since. Images that cannot be
    read are left out and listed in ``failures.txt`` once all others are done; a rerun tries them again.

    Args:
        model: folder of a saved model, or a Hub id.
        images: a folder, or one image.
        out: gets ``STEM.png`` for each image, ``classes.json``, and what `extras` asks for in folders of their own.
        extras: more outputs.
        device: where to run.
        batch_size: see `Model.predict`.
        strict: stop at the first image that cannot be read. A single image is always treated so.
        overwrite: replace `out` if it holds something that frugalseg has written.
        progress: told of each image, and of the windows or rows of a large one.

    Returns:
        How many images were segmented by this run.

    Raises:
        InputError: no images, images that share a stem, an output folder of something else, one in which another run
            is at work, a model that reads no images or was fitted on other channels than an image has, or with `strict`
            an image that cannot be read.
        WorkError: some images could not be read; all others are done.
    """
    extras = extras or Extras()
    spare_inputs(out, model, images)
    folder = model_folder(model)  # first, for model and images are easily exchanged
    paths = list_images(images)
    require_distinct_stems(paths)
    predictor = load_model(folder, device=device)
    report_other_files(images)
    predictor.require_reading()
    require_stored(paths, predictor.channels)
    command = {
        "command": "predict",
        **predictor.stamps(folder, Record(out / RECORD)),
        "images": str(images),
        "extras": vars(extras),
    }
    with own_folder(out, command, overwrite):
        predictor.classes.to_json(out / "classes.json")
        strict = strict or images.is_file()
        number, failures = write_missing(predictor, paths, out, extras, batch_size, strict, progress)
        report_masks_without_image(out, images, paths)
        report_failures(out, failures, len(paths))
    return number


def write_missing(
    predictor: Model,
    paths: Sequence[Path],
    out: Path,
    extras: Extras,
    batch_size: int,
    strict: bool,
    progress: Progress,
) -> tuple[int, list[FileError]]:
    """Segment those of `paths` whose masks are not in `out` yet, each image decoded once.

    Images are decoded before their turn, and files encoded after it, in threads; whatever is written is written here.

    Returns:
        How many these were, and what is wrong with each that could not be read.
    """
    missing = [path for path in paths if not ImageFiles(out, path.stem).done(path, extras)]
    there, number, threads = len(paths) - len(missing), 0, side_threads()
    with (
        ReadAhead(missing, threads, batch_size, strict=strict, channels=predictor.channels) as read,
        WriteBehind(threads, batch_size) as written,
    ):
        every = predictor.predict_rows(read.images(), batch_size=batch_size, wanted=extras.wanted, progress=progress)
        for rows in every:
            source, image = read.next_one()
            files = ImageFiles(out, source.path.stem)
            found = files.collect(rows, image, predictor, extras)
            written.put(partial(files.encoded, found, image, predictor, extras), source)
            number += 1
            progress("predict", there + number + len(read.failures), len(paths))
    if read.failures:
        progress("predict", len(paths), len(paths))
    return number, read.failures


def report_masks_without_image(out: Path, images: Path, paths: Sequence[Path]) -> None:
    """Log which masks are of images that have been removed since; they may be wanted, so they stay."""
    stems = {path.stem for path in paths}
    found = sorted(path.name for path in out.glob("*.png") if path.stem not in stems and not path.name.startswith("."))
    if found:
        which = f"{count(len(found), 'mask')} of an earlier run whose image is no longer in {images}"
        log.warning("%s: %s: %s; delete what is not wanted", out, which, listing(found))


def report_failures(out: Path, failures: Sequence[FileError], images: int) -> None:
    """Write ``failures.txt`` in the place of that of an earlier run, and raise `WorkError` where there are any."""
    place = out / FAILURES
    if not failures:
        place.unlink(missing_ok=True)
        return
    with atomic_path(place) as path:
        path.write_text("".join(f"{failure}\n" for failure in failures), encoding="utf-8")
    for failure in failures[:SHOWN]:
        log.warning("%s", failure)
    raise WorkError(
        f"{len(failures)} of {count(images, 'image')} could not be read, the others are done; {place} lists them all; "
        "mend or remove them and run the same command again"
    )
