"""Files in the published layouts, as small as they can be."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
import torch
from PIL import Image

from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from tests.golden.golden import load, tensors

SIDE = 16


@cache
def pair(seed: int, classes: int) -> tuple[bytes, bytes]:
    """An image and its label: two classes, each on a half of its own brightness."""
    random = np.random.default_rng(seed)
    left, right = seed % classes, (seed + 1) % classes
    mask = np.full((SIDE, SIDE), left, np.uint8)
    mask[:, SIDE // 2 :] = right
    image = (10 * mask[..., None] + random.integers(0, 10, (SIDE, SIDE, 3))).astype(np.uint8)
    png, npy = io.BytesIO(), io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    np.save(npy, mask)
    return png.getvalue(), npy.getvalue()


def benchmark_files(name: str, more: int = 0, ids: int = 3) -> dict[str, bytes]:
    """The files of a benchmark by their paths in its folder.

    Each part has `more` images than it should; the masks have the numbers below `ids`.
    """
    benchmark, files = BENCHMARKS[name], dict[str, bytes]()
    for number, part in enumerate(benchmark.parts.values()):
        for place in range(part.images + more):
            image, label = pair(1000 * number + place, ids)
            files[f"{part.folder}/img_{place:03d}.png"] = image
            files[f"{part.folder}/img_{place:03d}.npy"] = label
    return files


def archive(files: Mapping[str, bytes], members: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """A ``.tar.gz`` of files, and of members without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in members:  # `addfile` wants the content that some only claim to have
            tar.fileobj.write(member.tobuf())
    return out.getvalue()


@cache
def datasets(*names: str, top: str = "", more: int = 0) -> bytes:
    """``datasets.tar.gz`` with some of the benchmarks."""
    return archive(
        {f"{top}{name}/{path}": content for name in names for path, content in benchmark_files(name, more).items()}
    )


@cache
def synthetic_set(name: str, ids: int = 3) -> bytes:
    """The archive of a synthetic set of four samples."""
    pairs = [pair(seed, ids) for seed in range(4)]
    images = np.stack([np.asarray(Image.open(io.BytesIO(image))) for image, _ in pairs])
    labels = np.stack([np.load(io.BytesIO(label)) for _, label in pairs])
    out = io.BytesIO()
    np.savez(out, images, labels, np.linspace(0, 1, 4, dtype=np.float32))
    return archive({f"{name}/samples_256x256x3.npz": out.getvalue()})


def all_ids(name: str) -> int:
    """How many numbers the masks of a benchmark have, that of an ignored background included."""
    return BENCHMARKS[name].classes + (name == "bedroom_28")


@cache
def mae_file() -> bytes:
    """A published MAE checkpoint of a small network."""
    return saved({"model": golden_tensors("mae_vit_tiny")})


@cache
def ddpm_file() -> bytes:
    """A diffusion network of guided-diffusion that is small; the options are `DDPM_OPTIONS`."""
    return saved(golden_tensors("guided_diffusion_tiny"))


@cache
def swav_file() -> bytes:
    """A SwAV network as published."""
    return saved(golden_tensors("swav_rn50"))


DDPM_OPTIONS = {"image_size": 32, "head_channels": 16}


def golden_tensors(name: str) -> dict[str, torch.Tensor]:
    """The tensors of a published layout, filled by a rule."""
    return {key: torch.from_numpy(values) for key, values in tensors(load(name)).items()}


def saved(state: object) -> bytes:
    """A file of torch."""
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()
