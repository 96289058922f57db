"""What the benchmark scripts share: the machine's name, options, timing, tables, and networks that look trained."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmarks.layouts import LAYOUTS, QUICK_SHARE, SIDE
from frugalseg.backbones.ddpm.backbone import DDPMBackbone
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.support.files import write_json
from frugalseg.support.precision import PRECISIONS

Result = TypeVar("Result")

LSUN_CLASSES = 29


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of our way; the literal is fp32")
    options.add_argument("--threads", type=int, help="of torch on the CPU; without it torch chooses")
    options.add_argument("--repeats", type=int, default=3, help="timed runs; the fastest counts")
    options.add_argument("--quick", action="store_true", help="small sizes: shows that the script works, not the speed")
    options.add_argument("--json", type=Path, help="also write the results to this file")
    return options


def add_layouts(options: argparse.ArgumentParser) -> None:
    """``--layout NAME...``: of which networks the maps are."""
    options.add_argument(
        "--layout", nargs="+", choices=list(LAYOUTS), default=["ddpm"], help="whose maps: one row each in the table"
    )


def only_ddpm(options: argparse.Namespace, flag: str) -> None:
    """End with a message where `flag` is given beside other layouts than that of the diffusion model."""
    if getattr(options, flag) and options.layout != ["ddpm"]:
        raise SystemExit(f"--{flag} is for the layout ddpm alone")


def begin(options: argparse.Namespace) -> torch.device:
    """Apply the options that concern torch as a whole."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return torch.device(options.device)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, of one value that alone."""
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def machine() -> dict[str, Any]:
    """What a figure depends on and a reader must know."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    found = {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


class Clock:
    """Wall-clock and CPU seconds since it was made; CPU seconds of all threads stay comparable on a busy machine."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Seconds on the wall and on the CPU."""
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def timed(run: Callable[[], Result], repeats: int, device: torch.device) -> tuple[float, float, Result]:
    """Least wall-clock and least CPU seconds of some runs, a GPU's work included; and what the last one gave."""
    times = []
    for _ in range(repeats):
        _wait(device)
        clock = Clock()
        result = run()
        _wait(device)
        times.append(clock.read())
    return min(wall for wall, _ in times), min(cpu for _, cpu in times), result


def fastest(run: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest of some runs, after one that does not count."""
    run()
    return timed(run, repeats, device)[0]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(title: str, rows: Sequence[Mapping[str, Any]], options: argparse.Namespace, **rest: Any) -> None:
    """Print the machine and a markdown table; write both as JSON where the options ask for it."""
    where = machine()
    print(f"\n{title} ({', '.join(f'{key} {value}' for key, value in where.items())})\n")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |")
    for key, value in rest.items():
        print(f"\n{key}: {json.dumps(value)}")
    if options.json:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
        write_json(options.json, {"title": title, "machine": where, "options": settings, "rows": list(rows), **rest})


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@torch.no_grad()
def trained_looking(channels: Sequence[int], classes: int, members: int, device: torch.device) -> PixelClassifier:
    """A classifier with weights and running statistics of a trained one's order of magnitude, in evaluation mode."""
    classifier = PixelClassifier(channels, classes, members).eval()
    generator = torch.Generator().manual_seed(1)
    for linear in (classifier.linear1, classifier.linear2, classifier.linear3):
        drawn = torch.randn(linear.weight.shape, generator=generator)
        linear.weight.copy_(drawn / linear.weight.shape[1] ** 0.5)
    for norm in (classifier.norm1, classifier.norm2):
        norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=generator).abs())
        norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=generator) + 0.5)
    return classifier.to(device)


def lsun_backbone(device: torch.device, dtype: torch.dtype, *, quick: bool = False) -> DDPMBackbone:
    """The published LSUN-256 network, filled by the rule of the golden checks; preset ``current``: 3 steps, 5 blocks.

    Args:
        device: where it runs.
        dtype: of its weights and activations.
        quick: the tiny golden network instead, which has the same kinds of layers.
    """
    from frugalseg.backbones.ddpm.backbone import lay_out
    from frugalseg.backbones.ddpm.decoder import block_shapes
    from frugalseg.backbones.ddpm.settings import choose_settings
    from frugalseg.backbones.ddpm.source import new_scheduler

    unet = lay_out(deepcopy(_published_unet(quick)), dtype=dtype, device=device)
    backbone = DDPMBackbone(unet, new_scheduler(), choose_settings(len(block_shapes(unet)), 1000))
    return backbone.eval().requires_grad_(False).to(device)


@cache
def _published_unet(quick: bool) -> Any:
    """The network of `lsun_backbone`, on the CPU in float32; to fill half a billion weights takes half a minute."""
    from diffusers import UNet2DModel

    from frugalseg.backbones.ddpm.checkpoint import convert, read_layout, unet_config

    golden = import_module("tests.golden.golden")
    name = "guided_diffusion_tiny" if quick else "guided_diffusion_lsun256"
    published = {key: torch.from_numpy(values) for key, values in golden.tensors(golden.load(name)).items()}
    layout, width = read_layout(published, name), 16 if quick else 64
    unet = UNet2DModel(**unet_config(layout, SIDE // QUICK_SHARE if quick else SIDE, width))
    unet.load_state_dict(convert(published, layout, width, False, name))
    return unet


def images(count: int, backbone: DDPMBackbone) -> Tensor:
    """Random images (count, 3, H, W) in [0, 1] of the network's own size, on its device."""
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, 3, *backbone.native_size, generator=generator).to(backbone.device)
