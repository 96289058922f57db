"""The pixel classifier: an ensemble of small MLPs whose members share every matrix product."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.classifier.prediction import EnsemblePredictor, FoldedEnsemble, PixelPrediction
from frugalseg.features.feature_maps import FeatureMaps
from frugalseg.support.errors import InputError
from frugalseg.support.ranges import COUNT, MEMBERS, Range, require_number
from frugalseg.support.text import quoted

CLASSES = Range(1, 255)
NUMBERS = torch.float32
"""In which a classifier is made, whatever torch's default is; `to` gives it others."""

# Shapes: M members, N pixels, D feature length, K classes, A and B the hidden widths.


def member_generator(seed: int, member: int, *purpose: int) -> torch.Generator:
    """Randomness of one member for one purpose: the same whichever members train beside it, on any device.

    Args:
        seed: of the whole run.
        member: number of the member in the whole ensemble.
        purpose: further numbers that tell draws apart, for example what is drawn and the epoch.
    """
    state = np.random.SeedSequence((seed, member, *purpose)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


def published_widths(num_classes: int) -> tuple[int, int]:
    """Hidden widths of the published classifier."""
    return (128, 32) if num_classes < 30 else (256, 128)


class EnsembleLinear(nn.Module):
    """M linear layers side by side. `weight` (M, in, out), `bias` (M, out)."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs, dtype=NUMBERS))
        self.bias = nn.Parameter(torch.empty(members, outputs, dtype=NUMBERS))

    def forward(self, x: Tensor) -> Tensor:
        """(M, N, in), or (N, in) that all members read -> (M, N, out)."""
        if x.dim() == 2:
            return torch.stack([torch.addmm(b, x, w) for w, b in zip(self.weight, self.bias, strict=True)])
        return torch.baddbmm(self.bias[:, None], x, self.weight)


class EnsembleBatchNorm(nn.Module):
    """M `nn.BatchNorm1d` side by side: every parameter and running statistic is (M, features)."""

    momentum = 0.1
    eps = 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, members: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, features, dtype=NUMBERS))
        self.bias = nn.Parameter(torch.zeros(members, features, dtype=NUMBERS))
        self.register_buffer("running_mean", torch.zeros(members, features, dtype=NUMBERS))
        self.register_buffer("running_var", torch.ones(members, features, dtype=NUMBERS))

    def forward(self, x: Tensor) -> Tensor:
        """(M, N, features) -> the same shape; in training mode the statistics of the N rows of each member."""
        rows: Tensor = F.batch_norm(
            x.transpose(0, 1).flatten(1),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            self.eps,
        )
        return rows.view(-1, *self.weight.shape).transpose(0, 1)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """In evaluation mode the layer is ``scale * x + shift``, both (M, features)."""
        scale = self.weight / (self.running_var + self.eps).sqrt()
        return scale, self.bias - self.running_mean * scale


class PixelClassifier(nn.Module):
    """An ensemble of MLPs, each Linear-ReLU-BatchNorm-Linear-ReLU-BatchNorm-Linear, as published.

    Features are standardised first, ``(x - feature_mean) / feature_scale``: 0 and 1 unless a protocol sets them.

    Attributes:
        channels: channels of each feature map, in the order of the feature vector.
        num_classes: K.
        members: M.
        hidden: the two hidden widths.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        num_classes: int,
        members: int = 10,
        hidden: tuple[int, int] | None = None,
    ) -> None:
        """
        Args:
            channels: channels of each feature map; their sum is D.
            num_classes: K, at most 255.
            members: M.
            hidden: the two hidden widths; without it the published ones, (128, 32) below 30 classes, else (256, 128).

        Raises:
            InputError: a number that is none, or out of range.
        """
        super().__init__()
        if not isinstance(channels, list | tuple) or not COUNT.holds(channels):
            raise InputError(f"channels is {quoted(channels)}; give a list of whole numbers above 0")
        require_number("num_classes is", num_classes, CLASSES)
        require_number("members is", members, MEMBERS)
        self.channels = tuple(int(c) for c in channels)
        self.num_classes, self.members = num_classes, members
        first, second = self.hidden = hidden or published_widths(num_classes)
        self.linear1 = EnsembleLinear(members, sum(self.channels), first)
        self.norm1 = EnsembleBatchNorm(members, first)
        self.linear2 = EnsembleLinear(members, first, second)
        self.norm2 = EnsembleBatchNorm(members, second)
        self.linear3 = EnsembleLinear(members, second, num_classes)
        self.register_buffer("feature_mean", torch.zeros(self.dim, dtype=NUMBERS))
        self.register_buffer("feature_scale", torch.ones(self.dim, dtype=NUMBERS))
        self.reset(0, range(members))

    @property
    def dim(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(self.channels)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.feature_mean.device

    def config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values."""
        channels, hidden = list(self.channels), list(self.hidden)
        return {"channels": channels, "num_classes": self.num_classes, "members": self.members, "hidden": hidden}

    @torch.no_grad()
    def reset(self, seed: int, members: Sequence[int]) -> None:
        """Draw initial weights as published: N(0, 0.02), biases 0.

        Args:
            seed: of the run.
            members: which member of the whole ensemble each of this classifier's members is; its weights depend on
                `seed` and that number alone.
        """
        for place, member in enumerate(members):
            generator = member_generator(seed, member, 0)
            for linear in (self.linear1, self.linear2, self.linear3):
                shape = linear.weight[place].shape
                linear.weight[place].copy_(torch.randn(shape, generator=generator, dtype=NUMBERS).mul_(0.02))
                linear.bias[place].zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Logits (M, N, K).

        Args:
            features: (M, N, D), or (N, D) that all members read; as the backbone gives them.
        """
        return self.network((features - self.feature_mean) / self.feature_scale)

    def network(self, standardised: Tensor) -> Tensor:
        """`forward` on features that are standardised already."""
        hidden = self.norm1(F.relu(self.linear1(standardised)))
        hidden = self.norm2(F.relu(self.linear2(hidden)))
        logits: Tensor = self.linear3(hidden)
        return logits

    def select(self, members: Sequence[int]) -> "PixelClassifier":
        """A classifier of some of the members; its tensors are copies.

        Args:
            members: places 0..M-1 in this classifier.
        """
        index = torch.tensor(list(members), dtype=torch.int64, device=self.device)
        part = PixelClassifier(self.channels, self.num_classes, 1, self.hidden)
        part.members = len(members)
        part.to(self.feature_mean)
        own = dict(part.named_parameters()) | dict(part.named_buffers())
        for name, values in self.state_dict().items():
            own[name].data = values.clone() if name.startswith("feature_") else values[index]
        return part.train(self.training)

    @torch.no_grad()
    def assign(self, members: Sequence[int], part: "PixelClassifier") -> None:
        """The inverse of `select`: overwrite the members at the places `members` with those of `part`."""
        index = torch.tensor(list(members), dtype=torch.int64, device=self.device)
        values = part.state_dict()
        for name, own in self.state_dict().items():
            own.copy_(values[name]) if name.startswith("feature_") else own.index_copy_(0, index, values[name])

    @torch.no_grad()
    def member(self, place: int) -> nn.Sequential:
        """One member as the plain published network, in this classifier's mode; input: standardised features (N, D)."""
        first, second = self.hidden
        layers = nn.Sequential(
            nn.Linear(self.dim, first),
            nn.ReLU(),
            nn.BatchNorm1d(first),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.BatchNorm1d(second),
            nn.Linear(second, self.num_classes),
        ).to(self.feature_mean)
        state = {}
        for index, name in ((0, "linear1"), (2, "norm1"), (3, "linear2"), (5, "norm2"), (6, "linear3")):
            for key, values in getattr(self, name).state_dict().items():
                state[f"{index}.{key}"] = values[place].t() if values.dim() == 3 else values[place]
        layers.load_state_dict(state | {key: layers.state_dict()[key] for key in layers.state_dict() if "num_" in key})
        return layers.train(self.training)

    @torch.no_grad()
    def folded(self, dtype: torch.dtype | None = None) -> FoldedEnsemble:
        """The evaluation-mode weights with standardisation and batch normalisation folded in.

        Args:
            dtype: of the result; without it, the parameters' own.
        """
        dtype = dtype or self.feature_mean.dtype
        # On the CPU, for Apple's GPUs know no float64.
        scale1, shift1 = (value.cpu().double() for value in self.norm1.scale_and_shift())
        scale2, shift2 = (value.cpu().double() for value in self.norm2.scale_and_shift())
        weight2, weight3 = self.linear2.weight.cpu().double(), self.linear3.weight.cpu().double()
        bias2 = self.linear2.bias.cpu()[:, None] + shift1[:, None] @ weight2
        bias3 = self.linear3.bias.cpu()[:, None] + shift2[:, None] @ weight3
        weight1 = self.linear1.weight / self.feature_scale[:, None]
        bias1 = self.linear1.bias - self.feature_mean @ weight1
        first = weight1.transpose(0, 1).flatten(1).to(dtype)
        return FoldedEnsemble(
            first=first.split(self.channels),
            first_bias=bias1.flatten().to(dtype),
            second=(scale1[:, :, None] * weight2).to(dtype).to(self.device),
            second_bias=bias2.to(dtype).to(self.device),
            third=(scale2[:, :, None] * weight3).to(dtype).to(self.device),
            third_bias=bias3.to(dtype).to(self.device),
        )

    def predictor(self, dtype: torch.dtype | None = None, max_elements: int = 2**25) -> EnsemblePredictor:
        """Prepare to predict many images with the present weights.

        Args:
            dtype: of the computation; without it, the parameters' own.
            max_elements: values of the first layer kept at a time; bounds memory, changes no result.
        """
        return EnsemblePredictor(self.folded(dtype), max_elements)

    def predict(self, maps: FeatureMaps, *, max_elements: int = 2**25) -> PixelPrediction:
        """Classify every pixel of the grid `maps.size` of one image; see `EnsemblePredictor.predict`."""
        return self.predictor(max_elements=max_elements).predict(maps)
