"""Convolutions that add up more exactly on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Within this context convolutions on a CPU leave oneDNN aside.

    Its kernels for machines without AVX-512 add up thousands of products in one float32. The codes of a deep encoder
    are then off by 1e-5 of their deviation, and the generator makes 4e-5 of that; without them it is less than half as
    much, in about a third more time.
    """
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before
