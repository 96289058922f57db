"""Generated images ready for annotators: a data folder whose masks are still empty (DatasetDDPM's first step)."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.masks import write_mask
from frugalseg.data.origins import ORIGINS, Origin, Origins
from frugalseg.support import digests
from frugalseg.support.files import atomic_path
from frugalseg.support.progress import Progress, silent
from frugalseg.support.runs import alone
from frugalseg.synthetic.drawn import missing_batches, picture_path, write_picture
from frugalseg.synthetic.sources import GeneratedImages, Picture

README = """Images to annotate
==================

images/   {count} images, drawn by a network; each belongs to the mask of the same name.
masks/    indexed PNG files of the same size. A pixel's value is the id of its class; {ignore} = not annotated.
          All of them are empty so far: every pixel is {ignore}.
{origins}
          remembers the seed of each image, from which the network can draw it again.
{classes}
How to annotate
---------------
- Open a mask over its image in any editor that keeps indexed colors, paint the classes, and save it under its name as
  indexed or gray PNG: without smoothing, without resizing.
- Pixels may stay {ignore}: what is unclear, or simply not painted, is left out of training. A few strokes of every
  class in every image are worth more than a few images painted to the last pixel.
- Images that show nothing recognizable: leave the mask as it is, all {ignore}; it is left out of training.
- Images may be deleted or renamed together with their masks. Do not edit or resize them.

Then
----
    frugalseg check {folder}
    frugalseg fit {folder} {network} -o MODEL
"""


def write_for_annotation(
    source: GeneratedImages,
    out: Path,
    network: str,
    drawn_by: Origins,
    classes: ClassTable | None = None,
    *,
    batch_size: int = 8,
    progress: Progress = silent,
) -> int:
    """Write images, empty masks, ``origins.json``, ``classes.json`` and ``README.txt``.

    Images, masks and classes that exist are kept.

    Args:
        source: of the images.
        out: the data folder.
        network: the options of the command ``fit`` that name the network, for the words to annotators.
        drawn_by: the record of the network and its settings, without images.
        classes: what is to be annotated; without it there is no ``classes.json``, and the ids painted are the classes.
        batch_size: images drawn at once.
        progress: told of each image.

    Returns:
        How many images this call has written.
    """
    table, images = classes or ClassTable.from_ids(()), out / "images"
    written = 0
    for pictures in missing_batches(source, images, batch_size=batch_size):
        note_origins(out / ORIGINS, drawn_by, pictures)
        for picture in pictures:
            progress("draw", picture.number + 1, len(source))
            mask = out / "masks" / picture_path(images, picture.number).name
            if not mask.exists():
                write_mask(mask, table.to_ids(np.full(picture.image.shape[:2], NOT_ANNOTATED)), table)
            # The image comes last: where it exists, its mask and its origin do too.
            write_picture(images, picture)
            written += 1
    if classes is not None and not (out / "classes.json").exists():
        classes.to_json(out / "classes.json")
    with atomic_path(out / "README.txt") as temporary:
        count = sum(1 for path in images.glob("*.png") if not path.name.startswith("."))
        # Paths that are no UTF-8 are written as they are, so that a shell takes the commands.
        temporary.write_text(readme(out, count, network, classes), encoding="utf-8", errors="surrogateescape")
    return written


def note_origins(path: Path, drawn_by: Origins, pictures: Sequence[Picture]) -> None:
    """Add the origins of some pictures to a record, which begins with `drawn_by` where there is none.

    One process does so at a time: another call of the same command may be at work in the folder.
    """
    found = {
        picture_path(path, picture.number).name: Origin(picture.origin, digests.pixels(picture.image).hex())
        for picture in pictures
        if picture.origin is not None
    }
    with alone(path.parent, wait=True):
        before = Origins.read(path) if path.is_file() else drawn_by
        before.with_images(found).write(path)


def readme(out: Path, count: int, network: str, classes: ClassTable | None) -> str:
    """The words for annotators."""
    if classes is None:
        lines = "\nThe classes are yours to choose: number them from 0 and write their names into classes.json:\n"
        lines += '    {"classes": [{"id": 0, "name": "background"}, {"id": 1, "name": "..."}]}\n'
    else:
        entries = zip(classes.ids, classes.names, classes.colors, strict=True)
        lines = "\n  id  class\n" + "".join(f"{i:4}  {name} (color {color})\n" for i, name, color in entries)
    ignore = NOT_ANNOTATED if classes is None else classes.ignore_index
    return README.format(
        count=count, classes=lines, ignore=ignore, origins=ORIGINS, folder=shlex.quote(str(out)), network=network
    )
