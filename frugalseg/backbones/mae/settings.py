"""What a user sets: which blocks of a masked autoencoder's encoder are read, and how one is trained."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from frugalseg.features.sizes import nearest_size
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import TrainingSettings
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, BATCH, DEPTH, RATE, SIZE, WEIGHT, WIDTH, Range

HEAD_WIDTH = 64
"""Channels of an attention head in vision transformers of all usual sizes; the decoder's heads are half as wide."""
SMALLEST_CROP = 0.2
"""The smallest share of an image that a random window shows, as in the paper."""


@dataclass(frozen=True)
class MAEOptions:
    """What `load_backbone` takes for ``mae``.

    Attributes:
        blocks: encoder blocks whose activations are the features; block 0 is the first. None: the last 12, as in the
            paper, or all blocks of a network that has fewer.
        inputs: read a block's input instead of its output.
        heads: attention heads of each encoder block. Only files of networks with heads of an unusual width need it,
            because the tensors do not show the width. None: heads of 64 channels, or of 80 in the published ViT-H.
        precision: number format of the network's weights and activations. None: ``fp32``.
    """

    blocks: tuple[int, ...] | None = option(
        None,
        "The encoder blocks to read, such as 6,7,8,9,10,11. Block 0 is the first. By default, fit reads the last 12.",
        within=AMOUNT,
    )
    inputs: bool | None = option(
        None, "Read the input or the output of each block. By default, the output.", flag="--inputs/--outputs"
    )
    heads: int | None = option(
        None, "For published files: the number of attention heads, if a head is not 64 channels wide.", within=DEPTH
    )
    precision: Precision | None = option(None, "The number format of the network. By default fp32.")

    def __post_init__(self) -> None:
        check_ranges(self)
        blocks = self.blocks
        if blocks is not None and (not blocks or len(set(blocks)) < len(blocks)):
            raise InputError(f"blocks {', '.join(map(str, blocks)) or 'empty'}: give one or more, from 0, each once")
        if self.precision is not None:
            check_precision(self.precision)


@dataclass(frozen=True)
class MAEPretrainSettings(TrainingSettings):
    """What the result of MAE pretraining depends on, beside the images.

    What is None of the shape of the network is chosen from the image size: see `SIZES`. On a CPU it is the network for
    small images, with the patch of its size.

    Attributes:
        patch: side in pixels of the square patches that images are cut into.
        width: channels of the encoder, a multiple of 64.
        depth: blocks of the encoder.
        decoder_width: channels of the decoder, a multiple of 32.
        decoder_depth: blocks of the decoder.
        mask_ratio: share of the patches that the encoder does not see and the decoder has to predict.
        smallest_crop: the network sees each image through a random window, which shows at least this share of the
            image's area, resized to the training size. With 1 it always sees whole images. None: 0.2, or 1 where
            `crop` cuts windows at the images' own scale already.
        cut_from: (height, width) at which the images are kept, from which the windows are cut. None: large enough that
            the smallest windows are still sharp, or the size of the images if that is smaller. With `crop`, the size of
            what is cut from the images at their own scale.
        weight_decay: of all weights except biases and those of the norms.
    """

    usual_batch: ClassVar[int] = 64
    by_machine: ClassVar[tuple[str, ...]] = (
        *TrainingSettings.by_machine,
        *("patch", "width", "depth", "decoder_width", "decoder_depth"),
    )
    useful_images: ClassVar[int | None] = 104_000

    learning_rate: float = option(1e-3, "The highest learning rate, which is reached after the warm-up.", within=RATE)
    batch_size: int | None = option(
        None,
        "The number of images per step, over all devices together. By default, 64 on a GPU and 16 on a CPU.",
        within=BATCH,
    )
    patch: int | None = option(
        None,
        "The side length of a patch, in pixels. By default, it is chosen from the image size.",
        within=WIDTH,
    )
    width: int | None = option(
        None,
        "The number of channels of the encoder. By default, it is chosen from the image size, and smaller on a CPU.",
        within=WIDTH,
    )
    depth: int | None = option(
        None, "The number of blocks of the encoder. By default, it is chosen like --width.", within=DEPTH
    )
    decoder_width: int | None = option(
        None, "The number of channels of the decoder. By default, it is chosen like --width.", within=WIDTH
    )
    decoder_depth: int | None = option(
        None, "The number of blocks of the decoder. By default, it is chosen like --width.", within=DEPTH
    )
    mask_ratio: float = option(
        0.75, "The share of the patches that is hidden.", within=Range(0, 1, whole=False, above=True, below=True)
    )
    smallest_crop: float | None = option(
        None,
        "The smallest share of an image that a random window shows. 1 always shows whole images. By default 0.2, or 1 "
        "with --crop.",
        within=Range(0, 1, whole=False, above=True),
    )
    cut_from: tuple[int, int] | None = option(
        None,
        "The size at which images are kept, from which the windows are cut. By default, large enough for the smallest "
        "windows to be sharp.",
        within=SIZE,
    )
    weight_decay: float = option(0.05, "The weight decay of AdamW.", within=WEIGHT)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, unit in (("width", HEAD_WIDTH), ("decoder_width", HEAD_WIDTH // 2)):
            value = getattr(self, name)
            if value is not None and value % unit:
                raise InputError(f"{name} is {value}; give a multiple of {unit}")

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the images that windows are cut from."""
        assert self.cut_from is not None
        return self.cut_from

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> "MAEPretrainSettings":  # noqa: B008
        """The same settings with everything that was left open chosen for the images at `paths` and the machine.

        Raises:
            InputError: the image size is not a multiple of the patch, or gives too few patches to hide some.
        """
        basics = self.with_basics(paths, machine)
        assert basics.image_size is not None
        size, usual = basics.image_size, usual_shape(basics.image_size, small=not machine.gpu)
        patch = self.patch or usual.patch
        if self.image_size is None:
            size = nearest_size(size, patch)
        check_size(size, patch, self.mask_ratio)
        smallest_crop = self.smallest_crop or (1.0 if self.crop else SMALLEST_CROP)
        return replace(
            basics,
            image_size=size,
            patch=patch,
            width=self.width or usual.width,
            depth=self.depth or usual.depth,
            decoder_width=self.decoder_width or usual.decoder_width,
            decoder_depth=self.decoder_depth or usual.decoder_depth,
            smallest_crop=smallest_crop,
            cut_from=self.cut_from or size_to_cut_from(size, smallest_crop, paths),
        )


def size_to_cut_from(size: tuple[int, int], smallest_crop: float, paths: list[Path]) -> tuple[int, int]:
    """`size`, enlarged in its aspect until the smallest windows have as many pixels, or the images no more."""
    from frugalseg.pretraining.images import median_size

    if smallest_crop == 1 or not paths:
        return size
    height, width = median_size(paths, 10**9)
    zoom = max(1.0, min(smallest_crop**-0.5, max(height / size[0], width / size[1])))
    unit = math.gcd(*size)
    units = math.ceil(zoom * unit)
    return size[0] // unit * units, size[1] // unit * units


@dataclass(frozen=True)
class UsualShape:
    """The network for images of some size."""

    patch: int
    width: int
    depth: int
    decoder_width: int
    decoder_depth: int


SIZES = {
    64: UsualShape(patch=2, width=192, depth=8, decoder_width=96, decoder_depth=1),
    160: UsualShape(patch=4, width=384, depth=12, decoder_width=192, decoder_depth=2),
    10**9: UsualShape(patch=8, width=768, depth=12, decoder_width=384, decoder_depth=4),
}
"""For images whose longer side is below so many pixels: about 32 patches along it, as in the paper.

A map has no more values than the image has patches, so these are smaller than where whole images are classified.
"""


def usual_shape(size: tuple[int, int], small: bool = False) -> UsualShape:
    """The network for images of `size` (height, width); `small`: for a CPU, with the patch of that network."""
    usual = next(shape for side, shape in SIZES.items() if max(size) < side)
    return replace(SIZES[min(SIZES)], patch=usual.patch) if small else usual


def check_size(size: tuple[int, int], patch: int, mask_ratio: float) -> None:
    """Raise `InputError` unless `size` is cut into patches of which some can be hidden and some shown."""
    if size[0] % patch or size[1] % patch:
        fitting = "{}x{}".format(*nearest_size(size, patch))
        raise InputError(
            f"image_size {size[0]}x{size[1]}: the sides must be multiples of {patch}, the patch; give {fitting}"
        )
    patches = size[0] * size[1] // patch**2
    if not 1 <= kept_patches(patches, mask_ratio) < patches:
        raise InputError(
            f"image_size {size[0]}x{size[1]} has {patches} patches of {patch} pixels, of which {mask_ratio:.0%} cannot "
            "be hidden; give a larger image_size or a smaller patch"
        )


def kept_patches(patches: int, mask_ratio: float) -> int:
    """How many of so many patches the encoder sees."""
    return int(patches * (1 - mask_ratio))
