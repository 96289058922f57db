"""Which maps a network really gives: measured on images of noise rather than believed."""

from collections.abc import Sequence

import torch
from torch import nn

from frugalseg.backbones.timm.network import first_line, intermediates, reductions
from frugalseg.features.taps import Tap
from frugalseg.support.errors import InputError

Size = tuple[int, int]
SMALLEST_TRIAL = 96


def measure(network: nn.Module, layers: Sequence[int], native: Size) -> tuple[tuple[Tap, ...], Size | None]:
    """The taps, and the one (height, width) that the network takes; None where it takes any multiple of the strides.

    Args:
        network: of the library, pruned or not.
        layers: which maps are read, ascending.
        native: (height, width) that the network was made for.

    Raises:
        InputError: the maps do not divide the image evenly, so that no pixel could be said to belong to a value.
    """
    steps = [reductions(network)[layer] for layer in layers]
    try:
        trials = [trial(network, layers, size) for size in trial_sizes(max(steps))]
        if trials[0] == trials[1] and all(stride for _, stride in trials[0]):
            return taps(layers, trials[0]), None
    except Exception:  # the library's networks say in a dozen ways that they do not like a size
        pass
    return taps_at(network, layers, native, steps), native


def trial_sizes(step: int) -> tuple[Size, Size]:
    """Two sizes of other shapes, multiples of `step`: what fits both fits all."""
    count = max(3, -(-SMALLEST_TRIAL // step))
    return (count * step, (count + 1) * step), ((count + 3) * step, count * step)


def trial(network: nn.Module, layers: Sequence[int], size: Size) -> list[tuple[int, int]]:
    """Channels and stride of each map for images of a size; stride 0 where the map does not divide the image."""
    return [(channels, even_stride(size, grid)) for channels, grid in shapes(network, layers, size)]


@torch.inference_mode()
def shapes(network: nn.Module, layers: Sequence[int], size: Size) -> list[tuple[int, Size]]:
    """Channels and (h, w) of each map for an image of a size."""
    weights = next(network.parameters())
    maps = intermediates(network, torch.zeros(1, 3, *size, dtype=weights.dtype, device=weights.device), layers)
    return [(values.shape[1], (values.shape[2], values.shape[3])) for values in maps]


def even_stride(size: Size, grid: Size) -> int:
    """Pixels between two values, or 0 where the rows and the columns do not agree on a whole number."""
    stride = size[0] // grid[0]
    return stride if (grid[0] * stride, grid[1] * stride) == size else 0


def taps_at(network: nn.Module, layers: Sequence[int], native: Size, steps: Sequence[int]) -> tuple[Tap, ...]:
    """The taps of a network that takes images of its own size alone, with the strides that it declares."""
    try:
        found = shapes(network, layers, native)
    except Exception as error:  # as above
        raise InputError(f"{type(network).__name__} gives no feature maps ({first_line(error)})") from None
    expected = [(-(-native[0] // step), -(-native[1] // step)) for step in steps]
    for layer, (_, grid), wanted in zip(layers, found, expected, strict=True):
        if grid != wanted:
            raise InputError(
                f"layer {layer} of this network gives a map of {grid[0]}x{grid[1]} for {native[0]}x{native[1]} pixels, "
                f"not {wanted[0]}x{wanted[1]}; choose other layers, or a network that pads its convolutions"
            )
    return taps(layers, [(channels, step) for (channels, _), step in zip(found, steps, strict=True)])


def taps(layers: Sequence[int], measured: Sequence[tuple[int, int]]) -> tuple[Tap, ...]:
    """Named ``layer0``, ``layer1``, ..."""
    each = zip(layers, measured, strict=True)
    return tuple(Tap(f"layer{n}", channels, stride, (("layers", n),)) for n, (channels, stride) in each)
