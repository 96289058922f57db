"""The MAE backbone: what it reads, what it refuses."""

import json

import pytest
import torch
from torch.nn import functional

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.mae.backbone import MAEBackbone
from frugalseg.backbones.mae.checkpoint import save_network
from frugalseg.backbones.mae.network import Encoder, EncoderShape, random_network
from frugalseg.backbones.mae.settings import MAEOptions
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks
from tests.golden import golden

SHAPE = EncoderShape(image_size=(12, 8), patch=2, width=64, depth=3, heads=2)


def encoder(shape=SHAPE, seed=0):
    return random_network(Encoder, shape, seed=seed)


@pytest.fixture
def folder(tmp_path):
    save_network(encoder(), tmp_path / "folder")
    return tmp_path / "folder"


@pytest.fixture
def published():
    """The tensors of a published file of the smallest size, decoder included."""
    return {k: torch.from_numpy(v) for k, v in golden.tensors(golden.load("mae_vit_tiny")).items()}


def images(count=2, size=(12, 8)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


class TestMAE(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("mae")
        save_network(encoder(), folder)
        return load_backbone("mae", folder, blocks=(2, 0))


def test_the_last_twelve_blocks_by_default(tmp_path):
    save_network(encoder(EncoderShape((4, 4), 2, 64, 14, 1)), tmp_path)
    assert [tap.name for tap in load_backbone("mae", tmp_path).taps] == [f"block{b}" for b in range(2, 14)]


def test_inputs_are_the_outputs_of_the_blocks_before(folder):
    outputs = load_backbone("mae", folder, blocks=(0, 1))(images()).maps
    backbone = load_backbone("mae", folder, blocks=(2, 1), inputs=True)
    assert [tap.name for tap in backbone.taps] == ["in2", "in1"]
    assert all(torch.equal(a, b) for a, b in zip(outputs[::-1], backbone(images()).maps, strict=True))
    first = load_backbone("mae", folder, blocks=(0,), inputs=True)(images()).maps[0]
    assert first.shape == (2, 64, 6, 4) and not torch.equal(first, outputs[0])


def test_a_place_in_the_map_is_the_place_in_the_image(folder):
    """Before any block, a token depends on its own patch alone."""
    backbone = load_backbone("mae", folder, blocks=(0,), inputs=True)
    changed = images()
    changed[:, :, 4:6, 2:4] = 0
    different = (backbone(images()).maps[0] != backbone(changed).maps[0]).any(dim=1)
    assert different.nonzero().tolist() == [[0, 2, 1], [1, 2, 1]]


@pytest.mark.parametrize(("inputs", "deepest"), [(False, 1), (True, 2)])
def test_runs_no_deeper_than_the_deepest_tap(inputs, deepest, folder):
    backbone = load_backbone("mae", folder, blocks=(deepest,), inputs=inputs)
    expected = backbone(images()).maps[0].clone()
    for parameter in [*backbone.encoder.blocks[2].parameters(), *backbone.encoder.norm.parameters()]:
        parameter.fill_(float("nan"))
    assert torch.equal(backbone(images()).maps[0], expected)


def test_positions_of_another_size_are_interpolated(folder):
    backbone = load_backbone("mae", folder)
    own = backbone.encoder.pos_embed
    assert torch.equal(backbone.positions((6, 4)), own)
    larger = backbone.positions((9, 8))
    grid = own[:, 1:].unflatten(1, (6, 4)).permute(0, 3, 1, 2)
    expected = functional.interpolate(grid, size=(9, 8), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    assert torch.equal(larger[:, :1], own[:, :1])
    torch.testing.assert_close(larger[:, 1:], expected)
    assert backbone.positions((9, 8)) is larger
    assert torch.equal(backbone.positions((6, 4)), own)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_close_and_is_saved(precision, folder, tmp_path):
    exact = load_backbone("mae", folder)(images()).maps
    backbone = load_backbone("mae", folder, precision=precision)
    low = backbone(images()).maps
    for a, b in zip(exact, low, strict=True):
        assert (a - b.float()).square().mean().sqrt() < {"bf16": 0.02, "fp16": 0.003}[precision] * a.std()
    backbone.save_pretrained(tmp_path / "saved")
    again = load_saved_backbone(tmp_path / "saved")(images()).maps
    assert all(torch.equal(a, b) for a, b in zip(low, again, strict=True))


def test_published_sizes_are_read_off_the_tensors(published, tmp_path):
    torch.save({"model": published}, tmp_path / "both.pth")
    torch.save(
        {"model": {k: v for k, v in published.items() if "deco" not in k and k != "mask_token"}}, tmp_path / "e.pth"
    )
    for name in ("both.pth", "e.pth"):
        backbone = load_backbone("mae", tmp_path / name, heads=4)
        assert backbone.encoder.shape == EncoderShape((64, 64), 8, 64, 4, 4)
        assert (backbone.stride, backbone.native_size, len(backbone.taps)) == (8, (64, 64), 4)


def test_heads_are_64_channels_wide_but_in_the_largest_network(tmp_path):
    for width, heads in ((128, 2), (1280, 16)):
        network = encoder(EncoderShape((4, 4), 2, width, 1, heads))
        torch.save({"model": network.state_dict()}, tmp_path / "w.pth")
        assert load_backbone("mae", tmp_path / "w.pth").encoder.shape.heads == heads


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("pos_embed"), r"not the vision transformer of a masked autoencoder \(no pos_embed\)"),
        (lambda t: t.pop("blocks.2.mlp.fc1.bias"), r"lacks blocks\.2\.mlp\.fc1\.bias"),
        (lambda t: t.update({"head.weight": torch.ones(2, 64)}), r"has unknown head\.weight"),
        (lambda t: t.update({"norm.weight": torch.ones(7)}), r"another shape: norm\.weight"),
        (lambda t: t.update({"blocks.999999999.norm1.bias": torch.ones(64)}), r"lacks blocks\.4"),
        (lambda t: t.update(pos_embed=torch.ones(1, 63, 64)), "no square image fits its 62 patches"),
        (lambda t: t.update({"patch_embed.proj.weight": torch.ones(64, 1, 8, 8)}), "not those of images"),
        (lambda t: t.update({"patch_embed.proj.weight": torch.ones(64)}), "not those of images"),
    ],
)
def test_a_checkpoint_of_another_network(change, message, published, tmp_path):
    change(published)
    torch.save({"model": published}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message):
        load_backbone("mae", tmp_path / "other.pth", heads=4)


def test_the_first_missing_keys_are_listed(published, tmp_path):
    kept = {k: v for k, v in published.items() if not k.startswith("blocks.") or "qkv" in k}
    torch.save({"model": kept}, tmp_path / "cut.pth")
    with pytest.raises(InputError, match="and 37 more") as error:
        load_backbone("mae", tmp_path / "cut.pth", heads=4)
    assert str(error.value).count("blocks.") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": (0, 3, 7)}, "blocks 3, 7: this network has blocks 0 to 2"),
        ({"blocks": ()}, "blocks empty: give one or more"),
        ({"blocks": (1, 1)}, "each once"),
        ({"blocks": (-1,)}, "from 0"),
        ({"heads": 0}, "heads is 0"),
        ({"heads": 5}, "64 channels cannot be split over 5 attention heads"),
        ({"precision": "fp8"}, "precision: should be 'fp32', 'bf16' or 'fp16', not 'fp8'"),
        ({"layers": (1,)}, "no option layers"),
    ],
)
def test_options_that_do_not_fit(options, message, folder):
    with pytest.raises(InputError, match=message):
        load_backbone("mae", folder, **options)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "no config.json"),
        ({"family": "swav"}, "a network of `frugalseg pretrain swav`; give a folder of `frugalseg pretrain mae`"),
        ({"family": "mae", "heads": 2}, "must say image_size"),
        ({"family": "mae", "image_size": [12, 8], "heads": "2"}, "must say image_size"),
        ({"family": "mae", "image_size": [12, True], "heads": 2}, "must say image_size"),
        ({"family": "mae", "image_size": [24, 8], "heads": 2}, "image_size 24x8 in config.json does not fit its 24"),
        ({"family": "mae", "image_size": [32, 3], "heads": 2}, "does not fit"),
        ({"family": "mae", "image_size": [16, 6], "heads": 3}, "64 channels cannot be split over 3"),
    ],
)
def test_folders_that_are_none(config, message, folder):
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        load_backbone("mae", folder)


def test_nothing_to_load(tmp_path):
    with pytest.raises(InputError, match="needs a checkpoint"):
        load_backbone("mae")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_backbone("mae", tmp_path / "none.pth")


class Shared(MAEBackbone):
    """Another thread asks for the positions of another grid in the moment after those of one have been kept."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "_positions" and value and (1, 1) not in [grid for grid, *_ in value]:
            self.positions((1, 1))


def test_threads_that_see_images_of_other_sizes_do_not_disturb_each_other():
    found = Shared(encoder(), MAEOptions(blocks=(0,))).positions((6, 4))
    assert torch.equal(found, encoder().positions((6, 4)))
