"""Which part of a combination gets which checkpoint; light, for the command line reads it."""

import re
from collections.abc import Mapping, Sequence

from frugalseg.backbones.registry import FAMILIES, JOIN, Checkpoint, Family
from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted


def checkpoints_of(
    parts: Sequence[Family], given: Checkpoint | Mapping[str, Checkpoint] | None
) -> dict[str, Checkpoint]:
    """The checkpoint of each part that gets one.

    Args:
        parts: of the combination.
        given: by the names of the parts; or as text, ``ddpm=PATH,timm=PATH``; or a single one for the only part that
            takes a checkpoint, or else for the only one that cannot do without.

    Raises:
        InputError: a name is no part, or that part takes no checkpoint; or it is open for which part a single one is.
    """
    if given is None:
        return {}
    named = given if isinstance(given, Mapping) else by_name(str(given))
    if named is None:
        return {owner(parts).name: given}  # type: ignore[dict-item]
    takers = [part.name for part in parts if part.checkpoint != "none"]
    wrong = next((name for name in named if name not in takers), None)
    if wrong is not None:
        able = " and ".join(takers) or "none"
        raise InputError(f"a checkpoint for {quoted(wrong)}; of {whole(parts)}, those that take one are: {able}")
    return dict(named)


def by_name(text: str) -> dict[str, str] | None:
    """``ddpm=PATH,timm=PATH`` by the names; None for any other text. A path may hold commas and equals signs."""
    pieces = re.split(rf"(?:^|,)({'|'.join(map(re.escape, FAMILIES))})=", text)
    if len(pieces) < 3 or pieces[0]:
        return None
    names, paths = pieces[1::2], pieces[2::2]
    if len(set(names)) < len(names):
        raise InputError(f"checkpoint {quoted(text)}: names a family twice")
    return dict(zip(names, paths, strict=True))


def owner(parts: Sequence[Family]) -> Family:
    """The part that a single checkpoint is for."""
    for wanted in (("needed", "possible"), ("needed",)):
        able = [part for part in parts if part.checkpoint in wanted]
        if len(able) == 1:
            return able[0]
    if all(part.checkpoint == "none" for part in parts):
        raise InputError(f"no part of {whole(parts)} takes a checkpoint; leave it out")
    example = ",".join(f"{part.name}=PATH" for part in parts if part.checkpoint != "none")
    raise InputError(f"several parts of {whole(parts)} take a checkpoint; say whose it is: {example}")


def whole(parts: Sequence[Family]) -> str:
    """The name of the combination."""
    return JOIN.join(part.name for part in parts)
