"""The mIoU of every tap alone, and pictures of some: the maps of one pass of the network at a time are on the disk."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from frugalseg.backbones import Backbone
from frugalseg.features.taps import Tap
from frugalseg.jobs.explore.clusters import ClusterPictures
from frugalseg.jobs.explore.ground import Ground
from frugalseg.selection.cost import seconds_an_image, seconds_to_try
from frugalseg.selection.cross_validation import CrossValidation, tested_each
from frugalseg.selection.places import every_place, passes_of, places_of, taps_at
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError
from frugalseg.support.records import share, understood
from frugalseg.support.text import listing

PICTURED = 4
"""Values of each option whose taps are pictured, unless the user names taps."""
UNSMOOTHED = {"smoothing": 0.0}
"""Single taps are compared by their features alone; this is also faster."""


@dataclass(frozen=True)
class TapScore:
    """How good the features of one tap are.

    Attributes:
        tap: which.
        miou: in [0, 1].
        low, high: its 95 % interval; NaN where a single image was tested, of which nothing can be said.
        class_iou: of each class; None where it does not occur.
    """

    tap: Tap
    miou: float
    low: float
    high: float
    class_iou: tuple[float | None, ...]


class TapSweep:
    """Every place of the network, pass by pass.

    Args:
        ground: of the exploration.

    Attributes:
        taps: that are scored; none if only pictures are wanted.
        pictures: of some taps, if they are wanted.

    Raises:
        InputError: a tap to be pictured is unknown, or has fewer values than clusters are asked for.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        places = every_place(ground.backbone, ground.given)
        wide = ground.backbone.reading(**places)
        self.scoring, self.picturing = ("taps" in ground.settings.what), ("clusters" in ground.settings.what)
        self.taps = wide.taps if self.scoring else ()
        pictured = pictured_taps(wide.taps, ground.settings.taps) if self.picturing else ()
        self.pictures = ClusterPictures(ground, pictured)
        self.pictures.require_enough(ground.segmenter(wide, **UNSMOOTHED))
        # Without scores only the places of the pictures are read.
        needed = places if self.scoring else {**places, **places_of(pictured)}
        self.parts = [ground.backbone.reading(**part) for part in passes_of(wide, needed)]

    def run(self) -> list[TapScore]:
        """The scores of all taps; the pictures are written."""
        number = 0
        for part in self._in_order():
            self._part(part, number)
            number += len(part.taps)
        if self.taps or self.pictures.taps:
            self.ground.progress("taps", number, number)
        return [self._known(tap) for tap in self.taps]

    def seconds(self) -> float:
        """What the sweep takes, on two CPU cores."""
        ground, images = self.ground, len(self.ground.sizes)
        one = ground.segmenter(self.parts[0], **UNSMOOTHED)
        features = len(self.parts) * images * seconds_an_image(one, ground.sizes)
        return features + len(self.taps) * seconds_to_try(ground.sizes, len(ground.splits))

    def _in_order(self) -> list[Backbone]:
        """The parts; that of the first tap to be pictured comes first, whose clusters give all others their colors."""
        first = self.pictures.taps[:1]
        return sorted(self.parts, key=lambda part: not {*first} & {*part.taps})

    def _part(self, backbone: Backbone, number: int) -> None:
        """The taps of one part, of which `number` come before."""
        ground = self.ground
        missing = [tap for tap in backbone.taps if self.scoring and not ground.score("taps", tap.name).is_file()]
        pictured = [tap for tap in self.pictures.missing() if tap in backbone.taps]
        if not missing and not pictured:
            return
        segmenter = ground.segmenter(backbone, **UNSMOOTHED)
        with ground.trial(f"part{number}", segmenter, ground.settings.members_for("taps")) as trial:
            for tap in pictured:
                self.pictures.draw(tap, trial)
            self._score(missing, backbone, trial, number)

    def _score(self, taps: Sequence[Tap], part: Backbone, trial: Trial, number: int) -> None:
        """Score some taps of a part, before which `number` taps come, and write that down."""
        ground, total = self.ground, sum(len(each.taps) for each in self.parts)
        trials = [trial.reading([tap]) for tap in taps]
        with closing(tested_each(trials, ground.splits, ground.classes)) as found:
            for tap in taps:
                ground.progress("taps", number + part.taps.index(tap), total)
                ground.kept("taps", tap.name, lambda: written(next(found)), partial(self._read, tap))

    def _known(self, tap: Tap) -> TapScore:
        """A score that is written down."""
        return understood(self.ground.score("taps", tap.name), partial(self._read, tap))

    def _read(self, tap: Tap, values: Any) -> TapScore:
        """A score of its JSON values."""
        classes = tuple(None if each is None else share(each) for each in values["class_iou"])
        if len(classes) != len(self.ground.classes):
            raise ValueError(f"{len(classes)} classes")
        low, high = (math.nan if values[end] is None else share(values[end]) for end in ("low", "high"))
        return TapScore(tap, share(values["miou"]), low, high, classes)


def written(found: CrossValidation) -> dict[str, Any]:
    """What is kept of the score of a tap, as JSON values."""
    low, high = found.interval() if len(found.images) > 1 else (None, None)
    classes = [None if np.isnan(each) else each for each in found.confusion.class_iou("usual")]
    return {"miou": found.miou, "low": low, "high": high, "class_iou": classes}


def pictured_taps(taps: Sequence[Tap], names: Sequence[str] | None) -> tuple[Tap, ...]:
    """The taps to be pictured: those that are named, or some that are spread over all.

    Raises:
        InputError: a name that is unknown.
    """
    known = {tap.name: tap for tap in taps}
    if names is not None:
        wrong = [name for name in names if name not in known]
        if wrong or not names:
            raise InputError(f"--taps {listing(wrong) or 'empty'}: no such tap; there are {listing(list(known), 30)}")
        return tuple(known[name] for name in dict.fromkeys(names))
    places = places_of(taps)
    if not places:
        return tuple(spread(taps))
    chosen = taps_at(taps, {name: tuple(spread(values)) for name, values in places.items()})
    return tuple(chosen if len(places) > 1 else spread(chosen))


def spread(values: Sequence[Any]) -> list[Any]:
    """At most `PICTURED` of some values, at equal distances."""
    number = min(PICTURED, len(values))
    return [values[int((place + 0.5) * len(values) / number)] for place in range(number)]
