"""Images drawn and labelled, against the literal way: 1000 ancestral steps, image by image, then the whole UNet again.

Same network (the LSUN-256 layout), same weights, same process. The literal way draws one image at a time in float32 and
labels it with upsampled features, one classifier after another; it is timed on --literal-steps steps and scaled to
1000. Our way is that of `frugalseg generate`: --batch images at once, with --sampler and --sampling-steps, drawn on a
GPU in bf16 unless --precision says otherwise, and labelled in float32, on a GPU in TF32. The pictures are not the same
ones: what fewer steps cost in quality is a question for a recipe.
"""

import argparse
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from benchmarks.common import LSUN_CLASSES, begin, lsun_backbone, parser, report, timed, trained_looking
from benchmarks.predict import literal_labels, literal_maps
from frugalseg.backbones.ddpm.backbone import DDPMBackbone
from frugalseg.backbones.ddpm.denoiser import Denoiser
from frugalseg.backbones.ddpm.samplers import sample
from frugalseg.backbones.ddpm.settings import SAMPLERS, DDPMGeneration
from frugalseg.backbones.generator import ImageGenerator
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.data.classes import ClassTable
from frugalseg.segmenter import Segmenter
from frugalseg.support.precision import tf32_products
from frugalseg.synthetic.generation import labelled_at_once
from frugalseg.synthetic.sources import GeneratedImages, generator_of

PUBLISHED_STEPS = 1000


@torch.inference_mode()
def literally(
    backbone: DDPMBackbone, classifier: PixelClassifier, options: argparse.Namespace, device: torch.device
) -> tuple[float, float]:
    """Seconds to draw an image (scaled from a few steps), and to label it."""
    as_published = nn.Module.to(deepcopy(backbone.unet), memory_format=torch.contiguous_format)
    denoise, few = Denoiser(as_published, backbone.scheduler), options.literal_steps
    steps, _, image = timed(lambda: sample(denoise, [0], steps=few, method="ddpm"), options.repeats, device)
    image = image.to(device)
    labels, _, _ = timed(
        lambda: literal_labels(classifier, literal_maps(backbone, as_published, image)), options.repeats, device
    )
    return steps * PUBLISHED_STEPS / few, labels


def generator(segmenter: Segmenter, options: argparse.Namespace) -> ImageGenerator:
    """What draws in our way."""
    # Weights by a rule know no step at all; to look for one that they know is no part of drawing an image.
    chosen = DDPMGeneration(options.sampler, options.sampling_steps, PUBLISHED_STEPS - 1, options.precision)
    return generator_of(segmenter.backbone, vars(chosen))


def in_our_way(
    segmenter: Segmenter, drawing_with: ImageGenerator, options: argparse.Namespace, device: torch.device
) -> tuple[float, float]:
    """Seconds an image to draw a batch, and to label it."""
    source = GeneratedImages(drawing_with, options.batch)
    numbers = range(options.batch)
    source.pictures(numbers)  # the first call chooses kernels
    drawing, _, pictures = timed(lambda: source.pictures(numbers), options.repeats, device)
    images = [picture.image for picture in pictures]

    at_once = labelled_at_once(segmenter, options.batch)

    def label() -> list[Any]:
        return [found.mask.cpu() for found in segmenter.predict_positions(images, batch_size=at_once)]

    with tf32_products(device):
        labelling, _, _ = timed(label, options.repeats, device)
    return drawing / options.batch, labelling / options.batch


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--batch", type=int, default=8, help="images at once, in our way")
    options.add_argument("--sampler", choices=SAMPLERS, default=DDPMGeneration().sampler, help="of our way")
    options.add_argument("--sampling-steps", type=int, help="of our way; without it the sampler's own number")
    options.add_argument("--literal-steps", type=int, default=4, help="steps of the literal way that are timed")
    options.set_defaults(precision=None)
    chosen = options.parse_args()
    device = begin(chosen)
    backbone = lsun_backbone(device, torch.float32, quick=chosen.quick)
    classifier = trained_looking([tap.channels for tap in backbone.taps], LSUN_CLASSES, chosen.members, device)
    segmenter = Segmenter(backbone, device=device, members=chosen.members, smoothing=0)
    segmenter.classes, segmenter.classifier = ClassTable.from_ids(range(LSUN_CLASSES)), classifier
    drawing_with = generator(segmenter, chosen)
    theirs = literally(backbone, classifier, chosen, device)
    ours = in_our_way(segmenter, drawing_with, chosen, device)
    rows = [
        {"what": what, "literal s": a, "ours s": b, "literal / ours": a / b, "ours, images an hour": 3600 / b}
        for what, a, b in zip(
            ("drawing an image", "labelling it", "both"), (*theirs, sum(theirs)), (*ours, sum(ours)), strict=True
        )
    ]
    extrapolated = f"literal drawing timed on {chosen.literal_steps} of {PUBLISHED_STEPS} steps"
    drawn_in = drawing_with.settings()["precision"]
    report(f"Labelled images, {chosen.sampler}, drawn in {drawn_in}; {extrapolated}", rows, chosen)


if __name__ == "__main__":
    main()
