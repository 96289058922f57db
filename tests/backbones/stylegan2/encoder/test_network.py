"""The encoder: which maps codes are made of, which codes are told apart, and images of all sizes."""

import pytest
import torch
from torch.nn import functional

from frugalseg.backbones.stylegan2.encoder.network import Encoder, Unit, merged, random_network
from frugalseg.backbones.stylegan2.encoder.shape import HeadShape, TrunkShape, head_shape, trunk_shape
from frugalseg.support.errors import InputError
from tests.backbones.stylegan2.encoder.helpers import HEADS, TRUNK, encoder


def images(*size, count=2):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def test_sizes_are_read_off_the_tensors():
    for trunk, heads in ((TRUNK, HEADS), (TrunkShape(6, (5, 4, 7, 9), (2, 1, 1, 2)), HeadShape(14, 3, 4))):
        tensors = random_network(Encoder, trunk, heads, seed=0).state_dict()
        assert (trunk_shape(tensors), head_shape(tensors)) == (trunk, heads)


def test_a_unit_is_the_sum_of_two_ways_and_its_second_convolution_has_the_stride():
    torch.manual_seed(0)
    unit, maps = Unit(4, 4, 2).eval(), images(8, 6)[:, :1].expand(-1, 4, -1, -1)
    norm, first, act, second, last, gate = unit.res_layer
    inner = second(act(first(norm(maps))))
    assert first(norm(maps)).shape[2:] == maps.shape[2:]
    weighed = last(inner) * gate.fc2(gate.fc1(last(inner).mean((2, 3), keepdim=True)).relu()).sigmoid()
    torch.testing.assert_close(unit(maps), weighed + functional.max_pool2d(maps, 1, 2))


@pytest.mark.parametrize("first_stride", [1, 2])
def test_the_maps_shrink_by_two_a_stage(first_stride):
    shape = TrunkShape(4, (4, 6, 8, 10), (1, 2, 3, 1), first_stride)
    network = random_network(Encoder, shape, HEADS, seed=0).eval()
    height, width = 3 * shape.stride, 2 * shape.stride
    passes = network.passes(images(height, width))
    found = {name: (height // maps.shape[2], width // maps.shape[3]) for name, maps in passes}
    strides = [first_stride * factor for factor in (1, 2, 2, 4, 4, 4, 8)]
    assert found == {
        **{f"body{unit}": (stride, stride) for unit, stride in enumerate(strides)},
        "p2": (strides[5],) * 2,
        "p1": (strides[2],) * 2,
    }
    assert network.side == 2 * shape.stride


def test_the_pyramid_is_built_from_the_last_unit_of_each_stage():
    network = encoder()
    maps = dict(network.passes(images(32, 32)))
    second = merged(maps["body6"], network.latlayer1(maps["body5"]))
    assert torch.equal(maps["p2"], second)
    assert torch.equal(maps["p1"], merged(second, network.latlayer2(maps["body2"])))
    expected = (maps["body6"], second, maps["p1"])
    assert all(torch.equal(a, b) for a, b in zip(network.pyramid(images(32, 32)), expected, strict=True))


def test_levels_are_enlarged_corner_on_corner():
    deep = torch.tensor([[[[0.0, 3.0]]]])
    assert torch.allclose(merged(deep, torch.zeros(1, 1, 1, 4)), torch.tensor([0.0, 1.0, 2.0, 3.0]))


def test_codes_are_sums_of_the_first_and_what_they_differ_by():
    network, levels = encoder(), encoder().pyramid(images(32, 32))
    codes = network(images(32, 32))
    own = [network.styles[code](levels[(code >= 3) + (code >= 7)]) for code in range(8)]
    assert codes.shape == (2, 8, 5)
    assert torch.equal(codes[:, 0], own[0])
    assert all(torch.equal(codes[:, code], own[0] + own[code]) for code in range(1, 8))


def test_codes_that_are_not_told_apart_equal_the_first():
    network = encoder()
    whole, some, one = (network(images(32, 32), apart) for apart in (None, 4, 1))
    assert torch.equal(some[:, :4], whole[:, :4])
    assert torch.equal(some[:, 4:], whole[:, :1].expand(-1, 4, -1))
    assert torch.equal(one, whole[:, :1].expand(-1, 8, -1))


def test_images_need_not_be_square():
    assert encoder()(images(16, 32)).shape == (2, 8, 5)
    cars = encoder(heads=HeadShape(8, 5, halvings=4))
    assert cars(images(192, 256, count=1)).shape == (1, 8, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("body.1.res_layer.1.weight"), r"no body\.1\.res_layer\.1\.weight"),
        (lambda t: t.update({"body.2.res_layer.1.weight": torch.ones(4, 4, 3, 3)}), "5 stages"),
        (lambda t: t.update({"input_layer.0.weight": torch.ones(4)}), r"input_layer\.0\.weight is of shape \(4,\)"),
        (lambda t: t.update({"input_layer.0.weight": torch.ones(0, 3, 3, 3)}), "without channels"),
    ],
)
def test_tensors_of_other_networks(change, message):
    tensors = encoder().state_dict()
    change(tensors)
    with pytest.raises(InputError, match=message):
        trunk_shape(tensors)


def test_heads_without_anything_in_them():
    tensors = encoder().state_dict()
    with pytest.raises(InputError, match="without numbers"):
        head_shape({**tensors, "styles.0.linear.weight": torch.ones(0, 5)})
    with pytest.raises(InputError, match=r"no styles\.0"):
        head_shape({name: value for name, value in tensors.items() if not name.startswith("styles")})
