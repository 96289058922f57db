"""Images drawn and labelled by a StyleGAN2 (DatasetGAN), against the literal way and against a diffusion model.

The generator has the layout of FFHQ-256, filled by the rule of the golden checks. The literal way draws one image at a
time, upsamples all of its convolutions' maps to the size of the image, and applies the members one after another, in
float32. Our way is that of `frugalseg generate`: --batch images in one pass, labelled from the maps of this pass, in
the format that --precision says. With --ddpm, the diffusion model of the LSUN-256 layout draws and labels images of the
same size, as DatasetDDPM does it, in our way (`benchmarks.generate`).
"""

import argparse
from importlib import import_module
from typing import Any

import torch

from benchmarks.common import LSUN_CLASSES, begin, lsun_backbone, parser, report, timed, trained_looking
from benchmarks.generate import generator as ddpm_generator
from benchmarks.generate import in_our_way as ddpm_in_our_way
from benchmarks.literal import LiteralPrediction
from benchmarks.predict import literal_labels
from frugalseg.backbones.base import Backbone
from frugalseg.backbones.ddpm.settings import DDPMGeneration
from frugalseg.backbones.stylegan2.backbone import StyleGAN2Backbone
from frugalseg.backbones.stylegan2.checkpoints.networks import generator_of
from frugalseg.backbones.stylegan2.generator import StyleGAN2Generator
from frugalseg.backbones.stylegan2.settings import StyleGAN2Generation, StyleGAN2Options
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.classes import ClassTable
from frugalseg.segmenter import Segmenter
from frugalseg.support.precision import tf32_products
from frugalseg.synthetic.generation import predictions
from frugalseg.synthetic.sources import GeneratedImages, seed_of


def stylegan_backbone(device: torch.device, precision: Any, *, quick: bool = False) -> StyleGAN2Backbone:
    """The published network with all of its convolutions tapped.

    Args:
        device: where it runs.
        precision: of its synthesis.
        quick: the golden network of 64 x 64 instead.
    """
    golden = import_module("tests.golden.golden")
    expected = golden.load("stylegan2_ada_64" if quick else "stylegan2_ada_256")
    of_generator = [entry for entry in expected["tensors"] if entry[0].startswith("G_ema.")]
    arrays = golden.tensors({**expected, "tensors": of_generator})
    tensors = {name.removeprefix("G_ema."): torch.from_numpy(values) for name, values in arrays.items()}
    network = generator_of(tensors, "golden").eval()
    backbone = StyleGAN2Backbone(network, StyleGAN2Options(precision=precision))
    return backbone.eval().requires_grad_(False).to(device)


def segmenter_on(backbone: Backbone, classifier: PixelClassifier, device: torch.device) -> Segmenter:
    """A model with a classifier that looks trained."""
    segmenter = Segmenter(backbone, device=device, members=classifier.members, smoothing=0)
    segmenter.classes, segmenter.classifier = ClassTable.from_ids(range(LSUN_CLASSES)), classifier
    return segmenter


@torch.inference_mode()
def literally(
    backbone: StyleGAN2Backbone, classifier: PixelClassifier, options: argparse.Namespace, device: torch.device
) -> tuple[float, float, LiteralPrediction]:
    """Seconds to draw an image and to label it, and the labels."""
    generator = StyleGAN2Generator(backbone, StyleGAN2Generation(noise="constant"))
    drawing, _, drawn = timed(lambda: generator.draw([seed_of(0, 0)]), options.repeats, device)
    assert drawn.maps is not None
    maps = drawn.maps
    labelling, _, labels = timed(lambda: literal_labels(classifier, maps), options.repeats, device)
    return drawing, labelling, labels


def in_our_way(
    segmenter: Segmenter, backbone: StyleGAN2Backbone, options: argparse.Namespace, device: torch.device
) -> tuple[float, float, PixelPrediction]:
    """Seconds an image to draw a batch, and to label it; and the labels of the first."""
    source = GeneratedImages(StyleGAN2Generator(backbone, StyleGAN2Generation(noise="constant")), options.batch)
    numbers = range(options.batch)
    source.pictures(numbers)  # the first call chooses kernels
    drawing, _, pictures = timed(lambda: source.pictures(numbers), options.repeats, device)

    def label() -> list[PixelPrediction]:
        found = list(predictions(segmenter, source, pictures, options.batch))
        for each in found:
            each.mask.cpu()
        return found

    with tf32_products(device):
        labelling, _, found = timed(label, options.repeats, device)
    return drawing / options.batch, labelling / options.batch, found[0]


def diffusion(options: argparse.Namespace, device: torch.device) -> tuple[float, float]:
    """Seconds an image of a diffusion model, to draw it and to label it."""
    backbone = lsun_backbone(device, torch.float32, quick=options.quick)
    classifier = trained_looking([tap.channels for tap in backbone.taps], LSUN_CLASSES, options.members, device)
    segmenter = segmenter_on(backbone, classifier, device)
    return ddpm_in_our_way(segmenter, ddpm_generator(segmenter, options), options, device)


def row(way: str, drawing: float, labelling: float, unit: float) -> dict[str, Any]:
    """A line of the table; `unit` is the rate of which the others are multiples."""
    rate = 1 / (drawing + labelling)
    return {"way": way, "drawing, s": drawing, "labeling, s": labelling, "images/s": rate, "times": rate / unit}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--batch", type=int, default=8, help="images at once, in our way")
    options.add_argument("--ddpm", action="store_true", help="also the diffusion model, which takes minutes an image")
    chosen = options.parse_args()
    device = begin(chosen)
    plain = stylegan_backbone(device, "fp32", quick=chosen.quick)
    classifier = trained_looking([tap.channels for tap in plain.taps], LSUN_CLASSES, chosen.members, device)
    fast = plain if chosen.precision == "fp32" else stylegan_backbone(device, chosen.precision, quick=chosen.quick)
    drawing, labelling, expected = literally(plain, classifier, chosen, device)
    ours, labels, found = in_our_way(segmenter_on(fast, classifier, device), fast, chosen, device)
    unit = 1 / (drawing + labelling)
    rows = [row("StyleGAN2, literal", drawing, labelling, unit), row("StyleGAN2, ours", ours, labels, unit)]
    if chosen.ddpm:
        chosen.sampler, chosen.sampling_steps = DDPMGeneration().sampler, 2 if chosen.quick else None
        rows.append(row("DDPM, ours", *diffusion(chosen, device), unit))
    differing = int((expected.mask != found.mask.long().cpu().view_as(expected.mask)).sum())
    report(f"Labelled images, drawn in {chosen.precision}", rows, chosen, differing_labels=differing)


if __name__ == "__main__":
    main()
