"""Streams of batches: functions of seed and step."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from frugalseg.training.stream import Order, seeded_noise


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
def test_every_image_comes_once_an_epoch(count: int, seed: int, epoch: int) -> None:
    order = Order(count, seed)
    assert sorted(order[epoch * count + i] for i in range(count)) == list(range(count))


def test_epochs_differ_and_positions_need_no_history() -> None:
    order = Order(50, seed=1)
    sequence = [order[i] for i in range(100)]
    assert sequence[:50] != sequence[50:]
    assert Order(50, seed=1)[73] == sequence[73]
    assert [Order(50, seed=2)[i] for i in range(50)] != sequence[:50]


def test_noise_follows_each_samples_seed() -> None:
    noise = seeded_noise([5, 6, 5], (3, 8, 8))
    assert torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], noise[1])
    assert abs(float(seeded_noise(range(64), (3, 8, 8)).std()) - 1) < 0.05
