"""Python's own door: whatever is given where a path, a number or an image is expected, the answer is one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalseg import InputError, PixelClassifier, SegmentationFolder, Segmenter, load_backbone, load_model
from frugalseg.backbones.registry import FAMILIES
from frugalseg.data.arrays import as_rgb
from frugalseg.data.check import check_folder
from frugalseg.data.classes import ClassTable
from frugalseg.data.image_folder import list_images
from frugalseg.data.images import read_image
from frugalseg.experiments.recipe import load_recipe
from frugalseg.synthetic import SyntheticSet
from tests.data.helpers import data_folder, halves
from tests.tiny_models import model_of

WRONG = [
    *(None, True, -1, 3, 2.5, float("nan"), 10**400, "", "nowhere", "a\0b", "x" * 5000, b"nowhere", Path("/nowhere")),
    *([], [1], [None], ["x"], (), {}, {"a": 1}, object(), np.zeros(3), torch.zeros(2), lambda: 1),
]
PIXELS = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[Any], Any]]:
    """Each argument of what `frugalseg` exports, and of the readers below it, that users give."""
    place = tmp_path_factory.mktemp("door")
    model, data = model_of("colour", place, None), data_folder(place / "data", [halves(0, 1)])
    model.save_pretrained(place / "model")
    settings = ("protocol", "members", "seed", "tile", "overlap", "mirror", "network_size", "small_region")
    return {
        "load_model": load_model,
        "its device": lambda x: load_model(place / "model", device=x),
        "Segmenter.from_pretrained": Segmenter.from_pretrained,
        "load_backbone": load_backbone,
        **{f"a checkpoint of {family}": lambda x, f=family: load_backbone(f, x) for family in FAMILIES},  # type: ignore[misc]
        "Segmenter": Segmenter,
        "device": lambda x: Segmenter(model.backbone, device=x),
        **{name: lambda x, n=name: Segmenter(model.backbone, **{n: x}) for name in settings},  # type: ignore[misc]
        "predict": lambda x: list(model.predict(x)),
        "batch_size": lambda x: list(model.predict(PIXELS, batch_size=x)),
        "save_pretrained": lambda x: model.save_pretrained(
            x if isinstance(x, str) and x not in ("", "nowhere") else [x]
        ),
        "SegmentationFolder": SegmentationFolder,
        "classes": lambda x: SegmentationFolder(data, x)[0],
        "PixelClassifier": lambda x: PixelClassifier(x, 3),
        "num_classes": lambda x: PixelClassifier([3], x),
        "its members": lambda x: PixelClassifier([3], 3, x),
        "check_folder": check_folder,
        "test": lambda x: check_folder(data, x),
        "small_regions": lambda x: check_folder(data, small_regions=x),
        "load_recipe": load_recipe,
        "SyntheticSet": SyntheticSet,
        "as_rgb": as_rgb,
        "read_image": read_image,
        "list_images": list_images,
        "ClassTable.from_json": ClassTable.from_json,
    }


def test_one_line_for_each(
    doors: dict[str, Callable[[Any], Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, door in doors.items():
        refused = 0
        for value in WRONG:
            try:
                door(value)
            except InputError as error:
                refused += 1
                assert str(error).isprintable() and len(str(error)) <= 2000, (name, value)
        assert refused > len(WRONG) // 2, name
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": [5]}, r"members is \[5\]; give a whole number from 1"),
        ({"overlap": (0.5,)}, r"overlap is \(0.5,\); give a number from 0"),
        ({"tile": "no"}, "tile is 'no'; give True or False"),
        ({"mirror": 1}, "mirror is 1; give True or False"),
        ({"protocol": 3}, "protocol is 3; give a TrainingProtocol, or the name of one"),
    ],
)
def test_settings_of_wrong_types_are_not_taken_for_others(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Segmenter(load_backbone("colour"), **settings)


@pytest.mark.parametrize("value", [Path("x"), [Path("x")], [[object()]], {(1, 2): 3}, {1.0}, b"x"])
def test_options_of_types_that_json_lacks(value: Any) -> None:
    with pytest.raises(InputError, match="scales"):
        load_backbone("filters", scales=value)
