"""The finished runs of a comparison on disk: what they depend on, their results, and their pictures."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category, normalize
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from frugalseg.experiments.data import MAIN
from frugalseg.experiments.results import Run
from frugalseg.experiments.rows import KINDS
from frugalseg.support.damage import refused_where_damaged
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path, write_json
from frugalseg.support.records import AGAIN, understood

if TYPE_CHECKING:
    from frugalseg.classifier.prediction import PixelPrediction

Drawn = list[tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""For the first test images: mask (H, W) uint8 class positions, uncertainty (H, W) float32."""


@dataclass(frozen=True)
class Records:
    """The runs of one row.

    Attributes:
        folder: gets ``seed-N.json`` for each run, and ``pictures.npz`` for the first.
        classes: of the data.
        key: what the results depend on except the seed: `frugalseg.experiments.rows.Row.key`, and ``tests``, the
            digests of the further test sets by name, where there are any.
        pictures: (H, W) of the test images whose predictions are wanted.
    """

    folder: Path
    classes: int
    key: dict[str, Any]
    pictures: tuple[tuple[int, int], ...]

    def load(self, seed: int) -> Run | None:
        """The run of an earlier process; None if it did not finish, or if something has changed since.

        Raises:
            DamagedError: a file of it was damaged or changed.
        """
        path = self._path(seed)
        run = understood(path, partial(self._run, seed)) if path.is_file() else None
        # The pictures come second: those of other data may be of another size, and are not damaged for that.
        return None if run is None or (seed == 0 and self._drawn() is None) else run

    def _run(self, seed: int, known: dict[str, Any]) -> Run | None:
        """The run that a record tells of; None where it is of something else."""
        if completed(known["key"]) != completed(self.key):
            return None
        run = Run.from_json(known)
        same = run.seed == seed and {*run.confusions} == {MAIN, *self.key.get("tests", ())}
        if not same or any(each.num_classes != self.classes for each in run.confusions.values()):
            raise ValueError("of another run")
        return run

    def save(self, run: Run, predictions: Iterable["PixelPrediction"]) -> None:
        """Keep a run; of the first one also the predictions for the first test images."""
        if run.seed == 0:
            # Else a kill could leave the record of other data, which may come back, beside these pictures.
            self._path(0).unlink(missing_ok=True)
            self._save_pictures(predictions)
        # Last of all: where the record is, the run is complete.
        write_json(self._path(run.seed), {**run.to_json(), "key": self.key})

    def load_pictures(self) -> Drawn:
        """The predictions of the run with seed 0; errors are those of `load`."""
        drawn = self._drawn()
        assert drawn is not None  # the run is there
        return drawn

    def _path(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}.json"

    def _drawn(self) -> Drawn | None:
        """What `load_pictures` gives; None where there are too few."""
        path = self.folder / "pictures.npz"
        if not path.is_file():
            return None
        with (
            refused_where_damaged(path, "part of a result", AGAIN),
            ZipFile(path),  # what is no archive, NumPy takes for a pickle, and says so
            np.load(path, allow_pickle=False) as archive,
        ):
            if len(archive.files) < 2 * len(self.pictures):
                return None
            return [self._picture(archive, number, size) for number, size in enumerate(self.pictures)]

    def _picture(
        self, archive: Mapping[str, NDArray[Any]], number: int, size: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """One of them; raises `ValueError` where it is none of an image of this size."""
        mask, heat = archive[f"mask{number}"], archive[f"heat{number}"]
        if mask.shape != size or heat.shape != size or mask.dtype != np.uint8 or mask.max() >= self.classes:
            raise ValueError(f"no prediction for an image of {size}")
        return mask, heat.astype(np.float32)

    def _save_pictures(self, predictions: Iterable["PixelPrediction"]) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        for number, prediction in enumerate(predictions):
            arrays[f"mask{number}"] = prediction.mask.cpu().numpy().astype(np.uint8)
            arrays[f"heat{number}"] = prediction.uncertainty.float().cpu().numpy().astype(np.float16)
        with atomic_path(self.folder / "pictures.npz") as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def completed(key: Any) -> Any:
    """A key as it is compared, whichever version has written it.

    Fields that rows did not have when the key was written get their defaults. A checkpoint becomes the families that
    have one: the same network may lie elsewhere by now. Which network it is, the key says besides, by the digest of its
    weights, or by the name of a checkpoint that is not on this machine. So it is with the folders of photographs and of
    finished sets.

    A key whose row this version does not understand stays as it is.
    """
    if not isinstance(key, dict) or not isinstance(row := key.get("row"), dict) or row.get("kind") not in KINDS:
        return key
    try:
        known = KINDS[row["kind"]].model_validate(row)
        described, families = known.described(), sorted(known.checkpoints())
    except (ValidationError, InputError):
        return key
    if "checkpoint" in described:
        described["checkpoint"] = families
    described |= {name: True for name in ("images", "samples") if described.get(name) is not None}
    teacher = {"teacher": completed(key["teacher"])} if "teacher" in key else {}
    return {**key, "row": described, **teacher}


def folder_name(row: str) -> str:
    """The folder of a row's runs: its name in lower case letters a to z, digits and hyphens.

    Where it has no letters of these, those of other alphabets are kept: they are all that tells such rows apart.
    """
    name = normalize("NFC", row.lower())
    if not re.search("[a-z]", name):
        name = "".join(each if each.isalnum() or category(each).startswith("M") else "-" for each in name)
        return re.sub("-+", "-", name).strip("-") or "row"
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")
