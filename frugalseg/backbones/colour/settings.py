"""What a user sets."""

from dataclasses import dataclass

from frugalseg.support.options import check_ranges, option
from frugalseg.support.ranges import SIZE


@dataclass(frozen=True)
class ColourOptions:
    """What `load_backbone` takes for ``colour``.

    Attributes:
        native_size: (height, width) in pixels that images of other sizes are resized to.
    """

    native_size: tuple[int, int] = option(
        (256, 256), "The height x width in pixels that images are resized to.", within=SIZE
    )

    def __post_init__(self) -> None:
        check_ranges(self)
