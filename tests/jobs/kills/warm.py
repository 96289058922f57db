"""A process that has imported everything once, and forks a life of its own for each command that it is told.

It reads a line of JSON, the commands that run at the same time, and answers with another one: how each of them ended. A
command counts its own operations on files through an audit hook, and stops itself at the one that it is told.
"""

import importlib
import json
import os
import pkgutil
import random
import resource
import signal
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import frugalseg

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FOLDER_OF = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2, "os.chmod": 2, "os.rename": 2, "os.link": 2, "os.symlink": 2}
"""Audited operations besides `open`, and which argument is the folder that their path is relative to."""

LAZY = (
    "diffusers.models.unets.unet_2d",
    "diffusers.pipelines.ddpm.pipeline_ddpm",
    "matplotlib.backends.backend_agg",
    "matplotlib.pyplot",
    "safetensors.torch",
    "segmentation_models_pytorch",
    "torch.utils.flop_counter",
)
"""What the package imports only where it is used."""

LONGEST = 180
"""Seconds after which a life counts as hanging."""


class Operations:
    """Counts a process's operations on files below its folder, and does something before one of them.

    Args:
        at: which one, from 1; 0 for none.
        how: what happens then: ``kill``, ``torn`` (what was written since the operation before is cut short, as by a
            kill within the write), the name of a signal, or ``full`` (from here on no file can grow).
        say: where to write what happened.
    """

    def __init__(self, at: int, how: str, say: int) -> None:
        self.root, self.at, self.how, self.say = Path.cwd().resolve(), at, how, say
        self.count, self.busy, self.before = 0, False, dict[int, int]()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.busy or not (event == "open" or event in FOLDER_OF):
            return
        self.busy = True
        try:
            what = self._described(event, arguments)
            if what is not None:
                self._next(what)
        finally:
            self.busy = False

    def _described(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        """The operation in words; None for one that changes nothing, or not here."""
        if (event == "open" and not arguments[2] & WRITING) or isinstance(arguments[0], int):
            return None
        path = Path(os.fsdecode(arguments[0]))
        place = path.parent.resolve()
        if event != "open" and arguments[FOLDER_OF[event]] not in (-1, None):
            place = Path(f"/proc/self/fd/{arguments[FOLDER_OF[event]]}").readlink()
        whole = place / path.name
        return f"{event} {whole.relative_to(self.root)}" if self.root in whole.parents else None

    def _next(self, what: str) -> None:
        self.count += 1
        if self.how == "torn" and self.count == self.at - 1:
            self.before = self._sizes()
        elif self.count == self.at:
            os.write(self.say, what.encode())
            self._stop()

    def _stop(self) -> None:
        if self.how == "torn":
            self._tear()
        if self.how == "full":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            return
        os.kill(os.getpid(), signal.SIGKILL if self.how in ("kill", "torn") else signal.Signals[self.how])

    def _files(self) -> list[Path]:
        return [Path(place, name) for place, _, names in os.walk(self.root) for name in names]

    def _sizes(self) -> dict[int, int]:
        """The length of each file by its inode number, for names change."""
        return {status.st_ino: status.st_size for status in map(os.stat, self._files())}

    def _tear(self) -> None:
        """Cut what has grown since the operation before: to nothing, or to half."""
        for path in self._files():
            size, old = path.stat().st_size, self.before.get(path.stat().st_ino, 0)
            if size > old:
                os.truncate(path, old + (size - old) // 2 * (self.at % 2))


def live(command: list[str], cwd: str, at: int, how: str, say: int, write: int) -> None:
    """Run a command in this process, which ends with it."""
    os.dup2(write, 1)
    os.dup2(write, 2)
    os.close(write)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has it ignored
    signal.alarm(LONGEST)
    code: Any = 0
    operations = Operations(at, how, say)
    sys.addaudithook(operations)
    sys.argv = ["frugalseg", *command]
    try:
        from frugalseg.cli import main

        main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os.write(say, b"" if at and operations.count >= at else f"#{operations.count}".encode())
    os._exit(code or 0)


class Life:
    """A command that has been started."""

    def __init__(self, order: dict[str, Any]) -> None:
        (self.said, say), (self.written, write) = os.pipe(), os.pipe()
        self.process = os.fork()
        if not self.process:
            random.seed()
            try:
                live(order["command"], order["cwd"], order.get("at", 0), order.get("how", "kill"), say, write)
            finally:
                os._exit(70)
        os.close(say)
        os.close(write)

    def ended(self) -> dict[str, Any]:
        """Exit code, negative for a signal; the operation that it stopped at, or else how many there were; output."""
        text, said = (read_all(end).decode(errors="replace") for end in (self.written, self.said))
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return {"code": code, "at": said, "text": text}


def read_all(end: int) -> bytes:
    """What comes out of a pipe until its other end is closed."""
    with os.fdopen(end, "rb") as file:
        return file.read()


def warm_up() -> None:
    """Import what commands need, so that their lives begin with it."""
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    for module in pkgutil.walk_packages(frugalseg.__path__, "frugalseg."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LAZY:
        importlib.import_module(name)
    from frugalseg.classifier.protocol import PROTOCOLS

    PROTOCOLS["quick"] = replace(PROTOCOLS["default"], steps=4)


def main() -> None:
    """Answer until there are no more lines."""
    warm_up()
    for line in sys.stdin:
        lives = [Life(order) for order in json.loads(line)]
        print(json.dumps([life.ended() for life in lives]), flush=True)


if __name__ == "__main__":
    main()
