"""The whole main job: a backbone's features, a pixel classifier fitted on a few annotated images, masks for others."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from frugalseg.backbones import Backbone, load_saved_backbone
from frugalseg.backbones.weights import read_tensors
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.pixel_set import PixelSet, Source, drop_small_regions
from frugalseg.classifier.prediction import EnsemblePredictor, PixelPrediction
from frugalseg.classifier.tiling import blend
from frugalseg.classifier.training import (
    PROTOCOLS,
    TrainingHistory,
    TrainingProtocol,
    train_ensemble,
    training_protocol,
)
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.example import Example
from frugalseg.data.mirrored import Mirrored
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import Window, cut, owned, windows
from frugalseg.model import MaskPredictor, Prediction, holds_student, model_folder, whole_folder
from frugalseg.support.errors import InputError
from frugalseg.support.files import write_json
from frugalseg.support.progress import Progress, silent
from frugalseg.support.version import __version__

__all__ = ["Prediction", "Segmenter", "Settings", "as_protocol", "load_model"]

FORMAT = 1  # of a saved model; a reader refuses what is newer


@dataclass(frozen=True)
class Settings:
    """How images meet the network, and how the classifier is trained.

    Attributes:
        protocol: how the classifier is trained: a protocol, or the name of one of `PROTOCOLS`.
        members: MLPs in the ensemble (10 in the paper).
        seed: of the classifier's initial weights and shuffling.
        tile: slide windows of the network's size over larger images, at the images' own resolution, rather than
            resizing every image to the network's size.
        overlap: share of a window's side that neighbouring windows share, in [0, 1).
        mirror: train on each image mirrored left to right as well; not for classes that tell left from right.
        network_size: (h, w) to use instead of the size that the network was trained on.
        small_region: a class with fewer pixels than this in a training image is ignored there (20 as published).
    """

    protocol: TrainingProtocol = PROTOCOLS["default"]
    members: int = 10
    seed: int = 0
    tile: bool = False
    overlap: float = 0.25
    mirror: bool = False
    network_size: tuple[int, int] | None = None
    small_region: int = 20

    def __post_init__(self) -> None:
        if self.members < 1 or not 0 <= self.overlap < 1:
            raise InputError(f"{self.members} members, overlap {self.overlap}: at least 1, and from 0 to below 1")


class Segmenter(MaskPredictor):
    """Few-shot segmentation with the features of a backbone that was trained without labels.

    Args:
        backbone: from `load_backbone`.
        device: where everything runs.
        settings: fields of `Settings`.

    Attributes:
        classes: the class table, once fitted.
        classifier: the pixel classifier, once fitted.
        history: how its training went, after `fit` in this process.
    """

    weights_file = "classifier.safetensors"
    classifier: PixelClassifier
    history: TrainingHistory

    def __init__(self, backbone: Backbone, *, device: str | torch.device = "cpu", **settings: Any) -> None:
        self.settings = Settings(**settings | {"protocol": as_protocol(settings.get("protocol", "default"))})
        self.device = torch.device(device)
        self.backbone = backbone.to(self.device)
        stride, native = backbone.stride, self.settings.network_size or backbone.native_size
        if backbone.fixed_size not in (None, native):
            only, asked = ("{}x{}".format(*size) for size in (backbone.fixed_size, native))
            raise InputError(f"network size {asked}: this network takes {only} only; leave the size out")
        if any(side % stride or side < stride for side in native):
            raise InputError(f"network size {native[0]}x{native[1]}: both sides must be multiples of {stride}")
        self.native = native

    def moved(self, device: str | torch.device) -> Self:
        """This model on a device."""
        self.device = torch.device(device)
        self.backbone.to(self.device)
        if hasattr(self, "classifier"):
            self.classifier.to(self.device)
        return self

    # Fitting

    def fit(
        self,
        dataset: Sequence[Example],
        *,
        classes: ClassTable | None = None,
        work: Path | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Train the pixel classifier on annotated images.

        Args:
            dataset: examples, such as a `SegmentationFolder`; each is read twice, one at a time.
            classes: their table; without it the dataset's own (`dataset.classes`).
            work: folder for the stored maps and the state of training. An interrupted `fit` with the same arguments
                goes on from there; it can be deleted after the fit.
            progress: told of each step.

        Raises:
            InputError: no annotated pixel, or only one class of them.
        """
        self.classes = classes or dataset.classes  # type: ignore[attr-defined]
        seen = Mirrored(dataset) if self.settings.mirror else dataset
        pixels = self.pixel_set(seen, work and work / "maps", progress)
        if len(pixels.labels.unique()) < 2:
            raise InputError("the annotated pixels are of fewer than two classes; annotate at least two")
        self.classifier, self.history = train_ensemble(
            pixels,
            len(self.classes),
            self.settings.protocol,
            members=self.settings.members,
            seed=self.settings.seed,
            device=self.device,
            progress=lambda step: progress("train", step.step, step.steps),
            checkpoint=work and work / "ensemble.pt",
        )
        return self

    def pixel_set(self, dataset: Sequence[Example], work: Path | None, progress: Progress = silent) -> PixelSet:
        """The labelled pixels of a dataset with their features.

        Args:
            dataset: annotated images.
            work: where an interrupted extraction is taken up; None keeps everything in memory.
            progress: told of each image.
        """
        places: list[tuple[int, Window]] = []
        sources: list[Source] = []
        for number, example in enumerate(dataset):
            target = drop_small_regions(example.target, self.settings.small_region)
            every = self.windows(target.shape)
            for window in every:
                share = owned(target, window, every, NOT_ANNOTATED)
                if (share != NOT_ANNOTATED).any():
                    places.append((number, window))
                    sources.append(Source(window.network, share))
        if not sources:
            raise InputError("no pixel is annotated: every mask holds the ignore value alone")
        pixels = PixelSet(self.backbone.taps, sources, work)
        open_image: tuple[int, NDArray[np.uint8]] = (-1, np.empty(0, np.uint8))
        for place in range(pixels.done, len(places)):
            number, window = places[place]
            if open_image[0] != number:
                open_image = (number, dataset[number].image)
            progress("features", place, len(places))
            pixels.put(place, self.features([cut(open_image[1], window)]))
        progress("features", len(places), len(places))
        return pixels

    # Prediction

    def windows(self, size: tuple[int, ...]) -> list[Window]:
        """The windows through which the network sees an image of (H, W)."""
        settings = self.settings
        return windows(
            (size[0], size[1]),
            self.native,
            self.backbone.stride,
            tile=settings.tile,
            overlap=settings.overlap,
            fixed=self.backbone.fixed_size is not None,
        )

    def features(self, images: list[Tensor]) -> FeatureMaps:
        """The backbone's maps of images (3, h, w) of one size."""
        maps: FeatureMaps = self.backbone(torch.stack(images).to(self.device))
        return maps

    @property
    def greatest_uncertainty(self) -> float:
        """log(members)."""
        return math.log(max(2, self.settings.members))

    def predict_positions(
        self, images: Iterable[NDArray[np.uint8]], *, batch_size: int = 1
    ) -> Iterator[PixelPrediction]:
        """`predict`, in class positions and as tensors on the device.

        Raises:
            InputError: the model was never fitted.
        """
        predictor = self._predictor()
        for shape, group in groupby(images, key=lambda image: image.shape):
            every = self.windows(shape)
            while batch := list(islice(group, batch_size)):
                if self.settings.tile:
                    yield from (self._tiled(image, every, predictor) for image in batch)
                else:
                    maps = self.features([cut(image, every[0]) for image in batch]).on((shape[0], shape[1]))
                    yield from (predictor.predict(maps[place]) for place in range(len(batch)))

    def predict_maps(self, maps: Iterable[FeatureMaps]) -> Iterator[PixelPrediction]:
        """Predictions, as those of `predict_positions`, from maps that are there already; the backbone does not run.

        Args:
            maps: of one image each, at the taps of the backbone, stretched over the pixels to predict.

        Raises:
            InputError: the model was never fitted.
        """
        predictor = self._predictor()
        yield from (predictor.predict(one.to(self.device)) for one in maps)

    def _predictor(self) -> EnsemblePredictor:
        if not hasattr(self, "classifier"):
            raise InputError("this model has not been fitted yet: call fit, or load one with from_pretrained")
        return self.classifier.to(self.device).predictor()

    def _tiled(self, image: NDArray[np.uint8], every: list[Window], predictor: EnsemblePredictor) -> PixelPrediction:
        def through(window: Window) -> Tensor:
            return predictor.member_probabilities(self.features([cut(image, window)]))

        return blend(every, (image.shape[0], image.shape[1]), through)

    # Saving

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model to `folder`: ``config.json``, ``classes.json``, ``classifier.safetensors``, ``backbone/``.

        The folder appears whole or not at all; one that exists is replaced.
        """
        with whole_folder(folder) as partial_folder:
            self.backbone.save_pretrained(partial_folder / "backbone")
            weights = {k: v.detach().cpu().contiguous() for k, v in self.classifier.state_dict().items()}
            save_file(weights, partial_folder / self.weights_file)
            self.classes.to_json(partial_folder / "classes.json")
            write_json(partial_folder / "config.json", self.config())

    def config(self) -> dict[str, Any]:
        """Everything about the model but its weights, as JSON values."""
        return {
            "format": FORMAT,
            "frugalseg": __version__,
            "settings": asdict(self.settings),
            "classifier": self.classifier.config(),
        }

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Load what `save_pretrained` wrote, from a folder or from the Hub.

        A folder that `frugalseg distill` wrote gives a `Student`, which predicts, evaluates and saves alike.

        Raises:
            InputError: no such model, a damaged one, or one of a later format.
        """
        folder = model_folder(folder_or_hub_id)
        if holds_student(folder):
            from frugalseg.students.student import Student

            return Student.from_pretrained(folder, device=device)  # type: ignore[return-value]
        try:
            config = json.loads((folder / "config.json").read_text())
            if config["format"] > FORMAT:
                raise InputError(f"{folder}: saved by frugalseg {config['frugalseg']}, a later version; upgrade")
            settings = config["settings"]
            settings["network_size"] = settings["network_size"] and tuple(settings["network_size"])
            settings["protocol"] = TrainingProtocol(**settings["protocol"])
            model = cls(load_saved_backbone(folder / "backbone"), **settings)
            model.classes = ClassTable.from_json(folder / "classes.json")
            model.classifier = PixelClassifier(**config["classifier"])
            model.classifier.load_state_dict(read_tensors(folder / cls.weights_file))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{folder}: a damaged model ({type(error).__name__}: {error}); fit it again") from None
        model.classifier.eval()
        # Out here, for a device that fails or is full says nothing of the model.
        return model.moved(device)


def load_model(folder_or_hub_id: str | Path, *, device: str | torch.device = "cpu") -> MaskPredictor:
    """The model in a folder or on the Hub, whichever kind it is; raises what `Segmenter.from_pretrained` raises."""
    return Segmenter.from_pretrained(folder_or_hub_id, device=device)


def as_protocol(protocol: str | TrainingProtocol) -> TrainingProtocol:
    """A training protocol from itself or from its name."""
    return training_protocol(protocol) if isinstance(protocol, str) else protocol
