"""Generated images as files of a folder, without labels; what is there already is not drawn again."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from torch import nn

from frugalseg.backbones.generator import ImageGenerator
from frugalseg.support import digests
from frugalseg.support.files import atomic_path
from frugalseg.support.progress import Progress, silent
from frugalseg.synthetic.sources import GeneratedImages, Picture


def draw_images(source: GeneratedImages, folder: Path, *, batch_size: int = 8, progress: Progress = silent) -> None:
    """Write all images of a source; a folder that a killed call has left is completed.

    Args:
        source: of the images.
        folder: gets ``00000000.png`` and so on.
        batch_size: images drawn at once.
        progress: told of each image.
    """
    for pictures in missing_batches(source, folder, batch_size=batch_size):
        for picture in pictures:
            progress("draw", picture.number + 1, len(source))
            write_picture(folder, picture)


def missing_batches(source: GeneratedImages, folder: Path, *, batch_size: int) -> Iterator[list[Picture]]:
    """Draw those images of a source that have no file in a folder; a batch with all of its files costs nothing.

    Args:
        source: of the images.
        folder: where they belong.
        batch_size: images drawn at once.

    Yields:
        Of each batch what is missing, in order.
    """
    total = len(source)
    for start in range(0, total, batch_size):
        numbers = range(start, min(start + batch_size, total))
        if all(picture_path(folder, number).exists() for number in numbers):
            continue
        pictures = source.pictures(numbers)
        yield [picture for picture in pictures if not picture_path(folder, picture.number).exists()]


def write_picture(folder: Path, picture: Picture) -> None:
    """Write one image whole or not at all."""
    with atomic_path(picture_path(folder, picture.number)) as temporary:
        Image.fromarray(picture.image).save(temporary)


def picture_path(folder: Path, number: int) -> Path:
    """Where image `number` goes."""
    return folder / f"{number:08d}.png"


def drawing_name(network: nn.Module, generator: ImageGenerator) -> str:
    """A folder name for the images of a generator: another one for other weights or other settings."""
    return f"{digests.network(network)}-{digests.values(generator.settings())}"
