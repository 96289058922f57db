"""What a user sets."""

from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.options import option


@dataclass(frozen=True)
class ColourOptions:
    """What `load_backbone` takes for ``colour``.

    Attributes:
        native_size: (height, width) in pixels that images of other sizes are resized to.
    """

    native_size: tuple[int, int] = option((256, 256), "The height x width in pixels that images are resized to.")

    def __post_init__(self) -> None:
        sides = self.native_size
        if not isinstance(sides, tuple) or len(sides) != 2 or not all(isinstance(s, int) and s > 0 for s in sides):
            raise InputError(f"native_size is {sides!r}; expected height and width in pixels, for example (192, 128)")
