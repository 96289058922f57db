"""Images as Python programs hold them, turned into (H, W, 3) uint8 by rules that are stated here."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frugalseg.data.channels import ChannelSpec, raw_array
from frugalseg.data.decoders import quiet_decoders
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import max_pixels, read_image, refused_where_unreadable, rgb_of, rgb_upright
from frugalseg.data.raw import raw_of
from frugalseg.support.errors import InputError
from frugalseg.support.paths import as_path
from frugalseg.support.text import reason

if TYPE_CHECKING:
    import torch

    ImageLike = NDArray[Any] | torch.Tensor | Image.Image | str | Path
    """What `as_rgb` takes."""

CHANNELS = (1, 3, 4)
"""Grey, RGB, and RGB with transparency."""
REMEDY = "give (H, W, 3) uint8 RGB, a PIL image, or the path of an image"


def as_images(
    images: "ImageLike | Iterable[ImageLike]", channels: ChannelSpec | None = None
) -> Iterator[NDArray[np.uint8]]:
    """One or several images as (H, W, 3) uint8, or in the channels that are given, each read when it is asked for.

    Args:
        images: an iterable of what `as_rgb` takes, an array of them (N, H, W, C), a single image, or the path of a
            folder of images.
        channels: see `in_channels`; None reads RGB.

    Raises:
        InputError: see `as_rgb`; the image is named by its place.
    """
    for number, image in enumerate(_several(images)):
        try:
            yield as_rgb(image) if channels is None else in_channels(image, channels)
        except InputError as error:
            raise InputError(f"image number {number + 1}: {error}") from None


def _several(images: Any) -> Iterable[Any]:
    if isinstance(images, str | Path):
        return list_images(images) if as_path(images, "image").is_dir() else [images]
    if isinstance(images, Image.Image) or getattr(images, "ndim", 4) in (0, 1, 2, 3):
        return [images]
    if not isinstance(images, Iterable):
        raise InputError(f"expected images, found {type(images).__name__}; {REMEDY}")
    return images


def as_rgb(image: "ImageLike") -> NDArray[np.uint8]:
    """An image as (H, W, 3) uint8 RGB.

    Args:
        image: an array or tensor (H, W), (H, W, C) or (C, H, W) with C of 1, 3 or 4, a PIL image, or the path of a
            file. Values are read by their type: uint8 as they are; other whole numbers likewise, if they are from 0 to
            255; uint16 from 0..65535; floating-point numbers from 0..1; booleans as black and white. A fourth channel
            is transparency, which is laid over white. An array that could be of either order is taken for (H, W, C).

    Raises:
        InputError: another shape or type, no pixels, or values outside of these ranges.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        with _decoding(image) as path:
            return rgb_upright(image, path)
    return _three_channels(_eight_bits(_channels_last(_values(image))))


def in_channels(image: "ImageLike", channels: ChannelSpec) -> NDArray[np.uint8]:
    """An image as (H, W, len(channels.channels)) uint8, scaled as a model sees it.

    Args:
        image: an array or tensor (H, W, C), (C, H, W) or, of one channel, (H, W), of any numbers, which mean what they
            mean in the files that the model was fitted on; or a PIL image; or the path of a file.
        channels: which channels, and how they are scaled.

    Raises:
        InputError: it is no image, or has not as many channels as the annotated images.
    """
    if isinstance(image, str | Path):
        return channels.read(image)
    name = "the image"
    if isinstance(image, Image.Image):
        with _decoding(image) as path:
            return channels.scaled(raw_of(image, path), name)
    return channels.scaled(raw_array(_values(image), channels.stored), name)


@contextmanager
def _decoding(image: Image.Image) -> Iterator[Path]:
    """What to call a PIL image, whose file may not have been read yet; whatever is wrong with it is an `InputError`."""
    path = Path(getattr(image, "filename", "") or "the image")
    if not (image.width and image.height):
        raise InputError(f"{path}: a picture of {image.height}x{image.width} pixels is no image; {REMEDY}")
    with refused_where_unreadable(path, max_pixels(), "save it with 8 or 16 bits"), quiet_decoders():
        yield path


def _values(image: Any) -> NDArray[Any]:
    """An array or a tensor on any device as an array; `InputError` for what cannot be one."""
    try:
        if hasattr(image, "detach"):
            image = image.detach().cpu()
            image = image.float() if str(image.dtype) == "torch.bfloat16" else image  # NumPy has no such numbers
        return np.asarray(image)
    # Lists of unequal length, tensors without values, layouts and types that NumPy lacks.
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{type(image).__name__} is no image ({reason(error)}); {REMEDY}") from None


def _channels_last(values: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C)."""
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim == 3 and values.shape[2] not in CHANNELS and values.shape[0] in CHANNELS:
        values = np.moveaxis(values, 0, 2)
    if values.ndim != 3 or values.shape[2] not in CHANNELS or not values.size:
        raise InputError(f"an array of shape {values.shape} is no image; {REMEDY}")
    return values


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The same shape as uint8."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind not in "iuf":
        raise InputError(f"an array of {values.dtype} is no image; {REMEDY}")
    least, most = values.min(), values.max()
    if kind == "u" and values.dtype.itemsize == 2:  # in the order of bytes of any machine
        scaled: NDArray[np.uint8] = np.rint(values / 257).astype(np.uint8)
        return scaled
    if kind in "iu" and least >= 0 and most <= 255:
        return values.astype(np.uint8)
    if kind == "f" and np.isfinite(values).all() and least >= 0 and most <= 1:
        rounded: NDArray[np.uint8] = np.rint(values.astype(np.float64) * 255).astype(np.uint8)
        return rounded
    wanted = "from 0 to 1" if kind == "f" else "from 0 to 255"
    raise InputError(f"{values.dtype} values must be {wanted}, these are from {least:g} to {most:g}; scale them")


def _three_channels(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) of one, three or four channels."""
    if values.shape[2] == 1:
        return np.repeat(values, 3, axis=2)
    if values.shape[2] == 4:
        return rgb_of(Image.fromarray(values, "RGBA"), Path("the image"))
    return np.ascontiguousarray(values)
