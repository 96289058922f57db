"""A student's training: each step a function of seed and number; the network of the best round stays."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.students.batches import SampleStream, chosen_size, most_frequent_size
from frugalseg.students.lesson import Lesson
from frugalseg.students.network import NetworkSpec, StudentNetwork, chosen_depth, new_network, require_size
from frugalseg.students.rounds import Round, Rounds, StateKeeper
from frugalseg.students.settings import Schedule, StudentSettings
from frugalseg.students.student import Student, View
from frugalseg.support.errors import InputError
from frugalseg.support.precision import Precision
from frugalseg.support.processor import slow_in_bf16, warn_of_slow_bf16
from frugalseg.support.progress import Progress, silent
from frugalseg.training.batches import StepBatches
from frugalseg.training.hardware import Hardware, check_hardware
from frugalseg.training.interrupt import StopAfterStep
from frugalseg.training.log import TrainingLog
from frugalseg.training.state import saved_state
from frugalseg.training.trainer import train

log = logging.getLogger("frugalseg")

LOG_STEPS = 50
"""Steps between two lines of the log, beside those at the end of each round."""
STATE = "student.ckpt"


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        student: of the best round.
        settings: complete: nothing left to be chosen.
        rounds: all of them.
    """

    student: Student
    settings: StudentSettings
    rounds: tuple[Round, ...]

    @property
    def best(self) -> Round:
        """The first of the rounds with the highest mIoU."""
        return max(self.rounds, key=lambda each: each.miou)


def train_student(
    samples: Sequence[Example],
    validation: Sequence[Example],
    classes: ClassTable,
    settings: StudentSettings | None = None,
    *,
    work: Path | None = None,
    device: str = "cpu",
    workers: int = 0,
    checkpoint_minutes: float = 5.0,
    progress: Progress = silent,
) -> Trained:
    """Train a student from scratch and keep the network of its best round.

    Args:
        samples: labelled images of any sizes, such as a `SyntheticSet` or a `SegmentationFolder`; read at random.
        validation: annotated images that choose the round, in the same class positions.
        classes: of both.
        settings: see `StudentSettings`.
        work: gets the state, after each round and every few minutes, and ``tensorboard/``. A training with the same
            arguments goes on from there, and ends with the same bits on a CPU.
        device: where it runs.
        workers: processes that read and resize samples.
        checkpoint_minutes: how often the state is saved within a round.
        progress: told of each step.

    Raises:
        InputError: no samples, an unknown name, an impossible setting, or a state in `work` that cannot be read.
        WorkError: the loss is no longer finite.
        KeyboardInterrupt: the training was stopped by Ctrl-C.
    """
    if not len(samples) or not len(validation):
        raise InputError(f"{len(samples)} samples and {len(validation)} validation images; give at least one of each")
    settings, network = prepared(samples, classes, settings or StudentSettings(), device)
    schedule = Schedule.of(settings, len(samples))
    assert settings.size is not None
    student = Student(network, classes, View(settings.size, settings.tile), device=device)
    log.info("%s samples, %s steps in %s passes, %s", len(samples), schedule.steps, schedule.epochs, settings)
    rounds = Rounds(student, validation, schedule, settings.batch_size)
    training_log = TrainingLog("train", settings.batch_size, line_due(schedule), log.info, progress)
    with TemporaryDirectory() if work is None else nullcontext(work) as place:
        state = Path(place) / STATE
        keeper = StateKeeper(state, schedule, checkpoint_minutes, training_log)
        train(
            Lesson(network, settings, schedule.steps),
            StepBatches(stream_of(student, samples, settings, schedule), workers),
            folder=Path(place),
            hardware=Hardware(device),
            precision=settings.precision or "fp32",
            steps=schedule.steps,
            callbacks=[training_log, rounds, keeper, StopAfterStep(keeper.save)],
            state=saved_state(state, whole=Path(place)),
        )
    network.load_state_dict(rounds.best)
    return Trained(Student(network, classes, student.view, device=device), settings, tuple(rounds.done))


def prepared(
    samples: Sequence[Example], classes: ClassTable, settings: StudentSettings, device: str
) -> tuple[StudentSettings, StudentNetwork]:
    """The settings with everything chosen that was left open, and the untrained network.

    Raises:
        InputError: an unknown name, parts that do not go together, images that the network cannot take, or a device
            that cannot train it.
    """
    wanted = settings.size or most_frequent_size(samples)
    depth = settings.depth or chosen_depth(settings.architecture, wanted)
    spec = NetworkSpec(settings.architecture, settings.encoder, depth, len(classes))
    network = new_network(spec, settings.seed)
    precision = chosen_precision(settings, device)
    if slow_in_bf16(device, precision):
        warn_of_slow_bf16()
    check_hardware(Hardware(device), precision, settings.batch_size)
    size = chosen_size(samples, network.stride, settings.size)
    require_size(network, size)
    return replace(settings, depth=depth, size=size, precision=precision), network


def chosen_precision(settings: StudentSettings, device: str) -> Precision:
    """The number format of a training: the given one, or that of the device."""
    return settings.precision or ("bf16" if device.startswith("cuda") else "fp32")


def line_due(schedule: Schedule) -> Callable[[int], bool]:
    """Whether a line of the log is due after a step."""
    return lambda step: step % LOG_STEPS == 0 or schedule.round_ended(step) is not None


def stream_of(
    student: Student, samples: Sequence[Example], settings: StudentSettings, schedule: Schedule
) -> SampleStream:
    """The batches of a whole training."""
    return SampleStream(
        samples,
        student.view.size,
        student.network.stride,
        batch_size=settings.batch_size,
        seed=settings.seed,
        tile=settings.tile,
        stop=schedule.steps,
    )
