"""The program `frugalseg`: its commands, and how it ends."""

import errno
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import NoReturn

import typer

from frugalseg.cli.benchmark import benchmark, demo
from frugalseg.cli.data import check, toy
from frugalseg.cli.download import download
from frugalseg.cli.explore import EXPLORE_OPTIONS, explore
from frugalseg.cli.families import FamilyOptions, family_command
from frugalseg.cli.model import FIT_OPTIONS, evaluate, fit, predict
from frugalseg.cli.options import Flag, accepting
from frugalseg.cli.pretrain import convert, pretrain_app
from frugalseg.cli.synthetic import GENERATE_OPTIONS, STUDENT_FLAGS, distill, generate
from frugalseg.support.device import NO_MEMORY, out_of_memory
from frugalseg.support.errors import LONGEST, InputError, WorkError
from frugalseg.support.files import disk_error
from frugalseg.support.text import brief, printable, shortened
from frugalseg.support.threads import limit_threads

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
"""The exit codes; the last is the shell's for what Ctrl-C has ended."""
UNREACHABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
"""Errors that say that a path is wrong, or not this user's."""
LONGEST_VALUE = 300
"""Characters of what typer says; it repeats values of any length."""

# typer has moved this class from one package to another, and exports only one that derives from it.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="frugalseg",
    help="Semantic segmentation from a handful of annotated images.\n\nStart with: frugalseg demo",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """Show the help where no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def add(
    function: Callable[..., None], panel: str, flags: Sequence[Flag] = (), family: FamilyOptions | None = None
) -> None:
    """Make a function a command.

    Args:
        function: the command; its docstring is the help, whose paragraphs may be wrapped anywhere.
        panel: the heading that it stands under.
        flags: options for its ``**given``.
        family: or what further options depend on.
    """
    text = "\n\n".join(" ".join(part.split()) for part in (function.__doc__ or "").split("\n\n"))
    kind = None if family is None else family_command(function, family)
    app.command(help=text, rich_help_panel=panel, cls=kind)(accepting(flags, function))


FIRST, MODELS, SETS, MORE = "First steps", "Backbones and models", "Labeled sets and students", "More"
add(demo, FIRST)
add(toy, FIRST)
add(check, FIRST)
app.add_typer(pretrain_app, name="pretrain", rich_help_panel=MODELS)
add(fit, MODELS, family=FIT_OPTIONS)
add(evaluate, MODELS)
add(predict, MODELS)
add(explore, MODELS, family=EXPLORE_OPTIONS)
add(generate, SETS, family=GENERATE_OPTIONS)
add(distill, SETS, STUDENT_FLAGS)
add(download, MORE)
add(benchmark, MORE)
add(convert, MORE)


def main() -> None:
    """Run a command and exit: 0 when it is done, 1 when the work failed, 2 when the input is wrong, 130 after Ctrl-C.

    The last three come with one line on standard error.
    """
    limit_threads()
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        # As on standard error: a name that the encoding of a file or a console lacks is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        stop(WRONG_INPUT, usage(error))
    except InputError as error:
        stop(WRONG_INPUT, f"error: {error}")
    except WorkError as error:
        stop(FAILED, f"error: {error}")
    except MemoryError:
        stop(FAILED, "error: the memory does not suffice; give smaller sizes, smaller batches or fewer members")
    except out_of_memory():
        stop(FAILED, f"error: {NO_MEMORY}")
    except SystemExit as end:
        if not while_interrupted(end):
            raise
        code = INTERRUPTED
    except Exception as error:
        full = disk_error(error)
        if full is not None:
            stop(FAILED, full_disk(full))
        if not (isinstance(error, OSError) and error.errno in UNREACHABLE and error.filename):
            raise
        reason = (error.strerror or "no access").lower()
        stop(WRONG_INPUT, f"error: {error.filename}: {reason}; check the path, and that you may use it")
    if code == INTERRUPTED:
        stop(INTERRUPTED, "stopped; run the same command again to go on")
    sys.exit(code)


def stop(code: int, line: str) -> NoReturn:
    """Say a line and end."""
    print(shortened(printable(line), LONGEST), file=sys.stderr)
    sys.exit(code)


def full_disk(error: OSError) -> str:
    """The line for a disk that takes no more."""
    place = error.filename or "the output folder"
    what = "the file would be larger than allowed here" if error.errno == errno.EFBIG else "the disk is full"
    return f"error: {place}: {what}; make room and run the same command again"


def usage(error: Exception) -> str:
    """The line for arguments that typer refuses."""
    message = brief(error.format_message(), LONGEST_VALUE)  # type: ignore[attr-defined]
    sentence = message if message.endswith((".", "?")) else f"{message}."
    context = error.ctx  # type: ignore[attr-defined]
    return f"error: {sentence} See {context.command_path} --help." if context else f"error: {sentence}"


def while_interrupted(error: BaseException) -> bool:
    """Whether an exception was raised in answer to Ctrl-C, as lightning does: it tidies up and calls ``exit(1)``."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__context__
    return cause is not None
