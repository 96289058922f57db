"""Masks for a folder of images: each written whole, in order, skipping those that an earlier run has written."""

import logging
import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from frugalseg.data.channels import require_stored
from frugalseg.data.image_folder import list_images, report_other_files, require_distinct_stems
from frugalseg.jobs.prediction_files import Extras, ImageFiles
from frugalseg.jobs.read_ahead import ReadAhead, State, state_of
from frugalseg.jobs.write_behind import WriteBehind
from frugalseg.model import Model, model_folder
from frugalseg.models import load_model
from frugalseg.support.errors import WorkError
from frugalseg.support.files import FileError, atomic_path, write_json
from frugalseg.support.folders import spare_inputs
from frugalseg.support.marks import RECORD
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import Record, understood
from frugalseg.support.runs import own_folder
from frugalseg.support.text import count, listing
from frugalseg.support.threads import side_threads

__all__ = ["Extras", "predict_folder"]

log = logging.getLogger(__name__)

FAILURES = "failures.txt"
"""In the folder of the masks: a line for each image that the last run could not read."""

SHOWN = 10
"""Of these, how many are shown on the screen."""

IMAGES = "images.json"
"""In the folder of the masks: the size and the times of the image that each mask is of, by its stem."""


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
        out: gets ``STEM.png`` for each image, ``classes.json``, `IMAGES`, and what `extras` asks for in folders of
            their own.
        extras: more outputs.
        device: where to run.
        batch_size: see `Model.predict`.
        strict: stop at the first image that cannot be read. A single image is always treated so.
        overwrite: replace `out` if it holds something that frugalseg has written.
        progress: told of each image, and of the windows or rows of a large one.

    Returns:
        How many images were segmented by this run.

    Raises:
        InputError: no images, images that share a stem, or whose stems are one for the disk of `out`, an output folder
            of something else, one in which another run is at work, a model that reads no images or was fitted on other
            channels than an image has, or with `strict` an image that cannot be read.
        WorkError: some images could not be read; all others are done.
    """
    extras = extras or Extras()
    spare_inputs(out, model, images)
    folder = model_folder(model)  # first, for model and images are easily exchanged
    paths = list_images(images)
    require_distinct_stems(paths)
    require_masks_apart(paths, out)
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
        states = noted_states(paths, out)
        number, failures = write_missing(predictor, states, paths, out, extras, batch_size, strict, progress)
        report_masks_without_image(out, images, paths)
        report_failures(out, failures, len(paths))
    return number


def require_masks_apart(paths: Sequence[Path], out: Path) -> None:
    """`FileError` where the disk of `out` takes the masks of two images for one file, as those of A.jpg and a.png.

    Whether a disk tells upper from lower case, and the forms of accented letters from each other, is tried on it.
    """
    alike: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        alike[unicodedata.normalize("NFD", unicodedata.normalize("NFD", path.stem).casefold())].append(path)
    groups = [group for group in alike.values() if len(group) > 1]
    if not groups:
        return
    place = next(each for each in (out.absolute(), *out.absolute().parents) if each.is_dir())
    with TemporaryDirectory(dir=place) as trial:
        met = ["/".join(path.name for path in group) for group in groups if share_a_file(group, Path(trial))]
    if met:
        message = f"images whose masks would be one file on the disk of {out}: {listing(met)}"
        raise FileError(paths[0].parent, message, "rename or remove one of each, or choose a folder on another disk")


def share_a_file(paths: Sequence[Path], folder: Path) -> bool:
    """Whether the masks of two of these images are one file in a folder, which is left with empty ones."""
    try:
        for path in paths:
            ImageFiles(folder, path.stem).mask.touch(exist_ok=False)
    except FileExistsError:
        return True
    return False


def noted_states(paths: Sequence[Path], out: Path) -> dict[str, State]:
    """What the images are now, by their stems, which is noted in `out`; masks of what was noted otherwise become old.

    Times alone do not tell: in a folder that was renamed to the place of another one, images are older than the masks
    of those that were there. Earlier versions noted nothing, and their masks are judged by times alone.

    Raises:
        DamagedError: what an earlier run has noted was damaged or changed.
    """
    place = out / IMAGES
    before = understood(place, dict) if place.is_file() else {}
    states = {path.stem: state_of(path) for path in paths}
    now = {stem: " ".join(map(str, state or ())) for stem, state in states.items()}
    for stem, words in now.items():
        mask = ImageFiles(out, stem).mask
        if before.get(stem, words) != words and mask.exists():
            os.utime(mask, ns=(0, 0))  # older than the image, also for a run after this one is killed
    write_json(place, {**before, **now})  # with images that are gone, for their masks stay
    return states


def write_missing(
    predictor: Model,
    states: Mapping[str, State],
    paths: Sequence[Path],
    out: Path,
    extras: Extras,
    batch_size: int,
    strict: bool,
    progress: Progress,
) -> tuple[int, list[FileError]]:
    """Segment those of `paths` whose masks are not in `out` yet, each image decoded once.

    Images are decoded before their turn, and files encoded after it, in threads; whatever is written is written here.

    Args:
        predictor: the model.
        states: see `noted_states`.
        paths, out, extras, batch_size, strict, progress: see `predict_folder`.

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
            source = replace(source, state=states[source.path.stem])  # as noted: it may have changed before its turn
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
