"""Layer-wise adaptive learning rates for large batches (You et al. 2017), as the published SwAV runs have them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step in each tensor is scaled by the ratio of weights to gradient.

    ``g' = g + weight_decay * w``; where both norms are above 0, ``g'`` is multiplied by
    ``trust * |w| / (|g| + weight_decay * |w|)``; then ``v = momentum * v + g'`` and ``w = w - lr * v``.

    Args:
        weights: the parameters.
        lr: learning rate; around 0.3 for every 256 images of a batch.
        momentum: of the velocity v.
        weight_decay: pull towards 0.
        trust: share of its weights by which a tensor may change in a step of learning rate 1.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        trust: float = 1e-3,
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step for all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)
        return loss

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        decay = group["weight_decay"]
        size, slope = weight.norm(), gradient.norm()
        ratio = group["trust"] * size / (slope + decay * size)
        ratio = torch.where((size > 0) & (slope > 0), ratio, torch.ones_like(ratio))
        state = self.state[weight]
        if not state:
            state["velocity"] = torch.zeros_like(weight)
        state["velocity"].mul_(group["momentum"]).add_((gradient + decay * weight) * ratio)
        weight.sub_(group["lr"] * state["velocity"])
