"""An honest estimate from the annotated images alone: each is segmented by a classifier that never saw its labels."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.classifier.extraction import Extraction
from frugalseg.data.classes import ClassTable
from frugalseg.data.datasets import channels_of, classes_of, targets_of
from frugalseg.data.example import Example
from frugalseg.data.folder import as_dataset
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.metrics.resampling import resampled
from frugalseg.segmenter import Segmenter
from frugalseg.selection.curves import require_classes, require_learned
from frugalseg.selection.folds import Split, splits_of
from frugalseg.selection.several import several
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError
from frugalseg.support.folders import as_work_folder
from frugalseg.support.progress import Progress, silent
from frugalseg.support.ranges import COUNT, MEMBERS, require_number
from frugalseg.support.text import quoted
from frugalseg.support.torch_defaults import with_usual_defaults


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What a model of these settings can be expected to do on images like the annotated ones.

    Attributes:
        classes: of the images.
        folds: how many classifiers were trained.
        images: the confusion matrix of each tested image, in order, by a classifier that has not seen it.
    """

    classes: ClassTable
    folds: int
    images: tuple[ConfusionMatrix, ...]

    @property
    def confusion(self) -> ConfusionMatrix:
        """All images together."""
        return ConfusionMatrix.together(len(self.classes), self.images)

    @property
    def miou(self) -> float:
        """Mean IoU over all images together, in [0, 1]."""
        return self.confusion.miou()

    def resampled(self, seed: int = 0) -> NDArray[np.float64]:
        """(2000,) mIoU over as many images, drawn from them with replacement (bootstrap); `seed` decides which."""
        return resampled(self.images).values(seed)

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval of `miou` for other images of the same kind, by resampling the images."""
        return resampled(self.images).interval(seed)

    def __str__(self) -> str:
        low, high = self.interval()
        return (
            f"mIoU {100 * self.miou:.1f} (95 % interval {100 * low:.1f} to {100 * high:.1f}), estimated from "
            f"{len(self.images)} annotated images in {self.folds} folds"
        )

    def to_json(self) -> dict[str, Any]:
        """The figures, shares in [0, 1], as JSON values; a class that never occurs has the IoU null."""
        shares = self.confusion.class_iou("usual")
        low, high = self.interval()
        return {
            "miou": self.miou,
            "interval": [low, high],
            "folds": self.folds,
            "images": len(self.images),
            "class_iou": {
                name: None if np.isnan(share) else float(share)
                for name, share in zip(self.classes.names, shares, strict=True)
            },
        }


def certainty(found: CrossValidation, other: CrossValidation) -> float:
    """How sure it is, in [0, 1], that one model is better than another, whose images are the same.

    It is the share of the resamplings in which its mIoU is higher; what some images cost both does not count.
    """
    return float((found.resampled() > other.resampled()).mean())


@with_usual_defaults
def cross_validate(
    segmenter: Segmenter,
    dataset: Sequence[Example] | str | Path,
    folds: int = 5,
    *,
    classes: ClassTable | None = None,
    members: int | None = None,
    work: str | Path | None = None,
    extraction: Extraction | None = None,
    progress: Progress = silent,
) -> CrossValidation:
    """Estimate how good a model with the settings of `segmenter` is, from the images that it would be fitted on.

    The network sees each image once, whatever the number of folds.

    Args:
        segmenter: its backbone and settings; its classifier is neither used nor changed.
        dataset: annotated images, or the path of a data folder.
        folds: how many parts; each is predicted by a classifier that is trained on the others.
        classes: the table to be in; without it the dataset's own. Classes of a dataset that has a table, too, go by
            their names.
        members: of each classifier; None for that of the settings.
        work: folder for the maps, which an interrupted call goes on with; None keeps them in memory.
        extraction: the maps of every window, see `every_window`, for who needs them afterwards; instead of `work`.
        progress: told of each step.

    Raises:
        InputError: too few annotated images for so many folds, fewer than two classes, a class that `classes` lacks, or
            another argument that is none of its kind.
    """
    require_segmenter(segmenter)
    require_number("folds is", folds, COUNT)
    if members is not None:
        require_number("members is", members, MEMBERS)
    dataset = as_dataset(dataset, classes, channels_of(dataset))
    table = classes or classes_of(dataset)
    targets = list(targets_of(dataset))
    splits = splits_of(targets, folds, segmenter.settings.seed)
    require_classes(targets, len(table))
    require_learned(targets, splits, segmenter.settings.small_region)
    maps = extraction or every_window(segmenter, dataset, as_work_folder(work), made_from=None)
    maps.compute(segmenter.features, progress)
    trial = Trial(segmenter, targets, maps, members or segmenter.settings.members, len(table))
    return tested(trial, splits, table, progress)


def require_segmenter(segmenter: object) -> None:
    """`InputError` for what is no model."""
    if not isinstance(segmenter, Segmenter):
        raise InputError(f"{quoted(segmenter)} is no Segmenter; give Segmenter(backbone)")


def tested(trial: Trial, splits: Sequence[Split], classes: ClassTable, progress: Progress = silent) -> CrossValidation:
    """What classifiers of the training images of each split make of its test images.

    Args:
        trial: whose maps are computed.
        splits: no two of which test the same image.
        classes: of the images.
        progress: told of each split.
    """
    with closing(tested_each([trial], splits, classes, progress)) as found:
        return next(found)


def tested_each(
    trials: Sequence[Trial], splits: Sequence[Split], classes: ClassTable, progress: Progress = silent
) -> Generator[CrossValidation]:
    """`tested` of each of several trials on the same device, in their order.

    On a CPU, several splits are under way at once: as many as a trial has at most, for each takes memory. Close it, and
    what is not needed any more is stopped.
    """
    if not trials:
        return
    work, device = [(trial, split) for trial in trials for split in splits], trials[0].segmenter.device
    with closing(several(lambda one, stop: one[0].tested(one[1], stop=stop), work, device, len(splits))) as tests:
        for _ in trials:
            found: dict[int, ConfusionMatrix] = {}
            for done in range(len(splits)):
                progress("folds", done, len(splits))
                found |= next(tests)
            progress("folds", len(splits), len(splits))
            yield CrossValidation(classes, len(splits), tuple(found[image] for image in sorted(found)))


def every_window(
    segmenter: Segmenter, dataset: Sequence[Example], work: Path | None, made_from: str | None = ""
) -> Extraction:
    """The maps by which images are learned from and predicted; none is computed yet but those in the folder `work`.

    Args:
        segmenter: not fitted.
        dataset: annotated images.
        work: folder for the maps; None keeps them in memory.
        made_from: see `Segmenter.fit`; by default, the caller answers for the folder.
    """
    return segmenter.extraction(dataset, work, made_from, every=True)
