"""The one exception that speaks to users."""


class InputError(Exception):
    """The user's input is wrong. The message is one line: what and where, what was expected, how to mend it.

    The command line prints it without a traceback and ends with exit code 2.
    """
