"""The settings of a pretraining that do not depend on the family, and those of a run that do not change its result."""

from dataclasses import dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Self

from frugalseg.pretraining.machine import Machine
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, make_plain, option, ranged
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, BATCH, COUNT, DEVICES, MINUTES, POSITIVE, RATE, SEED, SHARE, SIZE, WORKERS
from frugalseg.support.text import quoted
from frugalseg.training.hardware import Hardware

LONGEST_ON_CPU = 48
"""Without a size given, larger images are trained on at so many pixels along their longer side on a CPU."""


@dataclass(frozen=True)
class CommonSettings:
    """What the result of a run depends on, besides the images and the family's own settings.

    What is None is chosen when the run begins, from the images and for the machine, and recorded in the run.

    Attributes:
        image_size: (height, width) to train on. None: chosen from the images, at most `longest_side` (GPU) or
            `LONGEST_ON_CPU` pixels long.
        crop: train on random windows of the training size, cut from the images at their own scale. Images that are
            smaller are enlarged until they cover a window. Otherwise whole images are resized to the training size.
        steps: number of optimization steps; a step is one batch.
        batch_size: images per step, over all processes together. None: `usual_batch` (GPU) or `cpu_batch`.
        learning_rate: of the optimizer, or of the first of several.
        precision: number format of the forward pass. Weights and their averages are always float32. None: bf16, but
            fp32 on CPUs that have no instructions for bf16, where it is several times slower.
        flip: mirror images left to right at random.
        seed: of everything random.

    And for each family:

    Attributes:
        longest_side: pixels along the longer side of the training size, where none is given, on a GPU.
        usual_batch, cpu_batch: images per step, where no number is given.
        by_machine: the fields that are chosen for the machine.
        useful_images: images after which features were measured to be better than raw color and position
            (docs/results.md). None: not measured.
        given_networks: the fields that name a network which must have been trained before, such as the generator of
            an encoder. In a recipe such a field may name another network of the recipe.
    """

    longest_side: ClassVar[int] = 128
    usual_batch: ClassVar[int] = 32
    cpu_batch: ClassVar[int] = 16
    by_machine: ClassVar[tuple[str, ...]] = ("image_size", "batch_size", "precision")
    useful_images: ClassVar[int | None] = None
    given_networks: ClassVar[tuple[str, ...]] = ()

    image_size: tuple[int, int] | None = option(
        None,
        "The size to train on, in pixels. By default, it is chosen from the images, and smaller on a CPU.",
        flag="--size",
        within=SIZE,
    )
    crop: bool = option(
        False, "Train on random windows of the images at their own scale, as fit --tile needs it. Nothing is resized."
    )
    steps: int = option(20_000, "The number of optimization steps.", within=COUNT)
    batch_size: int | None = option(
        None,
        "The number of images per step, over all devices together. By default, 32 on a GPU and 16 on a CPU.",
        within=BATCH,
    )
    learning_rate: float = option(4e-4, "The learning rate.", within=RATE)
    precision: Precision | None = option(
        None, "The number format of the forward pass. By default bf16, or fp32 on CPUs that are slow with bf16."
    )
    flip: bool = option(True, "Mirror images left to right at random.")
    seed: int = option(0, "The seed of everything random. The same seed gives the same result.", within=SEED)

    def __post_init__(self) -> None:
        check_ranges(self)
        make_plain(self)
        for each in fields(self):  # sizes are compared with tuples, and a run's JSON holds no numbers of NumPy
            value = getattr(self, each.name)
            if isinstance(value, list | tuple):
                plain = (int(part) if isinstance(part, Integral) else part for part in value)
                object.__setattr__(self, each.name, tuple(plain))
        if self.precision is not None:
            check_precision(self.precision)

    def checkpoints(self) -> dict[str, str]:
        """The files and folders of `given_networks`, as far as they are given.

        Their content is a part of what a run is; a continued run may find it in another place.
        """
        return {name: place for name in self.given_networks if (place := getattr(self, name)) is not None}

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) at which the images are kept ready: the training size, or more for families that crop."""
        assert self.image_size is not None
        return self.image_size

    @property
    def images_per_step(self) -> int:
        """`batch_size`, once it is chosen."""
        assert self.batch_size is not None
        return self.batch_size

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> Self:  # noqa: B008  # it is frozen
        """The same settings with everything that was left open chosen for the images at `paths` and the machine.

        Here that is what all families have, as `with_basics` chooses it; families choose their networks, too.
        """
        return self.with_basics(paths, machine)

    def with_basics(self, paths: list[Path], machine: Machine) -> Self:
        """The same settings with image size, batch size and precision chosen."""
        return replace(
            self,
            image_size=self.image_size or self._chosen_size(paths, machine),
            batch_size=self.batch_size or (self.usual_batch if machine.gpu else self.cpu_batch),
            precision=self.precision or machine.precision,
        )

    def _chosen_size(self, paths: list[Path], machine: Machine) -> tuple[int, int]:
        from frugalseg.pretraining.images import median_size, median_window

        chosen = median_window if self.crop else median_size
        return chosen(paths, self.longest_side if machine.gpu else min(self.longest_side, LONGEST_ON_CPU))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Settings from `dataclasses.asdict` that went through JSON; keys of other things are ignored."""
        known = {f.name for f in fields(cls)}
        return from_json(cls, {name: value for name, value in values.items() if name in known})


@dataclass(frozen=True)
class TrainingSettings(CommonSettings):
    """Those of a training with one loss and one optimizer.

    Attributes:
        learning_rate: the highest learning rate, which is reached after the warm-up; it decays towards the last step.
        warmup_steps: number of steps over which the learning rate rises linearly; at most a tenth of all steps.
        ema_decay: decay of the averaged weights, which are the ones that are saved for use.
        gradient_clip: the largest norm of all gradients together.
    """

    learning_rate: float = option(4e-4, "The highest learning rate, which is reached after the warm-up.", within=RATE)
    warmup_steps: int = option(500, "The number of steps over which the learning rate rises.", within=AMOUNT)
    ema_decay: float = option(
        0.999, "The decay of the averaged weights. These are the weights that are saved for use.", within=SHARE
    )
    gradient_clip: float = option(1.0, "The largest norm of all gradients together.", within=POSITIVE)


@dataclass(frozen=True)
class AlternatingSettings(CommonSettings):
    """Those of a training with several optimizers that take turns (`AlternatingModule`).

    Attributes:
        ema_images: half-life of the averaged weights, which are the ones that are saved for use, in images. In the
            beginning it is a twentieth of the images seen so far.
    """

    learning_rate: float = option(2e-3, "The learning rate, which stays the same.", within=RATE)
    ema_images: int = option(
        10_000,
        "The half-life of the averaged weights, in images. These are the weights that are saved for use.",
        within=COUNT,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision == "fp16":
            raise InputError("precision fp16 trains one optimizer only, and this family has several; give bf16 or fp32")


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
    devices: int = ranged(1, DEVICES)
    nodes: int = ranged(1, DEVICES)
    workers: int = ranged(0, WORKERS)
    max_minutes: float | None = ranged(None, MINUTES)
    checkpoint_minutes: float | None = ranged(10.0, MINUTES)
    checkpoint_steps: int | None = ranged(None, COUNT)
    picture_minutes: float | None = ranged(20.0, MINUTES)
    picture_steps: int | None = ranged(None, COUNT)
    log_steps: int = ranged(50, COUNT)
    channels_last: bool | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if not isinstance(self.device, str):
            raise InputError(f"device is {quoted(self.device)}; give auto, cpu, cuda, cuda:N or mps")

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
