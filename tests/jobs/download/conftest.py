"""A mirror that serves the published files, and a cache of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.download.mirror import Mirror, serving


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as found:
        yield found


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRUGALSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
