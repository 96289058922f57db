"""Parity with the MAE code of ddpm-segmentation: the published layouts, filled by rule, against its own answers."""

import argparse

import pytest
import torch

from frugalseg.backbones.mae.backbone import MAEBackbone
from frugalseg.backbones.mae.network import (
    DecoderShape,
    EncoderShape,
    MaskedAutoencoder,
    denormalised,
    loss_of_images,
)
from frugalseg.backbones.mae.settings import MAEOptions
from frugalseg.backbones.weights import load_strictly
from tests.golden import golden

BOUND = 5e-6  # of the expected standard deviation; rounding stays under 2e-6, a wrong epsilon is seen from 7e-6
TINY = MAEOptions(blocks=(2, 3), heads=4)


def tensors(expected):
    return {k: torch.from_numpy(v) for k, v in golden.tensors(expected).items()}


def inputs(expected):
    return {k: torch.from_numpy(v) for k, v in golden.inputs(expected).items()}


def load(name, folder, options):
    """The golden description, and the backbone from a file with everything that the published ones hold."""
    expected = golden.load(name)
    args = argparse.Namespace(model="mae", batch_size=64, lr=None, norm_pix_loss=True)
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    content = {"model": tensors(expected), "optimizer": optimizer, "epoch": 399, "scaler": {"scale": 2.0}, "args": args}
    torch.save(content, folder / f"{name}.pth")
    return expected, MAEBackbone.from_checkpoint(folder / f"{name}.pth", options).eval()


def check_maps(expected, backbone):
    with torch.inference_mode():
        maps = backbone.maps(denormalised(inputs(expected)["x"]))
    assert len(maps) == len(backbone.taps) == expected["settings"]["num_blocks"]
    for tap, values in zip(backbone.taps, maps, strict=True):
        assert golden.difference(values, expected["expected"][tap.name]) < BOUND, tap.name
        assert values.shape[1] == tap.channels


def test_tiny_features(tmp_path):
    check_maps(*load("mae_vit_tiny", tmp_path, TINY))


def norm_eps(backbone):
    for module in backbone.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5


def no_class_position(backbone):
    backbone.encoder.pos_embed.data[:, 0] = 0


def row_and_column_swapped(backbone):
    places = backbone.encoder.pos_embed.data[0, 1:].unflatten(0, (8, 8))
    backbone.encoder.pos_embed.data[0, 1:] = places.transpose(0, 1).flatten(0, 1).clone()


@pytest.mark.parametrize("breaks", [norm_eps, no_class_position, row_and_column_swapped])
def test_parity_bites(breaks, tmp_path):
    """A wrong epsilon, a class token without its position and swapped axes run without complaint, and are seen."""
    expected, backbone = load("mae_vit_tiny", tmp_path, TINY)
    breaks(backbone)
    with pytest.raises(AssertionError, match="block"):
        check_maps(expected, backbone)


def test_wrong_heads_are_seen(tmp_path):
    """The number of heads leaves no trace in the tensors: the default, heads of 64 channels, loads here and differs."""
    with pytest.raises(AssertionError, match="block"):
        check_maps(*load("mae_vit_tiny", tmp_path, MAEOptions(blocks=(2, 3))))


def test_training_pass():
    """Latent, predictions, mask and losses for a given noise, as in pretraining."""
    expected = golden.load("mae_vit_tiny")
    network = MaskedAutoencoder(EncoderShape((64, 64), 8, 64, 4, 4), DecoderShape(32, 2, 4)).eval()
    load_strictly(network, tensors(expected), "golden")
    given, answers, train = inputs(expected), expected["expected"], expected["settings"]["train"]
    with torch.inference_mode():
        latent = network.encode(given["x"], given["noise"].argsort(dim=1)[:, :16])
        predicted, mask = network(given["x"], given["noise"], train["mask_ratio"])
        losses = loss_of_images(given["x"], predicted, mask, 8)
    assert golden.difference(latent, answers["train.latent"]) < BOUND
    assert golden.difference(predicted, answers["train.pred"]) < BOUND
    assert golden.difference(mask, answers["train.mask"]) == 0
    # The losses are 66 times as large as their spread, of which the bound is a share: float32 itself is coarser.
    expected_losses = torch.tensor(answers["train.loss_per_image"]["values"])
    torch.testing.assert_close(losses, expected_losses, rtol=1e-6, atol=0)
    assert losses.mean().item() == pytest.approx(train["batch_loss"], rel=1e-6)


@pytest.mark.slow
def test_vit_large_8(tmp_path):
    """The full published size, all by default: heads, blocks and sizes are read off the file."""
    check_maps(*load("mae_vitl8_256", tmp_path, MAEOptions()))
