"""Records: the same work is known again, other work is told in words."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.records import Record, as_recorded, differences, files_read, plain, stamps


@dataclass(frozen=True)
class Protocol:
    steps: int
    rates: tuple[float, ...]


def test_the_same_work_is_known_again(tmp_path: Path) -> None:
    record = Record(tmp_path / "new" / "run.json")
    command = {"command": "fit", "size": (48, 64), "protocol": Protocol(30, (0.5, 0.25)), "name": "Käse"}
    assert record.read() is None and not record.says(command)
    record.write(command)
    assert record.says(command)
    assert record.read() == plain(command)
    assert plain(command)["protocol"] == {"steps": 30, "rates": [0.5, 0.25]}
    assert not record.says({**command, "size": (48, 65)})
    assert not record.says({**command, "more": None})


def test_a_record_of_an_earlier_version_is_known_again(tmp_path: Path) -> None:
    """As `predict` wrote it."""
    (tmp_path / "run.json").write_text(
        '{\n  "command": "predict",\n  "model": [\n    [\n      "m/student.safetensors",\n      12,\n'
        "      99\n    ]\n  ],\n"
        '  "images": "photos",\n  "extras": {\n    "overlays": true\n  }\n}\n'
    )
    command = {"command": "predict", "model": [["m/student.safetensors", 12, 99]], "images": "photos"}
    record = Record(tmp_path / "run.json")
    assert record.says({**command, "extras": {"overlays": True}})
    before = (tmp_path / "run.json").read_bytes()
    record.write({**command, "extras": {"overlays": True}})
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("content", ["[1, 2]", "null", '"fit"'])
def test_what_is_no_record(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    assert Record(tmp_path / "run.json").read() is None


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"command": ')
    with pytest.raises(InputError, match=r"run\.json: not JSON"):
        Record(tmp_path / "run.json").says({})


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"seed": 0}, {"seed": 0}, []),
        ({"seed": 0, "size": [1, 2]}, {"size": [1, 2], "seed": 1}, ["seed: 0 before, 1 now"]),
        ({"seed": 0}, {"seed": 0, "longest_side": 24}, ["longest side: none before, 24 now"]),
        ({"rate": 0.5}, {}, ["rate: 0.5 before, none now"]),
        ({"size": [48, 64]}, {"size": [64, 64]}, ["size: [48, 64] before, [64, 64] now"]),
        ({"files": [["a/long/path.png", 12, 1785317891000000000]]}, {"files": []}, ["files"]),
        (
            {"settings": {"steps": 1, "inner": {"x": 1, "y": 2}}, "name": "a"},
            {"settings": {"steps": 2, "inner": {"x": 1, "y": 3}}, "name": "b"},
            ["steps: 1 before, 2 now", "y: 2 before, 3 now", "name: a before, b now"],
        ),
        ({"images": "abcd"}, {"images": "efgh"}, ["list of photographs"]),
    ],
)
def test_differences_in_words(before: dict[str, object], now: dict[str, object], said: list[str]) -> None:
    assert differences(before, now, {"images": "list of photographs"}) == said


def test_stamps_see_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    before = stamps([path])
    assert before == [[str(path), 3, path.stat().st_mtime_ns]]
    path.write_text("three")
    assert stamps([path]) != before


def test_files_read_are_weights_and_settings_wherever_they_lie(tmp_path: Path) -> None:
    names = ["pytorch_model.bin", "config.json", "unet/weights.safetensors", "a.PTH", "fit.log", "index.html", "x.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert {path.relative_to(tmp_path).as_posix() for path in files_read(tmp_path)} == set(names[:4])
    assert files_read(tmp_path / "fit.log") == [tmp_path / "fit.log"]


def test_values_that_an_earlier_version_did_not_write(tmp_path: Path) -> None:
    record, command = Record(tmp_path / "run.json"), {"model": 1, "model_files": 2}
    assert as_recorded(command, record, {"model_files"}) == command
    record.write({"model": 1})
    assert as_recorded(command, record, {"model_files"}) == {"model": 1}
    record.write({"model_files": 3})
    assert as_recorded(command, record, {"model_files"}) == command
    record.path.write_text("no JSON")
    assert as_recorded(command, record, {"model_files"}) == command
