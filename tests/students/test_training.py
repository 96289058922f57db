"""A student learns, keeps its best round, and ends with the same bits however often it was stopped."""

import os
import re
import signal
from dataclasses import replace

import pytest
import torch

from frugalseg.data.toy.dataset import TOY_CLASSES, toy_example
from frugalseg.students.augmentation import random_affine
from frugalseg.students.lesson import changes_of
from frugalseg.students.settings import StudentSettings
from frugalseg.students.training import train_student
from frugalseg.support.errors import InputError, WorkError

# FPN drops units out at random: a resumed training must draw the same ones.
QUICK = StudentSettings(
    architecture="fpn",
    encoder="mobilenet_v2",
    epochs=4,
    least_steps=0,
    validations=2,
    batch_size=2,
)


class Stop(Exception):
    """Ends a training from within its progress report."""


def toy(count, first=0, size=32):
    return [toy_example(7, first + index, size) for index in range(count)]


def weights(trained):
    return trained.student.network.state_dict()


def same(one, other):
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def uninterrupted():
    return train_student(toy(4), toy(2, 100), TOY_CLASSES, QUICK)


@pytest.mark.parametrize("step", [3, pytest.param(4, marks=pytest.mark.slow), 6])
def test_an_interrupted_training_ends_with_the_same_bits(step, uninterrupted, tmp_path):
    def stop(stage, done, total):
        if done == step:
            raise Stop

    arguments = (toy(4), toy(2, 100), TOY_CLASSES, QUICK)
    with pytest.raises(Stop):
        train_student(*arguments, work=tmp_path, progress=stop)
    seen = []
    trained = train_student(*arguments, work=tmp_path, progress=lambda *report: seen.append(report))
    assert same(trained, uninterrupted)
    assert [r.miou for r in trained.rounds] == [r.miou for r in uninterrupted.rounds]
    assert seen[0][1] == (5 if step > 4 else 1)  # stopped in its report of step 4, it had not yet saved that


def test_an_interrupted_round_tells_the_loss_of_all_its_steps(uninterrupted, tmp_path):
    def stop(stage, done, total):
        if done == 7:
            raise Stop

    arguments = (toy(4), toy(2, 100), TOY_CLASSES, QUICK)
    with pytest.raises(Stop):
        train_student(*arguments, work=tmp_path, checkpoint_minutes=0, progress=stop)
    seen = []
    trained = train_student(*arguments, work=tmp_path, progress=lambda *report: seen.append(report))
    assert seen[0][1] == 7  # in the middle of the second round, of steps 5 to 8
    assert trained.rounds == uninterrupted.rounds


def test_a_finished_training_is_not_done_again(uninterrupted, tmp_path):
    arguments = (toy(4), toy(2, 100), TOY_CLASSES, QUICK)
    train_student(*arguments, work=tmp_path)
    seen = []
    assert same(train_student(*arguments, work=tmp_path, progress=lambda *r: seen.append(r)), uninterrupted)
    assert not seen
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_another_seed_is_another_student_and_global_randomness_is_left_alone(uninterrupted):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    other = train_student(toy(4), toy(2, 100), TOY_CLASSES, replace(QUICK, seed=1))
    assert not same(other, uninterrupted)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_best_round_is_kept(uninterrupted):
    miou = uninterrupted.student.evaluate(toy(2, 100)).confusion.miou()
    assert miou == uninterrupted.best.miou == max(each.miou for each in uninterrupted.rounds)
    assert len(uninterrupted.rounds) == 2 and uninterrupted.rounds[-1].step == 8


def test_learns_the_images_it_was_given():
    images = toy(4)
    settings = StudentSettings(augment=False, epochs=1, least_steps=60, validations=2, batch_size=4)
    trained = train_student(images, images, TOY_CLASSES, settings)
    assert trained.student.evaluate(images).confusion.pixel_accuracy() > 0.85
    assert (trained.settings.depth, trained.settings.size, trained.settings.precision) == (3, (32, 32), "fp32")


def test_a_single_sample_is_enough_for_batch_normalisation():
    settings = StudentSettings(
        architecture="deeplabv3plus", encoder="mobilenet_v2", epochs=1, least_steps=0, batch_size=2, size=(32, 32)
    )
    assert len(train_student(toy(1), toy(1), TOY_CLASSES, settings).rounds) == 1


def test_a_loss_that_explodes_ends_the_training():
    wild = {"learning_rate": 1e3, "weight_decay": 1e6, "one_cycle": False}  # each step multiplies the weights by -1e9
    settings = StudentSettings(epochs=1, least_steps=20, batch_size=2, dice=0, **wild)
    with pytest.raises(WorkError, match="no longer finite"):
        train_student(toy(2), toy(1), TOY_CLASSES, settings)


@pytest.mark.parametrize("left", [0, 1000])
def test_a_state_that_was_cut_short(left, tmp_path):
    arguments = (toy(2), toy(1, 100), TOY_CLASSES, replace(QUICK, epochs=1))
    train_student(*arguments, work=tmp_path / "training")
    os.truncate(tmp_path / "training" / "student.ckpt", left)
    with pytest.raises(
        InputError, match=r"student\.ckpt: a damaged state of a training .*delete .*training to begin"
    ) as caught:
        train_student(*arguments, work=tmp_path / "training")
    assert "\n" not in str(caught.value)


def test_the_state_is_on_the_disk_before_it_has_its_name(monkeypatch, tmp_path):
    synced, path = [], tmp_path / "student.ckpt"

    def fsync(handle):
        synced.append((os.fstat(handle).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    train_student(toy(2), toy(1, 100), TOY_CLASSES, replace(QUICK, epochs=1), work=tmp_path)
    assert synced == [(path.stat().st_ino, False)]


def test_weights_decay():
    arguments = (toy(2), toy(1, 100), TOY_CLASSES)
    one, other = (train_student(*arguments, replace(QUICK, epochs=1, weight_decay=decay)) for decay in (0.0, 1.0))
    assert not same(one, other)


def test_the_learning_rate_stays_or_takes_one_cycle(caplog):
    def rates(one_cycle):
        settings = replace(QUICK, validations=4, learning_rate=1e-3, one_cycle=one_cycle)
        with caplog.at_level("INFO", logger="frugalseg"):
            caplog.clear()
            train_student(toy(4), toy(1, 100), TOY_CLASSES, settings)
        return [float(rate) for rate in re.findall(r"lr (\S+)", caplog.text)]

    assert rates(one_cycle=False) == [1e-3] * 4
    cycle = rates(one_cycle=True)
    assert cycle == sorted(cycle, reverse=True) and cycle[0] > 5e-4 and cycle[-1] < 1e-4


@pytest.mark.parametrize(
    ("augment", "mirror", "flip"),
    [(True, False, False), (True, True, True), (False, True, True), (False, False, None)],
)
def test_images_are_mirrored_on_request_alone(augment, mirror, flip):
    changes = changes_of(replace(QUICK, augment=augment, mirror=mirror))
    assert (changes and changes.flip) == flip
    if changes is not None and not augment:
        assert torch.equal(random_affine(9, changes, torch.Generator())[:, 0, 0].abs(), torch.ones(9))


def test_ctrl_c_ends_a_training_and_works_again_afterwards(tmp_path):
    def interrupt(stage, done, total):
        if done == 5:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    arguments = (toy(4), toy(2, 100), TOY_CLASSES, QUICK)
    with pytest.raises(KeyboardInterrupt):
        train_student(*arguments, work=tmp_path, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler
    assert (tmp_path / "student.ckpt").is_file()


def test_notes_beside_the_progress_tell_the_loss():
    class Notes:
        def __init__(self):
            self.seen = []

        def __call__(self, *report):
            self.seen.append(report)

        def note(self, stage, words):
            self.seen.append((stage, words))

    notes = Notes()
    trained = train_student(toy(4), toy(1, 100), TOY_CLASSES, replace(QUICK, validations=1), progress=notes)
    (stage, words), last = notes.seen[-2:]
    assert (stage, last) == ("train", ("train", 8, 8))
    assert f"loss {trained.rounds[0].loss:.4f}" in words and "images/s" in words


def test_nothing_to_learn_from():
    with pytest.raises(InputError, match="0 samples"):
        train_student([], toy(1), TOY_CLASSES, QUICK)
