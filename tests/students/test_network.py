import pytest
import torch

from frugalseg.students.network import NetworkSpec, chosen_depth, new_network, require_size
from frugalseg.support.errors import InputError

TINY = NetworkSpec("unet", "resnet18", 3, 5)


def test_a_seed_is_a_network_and_global_randomness_is_left_alone():
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first, again, other = (new_network(TINY, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["body.encoder.conv1.weight"], other["body.encoder.conv1.weight"])


def test_the_depth_gives_stride_and_decoder():
    network = new_network(TINY, 0).eval()
    assert network.stride == 8
    assert network(torch.rand(2, 3, 16, 24)).shape == (2, 5, 16, 24)


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2", "tu-resnet18"])
def test_levels_that_a_shallow_network_does_not_use_are_left_out(encoder):
    import segmentation_models_pytorch as smp

    network = new_network(NetworkSpec("unet", encoder, 3, 5), 0).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole = smp.Unet(encoder, encoder_weights=None, encoder_depth=3, decoder_channels=(64, 32, 16), classes=5)
    values = torch.rand(1, 3, 24, 32)
    assert torch.equal(network.body(values), whole.eval()(values))
    sizes = [sum(weights.numel() for weights in each.parameters()) for each in (network, whole)]
    assert sizes[0] < 1_000_000 and sizes[0] <= sizes[1]
    assert all(weights.grad is None for weights in network.parameters())


def test_images_are_normalised_as_those_of_imagenet():
    network = new_network(TINY, 0).eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    values = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(network(values * std + mean), network.body(values), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "depth"), [((48, 48), 3), ((96, 64), 3), ((128, 192), 4), ((256, 256), 5)])
def test_small_images_get_shallow_unets(size, depth):
    assert chosen_depth("unet", size) == depth
    assert chosen_depth("deeplabv3", size) is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (NetworkSpec("unett", "resnet18", None, 5), "no architecture 'unett'.*did you mean unet"),
        (NetworkSpec("transformer9000", "resnet18", None, 5), "known: .*deeplabv3"),
        (NetworkSpec("unet", "resnet19", None, 5), "no encoder 'resnet19'.*resnet18"),
        (NetworkSpec("unet", "tu-resnet19", None, 5), "no encoder 'tu-resnet19'.*tu-resnet18"),
        (NetworkSpec("unet", "qqq", None, 5), "known: resnet18"),
        (NetworkSpec("linknet", "mit_b0", None, 5), "linknet with encoder mit_b0 is not possible"),
        (NetworkSpec("fpn", "resnet18", 3, 5), "fpn has no choice of depth"),
        (NetworkSpec("unet", "tu-swin_tiny_patch4_window7_224", 3, 5), "window7_224 is not possible .Input height"),
    ],
)
def test_networks_that_are_none(spec, said):
    with pytest.raises(InputError, match=said) as caught:
        new_network(spec, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "fitting"),
    [
        (NetworkSpec("dpt", "tu-vit_tiny_patch16_224", None, 5), (224, 224)),
        (NetworkSpec("unet", "tu-maxvit_pico_rw_256", 3, 5), (64, 64)),
        (NetworkSpec("linknet", "tu-maxvit_pico_rw_256", None, 5), (256, 256)),
    ],
)
def test_encoders_of_fixed_sizes(spec, fitting):
    network = new_network(spec, 0)
    with pytest.raises(InputError, match="cannot segment images of 32x32") as caught:
        require_size(network, (32, 32))
    assert "\n" not in str(caught.value)
    require_size(network, fitting)


def test_images_too_small_for_a_network():
    with pytest.raises(InputError, match="pan with encoder mobilenet_v2 cannot segment images of 16x16"):
        require_size(new_network(NetworkSpec("pan", "mobilenet_v2", None, 5), 0), (16, 16))
    require_size(new_network(TINY, 0), (16, 16))
