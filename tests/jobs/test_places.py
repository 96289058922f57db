"""Every command that writes refuses a place that it cannot write: at once, in one line, with exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.segmenter import Segmenter
from tests.cli.test_cli import mistake

RECIPE = Path(__file__).parents[2] / "recipes" / "toy.yaml"
COMMANDS = {
    "demo": ["demo"],
    "benchmark": ["benchmark", RECIPE],
    "toy": ["toy"],
    "pretrain": ["pretrain", "ddpm", "images"],
    "fit": ["fit", "data", "--backbone", "colour"],
    "evaluate": ["evaluate", "model", "data"],
    "predict": ["predict", "model", "images"],
    "generate": ["generate", "model", "-n", "2"],
    "generate for annotators": ["generate", "model", "--for-annotation", "2"],
    "distill": ["distill", "samples", "--validation", "data"],
    "convert": ["convert", "checkpoint.pt"],
}
"""None of their inputs exists, so that one which looked at these first would say something else."""


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_places_that_cannot_be_written(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    places = {"file/out": "/file is in the way", "x" * 256: "name too long", "loop": "symbolic links"}
    for place, said in places.items():
        line = mistake(*command, "-o", place, capsys=capsys)
        assert line.endswith("choose another output folder")
        assert said in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "loop"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_whose_name_is_no_utf8(tmp_path):
    """In a process of its own, whose messages nobody here has to decode."""
    place = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    write_toy_folder(place / "data", 3, seed=1, size=32)
    command = [sys.executable, "-m", "frugalseg", "fit", place / "data", "--backbone", "colour", "-o", place / "model"]
    done = subprocess.run([*map(os.fsencode, command), b"--members", b"2"], capture_output=True, check=False)
    assert done.returncode == 0, ascii(done.stderr)
    assert Segmenter.from_pretrained(place / "model").settings.members == 2
