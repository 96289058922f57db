"""Every command that writes refuses a place that it cannot write: at once, in one line, with exit code 2."""

from pathlib import Path

import pytest

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
