"""Output folders: what cannot be written is said before the work, in one line; inputs are spared."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.folders import require_new, require_writable, spare_inputs
from frugalseg.support.runs import alone, changed, open_run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def loop(root):
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    return root / "a"


def link_to_nothing(root):
    (root / "link").symlink_to(root / "nothing")
    return root / "link"


def file_in_the_way(root):
    (root / "file").write_text("mine")
    return root / "file"


UNWRITABLE = {
    "a file": (file_in_the_way, "a file of that name is in the way"),
    "a file above": (lambda root: file_in_the_way(root) / "new" / "masks", "/file is in the way"),
    "a long name": (lambda root: root / ("x" * 256), "name too long"),
    "a long name below a new folder": (lambda root: root / "new" / ("é" * 128), "name too long"),
    "a long path": (lambda root: root.joinpath(*["x" * 200] * 25), "name too long"),
    "a loop of links": (loop, "symbolic links"),
    "below a loop of links": (lambda root: loop(root) / "masks", "symbolic links"),
    "a link to nothing": (link_to_nothing, "a link to nothing"),
    "no disk": (lambda root: Path("/proc/masks"), "cannot be written"),
}


@pytest.mark.parametrize(("place", "said"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_places_that_cannot_be_written(place, said, tmp_path):
    if not Path("/proc/self").exists() and said == "cannot be written":
        pytest.skip("no /proc here")
    folder = place(tmp_path)
    before = names(tmp_path)
    for refuse in (
        require_writable,
        spare_inputs,
        lambda out: require_new(out, overwrite=True),
        lambda out: open_run(out, {"command": "predict"}, overwrite=True),
        lambda out: alone(out).__enter__(),
        lambda out: changed(out, {"command": "fit"}),
    ):
        with pytest.raises(InputError, match=said) as caught:
            refuse(folder)
        assert str(caught.value).endswith("choose another output folder")
        assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
    assert names(tmp_path) == before


READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
exec "$2" -c '
import sys
from pathlib import Path
from frugalseg.support.folders import require_writable
require_writable(Path(sys.argv[1]))
' "$1/new/masks"
"""


def test_a_disk_that_is_read_only(tmp_path):
    """A root user may write anywhere else, whatever the permissions say."""
    apart = ["unshare", "--mount", "--map-root-user"]
    try:
        subprocess.run([*apart, "mount", "--bind", tmp_path, tmp_path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    command = [*apart, "sh", "-c", READ_ONLY, "sh", tmp_path, sys.executable]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert "cannot be written (read-only file system)" in ended.stderr, ended.stderr


def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write anywhere")
    with pytest.raises(InputError, match=r"cannot be written \(permission denied\)"):
        require_writable(tmp_path / "masks")


def test_places_that_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for place in (
        tmp_path,
        tmp_path / "new",
        tmp_path / "new" / "masks",
        tmp_path / "link" / "new",
        Path(),
        Path("x/.."),
    ):
        require_writable(place)
    assert names(tmp_path) == ["link"]


def test_what_spare_inputs_refuses(tmp_path, monkeypatch):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    for out in (Path(), Path(".."), tmp_path / "link", tmp_path / "data" / "images"):
        with pytest.raises(InputError, match="choose another output folder"):
            spare_inputs(out, None, "nothing", tmp_path / "data" / "images")
    with pytest.raises(InputError, match=r"lies inside .*images, which this command reads"):
        spare_inputs(Path("images", "model", "new"), tmp_path / "link" / "images")
    spare_inputs(Path(".."), "images", holding=True)
    for out in (Path("images"), Path("images", "new")):
        with pytest.raises(InputError, match="choose another output folder"):
            spare_inputs(out, "images", holding=True)
    spare_inputs(Path("results"), "images", "masks")
    spare_inputs(tmp_path / "dat", tmp_path / "data", None, "google/ddpm-cat-256")


def test_what_is_new(tmp_path):
    require_new(tmp_path, overwrite=False)
    for trace in (".lock", ".run.partial-abcd1234.json", ".run.abcd1234.json"):
        (tmp_path / trace).touch()
    require_new(tmp_path, overwrite=False)
    (tmp_path / "config.json").write_text('{"frugalseg": "0.1.0"}')
    with pytest.raises(InputError, match="exists and is not empty; choose another folder or add --overwrite"):
        require_new(tmp_path, overwrite=False)
    require_new(tmp_path, overwrite=True)


@pytest.mark.parametrize("there", ["a.png", ".gitignore", "sub"])
def test_what_is_of_others_is_never_replaced(there, tmp_path):
    (tmp_path / there).mkdir()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="choose another folder, or delete this one yourself") as caught:
            require_new(tmp_path, overwrite)
        assert "--overwrite" not in str(caught.value)
