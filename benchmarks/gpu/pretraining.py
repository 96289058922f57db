"""Networks of a recipe trained for as long as there is time, and the recipe's comparison on what they have learnt.

The steps of each network are chosen from the rate that it reaches on this machine, so that its learning rate ends where
it should when its time is up. The weights are left in half precision in files under 16 MB beside the results.
"""

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file

from benchmarks.common import machine
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.networks import TrainingFacts, folders_of, with_places
from frugalseg.experiments.recipe import Recipe, load_recipe, parse_recipe
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.settings import RunOptions
from frugalseg.support.files import write_json
from frugalseg.training.run_folder import RunFolder

PROBE = 60
"""Steps after which the rate is known."""
SPARE = 0.06
"""Share of a network's time that is kept for saving it and drawing pictures."""
COMPARISON = 45
"""Seconds that are kept for the comparison."""
QUICK_NETWORKS: dict[str, dict[str, Any]] = {
    "ddpm": {"base_channels": 8, "multipliers": [1, 2], "layers": 1, "attention_levels": 0},
    "mae": {"patch": 4, "width": 64, "depth": 2, "decoder_width": 32, "decoder_depth": 1},
}


def main() -> None:
    """Train, compare, and write the result after each step."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--recipe", type=Path, help="whose networks are trained, and what is compared")
    options.add_argument("--data", type=Path, help="its data folder")
    options.add_argument("--seconds", type=float, required=True, help="for everything")
    options.add_argument("--work", type=Path, required=True, help="folder for networks and comparison")
    options.add_argument("--json", type=Path, required=True, help="where the result goes")
    options.add_argument("--device", default="cuda", help="cuda or cpu")
    options.add_argument("--workers", type=int, default=10, help="processes that prepare batches")
    options.add_argument("--quick", action="store_true", help="two tiny networks on built-in images")
    chosen = options.parse_args()
    until = time.monotonic() + chosen.seconds
    recipe = quick_recipe(chosen.work) if chosen.quick else load_recipe(chosen.recipe, data=chosen.data, runs=1)
    result: dict[str, Any] = {"title": recipe.title, "machine": machine(), "networks": [], "rows": []}
    for place, name in enumerate(recipe.networks):
        share = (until - time.monotonic() - COMPARISON) / (len(recipe.networks) - place)
        result["networks"].append(train(name, recipe, share, chosen))
        write_json(chosen.json, result)
        leave_weights(chosen.work / "networks" / name, name, chosen.json.parent / "weights")
    places = {name: str(chosen.work / "networks" / name) for name in recipe.networks}
    compared = run_comparison(with_places(recipe, places), chosen.work / "comparison", device=chosen.device)
    result["rows"] = compared.to_json()["rows"]
    write_json(chosen.json, result)


def train(name: str, recipe: Recipe, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Train a network for about so many seconds; what that took."""
    started, network, place = time.monotonic(), recipe.networks[name], options.work / "networks" / name
    settings, images = network.training_settings(name), folders_of(recipe, name, options.work)
    run = RunOptions(options.device, workers=options.workers, log_steps=20, picture_minutes=None)
    pretrain(network.family, images, place, replace(settings, steps=PROBE), run)
    rate = RunFolder(place).last_progress()["images_per_second"]
    left = max(1.0, seconds * (1 - SPARE) - (time.monotonic() - started))
    steps = PROBE + max(1, int(left * rate / settings.images_per_step))
    if options.quick:
        steps = min(steps, 2 * PROBE)
    pretrain(network.family, images, place, replace(settings, steps=steps), replace(run, max_minutes=left / 60))
    facts = TrainingFacts.of(str(place))
    assert facts is not None
    progress = RunFolder(place).last_progress()
    return {"name": name, **asdict(facts), "place": place.name, "steps": steps, **progress}


def leave_weights(network: Path, name: str, folder: Path) -> None:
    """Write all weights of a network's folder in half precision, in files under 16 MB."""
    folder.mkdir(exist_ok=True)
    for path in sorted(network.rglob("*.safetensors")):
        tensors: dict[str, torch.Tensor] = load_file(path)
        halves = {key: values.half() if values.is_floating_point() else values for key, values in tensors.items()}
        save_torch_state_dict(halves, folder, filename_pattern=f"{name}{{suffix}}.safetensors", max_shard_size="15MB")


def quick_recipe(work: Path) -> Recipe:
    """Two tiny networks and their features on a few built-in images, which are written below `work`."""
    for part, count, seed in (("train", 3, 1), ("test", 2, 2)):
        write_toy_folder(work / "data" / part, count, seed)
    settings: dict[str, Any] = {"image_size": [48, 48], "batch_size": 4, "precision": "fp32"}
    return parse_recipe(
        {
            "title": "dry run",
            "data": {"kind": "folder", "path": str(work / "data")},
            "runs": 1,
            "networks": {
                f"quick_{family}": {"family": family, "images": ["train/images"], "settings": {**settings, **own}}
                for family, own in QUICK_NETWORKS.items()
            },
            "rows": [
                {"kind": "features", "name": family, "backbone": family, "checkpoint": f"quick_{family}"}
                for family in QUICK_NETWORKS
            ],
        }
    )


if __name__ == "__main__":
    main()
