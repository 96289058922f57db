"""Digests: short texts that change with what they stand for."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

SHORT = 16
"""Hexadecimal digits that tell settings, networks and lists of files apart."""


def network(module: "nn.Module") -> str:
    """16 hexadecimal digits that change with a network's weights: their names, dtypes, shapes and values."""
    # The command line reads modules that import this one, and must not wait for torch.
    import torch

    digest = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:SHORT]
