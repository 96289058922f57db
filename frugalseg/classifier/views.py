"""Two views of an image, as it is and mirrored, whose predictions become one."""

from collections.abc import Iterable, Iterator

import torch

from frugalseg.classifier.prediction import PixelRows, known
from frugalseg.classifier.voting import entropy


def averaged(rows: Iterable[PixelRows], mirrored: Iterable[PixelRows]) -> Iterator[PixelRows]:
    """The prediction of an ensemble that sees an image both ways: each member counts once for each view.

    Args:
        rows: all rows of the image, from the top, with probabilities.
        mirrored: those of the image mirrored left to right, in the same parts.

    Returns:
        The rows from the top. Labels are those of the mean probabilities; the uncertainty is the Jensen-Shannon
        divergence of all members in both views, where both have one.
    """
    for piece, other in zip(rows, mirrored, strict=True):
        yield _average(piece, other)


@torch.inference_mode()
def _average(piece: PixelRows, mirrored: PixelRows) -> PixelRows:
    one, two = known(piece.probabilities), known(mirrored.probabilities).flip(-1)
    mean = (one + two) / 2
    uncertainty = None
    if piece.uncertainty is not None and mirrored.uncertainty is not None:
        # The divergence is the entropy of the mean less the mean entropy of the members, which each view's own gives.
        members = entropy(one, 0) - piece.uncertainty + entropy(two, 0) - mirrored.uncertainty.flip(-1)
        uncertainty = (entropy(mean, 0) - members / 2).clamp_min_(0)
    return PixelRows(mean.argmax(0).to(torch.uint8), mean, uncertainty)
