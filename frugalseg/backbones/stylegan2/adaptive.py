"""How probable changes of the images are: as probable as the discriminator's overfitting demands (ADA)."""

import torch
from torch import Tensor, nn

INTERVAL = 4
"""Steps from one adjustment to the next."""


class AdaptiveProbability(nn.Module):
    """The probability p, which rises while the discriminator is surer of the photographs than it should be.

    It is surer if the mean sign of its logits of photographs is above a target (Karras et al. 2020, "Training GANs with
    Limited Data", section 3).

    Args:
        target: of that mean sign; 1 leaves p at 0.
        images: photographs that are seen while p goes from 0 to 1.
    """

    def __init__(self, target: float, images: int) -> None:
        super().__init__()
        self.target, self.images = target, images
        self.register_buffer("p", torch.zeros([]))
        self.register_buffer("signs", torch.zeros([]))
        self.register_buffer("steps", torch.zeros([], dtype=torch.int64))

    @property
    def probability(self) -> float:
        """The current p, in [0, 1]."""
        return float(self.get_buffer("p"))

    @torch.no_grad()
    def follow(self, mean_sign: Tensor, batch_size: int) -> None:
        """Take a step into account, and adjust p where it is time to.

        Args:
            mean_sign: 0-dimensional, of the logits of all photographs of the step, in all processes.
            batch_size: how many they were.
        """
        p, signs, steps = (self.get_buffer(name) for name in ("p", "signs", "steps"))
        signs += mean_sign
        steps += 1
        if int(steps) < INTERVAL:
            return
        change = (signs / steps - self.target).sign() * (batch_size * INTERVAL / self.images)
        p.copy_((p + change).clamp(0, 1))  # without the upper end it would take long to come back
        signs.zero_()
        steps.zero_()
