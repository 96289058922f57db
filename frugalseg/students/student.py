"""A student: an ordinary segmentation network that segments, is evaluated and saved as a `Segmenter` is."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.backbones.weights import load_strictly, read_tensors
from frugalseg.classifier.first_layer import source_positions
from frugalseg.classifier.prediction import PixelRows, known
from frugalseg.classifier.tiling import AT_ONCE, blend, stacked, told_of_rows, told_of_windows
from frugalseg.classifier.voting import EVERYTHING, Wanted, entropy, first_largest
from frugalseg.data.classes import ClassTable
from frugalseg.features.windows import Window, cut, windows
from frugalseg.model import MOST_SIDE, Model, model_digest, model_folder, model_kind, saved_config
from frugalseg.students.network import NetworkSpec, StudentNetwork, new_network
from frugalseg.support.checked import from_json
from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.device import as_device
from frugalseg.support.errors import InputError
from frugalseg.support.files import save_tensors, write_json
from frugalseg.support.folders import whole_folder
from frugalseg.support.marks import MODEL
from frugalseg.support.progress import Progress, silent
from frugalseg.support.torch_defaults import with_usual_defaults
from frugalseg.support.version import __version__

FORMAT = 1  # of a saved student; a reader refuses what is newer
KIND = "student"
MOST = 2**26
"""Logits of a batch, at the size of its images, that may be in memory at a time: 256 MB."""
OVERLAP = 0.25
"""Share of a window's side that neighbouring windows share."""


@dataclass(frozen=True)
class View:
    """How images meet a student's network.

    Attributes:
        size: (h, w) of a training image.
        tile: images keep their own resolution, and windows of `size` slide over larger ones; else an image is resized
            to the area of `size`, its aspect ratio kept.
    """

    size: tuple[int, int]
    tile: bool = False

    def __post_init__(self) -> None:
        if not all(1 <= side <= MOST_SIDE for side in self.size):
            raise InputError(f"size is {self.size}; give height and width in pixels, each from 1 to {MOST_SIDE}")


class Student(Model):
    """A fully convolutional network with its class table.

    Its uncertainty is the entropy of its softmax output, in nats: there is no ensemble whose members could disagree.

    Args:
        network: in evaluation mode from here on.
        classes: its K classes.
        view: how images meet it.
        device: where it runs.
    """

    weights_file = "student.safetensors"

    def __init__(
        self, network: StudentNetwork, classes: ClassTable, view: View, *, device: str | torch.device = "cpu"
    ) -> None:
        self.classes = classes
        self.view = view
        self.device = as_device(device)
        self.network = network.eval().to(self.device)

    @property
    def greatest_uncertainty(self) -> float:
        """log(K)."""
        return math.log(max(2, len(self.classes)))

    def windows(self, size: tuple[int, ...]) -> list[Window]:
        """The windows through which the network sees an image of (H, W)."""
        return windows((size[0], size[1]), self.view.size, self.network.stride, tile=self.view.tile, overlap=OVERLAP)

    def predict_rows(
        self,
        images: Iterable[NDArray[np.uint8]],
        *,
        batch_size: int = 1,
        wanted: Wanted = EVERYTHING,
        progress: Progress = silent,
    ) -> Iterator[Iterator[PixelRows]]:
        """See `Model.predict_rows`."""
        for shape, group in groupby(images, key=lambda image: image.shape):
            every, size = self.windows(shape), (shape[0], shape[1])
            while batch := list(islice(group, batch_size)):
                if self.view.tile:
                    yield from (self._tiled(image, every, wanted, progress) for image in batch)
                else:
                    found = stretched(self.logits([cut(image, every[0]) for image in batch]), size, wanted)
                    yield from (told_of_rows(rows, size, progress) for rows in found)

    @torch.inference_mode()
    def logits(self, images: list[Tensor]) -> Tensor:
        """(B, K, h, w) of images (3, h, w) in [0, 1] of one size."""
        logits: Tensor = self.network(torch.stack(images).to(self.device))
        return logits

    def _tiled(
        self, image: NDArray[np.uint8], every: list[Window], wanted: Wanted, progress: Progress
    ) -> Iterator[PixelRows]:
        def through(window: Window) -> Tensor:
            return resized(self.logits([cut(image, window)]), window.size).softmax(1)

        blended = blend(every, (image.shape[0], image.shape[1]), told_of_windows(through, len(every), progress))
        return (rows_of(part, wanted) for part in stacked((known(piece.probabilities) for piece in blended), 1))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the student to `folder`: ``config.json``, ``classes.json``, ``student.safetensors``.

        The folder appears whole or not at all; one that is empty or holds a model is replaced.

        Raises:
            InputError: the folder cannot be written, or holds something else.
        """
        with whole_folder(folder, (MODEL,)) as partial_folder:
            weights = {k: v.detach().cpu().contiguous() for k, v in self.network.body.state_dict().items()}
            save_tensors(weights, partial_folder / self.weights_file)
            self.classes.to_json(partial_folder / "classes.json")
            write_json(partial_folder / "config.json", self.config())

    def config(self) -> dict[str, Any]:
        """Everything about the student but its weights, as JSON values."""
        return {
            "format": FORMAT,
            "kind": KIND,
            "frugalseg": __version__,
            "network": asdict(self.network.spec),
            "view": {"size": list(self.view.size), "tile": self.view.tile},
        }

    def fingerprint(self) -> str:
        """See `Model.fingerprint`."""
        return model_digest(self.classes, [None, self.view, None], {"network": self.network})

    @classmethod
    @with_usual_defaults
    def from_pretrained(cls, folder_or_hub_id: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Load what `save_pretrained` wrote, from a folder or from the Hub.

        Raises:
            InputError: no such student, a damaged one, or one of a later format.
        """
        folder = model_folder(folder_or_hub_id)
        if model_kind(folder) != KIND:
            raise InputError(f"{folder}: holds no student; give the folder that distill wrote")
        config = saved_config(folder, FORMAT)
        with refused_where_damaged(folder, remedy="train it again"):
            spec, view = from_json(NetworkSpec, config["network"]), from_json(View, config["view"])
            classes = ClassTable.from_json(folder / "classes.json")
            if len(classes) != spec.classes:
                raise InputError(f"{len(classes)} classes in classes.json, {spec.classes} in the network")
            network, weights = new_network(spec, seed=0), folder / cls.weights_file
            load_strictly(network.body, read_tensors(weights), weights)
        # Out here, for a device that fails or is full says nothing of the student.
        return cls(network, classes, view, device=device)


def stretched(
    logits: Tensor, size: tuple[int, int], wanted: Wanted = EVERYTHING, most: int = MOST
) -> list[Iterator[PixelRows]]:
    """The answers to images of one size from their logits (B, K, h, w), some rows at a time.

    Args:
        logits: at the size at which the network sees the images.
        size: (H, W) of the images.
        wanted: what is needed beside the labels.
        most: logits at the images' own size that may be in memory at a time; further ones are computed as their rows
            are asked for. The two ways differ by rounding alone.
    """
    if logits[:, :, 0, 0].numel() * size[0] * size[1] > most:
        return [_softmax_rows(len(each), size, wanted, partial(_some_rows, each, size)) for each in logits]
    found = resized(logits, size)
    return [_softmax_rows(len(each), size, wanted, partial(_rows_of_whole, each)) for each in found]


@torch.inference_mode()
def resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K, \\*size), bilinear."""
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


@torch.inference_mode()
def _softmax_rows(
    classes: int, size: tuple[int, int], wanted: Wanted, logits: Callable[[slice], Tensor]
) -> Iterator[PixelRows]:
    """The answer to an image, from what gives the logits (K, rows, W) of some of its rows."""
    # In whole blocks of rows, for sums over a few values more or less at the end of a row are rounded otherwise.
    step = max(1, AT_ONCE // (64 * classes * size[1])) * 64
    for top in range(0, size[0], step):
        yield rows_of(logits(slice(top, min(top + step, size[0]))).softmax(0), wanted)


def _rows_of_whole(logits: Tensor, rows: slice) -> Tensor:
    return logits[:, rows]


def _some_rows(logits: Tensor, size: tuple[int, int], rows: slice) -> Tensor:
    """(K, rows, W): some rows of what `resized` makes of logits (K, h, w)."""
    y = torch.arange(rows.start, rows.stop)
    lower, upper, weight = source_positions(y, logits.shape[1], size[0], logits.dtype)
    first, last = int(lower[0]), int(upper[-1]) + 1
    wide = resized(logits[None, :, first:last], (last - first, size[1]))[0]
    low, high = (wide[:, (place - first).to(wide.device)] for place in (lower, upper))
    return low.lerp_(high, weight.to(wide)[:, None])


def rows_of(probabilities: Tensor, wanted: Wanted = EVERYTHING) -> PixelRows:
    """One network's answer from its softmax output (K, rows, W); its uncertainty is the entropy, 0 to log K."""
    uncertainty = entropy(probabilities.permute(1, 2, 0)) if wanted.uncertainty else None
    return PixelRows(first_largest(probabilities), probabilities, uncertainty)
