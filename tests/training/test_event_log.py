"""The figures for TensorBoard: it reads them, and a full disk is told to whoever logs, by nobody else."""

import sys
import threading
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from frugalseg.support.files import disk_error
from frugalseg.training.event_log import EventLog


def test_tensorboard_reads_every_start_of_a_training(tmp_path: Path) -> None:
    for start in (0, 2):
        log = EventLog(tmp_path / "tensorboard")
        log.log_metrics({"loss": 1.5 - start, "learning_rate": 0.25}, start + 1)
        log.log_metrics({"loss": 0.5}, start + 2)
        log.finalize("success")
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(each.step, each.value) for each in found.Scalars("loss")] == [(1, 1.5), (2, 0.5), (3, -0.5), (4, 0.5)]
    assert [(each.step, each.value) for each in found.Scalars("learning_rate")] == [(1, 0.25), (3, 0.25)]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's length there")
def test_a_full_disk_is_an_error_of_the_call_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import resource

    log, before = EventLog(tmp_path), threading.active_count()
    log.log_metrics({"loss": 1.0}, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            log.log_metrics({"loss": 1.0}, 2)
        log.finalize("failed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert disk_error(raised.value) is not None and threading.active_count() == before
    assert capfd.readouterr().err == ""
