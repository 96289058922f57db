"""A published guided-diffusion checkpoint as a diffusers pipeline folder, checked before it is trusted.

    python examples/convert_guided_diffusion.py lsun_cat.pt -o lsun_cat
    python examples/convert_guided_diffusion.py 64x64.pt -o small --image-size 64 --head-channels 64

The folder opens in diffusers itself (``DDPMPipeline.from_pretrained``) and anywhere frugalseg takes a checkpoint.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from frugalseg import load_backbone
from frugalseg.backbones.ddpm.convert import convert_checkpoint


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    convert_checkpoint(
        options.checkpoint, options.out, image_size=options.image_size, head_channels=options.head_channels
    )

    # The same images through the file and through the folder must give the same features.
    taps = {"timesteps": (50,), "blocks": (0, 1)}
    file = load_backbone(
        "ddpm", options.checkpoint, image_size=options.image_size, head_channels=options.head_channels, **taps
    )
    folder = load_backbone("ddpm", options.out, **taps)
    images = torch.rand(1, 3, *file.native_size, generator=torch.Generator().manual_seed(0))
    for tap, before, after in zip(file.taps, file(images).maps, folder(images).maps, strict=True):
        difference = (before - after).abs().max().item()
        if difference > 1e-5:
            raise SystemExit(f"{tap.name}: the converted network differs by {difference:.1e}")
        print(f"{tap.name}: {tuple(before.shape[1:])}, equal")

    weights = sum(weight.numel() for weight in folder.parameters())
    print(f"{weights / 1e6:.1f} million weights in {options.out}; next: frugalseg fit DATA --checkpoint {options.out}")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="A published .pt file as a diffusers folder.")
    result.add_argument("checkpoint", type=Path, help="such as lsun_cat.pt")
    result.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    result.add_argument("--image-size", type=int, default=256, help="side of the images it was trained on")
    result.add_argument("--head-channels", type=int, default=64, help="channels of an attention head")
    return result


if __name__ == "__main__":
    main()
