"""What `distill` leaves of a trained student: its folder, how it was trained, its test, its ONNX file."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from frugalseg.data.folder import SegmentationFolder
from frugalseg.jobs.distill.material import Material
from frugalseg.jobs.distill.request import DistillRequest
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.students.student import Student
from frugalseg.students.training import Trained
from frugalseg.support.errors import InputError, WorkError
from frugalseg.support.files import write_json
from frugalseg.support.progress import Progress

log = logging.getLogger(__name__)


def write_student(
    request: DistillRequest, material: Material, trained: Trained, folder: Path, progress: Progress
) -> Evaluation | None:
    """The student's folder: weights, how it was trained, its test."""
    trained.student.save_pretrained(folder)
    write_json(folder / "training.json", training_record(request, material, trained))
    return (
        None if material.test is None else evaluate_student(request, trained.student, material.test, folder, progress)
    )


def write_onnx(student: Student, folder: Path) -> Exception | None:
    """Write the student's ONNX file; what is wrong with that is returned, for the student is as good without it."""
    from frugalseg.students.onnx_export import export_onnx

    try:
        difference = export_onnx(student, folder / "student.onnx")
    except (WorkError, InputError) as error:
        log.error("no student.onnx: %s", error)
        return error
    log.info("student.onnx: probabilities as torch's within %.2g", difference)
    return None


def evaluate_student(
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
