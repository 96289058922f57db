"""When something is due in a training that happens now and then, such as saving its state."""

import time

from lightning.pytorch import Trainer

CLOCK_STEPS = 10
"""With several processes, the first one's clock is consulted only every so many steps: asking it costs a message."""


class Alarm:
    """Says when something is due: every so many steps, or every so many minutes, whichever comes first."""

    def __init__(self, steps: int | None, minutes: float | None) -> None:
        self.steps = steps
        self.seconds = None if minutes is None else minutes * 60
        self._since = time.monotonic()

    def due(self, trainer: Trainer) -> bool:
        """Whether it is time, the same answer in all processes; a yes starts a new interval."""
        step = trainer.global_step
        due = bool(self.steps) and step % int(self.steps or 1) == 0
        if not due and self.seconds is not None and (trainer.world_size == 1 or step % CLOCK_STEPS == 0):
            due = time.monotonic() - self._since >= self.seconds
            if trainer.world_size > 1:
                due = bool(trainer.strategy.broadcast(due))
        if due:
            self._since = time.monotonic()
        return due
