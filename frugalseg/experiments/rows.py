"""From a row of a recipe to something that can be fitted and evaluated."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from frugalseg.backbones.registry import family_named
from frugalseg.data.example import Example
from frugalseg.errors import InputError
from frugalseg.evaluation import Evaluation
from frugalseg.experiments.recipe import FeatureRow, Recipe, UNetRow
from frugalseg.options import options_of
from frugalseg.pixel_prediction import PixelPrediction
from frugalseg.progress import Progress


class Method(Protocol):
    """What is compared: a `Segmenter`, a `UNetBaseline`, or anything with these two."""

    def fit(self, dataset: Sequence[Example], *, progress: Progress) -> Any:
        """Learn from the annotated images of a `SegmentationFolder`."""

    def evaluate(
        self, dataset: Sequence[Example], *, see: Callable[[Example, PixelPrediction], None], progress: Progress
    ) -> Evaluation:
        """Segment the images and count; `see` gets each example with its prediction."""


def build(row: FeatureRow | UNetRow, seed: int, device: str = "cpu") -> Method:
    """The method of a row for one run.

    Args:
        row: of a recipe.
        seed: of all that is random in it: weights, shuffling, augmentation, the noise of a diffusion model.
        device: where it runs.

    Raises:
        InputError: the checkpoint cannot be loaded, or an option is unknown or out of range; the row is named.
    """
    try:
        return build_unet(row, seed, device) if isinstance(row, UNetRow) else build_segmenter(row, seed, device)
    except InputError as error:
        raise InputError(f"row {row.name!r}: {error}") from None
    except (TypeError, ValueError) as error:
        # An option that a constructor does not have, or a value that it does not take.
        raise InputError(f"row {row.name!r}: {error}; correct its options") from None


def build_segmenter(row: FeatureRow, seed: int, device: str) -> Method:
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
    from frugalseg.training_protocol import training_protocol

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


def check_rows(recipe: Recipe, device: str = "cpu") -> None:
    """Build every row once and throw it away, so that a mistake in the last one is found before the first one runs."""
    for row in recipe.rows:
        build(row, 0, device)
