"""The examples run as they stand; the network is a small stand-in, so that this takes seconds."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.data.toy.dataset import TOY_CLASSES
from tests.golden import golden
from tests.report.reading import check_offline

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str | Path) -> None:
    runpy.run_path(str(EXAMPLES / name))["main"]([str(argument) for argument in arguments])


def test_segment_your_photos(tmp_path: Path, tiny_ddpm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("segment_your_photos.py", "--checkpoint", tiny_ddpm, "--members", "1", "-o", tmp_path)
    masks = sorted((tmp_path / "masks").glob("*.png"))
    assert len(masks) == len(list((tmp_path / "overlays").glob("*.png"))) == 8
    assert set(np.unique(np.asarray(Image.open(masks[0])))) <= set(TOY_CLASSES.ids)
    assert capsys.readouterr().out.count("uncertainty") == 8


def test_python_api(tmp_path: Path, tiny_ddpm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("python_api.py", "--checkpoint", tiny_ddpm, "-o", tmp_path / "page.html")
    assert len(check_offline((tmp_path / "page.html").read_text(encoding="utf-8")).pictures()) == 3
    assert "t50.block" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [("segment_your_photos.py", "give the photos to segment, too"), ("python_api.py", "give two images, or none")],
)
def test_half_of_what_is_needed(name: str, said: str, toy_train: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(name, toy_train)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_convert_guided_diffusion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = golden.load("guided_diffusion_tiny")
    torch.save({k: torch.from_numpy(v) for k, v in golden.tensors(described).items()}, tmp_path / "tiny.pt")
    options = ("--image-size", "64", "--head-channels", "16")
    run("convert_guided_diffusion.py", tmp_path / "tiny.pt", "-o", tmp_path / "folder", *options)
    assert (tmp_path / "folder" / "model_index.json").is_file()
    assert capsys.readouterr().out.count("equal") == 2
