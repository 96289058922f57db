"""Everything that can be downloaded: its name, its address, and where it lies in the cache."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted, size_text

PUBLISHED = "https://storage.yandexcloud.net/yandex-research/ddpm-segmentation"
"""The address below which the authors of the paper have their files."""
GUIDED_DIFFUSION = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021"
"""That of the diffusion networks for LSUN, which are those of guided-diffusion."""

ARCHIVE = ".tar.gz"

Kind = Literal["benchmark", "checkpoint", "set"]


@dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        path: where it lies below the address of a mirror.
        url: its published address.
        bytes: that it takes, about; None where that is not known.
    """

    path: str
    url: str
    bytes: int | None = None

    @property
    def size(self) -> str:
        """In words; "" where it is not known."""
        return "" if self.bytes is None else size_text(self.bytes)

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked once it is here."""
        return self.path.endswith(ARCHIVE)

    def at(self, base: str | None) -> str:
        """Its address: the published one, or that below the address of a mirror."""
        return self.url if base is None else f"{base.rstrip('/')}/{self.path}"


@dataclass(frozen=True)
class Item:
    """Something to download.

    Attributes:
        name: of its own, which can be used wherever a path can.
        kind: of thing.
        what: it is, in words.
        remote: the file that holds it; that of the benchmarks holds all six.
        place: of the file or the unpacked folder, below that of the cache.
        license: what is known of its terms, in words.
        family: of backbones, for a checkpoint.
        benchmark: whose images or classes it has; "" for a checkpoint.
    """

    name: str
    kind: Kind
    what: str
    remote: Remote
    place: str
    license: str
    family: str = ""
    benchmark: str = ""


DATASETS = Remote(f"datasets{ARCHIVE}", f"{PUBLISHED}/datasets{ARCHIVE}", 47_000_000)
"""All six benchmarks."""

TRAINED_ON = {
    "lsun_bedroom": "LSUN bedrooms",
    "ffhq": "FFHQ faces",
    "lsun_cat": "LSUN cats",
    "lsun_horse": "LSUN horses",
}
"""Checkpoints of each kind, and the images that they were trained on."""

NETWORKS = {
    "ddpm": ("ddpm", "diffusion UNet"),
    "swav": ("swav", "SwAV ResNet-50"),
    "swav_w2": ("swav", "SwAV ResNet-50, twice as wide"),
    "mae": ("mae", "MAE ViT-L/8"),
}
"""The first part of a checkpoint's name: its family, and what it is."""

LICENSES = {"ddpm": "MIT", "swav": "MIT, CC BY-NC 4.0", "swav_w2": "MIT, CC BY-NC 4.0", "mae": "MIT, CC BY-NC 4.0"}
"""That of the code that a checkpoint was published with, and that of the code it was trained with, where it is another
one."""
DIFFUSION_BYTES = 2_200_000_000
"""The UNet's 553 million numbers in float32."""

SAMPLES = 50_000
"""Images of each synthetic set."""
SETS = {"synthetic_ddpm": ("ddpm", 7_000_000_000), "synthetic_gan": ("gan", None)}
"""The first part of a synthetic set's name: its folder in the published addresses, and its bytes."""


def _benchmarks() -> list[Item]:
    return [
        Item(each.name, "benchmark", each.what, DATASETS, f"datasets/{each.name}", each.images, benchmark=each.name)
        for each in BENCHMARKS.values()
    ]


def _checkpoints() -> list[Item]:
    found = []
    for kind, (family, network) in NETWORKS.items():
        for name, images in TRAINED_ON.items():
            suffix = ".pt" if kind == "ddpm" else ".pth"
            path = f"models/{kind}_checkpoints/{name}{suffix}"
            guided = kind == "ddpm" and name != "ffhq"
            url = f"{GUIDED_DIFFUSION}/{name}{suffix}" if guided else f"{PUBLISHED}/{path}"
            remote = Remote(path, url, DIFFUSION_BYTES if kind == "ddpm" else None)
            place, what = f"checkpoints/{kind}/{name}{suffix}", f"{network}, {images}"
            found.append(Item(f"{kind}/{name}", "checkpoint", what, remote, place, LICENSES[kind], family))
    return found


def _sets() -> list[Item]:
    found = []
    for kind, (folder, size) in SETS.items():
        for benchmark in (each for each in BENCHMARKS.values() if each.generated):
            path = f"synthetic-datasets/{folder}/{benchmark.name}{ARCHIVE}"
            remote = Remote(path, f"{PUBLISHED}/{path}", size)
            method = {"ddpm": "DatasetDDPM", "gan": "DatasetGAN"}[folder]
            what = f"{SAMPLES:,} generated images of {method}".replace(",", " ")
            place, name = f"synthetic/{folder}/{benchmark.name}", f"{kind}/{benchmark.name}"
            found.append(Item(name, "set", what, remote, place, "MIT", benchmark=benchmark.name))
    return found


ITEMS = {item.name: item for item in (*_benchmarks(), *_checkpoints(), *_sets())}
"""The catalogue, by name."""


def item_named(name: str) -> Item:
    """An item of the catalogue; ``cat_15/test`` and other parts of a benchmark stand for the benchmark.

    Raises:
        InputError: there is none of that name; the nearest one is suggested.
    """
    item = ITEMS.get(name) or ITEMS.get(benchmark_of(name))
    if item is None:
        near = nearest(name)
        meant = f"did you mean {near}? " if near else ""
        raise InputError(f"{quoted(name)[1:-1]}: not in the catalogue; {meant}frugalseg download lists all of it")
    return item


def benchmark_of(name: str) -> str:
    """The benchmark in ``cat_15`` or ``cat_15/test``; "" where the name is no benchmark, or no part of one."""
    benchmark, slash, part = name.partition("/")
    known = BENCHMARKS.get(benchmark)
    return benchmark if known and (not slash or part in known.parts) else ""


def checkpoint_item(name: object) -> Item | None:
    """The checkpoint of a name in the catalogue; None for a path that exists, and for anything else."""
    if not isinstance(name, str | Path):  # families say what they take
        return None
    item = ITEMS.get(Path(name).as_posix())
    return item if item is not None and item.kind == "checkpoint" and not Path(name).exists() else None


def nearest(name: str) -> str | None:
    """The name in the catalogue that is most like another one; None where none is."""
    parts = [f"{each.name}/{part}" for each in BENCHMARKS.values() for part in each.parts]
    known = {key.lower().replace("-", "_"): key for key in (*ITEMS, *parts)}
    near = get_close_matches(name.lower().replace("-", "_"), known, 1, 0.7)
    return known[near[0]] if near else None
