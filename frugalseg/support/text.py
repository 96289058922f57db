"""Words of messages."""

from collections.abc import Sequence


def listing(items: Sequence[object], limit: int = 10) -> str:
    """``a, b, c and 4 more``: at most `limit` of `items`."""
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def count(number: int, noun: str) -> str:
    """``1 image`` or ``2 images``; for nouns that take an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
