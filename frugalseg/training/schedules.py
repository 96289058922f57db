"""How the learning rate changes over a training."""

import math

FINAL_RATE = 1e-3
"""The learning rate of the last step as a share of the highest."""


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """The learning rate of a step as a share of the highest: a linear rise, then half a cosine down to `FINAL_RATE`.

    Args:
        step: from 0.
        steps: of the training.
        warmup: steps of the rise; at most a tenth of all steps are used for it.
    """
    warmup = min(warmup, steps // 10)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min((step - warmup) / max(steps - 1 - warmup, 1), 1.0)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * done)) / 2
