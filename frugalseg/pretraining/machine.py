"""What a training's defaults take from the machine: how large a network it can train, and in which number format."""

from dataclasses import dataclass
from typing import Self

from frugalseg.support.precision import Precision
from frugalseg.support.processor import slow_in_bf16


@dataclass(frozen=True)
class Machine:
    """The kind of machine that a run is begun on; a continued run keeps what was chosen then, wherever it goes on.

    Attributes:
        gpu: whether it trains on a GPU. On a CPU, networks, images and batches are smaller by default.
        bf16: whether it computes in bf16 as fast as in float32, or faster.
    """

    gpu: bool = True
    bf16: bool = True

    @classmethod
    def of(cls, device: str) -> Self:
        """This machine, for a training on `device`, a name as `Hardware` has it."""
        import torch

        if device.partition(":")[0] == "cpu" or (device == "auto" and not torch.cuda.is_available()):
            return cls(gpu=False, bf16=not slow_in_bf16("cpu", "bf16"))
        return cls()

    @property
    def name(self) -> str:
        """``GPU`` or ``CPU``."""
        return "GPU" if self.gpu else "CPU"

    @property
    def precision(self) -> Precision:
        """The number format of a training for which none is given."""
        return "bf16" if self.bf16 else "fp32"
