"""What version 0.1.0 leaves on disk, as small as it goes: ``v0.1.0.tar.gz`` and ``expected.json``.

Run at commit 83f4425, which is version 0.1.0, from the root of the repository::

    python -m tests.earlier.make_earlier

It is kept to show how the archive came about; later versions read the archive and need not be able to run this. All
is written by the commands themselves, called with paths relative to the root of the archive, for their records name
inputs as they were given. Afterwards, so that the archive stays small and tells of no machine:

- the numbers of a network, and of the states of training, are replaced by a few of them, repeated (`plain`). Networks
  are made plain before anything is done with them, so that what is recorded of them holds;
- every file is of one date, for records know inputs by that;
- logs lose the place of the archive, event files the name of the machine, pages all that is on them.

Where nothing else would show that a command went on from what was there, that is marked: the stored features of
``fit/features.work`` are `FEATURE`, and what is under way in ``fit/train.work`` and ``distill/train.work`` is all but
certain of class `CLASS` everywhere.
"""

import gzip
import io
import json
import os
import sys
import tarfile
from contextlib import ExitStack, chdir, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
import yaml
from frugalseg.ensemble_training import train_ensemble
from PIL import Image
from safetensors.torch import load_file, save_file

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.cli import app
from frugalseg.data.toy import write_toy_folder
from frugalseg.experiments.networks import with_networks
from frugalseg.experiments.recipe import load_recipe
from tests.conftest import save_tiny_ddpm
from tests.earlier.commands import CLASS, FEATURE, IMAGE, PHOTOS, PRETRAIN, TEST, TRAIN, arguments
from tests.jobs.interrupt import Stop, stop_at

HERE = Path(__file__).parent
NAME = "v0.1.0"
DATE = 1_767_225_600  # the first second of 2026
VALUES = 13  # of a tensor, once it is plain
RECIPE = {
    "title": "an earlier comparison",
    "data": {"kind": "folder", "path": "inputs/study"},
    "networks": {
        "drawn": {
            "family": "ddpm",
            "images": ["../photos"],
            "settings": {
                "image_size": [8, 8],
                "steps": 2,
                "batch_size": 4,
                "base_channels": 8,
                "multipliers": [1, 2],
                "layers": 1,
                "attention_levels": 1,
            },
        }
    },
    "rows": [
        {
            "kind": "features",
            "name": "features",
            "checkpoint": "drawn",
            "options": {"timesteps": [50], "blocks": [1, 2]},
            "segmenter": {"members": 1, "small_region": 1, "protocol": {"steps": 5, "batch_size": 16}},
        },
        {"kind": "unet", "name": "U-Net", "decoder": [8, 8, 8], "steps": 2, "batch": 2},
        {
            "kind": "student",
            "name": "student",
            "source": "images",
            "images": "../photos",
            "student": {
                "architecture": "linknet",
                "encoder": "tu-test_efficientnet",
                "epochs": 1,
                "least_steps": 2,
                "batch_size": 2,
            },
        },
    ],
    "runs": 2,
    "pictures": 1,
}


def run(out, *more, stop=None):
    """Run the command that writes to a folder, to its end or to a moment (stage, done) of its progress."""

    @contextmanager
    def stopping():
        yield stop_at(*stop)

    print(out, file=sys.stderr)
    with ExitStack() as stack:
        if stop is not None:
            stack.enter_context(patch("frugalseg.progress.bars", stopping))
        try:
            app(arguments(out, *more), standalone_mode=False)
        except Stop:
            return
    assert stop is None, f"{out}: went past {stop}"


# Small files


def plain(values):
    """A tensor of as many numbers, but only some of them, repeated; what training tells by their sizes stays alike."""
    if not values.is_floating_point() or values.numel() <= VALUES:
        return values
    ordered = values.flatten().sort().values
    chosen = ordered[(torch.arange(VALUES) * 5 % VALUES) * (values.numel() - 1) // (VALUES - 1)]
    return chosen.repeat(values.numel() // VALUES + 1)[: values.numel()].view(values.shape).clone()


def plain_values(content):
    """`plain` for all tensors in dictionaries and lists."""
    if isinstance(content, torch.Tensor):
        return plain(content)
    if isinstance(content, dict):
        found = {key: plain_values(value) for key, value in content.items()}
        if "exp_avg_sq" in found:  # of Adam, whose steps would be huge where it is small beside the other moment
            found["exp_avg_sq"] = content["exp_avg_sq"].max().expand_as(content["exp_avg_sq"]).clone()
        return type(content)(found)
    return [plain_values(value) for value in content] if isinstance(content, list) else content


def make_plain(folder):
    """`plain` for all files of weights and states below a folder; event files lose the name of the machine.

    Before the files are used: a comparison knows a checkpoint by all names and contents in its folder.
    """
    for number, path in enumerate(sorted(Path(folder).rglob("events.out.tfevents.*"))):
        path.rename(path.with_name(f"events.out.tfevents.{DATE}.machine.{number}.0"))
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix == ".safetensors":
            save_file({key: plain(value) for key, value in load_file(path).items()}, path)
        elif path.suffix in (".ckpt", ".pt"):
            torch.save(plain_values(torch.load(path, weights_only=True)), path)


def settle(folder):
    """Give all that is in a folder one date."""
    for path in [Path(folder), *Path(folder).rglob("*")]:
        os.utime(path, (DATE, DATE))


def mark(content):
    """Set the bias of `CLASS` in all last layers in a state of training."""
    for key, value in content.items():
        if isinstance(value, dict):
            mark(value)
        elif key.endswith(("linear3.bias", "segmentation_head.0.bias", "segmentation_head.1.bias")):
            value[..., CLASS] = 10_000


def mark_file(path):
    content = torch.load(path, weights_only=True)
    mark(content)
    torch.save(content, path)


# What is in the archive


def inputs():
    write_toy_folder(PHOTOS, 6, seed=3, masks=False, size=16)
    write_toy_folder(TRAIN, 4, seed=1, size=16)
    write_toy_folder(TEST, 2, seed=1, first=100, size=16)
    Path("inputs/recipe.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    save_tiny_ddpm("inputs/ddpm", size=8)
    make_plain("inputs")
    settle("inputs")


def pretraining():
    """Runs that were stopped after their second step of six."""
    for family in PRETRAIN:
        for _ in range(2):
            run(f"pretrain/{family}", "--max-minutes", "1e-9")
        make_plain(f"pretrain/{family}")
    settle("pretrain")


def models():
    """One of each family, with different settings; the student comes later."""
    for family in ("ddpm", "colour", "mae", "swav"):
        run(f"models/{family}")
    # Its weights are made plain before it is fitted, for which there is no command.
    backbone = load_backbone("timm", model="test_convnext", pretrained=False, layers=(0, 1))
    backbone.load_state_dict(plain_values(backbone.state_dict()))
    model = Segmenter(backbone, members=1, network_size=(32, 32), small_region=2)
    model.fit(SegmentationFolder(TRAIN)).save_pretrained("models/timm")
    settle("models")


def outputs():
    """Whole ones and interrupted ones of every other command."""
    run("fit/features", stop=("features", 3))
    for path in Path("fit/features.work/maps").glob("*.f16"):
        stored = np.fromfile(path, np.float16)
        stored[: len(stored) * 3 // 4] = FEATURE
        stored.tofile(path)
    with patch("frugalseg.segmenter.train_ensemble", partial(train_ensemble, checkpoint_seconds=0)):
        run("fit/train", stop=("train", 298))
    run("predict/whole")
    run("predict/part", stop=("predict", 3))
    run("generate/whole")
    run("generate/part", stop=("generate", 65))
    run("generate/photographs")
    run("generate/annotation")
    run("generate/annotation-part", stop=("draw", 2))
    settle("generate")
    run("models/student")
    run("distill/train", stop=("train", 5))
    for folder in ("fit", "distill", "models/student"):
        make_plain(folder)
    mark_file("fit/train.work/ensemble.pt")
    mark_file("distill/train.work/training/student.ckpt")


def comparison():
    """Its network is trained and made plain before the command, which then leaves it alone."""
    recipe = load_recipe("inputs/recipe.yaml")
    with_networks(recipe, "comparison")
    make_plain("comparison")
    run("comparison")


def expectation(folder):
    """What a model says of `IMAGE`."""
    (found,) = Segmenter.from_pretrained(folder).predict([np.asarray(Image.open(IMAGE).convert("RGB"))])
    first, second = np.sort(found.probabilities, axis=0)[[-1, -2]]
    print(f"{folder}: {len(np.unique(found.mask))} classes, by {(first - second).min():.1e} or more")
    return {
        "mask": ["".join(map(str, row)) for row in found.mask.tolist()],
        "probabilities": found.probabilities.mean(axis=(1, 2)).round(6).tolist(),
        "uncertainty": round(found.image_uncertainty, 6),
    }


# The archive


def content_of(path, root):
    """The bytes of a file, without the place of the archive; a page is left empty."""
    if path.suffix == ".html":
        return b"<!doctype html>\n"
    content = path.read_bytes()
    return content.replace(f"{root}/".encode(), b"") if path.suffix in (".log", ".txt") else content


def pack(root, file):
    """All files below a folder, all of one date and nobody's."""
    with (
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            info, content = tarfile.TarInfo(str(path.relative_to(root))), content_of(path, root)
            info.size, info.mtime = len(content), DATE
            tar.addfile(info, io.BytesIO(content))


def main():
    with TemporaryDirectory() as place, chdir(place):
        for step in (inputs, pretraining, models, outputs, comparison):
            step()
        expected = {path.name: expectation(path) for path in sorted(Path("models").iterdir())}
        with (HERE / f"{NAME}.tar.gz").open("wb") as file:
            pack(Path(place).resolve(), file)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
