from pathlib import Path

import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.paths import as_path


def test_texts_and_paths_stay_what_they_are(tmp_path: Path) -> None:
    assert as_path("a/b") == Path("a/b") and as_path(tmp_path) is not None
    file = tmp_path / "file"
    file.touch()
    assert as_path(file / "below a file") == file / "below a file"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "None of the type NoneType is no model; give a text or a pathlib.Path"),
        (b"model", r"b'model' of the type bytes is no model"),
        ("a\0b", r"is no model \(embedded null byte\); check the path"),
        ("x" * 5000, r"'x+ \.\.\. x+' is no model \(file name too long\)"),
    ],
)
def test_what_is_no_path_is_told_in_one_line(given: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        as_path(given, "model")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match=r"is no folder .*symbolic links"):
        as_path(tmp_path / "a", "folder")
