"""Adam without momentum whose learning rate is equalized over the layers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from frugalseg.backbones.alae.layers import equalized_layers

BETA, EPS = 0.99, 1e-8


class EqualizedAdam(Optimizer):
    """Adam (Kingma & Ba 2015) with beta1 = 0 and one share of the learning rate for each group of parameters.

    A layer's share is the deviation of its first weights, so that all of them change in proportion to their size, as in
    Karras et al. 2018, section 4.1, where weights are multiplied by it at run time. In step t, with g the gradient::

        v = beta v + (1 - beta) g^2        p -= lr share sqrt(1 - beta^t) g / (sqrt(v) + eps)

    Args:
        groups: each has ``params``, and ``share`` where it is not 1.
        lr: the learning rate.
        beta: of the running mean of the squared gradients.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], lr: float, beta: float = BETA) -> None:
        super().__init__(groups, {"lr": lr, "share": 1.0, "beta": beta, "eps": EPS})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all parameters that have a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state, beta, gradient = self.state[parameter], group["beta"], parameter.grad
        assert gradient is not None
        if not state:
            state.update(step=torch.zeros(()), exp_avg_sq=torch.zeros_like(parameter))
        state["step"] += 1
        squares = state["exp_avg_sq"].mul_(beta).addcmul_(gradient, gradient, value=1 - beta)
        rate = group["lr"] * group["share"] * (1 - beta ** state["step"].item()) ** 0.5
        parameter.addcdiv_(gradient, squares.sqrt().add_(group["eps"]), value=-rate)

    def forget(self) -> None:
        """Begin anew with the means, as when the network has grown."""
        self.state.clear()


def groups_of(*networks: nn.Module) -> list[dict[str, Any]]:
    """The parameters of networks, in groups of the same share of the learning rate; see `layers`."""
    shares = {}
    for layer in (layer for network in networks for layer in equalized_layers(network)):
        shares[layer.weight] = layer.scale * layer.rate
        if layer.bias is not None:
            shares[layer.bias] = layer.rate
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in (parameter for network in networks for parameter in network.parameters()):
        groups.setdefault(shares.get(parameter, 1.0), []).append(parameter)
    return [{"params": parameters, "share": share} for share, parameters in groups.items()]
