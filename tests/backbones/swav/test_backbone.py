import pytest
import torch

from frugalseg.backbones import load_backbone
from frugalseg.backbones.swav.checkpoint import load_network, save_network
from frugalseg.backbones.swav.network import build_network
from frugalseg.backbones.swav.settings import SwAVOptions
from frugalseg.backbones.swav.shape import ResNetShape
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks

SMALL = ResNetShape(8, (1, 3), "basic", stem_stride=1)
PUBLISHED = ResNetShape(4, (1, 2, 1, 3), "bottleneck", stem_stride=4)


def network(shape=SMALL, seed=0):
    """Random weights, and statistics that a wrong or missing normalisation would show."""
    built = build_network(shape, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in built.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) - 0.5)
        if name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return built.eval()


def backbone(folder, shape=SMALL, **options):
    save_network(network(shape), (16, 24), folder)
    return load_backbone("swav", folder, **options)


def images(count=2, size=(16, 24)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


def names(made):
    return [tap.name for tap in made.taps]


def test_blocks_are_chosen(tmp_path):
    assert names(backbone(tmp_path)) == ["layer1.0.in", "layer2.0.in", "layer2.2.in"]
    assert names(backbone(tmp_path, inputs=False, layers=(2,))) == ["layer2.0.out", "layer2.2.out"]
    assert names(backbone(tmp_path, every=1, layers=(2,))) == ["layer2.0.in", "layer2.1.in", "layer2.2.in"]
    assert backbone(tmp_path, layers=(1,)).stride == 1
    assert backbone(tmp_path).stride == 2


def test_a_block_s_input_is_the_output_of_the_one_before(tmp_path):
    into, out = backbone(tmp_path, every=1)(images()), backbone(tmp_path, every=1, inputs=False)(images())
    for a, b in zip(into.maps[1:], out.maps, strict=False):
        assert torch.equal(a, b)


def test_runs_no_deeper_than_the_deepest_tap(tmp_path):
    made = backbone(tmp_path, layers=(1,))
    expected = made(images()).maps[0].clone()
    for name, parameter in made.network.named_parameters():
        if name.startswith("layer2"):
            parameter.fill_(float("nan"))
    assert torch.equal(made(images()).maps[0], expected)


def test_a_training_size_that_the_stride_does_not_divide(tmp_path):
    save_network(network(), (17, 25), tmp_path / "run")
    made = load_backbone("swav", tmp_path / "run")
    assert (made.stride, made.native_size, made.native_for(None)) == (2, (16, 24), (16, 24))
    assert made.reading(layers=(1,)).native_size == (17, 25)
    made.save_pretrained(tmp_path / "saved")
    assert load_network(tmp_path / "saved")[1] == (17, 25)


class TestSmallNetwork(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        return backbone(tmp_path_factory.mktemp("small"))


class TestPublishedLayout(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("published") / "swav.pth"
        torch.save({"state_dict": published()}, path)
        return load_backbone("swav", path)


class TestOutputsOfEveryBlock(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("outputs")
        shape = ResNetShape(4, (2, 1, 1), "bottleneck", 2)
        return backbone(folder, shape, inputs=False, every=1, layers=(2, 3), precision="bf16")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_close(precision, tmp_path):
    full, low = backbone(tmp_path)(images()), backbone(tmp_path, precision=precision)(images())
    for a, b in zip(full.maps, low.maps, strict=True):
        assert b.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        assert (a - b.float()).square().mean().sqrt() < {"bf16": 0.02, "fp16": 0.003}[precision] * a.std()


def published(shape=PUBLISHED, prefix="module.", head=True):
    tensors = {prefix + k: v for k, v in network(shape).state_dict().items()}
    if head:
        tensors |= {
            prefix + "projection_head.0.weight": torch.ones(7, 3),
            prefix + "projection_head.3.bias": torch.ones(2),
        }
        tensors |= {
            prefix + "prototypes.weight": torch.ones(5, 2),
            prefix + "prototypes.prototypes0.weight": torch.ones(1),
        }
    return tensors


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("container", [False, True])
def test_every_published_layout_loads(prefix, head, container, tmp_path):
    tensors = published(prefix=prefix, head=head)
    torch.save({"state_dict": tensors, "epoch": 3, "amp": {}} if container else tensors, tmp_path / "a.pth")
    loaded, size = load_network(tmp_path / "a.pth")
    assert loaded.shape == PUBLISHED
    assert size == (256, 256)
    expected = network(PUBLISHED)(images(size=(64, 64)))
    assert torch.equal(loaded(images(size=(64, 64))), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("module.conv1.weight"), r"not a ResNet \(no conv1\.weight\)"),
        (lambda t: t.pop("module.layer1.0.conv1.weight"), r"not a ResNet \(no layer1\.0\.conv1\.weight\)"),
        (lambda t: t.pop("module.layer4.2.bn3.bias"), r"lacks layer4\.2\.bn3\.bias"),
        (lambda t: [t.pop(k) for k in list(t) if ".layer2.0." in k], r"lacks layer2\.0\.conv1\.weight,.* and \d+ more"),
        (lambda t: t.update({"module.surprise": torch.ones(1)}), "has unknown surprise"),
        (lambda t: t.update({"module.layer2.0.bn1.bias": torch.ones(7)}), r"another shape: layer2\.0\.bn1\.bias"),
        (lambda t: t.update({"module.conv1.weight": torch.ones(4, 3, 3, 3)}), "give its folder"),
        (lambda t: t.update({"module.conv1.weight": torch.ones(0, 3, 7, 7)}), "width is 0"),
    ],
)
def test_a_checkpoint_of_another_network(change, message, tmp_path):
    tensors = published()
    change(tensors)
    torch.save(tensors, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message) as error:
        load_network(tmp_path / "other.pth")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["input_blocks.0.0.weight", "blocks.0.attn.qkv.weight"])
def test_a_checkpoint_of_another_family(key, tmp_path):
    torch.save({"model": {key: torch.ones(2, 2)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="no SwAV checkpoint"):
        load_network(tmp_path / "other.pth")


def test_paths_without_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="needs a checkpoint"):
        load_network(None)
    with pytest.raises(InputError, match="no such file or folder"):
        load_network(tmp_path / "nothing.pth")
    with pytest.raises(InputError, match=r"no config\.json"):
        load_network(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(InputError, match="frugalseg pretrain swav"):
        load_network(tmp_path)
    (tmp_path / "config.json").write_text('{"family": "swav", "width": 8}')
    with pytest.raises(InputError, match=r"config\.json: image_size is missing"):
        load_network(tmp_path)


def test_a_folder_without_its_weights(tmp_path):
    save_network(network(), (16, 24), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no such checkpoint file"):
        load_network(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": (0, 1)}, "layers 0, 1"),
        ({"layers": (5,)}, "layers 5"),
        ({"layers": ()}, "layers empty"),
        ({"layers": (1, 1)}, "each once"),
        ({"every": 0}, "every is 0"),
        ({"precision": "fp8"}, "fp8"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        SwAVOptions(**options)


def test_layers_that_the_network_lacks(tmp_path):
    with pytest.raises(InputError, match="layers 3: this network has layers 1 to 2"):
        backbone(tmp_path, layers=(1, 3))
