"""Trains all members of the ensemble at once: one batched computation, every member as if it were alone."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.classifier.batches import Batches, OwnPermutations, PixelSource, SharedPools
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.protocol import PROTOCOLS, TrainingProtocol, training_protocol
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path

__all__ = [
    "PROTOCOLS",
    "PixelSource",
    "TrainingHistory",
    "TrainingProgress",
    "TrainingProtocol",
    "train_ensemble",
    "training_protocol",
]

# Shapes: M members, A members that still train, b pixels of a batch, V held-out pixels, D feature length, K classes.

SAMPLE = 8192  # pixels that features are standardised by, and held-out pixels that are watched, at most


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


def train_ensemble(
    pixels: PixelSource,
    num_classes: int,
    protocol: TrainingProtocol,
    *,
    members: int = 10,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: torch.dtype = torch.float32,
    progress: Callable[[TrainingProgress], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    validation: PixelSource | None = None,
    which_members: Sequence[int] | None = None,
) -> tuple[PixelClassifier, TrainingHistory]:
    """Train the ensemble on labelled pixels.

    Each member has its own initial weights, batches, batch normalisation and early stop, all from (`seed`, its number):
    trained alone or beside others it ends the same, up to rounding. A member that stops leaves the computation.

    Args:
        pixels: labelled pixels, at least 2.
        num_classes: K.
        protocol: how.
        members: M.
        seed: of everything random.
        device: where to train.
        precision: float32 or float64 throughout; bfloat16 computes matrix products in it on float32 weights.
        progress: called after every batch.
        checkpoint: file that holds the run's state, rewritten at intervals; where it exists, the run goes on from it
            and ends as if it had never been interrupted. The caller deletes it once the classifier is saved.
        checkpoint_seconds: the interval.
        validation: held-out labelled pixels, for protocols that watch them.
        which_members: train only these members of the ensemble.

    Returns:
        The classifier of the trained members, in evaluation mode, and what happened.

    Raises:
        InputError: fewer than 2 labelled pixels, or `checkpoint` belongs to another training.
    """
    if len(pixels) < 2:
        raise InputError(f"training needs at least 2 annotated pixels, found {len(pixels)}; annotate more")
    begun = saved = time.monotonic()
    numbers = tuple(range(members) if which_members is None else which_members)
    classifier = PixelClassifier(pixels.channels, num_classes, len(numbers))
    classifier.reset(seed, numbers)
    if protocol.standardise:
        _standardise(classifier, pixels, seed)
    classifier.to(device, torch.float64 if precision == torch.float64 else torch.float32)
    run = _Run(classifier.train(), numbers, protocol, pixels, validation, seed, precision)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    begun -= run.history.seconds
    while not run.done:
        report = run.advance()
        run.history.seconds = time.monotonic() - begun
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            run.save(checkpoint)
            saved = time.monotonic()
        if progress is not None:
            progress(report)
    return run.classifier.eval(), run.history


class _Run:
    """The state of one joint training.

    Attributes:
        classifier: all members, each as it would be if it stopped now; those that still train, as they were when last
            assigned.
        active: places in `classifier` of the members that still train.
        part: those members, being trained.
        optimizer: theirs.
        best, misses: (A,) each active member's best watched loss, and how often in a row it was missed.
    """

    def __init__(
        self,
        classifier: PixelClassifier,
        numbers: tuple[int, ...],
        protocol: TrainingProtocol,
        pixels: PixelSource,
        validation: PixelSource | None,
        seed: int,
        precision: torch.dtype,
    ) -> None:
        self.classifier, self.numbers, self.protocol = classifier, numbers, protocol
        self.identity = _identity(pixels, classifier.num_classes, protocol, numbers, seed, precision)
        self.low_precision = precision if precision.itemsize < 4 else None
        prepare = _preparation(classifier, protocol)
        self.batches = _batches(pixels, protocol, seed, prepare)
        self.held_out = None
        if validation is not None and protocol.watch == "validation":
            index = _sample(validation, seed)
            self.held_out = prepare(validation.features(index)), validation.labels[index].to(classifier.device)
        self.steps = protocol.steps or (protocol.epochs or 0) * self.batches.steps_per_epoch
        self.step = 0
        self.history = TrainingHistory([0] * len(numbers))
        self.active = list(range(len(numbers)))
        self.best = torch.full((len(numbers),), math.inf, device=classifier.device)
        self.misses = torch.zeros_like(self.best, dtype=torch.int64)
        self.part = classifier.select(self.active)
        self.optimizer = self._new_optimizer()

    @property
    def done(self) -> bool:
        """Whether no member trains any more."""
        return not self.active

    def advance(self) -> TrainingProgress:
        """One batch of every active member."""
        members = tuple(self.numbers[place] for place in self.active)
        losses = self._learn(*self.batches.batch(self.step, members))
        self.step += 1
        self._watch(losses)
        if self.step == self.steps:
            self._retire(range(len(self.active)))
        loss = float(losses.mean())
        if self.step % max(1, self.steps // 200) == 0 or self.done:
            self.history.losses.append((self.step, loss))
        return TrainingProgress(self.step, self.steps, members, loss)

    def _learn(self, features: Tensor, labels: Tensor) -> Tensor:
        """Optimise on features (A, b, D) and labels (A, b); the losses (A,) before the update."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.protocol.rate(self.step, self.steps)
        losses = self._losses(features, labels, self.protocol.label_smoothing)
        self.optimizer.zero_grad()
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach()

    def _losses(self, features: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross entropy (A,) on features (A, b, D) or (b, D) and labels (A, b)."""
        with torch.autocast(features.device.type, self.low_precision, enabled=self.low_precision is not None):
            logits = self.part.network(features).to(features.dtype)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=smoothing)
        return losses.view(labels.shape).mean(1)

    def _watch(self, losses: Tensor) -> None:
        """Compare each member's watched loss with its best, and retire the members whose patience ends.

        Args:
            losses: (A,) of the batch just learnt.
        """
        patience, epoch = self.protocol.patience, (self.step - 1) // self.batches.steps_per_epoch
        if patience is None or epoch < self.protocol.patience_from_epoch:
            return
        if self.protocol.watch == "validation":
            if self.held_out is None or self.step % self.protocol.watch_every:
                return
            losses = self._validate(*self.held_out)
        better = losses < self.best
        self.best = torch.where(better, losses, self.best)
        self.misses = torch.where(better, 0, self.misses + 1)
        if self.held_out is not None:
            self._keep(better.nonzero().flatten().tolist())
        stopping = (self.misses > patience).nonzero().flatten().tolist()
        if stopping:
            self._retire(stopping)

    @torch.no_grad()
    def _validate(self, features: Tensor, labels: Tensor) -> Tensor:
        """Each active member's loss (A,) on held-out features (V, D) and labels (V,)."""
        self.part.eval()
        losses = self._losses(features, labels.expand(len(self.active), -1))
        self.part.train()
        return losses

    def _keep(self, places: Sequence[int]) -> None:
        """Copy the members at `places` of `active`, as they are now, into `classifier`."""
        self.classifier.assign([self.active[i] for i in places], self.part.select(places))

    def _retire(self, places: Sequence[int]) -> None:
        """The members at `places` of `active` leave the computation; the others go on."""
        self._keep([i for i in places if self.held_out is None or self.best[i].isinf()])
        for i in places:
            self.history.stopped_at[self.active[i]] = self.step
        staying = [i for i in range(len(self.active)) if i not in set(places)]
        moments = [self.optimizer.state[p] for p in self.part.parameters()]
        self.active = [self.active[i] for i in staying]
        self.best, self.misses = self.best[staying], self.misses[staying]
        self.part = self.part.select(staying)
        self.optimizer = self._new_optimizer()
        for parameter, state in zip(self.part.parameters(), moments, strict=True):
            self.optimizer.state[parameter] = {k: v[staying] if v.dim() else v for k, v in state.items()}

    def _new_optimizer(self) -> torch.optim.AdamW:
        """Adam; with weight decay 0, AdamW is Adam exactly."""
        decay = self.protocol.weight_decay
        return torch.optim.AdamW(self.part.parameters(), lr=self.protocol.learning_rate, weight_decay=decay, fused=True)

    def save(self, path: Path) -> None:
        """Write the state to `path`, whole or not at all."""
        state = {
            "identity": self.identity,
            "step": self.step,
            "active": self.active,
            "best": self.best,
            "misses": self.misses,
            "history": self.history.to_json(),
            "classifier": self.classifier.state_dict(),
            "part": self.part.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> None:
        """Take the state that `save` wrote; raises `InputError` where it is of another training."""
        try:
            state = torch.load(path, map_location=self.classifier.device, weights_only=True)
            identity = state["identity"]
        except Exception as error:
            raise InputError(f"{path} is not a readable state of training; delete it to start anew") from error
        differing = [key for key, value in self.identity.items() if identity.get(key) != value]
        if differing:
            raise InputError(f"{path} belongs to a training with other {', '.join(differing)}; delete it to start anew")
        self.step, self.active = state["step"], state["active"]
        self.best, self.misses = state["best"], state["misses"]
        history = state["history"]
        self.history = TrainingHistory(history["stopped_at"], [tuple(p) for p in history["losses"]], history["seconds"])
        self.classifier.load_state_dict(state["classifier"])
        self.part = self.classifier.select(self.active)
        self.part.load_state_dict(state["part"])
        self.optimizer = self._new_optimizer()
        self.optimizer.load_state_dict(state["optimizer"])


def _preparation(classifier: PixelClassifier, protocol: TrainingProtocol) -> Callable[[Tensor], Tensor]:
    """What is done to gathered features (n, D), in place where possible."""
    mean, scale = classifier.feature_mean, classifier.feature_scale

    def prepare(features: Tensor) -> Tensor:
        features = features.to(mean.device, mean.dtype)
        return features.sub_(mean).div_(scale) if protocol.standardise else features

    return prepare


def _batches(
    pixels: PixelSource, protocol: TrainingProtocol, seed: int, prepare: Callable[[Tensor], Tensor]
) -> Batches:
    """The stream that `protocol` asks for."""
    if protocol.pool_values is None:
        return OwnPermutations(pixels, protocol.batch_size, seed, prepare)
    size = max(protocol.pool_values // pixels.dim, protocol.batch_size)
    passes, balance = protocol.pool_passes, protocol.class_balance
    return SharedPools(pixels, protocol.batch_size, seed, prepare, size=size, passes=passes, class_balance=balance)


def _sample(pixels: PixelSource, seed: int) -> Tensor:
    """Positions of some pixels, all of them where they are few."""
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    return order[:SAMPLE]


def _standardise(classifier: PixelClassifier, pixels: PixelSource, seed: int) -> None:
    """Set the classifier's input standardisation from a sample of the pixels."""
    deviation, mean = torch.std_mean(pixels.features(_sample(pixels, seed)), dim=0, correction=0)
    classifier.feature_mean.copy_(mean)
    # A feature that never changes is left as it is: 0 after its mean is taken off.
    classifier.feature_scale.copy_(torch.where(deviation > 1e-6 * (mean.abs() + 1e-6), deviation, 1.0))


def _identity(
    pixels: PixelSource,
    num_classes: int,
    protocol: TrainingProtocol,
    numbers: tuple[int, ...],
    seed: int,
    precision: torch.dtype,
) -> dict[str, Any]:
    """What must agree for a checkpoint to be gone on from."""
    settings = {f"protocol {name}": value for name, value in asdict(protocol).items()}
    labels = int((pixels.labels * torch.arange(1, len(pixels) + 1)).sum())
    data = {"pixels": len(pixels), "labels": labels, "channels": list(pixels.channels), "classes": num_classes}
    return settings | data | {"members": list(numbers), "seed": seed, "precision": str(precision)}
