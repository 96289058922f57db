"""The VDVAE backbone: what it reads, how it draws, what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import torch

from frugalseg.backbones import Backbone, load_backbone, load_saved_backbone
from frugalseg.backbones.vdvae.backbone import VDVAEBackbone
from frugalseg.backbones.vdvae.checkpoint import load_network, save_network
from frugalseg.backbones.vdvae.network import VDVAE, random_network
from frugalseg.backbones.vdvae.pixels import Pixels
from frugalseg.backbones.vdvae.settings import VDVAEGeneration, VDVAEOptions
from frugalseg.backbones.vdvae.shape import VDVAEShape
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks, DrawingChecks

WIDTHS = ((12, 8), (6, 8), (3, 12), (1, 12))
SQUARE = VDVAEShape((12, 12), "12x1,12d2,6x2,6d2,3x1,3d3,1x1", "1x1,3m1,3x1,6m3,12m6,12x1", WIDTHS, 3, 2, 6)
OBLONG = VDVAEShape((12, 8), "12x1,12d2,6x1,6d2,3x1", "3x1,6m3,6x1,12m6", WIDTHS[:3], 3, 2, 3)


def network(shape: VDVAEShape = SQUARE) -> VDVAE:
    """One whose priors say something, unlike those of a fresh one."""
    made = random_network(shape, Pixels(120.0, 60.0), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return made


def folder_of(folder: Path, shape: VDVAEShape = SQUARE) -> Path:
    save_network(network(shape), folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("vdvae"))


def images(count: int = 2, size: tuple[int, int] = (12, 12)) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


def test_images_of_a_single_pixel_are_read_and_drawn() -> None:
    """Maps of 1 x 1 are left out elsewhere; here there are no others."""
    backbone = VDVAEBackbone(network(VDVAEShape((1, 1), "1x2", "1x2", ((1, 8),), 3, 2, 1)), VDVAEOptions()).eval()
    assert [tap.name for tap in backbone.taps] == ["encoder1", "block1"]
    assert backbone.readable() == {"encoder_resolutions": (1,), "decoder_blocks": (0, 1)}
    assert [tuple(each.shape) for each in backbone(images(size=(1, 1))).maps] == [(2, 8, 1, 1)] * 2
    assert tuple(backbone.generator().draw([1]).images.shape) == (1, 3, 1, 1)


class TestVDVAE(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, folder: Path) -> Backbone:
        return load_backbone("vdvae", folder, encoder_resolutions=(6, 1), decoder_blocks=(3, 1))


class TestDecoder(DrawingChecks):
    """Where the decoder alone is read, the maps come from the pass that draws."""

    @pytest.fixture(scope="class")
    def backbone(self, folder: Path) -> Backbone:
        return load_backbone("vdvae", folder, decoder_blocks=(3, 1))


class TestOblong(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
        return load_backbone("vdvae", folder_of(tmp_path_factory.mktemp("vdvae"), OBLONG))


def test_all_larger_than_a_pixel_by_default(folder: Path) -> None:
    backbone = load_backbone("vdvae", folder)
    assert [(tap.name, tap.channels, tap.stride) for tap in backbone.taps] == [
        ("encoder12", 8, 1),
        ("encoder6", 8, 2),
        ("encoder3", 12, 4),
        ("block2", 12, 4),
        ("block3", 8, 2),
        ("block5", 8, 1),
    ]
    assert backbone.fixed_size == (12, 12) and backbone.stride == 12


def test_either_alone(folder: Path) -> None:
    names = [tap.name for tap in load_backbone("vdvae", folder, encoder_resolutions=(3,)).taps]
    names += [tap.name for tap in load_backbone("vdvae", folder, decoder_blocks=(4, 0)).taps]
    assert names == ["encoder3", "block4", "block0"]


def spoil(modules: Any) -> None:
    for module in modules:
        for parameter in module.parameters():
            parameter.fill_(float("nan"))


def test_only_what_is_needed_runs(folder: Path) -> None:
    backbone = load_backbone("vdvae", folder, encoder_resolutions=(6,))
    expected = backbone(images()).maps[0].clone()
    spoil([*backbone.network.encoder.enc_blocks[5:], backbone.network.decoder])
    assert torch.equal(backbone(images()).maps[0], expected)
    backbone = load_backbone("vdvae", folder, decoder_blocks=(3, 1))
    expected = [values.clone() for values in backbone(images()).maps]
    spoil(backbone.network.decoder.dec_blocks[4:])
    assert all(torch.equal(a, b) for a, b in zip(backbone(images()).maps, expected, strict=True))


def test_latents_are_means(folder: Path) -> None:
    """The deviations of the posteriors leave no trace in the maps."""
    backbone = load_backbone("vdvae", folder, decoder_blocks=(5,))
    expected = backbone(images()).maps[0].clone()
    for block in backbone.network.decoder.dec_blocks:
        block.enc.c4.bias[backbone.network.shape.zdim :].add_(1)
    assert torch.equal(backbone(images()).maps[0], expected)
    backbone.network.decoder.dec_blocks[0].enc.c4.bias[0].add_(1)
    assert not torch.allclose(backbone(images()).maps[0], expected)


def test_maps_of_drawn_images_are_the_states_that_drew_them(folder: Path) -> None:
    backbone = load_backbone("vdvae", folder, decoder_blocks=(2, 5))
    generator = backbone.generator(VDVAEGeneration(temperature=0.7))
    assert generator.maps_of is backbone and generator.size == (12, 12)
    drawn = generator.draw([3, 2**32 - 1])
    alone = generator.draw([2**32 - 1])
    assert drawn.images.shape == (2, 3, 12, 12) and drawn.images.min() >= 0 and drawn.images.max() <= 1
    torch.testing.assert_close(drawn.images[1:], alone.images)
    assert not torch.allclose(drawn.images[0], drawn.images[1])
    assert drawn.maps is not None and alone.maps is not None
    assert [values.shape[1:] for values in drawn.maps.maps] == [(12, 3, 3), (8, 12, 12)]
    for both, one in zip(drawn.maps.maps, alone.maps.maps, strict=True):
        torch.testing.assert_close(both[1:], one)
    last = backbone.network.decoder.final(drawn.maps.maps[1])
    parameters = backbone.network.decoder.out_net(last)
    chosen = parameters[:, :2].argmax(1)
    red = parameters[:, 2:4].gather(1, chosen[:, None])[:, 0].clamp(-1, 1)
    torch.testing.assert_close(drawn.images[:, 0], red / 2 + 0.5)


def test_with_the_encoder_there_are_no_maps(folder: Path) -> None:
    generator = load_backbone("vdvae", folder).generator(None)
    assert generator.maps_of is None and generator.draw([0]).maps is None


def test_temperature_and_pixel_noise(folder: Path) -> None:
    backbone = load_backbone("vdvae", folder)
    seeds = list(range(8))

    def drawn(**options: Any) -> torch.Tensor:
        return backbone.generator(VDVAEGeneration(**options)).draw(seeds).images

    cold, usual, warm = drawn(temperature=1e-6), drawn(), drawn(temperature=1.0)
    assert cold.std(0).max() < 1e-4 < usual.std(0).mean() < warm.std(0).mean()
    noisy = drawn(pixel_noise=True)
    assert torch.equal(noisy, drawn(pixel_noise=True)) and (noisy - usual).std() > 0.05
    settings = backbone.generator(VDVAEGeneration(pixel_noise=True)).settings()
    assert settings == {"temperature": 0.85, "pixel_noise": True, "size": [12, 12]}


def test_reconstructions_are_drawn_from_the_latents_of_the_image(folder: Path) -> None:
    backbone = load_backbone("vdvae", folder, decoder_blocks=(5,))
    found = backbone.reconstructions(images())
    assert found.shape == (2, 3, 12, 12) and found.dtype == torch.float32
    state = backbone.network.decoder.final(backbone(images()).maps[0])
    other = backbone.network.decoder.out_net(state)
    red = other[:, 2:4].gather(1, other[:, :2].argmax(1)[:, None])[:, 0].clamp(-1, 1)
    torch.testing.assert_close(found[:, 0], red / 2 + 0.5)


def test_lower_precision_is_close_and_is_saved(folder: Path, tmp_path: Path) -> None:
    exact = load_backbone("vdvae", folder)(images()).maps
    backbone = load_backbone("vdvae", folder, precision="bf16")
    low = backbone(images()).maps
    for a, b in zip(exact, low, strict=True):
        assert b.dtype == torch.bfloat16 and (a - b.float()).square().mean().sqrt() < 0.05 * a.std()
    drawn = backbone.generator(None).draw([1]).images
    assert backbone.reconstructions(images()).isfinite().all() and drawn.isfinite().all()
    backbone.save_pretrained(tmp_path / "saved")
    again = load_saved_backbone(tmp_path / "saved")(images()).maps
    assert all(torch.equal(a, b) for a, b in zip(low, again, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_resolutions": (12, 5)}, "encoder_resolutions 5: this network has 12, 6, 3, 1"),
        ({"decoder_blocks": (0, 6)}, "decoder_blocks 6: this network has blocks 0 to 5"),
        ({"decoder_blocks": (1, 1)}, "give each once"),
        ({"decoder_blocks": ()}, "give at least one"),
        ({"decoder_blocks": (), "encoder_resolutions": ()}, "give at least one"),
        ({"decoder_blocks": (-1,)}, "decoder_blocks is"),
        ({"trained_on": "lsun"}, "trained_on: should be"),
        ({"trained_on": "cifar10"}, "trained_on: is for published files, and .* is a folder; leave it out"),
        ({"encoder_layout": "8x1"}, "encoder_layout: is for published files"),
        ({"precision": "fp8"}, "precision: should be"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_backbone("vdvae", folder, **options)


def test_generation_out_of_range() -> None:
    with pytest.raises(InputError, match="temperature is 0"):
        VDVAEGeneration(temperature=0.0)


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a checkpoint"):
        load_backbone("vdvae")
    with pytest.raises(InputError, match=r"no such checkpoint|no config\.json"):
        load_network(tmp_path / "none.th", VDVAEOptions())
