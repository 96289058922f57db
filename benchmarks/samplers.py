"""Samplers and numbers of steps: seconds an image, and how far the images are from real ones (KID).

Features for the distance need no download: those of a network given as FAMILY=CHECKPOINT, such as a SwAV network
trained on the same kind of images, or of a ResNet-18 with random weights, always the same ones. The real images are
compared with one another first: halves of the folder, the distance that a perfect generator would have.

    python -m benchmarks.samplers --checkpoint street_ddpm --images PHOTOS --count 200 --features swav=street_swav

With --keep FOLDER the images stay there, and those of an earlier call are taken instead of drawn: a comparison of
students (`frugalseg benchmark recipes/street_students.yaml -o OUT`) keeps its own in OUT/drawn.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import begin, parser, report
from frugalseg.backbones import Backbone, load_backbone
from frugalseg.backbones.ddpm.settings import SAMPLERS
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import read_image
from frugalseg.experiments.distance import kernel_distance, pooled_features
from frugalseg.support.errors import InputError
from frugalseg.synthetic.drawn import draw_images, drawing_name
from frugalseg.synthetic.sources import GeneratedImages, generator_of


def ways(texts: list[str]) -> list[tuple[str, int]]:
    """``ddim:10,25`` as ("ddim", 10) and ("ddim", 25)."""
    found: list[tuple[str, int]] = []
    for text in texts:
        sampler, _, steps = text.partition(":")
        if sampler not in SAMPLERS or not steps:
            raise SystemExit(f"{text}: give SAMPLER:STEPS,STEPS with a sampler of {', '.join(SAMPLERS)}")
        found += [(sampler, int(count)) for count in steps.split(",")]
    return found


def features_of(text: str | None) -> Backbone:
    """The network whose features are compared."""
    if text is None:
        return load_backbone("timm", model="resnet18", pretrained=False)
    family, _, checkpoint = text.partition("=")
    return load_backbone(family, checkpoint)


def drawn(
    backbone: Backbone, sampler: str, steps: int, options: argparse.Namespace, folder: Path
) -> tuple[Path, float | None]:
    """The folder of the first images of the seed 0, and seconds an image; None where an earlier call has drawn some."""
    chosen = {
        "sampler": sampler,
        "sampling_steps": steps,
        "first_step": options.first_step,
        "precision": options.precision,
    }
    generator = generator_of(backbone, chosen)
    place = folder / drawing_name(backbone, generator)
    there = place.is_dir()
    began = time.perf_counter()
    draw_images(GeneratedImages(generator, options.count), place, batch_size=options.batch)
    return place, None if there else (time.perf_counter() - began) / options.count


def measured(options: argparse.Namespace, backbone: Backbone, folder: Path) -> tuple[int, list[dict[str, Any]]]:
    """The number of real images that are compared with, and the rows of the table."""
    network = features_of(options.features).to(options.device)
    real = pooled_features(network, (read_image(path) for path in list_images(options.images)[: 4 * options.count]))
    own = kernel_distance(real[::2], real[1::2])
    rows = [{"way": "real images, halves", "steps": 0, "s an image": 0.0, "KID": own[0], "KID ±": own[1]}]
    for sampler, steps in ways(options.ways):
        place, seconds = drawn(backbone, sampler, steps, options, folder)
        images = (read_image(path) for path in list_images(place)[: options.count])
        mean, spread = kernel_distance(real, pooled_features(network, images))
        rows.append({"way": sampler, "steps": steps, "s an image": seconds, "KID": mean, "KID ±": spread})
        print(rows[-1], flush=True)
    return len(real), rows


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--checkpoint", default="builtin:toy_ddpm", help="of the diffusion model")
    options.add_argument("--images", type=Path, required=True, help="folder of real images")
    options.add_argument("--features", help="FAMILY=CHECKPOINT; without it a ResNet-18 with random weights")
    options.add_argument(
        "--ways", nargs="+", default=["dpmsolver++:10,25,50", "ddim:10,25,50"], help="SAMPLER:STEPS,..."
    )
    options.add_argument("--first-step", type=int, help="diffusion step to begin at")
    options.add_argument("--count", type=int, default=200, help="images of each way")
    options.add_argument("--batch", type=int, default=32, help="images at once")
    options.add_argument("--keep", type=Path, help="folder for the images")
    chosen = options.parse_args()
    device = begin(chosen)
    if chosen.quick:
        chosen.count, chosen.ways = 6, ["dpmsolver++:2"]
    try:
        backbone = load_backbone("ddpm", chosen.checkpoint).to(device)
        with TemporaryDirectory() as temporary:
            real, rows = measured(chosen, backbone, chosen.keep or Path(temporary))
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    report(f"samplers, {chosen.count} images, {real} real ones", rows, chosen)


if __name__ == "__main__":
    main()
