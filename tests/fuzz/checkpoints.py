"""Checkpoints and saved models for `tests.fuzz.subjects`: a tiny sound one of each kind, and how it is read."""

import io
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save

from frugalseg import load_backbone, load_model
from frugalseg.backbones.alae.shape import Shape as ALAEShape
from frugalseg.backbones.stylegan2.checkpoints.source import load_discriminator, save_generator
from frugalseg.backbones.stylegan2.encoder.pair import save_inverter
from frugalseg.backbones.weights import read_tensors
from tests.backbones.alae.published import save_published, tiny_models
from tests.backbones.stylegan2.inversion.helpers import inverter, with_decoder
from tests.backbones.stylegan2.layouts import small_discriminator, small_generator
from tests.backbones.stylegan2.writing import write_official
from tests.conftest import save_tiny_ddpm
from tests.tiny_models import model_of

TENSORS = {"conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn1.bias": torch.zeros(2)}


def checkpoints() -> dict[str, bytes]:
    """Weights in the formats in which people publish them."""
    zipped, old = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": TENSORS, "epoch": 3}, zipped)
    torch.save({"model": TENSORS}, old, _use_new_zipfile_serialization=False)
    return {"zip.pt": zipped.getvalue(), "old.pt": old.getvalue(), "w.safetensors": save(TENSORS)}


def read_checkpoints(folder: Path) -> None:
    """Each file of a folder as named tensors; the values are read, too."""
    for path in sorted(folder.iterdir()):
        for tensor in read_tensors(path).values():
            tensor.double().sum()


def family_folder(family: str, folder: Path) -> None:
    load_backbone(family, folder, **({"timesteps": (50,), "blocks": (1,)} if family == "ddpm" else {}))


def stylegan2_folder(folder: Path) -> None:
    save_generator(small_generator(), folder)


def stylegan2_pickle(folder: Path) -> None:
    write_official(folder / "network.pkl", small_generator(), small_discriminator())


def read_stylegan2_pickle(folder: Path) -> None:
    """Both networks; the first draws an image."""
    load_backbone("stylegan2", folder / "network.pkl").generator(None).draw([0])
    load_discriminator(folder / "network.pkl")


def e4e_file(folder: Path) -> None:
    """A published e4e file: an encoder, its generator, and the settings of their training."""
    torch.save(with_decoder(), folder / "e4e.pt")


def e4e_folder(folder: Path) -> None:
    save_inverter(inverter(), folder)


def published_alae(folder: Path) -> None:
    """A published autoencoder with the states of its training, in the format of 2020."""
    save_published(folder / "model.pth", tiny_models(ALAEShape(layers=2, latent=4, start=2, most=4, mapping=1)))


def model(kind: str, folder: Path) -> None:
    """A saved model that was never trained."""
    with tempfile.TemporaryDirectory() as name:
        ddpm = save_tiny_ddpm(Path(name) / "ddpm") if kind == "ddpm" else None
        model_of(kind, Path(name) / kind, ddpm).save_pretrained(folder / "model")


def read_model(folder: Path) -> None:
    load_model(folder / "model")
