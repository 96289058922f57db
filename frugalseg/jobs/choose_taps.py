"""``fit --choose``: the places at which the backbone is read are chosen, and the fit goes on with the same maps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from frugalseg.classifier.extraction import Extraction
from frugalseg.data.folder import SegmentationFolder
from frugalseg.features.map_store import stored_bytes
from frugalseg.jobs.request import FitRequest, new_segmenter
from frugalseg.segmenter import Segmenter
from frugalseg.selection.forward import TapChooser
from frugalseg.selection.places import candidate_places, taps_at, words
from frugalseg.selection.settings import AUTO
from frugalseg.selection.tap_choice import TapChoice
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress, line
from frugalseg.support.records import files_read, plain, stamps
from frugalseg.support.runs import scratch, until_released
from frugalseg.support.text import count, size_text, time_text


@dataclass(frozen=True)
class Reading:
    """A request whose backbone is decided.

    Attributes:
        request: the fit.
        segmenter: not fitted yet.
        choice: how the backbone or its taps were chosen, as JSON values; None if the user has named them.
        extraction: the maps for the fit, if the choice has left them.
        release: deletes maps and scores once the model is trained, see `until_released`.
    """

    request: FitRequest
    segmenter: Segmenter
    choice: dict[str, Any] | None = None
    extraction: Extraction | None = None
    release: Callable[[], None] = lambda: None


def require_choice(request: FitRequest, segmenter: Segmenter | None) -> None:
    """`InputError` where there is nothing to choose; said before all images are read."""
    if not request.choose:
        return
    if request.family == AUTO or segmenter is None:
        raise InputError("--choose: name the backbone; --backbone auto chooses among backbones as they come")
    candidate_places(segmenter.backbone, request.backbone)


@contextmanager
def with_taps(
    reading: Reading,
    dataset: SegmentationFolder,
    work: Path,
    compared: Callable[[TapChoice], None],
    progress: Progress,
) -> Iterator[Reading]:
    """What is to be fitted, with the chosen taps; maps and scores are kept until they are released.

    Args:
        reading: with the options that the user gave; it is given back if nothing is to be chosen.
        dataset: the annotated images.
        work: the scratch folder of the fit; maps and scores lie in another one beside it.
        compared: told of the choice.
        progress: told of each step.

    Raises:
        InputError: too few annotated images, or nothing to choose among.
    """
    if not reading.request.choose:
        yield reading
        return
    place = work.with_name(work.name + ".taps")
    chooser = TapChooser(reading.segmenter, dataset, dataset.classes, reading.request.backbone, place)
    with until_released(place) as release:
        scratch(place, describe(reading.request, chooser, dataset))
        maps = chooser.extraction()
        line(progress, announcement(chooser, maps))
        choice = chooser.choose(maps, progress)
        compared(choice)
        yield replace(chosen(reading.request, choice, chooser, maps, dataset), release=release)


def announcement(chooser: TapChooser, maps: Extraction) -> str:
    """What the choice will take."""
    wide = chooser.wide.backbone
    stored = stored_bytes(wide.taps, [each.window.network for each in maps.windows], wide.map_sizes)
    return (
        f"choosing among {words(chooser.candidates)} on {count(len(chooser.images), 'annotated image')}: "
        f"at most about {time_text(chooser.seconds())} on two CPU cores, and {size_text(stored)} of disk for the maps"
    )


def chosen(
    request: FitRequest, choice: TapChoice, chooser: TapChooser, maps: Extraction, dataset: SegmentationFolder
) -> Reading:
    """The fit with the chosen options; it reads the maps of the choice if these are of all images and as it needs them.

    They are not where a network that is read less deeply sees images at another size.
    """
    decided = replace(request, backbone={**request.backbone, **choice.places})
    segmenter = new_segmenter(decided)
    sizes = {dataset.size(index) for index in range(len(dataset))}
    alike = all(segmenter.windows(size) == chooser.wide.windows(size) for size in sizes)
    every = len(chooser.images) == len(dataset)
    taps = taps_at(chooser.wide.backbone.taps, choice.places)
    fitting = [tap.name for tap in taps] == [tap.name for tap in segmenter.backbone.taps]
    extraction = maps.select(taps) if alike and every and fitting else None
    return Reading(decided, segmenter, choice.to_json(), extraction)


def describe(request: FitRequest, chooser: TapChooser, dataset: SegmentationFolder) -> dict[str, Any]:
    """What a choice depends on, as JSON values."""
    read = [path for place in request.places for path in files_read(place)]
    return plain(
        {
            "command": "choose taps",
            "family": request.family,
            "checkpoint": request.checkpoint,
            "backbone": {**request.backbone, **chooser.wide.backbone.config()},
            "candidates": chooser.candidates,
            "settings": dict(request.settings),
            "classes": asdict(dataset.classes),
            "channels": None if request.channels is None else asdict(request.channels),
            "files": stamps([*dataset.files, *read]),
        }
    )
