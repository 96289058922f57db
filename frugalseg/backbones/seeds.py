"""The seeds that a caller gives a generator of images."""

from collections.abc import Iterable
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.ranges import SEED
from frugalseg.support.text import quoted


def checked_seeds(seeds: Any) -> list[int]:
    """Seeds as plain numbers.

    Args:
        seeds: whole numbers of any type, numpy's included, in any order; a list, a range, an array or a tensor.

    Raises:
        InputError: no seed at all, or something that is none.
    """
    given = seeds.tolist() if hasattr(seeds, "tolist") else seeds
    values = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
    wrong = [each for each in values if isinstance(each, list | tuple) or not SEED.holds(each)]
    if wrong or not values:
        raise InputError(f"seeds {quoted(wrong[0]) if wrong else 'empty'}: give a list of one for each image, {SEED}")
    return [int(each) for each in values]
