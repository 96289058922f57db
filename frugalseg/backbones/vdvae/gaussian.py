"""Normal distributions with a mean and a deviation for each element: the priors and posteriors of the latents."""

import math
from typing import NamedTuple

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
    """The KL divergence of each element, in nats; float32, whatever the distributions are in."""
    mean, log_std = (values.float() for values in posterior)
    prior_mean, prior_log_std = (values.float() for values in prior)
    squares = log_std.exp().square() + (mean - prior_mean).square()
    return prior_log_std - 0.5 - log_std + 0.5 * squares / prior_log_std.exp().square()
