"""Torch's defaults, which callers may have set for code of their own: what is computed here does not depend on them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch

P = ParamSpec("P")
R = TypeVar("R")

CPU = torch.device("cpu")


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Within the block new tensors are on the CPU and in float32 unless told otherwise, as when torch is imported."""
    device, dtype = torch.get_default_device(), torch.get_default_dtype()
    if device == CPU and dtype == torch.float32:
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        with CPU:
            yield
    finally:
        torch.set_default_dtype(dtype)


def with_usual_defaults(function: Callable[P, R]) -> Callable[P, R]:
    """The same function under `usual_defaults`; if it returns an iterator, each step of that as well."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with usual_defaults():
            found = function(*args, **kwargs)
        return cast(R, _each(found)) if isinstance(found, Iterator) else found

    return wrapped


def _each(found: Iterator[Any]) -> Iterator[Any]:
    """What an iterator gives; between two values, the caller's defaults hold."""
    try:
        while True:
            with usual_defaults():
                try:
                    value = next(found)
                except StopIteration:
                    return
            yield value
    finally:
        if hasattr(found, "close"):
            found.close()
