"""Thousands of labelled images from a model: drawn by its own network, or photographs that nobody annotated."""

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frugalseg.backbones import Backbone, load_backbone
from frugalseg.backbones.registry import BACKBONE, drawing_with, family_of_checkpoint, require_generating
from frugalseg.data.classes import ClassTable
from frugalseg.data.formats import image_folder
from frugalseg.data.origins import Origins
from frugalseg.jobs.output import logged
from frugalseg.model import Model
from frugalseg.models import load_model
from frugalseg.segmenter import Segmenter
from frugalseg.students.student import Student
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.folders import spare_inputs
from frugalseg.support.marks import RECORD
from frugalseg.support.precision import tf32_products
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import Record, differences, plain
from frugalseg.support.runs import open_run
from frugalseg.support.share import own_device, share_of_environment
from frugalseg.synthetic.generation import record_of, write_shards
from frugalseg.synthetic.hand_over import write_for_annotation
from frugalseg.synthetic.npz_writer import require_npz, write_npz
from frugalseg.synthetic.reader import SyntheticSet
from frugalseg.synthetic.record import SHARD_SIZE
from frugalseg.synthetic.set_folder import LOG, finish, open_set
from frugalseg.synthetic.sources import FOR_ANNOTATION, GeneratedImages, Photographs, Source, generator_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GenerateRequest:
    """A call of `generate`.

    Attributes:
        model: folder of a fitted model, or a Hub id; with `for_annotation` also a checkpoint of `family`.
        count: images to draw and label.
        images: or a folder of photographs to label.
        for_annotation: or so many images to draw for annotators, with empty masks.
        classes: for annotators, a ``classes.json`` other than the model's.
        longest_side: of photographs; larger ones are made smaller.
        options: how images are drawn, by field of the family's dataclass of generation.
        seed: of the whole set.
        batch_size: images drawn at once; None: 8, on a GPU 64. See `generate` for labels.
        shard_size: images a shard.
        npz: also write this file, in the published layout.
        family: of a checkpoint that stands for a model; None: see `family_of_checkpoint`.
        device: where to run; ``cuda`` under torchrun is the process's own GPU.
    """

    model: str
    count: int | None = None
    images: Path | None = None
    for_annotation: int | None = None
    classes: Path | None = None
    longest_side: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    batch_size: int | None = None
    shard_size: int = SHARD_SIZE
    npz: Path | None = None
    family: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.count, self.images, self.for_annotation)) != 1:
            raise InputError(
                "give one of -n, how many images to draw and label, --images, a folder of photographs to label, and "
                "--for-annotation, how many images to draw for annotators"
            )
        if self.for_annotation is None and self.classes is not None:
            raise InputError("--classes: only with --for-annotation; the labels of a model are its own classes")
        if self.npz is not None and self.for_annotation is not None:
            raise InputError(f"--npz {self.npz}: images for annotators have no labels yet; leave this option out")
        if self.npz is not None and self.npz.suffix != ".npz":
            raise InputError(f"--npz {self.npz}: the name must end in .npz")
        if self.images is None and self.longest_side is not None:
            raise InputError("--longest-side is for photographs; images are drawn at the network's own size")
        if self.images is not None and self.options:
            names = ", ".join("--" + name.replace("_", "-") for name in self.options)
            raise InputError(f"{names}: for images that are drawn; photographs given with --images are only labeled")


def generate_folder(
    request: GenerateRequest,
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SyntheticSet | None:
    """Write a synthetic set to `out`; a call that was killed goes on where it stopped.

    Several processes share the work where ``RANK`` and ``WORLD_SIZE`` say so, as torchrun sets them; they need no
    connection, only the folder.

    Args:
        request: what to generate.
        out: gets shards, ``synthetic.json``, ``classes.json``, ``index.html`` and ``generate.log``.
        overwrite: empty `out` first, if it holds something that frugalseg has written.
        progress: told of each image.

    Returns:
        The set; None where other processes are still at work on it.

    Raises:
        InputError: no such model, one that cannot generate, no photographs, or `out` holds something else.
    """
    share = share_of_environment()
    if overwrite and share.processes > 1:
        raise InputError("--overwrite: only with a single process; empty the folder first")
    spare_inputs(out, request.model, request.images)
    if request.npz is not None:
        spare_inputs(request.npz.parent, request.model, request.images, holding=True)
    model = load_model(request.model, device=own_device(request.device))
    if model.channels is not None:
        raise InputError(
            f"{request.model}: fitted on chosen channels, while sets of labeled images are RGB; use frugalseg predict"
        )
    batch_size = request.batch_size or default_batch(request.device)
    source = source_of(request, model)
    if request.npz is not None:
        require_npz(request.npz, source, model.classes)
    record = record_of(model, source, batch_size=batch_size, shard_size=request.shard_size)
    open_set(out, record, model, overwrite=overwrite)
    with logged(out / (LOG if share.first else f"generate-{share.rank}.log")):
        log.info("process %d of %d: %s, %s", share.rank, share.processes, request, record)
        told = progress if share.first else silent  # bars of many processes would overwrite each other
        with tf32_products(request.device):
            write_shards(model, source, record, out, share=share, progress=told)
        complete = finish(out, record)
        log.info("%s", "complete" if complete else "own shards done; other processes are still at work")
    if not complete:
        return None
    dataset = SyntheticSet(out)
    if request.npz is not None:
        write_npz(request.npz, dataset, source)
    return dataset


def annotation_folder(
    request: GenerateRequest, out: Path, *, overwrite: bool = False, progress: Progress = silent
) -> int:
    """Write ``request.for_annotation`` images with empty masks; a call that was killed goes on.

    Args:
        request: what to generate.
        out: becomes a data folder.
        overwrite: refused, for somebody may have painted the masks.
        progress: told of each image.

    Returns:
        How many images this call has written.

    Raises:
        InputError: no such model or checkpoint, one that cannot generate, or `out` holds something else.
    """
    assert request.for_annotation is not None
    if overwrite:
        raise InputError(f"--overwrite: would delete masks that somebody has painted; delete {out} yourself")
    spare_inputs(out, request.model, request.classes)
    backbone, own, network = network_and_classes(request)
    # Folders of earlier versions, whose records do not name the place, go on with the images they began with.
    first = FOR_ANNOTATION if Record(out / RECORD).knows("first") else 0
    source = GeneratedImages(generator_of(backbone, request.options), request.for_annotation, request.seed, first)
    table = own if request.classes is None else ClassTable.from_json(request.classes)
    drawn_by = Origins(backbone.family, digests.network(backbone), plain(source.generator.settings()))
    command = {"command": "generate --for-annotation", "network": drawn_by.network, **source.settings()}
    require_same(out, command)
    open_run(out, command, overwrite=False)
    batch_size = request.batch_size or default_batch(request.device)
    return write_for_annotation(source, out, network, drawn_by, table, batch_size=batch_size, progress=progress)


def require_same(out: Path, command: Mapping[str, Any]) -> None:
    """`InputError` where a folder holds images for annotators that were drawn in another way."""
    before = Record(out / RECORD).read()
    if before is None or before.get("command") != command["command"]:
        return
    changes = differences(before, plain(command), {"network": "another network"})
    if changes:
        raise InputError(
            f"{out}: holds images for annotators that were drawn otherwise ({changes[0]}); choose another folder or "
            "the same settings"
        )


def network_and_classes(request: GenerateRequest) -> tuple[Backbone, ClassTable | None, str]:
    """The backbone of a fitted model and its classes, or that of a checkpoint, which has none; and `fit_options`."""
    device, place = own_device(request.device), Path(request.model)
    if (place / Segmenter.weights_file).is_file():
        segmenter = Segmenter.from_pretrained(request.model, device=device)
        backbone = segmenter.backbone
        return backbone, segmenter.classes, fit_options(backbone.family, place / "backbone")
    if (place / Student.weights_file).is_file():
        raise a_student(request)
    family = require_generating(request.family or family_of_network(request.model)).name
    return load_backbone(family, request.model).to(device), None, fit_options(family, request.model)


def family_of_network(checkpoint: str) -> str:
    """The family that draws with a checkpoint. A saved backbone is of one family, a network may serve several."""
    family = family_of_checkpoint(checkpoint)
    return family if (Path(checkpoint) / BACKBONE).is_file() else drawing_with(family)


def fit_options(family: str, checkpoint: str | Path) -> str:
    """The options of the command ``fit`` that name a network."""
    return f"--backbone {family} --checkpoint {shlex.quote(str(checkpoint))}"


def a_student(request: GenerateRequest) -> InputError:
    """The error for a model that has no network to draw with."""
    return InputError(f"{request.model}: a student cannot generate images; give the model that it learned from")


def source_of(request: GenerateRequest, model: Model) -> Source:
    """The images to label; everything that can be wrong with them is found here."""
    if request.images is not None:
        model.require_reading()
        return Photographs(image_folder(request.images), request.longest_side)
    if not isinstance(model, Segmenter):
        raise a_student(request)
    assert request.count is not None
    return GeneratedImages(generator_of(model.backbone, request.options), request.count, request.seed)


def default_batch(device: str) -> int:
    """Images at once: more only helps where a GPU has to be kept busy."""
    return 8 if device == "cpu" else 64
