"""Rows of kind ``student``: an ordinary network that learns from images which another row has labelled."""

import json
from collections.abc import Container, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from frugalseg.backbones.registry import family_named, generating
from frugalseg.data.catalogue.items import ITEMS
from frugalseg.data.catalogue.names import refuse_misspelled, set_place
from frugalseg.data.image_folder import list_images
from frugalseg.experiments.obstacles import PATH, Obstacle, item_obstacle
from frugalseg.experiments.rows.base import Context, Method, Row
from frugalseg.experiments.rows.features import FeatureRow
from frugalseg.experiments.validation import Positive, Share, checked, refuse_seed
from frugalseg.students.settings import StudentSettings, student_settings
from frugalseg.support import digests
from frugalseg.support.errors import InputError

ONLY_FOR = {
    "teacher": ("synthetic", "images"),
    "generation": ("synthetic",),
    "images": ("images",),
    "longest_side": ("images",),
}
"""Fields that belong to some sources only."""


class StudentRow(Row):
    """A student trained on samples: see `frugalseg.students.settings.StudentSettings`.

    As published, the round of training that is best on the annotated training images is kept.

    Attributes:
        source: where the samples come from. ``synthetic``: the teacher's network generates images, once for all runs,
            and the teacher labels them. ``images``: the teacher labels photographs that nobody annotated.
            ``annotated``: the annotated training images themselves. ``set``: a synthetic set that is finished.
        teacher: name of the row of kind features that labels images. It is fitted with the run's seed. It need not be
            given if there is only one such row.
        count: how many images to generate; with built-in data also how many toy images stand for photographs.
        generation: options of the generator, such as ``sampler`` and ``sampling_steps``; see ``frugalseg generate``.
        images: folder of photographs, in the data folder.
        samples: the finished set: the name of a published one such as ``synthetic_ddpm/cat_15``, an ``.npz`` file, or
            a folder of ``frugalseg generate``.
        longest_side: larger photographs are reduced to this many pixels before they are labelled.
        drop: share of the samples to leave out, the most uncertain first.
        protocol: ``default`` or ``paper``.
        student: settings that differ from those of the protocol; the seed is the run's.
    """

    kind: Literal["student"]
    source: Literal["synthetic", "images", "annotated", "set"] = "synthetic"
    teacher: str | None = None
    count: Positive = 1000
    generation: dict[str, Any] = Field(default_factory=dict)
    images: str | None = None
    samples: str | None = None
    longest_side: Positive | None = None
    drop: Share = 0.1
    protocol: Literal["default", "paper"] = "default"
    student: dict[str, Any] = Field(default_factory=dict)

    def check(self, rows: Sequence[Row]) -> None:
        """See `Row`."""
        self.settings(0)
        for name, sources in ONLY_FOR.items():
            if self.source not in sources and getattr(self, name):
                raise InputError(f"{name}: is for source {' and '.join(sources)}, not {self.source}; leave the key out")
        if (self.source == "set") != (self.samples is not None):
            raise InputError("source set and samples belong together, as in samples: synthetic_ddpm/cat_15")
        teacher = self.teacher_in(rows)
        if self.source == "synthetic" and teacher is not None:
            self.check_generation(teacher.backbone)

    def obstacle(self, rows: Sequence[Row], networks: Container[str]) -> Obstacle | None:
        """See `Row`: the set, or what stands in the way of the teacher."""
        teacher = self.teacher_in(rows)
        if self.samples is not None:
            return samples_obstacle(self.samples)
        return None if teacher is None else teacher.obstacle(rows, networks)

    def described(self) -> dict[str, Any]:
        """See `Row`. Earlier versions knew no finished sets."""
        found = super().described()
        return found if self.samples is not None else {key: found[key] for key in found if key != "samples"}

    def method(self, seed: int, context: Context) -> Method:
        """A `StudentMethod` with its teacher, which is not fitted yet."""
        from frugalseg.experiments.rows.student_method import StudentInputs, StudentMethod

        teacher = self.teacher_in(context.rows)
        model: Any = None if teacher is None else teacher.method(seed, context)
        # Rows that differ in the student alone share the folder, and so the fitted teacher and its labels.
        labels = labels_folder(teacher, context) / f"seed-{seed}"
        samples = None if self.samples is None else finished_set(self.samples)
        inputs = StudentInputs(model, self.photographs(context), labels, context.folder, samples)
        return StudentMethod(self, inputs, seed=seed, device=context.device)

    def dependencies(self, context: Context) -> dict[str, Any]:
        """See `Row`: also the teacher and the images that it labels."""
        teacher, photographs = self.teacher_in(context.rows), self.photographs(context)
        return {
            **super().dependencies(context),
            "teacher": None if teacher is None else teacher.key(context),
            "images": "" if photographs is None else digests.contents(list_images(photographs)),
            **({} if self.samples is None else {"samples": set_digest(finished_set(self.samples))}),
        }

    def settings(self, seed: int) -> StudentSettings:
        """The settings of the student, checked."""
        refuse_seed(self.student, "student")
        base = asdict(student_settings(self.protocol))
        return checked(StudentSettings, {**base, "seed": seed, **self.student}, "student")

    def photographs(self, context: Context) -> Path | None:
        """The folder of the photographs to label; `InputError` where the row or the data have none."""
        if self.source != "images":
            return None
        return context.data.photographs(self.images, self.count, context.folder)

    def teacher_in(self, rows: Sequence[Row]) -> FeatureRow | None:
        """The row that labels the images; None where nothing has to be labelled.

        Raises:
            InputError: no row of features has the name that is given.
        """
        if self.source in ("annotated", "set"):
            return None
        teachers = {row.name: row for row in rows if isinstance(row, FeatureRow)}
        if self.teacher is None and len(teachers) == 1:
            return next(iter(teachers.values()))
        if self.teacher not in teachers:
            known = ", ".join(teachers) or "none in this recipe"
            raise InputError(f"teacher {self.teacher!r} is no row of kind features; give one of: {known}")
        return teachers[self.teacher]

    def check_generation(self, family: str) -> Any:
        """The options of the row, as those of a family; `InputError` where it cannot generate, or has other options."""
        found = family_named(family)
        if found.generation is None:
            able = ", ".join(other.name for other in generating())
            raise InputError(f"a {family} backbone cannot generate images; give a teacher of the family {able}")
        return checked(found.generation_class(), self.generation, "generation")


def labels_folder(teacher: FeatureRow | None, context: Context) -> Path:
    """The folder of a teacher and its labels, named after all that they depend on; not after where a network lies."""
    key = None if teacher is None else teacher.key(context)
    place = context.folder / "labels" / digests.text(json.dumps(key))
    if teacher is None or key is None or teacher.checkpoint is None or place.is_dir():  # as by earlier versions
        return place
    placeless = {**key["row"], "checkpoint": sorted(teacher.checkpoints())}
    return place.with_name(digests.text(json.dumps({**key, "row": placeless})))


def samples_obstacle(name: str) -> Obstacle | None:
    """What stands in the way of a finished set; see `Row.obstacle`."""
    item = ITEMS.get(name)
    if Path(name).exists():
        return None
    if item is not None and item.kind == "set":
        return item_obstacle(item)
    refuse_misspelled(name, ITEMS)
    return Obstacle(PATH, f"there is no {name}; correct the key samples")


def finished_set(name: str) -> Path:
    """The file or folder of a finished set; `InputError` where there is none."""
    place = set_place(Path(name))
    if not place.exists():
        raise InputError(f"samples: there is no {name}; give a published set, an .npz file or a folder of generate")
    return place


def set_digest(place: Path) -> str:
    """The digest of a finished set."""
    return digests.folder(place)
