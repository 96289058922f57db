"""Thousands of labelled images from a model: drawn by its own network, or photographs that nobody annotated."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frugalseg.errors import InputError
from frugalseg.jobs.output import logged
from frugalseg.progress import Progress, silent
from frugalseg.segmenter import Segmenter
from frugalseg.synthetic.generation import LOG, Share, finish, open_set, record_of, write_shards
from frugalseg.synthetic.npz import write_npz
from frugalseg.synthetic.reader import SyntheticSet
from frugalseg.synthetic.record import SHARD_SIZE
from frugalseg.synthetic.sources import GeneratedImages, Photographs, Source, generator_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GenerateRequest:
    """A call of `generate`.

    Attributes:
        model: folder of a fitted model, or a Hub id.
        count: images to draw; None with `images`.
        images: folder of photographs to label instead.
        longest_side: of photographs; larger ones are made smaller.
        options: how images are drawn, by field of the family's dataclass of generation.
        seed: of the whole set.
        batch_size: images drawn and labelled at once; None: 8, on a GPU 64.
        shard_size: images a shard.
        device: where to run; ``cuda`` under torchrun is the process's own GPU.
    """

    model: str
    count: int | None = None
    images: Path | None = None
    longest_side: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    batch_size: int | None = None
    shard_size: int = SHARD_SIZE
    device: str = "cpu"

    def __post_init__(self) -> None:
        if (self.count is None) == (self.images is None):
            raise InputError("give either -n, how many images to draw, or --images, a folder of photographs to label")
        if self.images is None and self.longest_side is not None:
            raise InputError("--longest-side is for photographs; images are drawn at the network's own size")
        if self.images is not None and self.options:
            names = ", ".join("--" + name.replace("_", "-") for name in self.options)
            raise InputError(f"{names}: for images that are drawn; photographs given with --images are only labelled")


def generate_folder(
    request: GenerateRequest,
    out: Path,
    *,
    npz: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SyntheticSet | None:
    """Write a synthetic set to `out`; a call that was killed goes on where it stopped.

    Several processes share the work where ``RANK`` and ``WORLD_SIZE`` say so, as torchrun sets them; they need no
    connection, only the folder.

    Args:
        request: what to generate.
        out: gets shards, ``synthetic.json``, ``classes.json``, ``index.html`` and ``generate.log``.
        npz: also write this file, in the published layout.
        overwrite: empty `out` first.
        progress: told of each image.

    Returns:
        The set; None where other processes are still at work on it.

    Raises:
        InputError: no such model, one that cannot generate, no photographs, or `out` holds something else.
    """
    share = share_of_environment()
    if overwrite and share.processes > 1:
        raise InputError("--overwrite: only with a single process; empty the folder first")
    if npz is not None and npz.suffix != ".npz":
        raise InputError(f"--npz {npz}: the name must end in .npz")
    model = Segmenter.from_pretrained(request.model, device=own_device(request.device))
    batch_size = request.batch_size or (8 if model.device.type == "cpu" else 64)
    source = source_of(request, model)
    record = record_of(model, source, batch_size=batch_size, shard_size=request.shard_size)
    open_set(out, record, model, overwrite=overwrite)
    with logged(out / (LOG if share.rank == 0 else f"generate-{share.rank}.log")):
        log.info("process %d of %d: %s, %s", share.rank, share.processes, request, record)
        write_shards(model, source, record, out, share=share, progress=progress)
        complete = finish(out, record)
        log.info("%s", "complete" if complete else "own shards done; other processes are still at work")
    if not complete:
        return None
    dataset = SyntheticSet(out)
    if npz is not None:
        write_npz(npz, dataset)
    return dataset


def source_of(request: GenerateRequest, model: Segmenter) -> Source:
    """The images to label; everything that can be wrong with them is found here."""
    if request.images is not None:
        return Photographs(request.images, request.longest_side)
    assert request.count is not None
    return GeneratedImages(generator_of(model.backbone, request.options), request.count, request.seed)


def share_of_environment() -> Share:
    """This process's share of the work, as torchrun says."""
    try:
        return Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
    except ValueError:
        raise InputError("the environment's RANK and WORLD_SIZE are not numbers; unset them, or use torchrun") from None


def own_device(device: str) -> str:
    """``cuda`` as the GPU that torchrun gave to this process; anything else as it is."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device
