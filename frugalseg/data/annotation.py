"""What is known of an image's pixels, whatever wrote it down."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable


class Annotation(Protocol):
    """The annotation of one image; small, and read only when asked for."""

    @property
    def path(self) -> Path:
        """The file to name in errors, and to watch for changes; several images may share it."""

    def ids(self, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64: the id of each pixel's class; the table's `ignore_index` or 255 where it is not annotated.

        Args:
            size: (H, W) of the upright image.
            classes: whose ids are wanted. Annotations that name their classes find the names in it; those that hold
                ids themselves do not look at it.

        Raises:
            FileError: missing, unreadable, wrong, of another image size, or with a name that the table lacks.
        """
