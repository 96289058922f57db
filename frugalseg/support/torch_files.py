"""Files of torch that strangers made: what `torch.load` would let fill the memory is found before it reads them."""

import io
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch

from frugalseg.support.errors import InputError

PICKLES = 5
"""In a file of the kind before archives: a mark, the version, the machine, the content, the keys of the storages."""
UNBOUNDED = {
    "builtins bytearray",
    "__builtin__ bytearray",
    "torch._utils _rebuild_device_tensor_from_cpu_tensor",
}
"""What torch lets such files call, and what takes as much memory as a number in them says. `torch.save` writes neither
for tensors of a CPU or a GPU, nor for plain data."""


def require_stored(path: Path) -> None:
    """See to it that what torch unpacks of a file without asking is no more in memory than in the file.

    `torch.save` writes archives whose parts are never packed.

    Args:
        path: of a zip archive.

    Raises:
        InputError: its parts are packed, or claim to be longer than the file; many other errors for a damaged one.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or sum(part.file_size for part in parts) > path.stat().st_size:
        raise InputError("packed")


def require_bounded(file: BinaryIO) -> None:
    """See to it that a few bytes of a file of torch do not fill the memory: ``bytearray(2**40)`` is a call for torch.

    Args:
        file: of either kind of `torch.save`, at its beginning, where it is left.

    Raises:
        pickle.UnpicklingError: it calls what has no bound, or is damaged; many other errors for a damaged archive.
    """
    zipped = file.read(2) == b"PK"
    file.seek(0)
    if zipped:
        _require_bounded(io.BytesIO(torch._C.PyTorchFileReader(file).get_record("data.pkl")), 1)
    else:
        _require_bounded(file, PICKLES)
    file.seek(0)


def _require_bounded(file: BinaryIO, pickles: int) -> None:
    """The same for some pickles that follow each other."""
    try:
        for _ in range(pickles):
            for operation, argument, _ in pickletools.genops(file):
                if operation.name == "GLOBAL" and argument in UNBOUNDED:
                    raise pickle.UnpicklingError(f"Weights only load failed: GLOBAL {argument} has no bound")
    except ValueError as error:
        raise pickle.UnpicklingError(str(error)) from None
