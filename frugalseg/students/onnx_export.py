"""A student as an ONNX file: uint8 images in, probabilities out, of any batch, height and width."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frugalseg.data.classes import ClassTable
from frugalseg.students.network import StudentNetwork
from frugalseg.students.settings import StudentSettings
from frugalseg.students.student import Student, View
from frugalseg.support.errors import InputError, WorkError
from frugalseg.support.files import atomic_path
from frugalseg.support.text import kind_and_reason

PACKAGES = {"onnx": (1, 17), "onnxscript": (0, 6), "onnxruntime": (1, 20)}
"""The oldest version of each with which exporting works."""
INSTALL = "run: pip install --upgrade 'frugalseg[onnx]'"
TOLERANCE = 1e-4
"""Largest difference of a probability between torch and onnxruntime."""


class OnnxNetwork(nn.Module):
    """What the file computes: the student's network, its input as decoders give it, its output as probabilities."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.network = student.network

    def forward(self, images: Tensor) -> Tensor:
        """(B, h, w, 3) uint8 RGB -> (B, K, h, w) float32 that sum to 1 over K; sides are multiples of the stride."""
        values = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        logits: Tensor = self.network(values)
        return logits.softmax(dim=1)


def require_onnx() -> None:
    """Raise `InputError` where the packages that exporting takes are not installed, or are too old."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(f"--onnx needs {', '.join(missing)}; {INSTALL}")
    old = [
        f"{name} {found} (from {oldest[0]}.{oldest[1]} on)"
        for name, oldest in PACKAGES.items()
        if (found := older(name, oldest))
    ]
    if old:
        raise InputError(f"--onnx does not work with {', '.join(old)}; {INSTALL}")


def older(package: str, oldest: tuple[int, int]) -> str | None:
    """The version of a package that is installed, where it is older than `oldest`; None where it says nothing."""
    try:
        found = version(package)
    except PackageNotFoundError:  # under another name, as onnxruntime-gpu
        return None
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    return found if numbers < oldest else None


def export_onnx(student: Student, path: str | Path) -> float:
    """Write a student as one ONNX file, and check it with onnxruntime against torch at two sizes.

    The file's input is ``images``, (B, h, w, 3) uint8 RGB, both sides multiples of the network's stride; its output
    ``probabilities``, (B, K, h, w) float32. Its metadata name the classes, their ids, the stride and the size that the
    student was trained at, to which images should be resized.

    Args:
        student: on any device.
        path: of the file; it appears whole or not at all.

    Returns:
        The largest difference of a probability.

    Raises:
        InputError: packages are missing, or the network has no ONNX counterpart.
        WorkError: onnxruntime's answers differ by more than `TOLERANCE`.
    """
    require_onnx()
    device = student.device
    network = OnnxNetwork(student).to("cpu").eval()
    try:
        with atomic_path(path) as temporary:
            write(network, student, temporary)
            try:
                difference = largest_difference(network, temporary, sizes(student))
            except ImportError:
                raise
            except Exception as error:  # onnxruntime's have no base of their own
                raise impossible(student, error) from None
            if difference > TOLERANCE:
                raise WorkError(f"{path}: onnxruntime and torch differ by {difference:.2g}; not written")
    except ImportError as error:  # a package that one of these three needs, or a version that they do not go with
        raise InputError(f"--onnx cannot load what it needs ({kind_and_reason(error)}); {INSTALL}") from error
    finally:
        student.network.to(device)
    return difference


def require_exportable(network: StudentNetwork, classes: ClassTable, settings: StudentSettings) -> None:
    """Raise `InputError` where an untrained network could not be exported: known before the training, not after it."""
    assert settings.size is not None
    with TemporaryDirectory() as folder:
        export_onnx(Student(network, classes, View(settings.size, settings.tile)), Path(folder) / "untrained.onnx")


def sizes(student: Student) -> list[tuple[int, int, int]]:
    """(B, h, w) of the images that exporting is checked with: the trained size, and another of another batch."""
    stride, (height, width) = student.network.stride, student.view.size
    return [(1, height, width), (2, height + 2 * stride, width + stride)]


def write(network: OnnxNetwork, student: Student, path: Path) -> None:
    """Trace the network with all three sizes free, and save it with its metadata."""
    batch, height, width = sizes(student)[1]
    example = torch.zeros(batch, height, width, 3, dtype=torch.uint8)
    free = torch.export.Dim.DYNAMIC
    with quiet_export():
        try:
            program: Any = torch.onnx.export(
                network,
                (example,),
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes=({0: free, 1: free, 2: free},),
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
            raise impossible(student, error) from None
    program.model.metadata_props.update(metadata(student))
    program.save(path, external_data=False)


def impossible(student: Student, error: Exception) -> InputError:
    """What to say of a network that ONNX has no counterpart for."""
    spec, reason = student.network.spec, (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
    return InputError(
        f"{spec.architecture} with encoder {spec.encoder} cannot be written as ONNX for images of any size ({reason}); "
        "choose another architecture, or leave --onnx out"
    )


def metadata(student: Student) -> dict[str, str]:
    """What a user of the file must know."""
    size, classes = student.view.size, student.classes
    return {
        "classes": "\n".join(classes.names),
        "ids": " ".join(map(str, classes.ids)),
        "stride": str(student.network.stride),
        "trained_size": f"{size[0]}x{size[1]}",
        "resize": "none: windows of the trained size" if student.view.tile else "to the area of the trained size",
    }


@torch.inference_mode()
def largest_difference(network: OnnxNetwork, path: Path, shapes: list[tuple[int, int, int]]) -> float:
    """The largest difference of a probability between torch and onnxruntime, over random images of some shapes."""
    import onnxruntime

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    # Of the file's content, for it takes no path that is no UTF-8.
    session = onnxruntime.InferenceSession(path.read_bytes(), quiet, providers=["CPUExecutionProvider"])
    rng, largest = np.random.default_rng(0), 0.0
    for shape in shapes:
        images = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        found = session.run(None, {"images": images})[0]
        largest = max(largest, float(np.abs(found - network(torch.from_numpy(images)).numpy()).max()))
    return largest


@contextmanager
def quiet_export() -> Iterator[None]:
    """Keeps the exporter from printing what nobody can act on."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
