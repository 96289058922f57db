"""A student from labelled samples: everything checked first, trained with a state to go on from, tested once, saved."""

import json
import logging
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.data.formats import find_layout
from frugalseg.jobs.output import alone, changed, empty, fingerprint, logged, require_new, scratch, spare_inputs
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.students.settings import PROTOCOLS, Schedule, StudentSettings
from frugalseg.students.student import Student
from frugalseg.students.training import Trained, chosen_precision, prepared, train_student
from frugalseg.support.errors import InputError, WorkError
from frugalseg.support.files import write_json
from frugalseg.support.progress import Progress, silent
from frugalseg.synthetic.filter import PUBLISHED_STRAY, keep_certain
from frugalseg.synthetic.reader import SyntheticSet
from frugalseg.synthetic.record import RECORD as SYNTHETIC_RECORD
from frugalseg.synthetic.record import SetRecord
from frugalseg.synthetic.shards import find_index

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DistillRequest:
    """A call of `distill`.

    Attributes:
        samples: what `generate` wrote, a published ``.npz``, or a data folder of annotated images.
        validation: data folder that chooses the best round.
        test: data folder that the finished student is evaluated on, once; None leaves that out.
        settings: of the student.
        drop: share of the samples, the most uncertain, to leave out; a data folder has no uncertainties and keeps all.
        published_filter: drop as the published code does, see `frugalseg.synthetic.filter.PUBLISHED_STRAY`.
        onnx: also write ``student.onnx``.
        device: where to run. It chooses the precision where `settings` leave that open; a training that is under way
            goes on elsewhere in the same precision alone.
        workers: processes that read samples.
    """

    samples: Path
    validation: Path
    test: Path | None = None
    settings: StudentSettings = field(default_factory=lambda: PROTOCOLS["default"])
    drop: float = 0.1
    published_filter: bool = False
    onnx: bool = False
    device: str = "cpu"
    workers: int = 0


@dataclass(frozen=True, eq=False)
class Material:
    """Everything a student meets, in one table's class positions.

    Attributes:
        samples: to learn from, filtered.
        found: how many there were before.
        validation: images that choose the best round.
        test: images for the end, if any.
        classes: the table.
    """

    samples: SyntheticSet | SegmentationFolder
    found: int
    validation: SegmentationFolder
    test: SegmentationFolder | None
    classes: ClassTable


def distill_folder(
    request: DistillRequest, out: Path, *, overwrite: bool = False, progress: Progress = silent
) -> Evaluation | None:
    """Train a student and save it to `out`.

    What is under way lies in ``OUT.work``: a rerun of a request for the same training goes on from there. `out` then
    appears whole: the student, ``training.json`` (settings and rounds), ``distill.log``, ``tensorboard/``, with test
    images ``metrics.json`` and ``index.html``, and ``student.onnx`` where it is asked for.

    Args:
        request: what to train.
        out: folder of the student.
        overwrite: replace `out` if it exists.
        progress: told of each step and image.

    Returns:
        What the student can do on the test images; None without them.

    Raises:
        InputError: something is missing or wrong, found before the training; `out` is in the way, or holds an input;
            or another run has the same `out`.
        WorkError: the training failed; or the student is in `out`, but without its ONNX file.
    """
    spare_inputs(out, request.samples, request.validation, request.test)
    require_new(out, overwrite)
    material = gathered(request, progress)
    check_network(request, material)
    place = out.resolve()  # "." has no name
    work = place.with_name(place.name + ".work")
    with alone(work):
        require_new(out, overwrite)  # another run may have finished it meanwhile
        result, failure = carried_out(request, material, work, progress)
        require_new(out, overwrite)
        finish(work, place)
    if failure is not None:
        raise WorkError(f"{out}: the student is whole, but has no student.onnx: {failure}") from failure
    return result


def carried_out(
    request: DistillRequest, material: Material, work: Path, progress: Progress
) -> tuple[Evaluation | None, Exception | None]:
    """Train a student, or go on with that, and write its folder and its log in `work`.

    Returns:
        What the student can do on the test images, and why it could not be exported; None where neither applies.

    Raises:
        InputError: `work` holds something of the user's, or a state that cannot be read.
        WorkError: the loss is no longer finite.
    """
    command = describe(request, material)
    change = changed(work, command)
    resumed = scratch(work, command)
    with logged(work / "distill.log") as logger:
        anew = f"beginning anew, for this changed: {change};" if change else "beginning"
        logger.info("%s %s", "going on with" if resumed else anew, request)
        logger.info("%s of %s samples stay, drop %s", len(material.samples), material.found, request.drop)
        trained = train_student(
            material.samples,
            material.validation,
            material.classes,
            request.settings,
            work=work / "training",
            device=request.device,
            workers=request.workers,
            progress=progress,
        )
        logger.info("best round: step %s, validation mIoU %.4f", trained.best.step, trained.best.miou)
        folder = work / "student"
        result = written(request, material, trained, folder, progress)
        return result, exported(trained.student, folder) if request.onnx else None


def gathered(request: DistillRequest, progress: Progress) -> Material:
    """All images of a request, each validation and test mask read once.

    Raises:
        InputError: a folder or file is missing or wrong, classes differ, or the filter leaves nothing.
    """
    samples, table_of = open_samples(request)
    classes = samples.classes
    require_same_classes(request.samples if table_of is None else table_of, classes, request.validation)
    validation = SegmentationFolder(request.validation, classes)
    check_annotated(validation, progress)
    test = None
    if request.test is not None:
        require_same_classes(request.samples, classes, request.test)
        test = SegmentationFolder(request.test, classes)
        check_annotated(test, progress)
    if isinstance(samples, SegmentationFolder):
        return Material(samples, len(samples), validation, test, classes)
    stray = PUBLISHED_STRAY if request.published_filter else 0
    kept = keep_certain(samples.uncertainties, request.drop, stray=stray)
    return Material(samples.subset(kept), len(samples), validation, test, classes)


def open_samples(request: DistillRequest) -> tuple[SyntheticSet | SegmentationFolder, Path | None]:
    """The samples, and whose class table they have where it is not their own: a published ``.npz`` knows ids alone."""
    path = request.samples
    if path.is_dir() and not (path / SYNTHETIC_RECORD).is_file():
        return SegmentationFolder(path), None
    if path.is_dir() or path.with_name("classes.json").is_file():
        return SyntheticSet(path), None
    if not path.is_file():
        raise InputError(f"{path}: no such folder or file; give what generate wrote, an .npz, or a data folder")
    layout = find_layout(request.validation)
    if layout.by_name and layout.classes is None:
        raise InputError(f"{path}: nothing says which class each of its numbers is; put a classes.json beside it")
    return SyntheticSet(path, SegmentationFolder(request.validation).classes), request.validation


def require_same_classes(source: Path, classes: ClassTable, data: Path) -> None:
    """`InputError` where a data folder has a table of its own that names other classes than the samples'."""
    layout = find_layout(data)
    file = layout.classes
    if file is None or layout.by_name:
        return  # what the samples do not have is found as the annotations are read
    own = ClassTable.from_json(file)
    theirs, ours = (dict(zip(table.ids, table.names, strict=True)) for table in (own, classes))
    different = sorted(i for i in theirs.keys() | ours.keys() if theirs.get(i) != ours.get(i))
    if different:
        i = different[0]
        raise InputError(
            f"{file}: class {i} is {theirs.get(i, 'missing')!r} there, {ours.get(i, 'missing')!r} in {source}; "
            "give data with the classes of the samples"
        )


def check_network(request: DistillRequest, material: Material) -> None:
    """Build the network, and export it where that is asked for, before the long work."""
    settings, network = prepared(material.samples, material.classes, request.settings, request.device)
    steps = Schedule.of(settings, len(material.samples)).steps
    log.info("%s with encoder %s at %s, %s steps", settings.architecture, settings.encoder, settings.size, steps)
    if request.onnx:
        from frugalseg.students.onnx_export import require_exportable

        require_exportable(network, material.classes, settings)


def describe(request: DistillRequest, material: Material) -> dict[str, Any]:
    """What the training depends on, as JSON values: whatever else is asked for does not begin it anew.

    The device counts only where it chooses the precision.
    """
    settings = replace(request.settings, precision=chosen_precision(request.settings, request.device))
    command = {
        "command": "distill",
        "settings": asdict(settings),
        "drop": request.drop,
        "published_filter": request.published_filter,
        "classes": asdict(material.classes),
        "samples": contents(material.samples),
        "validation images": contents(material.validation),
    }
    result: dict[str, Any] = json.loads(json.dumps(command))
    return result


def contents(data: SyntheticSet | SegmentationFolder) -> list[Any]:
    """What tells whether a rerun sees the same samples: checksums where there are some, times of change elsewhere."""
    if isinstance(data, SegmentationFolder):
        return fingerprint(data.files)
    if data.path.is_file():
        return fingerprint([data.path])
    shards = range(SetRecord.read(data.path).shards)
    indexes = (find_index(data.path, number, thorough=False) for number in shards)
    return [index and index.sha256 for index in indexes]


def written(
    request: DistillRequest, material: Material, trained: Trained, folder: Path, progress: Progress
) -> Evaluation | None:
    """The student's folder: weights, how it was trained, its test."""
    trained.student.save_pretrained(folder)
    write_json(folder / "training.json", training_record(request, material, trained))
    return None if material.test is None else tested(request, trained.student, material.test, folder, progress)


def exported(student: Student, folder: Path) -> Exception | None:
    """Write the student's ONNX file; what is wrong with that is returned, for the student is as good without it."""
    from frugalseg.students.onnx_export import export_onnx

    try:
        difference = export_onnx(student, folder / "student.onnx")
    except (WorkError, InputError) as error:
        log.error("no student.onnx: %s", error)
        return error
    log.info("student.onnx: probabilities as torch's within %.2g", difference)
    return None


def tested(
    request: DistillRequest, student: Student, test: SegmentationFolder, folder: Path, progress: Progress
) -> Evaluation:
    """The one evaluation on the test images, with its page."""
    from frugalseg.report.evaluation_page import Gallery, evaluation_page

    gallery = Gallery(student.classes)
    batch_size = request.settings.batch_size if student.device.type == "cuda" else 1
    evaluation = student.evaluate(test, batch_size=batch_size, see=gallery.see, progress=progress)
    log.info("test mIoU %.4f", evaluation.confusion.miou())
    write_json(folder / "metrics.json", evaluation.metrics())
    evaluation_page(evaluation, gallery, title=f"Student on {test.path.name}").save(folder / "index.html")
    return evaluation


def training_record(request: DistillRequest, material: Material, trained: Trained) -> dict[str, Any]:
    """What ``training.json`` holds."""
    rounds = [{**vars(each), "miou": None if np.isnan(each.miou) else each.miou} for each in trained.rounds]
    return {
        "samples": str(request.samples),
        "found": material.found,
        "kept": len(material.samples),
        "drop": request.drop,
        "settings": asdict(trained.settings),
        "rounds": rounds,
        "best_step": trained.best.step,
    }


def finish(work: Path, out: Path) -> None:
    """Put the finished folder into its place, with copies of the logs, and remove what was under way."""
    # Copies: killed before the student has its place, a rerun finds everything where it was.
    shutil.copytree(work / "training" / "tensorboard", work / "student" / "tensorboard")
    shutil.copyfile(work / "distill.log", work / "student" / "distill.log")
    shutil.rmtree(out, ignore_errors=True)
    (work / "student").rename(out)
    empty(work)
