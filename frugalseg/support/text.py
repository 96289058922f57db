"""Words of messages."""

import unicodedata
from collections.abc import Mapping, Sequence

UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of what no name holds: controls, halves of characters, and breaks of lines and paragraphs."""
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Invisible signs that turn the direction of all text behind them."""


def listing(items: Sequence[object], limit: int = 10) -> str:
    """``a, b, c and 4 more``: at most `limit` of `items`."""
    shown = ", ".join(str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def listed(items: Sequence[str]) -> str:
    """All items in a sentence: ``a, b and c``."""
    return " and ".join([*filter(None, [", ".join(items[:-1])]), *items[-1:]])


def assigned(values: Mapping[str, object]) -> str:
    """``name=value, name=value``, without those that are None."""
    return ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)


def count(number: int, noun: str) -> str:
    """``1 image`` or ``2 images``; for nouns that take an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """Text with a question mark for what cannot be shown: a file's name may hold line breaks, or be no UTF-8."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def is_name(text: str) -> bool:
    """Whether a text can be a name: one line, not blank, of any script.

    Some scripts and emoji have invisible joiners in them, and Python does not know the latest emoji.
    """
    return bool(text.strip()) and not any(unicodedata.category(c) in UNFIT or c in OVERRIDES for c in text)


def shortened(text: str, limit: int) -> str:
    """Text of at most `limit` characters: of a longer one, the beginning and the end."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - 5)
    return f"{text[: kept - kept // 2]} ... {text[len(text) - kept // 2 :]}"


def brief(text: object, limit: int = 160) -> str:
    """What a stranger's file or a library says, on one printable line of at most `limit` characters."""
    return shortened(" ".join(printable(" ".join(str(text).split())).split()), limit)


def quoted(value: object, limit: int = 80) -> str:
    """``repr`` of a value from outside, on one line and no longer than `limit`.

    Also of whole numbers that Python refuses to write down, because they have thousands of digits.
    """
    try:
        return shortened(printable(repr(value)), limit)
    except (ValueError, RecursionError):
        return f"a giant {type(value).__name__}"


def reason(error: BaseException, limit: int = 120) -> str:
    """What an exception of another library says, on one line; its kind where it says nothing."""
    return brief(error, limit) or type(error).__name__


def kind_and_reason(error: Exception) -> str:
    """What an exception says, on one line, with its kind where that is needed to understand it."""
    if isinstance(error, KeyError):
        return f"{brief(error)} is missing"
    kind = type(error).__name__
    return f"{kind}: {brief(error)}" if str(error).strip() else kind


def size_text(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{tenths(size)} {unit}"
        size /= 1000
    return f"{tenths(size)} GB"


def tenths(number: float) -> str:
    """A number with at most one digit behind the point."""
    return f"{number:.1f}".removesuffix(".0")


def time_text(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 0.95:
        return f"{max(seconds, 0.01):.1g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
