"""The chain of DatasetGAN by the command line: draw, annotate, fit, label new drawings, train a student, predict."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalseg.backbones import load_backbone
from frugalseg.data.classes import ClassTable
from frugalseg.data.masks import write_mask
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.synthetic import SyntheticSet
from tests.cli.helpers import mistake, run

CLASSES = ClassTable((0, 1), ("dark", "light"), ((0, 0, 0), (255, 255, 255)))
NETWORK = "--latent-size 8 --base-channels 8 --max-channels 16 --mapping-layers 2"
STUDENT = "--epochs 1 --least-steps 1 --validations 1 --batch-size 2 --size 32x32 --encoder resnet18"


def annotate(folder: Path) -> None:
    """The rule of the annotator: each pixel is darker or lighter than most of all images."""
    images = {path.name: np.asarray(Image.open(path)).mean(2) for path in (folder / "images").glob("*.png")}
    middle = np.median(list(images.values()))
    for name, values in images.items():
        write_mask(folder / "masks" / name, (values > middle).astype(np.int64), CLASSES)


@pytest.fixture
def done(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder of its own; it has to succeed."""
    monkeypatch.chdir(tmp_path)

    def command(line, *more):
        code, out, err = run(*line.split(), *more, "--device", "cpu", capsys=capsys)
        assert code == 0, f"{line}: {out}{err}"
        return out

    return command


@pytest.mark.slow
def test_the_chain(done, capsys):
    """The network is one of random weights that has learned for three steps."""
    write_toy_folder(Path("IMAGES"), 4, seed=1, masks=False, size=16)
    done(f"pretrain stylegan2 IMAGES --size 16x16 --steps 3 --batch-size 4 {NETWORK} -o GENERATOR")
    CLASSES.to_json(Path("classes.json"))
    done("generate GENERATOR --for-annotation 12 --classes classes.json --truncation 0.9 -o TO_ANNOTATE")
    annotate(Path("TO_ANNOTATE"))
    fit = "fit TO_ANNOTATE --checkpoint GENERATOR --members 2 --small-regions 0"
    assert "mIoU" in done(f"{fit} --folds 2 -o MODEL")
    assert "light" in done("evaluate MODEL TO_ANNOTATE")
    done("generate MODEL -n 10 --truncation 0.9 --npz SET.npz -o SET")
    labelled = SyntheticSet("SET")
    middle = np.median([sample.image.mean(2) for sample in labelled])
    right = [(sample.target == (sample.image.mean(2) > middle)).mean() for sample in labelled]
    assert np.mean(right) > 0.75  # half the errors of guessing, by which half of the pixels are right
    with np.load("SET.npz") as arrays:
        z = load_backbone("stylegan2", "GENERATOR").generator(None).latents([sample.origin for sample in labelled])
        assert (arrays["arr_2"] == z.numpy()).all() and arrays["arr_3"].shape == (10,)
    done("distill SET --validation TO_ANNOTATE --drop 0.2 -o STUDENT", *STUDENT.split())
    done("predict STUDENT TO_ANNOTATE/images -o MASKS")
    assert len(list(Path("MASKS").glob("*.png"))) == 12
    line = mistake("predict", "MODEL", "TO_ANNOTATE/images", "-o", "NONE", "--device", "cpu", capsys=capsys)
    assert "frugalseg distill" in line and "gan_inversion" in line and not Path("NONE").exists()


def test_a_published_file_tells_its_family(tmp_path, capsys):
    """Its name ends in .pkl; no other family has such files."""
    line = mistake("generate", tmp_path / "network.pkl", "--for-annotation", 2, "-o", tmp_path / "x", capsys=capsys)
    assert "network.pkl" in line and "ddpm" not in line
