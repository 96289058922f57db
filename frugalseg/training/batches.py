"""A stream of batches as the trainer takes it: from the trainer's step on, for whichever process it is."""

import signal
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from frugalseg.support.errors import InputError
from frugalseg.training.stream import StepStream


class StepBatches(LightningDataModule):
    """The batches of a stream from wherever the trainer stands.

    Args:
        stream: its `start`, `rank` and `world_size` are set to those of the trainer.
        workers: processes that prepare batches beside the training.
    """

    def __init__(self, stream: StepStream, workers: int) -> None:
        super().__init__()
        self.stream = stream
        self.workers = workers

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Batches from the trainer's step on."""
        self.stream.start = self.trainer.global_step
        self.stream.rank, self.stream.world_size = self.trainer.global_rank, self.trainer.world_size
        return step_loader(self.stream, self.workers)


class StepLoader(DataLoader[dict[str, Any]]):
    """A loader that raises an `InputError` of its workers as it is.

    Torch would make another exception of the text of its traceback, or a `RuntimeError` where it takes several
    arguments. So the stream hands the error over in the place of a batch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, InputError):
                raise batch
            yield batch


def step_loader(stream: StepStream, workers: int = 0) -> DataLoader[dict[str, Any]]:
    """A loader that yields the batches of `stream` in order, prepared by `workers` processes beside the training."""
    # It has a generator of its own, because it would draw from the process's otherwise.
    return StepLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(stream.seed),
        worker_init_fn=leave_ctrl_c,
    )


def leave_ctrl_c(_: int) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that trains.

    It finishes its step, for which it may need another batch, and then ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
