"""An exploration in its output folder: checked first, announced, resumable, and written as tables and a page."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frugalseg.data.chain import Chain
from frugalseg.data.check import Finding
from frugalseg.data.classes import ClassTable
from frugalseg.data.datasets import targets_of
from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.data.layout import classes_file
from frugalseg.data.opened import KEPT, OpenedFolder
from frugalseg.features.map_store import stored_bytes
from frugalseg.jobs.explore.ground import Ground
from frugalseg.jobs.explore.models import Found, ModelStudies
from frugalseg.jobs.explore.page import ExplorationPage, curve_text
from frugalseg.jobs.explore.request import ExploreRequest, require_apart
from frugalseg.jobs.explore.sources import open_sources, with_sources
from frugalseg.jobs.explore.tables import write_tables
from frugalseg.jobs.explore.taps import TapScore, TapSweep
from frugalseg.jobs.fit import checked, steady
from frugalseg.jobs.output import logged
from frugalseg.jobs.request import new_segmenter
from frugalseg.report.page import per_cent
from frugalseg.segmenter import Segmenter, Settings
from frugalseg.selection.curves import require_learned
from frugalseg.selection.folds import Split, labelled, splits_of
from frugalseg.selection.settings import AUTO
from frugalseg.support.errors import InputError
from frugalseg.support.folders import require_new, spare_inputs
from frugalseg.support.marks import RECORD
from frugalseg.support.progress import Progress, line, silent
from frugalseg.support.records import Record, as_recorded, files_read, plain, stamps
from frugalseg.support.runs import own_folder, require_ready
from frugalseg.support.text import count, listed, size_text, time_text

BEST = 5
"""Taps that are told of in the end."""
KEPT_SHARE = 0.8
LATER = {"tables", "own"}
"""What records of earlier versions do not say."""


@dataclass(frozen=True)
class Exploration:
    """What was found out.

    Attributes:
        taps: the score of each tap.
        found: the rest.
        page: that shows it.
    """

    taps: list[TapScore]
    found: Found
    page: Path

    def summary(self) -> list[str]:
        """The findings, a line each."""
        ranked, found, said = sorted(self.taps, key=lambda score: -score.miou)[:BEST], self.found, []
        said += [f"{score.tap.name}: mIoU {100 * score.miou:.1f}{interval_text(score)}" for score in ranked]
        for what, points in (("annotated images", found.images), ("members", found.members)):
            said += [] if points is None else [f"mIoU by the number of {what}: {curve_text(points)}"]
        if found.uncertainty is not None:
            risk = found.uncertainty.risk
            said.append(
                f"wrong pixels: {100 * risk.error:.1f} %; {100 * float(risk.risk(KEPT_SHARE)):.1f} % among the "
                f"{100 * KEPT_SHARE:.0f} % most certain"
            )
        if found.corruptions is not None:
            means = [float(np.mean(each)) for each in (found.corruptions.table, found.corruptions.drops)]
            said.append(
                f"corrupted images: mIoU {100 * means[0]:.1f} on average, {100 * found.corruptions.clean:.1f} without "
                f"corruption; a relative drop of {per_cent(means[1])} %"
            )
        if found.source is not None:
            said.append(f"mIoU by training source: {', '.join(map(str, found.source))}")
        return said


def interval_text(score: TapScore) -> str:
    """The interval of a score in brackets, where there is one."""
    return "" if np.isnan(score.low) else f" (95 % interval {100 * score.low:.1f} to {100 * score.high:.1f})"


def explore_folder(
    request: ExploreRequest,
    out: Path,
    *,
    overwrite: bool = False,
    findings: Callable[[list[Finding]], None] = lambda _: None,
    progress: Progress = silent,
) -> Exploration:
    """Explore features and models on annotated images.

    What is finished lies in ``OUT/scores`` and ``OUT/pictures``; a rerun of the same request goes on from there, and
    ends with the same figures. Feature maps lie in ``OUT/maps`` while they are needed.

    Args:
        request: what to explore.
        out: gets ``index.html``, ``plots``, a CSV file for each subject, and ``explore.log``.
        overwrite: replace `out` if it holds something that frugalseg has written.
        findings: told what the check of the data folder found.
        progress: told of each step.

    Raises:
        InputError: the data folder has errors, the backbone cannot be loaded, too few images, an unknown tap, or
            another run is at work in `out`.
    """
    fit = request.fit
    if fit.family == AUTO:
        raise InputError("--backbone auto: name one backbone to explore")
    spare_inputs(out, fit.data, request.test, *request.sources.values(), *fit.places)
    if not (out / RECORD).is_file():
        require_new(out, overwrite)  # before the network, which may have to be fetched
    settings = Settings.of(fit.settings)
    segmenter = new_segmenter(fit)
    opened = OpenedFolder.of(fit.data, keep=KEPT, channels=fit.channels)
    if opened.layout.origins is None:
        segmenter.require_reading()  # before all images are read and checked
    train = checked(opened, settings.small_region, findings)
    test = folder_to_test(request, train, progress)
    ground = ground_of(request, segmenter, train, test, out, steady(progress, logging.getLogger("frugalseg")))
    name = fit.data.name or fit.data.resolve().name  # "." has none
    sources = open_sources(request.sources, train, test, name, progress) if request.sources and test else {}
    sweep = TapSweep(ground)
    studies = ModelStudies(with_sources(ground, sources, train) if sources else ground)
    others = [each for each in [*([test] if test else []), *sources.values()] if each is not train]
    own = [each for each in request.sources if sources[each] is train]
    command = describe(request, segmenter, train, others, own)
    if not overwrite:
        command = as_recorded(command, Record(out / RECORD), LATER)
    require_ready(out, command, overwrite)
    with own_folder(out, command, overwrite) as resumed, logged(out / "explore.log") as log:
        log.info("%s: %s", "going on" if resumed else "exploring", request)
        announced = announcement(studies.ground, sweep, studies)
        log.info("%s", announced)
        line(progress, announced)
        if request.unused:
            line(progress, f"without effect here: {listed(request.unused)}")
        taps, found = sweep.run(), studies.run()
        write_tables(out, taps, found, ground.classes)
        page = ExplorationPage(ground, f"{fit.family} on {name}").save(sweep, studies, taps, found)
        shutil.rmtree(out / "maps", ignore_errors=True)
    return Exploration(taps, found, page)


def folder_to_test(request: ExploreRequest, train: SegmentationFolder, progress: Progress) -> SegmentationFolder | None:
    """The images to test on, in the classes and channels of those to learn from."""
    if request.test is None:
        return None
    opened = OpenedFolder.of(request.test, keep=KEPT, channels=train.channels)
    # The folders that were named may stand for others, such as a folder for the train/ in it.
    require_apart(request.test, train.path, opened.layout.path)
    found = SegmentationFolder(opened, train.classes)
    check_annotated(found, progress)
    return found


def ground_of(
    request: ExploreRequest,
    segmenter: Segmenter,
    train: SegmentationFolder,
    test: SegmentationFolder | None,
    out: Path,
    progress: Progress,
) -> Ground:
    """What the explorations stand on; raises `InputError` for too few images, or too small regions in them."""
    dataset = train if test is None else Chain(train, test)
    segmenter.require_readable(dataset)
    targets = list(targets_of(dataset))
    if not request.explore.trains:
        splits = []
    elif test is None:
        splits = splits_of(targets, request.explore.folds, request.explore.seed)
    else:
        splits = [Split(tuple(range(len(train))), tuple(labelled(targets, range(len(train), len(targets)))))]
    require_learned(targets, splits, segmenter.settings.small_region)
    return Ground(
        backbone=segmenter.backbone,
        given=request.given,
        settings=request.explore,
        model={**request.fit.settings, "seed": request.explore.seed},
        device=request.fit.device,
        dataset=dataset,
        annotated=len(train),
        targets=targets,
        splits=splits,
        classes=train.classes,
        out=out,
        progress=progress,
    )


def announcement(ground: Ground, sweep: TapSweep, studies: ModelStudies) -> str:
    """What the exploration will take."""
    networks = [window.network for size in ground.sizes for window in ground.segmenter().windows(size)]
    readings = [*(part for part in sweep.parts if sweep.taps or sweep.pictures.taps)]
    readings += [ground.backbone] if studies.subjects else []
    stored = max(stored_bytes(each.taps, networks, each.map_sizes) for each in readings)
    seconds = studies.seconds() + (sweep.seconds() if sweep.taps or sweep.pictures.taps else 0.0)
    taps = [f"{count(len(sweep.taps), 'tap')} alone"] if sweep.taps else []
    what = listed([*taps, *(name for name in ground.settings.what if name != "taps")])
    return (
        f"{what}; {count(len(ground.sizes), 'image')}: about {time_text(seconds)} on two CPU cores with nothing else "
        f"to do, and up to {size_text(stored)} of disk for the maps; what an earlier run has finished takes no time"
    )


def describe(
    request: ExploreRequest,
    segmenter: Segmenter,
    train: SegmentationFolder,
    others: Sequence[SegmentationFolder],
    own: Sequence[str],
) -> dict[str, Any]:
    """What an exploration depends on, as JSON values.

    Args:
        request: the exploration.
        segmenter: its model.
        train: the annotated images.
        others: the folders beside that of the annotated images.
        own: names of sources that are the annotated images themselves.
    """
    fit = request.fit
    read = [path for place in fit.places for path in files_read(place)]
    files = [*train.files, *(file for each in others for file in each.files), *read]
    tables = [classes_file(each.path) for each in others]
    sources = {"sources": list(request.sources)} if request.sources else {}  # earlier versions had none
    sources |= {"own": list(own)} if own else {}
    return plain(
        {
            **sources,
            "command": "explore",
            "family": fit.family,
            "checkpoint": fit.checkpoint,
            "backbone": {**fit.backbone, **segmenter.backbone.config()},
            "settings": dict(fit.settings),
            "explore": request.explore.recorded(),
            "classes": asdict(train.classes),
            "channels": None if fit.channels is None else asdict(fit.channels),
            "files": stamps(files),
            "tables": [None if place is None else asdict(ClassTable.from_json(place)) for place in tables],
        }
    )
