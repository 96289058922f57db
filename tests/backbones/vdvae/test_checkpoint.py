"""Published files and our own folders: what is read off them, and what is refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalseg.backbones.vdvae.checkpoint import load_network, save_network
from frugalseg.backbones.vdvae.layout import EncoderPlace, decoder_places, encoder_places
from frugalseg.backbones.vdvae.network import VDVAE, random_network
from frugalseg.backbones.vdvae.pixels import Pixels
from frugalseg.backbones.vdvae.published import PUBLISHED
from frugalseg.backbones.vdvae.settings import TrainingSet, VDVAEOptions
from frugalseg.backbones.vdvae.shape import VDVAEShape
from frugalseg.support.errors import InputError

WIDTHS = ((8, 8), (4, 8), (2, 12))
SHAPE = VDVAEShape((8, 4), "8x1,8d2,4x1,4d2,2x1", "2x1,4m2,4x1,8m4", WIDTHS, zdim=3, mixtures=2, no_bias_above=4)
PIXELS = Pixels(100.0, 50.0, 5)


def network() -> VDVAE:
    return random_network(SHAPE, PIXELS, seed=0)


def square() -> VDVAE:
    shape = VDVAEShape((8, 8), SHAPE.encoder, SHAPE.decoder, WIDTHS, zdim=3, mixtures=2, no_bias_above=4)
    return random_network(shape, PUBLISHED["cifar10"].pixels, seed=0)


OPTIONS = VDVAEOptions(trained_on="cifar10", encoder_layout=SHAPE.encoder, decoder_layout=SHAPE.decoder)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_sizes_are_read_off_the_tensors(prefix: str, tmp_path: Path) -> None:
    own = square()
    torch.save({prefix + name: value for name, value in own.state_dict().items()}, tmp_path / "model.th")
    found = load_network(tmp_path / "model.th", OPTIONS)
    assert found.shape.widths == own.shape.widths
    assert found.shape == own.shape and found.pixels == own.pixels
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in found.state_dict().items())


def test_a_folder_tells_all(tmp_path: Path) -> None:
    save_network(network(), tmp_path)
    found = load_network(tmp_path)
    assert (found.shape, found.pixels) == (SHAPE, PIXELS)


def test_the_published_networks_are_told_apart_by_their_blocks() -> None:
    assert set(PUBLISHED) == set(TrainingSet.__args__)
    assert len({each.blocks for each in PUBLISHED.values()}) == len(PUBLISHED)
    assert PUBLISHED["ffhq256"].blocks == (68, 66)
    for each in PUBLISHED.values():
        top = encoder_places(each.encoder)[0].resolution
        assert encoder_places(each.encoder)[-1].leaves == 1
        assert decoder_places(each.decoder)[-1].resolution == top


def test_a_published_layout_is_recognised(tmp_path: Path) -> None:
    """The smallest of the five, with narrow blocks."""
    like = PUBLISHED["cifar10"]
    widths = tuple((rows, 4) for rows in (32, 16, 8, 4, 1))
    shape = VDVAEShape((32, 32), like.encoder, like.decoder, widths, zdim=1, mixtures=1, no_bias_above=32)
    torch.save(random_network(shape, like.pixels, 0).state_dict(), tmp_path / "cifar10.th")
    found = load_network(tmp_path / "cifar10.th")
    assert (found.shape, found.pixels) == (shape, like.pixels)


def refused(tensors: dict[str, Any], folder: Path, options: VDVAEOptions = OPTIONS) -> str:
    torch.save(tensors, folder / "model.th")
    with pytest.raises(InputError) as error:
        load_network(folder / "model.th", options)
    said = str(error.value)
    assert said.startswith(str(folder)) and len(said.splitlines()) == 1
    return said.removeprefix(str(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("encoder.in_conv.weight"), "not a very deep VAE (no encoder.in_conv.weight)"),
        (lambda t: t.pop("decoder.gain"), "lacks decoder.gain"),
        (lambda t: t.pop("decoder.bias_xs.0"), "lacks decoder.bias_xs.0"),
        (lambda t: t.update({"head": torch.ones(1)}), "has unknown head"),
        (lambda t: t.update({"encoder.enc_blocks.1.c1.weight": torch.ones(2, 9, 1, 1)}), "another shape"),
        (lambda t: t.update({"encoder.enc_blocks.0.c1.weight": torch.ones(2, 9, 1, 1)}), "widths from fine to coarse"),
        (lambda t: t.update({"encoder.enc_blocks.2.c1.weight": torch.ones(2, 3, 1, 1)}), "are [8, 3, 12]; none may be"),
        (lambda t: t.update({"decoder.bias_xs.1": torch.ones(12)}), "decoder.bias_xs.1 has 1 dimensions"),
        (lambda t: t.update({"decoder.dec_blocks.9.z_proj.weight": torch.ones(1)}), "has 5 blocks in the decoder"),
        (lambda t: t.update({"encoder.enc_blocks.7.c1.weight": torch.ones(1)}), "has 6 blocks in the encoder"),
    ],
)
def test_tensors_that_do_not_fit(change: Any, message: str, tmp_path: Path) -> None:
    tensors = square().state_dict()
    change(tensors)
    assert message in refused(tensors, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "has 5 blocks in the encoder and 4 in the decoder, and the tensors do not tell the rest; "
         "give encoder_layout, decoder_layout, trained_on"),
        ({"encoder_layout": SHAPE.encoder, "decoder_layout": SHAPE.decoder}, "give trained_on"),
        ({"encoder_layout": "8x1,8d2,4x1,4d2,1x1"}, "a block at 1 cannot follow a block at 4"),
        ({"encoder_layout": "8x1,8d3,4x1,4d2,2x1"}, "cannot follow a block at 8 whose output is pooled by 3"),
        ({"encoder_layout": "8x1,8m2"}, "'8m2' is no block"),
        ({"encoder_layout": "8x9999"}, "more than 1000 blocks"),
        ({"encoder_layout": "8x4"}, "has 5 blocks in the encoder, encoder_layout 4"),
        ({"encoder_layout": "16x1,16d2,8x1,8d2,4x1"}, "begins with 16 rows and the decoder ends with 8"),
        ({"decoder_layout": "2x1,4m2,4x1,8m3"}, "8m3 finds no state at 3 rows"),
        ({"decoder_layout": "1x1,2m1,4m2,8m4"}, "the decoder has blocks at 1 rows, where the encoder has none"),
    ],
)  # fmt: skip
def test_layouts_that_do_not_fit(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    layouts = {"trained_on": "cifar10", "encoder_layout": SHAPE.encoder, "decoder_layout": SHAPE.decoder, **options}
    given = options if len(options) != 1 else layouts
    torch.save(square().state_dict(), tmp_path / "model.th")
    with pytest.raises(InputError) as error:
        load_network(tmp_path / "model.th", VDVAEOptions(**given))
    assert message in str(error.value)


def test_a_truncated_file(tmp_path: Path) -> None:
    torch.save(square().state_dict(), tmp_path / "model.th")
    (tmp_path / "model.th").write_bytes((tmp_path / "model.th").read_bytes()[:2000])
    with pytest.raises(InputError, match="damaged"):
        load_network(tmp_path / "model.th", OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "mae"}, "a network of `frugalseg pretrain mae`; give a folder of `frugalseg pretrain vdvae`"),
        ({"image_size": [8, 3]}, "images of 8x3 cannot be pooled to 4 rows"),
        ({"image_size": [8, -4]}, "image_size is"),
        ({"image_size": [16, 8]}, "both must be the 16 rows"),
        ({"image_size": "8x4"}, "image_size"),
        ({"pixels": {"mean": 1.0, "std": 0.0}}, "deviation of 0"),
        ({"pixels": {"mean": 1.0, "std": 2.0, "bits": 4}}, "pixels.bits"),
        ({"encoder_layout": "8x1"}, "has 5 blocks in the encoder"),
        ({"decoder_layout": "8" * 9000}, "is no block"),
    ],
)
def test_folders_that_are_none(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_network(network(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError) as error:
        load_network(tmp_path)
    assert message in str(error.value) and len(str(error.value)) < 400


def test_blocks_that_are_repeated() -> None:
    assert encoder_places("8x2,8d2,4") == (*[EncoderPlace(8)] * 2, EncoderPlace(8, 2), EncoderPlace(4))
