"""What every pretraining shares: the schedule, the average, the folder, the checks before the start."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frugalseg.pretraining.settings import RunOptions, TrainingSettings
from frugalseg.support.errors import InputError
from frugalseg.training.averaging import ema_update
from frugalseg.training.callbacks import duration
from frugalseg.training.run_folder import RunFolder, continued
from frugalseg.training.trainer import FINAL_RATE, check_hardware, rate_factor


@given(st.integers(1, 2000), st.integers(0, 500))
def test_the_rate_rises_then_falls_to_almost_nothing(steps: int, warmup: int) -> None:
    rates = [rate_factor(step, steps, warmup) for step in range(steps)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates) and max(rates) == 1
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert steps < 3 or math.isclose(rates[-1], FINAL_RATE)


@given(st.floats(0, 0.9999), st.integers(1, 30))
def test_average_has_its_closed_form(decay: float, updates: int) -> None:
    """For constant weights c, the average is c + (a_0 - c) * prod_n min(decay, (1 + n) / (10 + n))."""
    average, current = [torch.tensor([3.0, -1.0])], [torch.tensor([1.0, 2.0])]
    for n in range(updates):
        ema_update(decay)(average, current, torch.tensor(n))
    left = math.prod(min(decay, (1 + n) / (10 + n)) for n in range(updates))
    expected = current[0] + (torch.tensor([3.0, -1.0]) - current[0]) * left
    torch.testing.assert_close(average[0], expected, atol=1e-5, rtol=1e-5)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        RunFolder(tmp_path).begin({})
    with pytest.raises(InputError, match="is a file"):
        RunFolder(tmp_path / "thesis.txt").begin({})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_publishing_replaces_files_whole_and_leaves_others(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.begin({"steps": 3})
    for version in ("old", "new"):
        fresh = run.training / "export.tmp"
        (fresh / "unet").mkdir(parents=True)
        (fresh / "unet" / "weights").write_text(version)
        (fresh / "index.json").write_text(version)
        run.publish(fresh)
        assert not fresh.exists()
    assert (run.path / "unet" / "weights").read_text() == (run.path / "index.json").read_text() == "new"
    assert run.resumable and run.last_progress()["step"] == 0


def test_changed_settings_are_named() -> None:
    stored = {"steps": 3, "seed": 0, "layers": 2}
    assert continued(stored, {"steps": 3, "layers": None}, Path("run")) == stored
    assert continued(stored, {"steps": 9, "seed": 0}, Path("run")) == {**stored, "steps": 9}
    with pytest.raises(InputError, match=r"steps 3 -> 2; seed 0 -> 1"):
        continued(stored, {"steps": 2, "seed": 1, "layers": None}, Path("run"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"gradient_clip": -1.0},
        {"ema_decay": 1.0},
        {"warmup_steps": -1},
        {"precision": "int8"},
        {"image_size": (0, 8)},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        TrainingSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({}, {"device": "tpu"}, "unknown"),
        ({}, {"device": "cuda:99"}, "not there"),
        ({"batch_size": 3}, {"device": "cpu", "devices": 2}, "cannot be split"),
        ({"precision": "fp16"}, {"device": "cpu"}, "fp16"),
    ],
)
def test_impossible_hardware_is_refused(settings: dict[str, int], options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_hardware(TrainingSettings(**settings), RunOptions(**options))  # type: ignore[arg-type]


def test_durations_read_well() -> None:
    assert [duration(s) for s in (40, 61, 7500)] == ["40 s", "1 min", "2 h 05 min"]


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with first.alone():
        first.begin({"steps": 3})
        with pytest.raises(InputError, match="another process is training in this folder"), second.alone():
            pass
    with second.alone():
        second.begin({"steps": 4})
