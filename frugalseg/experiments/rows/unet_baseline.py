"""How a row of kind ``unet`` is fitted: a U-Net from scratch on annotated images, with augmentation."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.classifier.prediction import PixelPrediction, vote
from frugalseg.data.classes import ClassTable
from frugalseg.data.example import Example
from frugalseg.metrics.evaluation import Evaluation
from frugalseg.students.augmentation import augment
from frugalseg.students.loss import segmentation_loss
from frugalseg.students.network import MEAN, STD
from frugalseg.students.settings import one_cycle
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress, silent

if TYPE_CHECKING:
    from frugalseg.experiments.rows.unet import UNetRow


class UNetBaseline:
    """A U-Net with `fit` and `evaluate` as a `Segmenter` has them.

    Args:
        settings: the row; see `UNetRow`.
        seed: of weights, batches and augmentation.
        device: where it runs.
    """

    classes: ClassTable
    network: nn.Module
    size: tuple[int, int]

    def __init__(self, settings: "UNetRow", *, seed: int = 0, device: str | torch.device = "cpu") -> None:
        self.settings = settings
        self.seed = seed
        self.device = torch.device(device)

    def fit(self, dataset: Sequence[Example], *, progress: Progress = silent) -> Self:
        """Train on all annotated images of a `SegmentationFolder`.

        Raises:
            InputError: there is a single image, of which the deepest level has one pixel: nothing to normalise.
        """
        self.classes = dataset.classes  # type: ignore[attr-defined]
        examples = list(dataset)
        multiple = 2**self.settings.depth
        height, width = self.settings.size or examples[0].target.shape
        self.size = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        if len(examples) == 1 and self.size == (multiple, multiple):
            raise InputError(
                f"row {self.settings.name!r}: a single image of {height}x{width} pixels is too small for a U-Net of "
                f"depth {self.settings.depth}; annotate another one, or give a smaller depth or a larger size"
            )
        images = torch.stack([self.resized(example.image) for example in examples])
        targets = torch.stack([resized_target(example.target, self.size) for example in examples]).to(self.device)
        self.network = self.new_network()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.seed)  # of dropout, which some encoders have
            self.train(images, targets, progress)
        return self

    def new_network(self) -> nn.Module:
        """The network with the seed's weights; the process's own random numbers are left alone."""
        import segmentation_models_pytorch as smp

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network: nn.Module = smp.Unet(
                self.settings.encoder,
                encoder_weights=None,
                encoder_depth=self.settings.depth,
                decoder_channels=self.settings.decoder,
                classes=len(self.classes),
            )
        return network.to(self.device).to(memory_format=torch.channels_last)

    def train(self, images: Tensor, targets: Tensor, progress: Progress) -> None:
        """Run the schedule on images (N, 3, H, W) in [0, 1] and targets (N, H, W), both on the device."""
        settings, changes = self.settings, self.settings.changes()
        generator = torch.Generator().manual_seed(self.seed)
        weights = self.network.parameters()
        optimizer = torch.optim.AdamW(weights, settings.learning_rate, weight_decay=settings.weight_decay)
        steps, rising = one_cycle(settings.steps)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=steps, pct_start=rising
        )
        self.network.train()
        for step in range(settings.steps):
            chosen = torch.randperm(len(images), generator=generator)[: settings.batch].to(self.device)
            batch, truth = augment(images[chosen], targets[chosen], changes, generator)
            loss = segmentation_loss(self.logits(batch), truth, settings.dice)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress("train", step + 1, settings.steps)
        self.network.eval()

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, K, H, W)."""
        mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (MEAN, STD))
        result: Tensor = self.network(((images - mean) / std).contiguous(memory_format=torch.channels_last))
        return result

    def resized(self, image: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
        """(H, W, 3) uint8 -> (3, h, w) float32 in [0, 1] at the training size, on the device."""
        values = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1)[None].float() / 255
        return F.interpolate(values, self.size, mode="bilinear", align_corners=False, antialias=True)[0]

    @torch.inference_mode()
    def predict_position(self, image: np.ndarray[Any, np.dtype[np.uint8]]) -> PixelPrediction:
        """Segment one image (H, W, 3) uint8 at its own size. The uncertainty of a single network is 0."""
        logits = self.logits(self.resized(image)[None])
        full = F.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)
        return vote(full.softmax(dim=1))

    def evaluate(
        self,
        dataset: Sequence[Example],
        *,
        see: Callable[[Example, PixelPrediction], None] | None = None,
        progress: Progress = silent,
    ) -> Evaluation:
        """Compare predictions with annotated images; see `Segmenter.evaluate`."""
        result = Evaluation(self.classes)
        for number in range(len(dataset)):
            example = dataset[number]
            found = self.predict_position(example.image)
            result.add(example, found)
            if see is not None:
                see(example, found)
            progress("evaluate", number + 1, len(dataset))
        return result


def resized_target(target: np.ndarray[Any, np.dtype[np.uint8]], size: tuple[int, int]) -> Tensor:
    """(H, W) uint8 -> (h, w) int64, nearest values."""
    values = torch.from_numpy(np.ascontiguousarray(target))[None, None].float()
    return F.interpolate(values, size, mode="nearest-exact")[0, 0].long()
