"""A network's folder: what is written is read, and nothing else is taken for it."""

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from frugalseg.backbones import load_backbone, saved
from frugalseg.backbones.registry import family_in
from frugalseg.support.errors import InputError


def tied_network():
    """Two layers that share their weights, in the memory order that convolutions like."""
    network = nn.Sequential(nn.Conv2d(3, 3, 2), nn.Conv2d(3, 3, 2)).to(memory_format=torch.channels_last)
    network[1].weight = network[0].weight
    return network


@pytest.mark.parametrize("metadata", [saved.TORCH_FORMAT, None])
def test_what_is_written_is_read(metadata, tmp_path):
    network = tied_network()
    saved.save_network(network, tmp_path / "new" / "folder", {"family": "toy", "sizes": [1, 2]}, metadata)
    assert saved.read_config(tmp_path / "new" / "folder", "toy") == {"family": "toy", "sizes": [1, 2]}
    tensors = saved.read_weights(tmp_path / "new" / "folder")
    assert tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in tensors.items())
    with safe_open(tmp_path / "new" / "folder" / "model.safetensors", "pt") as file:
        assert file.metadata() == metadata


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no config\.json in this folder; give a folder of `frugalseg pretrain toy`, or a published file"),
        ("[]", "not of a network that `frugalseg pretrain toy` wrote"),
        ('{"family": "mae"}', "a network of `frugalseg pretrain mae`; give a folder of `frugalseg pretrain toy`"),
        ("{", "not JSON"),
    ],
)
def test_folders_of_something_else(content, message, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        saved.read_config(tmp_path, "toy")


def test_a_training_that_has_saved_nothing_yet(tmp_path):
    (tmp_path / "training").mkdir()
    with pytest.raises(InputError, match="run the same frugalseg pretrain e4e again to go on"):
        saved.read_config(tmp_path, "gan_inversion")


def test_the_family_that_a_folder_names(tmp_path, tiny_ddpm):
    assert family_in(tmp_path) is None
    assert family_in(tiny_ddpm) is None
    for content, family in (([], None), ({"family": 3}, None), ({"family": "mae"}, "mae")):
        (tmp_path / "config.json").write_text(json.dumps(content))
        assert family_in(tmp_path) == family
    load_backbone("colour").save_pretrained(tmp_path / "backbone")
    assert family_in(tmp_path / "backbone") == "colour"
