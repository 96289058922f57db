"""A converted network is replaced where it is ours to replace, and so is what 0.1.0 has made of the same file."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline
from safetensors.torch import load_file, save_file

from frugalseg.backbones.ddpm.convert import WEIGHTS, convert_checkpoint, may_be_unmarked
from frugalseg.support.errors import InputError
from tests.cli.helpers import mistake, run
from tests.golden import golden

SMALL = {"image_size": 64, "head_channels": 16}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "tiny.pt"
    described = golden.load("guided_diffusion_tiny")
    torch.save({key: torch.from_numpy(value) for key, value in golden.tensors(described).items()}, path)
    return path


@pytest.fixture
def earlier(published: Path, tmp_path: Path) -> Path:
    """What version 0.1.0 wrote: the same without a mark."""
    out = tmp_path / "out"
    convert_checkpoint(published, out, **SMALL)
    (out / "run.json").unlink()
    assert may_be_unmarked(out)
    return out


def command(published: Path, out: Path, *more: str) -> list[str]:
    return ["convert", str(published), "-o", str(out), "--image-size", "64", "--head-channels", "16", *more]


def test_what_0_1_0_made_of_the_same_file_is_replaced(
    published: Path, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "delete this one yourself" in mistake(*command(published, earlier), capsys=capsys)
    assert not (earlier / "run.json").exists()
    assert run(*command(published, earlier, "--overwrite"), capsys=capsys)[0] == 0
    assert (earlier / "run.json").is_file()
    DDPMPipeline.from_pretrained(earlier)


def trained(out: Path) -> None:
    """As if somebody had gone on with the network and saved it in the same way."""
    weights = load_file(out / WEIGHTS)
    name = min(weights)
    save_file({**weights, name: weights[name] + 1}, out / WEIGHTS)


OTHERS = {
    "other weights": trained,
    "a file more": lambda out: (out / "notes.txt").write_text("mine"),
    "a file less": lambda out: (out / "model_index.json").unlink(),
    "a damaged file": lambda out: (out / WEIGHTS).write_bytes(b"x"),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_any_other_pipeline_stays(
    change: Callable[[Path], object],
    published: Path,
    earlier: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(earlier)
    shutil.copytree(earlier, tmp_path / "before")
    assert "holds something else" in mistake(*command(published, earlier, "--overwrite"), capsys=capsys)
    with pytest.raises(InputError, match="holds something else"):
        convert_checkpoint(published, earlier, **SMALL)
    assert contents(earlier) == contents(tmp_path / "before")


def test_a_name_of_thousands_of_digits_is_one_line(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = torch.load(published) | {f"output_blocks.{'9' * 5000}.1.conv.weight": torch.ones(1)}
    torch.save(tensors, tmp_path / "odd.pt")
    said = mistake(*command(tmp_path / "odd.pt", tmp_path / "out"), capsys=capsys)
    assert "not a guided-diffusion UNet alone (unknown: output_blocks.9" in said and len(said) < 400
    assert not (tmp_path / "out").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
