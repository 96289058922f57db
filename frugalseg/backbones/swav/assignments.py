"""Which prototype each image is assigned to, and the loss that predicts it from other views (Caron et al. 2020)."""

import math
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from frugalseg.training.batch_norm import world_size

DIRECT = 0.025
"""The smallest epsilon for which float32 holds the exponentials of all cosines: they differ by a factor of at most
``exp(2 / epsilon)``."""


def global_batch(features: Tensor) -> Tensor:
    """The features of all processes, in the order of the global batch; no gradient passes.

    Args:
        features: (V, b, D); process r of R holds the samples r, r + R, r + 2R, ...

    Returns:
        (V, R * b, D), the same in all processes.
    """
    if world_size() == 1:
        return features
    parts = [torch.empty_like(features) for _ in range(world_size())]
    dist.all_gather(parts, features.contiguous())
    return torch.stack(parts, dim=2).flatten(1, 2)


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Soft assignments that use all prototypes alike (eq. 3 to 5): ``Diag(u) exp(scores / epsilon) Diag(v)``.

    Args:
        scores: (..., B, K) cosines between B images and K prototypes, float32.
        epsilon: of the entropy that smooths them.
        iterations: 1 or more; each scales the columns to B / K and then the rows to 1.

    Returns:
        (..., B, K); each row sums to 1, and each column to about B / K.
    """
    exponents = (scores - scores.amax(dim=(-2, -1), keepdim=True)) / epsilon
    if epsilon >= DIRECT:
        assignments, left = exponents.exp(), iterations
    else:  # whole columns and rows could be 0: the first iteration in logarithms, after which no sum is that small
        assignments, left = exponents.log_softmax(-2).softmax(-1), iterations - 1
    share = scores.shape[-2] / scores.shape[-1]
    for _ in range(left):
        assignments = assignments * (share / assignments.sum(-2, keepdim=True))
        assignments = assignments / assignments.sum(-1, keepdim=True)
    return assignments


def swapped_prediction(logits: Tensor, assignments: Tensor) -> Tensor:
    """The mean cross entropy between the assignment of a large view and the prediction from any other (eq. 2 and 6).

    Args:
        logits: (V, b, K) scores over the temperature, of all views, large ones first.
        assignments: (A, b, K) of the A large views.

    Returns:
        A scalar; log K where the predictions say nothing.
    """
    predictions = F.log_softmax(logits, dim=-1)
    losses = [
        -(assignment * predictions[view]).sum(-1).mean()
        for number, assignment in enumerate(assignments)
        for view in others(number, len(logits))
    ]
    return torch.stack(losses).mean()


def others(number: int, count: int) -> Iterator[int]:
    """0, ..., `count` - 1 without `number`."""
    return (n for n in range(count) if n != number)


def relative_entropy_of(assignments: Tensor) -> Tensor:
    """Mean entropy of the rows of (..., K) assignments over log K: 1 where nothing tells one prototype from another."""
    entropies: Tensor = torch.special.entr(assignments).sum(-1)
    return entropies.mean() / math.log(assignments.shape[-1])
