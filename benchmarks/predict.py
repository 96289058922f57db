"""Prediction against the literal method, on the same weights in the same process.

The classifier stage alone, on random maps in the layout of the paper's networks (--layout); with --unet the whole
image, on the published diffusion model's architecture. The literal way runs the whole UNet step by step, upsamples and
concatenates every map, and applies the members one after another. With --batch also images a second, and the share of
the matmul peak that the UNet reaches.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import literal
from benchmarks.common import (
    LSUN_CLASSES,
    add_layouts,
    begin,
    fastest,
    images,
    lsun_backbone,
    only_ddpm,
    parser,
    report,
    timed,
    trained_looking,
)
from benchmarks.layouts import Layout, chosen_layout
from frugalseg.backbones.ddpm.backbone import DDPMBackbone, compile_blocks
from frugalseg.backbones.ddpm.decoder import walk
from frugalseg.backbones.ddpm.noise import shared_noise
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.support.precision import dtype_of


def classifier_stage(layout: Layout, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """From maps to labels."""
    maps = layout.random(device)
    classifier = trained_looking(maps.channels, LSUN_CLASSES, options.members, device)
    dtype = dtype_of(options.precision)
    ours = maps.to(dtype)

    def literally() -> literal.LiteralPrediction:
        return literal_labels(classifier, maps)

    def in_our_way() -> PixelPrediction:
        return classifier.predictor(dtype).predict(ours)

    what = f"classifier stage, {layout.title}, {layout.dim} channels"
    return compare(what, literally, in_our_way, options, device)


@torch.inference_mode()
def whole_image(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """From an image to labels."""
    dtype = dtype_of(options.precision)
    backbone = lsun_backbone(device, torch.float32, quick=options.quick)
    image = images(1, backbone)
    classifier = trained_looking([tap.channels for tap in backbone.taps], LSUN_CLASSES, options.members, device)
    same = dtype == torch.float32
    fast = backbone if same else lsun_backbone(device, dtype, quick=options.quick)

    as_published = nn.Module.to(deepcopy(backbone.unet), memory_format=torch.contiguous_format)

    def literally() -> literal.LiteralPrediction:
        return literal_labels(classifier, literal_maps(backbone, as_published, image))

    def in_our_way() -> PixelPrediction:
        return classifier.predictor(dtype).predict(fast(image))

    return compare("whole image, LSUN-256 network", literally, in_our_way, options, device)


def literal_labels(classifier: PixelClassifier, maps: FeatureMaps) -> literal.LiteralPrediction:
    """The literal classifier stage with the weights of `classifier`."""
    models = [classifier.member(place) for place in range(classifier.members)]
    return literal.predict(models, literal.concatenate(maps.maps, maps.size), maps.size)


def literal_maps(backbone: DDPMBackbone, unet: Any, image: Tensor) -> FeatureMaps:
    """The taps of one image, step by step, the whole decoder run each time.

    Args:
        backbone: says what is tapped and how images are noised.
        unet: its network; in the usual memory format, as the published code runs it.
        image: (1, 3, H, W) in [0, 1].
    """
    settings, size = backbone.settings, (image.shape[2], image.shape[3])
    noisy, steps = backbone.noised(image, shared_noise(settings.noise_seed, 1, size))
    noisy = noisy.contiguous(memory_format=torch.contiguous_format)
    taken = []
    for x_t, t in zip(noisy.split(1), steps.split(1), strict=True):
        blocks = [leaving for _, leaving in walk(unet, x_t, t)]
        taken += [blocks[number] for number in settings.blocks]
    return FeatureMaps(taken, size)


def compare(
    what: str,
    literally: Callable[[], literal.LiteralPrediction],
    in_our_way: Callable[[], PixelPrediction],
    options: argparse.Namespace,
    device: torch.device,
) -> dict[str, Any]:
    """A row: seconds of both ways, their ratio, and how the answers differ."""
    slow, slow_cpu, expected = timed(literally, options.literal_repeats, device)
    fast, fast_cpu, found = timed(in_our_way, options.repeats, device)
    return {
        "what": what,
        "literal s": slow,
        "ours s": fast,
        "times faster": slow / fast,
        "times less CPU": slow_cpu / fast_cpu,
        "labels that differ": int((expected.mask != found.mask.long()).sum()),
        "largest uncertainty difference": float((expected.uncertainty - found.uncertainty).abs().max()),
    }


@torch.inference_mode()
def throughput(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Images a second in batches, and the share of the measured matmul peak that the UNet part reaches."""
    from torch.utils.flop_counter import FlopCounterMode

    dtype = dtype_of(options.precision)
    backbone = lsun_backbone(device, dtype, quick=options.quick)
    batch = images(options.batch, backbone)
    # Before compiling, which turns products into kernels of its own that the counter does not know.
    with FlopCounterMode(display=False) as counter:
        backbone(batch)
    if options.compile:
        compile_blocks(backbone.unet)
    classifier = trained_looking([tap.channels for tap in backbone.taps], LSUN_CLASSES, options.members, device)
    predictor = classifier.predictor(dtype)

    def whole() -> None:
        maps = backbone(batch)
        for place in range(len(maps)):
            predictor.predict(maps[place])

    unet_seconds = fastest(lambda: backbone(batch), options.repeats, device)
    seconds = fastest(whole, options.repeats, device)
    peak = matmul_peak(dtype, device, side=1024 if options.quick or device.type == "cpu" else 8192)
    rate = counter.get_total_flops() / unet_seconds
    return {
        "batch": options.batch,
        "images/s": options.batch / seconds,
        "images/s, UNet alone": options.batch / unet_seconds,
        "UNet TFLOP/s": rate / 1e12,
        "matmul peak TFLOP/s": peak / 1e12,
        "share of the peak": rate / peak,
    }


def matmul_peak(dtype: torch.dtype, device: torch.device, side: int) -> float:
    """FLOP/s of a large square matrix product."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / fastest(lambda: left @ right, 10, device)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--members", type=int, default=10, help="classifiers in the ensemble")
    options.add_argument("--literal-repeats", type=int, default=2, help="timed runs of the literal method")
    options.add_argument("--unet", action="store_true", help="also the whole image, UNet included")
    options.add_argument("--batch", type=int, default=0, help="also images a second in batches of so many")
    options.add_argument("--compile", action="store_true", help="compile the UNet's blocks for --batch")
    add_layouts(options)
    chosen = options.parse_args()
    only_ddpm(chosen, "unet")
    only_ddpm(chosen, "batch")
    device = begin(chosen)
    rows = [classifier_stage(chosen_layout(name, quick=chosen.quick), chosen, device) for name in chosen.layout]
    if chosen.unet:
        rows.append(whole_image(chosen, device))
    rest = {"throughput": throughput(chosen, device)} if chosen.batch else {}
    report(f"Prediction, {chosen.members} members, {chosen.precision}", rows, chosen, **rest)


if __name__ == "__main__":
    main()
