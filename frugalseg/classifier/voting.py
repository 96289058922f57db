"""What the members of an ensemble say together: labels by majority, mean probabilities, disagreement."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Shapes: M members, K classes, P pixels.

CLASSES = 256
"""More than a classifier can have."""


@dataclass(frozen=True)
class Wanted:
    """What a prediction holds beside the labels. Each costs time; probabilities also take much memory."""

    probabilities: bool = True
    uncertainty: bool = True


EVERYTHING = Wanted()
LABELS = Wanted(probabilities=False, uncertainty=False)


def tally(logits: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Labels (P,) uint8, mean probabilities (K, P) and Jensen-Shannon divergence (P,), the last two where wanted.

    Args:
        logits: (M, K, P), classes before pixels, so that each pass runs along memory; they are overwritten.
        wanted: what is computed.
    """
    below = logits.sub_(logits.amax(1, keepdim=True))
    mask = majority(below)
    if wanted == LABELS:
        return mask, None, None
    shares = below.exp()
    total = shares.sum(1, keepdim=True)
    mean = shares.div_(total).mean(0)
    divergence = None
    if wanted.uncertainty:
        entropies = total.squeeze(1).log_().sub_(below.mul_(shares).sum(1))
        divergence = (entropy(mean, 0) - entropies.mean(0)).clamp_min_(0)
    return mask, mean if wanted.probabilities else None, divergence


def majority(below: Tensor) -> Tensor:
    """(P,) uint8: the class that most members put first; ties go to the smallest, among classes as within a member.

    Args:
        below: (M, K, P), each logit less the largest of its member and pixel, so at most 0.
    """
    members, classes, pixels = below.shape
    votes = below.sign().sum(0)  # less those of all members
    if votes.sum(dtype=torch.float64) != -members * (classes - 1) * pixels:  # a member has two largest logits
        labels = below.argmax(1)
        votes = torch.zeros_like(votes).scatter_add_(0, labels, torch.ones_like(labels, dtype=votes.dtype))
    # Votes and class in one number: the largest is found along memory, and much faster than by argmax.
    rank = torch.arange(CLASSES - 1, CLASSES - 1 - classes, -1, dtype=votes.dtype)[:, None]
    best = torch.add(rank, votes, alpha=CLASSES).amax(0)
    return (CLASSES - 1 - best.remainder_(CLASSES)).to(torch.uint8)


def first_largest(values: Tensor) -> Tensor:
    """(...) uint8: argmax over the first dimension of (K, ...), of equal values the first; in passes along memory."""
    rank = torch.arange(len(values), 0, -1, dtype=torch.uint8, device=values.device)
    rank = rank.view(-1, *[1] * (values.dim() - 1))
    best = (values == values.amax(0)).view(torch.uint8).mul_(rank).amax(0)
    return len(values) - best.clamp_min_(1)  # nothing is equal to what is no number


def softmax(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities (M, P, K), labels (M, P) and entropies (M, P) of logits (M, P, K)."""
    log_probabilities = logits.log_softmax(-1)
    probabilities = log_probabilities.exp()
    return probabilities, logits.argmax(-1), -log_probabilities.mul_(probabilities).sum(-1)


def combine(probabilities: Tensor, labels: Tensor, entropies: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mask (P,) uint8, mean probabilities (K, P) and Jensen-Shannon divergence (P,) from what `softmax` gives."""
    mean = probabilities.mean(0)
    votes = torch.zeros_like(mean).scatter_add_(1, labels.t(), torch.ones_like(labels.t(), dtype=mean.dtype))
    divergence = (entropy(mean) - entropies.mean(0)).clamp_min_(0)
    return votes.argmax(-1).to(torch.uint8), mean.t(), divergence


def entropy(probabilities: Tensor, dim: int = -1) -> Tensor:
    """Shannon entropy in nats over a dimension; 0 log 0 is 0."""
    # Clamping inside the logarithm alone is exact at 0 and far faster than torch.special.entr on a CPU.
    tiny = torch.finfo(probabilities.dtype).tiny
    return -(probabilities * probabilities.clamp_min(tiny).log()).sum(dim)


def image_uncertainty(uncertainty: Tensor) -> float:
    """Mean over the 10 % most uncertain pixels, as published; over all of them where there are fewer than 10."""
    flat = uncertainty.flatten()
    return float(flat.topk(flat.numel() // 10 or flat.numel()).values.mean())
