"""How a row of kind ``student`` is fitted: a teacher labels images, and a student learns from the certain ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.experiments.data import change
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.model import Model
from frugalseg.models import load_model
from frugalseg.segmenter import Segmenter
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.student import Student
from frugalseg.students.training import train_student
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress, silent
from frugalseg.synthetic import GeneratedImages, Photographs, SyntheticSet, generate, generator_of
from frugalseg.synthetic.drawn import draw_images, drawing_name
from frugalseg.synthetic.filter import PUBLISHED_STRAY, keep_certain

if TYPE_CHECKING:
    from frugalseg.experiments.rows.student import StudentRow

AT_ONCE = 32
"""Images drawn or labelled together."""


@dataclass(frozen=True, eq=False)
class StudentInputs:
    """What a run of a student needs beside its row.

    Attributes:
        teacher: a new segmenter of the run's seed, not fitted; None where nothing has to be labelled.
        photographs: folder of the images to label, where they are not generated.
        labels: folder for the fitted teacher and its labels. Rows that differ only in the student share it.
        out: folder of the comparison.
        samples: a finished set, whose samples have their labels.
    """

    teacher: Segmenter | None
    photographs: Path | None
    labels: Path
    out: Path
    samples: Path | None = None


class StudentMethod:
    """A student with `fit` and `evaluate` as a `Segmenter` has them.

    Args:
        row: of the recipe.
        inputs: see `StudentInputs`.
        seed: of the student. Generated images always have the seed 0: they are drawn once for all runs.
        device: where it runs.

    Raises:
        InputError: an unknown network, or a teacher that cannot generate with these options.
    """

    student: Student

    def __init__(self, row: "StudentRow", inputs: StudentInputs, *, seed: int = 0, device: str = "cpu") -> None:
        self.row, self.inputs, self.device = row, inputs, device
        self.settings = row.settings(seed)
        new_network(NetworkSpec(self.settings.architecture, self.settings.encoder, self.settings.depth, 2), seed)
        if row.source == "synthetic" and inputs.teacher is not None:
            generator_of(inputs.teacher.backbone, row.generation)

    def fit(self, dataset: Sequence[Example], *, progress: Progress = silent) -> Self:
        """Fit the teacher and label images, unless that is done already; then train the student."""
        classes: ClassTable = dataset.classes  # type: ignore[attr-defined]
        samples = dataset if self.row.source == "annotated" else self.certain(self.labelled(dataset, progress))
        trained = train_student(samples, dataset, classes, self.settings, device=self.device, progress=progress)
        self.student = trained.student
        return self

    def labelled(self, dataset: Sequence[Example], progress: Progress) -> SyntheticSet:
        """The row's images with labels by the teacher, or the finished set; labels of an earlier run are kept.

        Raises:
            InputError: the set has other classes than the data.
        """
        if self.inputs.samples is not None:
            return self.finished(self.inputs.samples, dataset.classes)  # type: ignore[attr-defined]
        model = self.fitted_teacher(dataset, progress)
        source = self.source(model, progress)
        place = self.inputs.labels / f"labelled-{digests.values({**source.settings(), **self.changed(source)})}"
        return generate(model, source, place, batch_size=AT_ONCE, progress=progress)

    def changed(self, source: Photographs) -> dict[str, str]:
        """The content of photographs that have changed, but not in their names and sizes, by which labels are known."""
        if self.inputs.photographs is None:  # nobody changes what is drawn here
            return {}
        name = f"photographs-{digests.names_and_sizes(source.paths)}"
        found = change(digests.contents(source.paths), name, self.inputs.out)
        return {"content": found} if found else {}

    def finished(self, place: Path, classes: ClassTable) -> SyntheticSet:
        """A finished set; a published file knows ids alone, and those of the data are meant."""
        samples = SyntheticSet(place, classes)
        if (samples.classes.ids, samples.classes.names) != (classes.ids, classes.names):
            raise InputError(f"{place}: its classes are not those of the data; give a set with the classes of the data")
        return samples

    def fitted_teacher(self, dataset: Sequence[Example], progress: Progress) -> Model:
        """The fitted teacher."""
        assert self.inputs.teacher is not None
        place = self.inputs.labels / "teacher"
        if not place.is_dir():
            self.inputs.teacher.fit(dataset, progress=progress).save_pretrained(place)
        return load_model(place, device=self.device)

    def source(self, model: Model, progress: Progress) -> Photographs:
        """The images to label; they are generated now if no earlier run has done so."""
        if self.inputs.photographs is not None:
            return Photographs(self.inputs.photographs, self.row.longest_side)
        assert isinstance(model, Segmenter)
        generator = generator_of(model.backbone, self.row.generation)
        # All runs share them.
        place = self.inputs.out / "drawn" / drawing_name(model.backbone, generator)
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
