"""The command that measures everything on a GPU: its dry run on a CPU, its bounds in time, its table."""

import json
import sys

import pytest

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.stages import finished, run_stage
from benchmarks.gpu.table import BEGIN, END, update_page
from frugalseg.support.errors import InputError
from frugalseg.support.files import write_json

STAGES = ("tests", "predict", "generate", "student", "predict_compiled", "pretraining")


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "performance.md"
    path.write_text(f"above\n{BEGIN}\nold figures\n{END}\nbelow\n")
    return path


def run(folder, code, seconds=60.0):
    return run_stage("student", [sys.executable, "-c", code], folder, seconds)


def test_a_stage_leaves_its_result_and_the_end_of_its_output(tmp_path):
    path = tmp_path / "student.result.json"
    record = run(tmp_path, f"print('told'); open({str(path)!r}, 'w').write('[1, 2]')")
    assert (record["returncode"], record["result"], record["tail"]) == (0, [1, 2], "told\n")
    assert json.loads((tmp_path / "student.json").read_text()) == record
    assert finished("student", tmp_path)


def test_a_stage_that_is_late_is_stopped_with_all_that_it_started(tmp_path):
    started = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    record = run(tmp_path, started, seconds=1.0)
    assert record["returncode"] is None
    assert record["seconds"] < 60
    assert not finished("student", tmp_path)


def test_a_stage_that_fails_is_run_again(tmp_path):
    assert run(tmp_path, "raise SystemExit(3)")["returncode"] == 3
    assert not finished("student", tmp_path)


def test_the_table_takes_the_place_of_the_old_one(tmp_path, page):
    rows = [{"model": "student", "ms an image": 2.0, "images/s": 500.0}]
    about = {"gpu": "Some GPU", "cores": 4, "cpu": "Some CPU", "torch": "2.11.0+cu130"}
    write_json(tmp_path / "student.json", {"result": {"machine": about, "rows": rows}})
    for _ in range(2):
        text = update_page(tmp_path, page).read_text()
        assert "| student | 2 | 500 |" in text
        assert "Machine: Some GPU, 4 CPU cores (Some CPU), torch 2.11.0." in text
        assert "old figures" not in text
        assert text.startswith("above\n") and text.endswith("below\n")
        assert text.count(BEGIN) == 1


def test_no_results_and_no_place_for_them_are_told(tmp_path, page):
    with pytest.raises(InputError, match="holds no result"):
        update_page(tmp_path / "nothing", page)
    write_json(tmp_path / "tests.json", {"result": {"tests": 2, "failures": 0, "errors": 0, "skipped": 2}})
    page.write_text("no markers")
    with pytest.raises(InputError, match="are missing"):
        update_page(tmp_path, page)


@pytest.mark.slow
def test_the_whole_session_runs_dry(tmp_path, page, capsys):
    """The very same script as on a GPU, on tiny sizes."""
    arguments = ["-o", str(tmp_path / "out"), "--quick", "--device", "cpu"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0, capsys.readouterr().out
    records = {name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in STAGES}
    trained = records["pretraining"]["result"]
    assert [network["family"] for network in trained["networks"]] == ["ddpm", "mae"]
    assert all(network["images_per_second"] > 0 for network in trained["networks"])
    assert all(0 < row["miou"]["mean"] < 1 for row in trained["rows"])
    weights = list((tmp_path / "out" / "weights").glob("*.safetensors"))
    assert len(weights) == 2 and all(path.stat().st_size < 16e6 for path in weights)
    text = update_page(tmp_path / "out", page).read_text()
    assert "| whole image, LSUN-256 network |" in text and "| ddpm, 48 x 48 |" in text
    # What has succeeded is not run again.
    with pytest.raises(SystemExit):
        main(arguments)
    assert {name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in STAGES} == records
