"""The stages of a GPU session, in order of value, and how one is run: in a process of its own, within its time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from frugalseg.support.files import write_json

ROOT = Path(__file__).parents[2]
TEST_PROCESSES, TEST_THREADS = 6, 2
"""Tests side by side, where pytest-xdist is installed, and threads of each: with all cores each, they get nowhere."""
TAIL = 4000
"""Characters of a stage's output that its record keeps."""


@dataclass(frozen=True)
class Stage:
    """One measurement.

    Attributes:
        name: of its files in the result folder.
        module: what ``python -m`` runs.
        arguments: of the full run on a GPU.
        quick: of the dry run.
        seconds: after so long it is stopped.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    quick: tuple[str, ...]
    seconds: int


BF16 = ("--precision", "bf16")
STAGES = (
    Stage("tests", "pytest", ("-m", "gpu", "-v"), ("-m", "gpu", "-q"), 180),
    Stage(
        "predict",
        "benchmarks.predict",
        ("--unet", "--batch", "16", "--repeats", "2", *BF16),
        ("--unet", "--batch", "2", "--members", "2"),
        80,
    ),
    Stage(
        "generate",
        "benchmarks.generate",
        ("--batch", "32", "--repeats", "1"),
        ("--batch", "2", "--members", "2", "--sampling-steps", "2", "--literal-steps", "1"),
        90,
    ),
    Stage("student", "benchmarks.student", ("--batch", "32", *BF16), ("--batch", "2"), 45),
    Stage(
        "predict_compiled",
        "benchmarks.predict",
        ("--batch", "16", "--compile", "--repeats", "2", *BF16),
        ("--batch", "2", "--members", "2"),
        120,
    ),
)
PRETRAINING = "pretraining"
"""The last stage, which takes the time that is left."""


def command(stage: Stage, folder: Path, device: str, quick: bool) -> list[str]:
    """What runs a stage; its result lands in ``folder``."""
    line = [sys.executable, "-m", stage.module, *(stage.quick if quick else stage.arguments)]
    if stage.module == "pytest":
        parallel = ["-n", str(TEST_PROCESSES)] if find_spec("xdist") is not None and not quick else []
        return [*line, *parallel, f"--junitxml={folder / 'tests.xml'}"]
    where = ["--device", device, "--json", str(result_of(stage.name, folder))]
    return [*line, *where, *(["--quick", "--repeats", "1"] if quick else [])]


def result_of(name: str, folder: Path) -> Path:
    """What the stage's own script writes."""
    return folder / f"{name}.result.json"


def record_of(name: str, folder: Path) -> Path:
    """What the stage's run left: command, seconds, exit status, the result, the end of the output."""
    return folder / f"{name}.json"


def finished(name: str, folder: Path) -> bool:
    """Whether the stage has run in this folder and succeeded."""
    path = record_of(name, folder)
    return path.is_file() and json.loads(path.read_text())["returncode"] == 0


def run_stage(name: str, line: Sequence[str], folder: Path, seconds: float) -> dict[str, Any]:
    """Run a stage, show what it prints at the end, and write its record.

    Args:
        name: of the stage.
        line: the command.
        folder: of the results.
        seconds: after so long the command and everything that it started is killed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(TEST_THREADS)} if name == "tests" else None
    log, started = folder / f"{name}.log", time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            line, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            returncode: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            returncode = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    record = {
        "stage": name,
        "command": ["python", *line[1:]],
        "seconds": round(time.monotonic() - started, 1),
        "returncode": returncode,
        "result": result(name, folder),
        "tail": log.read_text(errors="replace")[-TAIL:],
    }
    write_json(record_of(name, folder), record)
    return record


def result(name: str, folder: Path) -> Any:
    """What a stage found, whole or as far as it came; None where it came to nothing."""
    report = folder / "tests.xml"
    if name == "tests":
        return counts(report) if report.is_file() else None
    path = result_of(name, folder)
    return json.loads(path.read_text()) if path.is_file() else None


def counts(report: Path) -> dict[str, Any]:
    """Numbers of tests in a JUnit file, and the names of those that failed."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    numbers = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    failed = [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None]
    return {**numbers, "failed": failed}
