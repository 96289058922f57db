"""The loss of a segmentation network that is trained on masks."""

import torch.nn.functional as F
from torch import Tensor

from frugalseg.data.classes import NOT_ANNOTATED


def segmentation_loss(logits: Tensor, target: Tensor, dice: float) -> Tensor:
    """Cross-entropy plus `dice` times the soft Dice loss over the classes in the batch; unannotated pixels left out.

    Args:
        logits: (B, K, H, W).
        target: (B, H, W) int64; 255 = not annotated.
        dice: weight of the second term.
    """
    known = target != NOT_ANNOTATED
    # Written as a sum, so that a batch without any annotated pixel gives 0 rather than nan.
    entropy = F.cross_entropy(logits, target, ignore_index=NOT_ANNOTATED, reduction="sum") / known.sum().clamp_min(1)
    if dice == 0:
        return entropy
    shares = logits.softmax(dim=1) * known[:, None]
    truth = F.one_hot(target.where(known, 0), logits.shape[1]).permute(0, 3, 1, 2) * known[:, None]
    overlap, total = (shares * truth).sum(dim=(0, 2, 3)), (shares + truth).sum(dim=(0, 2, 3))
    return entropy + dice * (1 - (2 * overlap + 1) / (total + 1)).mean()
