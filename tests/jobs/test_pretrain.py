"""A run from its command: whose it is, from which folders; what the run itself does is tested with each family."""

import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from frugalseg.backbones.ddpm.settings import DDPMPretrainSettings
from frugalseg.backbones.mae.settings import MAEPretrainSettings
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.jobs.pretrain import images_of, pretrain, pretrainable_family, stored_settings
from frugalseg.pretraining.settings import RunOptions
from frugalseg.support.digests import names_and_sizes
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json, write_json
from tests.pretraining.battery import progress


def test_a_run_of_another_family_is_not_taken_over(tmp_path: Path) -> None:
    write_json(tmp_path / "training" / "settings.json", {"family": "swav", "steps": 3})
    with pytest.raises(InputError, match="holds a run of swav; continue that"):
        stored_settings("ddpm", tmp_path)
    with pytest.raises(InputError, match="holds a run of swav"):
        pretrain("mae", tmp_path, tmp_path)
    assert stored_settings("swav", tmp_path).steps == 3


def test_settings_of_a_family_are_of_its_own_class(tmp_path: Path) -> None:
    settings = stored_settings("swav", tmp_path, steps=7, seed=None)
    assert (type(settings).__name__, settings.steps, settings.seed) == ("SwAVPretrainSettings", 7, 0)


def test_families_without_training_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'colour' cannot be trained from scratch; known: ddpm, swav, mae"):
        pretrainable_family("colour")
    with pytest.raises(InputError, match="no backbone family 'gan'"):
        pretrain("gan", tmp_path, tmp_path / "out")


def test_images_come_from_several_folders_in_order(tmp_path: Path) -> None:
    for name, count in (("b", 2), ("a", 1)):
        write_toy_folder(tmp_path / name, count, 0, size=16, masks=False)
    found = images_of([tmp_path / "b", str(tmp_path / "a")])
    assert [path.parent.name for path in found] == ["b", "b", "a"]
    assert images_of(tmp_path / "a") == found[2:]
    with pytest.raises(InputError, match="no such folder"):
        images_of([tmp_path / "a", tmp_path / "c"])


def test_no_folder_of_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of images is named"):
        pretrain("mae", [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_of_another_family_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a MAEPretrainSettings; ddpm is trained with DDPMPretrainSettings"):
        pretrain("ddpm", tmp_path, tmp_path / "out", MAEPretrainSettings())


TINY = DDPMPretrainSettings(
    image_size=(8, 8), base_channels=8, multipliers=(1, 2), layers=1, steps=2, batch_size=2, precision="fp32"
)
CPU = RunOptions(device="cpu")


def test_a_run_that_another_process_has_begun_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """It begins and ends while the images are read."""
    photos, out, begun = tmp_path / "photos", tmp_path / "run", []
    write_toy_folder(photos, 2, 0, size=16, masks=False)

    def another(stage: str, done: int, total: int) -> None:
        if stage == "read images" and not begun:
            begun.append(pretrain("ddpm", photos, out, replace(TINY, seed=1, steps=1), CPU))

    with pytest.raises(InputError, match="meanwhile another process has trained here; run the same command again"):
        pretrain("ddpm", photos, out, TINY, CPU, another)
    assert begun == [True] and read_json(out / "training" / "settings.json")["seed"] == 1
    assert progress(out)["step"] == 1
    with pytest.raises(InputError, match="seed: 1 before, 0 now"):
        pretrain("ddpm", photos, out, TINY, CPU)


@pytest.mark.parametrize("name", ["image_size", "batch_size", "precision"])
def test_a_run_whose_record_lacks_a_setting_is_refused(name: str, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "run"
    write_toy_folder(photos, 2, 0, size=16, masks=False)
    data = {"family": "ddpm", "images": 2, "fingerprint": names_and_sizes(images_of(photos))}
    stored = {**asdict(TINY.chosen_for([])), **data}
    write_json(out / "training" / "settings.json", {key: value for key, value in stored.items() if key != name})
    with pytest.raises(InputError, match=rf"settings\.json: a damaged run \(no {name}\); give another folder"):
        pretrain("ddpm", photos, out, stored_settings("ddpm", out), CPU)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    write_toy_folder(tmp_path / "photos", 2, 0, size=16, masks=False)
    options = "--size 8x8 --base-channels 8 --multipliers 1,2 --layers 1 --batch-size 2 --steps 1000000 --device cpu"
    command = [sys.executable, "-m", "frugalseg", "pretrain", "ddpm", tmp_path / "photos", "-o", tmp_path / "run"]
    # A background job of a shell would leave Ctrl-C ignored in all its children.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [*map(str, command), *options.split()], stderr=subprocess.PIPE, text=True, preexec_fn=listen
    ) as run:
        try:
            log = tmp_path / "run" / "training" / "log.txt"
            while not (log.is_file() and "GFLOP a step" in log.read_text()):
                assert run.poll() is None
                time.sleep(0.1)
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=60)
        finally:
            run.kill()
    assert run.returncode == 130
    assert "this step is finished and saved first" in said
    assert "stopped; run the same command again to go on" in said and "Traceback" not in said
    reached = re.search(r"ended by KeyboardInterrupt in step (\d+); continues from step (\d+)", log.read_text())
    assert reached is not None and int(reached[1]) >= 1
    assert reached[1] == reached[2] == str(progress(tmp_path / "run")["step"])  # nothing is lost
    assert (tmp_path / "run" / "unet" / "config.json").is_file()
