"""The networks of StyleGAN2 by themselves: what the golden files do not show."""

from copy import deepcopy

import pytest
import torch

from frugalseg.backbones.stylegan2.network.discriminator import Discriminator, deviation
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.initial import random_network
from frugalseg.backbones.stylegan2.network.mapping import AVERAGE_DECAY
from frugalseg.backbones.stylegan2.network.shape import DiscriminatorShape, GeneratorShape

SHAPE = GeneratorShape((12, 8, 6), z_width=8, w_width=10, mapping_layers=3, mapping_width=9)
DISCRIMINATOR = DiscriminatorShape((12, 8, 6))


@pytest.fixture(scope="module")
def generator():
    return random_network(Generator, SHAPE, seed=0).eval().requires_grad_(False)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_sizes(generator):
    assert (SHAPE.resolution, SHAPE.num_ws) == (16, 6)
    assert generator.mapping(normal(2, 8)).shape == (2, 6, 10)
    assert [tuple(noise.shape) for noise in generator.synthesis.constant_noise] == [
        *[(4, 4), (8, 8), (8, 8), (16, 16), (16, 16)]
    ]
    assert list(generator.synthesis.convolutions) == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    assert generator(normal(2, 8), None).shape == (2, 3, 16, 16)


def test_random_weights_follow_the_seed_and_nothing_else():
    before = torch.random.get_rng_state()
    first, same, other = (random_network(Generator, SHAPE, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    drawn = {name for name in first if not torch.equal(first[name], other[name])}
    assert drawn == {name for name in first if name.rsplit(".", 1)[1] in ("weight", "const", "noise_const")}


def test_first_values_neither_vanish_nor_grow(generator):
    wide = random_network(Generator, GeneratorShape((64,) * 4, 64, 64, 8, 64), seed=0).eval()
    ws = wide.mapping(normal(16, 64))
    *_, (outputs, _) = wide.synthesis.passes(ws, None)
    assert all(0.3 < values.square().mean().sqrt() < 2 for values in (ws, outputs["conv1"]))
    assert wide.mapping.fc0.weight.std().item() == pytest.approx(100, rel=0.05)


def test_noise_of_one_image_is_that_image_s_own(generator):
    network = deepcopy(generator)
    for layer in network.synthesis.convolutions.values():
        layer.noise_strength.fill_(0.5)
    ws = network.mapping(normal(2, 8))
    own = [normal(2, 1, side, side, seed=n) for n, side in enumerate((4, 8, 8, 16, 16))]
    both = network.synthesis(ws, own)
    for i in range(2):
        alone = network.synthesis(ws[i : i + 1], [noise[i, 0] for noise in own])
        torch.testing.assert_close(both[i : i + 1], alone)
    assert not torch.allclose(network.synthesis(ws, None), both, atol=0.1)


def test_the_mean_of_the_latents_follows_them(generator):
    mapping = deepcopy(generator.mapping)
    mapping.mean.fill_(1)
    latents = normal(6, 10)
    mapping.update_mean(latents)
    torch.testing.assert_close(mapping.mean, AVERAGE_DECAY + (1 - AVERAGE_DECAY) * latents.mean(dim=0))
    assert torch.equal(mapping(normal(2, 8), truncation=0), mapping.mean.expand(2, 6, 10))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_lower_precision_is_close(dtype, bound, generator):
    low = deepcopy(generator)
    low.synthesis.to(dtype)
    exact, image = generator(normal(4, 8), generator.synthesis.constant_noise), low(normal(4, 8), None)
    assert image.dtype == torch.float32
    assert (exact - image).square().mean().sqrt() < bound * exact.std()
    judge = random_network(Discriminator, DISCRIMINATOR, seed=0)
    logits = judge(exact)
    assert (judge.to(dtype)(exact).float() - logits).abs().max() < 10 * bound * logits.std()


def test_autocast_leaves_mapping_and_images_in_float32(generator):
    with torch.autocast("cpu", torch.bfloat16):
        ws = generator.mapping(normal(4, 8))
        image = generator.synthesis(ws, None)
    assert torch.equal(ws, generator.mapping(normal(4, 8)))
    exact = generator.synthesis(ws, None)
    assert image.dtype == torch.float32 and 0 < (exact - image).square().mean().sqrt() < 0.03 * exact.std()


def test_deviation_within_groups_by_hand():
    x = normal(6, 4, 2, 2)
    found = deviation(x, group=3, count=2)
    assert found.shape == (6, 2, 2, 2)
    for i in range(6):
        for part in range(2):
            others = x[i % 2 :: 2, part * 2 : part * 2 + 2]
            expected = (others.var(dim=0, correction=0) + 1e-8).sqrt().mean()
            torch.testing.assert_close(found[i, part], expected.expand(2, 2))
    assert torch.equal(deviation(x[:5], 4, 1), deviation(x[:5], 1, 1))


@pytest.mark.slow
def test_compiled_it_gives_the_same(generator):
    """As one graph each, without the step to machine code, which takes minutes."""
    torch.compiler.reset()
    z, noise = normal(2, 8), generator.synthesis.constant_noise
    compiled = torch.compile(deepcopy(generator), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(z, noise), generator(z, noise), atol=1e-5, rtol=1e-4)
    judge = random_network(Discriminator, DISCRIMINATOR, seed=0)
    images = generator(z, noise)
    compiled = torch.compile(judge, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), judge(images), atol=1e-5, rtol=1e-4)
    torch.compiler.reset()
