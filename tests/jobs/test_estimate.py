"""What fit says before it starts."""

import time

import numpy as np

from frugalseg.backbones import load_backbone
from frugalseg.data.folder import SegmentationFolder
from frugalseg.jobs.estimate import PredictionEstimate, estimate_fit, least_seconds
from frugalseg.segmenter import Segmenter
from tests.data.helpers import data_folder, halves


def test_the_cost_of_a_prediction(tiny_ddpm, toy_train):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150), blocks=(1,))
    segmenter = Segmenter(backbone, members=2, tile=True, network_size=(24, 24))
    estimate = estimate_fit(segmenter, SegmentationFolder(toy_train))
    assert (estimate.prediction.size, estimate.prediction.windows, estimate.prediction.steps) == ((48, 48), 9, 2)
    assert estimate.prediction.seconds > 9 * estimate.feature_seconds / estimate.passes > 0
    assert f"; {estimate.prediction} (with nothing else running" in str(estimate)
    whole = estimate_fit(Segmenter(load_backbone("colour"), members=2), SegmentationFolder(toy_train)).prediction
    assert (whole.windows, whole.steps) == (1, 1) and str(whole).endswith(": 1 window")


def test_a_first_image_of_a_single_pixel(tmp_path):
    """It is too small to train on by itself; the images together are not."""
    data = data_folder(tmp_path / "data", [np.zeros((1, 1), np.uint8), halves(0, 1), halves(1, 0)])
    estimate = estimate_fit(
        Segmenter(load_backbone("colour", native_size=(16, 16)), members=1), SegmentationFolder(data)
    )
    assert estimate.images == 3 and estimate.training_seconds > 0


def test_it_is_one_sentence():
    said = str(PredictionEstimate((768, 512), 121, 3, 20.4))
    assert said == "predicting an image of 768x512 will take about 20 s: 121 windows x 3 steps"


def test_times_in_which_others_work_do_not_count():
    """A sleeping process takes no processor time, as one that waits for a busy processor."""
    segmenter = Segmenter(load_backbone("colour"))
    assert least_seconds(lambda: time.sleep(0.1), segmenter) < 0.05
