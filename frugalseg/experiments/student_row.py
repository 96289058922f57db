"""Students as rows of a recipe: a teacher is fitted, it labels images, a student learns from the certain ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.example import Example
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.experiments.recipe import FeatureRow, FolderData, StudentRow
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.model import MaskPredictor
from frugalseg.segmenter import Segmenter, load_model
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.settings import StudentSettings, student_settings
from frugalseg.students.student import Student
from frugalseg.students.training import train_student
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress, silent
from frugalseg.synthetic import GeneratedImages, Photographs, SyntheticSet, generate, generator_of
from frugalseg.synthetic.drawn import draw_images, drawing_name
from frugalseg.synthetic.filter import PUBLISHED_STRAY, keep_certain

AT_ONCE = 32
"""Images drawn or labelled together."""

PHOTOGRAPHS_SEED = 3
"""Of the toy images that stand for photographs nobody annotated: another set than those to train and to test on."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a student's run needs beside its row.

    Attributes:
        teacher: a new segmenter of the run's seed, not fitted; None where nothing has to be labelled.
        photographs: folder of the images to label, where they are not generated.
        labels: folder for the fitted teacher and what it labels. Rows that differ in the student alone share it.
        drawn: folder for generated images, which all runs share.
    """

    teacher: Segmenter | None
    photographs: Path | None
    labels: Path
    drawn: Path


class StudentMethod:
    """A student with `fit` and `evaluate` as a `Segmenter` has them.

    Args:
        row: of the recipe.
        lesson: see `Lesson`.
        seed: of the student. Generated images are those of the seed 0, drawn once for all runs.
        device: where it runs.

    Raises:
        InputError: an unknown setting or network, or a teacher that cannot generate.
    """

    student: Student

    def __init__(self, row: StudentRow, lesson: Lesson, *, seed: int = 0, device: str = "cpu") -> None:
        self.row, self.lesson, self.seed, self.device = row, lesson, seed, device
        self.settings = settings_of(row, seed)
        if row.source == "synthetic" and lesson.teacher is not None:
            generator_of(lesson.teacher.backbone, row.generation)

    def fit(self, dataset: Sequence[Example], *, progress: Progress = silent) -> Self:
        """Fit the teacher and label, unless that is done; train the student. The training images choose its round."""
        samples = dataset if self.row.source == "annotated" else self.certain(self.labelled(dataset, progress))
        classes = dataset.classes  # type: ignore[attr-defined]
        trained = train_student(samples, dataset, classes, self.settings, device=self.device, progress=progress)
        self.student = trained.student
        return self

    def labelled(self, dataset: Sequence[Example], progress: Progress) -> SyntheticSet:
        """The teacher's labels for the row's images; what an earlier run has labelled is kept."""
        model = self.taught(dataset, progress)
        source = self.source(model, progress)
        place = self.lesson.labels / f"labelled-{digests.values(source.settings())}"
        return generate(model, source, place, batch_size=AT_ONCE, progress=progress)

    def taught(self, dataset: Sequence[Example], progress: Progress) -> MaskPredictor:
        """The fitted teacher."""
        assert self.lesson.teacher is not None
        place = self.lesson.labels / "teacher"
        if not place.is_dir():
            self.lesson.teacher.fit(dataset, progress=progress).save_pretrained(place)
        return load_model(place, device=self.device)

    def source(self, model: MaskPredictor, progress: Progress) -> Photographs:
        """The images to label; generated ones are drawn now, where no earlier run has."""
        if self.lesson.photographs is not None:
            return Photographs(self.lesson.photographs, self.row.longest_side)
        assert isinstance(model, Segmenter)
        generator = generator_of(model.backbone, self.row.generation)
        place = self.lesson.drawn / drawing_name(model.backbone, generator)
        draw_images(GeneratedImages(generator, self.row.count), place, batch_size=AT_ONCE, progress=progress)
        return Photographs(place, count=self.row.count)

    def certain(self, samples: SyntheticSet) -> SyntheticSet:
        """The samples without the most uncertain ones."""
        stray = PUBLISHED_STRAY if self.row.protocol == "paper" else 0
        return samples.subset(keep_certain(samples.uncertainties, self.row.drop, stray=stray))

    def evaluate(
        self,
        dataset: Sequence[Example],
        *,
        see: Callable[[Example, PixelPrediction], None] | None = None,
        progress: Progress = silent,
    ) -> Evaluation:
        """Compare predictions with annotated images; see `Segmenter.evaluate`."""
        return self.student.evaluate(dataset, see=see, progress=progress)


def settings_of(row: StudentRow, seed: int) -> StudentSettings:
    """The settings of a row; `InputError` where one is unknown, or the network is none."""
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in row.student.items()}
    settings = student_settings(row.protocol, **{"seed": seed, **given})
    new_network(NetworkSpec(settings.architecture, settings.encoder, settings.depth, 2), seed)
    return settings


def photographs_of(row: StudentRow, data: Any, folder: Path) -> Path | None:
    """The folder of a row's photographs: part of the data folder, or toy images of another set, written here.

    Raises:
        InputError: the recipe has a data folder and the row names no part of it, or there are no images in it.
    """
    if row.source != "images":
        return None
    if isinstance(data, FolderData):
        if row.images is None:
            raise InputError(
                "source images: name the folder of photographs in the data folder, such as images: unlabeled"
            )
        place = Path(data.path) / row.images
        Photographs(place)
        return place
    place = folder / "data" / f"photographs-{data.size}px-seed{PHOTOGRAPHS_SEED}-{row.count}"
    write_toy_folder(place, row.count, PHOTOGRAPHS_SEED, masks=False, size=data.size)
    return place


def teacher_of(row: StudentRow, rows: Sequence[Any]) -> FeatureRow | None:
    """The row that labels a student's images; None where nothing has to be labelled.

    Raises:
        InputError: no row of features has the name that is given.
    """
    if row.source == "annotated":
        return None
    teachers = {other.name: other for other in rows if isinstance(other, FeatureRow)}
    if row.teacher is None and len(teachers) == 1:
        return next(iter(teachers.values()))
    if row.teacher not in teachers:
        known = ", ".join(teachers) or "none in this recipe"
        raise InputError(f"teacher {row.teacher!r} is no row of kind features; give one of: {known}")
    return teachers[row.teacher]
