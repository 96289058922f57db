"""A diffusion network together with its noise schedule: its estimate of the clean image behind a noisy one."""

from typing import Any

import torch
from torch import Tensor

from frugalseg.support.errors import InputError
from frugalseg.support.text import brief

# Shapes: N images, H x W pixels, T timesteps.


class Denoiser:
    """Estimates the clean image x0 from a noisy image x_t, whatever the network was trained to predict.

    Some networks also predict their variance and have twice as many output channels as input channels (Nichol &
    Dhariwal 2021). `output` returns all channels, everything else leaves the variance out.

    Args:
        unet: a `diffusers.UNet2DModel`, or a module that is called like one.
        scheduler: the diffusers scheduler that the network was trained with; only its configuration is read.
    """

    def __init__(self, unet: Any, scheduler: Any) -> None:
        self.unet = unet
        self.scheduler = scheduler

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        device: torch.device = next(self.unet.parameters()).device
        return device

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images that the network was trained on."""
        return image_size(self.unet)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        channels: int = self.unet.config.in_channels
        return channels

    @property
    def abars(self) -> Tensor:
        """abar_t of every timestep, (steps of the schedule,) float32 on the CPU."""
        abars: Tensor = self.scheduler.alphas_cumprod
        return abars

    @property
    def learned_variance(self) -> bool:
        """Whether the network predicts its variance too."""
        return bool(self.unet.config.out_channels == 2 * self.channels)

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The estimate of x0, clipped to [-1, 1].

        Args:
            x_t: (N, C, H, W) float32, images in [-1, 1] noised to step `t`.
            t: () int64, the same timestep for all images.
        """
        return self.estimate_x0(x_t, t).clamp(-1, 1)

    def estimate_x0(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The same estimate without clipping, (N, C, H, W) float32.

        ``x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps`` is solved for x0. The network gives eps, v or x0 itself, as
        ``scheduler.config.prediction_type`` says.
        """
        prediction = self.output(x_t, t)[:, : x_t.shape[1]]
        abar = self.abars.to(x_t.device)[t]
        kind = self.scheduler.config.prediction_type
        if kind == "epsilon":
            return (x_t - (1 - abar).sqrt() * prediction) / abar.sqrt()
        if kind == "v_prediction":
            return abar.sqrt() * x_t - (1 - abar).sqrt() * prediction
        return prediction

    def output(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Everything that the network gives, (N, C or 2C, H, W) float32; it runs in its own number format."""
        dtype = next(self.unet.parameters()).dtype
        output: Tensor = self.unet(x_t.to(dtype), t.to(x_t.device)).sample
        return output.float()


def image_size(unet: Any) -> tuple[int, int]:
    """(height, width) of a UNet's training images; 256 x 256 where it says nothing."""
    size = unet.config.sample_size or 256
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise InputError(f"the UNet's sample_size is {brief(repr(size), 40)}; one or two numbers above 0 are expected")
    return sides[0], sides[1]


@torch.inference_mode()
def noised_and_denoised(
    denoise: Denoiser, images: Tensor, timesteps: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images noised to some timesteps, and the network's estimates of the clean images from one step each.

    Args:
        denoise: the network.
        images: (N, 3, H, W) float32 in [0, 1].
        timesteps: (T,) int64 in [0, steps of the schedule).
        generator: on the CPU; draws one noise for each image, which serves all timesteps.

    Returns:
        x_t and the estimates of x0, each (T, N, 3, H, W) float32 on the CPU, the estimates in [0, 1].
    """
    x_0 = images.to(denoise.device) * 2 - 1
    noise = torch.randn(images.shape, generator=generator).to(denoise.device)
    noisy, clean = [], []
    for t in timesteps.to(denoise.device):
        x_t = denoise.scheduler.add_noise(x_0, noise, t.expand(len(x_0)))
        noisy.append(x_t.cpu())
        clean.append(((denoise.estimate_x0(x_t, t).cpu() + 1) / 2).clamp(0, 1))
    return torch.stack(noisy), torch.stack(clean)
