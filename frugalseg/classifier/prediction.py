"""The trained ensemble applied to feature maps: first layer at map resolution, then row bands of the pixel grid.

A linear layer and bilinear upsampling commute, so the first layer of all members runs once on each map at the map's own
resolution, and only its output is stretched over the pixel grid, a band of rows at a time. Everything after it is as
published, with each batch normalisation folded into the linear layer that follows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.features.feature_maps import FeatureMaps

# Shapes: M members, K classes, C channels of a map, h x w a map, H x W the pixel grid, P pixels, A and B hidden widths.

# Values of the first hidden layer in one band on a CPU: few enough to stay in the cache from layer to layer.
CPU_BAND = 2**20


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
        probabilities: (K, rows, W) float32.
        uncertainty: (rows, W) float32.
    """

    mask: Tensor
    probabilities: Tensor
    uncertainty: Tensor


def whole(pieces: Iterable[PixelRows], height: int, *, probabilities: bool = True) -> PixelPrediction:
    """The prediction of an image from its rows, each of which is forgotten once it has its place.

    Args:
        pieces: all rows of the image, from the top.
        height: how many there are.
        probabilities: keep them, too; they take 4 bytes for each pixel and class.
    """
    mask, mean, uncertainty = torch.empty(0), None, torch.empty(0)
    top = 0
    for piece in pieces:
        rows, width = piece.mask.shape
        if not top:
            mask, uncertainty = (values.new_empty(height, width) for values in (piece.mask, piece.uncertainty))
            mean = piece.probabilities.new_empty(len(piece.probabilities), height, width) if probabilities else None
        mask[top : top + rows] = piece.mask
        uncertainty[top : top + rows] = piece.uncertainty
        if mean is not None:
            mean[:, top : top + rows] = piece.probabilities
        top += rows
    return PixelPrediction(mask, mean, uncertainty, image_uncertainty(uncertainty))


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
    def rows(self, maps: FeatureMaps) -> Iterator[PixelRows]:
        """`predict`, a band of rows at a time, from the top."""
        for logits in self._bands(maps, slice(0, maps.size[0])):
            yield _as_rows(*_vote(*_softmax(logits)), maps.size[1])

    @torch.inference_mode()
    def member_probabilities(self, maps: FeatureMaps, rows: slice = slice(None)) -> Tensor:
        """(M, K, rows, W) float32: each member's softmax output on some rows of the grid `maps.size`.

        Args:
            maps: one image.
            rows: contiguous rows of the grid.
        """
        first, last, _ = rows.indices(maps.size[0])
        bands = [logits.softmax(-1) for logits in self._bands(maps, slice(first, last))]
        return torch.cat(bands, dim=1).transpose(1, 2).reshape(len(bands[0]), -1, last - first, maps.size[1])

    def _bands(self, maps: FeatureMaps, rows: slice) -> Iterator[Tensor]:
        """Logits (M, P, K), float32 or float64, of consecutive bands of `rows`."""
        if len(maps) != 1 or maps.channels != self.weights.channels:
            got, expected = _runs(maps.channels), _runs(self.weights.channels)
            raise ValueError(f"expected the maps of one image with channels {expected}; got {len(maps)} of {got}")
        height, width = maps.size
        wide = self.weights.first_bias.numel()
        at_map_resolution = wide * sum(h * w for h, w in _by_resolution(maps)) / height
        chunk = max(1, int(self.max_elements / at_map_resolution))
        band = self.max_elements if self.weights.first_bias.is_cuda else min(CPU_BAND, self.max_elements)
        step = max(1, band // (wide * width))
        for start in range(rows.start, rows.stop, chunk):
            stop = min(start + chunk, rows.stop)
            lines = [self._first_layer(maps, taps, start, stop) for taps in _by_resolution(maps).values()]
            for top in range(start, stop, step):
                yield self._head(lines, torch.arange(top, min(top + step, stop)), maps.size)

    def _first_layer(self, maps: FeatureMaps, taps: Sequence[int], start: int, stop: int) -> "_Lines":
        """The first layer's output for the maps `taps` (of one resolution), on the lines that rows start..stop need."""
        dtype = self.weights.first_bias.dtype
        h, w = maps.maps[taps[0]].shape[-2:]
        lower, upper, _ = _lines_read(torch.tensor([start, stop - 1]), h, maps.size[0], dtype)
        offset, end = int(lower[0]), int(upper[1]) + 1
        columns = [maps.maps[tap][0, :, offset:end].to(dtype).flatten(1).t() for tap in taps]
        out = columns[0] @ self.weights.first[taps[0]]
        for values, tap in zip(columns[1:], taps[1:], strict=True):
            out.addmm_(values, self.weights.first[tap])
        return _Lines(out.view(end - offset, w, -1), offset, h)

    def _head(self, lines: "Sequence[_Lines]", y: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits (M, P, K) of the rows `y`, from the first layer's outputs at each map resolution."""
        weights, members = self.weights, self.weights.second.shape[0]
        hidden = lines[0].at_rows(y, size)
        for part in lines[1:]:
            hidden.add_(part.at_rows(y, size))
        hidden.add_(weights.first_bias)
        hidden = hidden.relu_().view(-1, members, weights.second.shape[1]).transpose(0, 1)
        hidden = torch.baddbmm(weights.second_bias, hidden, weights.second).relu_()
        logits = torch.baddbmm(weights.third_bias, hidden, weights.third)
        return logits if logits.dtype == torch.float64 else logits.float()


@dataclass(frozen=True)
class _Lines:
    """Some lines of the first layer's output at one map resolution.

    Attributes:
        values: (lines, w, M * A).
        offset: which line of the map comes first.
        height: lines of the whole map.
    """

    values: Tensor
    offset: int
    height: int

    def at_rows(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        """(len(y), W, M * A): bilinear values on whole rows of the grid."""
        device, dtype = self.values.device, self.values.dtype
        lower, upper, weight = _lines_read(y, self.height, size[0], dtype)
        low = self.values[(lower - self.offset).to(device)]
        high = self.values[(upper - self.offset).to(device)]
        lines = low.lerp_(high, weight.to(device, dtype)[:, None, None])
        channels_last = lines[None].permute(0, 3, 1, 2)
        stretched = F.interpolate(channels_last, (len(y), size[1]), mode="bilinear", align_corners=False)
        return stretched[0].permute(1, 2, 0)


def _lines_read(y: Tensor, height: int, target: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """`feature_maps.neighbours` along the height, with weights as exact as the computation's dtype (float32 at least).

    Args:
        y: rows of a grid of `target` rows.
        height: lines of the map.
        target: rows of the grid.
        dtype: of the computation.
    """
    exact = torch.promote_types(dtype, torch.float32)
    source = ((y.to(exact) + 0.5) * (torch.tensor(height, dtype=exact) / target) - 0.5).clamp_min(0)
    lower = source.floor().long().clamp_max(height - 1)
    return lower, (lower + 1).clamp_max(height - 1), source - lower


def vote(member_probabilities: Tensor) -> PixelPrediction:
    """The ensemble's answer from its members' softmax outputs.

    Args:
        member_probabilities: (M, K, H, W), each member's summing to 1 over K.
    """
    found = vote_rows(member_probabilities)
    return PixelPrediction(found.mask, found.probabilities, found.uncertainty, image_uncertainty(found.uncertainty))


def vote_rows(member_probabilities: Tensor) -> PixelRows:
    """`vote` on some rows of an image."""
    probabilities = member_probabilities.flatten(2).transpose(1, 2).contiguous()
    voted = _vote(probabilities, probabilities.argmax(-1), entropy(probabilities))
    return _as_rows(*voted, member_probabilities.shape[-1])


def _as_rows(mask: Tensor, mean: Tensor, uncertainty: Tensor, width: int) -> PixelRows:
    """What `_vote` gives, as rows of an image."""
    shape = (len(mask) // width, width)
    return PixelRows(mask.view(shape), mean.t().reshape(-1, *shape), uncertainty.view(shape))


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy in nats over the last dimension; 0 log 0 is 0."""
    # Clamping inside the logarithm alone is exact at 0 and far faster than torch.special.entr on a CPU.
    tiny = torch.finfo(probabilities.dtype).tiny
    return -(probabilities * probabilities.clamp_min(tiny).log()).sum(-1)


def image_uncertainty(uncertainty: Tensor) -> float:
    """Mean over the 10 % most uncertain pixels, as published; over all of them where there are fewer than 10."""
    flat = uncertainty.flatten()
    return float(flat.topk(flat.numel() // 10 or flat.numel()).values.mean())


def _softmax(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities (M, P, K), labels (M, P) and entropies (M, P) of logits (M, P, K)."""
    log_probabilities = logits.log_softmax(-1)
    probabilities = log_probabilities.exp()
    return probabilities, logits.argmax(-1), -log_probabilities.mul_(probabilities).sum(-1)


def _vote(probabilities: Tensor, labels: Tensor, entropies: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mask (P,) uint8, mean probabilities (P, K) and Jensen-Shannon divergence (P,) from what `_softmax` gives."""
    mean = probabilities.mean(0)
    votes = torch.zeros_like(mean).scatter_add_(1, labels.t(), torch.ones_like(labels.t(), dtype=mean.dtype))
    divergence = (entropy(mean) - entropies.mean(0)).clamp_min_(0)
    return votes.argmax(-1).to(torch.uint8), mean, divergence


def _by_resolution(maps: FeatureMaps) -> dict[tuple[int, int], list[int]]:
    """The maps' positions, grouped by (h, w)."""
    groups: dict[tuple[int, int], list[int]] = {}
    for position, values in enumerate(maps.maps):
        groups.setdefault((values.shape[-2], values.shape[-1]), []).append(position)
    return groups


def _runs(channels: tuple[int, ...]) -> str:
    return "+".join(map(str, channels))
