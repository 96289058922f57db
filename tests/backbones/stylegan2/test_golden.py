"""Parity with stylegan2-ada-pytorch: the published layouts, filled by rule, against its own answers."""

import pytest
import torch
from torch.nn import functional

from frugalseg.backbones.stylegan2.network import modulated, resampling, synthesis
from tests.backbones.stylegan2 import published
from tests.golden import golden

BOUND = 2e-5  # of the expected standard deviation; rounding stays under 1e-5 but where a test says more


def synthesized(generator, given):
    """{name in the golden file: what our generator computes}, without the variants of the clamp."""
    mapping, network = generator.mapping, generator.synthesis
    ws, noise = mapping(given["z"]), network.constant_noise
    found = {"ws": ws, **activations(network, ws)}
    found["image"] = found[f"b{generator.shape.resolution}.img"]
    found["ws.psi0.7"], found["ws.psi0.7.cutoff4"] = mapping(given["z"], 0.7), mapping(given["z"], 0.7, cutoff=4)
    found["image.psi0.7"] = generator(given["z"], noise, 0.7)
    found["image.noise_none"] = network(ws, None)
    mixed = activations(network, given["ws_mixed"])
    last = generator.shape.resolution
    return found | {f"mixed.b{last}.conv1": mixed[f"b{last}.conv1"], "mixed.image": mixed[f"b{last}.img"]}


def activations(network, ws):
    found = {}
    for resolution, (outputs, image) in zip(
        network.resolutions, network.passes(ws, network.constant_noise), strict=True
    ):
        found |= {f"b{resolution}.{name}": values for name, values in outputs.items()}
        found[f"b{resolution}.img"] = image
    return found


def judged(discriminator, given, drawn):
    """The same of our discriminator."""
    images, coarse = (functional.interpolate(given[name], size=64) for name in ("D_image", "D_coarse8"))
    maps = list(discriminator.features(images))
    found = {f"D.b{side}": values for side, values in zip(discriminator.resolutions, maps, strict=True)}
    *_, last = discriminator.features(coarse)
    return found | {
        "D.b4.mbstd": discriminator.b4.with_deviation(maps[-1]),
        "D.logits": discriminator(images),
        "D8.b4.mbstd": discriminator.b4.with_deviation(last)[:, -1:],
        "D8.logits": discriminator(coarse),
        "D.logits.image": discriminator(drawn),
    }


def with_low_clamp(expected, given):
    """The same of networks whose clamp cuts off values."""
    generator = published.generator(expected, clamp=1.5)
    found = activations(generator.synthesis, generator.mapping(given["z"]))
    images = functional.interpolate(given["D_image"], size=64)
    return {
        "clamp1.5.b64.conv1": found["b64.conv1"],
        "clamp1.5.image": found["b64.img"],
        "clamp1.5.D.logits": published.discriminator(expected, clamp=1.5)(images),
    }


def check(found, answers):
    """Compare with what is expected; the names that are too far off."""
    assert found.keys() == answers.keys()
    return {name for name, values in found.items() if golden.difference(values, answers[name]) >= BOUND}


@pytest.fixture(scope="module")
def expected():
    return golden.load("stylegan2_ada_64")


@torch.inference_mode()
def test_every_activation_image_and_logit(expected):
    given = published.inputs(expected)
    found = synthesized(published.generator(expected), given)
    found |= judged(published.discriminator(expected), given, found["image"])
    found |= with_low_clamp(expected, given)
    assert check(found, expected["expected"]) == set()


@torch.inference_mode()
def test_kernels_that_are_not_scaled_for_each_image_give_the_same(expected):
    """As in training; see `modulated_convolution`."""
    given = published.inputs(expected)
    found = synthesized(published.generator(expected).train(), given)
    assert check(found, {name: expected["expected"][name] for name in found}) == set()


def kernel_turned(generator, monkeypatch):
    for name, layer in generator.synthesis.convolutions.items():
        if name.endswith("conv0"):
            layer.weight.data = layer.weight.data.flip((2, 3))


def not_demodulated(generator, monkeypatch):
    def plain(*args, demodulate=True, **rest):
        return modulated.modulated_convolution(*args, demodulate=False, **rest)

    monkeypatch.setattr(synthesis, "modulated_convolution", plain)


def noise_at_the_wrong_layers(generator, monkeypatch):
    layers = generator.synthesis.convolutions
    first, second = layers["b16.conv0"], layers["b16.conv1"]
    first.noise_const, second.noise_const = second.noise_const.clone(), first.noise_const.clone()


def image_shifted(generator, monkeypatch):
    monkeypatch.setattr(synthesis, "upsampled", lambda images, kernel: resampling.upsampled(images, kernel).roll(1, 3))


def mapping_at_another_rate(generator, monkeypatch):
    generator.mapping.fc3.rate *= 1.001


def image_from_another_latent(generator, monkeypatch):
    """The image of a block takes the latent after those of its convolutions, not the last of theirs."""
    for block in generator.synthesis.blocks:
        forward = block.forward

        def early(x, image, ws, noise, forward=forward):
            return forward(x, image, torch.cat([ws[:, :-1], ws[:, -2:-1]], dim=1), noise)

        monkeypatch.setattr(block, "forward", early)


MISTAKES = [
    kernel_turned,
    not_demodulated,
    noise_at_the_wrong_layers,
    image_shifted,
    mapping_at_another_rate,
    image_from_another_latent,
]


@pytest.mark.parametrize("breaks", MISTAKES)
@torch.inference_mode()
def test_parity_bites(breaks, expected, monkeypatch):
    """Mistakes that run without complaint are seen."""
    generator = published.generator(expected)
    breaks(generator, monkeypatch)
    found = synthesized(generator, published.inputs(expected))
    off = check(found, {name: expected["expected"][name] for name in found})
    assert off & {"image", "mixed.image"}


def no_deviation(discriminator):
    discriminator.b4.conv.weight.data[:, -1] = 0


def skip_not_filtered(discriminator):
    discriminator.b32.skip.resample_filter.zero_()[1, 1] = 1


def skip_too_strong(discriminator):
    discriminator.b16.skip.gain = 1


@pytest.mark.parametrize("breaks", [no_deviation, skip_not_filtered, skip_too_strong])
@torch.inference_mode()
def test_parity_of_the_discriminator_bites(breaks, expected):
    given, discriminator = published.inputs(expected), published.discriminator(expected)
    breaks(discriminator)
    logits = discriminator(functional.interpolate(given["D_image"], size=64))
    assert check({"D.logits": logits}, {"D.logits": expected["expected"]["D.logits"]})


@pytest.mark.slow
@torch.inference_mode()
def test_the_published_size():
    """256 x 256 pixels with the channels of FFHQ-256 and others."""
    expected = golden.load("stylegan2_ada_256")
    found = synthesized(published.generator(expected), published.inputs(expected))
    assert check(found, expected["expected"]) == set()
