"""Feature maps: where they are read, and how images are cut for them."""
