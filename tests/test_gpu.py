"""The same answers on an accelerator: make gpu."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.ensemble_training import PROTOCOLS

pytestmark = pytest.mark.gpu
QUICK = replace(PROTOCOLS["default"], steps=60)


@pytest.fixture(autouse=True)
def exact():
    """Without TF32, so that both devices compute in float32."""
    torch.backends.cudnn.allow_tf32 = False


def test_a_model_predicts_the_same_on_both_devices(tiny_ddpm, toy_train, toy_test, tmp_path):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150), blocks=(1, 2))
    Segmenter(backbone, protocol=QUICK, members=3).fit(SegmentationFolder(toy_train)).save_pretrained(tmp_path / "m")
    images = [example.image for example in SegmentationFolder(toy_test)]
    found = {}
    for device in ("cpu", "cuda"):
        found[device] = list(Segmenter.from_pretrained(tmp_path / "m", device=device).predict(images, batch_size=2))
    for a, b in zip(found["cpu"], found["cuda"], strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-3)
        assert (a.mask == b.mask).mean() > 0.999


def test_fitting_on_a_gpu_learns_what_fitting_on_a_cpu_learns(tiny_ddpm, toy_train):
    dataset = SegmentationFolder(toy_train)
    scores = {}
    for device in ("cpu", "cuda"):
        backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150), blocks=(1, 2))
        model = Segmenter(backbone, protocol=QUICK, members=3, device=device).fit(dataset)
        scores[device] = model.evaluate(dataset).metrics()["pixel_accuracy"]
    assert scores["cuda"] == pytest.approx(scores["cpu"], abs=0.02)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_runs(precision, tiny_ddpm, toy_train):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1,), precision=precision)
    model = Segmenter(backbone, protocol=QUICK, members=2, device="cuda").fit(SegmentationFolder(toy_train))
    assert np.isfinite(next(model.predict([np.zeros((48, 48, 3), np.uint8)])).probabilities).all()
