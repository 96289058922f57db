"""States of trainings as files: where they are written, and what their paths may look like."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from frugalseg.backbones.mae.settings import MAEPretrainSettings
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.settings import RunOptions
from frugalseg.training.state import StateFiles

SETTINGS = MAEPretrainSettings(
    image_size=(4, 4), steps=3, batch_size=2, patch=2, width=64, depth=1, decoder_width=32, decoder_depth=1
)


@pytest.mark.parametrize("name", ["http_run", "a::b", "file:run"])
def test_a_path_is_never_taken_for_an_address(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_toy_folder(Path("photos"), 2, seed=1, size=8)
    for out in ("plain", name):
        for steps in (2, 3):
            assert pretrain("mae", "photos/images", out, replace(SETTINGS, steps=steps), RunOptions(device="cpu"))
    one, other = (Path(out, "model.safetensors").read_bytes() for out in ("plain", name))
    assert one == other
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "plain", name}


def test_nothing_goes_by_way_of_the_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy_folder(tmp_path / "photos", 2, seed=1, size=8)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    assert pretrain("mae", tmp_path / "photos" / "images", tmp_path / "out", SETTINGS, RunOptions(device="cpu"))
    assert (tmp_path / "out" / "training" / "last.ckpt").is_file()


def test_what_a_killed_training_left_goes_with_the_next_state(tmp_path: Path) -> None:
    left, other = tmp_path / ".last.partial-a1b2c3d4.ckpt", tmp_path / ".first.partial-a1b2c3d4.ckpt"
    for path in (left, other):
        path.write_bytes(b"half")
    StateFiles().save_checkpoint({"step": 3}, tmp_path / "last.ckpt")
    assert StateFiles().load_checkpoint(tmp_path / "last.ckpt") == {"step": 3}
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "last.ckpt"]
