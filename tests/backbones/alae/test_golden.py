"""Parity with the official ALAE code: the published layout, filled by rule, against that code's own answers."""

from functools import cache

import pytest
import torch
from torch.nn import functional

from frugalseg.backbones.alae import decoder, encoder, layers, noise
from frugalseg.backbones.alae.checkpoint import load_network
from frugalseg.backbones.alae.mappings import MappingD, MappingF
from frugalseg.backbones.alae.network import ALAE
from frugalseg.backbones.alae.noise import expected_noise, given_noise, without_noise
from frugalseg.backbones.stylegan2.encoder.exact import exact_convolutions
from tests.backbones.alae.published import models_of, save_published
from tests.golden import golden

BOUND = 2e-5
"""Of the expected standard deviation."""
LARGE = "alae_ffhq_256ish"


@cache
def expected(name="alae_64"):
    return golden.load(name)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("alae") / "model.pth"
    return load_network(save_published(path, models_of(expected()))).eval()


@pytest.fixture(scope="module")
def given():
    return {name: torch.from_numpy(value) for name, value in golden.inputs(expected()).items()}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The network of the published size, and its inputs."""
    path = save_published(tmp_path_factory.mktemp("large") / "model.pth", models_of(expected(LARGE)))
    inputs = golden.inputs(expected(LARGE))
    return load_network(path).eval(), {name: torch.from_numpy(value) for name, value in inputs.items()}


def encoded(network, images):
    """What the encoder and D give for images, by the golden file's names."""
    blocks, network_d = network.discriminator.encode_block, network.mapping_tl
    found = {"encode.from_rgb": network.discriminator.from_rgb[0](images)}
    hooks = []
    for number, block in enumerate(blocks):

        def keep(_, __, out, name=f"encode.block{number}"):
            found.update(zip((name, f"{name}.style_1", f"{name}.style_2"), out, strict=True))

        hooks.append(block.register_forward_hook(keep))
    codes = network.discriminator(images)
    for hook in hooks:
        hook.remove()
    found |= {"encode.w": codes[:, None], "discriminator.mapping_tl": network_d.outputs(codes)[:, None]}
    return {**found, "discriminator.logit": network_d(codes)}


def generated(network, styles, given):
    """Every block's output and the image, with each kind of noise."""
    found = {}
    maps = [given[f"noise.{slot}"] for slot in range(network.shape.slots)]
    kinds = {"generator": expected_noise, "generator_zero_noise": without_noise}
    for name, kind in {**kinds, "generator_given_noise": given_noise(maps)}.items():
        for number, values in enumerate(network.generator.activations(styles, kind)):
            found[f"{name}.block{number}"] = values
        found[f"{name}.image"] = network.generator.to_rgb[-1](values)
    return found


def blended(network, styles, given):
    """Codes, logits and images while the network grows."""
    found = {}
    for name, image, level, blend in (
        ("blend0.5", "image", 4, 0.5),
        ("lod2", "image16", 2, 1.0),
        ("lod2_blend0.25", "image16", 2, 0.25),
    ):
        codes = network.discriminator(given[image], blend)
        found |= {f"{name}.encode.w": codes[:, None], f"{name}.logit": network.mapping_tl(codes)}
        found[f"{name}.image"] = network.generator(styles, level, blend)
    return found


@torch.inference_mode()
def answers(network, given):
    """Everything that the golden files expect of inference, and more."""
    found = encoded(network, given["image"])
    styles = network.styles(found["encode.w"][:, 0])
    found |= generated(network, styles, given)
    codes = network.mapping_fl(given["z"])
    found["mapping_fl.w"] = codes[:, None]
    found["generate.image"] = network.generator(network.styles(codes, 0.7))
    found["generate_no_truncation.image"] = network.generator(network.styles(codes))
    return found | (blended(network, styles, given) if "image16" in given else {})


def differences(found, name="alae_64"):
    """The difference of each output of inference; all that are expected must be there."""
    wanted = {k: v for k, v in expected(name)["expected"].items() if not k.startswith(("train", "adam"))}
    return {key: golden.difference(found[key], value) for key, value in wanted.items()}


def test_every_output_of_the_small_network(network, given):
    found = differences(answers(network, given))
    assert len(found) == 43
    assert max(found.values()) < BOUND, found


# Deliberate mistakes: each gives what stands in for a part of the code, as (owner, name, replacement).


def statistics(flip=False, **options):
    def mean_and_deviation(x):
        parts = [x.mean((2, 3)), x.std((2, 3), **options)]
        return torch.cat(parts[::-1] if flip else parts, 1)

    return encoder, "mean_and_deviation", mean_and_deviation


def style_of_normalized():
    def mean_and_deviation(x):
        return layers.mean_and_deviation(functional.instance_norm(x))

    return encoder, "mean_and_deviation", mean_and_deviation


def mirroring_blur():
    def forward(self, x):
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1), "reflect"), self.weight, groups=len(self.weight))

    return layers.Blur, "forward", forward


def other_styling(base, flip=False):
    def styled(x, style):
        scale, shift = style[:, :, None, None].chunk(2, dim=1)[:: -1 if flip else 1]
        return functional.instance_norm(x, eps=1e-8) * (scale + base) + shift

    return decoder, "styled", styled


def enlarged_smoothly():
    def enlarged(self, x):
        return (
            x
            if self.conv_1 is None
            else self.blur(self.conv_1(functional.interpolate(x, scale_factor=2, mode="bilinear")))
        )

    return decoder.GeneratorBlock, "enlarged", enlarged


def truncated(cutoff, flip=False):
    def styles(self, codes, psi=1.0):
        mean, own = self.dlatent_avg.buff[None], codes[:, None].expand(-1, self.shape.slots, -1)
        moved = torch.lerp(mean, own, 1 - psi if flip else psi)
        return torch.cat([moved[:, :cutoff], own[:, cutoff:]], 1)

    return ALAE, "styles", styles


def without_pixel_norm():
    def forward(self, z):
        for block in self.map_blocks:
            z = block(z)
        return z

    return MappingF, "forward", forward


def verdict_at(offset):
    return MappingD, "forward", lambda self, codes: self.outputs(codes)[:, self.latent + offset]


def one_activation():
    return encoder.Encoder, "entering", lambda self, images, block: self.from_rgb[block](images)


MISTAKES = {
    "one activation before the encoder": one_activation(),
    "unbiased deviation": statistics(),
    "deviation before mean": statistics(flip=True, correction=0),
    "style after the norm": style_of_normalized(),
    "eps of the encoder": (encoder, "EPS", 1e-8),
    "eps of the generator": (decoder, "EPS", 1e-5),
    "mirroring blur": mirroring_blur(),
    "scale without one": other_styling(0),
    "shift before scale": other_styling(1, flip=True),
    "enlarged smoothly": enlarged_smoothly(),
    "every style truncated": truncated(10),
    "truncated the other way": truncated(8, flip=True),
    "no pixel norm": without_pixel_norm(),
    "another output": verdict_at(-1),
    "one strength of noise": (noise, "deviation", lambda place: 1),
    "strength by place": (noise, "deviation", lambda place: (place + 1) ** 0.5),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_parity_bites(mistake, network, given, monkeypatch):
    """Each mistake runs without complaint, and is seen."""
    monkeypatch.setattr(*MISTAKES[mistake])
    with torch.inference_mode():
        found = encoded(network, given["image"])
        found["generator.image"] = network.generator(
            network.styles(found["encode.w"][:, 0]), noise=noise.expected_noise
        )
        codes = network.mapping_fl(given["z"])
        found |= {"mapping_fl.w": codes[:, None], "generate.image": network.generator(network.styles(codes, 0.7))}
    wanted = expected()["expected"]
    assert max(golden.difference(values, wanted[name]) for name, values in found.items()) > 5 * BOUND


@pytest.mark.parametrize(("name", "image", "blend"), [("blend0.5", "image", 0.45), ("lod2_blend0.25", "image16", 1.0)])
def test_blending_bites(name, image, blend, network, given):
    """The code of an image in a growing network is not that of a grown one, nor of another share."""
    with torch.inference_mode():
        codes = network.discriminator(given[image], blend)
    assert golden.difference(codes[:, None], expected()["expected"][f"{name}.encode.w"]) > 5 * BOUND


ROUNDED = {"generator.block5": 3e-5, "generator_zero_noise.block5": 2.3e-5, "generator_zero_noise.block3": 2.1e-5}
"""Limits at 256 pixels where the file is rounded by more than the bound.

It holds the official code's answers in float32. By its own account that code in float64 is 2.9e-5 off in the first of
these, and so is ours: no network comes nearer but by chance.
"""
ROUNDED_TWICE = 4e-5
"""Limit for our own float32. It is below the bound on one processor (1.8e-5), but with the official order of
multiplications and additions it is 3.4e-5 off on the same one: chance decides."""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_every_output_at_256_pixels(dtype, large):
    """The published size, fused layers among them.

    Convolutions leave oneDNN aside: with AVX2 its sums of thousands of products are five times as rough in float32, and
    make up to 8e-5.
    """
    network, inputs = large
    given = {key: value.to(dtype) for key, value in inputs.items()}
    with exact_convolutions():
        found = differences(answers(network.to(dtype), given), LARGE)
    assert len(found) == 43
    for name, difference in found.items():
        limit = ROUNDED.get(name, BOUND) if dtype == torch.float64 else ROUNDED_TWICE
        assert difference < limit, name


@pytest.mark.slow
@pytest.mark.parametrize("mistake", ["eps of the generator", "mirroring blur", "scale without one"])
def test_parity_bites_where_the_file_is_rounded(mistake, large, monkeypatch):
    network, given = large
    network.float()
    with torch.inference_mode():
        styles = network.styles(network.discriminator(given["image"]))
        monkeypatch.setattr(*MISTAKES[mistake])
        found = generated(network, styles, given)
    for name in ROUNDED:
        assert golden.difference(found[name], expected(LARGE)["expected"][name]) > 5 * ROUNDED_TWICE, name
