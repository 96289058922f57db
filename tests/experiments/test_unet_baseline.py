"""The rival is trained honestly: it learns, its images and masks move together, and a seed is a result."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.experiments.rows.unet import UNetRow
from frugalseg.experiments.rows.unet_baseline import UNetBaseline
from frugalseg.students.augmentation import Augmentation, augment
from frugalseg.students.loss import segmentation_loss
from frugalseg.support.errors import InputError

STILL = {"scale": (1, 1), "stretch": 0, "rotation": 0, "shift": 0, "flip": False, "color": 0}
TINY = UNetRow(kind="unet", name="U-Net", decoder=(8, 8, 8), steps=3, batch=2)


class Folder(list):  # type: ignore[type-arg]
    """Examples with their class table, as a `SegmentationFolder` has them."""

    classes = TOY_CLASSES


def toy(count: int, size: int = 24) -> Folder:
    return Folder(toy_example(7, index, size) for index in range(count))


def test_learns_the_images_it_was_given() -> None:
    row = TINY.model_copy(update={"decoder": (16, 16, 16), "steps": 40, "augmentation": STILL})
    images = toy(2)
    baseline = UNetBaseline(row).fit(images)
    assert baseline.evaluate(images).confusion.pixel_accuracy() > 0.85


@pytest.mark.parametrize("encoder", ["resnet18", "efficientnet-b0"])  # one has dropout
def test_a_seed_is_a_result_and_global_randomness_is_left_alone(encoder: str) -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    images, row = toy(3), TINY.model_copy(update={"encoder": encoder})
    first, again, other = (
        UNetBaseline(row, seed=seed).fit(images).predict_position(images[0].image).probabilities for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_single_image_with_a_single_pixel_at_the_deepest_level() -> None:
    with pytest.raises(
        InputError, match="row 'U-Net': a single image of 8x8 pixels is too small for a U-Net of depth 3"
    ):
        UNetBaseline(TINY).fit(toy(1, 8))
    for images in (toy(2, 8), toy(1, 9)):
        assert UNetBaseline(TINY).fit(images).predict_position(images[0].image).mask.shape == images[0].target.shape


def test_predictions_have_the_size_of_their_image() -> None:
    baseline = UNetBaseline(TINY).fit(toy(3))
    found = baseline.predict_position(np.zeros((31, 50, 3), np.uint8))
    assert found.mask.shape == (31, 50) and found.probabilities.shape == (len(TOY_CLASSES), 31, 50)
    torch.testing.assert_close(found.probabilities.sum(0), torch.ones(31, 50))
    assert found.uncertainty.abs().max() < 1e-5


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), flip=st.booleans())
def test_images_and_masks_move_together(seed: int, flip: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = (torch.rand(4, 1, 6, 6, generator=generator) > 0.5).float()
    targets = torch.nn.functional.interpolate(targets, (48, 48))[:, 0].long()
    images = targets[:, None].expand(-1, 3, -1, -1).float()
    moved, labels = augment(images, targets, Augmentation(color=0, flip=flip), generator)
    assert moved.shape == images.shape and set(labels.unique().tolist()) <= {0, 1}
    # A pixel deep inside a region shows the value of its label; those on edges are blends.
    clear = (moved[:, 0] < 0.01) | (moved[:, 0] > 0.99)
    assert clear.float().mean() > 0.5
    assert torch.equal(moved[:, 0][clear].round().long(), labels[clear])


def test_no_change_asked_for_changes_nothing() -> None:
    images, targets = torch.rand(2, 3, 9, 12), torch.randint(0, 3, (2, 9, 12))
    moved, labels = augment(images, targets, Augmentation(**STILL), torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved, images, atol=1e-5, rtol=0)
    assert torch.equal(labels, targets)


@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_unannotated_pixels_do_not_teach(dice: float) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 4))
    target[:, 2:] = 255
    (gradient,) = torch.autograd.grad(segmentation_loss(logits, target, dice), logits)
    assert gradient[:, :, 2:].abs().max() == 0 and gradient[:, :, :2].abs().min() > 0
    assert segmentation_loss(logits, torch.full_like(target, 255), dice).isfinite()


def test_the_loss_is_cross_entropy_plus_dice() -> None:
    target = torch.tensor([[[0, 1]]])
    certain = torch.tensor([[[[30.0, -30.0]], [[-30.0, 30.0]]]])
    assert segmentation_loss(certain, target, 1.0).item() == pytest.approx(0.0, abs=1e-4)
    even = torch.zeros(1, 2, 1, 2)
    # Each class: overlap 0.5, total 1 + 1; smoothed (2 * 0.5 + 1) / (2 + 1).
    assert segmentation_loss(even, target, 1.0).item() == pytest.approx(np.log(2) + 1 / 3, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
def test_any_number_of_steps_is_a_training(steps: int) -> None:
    images, seen = toy(2), []
    UNetBaseline(TINY.model_copy(update={"steps": steps})).fit(images, progress=lambda *report: seen.append(report))
    assert seen[-1] == ("train", steps, steps)
