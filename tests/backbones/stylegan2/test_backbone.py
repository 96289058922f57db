"""The backbone of StyleGAN2: what it reads and draws, and from which files."""

import pytest
import torch
from safetensors.torch import save_file

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.registry import family_with
from frugalseg.backbones.stylegan2.checkpoints.source import (
    load_discriminator,
    load_generator,
    save_discriminator,
    save_generator,
)
from frugalseg.backbones.stylegan2.settings import StyleGAN2Generation
from frugalseg.support.errors import InputError
from tests.backbones.battery import DrawingChecks
from tests.backbones.stylegan2.layouts import rosinality_tensors, small_discriminator, small_generator
from tests.backbones.stylegan2.writing import write_official


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stylegan2")
    save_generator(small_generator(), folder)
    save_discriminator(small_discriminator(), folder)
    return folder


def same(one, other):
    """Whether two networks are the same."""
    a, b = one.state_dict(), other.state_dict()
    return one.shape == other.shape and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class TestStyleGAN2(DrawingChecks):
    @pytest.fixture(scope="class")
    def backbone(self, folder):
        return load_backbone("stylegan2", folder)


class TestSomeLayersInBf16(DrawingChecks):
    @pytest.fixture(scope="class")
    def backbone(self, folder):
        return load_backbone("stylegan2", folder, resolutions=(16, 8), layers="conv0", precision="bf16")

    def test_an_image_depends_on_its_seed_alone(self, generator):
        """In bf16, what else is in the batch changes the rounding."""
        both, alone = generator.draw([3, 4]), generator.draw([4])
        assert (both.images[1:] - alone.images).abs().mean() < 0.01
        assert torch.equal(alone.images, generator.draw([4]).images)


def test_all_convolutions_are_read_by_default(folder):
    backbone = load_backbone("stylegan2", folder)
    assert [(tap.name, tap.channels, tap.stride) for tap in backbone.taps] == [
        ("b4.conv1", 12, 4),
        ("b8.conv0", 8, 2),
        ("b8.conv1", 8, 2),
        ("b16.conv0", 6, 1),
        ("b16.conv1", 6, 1),
    ]
    assert (backbone.dim, backbone.fixed_size, backbone.stride) == (40, (16, 16), 4)


def test_maps_are_the_activations_of_the_pass_that_drew(folder):
    backbone, network = load_backbone("stylegan2", folder, resolutions=(8,)), load_generator(folder).eval()
    generator = backbone.generator(StyleGAN2Generation(truncation=0.5, noise="constant"))
    drawn, z = generator.draw([7]), generator.latents([7])
    blocks = list(network.synthesis.passes(network.mapping(z, 0.5), network.synthesis.constant_noise))
    torch.testing.assert_close(drawn.images, (blocks[-1][1] / 2 + 0.5).clamp(0, 1))
    for values, name in zip(drawn.maps.maps, ("conv0", "conv1"), strict=True):
        torch.testing.assert_close(values, blocks[1][0][name])


def test_noise_and_truncation_change_images(folder):
    backbone = load_backbone("stylegan2", folder)

    def draw(**options):
        return backbone.generator(StyleGAN2Generation(**options)).draw([1]).images

    images = [draw(), draw(noise="constant"), draw(noise="none"), draw(truncation=1.0)]
    assert all((a - b).abs().max() > 0.01 for n, a in enumerate(images) for b in images[:n])
    assert torch.equal(draw(truncation=0.0, noise="none"), draw(truncation=0.0, noise="none"))
    means = backbone.generator(StyleGAN2Generation(truncation=0.0, noise="none")).draw([1, 2]).images
    torch.testing.assert_close(means[0], means[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolutions": (8, 32, 5)}, "resolutions 32, 5: this network has 4, 8, 16"),
        ({"resolutions": ()}, "give one or more"),
        ({"resolutions": (8, 8)}, "each once"),
        ({"resolutions": (4,), "layers": "conv0"}, "the block of 4 x 4 has conv1 alone"),
        ({"layers": "conv2"}, "layers: should be 'both', 'conv0' or 'conv1', not 'conv2'"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_options_that_do_not_fit(options, message, folder):
    with pytest.raises(InputError, match=message):
        load_backbone("stylegan2", folder, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": 3.0}, "truncation is 3.0"),
        ({"truncation": -1.0}, "from 0"),
        ({"noise": "loud"}, "noise is 'loud'; give random, constant or none"),
    ],
)
def test_ways_of_drawing_that_there_are_not(options, message):
    with pytest.raises(InputError, match=message):
        StyleGAN2Generation(**options)


def test_each_layout_gives_the_same_network(folder, tmp_path):
    generator, discriminator = small_generator(), small_discriminator()
    official = write_official(tmp_path / "official", generator, discriminator)
    torch.save(generator.state_dict(), tmp_path / "raw.pt")
    torch.save(generator.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(generator.state_dict(), tmp_path / "w.safetensors")
    for path in (folder, official, tmp_path / "raw.pt", tmp_path / "old.pt", tmp_path / "w.safetensors"):
        assert same(load_generator(path), generator)
    assert same(load_discriminator(folder), discriminator) and same(load_discriminator(official), discriminator)
    tensors, mean = rosinality_tensors(generator), generator.mapping.mean
    torch.save({"g_ema": tensors, "g": {}, "latent_avg": mean}, tmp_path / "published.pt")
    found = load_generator(tmp_path / "published.pt")
    assert torch.equal(found.mapping.mean, mean) and found.shape.clamp is None
    torch.save(tensors, tmp_path / "bare.pt")
    assert torch.equal(
        load_generator(tmp_path / "bare.pt").synthesis.b8.conv0.weight, generator.synthesis.b8.conv0.weight
    )


def test_a_saved_backbone_is_a_checkpoint(folder, tmp_path):
    load_backbone("stylegan2", folder).save_pretrained(tmp_path)
    assert same(load_backbone("stylegan2", tmp_path).network, load_saved_backbone(tmp_path).network)


def test_nothing_to_load(tmp_path, folder):
    with pytest.raises(InputError, match="needs a checkpoint"):
        load_backbone("stylegan2")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_backbone("stylegan2", tmp_path / "none.pkl")
    with pytest.raises(InputError, match=r"no config\.json"):
        load_backbone("stylegan2", tmp_path)
    with pytest.raises(InputError, match="not the generator of a StyleGAN2"):
        load_backbone("stylegan2", folder / "discriminator")


@pytest.mark.parametrize("clamp", ['"a"', "-1", "true", "1e999", "[1]"])
def test_a_config_that_was_changed(clamp, folder, tmp_path):
    save_generator(small_generator(), tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("256.0", clamp))
    with pytest.raises(InputError, match="clamp"):
        load_backbone("stylegan2", tmp_path)


def test_a_file_of_another_family_says_which_it_looks_like(tmp_path):
    torch.save({"decoder_pos_embed": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"not the generator of a StyleGAN2.*--backbone mae"):
        load_backbone("stylegan2", tmp_path / "w.pt")
    for tensors in (small_generator().state_dict(), rosinality_tensors(small_generator())):
        assert family_with(tensors) == "stylegan2"
