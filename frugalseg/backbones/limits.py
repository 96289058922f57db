"""How large a network may become while a library builds it from a description that a stranger wrote."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.modules import module as registry

from frugalseg.support.errors import InputError

MOST_TENSORS = 20_000
"""Parameters and buffers of one network; the largest of the libraries have some 3000."""
MODULES_A_TENSOR = 20
"""Modules without tensors of their own, such as activations and containers, come beside those with some."""


class _Counter:
    """Counts what is put into modules.

    Args:
        tensors, values: how many parameters and buffers there may be, and numbers in all of them; None: any number.
    """

    def __init__(self, tensors: int, values: int | None) -> None:
        self.tensors, self.values = tensors, values
        self.modules = MODULES_A_TENSOR * (tensors + 100)

    def tensor(self, tensor: Tensor) -> None:
        self.tensors -= 1
        if self.values is not None:
            self.values -= tensor.numel()
        if self.tensors < 0 or (self.values is not None and self.values < 0):
            raise InputError("its description asks for a larger network than its weights are of")

    def module(self) -> None:
        self.modules -= 1
        if self.modules < 0:
            raise InputError("its description asks for more layers than any network has")


class _Counting(threading.local):
    """The counters of the thread that asks: one for each block of `at_most` that it is in."""

    def __init__(self) -> None:
        self.counters: list[_Counter] = []

    def tensor(self, module: Any, name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            for counter in self.counters:
                counter.tensor(tensor)

    def module(self, module: Any, name: str, inner: Any) -> None:
        for counter in self.counters:
            counter.module()


_counting = _Counting()
# They stay, and do nothing outside of a block: where one is taken away, another thread that builds a network fails.
registry.register_module_parameter_registration_hook(_counting.tensor)
registry.register_module_buffer_registration_hook(_counting.tensor)
registry.register_module_module_registration_hook(_counting.module)


@contextmanager
def at_most(tensors: int = MOST_TENSORS, values: int | None = None) -> Iterator[None]:
    """Within the block, a network that grows beyond a size ends with `InputError`, whichever library builds it.

    A parameter is counted before it gets its first values, so one that is far too large never takes up memory. What
    other threads build does not count.

    Args:
        tensors: parameters and buffers.
        values: numbers in all of them; None: as many as there are.
    """
    counter = _Counter(tensors, values)
    _counting.counters.append(counter)
    try:
        yield
    finally:
        _counting.counters.pop()
