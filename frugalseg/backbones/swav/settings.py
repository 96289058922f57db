"""What a user sets: which blocks of a SwAV network are read, and how one is trained."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from frugalseg.backbones.swav.shape import LEVELS, ResNetShape, choose_shape
from frugalseg.features.sizes import nearest_size
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import TrainingSettings
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, COUNT, DEPTH, RATE, SIZE, WEIGHT, WIDTH, Range

GLOBAL_SHARE, SMALL_SHARE = 7 / 8, 3 / 8
"""Sides of the crops over those of the images: 224 and 96 of 256 pixels in the paper."""
SMALLEST_AREA = 0.05
"""Share of the image that a small crop shows at least."""
QUEUED = 15
"""Batches that a queue holds: 3840 images for batches of 256 in the published runs."""
QUEUE_BEGINS = 15 / 200
"""Share of the steps after which the queue is used: 15 of 200 epochs in the published runs."""
SHARPNESS = Range(1e-6, 10**6, whole=False)
"""Of what cosines are divided by; for less, float32 has no number for the quotients."""


@dataclass(frozen=True)
class SwAVOptions:
    """What `load_backbone` takes for ``swav``.

    Attributes:
        layers: numbers of the layers that are read, from 1. None: all layers.
        inputs: read a block's input, as the paper does and None does too, or its output.
        every: read blocks 0, `every`, 2 * `every`, ... of each layer; 2 in the paper.
        precision: number format of the network's weights and activations.
    """

    layers: tuple[int, ...] | None = option(
        None, "The layers to read, such as 1,2,3,4. By default, all of them.", within=COUNT
    )
    inputs: bool | None = option(
        None, "Read the input or the output of each block. By default, the input.", flag="--inputs/--outputs"
    )
    every: int = option(2, "Read one block out of this many in each layer. 1 reads all blocks.", within=COUNT)
    precision: Precision = option("fp32", "The number format of the network.")

    def __post_init__(self) -> None:
        if self.layers is not None:
            wrong = [n for n in self.layers if not 1 <= n <= LEVELS]
            if wrong or not self.layers or len(set(self.layers)) < len(self.layers):
                given = ", ".join(map(str, self.layers)) or "empty"
                raise InputError(f"layers {given}: give one or more of 1 to {LEVELS}, each once")
        check_ranges(self)
        check_precision(self.precision)


@dataclass(frozen=True)
class SwAVPretrainSettings(TrainingSettings):
    """What the result of SwAV pretraining depends on, beside the images (Caron et al. 2020).

    `image_size` is the size of whole images, at which features are read later. The network is trained on crops, which
    are cut from images of `kept_size`.

    Attributes:
        width, depths, block, stem_stride: the network (`ResNetShape`). None: chosen from the image size, and that of
            small images on a CPU.
        kept_size: (height, width) of the images that crops are cut from. None: twice `image_size`, or the size of the
            images if that is smaller; crops then still show all the detail that there is. With `crop`, the size of the
            windows that are cut from the images at their own scale, and of which the crops show parts.
        global_crop: (height, width) of the two crops whose assignments are predicted. None: 7/8 of `image_size`.
        small_crop: (height, width) of the other crops. None: 3/8 of `image_size`.
        small_crops: number of these other crops.
        split_area: large crops show at least this share of the image. Small crops show at most this share, and at
            least `SMALLEST_AREA`.
        colour: strength of the color distortion; 1 is the paper's, 0 is none.
        prototypes: number of prototypes. The paper takes 200 for 70 thousand images, 1000 for a million and more.
        projection: dimensions of the space in which features are compared with the prototypes.
        hidden: width of the projection head's hidden layer. None: at least 512, and as wide as the network's output.
        standardise: bring each dimension of the projected features to mean 0 and variance 1 over a batch. The
            published training does not do this. In small batches it often ends with one feature for all images and a
            loss of log(prototypes), which cannot happen here.
        temperature: tau of the loss (eq. 2).
        epsilon: of the assignments (eq. 3); a smaller value gives sharper assignments. The paper has 0.05; the notes of
            the published code advise 0.03 if a training collapses.
        sinkhorn_iterations: number of iterations of the Sinkhorn-Knopp algorithm.
        queue: number of images of earlier batches whose features join the assignments; 0 turns the queue off. None: 15
            batches if a batch has fewer images than there are prototypes, otherwise no queue.
        queue_begins: step at which features begin to be put into the queue. The queue is used once it is full. None:
            after 7.5 % of the steps.
        freeze_prototypes: number of steps at the beginning during which the prototypes stay fixed. None: one epoch, or
            a tenth of the steps if that is less.
        optimizer: ``adamw``, or ``lars`` as in the paper for large batches. Give ``lars`` a learning rate of about
            0.3 for every 256 images of a batch.
        weight_decay: of the optimizer.
    """

    longest_side: ClassVar[int] = 256
    # Images are compared with the others of their batch, so it is no smaller on a CPU.
    usual_batch: ClassVar[int] = 64
    cpu_batch: ClassVar[int] = 64
    by_machine: ClassVar[tuple[str, ...]] = ("image_size", "precision", "width", "depths", "block", "stem_stride")

    batch_size: int | None = option(
        None, "The number of images per step, over all devices together. By default, 64.", within=Range(2, 2**16)
    )
    learning_rate: float = option(2e-3, "The highest learning rate, which is reached after the warm-up.", within=RATE)
    width: int | None = option(
        None,
        "The number of channels of the stem. By default, the network is chosen from the image size, and smaller on a "
        "CPU.",
        within=WIDTH,
    )
    depths: tuple[int, ...] | None = option(
        None,
        "The number of blocks in each layer, such as 3,4,6,3. By default, they are chosen like --width.",
        within=DEPTH,
    )
    block: Literal["basic", "bottleneck"] | None = option(
        None, "The kind of residual block. By default, it is chosen like --width."
    )
    stem_stride: int | None = option(
        None,
        "The stride of the stem. 4 is a 7x7 convolution and pooling; 2 and 1 are a 3x3 convolution of that stride. By "
        "default, it is chosen from the image size.",
        within=DEPTH,
    )
    kept_size: tuple[int, int] | None = option(
        None,
        "The size of the images that crops are cut from. By default, twice --size, or less if the images are smaller.",
        within=SIZE,
    )
    global_crop: tuple[int, int] | None = option(
        None, "The size of the two large crops. By default, 7/8 of --size.", within=SIZE
    )
    small_crop: tuple[int, int] | None = option(
        None, "The size of the small crops. By default, 3/8 of --size.", within=SIZE
    )
    small_crops: int = option(6, "The number of small crops.", within=Range(0, 1000))
    split_area: float = option(
        0.14,
        "Large crops show at least this share of the image, and small crops show at most this share.",
        within=Range(SMALLEST_AREA, 1, whole=False),
    )
    colour: float = option(
        1.0, "The strength of the color distortion, from 0 (none) to 1 (the paper's).", within=Range(0, 1, whole=False)
    )
    prototypes: int = option(
        200, "The number of prototypes. It should grow with the number of images.", within=Range(2, 2**20)
    )
    projection: int = option(128, "The number of dimensions of the projected features.", within=WIDTH)
    hidden: int | None = option(
        None,
        "The width of the projection head's hidden layer. By default, that of the network's output, and at least 512.",
        within=WIDTH,
    )
    standardise: bool = option(True, "Standardize the projected features over a batch. This prevents collapse.")
    temperature: float = option(0.1, "The temperature of the predictions in the loss.", within=SHARPNESS)
    epsilon: float = option(
        0.03, "The epsilon of the assignments. A smaller value gives sharper assignments.", within=SHARPNESS
    )
    sinkhorn_iterations: int = option(
        3, "The number of Sinkhorn-Knopp iterations for the assignments.", within=Range(1, 1000)
    )
    queue: int | None = option(
        None,
        "The number of earlier images that join the assignments. By default, 15 batches if a batch has fewer images "
        "than there are prototypes, and otherwise 0, which turns the queue off.",
        within=Range(0, 2**24),
    )
    queue_begins: int | None = option(
        None, "The step at which the queue begins to be filled. By default, after 7.5 % of the steps.", within=AMOUNT
    )
    freeze_prototypes: int | None = option(
        None,
        "The number of steps at the beginning during which the prototypes stay fixed. By default, one epoch, and at "
        "most a tenth of the steps.",
        within=AMOUNT,
    )
    optimizer: Literal["adamw", "lars"] = option(
        "adamw", "The optimizer. lars is for batches of a thousand images and more."
    )
    weight_decay: float = option(1e-6, "The weight decay of the optimizer.", within=WEIGHT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer not in ("adamw", "lars"):
            raise InputError(f"optimizer {self.optimizer!r} is unknown; give adamw or lars")

    @property
    def shape(self) -> ResNetShape:
        """The network, once `chosen_for` has chosen it."""
        assert self.image_size is not None
        return choose_shape(self.image_size, self.width, self.depths, self.block, self.stem_stride)

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the images that crops are cut from."""
        assert self.kept_size is not None
        return self.kept_size

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> "SwAVPretrainSettings":  # noqa: B008
        """The same settings with everything that was left open chosen for the images at `paths` and the machine."""
        with_network = self._with_network(paths, machine)
        with_crops = with_network._with_crops(paths)
        return with_crops._with_schedule(len(paths))

    def _with_network(self, paths: list[Path], machine: Machine) -> "SwAVPretrainSettings":
        basics = self.with_basics(paths, machine)
        assert basics.image_size is not None
        size, given = basics.image_size, (self.width, self.depths, self.block, self.stem_stride)
        shape = choose_shape(size, *given, small=not machine.gpu)
        if self.image_size is None:
            size = nearest_size(size, shape.stride)
        return replace(
            basics,
            image_size=size,
            width=shape.width,
            depths=shape.depths,
            block=shape.block,
            stem_stride=shape.stem_stride,
        )

    def _with_crops(self, paths: list[Path]) -> "SwAVPretrainSettings":
        assert self.image_size is not None
        return replace(
            self,
            kept_size=self.kept_size or kept_size(self.image_size, paths, self.crop),
            global_crop=self.global_crop or scaled(self.image_size, GLOBAL_SHARE),
            small_crop=self.small_crop or scaled(self.image_size, SMALL_SHARE),
        )

    def _with_schedule(self, images: int) -> "SwAVPretrainSettings":
        batch = self.images_per_step
        epoch = -(-images // batch)
        queue = QUEUED * batch if batch < self.prototypes else 0
        channels = self.shape.width * 2 ** (len(self.shape.depths) - 1) * (4 if self.shape.block == "bottleneck" else 1)
        return replace(
            self,
            hidden=self.hidden or max(512, channels),
            queue=queue if self.queue is None else self.queue,
            queue_begins=round(QUEUE_BEGINS * self.steps) if self.queue_begins is None else self.queue_begins,
            freeze_prototypes=(
                min(epoch, self.steps // 10) if self.freeze_prototypes is None else self.freeze_prototypes
            ),
        )


def scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    """`size` times `share`, in whole pixels, at least one."""
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def kept_size(size: tuple[int, int], paths: list[Path], crop: bool) -> tuple[int, int]:
    """Twice `size`, or less where the images at `paths` are smaller, but at least `size`.

    Images that are not resized (`crop`) count at their own size, others as resized to twice the longer side of `size`.
    """
    from frugalseg.pretraining.images import median_size

    if not paths:
        return size
    height, width = median_size(paths, 10**9 if crop else 2 * max(size))
    factor = min(2.0, max(1.0, min(height / size[0], width / size[1])))
    return scaled(size, factor)
