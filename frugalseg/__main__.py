"""``python -m frugalseg``."""

from frugalseg.cli import main

main()
