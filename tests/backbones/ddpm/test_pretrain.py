"""Pretraining a DDPM of a few thousand weights: what is killed and continued ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from frugalseg.backbones.ddpm.pretrain import DDPMPretraining
from frugalseg.backbones.ddpm.settings import DDPMPretrainSettings
from frugalseg.errors import InputError
from frugalseg.pretraining.job import pretrain, stored_settings
from frugalseg.pretraining.settings import RunOptions

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
OPTIONS = RunOptions(device="cpu", checkpoint_steps=5, log_steps=3, bar=False)

# A run that really dies, by SIGKILL, in the middle of a step that follows a checkpoint.
DIES = """
import os, signal, sys
from dataclasses import replace
from frugalseg.backbones.ddpm import pretrain as module
from frugalseg.pretraining.job import pretrain
from tests.backbones.ddpm.test_pretrain import OPTIONS, TINY

class Dies(module.DDPMPretraining):
    def training_step(self, batch, index):
        if self.global_step == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch, index)

module.DDPMPretraining = Dies
pretrain("ddpm", sys.argv[1], sys.argv[2], TINY, OPTIONS)
"""

# Two processes; Lightning starts the second by running this very script again.
TWO = """
import sys
from dataclasses import replace
from frugalseg.pretraining.job import pretrain
from tests.backbones.ddpm.test_pretrain import OPTIONS, TINY

pretrain("ddpm", sys.argv[1], sys.argv[2], replace(TINY, precision="fp32"), replace(OPTIONS, devices=2))
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (24 + i, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def straight(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("straight") / "run"
    assert pretrain("ddpm", photos, out, TINY, replace(OPTIONS, picture_steps=6))
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "unet" / "diffusion_pytorch_model.safetensors")


def state(out: Path) -> dict[str, Any]:
    return torch.load(out / "training" / "last.ckpt", weights_only=True)


def run_script(script: str, folder: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(script)
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, str(path), *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=300)


def assert_same_run(one: Path, other: Path) -> None:
    """Averaged weights, current weights and optimizer state agree bit for bit."""
    assert weights(one).keys() == weights(other).keys()
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())
    a, b = state(one), state(other)
    assert all(torch.equal(v, b["current_model_state"][k]) for k, v in a["current_model_state"].items())
    moments, others = (s["optimizer_states"][0]["state"] for s in (a, b))
    assert all(torch.equal(moments[p]["exp_avg_sq"], others[p]["exp_avg_sq"]) for p in moments)


def test_a_killed_run_continues_to_the_same_weights(photos: Path, straight: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    died = run_script(DIES, tmp_path, photos, out)
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert '"step": 5' in (out / "training" / "progress.json").read_text()
    assert pretrain("ddpm", photos, out, TINY, OPTIONS)
    assert "begin at step 5 of 12" in (out / "training" / "log.txt").read_text()
    assert_same_run(out, straight)


def test_a_run_stopped_by_the_clock_continues_to_the_same_weights(photos: Path, straight: Path, tmp_path: Path) -> None:
    out, stops = tmp_path / "run", 0
    while not pretrain(
        "ddpm", photos, out, None if stops else TINY, replace(OPTIONS, max_minutes=1e-9 if stops < 2 else None)
    ):
        stops += 1
        assert f'"step": {stops}' in (out / "training" / "progress.json").read_text()
    assert stops == 2
    assert_same_run(out, straight)


def test_the_result_is_a_diffusers_pipeline(straight: Path) -> None:
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline.from_pretrained(straight)
    assert tuple(pipeline.unet.config.sample_size) == (12, 8)
    assert pipeline.scheduler.config.beta_schedule == "squaredcos_cap_v2"
    assert all(torch.equal(v, weights(straight)[k]) for k, v in pipeline.unet.state_dict().items())
    assert len({path.stat().st_mode for path in straight.rglob("*") if path.suffix in (".json", ".safetensors")}) == 1
    averaged = state(straight)["state_dict"]
    assert all(torch.equal(v, averaged[f"unet.{k}"]) for k, v in weights(straight).items())


def test_the_run_folder_tells_what_happened(straight: Path) -> None:
    log = (straight / "training" / "log.txt").read_text()
    assert "6 images" in log and "cropped at the centre" in log
    assert "step 12/12" in log and "images/s" in log and "left" in log
    assert {p.name for p in (straight / "pictures").iterdir()} == {
        f"{kind}_{step:07d}.png" for kind in ("samples", "denoised") for step in (6, 12)
    }
    assert list((straight / "training" / "tensorboard").glob("events*"))
    assert not list(straight.rglob("*.tmp"))


def test_the_operations_of_a_step_are_counted(photos: Path, tmp_path: Path) -> None:
    """By hand: 2 operations for each multiply-add, forward, and as many again for each of the two gradients."""
    settings = replace(TINY, steps=2)
    pretrain("ddpm", photos, tmp_path / "run", settings, OPTIONS)
    counted = json.loads((tmp_path / "run/training/progress.json").read_text())["step_flops"]
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
    assert f"{counted / 1e9:.2f} GFLOP a step" in (tmp_path / "run/training/log.txt").read_text()


def test_a_finished_run_is_left_alone(photos: Path, straight: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in straight.rglob("*")}
    assert pretrain("ddpm", photos, straight, TINY, OPTIONS) and pretrain(
        "ddpm", photos, straight, stored_settings("ddpm", straight), OPTIONS
    )
    assert {p: p.stat().st_mtime_ns for p in straight.rglob("*")} == before


def test_changed_settings_and_images_are_refused(photos: Path, straight: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"steps 12 -> 11; seed 0 -> 1"):
        pretrain("ddpm", photos, straight, replace(TINY, steps=11, seed=1), OPTIONS)
    Image.fromarray(np.zeros((24, 16, 3), np.uint8)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="images 6 -> 1"):
        pretrain("ddpm", tmp_path, straight, TINY, OPTIONS)


def test_a_finished_run_takes_more_steps(photos: Path, tmp_path: Path) -> None:
    assert pretrain("ddpm", photos, tmp_path / "run", replace(TINY, steps=3), OPTIONS)
    assert pretrain("ddpm", photos, tmp_path / "run", stored_settings("ddpm", tmp_path / "run", steps=5), OPTIONS)
    assert "begin at step 3 of 5" in (tmp_path / "run" / "training" / "log.txt").read_text()
    assert stored_settings("ddpm", tmp_path / "run").steps == state(tmp_path / "run")["global_step"] == 5


def test_stored_settings_take_what_is_given(straight: Path, tmp_path: Path) -> None:
    assert stored_settings("ddpm", straight) == TINY
    assert stored_settings("ddpm", straight, steps=20, seed=None).steps == 20
    assert stored_settings("ddpm", tmp_path / "nothing", steps=20) == DDPMPretrainSettings(steps=20)


def test_wrong_input_leaves_nothing_behind(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for settings, message in [
        (replace(TINY, image_size=(12, 7)), "multiples of 2"),
        (replace(TINY, batch_size=3), "cannot be split"),
    ]:
        with pytest.raises(InputError, match=message):
            pretrain("ddpm", photos, out, settings, replace(OPTIONS, devices=2 if settings.batch_size == 3 else 1))
    with pytest.raises(InputError, match="no such folder"):
        pretrain("ddpm", tmp_path / "missing", out, TINY, OPTIONS)
    assert not out.exists()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes((photos / "0.png").read_bytes()[:300])
    with pytest.raises(InputError, match=r"a\.png"):
        pretrain("ddpm", broken, out, TINY, OPTIONS)
    assert not out.exists()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        pretrain("ddpm", photos, tmp_path, TINY, OPTIONS)


def test_sizes_and_networks_are_chosen_from_the_images(photos: Path) -> None:
    chosen = DDPMPretrainSettings().chosen_for(sorted(photos.iterdir()))
    assert chosen.image_size == (26, 16) and chosen.shape.channels == (32, 64)
    assert chosen.chosen_for([]) == chosen
    odd = DDPMPretrainSettings(base_channels=16, multipliers=(2, 4, 6, 7), image_size=(48, 48)).chosen_for([])
    assert odd.shape.channels == (32, 64, 96, 112) and (odd.base_channels, odd.multipliers) == (16, (2, 4, 6, 7))


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
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    out = tmp_path / "run"
    settings = replace(TINY, image_size=(8, 8), steps=100, batch_size=16, learning_rate=3e-3, precision="fp32")
    pretrain("ddpm", tmp_path, out, settings, replace(OPTIONS, log_steps=20, checkpoint_steps=None))
    losses = [float(line.split("loss ")[1].split()[0]) for line in (out / "training/log.txt").open() if "loss" in line]
    assert losses[-1] < losses[0] / 2


def test_a_loss_that_explodes_ends_the_run_before_it_is_saved(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ArithmeticError, match="lower learning rate"):
        pretrain(
            "ddpm", photos, out, replace(TINY, learning_rate=1e30, warmup_steps=0), replace(OPTIONS, log_steps=100)
        )
    assert "ended by ArithmeticError" in (out / "training" / "log.txt").read_text()
    assert not (out / "model_index.json").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(photos: Path, tmp_path: Path) -> None:
    done = run_script(TWO, tmp_path, photos, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 process(es)" in (tmp_path / "two" / "training" / "log.txt").read_text()
    pretrain("ddpm", photos, tmp_path / "one", replace(TINY, precision="fp32"), OPTIONS)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)
