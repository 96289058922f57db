"""From a row of a recipe to something that can be fitted and evaluated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from frugalseg.backbones.registry import family_named
from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.example import Example
from frugalseg.experiments.recipe import FeatureRow, Recipe, Row, StudentRow, UNetRow
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.support.errors import InputError
from frugalseg.support.options import options_of
from frugalseg.support.progress import Progress

if TYPE_CHECKING:
    from frugalseg.segmenter import Segmenter


class Method(Protocol):
    """What is compared: a `Segmenter`, a `UNetBaseline`, or anything with these two."""

    def fit(self, dataset: Sequence[Example], *, progress: Progress) -> Any:
        """Learn from the annotated images of a `SegmentationFolder`."""

    def evaluate(
        self, dataset: Sequence[Example], *, see: Callable[[Example, PixelPrediction], None], progress: Progress
    ) -> Evaluation:
        """Segment the images and count; `see` gets each example with its prediction."""


@dataclass(frozen=True)
class Around:
    """What a row may refer to.

    Attributes:
        recipe: whose row it is.
        folder: of the comparison.
        key: everything that the labels of a teacher depend on but the run's seed, as a short text.
    """

    recipe: Recipe
    folder: Path
    key: str = ""


def build(row: Row, seed: int, device: str = "cpu", around: Around | None = None) -> Method:
    """The method of a row for one run.

    Args:
        row: of a recipe.
        seed: of all that is random in it: weights, shuffling, augmentation, the noise of a diffusion model.
        device: where it runs.
        around: needed by rows that refer to others.

    Raises:
        InputError: the checkpoint cannot be loaded, or an option is unknown or out of range; the row is named.
    """
    try:
        if isinstance(row, StudentRow):
            assert around is not None
            return build_student(row, seed, device, around)
        return build_unet(row, seed, device) if isinstance(row, UNetRow) else build_segmenter(row, seed, device)
    except InputError as error:
        raise InputError(f"row {row.name!r}: {error}") from None
    except (TypeError, ValueError) as error:
        # An option that a constructor does not have, or a value that it does not take.
        raise InputError(f"row {row.name!r}: {error}; correct its options") from None


def build_segmenter(row: FeatureRow, seed: int, device: str) -> "Segmenter":
    """A `Segmenter` with a backbone of its own."""
    from frugalseg.backbones import load_backbone
    from frugalseg.segmenter import Segmenter

    options = {key: tuple(v) if isinstance(v, list) else v for key, v in row.options.items()}
    if any(option.name == "noise_seed" for option in options_of(family_named(row.backbone).options_class())):
        options.setdefault("noise_seed", seed)
    backbone = load_backbone(row.backbone, row.checkpoint, **options)
    if row.random_weights:
        backbone = backbone.reinitialised(seed)
    settings: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in row.segmenter.items()}
    if isinstance(settings.get("protocol"), dict):
        settings["protocol"] = varied_protocol(settings["protocol"])
    return Segmenter(backbone, device=device, **{"seed": seed, **settings})


def varied_protocol(changes: dict[str, Any]) -> Any:
    """A `TrainingProtocol`: the one named ``base`` (``default``) with the other keys changed."""
    from frugalseg.classifier.protocol import training_protocol

    own = {key: value for key, value in changes.items() if key != "base"}
    return replace(training_protocol(changes.get("base", "default")), **{"name": "varied", **own})


def build_unet(row: UNetRow, seed: int, device: str) -> Method:
    """A `UNetBaseline`; an encoder that is not known to the library is refused before anything runs."""
    from segmentation_models_pytorch.encoders import get_encoder_names

    from frugalseg.experiments.unet_baseline import UNetBaseline, UNetSettings
    from frugalseg.students.augmentation import Augmentation

    if row.encoder not in get_encoder_names():
        raise InputError(f"no encoder {row.encoder!r} in segmentation-models-pytorch; for example resnet18")
    if len(row.decoder) != row.depth:
        raise InputError(f"decoder has {len(row.decoder)} levels; depth is {row.depth}: give as many")
    fields = row.model_dump(exclude={"kind", "name", "augmentation"})
    augmentation = Augmentation(**row.augmentation.model_dump())
    return UNetBaseline(UNetSettings(**fields, augmentation=augmentation), seed=seed, device=device)


def build_student(row: StudentRow, seed: int, device: str, around: Around) -> Method:
    """A `StudentMethod` with its teacher, which is not fitted yet."""
    from frugalseg.experiments.student_row import Lesson, StudentMethod, photographs_of, teacher_of

    teacher = teacher_of(row, around.recipe.rows)
    labels = around.folder / "labels" / around.key / f"seed-{seed}"
    photographs = photographs_of(row, around.recipe.data, around.folder)
    model = None if teacher is None else build_segmenter(teacher, seed, device)
    lesson = Lesson(model, photographs, labels, around.folder / "drawn")
    return StudentMethod(row, lesson, seed=seed, device=device)


def check_rows(recipe: Recipe, device: str = "cpu", folder: Path = Path()) -> None:
    """Build every row once and throw it away, so that a mistake in the last one is found before the first one runs."""
    for row in recipe.rows:
        build(row, 0, device, Around(recipe, folder))
