"""The finished runs of a comparison on disk: what they depend on, their results, and their pictures."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from frugalseg.experiments.results import Run
from frugalseg.experiments.rows import KINDS
from frugalseg.support.files import atomic_path, read_json, write_json

if TYPE_CHECKING:
    from frugalseg.classifier.prediction import PixelPrediction

Drawn = list[tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""For the first test images: mask (H, W) uint8 class positions, uncertainty (H, W) float32."""


@dataclass(frozen=True)
class Records:
    """The runs of one row.

    Attributes:
        folder: gets ``seed-N.json`` for each run, and ``pictures.npz`` for the first.
        key: what the results depend on except the seed: `frugalseg.experiments.rows.Row.key`, and ``tests``, the
            digests of the further test sets by name, where there are any.
        pictures: test images whose predictions are wanted.
    """

    folder: Path
    key: dict[str, Any]
    pictures: int

    def load(self, seed: int) -> Run | None:
        """The run of an earlier process; None if it did not finish, or if something has changed since."""
        path = self._path(seed)
        if not path.is_file() or (seed == 0 and self._drawn() < self.pictures):
            return None
        known = read_json(path)
        return Run.from_json(known) if completed(known.get("key")) == completed(self.key) else None

    def save(self, run: Run, predictions: Iterable["PixelPrediction"]) -> None:
        """Keep a run; of the first one also the predictions for the first test images."""
        if run.seed == 0:
            self._save_pictures(predictions)
        # Last of all: where the record is, the run is complete.
        write_json(self._path(run.seed), {**run.to_json(), "key": self.key})

    def load_pictures(self) -> Drawn:
        """The predictions of the run with seed 0."""
        with np.load(self.folder / "pictures.npz", allow_pickle=False) as archive:
            count = min(self.pictures, len(archive.files) // 2)
            return [(archive[f"mask{n}"], archive[f"heat{n}"].astype(np.float32)) for n in range(count)]

    def _path(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}.json"

    def _drawn(self) -> int:
        """How many images there are pictures of; -1 without a file of them."""
        path = self.folder / "pictures.npz"
        if not path.is_file():
            return -1
        with np.load(path, allow_pickle=False) as archive:
            return len(archive.files) // 2

    def _save_pictures(self, predictions: Iterable["PixelPrediction"]) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        for number, prediction in enumerate(predictions):
            arrays[f"mask{number}"] = prediction.mask.cpu().numpy().astype(np.uint8)
            arrays[f"heat{number}"] = prediction.uncertainty.float().cpu().numpy().astype(np.float16)
        with atomic_path(self.folder / "pictures.npz") as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def completed(key: Any) -> Any:
    """A key as this version writes it: fields that rows did not have when the key was written get their defaults.

    A key whose row this version does not understand stays as it is.
    """
    if not isinstance(key, dict) or not isinstance(row := key.get("row"), dict) or row.get("kind") not in KINDS:
        return key
    try:
        described = KINDS[row["kind"]].model_validate(row).described()
    except ValidationError:
        return key
    teacher = {"teacher": completed(key["teacher"])} if "teacher" in key else {}
    return {**key, "row": described, **teacher}


def folder_name(row: str) -> str:
    """The folder of a row's runs: its name in lower case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", row.lower()).strip("-") or "row"
