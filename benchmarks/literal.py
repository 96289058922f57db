"""The published method, written plainly: the independent truth for exactness tests and the unit of every ratio.

Baranchuk et al., "Label-Efficient Semantic Segmentation with Diffusion Models", ICLR 2022. Every map is upsampled to
image size and all are concatenated; the classifiers are trained and applied one after another. Nothing here imports
frugalseg.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

# Shapes: N pixels, D the length of a feature vector, K classes, H x W the image.

EPOCHS = 100
FIRST_COUNTED_EPOCH = 4
PATIENCE = 50


def concatenate(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """(H * W, D): every (1, C, h, w) map upsampled bilinearly to `size` = (H, W), all concatenated, one pixel a row."""
    upsampled = [F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps]
    return torch.cat(upsampled, dim=1).flatten(2)[0].t()


def classifier(dim: int, num_classes: int) -> nn.Sequential:
    """One member of the ensemble, freshly drawn: weights N(0, 0.02), biases 0."""
    first, second = (128, 32) if num_classes < 30 else (256, 128)
    layers = nn.Sequential(
        nn.Linear(dim, first),
        nn.ReLU(),
        nn.BatchNorm1d(first),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.BatchNorm1d(second),
        nn.Linear(second, num_classes),
    )
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.zeros_(layer.bias)
    return layers


class EarlyStop:
    """Ends training at the 51st batch in a row that has not beaten the best loss; counts from the fifth epoch on."""

    def __init__(self) -> None:
        self.best, self.misses = 1e7, 0

    def after_batch(self, epoch: int, loss: float) -> bool:
        """True when training ends with this batch of epoch 0, 1, ..."""
        if epoch < FIRST_COUNTED_EPOCH:
            return False
        if loss < self.best:
            self.best, self.misses = loss, 0
        else:
            self.misses += 1
        return self.misses > PATIENCE


class FixedOrder(Sampler[int]):
    """Rows in a given order, a new one each epoch: lets a test feed the literal loop another trainer's batches."""

    def __init__(self, order: Callable[[int], Tensor], length: int) -> None:
        self.order, self.length, self.epoch = order, length, 0

    def __iter__(self) -> Iterator[int]:
        yield from self.order(self.epoch).tolist()
        self.epoch += 1

    def __len__(self) -> int:
        return self.length


@dataclass
class Trained:
    """What `train` reports: batches seen, and their losses in order."""

    iterations: int
    losses: list[float]


def train(
    model: nn.Sequential,
    features: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 64,
    order: Callable[[int], Tensor] | None = None,
    max_iterations: int | None = None,
    epochs: int = EPOCHS,
) -> Trained:
    """Train one member in place, as published.

    Args:
        model: as `classifier` gives it, on any device.
        features: (N, D) float32, all of them in memory; a batch at a time goes to the model's device.
        labels: (N,) int64.
        batch_size: pixels a batch; what is left over at an epoch's end is dropped.
        order: the rows' order in each epoch; without it the loader shuffles.
        max_iterations: end here for a measurement.
        epochs: 100 as published.
    """
    data = TensorDataset(features, labels)
    sampler = None if order is None else FixedOrder(order, len(labels))
    loader = DataLoader(data, batch_size=batch_size, shuffle=order is None, sampler=sampler, drop_last=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    stop, report = EarlyStop(), Trained(0, [])
    device = next(model.parameters()).device
    model.train()
    for epoch in range(epochs):
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            report.iterations += 1
            report.losses.append(loss.item())
            if stop.after_batch(epoch, report.losses[-1]) or report.iterations == max_iterations:
                return report
    return report


@dataclass
class LiteralPrediction:
    """Mask (H, W) int64, mean probabilities (K, H, W), uncertainty (H, W), and the image's uncertainty."""

    mask: Tensor
    probabilities: Tensor
    uncertainty: Tensor
    image_uncertainty: float


def categorical_entropy(probabilities: Tensor) -> Tensor:
    """Entropy over dimension 1; the logarithm sees probabilities kept off 0 and 1 by the dtype's eps, as published."""
    eps = torch.finfo(probabilities.dtype).eps
    return -(probabilities * probabilities.clamp(eps, 1 - eps).log()).sum(1)


@torch.no_grad()
def predict(models: Sequence[nn.Sequential], features: Tensor, size: tuple[int, int]) -> LiteralPrediction:
    """Classify the pixels of one image, one member after another.

    Args:
        models: in evaluation mode.
        features: (H * W, D).
        size: (H, W).
    """
    total, entropies, labels = torch.zeros(()), [], []
    for model in models:
        log_probabilities = model(features).log_softmax(1)
        probabilities = log_probabilities.exp()
        total = total + probabilities
        entropies.append(-(probabilities * log_probabilities).sum(1))
        labels.append(log_probabilities.argmax(1))
    mean = total / len(models)
    divergence = categorical_entropy(mean) - torch.stack(entropies).mean(0)
    most_uncertain = divergence.sort().values[-(len(divergence) // 10) :]
    return LiteralPrediction(
        mask=torch.stack(labels, 1).mode(1).values.view(size),
        probabilities=mean.t().reshape(-1, *size),
        uncertainty=divergence.view(size),
        image_uncertainty=float(most_uncertain.mean()),
    )


def mean_iou(predictions: Sequence[Tensor], truths: Sequence[Tensor], classes: Sequence[int]) -> float:
    """Mean IoU as published.

    Args:
        predictions: label maps; what is predicted where the truth is ignored still counts in the unions.
        truths: label maps; an ignored pixel holds a label outside `classes`.
        classes: the labels that count; one that never occurs counts 0.
    """
    ious = []
    for label in classes:
        intersection = union = 0
        for predicted, true in zip(predictions, truths, strict=True):
            intersection += int(((predicted == label) & (true == label)).sum())
            union += int(((predicted == label) | (true == label)).sum())
        ious.append(intersection / (union + 1e-8))
    return sum(ious) / len(ious)
