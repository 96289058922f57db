"""Checkpoints that the command line gives for rows of a recipe: ``FAMILY=PLACE``, ``ROW=PLACE`` or ``PLACE``."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from frugalseg.backbones.registry import FAMILIES, Checkpoint, Combination, families_in, family_named
from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted


class NobodyTakes(InputError):
    """No row of a recipe takes a checkpoint that was given."""


def replace_checkpoint(rows: Sequence[dict[str, Any]], given: str) -> None:
    """Put a checkpoint into the rows that it is for.

    Args:
        rows: as plain values; those that name a checkpoint, or say which one they need, take one.
        given: ``FAMILY=PLACE`` for all rows of a family, ``ROW=PLACE`` for the row of a name, or ``PLACE`` where all
            rows that take one are of the same family. For a row that combines families, ``ROW=PLACE`` is for the only
            one that needs a checkpoint, and ``ROW=FAMILY=PLACE`` for the family of a name.

    Raises:
        NobodyTakes: there is no such row.
        InputError: it is not clear which rows are meant, or which family of a row.
    """
    key, equals, place = given.partition("=")
    if not given:
        raise InputError("checkpoint is empty; give a file or a folder, such as ddpm=FOLDER")
    takers = [row for row in rows if row.get("checkpoint") is not None or row.get("needs")]
    named = [row for row in takers if equals and row.get("name") == key]
    family: str | None = key if equals and key in FAMILIES else None
    if family is not None:
        named = [row for row in takers if family in families_of(row)]
    elif not named:
        place, family, named = given, only_family(takers, given), takers
    if not place:
        raise InputError(f"checkpoint {given}: names no file and no folder; give one, such as ddpm=FOLDER")
    if not named:
        raise NobodyTakes(f"checkpoint {given}: no row of this recipe takes it; leave it out")
    for row in named:
        try:
            put(row, family, place)
        except InputError as error:
            raise InputError(f"checkpoint {given}: {error}") from None


def only_family(takers: Sequence[Mapping[str, Any]], given: str) -> str | None:
    """The family that all rows have; `InputError` where they have several, or the name of one is misspelled."""
    key, equals, _ = given.partition("=")
    names = [str(row.get("name", "")) for row in takers]
    near = get_close_matches(key, [*FAMILIES, *names], 1, 0.7) if equals and not Path(given).exists() else []
    if near:
        raise InputError(f"checkpoint {given}: no family or row is named {quoted(key)}; did you mean {near[0]}?")
    families = sorted({name for row in takers for name in families_of(row)})
    if len(families) > 1:
        raise InputError(f"checkpoint {given}: for which rows? give {' or '.join(f'{f}={given}' for f in families)}")
    return families[0] if families else None


def put(row: dict[str, Any], family: str | None, place: str) -> None:
    """Put the place of a family's checkpoint into a row; where `family` is None, whatever a recipe could say there."""
    new = family_named(row["backbone"]).checkpoints(place) if family is None else {family: place}
    row["checkpoint"] = written(row["backbone"], {**checkpoints_of(row), **new})


def written(backbone: str, checkpoints: Mapping[str, Checkpoint]) -> str:
    """Checkpoints by family as a recipe says them: ``FAMILY=PLACE,FAMILY=PLACE`` for a combination, else ``PLACE``."""
    if isinstance(family_named(backbone), Combination):
        return ",".join(f"{name}={place}" for name, place in checkpoints.items())
    (place,) = checkpoints.values()
    return str(place)


def families_of(row: Mapping[str, Any]) -> list[str]:
    """The families of a row that have a checkpoint, and those that need one."""
    needing = [each.name for each in families_in(family_named(row["backbone"])) if each.checkpoint == "needed"]
    return list(dict.fromkeys([*checkpoints_of(row), *needing]))


def checkpoints_of(row: Mapping[str, Any]) -> dict[str, Checkpoint]:
    """The checkpoint of each family of a row, as a recipe says it."""
    return family_named(row["backbone"]).checkpoints(row["checkpoint"])
