"""The two exceptions that speak to users."""


class InputError(Exception):
    """The user's input is wrong. The message is one line: what and where, what was expected, how to mend it.

    The command line prints it without a traceback and ends with exit code 2.
    """


class WorkError(Exception):
    """The work failed, though the input was right: a loss that is no number, a result that fails its check.

    The command line prints its one line without a traceback and ends with exit code 1.
    """
