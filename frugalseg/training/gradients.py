"""Gradients of a loss for some of a module's weights, the same in all processes that share a batch."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn


def averaged_gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients of a loss, averaged over all processes; None for parameters that it does not depend on.

    No gradient goes through ``.grad``, so Lightning's DDP does not wait for those of other networks. All processes
    must call it for the same loss.

    Args:
        loss: 0-dimensional, the mean over this process's part of a batch.
        parameters: that require gradients.
    """
    # Autocast is for the way forward: gradients have the formats of what they belong to.
    with torch.autocast(loss.device.type, enabled=False):
        gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    found = [each for each in gradients if each is not None]
    averaged = iter(averaged_tensors(found))
    return [None if each is None else next(averaged) for each in gradients]


def averaged_tensors(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The means over all processes of tensors of one dtype and device, in a single message; without gradients."""
    if not tensors or not _several_processes():
        return [each.detach() for each in tensors]
    together = torch.cat([each.detach().flatten() for each in tensors])
    dist.all_reduce(together)
    together /= dist.get_world_size()
    parts = together.split([each.numel() for each in tensors])
    return [part.view(each.shape) for part, each in zip(parts, tensors, strict=True)]


def averaged(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without gradients."""
    return averaged_tensors([value])[0]


def clipped(gradients: Sequence[Tensor | None], largest: float) -> list[Tensor | None]:
    """Gradients scaled down so that the norm of all together is at most `largest`."""
    scale = (largest / norm_of(gradients)).clamp(max=1.0)
    return [None if each is None else each * scale for each in gradients]


def norm_of(gradients: Sequence[Tensor | None]) -> Tensor:
    """The 2-norm of all gradients together, 0-dimensional."""
    return nn.utils.get_total_norm([each for each in gradients if each is not None])


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Within this context no gradients are kept for the weights of `networks`; they still pass through."""
    with ExitStack() as stack:
        for weight in (weight for network in networks for weight in network.parameters() if weight.requires_grad):
            weight.requires_grad_(False)
            stack.callback(weight.requires_grad_, True)
        yield


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
