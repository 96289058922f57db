"""Networks with random weights."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def random_network(kind: Callable[[Any], Network], shape: Any, seed: int) -> Network:
    """``kind(shape)`` with the first values of a training: normal weights; biases and the strengths of noise are zero.

    Args:
        kind: `Generator` or `Discriminator`.
        shape: its sizes.
        seed: of the values; torch's own random state is left alone.

    Returns:
        The network in float32 on the CPU.
    """
    network, generator = kind(shape), torch.Generator().manual_seed(seed)
    for module in network.modules():
        draw = getattr(module, "draw", None)
        if draw is not None:
            draw(generator)
    return network
