"""What the runs of a recipe take, counted and not timed: passes through networks, and trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from frugalseg.data.catalogue.items import ITEMS, SAMPLES
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.image_folder import list_images
from frugalseg.experiments.data import FolderData, ToyData
from frugalseg.experiments.recipe import Recipe
from frugalseg.experiments.rows import FeatureRow, Row, StudentRow
from frugalseg.experiments.rows.unet import UNetRow
from frugalseg.students.settings import Schedule


@dataclass(frozen=True)
class Images:
    """How many images a recipe has.

    Attributes:
        train: annotated ones to learn from.
        test: of all test sets together.
    """

    train: int
    test: int

    @classmethod
    def of(cls, data: ToyData | FolderData) -> Self:
        """Those of a recipe: as published for a benchmark, and counted for folders that are here; else 0."""
        if isinstance(data, ToyData):
            return cls(data.train, data.test)
        train, *tests = (count_in(data.path, part) for part in (data.train, data.test, *data.tests.values()))
        return cls(train, sum(tests))


def count_in(path: str, part: str) -> int:
    """The annotated images of a part of a data folder."""
    known = BENCHMARKS[path].parts.values() if path in BENCHMARKS and not Path(path).exists() else ()
    published = next((each.images for each in known if each.folder == part), None)
    if published is not None:
        return published
    return len(SegmentationFolder(Path(path) / part)) if (Path(path) / part).is_dir() else 0


@dataclass(frozen=True)
class Cost:
    """What some runs take.

    Attributes:
        runs: trainings and tests of methods.
        passes: how often an image goes through a pretrained network.
        classifiers: pixel classifiers to train, the members of the ensembles.
        steps: of training networks from scratch, such as students, each a batch.
    """

    runs: int = 0
    passes: int = 0
    classifiers: int = 0
    steps: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def times(self, number: int) -> "Cost":
        """Of so many runs."""
        return Cost(*(number * getattr(self, name) for name in self.__dataclass_fields__))


def costs_of(recipe: Recipe) -> dict[str, Cost]:
    """What all runs of each row take, by its name."""
    images = Images.of(recipe.data)
    return {row.name: cost_of(row, recipe, images) for row in recipe.rows}


def cost_of(row: Row, recipe: Recipe, images: Images) -> Cost:
    """What all runs of a row take on so many images; these are counted once for all rows, for it may take long."""
    if isinstance(row, FeatureRow):
        return run_of(row, images.train, images.test).times(recipe.runs)
    if isinstance(row, StudentRow):
        return student_cost(row, recipe, images)
    return Cost(runs=recipe.runs, steps=recipe.runs * (row.steps if isinstance(row, UNetRow) else 0))


def run_of(row: FeatureRow, train: int, test: int) -> Cost:
    """One run of a row of features on so many images."""
    settings = row.settings(0)
    seen = train * (2 if settings.get("mirror") else 1) + test * (2 if settings.get("mirrored_views") else 1)
    return Cost(1, seen * row.passes, settings.get("members", 10), 0)


def student_cost(row: StudentRow, recipe: Recipe, images: Images) -> Cost:
    """What all runs of a student take, its teacher included. Generated images are drawn once for all runs."""
    labeled, teacher = samples_of(row, recipe, images), row.teacher_in(recipe.rows)
    dropped = 0 if row.source == "annotated" else int(row.drop * labeled)
    run, drawn = Cost(1, steps=Schedule.of(row.settings(0), labeled - dropped).steps), Cost()
    if teacher is not None:
        fitted = run_of(teacher, images.train, labeled)
        run += Cost(0, fitted.passes, fitted.classifiers)
        if row.source == "synthetic":
            drawn = Cost(passes=row.count * getattr(row.check_generation(teacher.backbone), "passes", 1))
    return run.times(recipe.runs) + drawn


def samples_of(row: StudentRow, recipe: Recipe, images: Images) -> int:
    """How many images a student learns from, before the uncertain ones are dropped; 0 for a folder that is missing."""
    if row.samples is not None:
        return samples_named(row.samples)
    if row.source == "images" and isinstance(recipe.data, FolderData):
        folder = Path(recipe.data.path) / (row.images or "")
        return len(list_images(folder)) if row.images and folder.is_dir() else 0
    return images.train if row.source == "annotated" else row.count


def samples_named(name: str) -> int:
    """How many samples a finished set has: as published for one of the catalogue, or as its folder or file says."""
    place = Path(name)
    if name in ITEMS and not place.exists():
        return SAMPLES
    # Here, for they bring torch with them, and nearly all recipes do without.
    from frugalseg.synthetic.npz import samples_in
    from frugalseg.synthetic.record import SetRecord

    if place.is_dir():
        return SetRecord.read(place).count
    return samples_in(place) if place.is_file() else 0


def total(costs: Sequence[Cost]) -> Cost:
    """All of them together."""
    return sum(costs, Cost())
