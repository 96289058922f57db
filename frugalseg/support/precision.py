"""The number formats that networks run in, by the names that users give them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from frugalseg.support.errors import InputError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NAMES: dict[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""What torch calls each."""


def check_precision(name: Any) -> None:
    """Raise `InputError` for a name that is none of `PRECISIONS`."""
    if name not in PRECISIONS:
        raise InputError(f"precision {name!r} is unknown; give fp32, bf16 or fp16")


def dtype_of(name: str) -> "torch.dtype":
    """The dtype of a precision; `InputError` for an unknown one."""
    # Settings import this module, and the command line imports settings: it must not wait for torch.
    import torch

    check_precision(name)
    dtype: torch.dtype = getattr(torch, NAMES[name])
    return dtype


def precision_of(dtype: "torch.dtype") -> Precision:
    """The inverse of `dtype_of`; `ValueError` for a dtype that is no precision of ours."""
    for name in PRECISIONS:
        if dtype_of(name) == dtype:
            return name
    raise ValueError(f"{dtype} is the dtype of no precision")


@contextmanager
def tf32_products(device: "torch.device | str") -> Iterator[None]:
    """Within the block a CUDA device multiplies float32 matrices in TF32, as it computes convolutions anyway.

    Nothing changes on other devices, and afterwards everything is as it was.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
