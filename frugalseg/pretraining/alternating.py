"""Pretraining with several networks that take turns, such as a generator and a discriminator."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from frugalseg.pretraining.module import PretrainingModule
from frugalseg.pretraining.settings import AlternatingSettings
from frugalseg.training.averaging import Decay, half_life_decay
from frugalseg.training.gradients import averaged_gradients


class AlternatingModule(PretrainingModule):
    """What a family defines: its optimizers (`make_optimizers`), the updates of a step, `export` and `draw`.

    A step is one batch, however many updates it brings. All that a continued run needs must be in weights, buffers and
    the state of the optimizers; what one process learns of its part of a batch goes into buffers by way of
    `frugalseg.training.gradients.averaged`. A network in which gradients are differentiated again, as penalties do,
    cannot be compiled.
    """

    settings: AlternatingSettings

    def __init__(self, settings: AlternatingSettings, channels_last: bool = False) -> None:
        """See `PretrainingModule`."""
        super().__init__(settings, channels_last)
        self.automatic_optimization = False
        self.rates: dict[str, list[float]] = {}

    @abstractmethod
    def make_optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by name, each with its own learning rate; the log tells that of the first one.

        Each must leave a parameter without a gradient alone, and keep one state for each parameter, as torch's do.
        """

    @abstractmethod
    def updates(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Carry out the updates of a step, each by a call of `update`.

        Args:
            batch: this process's part of it, see `BatchStream`.

        Returns:
            What the log tells by name, 0-dimensional; the first is the loss. Terms that only some steps have keep
            their last value in the log.
        """

    def rate_factor(self, name: str, step: int) -> float:
        """The learning rate of the optimizer `name` in a step, as a share of its own; 1 by default."""
        return 1.0

    def treated(self, name: str, gradients: list[Tensor | None]) -> list[Tensor | None] | None:
        """Gradients as an update takes them, such as clipped ones; None leaves the update out. Unchanged by default.

        Args:
            name: of the optimizer.
            gradients: in the order of its parameters that require gradients, the same in all processes.
        """
        return gradients

    def update(self, loss: Tensor, *names: str) -> None:
        """A step of one optimizer or of several down the gradient of `loss`, for their weights that are not `frozen`.

        Args:
            loss: 0-dimensional, the mean over this process's part of the batch.
            names: of the optimizers.
        """
        weights = [trainable(self.optimizer(name)) for name in names]
        gradients = averaged_gradients(loss, [each for part in weights for each in part])
        for name, part in zip(names, weights, strict=True):
            own, gradients = gradients[: len(part)], gradients[len(part) :]
            treated = self.treated(name, own)
            if treated is not None:
                stepped(self.optimizer(name), part, treated)

    def optimizer(self, name: str) -> Optimizer:
        """One of those that `make_optimizers` made."""
        found: Optimizer = self.trainer.optimizers[list(self.rates).index(name)]
        return found

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The updates of a batch; returns the loss."""
        if batch["step"] != self.global_step:
            raise RuntimeError(f"batch {batch['step']} came in step {self.global_step}")
        self._set_rates()
        terms = self.updates(batch)
        loss = terms.pop(next(iter(terms)))
        self.log_dict(terms)
        self._count()
        return loss

    def _set_rates(self) -> None:
        for name, rates in self.rates.items():
            factor = self.rate_factor(name, self.global_step)
            for group, rate in zip(self.optimizer(name).param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def _count(self) -> None:
        """Tell Lightning that a step is done: it counts those of its own optimizers.

        This one finds no gradients and changes nothing. The updates are made past Lightning, because each of them
        would count.
        """
        several = self.optimizers()
        (several[0] if isinstance(several, list) else several).step()

    def configure_optimizers(self) -> list[Optimizer]:
        """Those of `make_optimizers`, whose learning rates `rate_factor` moves."""
        made = self.make_optimizers()
        self.rates = {name: [group["lr"] for group in each.param_groups] for name, each in made.items()}
        return list(made.values())

    def averaging_decay(self) -> Decay:
        """See `PretrainingModule`."""
        return half_life_decay(self.settings.ema_images, self.settings.images_per_step)

    def gradient_clip(self) -> None:
        """The trainer clips nothing; `treated` may."""


def trainable(optimizer: Optimizer) -> list[Tensor]:
    """The parameters of an optimizer that require gradients."""
    return [each for group in optimizer.param_groups for each in group["params"] if each.requires_grad]


def stepped(optimizer: Optimizer, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Take a step with these gradients, and leave none behind."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad()
