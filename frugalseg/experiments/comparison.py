"""Every method of a recipe, fitted and evaluated with every seed; finished runs are kept and never done twice."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugalseg.backbones.ddpm.source import BUILTIN, builtin
from frugalseg.classifier.prediction import PixelPrediction
from frugalseg.data.example import Example
from frugalseg.data.folder import SegmentationFolder, check_annotated
from frugalseg.data.images import list_images
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.experiments.networks import training_facts, with_networks
from frugalseg.experiments.recipe import FeatureRow, FolderData, Recipe, Row, StudentRow, ToyData
from frugalseg.experiments.results import Comparison, Run, slug
from frugalseg.experiments.rows import Around, build, check_rows
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.files import atomic_path, read_json, write_json
from frugalseg.support.progress import Progress, silent

STAGES = {"draw": (0, 10), "features": (0, 15), "generate": (10, 15), "train": (15, 70), "evaluate": (70, 100)}
"""Where, in per cent of a run, each stage of a method begins and ends on the progress bar."""


def run_comparison(
    recipe: Recipe, folder: str | Path, *, device: str = "cpu", progress: Progress = silent
) -> Comparison:
    """Compare the methods of a recipe and write ``results.json`` and ``index.html``.

    Args:
        recipe: from `load_recipe` or `frugalseg.experiments.demo.demo_recipe`.
        folder: gets ``runs/ROW/seed-N.json`` as each run ends, then the results. Runs that are there already are
            taken as they are, unless the row, the data or the checkpoint has changed since: a killed comparison goes
            on where it stopped, and a row that is added later costs only its own time.
        device: where everything runs.
        progress: told of each method: (name, per cent of all its runs, total).

    Raises:
        InputError: the data, a checkpoint or an option is wrong; found before the first run.
    """
    folder = Path(folder)
    recipe = with_networks(recipe, folder, device=device)
    train, test = open_data(recipe.data, folder)
    for part in (train, test):
        check_annotated(part)
    check_rows(recipe, device, folder)
    data = digests.contents([*train.files, *test.files])
    runs: dict[str, list[Run]] = {}
    for row in recipe.rows:
        key = row_key(row, recipe, data, folder)
        around = Around(recipe, folder, digests.text(json.dumps(key.get("teacher"))))
        runs[row.name] = []
        for seed in range(recipe.runs):
            advance = within(progress, row.name, seed, recipe.runs)
            place = folder / "runs" / slug(row.name)
            runs[row.name].append(one_run(row, seed, (train, test), place, key, device, around, advance))
    result = Comparison(recipe.title, train.classes, runs, folder / "index.html")
    networks = [asdict(facts) for facts in training_facts(recipe)]
    written = {**result.to_json(), "networks": networks, "recipe": recipe.model_dump(mode="json")}
    write_json(folder / "results.json", written)
    from frugalseg.experiments.comparison_page import comparison_page

    comparison_page(result, recipe, train, test, load_pictures(folder, recipe)).save(result.page)
    return result


def open_data(data: ToyData | FolderData, folder: Path) -> tuple[SegmentationFolder, SegmentationFolder]:
    """The annotated training images and the test images, with one class table.

    Raises:
        InputError: a folder is missing or wrong.
    """
    if isinstance(data, ToyData):
        # Named after all that decides what is in them, so that another recipe's images are never taken for these.
        places = [
            folder / "data" / f"{split}-{data.size}px-seed{seed}-{count}"
            for split, count, seed in (("train", data.train, data.train_seed), ("test", data.test, data.test_seed))
        ]
        write_toy_folder(places[0], data.train, data.train_seed, size=data.size)
        write_toy_folder(places[1], data.test, data.test_seed, size=data.size)
    else:
        root = Path(data.path)
        if not root.is_dir():
            raise InputError(f"{root}: no such data folder; give its place with --data")
        places = [root / data.train, root / data.test]
    train = SegmentationFolder(places[0])
    return train, SegmentationFolder(places[1], train.classes)


def one_run(
    row: Row,
    seed: int,
    data: tuple[SegmentationFolder, SegmentationFolder],
    folder: Path,
    key: dict[str, Any],
    device: str,
    around: Around,
    progress: Progress,
) -> Run:
    """One method with one seed, or what an earlier process found for the same `key`.

    The first seed also leaves its predictions for the first test images, as many as the recipe wants pictures of.
    """
    pictures = around.recipe.pictures
    record, drawn = folder / f"seed-{seed}.json", folder / "pictures.npz"
    known = read_json(record) if record.is_file() else None
    complete = seed > 0 or (drawn.is_file() and pictures_in(drawn) >= min(pictures, len(data[1])))
    if known is not None and known.get("key") == key and complete:
        progress("evaluate", 1, 1)
        return Run.from_json(known)
    seen: list[PixelPrediction] = []

    def see(example: Example, found: PixelPrediction) -> None:
        if seed == 0 and len(seen) < pictures:
            seen.append(found)

    method = build(row, seed, device, around)
    started = time.perf_counter()
    method.fit(data[0], progress=progress)
    fitted = time.perf_counter()
    confusion = method.evaluate(data[1], see=see, progress=progress).confusion
    run = Run(row.name, seed, confusion, fitted - started, time.perf_counter() - fitted)
    if seed == 0:
        save_pictures(drawn, seen)
    # Last of all: where the record is, the run is complete.
    write_json(record, {**run.to_json(), "key": key})
    return run


def within(progress: Progress, name: str, number: int, count: int) -> Progress:
    """Progress of run `number` of `count`, told as per cent of a whole row."""

    def show(stage: str, done: int, total: int) -> None:
        first, last = STAGES.get(stage, (0, 0))
        part = first + (last - first) * done // max(total, 1)
        progress(name, (100 * number + part) // count, 100)

    return show


def save_pictures(path: Path, found: Iterable[PixelPrediction]) -> None:
    """Masks and uncertainty of some images, in a compressed NumPy archive."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, prediction in enumerate(found):
        arrays[f"mask{number}"] = prediction.mask.cpu().numpy().astype(np.uint8)
        arrays[f"heat{number}"] = prediction.uncertainty.float().cpu().numpy().astype(np.float16)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def pictures_in(path: Path) -> int:
    """How many images `save_pictures` has written."""
    with np.load(path, allow_pickle=False) as archive:
        return len(archive.files) // 2


def load_pictures(folder: Path, recipe: Recipe) -> dict[str, list[tuple[NDArray[np.uint8], NDArray[np.float32]]]]:
    """{row: [(mask (H, W) uint8 positions, uncertainty (H, W) float32), ...]} for the first test images."""
    result = {}
    for row in recipe.rows:
        with np.load(folder / "runs" / slug(row.name) / "pictures.npz", allow_pickle=False) as archive:
            count = min(recipe.pictures, len(archive.files) // 2)
            result[row.name] = [(archive[f"mask{n}"], archive[f"heat{n}"].astype(np.float32)) for n in range(count)]
    return result


def row_key(row: Row, recipe: Recipe, data: str, folder: Path) -> dict[str, Any]:
    """What a row's results depend on beside the seed, as JSON values; a student's also on its teacher and images."""
    key: dict[str, Any] = {"row": row.model_dump(mode="json"), "data": data, "weights": weights_digest(row)}
    if isinstance(row, StudentRow):
        from frugalseg.experiments.student_row import photographs_of, teacher_of

        teacher = teacher_of(row, recipe.rows)
        key["teacher"] = row_key(teacher, recipe, data, folder) if teacher is not None else None
        photographs = photographs_of(row, recipe.data, folder)
        key["images"] = digests.contents(list_images(photographs)) if photographs is not None else ""
    return key


def weights_digest(row: Row) -> str:
    """Of the files of a row's checkpoint; of its name where it is not on this machine (a Hub id)."""
    checkpoint = row.checkpoint if isinstance(row, FeatureRow) else None
    if checkpoint is None:
        return ""
    path = builtin(checkpoint) if checkpoint.startswith(BUILTIN) else Path(checkpoint)
    if not path.exists():
        return checkpoint
    return digests.contents(sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path])
