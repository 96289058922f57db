"""GAN inversion as a backbone: what it reads, that refining helps, what it refuses."""

import json

import pytest
import torch

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.stylegan2.backbone import StyleGAN2Backbone
from frugalseg.backbones.stylegan2.encoder.inverter import Inverter
from frugalseg.backbones.stylegan2.encoder.pair import load_inverter, save_inverter
from frugalseg.backbones.stylegan2.inversion.settings import GANInversionGeneration
from frugalseg.backbones.stylegan2.settings import StyleGAN2Generation, StyleGAN2Options
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks, DrawingChecks
from tests.backbones.stylegan2.encoder.helpers import encoder
from tests.backbones.stylegan2.inversion.helpers import discriminator, generator, inverter


def images(count=2, size=(32, 32)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(tmp_path):
    save_inverter(inverter(), tmp_path / "e4e")
    return tmp_path / "e4e"


class TestGANInversion(BackboneChecks, DrawingChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("inversion")
        save_inverter(inverter(), folder)
        return load_backbone("gan_inversion", folder, resolutions=(32, 8))


class TestRefined(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("inversion")
        save_inverter(inverter(), folder)
        return load_backbone("gan_inversion", folder, refine=1)


def test_the_features_are_those_of_the_image_with_its_code(folder):
    backbone, network = load_backbone("gan_inversion", folder), inverter()
    assert [tap.name for tap in backbone.taps] == [
        "b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1",
    ]  # fmt: skip
    sizes = [(6, 8), *[(5, 4)] * 2, *[(4, 2)] * 2, *[(3, 1)] * 2]
    assert [(tap.channels, tap.stride) for tap in backbone.taps] == sizes
    assert (backbone.fixed_size, backbone.stride) == ((32, 32), 8)
    codes = network.encoder(images() * 2 - 1) + network.latent_avg
    synthesis = network.generator.synthesis
    outputs = [values for passed, _ in synthesis.passes(codes, synthesis.constant_noise) for values in passed.values()]
    for a, b in zip(backbone(images()).maps, outputs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_runs_no_deeper_than_the_finest_resolution(folder):
    backbone = load_backbone("gan_inversion", folder, resolutions=(8, 4), layers="conv1")
    assert [tap.name for tap in backbone.taps] == ["b4.conv1", "b8.conv1"]
    expected = [values.clone() for values in backbone(images()).maps]
    for parameter in backbone.network.generator.synthesis.b16.parameters():
        parameter.fill_(float("nan"))
    assert all(torch.equal(a, b) for a, b in zip(expected, backbone(images()).maps, strict=True))


def test_the_reconstruction_is_what_the_generator_draws(folder):
    backbone, network = load_backbone("gan_inversion", folder), inverter()
    drawn = network.drawn(network.codes(images() * 2 - 1))
    torch.testing.assert_close(backbone.reconstructions(images()), (drawn / 2 + 0.5).clamp(0, 1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (images().numpy(), "a ndarray is no batch of images; give a tensor"),
        (images()[:, :1], "no batch of images"),
        (images()[:0], "no batch of images"),
        (images().byte(), "divide by 255"),
        (images()[..., :16], "takes 32x32 only"),
    ],
)
def test_what_cannot_be_reconstructed(given, message, folder):
    with pytest.raises(ValueError, match=message):
        load_backbone("gan_inversion", folder).reconstructions(given)


@pytest.mark.parametrize("judged", [True, False])
def test_refining_brings_the_image_nearer(judged, tmp_path):
    network = inverter(judged=judged)
    save_inverter(network, tmp_path)
    # Images that the generator can draw, but the encoder does not find.
    codes = network.latent_avg + torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(3))
    wanted = (network.drawn(codes) / 2 + 0.5).clamp(0, 1)
    errors = []
    for steps in (0, 3, 15):
        with torch.inference_mode():  # as a caller may have it
            drawn = load_backbone("gan_inversion", tmp_path, refine=steps).reconstructions(wanted)
        errors.append((drawn - wanted).square().mean(dim=(1, 2, 3)))
    assert (errors[1] < errors[0]).all()
    assert errors[2].sum() < min(errors[0].sum() / 2, errors[1].sum() * 0.8)


def test_refining_says_the_same_twice_and_of_each_image_alone(folder):
    backbone = load_backbone("gan_inversion", folder, refine=3)
    first, again, alone = backbone(images()), backbone(images()), backbone(images()[1:])
    for a, b, c in zip(first.maps, again.maps, alone.maps, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a[1:], c, atol=2e-4, rtol=1e-3)


def test_a_larger_generator_draws_images_of_its_own_size(tmp_path):
    """The published 1024-pixel generators have encoders of 256 pixels; here 32 and 16."""
    half = encoder()
    half.shape = half.shape.__class__(half.shape.stem, half.shape.widths, half.shape.units, first_stride=1)
    network = Inverter(half, generator(), None, torch.zeros(8, 5), (16, 16))
    save_inverter(network, tmp_path)
    backbone = load_backbone("gan_inversion", tmp_path)
    assert (backbone.fixed_size, backbone.network.image_size) == ((32, 32), (16, 16))
    assert backbone(images()).maps[-1].shape == (2, 3, 32, 32)


def test_images_of_cars_are_the_middle_rows(tmp_path):
    save_inverter(inverter((16, 32)), tmp_path)
    backbone = load_backbone("gan_inversion", tmp_path, refine=1)
    assert backbone.fixed_size == (16, 32)
    assert [tuple(values.shape[2:]) for values in backbone(images(size=(16, 32))).maps][::2] == [
        (2, 4),
        (4, 8),
        (8, 16),
        (16, 32),
    ]
    assert backbone.reconstructions(images(size=(16, 32))).shape == (2, 3, 16, 32)
    drawn = backbone.generator().draw([1])
    assert drawn.images.shape == (1, 3, 16, 32) and drawn.maps.maps[0].shape[2:] == (2, 4)


def test_its_generator_draws_what_a_stylegan2_draws_with_its_own_noise(folder):
    """The images and the maps of the generator alone; the maps are those of an image whose code is the drawn one."""
    backbone, network = load_backbone("gan_inversion", folder, resolutions=(32, 8)), inverter().generator
    network.mapping.w_avg.fill_(0.2)
    backbone.network.generator.mapping.w_avg.fill_(0.2)
    alone = StyleGAN2Backbone(network, StyleGAN2Options(resolutions=(32, 8)))
    for psi in (0.5, 1.0):
        drawn = backbone.generator(GANInversionGeneration(psi)).draw([3, 4])
        expected = alone.generator(StyleGAN2Generation(psi, "constant")).draw([3, 4])
        torch.testing.assert_close(drawn.images, expected.images)
        assert [tap.name for tap in alone.taps] == [tap.name for tap in backbone.taps]
        for values, own in zip(drawn.maps.maps, expected.maps.maps, strict=True):
            torch.testing.assert_close(values, own)
    codes = network.mapping(backbone.generator().latents([3, 4]), 1.0)
    backbone.codes = lambda images: codes
    for values, own in zip(backbone.maps(images()), drawn.maps.maps, strict=True):
        torch.testing.assert_close(values, own)


def test_an_encoder_alone_is_no_inversion(folder, tmp_path):
    load_backbone("gan_encoder", folder).save_pretrained(tmp_path / "alone")
    with pytest.raises(InputError, match=r"no generator in this folder.* pretrain e4e"):
        load_backbone("gan_inversion", tmp_path / "alone")
    with pytest.raises(InputError, match="needs a checkpoint"):
        load_backbone("gan_inversion")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolutions": (8, 64)}, "resolutions 64: this network has 4, 8, 16, 32"),
        ({"resolutions": ()}, "resolutions empty"),
        ({"resolutions": (8, 8)}, "each once"),
        ({"resolutions": (4,), "layers": "conv0"}, "has conv1 alone"),
        ({"layers": "conv2"}, "layers"),
        ({"refine": -1}, "refine is -1"),
        ({"refine": 100_000}, "refine is 100000; give a whole number from 0 to 10000"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_options_that_do_not_fit(options, message, folder):
    with pytest.raises(InputError, match=message):
        load_backbone("gan_inversion", folder, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": 0}, "group is 0"),
        ({"clamp": "none"}, "clamp"),
        ({"clamp": 1e308}, r"config\.json: clamp is 1e\+308; give a number"),
        ({"clamp": -1.0}, "clamp is -1"),
        ({"discriminator_clamp": 0.0}, "discriminator_clamp is 0"),
        ({"image_size": [64, 64]}, "images of 64x64 for an encoder of images 32 pixels wide"),
        ({"image_size": [24, 32]}, "images of 24x32"),
    ],
)
def test_folders_that_contradict_themselves(change, message, folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=message):
        load_backbone("gan_inversion", folder)


def test_parts_that_do_not_fit_one_another():
    good = {"encoder": encoder(), "generator": generator(), "discriminator": discriminator()}
    with pytest.raises(InputError, match=r"the mean code is of shape \(7, 5\), not \(8, 5\)"):
        Inverter(**good, average=torch.zeros(7, 5), image_size=(32, 32))
    good["encoder"].heads = good["encoder"].heads.__class__(10, 5, 1)
    with pytest.raises(InputError, match="gives 10 codes of 5 numbers, the generator takes 8 of 5"):
        Inverter(**good, average=torch.zeros(8, 5), image_size=(32, 32))


def test_saved_and_loaded_the_networks_are_the_same(folder):
    before, after = inverter().state_dict(), load_inverter(folder).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert load_inverter(folder).discriminator.shape == inverter().discriminator.shape


def test_lower_precision_is_close_and_is_saved(folder, tmp_path):
    exact = load_backbone("gan_inversion", folder)(images()).maps
    backbone = load_backbone("gan_inversion", folder, precision="bf16", refine=0)
    low = backbone(images()).maps
    for a, b in zip(exact, low, strict=True):
        assert b.dtype == torch.bfloat16
        assert (a - b.float()).square().mean().sqrt() < 0.1 * a.std()
    backbone.save_pretrained(tmp_path / "saved")
    again = load_saved_backbone(tmp_path / "saved")(images()).maps
    assert all(torch.equal(a, b) for a, b in zip(low, again, strict=True))
