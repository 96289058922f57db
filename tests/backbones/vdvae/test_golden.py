"""Parity with the official VDVAE: what its code answers for reproducible weights, for features, images and losses."""

import math
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from frugalseg.backbones.vdvae import blocks, decoder, logistic
from frugalseg.backbones.vdvae.checkpoint import load_network
from frugalseg.backbones.vdvae.decoder import posterior_mean
from frugalseg.backbones.vdvae.gaussian import divergence
from frugalseg.backbones.vdvae.logistic import Mixture
from frugalseg.backbones.vdvae.network import VDVAE, drawn_from_prior
from frugalseg.backbones.vdvae.published import PUBLISHED
from frugalseg.backbones.vdvae.settings import VDVAEOptions
from tests.golden import golden

BOUND = 2e-5
ROUNDED = {"decoder.block5.kl": 2.1e-5, "sampled.grad.decoder.out_net.out_conv.weight": 3e-5}
"""Limits where the files' float32 is rounded by as much as the bound. The divergence of the large file: by its own
account the official code in float64 is 2e-5 off there, and ours is 2.05e-5; numbers near 1 are added, and about 0.01 is
left of them. The gradient of the tiny file: ours in float64 is 2.6e-5 off, in float32 1.9e-5 to 2.7e-5, by CPU."""


@dataclass
class Official:
    """A golden file: what went in, what came out, and our network with its weights."""

    described: dict[str, Any]
    network: VDVAE
    pixels: torch.Tensor
    """(B, 3, H, W) uint8."""

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(values) for name, values in golden.inputs(self.described).items()}

    def noise(self) -> list[torch.Tensor]:
        given = self.inputs
        return [given[f"eps.{number}"] for number in range(len(self.network.shape.latents))]

    def worst(self, found: dict[str, torch.Tensor]) -> tuple[float, str]:
        """The largest difference, and where it is."""
        expected = self.described["expected"]
        return max((golden.difference(value.detach(), expected[name]), name) for name, value in found.items())


def official(name: str, folder: Any, prefix: str = "") -> Official:
    described = golden.load(name)
    tensors = {prefix + key: torch.from_numpy(value) for key, value in golden.tensors(described).items()}
    torch.save(tensors, folder / "model.th")
    hps = described["settings"]["hps"]
    own = {"trained_on": "ffhq256", "encoder_layout": hps["enc_blocks"], "decoder_layout": hps["dec_blocks"]}
    network = load_network(folder / "model.th", VDVAEOptions(**own) if name == "vdvae_tiny" else None)
    image = golden.inputs(described)["image"]
    pixels = np.clip(np.rint(127.5 + image), 0, 255).astype(np.uint8)
    return Official(described, network, torch.from_numpy(pixels).permute(0, 3, 1, 2))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Official:
    return official("vdvae_tiny", tmp_path_factory.mktemp("tiny"), prefix="module.")


def deterministic(this: Official) -> dict[str, torch.Tensor]:
    """Everything that the network answers to images through its posterior means, by the names of the golden files."""
    network = this.network
    images, targets = this.pixels.float() / 255, network.pixels.targets(this.pixels)
    inputs = network.pixels.inputs(images)
    found = {"preprocess.input": inputs.permute(0, 2, 3, 1), "preprocess.target": targets.permute(0, 2, 3, 1)}
    with torch.inference_mode():
        found["encoder.in_conv"] = network.encoder.in_conv(inputs)
        activations = network.encoder(inputs)
        found |= {f"encoder.{rows}": values for rows, values in activations.items()}
        rate = torch.zeros(len(inputs))
        for step in network.decoder.walk(len(inputs), activations, posterior_mean):
            name = f"decoder.block{step.number}"
            kl = divergence(step.posterior, step.prior)
            found |= {name: step.state, f"{name}.kl": kl, f"{name}.z": step.latent}
            rate += kl.sum(dim=(1, 2, 3))
        rate /= math.prod(inputs.shape[1:])
        found["decoder.px_z"] = network.decoder.final(step.state)
        parameters = network.out(step)
        mixture = Mixture.of(parameters)
        found["decoder.dmol"] = parameters.permute(0, 2, 3, 1)
        found["decoder.mode_image"] = mixture.most_likely().permute(0, 2, 3, 1)
        distortion = mixture.loss(targets, network.pixels)
        found["losses"] = torch.stack([(distortion + rate).mean(), distortion.mean(), rate.mean()])
        found["per_image"] = torch.stack([distortion, rate, mixture.loss(*eight_bits(this))])
    return found


def eight_bits(this: Official) -> tuple[torch.Tensor, Any]:
    """Targets of all eight bits, and what says so."""
    pixels = replace(this.network.pixels, bits=8)
    return pixels.targets(this.pixels), pixels


def wide_parameters(this: Official) -> dict[str, torch.Tensor]:
    mixture = Mixture.of(this.inputs["dmol_params"].permute(0, 3, 1, 2))
    five = mixture.loss(this.network.pixels.targets(this.pixels), this.network.pixels)
    return {"dmol_params.nll": torch.stack([mixture.loss(*eight_bits(this)), five])}


def unconditional(this: Official) -> dict[str, torch.Tensor]:
    """Decoding without an image, and with latents of the image for some of the blocks."""
    network, count = this.network, len(this.pixels)
    activations = network.encoder(network.pixels.inputs(this.pixels.float() / 255))
    means = [step.latent for step in network.decoder.walk(count, activations, posterior_mean)]

    def given(upto: int) -> Any:
        return lambda number, prior, _: means[number] if number < upto else prior.mean

    chosen = {
        "uncond.px_z": drawn_from_prior(this.noise(), 0.7),
        "uncond_mean.px_z": given(0),
        "manual.px_z": given(4),
        "manual_all.px_z": given(len(means)),
    }
    found = {}
    with torch.inference_mode():
        for name, latent in chosen.items():
            *_, last = network.decoder.walk(count, None, latent)
            found[name] = network.decoder.final(last.state)
    return found


def training(this: Official, checkpointing: bool = False) -> dict[str, torch.Tensor]:
    """Losses with sampled latents, and their gradients."""
    network = this.network.requires_grad_(True)
    network.zero_grad()
    inputs = network.pixels.inputs(this.pixels.float() / 255)
    parameters, rate = network(inputs, this.noise(), checkpointing)
    distortion = Mixture.of(parameters).loss(network.pixels.targets(this.pixels), network.pixels)
    loss = (distortion + rate).mean()
    loss.backward()
    gradients = {name: value.grad for name, value in network.named_parameters()}
    parts = [
        [g for name, g in gradients.items() if name.startswith(part)] for part in ("encoder", "decoder", ("enc", "dec"))
    ]
    norms = [torch.stack([g.norm() for g in part]).norm() for part in parts]
    found = {
        "sampled.losses": torch.stack([loss, distortion.mean(), rate.mean()]),
        "sampled.grad_norms": torch.stack(norms),
    }
    return found | {f"sampled.grad.{name}": g for name, g in gradients.items()}


def everything(this: Official) -> dict[str, torch.Tensor]:
    expected = this.described["expected"]
    found = deterministic(this)
    if "uncond.px_z" in expected:
        found |= wide_parameters(this) | unconditional(this) | training(this)
    return {name: values for name, values in found.items() if name in expected}


def test_tiny(tiny: Official) -> None:
    """Every answer of the golden file, from a file that was saved from several processes."""
    found = everything(tiny)
    assert found.keys() == tiny.described["expected"].keys()
    for name, values in found.items():
        if not name.endswith(".kl"):
            limit, expected = ROUNDED.get(name, BOUND), tiny.described["expected"][name]
            assert golden.difference(values.detach(), expected) < limit, name
    check_divergences(tiny, count=5)


def check_divergences(this: Official, count: int) -> None:
    """In double precision they are those of the file, and the prior's from the posterior are not."""
    divergences = in_double_precision(this)
    assert len(divergences) == count
    for name, (values, swapped) in divergences.items():
        limit, expected = ROUNDED.get(name, BOUND), this.described["expected"][name]
        assert golden.difference(values, expected) < limit, name
        assert golden.difference(swapped, expected) > 50 * limit, name


def in_double_precision(this: Official) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The divergences of the latents: small differences, whose rounding differs from processor to processor.

    Behind each is that of the prior from the posterior, as a mistake would have it.
    """
    network = deepcopy(this.network).double()
    inputs = network.pixels.inputs(this.pixels.double() / 255)
    found = {}
    with torch.inference_mode():
        for step in network.decoder.walk(len(inputs), network.encoder(inputs), posterior_mean):
            name = f"decoder.block{step.number}.kl"
            if name in this.described["expected"]:
                found[name] = divergence(step.posterior, step.prior), divergence(step.prior, step.posterior)
    return found


@pytest.mark.slow
def test_ffhq_256(tmp_path: Any) -> None:
    """The full published size; places of blocks and pixels are those of the published network."""
    this = official("vdvae_ffhq256", tmp_path)
    assert this.network.pixels.bits == 5 and this.network.shape.image_size == (256, 256)
    found = everything(this)
    assert found.keys() == this.described["expected"].keys()
    difference, name = this.worst({name: values for name, values in found.items() if not name.endswith(".kl")})
    assert difference < BOUND, name
    check_divergences(this, count=8)


def tanh_gelu(this: Official, patch: pytest.MonkeyPatch) -> None:
    gelu = functional.gelu
    patch.setattr(blocks.functional, "gelu", lambda x: gelu(x, approximate="tanh"))


def unpadded_pool(this: Official, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(blocks.functional, "avg_pool2d", lambda x, by: x[..., ::by, ::by])


def no_learned_start(this: Official, patch: pytest.MonkeyPatch) -> None:
    for start in this.network.decoder.bias_xs:
        patch.setattr(start, "data", torch.zeros_like(start))


def bilinear(this: Official, patch: pytest.MonkeyPatch) -> None:
    enlarge = functional.interpolate
    patch.setattr(
        decoder.functional,
        "interpolate",
        lambda x, scale_factor: enlarge(x, scale_factor=scale_factor, mode="bilinear"),
    )


def last_channels_of_the_lower_state(this: Official, patch: pytest.MonkeyPatch) -> None:
    enlarge = functional.interpolate
    patch.setattr(
        decoder.functional, "interpolate", lambda x, scale_factor: enlarge(x.flip(1), scale_factor=scale_factor)
    )


def no_final_gain(this: Official, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(this.network.decoder, "final", lambda state: state)


def scales_unclamped(this: Official, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(logistic, "LEAST_LOG_SCALE", -1e9)


def density_never_used(this: Official, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(logistic, "LEAST_MASS", -1.0)


def open_edges(this: Official, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(logistic, "EDGE", 2.0)


def pixels_of_cifar(this: Official, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(this.network, "pixels", PUBLISHED["cifar10"].pixels)


def shifted_bits(this: Official, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(this.network, "pixels", replace(this.network.pixels, bits=8))


MISTAKES = {
    tanh_gelu: "decoder.px_z",
    unpadded_pool: "encoder.16",
    no_learned_start: "decoder.block0",
    bilinear: "decoder.block4",
    last_channels_of_the_lower_state: "decoder.block4",
    no_final_gain: "decoder.px_z",
    scales_unclamped: "dmol_params.nll",
    density_never_used: "dmol_params.nll",
    open_edges: "dmol_params.nll",
    pixels_of_cifar: "preprocess.input",
    shifted_bits: "losses",
}
"""What runs without complaint, and where it is seen."""


@pytest.mark.parametrize("breaks", MISTAKES, ids=lambda breaks: breaks.__name__)
def test_parity_bites(breaks: Any, tiny: Official, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks(tiny, monkeypatch)
    name = MISTAKES[breaks]
    found = wide_parameters(tiny) if name.startswith("dmol") else deterministic(tiny)
    assert golden.difference(found[name], tiny.described["expected"][name]) > 5 * BOUND
