"""What stands in the way of a row: something to download first, a network to give, or a path that is wrong."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from frugalseg.backbones.builtin import builtin_path
from frugalseg.backbones.registry import Family
from frugalseg.data.catalogue.items import Item, checkpoint_item
from frugalseg.data.catalogue.names import downloaded, local_checkpoint
from frugalseg.data.catalogue.store import Store, cache_folder
from frugalseg.support.hub import BUILTIN, is_hub_id
from frugalseg.support.paths import as_path

Kind = Literal["download", "checkpoint", "path"]
DOWNLOAD: Kind = "download"
CHECKPOINT: Kind = "checkpoint"
PATH: Kind = "path"


@dataclass(frozen=True)
class Obstacle:
    """Why something of a recipe cannot be run now.

    Attributes:
        kind: `DOWNLOAD`: the catalogue has it. `CHECKPOINT`: the row needs a network that the catalogue lacks, and
            that nobody has given. `PATH`: nothing is at the path that was given.
        words: what it is, to stand behind the name of the row and a colon.
        items: names of the catalogue to download.
    """

    kind: Kind
    words: str
    items: tuple[str, ...] = ()

    @property
    def left_out(self) -> bool:
        """Whether a comparison goes on without the row; a wrong path is a mistake."""
        return self.kind != PATH


def item_obstacle(item: Item) -> Obstacle | None:
    """Something of the catalogue that is not in the cache; None where it is.

    Raises:
        InputError: only some of it is there, or it has changed.
    """
    if Store(cache_folder()).has(item):
        downloaded(item)
        return None
    return Obstacle(DOWNLOAD, f"{item.name} is not downloaded yet", (item.name,))


def checkpoint_obstacle(checkpoint: str, family: str, networks: Container[str]) -> Obstacle | None:
    """What stands in the way of a checkpoint, without loading it.

    Args:
        checkpoint: as a row names it.
        family: of the network.
        networks: names of those that the recipe trains first.

    Raises:
        InputError: see `item_obstacle`; or a name that is much like one of the catalogue, or no built-in network.
    """
    if checkpoint in networks:
        return None
    if checkpoint.startswith(BUILTIN):
        builtin_path(checkpoint, family)
        return None
    item = checkpoint_item(checkpoint)
    if item is not None:
        return item_obstacle(item)
    if as_path(local_checkpoint(checkpoint), "checkpoint").exists() or is_hub_id(checkpoint):
        return None
    return Obstacle(PATH, f"there is no {checkpoint}; give another place with --checkpoint {family}=FOLDER")


def unnamed_obstacle(family: Family, needs: str) -> Obstacle:
    """A row without the checkpoint that its family needs; `needs` is what the recipe says of it."""
    return Obstacle(CHECKPOINT, f"needs {needs}; if you have one, add --checkpoint {family.name}=PLACE")
