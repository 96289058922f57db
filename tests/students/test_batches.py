"""What a student is shown: every sample once a pass, at its own aspect ratio, image and mask together."""

import numpy as np
import pytest
import torch

from frugalseg.data.example import Example
from frugalseg.students.batches import SampleStream, chosen_size
from frugalseg.support.files import FileError
from frugalseg.training.batches import step_loader


def plain(number, height=16, width=16):
    """An image whose red is its number and whose green is its target's value."""
    target = np.zeros((height, width), np.uint8)
    target[:, width // 2 :] = 1
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = number, 255 * target
    return Example(str(number), image, target)


def stream(samples, **options):
    return SampleStream(samples, options.pop("size", (16, 16)), 8, **{"batch_size": 4, "seed": 0, "stop": 6, **options})


def seen(batches):
    return [round(float(image[0, 0, 0]) * 255) for batch in batches for image in batch["images"]]


def test_every_sample_once_a_pass_in_another_order():
    numbers = seen(stream([plain(n) for n in range(12)]))
    assert sorted(numbers[:12]) == sorted(numbers[12:]) == list(range(12))
    assert numbers[:12] != numbers[12:]


def test_a_batch_depends_on_seed_and_step_alone():
    samples = [plain(n, 24, 16) for n in range(7)]
    whole = list(stream(samples, tile=True))
    later = list(step_loader(stream(samples, tile=True, start=4)))
    for one, other in zip(whole[4:], later, strict=True):
        assert one["step"] == other["step"] and torch.equal(one["images"], other["images"])
    assert not torch.equal(whole[0]["images"], next(iter(stream(samples, tile=True, seed=1)))["images"])


def test_worker_processes_change_nothing():
    samples = [plain(n) for n in range(5)]
    for one, other in zip(stream(samples), step_loader(stream(samples), workers=2), strict=True):
        assert one["step"] == other["step"] and torch.equal(one["images"], other["images"])


class Damaged(list):
    """Samples of which the one at place 3 cannot be read."""

    def __getitem__(self, index):
        if index == 3:
            raise FileError("3.png", "cannot be read", "export it again")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_damaged_sample_is_told_as_it_is_also_by_a_worker(workers):
    order = seen(stream([plain(n) for n in range(12)]))
    batches = iter(step_loader(stream(Damaged(plain(n) for n in range(12))), workers=workers))
    for _ in range(order.index(3) // 4):
        next(batches)
    with pytest.raises(FileError) as caught:
        next(batches)
    assert str(caught.value) == "3.png: cannot be read; export it again"


def test_one_sample_fills_a_batch():
    assert seen([stream([plain(9)]).batch(0)]) == [9, 9, 9, 9]


@pytest.mark.parametrize("tile", [False, True])
@pytest.mark.parametrize("shape", [(16, 16), (32, 32), (40, 24), (8, 60), (5, 7)])
def test_images_and_masks_stay_together_at_any_size(tile, shape):
    batch = stream([plain(3, *shape)], tile=tile).batch(0)
    images, targets = batch["images"], batch["targets"]
    assert images.shape == (4, 3, 16, 16) and targets.shape == (4, 16, 16)
    assert images.dtype == torch.float32 and targets.dtype == torch.int64
    known = targets != 255
    assert known.any()
    # Away from the edge, which resizing smears, green says what the target says.
    clear = known & ((images[:, 1] < 0.02) | (images[:, 1] > 0.98))
    assert clear.sum() > 0.3 * known.sum()
    assert torch.equal(images[:, 1][clear].round().long(), targets[clear])


def test_tiles_keep_the_images_resolution_and_land_everywhere():
    image = np.zeros((40, 40, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(40)[:, None], np.arange(40)
    sample = Example("ramp", image, np.zeros((40, 40), np.uint8))
    corners = set()
    for batch in stream([sample], tile=True, stop=30):
        red, green = batch["images"][:, 0] * 255, batch["images"][:, 1] * 255
        assert ((red[:, 1:] - red[:, :-1]) - 1).abs().max() < 1e-3
        corners |= {(round(float(r)), round(float(g))) for r, g in zip(red[:, 0, 0], green[:, 0, 0], strict=True)}
    tops, lefts = zip(*corners, strict=True)
    assert min(tops) == min(lefts) == 0 and max(tops) == max(lefts) == 24


@pytest.mark.parametrize(
    ("shapes", "wanted", "size"),
    [
        ([(48, 48)] * 3, None, (48, 48)),
        ([(30, 50), (30, 50), (10, 10)], None, (32, 48)),
        ([(3000, 2000)], None, (512, 344)),
        ([(48, 48)], (600, 30), (600, 32)),
        ([(5, 5)], None, (8, 8)),
    ],
)
def test_the_size_is_that_of_most_samples(shapes, wanted, size):
    assert chosen_size([plain(0, *shape) for shape in shapes], 8, wanted) == size
