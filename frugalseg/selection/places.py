"""Where a network is read: the options that choose its taps, and which of their values are looked at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from frugalseg.backbones import Backbone
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.taps import Tap
from frugalseg.segmenter import Segmenter

Places = dict[str, tuple[Any, ...]]
"""Values of the options that choose taps, such as ``{"timesteps": (50, 150), "blocks": (5, 6, 7)}``."""


def places_of(taps: Iterable[Tap]) -> Places:
    """The values that some taps have, in the order of the taps."""
    found: dict[str, dict[Any, None]] = {}
    for tap in taps:
        for name, value in tap.at:
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def is_grid(taps: Sequence[Tap]) -> bool:
    """Whether two options choose each tap, such as the steps and the blocks of a diffusion model.

    The options of a combination, or of an encoder and a decoder, choose taps of their own instead.
    """
    return len(places_of(taps)) == 2 and all(len(tap.at) == 2 for tap in taps)


def every_place(backbone: Backbone, given: Mapping[str, Any]) -> Places:
    """The values to look at: those that the user gives, and where none are given all that the network has.

    Args:
        backbone: with the options that the user gave.
        given: these options; None stands for none.
    """
    own = places_of(backbone.taps)
    return {name: own[name] if given.get(name) is not None else values for name, values in backbone.readable().items()}


def passes_of(backbone: Backbone, places: Places) -> list[Places]:
    """The same places in parts that each take passes of the network of their own; one part where there are none."""
    if backbone.passes is None or backbone.passes not in places:
        return [places]
    return [{**places, backbone.passes: (value,)} for value in places[backbone.passes]]


def taps_at(taps: Sequence[Tap], places: Places) -> list[Tap]:
    """Those of some taps that places choose."""
    return [tap for tap in taps if all(value in places.get(name, (value,)) for name, value in tap.at)]


class InPasses:
    """The maps of a segmenter, computed pass by pass: of all but one pass at a time, only the halved values are held.

    Args:
        segmenter: whose backbone is read at many places.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.taps = segmenter.backbone.taps
        places = places_of(self.taps)
        parts = passes_of(segmenter.backbone, places)
        readings = [segmenter.backbone.reading(**part) for part in parts] if len(parts) > 1 else [segmenter.backbone]
        self.parts = [Segmenter(each, device=segmenter.device, **vars(segmenter.settings)) for each in readings]

    def __call__(self, images: list[Tensor]) -> FeatureMaps:
        """See `Segmenter.features`."""
        if len(self.parts) == 1:
            return self.parts[0].features(images)
        found, size = {}, (0, 0)
        for part in self.parts:
            maps = part.features(images)
            size = maps.size
            for tap, values in zip(part.backbone.taps, maps.maps, strict=True):
                found[tap.name] = values.to(torch.float16)
        return FeatureMaps([found[tap.name] for tap in self.taps], size)
