"""The two exceptions that speak to users."""

from frugalseg.support.text import printable, shortened

LONGEST = 2000
"""Characters of a message. Files and arguments from outside may hold names and values of any length."""


class Spoken(Exception):
    """An exception whose message is shown to users: one line of at most `LONGEST` characters, whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(printable(message), LONGEST))


class InputError(Spoken):
    """The user's input is wrong. The message is one line: what and where, what was expected, how to mend it.

    The command line prints it without a traceback and ends with exit code 2.
    """


class WorkError(Spoken):
    """The work failed, though the input was right: a loss that is no number, a result that fails its check.

    The command line prints its one line without a traceback and ends with exit code 1.
    """
