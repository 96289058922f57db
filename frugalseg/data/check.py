"""The data doctor: what is wrong with a folder of images and masks, each finding with its mend."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from frugalseg.data.catalogue.benchmarks import CLASSES
from frugalseg.data.catalogue.names import data_place, test_images
from frugalseg.data.channels import ChannelChoice
from frugalseg.data.classes import NOT_ANNOTATED, ClassTable, Color
from frugalseg.data.exports.labels import Vocabulary
from frugalseg.data.folder import NO_CLASSES, classes_of_ids, unknown_ids
from frugalseg.data.formats import find_layout, image_folder
from frugalseg.data.image_folder import images_in
from frugalseg.data.layout import Layout
from frugalseg.data.opened import OpenedFolder
from frugalseg.data.origins import Origins
from frugalseg.data.scan import FolderSummary, Scan, image_digest, scan_pair, summary
from frugalseg.support.files import FileError
from frugalseg.support.paths import as_path
from frugalseg.support.ranges import AMOUNT, require_number
from frugalseg.support.text import count, listing, printable, shortened

__all__ = ["Finding", "FolderSummary", "check_folder", "summary"]

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")

SMALL_REGION = 20
"""A class with fewer pixels in an image is ignored in that image, as published."""

LOWER = "lower the limit (--small-regions of fit, check and explore)"
"""The remedy for regions that are too small."""

DARK = 40
"""An image whose brightest value is below this (of 255) is probably scaled wrongly."""

MANY_SHARES = 30
"""Classes whose share of the pixels is told; of more classes only the largest."""

MANY_IDS = 64
"""More distinct mask values than this, without ``classes.json``, are probably grey levels."""


LONGEST_PART = 1000
"""Characters of each part of a finding."""


@dataclass(frozen=True)
class Finding:
    """One thing to know about a data folder.

    Attributes:
        level: ``error`` (training on it fails), ``warning`` (the result is probably not what you want) or ``info``.
        where: files or folder.
        message: what was found.
        remedy: how to mend it; empty where there is nothing to mend.
    """

    level: Level
    where: str
    message: str
    remedy: str = ""

    def __post_init__(self) -> None:
        for name in ("where", "message", "remedy"):  # names of files and classes can be of any length
            object.__setattr__(self, name, shortened(printable(getattr(self, name)), LONGEST_PART))

    def __str__(self) -> str:
        text = f"{self.level}: {self.where}: {self.message}"
        return f"{text}; {self.remedy}" if self.remedy else text


def check_folder(
    data: str | Path | OpenedFolder,
    test: str | Path | None = None,
    *,
    small_regions: int = SMALL_REGION,
    channels: ChannelChoice | None = None,
) -> list[Finding]:
    """Look at every image and mask of a data folder, one at a time.

    Args:
        data: as for `SegmentationFolder`.
        test: a folder of images that must not be among those of `data`; without it, ``test/`` beside a ``train/``.
        small_regions: a class with fewer pixels in an image counts as small there.
        channels: which channels of the images are read, where `data` is a path; None reads them as RGB.

    Returns:
        Findings, errors first; an empty list is impossible, since the shares of the classes are always told.

    Raises:
        FileError: there is no such folder, or it is not a data folder at all, or the images lack a channel.
        InputError: `small_regions` is no whole number, or below 0.
    """
    require_number("small_regions is", small_regions, AMOUNT)
    opened = OpenedFolder.of(data, channels=channels)
    layout = opened.layout
    if test is None:
        test = _test_beside(layout)
    classes, scans, findings = _read(opened)
    if layout.legend is None:
        findings += _strange_values(layout, scans, classes)
        findings += _palette_orders(scans, classes)
    if classes is not None:
        findings += _of_classes(layout, scans, classes, small_regions)
    findings += _image_findings(layout, scans)
    findings += _of_channels(opened, scans)
    findings += _of_origins(opened, scans, classes)
    findings += _unused(layout)
    findings += _identical(opened, scans, None if test is None else test_images(as_path(test, "data folder")))
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def _read(opened: OpenedFolder) -> tuple[ClassTable | None, list[Scan], list[Finding]]:
    """The classes, as far as they can be told, a scan of every pair, and what cannot be read."""
    layout = opened.layout
    findings = [_from_error(error) for error in layout.problems]
    classes, problems = _named_classes(layout)
    findings += problems
    pairs = layout.pairs if classes or not layout.by_name else []
    scans = [scan_pair(*pair, classes or NO_CLASSES, opened.decoder) for pair in pairs]
    findings += _merged(_from_error(error) for scan in scans for error in scan.errors)
    if classes is None and not layout.by_name and layout.classes is None:
        classes, problems = _found_classes(layout, scans)
        findings += problems
    return classes, scans, findings


def _of_classes(layout: Layout, scans: Sequence[Scan], classes: ClassTable, small_regions: int) -> list[Finding]:
    """What is to be said of the classes in the masks."""
    own = layout.classes if layout.classes is not None and layout.classes.parent != CLASSES else None
    where = str(own or layout.path)
    readable = [scan for scan in scans if scan.pixels]
    findings = _unknown_ids(scans, classes)
    findings += _class_findings(where, readable, classes)
    if len(readable) == len(layout.images):  # else nobody knows yet
        findings += _too_few_classes(where, readable, classes, small_regions)
    findings += _small_regions(where, readable, classes, small_regions)
    if layout.by_name:
        findings += _without_objects(readable, classes)
    return findings


def _from_error(error: FileError, level: Level = "error") -> Finding:
    return Finding(level, error.where, error.message, error.remedy)


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for all files with the same trouble."""
    groups: dict[Finding, list[str]] = defaultdict(list)
    for finding in findings:
        groups[Finding(finding.level, "", finding.message, finding.remedy)].append(finding.where)
    return [Finding(key.level, listing(where), key.message, key.remedy) for key, where in groups.items()]


def _named_classes(layout: Layout) -> tuple[ClassTable | None, list[Finding]]:
    """The classes of ``classes.json`` or of the format itself; None where the ids found must tell, or on errors."""
    problems = []
    if layout.classes is not None:
        try:
            return ClassTable.from_json(layout.classes), []
        except FileError as error:
            problems.append(_from_error(error))
            if not layout.by_name:
                return None, problems
    try:
        return (layout.legend(True) if layout.legend is not None else None), problems
    except FileError as error:
        return None, [*problems, _from_error(error)]


def _found_classes(layout: Layout, scans: Sequence[Scan]) -> tuple[ClassTable | None, list[Finding]]:
    """The ids found as classes, as far as they can be."""
    found = {i for scan in scans for i in scan.pixels}
    try:
        return (classes_of_ids(layout.path, found) if found else None), []
    except FileError as error:
        return None, [_from_error(error)]


def _unknown_ids(scans: Sequence[Scan], classes: ClassTable) -> list[Finding]:
    """Masks that hold ids outside the classes."""
    findings = []
    for scan in scans:
        try:
            classes.to_positions(list(scan.pixels) or [classes.ignore_index])
        except ValueError as error:
            findings.append(_from_error(unknown_ids(scan.mask_path, str(error), classes)))
    return _merged(findings)


def _strange_values(layout: Layout, scans: Sequence[Scan], classes: ClassTable | None) -> Iterator[Finding]:
    """Masks made for looking at: 0/255, or grey levels."""
    found = sorted({i for scan in scans for i in scan.pixels})
    where = str(layout.path)
    steps = {b - a for a, b in pairwise(found)}
    ignored = classes is None or NOT_ANNOTATED not in classes.ids
    # Levels spread for viewing run from 0 to 255 and are equally far apart, up to rounding.
    spread = found[:1] == [0] and found[-1] == 255 and min(steps) > 1 and max(steps) - min(steps) <= 1
    if spread and ignored:
        message = f"mask values {listing(found)} look as if made for viewing, and 255 means 'not annotated'"
        remedy = "write class ids 0, 1, 2, ..., or set another ignore_index in classes.json and make 255 a class"
        yield Finding("warning", where, message, remedy)
    if layout.classes is None and len(found) > MANY_IDS:
        message = f"the masks hold {len(found)} different values, as smoothed or compressed pictures do"
        yield Finding(
            "warning", where, message, "export class ids without smoothing, or list the classes in classes.json"
        )


def _palette_orders(scans: Sequence[Scan], classes: ClassTable | None) -> Iterator[Finding]:
    """Indexed masks in which a color has another index than in most: some tools write palettes in any order."""
    known = set() if classes is None else set(classes.colors)
    scans = [scan for scan in scans if scan.palette and not set(scan.palette.values()) <= known]
    places: dict[Color, Counter[int]] = defaultdict(Counter)
    for scan in scans:
        for index, color in scan.palette.items():
            places[color][index] += 1
    usual = {color: indices.most_common(1)[0][0] for color, indices in places.items()}
    odd = [scan for scan in scans if any(usual[color] != index for index, color in scan.palette.items())]
    # Where nearly every mask has colors of its own, the colors mean nothing.
    if odd and len(odd) <= len(scans) / 2:
        message = (
            "the palette has the colors of the other masks in another order, so its indices may mean other classes"
        )
        remedy = "give the colors in classes.json: masks are then read by their colors; or export with one palette"
        yield Finding("warning", listing([scan.mask_path.name for scan in odd]), message, remedy)


def _class_findings(where: str, readable: Sequence[Scan], classes: ClassTable) -> Iterator[Finding]:
    """How often each class occurs."""
    yield _shares(where, readable, classes)
    images = {i: [scan for scan in readable if scan.pixels.get(i)] for i in classes.ids}
    names = dict(zip(classes.ids, classes.names, strict=True))
    absent = [names[i] for i in classes.ids if not images[i]]
    if absent:
        yield Finding(
            "warning", where, f"no pixel of: {listing(absent)}", "annotate some, or take it out of the classes"
        )
    single = [f"{names[i]} ({images[i][0].name})" for i in classes.ids if len(images[i]) == 1]
    if single and len(readable) > 1:
        yield Finding(
            "warning", where, f"in one image only: {listing(single)}", "annotate the class in more images if you can"
        )
    empty = [scan.image_path.name for scan in readable if not any(scan.pixels.get(i) for i in classes.ids)]
    if empty:
        remedy = "annotate something in it, or move the pair away"
        yield Finding("warning", listing(empty), "nothing is annotated", remedy)


def _too_few_classes(where: str, scans: Sequence[Scan], classes: ClassTable, small: int) -> Iterator[Finding]:
    """The error for a folder that training has fewer than two classes of."""
    names = dict(zip(classes.ids, classes.names, strict=True))
    kept = [names[i] for i in classes.ids if any(scan.pixels.get(i, 0) >= max(small, 1) for scan in scans)]
    if scans and not any(scan.pixels.get(i) for scan in scans for i in classes.ids):
        yield Finding("error", where, "no pixel of any mask is annotated", "annotate at least two classes")
    elif scans and len(kept) < 2:
        found = f"only one class ({kept[0]})" if kept else "no class"
        message = f"{found} has enough annotated pixels to train on"
        yield Finding("error", where, message, f"annotate at least two classes, or {LOWER}")


def _small_regions(where: str, scans: Sequence[Scan], classes: ClassTable, small: int) -> Iterator[Finding]:
    """Classes that some images hold too few pixels of."""
    found = []
    for i, name in zip(classes.ids, classes.names, strict=True):
        rare = [scan.name for scan in scans if 0 < scan.pixels.get(i, 0) < small]
        if rare:
            found.append(f"{name} in {count(len(rare), 'image')} ({listing(rare, 5)})")
    if found:
        message = f"fewer than {small} pixels of a class in an image: {listing(found)}"
        yield Finding("info", where, message, f"ignored there when training; annotate more, or {LOWER}")


def _without_objects(scans: Sequence[Scan], classes: ClassTable) -> Iterator[Finding]:
    """Images that are background all over: empty indeed, or never looked at."""
    outside = Vocabulary(classes).outside
    bare = [scan.image_path.name for scan in scans if outside in classes.ids and set(scan.pixels) == {outside}]
    if bare:
        message = f"{count(len(bare), 'image')} without any object, background all over"
        remedy = "as it should be where nothing is to be seen; take those out that nobody has annotated"
        yield Finding("warning", listing(bare), message, remedy)


def _unused(layout: Layout) -> Iterator[Finding]:
    """Images that nobody annotated."""
    if layout.unused:
        unused = f"{count(len(layout.unused), 'image')} not annotated, not used"
        yield Finding("info", str(layout.path), f"{unused}: {listing([path.name for path in layout.unused], 5)}")


def _shares(where: str, scans: Sequence[Scan], classes: ClassTable) -> Finding:
    """The histogram of mask values."""
    pixels: Counter[int] = Counter()
    for scan in scans:
        pixels.update(scan.pixels)
    total = max(pixels.total(), 1)
    told = list(zip(classes.ids, classes.names, strict=True))
    if len(told) > MANY_SHARES:
        told = sorted(told, key=lambda pair: -pixels[pair[0]])
    shares = [f"{name} {pixels[i] / total:.1%}" for i, name in told]
    rest = 1 - sum(pixels[i] for i in classes.ids) / total
    return Finding("info", where, f"share of pixels: {listing(shares, MANY_SHARES)}; not annotated {rest:.1%}")


def _image_findings(layout: Layout, scans: Sequence[Scan]) -> Iterator[Finding]:
    """Sizes, and images that are nearly black."""
    sizes = Counter(scan.size for scan in scans if scan.size is not None)
    shown = [f"{number} of {h}x{w}" for (h, w), number in sizes.most_common()]
    yield Finding(
        "info", str(layout.path), f"{count(len(layout.images), 'image')}: {listing(shown, 5)} (height x width)"
    )
    pages = [scan.image_path.name for scan in scans if scan.pages > 1]
    if pages:
        remedy = "save the page that is meant as a file of its own"
        yield Finding("warning", listing(pages), "holds several pages, of which only the first is read", remedy)
    dark = [scan for scan in scans if scan.brightest is not None and scan.brightest < DARK and not scan.deep]
    if dark:
        names = listing([scan.image_path.name for scan in dark])
        remedy = "scale its values up, or let them be scaled by percentiles: --channels 1,2,3"
        yield Finding("warning", names, f"nearly black (no value above {DARK} of 255)", remedy)


def _of_channels(opened: OpenedFolder, scans: Sequence[Scan]) -> Iterator[Finding]:
    """How chosen channels are scaled, or that 16-bit values nearly vanish in the 8 bits of RGB."""
    if opened.decoder.channels is not None:
        yield Finding("info", str(opened.layout.path), str(opened.decoder.channels))
    deep = [scan for scan in scans if scan.deep]
    if deep:
        levels = max(scan.levels for scan in deep)
        message = f"16-bit values that occupy a small part of their range: at most {levels} of 256 levels are left"
        remedy = "choose the channels to have them scaled by percentiles, such as --channels 1 for gray images"
        yield Finding("warning", listing([scan.image_path.name for scan in deep]), message, remedy)


def _of_origins(opened: OpenedFolder, scans: Sequence[Scan], classes: ClassTable | None) -> Iterator[Finding]:
    """What is known of drawn images, and which annotated ones are not as they were drawn."""
    path, nothing = opened.layout.origins, NOT_ANNOTATED if classes is None else classes.ignore_index
    if path is None or opened.decoder.channels is not None:
        return
    try:
        origins = Origins.read(path)
    except FileError as error:
        yield _from_error(error)
        return
    unknown = [scan for scan in scans if scan.digest is not None and scan.digest.hex() not in origins.seeds]
    known = sum(scan.digest is not None for scan in scans) - len(unknown)
    drawn = f"{count(known, 'image')} drawn by a network of the family {origins.family}, from known seeds"
    yield Finding("info", str(path), drawn)
    if painted := [scan.image_path.name for scan in unknown if set(scan.pixels) - {nothing}]:
        message = "no image that is in the record of drawn images: edited, resized, or from elsewhere"
        remedy = (
            "put back the image as it was drawn, or move the pair away; networks that learn from the images that they "
            "drew themselves, such as StyleGAN2, cannot use it"
        )
        yield Finding("warning", listing(painted), message, remedy)


def _identical(opened: OpenedFolder, scans: Sequence[Scan], test: Path | None) -> Iterator[Finding]:
    """The same picture twice, whatever the files are called and however they are compressed without loss."""
    train: dict[bytes, list[str]] = defaultdict(list)
    for scan in scans:
        if scan.digest is not None:
            train[scan.digest].append(scan.image_path.name)
    for names in train.values():
        if len(names) > 1:
            yield Finding("warning", str(opened.layout.path), f"identical images: {listing(names)}", "keep one of them")
    if test is None:
        return
    for path in _images_of(test):
        try:
            twins = train.get(image_digest(path, opened.decoder.channels))
        except FileError as error:
            yield _from_error(error, "warning")
            continue
        if twins:
            message = f"the same picture as the training image {listing(twins)}"
            yield Finding("warning", str(path), message, "take it out of one of the two, or the score is too good")


def _images_of(folder: Path) -> list[Path]:
    """The images of a data folder, or those that lie in a folder."""
    folder = data_place(folder)
    if not folder.is_dir():
        return images_in(folder)  # says what is wrong
    try:
        return list(find_layout(folder).images.values())
    except FileError:
        return images_in(image_folder(folder))


def _test_beside(layout: Layout) -> Path | None:
    """``test/`` beside ``train/``."""
    folder = layout.path.absolute()
    beside = folder.parent / "test"
    return beside if folder.name == "train" and beside.is_dir() else None
