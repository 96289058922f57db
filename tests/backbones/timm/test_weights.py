"""Weights from files, folders and the Hub's cache: what fits is loaded whole, what does not is named."""

import json
from argparse import Namespace
from collections import OrderedDict

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file

from frugalseg.backbones import load_backbone
from frugalseg.support.errors import InputError

VIT, REGISTERS, RESNET = "test_vit", "test_vit2", "test_resnet"


def published(model, **options):
    """A network of the library with weights of its own, and the file's content that its authors would publish."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)
        network = timm.create_model(model, **options).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.1)
    return network, {key: value.clone() for key, value in network.state_dict().items()}


def same_weights(backbone, network):
    own = backbone.network.state_dict()
    assert own
    return all(torch.equal(value, network.state_dict()[key]) for key, value in own.items())


def random_image(backbone):
    return torch.rand(1, 3, 2 * backbone.stride, 3 * backbone.stride, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("model", [VIT, RESNET, "test_convnext", "vit_tiny_patch16_dinov3_qkvb"])
@pytest.mark.parametrize("classes", [0, 7])
def test_a_file_with_a_head_of_any_size_or_none(model, classes, tmp_path):
    network, tensors = published(model, num_classes=classes)
    save_file(tensors, tmp_path / "weights.safetensors")
    assert same_weights(load_backbone("timm", tmp_path / "weights.safetensors", model=model), network)


def with_projection(tensors):
    """As DINO's training keeps its teacher."""
    return {f"backbone.{key}": value for key, value in tensors.items()} | {"head.mlp.0.weight": torch.ones(2, 2)}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": OrderedDict(tensors), "epoch": 3},
        lambda tensors: {"model": {f"module.{key}": value for key, value in tensors.items()}},
        lambda tensors: {"state_dict": {f"model.backbone.{key}": value for key, value in tensors.items()}},
        lambda tensors: {"student": {}, "teacher": with_projection(tensors), "args": Namespace(arch="vit_tiny")},
    ],
)
def test_torch_files_in_their_usual_wrappings(wrapped, tmp_path):
    network, tensors = published(VIT)
    torch.save(wrapped(tensors), tmp_path / "weights.pth")
    assert same_weights(load_backbone("timm", tmp_path / "weights.pth", model=VIT), network)


def test_the_layout_of_dinov2s_authors(tmp_path):
    network, own = published("vit_tiny_patch16_224", reg_tokens=2, no_embed_class=True, init_values=1.0)
    theirs = {key: value for key, value in own.items() if not key.startswith("head.")}
    class_position = torch.full((1, 1, theirs["pos_embed"].shape[2]), 0.25)
    theirs["register_tokens"], theirs["mask_token"] = theirs.pop("reg_token"), torch.zeros(1, 192)
    theirs["pos_embed"] = torch.cat([class_position, theirs["pos_embed"]], 1)
    theirs["cls_token"] = theirs["cls_token"] - 0.25
    torch.save(theirs, tmp_path / "theirs.pth")
    folder = tmp_path / "folder"
    write_folder(folder, own, "vit_tiny_patch16_224", reg_tokens=2, no_embed_class=True, init_values=1.0)
    (folder / "model.safetensors").unlink()
    (tmp_path / "theirs.pth").rename(folder / "pytorch_model.bin")
    found = load_backbone("timm", folder).network.state_dict()
    assert all(torch.allclose(value, network.state_dict()[key], atol=1e-6) for key, value in found.items())


def test_position_embeddings_of_another_size_are_interpolated(tmp_path):
    _, tensors = published(VIT, img_size=96)
    save_file(tensors, tmp_path / "small.safetensors")
    backbone = load_backbone("timm", tmp_path / "small.safetensors", model=VIT)
    assert backbone.native_size == (160, 160)
    assert backbone.network.pos_embed.shape == (1, 101, 64)


def write_folder(folder, tensors, model, **arguments):
    """A folder as the library saves them for the Hub."""
    folder.mkdir()
    config = {"input_size": [3, 96, 96], "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "unheard_of": 1}
    content = {"architecture": model, "num_classes": 5, "pretrained_cfg": config, "model_args": arguments}
    (folder / "config.json").write_text(json.dumps(content))
    save_file(tensors, folder / "model.safetensors")


def test_a_folder_needs_no_name(tmp_path):
    network, tensors = published(VIT, depth=2, img_size=96)
    write_folder(tmp_path / "folder", tensors, VIT, depth=2, img_size=96, checkpoint_path="/etc/passwd")
    backbone = load_backbone("timm", tmp_path / "folder")
    assert same_weights(backbone, network)
    assert (len(backbone.taps), backbone.native_size) == (2, (96, 96))
    assert backbone.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    again = backbone.reinitialised(0)
    assert again.taps == backbone.taps


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A machine without a network, and the folder of its cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_published_weights_are_those_of_the_cache(offline, tmp_path):
    network, tensors = published(VIT)
    repository = offline / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(tensors, repository / "snapshots" / ("0" * 40) / "model.safetensors")
    backbone = load_backbone("timm", model=VIT)
    assert same_weights(backbone, network)
    backbone.save_pretrained(tmp_path / "saved")
    assert "hf_hub_id" not in (tmp_path / "saved" / "backbone.json").read_text()


def test_a_checkpoint_may_be_a_hub_id(offline):
    network, tensors = published(VIT, img_size=96, num_classes=5)
    repository = offline / "models--somebody--vit-v1.5"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    write_folder(repository / "snapshots" / ("0" * 40), tensors, VIT, img_size=96)
    backbone = load_backbone("timm", "somebody/vit-v1.5")
    assert same_weights(backbone, network) and backbone.native_size == (96, 96)
    with pytest.raises(InputError, match=r"somebody/vit-v1\.5: no such checkpoint file or folder"):
        load_backbone("timm", "./somebody/vit-v1.5")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("hf-hub:nobody", r"hf-hub:nobody: not a network of the Hub; give hf-hub:OWNER/NAME"),
        (VIT, r"the weights of test_vit cannot be fetched \(.*\); give a checkpoint file .* or pretrained=False"),
        ("hf-hub:somebody/something", r"hf-hub:somebody/something: no timm network could be fetched there \(.*\)"),
        ("coatnet_nano_cc_224", r"coatnet_nano_cc_224 has no published weights; give a checkpoint"),
    ],
)
def test_a_hub_that_cannot_be_reached(model, message, offline):
    with pytest.raises(InputError, match=message) as error:
        load_backbone("timm", model=model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("blocks.3.mlp.fc1.bias"), r"lacks blocks\.3\.mlp\.fc1\.bias; is it"),
        (lambda t: t.update(surprise=torch.ones(1)), r"has unknown surprise; is it"),
        (
            lambda t: t.update({"blocks.0.norm1.bias": torch.ones(3)}),
            r"another shape: blocks\.0\.norm1\.bias \(3,\)",
        ),
        (lambda t: t.update({"pos_embed": torch.ones(1)}), r"not a checkpoint of test_vit"),
        (lambda t: [t.pop(key) for key in list(t) if "attn" in key], r"lacks (\S+, ){2}\S+ and 21 more; is it"),
    ],
)
def test_a_checkpoint_of_another_network(change, message, tmp_path):
    _, tensors = published(VIT)
    change(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=message):
        load_backbone("timm", tmp_path / "other.safetensors", model=VIT)


def test_another_architecture_altogether(tmp_path):
    _, tensors = published(RESNET)
    save_file(tensors, tmp_path / "resnet.safetensors")
    with pytest.raises(
        InputError, match=r"lacks (\S+, ){2}\S+ and \d+ more, has unknown (\S+, ){2}\S+ and \d+ more; is it"
    ):
        load_backbone("timm", tmp_path / "resnet.safetensors", model=VIT)


def test_files_and_folders_that_are_none(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"missing\.pth: no such checkpoint file or folder"):
        load_backbone("timm", tmp_path / "missing.pth", model=VIT)
    with pytest.raises(InputError, match="not a folder of a timm model"):
        load_backbone("timm", tmp_path / "empty", model=VIT)
    _, tensors = published(VIT)
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="needs model=NAME"):
        load_backbone("timm", tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "names no architecture"),
        ({"model_type": "dinov2"}, "names no architecture"),
        ({"architecture": "test_vti"}, "nearest: test_vit"),
        ({"architecture": VIT, "pretrained_cfg": {"mean": [0.5]}}, "three positive numbers"),
        ({"architecture": VIT, "pretrained_cfg": 3}, "not a timm model's"),
        ({"architecture": VIT, "pretrained_cfg": {"input_size": [1, 28, 28]}}, "takes images of 1 channels"),
        ({"architecture": VIT, "pretrained_cfg": {}, "model_args": {"dpeth": 2}}, "cannot be built as its config says"),
        ({"architecture": VIT, "pretrained_cfg": {}, "model_args": {"num_heads": 5}}, "cannot be built as its config"),
    ],
)
def test_a_folders_config_is_not_trusted(content, message, tmp_path):
    _, tensors = published(VIT)
    write_folder(tmp_path / "folder", tensors, VIT)
    (tmp_path / "folder" / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        load_backbone("timm", tmp_path / "folder")


class Marker:
    pass


def test_python_objects_in_a_file_are_not_executed(tmp_path):
    torch.save({"state_dict": published(VIT)[1], "extra": Marker()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="never executed"):
        load_backbone("timm", tmp_path / "bad.pth", model=VIT)
