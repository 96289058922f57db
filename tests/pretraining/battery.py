"""What the pretraining of every family has to do: run, be killed, continue, and leave alone what is not its own.

A family's test derives a class and says what to train; its own tests find the fixtures there, too::

    class TestSwAVPretraining(PretrainingChecks):
        family = "swav"
        tiny = SwAVPretrainSettings(image_size=(16, 8), steps=12, batch_size=4, width=4, ...)
        pictures = ("neighbours",)
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from frugalseg.backbones import load_backbone
from frugalseg.jobs.pretrain import pretrain, stored_settings
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import CommonSettings, RunOptions
from frugalseg.support.errors import InputError

OPTIONS = RunOptions(device="cpu", checkpoint_steps=5, log_steps=3)

# The scripts run in an interpreter of their own; the first two arguments name the derived class, whose settings count.

# A run that really dies, by SIGKILL, in the middle of a step that follows a checkpoint.
DIES = """
import os, signal, sys
from importlib import import_module
from frugalseg.backbones.registry import FAMILIES
from frugalseg.jobs.pretrain import pretrain
from tests.pretraining.battery import OPTIONS

checks = getattr(import_module(sys.argv[1]), sys.argv[2])
family = FAMILIES[checks.family]

class Dies(family.load("pretrain", family.pretraining)):
    def training_step(self, batch, index):
        if self.global_step == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().training_step(batch, index)

setattr(import_module(f"{family.package}.pretrain"), family.pretraining, Dies)
pretrain(family.name, sys.argv[3], sys.argv[4], checks.tiny, OPTIONS)
"""

# Two processes; Lightning starts the second by running this very script again.
TWO = """
import sys
from dataclasses import replace
from importlib import import_module
from frugalseg.jobs.pretrain import pretrain
from tests.pretraining.battery import OPTIONS

checks = getattr(import_module(sys.argv[1]), sys.argv[2])
settings = replace(checks.tiny, precision="fp32")
pretrain(checks.family, sys.argv[3], sys.argv[4], settings, replace(OPTIONS, devices=2))
"""


def state(out: Path) -> dict[str, Any]:
    """The training state of a run after its last step."""
    return torch.load(out / "training" / "last.ckpt", weights_only=True)


def progress(out: Path) -> dict[str, Any]:
    return json.loads((out / "training" / "progress.json").read_text())


def log(out: Path) -> str:
    return (out / "training" / "log.txt").read_text()


def losses(out: Path) -> list[float]:
    """The losses that a run's log tells, in order."""
    return [float(line.split("loss ")[1].split()[0]) for line in log(out).splitlines() if "loss" in line]


class PretrainingChecks:
    """Derive, and say what to train."""

    family: str
    tiny: CommonSettings
    """Twelve steps with batches of four, on images of (12, 8) or so; complete but for what `chosen_for` chooses."""
    pictures: tuple[str, ...]
    """The kinds of pictures that a run draws."""
    wrong: tuple[tuple[dict[str, Any], str], ...]
    """Changes of `tiny` that cannot be, and what the message says of each."""

    weights_file = "model.safetensors"
    network = "network"
    """Attribute of the module that holds what is handed out."""
    photo_height = 24
    """Of the first of six photos, 16 wide; each is a pixel taller than the one before."""
    stops = 2
    """How often the clock stops a run, each time after one step."""
    unlike_steps = False
    """Whether steps after the third do other work than the first three."""

    @staticmethod
    def told(name: str, value: torch.Tensor) -> Any:
        """An index of those places of a weight that its gradient tells anything about: all, where nothing is said."""
        return ...

    @pytest.fixture(scope="class")
    def photos(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("photos")
        rng = np.random.default_rng(0)
        for i in range(6):
            pixels = rng.integers(0, 256, (self.photo_height + i, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
        return folder

    @pytest.fixture(scope="class")
    def straight(self, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """An uninterrupted run."""
        out = tmp_path_factory.mktemp("straight") / "run"
        assert pretrain(self.family, photos, out, self.tiny, replace(OPTIONS, picture_steps=6))
        return out

    def weights(self, out: Path) -> dict[str, torch.Tensor]:
        """The averaged weights that a run hands out."""
        return load_file(out / self.weights_file)

    def run_script(self, script: str, folder: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
        """Run `script` with the settings of this class, in a new interpreter."""
        path = folder / "script.py"
        path.write_text(script)
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        derived = [type(self).__module__, type(self).__name__]
        command = [sys.executable, str(path), *derived, *map(str, arguments)]
        return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=300)

    def assert_same_run(self, one: Path, other: Path) -> None:
        """Averaged weights, current weights and buffers, and optimizer state agree bit for bit."""
        a, b = state(one), state(other)
        for found, expected in (
            (self.weights(one), self.weights(other)),
            (a["current_model_state"], b["current_model_state"]),
        ):
            assert found.keys() == expected.keys()
            assert all(torch.equal(value, expected[name]) for name, value in found.items())
        for optimizer, other in zip(a["optimizer_states"], b["optimizer_states"], strict=True):
            moments, others = optimizer["state"], other["state"]
            assert moments.keys() == others.keys() and len(moments) > 0
            for place, kept in moments.items():
                assert all(torch.equal(torch.as_tensor(kept[k]), torch.as_tensor(others[place][k])) for k in kept)

    @pytest.mark.slow  # in a process of its own; the run stopped by the clock is the same without the kill
    def test_a_killed_run_continues_to_the_same_weights(self, photos: Path, straight: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        died = self.run_script(DIES, tmp_path, photos, out)
        assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
        assert progress(out)["step"] == 5
        assert pretrain(self.family, photos, out, self.tiny, OPTIONS)
        assert "begin at step 5 of 12" in log(out)
        self.assert_same_run(out, straight)

    def test_a_run_stopped_by_the_clock_continues_to_the_same_weights(
        self, photos: Path, straight: Path, tmp_path: Path
    ) -> None:
        out, settings = tmp_path / "run", self.tiny
        for step in range(self.stops):
            assert not pretrain(self.family, photos, out, settings, replace(OPTIONS, max_minutes=1e-9))
            assert progress(out)["step"] == step + 1
            settings = None  # from here on, those of the run
        assert pretrain(self.family, photos, out, settings, OPTIONS)
        self.assert_same_run(out, straight)
        assert losses(out) == losses(straight) and progress(out)["loss"] == progress(straight)["loss"]

    def test_a_run_on_windows_continues_to_the_same_weights(self, photos: Path, tmp_path: Path) -> None:
        straight, out, settings = tmp_path / "straight", tmp_path / "run", replace(self.tiny, crop=True, steps=4)
        assert pretrain(self.family, photos, straight, settings, OPTIONS)
        assert not pretrain(self.family, photos, out, settings, replace(OPTIONS, max_minutes=1e-9))
        with pytest.raises(InputError, match="crop: True before, False now"):
            pretrain(self.family, photos, out, replace(settings, crop=False), OPTIONS)
        assert pretrain(self.family, photos, out, None, OPTIONS)
        self.assert_same_run(out, straight)
        assert "are cut at the images' own scale" in log(out)

    def test_the_result_is_a_backbone_of_averaged_weights(self, straight: Path) -> None:
        backbone = load_backbone(self.family, straight)
        assert backbone.native_size == self.tiny.image_size
        maps = backbone(torch.rand(1, 3, *backbone.native_size)).maps
        assert all(values.isfinite().all() for values in maps)
        averaged = state(straight)["state_dict"]
        assert all(torch.equal(v, averaged[f"{self.network}.{k}"]) for k, v in self.weights(straight).items())
        results = [path for path in straight.rglob("*") if path.suffix in (".json", ".safetensors")]
        assert len({path.stat().st_mode for path in results}) == 1

    def test_the_run_folder_tells_what_happened(self, straight: Path) -> None:
        said = log(straight)
        assert "At this rate, the remaining 9 steps take" in said
        assert ("Later steps do other work than these" in said) == self.unlike_steps
        assert "6 images" in said and "cropped at the center" in said
        assert "step 12/12" in said and "images/s" in said and "left" in said
        assert {p.name for p in (straight / "pictures").iterdir()} == {
            f"{kind}_{step:07d}.png" for kind in self.pictures for step in (6, 12)
        }
        assert list((straight / "training" / "tensorboard").glob("events*"))
        assert not list(straight.rglob("*.tmp"))

    def test_a_finished_run_is_left_alone(self, photos: Path, straight: Path) -> None:
        before = {p: p.stat().st_mtime_ns for p in straight.rglob("*")}
        for settings in (self.tiny, stored_settings(self.family, straight)):
            assert pretrain(self.family, photos, straight, settings, OPTIONS)
        assert {p: p.stat().st_mtime_ns for p in straight.rglob("*")} == before

    def test_a_finished_run_writes_its_network_again_where_it_is_gone(
        self, photos: Path, straight: Path, tmp_path: Path
    ) -> None:
        out = shutil.copytree(straight, tmp_path / "run")
        files = json.loads((out / "training" / "network.json").read_text())
        assert self.weights_file in files
        for name in files:
            (out / name).unlink()
        assert pretrain(self.family, photos, out, self.tiny, OPTIONS)
        assert all((out / name).read_bytes() == (straight / name).read_bytes() for name in files)
        for name in (self.weights_file, "training/last.ckpt"):
            (out / name).unlink()
        with pytest.raises(InputError, match=r"last\.ckpt: a damaged run \(the state after step 12 is missing\)"):
            pretrain(self.family, photos, out, self.tiny, OPTIONS)

    def test_changed_settings_and_images_are_refused(self, photos: Path, straight: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"steps: 12 before, 11 now; seed: 0 before, 1 now"):
            pretrain(self.family, photos, straight, replace(self.tiny, steps=11, seed=1), OPTIONS)
        Image.fromarray(np.zeros((24, 16, 3), np.uint8)).save(tmp_path / "other.png")
        with pytest.raises(InputError, match="images: 6 before, 1 now"):
            pretrain(self.family, tmp_path, straight, self.tiny, OPTIONS)

    def test_stored_settings_take_what_is_given(self, photos: Path, straight: Path, tmp_path: Path) -> None:
        chosen = self.tiny.chosen_for(sorted(photos.iterdir()), Machine.of("cpu"))
        assert stored_settings(self.family, straight) == chosen
        assert stored_settings(self.family, straight, steps=20, seed=None).steps == 20
        assert stored_settings(self.family, tmp_path / "nothing", steps=20) == type(self.tiny)(steps=20)

    def test_wrong_settings_leave_nothing_behind(self, photos: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        for changes, message in self.wrong:
            with pytest.raises(InputError, match=message):
                pretrain(self.family, photos, out, replace(self.tiny, **changes), OPTIONS)
        with pytest.raises(InputError, match="cannot be split"):
            pretrain(self.family, photos, out, replace(self.tiny, batch_size=3), replace(OPTIONS, devices=2))
        assert not out.exists()

    def test_wrong_input_leaves_nothing_behind(self, photos: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        with pytest.raises(InputError, match="no such folder"):
            pretrain(self.family, tmp_path / "missing", out, self.tiny, OPTIONS)
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "a.png").write_bytes((photos / "0.png").read_bytes()[:300])
        with pytest.raises(InputError, match=r"a\.png"):
            pretrain(self.family, broken, out, self.tiny, OPTIONS)
        assert not out.exists()
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(InputError, match="not empty"):
            pretrain(self.family, photos, tmp_path, self.tiny, OPTIONS)

    @pytest.mark.slow
    def test_two_processes_learn_what_one_does(self, photos: Path, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        done = self.run_script(TWO, tmp_path, photos, two)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "2 process(es)" in log(two)
        pretrain(self.family, photos, one, replace(self.tiny, precision="fp32"), OPTIONS)
        found = self.weights(two) | state(two)["current_model_state"]
        for name, value in (self.weights(one) | state(one)["current_model_state"]).items():
            where = self.told(name, value)
            torch.testing.assert_close(found[name][where], value[where], atol=1e-4, rtol=1e-3, msg=name)
        assert progress(two)["loss"] == pytest.approx(progress(one)["loss"], rel=1e-4)
