"""The members of an ensemble that still train, and their optimizer."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.protocol import TrainingProtocol

# Shapes: A members that still train, b pixels of a batch, V held-out pixels, D feature length.


class ActiveMembers:
    """Members that train together in one batched computation, until each of them is let go.

    Args:
        classifier: all members, on the device and in the dtype of the training.
        protocol: how they train.
        low_precision: dtype of the matrix products, where it is lower than that of the weights.

    Attributes:
        classifier: all members, each as it would be if it stopped now; those that still train, as they were when last
            kept.
        places: of the active members in `classifier`.
        part: the active members, being trained.
        optimizer: theirs.
    """

    def __init__(
        self, classifier: PixelClassifier, protocol: TrainingProtocol, low_precision: torch.dtype | None = None
    ) -> None:
        self.classifier, self.protocol, self.low_precision = classifier, protocol, low_precision
        self.take(list(range(classifier.members)))

    def take(self, places: list[int]) -> None:
        """Train the members at `places` of `classifier`, from its weights, with a new optimizer."""
        self.places = places
        self.part = self.classifier.select(places)
        self.optimizer = self._new_optimizer()

    def __len__(self) -> int:
        """A."""
        return len(self.places)

    def learn(self, features: Tensor, labels: Tensor, rate: float) -> Tensor:
        """One step of the optimizer.

        Args:
            features: (A, b, D), prepared.
            labels: (A, b) int64.
            rate: learning rate.

        Returns:
            (A,) losses before the step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self._losses(features, labels, self.protocol.label_smoothing)
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach()

    @torch.no_grad()
    def validate(self, features: Tensor, labels: Tensor) -> Tensor:
        """Each active member's loss (A,) on held-out features (V, D) and labels (V,)."""
        self.part.eval()
        losses = self._losses(features, labels.expand(len(self), -1))
        self.part.train()
        return losses

    def _losses(self, features: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross entropy (A,) on features (A, b, D) or (b, D) and labels (A, b)."""
        with torch.autocast(features.device.type, self.low_precision, enabled=self.low_precision is not None):
            logits = self.part.network(features).to(features.dtype)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=smoothing)
        return losses.view(labels.shape).mean(1)

    def keep(self, which: Sequence[int]) -> None:
        """Copy some active members (numbers from 0 to below A), as they are now, into `classifier`."""
        self.classifier.assign([self.places[i] for i in which], self.part.select(which))

    def go_on_with(self, staying: Sequence[int]) -> None:
        """All active members but `staying` (numbers from 0 to below A) leave the computation."""
        moments = [self.optimizer.state[parameter] for parameter in self.part.parameters()]
        self.places = [self.places[i] for i in staying]
        self.part = self.part.select(staying)
        self.optimizer = self._new_optimizer()
        for parameter, state in zip(self.part.parameters(), moments, strict=True):
            kept = {name: value[staying] if value.dim() else value for name, value in state.items()}
            self.optimizer.state[parameter] = kept

    def _new_optimizer(self) -> torch.optim.AdamW:
        """Adam; with weight decay 0, AdamW is Adam exactly."""
        decay = self.protocol.weight_decay
        return torch.optim.AdamW(self.part.parameters(), lr=self.protocol.learning_rate, weight_decay=decay, fused=True)
