"""Processes on several machines: they share a folder, and stop together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from frugalseg.backbones.mae.settings import MAEPretrainSettings
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.settings import RunOptions
from frugalseg.training.run_folder import RunFolder
from tests.training.nodes import run_on_two_nodes

TINY = MAEPretrainSettings(
    image_size=(12, 8), steps=4, batch_size=4, patch=2, width=64, depth=1, decoder_width=32, decoder_depth=1,
    precision="fp32",
)  # fmt: skip

PRETRAINING = """
import sys
from dataclasses import replace
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.settings import RunOptions
from tests.training.test_nodes import TINY

reports = []
for steps in (3, 4):
    options = RunOptions(device="cpu", nodes=2)
    pretrain("mae", sys.argv[1], sys.argv[2], replace(TINY, steps=steps), options, lambda *r: reports.append(r))
print("reports", len(reports))
"""

# The weights are still numbers in step 3, whose loss is none in the second process alone.
NO_NUMBER = """
import sys
import torch
from pathlib import Path
from frugalseg.support.errors import WorkError
from frugalseg.training.batches import StepBatches
from frugalseg.training.hardware import Hardware
from frugalseg.training.log import TrainingLog
from frugalseg.training.trainer import train
from tests.training.test_log import Line, Numbers

class Fails(Line):
    def training_step(self, batch, index):
        bad = self.global_step == 2 and self.global_rank == 1
        return super().training_step(batch, index) * (float("nan") if bad else 1)

log = TrainingLog("learn", 4, lambda step: step % 3 == 0, lambda line: None, lambda *_: None)
arguments = dict(folder=Path(sys.argv[1]), hardware=Hardware("cpu", nodes=2), precision="fp32", steps=9)
try:
    train(Fails(), StepBatches(Numbers(9), 0), callbacks=[log], **arguments)
except WorkError as error:
    print("stopped:", error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("torchrun", [True, False])
def test_two_machines_train_in_one_folder(torchrun: bool, tmp_path: Path) -> None:
    """The second part of the run, for more steps, continues the first."""
    rng, photos = np.random.default_rng(0), tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (24, 16, 3), dtype=np.uint8)).save(photos / f"{number}.png")
    first, second = run_on_two_nodes(PRETRAINING, tmp_path, photos, tmp_path / "two", torchrun=torchrun)
    assert "reports 18" in first and "reports 0" in second  # twice six images and the start, and in all four steps
    run = RunFolder(tmp_path / "two")
    assert run.log.read_text().count("2 process(es)") == 2 and run.last_progress()["step"] == 4
    for steps in (3, 4):
        pretrain("mae", photos, tmp_path / "one", replace(TINY, steps=steps), RunOptions(device="cpu"))
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        if not name.endswith("qkv.bias"):  # of which the keys' part is rounding that Adam makes large
            torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.slow
def test_a_loss_that_is_no_number_in_one_process_stops_all(tmp_path: Path) -> None:
    for said in run_on_two_nodes(NO_NUMBER, tmp_path, tmp_path):
        assert "stopped: the loss is no longer finite at step 3" in said
