"""Where a network is read: the options that choose its taps, and which of their values are looked at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frugalseg.backbones import Backbone
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.features.taps import Tap
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError
from frugalseg.support.text import listed, quoted

Places = dict[str, tuple[Any, ...]]
"""Values of the options that choose taps, such as ``{"timesteps": (50, 150), "blocks": (5, 6, 7)}``."""
THINNED = 3
"""Of the values that take a pass each and are not in the preset, one out of so many is a candidate."""


def places_of(taps: Iterable[Tap]) -> Places:
    """The values that some taps have, in the order of the taps."""
    found: dict[str, dict[Any, None]] = {}
    for tap in taps:
        for name, value in tap.at:
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def words(places: Mapping[str, Sequence[Any]]) -> str:
    """``timesteps 50,150 blocks 5,6``."""
    return " ".join(f"{name} {','.join(map(str, values))}" for name, values in places.items())


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


def candidate_places(backbone: Backbone, given: Mapping[str, Any]) -> Places:
    """What is chosen among; the values that the user gives are the candidates of their option.

    Args:
        backbone: with the options that the user gave.
        given: these options.

    Raises:
        InputError: no option of the family chooses taps, or there is only one place.
    """
    own, every = places_of(backbone.taps), every_place(backbone, given)
    if not every:
        raise InputError(f"the {backbone.family} backbone has no options to choose among; leave --choose out")
    for name in every:
        if given.get(name) is None:
            among = every[name][:: THINNED if name == backbone.passes else 1]
            more = [value for value in own[name] if value not in among]
            every[name] = tuple(sorted([*among, *more])) if more else among
    if all(len(values) < 2 for values in every.values()):
        raise InputError(f"{words(every)} is all there is to choose from; give several values, or leave --choose out")
    return every


def passes_of(backbone: Backbone, places: Places) -> list[Places]:
    """The same places in parts that each take passes of the network of their own; one part where there are none."""
    if backbone.passes is None or backbone.passes not in places:
        return [places]
    return [{**places, backbone.passes: (value,)} for value in places[backbone.passes]]


def taps_at(taps: Sequence[Tap], places: Places) -> list[Tap]:
    """Those of some taps that places choose."""
    return [tap for tap in taps if all(value in places.get(name, (value,)) for name, value in tap.at)]


def require_read(backbone: Backbone, given: Mapping[str, Any]) -> None:
    """`InputError` for candidates of an option that chooses no taps, or for others than the backbone reads."""
    own, known = places_of(backbone.taps), backbone.readable()
    if not isinstance(given, Mapping):
        raise InputError(
            f"given {quoted(given)}: give values by the name of their option, such as {{'blocks': (5, 6)}}"
        )
    for name, values in given.items():
        if name not in known:
            there = f"it has {listed([*known])}" if known else "it has none"
            raise InputError(f"given {quoted(name)}: no option by which taps of {backbone.family} are chosen; {there}")
        values = values.tolist() if isinstance(values, np.ndarray) else values
        read, several = own[name], isinstance(values, Sequence) and not isinstance(values, str)
        wanted = list(values) if several else [values]
        if values is not None and (len(wanted) != len(read) or any(each not in read for each in wanted)):
            raise InputError(
                f"given {name} {quoted(values)}: the backbone reads {words({name: read})}; load it with the values to "
                "compare"
            )


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
