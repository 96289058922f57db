"""What is told of a training: batch by batch, and at its end."""

from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class TrainingProgress:
    """Where training stands after a batch.

    Attributes:
        step: batches done.
        steps: batches at most.
        active: numbers of the members that still train.
        loss: mean batch loss of those members.
    """

    step: int
    steps: int
    active: tuple[int, ...]
    loss: float


@dataclass
class TrainingHistory:
    """What happened.

    Attributes:
        stopped_at: batches that each member saw.
        losses: (batches done, mean batch loss of the members that still trained), some 200 over the run.
        seconds: wall-clock time, over all resumptions.
    """

    stopped_at: list[int]
    losses: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"stopped_at": self.stopped_at, "losses": [list(pair) for pair in self.losses], "seconds": self.seconds}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(values["stopped_at"], [tuple(pair) for pair in values["losses"]], values["seconds"])
