"""The GAN encoder as a backbone: what it reads, what it refuses."""

import argparse
import json

import pytest
import torch

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.registry import family_of_checkpoint
from frugalseg.backbones.stylegan2.encoder.shape import HeadShape
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks
from tests.backbones.stylegan2.encoder.helpers import encoder, published


@pytest.fixture
def file(tmp_path):
    """Writes an e4e file; its arguments are those of `published`."""

    def write(network=None, **beside):
        torch.save(published(network, **beside), tmp_path / "e4e.pt")
        return tmp_path / "e4e.pt"

    return write


def images(*size):
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))


class TestGANEncoder(BackboneChecks):
    smallest = 2

    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("e4e") / "e4e.pt"
        torch.save(published(), path)
        return load_backbone("gan_encoder", path, layers=("p2", "body2", "body6"))


def test_by_default_the_last_of_each_stage_and_the_pyramid(file):
    backbone = load_backbone("gan_encoder", file())
    assert [tap.name for tap in backbone.taps] == ["body0", "body2", "body5", "body6", "p2", "p1"]
    assert [tap.channels for tap in backbone.taps] == [4, 6, 8, 10, 10, 10]
    assert (backbone.stride, backbone.native_size, backbone.fixed_size) == (16, (32, 32), None)


def test_images_are_seen_from_minus_one_to_one(file):
    backbone = load_backbone("gan_encoder", file(), layers=("p1", "body6"))
    with torch.no_grad():
        expected = dict(encoder().passes(images(32, 48) * 2 - 1))
    for name, values in zip(("p1", "body6"), backbone(images(32, 48)).maps, strict=True):
        assert torch.equal(values, expected[name])


def test_runs_no_further_than_the_last_layer(file):
    backbone = load_backbone("gan_encoder", file(), layers=("body1", "body0"))
    expected = [values.clone() for values in backbone(images(32, 32)).maps]
    for parameter in [*backbone.trunk.body[2].parameters(), *backbone.trunk.latlayer1.parameters()]:
        parameter.fill_(float("nan"))
    assert all(torch.equal(a, b) for a, b in zip(expected, backbone(images(32, 32)).maps, strict=True))


def test_a_saved_backbone_leaves_out_what_makes_codes(file, tmp_path):
    backbone = load_backbone("gan_encoder", file(), precision="bf16")
    backbone.save_pretrained(tmp_path / "saved")
    again = load_saved_backbone(tmp_path / "saved")
    before, after = (each(images(16, 16)).maps for each in (backbone, again))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any("styles" in name for name in again.state_dict())
    assert load_backbone("gan_encoder", tmp_path / "saved").native_size == (32, 32)
    assert family_of_checkpoint(str(tmp_path / "saved")) == "gan_encoder"


def test_cars_are_less_high_than_wide(file):
    network = encoder(heads=HeadShape(8, 5, halvings=2))
    backbone = load_backbone("gan_encoder", file(network, opts={"dataset_type": "cars_encode"}))
    assert backbone.native_size == (48, 64)


def test_settings_may_be_missing_and_decoders_are_left_out(file):
    content = published(opts=None, latent_avg=None)
    content["state_dict"]["decoder.style.1.weight"] = torch.ones(2, 2)
    assert load_backbone("gan_encoder", file(**content, opts=None, latent_avg=None)).native_size == (32, 32)


def endless_tuple():
    """A few hundred bytes in a file, and endless to write down."""
    value = "cars"
    for _ in range(100):
        value = (value, value)
    return value


def test_settings_that_are_no_texts_say_nothing(file):
    assert load_backbone("gan_encoder", file(opts={"dataset_type": endless_tuple()})).native_size == (32, 32)


def tensors(**changes):
    found = published()["state_dict"]
    for name, value in changes.items():
        found[f"encoder.{name}"] = value
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"state_dict": {"conv1.weight": torch.ones(3)}}, r"not an e4e checkpoint.*is it the checkpoint of another"),
        ({"state_dict": {"decoder_pos_embed": torch.ones(3)}}, "it looks like a checkpoint for --backbone mae"),
        ({"opts": argparse.Namespace(encoder_type="GradualStyleEncoder")}, "of the type GradualStyleEncoder, not"),
        ({"opts": {"encoder_type": endless_tuple()}}, "of the type tuple, not Encoder4Editing"),
        ({"state_dict": tensors(**{"input_layer.0.weight": torch.ones(4, 6, 3, 3)})}, "images with 6 channels"),
        ({"state_dict": tensors(**{"latlayer2.weight": torch.ones(9, 6, 1, 1)})}, "another shape: latlayer2.weight"),
        ({"state_dict": tensors(**{"body.0.res_layer.4.bias": None})}, r"lacks body\.0\.res_layer\.4\.bias"),
        ({"state_dict": tensors(**{"body.9.res_layer.4.bias": torch.ones(2)})}, r"no body\.7\.res_layer"),
        ({"latent_avg": torch.ones(0, 5)}, r"latent_avg is of shape \(0, 5\), not a mean code"),
        ({"latent_avg": "none"}, "latent_avg is a str"),
        ({"latent_avg": torch.zeros(1).expand(4000, 4000)}, "no plain tensor with all its values"),
    ],
)
def test_files_that_cannot_be_read(beside, message, file):
    with pytest.raises(InputError, match=message) as error:
        load_backbone("gan_encoder", file(**beside))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ("body7", "p3")}, "layers body7, p3: this encoder has body0, body1, .* body6, p2, p1"),
        ({"layers": ()}, "layers empty: give one or more"),
        ({"layers": ("p1", "p1")}, "each once"),
        ({"precision": "fp8"}, "precision"),
    ],
)
def test_options_that_do_not_fit(options, message, file):
    with pytest.raises(InputError, match=message):
        load_backbone("gan_encoder", file(), **options)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "no config.json in this folder; give a folder of `frugalseg pretrain"),
        ({"family": "swav"}, "a network of `frugalseg pretrain swav`; give a folder of `frugalseg pretrain e4e`"),
        ({"family": "gan_encoder", "first_stride": 2}, "image_size"),
        ({"family": "gan_encoder", "first_stride": 3, "image_size": [32, 32]}, "first_stride is 3"),
        ({"family": "gan_encoder", "first_stride": 2, "image_size": [0, 32]}, "image_size is 0x32"),
    ],
)
def test_folders_that_are_none(config, message, file, tmp_path):
    load_backbone("gan_encoder", file()).save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "config.json").unlink()
    if config is not None:
        (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        load_backbone("gan_encoder", tmp_path / "saved")


def test_nothing_to_load(tmp_path):
    with pytest.raises(InputError, match="needs a checkpoint"):
        load_backbone("gan_encoder")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_backbone("gan_encoder", tmp_path / "none.pt")
