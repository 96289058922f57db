"""What every model that segments images has in common, whatever is inside: predict, evaluate, save."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frugalseg.classifier.prediction import PixelPrediction, PixelRows, whole
from frugalseg.classifier.voting import EVERYTHING, Wanted
from frugalseg.data.arrays import as_images
from frugalseg.data.catalogue.names import test_images
from frugalseg.data.channels import ChannelSpec
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.example import Example, as_positions, require_usable
from frugalseg.data.folder import as_dataset
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.support import digests
from frugalseg.support.damage import DamagedError
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json
from frugalseg.support.hub import local_or_downloaded
from frugalseg.support.paths import as_path
from frugalseg.support.progress import Progress, silent
from frugalseg.support.ranges import BATCH, require_number
from frugalseg.support.records import Record, as_recorded, files_read, stamps
from frugalseg.support.runs import work_folder
from frugalseg.support.text import brief, quoted
from frugalseg.support.torch_defaults import with_usual_defaults

if TYPE_CHECKING:
    from frugalseg.data.arrays import ImageLike

MOST_SIDE = 2**14
"""Pixels along a side of what a network sees at once; larger images are cut into windows."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one image, at the image's own size.

    Attributes:
        mask: (H, W) int64 class ids, as in the training masks.
        probabilities: (K, H, W) float32, classes in the order of the table; the mean of an ensemble's softmax outputs.
        uncertainty: (H, W) float32 in nats: of an ensemble the Jensen-Shannon divergence of its members, 0 to
            log(members); of a student the entropy of its softmax output, 0 to log(K).
        image_uncertainty: mean of the 10 % most uncertain pixels.
    """

    mask: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    image_uncertainty: float


class Model(ABC):
    """A model that segments images of any size.

    Attributes:
        weights_file: in a saved model's folder, the file that no other kind of model has.
        classes: the class table, once fitted.
        device: where it runs.
        channels: which channels of images it sees, and from which values they are scaled; None where images are read
            as RGB.
    """

    channels: ChannelSpec | None = None
    weights_file: ClassVar[str]
    classes: ClassTable
    device: torch.device

    @property
    @abstractmethod
    def greatest_uncertainty(self) -> float:
        """The greatest uncertainty that a pixel can have, in nats."""

    @abstractmethod
    def predict_rows(
        self,
        images: Iterable[NDArray[np.uint8]],
        *,
        batch_size: int = 1,
        wanted: Wanted = EVERYTHING,
        progress: Progress = silent,
    ) -> Iterator[Iterator[PixelRows]]:
        """`predict_positions`, some rows of an image at a time, so that nobody has to keep more than is wanted.

        Args:
            images: (H, W, 3) uint8, or in `channels`.
            batch_size: see `predict`.
            wanted: what is needed beside the labels; a model may give more.
            progress: told of the windows or, where there is a single one, of the rows of each large image.

        Returns:
            The rows of each image, from the top; to be taken before the next image is asked for.

        Raises:
            InputError: the model was never fitted.
        """

    @with_usual_defaults
    def predict_positions(
        self, images: Iterable[NDArray[np.uint8]], *, batch_size: int = 1, probabilities: bool = True
    ) -> Iterator[PixelPrediction]:
        """`predict`, in class positions and as tensors on the device.

        Args:
            images: (H, W, 3) uint8, or in `channels`.
            batch_size: see `predict`.
            probabilities: keep them, too.

        Raises:
            InputError: the model was never fitted.
        """
        seen, heights = tee(images)
        every = self.predict_rows(seen, batch_size=batch_size, wanted=Wanted(probabilities=probabilities))
        for image, rows in zip(heights, every, strict=True):
            yield whole(rows, len(image), probabilities=probabilities)

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model to `folder`, which appears whole or not at all; one that holds a model is replaced.

        Raises:
            InputError: the model was never fitted; or the folder cannot be written, or holds something else.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with all that the labels depend on: weights, classes, settings.

        Synthetic sets are recorded with it, so the value of a model must stay the same from version to version.

        Raises:
            InputError: the model was never fitted.
        """

    def stamps(self, folder: Path, record: Record) -> dict[str, Any]:
        """What a command records of this model: the files that it was loaded from.

        Args:
            folder: that holds them.
            record: that of an earlier run; versions up to 0.1.0 noted the file of the weights alone.
        """
        weights = folder / self.weights_file
        others = [path for path in files_read(folder) if path != weights]
        return as_recorded({"model": stamps([weights]), "model_files": stamps(others)}, record, {"model_files"})

    def require_fitted(self) -> None:
        """Raise `InputError` where the model was never fitted."""
        if not hasattr(self, "classes"):
            raise InputError("this model has not been fitted yet: call fit, or load one with from_pretrained")

    def require_reading(self) -> None:  # noqa: B027 (most models need not override it)
        """Raise `InputError` where the model reads no images, but labels those alone that its own network draws."""

    def require_readable(self, dataset: Sequence[Example]) -> None:  # noqa: B027
        """Raise `InputError` where the model cannot label the images of a dataset.

        Args:
            dataset: of examples; nothing of it is kept.
        """

    def looks_at(self, dataset: Sequence[Example]) -> bool:
        """Whether the network looks at the images of a dataset, rather than draws them again from their seeds."""
        return True

    def reconstructions(self, images: Iterable[NDArray[np.uint8]]) -> Tensor | None:
        """Images as the network sees them, and what it draws in their place to see them: whether it knows such images.

        Args:
            images: (H, W, 3) uint8, or in `channels`; at least one.

        Returns:
            (2, N, 3, h, w) float32 in [0, 1] on the CPU; None for models that draw nothing.
        """
        return None

    @with_usual_defaults
    def predict(self, images: "ImageLike | Iterable[ImageLike]", *, batch_size: int = 1) -> Iterator[Prediction]:
        """Segment images of any size, one prediction for each, in order, as they are asked for.

        Args:
            images: arrays, tensors, PIL images or paths, or a single one of them, or the path of a folder of images.
                `frugalseg.data.arrays.as_rgb` says which shapes, types and ranges of values are understood, and
                `frugalseg.data.arrays.in_channels` those of a model that was fitted with chosen `channels`.
            batch_size: images that the network sees at once, where consecutive ones have one size; more is faster on
                a GPU only.

        Raises:
            InputError: the model was never fitted or reads no images, `batch_size` is out of range, or something is not
                an image.
        """
        self.require_fitted()
        self.require_reading()
        require_number("batch_size is", batch_size, BATCH)
        return map(self._in_ids, self.predict_positions(as_images(images, self.channels), batch_size=batch_size))

    def _in_ids(self, found: PixelPrediction) -> Prediction:
        """A prediction as users see it."""
        assert found.probabilities is not None
        return Prediction(
            self.classes.to_ids(found.mask.cpu().numpy()),
            found.probabilities.float().cpu().numpy(),
            found.uncertainty.float().cpu().numpy(),
            found.image_uncertainty,
        )

    @with_usual_defaults
    def evaluate(
        self,
        dataset: Sequence[Example] | str | Path,
        *,
        batch_size: int = 1,
        see: Callable[[Example, PixelPrediction], None] | None = None,
        progress: Progress = silent,
    ) -> Evaluation:
        """Compare predictions with annotated images.

        Args:
            dataset: the path of a data folder, or the name of a published benchmark, which stands for its test images;
                or examples, such as a `SegmentationFolder`. Classes go by their names;
                examples without a class table are in this model's class positions. Images are read in the model's
                channels, and arrays of a model with chosen `channels` hold all of them, as they came.
            batch_size: see `predict`.
            see: called with each example and its prediction without probabilities, for pictures.
            progress: told of each image.

        Raises:
            InputError: the model was never fitted, `batch_size` is out of range, the dataset cannot be read, or it has
                a class that the model lacks.
        """
        self.require_fitted()
        require_number("batch_size is", batch_size, BATCH)
        if isinstance(dataset, str | Path):
            dataset = test_images(as_path(dataset, "data folder"))
        dataset = as_dataset(dataset, self.classes, self.channels)
        result = Evaluation(self.classes)
        for example, found in self.predict_examples(dataset, batch_size=batch_size):
            result.add(example, found)
            if see is not None:
                see(example, found)
            progress("evaluate", len(result.images), len(dataset))
        return result

    def predict_examples(
        self, dataset: Sequence[Example], *, batch_size: int = 1
    ) -> Iterator[tuple[Example, PixelPrediction]]:
        """Each example with what the model says of it, without probabilities; a dataset is read once.

        Args:
            dataset: whose images are in the model's channels.
            batch_size: see `predict`.

        Raises:
            InputError: an image is no array of uint8, or its target has another size, or holds positions of no class.
        """
        examples, others = tee(self._usable(dataset[i]) for i in range(len(dataset)))
        images = (example.image for example in others)
        return zip(examples, self.predict_positions(images, batch_size=batch_size, probabilities=False), strict=True)

    def _usable(self, example: Example) -> Example:
        """The example, whose image can be seen, and whose target can be compared with what is said of it."""
        require_usable(example)
        target = as_positions(example.target, f"image {quoted(example.name)}")
        highest = int(target.max(initial=0, where=target != NOT_ANNOTATED))
        if highest >= len(self.classes):
            raise InputError(
                f"image {quoted(example.name)}: its target holds the class position {highest}, the model has "
                f"{len(self.classes)} classes; positions begin at 0, and 255 is not annotated"
            )
        return example


def model_folder(folder_or_hub_id: str | Path) -> Path:
    """The local folder of a saved model; a Hub id is downloaded first.

    Raises:
        InputError: see `local_or_downloaded`; or the folder holds no model, or one that is not finished.
    """
    try:
        folder = local_or_downloaded(folder_or_hub_id, "model folder")
    except InputError:
        with suppress(OSError, ValueError, TypeError):  # names that no folder can have
            if (work := work_folder(Path(folder_or_hub_id))).is_dir():
                message = f"{folder_or_hub_id}: not finished yet, its work lies in {work.name}; run its command again"
                raise InputError(message) from None
        raise
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: not a frugalseg model (no config.json); give the folder that fit wrote")
    return folder


def model_kind(folder: Path) -> str:
    """What kind of model a folder holds, such as ``student``; models without a ``kind`` are ``segmenter``.

    Raises:
        FileError: ``config.json`` cannot be read.
    """
    config = read_json(folder / "config.json")
    return brief(config.get("kind", "segmenter"), 40) if isinstance(config, dict) else "segmenter"


def saved_config(folder: Path, newest: int) -> dict[str, Any]:
    """The ``config.json`` of a saved model, whose format is `newest` or an older one.

    Raises:
        InputError: it is of a later format; or it holds no object, or names no format.
    """
    path = folder / "config.json"
    config = read_json(path)
    written = config.get("format") if isinstance(config, dict) else None
    if isinstance(config, dict) and "family" in config and not {"format", "classes"} & config.keys():
        raise InputError(
            f"{folder}: a trained {brief(config['family'], 40)} network, not a fitted model; give the folder that fit "
            f"wrote, after frugalseg fit DATA --checkpoint {folder} -o MODEL"
        )
    if type(written) is not int or written < 1:
        raise DamagedError(path, "a damaged model (it names no format)", "fit it again")
    if written > newest:
        version = brief(config.get("frugalseg", "of an unknown version"), 40)
        raise InputError(f"{folder}: saved by frugalseg {version}, a later version; upgrade")
    return {str(key): value for key, value in config.items()}


def model_digest(classes: ClassTable, settings: Sequence[Any], networks: Mapping[str, nn.Module]) -> str:
    """The fingerprint of a model; see `Model.fingerprint`.

    Args:
        classes: of the model.
        settings: what its labels depend on beside its weights; the text of each counts.
        networks: its parts by name.
    """
    words = repr((classes, list(settings)))
    for name, network in sorted(networks.items()):
        # Some backbones have settings of their own.
        words += f"{name} {getattr(network, 'settings', None)} {digests.network(network)}"
    return digests.text(words)
