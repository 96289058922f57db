"""Folders of annotated images as sources to learn from, under the same test images: real ones, generated ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.chain import Chain
from frugalseg.data.datasets import targets_of
from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.data.opened import OpenedFolder
from frugalseg.jobs.explore.ground import Ground
from frugalseg.jobs.explore.request import require_not_tested
from frugalseg.metrics.confusion import ConfusionMatrix
from frugalseg.report.bar_plots import bars
from frugalseg.report.page import Page, mean_std
from frugalseg.report.plots import Plot, mean_and_std
from frugalseg.selection.curves import learned_from, require_learned
from frugalseg.selection.folds import Split
from frugalseg.selection.trial import Trial
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress
from frugalseg.support.records import share
from frugalseg.support.text import count


@dataclass(frozen=True)
class SourceScore:
    """What models have learned from one source.

    Attributes:
        name: of the source.
        images: annotated ones that they learned from.
        mious: of each run, in [0, 1].
    """

    name: str
    images: int
    mious: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.name} {mean_std(self.mious)}"


def open_sources(
    sources: Mapping[str, Path], train: SegmentationFolder, test: SegmentationFolder, name: str, progress: Progress
) -> dict[str, SegmentationFolder]:
    """The folders of sources, in the classes and channels of the annotated images.

    Args:
        sources: by their names. The folder of the annotated images comes first unless it is among them.
        train: the annotated images, which are not read again.
        test: what all are tested on.
        name: of their folder.
        progress: told of each image that is read.

    Raises:
        InputError: no such folder, a damaged one, one without annotations, one with other classes, or that of the
            test; or two sources of one name.
    """
    found: dict[str, SegmentationFolder] = {}
    for each, path in sources.items():
        opened = OpenedFolder.of(path, channels=train.channels)
        require_not_tested(each, opened.layout.path, test.path)
        own = opened.layout.path.resolve() == train.path.resolve()
        found[each] = train if own else SegmentationFolder(opened, train.classes)
        if not own:
            check_annotated(found[each], progress)
    if train in found.values():
        return found
    if name in found:
        raise InputError(f"--source {name}: the annotated images have this name; give the source another one")
    return {name: train, **found}


def with_sources(ground: Ground, sources: Mapping[str, SegmentationFolder], train: SegmentationFolder) -> Ground:
    """The ground with the images of further sources after the others, and what is learned from each source.

    Args:
        ground: of an exploration with test images.
        sources: by their names; see `open_sources`.
        train: the annotated images of the ground.

    Raises:
        InputError: there is nothing to learn in a source.
    """
    others = [images for images in sources.values() if images is not train]
    dataset, start, splits = Chain(ground.dataset, *others), len(ground.targets), {}
    ground.segmenter().require_readable(dataset)
    for name, images in sources.items():
        first = 0 if images is train else start
        start += 0 if images is train else len(images)
        splits[name] = Split(tuple(range(first, first + len(images))), ground.splits[0].test)
    targets = [*ground.targets, *(target for images in others for target in targets_of(images))]
    require_learned(targets, splits.values(), ground.segmenter().settings.small_region)
    return replace(ground, dataset=dataset, targets=targets, sources=splits)


class SourceStudy:
    """Trains a model on each source, once for each run, and tests all on the same images.

    Args:
        ground: of the exploration, see `with_sources`.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground, self.runs = ground, ground.settings.runs

    def run(self, trial: Callable[[], Trial]) -> list[SourceScore]:
        """The scores of all sources.

        Args:
            trial: gives the maps of all images, once something is missing.
        """
        ground, found, total = self.ground, [], len(self.ground.sources) * self.runs
        small_region = ground.segmenter().settings.small_region
        for number, (name, split) in enumerate(ground.sources.items()):
            mious = []
            for run in range(self.runs):
                ground.progress("source", number * self.runs + run, total)
                score = partial(self._score, trial, split, (ground.settings.seed + run) % 2**32)
                mious.append(ground.kept("source", f"{number}-{run}", score, share))
            found.append(SourceScore(name, len(learned_from(ground.targets, split, small_region)), tuple(mious)))
        ground.progress("source", total, total)
        return found

    def _score(self, trial: Callable[[], Trial], split: Split, seed: int) -> float:
        """The mIoU of one run."""
        found = trial().tested(split, seed).values()
        return ConfusionMatrix.together(len(self.ground.classes), found).miou()


def add_sources(page: Page, plot: Callable[[str, Plot], None], scores: Sequence[SourceScore]) -> None:
    """A table and a plot.

    Args:
        page: gets them.
        plot: puts a plot on the page, and writes it as a file of a name.
        scores: what is told.
    """
    runs = count(len(scores[0].mious), "run")
    page.heading("Training source").text(
        "mIoU on the same test images of models that learn from each of these folders: the mean over "
        f"{runs} with different seeds, and one standard deviation. source.csv has all runs."
    )
    rows = [(score.name, str(score.images), mean_std(score.mious)) for score in scores]
    page.table(("source", "annotated images", "mIoU, %"), rows)
    table: NDArray[np.float64] = np.array([score.mious for score in scores]).T
    alt = f"mIoU in per cent by training source: {', '.join(map(str, scores))}"
    plot("source", bars([score.name for score in scores], *mean_and_std(table), "mIoU, %", alt))
