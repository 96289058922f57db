from dataclasses import replace

import pytest

from frugalseg.backbones import load_backbone
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.folder import SegmentationFolder
from frugalseg.segmenter import Segmenter
from frugalseg.synthetic import GeneratedImages, generate, generator_of


@pytest.fixture(scope="session")
def segmenter(tiny_ddpm, toy_train):
    """Fitted in a moment; its network draws images of 16x16."""
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1, 2))
    protocol = replace(PROTOCOLS["default"], steps=20)
    return Segmenter(backbone, members=3, protocol=protocol).fit(SegmentationFolder(toy_train))


@pytest.fixture(scope="session")
def drawn(segmenter):
    """A source of so many images, in two steps of the network each."""

    def source(count, seed=0, **options):
        return GeneratedImages(
            generator_of(segmenter.backbone, {"sampling_steps": 2, "first_step": 900, **options}), count, seed
        )

    return source


@pytest.fixture(scope="session")
def written(segmenter, drawn, tmp_path_factory):
    """A set of 10 images in shards of 4; not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    return generate(segmenter, drawn(10), out, batch_size=3, shard_size=4)
