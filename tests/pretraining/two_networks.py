"""A pretraining of two tiny networks that take turns, as GANs have them; the tests train it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from frugalseg.pretraining.alternating import AlternatingModule
from frugalseg.pretraining.images import TrainingImages
from frugalseg.pretraining.run import fit
from frugalseg.pretraining.settings import AlternatingSettings, RunOptions
from frugalseg.training.gradients import averaged, clipped, frozen
from frugalseg.training.run_folder import RunFolder
from frugalseg.training.stream import seeded_noise

SETTINGS = AlternatingSettings(
    image_size=(4, 4), steps=12, batch_size=4, learning_rate=1e-2, ema_images=40, precision="fp32"
)
INTERVAL = 4
"""Steps from one penalty to the next."""
CLIP = 0.5


class TwoNetworks(AlternatingModule):
    """A generator and a critic, with a penalty on the critic's gradient now and then."""

    not_averaged = ("critic",)

    def __init__(self, settings: AlternatingSettings = SETTINGS) -> None:
        super().__init__(settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.generator = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 48))
            self.critic = nn.Sequential(nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 1))
            self.idle = nn.Linear(2, 2)  # which no loss uses
        self.register_buffer("mean_score", torch.zeros(()))

    def make_optimizers(self) -> dict[str, Optimizer]:
        rate = self.settings.learning_rate
        return {
            "generator": torch.optim.Adam(self.generator.parameters(), rate, betas=(0.0, 0.99)),
            "critic": torch.optim.Adam([*self.critic.parameters(), *self.idle.parameters()], 2 * rate, (0.0, 0.99)),
        }

    def rate_factor(self, name: str, step: int) -> float:
        return 0.5**step if name == "critic" else 1.0

    def step_kind(self, step: int) -> bool:
        return step % INTERVAL == 0

    def treated(self, name: str, gradients: list[Tensor | None]) -> list[Tensor | None] | None:
        if name == "critic" and self.global_step == 3:
            return None
        return clipped(gradients, CLIP) if name == "generator" else gradients

    def updates(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        real, noise = batch["images"].flatten(1) / 255, seeded_noise(batch["seeds"], (3,), self.device)
        terms = {"loss": self.generator_update(noise), "critic": self.critic_update(real, noise)}
        if self.step_kind(batch["step"]):
            terms["penalty"] = self.penalty_update(real)
        self.update(F.mse_loss(self.critic(self.generator(noise)), noise.sum(1, keepdim=True)), "generator", "critic")
        return terms

    def generator_update(self, noise: Tensor) -> Tensor:
        with frozen(self.critic):
            loss = F.softplus(-self.critic(self.generator(noise))).mean()
            self.update(loss, "generator")
        return loss

    def critic_update(self, real: Tensor, noise: Tensor) -> Tensor:
        scores = self.critic(real)
        self.get_buffer("mean_score").lerp_(averaged(scores.float().mean()), 0.5)
        with frozen(self.generator):
            loss = (F.softplus(self.critic(self.generator(noise))) + F.softplus(-scores)).mean()
            self.update(loss, "critic")
        return loss

    def penalty_update(self, real: Tensor) -> Tensor:
        real = real.requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(real).sum(), real, create_graph=True)
        penalty = slope.square().sum(1).mean()
        self.update(penalty * INTERVAL, "critic")
        return penalty

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        save_file(self.generator.state_dict(), folder / "model.safetensors")

    def draw(self, run: RunFolder, step: int, examples: Tensor) -> None:
        pass


def train(folder: Path, module: TwoNetworks | None = None, **options: Any) -> bool:
    """Train in `folder`, from where it stopped."""
    photos, run = folder / "photos", RunFolder(folder / "run")
    if not photos.exists():
        photos.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(6):
            Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(photos / f"{number}.png")
    images = TrainingImages(sorted(photos.iterdir()), (4, 4))
    return fit(module or TwoNetworks(), images, run, RunOptions(**{"device": "cpu", "checkpoint_steps": 5} | options))


if __name__ == "__main__":
    train(Path(sys.argv[1]), devices=2)
