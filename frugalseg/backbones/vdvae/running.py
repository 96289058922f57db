"""How a block is run while the network learns: as it is, or once more in the backward pass, which saves memory."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch.utils.checkpoint import checkpoint

T = TypeVar("T")


def run(function: Callable[..., T], *arguments: Any, checkpointing: bool) -> T:
    """``function(*arguments)``; with `checkpointing`, nothing that it computes on the way is kept."""
    if not checkpointing:
        return function(*arguments)
    result: T = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result
