"""What a training tells while it runs."""

import time
from contextlib import nullcontext

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from torch import nn

from frugalseg.training.batches import StepBatches
from frugalseg.training.hardware import Hardware
from frugalseg.training.log import TrainingLog, duration
from frugalseg.training.state import save_state, saved_state
from frugalseg.training.stream import StepStream
from frugalseg.training.trainer import train


class Numbers(StepStream):
    """Batches of two numbers."""

    def __init__(self, stop):
        self.seed, self.start, self.stop = 0, 0, stop

    def batch(self, step):
        return {"step": step, "numbers": torch.full((2, 1), float(step))}


class Line(LightningModule):
    """Its loss is the step, whatever it learns."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, _):
        return batch["numbers"].mean() + 0 * self.layer(batch["numbers"]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.25)


class Notes:
    """A progress that remembers what stands beside the bar."""

    def __init__(self):
        self.notes = []

    def __call__(self, stage, done, total):
        pass

    def note(self, stage, words):
        self.notes.append(words)


def logged(steps, every, folder):
    lines, reports = [], []
    log = TrainingLog("learn", 2, lambda step: step % every == 0, lines.append, lambda *report: reports.append(report))
    arguments = {"folder": folder, "hardware": Hardware("cpu"), "precision": "fp32", "steps": steps}
    train(Line(), StepBatches(Numbers(steps), 0), callbacks=[log], **arguments)
    return lines, reports, log


def test_lines_tell_the_mean_loss_since_the_line_before(tmp_path):
    lines, reports, log = logged(5, 2, tmp_path)
    assert lines[0] == "begin at step 0 of 5, 1 process(es)"
    told = [line.split("  ")[:3] for line in lines[1:]]
    losses = {2: 0.5, 4: 2.5, 5: 4.0}
    assert told == [[f"step {step}/5", f"loss {loss:.5f}", "lr 2.50e-01"] for step, loss in losses.items()]
    assert reports == [("learn", step, 5) for step in range(1, 6)]
    assert (log.reading.loss, log.reading.step, log.reading.seconds_left) == (4.0, 5, 0)


class Stop(Exception):
    """Ends a training."""


class Saves(Callback):
    """Saves the state of a step and ends the training."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            save_state(trainer, self.path)
            raise Stop


def test_lines_of_a_continued_training_tell_of_the_same_steps(tmp_path):
    path, lines = tmp_path / "state.ckpt", []
    for saves in (6, None):
        log = TrainingLog("learn", 2, lambda step: step % 4 == 0, lines.append, lambda *_: None)
        arguments = {"folder": tmp_path, "hardware": Hardware("cpu"), "precision": "fp32", "steps": 10}
        with nullcontext() if saves is None else pytest.raises(Stop):
            train(
                Line(),
                StepBatches(Numbers(10), 0),
                callbacks=[log, Saves(saves, path)],
                state=saved_state(path, tmp_path),
                **arguments,
            )
    straight = logged(10, 4, tmp_path)[0]
    told = [line.split("  ")[:2] for line in lines if "loss" in line]
    assert told == [line.split("  ")[:2] for line in straight if "loss" in line]
    assert [words for _, words in told] == ["loss 1.50000", "loss 5.50000", "loss 8.50000"]


def test_steps_are_timed_where_the_clock_ticks_slowly(tmp_path, monkeypatch):
    """As `time.monotonic` does on Windows."""
    exact = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: exact() // 10 * 10)
    lines, _, log = logged(4, 1, tmp_path)
    assert len(lines) == 5 and 0 < log.reading.images_per_second < 1e6


def test_the_first_line_comes_within_ten_steps(tmp_path):
    lines, _, _ = logged(40, 30, tmp_path)
    assert [line.split("/")[0] for line in lines[1:]] == ["step 10", "step 30", "step 40"]


def test_the_loss_beside_the_bar_is_that_of_the_steps_since_the_last_line(tmp_path, monkeypatch):
    monkeypatch.setattr("frugalseg.training.log.NOTED_SECONDS", 0.0)
    shown = Notes()
    log = TrainingLog("learn", 2, lambda step: False, lambda line: None, shown)
    train(
        Line(),
        StepBatches(Numbers(6), 0),
        callbacks=[log],
        folder=tmp_path,
        hardware=Hardware("cpu"),
        precision="fp32",
        steps=6,
    )
    assert [words.split(", ")[1] for words in shown.notes] == [f"loss {n:.4f}" for n in (0.5, 1, 1.5, 2, 2.5)]


def test_durations_read_well():
    assert [duration(s) for s in (40, 61, 7500)] == ["40 s", "1 min", "2 h 05 min"]
