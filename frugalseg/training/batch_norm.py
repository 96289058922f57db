"""Batch normalisation over the global batch: what several processes train is what one would."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class GlobalBatchNorm(nn.BatchNorm2d):
    """Batch normalisation of (B, C) or (B, C, h, w) whose moments are those of all processes' samples, alike in number.

    PyTorch's `SyncBatchNorm` does the same on GPUs only. The tensors' names are those of `BatchNorm2d`.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Vectors as well as maps."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalised values of the shape and dtype of `input`."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        values = input.float()
        dims = (0, *range(2, input.ndim))
        count = world_size() * input.numel() // input.shape[1]
        mean = summed(values.sum(dims)) / count
        centred = values - spread(mean, input.ndim)
        variance = summed(centred.square().sum(dims)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        normal = centred * spread((variance + self.eps).rsqrt(), input.ndim)
        if self.affine:
            normal = normal * spread(self.weight, input.ndim) + spread(self.bias, input.ndim)
        return normal.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


def world_size() -> int:
    """How many processes share each batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, through which gradients pass."""
    total: Tensor = all_reduce(values, op=dist.ReduceOp.SUM)
    return total


def spread(values: Tensor, dims: int) -> Tensor:
    """(C,) as (1, C, 1, ...) of so many dimensions."""
    return values.reshape(1, -1, *([1] * (dims - 2)))


@contextmanager
def fixed_statistics(network: nn.Module) -> Iterator[None]:
    """Within this context the running means and variances of `network` stay as they are, in training mode too."""
    layers = [module for module in network.modules() if isinstance(module, GlobalBatchNorm)]
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
