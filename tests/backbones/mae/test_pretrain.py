"""Pretraining an MAE of a few thousand weights: what every family has to do, and what is its own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalseg.backbones import load_backbone
from frugalseg.backbones.mae.network import from_patches, position_embedding, to_patches
from frugalseg.backbones.mae.pretrain import MAEPretraining
from frugalseg.backbones.mae.settings import MAEPretrainSettings
from frugalseg.jobs.pretrain import pretrain
from frugalseg.training.run_folder import RunFolder
from tests.data.helpers import save_image
from tests.pretraining.battery import OPTIONS, PretrainingChecks, losses

TINY = MAEPretrainSettings(
    image_size=(12, 8),
    steps=12,
    batch_size=4,
    patch=2,
    width=64,
    depth=2,
    decoder_width=32,
    decoder_depth=1,
    ema_decay=0.5,
)


class TestMAEPretraining(PretrainingChecks):
    family = "mae"
    tiny = TINY
    pictures = ("reconstructions",)
    wrong = (
        ({"image_size": (13, 8)}, "multiples of 2, the patch; give 12x8"),
        ({"image_size": (2, 2)}, "has 1 patches of 2 pixels"),
        ({"mask_ratio": 1.0}, "mask_ratio is 1.0"),
        ({"mask_ratio": 0.99}, "99% cannot be hidden"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"width": 100}, "width is 100; give a multiple of 64"),
        ({"decoder_width": 48}, "decoder_width is 48; give a multiple of 32"),
        ({"depth": 0}, "depth is 0"),
        ({"decoder_depth": 0}, "decoder_depth is 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
    )

    @staticmethod
    def told(name: str, value: torch.Tensor) -> Any:
        """Nothing depends on the keys' biases, so their gradients are rounding, which Adam makes large."""
        return torch.arange(len(value)) * 3 // len(value) != 1 if name.endswith("qkv.bias") else ...

    def test_the_result_is_a_backbone_for_any_size(self, straight: Path) -> None:
        backbone = load_backbone("mae", straight)
        assert backbone.stride == 2
        assert [tap.name for tap in backbone.taps] == ["block0", "block1"]
        maps = backbone(torch.rand(2, 3, 10, 14))
        assert [tuple(m.shape) for m in maps.maps] == [(2, 64, 5, 7)] * 2
        assert all(m.isfinite().all() for m in maps.maps)
        assert json.loads((straight / "config.json").read_text())["decoder"] == {"width": 32, "depth": 1, "heads": 1}

    def test_sizes_and_networks_are_chosen_from_the_images(self, photos: Path) -> None:
        chosen = MAEPretrainSettings().chosen_for(sorted(photos.iterdir()))
        assert (chosen.image_size, chosen.patch, chosen.width, chosen.depth) == ((26, 16), 2, 192, 8)
        assert chosen.stored_size == (26, 16)
        assert chosen.chosen_for([]) == chosen
        patches = [MAEPretrainSettings(image_size=(s, s)).chosen_for([]).patch for s in (48, 64, 152, 160, 256)]
        assert patches == [2, 4, 4, 8, 8]
        assert MAEPretrainSettings(image_size=(256, 256), patch=16).chosen_for([]).patch == 16

    def test_images_are_kept_large_enough_for_sharp_windows(self, photos: Path) -> None:
        paths = sorted(photos.iterdir())
        settings = MAEPretrainSettings(image_size=(8, 4), patch=1)
        assert settings.chosen_for(paths).stored_size == (18, 9)
        assert replace(settings, smallest_crop=0.01).chosen_for(paths).stored_size == (32, 16)
        assert replace(settings, smallest_crop=1.0).chosen_for(paths).stored_size == (8, 4)
        assert replace(settings, cut_from=(20, 10)).chosen_for(paths).stored_size == (20, 10)


def test_pictures_show_images_what_is_left_and_what_was_filled_in(tmp_path: Path) -> None:
    module = MAEPretraining(replace(TINY.chosen_for([]), mask_ratio=0.5))
    images = torch.rand(3, 3, 12, 8, generator=torch.Generator().manual_seed(0)) * 0.4
    with torch.no_grad():
        masked, filled = module.filled(images)
    hidden = to_patches(masked, 2).eq(0.5).all(dim=2)
    assert hidden.sum(dim=1).tolist() == [12, 12, 12]
    before, after = to_patches(images, 2), to_patches(filled, 2)
    assert torch.equal(before[~hidden], after[~hidden])
    assert not torch.isclose(before[hidden], after[hidden]).any(dim=1).all()
    module.draw(RunFolder(tmp_path), 7, torch.rand(20, 3, 27, 18))
    assert (tmp_path / "pictures" / "reconstructions_0000007.png").is_file()


def test_a_perfect_prediction_would_be_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions are put back with the mean and deviation of the true patch."""
    from frugalseg.backbones.mae.network import normalised, statistics

    module = MAEPretraining(TINY.chosen_for([]))
    images = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(0))
    target = to_patches(normalised(images), 2)
    mean, deviation = statistics(target)
    monkeypatch.setattr(module.network, "decode", lambda *_: (target - mean) / deviation)
    torch.testing.assert_close(module.filled(images)[1], images, atol=1e-5, rtol=0)


def test_patches_go_back_where_they_came_from() -> None:
    images = torch.arange(2 * 3 * 6 * 4).float().reshape(2, 3, 6, 4)
    patches = to_patches(images, 2)
    assert patches.shape == (2, 6, 12)
    assert torch.equal(patches[1, 3].reshape(2, 2, 3).permute(2, 0, 1), images[1, :, 2:4, 2:4])
    assert torch.equal(from_patches(patches, (3, 2), 2), images)


def test_positions_are_sines_of_column_and_row() -> None:
    """By hand for a few places of a grid that is not square; the order is that of the official code."""
    places = position_embedding((3, 5), 8)[0].double()
    assert places.shape == (16, 8) and places[0].eq(0).all()
    row, column = 2.0, 4.0
    expected = [np.sin(column), np.sin(column / 100), np.cos(column), np.cos(column / 100)]
    expected += [np.sin(row), np.sin(row / 100), np.cos(row), np.cos(row / 100)]
    torch.testing.assert_close(places[15], torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


def test_norms_and_biases_are_not_decayed() -> None:
    module = MAEPretraining(TINY.chosen_for([]))
    decayed, spared = module.configure_optimizers()["optimizer"].param_groups
    assert decayed["weight_decay"] == 0.05 and spared["weight_decay"] == 0 and decayed["betas"] == (0.9, 0.95)
    trained = {name: p for name, p in module.network.named_parameters() if p.requires_grad}
    assert trained.keys() == {n for n, _ in module.network.named_parameters()} - {"pos_embed", "decoder_pos_embed"}
    assert {id(p) for p in spared["params"]} == {
        id(p) for name, p in trained.items() if "norm" in name or name.endswith("bias")
    }
    assert len(decayed["params"]) + len(spared["params"]) == len(trained)


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    """Half white, half black images: a visible patch tells its neighbours."""
    for i in range(4):
        ramp = np.linspace(0, 255, 16)[:, None] if i % 2 else np.linspace(255, 0, 16)[None, :]
        image = np.repeat(np.broadcast_to(ramp, (16, 16))[..., None], 3, axis=2).astype(np.uint8)
        save_image(tmp_path / "photos" / f"{i}.png", image)
    settings = replace(
        TINY, image_size=(16, 16), patch=4, steps=80, batch_size=16, learning_rate=3e-3, precision="fp32", flip=False
    )
    out = tmp_path / "run"
    pretrain("mae", tmp_path / "photos", out, settings, replace(OPTIONS, log_steps=20, checkpoint_steps=None))
    found = losses(out)
    assert found[-1] < found[0] / 3
