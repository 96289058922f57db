"""What a student is and how it is trained, as options; light, for the command line reads it."""

import math
from dataclasses import dataclass, replace
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, make_plain, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, COUNT, RATE, SEED, SIZE, WEIGHT, Range


@dataclass(frozen=True)
class StudentSettings:
    """The network and its training; the defaults are those of the protocol ``default``.

    Attributes:
        architecture, encoder: names in segmentation-models-pytorch. The weights always start at random.
        depth: levels of a U-Net, 3 to 5. None: as many as the size of the images allows.
        size: (h, w) of a training image. None: that of the samples. Images of another shape keep their aspect ratio.
        tile: keep every image's own resolution: train on crops of `size`, slide windows of `size` over larger images.
        mirror: mirror half of the training images. Not for classes that differ between left and right.
        augment: move, turn, scale and recolor the training images at random.
        epochs: number of passes over the samples.
        least_steps: the smallest number of batches. If there are few samples, more passes are made.
        validations: how often the student is tested on the validation images, evenly over the training. The best
            network is kept.
        batch_size: images per step.
        learning_rate: the highest learning rate of Adam.
        one_cycle: let the learning rate rise and fall (one cycle) instead of keeping it constant.
        weight_decay: of AdamW; with 0 this is Adam.
        dice: weight of the soft Dice loss that is added to the cross-entropy, for the small classes.
        precision: number format of the training. None: bf16 on a GPU, fp32 elsewhere.
        seed: of weights, order and augmentation.
    """

    architecture: str = option("unet", "The network, by its name in segmentation-models-pytorch.")
    encoder: str = option("resnet18", "The encoder of the network, by its name in segmentation-models-pytorch.")
    depth: int | None = option(
        None,
        "The number of levels of a U-Net, 3 to 5. By default, it is chosen from the size of the images.",
        within=Range(3, 5),
    )
    size: tuple[int, int] | None = option(
        None, "The size of a training image. By default, the size of the samples.", within=SIZE
    )
    tile: bool = option(False, "Train on crops and slide windows over larger images, instead of resizing images.")
    mirror: bool = option(False, "Mirror half of the images. Do not use this if classes differ between left and right.")
    augment: bool = option(True, "Change the images at random during training.", flag="--augment/--no-augment")
    epochs: int = option(20, "The number of passes over the samples.", within=COUNT)
    least_steps: int = option(
        1000, "The smallest number of batches. If there are few samples, more passes are made.", within=AMOUNT
    )
    validations: int = option(
        20, "How often the network is tested on the validation images. The best network is kept.", within=COUNT
    )
    # Batch normalization learns nothing from one image where a map is a single pixel.
    batch_size: int = option(16, "The number of images per step.", within=Range(2, 2**16))
    learning_rate: float = option(2e-3, "The highest learning rate.", within=RATE)
    one_cycle: bool = option(
        True, "Let the learning rate rise and fall, or keep it constant.", flag="--one-cycle/--constant-rate"
    )
    weight_decay: float = option(1e-3, "The weight decay of AdamW.", within=WEIGHT)
    dice: float = option(1.0, "The weight of the Dice loss, which is added to the cross-entropy.", within=WEIGHT)
    precision: Precision | None = option(
        None, "The number format of the training. By default bf16 on a GPU and fp32 elsewhere."
    )
    seed: int = option(0, "The seed of everything random. The same seed gives the same result.", within=SEED)

    def __post_init__(self) -> None:
        check_ranges(self)
        make_plain(self)
        if self.precision is not None:
            check_precision(self.precision)


PROTOCOLS = {
    "default": StudentSettings(),
    "paper": StudentSettings(
        architecture="deeplabv3",
        encoder="resnet101",
        augment=False,
        least_steps=0,
        batch_size=8,
        learning_rate=1e-3,
        one_cycle=False,
        weight_decay=0.0,
        dice=0.0,
        precision="fp32",
    ),
}
"""``paper``: as published, DeepLabV3 with ResNet-101, Adam, 20 epochs of batches of 8, no augmentation."""


def student_settings(protocol: str = "default", **given: Any) -> StudentSettings:
    """The settings of a protocol with those in `given` put in; `InputError` for an unknown protocol or value."""
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol!r} is unknown; give {' or '.join(PROTOCOLS)}")
    try:
        return replace(PROTOCOLS[protocol], **given)
    except TypeError as error:
        raise InputError(f"a student's settings: {error}") from None


@dataclass(frozen=True)
class Schedule:
    """When a training looks at the validation images, and when it ends.

    Attributes:
        samples: images to learn from.
        steps: batches in all.
        epochs: passes over the samples.
        rounds: parts, each closed by a look at the validation images.
    """

    samples: int
    steps: int
    epochs: int
    rounds: int

    @classmethod
    def of(cls, settings: StudentSettings, samples: int) -> "Schedule":
        """The schedule for a number of samples."""
        a_pass = max(1, round(samples / settings.batch_size))
        epochs = max(settings.epochs, math.ceil(settings.least_steps / a_pass))
        return cls(samples, epochs * a_pass, epochs, min(settings.validations, epochs))

    def round_ended(self, step: int) -> int | None:
        """The number, from 1, of the round that `step` steps complete."""
        number = round(step * self.rounds / self.steps)
        return number if number and step == round(number * self.steps / self.rounds) else None


def one_cycle(steps: int) -> tuple[int, float]:
    """The steps of one cycle of the learning rate, at least 2, and the share of them in which it rises: a tenth.

    A fifth of 10 steps: torch's `OneCycleLR` divides by zero where the rise would end with its very first step.
    """
    return max(2, steps), 0.2 if steps == 10 else 0.1
