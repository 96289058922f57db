"""``python -m frugalseg``."""

from frugalseg.cli.app import main

main()
