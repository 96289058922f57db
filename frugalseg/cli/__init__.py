"""The command line."""

from frugalseg.cli.app import app, main

__all__ = ["app", "main"]
