"""The whole main job: a backbone's features, a pixel classifier fitted on a few annotated images, masks for others."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import groupby, islice, repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.backbones import Backbone, load_saved_backbone
from frugalseg.backbones.drawing import OwnImages, drawn_again, own_images, require_plain_views, views_are_plain
from frugalseg.backbones.weights import read_tensors
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.extraction import Extraction, labelled_windows, maps_digest
from frugalseg.classifier.pixel_set import PixelSet, require_learnable
from frugalseg.classifier.prediction import EnsemblePredictor, PixelPrediction, PixelRows, whole
from frugalseg.classifier.saved import ClassifierShape, saved_classifier
from frugalseg.classifier.settings import Settings
from frugalseg.classifier.smoothing import radius_of, smoothed
from frugalseg.classifier.tiling import tiled_rows, told_of_rows
from frugalseg.classifier.training import TrainingHistory, train_ensemble
from frugalseg.classifier.views import averaged
from frugalseg.classifier.voting import EVERYTHING, Wanted
from frugalseg.data.channels import Channels, ChannelSpec, as_choice
from frugalseg.data.classes import ClassTable
from frugalseg.data.datasets import channels_of, classes_of, targets_of
from frugalseg.data.example import Example
from frugalseg.data.folder import as_dataset
from frugalseg.data.mirrored import Mirrored
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import Window, cut
from frugalseg.model import MOST_SIDE, Model, Prediction, model_digest, model_folder, model_kind, saved_config
from frugalseg.support.checked import from_json
from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.device import as_device
from frugalseg.support.errors import InputError
from frugalseg.support.files import save_tensors, write_json
from frugalseg.support.folders import as_work_folder, whole_folder
from frugalseg.support.marks import MODEL
from frugalseg.support.progress import Progress, silent
from frugalseg.support.text import quoted
from frugalseg.support.torch_defaults import with_usual_defaults
from frugalseg.support.version import __version__

__all__ = ["Prediction", "Segmenter", "Settings"]

FORMAT = 2
"""Of a saved model; a reader refuses what is newer. Models of format 1 are not smoothed, and their images are RGB."""


class Segmenter(Model):
    """Few-shot segmentation: a pixel classifier on the features of a backbone.

    Args:
        backbone: from `load_backbone`.
        device: where everything runs.
        settings: fields of `Settings`.

    Attributes:
        classes: the class table, once fitted.
        classifier: the pixel classifier, once fitted.
        channels: see `Model`.
        history: how its training went, after `fit` in this process.

    Raises:
        InputError: no backbone, a device that this machine lacks, an unknown setting, or one out of range or impossible
            for the backbone.
    """

    weights_file = "classifier.safetensors"
    classifier: PixelClassifier
    history: TrainingHistory

    def __init__(self, backbone: Backbone, *, device: str | torch.device = "cpu", **settings: Any) -> None:
        if not isinstance(backbone, Backbone):
            raise InputError(f"backbone is {quoted(backbone)}; give one that load_backbone returned")
        self.settings = Settings.of(settings)
        self.device = as_device(device)
        self.backbone = backbone.to(self.device)
        self.native = backbone.native_for(self.settings.network_size)
        require_plain_views(backbone, self.settings)
        if max(self.native) > MOST_SIDE:
            asked = "{}x{}".format(*self.native)
            raise InputError(f"network size {asked}: sides of more than {MOST_SIDE} are impossible")

    def moved(self, device: str | torch.device) -> Self:
        """This model on a device."""
        self.device = as_device(device)
        self.backbone.to(self.device)
        if hasattr(self, "classifier"):
            self.classifier.to(self.device)
        return self

    # Fitting

    @with_usual_defaults
    def fit(
        self,
        dataset: Sequence[Example] | str | Path,
        *,
        classes: ClassTable | None = None,
        channels: Channels | Sequence[int] | None = None,
        work: str | Path | None = None,
        made_from: str | None = None,
        extraction: Extraction | None = None,
        progress: Progress = silent,
    ) -> Self:
        """Train the pixel classifier on annotated images.

        Args:
            dataset: the path of a data folder; or examples, such as a `SegmentationFolder`, read one at a time.
            classes: the table of the model; without it the dataset's own (`dataset.classes`). Classes of a dataset that
                has a table, too, go by their names.
            channels: which channels of the images the model sees, by their numbers from 1, or as a `ChannelChoice`.
                Their values are scaled from a range that is found on the dataset and saved with the model. Without it,
                those of the dataset, if it was opened with some; otherwise images are RGB.
            work: folder for the stored maps and the state of training. An interrupted `fit` with the same arguments
                goes on from there; it can be deleted after the fit.
            made_from: digest of the backbone and the images, for `work`. Without it one of all weights and pixels is
                computed; "" where the caller makes sure that `work` serves one backbone and one set of images.
            extraction: of this dataset, where somebody has made one already: `work` then holds no maps.
            progress: told of each step.

        Raises:
            InputError: the dataset cannot be read; no annotated pixel, or only one class of them; no class table, or a
                class or a position that `classes` lacks; an example that is none, or an image or a target of another
                type or size; or `work` cannot be written, or holds the state of a training with other labels or
                settings. Or the network does not take so many channels, or the images lack some. Or the backbone reads
                no images, and its network did not draw these.
        """
        work = as_work_folder(work)
        chosen = channels_of(dataset) if channels is None else as_choice(channels)
        with self._seeing(chosen):
            dataset = as_dataset(dataset, classes, chosen)
            table = classes or classes_of(dataset)
            extraction = extraction or self.extraction(dataset, work and work / "maps", made_from)
            state = work and work / "ensemble.pt"
            if state is not None and not extraction.filled.complete:
                state.unlink(missing_ok=True)  # training begins once all maps are there: this is one of other maps
            extraction.compute(self.features, progress)
            pixels = extraction.pixels(range(len(dataset) * (2 if self.settings.mirror else 1)))
            require_learnable(pixels, len(table))
            self.classifier, self.history = train_ensemble(
                pixels,
                len(table),
                self.settings.protocol,
                members=self.settings.members,
                seed=self.settings.seed,
                device=self.device,
                progress=lambda step: progress("train", step.step, step.steps),
                checkpoint=state,
            )
            self.classes, self.channels = table, channels_of(dataset)
        return self

    @contextmanager
    def _seeing(self, channels: Channels | None) -> Iterator[None]:
        """The backbone sees images of these channels from now on, unless the block fails."""
        before = self.backbone
        try:
            if channels is not None:
                self.backbone = before.seeing(len(channels.channels))
            yield
        except BaseException:
            self.backbone = before
            raise

    def pixel_set(self, dataset: Sequence[Example], work: str | Path | None = None) -> PixelSet:
        """The labelled pixels of a dataset with their features; arguments and errors are those of `extraction`."""
        extraction = self.extraction(dataset, work, None)
        extraction.compute(self.features)
        return extraction.pixels()

    def extraction(
        self, dataset: Sequence[Example], folder: str | Path | None, made_from: str | None, *, every: bool = False
    ) -> Extraction:
        """The maps that training needs, none of them computed yet but those in `folder`.

        Args:
            dataset: annotated images; with the setting `mirror` their mirror images follow them.
            folder: where an interrupted extraction is taken up; None keeps the maps in memory.
            made_from: see `fit`.
            every: also the maps that only prediction needs: of windows without labels, and of mirror images with the
                setting `mirrored_views`.

        Raises:
            InputError: no annotated pixel; or the backbone reads no images, and its network did not draw these.
        """
        backbone, settings, own = self.backbone, self.settings, self.own_images(dataset)
        seen = Mirrored(dataset) if settings.mirror or (every and settings.mirrored_views) else dataset
        windows = labelled_windows(targets_of(seen), self.windows, settings.small_region, every=every)
        if made_from is None and folder is not None:
            drawing = [] if own is None else [own.generator.settings()]
            made_from = maps_digest([*backbone.identity(), *drawing], windows, dataset)
        drawn = None if own is None else own.maps
        place = as_work_folder(folder)
        return Extraction(seen, windows, backbone.taps, place, made_from or "", backbone.map_sizes, drawn)

    # Images that the backbone's own network drew

    def own_images(self, dataset: Sequence[Example]) -> OwnImages | None:
        """What gives the maps of a dataset's images as the backbone's own network drew them; None if it looks at them.

        The images are drawn again where all that are annotated are the network's own, its generator gives maps, and
        the settings ask for no other view of an image than the whole.

        Args:
            dataset: knows the origins of its images, as a `SegmentationFolder` of drawn ones does.

        Raises:
            InputError: the backbone reads no images, and its network did not draw all of these that are annotated.
        """
        plain = views_are_plain(self.backbone, self.settings, self.windows(self.backbone.native_size))
        return own_images(self.backbone, dataset, plain=plain)

    def require_reading(self) -> None:
        """See `Model.require_reading`."""
        self.backbone.require_reading()

    def require_readable(self, dataset: Sequence[Example]) -> None:
        """See `Model.require_readable`."""
        self.own_images(dataset)

    def predict_examples(
        self, dataset: Sequence[Example], *, batch_size: int = 1
    ) -> Iterator[tuple[Example, PixelPrediction]]:
        """See `Model.predict_examples`; of images that the backbone's own network drew, see `OwnImages.examples`."""
        own = self.own_images(dataset)
        if own is None:
            yield from super().predict_examples(dataset, batch_size=batch_size)
            return
        for example, maps in own.examples(dataset):
            yield example, next(self.predict_maps([maps], [example.image]))

    def looks_at(self, dataset: Sequence[Example]) -> bool:
        """See `Model.looks_at`."""
        return self.own_images(dataset) is None

    def reconstructions(self, images: Iterable[NDArray[np.uint8]]) -> Tensor | None:
        """See `Model.reconstructions`; None also where images are seen through several windows."""
        if self.tiled:
            return None
        return drawn_again(self.backbone, (cut(image, self.windows(image.shape)[0]) for image in images))

    # Prediction

    @property
    def tiled(self) -> bool:
        """Whether images are seen through windows at their own resolution, rather than whole and resized."""
        return self.settings.tile or (self.backbone.own_resolution and self.settings.network_size is None)

    def windows(self, size: tuple[int, ...]) -> list[Window]:
        """The windows through which the network sees an image of (H, W)."""
        return self.backbone.windows((size[0], size[1]), self.native, tile=self.tiled, overlap=self.settings.overlap)

    def features(self, images: list[Tensor]) -> FeatureMaps:
        """The backbone's maps of images (C, h + 2m, w + 2m) of one size, as `features.windows.cut` gives them; m is the
        backbone's margin. A single channel is seen as so many alike as the backbone takes.

        Raises:
            InputError: the backbone takes another number of channels.
        """
        maps: FeatureMaps = self.backbone(self.backbone.batch_of(images), surrounded=True)
        return maps

    @property
    def greatest_uncertainty(self) -> float:
        """log(M) of M members; with `mirrored_views` each of them counts twice."""
        return math.log(max(2, self.settings.members * (2 if self.settings.mirrored_views else 1)))

    def predict_rows(
        self,
        images: Iterable[NDArray[np.uint8]],
        *,
        batch_size: int = 1,
        wanted: Wanted = EVERYTHING,
        progress: Progress = silent,
    ) -> Iterator[Iterator[PixelRows]]:
        """See `Model.predict_rows`."""
        predictor = self._predictor()
        for _, group in groupby(images, key=lambda image: image.shape):
            while batch := list(islice(group, batch_size)):
                yield from self._batch_rows(batch, predictor, wanted, progress)

    def _batch_rows(
        self, batch: list[NDArray[np.uint8]], predictor: EnsemblePredictor, wanted: Wanted, progress: Progress
    ) -> Iterator[Iterator[PixelRows]]:
        """The rows of each of some images of one size."""
        needed = self.settings.wanted_of_members(wanted)
        found = self._member_rows(batch, predictor, needed, progress)
        if self.settings.mirrored_views:
            mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in batch]
            found = map(averaged, found, self._member_rows(mirrored, predictor, needed, silent))
        yield from map(self.finished, found, batch)

    def _member_rows(
        self, batch: list[NDArray[np.uint8]], predictor: EnsemblePredictor, wanted: Wanted, progress: Progress
    ) -> Iterator[Iterator[PixelRows]]:
        """`rows_of_members` of each image."""
        size = (batch[0].shape[0], batch[0].shape[1])
        if self.tiled:
            seen: list[Callable[[Window], FeatureMaps]] = [partial(self._window_maps, image) for image in batch]
        else:
            maps = self.features([cut(image, self.windows(size)[0]) for image in batch])
            seen = [partial(_the_only, maps[place]) for place in range(len(batch))]
        yield from (self.rows_of_members(size, each, predictor, wanted, progress) for each in seen)

    def _window_maps(self, image: NDArray[np.uint8], window: Window) -> FeatureMaps:
        return self.features([cut(image, window)])

    def rows_of_members(
        self,
        size: tuple[int, int],
        maps: Callable[[Window], FeatureMaps],
        predictor: EnsemblePredictor,
        wanted: Wanted,
        progress: Progress = silent,
    ) -> Iterator[PixelRows]:
        """What the members say of an image that is seen one way, its rows from the top.

        Args:
            size: (H, W) of the image.
            maps: gives those of each of its `windows`.
            predictor: the members.
            wanted: what is needed beside the labels.
            progress: see `predict_rows`.
        """
        every = self.windows(size)
        if self.tiled:
            return tiled_rows(
                every, size, maps, predictor, wanted, alike=self.backbone.own_resolution, progress=progress
            )
        return told_of_rows(predictor.rows(maps(every[0]).on(size), wanted), size, progress)

    def finished(self, rows: Iterator[PixelRows], image: NDArray[np.uint8]) -> Iterator[PixelRows]:
        """A prediction of an image (H, W, 3) as the setting `smoothing` says, its rows from the top.

        Args:
            rows: with what `Settings.wanted_of_members` says.
            image: that they are of.
        """
        radius = self.smoothing_radius(image.shape)
        return smoothed(rows, image, radius) if radius else rows

    def smoothing_radius(self, shape: tuple[int, ...]) -> int:
        """Pixels of an image (H, W) that the setting `smoothing` stands for; 0 for none."""
        # Windows may reach beyond a small image.
        return radius_of(self.settings.smoothing_share, min(*self.windows(shape)[0].size, *shape[:2]))

    def predict_maps(
        self, maps: Iterable[FeatureMaps], images: Iterable[NDArray[np.uint8]] | None = None
    ) -> Iterator[PixelPrediction]:
        """Predictions, as those of `predict_positions`, from maps that are there already; the backbone does not run.

        Args:
            maps: of one image each, at the taps of the backbone, stretched over the pixels to predict.
            images: (H, W, 3) uint8, those that the maps are of; only the setting `smoothing` needs them.

        Raises:
            InputError: the model was never fitted; or its settings need images that are not given, or the maps of
                mirrored ones.
        """
        predictor = self._predictor()
        if self.settings.mirrored_views:
            raise InputError("the setting mirrored_views needs the maps of mirrored images, too: use predict")
        if self.settings.afterwards and images is None:
            raise InputError("the setting smoothing needs the images beside their maps: give the images")
        pairs = zip(maps, repeat(None), strict=False) if images is None else zip(maps, images, strict=True)
        for one, image in pairs:
            if image is not None and (image.ndim != 3 or image.shape[:2] != one.size):
                raise InputError(f"an image of shape {image.shape} for maps of {one.size[0]}x{one.size[1]} pixels")
            rows = predictor.rows(one.to(self.device), self.settings.wanted_of_members(EVERYTHING))
            yield whole(rows if image is None else self.finished(rows, image), one.size[0])

    def _predictor(self) -> EnsemblePredictor:
        self.require_fitted()
        return self.classifier.to(self.device).predictor()

    # Saving

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model to `folder`: ``config.json``, ``classes.json``, ``classifier.safetensors``, ``backbone/``.

        The folder appears whole or not at all; one that is empty or holds a model is replaced.

        Raises:
            InputError: the model was never fitted; or the folder cannot be written, or holds something else.
        """
        self.require_fitted()
        with whole_folder(folder, (MODEL,)) as partial_folder:
            self.backbone.save_pretrained(partial_folder / "backbone")
            weights = {k: v.detach().cpu().contiguous() for k, v in self.classifier.state_dict().items()}
            save_tensors(weights, partial_folder / self.weights_file)
            self.classes.to_json(partial_folder / "classes.json")
            write_json(partial_folder / "config.json", self.config())

    def config(self) -> dict[str, Any]:
        """Everything about the model but its weights, as JSON values."""
        said = {
            "format": FORMAT,
            "frugalseg": __version__,
            "settings": asdict(self.settings),
            "classifier": self.classifier.config(),
        }
        return said if self.channels is None else {**said, "channels": asdict(self.channels)}

    def fingerprint(self) -> str:
        """See `Model.fingerprint`."""
        self.require_fitted()
        parts = {"backbone": self.backbone, "classifier": self.classifier}
        seen = [] if self.channels is None else [self.channels]
        return model_digest(self.classes, [self.settings, None, self.native, *seen, *self.settings.afterwards], parts)

    @classmethod
    @with_usual_defaults
    def from_pretrained(cls, folder_or_hub_id: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """Load what `save_pretrained` wrote, from a folder or from the Hub.

        Raises:
            InputError: no such model, a damaged one, one of a later format, or a model of another kind.
        """
        folder = model_folder(folder_or_hub_id)
        if model_kind(folder) != "segmenter":
            raise InputError(f"{folder}: holds a {model_kind(folder)}, not a segmenter; use frugalseg.load_model")
        config = saved_config(folder, FORMAT)
        with refused_where_damaged(folder):
            settings = Settings.from_json(config["settings"])
            shape = from_json(ClassifierShape, config["classifier"])
            model = cls(load_saved_backbone(folder / "backbone"), **vars(settings))
            model.classes = ClassTable.from_json(folder / "classes.json")
            if "channels" in config:
                model.channels = from_json(ChannelSpec, config["channels"])
                model.backbone.seeing(len(model.channels.channels))
            shape.require_fitting(model.backbone.taps, len(model.classes))
            model.classifier = saved_classifier(shape, read_tensors(folder / cls.weights_file))
        # Out here, for a device that fails or is full says nothing of the model.
        return model.moved(device)


def _the_only(maps: FeatureMaps, _: Window) -> FeatureMaps:
    """The maps of an image's only window."""
    return maps
