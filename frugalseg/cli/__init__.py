"""The command line: a file for each group of commands; `program` puts them together and sets the exit codes."""

from frugalseg.cli.program import app, main

__all__ = ["app", "main"]
