"""A model from a data folder: checked first, estimated, fitted with everything resumable, saved whole."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from frugalseg.backbones import Backbone, load_backbone
from frugalseg.data.check import Finding, check_folder
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.opened import KEPT, OpenedFolder
from frugalseg.jobs.estimate import Estimate, estimate_fit
from frugalseg.jobs.output import logged
from frugalseg.segmenter import Segmenter, Settings
from frugalseg.support.errors import InputError
from frugalseg.support.folders import require_new, spare_inputs
from frugalseg.support.marks import RECORD
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import Record, as_recorded, files_read, plain, stamps
from frugalseg.support.runs import FINISHED, alone, in_place, may_be_in_place, put_in_place, scratch, work_folder
from frugalseg.support.text import count

MODEL = "model"
"""The finished model among what is under way."""


@dataclass(frozen=True)
class FitRequest:
    """A call of `fit`.

    Attributes:
        data: the data folder.
        family: a backbone family.
        checkpoint: of the backbone, as its family defines.
        backbone: options of the backbone.
        settings: fields of `frugalseg.segmenter.Settings`.
        device: where to run.
    """

    data: Path
    family: str
    checkpoint: str | None
    backbone: Mapping[str, Any]
    settings: Mapping[str, Any]
    device: str = "cpu"


def fit_folder(
    request: FitRequest,
    out: Path,
    *,
    overwrite: bool = False,
    findings: Callable[[list[Finding]], None] = lambda _: None,
    planned: Callable[[Estimate], None] = lambda _: None,
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
        progress: told of each step.

    Raises:
        InputError: the data folder has errors, the backbone cannot be loaded, `out` is in the way or holds an
            input, or another run has the same `out`.
    """
    spare_inputs(out, request.data, request.checkpoint)
    place, work = out.resolve(), work_folder(out)
    if not may_be_in_place(work):
        require_new(out, overwrite)
    opened = OpenedFolder.of(request.data, keep=KEPT)
    Settings.of(request.settings)  # before the network, which may have to be fetched
    # Before all images are read and checked: this finds wrong options.
    backbone = load_backbone(request.family, request.checkpoint, **request.backbone)
    segmenter = Segmenter(backbone, device=request.device, **request.settings)
    dataset = checked(opened, segmenter.settings.small_region, findings)
    command = describe(request, backbone, dataset, earlier(work))
    with alone(work):
        if not overwrite and in_place(work, MODEL, place, command):
            return Segmenter.from_pretrained(place, device=request.device)
        require_new(out, overwrite)  # another run may have finished it meanwhile
        resumed = scratch(work, command)
        with logged(work / "fit.log") as log:
            log.info("%s %s images, %s", "going on with" if resumed else "fitting", len(dataset), request)
            estimate = estimate_fit(segmenter, dataset)
            log.info("%s", estimate)
            planned(estimate)
            # The record of `scratch` says already which network and images the work is of.
            segmenter.fit(dataset, work=work, made_from="", progress=steady(progress, log))
            log.info("saving to %s", place)
            segmenter.save_pretrained(work / MODEL)
        shutil.copyfile(work / "fit.log", work / MODEL / "fit.log")
        put_in_place(work, MODEL, place)
    return segmenter


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
    checkpoint = Path(request.checkpoint) if request.checkpoint else None
    read = files_read(checkpoint) if checkpoint is not None and checkpoint.exists() else []
    noted = [path for path in read if path.suffix == ".safetensors" or path == checkpoint]
    command = {
        "command": "fit",
        "family": request.family,
        "checkpoint": request.checkpoint,
        "backbone": {**request.backbone, **backbone.config()},
        "settings": dict(request.settings),
        "classes": asdict(dataset.classes),
        "files": stamps([*dataset.files, *noted]),
        "checkpoint_files": stamps([path for path in read if path not in noted]),
    }
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
