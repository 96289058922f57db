"""Each benchmark script runs, on small sizes: what it measures is not looked at."""

import json
import sys
from importlib import import_module

import pytest

from benchmarks import layouts
from frugalseg.data.toy.dataset import write_toy_folder

QUICK = ("--quick", "--repeats", "1")
SIDE = 192
"""Of images that are large enough for every sixteenth pixel to be one of many."""
# What each is called with, and the number of rows in its table.
SCRIPTS = {
    "fit": (("--members", "2", "--steps", "3"), 5),
    "alternatives": (("textures", "--members", "1"), 9),
    "choice": (("toy", "--images", "4", "--backbone", "filters", "--members", "1", "--seeds", "1"), 3),
    "generate": (("--members", "2", "--batch", "2", "--sampling-steps", "2", "--literal-steps", "1"), 3),
    "load": (("--members", "2", "--busy", "1"), 3),
    "pipeline": ((), 2),
    "predict": (("--unet", "--batch", "2", "--members", "2"), 2),
    "student": (("--batch", "2"), 2),
}


# Maps and channels of the published networks.
LAYOUTS = {
    "ddpm": (15, 8448),
    "swav": (9, 6720),
    "swav_w2": (9, 13440),
    "mae": (12, 12288),
    "stylegan2": (13, 4480),
    "gan_encoder": (6, 1984),
    "alae": (7, 2496),
    "vdvae": (14, 7168),
}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a script in this process: what it wrote as JSON."""

    def script(name, *arguments):
        path = tmp_path / "result.json"
        monkeypatch.setattr(sys, "argv", [name, *QUICK, "--json", str(path), *map(str, arguments)])
        import_module(f"benchmarks.{name}").main()
        return json.loads(path.read_text())

    return script


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name, run, capsys):
    arguments, rows = SCRIPTS[name]
    result = run(name, *arguments)
    assert len(result["rows"]) == rows
    assert result["title"] in capsys.readouterr().out


def test_datasetgan_labels_as_the_literal_way_does(run):
    result = run("datasetgan", "--members", "2", "--batch", "2")
    assert [row["way"] for row in result["rows"]] == ["StyleGAN2, literal", "StyleGAN2, ours"]
    assert result["differing_labels"] == 0


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_layouts_are_those_of_the_published_networks(name):
    layout = layouts.LAYOUTS[name]()
    assert (len(layout.maps), layout.dim) == LAYOUTS[name]
    assert all(size > 0 for pair in layout.small().maps for size in pair)


@pytest.mark.slow  # it draws the images twice
def test_samplers(run, tiny_ddpm, tmp_path):
    write_toy_folder(tmp_path / "photos", 24, seed=1, masks=False)
    arguments = ("--checkpoint", tiny_ddpm, "--images", tmp_path / "photos", "--keep", tmp_path / "drawn")
    first, again = (run("samplers", *arguments)["rows"] for _ in range(2))
    assert [(row["way"], row["steps"]) for row in first] == [("real images, halves", 0), ("dpmsolver++", 2)]
    assert first[1]["s an image"] > 0 and again[1]["s an image"] is None
    assert first[1]["KID"] == again[1]["KID"]


def test_protocols(run, tiny_ddpm, tmp_path):
    data = tmp_path / "data"
    write_toy_folder(data / "train", 2, seed=1, size=SIDE)
    write_toy_folder(data / "test", 1, seed=1, size=SIDE, first=1000)
    result = run("protocols", data, "--checkpoint", tiny_ddpm, "--work", tmp_path / "work")
    assert [row["protocol"] for row in result["rows"]] == ["default", "paper"]


@pytest.mark.slow
def test_memory(run):
    """Starts a process for each figure."""
    result = run("memory", "--unet", "--images", "2", "--members", "2")
    assert len(result["rows"]) == 3
    assert len(run("memory", "--large", "64x96", "--members", "2")["rows"]) == 4
    assert len(run("memory", "--fit", "2", "--members", "2")["rows"]) == 1


@pytest.mark.slow  # it starts two processes
def test_explore(run):
    passes, ours, literal = run("explore", "--images", "3")["rows"]
    assert passes["times the passes"] == 1 and passes["peak MiB"] is None and ours["peak MiB"] > 0
    assert literal["peak MiB"] == 3 * 4 * 32 * 32 * 64 / 2**20  # float32 vectors of the widest block, of three images


@pytest.mark.slow  # it fits eight models
def test_improvements(run, tmp_path):
    write_toy_folder(tmp_path / "train", 2, seed=1)
    write_toy_folder(tmp_path / "validation", 2, seed=2)
    ways = ("Lite0, 224", "filters alone", "with row and column", "mirrored training images")
    result = run("improvements", tmp_path, "--members", "1", "--seeds", "2", "--ways", *ways)
    assert [row["way"] for row in result["rows"]] == list(ways)
    assert all("±" in row["both views, smoothed"] and row["fit, CPU s"] > 0 for row in result["rows"])
