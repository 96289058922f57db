"""What is read from outside: a tiny sound sample of each kind, and the door through which it comes."""

import base64
import io
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from frugalseg import SegmentationFolder
from frugalseg.backbones.alae.checkpoint import load_network
from frugalseg.backbones.stylegan2.encoder.pair import load_inverter
from frugalseg.data.catalogue.items import ITEMS
from frugalseg.data.catalogue.store import FileMark, Store
from frugalseg.data.check import check_folder
from frugalseg.data.folder import check_annotated
from frugalseg.data.images import image_size, page_count, read_image
from frugalseg.data.origins import ORIGINS, Origin, Origins
from frugalseg.data.raw import raw_size, read_raw
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.experiments.recipe import load_recipe
from frugalseg.jobs.download.archive import unpacked
from frugalseg.support import digests
from frugalseg.support.progress import silent
from frugalseg.synthetic import SyntheticSet
from frugalseg.synthetic.record import SetRecord
from frugalseg.synthetic.shard_writer import LabelledImage, claimed_shard, encode, write_shard
from tests.conftest import save_tiny_ddpm
from tests.data.exports.helpers import box, coco, labelme, square, voc
from tests.data.helpers import data_folder, deep_png, deep_tiff, grey_png, halves, picture, save_image, tiff
from tests.fuzz.checkpoints import (
    checkpoints,
    e4e_file,
    e4e_folder,
    family_folder,
    model,
    published_alae,
    read_checkpoints,
    read_model,
    read_stylegan2_pickle,
    stylegan2_folder,
    stylegan2_pickle,
)
from tests.jobs.download.published import archive
from tests.tiny_models import KINDS, save_timm

Files = Mapping[str, bytes]
LONGEST_FINDING = 3100
PACKED = "Wlb0`0n4Ma00"
"""Packed run lengths of an image of 12 x 16; see COCO."""


@dataclass(frozen=True)
class Subject:
    """A sample and its reader.

    Attributes:
        files: the sound sample, by the paths in its folder.
        read: reads all of it from its folder.
        damage: which files are damaged; None: each of them.
        leaves: what reading may leave beside the sample.
    """

    files: Files
    read: Callable[[Path], Any]
    damage: tuple[str, ...] | None = None
    leaves: tuple[str, ...] = ()

    @property
    def targets(self) -> list[str]:
        """The files that are damaged."""
        return sorted(self.files if self.damage is None else self.damage)


def files_of(make: Callable[[Path], Any]) -> Files:
    """The files that `make` writes into a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


# Images


def pictures() -> dict[str, bytes]:
    """A small image in each format and in the modes that are read in other ways."""
    rgb, exif = Image.fromarray(picture(0)), Image.Exif()
    exif[274] = 6
    deep = Image.fromarray(np.arange(192, dtype=np.uint16).reshape(12, 16) * 300)
    paged = files_of(lambda folder: tiff(folder / "p.tif", *np.split(picture(1, 36)[..., 0], 3)))["p.tif"]
    palette = rgb.quantize(8)
    return {
        "rgb.png": encoded(rgb, "PNG", exif=exif),
        "clear.png": encoded(palette, "PNG", transparency=3),
        "deep.png": encoded(deep, "PNG"),
        "moving.png": encoded(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)]),
        "rgb.jpg": encoded(rgb, "JPEG", exif=exif),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG"),
        "rgb.webp": encoded(rgb, "WEBP", exif=exif),
        "rgb.bmp": encoded(rgb, "BMP"),
        "rgb.gif": encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "rgb.jp2": encoded(rgb, "JPEG2000"),
        "rgb.avif": encoded(rgb, "AVIF"),
        "rgb.ppm": encoded(rgb, "PPM"),
        "rgb.tif": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "plain.tif": encoded(rgb, "TIFF"),
        "jpeg.tif": encoded(rgb, "TIFF", compression="jpeg"),
        "zip.tif": encoded(deep, "TIFF", compression="tiff_adobe_deflate"),
        "float.tif": encoded(Image.fromarray(picture(2)[..., 0] / np.float32(255)), "TIFF"),
        "pages.tif": paged,
    }


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def read_pictures(folder: Path) -> None:
    """Each file of a folder as an image."""
    for path in sorted(folder.iterdir()):
        size, pages, image = image_size(path), page_count(path), read_image(path)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
        assert min(size) > 0 and pages > 0


def stacks(folder: Path) -> None:
    """Images of more than three channels or more than 8 bits."""
    values = np.random.default_rng(0).integers(0, 4096, (12, 16, 5)).astype(np.uint16)
    deep_tiff(folder / "stack.tif", values, compress=True)
    deep_tiff(folder / "planes.tif", values.astype(np.float32), separate=True, compress=True, tags={274: 6, 317: 3})
    deep_png(folder / "deep.png", values[..., :4])
    tiff(folder / "pages.tif", *[halves(number, 9) for number in range(4)])


def read_stacks(folder: Path) -> None:
    """Each file of a folder with all its channels; a damaged orientation may turn it on its way."""
    for path in sorted(folder.iterdir()):
        size, values = raw_size(path), read_raw(path)
        assert sorted(values.shape) == sorted(size) and values.size and values.dtype.isnative


# Data folders


def read_data(folder: Path) -> None:
    """A data folder as the doctor and as training read it; what training refuses, the doctor must have found."""
    findings = check_folder(folder)
    for finding in findings:
        assert str(finding).isprintable() and len(str(finding)) < LONGEST_FINDING
    sound = all(finding.level != "error" for finding in findings)
    try:
        data = SegmentationFolder(folder)
        check_annotated(data)
    except Exception:
        assert not sound, findings
        raise
    for example in data:
        assert example.image.shape == (*example.target.shape, 3)


def classes(folder: Path, **more: Any) -> None:
    TOY_CLASSES.to_json(folder / "classes.json")


def masks(folder: Path) -> None:
    """Masks in all formats, beside images."""
    data_folder(folder, [halves(0, 1)] * 6)
    classes(folder)
    place = folder / "masks"
    for name in ("001", "002", "003", "004", "005"):
        (place / f"{name}.png").unlink()
    np.save(place / "001.npy", halves(0, 2).astype(np.int32))
    tiff(place / "002.tif", halves(0, 1), bits=4, white_is_0=True)
    (place / "003.png").write_bytes(grey_png(halves(0, 3), 2))
    Image.fromarray(halves(1, 2)).save(place / "004.bmp")
    indexed = Image.fromarray(halves(0, 1))
    indexed.putpalette(TOY_CLASSES.palette())
    indexed.save(place / "005.png")


def drawn(folder: Path) -> None:
    """Images that a network drew, with the record of their seeds."""
    data_folder(folder, [halves(0, 1)] * 3)
    classes(folder)
    pixels = [example.image for example in SegmentationFolder(folder)]
    images = {f"{n:03d}.png": Origin(2**32 - 1 - n, digests.pixels(each).hex()) for n, each in enumerate(pixels)}
    Origins("stylegan2", "0123456789abcdef", {"truncation": 0.7, "size": [12, 16]}, images).write(folder / ORIGINS)


def labelme_export(folder: Path) -> None:
    shapes = [
        {"label": "cat", "points": [[1, 1], [9, 1], [9, 8]], "shape_type": "polygon"},
        {"label": "dog", "points": [[8, 6], [11, 9]], "shape_type": "circle"},
        {"label": "cat", "points": [[1, 1], [5, 8], [3, 3]], "shape_type": "linestrip"},
        {"label": "dog", "points": [[2, 2], [9, 9]], "shape_type": "mask", "mask": mask_text()},
    ]
    labelme(folder, "a", shapes)
    labelme(folder, "b", [box("dog", 1, 1, 9, 9), box("cat", 3, 3, 9, 9)], seed=1)


def mask_text() -> str:
    return base64.b64encode(encoded(Image.fromarray(halves(0, 255, 8, 8)), "PNG")).decode()


def coco_export(folder: Path) -> None:
    for seed, name in enumerate(("a.png", "b.png")):
        save_image(folder / "images" / name, picture(seed))
    objects = [
        (1, 1, [square(1, 1, 6)]),
        (1, 2, {"size": [12, 16], "counts": [20, 30, 142]}),
        (2, 1, {"size": [12, 16], "counts": [100, 92]}),
        (2, 2, square(2, 2, 7)),
    ]
    coco(folder / "annotations.json", ["a.png", "b.png"], objects, {1: "cat", 2: "dog"})


def voc_export(folder: Path) -> None:
    voc(folder, {"a": halves(0, 1), "b": halves(2, 1)}, [0, 0, 0, 9, 0, 0, 0, 9, 0], spare=["c"])
    (folder / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:9,0,0::\ndog:0,9,0::\n"
    )
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("a\nb\n")


def roboflow_export(folder: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        save_image(folder / f"{name}.jpg", picture(seed))
        save_image(folder / f"{name}_mask.png", halves(seed, 2))
    (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")


# Recipes

RECIPE = b"""title: t
note: n
data: {kind: folder, path: data, test: test, tests: {other: test}}
runs: 1
networks:
  net: {family: ddpm, images: [unlabeled], settings: {steps: 10, image_size: [16, 16]}}
rows:
  - {kind: features, name: c, backbone: colour, segmenter: {members: 1, protocol: {steps: 3}}}
  - {kind: features, name: d, backbone: ddpm, checkpoint: net, options: {timesteps: [50], blocks: [1]}}
  - {kind: unet, name: u, depth: 3, decoder: [8, 8, 8], size: [16, 16], steps: 2, batch: 2}
  - {kind: student, name: s, source: annotated, count: 2, student: {epochs: 1, size: [16, 16]}}
"""


def read_recipe(folder: Path) -> None:
    load_recipe(folder / "recipe.yaml")


# Synthetic sets


def shards(folder: Path) -> None:
    """A set of three images in two shards, with all that `generate` writes but its page."""
    record = SetRecord(3, 2, {"model": "m", "batch_size": 1, "source": {"seed": 0}})
    TOY_CLASSES.to_json(folder / "classes.json")
    record.write(folder)
    for number in range(record.shards):
        numbers = record.numbers(number)
        samples = [encode(LabelledImage(n, picture(n), halves(0, 1), 0.5, seed=n), TOY_CLASSES) for n in numbers]
        with claimed_shard(folder, number, numbers) as file:
            assert file is not None
            write_shard(folder, number, numbers, samples, file)
    for lock in folder.glob(".*"):
        lock.unlink()


def arrays(folder: Path, save: Callable[..., None]) -> None:
    images = np.stack([picture(0), picture(1)])
    save(folder / "set.npz", images, np.stack([halves(0, 1), halves(1, 2)]), np.ones((2, 3)), np.ones(2, np.float32))


def npz(save: Callable[..., None]) -> Subject:
    """A published file; members that are packed, as damage may make them, are unpacked beside it."""
    files = files_of(lambda folder: arrays(folder, save))
    return Subject(files, partial(read_set, "set.npz"), leaves=("set.npz.unpacked",))


def read_set(name: str, folder: Path) -> None:
    """Every sample of a set."""
    for sample in SyntheticSet(folder / name):
        assert sample.image.shape == (*sample.target.shape, 3)
        assert np.isfinite(sample.uncertainty)


# Downloads

CHECKPOINT = ITEMS["mae/lsun_cat"]


def cache(folder: Path) -> None:
    """A downloaded checkpoint with its record."""
    store = Store(folder)
    store.place(CHECKPOINT).parent.mkdir(parents=True)
    store.place(CHECKPOINT).write_bytes(b"weights")
    store.record(CHECKPOINT.remote).write({"url": "", **FileMark.of(store.place(CHECKPOINT)).to_json()})


def read_cache(folder: Path) -> None:
    """Compare a downloaded checkpoint with its record."""
    if (fault := Store(folder).fault(CHECKPOINT, thorough=True)) is not None:
        raise fault


def read_archive(folder: Path) -> None:
    """Unpack a published archive; everything in it lies below the new folder."""
    with unpacked(folder / "a.tar.gz", folder / "out", silent) as out:
        for path in out.rglob("*"):
            assert path.resolve().is_relative_to(out.resolve()) and not path.is_symlink()


MAKERS: dict[str, Callable[[], Subject]] = {
    **{
        f"image {name}": lambda name=name: Subject({name: pictures()[name]}, read_pictures)  # type: ignore[misc]
        for name in pictures()
    },
    "stacks": lambda: Subject(files_of(stacks), read_stacks),
    "masks": lambda: Subject(files_of(masks), read_data),
    "classes.json": lambda: Subject(files_of(masks), read_data, ("classes.json",)),
    "drawn": lambda: Subject(files_of(drawn), read_data, (ORIGINS,)),
    "labelme": lambda: Subject(files_of(labelme_export), read_data, ("a.json", "b.json")),
    "coco": lambda: Subject(files_of(coco_export), read_data, ("annotations.json",)),
    "voc": lambda: Subject(files_of(voc_export), read_data),
    "roboflow": lambda: Subject(files_of(roboflow_export), read_data),
    "recipe": lambda: Subject({"recipe.yaml": RECIPE}, read_recipe),
    **{
        f"weights {name}": lambda name=name: Subject({name: checkpoints()[name]}, read_checkpoints)  # type: ignore[misc]
        for name in ("zip.pt", "old.pt", "w.safetensors")
    },
    "shards": lambda: Subject(files_of(shards), partial(read_set, ".")),
    "npz": lambda: npz(np.savez),
    "packed npz": lambda: npz(np.savez_compressed),
    "cache": lambda: Subject(files_of(cache), read_cache),
    "archive": lambda: Subject({"a.tar.gz": archive({"d/a": b"x" * 99, "d/b": b"y" * 600})}, read_archive),
    "ddpm folder": lambda: Subject(files_of(save_tiny_ddpm), partial(family_folder, "ddpm")),
    "stylegan2 folder": lambda: Subject(files_of(stylegan2_folder), partial(family_folder, "stylegan2")),
    "stylegan2 pickle": lambda: Subject(files_of(stylegan2_pickle), read_stylegan2_pickle),
    "e4e file": lambda: Subject(files_of(e4e_file), lambda folder: load_inverter(folder / "e4e.pt")),
    "e4e folder": lambda: Subject(files_of(e4e_folder), load_inverter),
    "alae file": lambda: Subject(files_of(published_alae), lambda folder: load_network(folder / "model.pth")),
    "timm folder": lambda: Subject(files_of(save_timm), partial(family_folder, "timm")),
    **{
        f"model {kind}": lambda kind=kind: Subject(files_of(partial(model, kind)), read_model)  # type: ignore[misc]
        for kind in KINDS
    },
}
"""Makes each subject by its name."""

SLOW = ("model ddpm", "model swav", "model mae", "model alae", "model vdvae", "model timm", "model student")
"""Subjects for the slow tests alone; some damage to them is tried by tests/test_damaged.py in any case."""
HEAVY = (*SLOW, "e4e file", "e4e folder", "alae file", "ddpm folder", "timm folder")
"""Subjects whose reading takes long."""


class Sample:
    """A subject's files in a folder, of which one at a time is damaged.

    Args:
        subject: what is read.
        folder: an empty one.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.folder = subject, folder
        for name in subject.files:
            self.mend(name)

    def mend(self, name: str) -> None:
        self.write(name, self.subject.files[name])

    def write(self, name: str, content: bytes) -> None:
        """Give a file other bytes; a new file, for the old one may still be mapped."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    def strays(self) -> list[str]:
        """What lies in the folder beside the sample."""
        there = {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}
        allowed = {name for name in there if name.split("/")[0] in self.subject.leaves and ".partial" not in name}
        for name in self.subject.leaves:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return sorted(there - allowed - set(self.subject.files))
