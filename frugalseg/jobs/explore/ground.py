"""What all explorations of one call stand on: the images, how they are split, and the maps of a network."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from frugalseg.backbones import Backbone
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.jobs.explore.request import ExploreSettings
from frugalseg.segmenter import Segmenter
from frugalseg.selection.cross_validation import every_window
from frugalseg.selection.folds import Split
from frugalseg.selection.places import InPasses
from frugalseg.selection.trial import Trial
from frugalseg.support.progress import Progress
from frugalseg.support.records import kept

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground of all explorations.

    Attributes:
        backbone: with the options that the user gave.
        given: these options.
        settings: what is looked at.
        model: settings of a `Segmenter`.
        device: where everything runs.
        dataset: the annotated images, and after them those of the test folder and of further sources.
        annotated: how many of them are not of other folders.
        targets: (H, W) uint8 class positions of each image.
        splits: what is learned from, and what is tested; none where nothing is trained.
        classes: of all.
        out: the output folder.
        progress: told of each step.
        sources: what is learned from each source, and tested, where sources are compared.
    """

    backbone: Backbone
    given: Mapping[str, Any]
    settings: ExploreSettings
    model: Mapping[str, Any]
    device: str
    dataset: Sequence[Example]
    annotated: int
    targets: Sequence[NDArray[np.uint8]]
    splits: Sequence[Split]
    classes: ClassTable
    out: Path
    progress: Progress
    sources: Mapping[str, Split] = field(default_factory=dict)

    @property
    def tested(self) -> int:
        """How many images are tested."""
        return sum(len(split.test) for split in self.splits)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(H, W) of each image."""
        return [(target.shape[0], target.shape[1]) for target in self.targets]

    def segmenter(self, backbone: Backbone | None = None, **settings: Any) -> Segmenter:
        """An unfitted model.

        Args:
            backbone: None: as the user gave it.
            settings: that differ from those of `model`.
        """
        return Segmenter(backbone or self.backbone, device=self.device, **{**self.model, **settings})

    @contextmanager
    def trial(self, name: str, segmenter: Segmenter, members: int) -> Iterator[Trial]:
        """The maps of all images for a model; they lie on the disk while the block runs, or until a rerun ends it.

        Args:
            name: of their folder.
            segmenter: not fitted.
            members: of each classifier.
        """
        with self.maps(name) as folder:
            extraction = every_window(segmenter, self.dataset, folder)
            extraction.compute(InPasses(segmenter), self.progress)
            yield Trial(segmenter, self.targets, extraction, members, len(self.classes))

    @contextmanager
    def maps(self, name: str) -> Iterator[Path]:
        """A folder for maps, which is deleted when the block ends well."""
        folder = self.out / "maps" / name
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def kept(self, subject: str, name: str, make: Callable[[], Any], read: Callable[[Any], T]) -> T:
        """What `read` makes of a JSON value that an interrupted run has written, or that `make` gives."""
        return kept(self.score(subject, name), make, read)

    def score(self, subject: str, name: str) -> Path:
        """The file of such a value."""
        return self.out / "scores" / subject / f"{name}.json"
