"""The data of a comparison: how a recipe describes them, and the opened folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from frugalseg.data.catalogue.names import benchmark_place
from frugalseg.data.channels import PERCENTILES, ChannelChoice, ChannelSpec
from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.data.image_folder import list_images
from frugalseg.data.layout import classes_file
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.experiments.cached_folder import CachedFolder, Memory
from frugalseg.experiments.validation import Positive, Seed, Strict, Whole
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.paths import as_path
from frugalseg.support.records import kept

MAIN = "test"
"""The name of the test set that methods are ranked by."""

PHOTOGRAPHS_SEED = 3
"""Seed of the toy images that stand for photographs without annotation; they are in no other set."""

MEMORY = 256 * 2**20
"""Bytes of decoded images that a comparison keeps in memory."""


class ToyData(Strict):
    """Built-in images, written below the run's folder.

    Attributes:
        train, test: numbers of annotated images.
        train_seed, test_seed: seeds of the sets that the images are taken from.
        size: sides in pixels.
    """

    kind: Literal["toy"]
    train: Positive = 20
    test: Positive = 100
    train_seed: Seed = 1
    test_seed: Seed = 2
    size: Annotated[Whole, Field(ge=16, le=4096)] = 48

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if self.train_seed == self.test_seed:
            raise ValueError(
                f"train_seed and test_seed are both {self.test_seed}, and what is tested would have been learned; give "
                "different numbers"
            )
        return self

    def folders(self, folder: Path) -> tuple[Path, dict[str, Path]]:
        """The folder to train on, and those to test on by name, written below `folder` where they are missing."""
        splits = (("train", self.train, self.train_seed), ("test", self.test, self.test_seed))
        places = []
        for split, count, seed in splits:
            # Named after all that decides what is in it, so that another recipe's images are never taken for these.
            places.append(folder / "data" / f"{split}-{self.size}px-seed{seed}-{count}")
            write_toy_folder(places[-1], count, seed, size=self.size)
        return places[0], {MAIN: places[1]}

    def inputs(self, images: Sequence[str]) -> list[Path]:
        """None: all of them are made below the run's folder."""
        return []

    def choice(self) -> ChannelChoice | None:
        """None: they are RGB."""
        return None

    def photographs(self, images: str | None, count: int, folder: Path) -> Path:
        """The folder of `count` images of a third set, without masks; written below `folder`.

        Raises:
            InputError: `images` is given, or the third set is one of the others.
        """
        if images is not None:
            raise InputError("images: built-in data have no such folders; leave the key out, for count says how many")
        if PHOTOGRAPHS_SEED in (self.train_seed, self.test_seed):
            raise InputError(
                f"the built-in photographs are the set of the seed {PHOTOGRAPHS_SEED}; give another train_seed and "
                "test_seed"
            )
        place = folder / "data" / f"photographs-{self.size}px-seed{PHOTOGRAPHS_SEED}-{count}"
        write_toy_folder(place, count, PHOTOGRAPHS_SEED, masks=False, size=self.size)
        return place

    def unlabeled(self, images: Sequence[str], count: int, folder: Path) -> list[Path]:
        """The folder of the images that networks are trained on: those of `photographs`."""
        return [self.photographs(images[0] if images else None, count, folder)]


class FolderData(Strict):
    """The user's own images.

    Attributes:
        path: the folder that holds all others, relative to where the command is run; or the name of a published
            benchmark, whose folders are ``real/train``, ``real/test`` and ``ddpm``.
        train, test: data folders in `path`.
        tests: further data folders in `path`, by the name that each test set shall have in the results. Methods are
            evaluated on all of them, and ranked by `test` alone.
        channels: which channels of the images are used, counted from 1; None reads images as RGB.
        percentiles: of the training images' values that become 0 and 255, with `channels`.
    """

    kind: Literal["folder"]
    path: Annotated[str, Field(min_length=1)]
    train: str = "train"
    test: str = "test"
    tests: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    channels: tuple[int, ...] | None = None
    percentiles: tuple[float, float] = PERCENTILES

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if MAIN in self.tests:
            raise ValueError(f"{MAIN!r} is the name of the main test set; give the further one another name")
        return self

    @model_validator(mode="after")
    def _channels_exist(self) -> Self:
        if self.choice() is None and self.percentiles != PERCENTILES:
            raise ValueError("percentiles: only with channels, whose values they scale; add these, or leave them out")
        return self

    @property
    def root(self) -> Path:
        """The folder that holds all others; `InputError` for a benchmark that is not downloaded yet."""
        return benchmark_place(as_path(self.path, "data folder"))

    def choice(self) -> ChannelChoice | None:
        """The channels as a choice; `InputError` where they are impossible."""
        return None if self.channels is None else ChannelChoice(self.channels, self.percentiles)

    def folders(self, folder: Path) -> tuple[Path, dict[str, Path]]:
        """The folder to train on, and those to test on by name; `InputError` where `path` is missing."""
        root = self.root
        if not root.is_dir():
            raise InputError(f"{root}: no such data folder; give its place with --data")
        tests = {MAIN: self.test, **self.tests}
        return root / self.train, {name: root / place for name, place in tests.items()}

    def inputs(self, images: Sequence[str]) -> list[Path]:
        """The data folders, and those of the names `images` in `path`."""
        return [self.root / part for part in (self.train, self.test, *self.tests.values(), *images)]

    def photographs(self, images: str | None, count: int, folder: Path) -> Path:
        """The folder of images that `images` names in `path`; `InputError` where it is not named or holds none."""
        if images is None:
            raise InputError(
                "source images: name the folder of photographs in the data folder, such as images: unlabeled"
            )
        place = self.root / images
        list_images(place)
        return place

    def unlabeled(self, images: Sequence[str], count: int, folder: Path) -> list[Path]:
        """The folders that networks are trained on, which `images` name in `path`; `InputError` where none is named."""
        if not images:
            raise InputError("images: name one or more folders of images in the data folder, such as [unlabeled]")
        return [self.root / part for part in images]


Data = Annotated[ToyData | FolderData, Field(discriminator="kind")]
DATA_KINDS: dict[str, type[Strict]] = {"toy": ToyData, "folder": FolderData}


@dataclass(frozen=True)
class Datasets:
    """The opened data of a comparison, with one class table.

    Attributes:
        train: annotated images to learn from.
        tests: test sets by name; the first is `MAIN`.
    """

    train: SegmentationFolder
    tests: dict[str, SegmentationFolder]

    @property
    def channels(self) -> ChannelSpec | None:
        """The channels of all images, scaled as those of the training set; None for RGB."""
        return self.train.channels

    @property
    def test(self) -> SegmentationFolder:
        """The main test set."""
        return self.tests[MAIN]

    @property
    def further(self) -> dict[str, SegmentationFolder]:
        """The test sets beside the main one."""
        return {name: part for name, part in self.tests.items() if name != MAIN}

    def check(self) -> None:
        """Read every image; `FileError` for one that is wrong, or for a folder in which nothing is annotated."""
        for part in (self.train, *self.tests.values()):
            check_annotated(part)

    def digest(self) -> str:
        """Of the files of the training set and of the main test set, and of chosen channels."""
        files = digests.contents([*self.train.files, *self.test.files])
        return files if self.channels is None else digests.text(f"{files} {self.channels}")

    def further_digests(self) -> dict[str, str]:
        """Of the files of each further test set, by name."""
        return {name: digests.contents(part.files) for name, part in self.further.items()}


def with_tables(digest: str, folders: Sequence[SegmentationFolder], out: Path) -> str:
    """A digest of data; also of what their ``classes.json`` say, where that is not what they said at first.

    Args:
        digest: of the files.
        folders: that these are of.
        out: folder of the comparison.
    """
    places = [classes_file(folder.path) for folder in folders]
    tables = [None if place is None else ClassTable.from_json(place) for place in places]
    said = digests.values([None if each is None else [each.ids, each.names, each.ignore_index] for each in tables])
    changed = change(said, f"classes-{digest[: digests.SHORT]}", out)
    return digests.text(f"{digest} {changed}") if changed else digest


def change(said: str, name: str, out: Path) -> str:
    """What is said of something, where that is not what was said of it at first; else nothing.

    For what the digests of earlier versions leave out: what was finished with these remains what it is.

    Args:
        said: now.
        name: of the something.
        out: folder of the comparison, where it is noted what is said at first.
    """
    return "" if kept(out / "first_seen" / f"{name}.json", lambda: said, str) == said else said


def open_data(data: ToyData | FolderData, folder: Path) -> Datasets:
    """Open the data folders of a recipe. Images are decoded when asked for, and up to `MEMORY` bytes of them once.

    Args:
        data: of the recipe.
        folder: of the comparison, below which built-in images are written.

    Raises:
        InputError: a folder is missing or wrong.
    """
    train_place, test_places = data.folders(folder)
    memory = Memory(MEMORY)
    train = CachedFolder(train_place, channels=data.choice(), memory=memory)
    tests: dict[str, SegmentationFolder] = {
        name: CachedFolder(place, train.classes, train.channels, memory=memory) for name, place in test_places.items()
    }
    return Datasets(train, tests)
