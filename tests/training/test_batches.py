"""Batches that other processes prepare."""

import multiprocessing
import os
import signal
import time

import pytest

from frugalseg.training.batches import step_loader
from frugalseg.training.stream import StepStream


class Slow(StepStream):
    """Batches that take a while."""

    def __init__(self, stop):
        self.seed, self.start, self.stop = 0, 0, stop

    def batch(self, step):
        time.sleep(0.05)
        return {"step": step}


@pytest.mark.skipif(os.name == "nt", reason="there Ctrl-C cannot be sent to a single process")
def test_workers_go_on_after_ctrl_c():
    """A terminal sends it to them, too, while the step that is under way may need another batch."""
    others = multiprocessing.active_children()
    batches = iter(step_loader(Slow(6), workers=1))
    assert next(batches) == {"step": 0}
    (worker,) = [each for each in multiprocessing.active_children() if each not in others]
    os.kill(worker.pid, signal.SIGINT)
    assert [each["step"] for each in batches] == [1, 2, 3, 4, 5]
