"""The settings that all families' pretraining has, and those of a run that do not change its result."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from frugalseg.support.checked import from_json
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, BATCH, COUNT, POSITIVE, RATE, SEED, SHARE, SIZE
from frugalseg.training.hardware import Hardware

LONGEST_SIDE = 128
"""Without a size given, larger images are trained on at this many pixels along their longer side."""


@dataclass(frozen=True)
class TrainingSettings:
    """What the result of a run depends on, besides the images and the family's own settings.

    Attributes:
        image_size: (height, width) to train on. None: chosen from the images.
        steps: number of optimization steps. The learning rate decays towards the last of them.
        batch_size: images per step, over all processes together.
        learning_rate: the highest learning rate, which is reached after the warm-up.
        warmup_steps: number of steps over which the learning rate rises linearly; at most a tenth of all steps.
        ema_decay: decay of the averaged weights, which are the ones that are saved for use.
        gradient_clip: the largest norm of all gradients together.
        precision: number format of the forward pass. Weights and their averages are always float32.
        flip: mirror images left to right at random.
        seed: of everything random.
    """

    image_size: tuple[int, int] | None = option(
        None, "The size to train on, in pixels. By default, it is chosen from the images.", flag="--size", within=SIZE
    )
    steps: int = option(20_000, "The number of optimization steps.", within=COUNT)
    batch_size: int = option(32, "The number of images per step, over all devices together.", within=BATCH)
    learning_rate: float = option(4e-4, "The highest learning rate, which is reached after the warm-up.", within=RATE)
    warmup_steps: int = option(500, "The number of steps over which the learning rate rises.", within=AMOUNT)
    ema_decay: float = option(
        0.999, "The decay of the averaged weights. These are the weights that are saved for use.", within=SHARE
    )
    gradient_clip: float = option(1.0, "The largest norm of all gradients together.", within=POSITIVE)
    precision: Precision = option("bf16", "The number format of the forward pass.")
    flip: bool = option(True, "Mirror images left to right at random.")
    seed: int = option(0, "The seed of everything random. The same seed gives the same result.", within=SEED)

    def __post_init__(self) -> None:
        check_ranges(self)
        check_precision(self.precision)

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) at which the images are kept ready: the training size, or more for families that crop."""
        assert self.image_size is not None
        return self.image_size

    def chosen_for(self, paths: list[Path]) -> Self:
        """The same settings with everything that was left open chosen for the images at `paths`.

        Here that is the image size alone, the median of the images'; families choose their networks, too.
        """
        from frugalseg.pretraining.images import median_size

        return replace(self, image_size=self.image_size or median_size(paths, LONGEST_SIDE))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Settings from `dataclasses.asdict` that went through JSON; keys of other things are ignored."""
        known = {f.name for f in fields(cls)}
        return from_json(cls, {name: value for name, value in values.items() if name in known})


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out. These options may change when the run is continued.

    Attributes:
        device, devices, nodes: see `Hardware`.
        workers: number of processes that prepare batches, for each of these.
        max_minutes: stop after this many minutes. The run can be continued later.
        checkpoint_minutes, checkpoint_steps: how often the state and the network are saved.
        picture_minutes, picture_steps: how often pictures are drawn. They are drawn once more at the end.
        log_steps: steps between two lines of the log.
        channels_last: keep images and weights channels-last in memory. None: only on GPUs, where it is faster. On the
            CPUs that were tried, it slowed narrow networks down by a quarter.
        compile: run the network through `torch.compile`.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 0
    max_minutes: float | None = None
    checkpoint_minutes: float | None = 10.0
    checkpoint_steps: int | None = None
    picture_minutes: float | None = 20.0
    picture_steps: int | None = None
    log_steps: int = 50
    channels_last: bool | None = None
    compile: bool = False

    @property
    def hardware(self) -> Hardware:
        """Where the run is carried out."""
        return Hardware(self.device, self.devices, self.nodes)

    @property
    def wants_channels_last(self) -> bool:
        """`channels_last`, decided."""
        import torch

        if self.channels_last is not None:
            return self.channels_last
        return self.device != "cpu" and torch.cuda.is_available()


def nearest_multiple(length: int, stride: int) -> int:
    """The multiple of `stride` nearest to `length`, and at least `stride`."""
    return max(1, round(length / stride)) * stride
