"""The folder of a pretraining run: what is in it, whether it may be continued, how results get into it whole."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.support.damage import DamagedError
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path, is_leftover, read_json, remove_leftovers, write_json
from frugalseg.support.locks import holding
from frugalseg.support.records import differences
from frugalseg.training.hardware import is_first_process

AFRESH = "give another folder, or delete this one, to begin anew"


@dataclass(frozen=True)
class RunFolder:
    """Places in the folder of a run.

    The folder itself is the result, in the layout of the family; ``training/`` holds what continuing needs, and
    ``pictures/`` what a person looks at.
    """

    path: Path

    @property
    def training(self) -> Path:
        """Everything that only training needs."""
        return self.path / "training"

    @property
    def settings(self) -> Path:
        """What the run was started with (JSON)."""
        return self.training / "settings.json"

    @property
    def checkpoint(self) -> Path:
        """The whole training state after some step."""
        return self.training / "last.ckpt"

    @property
    def progress(self) -> Path:
        """Step, images, seconds, speed, loss and operations a step of the last checkpoint (JSON)."""
        return self.training / "progress.json"

    @property
    def network(self) -> Path:
        """The names of the files in the folder that are the network (JSON)."""
        return self.training / "network.json"

    @property
    def log(self) -> Path:
        """The log, as text."""
        return self.training / "log.txt"

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.training / ".lock"

    @property
    def pictures(self) -> Path:
        """Samples and the like, one PNG an occasion."""
        return self.path / "pictures"

    @property
    def resumable(self) -> bool:
        """Whether a run was begun here."""
        return self.settings.is_file()

    def last_progress(self) -> dict[str, Any]:
        """What `progress` holds; zeros where nothing was saved yet. Raises `DamagedError` where they are no numbers."""
        if not self.progress.is_file():
            return {"step": 0, "images": 0, "seconds": 0.0}
        saved = _object(self.progress)
        wrong = [name for name in ("step", "images", "seconds") if not _counts(saved.get(name))]
        if wrong or (saved.get("step_flops") is not None and not _counts(saved["step_flops"])):
            raise DamagedError(self.progress, f"a damaged run (no {(wrong or ['step_flops'])[0]})", AFRESH)
        return saved

    def stored_settings(self) -> dict[str, Any]:
        """What the run was started with; raises `DamagedError` where the file no longer says it."""
        stored = _object(self.settings)
        if type(stored.get("steps")) is not int:
            raise DamagedError(self.settings, "a damaged run (no number of steps)", AFRESH)
        return stored

    def begun_with(self) -> dict[str, Any] | None:
        """`stored_settings` of the run that was begun here; None where none was."""
        return self.stored_settings() if self.resumable else None

    def require_free(self) -> None:
        """Raise `InputError` where a run cannot be begun: the path is a file, or a folder that holds something."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; give a folder for the result")
        if self.path.is_dir() and any(path.is_file() and not self._is_trace(path) for path in self.path.rglob("*")):
            raise InputError(f"{self.path} is not empty and holds no run to continue; give a new or empty folder")

    def _is_trace(self, path: Path) -> bool:
        """Whether a file only shows that a run was killed before it had written down its settings."""
        return path == self.lock or (path.parent == self.training and is_leftover(path.name))

    def begin(self, settings: dict[str, Any]) -> None:
        """Make the folder a run with these settings, or give them to the run that is in it.

        Raises what `require_free` raises where there is no run.
        """
        if not self.resumable:
            self.require_free()
        remove_leftovers(self.path)
        write_json(self.settings, settings)

    def say(self, line: str) -> None:
        """Add a line to the log, with the time before it."""
        self.training.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8", errors="replace") as file:  # names of folders may be no UTF-8
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep the folder to this run. Of the processes that share its batches the first has the lock.

        Yields:
            Whether this is that process.

        Raises:
            InputError: another run is at work in the folder.
        """
        if not is_first_process():
            yield False
            return
        self.training.mkdir(parents=True, exist_ok=True)
        with holding(self.lock) as ours:
            if not ours:
                raise InputError(f"{self.path}: another process is training in this folder; wait for it, or stop it")
            yield True

    def publish(self, finished: Path) -> None:
        """Move each file below the folder `finished` to its place in the run folder; each file is replaced whole.

        Top-level files come last: they are what says that the rest is there.
        """
        files = sorted((p for p in finished.rglob("*") if p.is_file()), key=lambda p: -len(p.parts))
        names = [source.relative_to(finished).as_posix() for source in files]
        for source in files:
            target = self.path / source.relative_to(finished)
            # By way of a fresh file: safetensors makes files that only their owner can read.
            with atomic_path(target) as temporary:
                source.replace(temporary)
        shutil.rmtree(finished)
        write_json(self.network, names)

    def published(self) -> bool:
        """Whether all files of the network are in the folder; those of earlier versions, which made no list, are."""
        names = read_json(self.network) if self.network.is_file() else []
        return isinstance(names, list) and all(isinstance(name, str) and (self.path / name).is_file() for name in names)

    def require_state(self) -> None:
        """Raise `DamagedError` where steps were done, but the state that goes on from them is gone."""
        step = self.last_progress()["step"]
        if step and not self.checkpoint.is_file():
            raise DamagedError(self.checkpoint, f"a damaged run (the state after step {step} is missing)", AFRESH)


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a run."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise DamagedError(path, "a damaged run (no object in braces)", AFRESH)
    return value


def _counts(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 2**63


def picture_path(run: RunFolder, name: str, step: int) -> Path:
    """Where the picture `name` of a step goes; sorts by step."""
    return run.pictures / f"{name}_{step:07d}.png"


def continued(stored: dict[str, Any], given: dict[str, Any], where: Path) -> dict[str, Any]:
    """The settings with which a run continues: its stored ones, with the steps raised where more are given.

    Args:
        stored: what the run was begun with.
        given: what is asked for now; settings that are None were left to be chosen, and agree with whatever was chosen.
        where: the run's folder.

    Raises:
        InputError: the two differ in anything but more steps; it names every such setting.
    """
    asked = {
        key: value
        for key, value in given.items()
        if value is not None and not (key == "steps" and value > stored["steps"])
    }
    words = {key: f"another {key.removesuffix('_digest')}" for key in asked if key.endswith("_digest")}
    changed = differences({key: stored.get(key) for key in asked}, asked, words)
    if changed:
        raise InputError(
            f"the run in {where} was started with other settings ({'; '.join(changed)}); "
            "continue it with its own, or give another folder"
        )
    return {**stored, "steps": given["steps"]}
