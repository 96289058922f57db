"""Parity with openai/guided-diffusion: the published layouts, filled by rule, against that code's own answers."""

import pytest
import torch

from frugalseg.backbones.ddpm.backbone import DDPMBackbone, lay_out
from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.backbones.ddpm.settings import DDPMOptions, FeatureSettings
from frugalseg.backbones.ddpm.source import new_scheduler
from tests.golden import golden

BOUND = 2e-5  # of the expected standard deviation; rounding stays under 5e-6
TINY = {"guided_diffusion_tiny": {"head_channels": 16}, "guided_diffusion_tiny_convresample": {"heads": 2}}


def load(name, folder, **options):
    """The golden description, the network through our loader, and the golden inputs (images in [0, 1], noise)."""
    expected = golden.load(name)
    path = folder / f"{name}.pt"
    torch.save({k: torch.from_numpy(v) for k, v in golden.tensors(expected).items()}, path)
    unet = load_guided_diffusion(path, image_size=expected["settings"]["flags"]["image_size"], **options)
    given = {k: torch.from_numpy(v) for k, v in golden.inputs(expected).items()}
    return expected, unet, (given["x0"] + 1) / 2, given["noise"]


def check_maps(expected, unet, images, noise, *, inputs):
    settings = expected["settings"]
    wanted = FeatureSettings(tuple(settings["steps"]), tuple(settings["blocks"]), inputs=inputs)
    backbone = DDPMBackbone(unet, new_scheduler(), wanted)
    with torch.inference_mode():
        maps = backbone.maps_for_noise(images, noise)
    assert len(maps) == len(backbone.taps)
    for tap, values in zip(backbone.taps, maps, strict=True):
        assert golden.difference(values, expected["expected"][tap.name]) < BOUND, tap.name
        assert values.shape[1] == tap.channels
        assert values.shape[2] * tap.stride == images.shape[2]
    return maps


def check_network(expected, unet, images, noise):
    """x_t and the network's own output at every step."""
    steps = tuple(expected["settings"]["steps"])
    backbone = DDPMBackbone(unet, new_scheduler(), FeatureSettings(steps, (0,)))
    noisy, t = backbone.noised(images, noise)
    with torch.inference_mode():
        out = unet(noisy, t).sample
    for step, x_t, output in zip(steps, noisy.split(len(images)), out.split(len(images)), strict=True):
        assert golden.difference(x_t, expected["expected"][f"xt_t{step}"]) < BOUND
        assert golden.difference(output, expected["expected"][f"t{step}.out"]) < BOUND


@pytest.mark.parametrize("name", TINY)
def test_tiny_outputs_and_network(name, tmp_path):
    loaded = load(name, tmp_path, **TINY[name])
    check_maps(*loaded, inputs=False)
    check_network(*loaded)


def test_tiny_inputs(tmp_path):
    check_maps(*load("guided_diffusion_tiny", tmp_path, head_channels=16), inputs=True)


@pytest.mark.parametrize("broken", [{"head_channels": 32}, {"head_channels": 16, "new_attention_order": True}])
def test_parity_bites(broken, tmp_path):
    """Wrong heads or a wrong qkv order load without complaint, and are seen by the comparison."""
    loaded = load("guided_diffusion_tiny", tmp_path, **broken)
    with pytest.raises(AssertionError, match="block0"):
        check_maps(*loaded, inputs=False)


def test_saved_as_diffusers_folder_gives_the_same_maps(tmp_path):
    _, unet, images, noise = load("guided_diffusion_tiny", tmp_path, head_channels=16)
    settings = FeatureSettings((50,), (1, 4))
    backbone = DDPMBackbone(lay_out(unet), new_scheduler(), settings).eval()  # the same kernels for both
    backbone.save_pretrained(tmp_path / "folder")
    again = DDPMBackbone.from_checkpoint(tmp_path / "folder", DDPMOptions(timesteps=(50,), blocks=(1, 4)))
    with torch.inference_mode():
        pairs = zip(backbone.maps_for_noise(images, noise), again.maps_for_noise(images, noise), strict=True)
        assert all(golden.difference(b, golden.summarize(a)) < 1e-6 for a, b in pairs)


@pytest.mark.slow
def test_lsun_256(tmp_path):
    """The full published size: outputs of the current preset's blocks, the network's output, and pixels' vectors."""
    loaded = expected, _, images, noise = load("guided_diffusion_lsun256", tmp_path)
    maps = check_maps(*loaded, inputs=False)
    check_network(expected, loaded[1], images, noise)
    from frugalseg.features.feature_maps import FeatureMaps

    rows, columns = torch.tensor(expected["settings"]["seed_pixels"]["yx"]).t()
    vectors = FeatureMaps(maps, (256, 256)).at(rows * 256 + columns)
    assert golden.difference(vectors, expected["expected"]["seed_pixels"]) < BOUND
