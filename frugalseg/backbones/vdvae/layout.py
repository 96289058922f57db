"""Block strings: at which resolution each block of a VDVAE works, as the settings of the published networks say it.

A resolution is the number of rows of a map. ``32x3`` are three blocks at 32 rows, ``32d2`` is one block there whose
output is pooled to 16 rows, and ``32m16`` is one block of the decoder at 32 rows to which the state at 16 rows comes.
"""

import re
from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted

MOST_BLOCKS = 1000
"""Of an encoder or a decoder; the deepest published one has 78."""
EXAMPLES = {"encoder": "32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3", "decoder": "1x1,4m1,4x2,8m4,8x5,16m8,16x9,32m16"}


@dataclass(frozen=True)
class EncoderPlace:
    """Where a block of the encoder works.

    Attributes:
        resolution: rows of its input.
        pool: by how much its output is smaller; 1 where it isn't.
    """

    resolution: int
    pool: int = 1

    @property
    def leaves(self) -> int:
        """Rows of its output."""
        return self.resolution // self.pool


@dataclass(frozen=True)
class DecoderPlace:
    """Where a block of the decoder works.

    Attributes:
        resolution: rows of the state that it changes.
        lower: rows of the state that is added before; None where none is.
    """

    resolution: int
    lower: int | None = None


def encoder_places(text: str) -> tuple[EncoderPlace, ...]:
    """The blocks of an encoder, in order.

    Raises:
        InputError: no such string, or its blocks do not follow each other.
    """
    places = [EncoderPlace(rows, 1 if sign == "x" else by) for rows, sign, by in _parts(text, "d", "encoder")]
    for place, after in zip(places, [*places[1:], None], strict=True):
        if place.resolution % place.pool or (after is not None and after.resolution != place.leaves):
            follows = "the end" if after is None else f"a block at {after.resolution}"
            raise InputError(
                f"encoder_layout {quoted(text)}: {follows} cannot follow a block at {place.resolution} whose output is "
                f"pooled by {place.pool}"
            )
    return tuple(places)


def decoder_places(text: str) -> tuple[DecoderPlace, ...]:
    """The blocks of a decoder, in order.

    Raises:
        InputError: no such string, or a block takes up a state that is not there.
    """
    places = [DecoderPlace(rows, None if sign == "x" else by) for rows, sign, by in _parts(text, "m", "decoder")]
    done: set[int] = set()
    for place in places:
        if place.lower is not None and (place.lower not in done or place.resolution % place.lower):
            raise InputError(
                f"decoder_layout {quoted(text)}: the block {place.resolution}m{place.lower} finds no state at "
                f"{place.lower} rows that can be enlarged to {place.resolution}"
            )
        done.add(place.resolution)
    return tuple(places)


def _parts(text: str, sign: str, what: str) -> list[tuple[int, str, int]]:
    """(rows, sign, number) of each block; a block that is repeated comes so many times."""
    found: list[tuple[int, str, int]] = []
    for part in text.split(","):
        match = re.fullmatch(rf"([1-9]\d{{0,4}})(?:([x{sign}])([1-9]\d{{0,4}}))?", part.strip(), re.ASCII)
        if match is None:
            raise InputError(
                f"{what}_layout {quoted(text)}: {quoted(part)} is no block; an example is {EXAMPLES[what]}"
            )
        rows, kind, number = int(match[1]), match[2] or "x", int(match[3] or 1)
        repeats = number if kind == "x" else 1
        if len(found) + repeats > MOST_BLOCKS:
            raise InputError(f"{what}_layout {quoted(text)}: more than {MOST_BLOCKS} blocks")
        found += [(rows, kind, number)] * repeats
    return found
