"""Pretraining a StyleGAN2 of a few thousand weights: what every family has to do, and what is its own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from frugalseg.backbones import load_backbone
from frugalseg.backbones.stylegan2.checkpoints.source import load_discriminator, load_generator
from frugalseg.backbones.stylegan2.losses import PATH_DECAY
from frugalseg.backbones.stylegan2.pretrain import CHANGES, StyleGAN2Pretraining, used_for
from frugalseg.backbones.stylegan2.settings import StyleGAN2PretrainSettings
from frugalseg.pretraining.machine import Machine
from tests.pretraining.battery import OPTIONS, PretrainingChecks, log, state

TINY = StyleGAN2PretrainSettings(
    image_size=(8, 8),
    steps=12,
    batch_size=4,
    latent_size=4,
    base_channels=4,
    max_channels=6,
    mapping_layers=2,
    augment_images=64,
    augment_target=0.0,
    deviation_group=2,
    ema_images=16,
)


class TestStyleGAN2Pretraining(PretrainingChecks):
    family = "stylegan2"
    tiny = TINY
    unlike_steps = True
    pictures = ("samples",)
    network = "generator"
    wrong = (
        ({"image_size": (12, 8)}, "square ones whose sides are a power of two; give 8x8"),
        ({"image_size": (48, 48)}, "give 64x64"),
        ({"image_size": (4, 4)}, "give 8x8"),
        ({"style_mixing": 1.5}, "style_mixing is 1.5"),
        ({"augment_target": 2.0}, "augment_target is 2.0"),
        ({"gamma": -1.0}, "gamma is -1.0"),
        ({"path_weight": -1.0}, "path_weight is -1.0"),
        ({"latent_size": 0}, "latent_size is 0"),
        ({"precision": "fp16"}, "give bf16 or fp32"),
    )

    def test_the_result_is_a_backbone_of_averaged_weights(self, straight: Path) -> None:
        backbone = load_backbone("stylegan2", straight)
        assert backbone.native_size == TINY.image_size
        drawn = backbone.generator(None).draw([1, 2])
        assert all(values.isfinite().all() for values in drawn.maps.maps)
        averaged = state(straight)["state_dict"]
        assert all(torch.equal(v, averaged[f"generator.{k}"]) for k, v in self.weights(straight).items())
        assert not torch.equal(
            averaged["generator.synthesis.b8.conv1.weight"],
            state(straight)["current_model_state"]["generator.synthesis.b8.conv1.weight"],
        )

    def test_the_discriminator_lies_beside(self, straight: Path) -> None:
        saved = state(straight)["current_model_state"]
        found = load_discriminator(straight)
        assert found.shape.group == 2
        assert all(torch.equal(v, saved[f"discriminator.{k}"]) for k, v in found.state_dict().items())

    def test_buffers_are_copied_and_penalties_are_told(self, straight: Path) -> None:
        saved = state(straight)
        for name in ("generator.mapping.w_avg", "path_length", "augmentation.p"):
            value = saved["state_dict"][name]
            assert torch.equal(value, saved["current_model_state"][name]) and value.abs().max() > 0
        assert torch.equal(load_generator(straight).mapping.mean, saved["state_dict"]["generator.mapping.w_avg"])
        last = log(straight).splitlines()[-1]
        assert all(word in last for word in ("loss", "generator", "paths", "r1", "augmented"))

    def test_penalties_come_every_few_steps(self, straight: Path) -> None:
        """Twelve steps have three penalties on paths and one on gradients; each is a step of its own."""
        counts = [{int(each["step"]) for each in s["state"].values()} for s in state(straight)["optimizer_states"]]
        assert max(counts[0]) == 12 + 3 and max(counts[1]) == 12 + 1
        groups = [each["param_groups"][0] for each in state(straight)["optimizer_states"]]
        assert groups[0]["lr"] == pytest.approx(2.5e-3 * 4 / 5) and groups[1]["lr"] == pytest.approx(2.5e-3 * 16 / 17)
        assert groups[0]["betas"] == pytest.approx((0.0, 0.99 ** (4 / 5)))
        assert groups[1]["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))


def module(**changes) -> StyleGAN2Pretraining:
    return StyleGAN2Pretraining(replace(TINY, **changes).chosen_for([]))


def test_sizes_and_networks_are_chosen_from_images_and_machine(tmp_path: Path) -> None:
    settings = StyleGAN2PretrainSettings(image_size=(32, 32), steps=1000)
    small, large = settings.chosen_for([], Machine(gpu=False)), settings.chosen_for([])
    assert small.generator_shape.channels == (64, 64, 32, 16) and small.mapping_layers == 2
    assert large.generator_shape.channels == (512, 512, 512, 512) and large.generator_shape.mapping_layers == 8
    assert small.gamma == pytest.approx(0.0002 * 32**2 / 16) and small.augment_images == 4000
    assert replace(settings, steps=10**6).chosen_for([]).augment_images == 500_000
    assert small.discriminator_shape.channels == small.generator_shape.channels
    published = StyleGAN2PretrainSettings(image_size=(256, 256)).chosen_for([])
    assert published.generator_shape.channels == (512, 512, 512, 512, 256, 128, 64)
    assert published.chosen_for([]) == published


def test_a_penalty_that_is_left_out_leaves_the_optimizer_as_it_is() -> None:
    made = module(gamma=0.0, path_weight=0.0)
    optimizers = made.make_optimizers()
    assert all(each.defaults["lr"] == 2.5e-3 and each.defaults["betas"] == (0.0, 0.99) for each in optimizers.values())
    assert not any(made.has_path(step) or made.has_r1(step) for step in range(20))
    assert [step for step in range(20) if module().has_path(step)] == [0, 4, 8, 12, 16]
    assert [step for step in range(20) if module().has_r1(step)] == [0, 16]


def test_styles_are_mixed_at_a_layer_of_their_own() -> None:
    made = module()
    z, other = torch.randn(2, 400, 4, generator=torch.Generator().manual_seed(0))
    mixing = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    ws = made.latents(z, other, mixing)
    first, second = (made.generator.mapping.latents(each) for each in (z, other))
    is_first, is_second = ((ws - each[:, None]).abs().amax(dim=2) < 1e-6 for each in (first, second))
    assert (is_first | is_second).all()
    cuts = is_first.sum(dim=1)
    assert (is_first == (torch.arange(4) < cuts[:, None])).all()
    shares = torch.bincount(cuts, minlength=5) / 400
    assert shares[0] == 0 and shares[4].item() == pytest.approx(0.1, abs=0.04)
    assert all(shares[n].item() == pytest.approx(0.3, abs=0.07) for n in (1, 2, 3))
    assert torch.equal(module(style_mixing=0.0).latents(z, other, mixing)[:, 0], first)


def test_an_image_depends_on_its_seed_alone_and_its_uses_differ() -> None:
    made = module()
    both, alone = made.sampled([5, 6], 0), made.sampled([6], 0)
    torch.testing.assert_close(both.images[1:], alone.images)
    assert not torch.allclose(alone.images, made.sampled([6], 1).images)
    assert used_for([2**63 - 1], CHANGES)[0] == CHANGES - 1


def test_the_mean_path_length_moves_towards_that_of_a_batch() -> None:
    made = module()
    lengths = []
    for seeds in ([1, 2], [3, 4]):
        before = made.path_length.clone()
        penalty = made.lengths_penalty(seeds)
        lengths.append((made.path_length - before * (1 - PATH_DECAY)) / PATH_DECAY)
    # The variance around the new mean, of which the mean of the lengths tells a part.
    assert penalty >= (lengths[1] - made.path_length) ** 2 - 1e-5
    assert penalty.requires_grad and not made.path_length.requires_grad


@pytest.mark.slow
def test_learning_draws_the_colors_of_the_images(tmp_path: Path) -> None:
    """Of images that are dark above and light below, after a minute."""
    from frugalseg.jobs.pretrain import pretrain
    from tests.data.helpers import save_image

    rng = torch.Generator().manual_seed(0)
    for n in range(16):
        image = torch.randint(0, 60, (16, 16, 3), generator=rng)
        image[8:] += 190
        save_image(tmp_path / "photos" / f"{n}.png", image.byte().numpy())
    settings = StyleGAN2PretrainSettings(
        image_size=(16, 16),
        steps=400,
        batch_size=8,
        latent_size=16,
        base_channels=16,
        max_channels=16,
        mapping_layers=2,
        flip=False,
        precision="fp32",
    )
    pretrain("stylegan2", tmp_path / "photos", tmp_path / "run", settings, replace(OPTIONS, checkpoint_steps=None))
    images = load_backbone("stylegan2", tmp_path / "run").generator(None).draw(range(8)).images
    assert images[:, :, 10:].mean() > images[:, :, :6].mean() + 0.3
