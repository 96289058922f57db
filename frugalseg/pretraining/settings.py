"""The settings that all families' pretraining has, and those of a run that do not change its result."""

from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import torch

from frugalseg.errors import InputError

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class TrainingSettings:
    """What a run's result depends on, beside the images and the family's own settings.

    Attributes:
        image_size: (height, width) to train on; None: chosen from the images.
        steps: optimisation steps; the learning rate decays towards the last of them.
        batch_size: images of a step, over all processes together.
        learning_rate: the highest, reached after the warm-up.
        warmup_steps: over which the learning rate rises linearly; at most a tenth of the steps are used for it.
        ema_decay: of the averaged weights that are handed out.
        gradient_clip: the largest norm of all gradients together.
        precision: arithmetic of the forward pass; weights and their averages are float32 always.
        flip: mirror images left to right at random.
        seed: of everything random.
    """

    image_size: tuple[int, int] | None = None
    steps: int = 20_000
    batch_size: int = 32
    learning_rate: float = 4e-4
    warmup_steps: int = 500
    ema_decay: float = 0.999
    gradient_clip: float = 1.0
    precision: Precision = "bf16"
    flip: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not self.learning_rate > 0 or not self.gradient_clip > 0:
            raise InputError("learning_rate and gradient_clip must be above 0")
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"ema_decay is {self.ema_decay}; give a number from 0 to below 1, such as 0.999")
        if self.warmup_steps < 0 or self.seed < 0:
            raise InputError("warmup_steps and seed must not be negative")
        if self.precision not in ("fp32", "bf16", "fp16"):
            raise InputError(f"precision {self.precision!r} is unknown; give fp32, bf16 or fp16")
        if self.image_size is not None and min(self.image_size) < 1:
            raise InputError(f"image_size is {self.image_size}; give height and width in pixels")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Settings from `dataclasses.asdict` that went through JSON; keys of other things are ignored."""
        known = {f.name for f in fields(cls)}
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**settings)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; may change when it is continued.

    Attributes:
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        devices: processes that share each batch (DDP), one a GPU.
        workers: processes beside each of them that prepare batches.
        max_minutes: stop after this long, to be continued later.
        checkpoint_minutes, checkpoint_steps: how often the state and the network are saved.
        picture_minutes, picture_steps: how often pictures are drawn; once more at the end.
        log_steps: steps between two lines of the log.
        bar: draw a progress bar.
        channels_last: keep images and weights channels-last in memory; None: on GPUs, which like it. On the CPUs it
            was tried on it slowed narrow networks down by a quarter.
        compile: run the network through `torch.compile`.
    """

    device: str = "auto"
    devices: int = 1
    workers: int = 0
    max_minutes: float | None = None
    checkpoint_minutes: float | None = 10.0
    checkpoint_steps: int | None = None
    picture_minutes: float | None = 20.0
    picture_steps: int | None = None
    log_steps: int = 50
    bar: bool = True
    channels_last: bool | None = None
    compile: bool = False

    @property
    def wants_channels_last(self) -> bool:
        """`channels_last`, decided."""
        if self.channels_last is not None:
            return self.channels_last
        return self.device != "cpu" and torch.cuda.is_available()
