"""Pretraining a SwAV network of a few thousand weights: what every family has to do, and what is its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.backbones.base import load_backbone
from frugalseg.backbones.swav.assignments import swapped_prediction
from frugalseg.backbones.swav.lars import LARS
from frugalseg.backbones.swav.pretrain import SwAVPretraining
from frugalseg.backbones.swav.settings import SwAVPretrainSettings
from frugalseg.jobs.pretrain import pretrain
from tests.data.helpers import save_image
from tests.pretraining.battery import OPTIONS, PretrainingChecks, losses, state

TINY = SwAVPretrainSettings(
    image_size=(16, 8),
    steps=12,
    batch_size=4,
    width=4,
    depths=(1, 2),
    small_crops=2,
    prototypes=6,
    projection=8,
    hidden=8,
    queue=10,
    queue_begins=2,
    freeze_prototypes=3,
    ema_decay=0.5,
)


class TestSwAVPretraining(PretrainingChecks):
    family = "swav"
    tiny = TINY
    photo_height = 30
    pictures = ("neighbours",)
    stops = 4  # the queue begins to be filled in step 2
    wrong = (
        ({"prototypes": 1}, "prototypes is 1; give a whole number from 2"),
        ({"queue": -1}, "queue is -1"),
        ({"colour": 1.5}, "colour is 1.5"),
        ({"split_area": 0.01}, "split_area is 0.01"),
        ({"temperature": 1e-40}, "temperature is 1e-40; give a number from 1e-06"),
        ({"epsilon": 1e-40}, "epsilon is 1e-40; give a number from 1e-06"),
        ({"optimizer": "sgd"}, "'sgd'"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"small_crop": (0, 4)}, "small_crop"),
        ({"depths": (1, 0)}, "depths"),
        ({"stem_stride": 3}, "stem_stride is 3"),
        ({"block": "dense"}, "'dense'"),
    )

    def test_runs_are_compared_with_a_full_queue(self, straight: Path) -> None:
        assert state(straight)["current_model_state"]["queue"].abs().sum() > 0

    def test_the_result_has_blocks_and_statistics(self, straight: Path) -> None:
        assert [tap.name for tap in load_backbone("swav", straight).taps] == ["layer1.0.in", "layer2.0.in"]
        assert (self.weights(straight)["layer2.1.bn2.running_mean"] != 0).any()

    def test_pictures_of_neighbours(self, straight: Path) -> None:
        picture = np.asarray(Image.open(straight / "pictures" / "neighbours_0000012.png")).astype(int)
        scale = picture.shape[0] // (6 * 17 + 1)
        cells = picture[::scale, ::scale][1:, 1:]
        first_column = {cells[17 * row : 17 * row + 16, :8].tobytes() for row in range(6)}
        second_column = {cells[17 * row : 17 * row + 16, 9:17].tobytes() for row in range(6)}
        assert len(first_column) == 6  # every image is its own nearest
        assert second_column <= first_column

    def test_prototypes_stay_at_first_and_move_later(self, photos: Path, tmp_path: Path) -> None:
        settings = replace(TINY, precision="fp32")
        first = torch.nn.functional.normalize(SwAVPretraining(settings.chosen_for([])).prototypes.detach())
        pretrain("swav", photos, tmp_path / "frozen", replace(settings, steps=3), OPTIONS)
        torch.testing.assert_close(state(tmp_path / "frozen")["current_model_state"]["prototypes"], first)
        pretrain("swav", photos, tmp_path / "moved", replace(settings, steps=6), OPTIONS)
        assert (state(tmp_path / "moved")["current_model_state"]["prototypes"] - first).abs().max() > 1e-4

    def test_lars_runs_and_continues(self, photos: Path, tmp_path: Path) -> None:
        settings = replace(TINY, optimizer="lars", learning_rate=0.3, steps=4)
        pretrain("swav", photos, tmp_path / "straight", settings, OPTIONS)
        while not pretrain("swav", photos, tmp_path / "halting", settings, replace(OPTIONS, max_minutes=1e-9)):
            pass
        one, other = self.weights(tmp_path / "straight"), self.weights(tmp_path / "halting")
        assert all(torch.equal(value, other[name]) for name, value in one.items())

    def test_settings_are_chosen_from_the_images(self, photos: Path) -> None:
        chosen = SwAVPretrainSettings(steps=1000, batch_size=4).chosen_for(sorted(photos.iterdir()))
        assert chosen.image_size == (32, 16)
        assert (chosen.width, chosen.depths, chosen.block, chosen.stem_stride) == (32, (2, 2, 2, 3), "basic", 1)
        assert (chosen.kept_size, chosen.global_crop, chosen.small_crop) == ((32, 16), (28, 14), (12, 6))
        assert (chosen.queue, chosen.queue_begins, chosen.freeze_prototypes, chosen.hidden) == (60, 75, 2, 512)
        assert chosen.chosen_for([]) == chosen
        large = SwAVPretrainSettings(image_size=(256, 256), batch_size=512).chosen_for([])
        assert large.shape.depths == (3, 4, 6, 3) and large.shape.stem_stride == 4 and large.queue == 0
        assert (large.global_crop, large.small_crop, large.hidden) == ((224, 224), (96, 96), 2048)


def module(**changes: Any) -> SwAVPretraining:
    return SwAVPretraining(replace(TINY, **changes).chosen_for([]))


def unit_features(images: int, seed: int = 0) -> torch.Tensor:
    features = torch.randn(2, images, TINY.projection, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(features, dim=-1)


def test_the_queue_is_filled_and_then_used() -> None:
    trained, empty = module(), module(queue=0)
    for step in range(8):
        features = unit_features(4, step)
        with_queue, without = trained.assign(features, step), empty.assign(features, step)
        # Begun in step 2, ten places take three batches of four.
        assert torch.equal(with_queue, without) == (step < 5)
    newest = torch.cat([unit_features(4, step) for step in (7, 6, 5)], dim=1)[:, :10]
    assert torch.equal(trained.queue, newest)


def test_a_small_epsilon_gives_a_loss() -> None:
    sharp = module(epsilon=0.002)
    features = unit_features(4)
    targets = sharp.assign(features, 0)
    loss = swapped_prediction(features @ sharp.prototypes.t() / 0.1, targets)
    loss.backward()
    assert loss.isfinite() and sharp.prototypes.grad.isfinite().all()
    torch.testing.assert_close(targets.sum(-1), torch.ones(2, 4))


def test_small_views_leave_the_running_statistics_alone() -> None:
    large, small = torch.rand(2, 4, 3, 14, 7), torch.rand(2, 4, 3, 6, 3)
    with_small, without = module(), module()
    with_small.project(large, small)
    without.project(large, small[:0])
    for (name, a), (_, b) in zip(with_small.network.named_buffers(), without.network.named_buffers(), strict=True):
        assert torch.equal(a, b) or name.endswith("num_batches_tracked")


def test_standardised_features_cannot_collapse() -> None:
    """A head that is all but constant makes one feature of all images; standardised, as many as ever."""
    large = torch.rand(2, 16, 3, 14, 7, generator=torch.Generator().manual_seed(0))
    features = {}
    for standardise in (False, True):
        collapsing = module(standardise=standardise)
        with torch.no_grad():
            collapsing.head[1].weight.fill_(1e-3)
            collapsing.head[1].bias.fill_(1.0)
            features[standardise] = collapsing.project(large, large[..., :6, :3])
    published, ours = features[False], features[True]
    assert (published[0] @ published[0].t()).min() > 0.99
    assert (ours[0] @ ours[0].t()).mean() < 0.2
    assert (ours[2] @ ours[2].t()).mean() < 0.2


def test_learning_tells_images_apart(tmp_path: Path) -> None:
    """Four kinds of images: the loss falls well below log K, and images of a kind come to lie together."""
    rng = np.random.default_rng(0)
    for i in range(32):
        image = rng.integers(0, 60, (16, 16, 3))
        image[:, :: 2 if i % 2 else 8] += 180
        image[:: 2 if i % 4 < 2 else 8] += 15
        save_image(tmp_path / "photos" / f"{i:02d}.png", image.astype(np.uint8))
    settings = replace(
        TINY, image_size=(16, 16), steps=60, batch_size=16, learning_rate=3e-3, precision="fp32", colour=0.5, queue=0
    )
    out = tmp_path / "run"
    pretrain("swav", tmp_path / "photos", out, settings, replace(OPTIONS, log_steps=10, checkpoint_steps=None))
    found = losses(out)
    assert found[0] > 0.9 * np.log(6)
    assert found[-1] < 0.8 * found[0]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lars_takes_the_literal_steps(decay: float) -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, -4.0]))
    bias = torch.nn.Parameter(torch.zeros(2))
    optimizer = LARS([weight, bias], lr=2.0, momentum=0.9, weight_decay=decay, trust=0.01)
    w, v, b, u = weight.detach().clone(), torch.zeros(2), torch.zeros(2), torch.zeros(2)
    for step in range(3):
        gradient = torch.tensor([0.6, 0.8]) * (step + 1)
        weight.grad, bias.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        v = 0.9 * v + (gradient + decay * w) * 0.01 * w.norm() / (gradient.norm() + decay * w.norm())
        w = w - 2.0 * v
        ratio = 0.01 * b.norm() / (gradient.norm() + decay * b.norm()) if b.norm() > 0 else 1.0
        u = 0.9 * u + (gradient + decay * b) * ratio
        b = b - 2.0 * u
        torch.testing.assert_close(weight.detach(), w)
        torch.testing.assert_close(bias.detach(), b)


def test_crops_come_from_larger_images_where_there_are(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(tmp_path / "a.png")
    for size, kept in [((16, 16), (32, 32)), ((40, 40), (60, 60)), ((80, 80), (80, 80))]:
        chosen = SwAVPretrainSettings(image_size=size).chosen_for([tmp_path / "a.png"])
        assert chosen.kept_size == chosen.stored_size == kept
