"""A training that is stopped from outside: Ctrl-C and SIGKILL."""

import signal
import subprocess
import sys
import time

import pytest

from frugalseg.support.files import read_json
from tests.jobs.distill.helpers import same_weights


@pytest.mark.slow
def test_ctrl_c_while_it_trains(folders, tmp_path):
    """It is said in a line, with the shell's exit code, and the same command goes on."""
    command = [sys.executable, "-m", "frugalseg", "distill", str(folders / "samples"), "--device", "cpu"]
    command += ["--validation", str(folders / "validation"), "--encoder", "mobilenet_v2", "--batch-size", "2"]
    command += ["--least-steps", "400", "--validations", "100", "-o", str(tmp_path / "student")]
    state = tmp_path / "student.work" / "training" / "student.ckpt"
    stopped = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not state.exists() and stopped.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    stopped.send_signal(signal.SIGINT)
    said = stopped.communicate(timeout=300)[1]
    assert stopped.returncode == 130, said
    assert said.rstrip().endswith("stopped; run the same command again to go on") and "Traceback" not in said
    assert state.exists() and not (tmp_path / "student").exists()


@pytest.mark.slow
def test_a_process_killed_while_it_trains(folders, tmp_path):
    """SIGKILL, from outside, after a round has been saved."""
    command = [sys.executable, "-m", "frugalseg", "distill", str(folders / "samples"), "--device", "cpu"]
    command += ["--validation", str(folders / "validation"), "--test", str(folders / "test")]
    command += ["--encoder", "mobilenet_v2", "--batch-size", "2", "--least-steps", "60", "-o"]
    killed = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
    state = tmp_path / "killed.work" / "training" / "student.ckpt"
    deadline = time.monotonic() + 300
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and state.exists()
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], check=True, capture_output=True)
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    assert read_json(tmp_path / "killed" / "metrics.json") == read_json(tmp_path / "whole" / "metrics.json")
