"""The command line as a user meets it: exit codes, one line for a mistake, no traceback."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg import cli
from frugalseg.backbones.registry import FAMILIES
from frugalseg.data.toy.dataset import write_toy_folder
from tests.cli.helpers import mistake, run
from tests.data.exports.helpers import box, labelme


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


def test_an_evaluation_in_the_folder_of_the_model_names_both(data, tmp_path, capsys, monkeypatch):
    run("fit", data, "--backbone", "colour", "-o", tmp_path / "model", "--members", 1, "--device", "cpu", capsys=capsys)
    for place, words in (("model", (".", data)), ("data", (tmp_path / "model", "."))):
        monkeypatch.chdir(tmp_path / place)
        code, _, err = run("evaluate", *words, "-o", tmp_path / f"from_{place}", "--device", "cpu", capsys=capsys)
        assert code == 0, err
        assert "<h1>model on data</h1>" in (tmp_path / f"from_{place}" / "index.html").read_text()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def model(data, tmp_path, capsys):
    code, _, err = run("fit", data, "--backbone", "colour", "-o", tmp_path / "model", "--members", 1, capsys=capsys)
    assert code == 0, err
    return tmp_path / "model"


def test_overwrite_never_deletes_what_is_the_users(data, model, tmp_path, capsys, monkeypatch):
    """Inputs, what lies around and below them, and folders that frugalseg has not written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    (tmp_path / "docs" / "sub" / "thesis.txt").write_text("all of it")
    (tmp_path / "recipe.yaml").write_text(
        "{title: t, data: {kind: folder, path: ., train: data, test: data}, "
        "rows: [{kind: features, name: a, backbone: colour}]}"
    )
    before = contents(tmp_path)
    commands = {
        "fit": ["fit", data, "--backbone", "colour", "--members", "1"],
        "evaluate": ["evaluate", model, data],
        "predict": ["predict", model, data / "images"],
        "generate": ["generate", model, "--images", data / "images"],
        "distill": ["distill", data, "--validation", data],
    }
    for name, command in commands.items():
        places = [data / "images", data / "images" / "new", ".", "docs", "docs/sub"]
        places += [model, model / "new"] if model in command else [data, data / "masks", data / "new"]
        for out in places:
            line = mistake(*command, "-o", out, "--overwrite", capsys=capsys)
            assert "choose another" in line and "--overwrite" not in line, (name, line)
            assert contents(tmp_path) == before
    line = mistake(*commands["predict"], "-o", data / "masks", "--overwrite", capsys=capsys)
    assert "holds something else" in line and contents(tmp_path) == before
    for out in (data, data / "new"):
        assert "which this command reads" in mistake("benchmark", "recipe.yaml", "-o", out, capsys=capsys)
        assert "which this command reads" in mistake("pretrain", "mae", data, "-o", out, capsys=capsys)
    assert "no toy images" in mistake("toy", "-o", data, "-n", 1, capsys=capsys)
    assert contents(tmp_path) == before


def test_a_missing_overwrite_is_advised_only_where_it_helps(data, model, tmp_path, capsys):
    again = ["fit", data, "--backbone", "colour", "--members", 1, "-o"]
    assert "add --overwrite" in mistake(*again, model, capsys=capsys)
    assert run(*again, model, "--overwrite", capsys=capsys)[0] == 0
    masks = ["predict", model, data / "images", "-o"]
    assert run(*masks, tmp_path / "masks", capsys=capsys)[0] == 0
    assert "add --overwrite" in mistake(*again, tmp_path / "masks", capsys=capsys)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.png").touch()
    assert "--overwrite" not in mistake(*masks, tmp_path / "mine", capsys=capsys)


def test_options_are_refused_before_the_data_are_read(data, model, tmp_path, capsys):
    (data / "images" / "a.png").write_bytes(b"broken")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").touch()
    fit = ["fit", data, "-o", tmp_path / "new"]
    for command, words in (
        ([*fit, "--backbone", "ddpm"], "needs a checkpoint"),
        ([*fit, "--backbone", "mae"], "needs a checkpoint"),
        ([*fit, "--backbone", "colour", "--protocol", "papr"], "no training protocol 'papr'"),
        ([*fit, "--checkpoint", "builtin:toy_ddpm", "--timesteps", "5000"], "timesteps 0 to 999"),
        (["evaluate", model, data, "-o", tmp_path / "mine"], "holds something else"),
        (["evaluate", model, data, "-o", model], "which this command reads"),
    ):
        code, out, err = run(*command, capsys=capsys)
        (line,) = err.splitlines()
        assert code == 2 and words in line and not out


def test_a_class_that_the_model_lacks(model, tmp_path, capsys):
    """In an export without classes.json, nothing can be added to that."""
    labelme(tmp_path / "lm", "x", [box("dog", 0, 0, 4, 4)])
    line = mistake("evaluate", model, tmp_path / "lm", capsys=capsys)
    assert "label 'dog' is none of the classes" in line and "classes.json" not in line
    assert line.endswith("correct the label, or use a model, or training images, that have this class")
    (tmp_path / "lm" / "classes.json").write_text('{"classes": [{"id": 0, "name": "cat"}]}')
    code, out, _ = run("check", tmp_path / "lm", capsys=capsys)
    assert code == 2 and "correct the label, or add it to classes.json" in out


def test_a_file_of_something_else_is_not_to_be_downloaded_again(tmp_path, capsys):
    (tmp_path / "classes.json").write_text('{"classes": [{"id": 0, "name": "cat"}]}')
    line = mistake("convert", tmp_path / "classes.json", "-o", tmp_path / "out", capsys=capsys)
    assert "not a torch checkpoint" in line and "give the file of the weights; if this is it" in line


def test_check_says_what_is_wrong(data, capsys):
    code, out, err = run("check", data, capsys=capsys)
    assert code == 0 and not err and out.splitlines()[-1] == "no errors: fit takes this folder"
    image(data / "images" / "lonely.png")
    code, out, err = run("check", data, capsys=capsys)
    assert code == 2 and not err and "no errors" not in out
    (line,) = [line for line in out.splitlines() if "lonely" in line]
    assert line.startswith("error ") and "1 image without a mask: lonely.png; " in line


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
        (["--backbone", "gan"], "known: ddpm, swav"),
        (["--backbone", "ddpm"], "needs a checkpoint"),
        (["--checkpoint", "nowhere.pt"], "no such file"),
        (["--backbone", "colour", "--blocks", "1,2"], "--blocks: an option of ddpm, mae and alae, not of colour"),
        (["--backbone", "ddpm", "--blocks", "a"], "whole numbers"),
        (["--backbone", "colour", "--size", "12"], "height x width"),
        (["--backbone", "colour", "--protocol", "fast"], "known: default, paper"),
        (
            ["--backbone", "colour", "--device", "gpu"],
            "--device gpu: not the name of a device; give auto, cpu, cuda, cuda:1",
        ),
        (["--backbone", "colour", "--device", "meta"], "not available"),
        (["--seed", "-1"], "'--seed': -1; give a whole number from 0"),
        (["--seed", str(2**32)], "give a whole number from 0 to 4294967295"),
        (["--members", "0"], "'--members'"),
        (["--membres", "3"], "--membres"),
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


@pytest.mark.parametrize(
    "command",
    [
        "fit {long} -o out",
        "fit {data} --checkpoint {long} -o out",
        "evaluate {long} {data}",
        "predict {long} {data} -o out",
        "explore {long} -o out",
        "explore {data} --test {long} -o out",
        "generate {long} -n 2 -o out",
        "distill {long} --validation {data} -o out",
        "benchmark {long} -o out",
        "benchmark recipes/street_fashion.yaml --data {long} -o out",
        "check {long}",
        "convert {long} -o out",
        "pretrain mae {long} -o out",
    ],
)
def test_a_name_that_no_file_can_have(command, data, tmp_path, capsys):
    """The operating system refuses it in its own words, wherever it is looked for first."""
    words = command.format(long="x" * 300, data=data).replace("-o out", f"-o {tmp_path / 'out'}").split()
    assert "file name too long" in mistake(*words, capsys=capsys)
    assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit"], "Missing argument"),
        (["predict", "x", "y"], "Missing option '--out'"),
        (["pretrain"], "Missing command"),
        (["chekc", "x"], "No such command 'chekc'"),
        (["toy", "-o", "x", "--seed", "-1"], "'--seed': -1"),
        (["generate", "x", "-n", "1", "-o", "y", "--seed", "-1"], "'--seed': -1"),
        (["pretrain", "ddpm", "x", "-o", "y", "--seed", "-1"], "--seed -1; give a whole number from 0 to"),
        (["distill", "x", "--validation", "x", "-o", "y", "--seed", "-1"], "--seed -1; give a whole number from 0 to"),
        (["pretrain", "ddpm", "x", "-o", "y", "--device", "meta"], "--device meta: not available"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["frugalseg"])
    code, out, err = run(*arguments, capsys=capsys)
    assert code == 2
    (line,) = (out + err).splitlines()
    assert line.startswith("error: ") and words in line
    assert not list(tmp_path.iterdir())


def test_no_command_is_help(capsys):
    code, out, _ = run(capsys=capsys)
    assert code == 0
    assert "frugalseg demo" in out and "distill" in out


NAMES = ["[red]x[/blue]", "[bg]", "back\\slash\\"]


def test_names_in_square_brackets_are_printed_as_they_are(tmp_path, capsys):
    """rich takes such words for markup: it would leave them out, or fail on them."""
    data, model = tmp_path / "[data]", tmp_path / "[model]"
    write_toy_folder(data, 2, seed=1)
    table = json.loads((data / "classes.json").read_text())
    for entry, name in zip(table["classes"], NAMES, strict=False):
        entry["name"] = name
    (data / "classes.json").write_text(json.dumps(table))
    code, out, _ = run("check", data, capsys=capsys)
    assert code == 0 and all(name in out for name in NAMES)
    fitted = run("fit", data, "--backbone", "colour", "--members", 1, "-o", model, capsys=capsys)
    assert fitted[0] == 0 and str(model) in fitted[1]
    code, out, err = run("evaluate", model, data, capsys=capsys)
    assert code == 0 and all(name in out for name in NAMES)
    assert "check [data]" in err  # the progress
    assert "[/x]: no such folder" in mistake("check", "[/x]", capsys=capsys)


WAYS = [["--help"], [], ["pretrain"], ["pretrain", "swav"]] + [
    [command]
    for command in (
        "demo",
        "toy",
        "check",
        "fit",
        "evaluate",
        "predict",
        "generate",
        "distill",
        "download",
        "benchmark",
    )
]
HELPS = f"""
import sys
from frugalseg.cli import app
for words in {[*WAYS, *(["fit", "--backbone", name] for name in FAMILIES)]}:
    app([*words, "--help"], standalone_mode=False)
print([m for m in ("torch", "numpy", "diffusers", "lightning", "PIL") if m in sys.modules])
"""


def test_help_does_not_wait_for_torch():
    """Heavy libraries are imported where they are used."""
    done = subprocess.run([sys.executable, "-c", HELPS], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@contextmanager
def interrupting(log, words):
    """Sends Ctrl-C to this process once `words` are in the file `log`; yields whether that has been done."""
    done, over = threading.Event(), threading.Event()

    def watch():
        while not over.wait(0.02):
            if log.is_file() and words in log.read_text():
                done.set()
                os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield done
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # lightning ignores a second one


TINY_MAE = "--size=16x16 --batch-size=2 --width=64 --depth=1 --decoder-width=32 --decoder-depth=1"


@pytest.mark.parametrize(
    ("command", "options", "log", "words"),
    [
        ("fit", ["--backbone", "colour", "--protocol", "paper"], "out.work/fit.log", "train 1 of"),
        ("pretrain", ["--steps", 4000, *TINY_MAE.split()], "out/training/log.txt", "step"),
        ("distill", ["--validation", "data", "--least-steps", 4000], "out.work/distill.log", "begin at step"),
    ],
)
def test_ctrl_c_says_how_to_go_on(command, options, log, words, tmp_path, monkeypatch, capsys):
    """Also where lightning answers it, with an exit code of its own."""
    monkeypatch.chdir(tmp_path)
    write_toy_folder("data", 4, seed=1)
    start = [command, "mae", "data/images"] if command == "pretrain" else [command, "data"]
    with interrupting(tmp_path / log, words) as done:
        code, _, err = run(*start, *options, "-o", "out", "--device", "cpu", capsys=capsys)
    assert done.is_set()
    assert code == 130, err
    assert err.splitlines()[-1] == "stopped; run the same command again to go on"
    assert "Traceback" not in err


def test_names_that_the_encoding_of_the_output_lacks(data, monkeypatch):
    """As on Windows, where a file that output is sent to has the encoding of the country."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "argv", ["frugalseg", "check", str(data.rename(data.with_name("写真")))])
    with pytest.raises(SystemExit) as end:
        cli.main()
    output.flush()
    said = output.buffer.getvalue().decode()
    assert not end.value.code and said.endswith("no errors: fit takes this folder\n") and r"\u5199\u771f" in said
