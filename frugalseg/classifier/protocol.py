"""How the ensemble trains: the published way to the letter, and a faster one."""

import math
from dataclasses import dataclass
from typing import Literal

from frugalseg.support.errors import InputError
from frugalseg.support.options import make_plain
from frugalseg.support.ranges import AMOUNT, BATCH, COUNT, RATE, SHARE, WEIGHT, Range
from frugalseg.support.text import quoted

VALUES = Range(1, 2**40)


@dataclass(frozen=True)
class TrainingProtocol:
    """How the ensemble trains. `PROTOCOLS` holds the two that are offered; `dataclasses.replace` varies them.

    Attributes:
        name: what it is called in results.
        batch_size: pixels a batch and member.
        learning_rate: the highest.
        schedule: ``constant``, or ``one-cycle``: linear rise over `warmup` of the steps, then a half cosine to 0.
        warmup: share of the steps.
        epochs: passes over all pixels, at most; None where `steps` says it.
        steps: batches a member sees, at most; None where `epochs` says it.
        patience: a member stops once its watched loss has missed its best more often than this in a row; None: never.
        patience_from_epoch: the first epoch (from 0) that counts for `patience`.
        watch: the loss that `patience` looks at. ``batch``: of every batch; a member keeps the weights it stops with.
            ``validation``: of held-out pixels, where there are any, every `watch_every` batches; a member keeps the
            weights that were best.
        watch_every: batches.
        pool_values: feature values gathered at a time for all members together (pixels x dimensions); None: every
            member walks its own permutation of all pixels.
        pool_passes: how often each member walks a pool.
        class_balance: 0 draws every pixel of a pool with equal chance, 1 every class, between in between.
        standardise: give each feature mean 0 and standard deviation 1.
        weight_decay: decoupled, as in AdamW.
        label_smoothing: share of the target spread over all classes.
    """

    name: str
    batch_size: int
    learning_rate: float
    schedule: Literal["constant", "one-cycle"] = "constant"
    warmup: float = 0.1
    epochs: int | None = None
    steps: int | None = None
    patience: int | None = None
    patience_from_epoch: int = 0
    watch: Literal["batch", "validation"] = "batch"
    watch_every: int = 1
    pool_values: int | None = None
    pool_passes: int = 1
    class_balance: float = 0.0
    standardise: bool = False
    weight_decay: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Raise `InputError` where a field is out of its range."""
        rules = {
            "batch_size": Range(2, BATCH.most).holds(self.batch_size),
            "learning_rate": RATE.holds(self.learning_rate),
            "schedule": self.schedule in ("constant", "one-cycle"),
            "warmup": SHARE.holds(self.warmup),
            "epochs": self.epochs is None or COUNT.holds(self.epochs),
            "steps": (self.steps is None) != (self.epochs is None) and (self.steps is None or COUNT.holds(self.steps)),
            "patience": self.patience is None or AMOUNT.holds(self.patience),
            "patience_from_epoch": AMOUNT.holds(self.patience_from_epoch),
            "watch": self.watch in ("batch", "validation"),
            "watch_every": COUNT.holds(self.watch_every),
            "pool_values": self.pool_values is None or VALUES.holds(self.pool_values),
            "pool_passes": COUNT.holds(self.pool_passes),
            "class_balance": Range(0, 0 if self.pool_values is None else 1, whole=False).holds(self.class_balance),
            "standardise": isinstance(self.standardise, bool),
            "weight_decay": WEIGHT.holds(self.weight_decay),
            "label_smoothing": SHARE.holds(self.label_smoothing),
        }
        for name, holds in rules.items():
            value = getattr(self, name)
            if not holds or isinstance(value, list | tuple):
                raise InputError(f"training protocol {quoted(self.name)}: {name}={quoted(value)} is out of range")
        make_plain(self)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of batch `step` of `steps`."""
        if self.schedule == "constant":
            return self.learning_rate
        rise = self.warmup * steps
        if step < rise:
            return self.learning_rate * (step + 1) / (rise + 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


PROTOCOLS = {
    "default": TrainingProtocol(
        name="default",
        batch_size=256,
        learning_rate=1e-2,
        schedule="one-cycle",
        steps=300,
        pool_values=2**25,
        pool_passes=2,
        class_balance=0.3,
        standardise=True,
    ),
    "paper": TrainingProtocol(
        name="paper", batch_size=64, learning_rate=1e-3, epochs=100, patience=50, patience_from_epoch=4
    ),
}


def training_protocol(name: str) -> TrainingProtocol:
    """A protocol by its name; raises `InputError` with the known names for an unknown one."""
    if name not in PROTOCOLS:
        raise InputError(f"no training protocol {name!r}; known: {', '.join(sorted(PROTOCOLS))}")
    return PROTOCOLS[name]
