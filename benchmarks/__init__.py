"""Speed and memory, always as a ratio to the literal method in the same process on the same weights."""
