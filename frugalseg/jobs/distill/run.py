"""The run of `distill`: checked, trained with a state to go on from, put in its place when it is whole."""

import logging
import shutil
from pathlib import Path

from frugalseg.jobs.distill.material import Material, describe, gathered
from frugalseg.jobs.distill.request import DistillRequest
from frugalseg.jobs.distill.result import write_onnx, write_student
from frugalseg.jobs.output import logged
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.students.settings import Schedule
from frugalseg.students.training import prepared, train_student
from frugalseg.support.errors import WorkError
from frugalseg.support.folders import require_new, spare_inputs
from frugalseg.support.progress import Progress, silent
from frugalseg.support.runs import alone, changed, in_place, may_be_in_place, put_in_place, scratch, work_folder

log = logging.getLogger(__name__)

STUDENT = "student"
"""The finished student among what is under way."""


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
        overwrite: replace `out` if it holds something that frugalseg has written.
        progress: told of each step and image.

    Returns:
        What the student can do on the test images; None without them, and where an earlier run has finished but for
        tidying up.

    Raises:
        InputError: something is missing or wrong, found before the training; `out` is in the way, or holds an input;
            or another run has the same `out`.
        WorkError: the training failed; or the student is in `out`, but without its ONNX file.
    """
    spare_inputs(out, request.samples, request.validation, request.test)
    place, work = out.resolve(), work_folder(out)
    if not may_be_in_place(work):
        require_new(out, overwrite)
    material = gathered(request, progress)
    check_network(request, material)
    with alone(work):
        if not overwrite and in_place(work, STUDENT, place, describe(request, material)):
            return None
        require_new(out, overwrite)  # another run may have finished it meanwhile
        result, failure = carried_out(request, material, work, progress)
        require_new(out, overwrite)
        copy_logs(work, work / STUDENT)
        put_in_place(work, STUDENT, place)
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
        folder = work / STUDENT
        result = write_student(request, material, trained, folder, progress)
        return result, write_onnx(trained.student, folder) if request.onnx else None


def check_network(request: DistillRequest, material: Material) -> None:
    """Build the network, and export it where that is asked for, before the long work."""
    settings, network = prepared(material.samples, material.classes, request.settings, request.device)
    steps = Schedule.of(settings, len(material.samples)).steps
    log.info("%s with encoder %s at %s, %s steps", settings.architecture, settings.encoder, settings.size, steps)
    if request.onnx:
        from frugalseg.students.onnx_export import require_exportable

        require_exportable(network, material.classes, settings)


def copy_logs(work: Path, student: Path) -> None:
    """Give the finished student the logs of its training.

    Copies: killed before the student has its place, a rerun finds everything where it was.
    """
    shutil.copytree(work / "training" / "tensorboard", student / "tensorboard")
    shutil.copyfile(work / "distill.log", student / "distill.log")
