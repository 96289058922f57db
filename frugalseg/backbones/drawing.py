"""A backbone as what draws images: its generator by options, and the maps of images that its own network drew."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.backbones.base import Backbone
from frugalseg.backbones.generator import ImageGenerator
from frugalseg.backbones.registry import require_generating
from frugalseg.classifier.settings import Settings
from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.data.datasets import channels_of, targets_of
from frugalseg.data.example import Example
from frugalseg.data.origins import Origins, origins_of
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.windows import Window
from frugalseg.support import digests
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.records import differences, plain
from frugalseg.support.text import quoted

log = logging.getLogger(__name__)

ROUNDING = 5
"""An image is drawn again if its values differ by at most so many of 256 levels on average: machines and batch sizes
round differently, in bfloat16 by up to 3 levels."""


def generator_of(backbone: Backbone, options: Mapping[str, Any]) -> ImageGenerator:
    """The generator of a backbone with the options of its family that are given.

    Raises:
        InputError: the family cannot generate, or does not have such an option.
    """
    family = require_generating(backbone.family)
    kind = family.generation_class()
    known = [field.name for field in fields(kind)]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"generating with {family.name} has no option {', '.join(unknown)}; known: {', '.join(known)}")
    return backbone.generator(kind(**options))


def pixels_of(images: Tensor) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8 of images (N, 3, H, W) float32 in [0, 1]."""
    found: NDArray[np.uint8] = (images * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return found


class OwnImages:
    """The maps of images that a backbone's own network drew: each is drawn again from its seed, and never looked at.

    Args:
        backbone: on the device where it runs.
        origins: of the images.

    Raises:
        InputError: another network drew them, or in another way than this version does; or the family gives no maps
            while it draws.
    """

    def __init__(self, backbone: Backbone, origins: Origins) -> None:
        if origins.family != backbone.family:
            raise InputError(
                f"{origins.path}: the images were drawn by a {quoted(origins.family, 40)} network, not by this "
                f"{backbone.family} one; give the network that drew them"
            )
        self.record, self.generator = origins.path, _same_generator(backbone, origins)
        own = digests.network(backbone)
        if own != origins.network:
            raise InputError(
                f"{origins.path}: the images were drawn by another {backbone.family} network ({origins.network}) than "
                f"this one ({own}); give the checkpoint that drew them, in the same number format"
            )

    def require_known(self, dataset: Sequence[Example]) -> None:
        """Raise `InputError` where nobody knows the seed of an annotated image of a dataset."""
        for index, target in enumerate(targets_of(dataset)):
            if (target != NOT_ANNOTATED).any() and dataset[index].origin is None:
                raise self.unknown(dataset[index].name)

    def examples(self, dataset: Sequence[Example]) -> Iterator[tuple[Example, FeatureMaps]]:
        """The examples of a dataset and their maps, without those of an unknown seed in which nothing is annotated."""
        for index in range(len(dataset)):
            example = dataset[index]
            if example.origin is not None or (example.target != NOT_ANNOTATED).any():
                yield example, self.maps(example)

    def maps(self, example: Example) -> FeatureMaps:
        """The maps of one image, `FeatureMaps.size` being its own.

        Raises:
            InputError: nobody knows its seed, or the network does not draw it again.
        """
        if example.origin is None:
            raise self.unknown(example.name)
        with torch.inference_mode():
            drawn = self.generator.draw([example.origin])
        assert drawn.maps is not None
        if not alike(example.image, pixels_of(drawn.images)[0]):
            raise InputError(
                f"image {quoted(example.name)}: the network does not draw it again from its seed {example.origin}; "
                "put back the image as it was drawn, or annotate newly drawn ones"
            )
        return drawn.maps

    def unknown(self, name: str) -> InputError:
        """The error for an image that nobody knows the seed of."""
        return InputError(
            f"image {quoted(name)}: {self.record} does not know it: it was edited, resized, or not drawn by this "
            "network; put back the image as it was drawn, or move it and its mask away"
        )


def own_images(backbone: Backbone, dataset: Sequence[Example], *, plain: bool) -> OwnImages | None:
    """What gives the maps of a dataset's images as the backbone's own network drew them.

    Args:
        backbone: on the device where it runs.
        dataset: knows the origins of its images, as a `SegmentationFolder` of drawn ones does.
        plain: see `views_are_plain`.

    Returns:
        None where the backbone has to look at the images: they are from elsewhere, or it gives no maps as it draws.

    Raises:
        InputError: the backbone reads no images, and its network did not draw all of these that are annotated.
    """
    origins = origins_of(dataset) if channels_of(dataset) is None else None
    if origins is None:
        backbone.require_reading()
        return None
    try:
        if not plain and backbone.reads_images:
            raise InputError("the settings, such as mirror or tile, ask for another view of them")
        own = OwnImages(backbone, origins)
        own.require_known(dataset)
    except InputError as error:
        if not backbone.reads_images:
            raise
        log.info("the drawn images are looked at like photographs: %s", error)
        return None
    return own


def _same_generator(backbone: Backbone, origins: Origins) -> ImageGenerator:
    """The generator with the settings of a record."""
    kind = require_generating(backbone.family).generation_class()
    try:
        options = from_json(kind, {each.name: origins.settings[each.name] for each in fields(kind)})
    except KeyError as missing:
        raise InputError(f"{origins.path}: its settings lack {missing.args[0]}; restore the file as it was") from None
    except InputError as error:
        raise InputError(f"{origins.path}: {error}; restore the file as it was") from None
    generator = backbone.generator(options)
    if generator.maps_of is not backbone:
        raise InputError(f"the {backbone.family} network gives no features while it draws")
    different = differences(origins.settings, plain(generator.settings()))
    if different:
        raise InputError(
            f"{origins.path}: the images were drawn in another way ({different[0]}); draw and annotate new ones"
        )
    return generator


def require_plain_views(backbone: Backbone, settings: Settings) -> None:
    """Raise `InputError` where a backbone that reads no images is to see them in another way than it draws them."""
    asked = [name for name in ("tile", "mirror", "mirrored_views") if getattr(settings, name)]
    if asked and not backbone.reads_images:
        raise InputError(
            f"{' and '.join(asked)}: the {backbone.family} backbone reads no images, its network draws them in one way "
            "only; leave this out"
        )


def views_are_plain(backbone: Backbone, settings: Settings, windows: Sequence[Window]) -> bool:
    """Whether images of the backbone's own size are seen as it draws them: once, whole, and not mirrored.

    Args:
        backbone: whose network draws images.
        settings: of the model.
        windows: through which it sees images of that size.
    """
    window, *others = windows
    whole = not others and window.size == window.network == backbone.native_size
    return whole and not settings.mirror and not settings.mirrored_views


def drawn_again(backbone: Backbone, images: Iterable[Tensor]) -> Tensor | None:
    """Images and what a backbone draws in their place, one after another; see `Backbone.reconstructions`.

    Args:
        backbone: on the device where it runs.
        images: (C, h, w) float32 in [0, 1], as `features.windows.cut` gives them; at least one.

    Returns:
        (2, N, 3, h, w) float32 on the CPU; None for families that draw nothing, of which only the first image is read.
    """
    pairs = []
    for image in images:
        seen = backbone.batch_of([image])
        with torch.no_grad():
            drawn = backbone.reconstructions(seen)
        if drawn is None:
            return None
        pairs.append(torch.cat([seen, drawn.float()]).cpu())
    return torch.stack(pairs, dim=1)


def alike(image: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> bool:
    """Whether two images (H, W, 3) are one drawing but for rounding."""
    if image.shape != drawn.shape:
        return False
    return bool(np.abs(image.astype(np.int16) - drawn).mean() <= ROUNDING)
