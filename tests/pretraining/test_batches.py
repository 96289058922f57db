"""The batch stream: a function of seed and step, the same however many processes share it."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.data.image_folder import list_images
from frugalseg.pretraining.batches import BatchStream
from frugalseg.pretraining.images import TrainingImages
from frugalseg.training.batches import step_loader
from frugalseg.training.stream import Order


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> TrainingImages:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return TrainingImages(list_images(folder), (4, 6))


def test_a_batch_depends_on_seed_and_step_alone(images: TrainingImages) -> None:
    from_start = list(BatchStream(images, 4, seed=3, stop=6))
    later = list(BatchStream(images, 4, seed=3, start=4, stop=6))
    assert [b["step"] for b in later] == [4, 5]
    for a, b in zip(from_start[4:], later, strict=True):
        assert torch.equal(a["images"], b["images"]) and a["seeds"] == b["seeds"]
    other = BatchStream(images, 4, seed=4, stop=6).batch(4)
    assert not set(other["seeds"]) & set(later[0]["seeds"])


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_see_the_batch_of_one_process(images: TrainingImages, world_size: int) -> None:
    whole = BatchStream(images, 6, seed=0, stop=9).batch(5)
    parts = [BatchStream(images, 6, seed=0, stop=9, rank=r, world_size=world_size).batch(5) for r in range(world_size)]
    for rank, part in enumerate(parts):
        assert torch.equal(part["images"], whole["images"][rank::world_size])
        assert part["seeds"] == whole["seeds"][rank::world_size]


def test_workers_keep_the_order(images: TrainingImages) -> None:
    stream = BatchStream(images, 2, seed=0, start=1, stop=6)
    steps = [(b["step"], b["seeds"]) for b in step_loader(stream, workers=2)]
    assert steps == [(b["step"], b["seeds"]) for b in stream]


def test_flips_are_mirror_images_of_about_half(images: TrainingImages) -> None:
    flipped = Counter[bool]()
    for batch in BatchStream(images, 8, seed=0, stop=20):
        for place, image in enumerate(batch["images"].permute(0, 2, 3, 1).numpy()):
            source = images[Order(len(images), 0)[batch["step"] * 8 + place]]
            straight, mirrored = np.array_equal(image, source), np.array_equal(image, source[:, ::-1])
            assert straight or mirrored
            flipped[mirrored] += 1
    assert 50 < flipped[True] < 110
    plain = BatchStream(images, 8, seed=0, stop=1, flip=False).batch(0)
    assert np.array_equal(plain["images"][0].permute(1, 2, 0).numpy(), images[Order(len(images), 0)[0]])
