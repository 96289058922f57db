"""Annotated images in folds, so that the classes of each fold also occur in the others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import NOT_ANNOTATED
from frugalseg.support.errors import InputError
from frugalseg.support.text import count

FEWEST = 2


@dataclass(frozen=True)
class Split:
    """Which images a classifier learns from, and on which it is tested.

    Attributes:
        train, test: numbers of images, ascending.
    """

    train: tuple[int, ...]
    test: tuple[int, ...]


def splits_of(targets: Sequence[NDArray[np.uint8]], folds: int, seed: int) -> list[Split]:
    """Each fold is tested once, by a classifier of all others; the arguments and errors are those of `folds_of`.

    Images without a label are not tested.
    """
    every = range(len(targets))
    return [
        Split(tuple(image for image in every if image not in held_out), tuple(labelled(targets, held_out)))
        for held_out in folds_of(targets, folds, seed)
    ]


def labelled(targets: Sequence[NDArray[np.uint8]], images: Iterable[int]) -> list[int]:
    """Those of some images, by number, that have labels."""
    return [image for image in images if (targets[image] != NOT_ANNOTATED).any()]


def folds_of(targets: Sequence[NDArray[np.uint8]], folds: int, seed: int) -> list[tuple[int, ...]]:
    """The images of each fold, ascending; every image is in exactly one.

    Images of the rarest class are dealt out first, then those of the next one, so that each class is spread over as
    many folds as it has images. Images without a label go last.

    Args:
        targets: (H, W) uint8 class positions of each image, 255 = not annotated.
        folds: how many, at least 2 and at most as many as there are images with labels.
        seed: of the order among images that are alike.

    Raises:
        InputError: too few images for so many folds; the message says how many there are.
    """
    present = [set(np.unique(target).tolist()) - {NOT_ANNOTATED} for target in targets]
    labelled = sum(bool(each) for each in present)
    if not FEWEST <= folds <= labelled:
        fewest = f"from {FEWEST} to {labelled}" if labelled > FEWEST else str(FEWEST)
        most = f"give {fewest} folds" if labelled >= FEWEST else f"annotate at least {FEWEST}"
        raise InputError(f"{folds} folds of {count(labelled, 'annotated image')}; {most}")
    counts = np.bincount([position for each in present for position in each], minlength=256)
    order = np.random.default_rng(seed).permutation(len(targets))
    rarest = {int(image): min((int(counts[c]) for c in present[image]), default=len(targets) + 1) for image in order}
    dealt: list[list[int]] = [[] for _ in range(folds)]
    held = np.zeros((folds, 256), np.int64)
    for image in sorted(rarest, key=lambda number: rarest[number]):
        place = emptiest(dealt, held, present[image], counts)
        dealt[place].append(image)
        held[place, list(present[image])] += 1
    return [tuple(sorted(each)) for each in dealt]


def emptiest(
    dealt: Sequence[Sequence[int]], held: NDArray[np.int64], classes: set[int], counts: NDArray[np.int64]
) -> int:
    """The fold that an image of some classes should join: one of the smallest, with the least of its rarest class."""
    rarest = min(classes, key=lambda position: (counts[position], position), default=0)
    return min(range(len(dealt)), key=lambda fold: (len(dealt[fold]), int(held[fold, rarest]), fold))
