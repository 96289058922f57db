"""How features are chosen; light, for the command line reads it."""

from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.options import option


@dataclass(frozen=True)
class ChoiceSettings:
    """What a comparison of candidates takes.

    Attributes:
        minutes: the time that it is planned for, on two CPU cores. It limits how many of the annotated images are
            compared; how fast the machine at hand is has no influence, so that a seed gives one choice everywhere.
        folds: parts of the images; see `frugalseg.selection.cross_validation.cross_validate`.
    """

    minutes: float = option(
        2.0,
        "How long the comparison may take on two CPU cores. If that is too short for all images, some are left out.",
    )
    folds: int = option(3, "In how many parts the images are divided. Each is predicted by a model of the others.")

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= 10_000:
            raise InputError(f"minutes is {self.minutes}; give a number above 0, up to 10000")
        if not 2 <= self.folds <= 1000:
            raise InputError(f"folds is {self.folds}; give a number from 2 to 1000")
