"""A model from a data folder: checked first, estimated, fitted with everything resumable, saved whole."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from frugalseg.backbones import Backbone
from frugalseg.backbones.base import backbone_class
from frugalseg.backbones.registry import family_of_checkpoint
from frugalseg.data.check import Finding, check_folder
from frugalseg.data.datasets import targets_of
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.opened import KEPT, OpenedFolder
from frugalseg.jobs.choose import choice_settings, with_choice
from frugalseg.jobs.choose_taps import Reading, require_choice, with_taps
from frugalseg.jobs.estimate import Estimate, estimate_fit
from frugalseg.jobs.output import logged
from frugalseg.jobs.request import FitRequest, new_segmenter
from frugalseg.report.grid import save_grid
from frugalseg.segmenter import Segmenter, Settings
from frugalseg.selection.choice import Choice
from frugalseg.selection.cross_validation import CrossValidation, cross_validate, every_window
from frugalseg.selection.curves import require_learned
from frugalseg.selection.folds import splits_of
from frugalseg.selection.settings import AUTO
from frugalseg.selection.tap_choice import TapChoice
from frugalseg.support.errors import InputError
from frugalseg.support.files import write_json
from frugalseg.support.folders import require_new, spare_inputs
from frugalseg.support.marks import RECORD
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import Record, as_recorded, files_read, plain, stamps
from frugalseg.support.runs import FINISHED, alone, in_place, may_be_in_place, put_in_place, scratch, work_folder
from frugalseg.support.text import count

__all__ = ["FitRequest", "fit_folder"]

MODEL = "model"
"""The finished model among what is under way."""
SHOWN = 8
"""Images in the picture of `draw_again`."""


def fit_folder(
    request: FitRequest,
    out: Path,
    *,
    overwrite: bool = False,
    findings: Callable[[list[Finding]], None] = lambda _: None,
    planned: Callable[[Estimate], None] = lambda _: None,
    compared: Callable[[Choice | TapChoice], None] = lambda _: None,
    validated: Callable[[CrossValidation], None] = lambda _: None,
    progress: Progress = silent,
) -> Segmenter:
    """Fit a model and save it to `out`.

    What is under way lies in ``OUT.work`` beside the model: a rerun of the same request goes on from there, and the
    folder is removed once the model is saved. ``OUT/fit.log`` holds the log.

    Args:
        request: what to fit.
        out: folder of the model.
        overwrite: replace `out` if it holds something that frugalseg has written.
        findings: told what the check of the data folder found, once the network is loaded.
        planned: told what the fit will need, before it starts.
        compared: told which backbone or which of its taps were chosen, where the request leaves that open.
        validated: told how good the model can be expected to be, where the request asks for that.
        progress: told of each step.

    Raises:
        InputError: the data folder has errors, the backbone cannot be loaded, `out` is in the way or holds an
            input, or another run has the same `out`.
    """
    spare_inputs(out, request.data, *request.places)
    place, work = out.resolve(), work_folder(out)
    if not may_be_in_place(work):
        require_new(out, overwrite)
    settings = Settings.of(request.settings)  # before the network, which may have to be fetched
    # Before all images are read and checked: this finds wrong options.
    if request.family == AUTO:
        choice_settings(request)
    segmenter = None if request.family == AUTO else new_segmenter(request)
    require_comparable(request)
    require_choice(request, segmenter)
    opened = OpenedFolder.of(request.data, keep=KEPT, channels=request.channels)
    if segmenter is not None and opened.layout.origins is None:
        segmenter.require_reading()  # before all images are read and checked
    dataset = checked(opened, settings.small_region, findings)
    if segmenter is not None:
        segmenter.require_readable(dataset)
    if request.folds is not None:
        targets = list(targets_of(dataset))  # what cross-validation would refuse is refused before the work
        require_learned(targets, splits_of(targets, request.folds, settings.seed), settings.small_region)
    with with_choice(request, dataset, work, compared, progress) as (decided, choice, release):
        told = None if choice is None else asdict(choice)
        reading = Reading(decided, segmenter or new_segmenter(decided), told, release=release)
        with with_taps(reading, dataset, work, compared, progress) as read:
            return Fit(read, dataset, place, work).run(overwrite, planned, validated, progress)


def require_comparable(request: FitRequest) -> None:
    """`InputError` where a backbone is to be chosen among some that do not take the images, or not their channels."""
    if request.family == AUTO and request.checkpoint is not None:
        family = family_of_checkpoint(request.checkpoint)
        if not backbone_class(family).reads_images:
            raise InputError(
                f"--backbone auto compares networks that read images, and the {family} network reads none; "
                f"give --backbone {family}"
            )
    number = 3 if request.channels is None else len(request.channels.channels)
    if request.family == AUTO and number not in (1, 3):
        raise InputError(
            f"--backbone auto compares networks of 3 channels, not of {number}: choose 1 or 3 with --channels, "
            "or --backbone filters"
        )


@dataclass(frozen=True)
class Fit:
    """A fit whose data are checked and whose backbone is decided.

    Attributes:
        reading: what is fitted, and how it was chosen.
        dataset: the images.
        place: of the model.
        work: the scratch folder.
    """

    reading: Reading
    dataset: SegmentationFolder
    place: Path
    work: Path

    def run(
        self,
        overwrite: bool,
        planned: Callable[[Estimate], None],
        validated: Callable[[CrossValidation], None],
        progress: Progress,
    ) -> Segmenter:
        """The fitted model, which is in its place; see `fit_folder`."""
        request, segmenter, work = self.reading.request, self.reading.segmenter, self.work
        command = describe(request, segmenter.backbone, self.dataset, earlier(work))
        with alone(work):
            if not overwrite and in_place(work, MODEL, self.place, command, self.reading.release):
                return Segmenter.from_pretrained(self.place, device=request.device)
            require_new(self.place, overwrite)  # another run may have finished it meanwhile
            resumed = scratch(work, command)
            with logged(work / "fit.log") as log:
                log.info(
                    "%s %s: %s", "going on with" if resumed else "fitting", count(len(self.dataset), "image"), request
                )
                estimate = estimate_fit(segmenter, self.dataset)
                log.info("%s", estimate)
                planned(estimate)
                self.train(log, validated, progress)
            shutil.copyfile(work / "fit.log", work / MODEL / "fit.log")
            self.reading.release()
            put_in_place(work, MODEL, self.place)
        return segmenter

    def train(
        self,
        log: logging.Logger,
        validated: Callable[[CrossValidation], None],
        progress: Progress,
    ) -> None:
        """Fit the model and save it in the scratch folder, with what is known of it."""
        segmenter, model, told = self.reading.segmenter, self.work / MODEL, steady(progress, log)
        found, maps, folds = None, self.reading.extraction, self.reading.request.folds
        if folds is not None:
            maps = maps or every_window(segmenter, self.dataset, self.work / "folds")
            found = cross_validate(segmenter, self.dataset, folds, extraction=maps, progress=told)
            log.info("%s", found)
        # The record of `scratch` says already which network and images the work is of.
        segmenter.fit(self.dataset, work=self.work, made_from="", extraction=maps, progress=told)
        log.info("saving to %s", self.place)
        segmenter.save_pretrained(model)
        draw_again(segmenter, self.dataset, model)
        if self.reading.choice is not None:
            write_json(model / "choice.json", self.reading.choice)
        if found is not None:
            write_json(model / "cross_validation.json", found.to_json())
            validated(found)


def draw_again(segmenter: Segmenter, dataset: SegmentationFolder, folder: Path) -> None:
    """Save a picture of some images above what the network draws in their place to see them, for networks that do."""
    if not segmenter.looks_at(dataset):
        return
    # One after another, since most networks draw nothing and need not have them decoded.
    shown = (dataset[number].image for number in range(min(SHOWN, len(dataset))))
    found = segmenter.reconstructions(shown)
    if found is not None:
        save_grid(found, folder / "reconstructions.png")


def checked(opened: OpenedFolder, small_regions: int, findings: Callable[[list[Finding]], None]) -> SegmentationFolder:
    """The data folder, once the data doctor has seen no error in it."""
    found = check_folder(opened, small_regions=small_regions)
    findings(found)
    errors = [f for f in found if f.level == "error"]
    if errors:
        more = f" (and {count(len(errors) - 1, 'more error')}, listed above)" if len(errors) > 1 else ""
        raise InputError(f"{errors[0].where}: {errors[0].message}; {errors[0].remedy}{more}")
    return SegmentationFolder(opened)


def describe(request: FitRequest, backbone: Backbone, dataset: SegmentationFolder, record: Record) -> dict[str, Any]:
    """What the result of a fit depends on, as JSON values.

    Args:
        request: the fit.
        backbone: its network.
        dataset: its images.
        record: of an earlier run; versions up to 0.1.0 noted ``.safetensors`` alone of the folder of a checkpoint.
    """
    read = [path for place in request.places for path in files_read(place)]
    noted = [path for path in read if path.suffix == ".safetensors" or path in request.places]
    command: dict[str, Any] = {
        "command": "fit",
        "family": request.family,
        "checkpoint": request.checkpoint,
        "backbone": {**request.backbone, **backbone.config()},
        "settings": dict(request.settings),
        "classes": asdict(dataset.classes),
        "files": stamps([*dataset.files, *noted]),
        "checkpoint_files": stamps([path for path in read if path not in noted]),
    }
    if request.folds is not None:
        command["folds"] = request.folds
    if request.channels is not None:
        command["channels"] = asdict(request.channels)
    return plain(as_recorded(command, record, {"checkpoint_files"}))


def earlier(work: Path) -> Record:
    """The record of an earlier run in a scratch folder, if there was one: of what is under way, or was finished."""
    return Record(work / (RECORD if (work / RECORD).exists() else FINISHED))


def steady(progress: Progress, log: logging.Logger) -> Progress:
    """`progress` that also logs every tenth of a stage."""
    logged_tenths: set[tuple[str, int]] = set()

    def both(stage: str, done: int, total: int) -> None:
        progress(stage, done, total)
        tenth = (stage, 10 * done // max(1, total))
        if tenth not in logged_tenths:
            logged_tenths.add(tenth)
            log.info("%s %s of %s", stage, done, total)

    return both
