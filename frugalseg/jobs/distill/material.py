"""The images of a call of `distill`: found, checked against each other, filtered, and known again by a rerun."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from frugalseg.data.catalogue.names import set_place, test_images
from frugalseg.data.classes import ClassTable
from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.data.formats import find_layout
from frugalseg.jobs.distill.request import DistillRequest
from frugalseg.students.training import chosen_precision
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress
from frugalseg.support.records import plain, stamps
from frugalseg.synthetic.filter import PUBLISHED_STRAY, keep_certain
from frugalseg.synthetic.reader import SyntheticSet
from frugalseg.synthetic.record import RECORD, SetRecord
from frugalseg.synthetic.shards import find_index


@dataclass(frozen=True, eq=False)
class Material:
    """Everything a student meets, in one table's class positions.

    Attributes:
        samples: to learn from, filtered.
        found: how many there were before.
        validation: images that choose the best round.
        test: images for the end, if any.
        classes: the table.
    """

    samples: SyntheticSet | SegmentationFolder
    found: int
    validation: SegmentationFolder
    test: SegmentationFolder | None
    classes: ClassTable


def gathered(request: DistillRequest, progress: Progress) -> Material:
    """All images of a request, each validation and test mask read once.

    Raises:
        InputError: a folder or file is missing or wrong, classes differ, or the filter leaves nothing.
    """
    samples, table_of = open_samples(request)
    classes = samples.classes
    require_same_classes(request.samples if table_of is None else table_of, classes, request.validation)
    validation = SegmentationFolder(request.validation, classes)
    check_annotated(validation, progress)
    test = None
    if request.test is not None:
        place = test_images(request.test)
        require_same_classes(request.samples, classes, place)
        test = SegmentationFolder(place, classes)
        check_annotated(test, progress)
    if isinstance(samples, SegmentationFolder):
        return Material(samples, len(samples), validation, test, classes)
    stray = PUBLISHED_STRAY if request.published_filter else 0
    kept = keep_certain(samples.uncertainties, request.drop, stray=stray)
    return Material(samples.subset(kept), len(samples), validation, test, classes)


def open_samples(request: DistillRequest) -> tuple[SyntheticSet | SegmentationFolder, Path | None]:
    """The samples, and whose class table they have where it is not their own: a published ``.npz`` knows ids alone."""
    path = set_place(request.samples)
    if path.is_dir() and not (path / RECORD).is_file():
        return SegmentationFolder(path), None
    if path.is_dir() or path.with_name("classes.json").is_file():
        return SyntheticSet(path), None
    if not path.is_file():
        raise InputError(f"{path}: no such folder or file; give what generate wrote, an .npz, or a data folder")
    layout = find_layout(request.validation)
    if layout.by_name and layout.classes is None:
        raise InputError(f"{path}: nothing says which class each of its numbers is; put a classes.json beside it")
    return SyntheticSet(path, SegmentationFolder(request.validation).classes), request.validation


def require_same_classes(source: Path, classes: ClassTable, data: Path) -> None:
    """`InputError` where a data folder has a table of its own that names other classes than the samples'."""
    layout = find_layout(data)
    file = layout.classes
    if file is None or layout.by_name:
        return  # what the samples do not have is found as the annotations are read
    own = ClassTable.from_json(file)
    theirs, ours = (dict(zip(table.ids, table.names, strict=True)) for table in (own, classes))
    different = sorted(i for i in theirs.keys() | ours.keys() if theirs.get(i) != ours.get(i))
    if different:
        i = different[0]
        raise InputError(
            f"{file}: class {i} is {theirs.get(i, 'missing')!r} there, {ours.get(i, 'missing')!r} in {source}; "
            "give data with the classes of the samples"
        )


def describe(request: DistillRequest, material: Material) -> dict[str, Any]:
    """What the training depends on, as JSON values: whatever else is asked for does not begin it anew.

    The device counts only where it chooses the precision.
    """
    settings = replace(request.settings, precision=chosen_precision(request.settings, request.device))
    command = {
        "command": "distill",
        "settings": asdict(settings),
        "drop": request.drop,
        "published_filter": request.published_filter,
        "classes": asdict(material.classes),
        "samples": seen(material.samples),
        "validation images": seen(material.validation),
    }
    return plain(command)


def seen(data: SyntheticSet | SegmentationFolder) -> list[Any]:
    """What tells whether a rerun sees the same samples: checksums where there are some, times of change elsewhere."""
    if isinstance(data, SegmentationFolder):
        return stamps(data.files)
    if data.path.is_file():
        return stamps([data.path])
    shards = range(SetRecord.read(data.path).shards)
    indexes = (find_index(data.path, number, thorough=False) for number in shards)
    return [index and index.sha256 for index in indexes]
