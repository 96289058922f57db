"""A fit and its work folder: what it takes up from there, and how often it reads an image."""

import contextlib
from dataclasses import replace
from functools import partial

import pytest
import torch

from frugalseg import SegmentationFolder, load_backbone, segmenter
from frugalseg.classifier.training import train_ensemble
from tests.jobs.interrupt import Stop
from tests.test_segmenter import Titled, quick


def fit_reporting(model, dataset, work, stop=("", 0)):
    """What a fit reports; it ends where it is to stop."""
    seen = []

    def progress(stage, done, total):
        seen.append((stage, done))
        if (stage, done) == stop:
            raise Stop

    with contextlib.suppress(Stop):
        model.fit(dataset, work=work, progress=progress)
    return seen


@pytest.mark.parametrize("moment", [("features", 2), ("train", 59)])
def test_work_of_other_images_or_another_network_is_not_taken_up(
    moment, tiny_ddpm, toy_train, toy_test, tmp_path, monkeypatch
):
    """Of equal sizes, in the same folder: nothing but their content tells them apart."""
    monkeypatch.setattr(segmenter, "train_ensemble", partial(train_ensemble, checkpoint_seconds=0))
    taps = {"timesteps": (50,), "blocks": (1,)}
    ours, retrained = load_backbone("ddpm", tiny_ddpm, **taps), load_backbone("ddpm", tiny_ddpm, **taps)
    retrained = retrained.reinitialised(1)
    first, others = SegmentationFolder(toy_train)[:3], SegmentationFolder(toy_test)
    same_labels = [replace(a, image=b.image) for a, b in zip(first, others, strict=True)]
    fit_reporting(quick(ours), first, tmp_path, stop=moment)
    resumed = fit_reporting(quick(ours), first, tmp_path)
    assert (
        resumed[:2]
        == {"features": [("features", 2), ("features", 3)], "train": [("features", 3), ("train", 60)]}[moment[0]]
    )
    for backbone, examples in ((ours, same_labels), (retrained, same_labels)):
        model = quick(backbone)
        table = SegmentationFolder(toy_train).classes
        seen = fit_reporting(model, Titled(examples, table), tmp_path)
        assert ("features", 0) in seen and ("train", 1) in seen
        again = quick(backbone).fit(examples, classes=table)
        assert torch.equal(model.classifier.linear1.weight, again.classifier.linear1.weight)


class CountingFolder(SegmentationFolder):
    """Counts the images that are read, one by one, in whichever way."""

    read = 0

    def __getitem__(self, index):
        type(self).read += not isinstance(index, slice)
        return super().__getitem__(index)


def test_the_library_reads_an_image_as_often_as_its_maps_are_computed(tiny_ddpm, toy_train):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1,))
    for mirror, expected in ((False, 4), (True, 8)):
        CountingFolder.read = 0
        quick(backbone, mirror=mirror).fit(CountingFolder(toy_train))
        assert CountingFolder.read == expected
