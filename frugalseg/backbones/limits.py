"""How large a network may become while a library builds it from a description that a stranger wrote."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.nn.modules import module as registry

from frugalseg.support.errors import InputError

MOST_TENSORS = 20_000
"""Parameters and buffers of one network; the largest of the libraries have some 3000."""
MODULES_A_TENSOR = 20
"""Modules without tensors of their own, such as activations and containers, come beside those with some."""


class _Counter:
    """Counts what is put into the modules that its own thread builds.

    Args:
        tensors, values: how many parameters and buffers there may be, and numbers in all of them; None: any number.
    """

    def __init__(self, tensors: int, values: int | None) -> None:
        self.tensors, self.values = tensors, values
        self.modules = MODULES_A_TENSOR * (tensors + 100)
        self.thread = threading.get_ident()

    def tensor(self, module: Any, name: str, tensor: Tensor | None) -> None:
        if threading.get_ident() != self.thread or tensor is None:
            return
        self.tensors -= 1
        if self.values is not None:
            self.values -= tensor.numel()
        if self.tensors < 0 or (self.values is not None and self.values < 0):
            raise InputError("its description asks for a larger network than its weights are of")

    def module(self, module: Any, name: str, inner: Any) -> None:
        self.modules -= threading.get_ident() == self.thread
        if self.modules < 0:
            raise InputError("its description asks for more layers than any network has")


@contextmanager
def at_most(tensors: int = MOST_TENSORS, values: int | None = None) -> Iterator[None]:
    """Within the block, a network that grows beyond a size ends with `InputError`, whichever library builds it.

    A parameter is counted before it gets its first values, so one that is far too large never takes up memory.

    Args:
        tensors: parameters and buffers.
        values: numbers in all of them; None: as many as there are.
    """
    counter = _Counter(tensors, values)
    with ExitStack() as stack:
        for register, count in (
            (registry.register_module_parameter_registration_hook, counter.tensor),
            (registry.register_module_buffer_registration_hook, counter.tensor),
            (registry.register_module_module_registration_hook, counter.module),
        ):
            stack.callback(register(count).remove)
        yield
