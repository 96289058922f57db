"""How features are prepared for the ensemble (device, dtype, standardisation), and the batches that they come in."""

from collections.abc import Callable

import torch
from torch import Tensor

from frugalseg.classifier.batches import Batches, Gathered, OwnPermutations, PixelSource, SharedPools
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.protocol import TrainingProtocol

# Shapes: n pixels, D feature length.

SAMPLE = 8192  # pixels that features are standardised by, and held-out pixels that are watched, at most

GATHERED = 2**27
"""Feature values of all pixels (512 MB) up to which they are interpolated once rather than in each epoch."""


def sample(pixels: PixelSource, seed: int) -> Tensor:
    """Positions of at most `SAMPLE` pixels, all of them where they are few."""
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    return order[:SAMPLE]


def set_standardisation(classifier: PixelClassifier, pixels: PixelSource, seed: int) -> None:
    """Set the classifier's input standardisation from a sample of the pixels."""
    deviation, mean = torch.std_mean(pixels.features(sample(pixels, seed)), dim=0, correction=0)
    classifier.feature_mean.copy_(mean)
    # A feature that never changes is left as it is: 0 after its mean is taken off.
    classifier.feature_scale.copy_(torch.where(deviation > 1e-6 * (mean.abs() + 1e-6), deviation, 1.0))


def preparation(classifier: PixelClassifier, protocol: TrainingProtocol) -> Callable[[Tensor], Tensor]:
    """What is done to gathered features (n, D), in place where possible."""
    mean, scale = classifier.feature_mean, classifier.feature_scale

    def prepare(features: Tensor) -> Tensor:
        features = features.to(mean.device, mean.dtype)
        return features.sub_(mean).div_(scale) if protocol.standardise else features

    return prepare


def batches_of(
    pixels: PixelSource, protocol: TrainingProtocol, seed: int, prepare: Callable[[Tensor], Tensor]
) -> Batches:
    """The stream of batches that `protocol` asks for."""
    if protocol.pool_values is None:
        again = protocol.epochs is not None and len(pixels) * pixels.dim <= GATHERED
        return OwnPermutations(Gathered(pixels) if again else pixels, protocol.batch_size, seed, prepare)
    size = max(protocol.pool_values // pixels.dim, protocol.batch_size)
    passes, balance = protocol.pool_passes, protocol.class_balance
    return SharedPools(pixels, protocol.batch_size, seed, prepare, size=size, passes=passes, class_balance=balance)
