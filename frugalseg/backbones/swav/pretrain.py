"""Trains a network with SwAV on unlabelled images (Caron et al. 2020).

The losses and heads are our own few lines: the library that has them, lightly, brings hydra and the retired
pytorch_lightning package along.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalseg.backbones.swav.assignments import global_batch, relative_entropy_of, sinkhorn, swapped_prediction
from frugalseg.backbones.swav.backbone import MEAN, STD
from frugalseg.backbones.swav.checkpoint import save_network
from frugalseg.backbones.swav.crops import ViewKind, random_views, resized, uniform_numbers
from frugalseg.backbones.swav.lars import LARS
from frugalseg.backbones.swav.network import ResNet
from frugalseg.backbones.swav.settings import SMALLEST_AREA, SwAVPretrainSettings
from frugalseg.pretraining.module import PretrainingModule
from frugalseg.report.grid import save_grid
from frugalseg.training.batch_norm import GlobalBatchNorm, fixed_statistics
from frugalseg.training.run_folder import RunFolder, picture_path

LARGE_VIEWS = 2
QUERIES, NEIGHBOURS = 8, 5
"""Rows and further columns of the picture of nearest neighbours."""


class SwAVPretraining(PretrainingModule):
    """Predicts the prototype that one view of an image is assigned to from its other views."""

    settings: SwAVPretrainSettings

    def __init__(self, settings: SwAVPretrainSettings, channels_last: bool = False) -> None:
        """See `PretrainingModule`."""
        super().__init__(settings, channels_last)
        assert settings.queue is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = ResNet(settings.shape, GlobalBatchNorm).to(memory_format=self.format)
            self.head = projection_head(self.network.channels, settings)
            self.prototypes = nn.Parameter(F.normalize(torch.randn(settings.prototypes, settings.projection)))
        self.register_buffer("queue", torch.zeros(LARGE_VIEWS, settings.queue, settings.projection))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """The loss of this process's part of a batch (see `BatchStream`)."""
        if batch["step"] != self.global_step:
            raise RuntimeError(f"batch {batch['step']} came in step {self.global_step}")
        features = self.project(*self.views(batch["images"], batch["seeds"]))
        with torch.autocast(self.device.type, enabled=False):
            with torch.no_grad():
                self.prototypes.copy_(F.normalize(self.prototypes))
            targets = self.assign(features[:LARGE_VIEWS].detach(), batch["step"])
            self.log("assignment_entropy", relative_entropy_of(targets))
            own = targets[:, self.trainer.global_rank :: self.trainer.world_size]
            return swapped_prediction(features @ self.prototypes.t() / self.settings.temperature, own)

    @torch.no_grad()
    def views(self, images: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        """Random views of (b, 3, H, W) uint8 images: (2, b, 3, h, w) large and (S, b, 3, h', w') small ones."""
        large, small = self.view_kinds()
        with torch.autocast(self.device.type, enabled=False):
            pixels = images.float() / 255
            numbers = uniform_numbers(seeds, large.count + small.count)
            return (
                random_views(pixels, numbers[:, : large.count], large),
                random_views(pixels, numbers[:, large.count :], small),
            )

    def view_kinds(self) -> tuple[ViewKind, ViewKind]:
        """What the large and the small views are."""
        s = self.settings
        assert s.global_crop is not None and s.small_crop is not None
        return (
            ViewKind(LARGE_VIEWS, s.global_crop, (s.split_area, 1.0), s.colour, s.flip),
            ViewKind(s.small_crops, s.small_crop, (SMALLEST_AREA, s.split_area), s.colour, s.flip),
        )

    def project(self, large: Tensor, small: Tensor) -> Tensor:
        """(2, b, 3, h, w) and (S, b, 3, h', w') views in [0, 1] -> (2 + S, b, D) float32 features of length 1.

        The running statistics are those of the large views, which are more like the images that features are read for.
        Where features are standardised, those of large views are apart from those of small ones: else a network that
        can only tell the two kinds apart would pass for one that tells images apart.
        """
        pooled = [self.pooled(large.flatten(0, 1))]
        if len(small):
            with fixed_statistics(self.network):
                pooled.append(self.pooled(small.flatten(0, 1)))
        together = pooled if self.settings.standardise else [torch.cat(pooled)]
        features = F.normalize(torch.cat([self.head(part) for part in together]).float(), dim=-1)
        by_view: Tensor = features.unflatten(0, (-1, large.shape[1]))
        return by_view

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) float32 in [0, 1] -> (B, C), the mean over the network's last map."""
        normal = (images - self.get_buffer("mean")) / self.get_buffer("std")
        features: Tensor = self.network(normal.contiguous(memory_format=self.format))
        return features

    def assign(self, features: Tensor, step: int) -> Tensor:
        """Assignments of the large views, over the images of all processes and, once it is full, the queue.

        Args:
            features: (2, b, D) of this process, of length 1.
            step: of the training.

        Returns:
            (2, B, K), the same in all processes, in the order of the global batch.
        """
        s = self.settings
        assert s.queue is not None and s.queue_begins is not None
        everyone = global_batch(features)
        pool = everyone
        if s.queue and step >= s.queue_begins:
            queue = self.get_buffer("queue")
            together = torch.cat([everyone, queue], dim=1)
            if step >= s.queue_begins + -(-s.queue // s.images_per_step):
                pool = together
            queue.copy_(together[:, : s.queue])
        scores = pool @ self.prototypes.detach().t()
        return sinkhorn(scores, s.epsilon, s.sinkhorn_iterations)[:, : everyone.shape[1]]

    def on_after_backward(self) -> None:
        """Hold the prototypes still in the beginning, when features mean nothing yet."""
        assert self.settings.freeze_prototypes is not None
        if self.global_step < self.settings.freeze_prototypes:
            self.prototypes.grad = None

    def configure_optimizers(self) -> Any:
        """AdamW or LARS, with warm-up and cosine decay."""
        s = self.settings
        optimizer: torch.optim.Optimizer
        if s.optimizer == "lars":
            optimizer = LARS(self.parameters(), s.learning_rate, weight_decay=s.weight_decay)
        else:
            optimizer = torch.optim.AdamW(
                self.parameters(), s.learning_rate, betas=(0.9, 0.99), weight_decay=s.weight_decay, foreach=True
            )
        return self.with_warm_up(optimizer)

    def compile_network(self) -> None:
        """Compile the trunk in place."""
        self.network.compile()

    def export(self, folder: Path) -> None:
        """Write the trunk as `load_backbone("swav", folder)` reads it; head and prototypes serve training only."""
        assert self.settings.image_size is not None
        save_network(self.network, self.settings.image_size, folder)

    @torch.no_grad()
    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        """Save a picture of some images, each beside those that the network finds most like it."""
        assert self.settings.image_size is not None
        training = self.training
        self.eval()
        images = resized(examples, self.settings.image_size).to(self.device)
        features = F.normalize(self.pooled(images).float(), dim=-1)
        self.train(training)
        queries = torch.arange(min(QUERIES, len(images))) * len(images) // min(QUERIES, len(images))
        likeness = features[queries] @ features.t()
        nearest = likeness.topk(min(1 + NEIGHBOURS, len(images)), dim=1).indices
        save_grid(images[nearest].cpu(), picture_path(run, "neighbours", step))


def projection_head(channels: int, settings: SwAVPretrainSettings) -> nn.Sequential:
    """The published head, (B, `channels`) -> (B, D), and behind it a standardisation of each of the D dimensions."""
    assert settings.hidden is not None
    head = nn.Sequential(
        nn.Linear(channels, settings.hidden, bias=False),  # the normalisation takes any bias out again
        GlobalBatchNorm(settings.hidden),
        nn.ReLU(inplace=True),
        nn.Linear(settings.hidden, settings.projection, bias=not settings.standardise),
    )
    if settings.standardise:
        head.append(GlobalBatchNorm(settings.projection, affine=False))
    return head
