"""Saved states of trainings with one thing wrong: each is taken up, or refused in one line before it is trained."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from frugalseg.backbones.mae.settings import MAEPretrainSettings
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.classifier.training import train_ensemble
from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example, write_toy_folder
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.settings import RunOptions
from frugalseg.students.settings import StudentSettings
from frugalseg.students.training import train_student
from frugalseg.support.errors import WorkError
from tests.classifier.test_training import CLASSES, noisy_pixels
from tests.mutations import Opens, answer, bytes_mutations, chosen, saved, state_mutations

LONGEST = 500


class Stop(Exception):
    """Ends a training from within its progress report."""


def stop(*_):
    raise Stop


class Pretraining:
    """An MAE of two steps, to be continued by one more."""

    settings = MAEPretrainSettings(
        image_size=(4, 4), steps=2, batch_size=2, patch=2, width=64, depth=1, decoder_width=32, decoder_depth=1
    )

    def __init__(self, folder):
        self.photos, self.out = folder / "photos", folder / "out"
        write_toy_folder(self.photos, 2, seed=1, size=8)
        assert self.run(2)
        self.file = self.out / "training" / "last.ckpt"

    def run(self, steps=3):
        options = RunOptions(device="cpu", checkpoint_steps=100)
        return pretrain("mae", self.photos / "images", self.out, replace(self.settings, steps=steps), options)


class Teaching:
    """A student after the first of two rounds."""

    settings = StudentSettings(
        architecture="linknet", encoder="tu-test_efficientnet", epochs=2, least_steps=0, validations=2, batch_size=2
    )

    def __init__(self, folder):
        self.out, self.images = folder / "out", [toy_example(7, number, 32) for number in range(2)]
        self.file = self.out / "student.ckpt"

        def stop_behind_a_round(stage, done, total):
            if done == 2:
                raise Stop

        with pytest.raises(Stop):
            self.run(stop_behind_a_round)

    def run(self, progress=lambda *_: None):
        return train_student(self.images, self.images, TOY_CLASSES, self.settings, work=self.out, progress=progress)


class Classifying:
    """A classifier after one of two batches."""

    def __init__(self, folder):
        self.out = folder / "out"
        self.out.mkdir()
        self.file, self.pixels = self.out / "ensemble.pt", noisy_pixels(20)
        with pytest.raises(Stop):
            self.run(stop)

    def run(self, progress=lambda _: None):
        protocol = replace(PROTOCOLS["default"], steps=2)
        train_ensemble(
            self.pixels, CLASSES, protocol, members=2, checkpoint=self.file, checkpoint_seconds=0, progress=progress
        )


@pytest.fixture(scope="module")
def training(request, tmp_path_factory):
    made = request.param(tmp_path_factory.mktemp(request.param.__name__))
    sound = made.out.with_name("sound")
    shutil.copytree(made.out, sound)
    made.sound = sound / made.file.relative_to(made.out)

    def without():
        """The run without its state."""
        shutil.rmtree(made.out)
        shutil.copytree(sound, made.out)
        made.file.unlink()  # the old one may still be mapped

    def said(content):
        """The line with which the state in some bytes is refused, or None."""
        without()
        made.file.write_bytes(content)
        try:
            return answer(made.run)
        except WorkError:  # a loss that is no number
            return None

    made.said, made.without = said, without
    return made


EACH = pytest.mark.parametrize("training", [Pretraining, Teaching, Classifying], indirect=True)


@pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.slow)])
@EACH
def test_a_damaged_state_is_refused_in_one_line(count, training):
    content = training.sound.read_bytes()
    state = torch.load(training.sound, weights_only=True)
    assert training.said(content) is None
    refused, damage = 0, chosen(state_mutations(state), count, random.Random(1))
    for name, make in damage:
        said = training.said(saved(make()))
        refused += said is not None
        assert said is None or (said.isprintable() and len(said) < LONGEST and "anew" in said), (name, said)
    assert refused > len(damage) / 4


@EACH
def test_every_changed_byte_of_a_value_is_noticed(training):
    content = bytearray(training.sound.read_bytes())
    value = max(training_values(training.sound), key=len)
    place = bytes(content).index(value)
    content[place + len(value) // 2] ^= 1
    assert "was changed" in training.said(bytes(content))
    for name, changed in bytes_mutations(training.sound.read_bytes(), random.Random(0)):
        if name.startswith(("cut", "zeroed")):
            said = training.said(changed)
            assert said is not None and "anew" in said and "/out" in said, (name, said)


@EACH
def test_a_folder_in_the_place_of_a_state_is_refused_before_the_work(training):
    training.without()
    training.file.mkdir()
    said = answer(training.run)
    assert said is not None and f"{training.file.name}: a damaged " in said and "anew" in said


def training_values(path: Path) -> list[bytes]:
    """The bytes of some tensors of a state."""
    state = torch.load(path, weights_only=True)
    tensors = state.get("state_dict") or state["classifier"]
    return [value.numpy().tobytes() for value in tensors.values() if value.numel() > 8]


@EACH
def test_nothing_in_a_state_is_run(training, tmp_path):
    state = torch.load(training.sound, weights_only=True)
    for changed in ({**state, "surplus": Opens(tmp_path / "ran")}, Opens(tmp_path / "ran")):
        assert "a damaged state of a training" in training.said(saved(changed))
    assert not (tmp_path / "ran").exists()
