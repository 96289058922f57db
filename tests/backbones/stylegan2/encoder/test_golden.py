"""Parity with the e4e code of Tov et al.: the published layout at 256 pixels, filled by rule, and its own answers."""

import argparse
import re

import pytest
import torch

from frugalseg.backbones import load_backbone
from tests.golden import golden

BOUND = 3e-5  # of the expected standard deviation; rounding stays under 2e-5, the deliberate mistakes are above 1e-3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected():
    return golden.load("e4e_encoder_256")


@pytest.fixture(scope="module")
def file(expected, tmp_path_factory):
    """The file as it is published: encoder and decoder in one dictionary, the mean code and the settings beside it."""
    path = tmp_path_factory.mktemp("golden") / "e4e_lsun.pt"
    tensors = {name: torch.from_numpy(values) for name, values in golden.tensors(expected).items()}
    options = {**expected["settings"]["opts"], "exp_dir": "runs", "lr": 1e-4, "device": None}
    average = tensors.pop("latent_avg")
    torch.save({"state_dict": tensors, "latent_avg": average, "opts": argparse.Namespace(**options)}, path)
    return path


@pytest.fixture(scope="module")
def image(expected):
    return torch.from_numpy(golden.inputs(expected)["image"])


def layer_name(name):
    """``body3`` as the golden file has it."""
    return re.sub(r"^body", "body.", name)


def test_body_and_pyramid(expected, file, image):
    layers = (*(f"body{unit}" for unit in range(24)), "p2", "p1")
    backbone = load_backbone("gan_encoder", file, layers=layers)
    with torch.inference_mode():
        stem = backbone.trunk.input_layer(image)
        maps = dict(zip(layers, backbone.maps((image + 1) / 2), strict=True))
    found = {"input_layer": stem, **{layer_name(name): values for name, values in maps.items()}}
    found |= {"c1": maps["body6"], "c2": maps["body20"], "c3": maps["body23"]}
    for name, values in found.items():
        assert golden.difference(values, expected["expected"][name]) < BOUND, name
