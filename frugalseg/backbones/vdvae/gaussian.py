"""Normal distributions with a mean and a deviation for each element: the priors and posteriors of the latents."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """Independent normal distributions, (B, zdim, h, w) each.

    Attributes:
        mean: of each element.
        log_std: logarithm of the standard deviation.
    """

    mean: Tensor
    log_std: Tensor

    def sample(self, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """A draw for standard normal `noise`; the deviation is multiplied by `temperature`, which is above 0."""
        log_std = self.log_std if temperature == 1 else self.log_std + math.log(temperature)
        return self.mean + log_std.exp() * noise.to(self.mean.dtype)


def divergence(posterior: Gaussian, prior: Gaussian) -> Tensor:
    """The KL divergence of each element, in nats; in float32 at least."""
    dtype = torch.promote_types(prior.mean.dtype, torch.float32)
    mean, log_std, prior_mean, prior_log_std = (values.to(dtype) for values in (*posterior, *prior))
    squares = log_std.exp().square() + (mean - prior_mean).square()
    return prior_log_std - 0.5 - log_std + 0.5 * squares / prior_log_std.exp().square()
