"""YAML files as plain values, of bounded size: aliases can multiply a few lines to billions of values."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted

MOST_BYTES = 2**18
MOST_VALUES = 10_000
DEEPEST = 20


class TooMuch(Exception):
    """A file holds more than a recipe can."""


class Twice(Exception):
    """A key stands twice in one place."""


class Once(yaml.SafeLoader):
    """Reads plain values, and refuses a key that stands twice in one place, of which YAML keeps the last."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping as it is written."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                raise Twice(f"the key {quoted(key.value)} stands there again at line {key.start_mark.line + 1}")
            seen.add(name)
        return node


def read_yaml(path: Path) -> Any:
    """The value in a YAML file; nothing but dates and plain values is ever made.

    Raises:
        InputError: no such file, not YAML, a key that stands twice, or more than `MOST_BYTES`, `MOST_VALUES` or
            `DEEPEST` allow.
    """
    text = read_text(path)
    try:
        check_extent(yaml.parse(text, yaml.SafeLoader))
        return yaml.load(text, Once)
    except TooMuch as error:
        raise InputError(f"{path}: {error}; compare it with the recipes in recipes/") from None
    except Twice as error:
        raise InputError(f"{path}: {error}; leave one of the two out") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}: not YAML in UTF-8{where}; compare it with the recipes in recipes/") from None
    # What stands behind a tag, or looks like a date or a number, may be none, and ends in nearly anything.
    except Exception as error:
        kind = type(error).__name__
        raise InputError(f"{path}: a value in it is no date, number or text ({kind}); put it in quotes") from None


def read_text(path: Path) -> str:
    """A file of at most `MOST_BYTES`; `InputError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{path}: larger than {MOST_BYTES // 1024} KiB; give a recipe, such as those in recipes/")
        return content.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{path}: cannot be read ({reason}); give a recipe, such as those in recipes/") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not YAML in UTF-8; compare it with the recipes in recipes/") from None


def check_extent(events: Iterable[yaml.Event]) -> None:
    """Raise `TooMuch` where the values, each alias counted as what it stands for, are too many or too deep.

    Args:
        events: of the parser, which neither recurs nor follows aliases.
    """
    total, open_anchors, extents = 0, list[tuple[str | None, int]](), dict[str, int | None]()
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, begun = open_anchors.pop()
            if anchor is not None:
                extents[anchor] = total - begun
            continue
        if isinstance(event, yaml.AliasEvent):
            extent = extents.get(str(event.anchor), 1)
            if extent is None:
                raise TooMuch(f"the alias *{event.anchor} stands within what it stands for")
            total += extent
        elif isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.CollectionStartEvent):
                open_anchors.append((event.anchor, total))
                extents.update({} if event.anchor is None else {event.anchor: None})
            total += 1
        if total > MOST_VALUES or len(open_anchors) > DEEPEST:
            raise TooMuch(f"more than {MOST_VALUES} values, or nested more than {DEEPEST} deep")
