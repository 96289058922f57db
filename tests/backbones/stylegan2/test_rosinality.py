"""Generators in rosinality's layout. Parity with that code is proved by e4e's golden file, whose decoder has it."""

import pytest
import torch

from frugalseg.backbones.stylegan2.checkpoints.rosinality import SAMPLES, from_rosinality, rosinality_generator
from frugalseg.backbones.stylegan2.checkpoints.source import load_generator
from frugalseg.support.errors import InputError
from tests.backbones.stylegan2.layouts import rosinality_tensors, small_generator


@pytest.fixture(scope="module")
def generator():
    return small_generator()


def test_every_tensor_finds_its_place(generator):
    ours = generator.state_dict()
    found = from_rosinality(rosinality_tensors(generator), "x.pt")
    assert found.keys() == ours.keys() - {"mapping.w_avg"}
    assert all(torch.equal(value, ours[name]) for name, value in found.items())


def test_the_mean_is_given_or_taken_over_many_latents(generator):
    tensors, z = rosinality_tensors(generator), torch.randn(SAMPLES, 8)
    given = rosinality_generator(tensors, "x.pt", torch.arange(20.0).reshape(2, 10))
    assert given.mapping.mean.tolist() == [5.0 + n for n in range(10)]
    assert given.shape.clamp is None
    one, other = (rosinality_generator(tensors, "x.pt").mapping.mean for _ in range(2))
    assert torch.equal(one, other)
    latents = generator.mapping.latents(z)
    assert ((one - latents.mean(dim=0)).abs() < 6 * latents.std(dim=0) / (SAMPLES / 2) ** 0.5).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("input.input"), "not a generator in rosinality's layout: wanted input.input"),
        (lambda t: t.update({"convs.0.conv.other": torch.ones(1)}), r"has unknown convs\.0\.conv\.other"),
        (lambda t: t.pop("convs.1.activate.bias"), r"lacks synthesis\.b8\.conv1\.bias"),
        (lambda t: t.pop("style.1.bias"), r"lacks mapping\.fc0\.bias"),
        (lambda t: t.update({"noises.noise_1": torch.ones(1, 2, 8, 8)}), r"noise_const has the shape \(1, 2, 8, 8\)"),
        (lambda t: t.update({"to_rgb1.conv.weight": torch.ones(1, 3, 5, 1, 1)}), "another shape"),
        (lambda t: t.update({"style.3.weight": torch.ones(0, 10)}), "weight of 2 axes is of shape"),
    ],
)
def test_files_that_do_not_fit(change, message, generator):
    tensors = rosinality_tensors(generator)
    change(tensors)
    with pytest.raises(InputError, match=message):
        rosinality_generator(tensors, "x.pt", torch.zeros(10))


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (torch.zeros(1).expand(4000, 4000), "latent_avg is no plain tensor with all its values"),
        (torch.ones(10, dtype=torch.int64), r"latent_avg is of shape \(10,\), not a mean code"),
        (torch.ones(0), r"latent_avg is of shape \(0,\), not a mean code"),
        ("none", "latent_avg is a str, not a mean code"),
    ],
)
def test_the_mean_of_a_file_is_looked_at(mean, message, generator, tmp_path):
    """One number may pose as more than any memory holds."""
    torch.save({"g_ema": rosinality_tensors(generator), "latent_avg": mean}, tmp_path / "g.pt")
    with pytest.raises(InputError, match=rf"g\.pt: {message}"):
        load_generator(tmp_path / "g.pt")
    torch.save({"g_ema": rosinality_tensors(generator), "latent_avg": torch.arange(10.0)}, tmp_path / "g.pt")
    assert load_generator(tmp_path / "g.pt").mapping.mean.tolist() == [*range(10)]
