"""Carries out a pretraining run: a family's module, fed by the batch stream, watched by the callbacks."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from frugalseg.pretraining.batches import BatchStream
from frugalseg.pretraining.callbacks import Checkpoints, Pictures, RunLog
from frugalseg.pretraining.images import TrainingImages
from frugalseg.pretraining.module import PretrainingModule
from frugalseg.pretraining.outlook import outlook
from frugalseg.pretraining.settings import RunOptions
from frugalseg.support.progress import Progress, silent
from frugalseg.training.alarm import Alarm
from frugalseg.training.averaging import AveragedWeights
from frugalseg.training.batches import StepBatches
from frugalseg.training.compute import FlopCount
from frugalseg.training.interrupt import StopAfterStep
from frugalseg.training.run_folder import RunFolder
from frugalseg.training.state import saved_state
from frugalseg.training.trainer import train

EXAMPLES = 64
"""Images, spread evenly over the folder, from which pictures are drawn."""


def fit(
    module: PretrainingModule,
    images: TrainingImages,
    run: RunFolder,
    options: RunOptions,
    progress: Progress = silent,
    notes: Sequence[str] = (),
) -> bool:
    """Train `module` from the run's last checkpoint, or from the beginning, to its last step or the end of the time.

    Args:
        module: of a family.
        images: at the size that the settings of the module say.
        run: the folder of the run.
        options: how to carry it out.
        progress: told of each step in the first process.
        notes: lines for the beginning of the log.

    Returns:
        Whether the last step was reached.

    Raises:
        InputError: the last checkpoint is damaged.
        WorkError: the loss is no longer finite.
        KeyboardInterrupt: the run was stopped by Ctrl-C.
    """
    settings = module.settings
    stream = BatchStream(images, settings.images_per_step, settings.seed, stop=settings.steps, flip=settings.flip)
    state = saved_state(run.checkpoint, whole=run.path)
    if options.compile:
        module.compile_network()
    trainer = train(
        module,
        StepBatches(stream, options.workers),
        folder=run.training,
        hardware=options.hardware,
        precision=settings.precision or "fp32",
        steps=settings.steps,
        callbacks=callbacks_of(module, run, images, options, progress, notes),
        gradient_clip=module.gradient_clip(),
        state=state,
    )
    return bool(trainer.global_step >= settings.steps)


def callbacks_of(
    module: PretrainingModule,
    run: RunFolder,
    images: TrainingImages,
    options: RunOptions,
    progress: Progress,
    notes: Sequence[str] = (),
) -> list[AveragedWeights | FlopCount | RunLog | Pictures | Checkpoints | StopAfterStep]:
    """What happens after each step of a run, in this order."""
    settings, before = module.settings, run.last_progress()
    averaging = AveragedWeights(module.averaging_decay())
    # A compiled network shows no single operations to count.
    compute = FlopCount(
        module.step_kind, before.get("step_flops"), steps_before=before["step"], enabled=not options.compile
    )
    assert settings.image_size is not None
    about = f"{images.describe()}; trained on at {settings.image_size[0]}x{settings.image_size[1]}"
    foresee = partial(
        outlook,
        batch_size=settings.images_per_step,
        minutes=options.max_minutes,
        useful=settings.useful_images,
    )
    log = RunLog(run, settings.images_per_step, options.log_steps, [about, *notes], foresee, compute, progress)
    examples = example_images(images)
    pictures = Pictures(
        averaging,
        Alarm(options.picture_steps, options.picture_minutes),
        lambda average, step: average.draw(run, step, examples),
    )
    often = Alarm(options.checkpoint_steps, options.checkpoint_minutes)
    checkpoints = Checkpoints(run, averaging, log, often, options.max_minutes)
    return [averaging, compute, log, pictures, checkpoints, StopAfterStep(checkpoints.save)]


def example_images(images: TrainingImages, count: int = EXAMPLES) -> Tensor:
    """(N, 3, H, W) float32 in [0, 1]: images spread evenly over the folder."""
    count = min(count, len(images))
    chosen = [images[i * len(images) // count] for i in range(count)]
    return torch.stack([torch.tensor(image).permute(2, 0, 1).float() / 255 for image in chosen])
