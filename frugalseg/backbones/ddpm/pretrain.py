"""Trains a DDPM on unlabelled images; a diffusers folder comes out, which is a backbone and a generator."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from frugalseg.backbones.ddpm.network import UNetShape, build_unet, choose_shape
from frugalseg.backbones.ddpm.sampler import Sampler
from frugalseg.data.files import read_json
from frugalseg.data.images import list_images
from frugalseg.errors import InputError
from frugalseg.pretraining.callbacks import picture_path
from frugalseg.pretraining.images import TrainingImages, fingerprint, median_size
from frugalseg.pretraining.pictures import save_grid
from frugalseg.pretraining.run import PretrainingModule, check_hardware, fit
from frugalseg.pretraining.run_folder import RunFolder, continued
from frugalseg.pretraining.settings import RunOptions, TrainingSettings
from frugalseg.pretraining.stream import STEP, random_numbers, seeded_noise

TIMESTEPS = 1000
LONGEST_SIDE = 128
"""Without a size given, larger images are trained on at this many pixels along their longer side."""
SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
DENOISED_AT = (50, 150, 250, 400, 600)
"""Timesteps of the pictures of denoised images."""


@dataclass(frozen=True)
class PretrainSettings(TrainingSettings):
    """What the result of DDPM pretraining depends on, beside the images.

    Attributes:
        base_channels: channels of the UNet at full resolution; None: chosen from the image size, as the next three.
        multipliers: channels of each level, divided by `base_channels`.
        layers: residual blocks a level.
        attention_levels: how many of the deepest levels have self-attention.
        noise_schedule: ``linear`` (Ho et al. 2020; for 256 pixels and more) or ``cosine`` (Nichol & Dhariwal 2021; it
            keeps small images recognisable for longer).
        min_snr: gamma of the min-SNR weighting of the loss (Hang et al. 2023, section 3.4; they use 5): less weight for
            almost clean images, whose noise is large in number and needs no understanding of the content; pays in short
            runs. None weighs all timesteps alike, as Ho et al. do.
    """

    base_channels: int | None = None
    multipliers: tuple[int, ...] | None = None
    layers: int | None = None
    attention_levels: int | None = None
    noise_schedule: Literal["linear", "cosine"] = "cosine"
    min_snr: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_schedule not in SCHEDULES:
            raise InputError(f"noise_schedule {self.noise_schedule!r} is unknown; give linear or cosine")
        if self.min_snr is not None and not self.min_snr > 0:
            raise InputError(f"min_snr is {self.min_snr}; give a number above 0, such as 5")

    def chosen_for(self, paths: list[Path]) -> "PretrainSettings":
        """The same settings with everything that was left open chosen for the images at `paths`."""
        size = self.image_size or median_size(paths, LONGEST_SIDE)
        shape = choose_shape(size, self.base_channels, self.multipliers, self.layers, self.attention_levels)
        base = self.base_channels or shape.channels[0]
        if self.image_size is None:
            size = (_nearest_multiple(size[0], shape.stride), _nearest_multiple(size[1], shape.stride))
        return replace(
            self,
            image_size=size,
            base_channels=base,
            multipliers=tuple(c // base for c in shape.channels),
            layers=shape.layers,
            attention_levels=shape.attention_levels,
        )

    @property
    def shape(self) -> UNetShape:
        """The UNet, once `chosen_for` has chosen it."""
        assert self.image_size is not None
        return choose_shape(self.image_size, self.base_channels, self.multipliers, self.layers, self.attention_levels)


def pretrain(
    images: str | Path,
    out: str | Path,
    settings: PretrainSettings | None = None,
    options: RunOptions | None = None,
) -> bool:
    """Train a DDPM on the images of a folder, or continue a run that was stopped or killed.

    `out` becomes a diffusers pipeline folder with the averaged weights, rewritten whole at each checkpoint, with
    ``training/`` (state, settings, log, TensorBoard) and ``pictures/`` beside the network. A continued run ends with
    the same weights as an uninterrupted one, bit for bit on a CPU with as many threads. It may be given more steps than
    before: the learning rate then decays towards the new last step from there on.

    Args:
        images: folder of unlabelled images of any sizes; see `TrainingImages` for what happens to them.
        out: new or empty folder, or that of a run to continue.
        settings: what to train; None: the settings of the run in `out`, or the defaults. Those left None in it are
            chosen from the images.
        options: how to carry the run out.

    Returns:
        Whether the last step was reached (else the time was up).

    Raises:
        InputError: no images, an unsuitable size, `out` holds something else, or a run of other settings or images.
    """
    run, options = RunFolder(Path(out)), options or RunOptions()
    settings = settings or stored_settings(out)
    check_hardware(settings, options)
    paths = list_images(images)
    data = {"images": len(paths), "fingerprint": fingerprint(paths)}
    chosen = _settle(run, paths, settings, data)
    if run.last_progress()["step"] >= chosen.steps:
        return True
    assert chosen.image_size is not None
    module = DDPMPretraining(chosen, channels_last=options.wants_channels_last)
    training_images = TrainingImages(images, chosen.image_size, bar=options.bar)
    run.begin(_jsonable({**asdict(chosen), "family": "ddpm", **data}))
    return fit(module, training_images, run, options)


def stored_settings(out: str | Path, **given: Any) -> PretrainSettings:
    """The settings of the run in `out`, or the defaults where none was begun, with those in `given` put in.

    Args:
        out: folder of a run, which need not exist.
        given: settings by name; those that are None count as not given.
    """
    run = RunFolder(Path(out))
    settings = PretrainSettings.from_json(read_json(run.settings)) if run.resumable else PretrainSettings()
    return replace(settings, **{k: v for k, v in given.items() if v is not None})


def _settle(run: RunFolder, paths: list[Path], settings: PretrainSettings, data: dict[str, Any]) -> PretrainSettings:
    """The settings, complete, of a run that is to be begun or continued; raises `InputError` where it cannot be."""
    if run.resumable:
        given = _jsonable({**asdict(settings), **data})
        return PretrainSettings.from_json(continued(read_json(run.settings), given, run.path))
    run.require_free()
    return settings.chosen_for(paths)


def _jsonable(values: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _nearest_multiple(length: int, stride: int) -> int:
    return max(1, round(length / stride)) * stride


class DDPMPretraining(PretrainingModule):
    """Predicts the noise in noisy images: ``L = E w_t |eps - eps_theta(x_t, t)|^2`` (Ho et al. 2020, eq. 14).

    ``x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps``; t is uniform, and stratified over the global batch (as in VDM,
    Kingma et al. 2021, appendix I.1), which makes the loss of a batch less noisy.
    """

    def __init__(self, settings: PretrainSettings, channels_last: bool = False) -> None:
        """`settings` must be complete (`PretrainSettings.chosen_for`)."""
        from diffusers import DDPMScheduler

        super().__init__()
        assert settings.image_size is not None
        self.settings: PretrainSettings = settings
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.unet = build_unet(settings.image_size, settings.shape).to(memory_format=self.format)
        self.scheduler = DDPMScheduler(TIMESTEPS, beta_schedule=SCHEDULES[settings.noise_schedule])

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The loss of this process's part of a batch (see `BatchStream`)."""
        if batch["step"] != self.global_step:
            raise RuntimeError(f"batch {batch['step']} came in step {self.global_step}")
        x_0 = (batch["images"].float() / 127.5 - 1).contiguous(memory_format=self.format)
        noise = seeded_noise(batch["seeds"], tuple(x_0.shape[1:]), x_0.device)
        t = self.timesteps(batch["step"], self.trainer.global_rank, self.trainer.world_size).to(x_0.device)
        predicted: Tensor = self.unet(self.scheduler.add_noise(x_0, noise, t), t).sample.float()
        return (self.loss_weights(t) * (predicted - noise).pow(2).mean(dim=(1, 2, 3))).mean()

    def timesteps(self, step: int, rank: int, world_size: int) -> Tensor:
        """(b,) int64, this rank's timesteps: evenly spaced over the global batch, shifted at random."""
        shift = random_numbers(self.settings.seed, STEP, step).random()
        places = torch.arange(rank, self.settings.batch_size, world_size, dtype=torch.float64)
        return ((places / self.settings.batch_size + shift) % 1 * TIMESTEPS).long().clamp_max(TIMESTEPS - 1)

    def loss_weights(self, t: Tensor) -> Tensor:
        """(b,) weights of the loss: ``min(SNR_t, gamma) / SNR_t``, or 1 (Hang et al. 2023, for predicted noise)."""
        if self.settings.min_snr is None:
            return torch.ones(len(t), device=t.device)
        abar: Tensor = self.scheduler.alphas_cumprod.to(t.device)[t]
        snr = abar / (1 - abar)
        return snr.clamp_max(self.settings.min_snr) / snr

    def compile_network(self) -> None:
        """Compile the UNet in place."""
        self.unet.compile()

    def export(self, folder: Path) -> None:
        """Write a diffusers pipeline folder."""
        from diffusers import DDPMPipeline, UNet2DModel

        # safetensors stores only tensors in the plain memory order.
        plain = UNet2DModel.from_config(self.unet.config)
        plain.load_state_dict(self.unet.state_dict())
        DDPMPipeline(unet=plain, scheduler=self.scheduler).save_pretrained(folder)

    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of samples, and one of images, noised and denoised in a single step."""
        sampler = Sampler(self.unet, self.scheduler)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision != "fp32"):
            start = sampler.step_of_signal(0.1)
            samples = sampler.sample(24, torch.Generator().manual_seed(0), steps=25, first=start, batch_size=24)
            at = torch.tensor(DENOISED_AT)
            noisy, clean = sampler.noised(examples, at, torch.Generator().manual_seed(1))
        save_grid(samples.unflatten(0, (3, 8)), picture_path(run, "samples", step))
        pairs = torch.stack([noisy / 2 + 0.5, clean], dim=1).flatten(0, 1)
        save_grid(torch.cat([examples[None], pairs]), picture_path(run, "denoised", step))
