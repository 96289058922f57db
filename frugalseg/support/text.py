"""Words of messages."""

from collections.abc import Sequence


def listing(items: Sequence[object], limit: int = 10) -> str:
    """``a, b, c and 4 more``: at most `limit` of `items`."""
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def count(number: int, noun: str) -> str:
    """``1 image`` or ``2 images``; for nouns that take an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def brief(text: object, limit: int = 160) -> str:
    """What a stranger's file or a library says, on one printable line of at most `limit` characters."""
    words = " ".join(str(text)[: 4 * limit].split())
    line = "".join(c if c.isprintable() else "?" for c in words)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def reason(error: Exception) -> str:
    """What an exception says, on one line, with its kind where that is needed to understand it."""
    if isinstance(error, KeyError):
        return f"{brief(error)} is missing"
    kind = type(error).__name__
    return f"{kind}: {brief(error)}" if str(error).strip() else kind
