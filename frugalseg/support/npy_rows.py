"""An array file that is written some rows at a time, so that it may be larger than the memory."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


class NpyRows:
    """A ``.npy`` file of a (K, H, W) array, as `numpy.save` writes it.

    Its space is not mapped: a disk that is full is an OSError.

    Args:
        path: of the file.
        shape: (K, H, W).
        dtype: of the values.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        self._file = path.open("wb")
        np.lib.format.write_array_header_1_0(self._file, header)
        self._first = self._file.tell()

    def put(self, top: int, values: NDArray[Any]) -> None:
        """Write (K, rows, W) values from row `top` on."""
        for plane, rows in enumerate(values):
            row = plane * self.shape[1] + top
            self._file.seek(self._first + row * self.shape[2] * self.dtype.itemsize)
            self._file.write(rows.astype(self.dtype).tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
