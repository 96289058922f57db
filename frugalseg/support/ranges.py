"""The ranges of numbers that users give. Each has an upper end, so that no slip of the hand fills memory or disk."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.text import brief, quoted


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`.

    Attributes:
        least, most: the ends.
        whole: take whole numbers only.
        above, below: leave out `least`, leave out `most`.
        product: the largest product of several values, such as the pixels of a size.
    """

    least: float
    most: float
    whole: bool = True
    above: bool = False
    below: bool = False
    product: float = math.inf

    def holds(self, value: Any) -> bool:
        """Whether a number, or each of several, lies within."""
        values = value if isinstance(value, tuple | list) else (value,)
        return all(map(self._inside, values)) and math.prod(values) <= self.product

    def _inside(self, number: Any) -> bool:
        # true and false are numbers for Python, too. What is no number (NaN) is in no range.
        numeric = isinstance(number, Integral if self.whole else Real) and not isinstance(number, bool)
        if not numeric:
            return False
        low = number > self.least if self.above else number >= self.least
        return bool(low and (number < self.most if self.below else number <= self.most))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        least, most = f"{'above ' * self.above}{self.least:.15g}", f"{'below ' * self.below}{self.most:.15g}"
        return f"{kind} from {least} to {most}"


@dataclass(frozen=True)
class Sizes(Range):
    """A height and a width in pixels."""

    def holds(self, value: Any) -> bool:
        """Whether a pair lies within."""
        return isinstance(value, tuple | list) and len(value) == 2 and super().holds(value)

    @property
    def limits(self) -> str:
        """The upper ends in words."""
        return f"at most {self.most:.0f} a side and {self.product / 1e6:.0f} megapixels"

    def __str__(self) -> str:
        return f"height and width in pixels, {self.limits}"


COUNT = Range(1, 10**9)
AMOUNT = Range(0, 10**9)
"""A count that may be 0."""
BATCH = Range(1, 2**16)
SIDE = Range(1, 2**16)
SIZE = Sizes(1, 2**16, product=10**8)
SEED = Range(0, 2**32 - 1)
"""What NumPy and torch both take."""
CHANNELS = Range(1, 16)
"""Of the images that a model sees."""
WIDTH = Range(1, 2**13)
"""Channels and dimensions of a network."""
DEPTH = Range(1, 1000)
"""Layers, heads, crops: parts of which each is a piece of a network or of its work."""
MEMBERS = Range(1, 1000)
RUNS = Range(1, 1000)
DEVICES = Range(1, 4096)
WORKERS = Range(0, 256)
RATE = Range(0, 1000, whole=False, above=True)
WEIGHT = Range(0, 10**6, whole=False)
POSITIVE = Range(0, 10**6, whole=False, above=True)
SHARE = Range(0, 1, whole=False, below=True)
"""A share that is never all."""
MINUTES = Range(0, 10**7, whole=False)


def require_number(what: str, value: Any, within: Range) -> None:
    """`InputError` where a value is not a single number within its range; see `check_range`."""
    if not isinstance(value, Real) or not within.holds(value):
        raise InputError(f"{what} {quoted(value)}; give {within}")


def check_range(what: str, value: Any, within: Range | None) -> None:
    """`InputError` where a value lies outside of its range; None lies in each.

    Args:
        what: is wrong, for the message: ``members is``, ``--members``.
        value: one number or several.
        within: the range; None allows everything.
    """
    if within is not None and value is not None and not within.holds(value):
        shown = ", ".join(map(quoted, value)) if isinstance(value, tuple) and value else quoted(value)
        raise InputError(f"{what} {brief(shown, 60)}; give {within}")
