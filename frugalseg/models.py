"""Any saved model from its folder or from the Hub, whatever kind it is."""

from pathlib import Path

import torch

from frugalseg.model import Model, model_folder, model_kind
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError


def load_model(folder_or_hub_id: str | Path, *, device: str | torch.device = "cpu") -> Model:
    """The model in a folder or on the Hub.

    Args:
        folder_or_hub_id: what `save_pretrained` of a `Segmenter` or a `Student` wrote, or ``fit`` or ``distill``.
        device: where it is to run.

    Raises:
        InputError: no such model, a damaged one, or one of a later version.
    """
    folder = model_folder(folder_or_hub_id)
    kind = model_kind(folder)
    if kind == "segmenter":
        return Segmenter.from_pretrained(folder, device=device)
    if kind == "student":
        # Here, for only students need the library of their networks, which takes long to load.
        from frugalseg.students.student import Student

        return Student.from_pretrained(folder, device=device)
    raise InputError(f"{folder}: holds a {kind!r}, which this version does not know; upgrade frugalseg")
