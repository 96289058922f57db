"""How far generated images are from real ones: the kernel distance (KID) between their features."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.backbones import Backbone
from frugalseg.pretraining.images import fit_to_size

SUBSETS = 50
LARGEST_SUBSET = 100


@torch.inference_mode()
def pooled_features(backbone: Backbone, images: Iterable[NDArray[np.uint8]]) -> Tensor:
    """One feature vector per image: the mean of each map of a backbone over all positions.

    Args:
        backbone: of any family. Images are cropped and resized to its native size.
        images: (H, W, 3) uint8 each.

    Returns:
        (N, backbone.dim) float32, on the CPU.
    """
    rows = []
    for image in images:
        seen = torch.tensor(fit_to_size(image, backbone.native_size)).permute(2, 0, 1)[None].float() / 255
        maps: Sequence[Tensor] = backbone(seen).maps
        rows.append(torch.cat([values[0].float().mean(dim=(1, 2)) for values in maps]).cpu())
    return torch.stack(rows)


def kernel_distance(real: Tensor, generated: Tensor, seed: int = 0) -> tuple[float, float]:
    """The kernel distance of Binkowski et al. (2018): an unbiased estimate of the squared MMD, polynomial kernel.

    Every feature is standardised with the mean and deviation of the real images first, because the features of a
    backbone differ widely in scale.

    Args:
        real, generated: (N, D) and (M, D) features.
        seed: of the random subsets, of at most `LARGEST_SUBSET` images each, that are compared.

    Returns:
        Mean and standard deviation over `SUBSETS` pairs of subsets. The expected value for two sets of the same
        distribution is 0, so single values may be slightly negative.
    """
    import warnings

    from torchmetrics.image.kid import KernelInceptionDistance

    mean, deviation = real.mean(dim=0), real.std(dim=0).clamp_min(1e-6)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
        torch.manual_seed(seed)
        size = min(LARGEST_SUBSET, len(real) - 1, len(generated) - 1)
        metric = KernelInceptionDistance(torch.nn.Identity(), subsets=SUBSETS, subset_size=size)
        metric.update((real - mean) / deviation, real=True)
        metric.update((generated - mean) / deviation, real=False)
        average, spread = metric.compute()
    return float(average), float(spread)
