"""Pascal VOC: ``JPEGImages/`` and ``SegmentationClass/``, as PASCAL, CVAT and labelme's converter write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frugalseg.data.classes import NOT_ANNOTATED, ClassTable
from frugalseg.data.exports.labels import UnknownClassError, Vocabulary, is_background
from frugalseg.data.exports.voc_legend import VOC_NAMES, VocLegend, find_legend, voc_colors
from frugalseg.data.exports.voc_list import ImageList
from frugalseg.data.image_folder import IMAGE_SUFFIXES
from frugalseg.data.images import opened, upright
from frugalseg.data.layout import Layout, Legend, classes_file
from frugalseg.data.mask_colors import ids_of_colors
from frugalseg.data.mask_folder import named_files, pairing_errors
from frugalseg.data.masks import LOSSY_SUFFIXES, MASK_SUFFIXES, read_mask, require_one_page
from frugalseg.support.files import FileError

VOID = 255
"""In indexed masks: not annotated, the rims of objects. Its colour is VOC's last one."""


@dataclass(frozen=True)
class VocMask:
    """A mask of indices or of colours.

    Attributes:
        path: the picture.
        legend: names and colours of the labels; None where VOC's own colours stand for ids.
    """

    path: Path
    legend: VocLegend | None

    def ids(self, size: tuple[int, int], classes: ClassTable) -> NDArray[np.int64]:
        """(H, W) int64, see `Annotation`; without a legend the mask's own ids, or those of its colors in `classes`."""
        labels = self.labels(None if _of_voc(classes) else classes)
        if self.legend is None:
            return labels
        meaning = np.full(VOID + 1, NOT_ANNOTATED, np.int64)
        vocabulary = Vocabulary(classes)
        for label in np.unique(labels[labels != VOID]).tolist():
            meaning[label] = self._id(label, self.legend, vocabulary)
        meaning[VOID] = classes.ignore_index
        ids: NDArray[np.int64] = meaning[labels]
        return ids

    def _id(self, label: int, legend: VocLegend, vocabulary: Vocabulary) -> int:
        if label >= len(legend.names):
            raise FileError(self.path, f"holds {label}, the legend has {len(legend.names)} labels", "add it there")
        name = legend.names[label]
        if is_background(name):
            return vocabulary.outside
        try:
            return vocabulary.id_of(name)
        except ValueError as error:
            raise UnknownClassError(self.path, error) from None

    def labels(self, classes: ClassTable | None = None) -> NDArray[np.int64]:
        """(H, W) int64: places in the legend, or ids; 255 where it is void.

        Args:
            classes: whose colors come before VOC's, where there is no legend.
        """
        if self.path.suffix.lower() == ".npy" or self.path.suffix.lower() in LOSSY_SUFFIXES:
            return read_mask(self.path)
        with opened(self.path) as image:
            require_one_page(image, self.path)
            mode = image.mode
            picture = upright(image) if mode in ("RGB", "RGBA") or (mode == "P" and self.legend is not None) else None
            if picture is not None and mode == "P":
                return self._of_palette(np.asarray(picture), np.asarray(picture.getpalette("RGB")).reshape(-1, 3))
            if picture is not None:
                colors = np.asarray(picture)[..., :3]
                if self.legend is None and classes is not None:
                    ids = ids_of_colors(colors, classes, void=voc_colors()[VOID])
                    return self._of_colors(colors) if ids is None else ids.astype(np.int64)
                return self._of_colors(colors)
        return read_mask(self.path, None if self.legend else classes)

    def _of_palette(self, values: NDArray[np.uint8], palette: NDArray[np.int64]) -> NDArray[np.int64]:
        """The palette's colours decide, not the order of the legend."""
        found = np.unique(values)
        colors = np.zeros((len(found), 3), np.uint8)
        shown = found < len(palette)
        colors[shown] = palette[found[shown]]
        meaning = np.full(256, VOID, np.int64)
        meaning[found[found != VOID]] = self._of_colors(colors[found != VOID][None])[0]
        labels: NDArray[np.int64] = meaning[values]
        return labels

    def _of_colors(self, colors: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The label of each colour (H, W, 3)."""
        known = voc_colors() if self.legend is None else [*self.legend.colors, voc_colors()[VOID]]
        codes = _packed(np.asarray(known, np.uint8))
        order = np.argsort(codes, kind="stable")
        asked = _packed(colors)
        places = np.minimum(np.searchsorted(codes, asked, sorter=order), len(codes) - 1)
        labels = order[places]
        strange = codes[labels] != asked
        if strange.any():
            red, green, blue = colors[strange][0].tolist()
            remedy = f"give the folder a labelmap.txt with a line name:{red},{green},{blue}::"
            raise FileError(self.path, f"the color {red},{green},{blue} is that of no label", remedy)
        if self.legend is not None:
            labels = np.where(labels == len(self.legend.colors), VOID, labels)
        return labels.astype(np.int64)


def _of_voc(classes: ClassTable) -> bool:
    """Whether the colors of classes are those that VOC has for their ids."""
    known = dict(enumerate(voc_colors()))
    return all(known.get(i) == color for i, color in zip(classes.ids, classes.colors, strict=True))


def _packed(colors: NDArray[np.uint8]) -> NDArray[np.int32]:
    """One number for each colour (..., 3)."""
    wide = colors.astype(np.int32)
    packed: NDArray[np.int32] = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def voc_export(root: Path) -> Layout | None:
    """A folder of VOC's, or one that holds ``VOC2012/``, or ``VOCdevkit/VOC2012/``."""
    places = [root, *sorted(root.glob("VOC[0-9]*")), *sorted(root.glob("VOCdevkit/VOC[0-9]*"))]
    found = [place for place in places if _image_folder(place) and (place / "SegmentationClass").is_dir()]
    if len(found) > 1:
        raise FileError(root, f"holds several years ({', '.join(p.name for p in found)})", "name one of their folders")
    return _layout(found[0]) if found else None


def _image_folder(place: Path) -> Path | None:
    folders = (place / "JPEGImages", place / "images")
    return next((folder for folder in folders if folder.is_dir()), None)


def _layout(root: Path) -> Layout:
    legend = find_legend(root)
    listed = ImageList.of(root)
    suffixes = MASK_SUFFIXES | LOSSY_SUFFIXES
    masks = named_files(root / "SegmentationClass", suffixes)
    everything = named_files(_image_folder(root) or root, IMAGE_SUFFIXES)
    strays = [] if listed is None else listed.strays(name for name, _ in (*everything, *masks))
    if listed is not None:
        masks = [(name, path) for name, path in masks if listed.holds(name)]
    if not masks:
        raise next(iter(strays), FileError(root / "SegmentationClass", "no masks for the images", "export them again"))
    names = {name for name, _ in masks}
    images = [(name, path) for name, path in everything if name in names]
    files = {name: VocMask(path, legend) for name, path in masks}
    return Layout(
        root,
        dict(images),
        files,
        classes_file(root),
        _legend(root, list(files.values()), legend),
        by_name=legend is not None,
        problems=(*strays, *pairing_errors(root, images, masks)),
        unused=tuple(path for name, path in everything if name not in names),
        decisive=() if legend is None else (legend.path,),
    )


def _legend(root: Path, masks: Sequence[VocMask], legend: VocLegend | None) -> Legend:
    """The labels of the legend, or else the ids found, with VOC's names where all are VOC's."""

    def table(lenient: bool) -> ClassTable:
        if legend is not None:
            return legend.table()
        found: set[int] = set()
        failed: FileError | None = None
        for mask in masks:
            try:
                found.update(np.unique(mask.labels()).tolist())
            except FileError as error:
                if not lenient:
                    raise
                failed = failed or error
        if failed is not None and not found:
            raise failed
        return _table_of(root, found - {VOID})

    return table


def _table_of(root: Path, found: set[int]) -> ClassTable:
    try:
        table = ClassTable.from_ids(found)
    except ValueError as error:
        raise FileError(root, f"in the masks, {error}", "export masks of class ids or of a legend's colors") from None
    if not table.ids:
        raise FileError(root, "no pixel of any mask is annotated (all are 255)", "annotate at least two classes")
    if max(table.ids) >= len(VOC_NAMES):
        return table
    colors = voc_colors()
    return ClassTable(table.ids, tuple(VOC_NAMES[i] for i in table.ids), tuple(colors[i] for i in table.ids))
