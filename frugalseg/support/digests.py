"""Digests: short texts that change with what they stand for.

They are written into records and are part of folder names. A value that changes makes finished work look new, so the
tests pin one of each kind.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

CLUTTER = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What the file managers of macOS and Windows write into folders that somebody has looked at."""
SHORT = 16
"""Hexadecimal digits that tell settings, networks and lists of files apart."""


def text(words: str) -> str:
    """16 hexadecimal digits of a text; it may hold file names that are not UTF-8."""
    return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:SHORT]


def values(settings: Any) -> str:
    """16 hexadecimal digits of JSON values; the order of keys does not matter."""
    return text(json.dumps(settings, sort_keys=True))


def network(module: "nn.Module") -> str:
    """16 hexadecimal digits that change with a network's weights: their names, dtypes, shapes and values."""
    # The command line reads modules that import this one, and must not wait for torch.
    import torch

    digest = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:SHORT]


def names_and_sizes(paths: Sequence[Path]) -> str:
    """16 hexadecimal digits of the names and lengths of files, in order: quick, for large folders of images."""
    return text("".join(f"{path.name}\0{path.stat().st_size}\n" for path in paths))


def contents(paths: Iterable[Path]) -> str:
    """64 hexadecimal digits of the names and bytes of files, in order."""
    total = hashlib.sha256()
    for path in paths:
        total.update(json.dumps([path.name, file(path)]).encode())
    return total.hexdigest()


def folder(place: Path) -> str:
    """`contents` of all files below a folder, or of a single file. What file managers leave there is none of them."""
    if not place.is_dir():
        return contents([place])
    files = (path for path in place.rglob("*") if path.is_file())
    return contents(sorted(path for path in files if path.name not in CLUTTER and not path.name.startswith("._")))


def file(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as opened:
        return rest_of(opened)


def rest_of(opened: IO[bytes]) -> str:
    """The SHA-256 of an open file from its position on, 64 hexadecimal digits."""
    return hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type]


def pixels(image: NDArray[np.uint8]) -> bytes:
    """16 bytes, the same for equal pixels, whatever file they came from."""
    return hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).digest()
