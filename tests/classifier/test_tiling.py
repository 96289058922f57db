import pytest
import torch

from frugalseg.classifier.prediction import vote
from frugalseg.classifier.tiling import blend
from frugalseg.features.windows import windows


def probabilities_of(size, members=3, classes=4):
    generator = torch.Generator().manual_seed(size[0] * 1000 + size[1])
    return torch.randn(members, classes, *size, generator=generator).softmax(1)


@pytest.mark.parametrize("size", [(50, 70), (16, 16), (9, 33), (100, 12)])
def test_windows_that_agree_give_the_untiled_answer(size):
    whole = probabilities_of((size[0] + 32, size[1] + 32))

    def through(window):
        rows, columns = window.area
        return whole[:, :, rows, columns]

    blended = blend(windows(size, (16, 16), 4, tile=True, overlap=0.5), size, through)
    expected = vote(whole[:, :, : size[0], : size[1]].contiguous())
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

    share = blend(every, (8, 24), through).probabilities[1, 0]
    assert (share[:8] == 0).all()
    assert (share[16:] == 1).all()
    steps = share[7:17].diff()
    assert (steps >= 0).all()
    assert steps.max() < 0.2
