"""What the benchmarks of accuracy learn from and test on: folders, or images made by code."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.textures import TEXTURE_CLASSES, texture_examples
from frugalseg import SegmentationFolder
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example


def add_data(options: argparse.ArgumentParser) -> None:
    """The options that `Data.of` reads."""
    options.add_argument("data", help="textures, toy, or a folder with train/")
    options.add_argument("--split", default="validation", help="folder of DATA to test on")
    options.add_argument("--images", type=int, default=10, help="annotated textures or toys")
    options.add_argument("--tested", type=int, default=20, help="textures or toys to test on")
    options.add_argument("--drawing", type=int, default=0, help="which textures or toys")


@dataclass(frozen=True)
class Data:
    """What is learned from and what is tested on."""

    name: str
    train: Sequence[Example]
    test: Sequence[Example]
    classes: ClassTable

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Data":
        """A folder's splits, or images made by code, of which there is an endless set for each seed."""
        learned, tested = (2, 1) if options.quick else (options.images, options.tested)
        seed, other, side = 2 * options.drawing, 2 * options.drawing + 1, 48 if options.quick else 192
        if options.data == "textures":
            drawn = texture_examples(learned, seed, side), texture_examples(tested, other, side)
            return cls("textures", *drawn, TEXTURE_CLASSES)
        if options.data == "toy":
            toys = [toy_example(seed, n) for n in range(learned)], [toy_example(other, n) for n in range(tested)]
            return cls("built-in images", *toys, TOY_CLASSES)
        folder = Path(options.data)
        train = SegmentationFolder(folder / "train")
        test = SegmentationFolder(folder / options.split, train.classes)
        return cls(folder.name, train, test, train.classes)
