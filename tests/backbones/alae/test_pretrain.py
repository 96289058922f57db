"""Pretraining an autoencoder of a few thousand weights: what every family has to do, and what is its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalseg.backbones import load_backbone
from frugalseg.backbones.alae.growth import Growth
from frugalseg.backbones.alae.pretrain import ALAEPretraining
from frugalseg.backbones.alae.settings import ALAEPretrainSettings
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.machine import Machine
from frugalseg.support.errors import InputError
from frugalseg.training.run_folder import RunFolder
from tests.data.helpers import save_image
from tests.pretraining.battery import OPTIONS, PretrainingChecks, log, progress, state

TINY = ALAEPretrainSettings(
    image_size=(8, 8),
    steps=12,
    batch_size=4,
    latent_size=4,
    base_channels=2,
    max_channels=4,
    mapping_layers=1,
    first_size=4,
    growing_steps=6,
)
"""After 6 steps the network grows; a killed run that goes on after 5 does so on its way."""


class TestALAEPretraining(PretrainingChecks):
    family = "alae"
    tiny = TINY
    unlike_steps = True
    pictures = ("reconstructions", "samples")
    wrong = (
        ({"precision": "fp16"}, "fp16 trains one optimizer only"),
        ({"latent_size": 0}, "latent_size is 0"),
        ({"style_mixing": 1.5}, "style_mixing is 1.5"),
        ({"penalty": -1.0}, "penalty is -1.0"),
    )

    def test_the_optimizers_began_anew_when_it_grew(self, straight: Path) -> None:
        """Of 12 steps 6 were of the last resolution, and 3 faded it in; two updates move E and G, one moves D."""
        encoder, generator = (
            {int(each["step"]) for each in found["state"].values()} for found in state(straight)["optimizer_states"]
        )
        assert (encoder, generator) == ({6, 12}, {6, 12})

    def test_everything_learns_but_the_blurs(self, straight: Path) -> None:
        first, found = ALAEPretraining(TINY.chosen_for([])).network.state_dict(), state(straight)["current_model_state"]
        still = {name for name, value in first.items() if torch.equal(found[f"network.{name}"], value)}
        assert still and all(name.endswith("blur.weight") for name in still)

    def test_operations_are_counted_for_each_resolution(self, straight: Path) -> None:
        assert "GFLOP a step" in log(straight)
        kinds = [ALAEPretraining(TINY.chosen_for([])).step_kind(step) for step in range(12)]
        assert kinds == [(0, False)] * 6 + [(1, True)] * 3 + [(1, False)] * 3

    def test_a_run_that_has_grown_tells_nothing_of_other_work(self, photos: Path, tmp_path: Path) -> None:
        """Of a finished run that is given more steps, all of which are alike."""
        out = tmp_path / "run"
        assert pretrain("alae", photos, out, replace(TINY, steps=9), OPTIONS)
        assert pretrain("alae", photos, out, replace(TINY, steps=14), OPTIONS)
        before, after = log(out).split("begin at step 9 of 14")
        assert "Later steps do other work" in before and "Later steps do other work" not in after
        counts = [int(each["step"]) for each in state(out)["optimizer_states"][0]["state"].values()]
        assert "At this rate, the remaining 2 steps take" in after and max(counts) == 2 * (14 - 6)
        mean = progress(out)["step_flops"]
        assert f"{mean / 1e9:.2f} GFLOP a step, {mean * 14 / 1e12:.1f} TFLOP in all" in after

    def test_sizes_and_networks_are_chosen_from_the_images(self, photos: Path) -> None:
        paths = sorted(photos.iterdir())
        chosen = ALAEPretrainSettings().chosen_for(paths)
        assert chosen.image_size == (16, 16)
        assert (chosen.latent_size, chosen.base_channels, chosen.max_channels) == (512, 512, 512)
        assert chosen.growing_steps == 10_000 and chosen.chosen_for([]) == chosen
        # A finished run that is given more steps does not grow again.
        assert replace(chosen, steps=40_000).chosen_for([]).growing_steps == 10_000
        small = ALAEPretrainSettings(image_size=(64, 64)).chosen_for([], Machine(gpu=False))
        assert (small.latent_size, small.base_channels, small.max_channels, small.mapping_layers) == (128, 8, 64, 4)
        published = ALAEPretrainSettings(image_size=(256, 256)).chosen_for([]).shape
        assert (published.layers, published.start, published.most, published.mapping) == (7, 64, 512, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": (64, 48)}, "image_size 64x48: .* give 64x64"),
        ({"image_size": (96, 96)}, "give 128x128"),
        ({"image_size": (90, 90)}, "give 64x64"),
        ({"image_size": (4, 4)}, "give 8x8"),
        ({"first_size": 12}, "first_size is 12; give 4 or a power of two such as 16"),
        ({"first_size": 64, "image_size": (32, 32)}, "first_size 64 is more than image_size 32"),
    ],
)
def test_sizes_are_square_and_powers_of_two(settings, message):
    with pytest.raises(InputError, match=message) as error:
        ALAEPretrainSettings(**settings)
    assert "\n" not in str(error.value)


def test_each_resolution_gets_as_many_steps_and_fades_in():
    growth = Growth(first=1, last=3, steps=20)
    levels = [growth.at(step).level for step in range(40)]
    assert levels == [1] * 10 + [2] * 10 + [3] * 20
    assert [step for step in range(40) if growth.at(step).begins] == [0, 10, 20]
    blends = [growth.at(step).blend for step in range(10, 16)]
    assert blends == pytest.approx([0.5 - 0.5 * np.cos(np.pi * n / 6) for n in range(1, 6)] + [1])
    assert {growth.at(step).blend for step in (*range(10), *range(15, 20), *range(25, 40))} == {1.0}
    assert [growth.at(step).level for step in (0, 1, 2)] == [1, 1, 1]
    alone = Growth(first=2, last=2, steps=20)
    assert [(s.level, s.blend, s.begins) for s in map(alone.at, (0, 1, 30))] == [
        (2, 1, True),
        (2, 1, False),
        (2, 1, False),
    ]
    assert [growth.at(step).level for growth in (Growth(0, 3, 0), Growth(0, 3, 2)) for step in range(3)] == [3] * 6
    assert [(stage.blend, stage.begins) for stage in map(Growth(0, 3, 0).at, range(3))] == [
        (1, True),
        (1, False),
        (1, False),
    ]
    assert [Growth(0, 3, 4).at(step).level for step in range(5)] == [0, 1, 2, 3, 3]


def test_two_codes_are_mixed_in_most_steps_and_nowhere_else():
    module = ALAEPretraining(TINY.chosen_for([]))
    cuts = [module.cut(step, 6) for step in range(2000)]
    assert sum(cut is not None for cut in cuts) / 2000 == pytest.approx(0.9, abs=0.03)
    assert {cut for cut in cuts if cut is not None} == {1, 2, 3, 4, 5}
    assert cuts[:50] == [module.cut(step, 6) for step in range(50)]


def test_what_is_random_depends_on_the_seeds_alone():
    module = ALAEPretraining(TINY.chosen_for([]))
    both, alone = ([*module.draws({"seeds": seeds}, 1)] for seeds in ([5, 6], [6]))
    assert len(both) == 3
    x, strength = torch.zeros(2, 4, 8, 8), torch.ones(1, 4, 1, 1)
    for a, b in zip(both, alone, strict=True):
        assert torch.equal(a.z[1:], b.z) and torch.equal(a.other[1:], b.other)
        assert torch.equal(a.noise(3, x, strength)[1:], b.noise(3, x[1:], strength))
    assert not torch.equal(both[0].z, both[1].z)


def test_pictures_show_images_beside_reconstructions_at_every_stage(tmp_path: Path) -> None:
    module = ALAEPretraining(TINY.chosen_for([]))
    for step in (1, 8, 12):
        module.draw(RunFolder(tmp_path), step, torch.rand(20, 3, 8, 8))
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 6


@pytest.mark.slow
def test_learning_makes_codes_that_tell_colors(tmp_path: Path) -> None:
    """Images of one color each: reconstructions come to have the color of the image; random ones are all alike."""
    rng = np.random.default_rng(0)
    for i in range(64):
        image = rng.integers(40, 216, 3) + rng.integers(-8, 9, (8, 8, 3))
        save_image(tmp_path / "photos" / f"{i}.png", image.astype(np.uint8))
    settings = ALAEPretrainSettings(
        image_size=(8, 8),
        steps=400,
        batch_size=16,
        learning_rate=0.01,
        latent_size=16,
        base_channels=16,
        max_channels=16,
        mapping_layers=2,
        precision="fp32",
        flip=False,
    )
    out = tmp_path / "run"
    pretrain("alae", tmp_path / "photos", out, settings, replace(OPTIONS, log_steps=100, checkpoint_steps=None))
    backbone = load_backbone("alae", out)
    colors = torch.rand(64, 3, 1, 1, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    found = backbone.reconstructions(colors.expand(64, 3, 8, 8)).mean((2, 3))
    likeness = torch.corrcoef(torch.stack([found.flatten(), colors.flatten()]))[0, 1]
    assert likeness > 0.5, log(out)[-2000:]
