"""The figures of a training for TensorBoard."""

import os
import time
from pathlib import Path
from typing import IO, Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class EventLog(Logger):
    """Writes figures to a file for TensorBoard as they come.

    TensorBoard's own writer does so in a thread. Where the disk is full, this thread prints a traceback, and whoever
    logs learns of it at some later time. Here the error is raised to whoever logs.

    Args:
        folder: of the file, made where it is missing. Each start of a training adds a file to it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file: IO[bytes] | None = None

    @property
    def name(self) -> str:
        """No name: there is one training a folder."""
        return ""

    @property
    def version(self) -> str:
        """The name of the folder."""
        return self.folder.name

    def log_hyperparams(self, *_: Any) -> None:
        """Write nothing: the settings of a training have files of their own."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write figures by name, which belong to a step; of several processes only the first one writes.

        Raises:
            OSError: the disk is full, or the file cannot be written.
        """
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in metrics.items()]
        rank_zero_only(self._write)(Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values)))

    def finalize(self, status: str) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: Event) -> None:
        if self._file is None:
            # TensorBoard knows the files by a part of their name, and reads them in the order of their names. Each
            # event reaches the disk at once: without a buffer, nothing is left that closing could fail to write.
            name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
            self._file = (self.folder / name).open("xb", buffering=0)
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        RecordWriter(self._file).write(event.SerializeToString())
