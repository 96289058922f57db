"""Commands as a user runs them, in this process."""

import sys

import pytest

from frugalseg import cli


def run(*arguments, capsys):
    """Exit code, standard output and standard error of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frugalseg", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
    out = capsys.readouterr()
    return end.value.code or 0, out.out, out.err


def mistake(*arguments, capsys):
    """The one line of a command that the user got wrong."""
    code, _, err = run(*arguments, capsys=capsys)
    assert code == 2
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line
