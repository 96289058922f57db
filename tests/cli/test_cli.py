"""The command line as a user meets it: exit codes, one line for a mistake, no traceback."""

import errno
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg import cli


def run(*arguments, capsys):
    """Exit code, standard output and standard error of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frugalseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
    out = capsys.readouterr()
    return end.value.code or 0, out.out, out.err


def mistake(*arguments, capsys):
    """The one line of a command that the user got wrong."""
    code, _, err = run(*arguments, capsys=capsys)
    assert code == 2
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line


def image(path, size=(8, 8), value=7, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0]), value if mode != "RGB" else (value,) * 3).save(path)


@pytest.fixture
def data(tmp_path):
    for stem in "ab":
        image(tmp_path / "data" / "images" / f"{stem}.png", value=ord(stem))
        mask = np.zeros((8, 8), np.uint8)
        mask[4:] = 1
        (tmp_path / "data" / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{stem}.png")
    return tmp_path / "data"


def test_the_whole_way(data, tmp_path, capsys):
    model, masks, page = (tmp_path / name for name in ("model", "masks", "page"))
    fitted = run("fit", data, "--backbone", "colour", "-o", model, "--members", 1, "--device", "cpu", capsys=capsys)
    assert fitted[0] == 0, fitted[2]
    assert "2 images, seen by the network at 256x256 (height x width), 5 features a pixel" in fitted[2]
    code, out, _ = run("evaluate", model, data, "-o", page, capsys=capsys)
    assert code == 0
    assert "mIoU" in out
    assert {"metrics.json", "index.html"} <= {p.name for p in page.iterdir()}
    code, out, _ = run("predict", model, data / "images", "-o", masks, "--overlays", capsys=capsys)
    assert (code, out.split()[0]) == (0, "2")
    assert (masks / "a.png").is_file()
    assert "--overwrite" in mistake("fit", data, "--backbone", "colour", "-o", model, capsys=capsys)


def test_check_says_what_is_wrong(data, capsys):
    image(data / "images" / "lonely.png")
    code, _, err = run("check", data, capsys=capsys)
    assert code == 2
    assert "lonely" in err


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: image(d / "images" / "c.png"), ["c"]),
        (lambda d: (d / "images" / "a.png").unlink(), ["a"]),
        (lambda d: image(d / "masks" / "a.png", size=(4, 8), mode="L"), ["a", "8x8"]),
        (lambda d: (d / "images" / "a.png").write_bytes(b"\x89PNG\r\n"), ["a.png"]),
        (lambda d: (d / "classes.json").write_text('{"classes": [{"id": 0}]}'), ["a", "1"]),
        (lambda d: (d / "classes.json").write_text("{"), ["classes.json"]),
        (lambda d: [p.unlink() for p in (d / "images").iterdir()], ["images"]),
    ],
)
def test_fit_names_what_is_wrong_with_the_data(spoil, words, data, tmp_path, capsys):
    spoil(data)
    line = mistake("fit", data, "--backbone", "colour", "-o", tmp_path / "model", capsys=capsys)
    assert all(word in line for word in words), line
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backbone", "gan"], "known: colour, ddpm"),
        (["--backbone", "ddpm"], "needs a checkpoint"),
        (["--checkpoint", "nowhere.pt"], "no such file"),
        (["--backbone", "colour", "--blocks", "1,2"], "no option blocks"),
        (["--blocks", "a"], "whole numbers"),
        (["--backbone", "colour", "--size", "12"], "height x width"),
        (["--backbone", "colour", "--protocol", "fast"], "known: default, paper"),
        (["--backbone", "colour", "--device", "tpu"], "not available"),
    ],
)
def test_fit_names_what_is_wrong_with_the_options(options, words, data, tmp_path, capsys):
    assert words in mistake("fit", data, *options, "-o", tmp_path / "model", capsys=capsys)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("command", ["fit", "check", "evaluate", "predict"])
def test_paths_that_are_not_there(command, tmp_path, capsys):
    arguments = {
        "fit": ["nothing", "-o", tmp_path / "m", "--backbone", "colour"],
        "check": ["nothing"],
        "evaluate": [tmp_path, "nothing"],
        "predict": [tmp_path, "nothing", "-o", tmp_path / "m"],
    }[command]
    assert "nothing" in mistake(command, *arguments, capsys=capsys) or command in ("evaluate", "predict")


def test_a_full_disk_is_one_line_and_exit_code_1(data, tmp_path, capsys, monkeypatch):
    model = tmp_path / "model"
    assert run("fit", data, "--backbone", "colour", "-o", model, "--members", 1, capsys=capsys)[0] == 0

    def save(picture, path, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Image.Image, "save", save)
    code, _, err = run("predict", model, data / "images", "-o", tmp_path / "masks", capsys=capsys)
    assert code == 1
    assert "the disk is full; make room and run the same command again" in err
    assert "Traceback" not in err


def no_memory(*args, **kwargs):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 12.90 GiB.")


@pytest.mark.parametrize("full", ["stack", "empty"])
def test_a_full_gpu_is_one_line_and_exit_code_1(full, data, tmp_path, capsys, monkeypatch):
    """Found in the middle of the work, or when the device is tried."""
    monkeypatch.setattr(torch, full, no_memory)
    arguments = ["fit", data, "--backbone", "colour", "-o", tmp_path / "model", "--device", "cpu"]
    code, _, err = run(*arguments, capsys=capsys)
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "no memory left" in line and "--batch-size" in line
    assert "Traceback" not in err


def test_help_does_not_wait_for_torch():
    """Heavy libraries are imported where they are used."""
    code = (
        "import sys; sys.argv[1:] = ['--help']\nfrom frugalseg.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    code += "print([m for m in ('torch', 'numpy', 'diffusers', 'lightning') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
