"""What feature maps show without any label: clusters of their values (k-means), and their principal components as
colors. Both are found on several images together, so that a cluster and a color mean the same on all of them."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

MOST_ROWS = 40_000
"""Values that clusters and components are found on; with more, a random choice of them."""
STARTS = 4
"""Of k-means, of which the best end counts."""
OUTLIERS = 1.0
"""Per cent of the values at each end that are shown as dark or bright as the rest, not to dim the others."""

Rows = NDArray[np.float32]


def rows_of(maps: Sequence[Tensor]) -> Rows:
    """(N, C) float32: the values of maps (C, h, w), one map pixel a row, image after image."""
    return np.concatenate([values.flatten(1).t().float().cpu().numpy() for values in maps])


def some(rows: Rows, seed: int) -> Rows:
    """At most `MOST_ROWS` of the rows."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False)]


def unstacked(values: NDArray[np.generic], maps: Sequence[Tensor]) -> list[NDArray[np.generic]]:
    """What was found for the rows of `rows_of`, (N, ...), as (h, w, ...) for each map."""
    shapes = [(values.shape[-2], values.shape[-1]) for values in maps]
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    return [part.reshape(*shape, *values.shape[1:]) for part, shape in zip(np.split(values, ends), shapes, strict=True)]


def clusters(maps: Sequence[Tensor], number: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """The k-means cluster of each map pixel.

    Args:
        maps: of one tap, (C, h, w) for each image; together they have at least `number` pixels.
        number: of clusters, k, at most 255.
        seed: of the starts.

    Returns:
        (h, w) uint8 for each image, 0 the largest cluster. Of values that are all alike there is one cluster only.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rows = rows_of(maps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different values than clusters
        found = KMeans(number, n_init=STARTS, random_state=seed).fit(some(rows, seed)).predict(rows)
    rank = np.argsort(np.argsort(-np.bincount(found, minlength=number), kind="stable"), kind="stable")
    return [part.astype(np.uint8) for part in unstacked(rank[found], maps)]


def components(maps: Sequence[Tensor], seed: int = 0) -> list[NDArray[np.uint8]]:
    """The first three principal components of each map pixel as red, green and blue.

    Args:
        maps: of one tap, (C, h, w) for each image.
        seed: of the choice of values that they are found on.

    Returns:
        (h, w, 3) uint8 for each image; of maps of one or two channels, the other colors are 0.
    """
    from sklearn.decomposition import PCA

    rows = rows_of(maps)
    number = min(3, *rows.shape)
    found = PCA(number, random_state=seed).fit(some(rows, seed)).transform(rows)
    low, high = np.percentile(found, (OUTLIERS, 100 - OUTLIERS), axis=0)
    shares = np.clip((found - low) / np.maximum(high - low, np.finfo(np.float32).tiny), 0, 1)
    colors = np.zeros((len(rows), 3), np.uint8)
    colors[:, :number] = np.rint(255 * shares)
    return [part.astype(np.uint8) for part in unstacked(colors, maps)]


def renumbered(
    found: Sequence[NDArray[np.uint8]], reference: Sequence[NDArray[np.uint8]], number: int
) -> list[NDArray[np.uint8]]:
    """Clusters under the numbers of those of a reference that they share most pixels with, each number once.

    Args:
        found: (H, W) for each image.
        reference: of the same images and sizes.
        number: of clusters, in both.
    """
    shared = np.zeros((number, number), np.int64)
    for one, of in zip(found, reference, strict=True):
        np.add.at(shared, (one.ravel(), of.ravel()), 1)
    match = np.zeros(number, np.uint8)
    for _ in range(number):  # the pair that shares most, then the best one of the others
        own, other = divmod(int(shared.argmax()), number)
        match[own] = other
        shared[own], shared[:, other] = -1, -1
    return [match[each] for each in found]
