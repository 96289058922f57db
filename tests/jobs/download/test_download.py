"""The command: what it lists, fetches, compares and leaves, from a server in the published layout."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from frugalseg.cli.download import print_catalogue
from frugalseg.data.catalogue.items import DATASETS, ITEMS
from frugalseg.data.catalogue.store import Store
from frugalseg.jobs.download import Request, download
from frugalseg.jobs.download.transfer import Part
from frugalseg.support import digests
from frugalseg.support.files import FileError
from tests.cli.helpers import mistake, run
from tests.jobs.download.mirror import Mirror, cut, status
from tests.jobs.download.published import archive, benchmark_files, datasets, synthetic_set

CAT = "models/ddpm_checkpoints/lsun_cat.pt"
WEIGHTS = b"weights" * 100


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def fetched(*names: str, mirror: Mirror, to: Path | None = None) -> None:
    download(Request(names, to, mirror.base, waits=(0.0,)))


@pytest.fixture
def archived(mirror: Mirror) -> Mirror:
    """The mirror with one of the benchmarks."""
    mirror.files["datasets.tar.gz"] = datasets("cat_15")
    return mirror


def test_everything_is_listed_without_a_network(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run("download", capsys=capsys)
    words = " ".join(out.split())
    assert code == 0 and all(name in out for name in ITEMS) and str(cache) in out.replace("\n", "")
    assert "47 MB" in words and "2.2 GB" in words and "unknown" in words and "CC BY-NC" in words
    assert not cache.exists()


def test_the_list_says_what_is_here(
    cache: Path, archived: Mirror, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    archived.files["datasets.tar.gz"] = datasets("cat_15", "horse_21")
    fetched("cat_15", mirror=archived)
    (cache / "datasets/horse_21/ddpm/img_000.npy").unlink()
    print_catalogue(Store(cache))
    ends = {line.split()[0]: line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert (ends["cat_15"], ends["horse_21"], ends["ffhq_34"], ends["mae/ffhq"]) == ("yes", "incomplete", "no", "no")


def test_a_checkpoint_is_fetched_once_and_compared_ever_after(
    cache: Path, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.files[CAT] = WEIGHTS
    for _ in range(2):
        code, out, _ = run("download", "ddpm/lsun_cat", "--base", f"{mirror.base}/", capsys=capsys)
        assert code == 0 and out.startswith(f"ddpm/lsun_cat: {cache / 'checkpoints/ddpm/lsun_cat.pt'}; next: ")
    assert [path for path, *_ in mirror.requests] == [f"/{CAT}"]
    assert files_below(cache) == ["checkpoints/ddpm/lsun_cat.pt", f"records/{CAT}.json"]
    noted = json.loads((cache / f"records/{CAT}.json").read_text())
    checksum = digests.file(cache / "checkpoints/ddpm/lsun_cat.pt")
    assert noted == {"url": f"{mirror.base}/{CAT}", "bytes": len(WEIGHTS), "sha256": checksum}
    # The file here has changed.
    (cache / "checkpoints/ddpm/lsun_cat.pt").write_bytes(b"WEIGHTS" * 100)
    line = mistake("download", "ddpm/lsun_cat", "--base", mirror.base, capsys=capsys)
    assert checksum in line and digests.file(cache / "checkpoints/ddpm/lsun_cat.pt") in line
    assert (cache / "checkpoints/ddpm/lsun_cat.pt").read_bytes() == b"WEIGHTS" * 100


def test_another_file_on_the_server_is_not_taken(
    cache: Path, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.files[CAT] = WEIGHTS
    fetched("ddpm/lsun_cat", mirror=mirror)
    (cache / "checkpoints/ddpm/lsun_cat.pt").unlink()
    mirror.files[CAT] = b"others!" * 100
    line = mistake("download", "ddpm/lsun_cat", "--base", mirror.base, capsys=capsys)
    checksums = [digests.hashlib.sha256(content).hexdigest() for content in (WEIGHTS, mirror.files[CAT])]
    assert all(checksum in line for checksum in checksums)
    assert files_below(cache) == [f"records/{CAT}.json"]
    (cache / f"records/{CAT}.json").unlink()  # as the line says
    fetched("ddpm/lsun_cat", mirror=mirror)
    assert (cache / "checkpoints/ddpm/lsun_cat.pt").read_bytes() == mirror.files[CAT]


def test_one_archive_brings_all_benchmarks_that_it_holds(cache: Path, archived: Mirror) -> None:
    archived.files["datasets.tar.gz"] = datasets("cat_15", "horse_21")
    fetched("cat_15/test", "horse_21", mirror=archived)
    assert len(archived.requests) == 1
    expected = [f"datasets/{name}/{path}" for name in ("cat_15", "horse_21") for path in benchmark_files(name)]
    assert files_below(cache) == sorted([*expected, "records/datasets.tar.gz.json"])
    record = Store(cache).record(DATASETS).read()
    assert record is not None and sorted(record["files"]) == sorted(expected)
    with pytest.raises(FileError, match="does not hold all of ffhq_34"):
        fetched("ffhq_34", mirror=archived)


@pytest.mark.parametrize("top", ["./", "datasets/"])
def test_where_an_archive_has_its_folders(cache: Path, mirror: Mirror, top: str) -> None:
    mirror.files["datasets.tar.gz"] = datasets("cat_15", top=top)
    fetched("cat_15", mirror=mirror)
    assert (cache / "datasets/cat_15/real/train/img_000.npy").is_file()


def test_a_folder_that_is_half_there_gets_what_it_lacks(cache: Path, archived: Mirror) -> None:
    fetched("cat_15", mirror=archived)
    train = cache / "datasets/cat_15/real/train"
    (train / "img_003.npy").unlink()
    (train / "mine.txt").write_text("a note")
    untouched = (train / "img_004.npy").stat()
    fetched("cat_15", mirror=archived)
    assert len(archived.requests) == 2 and (train / "img_003.npy").is_file()
    assert (train / "mine.txt").read_text() == "a note" and (train / "img_004.npy").stat() == untouched


def test_a_changed_label_is_told_and_stays(cache: Path, archived: Mirror) -> None:
    fetched("cat_15", mirror=archived)
    label = cache / "datasets/cat_15/real/train/img_003.npy"
    changed = label.read_bytes()[:-1] + b"\7"
    label.write_bytes(changed)
    with pytest.raises(FileError, match="not the file that was downloaded first") as raised:
        fetched("cat_15", mirror=archived)
    assert raised.value.where == str(label) and label.read_bytes() == changed
    assert len(archived.requests) == 1


@pytest.mark.parametrize("whole", [True, False])
def test_a_folder_that_the_user_has_put_there(cache: Path, archived: Mirror, whole: bool) -> None:
    for name, content in list(benchmark_files("cat_15").items())[: None if whole else 20]:
        path = cache / "datasets/cat_15" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    fetched("cat_15", mirror=archived)
    assert len(archived.requests) == (0 if whole else 1)
    assert {*benchmark_files("cat_15")} == {*files_below(cache / "datasets/cat_15")}


def test_offline_the_line_says_what_to_put_where_and_then_that_is_taken(
    cache: Path, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror.answers = [status(404)]
    line = mistake("download", "cat_15", "--base", mirror.base, capsys=capsys)
    assert f"{mirror.base}/datasets.tar.gz" in line and f"put it at {cache / 'archives/datasets.tar.gz'}" in line
    place = cache / "archives/datasets.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(datasets("cat_15"))
    code, _, _ = run("download", "cat_15", "--base", "http://nowhere.invalid", capsys=capsys)
    assert code == 0 and place.is_file()  # the user's own
    # And a checkpoint, whose checksum is then known.
    file = cache / "checkpoints/ddpm/lsun_cat.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(WEIGHTS)
    fetched("ddpm/lsun_cat", mirror=mirror)
    noted = Store(cache).noted(ITEMS["ddpm/lsun_cat"].remote)
    assert noted is not None and noted.sha256 == digests.file(file)


def test_an_archive_is_unpacked_whole_or_not_at_all(cache: Path, mirror: Mirror) -> None:
    files = {f"cat_15/{name}": content for name, content in benchmark_files("cat_15").items()}
    mirror.files["datasets.tar.gz"] = archive({**files, "../evil": b"x"})
    with pytest.raises(FileError, match="outside"):
        fetched("cat_15", mirror=mirror)
    assert files_below(cache.parent) == []
    mirror.files["datasets.tar.gz"] = datasets("cat_15")  # no checksum of the damaged one is in its way
    fetched("cat_15", mirror=mirror)
    assert (cache / "datasets/cat_15").is_dir()


def test_a_set_gets_the_classes_of_its_benchmark(cache: Path, mirror: Mirror) -> None:
    mirror.files["synthetic-datasets/ddpm/cat_15.tar.gz"] = synthetic_set("cat_15")
    fetched("synthetic_ddpm/cat_15", mirror=mirror)
    assert files_below(cache / "synthetic") == ["ddpm/cat_15/classes.json", "ddpm/cat_15/samples_256x256x3.npz"]


def test_another_folder(cache: Path, mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mirror.files[CAT] = WEIGHTS
    code, out, _ = run("download", "ddpm/lsun_cat", "--to", tmp_path / "b", "--base", mirror.base, capsys=capsys)
    assert (code, out.strip()) == (0, f"ddpm/lsun_cat: {tmp_path / 'b/checkpoints/ddpm/lsun_cat.pt'}")
    assert not cache.exists()


RECIPE = """
title: t
data: {kind: folder, path: cat_15, train: real/train, test: real/test}
rows:
  - {kind: features, name: a, backbone: ddpm, checkpoint: ddpm/lsun_cat}
  - {kind: features, name: b, backbone: ddpm+mae, checkpoint: "ddpm=ddpm/lsun_cat,mae=mae/lsun_cat"}
  - {kind: features, name: c, backbone: colour}
"""


def test_what_a_recipe_names(
    cache: Path, archived: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archived.files |= {CAT: WEIGHTS, "models/mae_checkpoints/lsun_cat.pth": WEIGHTS}
    Path("recipe.yaml").write_text(RECIPE)
    code, out, _ = run("download", "--for", "recipe.yaml", "--base", archived.base, capsys=capsys)
    assert code == 0 and [line.partition(":")[0] for line in out.splitlines()] == [
        "cat_15",
        "ddpm/lsun_cat",
        "mae/lsun_cat",
    ]
    Path("own.yaml").write_text(RECIPE.split("  - {kind: features, name: a")[0] + "  - {kind: unet, name: u}\n")
    Path("cat_15").mkdir()  # a path that exists wins
    assert "nothing to download" in mistake("download", "--for", "own.yaml", capsys=capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cat15"], "did you mean cat_15?"),
        (["celeba_19/ddpm"], "not in the catalogue"),
        (["ddpm/lsun_cats"], "did you mean ddpm/lsun_cat?"),
        (["photos"], "not in the catalogue; frugalseg download lists"),
        (["cat_15", "--base", "ftp://a.example"], "begins with https://"),
        (["cat_15", "--base", "https://[x"], "--base 'https://[x': give an address that begins with https://"),
        (["cat_15", "--base", "https://a\u2100b"], "begins with https://"),
        (["--base", "https://a.example"], "nothing to download"),
        (["cat_15", "--to", __file__], "is in the way"),
    ],
)
def test_mistakes(arguments: list[str], words: str, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in mistake("download", *arguments, capsys=capsys)


def test_a_full_disk_ends_with_one_line_and_the_rest_comes_later(
    cache: Path, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource")
    mirror.files[CAT] = WEIGHTS * 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        code, _, err = run("download", "ddpm/lsun_cat", "--base", mirror.base, capsys=capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1 and err.splitlines()[-1].endswith("make room and run the same command again")
    fetched("ddpm/lsun_cat", mirror=mirror)
    assert mirror.ranges == [None, "bytes=100000-"]
    assert (cache / "checkpoints/ddpm/lsun_cat.pt").read_bytes() == mirror.files[CAT]


def test_two_processes_take_turns_and_ctrl_c_loses_nothing(cache: Path, mirror: Mirror) -> None:
    """The first one is stopped in the middle; the second one has waited, and goes on where it was."""
    mirror.files[CAT] = WEIGHTS * 1000
    begun, over = threading.Event(), threading.Event()
    mirror.answers = [cut(2**17, then=lambda: (begun.set(), over.wait(60)))]
    command = [sys.executable, "-m", "frugalseg", "download", "ddpm/lsun_cat", "--base", mirror.base]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as first:
        assert begun.wait(60)
        part = Part.of(Store(cache).fetched(ITEMS["ddpm/lsun_cat"])).path
        while not (part.is_file() and part.stat().st_size == 2**17):
            assert first.poll() is None
        second = threading.Thread(target=lambda: fetched("ddpm/lsun_cat", mirror=mirror))
        second.start()
        second.join(0.2)
        assert second.is_alive() and len(mirror.requests) == 1
        first.send_signal(signal.SIGINT)
        _, err = first.communicate(timeout=60)
        second.join(60)
        over.set()
    assert first.returncode == 130 and err.splitlines()[-1] == "stopped; run the same command again to go on"
    assert mirror.ranges == [None, f"bytes={2**17}-"]
    assert files_below(cache) == ["checkpoints/ddpm/lsun_cat.pt", f"records/{CAT}.json"]
    assert (cache / "checkpoints/ddpm/lsun_cat.pt").read_bytes() == mirror.files[CAT]
