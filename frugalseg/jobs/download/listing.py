"""The catalogue as a user sees it: what there is, and what of it is here."""

from dataclasses import dataclass

from frugalseg.data.catalogue.items import ITEMS, Item, Kind
from frugalseg.data.catalogue.store import Store

HEADINGS: dict[Kind, str] = {
    "benchmark": "Benchmarks: annotated images of 256x256. All six come in one archive.",
    "checkpoint": "Checkpoints: networks that were trained without labels, on images of 256x256.",
    "set": "Synthetic sets: generated images with labels, for frugalseg distill.",
}
"""What each kind of thing is."""

HERE, INCOMPLETE, MISSING = "yes", "incomplete", "no"


@dataclass(frozen=True)
class Entry:
    """A line of the list.

    Attributes:
        item: of the catalogue.
        here: `HERE`, `INCOMPLETE` or `MISSING`.
    """

    item: Item
    here: str


def entries(store: Store) -> dict[Kind, list[Entry]]:
    """All items of the catalogue by their kinds, and which of them are in a store. Nothing is asked of a server."""
    found: dict[Kind, list[Entry]] = {kind: [] for kind in HEADINGS}
    for item in ITEMS.values():
        found[item.kind].append(Entry(item, state_of(item, store)))
    return found


def state_of(item: Item, store: Store) -> str:
    """Whether an item is in a store."""
    if not store.has(item):
        return MISSING
    return HERE if store.fault(item) is None else INCOMPLETE
