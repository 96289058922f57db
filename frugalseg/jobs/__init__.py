"""What a command does beyond calling the library: output folders, logs, resuming, pictures. No printing."""
