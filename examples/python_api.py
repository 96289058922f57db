"""What a backbone knows of a pixel: features of two images, and where the second resembles one pixel of the first.

    python examples/python_api.py -o similar.html
    python examples/python_api.py first.jpg second.jpg --pixel 120 80 --checkpoint NETWORK -o similar.html

The page shows the first image with the pixel marked, the second image, and the resemblance. No label is involved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from frugalseg import FeatureMaps, load_backbone
from frugalseg.data.images import read_image
from frugalseg.data.toy.dataset import toy_example
from frugalseg.report.page import Figure, Page
from frugalseg.report.pictures import Pixels, uncertainty_map


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if len(options.images) not in (0, 2):
        parser().error("give two images, or none")
    images = [read_image(path) for path in options.images] or [toy_example(3, index).image for index in (5, 9)]
    backbone = load_backbone("ddpm", options.checkpoint)
    print("a pixel's features:", ", ".join(f"{tap.name} ({tap.channels})" for tap in backbone.taps))

    first, second = (backbone(as_batch(image, backbone.native_size)).on(image.shape[:2]) for image in images)
    height, width = images[0].shape[:2]
    x, y = options.pixel or (width // 2, height // 2)
    resemblance = torch.cosine_similarity(first.at(torch.tensor([y * width + x])), every_pixel(second))
    heat = resemblance.clamp_min(0).reshape(images[1].shape[:2]).numpy()
    print(f"pixel ({x}, {y}): {first.dim} numbers; best match {heat.max():.3f}, median {np.median(heat):.3f}")

    marked = images[0].copy()
    marked[y, :], marked[:, x] = 255, 255
    page = Page("What resembles this pixel?", lead="The cross marks the pixel; bright is alike.")
    page.figures(["first", "second", "resemblance"], [Figure([marked, images[1], uncertainty_map(heat)])])
    print(f"pictures: {page.save(options.out)}")


def as_batch(image: Pixels, size: tuple[int, int]) -> torch.Tensor:
    values = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(values, size, mode="bilinear", align_corners=False, antialias=True)


def every_pixel(maps: FeatureMaps) -> torch.Tensor:
    return maps.at(torch.arange(maps.size[0] * maps.size[1]))


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="Where a second image resembles one pixel of a first.")
    result.add_argument("images", type=Path, nargs="*", help="two images; toy images without them")
    result.add_argument("--pixel", type=int, nargs=2, metavar=("X", "Y"), help="of the first image; its middle")
    result.add_argument("--checkpoint", default="builtin:toy_ddpm", help="the diffusion model")
    result.add_argument("-o", "--out", type=Path, default=Path("resemblance.html"), help="page to write")
    return result


if __name__ == "__main__":
    main()
