"""What the authors of the paper have published, by name: benchmarks, checkpoints and synthetic sets."""
