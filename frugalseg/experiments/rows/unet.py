"""Rows of kind ``unet``: the usual alternative, a small U-Net trained from scratch on the annotated images alone."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from frugalseg.experiments.rows.base import Context, Method, Row
from frugalseg.experiments.validation import Number, Positive, Size, Whole, Width, checked
from frugalseg.support.errors import InputError
from frugalseg.support.ranges import BATCH, RATE, WEIGHT

if TYPE_CHECKING:
    from frugalseg.students.augmentation import Augmentation


class UNetRow(Row):
    """A U-Net and its training. The defaults suit some twenty images of 48x48 and take less than 30 s on a CPU.

    Attributes:
        encoder: name in segmentation-models-pytorch; its weights are always random.
        depth: levels of the encoder; the sides of `size` are rounded up to multiples of ``2 ** depth``.
        decoder: channels of the decoder's levels, deepest first; as many as `depth`.
        size: (h, w) that images are resized to, or None for the size of the first training image.
        steps: batches to train on. The network after the last one is used: the learning rate is almost 0 by then, and
            choosing an earlier one would need annotated images that are then missing from the training.
        batch: images in each batch.
        learning_rate: the highest of a one-cycle schedule (AdamW).
        weight_decay: of AdamW.
        dice: weight of the soft Dice loss that is added to the cross-entropy, for the small classes.
        augmentation: random changes to each training image: fields of `frugalseg.students.augmentation.Augmentation`.
    """

    kind: Literal["unet"]
    encoder: str = "resnet18"
    depth: Annotated[Whole, Field(ge=3, le=5)] = 3
    decoder: tuple[Width, ...] = (64, 32, 16)
    size: Size | None = None
    steps: Positive = 400
    batch: Annotated[Whole, Field(ge=2, le=BATCH.most)] = 5
    learning_rate: Annotated[Number, Field(gt=0, le=RATE.most)] = 2e-3
    weight_decay: Annotated[Number, Field(ge=0, le=WEIGHT.most)] = 1e-3
    dice: Annotated[Number, Field(ge=0, le=WEIGHT.most)] = 1.0
    augmentation: dict[str, Any] = Field(default_factory=dict)

    def check(self, rows: Sequence[Row]) -> None:
        """See `Row`."""
        if len(self.decoder) != self.depth:
            raise InputError(f"decoder has {len(self.decoder)} levels; depth is {self.depth}: give as many")
        self.changes()

    def method(self, seed: int, context: Context) -> Method:
        """A `UNetBaseline`; an encoder that is not known to the library is refused."""
        from segmentation_models_pytorch.encoders import get_encoder_names

        from frugalseg.experiments.rows.unet_baseline import UNetBaseline

        if self.encoder not in get_encoder_names():
            raise InputError(f"no encoder {self.encoder!r} in segmentation-models-pytorch; for example resnet18")
        return UNetBaseline(self, seed=seed, device=context.device)

    def described(self) -> dict[str, Any]:
        """See `Row`."""
        changes = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.changes()).items()}
        return {**super().described(), "augmentation": changes}

    def changes(self) -> "Augmentation":
        """The augmentation, checked."""
        from frugalseg.students.augmentation import Augmentation

        return checked(Augmentation, self.augmentation, "augmentation")
