"""Data folders as annotation tools export them, read in place."""
