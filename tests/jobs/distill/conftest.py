"""Small data folders, and a student that was trained on them without interruption."""

import numpy as np
import pytest

from frugalseg.data.toy.dataset import toy_example, write_toy_folder
from frugalseg.jobs.distill import DistillRequest, distill_folder
from tests.jobs.distill.helpers import QUICK


@pytest.fixture(scope="package")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for name, count, first in (("samples", 4, 0), ("validation", 2, 100), ("test", 2, 200)):
        write_toy_folder(root / name, count, 1, first=first, size=32)
    return root


@pytest.fixture(scope="package")
def published(tmp_path_factory):
    """A published file: 20 images, their uncertainties rising."""
    path = tmp_path_factory.mktemp("npz") / "samples.npz"
    examples = [toy_example(1, index, 32) for index in range(20)]
    images, labels = (np.stack([getattr(e, name) for e in examples]) for name in ("image", "target"))
    np.savez(path, images, labels, np.linspace(0, 1, 20, dtype=np.float32))
    return path


@pytest.fixture
def request_(folders):
    return DistillRequest(folders / "samples", folders / "validation", folders / "test", QUICK)


@pytest.fixture(scope="package")
def finished(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("students") / "student"
    request = DistillRequest(folders / "samples", folders / "validation", folders / "test", QUICK)
    return out, distill_folder(request, out)
