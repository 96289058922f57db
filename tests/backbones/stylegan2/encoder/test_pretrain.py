"""Training an e4e encoder of a few thousand weights: what every family has to do, and what is its own."""

import atexit
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.backbones import load_backbone
from frugalseg.backbones.stylegan2.checkpoints.source import save_discriminator, save_generator
from frugalseg.backbones.stylegan2.encoder.latent import LatentDiscriminator
from frugalseg.backbones.stylegan2.encoder.losses import (
    deception,
    delta_lengths,
    detection,
    feature_distance,
    image_distance,
    pixel_distance,
)
from frugalseg.backbones.stylegan2.encoder.pair import load_inverter
from frugalseg.backbones.stylegan2.encoder.pretrain import E4EPretraining
from frugalseg.backbones.stylegan2.encoder.settings import E4EPretrainSettings, check_size
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.choice import choice
from frugalseg.pretraining.machine import Machine
from frugalseg.support.errors import InputError
from frugalseg.support.options import options_of
from frugalseg.training.stream import seeded_noise
from tests.backbones.stylegan2.inversion.helpers import discriminator, inverter
from tests.backbones.stylegan2.layouts import SHAPE, small_discriminator, small_generator
from tests.pretraining.battery import OPTIONS, PretrainingChecks

PLACE = "FRUGALSEG_TEST_GENERATOR"


def generator_folder() -> Path:
    """The folder of a generator for images of 16 pixels, which interpreters that the tests start find, too."""
    if PLACE not in os.environ:
        folder = os.environ[PLACE] = tempfile.mkdtemp(prefix="frugalseg-generator-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        save_generator(small_generator(), Path(folder))
        save_discriminator(small_discriminator(), Path(folder))
    return Path(os.environ[PLACE])


TINY = E4EPretrainSettings(
    generator=str(generator_folder()),
    image_size=(16, 16),
    steps=12,
    batch_size=4,
    width=4,
    units=(1, 1, 1, 1),
    ema_images=40,
    apart_begin=0.0,
    apart_end=0.0,
    precision="fp32",
)


def test_the_generator_may_be_given_as_a_path() -> None:
    given = replace(TINY, generator=generator_folder())  # type: ignore[arg-type]
    assert given == TINY and given.checkpoints() == {"generator": str(generator_folder())}


def test_what_the_machine_decides_is_told_and_nothing_else() -> None:
    given, cpu = E4EPretrainSettings(generator=str(generator_folder())), Machine(gpu=False)
    chosen, large = given.chosen_for([], cpu), given.chosen_for([], Machine())
    assert (chosen.image_size, chosen.batch_size) == (large.image_size, large.batch_size) == ((16, 16), 8)
    assert str(choice(given, chosen, cpu)).endswith(": --precision bf16 --width 16 --units 1,1,2,1")


UNSEEN = (
    "body.1.shortcut_layer.1.bias",
    "body.2.res_layer.0.running_mean",
    "body.2.shortcut_layer.1.running_mean",
)
"""The bias that no code of a generator of 16 pixels depends on, and the means that follow it."""


class TestE4EPretraining(PretrainingChecks):
    family = "gan_encoder"
    tiny = TINY
    pictures = ("inversions",)
    wrong = (
        ({"generator": None}, "give --generator FOLDER or FILE"),
        ({"generator": "no/such/place"}, "no/such/place: no such"),
        ({"image_size": (16, 8)}, "image_size 16x8: a generator of 16 pixels and an encoder of stride 8 take 16x16"),
        ({"image_size": (32, 32)}, "take 16x16"),
        ({"first_stride": 2}, "no size at all"),
        ({"first_stride": 3}, "first_stride is 3"),
        ({"units": (1, 2)}, "units 1,2: give one number for each of 4 stages"),
        ({"apart_begin": 0.5}, r"apart_begin is 0\.5; give at most apart_end"),
        ({"precision": "fp16"}, "give bf16 or fp32"),
    )

    @staticmethod
    def told(name: str, value: torch.Tensor) -> Any:
        """The norms behind one bias take it away again; only a code that reads the finest level would see it."""
        return slice(0) if name.endswith(UNSEEN) else ...

    @pytest.mark.slow
    def test_a_run_on_windows_continues_to_the_same_weights(self, photos: Path, tmp_path: Path) -> None:
        super().test_a_run_on_windows_continues_to_the_same_weights(photos, tmp_path)

    @pytest.mark.slow
    def test_a_killed_run_continues_to_the_same_weights(self, photos: Path, straight: Path, tmp_path: Path) -> None:
        super().test_a_killed_run_continues_to_the_same_weights(photos, straight, tmp_path)

    def test_the_result_inverts_the_generator_that_it_was_trained_for(self, straight: Path) -> None:
        backbone = load_backbone("gan_inversion", straight)
        assert backbone.fixed_size == (16, 16)
        network, expected = load_inverter(straight), small_generator().state_dict()
        for name, value in network.generator.state_dict().items():
            assert torch.equal(value, expected[name])
        assert network.discriminator is not None and network.encoder.shape.first_stride == 1
        assert torch.equal(network.latent_avg, small_generator().mapping.mean.expand(6, -1))
        assert "distance" in (straight / "training" / "log.txt").read_text()

    def test_the_generator_counts_by_what_it_is(self, photos: Path, straight: Path, tmp_path: Path) -> None:
        moved, other = tmp_path / "moved", tmp_path / "other"
        shutil.copytree(generator_folder(), moved)
        shutil.copytree(generator_folder(), other)
        save_generator(small_generator(seed=1), other)
        assert pretrain(self.family, photos, straight, replace(self.tiny, generator=str(moved)), OPTIONS)
        with pytest.raises(InputError, match=r"with other settings \(another generator\)"):
            pretrain(self.family, photos, straight, replace(self.tiny, generator=str(other)), OPTIONS)
        assert pretrain(self.family, photos, straight, replace(self.tiny, generator=None), OPTIONS)


def test_sizes_are_chosen_from_the_generator_and_for_the_machine() -> None:
    given = E4EPretrainSettings(generator=str(generator_folder()))
    on_gpu, on_cpu = (given.chosen_for([], Machine(gpu=gpu)) for gpu in (True, False))
    assert (on_gpu.image_size, on_gpu.width, on_gpu.units) == ((16, 16), 64, (3, 4, 14, 3))
    assert (on_cpu.width, on_cpu.units, on_cpu.first_stride, on_cpu.images_per_step) == (16, (1, 1, 2, 1), 1, 8)


def test_the_help_tells_the_defaults_of_this_training() -> None:
    told = {each.name: each.help for each in options_of(E4EPretrainSettings)}
    chosen = E4EPretrainSettings(generator=str(generator_folder())).chosen_for([], Machine(gpu=False))
    assert told["batch_size"].endswith(f"By default, {chosen.images_per_step}.")
    assert "that of the generator's images" in told["image_size"]


@pytest.mark.parametrize(
    ("resolution", "stride", "remedy"),
    [(16, 16, "first_stride 1 or a larger generator"), (8, 8, "a larger generator"), (8, 16, "a larger generator")],
)
def test_the_remedy_for_small_generators_helps(resolution: int, stride: int, remedy: str) -> None:
    with pytest.raises(InputError, match=f"no size at all; give {remedy}$"):
        check_size((resolution, resolution), stride, resolution)
    if "first_stride 1" in remedy:
        check_size((resolution, resolution), 8, resolution)


def test_codes_are_told_apart_one_after_another() -> None:
    settings = replace(TINY, steps=100, apart_begin=0.1, apart_end=0.5)
    counts = [settings.codes_apart(step, 6) for step in range(100)]
    assert counts[:10] == [1] * 10 and counts[50:] == [6] * 50
    assert [counts.index(n) for n in range(2, 7)] == [10, 18, 26, 34, 42]
    assert TINY.codes_apart(0, 6) == 6


def test_a_run_that_is_given_more_steps_tells_its_codes_apart_once() -> None:
    chosen = replace(TINY, steps=100, apart_begin=0.1, apart_end=0.5).chosen_for([])
    longer = replace(chosen, steps=1000).chosen_for([])
    assert longer.apart_steps == 100
    assert [longer.codes_apart(step, 6) for step in range(100)] == [chosen.codes_apart(step, 6) for step in range(100)]
    assert {longer.codes_apart(step, 6) for step in range(100, 1000)} == {6}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_losses_have_their_closed_forms() -> None:
    codes = torch.zeros(2, 4, 3)
    codes[:, 1], codes[0, 2, 0], codes[:, 3] = torch.tensor([3.0, 4.0, 0.0]), 2.0, 100.0
    assert delta_lengths(codes, 1) == 0
    assert delta_lengths(codes, 3) == 5 + (2 + 0) / 2
    logits = torch.tensor([[0.0], [2.0]])
    expected = (np.log(2) + np.log1p(np.exp(-2))) / 2
    assert deception(logits) == pytest.approx(expected)
    assert detection(logits, -logits) == pytest.approx(2 * expected)
    images = numbers(2, 3, 4, 4)
    assert torch.equal(pixel_distance(images, images), torch.zeros(2))
    torch.testing.assert_close(pixel_distance(images + 0.5, images), torch.full((2,), 0.25))


def test_features_are_compared_by_their_directions() -> None:
    judge, (a, b) = discriminator(), numbers(2, 2, 3, 32, 32)
    found = []
    for one, other in zip(judge.features(a), judge.features(b), strict=True):
        cosine = torch.nn.functional.cosine_similarity(one, other, dim=1)
        found.append((2 - 2 * cosine).mean(dim=(1, 2)))
    torch.testing.assert_close(feature_distance(judge, a, b), torch.stack(found).mean(0), atol=1e-5, rtol=1e-5)
    assert feature_distance(judge, a, a).abs().max() < 1e-6
    network = inverter()
    expected = pixel_distance(a, b) + 0.3 * feature_distance(network.discriminator, a, b)
    torch.testing.assert_close(image_distance(network, a, b, 0.3), expected)
    assert torch.equal(image_distance(inverter(judged=False), a, b), pixel_distance(a, b))


def test_the_penalty_is_the_squared_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    module, taken = E4EPretraining(TINY.chosen_for([])), []
    monkeypatch.setattr(module, "update", lambda loss, name: taken.append((loss, name)))
    known = module.known_latents([1, 2, 3])
    penalty = module.penalty_update(known)
    slopes = torch.autograd.functional.jacobian(lambda places: module.judge(places).sum(), known)
    torch.testing.assert_close(penalty, slopes.square().sum(dim=1).mean())
    assert taken[0][1] == "judge"
    torch.testing.assert_close(taken[0][0], penalty * 10 / 2 * 16)


def test_known_latents_are_those_of_the_mapping_network() -> None:
    module = E4EPretraining(TINY.chosen_for([]))
    expected = small_generator().mapping.latents(seeded_noise([5, 6], (SHAPE.z_width,)))
    torch.testing.assert_close(module.known_latents([5, 6]), expected)


def test_the_latent_discriminator_learns_to_tell() -> None:
    judge = LatentDiscriminator(10, seed=0)
    optimizer, losses = torch.optim.Adam(judge.parameters(), 0.02), []
    for step in range(30):
        loss = detection(judge(numbers(32, 10, seed=step)), judge(1 + numbers(32, 10, seed=100 + step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def drawn_photos(folder: Path, count: int) -> None:
    """Images that the generator has drawn: an encoder can learn to find them."""
    generator = small_generator()
    z = seeded_noise(range(count), (SHAPE.z_width,))
    images = generator(z, generator.synthesis.constant_noise)
    for number, image in enumerate(((images / 2 + 0.5).clamp(0, 1) * 255).round().byte()):
        folder.mkdir(exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:02d}.png")


@pytest.mark.slow
def test_learning_brings_the_drawn_images_nearer(tmp_path: Path) -> None:
    drawn_photos(tmp_path / "photos", 32)
    settings = replace(TINY, batch_size=8, width=6, learning_rate=3e-3, flip=False, ema_images=400)
    settings = replace(settings, apart_begin=0.1, apart_end=0.3)
    photos = [torch.from_numpy(np.array(Image.open(path))) for path in sorted((tmp_path / "photos").iterdir())]
    images = torch.stack(photos).permute(0, 3, 1, 2).float() / 255
    errors = []
    for steps in (1, 200):
        out = tmp_path / str(steps)
        assert pretrain(
            "e4e", tmp_path / "photos", out, replace(settings, steps=steps), replace(OPTIONS, checkpoint_steps=None)
        )
        errors.append((load_backbone("gan_inversion", out).reconstructions(images) - images).square().mean())
    assert errors[1] < errors[0] / 2
    assert json.loads((tmp_path / "200" / "training" / "settings.json").read_text())["family"] == "gan_encoder"
