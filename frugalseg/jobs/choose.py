"""``fit --backbone auto``: candidates are compared on the annotated images, and the fit goes on with the best one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from frugalseg.backbones.registry import family_of_checkpoint
from frugalseg.data.folder import SegmentationFolder
from frugalseg.jobs.request import FitRequest
from frugalseg.selection.candidates import Candidate, candidates_for
from frugalseg.selection.choice import Choice, choose
from frugalseg.selection.settings import AUTO, ChoiceSettings
from frugalseg.support.checked import from_arguments
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress
from frugalseg.support.records import files_read, plain, stamps
from frugalseg.support.runs import scratch, until_released

CHOSEN = ("tile", "network_size")
"""Settings that belong to what is chosen."""


@contextmanager
def with_choice(
    request: FitRequest,
    dataset: SegmentationFolder,
    work: Path,
    compared: Callable[[Choice], None],
    progress: Progress,
) -> Iterator[tuple[FitRequest, Choice | None, Callable[[], None]]]:
    """A request whose backbone is chosen; the scores are kept until they are released, for a rerun after a kill.

    Args:
        request: of the family `AUTO`, or any other, which stays as it is.
        dataset: the annotated images.
        work: the scratch folder of the fit; the scores lie in another one beside it.
        compared: told of the choice.
        progress: told of each candidate.

    Yields:
        The request, the choice, and what releases the scores, see `until_released`.

    Raises:
        InputError: too few annotated images, a checkpoint that cannot be loaded, or settings that are to be chosen.
    """
    if request.family != AUTO:
        yield request, None, lambda: None
        return
    candidates = candidates_of(request, dataset)
    place = work.with_name(work.name + ".choice")
    with until_released(place) as release:
        scratch(place, describe(request, dataset, candidates))
        settings = choice_settings(request)
        choice = choose(
            candidates,
            dataset,
            dataset.classes,
            settings,
            request.settings,
            device=request.device,
            work=place,
            progress=progress,
        )
        compared(choice)
        best = candidates[choice.best]
        yield (
            replace(
                request,
                family=best.family,
                checkpoint=best.checkpoint,
                backbone=best.backbone,
                settings={**request.settings, **best.settings},
            ),
            choice,
            release,
        )


def choice_settings(request: FitRequest) -> ChoiceSettings:
    """How a request of the family `AUTO` compares; `InputError` for wrong options, and for what is to be chosen."""
    chosen = [name for name in CHOSEN if request.settings.get(name)]
    if chosen:
        raise InputError(
            f"--backbone auto chooses {' and '.join(chosen).replace('network_size', 'size')}; leave it out"
        )
    return from_arguments(ChoiceSettings, request.backbone)


def candidates_of(request: FitRequest, dataset: SegmentationFolder) -> list[Candidate]:
    """What is compared; a checkpoint of the request is the first candidate."""
    given = None
    if request.checkpoint is not None:
        given = Candidate(request.checkpoint, family_of_checkpoint(request.checkpoint), request.checkpoint)
    return candidates_for([dataset.size(index) for index in range(len(dataset))], given)


def describe(request: FitRequest, dataset: SegmentationFolder, candidates: list[Candidate]) -> dict[str, object]:
    """What a choice depends on, as JSON values."""
    read = [path for place in request.places for path in files_read(place)]
    command = {
        "command": "choose",
        "choice": dict(request.backbone),
        "settings": dict(request.settings),
        "candidates": [asdict(each) for each in candidates],
        "classes": asdict(dataset.classes),
        "files": stamps([*dataset.files, *read]),
    }
    # Records of earlier versions do not name them, and comparisons of images in RGB go on.
    return plain(command if request.channels is None else {**command, "channels": asdict(request.channels)})
