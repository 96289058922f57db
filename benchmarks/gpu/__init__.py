"""Everything that is measured on a GPU, in one command: ``python -m benchmarks.gpu``."""
