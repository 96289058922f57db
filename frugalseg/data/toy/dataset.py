"""Toy images: part-labelled animals made by code, so that demo and tests need no data.

Pose, proportions, colours, textures, light and background are all drawn at random, and neighbouring parts often share
one material: a part can only be told by its shape and place in the animal, not by its colour or place in the frame.
"""

import re
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.data.masks import write_mask
from frugalseg.data.toy.animal import LABELS, draw_animal
from frugalseg.data.toy.drawing import Canvas, Ellipse, Limb, Material, Polygon, Shape
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError, atomic_path, remove_leftovers, remove_leftovers_of
from frugalseg.support.folders import require_writable

TOY_CLASSES = ClassTable(
    ids=tuple(range(len(LABELS))),
    names=LABELS,
    colors=(
        (40, 42, 54),
        (86, 156, 214),
        (240, 196, 86),
        (226, 98, 132),
        (250, 250, 245),
        (244, 150, 90),
        (112, 190, 110),
        (36, 128, 110),
        (160, 110, 210),
        (214, 60, 60),
    ),
)
"""Background and nine parts; ids and positions are the same."""

PATTERNS = ("plain", "stripes", "spots", "noise", "gradient")


def toy_example(seed: int, index: int, size: int = 48) -> Example:
    """Image number `index` of the endless set `seed`; the same for the same arguments, whatever was drawn before.

    Args:
        seed, index: not negative.
        size: sides in pixels; the same picture at any size.
    """
    rng = np.random.default_rng([seed, index])
    canvas = Canvas(size)
    coat = [_material(rng) for _ in range(3)]
    _draw_background(canvas, rng, coat)
    draw_animal(canvas, rng, _dress(rng, coat))
    canvas.light(complex(np.exp(1j * rng.uniform(0, 2 * np.pi))), rng.uniform(0, 0.35))
    return Example(f"{index:06d}", canvas.picture(), canvas.mask())


def write_toy_folder(
    folder: str | Path, count: int, seed: int, *, masks: bool = True, size: int = 48, first: int = 0
) -> None:
    """Write toy images `first` to ``first + count - 1`` of the set `seed`; images that are there already are kept.

    Args:
        folder: gets ``images/``, ``masks/`` and ``classes.json``; without `masks`, the images themselves.

    Raises:
        InputError: `folder` cannot be written, or with `masks` it holds images that are no toy images.
    """
    folder = Path(folder)
    require_writable(folder)
    if masks:
        _require_toys(folder)
    images = folder / "images" if masks else folder
    _remove_leftovers(images, folder)
    for index in range(first, first + count):
        path = images / f"{index:06d}.png"
        if path.exists():
            continue
        example = toy_example(seed, index, size)
        if masks:
            write_mask(folder / "masks" / path.name, TOY_CLASSES.to_ids(example.target), TOY_CLASSES)
        # The image comes last: where it exists, its mask does too.
        with atomic_path(path) as temporary:
            Image.fromarray(example.image).save(temporary)
    if masks:
        TOY_CLASSES.to_json(folder / "classes.json")


def _require_toys(folder: Path) -> None:
    """Raise `InputError` for a data folder of somebody else: its classes would be replaced, and masks added."""
    table = folder / "classes.json"
    if table.is_file():
        try:
            ours = ClassTable.from_json(table) == TOY_CLASSES
        except FileError:
            ours = False
    else:  # a killed run has not come to the classes
        there = [*folder.glob("images/[!.]*"), *folder.glob("masks/[!.]*")]
        ours = all(re.fullmatch(r"\d{6,}\.png", path.name) for path in there)
    if not ours:
        raise InputError(f"{folder}: holds images that are no toy images; choose another output folder")


def _remove_leftovers(images: Path, folder: Path) -> None:
    """Remove what a killed run was just writing; `folder` may hold more than toy images, which nobody walks through."""
    if images == folder:
        remove_leftovers(folder, below=False)
        return
    remove_leftovers(images)
    remove_leftovers(folder / "masks")
    remove_leftovers_of(folder / "classes.json")


def _material(rng: Generator) -> Material:
    """Any colour, any pattern."""
    first = rng.uniform(0.05, 1, 3)
    # The second colour is a relative of the first one as often as a stranger.
    second = first + rng.normal(0, 0.15, 3) if rng.random() < 0.5 else rng.uniform(0, 1, 3)
    directions = np.exp(1j * rng.uniform(0, 2 * np.pi, 4)) * rng.uniform(15, 60, 4)
    waves = np.stack([directions.real, directions.imag, rng.uniform(0, 2 * np.pi, 4)], 1)
    pattern = PATTERNS[rng.choice(5, p=[0.4, 0.15, 0.15, 0.1, 0.2])]
    return Material(
        first.astype(np.float32), np.clip(second, 0, 1).astype(np.float32), pattern, waves.astype(np.float32)
    )


def _dress(rng: Generator, coat: list[Material]) -> dict[str, Material]:
    """A material for each part; neighbours often wear the same one."""
    body = coat[0]
    head = _choose(rng, [body, coat[1]], [0.7, 0.3])
    leg = _choose(rng, [body, coat[1], coat[2]], [0.7, 0.15, 0.15])
    return {
        "body": body,
        "head": head,
        "ear": _choose(rng, [head, coat[1], coat[2]], [0.6, 0.2, 0.2]),
        "muzzle": _choose(rng, [head, coat[1], coat[2], _material(rng)], [0.3, 0.2, 0.2, 0.3]),
        "leg": leg,
        "paw": _choose(rng, [leg, coat[1], coat[2], _material(rng)], [0.4, 0.2, 0.2, 0.2]),
        "tail": _choose(rng, [body, coat[1], coat[2]], [0.6, 0.2, 0.2]),
        "collar": _choose(rng, [coat[1], coat[2], _material(rng)], [0.2, 0.2, 0.6]),
        "eye": _material(rng),
    }


def _choose(rng: Generator, materials: list[Material], chances: list[float]) -> Material:
    return materials[int(rng.choice(len(materials), p=chances))]


def _draw_background(canvas: Canvas, rng: Generator, coat: list[Material]) -> None:
    """A texture and clutter, some of it in the animal's own materials."""
    canvas.fill(_material(rng))
    for _ in range(rng.integers(2, 7)):
        material = coat[rng.integers(3)] if rng.random() < 0.35 else _material(rng)
        canvas.paint(_clutter(rng), material, 0, outline=rng.uniform(0, 0.4))


def _clutter(rng: Generator) -> Shape:
    """An ellipse, a bar or a polygon anywhere."""
    centre = complex(*rng.uniform(0, 1, 2))
    axis = complex(rng.uniform(0.05, 0.22) * np.exp(1j * rng.uniform(0, 2 * np.pi)))
    kind = rng.integers(3)
    if kind == 0:
        return Ellipse(centre, axis, rng.uniform(0.4, 1))
    if kind == 1:
        radius = rng.uniform(0.015, 0.06)
        return Limb(centre - 2 * axis, centre + 2 * axis, radius, radius)
    return Polygon(centre, axis * 0.7, int(rng.integers(3, 7)), rng.uniform(0.6, 1.6))
