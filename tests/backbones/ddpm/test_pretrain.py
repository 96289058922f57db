"""Pretraining a DDPM of a few thousand weights: what every family has to do, and what is its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalseg.backbones.ddpm.pretrain import DDPMPretraining
from frugalseg.backbones.ddpm.settings import DDPMPretrainSettings
from frugalseg.jobs.pretrain import pretrain, stored_settings
from frugalseg.pretraining.machine import Machine
from frugalseg.support.errors import WorkError
from tests.data.helpers import save_image
from tests.pretraining.battery import OPTIONS, PretrainingChecks, log, losses, progress, state

TINY = DDPMPretrainSettings(
    image_size=(12, 8),
    steps=12,
    batch_size=4,
    base_channels=8,
    multipliers=(1, 2),
    layers=1,
    attention_levels=1,
    ema_decay=0.5,
)


class TestDDPMPretraining(PretrainingChecks):
    family = "ddpm"
    tiny = TINY
    weights_file = "unet/diffusion_pytorch_model.safetensors"
    network = "unet"
    pictures = ("samples", "denoised")
    wrong = (({"image_size": (12, 7)}, "multiples of 2"),)

    def test_the_result_is_a_diffusers_pipeline(self, straight: Path) -> None:
        from diffusers import DDPMPipeline

        pipeline, weights = DDPMPipeline.from_pretrained(straight), self.weights(straight)
        assert tuple(pipeline.unet.config.sample_size) == (12, 8)
        assert pipeline.scheduler.config.beta_schedule == "squaredcos_cap_v2"
        assert all(torch.equal(v, weights[k]) for k, v in pipeline.unet.state_dict().items())

    def test_the_operations_of_a_step_are_counted(self, photos: Path, tmp_path: Path) -> None:
        """By hand: 2 operations for each multiply-add, forward, and as many again for each of the two gradients."""
        settings = replace(TINY, steps=2)
        pretrain("ddpm", photos, tmp_path / "run", settings, OPTIONS)
        counted = progress(tmp_path / "run")["step_flops"]
        unet, adds = DDPMPretraining(settings).unet, {}
        for name, module in unet.named_modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):

                def count(module: torch.nn.Module, _: Any, out: torch.Tensor, name: str = name) -> None:
                    adds[name] = out.numel() // module.weight.shape[0] * module.weight.numel()

                module.register_forward_hook(count)
        unet(torch.zeros(4, 3, 12, 8), torch.zeros(4))
        products = 6 * sum(adds.values()) - 2 * adds["conv_in"] - 2 * adds["time_embedding.linear_1"]
        # 4 attentions over 6 x 4 places of 16 channels, 4 images: 2 products forward, 5 backward (one is done again).
        attention = 4 * (2 + 5) * 2 * 4 * 24 * 24 * 16
        assert counted == products + attention
        assert f"{counted / 1e9:.2f} GFLOP a step" in log(tmp_path / "run")

    def test_a_finished_run_takes_more_steps(self, photos: Path, tmp_path: Path) -> None:
        assert pretrain("ddpm", photos, tmp_path / "run", replace(TINY, steps=1), OPTIONS)
        assert pretrain("ddpm", photos, tmp_path / "run", stored_settings("ddpm", tmp_path / "run", steps=2), OPTIONS)
        assert "begin at step 1 of 2" in log(tmp_path / "run")
        assert stored_settings("ddpm", tmp_path / "run").steps == state(tmp_path / "run")["global_step"] == 2

    def test_sizes_and_networks_are_chosen_from_the_images(self, photos: Path) -> None:
        paths = sorted(photos.iterdir())
        chosen = DDPMPretrainSettings().chosen_for(paths)
        assert chosen.image_size == (26, 16) and chosen.shape.channels == (32, 64)
        assert chosen.chosen_for([]) == chosen and TINY.chosen_for(paths) == replace(TINY, precision="bf16")
        odd = DDPMPretrainSettings(base_channels=16, multipliers=(2, 4, 6, 7), image_size=(48, 48)).chosen_for([])
        assert odd.shape.channels == (32, 64, 96, 112) and (odd.base_channels, odd.multipliers) == (16, (2, 4, 6, 7))

    def test_multipliers_stay_as_they_are_given(self) -> None:
        for multipliers, channels in (((2, 3), (64, 96)), ((3, 2), (96, 64)), ((1, 2), (32, 64))):
            given = replace(TINY, base_channels=None, multipliers=multipliers)
            chosen = given.chosen_for([], Machine(gpu=False))
            assert (chosen.base_channels, chosen.multipliers, chosen.shape.channels) == (32, multipliers, channels)
            assert chosen.chosen_for([]) == chosen

    def test_a_loss_that_explodes_ends_the_run_before_it_is_saved(self, photos: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        with pytest.raises(WorkError, match="lower learning rate"):
            pretrain(
                "ddpm", photos, out, replace(TINY, learning_rate=1e3, warmup_steps=0), replace(OPTIONS, log_steps=100)
            )
        assert "ended by WorkError" in log(out)
        assert not (out / "model_index.json").exists()


def test_timesteps_cover_the_schedule_and_are_shared_by_ranks() -> None:
    module = DDPMPretraining(replace(TINY, batch_size=8))
    whole = module.timesteps(3, 0, 1)
    assert sorted((whole // 125).tolist()) == list(range(8))
    for rank in range(2):
        assert torch.equal(module.timesteps(3, rank, 2), whole[rank::2])
    counts = torch.bincount(torch.cat([module.timesteps(s, 0, 1) for s in range(500)]) // 100, minlength=10)
    assert counts.min() > 350 and counts.max() < 450


def test_min_snr_weights_follow_the_paper() -> None:
    module = DDPMPretraining(replace(TINY, min_snr=5.0))
    t = torch.tensor([10, 300, 900])
    abar = module.scheduler.alphas_cumprod[t]
    snr = abar / (1 - abar)
    torch.testing.assert_close(module.loss_weights(t), torch.minimum(snr, torch.tensor(5.0)) / snr)
    assert torch.equal(DDPMPretraining(TINY).loss_weights(t), torch.ones(3))


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    for i in range(4):
        image = np.zeros((8, 8, 3), np.uint8)
        image[: 2 * i, :] = 255
        save_image(tmp_path / "photos" / f"{i}.png", image)
    out = tmp_path / "run"
    settings = replace(TINY, image_size=(8, 8), steps=100, batch_size=16, learning_rate=3e-3, precision="fp32")
    pretrain("ddpm", tmp_path / "photos", out, settings, replace(OPTIONS, log_steps=20, checkpoint_steps=None))
    found = losses(out)
    assert found[-1] < found[0] / 2
