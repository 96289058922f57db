"""What a user sets: where and when the features of a diffusion UNet are read, and how one is trained."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from frugalseg.backbones.ddpm.network import UNetShape, choose_shape
from frugalseg.features.sizes import nearest_size
from frugalseg.pretraining.machine import Machine
from frugalseg.pretraining.settings import TrainingSettings
from frugalseg.support.checked import MOST, from_json
from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.precision import Precision, check_precision
from frugalseg.support.ranges import AMOUNT, COUNT, DEPTH, POSITIVE, SEED, SIDE, WIDTH, Range

PAPER_BLOCKS = 18  # decoder blocks of the LSUN and FFHQ-256 networks, which the presets number
SamplingMethod = Literal["dpmsolver++", "sde-dpmsolver++", "ddim", "unipc", "ddpm"]
SAMPLERS: tuple[SamplingMethod, ...] = get_args(SamplingMethod)
MOST_DRAWS = 1000
"""Noise draws that features can be averaged over; all of them pass through the network in one batch."""
FEW_STEPS, USUAL_SCHEDULE = 25, 1000
"""Evaluations of the network for each image where no number is given; the method ``ddpm`` takes all steps instead,
which are as many as the second number in nearly all networks."""
SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}


@dataclass(frozen=True)
class DDPMOptions:
    """What `load_backbone` takes for ``ddpm``.

    Attributes:
        preset, timesteps, blocks: see `choose_settings`. By default the paper's, adapted to the network.
        inputs, noise_seed, noise_draws: see `FeatureSettings`.
        precision: number format of the UNet's weights and activations.
        compile: compile the UNet's blocks with `torch.compile`. This takes minutes once; the blocks are faster then.
        image_size, head_channels, heads, new_attention_order: for published files alone; see `load_guided_diffusion`.
    """

    preset: Literal["current", "first-release"] = option(
        "current", "Which of the paper's features to read: the current ones, or those of its first release."
    )
    timesteps: tuple[int, ...] | None = option(
        None,
        "The diffusion steps to read features at, such as 50,150,250. By default, fit reads those of the preset.",
        within=AMOUNT,
    )
    blocks: tuple[int, ...] | None = option(
        None,
        "The decoder blocks to read, such as 5,6,7,8,12. Block 0 is the deepest. By default, as for --timesteps.",
        within=AMOUNT,
    )
    inputs: bool | None = option(
        None, "Read the input or the output of each block. By default, the output.", flag="--inputs/--outputs"
    )
    noise_seed: int = option(0, "The seed of the noise that is added to the images.", within=SEED)
    noise_draws: int = option(1, "The number of noise draws to average the features over.", within=DEPTH)
    precision: Precision = option("fp32", "The number format of the network.")
    compile: bool = option(False, "Compile the network. This takes minutes at first, and long runs are faster.")
    image_size: int | None = option(
        None, "For .pt files: the side length of the training images, in pixels. By default 256.", within=SIDE
    )
    head_channels: int | None = option(
        None, "For .pt files: the number of channels of an attention head. By default 64.", within=WIDTH
    )
    heads: int | None = option(
        None,
        "For .pt files: the number of attention heads, if the network has a fixed number instead of --head-channels.",
        within=DEPTH,
    )
    new_attention_order: bool | None = option(None, "For .pt files: the network stores q, k and v one after another.")

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def passes(self) -> int:
        """How often an image goes through the network."""
        timesteps = PRESETS[self.preset].timesteps if self.timesteps is None else self.timesteps
        return len(timesteps) * self.noise_draws

    def guided(self) -> dict[str, Any]:
        """The options of `load_guided_diffusion` that were given."""
        names = ("image_size", "head_channels", "heads", "new_attention_order")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True)
class DDPMGeneration:
    """How a diffusion model draws images; see `frugalseg.backbones.ddpm.samplers.sample`.

    Attributes:
        sampler: the sampling method.
        sampling_steps: number of evaluations of the network for each image.
        first_step: the timestep at which sampling starts from pure noise. None: see `choose_timesteps`.
        precision: number format of the network while it samples.
    """

    sampler: SamplingMethod = option("sde-dpmsolver++", "How to draw images. ddpm is the published way.")
    sampling_steps: int | None = option(
        None,
        "How often the network runs for each image. By default 25 times; with ddpm, once for each diffusion step.",
        within=COUNT,
    )
    first_step: int | None = option(
        None, "The diffusion step to begin at. By default, the noisiest step that the network knows.", within=AMOUNT
    )
    precision: Precision | None = option(
        None, "The number format while drawing. By default bf16 on a GPU and fp32 elsewhere."
    )

    @property
    def passes(self) -> int:
        """How often the network runs for an image."""
        return self.sampling_steps or (USUAL_SCHEDULE if self.sampler == "ddpm" else FEW_STEPS)

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise InputError(f"no sampler {self.sampler!r}; known: {', '.join(SAMPLERS)}")
        check_ranges(self)
        if self.precision is not None:
            check_precision(self.precision)


def check_numbers(what: str, numbers: Sequence[int], end: int) -> None:
    """Raise `InputError` unless `numbers` are distinct, in [0, end), and at least one."""
    wrong = [n for n in numbers if not 0 <= n < end]
    if wrong:
        raise InputError(f"{what} {', '.join(map(str, wrong))}: this network has {what} 0 to {end - 1}")
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError(f"{what} {', '.join(map(str, numbers)) or 'empty'}: give one or more, each once")


@dataclass(frozen=True)
class FeatureSettings:
    """What is read from the UNet for an image.

    Attributes:
        timesteps: diffusion steps t whose noise is added to the image, each in [0, number of training steps).
        blocks: decoder blocks, counted from the deepest.
        inputs: keep a block's input (the concatenation with the skip connection) instead of its output.
        noise_seed: seed of the noise. All images and steps share one noise (`share_noise` in the paper's code).
        noise_draws: number of noise draws that the features are averaged over; 1 in the paper.
    """

    timesteps: tuple[int, ...] = (50, 150, 250)
    blocks: tuple[int, ...] = (5, 6, 7, 8, 12)
    inputs: bool = False
    noise_seed: int = 0
    noise_draws: int = 1

    def __post_init__(self) -> None:
        for what, numbers in (("timesteps", self.timesteps), ("blocks", self.blocks)):
            check_numbers(what, numbers, MOST)
        if not 1 <= self.noise_draws <= MOST_DRAWS:
            raise InputError(f"noise draws: at least 1 and at most {MOST_DRAWS} are possible")
        if not 0 <= self.noise_seed < 2**63:
            raise InputError("noise seed: from 0 to below 2**63 is possible")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values, for `FeatureSettings(**...)` after `tuple` has been applied to lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "FeatureSettings":
        """The inverse of `to_json`; `InputError` where a value has another type or is out of range."""
        return from_json(cls, values)


PRESETS = {
    "current": FeatureSettings(),
    "first-release": FeatureSettings(timesteps=(50, 150, 250, 350), blocks=(6, 7, 8, 9)),
}


SWEPT = (0, 50, 100, 150, 200, 250, 300, 400, 500, 600, 800)
"""The steps, out of 1000, that a search for good ones tries: those of the presets and others that get further apart."""


def choose_settings(
    decoder_blocks: int,
    training_steps: int,
    *,
    preset: str = "current",
    timesteps: Sequence[int] | None = None,
    blocks: Sequence[int] | None = None,
    **rest: Any,
) -> FeatureSettings:
    """A preset, adapted to the network, with what the user overrules.

    A network with another number of decoder blocks than the paper's 18 is read at the same relative depths, and one
    with another number of diffusion steps at the same relative times.

    Args:
        decoder_blocks: of the network at hand.
        training_steps: diffusion steps that it was trained with.
        preset: a key of `PRESETS`.
        timesteps, blocks: instead of the preset's.
        rest: further fields of `FeatureSettings`.

    Raises:
        InputError: unknown preset; blocks or timesteps that are out of range, repeated or none.
    """
    if preset not in PRESETS:
        raise InputError(f"no preset {preset!r}; known: {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    if timesteps is None:
        # With few diffusion steps, some of the preset's become one.
        timesteps = list(dict.fromkeys(round(t * training_steps / 1000) for t in chosen.timesteps))
    if blocks is None:
        blocks = sorted({min(round(b * decoder_blocks / PAPER_BLOCKS), decoder_blocks - 1) for b in chosen.blocks})
    check_numbers("timesteps", timesteps, training_steps)
    check_numbers("blocks", blocks, decoder_blocks)
    return FeatureSettings(timesteps=tuple(timesteps), blocks=tuple(blocks), **rest)


@dataclass(frozen=True)
class DDPMPretrainSettings(TrainingSettings):
    """What the result of DDPM pretraining depends on, beside the images.

    Attributes:
        base_channels: channels of the UNet at full resolution. None: chosen from the image size, as are the next three,
            and those of small images on a CPU.
        multipliers: channels of each level, divided by `base_channels`.
        layers: residual blocks per level.
        attention_levels: how many of the deepest levels have self-attention.
        noise_schedule: ``linear`` (Ho et al. 2020), for 256 pixels and more, or ``cosine`` (Nichol & Dhariwal 2021),
            under which small images stay recognizable for longer.
        min_snr: gamma of the min-SNR weighting of the loss (Hang et al. 2023, section 3.4; they use 5). Almost clean
            images get less weight: their loss is large, and the network needs no understanding of the content to
            reduce it. This helps in short runs. None gives all timesteps the same weight, as Ho et al. do.
    """

    by_machine: ClassVar[tuple[str, ...]] = (
        *TrainingSettings.by_machine,
        *("base_channels", "multipliers", "layers", "attention_levels"),
    )
    useful_images: ClassVar[int | None] = 70_000

    base_channels: int | None = option(
        None,
        "The number of channels at full resolution. By default, it is chosen from the image size, and smaller on a "
        "CPU.",
        within=WIDTH,
    )
    multipliers: tuple[int, ...] | None = option(
        None,
        "The channels of each level as multiples of the base channels, such as 1,2,2. By default, they are chosen like "
        "--base-channels.",
        within=Range(1, 1024),
    )
    layers: int | None = option(
        None, "The number of residual blocks per level. By default, it is chosen like --base-channels.", within=DEPTH
    )
    attention_levels: int | None = option(
        None,
        "How many of the deepest levels have attention. By default, it is chosen like --base-channels.",
        within=AMOUNT,
    )
    noise_schedule: Literal["linear", "cosine"] = option(
        "cosine", "The noise schedule. cosine suits small images, linear suits large ones."
    )
    min_snr: float | None = option(
        None,
        "The gamma of the min-SNR weighting of the loss, such as 5. It helps in short runs. By default, all steps have "
        "the same weight.",
        within=POSITIVE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_schedule not in SCHEDULES:
            raise InputError(f"noise_schedule {self.noise_schedule!r} is unknown; give linear or cosine")

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> "DDPMPretrainSettings":  # noqa: B008
        """The same settings with everything that was left open chosen for the images at `paths` and the machine."""
        basics = self.with_basics(paths, machine)
        assert basics.image_size is not None
        size, given = basics.image_size, (self.base_channels, self.multipliers, self.layers, self.attention_levels)
        shape = choose_shape(size, *given, small=not machine.gpu)
        base = self.base_channels or shape.channels[0] // (self.multipliers or (1,))[0]
        if self.image_size is None:
            size = nearest_size(size, shape.stride)
        return replace(
            basics,
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
