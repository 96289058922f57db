"""The averaged weights: where they are kept."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from frugalseg.training.averaging import AveragedWeights


class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_average_is_where_the_training_will_be(device):
    """Lightning has not moved the module yet when it asks for the copy."""
    module, averaging = Module(), AveragedWeights(0.9)
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    averaging.setup(trainer, module, "fit")
    assert module.device == torch.device("cpu")
    assert averaging.average.device == torch.device(device)
    assert {weight.device.type for weight in averaging.average.parameters()} == {device}


def test_there_is_no_average_before_the_training():
    with pytest.raises(RuntimeError, match="before the training begins"):
        _ = AveragedWeights(0.9).average
