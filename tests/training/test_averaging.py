"""The averaged weights: what they are, and where they are kept."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import LightningModule
from torch import nn

from frugalseg.training.averaging import AveragedWeights, ema_update, rising_decay


class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_average_is_where_the_training_will_be(device):
    """Lightning has not moved the module yet when it asks for the copy."""
    module, averaging = Module(), AveragedWeights(rising_decay(0.9))
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    averaging.setup(trainer, module, "fit")
    assert module.device == torch.device("cpu")
    assert averaging.average.device == torch.device(device)
    assert {weight.device.type for weight in averaging.average.parameters()} == {device}


def test_there_is_no_average_before_the_training():
    with pytest.raises(RuntimeError, match="before the training begins"):
        _ = AveragedWeights(rising_decay(0.9)).average


@given(st.floats(0, 0.9999), st.integers(1, 30))
def test_average_has_its_closed_form(decay: float, updates: int) -> None:
    """For constant weights c, the average is c + (a_0 - c) * prod_n min(decay, (1 + n) / (10 + n))."""
    average, current = [torch.tensor([3.0, -1.0])], [torch.tensor([1.0, 2.0])]
    for n in range(updates):
        ema_update(rising_decay(decay))(average, current, torch.tensor(n))
    left = math.prod(min(decay, (1 + n) / (10 + n)) for n in range(updates))
    expected = current[0] + (torch.tensor([3.0, -1.0]) - current[0]) * left
    torch.testing.assert_close(average[0], expected, atol=1e-5, rtol=1e-5)
