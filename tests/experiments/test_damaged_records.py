"""Records of runs and pictures that somebody has changed: one line that names the file, and never other figures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frugalseg import InputError
from frugalseg.experiments.dry_run import run_seconds
from frugalseg.experiments.records import Records
from tests.mutations import json_mutations

RECORD = {
    "row": "a",
    "seed": 1,
    "counts": [[5, 2], [1, 7], [0, 3]],
    "fit_seconds": 1.5,
    "evaluate_seconds": 2,
    "key": {"data": "d"},
}
SOUND: dict[str, Any] = {
    "mask0": np.zeros((4, 6), np.uint8),
    "heat0": np.zeros((4, 6), np.float16),
}


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path, 2, {"data": "d"}, ((4, 6),))


def test_a_changed_record_is_refused(records: Records) -> None:
    path = records.folder / "seed-1.json"
    refused = 0
    for name, text in json_mutations(RECORD):
        path.write_text(text)
        try:
            run = records.load(1)
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "delete it, and run the same command again" in str(error), name
        else:
            counts = None if run is None else run.confusions["test"].counts
            assert counts is None or (counts.shape == (3, 2) and counts.min() >= 0 and counts.max() <= 2**48), name
        assert all(0 <= seconds < 10**300 for seconds in run_seconds(path)), name
    assert refused > 100


@pytest.mark.parametrize(
    "changes",
    [{"counts": [[1]]}, {"counts": [[1, 2, 3]] * 4}, {"seed": 0}, {"tests": {"other": {"counts": RECORD["counts"]}}}],
)
def test_a_record_of_another_run_is_refused(records: Records, changes: dict[str, Any]) -> None:
    path = records.folder / "seed-1.json"
    path.write_text(json.dumps({**RECORD, **changes}))
    with pytest.raises(InputError, match="damaged"):
        records.load(1)
    path.write_text(json.dumps({**RECORD, "key": {"data": "e"}}))
    assert records.load(1) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"mask0": np.full((4, 6), 2, np.uint8)},
        {"mask0": np.zeros((3, 6), np.uint8)},
        {"mask0": np.zeros((4, 6))},
        {"heat0": np.array([None])},
    ],
)
def test_changed_pictures_are_refused(records: Records, changes: dict[str, Any]) -> None:
    path = records.folder / "pictures.npz"
    (records.folder / "seed-0.json").write_text(json.dumps({**RECORD, "seed": 0}))
    np.savez_compressed(path, **SOUND)
    assert records.load(0) is not None and len(records.load_pictures()) == 1
    whole = path.read_bytes()
    np.savez_compressed(path, **{**SOUND, **changes})
    for content in (path.read_bytes(), whole[:60], whole[:-9], b"x"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"pictures\.npz: a damaged part of a result"):
            records.load(0)
    path.unlink()
    assert records.load(0) is None


@pytest.mark.parametrize("mask", [np.zeros((3, 6), np.uint8), np.full((4, 6), 2, np.uint8)])
def test_pictures_of_other_data_are_not_damaged(records: Records, mask: NDArray[np.uint8]) -> None:
    """Images of another size, or of more classes, come with another key."""
    np.savez_compressed(records.folder / "pictures.npz", mask0=mask, heat0=np.zeros(mask.shape, np.float16))
    (records.folder / "seed-0.json").write_text(json.dumps({**RECORD, "seed": 0, "key": {"data": "e"}}))
    assert records.load(0) is None
