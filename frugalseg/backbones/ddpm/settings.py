"""Where and when the features of a diffusion UNet are read, and the paper's two presets."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from frugalseg.errors import InputError

PAPER_BLOCKS = 18  # decoder blocks of the LSUN and FFHQ-256 networks, which the presets number


@dataclass(frozen=True)
class FeatureSettings:
    """What is read from the UNet for an image.

    Attributes:
        timesteps: diffusion steps t at which the image is noised, each in [0, number of training steps).
        blocks: decoder blocks, counted from the deepest.
        inputs: keep a block's input (the concatenation with the skip connection) instead of its output.
        noise_seed: seed of the noise, which serves every image and step (`share_noise` in the paper's code).
        noise_draws: features are averaged over so many draws of the noise; 1 in the paper.
    """

    timesteps: tuple[int, ...] = (50, 150, 250)
    blocks: tuple[int, ...] = (5, 6, 7, 8, 12)
    inputs: bool = False
    noise_seed: int = 0
    noise_draws: int = 1

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values, for `FeatureSettings(**...)` after `tuple` has been applied to lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "FeatureSettings":
        """The inverse of `to_json`."""
        return cls(**{**values, "timesteps": tuple(values["timesteps"]), "blocks": tuple(values["blocks"])})


PRESETS = {
    "current": FeatureSettings(),
    "first-release": FeatureSettings(timesteps=(50, 150, 250, 350), blocks=(6, 7, 8, 9)),
}


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
        timesteps = [round(t * training_steps / 1000) for t in chosen.timesteps]
    if blocks is None:
        blocks = sorted({min(round(b * decoder_blocks / PAPER_BLOCKS), decoder_blocks - 1) for b in chosen.blocks})
    check_numbers("timesteps", timesteps, training_steps)
    check_numbers("blocks", blocks, decoder_blocks)
    if rest.get("noise_draws", 1) < 1:
        raise InputError("noise draws: at least 1 is needed")
    return FeatureSettings(timesteps=tuple(timesteps), blocks=tuple(blocks), **rest)


def check_numbers(what: str, numbers: Sequence[int], end: int) -> None:
    """Raise `InputError` unless `numbers` are distinct, in [0, end), and at least one."""
    wrong = [n for n in numbers if not 0 <= n < end]
    if wrong:
        raise InputError(f"{what} {', '.join(map(str, wrong))}: this network has {what} 0 to {end - 1}")
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError(f"{what} {', '.join(map(str, numbers)) or 'empty'}: give one or more, each once")
