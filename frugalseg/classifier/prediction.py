"""The trained ensemble applied to feature maps: first layer at map resolution, then tiles or bands of the pixel grid.

The output of the first layer is stretched over the pixel grid a part at a time. Everything after it is as published,
with each batch normalisation folded into the linear layer that follows. On a CPU each thread takes rows of its own, and
computes them in tiles that stay in its cache; how many threads there are changes no result.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from frugalseg.classifier.first_layer import Lines, by_resolution, first_layer
from frugalseg.classifier.stretching import COLUMNS, Tiles, tile_rows, whole_rows
from frugalseg.classifier.voting import (
    EVERYTHING,
    LABELS,
    Wanted,
    combine,
    entropy,
    image_uncertainty,
    softmax,
    tally,
)
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.support.workers import Workers

__all__ = [
    "EVERYTHING",
    "LABELS",
    "EnsemblePredictor",
    "FoldedEnsemble",
    "PixelPrediction",
    "PixelRows",
    "Wanted",
    "entropy",
    "image_uncertainty",
    "known",
    "vote",
    "vote_rows",
    "whole",
]

# Shapes: M members, K classes, C channels of a map, h x w a map, H x W the pixel grid, P pixels, A and B hidden widths.

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class PixelPrediction:
    """What the ensemble says about one image.

    Attributes:
        mask: (H, W) uint8 class positions, the majority vote of the members; ties go to the smallest position.
        probabilities: (K, H, W) float32, mean of the members' softmax outputs; None where they were not kept.
        uncertainty: (H, W) float32 in [0, log M], Jensen-Shannon divergence of the members' softmax outputs, in nats.
        image_uncertainty: mean of `uncertainty` over its 10 % highest pixels.
    """

    mask: Tensor
    probabilities: Tensor | None
    uncertainty: Tensor
    image_uncertainty: float


@dataclass(frozen=True)
class PixelRows:
    """What a model says of some consecutive rows of an image: a large one is never in memory as a whole.

    Attributes:
        mask: (rows, W) uint8, see `PixelPrediction`.
        probabilities: (K, rows, W) float32; None where they were not wanted.
        uncertainty: (rows, W) float32; None where it was not wanted.
    """

    mask: Tensor
    probabilities: Tensor | None
    uncertainty: Tensor | None


@dataclass(frozen=True)
class FoldedEnsemble:
    """The ensemble's weights in evaluation mode: input standardisation and batch normalisation folded away.

    Attributes:
        first: one (C, M * A) tensor a map.
        first_bias: (M * A,).
        second, second_bias: (M, A, B) and (M, 1, B).
        third, third_bias: (M, B, K) and (M, 1, K).
    """

    first: Sequence[Tensor]
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor
    third: Tensor
    third_bias: Tensor

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each map."""
        return tuple(weight.shape[0] for weight in self.first)

    @property
    def on_cpu(self) -> bool:
        """Where the weights are."""
        return self.first_bias.is_cpu


class EnsemblePredictor:
    """Predicts images with folded weights. Build one with `PixelClassifier.predictor`, use it for many images."""

    def __init__(self, weights: FoldedEnsemble, max_elements: int = 2**25) -> None:
        """
        Args:
            weights: on the device and in the dtype of the computation.
            max_elements: values of the first layer kept at a time; bounds memory, changes no result.
        """
        self.weights = weights
        self.max_elements = max_elements

    @torch.inference_mode()
    def predict(self, maps: FeatureMaps) -> PixelPrediction:
        """Classify every pixel of the grid `maps.size`.

        Args:
            maps: one image, any floating dtype; on the device of the weights.

        Raises:
            ValueError: not one image, or maps of other channels than the classifier was built for.
        """
        return whole(self.rows(maps), maps.size[0])

    @torch.inference_mode()
    def labels(self, maps: FeatureMaps) -> Tensor:
        """(H, W) uint8: the mask of `predict` alone, in less time and memory."""
        return torch.cat([piece.mask for piece in self.rows(maps, LABELS)])

    @torch.inference_mode()
    def rows(self, maps: FeatureMaps, wanted: Wanted = EVERYTHING) -> Iterator[PixelRows]:
        """`predict`, some rows at a time, from the top.

        Args:
            maps: one image.
            wanted: what is computed beside the labels.
        """
        yield from self._bands(maps, slice(0, maps.size[0]), partial(_tallied, maps.size[1], wanted))

    @torch.inference_mode()
    def member_probabilities(self, maps: FeatureMaps, rows: slice = slice(None)) -> Tensor:
        """(M, K, rows, W) float32: each member's softmax output on some rows of the grid `maps.size`.

        Args:
            maps: one image.
            rows: contiguous rows of the grid.
        """
        first, last, _ = rows.indices(maps.size[0])
        shape = (*self.weights.third.shape[::2], last - first, maps.size[1])
        exact = torch.promote_types(self.weights.third.dtype, torch.float32)
        found = torch.empty(shape, dtype=exact, device=self.weights.third.device)
        for _ in self._bands(maps, slice(first, last), partial(_write_softmax, found, first)):
            pass
        return found

    def _bands(self, maps: FeatureMaps, rows: slice, see: "Callable[[_Band], Seen]") -> Iterator[Seen]:
        """What `see` gives for consecutive bands of `rows`."""
        if len(maps) != 1 or maps.channels != self.weights.channels:
            got, expected = _runs(maps.channels), _runs(self.weights.channels)
            raise ValueError(f"expected the maps of one image with channels {expected}; got {len(maps)} of {got}")
        height, width = maps.size
        wide, on_cpu = self.weights.first_bias.numel(), self.weights.on_cpu
        at_map_resolution = wide * sum(h * w for h, w in by_resolution(maps)) / height
        chunk = max(1, int(self.max_elements / at_map_resolution))
        step = max(1, self.max_elements // (wide * width))
        with Workers(None if on_cpu else 1) as workers:
            for start in range(rows.start, rows.stop, chunk):
                part = slice(start, min(start + chunk, rows.stop))
                lines = first_layer(maps, self.weights.first, part, workers)
                make = _tiled_bands if on_cpu else _whole_bands
                yield from workers.each(see, make(self.weights, lines, part, maps.size, step))


@dataclass(frozen=True)
class _Band:
    """Some rows of the grid.

    Attributes:
        rows: which.
        logits: the columns and the logits (M, K, P), float32 or float64, of each part of the rows, from the left.
    """

    rows: slice
    logits: Callable[[], Iterator[tuple[slice, Tensor]]]


def _tiled_bands(
    weights: FoldedEnsemble, lines: Sequence[Lines], rows: slice, size: tuple[int, int], most: int
) -> Iterator[_Band]:
    """Bands that are as high as a tile; `most` is the limit of their height."""
    height = min(tile_rows(len(weights.first_bias)), most)
    tiles = Tiles(lines, weights.first_bias, rows, size, height)
    for number, top in enumerate(range(rows.start, rows.stop, height)):
        band = slice(top, min(top + height, rows.stop))
        yield _Band(band, partial(_tile_logits, weights, tiles, number, (band.stop - band.start, size[1])))


def _tile_logits(
    weights: FoldedEnsemble, tiles: Tiles, band: int, shape: tuple[int, int]
) -> Iterator[tuple[slice, Tensor]]:
    for block, left in enumerate(range(0, shape[1], COLUMNS)):
        columns = slice(left, min(left + COLUMNS, shape[1]))
        second = _second_layer(weights, tiles.tile(band, block, (shape[0], columns.stop - left)))
        logits = torch.baddbmm(
            weights.third_bias.transpose(1, 2), weights.third.transpose(1, 2), second.transpose(1, 2)
        )
        yield columns, _exact(logits)


def _whole_bands(
    weights: FoldedEnsemble, lines: Sequence[Lines], rows: slice, size: tuple[int, int], most: int
) -> Iterator[_Band]:
    """Bands of `most` rows, each computed at once."""
    for top in range(rows.start, rows.stop, most):
        band = slice(top, min(top + most, rows.stop))
        yield _Band(band, partial(_row_logits, weights, lines, band, size))


def _row_logits(
    weights: FoldedEnsemble, lines: Sequence[Lines], rows: slice, size: tuple[int, int]
) -> Iterator[tuple[slice, Tensor]]:
    second = _second_layer(weights, whole_rows(lines, weights.first_bias, rows, size))
    logits = torch.baddbmm(weights.third_bias, second, weights.third)
    yield slice(0, size[1]), _exact(logits).transpose(1, 2)


def _second_layer(weights: FoldedEnsemble, hidden: Tensor) -> Tensor:
    """(M, P, B) from the first layer's output before its activation, (rows, columns, M * A), which is overwritten."""
    members, width, _ = weights.second.shape
    hidden = hidden.relu_().view(-1, members, width).transpose(0, 1)
    return torch.baddbmm(weights.second_bias, hidden, weights.second).relu_()


def _exact(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


@torch.inference_mode()
def _tallied(width: int, wanted: Wanted, band: _Band) -> PixelRows:
    """The answer of all members for a band of a grid so many pixels wide."""
    shape, parts = (band.rows.stop - band.rows.start, -1), []
    for _, logits in band.logits():
        parts.append(tally(logits, wanted) if logits.is_cpu else combine(*softmax(logits.transpose(1, 2))))
    masks, means, uncertainties = zip(*parts, strict=True)
    return PixelRows(
        torch.cat([mask.view(shape) for mask in masks], dim=1),
        torch.cat([mean.unflatten(1, shape) for mean in means], dim=2) if wanted.probabilities else None,
        torch.cat([part.view(shape) for part in uncertainties], dim=1) if wanted.uncertainty else None,
    )


@torch.inference_mode()
def _write_softmax(found: Tensor, first: int, band: _Band) -> None:
    """Each member's probabilities for a band, to its rows of `found`, whose first row is row `first` of the grid."""
    place = found[:, :, band.rows.start - first : band.rows.stop - first]
    for columns, logits in band.logits():
        part = place[..., columns]
        part.copy_(logits.softmax(1).view(part.shape))


def known(values: Tensor | None) -> Tensor:
    """A part of `PixelRows` that was wanted."""
    if values is None:
        raise ValueError("these rows were asked for without their probabilities or their uncertainty")
    return values


def whole(pieces: Iterable[PixelRows], height: int, *, probabilities: bool = True) -> PixelPrediction:
    """The prediction of an image from its rows, each of which is forgotten once it has its place.

    Args:
        pieces: all rows of the image, from the top, with uncertainty, and with probabilities where these are kept.
        height: how many there are.
        probabilities: keep them, too; they take 4 bytes for each pixel and class.
    """
    mask, mean, uncertainty = torch.empty(0), None, torch.empty(0)
    top = 0
    for piece in pieces:
        divergence, place = known(piece.uncertainty), slice(top, top := top + len(piece.mask))
        if not place.start:
            mask, uncertainty = (values.new_empty(height, values.shape[1]) for values in (piece.mask, divergence))
        mask[place], uncertainty[place] = piece.mask, divergence
        if probabilities:
            shares = known(piece.probabilities)
            mean = shares.new_empty(len(shares), height, shares.shape[2]) if mean is None else mean
            mean[:, place] = shares
    return PixelPrediction(mask, mean, uncertainty, image_uncertainty(uncertainty))


def vote(member_probabilities: Tensor) -> PixelPrediction:
    """The ensemble's answer from its members' softmax outputs.

    Args:
        member_probabilities: (M, K, H, W), each member's summing to 1 over K.
    """
    found = vote_rows(member_probabilities)
    uncertainty = known(found.uncertainty)
    return PixelPrediction(found.mask, found.probabilities, uncertainty, image_uncertainty(uncertainty))


def vote_rows(member_probabilities: Tensor) -> PixelRows:
    """`vote` on some rows of an image."""
    size = member_probabilities.shape[-2:]
    probabilities = member_probabilities.flatten(2).transpose(1, 2).contiguous()
    mask, mean, uncertainty = combine(probabilities, probabilities.argmax(-1), entropy(probabilities))
    return PixelRows(mask.view(size), mean.reshape(-1, *size), uncertainty.view(size))


def _runs(channels: tuple[int, ...]) -> str:
    return "+".join(map(str, channels))
