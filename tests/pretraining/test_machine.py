"""What is chosen for a machine, where it is left open."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.backbones.ddpm.settings import DDPMPretrainSettings
from frugalseg.backbones.mae.settings import MAEPretrainSettings
from frugalseg.backbones.swav.settings import SwAVPretrainSettings
from frugalseg.jobs.pretrain import pretrain, stored_settings
from frugalseg.pretraining.choice import choice
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import TrainingSettings
from frugalseg.support.files import read_json, write_json

CPU, GPU = Machine(gpu=False, bf16=False), Machine()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photographs of 192x256."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(2):
        Image.fromarray(np.full((192, 256, 3), 99 * i, np.uint8)).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def test_the_device_decides() -> None:
    assert not Machine.of("cpu").gpu
    assert Machine.of("cuda:1") == GPU
    assert Machine.of("auto").gpu == torch.cuda.is_available()
    assert (CPU.precision, GPU.precision, Machine(gpu=False).precision) == ("fp32", "bf16", "bf16")


def test_a_diffusion_model_is_smaller_on_a_cpu(photos: list[Path]) -> None:
    small, large = (DDPMPretrainSettings().chosen_for(photos, each) for each in (CPU, GPU))
    assert (small.image_size, small.batch_size, small.precision) == ((36, 48), 16, "fp32")
    assert (small.shape.channels, small.shape.layers, small.shape.attention_levels) == ((32, 64, 128), 1, 1)
    assert (large.image_size, large.batch_size, large.precision) == ((96, 128), 32, "bf16")
    assert (large.shape.channels, large.shape.layers, large.shape.attention_levels) == ((64, 64, 128, 192, 256), 2, 2)
    wide = DDPMPretrainSettings(image_size=(256, 256), base_channels=96).chosen_for(photos, CPU)
    assert (wide.base_channels, wide.layers, wide.attention_levels) == (96, 1, 1)


def test_an_autoencoder_is_smaller_on_a_cpu(photos: list[Path]) -> None:
    small, large = (MAEPretrainSettings(image_size=(160, 160)).chosen_for(photos, each) for each in (CPU, GPU))
    assert (small.patch, small.width, small.depth, small.decoder_width, small.batch_size) == (8, 192, 8, 96, 16)
    assert (large.patch, large.width, large.depth, large.decoder_width, large.batch_size) == (8, 768, 12, 384, 64)


def test_a_residual_network_is_smaller_on_a_cpu(photos: list[Path]) -> None:
    small, large = (SwAVPretrainSettings(image_size=(128, 128)).chosen_for(photos, each) for each in (CPU, GPU))
    assert (small.depths, small.block, small.stem_stride, small.batch_size) == ((2, 2, 2, 3), "basic", 4, 64)
    assert (large.depths, large.block, large.stem_stride, large.batch_size) == ((3, 4, 6, 3), "bottleneck", 4, 64)
    assert SwAVPretrainSettings().chosen_for(photos, CPU).image_size == (32, 48)


def test_what_was_chosen_is_told_as_options() -> None:
    given = DDPMPretrainSettings(image_size=(48, 32), precision="fp32")
    said = choice(given, given.chosen_for([], CPU), CPU)
    assert said is not None and said.startswith("chosen for this CPU (smaller than for a GPU;")
    assert said.endswith("--batch-size 16 --base-channels 32 --multipliers 1,2,4 --layers 1 --attention-levels 1")
    assert "larger than for a CPU" in str(choice(TrainingSettings(), TrainingSettings(image_size=(8, 8)), GPU))
    assert "--size 8x8" in str(choice(TrainingSettings(), TrainingSettings(image_size=(8, 8)), GPU))
    complete = given.chosen_for([], CPU)
    assert choice(complete, complete, CPU) is None


def test_windows_at_the_own_scale_have_a_size_of_their_own(photos: list[Path]) -> None:
    for machine, side in ((CPU, 48), (GPU, 128)):
        assert DDPMPretrainSettings(crop=True).chosen_for(photos, machine).stored_size == (side, side)
        mae = MAEPretrainSettings(crop=True).chosen_for(photos, machine)
        assert mae.image_size == mae.stored_size == (side, side) and mae.smallest_crop == 1
    assert MAEPretrainSettings().chosen_for(photos, CPU).smallest_crop == 0.2
    assert MAEPretrainSettings(crop=True, smallest_crop=0.25).chosen_for(photos, CPU).stored_size == (96, 96)
    assert SwAVPretrainSettings(crop=True).chosen_for(photos, CPU).stored_size == (96, 96)


def test_a_run_keeps_what_was_chosen_elsewhere(photos: list[Path], tmp_path: Path) -> None:
    """Begun as on a GPU and by a version that had no crops, continued on a CPU."""
    tiny = DDPMPretrainSettings(image_size=(8, 8), base_channels=8, multipliers=(1, 2), layers=1, steps=1)
    out = tmp_path / "run"
    begun = replace(tiny, batch_size=2).chosen_for(photos, GPU)
    assert pretrain("ddpm", photos[0].parent, out, begun)
    record = out / "training" / "settings.json"
    stored = read_json(record)
    assert (stored["batch_size"], stored["precision"], stored["crop"]) == (2, "bf16", False)
    write_json(record, {key: value for key, value in stored.items() if key != "crop"})
    assert pretrain("ddpm", photos[0].parent, out, replace(tiny, steps=2))
    after = stored_settings("ddpm", out)
    assert isinstance(after, DDPMPretrainSettings)
    assert (after.batch_size, after.precision, after.attention_levels) == (2, "bf16", begun.attention_levels)
    said = (out / "training" / "log.txt").read_text()
    assert said.count("chosen for this") == 0 and ("no instructions for bf16" in said) == (not Machine.of("auto").bf16)
