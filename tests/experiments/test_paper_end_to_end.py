"""The paper's table from a server in the published layout: download, dry run, runs, table.

Images are synthetic and networks tiny; what is checked is the way from ``datasets.tar.gz`` to the table, and that the
figures in it are those of the runs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from frugalseg.data.catalogue.benchmarks import BENCHMARKS
from tests.backbones.stylegan2.inversion.helpers import with_decoder
from tests.cli.helpers import mistake, run
from tests.experiments.test_paper_recipes import CURRENT as PUBLISHED
from tests.experiments.test_paper_recipes import PAPER, figures
from tests.jobs.download.mirror import Mirror, serving
from tests.jobs.download.published import (
    DDPM_OPTIONS,
    all_ids,
    archive,
    benchmark_files,
    ddpm_file,
    mae_file,
    swav_file,
    synthetic_set,
)
from tests.report.reading import check_offline

SEGMENTER = {"members": 1, "protocol": {"base": "paper", "epochs": 1, "batch_size": 512}}
OPTIONS = {"ddpm": {**DDPM_OPTIONS, "timesteps": [50, 150], "blocks": [2]}, "mae": {"heads": 4, "blocks": [3]}}
SIZES = {"swav": {"network_size": [32, 32]}}
STUDENT = {"architecture": "unet", "encoder": "mobilenet_v2", "epochs": 1, "batch_size": 2}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server, an empty cache, and an empty working folder."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("FRUGALSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with serving() as found:
        yield found


def fill(mirror: Mirror, *names: str) -> None:
    """The files of benchmarks, whose masks have all of their numbers."""
    every = {
        f"{name}/{path}": content for name in names for path, content in benchmark_files(name, 0, all_ids(name)).items()
    }
    mirror.files["datasets.tar.gz"] = archive(every)
    for network in {BENCHMARKS[name].networks for name in names}:
        mirror.files[f"models/ddpm_checkpoints/{network}.pt"] = ddpm_file()
        mirror.files[f"models/mae_checkpoints/{network}.pth"] = mae_file()


def smaller(name: str, *rows: str) -> None:
    """The shipped recipe of a benchmark with some of its rows, which train for a moment, in ``recipes/``."""
    content: dict[str, Any] = yaml.safe_load((PAPER / f"{name}.yaml").read_text(encoding="utf-8"))
    content |= {"runs": 1, "pictures": 1, "rows": [row for row in content["rows"] if row["name"] in rows]}
    for row in content["rows"]:
        if row["kind"] == "features":
            row |= {
                "segmenter": SEGMENTER | SIZES.get(row["backbone"], {}),
                "options": OPTIONS.get(row["backbone"], {}),
            }
        else:
            row["student"] = STUDENT
    Path("recipes").mkdir(exist_ok=True)
    Path("recipes", f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def states(out: str) -> dict[str, list[str]]:
    """What a dry run says of each method."""
    return {line.split("  ")[0]: line.split("  ", 1)[1].split() for line in out.splitlines() if "  " in line.strip()}


def check_row(found: dict[str, Any], published: str | None) -> None:
    """The figures of a row in ``results.json`` are those of its runs, and the difference is to the published one."""
    values = np.array(found["miou_paper"]["values"])
    assert found["miou_paper"]["mean"] == pytest.approx(values.mean()) and (values >= 0).all() and (values <= 1).all()
    if published is None:
        assert "published" not in found and "difference" not in found
        return
    mean, deviation = (float(part) / 100 for part in published.split("±"))
    assert (found["published"]["mean"], found["published"]["std"]) == pytest.approx((mean, deviation))
    assert found["difference"]["mean"] == pytest.approx(values.mean() - mean)
    assert found["difference"]["in_standard_deviations"] == pytest.approx((values.mean() - mean) / deviation)


def test_from_the_archive_to_the_table(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """34 classes, and an ignored background; a network is missing first, and one is never given."""
    fill(mirror, "bedroom_28", "ffhq_34")
    smaller("bedroom_28", "ALAE", "MAE", "DDPM")
    smaller("ffhq_34", "ALAE", "MAE")
    code, out, _ = run("download", "ffhq_34", "mae/lsun_bedroom", "mae/ffhq", "--base", mirror.base, capsys=capsys)
    assert code == 0 and len(mirror.requests) == 3

    code, out, _ = run("benchmark", "recipes", "--dry-run", capsys=capsys)
    assert code == 0 and "2 of 5 rows can be run now" in out
    found = states(out)
    assert found["ALAE"] == ["checkpoint", "checkpoint"] and found["MAE"] == ["runs", "runs"]
    assert found["DDPM"] == ["download", "–"] and "2.2 GB: ddpm/lsun_bedroom" in out

    code, out, err = run("benchmark", "recipes", "-o", "runs", "--device", "cpu", capsys=capsys)
    assert code == 0, err
    assert "not run: Bedroom-28: DDPM: ddpm/lsun_bedroom is not downloaded yet" in out
    assert "not run: FFHQ-34: ALAE: needs a StyleALAE of FFHQ faces" in out
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("seed-*.json")}
    assert len(before) == 2

    # The rest is downloaded, and only what is new runs.
    run("download", "--for", "recipes", "--base", mirror.base, capsys=capsys)
    code, out, err = run("benchmark", "recipes", "-o", "runs", "--device", "cpu", capsys=capsys)
    assert code == 0, err
    after = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("seed-*.json")}
    assert len(after) == 3 and all(after[path] == time for path, time in before.items())

    saved = json.loads(Path("runs/results.json").read_text())["recipes"]
    published = figures(PUBLISHED)
    for name, count in (("bedroom_28", 28), ("ffhq_34", 34)):
        for row in saved[name]["rows"]:
            check_row(row, published[name][row["name"]])
            assert len(row["class_iou"]) == count and ("background" in row["class_iou"]) == (name == "ffhq_34")
        assert list(saved[name]["left_out"]) == ["ALAE"]
    lines = [line.split() for line in out.splitlines()]
    place = next(n for n, line in enumerate(lines) if line[:1] == ["MAE"])
    assert lines[place + 1] == ["published", "45.0", "±", "2.0", "58.8", "±", "1.1"]
    differences = [saved[name]["rows"][0]["difference"]["in_standard_deviations"] for name in ("bedroom_28", "ffhq_34")]
    assert lines[place + 2] == ["difference,", "SD", *(f"{value:+.1f}" for value in differences)]
    words = " ".join(check_offline(Path("runs/index.html").read_text(encoding="utf-8")).words)
    assert all(each in words for each in ("Bedroom-28", "FFHQ-34", "45.0 ± 2.0", "What was not run", "ALAE"))
    words = " ".join(check_offline(Path("runs/bedroom_28/index.html").read_text(encoding="utf-8")).words)
    assert "49.4 ± 1.9" in words and "SD)" in words and "Methods that were not run" in words

    # A benchmark that is half there is a mistake, and nothing runs.
    (tmp_path / "cache/datasets/ffhq_34/real/test/img_003.npy").unlink()
    for more in (("--dry-run",), ("-o", "again")):
        assert "1 file missing" in mistake("benchmark", "recipes", *more, capsys=capsys)
    assert not Path("again").exists()


@pytest.mark.slow
def test_all_six_benchmarks(mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of row: published checkpoints of four families, published samples, and a network that is given."""
    names = list(BENCHMARKS)
    fill(mirror, *names)
    for name in names:
        smaller(name, "GAN Encoder", "SwAV", "MAE", "DatasetGAN", "DatasetDDPM", "DDPM")
        network = BENCHMARKS[name].networks
        mirror.files[f"models/swav_checkpoints/{network}.pth"] = swav_file()
        for kind in ("ddpm", "gan") if BENCHMARKS[name].generated else ():
            mirror.files[f"synthetic-datasets/{kind}/{name}.tar.gz"] = synthetic_set(name, all_ids(name))
    torch.save(with_decoder(), "e4e.pt")
    code, _, err = run("download", "--for", "recipes", "--base", mirror.base, capsys=capsys)
    assert code == 0, err
    given = ("--checkpoint", "gan_encoder=e4e.pt", "--preset", "first-release")
    code, out, _ = run("benchmark", "recipes", "--dry-run", *given, capsys=capsys)
    assert code == 0 and "32 of 32 rows can be run now" in out and "frugalseg download" not in out
    code, out, err = run("benchmark", "recipes", *given, "-o", "runs", "--device", "cpu", capsys=capsys)
    assert code == 0, err
    saved = json.loads(Path("runs/results.json").read_text())
    assert not saved["left_out"] and list(saved["recipes"]) == names
    for name in names:
        rows = {row["name"]: row for row in saved["recipes"][name]["rows"]}
        assert len(rows) == (6 if BENCHMARKS[name].generated else 4)
        assert {len(row["class_iou"]) for row in rows.values()} == {BENCHMARKS[name].classes}
        assert "published" not in rows["MAE"]  # the first release had none
        check_row(rows["SwAV"], figures(PUBLISHED)[name]["SwAV"])
    assert saved["recipes"]["cat_15"]["rows"][-1]["published"]["mean"] == pytest.approx(0.523)
