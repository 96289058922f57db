"""The filters against those of scipy, and the family's way through registry, windows and segmenter."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from frugalseg import Segmenter, load_backbone
from frugalseg.backbones import load_saved_backbone
from frugalseg.backbones.filters.backbone import FiltersBackbone
from frugalseg.backbones.filters.network import radius, reach
from frugalseg.backbones.filters.settings import KINDS, OUTER
from frugalseg.classifier.protocol import TrainingProtocol
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.features.windows import cut
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks

Grey = NDArray[np.float64]
QUICK = TrainingProtocol("quick", batch_size=64, learning_rate=1e-2, steps=20, standardise=True)


def blurred(image: Grey, sigma: float, order: Sequence[int] = (0, 0)) -> Grey:
    found: Grey = ndimage.gaussian_filter(image, sigma, order=order, mode="reflect") * sigma ** sum(order)
    return found


def eigenvalues(yy: Grey, yx: Grey, xx: Grey) -> list[Grey]:
    """Larger first."""
    values = np.linalg.eigvalsh(np.stack([np.stack([yy, yx], -1), np.stack([yx, xx], -1)], -1))
    return [values[..., 1], values[..., 0]]


def structure(image: Grey, sigma: float) -> list[Grey]:
    """Of the mirrored image: the tensor's entries cannot be mirrored themselves, for yx changes its sign."""
    far = reach(sigma, ["structure"], OUTER)
    wide = np.pad(image, far, mode="symmetric")
    down, across = blurred(wide, sigma, (1, 0)), blurred(wide, sigma, (0, 1))
    entries = (ndimage.gaussian_filter(p, OUTER * sigma) for p in (down * down, down * across, across * across))
    return [np.sqrt(values.clip(0))[far:-far, far:-far] for values in eigenvalues(*entries)]


EXPECTED: dict[str, Callable[[Grey, float], list[Grey]]] = {
    "gaussian": lambda image, s: [blurred(image, s)],
    "laplacian": lambda image, s: [ndimage.gaussian_laplace(image, s) * s**2],
    "gradient": lambda image, s: [ndimage.gaussian_gradient_magnitude(image, s) * s],
    "difference": lambda image, s: [blurred(image, s) - blurred(image, 0.66 * s)],
    "structure": structure,
    "hessian": lambda image, s: eigenvalues(*(blurred(image, s, order) for order in ((2, 0), (1, 1), (0, 2)))),
}


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_filters_are_those_of_scipy_up_to_the_border(channels: int) -> None:
    images = torch.rand(2, channels, 45, 38, generator=torch.Generator().manual_seed(0))
    backbone = FiltersBackbone(scales=(0.3, 0.7, 1.6, 5.0, 10.0), channels=channels)
    for scale, maps in zip(backbone.scales, backbone(images).maps, strict=True):
        for found, image in zip(maps.double().numpy(), images.double().numpy(), strict=True):
            by_channel = [{kind: EXPECTED[kind](part, scale) for kind in KINDS} for part in image]
            expected = [ch[kind][which] for kind in KINDS for which in range(KINDS[kind]) for ch in by_channel]
            # Where both gradients are nearly alike everywhere, the root magnifies the rounding of the tensor.
            np.testing.assert_allclose(found, np.stack(expected), atol=2e-5)


def test_a_subset_of_the_filters_gives_the_same_maps() -> None:
    images = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    (every,) = load_backbone("filters", scales=(1.6,))(images).maps
    parts = every.split([3 * maps for maps in KINDS.values()], dim=1)
    for kind, expected in zip(KINDS, parts, strict=True):
        (alone,) = load_backbone("filters", scales=(1.6,), kinds=(kind,))(images).maps
        assert torch.equal(alone, expected)


def test_a_map_depends_on_the_pixels_within_its_margin() -> None:
    backbone = load_backbone("filters", scales=(1.0, 2.0), outer=0.5)
    assert backbone.margin == radius(2.0) + radius(1.0) == 12
    images = torch.rand(1, 3, 60, 60, generator=torch.Generator().manual_seed(0))
    changed = images.clone()
    changed[..., 30, 30] += 1
    differs = (backbone(images).maps[1] != backbone(changed).maps[1]).any(1)[0]
    rows, columns = (torch.nonzero(differs.any(axis)).flatten() for axis in (1, 0))
    assert [int(rows.min()), int(rows.max())] == [int(columns.min()), int(columns.max())] == [18, 42]


class TestFilters(BackboneChecks):
    weighted = False

    @pytest.fixture(scope="class")
    def backbone(self) -> Any:
        return load_backbone("filters", scales=(0.7, 3.5))


def test_images_of_other_channels(tmp_path: Any) -> None:
    images = torch.rand(1, 5, 20, 24, generator=torch.Generator().manual_seed(0))
    for name, options in (("filters", {"scales": (0.7, 1.6)}), ("colour", {"native_size": (20, 24)})):
        three = load_backbone(name, **options)
        five = three.seeing(np.int64(5))
        assert three.seeing(3) is three and "channels" not in three.config() and five.config()["channels"] == 5
        assert five.dim * 3 == three.dim * 5 or (name == "colour" and five.dim == 7)
        five.save_pretrained(tmp_path / name)
        expected = five(images).maps
        alone = three.seeing(1)(images[:, 3:4]).maps[0]
        of_channel = slice(3, None, 5) if name == "filters" else slice(3, 4)
        assert torch.equal(alone, expected[0][:, of_channel])
        found = load_saved_backbone(tmp_path / name)(images).maps
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        with pytest.raises(InputError, match="channels is 17; give a whole number from 1 to 16"):
            three.seeing(17)


def textures(*sizes: tuple[int, int]) -> list[Example]:
    """Fine noise to the left, coarse noise to the right; of the same mean and deviation."""
    rng, found = np.random.default_rng(0), []
    for height, width in sizes:
        fine, coarse = (ndimage.gaussian_filter(rng.normal(size=(height, width)), sigma) for sigma in (0.5, 2))
        target = np.zeros((height, width), np.uint8)
        target[:, width // 2 :] = 1
        values = np.where(target == 1, coarse / coarse.std(), fine / fine.std())
        image = (128 + 40 * values).clip(0, 255).astype(np.uint8)
        found.append(Example("noise", np.repeat(image[..., None], 3, 2), target))
    return found


@pytest.fixture(scope="module")
def fitted() -> Segmenter:
    backbone = load_backbone("filters", scales=(0.7, 1.6, 3.5))
    table = ClassTable.from_ids((0, 1))
    return Segmenter(backbone, members=2, protocol=QUICK).fit(textures((40, 60), (33, 50)), classes=table)


def test_textures_are_told_apart(fitted: Segmenter) -> None:
    (example,) = textures((64, 96))
    found = next(fitted.predict([example.image]))
    assert (found.mask == example.target).mean() > 0.85


@pytest.mark.parametrize("tile", [(64, 96), (16, 41), (9, 96)])
def test_windows_of_any_size_give_what_the_whole_image_gives(fitted: Segmenter, tile: tuple[int, int]) -> None:
    (example,) = textures((64, 96))
    other = Segmenter(fitted.backbone, members=2, protocol=QUICK, tile=True, network_size=tile)
    whole = fitted.backbone(torch.from_numpy(example.image).permute(2, 0, 1)[None] / 255)
    every = other.windows(example.target.shape)
    for window in every[:: max(1, len(every) // 9)]:
        assert window.network == window.size == tile
        for ours, theirs in zip(other.features([cut(example.image, window)]).maps, whole.maps, strict=True):
            assert torch.equal(ours, theirs[..., *window.area])
    other.classifier, other.classes = fitted.classifier, fitted.classes
    expected, found = (next(model.predict_positions([example.image])) for model in (fitted, other))
    assert torch.equal(found.mask, expected.mask)
    torch.testing.assert_close(found.probabilities, expected.probabilities, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.uncertainty, expected.uncertainty, atol=1e-6, rtol=0)


def test_images_are_seen_as_large_as_they_are_unless_a_size_is_given(fitted: Segmenter) -> None:
    shapes = [(33, 50), (500, 400), (384, 384)]
    assert [len(fitted.windows(shape)) for shape in shapes] == [1, 4, 1]
    assert fitted.windows((33, 50))[0].network == (33, 50)
    sized = Segmenter(fitted.backbone, network_size=(20, 20))
    (window,) = sized.windows((80, 80))
    assert window.size == (80, 80) and window.network == (20, 20)
    image = textures((80, 80))[0].image
    assert sized.features([cut(image, window)]).size == (20, 20)


def test_the_same_model_comes_back(fitted: Segmenter, tmp_path: Any) -> None:
    (example,) = textures((30, 40))
    fitted.save_pretrained(tmp_path / "model")
    again = Segmenter.from_pretrained(tmp_path / "model")
    before, after = (next(model.predict_positions([example.image])) for model in (fitted, again))
    assert torch.equal(before.probabilities, after.probabilities)


@pytest.mark.parametrize(
    ("checkpoint", "options", "said"),
    [
        ("weights.pt", {}, "no weights"),
        (None, {"scales": ()}, "scales empty: give one or more"),
        (None, {"scales": (1.0, 0.1)}, r"scales is 1\.0, 0\.1; give a number from 0\.3 to 50"),
        (None, {"scales": (1.0, float("nan"))}, "scales"),
        (None, {"scales": (2.0, 2.0)}, "each once"),
        (None, {"kinds": ("gauss",)}, "kinds gauss: give one or more of gaussian, laplacian"),
        (None, {"kinds": ("hessian", "hessian")}, "each once"),
        (None, {"outer": 0.0}, "outer is 0.0; give a number from 0.1 to 10"),
    ],
)
def test_wrong_options_are_named(checkpoint: str | None, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_backbone("filters", checkpoint, **options)
