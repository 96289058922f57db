"""Which labelled samples a student learns from."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.support.errors import InputError

PUBLISHED_STRAY = 30
"""The published code keeps places 30 to N - n + 30 of the ascending order: the 30 most certain samples are lost, and
the 30 least of those that were to be dropped are kept."""


def keep_certain(uncertainties: ArrayLike, drop: float = 0.1, *, stray: int = 0) -> NDArray[np.int64]:
    """The samples that stay when the most uncertain share is dropped.

    Args:
        uncertainties: (N,) of the images; one that is not a number counts as the most uncertain.
        drop: share to leave out, in [0, 1); rounded down to a number n of samples.
        stray: shifts what is kept in the ascending order, towards the uncertain, by so many samples, or n if that is
            less: `PUBLISHED_STRAY` repeats the published selection, 0 is what the paper says.

    Returns:
        (N - n,) int64, ascending indices.

    Raises:
        InputError: `drop` is out of range, or nothing is left.
    """
    values = np.asarray(uncertainties, dtype=np.float64)
    if not 0 <= drop < 1:
        raise InputError(f"drop is {drop}; give a share from 0 to below 1")
    dropped = int(drop * len(values) + 1e-9)
    if len(values) == dropped:
        raise InputError(
            f"no sample is left of {len(values)} after dropping {dropped}; make more samples, or drop less"
        )
    ascending = np.argsort(values, kind="stable")
    first = min(stray, dropped)
    kept: NDArray[np.int64] = np.sort(ascending[first : len(values) - dropped + first]).astype(np.int64)
    return kept
