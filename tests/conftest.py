"""Small stand-ins that run in a blink: a diffusers folder with random weights, and toy data folders."""

import os

# Idle threads wait asleep rather than in a loop: beside other work the tests would take several times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

from frugalseg.data.toy.dataset import write_toy_folder


def save_tiny_ddpm(folder, *, size=16, widths=(8, 16), seed=0):
    """A diffusers pipeline folder with a random UNet of a few thousand weights."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DModel(
            sample_size=size,
            block_out_channels=widths,
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * (len(widths) - 1) + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (len(widths) - 1),
            norm_num_groups=4,
        )
    DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_ddpm(tmp_path_factory):
    return save_tiny_ddpm(tmp_path_factory.mktemp("ddpm"))


@pytest.fixture(scope="session")
def toy_train(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy_train")
    write_toy_folder(folder, 4, seed=1)
    return folder


@pytest.fixture(scope="session")
def toy_test(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy_test")
    write_toy_folder(folder, 3, seed=1, first=1000)
    return folder
