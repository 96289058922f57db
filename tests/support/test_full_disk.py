"""A disk that takes no more: whatever library was writing, the error is of one kind and names the file."""

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalseg.support.files import FULL, atomic_path, disk_error, save_tensors

resource = pytest.importorskip("resource")


@pytest.fixture
def tiny_files() -> Iterator[None]:
    """No file may have more than 1000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_torch(path: Path) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(torch.zeros(1000), file)


def write_numpy(path: Path) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, np.zeros(1000))


WRITERS = {
    "a.safetensors": lambda path: save_tensors({"a": torch.zeros(1000)}, path),
    "a.pt": write_torch,
    "a.npy": write_numpy,
}


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's length there")
@pytest.mark.parametrize("name", WRITERS)
def test_the_error_names_the_file_and_nothing_is_left(name: str, tmp_path: Path, tiny_files: None) -> None:
    with pytest.raises(OSError, match=r"File too large|No space left") as raised:
        WRITERS[name](tmp_path / name)
    assert raised.value.errno in FULL and raised.value.filename == str(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_other_errors_are_not_of_the_disk() -> None:
    assert disk_error(FileNotFoundError(errno.ENOENT, "no such file")) is None
    assert disk_error(ValueError("of the system (os error 2)")) is None
    for words in (
        "I/O error: No space left on device (os error 28)",
        "IoError(Os { code: 28, kind: StorageFull })",
        "[('a', 'b', '[Errno 28] x')]",
    ):
        full = disk_error(ValueError(words))
        assert full is not None and full.errno == errno.ENOSPC
