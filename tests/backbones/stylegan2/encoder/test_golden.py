"""Parity with the e4e code of Tov et al.: the published layout at 256 pixels, filled by rule, and its own answers."""

import argparse
import re
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from frugalseg.backbones import load_backbone
from frugalseg.backbones.stylegan2.encoder.exact import exact_convolutions
from frugalseg.backbones.stylegan2.encoder.pair import load_inverter
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


def test_codes_and_the_image_drawn_from_them(expected, file, image):
    """Everything else that the golden file lists: heads, codes, the decoder's layers, and its mapping."""
    network = load_inverter(file).eval()
    answers, synthesis = expected["expected"], network.generator.synthesis
    with torch.inference_mode(), exact_convolutions():
        levels = network.encoder.pyramid(image)
        heads = {f"styles.{n}": network.encoder.styles[n](levels[(n >= 3) + (n >= 7)]) for n in (0, 1, 3, 7, 13)}
        codes = network.codes(image)
        found = {**heads, "encoder.w": network.encoder(image), "codes": codes, "image": network.drawn(codes)}
        outputs = [list(parts) for parts in synthesis.passes(codes, synthesis.constant_noise)]
        layers = [values for parts, _ in outputs for values in parts.values()]
        found |= {"decoder.conv1": layers[0], **{f"decoder.convs.{n}": v for n, v in enumerate(layers[1:])}}
        found |= {"decoder.to_rgb1": outputs[0][1]}
        found |= {f"decoder.to_rgbs.{n}": image for n, (_, image) in enumerate(outputs[1:])}
        z = torch.from_numpy(golden.inputs(expected)["z"])
        found["decoder.style"] = network.generator.mapping.latents(z)
    of_trunk = {"input_layer", "c1", "c2", "c3", "p1", "p2", *(f"body.{unit}" for unit in range(24))}
    assert found.keys() | of_trunk == answers.keys()
    for name, values in found.items():
        assert golden.difference(values, answers[name]) < BOUND, name


def test_the_backbone_reads_the_same(expected, file, image):
    backbone = load_backbone("gan_inversion", file)
    assert (backbone.fixed_size, backbone.stride, backbone.dim) == ((256, 256), 64, 5376)
    names = ["decoder.conv1", *(f"decoder.convs.{n}" for n in range(12))]
    for name, values in zip(names, backbone((image + 1) / 2).maps, strict=True):
        assert golden.difference(values, expected["expected"][name]) < BOUND, name


def stride_on_the_first(network):
    for unit in network.encoder.body:
        unit.res_layer[1].stride, unit.res_layer[3].stride = unit.res_layer[3].stride, unit.res_layer[1].stride


def wrong_epsilon(network):
    for module in network.encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3


def no_average(network):
    network.latent_avg.zero_()


def no_gates(network):
    for unit in network.encoder.body:
        unit.res_layer[5].fc2.weight.data.zero_()


def wrong_slope(network):
    for head in network.encoder.styles:
        for layer in head.convs[1::2]:
            layer.negative_slope = 0.2


def wrong_unit(network):
    network.encoder.shape = replace(network.encoder.shape, units=(3, 4, 13, 4))


def corners_apart(network, monkeypatch):
    def enlarged(deeper, finer):
        return functional.interpolate(deeper, size=finer.shape[2:], mode="bilinear", align_corners=False) + finer

    monkeypatch.setattr("frugalseg.backbones.stylegan2.encoder.network.merged", enlarged)


def codes_apart(network, monkeypatch):
    """pSp's way: each head gives a whole code."""
    monkeypatch.setattr(
        type(network.encoder),
        "forward",
        lambda self, images, apart=None: torch.stack(
            [head(self.pyramid(images)[self.heads.level(n)]) for n, head in enumerate(self.styles)], dim=1
        ),
    )


@pytest.mark.parametrize(
    "breaks",
    [stride_on_the_first, wrong_epsilon, no_average, no_gates, wrong_slope, wrong_unit, corners_apart, codes_apart],
)
def test_parity_bites(breaks, expected, file, image, monkeypatch):
    network = load_inverter(file).eval()
    breaks(network, monkeypatch) if breaks in (corners_apart, codes_apart) else breaks(network)
    with torch.inference_mode():
        codes = network.codes(image)
    assert golden.difference(codes, expected["expected"]["codes"]) > 1e-3
