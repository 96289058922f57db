"""How good a model gets with more annotated images, and with more members of its ensemble."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from threading import Event

import numpy as np
from numpy.typing import NDArray

from frugalseg.classifier.extraction import drop_small_regions
from frugalseg.classifier.pixel_set import require_positions
from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.selection.folds import Split
from frugalseg.selection.several import several
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError
from frugalseg.support.text import count

MEMBERS = (1, 2, 3, 4, 5, 6, 8)
"""Numbers of members that are tried; beyond, multiples of 5, and the number that was trained."""


def most_images(targets: Sequence[NDArray[np.uint8]], splits: Sequence[Split], small_region: int) -> int:
    """How many annotated images every split has to learn from."""
    return min(len(learned_from(targets, split, small_region)) for split in splits)


def require_classes(targets: Iterable[NDArray[np.uint8]], classes: int) -> None:
    """`InputError`, before any features are computed, where nothing can learn from targets; see `require_learnable`."""
    found = {position for target in targets for position in np.unique(target).tolist()}
    require_positions(found - {NOT_ANNOTATED}, classes)


def require_learned(targets: Sequence[NDArray[np.uint8]], splits: Iterable[Split], small_region: int) -> None:
    """`InputError`, before any features are computed, where a split has nothing to learn from."""
    if not all(any(is_learned(targets[image], small_region) for image in split.train) for split in splits):
        raise InputError(
            f"some images to learn from have only classes with fewer than {small_region} pixels, which are not "
            "learned; annotate more of them, or give a smaller number as --small-regions"
        )


def is_learned(target: NDArray[np.uint8], small_region: int) -> bool:
    """Whether an image has labels after `drop_small_regions`."""
    return bool((drop_small_regions(target, small_region) != NOT_ANNOTATED).any())


def learned_from(targets: Sequence[NDArray[np.uint8]], split: Split, small_region: int) -> list[int]:
    """The training images of a split that have labels after `drop_small_regions`."""
    return [image for image in split.train if is_learned(targets[image], small_region)]


def sizes_up_to(most: int, given: Sequence[int] | None = None) -> tuple[int, ...]:
    """The numbers of images to try: 1, 2, 4, ... and `most`, or those that are given.

    Raises:
        InputError: one of the given is 0, or more than there are.
    """
    if given is None:
        doubled = [2**power for power in range(most.bit_length()) if 2**power < most]
        return (*doubled, most)
    wrong = [size for size in given if not 1 <= size <= most]
    if wrong or not given:
        raise InputError(
            f"--sizes {', '.join(map(str, wrong)) or 'empty'}: there are {count(most, 'annotated image')} to learn "
            f"from; give numbers from 1 to {most}"
        )
    return tuple(sorted(set(given)))


def members_up_to(most: int) -> tuple[int, ...]:
    """The numbers of members to try of an ensemble of `most`."""
    return tuple(sorted({m for m in (*MEMBERS, *range(10, most, 5), most) if m <= most}))


def with_images(trial: Trial, splits: Sequence[Split], size: int, seed: int) -> ConfusionMatrix:
    """The test images, by classifiers of `size` training images each.

    A seed puts the training images of a split into an order, of which a size takes the first: the images of a smaller
    size are among those of a larger one.
    """
    small_region, parts = trial.segmenter.settings.small_region, list[Split]()
    for number, split in enumerate(splits):
        images = learned_from(trial.targets, split, small_region)
        order = np.random.default_rng((seed, number)).permutation(len(images))
        parts.append(replace(split, train=tuple(sorted(images[place] for place in order[:size]))))
    with closing(trial.tested_each(parts, seed)) as tests:
        return ConfusionMatrix.together(trial.num_classes, (each for found in tests for each in found.values()))


def with_members(trial: Trial, splits: Sequence[Split], numbers: Sequence[int], seed: int) -> list[ConfusionMatrix]:
    """The test images by the first so many members of one ensemble; members do not depend on those beside them."""

    def tested(split: Split, stop: Event) -> list[ConfusionMatrix]:
        classifier = trial.trained(split.train, seed, stop)
        firsts = (classifier.select(range(number)).predictor() for number in numbers)
        return [ConfusionMatrix.together(trial.num_classes, trial.compared_each(split.test, p, stop)) for p in firsts]

    with closing(several(tested, splits, trial.segmenter.device)) as tests:
        by_number = zip(*tests, strict=True)
        return [ConfusionMatrix.together(trial.num_classes, found) for found in by_number]
