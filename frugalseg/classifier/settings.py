"""The settings of a `Segmenter`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

from frugalseg.classifier.protocol import PROTOCOLS, TrainingProtocol, training_protocol
from frugalseg.support.checked import from_json
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, make_plain, ranged
from frugalseg.support.ranges import AMOUNT, MEMBERS, SEED, SHARE, SIZE
from frugalseg.support.text import quoted

if TYPE_CHECKING:
    from frugalseg.classifier.voting import Wanted

PAPER = "paper"
SMOOTHING = 0.015
"""The best share of those tried, or as good as that, on three kinds of images: docs/results.md has the table."""


@dataclass(frozen=True)
class Settings:
    """How images meet the network, and how the classifier is trained.

    Attributes:
        protocol: how the classifier is trained: a protocol, or the name of one of `PROTOCOLS`.
        members: MLPs in the ensemble (10 in the paper).
        seed: of the classifier's initial weights and shuffling.
        tile: slide windows of the network's size over larger images, at the images' own resolution, rather than
            resizing every image to the network's size.
        overlap: share of a window's side that neighbouring windows share, in [0, 1).
        mirror: train on each image mirrored left to right as well; not for classes that tell left from right.
        network_size: (h, w) to use instead of the size that the network was trained on.
        small_region: a class with fewer pixels than this in a training image is ignored there (20 as published).
        smoothing: radius of a filter that makes predictions follow the edges of the image, as a share of the shorter
            side of what the network sees at once: of the image, or of a window with `tile`. 0 leaves predictions as
            they are. None: `SMOOTHING`, but 0 with the protocol ``paper``. See `frugalseg.classifier.smoothing`.
        mirrored_views: predict each image mirrored left to right as well, and average. It takes twice the time.
    """

    protocol: TrainingProtocol = PROTOCOLS["default"]
    members: int = ranged(10, MEMBERS)
    seed: int = ranged(0, SEED)
    tile: bool = False
    overlap: float = ranged(0.25, SHARE)
    mirror: bool = False
    network_size: tuple[int, int] | None = ranged(None, SIZE)
    small_region: int = ranged(20, AMOUNT)
    smoothing: float | None = ranged(None, SHARE, in_repr=False)
    mirrored_views: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        check_ranges(self)
        make_plain(self)
        if not isinstance(self.protocol, TrainingProtocol):
            raise InputError(f"protocol is {quoted(self.protocol)}; give a TrainingProtocol, or the name of one")

    @property
    def smoothing_share(self) -> float:
        """`smoothing`, or what it is by default."""
        if self.smoothing is None:
            return 0.0 if self.protocol.name == PAPER else SMOOTHING
        return self.smoothing

    @property
    def afterwards(self) -> tuple[str, ...]:
        """What happens to predictions, if anything does. `Model.fingerprint` takes the text of all other settings."""
        given = {"smoothing": self.smoothing_share, "mirrored_views": self.mirrored_views}
        return tuple(f"{name}={value!r}" for name, value in given.items() if value)

    def wanted_of_members(self, wanted: "Wanted") -> "Wanted":
        """What the members must give for an answer with what is `wanted`."""
        return replace(wanted, probabilities=True) if self.afterwards else wanted

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The settings that ``asdict`` has written into a ``config.json``; `InputError` where they are not.

        Earlier versions did not smooth, and wrote nothing of it.
        """
        return from_json(cls, {"smoothing": 0.0, **values} if isinstance(values, Mapping) else values)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Settings by name; the protocol may be given by its own name.

        Raises:
            InputError: an unknown setting or protocol, or one out of range.
        """
        known = [each.name for each in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise InputError(f"a Segmenter has no setting {', '.join(unknown)}; known: {', '.join(known)}")
        return cls(**{**given, "protocol": as_protocol(given.get("protocol", "default"))})


def as_protocol(protocol: str | TrainingProtocol) -> TrainingProtocol:
    """A training protocol from itself or from its name."""
    return training_protocol(protocol) if isinstance(protocol, str) else protocol
