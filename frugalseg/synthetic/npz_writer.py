"""A set in the layout of the published files of synthetic images, which `frugalseg.synthetic.npz` reads."""

import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from frugalseg.data.classes import ClassTable
from frugalseg.support.files import FileError, atomic_path, remove_leftovers_of
from frugalseg.support.folders import require_writable
from frugalseg.synthetic.npz import published_arrays
from frugalseg.synthetic.reader import SyntheticSet
from frugalseg.synthetic.sources import GeneratedImages, Source


def require_npz(path: Path, source: Source, classes: ClassTable) -> None:
    """Find out before the work whether `write_npz` will be able to write what comes of it.

    Raises:
        FileError: a folder or a file of another layout is in the way, the folder of the file is missing, images of
            more than one size, or class ids above 255.
        InputError: the folder of the file cannot be written.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise FileError(
            path, "cannot be written: a folder, or in none", "give the name of a file in a folder that exists"
        )
    require_writable(path.parent)
    if path.exists():
        try:
            published_arrays(path)
        except FileError as error:
            raise FileError(
                path, f"would be replaced, and is no such set ({error.message})", "give another name, or delete it"
            ) from None
    require_layout(path, source.sizes(), classes)


def require_layout(path: Path, sizes: Collection[tuple[int, int]], classes: ClassTable) -> None:
    """`FileError` where such a file cannot hold images of these (H, W), or the ids of these classes."""
    if max(classes.ids) > 255:
        raise FileError(path, "class ids above 255 do not fit into its uint8 labels", "number the classes from 0")
    if len(sizes) > 1:
        raise FileError(path, f"the images have {len(sizes)} sizes", "an .npz holds images of one size; use the shards")


def write_npz(path: Path, dataset: SyntheticSet, source: Source | None = None) -> None:
    """Write a set in the published layout, sample by sample: images, labels (as ids) and uncertainties.

    Args:
        path: of the file.
        dataset: the set.
        source: of its images; where they are drawn from latents, these come before the uncertainties.

    Raises:
        FileError: images of more than one size, which such a file cannot hold, or ids above 255.
    """
    remove_leftovers_of(path)
    number = len(dataset)
    sizes = {dataset.size(i) for i in range(number)}
    require_layout(path, sizes, dataset.classes)
    ((height, width),) = sizes
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        samples = (dataset[i].image for i in range(number))
        write_member(archive, "arr_0", (number, height, width, 3), np.uint8, samples)
        ids = (dataset.classes.to_ids(dataset[i].target).astype(np.uint8) for i in range(number))
        write_member(archive, "arr_1", (number, height, width), np.uint8, ids)
        latents = latents_of(dataset, source)
        if latents is not None:
            write_member(archive, "arr_2", latents.shape, np.float32, [latents])
        last = "arr_2" if latents is None else "arr_3"
        write_member(archive, last, (number,), np.float32, [dataset.uncertainties])


def latents_of(dataset: SyntheticSet, source: Source | None) -> NDArray[np.float32] | None:
    """(N, D): what the images of a set were drawn from, as far as its source knows."""
    seeds = [seed for seed in (dataset.seed(place) for place in range(len(dataset))) if seed is not None]
    drawn = isinstance(source, GeneratedImages) and len(seeds) == len(dataset)
    return source.latents(seeds) if drawn else None  # type: ignore[union-attr]


def write_member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: Any, parts: Iterable[NDArray[Any]]
) -> None:
    """One array, uncompressed, from parts that follow one another; always the same bytes for the same values."""
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    header = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with archive.open(info, "w", force_zip64=True) as out:
        npy.write_array_header_1_0(out, header)
        for part in parts:
            out.write(np.ascontiguousarray(part, dtype).data)
