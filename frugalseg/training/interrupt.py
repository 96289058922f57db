"""Ctrl-C in a training: the step under way ends and its state is saved, so that nothing is lost."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import lightning.pytorch as pl

ASKED = b"\nthis step is finished and saved first; press Ctrl-C again to stop at once\n"


class StopAfterStep(pl.Callback):
    """Lets the first Ctrl-C stop a training after its step, with its state saved; a second one stops it at once.

    Several processes that share each batch would notice in different steps, and a thread cannot catch Ctrl-C: there it
    stops at once, and the training continues from the state that was saved last. Must stand last, so that the other
    callbacks have seen the step.

    Args:
        save: writes the state of a trainer.
    """

    def __init__(self, save: Callable[[pl.Trainer], None]) -> None:
        self.save = save
        self.asked = False
        self._before: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, unless Ctrl-C is ignored or the caller has a handler of its own."""
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual and trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Save and stop where somebody has asked for it."""
        if self.asked:
            self.save(trainer)
            raise KeyboardInterrupt

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave Ctrl-C as it was before."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave Ctrl-C as it was before."""
        self._restore()

    def _ask(self, _: int, __: FrameType | None) -> None:
        self.asked = True
        self._restore()
        with suppress(OSError):  # what prints with buffers must not be entered again from a signal's handler
            os.write(2, ASKED)

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
