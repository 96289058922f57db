"""Parity with facebookresearch/swav: the published layouts, filled by rule, against that code's own answers."""

import pytest
import torch

from frugalseg.backbones.swav.backbone import MEAN, STD, SwAVBackbone
from frugalseg.backbones.swav.checkpoint import load_network
from frugalseg.backbones.swav.settings import SwAVOptions
from tests.golden import golden

BOUND = 2e-5  # of the expected standard deviation; rounding stays under 5e-6


def load(name, folder):
    """The golden description, the network through our loader, and images in [0, 1] that normalise to the inputs."""
    expected = golden.load(name)
    path = folder / f"{name}.pth"
    tensors = {k: torch.from_numpy(v) for k, v in golden.tensors(expected).items()}
    torch.save({"state_dict": tensors, "epoch": 400, "optimizer": {"state": {}}, "amp": {}}, path)
    network, size = load_network(path)
    assert size == (256, 256)
    normal = torch.from_numpy(golden.inputs(expected)["x"]).double()
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
    return expected, network, (normal * std + mean).float()


def check_maps(expected, network, images, *, inputs=True):
    backbone = SwAVBackbone(network, SwAVOptions(inputs=inputs), (256, 256))
    if inputs:
        assert [tap.name for tap in backbone.taps] == expected["settings"]["features"]
        assert backbone.dim == expected["settings"]["feature_dim"]
    with torch.inference_mode():
        maps = dict(zip([tap.name for tap in backbone.taps], backbone.maps(images), strict=True))
    compared = maps.keys() & expected["expected"].keys()
    for name in sorted(compared):
        assert golden.difference(maps[name], expected["expected"][name]) < BOUND, name
    for tap in backbone.taps:
        assert maps[tap.name].shape == (1, tap.channels, 256 // tap.stride, 256 // tap.stride)
    return compared


def check(name, folder):
    loaded = load(name, folder)
    features = set(loaded[0]["settings"]["features"])
    assert check_maps(*loaded) == features
    assert features | check_maps(*loaded, inputs=False) == loaded[0]["expected"].keys()


def test_rn50(tmp_path):
    check("swav_rn50", tmp_path)


@pytest.mark.slow
def test_rn50w2(tmp_path):
    check("swav_rn50w2", tmp_path)


def test_parity_bites(tmp_path):
    """A wrong epsilon and a stride in the wrong convolution load without complaint, and the comparison sees them."""
    expected, network, images = load("swav_rn50", tmp_path)
    block = network.layer2[0]
    block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    with pytest.raises(AssertionError, match=r"layer2\.2\.in"):
        check_maps(expected, network, images)
    block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    with pytest.raises(AssertionError, match=r"layer1\.0\.in"):
        check_maps(expected, network, images)
