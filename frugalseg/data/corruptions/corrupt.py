"""Images under one of the corruptions, the same ones each time."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.channels import Channels
from frugalseg.data.classes import ClassTable
from frugalseg.data.corruptions import blur, digital, noise, weather
from frugalseg.data.corruptions.arrays import Values
from frugalseg.data.corruptions.names import CORRUPTIONS, SEVERITY, require_corruptions
from frugalseg.data.datasets import in_channels, in_classes, target_of
from frugalseg.data.example import Example
from frugalseg.data.view import View
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.ranges import SEED, require_number
from frugalseg.support.text import quoted

Corruption = Callable[[Values, int, np.random.Generator], Values]

FUNCTIONS: dict[str, Corruption] = {
    name: function
    for part in (noise, blur, weather, digital)
    for name, function in vars(part).items()
    if name in CORRUPTIONS
}


def corrupted(
    image: NDArray[np.uint8], corruption: str, severity: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """An image under a corruption.

    Args:
        image: (H, W, C) uint8 of any size and number of channels.
        corruption: one of `CORRUPTIONS`.
        severity: from 1 to 5.
        generator: of all that is random.

    Returns:
        (H, W, C) uint8.

    Raises:
        InputError: an unknown corruption, a severity out of range, or no such image.
    """
    require_corruptions((corruption,), "corruption")
    require_number("severity is", severity, SEVERITY)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or not image.size:
        raise InputError(f"{described(image)} is no image to corrupt; give (H, W, C) uint8")
    values = FUNCTIONS[corruption](image.astype(np.float32) / 255, severity, generator)
    found: NDArray[np.uint8] = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return found


def described(image: object) -> str:
    """What was given for an image, in words."""
    return f"an array {image.shape} of {image.dtype}" if isinstance(image, np.ndarray) else quoted(image)


def generator_for(name: str, corruption: str, seed: int = 0) -> np.random.Generator:
    """The generator of an image's corruption: the same noise, splashes or direction at each severity.

    Args:
        name: of the image.
        corruption: of `CORRUPTIONS`.
        seed: other ones give other noise.
    """
    return np.random.default_rng((seed, int(digests.text(f"{corruption}/{name}"), 16)))


class Corrupted(View):
    """The examples of a dataset with corrupted images; their targets stay.

    Args:
        dataset: of images (H, W, C) uint8.
        corruption: one of `CORRUPTIONS`.
        severity: from 1 to 5.
        seed: see `generator_for`.

    Raises:
        InputError: an unknown corruption, or a severity or seed out of range; for an example, that its image is none.
    """

    def __init__(self, dataset: Sequence[Example], corruption: str, severity: int, seed: int = 0) -> None:
        require_corruptions((corruption,), "corruption")
        require_number("severity is", severity, SEVERITY)
        require_number("seed is", seed, SEED)
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise InputError(f"{quoted(dataset)} is no dataset; give a SegmentationFolder or a sequence of examples")
        self.dataset, self.corruption, self.severity, self.seed = dataset, corruption, int(severity), int(seed)

    def __len__(self) -> int:
        return len(self.dataset)

    def example(self, index: int) -> Example:
        """See `View`."""
        clean = self.dataset[index]
        generator = generator_for(clean.name, self.corruption, self.seed)
        # It is no longer the image that a network drew: it has no origin.
        return Example(clean.name, corrupted(clean.image, self.corruption, self.severity, generator), clean.target)

    def target(self, index: int) -> NDArray[np.uint8]:
        """(H, W) uint8: the target of the example at `index` alone."""
        return target_of(self.dataset, index)

    def in_classes(self, classes: ClassTable) -> "Corrupted":
        """The same images with targets in the positions of another table; `InputError` for a class that it lacks."""
        return Corrupted(in_classes(self.dataset, classes), self.corruption, self.severity, self.seed)

    def in_channels(self, channels: Channels) -> "Corrupted":
        """The same images read in other channels, and then corrupted; errors are those of `datasets.in_channels`."""
        return Corrupted(in_channels(self.dataset, channels), self.corruption, self.severity, self.seed)
