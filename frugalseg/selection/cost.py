"""What a comparison costs, from counts alone: the same on every machine, so that a seed gives one choice everywhere.

The rates are those of one thread of a common processor, rounded to the slow side.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from frugalseg.features.sizes import Size
from frugalseg.segmenter import Segmenter
from frugalseg.support.flops import flop_counter

OPERATION = 1 / 10e9
"""Seconds of a network for an operation that `flop_counter` counts."""
DENSE_OPERATION = 1 / 80e9
"""The same of a large network, whose layers are wide, so that a processor nearly does what it can."""
VALUE = 80e-9
"""For a value of the maps: computed by a filter or stored for a network, and read by the classifier."""
PIXEL = 6e-6
"""For a pixel to be predicted by three members."""
TRAINED = 5.0
"""For three members to train."""
LOADED = 1.0
"""For a backbone to be loaded."""
LARGE = 50_000_000
"""Weights of a network."""


def seconds_once(folds: int) -> float:
    """What a candidate takes whatever the number of images, if a classifier of three members is trained a fold."""
    return LOADED + folds * TRAINED


def seconds_to_try(sizes: Sequence[Size], folds: int) -> float:
    """What a classifier of three members takes in each fold, once the maps are there, with each image predicted once.

    Args:
        sizes: (H, W) of the images.
        folds: how many are trained.
    """
    return folds * TRAINED + PIXEL * sum(height * width for height, width in sizes)


def seconds_an_image(segmenter: Segmenter, sizes: Sequence[Size]) -> float:
    """What a candidate takes for each image more, whose maps are computed, and which is predicted once.

    Args:
        segmenter: not fitted.
        sizes: (H, W) of the images.
    """
    backbone = segmenter.backbone

    def values(network: Size) -> int:
        maps = zip(backbone.taps, backbone.map_sizes(network), strict=True)
        return sum(tap.channels * h * w for tap, (h, w) in maps)

    networks = Counter(window.network for size in sizes for window in segmenter.windows(size))
    usual = networks.most_common(1)[0][0]
    large = is_large(backbone) and backbone.reads_images
    arithmetic = (DENSE_OPERATION if large else OPERATION) * operations(segmenter, usual, computing=not large)
    # It grows as the maps do.
    value = VALUE + arithmetic / values(usual)
    seen = sum(number * values(network) for network, number in networks.items())
    return (PIXEL * sum(height * width for height, width in sizes) + value * seen) / len(sizes)


def operations(segmenter: Segmenter, network: Size, *, computing: bool) -> int:
    """Operations of the network for an image that it sees at (h, w).

    Args:
        segmenter: not fitted.
        network: (h, w).
        computing: let the network compute; otherwise only the shapes of its tensors are followed, with the same result.
    """
    backbone = segmenter.backbone
    height, width = (side + 2 * backbone.margin for side in network)
    with nullcontext() if computing else shapes_alone(), flop_counter() as counter:
        if backbone.reads_images:
            segmenter.features([torch.zeros(backbone.in_channels, height, width)])
        else:
            backbone.generator().draw([0])
    return int(counter.get_total_flops())


def is_large(network: nn.Module) -> bool:
    """Whether a network is so large that a pass takes longer than to prepare for following its shapes alone."""
    return sum(weights.numel() for weights in network.parameters()) > LARGE


def shapes_alone() -> AbstractContextManager[Any]:
    """Within the block, tensors have shapes, but no values."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)
