"""One digest for the contents of many files."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path


def files_digest(paths: Iterable[Path]) -> str:
    """SHA-256 of the names and contents of files, in order. Records on disk hold it, so it must stay as it is."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(json.dumps([path.name, part]).encode())
    return total.hexdigest()
