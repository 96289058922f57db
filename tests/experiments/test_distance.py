"""The distance between sets of images: nothing between halves of one, much between different ones, its closed form."""

import numpy as np
import torch

from frugalseg.backbones import load_backbone
from frugalseg.experiments.distance import kernel_distance, pooled_features


def test_pooled_features_are_means_over_the_image() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :, 0] = 255
    (row,) = pooled_features(load_backbone("colour", native_size=(4, 6)), [image])
    torch.testing.assert_close(row, torch.tensor([0.0, -1.0, -1.0, 0.0, 0.0]))


def test_halves_of_one_set_are_at_no_distance_and_others_far_apart() -> None:
    draws = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 150, 8, generator=draws)
    near, spread = kernel_distance(first, second)
    far, _ = kernel_distance(first, second + 1)
    assert abs(near) < 3 * spread and far > 20 * spread


def test_it_is_the_unbiased_mmd_with_a_cubic_kernel() -> None:
    draws = torch.Generator().manual_seed(1)
    real, generated = torch.randn(2, 40, 3, generator=draws, dtype=torch.float64)
    mean, spread = kernel_distance(real, generated)  # subsets of 39 of 40: nearly the whole sets
    x, y = ((values - real.mean(0)) / real.std(0) for values in (real, generated))

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a @ b.T / 3 + 1) ** 3

    def off_diagonal_mean(values: torch.Tensor) -> torch.Tensor:
        return (values.sum() - values.diag().sum()) / (len(values) * (len(values) - 1))

    expected = off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y)) - 2 * kernel(x, y).mean()
    assert abs(mean - float(expected)) < 2 * spread


def test_one_seed_one_result() -> None:
    draws = torch.Generator().manual_seed(2)
    real, generated = torch.randn(2, 30, 3, generator=draws)
    state = torch.random.get_rng_state()
    assert kernel_distance(real, generated, seed=3) == kernel_distance(real, generated, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
