"""The names of the corruptions; light, for the command line reads them."""

from collections.abc import Sequence
from difflib import get_close_matches

from frugalseg.support.errors import InputError
from frugalseg.support.ranges import Range
from frugalseg.support.text import listing, quoted

KINDS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
"""The 18 corruptions by their kind."""

CORRUPTIONS = tuple(name for names in KINDS.values() for name in names)
SEVERITIES = (1, 2, 3, 4, 5)
SEVERITY = Range(SEVERITIES[0], SEVERITIES[-1])


def require_corruptions(names: Sequence[str], what: str) -> None:
    """`InputError` for a name that is none of `CORRUPTIONS`, with the nearest one that is, or for no name at all.

    Args:
        names: that were given.
        what: they were given as, for the message.
    """
    wrong = [name if isinstance(name, str) else quoted(name) for name in names if name not in CORRUPTIONS]
    if names and not wrong:
        return
    told = wrong[0] if wrong else ""
    near = get_close_matches(told, CORRUPTIONS, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"{what} {told or 'empty'}: {meant}give any of {listing(CORRUPTIONS, len(CORRUPTIONS))}")


def kind_of(corruption: str) -> str:
    """The kind that one of `CORRUPTIONS` belongs to."""
    return next(kind for kind, names in KINDS.items() if corruption in names)
