"""What `Backbone` does for every family: sizes, gradients."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor

from frugalseg.backbones import Backbone, load_backbone
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.features.taps import Tap
from frugalseg.segmenter import Segmenter
from frugalseg.support.errors import InputError


class Inversion(Backbone):
    """A generator of one color: for an image it searches the latent that gives it, and its map is that latent."""

    family = "inversion"
    optimises: ClassVar[bool] = True

    def __init__(self, fixed_size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.taps, self.stride, self.native_size = (Tap("latent", 3, 4),), 4, (8, 12)
        self.fixed_size = fixed_size
        self.mixing = torch.nn.Parameter(torch.tensor([[2.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.5, 1.0]]))

    def maps(self, images: Tensor) -> list[Tensor]:
        latent = torch.zeros(len(images), 3, device=images.device, requires_grad=True)
        optimizer = torch.optim.SGD([latent], lr=0.1)
        for _ in range(200):
            optimizer.zero_grad()
            (latent @ self.mixing - images.mean((2, 3))).square().sum().backward()
            optimizer.step()
        height, width = images.shape[2] // 4, images.shape[3] // 4
        return [latent[:, :, None, None].expand(-1, -1, height, width)]

    def config(self) -> dict[str, Any]:
        return {}

    def save_weights(self, folder: Path) -> None:
        pass

    @classmethod
    def from_saved(cls, folder: Path, config: dict[str, Any]) -> Self:
        return cls()

    @classmethod
    def from_checkpoint(cls, checkpoint: str | Path | None, options: Any) -> Self:
        return cls()


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_a_family_may_optimise_inside_its_maps(inference: bool, grad: bool) -> None:
    backbone = Inversion().requires_grad_(False)
    latent = torch.tensor([0.1, 0.3, -0.2])
    color = (latent @ backbone.mixing)[None, :, None, None]
    with torch.inference_mode(inference), torch.set_grad_enabled(grad):
        images = color.expand(2, 3, 8, 12) + 0  # under inference mode a tensor that no graph may hold
        (values,) = backbone(images).maps
    assert not values.requires_grad and values.grad_fn is None
    torch.testing.assert_close(values, latent[None, :, None, None].expand(2, 3, 2, 3), atol=1e-4, rtol=0)


def test_an_optimising_backbone_leaves_no_graph_where_its_weights_could_be_trained() -> None:
    (values,) = Inversion()(torch.rand(1, 3, 8, 12, requires_grad=True)).maps
    assert not values.requires_grad and values.grad_fn is None


class Plain(Inversion):
    """Forgets to say that it needs gradients."""

    optimises: ClassVar[bool] = False


def test_other_families_run_in_inference_mode() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        Plain()(torch.rand(1, 3, 8, 12))


def test_the_only_size_is_asked_for_before_the_network_runs() -> None:
    backbone = Inversion(fixed_size=(8, 12))
    with pytest.raises(ValueError, match="an image of 12x12 does not fit a network that takes 8x12 only; resize it"):
        backbone(torch.rand(1, 3, 12, 12))
    with pytest.raises(ValueError, match="15x12 does not fit a network of stride 4"):
        Inversion()(torch.rand(1, 3, 15, 12))
    with pytest.raises(ValueError, match="0x12 does not fit a network of stride 4; resize it to 4x12"):
        Inversion()(torch.rand(1, 3, 0, 12))
    with pytest.raises(InputError, match="network size 16x24: this network takes 8x12 only; leave the size out"):
        Segmenter(backbone, network_size=(16, 24))
    assert Segmenter(backbone, network_size=(8, 12)).native == (8, 12)
    assert Segmenter(Inversion(), network_size=(16, 24)).native == (16, 24)


@pytest.mark.parametrize("tile", [False, True])
def test_images_of_any_size_meet_a_network_of_one(tile: bool) -> None:
    """Each image is dark or bright all over, so that every window and every resized image tells its class."""
    sizes = [(8, 12), (5, 40), (30, 9), (20, 20)]
    examples = [
        Example(str(bright), np.full((*size, 3), 40 + 150 * bright, np.uint8), np.full(size, bright, np.uint8))
        for bright, size in zip((0, 1, 0, 1), sizes, strict=True)
    ]
    protocol = replace(PROTOCOLS["default"], steps=30)
    backbone = Inversion(fixed_size=(8, 12)).requires_grad_(False)
    segmenter = Segmenter(backbone, tile=tile, members=2, protocol=protocol)
    for size in sizes:
        assert {window.network for window in segmenter.windows(size)} == {(8, 12)}
    assert {window.size for window in segmenter.windows((30, 9))} == ({(8, 12)} if tile else {(30, 9)})
    segmenter.fit(examples, classes=ClassTable.from_ids([0, 1]))
    for example, found in zip(examples, segmenter.predict([one.image for one in examples]), strict=True):
        assert (found.mask == example.target).all()


@pytest.mark.parametrize(
    ("given", "timesteps"),
    [(50, (50,)), ([50, 150], (50, 150)), (range(50, 52), (50, 51)), (np.array([3, 4]), (3, 4)), (np.int64(7), (7,))],
)
def test_options_of_a_backbone_are_taken_as_python_programs_have_them(
    given: Any, timesteps: tuple[int, ...], tiny_ddpm: Path
) -> None:
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=given, blocks=(1,))
    assert tuple(backbone.config()["timesteps"]) == timesteps


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("ddpm", {"timesteps": "50"}, "timesteps: .* not '50'"),
        ("ddpm", {"timesteps": (50.5,)}, "timesteps.0: .* not 50.5"),
        ("ddpm", {"noise_draws": "2"}, "noise_draws: .* not '2'"),
        ("ddpm", {"noise_draws": True}, "noise_draws"),
        ("ddpm", {"precision": "fp64"}, "precision: "),
        ("ddpm", {"blocks": [[1, 2]]}, "blocks"),
        ("ddpm", {"inputs": torch.zeros(2, 2)}, "inputs"),
        ("ddpm", {"compile": object()}, "compile"),
        ("colour", {"native_size": 24}, "native_size"),
        ("colour", {"native_size": (24, -1)}, "native_size is .* height and width in pixels"),
    ],
)
def test_options_of_another_type_are_refused(family: str, options: Any, said: str, tiny_ddpm: Path) -> None:
    with pytest.raises(InputError, match=f"^the {family} backbone: {said}"):
        load_backbone(family, tiny_ddpm if family == "ddpm" else None, **options)
