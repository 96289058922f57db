"""Commands that are stopped somewhere and run again, and what has to come of that."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]

TIMED = ("*.log", "*/training/log.txt", "*/training/progress.json", "*/training/last.ckpt")
"""Files that hold times of day, durations, or how often a training was begun: only that they are there is compared."""

TENSORBOARD = "*/tensorboard/*"
"""Each start of a training adds a file there, whose name holds the time."""

SECONDS = re.compile(rb'"[a-z_]*seconds": [0-9.e-]+')


@dataclass(frozen=True)
class Command:
    """A command line to be stopped.

    Attributes:
        words: what it is; ``{name}`` stands for an input.
        device: whether it has that option.
        timed: further files that hold times.
    """

    words: str
    device: bool = True
    timed: tuple[str, ...] = ()

    def arguments(self, inputs: Mapping[str, Path]) -> list[str]:
        """As the command line takes them."""
        return [*self.words.format_map(inputs).split(), *(("--device", "cpu") if self.device else ())]


@dataclass(frozen=True)
class Life:
    """How a command ended.

    Attributes:
        code: its exit code, negative for a signal.
        at: the operation on files that it was stopped at, or "#" and how many it had.
        text: what it wrote to the terminal.
    """

    code: int
    at: str
    text: str

    @property
    def stopped(self) -> bool:
        """Whether it had come to the operation that it was to be stopped at."""
        return not self.at.startswith("#")


class Warm:
    """The process that forks the lives, see `tests.jobs.kills.warm`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def together(self, *orders: dict[str, Any]) -> list[Life]:
        """Several lives at the same time."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(orders, default=str), file=self._process.stdin, flush=True)
        return [Life(**answer) for answer in json.loads(self._process.stdout.readline())]

    def life(self, command: list[str], cwd: Path, at: int = 0, how: str = "kill") -> Life:
        """One life, stopped at operation `at`, or left alone."""
        return self.together({"command": command, "cwd": cwd, "at": at, "how": how})[0]


@contextmanager
def warm_process() -> Iterator[Warm]:
    """The process, which ends with the block."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.jobs.kills.warm"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            yield Warm(process)
        finally:
            process.kill()


def tree(folder: Path, command: Command) -> dict[str, str]:
    """All files below a folder, and all empty folders: names, and digests of what they hold but for times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found |= {} if any(path.iterdir()) else {f"{name}/": ""}
        elif not fnmatch(name, TENSORBOARD):
            timed = any(fnmatch(name, pattern) for pattern in (*TIMED, *command.timed))
            found[name] = "" if timed else hashlib.sha256(SECONDS.sub(b"", path.read_bytes())).hexdigest()
    return found


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """In words, what a folder has too much or too little."""
    return [
        *(f"left over: {name}" for name in found.keys() - expected.keys()),
        *(f"missing: {name}" for name in expected.keys() - found.keys()),
        *(f"other: {name}" for name in found.keys() & expected.keys() if found[name] != expected[name]),
    ]


class Trial:
    """One command: what it does undisturbed, and what comes of it when it is stopped.

    Args:
        warm: runs it.
        command: which.
        inputs: for it.
        folder: to work in.
    """

    def __init__(self, warm: Warm, command: Command, inputs: Mapping[str, Path], folder: Path) -> None:
        self.warm, self.command, self.folder = warm, command, folder
        self.arguments = command.arguments(inputs)
        whole = self.warm.life(self.arguments, self.place())
        assert whole.code == 0, whole.text
        self.expected = tree(self.folder / "here", command)
        self.operations = int(whole.at[1:])

    def place(self) -> Path:
        """A new empty folder; always of the same name, as outputs may hold it."""
        place = self.folder / "here"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    def stopped(self, at: int, how: str) -> Life:
        """The command, stopped in a new folder."""
        return self.warm.life(self.arguments, self.place(), at, how)

    def faults(self, life: Life, how: str, at: int) -> list[str]:
        """What is wrong once the same command, stopped so, was run again, or had ended well in spite of that."""
        again = life if life.code == 0 else self.warm.life(self.arguments, self.folder / "here")
        wrong = differences(tree(self.folder / "here", self.command), self.expected)
        if again.code != 0:
            wrong.append(f"code {again.code}: {again.text[-1500:]}")
        return [f"{how} {at} before {life.at}: {each}" for each in wrong]

    def undisturbed(self) -> bool:
        """Whether the folder holds what an undisturbed run leaves."""
        return tree(self.folder / "here", self.command) == self.expected
