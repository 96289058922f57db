"""The discretised mixture of logistic distributions by which a VDVAE predicts pixels (Salimans et al. 2017, section 2).

Letters: B images, K mixtures. The parameters of a pixel are K logits, and for each color K means, K logarithms of
scales and K coefficients: red's mean is as it is, green's depends on red, and blue's on red and green.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from frugalseg.backbones.vdvae.pixels import Pixels

LEAST_LOG_SCALE = -7.0
EDGE = 0.999
"""Values beyond belong to the first or the last bin, which reach to infinity."""
LEAST_MASS = 1e-5
"""In bins with less, the density stands for the difference of two nearly equal numbers."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The distribution of every pixel; float32.

    Attributes:
        logits: (B, K, H, W).
        means, log_scales: (B, 3, K, H, W).
        coefficients: (B, 3, K, H, W) in [-1, 1]: of red in green, of red in blue, of green in blue.
    """

    logits: Tensor
    means: Tensor
    log_scales: Tensor
    coefficients: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> Self:
        """The mixture of (B, 10 K, H, W) outputs of a network."""
        parameters = parameters.float()
        count = parameters.shape[1] // 10
        logits, rest = parameters[:, :count], parameters[:, count:].unflatten(1, (3, 3, count))
        log_scales = rest[:, :, 1].clamp_min(LEAST_LOG_SCALE)
        return cls(logits, rest[:, :, 0], log_scales, rest[:, :, 2].tanh())

    def loss(self, targets: Tensor, pixels: Pixels) -> Tensor:
        """(B,): the negative logarithm of the likelihood, in nats for each color of each pixel.

        Args:
            targets: (B, 3, H, W) as `Pixels.targets` gives them.
            pixels: says how many values there are.
        """
        red, green, _ = targets[:, :, None].unbind(1)
        to_green, to_blue, green_to_blue = self.coefficients.unbind(1)
        shifts = torch.stack([torch.zeros_like(to_green), to_green * red, to_blue * red + green_to_blue * green], dim=1)
        colors = log_masses(targets[:, :, None], self.means + shifts, self.log_scales, pixels.half_bin).sum(1)
        likelihood = (colors + self.logits.log_softmax(1)).logsumexp(1)
        return -likelihood.mean(dim=(1, 2)) / targets.shape[1]

    def most_likely(self) -> Tensor:
        """(B, 3, H, W) in [-1, 1]: the means of the mixture with the largest logit."""
        return self._colors(self.logits, torch.zeros_like(self.means[:, :, 0]))

    def sample(self, noise: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1]: a draw for (B, K + 3, H, W) uniform numbers in (0, 1)."""
        count = self.logits.shape[1]
        uniform = noise.clamp(1e-5, 1 - 1e-5)
        gumbel = -(-uniform[:, :count].log()).log()
        return self._colors(self.logits + gumbel, uniform[:, count:].logit())

    def _colors(self, scores: Tensor, deviations: Tensor) -> Tensor:
        """The pixels of the mixture with the highest score, so many scales (B, 3, H, W) away from its means."""
        chosen = scores.argmax(1)[:, None, None].expand(-1, 3, -1, -1, -1)
        means, log_scales, coefficients = (
            values.gather(2, chosen)[:, :, 0] for values in (self.means, self.log_scales, self.coefficients)
        )
        values = means + log_scales.exp() * deviations
        red = values[:, 0].clamp(-1, 1)
        green = (values[:, 1] + coefficients[:, 0] * red).clamp(-1, 1)
        blue = (values[:, 2] + coefficients[:, 1] * red + coefficients[:, 2] * green).clamp(-1, 1)
        return torch.stack([red, green, blue], dim=1)


def log_masses(values: Tensor, means: Tensor, log_scales: Tensor, half_bin: float) -> Tensor:
    """The logarithm of a logistic distribution's mass in the bin around each value; see `Mixture.loss`.

    Args:
        values: in [-1, 1].
        means, log_scales: of the distributions.
        half_bin: half the width of a bin.
    """
    centred, sharpness = values - means, (-log_scales).exp()
    above, below = sharpness * (centred + half_bin), sharpness * (centred - half_bin)
    middle = sharpness * centred
    mass = above.sigmoid() - below.sigmoid()
    density = middle - log_scales - 2 * functional.softplus(middle)
    # Both branches of a `where` get gradients, so the logarithm must not see what the other branch is for.
    within = torch.where(mass > LEAST_MASS, mass.clamp_min(1e-12).log(), density + math.log(2 * half_bin))
    upper = torch.where(values > EDGE, -functional.softplus(below), within)
    return torch.where(values < -EDGE, above - functional.softplus(above), upper)
