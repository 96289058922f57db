import pytest
import torch

from frugalseg.classifier import tiling
from frugalseg.classifier.prediction import vote, whole
from frugalseg.classifier.tiling import blend
from frugalseg.features.windows import blend_weights, windows


def probabilities_of(size, members=3, classes=4):
    generator = torch.Generator().manual_seed(size[0] * 1000 + size[1])
    return torch.randn(members, classes, *size, generator=generator).softmax(1)


@pytest.mark.parametrize("size", [(50, 70), (16, 16), (9, 33), (100, 12)])
def test_windows_that_agree_give_the_untiled_answer(size):
    everything = probabilities_of((size[0] + 32, size[1] + 32))

    def through(window):
        rows, columns = window.area
        return everything[:, :, rows, columns]

    blended = whole(blend(windows(size, (16, 16), 4, tile=True, overlap=0.5), size, through), size[0])
    expected = vote(everything[:, :, : size[0], : size[1]].contiguous())
    assert torch.equal(blended.mask, expected.mask)
    torch.testing.assert_close(blended.probabilities, expected.probabilities, atol=1e-6, rtol=0)
    torch.testing.assert_close(blended.uncertainty, expected.uncertainty, atol=1e-5, rtol=0)
    assert blended.image_uncertainty == pytest.approx(expected.image_uncertainty, abs=1e-5)


def test_overlaps_are_weighted_towards_the_nearer_centre():
    """Two windows that disagree: the blend moves from one answer to the other across the overlap, without a jump."""
    every = windows((8, 24), (8, 16), 4, tile=True, overlap=0.5)
    assert [w.left for w in every] == [0, 8]

    def through(window):
        sure = torch.zeros(1, 2, 8, 16)
        sure[:, int(window.left > 0)] = 1
        return sure

    (piece,) = blend(every, (8, 24), through)
    share = piece.probabilities[1, 0]
    assert (share[:8] == 0).all()
    assert (share[16:] == 1).all()
    steps = share[7:17].diff()
    assert (steps >= 0).all()
    assert steps.max() < 0.2


def literal(every, size, through):
    """All windows on one canvas, which is voted on as a whole."""
    sums, weights = 0, torch.zeros(size)
    for window in every:
        values, tent = through(window), blend_weights(window.size)
        canvas = torch.zeros(*values.shape[:2], window.top + window.size[0], window.left + window.size[1])
        canvas[:, :, window.top :, window.left :] = values * tent
        rows, columns = (min(a, b) for a, b in zip(canvas.shape[2:], size, strict=True))
        sums = sums + torch.nn.functional.pad(canvas[:, :, :rows, :columns], (0, size[1] - columns, 0, size[0] - rows))
        weights[window.top : rows, window.left : columns] += tent[: rows - window.top, : columns - window.left]
    return vote(sums / weights)


@pytest.mark.parametrize("at_once", [1, 2**24])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.8])
@pytest.mark.parametrize("size", [(50, 70), (12, 90), (90, 12)])
def test_rows_and_columns_that_are_finished_early_give_the_same(size, overlap, at_once, monkeypatch):
    """However little of an image is in memory at a time; windows contradict each other here."""
    monkeypatch.setattr(tiling, "AT_ONCE", at_once)
    every = windows(size, (16, 16), 4, tile=True, overlap=overlap)
    drawn = {window: probabilities_of((16 + window.top, 16 + window.left))[:, :, -16:, -16:] for window in every}

    def through(window):
        rows, columns = window.size
        return drawn[window][:, :, :rows, :columns]

    found, expected = whole(blend(every, size, through), size[0]), literal(every, size, through)
    assert torch.equal(found.mask, expected.mask)
    torch.testing.assert_close(found.probabilities, expected.probabilities, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.uncertainty, expected.uncertainty, atol=2e-6, rtol=0)
