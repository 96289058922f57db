"""A student against the classifier that taught it: seconds an image and peak memory, same images, same process.

The classifier is the DDPM of the published LSUN-256 layout with its ensemble of ten (weights by a fixed rule); the
student is any network of segmentation-models-pytorch. Weights do not matter for either.
"""

import argparse
import resource
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import (
    LSUN_CLASSES,
    begin,
    fastest,
    lsun_backbone,
    parser,
    report,
    trained_looking,
)
from frugalseg.data.classes import ClassTable
from frugalseg.model import Model
from frugalseg.segmenter import Segmenter
from frugalseg.students.network import NetworkSpec, chosen_depth, new_network
from frugalseg.students.student import Student, View
from frugalseg.support.precision import dtype_of


def teacher(options: argparse.Namespace, device: torch.device) -> Segmenter:
    """The published layout with an ensemble on its maps."""
    backbone = lsun_backbone(device, dtype_of(options.precision), quick=options.quick)
    model = Segmenter(backbone, device=device, smoothing=0)
    model.classes = classes()
    model.classifier = trained_looking([tap.channels for tap in backbone.taps], LSUN_CLASSES, 10, device)
    return model


def student(options: argparse.Namespace, size: tuple[int, int], device: torch.device) -> Student:
    """An untrained student for images of `size`."""
    depth = chosen_depth(options.architecture, size)
    spec = NetworkSpec(options.architecture, options.encoder, depth, LSUN_CLASSES)
    return Student(new_network(spec, 0), classes(), View(size), device=device)


def classes() -> ClassTable:
    """As many as Bedroom-28 has."""
    return ClassTable.from_ids(range(LSUN_CLASSES))


def measured(model: Model, images: list[NDArray[np.uint8]], options: argparse.Namespace) -> dict[str, Any]:
    """Seconds an image, and the peak of the memory that the predictions took."""
    device = model.device

    def predict() -> None:
        for _ in model.predict_positions(images, batch_size=options.batch):
            pass

    seconds = fastest(predict, options.repeats, device) / len(images)
    return {"ms an image": 1000 * seconds, "images/s": 1 / seconds, memory_column(device): peak(device)}


def memory_column(device: torch.device) -> str:
    """What `peak` measures."""
    return "peak GPU memory, MB" if device.type == "cuda" else "peak memory of the process so far, MB"


def peak(device: torch.device) -> float:
    """Megabytes; of a GPU since the last call, of the process since it began."""
    if device.type == "cuda":
        found = torch.cuda.max_memory_allocated(device) / 1e6
        torch.cuda.reset_peak_memory_stats(device)
        return found
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Measure and report; the student first, so that its peak is its own."""
    options = parser(__doc__)
    options.add_argument("--architecture", default="unet", help="of the student")
    options.add_argument("--encoder", default="resnet18", help="of the student")
    options.add_argument("--batch", type=int, default=1, help="images at once")
    chosen = options.parse_args()
    device = begin(chosen)
    side = 32 if chosen.quick else 256
    images = list(np.random.default_rng(0).integers(0, 256, (chosen.batch, side, side, 3), dtype=np.uint8))
    small = student(chosen, (side, side), device)
    rows = [{"model": f"student, {chosen.architecture} {chosen.encoder}, fp32", **measured(small, images, chosen)}]
    rows.append({"model": f"classifier, {chosen.precision}", **measured(teacher(chosen, device), images, chosen)})
    ratio = rows[1]["ms an image"] / rows[0]["ms an image"]
    weights = sum(p.numel() for p in small.network.parameters())
    report(
        f"Student and classifier, {side}x{side}, {chosen.batch} at once",
        rows,
        chosen,
        times_faster=round(ratio, 1),
        student_weights=weights,
    )


if __name__ == "__main__":
    main()
