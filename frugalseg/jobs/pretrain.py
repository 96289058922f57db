"""A pretraining run from a folder of images: settled, begun or continued, and carried out."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from frugalseg.backbones.registry import Family, family_named, pretrainable
from frugalseg.data.image_folder import list_images, report_other_files
from frugalseg.pretraining.choice import SLOW, choice
from frugalseg.pretraining.images import ImageWindows, TrainingImages
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.module import PretrainingModule
from frugalseg.pretraining.run import fit
from frugalseg.pretraining.settings import CommonSettings, RunOptions
from frugalseg.support import digests
from frugalseg.support.damage import DamagedError, refused_where_damaged
from frugalseg.support.errors import InputError
from frugalseg.support.folders import require_writable, spare_inputs
from frugalseg.support.progress import Progress, silent
from frugalseg.support.records import files_read
from frugalseg.training.hardware import check_hardware, is_first_process
from frugalseg.training.run_folder import AFRESH, RunFolder, continued

CHOSEN = ("image_size", "batch_size", "precision")
"""Settings that every run has, once it is begun."""


def pretrain(
    family: str,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    settings: CommonSettings | None = None,
    options: RunOptions | None = None,
    progress: Progress = silent,
) -> bool:
    """Train a network of a family on the images of a folder, or continue a run that was stopped or killed.

    `out` becomes a folder that `load_backbone(family, out)` reads, with the averaged weights, rewritten whole at each
    checkpoint, with ``training/`` (state, settings, log, TensorBoard) and ``pictures/`` beside the network. A continued
    run ends with the same weights as an uninterrupted one, bit for bit on a CPU with as many threads. It may be given
    more steps than before: the learning rate then decays towards the new last step from there on.

    Args:
        family: one of `pretrainable`.
        images: folder of unlabelled images of any sizes, or several; see `TrainingImages` for what happens to them.
        out: new or empty folder, or that of a run to continue.
        settings: what to train, in the family's own class; None: the settings of the run in `out`, or the defaults.
            Those left None in it are chosen from the images and for the machine (`CommonSettings`) when the run
            begins. They are recorded in it, and a continued run keeps them, whatever machine it is continued on.
        options: how to carry the run out.
        progress: told of each image that is read and of each step, in the first process alone.

    Returns:
        Whether the last step was reached (else the time was up).

    Raises:
        InputError: no images, an unsuitable size, `out` holds something else, a run of other settings or images, or
            an input, or lies inside one; or another run is at work in it.
        WorkError: the loss is no longer finite.
        KeyboardInterrupt: the run was stopped by Ctrl-C.
    """
    found, run, options = pretrainable_family(family), RunFolder(Path(out)), options or RunOptions()
    if not isinstance(settings, found.settings_class() | None):
        own = found.settings_class().__name__
        raise InputError(f"settings is a {type(settings).__name__}; {found.pretrain_name} is trained with {own}")
    settings = with_checkpoints(settings or stored_settings(found.name, out), run)
    places = settings.checkpoints()
    if not run.resumable:
        spare_inputs(run.path, *([images] if isinstance(images, str | Path) else images), *places.values())
    machine = Machine.of(options.device)
    paths = images_of(images)
    data = {"family": found.name, "images": len(paths), "fingerprint": digests.names_and_sizes(paths)}
    data |= {f"{name}_digest": network_digest(Path(place)) for name, place in places.items()}
    before = run.begun_with()
    chosen = _settle(found, run, paths, settings, data, machine)
    assert chosen.precision is not None
    check_hardware(options.hardware, chosen.precision, chosen.images_per_step)
    if run.last_progress()["step"] >= chosen.steps and run.published():
        if run.lock.exists():  # that of a run that was killed at its very end
            with run.alone():
                pass
        return True
    assert found.pretraining is not None
    module: PretrainingModule = found.load("pretrain", found.pretraining)(chosen, options.wants_channels_last)
    shown = progress if is_first_process() else silent
    images_class = ImageWindows if chosen.crop else TrainingImages
    training_images = images_class(paths, chosen.stored_size, progress=shown)
    notes = [] if run.resumable else [choice(settings, chosen, machine)]
    notes += [SLOW] if chosen.precision == "bf16" and not machine.bf16 else []
    run.require_state()
    with run.alone() as first:
        if first:
            if run.begun_with() != before:
                raise InputError(f"{out}: meanwhile another process has trained here; run the same command again")
            run.begin(_jsonable({**asdict(chosen), **data}))
        return fit(module, training_images, run, options, shown, [each for each in notes if each])


def stored_settings(family: str, out: str | Path, **given: Any) -> CommonSettings:
    """The settings of the run in `out`, or the defaults where none was begun, with those in `given` put in.

    Args:
        family: one of `pretrainable`.
        out: folder of a run, which need not exist.
        given: settings by name; those that are None count as not given.

    Raises:
        InputError: `out` holds a run of another family, or cannot be written.
    """
    run, found = RunFolder(Path(out)), pretrainable_family(family)
    cls = found.settings_class()
    require_writable(run.path)
    stored = run.stored_settings() if run.resumable else {}
    if stored.get("family", found.name) != found.name:
        raise InputError(f"{out}: holds a run of {stored['family']}; continue that, or give another folder")
    with refused_where_damaged(run.settings, "run", AFRESH):
        settings: CommonSettings = cls.from_json(stored)
    return replace(settings, **{k: v for k, v in given.items() if v is not None})


def images_of(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """The images of a folder or of several, folder by folder; raises what `list_images` raises, and for no folder."""
    several = [folders] if isinstance(folders, str | Path) else folders
    if not several:
        raise InputError("no folder of images is named; give one or several")
    found = [path for folder in several for path in list_images(folder)]
    for folder in several:
        report_other_files(Path(folder))
    return found


def pretrainable_family(name: str) -> Family:
    """A family that can be trained from scratch, by its name or that of its training.

    Raises:
        InputError: there is none; the message names those that can.
    """
    trainings = {each.pretrain_name: each for each in pretrainable()}
    family = trainings[name] if name in trainings else family_named(name)
    if family.pretraining is None:
        known = ", ".join(trainings)
        raise InputError(f"the family {name!r} cannot be trained from scratch; known: {known}")
    return family


def with_checkpoints(settings: CommonSettings, run: RunFolder) -> CommonSettings:
    """The settings, where a run is continued without saying where the networks are that it needs: where they were."""
    lacking = [name for name in settings.given_networks if getattr(settings, name) is None]
    if not lacking or not run.resumable:
        return settings
    stored = run.stored_settings()
    found: dict[str, Any] = {name: stored[name] for name in lacking if isinstance(stored.get(name), str)}
    return replace(settings, **found)


def network_digest(place: Path) -> str:
    """The digest of the files that a network is read from, a file or a folder, without those of its training.

    Raises:
        InputError: there is nothing.
    """
    files = [path for path in files_read(place) if "training" not in path.relative_to(place).parts]
    if not files:
        raise InputError(f"{place}: no such checkpoint; check the path")
    return digests.contents(files)


def _settle(
    family: Family,
    run: RunFolder,
    paths: list[Path],
    settings: CommonSettings,
    data: dict[str, Any],
    machine: Machine,
) -> CommonSettings:
    """The settings, complete, of a run that is to be begun or continued; raises `InputError` where it cannot be."""
    if run.resumable:
        places: dict[str, Any] = {**settings.checkpoints()}  # which their digests tell better
        given = _jsonable({**asdict(settings), **dict.fromkeys(places), **data})
        # Runs of earlier versions lack the settings that came later, and were trained as their defaults say.
        stored = {**_jsonable(asdict(family.settings_class()())), **run.stored_settings()}
        resumed: CommonSettings = family.settings_class().from_json(continued(stored, given, run.path))
        missing = [name for name in CHOSEN if getattr(resumed, name) is None]
        if missing:
            raise DamagedError(run.settings, f"a damaged run (no {missing[0]})", AFRESH)
        return replace(resumed, **dict[str, Any](places))
    # Where several processes begin a run together, the others may find what the first is just writing.
    if is_first_process():
        run.require_free()
    return settings.chosen_for(paths, machine)


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
