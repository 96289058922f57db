"""How features are chosen; light, for the command line reads it."""

from dataclasses import dataclass

from frugalseg.support.options import check_ranges, option
from frugalseg.support.ranges import POSITIVE

AUTO = "auto"
"""What the command line and requests call a backbone that is to be chosen."""


@dataclass(frozen=True)
class ChoiceSettings:
    """What a comparison of candidates takes.

    Attributes:
        minutes: the time that it is planned for, on two CPU cores. It limits how many of the annotated images are
            compared; how fast the machine at hand is has no influence, so that a seed gives one choice everywhere.
    """

    minutes: float = option(
        2.0,
        "About how long the comparison may take on two CPU cores. If that is too short, some images are left out.",
        within=POSITIVE,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
