"""The ALAE backbone: what it reads, what it draws, what it refuses."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.alae.checkpoint import save_network
from frugalseg.backbones.alae.network import random_network
from frugalseg.backbones.alae.noise import expected_noise
from frugalseg.backbones.alae.settings import ALAEGeneration
from frugalseg.backbones.alae.shape import Shape
from frugalseg.support.errors import InputError
from tests.backbones.alae.published import TINY, save_published, tiny_models
from tests.backbones.battery import BackboneChecks, DrawingChecks


def network(shape=TINY, seed=0):
    """A random network in which everything is at work: noise, biases and the mean code."""
    made = random_network(shape, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, value in made.state_dict().items():
        if "noise_weight" in name or "bias" in name or "dlatent" in name or "to_rgb" in name:
            value.normal_(std=0.3, generator=generator)
    return made


@pytest.fixture
def folder(tmp_path):
    save_network(network(), tmp_path / "folder")
    return tmp_path / "folder"


@pytest.fixture
def backbone(folder):
    return load_backbone("alae", folder)


def images(count=2, size=16):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


class TestALAE(BackboneChecks, DrawingChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("alae")
        save_network(network(), folder)
        return load_backbone("alae", folder, blocks=(2, 0))


def test_maps_are_the_generators_own_for_the_code_of_the_image(backbone):
    assert [(tap.name, tap.channels, tap.stride) for tap in backbone.taps] == [
        ("block0", 8, 4),
        ("block1", 8, 2),
        ("block2", 4, 1),
    ]
    inner = backbone.network
    with torch.inference_mode():
        styles = inner.discriminator(2 * images() - 1)[:, None].expand(-1, 6, -1)
        expected = list(inner.generator.activations(styles, expected_noise))
        reconstructed = (inner.generator(styles) / 2 + 0.5).clamp(0, 1)
    assert all(torch.equal(a, b) for a, b in zip(backbone(images()).maps, expected, strict=True))
    assert torch.equal(backbone.reconstructions(images()), reconstructed)
    assert reconstructed.shape == (2, 3, 16, 16) and reconstructed.std() > 0


def test_runs_no_deeper_than_the_deepest_tap(folder):
    backbone = load_backbone("alae", folder, blocks=(1,))
    expected = backbone(images()).maps[0].clone()
    for parameter in backbone.network.generator.decode_block[2].parameters():
        parameter.fill_(float("nan"))
    assert torch.equal(backbone(images()).maps[0], expected)


def test_noise_is_what_was_chosen_and_is_saved(folder, backbone, tmp_path):
    plain = load_backbone("alae", folder, noise="none")
    assert not torch.allclose(plain(images()).maps[-1], backbone(images()).maps[-1], atol=1e-2)
    plain.save_pretrained(tmp_path / "saved")
    assert torch.equal(load_saved_backbone(tmp_path / "saved")(images()).maps[-1], plain(images()).maps[-1])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_close(precision, folder, backbone):
    low = load_backbone("alae", folder, precision=precision)(images()).maps
    for a, b in zip(backbone(images()).maps, low, strict=True):
        assert b.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        assert (a - b.float()).square().mean().sqrt() < {"bf16": 0.1, "fp16": 0.02}[precision] * a.std()


# Generation


def test_drawn_images_come_with_the_maps_of_their_codes(backbone):
    """Labels of drawn images are free: what the generator computes is what the backbone reads."""
    generator = backbone.generator(ALAEGeneration(truncation=1))
    drawn, inner = generator.draw([3, 4]), backbone.network
    assert generator.maps_of is backbone and generator.size == (16, 16)
    with torch.inference_mode():
        styles = inner.styles(inner.mapping_fl(generator.latents([3, 4])))
        expected = list(inner.generator.activations(styles))
    assert drawn.maps.size == (16, 16)
    assert all(torch.equal(a, b) for a, b in zip(drawn.maps.maps, expected, strict=True))
    assert torch.equal(drawn.images, (inner.generator.to_rgb[2](expected[2]) / 2 + 0.5).clamp(0, 1))


@pytest.mark.parametrize("noise", ["random", "none", None])
def test_an_image_depends_on_its_seed_alone(noise, backbone):
    generator = backbone.generator(ALAEGeneration(noise=noise))
    both, alone = generator.draw([3, 4]).images, generator.draw([4]).images
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=0)
    assert (both[0] - both[1]).abs().max() > 1 / 255
    assert generator.settings() == {
        **{"truncation": 0.7, "truncated_styles": 8, "size": [16, 16]},
        "noise": noise or "expected",
    }


def test_random_noise_gives_no_maps_and_other_images(backbone):
    """The maps of a pass with random noise are not those that the classifier knows."""
    noisy, plain = (backbone.generator(ALAEGeneration(noise=noise)) for noise in ("random", "expected"))
    assert noisy.maps_of is None and noisy.draw([1]).maps is None
    assert not torch.allclose(noisy.draw([1]).images, plain.draw([1]).images, atol=1e-3)


def test_truncation_moves_the_first_styles_towards_the_mean(backbone):
    inner = backbone.network
    codes, mean = torch.ones(1, 6), inner.dlatent_avg.buff
    styles = inner.styles(codes, 0.25, cutoff=4)[0]
    torch.testing.assert_close(styles[:4], mean[:4] + 0.25 * (1 - mean[:4]))
    assert torch.equal(styles[4:], torch.ones(2, 6))
    still = backbone.generator(ALAEGeneration(truncation=0)).draw([1, 2]).images
    torch.testing.assert_close(still[0], still[1])


# Checkpoints


@pytest.mark.parametrize("zipped", [False, True])
def test_published_files_are_read_as_data_and_averages_are_preferred(zipped, tmp_path):
    """The tracker's objects lie beside the weights; nothing of them is made or run."""
    path = save_published(tmp_path / "model.pth", tiny_models(averaged=1), zipped)
    assert torch.equal(
        load_backbone("alae", path).network.discriminator.encode_block[0].conv_1.weight,
        random_network(TINY, 1).discriminator.encode_block[0].conv_1.weight,
    )
    plain = {name: tensors for name, tensors in tiny_models(seed=2).items() if not name.endswith("_s")}
    save_published(path, plain, zipped)
    found = load_backbone("alae", path).network
    assert found.shape == TINY
    assert torch.equal(
        found.mapping_fl.map_blocks[1].fc.weight, random_network(TINY, 2).mapping_fl.map_blocks[1].fc.weight
    )


class Another:
    """What no checkpoint may hold."""


def test_anything_else_in_a_file_is_refused(tmp_path):
    path = save_published(tmp_path / "model.pth", tiny_models(), more=Another())
    with pytest.raises(InputError, match="holds Python objects beside tensors, which are never executed"):
        load_backbone("alae", path)


def test_remains_of_a_larger_network_are_left_out(tmp_path, caplog):
    models, larger = tiny_models(), random_network(replace(TINY, layers=5), 3).state_dict()
    for key, value in larger.items():
        network, name = key.split(".", 1)
        if ".3." in f".{name}" or ".4." in f".{name}":
            models[network + "_s"].setdefault(name, value)
    with caplog.at_level("INFO"):
        assert load_backbone("alae", save_published(tmp_path / "m.pth", models)).network.shape == TINY
    assert "left out 48 tensors of a larger network" in caplog.text
    models["generator_s"]["to_rgb.3.more"] = torch.ones(2)
    with pytest.raises(InputError, match=r"unknown generator\.to_rgb\.3\.more"):
        load_backbone("alae", save_published(tmp_path / "m.pth", models))


def test_the_widest_layer_may_never_be_reached(tmp_path):
    shape = Shape(layers=2, latent=6, start=4, most=64, mapping=1)
    save_network(network(shape), tmp_path)
    assert load_backbone("alae", tmp_path).network.shape == replace(shape, most=16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("dlatent_avg"), "not the networks of an adversarial latent autoencoder: wanted dlatent_avg"),
        (lambda m: m.pop("generator_s") and m.pop("generator"), "wanted generator"),
        (lambda m: m.update(style_clip={}), "found style_clip"),
        (lambda m: m.update(generator_s=3), "lacks generator.const"),
        (lambda m: m["generator_s"].pop("const"), r"lacks generator\.const"),
        (lambda m: m["generator_s"].update(more=torch.ones(2)), r"unknown generator\.more"),
        (lambda m: m["generator_s"].update(const=torch.ones(1, 7, 4, 4)), r"another shape: generator\.const"),
        (lambda m: m["dlatent_avg"].update(buff=torch.ones(8, 6)), "lacks|not an adversarial latent autoencoder"),
        (lambda m: m["dlatent_avg"].update(buff=torch.ones(7, 6)), r"another shape: dlatent_avg\.buff"),
        (lambda m: m["dlatent_avg"].update(buff=torch.ones(0, 6)), "not an adversarial latent autoencoder"),
        (lambda m: m["mapping_fl_s"].pop("map_blocks.0.fc.weight"), "wanted mapping_fl.map_blocks.0.fc.weight"),
    ],
)
def test_a_checkpoint_of_another_network(change, message, tmp_path):
    models = tiny_models()
    change(models)
    with pytest.raises(InputError, match=message) as error:
        load_backbone("alae", save_published(tmp_path / "other.pth", models))
    assert "\n" not in str(error.value)


def test_files_and_folders_that_are_none(folder, tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.ones(2)}}, tmp_path / "resnet.pth")
    with pytest.raises(InputError, match="wanted models, found state_dict"):
        load_backbone("alae", tmp_path / "resnet.pth")
    torch.save({"model": {"decoder_pos_embed": torch.ones(2)}}, tmp_path / "mae.pth")
    with pytest.raises(InputError, match="it looks like a checkpoint for --backbone mae"):
        load_backbone("alae", tmp_path / "mae.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "resnet.pth").read_bytes()[:200])
    with pytest.raises(InputError, match="damaged or truncated"):
        load_backbone("alae", tmp_path / "cut.pth")
    with pytest.raises(InputError, match="no such checkpoint file"):
        load_backbone("alae", tmp_path / "none.pth")
    with pytest.raises(InputError, match="needs a checkpoint"):
        load_backbone("alae")
    for change, message in (
        ({"start": 8}, "but the weights are of"),
        ({"start": "4"}, r"config\.json: start"),
        ({"layers": 13}, r"config\.json: layers is 13"),
        ({"family": "mae"}, "a network of `frugalseg pretrain mae`"),
    ):
        config = {"family": "alae", **asdict(TINY), **change}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=message):
            load_backbone("alae", folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": (0, 3, 7)}, "blocks 3, 7: this network has blocks 0 to 2"),
        ({"blocks": ()}, "blocks empty: give one or more"),
        ({"blocks": (1, 1)}, "each once"),
        ({"noise": "random"}, "noise"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_options_that_do_not_fit(options, message, folder):
    with pytest.raises(InputError, match=message):
        load_backbone("alae", folder, **options)


@pytest.mark.parametrize(
    ("options", "message"), [({"truncation": 2.0}, "truncation is 2"), ({"noise": "x"}, "'random'")]
)
def test_generation_that_does_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        ALAEGeneration(**options)
