"""The library's networks with random weights: the maps must be those of the plain network, layer by layer."""

from functools import cache

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks, images, same_operations

RESNET, CONVNEXT, VIT, REGISTERS = "test_resnet", "test_convnext", "test_vit", "vit_small_patch14_reg4_dinov2"
SWIN, DINOV3 = "swin_tiny_patch4_window7_224", "vit_tiny_patch16_dinov3_qkvb"
ONE_SIZE = ["test_vit_relpos", "test_maxvit"]


@cache
def load(model, **options):
    return load_backbone("timm", model=model, pretrained=False, **options)


class TestTimm(BackboneChecks):
    @pytest.fixture(
        scope="class", params=[RESNET, CONVNEXT, VIT, REGISTERS, SWIN, DINOV3, "test_efficientnet", *ONE_SIZE]
    )
    def backbone(self, request):
        return load(request.param)

    test_its_operations_are_counted_without_computing = None  # below, for two of them


@pytest.mark.parametrize("model", [RESNET, VIT])
def test_operations_are_counted_without_computing(model):
    same_operations(load(model), some=True)


def plain(backbone, model, **options):
    """The library's own network with the weights of `backbone`, as a user of the library would build it."""
    network = timm.create_model(model, pretrained=False, **options)
    assert not network.load_state_dict(backbone.network.state_dict(), strict=False).unexpected_keys
    return network.eval()


def normalised(batch, model):
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model).to_dict())
    mean, std = (torch.tensor(config[name])[None, :, None, None] for name in ("mean", "std"))
    return (batch - mean) / std


def outputs_of(modules, run):
    """What each of some modules gives while `run` runs."""
    found = []
    hooks = [module.register_forward_hook(lambda _, __, output: found.append(output)) for module in modules]
    with torch.inference_mode():
        run()
    for hook in hooks:
        hook.remove()
    return found


def close(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-4 * b.std()


def test_resnet_by_hand():
    backbone = load(RESNET)
    network, batch = plain(backbone, RESNET), images(backbone)
    with torch.inference_mode():
        x = network.maxpool(network.act1(network.bn1(network.conv1(normalised(batch, RESNET)))))
        expected = [x := layer(x) for layer in (network.layer1, network.layer2, network.layer3, network.layer4)]
    close(backbone(batch).maps, expected)


def test_convnext_by_hand():
    backbone = load(CONVNEXT)
    network, batch = plain(backbone, CONVNEXT), images(backbone)
    with torch.inference_mode():
        x = network.stem(normalised(batch, CONVNEXT))
        expected = [x := stage(x) for stage in network.stages]
    close(backbone(batch).maps, expected)


@pytest.mark.parametrize(("model", "others"), [(VIT, 1), (REGISTERS, 5), (DINOV3, 5)])
def test_transformer_blocks_without_class_and_register_tokens(model, others):
    backbone = load(model)
    network, batch = plain(backbone, model, dynamic_img_size=True), images(backbone)
    assert network.num_prefix_tokens == others
    tokens = outputs_of(network.blocks, lambda: network(normalised(batch, model)))
    close(backbone(batch).maps, [t[:, others:].transpose(1, 2).unflatten(2, (4, 6)) for t in tokens])


def test_swin_at_its_own_size_is_the_plain_network():
    backbone = load(SWIN)
    network, batch = plain(backbone, SWIN), images(backbone, 7, 7, count=1)
    levels = outputs_of(network.layers, lambda: network(normalised(batch, SWIN)))
    close(backbone(batch).maps, [values.permute(0, 3, 1, 2) for values in levels])


@pytest.mark.parametrize("model", ONE_SIZE)
def test_a_network_of_one_size_says_so(model):
    backbone = load(model)
    network, batch = plain(backbone, model), images(backbone)
    assert batch.shape[2:] == backbone.fixed_size == backbone.design.input_size
    with torch.no_grad():
        maps = network.forward_intermediates(
            normalised(batch, model), indices=list(backbone.layers), intermediates_only=True
        )
    close(backbone(batch).maps, maps)


def test_a_network_whose_only_size_is_no_multiple_of_its_stride():
    """Its maps of 224x224 pixels have 14, 7 and 4 values a side, its strides are 16, 32 and 64."""
    backbone = load("levit_128s")
    assert (backbone.fixed_size, backbone.only_size, backbone.stride) == ((256, 256), (224, 224), 64)
    network, own = plain(backbone, "levit_128s"), torch.nn.functional.interpolate
    batch = images(backbone, count=1)
    seen = own(normalised(batch, "levit_128s"), (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = network.forward_intermediates(seen, indices=list(backbone.layers), intermediates_only=True)
    sides = [256 // tap.stride for tap in backbone.taps]
    close(backbone(batch).maps, [own(m, s, mode="bilinear", antialias=True) for m, s in zip(maps, sides, strict=True)])


@pytest.mark.parametrize("model", [VIT, RESNET, SWIN])
def test_networks_of_any_size(model):
    assert load(model).fixed_size is None


@pytest.mark.parametrize(("model", "chosen"), [(VIT, (1, 3)), (RESNET, (0, 2)), (CONVNEXT, (1,))])
def test_chosen_layers_are_those_of_the_whole_and_nothing_behind_them_is_kept(model, chosen):
    whole, part = load(model, layers=range_of(model)), load(model, layers=chosen)
    batch = images(whole, 4, 6)
    close(part(batch).maps, [whole(batch).maps[layer] for layer in chosen])
    assert [tap.name for tap in part.taps] == [f"layer{layer}" for layer in chosen]
    kept, all_of_it = (sum(p.numel() for p in network.parameters()) for network in (part, whole))
    assert kept < 0.8 * all_of_it


def range_of(model):
    return tuple(range(len(load(model).network.feature_info)))


def test_layers_come_in_their_own_order_and_by_default_without_the_stem():
    assert load(VIT, layers=(3, 1)).layers == (1, 3)
    assert load(RESNET).layers == (1, 2, 3, 4)
    assert load("gmlp_ti16_224").layers == tuple(range(18, 30))
    assert load("dla46_c", layers=(0,)).taps[0].stride == 1


def test_size_and_colours_are_the_models_own():
    backbone = load(REGISTERS)
    assert (backbone.native_size, backbone.stride) == ((518, 518), 14)
    assert load(DINOV3).native_size == (256, 256)
    assert load("vit_tiny_patch16_224").mean.flatten().tolist() == [0.5, 0.5, 0.5]


@given(rows=st.integers(2, 7), columns=st.integers(2, 7))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("model", [VIT, RESNET, CONVNEXT])
def test_any_multiple_of_the_stride(model, rows, columns):
    backbone = load(model)
    batch = images(backbone, rows, columns, count=1)
    for tap, values in zip(backbone.taps, backbone(batch).maps, strict=True):
        assert values.shape[2:] == (batch.shape[2] // tap.stride, batch.shape[3] // tap.stride)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("model", [VIT, RESNET, DINOV3, "test_vit_relpos"])
def test_lower_precision_is_close_and_survives_saving(precision, model, tmp_path):
    exact, low = load(model), load(model, precision=precision)
    batch = images(exact)
    low.save_pretrained(tmp_path)
    again = load_saved_backbone(tmp_path)(batch).maps
    for a, b, c in zip(exact(batch).maps, low(batch).maps, again, strict=True):
        assert b.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        assert (a - b.float()).square().mean().sqrt() < 0.02 * a.std()
        assert torch.equal(b, c)


def test_random_weights_are_always_the_same():
    first, second = (load.__wrapped__(VIT)(torch.ones(1, 3, 32, 32)).maps[-1] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "vit_smal_patch16_224"}, r"nearest: vit_small_patch16_224"),
        ({"model": "dinov2"}, r"nearest: .*patch14_dinov2"),
        ({"model": "xyzzy"}, r"no timm network 'xyzzy'; an example is"),
        ({"model": "resnet18.imagenet"}, r"no weights 'resnet18\.imagenet' in timm; there are resnet18\.a1_in1k"),
        ({"model": "facebook/dinov2"}, r"networks of the Hub are hf-hub:OWNER/NAME"),
        ({"model": "test_vit", "layers": (2, 6)}, r"layers 6: this network has layers 0 to 5"),
        ({"model": "test_vit", "layers": (1, 1)}, r"layers 1, 1: give one or more, from 0, each once"),
        ({"model": "test_vit", "layers": (-1,)}, r"layers is -1; give a whole number from 0"),
        ({"model": "test_vit", "precision": "fp8"}, r"precision: should be 'fp32', 'bf16' or 'fp16', not 'fp8'"),
        ({"model": "inception_v3"}, r"layer 1 of this network gives a map of 71x71 for 299x299 pixels, not 75x75"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(InputError, match=message):
        load_backbone("timm", pretrained=False, **options)
